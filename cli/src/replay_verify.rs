//! `pelton replay` and `pelton verify`: the same queries over history, and the proof that they give the same rows.

use std::path::PathBuf;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use pelton_engine::error::Error;
use pelton_engine::pipeline::{Verdict, replay_text, verify_text};
use pelton_engine::plan::TimeRange;
use serde_json::{Map, Value, json};

use crate::progress::Progress;
use crate::report::{Answer, grouped, note, say, say_json};
use crate::run::{report_broken, summary_json, summary_text};
use crate::signals;
use crate::text::{HowArgs, TextArgs};

/// Arguments of `pelton replay`.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    text: TextArgs,
    /// Folder for the results: each sink's rows go to DIR/NAME.parquet. The pipeline's own sinks are not touched.
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Keep results of windows that end after this time, or rows from it on: 2024-01-01, '2024-01-01 12:00:00' (UTC).
    #[arg(long, value_name = "TIME", value_parser = time_us)]
    from: Option<i64>,
    /// Keep results of windows that end by this time, or rows before it.
    #[arg(long, value_name = "TIME", value_parser = time_us)]
    to: Option<i64>,
    /// Replace results of an earlier replay.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// A time as people write it, in microseconds since 1970.
fn time_us(text: &str) -> Result<i64, String> {
    let nanos = string_to_timestamp_nanos(text.trim())
        .map_err(|_| "wanted a time such as 2024-01-01 or '2024-01-01 12:00:00'")?;
    Ok(nanos.div_euclid(1000))
}

/// Arguments of `pelton verify`.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Replays the last run.
pub fn replay(args: &ReplayArgs, json: bool) -> Answer {
    let text = args.text.load()?;
    let mut options = args.how.options();
    let script = text.script(&pelton_io::registry(), &options)?;
    args.how.complete(&mut options, &script);
    options.range = TimeRange { from: args.from, to: args.to };
    options.overwrite = args.overwrite;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(Error::user("--from is not before --to: nothing is between them").into());
    }
    if args.into.exists() && !args.into.is_dir() {
        return Err(Error::user(format!("--into '{}' is a file", args.into.display())).hint("name a folder").into());
    }
    let progress = Progress::start(&options.counters);
    let stopping = signals::stops(&options.stop);
    let summary = replay_text(&text.content, &pelton_io::registry(), &options, &args.into);
    drop((progress, stopping));
    let summary = summary.map_err(|e| text.failed(e))?;
    if !json {
        note(&summary_text(&summary));
        note(&format!("the results are in '{}'", args.into.display()));
    }
    let code = report_broken(&summary, Some(&text));
    if json {
        let mut value = summary_json(&summary);
        value["into"] = Value::from(args.into.display().to_string());
        say_json(&value);
    }
    Ok(code)
}

/// Replays the last run and compares digests.
pub fn verify(args: &VerifyArgs, json: bool) -> Answer {
    let text = args.text.load()?;
    let mut options = args.how.options();
    let script = text.script(&pelton_io::registry(), &options)?;
    args.how.complete(&mut options, &script);
    let progress = Progress::start(&options.counters);
    let stopping = signals::stops(&options.stop);
    let verdict = verify_text(&text.content, &pelton_io::registry(), &options);
    drop((progress, stopping));
    let verdict = verdict.map_err(|e| text.failed(e))?;
    if !verdict.replay.ended && verdict.holds() {
        return Err(Error::world("the comparison was stopped before its end").into());
    }
    if !json {
        say(&verdict_text(&verdict));
        note(&format!(
            "{} rows replayed, {:.2} s: {}",
            grouped(verdict.replay.rows_in),
            verdict.replay.seconds,
            if verdict.holds() { "everything is as it was" } else { "not everything is as it was" }
        ));
    }
    report_broken(&verdict.replay, Some(&text));
    if json {
        say_json(&verdict_json(&verdict));
    }
    Ok(u8::from(!verdict.holds()))
}

/// Windows that are named of each sink.
const WINDOWS_SHOWN: usize = 5;

/// A line for each sink, and for each part of the input that differs.
fn verdict_text(verdict: &Verdict) -> String {
    let width = verdict.sinks.keys().map(|n| n.chars().count()).max().unwrap_or(0);
    let sinks = verdict.sinks.iter().map(|(name, (live, again))| {
        let word = if live == again { "equal" } else { "DIFFERENT" };
        format!("{name:<width$}  live {live}  replay {again}  {word}")
    });
    let segments = verdict.segments.iter().map(|(table, file, found)| format!("segment {file} of {table}: {found}"));
    let tables = verdict.tables.iter().map(|table| format!("table {table}: its content has changed since the run"));
    let windows = verdict.windows.iter().flat_map(|(sink, windows)| {
        let shown = windows.iter().take(WINDOWS_SHOWN).map(move |w| format!("sink {sink}: {w} are different"));
        let more = windows.len().saturating_sub(WINDOWS_SHOWN);
        shown.chain((more > 0).then(|| format!("sink {sink}: and {} more", grouped(more as u64))))
    });
    sinks.chain(segments).chain(tables).chain(windows).collect::<Vec<_>>().join("\n")
}

fn verdict_json(verdict: &Verdict) -> Value {
    let sinks: Map<String, Value> = verdict
        .sinks
        .iter()
        .map(|(name, (live, again))| (name.clone(), json!({ "live": live, "replay": again, "equal": live == again })))
        .collect();
    let segments =
        verdict.segments.iter().map(|(table, file, found)| json!({ "table": table, "file": file, "found": found }));
    json!({
        "equal": verdict.holds(),
        "sinks": sinks,
        "segments": segments.collect::<Vec<_>>(),
        "tables": verdict.tables,
        "windows": verdict.windows,
        "replay": summary_json(&verdict.replay),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_utc() {
        assert_eq!(time_us("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(time_us(" 1970-01-01 00:00:01.5 "), Ok(1_500_000));
        assert_eq!(time_us("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(time_us("noon").is_err());
    }
}
