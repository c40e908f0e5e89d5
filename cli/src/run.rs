//! `pelton run`: all queries of a pipeline, over one pass of each source.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_devices::{Cuda, Wgpu};
use pelton_engine::connector::Registry;
use pelton_engine::error::Error;
use pelton_engine::pipeline::{RunOptions, Summary, explain_script, run_script};
use pelton_engine::sql::{Job, Script, Target};
use serde_json::{Map, Value, json};

use crate::print::printer;
use crate::progress::Progress;
use crate::report::{Answer, Failure, chain, columns, grouped, note, render, say, say_json, short};
use crate::signals;
use crate::sys;
use crate::text::{HowArgs, Text, TextArgs};

/// Arguments of `pelton run`.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    how: HowArgs,
    /// Say at the end where the time went: decode, each step, closing windows, sinks.
    #[arg(long)]
    profile: bool,
    /// Go on from this savepoint or epoch instead of the newest checkpoint.
    #[arg(long, value_name = "NAME|EPOCH")]
    restore: Option<String>,
    /// Go on from a checkpoint even if it has state that no step of the query takes; that state is lost.
    #[arg(long)]
    allow_dropped_state: bool,
}

/// Runs a pipeline.
pub fn run(args: &RunArgs, json: bool) -> Answer {
    let text = args.text.load()?;
    let registry = pelton_io::registry();
    let mut options = args.how.options();
    options.profile = args.profile;
    options.restore = args.restore.clone();
    options.allow_dropped_state = args.allow_dropped_state;
    let mut script = text.script(&registry, &options)?;
    args.how.complete(&mut options, &script);
    if is_blank(&text.content) {
        return Err(text.failed(
            Error::user(format!("there is no statement in '{}'", text.name))
                .hint("write at least one INSERT INTO or SELECT"),
        ));
    }
    explain(&mut script, &registry).map_err(|e| text.failed(e))?;
    if script.jobs.is_empty() {
        note("nothing to run: there is no INSERT INTO, no CREATE TABLE … AS and no SELECT");
        if json {
            say_json(&summary_json(&Summary { ended: true, ..Summary::default() }));
        }
        return Ok(0);
    }
    if script.settings.over_arrival() || script.is_endless_and_stateless() {
        sys::small_pages();
    }
    let summary = drive(&script, registry, &options).map_err(|e| text.failed(e))?;
    if !json {
        note(&summary_text(&summary));
        letters_hint(&summary, script.settings.get("dead-letters.path"));
        if let Some(device) = Wgpu::opened() {
            note(&format!("{}: {}", device.adapter(), device.rows()));
        }
        if let Some(device) = Cuda::opened() {
            note(&format!("{}: {}", device.model(), device.rows()));
        }
        if args.profile {
            note(&profile_text(&summary));
        }
    }
    let code = report_broken(&summary, Some(&text));
    if json {
        say_json(&summary_json(&summary));
    }
    Ok(code)
}

/// Runs a script with a progress line, printing bare `SELECT`s, until it ends or a signal comes.
pub fn drive(script: &Script, registry: Registry, options: &RunOptions) -> Result<Summary, Error> {
    let mut options = options.clone();
    let progress = Progress::start(&options.counters);
    let registry = progress.around(registry);
    // Rows of a paced table are shown as they come, too.
    let live = script.tables.iter().any(|t| !t.bounded || t.table.options.get("rows-per-second").is_some());
    let titled = script.jobs.iter().filter(|j| matches!(j.target, Target::Print)).count() > 1;
    let screen = progress.screen();
    options.notice = Some(Arc::new(move |text: &str| screen.aside(|| note(text))));
    options.print = Some(printer(progress.screen(), options.stop.clone(), live, titled));
    let _stopping = signals::stops(&options.stop);
    run_script(script, &registry, &options)
}

/// True if a text holds nothing but white space, comments and `;`.
fn is_blank(text: &str) -> bool {
    crate::statements::count(text) == 0
}

/// Prints the plans of the `EXPLAIN`ed statements, and takes them out of the script.
pub fn explain(script: &mut Script, registry: &Registry) -> Result<(), Error> {
    let (explained, rest): (Vec<Job>, Vec<Job>) = std::mem::take(&mut script.jobs).into_iter().partition(|j| j.explain);
    if !explained.is_empty() {
        script.jobs = explained;
        say(explain_script(script, registry)?.trim_end());
    }
    script.jobs = rest;
    Ok(())
}

/// Two or three lines for people.
pub fn summary_text(summary: &Summary) -> String {
    let mut text = format!(
        "{} rows in, {} out, {:.2} s, {} rows/s",
        grouped(summary.rows_in),
        grouped(summary.rows_out),
        summary.seconds,
        short(rate(summary)),
    );
    if summary.late > 0 {
        text += &format!(", {} late", grouped(summary.late));
    }
    if summary.dead_letters > 0 {
        text += &format!(", {} dead letters", grouped(summary.dead_letters));
    }
    if !summary.ended {
        text += "; stopped, and what was read is committed";
    }
    text + &digest_lines("digest", &summary.digests)
}

/// A line for each part of the run that took a hundredth of the time or more; times are of all workers together.
fn profile_text(summary: &Summary) -> String {
    let total: f64 = summary.profile.iter().map(|part| part.seconds).sum();
    let shown = summary.profile.iter().filter(|part| part.seconds * 100.0 >= total);
    let rows: Vec<Vec<String>> = shown
        .map(|part| {
            let per_second = if part.rows > 0 { short(part.rows as f64 / part.seconds) } else { String::new() };
            let name: String = part.name.chars().take(80).collect();
            vec![
                format!("{:.3}", part.seconds),
                format!("{:.0} %", 100.0 * part.seconds / total.max(f64::MIN_POSITIVE)),
                grouped(part.rows),
                per_second,
                name,
            ]
        })
        .collect();
    columns(&["worker seconds", "share", "rows", "rows/s", "part"], &rows)
}

/// A line for each sink.
fn digest_lines(what: &str, digests: &BTreeMap<String, String>) -> String {
    let width = digests.keys().map(|n| n.chars().count()).max().unwrap_or(0);
    digests.iter().map(|(name, digest)| format!("\n{what} {name:<width$}  {digest}")).collect()
}

/// Says where dead letters are.
pub fn letters_hint(summary: &Summary, path: Option<&str>) {
    if summary.dead_letters == 0 {
        return;
    }
    note(&match path {
        Some(path) => format!("the dead letters are in '{path}': pelton dead-letters ls {path}"),
        None => "the dead letters were only counted: SET 'dead-letters.path' = 'FOLDER' keeps them".to_string(),
    });
}

/// Shows the parts of the input that could not be read. Answers the exit code.
pub fn report_broken(summary: &Summary, text: Option<&Text>) -> u8 {
    if summary.broken.is_empty() {
        return 0;
    }
    for error in &summary.broken {
        note(&render(error, text, false));
    }
    note("part of the input could not be read; the results of the rest are committed");
    1
}

fn rate(summary: &Summary) -> f64 {
    if summary.seconds > 0.0 { summary.rows_in as f64 / summary.seconds } else { 0.0 }
}

/// The object that `--json` prints.
pub fn summary_json(summary: &Summary) -> Value {
    let mut latencies = summary.latencies_us.clone();
    latencies.sort_unstable();
    let at =
        |part: f64| latencies.get(((latencies.len() as f64 * part) as usize).min(latencies.len().max(1) - 1)).copied();
    let digests: Map<String, Value> =
        summary.digests.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect();
    json!({
        "rows_in": summary.rows_in,
        "rows_out": summary.rows_out,
        "late": summary.late,
        "dead_letters": summary.dead_letters,
        "batches": summary.batches,
        "seconds": summary.seconds,
        "rows_per_second": rate(summary),
        "digests": digests,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "latency_us": summary.latency.map(|l| json!({ "rows": l.rows, "p50": l.p50_us, "p99": l.p99_us, "max": l.max_us })),
        "longest_cut_us": summary.longest_cut.as_micros() as u64,
        "profile": summary.profile.iter().map(|part| {
            json!({ "part": part.name, "seconds": part.seconds, "rows": part.rows })
        }).collect::<Vec<_>>(),
        "ended": summary.ended,
        "broken": summary.broken.iter().map(|e| chain(e).join(": ")).collect::<Vec<_>>(),
    })
}

impl From<(Text, Error)> for Failure {
    fn from((text, error): (Text, Error)) -> Self {
        text.failed(error)
    }
}
