//! A pipeline from its text: run it, replay it from history, verify it. `open` opens what is outside, `resume` goes on from a checkpoint.

mod models;
mod open;
mod resume;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;

use self::models::Reloaded;
use crate::by_window::WindowDigests;
use crate::connector::{DeadLetterStore, Options, Registry, Sink, Storage};
use crate::error::{Error, Result};
use crate::graph::{Graph, SourceNode};
use crate::history::{Manifest, PartitionState, check_segments, manifest, put_manifest, runs};
use crate::plan::{StepPlace, TimeRange, places, plan};
use crate::profile::PartTime;
use crate::run::checkpoints::Resumed;
use crate::run::latency::Latencies;
use crate::run::poison::Suspects;
use crate::run::{Counters, Execution, Notice, Outcome, run_graph};
use crate::sql::{FloatSum, Script, TableDef, Target, parse_script};

/// Makes the sink of a bare `SELECT`, by name and columns.
pub type PrintSink = dyn Fn(&str, &SchemaRef) -> Box<dyn Sink> + Send + Sync;

/// How to run a pipeline.
#[derive(Clone)]
pub struct RunOptions {
    /// Worker threads.
    pub threads: usize,
    /// Rows of a micro-batch at most; `pelton.batch.rows-max` or 65,536 if not set.
    pub batch_rows: Option<usize>,
    /// Settings from outside (`--set`), stronger than `SET` in the text.
    pub sets: Vec<(String, String)>,
    /// Values of `${VAR}`, stronger than the environment.
    pub variables: BTreeMap<String, String>,
    /// Set it to stop reading, drain, commit.
    pub stop: Arc<AtomicBool>,
    /// Counts while the run goes on.
    pub counters: Arc<Counters>,
    /// Where bare `SELECT`s print; without it their rows are only counted.
    pub print: Option<Arc<PrintSink>>,
    /// Which results a replay keeps.
    pub range: TimeRange,
    /// Compute the sinks' digests, at some 20 ns a row of output. A run that keeps history computes them in any case.
    pub digests: bool,
    /// A replay may replace files that are there.
    pub overwrite: bool,
    /// Time the parts of the run: [`Summary::profile`].
    pub profile: bool,
    /// Ask sources for more only when nothing else is left to do: for measuring latency.
    pub step_by_step: bool,
    /// Go on from this savepoint or epoch instead of the newest checkpoint.
    pub restore: Option<String>,
    /// Go on without state that no step of the query takes.
    pub allow_dropped_state: bool,
    /// Take a checkpoint after so many micro-batches and write it before the flow goes on: for simulations.
    pub checkpoint_batches: Option<u64>,
    /// End as if the process had been killed once so many micro-batches were given out: for tests.
    pub crash_after_batches: Option<u64>,
    /// How often a run with checkpoints goes on by itself after an error of the world; `pelton.restart.attempts` if not set.
    pub restarts: Option<u32>,
    /// Hears what a person should hear when it happens.
    pub notice: Option<Arc<Notice>>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            batch_rows: None,
            sets: vec![],
            variables: BTreeMap::new(),
            stop: Arc::default(),
            counters: Arc::default(),
            print: None,
            range: TimeRange::default(),
            digests: true,
            overwrite: false,
            profile: false,
            step_by_step: false,
            restore: None,
            allow_dropped_state: false,
            checkpoint_batches: None,
            crash_after_batches: None,
            restarts: None,
            notice: None,
        }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Rows that passed the intake of the sources.
    pub rows_in: u64,
    /// Rows given to sinks.
    pub rows_out: u64,
    /// Rows late for at least one window.
    pub late: u64,
    /// Dead letters of every kind, late rows included.
    pub dead_letters: u64,
    /// Micro-batches.
    pub batches: u64,
    /// Wall time.
    pub seconds: f64,
    /// Per sink, the digest of all rows it was given, if they are computed. Prefixed `fast:` or `volatile:` if the run asked for that.
    pub digests: BTreeMap<String, String>,
    /// Parts of the input that could not be read. The rest was committed; the command ends with exit code 1.
    pub broken: Vec<Error>,
    /// True if the input ended by itself (not by a signal).
    pub ended: bool,
    /// Microseconds from release to end of computation of micro-batches, a sample.
    pub latencies_us: Vec<u64>,
    /// From when the outside world had rows until they could be seen at the other end, where sources tell the first (Kafka).
    pub latency: Option<Latencies>,
    /// The longest time that the flow waited for a checkpoint to be cut.
    pub longest_cut: Duration,
    /// Where the time went, if it was asked for.
    pub profile: Vec<PartTime>,
}

/// Puts the options' variables into the text.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(text.to_string(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

/// Reads a pipeline's text with the options' settings and variables.
pub fn read_script(text: &str, registry: &Registry, options: &RunOptions) -> Result<Script> {
    parse_script(&substitute(text, &options.variables), registry, &options.sets)
}

/// Runs the pipeline in `text`: all its queries, over one pass of each source.
pub fn run_text(text: &str, registry: &Registry, options: &RunOptions) -> Result<Summary> {
    let script = read_script(text, registry, options)?;
    run_script(&script, registry, options)
}

/// Runs a script that was read. With checkpoints, a run that the world has ended goes on from the last one, after a pause; a few
/// times without progress, then the error is the answer.
pub fn run_script(script: &Script, registry: &Registry, options: &RunOptions) -> Result<Summary> {
    let mut again = options.clone();
    // Whatever it began with, it goes on from what it has come to.
    again.restore = None;
    let suspects: Arc<Mutex<Suspects>> = Arc::default();
    let run = |options: &RunOptions| {
        Pipeline { script, registry, options, mode: Mode::Live, suspects: suspects.clone() }.run()
    };
    let keeps = script.settings.get("pelton.checkpoint.dir").is_some();
    let set = script.settings.number("pelton.restart.attempts").map(|n| n as u32);
    let attempts = if keeps { options.restarts.or(set).unwrap_or(RESTARTS) } else { 0 };
    let delay = script.settings.duration("pelton.restart.delay").unwrap_or(Duration::from_secs(1));
    let (mut left, mut furthest) = (attempts, 0);
    let mut ran = run(options);
    loop {
        let error = match ran {
            Ok(ran) => return Ok(ran.summary),
            Err(error) => error,
        };
        let reached = options.counters.epoch.load(Ordering::Relaxed);
        let progress = reached > furthest;
        if progress {
            (left, furthest) = (attempts, reached);
        }
        let learnt = suspects.lock().unwrap_or_else(PoisonError::into_inner).learn(&error.to_string(), progress);
        if learnt && attempts > 0 {
            left = attempts;
        }
        if error.exit_code() != 1 || left == 0 || options.stop.load(Ordering::Relaxed) {
            return Err(error);
        }
        // Where the next run knows more, there is nothing to wait for.
        let pause = if learnt { Duration::ZERO } else { delay * 2_u32.saturating_pow(attempts - left) };
        let pause = pause.min(RESTART_PAUSE_MAX);
        left -= 1;
        if let Some(notice) = &options.notice {
            notice(&format!("{error}; going on from the last checkpoint in {pause:?}"));
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !options.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20).min(pause));
        }
        options.counters.reset();
        ran = run(&again);
    }
}

/// How often a run without progress is begun again, and the longest pause before it.
const RESTARTS: u32 = 3;
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Replays the last run of the pipeline from the histories that its tables name; each sink's rows go to `into/NAME.parquet`.
pub fn replay_text(text: &str, registry: &Registry, options: &RunOptions, into: &Path) -> Result<Summary> {
    replay_script(&read_script(text, registry, options)?, registry, options, into)
}

/// The same for a script that was read.
pub fn replay_script(script: &Script, registry: &Registry, options: &RunOptions, into: &Path) -> Result<Summary> {
    let mode = Mode::Replay { into: Some(into.to_path_buf()) };
    Pipeline { script, registry, options, mode, suspects: Arc::default() }.run().map(|ran| ran.summary)
}

/// What `verify` found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Per sink: digest of the live run, digest of the replay.
    pub sinks: BTreeMap<String, (String, String)>,
    /// For sinks that differ, which of their windows do.
    pub windows: BTreeMap<String, Vec<String>>,
    /// Segments whose rows are no longer those of the live run: table, file, what was found.
    pub segments: Vec<(String, String, String)>,
    /// Bounded tables whose content has changed since.
    pub tables: Vec<String>,
    /// The replay.
    pub replay: Summary,
}

impl Verdict {
    /// True if everything is as it was.
    pub fn holds(&self) -> bool {
        self.segments.is_empty()
            && self.tables.is_empty()
            && self.replay.broken.is_empty()
            && self.sinks.values().all(|(live, again)| live == again)
    }
}

/// Replays what the last live run saw and compares digests: of the input segment by segment, of every sink.
pub fn verify_text(text: &str, registry: &Registry, options: &RunOptions) -> Result<Verdict> {
    verify_script(&read_script(text, registry, options)?, registry, options)
}

/// The same for a script that was read.
pub fn verify_script(script: &Script, registry: &Registry, options: &RunOptions) -> Result<Verdict> {
    let pipeline = Pipeline { script, registry, options, mode: Mode::Replay { into: None }, suspects: Arc::default() };
    let mut verdict = Verdict::default();
    let histories = pipeline.histories()?;
    let mut live: BTreeMap<String, String> = BTreeMap::new();
    for (table, history) in &histories {
        if history.manifest.ended == "running" {
            return Err(Error::world(format!(
                "the last run of {table} has not ended, or was killed: there is nothing to compare with"
            ))
            .hint("end it with Ctrl-C (or let it end), or replay what is there with `pelton replay`"));
        }
        if history.manifest.pipeline != pipeline.fingerprint() {
            return Err(Error::user(format!("the queries or settings have changed since the last run over {table}"))
                .hint("run the pipeline again, or verify with the text it was run with"));
        }
        let expired = history.manifest.segments.iter().filter(|s| s.expired).count();
        if expired > 0 {
            return Err(Error::world(format!(
                "{expired} segments of the last run of {table} were removed, as its 'history.retention' asks: the run \
                 cannot be repeated"
            ))
            .hint("`pelton replay` computes the results of what is left"));
        }
        live.extend(history.manifest.sinks.clone());
        for (segment, found) in check_segments(registry.places()?, &history.storage, history.run, &history.manifest) {
            verdict.segments.push((
                table.clone(),
                format!("{}/{}", crate::history::run_name(history.run), segment.file),
                found,
            ));
        }
    }
    let Ran { summary: replay, tables, windows } = pipeline.run()?;
    for history in histories.values() {
        for (table, fingerprint) in &history.manifest.tables {
            if tables.get(table).is_some_and(|now| now != fingerprint) && !verdict.tables.contains(table) {
                verdict.tables.push(table.clone());
            }
        }
    }
    for (sink, digest) in &replay.digests {
        let was = live.get(sink).cloned().unwrap_or_else(|| "none".to_string());
        let then = histories.values().find_map(|h| h.manifest.windows.get(sink));
        if let (Some(then), Some(now)) = (then, windows.get(sink)) {
            let found = then.differences(now);
            if !found.is_empty() {
                verdict.windows.insert(sink.clone(), found);
            }
        }
        verdict.sinks.insert(sink.clone(), (was, digest.clone()));
    }
    verdict.replay = replay;
    Ok(verdict)
}

/// The graph of a pipeline as text.
pub fn explain_text(text: &str, registry: &Registry, options: &RunOptions) -> Result<String> {
    let script = read_script(text, registry, options)?;
    explain_script(&script, registry)
}

/// The graph of all queries of a script, `EXPLAIN`ed or not; for those of `EXPLAIN PLACEMENT` where their steps run.
pub fn explain_script(script: &Script, registry: &Registry) -> Result<String> {
    let (placed, shown): (Vec<_>, Vec<_>) = script.jobs.iter().partition(|job| job.placement);
    let mut text = String::new();
    if !shown.is_empty() || placed.is_empty() {
        text += &crate::plan::plan_jobs(&shown, script, registry, 2, TimeRange::default())?.explain();
    }
    if !placed.is_empty() {
        text += &places_text(&places(&placed, script, registry)?);
    }
    Ok(text)
}

/// Where the steps of all queries of a script run, and why.
pub fn explain_placement(script: &Script, registry: &Registry) -> Result<Vec<StepPlace>> {
    places(&script.jobs.iter().collect::<Vec<_>>(), script, registry)
}

/// The same as text.
pub fn places_text(places: &[StepPlace]) -> String {
    places.iter().map(StepPlace::to_string).collect()
}

/// Plans a script and holds its tables' options against what their connectors know. Nothing outside is opened.
pub fn check_script(script: &Script, registry: &Registry) -> Result<()> {
    let jobs: Vec<_> = script.jobs.iter().collect();
    let graph = crate::plan::plan_jobs(&jobs, script, registry, 2, TimeRange::default())?;
    let check = |def: &TableDef, reads: bool| {
        let options = &def.table.options;
        for key in crate::sql::ENGINE_TABLE_OPTIONS {
            options.get(key);
        }
        let known = registry.of(options)?.check(&def.table, reads).map_err(|e| or_unknown_option(e, options));
        known.and_then(|()| options.reject_unknown()).map_err(|e| e.at(def.span))
    };
    let mut graphs = vec![&graph];
    while let Some(graph) = graphs.pop() {
        graphs.extend(graph.loads.iter().map(|l| &l.graph));
        graph.sources.iter().filter_map(|s| s.table.as_ref()).try_for_each(|def| check(def, true))?;
        for sink in &graph.sinks {
            if let Some(Target::Table(def)) = &sink.target {
                check(def, false)?;
            }
        }
    }
    Ok(())
}

enum Mode {
    Live,
    /// From history; rows go below `into`, or nowhere.
    Replay {
        into: Option<PathBuf>,
    },
}

/// The last run in a table's history.
struct History {
    storage: Arc<dyn Storage>,
    run: u32,
    manifest: Manifest,
}

/// What a run gave.
#[derive(Default)]
struct Ran {
    summary: Summary,
    /// Fingerprints of bounded tables.
    tables: BTreeMap<String, String>,
    /// Digests by window, per sink.
    windows: BTreeMap<String, WindowDigests>,
}

struct Pipeline<'a> {
    script: &'a Script,
    registry: &'a Registry,
    options: &'a RunOptions,
    mode: Mode,
    /// What runs have ended at before.
    suspects: Arc<Mutex<Suspects>>,
}

impl Pipeline<'_> {
    /// What shapes the answer: queries, tables without the options that do not, settings.
    fn fingerprint(&self) -> String {
        let mut text = String::new();
        for job in self.script.jobs.iter().filter(|j| !j.explain) {
            text += &format!("{}\n", job.plan.display_indent_schema());
        }
        for table in &self.script.tables {
            text += &format!(
                "{} {:?} {:?}\n",
                table.table.name,
                table.schema,
                table.watermark.as_ref().map(|w| w.expr.to_string())
            );
        }
        for key in ["pelton.float-sum", "pelton.time-zone", "pelton.volatile", "pelton.allowed-lateness"] {
            text += &format!("{key}={}\n", self.script.settings.get(key).unwrap_or("default"));
        }
        if self.script.settings.over_arrival() {
            text += "pelton.over.mode=arrival\n";
        }
        format!("{:032x}", pelton_kernels::digest::hash_text(&text))
    }

    fn history_path<'t>(&self, def: &'t TableDef) -> Option<&'t str> {
        def.table.options.get("history.path")
    }

    /// Whether any table keeps a history, which then says what the bounded tables beside it held: finding that out may
    /// mean reading them.
    fn keeps_history(&self) -> bool {
        self.script.tables.iter().any(|table| self.history_path(table).is_some())
    }

    /// The last runs in the histories of all tables that keep one.
    fn histories(&self) -> Result<BTreeMap<String, History>> {
        let mut all = BTreeMap::new();
        for table in &self.script.tables {
            let Some(path) = self.history_path(table) else { continue };
            let place = self.registry.places()?.directory(path);
            let storage = place.map_err(|e| e.at(table.table.options.span("history.path")))?;
            let Some(run) = runs(storage.as_ref())?.last().copied() else { continue };
            let manifest = manifest(storage.as_ref(), run)?;
            all.insert(table.table.name.clone(), History { storage, run, manifest });
        }
        let kept = self.script.tables.iter().find_map(|t| self.history_path(t));
        if let (true, Some(path)) = (all.is_empty(), kept) {
            return Err(Error::user(format!("there is no run in the history '{path}'"))
                .hint("run the pipeline first, from the same working directory"));
        }
        if all.is_empty() {
            return Err(Error::user("no table of this pipeline has a history")
                .hint("add 'history.path' = '...' to WITH (...) of its source and run it first"));
        }
        Ok(all)
    }

    fn batch_rows(&self) -> usize {
        let set = self.script.settings.number("pelton.batch.rows-max").map(|n| n as usize);
        self.options.batch_rows.or(set).unwrap_or(65_536).max(1)
    }

    fn latency_target(&self) -> Duration {
        self.script.settings.duration("pelton.latency-target").unwrap_or(LATENCY_TARGET)
    }

    fn execution(&self) -> Execution {
        Execution {
            threads: self.options.threads.max(1),
            batch_rows: self.batch_rows(),
            delay_max: self.script.settings.duration("pelton.batch.delay-max").unwrap_or(Duration::from_millis(100)),
            stop: self.options.stop.clone(),
            counters: self.options.counters.clone(),
            digests: self.options.digests,
            by_window: false,
            profile: self.options.profile,
            step_by_step: self.options.step_by_step,
            repeats: matches!(self.mode, Mode::Replay { .. }),
            crash_after_batches: self.options.crash_after_batches,
            suspects: self.suspects.clone(),
            notice: self.options.notice.clone(),
            models: vec![],
        }
    }

    fn run(&self) -> Result<Ran> {
        let started = Instant::now();
        let threads = self.options.threads.max(1);
        let graph = plan(self.script, self.registry, threads + 1, self.options.range)?;
        if graph.sinks.is_empty() {
            return Ok(Ran { summary: Summary { ended: true, ..Default::default() }, ..Default::default() });
        }
        let histories = match &self.mode {
            Mode::Live => BTreeMap::new(),
            Mode::Replay { .. } => self.histories()?,
        };
        let live = matches!(self.mode, Mode::Live);
        let mut tables = BTreeMap::new();
        // Everything is opened before anything is read: bad options and missing paths come first.
        let mut going_on = self.checkpoints(&graph)?;
        let models = self.reloaded()?;
        let _claims = self.begin_models(&models, going_on.as_ref(), &histories)?;
        let manifest = going_on.as_ref().and_then(|going_on| going_on.chosen.manifest.as_ref());
        let (sources, keepers) = self.open_sources(&graph, &histories, &mut tables, manifest)?;
        let sinks = match &mut going_on {
            Some(going_on) => std::mem::take(&mut going_on.sinks),
            None => self.open_sinks(&graph)?,
        };
        // A replay opens no connectors, so nobody has said which options there are.
        for table in self.script.tables.iter().filter(|_| matches!(self.mode, Mode::Live)) {
            table.table.options.reject_unknown()?;
        }
        self.load(&graph, &mut tables)?;
        let letters = self.dead_letters()?;
        let (sinks, letters, resumed) = match going_on {
            None => (sinks, letters, Resumed::default()),
            Some(going_on) => match self.go_on(&graph, going_on, sinks, letters)? {
                Ok(ready) => ready,
                Err(finished) => return Ok(finished),
            },
        };
        let mut execution = self.execution();
        execution.by_window = !keepers.is_empty() || matches!(self.mode, Mode::Replay { into: None });
        execution.digests |= !keepers.is_empty();
        execution.models = models.iter().map(Reloaded::versions).collect();
        let run = || run_graph(&graph, sources, sinks, letters, &execution, resumed);
        let mut outcome = if models.is_empty() || !live { run()? } else { self.beside_watcher(&models, run)? };
        let digests = self.digests(&graph, &outcome, execution.digests);
        let windows = graph.sinks.iter().zip(std::mem::take(&mut outcome.windows)).map(|(sink, mut windows)| {
            windows.close();
            (sink.name.clone(), windows)
        });
        let windows = windows.collect();
        self.finish_histories(&keepers, &outcome, &digests, &windows, &tables)?;
        let counters = &self.options.counters;
        let summary = Summary {
            rows_in: counters.rows_in.load(Ordering::Relaxed),
            rows_out: counters.rows_out.load(Ordering::Relaxed),
            late: counters.late.load(Ordering::Relaxed),
            dead_letters: counters.letters.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            seconds: started.elapsed().as_secs_f64(),
            digests,
            broken: outcome.broken,
            ended: outcome.ended,
            latencies_us: outcome.latencies_us,
            latency: outcome.latency,
            longest_cut: outcome.longest_cut,
            profile: outcome.profile,
        };
        Ok(Ran { summary, tables, windows })
    }

    /// Where letters go; a replay keeps none.
    fn letters_path(&self) -> Option<&str> {
        self.script.settings.get("dead-letters.path").filter(|_| matches!(self.mode, Mode::Live))
    }

    fn dead_letters(&self) -> Result<Option<Box<dyn DeadLetterStore>>> {
        let retention = self.script.settings.duration("dead-letters.retention");
        self.letters_path().map(|path| self.registry.places()?.dead_letters(path, retention)).transpose()
    }

    /// What stands before digests that promise less.
    fn prefix(&self) -> String {
        let fast = if self.script.settings.float_sum() == FloatSum::Fast { "fast:" } else { "" };
        let volatile = if self.script.volatile { "volatile:" } else { "" };
        format!("{fast}{volatile}")
    }

    /// Where checkpoints go; a replay takes none.
    fn checkpoint_dir(&self) -> Option<&str> {
        self.script.settings.get("pelton.checkpoint.dir").filter(|_| matches!(self.mode, Mode::Live))
    }

    fn digests(&self, graph: &Graph, outcome: &Outcome, computed: bool) -> BTreeMap<String, String> {
        if !computed {
            return BTreeMap::new();
        }
        let prefix = self.prefix();
        graph.sinks.iter().zip(&outcome.digests).map(|(s, d)| (s.name.clone(), format!("{prefix}{d}"))).collect()
    }

    fn finish_histories(
        &self,
        keepers: &[(usize, Arc<dyn Storage>, u32)],
        outcome: &Outcome,
        digests: &BTreeMap<String, String>,
        windows: &BTreeMap<String, WindowDigests>,
        tables: &BTreeMap<String, String>,
    ) -> Result<()> {
        for (source, storage, run) in keepers {
            let mut manifest = manifest(storage.as_ref(), *run)?;
            manifest.ended = if outcome.ended { "end-of-input" } else { "stopped" }.to_string();
            manifest.sinks = digests.clone();
            manifest.windows = windows.clone();
            manifest.tables = tables.clone();
            manifest.watermark = outcome.marks.get(*source).copied().filter(|m| *m != crate::batch::MARK_MIN);
            manifest.partitions = outcome
                .partitions
                .iter()
                .filter(|p| p.source == *source)
                .map(|p| PartitionState {
                    partition: p.partition,
                    offset: p.offset,
                    watermark: (p.mark != crate::batch::MARK_MIN).then_some(p.mark),
                    floors: p.floors.clone(),
                })
                .collect();
            put_manifest(storage.as_ref(), *run, &manifest)?;
        }
        Ok(())
    }
}

/// How long a record should take, where nobody says.
const LATENCY_TARGET: Duration = Duration::from_millis(20);

/// What checkpoints know a source by.
fn source_name(index: usize, node: &SourceNode) -> String {
    node.table.as_ref().map_or_else(|| format!("constant rows {index}"), |table| table.table.name.clone())
}

/// A misspelt option is the better explanation of whatever else went wrong. Connectors ask for all their keys first.
fn or_unknown_option(error: Error, options: &Options) -> Error {
    match options.reject_unknown() {
        Err(unknown) => unknown,
        Ok(()) => error,
    }
}
