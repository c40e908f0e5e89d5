//! Programs on GPUs, with the bits of the processor.
//!
//! Comes in: programs and stages, Arrow columns. Goes out: states of the processor, read back from the device.
//! Stays outside: which stage runs where (the engine's); SQL; clocks, but for measurements; files, but for the
//! machine code of CUDA kernels. No other crate names `wgpu` or `cudarc`.
//!
//! NVIDIA GPUs by CUDA are in `cuda`, which has a page of its own. Others go by wgpu. The way of a batch there:
//! `layout` says what of a program or a stage lies where; `pack` makes words of the columns, one copy; the shader
//! that `shader` has put together folds them into the groups that `resident` keeps on the device; `unpack` makes
//! saved states of what comes back. The engine holds a `table` for each stage: the groups of all its panes, into
//! which batches go before they are filtered. What a table does not take goes to states of a pane each, `state`:
//! groups on the device, and beside them a state of the processor for what the device did not take.
//!
//! Sources: the pair-with-carry sums and the two-phase table follow what is known of GPU group-bys (libcudf's open
//! addressing with row indices, github.com/rapidsai/cudf) without their 64-bit atomics, which Metal and many drivers
//! do not have; exact sums are the processor's (`pelton_kernels::exact`) in 32-bit limbs.

mod adapter;
mod cuda;
mod ensembles;
mod forest;
mod forests;
mod gpu;
mod layout;
mod pack;
mod resident;
mod shader;
mod state;
mod table;
mod tally;
mod unpack;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use pelton_kernels::program::{Device, GroupState, Program, ProgramError, Stop};
use pelton_kernels::stage::{PaneTable, Stage};
use pelton_models::ForestDevice;

pub use adapter::{Adapter, adapters};
pub use cuda::{Cuda, CudaCompiler, CudaDevice, Figure, Limits, Size, cubin_folder, cuda_devices, measure};
pub use tally::RowCounts;

use forests::{Forests, Kept};
use gpu::Gpu;
use layout::Layout;
use resident::Ready;
use state::DeviceState;
use table::Table;
use tally::Tally;

/// Why the processor took rows in the stead of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The doubles of a batch are further apart than a sum's limbs reach.
    Exponents,
    /// There are more groups than a dispatch can enter.
    Groups,
    /// There was no memory, or an adapter's limit stood in the way.
    Memory,
    /// A state has seen 2^32 rows.
    Rows,
    /// A column was not of the type that the program names.
    Type,
    /// Times are too far from those before for the panes of one table.
    Range,
    /// A kernel was still being compiled.
    Compiling,
    /// A kernel can not be compiled: there is no compiler, or it refuses the text.
    Kernel,
    /// The device has failed.
    Failed,
}

impl Unfit {
    /// All of them, in order.
    pub const ALL: [Unfit; 9] = [
        Unfit::Exponents,
        Unfit::Groups,
        Unfit::Memory,
        Unfit::Rows,
        Unfit::Type,
        Unfit::Range,
        Unfit::Compiling,
        Unfit::Kernel,
        Unfit::Failed,
    ];
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Exponents => "doubles too far apart for a sum on the device",
            Unfit::Groups => "too many groups for the device",
            Unfit::Memory => "no memory left on the device",
            Unfit::Rows => "more rows in a group table than the device counts",
            Unfit::Type => "a column of another type than planned",
            Unfit::Range => "times too far apart for one table",
            Unfit::Compiling => "its kernel was still being compiled",
            Unfit::Kernel => "its kernel could not be compiled",
            Unfit::Failed => "the device had failed",
        })
    }
}

/// A GPU behind wgpu: Vulkan, Metal or DX12.
pub struct Wgpu {
    gpu: Arc<Gpu>,
    tally: Arc<Tally>,
    /// Programs that are made ready. Those that nobody else knows any more are let go when a new one comes.
    programs: Mutex<Vec<Arc<Ready>>>,
    forests: Kept<forest::Resident>,
}

static OPEN: OnceLock<Result<Arc<Wgpu>, String>> = OnceLock::new();

impl Wgpu {
    /// The best adapter of this machine; opened once, whoever asks. The error says what was looked for.
    pub fn open() -> Result<Arc<Wgpu>, String> {
        OPEN.get_or_init(|| Wgpu::open_anew().map(Arc::new)).clone()
    }

    /// The adapter, if somebody has opened it.
    pub fn opened() -> Option<Arc<Wgpu>> {
        OPEN.get().and_then(|open| open.clone().ok())
    }

    fn open_anew() -> Result<Wgpu, String> {
        let gpu = Arc::new(adapter::open_best()?);
        Ok(Wgpu { gpu, tally: Arc::default(), programs: Mutex::default(), forests: Kept::default() })
    }

    /// What the adapter is called.
    pub fn adapter(&self) -> String {
        self.gpu.device.adapter_info().name
    }

    /// Rows that were folded or scored until now, by who has done it.
    pub fn rows(&self) -> RowCounts {
        self.tally.rows()
    }

    /// The adapter, as what scores rows.
    pub fn forests(self: &Arc<Self>) -> Arc<dyn ForestDevice> {
        Arc::new(Forests(self.clone()))
    }

    fn ready(&self, program: &Arc<Program>) -> Result<Arc<Ready>, ProgramError> {
        let mut programs = self.programs.lock().expect("no panic holds this lock");
        if let Some(ready) = programs.iter().find(|ready| Arc::ptr_eq(&ready.program, program)) {
            return Ok(ready.clone());
        }
        let layout = Layout::of(program).map_err(|_| self.gpu.failed("it was given a program that it can not run"))?;
        let ready = Arc::new(Ready::new(&self.gpu, program, layout)?);
        programs.retain(|ready| Arc::strong_count(&ready.program) > 1);
        programs.push(ready.clone());
        Ok(ready)
    }
}

impl Device for Wgpu {
    fn name(&self) -> String {
        self.gpu.name.clone()
    }

    fn stops(&self, program: &Program) -> Vec<Stop> {
        Layout::of(program).err().unwrap_or_default()
    }

    fn keeps_panes(&self, program: &Program) -> bool {
        Layout::of(program).is_ok()
    }

    fn panes(&self, stage: &Arc<Stage>) -> Option<Box<dyn PaneTable>> {
        let table = || Box::new(Table::new(self.gpu.clone(), stage.clone(), self.tally.clone()));
        self.keeps_panes(&stage.program).then(|| table() as _)
    }

    /// States beside the table, on the device where they fit: windows that have no table, rows that may be late, what
    /// the table did not take.
    fn state(&self, program: &Arc<Program>, expected: usize) -> Result<Box<dyn GroupState>, ProgramError> {
        Ok(Box::new(DeviceState::new(self.ready(program)?, self.tally.clone(), expected)))
    }
}

#[cfg(test)]
mod forest_tests;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod tests;
