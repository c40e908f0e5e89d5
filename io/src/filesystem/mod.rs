//! Files: `'connector' = 'filesystem'`, for reading and writing Parquet, JSON lines, CSV and Arrow IPC.
//!
//! | option | default | meaning |
//! | --- | --- | --- |
//! | `path` | needed | file, directory (read with its subdirectories) or pattern (`*`, `?`, `[…]`, `**`); `file://` is fine |
//! | `format` | by extension | `parquet`, `json` (lines), `csv`, `arrow` (IPC file) |
//! | `scan.partitions` | `one` | `one` partition over all files in path order, or one for each `file` |
//! | `source.monitor-interval` | none | the table has no end: new files are looked for so often, and read once ([`watch`]) |
//! | `csv.header` | `true` | the first record names the columns |
//! | `csv.field-delimiter` | `,` | one ASCII character; `\t` is a tab |
//! | `csv.quote-character` | `"` | one ASCII character, or nothing for no quoting |
//! | `csv.null-literal` | none | unquoted text that means NULL, beside nothing at all |
//! | `csv.allow-comments` | `false` | lines that start with `#` are skipped |
//! | `sink.mode` | `error` | finished output already there: `error`, `overwrite`, or (directories) `append` |
//! | `sink.rolling.rows` | 4194304 | rows of a part file in a directory |
//!
//! Text is compressed by the extensions `.gz` and `.zst`. In directories, names that start with `.` or `_` are skipped.

mod epochs;
mod sink;
mod source;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use pelton_engine::connector::{Connector, Options, ReadRequest, Sink, Source, Table};
use pelton_engine::error::{Error, Result};

use crate::formats::{self, CsvSyntax, Format, InputFile};

/// Rows of a part file, unless `sink.rolling.rows` says otherwise.
const ROLLING_ROWS: u64 = 4 << 20;

/// The connector.
#[derive(Debug)]
pub struct Filesystem;

/// All options, read and checked. Reading asks for every key in both roles, so that a table may carry the sink's options
/// where it is read, and the other way round.
#[derive(Clone, Debug)]
struct Settings {
    path: String,
    format: Option<Format>,
    csv: CsvSyntax,
    partition_per_file: bool,
    /// How often new files are looked for.
    monitor: Option<Duration>,
    mode: Mode,
    rolling_rows: u64,
}

/// What to do about output that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Error,
    Overwrite,
    Append,
}

impl Settings {
    fn read(options: &Options) -> Result<Self> {
        options.get("connector");
        let csv = CsvSyntax::read(options)?;
        let format = match options.get("format") {
            None => None,
            Some(_) => Format::of_name(options.one_of("format", &Format::NAMES)?),
        };
        let rolling_rows = options.parse("sink.rolling.rows", ROLLING_ROWS)?;
        if rolling_rows == 0 {
            return Err(options.bad("sink.rolling.rows", "a number of rows above 0"));
        }
        let mode = match options.one_of("sink.mode", &["error", "overwrite", "append"])? {
            "overwrite" => Mode::Overwrite,
            "append" => Mode::Append,
            _ => Mode::Error,
        };
        let partition_per_file = options.one_of("scan.partitions", &["one", "file"])? == "file";
        let monitor = match options.get("source.monitor-interval") {
            None => None,
            Some(_) => Some(options.duration("source.monitor-interval", Duration::ZERO)?),
        };
        if monitor.is_some_and(|every| every.is_zero()) {
            return Err(options.bad("source.monitor-interval", "a duration above 0"));
        }
        if monitor.is_some() && partition_per_file {
            return Err(options
                .bad("scan.partitions", "one")
                .hint("files that are found with 'source.monitor-interval' are one partition, in the order in which they were found"));
        }
        let path = options.require("path")?;
        let local = path.strip_prefix("file://").unwrap_or(path);
        if local.is_empty() {
            return Err(options.bad("path", "a file, directory or pattern"));
        }
        if local.contains("://") {
            return Err(options.bad("path", "a local path"));
        }
        Ok(Settings { path: local.to_string(), format, csv, partition_per_file, monitor, mode, rolling_rows })
    }

    /// The files to read, in path order, and what is inside them.
    fn list(&self, options: &Options) -> Result<(Vec<InputFile>, Format)> {
        let user = |text: String| Error::user(format!("{}: {text}", options.owner())).at(options.span("path"));
        let path = Path::new(&self.path);
        let mut found = vec![];
        let mut named = false;
        // Files may come yet, if it is known what will be in them.
        let may_be_empty = self.monitor.is_some() && self.format.is_some();
        if path.is_dir() {
            walk(path, &mut found).map_err(|e| user(format!("directory '{}' cannot be read", self.path)).because(e))?;
        } else if path.exists() {
            if !path.is_file() {
                return Err(user(format!("'{}' is no regular file", self.path)));
            }
            if self.monitor.is_some() {
                return Err(user(format!("'{}' is a file: no others can come to it", self.path))
                    .hint("'source.monitor-interval' wants a directory or a pattern"));
            }
            found.push(path.to_path_buf());
            named = true;
        } else if self.path.contains(['*', '?', '[']) {
            let matching = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
            let matches = glob::glob_with(&self.path, matching)
                .map_err(|e| options.bad("path", "a pattern that can be read").because(e))?;
            for path in matches {
                let path = path.map_err(|e| user("a directory of the pattern cannot be read".into()).because(e))?;
                match path.is_dir() {
                    true => walk(&path, &mut found)
                        .map_err(|e| user(format!("directory '{}' cannot be read", path.display())).because(e))?,
                    false => found.push(path),
                }
            }
            if found.is_empty() && !may_be_empty {
                let error = user(format!("no file matches '{}'", self.path));
                return Err(error.hint(relative_hint(path)));
            }
        } else {
            let error = user(format!("path '{}' does not exist", self.path));
            return Err(error.hint(match neighbour(path) {
                Some(near) => format!("did you mean '{near}'?"),
                None => relative_hint(path),
            }));
        }
        found.sort();
        found.dedup();
        let format = match self.format {
            Some(format) => {
                // Files that say by their name that they hold something else are not this table's.
                found.retain(|f| named || Format::of_path(f).is_none_or(|(other, _)| other == format));
                format
            }
            None => {
                let tell = "add 'format' = 'parquet', 'json', 'csv' or 'arrow' to WITH (...)";
                if named && Format::of_path(path).is_none() {
                    return Err(
                        user(format!("the name '{}' does not tell the format of the file", self.path)).hint(tell)
                    );
                }
                let all: Vec<_> = found.iter().filter_map(|f| Some((f, Format::of_path(f)?.0))).collect();
                let Some(&(first, format)) = all.first() else {
                    let error = match found.first() {
                        None => user(format!("there are no files in '{}'", self.path)),
                        Some(one) => user(format!(
                            "no file in '{}' tells its format by its name, such as '{}'",
                            self.path,
                            one.display()
                        )),
                    };
                    return Err(error.hint(tell));
                };
                if let Some((other, another)) = all.iter().find(|(_, f)| *f != format) {
                    let error = user(format!(
                        "'{}' holds files of several formats: '{}' is {format}, '{}' is {another}",
                        self.path,
                        first.display(),
                        other.display()
                    ));
                    return Err(error.hint(tell));
                }
                found = all.into_iter().map(|(f, _)| f.clone()).collect();
                format
            }
        };
        if found.is_empty() && !may_be_empty {
            return Err(user(format!("there are no {format} files in '{}'", self.path))
                .hint("names that start with '.' or '_' are skipped"));
        }
        let mut files = vec![];
        for path in found {
            let shown = path.display().to_string();
            if self.monitor.is_some() && !path.exists() {
                // Taken away since it was listed.
                continue;
            }
            files.push(InputFile::look(path).map_err(|e| user(format!("file '{shown}' cannot be read")).because(e))?);
        }
        Ok((files, format))
    }
}

/// All files below a directory without the hidden ones.
fn walk(directory: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let path = entry.path();
        // Follows links to files; a link to a directory could lead in a circle.
        match entry.file_type()?.is_dir() {
            true => walk(&path, into)?,
            false if path.is_file() => into.push(path),
            false => {}
        }
    }
    Ok(())
}

fn relative_hint(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!("relative paths start at the working directory, {}", here.display()),
        _ => "check the option 'path'".into(),
    }
}

/// A path next to a missing one that may be meant.
fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let names: Vec<String> = std::fs::read_dir(parent.unwrap_or(Path::new(".")))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = Error::suggest(name, names.iter().map(String::as_str))?;
    Some(parent.map_or(near.to_string(), |p| p.join(near).display().to_string()))
}

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        let settings = Settings::read(options)?;
        let (files, format) = settings.list(options)?;
        let mut failed = None;
        for file in &files {
            match formats::infer(file, format, &settings.csv) {
                Ok(Some(schema)) => return Ok(schema),
                Ok(None) => {}
                // Broken files are told of when they are read; another one may tell the columns.
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        Err(failed.unwrap_or_else(|| {
            Error::user(format!(
                "{}: there are no rows in '{}' to tell the columns from",
                options.owner(),
                settings.path
            ))
            .at(options.span("path"))
            .hint("declare the columns in CREATE TABLE")
        }))
    }

    fn metadata(&self) -> Vec<(&'static str, DataType)> {
        vec![
            ("file.path", DataType::Utf8),
            ("file.name", DataType::Utf8),
            ("file.size", DataType::Int64),
            ("file.modification-time", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ]
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        Ok(Settings::read(options)?.monitor.is_none())
    }

    fn stands_still(&self) -> bool {
        true
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let settings = Settings::read(&table.options)?;
        let files = source::Files::open(&settings, table, request)?;
        Ok(match settings.monitor {
            None => Box::new(files),
            Some(every) => Box::new(watch::Watched::new(files, settings, table.options.clone(), every)),
        })
    }

    fn dictionaries(&self, table: &Table) -> Vec<usize> {
        Settings::read(&table.options).map_or(vec![], |settings| source::dictionaries(&settings, table))
    }

    fn check(&self, table: &Table, _reads: bool) -> Result<()> {
        Settings::read(&table.options).map(drop)
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::FileSink::open(&Settings::read(&table.options)?, table)?))
    }

    fn epoch_sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        Ok(Box::new(epochs::EpochFiles::open(&Settings::read(&table.options)?, table)?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use pelton_engine::error::Span;

    /// Options from `key=value` words.
    pub fn options(path: &Path, words: &[&str]) -> Options {
        let span = Span { line: 1, column: 1, end_line: 1, end_column: 2 };
        let words = words.iter().map(|w| w.split_once('=').unwrap()).map(|(k, v)| (k.to_string(), v.to_string(), span));
        let path = ("path".to_string(), path.display().to_string(), span);
        Options::new("table `t`", [path, ("connector".into(), "filesystem".into(), span)].into_iter().chain(words))
    }

    fn list(path: &Path, words: &[&str]) -> Result<(Vec<String>, Format)> {
        let options = options(path, words);
        let (files, format) = Settings::read(&options)?.list(&options)?;
        Ok((files.iter().map(|f| f.path.file_name().unwrap().to_string_lossy().into_owned()).collect(), format))
    }

    #[test]
    fn files_directories_and_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let touch = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a\n1\n").unwrap();
        };
        for name in [
            "d/b.csv",
            "d/a.csv.gz",
            "d/sub/c.csv",
            "d/.hidden.csv",
            "d/_temp.csv",
            "d/_dir/x.csv",
            "d/notes.txt",
            "e/a.csv",
            "e/a.json",
        ] {
            touch(name);
        }
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        let d = dir.path().join("d");
        assert_eq!(list(&d, &[]).unwrap(), (vec!["a.csv.gz".into(), "b.csv".into(), "c.csv".into()], Format::Csv));
        assert_eq!(list(&d.join("b.csv"), &[]).unwrap().0, ["b.csv"]);
        assert_eq!(list(&d.join("_temp.csv"), &[]).unwrap().0, ["_temp.csv"], "named files are read");
        assert_eq!(list(&d.join("*.csv"), &[]).unwrap().0, ["_temp.csv", "b.csv"]);
        assert_eq!(list(&dir.path().join("*/a.csv*"), &[]).unwrap().0, ["a.csv.gz", "a.csv"]);
        assert_eq!(list(&d.join("notes.txt"), &["format=csv"]).unwrap().0, ["notes.txt"]);
        assert_eq!(list(&d, &["format=CSV"]).unwrap().0, ["a.csv.gz", "b.csv", "notes.txt", "c.csv"]);
        assert_eq!(list(&dir.path().join("e"), &["format=json"]).unwrap(), (vec!["a.json".into()], Format::Json));
        let url = format!("file://{}", d.join("b.csv").display());
        assert_eq!(list(Path::new(&url), &[]).unwrap().0, ["b.csv"]);

        let refused = |path: &Path, words: &[&str], want: &str, hint: &str| {
            let error = list(path, words).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert!(error.advice().unwrap_or("").contains(hint), "{:?}", error.advice());
            assert_eq!(error.exit_code(), 2);
        };
        refused(&d.join("bb.csv"), &[], "bb.csv' does not exist", "b.csv'?");
        refused(&dir.path().join("nothing/at/all.csv"), &[], "does not exist", "check the option 'path'");
        refused(Path::new("no-such-file.csv"), &[], "does not exist", "working directory");
        refused(&dir.path().join("empty"), &[], "there are no files in", "");
        refused(&dir.path().join("empty"), &["format=csv"], "there are no csv files in", "skipped");
        refused(&d.join("*.parquet"), &[], "no file matches", "");
        refused(&dir.path().join("e"), &[], "files of several formats", "'format'");
        refused(&d.join("notes.txt"), &[], "does not tell the format", "'format'");
        refused(Path::new("/dev/null"), &["format=csv"], "is no regular file", "");
        refused(Path::new("s3://bucket/x.csv"), &[], "wanted a local path", "");
    }

    #[test]
    fn options_are_checked() {
        let refused = |words: &[&str], want: &str| {
            let options = options(Path::new("x.csv"), words);
            let error = Settings::read(&options).and_then(|_| options.reject_unknown()).unwrap_err();
            let all = format!("{error} {}", error.advice().unwrap_or(""));
            assert!(all.contains(want), "{all}");
            assert_eq!(error.exit_code(), 2);
        };
        refused(&["format=xml"], "wanted one of");
        refused(&["csv.field-delimiter=||"], "one ASCII character");
        refused(&["csv.field-delimiter=\""], "another character");
        refused(&["csv.headr=true"], "did you mean 'csv.header'?");
        refused(&["sink.mode=replace"], "wanted one of");
        refused(&["sink.rolling.rows=0"], "above 0");
        refused(&["scan.partitions=two"], "wanted one of");
        let options = options(
            Path::new("x.csv"),
            &["sink.mode=append", "scan.partitions=file", "csv.quote-character=", "csv.field-delimiter=\\t"],
        );
        let settings = Settings::read(&options).unwrap();
        options.reject_unknown().unwrap();
        assert_eq!((settings.csv.delimiter, settings.csv.quote), (b'\t', None));
        assert!(Filesystem.bounded(&options).unwrap());
    }
}
