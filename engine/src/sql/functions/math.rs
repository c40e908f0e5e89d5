//! Powers, logarithms and angles on the `libm` crate: the same bits on every machine. DataFusion's call the platform's
//! math library, whose last bit differs from one to the next.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::compute::{binary, cast};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::error::Error;
use crate::sql::errors::carry;
use crate::sql::types;

#[derive(Clone, Copy, Debug)]
enum Kind {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// `LOG(x)` is the natural logarithm, `LOG(base, x)` that of a base.
    Log,
}

/// A function of one or two DOUBLEs. One of a FLOAT is computed in DOUBLE and rounded.
#[derive(Debug)]
pub struct Math {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl PartialEq for Math {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Math {}

impl Hash for Math {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The logarithm of `x` to a base; exact functions for the usual bases.
fn log(base: f64, x: f64) -> f64 {
    if base == 2.0 {
        libm::log2(x)
    } else if base == 10.0 {
        libm::log10(x)
    } else {
        libm::log(x) / libm::log(base)
    }
}

/// The functions of this file.
pub fn functions() -> Vec<Math> {
    use Kind::{Log, One, Two};
    let all = [
        ("exp", One(libm::exp)),
        ("ln", One(libm::log)),
        ("log", Log),
        ("log2", One(libm::log2)),
        ("log10", One(libm::log10)),
        ("power", Two(libm::pow)),
        ("pow", Two(libm::pow)),
        ("sin", One(libm::sin)),
        ("cos", One(libm::cos)),
        ("tan", One(libm::tan)),
        ("cot", One(|x| 1.0 / libm::tan(x))),
        ("asin", One(libm::asin)),
        ("acos", One(libm::acos)),
        ("atan", One(libm::atan)),
        ("atan2", Two(libm::atan2)),
        ("sinh", One(libm::sinh)),
        ("cosh", One(libm::cosh)),
        ("tanh", One(libm::tanh)),
        ("asinh", One(libm::asinh)),
        ("acosh", One(libm::acosh)),
        ("atanh", One(libm::atanh)),
        ("cbrt", One(libm::cbrt)),
    ];
    all.into_iter()
        .map(|(name, kind)| Math { name, kind, signature: Signature::user_defined(Volatility::Immutable) })
        .collect()
}

impl ScalarUDFImpl for Math {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let (usage, fits) = match self.kind {
            Kind::One(_) => ("a number", given.len() == 1),
            Kind::Two(_) => ("two numbers", given.len() == 2),
            Kind::Log => ("a number, or a base and a number", matches!(given.len(), 1 | 2)),
        };
        if !fits || !given.iter().all(|t| t.is_numeric() || t.is_null()) {
            let given: Vec<String> = given.iter().map(types::name).collect();
            let name = self.name.to_uppercase();
            return Err(carry(Error::user(format!("{name}({}): wanted {usage}", given.join(", ")))));
        }
        Ok(match given {
            [DataType::Float16 | DataType::Float32] => vec![DataType::Float32],
            given => vec![DataType::Float64; given.len()],
        })
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(match args {
            [DataType::Float32] => DataType::Float32,
            _ => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let one = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        let columns: Vec<ArrayRef> = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<_>>()?;
        let out: ArrayRef = match (self.kind, columns.as_slice()) {
            (Kind::One(f), [x]) => unary(x, f)?,
            (Kind::Log, [x]) => unary(x, libm::log)?,
            (Kind::Two(f), [x, y]) => both(x, y, f)?,
            (Kind::Log, [base, x]) => both(base, x, log)?,
            _ => return Err(carry(Error::user(format!("{}: wrong number of arguments", self.name.to_uppercase())))),
        };
        Ok(if one { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

fn unary(x: &ArrayRef, f: fn(f64) -> f64) -> Result<ArrayRef> {
    if x.data_type() == &DataType::Float32 {
        let out: Float32Array = x.as_primitive::<Float32Type>().unary(|v| f(f64::from(v)) as f32);
        return Ok(Arc::new(out));
    }
    let x = cast(x, &DataType::Float64)?;
    let out: Float64Array = x.as_primitive::<Float64Type>().unary(f);
    Ok(Arc::new(out))
}

fn both(x: &ArrayRef, y: &ArrayRef, f: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (x, y) = (cast(x, &DataType::Float64)?, cast(y, &DataType::Float64)?);
    let out: Float64Array = binary(x.as_primitive::<Float64Type>(), y.as_primitive::<Float64Type>(), f)?;
    Ok(Arc::new(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bits() {
        let one = |name: &str, x: f64| match functions().into_iter().find(|f| f.name == name).unwrap().kind {
            Kind::One(f) => f(x).to_bits(),
            _ => unreachable!(),
        };
        // One unit beside the nearest, and everywhere the same.
        assert_eq!(one("exp", 1.0), 0x4005_BF0A_8B14_576A);
        assert_eq!(one("ln", 10.0), 0x4002_6BB1_BBB5_5516);
        assert_eq!(one("sin", 1.0), 0x3FEA_ED54_8F09_0CEE);
        assert_eq!(one("atan", 1.0), std::f64::consts::FRAC_PI_4.to_bits());
        assert_eq!(one("cbrt", 27.0), 3f64.to_bits());
        assert_eq!(one("log2", 8.0), 3f64.to_bits());
        assert_eq!(log(10.0, 1000.0), 3.0);
        assert_eq!(libm::pow(2.0, 0.5).to_bits(), std::f64::consts::SQRT_2.to_bits());
        assert!(libm::log(-1.0).is_nan());
    }
}
