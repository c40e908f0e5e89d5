//! Panes that may still get rows, and of which a checkpoint has a copy of the groups so far.
//!
//! A checkpoint takes the workers' tables away and has them written as they are; rows that come later go to new tables. So
//! the flow waits for nothing but the taking, and a checkpoint writes the groups that were touched since the one before.
//! What adds up is merged beside the workers, small states first, as in a log-structured merge tree (O'Neil et al., 1996).

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard};

use pelton_kernels::program::{GroupState, ProgramError};
use serde_json::json;

use crate::checkpoint::piece::{Cut, PieceId, SharedGroups};

/// Pieces of a pane at which it is written anew as one.
const PIECES_MAX: usize = 32;

/// A state is merged into the one before it unless that is so many times as large.
const STEP: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct SealedPanes(Mutex<BTreeMap<i64, Arc<Mutex<Sealed>>>>);

#[derive(Default)]
struct Sealed {
    /// Together the pane's groups, the larger ones first.
    states: Vec<SharedGroups>,
    /// Together the same on storage, with the groups of each.
    pieces: Vec<(PieceId, usize)>,
}

impl SealedPanes {
    fn panes(&self) -> MutexGuard<'_, BTreeMap<i64, Arc<Mutex<Sealed>>>> {
        self.0.lock().expect("no panic holds this lock")
    }

    /// The first pane.
    pub(super) fn first(&self) -> Option<i64> {
        self.panes().first_key_value().map(|(pane, _)| *pane)
    }

    /// Adds groups that were not written yet.
    pub(super) fn add(&self, pane: i64, state: Box<dyn GroupState>, cut: &mut Cut) {
        let groups = state.groups();
        let (id, state) = (cut.id(), SharedGroups(Arc::new(state)));
        let sealed = self.panes().entry(pane).or_default().clone();
        let mut sealed = sealed.lock().expect("no panic holds this lock");
        sealed.pieces.push((id, groups));
        cut.piece(id, json!({ "pane": pane }), Some(Arc::new(state.clone())));
        sealed.states.push(state);
    }

    /// Puts back groups from a piece.
    pub(super) fn load(&self, pane: i64, id: PieceId, state: Box<dyn GroupState>) {
        let sealed = self.panes().entry(pane).or_default().clone();
        let mut sealed = sealed.lock().expect("no panic holds this lock");
        sealed.pieces.push((id, state.groups()));
        sealed.states.push(SharedGroups(Arc::new(state)));
    }

    /// Says in a checkpoint what is here. A pane whose pieces hold more than twice its groups is written anew.
    pub(super) fn save(&self, cut: &mut Cut) {
        for (pane, sealed) in self.panes().iter() {
            let mut sealed = sealed.lock().expect("no panic holds this lock");
            let written: usize = sealed.pieces.iter().map(|(_, groups)| groups).sum();
            if let [whole] = &sealed.states[..]
                && sealed.pieces.len() > 1
                && (written > 2 * whole.0.groups() || sealed.pieces.len() > PIECES_MAX)
            {
                let (id, whole) = (cut.id(), whole.clone());
                sealed.pieces = vec![(id, whole.0.groups())];
                cut.piece(id, json!({ "pane": pane }), Some(Arc::new(whole)));
                continue;
            }
            sealed.pieces.iter().for_each(|(id, _)| cut.piece(*id, json!({ "pane": pane }), None));
        }
    }

    /// Takes the panes that are wanted, from the first on, each as one state or several.
    pub(super) fn take(&self, wanted: impl Fn(i64) -> bool) -> Vec<(i64, SharedGroups)> {
        let mut taken = vec![];
        loop {
            let (pane, sealed) = {
                let mut panes = self.panes();
                let Some(entry) = panes.first_entry().filter(|entry| wanted(*entry.key())) else { return taken };
                entry.remove_entry()
            };
            let states = take(&mut sealed.lock().expect("no panic holds this lock").states);
            taken.extend(states.into_iter().map(|state| (pane, state)));
        }
    }

    /// Merges small states of panes into larger ones, as far as nobody writes them.
    pub(super) fn settle(&self) -> Result<(), ProgramError> {
        let panes: Vec<_> = self.panes().values().cloned().collect();
        panes.iter().try_for_each(|sealed| sealed.lock().expect("no panic holds this lock").settle())
    }

    /// Bytes held.
    pub(super) fn memory_bytes(&self) -> usize {
        let panes: Vec<_> = self.panes().values().cloned().collect();
        let of = |sealed: &Arc<Mutex<Sealed>>| {
            let sealed = sealed.lock().expect("no panic holds this lock");
            sealed.states.iter().map(|state| state.0.memory_bytes()).sum::<usize>()
        };
        panes.iter().map(of).sum()
    }
}

impl Sealed {
    fn settle(&mut self) -> Result<(), ProgramError> {
        let many = self.pieces.len() > PIECES_MAX;
        while let [.., before, last] = &mut self.states[..] {
            if !many && last.0.groups() * STEP < before.0.groups() {
                break;
            }
            // The larger one takes the smaller one up.
            if last.0.groups() > before.0.groups() {
                std::mem::swap(last, before);
            }
            let Some(into) = Arc::get_mut(&mut before.0) else { break };
            into.merge(last.0.as_ref().as_ref())?;
            self.states.pop();
        }
        Ok(())
    }
}
