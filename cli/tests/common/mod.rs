//! Runs the built `pelton` in a scratch folder, and reads what it left behind.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The last line of stdout, as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: the last line is no JSON: {line}\n{}", self.err))
    }

    /// Asserts the exit code and that stderr holds all of these.
    #[track_caller]
    pub fn says(&self, code: i32, texts: &[&str]) -> &Ran {
        assert_eq!(self.code, code, "exit code\n{}{}", self.out, self.err);
        for text in texts {
            assert!(self.err.contains(text), "no {text:?} in\n{}", self.err);
        }
        self
    }
}

/// A scratch folder to run in.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        command
    }

    pub fn pelton(&self, args: &[&str]) -> Ran {
        ran(self.command(args))
    }

    /// Runs SQL with `--json`; dead letters go to `letters`.
    pub fn sql(&self, sql: &str) -> Ran {
        self.write("q.sql", sql);
        self.pelton(&["run", "--json", "--threads", "2", "--set", "dead-letters.path=letters", "q.sql"])
    }

    /// All rows of a Parquet file, values as text, sorted.
    #[track_caller]
    pub fn rows(&self, name: &str) -> Vec<String> {
        let file = File::open(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut rows = vec![];
        let options = FormatOptions::default().with_null("NULL");
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let columns: Vec<_> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                rows.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
            }
        }
        rows.sort();
        rows
    }

    /// The dead letters as `source|operator|kind|reason`.
    #[track_caller]
    pub fn letters(&self) -> Vec<String> {
        let ran = self.pelton(&["dead-letters", "show", "--json", "--limit", "1000", "letters"]);
        ran.says(0, &[]);
        let json = ran.json();
        let text = |l: &serde_json::Value, key: &str| l[key].as_str().unwrap().to_string();
        let letters = json["letters"].as_array().unwrap();
        letters.iter().map(|l| ["source", "operator", "kind", "reason"].map(|k| text(l, k)).join("|")).collect()
    }

    /// Every file below, hidden ones too, without those that `except` names the start of.
    pub fn files(&self, except: &[&str]) -> Vec<String> {
        let mut found = vec![];
        walk(self.0.path(), self.0.path(), &mut found);
        found.retain(|f| !except.iter().any(|e| f.starts_with(e)));
        found.sort();
        found
    }
}

fn walk(root: &Path, folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, into);
        } else {
            into.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
}

pub fn ran(mut command: Command) -> Ran {
    let done = command.output().unwrap();
    Ran {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// Ten payments, one every second from 2024-01-01 on: `id`, `name`, `at`.
pub fn payments(first: i64, count: i64) -> RecordBatch {
    let ids = first..first + count;
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.clone()));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(ids.clone().map(|i| format!("n{}", i % 3))));
    let at: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(ids.map(|i| 1_704_067_200_000 + 1000 * i)));
    RecordBatch::try_from_iter([("id", id), ("name", name), ("at", at)]).unwrap()
}

pub fn parquet(batch: &RecordBatch) -> Vec<u8> {
    parquet_groups(std::slice::from_ref(batch))
}

/// A Parquet file with a row group for each batch.
pub fn parquet_groups(batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = vec![];
    let mut writer = ArrowWriter::try_new(&mut out, batches[0].schema(), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    out
}
