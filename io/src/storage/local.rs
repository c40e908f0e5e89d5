//! A local directory. Writing is atomic: a temporary file, synced, renamed, and its directory synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use pelton_engine::connector::Storage;
use pelton_engine::error::{Error, Result};

/// Start of the names of files that are being written.
pub(crate) const TEMPORARY: &str = ".pelton-tmp-";

/// Tells apart what one process writes at once.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// Files below a local directory.
#[derive(Clone, Debug)]
pub struct LocalStorage {
    root: PathBuf,
}

impl LocalStorage {
    /// Keeps files below `root`, which is made when the first one is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        LocalStorage { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn failed(&self, what: &str, name: &str, cause: io::Error) -> Error {
        Error::world(format!("cannot {what} '{}'", self.local_path(name).display())).because(cause)
    }
}

impl Storage for LocalStorage {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        put_file(&self.local_path(name), bytes).map_err(|e| self.failed("write", name, e))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match fs::read(self.local_path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(self.failed("read", name, e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = vec![];
        // Only the directory that the prefix leads to needs a look.
        let below = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        collect(&self.local_path(below), below, &mut names).map_err(|e| self.failed("list", below, e))?;
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.local_path(name)) {
            Ok(()) => Ok(()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            Err(e) => Err(self.failed("remove", name, e)),
        }
    }

    fn local_path(&self, name: &str) -> PathBuf {
        assert!(name.split('/').all(|part| part != ".."), "names stay below the root");
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send>>> {
        let path = self.local_path(name);
        let opened = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
        let file = opened.map_err(|e| self.failed("write", name, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(self.failed("lock", name, e)),
        }
    }
}

fn collect(directory: &Path, name: &str, into: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if own.starts_with(TEMPORARY) {
            continue;
        }
        let full = if name.is_empty() { own } else { format!("{name}/{own}") };
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), &full, into)?,
            false => into.push(full),
        }
    }
    Ok(())
}

/// Writes a whole file, making its directory: readers see all of it or none, also after a crash.
pub fn put_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_for(path)?;
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| reveal(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

/// A hidden name next to `path` for a file that is to become it; makes the directory.
pub fn temporary_for(path: &Path) -> io::Result<PathBuf> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    Ok(directory.join(format!("{TEMPORARY}{}-{number}", std::process::id())))
}

/// Gives a finished, synced file its name, and makes that last.
pub fn reveal(temporary: &Path, path: &Path) -> io::Result<()> {
    fs::rename(temporary, path)?;
    sync_directory(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Whether a process of this number is gone for certain.
pub fn is_gone(process: u32) -> bool {
    process != std::process::id()
        && Path::new("/proc/self").exists()
        && !Path::new(&format!("/proc/{process}")).exists()
}

/// Makes renames in a directory last. Only Unix can, and only there it is needed.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check_storage;
    use super::*;

    #[test]
    fn puts_gets_lists_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(dir.path().join("made/later"));
        check_storage(&storage);
        assert_eq!(storage.local_path("b/2"), dir.path().join("made/later/b/2"));
    }

    #[test]
    fn a_lock_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(dir.path().join("made/later"));
        let held = storage.lock("lock").unwrap().expect("nobody has it");
        assert!(storage.lock("lock").unwrap().is_none());
        drop(held);
        assert!(storage.lock("lock").unwrap().is_some());
    }

    #[test]
    fn half_written_files_are_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let storage = LocalStorage::new(dir.path());
        std::fs::write(temporary_for(&dir.path().join("a")).unwrap(), "half").unwrap();
        assert_eq!(storage.list("").unwrap(), Vec::<String>::new());
        std::fs::create_dir(dir.path().join("taken")).unwrap();
        std::fs::write(dir.path().join("taken/x"), "").unwrap();
        let error = storage.put("taken", b"bytes").unwrap_err();
        assert!(error.to_string().contains("cannot write '") && error.exit_code() == 1, "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "the temporary file of the failed put is gone");
    }
}
