//! The groups of all panes of a stage on wgpu's device, which several workers fold batches into.
//!
//! A worker looks at its batch and makes words of it by itself; where panes are counted from, ids and scales are
//! agreed on under the table's lock, and it is sent under it. Rows that the table refuses are counted by whoever
//! takes them, a state beside it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use pelton_kernels::Rows;
use pelton_kernels::program::{GroupState, ProgramError};
use pelton_kernels::stage::{Folded, PaneOf, PaneTable, Stage, Taken};

use crate::Unfit;
use crate::gpu::Gpu;
use crate::layout::Layout;
use crate::pack::Packed;
use crate::resident::{Ready, Refusal, Resident};
use crate::tally::Tally;

/// See the module.
pub(crate) struct Table {
    gpu: Arc<Gpu>,
    stage: Arc<Stage>,
    tally: Arc<Tally>,
    /// Made when the first batch tells the types of its columns.
    ready: Mutex<Option<Arc<Ready>>>,
    held: Mutex<Held>,
}

/// What is on the device.
#[derive(Default)]
struct Held {
    resident: Option<Resident>,
    /// At most the number of the first pane that has groups, and at least that of the last, if there are groups.
    panes: Option<(i64, i64)>,
    /// Groups of panes that had to leave with others, by the first tick of each: for want of memory to sort them out,
    /// or so that ids could begin anew.
    beside: BTreeMap<i64, Box<dyn GroupState>>,
}

impl Table {
    pub(crate) fn new(gpu: Arc<Gpu>, stage: Arc<Stage>, tally: Arc<Tally>) -> Table {
        Table { gpu, stage, tally, ready: Mutex::default(), held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no panic holds this lock")
    }

    fn ready(&self, columns: &[ArrayRef]) -> Result<Arc<Ready>, Refusal> {
        let mut ready = self.ready.lock().expect("no panic holds this lock");
        if let Some(ready) = &*ready {
            return Ok(ready.clone());
        }
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let layout = Layout::of_stage(&self.stage, &types)?;
        let made = Arc::new(Ready::new(&self.gpu, &self.stage.program, layout)?);
        Ok(ready.insert(made).clone())
    }

    /// Makes words of a batch, unless it does not fit by itself.
    fn look<'b>(&self, ready: &'b Ready, columns: &[ArrayRef], rows: Rows<'b>) -> Result<Packed<'b>, Unfit> {
        // All or nothing, and a launch has room for so many.
        if rows.len() > ready.rows_max() {
            return Err(Unfit::Memory);
        }
        Packed::look(&ready.layout, self.stage.panes.as_ref(), columns, rows)
    }

    fn enter(&self, ready: &Arc<Ready>, packed: Packed<'_>) -> Result<(), Refusal> {
        let (first, last) = packed.panes;
        let mut held = self.lock();
        if held.resident.is_none() {
            held.resident = Some(Resident::new(ready, 2 * packed.rows() as u64)?);
        }
        let (resident, panes) = held.parts();
        let folded = resident.fold(packed);
        match (&folded, *panes) {
            (Ok(()), Some((low, high))) => *panes = Some((low.min(first), high.max(last))),
            (Ok(()), None) => *panes = Some((first, last)),
            // The next batch need not be like this one.
            (Err(_), None) => resident.forget(),
            (Err(_), Some(_)) => {}
        }
        folded
    }
}

impl Held {
    fn parts(&mut self) -> (&mut Resident, &mut Option<(i64, i64)>) {
        (self.resident.as_mut().expect("there was a batch"), &mut self.panes)
    }

    /// Brings the groups of panes that begin before `end` from the device to those beside it.
    fn take(&mut self, of: Option<&PaneOf>, end: i64) -> Result<(), ProgramError> {
        let Some((first, last)) = self.panes else { return Ok(()) };
        // The number of the first pane that stays.
        let stays = match of {
            None => i128::from(end > 0),
            Some(panes) => {
                let number = panes.number(end);
                let start = number * i128::from(panes.width) + i128::from(panes.offset);
                number + i128::from(start < i128::from(end))
            }
        };
        if stays <= i128::from(first) {
            return Ok(());
        }
        let (resident, panes) = self.parts();
        let origin = resident.origin().expect("there are groups");
        // All panes lie within 32 bits of the origin: where the first that stays does not, none does.
        let before = (stays <= i128::from(last)).then(|| (stays - i128::from(origin)) as i32);
        let mut taken = resident.take(before)?;
        if resident.has_groups() && resident.is_stale() {
            taken.extend(resident.take(None)?);
        }
        *panes = resident.has_groups().then_some((stays as i64, last));
        for (pane, state) in taken {
            match self.beside.entry(of.map_or(0, |panes| panes.start(origin + i64::from(pane)))) {
                Entry::Occupied(mut there) => there.get_mut().merge(state.as_ref())?,
                Entry::Vacant(free) => drop(free.insert(state)),
            }
        }
        Ok(())
    }
}

impl PaneTable for Table {
    fn fold(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<Folded, ProgramError> {
        if rows.is_empty() {
            return Ok(Folded::Done);
        }
        let refused = |refusal| match refusal {
            Refusal::Failed(error) => Err(error),
            Refusal::Unfit(unfit) => Ok(Folded::Refused(unfit.to_string())),
        };
        let ready = match self.ready(columns) {
            Ok(ready) => ready,
            Err(refusal) => return refused(refusal),
        };
        let packed = match self.look(&ready, columns, rows) {
            Ok(packed) => packed,
            Err(unfit) => return refused(unfit.into()),
        };
        match self.enter(&ready, packed) {
            Ok(()) => {
                self.tally.folded(rows.len());
                Ok(Folded::Done)
            }
            // With what is there it does not fit.
            Err(Refusal::Unfit(Unfit::Rows | Unfit::Groups | Unfit::Range | Unfit::Exponents))
                if self.lock().panes.is_some() =>
            {
                Ok(Folded::Full)
            }
            Err(refusal) => refused(refusal),
        }
    }

    fn first(&self) -> Option<i64> {
        let held = self.lock();
        let on_device = held.panes.map(|(first, _)| self.stage.panes.map_or(0, |panes| panes.start(first)));
        let beside = held.beside.first_key_value().map(|(pane, _)| *pane);
        on_device.into_iter().chain(beside).min()
    }

    fn take(&self, end: i64) -> Result<Taken, ProgramError> {
        let mut held = self.lock();
        held.take(self.stage.panes.as_ref(), end)?;
        let stays = held.beside.split_off(&end);
        Ok(std::mem::replace(&mut held.beside, stays).into_iter().collect())
    }

    fn memory_bytes(&self) -> usize {
        let held = self.lock();
        let beside: usize = held.beside.values().map(|state| state.memory_bytes()).sum();
        beside + held.resident.as_ref().map_or(0, Resident::memory_bytes)
    }
}
