//! `pelton-matrix`: the determinism matrix. Runs every SQL case in every cell and demands one digest.
//!
//! `pelton-matrix --data DIR --out DIR [--case NAME] [--full] [--limit-s N] [--like REPORT]`. `tests/data.py` makes the data. The sinks'
//! files of each case's first cell and `report.json` stay in the output folder for `tests/compare.py`, which asks DuckDB
//! whether the one answer is the right one. With `--like`, each case runs in one cell, and its digests must be those in the
//! report of another run: `PELTON_CPU` makes it one with other instructions.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pelton_devices::{Cuda, RowCounts, Wgpu, cuda_devices};
use pelton_engine::connector::Registry;
use pelton_engine::error::Error;
use pelton_engine::pipeline::{RunOptions, Summary, check_script, read_script, replay_text, run_text};
use pelton_tests::cases::{self, Case};
use pelton_tests::cells::{self, Cell, Device, Mode};
use serde_json::json;

/// Cases that run at a time: one a core, though half of the cells have two threads of their own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get())
}

struct Arguments {
    cases: PathBuf,
    data: PathBuf,
    out: PathBuf,
    filter: String,
    full: bool,
    limit: Duration,
    /// The report of another run, whose digests are wanted.
    like: Option<PathBuf>,
}

fn arguments() -> Result<Arguments, String> {
    // Where this was built; elsewhere --cases tells.
    let mut cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut data, mut out, mut filter, mut full, mut limit_s, mut like) =
        (None, None, String::new(), false, 240, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--data" => data = Some(PathBuf::from(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--cases" => cases = PathBuf::from(value()?),
            "--case" => filter = value()?,
            "--full" => full = true,
            "--like" => like = Some(PathBuf::from(value()?)),
            "--limit-s" => limit_s = value()?.parse().map_err(|_| "--limit-s needs seconds".to_string())?,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    let absolute = |path: Option<PathBuf>, name: &str| {
        let path = path.ok_or(format!("{name} DIR is missing"))?;
        std::path::absolute(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    Ok(Arguments {
        cases,
        data: absolute(data, "--data")?,
        out: absolute(out, "--out")?,
        filter,
        full,
        limit: Duration::from_secs(limit_s),
        like,
    })
}

/// What came of a case.
struct Verdict {
    /// Of the first cell.
    summary: Option<Summary>,
    runs: usize,
    /// Of these with every stage on wgpu, and on CUDA.
    on_wgpu: usize,
    on_cuda: usize,
    errors: Vec<String>,
}

/// What a worker does right now, for the watchdog.
type Doing = Mutex<Option<(String, Instant)>>;

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("pelton-matrix: {message}");
            return ExitCode::from(2);
        }
    };
    let root = &arguments.cases;
    let cases = match cases::find(root, &arguments.filter) {
        Ok(cases) if !cases.is_empty() => cases,
        Ok(_) => {
            eprintln!("pelton-matrix: no case is called {}", arguments.filter);
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("pelton-matrix: {}: {error}", root.display());
            return ExitCode::from(2);
        }
    };
    let mut cells = if arguments.full { cells::full() } else { cells::pairwise() };
    if arguments.like.is_some() {
        cells.truncate(1);
    } else {
        match Wgpu::open() {
            Ok(_) => cells.extend(cells::on_device(Device::Wgpu, arguments.full)),
            Err(error) if std::env::var_os("CI").is_some() => {
                eprintln!("pelton-matrix: {error}");
                return ExitCode::FAILURE;
            }
            Err(error) => println!("not run: the cells on wgpu: {error}"),
        }
        // Where there is no NVIDIA GPU one is played, in fewer cells; benches/gpu/run.sh runs all where there is one.
        let there = cuda_devices().is_ok_and(|devices| !devices.is_empty());
        if !there {
            Cuda::play();
        }
        cells.extend(cells::on_device(Device::Cuda, there || arguments.full));
    }
    let started = Instant::now();
    let mut verdicts = run_all(&cases, &cells, &arguments);
    if let Some(report) = &arguments.like
        && let Err(error) = compare(report, &cases, &mut verdicts)
    {
        eprintln!("pelton-matrix: {}: {error}", report.display());
        return ExitCode::FAILURE;
    }

    let runs: usize = verdicts.iter().map(|v| v.runs).sum();
    let failed = verdicts.iter().filter(|v| !v.errors.is_empty()).count();
    if let Err(error) = write_report(&arguments.out, &cases, &verdicts) {
        eprintln!("pelton-matrix: report.json: {error}");
        return ExitCode::FAILURE;
    }
    let same = if failed == 0 { "one digest each" } else { "not one digest each" };
    for (case, verdict) in cases.iter().zip(&verdicts).filter(|_| arguments.like.is_some()) {
        verdict.errors.iter().for_each(|error| eprintln!("{}: {error}", case.name));
    }
    let level = pelton_kernels::cpu::level().name();
    println!(
        "{} cases × {} cells: {runs} runs, {same}, {:.0} s, kernels: {level}",
        cases.len(),
        cells.len(),
        started.elapsed().as_secs_f64()
    );
    if arguments.like.is_none() {
        if let Ok(device) = Wgpu::open() {
            say_device(&device.adapter(), verdicts.iter().map(|v| v.on_wgpu).sum(), &device.rows());
        }
        if let Some(device) = Cuda::opened() {
            say_device(device.model(), verdicts.iter().map(|v| v.on_cuda).sum(), &device.rows());
        }
    }
    println!("{} passed, {failed} failed", cases.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the cases on a few workers; verdicts in the order of the cases.
fn run_all(cases: &[Case], cells: &[Cell], arguments: &Arguments) -> Vec<Verdict> {
    // A panic is reported as the failure of its case; the trace would only drown it.
    std::panic::set_hook(Box::new(|_| ()));
    let next = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let doing: Vec<Doing> = (0..workers()).map(|_| Mutex::new(None)).collect();
    let verdicts: Vec<Mutex<Option<Verdict>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = doing
            .iter()
            .map(|doing| {
                scope.spawn(|| {
                    let registry = pelton_io::registry();
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let index = cases.iter().position(|c| c == case).expect("it comes from there");
                        let verdict = run_case(case, cells, arguments, &registry, doing);
                        for error in &verdict.errors {
                            println!("FAILED {}: {error}", case.name);
                        }
                        *verdicts[index].lock().expect("no panic holds this lock") = Some(verdict);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                watch(&doing, arguments.limit);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        for worker in workers {
            worker.join().expect("a worker catches the panics of its cases");
        }
        done.store(true, Ordering::Relaxed);
    });
    verdicts
        .into_iter()
        .map(|v| v.into_inner().expect("no panic holds this lock").expect("every case was run"))
        .collect()
}

/// Ends the program when a run hangs: a thread cannot be stopped from outside.
fn watch(doing: &[Doing], limit: Duration) {
    for doing in doing {
        if let Some((what, since)) = &*doing.lock().expect("no panic holds this lock")
            && since.elapsed() > limit
        {
            println!("FAILED {what}: not ended after {} s", limit.as_secs());
            println!("0 passed, 1 failed");
            std::process::exit(1);
        }
    }
}

/// Runs one case in all cells.
fn run_case(case: &Case, cells: &[Cell], arguments: &Arguments, registry: &Registry, doing: &Doing) -> Verdict {
    let mut verdict = Verdict { summary: None, runs: 0, on_wgpu: 0, on_cuda: 0, errors: vec![] };
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => {
            verdict.errors.push(format!("no scratch folder: {error}"));
            return verdict;
        }
    };
    let text = match std::fs::read_to_string(&case.path) {
        Ok(text) => text,
        Err(error) => {
            verdict.errors.push(format!("{}: {error}", case.path.display()));
            return verdict;
        }
    };
    let kept = arguments.out.join(&case.name);
    let _ = std::fs::remove_dir_all(&kept);
    let mut histories: Vec<PathBuf> = vec![];
    let mut replays = 0;
    for (index, cell) in cells.iter().enumerate() {
        let place = scratch.path().join(index.to_string());
        let out = if index == 0 { kept.clone() } else { place.join("out") };
        let history = match cell.mode {
            Mode::Direct => place.join("history"),
            Mode::Replayed if histories.is_empty() => continue,
            // Take turns, so that histories written with every batch size are read.
            Mode::Replayed => histories[replays % histories.len()].clone(),
        };
        if let Err(error) = std::fs::create_dir_all(&out) {
            verdict.errors.push(format!("{}: {error}", out.display()));
            return verdict;
        }
        let mut options = options(cell, &arguments.data, &out, &history, &place);
        if cell.device != Device::Cpu && runs_on(cell.device, &text, registry, &mut options) {
            match cell.device {
                Device::Wgpu => verdict.on_wgpu += 1,
                _ => verdict.on_cuda += 1,
            }
        }
        *doing.lock().expect("no panic holds this lock") =
            Some((format!("{} in cell [{cell}]", case.name), Instant::now()));
        let outcome = catch_unwind(AssertUnwindSafe(|| match cell.mode {
            Mode::Direct if cell.restarts > 0 => run_with_restarts(cell, &text, registry, &mut options, &place),
            Mode::Direct => run_text(&text, registry, &options),
            Mode::Replayed => replay_text(&text, registry, &options, &out),
        }));
        *doing.lock().expect("no panic holds this lock") = None;
        verdict.runs += 1;
        match outcome {
            Err(panic) => verdict.errors.push(format!("[{cell}] panicked: {}", panic_text(panic.as_ref()))),
            Ok(Err(error)) => verdict.errors.push(format!("[{cell}] {}", error_text(&error))),
            Ok(Ok(summary)) => {
                match cell.mode {
                    Mode::Direct => histories.push(history),
                    Mode::Replayed => replays += 1,
                }
                match &verdict.summary {
                    Some(first) => verdict.errors.extend(differences(first, &cells[0], &summary, cell)),
                    None => verdict.summary = Some(summary),
                }
            }
        }
        if verdict.summary.is_none() {
            break; // the other cells would say the same
        }
    }
    verdict
}

/// Runs a case with checkpoints, and lets it crash on its way: now and then in the middle of an epoch. What a device has begun the
/// processor goes on with, and then the device again.
fn run_with_restarts(
    cell: &Cell,
    text: &str,
    registry: &Registry,
    options: &mut RunOptions,
    place: &Path,
) -> Result<Summary, Error> {
    let epoch = (2048 / cell.batch_rows as u64).max(2);
    options.sets.push(("pelton.checkpoint.dir".into(), place.join("checkpoints").to_string_lossy().into_owned()));
    (options.checkpoint_batches, options.restarts) = (Some(epoch), Some(0));
    let on_device = options.sets.clone();
    for restart in 0..cell.restarts as u64 {
        options.crash_after_batches = Some(epoch * (restart + 1) + 1);
        options.sets.clone_from(&on_device);
        if restart % 2 == 1 {
            options.sets.retain(|(key, _)| key != "pelton.device");
        }
        match run_text(text, registry, options) {
            Err(error) if error.to_string().contains("as if the process had been killed") => {
                options.counters = Arc::default();
            }
            // It was shorter than that, or can not run at all.
            ended => return ended,
        }
    }
    options.crash_after_batches = None;
    options.sets = on_device;
    run_text(text, registry, options)
}

fn say_device(name: &str, runs: usize, rows: &RowCounts) {
    let refused: u64 = rows.refused.iter().map(|(_, rows)| rows).sum();
    let RowCounts { folded, scored, .. } = rows;
    println!("{runs} runs on {name}: {folded} rows folded and {scored} scored there, {refused} on the processor");
}

/// Asks for a device, if the case can run there.
fn runs_on(device: Device, text: &str, registry: &Registry, options: &mut RunOptions) -> bool {
    options.sets.push(("pelton.device".into(), device.name().into()));
    let planned = read_script(text, registry, options).and_then(|script| check_script(&script, registry));
    if planned.is_err() {
        options.sets.pop();
    }
    planned.is_ok()
}

fn options(cell: &Cell, data: &Path, out: &Path, history: &Path, place: &Path) -> RunOptions {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    RunOptions {
        overwrite: true,
        threads: cell.threads,
        batch_rows: Some(cell.batch_rows),
        sets: vec![("dead-letters.path".into(), text(&place.join("dead-letters")))],
        variables: BTreeMap::from([
            ("DATA".into(), text(data)),
            ("OUT".into(), text(out)),
            ("HISTORY".into(), text(history)),
        ]),
        ..RunOptions::default()
    }
}

/// What differs between the first cell and another one.
fn differences(first: &Summary, first_cell: &Cell, other: &Summary, cell: &Cell) -> Vec<String> {
    let mut lines = vec![];
    let sinks: std::collections::BTreeSet<_> = first.digests.keys().chain(other.digests.keys()).collect();
    for sink in sinks {
        let (a, b) = (first.digests.get(sink), other.digests.get(sink));
        if a != b {
            let show = |d: Option<&String>| d.cloned().unwrap_or("none".into());
            lines.push(format!("digest of {sink} is {} in [{cell}], {} in [{first_cell}]", show(b), show(a)));
        }
    }
    let mut same = |what: &str, a: u64, b: u64| {
        if a != b {
            lines.push(format!("{b} {what} in [{cell}], {a} in [{first_cell}]"));
        }
    };
    same("late rows", first.late, other.late);
    if cell.mode == Mode::Direct {
        // What did not decode or broke the schema is not in the history.
        same("dead letters", first.dead_letters, other.dead_letters);
        same("rows read", first.rows_in, other.rows_in);
    }
    lines
}

fn error_text(error: &Error) -> String {
    let place = error.span().map(|s| format!("{}:{}: ", s.line, s.column)).unwrap_or_default();
    let hint = error.advice().map(|h| format!(" (hint: {h})")).unwrap_or_default();
    format!("{place}{error}{hint}")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_string()
}

/// `report.json`: per case the digests and counts of its first cell.
/// Holds the digests against those of another run's report.
fn compare(report: &Path, cases: &[Case], verdicts: &mut [Verdict]) -> Result<(), Box<dyn std::error::Error>> {
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report)?)?;
    for (case, verdict) in cases.iter().zip(verdicts) {
        let Some(summary) = &verdict.summary else { continue };
        let (wanted, found) = (&report["cases"][&case.name]["digests"], json!(summary.digests));
        if *wanted != found {
            verdict.errors.push(format!("digests {found}, with other instructions {wanted}"));
        }
    }
    Ok(())
}

fn write_report(out: &Path, cases: &[Case], verdicts: &[Verdict]) -> std::io::Result<()> {
    let entries: serde_json::Map<_, _> = cases
        .iter()
        .zip(verdicts)
        .map(|(case, verdict)| {
            let entry = match &verdict.summary {
                None => json!({ "error": verdict.errors.first() }),
                Some(s) => json!({
                    "digests": s.digests, "rows_in": s.rows_in, "rows_out": s.rows_out, "late": s.late,
                    "dead_letters": s.dead_letters, "errors": verdict.errors,
                }),
            };
            (case.name.clone(), entry)
        })
        .collect();
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("report.json"), serde_json::to_string_pretty(&json!({ "cases": entries }))?)
}
