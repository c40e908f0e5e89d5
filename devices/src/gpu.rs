//! A GPU that is open: buffers, kernels, and the way back.
//!
//! Every allocation is measured against the adapter's limits first and asks whether there was memory. What goes wrong
//! later (a lost device, a driver's refusal) is kept, and told by the next call that reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use pelton_kernels::program::ProgramError;
use wgpu::{BufferUsages, ErrorFilter, PollType};

use crate::Unfit;
use crate::layout::Layout;
use crate::shader;

/// Bindings of every shader, in the order of their numbers: the batch, slots, slots of rows, keys, groups, states.
pub(crate) const BINDINGS: usize = 6;

/// See the module.
pub(crate) struct Gpu {
    pub name: String,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Bytes that a shader sees of one buffer, at most.
    buffer_max: AtomicU64,
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
    takers: OnceLock<Takers>,
    fault: Arc<Mutex<Option<String>>>,
}

/// What sorts out the groups of closing panes.
pub(crate) struct Takers {
    pub keys: wgpu::ComputePipeline,
    pub states: wgpu::ComputePipeline,
}

/// The entry points of a program's shader.
pub(crate) struct Kernel {
    pub find: wgpu::ComputePipeline,
    pub number: wgpu::ComputePipeline,
    pub fold: wgpu::ComputePipeline,
    /// Where there are extremes.
    pub settle: Option<wgpu::ComputePipeline>,
    pub enter: wgpu::ComputePipeline,
}

impl Gpu {
    /// Opens an adapter.
    pub(crate) fn open(adapter: &wgpu::Adapter, name: String) -> Result<Gpu, String> {
        let limits = adapter.limits();
        let wanted = wgpu::DeviceDescriptor {
            label: Some("pelton"),
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&wanted)).map_err(|error| error.to_string())?;
        let fault = Arc::new(Mutex::new(None));
        let note = |fault: &Mutex<Option<String>>, message: String| {
            fault.lock().expect("no panic holds this lock").get_or_insert(message);
        };
        let first = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&first, error.to_string())));
        let first = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Dropping it is no loss.
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&first, format!("it was lost: {message}"));
            }
        });
        let entry = |binding: usize| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: binding == 0 },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = (0..BINDINGS).map(entry).collect();
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &[Some(&layout)],
            ..wgpu::PipelineLayoutDescriptor::default()
        });
        let buffer_max = AtomicU64::new(limits.max_buffer_size.min(limits.max_storage_buffer_binding_size));
        Ok(Gpu { name, device, queue, buffer_max, layout, pipeline_layout, takers: OnceLock::new(), fault })
    }

    /// Bytes that a shader sees of one buffer, at most.
    pub(crate) fn buffer_max(&self) -> u64 {
        self.buffer_max.load(Ordering::Relaxed)
    }

    /// From now on no buffer may be larger.
    #[cfg(test)]
    pub(crate) fn narrow(&self, buffer_max: u64) {
        self.buffer_max.store(buffer_max, Ordering::Relaxed);
    }

    /// The failure of this device.
    pub(crate) fn failed(&self, message: impl Into<String>) -> ProgramError {
        ProgramError::Device { device: self.name.clone(), message: message.into() }
    }

    /// Compiles a program's shader.
    pub(crate) fn kernel(&self, layout: &Layout) -> Result<Kernel, ProgramError> {
        let scope = self.device.push_error_scope(ErrorFilter::Validation);
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(shader::text(layout).into()),
        });
        let pipeline = |entry: &'static str| {
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: Some(&self.pipeline_layout),
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        let kernel = Kernel {
            find: pipeline("find"),
            number: pipeline("number"),
            fold: pipeline("fold"),
            settle: shader::has_extremes(layout).then(|| pipeline("settle")),
            enter: pipeline("enter"),
        };
        self.accepted(scope).map(|()| kernel)
    }

    /// Compiles the shader that walks forests of which so many trees have their ends in a word.
    pub(crate) fn forest_kernel(&self, ends_per_word: usize) -> Result<wgpu::ComputePipeline, ProgramError> {
        self.kernels_of(shader::forest_text(ends_per_word), ["walk"]).map(|[walk]| walk)
    }

    /// Compiles the shader that sorts out groups of closing panes, when it is asked for first.
    pub(crate) fn takers(&self) -> Result<&Takers, ProgramError> {
        if let Some(takers) = self.takers.get() {
            return Ok(takers);
        }
        let [keys, states] = self.kernels_of(shader::take_text(), ["move_keys", "move_states"])?;
        Ok(self.takers.get_or_init(|| Takers { keys, states }))
    }

    /// Kernels whose bindings are those that each uses.
    fn kernels_of<const N: usize>(
        &self,
        text: String,
        entries: [&'static str; N],
    ) -> Result<[wgpu::ComputePipeline; N], ProgramError> {
        let scope = self.device.push_error_scope(ErrorFilter::Validation);
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let kernels = entries.map(|entry| {
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(entry),
                layout: None,
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        });
        self.accepted(scope).map(|()| kernels)
    }

    /// Fails if a shader that was compiled since the scope began was refused.
    fn accepted(&self, scope: wgpu::ErrorScopeGuard) -> Result<(), ProgramError> {
        match pollster::block_on(scope.pop()) {
            None => Ok(()),
            Some(error) => Err(self.failed(format!("it does not compile a kernel: {error}"))),
        }
    }

    /// A buffer of so many words, all zero, for shaders and copies.
    pub(crate) fn buffer(&self, words: u64) -> Result<wgpu::Buffer, Unfit> {
        if 4 * words > self.buffer_max() {
            return Err(Unfit::Memory);
        }
        self.allocate(words, BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST)
    }

    fn allocate(&self, words: u64, usage: BufferUsages) -> Result<wgpu::Buffer, Unfit> {
        let size = (4 * words).max(4);
        if size > self.device.limits().max_buffer_size {
            return Err(Unfit::Memory);
        }
        let scope = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let buffer =
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        match pollster::block_on(scope.pop()) {
            None => Ok(buffer),
            Some(_) => Err(Unfit::Memory),
        }
    }

    /// Binds buffers by their numbers.
    pub(crate) fn bind(&self, buffers: [&wgpu::Buffer; BINDINGS]) -> wgpu::BindGroup {
        self.bind_to(&self.layout, &buffers)
    }

    /// Likewise, for a pipeline of this layout.
    pub(crate) fn bind_to(&self, layout: &wgpu::BindGroupLayout, buffers: &[&wgpu::Buffer]) -> wgpu::BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), ProgramError> {
        let polled = self.device.poll(PollType::Wait { submission_index: Some(submission), timeout: None });
        polled.map_err(|error| self.failed(error.to_string()))?;
        self.check()
    }

    fn check(&self) -> Result<(), ProgramError> {
        match &*self.fault.lock().expect("no panic holds this lock") {
            None => Ok(()),
            Some(message) => Err(self.failed(message)),
        }
    }

    /// The first words of some buffers: one copy, one wait.
    pub(crate) fn read<const N: usize>(&self, from: [(&wgpu::Buffer, u64); N]) -> Result<[Vec<u32>; N], ProgramError> {
        self.read_from(from.map(|(buffer, words)| (buffer, 0, words)))
    }

    /// Words of a buffer from `first` on, in pieces that need little memory on the way.
    pub(crate) fn read_long(&self, buffer: &wgpu::Buffer, first: u64, words: u64) -> Result<Vec<u32>, ProgramError> {
        const PIECE: u64 = 1 << 22;
        let mut all = Vec::with_capacity(words as usize);
        for start in (0..words).step_by(PIECE as usize) {
            let [piece] = self.read_from([(buffer, first + start, PIECE.min(words - start))])?;
            all.extend(piece);
        }
        Ok(all)
    }

    fn read_from<const N: usize>(&self, from: [(&wgpu::Buffer, u64, u64); N]) -> Result<[Vec<u32>; N], ProgramError> {
        let total: u64 = from.iter().map(|(_, _, words)| words).sum();
        let staging = self
            .allocate(total, BufferUsages::MAP_READ | BufferUsages::COPY_DST)
            .map_err(|unfit| self.failed(format!("{total} words can not be read back: {unfit}")))?;
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut at = 0;
        for (buffer, first, words) in from.iter().filter(|(_, _, words)| *words > 0) {
            encoder.copy_buffer_to_buffer(buffer, 4 * first, &staging, at, Some(4 * words));
            at += 4 * words;
        }
        let submission = self.queue.submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |mapped| drop(sender.send(mapped)));
        self.wait(submission)?;
        let mapped = receiver.recv().map_err(|error| self.failed(error.to_string()))?;
        mapped.map_err(|error| self.failed(error.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|error| self.failed(error.to_string()))?;
        let mut words = view.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        Ok(from.map(|(_, _, n)| words.by_ref().take(n as usize).collect()))
    }
}
