//! A pipeline from its text: run it, replay it from history, verify it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use crate::by_window::WindowDigests;
use crate::checkpoint::manifest::Manifest as Checkpoint;
use crate::checkpoint::resume::{Chosen, choose, load_steps, seek};
use crate::checkpoint::store::{RETAINED, Store};
use crate::connector::{Committed, DeadLetterStore, Options, Registry, Sink, Storage, Table};
use crate::error::{Error, Result};
use crate::expr::plan_error;
use crate::graph::{Graph, SourceNode};
use crate::history::{
    HistoryKeeper, HistorySource, Manifest, PartitionState, SoFar, check_segments, manifest, put_manifest, runs,
};
use crate::intake::Intake;
use crate::operators::LookupTable;
use crate::plan::{StepPlace, TimeRange, places, plan};
use crate::profile::PartTime;
use crate::prune::skip_rule;
use crate::run::checkpoints::{Checkpoints, Cuts, Resumed, Trigger};
use crate::run::{Collect, Counters, End, Execution, OpenSource, Outcome, run_graph};
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

/// Says something to a person.
pub type Notice = dyn Fn(&str) + Send + Sync;

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
    let run = |options: &RunOptions| Pipeline { script, registry, options, mode: Mode::Live }.run();
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
        if reached > furthest {
            (left, furthest) = (attempts, reached);
        }
        if error.exit_code() != 1 || left == 0 || options.stop.load(Ordering::Relaxed) {
            return Err(error);
        }
        let pause = (delay * 2_u32.saturating_pow(attempts - left)).min(RESTART_PAUSE_MAX);
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
    let script = read_script(text, registry, options)?;
    let mode = Mode::Replay { into: Some(into.to_path_buf()) };
    Pipeline { script: &script, registry, options, mode }.run().map(|ran| ran.summary)
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
    let script = read_script(text, registry, options)?;
    let pipeline = Pipeline { script: &script, registry, options, mode: Mode::Replay { into: None } };
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
            crash_after_batches: self.options.crash_after_batches,
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
        let mut tables = BTreeMap::new();
        // Everything is opened before anything is read: bad options and missing paths come first.
        let mut going_on = self.checkpoints(&graph)?;
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
        let mut outcome = run_graph(&graph, sources, sinks, letters, &execution, resumed)?;
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
            longest_cut: outcome.longest_cut,
            profile: outcome.profile,
        };
        Ok(Ran { summary, tables, windows })
    }

    #[expect(clippy::type_complexity, reason = "what was opened, and where the histories' manifests are")]
    fn open_sources(
        &self,
        graph: &Graph,
        histories: &BTreeMap<String, History>,
        tables: &mut BTreeMap<String, String>,
        manifest: Option<&Checkpoint>,
    ) -> Result<(Vec<OpenSource>, Vec<(usize, Arc<dyn Storage>, u32)>)> {
        let mut sources = vec![];
        let mut keepers = vec![];
        for (index, node) in graph.sources.iter().enumerate() {
            let from = manifest.and_then(|manifest| manifest.sources.get(&source_name(index, node)));
            let Some(def) = &node.table else {
                let mut source = OpenSource::constant(node.constant.clone());
                (source.readers, source.state) = seek("constant rows", source.readers, from)?;
                sources.push(source);
                continue;
            };
            let options = &def.table.options;
            for key in crate::sql::ENGINE_TABLE_OPTIONS {
                options.get(key);
            }
            let connector = self.registry.of(options)?;
            let path = self.history_path(def).filter(|_| matches!(self.mode, Mode::Live));
            let future = (matches!(self.mode, Mode::Live) && connector.follows_the_clock(options)).then(|| {
                let skew = self.script.settings.duration("pelton.max-future-skew").unwrap_or(Duration::from_secs(3600));
                skew.as_micros() as i64
            });
            // A letter shows the whole row, so that it can be read again by another text.
            let whole = path.is_some() || self.letters_path().is_some();
            // History keeps what no query needs, too.
            let skip = skip_rule(graph, index).filter(|_| path.is_none());
            let intake = Arc::new(Intake::new(node, def, self.batch_rows(), whole, future, skip)?);
            let mut source: Box<dyn crate::connector::Source> = match histories.get(&def.table.name) {
                Some(history) => {
                    let raw = intake.raw_schema();
                    let columns = Schema::new(raw.fields()[..intake.request.columns.len()].to_vec());
                    Box::new(HistorySource {
                        places: self.registry.places()?.clone(),
                        storage: history.storage.clone(),
                        run: history.run,
                        manifest: history.manifest.clone(),
                        columns: Arc::new(columns),
                        request: intake.request.clone(),
                    })
                }
                None if matches!(self.mode, Mode::Replay { .. })
                    && histories.values().any(|h| h.manifest.ended != "end-of-input") =>
                {
                    return Err(Error::user(format!(
                        "the last run was stopped, and {} keeps no history: nothing says how far it was read",
                        def.table.name
                    ))
                    .at(def.span)
                    .hint("add 'history.path' = '...' to its WITH (...)"));
                }
                None if matches!(self.mode, Mode::Replay { .. }) && !def.bounded => {
                    return Err(Error::user(format!(
                        "{} is not bounded and keeps no history: it cannot be replayed",
                        def.table.name
                    ))
                    .at(def.span)
                    .hint("add 'history.path' = '...' to its WITH (...)"));
                }
                None => connector
                    .source(&def.table, &intake.request)
                    .map_err(|e| or_unknown_option(e, options).at(def.span))?,
            };
            if def.bounded
                && self.keeps_history()
                && !histories.contains_key(&def.table.name)
                && self.history_path(def).is_none()
                && let Some(fingerprint) = source.fingerprint()
            {
                tables.insert(def.table.name.clone(), fingerprint);
            }
            let history: Option<Box<dyn crate::run::HistorySink>> = match path {
                None => None,
                Some(path) => {
                    let interval = options.duration("history.commit-interval", Duration::from_secs(10))?;
                    let retention = options.duration("history.retention", Duration::ZERO)?;
                    let places = self.registry.places()?.clone();
                    let retention = (!retention.is_zero()).then_some(retention);
                    let raw = intake.raw_schema();
                    let token = manifest.and_then(|m| Some((m, m.histories.get(&source_name(index, node))?)));
                    let keeper = match token {
                        Some((manifest, token)) => {
                            let at = &manifest.sources[&source_name(index, node)];
                            let so_far = SoFar::new(at, &manifest.sinks, &self.prefix(), manifest.ended);
                            HistoryKeeper::resume(places, path, &raw, retention, (manifest.epoch, token), &so_far)
                        }
                        None => HistoryKeeper::start(
                            places,
                            path,
                            &def.table.name,
                            &self.fingerprint(),
                            &raw,
                            interval,
                            retention,
                        ),
                    };
                    let mut keeper = keeper.map_err(|e| e.at(options.span("history.path")))?;
                    if self.checkpoint_dir().is_some() {
                        keeper = keeper.with_checkpoints(&self.prefix());
                    }
                    let (storage, run) = keeper.location();
                    keepers.push((index, storage, run));
                    Some(Box::new(keeper))
                }
            };
            let live = matches!(self.mode, Mode::Live);
            let rate = options.get("rows-per-second").filter(|_| live);
            let rate = match rate {
                None => None,
                Some(text) => match text.trim().parse::<f64>() {
                    Ok(rate) if rate > 0.0 => Some(rate),
                    _ => return Err(options.bad("rows-per-second", "a number above 0")),
                },
            };
            let floors = histories.get(&def.table.name).map_or(vec![], |history| {
                let mut floors = vec![vec![]; history.manifest.partitions.len()];
                for p in &history.manifest.partitions {
                    let at = p.partition as usize;
                    floors.resize(floors.len().max(at + 1), vec![]);
                    floors[at] = p.floors.clone();
                }
                for (at, floors) in floors.iter_mut().enumerate() {
                    floors.splice(0..0, history.manifest.mark_after_expired(at as u32));
                }
                floors
            });
            let idle = options.duration("scan.watermark.idle-timeout", Duration::from_secs(30))?;
            let idle = (!def.bounded && live && !idle.is_zero()).then_some(idle);
            let readers = source.partitions().map_err(|e| e.at(def.span))?;
            let (readers, state) = seek(&def.table.name, readers, from).map_err(|e| e.at(def.span))?;
            sources.push(OpenSource {
                is_endless: live && !def.bounded,
                source: Some(source),
                readers,
                state,
                intake: Some(intake),
                history,
                rate,
                idle,
                floors,
                end: match histories.get(&def.table.name) {
                    Some(history) if history.manifest.ended != "end-of-input" => {
                        End::Stopped(history.manifest.watermark)
                    }
                    _ => End::Input,
                },
            });
        }
        Ok((sources, keepers))
    }

    fn open_sinks(&self, graph: &Graph) -> Result<Vec<Box<dyn Sink>>> {
        let mut sinks: Vec<Box<dyn Sink>> = vec![];
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for sink in &graph.sinks {
            *seen.entry(sink.name.clone()).or_default() += 1;
            sinks.push(match (&sink.target, &self.mode) {
                (_, Mode::Replay { into: None }) => Box::new(Nowhere),
                (_, Mode::Replay { into: Some(into) }) => {
                    let path = into.join(format!("{}.parquet", sink.name));
                    let mut options = Options::new(format!("replay of {}", sink.name), []);
                    options.set("connector", "filesystem");
                    options.set("path", path.to_string_lossy());
                    options.set("sink.mode", if self.options.overwrite { "overwrite" } else { "error" });
                    let connector = self.registry.of(&options)?.clone();
                    connector.sink(&Table {
                        name: sink.name.clone(),
                        schema: sink.schema.clone(),
                        options,
                        primary_key: vec![],
                    })?
                }
                (Some(Target::Table(def)), Mode::Live) => {
                    let options = &def.table.options;
                    for key in crate::sql::ENGINE_TABLE_OPTIONS {
                        options.get(key);
                    }
                    let connector = self.registry.of(options)?;
                    let opened = match self.checkpoint_dir() {
                        Some(_) => connector.epoch_sink(&def.table),
                        None => connector.sink(&def.table),
                    };
                    opened.map_err(|e| or_unknown_option(e, options).at(def.span))?
                }
                (_, Mode::Live) => match &self.options.print {
                    Some(print) => print(&sink.name, &sink.schema),
                    None => Box::new(Nowhere),
                },
            });
        }
        if let Some((name, _)) = seen.iter().find(|(_, n)| **n > 1) {
            let place = graph.sinks.iter().rfind(|s| s.name == *name).and_then(|s| match &s.target {
                Some(Target::Table(def)) => Some(def.span),
                _ => None,
            });
            return Err(Error::user(format!("two INSERTs write into {name}"))
                .at(place.unwrap_or_default())
                .hint("use one INSERT with UNION ALL"));
        }
        Ok(sinks)
    }

    /// Loads the tables that streams are joined with.
    fn load(&self, graph: &Graph, tables: &mut BTreeMap<String, String>) -> Result<()> {
        for load in &graph.loads {
            self.load(&load.graph, tables)?;
            let mut sources = vec![];
            for (index, node) in load.graph.sources.iter().enumerate() {
                let Some(def) = &node.table else {
                    sources.push(OpenSource::constant(node.constant.clone()));
                    continue;
                };
                let intake = Arc::new(Intake::new(node, def, 65_536, false, None, skip_rule(&load.graph, index))?);
                let mut source = self
                    .registry
                    .of(&def.table.options)?
                    .source(&def.table, &intake.request)
                    .map_err(|e| e.at(def.span))?;
                if self.keeps_history()
                    && let Some(fingerprint) = source.fingerprint()
                {
                    tables.insert(def.table.name.clone(), fingerprint);
                }
                let readers = source.partitions().map_err(|e| e.at(def.span))?;
                let (readers, state) = seek(&def.table.name, readers, None)?;
                sources.push(OpenSource { readers, state, intake: Some(intake), ..Default::default() });
            }
            let rows = Collect::default();
            let mut execution = self.execution();
            execution.threads = 1;
            execution.counters = Arc::default();
            let outcome =
                run_graph(&load.graph, sources, vec![Box::new(rows.clone())], None, &execution, Resumed::default())?;
            if let Some(error) = outcome.broken.into_iter().next() {
                return Err(error.during("loading a table for a join"));
            }
            let batches: Vec<RecordBatch> = std::mem::take(&mut *rows.0.lock().expect("no panic holds this lock"));
            let all = arrow::compute::concat_batches(&load.graph.sinks[0].schema, &batches)
                .map_err(crate::batch::internal)?;
            let keys = load
                .keys
                .iter()
                .map(|k| k.evaluate(&all).and_then(|v| v.into_array(all.num_rows())).map_err(plan_error))
                .collect::<Result<Vec<_>>>()?;
            let table = LookupTable::build(all, keys)?;
            if load.slot.set(table).is_err() {
                unreachable!("a table is loaded once");
            }
        }
        Ok(())
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

    /// Opens the checkpoints and the sinks, and decides what to go on with; gives the steps their state. Changes nothing outside.
    fn checkpoints(&self, graph: &Graph) -> Result<Option<GoingOn>> {
        let Some(dir) = self.checkpoint_dir() else { return Ok(None) };
        let retained = self.script.settings.number("pelton.checkpoint.retained").map_or(RETAINED, |n| n as usize);
        let mut store = Store::new(self.registry.places()?.storage(dir)?, retained);
        let lock = store.lock(dir)?;
        let pipeline = store.identity(fresh_identity)?;
        let mut sinks = self.open_sinks(graph)?;
        let names = graph.sinks.iter().map(|sink| sink.name.clone());
        let committed = names
            .zip(&mut sinks)
            .map(|(name, sink)| Ok((name, sink.committed(&pipeline)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut chosen = choose(&mut store, &committed, self.options.restore.as_deref())?;
        if let (Some(notice), warnings) = (&self.options.notice, &chosen.warnings) {
            warnings.iter().for_each(|warning| notice(warning));
        }
        let marks = load_steps(graph, std::mem::take(&mut chosen.steps), self.options.allow_dropped_state)?;
        let first = committed.iter().map(|(_, committed)| matches!(committed, Committed::Until(_))).collect();
        Ok(Some(GoingOn { store, lock, pipeline, sinks, chosen, marks, first }))
    }

    /// Brings everything outside to where the checkpoint left it. `Err` holds what there is to say of a run that had ended.
    #[expect(clippy::type_complexity, reason = "what a run is given, or what there is left to say")]
    fn go_on(
        &self,
        graph: &Graph,
        going_on: GoingOn,
        mut sinks: Vec<Box<dyn Sink>>,
        mut letters: Option<Box<dyn DeadLetterStore>>,
    ) -> Result<Result<(Vec<Box<dyn Sink>>, Option<Box<dyn DeadLetterStore>>, Resumed), Ran>> {
        let GoingOn { store, lock, pipeline, chosen, marks, first, .. } = going_on;
        store.drop_manifests(&chosen.drop)?;
        let manifest = chosen.manifest.unwrap_or_default();
        let at = |token: Option<String>| token.filter(|_| manifest.epoch > 0).map(|token| (manifest.epoch, token));
        for (node, sink) in graph.sinks.iter().zip(&mut sinks) {
            let from = at(manifest.sinks.get(&node.name).map(|sink| sink.token.clone()));
            sink.restore(from.as_ref().map(|(epoch, token)| (*epoch, token.as_str())))?;
        }
        if let Some(letters) = &mut letters {
            let from = at(manifest.letters.clone());
            letters.restore(&pipeline, from.as_ref().map(|(epoch, token)| (*epoch, token.as_str())))?;
        }
        if manifest.ended {
            return Ok(Err(self.had_ended(&manifest)));
        }
        let settings = &self.script.settings;
        let interval = settings.duration("pelton.checkpoint.interval").unwrap_or(Duration::from_secs(10));
        let pause_min = settings.duration("pelton.checkpoint.min-pause").unwrap_or_default();
        let checkpoints = Checkpoints {
            store,
            lock,
            tries: if self.options.checkpoint_batches.is_some() { 1 } else { TRIES },
            trigger: match self.options.checkpoint_batches {
                Some(batches) => Trigger::Batches(batches),
                None => Trigger::Every { interval, pause_min },
            },
            cuts: Cuts {
                pipeline,
                epoch: manifest.epoch,
                sources: graph.sources.iter().enumerate().map(|(i, node)| source_name(i, node)).collect(),
                first,
            },
        };
        let resumed = Resumed { checkpoints: Some(checkpoints), sinks: manifest.sinks, marks, counts: manifest.counts };
        Ok(Ok((sinks, letters, resumed)))
    }

    /// What there is to say of a pipeline whose input had ended.
    fn had_ended(&self, manifest: &Checkpoint) -> Ran {
        if let Some(notice) = &self.options.notice {
            notice("the input of this pipeline has ended, and all its results are there: nothing is left to do");
        }
        let prefix = self.prefix();
        let digests = manifest.sinks.iter().map(|(name, sink)| (name.clone(), format!("{prefix}{}", sink.digest)));
        let summary = Summary {
            rows_in: manifest.counts.rows_in,
            rows_out: manifest.counts.rows_out,
            late: manifest.counts.late,
            dead_letters: manifest.counts.letters,
            batches: manifest.counts.batches,
            digests: digests.collect(),
            ended: true,
            ..Default::default()
        };
        Ran { summary, ..Default::default() }
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

/// How often the writing of a checkpoint is tried.
const TRIES: u32 = 6;

/// The checkpoints of a pipeline, and what its run goes on with.
struct GoingOn {
    store: Store,
    lock: Box<dyn Send>,
    pipeline: String,
    sinks: Vec<Box<dyn Sink>>,
    chosen: Chosen,
    marks: BTreeMap<usize, i64>,
    first: Vec<bool>,
}

/// What checkpoints know a source by.
fn source_name(index: usize, node: &SourceNode) -> String {
    node.table.as_ref().map_or_else(|| format!("constant rows {index}"), |table| table.table.name.clone())
}

/// A name that no other pipeline has.
fn fresh_identity() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {}", std::process::id(), now.as_nanos());
    format!("pelton-{:016x}", pelton_kernels::digest::hash_text(&seed) as u64)
}

/// A misspelt option is the better explanation of whatever else went wrong. Connectors ask for all their keys first.
fn or_unknown_option(error: Error, options: &Options) -> Error {
    match options.reject_unknown() {
        Err(unknown) => unknown,
        Ok(()) => error,
    }
}

/// Takes rows and forgets them; their digest is what counts.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}
