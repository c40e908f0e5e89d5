//! Queries that run beside Python: on threads of their own, which take the interpreter's lock only to call Python.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_pyarrow::ToPyArrow;
use pelton_engine::batch::{MARK_MAX, MARK_MIN};
use pelton_engine::connector::{Registry, Sink};
use pelton_engine::error::{Error, Result};
use pelton_engine::operators::show_time;
use pelton_engine::pipeline::{RunOptions, Summary, Verdict, replay_script, run_script, verify_script};
use pelton_engine::run::Counters;
use pelton_engine::sql::Script;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::attach::{attached, let_go};
use crate::columns;
use crate::errors;
use crate::tables::{PythonTables, Tables};

/// What is to be done with a script.
pub enum Work {
    /// Run it.
    Run,
    /// Run it over its history, into a folder; files that are there are replaced if so wanted.
    Replay(PathBuf, bool),
    /// Run it over its history, and compare.
    Verify,
}

enum Finished {
    Summary(Box<Summary>),
    Verdict(Box<Verdict>),
}

#[derive(Default)]
struct State {
    /// Rows that nobody has taken, or all rows if they are kept.
    batches: VecDeque<RecordBatch>,
    notices: Vec<String>,
    /// Streams that it has begun to read.
    opened: usize,
    finished: Option<Result<Finished>>,
}

/// How long a start waits for its streams to be opened, in seconds.
const OPENING_S_MAX: f64 = 2.0;

/// What the run's threads and Python share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something holds, at most so many seconds. Answers whether it does.
    fn wait(&self, seconds: f64, holds: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e6));
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if holds(&state) {
                return true;
            }
            if now >= until {
                return false;
            }
            state = self.wake.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One run, as `pelton.Result` has it.
#[pyclass(frozen, module = "pelton._pelton")]
pub struct Run {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    text: String,
    schema: Option<SchemaRef>,
    keeps: bool,
    started: Instant,
    /// Nanoseconds that it took, once it has ended.
    took: Arc<AtomicU64>,
}

/// How to run a script.
pub struct How {
    /// The SQL it was read from, for errors.
    pub text: String,
    /// Columns of its bare `SELECT`.
    pub schema: Option<SchemaRef>,
    /// All rows of the result are kept, however often they are read.
    pub keeps: bool,
    /// Who is called with each batch of the result, instead.
    pub on_batch: Option<Py<PyAny>>,
    /// What is to be done.
    pub work: Work,
}

impl Run {
    /// Starts it, and waits until it reads its streams. To be called without the interpreter's lock.
    pub fn start(
        script: Script,
        mut registry: Registry,
        tables: Arc<Tables>,
        mut options: RunOptions,
        how: How,
    ) -> PyResult<Run> {
        let How { text, schema, keeps, on_batch, work } = how;
        let shared = Arc::new(Shared::default());
        let run = Run {
            shared: shared.clone(),
            counters: options.counters.clone(),
            stop: options.stop.clone(),
            text,
            schema: schema.clone(),
            keeps,
            started: Instant::now(),
            took: Arc::default(),
        };
        let taker = on_batch.map(Arc::new);
        let (into, columns) = (shared.clone(), schema);
        options.print = Some(Arc::new(move |_: &str, schema: &SchemaRef| {
            let schema = columns.clone().unwrap_or_else(|| schema.clone());
            Box::new(Rows { shared: into.clone(), schema, taker: taker.clone() })
        }));
        let streams = script.tables.iter().filter(|def| tables.is_stream(def)).count();
        let streams = if matches!(work, Work::Run) { streams } else { 0 };
        let opening = shared.clone();
        let opened = move || {
            opening.lock().opened += 1;
            opening.wake.notify_all();
        };
        registry.add(Arc::new(PythonTables { tables, opened: Some(Arc::new(opened)) }));
        let heard = shared.clone();
        options.notice = Some(Arc::new(move |text: &str| heard.lock().notices.push(text.to_string())));
        let (took, started) = (run.took.clone(), run.started);
        let body = move || {
            let done = catch_unwind(AssertUnwindSafe(|| match &work {
                Work::Run => run_script(&script, &registry, &options).map(|s| Finished::Summary(Box::new(s))),
                Work::Replay(into, overwrite) => {
                    options.overwrite = *overwrite;
                    replay_script(&script, &registry, &options, into).map(|s| Finished::Summary(Box::new(s)))
                }
                Work::Verify => verify_script(&script, &registry, &options).map(|v| Finished::Verdict(Box::new(v))),
            }));
            let done =
                done.unwrap_or_else(|_| Err(Error::bug("a bug in Pelton stopped the run; nothing was committed")));
            took.store(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
            let_go();
            shared.lock().finished = Some(done);
            shared.wake.notify_all();
        };
        std::thread::Builder::new().name("pelton-run".into()).spawn(body)?;
        // What is pushed after this call is for this run, too. A plan may need none of a stream's rows, and never open it.
        run.shared.wait(OPENING_S_MAX, |state| state.opened >= streams || state.finished.is_some());
        Ok(run)
    }

    fn is_done(&self) -> bool {
        self.shared.lock().finished.is_some()
    }
}

#[pymethods]
impl Run {
    /// Waits for the end, at most so many seconds. True if it has ended.
    fn wait(&self, py: Python<'_>, seconds: f64) -> bool {
        py.detach(|| self.shared.wait(seconds, |state| state.finished.is_some()))
    }

    /// Waits for the batch at an index (of those that were not taken), or the end. True if either is there.
    fn ready(&self, py: Python<'_>, index: usize, seconds: f64) -> bool {
        py.detach(|| self.shared.wait(seconds, |state| state.batches.len() > index || state.finished.is_some()))
    }

    /// The batch at an index, if it is there: as it is where rows are kept, else taken out.
    fn take<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.shared.lock();
        let batch = if self.keeps { state.batches.get(index).cloned() } else { state.batches.remove(index) };
        drop(state);
        batch.map(|batch| batch.to_pyarrow(py)).transpose()
    }

    /// What there is, as a `pyarrow.Table`: all rows where they are kept, else those that were not taken, which are taken.
    fn table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut state = self.shared.lock();
        let batches: Vec<RecordBatch> =
            if self.keeps { state.batches.iter().cloned().collect() } else { state.batches.drain(..).collect() };
        drop(state);
        let schema = self.schema.clone().unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
        columns::table(py, &schema, batches)
    }

    /// Columns of the result as a `pyarrow.Schema`; `None` without a `SELECT`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.schema.as_ref().map(|schema| schema.as_ref().to_pyarrow(py)).transpose()
    }

    /// Asks it to end: what was read is computed and given out.
    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// True once it has ended.
    #[getter]
    fn done(&self) -> bool {
        self.is_done()
    }

    /// What a person should have heard since the last call.
    fn notices(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().notices)
    }

    /// Counts, as they are now.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (name, counter) in [
            ("rows_in", &self.counters.rows_in),
            ("rows_out", &self.counters.rows_out),
            ("late", &self.counters.late),
            ("dead_letters", &self.counters.letters),
            ("batches", &self.counters.batches),
        ] {
            stats.set_item(name, count(counter))?;
        }
        let mark = self.counters.watermark.load(Ordering::Relaxed);
        let shown = (![0, MARK_MIN, MARK_MAX].contains(&mark)).then(|| show_time(mark));
        stats.set_item("watermark", shown)?;
        let took = count(&self.took);
        let took = if took > 0 { Duration::from_nanos(took) } else { self.started.elapsed() };
        stats.set_item("seconds", took.as_secs_f64())?;
        stats.set_item("done", self.is_done())?;
        let digests = PyDict::new(py);
        if let Some(Ok(Finished::Summary(summary))) = &self.shared.lock().finished {
            for (sink, digest) in &summary.digests {
                digests.set_item(sink, digest)?;
            }
        }
        stats.set_item("digests", digests)?;
        Ok(stats)
    }

    /// Raises the error that ended it, if one has; answers the parts of the input that could not be read, as exceptions.
    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let broken = PyList::empty(py);
        let state = self.shared.lock();
        match &state.finished {
            None => {}
            Some(Err(error)) => return Err(errors::to_python(py, error, Some(&self.text))),
            Some(Ok(Finished::Summary(summary))) => {
                for error in &summary.broken {
                    broken.append(errors::to_python(py, error, Some(&self.text)))?;
                }
            }
            Some(Ok(Finished::Verdict(verdict))) => {
                for error in &verdict.replay.broken {
                    broken.append(errors::to_python(py, error, Some(&self.text)))?;
                }
            }
        }
        Ok(broken)
    }

    /// What `verify` has found: whether it holds; per sink the digests; windows, segments and tables that differ.
    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let state = self.shared.lock();
        let Some(Ok(Finished::Verdict(verdict))) = &state.finished else { return Ok(None) };
        let found = PyDict::new(py);
        found.set_item("holds", verdict.holds())?;
        found.set_item("sinks", verdict.sinks.clone())?;
        found.set_item("windows", verdict.windows.clone())?;
        found.set_item("segments", verdict.segments.clone())?;
        found.set_item("tables", verdict.tables.clone())?;
        found.set_item("rows", verdict.replay.rows_in)?;
        found.set_item("ended", verdict.replay.ended)?;
        Ok(Some(found))
    }
}

impl Drop for Run {
    /// Nobody can read the result any more.
    fn drop(&mut self) {
        if self.schema.is_some() {
            self.stop.store(true, Ordering::SeqCst);
        }
    }
}

/// Takes the rows of a bare `SELECT`.
struct Rows {
    shared: Arc<Shared>,
    schema: SchemaRef,
    taker: Option<Arc<Py<PyAny>>>,
}

impl Sink for Rows {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch =
            columns::in_types(batch, &self.schema).map_err(|e| Error::world("cannot give out rows").because(e))?;
        match &self.taker {
            Some(taker) => attached(|py| taker.bind(py).call1((batch.to_pyarrow(py)?,)).map(drop))
                .map_err(|e| errors::raised("CallbackError", "on_batch", e)),
            None => {
                self.shared.lock().batches.push_back(batch);
                self.shared.wake.notify_all();
                Ok(())
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn abort(&mut self) {}
}
