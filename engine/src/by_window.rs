//! Digests by window: with them `verify` says not only that a sink differs but which of its windows.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use pelton_kernels::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::operators::{show_time, times_us};

/// Stretches of time that are told apart.
const STRETCHES_MAX: usize = 4096;

/// Digests of a sink's rows by the end of their window, in stretches of one width. The width starts at 1 µs, so that each
/// window has a digest of its own, and doubles when there are too many; what it ends at follows from the set of ends and
/// not from their order, so two runs over the same input can be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowDigests {
    /// The width is 2 to this power, in µs.
    power: u32,
    /// Digest by number of the stretch.
    stretches: BTreeMap<i64, String>,
    #[serde(skip)]
    open: BTreeMap<i64, Digest>,
}

impl WindowDigests {
    /// The digest of a batch, and its parts: one for each run of rows with the same window end. Column `at` plus `plus` µs
    /// is the end.
    pub fn parts(batch: &RecordBatch, at: usize, plus: i64) -> (Digest, Vec<(i64, Digest)>) {
        let ends = times_us(batch.column(at));
        let (mut whole, mut parts) = (Digest::default(), vec![]);
        let mut start = 0;
        for run in ends.chunk_by(|a, b| a == b) {
            let mut digest = Digest::default();
            digest.update(&batch.slice(start, run.len()));
            start += run.len();
            whole.merge(&digest);
            parts.push((run[0] + plus, digest));
        }
        (whole, parts)
    }

    /// Adds rows of windows that end at these times.
    pub fn add(&mut self, parts: &[(i64, Digest)]) {
        for (end, digest) in parts {
            self.open.entry(end >> self.power).or_default().merge(digest);
            while self.open.len() > STRETCHES_MAX {
                self.power += 1;
                let mut wider: BTreeMap<i64, Digest> = BTreeMap::new();
                for (stretch, digest) in std::mem::take(&mut self.open) {
                    wider.entry(stretch >> 1).or_default().merge(&digest);
                }
                self.open = wider;
            }
        }
    }

    /// Puts the digests into the form that is kept.
    pub fn close(&mut self) {
        self.stretches = self.open.iter().map(|(stretch, digest)| (*stretch, digest.to_string())).collect();
    }

    /// Goes on from the form that is kept.
    pub fn reopen(&mut self) {
        let digest = |text: &String| text.parse().unwrap_or_default();
        self.open = self.stretches.iter().map(|(stretch, text)| (*stretch, digest(text))).collect();
    }

    /// The windows whose rows differ, in words; nothing if none does or if the two can't be compared.
    pub fn differences(&self, other: &WindowDigests) -> Vec<String> {
        if self.power != other.power {
            return vec![];
        }
        let mut ends: Vec<i64> = self.stretches.keys().chain(other.stretches.keys()).copied().collect();
        ends.sort_unstable();
        ends.dedup();
        ends.retain(|end| self.stretches.get(end) != other.stretches.get(end));
        let show = |stretch: &i64| {
            let (first, last) = (stretch << self.power, ((stretch + 1) << self.power) - 1);
            if first == last {
                format!("windows that end at {}", show_time(first))
            } else {
                format!("windows that end from {} to {}", show_time(first), show_time(last))
            }
        };
        ends.iter().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};

    use super::*;

    fn batch(ends: &[i64], values: &[i64]) -> RecordBatch {
        let ends: ArrayRef = Arc::new(TimestampMillisecondArray::from(ends.to_vec()));
        let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("window_end", ends), ("n", values)]).unwrap()
    }

    fn closed(batches: &[RecordBatch]) -> WindowDigests {
        let mut all = WindowDigests::default();
        for batch in batches {
            let (whole, parts) = WindowDigests::parts(batch, 0, 0);
            let mut plain = Digest::default();
            plain.update(batch);
            assert_eq!(whole, plain);
            all.add(&parts);
        }
        all.close();
        all
    }

    #[test]
    fn the_window_that_differs_is_named() {
        let a = closed(&[batch(&[1000, 1000, 2000], &[1, 2, 3]), batch(&[3000], &[4])]);
        let b = closed(&[batch(&[3000, 2000], &[4, 9]), batch(&[1000, 1000], &[2, 1])]);
        assert_eq!(a.differences(&a.clone()), Vec::<String>::new());
        assert_eq!(a.differences(&b), ["windows that end at 1970-01-01 00:00:02"]);
        let kept: WindowDigests = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(kept.differences(&b), a.differences(&b), "the same after it was written and read");
    }

    #[test]
    fn many_windows_share_stretches_whatever_their_order() {
        let ends: Vec<i64> = (0..10_000).map(|i| i * 60_000).collect();
        let values: Vec<i64> = (0..10_000).collect();
        let forwards = closed(&[batch(&ends, &values)]);
        let turned: Vec<i64> = ends.iter().rev().copied().collect();
        let mut changed: Vec<i64> = values.iter().rev().copied().collect();
        assert_eq!(forwards.differences(&closed(&[batch(&turned, &changed)])), Vec::<String>::new());
        changed[0] = -1;
        let found = forwards.differences(&closed(&[batch(&turned, &changed)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("windows that end from 1970-01-07 22:"), "{found:?}");
    }
}
