//! Stages on NVIDIA GPUs, by CUDA.
//!
//! `plan` says what of a stage lies where; `source` puts its text together from `shaders/cuda/`, `own` what of it is about groups of a
//! block's own; `driver` and `nvrtc` compile,
//! copy and launch, by libraries that are looked for when the first stage is planned; `wire` packs batches; `groups`
//! are kept on the device, by `table` for several workers; `readback` makes states of the processor of what comes back. `api` is what the table wants of a driver,
//! so that tests can run every kernel on the processor.

mod api;
mod cache;
mod driver;
mod emulated;
mod forest;
mod groups;
mod measure;
mod measure_forest;
mod nvrtc;
mod own;
mod plan;
mod readback;
pub(crate) mod source;
mod table;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pelton_kernels::costs::DeviceProfile;
use pelton_kernels::program::{Cpu, Device, GroupState, Program, ProgramError, Stop};
use pelton_kernels::stage::{PaneTable, Stage};
use pelton_models::ForestDevice;

use crate::forests::{Forests, Kept};
use crate::tally::{RowCounts, Tally};
use api::Api;
use plan::Plan;
use table::Table;

pub use cache::cubin_folder;
pub use driver::{CudaDevice, cuda_devices};
pub use measure::{Figure, Size, measure};
pub use nvrtc::CudaCompiler;

/// How a device may be used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the device's memory for the groups of one stage.
    pub device_bytes: u64,
    /// Bytes of pinned memory of the host for the batches of one stage.
    pub pinned_bytes: u64,
    /// Whether a batch waits for its kernel, or goes to the processor until it is there.
    pub patient: bool,
}

/// Pinned memory is taken from everybody else on the machine.
const PINNED_BYTES: u64 = 1 << 30;

/// An NVIDIA GPU.
pub struct Cuda {
    api: Arc<dyn Api>,
    tally: Arc<Tally>,
    model: String,
    limits: Limits,
    forests: Arc<Kept<forest::Resident>>,
}

/// What a GPU that is played is called.
const PLAYED: &str = "a GPU played on the processor";

static OPEN: OnceLock<Result<Arc<Cuda>, String>> = OnceLock::new();

impl Cuda {
    /// The first GPU of this machine; opened once, whoever asks. The error says what was looked for.
    pub fn open() -> Result<Arc<Cuda>, String> {
        OPEN.get_or_init(|| {
            driver::open().map(|opened| Arc::new(Cuda::over(opened.api, opened.model, opened.device_bytes)))
        })
        .clone()
    }

    /// The GPU, if somebody has opened it.
    pub fn opened() -> Option<Arc<Cuda>> {
        OPEN.get().and_then(|open| open.clone().ok())
    }

    /// Has a GPU played on the processor, for tests of whatever uses one: from now on it is what [`Cuda::open`] gives. False if
    /// somebody has asked for one before. Needs a C++ compiler, and is slow.
    pub fn play() -> bool {
        const BYTES: u64 = 1 << 32;
        OPEN.set(Ok(Arc::new(Cuda::over(emulated::Emulated::new(BYTES), PLAYED.into(), BYTES)))).is_ok()
    }

    /// Whether it is played.
    pub fn is_played(&self) -> bool {
        self.model == PLAYED
    }

    fn over(api: Arc<dyn Api>, model: String, device_bytes: u64) -> Cuda {
        let limits = Limits { device_bytes, pinned_bytes: PINNED_BYTES, patient: true };
        Cuda { api, tally: Arc::default(), model, limits, forests: Arc::default() }
    }

    /// What it allows when nobody asks for less: nine tenths of its memory, a gibibyte of pinned memory.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same GPU under narrower limits.
    pub fn within(&self, limits: Limits) -> Arc<Cuda> {
        let device_bytes = limits.device_bytes.min(self.limits.device_bytes);
        let limits = Limits { device_bytes, ..limits };
        let Cuda { api, tally, model, forests, .. } = self;
        Arc::new(Cuda {
            api: api.clone(),
            tally: tally.clone(),
            model: model.clone(),
            limits,
            forests: forests.clone(),
        })
    }

    /// What it is called.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Its driver, by the newest CUDA that it knows.
    pub fn driver(&self) -> String {
        cuda_devices().ok().and_then(|all| Some(all.first()?.driver.to_string())).unwrap_or_default()
    }

    /// What it costs to use it, by a clock: a few copies, in well under 100 ms; `None` if it fails.
    pub fn profile(&self, now: &dyn Fn() -> Duration) -> Option<DeviceProfile> {
        measure::profile(&self.api, now).ok()
    }

    /// Rows that were folded or scored until now, by who has done it.
    pub fn rows(&self) -> RowCounts {
        self.tally.rows()
    }

    /// The GPU, as what scores rows.
    pub fn forests(self: &Arc<Self>) -> Arc<dyn ForestDevice> {
        Arc::new(Forests(self.clone()))
    }
}

impl Device for Cuda {
    fn name(&self) -> String {
        self.api.name()
    }

    fn stops(&self, program: &Program) -> Vec<Stop> {
        Plan::stops(program)
    }

    fn keeps_panes(&self, program: &Program) -> bool {
        Plan::stops(program).is_empty()
    }

    fn panes(&self, stage: &Arc<Stage>) -> Option<Box<dyn PaneTable>> {
        let plan = Arc::new(Plan::of(stage).ok()?);
        Some(Box::new(Table::new(self.api.clone(), plan, self.limits, self.tally.clone())))
    }

    /// States beside the table: rows that are late for some of their windows, what the device did not take.
    fn state(&self, program: &Arc<Program>, expected: usize) -> Result<Box<dyn GroupState>, ProgramError> {
        Cpu.state(program, expected)
    }
}
