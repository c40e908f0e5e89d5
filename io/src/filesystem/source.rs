//! Reads files: one partition over all of them in path order, or one for each. A file that can't be read (or not to its
//! end) is told as broken, and reading goes on with the next one.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::ScalarValue;
use pelton_engine::connector::{
    Chunk, Connector, Decoded, DecodedBatch, Next, PartitionReader, ReadRequest, Source, Table, dictionary_type,
};
use pelton_engine::error::{Error, Result};

use super::{Filesystem, Settings};
use crate::formats::{self, Format, InputFile, Piece, PieceReader, Wanted, convert, find_column};

/// The files of a table, listed.
pub struct Files {
    pub(super) files: Vec<Arc<InputFile>>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) metadata: Vec<String>,
    partition_per_file: bool,
}

impl Files {
    /// Lists the files and holds the declared columns against the first one that can be read.
    pub(super) fn open(settings: &Settings, table: &Table, request: &ReadRequest) -> Result<Self> {
        let (files, format) = settings.list(&table.options)?;
        let known: Vec<_> = Filesystem.metadata().into_iter().map(|(key, _)| key).collect();
        if let Some(key) = request.metadata.iter().find(|k| !known.contains(&k.as_str())) {
            let error = Error::user(format!("{}: files have no metadata '{key}'", table.options.owner()));
            return Err(error.hint(format!("there are: partition, offset, {}", known.join(", "))));
        }
        let wanted = Wanted {
            skip: request.skip.clone(),
            kept_only: request.kept_only.clone(),
            ..Wanted::new(
                &coded(&table.schema, &request.dictionaries),
                &request.columns,
                request.batch_rows,
                format,
                settings.csv.clone(),
            )
        };
        check_columns(&files, &wanted, table)?;
        Ok(Files {
            files: files.into_iter().map(Arc::new).collect(),
            wanted: Arc::new(wanted),
            metadata: request.metadata.clone(),
            partition_per_file: settings.partition_per_file,
        })
    }
}

/// The columns of a table, some of them as dictionaries.
fn coded(schema: &Schema, dictionaries: &[usize]) -> Schema {
    let field = |(at, field): (usize, &FieldRef)| match dictionaries.contains(&at) {
        true => Arc::new(field.as_ref().clone().with_data_type(dictionary_type())),
        false => field.clone(),
    };
    Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>())
}

/// The STRING columns that a Parquet file has as dictionaries, by its embedded Arrow schema, or that have few values in the
/// first records of JSON and CSV.
pub(super) fn dictionaries(settings: &Settings, table: &Table) -> Vec<usize> {
    let Ok((files, format)) = settings.list(&table.options) else { return vec![] };
    let found = match (files.first(), format) {
        (Some(file), Format::Parquet) => formats::columns_of(file, format, &settings.csv).ok().flatten(),
        (Some(file), Format::Json) => return formats::json::few_values(file, &table.schema),
        (Some(file), Format::Csv) => return formats::csv::few_values(file, &table.schema, &settings.csv),
        _ => None,
    };
    let is_dictionary = |field: &Field| {
        let found = found.as_ref()?;
        let place = find_column(field.name(), found.fields().iter().map(|f| f.name().as_str()))?;
        Some(*field.data_type() == DataType::Utf8 && *found.field(place).data_type() == dictionary_type())
    };
    let fields = table.schema.fields().iter().enumerate();
    fields.filter(|(_, field)| is_dictionary(field) == Some(true)).map(|(at, _)| at).collect()
}

/// Every declared column must be in the first readable file, with a type that converts. Later files may lack columns.
fn check_columns(files: &[InputFile], wanted: &Wanted, table: &Table) -> Result<()> {
    let mut failed = None;
    for file in files {
        let found = match formats::columns_of(file, wanted.format, &wanted.csv) {
            Ok(Some(found)) => found,
            // Empty text tells nothing; JSON needs not agree, and CSV without a header goes by position.
            Ok(None) if wanted.format == Format::Csv && wanted.csv.header => continue,
            Ok(None) => return Ok(()),
            Err(e) => {
                failed = failed.or(Some(e));
                continue;
            }
        };
        let names = || found.fields().iter().map(|f| f.name().as_str());
        for field in wanted.table.fields() {
            let owner = table.options.owner();
            let Some(place) = find_column(field.name(), names()) else {
                let error = Error::user(format!("{owner}: column '{}' is not in file '{file}'", field.name()));
                let all = names().collect::<Vec<_>>().join(", ");
                return Err(error.at(table.options.span("path")).hint(match Error::suggest(field.name(), names()) {
                    Some(near) => format!("did you mean '{near}'? The file has: {all}"),
                    None => format!("the file has: {all}"),
                }));
            };
            let (from, to) = (found.field(place).data_type(), field.data_type());
            if !convert::possible(from, to) {
                let (from, to) = (convert::type_name(from), convert::type_name(to));
                let error = Error::user(format!(
                    "{owner}: column '{}' is {from} in file '{file}', declared as {to}",
                    field.name()
                ));
                return Err(error.at(table.options.span("path")).hint(format!("declare it as {from}")));
            }
        }
        return Ok(());
    }
    failed.map_or(Ok(()), Err)
}

impl Source for Files {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let reader = |files: &[Arc<InputFile>]| -> Box<dyn PartitionReader> {
            Box::new(FilesReader {
                files: files.iter().cloned().collect(),
                wanted: self.wanted.clone(),
                keys: self.metadata.clone(),
                current: None,
                skip: 0,
            })
        };
        Ok(match self.partition_per_file {
            true => self.files.chunks(1).map(reader).collect(),
            false => vec![reader(&self.files)],
        })
    }

    fn fingerprint(&self) -> Option<String> {
        let mut text = String::new();
        for file in &self.files {
            let since = file.modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
            // A file that was touched is the same; one that is too long to be read for this goes by its time.
            let content = (file.size_bytes <= HASHED_BYTES_MAX).then(|| std::fs::read(&file.path).ok()).flatten();
            match content {
                Some(bytes) => writeln!(text, "{file} {:032x}", pelton_kernels::digest::hash_bytes(&bytes)),
                None => writeln!(text, "{file} {} bytes {since}", file.size_bytes),
            }
            .expect("text grows");
        }
        Some(text)
    }
}

/// Files up to this length are told apart by what is in them.
const HASHED_BYTES_MAX: u64 = 256 << 20;

/// Reads some files one after the other.
struct FilesReader {
    files: VecDeque<Arc<InputFile>>,
    wanted: Arc<Wanted>,
    keys: Vec<String>,
    current: Option<FileReader>,
    /// Records to leave out before the first one.
    skip: u64,
}

/// Reads one file.
pub(super) struct FileReader {
    /// `None` behind its end, and where it broke.
    pieces: Option<Box<dyn PieceReader>>,
    broken: Option<Error>,
    metadata: Metadata,
}

impl FileReader {
    pub(super) fn open(file: &Arc<InputFile>, wanted: &Arc<Wanted>, keys: &[String]) -> Self {
        let metadata = metadata_of(file, keys);
        match formats::open(file, wanted) {
            Ok(pieces) => FileReader { pieces: Some(pieces), broken: None, metadata },
            Err(error) => FileReader { pieces: None, broken: Some(error), metadata },
        }
    }

    /// The next chunk behind `skip` records, of which those that were passed are taken off. `None` at the end of the file.
    pub(super) fn next(&mut self, skip: &mut u64) -> Option<Box<dyn Chunk>> {
        let metadata = self.metadata.clone();
        while let Some(pieces) = &mut self.pieces {
            match pieces.next() {
                Ok(None) => self.pieces = None,
                Err(error) => (self.pieces, self.broken) = (None, Some(error)),
                Ok(Some(piece)) => {
                    if *skip > 0 {
                        let records = piece.records();
                        if records <= *skip {
                            *skip -= records;
                            continue;
                        }
                    }
                    return Some(Box::new(FileChunk { piece, metadata, skip: std::mem::take(skip) }));
                }
            }
        }
        let error = self.broken.take()?;
        Some(Box::new(BrokenChunk { error, metadata }))
    }
}

/// Values of the wanted metadata of one file.
type Metadata = Arc<Vec<(String, ScalarValue)>>;

fn metadata_of(file: &InputFile, keys: &[String]) -> Metadata {
    let value = |key: &str| match key {
        "file.path" => ScalarValue::from(file.path.display().to_string()),
        "file.name" => {
            ScalarValue::from(file.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
        }
        "file.size" => ScalarValue::from(file.size_bytes as i64),
        _ => {
            let since = file.modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok());
            ScalarValue::TimestampMillisecond(since.map(|d| d.as_millis() as i64), Some("UTC".into()))
        }
    };
    Arc::new(keys.iter().map(|key| (key.clone(), value(key))).collect())
}

impl PartitionReader for FilesReader {
    fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(chunk) = self.current.as_mut().and_then(|file| file.next(&mut self.skip)) {
                return Ok(Next::Chunk(chunk));
            }
            let Some(file) = self.files.pop_front() else { return Ok(Next::End) };
            self.current = Some(FileReader::open(&file, &self.wanted, &self.keys));
        }
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        self.skip = offset;
        Ok(())
    }
}

/// Part of a file.
struct FileChunk {
    piece: Box<dyn Piece>,
    metadata: Metadata,
    skip: u64,
}

impl Chunk for FileChunk {
    fn decode(self: Box<Self>) -> Decoded {
        let decoded = self.piece.decode();
        Decoded { metadata: self.metadata.to_vec(), ..without_first(decoded, self.skip as u32) }
    }
}

/// A file, or the rest of one, that can't be read.
struct BrokenChunk {
    error: Error,
    metadata: Metadata,
}

impl Chunk for BrokenChunk {
    fn decode(self: Box<Self>) -> Decoded {
        Decoded { broken: Some(self.error), metadata: self.metadata.to_vec(), ..Decoded::default() }
    }
}

/// What is left without the first `skip` records.
fn without_first(decoded: Decoded, skip: u32) -> Decoded {
    if skip == 0 {
        return decoded;
    }
    let mut batches = vec![];
    let mut next = 0;
    for DecodedBatch { batch, records } in decoded.batches {
        let records = records.unwrap_or_else(|| (next..next + batch.num_rows() as u32).collect());
        next = records.last().map_or(next, |last| last + 1);
        let from = records.partition_point(|&r| r < skip);
        if from < records.len() {
            let records = records[from..].iter().map(|r| r - skip).collect();
            batches.push(DecodedBatch { batch: batch.slice(from, batch.num_rows() - from), records: Some(records) });
        }
    }
    let mut bad = decoded.bad;
    bad.retain_mut(|b| {
        let stays = b.record >= skip;
        b.record = b.record.wrapping_sub(skip);
        stays
    });
    Decoded { batches, bad, records: decoded.records - skip as u64, ..decoded }
}

#[cfg(test)]
mod tests {
    use super::super::tests::options;
    use super::*;
    use crate::formats::tests_of_formats::{parquet_file, rows_as_text};
    use arrow::array::*;
    use std::path::Path;

    fn table(path: &Path, words: &[&str], columns: &[(&str, DataType)]) -> Table {
        let fields: Vec<_> = columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
        Table {
            name: "t".into(),
            schema: Arc::new(Schema::new(fields)),
            options: options(path, words),
            primary_key: vec![],
        }
    }

    fn request(table: &Table, batch_rows: usize) -> ReadRequest {
        ReadRequest {
            columns: (0..table.schema.fields().len()).collect(),
            metadata: vec!["file.name".into()],
            batch_rows,
            ..Default::default()
        }
    }

    /// All of a partition: `name offset: a|b`, bad ones with `!`, broken ones as text.
    fn drain(mut reader: Box<dyn PartitionReader>, mut offset: u64) -> Vec<String> {
        let mut lines = vec![];
        loop {
            let chunk = match reader.next().unwrap() {
                Next::Chunk(chunk) => chunk,
                Next::End => return lines,
                Next::Pending(_) => panic!("files are not live"),
            };
            let decoded = chunk.decode();
            let name = decoded.metadata[0].1.to_string();
            let mut next = 0;
            let mut here = vec![];
            for DecodedBatch { batch, records } in decoded.batches {
                let records = records.unwrap_or_else(|| (next..next + batch.num_rows() as u32).collect());
                next = records.last().unwrap() + 1;
                for (record, row) in records.iter().zip(rows_as_text(&batch)) {
                    here.push((*record, format!("{name} {}: {row}", offset + *record as u64)));
                }
            }
            here.extend(
                decoded.bad.iter().map(|b| (b.record, format!("{name} {}! {}", offset + b.record as u64, b.reason))),
            );
            here.sort();
            lines.extend(here.into_iter().map(|(_, line)| line));
            lines.extend(decoded.broken.map(|e| {
                assert_eq!(e.exit_code(), 1);
                format!("{name} broken: {e}")
            }));
            offset += decoded.records;
        }
    }

    fn check(path: &Path, words: &[&str], columns: &[(&str, DataType)]) -> Vec<String> {
        let table = table(path, words, columns);
        let mut want: Option<Vec<String>> = None;
        for batch_rows in [1, 7, 1_000_000] {
            let mut source = Filesystem.source(&table, &request(&table, batch_rows)).unwrap();
            table.options.reject_unknown().unwrap();
            let got: Vec<String> = source.partitions().unwrap().into_iter().flat_map(|p| drain(p, 0)).collect();
            assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{batch_rows} rows a batch");
        }
        want.unwrap()
    }

    fn ids(from: i64, to: i64) -> RecordBatch {
        let ids: Int64Array = (from..to).map(Some).collect();
        RecordBatch::try_from_iter_with_nullable([("id", Arc::new(ids) as ArrayRef, true)]).unwrap()
    }

    #[test]
    fn a_directory_with_broken_and_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("0.parquet", b"");
        put("1.parquet", &parquet_file(&ids(0, 3), 2));
        put("2.parquet", b"PAR1 corrupt");
        let other =
            RecordBatch::try_from_iter_with_nullable([("x", Arc::new(Int64Array::from(vec![9])) as ArrayRef, true)])
                .unwrap();
        put("3.parquet", &parquet_file(&other, 10));
        let wide = RecordBatch::try_from_iter_with_nullable([(
            "ID",
            Arc::new(StringArray::from(vec![Some("3"), Some("x"), None])) as ArrayRef,
            true,
        )])
        .unwrap();
        put("4.parquet", &parquet_file(&wide, 10));
        let lists = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some(vec![Some(1)])]);
        let list = RecordBatch::try_from_iter_with_nullable([("id", Arc::new(lists) as ArrayRef, true)]).unwrap();
        put("5.parquet", &parquet_file(&list, 10));
        let schema = Filesystem.infer_schema(&options(dir.path(), &[])).unwrap();
        assert_eq!(schema.field(0).name(), "id");
        let got = check(dir.path(), &[], &[("id", DataType::Int64)]);
        let shown = |name: &str| dir.path().join(name).display().to_string();
        let want = [
            format!("0.parquet broken: file '{}' is empty: not a Parquet file", shown("0.parquet")),
            "1.parquet 0: 0".into(),
            "1.parquet 1: 1".into(),
            "1.parquet 2: 2".into(),
            "2.parquet broken".into(),
            "3.parquet 3: NULL".into(),
            "4.parquet 4: 3".into(),
            format!("4.parquet 5! column 'id': 'x' is no BIGINT (row 2 of '{}')", shown("4.parquet")),
            "4.parquet 6: NULL".into(),
            format!(
                "5.parquet broken: file '{}' has column 'id' as ARRAY<BIGINT>, which does not convert to BIGINT",
                shown("5.parquet")
            ),
        ];
        assert_eq!(got.len(), want.len(), "{got:#?}");
        for (got, want) in got.iter().zip(&want) {
            assert!(got.starts_with(want.as_str()), "{got}\n{want}");
        }
    }

    #[test]
    fn a_partition_for_each_file_or_one() {
        let dir = tempfile::tempdir().unwrap();
        for (name, from) in [("b.csv", 3), ("a.csv", 0)] {
            std::fs::write(dir.path().join(name), format!("id\n{from}\n{}\n", from + 1)).unwrap();
        }
        std::fs::write(dir.path().join("c.csv"), "").unwrap();
        let one = check(dir.path(), &[], &[("id", DataType::Int32)]);
        assert_eq!(one, ["a.csv 0: 0", "a.csv 1: 1", "b.csv 2: 3", "b.csv 3: 4"]);
        let several = check(dir.path(), &["scan.partitions=file"], &[("id", DataType::Int32)]);
        assert_eq!(several, ["a.csv 0: 0", "a.csv 1: 1", "b.csv 0: 3", "b.csv 1: 4"]);
        let table = table(dir.path(), &["scan.partitions=file"], &[("id", DataType::Int32)]);
        let mut source = Filesystem.source(&table, &request(&table, 10)).unwrap();
        assert_eq!(source.partitions().unwrap().len(), 3);
        let before = source.fingerprint().unwrap();
        assert_eq!(before.lines().count(), 3);
        std::fs::write(dir.path().join("c.csv"), "id\n").unwrap();
        let after = Filesystem.source(&table, &request(&table, 10)).unwrap().fingerprint().unwrap();
        assert_ne!(before, after);
    }

    #[test]
    fn seeking_gives_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), "{\"id\":0}\n\nx\n{\"id\":2}\n{\"id\":3}\n").unwrap();
        std::fs::write(dir.path().join("b.json"), "{\"id\":4}\n{\"id\":5}\n").unwrap();
        let table = table(dir.path(), &[], &[("id", DataType::Int32)]);
        let open = || Filesystem.source(&table, &request(&table, 2)).unwrap().partitions().unwrap().remove(0);
        let all = drain(open(), 0);
        assert_eq!(all.len(), 6);
        for offset in 0..=6 {
            let mut reader = open();
            reader.seek(offset).unwrap();
            assert_eq!(drain(reader, offset), all[offset as usize..], "from {offset}");
        }
    }

    #[test]
    fn a_cut_off_gzip_keeps_what_was_good() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (0..100_000).map(|i| format!("{{\"id\":{i}}}\n")).collect();
        for (name, compression) in [
            ("a.json.gz", formats::compression::Compression::Gzip),
            ("b.json.zst", formats::compression::Compression::Zstd),
        ] {
            let path = dir.path().join(name);
            let mut writer = compression.writer(Box::new(std::fs::File::create(&path).unwrap())).unwrap();
            writer.write_all(lines.as_bytes()).unwrap();
            writer.finish().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        std::fs::write(dir.path().join("c.json"), "{\"id\":7}\n").unwrap();
        let got = check(dir.path(), &[], &[("id", DataType::Int64)]);
        let broken: Vec<_> = got.iter().filter(|line| line.contains("broken")).collect();
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken[0].contains("a.json.gz' is cut off in line "), "{broken:?}");
        assert!(broken[1].contains("b.json.zst'"), "{broken:?}");
        assert!(got.len() > 50_000, "{}", got.len());
        assert!(got.last().unwrap().starts_with("c.json ") && got.last().unwrap().ends_with(": 7"));
        assert!(got.iter().all(|line| !line.contains("! ")), "a cut record is neither good nor bad");
        for (offset, line) in
            got.iter().filter(|line| !line.contains("broken") && line.starts_with("a.json")).enumerate()
        {
            assert_eq!(line, &format!("a.json.gz {offset}: {offset}"));
        }
    }

    #[test]
    fn declared_columns_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |name: &str, bytes: &[u8], column: (&str, DataType), want: &str, hint: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let table = table(&path, &[], &[column]);
            let error = Filesystem.source(&table, &request(&table, 10)).err().unwrap();
            assert!(error.to_string().contains(want), "{error}");
            assert!(error.advice().unwrap_or("").contains(hint), "{:?}", error.advice());
            error.exit_code()
        };
        let parquet = parquet_file(&ids(0, 3), 10);
        let int = DataType::Int64;
        let code = refused(
            "a.parquet",
            &parquet,
            ("idd", int.clone()),
            "column 'idd' is not in file",
            "did you mean 'id'? The file has: id",
        );
        assert_eq!(code, 2);
        let code = refused(
            "a.csv",
            b"price,name\n1,x\n",
            ("amount", int.clone()),
            "column 'amount' is not in",
            "the file has: price, name",
        );
        assert_eq!(code, 2);
        let list = DataType::new_list(DataType::Boolean, true);
        let code = refused("b.parquet", &parquet, ("id", list), "is BIGINT in file", "declare it as BIGINT");
        assert_eq!(code, 2);
        assert_eq!(refused("c.parquet", b"", ("id", int.clone()), "is empty", ""), 1);
        assert_eq!(refused("c.json", b"[{\"id\":1}]", ("id", int), "one JSON array", "jq"), 1);
        let table = table(&dir.path().join("a.csv"), &[], &[("name", DataType::Utf8)]);
        let odd = ReadRequest { metadata: vec!["file.owner".into()], ..request(&table, 1) };
        assert!(Filesystem.source(&table, &odd).err().unwrap().to_string().contains("no metadata 'file.owner'"));
    }

    #[test]
    fn nothing_to_tell_columns_from() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), "").unwrap();
        let error = Filesystem.infer_schema(&options(dir.path(), &[])).unwrap_err();
        assert!(error.to_string().contains("no rows") && error.exit_code() == 2, "{error}");
        std::fs::write(dir.path().join("b.json"), "{\"a\":1}").unwrap();
        assert_eq!(Filesystem.infer_schema(&options(dir.path(), &[])).unwrap().fields().len(), 1);
    }

    #[test]
    fn all_metadata() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "id\n1\n").unwrap();
        let table = table(&path, &[], &[("id", DataType::Int32)]);
        let keys = Filesystem.metadata();
        let asked = ReadRequest { metadata: keys.iter().map(|(k, _)| k.to_string()).collect(), ..request(&table, 10) };
        let mut reader = Filesystem.source(&table, &asked).unwrap().partitions().unwrap().remove(0);
        let Next::Chunk(chunk) = reader.next().unwrap() else { panic!("a chunk") };
        let got = chunk.decode().metadata;
        for ((key, data_type), (got_key, value)) in keys.iter().zip(&got) {
            assert_eq!((*key, data_type), (got_key.as_str(), &value.data_type()));
            assert!(!value.is_null());
        }
        assert_eq!(got[0].1.to_string(), path.display().to_string());
    }
}
