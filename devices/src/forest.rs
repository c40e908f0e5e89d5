//! Forests on wgpu: a device tells where rows end, and the processor adds the leaves up.
//!
//! WGSL does not promise that a sum of floats is rounded as the processor rounds it, so what comes back are the places of leaves, a byte
//! each where that is enough. A batch is one copy and one dispatch; its buffers are used again.

use std::sync::{Arc, Mutex};

use pelton_models::{ByteForest, ByteTree, Found};

use crate::forests::{Kept, Loader, Refusal, Walker};
use crate::gpu::Gpu;
use crate::shader::WORKGROUP;
use crate::tally::Tally;
use crate::{Unfit, Wgpu};

/// Words before the bytes: rows, words from column to column of bytes, trees, rows from word to word of ends.
const HEADER_WORDS: usize = 4;
/// Workgroups in a dimension, which every adapter has.
const WORKGROUPS_MAX: usize = 65_535;
/// Rows of a dispatch at most.
const ROWS_MAX: usize = 1 << 20;

/// A forest in an adapter's memory.
pub(crate) struct Resident {
    gpu: Arc<Gpu>,
    forest: Arc<ByteForest>,
    pipeline: wgpu::ComputePipeline,
    trees: wgpu::Buffer,
    nodes: wgpu::Buffer,
    /// Buffers of batches that nobody uses.
    rooms: Mutex<Vec<Room>>,
}

/// Room for a batch of so many rows, or fewer.
struct Room {
    rows: usize,
    batch: wgpu::Buffer,
    ends: wgpu::Buffer,
    bound: wgpu::BindGroup,
}

impl Loader for Wgpu {
    type Copy = Resident;

    fn name(&self) -> String {
        self.gpu.name.clone()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn kept(&self) -> &Kept<Resident> {
        &self.forests
    }

    fn load(&self, forest: &Arc<ByteForest>) -> Result<Resident, Refusal> {
        let gpu = self.gpu.clone();
        // A dispatch has a row of workgroups for each word of ends.
        if forest.end_words() > WORKGROUPS_MAX {
            return Err(Unfit::Memory.into());
        }
        let place = |tree: &ByteTree| [tree.first_node, tree.depth, tree.first_column, 0];
        let places: Vec<[u32; 4]> = forest.trees.iter().map(place).collect();
        let resident = Resident {
            pipeline: gpu.forest_kernel(forest.ends_per_word())?,
            trees: gpu.buffer(4 * places.len() as u64)?,
            nodes: gpu.buffer(forest.nodes.len() as u64)?,
            forest: forest.clone(),
            rooms: Mutex::default(),
            gpu,
        };
        resident.gpu.queue.write_buffer(&resident.trees, 0, bytemuck::cast_slice(&places));
        resident.gpu.queue.write_buffer(&resident.nodes, 0, bytemuck::cast_slice(&forest.nodes));
        Ok(resident)
    }

    fn row_bytes(&self, forest: &ByteForest) -> usize {
        forest.columns() + 4 * forest.end_words()
    }
}

impl Resident {
    /// Words of a batch.
    fn batch_words(&self, rows: usize) -> usize {
        HEADER_WORDS + self.forest.columns() * ByteForest::stride(rows) / 4
    }

    fn end_words(&self, rows: usize) -> usize {
        self.forest.end_words() * ByteForest::stride(rows)
    }

    fn room(&self, rows: usize) -> Result<Room, Refusal> {
        let mut rooms = self.rooms.lock().expect("no panic holds this lock");
        if let Some(at) = rooms.iter().position(|room| room.rows >= rows) {
            return Ok(rooms.swap_remove(at));
        }
        // One that is too small makes place for a larger one.
        drop(rooms.pop());
        drop(rooms);
        let rows = rows.next_power_of_two().min(self.rows_max());
        let batch = self.gpu.buffer(self.batch_words(rows) as u64)?;
        let ends = self.gpu.buffer(self.end_words(rows) as u64)?;
        let bound =
            self.gpu.bind_to(&self.pipeline.get_bind_group_layout(0), &[&batch, &self.trees, &self.nodes, &ends]);
        Ok(Room { rows, batch, ends, bound })
    }
}

impl Walker for Resident {
    fn rows_max(&self) -> usize {
        let widest = self.forest.columns().max(4 * self.forest.end_words()).max(1);
        let fit = (self.gpu.buffer_max() as usize - 4 * HEADER_WORDS) / widest;
        let tile = ByteForest::stride(1);
        (fit / tile * tile).clamp(tile, ROWS_MAX)
    }

    fn walk(&self, columns: &[&[f64]], rows: usize, _: bool) -> Result<Found, Refusal> {
        let room = self.room(rows)?;
        let stride = ByteForest::stride(rows);
        let mut words = vec![0u32; self.batch_words(rows)];
        let header = [rows, stride / 4, self.forest.trees.len(), stride];
        words.iter_mut().zip(header).for_each(|(word, value)| *word = value as u32);
        self.forest.bytes(columns, rows, bytemuck::cast_slice_mut(&mut words[HEADER_WORDS..]));
        let gpu = &self.gpu;
        gpu.queue.write_buffer(&room.batch, 0, bytemuck::cast_slice(&words));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &room.bound, &[]);
        pass.set_pipeline(&self.pipeline);
        pass.dispatch_workgroups(rows.div_ceil(WORKGROUP as usize) as u32, self.forest.end_words() as u32, 1);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        let [ends] = gpu.read([(&room.ends, self.end_words(rows) as u64)])?;
        self.rooms.lock().expect("no panic holds this lock").push(room);
        Ok(Found::Ends(ends))
    }
}
