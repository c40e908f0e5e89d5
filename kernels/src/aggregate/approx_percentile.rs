//! `APPROX_PERCENTILE`: counts of values by logarithmic buckets, as in DDSketch, with bucket borders where the double's
//! bits say so: its sign, its exponent and the top 7 bits of its mantissa. No `log`, so every platform gives the same.
//!
//! A bucket is 2^-7 of its lower end wide and answers with its middle, so an answer is off by at most 0.4 %, and never
//! outside the group's values. Source: Masson, Rim & Lee, *DDSketch* (VLDB 2019).

use super::arguments::{Native, feed_doubles, numbers, plain_type};
use super::values::mix;
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, Float64Array};
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::any::Any;
use std::sync::Arc;

/// Mantissa bits below those that a bucket is named by.
const DROPPED_BITS: u32 = 52 - 7;
/// NaN sorts last.
const NAN_BUCKET: i32 = i32::MAX;

/// Buckets in the order of their values; 0 is zero's own.
#[inline(always)]
fn bucket(value: f64) -> i32 {
    let magnitude = value.to_bits() & (u64::MAX >> 1);
    if value.is_nan() {
        NAN_BUCKET
    } else if magnitude == 0 {
        0
    } else {
        let bucket = (magnitude >> DROPPED_BITS) as i32 + 1;
        if value < 0.0 { -bucket } else { bucket }
    }
}

/// The middle of a bucket.
fn middle(bucket: i32) -> f64 {
    if bucket == NAN_BUCKET {
        return f64::NAN;
    }
    if bucket == 0 {
        return 0.0;
    }
    let low = (bucket.unsigned_abs() as u64 - 1) << DROPPED_BITS;
    let magnitude = f64::from_bits(low);
    let magnitude = if magnitude.is_finite() { f64::from_bits(low | 1 << (DROPPED_BITS - 1)) } else { magnitude };
    if bucket < 0 { -magnitude } else { magnitude }
}

#[derive(Clone, Copy)]
struct Count {
    group: u32,
    bucket: i32,
    rows: u64,
}

/// The least and the greatest value that is not NaN, as ordered keys.
#[derive(Clone, Copy, PartialEq)]
struct Range {
    least: i64,
    greatest: i64,
}

const EMPTY: Range = Range { least: i64::MAX, greatest: i64::MIN };

/// States: 17 bytes per bucket in use over the table's load, 16 bytes a group. Saved as nothing, or least and greatest
/// value as ordered `i64`, then buckets (`i32`) and their counts (`u64`) in order, all little-endian.
pub(super) struct ApproxPercentile {
    p: f64,
    arg_type: DataType,
    counts: HashTable<Count>,
    ranges: Vec<Range>,
}

impl ApproxPercentile {
    pub fn new(p: f64, arg_type: &DataType) -> Self {
        Self { p, arg_type: plain_type(arg_type).clone(), counts: HashTable::new(), ranges: vec![] }
    }

    #[inline(always)]
    fn add(&mut self, group: u32, bucket: i32, rows: u64) {
        let hash = |group: u32, bucket: i32| mix(group as u64, bucket as u64);
        let equal = |count: &Count| count.group == group && count.bucket == bucket;
        match self.counts.entry(hash(group, bucket), equal, |count| hash(count.group, count.bucket)) {
            Entry::Occupied(mut count) => count.get_mut().rows += rows,
            Entry::Vacant(place) => {
                place.insert(Count { group, bucket, rows });
            }
        }
    }

    fn widen(&mut self, group: u32, range: Range) {
        let into = &mut self.ranges[group as usize];
        into.least = into.least.min(range.least);
        into.greatest = into.greatest.max(range.greatest);
    }

    /// Counts of each group, in order of buckets.
    fn sorted(&self) -> Vec<Vec<(i32, u64)>> {
        let mut sorted = vec![vec![]; self.ranges.len()];
        self.counts.iter().for_each(|count| sorted[count.group as usize].push((count.bucket, count.rows)));
        sorted.iter_mut().for_each(|counts| counts.sort_unstable());
        sorted
    }

    fn value(&self, counts: &[(i32, u64)], range: Range) -> Option<f64> {
        let rows: u64 = counts.iter().map(|count| count.1).sum();
        let rank = (self.p * rows.checked_sub(1)? as f64) as u64;
        let mut below = 0;
        let bucket = counts.iter().find(|count| {
            below += count.1;
            below > rank
        });
        let value = middle(bucket?.0);
        if value.is_nan() {
            return Some(value);
        }
        Some(f64::of_key(value.key().max(range.least).min(range.greatest)))
    }
}

impl Aggregate for ApproxPercentile {
    fn groups(&self) -> usize {
        self.ranges.len()
    }

    fn resize(&mut self, groups: usize) {
        self.ranges.resize(groups, EMPTY);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        feed_doubles(&numbers(&args[0], &self.arg_type)?, rows, ids, |values, ids| {
            for (&value, &id) in values.iter().zip(ids) {
                self.add(id, bucket(value), 1);
                if !value.is_nan() {
                    // One zero, as in the buckets.
                    let key = (value + 0.0).key();
                    self.widen(id, Range { least: key, greatest: key });
                }
            }
        });
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "APPROX_PERCENTILE")?;
        if (self.p, &self.arg_type) != (other.p, &other.arg_type) {
            return Err(AggregateError::WrongMerge { kind: "APPROX_PERCENTILE" });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        other.counts.iter().for_each(|count| self.add(map[count.group as usize], count.bucket, count.rows));
        other.ranges.iter().zip(map).for_each(|(range, &to)| self.widen(to, *range));
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        let values = self.sorted().into_iter().zip(&self.ranges).map(|(counts, range)| self.value(&counts, *range));
        Ok(Arc::new(values.collect::<Float64Array>()))
    }

    fn output_type(&self) -> DataType {
        DataType::Float64
    }

    fn save(&self) -> BinaryArray {
        let (mut saved, mut bytes) = (BinaryBuilder::new(), vec![]);
        for (counts, range) in self.sorted().into_iter().zip(&self.ranges) {
            bytes.clear();
            if !counts.is_empty() {
                bytes.extend_from_slice(&range.least.to_le_bytes());
                bytes.extend_from_slice(&range.greatest.to_le_bytes());
            }
            for (bucket, rows) in counts {
                bytes.extend_from_slice(&bucket.to_le_bytes());
                bytes.extend_from_slice(&rows.to_le_bytes());
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        (self.counts, self.ranges) = (HashTable::new(), vec![EMPTY; saved.len()]);
        for group in 0..saved.len() {
            let mut bytes = saved.value(group);
            if bytes.is_empty() {
                continue;
            }
            let mut read = || {
                let (least, rest) = bytes.split_first_chunk()?;
                let (greatest, rest) = rest.split_first_chunk()?;
                let range = Range { least: i64::from_le_bytes(*least), greatest: i64::from_le_bytes(*greatest) };
                self.widen(group as u32, range);
                bytes = rest;
                while !bytes.is_empty() {
                    let (bucket, rest) = bytes.split_first_chunk()?;
                    let (rows, rest) = rest.split_first_chunk()?;
                    self.add(group as u32, i32::from_le_bytes(*bucket), u64::from_le_bytes(*rows));
                    bytes = rest;
                }
                Some(())
            };
            read().ok_or(AggregateError::BadState { group, kind: "APPROX_PERCENTILE" })?;
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.counts.allocation_size() + self.ranges.capacity() * size_of::<Range>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_keep_order_and_middles_are_near() {
        let values = [
            f64::NEG_INFINITY,
            -1e300,
            -2.0,
            -1.0,
            -1e-300,
            -5e-324,
            0.0,
            5e-324,
            1e-310,
            1e-300,
            0.1,
            1.0,
            1.01,
            1e300,
            f64::INFINITY,
            f64::NAN,
        ];
        assert!(values.windows(2).all(|pair| bucket(pair[0]) <= bucket(pair[1])));
        for value in [-1e300, -2.0, -1e-300, 0.1, 1.0, 1.01, 1.0078, 123.456, f64::MAX] {
            assert!((middle(bucket(value)) / value - 1.0).abs() <= 1.0 / 256.0, "{value}");
        }
        assert_eq!(middle(bucket(f64::NEG_INFINITY)), f64::NEG_INFINITY);
        assert!(middle(bucket(f64::NAN)).is_nan());
        assert_eq!(middle(bucket(-0.0)).to_bits(), 0);
    }

    #[test]
    fn ranks_are_found() {
        let mut percentile = ApproxPercentile::new(0.5, &DataType::Int64);
        percentile.resize(3);
        let values: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values((1..=1001).rev().chain([42])));
        let ids: Vec<u32> = (0..1002).map(|i| if i == 1001 { 2 } else { 0 }).collect();
        percentile.update(&[values], Rows::All(1002), &ids).unwrap();
        let got = percentile.finish().unwrap();
        let got = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(&got);
        assert!((got.value(0) / 501.0 - 1.0).abs() <= 1.0 / 256.0);
        assert!(got.is_null(1));
        assert_eq!(got.value(2), 42.0, "clamped to the group's own values");
    }
}
