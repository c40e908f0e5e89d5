//! What a graph's names stand for while it is read: constants, values of rows, and shapes with the number of rows in them.

use std::rc::Rc;

use crate::error::{ModelError, Result};
use crate::onnx::{Attributes, BOOL, DOUBLE, FLOAT, INT32, INT64, UINT8};

use super::functions::{Lane, Real};
use super::program::{Ask, Kind, Operand, Program, Step, Work};

/// Numbers of a row in all: what a block of rows needs memory for.
const ROW_MAX: usize = 1 << 18;
/// Numbers of a constant.
const CONSTANT_MAX: usize = 1 << 22;
/// Numbers that are made of constants at a time: that goes over blocks of rows, too, of which one is meant.
const MADE_MAX: usize = 1 << 19;

/// The same for all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    pub kind: Kind,
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

/// Numbers that each row has.
#[derive(Clone, Debug)]
pub struct Rows {
    pub kind: Kind,
    /// Without the axis of rows.
    pub shape: Vec<usize>,
    /// Where the numbers begin.
    pub at: usize,
    /// Columns of the model that were cut to whole numbers, and are nothing else yet.
    pub loaded: Option<std::ops::Range<usize>>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Value {
    Constant(Rc<Constant>),
    Rows(Rows),
    /// Whole numbers, of which `None` is the number of rows; a list, or one alone.
    Shape(Vec<Option<i64>>, bool),
    /// Nobody asks for it, or it could not be made.
    Nothing,
}

impl Constant {
    /// A number.
    pub fn one(kind: Kind, value: f64) -> Value {
        Value::Constant(Rc::new(Constant { kind, dims: vec![], values: vec![value] }))
    }

    /// A list.
    pub fn list(kind: Kind, values: Vec<f64>) -> Value {
        Value::Constant(Rc::new(Constant { kind, dims: vec![values.len()], values }))
    }

    /// As whole numbers.
    pub fn ints(&self) -> Vec<i64> {
        self.values.iter().map(|value| *value as i64).collect()
    }
}

/// The kind of an element type of ONNX.
pub fn kind_of(data_type: i64) -> Option<Kind> {
    let (float, double, truth) = (i64::from(FLOAT), i64::from(DOUBLE), i64::from(BOOL));
    Some(match data_type {
        of if of == float => Kind::Single,
        of if of == double => Kind::Double,
        of if of == truth => Kind::Truth,
        of if of == i64::from(INT32) || of == i64::from(INT64) || of == i64::from(UINT8) => Kind::Whole,
        _ => return None,
    })
}

/// How many numbers such a shape has, if that can be. An axis is not long either where another one is empty.
pub fn count(shape: &[usize]) -> Result<usize> {
    let most = shape.iter().try_fold(1usize, |all, size| all.checked_mul((*size).max(1)));
    match most {
        Some(most) if most <= CONSTANT_MAX => Ok(if shape.contains(&0) { 0 } else { most }),
        _ => Err(ModelError::new(format!("{shape:?} is too large a shape"))),
    }
}

/// A kind of number that steps can be made for.
pub trait Typed: Lane {
    const KIND: Kind;
    fn step(work: Work<Self>) -> Step;
    fn ask(ask: Ask<Self>) -> Step;
}

impl Typed for f32 {
    const KIND: Kind = Kind::Single;

    fn step(work: Work<Self>) -> Step {
        Step::Single(work)
    }

    fn ask(ask: Ask<Self>) -> Step {
        Step::OfSingle(ask)
    }
}

impl Typed for f64 {
    const KIND: Kind = Kind::Double;

    fn step(work: Work<Self>) -> Step {
        Step::Double(work)
    }

    fn ask(ask: Ask<Self>) -> Step {
        Step::OfDouble(ask)
    }
}

impl Typed for i64 {
    const KIND: Kind = Kind::Whole;

    fn step(work: Work<Self>) -> Step {
        Step::Whole(work)
    }

    fn ask(ask: Ask<Self>) -> Step {
        Step::OfWhole(ask)
    }
}

/// What is done for a kind of numbers with fractions; others are refused.
macro_rules! of_reals {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::Single => {
                type $T = f32;
                $body
            }
            Kind::Double => {
                type $T = f64;
                $body
            }
            Kind::Whole | Kind::Truth => Err(ModelError::new("it is given whole numbers, which is not supported")),
        }
    };
}

/// What is done for every kind.
macro_rules! of_all {
    ($kind:expr, $T:ident => $body:expr) => {
        match $kind {
            Kind::Single => {
                type $T = f32;
                $body
            }
            Kind::Double => {
                type $T = f64;
                $body
            }
            Kind::Whole | Kind::Truth => {
                type $T = i64;
                $body
            }
        }
    };
}
pub(super) use {of_all, of_reals};

/// Where steps go.
pub struct Builder {
    pub program: Program,
    /// Values have an axis of rows, which is the first and is not in their shape. Without, there are constants alone.
    pub rows: bool,
    /// The number of rows that the file was written for, if it is for one alone.
    pub batch: Option<i64>,
    /// The version of ONNX's own operators.
    pub version: i64,
}

impl Builder {
    /// For constants that are made of constants.
    pub fn of_constants(&self) -> Builder {
        Builder { program: Program::default(), rows: false, batch: self.batch, version: self.version }
    }

    /// Adds a step that writes so many numbers.
    pub fn push(&mut self, kind: Kind, count: usize, step: Step) -> Result<usize> {
        let (most, what) =
            if self.rows { (ROW_MAX, "its rows need") } else { (MADE_MAX, "what it makes of constants needs") };
        if count > most || self.program.size() + count > most {
            return Err(ModelError::new(format!("{what} more than {most} numbers")));
        }
        Ok(self.program.push(kind, count, step))
    }

    /// Adds work that gives numbers of its kind.
    pub fn work<T: Typed>(&mut self, shape: &[usize], work: Work<T>) -> Result<Value> {
        let at = self.push(T::KIND, count(shape)?, T::step(work))?;
        Ok(Value::Rows(Rows { kind: T::KIND, shape: shape.to_vec(), at, loaded: None }))
    }

    /// Adds a question.
    pub fn ask<T: Typed>(&mut self, kind: Kind, shape: &[usize], ask: Ask<T>) -> Result<Value> {
        let at = self.push(kind, count(shape)?, T::ask(ask))?;
        Ok(Value::Rows(Rows { kind, shape: shape.to_vec(), at, loaded: None }))
    }

    /// The place in a row's shape of an axis, of which there are `rank` there. The axis of rows has none.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let all = rank as i64 + i64::from(self.rows);
        let place = if axis < 0 { axis + all } else { axis };
        match place - i64::from(self.rows) {
            -1 if self.rows && place == 0 => Err(mixes("it works along axis 0")),
            own if (0..rank as i64).contains(&own) => Ok(own as usize),
            _ => Err(ModelError::new(format!("there is no axis {axis}, of {all}"))),
        }
    }

    /// Shapes that go together, and their common one: a row's own, from the last axis on.
    pub fn broadcast(&self, values: &[&Value]) -> Result<(Vec<usize>, Vec<Vec<usize>>)> {
        let mut own: Vec<Vec<usize>> = vec![];
        let rank = values.iter().filter_map(|value| rows_of(value).map(|rows| rows.shape.len())).max();
        for value in values {
            own.push(match value {
                Value::Rows(rows) if self.rows && Some(rows.shape.len()) != rank => {
                    return Err(mixes("it joins values of unlike ranks, so that rows meet columns"));
                }
                Value::Rows(rows) => rows.shape.clone(),
                Value::Constant(constant) if self.rows => {
                    let mut dims = &constant.dims[..];
                    let full = rank.map_or(usize::MAX, |rank| rank + 1);
                    if dims.len() > full {
                        return Err(mixes("a constant has more axes than the rows"));
                    }
                    if let ([first, rest @ ..], true) = (dims, dims.len() == full) {
                        if *first != 1 {
                            return Err(mixes(format!("a constant has {first} rows")));
                        }
                        dims = rest;
                    }
                    dims.to_vec()
                }
                Value::Constant(constant) => constant.dims.clone(),
                Value::Shape(..) => return Err(mixes("it computes with the number of rows")),
                Value::Nothing => return Err(ModelError::new("an input is missing")),
            });
        }
        let rank = own.iter().map(Vec::len).max().unwrap_or(0);
        let mut common = vec![1; rank];
        for shape in &own {
            for (size, common) in shape.iter().rev().zip(common.iter_mut().rev()) {
                match (*size, *common) {
                    (1, _) => {}
                    (size, 1) => *common = size,
                    (size, other) if size == other => {}
                    (size, other) => return Err(ModelError::new(format!("{size} numbers meet {other}"))),
                }
            }
        }
        count(&common)?;
        Ok((common, own))
    }

    /// A value's numbers for each of such a shape, to which its own is broadcast.
    pub fn spread<T: Lane>(&self, value: &Value, own: &[usize], to: &[usize]) -> Result<Operand<T>> {
        let all = count(to)?;
        let is_same = count(own)? == all;
        match value {
            Value::Rows(rows) if is_same => Ok(Operand::Rows(rows.at)),
            Value::Rows(rows) => Ok(Operand::Picked(spread(own, to).map(|at| rows.at + at).collect())),
            Value::Constant(constant) => Ok(match constant.values.as_slice() {
                [one] => Operand::Constant(T::of(*one)),
                values => Operand::Constants(spread(own, to).map(|at| T::of(values[at])).collect()),
            }),
            _ => Err(ModelError::new("an input is missing")),
        }
    }

    /// A value as one of rows: a constant is the same in each.
    pub fn as_rows(&mut self, value: &Value) -> Result<Rows> {
        match value {
            Value::Rows(rows) => Ok(rows.clone()),
            Value::Constant(constant) => {
                let (shape, _) = self.broadcast_alone(constant)?;
                let value = of_all!(constant.kind, T => {
                    let all: Vec<T> = constant.values.iter().map(|value| T::of(*value)).collect();
                    self.work::<T>(&shape, Work::Copy(Operand::Constants(all)))
                })?;
                rows_of(&value)
                    .map(|rows| Rows { kind: constant.kind, ..rows.clone() })
                    .ok_or_else(|| ModelError::new("no rows"))
            }
            Value::Shape(..) => Err(mixes("it computes with the number of rows")),
            Value::Nothing => Err(ModelError::new("an input is missing")),
        }
    }

    /// The shape of a constant that stands for rows.
    fn broadcast_alone(&self, constant: &Constant) -> Result<(Vec<usize>, ())> {
        match constant.dims.as_slice() {
            dims if !self.rows => Ok((dims.to_vec(), ())),
            [1, rest @ ..] => Ok((rest.to_vec(), ())),
            dims => Err(mixes(format!("a constant of shape {dims:?} stands in the place of rows"))),
        }
    }

    /// The same numbers as another kind.
    pub fn cast(&mut self, rows: &Rows, kind: Kind) -> Result<Rows> {
        if rows.kind == kind || (rows.kind == Kind::Truth && kind == Kind::Whole) {
            return Ok(Rows { kind, ..rows.clone() });
        }
        let all = count(&rows.shape)?;
        let is_real = matches!(kind, Kind::Single | Kind::Double);
        let step = match (&rows.loaded, rows.kind, kind) {
            // From the column itself, so that what is missing stays so.
            (Some(columns), ..) if is_real => Step::Load { kind, columns: columns.clone(), cut: true },
            (_, Kind::Single, Kind::Double) => Step::Widen(Operand::Rows(rows.at)),
            (_, Kind::Double, Kind::Single) => Step::Narrow(Operand::Rows(rows.at)),
            (_, Kind::Whole | Kind::Truth, Kind::Single) => Step::WholeToSingle(Operand::Rows(rows.at)),
            (_, Kind::Whole | Kind::Truth, Kind::Double) => Step::WholeToDouble(Operand::Rows(rows.at)),
            (_, _, Kind::Truth) => {
                let is_zero = of_all!(rows.kind, T => {
                    let zero = Operand::Constant(<T as Lane>::of(0.0));
                    let ask = Ask::Is(super::program::Question::Equal, Operand::Rows(rows.at), zero);
                    self.ask::<T>(Kind::Truth, &rows.shape, ask)
                })?;
                let at = rows_of(&is_zero).map_or(0, |rows| rows.at);
                Step::Whole(Work::Map(super::program::Unary::Not, Operand::Rows(at)))
            }
            _ => of_all!(rows.kind, T => T::ask(Ask::Whole(Operand::Rows(rows.at)))),
        };
        let at = self.push(kind, all, step)?;
        Ok(Rows { kind, shape: rows.shape.clone(), at, loaded: None })
    }
}

/// The rows of a value, if it is such.
pub fn rows_of(value: &Value) -> Option<&Rows> {
    match value {
        Value::Rows(rows) => Some(rows),
        _ => None,
    }
}

/// An answer must be that of its row.
pub fn mixes(why: impl std::fmt::Display) -> ModelError {
    ModelError::new(format!("rows would mix: {why}"))
        .hint("a row's answer must be the same whatever rows are asked for beside it")
}

/// For each number of a shape the place of that which is broadcast to it.
fn spread<'s>(own: &'s [usize], to: &'s [usize]) -> impl Iterator<Item = usize> + 's {
    let all: usize = to.iter().product();
    (0..all).map(move |mut at| {
        let (mut place, mut step) = (0, 1);
        for axis in (0..to.len()).rev() {
            let number = at % to[axis];
            at /= to[axis];
            if let Some(own_axis) = (axis + own.len()).checked_sub(to.len()) {
                if own[own_axis] != 1 {
                    place += number * step;
                }
                step *= own[own_axis];
            }
        }
        place
    })
}

/// A node with what it is given.
pub struct Call<'n> {
    pub attributes: Attributes<'n>,
    pub inputs: Vec<Value>,
}

impl Call<'_> {
    /// An input that must be there.
    pub fn input(&self, at: usize) -> Result<&Value> {
        match self.inputs.get(at) {
            None | Some(Value::Nothing) => Err(ModelError::new(format!("input {} is missing", at + 1))),
            Some(value) => Ok(value),
        }
    }

    /// An input that may be left out.
    pub fn maybe(&self, at: usize) -> Option<&Value> {
        self.inputs.get(at).filter(|value| !matches!(value, Value::Nothing))
    }

    /// An input that must be the same for all rows.
    pub fn constant(&self, at: usize) -> Result<Rc<Constant>> {
        match self.input(at)? {
            Value::Constant(constant) => Ok(constant.clone()),
            _ => Err(ModelError::new(format!("input {} is no constant, which is not supported", at + 1))),
        }
    }

    /// Whole numbers that are an attribute in older versions, and an input in newer ones.
    pub fn ints(&self, name: &str, at: usize) -> Result<Option<Vec<i64>>> {
        match (self.maybe(at), self.attributes.find(name)) {
            (Some(_), _) => Ok(Some(self.constant(at)?.ints())),
            (None, Some(found)) => Ok(Some(found.ints.clone())),
            (None, None) => Ok(None),
        }
    }

    /// A whole number of an attribute.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attributes.find(name).map_or(default, |found| found.i)
    }

    /// A number of an attribute.
    pub fn float(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attributes.find(name).map_or(default, |found| found.f))
    }
}

/// Work over reals, from one operand.
pub fn mapped<T: Real + Typed>(
    builder: &mut Builder,
    rows: &Rows,
    function: super::program::Unary<T>,
) -> Result<Value> {
    builder.work::<T>(&rows.shape, Work::Map(function, Operand::Rows(rows.at)))
}
