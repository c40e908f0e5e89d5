//! Groups that live on a device from batch to batch.
//!
//! A batch is one copy and one submission: rows find their slots, claims become groups, rows are folded, extremes settle. The
//! host does not hear how many groups came; it knows how many there are at most, and asks when that no longer fits the
//! arenas. Then it either finds that there is room, or the arenas double and the groups are entered anew, all before the
//! launch: no shader can run out of room.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use pelton_kernels::Rows;
use pelton_kernels::program::{Cpu, GroupState, Program, ProgramError};
use wgpu::{BindGroup, Buffer, CommandEncoder, ComputePipeline, SubmissionIndex};

use crate::Unfit;
use crate::gpu::{Gpu, Kernel};
use crate::layout::Layout;
use crate::pack::{Memory, pack};
use crate::shader::WORKGROUP;
use crate::unpack;

/// A program made ready for a device.
pub(crate) struct Stage {
    pub gpu: Arc<Gpu>,
    pub program: Arc<Program>,
    pub layout: Layout,
    pub kernel: Kernel,
}

/// Batches on their way at a time, for one state.
const IN_FLIGHT_MAX: usize = 4;
/// Rows of one launch at most.
const ROWS_MAX: u64 = 1 << 20;
/// Groups that there is room for at least.
const GROUPS_MIN: u64 = 256;

impl Stage {
    /// Groups at most, a power of two: as many as one dispatch can enter and every arena can hold.
    fn groups_max(&self) -> u64 {
        let dispatch = 65_535 * u64::from(WORKGROUP);
        let words = self.layout.key_words.max(self.layout.state_words).max(2);
        let arena = self.gpu.buffer_max / 4 / u64::from(words);
        1 << dispatch.min(arena).max(1).ilog2()
    }

    /// How many rows one launch takes: so many that the batch fits a buffer, and that all of them may be new groups.
    pub(crate) fn rows_max(&self) -> usize {
        let row: u64 = self.layout.columns.iter().map(|column| u64::from(column.form.words()) + 1).sum();
        let batch = (self.gpu.buffer_max / 4).saturating_sub(self.layout.header_words() as u64) / row.max(1);
        batch.min(self.groups_max() / 2).clamp(1, ROWS_MAX) as usize
    }
}

/// Why an update did not happen on the device.
pub(crate) enum Refusal {
    /// The processor is to take the rows.
    Unfit(Unfit),
    /// The run ends.
    Failed(ProgramError),
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Refusal::Unfit(unfit)
    }
}

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        Refusal::Failed(error)
    }
}

/// What has room for so many groups.
struct Arenas {
    capacity: u64,
    slots: Buffer,
    keys: Buffer,
    states: Buffer,
}

impl Arenas {
    fn new(gpu: &Gpu, layout: &Layout, capacity: u64) -> Result<Arenas, Unfit> {
        Ok(Arenas {
            capacity,
            slots: gpu.buffer(2 * capacity)?,
            keys: gpu.buffer(capacity * u64::from(layout.key_words))?,
            states: gpu.buffer(capacity * u64::from(layout.state_words))?,
        })
    }
}

/// What has room for a batch.
struct Room {
    batch: Buffer,
    slot_of: Buffer,
}

/// See the module.
pub(crate) struct Resident {
    stage: Arc<Stage>,
    memory: Memory,
    arenas: Arenas,
    room: Room,
    groups: Buffer,
    bound: Option<BindGroup>,
    /// As many groups as there can be.
    groups_max: u64,
    /// As many as there were when the device was asked last.
    groups_known: u64,
    /// Rows folded: counts are words.
    rows: u64,
    in_flight: VecDeque<SubmissionIndex>,
}

impl Resident {
    /// Room for some groups, of which there are none yet.
    pub(crate) fn new(stage: &Arc<Stage>, expected: u64) -> Result<Resident, Unfit> {
        let (gpu, layout) = (&stage.gpu, &stage.layout);
        let capacity = expected.max(GROUPS_MIN).next_power_of_two().min(stage.groups_max());
        let types: Vec<DataType> = stage.program.keys.iter().map(|(_, data_type)| data_type.clone()).collect();
        Ok(Resident {
            stage: stage.clone(),
            memory: Memory::new(layout, &types),
            arenas: Arenas::new(gpu, layout, capacity)?,
            room: Room { batch: gpu.buffer(1)?, slot_of: gpu.buffer(1)? },
            groups: gpu.buffer(1)?,
            bound: None,
            groups_max: 0,
            groups_known: 0,
            rows: 0,
            in_flight: VecDeque::new(),
        })
    }

    /// Groups, as far as the device has told.
    pub(crate) fn groups(&self) -> usize {
        self.groups_known as usize
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let buffers =
            [&self.arenas.slots, &self.arenas.keys, &self.arenas.states, &self.room.batch, &self.room.slot_of];
        self.memory.bytes() + buffers.iter().map(|buffer| buffer.size() as usize).sum::<usize>()
    }

    /// Folds rows in, at most [`Stage::rows_max`]. A refused batch leaves no trace.
    pub(crate) fn fold(&mut self, columns: &[ArrayRef], rows: Rows<'_>) -> Result<(), Refusal> {
        let n = rows.len() as u64;
        if self.rows + n > u64::from(u32::MAX) {
            return Err(Unfit::Rows.into());
        }
        let stage = self.stage.clone();
        let (gpu, layout, kernel) = (&stage.gpu, &stage.layout, &stage.kernel);
        let mut words = pack(layout, &mut self.memory, columns, rows)?;
        let outgrown = self.make_room(n, words.len() as u64)?;
        words[1] = (2 * self.arenas.capacity - 1) as u32;
        if self.in_flight.len() == IN_FLIGHT_MAX {
            gpu.wait(self.in_flight.pop_front().expect("it is not empty"))?;
        }
        gpu.queue.write_buffer(&self.room.batch, 0, bytemuck::cast_slice(&words));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(old) = &outgrown {
            encoder.copy_buffer_to_buffer(&old.keys, 0, &self.arenas.keys, 0, Some(old.keys.size()));
            encoder.copy_buffer_to_buffer(&old.states, 0, &self.arenas.states, 0, Some(old.states.size()));
            self.dispatch(&mut encoder, &[&kernel.enter], old.capacity);
        }
        let steps = [Some(&kernel.find), Some(&kernel.number), Some(&kernel.fold), kernel.settle.as_ref()];
        self.dispatch(&mut encoder, &steps.into_iter().flatten().collect::<Vec<_>>(), n);
        self.in_flight.push_back(gpu.queue.submit([encoder.finish()]));
        self.rows += n;
        self.groups_max += n;
        Ok(())
    }

    /// Runs kernels one after the other, each over so many invocations.
    fn dispatch(&mut self, encoder: &mut CommandEncoder, steps: &[&ComputePipeline], invocations: u64) {
        let bound = self.bound.get_or_insert_with(|| {
            let Arenas { slots, keys, states, .. } = &self.arenas;
            self.stage.gpu.bind([&self.room.batch, slots, &self.room.slot_of, keys, &self.groups, states])
        });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &*bound, &[]);
        for step in steps {
            pass.set_pipeline(step);
            pass.dispatch_workgroups(invocations.div_ceil(u64::from(WORKGROUP)) as u32, 1, 1);
        }
    }

    /// Makes room for a batch of so many rows and words; gives the arenas that were outgrown, if they were.
    fn make_room(&mut self, rows: u64, words: u64) -> Result<Option<Arenas>, Refusal> {
        let gpu = self.stage.gpu.clone();
        if self.room.batch.size() < 4 * words {
            self.room.batch = gpu.buffer(words.next_power_of_two().min(gpu.buffer_max / 4))?;
            self.bound = None;
        }
        if self.room.slot_of.size() < 4 * rows {
            self.room.slot_of = gpu.buffer(rows.next_power_of_two())?;
            self.bound = None;
        }
        if self.groups_max + rows > self.arenas.capacity {
            let [groups] = gpu.read([(&self.groups, 1)])?;
            self.groups_known = u64::from(groups[0]);
            self.groups_max = self.groups_known;
        }
        if self.groups_max + rows <= self.arenas.capacity {
            return Ok(None);
        }
        // Asking costs a wait: with room for four such batches it is seldom.
        let capacity = (self.groups_max + 4 * rows).next_power_of_two().min(self.stage.groups_max());
        if self.groups_max + rows > capacity {
            return Err(Unfit::Groups.into());
        }
        let larger = Arenas::new(&gpu, &self.stage.layout, capacity)?;
        self.bound = None;
        Ok(Some(std::mem::replace(&mut self.arenas, larger)))
    }

    /// The groups as a state of the processor: what they are is read back.
    pub(crate) fn read_back(&self) -> Result<Box<dyn GroupState>, ProgramError> {
        let Stage { gpu, program, layout, .. } = &*self.stage;
        let most = self.groups_max.min(self.arenas.capacity);
        let [groups, keys, states] = gpu.read([
            (&self.groups, 1),
            (&self.arenas.keys, most * u64::from(layout.key_words)),
            (&self.arenas.states, most * u64::from(layout.state_words)),
        ])?;
        let groups = groups[0] as usize;
        let keys = unpack::keys(layout, program, &self.memory, &keys, groups)?;
        let saved = unpack::saved(layout, program, &self.memory, &states, groups);
        Cpu::load(program, groups, &keys, &saved)
    }
}
