//! The serial part: everything that must happen in order, by one worker at a time.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use pelton_kernels::digest::Digest;

use super::checkpoints::{Cuts, Last, Positions};
use super::latency::Arrival;
use super::{Done, End, HistoryRows, HistorySink, Runner, SinkRows, State};
use crate::batch::{MARK_MAX, MicroBatch};
use crate::by_window::WindowDigests;
use crate::connector::{DeadLetter, DeadLetterStore, Sink};
use crate::error::Result;
use crate::graph::Input;
use crate::operators::Emit;
use crate::profile::Part;

/// What only the serial part touches.
pub(super) struct Serial {
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) digests: Vec<Digest>,
    pub(super) windows: Vec<WindowDigests>,
    pub(super) node_marks: Vec<i64>,
    pub(super) histories: Vec<Option<Box<dyn HistorySink>>>,
    pub(super) letters: Option<Box<dyn DeadLetterStore>>,
    /// What cuts are made of, in a run with checkpoints.
    pub(super) cuts: Option<Cuts>,
    /// Rows that can be seen with the next checkpoint.
    pub(super) arrivals: Vec<Arc<Arrival>>,
    /// What is measured of rows that steps take in turns, by turn.
    pub(super) in_turns: BTreeMap<u64, Arc<Arrival>>,
}

impl Serial {
    /// Makes everything visible, at the end of a run without checkpoints.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.histories.iter_mut().flatten().try_for_each(|history| history.tick(true))?;
        self.letters.iter_mut().try_for_each(|store| store.commit())?;
        self.sinks.iter_mut().try_for_each(|sink| sink.commit())
    }
}

pub(super) struct SerialWork {
    done: Vec<Done>,
    marks: Vec<i64>,
    /// All micro-batches whose turn is before this one have been pushed.
    before: u64,
    history: Vec<(usize, HistoryRows)>,
    letters: Vec<DeadLetter>,
    finish: bool,
    /// No batch is at hand, and a cut is to be made.
    cut: Option<Positions>,
}

impl Runner<'_> {
    /// Collects what the serial part should do now, if anything and if nobody is at it.
    pub(super) fn serial_work(&self, state: &mut State) -> Option<SerialWork> {
        if state.serial_busy {
            return None;
        }
        let mut work = SerialWork {
            done: vec![],
            marks: state.announced.clone(),
            before: state.turn,
            history: vec![],
            letters: vec![],
            finish: false,
            cut: None,
        };
        for p in &mut state.partitions {
            while p.entries.front().is_some_and(|e| e.done.is_some()) {
                let entry = p.entries.pop_front().expect("looked at above");
                p.first_entry += 1;
                p.completed = p.completed.max(entry.mark_after);
                work.done.push(entry.done.expect("looked at above"));
            }
            let pending = p.entries.iter().filter(|e| e.done.is_none()).map(|e| e.turn);
            work.before = pending.fold(work.before, u64::min);
            let drained =
                p.entries.is_empty() && p.queue.is_empty() && (state.stopping || p.chunks_given == p.chunks_applied);
            p.finished = drained && !p.reading && (p.ended || state.stopping);
        }
        for (source, mark) in work.marks.iter_mut().enumerate() {
            let mut least: Option<i64> = None;
            for p in state.partitions.iter().filter(|p| p.source == source && !p.is_idle) {
                let closes = p.finished && p.ended && !state.stopping && self.ends[source] == End::Input;
                let own = if closes { MARK_MAX } else { p.completed };
                least = Some(least.map_or(own, |l| l.min(own)));
            }
            if let Some(least) = least {
                *mark = (*mark).max(least);
            }
        }
        work.finish = state.partitions.iter().all(|p| p.finished);
        if work.finish && !state.stopping {
            // The repeated run had heard more than its partitions say now: idle ones did not hold it back.
            for (mark, end) in work.marks.iter_mut().zip(&self.ends) {
                if let End::Stopped(Some(last)) = end {
                    *mark = (*mark).max(*last);
                }
            }
        }
        let moved = work.marks != state.announced;
        let cut = state.cutting.wanted && !work.finish && state.partitions.iter().all(|p| p.entries.is_empty());
        if work.done.is_empty()
            && !moved
            && !work.finish
            && !cut
            && state.history.is_empty()
            && state.letters.is_empty()
        {
            return None;
        }
        work.cut = cut.then(|| state.positions(&work.marks));
        // History and letters alone can wait for a batch to come with them.
        work.history = state.history.drain(..).collect();
        work.letters = std::mem::take(&mut state.letters);
        state.announced.clone_from(&work.marks);
        state.serial_busy = true;
        Some(work)
    }

    /// Everything that must happen in order. True once the run is over.
    pub(super) fn serial_part(&self, work: SerialWork) -> Result<bool> {
        let mut serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = &mut *serial;
        for (source, rows) in &work.history {
            if let Some(history) = &mut serial.histories[*source] {
                history.append(rows)?;
            }
        }
        if serial.cuts.is_none() {
            serial.histories.iter_mut().flatten().try_for_each(|history| history.tick(false))?;
        }
        self.keep_letters(serial, &work.letters)?;
        for done in work.done {
            if let (true, Some(arrival)) = (self.takes_turns, &done.arrival) {
                serial.in_turns.insert(done.turn, arrival.clone());
            }
            self.flush(serial, done)?;
        }
        if let Some(least) = work.marks.iter().min() {
            self.execution.counters.watermark.store(*least, Ordering::Relaxed);
        }
        let slot = self.execution.threads;
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let mark = node
                .inputs
                .iter()
                .map(|input| match input {
                    Input::Source(s) => work.marks[*s],
                    Input::Node(n) => serial.node_marks[*n],
                })
                .min()
                .unwrap_or(MARK_MAX);
            if node.operator.is_stateless() {
                serial.node_marks[index] = mark;
                continue;
            }
            if node.operator.takes_turns() {
                self.arrive(serial, index, work.before)?;
            }
            let after = loop {
                let mut emit = Emit::default();
                let start = self.clock();
                let after = node.operator.advance(mark, &mut emit)?;
                self.timed(Part::Close(index), start, emit.batches.iter().map(MicroBatch::rows).sum());
                let (more, batches) = (emit.more, std::mem::take(&mut emit.batches));
                let mut done = Done::default();
                self.take(slot, &node.outputs, emit, &mut done)?;
                self.flush(serial, done)?;
                for done in self.spread(slot, index, batches)? {
                    self.flush(serial, done)?;
                }
                if !more {
                    break after;
                }
            };
            serial.node_marks[index] = after.max(serial.node_marks[index]);
        }
        serial.in_turns = serial.in_turns.split_off(&work.before);
        if self.graph.is_endless() && self.graph.has_enough() {
            self.enough.store(true, Ordering::Relaxed);
        }
        if let Some(positions) = work.cut {
            let sealed = self.seal(serial, positions, Last::No)?;
            self.cut_made();
            self.hand_over(sealed)?;
        }
        Ok(work.finish)
    }

    /// Lets a step take the rows whose turn has come, and flushes what comes out.
    fn arrive(&self, serial: &mut Serial, index: usize, before: u64) -> Result<()> {
        let (node, slot) = (&self.graph.nodes[index], self.execution.threads);
        let mut emit = Emit::default();
        let start = self.clock();
        node.operator.arrive(before, &mut emit)?;
        self.timed(Part::Step(index), start, 0);
        let batches = std::mem::take(&mut emit.batches);
        let mut done = Done::default();
        self.take(slot, &node.outputs, emit, &mut done)?;
        self.flush(serial, done)?;
        for batch in batches {
            let arrival = serial.in_turns.get(&batch.turn).cloned();
            let mut done = Done { arrival, ..Done::default() };
            self.push(slot, &node.outputs, batch, &mut done)?;
            self.flush(serial, done)?;
        }
        Ok(())
    }

    fn keep_letters(&self, serial: &mut Serial, letters: &[DeadLetter]) -> Result<()> {
        match &mut serial.letters {
            Some(store) if !letters.is_empty() => store.write(letters),
            _ => Ok(()),
        }
    }

    fn flush(&self, serial: &mut Serial, done: Done) -> Result<()> {
        let (start, rows) = (self.clock(), done.rows.iter().map(|sink| sink.rows.num_rows()).sum());
        let flushed = self.write(serial, done);
        self.timed(Part::Write, start, rows);
        flushed
    }

    fn write(&self, serial: &mut Serial, done: Done) -> Result<()> {
        self.keep_letters(serial, &done.letters)?;
        let arrival = done.arrival;
        for SinkRows { sink, rows, digest, windows } in done.rows {
            self.execution.counters.rows_out.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
            serial.digests[sink].merge(&digest);
            serial.windows[sink].add(&windows);
            if let Some(arrival) = &arrival {
                arrival.add(rows.num_rows() as u64);
                if !serial.sinks[sink].follow(arrival) && serial.cuts.is_some() {
                    // They can be seen with the checkpoint.
                    serial.arrivals.push(arrival.clone());
                }
            }
            serial.sinks[sink].write(&rows)?;
        }
        Ok(())
    }
}
