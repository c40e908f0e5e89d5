//! Operators that treat each number by itself: functions, arithmetic with broadcasting, comparisons, casts.

use crate::error::{ModelError, Result};

use super::functions::{Lane, Real};
use super::program::{Ask, Binary, Kind, Operand, Question, Unary, Work};
use super::values::{Builder, Call, Typed, Value, kind_of, mapped, of_all, of_reals, rows_of};

/// Operators of one input.
pub const FUNCTIONS: [&str; 32] = [
    "Abs",
    "Ceil",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
    "Binarizer",
];

/// Operators of several, that are broadcast.
pub const JOINS: [&str; 21] = [
    "Add",
    "And",
    "Clip",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
    "Cast",
];

/// A function of each number.
pub fn function(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let rows = builder.as_rows(call.input(0)?)?;
    let operator = call.attributes.node.op_type.as_str();
    match (operator, rows.kind) {
        ("IsNaN", Kind::Single | Kind::Double) => {
            return of_reals!(rows.kind, T => {
                // NaN alone is not equal to itself.
                let itself = || Operand::Rows(rows.at);
                let is = builder.ask::<T>(Kind::Truth, &rows.shape, Ask::Is(Question::Equal, itself(), itself()))?;
                let is = builder.as_rows(&is)?;
                truth(builder.work::<i64>(&rows.shape, Work::Map(Unary::Not, Operand::Rows(is.at))))
            });
        }
        ("IsInf", Kind::Single | Kind::Double) => return is_infinite(builder, call, &rows),
        ("Not", Kind::Truth) => {
            return truth(builder.work::<i64>(&rows.shape, Work::Map(Unary::Not, Operand::Rows(rows.at))));
        }
        ("Abs" | "Neg" | "Sign", Kind::Whole) => {
            let function = match operator {
                "Abs" => Unary::Abs,
                "Neg" => Unary::Negative,
                _ => Unary::Sign,
            };
            return builder.work::<i64>(&rows.shape, Work::Map(function, Operand::Rows(rows.at)));
        }
        _ => {}
    }
    of_reals!(rows.kind, T => {
        let of = |name: &str, default: f32| <T as Lane>::of(call.float(name, default));
        let one = <T as Lane>::ONE;
        let function = match operator {
            "Abs" => Unary::Abs,
            "Binarizer" => Unary::Binarize(of("threshold", 0.0)),
            "Ceil" => Unary::Ceil,
            "Celu" => return celu::<T>(builder, call, &rows),
            "Cos" => Unary::Cos,
            "Elu" => Unary::Elu(of("alpha", 1.0), one),
            "Erf" => Unary::Erf,
            "Exp" => Unary::Exp,
            "Floor" => Unary::Floor,
            "Gelu" => match call.attributes.text("approximate", "none")? {
                "none" => Unary::Gelu,
                "tanh" => Unary::GeluTanh,
                other => return Err(ModelError::new(format!("'approximate' is '{other}'"))),
            },
            "HardSigmoid" => Unary::HardSigmoid(of("alpha", 0.2), of("beta", 0.5)),
            "HardSwish" => {
                let gate = Unary::HardSigmoid(<T as Lane>::of(1.0 / 6.0), <T as Lane>::of(0.5));
                let gate = mapped::<T>(builder, &rows, gate)?;
                let gate = builder.as_rows(&gate)?;
                let work = Work::Zip(Binary::Times, Operand::Rows(rows.at), Operand::Rows(gate.at));
                return builder.work::<T>(&rows.shape, work);
            }
            "LeakyRelu" => Unary::Leaky(of("alpha", 0.01)),
            "Log" => Unary::Log,
            "Mish" => Unary::Mish,
            "Neg" => Unary::Negative,
            "Reciprocal" => Unary::Reciprocal,
            "Relu" => Unary::Relu,
            "Round" => Unary::Round,
            "Selu" => Unary::Elu(of("alpha", 1.673_263_2), of("gamma", 1.050_701)),
            "Sigmoid" => Unary::Sigmoid,
            "Sign" => Unary::Sign,
            "Sin" => Unary::Sin,
            "Softplus" => Unary::Softplus,
            "Softsign" => Unary::Softsign,
            "Sqrt" => Unary::Root,
            "Swish" => Unary::Swish(of("alpha", 1.0)),
            "Tanh" => Unary::Tanh,
            "ThresholdedRelu" => Unary::Thresholded(of("alpha", 1.0)),
            _ => return Err(ModelError::new("it does not take such numbers")),
        };
        mapped::<T>(builder, &rows, function)
    })
}

/// Either infinity, or the one that is asked for.
fn is_infinite(builder: &mut Builder, call: &Call<'_>, rows: &super::values::Rows) -> Result<Value> {
    let mut is = |wanted: &str, infinity: f64| {
        // One that nobody asks for is compared with what nothing is equal to.
        let infinity = if call.int(wanted, 1) != 0 { infinity } else { f64::NAN };
        of_reals!(rows.kind, T => {
            let ask = Ask::Is(Question::Equal, Operand::Rows(rows.at), Operand::Constant(<T as Lane>::of(infinity)));
            builder.ask::<T>(Kind::Truth, &rows.shape, ask)
        })
    };
    let (above, below) = (is("detect_positive", f64::INFINITY)?, is("detect_negative", f64::NEG_INFINITY)?);
    zip(builder, Binary::Or, &above, &below)
}

/// `max(0, x) + min(0, alpha · (exp(x / alpha) − 1))`.
fn celu<T: Typed + Real>(builder: &mut Builder, call: &Call<'_>, rows: &super::values::Rows) -> Result<Value> {
    let alpha = T::of(call.float("alpha", 1.0));
    let over = Work::Zip(Binary::Over, Operand::Rows(rows.at), Operand::Constant(alpha));
    let over = builder.work::<T>(&rows.shape, over)?;
    let over = builder.as_rows(&over)?;
    let below = mapped::<T>(builder, &over, Unary::Elu(T::ONE, alpha))?;
    // What is not below 0 stays as it is.
    let below = builder.as_rows(&below)?;
    let zero = || Operand::Constant(T::of(0.0));
    let least = builder.work::<T>(&rows.shape, Work::Zip(Binary::Least, Operand::Rows(below.at), zero()))?;
    let least = builder.as_rows(&least)?;
    let most = builder.work::<T>(&rows.shape, Work::Zip(Binary::Most, Operand::Rows(rows.at), zero()))?;
    let most = builder.as_rows(&most)?;
    builder.work::<T>(&rows.shape, Work::Zip(Binary::Plus, Operand::Rows(most.at), Operand::Rows(least.at)))
}

/// What is 0 or 1.
pub fn truth(value: Result<Value>) -> Result<Value> {
    value.map(|value| match value {
        Value::Rows(rows) => Value::Rows(super::values::Rows { kind: Kind::Truth, ..rows }),
        other => other,
    })
}

fn kind(value: &Value) -> Result<Kind> {
    match value {
        Value::Rows(rows) => Ok(rows.kind),
        Value::Constant(constant) => Ok(constant.kind),
        Value::Shape(..) => Ok(Kind::Whole),
        Value::Nothing => Err(ModelError::new("an input is missing")),
    }
}

/// Arithmetic and comparisons.
pub fn join(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let operator = call.attributes.node.op_type.as_str();
    match operator {
        "Cast" => return cast(builder, call),
        "Clip" => return clip(builder, call),
        "Where" => return choose(builder, call),
        "Sum" | "Mean" | "Max" | "Min" => return many(builder, call),
        _ => {}
    }
    let question = match operator {
        "Greater" => Some(Question::Greater),
        "GreaterOrEqual" => Some(Question::GreaterOrEqual),
        "Less" => Some(Question::Less),
        "LessOrEqual" => Some(Question::LessOrEqual),
        "Equal" => Some(Question::Equal),
        _ => None,
    };
    let (a, b) = (call.input(0)?, call.input(1)?);
    if let Some(question) = question {
        let kind = same_kind(&[a, b])?;
        let (shape, own) = builder.broadcast(&[a, b])?;
        return of_all!(kind, T => {
            let a = builder.spread::<T>(a, &own[0], &shape)?;
            let b = builder.spread::<T>(b, &own[1], &shape)?;
            builder.ask::<T>(Kind::Truth, &shape, Ask::Is(question, a, b))
        });
    }
    let binary = match operator {
        "Add" => Binary::Plus,
        "Sub" => Binary::Minus,
        "Mul" => Binary::Times,
        "Div" => Binary::Over,
        "Pow" => return power(builder, a, b),
        "PRelu" => Binary::Prelu,
        "And" => Binary::And,
        "Or" => Binary::Or,
        "Xor" => Binary::Xor,
        _ => return Err(ModelError::new("it does not take such numbers")),
    };
    zip(builder, binary, a, b)
}

fn same_kind(values: &[&Value]) -> Result<Kind> {
    let first = kind(values.first().ok_or_else(|| ModelError::new("it has no input"))?)?;
    for value in values {
        if kind(value)? != first {
            return Err(ModelError::new("its inputs are of two types"));
        }
    }
    Ok(first)
}

/// Numbers of two values, joined.
pub fn zip(builder: &mut Builder, binary: Binary, a: &Value, b: &Value) -> Result<Value> {
    let kind = same_kind(&[a, b])?;
    let is_logic = matches!(binary, Binary::And | Binary::Or | Binary::Xor);
    if is_logic != (kind == Kind::Truth) || (kind == Kind::Whole && matches!(binary, Binary::Power | Binary::Prelu)) {
        return Err(ModelError::new("it does not take such numbers"));
    }
    let (shape, own) = builder.broadcast(&[a, b])?;
    let value = of_all!(kind, T => {
        let a = builder.spread::<T>(a, &own[0], &shape)?;
        let b = builder.spread::<T>(b, &own[1], &shape)?;
        builder.work::<T>(&shape, Work::Zip(binary, a, b))
    });
    if is_logic { truth(value) } else { value }
}

/// A square is a product, whatever the power's type is.
fn power(builder: &mut Builder, a: &Value, b: &Value) -> Result<Value> {
    let b = match b {
        Value::Constant(constant) if constant.values.iter().all(|to| *to == 2.0) && constant.values.len() == 1 => {
            let (shape, _) = builder.broadcast(&[a, b])?;
            let (own, _) = builder.broadcast(&[a])?;
            if shape == own {
                return zip(builder, Binary::Times, a, a);
            }
            b.clone()
        }
        // The answer is of the first one's type.
        Value::Constant(constant) => {
            Value::Constant(std::rc::Rc::new(super::values::Constant { kind: kind(a)?, ..(**constant).clone() }))
        }
        Value::Rows(rows) => {
            let kind = kind(a)?;
            Value::Rows(builder.cast(&rows.clone(), kind)?)
        }
        other => other.clone(),
    };
    zip(builder, Binary::Power, a, &b)
}

/// `Sum`, `Mean`, `Max`, `Min`: from the first input on.
fn many(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let operator = call.attributes.node.op_type.as_str();
    let binary = match operator {
        "Max" => Binary::Most,
        "Min" => Binary::Least,
        _ => Binary::Plus,
    };
    let mut all = call.input(0)?.clone();
    for at in 1..call.inputs.len() {
        all = zip(builder, binary, &all, call.input(at)?)?;
    }
    if operator == "Mean" {
        let by = super::values::Constant::one(kind(&all)?, call.inputs.len() as f64);
        all = zip(builder, Binary::Over, &all, &by)?;
    }
    // Of one input it is that.
    Ok(all)
}

fn clip(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let mut value = call.input(0)?.clone();
    let kind = kind(&value)?;
    for (at, name, binary) in [(1, "min", Binary::Most), (2, "max", Binary::Least)] {
        let bound = match (call.maybe(at), call.attributes.find(name)) {
            (Some(bound), _) => bound.clone(),
            (None, Some(found)) => super::values::Constant::one(kind, f64::from(found.f)),
            (None, None) => continue,
        };
        value = zip(builder, binary, &value, &bound)?;
    }
    Ok(value)
}

fn choose(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let (which, yes, no) = (call.input(0)?, call.input(1)?, call.input(2)?);
    if kind(which)? != Kind::Truth {
        return Err(ModelError::new("its condition is no boolean"));
    }
    let kind = same_kind(&[yes, no])?;
    let (shape, own) = builder.broadcast(&[which, yes, no])?;
    let which = builder.spread::<i64>(which, &own[0], &shape)?;
    let value = of_all!(kind, T => {
        let yes = builder.spread::<T>(yes, &own[1], &shape)?;
        let no = builder.spread::<T>(no, &own[2], &shape)?;
        builder.work::<T>(&shape, Work::Choose(which, yes, no))
    });
    if kind == Kind::Truth { truth(value) } else { value }
}

fn cast(builder: &mut Builder, call: &Call<'_>) -> Result<Value> {
    let to = call.attributes.int("to")?;
    let kind = kind_of(to).ok_or_else(|| ModelError::new(format!("'to' is type {to}, which is not supported")))?;
    match call.input(0)? {
        Value::Shape(all, one) if kind == Kind::Whole => Ok(Value::Shape(all.clone(), *one)),
        value => {
            let rows = match (value, rows_of(value)) {
                (_, Some(rows)) => rows.clone(),
                (value, None) => builder.as_rows(value)?,
            };
            Ok(Value::Rows(builder.cast(&rows, kind)?))
        }
    }
}
