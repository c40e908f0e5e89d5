//! A session: its tables, functions and models, and the plans of what it is asked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use arrow_pyarrow::ToPyArrow;
use pelton_cli::text::threads;
use pelton_engine::connector::Registry;
use pelton_engine::error::{Error, Result};
use pelton_engine::pipeline::{RunOptions, check_script, explain_placement, explain_script, places_text};
use pelton_engine::sql::{self, Job, Outcome, Script, Target, types};
use pyo3::prelude::*;

use crate::columns::{declared, declared_schema, import_schema, import_type};
use crate::errors;
use crate::function::PythonFunction;
use crate::run::{How, Run, Work};
use crate::stream::{Feed, Stream};
use crate::tables::{Held, PythonTables, Tables, rows};

/// What `pelton.Session` stands on.
#[pyclass(frozen, module = "pelton._pelton")]
pub struct Core {
    session: Mutex<sql::Session>,
    registry: Registry,
    tables: Arc<Tables>,
    threads: Option<usize>,
    batch_rows: Option<usize>,
    closed: AtomicBool,
}

/// Statements that were read and planned, with the queries that are still to run.
#[pyclass(frozen, module = "pelton._pelton")]
pub struct Planned {
    text: String,
    script: Mutex<Option<Script>>,
    /// What its `EXPLAIN`s say.
    #[pyo3(get)]
    explained: Option<String>,
    /// There is something to run.
    #[pyo3(get)]
    runs: bool,
    /// All that it reads ends by itself.
    #[pyo3(get)]
    bounded: bool,
    schema: Option<SchemaRef>,
}

#[pymethods]
impl Planned {
    /// Columns of its bare `SELECT` as a `pyarrow.Schema`, if it has one.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.schema.as_ref().map(|schema| schema.as_ref().to_pyarrow(py)).transpose()
    }
}

/// Name, connector, whether it is bounded, columns with the names of their types.
type Described = (String, String, bool, Vec<(String, String)>);

#[pymethods]
impl Core {
    #[new]
    fn new(
        py: Python<'_>,
        settings: Vec<(String, String)>,
        threads: Option<usize>,
        batch_rows: Option<usize>,
    ) -> PyResult<Self> {
        let tables = Arc::new(Tables::default());
        let mut registry = pelton_io::registry();
        registry.add(Arc::new(PythonTables { tables: tables.clone(), opened: None }));
        let session =
            sql::Session::with_overrides(registry.clone(), &settings).map_err(|e| errors::to_python(py, &e, None))?;
        let batch_rows = batch_rows.map(|rows| rows.max(1));
        let threads = threads.map(|threads| threads.max(1));
        Ok(Core { session: Mutex::new(session), registry, tables, threads, batch_rows, closed: AtomicBool::new(false) })
    }

    /// Runs the statements of a text as far as they are no queries, and plans these. With `whole`, all or none.
    #[pyo3(signature = (text, *, whole = false))]
    fn plan(&self, py: Python<'_>, text: &str, whole: bool) -> PyResult<Planned> {
        self.open(py)?;
        let planned = self.locked(py, |session| {
            let outcomes = if whole { session.run_whole(text)? } else { session.run(text)? };
            let jobs = outcomes.into_iter().filter_map(|o| if let Outcome::Jobs(jobs) = o { Some(jobs) } else { None });
            let (explained, run): (Vec<Job>, Vec<Job>) = jobs.flatten().partition(|job| job.explain);
            let explained = match explained.is_empty() {
                true => None,
                false => Some(explain_script(&session.script(explained), &self.registry)?),
            };
            let mut prints = run.iter().filter(|job| matches!(job.target, Target::Print));
            let first = prints.next();
            if let Some(second) = prints.next() {
                return Err(Error::user("there are two SELECTs, and one result")
                    .at(second.span)
                    .hint("give each a call of its own, or INSERT INTO a table"));
            }
            let schema = first.map(result_schema).transpose()?;
            Ok(Planned {
                text: text.to_string(),
                explained,
                runs: !run.is_empty(),
                bounded: run.iter().all(Job::is_bounded),
                schema,
                script: Mutex::new(Some(session.script(run))),
            })
        });
        planned.map_err(|e| errors::to_python(py, &e, Some(text)))
    }

    /// Starts what was planned. A plan runs once.
    #[pyo3(signature = (planned, *, keeps, on_batch = None, verify = false, replay_into = None, overwrite = false))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keywords")]
    fn start(
        &self,
        py: Python<'_>,
        planned: &Planned,
        keeps: bool,
        on_batch: Option<Py<PyAny>>,
        verify: bool,
        replay_into: Option<PathBuf>,
        overwrite: bool,
    ) -> PyResult<Run> {
        self.open(py)?;
        let script = planned.script.lock().unwrap_or_else(PoisonError::into_inner).take();
        let script = script.ok_or_else(|| errors::new(py, "InputError", "this plan has been run"))?;
        let mut options = RunOptions { batch_rows: self.batch_rows, ..RunOptions::default() };
        if let Some(threads) = self.threads.or_else(|| threads(&script.settings)) {
            options.threads = threads;
        }
        let work = match replay_into {
            Some(into) => Work::Replay(into, overwrite),
            None if verify => Work::Verify,
            None => Work::Run,
        };
        let schema = planned.schema.clone().filter(|_| matches!(work, Work::Run));
        let how = How { text: planned.text.clone(), schema, keeps, on_batch, work };
        py.detach(|| Run::start(script, self.registry.clone(), self.tables.clone(), options, how))
    }

    /// How the queries of a plan would run; with `placement`, on which devices. Looks at no data.
    #[pyo3(signature = (planned, *, placement = false))]
    fn explain(&self, py: Python<'_>, planned: &Planned, placement: bool) -> PyResult<String> {
        self.open(py)?;
        let explained = py.detach(|| {
            let script = planned.script.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(script) = script.as_ref() else { return Ok(String::new()) };
            match placement {
                true => explain_placement(script, &self.registry).map(|places| places_text(&places)),
                false => explain_script(script, &self.registry),
            }
        });
        explained.map_err(|e| errors::to_python(py, &e, Some(&planned.text)))
    }

    /// Fails if something is wrong with a plan that planning has not seen: options of its tables.
    fn check(&self, py: Python<'_>, planned: &Planned) -> PyResult<()> {
        self.open(py)?;
        let checked = py.detach(|| {
            let script = planned.script.lock().unwrap_or_else(PoisonError::into_inner);
            script.as_ref().map_or(Ok(()), |script| check_script(script, &self.registry))
        });
        checked.map_err(|e| errors::to_python(py, &e, Some(&planned.text)))
    }

    /// Makes a table of rows in memory; `create` is its statement.
    fn register(&self, py: Python<'_>, name: &str, data: &Bound<'_, PyAny>, create: &str) -> PyResult<()> {
        self.open(py)?;
        self.put(py, name, rows(data)?, create)
    }

    /// Makes a table of batches that are pushed.
    fn create_stream(
        &self,
        py: Python<'_>,
        name: &str,
        schema: &Bound<'_, PyAny>,
        capacity: usize,
        create: &str,
    ) -> PyResult<Stream> {
        self.open(py)?;
        let feed = Arc::new(Feed::new(name, self.schema(py, schema)?, capacity));
        self.put(py, name, Held::Feed(feed.clone()), create)?;
        Ok(Stream(feed))
    }

    /// The stream behind a table that was declared in SQL with `'connector' = 'python'`.
    fn open_stream(&self, py: Python<'_>, name: &str, capacity: usize) -> PyResult<Stream> {
        self.open(py)?;
        let found = self.declared(py, name)?;
        let feed = Arc::new(Feed::new(name, found.1, capacity));
        self.tables.put_source(&found.0, Held::Feed(feed.clone()));
        Ok(Stream(feed))
    }

    /// Makes a table of what a function iterates over.
    #[pyo3(signature = (name, open, schema, bounded, create))]
    fn create_source(
        &self,
        py: Python<'_>,
        name: &str,
        open: Py<PyAny>,
        schema: &Bound<'_, PyAny>,
        bounded: bool,
        create: &str,
    ) -> PyResult<()> {
        self.open(py)?;
        let held = Held::Iterable { schema: self.schema(py, schema)?, open: Arc::new(open), is_bounded: bounded };
        self.put(py, name, held, create)
    }

    /// Sets who takes the rows of a table. `create` makes it, unless it is there.
    fn put_sink(
        &self,
        py: Python<'_>,
        name: &str,
        target: Py<PyAny>,
        schema: Option<&Bound<'_, PyAny>>,
        create: &str,
    ) -> PyResult<()> {
        self.open(py)?;
        match schema {
            Some(schema) => {
                // Its columns are looked up as those of a source are.
                let schema = self.schema(py, schema)?;
                self.put(py, name, Held::Feed(Arc::new(Feed::new(name, schema, 1))), create)?;
                self.tables.remove_source(name);
                self.tables.put_sink(name, target);
            }
            None => self.tables.put_sink(&self.declared(py, name)?.0, target),
        }
        Ok(())
    }

    /// Makes a function of Python's known.
    fn register_function(
        &self,
        py: Python<'_>,
        name: &str,
        function: Py<PyAny>,
        arguments: Vec<Bound<'_, PyAny>>,
        returns: &Bound<'_, PyAny>,
        blames_rows: bool,
    ) -> PyResult<()> {
        self.open(py)?;
        let arguments = arguments.iter().map(import_type).collect::<PyResult<_>>()?;
        let returns = import_type(returns)?;
        let function = PythonFunction { name: name.to_string(), arguments, returns, function, blames_rows };
        self.locked(py, |session| session.register_function(Arc::new(function)))
            .map_err(|e| errors::to_python(py, &e, None))
    }

    /// Makes a model known, from the bytes that its library has saved it as.
    fn register_model(&self, py: Python<'_>, name: &str, bytes: &[u8]) -> PyResult<()> {
        self.open(py)?;
        self.locked(py, |session| session.register_model(name, bytes)).map_err(|e| errors::to_python(py, &e, None))
    }

    /// The tables there are.
    fn tables(&self, py: Python<'_>) -> PyResult<Vec<Described>> {
        self.open(py)?;
        let tables = self.locked(py, |session| Ok(session.tables())).map_err(|e| errors::to_python(py, &e, None))?;
        let describe = |def: &Arc<sql::TableDef>| {
            let columns = def.columns.iter().map(|c| (c.name.clone(), types::name(&c.data_type))).collect();
            let connector = def.table.options.get("connector").unwrap_or_default().to_string();
            (def.table.name.clone(), connector, def.bounded, columns)
        };
        Ok(tables.iter().map(describe).collect())
    }

    /// Ends the streams; from now on every call is an error.
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.tables.close();
    }

    /// True once it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl Core {
    fn open(&self, py: Python<'_>) -> PyResult<()> {
        match self.closed() {
            true => Err(errors::new(py, "ClosedError", "this session was closed")),
            false => Ok(()),
        }
    }

    /// Works on the session without the interpreter's lock, which a thread that has the session may be waiting for.
    fn locked<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut sql::Session) -> Result<R> + Send) -> Result<R> {
        py.detach(|| work(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn schema(&self, py: Python<'_>, schema: &Bound<'_, PyAny>) -> PyResult<SchemaRef> {
        declared_schema(&import_schema(schema)?).map_err(|why| errors::new(py, "SchemaError", why))
    }

    /// Puts what a table is read from in place and creates it, both or neither.
    fn put(&self, py: Python<'_>, name: &str, held: Held, create: &str) -> PyResult<()> {
        let before = self.tables.put_source(name, held);
        let created = self.locked(py, |session| session.run_whole(create).map(drop));
        created.map_err(|e| {
            match before {
                Some(before) => self.tables.put_source(name, before),
                None => self.tables.remove_source(name),
            };
            errors::to_python(py, &e, Some(create))
        })
    }

    /// Name on this side and columns of a table that was declared with `'connector' = 'python'`.
    fn declared(&self, py: Python<'_>, name: &str) -> PyResult<(String, SchemaRef)> {
        let found = self.locked(py, |session| {
            let tables = session.tables();
            let Some(def) = tables.iter().find(|def| def.table.name.eq_ignore_ascii_case(name)) else {
                let error = Error::user(format!("there is no table `{name}`"));
                return Err(match Error::suggest(name, tables.iter().map(|t| t.table.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error
                        .hint("give its columns, or declare it first: CREATE TABLE … WITH ('connector' = 'python')"),
                });
            };
            let options = &def.table.options;
            if options.get("connector") != Some("python") {
                return Err(Error::user(format!("the table `{name}` is not of the connector 'python'")));
            }
            Ok((options.get("name").unwrap_or(&def.table.name).to_string(), def.table.schema.clone()))
        });
        found.map_err(|e| errors::to_python(py, &e, None))
    }
}

/// Columns of a result, as Python is given them.
fn result_schema(job: &Job) -> Result<SchemaRef> {
    let fields = job.plan.schema().fields().iter().map(|field| {
        let data_type = declared(field.data_type()).unwrap_or_else(|| field.data_type().clone());
        arrow::datatypes::Field::new(field.name(), data_type, true)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}
