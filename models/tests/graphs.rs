//! Graphs of ONNX files against what ONNX Runtime has answered (`make_graphs.py` made them, `make_torch.py` by PyTorch), and against themselves: a row has the same
//! bits beside any other rows.

use std::fs;
use std::path::{Path, PathBuf};

use pelton_models::{Format, Model, Scores};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

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

/// Names of the cases.
fn names() -> Vec<String> {
    let files = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        files.filter_map(|file| file.strip_suffix(".model.onnx").map(str::to_string)).collect();
    names.retain(|name| name.starts_with("graph_"));
    names.sort();
    names
}

fn model(name: &str) -> Model {
    let bytes = fs::read(fixtures().join(format!("{name}.model.onnx"))).unwrap();
    assert_eq!(Format::of_bytes(&bytes), Some(Format::Onnx), "{name}");
    Model::read(&bytes, Format::Onnx).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn case(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(format!("{name}.json"))).unwrap()).unwrap()
}

fn columns(case: &Value) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> = case["rows"].as_array().unwrap().iter().map(numbers).collect();
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
}

fn predict(model: &Model, columns: &[Vec<f64>]) -> Scores {
    model.predict(&columns.iter().map(Vec::as_slice).collect::<Vec<&[f64]>>())
}

/// Bits, so that NaN is equal to itself.
fn bits(scores: &Scores) -> Vec<u64> {
    match scores {
        Scores::Single(all) => all.iter().map(|x| u64::from(x.to_bits())).collect(),
        Scores::Double(all) => all.iter().map(|x| x.to_bits()).collect(),
    }
}

#[test]
fn graphs_answer_as_onnx_runtime_does() {
    let names = names();
    assert!(names.len() >= 51, "{}", names.len());
    let mut wrong = vec![];
    for name in names {
        let (model, case) = (model(&name), case(&name));
        let columns = columns(&case);
        assert_eq!(model.features, columns.len(), "{name}");
        assert!(!model.has_trees() && !model.explains && model.trees() == 0, "{name}");
        assert_eq!(model.is_single(), !case["double"].as_bool().unwrap(), "{name}");
        let got: Vec<f64> = match predict(&model, &columns) {
            Scores::Single(all) => all.into_iter().map(f64::from).collect(),
            Scores::Double(all) => all,
        };
        let want = numbers(&case["predict"]);
        let tolerance = case["tolerance"].as_f64().unwrap();
        assert_eq!((got.len(), model.outputs()), (want.len(), want.len() / columns[0].len()), "{name}");
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            let near = got == want || (got - want).abs() <= tolerance * want.abs().max(1.0);
            let is_right = near || (got.is_nan() && want.is_nan());
            if !is_right {
                wrong.push(format!("{name} {at}: {got:?}, wanted {want:?}"));
            }
        }
        let names: &[&str] = match name.as_str() {
            "graph_columns" => &["a", "b", "c", "d", "e"],
            "graph_named" => &["u", "v", "w"],
            _ => &[],
        };
        assert_eq!(model.feature_names, names, "{name}");
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// A row's answer depends on the row alone.
#[test]
fn rows_do_not_know_of_each_other() {
    for name in names() {
        let (model, case) = (model(&name), case(&name));
        let columns = columns(&case);
        let rows = columns[0].len();
        let want = bits(&predict(&model, &columns));
        let width = model.outputs();
        for many in [0, 1, 7, 63, 64, 65, 1000] {
            let parts: Vec<Vec<f64>> =
                columns.iter().map(|column| (0..many).map(|row| column[(row * 7 + many) % rows]).collect()).collect();
            let got = bits(&predict(&model, &parts));
            assert_eq!(got.len(), many * width, "{name}");
            for row in 0..many {
                let of = (row * 7 + many) % rows;
                assert_eq!(got[row * width..][..width], want[of * width..][..width], "{name}: row {row} of {many}");
            }
        }
        let raw = model.raw(&columns.iter().map(Vec::as_slice).collect::<Vec<&[f64]>>());
        assert_eq!(bits(&raw), want, "{name}");
    }
}

/// What is missing goes through a graph as NaN, even where it asks for whole numbers that it makes others of.
#[test]
fn missing_values_are_nan() {
    let logistic = predict(&model("graph_logistic"), &vec![vec![f64::NAN, 1.0]; 5]);
    assert_eq!(bits(&logistic)[0], u64::from(f32::NAN.to_bits()));
    assert!(matches!(&logistic, Scores::Single(all) if all[1] > 0.0));
    let whole = predict(&model("graph_whole"), &vec![vec![f64::NAN, 1.0, 1.7]; 5]);
    assert!(matches!(&whole, Scores::Single(all) if all[0].is_nan() && all[1] == all[2]), "{whole:?}");
    // An imputer knows what to do with it.
    let pipeline = predict(&model("graph_pipeline"), &vec![vec![f64::NAN]; 5]);
    assert!(matches!(&pipeline, Scores::Single(all) if all[0] > 0.0), "{pipeline:?}");
}

/// A file of which some bytes are others, or the rest is missing, is refused or is a graph: it brings nothing down.
#[test]
fn damaged_files_are_refused_or_read() {
    let mut dice = 7u64;
    let mut next = || {
        dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (dice >> 20) as usize
    };
    let (mut refused, mut read) = (0, 0);
    for name in names() {
        let bytes = fs::read(fixtures().join(format!("{name}.model.onnx"))).unwrap();
        for cut in (0..bytes.len()).step_by(bytes.len() / 23) {
            // The operator sets come last, of which the graph may need the first alone.
            let is_refused = Model::read(&bytes[..cut], Format::Onnx).is_err();
            assert!(is_refused || cut + 32 > bytes.len(), "{name} cut at {cut}");
        }
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + next() % 3 {
                let at = next() % damaged.len();
                damaged[at] = next() as u8;
            }
            match Model::read(&damaged, Format::Onnx) {
                Ok(model) if model.features <= 64 => {
                    read += 1;
                    predict(&model, &vec![vec![0.5, f64::NAN, -3.0]; model.features]);
                }
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() < 2000, "{name}: {error}");
                }
            }
        }
    }
    assert!(refused > 2000 && read > 2000, "{refused} refused, {read} read");
}
