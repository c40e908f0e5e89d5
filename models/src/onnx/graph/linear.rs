//! Operators that join the numbers of a row: products with matrices, sums and means over axes, normalisation, softmax.

use crate::error::{ModelError, Result};

use super::elementwise::zip;
use super::functions::{Lane, Real};
use super::product::Matrix;
use super::program::{Ask, Binary, Fold, Groups, Kind, Operand, Unary, Work};
use super::values::{Builder, Call, Constant, Rows, Typed, Value, count, mapped, mixes, of_all, of_reals, rows_of};

/// Operators that are here.
pub const OPERATORS: [&str; 19] = [
    "MatMul",
    "Gemm",
    "BatchNormalization",
    "LayerNormalization",
    "Softmax",
    "LogSoftmax",
    "ArgMax",
    "ArgMin",
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "LpNormalization",
];

/// Reads one of them.
pub fn operator(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let name = call.attributes.node.op_type.as_str();
    match name {
        "MatMul" => matmul(builder, call),
        "Gemm" => gemm(builder, call),
        "BatchNormalization" => batch_normalization(builder, call),
        "LayerNormalization" => layer_normalization(builder, call),
        "LpNormalization" => lp_normalization(builder, call),
        "Softmax" | "LogSoftmax" => softmax(builder, call, name == "LogSoftmax"),
        "ArgMax" | "ArgMin" => best(builder, call, name == "ArgMin"),
        _ => reduce(builder, call, name),
    }
}

/// Rows times numbers that lie row by row in a matrix of so many columns.
pub fn times<T: Typed + Real>(
    builder: &mut Builder,
    rows: &Rows,
    (numbers, width): (&[f64], usize),
    scale: f64,
    bias: Vec<T>,
) -> Result<Value> {
    let [outer @ .., each] = rows.shape.as_slice() else {
        return Err(mixes("it multiplies along axis 0"));
    };
    if each.checked_mul(width) != Some(numbers.len()) {
        return Err(ModelError::new(format!("{each} numbers meet a matrix of {} rows", numbers.len() / width.max(1))));
    }
    let numbers: Vec<T> = numbers.iter().map(|x| T::of(*x)).collect();
    let scale = Some(T::of(scale)).filter(|scale| *scale != T::ONE);
    let shape: Vec<usize> = outer.iter().copied().chain([width]).collect();
    if count(&shape)? == 0 || *each == 0 {
        return Err(ModelError::new("a matrix without numbers is not supported"));
    }
    let matrix = Matrix::new(*each, &numbers, scale, bias);
    builder.work::<T>(&shape, Work::Times { from: rows.at, each: *each, matrix, outputs: width })
}

fn matmul(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if !builder.rows {
        return constants(builder, call);
    }
    let (Value::Rows(rows), Value::Constant(matrix)) = (a, b) else {
        let why = if rows_of(b).is_some() && rows_of(a).is_none() {
            return Err(mixes("a constant is multiplied by the rows from the left"));
        } else {
            "a product of two values that rows have is not supported"
        };
        return Err(ModelError::new(why));
    };
    if rows.kind != matrix.kind {
        return Err(ModelError::new("its inputs are of two types"));
    }
    let (is_vector, width) = match matrix.dims.as_slice() {
        [_] => (true, 1),
        [_, width] => (false, *width),
        dims => return Err(ModelError::new(format!("a matrix of shape {dims:?} is not supported"))),
    };
    let value = of_reals!(rows.kind, T => times::<T>(builder, rows, (&matrix.values, width), 1.0, vec![]))?;
    Ok(match value {
        Value::Rows(mut rows) if is_vector => {
            rows.shape.pop();
            Value::Rows(rows)
        }
        value => value,
    })
}

/// A product of two constants.
fn constants(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let (Value::Constant(a), Value::Constant(b)) = (call.input(0)?, call.input(1)?) else {
        return Err(ModelError::new("a product of such values is not supported"));
    };
    let (a, b) = (a.clone(), b.clone());
    let ([_, _], [_, width]) = (a.dims.as_slice(), b.dims.as_slice()) else {
        return Err(ModelError::new("a product of constants that are no matrices is not supported"));
    };
    let rows = builder.as_rows(&Value::Constant(a))?;
    of_reals!(rows.kind, T => times::<T>(builder, &rows, (&b.values, *width), 1.0, vec![]))
}

/// Row by row, of a constant that may be turned: its numbers and columns.
fn matrix_of(matrix: &Constant, turned: bool) -> Result<(Vec<f64>, usize)> {
    let [height, width] = matrix.dims[..] else {
        return Err(ModelError::new(format!("a matrix of shape {:?} is not supported", matrix.dims)));
    };
    match turned {
        false => Ok((matrix.values.clone(), width)),
        true => Ok((
            (0..width).flat_map(|column| (0..height).map(move |row| matrix.values[row * width + column])).collect(),
            height,
        )),
    }
}

/// `alpha · A · B + beta · C`.
fn gemm(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    if call.int("transA", 0) != 0 {
        return Err(mixes("'transA' is set"));
    }
    let rows = builder.as_rows(call.input(0)?)?;
    let (numbers, width) = matrix_of(&*call.constant(1)?, call.int("transB", 0) != 0)?;
    if rows.shape.len() != if builder.rows { 1 } else { 2 } {
        return Err(ModelError::new("its rows are no matrix"));
    }
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let bias = match call.maybe(2) {
        // One for each column, or for all.
        Some(Value::Constant(bias)) if beta == 1.0 && matches!(bias.dims[..], [] | [_] | [1, _]) => {
            let values = &bias.values;
            let all = if values.len() == 1 { vec![values[0]; width] } else { values.clone() };
            if all.len() != width {
                return Err(ModelError::new(format!("its sums are {width}, C has {} numbers", all.len())));
            }
            all
        }
        _ => vec![],
    };
    let is_fused = !bias.is_empty();
    let sums = of_reals!(rows.kind, T => {
        let bias = bias.iter().map(|x| <T as Lane>::of(*x)).collect();
        times::<T>(builder, &rows, (&numbers, width), alpha, bias)
    })?;
    let Some(other) = call.maybe(2).filter(|_| !is_fused && beta != 0.0) else { return Ok(sums) };
    let mut other = other.clone();
    if beta != 1.0 {
        other = zip(builder, Binary::Times, &other, &Constant::one(rows.kind, beta))?;
    }
    let value = zip(builder, Binary::Plus, &sums, &other)?;
    Ok(value)
}

/// `(x − mean) · (scale / √(variance + epsilon)) + bias`, for each number of axis 1.
fn batch_normalization(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    if call.int("training_mode", 0) != 0 {
        return Err(mixes("'training_mode' is set"));
    }
    let value = call.input(0)?;
    let Some(rows) = rows_of(value).filter(|_| builder.rows) else {
        return Err(ModelError::new("a constant is normalised"));
    };
    let Some(channels) = rows.shape.first().copied() else { return Err(mixes("it works along axis 0")) };
    // One for each channel, in front of the other axes.
    let by_channel = |values: Vec<f64>| {
        let mut dims = vec![1; rows.shape.len()];
        dims[0] = channels;
        Value::Constant(std::rc::Rc::new(Constant { kind: rows.kind, dims, values }))
    };
    let mut all = vec![];
    for at in 1..5 {
        let constant = call.constant(at)?;
        if constant.values.len() != channels {
            return Err(ModelError::new(format!("input {} has {} numbers", at + 1, constant.values.len())));
        }
        all.push(constant);
    }
    let [scale, bias, mean, variance] = &all[..] else { return Err(ModelError::new("inputs are missing")) };
    let epsilon = call.float("epsilon", 1e-5);
    let factor = scale.values.iter().zip(&variance.values);
    let factor = of_reals!(rows.kind, T => {
        let of = |(scale, variance): (&f64, &f64)| {
            let root = <T as Lane>::of(*variance).plus(<T as Lane>::of(epsilon)).root();
            <T as Lane>::of(*scale).over(root).to_f64()
        };
        Ok(factor.map(of).collect())
    })?;
    let value = zip(builder, Binary::Minus, value, &by_channel(mean.values.clone()))?;
    let value = zip(builder, Binary::Times, &value, &by_channel(factor))?;
    zip(builder, Binary::Plus, &value, &by_channel(bias.values.clone()))
}

/// `(x − mean) / √(variance + epsilon) · scale + bias`, over the last axes.
fn layer_normalization(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let value = Value::Rows(rows.clone());
    let axis = builder.axis(call.int("axis", -1), rows.shape.len())?;
    let axes: Vec<usize> = (axis..rows.shape.len()).collect();
    let mean = fold(builder, &rows, Fold::Mean, &axes, true)?;
    let apart = zip(builder, Binary::Minus, &value, &mean)?;
    let square = zip(builder, Binary::Times, &apart, &apart)?;
    let square = builder.as_rows(&square)?;
    let variance = fold(builder, &square, Fold::Mean, &axes, true)?;
    let epsilon = Constant::one(rows.kind, call.float("epsilon", 1e-5));
    let variance = zip(builder, Binary::Plus, &variance, &epsilon)?;
    let variance = builder.as_rows(&variance)?;
    let root = of_reals!(rows.kind, T => mapped::<T>(builder, &variance, Unary::Root))?;
    let mut value = zip(builder, Binary::Over, &apart, &root)?;
    for (at, binary) in [(1, Binary::Times), (2, Binary::Plus)] {
        if let Some(by) = call.maybe(at) {
            value = zip(builder, binary, &value, by)?;
        }
    }
    Ok(value)
}

/// `x` by the length of what is along an axis; 0 where that is 0.
fn lp_normalization(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let axis = builder.axis(call.int("axis", -1), rows.shape.len())?;
    let by = match call.int("p", 2) {
        1 => Fold::Sizes,
        2 => Fold::Length,
        other => return Err(ModelError::new(format!("'p' is {other}"))),
    };
    let length = fold(builder, &rows, by, &[axis], true)?;
    shares(builder, &rows, &length)
}

/// Numbers by such as may be 0, by which they are not divided.
pub fn shares(builder: &mut Builder, rows: &Rows, by: &Value) -> Result<Value> {
    let by = builder.as_rows(by)?;
    let safe = of_reals!(rows.kind, T => {
        let zero = Operand::Constant(<T as Lane>::of(0.0));
        let is_zero = Ask::Is(super::program::Question::Equal, Operand::Rows(by.at), zero);
        let is_zero = builder.ask::<T>(Kind::Truth, &by.shape, is_zero)?;
        let at = rows_of(&is_zero).map_or(0, |rows| rows.at);
        let one = Operand::Constant(<T as Lane>::ONE);
        builder.work::<T>(&by.shape, Work::Choose(Operand::Rows(at), one, Operand::Rows(by.at)))
    })?;
    zip(builder, Binary::Over, &Value::Rows(rows.clone()), &safe)
}

/// Places along some axes of a shape, in order; groups are in the order of the others.
fn groups(rows: &Rows, axes: &[usize]) -> Result<Groups> {
    let shape = &rows.shape;
    let each = count(&axes.iter().map(|axis| shape[*axis]).collect::<Vec<_>>())?;
    let all = count(shape)?;
    if each == 0 {
        return Err(ModelError::new("it goes over an axis without numbers"));
    }
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(all);
    for place in 0..all {
        let (mut rest, mut group, mut step) = (place, 0, 1);
        for axis in (0..shape.len()).rev() {
            let number = rest % shape[axis];
            rest /= shape[axis];
            if !axes.contains(&axis) {
                group += number * step;
                step *= shape[axis];
            }
        }
        places.push((group, rows.at + place));
    }
    places.sort_unstable();
    Ok(Groups { places: places.into_iter().map(|(_, place)| place).collect(), each })
}

/// The shape that is left.
fn without(shape: &[usize], axes: &[usize], keep: bool) -> Vec<usize> {
    let sizes = shape.iter().enumerate();
    match keep {
        true => sizes.map(|(axis, size)| if axes.contains(&axis) { 1 } else { *size }).collect(),
        false => sizes.filter(|(axis, _)| !axes.contains(axis)).map(|(_, size)| *size).collect(),
    }
}

/// Joins what is along some axes.
pub fn fold(builder: &mut Builder, rows: &Rows, fold: Fold, axes: &[usize], keep: bool) -> Result<Value> {
    let shape = without(&rows.shape, axes, keep);
    let groups = groups(rows, axes)?;
    let is_plain = matches!(fold, Fold::Sum | Fold::Product | Fold::Most | Fold::Least);
    match rows.kind {
        Kind::Truth | Kind::Whole if is_plain => builder.work::<i64>(&shape, Work::Fold(fold, groups)),
        kind => of_reals!(kind, T => builder.work::<T>(&shape, Work::Fold(fold, groups))),
    }
}

fn reduce(builder: &mut Builder, call: &Call<'_>, name: &str) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let by = match name {
        "ReduceSum" => Fold::Sum,
        "ReduceMean" => Fold::Mean,
        "ReduceMax" => Fold::Most,
        "ReduceMin" => Fold::Least,
        "ReduceProd" => Fold::Product,
        "ReduceL1" => Fold::Sizes,
        "ReduceL2" => Fold::Length,
        "ReduceSumSquare" => Fold::Squares,
        "ReduceLogSum" => Fold::LogSum,
        _ => Fold::LogSumExp,
    };
    let axes = call.ints("axes", 1)?.unwrap_or_default();
    let rank = rows.shape.len();
    let axes = match axes.as_slice() {
        [] if call.int("noop_with_empty_axes", 0) != 0 => return Ok(call.input(0)?.clone()),
        [] if builder.rows => return Err(mixes("it goes over all axes")),
        [] => (0..rank).collect(),
        axes => axes.iter().map(|axis| builder.axis(*axis, rank)).collect::<Result<Vec<usize>>>()?,
    };
    if axes.iter().enumerate().any(|(at, axis)| axes[..at].contains(axis)) {
        return Err(ModelError::new("it names an axis twice"));
    }
    fold(builder, &rows, by, &axes, call.int("keepdims", 1) != 0)
}

/// Before version 13 over all axes from one on, then over one.
fn softmax(builder: &mut Builder, call: &Call<'_>, log: bool) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let rank = rows.shape.len();
    let is_old = builder.version < 13;
    let axis = builder.axis(call.int("axis", if is_old { 1 } else { -1 }), rank)?;
    let axes: Vec<usize> = if is_old { (axis..rank).collect() } else { vec![axis] };
    let groups = groups(&rows, &axes)?;
    of_reals!(rows.kind, T => builder.work::<T>(&rows.shape, Work::Softmax(groups, log)))
}

fn best(builder: &mut Builder, call: &Call<'_>, least: bool) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let axis = builder.axis(call.int("axis", 0), rows.shape.len())?;
    let shape = without(&rows.shape, &[axis], call.int("keepdims", 1) != 0);
    let groups = groups(&rows, &[axis])?;
    let last = call.int("select_last_index", 0) != 0;
    of_all!(rows.kind, T => builder.ask::<T>(Kind::Whole, &shape, Ask::Best { groups, least, last }))
}
