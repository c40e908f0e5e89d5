//! Poison: a record on which the run ends whenever it comes to it, because of a bug. It is narrowed down from restart to restart,
//! and in the end left out as a dead letter.
//!
//! A run that ends while a micro-batch is computed says of which records that was. Once two runs in a row have ended at the same
//! records, the next one computes these in two halves, each in micro-batches of their own, until one record alone ends the run.
//! From then on it is taken out before it gets anywhere: it is in no answer and no history, and advances no watermark.
//!
//! Only bugs count: an error of a disk or a device says nothing about the records at hand. And what looks like a bug in every
//! record is none of theirs: after [`LETTERS_MAX`] of them without a checkpoint, the error is the answer.

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use crate::batch::{MicroBatch, Offsets, Origin, internal};
use crate::connector::{DeadLetter, LetterKind};
use crate::error::Result;
use crate::expr::letter;
use crate::intake::Prepared;

/// Records in a row that may be found to be poison without a checkpoint between.
const LETTERS_MAX: usize = 8;

/// So many runs must end at the same records before these are taken apart.
const RUNS: u32 = 2;

/// Records of one partition: `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    /// Index of the source in the graph.
    pub source: usize,
    /// Partition within the source.
    pub partition: u32,
    /// Offset of the first.
    pub from: u64,
    /// Offset behind the last.
    pub to: u64,
}

impl Records {
    fn common(&self, other: &Records) -> Option<Records> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        let same = (self.source, self.partition) == (other.source, other.partition);
        (same && from < to).then_some(Records { from, to, ..*self })
    }

    fn len(&self) -> u64 {
        self.to - self.from
    }
}

/// What the runs of a pipeline have ended at.
#[derive(Debug, Default)]
pub struct Suspects {
    /// Where the run that is on ended, if it has.
    ended: Option<Records>,
    /// The least that all of the last runs have ended at, and how many runs that were.
    suspect: Option<(Records, u32)>,
    /// Records to leave out, with why.
    poison: Vec<(Records, String)>,
    /// How many of these were found since the last checkpoint.
    since_checkpoint: usize,
}

impl Suspects {
    /// The run has ended in the middle of these records.
    pub(super) fn end(&mut self, records: Records) {
        self.ended.get_or_insert(records);
    }

    /// What to make of the end of a run, of which this is the reason; `progress`: there was a checkpoint. True if the next run
    /// will know more.
    pub fn learn(&mut self, why: &str, progress: bool) -> bool {
        if progress {
            self.since_checkpoint = 0;
        }
        let Some(ended) = self.ended.take() else {
            self.suspect = None;
            return false;
        };
        let (suspect, runs) = match &self.suspect {
            Some((before, runs)) => match before.common(&ended) {
                Some(common) => (common, runs + 1),
                None => (ended, 1),
            },
            None => (ended, 1),
        };
        let narrower = self.suspect.as_ref().is_some_and(|(before, _)| suspect.len() < before.len());
        self.suspect = Some((suspect, runs));
        if ended.len() > 1 || runs < RUNS {
            return narrower || runs == RUNS;
        }
        if self.since_checkpoint == LETTERS_MAX {
            return false;
        }
        self.since_checkpoint += 1;
        self.poison.push((ended, why.to_string()));
        self.suspect = None;
        true
    }

    /// Offsets of a partition at which a micro-batch must begin, ascending.
    pub(super) fn cuts(&self, source: usize, partition: u32) -> Vec<u64> {
        match &self.suspect {
            Some((records, runs)) if *runs >= RUNS && (records.source, records.partition) == (source, partition) => {
                vec![records.from, records.from + records.len() / 2, records.to]
            }
            _ => vec![],
        }
    }

    /// The records of a partition that are left out, with why.
    fn of(&self, source: usize, partition: u32) -> Vec<(u64, &str)> {
        let here = |(records, _): &&(Records, String)| (records.source, records.partition) == (source, partition);
        self.poison.iter().filter(here).map(|(records, why)| (records.from, why.as_str())).collect()
    }

    /// Takes poison out of the rows of a chunk that begins at `base`; its letters, like the rows, count from there.
    pub(super) fn take_out(
        &self,
        (source, partition): (usize, u32),
        (name, base): (&str, u64),
        rows: Prepared,
    ) -> Result<(Prepared, Vec<DeadLetter>)> {
        let poison = self.of(source, partition);
        let n = rows.columns.num_rows();
        let offset = |row: usize| base + rows.offsets.get(row);
        let why = |row: usize| poison.iter().find(|(at, _)| *at == offset(row)).map(|(_, why)| *why);
        if poison.is_empty() || n == 0 || !poison.iter().any(|(at, _)| (offset(0)..=offset(n - 1)).contains(at)) {
            return Ok((rows, vec![]));
        }
        let origin = Origin {
            source: name.into(),
            partition,
            columns: rows.shown.as_ref().or(rows.raw.as_ref()).unwrap_or(&rows.columns).clone(),
            offsets: rows.offsets.clone(),
            time: None,
        };
        let shown = MicroBatch {
            partition,
            offsets: rows.offsets.clone(),
            origin: Some(origin.into()),
            ..MicroBatch::derived(rows.columns.clone())
        };
        let of_row = |row: usize| {
            let reason = format!("the run ended whenever it came to this record: {}", why(row)?);
            Some(letter(&shown, row, "run", LetterKind::Poison, reason))
        };
        let letters = (0..n).filter_map(of_row).collect();
        let keep: BooleanArray = (0..n).map(|row| Some(why(row).is_none())).collect();
        let kept = |batch| filter_record_batch(batch, &keep).map_err(internal);
        let offsets = (0..n).filter(|row| keep.value(*row)).map(|row| rows.offsets.get(row)).collect();
        let rows = Prepared {
            columns: kept(&rows.columns)?,
            raw: rows.raw.as_ref().map(kept).transpose()?,
            shown: rows.shown.as_ref().map(kept).transpose()?,
            offsets: Offsets::List(std::sync::Arc::new(offsets)),
            watermarks: rows.watermarks.map(|marks| marks.filter(&keep)).transpose()?,
        };
        Ok((rows, letters))
    }
}

/// In tests this value of a BIGINT column is a bug that its row brings about.
#[cfg(test)]
pub const SIMULATED: i64 = -77_077_077;

/// Panics where [`SIMULATED`] is.
#[cfg(test)]
pub(super) fn simulated_bug(batch: &MicroBatch) {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    for column in batch.columns.columns() {
        if let Some(values) = column.as_primitive_opt::<Int64Type>() {
            assert!(!values.iter().any(|value| value == Some(SIMULATED)), "simulated bug");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn records(from: u64, to: u64) -> Records {
        Records { source: 0, partition: 1, from, to }
    }

    /// Runs with micro-batches of up to `rows` records, of which some are poison. Answers how many it took, and what is left out.
    fn narrow(poison: &[u64], rows: u64, all: u64) -> (usize, Vec<u64>) {
        let mut suspects = Suspects::default();
        for run in 1..500 {
            let left_out: Vec<u64> = suspects.of(0, 1).iter().map(|(at, _)| *at).collect();
            let cuts = suspects.cuts(0, 1);
            let mut start = 0;
            let ended = loop {
                if start >= all {
                    return (run, left_out);
                }
                // Where nothing is to be cut, another run may cut elsewhere.
                let end = (start + rows.min(1 + (run as u64 * 7 + start) % rows)).min(all);
                let end = cuts.iter().copied().filter(|cut| (start + 1..end).contains(cut)).min().unwrap_or(end);
                if poison.iter().any(|at| (start..end).contains(at) && !left_out.contains(at)) {
                    break records(start, end);
                }
                start = end;
            };
            suspects.end(ended);
            suspects.end(records(all, all + 1));
            suspects.learn("bad luck", false);
        }
        panic!("it goes on for ever");
    }

    #[test]
    fn poison_is_found_whatever_the_cuts_are() {
        for poison in [vec![0], vec![999], vec![500], vec![3, 4], vec![7, 800, 801, 999]] {
            let (runs, left_out) = narrow(&poison, 1000, 1000);
            assert_eq!(left_out, poison);
            assert!(runs <= 1 + 14 * poison.len(), "{runs} runs for {poison:?}");
            for rows in [1, 2, 10, 300] {
                assert_eq!(narrow(&poison, rows, 1000).1, poison, "{rows} rows");
            }
        }
    }

    #[test]
    fn what_ends_every_run_is_no_record_s_fault() {
        let mut suspects = Suspects::default();
        let (mut runs, mut in_vain) = (0, 0);
        while in_vain < 3 {
            let begin = suspects.poison.len() as u64;
            let end = suspects.cuts(0, 1).into_iter().find(|cut| *cut > begin).unwrap_or(100);
            suspects.end(records(begin, end));
            in_vain = if suspects.learn("no memory", false) { 0 } else { in_vain + 1 };
            runs += 1;
        }
        assert!(runs < 100 && suspects.poison.len() == LETTERS_MAX, "{runs} runs: {:?}", suspects.poison);
        // With a checkpoint between, there may be more.
        suspects.end(records(8, 9));
        assert!(suspects.learn("no memory", true));
    }

    #[test]
    fn errors_of_the_world_are_nobody_s() {
        let mut suspects = Suspects::default();
        suspects.end(records(0, 100));
        assert!(!suspects.learn("a bug", false), "once is chance");
        assert!(!suspects.learn("a disk", false));
        assert!(suspects.cuts(0, 1).is_empty());
        suspects.end(records(0, 100));
        assert!(!suspects.learn("a bug", false));
        suspects.end(records(0, 100));
        assert!(suspects.learn("a bug", false));
        assert_eq!(suspects.cuts(0, 1), [0, 50, 100]);
        assert!(suspects.cuts(0, 0).is_empty() && suspects.cuts(1, 1).is_empty());
    }
}
