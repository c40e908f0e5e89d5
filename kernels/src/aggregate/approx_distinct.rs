//! `APPROX_DISTINCT`: exact for small groups, then HyperLogLog.
//!
//! A value's hash is `xxh3_64` of its canonical bytes: strings as they are; decimals as 16 bytes; other numbers,
//! booleans, dates and times as 8, sign-extended, floats by their bits with one zero and one NaN; all little-endian. A
//! hash of 0 counts as 1. A state is a pure function of its set of hashes: up to 1,024 of them the set itself, beyond it
//! the registers. So neither order nor cut can show, and small counts are exact.
//!
//! Sources: Flajolet et al., *HyperLogLog* (2007); estimator: Ertl, *New cardinality estimation algorithms for HyperLogLog
//! sketches* (2017), section 4, which needs no correction tables.

use super::arguments::{Bytes, Native, by_layout, layout, numbers, plain_type, squeezed, valid_rows};
use super::{Aggregate, AggregateError, assert_rows, same};
use crate::Rows;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int64Array};
use arrow::datatypes::DataType;
use std::any::Any;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// The largest register: all 50 bits past the index are zero.
const RANK_MAX: u8 = (64 - REGISTER_BITS + 1) as u8;
/// Sets of more hashes become registers: at half full the table then takes as much as those.
const HASHES_MAX: usize = 1024;

#[derive(Clone)]
enum Sketch {
    /// Open addressing, a power of two of slots, 0 for empty, at most three quarters full.
    Hashes { slots: Vec<u64>, used: usize },
    /// The greatest rank of each register.
    Registers(Box<[u8; REGISTERS]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch::Hashes { slots: vec![], used: 0 }
    }
}

impl Sketch {
    fn add(&mut self, hash: u64) {
        match self {
            Sketch::Registers(registers) => rank(registers, hash),
            Sketch::Hashes { slots, used } => {
                if slots.is_empty() || (*used + 1) * 4 > slots.len() * 3 {
                    let old = std::mem::take(slots);
                    *slots = vec![0; (old.len() * 2).max(4)];
                    for hash in old.into_iter().filter(|&hash| hash != 0) {
                        let place = place(slots, hash);
                        slots[place] = hash;
                    }
                }
                let place = place(slots, hash);
                if slots[place] == 0 {
                    slots[place] = hash;
                    *used += 1;
                    if *used > HASHES_MAX {
                        let mut registers = Box::new([0; REGISTERS]);
                        slots.iter().filter(|&&hash| hash != 0).for_each(|&hash| rank(&mut registers, hash));
                        *self = Sketch::Registers(registers);
                    }
                }
            }
        }
    }

    fn merge(&mut self, other: &Sketch) {
        match (&mut *self, other) {
            (_, Sketch::Hashes { slots, .. }) => {
                slots.iter().filter(|&&hash| hash != 0).for_each(|&hash| self.add(hash));
            }
            (Sketch::Registers(registers), Sketch::Registers(others)) => {
                registers.iter_mut().zip(&**others).for_each(|(register, other)| *register = (*register).max(*other));
            }
            (Sketch::Hashes { .. }, Sketch::Registers(_)) => {
                let hashes = std::mem::replace(self, other.clone());
                self.merge(&hashes);
            }
        }
    }

    fn estimate(&self) -> i64 {
        let registers = match self {
            Sketch::Hashes { used, .. } => return *used as i64,
            Sketch::Registers(registers) => registers,
        };
        let mut ranks = [0.0; RANK_MAX as usize + 1];
        registers.iter().for_each(|&rank| ranks[rank as usize] += 1.0);
        let m = REGISTERS as f64;
        let mut z = m * tau(1.0 - ranks[RANK_MAX as usize] / m);
        for rank in ranks[1..RANK_MAX as usize].iter().rev() {
            z = 0.5 * (z + rank);
        }
        z += m * sigma(ranks[0] / m);
        // 1 / (2 ln 2); and more than the set held is known.
        let estimate = 0.721_347_520_444_481_7 * m * m / z;
        (estimate.round() as i64).max(HASHES_MAX as i64 + 1)
    }
}

/// The slot of `hash`, or the empty one where it belongs.
#[inline(always)]
fn place(slots: &[u64], hash: u64) -> usize {
    let mask = slots.len() - 1;
    let mut place = hash as usize & mask;
    while slots[place] != 0 && slots[place] != hash {
        place = (place + 1) & mask;
    }
    place
}

#[inline(always)]
fn rank(registers: &mut [u8; REGISTERS], hash: u64) {
    let register = &mut registers[(hash >> (64 - REGISTER_BITS)) as usize];
    let rank = ((hash << REGISTER_BITS).leading_zeros() + 1).min(RANK_MAX as u32) as u8;
    *register = (*register).max(rank);
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

const SAVED_HASHES: u8 = 1;
const SAVED_REGISTERS: u8 = 2;

/// States: 8 to 20 bytes a value up to 1,024 values, then 16 KiB a group. Saved as 1 and the hashes in order,
/// little-endian, or 2 and the registers.
pub(super) struct ApproxDistinct {
    arg_type: DataType,
    sketches: Vec<Sketch>,
}

impl ApproxDistinct {
    pub fn new(arg_type: &DataType) -> Self {
        Self { arg_type: plain_type(arg_type).clone(), sketches: vec![] }
    }
}

/// A hash, kept off the mark of empty slots.
#[inline(always)]
fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes).max(1)
}

impl Aggregate for ApproxDistinct {
    fn groups(&self) -> usize {
        self.sketches.len()
    }

    fn resize(&mut self, groups: usize) {
        self.sketches.resize(groups, Sketch::default());
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        if layout(&self.arg_type) == Some(DataType::Binary) {
            let column = Bytes::new(&args[0], &self.arg_type)?;
            // Values of a dictionary are hashed once; 0 is none yet.
            let mut known = vec![0; if column.is_dictionary() { column.values() } else { 0 }];
            valid_rows(column.nulls(), rows, ids, |id, row| {
                let value = column.value_of(row);
                let hash = match known.get_mut(value) {
                    None => hash(column.value(value)),
                    Some(known) => {
                        if *known == 0 {
                            *known = hash(column.value(value));
                        }
                        *known
                    }
                };
                self.sketches[id].add(hash);
            });
            return Ok(());
        }
        let array = numbers(&args[0], &self.arg_type)?;
        let width = if matches!(self.arg_type, DataType::Decimal128(..)) { 16 } else { 8 };
        by_layout!(array.data_type(), T => squeezed(array.as_primitive::<T>(), rows, ids, |values, ids| {
            for (value, &id) in values.iter().zip(ids) {
                self.sketches[id as usize].add(hash(&value.word().to_le_bytes()[..width]));
            }
        }));
        Ok(())
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "APPROX_DISTINCT")?;
        if self.arg_type != other.arg_type {
            return Err(AggregateError::WrongMerge { kind: "APPROX_DISTINCT" });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        other.sketches.iter().zip(map).for_each(|(sketch, &to)| self.sketches[to as usize].merge(sketch));
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        Ok(Arc::new(Int64Array::from_iter_values(self.sketches.iter().map(Sketch::estimate))))
    }

    fn output_type(&self) -> DataType {
        DataType::Int64
    }

    fn save(&self) -> BinaryArray {
        let (mut saved, mut bytes) = (BinaryBuilder::new(), vec![]);
        for sketch in &self.sketches {
            bytes.clear();
            match sketch {
                Sketch::Hashes { slots, .. } => {
                    let mut hashes: Vec<u64> = slots.iter().copied().filter(|&hash| hash != 0).collect();
                    hashes.sort_unstable();
                    bytes.push(SAVED_HASHES);
                    hashes.iter().for_each(|hash| bytes.extend_from_slice(&hash.to_le_bytes()));
                }
                Sketch::Registers(registers) => {
                    bytes.push(SAVED_REGISTERS);
                    bytes.extend_from_slice(&registers[..]);
                }
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        self.sketches.clear();
        for group in 0..saved.len() {
            let sketch = match saved.value(group) {
                [SAVED_HASHES, hashes @ ..] if hashes.len() % 8 == 0 && hashes.len() / 8 <= HASHES_MAX => {
                    let mut sketch = Sketch::default();
                    hashes.as_chunks().0.iter().for_each(|&hash| sketch.add(u64::from_le_bytes(hash).max(1)));
                    sketch
                }
                [SAVED_REGISTERS, registers @ ..] if registers.iter().all(|&rank| rank <= RANK_MAX) => {
                    let registers = Box::<[u8]>::from(registers).try_into();
                    let bad = |_| AggregateError::BadState { group, kind: "APPROX_DISTINCT" };
                    Sketch::Registers(registers.map_err(bad)?)
                }
                _ => return Err(AggregateError::BadState { group, kind: "APPROX_DISTINCT" }),
            };
            self.sketches.push(sketch);
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let heap = |sketch: &Sketch| match sketch {
            Sketch::Hashes { slots, .. } => slots.capacity() * 8,
            Sketch::Registers(_) => REGISTERS,
        };
        self.sketches.capacity() * size_of::<Sketch>() + self.sketches.iter().map(heap).sum::<usize>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_a_few_per_cent_and_small_ones_exactly() {
        let mut sketch = Sketch::default();
        let (mut worst, mut squares, mut checks) = (0.0f64, 0.0, 0);
        for n in 1..=1_000_000u64 {
            sketch.add(hash(&n.to_le_bytes()));
            if n == 1 || n == 1000 || n == 1024 {
                assert_eq!(sketch.estimate(), n as i64);
            } else if n > 1024 && n % 20_000 == 0 {
                let off = (sketch.estimate() as f64 / n as f64 - 1.0).abs();
                (worst, squares, checks) = (worst.max(off), squares + off * off, checks + 1);
            }
        }
        assert!(worst < 0.025 && (squares / checks as f64).sqrt() < 0.012, "{worst} {}", squares / checks as f64);
    }
}
