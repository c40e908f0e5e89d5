//! `pelton history`: the runs that sources have kept, and what is in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_engine::connector::{Registry, Storage};
use pelton_engine::error::{Error, Result};
use pelton_engine::history::{Manifest, manifest, run_name, runs};
use pelton_engine::operators::show_time;
use serde_json::{Value, json};

use crate::report::{Answer, Failure, columns, grouped, say, say_json};
use crate::text::PlaceArgs;

/// What to do with history.
#[derive(clap::Subcommand, Debug)]
pub enum HistoryCommand {
    /// List the runs of a history.
    Ls(PlaceArgs),
    /// Show the segments, partitions and digests of one run.
    Show {
        #[command(flatten)]
        place: PlaceArgs,
        /// Number of the run [default: the last one].
        #[arg(long, value_name = "N")]
        run: Option<u32>,
    },
}

/// One run of one history.
struct Run {
    folder: PathBuf,
    number: u32,
    manifest: Manifest,
    bytes: u64,
}

/// Lists or shows.
pub fn history(command: &HistoryCommand, json: bool) -> Answer {
    match command {
        HistoryCommand::Ls(place) => {
            let all = find(place)?;
            if json {
                say_json(&json!({ "runs": all.iter().map(brief).collect::<Vec<_>>() }));
            } else {
                say(&list(&all));
            }
        }
        HistoryCommand::Show { place, run } => {
            let mut all = find(place)?;
            all.retain(|r| run.is_none_or(|n| r.number == n));
            if all.is_empty() {
                let wanted = run.map_or(0, |n| n);
                return Err(Error::user(format!("there is no run {wanted} here"))
                    .hint("`pelton history ls` lists the runs")
                    .into());
            }
            // Without a number: the last run of each history.
            let last = |r: &Run| all.iter().filter(|o| o.folder == r.folder).map(|o| o.number).max();
            let shown: Vec<&Run> = all.iter().filter(|r| last(r) == Some(r.number)).collect();
            if json {
                say_json(&json!({ "runs": shown.iter().map(|r| full(r)).collect::<Vec<_>>() }));
            } else {
                say(&shown.iter().map(|r| describe(r)).collect::<Vec<_>>().join("\n\n"));
            }
        }
    }
    Ok(0)
}

/// All runs at a place: of one history, of the histories in a folder, or of a pipeline's tables.
fn find(place: &PlaceArgs) -> Result<Vec<Run>, Failure> {
    let registry = pelton_io::registry();
    let mut folders: Vec<PathBuf> = vec![];
    match place.script(&registry)? {
        Some(script) => {
            folders.extend(script.tables.iter().filter_map(|t| t.table.options.get("history.path")).map(PathBuf::from));
            if folders.is_empty() {
                let error = Error::user(format!("no table of '{}' keeps a history", place.place.display()));
                return Err(error.hint("add 'history.path' = '...' to WITH (...) of its source").into());
            }
        }
        None => {
            PlaceArgs::folder(&place.place, "no history")?;
            folders.push(place.place.clone());
        }
    }
    let mut all = vec![];
    for folder in folders {
        let before = all.len();
        all.extend(runs_in(&registry, &folder)?);
        if all.len() == before && folder.is_dir() {
            // Perhaps a folder of histories, one a table.
            for inside in subfolders(&folder)? {
                all.extend(runs_in(&registry, &inside)?);
            }
        }
    }
    if all.is_empty() {
        let error = Error::user(format!("there is no history in '{}'", place.place.display()));
        return Err(error.hint("a history holds run-000001, run-000002, …: run the pipeline first").into());
    }
    Ok(all)
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|e| Error::world(format!("cannot read '{}'", folder.display())).because(e))?;
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn runs_in(registry: &Registry, folder: &Path) -> Result<Vec<Run>> {
    let storage: Arc<dyn Storage> = registry.places()?.directory(&folder.to_string_lossy())?;
    let numbers = runs(storage.as_ref())?;
    let of = |number: u32| {
        let manifest = manifest(storage.as_ref(), number)?;
        let size = |file: &str| {
            std::fs::metadata(storage.local_path(&format!("{}/{file}", run_name(number)))).map_or(0, |m| m.len())
        };
        let bytes = manifest.segments.iter().map(|s| size(&s.file)).sum();
        Ok(Run { folder: folder.to_path_buf(), number, manifest, bytes })
    };
    numbers.into_iter().map(of).collect()
}

impl Run {
    fn rows(&self) -> u64 {
        self.manifest.segments.iter().map(|s| s.rows).sum()
    }

    fn watermark(&self) -> Option<i64> {
        self.manifest.partitions.iter().map(|p| p.watermark).min().flatten()
    }
}

fn time(us: Option<i64>) -> String {
    us.map_or_else(|| "none".to_string(), show_time)
}

fn list(all: &[Run]) -> String {
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|r| {
            vec![
                r.folder.join(run_name(r.number)).display().to_string(),
                r.manifest.table.clone(),
                r.manifest.ended.clone(),
                grouped(r.rows()),
                r.manifest.segments.len().to_string(),
                grouped(r.bytes),
                time(r.watermark()),
            ]
        })
        .collect();
    columns(&["run", "table", "ended", "rows", "segments", "bytes", "watermark"], &rows)
}

fn describe(run: &Run) -> String {
    let m = &run.manifest;
    let mut text = format!(
        "{}\ntable {}, ended: {}, {} rows in {} segments, {} bytes\n",
        run.folder.join(run_name(run.number)).display(),
        m.table,
        m.ended,
        grouped(run.rows()),
        m.segments.len(),
        grouped(run.bytes)
    );
    let rows: Vec<Vec<String>> = m
        .partitions
        .iter()
        .map(|p| vec![p.partition.to_string(), p.offset.to_string(), time(p.watermark), p.floors.len().to_string()])
        .collect();
    text += &format!("\n{}\n", columns(&["partition", "offset", "watermark", "floors"], &rows));
    let rows: Vec<Vec<String>> = m
        .segments
        .iter()
        .map(|s| {
            let offsets = format!("{}..{}", s.first_offset, s.end_offset);
            let file = if s.expired { format!("{} (expired)", s.file) } else { s.file.clone() };
            vec![file, s.partition.to_string(), offsets, grouped(s.rows), time(s.watermark), s.digest.clone()]
        })
        .collect();
    text +=
        &format!("\n{}\n", columns(&["segment", "partition", "offsets", "rows", "watermark before", "digest"], &rows));
    let rows: Vec<Vec<String>> = m.sinks.iter().map(|(name, digest)| vec![name.clone(), digest.clone()]).collect();
    text += &format!("\n{}", columns(&["sink", "digest"], &rows));
    if !m.tables.is_empty() {
        let rows: Vec<Vec<String>> = m.tables.iter().map(|(name, print)| vec![name.clone(), print.clone()]).collect();
        text += &format!("\n\n{}", columns(&["table read beside", "fingerprint"], &rows));
    }
    text
}

fn brief(run: &Run) -> Value {
    json!({
        "path": run.folder.join(run_name(run.number)),
        "run": run.number,
        "table": run.manifest.table,
        "ended": run.manifest.ended,
        "rows": run.rows(),
        "segments": run.manifest.segments.len(),
        "bytes": run.bytes,
        "watermark_us": run.watermark(),
    })
}

fn full(run: &Run) -> Value {
    let mut value = brief(run);
    let m = &run.manifest;
    value["pipeline"] = json!(m.pipeline);
    value["segments"] = m
        .segments
        .iter()
        .map(|s| {
            json!({
                "file": s.file, "partition": s.partition, "first_offset": s.first_offset, "end_offset": s.end_offset,
                "rows": s.rows, "watermark_us": s.watermark, "digest": s.digest, "expired": s.expired,
            })
        })
        .collect();
    value["partitions"] = m
        .partitions
        .iter()
        .map(|p| json!({ "partition": p.partition, "offset": p.offset, "watermark_us": p.watermark, "floors": p.floors }))
        .collect();
    value["sinks"] = json!(m.sinks);
    value["tables"] = json!(m.tables);
    value
}
