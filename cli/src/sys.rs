//! The calls of the operating system that the command and the benchmark worker need and the standard library lacks.

use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::buffer::Buffer;

/// Processor time of this process so far, user and system, in seconds.
pub fn cpu_seconds() -> f64 {
    // SAFETY: all-zero bytes are a valid `rusage`: it holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable and lives through the call.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Keeps this thread, and those it will start, on one core.
pub fn pin(core: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: all-zero bytes are the empty `cpu_set_t`.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        if core >= 8 * size_of::<libc::cpu_set_t>() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: `core` is a bit of `set`, as checked above.
        unsafe { libc::CPU_SET(core, &mut set) };
        // SAFETY: `set` is readable, with the size that is given.
        if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = core;
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// Freed memory goes back to the system after ten seconds (jemalloc's default), unless MIMALLOC_PURGE_DELAY says otherwise:
/// columns and groups of one window take the place of those before, and clearing pages costs as much as decoding them. To be called
/// before anything else is: in `main`, or as Python loads the library.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: no other thread uses this allocator yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 10_000) };
}

/// From here on the process gets small pages. Huge ones are for throughput: while the system clears one, which may take milliseconds, rows
/// wait that should be answered at once.
pub fn small_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: it takes numbers and changes what later faults get. Where the kernel does not know it, all stays as it was.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Gives freed memory back to the system, so that the next run's peak is its own.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A file in memory, read only, as long as somebody holds a buffer over it.
struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
}

// SAFETY: nobody writes to the mapping, so that any thread may read it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what `mmap` gave, and no buffer over it is left.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
    }
}

/// Maps a whole file. It must not be changed or cut short while the buffer lives.
pub fn map(path: &Path) -> io::Result<Buffer> {
    use std::os::fd::AsRawFd;
    let file = File::open(path)?;
    let bytes = usize::try_from(file.metadata()?.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    if bytes == 0 {
        return Ok(Buffer::from(&[] as &[u8]));
    }
    // SAFETY: a new mapping at a place that the system chooses; the file is open and `bytes` long.
    let address =
        unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let address = NonNull::new(address.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let mapping = Arc::new(Mapping { address, bytes });
    // SAFETY: `bytes` bytes are readable from `address` on until the mapping, which the buffer owns, is dropped.
    Ok(unsafe { Buffer::from_custom_allocation(address, bytes, mapping) })
}
