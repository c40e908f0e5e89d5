//! Placement by measurement: which device folds the next batch of a stage.
//!
//! Comes in: what folding costs here ([`calibration`]), batches and how long they took. Goes out: a [`Choice`] for each batch,
//! and a [`StageReport`] with all reasons. Stays outside: clocks and files (the operator's caller times a batch, [`Machine`] keeps
//! the calibration); devices themselves.
//!
//! A stage may fold on the processor and on a device at the same time, each into states of its own, because merging is
//! exact. So a choice is never wrong, only slow: it costs its time, and where the other side had no state of a pane yet, one
//! more state to read back and merge ([`Batch::moving_us`]).

pub mod calibration;
mod choose;
mod model;
mod report;
#[cfg(test)]
mod simulation;

pub use calibration::{Calibration, Machine};
pub use choose::{Candidate, Gpu, StagePlacement};
pub use model::CostModel;
pub use report::{Reason, SideReport, StageReport, Typical};

/// Who folds a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The processor.
    Cpu,
    /// The stage's device.
    Device,
}

impl Choice {
    fn other(self) -> Choice {
        match self {
            Choice::Cpu => Choice::Device,
            Choice::Device => Choice::Cpu,
        }
    }
}

/// Who may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This one alone.
    Only(Choice),
    /// Whoever is faster.
    Auto,
}

/// A batch that is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Selected rows.
    pub rows: usize,
    /// What it brings over the bus if a device folds it.
    pub bytes: usize,
    /// The device could begin at once: its kernel is compiled.
    pub ready: bool,
    /// What it costs in the end to fold it elsewhere than the batches before, µs: 0 if both sides hold states of its pane
    /// already, else [`StagePlacement::moving_us`].
    pub moving_us: f64,
}

impl Batch {
    /// A batch for a device that is ready, and a pane of which both sides hold states.
    pub fn new(rows: usize, bytes: usize) -> Self {
        Batch { rows, bytes, ready: true, moving_us: 0.0 }
    }
}
