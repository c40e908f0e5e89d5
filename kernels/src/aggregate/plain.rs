//! `SUM`, `AVG`, `VAR` and `STDDEV` of floats in plain doubles: what `SET 'pelton.float-sum' = 'fast'` asks for.
//!
//! Not order-free: another cut of the rows may give another last bit, and variances of values far from zero lose digits.

use super::arguments::{feed_doubles, numbers, plain_type};
use super::variance::{is_root, is_sample};
use super::{Aggregate, AggregateError, AggregateKind, assert_rows, same};
use crate::Rows;
use crate::growth;
use arrow::array::{Array, ArrayRef, BinaryArray, Float64Array};
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;

/// Sums of x^1 .. x^POWERS and the count. Saved as so many little-endian doubles and a `u64`.
pub(super) struct Plain<const POWERS: usize> {
    kind: AggregateKind,
    arg_type: DataType,
    states: Vec<([f64; POWERS], u64)>,
}

/// Sum and count: 16 bytes a group.
pub(super) type PlainSum = Plain<1>;
/// Sum, sum of squares and count: 24 bytes a group.
pub(super) type PlainVariance = Plain<2>;

impl<const POWERS: usize> Plain<POWERS> {
    pub fn new(kind: AggregateKind, arg_type: &DataType) -> Self {
        Self { kind, arg_type: plain_type(arg_type).clone(), states: vec![] }
    }

    fn value(&self, (sums, count): &([f64; POWERS], u64)) -> Option<f64> {
        let n = *count as f64;
        match self.kind {
            _ if *count == 0 => None,
            AggregateKind::Sum => Some(sums[0]),
            AggregateKind::Avg => Some(sums[0] / n),
            kind if is_sample(kind) && *count == 1 => None,
            kind => {
                let spread = (sums[1] - sums[0] * (sums[0] / n)).max(0.0);
                let spread = if sums[1].is_finite() { spread } else { f64::NAN };
                let variance = spread / (n - is_sample(kind) as u8 as f64);
                Some(if is_root(kind) { variance.sqrt() } else { variance })
            }
        }
    }
}

impl<const POWERS: usize> Aggregate for Plain<POWERS> {
    fn groups(&self) -> usize {
        self.states.len()
    }

    fn resize(&mut self, groups: usize) {
        growth::resize(&mut self.states, groups, ([0.0; POWERS], 0));
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        feed_doubles(&numbers(&args[0], &self.arg_type)?, rows, ids, |values, ids| {
            for (&value, &id) in values.iter().zip(ids) {
                let (sums, count) = &mut self.states[id as usize];
                let mut power = value;
                for sum in sums {
                    *sum += power;
                    power *= value;
                }
                *count += 1;
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "fast float sums")?;
        if (self.kind, &self.arg_type) != (other.kind, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind: "fast float sums" });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        for ((sums, count), &to) in other.states.iter().zip(map) {
            let into = &mut self.states[to as usize];
            into.0.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
            into.1 += count;
        }
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Ok(Arc::new(self.states.iter().map(|state| self.value(state)).collect::<Float64Array>()))
    }

    fn output_type(&self) -> DataType {
        DataType::Float64
    }

    fn save(&self) -> BinaryArray {
        BinaryArray::from_iter_values(self.states.iter().map(|(sums, count)| {
            let words = sums.iter().map(|sum| sum.to_bits()).chain([*count]);
            words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
        }))
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        self.states.clear();
        for group in 0..saved.len() {
            let (words, rest) = saved.value(group).as_chunks::<8>();
            if words.len() != POWERS + 1 || !rest.is_empty() {
                return Err(AggregateError::BadState { group, kind: "fast float sums" });
            }
            let word = |i: usize| u64::from_le_bytes(words[i]);
            self.states.push((std::array::from_fn(|i| f64::from_bits(word(i))), word(POWERS)));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.states.capacity() * size_of::<([f64; POWERS], u64)>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
