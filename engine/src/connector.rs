//! What the engine asks of the outside world. `io` implements these traits; the engine names no connector.
//!
//! A row's way in: [`Connector::source`] opens a table, a [`PartitionReader`] cuts its bytes into [`Chunk`]s in offset
//! order (cheap, sequential), and any worker thread decodes a chunk into Arrow batches (dear, parallel). The engine then
//! puts the decoded chunks back into offset order, numbers the rows and computes watermarks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::ScalarValue;

use crate::error::{Error, Result, Span};
use crate::placement::Machine;
use crate::run::latency::Arrival;

/// The options of a table, as written in `WITH (...)`. Remembers which were asked for, so that a misspelt one is found.
#[derive(Debug, Default)]
pub struct Options {
    /// Who they belong to, for messages: ``table `payments` ``.
    owner: String,
    entries: BTreeMap<String, (String, Span)>,
    /// What may stand before a key, as in `key.format`: such an entry goes before the plain one.
    prefix: String,
    /// Every key that was asked for, set or not: what is known here.
    known: Arc<Mutex<std::collections::BTreeSet<String>>>,
}

impl Clone for Options {
    fn clone(&self) -> Self {
        Options {
            owner: self.owner.clone(),
            entries: self.entries.clone(),
            prefix: self.prefix.clone(),
            known: Arc::new(Mutex::new(self.known.lock().expect("no panic holds this lock").clone())),
        }
    }
}

impl Options {
    /// Options of `owner` from key, value and place.
    pub fn new(owner: impl Into<String>, entries: impl IntoIterator<Item = (String, String, Span)>) -> Self {
        Options {
            owner: owner.into(),
            entries: entries.into_iter().map(|(k, v, s)| (k, (v, s))).collect(),
            prefix: String::new(),
            known: Arc::default(),
        }
    }

    /// The same options as one part of the table sees them: for `prefix` `key.`, its `format` is `key.format` if that is
    /// set, else `format`. What it asks for is known to all.
    pub fn under(&self, prefix: &str) -> Self {
        Options {
            owner: self.owner.clone(),
            entries: self.entries.clone(),
            prefix: prefix.to_string(),
            known: self.known.clone(),
        }
    }

    /// The key that `key` is written as.
    fn written(&self, key: &str) -> String {
        let long = format!("{}{key}", self.prefix);
        if self.entries.contains_key(&long) { long } else { key.to_string() }
    }

    /// Who they belong to.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// All keys and values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, (v, _))| (k.as_str(), v.as_str()))
    }

    /// Sets a key from outside the text (tests, `replay --into`).
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.entries.insert(key.to_string(), (value.into(), Span::default()));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// The value of `key`, if set. Asking makes the key a known one.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut known = self.known.lock().expect("no panic holds this lock");
        known.insert(key.to_string());
        known.insert(format!("{}{key}", self.prefix));
        self.entries.get(&self.written(key)).map(|(v, _)| v.as_str())
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| {
            let error = Error::user(format!("{} needs the option '{key}'", self.owner));
            match Error::suggest(key, self.entries.keys().map(String::as_str)) {
                Some(near) => error.at(self.span(near)).hint(format!("is '{near}' meant to be '{key}'?")),
                None => error.hint(format!("add '{key}' = '...' to WITH (...)")),
            }
        })
    }

    /// Place of the value of `key` in the text.
    pub fn span(&self, key: &str) -> Span {
        self.entries.get(&self.written(key)).map(|(_, s)| *s).unwrap_or_default()
    }

    /// The value of `key` read by `FromStr`, or `default`.
    pub fn parse<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| self.bad(key, "a number that fits")),
        }
    }

    /// `true` or `false`, or `default`.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.bad(key, "true or false")),
        }
    }

    /// A duration such as `300ms`, `10 s`, `1 min`, `1 h`, `1 d`, or `default`.
    pub fn duration(&self, key: &str, default: Duration) -> Result<Duration> {
        match self.get(key) {
            None => Ok(default),
            Some(text) => {
                parse_duration(text).ok_or_else(|| self.bad(key, "a duration such as '300ms', '10s' or '1h'"))
            }
        }
    }

    /// One of `choices`, the first being the default.
    pub fn one_of(&self, key: &str, choices: &[&'static str]) -> Result<&'static str> {
        let Some(text) = self.get(key) else { return Ok(choices[0]) };
        choices
            .iter()
            .copied()
            .find(|c| c.eq_ignore_ascii_case(text))
            .ok_or_else(|| self.bad(key, &format!("one of {}", choices.join(", "))))
    }

    /// The error for a value that can't be read.
    pub fn bad(&self, key: &str, wanted: &str) -> Error {
        let written = self.written(key);
        let value = self.entries.get(&written).map(|(v, _)| v.as_str()).unwrap_or("");
        Error::user(format!("{}: option '{written}' is '{value}', wanted {wanted}", self.owner)).at(self.span(key))
    }

    /// Fails on a key that nobody asked for, with the closest known one. Called once all readers have read theirs.
    pub fn reject_unknown(&self) -> Result<()> {
        let known = self.known.lock().expect("no panic holds this lock");
        for (key, (_, span)) in &self.entries {
            if !known.contains(key) {
                let error = Error::user(format!("{}: unknown option '{key}'", self.owner)).at(*span);
                return Err(match Error::suggest(key, known.iter().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean '{near}'?")),
                    None => error.hint(format!("known here: {}", known.iter().cloned().collect::<Vec<_>>().join(", "))),
                });
            }
        }
        Ok(())
    }
}

/// Reads `300ms`, `10 s`, `1 min`, `2 hours`, `1 d`, `500us`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit.trim().to_ascii_lowercase().as_str() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// What a connector is told about a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name as declared.
    pub name: String,
    /// Columns that live outside (declared ones without computed and metadata columns), in declared order.
    pub schema: SchemaRef,
    /// The options of `WITH (...)`.
    pub options: Options,
    /// Names of the declared primary key's columns, empty without one.
    pub primary_key: Vec<String>,
}

/// What the engine wants of a source.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    /// Indices into [`Table::schema`] of the columns wanted, ascending. The batches hold exactly these, in this order and
    /// with the declared types.
    pub columns: Vec<usize>,
    /// Metadata keys wanted beyond `partition` and `offset` (which the engine makes), e.g. `file.path`.
    pub metadata: Vec<String>,
    /// Those of the columns that are taken as [`dictionary_type`] instead of STRING, as [`Connector::dictionaries`] offered.
    pub dictionaries: Vec<usize>,
    /// Those of the columns that no query reads: history and letters keep them. A value that does not fit is NULL there,
    /// and its row is good, so that keeping changes no answer.
    pub kept_only: Vec<usize>,
    /// Rows a decoded batch should hold at most.
    pub batch_rows: usize,
    /// How long a record should take through the pipeline: a live source waits for others to come with it by far less.
    pub latency_target: Duration,
    /// Pieces of the input that need not be decoded. A source may ignore it.
    pub skip: Option<SkipRule>,
}

/// Strings as keys into a dictionary of values.
pub fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// When a piece of the input may be passed over: statistics refute all of `any_of`, no column of `not_null` nor the event
/// time holds a NULL, and the greatest event time is known to the tick ([`Decoded::skipped`]).
#[derive(Clone, Debug, Default)]
pub struct SkipRule {
    /// For each query that reads the table, what it asks of a row at least.
    pub any_of: Vec<Vec<Bound>>,
    /// Index in [`Table::schema`] of the event time, if the table has a watermark.
    pub time: Option<usize>,
    /// Indices in [`Table::schema`] of columns that may not be NULL.
    pub not_null: Vec<usize>,
}

/// A comparison of a column with a constant; true for no NULL.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Index in [`Table::schema`].
    pub column: usize,
    /// Column `op` value.
    pub op: Comparison,
    /// Of the column's type.
    pub value: ScalarValue,
}

/// The comparisons that least and greatest values can refute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Comparison {
    Eq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

/// A kind of outside world: `filesystem`, `datagen`, `print`, …
pub trait Connector: Send + Sync {
    /// The name in `'connector' = '…'`.
    fn name(&self) -> &'static str;

    /// The columns that the data itself declares, for tables declared without columns.
    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        Err(Error::user(format!("{}: connector '{}' cannot tell its columns", options.owner(), self.name()))
            .hint("declare the columns in CREATE TABLE"))
    }

    /// Names of the metadata columns that its sources offer, with their Arrow types, beyond `partition` and `offset`.
    fn metadata(&self) -> Vec<(&'static str, DataType)> {
        vec![]
    }

    /// Indices in [`Table::schema`] of STRING columns that it has as dictionaries anyway: few values for many rows.
    fn dictionaries(&self, table: &Table) -> Vec<usize> {
        let _ = table;
        vec![]
    }

    /// True if reading this table ends by itself. Decides whether unwindowed aggregates and ORDER BY are allowed.
    fn bounded(&self, options: &Options) -> Result<bool>;

    /// True if the rows of a bounded table are there as a whole and stay, as in files: then a stream may be joined with it.
    fn stands_still(&self) -> bool {
        false
    }

    /// True if its rows carry the time of the wall clock (as from devices and queues): rows far ahead of it are refused.
    fn follows_the_clock(&self, options: &Options) -> bool {
        let _ = options;
        false
    }

    /// Opens the table for reading. Missing paths and unreachable servers fail here, before the first batch.
    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let _ = request;
        Err(Error::user(format!("{}: connector '{}' cannot be read from", table.options.owner(), self.name())))
    }

    /// Holds the table's options against what is known, without opening anything outside; `reads` tells which way it is
    /// used. A connector whose `source` or `sink` opens something answers for itself.
    fn check(&self, table: &Table, reads: bool) -> Result<()> {
        if reads { self.source(table, &ReadRequest::default()).map(drop) } else { self.sink(table).map(drop) }
    }

    /// Opens the table for writing. Unwritable targets and finished output without `'sink.mode'` fail here.
    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Err(Error::user(format!("{}: connector '{}' cannot be written to", table.options.owner(), self.name())))
    }

    /// The same in a run with checkpoints, whose sinks are [restored](Sink::restore) and [sealed](Sink::seal).
    fn epoch_sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        self.sink(table)
    }
}

/// An open table to read from.
pub trait Source: Send {
    /// The readers, one a partition; the index is the partition number.
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>>;

    /// Stable text that changes when the content of a bounded input changes (paths, sizes, times), for `verify`.
    fn fingerprint(&self) -> Option<String> {
        None
    }

    /// What is to be told to [`Source::restore`] for the same partitions to come out again: files that were found, ends that
    /// were looked up. Any text. Asked at each cut of a run with checkpoints; must be quick.
    fn token(&mut self) -> Option<String> {
        None
    }

    /// In a run that goes on, before `partitions`: what `token` has said at the cut.
    fn restore(&mut self, token: &str) -> Result<()> {
        let _ = token;
        Ok(())
    }

    /// Readers of partitions that have come since the last look. Their numbers follow on. Asked now and then, by one
    /// caller at a time; must not block longer than about 50 ms.
    fn discover(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        Ok(vec![])
    }

    /// Hears of a complete checkpoint: for each partition its [name](PartitionReader::name) and the offset after the last
    /// record that is in it. For telling a server how far its topic was read; what fails here fails no run.
    fn completed(&mut self, offsets: &[(Option<String>, u64)]) {
        let _ = offsets;
    }
}

/// Reads one partition in offset order. Law: the records and their order do not depend on how they are cut into chunks.
pub trait PartitionReader: Send {
    /// The next piece of work. Must not block longer than about 50 ms: a live source answers [`Next::Pending`].
    fn next(&mut self) -> Result<Next>;

    /// Reads on from this record offset instead of the first. Called at most once, before the first `next`.
    fn seek(&mut self, offset: u64) -> Result<()> {
        if offset == 0 { Ok(()) } else { Err(Error::world("this source cannot start in the middle")) }
    }

    /// The offset of the first record of the first chunk, where that is not 0. Asked once, before the first `next`, unless
    /// `seek` was called.
    fn start(&mut self) -> Result<u64> {
        Ok(0)
    }

    /// What a checkpoint knows the partition by, where its number may change from run to run: `payments-3`.
    fn name(&self) -> Option<String> {
        None
    }
}

/// Answer of [`PartitionReader::next`].
pub enum Next {
    /// Undecoded records, following on those of the chunk before.
    Chunk(Box<dyn Chunk>),
    /// Nothing right now; ask again after this long.
    Pending(Duration),
    /// The end of a bounded input.
    End,
}

/// Undecoded records of one partition, decoded on whatever thread is free.
pub trait Chunk: Send {
    /// Decodes everything. A bad record never loses its neighbours.
    fn decode(self: Box<Self>) -> Decoded;
}

/// What came out of a [`Chunk`].
#[derive(Default)]
pub struct Decoded {
    /// The good rows, in record order, with the requested columns.
    pub batches: Vec<DecodedBatch>,
    /// How many records the chunk held, good and bad: the partition's offset moves on by this.
    pub records: u64,
    /// The records that did not decode.
    pub bad: Vec<BadRecord>,
    /// The records were passed over by [`ReadRequest::skip`].
    pub skipped: Option<Skipped>,
    /// Part of the input could not be read at all (corrupt file, truncated stream). What was good is in `batches`; the
    /// run goes on with the rest of the input, commits, and ends with exit code 1.
    pub broken: Option<Error>,
    /// Values of the requested metadata keys for all rows of this chunk.
    pub metadata: Vec<(String, ScalarValue)>,
    /// The same row by row, for chunks of one batch (history).
    pub metadata_rows: Vec<(String, ArrayRef)>,
    /// When the outside world had the first of the records, in ms since 1970, where it says so: for measuring latency.
    pub since_ms: Option<i64>,
    /// In history: records with which a turn began, ascending, and the turn.
    pub turns: Vec<(u64, u64)>,
}

/// What must be known of records that were not decoded.
#[derive(Clone, Debug, Default)]
pub struct Skipped {
    /// Their greatest event time, in tables with a watermark.
    pub time_max: Option<ScalarValue>,
}

/// Rows that follow each other in a chunk.
pub struct DecodedBatch {
    /// The columns.
    pub batch: RecordBatch,
    /// Index in the chunk of each row's record, ascending; `None` when they follow on without a gap from the end of the
    /// batch before (from 0 for the first).
    pub records: Option<Vec<u32>>,
}

/// A record that did not decode.
#[derive(Clone, Debug, PartialEq)]
pub struct BadRecord {
    /// Index of the record in its chunk.
    pub record: u32,
    /// Why, in words: column, value, place in the file.
    pub reason: String,
    /// The original bytes.
    pub bytes: Vec<u8>,
}

/// An open table to write to. Nothing is visible to readers before `commit`.
pub trait Sink: Send {
    /// Takes rows with the columns of [`Table::schema`].
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Rows of the next writes, until the next call, belong to `arrival`: true if the sink holds on to it until they can be seen.
    /// Otherwise they are taken to be seen when they are written, or with the checkpoint.
    fn follow(&mut self, arrival: &Arc<Arrival>) -> bool {
        let _ = arrival;
        false
    }

    /// Makes everything written so far durable and visible. May be called again after more writes. Not called in a run
    /// with checkpoints.
    fn commit(&mut self) -> Result<()>;
    /// Throws away what is not committed.
    fn abort(&mut self);

    /// In a run with checkpoints, before `restore`: which epochs of this pipeline (a name that stays the same from run to run) are
    /// committed already.
    fn committed(&mut self, pipeline: &str) -> Result<Committed> {
        let _ = pipeline;
        Ok(Committed::FromToken)
    }

    /// In a run with checkpoints, before the first `write`: the run goes on after this epoch with what [`Staged::stage`] has
    /// said of it, or begins (`None`). What was staged by then is made visible if it is not yet; everything that was staged or
    /// published later is thrown away.
    fn restore(&mut self, from: Option<(u64, &str)>) -> Result<()> {
        let _ = from;
        Ok(())
    }

    /// The epoch that is sealed next is the last of this run: what can only be made visible as a whole, now can. Unless the input
    /// has `ended`, another run may go on.
    fn finish(&mut self, ended: bool) {
        let _ = ended;
    }

    /// Ends an epoch: what was written since the one before is handed over, to be staged and published while more is written.
    /// Must be quick: the flow waits for it. A sink that has no such notion makes it visible at once (at least once).
    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        let _ = epoch;
        self.commit()?;
        Ok(Box::new(Published))
    }
}

/// What is known of the epochs that a sink has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It commits what it has staged at any time, also after a crash, from its token.
    FromToken,
    /// The outside world has all epochs up to this one (0: none), and can not be given later ones that were staged before a
    /// crash: transactions that end with their process.
    Until(u64),
}

/// The rows of one epoch, on their way to being seen. Dropped before `publish`, they are never seen unless a sink is
/// [restored](Sink::restore) to the epoch.
pub trait Staged: Send {
    /// Makes the rows durable, but not visible; answers all that [`Sink::restore`] will need to know (any text). The checkpoint is
    /// complete only after this.
    fn stage(&mut self) -> Result<String>;
    /// Makes them visible. Called once the checkpoint is durable; may be called again where it failed.
    fn publish(&mut self) -> Result<()>;
}

/// Rows that can be seen already.
pub struct Published;

impl Staged for Published {
    fn stage(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn publish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Why a row or record went to the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LetterKind {
    /// Bytes that do not decode.
    Undecodable,
    /// A NULL where none may be, above all in the event time.
    Schema,
    /// An expression that failed for this row.
    Expression,
    /// Below the watermark of its partition for one or more of its windows.
    Late,
    /// Too far ahead of the wall clock.
    FarFuture,
    /// The run ended whenever it came to it.
    Poison,
}

impl LetterKind {
    /// The word stored in the `kind` column.
    pub fn as_str(self) -> &'static str {
        match self {
            LetterKind::Undecodable => "undecodable",
            LetterKind::Schema => "schema",
            LetterKind::Expression => "expression",
            LetterKind::Late => "late",
            LetterKind::FarFuture => "far-future",
            LetterKind::Poison => "poison",
        }
    }
}

/// One dead letter (DESIGN 12).
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Name of the source table.
    pub source: String,
    /// Partition of the record.
    pub partition: u32,
    /// Offset of the record in its partition.
    pub offset: u64,
    /// The operator that refused it: `decode`, `schema`, `WHERE`, `window TUMBLE …`.
    pub operator: String,
    /// What kind of letter.
    pub kind: LetterKind,
    /// Why, in words.
    pub reason: String,
    /// The original bytes, of records that did not decode.
    pub bytes: Option<Vec<u8>>,
    /// The typed row as a JSON object, of rows that did.
    pub row: Option<String>,
}

/// Where dead letters go.
pub trait DeadLetterStore: Send {
    /// Takes letters.
    fn write(&mut self, letters: &[DeadLetter]) -> Result<()>;
    /// Makes them durable and visible.
    fn commit(&mut self) -> Result<()>;
    /// As of a [`Sink`], with the name of the pipeline as in [`Sink::committed`].
    fn restore(&mut self, pipeline: &str, from: Option<(u64, &str)>) -> Result<()>;
    /// As of a [`Sink`].
    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>>;
}

/// Places that files are kept at: a local directory, or a folder of an object store. Names are relative, with `/`.
pub trait Storage: Send + Sync {
    /// Writes a whole object; readers see all of it or none.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Reads a whole object; `None` if there is none.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// Names below `prefix`, sorted.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;
    /// Removes an object; removing nothing is fine.
    fn remove(&self, name: &str) -> Result<()>;
    /// The local path behind a name, for writers that stream. Only of [directories](Places::directory).
    fn local_path(&self, name: &str) -> PathBuf;
    /// Takes a lock that ends with what is answered, or with the process; `None` if somebody else has it.
    fn lock(&self, name: &str) -> Result<Option<Box<dyn Send>>>;
}

/// Opens the places that are named by settings rather than by a table.
pub trait Places: Send + Sync {
    /// The whole of a file at this local path.
    fn file(&self, path: &str) -> Result<Vec<u8>> {
        Err(Error::world(format!("this build reads no files, and '{path}' is one")))
    }
    /// A dead letter table at this path. Letters committed longer ago than `retention` are removed now.
    fn dead_letters(&self, path: &str, retention: Option<Duration>) -> Result<Box<dyn DeadLetterStore>>;
    /// A storage at this path or URL: a folder is made if it is not there, a bucket must be.
    fn storage(&self, path: &str) -> Result<Arc<dyn Storage>>;
    /// A storage at this local path, made if it is not there. Fails for URLs of other places.
    fn directory(&self, path: &str) -> Result<Arc<dyn Storage>>;
    /// Writes rows to one history segment at this local path, which appears when it is finished.
    fn segment_writer(&self, path: &std::path::Path, schema: &SchemaRef) -> Result<Box<dyn SegmentWriter>>;
    /// Reads a whole history segment.
    fn read_segment(&self, path: &std::path::Path) -> Result<Vec<RecordBatch>>;
}

/// Writes one history segment. Dropped unfinished, it leaves nothing.
pub trait SegmentWriter: Send {
    /// Appends rows.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;
    /// Makes the segment durable and visible.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// All connectors by name.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    places: Option<Arc<dyn Places>>,
    machine: Option<Arc<dyn Machine>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.connectors.keys()).finish()
    }
}

impl Registry {
    /// Adds a connector.
    pub fn add(&mut self, connector: Arc<dyn Connector>) {
        self.connectors.insert(connector.name(), connector);
    }

    /// Sets who opens places.
    pub fn set_places(&mut self, places: Arc<dyn Places>) {
        self.places = Some(places);
    }

    /// Who opens places.
    pub fn places(&self) -> Result<&Arc<dyn Places>> {
        self.places.as_ref().ok_or_else(|| Error::world("this build can keep neither history nor dead letters"))
    }

    /// Sets who knows the machine.
    pub fn set_machine(&mut self, machine: Arc<dyn Machine>) {
        self.machine = Some(machine);
    }

    /// Who knows the machine; without it nothing is measured.
    pub fn machine(&self) -> Option<&Arc<dyn Machine>> {
        self.machine.as_ref()
    }

    /// The connector that the options name.
    pub fn of(&self, options: &Options) -> Result<&Arc<dyn Connector>> {
        let name = options.require("connector")?;
        self.connectors.get(name).ok_or_else(|| {
            let error = Error::user(format!("{}: no connector is called '{name}'", options.owner()))
                .at(options.span("connector"));
            match Error::suggest(name, self.connectors.keys().copied()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => {
                    error.hint(format!("there are: {}", self.connectors.keys().copied().collect::<Vec<_>>().join(", ")))
                }
            }
        })
    }
}
