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
    place.write("taken/b.parquet", "");
    let sql = table("a", COUNTS) + &table("b", COUNTS).replace("'b.parquet'", "'in.parquet/b.parquet'");
    let ran = place.sql(&(INPUT.to_string() + &sql));
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(!place.path("a.parquet").exists());
}

#[test]
fn calls_over_the_same_groups_are_folded_together() {
    let window = "FROM TUMBLE(payments, at, INTERVAL '10' SECOND) GROUP BY";
    let a = format!("SELECT window_start, name, COUNT(*) AS n, SUM(id) AS s {window} window_start, window_end, name");
    let b = format!(
        "SELECT name, AVG(id) AS a, MAX(id % 3) AS m, window_end, LAST_VALUE(id) AS l {window} name, window_end"
    );
    let c = format!(
        "SELECT SUM(p.id) AS s, p.name FROM TUMBLE((SELECT at, name, id FROM payments) p, at, INTERVAL '10' SECOND) p GROUP BY window_end, p.name"
    );
    let place = place();
    let both = table("a", &a) + &table("b", &b) + &table("c", &c);
    assert_eq!(steps(&both, "WindowAggregate"), 1);
    place.sql(&(INPUT.to_string() + &both)).says(0, &[]);
    for (name, query) in [("a", &a), ("b", &b), ("c", &c)] {
        let together = place.rows(&format!("{name}.parquet"));
        place.sql(&(INPUT.to_string() + &table(name, query))).says(0, &[]);
        assert_eq!(together, place.rows(&format!("{name}.parquet")), "{query}");
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
