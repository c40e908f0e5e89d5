//! Streams that Python pushes batches to, and queries read.
//!
//! Every query that reads a stream has a lane of its own: a queue of at most `capacity` batches. A push goes to all lanes, and waits
//! for the slowest. What is pushed while no query reads is kept for the first that comes, and a push beyond `capacity` is then an error:
//! nobody would ever make room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow_pyarrow::ToPyArrow;
use pelton_engine::connector::{Next, PartitionReader, Source};
use pelton_engine::error::{Error, Result};
use pelton_io::formats::convert::{possible, type_name};
use pelton_io::formats::find_column;
use pyo3::prelude::*;

use crate::columns::{Imported, import};
use crate::errors;
use crate::tables::{Rows, Wanted};

/// How soon to ask again for batches: right after some came, and after a quiet time.
const IDLE_MIN: Duration = Duration::from_micros(200);
const IDLE_MAX: Duration = Duration::from_millis(10);
/// How long a push waits before it looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// A stream of batches from Python to queries.
pub struct Feed {
    /// Name of its table.
    pub name: String,
    /// The columns that batches have.
    pub schema: SchemaRef,
    capacity: usize,
    state: Mutex<State>,
    room: Condvar,
    /// The columns of the batch before, and where each of `schema` is in it.
    last: Mutex<Option<(SchemaRef, Arc<[usize]>)>>,
}

/// A batch, and where each column of the table is in it.
pub type Pushed = (RecordBatch, Arc<[usize]>);

#[derive(Default)]
struct State {
    lanes: BTreeMap<u64, VecDeque<Pushed>>,
    lanes_opened: u64,
    /// What was pushed while there was no lane.
    kept: VecDeque<Pushed>,
    ended: bool,
    /// Why no more will come, until a reader has said so.
    failed: Option<Error>,
}

/// Why a push has put nothing anywhere.
pub enum Refused {
    /// There is no more room for now.
    Full,
    /// There is none, and nobody makes any.
    Unread,
    /// The stream has ended.
    Ended,
}

impl Feed {
    /// One without batches.
    pub fn new(name: &str, schema: SchemaRef, capacity: usize) -> Self {
        Feed {
            name: name.into(),
            schema,
            capacity: capacity.max(1),
            state: Mutex::default(),
            room: Condvar::new(),
            last: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the table's columns are in a batch; the error says what is wrong with it.
    pub fn places(&self, schema: &SchemaRef) -> Result<Arc<[usize]>, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, places)) = last.as_ref()
            && before == schema
        {
            return Ok(places.clone());
        }
        let places: Arc<[usize]> = places(&self.schema, schema)?.into();
        *last = Some((schema.clone(), places.clone()));
        Ok(places)
    }

    /// Gives a batch to every lane, if there is room in all.
    pub fn offer(&self, pushed: &Pushed) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refused::Ended);
        }
        if state.lanes.is_empty() {
            if state.kept.len() >= self.capacity {
                return Err(Refused::Unread);
            }
            state.kept.push_back(pushed.clone());
        } else {
            if state.lanes.values().any(|lane| lane.len() >= self.capacity) {
                return Err(Refused::Full);
            }
            state.lanes.values_mut().for_each(|lane| lane.push_back(pushed.clone()));
        }
        Ok(())
    }

    /// Waits until a lane has changed.
    pub fn wait(&self, time: Duration) {
        let state = self.lock();
        drop(self.room.wait_timeout(state, time));
    }

    /// No more will come, for the reason if there is one.
    pub fn end(&self, failed: Option<Error>) {
        let mut state = self.lock();
        state.ended = true;
        state.failed = failed;
        drop(state);
        self.room.notify_all();
    }

    /// True if no query reads it.
    pub fn is_unread(&self) -> bool {
        self.lock().lanes.is_empty()
    }

    fn open(self: &Arc<Self>) -> Lane {
        let mut state = self.lock();
        let number = state.lanes_opened;
        state.lanes_opened += 1;
        let kept = std::mem::take(&mut state.kept);
        state.lanes.insert(number, kept);
        Lane { feed: self.clone(), number, last: Instant::now() }
    }
}

/// Where the columns of a table are among those of a batch.
pub fn places(table: &Schema, given: &Schema) -> Result<Vec<usize>, String> {
    let names = || given.fields().iter().map(|f| f.name().as_str());
    let wanted = || table.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
    let mut places = vec![];
    for field in table.fields() {
        let Some(place) = find_column(field.name(), names()) else {
            let near = Error::suggest(field.name(), names())
                .map_or(String::new(), |near| format!("; is '{near}' meant to be it?"));
            return Err(format!("there is no column '{}' in it{near} (wanted: {})", field.name(), wanted()));
        };
        let (from, to) = (given.field(place).data_type(), field.data_type());
        if !possible(from, to) || is_narrowed(from, to) {
            return Err(format!("column '{}' is {}, wanted {}", field.name(), type_name(from), type_name(to)));
        }
        places.push(place);
    }
    if let Some(more) = given.fields().iter().enumerate().find(|(at, _)| !places.contains(at)) {
        return Err(format!("the column '{}' is not of the table (wanted: {})", more.1.name(), wanted()));
    }
    Ok(places)
}

/// True for what a cast would make of another kind: text of numbers, numbers of text or of times.
fn is_narrowed(from: &DataType, to: &DataType) -> bool {
    let kind = |t: &DataType| -> u8 {
        let plain = if let DataType::Dictionary(_, value) = t { value } else { t };
        match plain {
            DataType::Null => 0,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 1,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => 2,
            DataType::Boolean => 3,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => 4,
            DataType::Time32(_) | DataType::Time64(_) => 5,
            t if t.is_numeric() => 6,
            _ => 7,
        }
    };
    kind(from) != kind(to) && kind(from) != 0
}

/// One reader's place in a stream.
struct Lane {
    feed: Arc<Feed>,
    number: u64,
    /// When the last batch came.
    last: Instant,
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Batches are freed without the lock: those of Python may have to wait for the interpreter.
        let left = self.feed.lock().lanes.remove(&self.number);
        self.feed.room.notify_all();
        drop(left);
    }
}

/// A stream as a table of one partition.
pub struct FeedSource {
    lane: Option<Lane>,
    wanted: Arc<Wanted>,
}

impl FeedSource {
    /// Opens it: what is pushed from now on will be read.
    pub fn open(feed: &Arc<Feed>, wanted: Arc<Wanted>) -> Self {
        FeedSource { lane: Some(feed.open()), wanted }
    }
}

impl Source for FeedSource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let reader = |lane| Box::new(FeedReader { lane, wanted: self.wanted.clone() }) as Box<dyn PartitionReader>;
        Ok(self.lane.take().map(reader).into_iter().collect())
    }
}

struct FeedReader {
    lane: Lane,
    wanted: Arc<Wanted>,
}

impl PartitionReader for FeedReader {
    fn next(&mut self) -> Result<Next> {
        let mut state = self.lane.feed.lock();
        let next = state.lanes.get_mut(&self.lane.number).and_then(VecDeque::pop_front);
        let Some((batch, places)) = next else {
            if !state.ended {
                return Ok(Next::Pending((self.lane.last.elapsed() / 4).clamp(IDLE_MIN, IDLE_MAX)));
            }
            return state.failed.take().map_or(Ok(Next::End), Err);
        };
        drop(state);
        self.lane.feed.room.notify_all();
        self.lane.last = Instant::now();
        Ok(Next::Chunk(Box::new(Rows::new(batch, &places, self.wanted.clone()))))
    }
}

/// A stream of a session, as Python has it: batches go in by `push`.
#[pyclass(frozen, module = "pelton", name = "Stream")]
pub struct Stream(pub Arc<Feed>);

#[pymethods]
impl Stream {
    /// Gives rows to the queries that read the stream, in the order of the calls.
    ///
    /// Waits while a query has `capacity` batches before it, at most `timeout` seconds; then `TimeoutError` is raised and nothing was
    /// pushed.
    #[pyo3(signature = (data, /, *, timeout = None))]
    fn push(&self, py: Python<'_>, data: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let Imported { schema, batches } =
            import(data, Some(&self.0.schema)).map_err(|e| errors::of_data(py, e, &of(&self.0)))?;
        let places =
            self.0.places(&schema).map_err(|why| errors::new(py, "SchemaError", format!("{}: {why}", of(&self.0))))?;
        let until = timeout.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        for batch in batches {
            if batch.num_rows() > 0 {
                self.push_one(py, &(batch, places.clone()), until)?;
            }
        }
        Ok(())
    }

    /// Ends the stream: queries come to their end, windows close. May be called again.
    fn close(&self) {
        self.0.end(None);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.close();
    }

    /// Name of its table.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its columns, as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema.as_ref().to_pyarrow(py)
    }

    /// True once it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.lock().ended
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.0.schema.fields().iter().map(|f| f.name().as_str()).collect();
        format!("<pelton.Stream {} ({}){}>", self.0.name, names.join(", "), if self.closed() { ", closed" } else { "" })
    }
}

impl Stream {
    fn push_one(&self, py: Python<'_>, pushed: &Pushed, until: Option<Instant>) -> PyResult<()> {
        loop {
            match self.0.offer(pushed) {
                Ok(()) => return Ok(()),
                Err(Refused::Ended) => {
                    return Err(errors::new(py, "ClosedError", format!("the stream {} was closed", self.0.name)));
                }
                Err(Refused::Unread) => {
                    return Err(errors::new(
                        py,
                        "InputError",
                        format!(
                            "no query reads the stream {}, and {} batches wait for one already\nhelp: start a query over it \
                             first: session.sql('SELECT … FROM {} …')",
                            self.0.name, self.0.capacity, self.0.name
                        ),
                    ));
                }
                Err(Refused::Full) => {
                    let now = Instant::now();
                    if until.is_some_and(|until| until <= now) {
                        let text = format!(
                            "the queries over the stream {} are {} batches behind",
                            self.0.name, self.0.capacity
                        );
                        return Err(pyo3::exceptions::PyTimeoutError::new_err(text));
                    }
                    let time = until.map_or(LOOK, |until| LOOK.min(until - now));
                    py.detach(|| self.0.wait(time));
                    py.check_signals()?;
                }
            }
        }
    }
}

/// What stands before the reason why something was not pushed.
fn of(feed: &Feed) -> String {
    format!("this does not fit the stream {}", feed.name)
}
