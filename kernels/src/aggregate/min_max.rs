//! `MIN`, `MAX` by total order: numbers by value with NaN last, strings by bytes, false before true.

use super::arguments::{Native, by_layout, layout, logical, numbers, squeezed, valid_rows};
use super::values::{ByteStrings, Values};
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use crate::ahead::for_each;
use crate::growth;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, PrimitiveArray};
use arrow::datatypes::DataType;
use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

/// States for an argument type that has a layout.
pub(super) fn build(greatest: bool, arg_type: &DataType, output_type: DataType) -> Box<dyn Aggregate> {
    match layout(arg_type) {
        Some(DataType::Binary) => {
            let (values, seen) = (ByteStrings::default(), vec![]);
            Box::new(MinMaxBytes { greatest, arg_type: output_type, values, seen })
        }
        Some(layout) => by_layout!(layout, T => {
            Box::new(MinMax::<T> { greatest, arg_type: output_type, keys: vec![], seen: None })
        }),
        None => unreachable!("no state for {arg_type}"),
    }
}

fn kind(greatest: bool) -> &'static str {
    if greatest { "MAX" } else { "MIN" }
}

/// A saved state of a number.
pub(super) struct Saved<N>(std::marker::PhantomData<N>);

impl<N: Native> Saved<N> {
    /// The value, if the group has seen one; `None` of bytes that nobody saved.
    pub(super) fn read(bytes: &[u8]) -> Option<Option<N>> {
        match bytes.split_first() {
            None => Some(None),
            Some((1, bytes)) => N::take(bytes).map(Some),
            Some(_) => None,
        }
    }
}

/// States of numbers: the value's size a group. Saved as nothing, or 1 and the little-endian value.
struct MinMax<T: ArrowPrimitiveType>
where
    T::Native: Native,
{
    greatest: bool,
    arg_type: DataType,
    keys: Vec<<T::Native as Native>::Key>,
    /// Whether a group has seen a value; `None` while no value was the identity itself: then a group whose key is not the
    /// identity has.
    seen: Option<Vec<bool>>,
}

impl<T: ArrowPrimitiveType> MinMax<T>
where
    T::Native: Native,
{
    /// The key of no value.
    fn identity(&self) -> <T::Native as Native>::Key {
        if self.greatest { T::Native::LEAST } else { T::Native::GREATEST }
    }

    fn has_seen(&self, group: usize) -> bool {
        self.seen.as_ref().map_or(self.keys[group] != self.identity(), |seen| seen[group])
    }

    /// Writes down which groups have seen a value.
    fn seen(&mut self) -> &mut Vec<bool> {
        let identity = self.identity();
        self.seen.get_or_insert_with(|| self.keys.iter().map(|key| *key != identity).collect())
    }

    fn fold(&mut self, values: &[T::Native], ids: &[u32], better: impl Fn(Key<T>, Key<T>) -> Key<T>) {
        let identity = self.identity();
        let mut met_identity = false;
        if let [only] = &mut self.keys[..] {
            assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
            *only = values.iter().fold(*only, |best, value| better(best, value.key()));
            met_identity = values.iter().any(|value| value.key() == identity);
        } else {
            for_each(&mut self.keys, ids, values.iter(), |best, _, value| {
                let key = value.key();
                met_identity |= key == identity;
                *best = better(*best, key);
            });
        }
        if met_identity || self.seen.is_some() {
            let seen = self.seen();
            ids.iter().for_each(|id| seen[*id as usize] = true);
        }
    }
}

type Key<T> = <<T as ArrowPrimitiveType>::Native as Native>::Key;

impl<T: ArrowPrimitiveType> Aggregate for MinMax<T>
where
    T::Native: Native,
{
    fn groups(&self) -> usize {
        self.keys.len()
    }

    fn resize(&mut self, groups: usize) {
        let identity = self.identity();
        growth::resize(&mut self.keys, groups, identity);
        if let Some(seen) = &mut self.seen {
            seen.resize(groups, false);
        }
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let array = numbers(&args[0], &self.arg_type)?;
        squeezed(array.as_primitive::<T>(), rows, ids, |values, ids| match self.greatest {
            true => self.fold(values, ids, Ord::max),
            false => self.fold(values, ids, Ord::min),
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let kind = kind(self.greatest);
        let other: &Self = same(other, kind)?;
        if (self.greatest, &self.arg_type) != (other.greatest, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        if self.seen.is_some() || other.seen.is_some() {
            let seen = self.seen();
            map.iter().enumerate().for_each(|(of, to)| seen[*to as usize] |= other.has_seen(of));
        }
        let greatest = self.greatest;
        for_each(&mut self.keys, map, other.keys.iter(), |mine, _, &key| {
            *mine = if greatest { (*mine).max(key) } else { (*mine).min(key) };
        });
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        let values = self.keys.iter().enumerate();
        let values = values.map(|(group, &key)| self.has_seen(group).then(|| T::Native::of_key(key)));
        logical(Arc::new(values.collect::<PrimitiveArray<T>>()), &self.arg_type)
    }

    fn output_type(&self) -> DataType {
        self.arg_type.clone()
    }

    fn save(&self) -> BinaryArray {
        BinaryArray::from_iter_values(self.keys.iter().enumerate().map(|(group, &key)| {
            let mut bytes = vec![];
            if self.has_seen(group) {
                bytes.push(1);
                T::Native::of_key(key).put(&mut bytes);
            }
            bytes
        }))
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        (self.keys, self.seen) = (vec![], None);
        self.resize(saved.len());
        for group in 0..saved.len() {
            let bad = AggregateError::BadState { group, kind: kind(self.greatest) };
            if let Some(value) = Saved::<T::Native>::read(saved.value(group)).ok_or(bad)? {
                if value.key() == self.identity() {
                    self.seen()[group] = true;
                }
                self.keys[group] = value.key();
                if let Some(seen) = &mut self.seen {
                    seen[group] = true;
                }
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + self.seen.as_ref().map_or(0, Vec::capacity)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// States of strings: 17 bytes a group and the string. Saved as nothing, or 1 and the string.
struct MinMaxBytes {
    greatest: bool,
    arg_type: DataType,
    values: ByteStrings,
    seen: Vec<u8>,
}

impl MinMaxBytes {
    fn better(&self) -> Ordering {
        if self.greatest { Ordering::Less } else { Ordering::Greater }
    }
}

impl Aggregate for MinMaxBytes {
    fn groups(&self) -> usize {
        self.seen.len()
    }

    fn resize(&mut self, groups: usize) {
        self.values.resize(groups);
        self.seen.resize(groups, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let column = ByteStrings::open(&args[0], &self.arg_type)?;
        let better = self.better();
        valid_rows(column.nulls(), rows, ids, |id, row| {
            if self.seen[id] == 0 || self.values.compare(id, &column, row) == better {
                self.values.set(id, &column, row);
                self.seen[id] = 1;
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let kind = kind(self.greatest);
        let other: &Self = same(other, kind)?;
        if (self.greatest, &self.arg_type) != (other.greatest, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        for (of, &to) in map.iter().enumerate().filter(|(of, _)| other.seen[*of] != 0) {
            let to = to as usize;
            if self.seen[to] == 0 || self.values.compare_to(to, &other.values, of) == self.better() {
                self.values.copy(to, &other.values, of);
                self.seen[to] = 1;
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        self.values.array(|group| self.seen[group] != 0, &self.arg_type)
    }

    fn output_type(&self) -> DataType {
        self.arg_type.clone()
    }

    fn save(&self) -> BinaryArray {
        let (mut saved, mut bytes) = (BinaryBuilder::new(), vec![]);
        for group in 0..self.groups() {
            bytes.clear();
            if self.seen[group] != 0 {
                bytes.push(1);
                self.values.put(group, &mut bytes);
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        (self.values, self.seen) = (ByteStrings::default(), vec![]);
        self.resize(saved.len());
        for group in 0..saved.len() {
            match saved.value(group) {
                [] => {}
                [1, bytes @ ..] => {
                    self.values.take(group, bytes);
                    self.seen[group] = 1;
                }
                _ => return Err(AggregateError::BadState { group, kind: kind(self.greatest) }),
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.values.memory_bytes() + self.seen.capacity()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
