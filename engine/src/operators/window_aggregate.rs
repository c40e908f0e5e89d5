//! `WindowAggregate`: groups and aggregates per window, emitted when the window closes.
//!
//! State: per worker, one group table a pane; plus one a window for rows that come too late for some of their windows
//! (they may not enter a pane that an already closed window reads). A pane of many groups has one table that all workers
//! share. A pane of which a window closes gets no more rows and moves to the [`Merger`], which makes windows of panes. Lets
//! go: a pane leaves with its last window.
//!
//! Why the result does not depend on threads or batches: whether a row counts in a window is decided by the row's own
//! watermark (its partition's, just before it), and folding is a commutative monoid. When a window is merged decides
//! only when its rows come out: at a stage watermark of at least `end - 1 tick`, no row still to come can count in it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, SchemaRef};
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateError, AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Device, GroupState, Program, ProgramError};
use pelton_kernels::shared::SharedState;

use super::merger::Merger;
use super::{Emit, Operator, closed_rows, in_us, order_columns, range_of, range_us, show_time, ticks, timestamps};
use crate::batch::{BLOCK, MARK_MAX, MARK_MIN, MicroBatch, internal};
use crate::connector::LetterKind;
use crate::error::{Error, Result};
use crate::expr::letter;
use crate::panes::{Panes, Window};

/// How rows find their windows.
#[derive(Clone, Debug)]
pub enum Assign {
    /// By the event time in this column.
    Panes {
        /// The window arithmetic.
        panes: Panes,
        /// Input column of the event time.
        time: usize,
    },
    /// The row carries its window: a column (plus a constant, µs) holds the window's end.
    Carried {
        /// Input column.
        column: usize,
        /// Added to its value gives the end.
        add: i64,
    },
    /// One window over everything, closed by the end of a bounded input.
    Whole,
}

/// One of the leading output columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupColumn {
    /// The n-th key of the program.
    Key(usize),
    /// First instant of the window.
    WindowStart,
    /// First instant after the window.
    WindowEnd,
    /// Last tick of the window: the event time of the result.
    WindowTime,
}

/// A pane in which one worker has more groups is folded by all workers into one state. Fewer groups stay in the caches of
/// each, and are merged quickly.
const WIDE_MIN: usize = 16_384;

/// See the module.
pub struct WindowAggregate {
    /// Keys and aggregates over the input columns. Columns beyond the input's last are event time in µs, partition
    /// and offset of each row, for aggregates that need a total order.
    pub program: Arc<Program>,
    /// Who runs it.
    pub device: Arc<dyn Device>,
    /// How rows find their windows.
    pub assign: Assign,
    /// One tick of the event time in µs.
    pub tick: i64,
    /// True if an aggregate needs the order columns.
    pub ordered: bool,
    /// The leading output columns; the aggregates follow.
    pub group: Vec<GroupColumn>,
    /// Output schema.
    pub schema: SchemaRef,
    /// How the query writes the window, for messages and letters.
    pub text: String,
    /// Windows may hold groups without rows: see [`Merger::slides`]. The program then has a count of rows behind the
    /// query's aggregates.
    slides: bool,
    state: State,
}

struct State {
    slots: Vec<Mutex<Slot>>,
    /// Panes of so many groups that the workers share them.
    wide: RwLock<BTreeMap<i64, Arc<SharedState>>>,
    /// Groups of the pane that has left the workers last, all of them together: as many are expected of the next.
    expected: AtomicUsize,
    shared: Mutex<Shared>,
}

/// What one worker has folded.
#[derive(Default)]
struct Slot {
    panes: BTreeMap<i64, Box<dyn GroupState>>,
    sides: BTreeMap<Window, Box<dyn GroupState>>,
    /// Groups of the pane that has left last: as many are expected of the next.
    groups: usize,
}

/// What all workers have folded into panes that get no more rows, and how far windows are closed.
struct Shared {
    merger: Merger,
    /// The window merged last.
    last: Option<Window>,
    closed: i64,
    /// The mark at which the next of their windows closes.
    next: i64,
}

/// Rows of a batch sorted by where they go.
#[derive(Default)]
struct Routed {
    panes: Vec<(i64, Piece)>,
    sides: BTreeMap<Window, Vec<u32>>,
    /// Rows late for at least one window, with the windows missed.
    late: Vec<(u32, Vec<Window>)>,
    by_pane: hashbrown::HashMap<i64, usize>,
    /// The pane that got rows last.
    current: usize,
}

/// Some of a batch's selected rows.
enum Piece {
    /// So many from this one on.
    Run(usize, usize),
    /// These.
    List(Vec<u32>),
}

impl Routed {
    fn piece(&mut self, pane: i64) -> &mut Piece {
        if self.panes.get(self.current).is_none_or(|(last, _)| *last != pane) {
            let next = self.panes.len();
            self.current = *self.by_pane.entry(pane).or_insert(next);
            if self.current == next {
                self.panes.push((pane, Piece::List(vec![])));
            }
        }
        &mut self.panes[self.current].1
    }

    /// Puts a run of the selected rows into a pane.
    fn run(&mut self, pane: i64, rows: Rows<'_>, start: usize, len: usize) {
        let piece = self.piece(pane);
        match piece {
            Piece::Run(first, n) if *first + *n == start => *n += len,
            Piece::List(list) if list.is_empty() => *piece = Piece::Run(start, len),
            _ => piece.list(rows).extend((start..start + len).map(|i| rows.get(i) as u32)),
        }
    }
}

impl Piece {
    fn list(&mut self, rows: Rows<'_>) -> &mut Vec<u32> {
        if let Piece::Run(first, n) = *self {
            *self = Piece::List((first..first + n).map(|i| rows.get(i) as u32).collect());
        }
        let Piece::List(list) = self else { unreachable!("made above") };
        list
    }
}

/// The program with a count of rows behind its aggregates.
fn with_row_count(program: &Program) -> Program {
    let spec = AggregateSpec { kind: AggregateKind::Count, distinct: false, arg_types: vec![], fast_float: false };
    let mut counted = program.clone();
    counted.aggregates.push(AggregateCall { spec, args: vec![], filter: None });
    counted
}

impl WindowAggregate {
    /// A step for `slots` workers.
    #[expect(clippy::too_many_arguments, reason = "the fields of one plan node, named at the only caller")]
    pub fn new(
        program: Arc<Program>,
        device: Arc<dyn Device>,
        assign: Assign,
        tick: i64,
        ordered: bool,
        group: Vec<GroupColumn>,
        schema: SchemaRef,
        text: String,
        slots: usize,
    ) -> Self {
        let panes = match &assign {
            Assign::Panes { panes, .. } => Some(panes),
            Assign::Carried { .. } | Assign::Whole => None,
        };
        let merger = Merger::new(panes, &program);
        let slides = merger.slides();
        let state = State {
            slots: (0..slots).map(|_| Mutex::default()).collect(),
            wide: RwLock::default(),
            expected: AtomicUsize::new(0),
            shared: Mutex::new(Shared { merger, last: None, closed: MARK_MIN, next: MARK_MAX }),
        };
        let program = if slides { Arc::new(with_row_count(&program)) } else { program };
        WindowAggregate { program, device, assign, tick, ordered, group, schema, text, slides, state }
    }

    /// The last instant of a window: it is closed once the watermark has reached this.
    fn last_tick(&self, end: i64) -> i64 {
        if end == MARK_MAX { MARK_MAX } else { self.bounds(Window { start: end, end }).end - self.tick }
    }

    /// A window in instants, as results show it.
    fn bounds(&self, window: Window) -> Window {
        match &self.assign {
            Assign::Panes { panes, .. } => {
                Window { start: panes.start_of(window.start), end: panes.end_of(window.end) }
            }
            Assign::Carried { .. } | Assign::Whole => window,
        }
    }

    fn windows_of(&self, pane: i64) -> Vec<Window> {
        match &self.assign {
            Assign::Panes { panes, .. } => panes.windows(pane),
            Assign::Carried { .. } => vec![Window { start: pane, end: pane }],
            Assign::Whole => vec![Window { start: MARK_MIN, end: MARK_MAX }],
        }
    }

    /// The first window that reads the pane, of those that follow `last` and whose last tick is after `mark`.
    fn next_window(&self, pane: i64, last: Option<Window>, mark: i64) -> Option<Window> {
        let (sliding, single) = match &self.assign {
            Assign::Panes { panes, .. } => {
                let after = last.map_or(i64::MIN, |last| last.end).max(panes.ends_after(mark));
                (Some(panes.windows_after(pane, after)), None)
            }
            Assign::Carried { .. } => (None, Some(Window { start: pane, end: pane })),
            Assign::Whole => (None, Some(Window { start: MARK_MIN, end: MARK_MAX })),
        };
        let mut all = sliding.into_iter().flatten().chain(single);
        all.find(|w| last.is_none_or(|last| *w > last) && (self.last_tick(w.end) > mark || mark == MARK_MIN))
    }

    /// The panes that a window reads, and the start of the first that a later one may.
    fn reads(&self, window: Window) -> (Range<i64>, i64) {
        match &self.assign {
            Assign::Panes { panes, .. } => (window.start..window.end, panes.needed_after(window)),
            Assign::Carried { .. } => (window.end..window.end + 1, window.end + 1),
            Assign::Whole => (0..1, 1),
        }
    }

    /// End of the first window that reads the pane.
    fn first_end(&self, pane: i64) -> i64 {
        match &self.assign {
            Assign::Panes { panes, .. } => panes.first_end(pane).unwrap_or(MARK_MAX),
            Assign::Carried { .. } => pane,
            Assign::Whole => MARK_MAX,
        }
    }

    /// True if a worker holds rows of a window that closes at `mark`.
    fn slots_are_due(&self, mark: i64) -> bool {
        self.state.slots.iter().any(|slot| {
            let slot = slot.lock().expect("no panic holds this lock");
            slot.panes.first_key_value().is_some_and(|(p, _)| self.last_tick(self.first_end(*p)) <= mark)
                || slot.sides.first_key_value().is_some_and(|(w, _)| self.last_tick(w.end) <= mark)
        }) || self.wide().first_key_value().is_some_and(|(p, _)| self.last_tick(self.first_end(*p)) <= mark)
    }

    /// Sorts rows by pane, and late ones out. Block by block, since nearly always a block's rows go to one pane and none
    /// of them is late.
    fn route(&self, batch: &MicroBatch) -> Routed {
        let mut routed = Routed::default();
        let rows = batch.selected();
        let (column, add, panes) = match &self.assign {
            Assign::Whole => {
                routed.run(0, rows, 0, rows.len());
                return routed;
            }
            Assign::Panes { panes, time } => (batch.columns.column(*time), 0, Some(panes)),
            Assign::Carried { column, add } => (batch.columns.column(*column), *add, None),
        };
        // Whether no row under a mark can be late for what reads the pane.
        let is_open = |pane: i64, mark: i64| self.last_tick(self.first_end(pane)) > mark;
        let only = |(low, high): (i64, i64)| match panes {
            Some(panes) => panes.only_pane(low, high).filter(|pane| panes.first_end(*pane).is_some()),
            None => (low == high).then_some(low + add),
        };
        if let Some(pane) = batch.marks.range_of(column).or_else(|| range_us(column, rows)).and_then(only)
            && is_open(pane, batch.marks.max())
        {
            routed.run(pane, rows, 0, rows.len());
            return routed;
        }
        for start in (0..rows.len()).step_by(BLOCK) {
            let len = BLOCK.min(rows.len() - start);
            let range = match rows {
                Rows::All(_) => range_of(column, start, len),
                Rows::List(list) => range_us(column, Rows::List(&list[start..start + len])),
            };
            let last = rows.get(start + len - 1);
            match range.and_then(only) {
                Some(pane) if is_open(pane, batch.marks.bound(last)) => routed.run(pane, rows, start, len),
                _ => self.route_rows(batch, (column, add, panes), start..start + len, &mut routed),
            }
        }
        routed
    }

    /// The same row by row.
    fn route_rows(
        &self,
        batch: &MicroBatch,
        (column, add, panes): (&ArrayRef, i64, Option<&Panes>),
        block: Range<usize>,
        routed: &mut Routed,
    ) {
        let rows = batch.selected();
        let (ticks, data_type) = (ticks(column), column.data_type());
        // The pane a row goes to is nearly always that of the row before.
        let mut stretch = (i64::MAX, i64::MIN);
        let (mut pane, mut is_open) = (0, false);
        let bound = batch.marks.bound(rows.get(block.end - 1));
        for row in block.map(|i| rows.get(i)) {
            let instant = in_us(ticks[row], data_type) + add;
            let t = panes.map_or(instant, |panes| panes.cut_time(instant));
            if t < stretch.0 || t >= stretch.1 {
                stretch = (i64::MAX, i64::MIN);
                let first_end = match panes {
                    Some(panes) => {
                        // In no window at all: not late, not counted.
                        let Some(end) = panes.first_end(t) else { continue };
                        pane = panes.pane_of(t);
                        stretch = (pane, pane + panes.width());
                        end
                    }
                    None => {
                        (pane, stretch) = (t, (t, t + 1));
                        t
                    }
                };
                is_open = self.last_tick(first_end) > bound;
            }
            if is_open || self.last_tick(self.first_end(pane)) > batch.marks.before(row) {
                routed.piece(pane).list(rows).push(row as u32);
                continue;
            }
            let mark = batch.marks.before(row);
            let (in_time, missed): (Vec<Window>, Vec<Window>) =
                self.windows_of(pane).into_iter().partition(|w| self.last_tick(w.end) > mark);
            for window in in_time {
                routed.sides.entry(window).or_default().push(row as u32);
            }
            routed.late.push((row as u32, missed));
        }
    }

    /// Input columns, and behind them what a total order of rows needs.
    fn columns(&self, batch: &MicroBatch) -> Vec<ArrayRef> {
        let mut columns = batch.columns.columns().to_vec();
        if self.ordered {
            columns.extend(order_columns(batch));
        }
        columns
    }

    fn wide(&self) -> RwLockReadGuard<'_, BTreeMap<i64, Arc<SharedState>>> {
        self.state.wide.read().expect("no panic holds this lock")
    }

    /// The state of a pane that the workers share, if they do: where the pane before had many groups, or the first rows look
    /// like it, or one worker (which has so many `alone`) has come to them. What a worker has folded alone until then stays
    /// with it and is merged in when the pane closes.
    fn shared_pane(
        &self,
        pane: i64,
        alone: Option<usize>,
        columns: &[ArrayRef],
        rows: Rows<'_>,
    ) -> Result<Option<Arc<SharedState>>> {
        // One slot is the serial part's.
        let workers = self.state.slots.len() - 1;
        if let Some(shared) = self.wide().get(&pane) {
            return Ok(Some(shared.clone()));
        }
        let expected = self.state.expected.load(Ordering::Relaxed);
        let many = || match alone {
            Some(groups) => groups > WIDE_MIN,
            None => expected > WIDE_MIN || SharedState::is_worth_it(&self.program, columns, rows),
        };
        if workers < 2 || !SharedState::is_possible(&self.program) || !many() {
            return Ok(None);
        }
        let mut wide = self.state.wide.write().expect("no panic holds this lock");
        Ok(Some(match wide.entry(pane) {
            Entry::Occupied(there) => there.get().clone(),
            Entry::Vacant(free) => {
                let shared = SharedState::new(self.device.as_ref(), &self.program, workers, expected);
                free.insert(Arc::new(shared.map_err(|e| self.failed(e, None, None))?)).clone()
            }
        }))
    }

    fn new_state(&self, expected: usize) -> Result<Box<dyn GroupState>> {
        self.device.state(&self.program, expected).map_err(|e| self.failed(e, None, None))
    }

    fn failed(&self, error: ProgramError, window: Option<Window>, state: Option<&dyn GroupState>) -> Error {
        let mut text = self.text.clone();
        if let Some(w) = window.filter(|w| w.end != MARK_MAX).map(|w| self.bounds(w)) {
            text += &format!(", window [{}, {})", show_time(w.start), show_time(w.end));
        }
        if let (ProgramError::Aggregate { source, .. }, Some(state)) = (&error, state)
            && let Some(group) = source.group()
            && let Ok(keys) = state.keys()
            && !keys.is_empty()
        {
            let shown: Vec<String> = keys
                .iter()
                .map(|k| arrow::util::display::array_value_to_string(k, group).unwrap_or_else(|_| "?".into()))
                .collect();
            text += &format!(", key ({})", shown.join(", "));
        }
        let what = match &error {
            ProgramError::Aggregate { source: AggregateError::SumOverflow { data_type, .. }, .. } => {
                format!("the result does not fit {}", crate::sql::types::name(data_type))
            }
            error => error.to_string(),
        };
        let failed = Error::world(format!("{text}: {what}"));
        if matches!(error, ProgramError::Device { .. }) {
            return failed.hint("SET 'pelton.device' = 'cpu' runs it without the device");
        }
        failed.hint("cast the argument to a wider type, e.g. SUM(CAST(x AS DECIMAL(38, 0)))")
    }

    /// Takes the panes that all workers fold into, up to those whose first window closes at `mark`.
    fn take_wide(&self, mark: i64, merger: &mut Merger) -> Result<()> {
        loop {
            let (pane, shared) = {
                let mut wide = self.state.wide.write().expect("no panic holds this lock");
                let Some(entry) = wide.first_entry().filter(|e| self.last_tick(self.first_end(*e.key())) <= mark)
                else {
                    return Ok(());
                };
                entry.remove_entry()
            };
            let shared = Arc::into_inner(shared).expect("no batch at hand has rows of a pane that closes");
            self.state.expected.store(shared.groups(), Ordering::Relaxed);
            merger.add(pane, shared.into_state()).map_err(|e| self.failed(e, None, None))?;
        }
    }

    /// The rows of a closed window.
    fn emit(&self, window: Window, state: &dyn GroupState, out: &mut Emit) -> Result<()> {
        let parts = state.parts().map_err(|e| self.failed(e, Some(window), None))?;
        parts.into_iter().try_for_each(|part| self.emit_part(window, part, out))
    }

    fn emit_part(&self, window: Window, state: &dyn GroupState, out: &mut Emit) -> Result<()> {
        let keys = state.keys().map_err(|e| self.failed(e, Some(window), None))?;
        let mut aggregates = state.finish().map_err(|e| self.failed(e, Some(window), Some(state)))?;
        let (mut keys, mut groups) = (keys, state.groups());
        if self.slides {
            let rows = aggregates.pop().expect("the count of rows is the last");
            let there = arrow::compute::kernels::cmp::gt(&rows, &Int64Array::new_scalar(0)).map_err(internal)?;
            groups = there.true_count();
            if groups < there.len() {
                for column in keys.iter_mut().chain(&mut aggregates) {
                    *column = arrow::compute::filter(column, &there).map_err(internal)?;
                }
            }
        }
        self.emit_columns(window, groups, keys, aggregates, out)
    }

    fn emit_columns(
        &self,
        window: Window,
        n: usize,
        keys: Vec<ArrayRef>,
        aggregates: Vec<ArrayRef>,
        out: &mut Emit,
    ) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        let window = self.bounds(window);
        let bound = |value: i64, data_type: &DataType| timestamps(vec![value; n], data_type);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (column, field) in self.group.iter().zip(self.schema.fields()) {
            columns.push(match column {
                GroupColumn::Key(i) => keys[*i].clone(),
                GroupColumn::WindowStart => bound(window.start, field.data_type())?,
                GroupColumn::WindowEnd => bound(window.end, field.data_type())?,
                GroupColumn::WindowTime => bound(window.end - self.tick, field.data_type())?,
            });
        }
        columns.extend(aggregates);
        out.batches.push(closed_rows(columns, &self.schema, n)?);
        Ok(())
    }
}

impl Operator for WindowAggregate {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let routed = self.route(&batch);
        let columns = self.columns(&batch);
        let selected = batch.selected();
        let mut state = self.state.slots[slot].lock().expect("no panic holds this lock");
        for (pane, piece) in &routed.panes {
            let run: Vec<ArrayRef>;
            let (columns, rows) = match (piece, selected) {
                (Piece::Run(start, len), Rows::All(n)) if *len < n => {
                    run = columns.iter().map(|c| c.slice(*start, *len)).collect();
                    (&run, Rows::All(*len))
                }
                (Piece::Run(start, len), Rows::List(list)) => (&columns, Rows::List(&list[*start..start + len])),
                (Piece::Run(..), all) => (&columns, all),
                (Piece::List(list), _) => (&columns, Rows::List(list)),
            };
            let alone = state.panes.get(pane).map(|table| table.groups());
            let updated = match self.shared_pane(*pane, alone, columns, rows)? {
                Some(shared) => shared.update(columns, rows),
                None => {
                    if alone.is_none() {
                        let expected = state.groups;
                        state.panes.insert(*pane, self.new_state(expected)?);
                    }
                    state.panes.get_mut(pane).expect("made above").update(columns, rows)
                }
            };
            updated.map_err(|e| self.failed(e, None, None))?;
        }
        for (window, rows) in &routed.sides {
            if !state.sides.contains_key(window) {
                state.sides.insert(*window, self.new_state(0)?);
            }
            let table = state.sides.get_mut(window).expect("made above");
            table.update(&columns, Rows::List(rows)).map_err(|e| self.failed(e, Some(*window), None))?;
        }
        drop(state);
        let mut last_offset = None;
        for (row, missed) in &routed.late {
            let row = *row as usize;
            let offset = batch.offsets.get(row);
            let windows: Vec<String> = missed
                .iter()
                .map(|w| self.bounds(*w))
                .map(|w| {
                    if w.start == w.end {
                        format!("window ending {}", show_time(w.end))
                    } else {
                        format!("[{}, {})", show_time(w.start), show_time(w.end))
                    }
                })
                .collect();
            let reason =
                format!("late for {}: the watermark was {}", windows.join(", "), show_time(batch.marks.before(row)));
            // A row that a window function has repeated is one late row.
            if last_offset != Some(offset) {
                out.late += 1;
            }
            last_offset = Some(offset);
            out.letters.push(letter(&batch, row, &self.text, LetterKind::Late, reason));
        }
        Ok(())
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        let mut shared = self.state.shared.lock().expect("no panic holds this lock");
        let shared = &mut *shared;
        if mark < MARK_MAX && mark < shared.next && !self.slots_are_due(mark) {
            shared.closed = shared.closed.max(mark);
            return Ok(mark);
        }
        let mut sides: BTreeMap<Window, Box<dyn GroupState>> = BTreeMap::new();
        for slot in &self.state.slots {
            let mut slot = slot.lock().expect("no panic holds this lock");
            // Panes whose first window closes now get no further row: rows for them would be late.
            while let Some(entry) = slot.panes.first_entry() {
                let pane = *entry.key();
                if self.last_tick(self.first_end(pane)) > mark {
                    break;
                }
                let state = entry.remove();
                slot.groups = state.groups();
                self.state.expected.store(slot.groups, Ordering::Relaxed);
                shared.merger.add(pane, state).map_err(|e| self.failed(e, None, None))?;
            }
            while let Some(entry) = slot.sides.first_entry() {
                if self.last_tick(entry.key().end) > mark {
                    break;
                }
                let (window, state) = entry.remove_entry();
                match sides.entry(window) {
                    Entry::Vacant(free) => drop(free.insert(state)),
                    Entry::Occupied(mut old) => {
                        old.get_mut().merge(state.as_ref()).map_err(|e| self.failed(e, Some(window), None))?;
                    }
                }
            }
        }
        self.take_wide(mark, &mut shared.merger)?;
        loop {
            let of_pane = |pane| self.next_window(pane, shared.last, shared.closed);
            let next = shared.merger.pending().find_map(of_pane);
            let side = sides.first_key_value().map(|(window, _)| *window);
            let due = next.filter(|window| self.last_tick(window.end) <= mark);
            let Some(window) = due.into_iter().chain(side).min() else {
                shared.next = next.map_or(MARK_MAX, |window| self.last_tick(window.end));
                break;
            };
            let (panes, needed_after) = self.reads(window);
            let fresh = || self.device.state(&self.program, 0);
            let merged = shared.merger.close(panes, needed_after, &fresh);
            // Rows of a side belong to this window alone.
            let whole = merged.and_then(|merged| merged.and(sides.remove(&window)));
            let whole = whole.map_err(|e| self.failed(e, Some(window), None))?;
            if let Some(state) = whole.state() {
                self.emit(window, state, out)?;
            }
            shared.last = Some(window);
        }
        if mark == MARK_MAX
            && matches!(self.assign, Assign::Whole)
            && self.program.keys.is_empty()
            && out.batches.is_empty()
            && shared.closed != MARK_MAX
        {
            let row = self.program.over_nothing().map_err(|e| self.failed(e, None, None))?;
            self.emit_columns(Window { start: MARK_MIN, end: MARK_MAX }, 1, vec![], row, out)?;
        }
        shared.closed = shared.closed.max(mark);
        Ok(mark)
    }

    fn describe(&self) -> String {
        format!("WindowAggregate {} {} on={}", self.text, self.program, self.device.name())
    }

    fn memory_bytes(&self) -> usize {
        let slots: usize = self
            .state
            .slots
            .iter()
            .map(|s| {
                let s = s.lock().expect("no panic holds this lock");
                s.panes.values().chain(s.sides.values()).map(|t| t.memory_bytes()).sum::<usize>()
            })
            .sum();
        let wide: usize = self.wide().values().map(|shared| shared.memory_bytes()).sum();
        slots + wide + self.state.shared.lock().expect("no panic holds this lock").merger.memory_bytes()
    }
}
