//! Reading: which partition is read next, chunks decoded on any worker, and what makes micro-batches of them, in order.
//!
//! Where nothing else is at hand and a chunk's rows take long, they are cut into a micro-batch for each worker, for the sake
//! of latency.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::constant::constant_chunk;
use super::latency::{Arrival, wall_clock_us};
use super::{Partition, Ready, Runner, State, fail, is_idle};
use crate::batch::{Marks, MicroBatch, Offsets, Origin};
use crate::connector::Next;
use crate::profile::Part;

/// Micro-batches that are cut for the sake of latency have at least so many rows, and would take at least so long whole.
const SPLIT_ROWS_MIN: usize = 16_384;
const SPLIT_NANOS_MIN: f64 = 4e5;

impl Runner<'_> {
    /// The partition that should be read next: among those with room, the one furthest behind in event time.
    pub(super) fn next_partition(&self, state: &mut State, now: Instant) -> Option<usize> {
        if state.stopping || state.history.len() > 8 * self.queue_max {
            return None;
        }
        if self.execution.step_by_step && (state.serial_busy || !is_idle(state)) {
            return None;
        }
        let room = state.chunks < self.chunks_max;
        let open = |p: &Partition| {
            !p.ended && !p.reading && p.queue.len() < self.queue_max && p.rows_ahead() < self.rows_max && p.asleep_until.is_none_or(|t| t <= now)
                // A partition that holds the watermark back may always read, or nothing would move.
                && (room || (p.queue.is_empty() && p.chunks_given == p.chunks_applied))
        };
        let candidates = (0..state.partitions.len()).filter(|&p| open(&state.partitions[p]));
        candidates.min_by_key(|&p| (state.partitions[p].mark, state.partitions[p].chunks_given))
    }

    pub(super) fn next_timer(&self, state: &State, now: Instant) -> Duration {
        let sleeping = state.partitions.iter().filter(|p| !p.ended && !p.reading).filter_map(|p| p.asleep_until);
        let paced = state.partitions.iter().filter_map(|p| p.queue.front().map(|r| r.release));
        let cut = state.cutting.due.filter(|_| !state.cutting.wanted && !state.cutting.writing);
        let next = sleeping
            .chain(paced)
            .chain(cut)
            .min()
            .map_or(Duration::from_millis(100), |t| t.saturating_duration_since(now));
        next.clamp(Duration::from_micros(200), Duration::from_millis(100))
    }

    /// Takes the next chunk of a partition, decodes it, and applies all chunks that are next in order.
    pub(super) fn read<'s>(&'s self, mut state: MutexGuard<'s, State>, p: usize) -> MutexGuard<'s, State> {
        let mut reader = state.partitions[p].reader.take().expect("a reader that is not with a worker is here");
        state.partitions[p].reading = true;
        drop(state);
        let next = reader.next();
        let mut state = self.lock();
        let partition = &mut state.partitions[p];
        partition.reader = Some(reader);
        partition.reading = false;
        let chunk = match next {
            Err(error) if self.trigger.is_some() => {
                // The next run reads on from the last checkpoint.
                fail(&mut state, error);
                return state;
            }
            Err(error) => {
                // What was good stays good: the partition ends here, the run goes on.
                partition.ended = true;
                state.broken.push(error);
                return state;
            }
            Ok(Next::End) => {
                partition.ended = true;
                return state;
            }
            Ok(Next::Pending(pause)) => {
                let now = Instant::now();
                partition.asleep_until = Some(now + pause);
                let idle = self.idles[partition.source];
                if idle.is_some_and(|idle| now.duration_since(partition.last_rows) >= idle) {
                    partition.is_idle = true;
                }
                return state;
            }
            Ok(Next::Chunk(chunk)) => chunk,
        };
        let number = partition.chunks_given;
        partition.chunks_given += 1;
        let (source, index, base) = (partition.source, partition.index, partition.offset);
        state.chunks += 1;
        let intake = self.intakes[source].clone();
        let serial = intake.as_ref().is_some_and(|i| i.needs_offsets());
        if serial {
            // Offsets are in the rows: chunks are decoded one after the other.
            state.partitions[p].reading = true;
        }
        drop(state);
        self.wake.notify_all();
        let start = self.clock();
        let decoded = chunk.decode();
        let rows = decoded.records as usize;
        self.timed(Part::Decode, start, rows);
        let start = self.clock();
        let prepared = match intake {
            Some(intake) => intake.prepare(decoded, index, base, wall_clock_us()),
            None => Ok(constant_chunk(decoded)),
        };
        self.timed(Part::Intake, start, rows);
        let mut state = self.lock();
        if serial {
            // Otherwise another worker may be at the reader by now.
            state.partitions[p].reading = false;
        }
        match prepared {
            Ok(prepared) => {
                state.partitions[p].decoded.insert(number, prepared);
                self.apply(&mut state, p);
            }
            Err(error) => fail(&mut state, error),
        }
        state
    }

    /// Gives rows their offsets and watermarks, in order, and queues them as micro-batches.
    fn apply(&self, state: &mut State, p: usize) {
        loop {
            let number = state.partitions[p].chunks_applied;
            if state.stopping {
                state.partitions[p].decoded.clear();
                return;
            }
            let Some(chunk) = state.partitions[p].decoded.remove(&number) else { return };
            state.chunks -= 1;
            let source = state.partitions[p].source;
            let base = state.partitions[p].offset;
            if let Some(error) = chunk.broken {
                if let (Some(notice), false) = (&self.execution.notice, self.endless.is_empty()) {
                    // Nobody would hear of it for a long time.
                    notice(&error.to_string());
                }
                state.broken.push(error);
            }
            let mut letters = chunk.letters;
            let index = state.partitions[p].index;
            let suspects = self.execution.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            let cuts = suspects.cuts(source, index);
            let mut batches = vec![];
            for rows in chunk.batches {
                let name = self.intakes[source].as_ref().map_or("", |intake| &intake.name);
                match suspects.take_out((source, index), (name, base), rows) {
                    Ok((rows, poison)) => {
                        letters.extend(poison);
                        batches.extend(Some(rows).filter(|rows| rows.columns.num_rows() > 0));
                    }
                    Err(error) => return fail(state, error),
                }
            }
            drop(suspects);
            for letter in &mut letters {
                letter.offset += base;
            }
            letters.sort_by_key(|letter| letter.offset);
            let mut letters = VecDeque::from(letters);
            let (now, wall_us) = (Instant::now(), wall_clock_us());
            let announced = state.announced[source];
            let workers = if is_idle(state) { self.execution.threads } else { 1 };
            let nanos_per_row = state.nanos_per_row;
            let partition = &mut state.partitions[p];
            partition.chunks_applied += 1;
            partition.offset = base + chunk.records;
            if !batches.is_empty() {
                partition.last_rows = now;
            }
            if let Some((rows, mark)) = chunk.skipped {
                // The rows are in nobody's answer, but time went on over them.
                self.execution.counters.rows_in.fetch_add(rows, Ordering::Relaxed);
                partition.mark = partition.mark.max(mark);
            }
            let rate = self.rates[source];
            let batch_rows = match rate {
                Some(rate) => {
                    ((rate * self.execution.delay_max.as_secs_f64()) as usize).clamp(1, self.execution.batch_rows)
                }
                None => self.execution.batch_rows,
            };
            // Each micro-batch takes along the records before the next one that did not become rows.
            let firsts: Vec<u64> = batches.iter().map(|b| base + b.offsets.get(0)).skip(1).collect();
            let ends: Vec<u64> = firsts.into_iter().chain([partition.offset]).collect();
            for (prepared, end_of_batch) in batches.into_iter().zip(ends) {
                let n = prepared.columns.num_rows();
                let batch_rows = match rate {
                    None if n as f64 * nanos_per_row >= SPLIT_NANOS_MIN => {
                        batch_rows.min(n.div_ceil(workers).max(SPLIT_ROWS_MIN))
                    }
                    _ => batch_rows,
                };
                let offsets = match prepared.offsets {
                    Offsets::Run(first) => Offsets::Run(base + first),
                    list => Offsets::List(Arc::new((0..n).map(|i| base + list.get(i)).collect())),
                };
                if partition.is_idle {
                    // It comes back with the stage's watermark as a floor, so that it can not hold back what is closed.
                    partition.is_idle = false;
                    partition.mark = partition.mark.max(announced);
                    partition.floors.push((offsets.get(0), announced));
                }
                let intake = self.intakes[source].as_ref();
                let origin = intake.map(|i| {
                    Arc::new(Origin {
                        source: i.name.clone(),
                        partition: partition.index,
                        columns: prepared.raw.as_ref().unwrap_or(&prepared.columns).clone(),
                        offsets: offsets.clone(),
                        time: i.time.map(|t| prepared.columns.column(t).clone()),
                    })
                });
                let whole =
                    MicroBatch { partition: p as u32, offsets, origin, ..MicroBatch::derived(prepared.columns) };
                let mut start = 0;
                while start < n {
                    let mut len = batch_rows.min(n - start);
                    // A floor holds from its row on: it begins a micro-batch of its own.
                    while partition.lent.front().is_some_and(|(at, _)| *at <= whole.offsets.get(start)) {
                        let (at, floor) = partition.lent.pop_front().expect("looked at above");
                        partition.mark = partition.mark.max(floor);
                        partition.floors.push((at, floor));
                    }
                    let floor = partition.lent.front().map(|(at, _)| *at);
                    let cut = cuts.iter().copied().find(|cut| *cut > whole.offsets.get(start));
                    let (turn, next_turn) = turn_at(&chunk.turns, whole.offsets.get(start) - base);
                    if let Some(at) = floor.into_iter().chain(cut).chain(next_turn.map(|at| base + at)).min() {
                        len = (1..len).find(|l| whole.offsets.get(start + l) >= at).unwrap_or(len);
                    }
                    // Rows of one record stay together, since a run goes on from a record.
                    let same = |at: usize| whole.offsets.get(at) == whole.offsets.get(at - 1);
                    let end = (start + len..n).find(|at| !same(*at)).unwrap_or(n);
                    let len = end - start;
                    let release = match rate {
                        None => now,
                        Some(rate) => {
                            partition.next_release =
                                partition.next_release.max(now) + Duration::from_secs_f64(len as f64 / rate);
                            partition.next_release
                        }
                    };
                    // A row of a paced source comes when it may.
                    let paced = rate.map(|rate| {
                        let waits = release.saturating_duration_since(now).as_micros() as i64;
                        wall_us + waits - (len as f64 / rate * 1e6) as i64
                    });
                    let since_us = chunk.since_ms.map(|since| since * 1000).or(paced);
                    let mut batch = if len == n { whole.clone() } else { whole.slice(start, len) };
                    batch.marks = Marks::of(partition.mark, prepared.watermarks.as_ref().map(|w| w.slice(start, len)));
                    partition.mark = batch.marks.max();
                    let mark_after = partition.mark;
                    let upto = if end < n { whole.offsets.get(end) } else { end_of_batch };
                    let with_it = letters.partition_point(|letter| letter.offset < upto);
                    partition.queue.push_back(Ready {
                        letters: letters.drain(..with_it).collect(),
                        end: upto,
                        turn,
                        arrival: since_us.map(|since| Arrival::new(since, self.latency.clone())),
                        batch,
                        raw: prepared.raw.as_ref().filter(|_| self.keeps[source]).map(|r| r.slice(start, len)),
                        mark_after,
                        release,
                    });
                    start = end;
                }
            }
            // A chunk without rows.
            let left = letters.len();
            match partition.queue.back_mut() {
                Some(last) => {
                    last.letters.extend(letters);
                    last.end = partition.offset;
                }
                None => {
                    partition.given.0 = partition.offset;
                    state.letters.extend(letters);
                    self.execution.counters.letters.fetch_add(left as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

/// The turn of a record, and where the next one begins.
fn turn_at(turns: &[(u64, u64)], record: u64) -> (Option<u64>, Option<u64>) {
    let next = turns.partition_point(|(at, _)| *at <= record);
    (next.checked_sub(1).map(|own| turns[own].1), turns.get(next).map(|(at, _)| *at))
}
