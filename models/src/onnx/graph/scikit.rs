//! Operators of `ai.onnx.ml`, as skl2onnx writes them: scalers, imputers, linear models, support vectors, trees within pipelines.

use std::collections::HashMap;

use crate::error::{ModelError, Result};
use crate::onnx::Attributes;

use super::elementwise::zip;
use super::forest::Forest;
use super::functions::Lane;
use super::linear::{fold, shares, times};
use super::program::{Ask, Binary, Fold, Groups, Kind, Operand, Question, Step, Unary, Work};
use super::values::{Builder, Call, Constant, Rows, Value, count, mapped};

/// Operators that are here.
pub const OPERATORS: [&str; 14] = [
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
    "FeatureVectorizer",
    "ArrayFeatureExtractor",
];

/// Reads one of them. A classifier's first answer, the label, is left out.
pub fn operator(builder: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let name = call.attributes.node.op_type.as_str();
    if matches!(name, "FeatureVectorizer" | "ArrayFeatureExtractor") {
        return super::shapes::operator(builder, call);
    }
    if name == "ZipMap" {
        return Ok(vec![call.input(0)?.clone()]);
    }
    let rows = builder.as_rows(call.input(0)?)?;
    match name {
        "Imputer" => return Ok(vec![imputer(builder, call, &rows)?]),
        "LabelEncoder" => return Ok(vec![label_encoder(builder, call, &rows)?]),
        "OneHotEncoder" => return Ok(vec![one_hot(builder, call, &rows)?]),
        _ => {}
    }
    // These answer in single precision, trees alone may be given doubles.
    let is_forest = Forest::is_operator(name);
    let rows = if is_forest && rows.kind == Kind::Double { rows } else { builder.cast(&rows, Kind::Single)? };
    let [features] = rows.shape[..] else {
        return Err(ModelError::new(format!("its rows are of shape {:?}, wanted features", rows.shape)));
    };
    Ok(match name {
        "Scaler" => vec![scaler(builder, call, &rows)?],
        "Normalizer" => vec![normalizer(builder, call, &rows)?],
        "LinearRegressor" => {
            let targets = call.int("targets", 1);
            let targets = usize::try_from(targets).map_err(|_| ModelError::new(format!("'targets' is {targets}")))?;
            let scores = linear(builder, call, &rows, targets)?;
            vec![transformed(builder, call, &scores)?]
        }
        "LinearClassifier" => vec![Value::Nothing, linear_classifier(builder, call, &rows)?],
        "SVMRegressor" => vec![support_vectors(builder, call, &rows, features)?],
        _ => {
            let forest = Forest::read(&call.attributes, rows.kind == Kind::Double, features)?;
            let kind = if forest.is_double() { Kind::Double } else { Kind::Single };
            let outputs = forest.outputs();
            let step = match rows.kind {
                Kind::Double => Step::DoubleForest(Box::new(forest), Operand::Rows(rows.at)),
                _ => Step::Forest(Box::new(forest), Operand::Rows(rows.at)),
            };
            let at = builder.push(kind, outputs, step)?;
            let scores = Value::Rows(Rows { kind, shape: vec![outputs], at, loaded: None });
            if name == "TreeEnsembleClassifier" { vec![Value::Nothing, scores] } else { vec![scores] }
        }
    })
}

/// Numbers of an attribute, one for each feature or for all.
fn each(attributes: &Attributes<'_>, name: &str, features: usize) -> Result<Value> {
    let values = attributes.floats(name)?;
    match values.len() {
        1 => Ok(Constant::one(Kind::Single, values[0])),
        all if all == features => Ok(Constant::list(Kind::Single, values)),
        all => Err(ModelError::new(format!("'{name}' has {all} numbers for {features} features"))),
    }
}

/// `(x − offset) · scale`.
fn scaler(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let features = rows.shape[0];
    let mut value = Value::Rows(rows.clone());
    for (name, binary) in [("offset", Binary::Minus), ("scale", Binary::Times)] {
        if call.attributes.find(name).is_some() {
            value = zip(builder, binary, &value, &each(&call.attributes, name, features)?)?;
        }
    }
    Ok(value)
}

/// Another number where there is a certain one, which may be NaN.
fn imputer(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let features = rows.shape.last().copied().unwrap_or(1);
    let (own, kind) = (Value::Rows(rows.clone()), rows.kind);
    let value = match kind {
        Kind::Whole => {
            let values = &call.attributes.get("imputed_value_int64s")?.ints;
            let wanted = call.attributes.find("replaced_value_int64").map_or(0, |found| found.i);
            (values.iter().map(|value| *value as f64).collect(), wanted as f64)
        }
        _ => {
            let values = call.attributes.floats("imputed_value_floats")?;
            (values, f64::from(call.attributes.find("replaced_value_float").map_or(0.0, |found| found.f)))
        }
    };
    let (values, wanted): (Vec<f64>, f64) = value;
    if values.len() != 1 && values.len() != features {
        return Err(ModelError::new(format!("it has {} numbers for {features} features", values.len())));
    }
    let values = match values.as_slice() {
        [one] => Constant::one(kind, *one),
        _ => Constant::list(kind, values),
    };
    let (shape, own_shapes) = builder.broadcast(&[&own, &values])?;
    super::values::of_all!(kind, T => {
        let number = Operand::Constant(<T as Lane>::of(wanted));
        let is_it = Ask::Is(Question::Same, Operand::Rows(rows.at), number);
        let which = builder.ask::<T>(Kind::Truth, &shape, is_it)?;
        let which = builder.as_rows(&which)?;
        let values = builder.spread::<T>(&values, &own_shapes[1], &shape)?;
        builder.work::<T>(&shape, Work::Choose(Operand::Rows(which.at), values, Operand::Rows(rows.at)))
    })
}

/// Rows by their greatest number, by their sum or their length; rows of which that is 0 stay.
fn normalizer(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let by = match call.attributes.text("norm", "MAX")? {
        "MAX" => Fold::Most,
        "L1" => Fold::Sizes,
        "L2" => Fold::Length,
        other => return Err(ModelError::new(format!("'norm' is '{other}'"))),
    };
    let by = fold(builder, rows, by, &[0], true)?;
    shares(builder, rows, &by)
}

/// Sums of features times coefficients, a run of them for each sum.
fn linear(builder: &mut Builder, call: &Call<'_>, rows: &Rows, sums: usize) -> Result<Value> {
    let features = rows.shape[0];
    let coefficients = call.attributes.floats("coefficients")?;
    if sums == 0 || features.checked_mul(sums) != Some(coefficients.len()) {
        let all = coefficients.len();
        return Err(ModelError::new(format!("'coefficients' has {all} numbers for {features} features, {sums} sums")));
    }
    let turned: Vec<f64> = (0..features)
        .flat_map(|feature| {
            let coefficients = &coefficients;
            (0..sums).map(move |sum| coefficients[sum * features + feature])
        })
        .collect();
    let intercepts = call.attributes.floats("intercepts")?;
    if !intercepts.is_empty() && intercepts.len() != sums {
        return Err(ModelError::new(format!("'intercepts' has {} numbers for {sums} sums", intercepts.len())));
    }
    let bias: Vec<f32> = intercepts.iter().map(|x| *x as f32).collect();
    times::<f32>(builder, rows, (&turned, sums), 1.0, bias)
}

fn linear_classifier(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let attribute = |name: &str| call.attributes.find(name);
    let classes = attribute("classlabels_ints").map_or(0, |found| found.ints.len())
        + attribute("classlabels_strings").map_or(0, |found| found.strings.len());
    let all = call.attributes.floats("coefficients")?.len();
    if classes == 0 || rows.shape[0].checked_mul(classes) != Some(all) {
        return Err(ModelError::new(format!("it has {all} coefficients for {classes} classes")));
    }
    let scores = linear(builder, call, rows, classes)?;
    transformed(builder, call, &scores)
}

/// What `post_transform` says.
fn transformed(builder: &mut Builder, call: &Call<'_>, scores: &Value) -> Result<Value> {
    let rows = builder.as_rows(scores)?;
    match call.attributes.text("post_transform", "NONE")? {
        "NONE" => Ok(scores.clone()),
        "LOGISTIC" => mapped::<f32>(builder, &rows, Unary::Sigmoid),
        "SOFTMAX" => {
            let places = (0..rows.shape[0]).map(|at| rows.at + at).collect();
            let groups = Groups { places, each: rows.shape[0] };
            builder.work::<f32>(&rows.shape, Work::Softmax(groups, false))
        }
        other => Err(ModelError::new(format!("'post_transform' is '{other}', which is not supported"))),
    }
}

/// Whole numbers to others, by a table.
fn label_encoder(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let attributes = &call.attributes;
    if rows.kind != Kind::Whole || attributes.find("keys_int64s").is_none() {
        return Err(ModelError::new("other than whole numbers are not supported"));
    }
    let keys = &attributes.get("keys_int64s")?.ints;
    let (kind, values, default) = match attributes.find("values_floats") {
        Some(_) => {
            let default = attributes.find("default_float").map_or(-0.0, |found| found.f);
            (Kind::Single, attributes.floats("values_floats")?, default)
        }
        None => {
            let values = &attributes.get("values_int64s")?.ints;
            let default = attributes.find("default_int64").map_or(-1, |found| found.i);
            if values.iter().chain([&default]).any(|value| value.unsigned_abs() > 1 << 24) {
                return Err(ModelError::new("its whole numbers are too great"));
            }
            (Kind::Whole, values.iter().map(|value| *value as f64).collect(), default as f32)
        }
    };
    if keys.len() != values.len() {
        return Err(ModelError::new(format!("it has {} keys and {} values", keys.len(), values.len())));
    }
    let table: HashMap<i64, f32> = keys.iter().copied().zip(values.iter().map(|value| *value as f32)).collect();
    let step = Step::LookUp(Operand::Rows(rows.at), table, default);
    let at = builder.push(Kind::Single, count(&rows.shape)?, step)?;
    let found = Rows { kind: Kind::Single, shape: rows.shape.clone(), at, loaded: None };
    Ok(Value::Rows(builder.cast(&found, kind)?))
}

/// A 1 for the category that a number is, 0 for the others, in an axis behind the others.
fn one_hot(builder: &mut Builder, call: &Call<'_>, rows: &Rows) -> Result<Value> {
    let found = call.attributes.find("cats_int64s").filter(|found| !found.ints.is_empty());
    let found = found.ok_or_else(|| ModelError::new("categories that are no whole numbers are not supported"))?;
    if call.int("zeros", 1) == 0 {
        return Err(ModelError::new("'zeros' is 0: it fails for what is none of its categories"));
    }
    let categories: Vec<f64> = found.ints.iter().map(|category| *category as f64).collect();
    let rows = builder.cast(rows, Kind::Whole)?;
    let mut shape = rows.shape.clone();
    shape.push(1);
    let own = Value::Rows(Rows { shape, ..rows });
    let categories = Constant::list(Kind::Whole, categories);
    let (shape, shapes) = builder.broadcast(&[&own, &categories])?;
    let number = builder.spread::<i64>(&own, &shapes[0], &shape)?;
    let category = builder.spread::<i64>(&categories, &shapes[1], &shape)?;
    let is_it = builder.ask::<i64>(Kind::Truth, &shape, Ask::Is(Question::Equal, number, category))?;
    let is_it = builder.as_rows(&is_it)?;
    Ok(Value::Rows(builder.cast(&is_it, Kind::Single)?))
}

/// Coefficients times what a kernel says of a row and each support vector.
fn support_vectors(builder: &mut Builder, call: &Call<'_>, rows: &Rows, features: usize) -> Result<Value> {
    let vectors = call.attributes.floats("support_vectors")?;
    let coefficients = call.attributes.floats("coefficients")?;
    let rho = call.attributes.floats("rho")?;
    let many = usize::try_from(call.int("n_supports", 0)).unwrap_or(0);
    if many == 0 || many.checked_mul(features) != Some(vectors.len()) || coefficients.len() != many || rho.len() != 1 {
        return Err(ModelError::new(format!("{many} support vectors have {} numbers", vectors.len())));
    }
    let parameters = call.attributes.floats("kernel_params")?;
    let kernel = call.attributes.text("kernel_type", "LINEAR")?;
    let [gamma, shift, degree] = match (parameters.as_slice(), kernel) {
        (_, "LINEAR") => [0.0; 3],
        ([gamma, shift, degree], _) => [*gamma, *shift, *degree],
        _ => return Err(ModelError::new("'kernel_params' has not three numbers")),
    };
    let one = |value: f64| Constant::one(Kind::Single, value);
    let said = if kernel == "RBF" {
        // The square of the distance, feature by feature.
        let size = count(&[many, features])?;
        let at: Vec<usize> = (0..size).map(|place| rows.at + place % features).collect();
        let vectors = vectors.iter().map(|x| *x as f32).collect();
        let apart = Work::Zip(Binary::Minus, Operand::Picked(at), Operand::Constants(vectors));
        let apart = builder.work::<f32>(&[many, features], apart)?;
        let apart = builder.as_rows(&apart)?;
        let squares = fold(builder, &apart, Fold::Squares, &[1], false)?;
        let exponent = zip(builder, Binary::Times, &squares, &one(-gamma))?;
        let exponent = builder.as_rows(&exponent)?;
        mapped::<f32>(builder, &exponent, Unary::Exp)?
    } else {
        let turned: Vec<f64> = (0..features)
            .flat_map(|feature| {
                let vectors = &vectors;
                (0..many).map(move |vector| vectors[vector * features + feature])
            })
            .collect();
        let products = times::<f32>(builder, rows, (&turned, many), 1.0, vec![])?;
        if kernel == "LINEAR" {
            products
        } else {
            let scaled = zip(builder, Binary::Times, &products, &one(gamma))?;
            let shifted = zip(builder, Binary::Plus, &scaled, &one(shift))?;
            match kernel {
                "POLY" => zip(builder, Binary::Power, &shifted, &one(degree))?,
                "SIGMOID" => {
                    let shifted = builder.as_rows(&shifted)?;
                    mapped::<f32>(builder, &shifted, Unary::Tanh)?
                }
                other => return Err(ModelError::new(format!("'kernel_type' is '{other}'"))),
            }
        }
    };
    let said = builder.as_rows(&said)?;
    let score = times::<f32>(builder, &said, (&coefficients, 1), 1.0, vec![rho[0] as f32])?;
    if call.int("one_class", 0) == 0 {
        return transformed(builder, call, &score);
    }
    let score = builder.as_rows(&score)?;
    let sign = Ask::Is(Question::Greater, Operand::Rows(score.at), Operand::Constant(0.0f32));
    let which = builder.ask::<f32>(Kind::Truth, &score.shape, sign)?;
    let which = builder.as_rows(&which)?;
    builder.work::<f32>(
        &score.shape,
        Work::Choose(Operand::Rows(which.at), Operand::Constant(1.0), Operand::Constant(-1.0)),
    )
}
