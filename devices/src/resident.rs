//! Groups that live on a device from batch to batch.
//!
//! A batch is one copy and one submission: rows find their slots, claims become groups, rows are folded, extremes
//! settle. The host does not hear how many groups came; it knows how many there are at most, and asks when that no
//! longer fits the arenas. Then it either finds that there is room, or the arenas double and the groups are entered
//! anew, all before the launch: no shader can run out of room. Groups of closing panes are sorted out on the device,
//! and they alone are read back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use pelton_kernels::program::{Cpu, GroupState, Program, ProgramError};
use wgpu::{BindGroup, Buffer, CommandEncoder, ComputePipeline, SubmissionIndex};

use crate::Unfit;
use crate::gpu::{Gpu, Kernel};
use crate::layout::Layout;
use crate::pack::{Memory, Packed};
use crate::shader::WORKGROUP;
use crate::unpack;

/// A program, or that of a stage, made ready for a device.
pub(crate) struct Ready {
    pub gpu: Arc<Gpu>,
    pub program: Arc<Program>,
    pub layout: Layout,
    pub kernel: Kernel,
}

/// Batches on their way at a time, for one state.
const IN_FLIGHT_MAX: usize = 4;
/// Rows of one launch at most.
const ROWS_MAX: u64 = 1 << 20;
/// Ids that are kept, whatever has become of the groups that have had them.
const IDS_KEPT: u64 = 1 << 16;
/// Groups that there is room for at least.
const GROUPS_MIN: u64 = 256;

impl Ready {
    /// Compiles what a layout of a program wants.
    pub(crate) fn new(gpu: &Arc<Gpu>, program: &Arc<Program>, layout: Layout) -> Result<Ready, ProgramError> {
        let kernel = gpu.kernel(&layout)?;
        Ok(Ready { gpu: gpu.clone(), program: program.clone(), layout, kernel })
    }

    /// Groups at most, a power of two: as many as one dispatch can enter and every arena can hold.
    fn groups_max(&self) -> u64 {
        let dispatch = 65_535 * u64::from(WORKGROUP);
        let words = self.layout.key_words.max(self.layout.state_words).max(2);
        let arena = self.gpu.buffer_max() / 4 / u64::from(words);
        1 << dispatch.min(arena).max(1).ilog2()
    }

    /// A memory of nothing.
    fn memory(&self) -> Memory {
        let types: Vec<DataType> = self.program.keys.iter().map(|(_, data_type)| data_type.clone()).collect();
        Memory::new(&self.layout, &types)
    }

    /// How many rows one launch takes: so many that the batch fits a buffer, and that all of them may be new groups.
    pub(crate) fn rows_max(&self) -> usize {
        let row: u64 = self.layout.columns.iter().map(|column| u64::from(column.form.words()) + 1).sum();
        let batch = (self.gpu.buffer_max() / 4).saturating_sub(self.layout.header_words() as u64) / row.max(1);
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

/// What there is of some groups, each after the other.
#[derive(Default)]
struct Words {
    keys: Vec<u32>,
    states: Vec<u32>,
}

/// What has room for a batch.
struct Room {
    batch: Buffer,
    slot_of: Buffer,
}

/// See the module.
pub(crate) struct Resident {
    ready: Arc<Ready>,
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
    pub(crate) fn new(ready: &Arc<Ready>, expected: u64) -> Result<Resident, Unfit> {
        let (gpu, layout) = (&ready.gpu, &ready.layout);
        let capacity = expected.max(GROUPS_MIN).next_power_of_two().min(ready.groups_max());
        Ok(Resident {
            ready: ready.clone(),
            memory: ready.memory(),
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

    /// Folds a batch in, of at most [`Ready::rows_max`] rows. A refused one leaves no trace.
    pub(crate) fn fold(&mut self, mut packed: Packed<'_>) -> Result<(), Refusal> {
        let n = packed.rows() as u64;
        if self.rows + n > u64::from(u32::MAX) {
            return Err(Unfit::Rows.into());
        }
        let ready = self.ready.clone();
        let (gpu, kernel) = (&ready.gpu, &ready.kernel);
        packed.fit(&mut self.memory)?;
        let mut words = packed.words;
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
            self.ready.gpu.bind([&self.room.batch, slots, &self.room.slot_of, keys, &self.groups, states])
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
        let gpu = self.ready.gpu.clone();
        if 4 * words > gpu.buffer_max() {
            return Err(Unfit::Memory.into());
        }
        if self.room.batch.size() < 4 * words {
            self.room.batch = gpu.buffer(words.next_power_of_two().min(gpu.buffer_max() / 4))?;
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
        let capacity = (self.groups_max + 4 * rows).next_power_of_two().min(self.ready.groups_max());
        if self.groups_max + rows > capacity {
            return Err(Unfit::Groups.into());
        }
        let larger = Arenas::new(&gpu, &self.ready.layout, capacity)?;
        Ok(Some(self.replace_arenas(larger)))
    }

    fn replace_arenas(&mut self, arenas: Arenas) -> Arenas {
        self.bound = None;
        std::mem::replace(&mut self.arenas, arenas)
    }

    /// The groups as a state of the processor: what they are is read back.
    pub(crate) fn read_back(&self) -> Result<Box<dyn GroupState>, ProgramError> {
        let layout = &self.ready.layout;
        let most = self.groups_max.min(self.arenas.capacity);
        let [groups, keys, states] = self.ready.gpu.read([
            (&self.groups, 1),
            (&self.arenas.keys, most * u64::from(layout.key_words)),
            (&self.arenas.states, most * u64::from(layout.state_words)),
        ])?;
        self.state_of(&self.memory.values()?, groups[0] as usize, &keys, &states)
    }

    /// Groups as a state of the processor; `values` are those of which keys have ids.
    fn state_of(
        &self,
        values: &[Option<ArrayRef>],
        groups: usize,
        keys: &[u32],
        states: &[u32],
    ) -> Result<Box<dyn GroupState>, ProgramError> {
        let Ready { program, layout, .. } = &*self.ready;
        let keys = unpack::keys(layout, program, values, keys, groups)?;
        let saved = unpack::saved(layout, program, &self.memory, states, groups);
        Cpu::load(program, groups, &keys, &saved)
    }

    /// The number from which panes in keys are counted.
    pub(crate) fn origin(&self) -> Option<i64> {
        self.memory.origin
    }

    /// Takes the groups of panes before one, counted from the origin, or of all: a state of the processor for each
    /// pane. Where none is left, nothing is remembered of what has been.
    pub(crate) fn take(&mut self, before: Option<i32>) -> Result<BTreeMap<i32, Box<dyn GroupState>>, ProgramError> {
        let some = before.map(|before| self.sort_out(before)).transpose()?.flatten();
        let words = match some {
            Some(words) => words,
            None => self.empty()?,
        };
        let layout = &self.ready.layout;
        let (key_words, state_words) = (layout.key_words as usize, layout.state_words as usize);
        let mut panes: BTreeMap<i32, Words> = BTreeMap::new();
        for (group, key) in words.keys.chunks_exact(key_words).enumerate() {
            let of_pane = panes.entry(layout.pane.map_or(0, |_| key[key_words - 1] as i32)).or_default();
            of_pane.keys.extend_from_slice(key);
            of_pane.states.extend_from_slice(&words.states[group * state_words..][..state_words]);
        }
        let values = self.memory.values()?;
        let of_pane = |(pane, Words { keys, states }): (i32, Words)| {
            Ok((pane, self.state_of(&values, keys.len() / key_words, &keys, &states)?))
        };
        let states = panes.into_iter().map(of_pane).collect::<Result<_, ProgramError>>()?;
        if self.groups_max == 0 {
            self.forget();
        }
        Ok(states)
    }

    /// Whether there may be groups.
    pub(crate) fn has_groups(&self) -> bool {
        self.groups_max > 0
    }

    /// Whether most ids are of groups that have left: none is given back but all together.
    pub(crate) fn is_stale(&self) -> bool {
        let ids = self.memory.ids.iter().flatten().map(|ids| ids.len() as u64).max().unwrap_or(0);
        ids > IDS_KEPT.max(4 * self.groups_max)
    }

    /// As if nothing had ever come. There must be no groups.
    pub(crate) fn forget(&mut self) {
        debug_assert_eq!(self.groups_max, 0);
        self.memory = self.ready.memory();
        self.rows = 0;
    }

    /// All groups, which leave.
    fn empty(&mut self) -> Result<Words, ProgramError> {
        let Ready { gpu, layout, .. } = &*self.ready;
        let [groups] = gpu.read([(&self.groups, 1)])?;
        let groups = u64::from(groups[0]);
        let keys = gpu.read_long(&self.arenas.keys, 0, groups * u64::from(layout.key_words))?;
        let states = gpu.read_long(&self.arenas.states, 0, groups * u64::from(layout.state_words))?;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for buffer in [&self.groups, &self.arenas.slots, &self.arenas.states] {
            encoder.clear_buffer(buffer, 0, None);
        }
        gpu.queue.submit([encoder.finish()]);
        (self.groups_max, self.groups_known) = (0, 0);
        Ok(Words { keys, states })
    }

    /// The groups of panes before one, which leave; `None`, and all stay, if there is no memory for it.
    fn sort_out(&mut self, before: i32) -> Result<Option<Words>, ProgramError> {
        let ready = self.ready.clone();
        let Ready { gpu, layout, kernel, .. } = &*ready;
        let takers = gpu.takers()?;
        let (capacity, key_words, state_words) =
            (self.arenas.capacity, u64::from(layout.key_words), u64::from(layout.state_words));
        let room = || -> Result<_, Unfit> {
            let fresh = Arenas::new(gpu, layout, capacity)?;
            Ok((fresh, gpu.buffer(5)?, gpu.buffer(capacity)?, gpu.buffer(2)?))
        };
        let Ok((fresh, order, places, counts)) = room() else { return Ok(None) };
        let old = self.replace_arenas(fresh);
        let words = [0, capacity as u32, layout.key_words, layout.state_words, before as u32];
        gpu.queue.write_buffer(&order, 0, bytemuck::cast_slice(&words));
        // The mask of the slots, of which there are as many as before.
        gpu.queue.write_buffer(&self.room.batch, 4, bytemuck::bytes_of(&((2 * capacity - 1) as u32)));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.groups, 0, &order, 0, Some(4));
        {
            let arenas = &self.arenas;
            let keys = [&order, &old.keys, &arenas.keys, &places, &counts];
            let states = [&order, &old.states, &arenas.states, &places];
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (taker, buffers) in [(&takers.keys, &keys[..]), (&takers.states, &states[..])] {
                pass.set_pipeline(taker);
                pass.set_bind_group(0, &gpu.bind_to(&taker.get_bind_group_layout(0), buffers), &[]);
                pass.dispatch_workgroups(capacity.div_ceil(u64::from(WORKGROUP)) as u32, 1, 1);
            }
        }
        encoder.copy_buffer_to_buffer(&counts, 0, &self.groups, 0, Some(4));
        self.dispatch(&mut encoder, &[&kernel.enter], capacity);
        gpu.queue.submit([encoder.finish()]);
        let [counts] = gpu.read([(&counts, 2)])?;
        let (stay, leave) = (u64::from(counts[0]), u64::from(counts[1]));
        (self.groups_max, self.groups_known) = (stay, stay);
        let first = capacity - leave;
        let keys = gpu.read_long(&self.arenas.keys, first * key_words, leave * key_words)?;
        let states = gpu.read_long(&self.arenas.states, first * state_words, leave * state_words)?;
        if leave > 0 && state_words > 0 {
            self.clear_states(first * state_words);
        }
        Ok(Some(Words { keys, states }))
    }

    /// Makes the states from a word on those of groups to come.
    fn clear_states(&self, first: u64) {
        let gpu = &self.ready.gpu;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&self.arenas.states, 4 * first, None);
        gpu.queue.submit([encoder.finish()]);
    }
}
