//! `pelton dead-letters reprocess`: the same queries over the letters' records alone, with all output in a folder of
//! its own.
//!
//! The letters of a source are written to files, records that did not decode in the source's own format and typed rows
//! as JSON in order of event time, and the tables of the pipeline are read from there: a bounded input. Sinks, history
//! and new dead letters go below `--into`; nothing of the live pipeline is touched. Watermarks start anew, so that late
//! rows find their windows open.
//!
//! Tables without letters: one with a watermark is a stream and is empty here; one without is taken for a table that
//! streams are joined with, and is read as ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use pelton_engine::connector::{
    Connector, DeadLetter, DeadLetterStore, Next, Options, PartitionReader, Places, ReadRequest, Registry,
    SegmentWriter, Sink, Source, Storage, Table,
};
use pelton_engine::error::{Error, Result};
use pelton_engine::sql::{Script, TableDef};
use pelton_io::dead_letters::{Filter, for_each};
use pelton_io::formats::Format;
use serde_json::Value;

use crate::report::{Answer, grouped, note, say_json};
use crate::run::{drive, letters_hint, report_broken, summary_json, summary_text};
use crate::text::{HowArgs, Text};

/// Arguments of `pelton dead-letters reprocess`.
#[derive(clap::Args, Debug)]
pub struct ReprocessArgs {
    /// The pipeline, as it should now be.
    #[arg(value_name = "FILE.sql")]
    file: PathBuf,
    /// Folder for everything that comes out: NAME.parquet for each sink, history, letters that are refused again.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The letters [default: where 'dead-letters.path' says].
    #[arg(long, value_name = "DIR")]
    letters: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
}

/// Runs a pipeline over its letters.
pub fn reprocess(args: &ReprocessArgs, json: bool) -> Answer {
    let text = Text::load(&args.file)?;
    let registry = pelton_io::registry();
    let mut options = args.how.options();
    let script = text.script(&registry, &options)?;
    args.how.complete(&mut options, &script);
    let from =
        args.letters.clone().or_else(|| script.settings.get("dead-letters.path").map(PathBuf::from)).ok_or_else(
            || {
                Error::user(format!("'{}' says nowhere where dead letters are", text.name))
                    .hint("name their folder with --letters DIR")
            },
        )?;
    if !from.is_dir() {
        return Err(Error::user(format!("there are no dead letters in '{}'", from.display())).into());
    }
    if args.into.exists() && !args.into.is_dir() {
        return Err(Error::user(format!("--into '{}' is a file", args.into.display())).hint("name a folder").into());
    }
    let scratch = Scratch::new(&args.into)?;
    let sorted = sort_out(&from, &script, &registry, &scratch.0)?;
    if sorted.taken == 0 {
        return Err(Error::user(format!("no letter in '{}' is of a table of '{}'", from.display(), text.name)).into());
    }
    for (count, why) in &sorted.left {
        note(&format!("{} letters are left out: {why}", grouped(*count)));
    }
    let registry = instead(&registry, &script, sorted.files, &args.into)?;
    // Letters that are refused again must not go to where they came from.
    options.sets.push(("dead-letters.path".into(), "dead-letters".into()));
    let script = text.script(&registry, &options)?;
    let summary = drive(&script, registry, &options).map_err(|e| text.failed(e))?;
    if !json {
        note(&format!("{} letters, each record once: {} records", grouped(sorted.letters), grouped(sorted.taken)));
        note(&summary_text(&summary));
        letters_hint(&summary, Some(&args.into.join("dead-letters").to_string_lossy()));
        note(&format!("the results are in '{}'", args.into.display()));
    }
    let code = report_broken(&summary, Some(&text));
    if json {
        let mut value = summary_json(&summary);
        value["letters"] = sorted.letters.into();
        value["records"] = sorted.taken.into();
        value["into"] = args.into.display().to_string().into();
        say_json(&value);
    }
    Ok(code)
}

/// A hidden folder that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(into: &Path) -> Result<Self> {
        let path = into.join(format!(".letters-{}", std::process::id()));
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(Scratch(path)),
            Err(e) => Err(Error::user(format!("cannot make the folder '{}'", path.display())).because(e)),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Hidden, and a second run makes one of its own.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Options of the table that a file of records is.
type FileOptions = Vec<(&'static str, String)>;

/// The letters as files.
#[derive(Default)]
struct Sorted {
    /// Per table: files with their options.
    files: BTreeMap<String, Vec<FileOptions>>,
    /// All letters of the pipeline's tables.
    letters: u64,
    /// Records that will be read.
    taken: u64,
    /// What can't be read again, and why.
    left: Vec<(u64, String)>,
}

/// Writes the records behind the letters to files. One record may have several letters (of several windows): it counts
/// once.
fn sort_out(from: &Path, script: &Script, registry: &Registry, scratch: &Path) -> Result<Sorted> {
    let mut by_table: BTreeMap<String, BTreeMap<(u32, u64), DeadLetter>> = BTreeMap::new();
    let mut sorted = Sorted::default();
    let known: BTreeSet<&str> = script.tables.iter().map(|t| t.table.name.as_str()).collect();
    for_each(from, &Filter::default(), |letter| {
        if known.contains(letter.source.as_str()) {
            sorted.letters += 1;
            by_table.entry(letter.source.clone()).or_default().insert((letter.partition, letter.offset), letter);
        }
        true
    })?;
    for (number, (name, letters)) in by_table.into_iter().enumerate() {
        let Some(def) = script.tables.iter().find(|t| t.table.name == name) else { continue };
        let (typed, raw): (Vec<DeadLetter>, Vec<DeadLetter>) = letters.into_values().partition(|l| l.row.is_some());
        let mut files = vec![];
        if !typed.is_empty() {
            sorted.taken += typed.len() as u64;
            let path = scratch.join(format!("{number}-rows.json"));
            write(&path, &rows_by_time(typed, def))?;
            files.push(vec![("path", path.display().to_string()), ("format", "json".into())]);
        }
        if !raw.is_empty() {
            let count = raw.len() as u64;
            let path = scratch.join(format!("{number}-records"));
            match text_options(def, registry) {
                Ok((mut options, header)) => {
                    sorted.taken += count;
                    let records = raw.iter().filter_map(|l| l.bytes.as_deref());
                    write(&path, &lines(header.iter().map(String::as_bytes).chain(records)))?;
                    options.push(("path", path.display().to_string()));
                    files.push(options);
                }
                Err(why) => sorted.left.push((count, format!("{name}: {why}"))),
            }
        }
        sorted.files.insert(name, files);
    }
    Ok(sorted)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|e| Error::world(format!("cannot write '{}'", path.display())).because(e))
}

fn lines<'a>(records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![];
    for record in records {
        out.extend_from_slice(record.strip_suffix(b"\n").unwrap_or(record));
        out.push(b'\n');
    }
    out
}

/// Typed rows as JSON lines, by event time as far as they say it, then by partition and offset.
fn rows_by_time(letters: Vec<DeadLetter>, def: &TableDef) -> Vec<u8> {
    let time = def.watermark.as_ref().map(|w| def.columns[w.column].name.clone());
    let key = |row: &str| {
        let value: Value = serde_json::from_str(row).ok()?;
        match value.get(time.as_ref()?)? {
            Value::String(text) => Some((0.0, text.clone())),
            Value::Number(number) => Some((number.as_f64()?, String::new())),
            _ => None,
        }
    };
    let mut rows: Vec<_> = letters.into_iter().filter_map(|l| l.row).map(|row| (key(&row), row)).collect();
    rows.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    lines(rows.iter().map(|(_, row)| row.as_bytes()))
}

/// How records that did not decode are read again: options, and a header if there is one. `Err` says why not.
fn text_options(def: &TableDef, registry: &Registry) -> Result<(FileOptions, Option<String>), String> {
    let options = &def.table.options;
    let by_name = || options.get("path").and_then(|p| Some(Format::of_path(Path::new(p))?.0));
    let format = options.get("format").and_then(Format::of_name).or_else(by_name);
    let Some(format) = format.filter(|f| f.is_text()) else {
        return Err("their records are not text".into());
    };
    let mut out = vec![("format", format.name().to_string())];
    if format == Format::Json {
        return Ok((out, None));
    }
    for key in ["csv.field-delimiter", "csv.quote-character", "csv.null-literal", "csv.allow-comments", "csv.header"] {
        out.extend(options.get(key).map(|value| (key, value.to_string())));
    }
    if options.get("csv.header").is_some_and(|h| h.eq_ignore_ascii_case("false")) {
        return Ok((out, None));
    }
    // The order of the columns is that of the file they came from.
    let columns = registry
        .of(options)
        .and_then(|c| c.infer_schema(options))
        .map_err(|e| format!("no header tells their columns: {e}"))?;
    let delimiter = match options.get("csv.field-delimiter") {
        None => ",",
        Some("\\t") => "\t",
        Some(other) => other,
    };
    let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
    Ok((out, Some(names.join(delimiter))))
}

/// A registry in which the script's tables are read from letters and written below `into`.
fn instead(
    registry: &Registry,
    script: &Script,
    files: BTreeMap<String, Vec<FileOptions>>,
    into: &Path,
) -> Result<Registry> {
    let mut out = registry.clone();
    let mut options = Options::default();
    options.set("connector", "filesystem");
    let filesystem = registry.of(&options)?.clone();
    let streams = script.tables.iter().filter(|t| t.watermark.is_some()).map(|t| t.table.name.clone()).collect();
    let letters = Arc::new(Letters { filesystem, files, streams, into: into.to_path_buf() });
    for table in &script.tables {
        let connector = registry.of(&table.table.options)?.clone();
        out.add(Arc::new(Instead { connector, letters: letters.clone() }));
    }
    out.set_places(Arc::new(Below { places: registry.places()?.clone(), into: into.to_path_buf() }));
    Ok(out)
}

struct Letters {
    filesystem: Arc<dyn Connector>,
    files: BTreeMap<String, Vec<FileOptions>>,
    streams: BTreeSet<String>,
    into: PathBuf,
}

/// A connector whose sources are letters and whose sinks are files.
struct Instead {
    connector: Arc<dyn Connector>,
    letters: Arc<Letters>,
}

/// Says that all options of a table are known, as its own connector would.
fn know_all(options: &Options) {
    for (key, _) in options.iter() {
        options.get(key);
    }
}

impl Connector for Instead {
    fn name(&self) -> &'static str {
        self.connector.name()
    }

    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        self.connector.infer_schema(options)
    }

    fn metadata(&self) -> Vec<(&'static str, DataType)> {
        self.connector.metadata()
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let Some(files) = self.letters.files.get(&table.name) else {
            if !self.letters.streams.contains(&table.name) {
                return self.connector.source(table, request);
            }
            know_all(&table.options);
            return Ok(Box::new(Joined(vec![])));
        };
        know_all(&table.options);
        let sources = files.iter().map(|pairs| {
            let mut options = Options::new(format!("the letters of {}", table.name), []);
            options.set("connector", "filesystem");
            pairs.iter().for_each(|(key, value)| options.set(key, value.clone()));
            self.letters.filesystem.source(&Table { options, ..table.clone() }, request)
        });
        Ok(Box::new(Joined(sources.collect::<Result<_>>()?)))
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        know_all(&table.options);
        let mut options = Options::new(format!("the results of {}", table.name), []);
        options.set("connector", "filesystem");
        options.set("path", self.letters.into.join(format!("{}.parquet", table.name)).to_string_lossy());
        options.set("sink.mode", "overwrite");
        self.letters.filesystem.sink(&Table { options, ..table.clone() })
    }
}

/// Several sources as one.
struct Joined(Vec<Box<dyn Source>>);

impl Source for Joined {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let mut all = vec![];
        for source in &mut self.0 {
            all.extend(source.partitions()?);
        }
        if all.is_empty() {
            all.push(Box::new(Ended) as Box<dyn PartitionReader>);
        }
        Ok(all)
    }
}

struct Ended;

impl PartitionReader for Ended {
    fn next(&mut self) -> Result<Next> {
        Ok(Next::End)
    }
}

/// Places below a folder.
struct Below {
    places: Arc<dyn Places>,
    into: PathBuf,
}

impl Below {
    fn path(&self, path: &str) -> String {
        let plain = Path::new(path).components().filter(|c| matches!(c, std::path::Component::Normal(_)));
        plain.fold(self.into.clone(), |folder, part| folder.join(part)).to_string_lossy().into_owned()
    }
}

impl Places for Below {
    fn dead_letters(&self, path: &str, retention: Option<Duration>) -> Result<Box<dyn DeadLetterStore>> {
        self.places.dead_letters(&self.path(path), retention)
    }

    fn storage(&self, path: &str) -> Result<Arc<dyn Storage>> {
        self.places.storage(&self.path(path))
    }

    fn directory(&self, path: &str) -> Result<Arc<dyn Storage>> {
        self.places.directory(&self.path(path))
    }

    fn segment_writer(&self, path: &Path, schema: &SchemaRef) -> Result<Box<dyn SegmentWriter>> {
        self.places.segment_writer(path, schema)
    }

    fn read_segment(&self, path: &Path) -> Result<Vec<RecordBatch>> {
        self.places.read_segment(path)
    }
}
