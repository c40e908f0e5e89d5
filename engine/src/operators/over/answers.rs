//! The answers of one call for new rows, from the frames' places and the argument's lane.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, Scalar};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::DataType;
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateError, AggregateKind, AggregateSpec};
use pelton_kernels::exact::{Number, decimal_mean};

use super::keyed::{Extra, Kept, Seen, Slot, Spans};
use super::lanes::{Appended, Lane};
use super::spec::{Call, Frame, Function};
use crate::batch::internal;
use crate::error::{Error, Result};

/// A row that a call has no answer for.
pub(super) struct Failed {
    /// Its number in the batch.
    pub(super) row: u32,
    /// Why.
    pub(super) reason: String,
}

/// How many values that are not NULL the frames have, by frame and argument: what counts and means of the same have in common.
pub(super) type Counted = BTreeMap<(usize, usize), Rc<Vec<i64>>>;

/// At most so many values are handed to an aggregate at once.
const AT_ONCE: usize = 1 << 20;

/// What the answers of one call are made from.
pub(super) struct Answers<'a> {
    pub(super) lanes: &'a mut [Lane],
    pub(super) extra: &'a mut Extra,
    pub(super) positions: &'a mut [u32],
    pub(super) stride: usize,
    pub(super) counts: &'a mut [u32],
    pub(super) counters: usize,
    pub(super) rows: &'a Appended<'a>,
    pub(super) spans: &'a Spans,
    pub(super) counted: &'a mut Counted,
    pub(super) failed: &'a mut Vec<Failed>,
}

impl Answers<'_> {
    /// The answers of `call`, by row of the batch.
    pub(super) fn of(&mut self, call: &Call, frame: Frame, slot: Slot) -> Result<ArrayRef> {
        let open = frame.is_open();
        match &call.function {
            Function::RowNumber => {
                let numbers = self.per_run(|run, at| (run.base + u64::from(at - run.start) + 1) as i64);
                Ok(Arc::new(Int64Array::from(numbers)))
            }
            Function::Lag { back, default } => self.lag(call.arg.expect("LAG takes one"), *back, default),
            Function::Aggregate { spec, respect_nulls } => match (spec.kind, call.arg) {
                (AggregateKind::Count, None) => Ok(Arc::new(Int64Array::from(self.rows_of(open)))),
                (AggregateKind::Count, Some(arg)) if !spec.distinct => {
                    let values = self.values_of(call.frame, arg, open);
                    Ok(Arc::new(Int64Array::from(self.by_row(|i| values[i]))))
                }
                (AggregateKind::Count, Some(arg)) => Ok(Arc::new(Int64Array::from(self.different(arg, open, slot)))),
                (AggregateKind::FirstValue, Some(arg)) if !open => self.first(arg, *respect_nulls),
                (AggregateKind::LastValue, Some(arg)) if !open => self.last(arg, *respect_nulls),
                (_, Some(arg)) if call.function.adds(open) => self.sums(spec, call.frame, arg, open),
                (_, Some(arg)) => match (call.function.greatest(), &self.extra, slot) {
                    (Some(greatest), _, Slot::Position(slot)) => self.best(arg, greatest, slot),
                    (_, Extra::Kept(_), _) => self.kept(&call.function, arg),
                    (_, Extra::States(_), _) => self.grown(spec, arg),
                    _ => {
                        let all: Vec<u32> = (0..self.rows.order.len() as u32).collect();
                        let answers = self.general(spec, arg, &all)?;
                        self.sorted_back(&answers)
                    }
                },
                (_, None) => Err(Error::bug(format!("{} of nothing", spec.kind))),
            },
        }
    }

    /// A value for each new row, by row of the batch, from its number among them in the order of keys.
    fn by_row<T: Clone + Default>(&self, value: impl Fn(usize) -> T) -> Vec<T> {
        let mut values = vec![T::default(); self.rows.order.len()];
        for (i, &row) in self.rows.order.iter().enumerate() {
            values[row as usize] = value(i);
        }
        values
    }

    /// The same from its run and its place.
    fn per_run<T: Clone + Default>(&self, value: impl Fn(&super::lanes::Run, u32) -> T) -> Vec<T> {
        let mut values = vec![T::default(); self.rows.order.len()];
        for run in self.rows.runs {
            for i in run.range() {
                values[self.rows.order[i] as usize] = value(run, self.rows.at[i]);
            }
        }
        values
    }

    /// A column in the order of keys as one in the order of the batch.
    fn sorted_back(&self, answers: &ArrayRef) -> Result<ArrayRef> {
        let mut places = vec![0u32; self.rows.order.len()];
        for (i, &row) in self.rows.order.iter().enumerate() {
            places[row as usize] = i as u32;
        }
        take(answers, &arrow::array::UInt32Array::from(places), None).map_err(internal)
    }

    /// Words, in the order of keys, as a column in the order of the batch.
    fn column(&self, arg: usize, words: &[Option<i128>]) -> Result<ArrayRef> {
        self.lanes[arg].array(self.by_row(|i| words[i]).into_iter()).map_err(internal)
    }

    fn frame(&self, i: usize) -> (usize, usize) {
        (self.spans.heads[i] as usize, self.spans.tails[i] as usize)
    }

    /// How many rows each frame has.
    fn rows_of(&self, open: bool) -> Vec<i64> {
        match open {
            false => self.by_row(|i| i64::from(self.spans.tails[i] - self.spans.heads[i])),
            true => {
                let mut counts = vec![0; self.rows.order.len()];
                for run in self.rows.runs {
                    for i in run.range() {
                        let count = run.base + u64::from(self.spans.tails[i] - run.start);
                        counts[self.rows.order[i] as usize] = count as i64;
                    }
                }
                counts
            }
        }
    }

    /// How many values that are not NULL each frame has, in the order of keys.
    fn values_of(&mut self, frame: usize, arg: usize, open: bool) -> Rc<Vec<i64>> {
        if let Some(counts) = self.counted.get(&(frame, arg)) {
            return counts.clone();
        }
        let counts = Rc::new(self.count(arg, open));
        self.counted.insert((frame, arg), counts.clone());
        counts
    }

    fn count(&self, arg: usize, open: bool) -> Vec<i64> {
        let lane = &self.lanes[arg];
        let mut counts = Vec::with_capacity(self.rows.order.len());
        for run in self.rows.runs {
            for i in run.range() {
                let (head, tail) = self.frame(i);
                counts.push(match open {
                    false => (tail - head) as i64 - lane.nulls_between(head, tail) as i64,
                    true => (run.base + (tail - run.start as usize) as u64 - lane.nulls_before(tail)) as i64,
                });
            }
        }
        counts
    }

    fn lag(&self, arg: usize, back: u32, default: &ArrayRef) -> Result<ArrayRef> {
        let lane = &self.lanes[arg];
        let place = self.per_run(|run, at| (at - run.start >= back).then(|| (at - back) as usize));
        let words = place.iter().map(|place| place.filter(|place| !lane.is_null(*place)).map(|place| lane.word(place)));
        let values = lane.array(words).map_err(internal)?;
        if default.is_null(0) || place.iter().all(Option::is_some) {
            return Ok(values);
        }
        let there = BooleanArray::from_iter(place.iter().map(|place| Some(place.is_some())));
        zip(&there, &values, &Scalar::new(default.clone())).map_err(internal)
    }

    fn different(&mut self, arg: usize, open: bool, slot: Slot) -> Vec<i64> {
        let mut found = vec![0; self.rows.order.len()];
        for (run, before) in self.rows.runs.iter().zip(&self.spans.before) {
            let (mut head, mut tail) = (before.0 as usize, before.1 as usize);
            for i in run.range() {
                let (to_head, to_tail) = (self.spans.heads[i] as usize, self.spans.tails[i] as usize);
                let count = match (&mut *self.extra, slot) {
                    (Extra::Sets(sets), _) => {
                        let set = &mut sets[run.key as usize];
                        for place in tail..to_tail.max(tail) {
                            let lane = &mut self.lanes[arg];
                            if lane.is_null(place) {
                                continue;
                            }
                            let word = lane.distinct_word(place);
                            if set.insert(word) {
                                lane.hold(word);
                            }
                        }
                        debug_assert!(open);
                        set.len() as i64
                    }
                    (_, Slot::Counter(counter)) => {
                        let lane = &self.lanes[arg];
                        let count = &mut self.counts[run.key as usize * self.counters + counter];
                        let come = (tail..to_tail).filter(|p| !lane.is_null(*p) && lane.is_first(*p, head)).count();
                        let gone = (head..to_head).filter(|p| !lane.is_null(*p) && lane.is_last(*p, to_tail)).count();
                        *count = *count + come as u32 - gone as u32;
                        i64::from(*count)
                    }
                    _ => unreachable!("different values are counted in one of two ways"),
                };
                (head, tail) = (to_head, to_tail.max(tail));
                found[self.rows.order[i] as usize] = count;
            }
        }
        found
    }

    fn first(&self, arg: usize, respect_nulls: bool) -> Result<ArrayRef> {
        let lane = &self.lanes[arg];
        let word = |i: usize| {
            let (head, tail) = self.frame(i);
            match respect_nulls {
                true => (head < tail && !lane.is_null(head)).then(|| lane.word(head)),
                false => lane.first_from(head, tail).map(|place| lane.word(place)),
            }
        };
        self.lanes[arg].array(self.by_row(word).into_iter()).map_err(internal)
    }

    fn last(&self, arg: usize, respect_nulls: bool) -> Result<ArrayRef> {
        let lane = &self.lanes[arg];
        let word = |i: usize| {
            let (head, tail) = self.frame(i);
            match respect_nulls {
                true => (head < tail && !lane.is_null(tail - 1)).then(|| lane.word(tail - 1)),
                false => lane.last_before(head, tail).map(|place| lane.word(place)),
            }
        };
        self.lanes[arg].array(self.by_row(word).into_iter()).map_err(internal)
    }

    /// The least or greatest value of each frame.
    fn best(&mut self, arg: usize, greatest: bool, slot: usize) -> Result<ArrayRef> {
        let lane = &self.lanes[arg];
        let mut words = vec![None; self.rows.order.len()];
        for run in self.rows.runs {
            let position = &mut self.positions[run.key as usize * self.stride + slot];
            let mut best = (run.start + *position) as usize;
            for i in run.range() {
                let (head, tail) = (self.spans.heads[i] as usize, self.spans.tails[i] as usize);
                if head < tail {
                    best = lane.best(greatest, best.max(head), tail);
                    words[i] = (!lane.is_null(best)).then(|| lane.word(best));
                }
            }
            *position = best as u32 - run.start;
        }
        self.column(arg, &words)
    }

    /// Extremes, first and last values of frames without a beginning.
    fn kept(&mut self, function: &Function, arg: usize) -> Result<ArrayRef> {
        let Extra::Kept(kept) = &mut *self.extra else { unreachable!("asked by the caller") };
        let (greatest, is_first, respect_nulls) = match function {
            Function::Aggregate { spec, respect_nulls } => {
                (function.greatest(), spec.kind == AggregateKind::FirstValue, *respect_nulls)
            }
            _ => unreachable!("only aggregates keep values"),
        };
        let lane = &mut self.lanes[arg];
        let mut words = vec![None; self.rows.order.len()];
        // Answers of earlier rows are these values still.
        let mut let_go = vec![];
        for (run, before) in self.rows.runs.iter().zip(&self.spans.before) {
            let own = &mut kept[run.key as usize];
            let mut tail = before.1;
            for i in run.range() {
                for place in tail as usize..self.spans.tails[i] as usize {
                    let (state, word) = match lane.is_null(place) {
                        true => (Seen::Null, 0),
                        false => (Seen::Value, lane.word(place)),
                    };
                    let takes_over = match (greatest, own.state, state) {
                        (None, _, Seen::Null) if !respect_nulls => false,
                        (Some(_), _, Seen::Null) => false,
                        (_, Seen::Nothing, _) => true,
                        (None, _, _) => !is_first,
                        (Some(greatest), ..) => {
                            let order = lane.compare(word, own.word);
                            if greatest { order.is_gt() } else { order.is_lt() }
                        }
                    };
                    if takes_over {
                        let before = std::mem::replace(own, Kept { state, word });
                        if state == Seen::Value {
                            lane.hold(word);
                        }
                        if before.state == Seen::Value {
                            let_go.push(before.word);
                        }
                    }
                }
                tail = tail.max(self.spans.tails[i]);
                words[i] = (own.state == Seen::Value).then_some(own.word);
            }
        }
        let column = self.column(arg, &words);
        let_go.into_iter().for_each(|word| self.lanes[arg].release(word));
        column
    }

    /// `SUM` and `AVG` by running sums.
    fn sums(&mut self, spec: &AggregateSpec, frame: usize, arg: usize, open: bool) -> Result<ArrayRef> {
        let output = spec.output_type().map_err(|e| Error::bug(e.to_string()))?;
        let mean = spec.kind == AggregateKind::Avg;
        let counts = self.values_of(frame, arg, open);
        let lane = &self.lanes[arg];
        let sums = lane.sums();
        let sum = |i: usize| {
            let (head, tail) = self.frame(i);
            if open { sums.before(tail) } else { sums.between(head, tail) }
        };
        let valid = NullBuffer::from(self.by_row(|i| counts[i] > 0));
        match (&output, lane.data_type()) {
            (DataType::Float64, from) => {
                let unit = lane.unit();
                let mut values = self.by_row(|i| match counts[i] {
                    0 => 0.0,
                    count => rounded(sum(i), unit, mean.then_some(count as u64)),
                });
                if from.is_floating() {
                    let odd = |i: &u32| {
                        let (head, tail) = self.frame(*i as usize);
                        lane.wide || lane.special_between(head, tail)
                    };
                    let odd: Vec<u32> = (0..self.rows.order.len() as u32).filter(odd).collect();
                    let answers = self.general(spec, arg, &odd)?;
                    let answers = answers.as_any().downcast_ref::<Float64Array>().expect("sums of doubles are doubles");
                    for (i, answer) in odd.iter().zip(answers.values()) {
                        values[self.rows.order[*i as usize] as usize] = *answer;
                    }
                }
                Ok(Arc::new(Float64Array::new(values.into(), Some(valid))))
            }
            (DataType::Decimal128(precision, scale), DataType::Decimal128(_, from)) => {
                let digits = (scale - from) as u32;
                let values = self.by_row(|i| {
                    let value = if mean && counts[i] > 0 {
                        decimal_mean(sum(i), counts[i] as u64, digits)
                    } else {
                        Some(sum(i))
                    };
                    value.filter(|value| value.unsigned_abs() < 10u128.pow(38))
                });
                let values = self.all_there(values, &output);
                let values = Decimal128Array::new(values.into(), Some(valid));
                Ok(Arc::new(values.with_precision_and_scale(*precision, *scale).map_err(internal)?))
            }
            _ => {
                let values = self.by_row(|i| i64::try_from(sum(i)).ok());
                Ok(Arc::new(Int64Array::new(self.all_there(values, &output).into(), Some(valid))))
            }
        }
    }

    /// The values; rows without one have failed.
    fn all_there<T: Copy + Default>(&mut self, values: Vec<Option<T>>, output: &DataType) -> Vec<T> {
        let failed = (0..values.len()).filter(|row| values[*row].is_none());
        let reason = || format!("the sum does not fit {output}");
        self.failed.extend(failed.map(|row| Failed { row: row as u32, reason: reason() }));
        values.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Any aggregate of frames with a beginning, value by value, for these rows of those in the order of keys.
    fn general(&mut self, spec: &AggregateSpec, arg: usize, which: &[u32]) -> Result<ArrayRef> {
        let mut parts: Vec<ArrayRef> = vec![];
        let mut from = 0;
        while from < which.len() || parts.is_empty() {
            let mut to = from;
            let mut size = 0;
            while to < which.len() && (size < AT_ONCE || to == from) {
                let (head, tail) = self.frame(which[to] as usize);
                size += tail - head;
                to += 1;
            }
            parts.push(self.general_part(spec, arg, &which[from..to])?);
            from = to;
        }
        concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(internal)
    }

    fn general_part(&mut self, spec: &AggregateSpec, arg: usize, which: &[u32]) -> Result<ArrayRef> {
        let lane = &self.lanes[arg];
        let mut without: Vec<bool> = vec![false; which.len()];
        loop {
            let frames = || which.iter().zip(&without).enumerate().filter(|(_, (_, without))| !**without);
            let places = frames().flat_map(|(_, (i, _))| {
                let (head, tail) = self.frame(*i as usize);
                head..tail
            });
            let values =
                lane.array(places.map(|place| (!lane.is_null(place)).then(|| lane.word(place)))).map_err(internal)?;
            let ids = frames().flat_map(|(group, (i, _))| {
                let (head, tail) = self.frame(*i as usize);
                std::iter::repeat_n(group as u32, tail - head)
            });
            let ids: Vec<u32> = ids.collect();
            let mut states = spec.build().map_err(fault)?;
            states.resize(which.len());
            states.update(&[values], Rows::All(ids.len()), &ids).map_err(fault)?;
            match states.finish() {
                Ok(answers) => return Ok(answers),
                Err(error) => {
                    let Some(group) = error.group().filter(|group| !without[*group]) else { return Err(fault(error)) };
                    without[group] = true;
                    let row = self.rows.order[which[group] as usize];
                    self.failed.push(Failed { row, reason: format!("the sum does not fit {}", states.output_type()) });
                }
            }
        }
    }

    /// Any aggregate of frames without a beginning: one state a key, which grows.
    fn grown(&mut self, spec: &AggregateSpec, arg: usize) -> Result<ArrayRef> {
        let Extra::States(states) = &mut *self.extra else { unreachable!("asked by the caller") };
        let lane = &self.lanes[arg];
        let output = spec.output_type().map_err(fault)?;
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(self.rows.order.len());
        for (run, before) in self.rows.runs.iter().zip(&self.spans.before) {
            let state = match &mut states[run.key as usize] {
                Some(state) => state,
                none => {
                    let mut fresh = spec.build().map_err(fault)?;
                    fresh.resize(1);
                    none.insert(fresh)
                }
            };
            let mut tail = before.1;
            for i in run.range() {
                if self.spans.tails[i] > tail {
                    let places = tail as usize..self.spans.tails[i] as usize;
                    let ids = vec![0; places.len()];
                    let words = places.map(|place| (!lane.is_null(place)).then(|| lane.word(place)));
                    let values = lane.array(words).map_err(internal)?;
                    state.update(&[values], Rows::All(ids.len()), &ids).map_err(fault)?;
                    tail = self.spans.tails[i];
                }
                parts.push(match state.finish() {
                    Ok(answer) => answer,
                    Err(error) if error.group().is_some() => {
                        let row = self.rows.order[i];
                        self.failed.push(Failed { row, reason: format!("the sum does not fit {output}") });
                        arrow::array::new_null_array(&output, 1)
                    }
                    Err(error) => return Err(fault(error)),
                });
            }
        }
        let answers = concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(internal)?;
        let answers =
            if *answers.data_type() == output { answers } else { cast(&answers, &output).map_err(internal)? };
        self.sorted_back(&answers)
    }
}

fn fault(error: AggregateError) -> Error {
    Error::bug("cannot compute an aggregate of OVER").because(error)
}

/// `sum · 2^unit`, divided if asked, rounded once.
fn rounded(sum: i128, unit: i32, divisor: Option<u64>) -> f64 {
    let magnitude = sum.unsigned_abs();
    let limbs = [magnitude as u64, (magnitude >> 64) as u64];
    let number = Number { negative: sum < 0, limbs: &limbs, exponent: unit };
    match divisor {
        None => number.to_f64(),
        Some(divisor) => number.divided_by(divisor),
    }
}
