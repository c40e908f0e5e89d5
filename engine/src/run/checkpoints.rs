//! Cuts and checkpoints in the run loop.
//!
//! A cut is made when it is due and the checkpoint before is written: no further batch is given out until those at hand are
//! computed and flushed; then steps and sinks say what they hold, which takes no time to speak of, and the flow goes on. All
//! writing is done by a thread of its own ([`write`]).

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::latency::Arrival;
use super::serial::Serial;
use super::{Runner, State, fail};
use crate::checkpoint::manifest::{Counts, Manifest, Position, SinkState, SourceState};
use crate::checkpoint::piece::{Cut, StepCut};
use crate::checkpoint::store::Store;
use crate::connector::{Source, Staged};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::versions::KeptModels;

/// How checkpoints are taken.
pub struct Checkpoints {
    /// Where they go.
    pub store: Store,
    /// Keeps other processes away.
    pub lock: Box<dyn Send>,
    /// How often a write is tried.
    pub tries: u32,
    /// When a cut is due.
    pub trigger: Trigger,
    /// What is cut.
    pub cuts: Cuts,
}

/// What a cut is made of, beside what the steps hold.
pub struct Cuts {
    /// The pipeline's name in its manifests.
    pub pipeline: String,
    /// The last epoch that is complete; 0 if there is none.
    pub epoch: u64,
    /// Names of the sources, in the order of the graph.
    pub sources: Vec<String>,
    /// For each sink, whether its rows are published before those of others: a transaction that ends with the process.
    pub first: Vec<bool>,
}

/// What a run goes on with.
#[derive(Default)]
pub struct Resumed {
    /// How its checkpoints are taken, if they are.
    pub checkpoints: Option<Checkpoints>,
    /// What each sink was given before.
    pub sinks: BTreeMap<String, SinkState>,
    /// Watermarks of the output of steps, by index.
    pub marks: BTreeMap<usize, i64>,
    /// What was counted before.
    pub counts: Counts,
}

/// When a cut is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trigger {
    /// So long after the last one, and so long after that was written. Written beside the flow.
    Every {
        /// From cut to cut.
        interval: Duration,
        /// From the end of writing to the next cut.
        pause_min: Duration,
    },
    /// After so many micro-batches; written before the flow goes on. For simulations.
    Batches(u64),
}

/// Whether a cut is wanted.
#[derive(Default)]
pub(super) struct Cutting {
    /// No batch is given out, until the cut is made.
    pub(super) wanted: bool,
    /// Since when, and the longest that it took.
    pub(super) since: Option<Instant>,
    pub(super) longest: Duration,
    /// A checkpoint is being written.
    pub(super) writing: bool,
    pub(super) due: Option<Instant>,
    /// Micro-batches since the last one.
    pub(super) batches: u64,
}

/// Whether a cut is the last of its run.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Last {
    /// More rows come.
    No,
    /// The run was asked to stop; another may go on.
    Stopped,
    /// The input has ended.
    Ended,
}

/// Everything of a cut.
pub(super) struct Sealed {
    pipeline: String,
    epoch: u64,
    ended: bool,
    /// Names of the sources in the order of the graph.
    names: Vec<String>,
    sources: BTreeMap<String, SourceState>,
    steps: Vec<(String, i64, StepCut)>,
    sinks: Vec<(String, SinkState, Box<dyn Staged>, bool)>,
    histories: Vec<(String, Box<dyn Staged>)>,
    letters: Option<Box<dyn Staged>>,
    counts: Counts,
    models: KeptModels,
    /// Rows that can be seen once it is written.
    arrivals: Vec<Arc<Arrival>>,
}

/// How far everything was read at a cut.
pub(super) struct Positions(pub(super) Vec<SourceState>);

impl State {
    /// How far everything was read, when no batch is at hand.
    pub(super) fn positions(&self, marks: &[i64]) -> Positions {
        let of_source = |(source, mark): (usize, &i64)| SourceState {
            mark: *mark,
            token: None,
            partitions: self
                .partitions
                .iter()
                .filter(|p| p.source == source)
                .map(|p| Position {
                    name: p.name.clone(),
                    offset: p.given.0,
                    mark: p.given.1,
                    floors: p.floors.iter().copied().filter(|(at, _)| *at < p.given.0).collect(),
                })
                .collect(),
        };
        Positions(marks.iter().enumerate().map(of_source).collect())
    }
}

impl Runner<'_> {
    /// Wants a cut, if one is due.
    pub(super) fn look_for_cut(&self, state: &mut State, now: Instant) {
        let Some(trigger) = self.trigger else { return };
        let cutting = &mut state.cutting;
        if cutting.wanted || cutting.writing {
            return;
        }
        cutting.wanted = match trigger {
            Trigger::Every { interval, .. } => *cutting.due.get_or_insert(now + interval) <= now,
            Trigger::Batches(batches) => cutting.batches >= batches,
        };
        cutting.since = cutting.wanted.then_some(now);
    }

    /// Makes a cut: everything is computed and flushed up to these positions.
    pub(super) fn seal(&self, serial: &mut Serial, positions: Positions, last: Last) -> Result<Sealed> {
        let checkpoints = serial.cuts.as_mut().expect("only runs with checkpoints have cuts");
        checkpoints.epoch += 1;
        let epoch = checkpoints.epoch;
        let mut next = 0;
        let mut steps = vec![];
        for (index, (node, input)) in self.graph.nodes.iter().zip(&self.lineages).enumerate() {
            if let Some(schema) = node.operator.state_schema(input) {
                let mut cut = Cut::new(epoch, &mut next);
                node.operator.save(&mut cut)?;
                steps.push((schema, serial.node_marks[index], cut.done()));
            }
        }
        let with_token = |(mut state, opened): (SourceState, &Mutex<Option<Box<dyn Source>>>)| {
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            state.token = opened.as_mut().and_then(|source| source.token());
            state
        };
        let states = positions.0.into_iter().zip(&self.opened).map(with_token);
        let sources: BTreeMap<_, _> = checkpoints.sources.iter().cloned().zip(states).collect();
        let mut sinks = vec![];
        for (index, node) in self.graph.sinks.iter().enumerate() {
            let mut windows = serial.windows[index].clone();
            windows.close();
            let state = SinkState { token: String::new(), digest: serial.digests[index].to_string(), windows };
            let sink = &mut serial.sinks[index];
            if last != Last::No {
                sink.finish(last == Last::Ended);
            }
            sinks.push((node.name.clone(), state, sink.seal(epoch)?, checkpoints.first[index]));
        }
        let so_far: BTreeMap<String, SinkState> =
            sinks.iter().map(|(name, state, ..)| (name.clone(), state.clone())).collect();
        let models = KeptModels::turn(&self.execution.models);
        let mut histories = vec![];
        for (index, history) in serial.histories.iter_mut().enumerate() {
            if let Some(history) = history {
                let name = &checkpoints.sources[index];
                histories
                    .push((name.clone(), history.seal(epoch, &sources[name], &so_far, last == Last::Ended, &models)?));
            }
        }
        let letters = serial.letters.as_mut().map(|letters| letters.seal(epoch)).transpose()?;
        let names = checkpoints.sources.clone();
        let ended = last == Last::Ended;
        let pipeline = checkpoints.pipeline.clone();
        let arrivals = std::mem::take(&mut serial.arrivals);
        let counts = self.counts();
        Ok(Sealed {
            pipeline,
            epoch,
            ended,
            names,
            sources,
            steps,
            sinks,
            histories,
            letters,
            counts,
            models,
            arrivals,
        })
    }

    fn counts(&self) -> Counts {
        let counters = &self.execution.counters;
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            rows_in: of(&counters.rows_in),
            rows_out: of(&counters.rows_out),
            late: of(&counters.late),
            letters: of(&counters.letters),
            batches: of(&counters.batches),
        }
    }

    /// Writes checkpoints as they come; the body of the thread that does nothing else.
    pub(super) fn write_checkpoints(&self, sealed: &Receiver<Sealed>) {
        for sealed in sealed {
            let written = std::panic::catch_unwind(AssertUnwindSafe(|| self.write_checkpoint(sealed)));
            let mut state = self.lock();
            match written {
                Ok(Ok(())) => {}
                Ok(Err(error)) => fail(&mut state, error),
                Err(_) => fail(&mut state, Error::world("a bug in Pelton stopped the writing of checkpoints")),
            }
            state.cutting.writing = false;
            if let (Some(Trigger::Every { pause_min, .. }), Some(due)) = (self.trigger, &mut state.cutting.due) {
                *due = (*due).max(Instant::now() + pause_min);
            }
            drop(state);
            self.wake.notify_all();
        }
    }

    /// Lets the flow go on after a cut.
    pub(super) fn cut_made(&self) {
        let mut state = self.lock();
        let Cutting { wanted, writing, due, batches, since, longest } = &mut state.cutting;
        *longest = since.take().map_or(*longest, |since| since.elapsed().max(*longest));
        (*wanted, *batches) = (false, 0);
        if let Some(Trigger::Every { interval, .. }) = self.trigger {
            (*writing, *due) = (true, Some(Instant::now() + interval));
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Hands a cut to the thread that writes it, or writes it now.
    pub(super) fn hand_over(&self, sealed: Sealed) -> Result<()> {
        match &*self.seals.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(seals) => {
                // One checkpoint is written at a time, so there is room.
                seals.send(sealed).map_err(|_| Error::world("nobody writes checkpoints any more"))
            }
            None => self.write_checkpoint(sealed),
        }
    }

    pub(super) fn write_checkpoint(&self, sealed: Sealed) -> Result<()> {
        let of = |name: &String| sealed.sources[name].partitions.iter().map(|p| (p.name.clone(), p.offset)).collect();
        let offsets: Vec<(usize, Vec<_>)> = sealed.names.iter().map(of).enumerate().collect();
        let mut checkpoints = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let (store, tries) = checkpoints.as_mut().expect("only runs with checkpoints have cuts");
        let epoch = sealed.epoch;
        write(self.graph, store, sealed, *tries)?;
        self.execution.counters.epoch.store(epoch, Ordering::Relaxed);
        for (source, offsets) in offsets {
            if let Some(source) = &mut *self.opened[source].lock().unwrap_or_else(PoisonError::into_inner) {
                source.completed(&offsets);
            }
        }
        Ok(())
    }
}

/// Writes a checkpoint: state, staged rows, manifest, and then publishes the rows.
fn write(graph: &Graph, store: &mut Store, mut sealed: Sealed, tries: u32) -> Result<()> {
    let epoch = sealed.epoch;
    let steps = again(tries, || store.write_state(epoch, &sealed.steps))?;
    again(tries, || sealed.models.put_files(store.storage()))?;
    for (_, state, staged, _) in &mut sealed.sinks {
        state.token = staged.stage()?;
    }
    let mut manifest = Manifest {
        pipeline: std::mem::take(&mut sealed.pipeline),
        epoch,
        taken_ms: crate::history::now_ms(),
        ended: sealed.ended,
        sources: std::mem::take(&mut sealed.sources),
        steps,
        sinks: sealed.sinks.iter().map(|(name, state, ..)| (name.clone(), state.clone())).collect(),
        counts: sealed.counts,
        models: std::mem::take(&mut sealed.models.states),
        ..Default::default()
    };
    for (name, staged) in &mut sealed.histories {
        manifest.histories.insert(name.clone(), staged.stage()?);
    }
    manifest.letters = sealed.letters.as_mut().map(|letters| letters.stage()).transpose()?;
    again(tries, || store.complete(&manifest))?;
    sealed.sinks.sort_by_key(|(.., first)| !first);
    sealed.sinks.iter_mut().try_for_each(|(_, _, staged, _)| staged.publish())?;
    sealed.histories.iter_mut().try_for_each(|(_, staged)| staged.publish())?;
    sealed.letters.iter_mut().try_for_each(|letters| letters.publish())?;
    // They can be seen now.
    sealed.arrivals.clear();
    drop(sealed);
    graph.nodes.iter().try_for_each(|node| node.operator.settle())?;
    again(tries, || store.clear_away(epoch))
}

/// Tries a few times, with longer and longer pauses: a disk that is full may have room again, a server may come back.
fn again<T>(tries: u32, mut what: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = Duration::from_millis(100);
    for _ in 1..tries {
        match what() {
            Ok(done) => return Ok(done),
            Err(_) => std::thread::sleep(pause),
        }
        pause *= 2;
    }
    what()
}
