//! `BOOL_AND`, `BOOL_OR`.

use super::arguments::{check, valid_rows};
use super::{Aggregate, AggregateError, AggregateKind, assert_rows, same};
use crate::Rows;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;

const SAW_FALSE: u8 = 1;
const SAW_TRUE: u8 = 2;

/// States of either: one byte a group, of which values were seen. Saved as one byte: 0 none, 1 false, 2 true.
pub(super) struct Boolean {
    all: bool,
    seen: Vec<u8>,
}

impl Boolean {
    pub fn new(kind: AggregateKind) -> Self {
        Self { all: kind == AggregateKind::BoolAnd, seen: vec![] }
    }

    fn value(&self, seen: u8) -> Option<bool> {
        match seen {
            0 => None,
            _ if self.all => Some(seen & SAW_FALSE == 0),
            _ => Some(seen & SAW_TRUE != 0),
        }
    }

    fn kind(&self) -> &'static str {
        if self.all { "BOOL_AND" } else { "BOOL_OR" }
    }
}

impl Aggregate for Boolean {
    fn groups(&self) -> usize {
        self.seen.len()
    }

    fn resize(&mut self, groups: usize) {
        self.seen.resize(groups, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        check(&args[0], &DataType::Boolean)?;
        let array = cast(&args[0], &DataType::Boolean)?;
        let array = array.as_boolean();
        valid_rows(array.nulls(), rows, ids, |id, row| self.seen[id] |= SAW_FALSE << array.value(row) as u8);
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, self.kind())?;
        if self.all != other.all {
            return Err(AggregateError::WrongMerge { kind: self.kind() });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        other.seen.iter().zip(map).for_each(|(seen, &to)| self.seen[to as usize] |= seen);
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Ok(Arc::new(self.seen.iter().map(|&seen| self.value(seen)).collect::<BooleanArray>()))
    }

    fn output_type(&self) -> DataType {
        DataType::Boolean
    }

    fn save(&self) -> BinaryArray {
        let byte = |&seen: &u8| [self.value(seen).map_or(0, |value| SAW_FALSE << value as u8)];
        BinaryArray::from_iter_values(self.seen.iter().map(byte))
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let kind = self.kind();
        let read = |group| match saved.value(group) {
            &[seen] if seen <= SAW_TRUE => Ok(seen),
            _ => Err(AggregateError::BadState { group, kind }),
        };
        self.seen = (0..saved.len()).map(read).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.seen.capacity()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
