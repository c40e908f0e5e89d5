//! Models whose file is read again while a query runs (`'reload.interval'`).
//!
//! Which version scores a row is told by the row's event time: a version counts from a time on that is beyond that of all rows
//! scored before it came. So it is the same for a row in every batch and on every thread, after a restart and in a replay; and
//! rows may wait between their source and their score. A new version begins at an epoch boundary, with the checkpoint that says so.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use pelton_models::Model;
use serde::{Deserialize, Serialize};

use crate::batch::MARK_MIN;
use crate::connector::Storage;
use crate::error::{Error, Result};

/// A model as a file had it.
pub struct Version {
    /// XXH3-128 of the file.
    pub digest: String,
    /// The file.
    pub bytes: Arc<[u8]>,
    /// What it holds.
    pub model: Model,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)
    }
}

/// The versions of a model, by event time.
#[derive(Debug)]
pub struct Versions {
    /// From which event time on (µs) each counts, ascending; the first from the beginning.
    all: RwLock<Vec<(i64, Arc<Version>)>>,
    /// The latest event time that was scored.
    latest: AtomicI64,
    /// One that has come, and waits for the next epoch.
    offered: Mutex<Option<Arc<Version>>>,
    in_use: AtomicBool,
}

/// What a checkpoint and a history say of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// The latest event time that was scored, µs.
    pub latest: i64,
    /// From which event time on each version counts, and its digest. The files are beside, by digest.
    pub versions: Vec<(i64, String)>,
}

/// What checkpoints and histories keep of all models.
#[derive(Clone, Debug, Default)]
pub struct KeptModels {
    /// By name.
    pub states: BTreeMap<String, ModelState>,
    /// The files of their versions.
    pub files: Vec<Arc<Version>>,
}

/// Where the file of a version lies.
fn file_name(digest: &str) -> String {
    format!("models/{digest}")
}

impl Versions {
    /// With one version.
    pub fn new(first: Version) -> Self {
        Versions {
            all: RwLock::new(vec![(MARK_MIN, Arc::new(first))]),
            latest: AtomicI64::new(MARK_MIN),
            offered: Mutex::default(),
            in_use: AtomicBool::new(false),
        }
    }

    /// Runs of rows with these event times (µs), each with the version that scores it.
    pub fn score<T>(&self, times: &[i64], mut of: impl FnMut(Range<usize>, &Version) -> T) -> Vec<T> {
        // Nobody adds a version while rows are scored, and what is added later is beyond their times.
        let all = self.read();
        let latest = times.iter().copied().max().unwrap_or(MARK_MIN);
        self.latest.fetch_max(latest, Ordering::Relaxed);
        let version = |time: &i64| all.partition_point(|(from, _)| from <= time).max(1) - 1;
        let mut parts = vec![];
        let mut start = 0;
        while start < times.len() {
            let own = version(&times[start]);
            let len = times[start..].iter().take_while(|time| version(time) == own).count();
            parts.push(of(start..start + len, &all[own].1));
            start += len;
        }
        parts
    }

    /// The digest of the newest version, begun or not.
    pub fn newest(&self) -> String {
        let offered = self.offered().as_ref().map(|version| version.digest.clone());
        offered.unwrap_or_else(|| self.read().last().map_or(String::new(), |(_, version)| version.digest.clone()))
    }

    /// One that counts from the next epoch on.
    pub fn offer(&self, version: Version) {
        *self.offered() = Some(Arc::new(version));
    }

    /// At the boundary of an epoch: begins what was offered, and says what holds.
    pub fn turn(&self) -> (ModelState, Vec<Arc<Version>>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let latest = self.latest.load(Ordering::Relaxed);
        if let Some(version) = self.offered().take() {
            match latest {
                // Nothing was scored by the one before.
                MARK_MIN => *all = vec![(MARK_MIN, version)],
                latest => all.push((latest.saturating_add(1), version)),
            }
        }
        let versions = all.iter().map(|(from, version)| (*from, version.digest.clone())).collect();
        (ModelState { latest, versions }, all.iter().map(|(_, version)| version.clone()).collect())
    }

    /// Goes on from what was kept. `read` makes a version of a file.
    pub fn restore(
        &self,
        kept: &ModelState,
        storage: &dyn Storage,
        read: impl Fn(Vec<u8>) -> Result<Version>,
    ) -> Result<()> {
        let one = |(from, digest): &(i64, String)| {
            let name = file_name(digest);
            let bytes = storage.get(&name)?.ok_or_else(|| Error::world(format!("{name} has gone")))?;
            let version = read(bytes)?;
            match version.digest == *digest {
                true => Ok((*from, Arc::new(version))),
                false => Err(Error::world(format!("{name} is not the file that it was"))),
            }
        };
        let versions = kept.versions.iter().map(one).collect::<Result<Vec<_>>>()?;
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = versions;
        self.latest.store(kept.latest, Ordering::Relaxed);
        *self.offered() = None;
        Ok(())
    }

    /// Begins anew with this version.
    pub fn begin(&self, first: Version) {
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = vec![(MARK_MIN, Arc::new(first))];
        self.latest.store(MARK_MIN, Ordering::Relaxed);
        *self.offered() = None;
    }

    /// Takes it for one run; `None` if another has it.
    pub fn claim(self: &Arc<Self>) -> Option<Claim> {
        (!self.in_use.swap(true, Ordering::Relaxed)).then(|| Claim(self.clone()))
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<(i64, Arc<Version>)>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn offered(&self) -> MutexGuard<'_, Option<Arc<Version>>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a run has the versions of a model to itself.
#[derive(Debug)]
pub struct Claim(Arc<Versions>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.in_use.store(false, Ordering::Relaxed);
    }
}

impl KeptModels {
    /// Begins, in all of these, the versions that were offered; says what holds from now on.
    pub fn turn(models: &[(String, Arc<Versions>)]) -> Self {
        let mut kept = KeptModels::default();
        for (name, versions) in models {
            let (state, files) = versions.turn();
            kept.states.insert(name.clone(), state);
            kept.files.extend(files);
        }
        kept
    }

    /// Writes the files that are not there.
    pub fn put_files(&self, storage: &dyn Storage) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let there = storage.list("models/")?;
        let missing = self.files.iter().map(|version| (file_name(&version.digest), version));
        missing
            .filter(|(name, _)| !there.contains(name))
            .try_for_each(|(name, version)| storage.put(&name, &version.bytes))
    }
}
