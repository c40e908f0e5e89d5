//! The machine: its processor, a clock, and the calibration in the user's cache.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pelton_engine::placement::Machine;

/// The machine that this process runs on.
#[derive(Clone, Debug)]
pub struct LocalMachine {
    start: Instant,
    /// Where the calibration lies; nowhere, if the user has no folder for it.
    file: Option<PathBuf>,
}

impl Default for LocalMachine {
    fn default() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
        LocalMachine { start: Instant::now(), file: cache.map(|cache| cache.join("pelton/calibration.json")) }
    }
}

impl Machine for LocalMachine {
    fn processor(&self) -> String {
        processor()
    }

    fn recall(&self) -> Option<String> {
        std::fs::read_to_string(self.file.as_ref()?).ok()
    }

    fn keep(&self, calibration: &str) {
        let Some((file, folder)) = self.file.as_ref().and_then(|file| Some((file, file.parent()?))) else { return };
        // Whoever reads meanwhile sees the old one or the new one. Without a cache the next run measures again.
        let beside = folder.join(format!(".calibration-{}", std::process::id()));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::File::create(&beside))
            .and_then(|mut new| new.write_all(calibration.as_bytes()))
            .and_then(|()| std::fs::rename(&beside, file));
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Model of the processor, or what kind it is where the system does not say.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| Some(l.split_once(':')?.1.trim().to_string()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calibration_is_kept_where_it_can_be() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("new/pelton/calibration.json");
        let machine = |file: Option<PathBuf>| LocalMachine { start: Instant::now(), file };
        let here = machine(Some(file.clone()));
        assert_eq!(here.recall(), None);
        here.keep("{}");
        here.keep("{\"processors\": {}}");
        assert_eq!(here.recall().as_deref(), Some("{\"processors\": {}}"));
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
        for nowhere in [None, Some(file.join("below/a file"))] {
            machine(nowhere.clone()).keep("{}");
            assert_eq!(machine(nowhere).recall(), None);
        }
    }
}
