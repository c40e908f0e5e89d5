//! `SessionAggregate`: groups and aggregates per session, a run of rows of one key with no gap above the limit.
//!
//! The rule (DESIGN 6): a row joins when `ts - last <= gap`; it is late iff `ts` is below its partition's watermark; a
//! session comes out once the stage's watermark is above `session_end = last + gap`. So the sessions are the connected
//! runs of all rows that are not late, whatever order they came in. (Flink merges by arrival instead.)
//!
//! State: fragments, each a stretch of one key's rows that surely belong together, and groups, each with one aggregate
//! state. A fragment is one group, unless the query groups by more than the session's keys or has a `WHERE` above the
//! window function: then a group is a fragment with the further keys of those of its rows that pass. Workers make
//! fragments on their own; `advance` sorts all of them by (key, start), merges those that touch, emits the closed ones
//! and keeps the rest. To keep that cheap it is done only when enough has changed (`worth_it`).

use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt32Type};
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{Aggregate, AggregateError};
use pelton_kernels::group_table::GroupTable;
use pelton_kernels::program::{Program, keep};
use serde_json::{Value, json};

use super::{Emit, GroupColumn, Operator, closed_rows, order_columns, show_time, times_us, timestamps};
use crate::batch::{MARK_MAX, MARK_MIN, MicroBatch, internal};
use crate::checkpoint::piece::{Cut, Encode, PieceId, SavedStep, batch_of, fact, misfit, of_key};
use crate::connector::LetterKind;
use crate::error::{Error, Result};
use crate::expr::letter;
use crate::lineage::Lineage;

/// How rows are put into sessions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sessions {
    /// Input column of the event time.
    pub time: usize,
    /// Longest pause within a session, in µs.
    pub gap: i64,
    /// So many of the program's keys, the first ones, have sessions of their own; the others only group.
    pub keys: usize,
    /// Input column, BOOLEAN: rows that are not true take part in sessions but are not counted.
    pub filter: Option<usize>,
}

/// See the module.
pub struct SessionAggregate {
    /// Keys and aggregates over the input columns (order columns as in [`super::WindowAggregate`]).
    pub program: Arc<Program>,
    /// How rows are put into sessions.
    pub sessions: Sessions,
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
    /// What the last look has left, and what checkpoints have taken from the workers since; with the pieces that are the same.
    parts: Vec<(Arc<Fragments>, Option<PieceId>)>,
    /// The mark of the last look through all fragments.
    looked: i64,
    /// Fragments there were after it.
    size: usize,
}

/// Stretches of rows, each of one key, with the states of their groups.
struct Fragments {
    keys: GroupTable,
    /// The newest fragment of each key: where its next row most likely belongs.
    newest: Vec<u32>,
    key: Vec<u32>,
    start: Vec<i64>,
    last: Vec<i64>,
    /// Groups by (fragment, further keys); `None` if each fragment is one group.
    groups: Option<GroupTable>,
    states: Vec<Box<dyn Aggregate>>,
}

impl Fragments {
    fn new(program: &Program, sessions: &Sessions) -> Result<Self, AggregateError> {
        let types: Vec<DataType> = program.keys.iter().map(|(_, t)| t.clone()).collect();
        let (session, further) = types.split_at(sessions.keys);
        let groups = (!further.is_empty() || sessions.filter.is_some())
            .then(|| GroupTable::new(&[&[DataType::UInt32], further].concat()));
        let states = program.aggregates.iter().map(|a| a.spec.build()).collect::<Result<_, _>>()?;
        Ok(Fragments {
            keys: GroupTable::new(session),
            newest: vec![],
            key: vec![],
            start: vec![],
            last: vec![],
            groups,
            states,
        })
    }

    fn len(&self) -> usize {
        self.key.len()
    }

    /// How many groups there are.
    fn groups(&self) -> usize {
        self.groups.as_ref().map_or(self.len(), GroupTable::len)
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

    /// The fragment of each of these rows; makes those that are missing.
    fn find(&mut self, rows: &[u32], times: &[i64], keys: &[u32], gap: i64) -> Vec<u32> {
        self.newest.resize(self.keys.len(), u32::MAX);
        let of_row = |(&row, &key): (&u32, &u32)| {
            let t = times[row as usize];
            let newest = self.newest[key as usize];
            let at = newest as usize;
            if newest == u32::MAX || t < self.start[at] - gap || t > self.last[at] + gap {
                return self.add(key, t, t);
            }
            self.start[at] = self.start[at].min(t);
            self.last[at] = self.last[at].max(t);
            newest
        };
        rows.iter().zip(keys).map(of_row).collect()
    }
}

impl Encode for Fragments {
    /// Keys; fragments; groups, if they differ from these; states.
    fn encode(&self) -> Result<Vec<RecordBatch>> {
        let keys = |table: &GroupTable| batch_of(table.keys().map_err(misfit)?, table.len());
        let times = |times: &[i64]| Arc::new(Int64Array::from(times.to_vec())) as ArrayRef;
        let key = Arc::new(UInt32Array::from(self.key.clone()));
        let mut batches = vec![keys(&self.keys)?];
        batches.push(batch_of(vec![key, times(&self.start), times(&self.last)], self.len())?);
        if let Some(groups) = &self.groups {
            batches.push(keys(groups)?);
        }
        let states = self.states.iter().map(|state| Arc::new(state.save()) as ArrayRef);
        batches.push(batch_of(states.collect(), self.groups())?);
        Ok(batches)
    }
}

impl Fragments {
    /// What [`Encode::encode`] gave, into an empty store.
    fn decode(mut self, batches: &[RecordBatch], (keys, further): (&[DataType], &[DataType])) -> Result<Self> {
        let intern = |table: &mut GroupTable, batch: &RecordBatch, types: &[DataType]| {
            let columns = batch.columns().iter().zip(types).map(|(column, key)| of_key(column, key));
            let columns = columns.collect::<Option<Vec<_>>>().filter(|all| all.len() == batch.num_columns());
            let columns = columns.ok_or_else(|| misfit("sessions of other keys"))?;
            table.intern(&columns, Rows::All(batch.num_rows()), &mut vec![]).map_err(misfit)
        };
        let wanted = 3 + usize::from(self.groups.is_some());
        if batches.len() != wanted
            || batches[1].num_columns() != 3
            || batches[wanted - 1].num_columns() != self.states.len()
        {
            return Err(misfit("sessions of another form"));
        }
        intern(&mut self.keys, &batches[0], keys)?;
        let fragments = &batches[1];
        let key = fragments.column(0).as_primitive::<UInt32Type>().values();
        let time = |column: usize| fragments.column(column).as_primitive::<Int64Type>().values();
        for ((key, start), last) in key.iter().zip(time(1)).zip(time(2)) {
            self.add(*key, *start, *last);
        }
        if let Some(groups) = &mut self.groups {
            intern(groups, &batches[2], &[&[DataType::UInt32], further].concat())?;
        }
        for (state, saved) in self.states.iter_mut().zip(batches[wanted - 1].columns()) {
            state.load(saved.as_binary()).map_err(misfit)?;
        }
        Ok(self)
    }
}

/// All fragments, merged into sessions.
struct Merged {
    /// Keys of the sessions.
    keys: GroupTable,
    /// Key, first time and last time of each session.
    sessions: Vec<(u32, i64, i64)>,
    /// The session of each group.
    session: Vec<u32>,
    /// Session and further keys of each group, if they differ from the sessions.
    groups: Option<GroupTable>,
    states: Vec<Box<dyn Aggregate>>,
}

impl SessionAggregate {
    /// A step for `slots` workers.
    #[expect(clippy::too_many_arguments, reason = "the fields of one plan node, named at the only caller")]
    pub fn new(
        program: Arc<Program>,
        sessions: Sessions,
        tick: i64,
        ordered: bool,
        group: Vec<GroupColumn>,
        schema: SchemaRef,
        text: String,
        slots: usize,
    ) -> Result<Self> {
        let new = || Fragments::new(&program, &sessions).map_err(|e| Error::user(format!("{text}: {e}")));
        let kept = Mutex::new(Kept { parts: vec![], looked: MARK_MIN, size: 0 });
        let slots = (0..slots).map(|_| new().map(Mutex::new)).collect::<Result<_>>()?;
        Ok(SessionAggregate { program, sessions, tick, ordered, group, schema, text, slots, kept })
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::world(format!("{}: {error}", self.text))
    }

    fn fragments(&self) -> Result<Fragments> {
        Fragments::new(&self.program, &self.sessions).map_err(|e| self.failed(e))
    }

    /// Takes what the workers have.
    fn take_slots(&self) -> Result<Vec<Arc<Fragments>>> {
        let take = |slot: &Mutex<Fragments>| {
            let mut slot = slot.lock().expect("no panic holds this lock");
            Ok(Arc::new(std::mem::replace(&mut *slot, self.fragments()?)))
        };
        self.slots.iter().map(take).collect()
    }

    /// Looking through all fragments pays off when a good part of them is new, or at the end.
    fn worth_it(&self, mark: i64, kept: &Kept, fresh: usize) -> bool {
        let gap = self.sessions.gap.max(self.tick);
        mark == MARK_MAX || mark.saturating_sub(kept.looked) > gap || fresh > kept.size.max(4096)
    }

    /// Merges fragments that touch into sessions, and their groups into one store.
    fn merge(&self, parts: &[Arc<Fragments>]) -> Result<Merged> {
        let mut store = self.fragments()?;
        let mut all: Vec<(u32, i64, i64, u32, u32)> = vec![]; // key, start, last, part, fragment
        for (p, part) in parts.iter().enumerate() {
            let map = store.keys.absorb(&part.keys).map_err(|e| self.failed(e))?;
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
                Some(s) if s.0 == key && start <= s.2.saturating_add(self.sessions.gap) => s.2 = s.2.max(last),
                _ => sessions.push((key, start, last)),
            }
            home[part as usize][fragment as usize] = sessions.len() as u32 - 1;
        }
        let mut session: Vec<u32> = (0..sessions.len() as u32).collect();
        for (part, home) in parts.iter().zip(home) {
            let map = match (&mut store.groups, &part.groups) {
                (Some(mine), Some(theirs)) => {
                    let mut keys = theirs.keys().map_err(|e| self.failed(e))?;
                    let fragments = keys[0].as_primitive::<UInt32Type>().values();
                    keys[0] = Arc::new(UInt32Array::from_iter_values(fragments.iter().map(|f| home[*f as usize])));
                    let mut ids = vec![];
                    mine.intern(&keys, Rows::All(theirs.len()), &mut ids).map_err(|e| self.failed(e))?;
                    ids
                }
                _ => home,
            };
            let count = store.groups.as_ref().map_or(sessions.len(), GroupTable::len);
            for (mine, theirs) in store.states.iter_mut().zip(&part.states) {
                mine.resize(count);
                mine.merge(theirs.as_ref(), &map).map_err(|e| self.failed(e))?;
            }
        }
        if let Some(groups) = &store.groups {
            session = groups.keys().map_err(|e| self.failed(e))?[0].as_primitive::<UInt32Type>().values().to_vec();
        }
        Ok(Merged { keys: store.keys, sessions, session, groups: store.groups, states: store.states })
    }

    /// The states of these groups, in this order.
    fn pick(&self, states: &[Box<dyn Aggregate>], groups: &UInt32Array) -> Result<Vec<Box<dyn Aggregate>>> {
        let mut picked = self.fragments()?.states;
        for (mine, theirs) in picked.iter_mut().zip(states) {
            let saved = arrow::compute::take(&theirs.save(), groups, None).map_err(internal)?;
            mine.load(saved.as_binary()).map_err(|e| self.failed(e))?;
        }
        Ok(picked)
    }

    /// The rows of these groups, whose sessions are closed.
    fn emit(&self, merged: &Merged, groups: Vec<u32>, out: &mut Emit) -> Result<()> {
        let mut groups = groups;
        let of = |group: u32| merged.sessions[merged.session[group as usize] as usize];
        groups.sort_by_key(|&g| (of(g).2, of(g).1));
        let mut bounds: Vec<(i64, i64)> = groups.iter().map(|&g| (of(g).1, of(g).2)).collect();
        let mut keys: Vec<ArrayRef> = vec![];
        let session_key = UInt32Array::from_iter_values(groups.iter().map(|&g| of(g).0));
        let picked = UInt32Array::from(groups);
        for key in merged.keys.keys().map_err(|e| self.failed(e))? {
            keys.push(arrow::compute::take(&key, &session_key, None).map_err(internal)?);
        }
        if let Some(table) = &merged.groups {
            for key in &table.keys().map_err(|e| self.failed(e))?[1..] {
                keys.push(arrow::compute::take(key, &picked, None).map_err(internal)?);
            }
        }
        let mut states = self.pick(&merged.states, &picked)?;
        if !(0..self.sessions.keys).all(|key| self.group.contains(&GroupColumn::Key(key))) {
            self.regroup(&mut bounds, &mut keys, &mut states)?;
        }
        let gap = self.sessions.gap;
        let mut columns: Vec<ArrayRef> = vec![];
        for (column, field) in self.group.iter().zip(self.schema.fields()) {
            let bound = |f: &dyn Fn(&(i64, i64)) -> i64| timestamps(bounds.iter().map(f).collect(), field.data_type());
            columns.push(match column {
                GroupColumn::Key(i) => keys[*i].clone(),
                GroupColumn::WindowStart => bound(&|s| s.0)?,
                GroupColumn::WindowEnd => bound(&|s| s.1 + gap)?,
                GroupColumn::WindowTime => bound(&|s| s.1 + gap - self.tick)?,
            });
        }
        for state in &states {
            columns.push(state.finish().map_err(|e| self.failed(e))?);
        }
        out.batches.push(closed_rows(columns, &self.schema, bounds.len())?);
        Ok(())
    }

    /// Merges groups that are one to the query, because it does not name all of the session's keys. They close together:
    /// the query names the window's end.
    fn regroup(
        &self,
        bounds: &mut Vec<(i64, i64)>,
        keys: &mut [ArrayRef],
        states: &mut Vec<Box<dyn Aggregate>>,
    ) -> Result<()> {
        let by_start = self.group.contains(&GroupColumn::WindowStart);
        let named: Vec<usize> = (0..keys.len()).filter(|key| self.group.contains(&GroupColumn::Key(*key))).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(bounds.iter().map(|s| s.1)))];
        if by_start {
            columns.push(Arc::new(Int64Array::from_iter_values(bounds.iter().map(|s| s.0))));
        }
        columns.extend(named.iter().map(|key| keys[*key].clone()));
        let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
        let mut table = GroupTable::new(&types);
        let mut ids = vec![];
        table.intern(&columns, Rows::All(bounds.len()), &mut ids).map_err(|e| self.failed(e))?;
        let mut merged = self.fragments()?.states;
        for (mine, theirs) in merged.iter_mut().zip(states.iter()) {
            mine.resize(table.len());
            mine.merge(theirs.as_ref(), &ids).map_err(|e| self.failed(e))?;
        }
        let mut grouped = table.keys().map_err(|e| self.failed(e))?.into_iter();
        let mut next = || grouped.next().expect("a column for each that was interned");
        let ends = next();
        let ends = ends.as_primitive::<Int64Type>().values().to_vec();
        let starts = match by_start {
            true => next().as_primitive::<Int64Type>().values().to_vec(),
            false => ends.clone(),
        };
        for key in named {
            keys[key] = next();
        }
        *bounds = starts.into_iter().zip(ends).collect();
        *states = merged;
        Ok(())
    }

    /// The open sessions, in a fresh store, so that keys and states of the closed ones are let go.
    fn retain(&self, merged: Merged, open: &[bool]) -> Result<Fragments> {
        let mut store = self.fragments()?;
        let sessions: Vec<u32> = (0..open.len() as u32).filter(|&s| open[s as usize]).collect();
        let mut renumbered = vec![u32::MAX; open.len()];
        let mut ids = vec![];
        let key_rows: Vec<u32> = sessions.iter().map(|&s| merged.sessions[s as usize].0).collect();
        let keys = merged.keys.keys().map_err(|e| self.failed(e))?;
        store.keys.intern(&keys, Rows::List(&key_rows), &mut ids).map_err(|e| self.failed(e))?;
        for (&s, &key) in sessions.iter().zip(&ids) {
            let (_, start, last) = merged.sessions[s as usize];
            renumbered[s as usize] = store.add(key, start, last);
        }
        if sessions.len() == open.len() {
            store.groups = merged.groups;
            store.states = merged.states;
            return Ok(store);
        }
        let groups: Vec<u32> =
            (0..merged.session.len() as u32).filter(|&g| open[merged.session[g as usize] as usize]).collect();
        if let (Some(mine), Some(theirs)) = (&mut store.groups, &merged.groups) {
            let mut keys = theirs.keys().map_err(|e| self.failed(e))?;
            keys[0] = Arc::new(UInt32Array::from_iter_values(merged.session.iter().map(|s| renumbered[*s as usize])));
            mine.intern(&keys, Rows::List(&groups), &mut ids).map_err(|e| self.failed(e))?;
        }
        store.states = self.pick(&merged.states, &UInt32Array::from(groups))?;
        Ok(store)
    }
}

impl Operator for SessionAggregate {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let batch = batch.dense()?;
        let times = times_us(batch.columns.column(self.sessions.time));
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
        let (session_keys, further_keys) = keys.split_at(self.sessions.keys);
        let mut guard = self.slots[slot].lock().expect("no panic holds this lock");
        let fragments = &mut *guard;
        let mut ids = vec![];
        fragments.keys.intern(session_keys, Rows::List(&rows), &mut ids).map_err(|e| self.failed(e))?;
        let mut ids = fragments.find(&rows, &times, &ids, self.sessions.gap);
        if let Some(groups) = &mut fragments.groups {
            if let Some(filter) = self.sessions.filter {
                (rows, ids) = keep(columns[filter].as_boolean(), Rows::List(&rows), &ids);
            }
            let mut fragment = vec![0; batch.rows()];
            for (&row, &id) in rows.iter().zip(&ids) {
                fragment[row as usize] = id;
            }
            let fragment: ArrayRef = Arc::new(UInt32Array::from(fragment));
            let keys = [&[fragment], further_keys].concat();
            groups.intern(&keys, Rows::List(&rows), &mut ids).map_err(|e| self.failed(e))?;
        }
        let count = fragments.groups();
        for (call, state) in self.program.aggregates.iter().zip(&mut fragments.states) {
            state.resize(count);
            let args: Vec<ArrayRef> = call.args.iter().map(|a| columns[*a].clone()).collect();
            match call.filter {
                None => state.update(&args, Rows::List(&rows), &ids),
                Some(filter) => {
                    let (rows, ids) = keep(columns[filter].as_boolean(), Rows::List(&rows), &ids);
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
        let there: usize = kept.parts.iter().map(|(part, _)| part.len()).sum();
        let new: usize = self.slots.iter().map(|s| s.lock().expect("no panic holds this lock").len()).sum();
        let fresh = new + there.saturating_sub(kept.size);
        // Results still to come end no earlier than the mark of the last look.
        let downstream = |looked: i64| if looked == MARK_MAX { MARK_MAX } else { looked.saturating_sub(2 * self.tick) };
        if !self.worth_it(mark, kept, fresh) {
            return Ok(downstream(kept.looked));
        }
        let mut parts: Vec<Arc<Fragments>> = kept.parts.drain(..).map(|(part, _)| part).collect();
        parts.extend(self.take_slots()?);
        let merged = self.merge(&parts)?;
        drop(parts);
        let open = |s: &(u32, i64, i64)| mark != MARK_MAX && s.2.saturating_add(self.sessions.gap) >= mark;
        let open: Vec<bool> = merged.sessions.iter().map(open).collect();
        let is_done = |g: &u32| !open[merged.session[*g as usize] as usize];
        let done: Vec<u32> = (0..merged.session.len() as u32).filter(is_done).collect();
        if !done.is_empty() {
            self.emit(&merged, done, out)?;
        }
        if mark != MARK_MAX {
            let open = self.retain(merged, &open)?;
            kept.size = open.len();
            kept.parts.push((Arc::new(open), None));
        }
        kept.looked = mark;
        Ok(downstream(mark))
    }

    fn describe(&self) -> String {
        format!("SessionAggregate {} {}", self.text, self.program)
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        let Sessions { gap, keys, filter, .. } = self.sessions;
        let filter = filter.map_or("", |_| ", counts some rows only");
        let program = self.program.text(&|column| input.column(column));
        Some(format!("windows {}\n{program}, gap {gap} µs, {keys} keys of sessions{filter}", self.text))
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        let mut kept = self.kept.lock().expect("no panic holds this lock");
        kept.parts.extend(self.take_slots()?.into_iter().map(|part| (part, None)));
        kept.parts.retain(|(part, _)| part.len() > 0);
        for (part, piece) in &mut kept.parts {
            let fresh = piece.is_none().then(|| part.clone() as Arc<dyn Encode>);
            let id = *piece.get_or_insert_with(|| cut.id());
            cut.piece(id, Value::Null, fresh);
        }
        cut.facts(json!({ "looked": kept.looked, "size": kept.size }));
        Ok(())
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        let mut kept = self.kept.lock().expect("no panic holds this lock");
        (kept.looked, kept.size) = (fact(&saved.facts, "looked")?, fact(&saved.facts, "size")?);
        for piece in saved.pieces {
            let types: Vec<DataType> = self.program.keys.iter().map(|(_, key)| key.clone()).collect();
            let types = types.split_at(self.sessions.keys);
            let part = Fragments::decode(self.fragments()?, &piece.batches, types).map_err(|e| self.failed(e))?;
            kept.parts.push((Arc::new(part), Some(piece.id)));
        }
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let of = |f: &Fragments| {
            f.keys.memory_bytes()
                + f.groups.as_ref().map_or(0, GroupTable::memory_bytes)
                + f.len() * 24
                + f.states.iter().map(|s| s.memory_bytes()).sum::<usize>()
        };
        let slots: usize = self.slots.iter().map(|s| of(&s.lock().expect("no panic holds this lock"))).sum();
        let kept = self.kept.lock().expect("no panic holds this lock");
        slots + kept.parts.iter().map(|(part, _)| of(part)).sum::<usize>()
    }
}
