//! `DISTINCT`: the exact set of each group's values, and at the end the aggregate of it.
//!
//! Plain idea: a set per group. Departure: one [`PairSet`] of (group, value) for all groups, so that a group of three
//! values costs three entries; strings are kept once whatever the number of groups they are in.

use super::arguments::{Bytes, Native, by_layout, layout, logical, numbers, plain_type, squeezed, valid_rows};
use super::pair_set::{PairSet, Word};
use super::{Aggregate, AggregateError, AggregateKind, AggregateSpec, assert_rows, same};
use crate::Rows;
use crate::ahead::for_each;
use crate::growth;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int64Array, PrimitiveArray};
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::any::Any;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// States of a spec whose `distinct` makes a difference.
pub(super) fn build(spec: &AggregateSpec, output_type: DataType) -> Result<Box<dyn Aggregate>, AggregateError> {
    let arg_type = plain_type(&spec.arg_types[0]).clone();
    let inner = AggregateSpec { distinct: false, arg_types: vec![arg_type.clone()], ..spec.clone() };
    Ok(match layout(&arg_type) {
        Some(DataType::Binary) => Box::new(Distinct::<StringSet>::new(inner, arg_type, output_type)),
        Some(DataType::Decimal128(..)) => Box::new(Distinct::<NumberSet<[u64; 2]>>::new(inner, arg_type, output_type)),
        Some(layout) if layout.primitive_width().is_some_and(|bytes| bytes <= 4) => {
            Box::new(Distinct::<NumberSet<u32>>::new(inner, arg_type, output_type))
        }
        _ => Box::new(Distinct::<NumberSet<u64>>::new(inner, arg_type, output_type)),
    })
}

/// A set of (group, value).
trait Set: Default + Send + Sync + 'static {
    /// Adds the selected rows; calls `new` with the group of each pair that was not in the set.
    fn update(
        &mut self,
        array: &ArrayRef,
        arg_type: &DataType,
        rows: Rows<'_>,
        ids: &[u32],
        new: impl FnMut(u32),
    ) -> Result<(), AggregateError>;
    /// Adds another set, its groups renamed by `map`.
    fn merge(&mut self, other: &Self, map: &[u32], new: impl FnMut(u32));
    /// All pairs as groups and an array of type `to`, in no order.
    fn pairs(&self, to: &DataType) -> Result<(Vec<u32>, ArrayRef), AggregateError>;
    /// Calls `each` with the group and the bytes of every pair, sorted by group and value.
    fn sorted(&self, each: impl FnMut(u32, &[u8]));
    /// Adds one group's saved values, or says that they are none.
    fn load(&mut self, group: u32, saved: &[u8], new: impl FnMut(u32)) -> bool;
    /// Bytes held.
    fn memory_bytes(&self) -> usize;
}

/// States of any kind over different values. Saved as each group's values in order, so that cut and order can not show.
struct Distinct<S> {
    inner: AggregateSpec,
    arg_type: DataType,
    output_type: DataType,
    counts: Vec<i64>,
    set: S,
}

impl<S: Set> Distinct<S> {
    fn new(inner: AggregateSpec, arg_type: DataType, output_type: DataType) -> Self {
        Self { inner, arg_type, output_type, counts: vec![], set: S::default() }
    }
}

impl<S: Set> Aggregate for Distinct<S> {
    fn groups(&self) -> usize {
        self.counts.len()
    }

    fn resize(&mut self, groups: usize) {
        growth::resize(&mut self.counts, groups, 0);
    }

    fn update(&mut self, args: &[ArrayRef], rows: Rows<'_>, ids: &[u32]) -> Result<(), AggregateError> {
        assert_rows(args, rows, ids);
        let mut of_new = Vec::with_capacity(ids.len());
        let added = self.set.update(&args[0], &self.arg_type, rows, ids, |group| of_new.push(group));
        for_each(&mut self.counts, &of_new, of_new.iter(), |count, _, _| *count += 1);
        added
    }

    fn merge(&mut self, other: &dyn Aggregate, map: &[u32]) -> Result<(), AggregateError> {
        let other: &Self = same(other, "DISTINCT")?;
        if self.inner != other.inner {
            return Err(AggregateError::WrongMerge { kind: "DISTINCT" });
        }
        assert_eq!(map.len(), other.groups(), "one target per group");
        let counts = &mut self.counts;
        self.set.merge(&other.set, map, |group| counts[group as usize] += 1);
        Ok(())
    }

    fn finish(&self) -> Result<ArrayRef, AggregateError> {
        if self.inner.kind == AggregateKind::Count {
            return Ok(Arc::new(Int64Array::from(self.counts.clone())));
        }
        let mut inner = self.inner.build()?;
        inner.resize(self.groups());
        let (ids, values) = self.set.pairs(&self.arg_type)?;
        inner.update(&[values], Rows::All(ids.len()), &ids)?;
        inner.finish()
    }

    fn output_type(&self) -> DataType {
        self.output_type.clone()
    }

    fn save(&self) -> BinaryArray {
        let mut saved = BinaryBuilder::new();
        let (mut bytes, mut current) = (vec![], 0);
        self.set.sorted(|group, value| {
            while current < group {
                saved.append_value(&bytes);
                bytes.clear();
                current += 1;
            }
            bytes.extend_from_slice(value);
        });
        while (current as usize) < self.groups() {
            saved.append_value(&bytes);
            bytes.clear();
            current += 1;
        }
        saved.finish()
    }

    fn load(&mut self, saved: &BinaryArray) -> Result<(), AggregateError> {
        (self.set, self.counts) = (S::default(), vec![0; saved.len()]);
        let counts = &mut self.counts;
        for group in 0..saved.len() {
            if !self.set.load(group as u32, saved.value(group), |group| counts[group as usize] += 1) {
                return Err(AggregateError::BadState { group, kind: "DISTINCT" });
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.counts.capacity() * 8 + self.set.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A number as a member of a set.
trait Number: Word {
    /// How many bytes it is saved in.
    const BYTES: usize;
    fn of(word: u128) -> Self;
    fn word(self) -> u128;
}

impl Number for u32 {
    const BYTES: usize = 4;

    #[inline(always)]
    fn of(word: u128) -> u32 {
        word as u32
    }

    #[inline(always)]
    fn word(self) -> u128 {
        self as u128
    }
}

impl Number for u64 {
    const BYTES: usize = 8;

    #[inline(always)]
    fn of(word: u128) -> u64 {
        word as u64
    }

    #[inline(always)]
    fn word(self) -> u128 {
        self as u128
    }
}

// The higher half first, so that they order as the whole does.
impl Number for [u64; 2] {
    const BYTES: usize = 16;

    #[inline(always)]
    fn of(word: u128) -> [u64; 2] {
        [(word >> 64) as u64, word as u64]
    }

    #[inline(always)]
    fn word(self) -> u128 {
        (self[0] as u128) << 64 | self[1] as u128
    }
}

/// Pairs of group and number. Saved little-endian.
struct NumberSet<W> {
    pairs: PairSet<W>,
}

impl<W: Word> Default for NumberSet<W> {
    fn default() -> Self {
        Self { pairs: PairSet::default() }
    }
}

impl<W: Number> Set for NumberSet<W> {
    fn update(
        &mut self,
        array: &ArrayRef,
        arg_type: &DataType,
        rows: Rows<'_>,
        ids: &[u32],
        mut new: impl FnMut(u32),
    ) -> Result<(), AggregateError> {
        let array = numbers(array, arg_type)?;
        by_layout!(array.data_type(), T => squeezed(array.as_primitive::<T>(), rows, ids, |values, ids| {
            self.pairs.extend(ids, |i| W::of(Native::word(values[i])), &mut new);
        }));
        Ok(())
    }

    fn merge(&mut self, other: &Self, map: &[u32], new: impl FnMut(u32)) {
        self.pairs.merge(&other.pairs, |group, word| (map[group as usize], word), new);
    }

    fn pairs(&self, to: &DataType) -> Result<(Vec<u32>, ArrayRef), AggregateError> {
        let ids = self.pairs.iter().map(|pair| pair.0).collect();
        let layout = layout(to).expect("numbers have a layout");
        let values: ArrayRef = by_layout!(layout, T => {
            let values = self.pairs.iter().map(|pair| Native::of_word(pair.1.word()));
            Arc::new(PrimitiveArray::<T>::from_iter_values(values))
        });
        Ok((ids, logical(values, to)?))
    }

    fn sorted(&self, mut each: impl FnMut(u32, &[u8])) {
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_unstable();
        pairs.iter().for_each(|(group, word)| each(*group, &word.word().to_le_bytes()[..W::BYTES]));
    }

    fn load(&mut self, group: u32, saved: &[u8], mut new: impl FnMut(u32)) -> bool {
        saved.chunks(W::BYTES).all(|bytes| {
            let mut word = [0; 16];
            word[..bytes.len()].copy_from_slice(bytes);
            let good = bytes.len() == W::BYTES && self.pairs.insert(group, W::of(u128::from_le_bytes(word)));
            if good {
                new(group);
            }
            good
        })
    }

    fn memory_bytes(&self) -> usize {
        self.pairs.memory_bytes()
    }
}

/// Pairs of group and string: the string once, and a pair of group and its number. Saved with a `u32` length before
/// each.
#[derive(Default)]
struct StringSet {
    data: Vec<u8>,
    ends: Vec<usize>,
    ids: HashTable<u32>,
    pairs: PairSet<u32>,
}

impl StringSet {
    fn string(&self, id: u32) -> &[u8] {
        string(&self.data, &self.ends, id)
    }

    fn id(&mut self, value: &[u8]) -> u32 {
        let (data, ends) = (&self.data, &self.ends);
        let equal = |id: &u32| string(data, ends, *id) == value;
        match self.ids.entry(xxh3_64(value), equal, |id| xxh3_64(string(data, ends, *id))) {
            Entry::Occupied(id) => *id.get(),
            Entry::Vacant(place) => {
                let id = u32::try_from(self.ends.len()).expect("fewer than 2^32 different strings");
                place.insert(id);
                self.data.extend_from_slice(value);
                self.ends.push(self.data.len());
                id
            }
        }
    }
}

fn string<'a>(data: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    &data[if id == 0 { 0 } else { ends[id - 1] }..ends[id]]
}

impl Set for StringSet {
    fn update(
        &mut self,
        array: &ArrayRef,
        arg_type: &DataType,
        rows: Rows<'_>,
        ids: &[u32],
        mut new: impl FnMut(u32),
    ) -> Result<(), AggregateError> {
        let column = Bytes::new(array, arg_type)?;
        // Each value of a dictionary is looked up once.
        let mut known = vec![u32::MAX; if column.is_dictionary() { column.values() } else { 0 }];
        let (mut groups, mut words) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
        valid_rows(column.nulls(), rows, ids, |group, row| {
            let value = column.value_of(row);
            let id = match known.get(value) {
                Some(&id) if id != u32::MAX => id,
                _ => self.id(column.value(value)),
            };
            if let Some(known) = known.get_mut(value) {
                *known = id;
            }
            groups.push(group as u32);
            words.push(id);
        });
        self.pairs.extend(&groups, |i| words[i], &mut new);
        Ok(())
    }

    fn merge(&mut self, other: &Self, map: &[u32], new: impl FnMut(u32)) {
        let ids: Vec<u32> = (0..other.ends.len()).map(|id| self.id(other.string(id as u32))).collect();
        self.pairs.merge(&other.pairs, |group, id| (map[group as usize], ids[id as usize]), new);
    }

    fn pairs(&self, to: &DataType) -> Result<(Vec<u32>, ArrayRef), AggregateError> {
        let ids = self.pairs.iter().map(|pair| pair.0).collect();
        Ok((ids, super::arguments::bytes_array(self.pairs.iter().map(|pair| Some(self.string(pair.1))), to)?))
    }

    fn sorted(&self, mut each: impl FnMut(u32, &[u8])) {
        let mut pairs: Vec<_> = self.pairs.iter().map(|(group, id)| (group, self.string(id))).collect();
        pairs.sort_unstable();
        for (group, value) in pairs {
            each(group, &(value.len() as u32).to_le_bytes());
            each(group, value);
        }
    }

    fn load(&mut self, group: u32, mut saved: &[u8], mut new: impl FnMut(u32)) -> bool {
        while let Some((length, rest)) = saved.split_first_chunk() {
            let Some((value, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else { return false };
            let id = self.id(value);
            if !self.pairs.insert(group, id) {
                return false;
            }
            new(group);
            saved = rest;
        }
        saved.is_empty()
    }

    fn memory_bytes(&self) -> usize {
        let strings = self.data.capacity() + self.ends.capacity() * size_of::<usize>();
        strings + self.ids.allocation_size() + self.pairs.memory_bytes()
    }
}
