//! SQL text in, plan text out; constant expressions in, values out; mistakes in, messages with places out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{ColumnarValue, LogicalPlan};

use super::*;
use crate::connector::{Connector, Options};
use crate::error::Result;

/// A connector that is only ever planned over. `'bounded' = 'true'` makes it end.
struct Fake;

impl Connector for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn infer_schema(&self, options: &Options) -> Result<SchemaRef> {
        options.require("path")?;
        Ok(Arc::new(Schema::new(vec![
            Field::new("station", DataType::Utf8, true),
            Field::new("event_time", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("pm25", DataType::Float64, true),
        ])))
    }

    fn metadata(&self) -> Vec<(&'static str, DataType)> {
        vec![("file.path", DataType::Utf8)]
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        options.flag("bounded", false)
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add(Arc::new(Fake));
    registry
}

const TABLES: &str = "
CREATE TABLE bid (
  auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ('connector' = 'fake');
CREATE TABLE side (`key` BIGINT, `value` VARCHAR) WITH ('connector' = 'fake', 'bounded' = 'true');
CREATE TABLE nested (
  event_type INT, bid ROW<auction BIGINT, price BIGINT, info ROW<Channel STRING NOT NULL, tags ARRAY<STRING>>>,
  price AS bid.price * 2, doubled AS CAST(event_type AS BIGINT), ts TIMESTAMP_LTZ(6) NOT NULL, day AS DATE_FORMAT(ts, 'yyyy-MM-dd'),
  part INT METADATA FROM 'partition' VIRTUAL, `file.path` STRING METADATA, PRIMARY KEY (event_type) NOT ENFORCED,
  WATERMARK FOR ts AS ts
) COMMENT 'x' WITH ('connector' = 'fake', connector.path = 'y');
";

fn script(text: &str) -> Result<Script> {
    parse_script(&format!("{TABLES}{text}"), &registry(), &[])
}

#[test]
fn what_keeps_nothing_of_a_stream_is_known() {
    let endless = |query: &str| script(query).unwrap().is_endless_and_stateless();
    assert!(endless("SELECT auction, price * 2 AS twice FROM bid WHERE price > 3;"));
    assert!(endless("SELECT auction FROM (SELECT auction FROM bid UNION ALL SELECT bidder FROM bid) AS b;"));
    assert!(!endless("SELECT auction, price FROM bid; SELECT auction, COUNT(*) AS n FROM bid GROUP BY auction;"));
    assert!(!endless("SELECT b.auction, s.`value` FROM bid AS b JOIN side AS s ON b.auction = s.`key`;"));
    let bounded = "CREATE TABLE t (a BIGINT) WITH ('connector' = 'fake', 'bounded' = 'true'); SELECT a FROM t;";
    assert!(!parse_script(bounded, &registry(), &[]).unwrap().is_endless_and_stateless());
}

/// Every case of `plans.txt`: a query, and the plan of its jobs. `PELTON_UPDATE=1` writes the plans as they are now; read
/// that difference as carefully as code.
#[test]
fn plans() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/plans.txt");
    let file = std::fs::read_to_string(path).expect("plans.txt");
    let mut now = String::new();
    let mut count = 0;
    for case in file.split("=== ").skip(1) {
        let (head, _) = case.split_once("\n---\n").expect("a line `---` after the query");
        let (title, query) = head.split_once('\n').expect("a query after the title");
        now.push_str(&format!("=== {title}\n{query}\n---\n"));
        match script(query) {
            Ok(script) => {
                for job in script.jobs {
                    let target = match &job.target {
                        Target::Table(def) => def.table.name.clone(),
                        Target::Print => "print".into(),
                    };
                    now.push_str(&format!(
                        "{target}({})\n{}\n",
                        plan::describe(job.plan.schema()),
                        job.plan.display_indent()
                    ));
                }
            }
            Err(e) => now.push_str(&format!("ERROR {e} at {:?}, hint {:?}\n", e.span(), e.advice())),
        }
        now.push('\n');
        count += 1;
    }
    assert!(count >= 40, "only {count} cases");
    let head = file.split("=== ").next().expect("split answers at least one");
    let now = format!("{head}{}\n", now.trim_end());
    if std::env::var_os("PELTON_UPDATE").is_some() {
        std::fs::write(path, &now).expect("write plans.txt");
    }
    for (had, is) in file.split("=== ").zip(now.split("=== ")) {
        assert_eq!(had, is, "a plan moved; PELTON_UPDATE=1 writes it down");
    }
}

/// Message, place and hint of a mistake. The place is counted in the text given.
#[track_caller]
fn check_error(text: &str, message: &str, place: (u64, u64), hint: Option<&str>) {
    let lines = TABLES.matches('\n').count() as u64;
    let error = script(text).expect_err(text);
    let span = error.span().unwrap_or_default();
    let got = (error.message(), (span.line.saturating_sub(lines), span.column), error.advice());
    assert_eq!(got, (message, place, hint), "{text}");
    assert_eq!(error.exit_code(), 2);
}

fn value_of(expr: &str) -> Result<ScalarValue> {
    value_with("", expr)
}

/// The value of a constant expression, computed by DataFusion's physical expressions.
fn value_with(setup: &str, expr: &str) -> Result<ScalarValue> {
    let script = parse_script(&format!("{setup}SELECT {expr} AS x"), &registry(), &[])?;
    let LogicalPlan::Projection(projection) = &script.jobs[0].plan else { panic!("{}", script.jobs[0].plan) };
    let physical = datafusion_physical_expr::create_physical_expr(
        &projection.expr[0],
        &DFSchema::empty(),
        &datafusion_expr::execution_props::ExecutionProps::new(),
        &Default::default(),
    )
    .map_err(errors::from_datafusion)?;
    let batch = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
    )
    .expect("an empty batch");
    match physical.evaluate(&batch).map_err(errors::from_datafusion)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map_err(errors::from_datafusion),
    }
}

#[track_caller]
fn check_value(expr: &str, expected: &str) {
    let value = value_of(expr).unwrap_or_else(|e| panic!("{expr}: {e} {:?}", e.advice()));
    let text = format!("{value} {}", types::name(&value.data_type()));
    assert_eq!(text, expected, "{expr}");
}

#[test]
fn tables() {
    let script = script("").unwrap();
    let bid = &script.tables[0];
    assert_eq!(bid.table.schema.fields().len(), 7);
    let watermark = bid.watermark.as_ref().unwrap();
    assert_eq!((watermark.column, watermark.tick_us), (5, 1000));
    assert_eq!(
        watermark.expr.to_string(),
        "dateTime - IntervalMonthDayNano(\"IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 4000000000 }\")"
    );
    assert!(!bid.bounded && script.tables[1].bounded);

    let nested = &script.tables[2];
    let columns: Vec<String> = nested
        .columns
        .iter()
        .map(|c| {
            format!(
                "{} {}{} {:?}",
                c.name,
                types::name(&c.data_type),
                if c.nullable { "" } else { " NOT NULL" },
                c.kind
            )
        })
        .collect();
    assert_eq!(columns[0], "event_type INT NOT NULL Physical(0)");
    assert_eq!(
        columns[1],
        "bid ROW<auction BIGINT, price BIGINT, info ROW<Channel STRING, tags ARRAY<STRING>>> Physical(1)"
    );
    assert!(columns[2].starts_with("price BIGINT Computed(BinaryExpr"), "{}", columns[2]);
    assert!(columns[3].starts_with("doubled BIGINT NOT NULL Computed(Cast"), "{}", columns[3]);
    assert_eq!(columns[4], "ts TIMESTAMP_LTZ(6) NOT NULL Physical(2)");
    assert!(columns[5].starts_with("day STRING Computed(ScalarFunction"), "{}", columns[5]);
    assert_eq!(columns[6], "part INT Metadata { key: \"partition\" }");
    assert_eq!(columns[7], "file.path STRING Metadata { key: \"file.path\" }");
    assert_eq!(nested.table.primary_key, ["event_type"]);
    assert_eq!(nested.table.options.get("connector.path"), Some("y"));
    nested.table.options.reject_unknown().unwrap();
    assert_eq!(nested.schema.fields().len(), 8);
    assert_eq!(nested.watermark.as_ref().unwrap().tick_us, 1);
}

#[test]
fn columns_from_the_data() {
    let script = script("CREATE TABLE air (WATERMARK FOR event_time AS event_time - INTERVAL '1' MINUTE, day AS CAST(Event_Time AS DATE)) WITH ('connector' = 'fake', 'path' = 'x', 'history.path' = 'h'); CREATE TABLE air2 WITH ('connector' = 'fake', 'path' = 'x')").unwrap();
    let air = &script.tables[3];
    let names: Vec<&str> = air.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["station", "event_time", "pm25", "day"]);
    assert_eq!(air.watermark.as_ref().unwrap().column, 1);
    assert_eq!(air.table.options.get("history.path"), Some("h"));
    assert_eq!(script.tables[4].columns.len(), 3);
}

#[test]
fn settings_and_variables() {
    // SAFETY: no other thread of this test reads or writes this variable.
    unsafe { std::env::set_var("PELTON_TEST_ZONE", "Europe/Vienna") };
    let text = "SET 'pelton.time-zone' = '${PELTON_TEST_ZONE}'; SET pelton.batch.rows-max = ${PELTON_TEST_NONE:-100};
        set 'table.exec.mini-batch.enabled' = 'true'; SET 'pipeline.name' = 'a'; RESET 'pipeline.name'; SET 'pelton.float-sum' = 'fast';";
    let script = parse_script(text, &registry(), &[("pelton.float-sum".into(), "exact".into())]).unwrap();
    assert_eq!(script.settings.time_zone(), chrono_tz::Europe::Vienna);
    assert_eq!(script.settings.number("pelton.batch.rows-max"), Some(100));
    assert_eq!(script.settings.float_sum(), FloatSum::Exact);
    assert_eq!(script.settings.get("pipeline.name"), None);
    check_error(
        "SET 'pelton.time-zon' = 'UTC'",
        "unknown setting 'pelton.time-zon'",
        (1, 5),
        Some("did you mean 'pelton.time-zone'?"),
    );
    check_error(
        "SET 'pelton.float-sum' = 'quick'",
        "the setting 'pelton.float-sum' is 'quick', wanted one of exact, fast",
        (1, 5),
        None,
    );
    check_error(
        "SELECT '${PELTON_TEST_NONE}'",
        "the environment variable PELTON_TEST_NONE is not set",
        (1, 8),
        Some("set it, or give a default: `${PELTON_TEST_NONE:-value}`"),
    );
}

#[test]
fn functions_of_strings() {
    for (expr, expected) in [
        ("SPLIT_INDEX('https://a.b/c/d', '/', 3)", "c STRING"),
        ("SPLIT_INDEX('a/b', '/', 2)", "NULL STRING"),
        ("SPLIT_INDEX('a/b', '/', 0)", "a STRING"),
        ("REGEXP_EXTRACT('url?x=1&channel_id=77', '(&|^)channel_id=([^&]*)', 2)", "77 STRING"),
        ("REGEXP_EXTRACT('channel_id=77', '(&|^)channel_id=([^&]*)')", "channel_id=77 STRING"),
        ("REGEXP_EXTRACT('b', '(a)?b', 1)", "NULL STRING"),
        ("REGEXP_EXTRACT('nothing', 'channel_id=([^&]*)', 1)", "NULL STRING"),
        ("REGEXP('abc', '^a.c$')", "true BOOLEAN"),
        ("REGEXP_REPLACE('a1b22', '[0-9]+', 'x')", "axbx STRING"),
        ("CONCAT('a', 1, NULL)", "NULL STRING"),
        ("CONCAT('a', 1, TRUE)", "a1true STRING"),
        ("CONCAT_WS('-', 'a', NULL, 'b')", "a-b STRING"),
        ("LOCATE('b', 'aäbcb')", "3 BIGINT"),
        ("LOCATE('b', 'aäbcb', 4)", "5 BIGINT"),
        ("LOCATE('x', 'abc')", "0 BIGINT"),
        ("INSTR('abc', 'c')", "3 INT"),
        ("POSITION('c' IN 'abc')", "3 INT"),
        ("COUNT_CHAR('banana', 'a')", "3 BIGINT"),
        ("IS_ALPHA('abc')", "true BOOLEAN"),
        ("IS_ALPHA('ab1')", "false BOOLEAN"),
        ("IS_DIGIT('123')", "true BOOLEAN"),
        ("IS_DECIMAL('-1.5')", "true BOOLEAN"),
        ("JSON_VALUE('{\"a\": {\"b\": [1, \"x\"]}}', '$.a.b[1]')", "x STRING"),
        ("JSON_VALUE('{\"a\": 1}', '$.b')", "NULL STRING"),
        ("JSON_VALUE('{\"a\": {}}', 'lax $.a')", "NULL STRING"),
        ("CHAR_LENGTH('äbc')", "3 INT"),
        ("UPPER('ab') || LOWER('CD')", "ABcd STRING"),
        ("SUBSTRING('flink' FROM 2 FOR 3)", "lin STRING"),
        ("SUBSTRING('flink', 3)", "ink STRING"),
        ("TRIM(BOTH 'x' FROM 'xaxx')", "a STRING"),
        ("TRIM('  a ')", "a STRING"),
        ("OVERLAY('abcd' PLACING 'XY' FROM 2 FOR 1)", "aXYcd STRING"),
        ("LPAD('a', 3, '0')", "00a STRING"),
        ("INITCAP('hello world')", "Hello World STRING"),
        ("MD5('a')", "0cc175b9c0f1b6a831c399e269772661 STRING"),
        ("LEFT('abc', 2)", "ab STRING"),
        ("REPLACE('abc', 'b', 'x')", "axc STRING"),
        ("REVERSE('abc')", "cba STRING"),
        ("SPLIT_PART('a,b', ',', 2)", "b STRING"),
    ] {
        check_value(expr, expected);
    }
}

#[test]
fn functions_of_numbers_and_choices() {
    for (expr, expected) in [
        ("MOD(7, 3)", "1 BIGINT"),
        ("7 / 2", "3 BIGINT"),
        ("0.908 * 2", "1.816 DECIMAL(24, 3)"),
        ("1e3", "1000 DOUBLE"),
        ("CAST(0.5 AS DOUBLE) * 0.1", "0.05 DOUBLE"),
        ("CAST(0.5 AS DOUBLE) > 0.1", "true BOOLEAN"),
        ("CAST(1e20 AS DOUBLE) > 0.1", "true BOOLEAN"),
        ("COALESCE(CAST(NULL AS DOUBLE), 0.5)", "0.5 DOUBLE"),
        ("IF(1 > 2, 'a', 'b')", "b STRING"),
        ("IFNULL(NULL, 3)", "3 BIGINT"),
        ("NVL(NULL, 'x')", "x STRING"),
        ("COALESCE(NULL, 1, 2)", "1 BIGINT"),
        ("NULLIF(1, 1)", "NULL BIGINT"),
        ("TRUNCATE(CAST(2.78 AS DOUBLE), 1)", "2.7 DOUBLE"),
        ("FLOOR(CAST(2.5 AS DOUBLE))", "2 DOUBLE"),
        ("CEIL(CAST(2.5 AS DOUBLE))", "3 DOUBLE"),
        ("LOG2(CAST(8 AS DOUBLE))", "3 DOUBLE"),
        ("LOG(CAST(1 AS DOUBLE))", "0 DOUBLE"),
        ("POWER(2, 10)", "1024 DOUBLE"),
        ("ABS(-3)", "3 BIGINT"),
        ("SIGN(CAST(-3 AS DOUBLE))", "-1 DOUBLE"),
        ("ROUND(CAST(2.567 AS DOUBLE), 2)", "2.57 DOUBLE"),
        ("GREATEST(1, 3, 2)", "3 BIGINT"),
        ("CASE WHEN 1 = 2 THEN 1 / 0 ELSE 5 END", "5 BIGINT"),
        ("CAST('12' AS INT) + CAST(3 AS SMALLINT)", "15 INT"),
        ("CAST(3.7 AS INT)", "3 INT"),
        ("TRY_CAST('x' AS INT)", "NULL INT"),
    ] {
        check_value(expr, expected);
    }
}

#[test]
fn functions_of_times() {
    const T: &str = "TIMESTAMP '2024-02-29 13:04:05.678901'";
    for (expr, expected) in [
        (format!("DATE_FORMAT({T}, 'yyyy-MM-dd HH:mm:ss')"), "2024-02-29 13:04:05 STRING"),
        (format!("DATE_FORMAT({T}, 'HH')"), "13 STRING"),
        (format!("DATE_FORMAT(CAST({T} AS TIMESTAMP(3)), 'ss.SSS')"), "05.678 STRING"),
        ("DATE_FORMAT('2024-02-29 01:02:03', 'dd')".into(), "29 STRING"),
        (format!("HOUR({T})"), "13 BIGINT"),
        (format!("MINUTE({T}) * 100 + SECOND({T})"), "405 BIGINT"),
        (format!("YEAR({T}) * 10000 + MONTH({T}) * 100 + DAYOFMONTH({T})"), "20240229 BIGINT"),
        (format!("DAYOFWEEK({T})"), "5 BIGINT"),
        (format!("QUARTER({T}) * 1000 + WEEK({T}) * 10"), "1090 BIGINT"),
        (format!("EXTRACT(HOUR FROM {T})"), "13 BIGINT"),
        (format!("EXTRACT(EPOCH FROM {T})"), "1709211845 BIGINT"),
        ("EXTRACT(DOY FROM DATE '2024-03-01')".into(), "61 BIGINT"),
        (format!("CAST(FLOOR({T} TO MINUTE) AS STRING)"), "2024-02-29 13:04:00.000000 STRING"),
        (format!("CAST(CEIL({T} TO MONTH) AS STRING)"), "2024-03-01 00:00:00.000000 STRING"),
        (format!("CAST(FLOOR({T} TO WEEK) AS STRING)"), "2024-02-26 00:00:00.000000 STRING"),
        (format!("CAST(TIMESTAMPADD(MONTH, -1, {T}) AS STRING)"), "2024-01-29 13:04:05.678901 STRING"),
        (format!("TIMESTAMPDIFF(DAY, TIMESTAMP '2024-02-27 14:00:00', {T})"), "1 BIGINT"),
        (format!("TIMESTAMPDIFF(MONTH, TIMESTAMP '2024-03-29 00:00:00', {T})"), "0 BIGINT"),
        ("TIMESTAMPDIFF(YEAR, DATE '2020-02-29', DATE '2024-02-28')".into(), "3 BIGINT"),
        ("TO_TIMESTAMP_LTZ(1709211845678, 3)".into(), "1709211845678 TIMESTAMP_LTZ(3)"),
        ("TO_TIMESTAMP_LTZ(1709211845, 0)".into(), "1709211845000 TIMESTAMP_LTZ(3)"),
        ("TO_TIMESTAMP_LTZ(1709211845678901, 6)".into(), "1709211845678901 TIMESTAMP_LTZ(6)"),
        ("TO_TIMESTAMP('2024-02-29 13:04:05')".into(), "1709211845000 TIMESTAMP(3)"),
        ("TO_TIMESTAMP('2024-02-29T13:04:05.5Z')".into(), "1709211845500 TIMESTAMP(3)"),
        ("TO_TIMESTAMP('29.02.2024 13:04', 'dd.MM.yyyy HH:mm')".into(), "1709211840000 TIMESTAMP(3)"),
        ("TO_TIMESTAMP('not a time')".into(), "NULL TIMESTAMP(3)"),
        ("TO_DATE('2024-02-29')".into(), "2024-02-29 DATE"),
        ("UNIX_TIMESTAMP('1970-01-01 00:01:00')".into(), "60 BIGINT"),
        ("FROM_UNIXTIME(60)".into(), "1970-01-01 00:01:00 STRING"),
        (format!("CAST({T} + INTERVAL '1 02:03:04' DAY TO SECOND AS STRING)"), "2024-03-01 15:07:09.678901 STRING"),
        (format!("CAST({T} - INTERVAL '1' MONTH AS DATE)"), "2024-01-29 DATE"),
        (format!("{T} < TIMESTAMP '2024-03-01 00:00:00'"), "true BOOLEAN"),
        ("DATE '2024-02-29' + INTERVAL '1' DAY = DATE '2024-03-01'".into(), "true BOOLEAN"),
    ] {
        check_value(&expr, expected);
    }
    let zone = "SET 'pelton.time-zone' = 'Europe/Vienna';";
    for (expr, expected) in [
        ("DATE_FORMAT(TO_TIMESTAMP_LTZ(0, 3), 'yyyy-MM-dd HH:mm X\x58X')", "1970-01-01 01:00 +01:00"),
        ("DATE_FORMAT(TIMESTAMP '1970-01-01 00:00:00', 'HH:mm')", "00:00"),
        ("HOUR(TO_TIMESTAMP_LTZ(0, 3))", "1"),
        ("UNIX_TIMESTAMP('1970-01-01 01:00:00')", "0"),
    ] {
        assert_eq!(value_with(zone, expr).unwrap().to_string(), expected, "{expr}");
    }
}

#[test]
fn mistakes_of_names() {
    check_error("SELECT prise FROM bid", "unknown column `prise`", (1, 8), Some("did you mean `price`?"));
    check_error("SELECT b.prise\nFROM bid b", "unknown column `b.prise`", (1, 8), Some("did you mean `price`?"));
    check_error(
        "SELECT\n  x.price FROM bid b",
        "unknown column `x.price`",
        (2, 3),
        Some("there is no `x` here, did you mean `b`?"),
    );
    check_error("SELECT * FROM bit", "unknown table `bit`", (1, 15), Some("did you mean `bid`?"));
    check_error("INSERT INTO sid SELECT 1, 'a'", "unknown table `sid`", (1, 13), Some("did you mean `bid`?"));
    check_error("SELECT uper(channel) FROM bid", "unknown function `uper`", (1, 8), Some("did you mean UPPER?"));
    check_error(
        "SELECT key FROM side a JOIN side b ON a.key = b.key",
        "the column `key` is ambiguous",
        (1, 8),
        Some("put the table's name or alias before it"),
    );
    check_error(
        "SELECT bid.pric FROM nested",
        "`nested.bid` has no field `pric`",
        (1, 8),
        Some("did you mean `price`?"),
    );
    check_error(
        "SELECT CAST(price AS BIGNIT) FROM bid",
        "unknown type `BIGNIT`",
        (1, 22),
        Some("did you mean BIGINT?"),
    );
    check_error(
        "SELECT auction, MAX(price) FROM TUMBLE(bid, dateTime, INTERVAL '1' SECOND) GROUP BY window_start",
        "the column `bid.auction` is neither in GROUP BY nor inside an aggregate",
        (1, 8),
        Some("add `bid.auction` to GROUP BY, or take MIN, MAX or FIRST_VALUE of it"),
    );
    check_error("SELECT SUM(channel) FROM bid", "SUM(STRING): wanted a number", (1, 8), None);
    check_error(
        "SELECT SPLIT_INDEX(url) FROM bid",
        "SPLIT_INDEX(STRING): wanted SPLIT_INDEX(STRING, value, INT)",
        (1, 8),
        None,
    );
    check_error("SELECT CAST('x' AS INT) FROM bid", "cannot cast string 'x' to value of INT type", (1, 13), None);
}

#[test]
fn mistakes_of_syntax() {
    check_error("SELECT FROM bid", "expected an expression, found `FROM`", (1, 8), None);
    check_error("SELECT a,\n  FROM bid", "expected an expression, found `FROM`", (2, 3), None);
    check_error("SELECT (1 + 2", "the statement ends where ) was expected", (1, 13), None);
    check_error("SELECT 'abc", "unterminated string literal", (1, 8), None);
    check_error("SELCT 1", "no statement begins with `SELCT`", (1, 1), Some("did you mean SELECT?"));
    check_error(
        "SELECT 1 FROM bid EMIT CHANGES",
        "unexpected `CHANGES`",
        (1, 24),
        Some("EMIT is not supported: windows are emitted when they close"),
    );
    check_error("CREATE TABLE x (a INT,) WITH ('connector' = 'fake')", "expected identifier, found `)`", (1, 23), None);
    check_error(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO side SELECT 1, 'a';",
        "this statement set has no END",
        (1, 1),
        Some("finish it with `END;`"),
    );
    check_error(
        "SELECT 1; SELECT /*+ OPTIONS('a' = 'b') */ 2",
        "hints (`/*+ … */`) are not supported yet",
        (1, 18),
        Some("remove the hint"),
    );
}

#[test]
fn not_yet() {
    for (text, message, column) in [
        ("SELECT LEAD(price) OVER (ORDER BY dateTime) FROM bid", "LEAD is not supported with OVER", 8),
        ("SELECT UPPER(channel) OVER (ORDER BY dateTime) FROM bid", "UPPER is no aggregate", 8),
        ("SELECT ROW_NUMBER() FROM bid", "ROW_NUMBER needs OVER (…)", 8),
        (
            "SELECT SUM(price) OVER (PARTITION BY auction) FROM bid",
            "OVER needs ORDER BY the event time: without it the last row would decide about the first",
            8,
        ),
        (
            "SELECT SUM(price) OVER w FROM bid WINDOW w AS (ORDER BY dateTime ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)",
            "FOLLOWING looks at rows that have not come yet",
            42,
        ),
        (
            "SELECT SUM(price) OVER (ORDER BY dateTime GROUPS 3 PRECEDING) FROM bid",
            "GROUPS frames are not supported yet",
            8,
        ),
        ("SELECT price FROM bid QUALIFY 1 = 1", "QUALIFY is not supported yet", 31),
        ("SELECT 1 FROM bid RIGHT JOIN side ON auction = key", "RIGHT JOIN is not supported yet", 30),
        ("SELECT 1 FROM bid FULL JOIN side ON auction = key", "FULL JOIN is not supported yet", 29),
        ("SELECT 1 FROM bid CROSS JOIN side", "CROSS JOIN is not supported yet", 30),
        (
            "SELECT 1 FROM bid JOIN side ON auction > key",
            "a join without an equality between its sides is not supported yet",
            19,
        ),
        (
            "SELECT 1 FROM bid JOIN side FOR SYSTEM_TIME AS OF bid.dateTime AS s ON auction = s.key",
            "FOR SYSTEM_TIME AS OF is not supported yet",
            24,
        ),
        ("SELECT key FROM side INTERSECT SELECT auction FROM bid", "INTERSECT is not supported yet", 32),
        ("SELECT 1 FROM bid WHERE auction IN (SELECT key FROM side)", "IN (SELECT …) is not supported yet", 25),
        ("SELECT (SELECT MAX(key) FROM side) FROM bid", "a query inside of an expression is not supported yet", 9),
        (
            "SELECT COUNT(*) FROM bid GROUP BY ROLLUP (auction)",
            "GROUPING SETS, ROLLUP and CUBE are not supported yet",
            43,
        ),
        ("SELECT ML_PREDICT(bid) FROM bid", "ML_PREDICT belongs in FROM", 8),
        ("CREATE FUNCTION f AS 'x'", "CREATE FUNCTION is not supported yet", 8),
        (
            "SELECT PROCTIME() FROM bid",
            "PROCTIME() is not supported: a result that depends on the clock cannot be repeated",
            8,
        ),
        ("SELECT NOW(), price FROM bid", "NOW changes from call to call, so the result could not be repeated", 8),
        (
            "INSERT INTO side SELECT 1, UUID()",
            "UUID changes from call to call, so the result could not be repeated",
            28,
        ),
        (
            "CREATE TABLE x (a INT) PARTITIONED BY (a) WITH ('connector' = 'fake')",
            "PARTITIONED BY is not supported yet",
            24,
        ),
        ("CREATE TABLE x WITH ('connector' = 'fake') LIKE bid", "CREATE TABLE … LIKE is not supported yet", 44),
    ] {
        let lines = TABLES.matches('\n').count() as u64;
        let error = script(text).expect_err(text);
        let span = error.span().unwrap_or_default();
        assert_eq!((error.message(), span.line - lines, span.column), (message, 1, column), "{text}");
    }
    assert!(script("SELECT NOW()").is_ok());
    assert!(script("SELECT RANDOM() FROM side").is_ok());
    let allowed = script("SET 'pelton.volatile' = 'allow'; SELECT NOW() AS t, price FROM bid").unwrap();
    assert!(allowed.volatile && allowed.jobs[0].volatile);
    let view = "CREATE VIEW v AS SELECT RANDOM() AS r FROM bid; INSERT INTO side SELECT 1, CAST(r AS STRING) FROM v";
    assert!(script(view).unwrap_err().message().starts_with("RANDOM changes"));
}

#[test]
fn mistakes_of_tables_and_windows() {
    check_error(
        "CREATE TABLE x (a INT) WITH ('connector' = 'fak')",
        "table `x`: no connector is called 'fak'",
        (1, 44),
        Some("did you mean 'fake'?"),
    );
    check_error(
        "CREATE TABLE x (a INT) WITH ('format' = 'json')",
        "table `x` needs the option 'connector'",
        (1, 14),
        Some("add 'connector' = '...' to WITH (...)"),
    );
    check_error(
        "CREATE TABLE x (a INT, b AS c + 1) WITH ('connector' = 'fake')",
        "unknown column `c`",
        (1, 29),
        Some("did you mean `a`?"),
    );
    check_error(
        "CREATE TABLE x (ts BIGINT, WATERMARK FOR ts AS ts) WITH ('connector' = 'fake')",
        "WATERMARK FOR: `ts` is BIGINT, not a TIMESTAMP",
        (1, 42),
        Some("make a computed column of it, for example ts AS TO_TIMESTAMP_LTZ(ts, 3)"),
    );
    check_error(
        "CREATE TABLE x (b INT, a INT METADATA FROM 'file.pat') WITH ('connector' = 'fake')",
        "connector 'fake' has no metadata 'file.pat'",
        (1, 24),
        Some("did you mean 'file.path'?"),
    );
    check_error(
        "CREATE TABLE bid (a INT) WITH ('connector' = 'fake')",
        "there is a table `bid` already",
        (1, 14),
        None,
    );
    check_error(
        "INSERT INTO side SELECT price FROM bid",
        "the query has 1 columns, table `side` wants 2",
        (1, 1),
        Some("wanted: key, value; given: price BIGINT"),
    );
    check_error(
        "INSERT INTO side SELECT url, channel FROM bid",
        "column `key` of table `side` is BIGINT, but the query gives STRING",
        (1, 1),
        Some("CAST(url AS BIGINT)"),
    );
    check_error(
        "INSERT INTO nested (day) SELECT url FROM bid",
        "`day` is computed or metadata, it cannot be written",
        (1, 21),
        None,
    );
    check_error(
        "SELECT * FROM TABLE(TUMBL(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '1' SECOND))",
        "unknown table function `TUMBL`",
        (1, 21),
        Some("did you mean TUMBLE?"),
    );
    check_error(
        "SELECT * FROM TUMBLE(bid, price, INTERVAL '1' SECOND)",
        "TUMBLE: the event time `price` is BIGINT, not a TIMESTAMP",
        (1, 15),
        Some("make a computed column of it, for example ts AS TO_TIMESTAMP_LTZ(millis, 3)"),
    );
    check_error(
        "SELECT * FROM TUMBLE(bid, dateTime, INTERVAL '1' MONTH)",
        "a window cannot be measured in months or years: their length varies",
        (1, 46),
        Some("use days, for example INTERVAL '30' DAY"),
    );
    check_error(
        "SELECT TUMBLE_START(dateTime, INTERVAL '2' SECOND) FROM bid GROUP BY TUMBLE(dateTime, INTERVAL '1' SECOND)",
        "`TUMBLE_START(dateTime, INTERVAL '2' SECOND)` is not the window of this GROUP BY",
        (1, 8),
        Some("the query groups by `TUMBLE(dateTime, INTERVAL '1' SECOND)`"),
    );
    check_error(
        "SELECT * FROM HOP(bid, dateTime, INTERVAL '1' SECOND)",
        "HOP wants a table, its event time, a slide and a size: HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR)",
        (1, 15),
        None,
    );
}

#[test]
fn places_of_a_job() {
    let text = "SELECT b.auction,\n  COUNT(*)\nFROM bid b LEFT OUTER JOIN side s ON b.auction = s.key\nGROUP BY b.auction ORDER BY 1";
    let job = &parse_script(&format!("{TABLES}{text}"), &registry(), &[]).unwrap().jobs[0];
    assert_eq!(job.joins[0].1, "LEFT OUTER JOIN side s ON b.auction = s.key");
    let first = TABLES.matches('\n').count() as u64;
    assert_eq!((job.joins[0].0.line - first, job.joins[0].0.column), (3, 12));
    let group = job.group_by_span.unwrap();
    assert_eq!((group.line - first, group.column, group.end_column), (4, 1, 19));
    assert_eq!(job.order_by_span.unwrap().column, 20);
    let count = find_span(job, &["count"]);
    assert_eq!((count.line - first, count.column, count.end_column), (2, 3, 8));
    assert_eq!(job.text, text);
}

#[test]
fn a_shell_goes_on_after_a_mistake() {
    let mut session = Session::new(registry());
    session.run("CREATE TABLE t (a INT) WITH ('connector' = 'fake')").unwrap();
    assert!(session.run("SELECT b FROM t").is_err());
    assert!(matches!(
        session.run("SELECT a FROM t; DROP TABLE t").unwrap()[..],
        [Outcome::Jobs(_), Outcome::Dropped(_)]
    ));
    assert!(session.run("SELECT a FROM t").is_err());
    assert!(matches!(session.run("DROP TABLE IF EXISTS t;;").unwrap()[..], [Outcome::Nothing]));
    assert!(session.names().contains(&"TUMBLE".to_string()) || session.names().contains(&"COUNT".to_string()));
}

#[test]
fn messages_of_datafusion_in_our_words() {
    let lines = TABLES.matches('\n').count() as u64;
    for (text, message, column) in [
        ("SELECT price + channel FROM bid", "cannot coerce arithmetic expression BIGINT + STRING to valid types", 8),
        (
            "SELECT price FROM bid WHERE channel",
            "cannot create filter with non-boolean predicate 'bid.channel' returning STRING",
            1,
        ),
        ("SELECT lower(price, 3) FROM bid", "no function takes the arguments of `lower(BIGINT, BIGINT)`", 8),
        (
            "SELECT key FROM side UNION ALL SELECT key, value FROM side",
            "UNION queries have different number of columns",
            1,
        ),
        (
            "SELECT 1 FROM bid WHERE SUM(price) > 3",
            "aggregate functions are not allowed in the WHERE clause. Consider using HAVING instead",
            1,
        ),
        (
            "SELECT SUM(price) FROM bid HAVING price > 3",
            "the column `bid.price` is neither in GROUP BY nor inside an aggregate",
            35,
        ),
        ("SELECT price AS p FROM bid WHERE p > 3", "unknown column `p`", 34),
        ("SELECT dateTime + 5 FROM bid", "cannot coerce arithmetic expression TIMESTAMP(3) + BIGINT to valid types", 8),
        ("SELECT dateTime - INTERVAL '5' FROM bid", "cannot read the interval '5'", 28),
        ("SELECT price FROM bid ORDER BY 7", "order by column out of bounds, specified: 7, max: 1", 1),
        ("SELECT bid.price.x FROM bid", "`bid.price` is BIGINT, it has no field `x`", 12),
        ("SELECT SUM(price) IGNORE NULLS FROM bid", "IGNORE NULLS and RESPECT NULLS do not go with SUM", 8),
        (
            "SELECT DATE_FORMAT(dateTime, 'yyyy-ww') FROM bid",
            "the letter `w` of the date pattern `yyyy-ww` is not supported",
            30,
        ),
        (
            "SELECT REGEXP_EXTRACT(url, '(', 1) FROM bid",
            "cannot read the pattern: Compute error: Regular expression did not compile: (",
            28,
        ),
        ("SELECT FLOOR(dateTime TO FORTNIGHT) FROM bid", "expected date/time field, found `FORTNIGHT`", 26),
        (
            "SELECT APPROX_PERCENTILE(price, 2) FROM bid",
            "APPROX_PERCENTILE wants a number and a literal from 0 to 1",
            8,
        ),
        (
            "SELECT price FROM bid WHERE dateTime > 'yesterday'",
            "error parsing timestamp from 'yesterday': timestamp must contain at least 10 characters",
            40,
        ),
        ("SELECT CAST(price AS DECIMAL(50, 2)) FROM bid", "DECIMAL(50, 2) does not exist", 22),
        ("SELECT price, price FROM bid", "two result columns are called `bid.price`", 8),
        ("SELECT 1 = 'a'", "cannot cast string 'a' to value of BIGINT type", 12),
    ] {
        let error = script(text).expect_err(text);
        let span = error.span().unwrap_or_default();
        assert_eq!((error.message(), span.line.saturating_sub(lines), span.column), (message, 1, column), "{text}");
    }
}

#[test]
fn types_of_columns() {
    let text = "CREATE TABLE t (
        a ROW(x INT, y ROW(z STRING NOT NULL)), b ARRAY<ROW<p INT NOT NULL, q ARRAY<BIGINT>>>, c MAP<STRING, ARRAY<INT>> NOT NULL,
        d TIME(3), e TIMESTAMP, f TIMESTAMP(0) WITHOUT TIME ZONE, g TIMESTAMP_LTZ, h DECIMAL, i NUMERIC(5), j VARBINARY(3), k INT UNSIGNED,
        l REAL COMMENT 'x', m DOUBLE PRECISION, n CHAR(3), `end` DATE, later AS early + 1, early INT
      ) WITH ('connector' = 'fake')";
    let script = parse_script(text, &registry(), &[]).unwrap();
    let columns: Vec<String> =
        script.tables[0].columns.iter().map(|c| format!("{} {}", c.name, types::name(&c.data_type))).collect();
    assert_eq!(
        columns,
        [
            "a ROW<x INT, y ROW<z STRING>>",
            "b ARRAY<ROW<p INT, q ARRAY<BIGINT>>>",
            "c MAP<STRING, ARRAY<INT>>",
            "d TIME(3)",
            "e TIMESTAMP(6)",
            "f TIMESTAMP(3)",
            "g TIMESTAMP_LTZ(6)",
            "h DECIMAL(10, 0)",
            "i DECIMAL(5, 0)",
            "j BYTES",
            "k INT UNSIGNED",
            "l FLOAT",
            "m DOUBLE",
            "n STRING",
            "end DATE",
            "later INT",
            "early INT",
        ]
    );
}

#[test]
fn explain_of_a_statement_set() {
    let jobs =
        script("EXPLAIN STATEMENT SET BEGIN INSERT INTO side SELECT 1, 'a'; INSERT INTO side SELECT 2, 'b'; END;")
            .unwrap()
            .jobs;
    assert!(jobs.len() == 2 && jobs.iter().all(|j| j.explain && !j.placement && j.set == 1));
    let jobs = script(
        "EXPLAIN PLACEMENT STATEMENT SET BEGIN INSERT INTO side SELECT 1, 'a'; END; EXPLAIN PLACEMENT SELECT 1;",
    )
    .unwrap()
    .jobs;
    assert!(jobs.len() == 2 && jobs.iter().all(|j| j.explain && j.placement), "{jobs:?}");
}
