//! One `PARTITION BY`: the rows of each key in the order of time, as long as a frame may look at them, and the answers of all
//! calls for new ones.
//!
//! The rows of a key lie side by side in a block of an arena; all frames share them. A frame is two places in the block, and
//! both only move forward. Rows that no frame of a key looks at any more are overwritten when the block is full; keys that no
//! frame can look at any more are let go now and then.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use hashbrown::HashSet;
use pelton_kernels::Rows as RowsOf;
use pelton_kernels::aggregate::Aggregate;
use pelton_kernels::group_table::GroupTable;

use super::Rows;
use super::answers::{Answers, Counted, Failed};
use super::lanes::{Appended, Lane, Needs, Run, grow};
use super::spec::{Call, Frame, Function, Keys};
use crate::batch::internal;
use crate::error::{Error, Result};

/// Rows of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    /// Its first place in the arena.
    pub(super) start: u32,
    /// It has room for `SMALLEST << class` sums, so for one row less.
    class: u8,
    /// Rows in it.
    pub(super) len: u32,
    /// Rows of the key before the first in it.
    pub(super) base: u64,
}

const SMALLEST: u32 = 4;

/// About so many rows are answered at once: with some five rows of a key, and 2 KiB a block, half a MiB.
#[cfg(not(test))]
const GROUP: usize = 1024;
#[cfg(test)]
const GROUP: usize = 12;

/// What a call keeps of a key, where its frame has no beginning: rows need not be kept for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) state: Seen,
    pub(super) word: i128,
}

/// What rows there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// None that counts.
    #[default]
    Nothing,
    Null,
    Value,
}

/// What a call keeps besides its lane.
pub(super) enum Extra {
    Nothing,
    /// Per key, where the frame has no beginning.
    Kept(Vec<Kept>),
    /// Per key, where the frame has no beginning: the different values.
    Sets(Vec<HashSet<i128>>),
    /// Per key, where the frame has no beginning: the aggregate of all its rows so far.
    States(Vec<Option<Box<dyn Aggregate>>>),
}

/// See the module.
pub(super) struct Keyed {
    pub(super) spec: Keys,
    /// How far back a frame looks, µs; `None` if that is not bounded by time.
    lookback: Option<i64>,
    pub(super) key_types: Vec<DataType>,
    pub(super) table: GroupTable,
    pub(super) blocks: Vec<Block>,
    /// Of each row in the arena, µs.
    pub(super) times: Vec<i64>,
    /// Places of the arena that blocks have.
    used: usize,
    pub(super) lanes: Vec<Lane>,
    /// For each key: head and tail of each frame, then a place for each call that follows links; from the block's start.
    pub(super) positions: Vec<u32>,
    pub(super) stride: usize,
    /// For each key a number for each call that counts different values.
    pub(super) counts: Vec<u32>,
    pub(super) counters: usize,
    pub(super) extras: Vec<Extra>,
    /// In the order of arrival: the same of the rows before each block, for rows that come behind later ones.
    pub(super) bases: Vec<Extra>,
    /// The rows back that `LAG` looks.
    pub(super) back: u32,
    /// Rows are taken in the order in which they arrive, and none to come is older than this.
    pub(super) settled: Option<i64>,
    free: Vec<Vec<u32>>,
    sweep_at: usize,
}

/// The rows of all frames of one kind, for new rows in the order of keys.
pub(super) struct Spans {
    /// The first place, and the one behind the last.
    pub(super) heads: Vec<u32>,
    pub(super) tails: Vec<u32>,
    /// For each run: both before its first row.
    pub(super) before: Vec<(u32, u32)>,
}

impl Extra {
    /// Makes what it has of a key that of `other`. `call`, `lanes`: whose it is.
    pub(super) fn begin_at(&mut self, other: &Extra, key: usize, call: &Call, lanes: &mut [Lane]) -> Result<()> {
        match (self, other) {
            (Extra::Kept(own), Extra::Kept(other)) => {
                let lane = &mut lanes[call.arg.expect("what is kept is of an argument")];
                let before = std::mem::replace(&mut own[key], other[key]);
                if other[key].state == Seen::Value {
                    lane.hold(other[key].word);
                }
                if before.state == Seen::Value {
                    lane.release(before.word);
                }
            }
            (Extra::Sets(own), Extra::Sets(other)) => {
                let lane = &mut lanes[call.arg.expect("what is kept is of an argument")];
                other[key].iter().for_each(|word| lane.hold(*word));
                let before = std::mem::replace(&mut own[key], other[key].clone());
                before.into_iter().for_each(|word| lane.release(word));
            }
            (Extra::States(own), Extra::States(other)) => {
                let Function::Aggregate { spec, .. } = &call.function else { return Ok(()) };
                own[key] = match &other[key] {
                    None => None,
                    Some(state) => {
                        let fault = |e| Error::bug("cannot copy an aggregate of OVER").because(e);
                        let mut copy = spec.build().map_err(fault)?;
                        copy.load(&state.save()).map_err(fault)?;
                        Some(copy)
                    }
                };
            }
            _ => {}
        }
        Ok(())
    }
}

/// Some of the rows that were appended, as if there were no others: those that are asked for, and the last of each run.
struct Few {
    /// Which rows of the batch, ascending.
    rows: Vec<u32>,
    times: Vec<i64>,
    order: Vec<u32>,
    at: Vec<u32>,
    runs: Vec<Run>,
}

impl Few {
    fn of(all: &Appended<'_>, times: &[i64], asked: &[bool]) -> Few {
        let mut among = asked.to_vec();
        all.runs.iter().for_each(|run| among[all.order[run.range().end - 1] as usize] = true);
        let rows: Vec<u32> = (0..among.len() as u32).filter(|row| among[*row as usize]).collect();
        let mut number = vec![0u32; among.len()];
        rows.iter().enumerate().for_each(|(i, row)| number[*row as usize] = i as u32);
        let (mut order, mut at) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        let mut runs = Vec::with_capacity(all.runs.len());
        for run in all.runs {
            let from = order.len() as u32;
            for i in run.range().filter(|i| among[all.order[*i] as usize]) {
                order.push(number[all.order[i] as usize]);
                at.push(all.at[i]);
            }
            runs.push(Run { rows: (from, order.len() as u32), ..*run });
        }
        Few { times: rows.iter().map(|row| times[*row as usize]).collect(), rows, order, at, runs }
    }
}

/// Where a call keeps its places and numbers.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    None,
    Position(usize),
    Counter(usize),
}

impl Keyed {
    /// For a spec over columns of these types. `arrival`: rows come in the order of arrival.
    pub(super) fn new(spec: Keys, types: &[DataType], arrival: bool) -> Result<Self> {
        let mut needs = vec![Needs::default(); spec.args.len()];
        for call in &spec.calls {
            if let Some(arg) = call.arg {
                call.function.ask(spec.frames[call.frame].is_open(), &mut needs[arg]);
            }
        }
        let lane = |(arg, needs): (&usize, Needs)| {
            Lane::new(&types[*arg], needs).ok_or_else(|| Error::bug(format!("OVER cannot keep {}", types[*arg])))
        };
        let lanes = spec.args.iter().zip(needs).map(lane).collect::<Result<Vec<_>>>()?;
        let key_types: Vec<DataType> = spec.keys.iter().map(|key| types[*key].clone()).collect();
        let (mut stride, mut counters) = (2 * spec.frames.len(), 0);
        let (mut extras, mut bases) = (vec![], vec![]);
        for call in &spec.calls {
            let open = spec.frames[call.frame].is_open();
            match call.function.slot(open) {
                Slot::Position(_) => stride += 1,
                Slot::Counter(_) => counters += 1,
                Slot::None => {}
            }
            extras.push(call.function.extra(open));
            bases.extend(arrival.then(|| call.function.extra(open)));
        }
        let back = spec.calls.iter().map(|call| call.function.back()).max().unwrap_or(0);
        let lookback = spec.lookback();
        Ok(Keyed {
            spec,
            lookback,
            table: GroupTable::new(&key_types),
            key_types,
            blocks: vec![],
            times: vec![],
            used: 0,
            lanes,
            positions: vec![],
            stride,
            counts: vec![],
            counters,
            extras,
            bases,
            back,
            settled: None,
            free: vec![],
            sweep_at: 1024,
        })
    }

    /// Takes rows, ascending in time within each key, and answers all calls for each that is asked for. Rows that a call has no
    /// answer for are named in `failed`.
    pub(super) fn push(&mut self, rows: &Rows, failed: &mut Vec<Failed>) -> Result<Vec<ArrayRef>> {
        let ids = self.intern(&rows.columns, rows.times.len())?;
        self.answer(&rows.times, &rows.columns, &ids, rows.asked.as_deref(), failed)
    }

    /// The numbers of the rows' keys; without keys all are of one.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|key| columns[*key].clone()).collect();
        let mut ids = vec![];
        match keys.is_empty() {
            true => ids.resize(rows, 0),
            false => self
                .table
                .intern(&keys, RowsOf::All(rows), &mut ids)
                .map_err(|e| Error::user("cannot tell the keys of PARTITION BY apart").because(e))?,
        }
        self.know(if keys.is_empty() { 1 } else { self.table.len() });
        Ok(ids)
    }

    /// The answers of all calls for rows of these keys, as far as they are asked for: all are kept, since others look at them.
    ///
    /// Every frame and every call goes through the rows once. So that a key's block is still in the caches when the next one comes to
    /// it, many rows are sorted by key and answered in groups, of which all blocks fit there together.
    pub(super) fn answer(
        &mut self,
        times: &[i64],
        columns: &[ArrayRef],
        ids: &[u32],
        asked: Option<&[bool]>,
        failed: &mut Vec<Failed>,
    ) -> Result<Vec<ArrayRef>> {
        let is_asked = |row: u32| asked.is_none_or(|asked| asked[row as usize]);
        if times.len() < 2 * GROUP {
            let (answers, answered) = self.answer_group(times, columns, ids, asked, failed)?;
            let Some(answered) = answered else { return Ok(answers) };
            failed.retain(|failed| is_asked(failed.row));
            let places = (0..answered.len() as u32).filter(|at| is_asked(answered[*at as usize]));
            return taken(&answers, &UInt32Array::from_iter_values(places));
        }
        let order = by_key(ids, self.blocks.len());
        let rows = UInt32Array::from(order);
        let order = rows.values();
        let times: Vec<i64> = order.iter().map(|row| times[*row as usize]).collect();
        let ids: Vec<u32> = order.iter().map(|row| ids[*row as usize]).collect();
        let sorted_asked: Option<Vec<bool>> = asked.map(|asked| order.iter().map(|row| asked[*row as usize]).collect());
        let mut sorted = columns.to_vec();
        for arg in &self.spec.args {
            sorted[*arg] = take(&columns[*arg], &rows, None).map_err(internal)?;
        }
        let mut parts: Vec<Vec<ArrayRef>> = vec![vec![]; self.spec.calls.len()];
        // Where among the answers each row's are.
        let mut places = vec![0u32; order.len()];
        let mut answers_there = 0;
        let mut start = 0;
        while start < ids.len() {
            let mut end = (start + GROUP).min(ids.len());
            end += ids[end..].iter().take_while(|key| **key == ids[end - 1]).count();
            let group = start..end;
            let own: Vec<ArrayRef> = sorted.iter().map(|column| column.slice(start, group.len())).collect();
            let own_asked = sorted_asked.as_ref().map(|asked| &asked[group.clone()]);
            let mut refused = vec![];
            let (answers, answered) =
                self.answer_group(&times[group.clone()], &own, &ids[group.clone()], own_asked, &mut refused)?;
            let mut place = |row: u32| {
                places[order[start + row as usize] as usize] = answers_there;
                answers_there += 1;
            };
            match answered {
                None => (0..group.len() as u32).for_each(&mut place),
                Some(answered) => answered.into_iter().for_each(&mut place),
            }
            parts.iter_mut().zip(answers).for_each(|(part, answer)| part.push(answer));
            let refused = refused.into_iter().map(|f| Failed { row: order[start + f.row as usize], reason: f.reason });
            failed.extend(refused.filter(|failed| is_asked(failed.row)));
            start = end;
        }
        let places = (0..order.len() as u32).filter(|row| is_asked(*row)).map(|row| places[row as usize]);
        let places = UInt32Array::from_iter_values(places);
        let whole = |parts: Vec<ArrayRef>| {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            take(&concat(&parts)?, &places, None)
        };
        parts.into_iter().map(whole).collect::<Result<_, _>>().map_err(internal)
    }

    /// Takes rows, and answers those that are asked for and the last of each key, with which its frames move on: the answers, and for
    /// which rows they are, ascending; `None` for all of them.
    fn answer_group(
        &mut self,
        times: &[i64],
        columns: &[ArrayRef],
        ids: &[u32],
        asked: Option<&[bool]>,
        failed: &mut Vec<Failed>,
    ) -> Result<(Vec<ArrayRef>, Option<Vec<u32>>)> {
        let order = by_key(ids, self.blocks.len());
        let (at, runs) = self.place(times, ids, &order)?;
        let mut rows = Appended { order: &order, at: &at, runs: &runs };
        let places = self.times.len();
        for (lane, arg) in self.lanes.iter_mut().zip(&self.spec.args) {
            lane.append(&rows, &columns[*arg], places).map_err(internal)?;
        }
        let few;
        let mut few_times = times;
        let mut answered = None;
        if let Some(asked) = asked {
            few = Few::of(&rows, times, asked);
            (rows, few_times) = (Appended { order: &few.order, at: &few.at, runs: &few.runs }, &few.times);
            answered = Some(&few.rows);
        }
        let spans: Vec<Spans> =
            (0..self.spec.frames.len()).map(|frame| self.move_frame(frame, few_times, &rows)).collect();
        let mut answers = Vec::with_capacity(self.spec.calls.len());
        let mut counted = Counted::new();
        let from = failed.len();
        for (call, slot) in self.slots() {
            let frame = self.spec.calls[call].frame;
            let mut answers_of = Answers {
                lanes: &mut self.lanes,
                extra: &mut self.extras[call],
                positions: &mut self.positions,
                stride: self.stride,
                counts: &mut self.counts,
                counters: self.counters,
                rows: &rows,
                spans: &spans[frame],
                counted: &mut counted,
                failed,
            };
            answers.push(answers_of.of(&self.spec.calls[call], self.spec.frames[frame], slot)?);
        }
        if let Some(rows) = answered {
            failed[from..].iter_mut().for_each(|failed| failed.row = rows[failed.row as usize]);
        }
        Ok((answers, answered.cloned()))
    }

    /// Where each call keeps its places and numbers.
    pub(super) fn slots(&self) -> Vec<(usize, Slot)> {
        let (mut position, mut counter) = (2 * self.spec.frames.len(), 0);
        let slot = |(at, call): (usize, &Call)| {
            let slot = match call.function.slot(self.spec.frames[call.frame].is_open()) {
                Slot::Position(_) => {
                    position += 1;
                    Slot::Position(position - 1)
                }
                Slot::Counter(_) => {
                    counter += 1;
                    Slot::Counter(counter - 1)
                }
                Slot::None => Slot::None,
            };
            (at, slot)
        };
        self.spec.calls.iter().enumerate().map(slot).collect()
    }

    /// Makes room for the keys there are.
    pub(super) fn know(&mut self, keys: usize) {
        self.blocks.resize(keys, Block { class: u8::MAX, ..Block::default() });
        self.positions.resize(keys * self.stride, 0);
        self.counts.resize(keys * self.counters, 0);
        for extra in self.extras.iter_mut().chain(&mut self.bases) {
            match extra {
                Extra::Nothing => {}
                Extra::Kept(kept) => kept.resize(keys, Kept::default()),
                Extra::Sets(sets) => sets.resize_with(keys, HashSet::new),
                Extra::States(states) => states.resize_with(keys, || None),
            }
        }
    }

    /// Gives each row, in order, its place.
    pub(super) fn place(&mut self, times: &[i64], ids: &[u32], order: &[u32]) -> Result<(Vec<u32>, Vec<Run>)> {
        let mut at = Vec::with_capacity(order.len());
        let mut runs = vec![];
        let mut from = 0;
        while from < order.len() {
            let key = ids[order[from] as usize];
            let to = from + order[from..].iter().take_while(|row| ids[**row as usize] == key).count();
            self.make_room(key, (to - from) as u32)?;
            let block = &mut self.blocks[key as usize];
            for &row in &order[from..to] {
                let place = block.start + block.len;
                self.times[place as usize] = times[row as usize];
                at.push(place);
                block.len += 1;
            }
            runs.push(Run { key, rows: (from as u32, to as u32), start: block.start, base: block.base });
            from = to;
        }
        Ok((at, runs))
    }

    /// Makes room for `more` rows in a key's block, where it is or in another.
    pub(super) fn make_room(&mut self, key: u32, more: u32) -> Result<()> {
        let block = self.blocks[key as usize];
        let is_new = block.class == u8::MAX;
        let room = if is_new { 0 } else { SMALLEST << block.class };
        if block.len + more < room {
            return Ok(());
        }
        let needless = if is_new { 0 } else { self.needless(key) };
        let rest = block.len - needless;
        if needless > 0 && !self.bases.is_empty() {
            self.rest_on(key, needless)?;
        }
        for lane in &mut self.lanes {
            lane.forget(key, block.start as usize, needless as usize, block.base);
        }
        // A block that is moved over itself so often costs little a row: at least a quarter of it is free then.
        let wanted = rest + more + 1 + (rest + more) / 4;
        let class = wanted.div_ceil(SMALLEST).next_power_of_two().trailing_zeros() as u8;
        let start = if class == block.class { block.start } else { self.allocate(class) };
        if is_new {
            self.lanes.iter_mut().for_each(|lane| lane.begin(start as usize));
        } else {
            let from = (block.start + needless) as usize;
            self.times.copy_within(from..from + rest as usize, start as usize);
            self.lanes.iter_mut().for_each(|lane| lane.copy(from, start as usize, rest as usize));
            if start != block.start {
                self.free[block.class as usize].push(block.start);
            }
        }
        self.blocks[key as usize] = Block { start, class, len: rest, base: block.base + u64::from(needless) };
        let own = key as usize * self.stride;
        for position in &mut self.positions[own..own + self.stride] {
            *position = position.saturating_sub(needless);
        }
        Ok(())
    }

    /// A block's first place.
    fn allocate(&mut self, class: u8) -> u32 {
        if self.free.len() <= class.into() {
            self.free.resize(usize::from(class) + 1, vec![]);
        }
        if let Some(start) = self.free[usize::from(class)].pop() {
            return start;
        }
        let start = self.used;
        self.used += (SMALLEST as usize) << class;
        if self.used > self.times.len() {
            let places = places_for(self.used);
            grow(&mut self.times, places);
            self.lanes.iter_mut().for_each(|lane| lane.resize(places));
        }
        u32::try_from(start).expect("so many rows do not fit into memory")
    }

    /// How many of a key's first rows no frame looks at any more.
    fn needless(&self, key: u32) -> u32 {
        let len = self.blocks[key as usize].len;
        let own = &self.positions[key as usize * self.stride..];
        let frames = self.spec.frames.iter().zip(own.chunks_exact(2));
        let of_frames = frames.map(|(frame, place)| if frame.is_open() { place[1] } else { place[0] });
        let behind = of_frames.min().unwrap_or(len).min(len.saturating_sub(self.back));
        self.settled.map_or(behind, |mark| behind.min(self.settled(key, mark)))
    }

    /// Where a frame begins and ends for each new row.
    fn move_frame(&mut self, frame: usize, times: &[i64], rows: &Appended<'_>) -> Spans {
        let n = rows.order.len();
        let mut spans = Spans {
            heads: Vec::with_capacity(n),
            tails: Vec::with_capacity(n),
            before: Vec::with_capacity(rows.runs.len()),
        };
        for run in rows.runs {
            let own = run.key as usize * self.stride + 2 * frame;
            let (mut head, mut tail) = (self.positions[own], self.positions[own + 1]);
            spans.before.push((run.start + head, run.start + tail));
            let start = run.start;
            let len = self.blocks[run.key as usize].len;
            let there = &self.times[start as usize..(start + len) as usize];
            for i in run.range() {
                // What arrives later is not there yet, not even a peer.
                let len = if self.settled.is_some() { rows.at[i] - start + 1 } else { len };
                match self.spec.frames[frame] {
                    Frame::Range { from, to } => {
                        let time = times[rows.order[i] as usize];
                        let last = time.saturating_sub(to);
                        while tail < len && there[tail as usize] <= last {
                            tail += 1;
                        }
                        if let Some(from) = from {
                            let first = time.saturating_sub(from);
                            while head < tail && there[head as usize] < first {
                                head += 1;
                            }
                        }
                    }
                    Frame::Rows { from, to } => {
                        let own = rows.at[i] - start;
                        tail = (own + 1).saturating_sub(to);
                        if let Some(from) = from {
                            head = own.saturating_sub(from).min(tail);
                        }
                    }
                }
                spans.heads.push(start + head);
                spans.tails.push(start + tail);
            }
            (self.positions[own], self.positions[own + 1]) = (head, tail);
        }
        spans
    }

    /// Lets go of keys that no frame of rows from `mark` on can look at, when there may be many.
    pub(super) fn sweep(&mut self, mark: i64) -> Result<()> {
        let Some(lookback) = self.lookback.filter(|_| self.blocks.len() >= self.sweep_at && !self.spec.keys.is_empty())
        else {
            return Ok(());
        };
        let oldest = mark.saturating_sub(lookback);
        let is_needed = |block: &&Block| {
            block.class != u8::MAX && block.len > 0 && self.times[(block.start + block.len - 1) as usize] >= oldest
        };
        let mut renumbered = vec![u32::MAX; self.blocks.len()];
        let mut left: Vec<u32> = vec![];
        for (key, block) in self.blocks.iter().enumerate() {
            if is_needed(&block) {
                renumbered[key] = left.len() as u32;
                left.push(key as u32);
            }
        }
        self.sweep_at = (2 * left.len()).max(1024);
        if left.len() * 2 > self.blocks.len() {
            return Ok(());
        }
        let keys = self.table.keys().map_err(lost)?;
        let rows = arrow::array::UInt32Array::from(left.clone());
        let kept = keys.iter().map(|key| take(key, &rows, None)).collect::<Result<Vec<_>, _>>().map_err(internal)?;
        let mut table = GroupTable::new(&self.key_types);
        let mut ids = vec![];
        let kept = kept.iter().zip(&self.key_types).map(|(key, to)| arrow::compute::cast(key, to));
        let kept = kept.collect::<Result<Vec<_>, _>>().map_err(internal)?;
        table.intern(&kept, RowsOf::All(left.len()), &mut ids).map_err(lost)?;
        for key in (0..self.blocks.len()).filter(|key| renumbered[*key] == u32::MAX) {
            let Block { start, class, len, base } = self.blocks[key];
            if class != u8::MAX {
                self.lanes.iter_mut().for_each(|lane| lane.forget(key as u32, start as usize, len as usize, base));
                self.free[usize::from(class)].push(start);
            }
        }
        self.table = table;
        self.lanes.iter_mut().for_each(|lane| lane.renumber(&renumbered));
        self.blocks = left.iter().map(|key| self.blocks[*key as usize]).collect();
        self.positions = gathered(&self.positions, &left, self.stride);
        self.counts = gathered(&self.counts, &left, self.counters);
        Ok(())
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        let extras = self.extras.iter().chain(&self.bases).map(|extra| match extra {
            Extra::Nothing => 0,
            Extra::Kept(kept) => kept.capacity() * size_of::<Kept>(),
            Extra::Sets(sets) => sets.iter().map(|set| size_of::<HashSet<i128>>() + set.capacity() * 17).sum(),
            Extra::States(states) => states.iter().flatten().map(|state| state.memory_bytes()).sum(),
        });
        self.table.memory_bytes()
            + self.blocks.capacity() * size_of::<Block>()
            + self.used * 8
            + self.lanes.iter().map(|lane| lane.memory_bytes(self.used)).sum::<usize>()
            + (self.positions.capacity() + self.counts.capacity()) * 4
            + extras.sum::<usize>()
    }
}

pub(super) fn lost(error: pelton_kernels::group_table::GroupTableError) -> Error {
    Error::bug("cannot read the keys of PARTITION BY back").because(error)
}

/// How many places the arena gets so that it has these. Few are enough for most; beyond them so many that rows are hardly ever moved,
/// since that takes long and everybody waits: places that are not used have no pages.
fn places_for(used: usize) -> usize {
    const FEW: usize = 1 << 16;
    const MANY: usize = 1 << 22;
    if used <= FEW {
        FEW
    } else if used <= MANY {
        MANY
    } else {
        used.next_power_of_two() * 2
    }
}

/// The chunks of `width` that belong to these keys.
fn gathered(values: &[u32], keys: &[u32], width: usize) -> Vec<u32> {
    keys.iter().flat_map(|key| &values[*key as usize * width..(*key as usize + 1) * width]).copied().collect()
}

/// Some rows of all columns.
pub(super) fn taken(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| take(column, rows, None)).collect::<Result<_, _>>().map_err(internal)
}

/// The rows in the order of their keys, and within a key as they came.
pub(super) fn by_key(ids: &[u32], keys: usize) -> Vec<u32> {
    if keys > 4 * ids.len() {
        let mut pairs: Vec<u64> = ids.iter().enumerate().map(|(row, id)| u64::from(*id) << 32 | row as u64).collect();
        pairs.sort_unstable();
        return pairs.into_iter().map(|pair| pair as u32).collect();
    }
    let mut next = vec![0u32; keys + 1];
    ids.iter().for_each(|id| next[*id as usize + 1] += 1);
    for key in 1..next.len() {
        next[key] += next[key - 1];
    }
    let mut order = vec![0; ids.len()];
    for (row, id) in ids.iter().enumerate() {
        let place = &mut next[*id as usize];
        order[*place as usize] = row as u32;
        *place += 1;
    }
    order
}
