//! One value per group, of any type: what `FIRST_VALUE`, `LAST_VALUE` and `MIN`, `MAX` of strings keep.

use super::AggregateError;
use super::arguments::{Bytes, Native, bytes_array, logical, numbers};
use crate::growth;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use std::cmp::Ordering;
use std::sync::Arc;

/// One value per group. A group's value means something only once it was set.
pub(super) trait Values: Default + Send + Sync + 'static {
    /// An argument column, ready to be read.
    type Column;
    /// Gets a column ready.
    fn open(array: &ArrayRef, want: &DataType) -> Result<Self::Column, AggregateError>;
    /// Its NULLs.
    fn nulls(column: &Self::Column) -> Option<&NullBuffer>;
    /// Grows or shrinks to `groups`.
    fn resize(&mut self, groups: usize);
    /// Compares the group's value to a row that is not NULL, by total order.
    fn compare(&self, group: usize, column: &Self::Column, row: usize) -> Ordering;
    /// Sets the group's value to a row that is not NULL.
    fn set(&mut self, group: usize, column: &Self::Column, row: usize);
    /// Compares the group's value to another's.
    fn compare_to(&self, group: usize, other: &Self, of: usize) -> Ordering;
    /// Sets the group's value to another's.
    fn copy(&mut self, group: usize, other: &Self, of: usize);
    /// Appends the value's bytes.
    fn put(&self, group: usize, out: &mut Vec<u8>);
    /// Sets the value to what `put` wrote, or says that it did not.
    fn take(&mut self, group: usize, bytes: &[u8]) -> bool;
    /// All values, NULL where not `valid`.
    fn array(&self, valid: impl Fn(usize) -> bool, to: &DataType) -> Result<ArrayRef, AggregateError>;
    /// Bytes held.
    fn memory_bytes(&self) -> usize;
}

/// Values of a number layout.
pub(super) struct Numbers<T: ArrowPrimitiveType>(Vec<T::Native>);

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<T: ArrowPrimitiveType> Values for Numbers<T>
where
    T::Native: Native,
{
    type Column = PrimitiveArray<T>;

    fn open(array: &ArrayRef, want: &DataType) -> Result<Self::Column, AggregateError> {
        Ok(numbers(array, want)?.as_primitive::<T>().clone())
    }

    fn nulls(column: &Self::Column) -> Option<&NullBuffer> {
        column.nulls()
    }

    fn resize(&mut self, groups: usize) {
        growth::resize(&mut self.0, groups, T::Native::default());
    }

    fn compare(&self, group: usize, column: &Self::Column, row: usize) -> Ordering {
        self.0[group].key().cmp(&column.value(row).key())
    }

    fn set(&mut self, group: usize, column: &Self::Column, row: usize) {
        self.0[group] = column.value(row);
    }

    fn compare_to(&self, group: usize, other: &Self, of: usize) -> Ordering {
        self.0[group].key().cmp(&other.0[of].key())
    }

    fn copy(&mut self, group: usize, other: &Self, of: usize) {
        self.0[group] = other.0[of];
    }

    fn put(&self, group: usize, out: &mut Vec<u8>) {
        self.0[group].put(out);
    }

    fn take(&mut self, group: usize, bytes: &[u8]) -> bool {
        Native::take(bytes).is_some_and(|value| {
            self.0[group] = value;
            true
        })
    }

    fn array(&self, valid: impl Fn(usize) -> bool, to: &DataType) -> Result<ArrayRef, AggregateError> {
        let values = self.0.iter().enumerate().map(|(group, &value)| valid(group).then_some(value));
        logical(Arc::new(values.collect::<PrimitiveArray<T>>()), to)
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<T::Native>()
    }
}

/// Byte strings, each on its own: they are replaced often and of any length.
#[derive(Default)]
pub(super) struct ByteStrings {
    values: Vec<Box<[u8]>>,
    heap_bytes: usize,
}

impl ByteStrings {
    fn replace(&mut self, group: usize, value: &[u8]) {
        let old = &mut self.values[group];
        self.heap_bytes = self.heap_bytes + value.len() - old.len();
        if old.len() == value.len() {
            old.copy_from_slice(value);
        } else {
            *old = value.into();
        }
    }
}

impl Values for ByteStrings {
    type Column = Bytes;

    fn open(array: &ArrayRef, want: &DataType) -> Result<Bytes, AggregateError> {
        Bytes::new(array, want)
    }

    fn nulls(column: &Bytes) -> Option<&NullBuffer> {
        column.nulls()
    }

    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, Box::default());
    }

    fn compare(&self, group: usize, column: &Bytes, row: usize) -> Ordering {
        (*self.values[group]).cmp(column.row(row))
    }

    fn set(&mut self, group: usize, column: &Bytes, row: usize) {
        self.replace(group, column.row(row));
    }

    fn compare_to(&self, group: usize, other: &Self, of: usize) -> Ordering {
        self.values[group].cmp(&other.values[of])
    }

    fn copy(&mut self, group: usize, other: &Self, of: usize) {
        self.replace(group, &other.values[of]);
    }

    fn put(&self, group: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.values[group]);
    }

    fn take(&mut self, group: usize, bytes: &[u8]) -> bool {
        self.replace(group, bytes);
        true
    }

    fn array(&self, valid: impl Fn(usize) -> bool, to: &DataType) -> Result<ArrayRef, AggregateError> {
        bytes_array(self.values.iter().enumerate().map(|(group, value)| valid(group).then_some(&**value)), to)
    }

    fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Box<[u8]>>() + self.heap_bytes
    }
}

/// Mixes two words into a hash for tables: both halves of a 128-bit product.
#[inline(always)]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let product = (a ^ 0x9e37_79b9_7f4a_7c15) as u128 * (b ^ 0xd1b5_4a32_d192_ed03) as u128;
    product as u64 ^ (product >> 64) as u64
}
