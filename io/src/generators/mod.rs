//! Tables made from nothing but a seed: [`datagen`], [`nexmark`], [`fraud`].
//!
//! Row *i* of a table is a pure function of its options and *i*. So a chunk is just (first row, count), made on whatever
//! thread is free; how rows are cut into chunks, how many threads there are and where a restart reads on cannot change a
//! value. Only the wanted columns are made.

pub mod datagen;
mod dice;
pub mod fraud;
pub mod nexmark;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use pelton_engine::connector::{
    Chunk, Decoded, DecodedBatch, Next, Options, PartitionReader, ReadRequest, Source, Table,
};
use pelton_engine::error::{Error, Result};

/// Rows of a chunk at most, however many the engine would take: 64 K rows are enough work to hand to a thread.
const CHUNK_ROWS_MAX: usize = 64 * 1024;

/// Where generated time starts unless `'start'` says otherwise: runs must repeat, so never the wall clock.
const DEFAULT_START: &str = "2024-01-01T00:00:00Z";

/// Makes the wanted columns of any stretch of rows.
trait RowMaker: Send + Sync {
    /// How many rows there are; `None` without an end.
    fn rows(&self) -> Option<u64>;

    /// The wanted columns of rows `first..first + count`. Law: the value of a row does not depend on the stretch it is
    /// made in.
    fn columns(&self, first: u64, count: usize) -> Result<Vec<ArrayRef>>;
}

/// An open table of one partition whose rows are made by a [`RowMaker`].
struct Generated {
    maker: Arc<dyn RowMaker>,
    schema: SchemaRef,
    chunk_rows: usize,
    fingerprint: Option<String>,
}

impl Generated {
    /// Opens a table over `maker`; its fingerprint names the options that `shapes` the rows.
    fn open(
        table: &Table,
        request: &ReadRequest,
        maker: impl RowMaker + 'static,
        shapes: impl Fn(&str) -> bool,
    ) -> Result<Box<dyn Source>> {
        let schema = Arc::new(
            table
                .schema
                .project(&request.columns)
                .map_err(|e| Error::world("wanted columns are not in the table").because(e))?,
        );
        let options: Vec<String> = table
            .options
            .iter()
            .filter(|(k, _)| *k == "connector" || shapes(k))
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let columns: Vec<String> =
            table.schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        let fingerprint = maker.rows().is_some().then(|| format!("{} ({})", options.join(" "), columns.join(", ")));
        Ok(Box::new(Generated {
            maker: Arc::new(maker),
            schema,
            chunk_rows: request.batch_rows.clamp(1, CHUNK_ROWS_MAX),
            fingerprint,
        }))
    }
}

impl Source for Generated {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        Ok(vec![Box::new(Reader {
            maker: self.maker.clone(),
            schema: self.schema.clone(),
            chunk_rows: self.chunk_rows,
            row: 0,
        })])
    }

    fn fingerprint(&self) -> Option<String> {
        self.fingerprint.clone()
    }
}

struct Reader {
    maker: Arc<dyn RowMaker>,
    schema: SchemaRef,
    chunk_rows: usize,
    /// The first row of the next chunk.
    row: u64,
}

impl PartitionReader for Reader {
    fn next(&mut self) -> Result<Next> {
        let left = self.maker.rows().map_or(u64::MAX, |rows| rows.saturating_sub(self.row));
        if left == 0 {
            return Ok(Next::End);
        }
        let count = left.min(self.chunk_rows as u64) as usize;
        let chunk = Stretch { maker: self.maker.clone(), schema: self.schema.clone(), first: self.row, count };
        self.row += count as u64;
        Ok(Next::Chunk(Box::new(chunk)))
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        match self.maker.rows() {
            Some(rows) if offset > rows => {
                Err(Error::world(format!("cannot read on from row {offset}: the generator ends after {rows} rows"))
                    .hint("were its options changed since the last run?"))
            }
            _ => {
                self.row = offset;
                Ok(())
            }
        }
    }
}

/// A chunk: rows that are not made yet.
struct Stretch {
    maker: Arc<dyn RowMaker>,
    schema: SchemaRef,
    first: u64,
    count: usize,
}

impl Chunk for Stretch {
    fn decode(self: Box<Self>) -> Decoded {
        let rows = |count: usize| match self.rows(count) {
            Ok(batch) => Decoded {
                batches: vec![DecodedBatch { batch, records: None }],
                records: count as u64,
                ..Decoded::default()
            },
            Err(error) => Decoded { broken: Some(error), ..Decoded::default() },
        };
        let all = rows(self.count);
        let Some(error) = all.broken else { return all };
        // The rows before the one that cannot be made are good, whatever the batch they are made in.
        let (mut good, mut bad) = (0, self.count);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if self.rows(middle).is_ok() { good = middle } else { bad = middle }
        }
        let mut decoded = if good > 0 { rows(good) } else { Decoded::default() };
        decoded.broken = Some(error);
        decoded
    }
}

impl Stretch {
    fn rows(&self, count: usize) -> Result<RecordBatch> {
        let columns = self.maker.columns(self.first, count)?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| Error::world("generated rows do not fit the declared columns").because(e))
    }
}

/// A whole number from 0 on; underscores may group its digits.
fn whole(options: &Options, key: &str) -> Result<Option<u64>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    text.trim().replace('_', "").parse().map(Some).map_err(|_| options.bad(key, "a whole number, 0 or more"))
}

/// A whole number from 1 on, or `default`.
fn at_least_one(options: &Options, key: &str, default: u64) -> Result<u64> {
    match whole(options, key)? {
        Some(0) => Err(options.bad(key, "a whole number, 1 or more")),
        other => Ok(other.unwrap_or(default)),
    }
}

/// The options that every generator has: reads `seed`, and makes `rows-per-second`, which the engine minds, a known one.
fn seed(options: &Options) -> Result<u64> {
    options.get("rows-per-second");
    Ok(whole(options, "seed")?.unwrap_or(0))
}

/// A point in time, in nanoseconds since 1970 UTC: `2024-01-01`, `2024-01-01 08:00:00`, `2024-01-01T08:00:00Z`.
fn instant_ns(options: &Options, key: &str, default: &str) -> Result<i64> {
    let text = options.get(key).unwrap_or(default).trim();
    string_to_timestamp_nanos(text)
        .map_err(|_| options.bad(key, "a time such as '2024-01-01' or '2024-01-01T08:00:00Z'"))
}

/// How many of this unit make a second.
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// A timestamp column from values that are already in its unit.
fn timestamps(values: Vec<Option<i64>>, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    match unit {
        TimeUnit::Second => Arc::new(TimestampSecondArray::from(values).with_timezone_opt(zone)),
        TimeUnit::Millisecond => Arc::new(TimestampMillisecondArray::from(values).with_timezone_opt(zone)),
        TimeUnit::Microsecond => Arc::new(TimestampMicrosecondArray::from(values).with_timezone_opt(zone)),
        TimeUnit::Nanosecond => Arc::new(TimestampNanosecondArray::from(values).with_timezone_opt(zone)),
    }
}

/// A timestamp column of the declared type from milliseconds; coarser units round down.
fn timestamps_from_ms(values: Vec<Option<i64>>, want: &DataType) -> ArrayRef {
    let DataType::Timestamp(unit, zone) = want else { unreachable!("checked when the table was opened") };
    let scale = per_second(*unit);
    let convert = |ms: i64| if scale >= 1000 { ms * (scale / 1000) } else { ms.div_euclid(1000) };
    timestamps(values.into_iter().map(|v| v.map(convert)).collect(), *unit, zone.clone())
}

/// A text column of the declared string type.
fn texts(made: StringArray, want: &DataType) -> Result<ArrayRef> {
    if want == &DataType::Utf8 {
        return Ok(Arc::new(made));
    }
    convert(Arc::new(made), want)
}

/// A column as another type that [`fits`] it.
fn convert(made: ArrayRef, want: &DataType) -> Result<ArrayRef> {
    if made.data_type() == want {
        return Ok(made);
    }
    cast(&made, want).map_err(|e| Error::world("a generated column could not be converted").because(e))
}

/// True if a column that is made as `made` can be given as `want` without losing a value: the same type, another kind of
/// string, a timestamp of another precision, a wider integer, a decimal for exact cents.
fn fits(made: &DataType, want: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    match (made, want) {
        (Timestamp(..), Timestamp(..)) | (Int32, Int64) => true,
        (Int32 | Int64, Decimal128(p, s)) => i16::from(*p) - i16::from(*s) >= 19,
        (Float64, Decimal128(p, s)) => *s >= 2 && i16::from(*p) - i16::from(*s) >= 8,
        (made, want) => made == want || (text(made) && text(want)),
    }
}

/// The name of a type in SQL, for messages.
fn sql_name(data_type: &DataType) -> String {
    use DataType::*;
    let precision = |unit: &TimeUnit| per_second(*unit).ilog10();
    match data_type {
        Boolean => "BOOLEAN".into(),
        Int8 => "TINYINT".into(),
        Int16 => "SMALLINT".into(),
        Int32 => "INT".into(),
        Int64 => "BIGINT".into(),
        UInt8 => "TINYINT UNSIGNED".into(),
        UInt16 => "SMALLINT UNSIGNED".into(),
        UInt32 => "INT UNSIGNED".into(),
        UInt64 => "BIGINT UNSIGNED".into(),
        Float32 => "FLOAT".into(),
        Float64 => "DOUBLE".into(),
        Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        Utf8 | LargeUtf8 | Utf8View => "STRING".into(),
        Binary | LargeBinary | BinaryView => "BYTES".into(),
        FixedSizeBinary(n) => format!("BINARY({n})"),
        Date32 => "DATE".into(),
        Time32(unit) | Time64(unit) => format!("TIME({})", precision(unit)),
        Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
        Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
        List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        Struct(fields) => {
            format!(
                "ROW<{}>",
                fields
                    .iter()
                    .map(|f| format!("{} {}", f.name(), sql_name(f.data_type())))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        other => other.to_string(),
    }
}

/// The index of the name that a declared column means: case and underscores do not matter (`dateTime`, `date_time`).
fn find_name<'a>(declared: &str, names: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let declared = plain(declared);
    names.into_iter().position(|name| plain(name) == declared)
}

/// The error for a declared column that a generator does not have.
fn no_such_column(table: &Table, connector: &str, declared: &str, names: &[&str]) -> Error {
    let error = Error::user(format!("{}: connector '{connector}' has no column `{declared}`", table.options.owner()));
    match Error::suggest(declared, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("there are: {}", names.join(", "))),
    }
}

/// The error for a declared type that a generator cannot give.
fn wrong_type(table: &Table, column: &str, declared: &DataType, made: &DataType) -> Error {
    Error::user(format!(
        "{}: column `{column}` is declared {} but is made as {}",
        table.options.owner(),
        sql_name(declared),
        sql_name(made)
    ))
    .hint(format!("declare it as {}, and convert it in the query with CAST", sql_name(made)))
}

/// The error for NOT NULL on a column that has NULLs.
fn has_nulls(table: &Table, column: &str, why: &str) -> Error {
    Error::user(format!("{}: column `{column}` is declared NOT NULL, but {why}", table.options.owner()))
        .hint("leave out NOT NULL")
}

#[cfg(test)]
mod testing {
    //! What the tests of all generators share.

    use arrow::compute::concat_batches;
    use arrow::datatypes::Schema;
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    use pelton_engine::connector::Connector;
    use pelton_engine::error::Span;

    use super::*;

    pub(super) fn options(pairs: &[(&str, &str)]) -> Options {
        Options::new("table `t`", pairs.iter().map(|(k, v)| (k.to_string(), v.to_string(), Span::default())))
    }

    pub(super) fn table(schema: Schema, pairs: &[(&str, &str)]) -> Table {
        Table { name: "t".into(), schema: Arc::new(schema), options: options(pairs), primary_key: vec![] }
    }

    pub(super) fn all_columns(table: &Table, batch_rows: usize) -> ReadRequest {
        ReadRequest { columns: (0..table.schema.fields().len()).collect(), batch_rows, ..Default::default() }
    }

    /// All rows from `from` on, up to `limit` of them, as one batch.
    pub(super) fn read(
        connector: &dyn Connector,
        table: &Table,
        request: &ReadRequest,
        from: u64,
        limit: usize,
    ) -> RecordBatch {
        let mut source = connector.source(table, request).unwrap_or_else(|e| panic!("{e}"));
        table.options.reject_unknown().unwrap_or_else(|e| panic!("{e}"));
        let mut reader = source.partitions().unwrap().remove(0);
        reader.seek(from).unwrap();
        let (mut batches, mut rows) = (vec![], 0);
        while rows < limit {
            let Next::Chunk(chunk) = reader.next().unwrap() else { break };
            let decoded = chunk.decode();
            assert!(decoded.broken.is_none() && decoded.bad.is_empty(), "{:?}", decoded.broken);
            let made: usize = decoded.batches.iter().map(|b| b.batch.num_rows()).sum();
            assert_eq!(made as u64, decoded.records);
            assert!(made <= request.batch_rows);
            rows += made;
            batches.extend(decoded.batches.into_iter().map(|b| b.batch));
        }
        let schema = Arc::new(table.schema.project(&request.columns).unwrap());
        let batch = concat_batches(&schema, &batches).unwrap();
        batch.slice(0, batch.num_rows().min(limit))
    }

    pub(super) fn read_all(connector: &dyn Connector, table: &Table) -> RecordBatch {
        read(connector, table, &all_columns(table, 4096), 0, usize::MAX)
    }

    /// The message with which opening this table fails.
    pub(super) fn refusal(connector: &dyn Connector, table: &Table) -> String {
        let error = match connector.source(table, &all_columns(table, 1024)) {
            Err(error) => error,
            Ok(_) => table.options.reject_unknown().expect_err("a refusal"),
        };
        match error.advice() {
            Some(hint) => format!("{error} | {hint}"),
            None => error.to_string(),
        }
    }

    /// A hash over the text of all rows: changes if any value does.
    pub(super) fn digest(batch: &RecordBatch) -> String {
        let format = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &format).unwrap()).collect();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for row in 0..batch.num_rows() {
            for column in &columns {
                for byte in column.value(row).to_string().bytes().chain([b'|']) {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        format!("{hash:016x}")
    }

    /// Checks that the first `rows` rows do not depend on chunks, on the columns wanted, or on where reading starts.
    pub(super) fn check_cuts(connector: &dyn Connector, table: &Table, rows: usize) {
        let whole = read(connector, table, &all_columns(table, 1 << 20), 0, rows);
        for batch_rows in [1, 7, 64, 1000] {
            assert_eq!(
                read(connector, table, &all_columns(table, batch_rows), 0, rows),
                whole,
                "batches of {batch_rows}"
            );
        }
        let from = rows / 3;
        let rest = read(connector, table, &all_columns(table, 100), from as u64, rows - from);
        assert_eq!(rest, whole.slice(from, rows - from), "from row {from}");
        for column in 0..table.schema.fields().len() {
            let request = ReadRequest { columns: vec![column], batch_rows: 33, ..Default::default() };
            assert_eq!(
                read(connector, table, &request, 0, rows),
                whole.project(&[column]).unwrap(),
                "column {column} alone"
            );
        }
        let none = ReadRequest { columns: vec![], batch_rows: 50, ..Default::default() };
        assert_eq!(read(connector, table, &none, 0, rows).num_rows(), rows, "no columns");
    }
}
