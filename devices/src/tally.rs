//! How many rows a device has folded and scored, and how many the processor had to, and why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Unfit;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    folded: AtomicU64,
    scored: AtomicU64,
    refused: [AtomicU64; Unfit::ALL.len()],
}

impl Tally {
    pub(crate) fn folded(&self, rows: usize) {
        self.folded.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn scored(&self, rows: usize) {
        self.scored.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, unfit: Unfit, rows: usize) {
        self.refused[unfit as usize].fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> RowCounts {
        let refused = Unfit::ALL.into_iter().map(|unfit| (unfit, self.refused[unfit as usize].load(Ordering::Relaxed)));
        RowCounts {
            folded: self.folded.load(Ordering::Relaxed),
            scored: self.scored.load(Ordering::Relaxed),
            refused: refused.filter(|(_, rows)| *rows > 0).collect(),
        }
    }
}

/// Rows, by who has folded or scored them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// Folded into groups by the device.
    pub folded: u64,
    /// Scored with models by the device, each call for itself.
    pub scored: u64,
    /// The processor in its stead, and why.
    pub refused: Vec<(Unfit, u64)>,
}

impl fmt::Display for RowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows folded", self.folded)?;
        if self.scored > 0 {
            write!(f, ", {} scored", self.scored)?;
        }
        self.refused.iter().try_for_each(|(unfit, rows)| write!(f, ", {rows} on the processor ({unfit})"))
    }
}
