//! `MIN`, `MAX` by total order: numbers by value with NaN last, strings by bytes, false before true.

use super::arguments::{Native, by_layout, layout, logical, numbers, squeezed, valid_rows};
use super::values::{ByteStrings, Values};
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use crate::ahead::for_each;
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
            Box::new(MinMax::<T> { greatest, arg_type: output_type, keys: vec![], seen: vec![] })
        }),
        None => unreachable!("no state for {arg_type}"),
    }
}

fn kind(greatest: bool) -> &'static str {
    if greatest { "MAX" } else { "MIN" }
}

/// States of numbers: the value's size and a byte a group. Saved as nothing, or 1 and the little-endian value.
struct MinMax<T: ArrowPrimitiveType>
where
    T::Native: Native,
{
    greatest: bool,
    arg_type: DataType,
    keys: Vec<<T::Native as Native>::Key>,
    seen: Vec<u8>,
}

impl<T: ArrowPrimitiveType> Aggregate for MinMax<T>
where
    T::Native: Native,
{
    fn groups(&self) -> usize {
        self.keys.len()
    }

    fn resize(&mut self, groups: usize) {
        self.keys.resize(groups, if self.greatest { T::Native::LEAST } else { T::Native::GREATEST });
        self.seen.resize(groups, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let array = numbers(&args[0], &self.arg_type)?;
        let (keys, seen) = (&mut self.keys, &mut self.seen);
        macro_rules! fold {
            ($better:expr) => {
                squeezed(array.as_primitive::<T>(), rows, ids, |values, ids| {
                    if let ([only], [seen]) = (&mut keys[..], &mut seen[..]) {
                        assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
                        *only = values.iter().fold(*only, |best, value| $better(best, value.key()));
                        *seen |= !ids.is_empty() as u8;
                    } else {
                        for_each(keys, ids, values.iter(), |key, id, value| {
                            *key = $better(*key, value.key());
                            seen[id] = 1;
                        });
                    }
                })
            };
        }
        if self.greatest {
            fold!(Ord::max)
        } else {
            fold!(Ord::min)
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let kind = kind(self.greatest);
        let other: &Self = same(other, kind)?;
        if (self.greatest, &self.arg_type) != (other.greatest, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        let (greatest, seen_here) = (self.greatest, &mut self.seen);
        for_each(&mut self.keys, map, other.keys.iter().zip(&other.seen), |mine, to, (&key, &seen)| {
            *mine = if greatest { (*mine).max(key) } else { (*mine).min(key) };
            seen_here[to] |= seen;
        });
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        let values = self.keys.iter().zip(&self.seen);
        let values = values.map(|(&key, &seen)| (seen != 0).then(|| T::Native::of_key(key)));
        logical(Arc::new(values.collect::<PrimitiveArray<T>>()), &self.arg_type)
    }

    fn output_type(&self) -> DataType {
        self.arg_type.clone()
    }

    fn save(&self) -> BinaryArray {
        BinaryArray::from_iter_values(self.keys.iter().zip(&self.seen).map(|(&key, &seen)| {
            let mut bytes = vec![];
            if seen != 0 {
                bytes.push(1);
                T::Native::of_key(key).put(&mut bytes);
            }
            bytes
        }))
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        self.keys.clear();
        self.seen.clear();
        self.resize(saved.len());
        for group in 0..saved.len() {
            if let Some((tag, bytes)) = saved.value(group).split_first() {
                let bad = AggregateError::BadState { group, kind: kind(self.greatest) };
                let value = T::Native::take(bytes).filter(|_| *tag == 1).ok_or(bad)?;
                (self.keys[group], self.seen[group]) = (value.key(), 1);
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + self.seen.capacity()
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
