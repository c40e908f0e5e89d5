//! A driver that plays a GPU on the processor, for tests: CUDA texts are compiled by the C++ compiler behind a page that defines
//! what CUDA has and C++ has not (`emulated.hpp`), blocks run one after the other, and the threads of a block side by side.
//!
//! What it verifies: what a kernel computes, with real threads and atomics. What it does not: how a GPU orders memory, and
//! anything of NVIDIA's compiler and driver; the GPU's own run does.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use libloading::Library;

use super::api::{Api, Compiled, Fault, KERNELS_MAX, Launch, Module, Names};
use crate::Unfit;

const SHIM: &str = include_str!("emulated.hpp");
/// Threads of a block: fewer than a GPU's, since each is a thread of the system.
const THREADS: u32 = 4;

/// See the module.
pub(crate) struct Emulated {
    folder: PathBuf,
    texts: Mutex<HashMap<String, (Library, Module)>>,
    used: AtomicU64,
    /// Bytes that there are.
    pub device_bytes: u64,
    /// Set: the next call fails as a lost device's does.
    pub lost: AtomicBool,
    /// Set: kernels are never ready.
    pub slow: AtomicBool,
    /// Set: kernels can not be compiled.
    pub broken: AtomicBool,
}

impl Emulated {
    pub(super) fn new(device_bytes: u64) -> Arc<Emulated> {
        Arc::new(Emulated {
            folder: folder(),
            texts: Mutex::default(),
            used: AtomicU64::new(0),
            device_bytes,
            lost: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        })
    }

    /// Bytes of the device that are in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn alive(&self) -> Result<(), Fault> {
        if self.lost.load(Ordering::Relaxed) { Err(Fault("it was lost".into())) } else { Ok(()) }
    }

    fn build(&self, text: &str, names: Names, number: usize) -> Result<(Library, Module), String> {
        let path = |end: &str| self.folder.join(format!("{number}.{end}"));
        std::fs::write(path("cpp"), format!("{SHIM}\n{text}\n")).map_err(|error| error.to_string())?;
        compile(&path("cpp"), &path("so"))?;
        // SAFETY: it has no initialisers.
        let library = unsafe { Library::new(path("so")) }.map_err(|error| error.to_string())?;
        let mut kernels = [0; KERNELS_MAX];
        for (place, name) in kernels.iter_mut().zip(names) {
            // SAFETY: it is looked up as an address alone.
            let symbol = unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) };
            *place = *symbol.map_err(|error| error.to_string())? as usize as u64;
        }
        Ok((library, Module(kernels)))
    }
}

/// A folder of our own for texts.
fn folder() -> PathBuf {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("pelton-cuda-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for texts");
    folder
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn compile(from: &Path, to: &Path) -> Result<(), String> {
    let options = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-w", "-o"];
    let made = Command::new("c++").args(options).arg(to).arg(from).output().map_err(|error| format!("c++: {error}"))?;
    if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).into_owned()) }
}

fn layout(bytes: u64) -> Layout {
    Layout::from_size_align(bytes as usize, 256).expect("a size")
}

/// Plays one thread: kernel, block, blocks, thread, threads, what waits for the block's others, arguments.
type Play = unsafe extern "C" fn(u64, u32, u32, u32, u32, extern "C" fn(), *const u64);

thread_local! {
    static BLOCK: RefCell<Option<Arc<Barrier>>> = const { RefCell::new(None) };
}

extern "C" fn await_block() {
    BLOCK.with_borrow(|block| block.as_ref().expect("a thread of a block").wait());
}

impl Api for Emulated {
    fn name(&self) -> String {
        "cuda:emulated".into()
    }

    fn processors(&self) -> u32 {
        2
    }

    fn shared_max(&self) -> u32 {
        64 << 10
    }

    fn compile(&self, text: &str, names: Names, wait: bool) -> Compiled {
        if self.slow.load(Ordering::Relaxed) && !wait {
            return Compiled::Pending;
        }
        if self.broken.load(Ordering::Relaxed) {
            return Compiled::Failed("there is no compiler".into());
        }
        let mut texts = self.texts.lock().expect("no panic holds this lock");
        if let Some((_, module)) = texts.get(text) {
            return Compiled::Ready(*module);
        }
        match self.build(text, names, texts.len()) {
            Ok((library, module)) => {
                texts.insert(text.into(), (library, module));
                Compiled::Ready(module)
            }
            Err(message) => Compiled::Failed(message),
        }
    }

    fn alloc(&self, bytes: u64) -> Result<u64, Unfit> {
        if self.used.fetch_add(bytes, Ordering::Relaxed) + bytes > self.device_bytes {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Unfit::Memory);
        }
        // SAFETY: it is not of size 0. Filled, since what is in fresh memory is anything.
        let at = unsafe {
            let at = alloc_zeroed(layout(bytes));
            at.write_bytes(0xcd, bytes as usize);
            at
        };
        Ok(at as u64)
    }

    fn free(&self, at: u64, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        // SAFETY: it came from `alloc` with so many bytes.
        unsafe { dealloc(at as *mut u8, layout(bytes)) };
    }

    fn pin(&self, bytes: usize) -> Result<*mut u8, Unfit> {
        // SAFETY: it is not of size 0.
        Ok(unsafe { alloc_zeroed(layout(bytes as u64)) })
    }

    fn unpin(&self, at: *mut u8, bytes: usize) {
        // SAFETY: it came from `pin` with so many bytes.
        unsafe { dealloc(at, layout(bytes as u64)) };
    }

    fn zero(&self, at: u64, bytes: u64) -> Result<(), Fault> {
        self.alive()?;
        // SAFETY: so many bytes are allocated there.
        unsafe { (at as *mut u8).write_bytes(0, bytes as usize) };
        Ok(())
    }

    fn copy_in(&self, from: *const u8, bytes: u64, to: u64) -> Result<(), Fault> {
        self.alive()?;
        // SAFETY: so many bytes are allocated on both sides.
        unsafe { std::ptr::copy_nonoverlapping(from, to as *mut u8, bytes as usize) };
        Ok(())
    }

    fn copy_out(&self, from: u64, bytes: u64, to: *mut u8) -> Result<(), Fault> {
        self.alive()?;
        // SAFETY: so many bytes are allocated on both sides.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to, bytes as usize) };
        Ok(())
    }

    fn copy(&self, from: u64, bytes: u64, to: u64) -> Result<(), Fault> {
        self.copy_out(from, bytes, to as *mut u8)
    }

    fn launch(&self, launch: Launch<'_>) -> Result<(), Fault> {
        self.alive()?;
        let texts = self.texts.lock().expect("no panic holds this lock");
        let of = |(_, module): &&(Library, Module)| module.0.contains(&launch.kernel);
        let (library, _) = texts.values().find(of).expect("a kernel of some text");
        let mut args = [0; 12];
        args[..launch.args.len()].copy_from_slice(launch.args);
        // SAFETY: it is the page's.
        let play = unsafe { library.get::<Play>(b"play") }.expect("every text has it");
        for block in 0..launch.blocks {
            let together = Arc::new(Barrier::new(THREADS as usize));
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (together, play, args) = (together.clone(), &play, &args);
                    scope.spawn(move || {
                        BLOCK.set(Some(together));
                        // SAFETY: the kernel is one of the library's, and takes as many of the arguments as it has.
                        unsafe {
                            play(launch.kernel, block, launch.blocks, thread, THREADS, await_block, args.as_ptr())
                        }
                    });
                }
            });
        }
        Ok(())
    }

    fn mark(&self) -> Result<u64, Fault> {
        self.alive().map(|()| 0)
    }

    fn wait(&self, _: u64) -> Result<(), Fault> {
        self.alive()
    }
}
