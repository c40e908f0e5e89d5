//! Models that learn in the stream: what is refused and where, what may ask, the same answers live, replayed and verified.

mod common;

use std::fs;

use common::Place;

/// Payments, and what was found out of them an hour later.
const TABLES: &str = "
CREATE TABLE payments (id BIGINT, at TIMESTAMP(3), amount DOUBLE, country STRING, WATERMARK FOR at AS at)
WITH ('connector' = 'filesystem', 'path' = 'payments.json', 'history.path' = 'history/payments');
CREATE TABLE labelled (id BIGINT, at TIMESTAMP(3), amount DOUBLE, country STRING, is_fraud BOOLEAN, loss DOUBLE,
    known AS at + INTERVAL '1' HOUR, WATERMARK FOR known AS known)
WITH ('connector' = 'filesystem', 'path' = 'payments.json', 'history.path' = 'history/labelled');
CREATE TABLE timeless (amount DOUBLE, is_fraud BOOLEAN) WITH ('connector' = 'filesystem', 'path' = 'payments.json');
";
const MODEL: &str = "CREATE MODEL fraud INPUT (amount DOUBLE) WITH ('type' = 'logistic', 'learn.from' = 'labelled.is_fraud', 'learn.rate' = '0.1');\n";

/// A payment each five minutes; large ones are fraud.
fn place() -> Place {
    let place = Place::new();
    let row = |n: u64| {
        let (hour, minute, amount) = (n / 12, n % 12 * 5, n * 37 % 101);
        let (at, is_fraud) = (format!("2024-05-{:02} {:02}:{minute:02}:00", 1 + hour / 24, hour % 24), amount > 70);
        format!(
            r#"{{"id":{n},"at":"{at}","amount":{amount},"country":"AT","is_fraud":{is_fraud},"loss":{}}}"#,
            amount * 3
        ) + "\n"
    };
    place.write("payments.json", (0..300).map(row).collect::<String>());
    place
}

#[test]
fn live_replayed_and_verified_are_one() {
    let place = place();
    let sql = format!(
        "{TABLES}{MODEL}
         CREATE TABLE scores WITH ('connector' = 'filesystem', 'path' = 'scores.json') AS
         SELECT id, PREDICT(fraud, amount) AS p, MODEL_VERSION(fraud) AS v FROM payments;"
    );
    place.sql(&sql).says(0, &[]);
    let text = fs::read_to_string(place.path("scores.json")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 300);
    // Twelve payments an hour: what is known of those before the last hour.
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(
            (row["id"].as_u64().unwrap(), row["v"].as_str().unwrap()),
            (n as u64, n.saturating_sub(12).to_string().as_str())
        );
    }
    assert_eq!(rows[12]["p"].as_f64(), Some(0.5));
    let by_id = |id: usize| rows[id]["p"].as_f64().unwrap();
    let (small, large): (Vec<usize>, Vec<usize>) = (200..300).partition(|id| id * 37 % 101 <= 70);
    let mean = |ids: &[usize]| ids.iter().map(|id| by_id(*id)).sum::<f64>() / ids.len() as f64;
    assert!(mean(&large) > 0.5 && mean(&small) < 0.2, "{} and {}", mean(&large), mean(&small));
    place.write("q.sql", sql);
    place.pelton(&["verify", "q.sql"]).says(0, &["everything is as it was"]);
}

/// Payments of the `fraud` connector, reported a day later: amounts alone tell some frauds, 0.737 of the area under the curve.
#[test]
fn frauds_come_before_others() {
    let place = Place::new();
    let with = "'connector' = 'fraud', 'days' = '6', 'payments-per-day' = '5000', 'cards' = '500', 'out-of-order' = '30s', 'seed' = '7'";
    let columns = "event_time TIMESTAMP(3), amount DOUBLE, is_fraud BOOLEAN";
    let sql = format!(
        "CREATE TABLE payments ({columns}, WATERMARK FOR event_time AS event_time - INTERVAL '30' SECOND) WITH ({with});
         CREATE TABLE reports ({columns}, known AS event_time + INTERVAL '1' DAY, WATERMARK FOR known AS known - INTERVAL '30' SECOND) WITH ({with});
         CREATE MODEL habit INPUT (amount DOUBLE) WITH ('type' = 'logistic', 'learn.from' = 'reports.is_fraud');
         CREATE TABLE scores WITH ('connector' = 'filesystem', 'path' = 'scores.json') AS
         SELECT is_fraud, PREDICT(habit, amount) AS p FROM payments WHERE event_time >= TIMESTAMP '2024-01-03 00:00:00';"
    );
    place.sql(&sql).says(0, &[]);
    let text = fs::read_to_string(place.path("scores.json")).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |wanted: bool| -> Vec<f64> {
        let own = rows.iter().filter(|row| row["is_fraud"].as_bool() == Some(wanted));
        own.map(|row| row["p"].as_f64().unwrap()).collect()
    };
    let (frauds, others) = (of(true), of(false));
    assert!(frauds.len() > 100 && others.len() > 15_000, "{} and {}", frauds.len(), others.len());
    // The area under the ROC curve: of all pairs, those in which the fraud has the higher score.
    let above = |fraud: f64| {
        others
            .iter()
            .map(|p| {
                if fraud > *p {
                    1.0
                } else if fraud == *p {
                    0.5
                } else {
                    0.0
                }
            })
            .sum::<f64>()
    };
    let area = frauds.iter().map(|fraud| above(*fraud)).sum::<f64>() / (frauds.len() * others.len()) as f64;
    assert!(area > 0.7, "{area}");
}

#[test]
fn what_may_ask() {
    let place = place();
    let ask = |query: &str, shows: &str| {
        place.write("q.sql", format!("{TABLES}{MODEL}{query}"));
        let ran = place.pelton(&["run", "q.sql"]);
        assert!(ran.code == 0 && ran.out.contains(shows), "no {shows:?} of {query} in\n{}{}", ran.out, ran.err);
    };
    ask("SELECT COUNT(*) AS n FROM payments WHERE PREDICT(fraud, amount) > 0.5;", "| n");
    ask(
        "SELECT window_end, MAX(PREDICT(fraud, amount)) AS most FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(at), INTERVAL '1' DAY)) GROUP BY window_start, window_end;",
        "2024-05-02T00:00:00",
    );
    ask(
        "SELECT id, CASE WHEN amount > 50 THEN PREDICT(fraud, amount / 2) END AS p FROM payments ORDER BY p DESC, id LIMIT 1;",
        "| id",
    );
    ask(
        "SELECT id, COUNT(*) OVER (PARTITION BY PREDICT(fraud, amount) > 0.5 ORDER BY at) AS n FROM payments ORDER BY id LIMIT 2;",
        "| 2",
    );
    ask(
        "SELECT window_end, PREDICT(fraud, total) AS p FROM (SELECT window_end, SUM(amount) AS total FROM TABLE(TUMBLE(TABLE payments, DESCRIPTOR(at), INTERVAL '1' HOUR)) GROUP BY window_start, window_end);",
        "2024-05-01T01:00:00",
    );
    ask("SELECT PREDICT(fraud, 70) AS p, PREDICT(Fraud, NULL) AS q FROM payments WHERE id = 0;", "| 0.5 | 0.5 |");
    ask(
        "SELECT prediction, prediction0 FROM ML_PREDICT(TABLE (SELECT at, amount, 1 AS prediction FROM payments WHERE id = 0), MODEL fraud, DESCRIPTOR(amount));",
        "| 1          | 0.5         |",
    );
    ask(
        "DROP MODEL fraud; CREATE MODEL fraud INPUT (loss DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.amount'); SELECT PREDICT(fraud, 3) AS p FROM payments WHERE id = 0;",
        "| 0.0 |",
    );
    ask(
        "EXPLAIN SELECT id, PREDICT_RAW(fraud, amount) AS r FROM payments;",
        "LearnRows fraud logistic(amount) rate=0.1 l2=0 standardized: predict_raw(amount)",
    );
}

#[test]
fn what_may_not() {
    let place = place();
    let refused = |query: &str, says: &[&str]| {
        place.sql(&format!("{TABLES}{MODEL}{query}")).says(2, says);
    };
    refused("SELECT PREDICT(fraud, amount, 1) FROM payments;", &["model `fraud` has 1 features, given 2"]);
    refused("SELECT PREDICT(fraud, country) FROM payments;", &["feature 1 (amount) is STRING, wanted a number"]);
    refused("SELECT PREDICT_LEAVES(fraud, amount) FROM payments;", &["a linear model has no leaves"]);
    refused(
        "SELECT PREDICT(fraud, amount) FROM timeless;",
        &["9:8", "model `fraud` learns: the rows that ask it need an event time", "WATERMARK"],
    );
    refused("SELECT PREDICT(fraud, 1);", &["the rows that ask it need an event time"]);
    refused(
        "SELECT a.id FROM payments AS a JOIN timeless AS t ON a.amount = t.amount AND PREDICT(fraud, a.amount) > t.amount;",
        &["cannot be asked in ORDER BY or JOIN"],
    );
    refused(
        "SELECT id FROM payments ORDER BY PREDICT(fraud, amount);",
        &["9:34", "cannot be asked in ORDER BY", "PREDICT(…) AS score"],
    );
    refused(
        "CREATE TABLE t (amount DOUBLE, p AS PREDICT(fraud, amount)) WITH ('connector' = 'filesystem', 'path' = 'x.json');",
        &["cannot be asked in CREATE TABLE"],
    );
    refused(MODEL, &["there is a model `fraud` already"]);
    refused("DROP MODEL fraud; SELECT PREDICT(fraud, amount) FROM payments;", &["unknown model `fraud`"]);
}

#[test]
fn declarations_that_are_wrong() {
    let place = place();
    let refused = |model: &str, says: &[&str]| {
        place.sql(&format!("{TABLES}CREATE MODEL m {model};")).says(2, says);
    };
    let all = "'type' = 'logistic', 'learn.from' = 'labelled.is_fraud'";
    refused(&format!("WITH ({all})"), &["8:14", "model `m` learns: it needs INPUT", "columns of `labelled`"]);
    refused("INPUT (amount DOUBLE) WITH ('learn.from' = 'labelled.is_fraud')", &["needs the option 'type'"]);
    refused("INPUT (amount DOUBLE) WITH ('type' = 'logistic')", &["needs the option 'learn.from'"]);
    refused(
        "INPUT (amount DOUBLE) WITH ('type' = 'tree', 'learn.from' = 'labelled.is_fraud')",
        &["8:53", "wanted one of logistic, linear"],
    );
    refused(
        "INPUT (amount DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled')",
        &["wanted a table or view and its column"],
    );
    refused(
        "INPUT (amount DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labeled.loss')",
        &["8:78", "unknown table `labeled`", "did you mean `labelled`?"],
    );
    refused(
        "INPUT (amount DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.los')",
        &["8:78", "`labelled` has no column `los`", "did you mean `loss`?"],
    );
    refused(
        "INPUT (amount DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.country')",
        &["the label `country` is STRING"],
    );
    refused(
        "INPUT (amuont DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["8:23", "`labelled` has no column `amuont`", "did you mean `amount`?"],
    );
    refused(
        "INPUT (country DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["8:23", "`country` is STRING, wanted a number in `labelled`"],
    );
    refused(
        "INPUT (amount STRING) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["8:30", "`amount` is STRING, wanted a number"],
    );
    refused(
        "INPUT (loss DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["8:23", "`loss` is its label and its feature"],
    );
    refused(
        "INPUT (amount DOUBLE) OUTPUT (p STRING) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["`p` is STRING, it answers DOUBLE"],
    );
    refused(
        "INPUT (amount DOUBLE) OUTPUT (p DOUBLE, q DOUBLE) WITH ('type' = 'linear', 'learn.from' = 'labelled.loss')",
        &["model `m` gives one answer, OUTPUT declares 2 columns"],
    );
    for (option, value) in [("rate", "0"), ("rate", "fast"), ("l2", "-1"), ("standardize", "maybe")] {
        let with = format!("INPUT (amount DOUBLE) WITH ({all}, 'learn.{option}' = '{value}')");
        refused(&with, &[&format!("option 'learn.{option}' is '{value}'")]);
    }
    refused(
        &format!("INPUT (amount DOUBLE) WITH ({all}, 'learn.rat' = '1')"),
        &["unknown option 'learn.rat'", "did you mean 'learn.rate'?"],
    );
    refused(&format!("INPUT (amount DOUBLE) WITH ({all}, 'path' = 'x')"), &["unknown option 'path'"]);
    let timeless = "INPUT (amount DOUBLE) WITH ('type' = 'logistic', 'learn.from' = 'timeless.is_fraud'); SELECT PREDICT(m, amount) FROM payments";
    refused(timeless, &["8:80", "model `m` learns from `timeless`, which has no event time"]);
}
