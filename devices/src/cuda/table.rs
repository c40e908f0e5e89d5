//! Groups on a device that several workers fold batches into: each looks at its batch and packs it by itself, and holds the others up only
//! while it finds out where to and while it says go.
//!
//! A batch counts from when it is sent. Whoever takes panes waits for the batches that are being packed, and new ones wait for him.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use arrow::array::ArrayRef;
use pelton_kernels::Rows;
use pelton_kernels::program::ProgramError;
use pelton_kernels::stage::{Folded, PaneTable, Taken};

use super::Limits;
use super::api::{Api, Pinned};
use super::groups::{Groups, Place, Stopped};
use super::plan::Plan;
use super::wire::Packed;
use crate::Unfit;
use crate::tally::Tally;

/// Rows of one launch at most.
const ROWS_MAX: usize = 1 << 25;

/// See the module.
pub(crate) struct Table {
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    state: Mutex<State>,
    /// Told when a batch was sent or given up, and when panes were taken.
    changed: Condvar,
}

struct State {
    groups: Groups,
    /// Batches that are being packed.
    packing: usize,
    /// Workers that want to take panes.
    taking: usize,
}

/// A place in pinned memory that a batch is being packed into; given back if nothing comes of it.
struct Packing<'t> {
    table: &'t Table,
    place: Option<Place>,
}

impl Packing<'_> {
    fn pinned(&mut self) -> &mut Pinned {
        &mut self.place.as_mut().expect("it was not sent").host
    }

    /// Sends the batch.
    fn send(mut self, packed: &Packed<'_>, columns: &[ArrayRef]) -> Result<(), Stopped> {
        let place = self.place.take().expect("it was not sent");
        let mut state = self.table.lock();
        state.packing -= 1;
        let sent = state.groups.send(place, packed, columns);
        drop(state);
        self.table.changed.notify_all();
        sent
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let mut state = self.table.lock();
        state.packing -= 1;
        state.groups.give_back(place);
        drop(state);
        self.table.changed.notify_all();
    }
}

impl Table {
    pub(crate) fn new(api: Arc<dyn Api>, plan: Arc<Plan>, limits: Limits, tally: Arc<Tally>) -> Table {
        let groups = Groups::new(api, plan.clone(), limits, tally.clone());
        Table { plan, tally, state: Mutex::new(State { groups, packing: 0, taking: 0 }), changed: Condvar::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds this lock")
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed.wait(state).expect("no panic holds this lock")
    }

    /// The groups, when no batch is being packed.
    fn at_rest(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.taking += 1;
        while state.packing > 0 {
            state = self.wait(state);
        }
        state.taking -= 1;
        state
    }

    /// Does something with the groups when no batch is being packed.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Groups) -> R) -> R {
        let done = work(&mut self.at_rest().groups);
        self.changed.notify_all();
        done
    }

    fn fold_all(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), Stopped> {
        let mut packed = Packed::look(&self.plan, columns, rows)?;
        let mut packing = {
            let mut state = self.lock();
            while state.taking > 0 {
                state = self.wait(state);
            }
            let ready = state.groups.fit(&mut packed)?;
            let place = loop {
                match state.groups.place(&packed, ready)? {
                    Some(place) => break place,
                    // Others are packing into all there are.
                    None => state = self.wait(state),
                }
            };
            state.packing += 1;
            Packing { table: self, place: Some(place) }
        };
        let len = packed.len();
        packed.write(&mut packing.pinned().bytes_mut()[..len]);
        packing.send(&packed, columns)
    }
}

impl PaneTable for Table {
    fn fold(&self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<Folded, ProgramError> {
        match rows {
            _ if rows.is_empty() => return Ok(Folded::Done),
            // All or nothing, and a launch has room for so many.
            _ if rows.len() > ROWS_MAX => {
                self.tally.refused(Unfit::Memory, rows.len());
                return Ok(Folded::Refused(Unfit::Memory.to_string()));
            }
            _ => {}
        }
        match self.fold_all(columns, rows) {
            Ok(()) => Ok(Folded::Done),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Unfit(Unfit::Rows | Unfit::Groups | Unfit::Range | Unfit::Exponents))
                if !self.lock().groups.is_idle() =>
            {
                Ok(Folded::Full)
            }
            Err(Stopped::Unfit(unfit)) => {
                self.tally.refused(unfit, rows.len());
                Ok(Folded::Refused(unfit.to_string()))
            }
        }
    }

    fn first(&self) -> Option<i64> {
        self.lock().groups.first()
    }

    fn take(&self, end: i64) -> Result<Taken, ProgramError> {
        self.with(|groups| groups.take(end))
    }

    fn memory_bytes(&self) -> usize {
        self.lock().groups.memory_bytes()
    }
}
