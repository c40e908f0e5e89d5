//! Dead letters in a directory of Parquet files, `part-00000.parquet` and so on: one file a commit, visible as a whole. In runs with
//! checkpoints a file's name tells pipeline and epoch too, so that who goes back to an earlier one finds what was later.
//!
//! Columns: `source`, `partition`, `offset`, `operator`, `kind`, `reason`, `bytes` (the original bytes of what did not
//! decode), `row` (the typed row as JSON of what did). Any tool that reads Parquet reads them; [`read`] and [`summarize`]
//! are what `pelton dead-letters` uses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{Array, AsArray, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use pelton_engine::connector::{DeadLetter, DeadLetterStore, LetterKind, Staged};
use pelton_engine::error::{Error, Result};

use crate::storage::{TEMPORARY, is_gone, sync_directory, temporary_for};

/// Letters held back before they are encoded, and their bytes: bounds the memory.
const HELD_LETTERS_MAX: usize = 8192;
const HELD_BYTES_MAX: usize = 8 << 20;
/// Encoded bytes of a row group at which it goes to the file.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// The columns of the files.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("operator", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("bytes", DataType::Binary, true),
        Field::new("row", DataType::Utf8, true),
    ]))
});

/// Every kind, for reading the word back.
const KINDS: [LetterKind; 6] = [
    LetterKind::Undecodable,
    LetterKind::Schema,
    LetterKind::Expression,
    LetterKind::Late,
    LetterKind::FarFuture,
    LetterKind::Poison,
];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Gives a finished file the next number in its directory, with `mark` behind it.
fn reveal_part(directory: &Path, temporary: &Path, mark: &str) -> io::Result<()> {
    let mut number = parts(directory)?.last().map_or(0, |(number, _)| number + 1);
    // A link fails where a file is, so that another process's letters are never replaced.
    loop {
        let part = directory.join(format!("part-{number:05}{mark}.parquet"));
        match fs::hard_link(temporary, &part) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(_) => break fs::rename(temporary, &part)?,
            Ok(()) => break fs::remove_file(temporary)?,
        }
    }
    sync_directory(directory)
}

/// What tells the letters of an epoch of a pipeline.
fn mark_of(pipeline: &str, epoch: u64) -> String {
    format!("-{pipeline}-{epoch}")
}

/// Whether the file has another name too: it was revealed, and the crash came before its hidden name went.
#[cfg(unix)]
fn is_revealed(temporary: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(temporary)?.nlink() > 1)
}

#[cfg(not(unix))]
fn is_revealed(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Writes dead letters into a directory.
pub struct ParquetDeadLetters {
    directory: PathBuf,
    retention: Option<Duration>,
    held: Vec<DeadLetter>,
    held_bytes: usize,
    open: Option<Open>,
    /// The pipeline, in a run with checkpoints.
    pipeline: String,
}

/// A hidden file being written.
type Open = (PathBuf, File, ArrowWriter<File>);

impl ParquetDeadLetters {
    /// Letters go below `directory`, which is made with the first of them: a run without letters leaves no trace. Files
    /// that were committed longer ago than `retention` are removed now.
    pub fn open(directory: impl Into<PathBuf>, retention: Option<Duration>) -> Result<Self> {
        let store = ParquetDeadLetters {
            directory: directory.into(),
            retention,
            held: vec![],
            held_bytes: 0,
            open: None,
            pipeline: String::new(),
        };
        store.expire()?;
        Ok(store)
    }

    /// Removes the files that are too old.
    fn expire(&self) -> Result<()> {
        let Some(retention) = self.retention else { return Ok(()) };
        let remove = || -> io::Result<()> {
            for (_, path) in parts(&self.directory)? {
                // A file from the future is not old.
                let age = || -> io::Result<_> { Ok(fs::metadata(&path)?.modified()?.elapsed().unwrap_or_default()) };
                match age().and_then(|age| if age > retention { fs::remove_file(&path) } else { Ok(()) }) {
                    // Another run was faster.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    done => done?,
                }
            }
            Ok(())
        };
        let failed = || format!("cannot remove old dead letters from '{}'", self.directory.display());
        remove().map_err(|e| Error::world(failed()).because(e))
    }

    fn failed(&mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.discard();
        Error::world(format!("cannot write dead letters to '{}'", self.directory.display())).because(cause)
    }

    /// Encodes what is held back.
    fn encode(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        if self.open.is_none() {
            let temporary = temporary_for(&self.directory.join("part"))?;
            let file = File::create_new(&temporary)?;
            let properties =
                WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
            let writer = ArrowWriter::try_new(file.try_clone()?, SCHEMA.clone(), Some(properties))?;
            self.open = Some((temporary, file, writer));
        }
        let (_, _, writer) = self.open.as_mut().expect("just opened");
        writer.write(&batch_of(&self.held)?)?;
        if writer.in_progress_size() > GROUP_BYTES_MAX {
            writer.flush()?;
        }
        self.held.clear();
        self.held_bytes = 0;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.encode()?;
        let Some((temporary, file, writer)) = self.open.as_mut() else { return Ok(()) };
        writer.finish()?;
        file.sync_all()?;
        reveal_part(&self.directory, temporary, "")?;
        self.open = None;
        Ok(())
    }

    fn discard(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        if let Some((temporary, ..)) = self.open.take() {
            // It is hidden, and there is nobody to tell who could do more about it.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl DeadLetterStore for ParquetDeadLetters {
    fn write(&mut self, letters: &[DeadLetter]) -> Result<()> {
        for letter in letters {
            self.held_bytes += letter.reason.len()
                + letter.bytes.as_ref().map_or(0, Vec::len)
                + letter.row.as_ref().map_or(0, String::len);
            self.held.push(letter.clone());
            if self.held.len() >= HELD_LETTERS_MAX || self.held_bytes >= HELD_BYTES_MAX {
                self.encode().map_err(|e| self.failed(e))?;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.publish().map_err(|e| self.failed(e))
    }

    fn restore(&mut self, pipeline: &str, from: Option<(u64, &str)>) -> Result<()> {
        self.pipeline = pipeline.to_string();
        let last = from.map_or(0, |(epoch, _)| epoch);
        let epoch_of = |name: &str| -> Option<u64> {
            let name = name.strip_suffix(".parquet")?.strip_prefix("part-")?;
            name.split_once('-')?.1.strip_prefix(pipeline)?.strip_prefix('-')?.parse().ok()
        };
        let staged = from.map(|(_, token)| token).filter(|token| !token.is_empty());
        let restore = || -> io::Result<()> {
            let entries = match fs::read_dir(&self.directory) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if epoch_of(&name).is_some_and(|epoch| epoch > last) {
                    fs::remove_file(&path)?;
                    continue;
                }
                match name.strip_prefix(TEMPORARY).and_then(|rest| rest.split('-').next()?.parse().ok()) {
                    Some(_) if staged == Some(&name) && !is_revealed(&path)? => {
                        reveal_part(&self.directory, &path, &mark_of(pipeline, last))?;
                    }
                    Some(process) if is_gone(process) => fs::remove_file(&path)?,
                    _ => {}
                }
            }
            Ok(())
        };
        let failed =
            |e| Error::world(format!("cannot restore the dead letters in '{}'", self.directory.display())).because(e);
        restore().map_err(failed)
    }

    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        self.encode().map_err(|e| self.failed(e))?;
        let (directory, mark) = (self.directory.clone(), mark_of(&self.pipeline, epoch));
        Ok(Box::new(StagedLetters { directory, mark, open: self.open.take(), is_staged: false }))
    }
}

/// The letters of one epoch.
struct StagedLetters {
    directory: PathBuf,
    mark: String,
    open: Option<Open>,
    is_staged: bool,
}

impl Staged for StagedLetters {
    fn stage(&mut self) -> Result<String> {
        let Some((temporary, file, writer)) = &mut self.open else { return Ok(String::new()) };
        let failed = |e: Failure| {
            Error::world(format!("cannot write dead letters to '{}'", self.directory.display())).because(e)
        };
        if !self.is_staged {
            writer.finish().map_err(|e| failed(e.into()))?;
            file.sync_all().and_then(|()| sync_directory(&self.directory)).map_err(|e| failed(e.into()))?;
            self.is_staged = true;
        }
        Ok(temporary.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn publish(&mut self) -> Result<()> {
        let Some((temporary, ..)) = &self.open else { return Ok(()) };
        reveal_part(&self.directory, temporary, &self.mark).map_err(|e| {
            Error::world(format!("cannot write dead letters to '{}'", self.directory.display())).because(e)
        })?;
        self.open = None;
        Ok(())
    }
}

impl Drop for ParquetDeadLetters {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Letters as columns.
fn batch_of(letters: &[DeadLetter]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |of: fn(&DeadLetter) -> &str| {
        let mut column = StringBuilder::new();
        letters.iter().for_each(|l| column.append_value(of(l)));
        Arc::new(column.finish())
    };
    let (mut partitions, mut offsets) = (Int32Builder::new(), Int64Builder::new());
    let (mut bytes, mut rows) = (BinaryBuilder::new(), StringBuilder::new());
    for letter in letters {
        partitions.append_value(letter.partition as i32);
        offsets.append_value(letter.offset as i64);
        bytes.append_option(letter.bytes.as_deref());
        rows.append_option(letter.row.as_deref());
    }
    RecordBatch::try_new(
        SCHEMA.clone(),
        vec![
            text(|l| &l.source),
            Arc::new(partitions.finish()),
            Arc::new(offsets.finish()),
            text(|l| &l.operator),
            text(|l| l.kind.as_str()),
            text(|l| &l.reason),
            Arc::new(bytes.finish()),
            Arc::new(rows.finish()),
        ],
    )
}

/// Columns as letters.
fn letters_of(batch: &RecordBatch) -> Option<Vec<DeadLetter>> {
    let column = |name: &str| {
        let wanted = SCHEMA.field_with_name(name).ok()?.data_type();
        batch.column_by_name(name).filter(|c| c.data_type() == wanted)
    };
    let (source, operator) = (column("source")?.as_string::<i32>(), column("operator")?.as_string::<i32>());
    let (kind, reason) = (column("kind")?.as_string::<i32>(), column("reason")?.as_string::<i32>());
    let (partition, offset) =
        (column("partition")?.as_primitive::<Int32Type>(), column("offset")?.as_primitive::<Int64Type>());
    let (bytes, row) = (column("bytes")?.as_binary::<i32>(), column("row")?.as_string::<i32>());
    (0..batch.num_rows())
        .map(|i| {
            Some(DeadLetter {
                source: source.value(i).into(),
                partition: partition.value(i) as u32,
                offset: offset.value(i) as u64,
                operator: operator.value(i).into(),
                kind: KINDS.into_iter().find(|k| k.as_str() == kind.value(i))?,
                reason: reason.value(i).into(),
                bytes: bytes.is_valid(i).then(|| bytes.value(i).to_vec()),
                row: row.is_valid(i).then(|| row.value(i).into()),
            })
        })
        .collect()
}

/// Part files of a directory with their numbers, in order; none if there is no directory.
fn parts(directory: &Path) -> io::Result<Vec<(usize, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut found = vec![];
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(number) =
            name.strip_prefix("part-").and_then(|n| n.strip_suffix(".parquet")?.split('-').next()?.parse().ok())
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Which letters are wanted: those that agree in all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name of the source table.
    pub source: Option<String>,
    /// The operator that refused them.
    pub operator: Option<String>,
    /// What kind.
    pub kind: Option<LetterKind>,
}

impl Filter {
    /// True if the letter is wanted.
    pub fn takes(&self, letter: &DeadLetter) -> bool {
        self.source.as_ref().is_none_or(|s| *s == letter.source)
            && self.operator.as_ref().is_none_or(|o| *o == letter.operator)
            && self.kind.is_none_or(|k| k == letter.kind)
    }
}

/// The kind that a word in the `kind` column means.
pub fn kind_of(word: &str) -> Option<LetterKind> {
    KINDS.into_iter().find(|k| k.as_str() == word)
}

/// Hands the letters in a directory to `take`, file by file as they were committed, until it answers `false`. Memory: a
/// few thousand letters. A directory that is not there holds none.
pub fn for_each(directory: &Path, filter: &Filter, mut take: impl FnMut(DeadLetter) -> bool) -> Result<()> {
    let listed =
        parts(directory).map_err(|e| Error::world(format!("cannot read '{}'", directory.display())).because(e))?;
    for (_, path) in listed {
        let failed = || Error::world(format!("file '{}' holds no dead letters that can be read", path.display()));
        let file = File::open(&path).map_err(|e| failed().because(e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.with_batch_size(1024).build());
        for batch in reader.map_err(|e| failed().because(e))? {
            let batch = batch.map_err(|e| failed().because(e))?;
            for letter in letters_of(&batch).ok_or_else(failed)? {
                if filter.takes(&letter) && !take(letter) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// At most `limit` letters, in the order of writing.
pub fn read(directory: &Path, filter: &Filter, limit: usize) -> Result<Vec<DeadLetter>> {
    let mut letters = vec![];
    if limit > 0 {
        for_each(directory, filter, |letter| {
            letters.push(letter);
            letters.len() < limit
        })?;
    }
    Ok(letters)
}

/// Letters of one source, operator and kind, counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Name of the source table.
    pub source: String,
    /// The operator that refused them.
    pub operator: String,
    /// What kind.
    pub kind: LetterKind,
    /// How many.
    pub count: u64,
    /// The reason of the first one.
    pub example: String,
}

/// Counts the letters in a directory by source, operator and kind.
pub fn summarize(directory: &Path, filter: &Filter) -> Result<Vec<Summary>> {
    let mut found: BTreeMap<(String, String, LetterKind), (u64, String)> = BTreeMap::new();
    for_each(directory, filter, |letter| {
        let reason = letter.reason;
        found.entry((letter.source, letter.operator, letter.kind)).or_insert((0, reason)).0 += 1;
        true
    })?;
    let summary = |((source, operator, kind), (count, example))| Summary { source, operator, kind, count, example };
    Ok(found.into_iter().map(summary).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: u64, kind: LetterKind) -> DeadLetter {
        let undecodable = kind == LetterKind::Undecodable;
        DeadLetter {
            source: "payments".into(),
            partition: 3,
            offset,
            operator: if undecodable { "decode" } else { "window TUMBLE" }.into(),
            kind,
            reason: format!("reason {offset}"),
            bytes: undecodable.then(|| vec![0, 255, offset as u8]),
            row: (!undecodable).then(|| format!("{{\"id\":{offset}}}")),
        }
    }

    #[test]
    fn letters_come_back_once_committed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("letters");
        let mut store = ParquetDeadLetters::open(&path, None).unwrap();
        store.commit().unwrap();
        assert!(!path.exists(), "no letters, no trace");
        assert_eq!(read(&path, &Filter::default(), 10).unwrap(), []);
        let first: Vec<_> = (0..20_000)
            .map(|i| letter(i, if i % 2 == 0 { LetterKind::Undecodable } else { LetterKind::Late }))
            .collect();
        store.write(&first).unwrap();
        assert_eq!(read(&path, &Filter::default(), usize::MAX).unwrap(), [], "nothing before the commit");
        store.commit().unwrap();
        store.write(&[letter(7, LetterKind::FarFuture)]).unwrap();
        store.commit().unwrap();
        store.commit().unwrap();
        store.write(&[letter(8, LetterKind::FarFuture)]).unwrap();
        drop(store);
        let mut again = ParquetDeadLetters::open(&path, None).unwrap();
        again.write(&[letter(9, LetterKind::Schema)]).unwrap();
        again.commit().unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]);
        let all = read(&path, &Filter::default(), usize::MAX).unwrap();
        let want: Vec<_> =
            first.iter().cloned().chain([letter(7, LetterKind::FarFuture), letter(9, LetterKind::Schema)]).collect();
        assert_eq!(all, want);
        assert_eq!(read(&path, &Filter::default(), 5).unwrap(), first[..5]);
        let late = Filter { kind: kind_of("late"), ..Filter::default() };
        assert_eq!(read(&path, &late, 2).unwrap(), [first[1].clone(), first[3].clone()]);
        assert_eq!(read(&path, &Filter { source: Some("x".into()), ..Filter::default() }, 2).unwrap(), []);
        let counts: Vec<_> =
            summarize(&path, &Filter::default()).unwrap().into_iter().map(|s| (s.kind, s.count, s.example)).collect();
        assert_eq!(
            counts,
            [
                (LetterKind::Undecodable, 10_000, "reason 0".to_string()),
                (LetterKind::Schema, 1, "reason 9".into()),
                (LetterKind::Late, 10_000, "reason 1".into()),
                (LetterKind::FarFuture, 1, "reason 7".into()),
            ]
        );
    }

    #[test]
    fn old_letters_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("letters");
        let keep = |letter: DeadLetter| {
            let mut store = ParquetDeadLetters::open(&path, Some(Duration::from_secs(3600))).unwrap();
            store.write(&[letter]).unwrap();
            store.commit().unwrap();
        };
        keep(letter(1, LetterKind::Late));
        keep(letter(2, LetterKind::Late));
        let old = std::time::SystemTime::now() - Duration::from_secs(3601);
        File::options().write(true).open(path.join("part-00000.parquet")).unwrap().set_modified(old).unwrap();
        fs::write(path.join("notes.txt"), "").unwrap();
        keep(letter(3, LetterKind::Late));
        drop(ParquetDeadLetters::open(&path, Some(Duration::from_secs(3600))).unwrap());
        let offsets: Vec<u64> = read(&path, &Filter::default(), 9).unwrap().iter().map(|l| l.offset).collect();
        assert_eq!(offsets, [2, 3]);
        assert!(path.join("notes.txt").exists(), "files of others stay");
    }

    #[test]
    fn every_kind_has_its_word() {
        for kind in KINDS {
            assert_eq!(kind_of(kind.as_str()), Some(kind));
        }
        assert_eq!(kind_of("lost"), None);
    }

    #[test]
    fn files_of_others_and_places_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        assert_eq!(read(dir.path(), &Filter::default(), 10).unwrap(), []);
        fs::write(dir.path().join("part-00000.parquet"), "no").unwrap();
        let error = read(dir.path(), &Filter::default(), 10).unwrap_err();
        assert!(error.to_string().contains("part-00000.parquet' holds no dead letters"), "{error}");
        let mut store = ParquetDeadLetters::open(dir.path().join("notes.txt"), None).unwrap();
        store.write(&[letter(1, LetterKind::Late)]).unwrap();
        let error = store.commit().unwrap_err();
        assert!(error.to_string().contains("cannot write dead letters to") && error.exit_code() == 1, "{error}");
    }
}
