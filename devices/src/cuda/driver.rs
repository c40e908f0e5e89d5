//! NVIDIA's driver: libcuda, which is looked for when somebody asks for a GPU. Nothing of CUDA is needed to build.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Condvar, Mutex};

use cudarc::driver::result::{self, DriverError, event, stream};
use cudarc::driver::sys;

use super::api::{Api, Compiled, Fault, KERNELS_MAX, Launch, Module, Names};
use super::cache;
use super::nvrtc::CudaCompiler;
use crate::Unfit;

/// The oldest driver that will do, as it tells its version: CUDA 12.8.
const DRIVER_MIN: i32 = 12_080;
/// The oldest architecture that will do: threads of a warp are scheduled apart, memory is ordered as the kernels want it.
const CAPABILITY_MIN: (i32, i32) = (7, 0);

/// A GPU as its driver describes it.
#[derive(Clone, Debug)]
pub struct CudaDevice {
    /// What it is called.
    pub name: String,
    /// Its architecture: 9, 0 is Hopper.
    pub capability: (i32, i32),
    /// Multiprocessors.
    pub processors: u32,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// The newest CUDA that its driver knows: 13000 is 13.0.
    pub driver: i32,
}

impl CudaDevice {
    /// As NVIDIA's compilers name its architecture: `sm_90`.
    pub fn architecture(&self) -> String {
        format!("sm_{}{}", self.capability.0, self.capability.1)
    }

    /// The newest CUDA that its driver knows: `13.0`.
    pub fn cuda(&self) -> String {
        shown(self.driver)
    }

    /// Why Pelton can not use it, if it can not.
    pub fn unusable(&self) -> Option<String> {
        let (major, minor) = self.capability;
        let (old, oldest) = (self.capability < CAPABILITY_MIN, CAPABILITY_MIN);
        old.then(|| format!("its architecture is {major}.{minor}, {}.{} is needed", oldest.0, oldest.1))
    }
}

/// A version as a driver tells it.
fn shown(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// A GPU that was opened.
pub(crate) struct Opened {
    pub api: Arc<dyn Api>,
    /// What it is called.
    pub model: String,
    /// Bytes of its memory that may be taken.
    pub device_bytes: u64,
}

fn told(what: &str, error: DriverError) -> String {
    format!("{what}: {error}")
}

/// Loads the driver's library and asks its version.
fn initialise() -> Result<i32, String> {
    // SAFETY: it opens a library of NVIDIA, whose initialisers do nothing of note.
    if !unsafe { sys::is_culib_present() } {
        return Err("NVIDIA's driver was not found: no libcuda.so where libraries are looked for".into());
    }
    let mut version = 0;
    // SAFETY: a place for a number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(|e| told("the driver has no version", e))?;
    if version < DRIVER_MIN {
        let (knows, needed) = (shown(version), shown(DRIVER_MIN));
        return Err(format!("NVIDIA's driver knows CUDA {knows}, {needed} is needed: install a newer driver"));
    }
    result::init().map_err(|e| told("NVIDIA's driver does not start", e))?;
    Ok(version)
}

fn describe(ordinal: i32, driver: i32) -> Result<(sys::CUdevice, CudaDevice), DriverError> {
    use sys::CUdevice_attribute as A;
    let device = result::device::get(ordinal)?;
    // SAFETY: the device was just given.
    let (attribute, memory_bytes) = unsafe {
        let attribute = |which| result::device::get_attribute(device, which);
        (attribute, result::device::total_mem(device)? as u64)
    };
    let described = CudaDevice {
        name: result::device::get_name(device)?,
        capability: (
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        processors: attribute(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32,
        memory_bytes,
        driver,
    };
    Ok((device, described))
}

/// All NVIDIA GPUs of this machine; or why none can be told.
pub fn cuda_devices() -> Result<Vec<CudaDevice>, String> {
    let driver = initialise()?;
    let count = result::device::get_count().map_err(|e| told("the driver counts no devices", e))?;
    (0..count).map(|at| describe(at, driver).map(|(_, d)| d).map_err(|e| told("a device", e))).collect()
}

/// Opens the first GPU.
pub(crate) fn open() -> Result<Opened, String> {
    let driver = initialise()?;
    if result::device::get_count().map_err(|e| told("the driver counts no devices", e))? == 0 {
        return Err("NVIDIA's driver has no device".into());
    }
    let (device, described) = describe(0, driver).map_err(|e| told("the first device", e))?;
    if let Some(why) = described.unusable() {
        return Err(format!("{} can not be used: {why}", described.name));
    }
    let api = Driver::open(device, &described).map_err(|e| told(&described.name, e))?;
    Ok(Opened { api: Arc::new(api), device_bytes: described.memory_bytes * 9 / 10, model: described.name })
}

struct Driver {
    context: sys::CUcontext,
    copies: sys::CUstream,
    work: sys::CUstream,
    processors: u32,
    shared_max: u32,
    architecture: String,
    texts: Arc<Texts>,
    /// Events that nobody uses. Making one takes longer than a small batch on some machines.
    events: Mutex<Vec<u64>>,
}

/// Texts and what became of them.
#[derive(Default)]
struct Texts {
    state: Mutex<HashMap<String, Option<Result<Module, String>>>>,
    done: Condvar,
}

// SAFETY: contexts and streams are handles that the driver lets any thread use; each call makes the context the thread's own.
unsafe impl Send for Driver {}
// SAFETY: as above.
unsafe impl Sync for Driver {}

/// A context that another thread may compile for.
#[derive(Clone, Copy)]
struct Context(sys::CUcontext);
// SAFETY: as for `Driver`.
unsafe impl Send for Context {}

impl Driver {
    fn open(device: sys::CUdevice, described: &CudaDevice) -> Result<Driver, DriverError> {
        use sys::CUdevice_attribute as A;
        // SAFETY: the device is one of the driver's; what is made here lives as long as the process.
        unsafe {
            let context = result::primary_ctx::retain(device)?;
            result::ctx::set_current(context)?;
            let kind = stream::StreamKind::NonBlocking;
            let (copies, work) = (stream::create(kind)?, stream::create(stream::StreamKind::NonBlocking)?);
            // Memory that was given back stays at hand.
            let pool = result::device::get_default_mem_pool(device)?;
            let mut all = u64::MAX;
            let keep = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            sys::cuMemPoolSetAttribute(pool, keep, (&raw mut all).cast()).result()?;
            let shared = A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
            let shared = result::device::get_attribute(device, shared)? as u32;
            Ok(Driver {
                context,
                copies,
                work,
                processors: described.processors,
                shared_max: shared,
                architecture: described.architecture(),
                texts: Arc::default(),
                events: Mutex::default(),
            })
        }
    }

    fn enter(&self) -> Result<(), Fault> {
        // SAFETY: the context lives as long as the process.
        unsafe { result::ctx::set_current(self.context) }.map_err(fault)
    }

    /// An event that nobody uses.
    fn event(&self) -> Result<sys::CUevent, Fault> {
        match self.events.lock().expect("no panic holds this lock").pop() {
            Some(event) => Ok(event as sys::CUevent),
            None => event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map_err(fault),
        }
    }

    fn give_back(&self, event: sys::CUevent) {
        self.events.lock().expect("no panic holds this lock").push(event as u64);
    }

    /// A mark in one lane that the other waits for.
    fn join(&self, behind: sys::CUstream, waits: sys::CUstream) -> Result<(), Fault> {
        let mark = self.event()?;
        // SAFETY: streams live as long as the process. An event may be recorded anew once the wait for it is ordered: the wait is
        // for what was recorded then.
        let joined = unsafe {
            event::record(mark, behind)
                .and_then(|()| stream::wait_event(waits, mark, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT))
        };
        self.give_back(mark);
        joined.map_err(fault)
    }
}

fn fault(error: DriverError) -> Fault {
    Fault(error.to_string())
}

/// Kernels of machine code.
fn load(cubin: &[u8], names: Names, shared_max: u32) -> Result<Module, String> {
    use sys::CUfunction_attribute_enum as A;
    // SAFETY: the image is a cubin of ours or of the compiler; the driver checks it. Modules stay loaded.
    unsafe {
        let module = result::module::load_data(cubin.as_ptr().cast()).map_err(|e| told("a kernel does not load", e))?;
        let mut kernels = [0; KERNELS_MAX];
        for (place, name) in kernels.iter_mut().zip(names) {
            let name = CString::new(*name).expect("no zero in it");
            let function = result::module::get_function(module, name).map_err(|e| told("a kernel is missing", e))?;
            let most = A::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            result::function::set_function_attribute(function, most, shared_max as i32)
                .map_err(|e| told("a kernel gets no memory of its own", e))?;
            *place = function as u64;
        }
        Ok(Module(kernels))
    }
}

fn compile(text: &str, names: Names, architecture: &str, context: Context, shared_max: u32) -> Result<Module, String> {
    let cubin = CudaCompiler::find().and_then(|compiler| {
        let compiled = compiler.compile(text, architecture, false)?;
        cache::keep(text, architecture, compiler, &compiled.cubin);
        Ok(compiled.cubin)
    })?;
    // SAFETY: the context lives as long as the process.
    unsafe { result::ctx::set_current(context.0) }.map_err(|e| told("its context", e))?;
    load(&cubin, names, shared_max)
}

impl Api for Driver {
    fn name(&self) -> String {
        "cuda:0".into()
    }

    fn processors(&self) -> u32 {
        self.processors
    }

    fn shared_max(&self) -> u32 {
        self.shared_max
    }

    fn compile(&self, text: &str, names: Names, wait: bool) -> Compiled {
        let mut state = self.texts.state.lock().expect("no panic holds this lock");
        if !state.contains_key(text) {
            let (architecture, shared_max) = (self.architecture.clone(), self.shared_max);
            if let Some(cubin) = cache::load(text, &architecture) {
                let loaded = self.enter().map_err(|fault| fault.0).and_then(|()| load(&cubin, names, shared_max));
                state.insert(text.to_string(), Some(loaded));
            } else {
                state.insert(text.to_string(), None);
                let (texts, text, context) = (self.texts.clone(), text.to_string(), Context(self.context));
                std::thread::spawn(move || {
                    let context = context;
                    let compiled = compile(&text, names, &architecture, context, shared_max);
                    texts.state.lock().expect("no panic holds this lock").insert(text, Some(compiled));
                    texts.done.notify_all();
                });
            }
        }
        while wait && state[text].is_none() {
            state = self.texts.done.wait(state).expect("no panic holds this lock");
        }
        match &state[text] {
            None => Compiled::Pending,
            Some(Ok(module)) => Compiled::Ready(*module),
            Some(Err(message)) => Compiled::Failed(message.clone()),
        }
    }

    fn alloc(&self, bytes: u64) -> Result<u64, Unfit> {
        self.enter().map_err(|_| Unfit::Memory)?;
        // SAFETY: the stream lives as long as the process; whoever uses the memory orders it behind this.
        let at = unsafe { result::malloc_async(self.work, bytes as usize) }.map_err(|_| Unfit::Memory)?;
        self.join(self.work, self.copies).map_err(|_| Unfit::Memory)?;
        Ok(at)
    }

    fn free(&self, at: u64, _: u64) {
        if self.enter().is_ok() {
            // SAFETY: `at` came from `alloc`; what uses it is ordered before, in this lane or in one that this one has waited for.
            let _ = unsafe { result::free_async(at, self.work) };
        }
    }

    fn pin(&self, bytes: usize) -> Result<*mut u8, Unfit> {
        self.enter().map_err(|_| Unfit::Memory)?;
        // SAFETY: it is memory of ours; cleared, since a slice over it is made.
        unsafe {
            let at = result::malloc_host(bytes, 0).map_err(|_| Unfit::Memory)?.cast::<u8>();
            at.write_bytes(0, bytes);
            Ok(at)
        }
    }

    fn unpin(&self, at: *mut u8, _: usize) {
        if self.enter().is_ok() {
            // SAFETY: `at` came from `pin`.
            let _ = unsafe { result::free_host(at.cast()) };
        }
    }

    fn zero(&self, at: u64, bytes: u64) -> Result<(), Fault> {
        self.enter()?;
        // SAFETY: so many bytes are allocated there.
        unsafe { result::memset_d8_async(at, 0, bytes as usize, self.work) }.map_err(fault)
    }

    fn copy_in(&self, from: *const u8, bytes: u64, to: u64) -> Result<(), Fault> {
        self.enter()?;
        // SAFETY: so many bytes are allocated on both sides, and stay as they are until a later mark is reached.
        unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.cast::<c_void>(), bytes as usize, self.copies) }
            .result()
            .map_err(fault)?;
        self.join(self.copies, self.work)
    }

    fn copy_out(&self, from: u64, bytes: u64, to: *mut u8) -> Result<(), Fault> {
        self.enter()?;
        // SAFETY: as for `copy_in`.
        unsafe { sys::cuMemcpyDtoHAsync_v2(to.cast::<c_void>(), from, bytes as usize, self.work) }
            .result()
            .map_err(fault)
    }

    fn copy(&self, from: u64, bytes: u64, to: u64) -> Result<(), Fault> {
        self.enter()?;
        // SAFETY: so many bytes are allocated on both sides.
        unsafe { result::memcpy_dtod_async(to, from, bytes as usize, self.work) }.map_err(fault)
    }

    fn launch(&self, launch: Launch<'_>) -> Result<(), Fault> {
        self.enter()?;
        let mut args: Vec<*mut c_void> =
            launch.args.iter().map(|arg| std::ptr::from_ref(arg).cast_mut().cast()).collect();
        // SAFETY: the kernel is one of `load`, every argument of which is 64 bits wide; the driver copies them.
        unsafe {
            result::launch_kernel(
                launch.kernel as sys::CUfunction,
                (launch.blocks, 1, 1),
                (launch.threads, 1, 1),
                launch.shared,
                self.work,
                &mut args,
            )
        }
        .map_err(fault)
    }

    fn mark(&self) -> Result<u64, Fault> {
        self.enter()?;
        let mark = self.event()?;
        // SAFETY: the stream lives as long as the process.
        unsafe { event::record(mark, self.work) }.map_err(fault)?;
        Ok(mark as u64)
    }

    fn wait(&self, mark: u64) -> Result<(), Fault> {
        self.enter()?;
        let mark = mark as sys::CUevent;
        // SAFETY: it came from `mark`, and nobody else has it.
        let reached = unsafe { event::synchronize(mark) };
        self.give_back(mark);
        reached.map_err(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_is_said() {
        let of = |capability| CudaDevice {
            name: "a GPU".into(),
            capability,
            processors: 1,
            memory_bytes: 1 << 30,
            driver: 12_080,
        };
        assert_eq!((of((9, 0)).architecture(), of((12, 1)).architecture()), ("sm_90".into(), "sm_121".into()));
        assert_eq!((of((7, 0)).unusable(), of((7, 0)).cuda()), (None, "12.8".into()));
        assert_eq!(of((6, 1)).unusable().unwrap(), "its architecture is 6.1, 7.0 is needed");
    }
}
