//! A state of a device: groups that live there, and beside them a state of the processor.
//!
//! The processor's state takes what the device did not: doubles too far apart for its sums, rows for which there was no
//! memory, states merged in. Merging is exact and commutative, so which rows went where can not be seen in the answer. Both
//! become one state of the processor when somebody wants to see the groups.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::ArrayRef;
use pelton_kernels::Rows;
use pelton_kernels::program::{Cpu, Device, GroupState, ProgramError};

use crate::pack::Packed;
use crate::resident::{Ready, Refusal, Resident};
use crate::tally::Tally;

/// See the module.
pub(crate) struct DeviceState {
    ready: Arc<Ready>,
    tally: Arc<Tally>,
    expected: usize,
    resident: Mutex<Option<Resident>>,
    beside: Option<Box<dyn GroupState>>,
    /// Both together, once they were read; there is nothing on the device then.
    whole: OnceLock<Box<dyn GroupState>>,
}

impl DeviceState {
    pub(crate) fn new(ready: Arc<Ready>, tally: Arc<Tally>, expected: usize) -> Self {
        let (resident, beside, whole) = (Mutex::default(), None, OnceLock::new());
        DeviceState { ready, tally, expected, resident, beside, whole }
    }

    fn empty(&self) -> Result<Box<dyn GroupState>, ProgramError> {
        Cpu.state(&self.ready.program, 0)
    }

    fn resident(&self) -> MutexGuard<'_, Option<Resident>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self) -> Result<&dyn GroupState, ProgramError> {
        // Whoever comes second waits for the first, and finds what that has read.
        let mut resident = self.resident();
        if let Some(whole) = self.whole.get() {
            return Ok(whole.as_ref());
        }
        let read = resident.as_ref().map(Resident::read_back).transpose()?;
        let mut whole = read.map_or_else(|| self.empty(), Ok)?;
        if let Some(beside) = &self.beside {
            whole.merge(beside.as_ref())?;
        }
        *resident = None;
        Ok(self.whole.get_or_init(|| whole).as_ref())
    }

    /// The state of the processor, after everything on the device has come into it.
    fn gathered(&mut self) -> Result<&mut Box<dyn GroupState>, ProgramError> {
        self.whole()?;
        self.beside = self.whole.take();
        Ok(self.beside.as_mut().expect("just set"))
    }

    fn fold(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), Refusal> {
        let packed = Packed::look(&self.ready.layout, None, columns, rows)?;
        let mut resident = self.resident();
        if resident.is_none() {
            let expected = self.expected.max(2 * rows.len()) as u64;
            *resident = Some(Resident::new(&self.ready, expected)?);
        }
        resident.as_mut().expect("just made").fold(packed)
    }

    fn update_some(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError> {
        match self.fold(columns, rows) {
            Ok(()) => {
                self.tally.folded(rows.len());
                Ok(())
            }
            Err(Refusal::Failed(error)) => Err(error),
            Err(Refusal::Unfit(unfit)) => {
                self.tally.refused(unfit, rows.len());
                if self.beside.is_none() {
                    self.beside = Some(self.empty()?);
                }
                self.beside.as_mut().expect("just made").update(columns, rows)
            }
        }
    }
}

impl GroupState for DeviceState {
    fn update(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), ProgramError> {
        if self.whole.get().is_some() {
            self.gathered()?;
        }
        let most = self.ready.rows_max();
        match rows {
            _ if rows.is_empty() => Ok(()),
            _ if rows.len() <= most => self.update_some(columns, rows),
            Rows::List(list) => list.chunks(most).try_for_each(|list| self.update_some(columns, Rows::List(list))),
            Rows::All(n) => (0..n).step_by(most).try_for_each(|start| {
                let len = most.min(n - start);
                let slices: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, len)).collect();
                self.update_some(&slices, Rows::All(len))
            }),
        }
    }

    fn merge(&mut self, other: &dyn GroupState) -> Result<(), ProgramError> {
        self.gathered()?.merge(other)
    }

    fn unmerge(&mut self, other: &dyn GroupState) -> Result<bool, ProgramError> {
        self.gathered()?.unmerge(other)
    }

    fn groups(&self) -> usize {
        if let Some(whole) = self.whole.get() {
            return whole.groups();
        }
        let on_device = self.resident().as_ref().map_or(0, Resident::groups);
        on_device.max(self.beside.as_ref().map_or(0, |beside| beside.groups()))
    }

    fn keys(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        self.whole()?.keys()
    }

    fn finish(&self) -> Result<Vec<ArrayRef>, ProgramError> {
        self.whole()?.finish()
    }

    fn parts(&self) -> Result<Vec<&dyn GroupState>, ProgramError> {
        self.whole()?.parts()
    }

    fn memory_bytes(&self) -> usize {
        let on_device = self.resident().as_ref().map_or(0, Resident::memory_bytes);
        let held = [self.beside.as_ref(), self.whole.get()];
        on_device + held.into_iter().flatten().map(|state| state.memory_bytes()).sum::<usize>()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
