//! `WindowAggregate`: groups and aggregates per window, emitted when the window closes.
//!
//! State: per worker, one group table a pane; plus one a window for rows that come too late for some of their windows
//! (they may not enter a pane that an already closed window reads). A pane of many groups has one table that all workers
//! share. A pane of which a window closes gets no more rows and moves to where a [`Merger`] makes windows of panes. Lets
//! go: a pane leaves with its last window.
//!
//! Windows of several kinds over the same keys can be made of the same panes: [`FoldPanes`] folds rows for all of them, and a
//! [`MergeWindows`] for each makes and emits its windows. A row goes to a pane if none of the windows of any kind that read it
//! is closed for the row; else it goes to the sides of all windows that are open for it.
//!
//! Why the result does not depend on threads or batches: whether a row counts in a window is decided by the row's own
//! watermark (its partition's, just before it), and folding is a commutative monoid. When a window is merged decides
//! only when its rows come out: at a stage watermark of at least `end - 1 tick`, no row still to come can count in it.

mod route;
mod saved;
mod sealed;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, SchemaRef};
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateError, AggregateKind, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Device, GroupState, Program, ProgramError};
use pelton_kernels::shared::SharedState;
use pelton_kernels::stage::Taken;

use self::route::Piece;
use self::sealed::SealedPanes;
use super::merger::{Held, Kept, Merger};
use super::on_device::{Before, OnDevice, Runs, Timed};
use super::{Emit, Operator, closed_rows, order_columns, range_us, show_time, timestamps};
use crate::batch::{MARK_MAX, MARK_MIN, MicroBatch, internal};
use crate::checkpoint::piece::{Cut, SavedStep};
use crate::connector::LetterKind;
use crate::error::{Error, Result};
use crate::expr::{Compiled, letter};
use crate::lineage::Lineage;
use crate::panes::{Panes, Window};
use crate::predicate::Predicate;
use crate::window::Length;

/// How rows find their windows.
#[derive(Clone, Debug, PartialEq)]
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
/// each, and are merged quickly: with 65,536, tables of their own are half as fast again.
const WIDE_MIN: usize = 131_072;

/// Unless keys are skewed and a group has so many rows or more: then most rows meet groups that stay in the caches in any case,
/// and merging the others costs less than sorting all rows by part.
const DENSE_ROWS: usize = 16;

/// A kind of window, and what comes out of it.
#[derive(Clone)]
pub struct View {
    /// How rows find their windows.
    pub assign: Assign,
    /// The leading output columns; the aggregates follow.
    pub group: Vec<GroupColumn>,
    /// Output schema.
    pub schema: SchemaRef,
    /// How the query writes the window, for messages and letters.
    pub text: String,
}

/// See the module.
pub struct WindowAggregate(Arc<Folding>);

/// See the module. No rows come out of it.
pub struct FoldPanes(Arc<Folding>);

/// See the module. Its input brings it watermarks alone; what it merges it finds where the input has put it.
pub struct MergeWindows {
    folding: Arc<Folding>,
    view: usize,
}

struct Folding {
    /// Keys and aggregates over the input columns. Columns beyond the input's last are event time in µs, partition
    /// and offset of each row, for aggregates that need a total order.
    program: Arc<Program>,
    /// Who runs it.
    device: Arc<dyn Device>,
    /// Where the device keeps a table for all panes.
    on_device: Option<OnDevice>,
    /// What is done with a batch first.
    before: Option<Before>,
    /// One tick of the event time in µs.
    tick: i64,
    /// True if an aggregate needs the order columns.
    ordered: bool,
    /// The windows. If there are several, they have their panes in common.
    views: Vec<View>,
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
    /// The rows that came before that, since the pane before it, and those that have come since.
    rows_before: AtomicUsize,
    rows: AtomicUsize,
    /// What the workers had folded until the last checkpoint into panes that may still get rows.
    sealed: SealedPanes,
    shared: Mutex<Shared>,
}

/// What one worker has folded. A table that it folds into is with the worker and not in here, so that nobody waits for it
/// who closes windows: no row at hand can still count in those.
#[derive(Default)]
struct Slot {
    panes: BTreeMap<i64, Box<dyn GroupState>>,
    /// By window and index of its view.
    sides: BTreeMap<(Window, usize), Box<dyn GroupState>>,
    /// Groups of the pane that has left last: as many are expected of the next.
    groups: usize,
}

/// What all workers have folded into panes and sides that get no more rows.
struct Shared {
    held: Held,
    views: Vec<Closing>,
}

/// How far the windows of a view are closed.
struct Closing {
    merger: Merger,
    sides: BTreeMap<Window, Kept>,
    /// The window merged last.
    last: Option<Window>,
    closed: i64,
    /// The mark at which the next window closes.
    next: i64,
}

/// The program with a count of rows behind its aggregates.
fn with_row_count(program: &Program) -> Program {
    let spec = AggregateSpec { kind: AggregateKind::Count, distinct: false, arg_types: vec![], fast_float: false };
    let mut counted = program.clone();
    counted.aggregates.push(AggregateCall { spec, args: vec![], filter: None });
    counted
}

impl View {
    fn panes(&self) -> Option<&Panes> {
        match &self.assign {
            Assign::Panes { panes, .. } => Some(panes),
            Assign::Carried { .. } | Assign::Whole => None,
        }
    }

    /// A window in instants, as results show it.
    fn bounds(&self, window: Window) -> Window {
        self.panes()
            .map_or(window, |panes| Window { start: panes.start_of(window.start), end: panes.end_of(window.end) })
    }

    fn windows_of(&self, pane: i64) -> Vec<Window> {
        match &self.assign {
            Assign::Panes { panes, .. } => panes.windows(pane),
            Assign::Carried { .. } => vec![Window { start: pane, end: pane }],
            Assign::Whole => vec![Window { start: MARK_MIN, end: MARK_MAX }],
        }
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
}

impl WindowAggregate {
    /// A step for `slots` workers, which does what stands before it too.
    pub fn new(program: Arc<Program>, runs: Runs, tick: i64, ordered: bool, view: View, slots: usize) -> Self {
        WindowAggregate(Arc::new(Folding::new(program, runs, tick, ordered, vec![view], slots)))
    }
}

impl FoldPanes {
    /// A step for `slots` workers that folds rows for the windows of all views, which have panes in common.
    pub fn new(program: Arc<Program>, runs: Runs, tick: i64, ordered: bool, views: Vec<View>, slots: usize) -> Self {
        FoldPanes(Arc::new(Folding::new(program, runs, tick, ordered, views, slots)))
    }

    /// The step behind it that makes the windows of a view.
    pub fn windows(&self, view: usize) -> MergeWindows {
        MergeWindows { folding: self.0.clone(), view }
    }
}

impl Folding {
    fn new(program: Arc<Program>, runs: Runs, tick: i64, ordered: bool, views: Vec<View>, slots: usize) -> Self {
        let closing = |(index, view): (usize, &View)| Closing {
            merger: Merger::new(view.panes(), &program, index),
            sides: BTreeMap::new(),
            last: None,
            closed: MARK_MIN,
            next: MARK_MAX,
        };
        let closing: Vec<Closing> = views.iter().enumerate().map(closing).collect();
        let slides = closing.iter().any(|view| view.merger.slides());
        let state = State {
            slots: (0..slots).map(|_| Mutex::default()).collect(),
            wide: RwLock::default(),
            expected: AtomicUsize::new(0),
            rows_before: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            sealed: SealedPanes::default(),
            shared: Mutex::new(Shared { held: Held::new(views.len()), views: closing }),
        };
        let program = if slides { Arc::new(with_row_count(&program)) } else { program };
        let Runs { device, chooser, before } = runs;
        let tables = device.keeps_panes(&program) && !ordered;
        let on_device = tables.then(|| OnDevice::new(&device, &program, &views[0].assign, before.as_ref(), chooser));
        Folding { program, device, on_device, before, tick, ordered, views, slides, state }
    }

    /// The last instant of a window: it is closed once the watermark has reached this.
    fn last_tick(&self, end: i64) -> i64 {
        if end == MARK_MAX { MARK_MAX } else { self.views[0].bounds(Window { start: end, end }).end - self.tick }
    }

    /// The first window of a view that reads the pane, of those that follow `last` and whose last tick is after `mark`.
    fn next_window(&self, view: &View, pane: i64, last: Option<Window>, mark: i64) -> Option<Window> {
        let (sliding, single) = match &view.assign {
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

    /// End of the first window that reads the pane.
    fn first_end(&self, pane: i64) -> i64 {
        self.views.iter().map(|view| view.first_end(pane)).min().expect("there is a view")
    }

    /// True if a worker holds rows of a window that closes at `mark`.
    fn slots_are_due(&self, mark: i64) -> bool {
        self.state.slots.iter().any(|slot| {
            let slot = slot.lock().expect("no panic holds this lock");
            slot.panes.first_key_value().is_some_and(|(p, _)| self.closes(*p, mark))
                || slot.sides.first_key_value().is_some_and(|((w, _), _)| self.last_tick(w.end) <= mark)
        }) || self.wide().first_key_value().is_some_and(|(p, _)| self.closes(*p, mark))
            || self.state.sealed.first().is_some_and(|pane| self.closes(pane, mark))
            || self.on_device.as_ref().is_some_and(|table| table.is_due(|pane| self.closes(pane, mark)))
    }

    /// Whether a pane gets no more rows under a mark: its first window closes.
    fn closes(&self, pane: i64, mark: i64) -> bool {
        self.last_tick(self.first_end(pane)) <= mark
    }

    /// Input columns, and behind them what a total order of rows needs.
    fn columns(&self, batch: &MicroBatch) -> Vec<ArrayRef> {
        let mut columns = batch.columns.columns().to_vec();
        if self.ordered {
            columns.extend(order_columns(batch));
        }
        columns
    }

    fn slot(&self, slot: usize) -> MutexGuard<'_, Slot> {
        self.state.slots[slot].lock().expect("no panic holds this lock")
    }

    fn wide(&self) -> RwLockReadGuard<'_, BTreeMap<i64, Arc<SharedState>>> {
        self.state.wide.read().expect("no panic holds this lock")
    }

    /// The state of a pane that the workers share, if they do: where the pane before had many groups, or the first rows look
    /// like it, or one worker (which has so many `alone`) has come to them; but not where that pane had many rows a group and
    /// the rows at hand are skewed. What a worker has folded alone until then stays
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
        self.state.rows.fetch_add(rows.len(), Ordering::Relaxed);
        if let Some(shared) = self.wide().get(&pane) {
            return Ok(Some(shared.clone()));
        }
        let expected = self.state.expected.load(Ordering::Relaxed);
        let dense = expected > 0 && self.state.rows_before.load(Ordering::Relaxed) >= DENSE_ROWS * expected;
        let skewed = || dense && SharedState::is_skewed(&self.program, columns, rows);
        let many = || match alone.or((expected > 0).then_some(expected)) {
            Some(groups) => groups > WIDE_MIN && !skewed(),
            None => SharedState::is_worth_it(&self.program, columns, rows),
        };
        if workers < 2 || !SharedState::is_possible(&self.program) || !many() {
            return Ok(None);
        }
        let mut wide = self.state.wide.write().expect("no panic holds this lock");
        Ok(Some(match wide.entry(pane) {
            Entry::Occupied(there) => there.get().clone(),
            Entry::Vacant(free) => {
                let shared = SharedState::new(self.device.as_ref(), &self.program, workers, expected);
                free.insert(Arc::new(shared.map_err(|e| self.failed(e))?)).clone()
            }
        }))
    }

    fn new_state(&self, expected: usize) -> Result<Box<dyn GroupState>> {
        self.device.state(&self.program, expected).map_err(|e| self.failed(e))
    }

    /// An error while rows are folded, which is about no window.
    fn failed(&self, error: ProgramError) -> Error {
        self.failed_in(&self.views[0], error, None, None)
    }

    fn failed_in(
        &self,
        view: &View,
        error: ProgramError,
        window: Option<Window>,
        state: Option<&dyn GroupState>,
    ) -> Error {
        let mut text = view.text.clone();
        if let Some(w) = window.filter(|w| w.end != MARK_MAX).map(|w| view.bounds(w)) {
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

    /// Takes those of the panes that all workers fold into, from the first on.
    fn take_wide(&self, wanted: impl Fn(i64) -> bool) -> Vec<(i64, Box<dyn GroupState>)> {
        let mut taken = vec![];
        loop {
            let (pane, shared) = {
                let mut wide = self.state.wide.write().expect("no panic holds this lock");
                let Some(entry) = wide.first_entry().filter(|e| wanted(*e.key())) else { return taken };
                entry.remove_entry()
            };
            let shared = Arc::into_inner(shared).expect("no batch at hand has rows of the pane");
            self.state.expected.store(shared.groups(), Ordering::Relaxed);
            taken.push((pane, shared.into_state()));
        }
    }

    /// The rows of a closed window.
    fn emit(&self, view: &View, window: Window, state: &dyn GroupState, out: &mut Emit) -> Result<()> {
        let parts = state.parts().map_err(|e| self.failed_in(view, e, Some(window), None))?;
        parts.into_iter().try_for_each(|part| self.emit_part(view, window, part, out))
    }

    fn emit_part(&self, view: &View, window: Window, state: &dyn GroupState, out: &mut Emit) -> Result<()> {
        let keys = state.keys().map_err(|e| self.failed_in(view, e, Some(window), None))?;
        let mut aggregates = state.finish().map_err(|e| self.failed_in(view, e, Some(window), Some(state)))?;
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
        self.emit_columns(view, window, groups, keys, aggregates, out)
    }

    fn emit_columns(
        &self,
        view: &View,
        window: Window,
        n: usize,
        keys: Vec<ArrayRef>,
        aggregates: Vec<ArrayRef>,
        out: &mut Emit,
    ) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        let window = view.bounds(window);
        let bound = |value: i64, data_type: &DataType| timestamps(vec![value; n], data_type);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(view.schema.fields().len());
        for (column, field) in view.group.iter().zip(view.schema.fields()) {
            columns.push(match column {
                GroupColumn::Key(i) => keys[*i].clone(),
                GroupColumn::WindowStart => bound(window.start, field.data_type())?,
                GroupColumn::WindowEnd => bound(window.end, field.data_type())?,
                GroupColumn::WindowTime => bound(window.end - self.tick, field.data_type())?,
            });
        }
        columns.extend(aggregates);
        out.batches.push(closed_rows(columns, &view.schema, n)?);
        Ok(())
    }

    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        if self.push_to_device(slot, &batch)? {
            return Ok(());
        }
        let timed = self.on_device.as_ref().map(|table| table.by_processor(batch.rows()));
        let pushed = self.push_to_processor(slot, batch, out);
        timed.into_iter().for_each(Timed::done);
        pushed
    }

    fn push_to_processor(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let batch = match &self.before {
            None => batch,
            Some(before) => {
                let mut batch = batch;
                for select in &before.selects {
                    batch = select.run(&batch, &mut out.letters)?;
                    if batch.rows() == 0 {
                        return Ok(());
                    }
                }
                batch
            }
        };
        let routed = self.route(&batch);
        let columns = self.columns(&batch);
        let selected = batch.selected();
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
            let alone = self.slot(slot).panes.get(pane).map(|table| table.groups());
            let updated = match self.shared_pane(*pane, alone, columns, rows)? {
                Some(shared) => shared.update(columns, rows),
                None => {
                    let (held, expected) = {
                        let mut slot = self.slot(slot);
                        (slot.panes.remove(pane), slot.groups)
                    };
                    let mut table = held.map_or_else(|| self.new_state(expected), Ok)?;
                    let updated = table.update(columns, rows);
                    self.slot(slot).panes.insert(*pane, table);
                    updated
                }
            };
            updated.map_err(|e| self.failed(e))?;
        }
        for (window, rows) in &routed.sides {
            let held = self.slot(slot).sides.remove(window);
            let mut table = held.map_or_else(|| self.new_state(0), Ok)?;
            let updated = table.update(&columns, Rows::List(rows));
            self.slot(slot).sides.insert(*window, table);
            updated.map_err(|e| {
                let (window, view) = *window;
                self.failed_in(&self.views[view], e, Some(window), None)
            })?;
        }
        let mut last_offset = vec![None; self.views.len()];
        for (row, index, missed) in &routed.late {
            let view = &self.views[*index];
            let row = *row as usize;
            let offset = batch.offsets.get(row);
            let windows: Vec<String> = missed
                .iter()
                .map(|w| view.bounds(*w))
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
            if last_offset[*index].replace(offset) != Some(offset) {
                out.late += 1;
            }
            out.letters.push(letter(&batch, row, &view.text, LetterKind::Late, reason));
        }
        Ok(())
    }

    /// Gives a batch to the device, if there is a table and none of its rows can be late. False if the processor is to take it.
    fn push_to_device(&self, slot: usize, batch: &MicroBatch) -> Result<bool> {
        let Some(table) = &self.on_device else { return Ok(false) };
        let rows = batch.selected();
        let earliest = match table.assign() {
            Assign::Whole => None,
            Assign::Panes { panes, time } => {
                let column = batch.columns.column(*time);
                let range = batch.marks.range_of(column).or_else(|| range_us(column, rows));
                range.map(|(low, _)| panes.pane_of(panes.cut_time(low)))
            }
            Assign::Carried { column, add } => range_us(batch.columns.column(*column), rows).map(|(low, _)| low + add),
        };
        if earliest.is_some_and(|pane| self.closes(pane, batch.marks.max())) {
            return Ok(false);
        }
        let keep = |taken: Taken| {
            let mut slot = self.slot(slot);
            for (pane, state) in taken {
                match slot.panes.entry(pane) {
                    Entry::Vacant(free) => drop(free.insert(state)),
                    Entry::Occupied(mut there) => there.get_mut().merge(state.as_ref())?,
                }
            }
            Ok(())
        };
        table.fold(batch.columns.columns(), rows, keep).map_err(|e| self.failed(e))
    }

    /// Takes from the workers what gets no more rows under `mark`.
    fn collect(&self, mark: i64) -> Result<()> {
        let mut shared = self.state.shared.lock().expect("no panic holds this lock");
        let Shared { held, views } = &mut *shared;
        if mark < MARK_MAX && !self.slots_are_due(mark) {
            return Ok(());
        }
        self.state.rows_before.store(self.state.rows.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        for view in views.iter_mut() {
            // What is collected may be due, or make another window the next.
            view.next = MARK_MIN;
        }
        let fresh = || self.device.state(&self.program, 0);
        for (pane, state) in self.state.sealed.take(|pane| self.closes(pane, mark)) {
            self.state.expected.store(state.0.groups(), Ordering::Relaxed);
            held.add(pane, Kept::shared(state), &fresh).map_err(|e| self.failed(e))?;
        }
        if let Some(table) = &self.on_device {
            let taken = table.take(mark, |pane| self.closes(pane, mark)).map_err(|e| self.failed(e))?;
            for (pane, state) in taken {
                self.state.expected.store(state.groups(), Ordering::Relaxed);
                held.add(pane, Kept::new(state), &fresh).map_err(|e| self.failed(e))?;
            }
        }
        for slot in &self.state.slots {
            let mut slot = slot.lock().expect("no panic holds this lock");
            // Panes whose first window closes now get no further row: rows for them would be late.
            while let Some(entry) = slot.panes.first_entry() {
                let pane = *entry.key();
                if !self.closes(pane, mark) {
                    break;
                }
                let state = entry.remove();
                slot.groups = state.groups();
                self.state.expected.store(slot.groups, Ordering::Relaxed);
                held.add(pane, Kept::new(state), &fresh).map_err(|e| self.failed(e))?;
            }
            while let Some(entry) = slot.sides.first_entry() {
                let (window, index) = *entry.key();
                if self.last_tick(window.end) > mark {
                    break;
                }
                self.keep_side(&mut views[index], (window, index), entry.remove())?;
            }
        }
        for (pane, state) in self.take_wide(|pane| self.closes(pane, mark)) {
            held.add(pane, Kept::new(state), &fresh).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    /// Adds rows of a side, which belong to one window alone.
    fn keep_side(&self, view: &mut Closing, side: (Window, usize), state: Box<dyn GroupState>) -> Result<()> {
        let (window, index) = side;
        let kept = match view.sides.remove(&window) {
            None => Ok(Kept::new(state)),
            Some(there) => there.merge(state.as_ref(), &|| self.device.state(&self.program, 0)),
        };
        let kept = kept.map_err(|e| self.failed_in(&self.views[index], e, Some(window), None))?;
        view.sides.insert(window, kept);
        Ok(())
    }

    /// Merges and emits the windows of a view that close at `mark`.
    fn close(&self, index: usize, mark: i64, out: &mut Emit) -> Result<()> {
        let mut shared = self.state.shared.lock().expect("no panic holds this lock");
        let Shared { held, views } = &mut *shared;
        let Closing { merger, sides, last, closed, next } = &mut views[index];
        if mark < MARK_MAX && mark < *next {
            *closed = mark.max(*closed);
            return Ok(());
        }
        let view = &self.views[index];
        let fresh = || self.device.state(&self.program, 0);
        loop {
            let of_pane = |pane| self.next_window(view, pane, *last, *closed);
            let first = merger.pending(held).find_map(of_pane);
            // A checkpoint may have brought a side here before it is due.
            let side = sides.first_key_value().map(|(window, _)| *window);
            let all = || first.into_iter().chain(side);
            let Some(window) = all().filter(|window| self.last_tick(window.end) <= mark).min() else {
                *next = all().map(|window| self.last_tick(window.end)).min().unwrap_or(MARK_MAX);
                break;
            };
            let (panes, needed_after) = view.reads(window);
            let merged = merger.close(held, panes, needed_after, &fresh);
            // Rows of a side belong to this window alone.
            let side = sides.remove(&window).map(|side| side.take(&fresh)).transpose();
            let whole = merged.and_then(|merged| merged.and(side?));
            let whole = whole.map_err(|e| self.failed_in(view, e, Some(window), None))?;
            if let Some(state) = whole.state() {
                self.emit(view, window, state, out)?;
            }
            *last = Some(window);
        }
        if self.views.len() > 1 {
            merger.grow(held, &fresh).map_err(|e| self.failed_in(view, e, None, None))?;
        }
        if mark == MARK_MAX
            && matches!(view.assign, Assign::Whole)
            && self.program.keys.is_empty()
            && out.batches.is_empty()
            && *closed != MARK_MAX
        {
            let row = self.program.over_nothing().map_err(|e| self.failed_in(view, e, None, None))?;
            self.emit_columns(view, Window { start: MARK_MIN, end: MARK_MAX }, 1, vec![], row, out)?;
        }
        *closed = mark.max(*closed);
        Ok(())
    }

    fn describe(&self) -> String {
        let filter = self.before.iter().filter_map(Before::predicate);
        let filter: String = filter.map(|predicate| format!(" where {predicate}")).collect();
        format!("{}{filter} on={}", self.program, self.device.name())
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
        let shared = self.state.shared.lock().expect("no panic holds this lock");
        let of_view = |view: &Closing| {
            view.merger.memory_bytes() + view.sides.values().map(|side| side.get().memory_bytes()).sum::<usize>()
        };
        let sealed = self.state.sealed.memory_bytes();
        let table = self.on_device.as_ref().map_or(0, OnDevice::memory_bytes);
        slots + wide + table + sealed + shared.held.memory_bytes() + shared.views.iter().map(of_view).sum::<usize>()
    }
}

impl Operator for WindowAggregate {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        self.0.push(slot, batch, out)
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        self.0.collect(mark)?;
        self.0.close(0, mark, out)?;
        Ok(mark)
    }

    fn describe(&self) -> String {
        format!("WindowAggregate {} {}", self.0.views[0].text, self.0.describe())
    }

    fn predicate(&self) -> Option<&Compiled> {
        self.0.before.as_ref()?.predicate().map(Predicate::whole)
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        Some(self.0.schema(input))
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        self.0.save(cut)
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        self.0.load(saved)
    }

    fn settle(&self) -> Result<()> {
        self.0.state.sealed.settle().map_err(|e| self.0.failed(e))
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

impl Operator for FoldPanes {
    fn push(&self, slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        self.0.push(slot, batch, out)
    }

    fn advance(&self, mark: i64, _: &mut Emit) -> Result<i64> {
        self.0.collect(mark)?;
        Ok(mark)
    }

    fn describe(&self) -> String {
        let width = self.0.views[0].panes().map_or(0, Panes::width);
        format!("FoldPanes width={} {}", Length(width), self.0.describe())
    }

    fn state_schema(&self, input: &Lineage) -> Option<String> {
        Some(self.0.schema(input))
    }

    fn save(&self, cut: &mut Cut) -> Result<()> {
        self.0.save(cut)
    }

    fn load(&self, saved: SavedStep) -> Result<()> {
        self.0.load(saved)
    }

    fn settle(&self) -> Result<()> {
        self.0.state.sealed.settle().map_err(|e| self.0.failed(e))
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

impl Operator for MergeWindows {
    fn push(&self, _: usize, _: MicroBatch, _: &mut Emit) -> Result<()> {
        Ok(())
    }

    fn advance(&self, mark: i64, out: &mut Emit) -> Result<i64> {
        self.folding.close(self.view, mark, out)?;
        Ok(mark)
    }

    fn describe(&self) -> String {
        format!("MergeWindows {}", self.folding.views[self.view].text)
    }
}
