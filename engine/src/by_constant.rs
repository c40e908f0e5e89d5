//! A column of whole numbers and a constant: `x % 123`, `0.908 * x`.
//!
//! Arrow divides row by row, and multiplies by a DECIMAL through a cast of every row and two checks of its range. With a
//! constant neither can fail: the remainder is found by multiplication, the product always fits the type announced.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use pelton_kernels::numbers::{products, remainders};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// The remainder by this divisor, neither 0 nor -1; the sign is the number's.
    Remainder(i64),
    /// The product with this number of units of a DECIMAL, of this precision and scale.
    Product(i64, u8, i8),
}

/// A BIGINT column with a constant. Never fails.
#[derive(Debug, Clone)]
pub struct ByConstant {
    column: Arc<dyn PhysicalExpr>,
    what: What,
    /// As the query says it.
    text: String,
}

/// The cheap form of a remainder or a product, if `binary` is one that it has.
pub fn of(binary: &BinaryExpr, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let (left, right) = (as_a::<Literal>(binary.left()), as_a::<Literal>(binary.right()));
    let (column, what) = match (binary.op(), left.map(Literal::value), right.map(Literal::value)) {
        (Operator::Modulo, None, Some(ScalarValue::Int64(Some(by)))) if !matches!(by, -1 | 0) => {
            (binary.left(), What::Remainder(*by))
        }
        (Operator::Multiply, None, Some(factor)) | (Operator::Multiply, Some(factor), None) => {
            let (ScalarValue::Decimal128(Some(units), ..), DataType::Decimal128(precision, scale)) =
                (factor, binary.data_type(schema)?)
            else {
                return Ok(None);
            };
            let number = if left.is_some() { binary.right() } else { binary.left() };
            // A number of at most 19 digits as a DECIMAL without a fraction.
            let Some(cast) = as_a::<CastExpr>(number) else { return Ok(None) };
            let whole = matches!(cast.cast_type(), DataType::Decimal128(19.., 0));
            let (Ok(units), true) = (i64::try_from(*units), whole) else { return Ok(None) };
            let fits = 10_i128
                .checked_pow(u32::from(precision))
                .is_some_and(|limit| (i128::from(i64::MIN) * i128::from(units)).unsigned_abs() < limit.unsigned_abs());
            if !fits {
                return Ok(None);
            }
            (cast.expr(), What::Product(units, precision, scale))
        }
        _ => return Ok(None),
    };
    if as_a::<Column>(column).is_none() || column.data_type(schema)? != DataType::Int64 {
        return Ok(None);
    }
    Ok(Some(Arc::new(ByConstant { column: column.clone(), what, text: binary.to_string() })))
}

fn as_a<T: 'static>(e: &Arc<dyn PhysicalExpr>) -> Option<&T> {
    (e.as_ref() as &dyn Any).downcast_ref()
}

impl ByConstant {
    /// The expression's values over a batch.
    pub fn values(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let array = array.as_primitive::<Int64Type>();
        let nulls = array.nulls().cloned();
        Ok(match self.what {
            What::Remainder(by) => Arc::new(Int64Array::new(remainders(array.values(), by).into(), nulls)),
            What::Product(units, precision, scale) => {
                let values = Decimal128Array::new(products(array.values(), units).into(), nulls);
                Arc::new(values.with_data_type(DataType::Decimal128(precision, scale)))
            }
        })
    }
}

impl PartialEq for ByConstant {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what && self.column.eq(&other.column)
    }
}

impl Eq for ByConstant {}

impl Hash for ByConstant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.what.hash(state);
        self.column.hash(state);
    }
}

impl fmt::Display for ByConstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PhysicalExpr for ByConstant {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(match self.what {
            What::Remainder(_) => DataType::Int64,
            What::Product(_, precision, scale) => DataType::Decimal128(precision, scale),
        })
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.column.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.values(batch).map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(ByConstant { column: children.remove(0), what: self.what, text: self.text.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    /// Both forms on the same rows: where the cheap one applies it must say the same.
    fn agree(binary: BinaryExpr, applies: bool) {
        let numbers = [0, 1, -1, 122, 123, -123, 124, 1 << 40, -(1 << 51), 1 << 52, i64::MAX, i64::MIN];
        let numbers: Vec<Option<i64>> = numbers.into_iter().map(Some).chain([None]).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
        let fast = of(&binary, &schema).unwrap();
        assert_eq!(fast.is_some(), applies, "{binary}");
        let Some(fast) = fast else { return };
        for rows in [&numbers[..], &numbers[..9]] {
            let array: ArrayRef = Arc::new(Int64Array::from(rows.to_vec()));
            let batch = RecordBatch::try_new(schema.clone(), vec![array]).unwrap();
            let value = |e: &dyn PhysicalExpr| e.evaluate(&batch).unwrap().into_array(rows.len()).unwrap();
            assert_eq!(&value(fast.as_ref()), &value(&binary), "{binary}");
        }
    }

    #[test]
    fn means_what_arrow_says() {
        let x = || Arc::new(Column::new("x", 0)) as Arc<dyn PhysicalExpr>;
        let literal = |value| Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>;
        for by in [1, 2, 3, 123, -123, 1 << 31, i64::MAX, i64::MIN] {
            agree(BinaryExpr::new(x(), Operator::Modulo, literal(ScalarValue::Int64(Some(by)))), true);
        }
        for by in [Some(0), Some(-1), None] {
            agree(BinaryExpr::new(x(), Operator::Modulo, literal(ScalarValue::Int64(by))), false);
        }
        let cast = |to| Arc::new(CastExpr::new(x(), to, None)) as Arc<dyn PhysicalExpr>;
        let decimal = |units, precision, scale| literal(ScalarValue::Decimal128(Some(units), precision, scale));
        let whole = || cast(DataType::Decimal128(20, 0));
        agree(BinaryExpr::new(decimal(908, 3, 3), Operator::Multiply, whole()), true);
        agree(BinaryExpr::new(whole(), Operator::Multiply, decimal(-1, 5, 2)), true);
        agree(BinaryExpr::new(whole(), Operator::Multiply, decimal(10_i128.pow(20), 21, 2)), false);
        agree(BinaryExpr::new(whole(), Operator::Plus, decimal(1, 5, 2)), false);
    }
}
