//! Models against what their libraries have answered: small ones of every kind (`make.py` made them), and the two fraud models over
//! their reference rows, where those are at hand.

use std::fs;
use std::path::{Path, PathBuf};

use pelton_models::{Format, Model, Scores};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A number as `make.py` writes it.
fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn columns(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
}

/// Scores must be these, to the last bit.
fn same(name: &str, what: &str, got: &Scores, want: &[f64]) {
    let wrong: Vec<String> = match got {
        Scores::Single(got) => {
            assert_eq!(got.len(), want.len(), "{name}: {what}");
            let pairs = got.iter().zip(want).enumerate();
            let differ = pairs.filter(|(_, (got, want))| got.to_bits() != (**want as f32).to_bits());
            differ.map(|(at, (got, want))| format!("{at}: {got:?}, wanted {:?}", *want as f32)).collect()
        }
        Scores::Double(got) => {
            assert_eq!(got.len(), want.len(), "{name}: {what}");
            let pairs = got.iter().zip(want).enumerate();
            let differ = pairs.filter(|(_, (got, want))| got.to_bits() != want.to_bits());
            differ.map(|(at, (got, want))| format!("{at}: {got:?}, wanted {want:?}")).collect()
        }
    };
    assert!(wrong.is_empty(), "{name}: {what}: {} of {}: {:?}", wrong.len(), want.len(), &wrong[..wrong.len().min(4)]);
}

fn format(name: &str) -> Format {
    match name {
        "xgboost-json" => Format::XgboostJson,
        "xgboost-ubj" => Format::XgboostUbj,
        "onnx" => Format::Onnx,
        _ => Format::Lightgbm,
    }
}

#[test]
fn models_of_every_kind_answer_as_their_libraries() {
    let mut cases = 0;
    let mut paths: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Those are in graphs.rs.
        if name.contains(".model.") || name.starts_with("graph_") {
            continue;
        }
        cases += 1;
        let case: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let bytes = fs::read(fixtures().join(case["model"].as_str().unwrap())).unwrap();
        let format = format(case["format"].as_str().unwrap());
        assert_eq!(Format::of_bytes(&bytes), Some(format), "{name}");
        let model = Model::read(&bytes, format).unwrap_or_else(|e| panic!("{name}: {e}"));
        if format != Format::Onnx || name == "onnx_columns.json" {
            assert_eq!(model.feature_names, ["a", "b", "c", "d", "e"], "{name}");
        }
        let rows: Vec<Vec<f64>> = case["rows"].as_array().unwrap().iter().map(numbers).collect();
        let columns = columns(&rows);
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        assert_eq!(model.explains, format != Format::Onnx, "{name}");
        // With `multi:softmax` and `binary:hinge`, `output_margin` has the sums all the same.
        let raw = match model.raw(&columns) {
            // ONNX Runtime answers single numbers there; ours is the sum before it is rounded.
            Scores::Double(raw) if name == "onnx_doubles.json" => {
                Scores::Single(raw.into_iter().map(|sum| sum as f32).collect())
            }
            raw => raw,
        };
        same(&name, "raw", &raw, &numbers(&case["raw"]));
        same(&name, "predict", &model.predict(&columns), &numbers(&case["predict"]));
        if format == Format::Onnx {
            continue;
        }
        let leaves: Vec<f64> = model.leaves(&columns).into_iter().map(f64::from).collect();
        assert_eq!(leaves, numbers(&case["leaves"]), "{name}: leaves");
        let got = model.contributions(&columns);
        let want = numbers(&case["contributions"]);
        assert_eq!(got.len(), want.len(), "{name}: contributions");
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (got - want).abs() <= 1e-5 * want.abs().max(1.0),
                "{name}: contribution {at}: {got}, wanted {want}"
            );
        }
        // They are the sum.
        let raw = match model.raw(&columns) {
            Scores::Single(raw) => raw.into_iter().map(f64::from).collect(),
            Scores::Double(raw) => raw,
        };
        for (sum, parts) in raw.iter().zip(got.chunks(model.features + 1)) {
            let all: f64 = parts.iter().sum();
            assert!((all - sum).abs() < 1e-4 * sum.abs().max(1.0), "{name}: {all}, wanted {sum}");
        }
    }
    assert!(cases >= 65, "only {cases} fixtures");
}

/// Where the project's data is, if it is at hand.
fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = std::env::var_os("PELTON_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let models = root.join(path).join("models");
    if !models.is_dir() {
        eprintln!("not run: there is no {}", models.display());
    }
    models.is_dir().then_some(models)
}

/// The columns of a Parquet file, as doubles; those that are none stay away.
fn table(path: &Path) -> Vec<(String, Vec<f64>)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Float64Type};
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap());
    let batches: Vec<_> = reader.unwrap().with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    let mut columns = vec![];
    for (field, column) in batches[0].schema().fields().iter().zip(batches[0].columns()) {
        let is_number = matches!(field.data_type(), DataType::Float32 | DataType::Float64);
        if is_number {
            let doubles = arrow::compute::cast(column, &DataType::Float64).unwrap();
            let values = doubles.as_primitive::<Float64Type>();
            columns.push((field.name().clone(), values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()));
        }
    }
    columns
}

#[test]
fn the_fraud_models_answer_as_their_libraries() {
    let Some(models) = data() else { return };
    let cases = [
        ("xgb_full.json", Format::XgboostJson, "xgb_full_margin", "xgb_full_prob"),
        ("xgb_full.ubj", Format::XgboostUbj, "xgb_full_margin", "xgb_full_prob"),
        ("xgb_velocity.json", Format::XgboostJson, "xgb_velocity_margin", "xgb_velocity_prob"),
        ("lgb_full.txt", Format::Lightgbm, "lgb_full_raw", "lgb_full_prob"),
    ];
    for rows in ["reference_1000.parquet", "reference_edge.parquet"] {
        let table = table(&models.join(rows));
        let column = |name: &str| &table.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1;
        for (file, format, raw, predicted) in cases {
            let model = Model::read(&fs::read(models.join(file)).unwrap(), format).unwrap();
            let columns: Vec<&[f64]> = model.feature_names.iter().map(|name| column(name).as_slice()).collect();
            let name = format!("{file} over {rows}");
            same(&name, "raw", &model.raw(&columns), column(raw));
            same(&name, "predict", &model.predict(&columns), column(predicted));
        }
    }
}

#[test]
fn the_fraud_model_ends_in_the_same_leaves() {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;
    let Some(models) = data() else { return };
    let table = table(&models.join("reference_1000.parquet"));
    let model = Model::read(&fs::read(models.join("xgb_full.json")).unwrap(), Format::XgboostJson).unwrap();
    let of = |name: &String| table.iter().find(|(known, _)| known == name).unwrap().1.as_slice();
    let columns: Vec<&[f64]> = model.feature_names.iter().map(of).collect();
    let file = fs::File::open(models.join("reference_1000_leaves.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut want: Vec<u32> = vec![];
    for batch in reader {
        let batch = batch.unwrap();
        let lists = batch.column_by_name("xgb_full_leaf").unwrap().as_list::<i32>();
        want.extend(lists.values().as_primitive::<Int32Type>().values().iter().map(|leaf| *leaf as u32));
    }
    assert_eq!(model.leaves(&columns), want);
}

/// A file of which any byte is another, or the rest is missing, is refused or is a model: it brings nothing down.
#[test]
fn damaged_files_are_refused_or_read() {
    for (file, format) in [
        ("xgb_categories.model.json", Format::XgboostJson),
        ("xgb_categories.model.ubj", Format::XgboostUbj),
        ("lgb_categories.model.txt", Format::Lightgbm),
        ("onnx_modes.model.onnx", Format::Onnx),
        ("onnx_five.model.onnx", Format::Onnx),
        ("onnx_columns.model.onnx", Format::Onnx),
    ] {
        let bytes = fs::read(fixtures().join(file)).unwrap();
        let row = [0.5, f64::NAN, -3.0, 7.0, 0.0];
        let columns: Vec<&[f64]> = row.iter().map(std::slice::from_ref).collect();
        let end = match format {
            Format::Lightgbm => bytes.windows(12).position(|words| words == b"end of trees").unwrap(),
            _ => bytes.trim_ascii_end().len(),
        };
        for cut in (0..end).step_by(97) {
            let error = Model::read(&bytes[..cut], format).unwrap_err();
            assert!(!error.to_string().is_empty(), "{file} cut at {cut}");
        }
        let mut dice = 7u64;
        let mut refused = 0;
        for _ in 0..2000 {
            let mut damaged = bytes.clone();
            for _ in 0..3 {
                dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (dice >> 20) as usize % damaged.len();
                damaged[at] = match format {
                    Format::XgboostUbj | Format::Onnx => (dice >> 8) as u8,
                    _ => b"0123456789-,[]{}\"=. \nNaeE"[(dice >> 8) as usize % 25],
                };
            }
            match Model::read(&damaged, format) {
                Ok(model) if model.features == row.len() => {
                    model.predict(&columns);
                    model.leaves(&columns);
                    if model.explains {
                        model.contributions(&columns);
                    }
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 20, "{file}: {refused}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let json = fs::read_to_string(fixtures().join("xgb_binary.model.json")).unwrap();
    let text = fs::read_to_string(fixtures().join("lgb_binary.model.txt")).unwrap();
    let refused = |bytes: &str, format: Format, want: &str| {
        let error = Model::read(bytes.as_bytes(), format).unwrap_err();
        let all = format!("{error} {}", error.advice().unwrap_or_default());
        assert!(all.contains(want), "{all}");
    };
    refused("{}", Format::XgboostJson, "'learner' is missing");
    refused("hello", Format::XgboostJson, "no JSON");
    refused(
        &json.replace("binary:logistic", "my:own"),
        Format::XgboostJson,
        "learner.objective.name: objective 'my:own'",
    );
    refused(&json.replace("\"gbtree\"", "\"gblinear\""), Format::XgboostJson, "booster 'gblinear' has no trees");
    refused(&json.replace("\"num_feature\":\"5\"", "\"num_feature\":\"2\""), Format::XgboostJson, "tree 0: node");
    refused(
        &json.replacen("\"left_children\":[1,", "\"left_children\":[1000,", 1),
        Format::XgboostJson,
        "trees[0]: there is no node 1000",
    );
    refused(
        &json.replacen("\"left_children\":[1,", "\"left_children\":[2,", 1),
        Format::XgboostJson,
        "has two parents",
    );
    refused(&text.replace("end of trees", ""), Format::Lightgbm, "cut off");
    refused(&text.replacen("binary sigmoid:1", "mine", 1), Format::Lightgbm, "objective 'mine' is not known");
    refused(&text.replacen("left_child=1", "left_child=400", 1), Format::Lightgbm, "tree 0: there is no child 400");
    refused(&text.replacen("max_feature_idx=4", "max_feature_idx=1", 1), Format::Lightgbm, "asks for feature");
    refused("forest", Format::Lightgbm, "begins with 'tree'");
    assert_eq!(Format::of_bytes(b"hello"), None);
    // Replacements as long as what they replace keep the lengths of protobuf's fields right.
    let onnx = fs::read(fixtures().join("onnx_columns.model.onnx")).unwrap();
    let onnx_refused = |from: &str, to: &str, want: &str| {
        let mut bytes = onnx.clone();
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect(from);
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        let error = Model::read(&bytes, Format::Onnx).unwrap_err();
        let all = format!("{error} {}", error.advice().unwrap_or_default());
        assert!(all.contains(want), "{all}");
    };
    // `"` is the tag of a node's operator; its length follows.
    onnx_refused("\"\u{6}Concat", "\"\u{6}Scaler", "operator Scaler cannot be computed");
    onnx_refused(
        "\"\u{15}TreeEnsembleRegressor",
        "\"\u{15}TreeRegressorEnsemble",
        "operator TreeRegressorEnsemble cannot be computed",
    );
    onnx_refused("BRANCH_LEQ", "BRANCH_LEP", "has mode 'BRANCH_LEP'");
    onnx_refused("nodes_modes", "nodes_mores", "'nodes_modes' is missing");
    let error = Model::read(b"\x08\x08", Format::Onnx).unwrap_err();
    assert_eq!(error.to_string(), "it has no graph");
}
