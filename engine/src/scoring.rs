//! Who scores a batch with a model: the processor, or a device that walks its trees.
//!
//! A device that is named takes what it can; under `auto` each batch goes where one of its size is faster, as with `GROUP BY`. Scores
//! have the same bits on either, so a batch that a device refuses is the processor's, whole.

use std::fmt;
use std::sync::Arc;

use pelton_models::{ForestDevice, Model, Scores};

use crate::placement::{Batch, Choice, Machine, StagePlacement};

/// See the module. One for each call of a model in a plan.
pub struct Scorer {
    device: Arc<dyn ForestDevice>,
    chooser: Option<Chooser>,
}

/// What chooses under `auto`.
struct Chooser {
    placement: StagePlacement,
    /// Has the clock.
    machine: Arc<dyn Machine>,
}

impl fmt::Debug for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scorer on {}", self.device.name())
    }
}

impl Scorer {
    /// A device that takes all it can.
    pub fn named(device: Arc<dyn ForestDevice>) -> Self {
        Scorer { device, chooser: None }
    }

    /// A device that takes what it is predicted, then measured, to be faster at.
    pub fn chosen(device: Arc<dyn ForestDevice>, placement: StagePlacement, machine: Arc<dyn Machine>) -> Self {
        Scorer { device, chooser: Some(Chooser { placement, machine }) }
    }

    /// [`Model::predict`], by `scorer` if there is one.
    pub fn predict(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Scores {
        let on_device = |device: &dyn ForestDevice| device.predict(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.predict(columns))
    }

    /// [`Model::raw`] likewise.
    pub fn raw(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Scores {
        let on_device = |device: &dyn ForestDevice| device.raw(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.raw(columns))
    }

    /// [`Model::leaves`] likewise.
    pub fn leaves(scorer: Option<&Self>, digest: &str, model: &Model, columns: &[&[f64]]) -> Vec<u32> {
        let on_device = |device: &dyn ForestDevice| device.leaves(digest, model, columns);
        Self::answer(scorer, digest, model, columns, on_device, || model.leaves(columns))
    }

    fn answer<A>(
        scorer: Option<&Self>,
        digest: &str,
        model: &Model,
        columns: &[&[f64]],
        on_device: impl FnOnce(&dyn ForestDevice) -> Option<A>,
        here: impl FnOnce() -> A,
    ) -> A {
        let Some(Scorer { device, chooser }) = scorer else { return here() };
        let device = device.as_ref();
        let Some(Chooser { placement, machine }) = chooser else { return on_device(device).unwrap_or_else(here) };
        // What a device does not walk is not its time's business.
        let Some(row_bytes) = device.row_bytes(digest, model) else { return here() };
        let rows = columns.first().map_or(0, |column| column.len());
        let bytes = rows * row_bytes;
        let begun = machine.now();
        if placement.choose(Batch::new(rows, bytes)) == Choice::Device
            && let Some(answer) = on_device(device)
        {
            placement.observe(Choice::Device, rows, bytes, machine.now().saturating_sub(begun));
            return answer;
        }
        let begun = machine.now();
        let answer = here();
        placement.observe(Choice::Cpu, rows, bytes, machine.now().saturating_sub(begun));
        answer
    }
}
