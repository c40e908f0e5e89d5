//! Operators that move numbers and change none: shapes, parts, joints.

use crate::error::{ModelError, Result};

use super::functions::Lane;
use super::program::{Kind, Operand, Work};
use super::values::{Builder, Call, Constant, Rows, Value, count, mixes, of_all, of_reals};

/// Operators that are here.
pub const OPERATORS: [&str; 17] = [
    "ArrayFeatureExtractor",
    "Concat",
    "ConstantOfShape",
    "Dropout",
    "Expand",
    "FeatureVectorizer",
    "Flatten",
    "Gather",
    "Identity",
    "Range",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Reads one of them.
pub fn operator(builder: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let name = call.attributes.node.op_type.as_str();
    if let Some(Value::Shape(all, one)) = call.inputs.first()
        && !matches!(name, "Concat" | "ConstantOfShape" | "Identity")
    {
        return Ok(vec![of_shape(name, call, all, *one)?]);
    }
    if name == "Concat" && call.inputs.iter().any(|value| matches!(value, Value::Shape(..))) {
        return Ok(vec![joined_shapes(call)?]);
    }
    Ok(vec![match name {
        "Identity" => call.input(0)?.clone(),
        "Dropout" if call.maybe(2).is_some_and(|on| !matches!(on, Value::Constant(on) if on.values == [0.0])) => {
            return Err(ModelError::new("it is in training"));
        }
        "Dropout" => call.input(0)?.clone(),
        "Shape" => shape(builder, call)?,
        "ConstantOfShape" => filled(builder, call)?,
        "Range" => range(call)?,
        "Reshape" => {
            let rows = builder.as_rows(call.input(0)?)?;
            let target = target(call.input(1)?)?;
            let shape = reshaped(builder, &rows.shape, &target, call.int("allowzero", 0) != 0)?;
            Value::Rows(Rows { shape, ..rows })
        }
        "Flatten" => flatten(builder, call)?,
        "Squeeze" => squeeze(builder, call)?,
        "Unsqueeze" => unsqueeze(builder, call)?,
        "Expand" => expand(builder, call)?,
        "Transpose" => transpose(builder, call)?,
        "Concat" | "FeatureVectorizer" => {
            let rows = call.inputs.iter().map(|value| builder.as_rows(value)).collect::<Result<Vec<Rows>>>()?;
            let default = if name == "Concat" { call.attributes.int("axis")? } else { 1 };
            let rank = rows.first().map_or(0, |rows| rows.shape.len());
            let axis = builder.axis(default, rank)?;
            concat(builder, &rows, axis)?
        }
        "Gather" => gather(builder, call)?,
        "ArrayFeatureExtractor" => {
            let rows = builder.as_rows(call.input(0)?)?;
            let axis = rows.shape.len().checked_sub(1).ok_or_else(|| mixes("it picks rows"))?;
            let wanted = call.constant(1)?.ints();
            let numbers = positions(&wanted, rows.shape[axis])?;
            along(builder, &rows, axis, &numbers)?
        }
        "Slice" => slice(builder, call)?,
        "Split" => return split(builder, call),
        _ => return Err(ModelError::new("it is not known")),
    }])
}

/// Some of a row's numbers, in a shape; `places` are counted from the first of them.
fn pick(builder: &mut Builder, rows: &Rows, shape: Vec<usize>, places: Vec<usize>) -> Result<Value> {
    if count(&shape)? != places.len() {
        return Err(ModelError::new("its shapes do not fit"));
    }
    // What lies together stays where it is.
    if let Some(first) = places.first()
        && places.iter().enumerate().all(|(at, place)| *place == first + at)
    {
        return Ok(Value::Rows(Rows { kind: rows.kind, shape, at: rows.at + first, loaded: None }));
    }
    let places = places.into_iter().map(|place| rows.at + place).collect();
    let value = of_all!(rows.kind, T => builder.work::<T>(&shape, Work::Copy(Operand::Picked(places))))?;
    Ok(of_kind(value, rows.kind))
}

fn of_kind(value: Value, kind: Kind) -> Value {
    match value {
        Value::Rows(rows) => Value::Rows(Rows { kind, ..rows }),
        other => other,
    }
}

/// These numbers of an axis.
fn along(builder: &mut Builder, rows: &Rows, axis: usize, numbers: &[usize]) -> Result<Value> {
    let (before, after) = (count(&rows.shape[..axis])?, count(&rows.shape[axis + 1..])?);
    let size = rows.shape[axis];
    let mut shape = rows.shape.clone();
    shape[axis] = numbers.len();
    count(&shape)?;
    let mut places = vec![];
    for outer in 0..before {
        for number in numbers {
            places.extend((0..after).map(|inner| (outer * size + number) * after + inner));
        }
    }
    pick(builder, rows, shape, places)
}

/// Numbers of an axis of this size; those below 0 are counted from its end.
fn positions(numbers: &[i64], size: usize) -> Result<Vec<usize>> {
    let all = size as i64;
    let place = |number: &i64| match *number {
        number if (-all..0).contains(&number) => Ok((number + all) as usize),
        number if (0..all).contains(&number) => Ok(number as usize),
        number => Err(ModelError::new(format!("there is no place {number}, of {size}"))),
    };
    numbers.iter().map(place).collect()
}

/// A shape that is asked for; `None` is the number of rows.
fn target(value: &Value) -> Result<Vec<Option<i64>>> {
    match value {
        Value::Constant(constant) => Ok(constant.ints().into_iter().map(Some).collect()),
        Value::Shape(all, _) => Ok(all.clone()),
        _ => Err(ModelError::new("its shape is no constant, which is not supported")),
    }
}

fn reshaped(builder: &Builder, own: &[usize], target: &[Option<i64>], zeros: bool) -> Result<Vec<usize>> {
    let all = count(own)?;
    let mut rest = target;
    let mut first_is_free = false;
    if builder.rows {
        let Some((first, others)) = target.split_first() else { return Err(mixes("its shape has no axis")) };
        first_is_free = *first == Some(-1);
        let is_rows = match first {
            None | Some(-1) => true,
            Some(0) => !zeros,
            first => *first == builder.batch,
        };
        if !is_rows {
            return Err(mixes(format!("its first axis becomes {first:?}")));
        }
        rest = others;
    }
    let mut shape = vec![];
    let mut free = None;
    for (at, size) in rest.iter().enumerate() {
        shape.push(match size {
            None => return Err(mixes("the number of rows stands for a later axis")),
            Some(0) if !zeros => *own.get(at).ok_or_else(|| ModelError::new(format!("there is no axis {at}")))?,
            Some(-1) if free.is_none() && !first_is_free => {
                free = Some(at);
                1
            }
            Some(size) => usize::try_from(*size).map_err(|_| ModelError::new(format!("an axis has size {size}")))?,
        });
    }
    let known = count(&shape)?;
    if let Some(free) = free {
        shape[free] = all.checked_div(known).unwrap_or(0);
    }
    if count(&shape)? != all {
        let error = format!("{all} numbers a row do not fill {shape:?}");
        return Err(if builder.rows { mixes(error) } else { ModelError::new(error) });
    }
    Ok(shape)
}

fn flatten(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let axis = call.int("axis", 1);
    let rank = rows.shape.len();
    // Behind the last axis is a place too.
    let place = if axis == rank as i64 + i64::from(builder.rows) { rank } else { builder.axis(axis, rank)? };
    let (before, after) = (count(&rows.shape[..place])?, count(&rows.shape[place..])?);
    if builder.rows && before != 1 {
        return Err(mixes(format!("it joins axis 0 with {before} numbers")));
    }
    let shape = if builder.rows { vec![after] } else { vec![before, after] };
    Ok(Value::Rows(Rows { shape, ..rows }))
}

fn squeeze(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let rank = rows.shape.len();
    let gone = match call.ints("axes", 1)? {
        Some(axes) => axes.iter().map(|axis| builder.axis(*axis, rank)).collect::<Result<Vec<usize>>>()?,
        None => (0..rank).filter(|axis| rows.shape[*axis] == 1).collect(),
    };
    if let Some(axis) = gone.iter().find(|axis| rows.shape[**axis] != 1) {
        return Err(ModelError::new(format!("an axis of {} numbers cannot be left out", rows.shape[*axis])));
    }
    let sizes = rows.shape.iter().enumerate();
    let shape = sizes.filter(|(axis, _)| !gone.contains(axis)).map(|(_, size)| *size).collect();
    Ok(Value::Rows(Rows { shape, ..rows }))
}

fn unsqueeze(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let axes = call.ints("axes", 1)?.ok_or_else(|| ModelError::new("'axes' is missing"))?;
    let rank = rows.shape.len() + axes.len();
    if rank > 16 {
        return Err(ModelError::new("its axes are too many"));
    }
    let axes = axes.iter().map(|axis| builder.axis(*axis, rank)).collect::<Result<Vec<usize>>>()?;
    let mut old = rows.shape.iter();
    let shape: Vec<usize> =
        (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { *old.next().unwrap_or(&1) }).collect();
    if old.next().is_some() {
        return Err(ModelError::new("it names an axis twice"));
    }
    Ok(Value::Rows(Rows { shape, ..rows }))
}

fn expand(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let value = call.input(0)?;
    let mut target = target(call.input(1)?)?;
    let rows = builder.as_rows(value)?;
    if builder.rows {
        if target.len() == rows.shape.len() + 1 {
            let first = target.remove(0);
            if !matches!(first, None | Some(1)) && first != builder.batch {
                return Err(mixes(format!("its first axis becomes {first:?}")));
            }
        } else if target.len() > rows.shape.len() {
            return Err(mixes("it puts an axis before the rows"));
        }
    }
    let sizes = target.iter().map(|size| size.and_then(|size| usize::try_from(size).ok()));
    let dims =
        sizes.collect::<Option<Vec<usize>>>().ok_or_else(|| mixes("the number of rows stands for a later axis"))?;
    count(&dims)?;
    let plain = Builder { rows: false, ..builder.of_constants() };
    let shape = Value::Constant(std::rc::Rc::new(Constant { kind: Kind::Whole, dims, values: vec![] }));
    let (shape, own) = plain.broadcast(&[&Value::Rows(rows.clone()), &shape])?;
    let rows = Value::Rows(rows);
    let kind = match &rows {
        Value::Rows(rows) => rows.kind,
        _ => Kind::Single,
    };
    let value = of_all!(kind, T => {
        let operand = builder.spread::<T>(&rows, &own[0], &shape)?;
        builder.work::<T>(&shape, Work::Copy(operand))
    })?;
    Ok(of_kind(value, kind))
}

fn transpose(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let rank = rows.shape.len();
    let all = rank + usize::from(builder.rows);
    let order: Vec<i64> = match call.attributes.find("perm") {
        Some(found) => found.ints.clone(),
        None => (0..all as i64).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..all as i64) {
        return Err(ModelError::new(format!("'perm' is {order:?}")));
    }
    let own: Vec<usize> = match builder.rows {
        true if order[0] != 0 => return Err(mixes("rows become another axis")),
        true => order[1..].iter().map(|axis| *axis as usize - 1).collect(),
        false => order.iter().map(|axis| *axis as usize).collect(),
    };
    let mut strides = vec![1; rank];
    for axis in (1..rank).rev() {
        strides[axis - 1] = strides[axis] * rows.shape[axis];
    }
    let shape: Vec<usize> = own.iter().map(|axis| rows.shape[*axis]).collect();
    let place = |mut at: usize| {
        let mut place = 0;
        for (size, axis) in shape.iter().zip(&own).rev() {
            place += at % size * strides[*axis];
            at /= size;
        }
        place
    };
    let places = (0..count(&shape)?).map(place).collect();
    pick(builder, &rows, shape.clone(), places)
}

/// Values of one kind, one behind the other along an axis.
pub fn concat(builder: &mut Builder, all: &[Rows], axis: usize) -> Result<Value> {
    let Some(first) = all.first() else { return Err(ModelError::new("it has no input")) };
    let mut shape = first.shape.clone();
    let fits = |rows: &&Rows| {
        let mut own = rows.shape.clone();
        own.len() == shape.len() && rows.kind == first.kind && {
            own[axis] = shape[axis];
            own == shape
        }
    };
    if let Some(other) = all.iter().find(|rows| !fits(rows)) {
        return Err(ModelError::new(format!("{:?} and {:?} cannot be joined", first.shape, other.shape)));
    }
    shape[axis] = all.iter().map(|rows| rows.shape[axis]).sum();
    let before = count(&shape[..axis])?;
    let after = count(&shape[axis + 1..])?;
    count(&shape)?;
    let mut places = vec![];
    for outer in 0..before {
        for rows in all {
            let run = rows.shape[axis] * after;
            places.extend((0..run).map(|inner| rows.at + outer * run + inner));
        }
    }
    let base = Rows { kind: first.kind, shape: vec![], at: 0, loaded: None };
    pick(builder, &base, shape, places)
}

fn gather(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    if let (true, Value::Constant(table), Value::Rows(which)) = (builder.rows, call.input(0)?, call.input(1)?) {
        return embed(builder, table, which, call.int("axis", 0));
    }
    let rows = builder.as_rows(call.input(0)?)?;
    let wanted = call.constant(1)?;
    let axis = builder.axis(call.int("axis", 0), rows.shape.len())?;
    let numbers = positions(&wanted.ints(), rows.shape[axis])?;
    let value = along(builder, &rows, axis, &numbers)?;
    // The axis becomes those of the indices.
    let shape = rows.shape[..axis].iter().chain(&wanted.dims).chain(&rows.shape[axis + 1..]).copied().collect();
    Ok(match value {
        Value::Rows(rows) => Value::Rows(Rows { shape, ..rows }),
        other => other,
    })
}

/// Rows of a constant by numbers that rows have: an embedding.
fn embed(builder: &mut Builder, table: &Constant, which: &Rows, axis: i64) -> Result<Value> {
    let rank = table.dims.len() as i64;
    if rank == 0 || !(axis == 0 || axis == -rank) || which.kind != Kind::Whole {
        return Err(ModelError::new("of a constant only the first axis can be looked up, by whole numbers"));
    }
    let each = count(&table.dims[1..])?;
    if table.dims.contains(&0) {
        return Err(ModelError::new("it looks up nothing"));
    }
    let shape: Vec<usize> = which.shape.iter().chain(&table.dims[1..]).copied().collect();
    of_reals!(table.kind, T => {
        let table = table.values.iter().map(|value| <T as Lane>::of(*value)).collect();
        builder.work::<T>(&shape, Work::Embed { which: Operand::Rows(which.at), table, each })
    })
}

/// Numbers from a start to before an end, in steps.
fn steps(size: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>> {
    let size = size as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let (start, end) = (from_end(start), from_end(end));
    let mut all = vec![];
    match step {
        0 => return Err(ModelError::new("its step is 0")),
        1.. => {
            let mut at = start.clamp(0, size);
            while at < end.clamp(0, size) {
                all.push(at as usize);
                at = at.saturating_add(step);
            }
        }
        _ => {
            let (mut at, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
            while at > end {
                all.push(at as usize);
                at = at.saturating_add(step);
            }
        }
    }
    Ok(all)
}

fn slice(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let (starts, ends, axes, strides) = slice_arguments(call)?;
    let rank = rows.shape.len();
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let mut value = rows;
    for (at, axis) in axes.iter().enumerate() {
        let (start, end, step) = (starts[at], *ends.get(at).unwrap_or(&0), *strides.get(at).unwrap_or(&1));
        let is_whole = step == 1 && start == 0 && end >= i64::from(i32::MAX);
        if builder.rows && (*axis == 0 || *axis == -(rank as i64) - 1) && is_whole {
            continue;
        }
        let axis = builder.axis(*axis, rank)?;
        let numbers = steps(value.shape[axis], start, end, step)?;
        let part = along(builder, &value, axis, &numbers)?;
        value = builder.as_rows(&part)?;
    }
    Ok(Value::Rows(value))
}

type Slices = (Vec<i64>, Vec<i64>, Option<Vec<i64>>, Vec<i64>);

fn slice_arguments(call: &Call<'_>) -> Result<Slices> {
    let missing = || ModelError::new("'starts' or 'ends' is missing");
    let starts = call.ints("starts", 1)?.ok_or_else(missing)?;
    let ends = call.ints("ends", 2)?.ok_or_else(missing)?;
    let axes = call.ints("axes", 3)?;
    let strides = call.ints("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let count = starts.len();
    if ends.len() != count || strides.len() != count || axes.as_ref().is_some_and(|axes| axes.len() != count) {
        return Err(ModelError::new("'starts', 'ends', 'axes' and 'steps' are not as many"));
    }
    Ok((starts, ends, axes, strides))
}

fn split(builder: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let rows = builder.as_rows(call.input(0)?)?;
    let axis = builder.axis(call.int("axis", 0), rows.shape.len())?;
    let (size, parts) = (rows.shape[axis], call.attributes.node.output.len().max(1));
    let sizes = match call.ints("split", 1)? {
        Some(sizes) => sizes.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect(),
        None => {
            let each = size.div_ceil(parts);
            (0..parts).map(|part| each.min(size.saturating_sub(part * each))).collect::<Vec<usize>>()
        }
    };
    if sizes.iter().try_fold(0usize, |all, size| all.checked_add(*size)) != Some(size) {
        return Err(ModelError::new(format!("{size} numbers are not split into {sizes:?}")));
    }
    let mut first = 0;
    let mut all = vec![];
    for size in sizes {
        let numbers: Vec<usize> = (first..first + size).collect();
        all.push(along(builder, &rows, axis, &numbers)?);
        first += size;
    }
    Ok(all)
}

fn shape(builder: &Builder, call: &Call<'_>) -> Result<Value> {
    let mut all: Vec<Option<i64>> = match call.input(0)? {
        Value::Rows(rows) => {
            let own = rows.shape.iter().map(|size| Some(*size as i64));
            if builder.rows { [None].into_iter().chain(own).collect() } else { own.collect() }
        }
        Value::Constant(constant) => constant.dims.iter().map(|size| Some(*size as i64)).collect(),
        _ => return Err(ModelError::new("the shape of a shape is not supported")),
    };
    let place = |at: i64| (if at < 0 { at + all.len() as i64 } else { at }).clamp(0, all.len() as i64) as usize;
    let (start, end) = (place(call.int("start", 0)), place(call.int("end", i64::MAX)));
    all = all[start.min(end)..end].to_vec();
    Ok(known(all, false))
}

/// A shape, or a constant if nothing in it is the number of rows.
fn known(all: Vec<Option<i64>>, one: bool) -> Value {
    match all.iter().map(|size| size.map(|size| size as f64)).collect::<Option<Vec<f64>>>() {
        Some(values) if one && values.len() == 1 => Constant::one(Kind::Whole, values[0]),
        Some(values) => Constant::list(Kind::Whole, values),
        None => Value::Shape(all, one),
    }
}

/// Parts of a shape that has the number of rows.
fn of_shape(name: &str, call: &Call<'_>, all: &[Option<i64>], one: bool) -> Result<Value> {
    match name {
        "Gather" if !one => {
            let wanted = call.constant(1)?;
            let places = positions(&wanted.ints(), all.len())?;
            Ok(known(places.iter().map(|place| all[*place]).collect(), wanted.dims.is_empty()))
        }
        "Slice" if !one => {
            let (starts, ends, _, strides) = slice_arguments(call)?;
            let ([start], [end], [step]) = (&starts[..], &ends[..], &strides[..]) else {
                return Err(ModelError::new("a shape has one axis"));
            };
            let places = steps(all.len(), *start, *end, *step)?;
            Ok(known(places.iter().map(|place| all[*place]).collect(), false))
        }
        "Squeeze" if all.len() == 1 => Ok(known(all.to_vec(), true)),
        "Unsqueeze" if one => Ok(known(all.to_vec(), false)),
        "Reshape" if matches!(call.maybe(1), Some(Value::Constant(to)) if to.values.len() == 1) => {
            Ok(known(all.to_vec(), false))
        }
        _ => Err(mixes("it computes with the number of rows")),
    }
}

fn joined_shapes(call: &Call<'_>) -> Result<Value> {
    let mut all = vec![];
    for value in &call.inputs {
        match value {
            Value::Shape(part, _) => all.extend(part.iter().copied()),
            Value::Constant(constant) => all.extend(constant.ints().into_iter().map(Some)),
            _ => return Err(ModelError::new("a shape is joined with what rows have")),
        }
    }
    Ok(known(all, false))
}

fn filled(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let target = target(call.input(0)?)?;
    let (kind, value) = match call.attributes.find("value").and_then(|found| found.t.as_ref()) {
        None => (Kind::Single, 0.0),
        Some(tensor) => {
            let constant = super::constant(tensor)?;
            (constant.kind, constant.values.first().copied().unwrap_or(0.0))
        }
    };
    let own = if target.first() == Some(&None) { &target[1..] } else { &target[..] };
    let sizes = own.iter().map(|size| size.and_then(|size| usize::try_from(size).ok()));
    let sizes: Option<Vec<usize>> = sizes.collect();
    let sizes = sizes.ok_or_else(|| mixes("the number of rows stands for a later axis"))?;
    let all = count(&sizes)?;
    if own.len() == target.len() {
        let values = vec![value; all];
        return Ok(Value::Constant(std::rc::Rc::new(Constant { kind, dims: sizes, values })));
    }
    let filled = of_all!(kind, T => {
        builder.work::<T>(&sizes, Work::Copy(Operand::Constant(<T as super::functions::Lane>::of(value))))
    })?;
    Ok(of_kind(filled, kind))
}

fn range(call: &Call<'_>) -> Result<Value> {
    let [start, limit, step] = [0, 1, 2].map(|at| {
        call.constant(at).and_then(|of| {
            let value = of.values.first().copied();
            value.map(|value| (of.kind, value)).ok_or_else(|| ModelError::new("an input is empty"))
        })
    });
    let ((kind, start), (_, limit), (_, step)) = (start?, limit?, step?);
    let all = ((limit - start) / step).ceil();
    if all.is_nan() || all > 1e5 {
        return Err(ModelError::new(format!("{all} numbers are too many")));
    }
    let all = all.max(0.0) as usize;
    Ok(Constant::list(kind, (0..all).map(|at| start + at as f64 * step).collect()))
}
