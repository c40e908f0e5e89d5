//! Every command, as it is typed.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, parquet, parquet_groups, payments, ran};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Payments with a history, counted per ten seconds.
const WINDOWS: &str = "\
CREATE TABLE payments (id BIGINT, name STRING, at TIMESTAMP(3), WATERMARK FOR at AS at)
WITH ('connector' = 'filesystem', 'path' = 'in.parquet', 'history.path' = 'history');
CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet', 'sink.mode' = 'overwrite') AS
SELECT window_end, COUNT(*) AS n, SUM(id) AS s FROM TUMBLE(payments, at, INTERVAL '10' SECOND)
GROUP BY window_start, window_end;
";

fn with_windows() -> Place {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 25)));
    place.sql(WINDOWS).says(0, &[]);
    place
}

const WINDOW_ROWS: [&str; 3] = ["2024-01-01T00:00:10|10|45", "2024-01-01T00:00:20|10|145", "2024-01-01T00:00:30|5|110"];

#[test]
fn run_json_has_its_shape() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 25)));
    let ran = place.sql(WINDOWS);
    let json = ran.json();
    for key in ["rows_in", "rows_out", "late", "dead_letters", "batches"] {
        assert!(json[key].is_u64(), "{key} in {json}");
    }
    for key in ["seconds", "rows_per_second"] {
        assert!(json[key].as_f64().unwrap() > 0.0, "{key} in {json}");
    }
    for key in ["p50_us", "p99_us"] {
        assert!(json[key].is_u64(), "{key} in {json}");
    }
    let counts = ["rows_in", "rows_out", "late", "dead_letters"].map(|k| json[k].as_u64().unwrap());
    assert_eq!(counts, [25, 3, 0, 0]);
    let digest = json["digests"]["result"].as_str().unwrap();
    assert!(digest.ends_with(":3") && digest.len() == 34, "{digest}");
    assert_eq!((json["ended"].as_bool(), json["broken"].as_array().unwrap().len()), (Some(true), 0));
    assert_eq!(place.rows("out.parquet"), WINDOW_ROWS);
    assert_eq!(ran.err, "", "nothing but the answer, in a pipe with --json");
}

#[test]
fn the_same_answer_however_it_is_run() {
    let place = with_windows();
    let digest =
        |args: &[&str]| place.pelton(&[&["run", "--json", "q.sql"], args].concat()).json()["digests"]["result"].clone();
    let first = digest(&[]);
    for args in [
        &["--threads", "1"][..],
        &["--batch-rows", "3"],
        &["--device", "cpu"],
        &["--set", "pelton.batch.rows-max=7", "--threads", "2"],
    ] {
        assert_eq!(digest(args), first, "{args:?}");
    }
}

#[test]
fn bare_selects_print_tables() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 3)));
    let ran = place.pelton(&[
        "run",
        "-e",
        "CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = 'in.parquet'); SELECT id, name FROM t WHERE id > 0 ORDER BY id;",
    ]);
    ran.says(0, &["3 rows in, 2 out"]);
    let table = "+----+------+\n| id | name |\n+----+------+\n| 1  | n1   |\n| 2  | n2   |\n+----+------+\n";
    assert_eq!(ran.out, table);
    // Nothing is also an answer, and the JSON follows it.
    let ran = place.pelton(&["run", "--json", "-e", "SELECT 1 AS one, NULL AS two WHERE 1 = 0;"]);
    assert!(ran.out.starts_with("+-----+-----+\n| one | two |\n+-----+-----+\n+-----+-----+\n{"), "{}", ran.out);
    assert_eq!(ran.json()["rows_out"], 0);
}

#[test]
fn large_results_stream() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 50_000)));
    let sql = "CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = 'in.parquet'); SELECT id FROM t;";
    let ran = place.pelton(&["run", "-e", sql]);
    ran.says(0, &["50,000 out"]);
    assert_eq!(ran.out.lines().count(), 50_000 + 4);
    // A reader that has seen enough ends the run in good order.
    let script = format!("'{}' run -e \"{sql}\" | head -5; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_pelton"));
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(place.0.path());
    let ran = common::ran(bash);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 5), "{}", ran.err);
}

#[test]
fn explain_shows_the_plan() {
    let place = with_windows();
    let ran = place.pelton(&["explain", "q.sql"]);
    ran.says(0, &[]);
    assert!(ran.out.contains("TUMBLE") && ran.out.contains("payments") && ran.out.contains("result"), "{}", ran.out);
    let json = place.pelton(&["explain", "--json", "q.sql"]).json();
    assert_eq!(json["plan"].as_str().unwrap().trim(), ran.out.trim());
    // An EXPLAIN in a file prints, and runs nothing.
    place.write(
        "e.sql",
        WINDOWS.split("CREATE TABLE result").next().unwrap().to_string() + "EXPLAIN SELECT id FROM payments;",
    );
    let ran = place.pelton(&["run", "e.sql"]);
    ran.says(0, &["nothing to run"]);
    assert!(ran.out.contains("payments"), "{}", ran.out);
}

#[test]
fn explain_placement_says_where_and_why() {
    let place = with_windows();
    let explain = |args: &[&str], gpu: bool| {
        let mut command = place.command(&[&["explain"], args].concat());
        command.env("XDG_CACHE_HOME", place.path("cache"));
        if !gpu {
            command.env("VK_DRIVER_FILES", "none.json");
        }
        ran(command)
    };
    let plain = explain(&["--placement", "q.sql"], false);
    plain.says(0, &[]);
    let (stages, steps) = (plain.out.matches("rows a batch").count(), plain.out.matches("\n  on cpu: ").count());
    assert!(stages == 1 && steps > 0, "{}", plain.out);
    for word in ["TUMBLE", "aggregates [", "no GPU here: no GPU was found", "\n         1,000 ", "\n     1,000,000 "] {
        assert!(plain.out.contains(word), "{word} in {}", plain.out);
    }
    let kept = std::fs::read_to_string(place.path("cache/pelton/calibration.json")).unwrap();
    assert!(kept.contains("key_ns"), "{kept}");
    let json = explain(&["--placement", "--json", "q.sql"], false).json();
    let stage = json["placement"].as_array().unwrap().iter().find(|step| !step["typical"].is_null()).unwrap();
    assert!(stage["typical"][1]["rows"] == 65_536 && stage["typical"][1]["cpu_us"].as_f64().unwrap() > 0.0, "{stage}");
    assert_eq!((&stage["typical"][1]["device_us"], &stage["typical"][1]["choice"]), (&().into(), &"cpu".into()));
    assert_eq!(std::fs::read_to_string(place.path("cache/pelton/calibration.json")).unwrap(), kept, "measured once");
    // The same as a statement. With the processor named no GPU is looked for; with one found, all that stops it is said.
    let tables = WINDOWS.split("CREATE TABLE result").next().unwrap();
    let select = "SELECT window_start, COUNT(DISTINCT name) AS d, BOOL_AND(id > 3) AS s FROM TUMBLE(payments, at, \
                  INTERVAL '10' SECOND) GROUP BY window_start, window_end;";
    place.write("e.sql", format!("{tables}EXPLAIN PLACEMENT {select}"));
    let cpu = explain(&["--device", "cpu", "e.sql"], false);
    assert!(cpu.out.contains("- 'pelton.device' says so") && !cpu.out.contains("no GPU"), "{}", cpu.out);
    let stopped = explain(&["e.sql"], true);
    if stopped.out.contains("no GPU here") {
        assert!(std::env::var_os("CI").is_none(), "CI has a GPU, or lavapipe");
        eprintln!("not run: no GPU");
        return;
    }
    let stops = ["COUNT(DISTINCT name): DISTINCT needs a set", "): BOOL_AND is not", "'auto' takes NVIDIA GPUs"];
    for word in stops {
        assert!(stopped.out.contains(word), "{word} in {}", stopped.out);
    }
    let measured = explain(&["--placement", "q.sql"], true);
    assert!(measured.out.contains("bytes a row to wgpu:0") && !measured.out.contains("no GPU"), "{}", measured.out);
    assert!(std::fs::read_to_string(place.path("cache/pelton/calibration.json")).unwrap().contains("launch_us"));
}

#[test]
fn check_says_ok_or_where_not() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 25)));
    place.write("q.sql", WINDOWS);
    let ran = place.pelton(&["check", "q.sql"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "ok: 2 statements, 1 query\n"), "{}", ran.err);
    assert_eq!(place.files(&["in.parquet", "q.sql"]), Vec::<String>::new(), "nothing was opened for writing");
    assert_eq!(place.pelton(&["check", "--json", "q.sql"]).json()["queries"], 1);
    place.write("q.sql", WINDOWS.replace("SUM(id)", "SUM(ib)"));
    place.pelton(&["check", "q.sql"]).says(2, &["unknown column `ib`", "--> q.sql:4:39"]);
    place.write("q.sql", "CREATE TABLE t (id BIGINT) WITH ('connector' = 'datagen'\nSELECT 1;");
    place.pelton(&["check", "q.sql"]).says(2, &["--> q.sql:2:1", "SELECT"]);
}

#[test]
fn replay_gives_the_same_rows_elsewhere() {
    let place = with_windows();
    std::fs::remove_file(place.path("in.parquet")).unwrap();
    std::fs::remove_file(place.path("out.parquet")).unwrap();
    let ran = place.pelton(&["replay", "--json", "q.sql", "--into", "again", "--threads", "2"]);
    ran.says(0, &[]);
    assert_eq!(ran.json()["rows_in"], 25);
    assert_eq!(place.rows("again/result.parquet"), WINDOW_ROWS);
    assert!(!place.path("out.parquet").exists(), "the pipeline's own sink is not touched");
    let ran = place.pelton(&[
        "replay",
        "q.sql",
        "--into",
        "part",
        "--from",
        "2024-01-01 00:00:10",
        "--to",
        "2024-01-01 00:00:20",
    ]);
    ran.says(0, &["1 out", "the results are in 'part'"]);
    assert_eq!(place.rows("part/result.parquet"), [WINDOW_ROWS[1]]);
    place.pelton(&["replay", "q.sql", "--into", "part", "--from", "noon"]).says(2, &["wanted a time such as"]);
    place.pelton(&["replay", "q.sql", "--into", "q.sql"]).says(2, &["--into 'q.sql' is a file", "help: name a folder"]);
}

#[test]
fn generated_input_is_replayed_too() {
    let place = Place::new();
    place.write(
        "q.sql",
        "CREATE TABLE payments (event_time TIMESTAMP(3), card_id BIGINT, amount DOUBLE, WATERMARK FOR event_time AS event_time)\n\
         WITH ('connector' = 'fraud', 'days' = '2', 'payments-per-day' = '1000', 'seed' = '7', 'history.path' = 'history');\n\
         CREATE TABLE lines (card_id BIGINT, total DOUBLE) WITH ('connector' = 'print', 'standard-error' = 'true');\n\
         INSERT INTO lines SELECT card_id, SUM(amount) FROM TUMBLE(payments, event_time, INTERVAL '1' DAY)\n\
         GROUP BY card_id, window_start, window_end;",
    );
    place.pelton(&["run", "q.sql"]).says(0, &["lines> +I["]);
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
}

#[test]
fn verify_proves_and_finds_the_changed_segment() {
    let place = with_windows();
    let ran = place.pelton(&["verify", "q.sql"]);
    ran.says(0, &["everything is as it was"]);
    assert!(ran.out.starts_with("result  live ") && ran.out.trim_end().ends_with("  equal"), "{}", ran.out);
    let json = place.pelton(&["verify", "--json", "q.sql"]).json();
    assert_eq!((json["equal"].as_bool(), json["sinks"]["result"]["equal"].as_bool()), (Some(true), Some(true)));

    // One value of one row, in a segment that is otherwise as it was.
    let segment = "history/run-000001/p0000-000000000000.parquet";
    change_one_value(&place.path(segment));
    let ran = place.pelton(&["verify", "q.sql"]);
    ran.says(1, &["not everything is as it was"]);
    assert!(ran.out.contains("DIFFERENT"), "{}", ran.out);
    assert!(ran.out.contains("segment run-000001/p0000-000000000000.parquet of payments: "), "{}", ran.out);
    assert!(
        ran.out.contains("sink result: windows that end at 2024-01-01 00:00:20 are different"),
        "row 12 is in the second window\n{}",
        ran.out
    );
    let json = place.pelton(&["verify", "--json", "q.sql"]).json();
    assert_eq!(json["equal"], false);
    assert_eq!(json["segments"][0]["file"], "run-000001/p0000-000000000000.parquet");
    assert_eq!(json["windows"]["result"], serde_json::json!(["windows that end at 2024-01-01 00:00:20"]));

    // Another query is another question.
    place.write("q.sql", WINDOWS.replace("SUM(id)", "SUM(id + 1)"));
    place.pelton(&["verify", "q.sql"]).says(2, &["have changed since the last run"]);
}

fn change_one_value(path: &std::path::Path) {
    use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    let file = std::fs::File::open(path).unwrap();
    let batches: Vec<RecordBatch> =
        ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(|b| b.unwrap()).collect();
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let at = batch.schema().index_of("id").unwrap();
    let mut ids: Vec<Option<i64>> = batch.column(at).as_primitive::<Int64Type>().iter().collect();
    ids[12] = ids[12].map(|id| id + 1);
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    columns[at] = std::sync::Arc::new(Int64Array::from(ids));
    assert_eq!(columns[at].len(), 25);
    std::fs::write(path, parquet(&RecordBatch::try_new(batch.schema(), columns).unwrap())).unwrap();
}

#[test]
fn history_lists_runs() {
    let place = with_windows();
    place.sql(WINDOWS).says(0, &[]);
    for argument in ["history", "q.sql"] {
        let ran = place.pelton(&["history", "ls", argument]);
        ran.says(0, &[]);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!(lines.len(), 3, "{}", ran.out);
        assert!(
            lines[2].contains("run-000002") && lines[2].contains("payments") && lines[2].contains("end-of-input"),
            "{}",
            ran.out
        );
    }
    let json = place.pelton(&["history", "ls", "--json", "history"]).json();
    assert_eq!((json["runs"].as_array().unwrap().len(), json["runs"][0]["rows"].as_u64()), (2, Some(25)));
    let ran = place.pelton(&["history", "show", "history", "--run", "1"]);
    assert!(ran.out.contains("p0000-000000000000.parquet") && ran.out.contains("result"), "{}", ran.out);
    let json = place.pelton(&["history", "show", "--json", "history"]).json();
    assert_eq!((json["runs"][0]["run"].as_u64(), json["runs"][0]["segments"][0]["rows"].as_u64()), (Some(2), Some(25)));
    place.pelton(&["history", "ls", "nowhere"]).says(2, &["there is no history in 'nowhere'"]);
    place.write("empty/file", "");
    place.pelton(&["history", "ls", "empty"]).says(2, &["there is no history in 'empty'"]);
}

/// Two rows come too late, and one line is no JSON.
const LATE: &str = "\
SET 'dead-letters.path' = 'letters';
CREATE TABLE readings (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)
WITH ('connector' = 'filesystem', 'path' = 'in.json');
CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS
SELECT window_end, COUNT(*) AS n, SUM(id) AS s FROM TUMBLE(readings, at, INTERVAL '10' SECOND)
GROUP BY window_start, window_end;
";

fn with_letters() -> Place {
    let place = Place::new();
    let rows = [(1, 1), (2, 25), (3, 3), (4, 26), (5, 2), (6, 38)];
    let mut lines: Vec<String> =
        rows.iter().map(|(id, s)| format!("{{\"id\":{id},\"at\":\"2024-01-01 00:00:{s:02}\"}}\n")).collect();
    lines.insert(2, "{\"id\":7.5,\"at\":\"2024-01-01 00:00:04\"}\n".into());
    place.write("in.json", lines.concat());
    place.write("q.sql", LATE);
    let ran = place.pelton(&["run", "--threads", "1", "q.sql"]);
    ran.says(0, &["2 late", "3 dead letters", "pelton dead-letters ls letters"]);
    place
}

#[test]
fn dead_letters_are_listed_and_shown() {
    let place = with_letters();
    for argument in ["letters", "q.sql"] {
        let ran = place.pelton(&["dead-letters", "ls", argument]);
        ran.says(0, &[]);
        assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
        assert!(ran.out.contains("undecodable") && ran.out.contains("late"), "{}", ran.out);
    }
    let json = place.pelton(&["dead-letters", "ls", "--json", "letters"]).json();
    assert_eq!((json["total"].as_u64(), json["letters"].as_array().unwrap().len()), (Some(3), 2));
    let ran = place.pelton(&["dead-letters", "show", "letters", "--kind", "late", "--limit", "1"]);
    ran.says(0, &["there are more"]);
    assert!(ran.out.contains("readings partition 0 offset 3: late") && ran.out.contains("\"id\":3"), "{}", ran.out);
    let json = place.pelton(&["dead-letters", "show", "--json", "letters"]).json();
    let letters = json["letters"].as_array().unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().any(|l| l["bytes"].as_str().is_some_and(|b| b.contains("7.5"))), "{json}");
    assert!(letters.iter().any(|l| l["row"]["id"] == 5), "{json}");
    place.pelton(&["dead-letters", "show", "letters", "--kind", "lost"]).says(2, &["wanted undecodable, schema"]);
    place.pelton(&["dead-letters", "ls", "nowhere"]).says(2, &["there is no folder of dead letters in 'nowhere'"]);
}

#[test]
fn dead_letters_get_another_chance() {
    let place = with_letters();
    let out = std::fs::read(place.path("out.parquet")).unwrap();
    // The column is wider now, so that the line that did not decode does.
    place.write("q.sql", LATE.replace("id BIGINT", "id DOUBLE"));
    let ran = place.pelton(&["dead-letters", "reprocess", "--json", "q.sql", "--into", "again"]);
    ran.says(0, &[]);
    let json = ran.json();
    assert_eq!(
        (json["records"].as_u64(), json["late"].as_u64(), json["dead_letters"].as_u64()),
        (Some(3), Some(0), Some(0)),
        "{json}"
    );
    assert_eq!(place.rows("again/result.parquet"), ["2024-01-01T00:00:10|3|15.5"]);
    assert_eq!(std::fs::read(place.path("out.parquet")).unwrap(), out, "the live output is not touched");
    assert_eq!(place.pelton(&["dead-letters", "ls", "--json", "letters"]).json()["total"], 3, "nor the letters");
    assert_eq!(place.files(&["in.json", "q.sql", "letters", "out.parquet"]), ["again/result.parquet"]);
}

/// A row group that a `WHERE` refutes is not read, and its event times count all the same.
#[test]
fn a_row_group_is_skipped_with_its_watermark() {
    let place = Place::new();
    // The second group is an hour ahead and all of it is thrown away; after it the third one is late.
    let groups = [payments(0, 10), payments(3600, 10), payments(10, 5)];
    let bytes = parquet_groups(&groups);
    let sql = |path: &str, condition: &str, more: &str| {
        format!(
            "CREATE TABLE payments (id BIGINT, name STRING, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' MINUTE)\n\
             WITH ('connector' = 'filesystem', 'path' = '{path}'{more});\n\
             CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet', 'sink.mode' = 'overwrite') AS\n\
             SELECT window_end, COUNT(*) AS n, MAX(name) AS m FROM TUMBLE(payments, at, INTERVAL '10' SECOND) WHERE {condition}\n\
             GROUP BY window_start, window_end;"
        )
    };
    place.write("in.parquet", &bytes);
    // Spoilt so that reading it would be noticed.
    let file = std::fs::File::open(place.path("in.parquet")).unwrap();
    let chunk = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().row_group(1).column(1).byte_range();
    let mut spoilt = bytes;
    spoilt[chunk.0 as usize..(chunk.0 + chunk.1) as usize].fill(0xff);
    place.write("spoilt.parquet", &spoilt);
    let first = ["2024-01-01T00:00:10|10|n2"];
    for condition in ["id < 100", "100 > id AND name IS NOT NULL", "at < TIMESTAMP '2024-01-01 00:30:00'"] {
        for (path, more) in [("in.parquet", ""), ("in.parquet", ", 'history.path' = 'history'"), ("spoilt.parquet", "")]
        {
            let ran = place.sql(&sql(path, condition, more));
            ran.says(0, &[]);
            let json = ran.json();
            assert_eq!(
                (json["rows_in"].as_u64(), json["late"].as_u64()),
                (Some(25), Some(5)),
                "{condition} {path}{more}"
            );
            assert_eq!(place.rows("out.parquet"), first, "{condition} {path}{more}");
        }
    }
    // What could fail for a row, or is not decided by least and greatest values, is looked at.
    for condition in ["1000 / (id - 3605) < 10 AND id < 100", "id % 3600 < 10"] {
        place.sql(&sql("spoilt.parquet", condition, "")).says(1, &["is corrupt in row group 1"]);
    }
    place
        .sql(&sql("spoilt.parquet", "id < 100", ", 'history.path' = 'history2'"))
        .says(1, &["is corrupt in row group 1"]);
}

#[test]
fn dead_letters_of_computed_columns_can_be_read_again() {
    let place = Place::new();
    place.write("in.csv", "id,seconds,unused\n1,0,a\n2,30,b\n3,5,c\n4,oops,d\n");
    let sql = "\
SET 'dead-letters.path' = 'letters';
CREATE TABLE readings (id BIGINT, seconds STRING, unused STRING, at AS TO_TIMESTAMP_LTZ(CAST(seconds AS BIGINT), 0),
    WATERMARK FOR at AS at)
WITH ('connector' = 'filesystem', 'path' = 'in.csv');
CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS
SELECT window_end, SUM(id) AS s FROM TUMBLE(readings, at, INTERVAL '10' SECOND) GROUP BY window_start, window_end;
";
    place.write("q.sql", sql);
    place.pelton(&["run", "q.sql"]).says(0, &["1 late", "2 dead letters"]);
    let letters = place.pelton(&["dead-letters", "show", "--json", "letters"]).json();
    let late = letters["letters"].as_array().unwrap().iter().find(|l| l["kind"] == "late").unwrap();
    assert_eq!((&late["row"]["seconds"], &late["row"]["unused"]), (&"5".into(), &"c".into()), "{letters}");
    // The text now takes what it could not read, and a column that it did not look at.
    let sql = sql.replace("CAST(seconds AS BIGINT)", "COALESCE(TRY_CAST(seconds AS BIGINT), 9)");
    place.write("q.sql", sql.replace("SUM(id) AS s", "MAX(unused) AS s"));
    let json = place.pelton(&["dead-letters", "reprocess", "--json", "q.sql", "--into", "again"]).json();
    assert_eq!((json["records"].as_u64(), json["dead_letters"].as_u64()), (Some(2), Some(0)), "{json}");
    assert_eq!(place.rows("again/result.parquet"), ["1970-01-01T00:00:10Z|d"]);
}

#[test]
fn a_run_that_was_stopped_is_repeated() {
    let place = Place::new();
    // Two partitions, of which one is slower, and windows that close all the time.
    let rows = |first: i64| parquet(&payments(first, 4000));
    place.write("in/a.parquet", rows(0));
    place.write("in/b.parquet", rows(500));
    place.write(
        "q.sql",
        "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)\n\
         WITH ('connector' = 'filesystem', 'path' = 'in', 'scan.partitions' = 'file', 'history.path' = 'history',\n\
         'rows-per-second' = '4000', 'history.commit-interval' = '50ms');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT window_end, COUNT(*) AS n FROM TUMBLE(payments, at, INTERVAL '2' SECOND) GROUP BY window_start, window_end;",
    );
    let mut child = place.command(&["run", "--batch-rows", "16", "q.sql"]).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success());
    let live = place.rows("out.parquet");
    assert!(live.len() > 20 && live.len() < 2000, "{} windows", live.len());
    for threads in ["1", "2"] {
        for batch in ["1", "100", "100000"] {
            let ran = place.pelton(&["verify", "--threads", threads, "--batch-rows", batch, "q.sql"]);
            ran.says(0, &["everything is as it was"]);
        }
    }
    place.pelton(&["replay", "--into", "again", "q.sql"]).says(0, &[]);
    assert_eq!(place.rows("again/result.parquet"), live);
    place.pelton(&["replay", "--into", "again", "q.sql"]).says(2, &["already holds finished output"]);
    place.pelton(&["replay", "--into", "again", "--overwrite", "q.sql"]).says(0, &[]);
}

#[test]
fn every_processor_level_gives_one_digest() {
    let place = Place::new();
    place.write(
        "q.sql",
        "CREATE TABLE payments WITH ('connector' = 'fraud', 'cards' = '200', 'days' = '2');\n\
         CREATE TABLE kept WITH ('connector' = 'blackhole') AS SELECT * FROM payments WHERE amount > 20.5 AND card_id < 150;\n\
         CREATE TABLE sums WITH ('connector' = 'blackhole') AS SELECT terminal_id, SUM(amount) AS s, AVG(amount * 1.1) AS a,\n\
         STDDEV_SAMP(amount) AS d, COUNT(*) AS n FROM payments WHERE amount >= 3 AND card_id <> 7 GROUP BY terminal_id;",
    );
    let digests = |level: &str| {
        let mut command = place.command(&["run", "--json", "q.sql"]);
        command.env("PELTON_CPU", level);
        let json = ran(command).json();
        assert!(json["rows_in"].as_u64() > Some(1000), "{json}");
        json["digests"].clone()
    };
    let reference = digests("scalar");
    assert_eq!(digests("avx2"), reference);
    assert_eq!(digests("avx512"), reference);
}

#[test]
fn sliding_windows_are_those_merged_anew() {
    let place = Place::new();
    // A filter on a bound makes a row per window, which knows nothing of panes.
    let hop = |name: &str, filter: &str| {
        format!(
            "CREATE TABLE {name} WITH ('connector' = 'blackhole') AS SELECT terminal_id, window_start, window_end,\n\
             COUNT(*) AS n, COUNT(odd) AS o, SUM(amount) AS s, AVG(odd) AS a, SUM(card_id) AS i\n\
             FROM HOP(payments, event_time, INTERVAL '1' HOUR, INTERVAL '12' HOUR) {filter}\n\
             GROUP BY terminal_id, window_start, window_end;\n"
        )
    };
    for odd in ["NULLIF(amount, 7.5)", "CASE WHEN card_id = 3 THEN CAST('NaN' AS DOUBLE) ELSE amount END"] {
        let source = "CREATE VIEW payments AS SELECT *, ODD AS odd FROM raw;\n".replace("ODD", odd);
        let table = "CREATE TABLE raw (WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND)\n\
             WITH ('connector' = 'fraud', 'cards' = '60', 'days' = '5');\n";
        let filter = "WHERE window_end > TIMESTAMP '1970-01-01 00:00:00'";
        place.write("q.sql", format!("{table}{source}{}{}", hop("slid", ""), hop("anew", filter)));
        let json = place.pelton(&["run", "--json", "--threads", "2", "--batch-rows", "500", "q.sql"]).json();
        let digests = &json["digests"];
        assert!(json["rows_out"].as_u64() > Some(1000), "{json}");
        assert_eq!(digests["slid"], digests["anew"], "{odd}: {json}");
    }
}

#[test]
fn a_profile_says_where_the_time_went() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 25)));
    place.write("q.sql", WINDOWS);
    let ran = place.pelton(&["run", "--profile", "q.sql"]);
    ran.says(0, &["worker seconds", "Decode", "WindowAggregate TUMBLE", "rows/s"]);
    let json = place.pelton(&["run", "--profile", "--json", "q.sql"]).json();
    assert!(json["profile"].as_array().unwrap().iter().any(|p| p["part"] == "Decode" && p["rows"] == 25), "{json}");
}

#[test]
fn keeping_changes_no_answer() {
    let place = Place::new();
    place.write("in.json", "{\"a\":1,\"s\":\"x\"}\n{\"a\":\"seven\",\"s\":\"y\"}\n{\"a\":3,\"s\":\"z\"}\n");
    let sql = |more: &str| {
        format!(
            "CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'filesystem', 'path' = 'in.json'{more});\n\
             SELECT COUNT(*) AS n, MAX(s) AS s FROM t;"
        )
    };
    place.write("q.sql", sql(""));
    let plain = place.pelton(&["run", "--json", "q.sql"]).json();
    assert_eq!((plain["rows_in"].as_u64(), plain["dead_letters"].as_u64()), (Some(3), Some(0)));
    assert_eq!(
        place.pelton(&["run", "--json", "--set", "dead-letters.path=d", "q.sql"]).json()["digests"],
        plain["digests"]
    );
    place.write("q.sql", sql(", 'history.path' = 'h'"));
    assert_eq!(place.pelton(&["run", "--json", "q.sql"]).json()["digests"], plain["digests"]);
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
}

#[test]
fn what_a_killed_run_has_staged_goes() {
    let place = Place::new();
    place.write(".pelton-staging-out.json-4194304-0", "half");
    place.write(".pelton-staging-other.json-4194304-0", "another's");
    place.sql("CREATE TABLE o WITH ('connector' = 'filesystem', 'path' = 'out.json') AS SELECT 1 AS a;").says(0, &[]);
    assert_eq!(place.files(&["q.sql"]), [".pelton-staging-other.json-4194304-0", "out.json"]);
    let two = "CREATE TABLE a WITH ('connector' = 'filesystem', 'path' = 'x/y.json') AS SELECT 1 AS a;\n\
               CREATE TABLE b WITH ('connector' = 'filesystem', 'path' = './x/y.json') AS SELECT 2 AS a;";
    place.sql(two).says(2, &["another table of this run writes into './x/y.json' too"]);
    assert!(!place.path("x/y.json").exists());
}

#[test]
fn old_segments_of_a_history_go() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 25)));
    let sql = WINDOWS.replace("'history'", "'history', 'history.retention' = '1 d'");
    place.sql(&sql).says(0, &[]);
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
    let manifest = place.path("history/run-000001/manifest.json");
    let mut content: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    content["segments"][0]["sealed_ms"] = 1_600_000_000_000_u64.into();
    std::fs::write(&manifest, content.to_string()).unwrap();
    place.sql(&sql).says(0, &[]);
    let segment = |run: u32| place.path(&format!("history/run-{run:06}/p0000-000000000000.parquet")).exists();
    assert_eq!((segment(1), segment(2)), (false, true));
    let shown = place.pelton(&["history", "show", "--run", "1", "history"]);
    assert!(shown.out.contains("p0000-000000000000.parquet (expired)"), "{}", shown.out);
    std::fs::remove_dir_all(place.path("history/run-000002")).unwrap();
    place.pelton(&["verify", "q.sql"]).says(1, &["1 segments of the last run of payments were removed"]);
}

#[test]
fn check_knows_the_options_of_every_connector() {
    let place = Place::new();
    for (connector, option) in [
        ("'connector' = 'datagen', 'number-of-rows' = '1', 'fields.id.mni' = '3'", "'fields.id.mni'"),
        ("'connector' = 'filesystem', 'path' = 'not-there.parquet', 'formt' = 'parquet'", "did you mean 'format'?"),
        ("'connector' = 'stdin', 'format' = 'json', 'scan.bouned' = 'true'", "did you mean 'scan.bounded'?"),
        ("'connector' = 'datagen', 'number-of-rows' = '1', 'row-per-second' = '3'", "did you mean 'rows-per-second'?"),
    ] {
        place.write("q.sql", format!("CREATE TABLE t (id BIGINT) WITH ({connector}); SELECT id FROM t;"));
        place.pelton(&["check", "q.sql"]).says(2, &["unknown option", option]);
    }
    place.write("q.sql", "CREATE TABLE t WITH ('connector' = 'print', 'print-identifer' = 'x') AS SELECT 1 AS id;");
    place.pelton(&["check", "q.sql"]).says(2, &["did you mean 'print-identifier'?"]);
}

#[test]
fn sql_comes_from_a_pipe() {
    let place = Place::new();
    let piped = |args: &[&str], text: &str| {
        let mut child =
            place.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, out, err) = piped(&["run", "-"], "SELECT 1 + 1 AS two;");
    assert_eq!((code, out.as_str()), (Some(0), "+-----+\n| two |\n+-----+\n| 2   |\n+-----+\n"), "{err}");
    let (code, _, err) = piped(&["run", "-"], "SELECT one;");
    assert!(code == Some(2) && err.contains("--> <stdin>:1:8"), "{err}");

    // Rows come from a pipe, as well.
    place.write(
        "lines.sql",
        "CREATE TABLE lines (id BIGINT, name STRING) WITH ('connector' = 'stdin', 'format' = 'json'); SELECT name, id * 2 AS twice FROM lines;",
    );
    let (code, out, err) = piped(&["run", "lines.sql"], "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":\"b\"}\n");
    assert!(code == Some(0) && out.contains("| a    | 2     |\n") && out.contains("| b    | 4     |\n"), "{out}{err}");

    // The shell, too.
    let script = "CREATE TABLE t (id BIGINT) WITH ('connector' = 'datagen',\n 'number-of-rows' = '5');\n\\d\n\\d t\nSELECT COUNT(*) AS n\nFROM t;\n";
    let (code, out, err) = piped(&["sql", "--json"], script);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("| n |")
            && out.contains("| 5 |")
            && out.contains("datagen")
            && out.contains("'number-of-rows' = '5'"),
        "{out}"
    );
    assert!(out.trim_end().ends_with("{\"statements\":2,\"errors\":0,\"exit_code\":0}"), "{out}");
    let (code, out, err) = piped(&["sql", "--json"], "SELECT nothing;\nSELECT 1;\n");
    assert!(code == Some(2) && err.contains("unknown column `nothing`"), "{err}");
    assert!(out.contains("\"errors\":1"), "{out}");
}

#[test]
fn ctrl_c_drains_and_commits() {
    let place = Place::new();
    place.write(
        "q.sql",
        "CREATE TABLE numbers (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000', 'history.path' = 'history');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS SELECT id FROM numbers;",
    );
    for signal in ["-INT", "-TERM"] {
        let _ = std::fs::remove_file(place.path("out.parquet"));
        let child =
            place.command(&["run", "--json", "q.sql"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        let killed = Command::new("bash").args(["-c", &format!("kill {signal} {}", child.id())]).status().unwrap();
        assert!(killed.success());
        let asked = Instant::now();
        let done = child.wait_with_output().unwrap();
        let ran = common::Ran {
            code: done.status.code().unwrap_or(-1),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        };
        ran.says(0, &["stopping"]);
        assert!(asked.elapsed() < Duration::from_secs(10));
        let json = ran.json();
        let rows = place.rows("out.parquet").len() as u64;
        assert!(rows > 0 && json["rows_out"] == rows && json["ended"] == false, "{rows} rows, {json}");
    }
    let json = place.pelton(&["history", "ls", "--json", "history"]).json();
    assert_eq!((json["runs"].as_array().unwrap().len(), json["runs"][1]["ended"].as_str()), (2, Some("stopped")));
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
}

#[test]
fn the_machine_is_described() {
    let place = Place::new();
    let json = place.pelton(&["devices", "--json"]).json();
    assert_eq!(json["devices"][0]["device"], "cpu");
    let nvidia = json["devices"].as_array().unwrap().iter().any(|device| device["back_end"] == "cuda");
    assert_eq!(json["no_nvidia_gpu"].is_null(), nvidia, "either there is one, or why there is none: {json}");
    let listed = place.pelton(&["devices"]);
    assert_eq!(listed.says(0, &[]).out.contains("no NVIDIA GPU: "), !nvidia, "{}", listed.out);
    let checked = place.pelton(&["doctor", "--json"]);
    assert_eq!((checked.code, checked.json()["ok"].as_bool()), (0, Some(true)), "{}", checked.out);
    let text = place.pelton(&["doctor"]).out;
    for word in ["libcuda", "libnvrtc", "CUDA kernels", "libvulkan", "memory", "temporary folder", "cpu"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    // Kernels that were compiled before are counted, wherever the cache is.
    place.write("cache/pelton/cubin/one-13.0.cubin", "");
    place.write("cache/pelton/cubin/two-13.0.cubin.4711", "");
    let cache = place.path("cache");
    let mut doctor = place.command(&["doctor"]);
    doctor.env("XDG_CACHE_HOME", &cache);
    let told = ran(doctor);
    assert!(told.says(0, &[]).out.contains(&format!("1 kept in {}/pelton/cubin", cache.display())), "{}", told.out);
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(place.files(&[]), Vec::<String>::new());
}

#[test]
fn a_gpu_is_asked_for_by_name() {
    let place = Place::new();
    let numbers = "CREATE TABLE t (id BIGINT, x DOUBLE, name STRING) WITH ('connector' = 'datagen', 'number-of-rows' = '5000',\n\
                   'fields.id.min' = '0', 'fields.id.max' = '9', 'fields.name.length' = '1');\n";
    let grouped = "SELECT id, name, COUNT(*) AS n, SUM(x) AS s, AVG(x) AS a, MIN(id) AS l, MAX(x) AS m, VAR_POP(x) AS v FROM t GROUP BY id, name;";
    place.write("good.sql", format!("{numbers}CREATE TABLE r WITH ('connector' = 'blackhole') AS {grouped}"));
    let bad = "SELECT COUNT(DISTINCT x) AS d, BOOL_AND(x > 3) AS s, SUM(x) AS sum FROM t;\n\
               SELECT id, MAX(name) AS m FROM t GROUP BY id;";
    place.write("bad.sql", format!("{numbers}{bad}"));
    let on = |device: &str, file: &str| place.pelton(&["run", "--json", "--device", device, file]);
    // A driver that is not there: as if no GPU were.
    let none =
        place.command(&["check", "--device", "wgpu", "good.sql"]).env("VK_DRIVER_FILES", "none.json").output().unwrap();
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(
        none.status.code() == Some(1) && told.contains("no GPU was found") && told.contains("libvulkan1"),
        "{told}"
    );
    let devices = place.pelton(&["devices", "--json"]).json();
    match devices["no_nvidia_gpu"].as_str() {
        Some(why) => {
            let said = on("cuda", "good.sql");
            said.says(1, &["'pelton.device' = 'cuda'", why, "pelton doctor"]);
        }
        None => {
            let (cpu, gpu) = (on("cpu", "good.sql"), on("cuda", "good.sql"));
            assert_eq!(cpu.says(0, &[]).json()["digests"], gpu.says(0, &[]).json()["digests"]);
        }
    }
    if !devices["devices"].as_array().unwrap().iter().any(|device| device["device"] == "wgpu:0") {
        assert!(std::env::var_os("CI").is_none(), "CI has a GPU, or lavapipe");
        eprintln!("not run: no GPU");
        return;
    }
    let (cpu, gpu) = (on("cpu", "good.sql"), on("wgpu", "good.sql"));
    assert_eq!(cpu.says(0, &[]).json()["digests"], gpu.says(0, &[]).json()["digests"]);
    on("wgpu", "bad.sql").says(
        2,
        &[
            "count(DISTINCT t.x): DISTINCT needs a set",
            "BOOL_AND is not computed there",
            "max(t.name): MAX of Utf8",
            "'auto'",
        ],
    );
    place.pelton(&["run", "--device", "auto", "bad.sql"]).says(0, &[]);
    let plan = place.pelton(&["explain", "--device", "wgpu", "good.sql"]).out;
    assert!(plan.contains("on=wgpu:0"), "{plan}");
}

#[test]
fn bench_speaks_the_worker_protocol() {
    use arrow::ipc::writer::FileWriter;
    let place = Place::new();
    let mut file =
        FileWriter::try_new(std::fs::File::create(place.path("mem.arrow")).unwrap(), &payments(0, 1).schema()).unwrap();
    file.write(&payments(0, 25)).unwrap();
    file.write(&payments(25, 25)).unwrap();
    file.write(&payments(50, 25)).unwrap();
    file.finish().unwrap();
    place.write(
        "queries/count.sql",
        "CREATE TABLE p (id BIGINT, name STRING, at TIMESTAMP(3), WATERMARK FOR at AS at) WITH (${SOURCE_p});\n\
         CREATE TABLE result WITH (${SINK}) AS\n\
         SELECT window_start AS w, name, COUNT(*) AS n, SUM(id) AS s FROM TUMBLE(p, at, INTERVAL '10' SECOND)\n\
         GROUP BY window_start, window_end, name;",
    );
    let mut child = place
        .command(&["bench", "--worker", "--queries", "queries"])
        .env("PEERS_THREADS", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let table =
        format!("{{\"p\": {{\"mem\": \"{}\", \"batches\": 2, \"rows\": 50}}}}", place.path("mem.arrow").display());
    let messages = [
        format!("{{\"op\": \"run\", \"q\": \"count\", \"src\": \"mem\", \"verify\": true, \"tables\": {table}}}"),
        format!("{{\"op\": \"run\", \"q\": \"count\", \"src\": \"mem\", \"verify\": false, \"tables\": {table}}}"),
        format!(
            "{{\"op\": \"micro\", \"q\": \"count\", \"batch\": 10, \"max_rows\": 0, \"verify\": true, \"tables\": {table}}}"
        ),
        format!(
            "{{\"op\": \"micro\", \"q\": \"count\", \"batch\": 10, \"max_rows\": 20, \"verify\": true, \"tables\": {table}}}"
        ),
        "{\"op\": \"run\", \"q\": \"nothing\", \"tables\": {}}".to_string(),
        "{\"op\": \"quit\"}".to_string(),
    ];
    child.stdin.take().unwrap().write_all((messages.join("\n") + "\n").as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    let replies: Vec<serde_json::Value> =
        String::from_utf8(done.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(replies.len(), 6, "{replies:?}");
    assert_eq!(replies[0], serde_json::json!({ "ok": true, "peer": "pelton", "version": env!("CARGO_PKG_VERSION") }));
    let w = (0..5).map(|i| 3.0 * (1_704_067_200_000u64 + 10_000 * i) as f64).sum::<f64>();
    let digest = serde_json::json!({ "rows": 15, "w": w, "n": 50.0, "s": 1225.0 });
    assert_eq!((&replies[1]["rows_out"], &replies[1]["digest"]), (&15.into(), &digest), "{}", replies[1]);
    assert!(replies[1]["wall"].as_f64().unwrap() > 0.0 && replies[1]["cpu"].as_f64().unwrap() >= 0.0);
    assert!(replies[2]["digest"].is_null(), "{}", replies[2]);
    assert_eq!(
        (&replies[3]["digest"], &replies[3]["rows"], &replies[3]["batches"]),
        (&digest, &50.into(), &6.into()),
        "{}",
        replies[3]
    );
    let [p50, p99, max] = ["p50", "p99", "max"].map(|k| replies[3][k].as_f64().unwrap());
    assert!(
        0.0 < p50 && p50 <= p99 && p99 <= max && max < 1000.0 * replies[3]["wall"].as_f64().unwrap(),
        "{}",
        replies[3]
    );
    assert_eq!((&replies[4]["rows"], &replies[4]["batches"]), (&20.into(), &2.into()), "{}", replies[4]);
    assert_eq!(replies[5], serde_json::json!({ "ok": false, "err": "unsupported" }));
    let ran = ran(place.command(&["bench"]));
    assert!(ran.code == 0 && ran.out.contains("./x bench"), "{ran:?}");
}

#[test]
fn help_and_version() {
    let place = Place::new();
    let ran = place.pelton(&["--help"]);
    assert_eq!(ran.code, 0);
    for command in
        ["run", "replay", "verify", "explain", "check", "sql", "history", "dead-letters", "devices", "doctor", "bench"]
    {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{command} in {}", ran.out);
    }
    assert_eq!(place.pelton(&["--version"]).out, format!("pelton {}\n", env!("CARGO_PKG_VERSION")));
    place.pelton(&["rum"]).says(2, &["unrecognized subcommand 'rum'", "'run'"]);
}

#[test]
fn a_limit_ends_a_stream_without_an_end() {
    let place = Place::new();
    place.write(
        "q.sql",
        "CREATE TABLE bid (WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '1' SECOND)
         WITH ('connector' = 'nexmark', 'nexmark.table' = 'bid', 'rows-per-second' = '50000', 'history.path' = 'history');
         CREATE TABLE top WITH ('connector' = 'filesystem', 'path' = 'top.json') AS
         SELECT window_end, auction, COUNT(*) AS n FROM TUMBLE(bid, `dateTime`, INTERVAL '1' SECOND)
         GROUP BY window_start, window_end, auction ORDER BY window_end, n DESC, auction LIMIT 3;",
    );
    let ran = place.pelton(&["run", "q.sql"]);
    ran.says(0, &["3 out", "stopped, and what was read is committed"]);
    assert_eq!(std::fs::read_to_string(place.path("top.json")).unwrap().lines().count(), 3);
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
}
