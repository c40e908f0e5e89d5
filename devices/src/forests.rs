//! Models' forests on devices: what all of them have in common.
//!
//! Comes in: the digest of a model's file, the model, columns of doubles. Goes out: scores with the processor's bits, or nothing, and
//! then they are the processor's business. A device has a copy of each forest that it was asked for, by digest; how it walks one is its own
//! matter ([`Walker`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use pelton_kernels::program::ProgramError;
use pelton_models::{ByteForest, ForestDevice, Found, Model, Scores};

use crate::Unfit;
use crate::tally::Tally;

/// Forests that a device keeps; those that were used last.
const KEPT_MAX: usize = 16;

/// Why a device has not walked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The processor has to, this time.
    Unfit(Unfit),
    /// It has failed, and will again.
    Failed,
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Refusal::Unfit(unfit)
    }
}

impl From<ProgramError> for Refusal {
    fn from(_: ProgramError) -> Self {
        Refusal::Failed
    }
}

/// A forest on a device.
pub(crate) trait Walker: Send + Sync {
    /// Rows that it takes at once.
    fn rows_max(&self) -> usize;
    /// Takes rows down the trees. The ends if they are wanted, else what is cheaper.
    fn walk(&self, columns: &[&[f64]], rows: usize, ends: bool) -> Result<Found, Refusal>;
}

/// What a device does for its forests.
pub(crate) trait Loader: Send + Sync {
    /// Its copies.
    type Copy: Walker;
    /// As [`ForestDevice::name`].
    fn name(&self) -> String;
    /// Counts.
    fn tally(&self) -> &Tally;
    /// Where its copies are.
    fn kept(&self) -> &Kept<Self::Copy>;
    /// Makes a copy.
    fn load(&self, forest: &Arc<ByteForest>) -> Result<Self::Copy, Refusal>;
    /// Bytes of a row on the bus, there and back.
    fn row_bytes(&self, forest: &ByteForest) -> usize;
}

/// A device's copies, the one that was used last at the end.
pub(crate) struct Kept<W>(Mutex<Vec<Arc<Entry<W>>>>);

impl<W> Default for Kept<W> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

struct Entry<W> {
    digest: String,
    /// The forest, or why devices do not walk it.
    forest: Result<Arc<ByteForest>, String>,
    copy: Mutex<Option<Arc<W>>>,
    /// The device has failed here, and is not asked again.
    failed: AtomicBool,
}

impl<W> Kept<W> {
    /// What is known of a model's forest.
    fn entry(&self, digest: &str, model: &Model) -> Arc<Entry<W>> {
        let mut kept = self.0.lock().expect("no panic holds this lock");
        let entry = match kept.iter().position(|entry| entry.digest == digest) {
            Some(at) => kept.remove(at),
            None => {
                let forest = model.byte_forest().map(Arc::new);
                let (copy, failed) = (Mutex::default(), AtomicBool::new(false));
                Arc::new(Entry { digest: digest.into(), forest, copy, failed })
            }
        };
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(entry.clone());
        entry
    }
}

/// A device, as something that walks forests.
pub(crate) struct Forests<D>(pub Arc<D>);

impl<D: Loader> Forests<D> {
    fn entry(&self, digest: &str, model: &Model) -> Arc<Entry<D::Copy>> {
        self.0.kept().entry(digest, model)
    }

    /// Walks, a part of the rows after the other, and gives what is read of each.
    fn walked<A>(
        &self,
        digest: &str,
        model: &Model,
        columns: &[&[f64]],
        ends: bool,
        read: impl Fn(&ByteForest, &Found, usize) -> A,
    ) -> Option<Vec<A>> {
        let rows = columns.first().map_or(0, |column| column.len());
        let entry = self.entry(digest, model);
        let forest = entry.forest.as_ref().ok().filter(|_| rows > 0)?;
        let tally = self.0.tally();
        if entry.failed.load(Ordering::Relaxed) {
            tally.refused(Unfit::Failed, rows);
            return None;
        }
        let all = || {
            let copy = self.copy(&entry, forest)?;
            let most = copy.rows_max();
            let part = |first: usize| {
                let count = most.min(rows - first);
                let columns: Vec<&[f64]> = columns.iter().map(|column| &column[first..first + count]).collect();
                copy.walk(&columns, count, ends).map(|found| read(forest, &found, count))
            };
            (0..rows).step_by(most).map(part).collect::<Result<Vec<A>, Refusal>>()
        };
        match all() {
            Ok(answers) => {
                tally.scored(rows);
                Some(answers)
            }
            Err(Refusal::Unfit(unfit)) => {
                tally.refused(unfit, rows);
                None
            }
            Err(Refusal::Failed) => {
                entry.failed.store(true, Ordering::Relaxed);
                tally.refused(Unfit::Failed, rows);
                None
            }
        }
    }

    fn copy(&self, entry: &Entry<D::Copy>, forest: &Arc<ByteForest>) -> Result<Arc<D::Copy>, Refusal> {
        let mut copy = entry.copy.lock().expect("no panic holds this lock");
        if let Some(copy) = &*copy {
            return Ok(copy.clone());
        }
        let loaded = Arc::new(self.0.load(forest)?);
        *copy = Some(loaded.clone());
        Ok(loaded)
    }
}

impl<D: Loader> ForestDevice for Forests<D> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn stop(&self, digest: &str, model: &Model) -> Option<String> {
        self.entry(digest, model).forest.as_ref().err().cloned()
    }

    fn row_bytes(&self, digest: &str, model: &Model) -> Option<usize> {
        self.entry(digest, model).forest.as_ref().ok().map(|forest| self.0.row_bytes(forest))
    }

    fn raw(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores> {
        let read = |forest: &ByteForest, found: &Found, rows: usize| model.raw_found(forest, found, rows);
        self.walked(digest, model, columns, false, read).map(Scores::concat)
    }

    fn predict(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Scores> {
        let read = |forest: &ByteForest, found: &Found, rows: usize| model.predict_found(forest, found, rows);
        self.walked(digest, model, columns, false, read).map(Scores::concat)
    }

    fn leaves(&self, digest: &str, model: &Model, columns: &[&[f64]]) -> Option<Vec<u32>> {
        let read = |forest: &ByteForest, found: &Found, rows: usize| model.leaves_found(forest, found, rows);
        self.walked(digest, model, columns, true, read).map(|parts| parts.concat())
    }
}
