//! What is inside files: Parquet, JSON lines, CSV and Arrow IPC, read in pieces and written row by row.
//!
//! A [`PieceReader`] cuts one file into [`Piece`]s in record order (cheap, sequential); each piece decodes by itself on
//! any thread (dear, parallel). Law: which records there are, their order, and which of them are bad depend on the bytes
//! of the file and on [`Wanted::columns`] alone, never on [`Wanted::batch_rows`] or on where pieces are cut.
//!
//! Stays outside: which files there are and where output becomes visible (`filesystem`).

mod columns;
pub mod compression;
pub mod convert;
pub mod csv;
#[cfg(test)]
mod dice;
mod few;
pub mod infer;
pub mod ipc;
pub mod json;
pub mod messages;
pub mod parquet;
mod scan;
pub mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use pelton_engine::connector::{BadRecord, Decoded, DecodedBatch, Options, SkipRule};
use pelton_engine::error::{Error, Result};

use columns::Part;
use compression::Compression;
use convert::Origin;
use text::Line;

/// Rows that a decoder makes at once, at least. Smaller micro-batches are slices of these: they cost no decoding.
const DECODE_ROWS_MIN: usize = 8192;

/// What is inside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// One JSON object a line.
    Json,
    /// Delimited text.
    Csv,
    /// Arrow IPC files (also known as Feather 2).
    Arrow,
}

impl Format {
    /// The names in `'format' = '…'`.
    pub const NAMES: [&'static str; 4] = ["parquet", "json", "csv", "arrow"];

    /// The format called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Some(Format::Parquet),
            "json" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "arrow" => Some(Format::Arrow),
            _ => None,
        }
    }

    /// Its name, and the extension of part files.
    pub fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
        }
    }

    /// True for formats of lines, which may be compressed as a whole.
    pub fn is_text(self) -> bool {
        matches!(self, Format::Json | Format::Csv)
    }

    /// Format and compression by the extension of a file name; `None` for unknown ones.
    pub fn of_path(path: &Path) -> Option<(Self, Compression)> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let compression = Compression::of_name(&name);
        let stem = compression.strip(&name);
        let (before, extension) = stem.rsplit_once('.')?;
        let format = match extension {
            "parquet" | "pq" => Format::Parquet,
            "json" | "jsonl" | "ndjson" => Format::Json,
            "csv" => Format::Csv,
            "arrow" | "ipc" | "feather" => Format::Arrow,
            _ => return None,
        };
        // Compressed Parquet or Arrow files are nobody's habit; they compress inside.
        (!before.is_empty() && (format.is_text() || compression == Compression::None)).then_some((format, compression))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How CSV is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvSyntax {
    /// Between fields; one ASCII byte.
    pub delimiter: u8,
    /// Around fields; doubled inside them. `None`: quotes mean nothing.
    pub quote: Option<u8>,
    /// The first record names the columns.
    pub header: bool,
    /// An unquoted field with this text is NULL, as an unquoted empty one is.
    pub null_literal: Option<String>,
    /// Lines that start with `#` are no records.
    pub comments: bool,
}

impl Default for CsvSyntax {
    fn default() -> Self {
        CsvSyntax { delimiter: b',', quote: Some(b'"'), header: true, null_literal: None, comments: false }
    }
}

impl CsvSyntax {
    /// What the options `csv.…` say.
    pub fn read(options: &Options) -> Result<Self> {
        let byte = |key: &str, default: u8| match options.get(key) {
            None => Ok(Some(default)),
            Some("\\t") => Ok(Some(b'\t')),
            Some("") if key == "csv.quote-character" => Ok(None),
            Some(text) if text.len() == 1 && text.is_ascii() && !text.contains(['\n', '\r', '#']) => {
                Ok(Some(text.as_bytes()[0]))
            }
            Some(_) => Err(options.bad(key, "one ASCII character")),
        };
        let csv = CsvSyntax {
            delimiter: byte("csv.field-delimiter", b',')?.expect("never nothing"),
            quote: byte("csv.quote-character", b'"')?,
            header: options.flag("csv.header", true)?,
            null_literal: options.get("csv.null-literal").map(str::to_string),
            comments: options.flag("csv.allow-comments", false)?,
        };
        if Some(csv.delimiter) == csv.quote {
            return Err(options.bad("csv.field-delimiter", "another character than 'csv.quote-character'"));
        }
        Ok(csv)
    }
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is, as listed.
    pub path: PathBuf,
    /// Bytes, when it was listed.
    pub size_bytes: u64,
    /// Time of the last change, when it was listed.
    pub modified: Option<SystemTime>,
    /// How a text file is compressed.
    pub compression: Compression,
}

impl InputFile {
    /// Looks at the file at `path`.
    pub fn look(path: PathBuf) -> std::io::Result<Self> {
        let found = std::fs::metadata(&path)?;
        let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let compression = Compression::of_name(&name);
        Ok(InputFile { path, size_bytes: found.len(), modified: found.modified().ok(), compression })
    }

    /// Opens it, or says that it can't be.
    pub fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|e| self.broken("cannot be opened").because(e))
    }

    /// The error for a file of which something can't be read: `what` says what and where in it.
    pub fn broken(&self, what: impl fmt::Display) -> Error {
        Error::world(format!("file '{}' {what}", self.path.display()))
    }
}

impl fmt::Display for InputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// Which columns are wanted of every file, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// All declared columns, nullable.
    pub table: SchemaRef,
    /// Those to read: indices into `table`.
    pub columns: Vec<usize>,
    /// The schema of the batches: `columns` of `table`. All nullable: a NULL in a NOT NULL column is the engine's to judge.
    pub schema: SchemaRef,
    /// Rows that a batch holds at most.
    pub batch_rows: usize,
    /// What is inside the files.
    pub format: Format,
    /// How CSV is written.
    pub csv: CsvSyntax,
    /// Text is cut into pieces of about this many bytes.
    pub block_bytes: usize,
    /// Those of `columns` in which a value that does not fit is NULL and no fault of its row.
    pub kept_only: Vec<usize>,
    /// Row groups that nobody needs.
    pub skip: Option<SkipRule>,
}

impl Wanted {
    /// Bytes of text in a piece: large enough to hide the cost of handing it over, small enough to spread over threads.
    pub const BLOCK_BYTES: usize = 1 << 20;

    /// `columns` (indices) of a table with these declared columns.
    pub fn new(table: &Schema, columns: &[usize], batch_rows: usize, format: Format, csv: CsvSyntax) -> Self {
        let nullable = |f: &FieldRef| Arc::new(f.as_ref().clone().with_nullable(true));
        let table = Schema::new(table.fields().iter().map(nullable).collect::<Vec<_>>());
        let schema = Schema::new(columns.iter().map(|&i| table.fields()[i].clone()).collect::<Vec<_>>());
        Wanted {
            table: Arc::new(table),
            columns: columns.to_vec(),
            schema: Arc::new(schema),
            batch_rows: batch_rows.max(1),
            format,
            csv,
            block_bytes: Wanted::BLOCK_BYTES,
            kept_only: vec![],
            skip: None,
        }
    }

    /// Rows to decode at once, of which batches are slices.
    fn decode_rows(&self) -> usize {
        self.batch_rows.max(DECODE_ROWS_MIN)
    }
}

/// A piece of one file, not yet decoded.
pub trait Piece: Send {
    /// How many records it holds, good and bad.
    fn records(&self) -> u64;
    /// Decodes everything in it. Metadata stays empty.
    fn decode(self: Box<Self>) -> Decoded;
}

/// Cuts one file into pieces.
pub trait PieceReader: Send {
    /// The next piece; `None` at the end. An error means that the rest of the file can't be read.
    fn next(&mut self) -> Result<Option<Box<dyn Piece>>>;
}

/// Opens a file for reading.
pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<Box<dyn PieceReader>> {
    match wanted.format {
        Format::Parquet => Ok(Box::new(parquet::ParquetPieces::open(file, wanted)?)),
        Format::Arrow => Ok(Box::new(ipc::IpcPieces::open(file, wanted)?)),
        Format::Json => Ok(Box::new(json::open(file, wanted)?)),
        Format::Csv => Ok(Box::new(csv::open(file, wanted)?)),
    }
}

/// The columns a file has, as far as it tells by itself: with types for Parquet and Arrow, names only (as Utf8) for CSV
/// with a header. `None` where records need not agree (JSON), or columns go by position, or the file is empty text.
pub fn columns_of(file: &InputFile, format: Format, csv: &CsvSyntax) -> Result<Option<SchemaRef>> {
    match format {
        Format::Parquet => parquet::schema_of(file).map(Some),
        Format::Arrow => ipc::schema_of(file).map(Some),
        Format::Csv if csv.header => csv::header_of(file, csv),
        Format::Csv => Ok(None),
        Format::Json => json::check(file).map(|()| None),
    }
}

/// Columns with types, read or guessed from a file; `None` if an (empty) text file tells nothing.
pub fn infer(file: &InputFile, format: Format, csv: &CsvSyntax) -> Result<Option<SchemaRef>> {
    match format {
        Format::Parquet => parquet::schema_of(file).map(Some),
        Format::Arrow => ipc::schema_of(file).map(Some),
        Format::Csv => csv::infer(file, csv),
        Format::Json => json::infer(file),
    }
}

/// Where `name` is among `names`: an equal one, else the only one that differs in case alone.
pub fn find_column<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let (mut alike, mut several) = (None, false);
    for (i, n) in names.into_iter().enumerate() {
        if n == name {
            return Some(i);
        }
        if n.to_lowercase() == name.to_lowercase() {
            several = alike.is_some();
            alike = Some(i);
        }
    }
    alike.filter(|_| !several)
}

/// Where each wanted column is in a file with columns `found`; `None` for those it lacks. Fails if one has a type that
/// never converts to the declared one.
fn locate(file: &InputFile, wanted: &Wanted, found: &Schema) -> Result<Vec<Option<usize>>> {
    let mut places = vec![];
    for field in wanted.schema.fields() {
        let place = find_column(field.name(), found.fields().iter().map(|f| f.name().as_str()));
        if let Some(i) = place {
            let (from, to) = (found.field(i).data_type(), field.data_type());
            if !convert::possible(from, to) {
                let (from, to) = (convert::type_name(from), convert::type_name(to));
                return Err(
                    file.broken(format!("has column '{}' as {from}, which does not convert to {to}", field.name()))
                );
            }
        }
        places.push(place);
    }
    Ok(places)
}

/// Which records of a piece some decoded rows are.
enum Rows<'a> {
    /// Consecutive ones from here.
    From(u32),
    /// These, ascending.
    At(&'a [u32]),
}

impl Rows<'_> {
    fn record(&self, row: usize) -> u32 {
        match self {
            Rows::From(first) => first + row as u32,
            Rows::At(records) => records[row],
        }
    }
}

/// Collects what comes out of one piece.
struct Out<'a> {
    wanted: &'a Wanted,
    decoded: Decoded,
    /// The record after the last good row so far.
    follows: u32,
}

impl<'a> Out<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        Out { wanted, decoded: Decoded::default(), follows: 0 }
    }

    /// Notes a record that did not decode.
    fn bad(&mut self, record: u32, reason: String, bytes: &[u8]) {
        self.decoded.bad.push(BadRecord { record, reason, bytes: bytes.to_vec() });
    }

    /// Takes decoded rows, still with the file's types: converts them, sets the misfits apart, cuts batches.
    ///
    /// - `columns`: one for each wanted column, `count` long; `None` is all NULL.
    /// - `place`: where a record is, as `line 7`.
    /// - `bytes`: the original bytes of a row.
    fn rows(
        &mut self,
        columns: Vec<Option<ArrayRef>>,
        count: usize,
        rows: Rows<'_>,
        origin: Origin,
        place: impl Fn(u32) -> String,
        bytes: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(), ArrowError> {
        let (batch, misfits) = self.converted(columns, count, &rows, origin, place, bytes)?;
        let at = match rows {
            Rows::From(first) if misfits.is_empty() && first == self.follows => None,
            rows => Some(records_without(count, &rows, &misfits)),
        };
        self.push(batch, at)
    }

    /// Like [`Out::rows`], but hands the good rows back, with the records that they are.
    fn fit(
        &mut self,
        columns: Vec<Option<ArrayRef>>,
        count: usize,
        rows: &Rows<'_>,
        origin: Origin,
        place: impl Fn(u32) -> String,
        bytes: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        let (batch, misfits) = self.converted(columns, count, rows, origin, place, bytes)?;
        Ok((batch, records_without(count, rows, &misfits)))
    }

    /// Converts decoded rows and notes the misfits: the other rows, and which rows are not among them.
    fn converted(
        &mut self,
        columns: Vec<Option<ArrayRef>>,
        count: usize,
        rows: &Rows<'_>,
        origin: Origin,
        place: impl Fn(u32) -> String,
        bytes: impl Fn(usize) -> Vec<u8>,
    ) -> Result<(RecordBatch, BTreeMap<usize, String>), ArrowError> {
        let mut misfits: BTreeMap<usize, String> = BTreeMap::new();
        let mut arrays = Vec::with_capacity(columns.len());
        for ((field, column), number) in self.wanted.schema.fields().iter().zip(columns).zip(&self.wanted.columns) {
            let Some(column) = column else {
                arrays.push(new_null_array(field.data_type(), count));
                continue;
            };
            let mut rows_bad = vec![];
            arrays.push(convert::convert(&column, field.data_type(), origin, &mut rows_bad)?);
            if self.wanted.kept_only.contains(number) {
                rows_bad.clear();
            }
            for row in rows_bad {
                let value = convert::show(&column, row);
                let wanted = convert::type_name(field.data_type());
                misfits.entry(row).or_insert_with(|| {
                    format!("column '{}': {value} is no {wanted} ({})", field.name(), place(rows.record(row)))
                });
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let mut batch = RecordBatch::try_new_with_options(self.wanted.schema.clone(), arrays, &options)?;
        if !misfits.is_empty() {
            for (&row, reason) in &misfits {
                let bytes = bytes(row);
                self.bad(rows.record(row), reason.clone(), &bytes);
            }
            let keep: BooleanArray = (0..count).map(|row| Some(!misfits.contains_key(&row))).collect();
            batch = filter_rows(&batch, &keep)?;
        }
        Ok((batch, misfits))
    }

    /// Takes a part of some text: its plain records, and among them the odd ones as `slowly` reads them.
    fn part(
        &mut self,
        part: Part,
        text: &[u8],
        origin: Origin,
        file: &InputFile,
        line_of: impl Fn(u32) -> Line,
        slowly: impl FnOnce(&[(u32, Line)], &mut Self) -> Result<(RecordBatch, Vec<u32>), ArrowError>,
    ) -> Result<(), ArrowError> {
        let place = |record: u32| format!("line {} of '{file}'", line_of(record).number);
        let count = part.records as usize - part.odd.len();
        if part.odd.is_empty() {
            let bytes = |row: usize| line_of(part.first + row as u32).of(text).to_vec();
            return self.rows(part.columns, count, Rows::From(part.first), origin, place, bytes);
        }
        let plain = part.plain();
        let bytes = |row: usize| line_of(plain[row]).of(text).to_vec();
        let quick = self.fit(part.columns, count, &Rows::At(&plain), origin, place, bytes)?;
        let slow = slowly(&part.odd, self)?;
        self.push_two(quick, slow)
    }

    /// Takes the rows of two batches that have different records, in the order of these.
    fn push_two(&mut self, a: (RecordBatch, Vec<u32>), b: (RecordBatch, Vec<u32>)) -> Result<(), ArrowError> {
        let [(a, a_at), (b, b_at)] = match (a.1.is_empty(), b.1.is_empty()) {
            (_, true) => return self.push(a.0, Some(a.1)),
            (true, _) => return self.push(b.0, Some(b.1)),
            _ => [a, b],
        };
        let mut picks = Vec::with_capacity(a_at.len() + b_at.len());
        picks.extend((0..a_at.len()).map(|row| (0, row)));
        picks.extend((0..b_at.len()).map(|row| (1, row)));
        picks.sort_by_key(|&(batch, row)| if batch == 0 { a_at[row] } else { b_at[row] });
        let columns = a.columns().iter().zip(b.columns()).map(|(a, b)| interleave(&[a, b], &picks));
        let options = RecordBatchOptions::new().with_row_count(Some(picks.len()));
        let batch = RecordBatch::try_new_with_options(a.schema(), columns.collect::<Result<_, _>>()?, &options)?;
        let mut at = [a_at, b_at].concat();
        at.sort_unstable();
        self.push(batch, Some(at))
    }

    /// Cuts good rows into batches. `at`: which records they are, if they do not follow on those before.
    fn push(&mut self, batch: RecordBatch, at: Option<Vec<u32>>) -> Result<(), ArrowError> {
        // Records without a gap need no list.
        let at = at.filter(|at| (self.follows..).zip(at).any(|(next, record)| next != *record));
        for start in (0..batch.num_rows()).step_by(self.wanted.batch_rows) {
            let rows = self.wanted.batch_rows.min(batch.num_rows() - start);
            let records = at.as_ref().map(|at| at[start..start + rows].to_vec());
            self.follows = match &records {
                Some(records) => records.last().expect("a batch has rows") + 1,
                None => self.follows + rows as u32,
            };
            self.decoded.batches.push(DecodedBatch { batch: batch.slice(start, rows), records });
        }
        Ok(())
    }

    /// The end: the piece held `records`, and of part of it only `broken` is known.
    fn done(mut self, records: u64, broken: Option<Error>) -> Decoded {
        self.decoded.bad.sort_by_key(|b| b.record);
        self.decoded.records = records;
        self.decoded.broken = broken;
        self.decoded
    }
}

/// The records of `count` rows without those of the misfits.
fn records_without(count: usize, rows: &Rows<'_>, misfits: &BTreeMap<usize, String>) -> Vec<u32> {
    (0..count).filter(|row| !misfits.contains_key(row)).map(|row| rows.record(row)).collect()
}

/// `filter_record_batch` that also counts the rows of batches without columns.
fn filter_rows(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() > 0 {
        return filter_record_batch(batch, keep);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(keep.true_count()));
    RecordBatch::try_new_with_options(batch.schema(), vec![], &options)
}

/// Runs a third-party decoder over bytes that may be corrupt, turning its panics into errors: some decoders assert what a
/// damaged file can violate.
fn guarded<T, E: fmt::Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(panic) => Err(panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
            .unwrap_or_else(|| "the decoder stopped".into())),
    }
}

/// The rows of some columns as JSON text, one object a row: what a dead letter keeps of a row that never was text.
fn row_as_json(schema: &Schema, columns: &[Option<ArrayRef>], row: usize) -> Vec<u8> {
    let (mut fields, mut arrays) = (vec![], vec![]);
    for (field, column) in schema.fields().iter().zip(columns) {
        if let Some(column) = column {
            fields.push(Field::new(field.name(), column.data_type().clone(), true));
            arrays.push(column.slice(row, 1));
        }
    }
    let mut out = vec![];
    if let Ok(batch) = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays) {
        let mut writer = arrow::json::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(&mut out);
        let written = writer.write(&batch).and_then(|()| writer.finish());
        drop(writer);
        if written.is_err() {
            out.clear();
        }
    }
    while out.last() == Some(&b'\n') {
        out.pop();
    }
    out
}

/// Writes rows into one file. Knows nothing of names and visibility.
pub trait RowWriter: Send {
    /// Takes rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError>;
    /// Writes what is still held back and the file's end. Nothing may be written afterwards.
    fn finish(&mut self) -> Result<(), WriteError>;
}

/// Why rows could not be written; the sink knows file and progress.
pub type WriteError = Box<dyn std::error::Error + Send + Sync>;

/// A writer of `format` into `into`. With `resume`, text goes on after records that are there already (no CSV header).
pub fn writer(
    format: Format,
    csv: &CsvSyntax,
    compression: Compression,
    schema: &SchemaRef,
    into: Box<dyn std::io::Write + Send>,
    resume: bool,
) -> Result<Box<dyn RowWriter>, WriteError> {
    match format {
        Format::Parquet => Ok(Box::new(parquet::ParquetRows::new(into, schema)?)),
        Format::Arrow => Ok(Box::new(ipc::IpcRows::new(into, schema)?)),
        Format::Json => Ok(Box::new(json::JsonRows::new(compression.writer(into)?))),
        Format::Csv => Ok(Box::new(csv::CsvRows::new(compression.writer(into)?, csv.clone(), schema, !resume)?)),
    }
}

#[cfg(test)]
pub(crate) mod tests_of_formats {
    //! Bytes in, rows as text out, at every cut: the one place where the tests of formats know the API.

    use super::*;

    /// A file and what is declared about it.
    pub struct Case {
        dir: tempfile::TempDir,
        name: String,
        format: Format,
        schema: Schema,
        columns: Option<Vec<usize>>,
        syntax: CsvSyntax,
    }

    /// What came out: rows as `record: a|b`.
    #[derive(Debug, PartialEq)]
    pub struct Got {
        pub rows: Vec<String>,
        pub bad: Vec<BadRecord>,
        pub records: u64,
        pub broken: Option<String>,
    }

    impl Case {
        pub fn new(name: &str, bytes: &[u8], format: Format) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(name), bytes).unwrap();
            Case {
                dir,
                name: name.into(),
                format,
                schema: Schema::empty(),
                columns: None,
                syntax: CsvSyntax::default(),
            }
        }

        pub fn declare(mut self, schema: Schema) -> Self {
            self.schema = schema;
            self
        }

        pub fn take(mut self, columns: &[usize]) -> Self {
            self.columns = Some(columns.to_vec());
            self
        }

        pub fn syntax(mut self, syntax: CsvSyntax) -> Self {
            self.syntax = syntax;
            self
        }

        pub fn syntax_of(&self) -> CsvSyntax {
            self.syntax.clone()
        }

        pub fn file(&self) -> Arc<InputFile> {
            Arc::new(InputFile::look(self.dir.path().join(&self.name)).unwrap())
        }

        pub fn shown(&self) -> String {
            self.file().to_string()
        }

        pub fn wanted(&self, batch_rows: usize) -> Arc<Wanted> {
            let all: Vec<usize> = (0..self.schema.fields().len()).collect();
            let columns = self.columns.clone().unwrap_or(all);
            Arc::new(Wanted::new(&self.schema, &columns, batch_rows, self.format, self.syntax.clone()))
        }

        /// Reads it with batches of 1, 7 and a million rows and blocks of several sizes: always the same.
        pub fn check_every_cut(&self) -> Got {
            let want = read(self);
            let small = self.file().size_bytes < 10_000;
            for batch_rows in [1, 7, 100_000] {
                for block_bytes in if small { &[1, 10, 100][..] } else { &[5_000, 60_000][..] } {
                    let wanted = Wanted { block_bytes: *block_bytes, ..self.wanted(batch_rows).as_ref().clone() };
                    assert_eq!(
                        read_with(&self.file(), Arc::new(wanted)),
                        want,
                        "{batch_rows} rows, {block_bytes} bytes"
                    );
                }
            }
            want
        }
    }

    pub fn read(case: &Case) -> Got {
        read_with(&case.file(), case.wanted(1_000_000))
    }

    fn read_with(file: &Arc<InputFile>, wanted: Arc<Wanted>) -> Got {
        let mut got = Got { rows: vec![], bad: vec![], records: 0, broken: None };
        let mut reader = match open(file, &wanted) {
            Ok(reader) => reader,
            Err(e) => return Got { broken: Some(e.to_string()), ..got },
        };
        loop {
            match reader.next() {
                Ok(None) => return got,
                Err(e) => {
                    got.broken = Some(e.to_string());
                    assert!(reader.next().unwrap().is_none(), "after an error comes the end");
                    return got;
                }
                Ok(Some(piece)) => {
                    let counted = piece.records();
                    let decoded = piece.decode();
                    assert_eq!(counted, decoded.records);
                    let first = got.records;
                    let mut next = 0;
                    for batch in decoded.batches {
                        assert_eq!(batch.batch.schema(), wanted.schema);
                        assert!((1..=wanted.batch_rows).contains(&batch.batch.num_rows()));
                        let rows = rows_as_text(&batch.batch);
                        let records = batch.records.unwrap_or_else(|| (next..next + rows.len() as u32).collect());
                        assert_eq!(rows.len(), records.len());
                        next = records.last().unwrap() + 1;
                        got.rows
                            .extend(records.iter().zip(rows).map(|(r, row)| format!("{}: {row}", first + *r as u64)));
                    }
                    for bad in decoded.bad {
                        got.bad.push(BadRecord { record: bad.record + first as u32, ..bad });
                    }
                    got.broken = got.broken.or(decoded.broken.map(|e| e.to_string()));
                    got.records += decoded.records;
                }
            }
        }
    }

    /// Rows as `a|b`.
    pub fn rows_as_text(batch: &RecordBatch) -> Vec<String> {
        let options = arrow::util::display::FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &options).unwrap())
            .collect();
        let row = |i| columns.iter().map(|c| c.value(i).to_string()).collect::<Vec<_>>().join("|");
        (0..batch.num_rows()).map(row).collect()
    }

    /// The bytes of a Parquet file with these rows.
    pub fn parquet_file(batch: &RecordBatch, group_rows: usize) -> Vec<u8> {
        let mut bytes = vec![];
        let properties = ::parquet::file::properties::WriterProperties::builder()
            .set_compression(::parquet::basic::Compression::ZSTD(Default::default()))
            .set_max_row_group_row_count(Some(group_rows))
            .build();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn formats_by_name() {
        for (name, want) in [
            ("a.parquet", Some((Format::Parquet, Compression::None))),
            ("a.b.JSONL", Some((Format::Json, Compression::None))),
            ("a.csv.gz", Some((Format::Csv, Compression::Gzip))),
            ("a.json.zst", Some((Format::Json, Compression::Zstd))),
            ("a.feather", Some((Format::Arrow, Compression::None))),
            ("a.parquet.gz", None),
            ("a.txt", None),
            ("csv", None),
            (".csv", None),
        ] {
            assert_eq!(Format::of_path(Path::new(name)), want, "{name}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(find_column("a", ["A", "a"]), Some(1));
        assert_eq!(find_column("a", ["b", "A"]), Some(1));
        assert_eq!(find_column("a", ["Ab", "b"]), None);
        assert_eq!(find_column("ab", ["Ab", "aB"]), None, "two candidates, no choice");
    }
}
