//! `'connector' = 'python'`: tables whose rows Python has, and tables whose rows go to Python.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `name` | the table's name | under which the session knows the Python side |
//! | `scan.bounded` | `false`; what the session says of its own | reading it ends by itself |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_pyarrow::ToPyArrow;
use pelton_engine::connector::{
    BadRecord, Chunk, Connector, Decoded, DecodedBatch, Next, Options, PartitionReader, ReadRequest, Sink, Source,
    Table,
};
use pelton_engine::error::{Error, Result};
use pelton_engine::sql::TableDef;
use pelton_io::formats::convert::{Origin, convert, show, type_name};
use pyo3::prelude::*;

use crate::attach::attached;
use crate::columns::{Imported, declared_schema, import};
use crate::errors;
use crate::stream::{Feed, FeedSource, Refused, places};

/// What the tables of a session are in Python, by name in lower case.
#[derive(Default)]
pub struct Tables {
    sources: Mutex<HashMap<String, Held>>,
    sinks: Mutex<HashMap<String, Arc<Py<PyAny>>>>,
}

/// What a table is read from.
#[derive(Clone)]
pub enum Held {
    /// Rows in memory.
    Rows {
        /// As SQL declares it.
        schema: SchemaRef,
        /// Its rows, in the types that they came in.
        batches: Arc<Vec<RecordBatch>>,
    },
    /// Batches that are pushed.
    Feed(Arc<Feed>),
    /// A function that answers an iterable of batches, called once a run.
    Iterable {
        /// As SQL declares it.
        schema: SchemaRef,
        /// The function.
        open: Arc<Py<PyAny>>,
        /// The iterables end.
        is_bounded: bool,
    },
}

impl Held {
    fn schema(&self) -> &SchemaRef {
        match self {
            Held::Rows { schema, .. } | Held::Iterable { schema, .. } => schema,
            Held::Feed(feed) => &feed.schema,
        }
    }

    fn is_bounded(&self) -> bool {
        match self {
            Held::Rows { .. } => true,
            Held::Feed(_) => false,
            Held::Iterable { is_bounded, .. } => *is_bounded,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of a Python object as a table.
pub fn rows(object: &Bound<'_, PyAny>) -> PyResult<Held> {
    let py = object.py();
    let imported = import(object, None).map_err(|e| errors::of_data(py, e, "this cannot be a table"))?;
    let Imported { schema, batches } = imported;
    let schema = declared_schema(&schema).map_err(|why| errors::new(py, "SchemaError", why))?;
    Ok(Held::Rows { schema, batches: Arc::new(batches) })
}

impl Tables {
    /// Adds what a table is read from, or puts it in the place of an earlier one.
    pub fn put_source(&self, name: &str, held: Held) -> Option<Held> {
        lock(&self.sources).insert(name.to_lowercase(), held)
    }

    /// Takes out what a table is read from.
    pub fn remove_source(&self, name: &str) -> Option<Held> {
        lock(&self.sources).remove(&name.to_lowercase())
    }

    /// Adds who takes the rows of a table.
    pub fn put_sink(&self, name: &str, sink: Py<PyAny>) {
        lock(&self.sinks).insert(name.to_lowercase(), Arc::new(sink));
    }

    /// True if a table is one of pushed batches.
    pub fn is_stream(&self, def: &TableDef) -> bool {
        let options = &def.table.options;
        let name = options.get("name").unwrap_or(&def.table.name);
        options.get("connector") == Some("python") && matches!(self.source(name), Some(Held::Feed(_)))
    }

    /// Ends all streams.
    pub fn close(&self) {
        for held in lock(&self.sources).values() {
            if let Held::Feed(feed) = held {
                feed.end(None);
            }
        }
    }

    fn source(&self, name: &str) -> Option<Held> {
        lock(&self.sources).get(&name.to_lowercase()).cloned()
    }
}

/// The connector of a session.
pub struct PythonTables {
    /// What there is in Python.
    pub tables: Arc<Tables>,
    /// Hears of each stream that a run has begun to read.
    pub opened: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl PythonTables {
    fn held(&self, options: &Options) -> Option<Held> {
        self.tables.source(options.get("name")?)
    }
}

/// What is wanted of a table's batches.
pub struct Wanted {
    /// Their columns: indices in the table's.
    columns: Vec<usize>,
    /// The columns of the batches that the engine is given.
    schema: SchemaRef,
    /// Those of `columns` in which a value that does not fit is NULL.
    kept_only: Vec<usize>,
}

impl Wanted {
    fn new(table: &Table, request: &ReadRequest) -> Self {
        let field = |&at: &usize| {
            let field = table.schema.field(at);
            let coded = request.dictionaries.contains(&at);
            let data_type = if coded { pelton_engine::connector::dictionary_type() } else { field.data_type().clone() };
            Field::new(field.name(), data_type, true)
        };
        let schema = Schema::new(request.columns.iter().map(field).collect::<Vec<_>>());
        Wanted { columns: request.columns.clone(), schema: Arc::new(schema), kept_only: request.kept_only.clone() }
    }
}

impl Connector for PythonTables {
    fn name(&self) -> &'static str {
        "python"
    }

    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        self.held(options).map(|held| held.schema().clone()).ok_or_else(|| {
            Error::user(format!("{}: nothing in Python tells its columns", options.owner()))
                .hint("declare the columns in CREATE TABLE, or make it with session.stream(…) or session.register(…)")
        })
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        let flag = options.flag("scan.bounded", false)?;
        Ok(self.held(options).map_or(flag, |held| held.is_bounded()))
    }

    fn stands_still(&self) -> bool {
        true
    }

    fn dictionaries(&self, table: &Table) -> Vec<usize> {
        let name = table.options.get("name").unwrap_or(&table.name);
        let Some(Held::Rows { batches, .. }) = self.tables.source(name) else { return vec![] };
        let Some(first) = batches.first() else { return vec![] };
        let is_coded = |field: &Field| {
            let found = first.schema_ref().column_with_name(field.name()).map(|(_, found)| found.data_type());
            *field.data_type() == DataType::Utf8 && matches!(found, Some(DataType::Dictionary(..)))
        };
        (0..table.schema.fields().len()).filter(|&at| is_coded(table.schema.field(at))).collect()
    }

    fn check(&self, table: &Table, _reads: bool) -> Result<()> {
        table.options.get("name");
        table.options.flag("scan.bounded", false).map(drop)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let name = table.options.get("name").unwrap_or(&table.name);
        table.options.flag("scan.bounded", false)?;
        let wanted = Arc::new(Wanted::new(table, request));
        let none = || {
            Error::user(format!("{}: nothing in Python feeds it", table.options.owner()))
                .hint(format!("stream = session.stream('{}'), then stream.push(batch)", table.name))
        };
        Ok(match self.tables.source(name).ok_or_else(none)? {
            Held::Feed(feed) => {
                let source = FeedSource::open(&feed, wanted);
                self.opened.iter().for_each(|opened| opened());
                Box::new(source)
            }
            Held::Rows { batches, schema } => {
                let given = batches.first().map_or(schema, |batch| batch.schema());
                let places = places(&table.schema, &given)
                    .map_err(|why| Error::user(format!("{}: {why}", table.options.owner())))?;
                Box::new(RowsSource(Some(RowsReader {
                    batches,
                    places,
                    wanted,
                    next: (0, 0),
                    rows: request.batch_rows.max(1),
                })))
            }
            Held::Iterable { schema, open, .. } => {
                let feed = Arc::new(Feed::new(&table.name, schema, AHEAD));
                let source = FeedSource::open(&feed, wanted);
                iterate(feed, open)?;
                Box::new(source)
            }
        })
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        let name = table.options.get("name").unwrap_or(&table.name);
        table.options.flag("scan.bounded", false)?;
        let target = lock(&self.tables.sinks).get(&name.to_lowercase()).cloned();
        let target = target.ok_or_else(|| {
            Error::user(format!("{}: nothing in Python takes its rows", table.options.owner()))
                .hint(format!("session.sink('{}', function)", table.name))
        })?;
        Ok(Box::new(PythonSink { name: table.name.clone(), schema: table.schema.clone(), target }))
    }
}

/// Rows in memory as a table of one partition.
struct RowsSource(Option<RowsReader>);

impl Source for RowsSource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        Ok(self.0.take().map(|reader| Box::new(reader) as Box<dyn PartitionReader>).into_iter().collect())
    }
}

struct RowsReader {
    batches: Arc<Vec<RecordBatch>>,
    places: Vec<usize>,
    wanted: Arc<Wanted>,
    /// Batch, and row in it.
    next: (usize, usize),
    /// Rows to hand out at once.
    rows: usize,
}

impl PartitionReader for RowsReader {
    fn next(&mut self) -> Result<Next> {
        let (batch, row) = &mut self.next;
        while let Some(rows) = self.batches.get(*batch) {
            let count = self.rows.min(rows.num_rows() - *row);
            if count == 0 {
                (*batch, *row) = (*batch + 1, 0);
                continue;
            }
            let part = rows.slice(*row, count);
            *row += count;
            return Ok(Next::Chunk(Box::new(Rows::new(part, &self.places, self.wanted.clone()))));
        }
        Ok(Next::End)
    }
}

/// Rows of Python's, to be put into the columns that the engine wants.
pub struct Rows {
    columns: Vec<ArrayRef>,
    rows: usize,
    wanted: Arc<Wanted>,
}

impl Rows {
    /// `places`: where each column of the table is in the batch.
    pub fn new(batch: RecordBatch, places: &[usize], wanted: Arc<Wanted>) -> Self {
        let columns = wanted.columns.iter().map(|&at| batch.column(places[at]).clone()).collect();
        Rows { columns, rows: batch.num_rows(), wanted }
    }
}

impl Chunk for Rows {
    fn decode(self: Box<Self>) -> Decoded {
        let records = self.rows as u64;
        match self.fit() {
            Ok(decoded) => Decoded { records, ..decoded },
            Err(error) => {
                Decoded { broken: Some(Error::world("a batch cannot be read").because(error)), ..Decoded::default() }
            }
        }
    }
}

impl Rows {
    /// The columns in their declared types; rows with a value that does not fit are set apart.
    fn fit(&self) -> Result<Decoded, arrow::error::ArrowError> {
        let mut misfits: std::collections::BTreeMap<usize, String> = Default::default();
        let mut columns = vec![];
        for ((column, field), at) in self.columns.iter().zip(self.wanted.schema.fields()).zip(&self.wanted.columns) {
            let mut bad = vec![];
            columns.push(convert(column, field.data_type(), Origin::Typed, &mut bad)?);
            if self.wanted.kept_only.contains(at) {
                continue;
            }
            for row in bad {
                let (value, wanted) = (show(column, row), type_name(field.data_type()));
                misfits.entry(row).or_insert_with(|| format!("column '{}': {value} is no {wanted}", field.name()));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.wanted.schema.clone(), columns, &options)?;
        if misfits.is_empty() {
            return Ok(Decoded { batches: vec![DecodedBatch { batch, records: None }], ..Decoded::default() });
        }
        let keep: BooleanArray = (0..self.rows).map(|row| Some(!misfits.contains_key(&row))).collect();
        let records = (0..self.rows as u32).filter(|row| !misfits.contains_key(&(*row as usize))).collect();
        let good = DecodedBatch { batch: filter_record_batch(&batch, &keep)?, records: Some(records) };
        let bytes = |row: usize| {
            let shown = self.columns.iter().map(|c| if c.is_null(row) { "NULL".into() } else { show(c, row) });
            shown.collect::<Vec<_>>().join(", ").into_bytes()
        };
        let bad = misfits.into_iter().map(|(row, reason)| BadRecord { record: row as u32, reason, bytes: bytes(row) });
        Ok(Decoded { batches: vec![good], bad: bad.collect(), ..Decoded::default() })
    }
}

/// Batches of an iterable that are read ahead.
const AHEAD: usize = 4;

/// Starts a thread that iterates over what `open` answers, as long as somebody reads.
fn iterate(feed: Arc<Feed>, open: Arc<Py<PyAny>>) -> Result<()> {
    let thread = std::thread::Builder::new().name("pelton-python".into());
    let read = move || {
        let name = format!("the source {}", feed.name);
        let done = Python::attach(|py| push_all(py, &feed, open.bind(py)));
        feed.end(done.err().map(|error| match error {
            Stopped::Raised(error) => errors::raised("CallbackError", &name, error),
            Stopped::Wrong(why) => errors::answered("CallbackError", &name, why),
        }));
    };
    thread.spawn(read).map(drop).map_err(|e| Error::world("cannot start a thread to read from Python").because(e))
}

/// Why an iterable was not read to its end.
enum Stopped {
    Raised(PyErr),
    Wrong(String),
}

impl From<PyErr> for Stopped {
    fn from(error: PyErr) -> Self {
        Stopped::Raised(error)
    }
}

fn push_all(py: Python<'_>, feed: &Feed, open: &Bound<'_, PyAny>) -> Result<(), Stopped> {
    let iterable = if open.is_callable() { open.call0()? } else { open.clone() };
    for item in iterable.try_iter()? {
        let Imported { schema, batches } = import(&item?, Some(&feed.schema))?;
        let places =
            feed.places(&schema).map_err(|why| Stopped::Wrong(format!("gave a batch that does not fit: {why}")))?;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            let pushed = (batch, places.clone());
            loop {
                if feed.is_unread() {
                    return Ok(());
                }
                match feed.offer(&pushed) {
                    Ok(()) => break,
                    Err(Refused::Full) => py.detach(|| feed.wait(Duration::from_millis(50))),
                    Err(Refused::Unread | Refused::Ended) => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// Rows of a table that go to Python: to a function, or to `write`, `commit` and `abort` of an object.
struct PythonSink {
    name: String,
    schema: SchemaRef,
    target: Arc<Py<PyAny>>,
}

impl PythonSink {
    fn failed(&self, error: PyErr) -> Error {
        errors::raised("CallbackError", &format!("the sink {}", self.name), error)
    }

    /// Calls a method that the target need not have.
    fn call_if_there(&self, method: &str) -> Result<()> {
        attached(|py| match self.target.bind(py).getattr_opt(method)? {
            Some(method) => method.call0().map(drop),
            None => Ok(()),
        })
        .map_err(|e| self.failed(e))
    }
}

impl Sink for PythonSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = crate::columns::in_types(batch, &self.schema)
            .map_err(|e| Error::world("cannot give out rows").because(e))?;
        attached(|py| {
            let rows = batch.to_pyarrow(py)?;
            let target = self.target.bind(py);
            match target.getattr_opt("write")? {
                Some(write) => write.call1((rows,)).map(drop),
                None => target.call1((rows,)).map(drop),
            }
        })
        .map_err(|e| self.failed(e))
    }

    fn commit(&mut self) -> Result<()> {
        self.call_if_there("commit")
    }

    fn abort(&mut self) {
        // The run has failed already, with an error of its own.
        let _ = self.call_if_there("abort");
    }
}
