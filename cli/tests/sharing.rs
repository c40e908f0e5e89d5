//! Queries over the same rows share their steps: what is shared, and that nobody notices.

mod common;

use common::{Place, parquet, payments};

const INPUT: &str = "CREATE TABLE payments (WATERMARK FOR at AS at - INTERVAL '2' SECOND)
    WITH ('connector' = 'filesystem', 'path' = 'in.parquet');";

fn place() -> Place {
    let place = Place::new();
    place.write("in.parquet", parquet(&payments(0, 100)));
    place
}

fn table(name: &str, query: &str) -> String {
    format!("CREATE TABLE {name} WITH ('connector' = 'filesystem', 'path' = '{name}.parquet') AS {query};\n")
}

/// How many steps of the plan begin with this word.
#[track_caller]
fn steps(sql: &str, word: &str) -> usize {
    let place = place();
    place.write("q.sql", INPUT.to_string() + sql);
    let ran = place.pelton(&["explain", "q.sql"]);
    ran.says(0, &[]);
    let begins = |line: &&str| {
        let line = line.trim_start();
        line.split_once(' ')
            .filter(|(number, _)| number.starts_with('#'))
            .map_or(line, |(_, step)| step)
            .starts_with(word)
    };
    ran.out.lines().filter(begins).count()
}

const COUNTS: &str = "SELECT window_start, name, COUNT(*) AS n
    FROM TUMBLE((SELECT * FROM payments WHERE id % 7 > 1), at, INTERVAL '10' SECOND) GROUP BY window_start, window_end, name";

#[test]
fn equal_stages_are_one() {
    let twice = table("a", COUNTS) + &table("b", COUNTS);
    assert_eq!(steps(&twice, "WindowAggregate"), 1);
    let within_one = format!("SELECT * FROM ({COUNTS}) UNION ALL SELECT * FROM ({COUNTS})");
    assert_eq!(steps(&table("a", &within_one), "WindowAggregate"), 1);
    let other_filter = table("a", COUNTS) + &table("b", &COUNTS.replace("> 1", "> 2"));
    assert_eq!(steps(&other_filter, "WindowAggregate"), 2);
    let other_key = table("a", COUNTS) + &table("b", &COUNTS.replace("name", "id"));
    assert_eq!(steps(&other_key, "WindowAggregate"), 2);
    let sessions = "SELECT window_start, COUNT(*) AS n FROM SESSION(payments, at, INTERVAL '1' SECOND) GROUP BY window_start, window_end";
    assert_eq!(steps(&(table("a", sessions) + &table("b", sessions)), "SessionAggregate"), 1);
}

#[test]
fn an_equal_where_is_one() {
    let twice =
        table("a", "SELECT id FROM payments WHERE id > 3") + &table("b", "SELECT name FROM payments p WHERE p.id > 3");
    assert_eq!(steps(&twice, "Select where"), 1);
    let volatile = "SET 'pelton.volatile' = 'allow';".to_string()
        + &table("a", "SELECT id FROM payments WHERE RAND() > 0.5")
        + &table("b", "SELECT id FROM payments WHERE RAND() > 0.5");
    assert_eq!(steps(&volatile, "Select where"), 2);
}

#[test]
fn a_table_is_loaded_once() {
    let sql = "CREATE TABLE names WITH ('connector' = 'filesystem', 'path' = 'names.csv');\n".to_string()
        + &table("a", "SELECT id, n.long FROM payments JOIN names n ON payments.name = n.short")
        + &table("b", "SELECT id, n.long FROM payments JOIN names n ON payments.name = n.short WHERE id > 5");
    let place = place();
    place.write("names.csv", "short,long\nn0,zero\nn1,one\n");
    place.write("q.sql", INPUT.to_string() + &sql);
    let plan = place.pelton(&["explain", "q.sql"]);
    plan.says(0, &[]);
    assert_eq!(plan.out.matches("Load before the first batch").count(), 1, "{}", plan.out);
    place.sql(&(INPUT.to_string() + &sql)).says(0, &[]);
    let kept: Vec<String> = place
        .rows("a.parquet")
        .into_iter()
        .filter(|r| r.split('|').next().unwrap().parse::<i64>().unwrap() > 5)
        .collect();
    assert_eq!(place.rows("b.parquet"), kept);
}

#[test]
fn a_limit_is_the_business_of_its_query() {
    let place = place();
    let ordered = |limit: &str| format!("{COUNTS} ORDER BY window_start, name {limit}");
    let sql = table("a", &ordered("LIMIT 4"))
        + &table("b", COUNTS)
        + &table("c", &ordered("LIMIT 4"))
        + &table("d", &ordered("LIMIT 7"));
    assert_eq!(steps(&sql, "Sort"), 2);
    assert_eq!(steps(&sql, "WindowAggregate"), 1);
    place.sql(&(INPUT.to_string() + &sql)).says(0, &[]);
    let all = place.rows("b.parquet");
    assert!(all.len() > 20);
    assert_eq!((place.rows("a.parquet"), place.rows("c.parquet")), (all[..4].to_vec(), all[..4].to_vec()));
    assert_eq!(place.rows("d.parquet"), all[..7]);
}

#[test]
fn a_late_row_of_a_shared_stage_is_one_letter() {
    let place = place();
    place.write("in.csv", "id,at\n1,2024-01-01 00:00:30\n2,2024-01-01 00:00:01\n");
    let input = "CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at)
        WITH ('connector' = 'filesystem', 'path' = 'in.csv');";
    let count = "SELECT window_start, COUNT(*) AS n FROM TUMBLE(payments, at, INTERVAL '10' SECOND) GROUP BY window_start, window_end";
    let ran = place.sql(&(input.to_string() + &table("a", count) + &table("b", count)));
    ran.says(0, &[]);
    assert_eq!((ran.json()["late"].as_u64(), place.letters().len()), (Some(1), 1));
    assert_eq!(place.rows("a.parquet"), ["2024-01-01T00:00:30|1"]);
    assert_eq!(place.rows("b.parquet"), place.rows("a.parquet"));
}

#[test]
fn nothing_is_written_if_one_sink_fails() {
    let place = place();
    let large = COUNTS.replace("COUNT(*) AS n", "SUM(id + 9223372036854775000) AS n");
    let ran = place.sql(&(INPUT.to_string() + &table("a", COUNTS) + &table("b", &large)));
    ran.says(1, &["does not fit BIGINT"]);
    assert!(!place.path("a.parquet").exists());
}

#[test]
fn calls_over_the_same_groups_are_folded_together() {
    let window = "FROM TUMBLE(payments, at, INTERVAL '10' SECOND) GROUP BY";
    let a = format!("SELECT window_start, name, COUNT(*) AS n, SUM(id) AS s {window} window_start, window_end, name");
    let b = format!(
        "SELECT name, AVG(id) AS a, MAX(id % 3) AS m, window_end, LAST_VALUE(id) AS l {window} name, window_end"
    );
    let c = "SELECT SUM(p.id) AS s, p.name FROM TUMBLE((SELECT at, name, id FROM payments), at, INTERVAL '10' SECOND) p GROUP BY window_end, p.name".to_string();
    let place = place();
    let both = table("a", &a) + &table("b", &b) + &table("c", &c);
    assert_eq!(steps(&both, "WindowAggregate"), 1);
    place.sql(&(INPUT.to_string() + &both)).says(0, &[]);
    for (name, query) in [("a", &a), ("b", &b), ("c", &c)] {
        let together = place.rows(&format!("{name}.parquet"));
        let alone = self::place();
        alone.sql(&(INPUT.to_string() + &table(name, query))).says(0, &[]);
        assert_eq!(together, alone.rows(&format!("{name}.parquet")), "{query}");
        assert!(together.len() >= 10);
    }
}

#[test]
fn a_row_that_fails_in_one_query_counts_in_the_other() {
    let window = "FROM TUMBLE(payments, at, INTERVAL '10' SECOND) GROUP BY window_start, window_end";
    let a = format!("SELECT window_start, COUNT(*) AS n {window}");
    let b = format!("SELECT window_start, SUM(100 / (id - 5)) AS s {window}");
    let sql = table("a", &a) + &table("b", &b);
    assert_eq!(steps(&sql, "WindowAggregate"), 2);
    let place = place();
    let ran = place.sql(&(INPUT.to_string() + &sql));
    ran.says(0, &[]);
    assert_eq!(place.letters().len(), 1);
    assert!(place.rows("a.parquet").iter().all(|row| row.ends_with("|10")), "{:?}", place.rows("a.parquet"));
    let twice = table("a", &b) + &table("b", &b.replace("AS s", "AS s, MAX(id) AS m"));
    assert_eq!(steps(&twice, "WindowAggregate"), 1);
}

#[test]
fn windows_of_several_kinds_share_panes() {
    let counts = |window: &str| {
        format!("SELECT window_start, name, COUNT(*) AS n FROM {window} GROUP BY window_start, window_end, name")
    };
    let all = |windows: &[&str]| -> String {
        windows.iter().enumerate().map(|(i, window)| table(&format!("t{i}"), &counts(window))).collect()
    };
    let tumble = "TUMBLE(payments, at, INTERVAL '10' SECOND)";
    let three = all(&[
        tumble,
        "TUMBLE(payments, at, INTERVAL '1' MINUTE)",
        "HOP(payments, at, INTERVAL '10' SECOND, INTERVAL '30' SECOND)",
    ]);
    assert_eq!((steps(&three, "FoldPanes"), steps(&three, "MergeWindows")), (1, 3));
    // One pane of ten seconds is too little of a day.
    let far_apart = all(&[tumble, "TUMBLE(payments, at, INTERVAL '1' DAY)"]);
    assert_eq!((steps(&far_apart, "FoldPanes"), steps(&far_apart, "WindowAggregate")), (0, 2));
    let sets = three.replace("COUNT(*)", "COUNT(DISTINCT id)");
    assert_eq!((steps(&sets, "FoldPanes"), steps(&sets, "WindowAggregate")), (0, 3));
}

/// Rows of two partitions out of order, some of them late, as CSV: the same for the same seed.
fn displaced(seed: u64) -> [String; 2] {
    let mut state = seed * 2 + 1;
    let mut dice = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    [0, 1].map(|_| {
        let mut text = "k,v,at\n".to_string();
        let mut now = 100 + dice(40);
        for _ in 0..120 {
            now += dice(5);
            let at = now - [0, 0, 0, dice(4), dice(30), dice(90)][dice(6) as usize];
            let v = dice(1000);
            text += &format!("{},{v},2024-01-01 00:{:02}:{:02}\n", dice(3), at / 60, at % 60);
        }
        text
    })
}

#[test]
fn shared_panes_count_rows_as_stages_of_their_own_do() {
    let bounds = "GROUP BY window_start, window_end, k";
    let queries = [
        (
            "tumble",
            format!(
                "SELECT window_start, k, COUNT(*) AS n, SUM(v) AS s FROM TUMBLE(rides, at, INTERVAL '10' SECOND) {bounds}"
            ),
        ),
        (
            "minute",
            "SELECT k, AVG(v) AS a, window_end FROM TUMBLE(rides, at, INTERVAL '1' MINUTE) GROUP BY window_end, k"
                .to_string(),
        ),
        (
            "shifted",
            format!(
                "SELECT window_start, window_end, k, MAX(v) AS m FROM TUMBLE(rides, at, INTERVAL '20' SECOND, INTERVAL '5' SECOND) {bounds}"
            ),
        ),
        (
            "hop",
            format!(
                "SELECT window_start, k, MIN(v) AS m, LAST_VALUE(v) AS l FROM HOP(rides, at, INTERVAL '10' SECOND, INTERVAL '30' SECOND) {bounds}"
            ),
        ),
        (
            "slide",
            format!(
                "SELECT window_start, k, COUNT(*) AS n FROM HOP(rides, at, INTERVAL '5' SECOND, INTERVAL '1' MINUTE) {bounds}"
            ),
        ),
        (
            "gaps",
            format!(
                "SELECT window_start, k, COUNT(*) AS n FROM HOP(rides, at, INTERVAL '20' SECOND, INTERVAL '10' SECOND) {bounds}"
            ),
        ),
        (
            "grow",
            format!(
                "SELECT window_start, window_end, k, SUM(v) AS s FROM CUMULATE(rides, at, INTERVAL '20' SECOND, INTERVAL '1' MINUTE) {bounds}"
            ),
        ),
    ];
    let input = "CREATE TABLE rides (k INT, v BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '3' SECOND)
        WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'csv', 'scan.partitions' = 'file');\n";
    for seed in 0..12 {
        let run = |some: &[&(&str, String)], batch_rows: &str| {
            let place = Place::new();
            for (name, rows) in ["in/a.csv", "in/b.csv"].into_iter().zip(displaced(seed)) {
                place.write(name, rows);
            }
            let sql: String = some.iter().map(|(name, query)| table(name, query)).collect();
            place.write("q.sql", input.to_string() + &sql);
            let options =
                ["--json", "--threads", "2", "--batch-rows", batch_rows, "--set", "dead-letters.path=letters", "q.sql"];
            let ran = place.pelton(&[&["run"], &options[..]].concat());
            ran.says(0, &[]);
            let mut letters = place.letters();
            letters.sort();
            let rows: Vec<_> = some.iter().map(|(name, _)| place.rows(&format!("{name}.parquet"))).collect();
            (ran.json()["late"].as_u64().unwrap(), letters, rows)
        };
        // Two to all of them.
        let some: Vec<_> = queries
            .iter()
            .enumerate()
            .filter(|(i, _)| seed < 3 || (seed >> (i % 3)) & 1 == (i % 2) as u64)
            .map(|(_, q)| q)
            .collect();
        let together = run(&some, ["7", "64", "8192"][seed as usize % 3]);
        let mut apart = (0, vec![], vec![]);
        for one in &some {
            let (late, letters, rows) = run(&[one], "8192");
            apart.0 += late;
            apart.1.extend(letters);
            apart.2.extend(rows);
        }
        apart.1.sort();
        assert!(seed >= 3 || apart.0 > 20, "{} late rows", apart.0);
        assert_eq!(together, apart, "seed {seed}: {some:?}");
    }
}
