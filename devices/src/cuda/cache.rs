//! Machine code of texts that were compiled before, on disk: `$XDG_CACHE_HOME/pelton/cubin` or `~/.cache/pelton/cubin`.
//!
//! A file is named by a hash of the text, the options and the architecture, then by the compiler's version. Where there is no
//! compiler, what any version has made serves: a folder that was filled on another machine is enough for one with a driver alone.

use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

use super::nvrtc::{CudaCompiler, OPTIONS};

/// Where it is; `None` without a home.
pub fn cubin_folder() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from).or_else(home)?;
    Some(cache.join("pelton").join("cubin"))
}

fn stem(text: &str, architecture: &str) -> String {
    let all = format!("{text}\0{architecture}\0{}", OPTIONS.join("\0"));
    format!("{:032x}", xxh3_128(all.as_bytes()))
}

/// The code of a text, if it was compiled before.
pub(crate) fn load(text: &str, architecture: &str) -> Option<Vec<u8>> {
    let (folder, stem) = (cubin_folder()?, stem(text, architecture));
    if let Ok(CudaCompiler { version: (major, minor) }) = CudaCompiler::find() {
        return std::fs::read(folder.join(format!("{stem}-{major}.{minor}.cubin"))).ok();
    }
    let mut there = std::fs::read_dir(folder).ok()?.flatten();
    let file = there.find(|file| file.file_name().to_string_lossy().starts_with(&stem))?;
    std::fs::read(file.path()).ok()
}

/// Keeps the code of a text. Where that can not be done it is compiled again next time.
pub(crate) fn keep(text: &str, architecture: &str, compiler: CudaCompiler, cubin: &[u8]) {
    let Some(folder) = cubin_folder() else { return };
    let (major, minor) = compiler.version;
    let name = format!("{}-{major}.{minor}.cubin", stem(text, architecture));
    // Two processes may write at once: each to a file of its own, and the last to finish gives it its name.
    let draft = folder.join(format!("{name}.{}", std::process::id()));
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&draft, cubin));
    if written.is_ok() {
        let _ = std::fs::rename(&draft, folder.join(name));
    }
}
