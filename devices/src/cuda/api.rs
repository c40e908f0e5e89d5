//! What a table of groups wants of a driver: memory, copies, launches. The driver of NVIDIA is one ([`super::driver`]); the tests
//! have another, which runs the same kernels on the processor.
//!
//! There are two lanes, which run side by side: copies to the device go in one; launches, clearing and copies back in the other,
//! each in its order. A launch begins when the copies ordered before it are done.

use std::sync::Arc;

use super::source::Kernel;
use crate::Unfit;

/// What a driver says when something went wrong for good: the device or what was on it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub String);

/// Kernels that a text has at most.
pub(crate) const KERNELS_MAX: usize = 3;

/// The kernels of a text, as the driver knows them: in the order in which their names were given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module(pub [u64; KERNELS_MAX]);

impl Module {
    pub(crate) fn kernel(&self, kernel: Kernel) -> u64 {
        self.0[kernel as usize]
    }
}

/// What the kernels of a text are called.
pub(crate) type Names = &'static [&'static str];

/// How far a text is on its way to kernels.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// They can be launched.
    Ready(Module),
    /// Ask again.
    Pending,
    /// They never can.
    Failed(String),
}

/// A launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub kernel: u64,
    pub blocks: u32,
    pub threads: u32,
    /// Bytes of a block's own memory.
    pub shared: u32,
    /// Addresses and numbers.
    pub args: &'a [u64],
}

/// See the module. Addresses on the device are numbers; an address of the host's pinned memory is a pointer.
pub(crate) trait Api: Send + Sync {
    /// `cuda:0`.
    fn name(&self) -> String;
    /// Multiprocessors.
    fn processors(&self) -> u32;
    /// Bytes of its own memory that a block can have.
    fn shared_max(&self) -> u32;
    /// Kernels of a text, by their names. Without `wait` they may be pending: whoever asks does something else meanwhile.
    fn compile(&self, text: &str, names: Names, wait: bool) -> Compiled;
    /// Memory of the device; what is in it is anything.
    fn alloc(&self, bytes: u64) -> Result<u64, Unfit>;
    /// Gives it back once everything ordered before is done.
    fn free(&self, at: u64, bytes: u64);
    /// Memory of the host that the device can reach by itself.
    fn pin(&self, bytes: usize) -> Result<*mut u8, Unfit>;
    /// Gives it back. Nothing that was ordered uses it any more.
    fn unpin(&self, at: *mut u8, bytes: usize);
    /// Clears.
    fn zero(&self, at: u64, bytes: u64) -> Result<(), Fault>;
    /// Copies from pinned memory, which stays as it is until a later mark is reached.
    fn copy_in(&self, from: *const u8, bytes: u64, to: u64) -> Result<(), Fault>;
    /// Copies to pinned memory, where it is once a later mark is reached.
    fn copy_out(&self, from: u64, bytes: u64, to: *mut u8) -> Result<(), Fault>;
    /// Copies on the device.
    fn copy(&self, from: u64, bytes: u64, to: u64) -> Result<(), Fault>;
    /// Launches a kernel.
    fn launch(&self, launch: Launch<'_>) -> Result<(), Fault>;
    /// A mark behind everything ordered until now.
    fn mark(&self) -> Result<u64, Fault>;
    /// Waits until a mark is reached, and forgets it.
    fn wait(&self, mark: u64) -> Result<(), Fault>;
}

/// Memory of the device.
pub(crate) struct Block {
    api: Arc<dyn Api>,
    pub at: u64,
    pub bytes: u64,
}

impl Block {
    pub(crate) fn new(api: &Arc<dyn Api>, bytes: u64) -> Result<Block, Unfit> {
        let bytes = bytes.max(16);
        Ok(Block { at: api.alloc(bytes)?, bytes, api: api.clone() })
    }

    /// Zeros.
    pub(crate) fn cleared(api: &Arc<dyn Api>, bytes: u64) -> Result<Result<Block, Fault>, Unfit> {
        let block = Block::new(api, bytes)?;
        Ok(api.zero(block.at, block.bytes).map(|()| block))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.api.free(self.at, self.bytes);
    }
}

/// Pinned memory of the host.
pub(crate) struct Pinned {
    api: Arc<dyn Api>,
    at: *mut u8,
    bytes: usize,
}

// SAFETY: it owns its memory, which any thread may use.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(crate) fn new(api: &Arc<dyn Api>, bytes: usize) -> Result<Pinned, Unfit> {
        let bytes = bytes.max(64);
        Ok(Pinned { at: api.pin(bytes)?, bytes, api: api.clone() })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.at
    }

    /// The bytes. Nothing that was ordered writes them meanwhile.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `at` is the beginning of `bytes` bytes that live as long as `self`, cleared when they were pinned; whoever has
        // ordered a copy into them waits for its mark before it looks.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.bytes) }
    }

    /// The first words.
    pub(crate) fn words(&self, n: usize) -> Vec<u32> {
        self.bytes()[..4 * n].chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four"))).collect()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.api.unpin(self.at, self.bytes);
    }
}
