//! All that a `PARTITION BY` holds, as rows of a checkpoint and back.
//!
//! Where frames look back for a bounded time, checkpoints keep the rows that came since and do them again. Frames without such a
//! bound would need all rows there ever were; of these all state is written down whenever more rows have come than it has.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, UInt8Array, UInt32Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use pelton_kernels::Rows;

use super::keyed::{Extra, Kept, Keyed, Seen};
use super::lanes::Appended;
use super::spec::Function;
use crate::batch::internal;
use crate::checkpoint::piece::{batch_of, misfit, of_key};
use crate::error::Result;

fn other() -> crate::error::Error {
    misfit("the state of another OVER")
}

/// The columns of a saved batch, one after the other.
struct Columns<'a>(std::slice::Iter<'a, ArrayRef>);

impl<'a> Columns<'a> {
    fn next(&mut self) -> Result<&'a ArrayRef> {
        self.0.next().ok_or_else(other)
    }

    fn numbers(&mut self) -> Result<Vec<u64>> {
        let column = self.next()?.as_primitive_opt::<UInt64Type>().ok_or_else(other)?;
        Ok(column.values().to_vec())
    }

    fn small(&mut self) -> Result<Vec<u32>> {
        let column = self.next()?.as_primitive_opt::<UInt32Type>().ok_or_else(other)?;
        Ok(column.values().to_vec())
    }
}

impl Keyed {
    /// Rows that frames may look at, and keys.
    pub(super) fn size(&self) -> usize {
        self.blocks.iter().map(|block| block.len as usize + 1).sum()
    }

    /// Batches of: keys, rows, then the values of each set.
    pub(super) fn snapshot(&self) -> Result<Vec<RecordBatch>> {
        let keys = self.blocks.len();
        let mut columns: Vec<ArrayRef> = vec![];
        if !self.spec.keys.is_empty() {
            columns.extend(self.table.keys().map_err(super::keyed::lost)?);
        }
        columns.push(Arc::new(UInt64Array::from_iter_values(self.blocks.iter().map(|block| block.base))));
        columns.push(Arc::new(UInt32Array::from_iter_values(self.blocks.iter().map(|block| block.len))));
        let small = |values: &[u32], width: usize, at: usize| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values((0..keys).map(|key| values[key * width + at])))
        };
        columns.extend((0..self.stride).map(|at| small(&self.positions, self.stride, at)));
        columns.extend((0..self.counters).map(|at| small(&self.counts, self.counters, at)));
        for lane in &self.lanes {
            let starts = self.blocks.iter().map(|block| lane.before(block.start as usize));
            let (sums, nulls): (Vec<i128>, Vec<u64>) = starts.unzip();
            columns.push(Arc::new(Int64Array::from_iter_values(sums.iter().map(|sum| (sum >> 64) as i64))));
            columns.push(Arc::new(UInt64Array::from_iter_values(sums.iter().map(|sum| *sum as u64))));
            columns.push(Arc::new(UInt64Array::from(nulls)));
        }
        let mut sets = vec![];
        for (extra, call) in self.extras.iter().chain(&self.bases).zip(self.spec.calls.iter().cycle()) {
            let lane = || &self.lanes[call.arg.expect("what is kept is of an argument")];
            match extra {
                Extra::Nothing => {}
                Extra::Kept(kept) => {
                    columns.push(Arc::new(UInt8Array::from_iter_values(kept.iter().map(|kept| kept.state as u8))));
                    let words = kept.iter().map(|kept| (kept.state == Seen::Value).then_some(kept.word));
                    columns.push(lane().array(words).map_err(internal)?);
                }
                Extra::Sets(of) => {
                    let values = of.iter().zip(0..).flat_map(|(set, key)| set.iter().map(move |word| (key, *word)));
                    let mut values: Vec<(u32, i128)> = values.collect();
                    values.sort_unstable();
                    let of = UInt32Array::from_iter_values(values.iter().map(|(key, _)| *key));
                    let words = lane().array(values.iter().map(|(_, word)| Some(*word))).map_err(internal)?;
                    sets.push(batch_of(vec![Arc::new(of), words], values.len())?);
                }
                Extra::States(states) => {
                    let saved = states.iter().map(|state| state.as_ref().map(|state| state.save().value(0).to_vec()));
                    columns.push(Arc::new(saved.collect::<BinaryArray>()));
                }
            }
        }
        let places: Vec<usize> =
            self.blocks.iter().flat_map(|b| b.start as usize..(b.start + b.len) as usize).collect();
        let times = Int64Array::from_iter_values(places.iter().map(|place| self.times[*place]));
        let mut rows: Vec<ArrayRef> = vec![Arc::new(times)];
        for lane in &self.lanes {
            rows.push(lane.saved(&places).map_err(internal)?);
        }
        let mut batches = vec![batch_of(columns, keys)?, batch_of(rows, places.len())?];
        batches.extend(sets);
        Ok(batches)
    }

    /// Takes up what [`snapshot`](Self::snapshot) has said, before the first row. Answers how many batches that were.
    pub(super) fn restore(&mut self, batches: &[RecordBatch]) -> Result<usize> {
        let [keys, rows, ..] = batches else { return Err(other()) };
        let mut columns = Columns(keys.columns().iter());
        let known = keys.num_rows();
        if !self.spec.keys.is_empty() {
            let types = self.key_types.clone();
            let saved =
                types.iter().map(|to| of_key(columns.next()?, to).ok_or_else(other)).collect::<Result<Vec<_>>>()?;
            let mut ids = vec![];
            self.table.intern(&saved, Rows::All(known), &mut ids).map_err(super::keyed::lost)?;
        }
        self.know(known);
        let (bases, lens) = (columns.numbers()?, columns.small()?);
        let width = (self.stride, self.counters);
        let mut positions = vec![0; known * width.0];
        for at in 0..width.0 {
            columns.small()?.iter().enumerate().for_each(|(key, value)| positions[key * width.0 + at] = *value);
        }
        let mut counts = vec![0; known * width.1];
        for at in 0..width.1 {
            columns.small()?.iter().enumerate().for_each(|(key, value)| counts[key * width.1 + at] = *value);
        }
        if lens.iter().map(|len| *len as usize).sum::<usize>() != rows.num_rows()
            || rows.num_columns() != self.lanes.len() + 1
        {
            return Err(other());
        }
        let times = rows.column(0).as_primitive_opt::<Int64Type>().ok_or_else(other)?.values().to_vec();
        let ids: Vec<u32> = (0..known).flat_map(|key| std::iter::repeat_n(key as u32, lens[key] as usize)).collect();
        let order: Vec<u32> = (0..ids.len() as u32).collect();
        // Keys without rows have a block as well.
        (0..known).try_for_each(|key| self.make_room(key as u32, lens[key]))?;
        self.blocks.iter_mut().zip(&bases).for_each(|(block, base)| block.base = *base);
        let (at, runs) = self.place(&times, &ids, &order)?;
        let appended = Appended { order: &order, at: &at, runs: &runs };
        let places = self.times.len();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            lane.append(&appended, rows.column(at + 1), places).map_err(|e| other().because(e))?;
            let high = columns.next()?.as_primitive_opt::<Int64Type>().ok_or_else(other)?.values().to_vec();
            let (low, nulls) = (columns.numbers()?, columns.numbers()?);
            for (key, block) in self.blocks.iter().enumerate() {
                let sum = i128::from(high[key]) << 64 | i128::from(low[key]);
                lane.lift(block.start as usize, block.len as usize, sum, nulls[key], places);
            }
        }
        (self.positions, self.counts) = (positions, counts);
        let mut sets = batches[2..].iter();
        for (extra, call) in self.extras.iter_mut().chain(&mut self.bases).zip(self.spec.calls.iter().cycle()) {
            match extra {
                Extra::Nothing => {}
                Extra::Kept(kept) => {
                    let states = columns.next()?.as_primitive_opt::<UInt8Type>().ok_or_else(other)?.values().to_vec();
                    let lane = &mut self.lanes[call.arg.ok_or_else(other)?];
                    let words = lane.words(columns.next()?).map_err(|e| other().because(e))?;
                    let seen = |state| match state {
                        0 => Ok(Seen::Nothing),
                        1 => Ok(Seen::Null),
                        2 => Ok(Seen::Value),
                        _ => Err(other()),
                    };
                    let both = states.into_iter().zip(words);
                    let both =
                        both.map(|(state, word)| Ok(Kept { state: seen(state)?, word: word.unwrap_or_default() }));
                    *kept = both.collect::<Result<_>>()?;
                }
                Extra::Sets(own) => {
                    let set = sets.next().ok_or_else(other)?;
                    let of = set.column(0).as_primitive_opt::<UInt32Type>().ok_or_else(other)?;
                    let lane = &mut self.lanes[call.arg.ok_or_else(other)?];
                    let words = lane.words(set.column(1)).map_err(|e| other().because(e))?;
                    for (key, word) in of.values().iter().zip(words) {
                        own.get_mut(*key as usize).ok_or_else(other)?.insert(word.unwrap_or_default());
                    }
                }
                Extra::States(states) => {
                    let Function::Aggregate { spec, .. } = &call.function else { return Err(other()) };
                    let saved = cast(columns.next()?, &DataType::Binary).map_err(|e| other().because(e))?;
                    for (key, saved) in saved.as_binary::<i32>().iter().enumerate() {
                        if let Some(saved) = saved {
                            let mut state = spec.build().map_err(|e| other().because(e))?;
                            state.load(&BinaryArray::from_iter_values([saved])).map_err(|e| other().because(e))?;
                            states[key] = Some(state);
                        }
                    }
                }
            }
        }
        Ok(batches.len() - sets.len())
    }
}
