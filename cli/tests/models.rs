//! `CREATE MODEL`, `PREDICT` and `ML_PREDICT`: models of XGBoost, LightGBM and ONNX in queries, with the bits that their libraries answer.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::Place;
use serde_json::Value;

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures").join(name)).unwrap()
}

/// A place with a model, and its rows as `rows.json`: `id`, then the features; missing values are NULL.
fn place(case: &str) -> (Place, Value) {
    let place = Place::new();
    let case: Value = serde_json::from_slice(&fixture(case)).unwrap();
    place.write("model", fixture(case["model"].as_str().unwrap()));
    let row = |(id, row): (usize, &Value)| {
        let mut fields = serde_json::Map::from_iter([("id".to_string(), id.into())]);
        fields.extend(
            ["a", "b", "c", "d", "e"].iter().zip(row.as_array().unwrap()).map(|(n, v)| (n.to_string(), v.clone())),
        );
        format!("{}\n", Value::from(fields))
    };
    let rows: String = case["rows"].as_array().unwrap().iter().enumerate().map(row).collect();
    place.write("rows.json", rows);
    (place, case)
}

const TABLES: &str = "
CREATE MODEL m WITH ('path' = 'model');
CREATE TABLE rows_ (id BIGINT, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE) WITH ('connector' = 'filesystem', 'path' = 'rows.json');
";

/// The answers of a query that has `id` first, in the order of `id`.
fn answers(place: &Place, query: &str) -> Vec<Value> {
    let sql = format!(
        "{TABLES} CREATE TABLE out_ WITH ('connector' = 'filesystem', 'path' = 'out.json', 'sink.mode' = 'overwrite') AS {query};"
    );
    place.sql(&sql).says(0, &[]);
    let text = fs::read_to_string(place.path("out.json")).unwrap();
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.sort_by_key(|row| row["id"].as_i64());
    rows
}

#[test]
fn answers_are_those_of_the_libraries() {
    for case in ["xgb_binary_json.json", "xgb_categories_ubj.json", "lgb_binary.json", "lgb_zero.json"] {
        let (place, case_) = place(case);
        let query = "SELECT id, PREDICT(m, a, b, c, d, e) AS p, PREDICT_RAW(m, a, b, c, d, e) AS r, PREDICT_LEAVES(m, a, b, c, d, e) AS l,
                     EXPLAIN_PREDICT(m, a, b, c, d, e) AS x FROM rows_";
        let rows = answers(&place, query);
        let single = case.starts_with("xgb");
        let same = |got: &Value, want: &Value| match single {
            true => got.as_f64().unwrap() as f32 == want.as_f64().unwrap() as f32,
            false => got.as_f64().unwrap() == want.as_f64().unwrap(),
        };
        assert_eq!(rows.len(), 40);
        for (at, row) in rows.iter().enumerate() {
            assert!(same(&row["p"], &case_["predict"][at]) && same(&row["r"], &case_["raw"][at]), "{case}: {row}");
            let trees = row["l"].as_array().unwrap().len();
            let leaves = &case_["leaves"].as_array().unwrap()[at * trees..(at + 1) * trees];
            assert!(
                row["l"].as_array().unwrap().iter().zip(leaves).all(|(a, b)| a.as_f64() == b.as_f64()),
                "{case}: {row}"
            );
            for (feature, name) in ["a", "b", "c", "d", "e", "bias"].iter().enumerate() {
                let want = case_["contributions"][at * 6 + feature].as_f64().unwrap();
                assert!((row["x"][name].as_f64().unwrap() - want).abs() < 1e-5 * want.abs().max(1.0), "{case}: {row}");
            }
        }
    }
}

/// On a GPU by wgpu, or what plays one: the same bits, of models that it walks and of one that it leaves to the processor.
#[test]
fn devices_give_the_same_answers() {
    let devices = Place::new().pelton(&["devices", "--json"]).json();
    if !devices["devices"].as_array().unwrap().iter().any(|device| device["device"] == "wgpu:0") {
        assert!(std::env::var_os("CI").is_none(), "CI has a GPU, or lavapipe");
        eprintln!("not run: no GPU");
        return;
    }
    for (case, stop) in [
        ("xgb_binary_json.json", None),
        ("xgb_softprob_json.json", None),
        ("lgb_zero.json", None),
        ("onnx_xgboost.json", None),
        ("xgb_categories_ubj.json", Some("does not walk its trees: tree 0 asks for categories")),
    ] {
        let (place, _) = place(case);
        let select = "SELECT id, PREDICT(m, a, b, c, d, e) AS p, PREDICT_RAW(m, a, b, c, d, e) AS r, PREDICT_LEAVES(m, a, b, c, d, e) AS l FROM rows_
                      WHERE PREDICT_LEAVES(m, a, b, c, d, e)[1] >= 0";
        place.write("q.sql", format!("{TABLES} CREATE TABLE out_ WITH ('connector' = 'blackhole') AS {select};"));
        let on = |device: &str| {
            place.pelton(&["run", "--json", "--device", device, "q.sql"]).says(0, &[]).json()["digests"].clone()
        };
        assert_eq!(on("cpu"), on("wgpu"), "{case}");
        let ran = place.pelton(&["run", "--device", "wgpu", "q.sql"]);
        let scored = ran.err.contains("0 rows folded, 1") && ran.err.contains(" scored");
        assert_eq!(scored, stop.is_none(), "{case}: {}", ran.err);
        let plan = place.pelton(&["explain", "--placement", "--device", "wgpu", "q.sql"]).out;
        let place_ = plan.split("PREDICT_RAW m ").nth(1).unwrap_or_else(|| panic!("{plan}"));
        let wanted = stop.unwrap_or("on wgpu:0\n  - 'pelton.device' says so\n  ");
        assert!(place_.contains(wanted), "{case}: {plan}");
        let calls = plan.lines().filter(|line| line.starts_with("PREDICT")).count();
        assert_eq!(calls, 3, "{plan}");
    }
}

#[test]
fn several_classes_are_arrays() {
    let (place, case) = place("xgb_softprob_json.json");
    let rows =
        answers(&place, "SELECT id, PREDICT(m, a, b, c, d, e) AS p, PREDICT(m, a, b, c, d, e)[2] AS q FROM rows_");
    for (at, row) in rows.iter().enumerate() {
        for class in 0..3 {
            let want = case["predict"][at * 3 + class].as_f64().unwrap() as f32;
            assert_eq!(row["p"][class].as_f64().unwrap() as f32, want);
        }
        assert_eq!(row["q"], row["p"][1]);
    }
    let refused = format!("{TABLES} SELECT EXPLAIN_PREDICT(m, a, b, c, d, e) FROM rows_;");
    place.sql(&refused).says(2, &["a model of several classes has no contributions to one score"]);
}

#[test]
fn scores_are_columns_like_others() {
    let (place, _) = place("xgb_binary_json.json");
    let whole = answers(&place, "SELECT id, PREDICT(m, a, b, c, d, e) AS p FROM rows_");
    let above: Vec<&Value> = whole.iter().filter(|row| row["p"].as_f64().unwrap() > 0.5).collect();
    assert!(above.len() > 5 && above.len() < 35);
    let filtered =
        answers(&place, "SELECT id, PREDICT(m, a, b, c, d, e) AS p FROM rows_ WHERE PREDICT(m, a, b, c, d, e) > 0.5");
    assert!(filtered.iter().eq(above.iter().copied()));
    let counted = answers(
        &place,
        "SELECT 0 AS id, COUNT(*) AS n, MAX(PREDICT_RAW(m, a, b, c, d, e)) AS most FROM rows_ WHERE PREDICT(M, a, b, c, d, e) > 0.5",
    );
    assert_eq!(counted[0]["n"].as_u64(), Some(above.len() as u64));
    // By a view, with numbers of other types, and without a row.
    let view =
        "SELECT 0 AS id, PREDICT(m, 1, 2.5, CAST(3 AS REAL), CAST(NULL AS INT), TRUE) AS p, MODEL_VERSION(m) AS v";
    let one = answers(&place, view);
    let again = answers(
        &place,
        "SELECT id, PREDICT(m, x, y, z, CAST(NULL AS DOUBLE), 1) AS p, MODEL_VERSION(m) AS v FROM (SELECT 0 AS id, 1.0 AS x, 2.5 AS y, 3 AS z)",
    );
    assert_eq!(one, again);
    assert_eq!(one[0]["v"].as_str().map(str::len), Some(32));
}

#[test]
fn what_is_wrong_is_said() {
    let (place, _) = place("xgb_binary_json.json");
    place.write("text.txt", "hello");
    let json = String::from_utf8(fixture("xgb_binary.model.json")).unwrap();
    place.write("cut.json", &json[..json.len() / 2]);
    let refused = |sql: &str, want: &[&str]| {
        place.sql(&format!("{TABLES} {sql}")).says(2, want);
    };
    refused("SELECT PREDICT(m, a, b) FROM rows_;", &["model `m` has 5 features, given 2", "a, b, c, d, e"]);
    refused("SELECT PREDICT(m, a, c, b, d, e) FROM rows_;", &["feature 2 of model `m` is b, given c"]);
    refused("SELECT PREDICT(n, a, b, c, d, e) FROM rows_;", &["unknown model `n`", "did you mean `m`?"]);
    refused("SELECT PREDICT(1, 2) FROM rows_;", &["PREDICT wants the name of a model first"]);
    refused("SELECT PREDICT() FROM rows_;", &["PREDICT wants the name of a model first"]);
    refused("SELECT PREDICT(m, a, b, c, d, 'x') FROM rows_;", &["feature 5 (e) is STRING, wanted a number"]);
    refused("SELECT PREDCT(m, a, b, c, d, e) FROM rows_;", &["unknown function `predct`", "PREDICT"]);
    refused("CREATE MODEL m WITH ('path' = 'model');", &["there is a model `m` already"]);
    refused("CREATE MODEL n WITH ('path' = 'nowhere.json');", &["file 'nowhere.json' cannot be read"]);
    refused("CREATE MODEL n WITH ('path' = 'text.txt');", &["'text.txt' is no file of XGBoost, LightGBM or ONNX"]);
    refused("CREATE MODEL n WITH ('path' = 'model', 'format' = 'lightgbm');", &["'model' is no file of LightGBM"]);
    refused("CREATE MODEL n WITH ('path' = 'cut.json');", &["'cut.json' cannot be used: no JSON"]);
    refused("CREATE MODEL n WITH ('paht' = 'model');", &["model `n` needs the option 'path'"]);
    refused("CREATE MODEL n INPUT (a DOUBLE) WITH ('path' = 'model');", &["has 5 features, INPUT declares 1"]);
    let input = |names: &str| format!("CREATE MODEL n INPUT ({names}) WITH ('path' = 'model');");
    refused(&input("a INT, c INT, b INT, d INT, e INT"), &["feature 2 of model `n` is b, INPUT declares c"]);
    refused(&input("a INT, b INT, c INT, d INT, e STRING"), &["INPUT of model `n`: `e` is STRING, wanted a number"]);
    let output = |columns: &str| format!("CREATE MODEL n OUTPUT ({columns}) WITH ('path' = 'model');");
    refused(&output("p STRING"), &["OUTPUT of model `n`: `p` is STRING, it answers FLOAT", "declare it DOUBLE"]);
    refused(&output("p DOUBLE, q DOUBLE"), &["model `n` gives 1 answers, OUTPUT declares 2 columns"]);
    refused("DROP MODEL n;", &["unknown model `n`"]);
    place
        .sql(&format!(
            "{TABLES} CREATE MODEL IF NOT EXISTS m WITH ('path' = 'x'); DROP MODEL m; DROP MODEL IF EXISTS m;"
        ))
        .says(0, &[]);
}

#[test]
fn onnx_files_are_models() {
    for case in ["onnx_xgboost.json", "onnx_columns.json", "onnx_modes.json", "onnx_xgboost_classes.json"] {
        let (place, case_) = place(case);
        let rows = answers(
            &place,
            "SELECT id, PREDICT(m, a, b, c, d, e) AS p, PREDICT_RAW(m, a, b, c, d, e) AS r, PREDICT_LEAVES(m, a, b, c, d, e) AS l FROM rows_",
        );
        let flat = |name: &str| -> Vec<f32> {
            let all = rows.iter().flat_map(|row| match &row[name] {
                Value::Array(values) => values.clone(),
                value => vec![value.clone()],
            });
            all.map(|value| value.as_f64().unwrap() as f32).collect()
        };
        for (name, of) in [("p", "predict"), ("r", "raw")] {
            let want = case_[of].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32);
            assert_eq!(flat(name), want.collect::<Vec<f32>>(), "{case}: {of}");
        }
        assert!(rows.iter().all(|row| !row["l"].as_array().unwrap().is_empty()));
    }
    let (place, _) = place("onnx_xgboost.json");
    let explain = format!("{TABLES} SELECT EXPLAIN_PREDICT(m, a, b, c, d, e) FROM rows_;");
    place.sql(&explain).says(2, &["an ONNX file has no contributions"]);
    // The file knows no names; INPUT gives them.
    let named = "CREATE MODEL n INPUT (a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE) WITH ('path' = 'model', 'format' = 'onnx');";
    let swapped = format!("{TABLES} {named} SELECT PREDICT(n, b, a, c, d, e) FROM rows_;");
    place.sql(&swapped).says(2, &["feature 1 of model `n` is a, given b"]);
    place.write("net.onnx", b"\x08\x08\x3a\x08\x0a\x06\x22\x04Conv\x42\x02\x10\x0c".as_slice());
    place
        .sql("CREATE MODEL n WITH ('path' = 'net.onnx');")
        .says(2, &["'net.onnx' cannot be used: it has no output of numbers"]);
}

/// A file with some of its bytes others, as many.
fn patched(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = fixture(name);
    let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn onnx_graphs_are_models() {
    for case in ["graph_pipeline.json", "graph_tanh.json", "graph_scaled_forest.json", "graph_doubles.json"] {
        let (place, case_) = place(case);
        let all = "a, b, c, d, e";
        let rows =
            answers(&place, &format!("SELECT id, PREDICT(m, {all}) AS p, PREDICT_RAW(m, {all}) AS r FROM rows_"));
        let got: Vec<f64> = rows
            .iter()
            .flat_map(|row| match &row["p"] {
                Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
                value => vec![value.as_f64().unwrap()],
            })
            .collect();
        let want: Vec<f64> = case_["predict"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(got.len(), want.len(), "{case}");
        let near = |(got, want): (&f64, &f64)| (got - want).abs() <= 2e-6 * want.abs().max(1.0);
        assert!(got.iter().zip(&want).all(near), "{case}: {got:?}");
        assert!(rows.iter().all(|row| row["p"] == row["r"]), "{case}");
        for call in ["PREDICT_LEAVES", "EXPLAIN_PREDICT"] {
            let want = &[call, "the model is a graph of operators, and no ensemble of trees"];
            place.sql(&format!("{TABLES} SELECT {call}(m, {all}) FROM rows_;")).says(2, want);
        }
    }
    let place = Place::new();
    let refused = |file: Vec<u8>, want: &[&str]| {
        place.write("net.onnx", file);
        place.sql("CREATE MODEL n WITH ('path' = 'net.onnx');").says(2, want);
    };
    refused(
        patched("graph_torch.model.onnx", b"Sigmoid", b"Hardmax"),
        &["'net.onnx' cannot be used: operator Hardmax cannot be computed", "docs/sql.md lists the operators"],
    );
    // The mean over axis 1 becomes one over axis 0.
    refused(
        patched("graph_autoencoder.model.onnx", b"axes\x40\x01", b"axes\x40\x00"),
        &["ReduceMean of 'error': rows would mix: it works along axis 0", "whatever rows are asked for beside it"],
    );
}

#[test]
fn ml_predict_adds_columns_to_a_table() {
    let (place, _) = place("xgb_binary_json.json");
    let want = answers(&place, "SELECT id, a, e, CAST(PREDICT(m, a, b, c, d, e) AS DOUBLE) AS score FROM rows_");
    let model = "CREATE MODEL n INPUT (a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE) OUTPUT (score DOUBLE) WITH ('path' = 'model');";
    for from in [
        "ML_PREDICT(TABLE rows_, MODEL n, DESCRIPTOR(a, b, c, d, e))",
        "TABLE(ML_PREDICT(TABLE rows_, MODEL n, DESCRIPTOR(a, b, c, d, e)))",
        "ML_PREDICT(INPUT => TABLE rows_, MODEL => MODEL n, ARGS => DESCRIPTOR(a, b, c, d, e))",
        "ML_PREDICT(ARGS => DESCRIPTOR(a, b, c, d, e), MODEL => MODEL n, INPUT => TABLE rows_)",
        "ML_PREDICT(TABLE (SELECT * FROM rows_), MODEL n, DESCRIPTOR(a, b, c, d, e)) AS scored",
    ] {
        let got =
            answers(&place, &format!("SELECT id, prediction AS score FROM {}", from.replace("MODEL n", "MODEL m")));
        let score = |row: &Value| row["score"].as_f64().map(|score| score as f32);
        assert!(got.iter().map(score).eq(want.iter().map(score)), "{from}");
        let sql = format!(
            "{TABLES} {model} CREATE TABLE out_ WITH ('connector' = 'filesystem', 'path' = 'out.json', 'sink.mode' = 'overwrite') AS SELECT id, a, e, score FROM {from};"
        );
        place.sql(&sql).says(0, &[]);
        let text = fs::read_to_string(place.path("out.json")).unwrap();
        let mut got: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        got.sort_by_key(|row| row["id"].as_i64());
        assert_eq!(got, want, "{from}");
    }
    // A column that is there already, two models behind each other, a filter, a name elsewhere.
    let query = "SELECT id, prediction0 AS p, prediction1 AS q FROM ML_PREDICT(TABLE (SELECT * FROM ML_PREDICT(TABLE (SELECT *, 1 AS prediction FROM rows_),
                 MODEL m, DESCRIPTOR(a, b, c, d, e))), MODEL m, DESCRIPTOR(a, b, c, d, e)) WHERE prediction0 > 0.5";
    let got = answers(&place, query);
    assert_eq!(got.len(), want.iter().filter(|row| row["score"].as_f64().unwrap() > 0.5).count());
    assert!(got.iter().all(|row| row["p"] == row["q"]));
    answers(&place, "SELECT id, model m, a FROM (SELECT id, a AS model, a FROM rows_)");
    let refused = |from: &str, want: &[&str]| {
        place.sql(&format!("{TABLES} SELECT * FROM {from};")).says(2, want);
    };
    refused("ML_PREDICT(TABLE rows_, MODEL n, DESCRIPTOR(a))", &["unknown model `n`", "did you mean `m`?"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, DESCRIPTOR(a))", &["model `m` has 5 features, given 1"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, DESCRIPTOR(b, a, c, d, e))", &["feature 1 of model `m` is a, given b"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m)", &["ML_PREDICT wants a table, a model and its features"]);
    refused("ML_PREDICT(TABLE rows_, m, DESCRIPTOR(a, b, c, d, e))", &["expected MODEL and a name, found `m`"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, a)", &["expected DESCRIPTOR(…), found `a`"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, DESCRIPTOR(a, b, c, d, 1))", &["the feature `1` must be a column"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, ARG => DESCRIPTOR(a))", &["has no argument `ARG`", "did you mean ARGS?"]);
    refused("ML_PREDICT(TABLE rows_, MODEL m, DESCRIPTOR(a), MAP['async', 'true'])", &["CONFIG is not supported"]);
    refused(
        "ML_PREDICT(MODEL => MODEL m, ARGS => DESCRIPTOR(a, b, c, d, e), INPUT => TABLE rows_ PARTITION BY a)",
        &["PARTITION BY has no meaning"],
    );
    refused(
        "ML_PREDIC(TABLE rows_, DESCRIPTOR(a))",
        &["unknown table function `ML_PREDIC`", "did you mean ML_PREDICT?"],
    );
}

#[test]
fn several_outputs_are_columns() {
    let (place, case) = place("xgb_softprob_json.json");
    let model = "CREATE MODEL n OUTPUT (low FLOAT, middle DOUBLE, high FLOAT) WITH ('path' = 'model');";
    let sql = format!(
        "{TABLES} {model} CREATE TABLE out_ WITH ('connector' = 'filesystem', 'path' = 'out.json') AS SELECT id, low, middle, high FROM ML_PREDICT(TABLE rows_, MODEL n, DESCRIPTOR(a, b, c, d, e));"
    );
    place.sql(&sql).says(0, &[]);
    for line in fs::read_to_string(place.path("out.json")).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        for (class, name) in ["low", "middle", "high"].iter().enumerate() {
            let want = case["predict"][row["id"].as_u64().unwrap() as usize * 3 + class].as_f64().unwrap() as f32;
            assert_eq!(row[name].as_f64().unwrap() as f32, want);
        }
    }
}

/// A stream that is scored while its model's file changes, for some two seconds.
const RELOADED: &str = "\
SET 'pelton.checkpoint.dir' = 'checkpoints';
SET 'pelton.checkpoint.interval' = '50ms';
CREATE MODEL m WITH ('path' = 'model', 'reload.interval' = '40ms');
CREATE TABLE rows_ (id BIGINT, a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE, e DOUBLE, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND)
WITH ('connector' = 'datagen', 'number-of-rows' = '40000', 'rows-per-second' = '20000', 'history.path' = 'history',
 'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.at.kind' = 'sequence', 'fields.at.step' = '5ms', 'fields.at.max-past' = '500ms');
CREATE TABLE out_ WITH ('connector' = 'filesystem', 'path' = 'out/rows', 'format' = 'json') AS
SELECT id, a, b, c, d, e, n, PREDICT(m, a, b, c, d, e) AS p, MODEL_VERSION(m) AS v
FROM (SELECT id, a, b, c, d, e, COUNT(*) OVER (ORDER BY at ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) AS n FROM rows_);
CREATE TABLE counted WITH ('connector' = 'filesystem', 'path' = 'out/counted', 'format' = 'json') AS
SELECT window_end, MODEL_VERSION(m) AS v, COUNT(*) AS n FROM TUMBLE(rows_, at, INTERVAL '1' SECOND) GROUP BY window_start, window_end, 2;
";

/// All rows below a folder of JSON files.
fn rows_below(place: &Place, folder: &str) -> Vec<Value> {
    let files = place.files(&["checkpoints", "history"]).into_iter().filter(|file| file.starts_with(folder));
    let mut rows = vec![];
    for file in files {
        let text = fs::read_to_string(place.path(&file)).unwrap();
        rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    rows
}

/// A new file counts from an epoch on, by event time; a broken one does not; killed, restarted and repeated it is the same.
#[test]
fn a_file_that_changes_is_read_again() {
    let place = Place::new();
    let (first, second) = (fixture("xgb_binary.model.json"), fixture("xgb_dart.model.ubj"));
    place.write("model", &first);
    place.write("q.sql", RELOADED);
    let start = |signal: Option<u64>| {
        let mut command = place.command(&["run", "--json", "--threads", "2", "q.sql"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(pause) = signal {
            std::thread::sleep(Duration::from_millis(pause));
            let _ = child.kill();
        }
        child
    };
    start(Some(500)).wait().unwrap();
    let run = start(None);
    std::thread::sleep(Duration::from_millis(300));
    place.write("model", &second[..second.len() / 2]);
    std::thread::sleep(Duration::from_millis(300));
    place.write("model", &second);
    let ran = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("the file cannot be used") && said.contains("the version before stays in use"), "{said}");
    assert!(said.contains("'model' has changed") && said.contains("counts from the next checkpoint on"), "{said}");

    let mut rows = rows_below(&place, "out/rows");
    assert_eq!(rows.len(), 40_000);
    let version = |row: &Value| row["v"].as_str().unwrap().to_string();
    let mut versions: Vec<String> = rows.iter().map(version).collect();
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), 2, "{versions:?}");
    let counted: u64 = rows_below(&place, "out/counted").iter().map(|row| row["n"].as_u64().unwrap()).sum();
    assert_eq!(counted, 40_000);

    // Each row has the score of the version that it names.
    rows.sort_by_key(|row| row["id"].as_u64());
    let oldest = version(&rows[0]);
    for (bytes, is_first) in [(&first, true), (&second, false)] {
        let place = Place::new();
        place.write("model", bytes);
        let own: Vec<&Value> = rows.iter().filter(|row| (version(row) == oldest) == is_first).collect();
        assert!(own.len() > 1000, "{}", own.len());
        place.write("rows.json", own.iter().map(|row| format!("{row}\n")).collect::<String>());
        let scored = answers(&place, "SELECT id, PREDICT(m, a, b, c, d, e) AS p FROM rows_");
        assert!(scored.iter().zip(&own).all(|(again, row)| again["id"] == row["id"] && again["p"] == row["p"]));
    }

    // What is in the folder by now does not count.
    place.write("model", &first);
    place.pelton(&["verify", "q.sql"]).says(0, &[]);
    place.pelton(&["verify", "--threads", "1", "--set", "pelton.batch.rows-max=100", "q.sql"]).says(0, &[]);
}

#[test]
fn a_file_is_read_again_where_epochs_and_times_are() {
    let place = Place::new();
    place.write("model", fixture("xgb_binary.model.json"));
    place.write("rows.json", "");
    let without = RELOADED.replace("SET 'pelton.checkpoint.dir' = 'checkpoints';\n", "");
    place.sql(&without).says(
        2,
        &["model `m` has 'reload.interval', and a new file counts from a checkpoint on", "pelton.checkpoint.dir"],
    );
    let timeless = RELOADED.replace(", WATERMARK FOR at AS at - INTERVAL '1' SECOND", "");
    let timeless = &timeless[..timeless.find("CREATE TABLE out_").unwrap()];
    place
        .sql(&format!("{timeless} SELECT PREDICT(m, a, b, c, d, e) AS p FROM rows_;"))
        .says(2, &["so it scores rows with an event time, and these have none", "give the table a WATERMARK"]);
    place.sql(&RELOADED.replace("40ms", "soon")).says(2, &["option 'reload.interval' is 'soon', wanted a duration"]);
}
