//! `SessionAggregate`: groups and aggregates per session, a run of rows of one key with no gap above the limit.
//!
//! The rule (DESIGN 6): a row joins when `ts - last <= gap`; it is late iff `ts` is below its partition's watermark; a
//! session comes out once the stage's watermark is above `session_end = last + gap`. So the sessions are the connected
//! runs of all rows that are not late, whatever order they came in. (Flink merges by arrival instead.)
//!
//! State: fragments, each a stretch of one key's rows that surely belong together, with one aggregate state. Workers
//! make fragments on their own; `advance` sorts all of them by (key, start), merges those that touch, emits the closed
//! ones and keeps the rest. To keep that cheap it is done only when enough has changed (`worth_it`).

use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{Aggregate, AggregateError};
use pelton_kernels::group_table::GroupTable;
use pelton_kernels::program::Program;

use super::{Emit, GroupColumn, Operator, order_columns, show_time, times_us, timestamps};
use crate::batch::{MARK_MAX, MARK_MIN, MicroBatch, internal};
use crate::connector::LetterKind;
use crate::error::{Error, Result};
use crate::expr::letter;

/// See the module.
pub struct SessionAggregate {
    /// Keys and aggregates over the input columns (order columns as in [`super::WindowAggregate`]).
    pub program: Arc<Program>,
    /// Input column of the event time.
    pub time: usize,
    /// Longest pause within a session, in µs.
    pub gap: i64,
    /// One tick of the event time in µs.
    pub tick: i64,
    /// True if an aggregate needs the order columns.
    pub ordered: bool,
    /// The leading output columns; the aggregates follow.
    pub group: Vec<GroupColumn>,
    /// Output schema.
    pub schema: SchemaRef,
    /// How the query writes the window.
    pub text: String,
    slots: Vec<Mutex<Fragments>>,
    kept: Mutex<Kept>,
}

struct Kept {
    fragments: Fragments,
    /// The mark of the last look through all fragments.
    looked: i64,
    /// Fragments there were after it.
    size: usize,
}

/// Stretches of rows, each of one key, with their aggregate states.
struct Fragments {
    keys: GroupTable,
    /// The newest fragment of each key: where its next row most likely belongs.
    newest: Vec<u32>,
    key: Vec<u32>,
    start: Vec<i64>,
    last: Vec<i64>,
    states: Vec<Box<dyn Aggregate>>,
}

impl Fragments {
    fn new(program: &Program) -> Result<Self, AggregateError> {
        let types: Vec<_> = program.keys.iter().map(|(_, t)| t.clone()).collect();
        let states = program.aggregates.iter().map(|a| a.spec.build()).collect::<Result<_, _>>()?;
        Ok(Fragments {
            keys: GroupTable::new(&types),
            newest: vec![],
            key: vec![],
            start: vec![],
            last: vec![],
            states,
        })
    }

    fn len(&self) -> usize {
        self.key.len()
    }

    fn add(&mut self, key: u32, start: i64, last: i64) -> u32 {
        let id = self.len() as u32;
        self.key.push(key);
        self.start.push(start);
        self.last.push(last);
        if self.newest.len() <= key as usize {
            self.newest.resize(key as usize + 1, u32::MAX);
        }
        self.newest[key as usize] = id;
        id
    }
}

impl SessionAggregate {
    /// A step for `slots` workers.
    #[expect(clippy::too_many_arguments, reason = "the fields of one plan node, named at the only caller")]
    pub fn new(
        program: Arc<Program>,
        time: usize,
        gap: i64,
        tick: i64,
        ordered: bool,
        group: Vec<GroupColumn>,
        schema: SchemaRef,
        text: String,
        slots: usize,
    ) -> Result<Self> {
        let new = || Fragments::new(&program).map_err(|e| Error::user(format!("{text}: {e}")));
        let kept = Mutex::new(Kept { fragments: new()?, looked: MARK_MIN, size: 0 });
        let slots = (0..slots).map(|_| new().map(Mutex::new)).collect::<Result<_>>()?;
        Ok(SessionAggregate { program, time, gap, tick, ordered, group, schema, text, slots, kept })
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::world(format!("{}: {error}", self.text))
    }

    /// Looking through all fragments pays off when a good part of them is new, or at the end.
    fn worth_it(&self, mark: i64, kept: &Kept, fresh: usize) -> bool {
        mark == MARK_MAX || mark.saturating_sub(kept.looked) > self.gap.max(self.tick) || fresh > kept.size.max(4096)
    }
}

impl Operator for SessionAggregate {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let batch = batch.dense()?;
        let times = times_us(batch.columns.column(self.time));
        let mut rows: Vec<u32> = Vec::with_capacity(batch.rows());
        for (row, &t) in times.iter().enumerate() {
            let mark = batch.marks.before(row);
            if t >= mark {
                rows.push(row as u32);
                continue;
            }
            let reason = format!("late at {}: the watermark was {}", show_time(t), show_time(mark));
            out.late += 1;
            out.letters.push(letter(&batch, row, &self.text, LetterKind::Late, reason));
        }
        let mut columns = batch.columns.columns().to_vec();
        if self.ordered {
            columns.extend(order_columns(&batch));
        }
        let keys: Vec<ArrayRef> = self.program.keys.iter().map(|(c, _)| columns[*c].clone()).collect();
        let mut guard = self.slots[slot].lock().expect("no panic holds this lock");
        let fragments = &mut *guard;
        let mut key_ids = vec![];
        fragments.keys.intern(&keys, Rows::List(&rows), &mut key_ids).map_err(|e| self.failed(e))?;
        fragments.newest.resize(fragments.keys.len(), u32::MAX);
        let mut ids = Vec::with_capacity(rows.len());
        for (&row, &key) in rows.iter().zip(&key_ids) {
            let t = times[row as usize];
            let newest = fragments.newest[key as usize];
            let at = newest as usize;
            if newest != u32::MAX && t >= fragments.start[at] - self.gap && t <= fragments.last[at] + self.gap {
                fragments.start[at] = fragments.start[at].min(t);
                fragments.last[at] = fragments.last[at].max(t);
                ids.push(newest);
            } else {
                ids.push(fragments.add(key, t, t));
            }
        }
        let count = fragments.len();
        for (call, state) in self.program.aggregates.iter().zip(&mut fragments.states) {
            state.resize(count);
            let args: Vec<ArrayRef> = call.args.iter().map(|a| columns[*a].clone()).collect();
            match call.filter {
                None => state.update(&args, Rows::List(&rows), &ids),
                Some(filter) => {
                    let (rows, ids) =
                        pelton_kernels::program::keep(columns[filter].as_boolean(), Rows::List(&rows), &ids);
                    state.update(&args, Rows::List(&rows), &ids)
                }
            }
            .map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        let mut guard = self.kept.lock().expect("no panic holds this lock");
        let kept = &mut *guard;
        let fresh: usize = self.slots.iter().map(|s| s.lock().expect("no panic holds this lock").len()).sum();
        // Results still to come end no earlier than the mark of the last look.
        let downstream = |looked: i64| if looked == MARK_MAX { MARK_MAX } else { looked.saturating_sub(2 * self.tick) };
        if !self.worth_it(mark, kept, fresh) {
            return Ok(downstream(kept.looked));
        }
        let new = || Fragments::new(&self.program).map_err(|e| self.failed(e));
        // All fragments in one place: keys re-numbered into one table.
        let mut parts = vec![std::mem::replace(&mut kept.fragments, new()?)];
        for slot in &self.slots {
            parts.push(std::mem::replace(&mut *slot.lock().expect("no panic holds this lock"), new()?));
        }
        let mut table = new()?.keys;
        let mut all: Vec<(u32, i64, i64, u32, u32)> = vec![]; // key, start, last, part, fragment
        for (p, part) in parts.iter().enumerate() {
            let map = table.absorb(&part.keys).map_err(|e| self.failed(e))?;
            all.extend(
                (0..part.len()).map(|f| (map[part.key[f] as usize], part.start[f], part.last[f], p as u32, f as u32)),
            );
        }
        all.sort_unstable();
        // Runs that touch are one session. `home` is the session of each fragment of each part.
        let mut sessions: Vec<(u32, i64, i64)> = vec![];
        let mut home: Vec<Vec<u32>> = parts.iter().map(|p| vec![0; p.len()]).collect();
        for &(key, start, last, part, fragment) in &all {
            match sessions.last_mut() {
                Some(s) if s.0 == key && start <= s.2.saturating_add(self.gap) => s.2 = s.2.max(last),
                _ => sessions.push((key, start, last)),
            }
            home[part as usize][fragment as usize] = sessions.len() as u32 - 1;
        }
        let mut merged = new()?;
        for (part, home) in parts.iter().zip(&home) {
            for (mine, theirs) in merged.states.iter_mut().zip(&part.states) {
                mine.resize(sessions.len());
                mine.merge(theirs.as_ref(), home).map_err(|e| self.failed(e))?;
            }
        }
        let closes = |s: &(u32, i64, i64)| mark == MARK_MAX || s.2.saturating_add(self.gap) < mark;
        let done: Vec<u32> = (0..sessions.len() as u32).filter(|&s| closes(&sessions[s as usize])).collect();
        if !done.is_empty() {
            let keys = table.keys().map_err(|e| self.failed(e))?;
            let values =
                merged.states.iter().map(|s| s.finish()).collect::<Result<Vec<_>, _>>().map_err(|e| self.failed(e))?;
            let mut order = done.clone();
            order.sort_by_key(|&s| (sessions[s as usize].2, sessions[s as usize].1));
            let pick = UInt32Array::from(order.clone());
            let key_of = UInt32Array::from_iter_values(order.iter().map(|&s| sessions[s as usize].0));
            let bound = |f: &dyn Fn(&(u32, i64, i64)) -> i64| {
                order.iter().map(|&s| f(&sessions[s as usize])).collect::<Vec<i64>>()
            };
            let mut columns: Vec<ArrayRef> = vec![];
            for (column, field) in self.group.iter().zip(self.schema.fields()) {
                columns.push(match column {
                    GroupColumn::Key(i) => arrow::compute::take(&keys[*i], &key_of, None).map_err(internal)?,
                    GroupColumn::WindowStart => timestamps(bound(&|s| s.1), field.data_type())?,
                    GroupColumn::WindowEnd => timestamps(bound(&|s| s.2 + self.gap), field.data_type())?,
                    GroupColumn::WindowTime => timestamps(bound(&|s| s.2 + self.gap - self.tick), field.data_type())?,
                });
            }
            for value in &values {
                columns.push(arrow::compute::take(value, &pick, None).map_err(internal)?);
            }
            let columns = columns
                .into_iter()
                .zip(self.schema.fields())
                .map(
                    |(c, f)| {
                        if c.data_type() == f.data_type() { Ok(c) } else { arrow::compute::cast(&c, f.data_type()) }
                    },
                )
                .collect::<Result<Vec<_>, _>>()
                .map_err(internal)?;
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(order.len()));
            let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(internal)?;
            out.batches.push(MicroBatch::derived(rows));
        }
        // The open ones move into a fresh store, so that keys and states of the closed ones are let go.
        if mark != MARK_MAX {
            let open: Vec<u32> = (0..sessions.len() as u32).filter(|&s| !closes(&sessions[s as usize])).collect();
            let mut store = new()?;
            let all_keys = table.keys().map_err(|e| self.failed(e))?;
            let key_rows: Vec<u32> = open.iter().map(|&s| sessions[s as usize].0).collect();
            let mut ids = vec![];
            store.keys.intern(&all_keys, Rows::List(&key_rows), &mut ids).map_err(|e| self.failed(e))?;
            for (&s, &id) in open.iter().zip(&ids) {
                store.add(id, sessions[s as usize].1, sessions[s as usize].2);
            }
            if open.len() == sessions.len() {
                store.states = merged.states;
            } else {
                let pick = UInt32Array::from(open);
                for (mine, theirs) in store.states.iter_mut().zip(&merged.states) {
                    let saved = arrow::compute::take(&theirs.save(), &pick, None).map_err(internal)?;
                    mine.load(saved.as_binary()).map_err(|e| self.failed(e))?;
                }
            }
            kept.size = store.len();
            kept.fragments = store;
        }
        kept.looked = mark;
        Ok(downstream(mark))
    }

    fn describe(&self) -> String {
        format!("SessionAggregate {} {}", self.text, self.program)
    }

    fn memory_bytes(&self) -> usize {
        let of = |f: &Fragments| {
            f.keys.memory_bytes() + f.len() * 24 + f.states.iter().map(|s| s.memory_bytes()).sum::<usize>()
        };
        let slots: usize = self.slots.iter().map(|s| of(&s.lock().expect("no panic holds this lock"))).sum();
        slots + of(&self.kept.lock().expect("no panic holds this lock").fragments)
    }
}
