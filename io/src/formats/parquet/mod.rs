//! Parquet: a piece is a row group, or a slice of a large one, so that memory follows neither file nor row group.
//!
//! Columns that the file calls dictionaries (by its embedded Arrow schema) stay dictionaries. When a row group is damaged,
//! the longest prefix of rows that still decodes in all wanted columns is delivered, found by halving so that it does not
//! depend on the batch size; the offsets of later row groups stay what they would have been. A row group that no query
//! needs, by its statistics, is not read at all.
//!
//! Plain columns are read by [`flat`], the others by the crate's Arrow reader; it is the reference, and reads all columns of
//! a piece in which something is wrong.

mod blocks;
mod flat;
mod hybrid;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use pelton_engine::connector::{Decoded, SkipRule, Skipped};
use pelton_engine::error::{Error, Result};

use blocks::Blocks;
use flat::FlatColumn;

use super::convert::Origin;
use super::{InputFile, Out, Piece, PieceReader, Rows, Wanted, WriteError, find_column, guarded, locate, row_as_json};

/// A piece holds at most this many rows.
const PIECE_ROWS_MAX: usize = 1 << 20;
/// A piece holds at most about this many encoded bytes of the wanted columns.
const PIECE_BYTES_MAX: i64 = 64 << 20;
/// A row group that is written holds this many rows, unless its bytes are too many.
const GROUP_ROWS: usize = 1 << 20;
/// Encoded bytes of a row group at which it is written early.
const GROUP_BYTES_MAX: usize = 256 << 20;

/// One file in pieces.
pub struct ParquetPieces {
    shared: Arc<Shared>,
    /// Row groups and slices of them still to come, last first, with what is to be said of those that nobody needs.
    todo: Vec<(Slice, Option<Skipped>)>,
}

/// What all pieces of a file share.
struct Shared {
    file: Arc<InputFile>,
    wanted: Arc<Wanted>,
    metadata: ArrowReaderMetadata,
    /// The column of the file for each wanted column.
    places: Vec<Option<usize>>,
}

/// Who reads columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// [`flat`], where it can.
    Pages,
    /// The crate's Arrow reader, all of them.
    ArrowReader,
}

/// Rows of one row group.
#[derive(Clone, Copy)]
struct Slice {
    group: usize,
    /// First row in the row group.
    start: usize,
    rows: usize,
    /// The first row's number in the file, from 1.
    number: u64,
}

fn load(file: &InputFile) -> Result<ArrowReaderMetadata> {
    if file.size_bytes == 0 {
        return Err(file.broken("is empty: not a Parquet file"));
    }
    let opened = file.open()?;
    guarded(|| ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()))
        .map_err(|cause| file.broken("is no readable Parquet file").because(cause))
}

/// The columns of a file.
pub fn schema_of(file: &InputFile) -> Result<SchemaRef> {
    Ok(load(file)?.schema().clone())
}

impl ParquetPieces {
    /// Reads the footer.
    pub fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>) -> Result<Self> {
        let metadata = load(file)?;
        let places = locate(file, wanted, metadata.schema())?;
        let (mut todo, mut number) = (vec![], 1);
        for (group, found) in metadata.metadata().row_groups().iter().enumerate() {
            let rows =
                usize::try_from(found.num_rows()).map_err(|_| file.broken("has a row group with no row count"))?;
            let bytes: i64 = found
                .columns()
                .iter()
                .enumerate()
                .filter(|(leaf, _)| places.contains(&Some(metadata.parquet_schema().get_column_root_idx(*leaf))))
                .map(|(_, chunk)| chunk.uncompressed_size().max(0))
                .sum();
            if let Some(skipped) = wanted.skip.as_ref().and_then(|rule| skipped(rule, &metadata, wanted, group)) {
                todo.push((Slice { group, start: 0, rows, number }, Some(skipped)));
                number += rows as u64;
                continue;
            }
            let slices = rows.div_ceil(PIECE_ROWS_MAX).max((bytes / PIECE_BYTES_MAX) as usize + 1);
            let step = rows.div_ceil(slices).max(1);
            for start in (0..rows).step_by(step) {
                todo.push((Slice { group, start, rows: step.min(rows - start), number: number + start as u64 }, None));
            }
            number += rows as u64;
        }
        todo.reverse();
        Ok(ParquetPieces {
            shared: Arc::new(Shared { file: file.clone(), wanted: wanted.clone(), metadata, places }),
            todo,
        })
    }
}

impl PieceReader for ParquetPieces {
    fn next(&mut self) -> Result<Option<Box<dyn Piece>>> {
        let Some((slice, skipped)) = self.todo.pop() else { return Ok(None) };
        Ok(Some(match skipped {
            Some(skipped) => Box::new(SkippedPiece { records: slice.rows as u64, skipped }),
            None => Box::new(ParquetPiece { shared: self.shared.clone(), slice }),
        }))
    }
}

/// What the statistics say of a row group that the rule lets us pass over; `None` if it must be read.
fn skipped(rule: &SkipRule, file: &ArrowReaderMetadata, wanted: &Wanted, group: usize) -> Option<Skipped> {
    let group = file.metadata().row_group(group);
    let column = |index: usize| {
        let declared = wanted.table.field(index);
        let place = find_column(declared.name(), file.schema().fields().iter().map(|f| f.name().as_str()))?;
        let found = file.schema().field(place);
        let converter = StatisticsConverter::try_new(found.name(), file.schema(), file.parquet_schema()).ok()?;
        let leaf = group.column(converter.parquet_column_index()?).statistics()?;
        // Old writers compared bytes as signed numbers, and a value that is converted may be refused.
        (found.data_type() == declared.data_type() && !leaf.is_min_max_deprecated()).then_some((converter, leaf))
    };
    let no_null = |index: &usize| column(*index).is_some_and(|(_, leaf)| leaf.null_count_opt() == Some(0));
    if !rule.not_null.iter().chain(&rule.time).all(no_null) {
        return None;
    }
    let range = |index: usize| {
        let (converter, _) = column(index)?;
        let least = ScalarValue::try_from_array(&converter.row_group_mins([group]).ok()?, 0).ok()?;
        let greatest = ScalarValue::try_from_array(&converter.row_group_maxes([group]).ok()?, 0).ok()?;
        (!least.is_null() && !greatest.is_null()).then_some((least, greatest))
    };
    let time_max = match rule.time {
        None => None,
        Some(time) if column(time)?.1.max_is_exact() => Some(range(time)?.1),
        Some(_) => return None,
    };
    rule.refuted_by(range).then_some(Skipped { time_max })
}

/// A row group that nobody needs.
struct SkippedPiece {
    records: u64,
    skipped: Skipped,
}

impl Piece for SkippedPiece {
    fn records(&self) -> u64 {
        self.records
    }

    fn decode(self: Box<Self>) -> Decoded {
        Decoded { records: self.records, skipped: Some(self.skipped), ..Decoded::default() }
    }
}

struct ParquetPiece {
    shared: Arc<Shared>,
    slice: Slice,
}

impl Shared {
    /// Decodes the first `rows` rows of a slice, handing batches (with the wanted columns in the file's types) to `take`.
    fn read(
        &self,
        slice: Slice,
        rows: usize,
        by: By,
        mut take: impl FnMut(Vec<Option<ArrayRef>>, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let step = self.wanted.decode_rows();
        let found: BTreeSet<usize> = self.places.iter().flatten().copied().collect();
        let group = self.metadata.metadata().row_group(slice.group);
        let file = std::fs::File::open(&self.file.path).map_err(|e| e.to_string())?;
        let chunks = group.columns().iter().map(|chunk| {
            let (start, length) = chunk.byte_range();
            start..start.saturating_add(length)
        });
        let blocks = Blocks::new(file, chunks).map_err(|e| e.to_string())?;
        let mut flat: BTreeMap<usize, Box<dyn FlatColumn>> = match by {
            By::Pages => found.iter().filter_map(|place| Some((*place, self.flat(&blocks, group, *place)?))).collect(),
            By::ArrowReader => BTreeMap::new(),
        };
        flat.values_mut().try_for_each(|column| column.skip(slice.start))?;
        let others: Vec<usize> = found.iter().copied().filter(|place| !flat.contains_key(place)).collect();
        let mut reader = match others.is_empty() {
            true => None,
            false => Some(self.arrow_reader(blocks, slice, rows, &others)?),
        };
        let mut got = 0;
        while got < rows {
            let mut count = step.min(rows - got);
            let mut columns: BTreeMap<usize, ArrayRef> = BTreeMap::new();
            if let Some(reader) = &mut reader {
                let batch = reader.next().ok_or_else(|| format!("{got} rows instead of {rows}"))?;
                let batch = batch.map_err(|e| e.to_string())?;
                count = batch.num_rows();
                // The reader leaves out columns and keeps the file's order.
                columns.extend(others.iter().copied().zip(batch.columns().iter().cloned()));
            }
            for (place, column) in &mut flat {
                columns.insert(*place, column.read(count)?);
            }
            let column = |place: &Option<usize>| place.map(|place| columns[&place].clone());
            take(self.places.iter().map(column).collect(), count)?;
            got += count;
        }
        match reader.is_some_and(|mut reader| reader.next().is_some()) {
            true => Err(format!("more than {rows} rows")),
            false => Ok(()),
        }
    }

    /// The top-level column `place` of the file, if it is plain enough.
    fn flat(&self, blocks: &Blocks, group: &RowGroupMetaData, place: usize) -> Option<Box<dyn FlatColumn>> {
        let schema = self.metadata.parquet_schema();
        let mut leaves = (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == place);
        let leaf = leaves.next()?;
        flat::open(blocks, group, leaf, self.metadata.schema().field(place).data_type())
    }

    /// The crate's reader of the top-level columns `places`.
    fn arrow_reader(
        &self,
        blocks: Blocks,
        slice: Slice,
        rows: usize,
        places: &[usize],
    ) -> Result<ParquetRecordBatchReader, String> {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), places.iter().copied());
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(blocks, self.metadata.clone())
            .with_row_groups(vec![slice.group])
            .with_projection(mask)
            .with_batch_size(self.wanted.decode_rows().min(rows.max(1)));
        if slice.start > 0 || rows < self.rows_of(slice.group) {
            let selection = vec![RowSelector::skip(slice.start), RowSelector::select(rows)];
            reader = reader.with_row_selection(RowSelection::from(selection));
        }
        reader.build().map_err(|e| e.to_string())
    }

    fn rows_of(&self, group: usize) -> usize {
        self.metadata.metadata().row_group(group).num_rows() as usize
    }
}

impl Piece for ParquetPiece {
    fn records(&self) -> u64 {
        self.slice.rows as u64
    }

    fn decode(self: Box<Self>) -> Decoded {
        let ParquetPiece { shared, slice } = *self;
        let read = |rows: usize, by: By| -> (Out<'_>, Result<(), String>) {
            let mut out = Out::new(&shared.wanted);
            let mut at = 0;
            let done = guarded(|| {
                shared.read(slice, rows, by, |columns, count| {
                    let kept = columns.clone();
                    let place = |record: u32| format!("row {} of '{}'", slice.number + record as u64, shared.file);
                    let bytes = |row: usize| row_as_json(&shared.wanted.schema, &kept, row);
                    let taken = out.rows(columns, count, Rows::From(at), Origin::Typed, place, bytes);
                    at += count as u32;
                    taken.map_err(|e| e.to_string())
                })
            });
            (out, done)
        };
        let (mut out, mut done) = read(slice.rows, By::Pages);
        if done.is_err() {
            (out, done) = read(slice.rows, By::ArrowReader);
        }
        let Err(cause) = done else { return out.done(slice.rows as u64, None) };
        // Damaged. Good prefixes of rows are good at every shorter length: halve for the longest.
        drop(out);
        let fits = |rows: usize| guarded(|| shared.read(slice, rows, By::ArrowReader, |_, _| Ok(()))).is_ok();
        let (mut good, mut bad) = (0, slice.rows);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if fits(middle) { good = middle } else { bad = middle }
        }
        let (out, again) = if good > 0 { read(good, By::ArrowReader) } else { (Out::new(&shared.wanted), Ok(())) };
        let out = if again.is_ok() { out } else { Out::new(&shared.wanted) };
        let lost = format!("rows {} to {}", slice.number + good as u64, slice.number + slice.rows as u64 - 1);
        let error: Error =
            shared.file.broken(format!("is corrupt in row group {}: {lost} are lost", slice.group)).because(cause);
        out.done(slice.rows as u64, Some(error))
    }
}

/// Writes Parquet: zstd, the Arrow schema embedded, row groups of about a million rows.
pub struct ParquetRows {
    writer: ArrowWriter<Box<dyn std::io::Write + Send>>,
}

impl ParquetRows {
    /// A writer into a stream.
    pub fn new(into: Box<dyn std::io::Write + Send>, schema: &SchemaRef) -> Result<Self, WriteError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(concat!("pelton ", env!("CARGO_PKG_VERSION")).to_string())
            .build();
        Ok(ParquetRows { writer: ArrowWriter::try_new(into, schema.clone(), Some(properties))? })
    }
}

impl super::RowWriter for ParquetRows {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        // Slices, so that one huge batch of wide rows is not encoded whole before anyone looks at its size.
        for start in (0..batch.num_rows()).step_by(1 << 16) {
            self.writer.write(&batch.slice(start, (1 << 16).min(batch.num_rows() - start)))?;
            if self.writer.in_progress_size() > GROUP_BYTES_MAX {
                self.writer.flush()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.writer.finish()?;
        std::io::Write::flush(self.writer.inner_mut())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests_of_formats::{Case, parquet_file};
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
    use parquet::file::properties::WriterVersion;

    fn rows(from: i64, count: usize) -> RecordBatch {
        let ids: Int64Array = (from..from + count as i64).map(Some).collect();
        let words: DictionaryArray<Int32Type> =
            (0..count).map(|i| (i % 3 > 0).then(|| ["a", "b", "c"][i % 3])).collect();
        let times: TimestampMicrosecondArray = (0..count as i64).map(|i| Some(i * 1_000_001)).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(ids) as ArrayRef, true),
            ("word", Arc::new(words), true),
            ("at", Arc::new(times), true),
        ])
        .unwrap()
    }

    #[test]
    fn row_groups_and_dictionaries() {
        let bytes = parquet_file(&rows(0, 1000), 300);
        let case = Case::new("a.parquet", &bytes, Format::Parquet);
        let schema = schema_of(&case.file()).unwrap();
        assert!(matches!(schema.field(1).data_type(), DataType::Dictionary(..)), "{schema:?}");
        let case = case.declare(schema.as_ref().clone());
        let got = case.check_every_cut();
        assert_eq!((got.rows.len(), got.records, got.bad.len()), (1000, 1000, 0));
        assert_eq!(got.rows[301], "301: 301|b|1970-01-01T00:05:01.000301");
        let got = case.take(&[2, 0]).check_every_cut();
        assert_eq!(got.rows[1], "1: 1970-01-01T00:00:01.000001|1");
    }

    #[test]
    fn declared_otherwise() {
        let bytes = parquet_file(&rows(126, 4), 2);
        let declared = Schema::new(vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("ID", DataType::Int8, false),
            Field::new("nowhere", DataType::Utf8, true),
            Field::new("word", DataType::Utf8, true),
        ]);
        let case = Case::new("a.parquet", &bytes, Format::Parquet).declare(declared);
        let got = case.check_every_cut();
        assert_eq!(got.rows, ["0: 1970-01-01T00:00:00|126|NULL|NULL", "1: 1970-01-01T00:00:01|127|NULL|b"]);
        let reasons: Vec<_> = got.bad.iter().map(|b| b.reason.as_str()).collect();
        let file = case.shown();
        assert_eq!(
            reasons,
            [
                format!("column 'ID': 128 is no TINYINT (row 3 of '{file}')"),
                format!("column 'ID': 129 is no TINYINT (row 4 of '{file}')"),
            ]
        );
        assert!(
            got.bad[0].bytes.starts_with(br#"{"at":"1970-01-01T00:00:02.000002","ID":128,"word":"#),
            "{:?}",
            got.bad[0]
        );
        let never = Schema::new(vec![Field::new("at", DataType::new_list(DataType::Boolean, true), true)]);
        let error = ParquetPieces::open(
            &case.file(),
            &Case::new("b.parquet", &bytes, Format::Parquet).declare(never).wanted(1),
        )
        .err()
        .unwrap();
        assert!(
            error.to_string().contains("column 'at' as TIMESTAMP(6), which does not convert to ARRAY<BOOLEAN>"),
            "{error}"
        );
    }

    #[test]
    fn no_column_counts_rows() {
        let got = Case::new("a.parquet", &parquet_file(&rows(0, 100), 30), Format::Parquet)
            .declare(rows(0, 1).schema().as_ref().clone())
            .take(&[])
            .check_every_cut();
        assert_eq!(got.rows.len(), 100);
    }

    #[test]
    fn a_damaged_row_group_loses_only_its_end() {
        let bytes = parquet_file(&rows(0, 90_000), 30_000);
        let metadata = ArrowReaderMetadata::load(&bytes::of(&bytes), Default::default()).unwrap();
        let chunk = metadata.metadata().row_group(1).column(0);
        let (start, length) = chunk.byte_range();
        let mut damaged = bytes.clone();
        for b in &mut damaged[(start + length * 2 / 3) as usize..(start + length) as usize] {
            *b = 0xa5;
        }
        let case = Case::new("a.parquet", &damaged, Format::Parquet).declare(rows(0, 1).schema().as_ref().clone());
        let got = case.check_every_cut();
        assert_eq!(got.records, 90_000);
        assert!(got.rows.len() >= 60_000 && got.rows.len() < 90_000, "{}", got.rows.len());
        assert!(got.rows.last().unwrap().starts_with("89999: 89999|"), "later row groups keep their offsets");
        let broken = got.broken.unwrap();
        assert!(broken.contains("is corrupt in row group 1: rows ") && broken.contains(&case.shown()), "{broken}");
    }

    /// A column of each type that pages are read for, with every `gap`-th row NULL (0: none), and one that they are not.
    fn of_every_type(count: usize, gap: usize) -> RecordBatch {
        let some = |i: &usize| gap == 0 || !i.is_multiple_of(gap);
        let numbers = || (0..count).map(move |i| some(&i).then_some(i as i64 * 7919 % 3001 - 900));
        let text = |n: i64| ["", "a", "bcd", "é"][(n & 3) as usize];
        let words: DictionaryArray<Int32Type> = numbers().map(|n| n.map(text)).collect();
        let longs: Int64Array = numbers().collect();
        let time = |unit: TimeUnit| arrow::compute::cast(&longs, &DataType::Timestamp(unit, None)).unwrap();
        RecordBatch::try_from_iter_with_nullable([
            ("int", Arc::new(numbers().map(|n| n.map(|n| n as i32)).collect::<Int32Array>()) as ArrayRef, true),
            ("date", Arc::new(numbers().map(|n| n.map(|n| n as i32)).collect::<Date32Array>()), true),
            ("millis", time(TimeUnit::Millisecond), true),
            ("micros", time(TimeUnit::Microsecond), true),
            ("nanos", time(TimeUnit::Nanosecond), true),
            ("float", Arc::new(numbers().map(|n| n.map(|n| n as f32 / 3.0)).collect::<Float32Array>()), true),
            ("double", Arc::new(numbers().map(|n| n.map(|n| n as f64 / 3.0)).collect::<Float64Array>()), true),
            ("word", Arc::new(words), true),
            ("text", Arc::new(numbers().map(|n| n.map(text)).collect::<StringArray>()), true),
            ("required", Arc::new((0..count as i64).map(|i| i / 50).collect::<Int64Array>()), false),
            ("long", Arc::new(longs), true),
        ])
        .unwrap()
    }

    /// What one of the readers makes of a stretch of the first row group.
    fn read_by(case: &Case, by: By, start: usize, rows: usize) -> Result<Vec<Vec<Option<ArrayRef>>>, String> {
        let pieces = ParquetPieces::open(&case.file(), &case.wanted(1000)).map_err(|e| e.to_string())?;
        let mut batches = vec![];
        let slice = Slice { group: 0, start, rows, number: 1 };
        guarded(|| {
            pieces.shared.read(slice, rows, by, |columns, _| {
                batches.push(columns);
                Ok(())
            })
        })?;
        Ok(batches)
    }

    #[test]
    fn pages_say_what_the_arrow_reader_says() {
        let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
        let settings = versions.into_iter().flat_map(|v| [(v, true), (v, false)]);
        for ((version, dictionary), gap) in settings.flat_map(|s| [0, 1, 7, 1000].map(|gap| (s, gap))) {
            let all = of_every_type(20_000, gap);
            let properties = WriterProperties::builder()
                .set_writer_version(version)
                .set_dictionary_enabled(dictionary)
                .set_data_page_row_count_limit(3_000)
                .set_write_batch_size(500)
                .set_compression(if gap == 7 {
                    Compression::UNCOMPRESSED
                } else {
                    Compression::ZSTD(Default::default())
                })
                .build();
            let mut bytes = vec![];
            let mut writer = ArrowWriter::try_new(&mut bytes, all.schema(), Some(properties)).unwrap();
            writer.write(&all).unwrap();
            writer.close().unwrap();
            let case = Case::new("a.parquet", &bytes, Format::Parquet).declare(all.schema().as_ref().clone());
            for (start, rows) in [(0, 20_000), (0, 1), (3_500, 9_000), (3_000, 17_000), (19_999, 1)] {
                let want = read_by(&case, By::ArrowReader, start, rows).unwrap();
                // Version 2 without dictionaries writes deltas, which are the Arrow reader's.
                match read_by(&case, By::Pages, start, rows) {
                    Ok(got) => assert_eq!(got, want, "{version:?} {dictionary} {gap} {start} {rows}"),
                    Err(why) => assert!(!dictionary && why.contains("values as "), "{why}"),
                }
            }
        }
    }

    #[test]
    fn damaged_pages_are_errors_or_what_the_arrow_reader_says() {
        let all = of_every_type(3_000, 7);
        let bytes = parquet_file(&all, 3_000);
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap()) as usize;
        let (mut both, mut none) = (0, 0);
        for i in 0..400_usize {
            let mut damaged = bytes.clone();
            damaged[4 + i.wrapping_mul(2_654_435_761) % (bytes.len() - footer - 16)] ^= 1 << (i % 8);
            let case = Case::new("a.parquet", &damaged, Format::Parquet).declare(all.schema().as_ref().clone());
            match (read_by(&case, By::Pages, 0, 3_000), read_by(&case, By::ArrowReader, 0, 3_000)) {
                (Ok(got), Ok(want)) => {
                    assert_eq!(got, want, "damage {i}");
                    both += 1;
                }
                (Err(_), Err(_)) => none += 1,
                _ => {}
            }
        }
        assert!(both > 20 && none > 20, "{both} {none}");
    }

    mod bytes {
        /// A file in a temporary place, as a reader.
        pub fn of(bytes: &[u8]) -> std::fs::File {
            use std::io::Write;
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file
        }
    }

    #[test]
    fn empty_and_cut_off_files() {
        let whole = parquet_file(&rows(0, 100), 30);
        for (bytes, want) in [
            (&b""[..], "is empty: not a Parquet file"),
            (&whole[..whole.len() - 10], "is no readable Parquet file"),
            (b"hello", "is no readable Parquet file"),
        ] {
            let case = Case::new("a.parquet", bytes, Format::Parquet);
            let error = schema_of(&case.file()).unwrap_err();
            assert!(error.to_string().contains(want) && error.exit_code() == 1, "{error}");
        }
        let none = parquet_file(&rows(0, 0), 30);
        let got = Case::new("a.parquet", &none, Format::Parquet)
            .declare(rows(0, 1).schema().as_ref().clone())
            .check_every_cut();
        assert_eq!(got.records, 0);
    }
}
