//! What the serial part gives to whoever is free: the batches that came out of a step, to be computed by the steps behind it.

use std::sync::{MutexGuard, PoisonError};

use super::{Done, Runner, State, catch};
use crate::batch::MicroBatch;
use crate::error::Result;

/// Batches that come out of a step together are computed by several workers if they are so many rows.
const SPREAD_ROWS_MIN: usize = 16_384;

/// A batch that came out of a step, for the steps behind it.
pub(super) struct Job {
    node: usize,
    batch: MicroBatch,
    /// Where its answer goes.
    place: usize,
}

impl Runner<'_> {
    /// Computes what follows a step for each of its batches. Where these are many rows, whoever is free helps.
    pub(super) fn spread(&self, slot: usize, node: usize, batches: Vec<MicroBatch>) -> Result<Vec<Done>> {
        let rows: usize = batches.iter().map(MicroBatch::rows).sum();
        if batches.len() < 2 || self.execution.threads < 2 || rows < SPREAD_ROWS_MIN {
            let one = |batch| {
                let mut done = Done::default();
                self.push(slot, &self.graph.nodes[node].outputs, batch, &mut done)?;
                Ok(done)
            };
            return batches.into_iter().map(one).collect();
        }
        let mut state = self.lock();
        state.answers = batches.iter().map(|_| None).collect();
        state.jobs = batches.into_iter().enumerate().map(|(place, batch)| Job { node, batch, place }).collect();
        self.wake.notify_all();
        while let Some(job) = state.jobs.pop_front() {
            state = self.job(state, slot, job);
        }
        while state.answers.iter().any(Option::is_none) {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut state.answers).into_iter().map(|done| done.expect("waited for above")).collect()
    }

    /// Computes what follows a step, for the serial part.
    pub(super) fn job<'s>(&'s self, state: MutexGuard<'s, State>, slot: usize, job: Job) -> MutexGuard<'s, State> {
        drop(state);
        let Job { node, batch, place } = job;
        let done = catch(|| {
            let mut done = Done::default();
            self.push(slot, &self.graph.nodes[node].outputs, batch, &mut done)?;
            Ok(done)
        });
        let mut state = self.lock();
        state.answers[place] = Some(done);
        self.wake.notify_all();
        state
    }
}
