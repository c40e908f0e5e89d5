//! Forests on NVIDIA GPUs: the device adds the leaves up where that gives the processor's bits, else it tells where rows end.
//!
//! A forest is cut into chunks that fit into a block's own memory, and copied once. A batch is bytes in pinned memory, one copy, one
//! launch, one copy back; whoever waits for it has a slot of his own, so that workers do not wait for each other.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pelton_models::{ByteForest, ByteTree, Found, Scores};

use super::api::{Api, Block, Compiled, Fault, Launch, Module, Pinned};
use super::source::{FOREST_KERNELS, FOREST_THREADS, forest_text};
use super::{Cuda, Limits};
use crate::Unfit;
use crate::forests::{Kept, Loader, Refusal, Walker};
use crate::tally::Tally;

/// Words of a tree's and of a chunk's description: as `Tree` and `Chunk` in `shaders/cuda/forest.cu`.
const TREE_WORDS: usize = 4;
const CHUNK_WORDS: usize = 7;
/// Rows of a launch at most.
const ROWS_MAX: usize = 1 << 22;
/// Batches that the pinned memory allowed has room for, at least: as many workers do not wait for memory.
const BATCHES: u64 = 16;
/// Bytes of its own memory that a block has beside those that it was given.
const BLOCK_BYTES: u32 = 1024;
/// Threads of a warp.
const WARP: u32 = 32;

/// A forest in a GPU's memory.
pub(crate) struct Resident {
    api: Arc<dyn Api>,
    limits: Limits,
    forest: Arc<ByteForest>,
    module: Module,
    /// Whether leaves are single numbers.
    single: bool,
    shape: Shape,
    image: Block,
    chunks: Block,
    start: Block,
    slots: Mutex<Slots>,
}

/// How blocks are launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    threads: u32,
    /// Bytes of a block's own memory.
    shared: u32,
}

/// A forest as the kernels have it.
struct Image {
    words: Vec<u32>,
    /// `Chunk`s.
    chunks: Vec<u32>,
    shape: Shape,
}

/// Memory for batches, and how much of it there is with those that are on their way.
#[derive(Default)]
struct Slots {
    free: Vec<Slot>,
    device_bytes: u64,
    pinned_bytes: u64,
}

/// Memory for a batch.
struct Slot {
    to: Pinned,
    from: Pinned,
    bytes: Block,
    answers: Block,
}

impl Slot {
    fn pinned_bytes(&self) -> u64 {
        (self.to.len() + self.from.len()) as u64
    }

    fn device_bytes(&self) -> u64 {
        self.bytes.bytes + self.answers.bytes
    }
}

impl From<Fault> for Refusal {
    fn from(_: Fault) -> Self {
        Refusal::Failed
    }
}

impl Loader for Cuda {
    type Copy = Resident;

    fn name(&self) -> String {
        self.api.name()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn kept(&self) -> &Kept<Resident> {
        &self.forests
    }

    fn load(&self, forest: &Arc<ByteForest>) -> Result<Resident, Refusal> {
        Resident::new(self, forest)
    }

    fn row_bytes(&self, forest: &ByteForest) -> usize {
        forest.columns() + if forest.adds_alike { sum_bytes(forest) } else { 4 * forest.end_words() }
    }
}

fn is_single(forest: &ByteForest) -> bool {
    matches!(forest.leaves, Scores::Single(_))
}

/// Bytes of a row's sums.
fn sum_bytes(forest: &ByteForest) -> usize {
    forest.sums() * if is_single(forest) { 4 } else { 8 }
}

impl Image {
    /// Cuts a forest into chunks for blocks with so much memory of their own.
    fn of(forest: &ByteForest, shared_max: u32) -> Image {
        // Half of the memory is for the rows of all threads at most: nodes are what is worth having near.
        let widest = forest.trees.iter().map(|tree| tree.columns.max(1)).max().unwrap_or(1).div_ceil(4);
        let fits = |threads: &u32| 4 * widest * threads <= shared_max / 2;
        let threads =
            std::iter::successors(Some(FOREST_THREADS), |t| Some(t / 2)).take_while(|t| *t >= WARP).find(fits);
        let threads = threads.unwrap_or(WARP);
        let row_words = (widest * threads).next_multiple_of(2);
        let room = (shared_max / 4).saturating_sub(row_words) as usize;
        let mut image = Image { words: vec![], chunks: vec![], shape: Shape { threads, shared: 0 } };
        let (mut first, mut words) = (0, 0);
        for (at, tree) in forest.trees.iter().enumerate() {
            let more = tree_words(forest, tree);
            let is_other_group = tree.first_column != forest.trees[first].first_column;
            if at > first && (is_other_group || words + more > room) {
                image.add(forest, first..at, room);
                (first, words) = (at, 0);
            }
            words += more;
        }
        image.add(forest, first..forest.trees.len(), room);
        let chunks = image.chunks.chunks_exact(CHUNK_WORDS);
        let held = chunks.filter(|chunk| chunk[4] == 1).map(|chunk| chunk[3]).max().unwrap_or(0);
        image.shape.shared = 4 * (row_words + held);
        image
    }

    fn add(&mut self, forest: &ByteForest, trees: Range<usize>, room: usize) {
        let some = &forest.trees[trees.clone()];
        let at = self.words.len();
        // Those of a run of trees lie together.
        let nodes = some[0].first_node as usize..some.last().map_or(0, |tree| (tree.first_node + tree.nodes) as usize);
        let first_node = TREE_WORDS * some.len();
        let first_leaf = (first_node + nodes.len()).next_multiple_of(2);
        let per_leaf = leaf_words(forest);
        for tree in some {
            let before = (tree.first_node - some[0].first_node) as usize;
            let places = [first_node + before, first_leaf + per_leaf * before];
            self.words.extend([places[0] as u32, places[1] as u32, tree.sum, tree.depth]);
        }
        self.words.extend_from_slice(&forest.nodes[nodes.clone()]);
        self.words.resize(at + first_leaf, 0);
        match &forest.leaves {
            Scores::Single(leaves) => self.words.extend(leaves[nodes].iter().map(|leaf| leaf.to_bits())),
            Scores::Double(leaves) => self.words.extend(doubles(&leaves[nodes]).concat()),
        }
        self.words.resize(self.words.len().next_multiple_of(2), 0);
        let words = self.words.len() - at;
        let chunk = [trees.start, trees.len(), at, words, usize::from(words <= room)];
        self.chunks.extend(chunk.map(|value| value as u32));
        // Leaves look at a column too, whatever is in it.
        self.chunks.extend([some[0].first_column, some[0].columns.max(1)]);
    }
}

/// Words of a double each, the lower first.
fn doubles(values: &[f64]) -> Vec<[u32; 2]> {
    values.iter().map(|value| value.to_bits()).map(|bits| [bits as u32, (bits >> 32) as u32]).collect()
}

/// Words of a tree in a chunk, and what it may take to align them.
fn tree_words(forest: &ByteForest, tree: &ByteTree) -> usize {
    TREE_WORDS + (1 + leaf_words(forest)) * tree.nodes as usize + 2
}

fn leaf_words(forest: &ByteForest) -> usize {
    if is_single(forest) { 1 } else { 2 }
}

impl Resident {
    fn new(device: &Cuda, forest: &Arc<ByteForest>) -> Result<Resident, Refusal> {
        let Cuda { api, limits, .. } = device;
        let single = is_single(forest);
        let module = match api.compile(&forest_text(single), &FOREST_KERNELS, limits.patient) {
            Compiled::Ready(module) => module,
            Compiled::Pending => return Err(Unfit::Compiling.into()),
            Compiled::Failed(_) => return Err(Unfit::Kernel.into()),
        };
        // Two blocks on a multiprocessor hide each other's waits.
        let image = Image::of(forest, api.shared_max() / 2 - BLOCK_BYTES);
        let start = match &forest.start {
            Scores::Single(start) => start.iter().map(|start| start.to_bits()).collect(),
            Scores::Double(start) => doubles(start).concat(),
        };
        Ok(Resident {
            api: api.clone(),
            limits: *limits,
            forest: forest.clone(),
            module,
            single,
            shape: image.shape,
            image: sent(api, &image.words)?,
            chunks: sent(api, &image.chunks)?,
            start: sent(api, &start)?,
            slots: Mutex::default(),
        })
    }

    /// Bytes that go to the device for so many rows, and that come back at most.
    fn sizes(&self, rows: usize) -> (usize, usize) {
        let stride = ByteForest::stride(rows);
        let back = sum_bytes(&self.forest).max(4 * self.forest.end_words());
        (self.forest.columns() * stride, back * stride)
    }

    fn slot(&self, rows: usize) -> Result<Slot, Refusal> {
        let (there, back) = self.sizes(rows);
        let mut slots = self.slots.lock().expect("no panic holds this lock");
        let is_enough = |slot: &Slot| slot.to.len() >= there && slot.from.len() >= back;
        if let Some(at) = slots.free.iter().position(is_enough) {
            return Ok(slots.free.swap_remove(at));
        }
        // One that is too small makes place for a larger one.
        if let Some(small) = slots.free.pop() {
            slots.pinned_bytes -= small.pinned_bytes();
            slots.device_bytes -= small.device_bytes();
        }
        let (there, back) = self.sizes(rows.next_power_of_two().min(self.rows_max()));
        let more = (there + back) as u64;
        if slots.pinned_bytes + more > self.limits.pinned_bytes || slots.device_bytes + more > self.limits.device_bytes
        {
            return Err(Unfit::Memory.into());
        }
        let slot = Slot {
            to: Pinned::new(&self.api, there)?,
            from: Pinned::new(&self.api, back)?,
            bytes: Block::new(&self.api, there as u64)?,
            answers: Block::new(&self.api, back as u64)?,
        };
        slots.pinned_bytes += slot.pinned_bytes();
        slots.device_bytes += slot.device_bytes();
        Ok(slot)
    }

    /// Launches, over bytes that are there.
    fn launch(&self, slot: &Slot, rows: usize, ends: bool) -> Result<(), Fault> {
        let stride = ByteForest::stride(rows) as u64;
        let count = self.chunks.bytes / (4 * CHUNK_WORDS as u64);
        let common = [slot.bytes.at, stride, rows as u64, self.image.at, self.chunks.at, count, slot.answers.at];
        let last = match ends {
            true => vec![self.forest.ends_per_word() as u64],
            false => vec![self.start.at, self.forest.sums() as u64],
        };
        let Shape { threads, shared } = self.shape;
        let blocks = (rows as u64).div_ceil(u64::from(threads)).min(2 * u64::from(self.api.processors())) as u32;
        let args = [&common[..], &last].concat();
        self.api.launch(Launch { kernel: self.module.0[usize::from(ends)], blocks, threads, shared, args: &args })
    }

    fn order(&self, slot: &mut Slot, columns: &[&[f64]], rows: usize, ends: bool) -> Result<Found, Fault> {
        let stride = ByteForest::stride(rows);
        let (there, _) = self.sizes(rows);
        self.forest.bytes(columns, rows, &mut slot.to.bytes_mut()[..there]);
        self.api.copy_in(slot.to.as_ptr(), there as u64, slot.bytes.at)?;
        self.launch(slot, rows, ends)?;
        let back = stride * if ends { 4 * self.forest.end_words() } else { sum_bytes(&self.forest) };
        self.api.copy_out(slot.answers.at, back as u64, slot.from.as_ptr())?;
        self.api.wait(self.api.mark()?)?;
        let bytes = &slot.from.bytes()[..back];
        Ok(match ends {
            true => Found::Ends(bytemuck::pod_collect_to_vec(bytes)),
            false if self.single => Found::Sums(Scores::Single(bytemuck::pod_collect_to_vec(bytes))),
            false => Found::Sums(Scores::Double(bytemuck::pod_collect_to_vec(bytes))),
        })
    }
}

impl Resident {
    /// Takes the same rows, at most [`Walker::rows_max`], which lie in the device's memory, through the forest so many times; gives the
    /// seconds of all launches.
    pub(super) fn repeat(&self, columns: &[&[f64]], rows: usize, times: u32, ends: bool) -> Result<f64, Refusal> {
        let mut slot = self.slot(rows)?;
        self.order(&mut slot, columns, rows, ends)?;
        let begun = Instant::now();
        (0..times).try_for_each(|_| self.launch(&slot, rows, ends))?;
        self.api.wait(self.api.mark()?)?;
        let seconds = begun.elapsed().as_secs_f64();
        self.slots.lock().expect("no panic holds this lock").free.push(slot);
        Ok(seconds)
    }
}

/// Words in the device's memory.
fn sent(api: &Arc<dyn Api>, words: &[u32]) -> Result<Block, Refusal> {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let mut host = Pinned::new(api, bytes.len())?;
    host.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let block = Block::new(api, bytes.len() as u64)?;
    api.copy_in(host.as_ptr(), bytes.len() as u64, block.at)?;
    api.wait(api.mark()?)?;
    Ok(block)
}

impl Walker for Resident {
    fn rows_max(&self) -> usize {
        let (there, back) = self.sizes(1);
        let tile = ByteForest::stride(1);
        let tiles = self.limits.pinned_bytes / BATCHES / (there + back).max(1) as u64;
        (tiles as usize * tile).clamp(tile, ROWS_MAX)
    }

    fn walk(&self, columns: &[&[f64]], rows: usize, ends: bool) -> Result<Found, Refusal> {
        let mut slot = self.slot(rows)?;
        // A slot of which something is still on its way after a fault is not used again.
        let found = self.order(&mut slot, columns, rows, ends || !self.forest.adds_alike)?;
        self.slots.lock().expect("no panic holds this lock").free.push(slot);
        Ok(found)
    }
}
