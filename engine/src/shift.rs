//! `timestamp ± constant interval`: the shape of nearly every watermark.
//!
//! Arrow adds intervals by calendar, row by row through the time zone (60 ns a row: more than half of a whole query). An
//! interval without months is a number of ticks where days have 24 hours (no zone, or UTC): one integer addition.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal};
use pelton_kernels::numbers::shifted;

/// A timestamp expression moved by a constant number of its own ticks.
#[derive(Debug, Clone)]
struct Shift {
    inner: Arc<dyn PhysicalExpr>,
    ticks: i64,
    /// As the query says it.
    text: String,
}

/// The cheap form of a timestamp plus or minus a constant interval, if `binary` is one.
pub fn of(binary: &BinaryExpr, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let sign = match binary.op() {
        Operator::Plus => 1,
        Operator::Minus => -1,
        _ => return Ok(None),
    };
    let Some(literal) = (binary.right().as_ref() as &dyn std::any::Any).downcast_ref::<Literal>() else {
        return Ok(None);
    };
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = literal.value() else { return Ok(None) };
    let DataType::Timestamp(unit, zone) = binary.left().data_type(schema)? else { return Ok(None) };
    let days_are_even = zone.as_deref().is_none_or(|z| matches!(z, "UTC" | "+00:00" | "Z"));
    if interval.months != 0 || (interval.days != 0 && !days_are_even) {
        return Ok(None);
    }
    let tick = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let nanos = i128::from(interval.days) * 86_400_000_000_000 + i128::from(interval.nanoseconds);
    let Ok(ticks) = i64::try_from(sign * nanos / tick) else { return Ok(None) };
    if nanos % tick != 0 {
        return Ok(None);
    }
    Ok(Some(Arc::new(Shift { inner: binary.left().clone(), ticks, text: binary.to_string() })))
}

/// If `expr` moves what `inner` gives by a constant number of ticks: how many.
pub fn between(inner: &Arc<dyn PhysicalExpr>, expr: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    let shift = (expr.as_ref() as &dyn std::any::Any).downcast_ref::<Shift>()?;
    shift.inner.eq(inner).then_some(shift.ticks)
}

impl Shift {
    fn shift(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let ticks = cast(array, &DataType::Int64)?;
        // An overflow, perhaps of a NULL, is looked at again row by row.
        if let Some(values) = shifted(ticks.as_primitive::<Int64Type>().values(), self.ticks) {
            let moved = PrimitiveArray::<Int64Type>::new(values.into(), ticks.nulls().cloned());
            return Ok(cast(&moved, array.data_type())?);
        }
        let moved = ticks.as_primitive::<Int64Type>().try_unary::<_, Int64Type, ArrowError>(|v| {
            v.checked_add(self.ticks)
                .ok_or_else(|| ArrowError::ArithmeticOverflow(format!("overflow in {}", self.text)))
        })?;
        Ok(cast(&moved, array.data_type())?)
    }
}

impl PartialEq for Shift {
    fn eq(&self, other: &Self) -> bool {
        self.ticks == other.ticks && self.inner.eq(&other.inner)
    }
}

impl Eq for Shift {}

impl Hash for Shift {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ticks.hash(state);
        self.inner.hash(state);
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PhysicalExpr for Shift {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.inner.evaluate(batch)? {
            ColumnarValue::Array(array) => ColumnarValue::Array(self.shift(&array)?),
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&self.shift(&value.to_array()?)?, 0)?)
            }
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Shift { inner: children.remove(0), ticks: self.ticks, text: self.text.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::types::IntervalMonthDayNano;
    use arrow::array::{TimestampMicrosecondArray, TimestampMillisecondArray, TimestampSecondArray};
    use arrow::datatypes::Field;
    use datafusion_physical_expr::expressions::Column;

    use super::*;

    /// Both forms on the same rows: where the cheap one applies it must say the same.
    fn agree(array: ArrayRef, op: Operator, interval: IntervalMonthDayNano, applies: bool) {
        let schema = Arc::new(Schema::new(vec![Field::new("t", array.data_type().clone(), true)]));
        let literal = Literal::new(ScalarValue::IntervalMonthDayNano(Some(interval)));
        let slow = BinaryExpr::new(Arc::new(Column::new("t", 0)), op, Arc::new(literal));
        let fast = of(&slow, &schema).unwrap();
        assert_eq!(fast.is_some(), applies, "{slow}");
        let Some(fast) = fast else { return };
        let batch = RecordBatch::try_new(schema, vec![array.clone()]).unwrap();
        let value = |e: &dyn PhysicalExpr| e.evaluate(&batch).unwrap().into_array(array.len()).unwrap();
        assert_eq!(&value(fast.as_ref()), &value(&slow));
    }

    #[test]
    fn means_what_the_calendar_says() {
        let times = vec![Some(0), None, Some(-1), Some(1_709_164_799_999), Some(253_402_300_799_000)];
        let plain: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.clone()));
        let utc: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.clone()).with_timezone("UTC"));
        let zoned: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.clone()).with_timezone("Europe/Berlin"));
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.clone()));
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(5), None, Some(-5)]));
        let five = IntervalMonthDayNano::new(0, 0, 5_000_000_000);
        let days = IntervalMonthDayNano::new(0, 3, 1_000_000);
        for op in [Operator::Plus, Operator::Minus] {
            agree(plain.clone(), op, five, true);
            agree(utc.clone(), op, five, true);
            agree(zoned.clone(), op, five, true);
            agree(micros.clone(), op, days, true);
            agree(utc.clone(), op, days, true);
            agree(zoned.clone(), op, days, false);
            agree(seconds.clone(), op, five, true);
            agree(seconds.clone(), op, days, false);
            agree(plain.clone(), op, IntervalMonthDayNano::new(1, 0, 0), false);
        }
    }
}
