//! `OVER` in the order of arrival: each row is answered when it comes, from the rows of its key that have come before it.
//!
//! The rows of a key still lie in the order of time, since frames are pieces of that. A row that is older than others of its key
//! goes where it belongs: these are taken back, the row is answered, and they are put on it again, without an answer.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat, take};

use super::Rows;
use super::answers::{Answers, Counted, Failed};
use super::keyed::{Block, Extra, Keyed, Slot, Spans, by_key, taken};
use super::lanes::{Appended, Run};
use super::spec::Frame;
use crate::batch::internal;
use crate::error::Result;

/// Rows of a key that were taken back.
struct Later {
    key: u32,
    times: Vec<i64>,
    /// One column for each lane.
    values: Vec<ArrayRef>,
}

impl Keyed {
    /// Takes rows in the order in which they arrived, and answers all calls for each that is asked for. No row to come is older than
    /// `mark`.
    pub(super) fn push_arrived(&mut self, rows: &Rows, mark: i64, failed: &mut Vec<Failed>) -> Result<Vec<ArrayRef>> {
        self.settled = Some(mark);
        let Rows { times, columns, asked, .. } = rows;
        let ids = self.intern(columns, times.len())?;
        let Some(rounds) = self.rounds(times, &ids) else {
            return self.answer(times, columns, &ids, asked.as_deref(), failed);
        };
        let mut parts: Vec<Vec<ArrayRef>> = vec![];
        let mut order: Vec<u32> = vec![];
        for rows in rounds {
            let own: Vec<i64> = rows.iter().map(|row| times[*row as usize]).collect();
            let own_ids: Vec<u32> = rows.iter().map(|row| ids[*row as usize]).collect();
            let own_asked: Option<Vec<bool>> =
                asked.as_ref().map(|asked| rows.iter().map(|row| asked[*row as usize]).collect());
            let columns = taken(columns, &UInt32Array::from(rows.clone()))?;
            let older =
                own_ids.iter().zip(&own).filter(|(key, time)| self.last_time(**key).is_some_and(|t| t > **time));
            let older: Vec<(u32, i64)> = older.map(|(key, time)| (*key, *time)).collect();
            let later = older.iter().map(|(key, time)| self.take_back(*key, *time)).collect::<Result<Vec<_>>>()?;
            let mut refused = vec![];
            parts.push(self.answer(&own, &columns, &own_ids, own_asked.as_deref(), &mut refused)?);
            later.into_iter().try_for_each(|later| self.put_back(later))?;
            failed.extend(refused.into_iter().map(|f| Failed { row: rows[f.row as usize], reason: f.reason }));
            order.extend(rows.into_iter().filter(|row| asked.as_ref().is_none_or(|asked| asked[*row as usize])));
        }
        let mut places: Vec<u32> = (0..order.len() as u32).collect();
        places.sort_unstable_by_key(|at| order[*at as usize]);
        let places = UInt32Array::from(places);
        let back = |call: usize| {
            let answers: Vec<&dyn arrow::array::Array> = parts.iter().map(|part| part[call].as_ref()).collect();
            take(&concat(&answers).map_err(internal)?, &places, None).map_err(internal)
        };
        (0..self.spec.calls.len()).map(back).collect()
    }

    /// The rows cut into rounds, so that in each the rows of a key ascend in time, or it has one row that is older than others before
    /// it; `None` if all ascend.
    fn rounds(&self, times: &[i64], ids: &[u32]) -> Option<Vec<Vec<u32>>> {
        let mut all_ascend = true;
        let mut rounds: Vec<u32> = vec![0; ids.len()];
        let order = by_key(ids, self.blocks.len());
        for rows in order.chunk_by(|a, b| ids[*a as usize] == ids[*b as usize]) {
            let mut last = self.last_time(ids[rows[0] as usize]);
            let (mut round, mut alone) = (0, false);
            for row in rows {
                let time = times[*row as usize];
                let is_older = last.is_some_and(|last| time < last);
                if (is_older || alone) && *row != rows[0] {
                    round += 1;
                }
                alone = is_older;
                all_ascend &= !is_older;
                last = last.max(Some(time));
                rounds[*row as usize] = round;
            }
        }
        if all_ascend {
            return None;
        }
        let mut found = vec![vec![]; *rounds.iter().max()? as usize + 1];
        rounds.iter().enumerate().for_each(|(row, round)| found[*round as usize].push(row as u32));
        Some(found)
    }

    /// The time of a key's last row, if it has any.
    fn last_time(&self, key: u32) -> Option<i64> {
        let block = self.blocks[key as usize];
        (block.len > 0).then(|| self.times[(block.start + block.len - 1) as usize])
    }

    /// Takes away the rows of a key that are later than `time`, and moves its frames to where one for a row of that time begins.
    fn take_back(&mut self, key: u32, time: i64) -> Result<Later> {
        let block = self.blocks[key as usize];
        let (start, end) = (block.start as usize, (block.start + block.len) as usize);
        let cut = start + self.times[start..end].partition_point(|t| *t <= time);
        let places: Vec<usize> = (cut..end).collect();
        let values = self.lanes.iter().map(|lane| lane.saved(&places).map_err(internal)).collect::<Result<Vec<_>>>()?;
        let run = Run { key, rows: (0, 0), start: block.start, base: block.base };
        self.lanes.iter_mut().for_each(|lane| lane.take_back(&run, cut..end));
        let times = self.times[cut..end].to_vec();
        self.blocks[key as usize].len = (cut - start) as u32;
        self.begin_frames(key, time)?;
        Ok(Later { key, times, values })
    }

    /// Moves all frames of a key to where one for a next row of this time begins, with nothing in them.
    fn begin_frames(&mut self, key: u32, time: i64) -> Result<()> {
        let block = self.blocks[key as usize];
        let there = &self.times[block.start as usize..(block.start + block.len) as usize];
        let frames = self.spec.frames.iter().map(|frame| match *frame {
            Frame::Range { from: None, .. } | Frame::Rows { from: None, .. } => 0,
            Frame::Range { from: Some(from), .. } => there.partition_point(|t| *t < time.saturating_sub(from)) as u32,
            Frame::Rows { from: Some(from), .. } => block.len.saturating_sub(from),
        });
        let heads: Vec<u32> = frames.collect();
        let own = key as usize * self.stride;
        for (frame, head) in heads.iter().enumerate() {
            self.positions[own + 2 * frame] = *head;
            self.positions[own + 2 * frame + 1] = *head;
        }
        for (call, slot) in self.slots() {
            match slot {
                Slot::Position(at) => self.positions[own + at] = heads[self.spec.calls[call].frame],
                Slot::Counter(at) => self.counts[key as usize * self.counters + at] = 0,
                Slot::None => {}
            }
        }
        for ((extra, base), call) in self.extras.iter_mut().zip(&self.bases).zip(&self.spec.calls) {
            extra.begin_at(base, key as usize, call, &mut self.lanes)?;
        }
        Ok(())
    }

    /// Adds a key's first rows to what there is of those before its block, since they are about to go.
    pub(super) fn rest_on(&mut self, key: u32, rows: u32) -> Result<()> {
        let Block { start, base, .. } = self.blocks[key as usize];
        let runs = [Run { key, rows: (0, 1), start, base }];
        let one = Appended { order: &[0], at: &[start], runs: &runs };
        let spans = Spans { heads: vec![start], tails: vec![start + rows], before: vec![(start, start)] };
        for (call, base) in self.spec.calls.iter().zip(&mut self.bases) {
            if matches!(base, Extra::Nothing) {
                continue;
            }
            let mut answers = Answers {
                lanes: &mut self.lanes,
                extra: base,
                positions: &mut [],
                stride: 0,
                counts: &mut [],
                counters: 0,
                rows: &one,
                spans: &spans,
                counted: &mut Counted::new(),
                failed: &mut vec![],
            };
            answers.of(call, self.spec.frames[call.frame], Slot::None)?;
        }
        Ok(())
    }

    /// Puts rows that were taken back behind those that a key has now. Frames stay where they are.
    fn put_back(&mut self, later: Later) -> Result<()> {
        let Later { key, times, values } = later;
        let ids = vec![key; times.len()];
        let order: Vec<u32> = (0..times.len() as u32).collect();
        let (at, runs) = self.place(&times, &ids, &order)?;
        let rows = Appended { order: &order, at: &at, runs: &runs };
        let places = self.times.len();
        let lanes = self.lanes.iter_mut().zip(&values);
        lanes
            .map(|(lane, values)| lane.append(&rows, values, places))
            .collect::<Result<Vec<()>, _>>()
            .map_err(internal)?;
        Ok(())
    }

    /// How many of a key's first rows no frame of a row from `mark` on looks at.
    pub(super) fn settled(&self, key: u32, mark: i64) -> u32 {
        let block = self.blocks[key as usize];
        let there = &self.times[block.start as usize..(block.start + block.len) as usize];
        let older_than = |time: i64| there.partition_point(|t| *t < time) as u32;
        // A row of just that time would stand behind these.
        let before = older_than(mark);
        let frames = self.spec.frames.iter().map(|frame| match *frame {
            Frame::Range { from: Some(from), .. } => older_than(mark.saturating_sub(from)),
            Frame::Rows { from: Some(from), .. } => before.saturating_sub(from),
            // What stands before a block has been added up: no frame may end there.
            Frame::Range { from: None, to } => older_than(mark.saturating_sub(to)),
            Frame::Rows { from: None, to } => (before + 1).saturating_sub(to).min(before),
        });
        frames.min().unwrap_or(before).min(before.saturating_sub(self.back))
    }
}
