//! How many rows a device has folded, and how many the processor had to, and why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Unfit;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    folded: AtomicU64,
    refused: [AtomicU64; Unfit::ALL.len()],
}

impl Tally {
    pub(crate) fn folded(&self, rows: usize) {
        self.folded.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, unfit: Unfit, rows: usize) {
        self.refused[unfit as usize].fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn rows(&self) -> RowCounts {
        let refused = Unfit::ALL.into_iter().map(|unfit| (unfit, self.refused[unfit as usize].load(Ordering::Relaxed)));
        RowCounts {
            folded: self.folded.load(Ordering::Relaxed),
            refused: refused.filter(|(_, rows)| *rows > 0).collect(),
        }
    }
}

/// Rows, by who has folded them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowCounts {
    /// The device.
    pub folded: u64,
    /// The processor in its stead, and why.
    pub refused: Vec<(Unfit, u64)>,
}

impl fmt::Display for RowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows folded", self.folded)?;
        self.refused.iter().try_for_each(|(unfit, rows)| write!(f, ", {rows} on the processor ({unfit})"))
    }
}
