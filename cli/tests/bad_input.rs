//! Bad input: what is said, the exit code, that no good row is lost, and that no half-written output is left behind.

mod common;

use common::{Place, parquet, payments, ran};

/// A pipeline from `in` to `out.parquet` that keeps `id`.
fn copy(columns: &str, input: &str) -> String {
    format!(
        "CREATE TABLE payments ({columns}) WITH ('connector' = 'filesystem', 'path' = '{input}');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT id FROM payments;\n"
    )
}

fn ids(ids: impl IntoIterator<Item = i64>) -> Vec<String> {
    let mut all: Vec<String> = ids.into_iter().map(|i| i.to_string()).collect();
    all.sort();
    all
}

#[test]
fn missing_file() {
    let place = Place::new();
    place.write("payments.parquet", parquet(&payments(0, 10)));
    let ran = place.sql(&copy("id BIGINT", "paymets.parquet"));
    ran.says(
        2,
        &["path 'paymets.parquet' does not exist", "--> q.sql:1:", "^^^^", "help: did you mean 'payments.parquet'?"],
    );
    let error = &ran.json()["error"];
    assert_eq!((error["line"].as_u64(), error["exit_code"].as_u64()), (Some(1), Some(2)), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("payments.parquet"), "{error}");
    assert_eq!(place.files(&["payments", "q.sql"]), Vec::<String>::new());

    let ran = place.pelton(&["run", "nowhere.sql"]);
    ran.says(2, &["error: cannot read the file 'nowhere.sql'", "help: relative paths start at the working directory"]);
}

#[test]
fn empty_file() {
    let place = Place::new();
    for name in ["a.json", "a.csv", "a.parquet", "empty.sql"] {
        place.write(name, "");
    }
    place.pelton(&["run", "empty.sql"]).says(2, &["there is no statement in 'empty.sql'"]);
    // No lines are no rows; the answer is an output without rows.
    let ran = place.sql(&copy("id BIGINT", "a.json"));
    ran.says(0, &[]);
    assert_eq!(ran.json()["rows_in"], 0);
    assert_eq!(place.rows("out.parquet"), ids([]));
    // A Parquet file has at least a footer: this one is broken, and there is no other.
    std::fs::remove_file(place.path("out.parquet")).unwrap();
    place.sql(&copy("id BIGINT", "a.parquet")).says(1, &["error: file 'a.parquet' is empty: not a Parquet file"]);
    assert!(!place.path("out.parquet").exists());
    // Nothing tells the columns.
    let sql = "CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = 'a.json'); SELECT * FROM t;";
    place.sql(sql).says(2, &["there are no rows in 'a.json' to tell the columns from", "help: declare the columns"]);
}

#[test]
fn directory_with_one_corrupt_parquet_file() {
    let good = parquet(&payments(10, 10));
    let cut = good[..good.len() - 20].to_vec();
    let mut spoilt = good.clone();
    spoilt[4..100].fill(0xff);
    for (case, corrupt) in
        [("no footer", cut), ("spoilt pages", spoilt), ("empty", vec![]), ("text", b"id,name\n".to_vec())]
    {
        // First, in the middle and last.
        for at in 0..3 {
            let place = Place::new();
            let mut want: Vec<i64> = vec![];
            for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
                let first = 100 * i as i64;
                if i == at {
                    place.write(&format!("in/{name}.parquet"), &corrupt);
                } else {
                    place.write(&format!("in/{name}.parquet"), parquet(&payments(first, 10)));
                    want.extend(first..first + 10);
                }
            }
            let ran = place.sql(&copy("id BIGINT", "in"));
            let file = ["in/a.parquet", "in/b.parquet", "in/c.parquet"][at];
            ran.says(1, &[&format!("error: file '{file}' "), "the results of the rest are committed"]);
            let json = ran.json();
            assert_eq!(json["rows_in"], 20, "{case} at {at}: {json}");
            assert_eq!(json["broken"].as_array().unwrap().len(), 1, "{case} at {at}: {json}");
            assert_eq!(place.rows("out.parquet"), ids(want), "{case} at {at}");
            assert_eq!(place.files(&["in/", "q.sql"]), ["out.parquet"], "{case} at {at}");
        }
    }
}

#[test]
fn truncated_gzip() {
    let place = Place::new();
    let lines: String = (0..20_000).map(|i| format!("{{\"id\":{i}}}\n")).collect();
    place.write("plain.json", lines);
    // Pelton itself packs it.
    place
        .sql(
            "CREATE TABLE plain (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'plain.json');\n\
             CREATE TABLE packed WITH ('connector' = 'filesystem', 'path' = 'packed.json.gz') AS SELECT id FROM plain;",
        )
        .says(0, &[]);
    let packed = std::fs::read(place.path("packed.json.gz")).unwrap();
    place.write("packed.json.gz", &packed[..packed.len() * 3 / 4]);
    let ran = place.sql(&copy("id BIGINT", "packed.json.gz"));
    ran.says(1, &["error: file 'packed.json.gz' ", "the results of the rest are committed"]);
    let rows = place.rows("out.parquet");
    // All lines before the cut, and nothing made up: 0, 1, 2, …
    assert!(rows.len() > 10_000 && rows.len() < 20_000, "{} rows", rows.len());
    assert_eq!(rows, ids(0..rows.len() as i64));
}

#[test]
fn json_with_a_wrong_type_in_line_7() {
    let place = Place::new();
    let line = |i: i64| if i == 7 { "{\"id\":\"seven\"}\n".to_string() } else { format!("{{\"id\":{i}}}\n") };
    place.write("a.json", (1..=10).map(line).collect::<String>());
    let ran = place.sql(&copy("id BIGINT", "a.json"));
    ran.says(0, &[]);
    assert_eq!((ran.json()["dead_letters"].as_u64(), ran.json()["rows_in"].as_u64()), (Some(1), Some(9)));
    assert_eq!(place.rows("out.parquet"), ids((1..=10).filter(|i| *i != 7)));
    let letters = place.letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    for word in ["payments|decode|undecodable|", "line 7", "id", "seven"] {
        assert!(letters[0].contains(word), "{}", letters[0]);
    }
    // Without --json the letters are pointed out.
    std::fs::remove_file(place.path("out.parquet")).unwrap();
    place.pelton(&["run", "q.sql"]).says(0, &["1 dead letters", "SET 'dead-letters.path'"]);
}

#[test]
fn csv_with_a_short_row() {
    let place = Place::new();
    place.write("a.csv", "id,name\n1,a\n2\n3,\"c\nc\"\n4,d,too many\n5,e\n");
    let ran = place.sql(&copy("id BIGINT, name STRING", "a.csv"));
    ran.says(0, &[]);
    assert_eq!(place.rows("out.parquet"), ids([1, 3, 5]));
    let letters = place.letters();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters[0].contains("line 3") && letters[1].contains("line 6"), "{letters:?}");
}

#[test]
fn string_where_a_timestamp_belongs() {
    let place = Place::new();
    place.write("a.csv", "id,at\n1,2024-01-01 00:00:01\n2,yesterday\n3,2024-01-01 00:00:03\n");
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)\n\
         WITH ('connector' = 'filesystem', 'path' = 'a.csv');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT window_end, COUNT(*) AS n, SUM(id) AS s FROM TUMBLE(payments, at, INTERVAL '10' SECOND)\n\
         GROUP BY window_start, window_end;",
    );
    ran.says(0, &[]);
    assert_eq!(place.rows("out.parquet"), ["2024-01-01T00:00:10|2|4"]);
    let letters = place.letters();
    assert!(
        letters.len() == 1 && letters[0].contains("undecodable") && letters[0].contains("yesterday"),
        "{letters:?}"
    );
    // The same in a Parquet file whose column is text: each value is judged by itself.
    place.write("b.parquet", parquet(&payments(0, 10)));
    let sql =
        copy("id BIGINT, name TIMESTAMP(3)", "b.parquet").replace("out.", "other.").replace("SELECT id", "SELECT name");
    let ran = place.sql(&sql);
    ran.says(0, &[]);
    assert_eq!(ran.json()["dead_letters"], 10);
    assert_eq!(place.rows("other.parquet"), ids([]));
    assert!(
        place.letters().last().unwrap().contains("column 'name': 'n0' is no TIMESTAMP"),
        "{:?}",
        place.letters().last()
    );
}

#[test]
fn unknown_option() {
    let place = Place::new();
    place.write("a.json", "{\"id\":1}\n");
    let sql = copy("id BIGINT", "a.json").replace("'path' = 'a.json'", "'path' = 'a.json', 'colour' = 'red'");
    place.sql(&sql).says(2, &["unknown option 'colour'", "payments", "--> q.sql:1:", "help: known here: "]);
    assert_eq!(place.files(&["a.json", "q.sql"]), Vec::<String>::new());
    place.pelton(&["run", "--colour", "red", "q.sql"]).says(2, &["unexpected argument '--colour'"]);
    let ran = place.pelton(&["run", "--json", "--colour", "red", "q.sql"]);
    assert_eq!(ran.json()["error"]["exit_code"], 2);
    let ran = place.pelton(&["run", "--set", "pelton.colour=red", "q.sql"]);
    ran.says(2, &["unknown setting 'pelton.colour'"]);
}

#[test]
fn option_with_a_typo() {
    let place = Place::new();
    place.write("a.json", "{\"id\":1}\n");
    let sql = copy("id BIGINT", "a.json").replace("'path' = 'a.json'", "'path' = 'a.json', 'fromat' = 'json'");
    place.sql(&sql).says(2, &["unknown option 'fromat'", "help: did you mean 'format'?"]);
    let sql = copy("id BIGINT", "a.json").replacen("filesystem", "filesytem", 1);
    place.sql(&sql).says(2, &["no connector is called 'filesytem'", "help: did you mean 'filesystem'?"]);
    let sql = format!("SET 'pelton.batch.row-max' = '10';\n{}", copy("id BIGINT", "a.json"));
    place.sql(&sql).says(2, &["unknown setting 'pelton.batch.row-max'", "help: did you mean 'pelton.batch.rows-max'?"]);
    assert_eq!(place.files(&["a.json", "q.sql"]), Vec::<String>::new());
}

#[test]
fn unknown_column() {
    let place = Place::new();
    place.write("a.json", "{\"amount\":1}\n");
    let ran = place.sql(
        "CREATE TABLE payments (amount BIGINT) WITH ('connector' = 'filesystem', 'path' = 'a.json');\n\
         SELECT amont\n\
         FROM payments;\n",
    );
    ran.says(
        2,
        &[
            "error: unknown column `amont`",
            "--> q.sql:2:8",
            "2 | SELECT amont",
            "^^^^^",
            "help: did you mean `amount`?",
        ],
    );
    let error = &ran.json()["error"];
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(2), Some(8)), "{error}");
    assert_eq!(error["hint"], "did you mean `amount`?");
}

#[test]
fn window_over_a_column_without_a_watermark() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 10)));
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = 'in.parquet');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT window_end, COUNT(*) AS n FROM TUMBLE(payments, at, INTERVAL '10' SECOND)\n\
         GROUP BY window_start, window_end;",
    );
    ran.says(2, &["column at is not an event time", "--> q.sql:3:39", "^^^^^^", "help: declare WATERMARK FOR at AS "]);
    assert_eq!(place.files(&["in.parquet", "q.sql"]), Vec::<String>::new());
}

#[test]
fn division_by_zero() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 10)));
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT) WITH ('connector' = 'filesystem', 'path' = 'in.parquet');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT id, 100 / (id - 4) AS q FROM payments WHERE id <> 7;",
    );
    ran.says(0, &[]);
    let want: Vec<String> =
        (0..10i64).filter(|i| ![4, 7].contains(i)).map(|i| format!("{i}|{}", 100 / (i - 4))).collect();
    assert_eq!(place.rows("out.parquet"), want);
    let letters = place.letters();
    assert!(letters.len() == 1 && letters[0].contains("|expression|division by zero"), "{letters:?}");
}

#[test]
fn sum_overflow() {
    let place = Place::new();
    let line = |i: i64| format!("{{\"id\":{},\"shop\":\"corner\",\"at\":\"2024-01-01 00:00:0{i}\"}}\n", i64::MAX / 2);
    place.write("a.json", (1..=3).map(line).collect::<String>());
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT, shop STRING, at TIMESTAMP(3), WATERMARK FOR at AS at)\n\
         WITH ('connector' = 'filesystem', 'path' = 'a.json');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT shop, window_end, SUM(id) AS s FROM TUMBLE(payments, at, INTERVAL '10' SECOND)\n\
         GROUP BY shop, window_start, window_end;",
    );
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    // Which window and which key, and what to do.
    ran.says(ran.code, &["2024-01-01 00:00:00", "corner", "does not fit", "help: ", "DECIMAL"]);
    assert_eq!(place.files(&["a.json", "q.sql"]), Vec::<String>::new(), "nothing is left of the output");
}

#[test]
fn sum_overflow_over() {
    let place = Place::new();
    let line = |i: i64| format!("{{\"id\":{},\"shop\":\"corner\",\"at\":\"2024-01-01 00:00:0{i}\"}}\n", i64::MAX / 2);
    place.write("a.json", (1..=3).map(line).collect::<String>());
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT, shop STRING, at TIMESTAMP(3), WATERMARK FOR at AS at)\n\
         WITH ('connector' = 'filesystem', 'path' = 'a.json');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS\n\
         SELECT shop, SUM(id) OVER (PARTITION BY shop ORDER BY at) AS s FROM payments;",
    );
    // Two of them fit, the third row has no answer.
    ran.says(0, &[]);
    let half = i64::MAX / 2;
    assert_eq!(place.rows("out.parquet"), vec![format!("corner|{half}"), format!("corner|{}", 2 * half)]);
    let letters = place.letters();
    assert!(letters.len() == 1 && letters[0].contains("|expression|the sum does not fit Int64"), "{letters:?}");
}

#[test]
fn over_in_another_order_than_that_of_time() {
    for (by, message) in [
        ("id", "OVER is ordered by the event time, and payments.id is none"),
        ("at DESC", "OVER … ORDER BY … DESC would begin with rows that have not come yet"),
        ("at, id", "OVER is ordered by one column, the event time"),
        ("at RANGE BETWEEN INTERVAL '1' MONTH PRECEDING AND CURRENT ROW", "RANGE wants an interval of days and less"),
        ("at ROWS BETWEEN 2 PRECEDING AND 5 PRECEDING", "it ends before it begins"),
    ] {
        let place = Place::new();
        place.write("a.json", "");
        let ran = place.sql(&format!(
            "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at) WITH ('connector' = 'filesystem', 'path' = 'a.json');\n\
             SELECT COUNT(*) OVER (PARTITION BY id ORDER BY {by}) AS n FROM payments;"
        ));
        ran.says(2, &[message, "--> q.sql:2:17"]);
    }
}

#[test]
fn sink_directory_not_writable() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 10)));
    place.write("file", "in the way");
    let sql = copy("id BIGINT", "in.parquet").replace("out.parquet", "file/below/out.parquet");
    let ran = place.sql(&sql);
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    ran.says(ran.code, &["file/below", "result"]);
    assert_eq!(place.files(&["in.parquet", "q.sql"]), ["file"]);
    assert_eq!(std::fs::read_to_string(place.path("file")).unwrap(), "in the way");
}

#[test]
fn disk_full() {
    let place = Place::new();
    // Hard to compress, and far more than the 64 KiB that a file may have.
    place.write(
        "q.sql",
        "CREATE TABLE numbers (a BIGINT, b BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '200000');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS SELECT a, b FROM numbers;",
    );
    let mut bash = std::process::Command::new("bash");
    let script =
        format!("trap '' XFSZ; ulimit -f 64; exec '{}' run --json --threads 2 q.sql", env!("CARGO_BIN_EXE_pelton"));
    bash.args(["-c", &script]).current_dir(place.0.path()).stdin(std::process::Stdio::null());
    let ran = ran(bash);
    ran.says(1, &["table `result`: file too large", "out.parquet", "File too large", "ulimit"]);
    assert_eq!(ran.json()["error"]["exit_code"], 1);
    assert_eq!(place.files(&["q.sql"]), Vec::<String>::new(), "nothing is left of the output");
}

#[test]
fn null_event_time() {
    let place = Place::new();
    place.write("a.csv", "id,at\n1,2024-01-01 00:00:01\n2,\n3,2024-01-01 00:00:03\n");
    let ran = place.sql(
        "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)\n\
         WITH ('connector' = 'filesystem', 'path' = 'a.csv');\n\
         CREATE TABLE result WITH ('connector' = 'filesystem', 'path' = 'out.parquet') AS SELECT id, at FROM payments;",
    );
    ran.says(0, &[]);
    assert_eq!(place.rows("out.parquet"), ["1|2024-01-01T00:00:01", "3|2024-01-01T00:00:03"]);
    assert_eq!(place.letters(), ["payments|schema|schema|the event time at is NULL"]);
}

#[test]
fn second_run_onto_finished_output() {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 10)));
    let sql = copy("id BIGINT", "in.parquet");
    place.sql(&sql).says(0, &[]);
    let before = std::fs::read(place.path("out.parquet")).unwrap();
    let ran = place.sql(&sql.replace("SELECT id", "SELECT id + 100 AS id"));
    ran.says(2, &["out.parquet", "'sink.mode'", "'overwrite'"]);
    assert_eq!(std::fs::read(place.path("out.parquet")).unwrap(), before, "the finished output is as it was");
    assert_eq!(place.files(&["in.parquet", "q.sql"]), ["out.parquet"]);
    let sql = sql
        .replace("'out.parquet'", "'out.parquet', 'sink.mode' = 'overwrite'")
        .replace("id FROM", "id + 1 AS id FROM");
    place.sql(&sql).says(0, &[]);
    assert_eq!(place.rows("out.parquet"), ids(1..=10));
}
