//! `FIRST_VALUE`, `LAST_VALUE` by event time, ties by partition and offset.

use super::arguments::{by_layout, check, layout};
use super::values::{ByteStrings, Numbers, Values};
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder};
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use std::any::Any;
use std::cmp::Ordering;

/// States for a value type that has a layout.
pub(super) fn build(last: bool, arg_type: &DataType, output_type: DataType) -> Box<dyn Aggregate> {
    match layout(arg_type) {
        Some(DataType::Binary) => Box::new(FirstLast::<ByteStrings>::new(last, output_type)),
        Some(layout) => by_layout!(layout, T => Box::new(FirstLast::<Numbers<T>>::new(last, output_type))),
        None => unreachable!("no state for {arg_type}"),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    Null,
    Value,
}

/// Where the row held came from.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    time: i64,
    offset: i64,
    partition: u32,
    held: Held,
}

impl Origin {
    #[inline(always)]
    fn order(&self) -> (i64, u32, i64) {
        (self.time, self.partition, self.offset)
    }
}

/// States of either: 24 bytes and the value a group. Saved as nothing, or time (`i64`), partition (`u32`), offset
/// (`i64`), all little-endian, then 0 for NULL or 1 and the value.
struct FirstLast<V> {
    last: bool,
    arg_type: DataType,
    origins: Vec<Origin>,
    values: V,
}

impl<V: Values> FirstLast<V> {
    fn new(last: bool, arg_type: DataType) -> Self {
        Self { last, arg_type, origins: vec![], values: V::default() }
    }

    fn kind(&self) -> &'static str {
        if self.last { "LAST_VALUE" } else { "FIRST_VALUE" }
    }

    /// Whether a row displaces the one held. `values` compares the value held to the row's.
    #[inline(always)]
    fn displaces(&self, group: usize, row: &Origin, values: impl FnOnce() -> Ordering) -> bool {
        let held = &self.origins[group];
        let order = match (held.held, row.held) {
            (_, Held::Nothing) => return false,
            (Held::Nothing, _) => return true,
            // Rows with one origin come of one row that became several. The value decides, so that order can not.
            (a, b) => held.order().cmp(&row.order()).then_with(|| match (a, b) {
                (Held::Value, Held::Value) => values(),
                (Held::Value, _) => Ordering::Greater,
                (_, Held::Value) => Ordering::Less,
                _ => Ordering::Equal,
            }),
        };
        order == if self.last { Ordering::Less } else { Ordering::Greater }
    }
}

impl<V: Values> Aggregate for FirstLast<V> {
    fn groups(&self) -> usize {
        self.origins.len()
    }

    fn resize(&mut self, groups: usize) {
        self.origins.resize(groups, Origin::default());
        self.values.resize(groups);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let column = V::open(&args[0], &self.arg_type)?;
        for (arg, want) in args[1..].iter().zip([DataType::Int64, DataType::UInt32, DataType::Int64]) {
            check(arg, &want)?;
            assert_eq!(arg.null_count(), 0, "time, partition and offset are never NULL");
        }
        let times = args[1].as_primitive::<Int64Type>().values();
        let partitions = args[2].as_primitive::<UInt32Type>().values();
        let offsets = args[3].as_primitive::<Int64Type>().values();
        let nulls = V::nulls(&column);
        for (i, &id) in ids.iter().enumerate() {
            let (row, id) = (rows.get(i), id as usize);
            let held = if nulls.is_some_and(|nulls| nulls.is_null(row)) { Held::Null } else { Held::Value };
            let origin = Origin { time: times[row], offset: offsets[row], partition: partitions[row], held };
            if self.displaces(id, &origin, || self.values.compare(id, &column, row)) {
                self.origins[id] = origin;
                if held == Held::Value {
                    self.values.set(id, &column, row);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let kind = self.kind();
        let other: &Self = same(other, kind)?;
        if (self.last, &self.arg_type) != (other.last, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        for (of, (origin, &to)) in other.origins.iter().zip(map).enumerate() {
            let to = to as usize;
            if self.displaces(to, origin, || self.values.compare_to(to, &other.values, of)) {
                self.origins[to] = *origin;
                if origin.held == Held::Value {
                    self.values.copy(to, &other.values, of);
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        self.values.array(|group| self.origins[group].held == Held::Value, &self.arg_type)
    }

    fn output_type(&self) -> DataType {
        self.arg_type.clone()
    }

    fn save(&self) -> BinaryArray {
        let (mut saved, mut bytes) = (BinaryBuilder::new(), vec![]);
        for (group, origin) in self.origins.iter().enumerate() {
            bytes.clear();
            if origin.held != Held::Nothing {
                bytes.extend_from_slice(&origin.time.to_le_bytes());
                bytes.extend_from_slice(&origin.partition.to_le_bytes());
                bytes.extend_from_slice(&origin.offset.to_le_bytes());
                bytes.push((origin.held == Held::Value) as u8);
            }
            if origin.held == Held::Value {
                self.values.put(group, &mut bytes);
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        (self.values, self.origins) = (V::default(), vec![]);
        self.resize(saved.len());
        for group in 0..saved.len() {
            if saved.value(group).is_empty() {
                continue;
            }
            let mut read = || {
                let (time, rest) = saved.value(group).split_first_chunk()?;
                let (partition, rest) = rest.split_first_chunk()?;
                let (offset, rest) = rest.split_first_chunk()?;
                let (&tag, value) = rest.split_first()?;
                let held = match tag {
                    0 if value.is_empty() => Held::Null,
                    1 if self.values.take(group, value) => Held::Value,
                    _ => return None,
                };
                let (time, offset) = (i64::from_le_bytes(*time), i64::from_le_bytes(*offset));
                Some(Origin { time, offset, partition: u32::from_le_bytes(*partition), held })
            };
            let bad = AggregateError::BadState { group, kind: if self.last { "LAST_VALUE" } else { "FIRST_VALUE" } };
            self.origins[group] = read().ok_or(bad)?;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.origins.capacity() * size_of::<Origin>() + self.values.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
