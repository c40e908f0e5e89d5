//! A stage on a device that keeps the groups of all its panes in one table: `WindowAggregate` gives it the batches in which no
//! row can be late, and takes panes back when they close.
//!
//! Where a filter stands right before the stage and can be told to the device, the device filters too: then it is given
//! batches as they come from the source. Whatever it refuses goes the processor's way, and both halves of a pane merge exactly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use pelton_kernels::Rows;
use pelton_kernels::program::{Device, Program, ProgramError};
use pelton_kernels::stage::{Folded, PaneOf, PaneTable, Stage, Taken, Test};

use super::Assign;
use crate::batch::MARK_MAX;
use crate::expr::Select;
use crate::placement::{Batch, Choice, Machine, StagePlacement};
use crate::predicate::Predicate;

/// What stands right before a stage and is done with it.
#[derive(Clone)]
pub struct Before {
    /// The filter, then what renames and drops columns, at last the columns that the stage reads.
    pub selects: Vec<Select>,
    /// The filter as a device does it, over the columns that come in.
    pub tests: Vec<Test>,
    /// Where the columns that the stage reads are among those that come in.
    pub places: Vec<usize>,
}

impl Before {
    /// What rows must satisfy, over the columns that come in.
    pub(super) fn predicate(&self) -> Option<&Predicate> {
        self.selects.first()?.predicate.as_ref()
    }
}

/// Who takes a batch, where the processor and a device both could.
pub struct Chooser {
    /// Knows what they cost.
    pub placement: StagePlacement,
    /// What a row brings over the bus, about.
    pub row_bytes: usize,
    /// Has the clock.
    pub machine: Arc<dyn Machine>,
}

/// Where and how a stage runs.
pub struct Runs {
    /// Who runs it.
    pub device: Arc<dyn Device>,
    /// Asked for each batch; without, the device takes what it can.
    pub chooser: Option<Chooser>,
    /// What is done with a batch first.
    pub before: Option<Before>,
}

/// A batch that the processor folds: who wants to know how long that took.
pub(super) struct Timed<'a> {
    chooser: Option<(&'a Chooser, Duration)>,
    rows: usize,
}

impl Timed<'_> {
    pub(super) fn done(self) {
        if let Some((chooser, start)) = self.chooser {
            let took = chooser.machine.now().saturating_sub(start);
            chooser.placement.observe(Choice::Cpu, self.rows, self.rows * chooser.row_bytes, took);
        }
    }
}

/// A stage's table.
pub(super) struct OnDevice {
    device: Arc<dyn Device>,
    /// The program and the windows, over the columns that the device is given.
    program: Arc<Program>,
    assign: Assign,
    tests: Vec<Test>,
    chooser: Option<Chooser>,
    /// Rows that the device has folded since panes were taken last.
    folded: AtomicUsize,
    /// Made when the first batch tells the unit of its times; `None` where these windows have no table.
    table: OnceLock<Option<Opened>>,
}

struct Opened {
    table: Box<dyn PaneTable>,
    /// Microseconds of a tick of the times, and what is added to a pane.
    unit: i64,
    add: i64,
    /// Ticks from pane to pane.
    width: i64,
}

impl OnDevice {
    /// A table of these windows; `program` and `assign` are over the columns that the stage reads.
    pub(super) fn new(
        device: &Arc<dyn Device>,
        program: &Arc<Program>,
        assign: &Assign,
        before: Option<&Before>,
        chooser: Option<Chooser>,
    ) -> Self {
        let place = |column: usize| before.map_or(column, |before| before.places[column]);
        let mut moved = program.as_ref().clone();
        moved.keys.iter_mut().for_each(|(column, _)| *column = place(*column));
        for call in &mut moved.aggregates {
            call.args.iter_mut().chain(&mut call.filter).for_each(|column| *column = place(*column));
        }
        let mut assign = assign.clone();
        match &mut assign {
            Assign::Panes { time, .. } => *time = place(*time),
            Assign::Carried { column, .. } => *column = place(*column),
            Assign::Whole => {}
        }
        OnDevice {
            device: device.clone(),
            program: Arc::new(moved),
            assign,
            tests: before.map_or_else(Vec::new, |before| before.tests.clone()),
            chooser,
            folded: AtomicUsize::new(0),
            table: OnceLock::new(),
        }
    }

    /// How rows find their windows, over the columns that the device is given.
    pub(super) fn assign(&self) -> &Assign {
        &self.assign
    }

    fn open(&self, columns: &[ArrayRef]) -> Option<&Opened> {
        self.table.get_or_init(|| self.opened(columns)).as_ref()
    }

    fn opened(&self, columns: &[ArrayRef]) -> Option<Opened> {
        let unit_of = |column: usize| match columns[column].data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => Some(1_000_000),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Some(1000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some(1),
            _ => None,
        };
        let (panes, unit, add) = match &self.assign {
            Assign::Whole => (None, 1, 0),
            Assign::Carried { column, add } => {
                (Some(PaneOf { column: *column, width: 1, offset: 0 }), unit_of(*column)?, *add)
            }
            Assign::Panes { panes, time } => {
                let unit = unit_of(*time)?;
                let (width, offset) = panes.grid().filter(|(width, offset)| width % unit == 0 && offset % unit == 0)?;
                (Some(PaneOf { column: *time, width: width / unit, offset: offset / unit }), unit, 0)
            }
        };
        let stage = Arc::new(Stage { program: self.program.clone(), tests: self.tests.clone(), panes });
        let table = self.device.panes(&stage)?;
        Some(Opened { table, unit, add, width: panes.map_or(1, |panes| panes.width) })
    }

    /// Begins a batch that the processor folds.
    pub(super) fn by_processor(&self, rows: usize) -> Timed<'_> {
        Timed { chooser: self.chooser.as_ref().map(|chooser| (chooser, chooser.machine.now())), rows }
    }

    /// Folds rows of which none is late, if the device is to. `kept` is given what had to leave the table for them. False if the device did not take
    /// them.
    pub(super) fn fold(
        &self,
        columns: &[ArrayRef],
        rows: Rows<'_>,
        kept: impl FnOnce(Taken) -> Result<(), ProgramError>,
    ) -> Result<bool, ProgramError> {
        let Some(opened) = self.open(columns) else { return Ok(false) };
        let Some(Chooser { placement, row_bytes, machine }) = &self.chooser else {
            return opened.fold(columns, rows, kept);
        };
        let bytes = rows.len() * row_bytes;
        if placement.choose(Batch::new(rows.len(), bytes)) == Choice::Cpu {
            return Ok(false);
        }
        let start = machine.now();
        let folded = opened.fold(columns, rows, kept)?;
        if folded {
            self.folded.fetch_add(rows.len(), Ordering::Relaxed);
            placement.observe(Choice::Device, rows.len(), bytes, machine.now().saturating_sub(start));
        }
        Ok(folded)
    }

    /// Whether a pane is there that is `due`, which it is if those before it are.
    pub(super) fn is_due(&self, due: impl Fn(i64) -> bool) -> bool {
        let Some(Some(opened)) = self.table.get() else { return false };
        let first = opened.table.first();
        first.is_some_and(|first| due(opened.us(first)))
    }

    /// Takes the panes that are due; all of them at the end. What that takes is part of what the device costs.
    pub(super) fn take(&self, mark: i64, due: impl Fn(i64) -> bool) -> Result<Taken, ProgramError> {
        let Some(Chooser { placement, machine, .. }) = &self.chooser else { return self.take_due(mark, due) };
        let start = machine.now();
        let taken = self.take_due(mark, due)?;
        if !taken.is_empty() {
            let rows = self.folded.swap(0, Ordering::Relaxed);
            placement.observe_close(Choice::Device, rows, machine.now().saturating_sub(start));
        }
        Ok(taken)
    }

    fn take_due(&self, mark: i64, due: impl Fn(i64) -> bool) -> Result<Taken, ProgramError> {
        let Some(Some(opened)) = self.table.get() else { return Ok(vec![]) };
        let table = &opened.table;
        let Some(first) = table.first() else { return Ok(vec![]) };
        if mark == MARK_MAX {
            return Ok(opened.in_us(table.take(i64::MAX)?));
        }
        // The first pane of the grid that is not due: found by doubling, then by halving.
        let pane = |n: i64| first.saturating_add(n.saturating_mul(opened.width));
        let is_due = |n: i64| pane(n) < i64::MAX && due(opened.us(pane(n)));
        let mut high = 1;
        if !is_due(0) {
            return Ok(vec![]);
        }
        while is_due(high) {
            high = high.saturating_mul(2);
        }
        let mut low = high / 2;
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if is_due(middle) { low = middle } else { high = middle }
        }
        Ok(opened.in_us(table.take(pane(high))?))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.get().and_then(Option::as_ref).map_or(0, |opened| opened.table.memory_bytes())
    }
}

impl Opened {
    fn fold(
        &self,
        columns: &[ArrayRef],
        rows: Rows<'_>,
        kept: impl FnOnce(Taken) -> Result<(), ProgramError>,
    ) -> Result<bool, ProgramError> {
        let table = &self.table;
        match table.fold(columns, rows)? {
            Folded::Done => Ok(true),
            Folded::Refused(_) => Ok(false),
            Folded::Full => {
                kept(self.in_us(table.take(i64::MAX)?))?;
                Ok(table.fold(columns, rows)? == Folded::Done)
            }
        }
    }

    fn us(&self, pane: i64) -> i64 {
        pane.saturating_mul(self.unit).saturating_add(self.add)
    }

    /// With the first instants of the panes in µs.
    fn in_us(&self, taken: Taken) -> Taken {
        taken.into_iter().map(|(pane, state)| (self.us(pane), state)).collect()
    }
}
