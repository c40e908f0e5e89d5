//! `COUNT`: rows, or values that are not NULL.

use super::arguments::valid_rows;
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use crate::ahead::for_each;
use crate::growth;
use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array};
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;

/// States of `COUNT`: 8 bytes a group. Saved as a little-endian `i64`.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Aggregate for Count {
    fn groups(&self) -> usize {
        self.counts.len()
    }

    fn resize(&mut self, groups: usize) {
        growth::resize(&mut self.counts, groups, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let nulls = args.first().and_then(|arg| arg.logical_nulls());
        if nulls.is_none()
            && let [only] = &mut self.counts[..]
        {
            assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
            *only += ids.len() as i64;
            return Ok(());
        }
        match nulls {
            None => for_each(&mut self.counts, ids, ids.iter(), |count, _, _| *count += 1),
            nulls => valid_rows(nulls.as_ref(), rows, ids, |id, _| self.counts[id] += 1),
        }
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "COUNT")?;
        assert_eq!(map.len(), other.groups(), "one target per group");
        for_each(&mut self.counts, map, other.counts.iter(), |mine, _, theirs| *mine += theirs);
        Ok(())
    }

    fn can_unmerge(&self, other: &dyn Aggregate) -> bool {
        other.as_any().is::<Self>()
    }

    fn unmerge(&mut self, other: &dyn Aggregate, map: &[u32]) {
        let other: &Self = same(other, "COUNT").expect("`can_unmerge` was asked");
        assert_eq!(map.len(), other.groups(), "one target per group");
        for_each(&mut self.counts, map, other.counts.iter(), |mine, _, theirs| *mine -= theirs);
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Ok(Arc::new(Int64Array::from(self.counts.clone())))
    }

    fn output_type(&self) -> DataType {
        DataType::Int64
    }

    fn save(&self) -> BinaryArray {
        BinaryArray::from_iter_values(self.counts.iter().map(|count| count.to_le_bytes()))
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        let read = |(group, bytes): (usize, &[u8])| match bytes.try_into() {
            Ok(bytes) => Ok(i64::from_le_bytes(bytes)),
            Err(_) => Err(AggregateError::BadState { group, kind: "COUNT" }),
        };
        self.counts = (0..saved.len()).map(|group| read((group, saved.value(group)))).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * 8
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
