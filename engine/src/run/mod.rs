//! The run loop: equal workers around one small scheduler.
//!
//! A worker picks the first of these that there is: the *serial part* (flush finished batches to the sinks in partition
//! order, announce watermarks; one worker at a time), *compute* (push the next micro-batch through the graph), *decode*
//! (the next chunk of the partition that is furthest behind in event time). So decode of batch n+1, compute of n and
//! sink of n-1 overlap, and with one worker everything still happens, one after the other.
//!
//! Here are the workers; `compute` is what they push, `reading` makes micro-batches, `serial` is the serial part, `jobs` what it gives to whoever is free, `checkpoints` makes
//! cuts in the flow, `poison` finds out which record it is that ends runs, `latency` measures from the outside to the outside.
//!
//! Bounds: `chunks_max` chunks decoded or being decoded, `queue_max` micro-batches waiting in a partition. A full queue
//! stops the reading of its partition (backpressure).

pub mod checkpoints;
mod compute;
mod constant;
mod jobs;
pub mod latency;
pub mod poison;
mod reading;
mod serial;

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use pelton_kernels::digest::Digest;

use self::checkpoints::{Checkpoints, Cutting, Last, Resumed, Sealed, Trigger};
use self::compute::in_pieces;
use self::constant::ConstantRows;
use self::jobs::Job;
use self::latency::{Arrival, Latencies, Latency};
use self::poison::{Records, Suspects};
use self::serial::Serial;
use crate::batch::{DERIVED, MARK_MIN, MicroBatch, Offsets};
use crate::by_window::WindowDigests;
use crate::checkpoint::manifest::{Counts, Position, SinkState, SourceState};
use crate::checkpoint::store::Store;
use crate::connector::{DeadLetter, DeadLetterStore, PartitionReader, Sink, Source, Staged};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::intake::{Intake, PreparedChunk};
use crate::lineage::Lineage;
use crate::profile::{Part, PartTime, Profile};
use crate::versions::{KeptModels, Versions};

/// How often sources without an end are asked for new partitions.
const LOOK_FOR_PARTITIONS: Duration = Duration::from_secs(1);

/// What a run counts, readable while it runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows that passed the intake and were pushed.
    pub rows_in: AtomicU64,
    /// Rows handed to sinks.
    pub rows_out: AtomicU64,
    /// Rows late for at least one window, per operator that judged them.
    pub late: AtomicU64,
    /// Dead letters of every kind.
    pub letters: AtomicU64,
    /// Micro-batches pushed.
    pub batches: AtomicU64,
    /// The least watermark of all sources, µs.
    pub watermark: AtomicI64,
    /// The last epoch whose checkpoint is complete.
    pub epoch: AtomicU64,
}

impl Counters {
    /// Begins anew, as the run does.
    pub fn reset(&self) {
        for counter in [&self.rows_in, &self.rows_out, &self.late, &self.letters, &self.batches] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Goes on from what an earlier run has counted.
    fn go_on(&self, counts: &Counts) {
        let Counts { rows_in, rows_out, late, letters, batches } = *counts;
        let counters = [&self.rows_in, &self.rows_out, &self.late, &self.letters, &self.batches];
        for (counter, before) in counters.into_iter().zip([rows_in, rows_out, late, letters, batches]) {
            counter.fetch_add(before, Ordering::Relaxed);
        }
    }
}

/// Rows for a history.
pub struct HistoryRows {
    /// The partition.
    pub partition: u32,
    /// Raw columns.
    pub columns: RecordBatch,
    /// Of the rows.
    pub offsets: Offsets,
    /// The watermark before the first row.
    pub mark: i64,
    /// The turn of their micro-batch.
    pub turn: u64,
}

/// Receives the rows of one source for its history.
pub trait HistorySink: Send {
    /// Rows of a micro-batch; those of one partition come in offset order.
    fn append(&mut self, rows: &HistoryRows) -> Result<()>;
    /// Called now and then, and at the end: seals what should be sealed. Not called in a run with checkpoints.
    fn tick(&mut self, end: bool) -> Result<()>;
    /// As of a [`Sink`]; with how far the source was read, what each sink was given, and which versions of models there were.
    fn seal(
        &mut self,
        epoch: u64,
        source: &SourceState,
        sinks: &BTreeMap<String, SinkState>,
        ended: bool,
        models: &KeptModels,
    ) -> Result<Box<dyn Staged>>;
}

/// A source, opened and ready to be read.
#[derive(Default)]
pub struct OpenSource {
    /// Itself, if it wants to hear of checkpoints.
    pub source: Option<Box<dyn Source>>,
    /// It has no end, so partitions may come.
    pub is_endless: bool,
    /// Its partitions.
    pub readers: Vec<Box<dyn PartitionReader>>,
    /// Where these stand, as far as it is not the beginning.
    pub state: SourceState,
    /// What makes rows of its chunks; `None` for constant rows.
    pub intake: Option<Arc<Intake>>,
    /// Its history, if kept.
    pub history: Option<Box<dyn HistorySink>>,
    /// Rows per second, over all its partitions.
    pub rate: Option<f64>,
    /// How long without rows until a partition counts as idle; `None` for bounded input.
    pub idle: Option<Duration>,
    /// Watermarks to be lent again, per partition: (offset, floor), as an earlier run did.
    pub floors: Vec<Vec<(u64, i64)>>,
    /// What the end of its input means.
    pub end: End,
}

/// What the end of a source's input means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// No row can come any more: all windows close.
    #[default]
    Input,
    /// It is where an earlier run was stopped: open windows stay open. That run had come to this watermark, if it has said so.
    Stopped(Option<i64>),
}

impl OpenSource {
    /// Rows that are in the plan itself (`VALUES`, `SELECT 1`).
    pub fn constant(rows: Option<RecordBatch>) -> Self {
        let readers: Vec<Box<dyn PartitionReader>> = vec![Box::new(ConstantRows(rows))];
        OpenSource { readers, ..Default::default() }
    }
}

/// How to run.
pub struct Execution {
    /// Worker threads.
    pub threads: usize,
    /// Rows of a micro-batch at most.
    pub batch_rows: usize,
    /// Longest wait for a micro-batch of a paced source to fill.
    pub delay_max: Duration,
    /// Set from outside to stop reading, drain and commit.
    pub stop: Arc<AtomicBool>,
    /// Counts.
    pub counters: Arc<Counters>,
    /// Digests of what the sinks get are wanted.
    pub digests: bool,
    /// Digests are wanted by window too.
    pub by_window: bool,
    /// The parts of the run are to be timed.
    pub profile: bool,
    /// A source is asked for more only when all that came before is computed, closed and written: for measuring latency.
    pub step_by_step: bool,
    /// The run repeats an earlier one from its history.
    pub repeats: bool,
    /// The run ends with an error once so many micro-batches were given out.
    pub crash_after_batches: Option<u64>,
    /// What earlier runs have ended at.
    pub suspects: Arc<Mutex<Suspects>>,
    /// Hears what a person should hear when it happens.
    pub notice: Option<Arc<Notice>>,
    /// Models whose files are read again; versions that were offered begin at cuts.
    pub models: Vec<(String, Arc<Versions>)>,
}

/// Says something to a person.
pub type Notice = dyn Fn(&str) + Send + Sync;

/// What a run left behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Per sink, in the order of the graph.
    pub digests: Vec<Digest>,
    /// The same by window, if asked for.
    pub windows: Vec<WindowDigests>,
    /// Parts of the input that could not be read.
    pub broken: Vec<Error>,
    /// End offset, watermark of every partition of every source.
    pub partitions: Vec<PartitionEnd>,
    /// The watermark that each source came to.
    pub marks: Vec<i64>,
    /// True if all input ended by itself.
    pub ended: bool,
    /// Time from the release of a micro-batch to the end of its computation, µs, a sample.
    pub latencies_us: Vec<u64>,
    /// From when the outside world had rows until they could be seen at the other end, where sources tell the first.
    pub latency: Option<Latencies>,
    /// The longest time that the flow waited for a checkpoint to be cut.
    pub longest_cut: Duration,
    /// Where the time went, if asked for.
    pub profile: Vec<PartTime>,
}

/// How far a partition came.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionEnd {
    /// Index of the source in the graph.
    pub source: usize,
    /// Partition within the source.
    pub partition: u32,
    /// Offset after the last record.
    pub offset: u64,
    /// Watermark after the last row.
    pub mark: i64,
    /// Watermarks that were lent to the partition when it came back from being idle: (offset, floor).
    pub floors: Vec<(u64, i64)>,
}

/// A micro-batch waiting for a worker.
struct Ready {
    batch: MicroBatch,
    raw: Option<RecordBatch>,
    mark_after: i64,
    /// The records that did not become rows, up to `end`.
    letters: Vec<DeadLetter>,
    /// The offset after its last record, good or bad.
    end: u64,
    /// Its turn in the run that is repeated.
    turn: Option<u64>,
    /// For measuring how long its rows take.
    arrival: Option<Arc<Arrival>>,
    release: Instant,
}

/// A micro-batch that a worker has or had.
struct Entry {
    mark_after: i64,
    turn: u64,
    rows: usize,
    done: Option<Done>,
}

/// Rows for one sink.
struct SinkRows {
    sink: usize,
    rows: RecordBatch,
    digest: Digest,
    /// The digest by end of window, if wanted.
    windows: Vec<(i64, Digest)>,
}

/// What computing a micro-batch gave.
#[derive(Default)]
struct Done {
    rows: Vec<SinkRows>,
    letters: Vec<DeadLetter>,
    arrival: Option<Arc<Arrival>>,
    turn: u64,
}

struct Partition {
    source: usize,
    index: u32,
    /// What its source knows it by.
    name: Option<String>,
    reader: Option<Box<dyn PartitionReader>>,
    /// The reader is with a worker.
    reading: bool,
    /// The reader has come to its end.
    ended: bool,
    chunks_given: u64,
    chunks_applied: u64,
    decoded: BTreeMap<u64, PreparedChunk>,
    offset: u64,
    /// Watermark after the rows applied so far.
    mark: i64,
    queue: VecDeque<Ready>,
    /// When the next row of a paced source may go.
    next_release: Instant,
    /// Given to workers, in order; `first_entry` is the number of the front.
    entries: VecDeque<Entry>,
    first_entry: u64,
    /// Watermark up to which everything is computed and flushed.
    completed: i64,
    /// Offset and watermark after the rows given to workers.
    given: (u64, i64),
    asleep_until: Option<Instant>,
    last_rows: Instant,
    is_idle: bool,
    /// Floors of the run that is repeated, still to come.
    lent: VecDeque<(u64, i64)>,
    floors: Vec<(u64, i64)>,
    finished: bool,
}

impl Partition {
    /// One that is read on from a position.
    fn new(source: usize, index: u32, reader: Box<dyn PartitionReader>, at: Position, now: Instant) -> Self {
        Partition {
            source,
            index,
            name: reader.name(),
            reader: Some(reader),
            reading: false,
            ended: false,
            chunks_given: 0,
            chunks_applied: 0,
            decoded: BTreeMap::new(),
            offset: at.offset,
            mark: at.mark,
            queue: VecDeque::new(),
            next_release: now,
            entries: VecDeque::new(),
            first_entry: 0,
            completed: at.mark,
            given: (at.offset, at.mark),
            asleep_until: None,
            last_rows: now,
            is_idle: false,
            lent: VecDeque::new(),
            floors: at.floors,
            finished: false,
        }
    }

    /// Rows that are decoded, with workers, or were with them since the watermark was heard.
    fn rows_ahead(&self) -> usize {
        let queued = self.queue.iter().map(|ready| ready.batch.rows()).sum::<usize>();
        queued + self.entries.iter().map(|entry| entry.rows).sum::<usize>()
    }
}

struct State {
    partitions: Vec<Partition>,
    /// Chunks with workers or waiting to be applied in order.
    chunks: usize,
    serial_busy: bool,
    /// What the serial part has given to whoever is free, and waits for.
    jobs: VecDeque<Job>,
    answers: Vec<Option<Result<Done>>>,
    /// By source.
    history: VecDeque<(usize, HistoryRows)>,
    letters: Vec<DeadLetter>,
    broken: Vec<Error>,
    error: Option<Error>,
    /// Watermark last announced per source.
    announced: Vec<i64>,
    finished: bool,
    stopping: bool,
    cutting: Cutting,
    /// Micro-batches given out.
    given: u64,
    /// The turn of the next one; turns go on from run to run.
    turn: u64,
    /// When sources are asked for new partitions.
    look_for_partitions: Instant,
    latencies_us: Vec<u64>,
    /// What computing a row takes a worker, smoothed.
    nanos_per_row: f64,
}

struct Runner<'g> {
    graph: &'g Graph,
    execution: &'g Execution,
    intakes: Vec<Option<Arc<Intake>>>,
    /// Source of each partition.
    source_of: RwLock<Vec<usize>>,
    /// Rows per second of each partition of a source.
    rates: Vec<Option<f64>>,
    idles: Vec<Option<Duration>>,
    /// Sources that keep a history.
    keeps: Vec<bool>,
    ends: Vec<End>,
    state: Mutex<State>,
    wake: Condvar,
    serial: Mutex<Serial>,
    chunks_max: usize,
    queue_max: usize,
    /// With so many rows of a partition on their way, from its reader to where the watermark is heard, no more of it are read.
    rows_max: usize,
    /// Every sink has what its `LIMIT` asks for, and only stopping would end the run.
    enough: AtomicBool,
    /// When cuts are due, in a run with checkpoints.
    trigger: Option<Trigger>,
    /// Where checkpoints go, and how often a write is tried.
    store: Mutex<Option<(Store, u32)>>,
    /// Where cuts go to be written; `None` if they are written at once.
    seals: Mutex<Option<SyncSender<Sealed>>>,
    /// The sources that want to hear of checkpoints.
    opened: Vec<Mutex<Option<Box<dyn Source>>>>,
    /// Those of them that partitions may come to.
    endless: Vec<usize>,
    profile: Option<Profile>,
    latency: Arc<Latency>,
    /// What comes to each step, in a run with checkpoints.
    lineages: Vec<Lineage>,
    /// Micro-batches are given out in the order of the turns that they had in the run that is repeated.
    in_turns: bool,
    /// A step takes rows in the order of turns.
    takes_turns: bool,
    /// Batches that take long are pushed in pieces.
    in_pieces: bool,
}

/// Runs a graph to its end (or until told to stop). Sinks are committed if it succeeds, and thrown away if not.
pub fn run_graph(
    graph: &Graph,
    sources: Vec<OpenSource>,
    sinks: Vec<Box<dyn Sink>>,
    letters: Option<Box<dyn DeadLetterStore>>,
    execution: &Execution,
    resumed: Resumed,
) -> Result<Outcome> {
    let now = Instant::now();
    let (mut partitions, mut intakes, mut rates, mut idles, mut histories) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut announced, mut opened, mut endless) = (vec![], vec![], vec![]);
    let ends = sources.iter().map(|s| s.end).collect();
    for (s, source) in sources.into_iter().enumerate() {
        rates.push(source.rate.map(|rate| rate / source.readers.len().max(1) as f64));
        for (index, reader) in source.readers.into_iter().enumerate() {
            let at = source.state.partitions.get(index).cloned();
            let at = at.unwrap_or(Position { mark: MARK_MIN, ..Default::default() });
            let mut partition = Partition::new(s, index as u32, reader, at, now);
            partition.lent = source.floors.get(index).cloned().unwrap_or_default().into();
            if source.state.mark > partition.mark && !source.state.partitions.is_empty() {
                // It was idle, and comes back as one that was.
                partition.lent.push_back((partition.offset, source.state.mark));
            }
            partitions.push(partition);
        }
        announced.push(if source.state.partitions.is_empty() { MARK_MIN } else { source.state.mark });
        opened.push(Mutex::new(source.source));
        endless.extend(source.is_endless.then_some(s));
        intakes.push(source.intake);
        idles.push(source.idle);
        histories.push(source.history);
    }
    let Resumed { checkpoints, sinks: before, marks, counts } = resumed;
    execution.counters.go_on(&counts);
    let (trigger, store, cuts, _lock) = match checkpoints {
        None => (None, None, None, None),
        Some(Checkpoints { store, lock, tries, trigger, cuts }) => {
            (Some(trigger), Some((store, tries)), Some(cuts), Some(lock))
        }
    };
    let (seals, sealed) = match trigger {
        Some(Trigger::Every { .. }) => {
            let (seals, sealed) = sync_channel(1);
            (Some(seals), Some(sealed))
        }
        _ => (None, None),
    };
    let before: Vec<SinkState> =
        graph.sinks.iter().map(|sink| before.get(&sink.name).cloned().unwrap_or_default()).collect();
    let windows = before.iter().map(|sink| {
        let mut windows = sink.windows.clone();
        windows.reopen();
        windows
    });
    let runner = Runner {
        graph,
        execution,
        source_of: RwLock::new(partitions.iter().map(|p| p.source).collect()),
        rates,
        idles,
        keeps: histories.iter().map(Option::is_some).collect(),
        ends,
        state: Mutex::new(State {
            partitions,
            chunks: 0,
            serial_busy: false,
            jobs: VecDeque::new(),
            answers: vec![],
            history: VecDeque::new(),
            letters: vec![],
            broken: vec![],
            error: None,
            announced,
            finished: false,
            stopping: false,
            cutting: Cutting::default(),
            given: 0,
            turn: counts.batches,
            look_for_partitions: now + LOOK_FOR_PARTITIONS,
            latencies_us: vec![],
            nanos_per_row: 0.0,
        }),
        intakes,
        wake: Condvar::new(),
        serial: Mutex::new(Serial {
            digests: before.iter().map(|sink| sink.digest.parse().unwrap_or_default()).collect(),
            windows: windows.collect(),
            sinks,
            node_marks: (0..graph.nodes.len()).map(|node| marks.get(&node).copied().unwrap_or(MARK_MIN)).collect(),
            cuts,
            histories,
            letters,
            arrivals: vec![],
            in_turns: BTreeMap::new(),
        }),
        chunks_max: execution.threads + 1,
        queue_max: 4 * execution.threads,
        rows_max: if graph.keeps_rows() {
            execution.batch_rows.saturating_mul(2 * execution.threads)
        } else {
            usize::MAX
        },
        enough: AtomicBool::new(false),
        trigger,
        store: Mutex::new(store),
        seals: Mutex::new(seals),
        opened,
        endless,
        profile: execution.profile.then(|| Profile::new(graph)),
        latency: Arc::default(),
        lineages: if trigger.is_some() { Lineage::of_inputs(graph) } else { vec![] },
        in_turns: execution.repeats && graph.takes_turns(),
        takes_turns: graph.takes_turns(),
        in_pieces: in_pieces(graph),
    };
    std::thread::scope(|scope| {
        let runner = &runner;
        let named = |name: String| std::thread::Builder::new().name(name);
        if let Some(sealed) = sealed {
            let writing =
                named("pelton-checkpoints".into()).spawn_scoped(scope, move || runner.write_checkpoints(&sealed));
            writing.expect("the system gives us threads");
        }
        let worker = |slot| named(format!("pelton-{slot}")).spawn_scoped(scope, move || runner.work_or_fail(slot));
        let workers: Vec<_> = (1..execution.threads).map(worker).collect();
        runner.work_or_fail(0);
        for worker in workers {
            // One that panicked has said so in `error`.
            let _ = worker.expect("the system gives us threads").join();
        }
        // The thread that writes checkpoints ends with the last one.
        *runner.seals.lock().unwrap_or_else(PoisonError::into_inner) = None;
    });
    runner.end()?;
    // A worker that panicked has said so in `error`.
    let state = runner.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    let serial = runner.serial.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Outcome {
        digests: serial.digests,
        windows: serial.windows,
        broken: state.broken,
        partitions: state
            .partitions
            .iter()
            .map(|p| PartitionEnd {
                source: p.source,
                partition: p.index,
                offset: p.given.0,
                mark: p.given.1,
                floors: p.floors.clone(),
            })
            .collect(),
        marks: state.announced,
        ended: !state.stopping,
        profile: runner.profile.map(|profile| profile.times()).unwrap_or_default(),
        latencies_us: state.latencies_us,
        latency: runner.latency.said(),
        longest_cut: state.cutting.longest,
    })
}

impl Runner<'_> {
    /// Commits everything, if all went well; else throws it away.
    fn end(&self) -> Result<()> {
        let mut state = self.lock();
        let mut serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match state.error.take() {
            Some(error) => Err(error),
            None if self.trigger.is_some() => {
                let positions = state.positions(&state.announced);
                let last = if state.stopping { Last::Stopped } else { Last::Ended };
                drop(state);
                self.seal(&mut serial, positions, last).and_then(|sealed| self.write_checkpoint(sealed))
            }
            None => serial.commit(),
        };
        if done.is_err() {
            serial.sinks.iter_mut().for_each(|sink| sink.abort());
        }
        done
    }

    /// Now, if time is measured.
    fn clock(&self) -> Option<Instant> {
        self.profile.as_ref().map(|_| Instant::now())
    }

    fn timed(&self, part: Part, start: Option<Instant>, rows: usize) {
        if let (Some(profile), Some(start)) = (&self.profile, start) {
            profile.add(part, start, rows);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bug in one worker ends the run with an error; the others stop, and nothing half-done becomes visible.
    fn work_or_fail(&self, slot: usize) {
        let done = catch(|| {
            self.work(slot);
            Ok(())
        });
        if let Err(error) = done {
            fail(&mut self.lock(), error);
            self.wake.notify_all();
        }
    }

    fn work(&self, slot: usize) {
        let mut state = self.lock();
        loop {
            if state.finished || state.error.is_some() {
                self.wake.notify_all();
                return;
            }
            if let Some(job) = state.jobs.pop_front() {
                state = self.job(state, slot, job);
                continue;
            }
            let stop = self.execution.stop.load(Ordering::Relaxed) || self.enough.load(Ordering::Relaxed);
            if !state.stopping && stop {
                state.stopping = true;
                let now = Instant::now();
                for p in &mut state.partitions {
                    p.queue.retain(|r| r.release <= now);
                    p.decoded.clear();
                }
            }
            self.look_for_cut(&mut state, Instant::now());
            if let Some(work) = self.serial_work(&mut state) {
                drop(state);
                let result = self.serial_part(work);
                state = self.lock();
                state.serial_busy = false;
                match result {
                    Ok(finished) => state.finished |= finished,
                    Err(error) => fail(&mut state, error),
                }
                self.wake.notify_all();
                continue;
            }
            let now = Instant::now();
            if !self.endless.is_empty() && state.look_for_partitions <= now && !state.stopping {
                state.look_for_partitions = now + LOOK_FOR_PARTITIONS;
                drop(state);
                let found = self.discover();
                state = self.lock();
                if let Err(error) = found {
                    fail(&mut state, error);
                }
                continue;
            }
            if let Some((p, number, ready)) = self.next_ready(&mut state, now) {
                let nanos_per_row = state.nanos_per_row;
                drop(state);
                let (start, rows) = (Instant::now(), ready.batch.rows());
                let records = (ready.batch.offsets.get(0), ready.batch.offsets.get(rows - 1) + 1);
                let turn = ready.batch.turn;
                let done = catch(|| self.compute(slot, ready.batch, nanos_per_row));
                let done = done.map(|done| Done { arrival: ready.arrival, turn, ..done });
                let nanos_per_row = start.elapsed().as_nanos() as f64 / rows as f64;
                let waited = ready.release.elapsed().as_micros() as u64;
                state = self.lock();
                state.nanos_per_row += (nanos_per_row - state.nanos_per_row) / 4.0;
                match done {
                    Ok(done) => {
                        let partition = &mut state.partitions[p];
                        let at = (number - partition.first_entry) as usize;
                        partition.entries[at].done = Some(done);
                        if state.latencies_us.len() < 1 << 20 {
                            state.latencies_us.push(waited);
                        }
                    }
                    Err(error) => {
                        if error.is_bug() {
                            let Partition { source, index, .. } = state.partitions[p];
                            let records = Records { source, partition: index, from: records.0, to: records.1 };
                            self.execution.suspects.lock().unwrap_or_else(PoisonError::into_inner).end(records);
                        }
                        fail(&mut state, error);
                    }
                }
                self.wake.notify_all();
                continue;
            }
            if let Some(p) = self.next_partition(&mut state, now) {
                state = self.read(state, p);
                self.wake.notify_all();
                continue;
            }
            let timeout = self.next_timer(&state, now);
            state = self.wake.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks sources for partitions that have come. They begin as idle ones, so that they hold back nothing that is closed.
    fn discover(&self) -> Result<()> {
        for &source in &self.endless {
            let mut opened = self.opened[source].lock().unwrap_or_else(PoisonError::into_inner);
            let readers = opened.as_mut().map_or_else(|| Ok(vec![]), |opened| opened.discover())?;
            for mut reader in readers {
                let position = Position { offset: reader.start()?, mark: MARK_MIN, ..Default::default() };
                let mut state = self.lock();
                let index = state.partitions.iter().filter(|p| p.source == source).count() as u32;
                let mut partition = Partition::new(source, index, reader, position, Instant::now());
                partition.is_idle = true;
                self.source_of.write().unwrap_or_else(PoisonError::into_inner).push(source);
                state.partitions.push(partition);
            }
        }
        Ok(())
    }

    /// The next micro-batch whose time has come, of the partition that is furthest behind.
    fn next_ready(&self, state: &mut State, now: Instant) -> Option<(usize, u64, Ready)> {
        if self.execution.crash_after_batches == Some(state.given) {
            fail(state, Error::world("ended as if the process had been killed"));
        }
        if state.cutting.wanted || state.error.is_some() {
            return None;
        }
        let due =
            |p: &Partition| p.queue.front().is_some_and(|r| r.release <= now) && p.entries.len() < 2 * self.queue_max;
        let p = match self.in_turns {
            true => next_in_turn(&state.partitions).filter(|&p| due(&state.partitions[p]))?,
            false => (0..state.partitions.len())
                .filter(|&p| due(&state.partitions[p]))
                .min_by_key(|&p| state.partitions[p].given.1)?,
        };
        let turn = state.turn;
        state.turn += 1;
        let partition = &mut state.partitions[p];
        let mut ready = partition.queue.pop_front()?;
        ready.batch.turn = turn;
        let rows = ready.batch.rows();
        let number = partition.first_entry + partition.entries.len() as u64;
        partition.entries.push_back(Entry { mark_after: ready.mark_after, turn, rows, done: None });
        partition.given = (ready.end, ready.mark_after);
        state.cutting.batches += 1;
        state.given += 1;
        self.execution.counters.letters.fetch_add(ready.letters.len() as u64, Ordering::Relaxed);
        state.letters.append(&mut ready.letters);
        self.execution.counters.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
        if let Some(raw) = ready.raw.take() {
            let (mark, offsets) = (ready.batch.marks.carry(), ready.batch.offsets.clone());
            let rows = HistoryRows { partition: partition.index, columns: raw, offsets, mark, turn };
            state.history.push_back((partition.source, rows));
        }
        Some((p, number, ready))
    }
}

/// Makes an error of a bug.
fn catch<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Error::bug(format!("a bug in Pelton stopped the run: {text}"))
            .hint("nothing was committed; please report it with the query and the place printed above"))
    })
}

/// The partition whose next micro-batch has the least turn; `None` while one may still bring a lesser.
fn next_in_turn(partitions: &[Partition]) -> Option<usize> {
    let mut least: Option<(u64, usize)> = None;
    for (at, p) in partitions.iter().enumerate() {
        match p.queue.front() {
            Some(ready) => least = Some(least.unwrap_or((u64::MAX, at)).min((ready.turn.unwrap_or(0), at))),
            None if p.ended && !p.reading && p.chunks_given == p.chunks_applied => {}
            None => return None,
        }
    }
    least.map(|(_, at)| at)
}

/// Whether no chunk is with a worker or waiting, and no micro-batch either.
fn is_idle(state: &State) -> bool {
    state.chunks == 0 && state.partitions.iter().all(|p| p.queue.is_empty() && p.entries.is_empty() && !p.reading)
}

fn fail(state: &mut State, error: Error) {
    state.error.get_or_insert(error);
}

/// Keeps rows in memory: tables that are loaded for a join, results for tests and the shell.
#[derive(Clone, Default)]
pub struct Collect(pub Arc<Mutex<Vec<RecordBatch>>>);

impl Sink for Collect {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.lock().expect("no panic holds this lock").push(batch.clone());
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}

const _: () = assert!(DERIVED == u32::MAX, "partition numbers stay below the mark for derived rows");

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::graph::{Input, SinkNode, SourceNode};
    use crate::operators::Emit;
    use crate::operators::Operator;

    struct Bug;

    impl Operator for Bug {
        fn push(&self, _: usize, _: MicroBatch, _: &mut Emit) -> Result<()> {
            panic!("out of luck")
        }

        fn describe(&self) -> String {
            "Bug".into()
        }
    }

    #[test]
    fn a_panic_ends_the_run_with_an_error() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("x", values)]).unwrap();
        let mut graph = Graph::default();
        graph.sources.push(SourceNode {
            table: None,
            schema: rows.schema(),
            constant: Some(rows.clone()),
            columns: Default::default(),
            outputs: vec![],
        });
        let node = graph.add(Box::new(Bug), vec![Input::Source(0)]);
        graph.add_sink(SinkNode {
            target: None,
            name: "result".into(),
            schema: rows.schema(),
            inputs: vec![node],
            window_end: None,
        });
        let execution = Execution {
            threads: 3,
            batch_rows: 10,
            delay_max: Duration::ZERO,
            stop: Arc::default(),
            counters: Arc::default(),
            digests: true,
            by_window: false,
            profile: false,
            step_by_step: false,
            repeats: false,
            crash_after_batches: None,
            suspects: Arc::default(),
            notice: None,
            models: vec![],
        };
        let kept = Collect::default();
        let sources = vec![OpenSource::constant(Some(rows))];
        let error =
            run_graph(&graph, sources, vec![Box::new(kept.clone())], None, &execution, Resumed::default()).unwrap_err();
        assert_eq!(error.to_string(), "a bug in Pelton stopped the run: out of luck");
        assert_eq!(error.exit_code(), 1);
    }
}
