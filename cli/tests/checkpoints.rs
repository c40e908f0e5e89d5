//! Runs that are killed, stopped, and damaged, and go on from their checkpoints.

mod common;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, Ran};

/// Payments of two partitions with bad and late rows, into every kind of state and of file.
const PIPELINE: &str = "\
SET 'pelton.checkpoint.dir' = 'checkpoints';
SET 'pelton.checkpoint.interval' = '15ms';
SET 'dead-letters.path' = 'letters';
CREATE TABLE pay (id BIGINT, card BIGINT, amount DOUBLE, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND)
WITH ('connector' = 'datagen', 'number-of-rows' = '400000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
 'fields.card.min' = '0', 'fields.card.max' = '500', 'fields.amount.min' = '0', 'fields.amount.max' = '90',
 'fields.at.kind' = 'sequence', 'fields.at.step' = '5ms', 'fields.at.max-past' = '3s',
 'history.path' = 'history', 'rows-per-second' = '300000');
CREATE TABLE tumble WITH ('connector' = 'filesystem', 'path' = 'out/tumble', 'format' = 'parquet') AS
SELECT card, window_end, COUNT(*) AS n, SUM(amount) AS s FROM TUMBLE(pay, at, INTERVAL '1' MINUTE)
GROUP BY card, window_start, window_end;
CREATE TABLE hop WITH ('connector' = 'filesystem', 'path' = 'out/hop', 'format' = 'csv') AS
SELECT card, window_end, MAX(amount) AS m, STDDEV_SAMP(amount) AS d
FROM HOP(pay, at, INTERVAL '10' SECOND, INTERVAL '1' MINUTE) WHERE card < 40 GROUP BY card, window_start, window_end;
CREATE TABLE session WITH ('connector' = 'filesystem', 'path' = 'out/session.parquet') AS
SELECT card, window_end, COUNT(*) AS n FROM SESSION(TABLE pay PARTITION BY card, DESCRIPTOR(at), INTERVAL '5' SECOND)
GROUP BY card, window_start, window_end;
CREATE TABLE big WITH ('connector' = 'filesystem', 'path' = 'out/big', 'format' = 'json', 'sink.rolling.rows' = '1000') AS
SELECT id, amount FROM pay WHERE card = 7;
";

/// The digests and counts that a run has said.
fn said(ran: &Ran) -> String {
    let json = ran.json();
    let of = |key: &str| json[key].to_string();
    format!("{} {} {} {} {}", of("digests"), of("rows_in"), of("rows_out"), of("late"), of("dead_letters"))
}

/// All rows that can be seen in the end, sorted; every part file and no other.
fn seen(place: &Place) -> Vec<String> {
    let mut rows = vec![];
    for file in place.files(&["checkpoints", "history", "q.sql"]) {
        assert!(!file.contains("/."), "{file} is left");
        let folder = file.rsplit_once('/').unwrap().0.to_string();
        if file.ends_with(".parquet") {
            rows.extend(place.rows(&file).into_iter().map(|row| format!("{folder}: {row}")));
        } else {
            let text = fs::read_to_string(place.path(&file)).unwrap();
            let lines = text.lines().skip(usize::from(file.ends_with(".csv")));
            rows.extend(lines.map(|line| format!("{folder}: {line}")));
        }
    }
    rows.sort();
    rows
}

fn run(place: &Place, more: &[&str]) -> Ran {
    place.pelton(&[&["run", "--json", "q.sql"], more].concat())
}

/// Waits for something that comes soon, however busy the machine is.
fn wait_for(there: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !there() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process hears when it is asked to stop, or has ended.
fn listens(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    if status.contains("State:\tZ") {
        return true;
    }
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
    caught.is_none_or(|caught| u64::from_str_radix(caught, 16).is_ok_and(|caught| caught & 1 << 14 != 0))
}

/// The manifests of checkpoints that are there.
fn manifests(place: &Place) -> Vec<String> {
    let files = fs::read_dir(place.path("checkpoints")).into_iter().flatten().flatten();
    let mut names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("epoch-") && name.ends_with(".json"));
    names.sort();
    names
}

/// Starts the pipeline and kills it once so many checkpoints are there.
fn kill_with(place: &Place, checkpoints: usize) {
    let mut command = place.command(&["run", "--json", "--threads", "2", "q.sql"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| manifests(place).len() >= checkpoints);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts the pipeline and kills it after a while. True if it had ended before.
fn kill_after(place: &Place, pause: Duration, threads: &str, signal: &str) -> bool {
    let mut command = place.command(&["run", "--json", "--threads", threads, "q.sql"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(pause);
    if signal == "-TERM" {
        wait_for(|| listens(child.id()));
    }
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    let status = child.wait().unwrap();
    if signal == "-TERM" {
        assert!(status.success(), "a run that is asked to stop ends well");
    }
    kill.is_ok() && status.success()
}

fn calm() -> (String, Vec<String>) {
    let place = Place::new();
    place.write("q.sql", PIPELINE);
    let ran = run(&place, &[]);
    ran.says(0, &[]);
    let rows = seen(&place);
    assert!(rows.len() > 50_000 && rows.iter().any(|row| row.starts_with("letters")), "{}", rows.len());
    (said(&ran), rows)
}

#[test]
fn whenever_a_run_is_killed_the_next_one_goes_on() {
    let (digests, rows) = calm();
    for seed in 0..2_u64 {
        let place = Place::new();
        place.write("q.sql", PIPELINE);
        let mut dice = seed + 77;
        let mut ended = false;
        for kill in 0..12 {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let pause = Duration::from_millis(20 + (dice >> 33) % 160);
            let threads = if kill % 2 == 0 { "2" } else { "1" };
            // Now and then politely: it drains, keeps a checkpoint and ends with 0.
            let signal = if kill % 5 == 4 { "-TERM" } else { "-KILL" };
            ended |= kill_after(&place, pause, threads, signal) && signal == "-KILL";
        }
        let ran = run(&place, &[]);
        ran.says(0, &[]);
        assert_eq!(said(&ran), digests, "seed {seed}, ended before: {ended}");
        assert_eq!(seen(&place), rows, "seed {seed}");
        // The history is one run, and gives the same once more.
        place.pelton(&["verify", "q.sql"]).says(0, &[]);
        // Once more there is nothing to do, and nothing changes.
        let again = run(&place, &[]);
        again.says(0, &["nothing is left to do"]);
        assert_eq!((said(&again), seen(&place)), (digests.clone(), rows.clone()));
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_loudly() {
    let (digests, rows) = calm();
    let place = Place::new();
    place.write("q.sql", PIPELINE);
    kill_with(&place, 2);
    let newest = manifests(&place).pop().expect("it was waited for");
    let manifest = place.path("checkpoints").join(newest);
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, &bytes[..bytes.len() / 2]).unwrap();
    let ran = run(&place, &[]);
    ran.says(0, &["can not be used", "going on from checkpoint"]);
    assert_eq!((said(&ran), seen(&place)), (digests, rows));
}

#[test]
fn savepoints_stay_and_can_be_gone_back_to() {
    let place = Place::new();
    place.write("q.sql", PIPELINE.replace("'out/session.parquet'", "'out/session'"));
    kill_after(&place, Duration::from_millis(300), "2", "-TERM");
    place.pelton(&["checkpoints", "create", "q.sql", "--name", "before"]).says(0, &[]);
    let first = run(&place, &[]);
    first.says(0, &[]);
    let list = place.pelton(&["checkpoints", "ls", "--json", "checkpoints"]).json();
    let list = list["checkpoints"].as_array().unwrap().clone();
    assert!(list.iter().any(|one| one["kind"] == "savepoint" && one["name"] == "before"), "{list:?}");
    assert!(list.iter().any(|one| one["ended"] == true), "{list:?}");
    place.pelton(&["checkpoints", "verify", "checkpoints"]).says(0, &[]);
    let rows = seen(&place);
    let again = run(&place, &["--restore", "before"]);
    again.says(0, &["as asked"]);
    assert_eq!((said(&again), seen(&place)), (said(&first), rows));
    // The parts of a single file go with the end of the input.
    let file = Place::new();
    file.write("q.sql", PIPELINE);
    kill_after(&file, Duration::from_millis(300), "2", "-TERM");
    file.pelton(&["checkpoints", "create", "q.sql", "--name", "before"]).says(0, &[]);
    run(&file, &[]).says(0, &[]);
    run(&file, &["--restore", "before"]).says(2, &["a part of 'out/session.parquet'", "give a directory"]);
    place.pelton(&["checkpoints", "rm", "q.sql", "--which", "before"]).says(0, &[]);
    place.pelton(&["run", "--restore", "before", "q.sql"]).says(2, &["there is no checkpoint or savepoint 'before'"]);
}

#[test]
fn a_changed_query_keeps_its_state_or_is_refused() {
    let place = Place::new();
    place.write("q.sql", PIPELINE);
    kill_after(&place, Duration::from_millis(300), "2", "-TERM");
    // Another window is another state.
    place.write(
        "q.sql",
        PIPELINE.replace("TUMBLE(pay, at, INTERVAL '1' MINUTE)", "TUMBLE(pay, at, INTERVAL '2' MINUTE)"),
    );
    run(&place, &[]).says(2, &["the checkpoint has state of windows TUMBLE", "--allow-dropped-state"]);
    // Another aggregate over the same window is another state, too.
    place.write("q.sql", PIPELINE.replace("COUNT(*) AS n, SUM(amount) AS s", "COUNT(*) AS n, AVG(id) AS s"));
    run(&place, &[]).says(2, &["the state of windows TUMBLE", "was kept as"]);
    // And so is another argument of the same type.
    place.write("q.sql", PIPELINE.replace("SUM(amount) AS s", "SUM(2 * amount) AS s"));
    run(&place, &[]).says(2, &["the state of windows TUMBLE", "pay.amount"]);
    place.write("q.sql", PIPELINE.replace("MAX(amount) AS m", "MAX(amount - 1) AS m"));
    run(&place, &[]).says(2, &["the state of windows HOP"]);
    // What passes a filter behind the state may change.
    place.write("q.sql", PIPELINE.replace("WHERE card = 7", "WHERE card = 8"));
    run(&place, &[]).says(0, &[]);
    // One that runs keeps others away.
    let other = Place::new();
    other.write("q.sql", PIPELINE);
    let mut running = other.command(&["run", "--json", "q.sql"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(250));
    run(&other, &[]).says(2, &["another process runs a pipeline with its checkpoints in checkpoints"]);
    running.kill().unwrap();
    running.wait().unwrap();
}

/// Files come while runs are killed; those whose rows can be seen are taken away. Each row is seen once.
#[test]
fn files_of_a_watched_directory_are_read_once() {
    const ROWS: i64 = 500;
    let place = Place::new();
    place.write(
        "q.sql",
        "SET 'pelton.checkpoint.dir' = 'checkpoints'; SET 'pelton.checkpoint.interval' = '10ms';
         CREATE TABLE files (id BIGINT, name STRING METADATA FROM 'file.name') WITH ('connector' = 'filesystem', 'path' = 'in',
          'format' = 'csv', 'source.monitor-interval' = '5ms');
         CREATE TABLE kept WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv') AS SELECT id, name FROM files;",
    );
    fs::create_dir(place.path("in")).unwrap();
    let put = |file: i64| {
        let lines: String = (file * ROWS..(file + 1) * ROWS).map(|id| format!("{id}\n")).collect();
        fs::write(place.path(&format!("in/.{file}")), format!("id\n{lines}")).unwrap();
        // Not in the order of their names.
        fs::rename(place.path(&format!("in/.{file}")), place.path(&format!("in/{:03}.csv", (file * 37) % 100)))
            .unwrap();
    };
    let seen = || -> Vec<(i64, String)> {
        let files = place.files(&["checkpoints", "in", "q.sql"]);
        let texts = files.iter().filter(|f| !f.contains("/.")).map(|f| fs::read_to_string(place.path(f)).unwrap());
        let rows = texts.flat_map(|text| text.lines().skip(1).map(str::to_string).collect::<Vec<_>>());
        let parsed =
            rows.map(|row| row.split_once(',').map(|(id, name)| (id.parse().unwrap(), name.to_string())).unwrap());
        parsed.collect()
    };
    let mut next = 0;
    for life in 0..10_u64 {
        let mut command = place.command(&["run", "--json", "q.sql"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..4 {
            put(next);
            next += 1;
            std::thread::sleep(Duration::from_millis(5 + (life * 13) % 40));
        }
        let signal = if life % 4 == 3 { "-TERM" } else { "-KILL" };
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
        for (_, name) in seen().iter().step_by(7 * ROWS as usize) {
            // All of its rows are there? Then it may go.
            if seen().iter().filter(|(_, other)| other == name).count() == ROWS as usize {
                let _ = fs::remove_file(place.path(&format!("in/{name}")));
            }
        }
    }
    let mut command = place.command(&["run", "--json", "q.sql"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = std::time::Instant::now();
    while seen().len() < (next * ROWS) as usize && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have had nothing to do, and listens to signals once it has begun.
    std::thread::sleep(Duration::from_millis(500));
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut ids: Vec<i64> = seen().into_iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..next * ROWS).collect::<Vec<_>>());
}

/// Payments and labels in one stream, whose rows are answered in the order of arrival.
const ARRIVAL: &str = "\
SET 'pelton.over.mode' = 'arrival';
CREATE TABLE pay (id BIGINT, card BIGINT, amount DOUBLE, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '5' SECOND)
WITH ('connector' = 'datagen', 'number-of-rows' = '120000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
 'fields.card.min' = '0', 'fields.card.max' = '50', 'fields.amount.min' = '0', 'fields.amount.max' = '90',
 'fields.at.kind' = 'sequence', 'fields.at.step' = '5ms', 'fields.at.max-past' = '3s', 'history.path' = 'pay', 'rows-per-second' = '120000');
CREATE TABLE labels (id BIGINT, card BIGINT, fraud BOOLEAN, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '5' SECOND)
WITH ('connector' = 'datagen', 'number-of-rows' = '120000', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
 'fields.card.min' = '0', 'fields.card.max' = '50',
 'fields.at.kind' = 'sequence', 'fields.at.step' = '5ms', 'fields.at.max-past' = '3s', 'history.path' = 'labels', 'rows-per-second' = '120000');
CREATE TABLE out_ WITH ('connector' = 'filesystem', 'path' = 'out/rows', 'format' = 'json') AS
SELECT id, n, s, d, f, before FROM (
 SELECT id, fraud, COUNT(*) OVER minute AS n, SUM(amount) OVER minute AS s, MAX(amount) OVER minute AS d,
  COUNT(*) FILTER (WHERE fraud) OVER minute AS f, LAG(id) OVER (PARTITION BY card ORDER BY at) AS before
 FROM (SELECT id, card, amount, FALSE AS fraud, at FROM pay UNION ALL SELECT id, card, NULL AS amount, fraud, at FROM labels)
 WINDOW minute AS (PARTITION BY card ORDER BY at RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW));
";

/// The order in which two tables came is kept, and repeated with other threads and batches.
#[test]
fn what_was_answered_in_the_order_of_arrival_is_repeated() {
    let repeats = |place: &Place| {
        place.pelton(&["verify", "--threads", "1", "q.sql"]).says(0, &[]);
        place.pelton(&["verify", "--threads", "3", "--set", "pelton.batch.rows-max=1000", "q.sql"]).says(0, &[]);
    };
    let place = Place::new();
    place.write("q.sql", ARRIVAL);
    let ran = place.pelton(&["run", "--json", "--threads", "3", "--set", "pelton.batch.delay-max=3ms", "q.sql"]);
    assert_eq!(ran.says(0, &[]).json()["rows_out"], 240_000);
    repeats(&place);

    let place = Place::new();
    place.write(
        "q.sql",
        format!("SET 'pelton.checkpoint.dir' = 'checkpoints'; SET 'pelton.checkpoint.interval' = '15ms'; {ARRIVAL}"),
    );
    for pause in [250, 400] {
        kill_after(&place, Duration::from_millis(pause), "3", "-KILL");
    }
    assert_eq!(run(&place, &[]).says(0, &[]).json()["rows_out"], 240_000);
    repeats(&place);
}

#[test]
fn what_has_no_order_of_arrival_is_refused() {
    let place = Place::new();
    let refused = |sql: &str, want: &[&str]| {
        let tables = &ARRIVAL[..ARRIVAL.find("CREATE TABLE out_").unwrap()];
        place.sql(&format!("{tables}{sql}")).says(2, want);
    };
    refused(
        "SELECT card, SUM(n) OVER (PARTITION BY card ORDER BY window_time ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS m FROM (
         SELECT card, window_time, COUNT(*) AS n FROM TUMBLE(pay, at, INTERVAL '1' MINUTE) GROUP BY card, window_start, window_end, window_time);",
        &["there is no order of arrival among them", "leave it at 'event-time'"],
    );
    // Nothing says how the rows of a table without a history came.
    let text = ARRIVAL.replace(", 'history.path' = 'labels'", "").replace("120000", "1000");
    place.write("q.sql", text);
    place.pelton(&["run", "q.sql"]).says(0, &[]);
    place.pelton(&["verify", "q.sql"]).says(2, &["labels keeps no history", "nothing says when its rows came"]);
}
