//! What a `WHERE` keeps: a conjunction, one mask, no column touched but those compared.
//!
//! `a AND b AND c` over expressions that can't fail goes over the columns one after the other and needs no order among
//! them. Comparisons of numbers and times with constants and predicates over dictionaries are kernels of ours
//! ([`pelton_kernels::select`]); the rest is evaluated as it is. If any part can fail for a row, DataFusion's `AND`
//! decides which rows it is evaluated for.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimeUnit};
use arrow::datatypes::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal};
use pelton_kernels::select::{Comparison, all_rows, keep, rows_of};
use pelton_kernels::stage::Test;

use crate::by_constant::ByConstant;
use crate::expr::{Compiled, made_canonical};
use crate::over_dictionary::OverDictionary;
use crate::prune::is_infallible;

/// See the module.
#[derive(Clone, Debug)]
pub struct Predicate {
    whole: Compiled,
    /// The parts; empty if they must be evaluated as a whole.
    parts: Vec<Compiled>,
}

impl Predicate {
    /// A predicate: an expression of type BOOLEAN.
    pub fn new(whole: Compiled) -> Self {
        let mut parts = vec![];
        split(&whole, &mut parts);
        if !parts.iter().all(is_infallible) {
            parts.clear();
        }
        Predicate { whole, parts }
    }

    /// The whole expression.
    pub fn whole(&self) -> &Compiled {
        &self.whole
    }

    /// Whether it can fail for no row.
    pub fn is_infallible(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The predicate as tests of single columns, if that is what it is: as a device does it.
    pub fn tests(&self) -> Option<Vec<Test>> {
        if self.parts.is_empty() {
            return None;
        }
        self.parts.iter().map(test).collect()
    }

    /// The rows for which it is true (NULL is not); `None` for all of them.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Option<UInt32Array>> {
        let n = batch.num_rows();
        let mut mask = all_rows(n);
        if self.parts.is_empty() {
            keep_truths(&self.whole, batch, &mut mask)?;
        }
        for part in &self.parts {
            if !keep_compared(part, batch, &mut mask) && !keep_members(part, batch, &mut mask)? {
                keep_truths(part, batch, &mut mask)?;
            }
            if mask.iter().all(|word| *word == 0) {
                break;
            }
        }
        let rows = rows_of(&mask);
        Ok((rows.len() < n).then(|| UInt32Array::from(rows)))
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

fn test(part: &Compiled) -> Option<Test> {
    if let Some(over) = as_a::<OverDictionary>(part) {
        return Some(Test::Among { column: over.column(), values: Arc::new(over.clone()) });
    }
    let b = as_a::<BinaryExpr>(part)?;
    let column = as_a::<Column>(made_canonical(b.left()).unwrap_or(b.left()))?.index();
    let op = comparison(b.op())?;
    use ScalarValue as S;
    let constant = match as_a::<Literal>(b.right())?.value() {
        S::Float64(Some(constant)) if !constant.is_nan() => {
            return Some(Test::Double { column, op, constant: *constant });
        }
        S::Int8(Some(constant)) => i64::from(*constant),
        S::Int16(Some(constant)) => i64::from(*constant),
        S::Int32(Some(constant)) | S::Date32(Some(constant)) => i64::from(*constant),
        S::Int64(Some(constant))
        | S::TimestampSecond(Some(constant), _)
        | S::TimestampMillisecond(Some(constant), _)
        | S::TimestampMicrosecond(Some(constant), _)
        | S::TimestampNanosecond(Some(constant), _) => *constant,
        _ => return None,
    };
    Some(Test::Integer { column, op, constant })
}

fn comparison(op: &Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::NotEq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        _ => return None,
    })
}

fn as_a<T: 'static>(e: &Compiled) -> Option<&T> {
    (e.as_ref() as &dyn Any).downcast_ref::<T>()
}

fn split(e: &Compiled, parts: &mut Vec<Compiled>) {
    match as_a::<BinaryExpr>(e) {
        Some(b) if *b.op() == Operator::And => {
            split(b.left(), parts);
            split(b.right(), parts);
        }
        _ => parts.push(e.clone()),
    }
}

/// Keeps the rows for which an expression, evaluated as it is, is true.
fn keep_truths(e: &Compiled, batch: &RecordBatch, mask: &mut [u64]) -> Result<()> {
    let truths = e.evaluate(batch)?.into_array(batch.num_rows())?;
    let truths = truths.as_boolean();
    keep_bits(truths.values(), mask);
    if let Some(nulls) = truths.nulls() {
        keep_bits(nulls.inner(), mask);
    }
    Ok(())
}

fn keep_bits(bits: &BooleanBuffer, mask: &mut [u64]) {
    for (word, chunk) in mask.iter_mut().zip(bits.bit_chunks().iter_padded()) {
        *word &= chunk;
    }
}

/// Keeps the rows that satisfy `column op constant`, if the expression is that.
fn keep_compared(e: &Compiled, batch: &RecordBatch, mask: &mut [u64]) -> bool {
    let Some(b) = as_a::<BinaryExpr>(e) else { return false };
    // The kernel knows by itself that -0.0 is 0.0.
    let left = made_canonical(b.left()).unwrap_or(b.left());
    let Some(literal) = as_a::<Literal>(b.right()) else { return false };
    let array = match (as_a::<Column>(left), as_a::<ByConstant>(left)) {
        (Some(column), _) => batch.column(column.index()).clone(),
        (_, Some(cheap)) => match cheap.values(batch) {
            Ok(array) => array,
            Err(_) => return false,
        },
        _ => return false,
    };
    let Some(op) = comparison(b.op()) else { return false };
    macro_rules! with {
        ($type:ty, $constant:expr) => {
            keep(array.as_primitive::<$type>().values(), op, *$constant, mask)
        };
    }
    use ScalarValue as S;
    match (array.data_type(), literal.value()) {
        (DataType::Int32, S::Int32(Some(c))) => with!(Int32Type, c),
        (DataType::Date32, S::Date32(Some(c))) => with!(Date32Type, c),
        (DataType::Int64, S::Int64(Some(c))) => with!(Int64Type, c),
        (DataType::Float64, S::Float64(Some(c))) if !c.is_nan() => with!(Float64Type, c),
        (DataType::Timestamp(TimeUnit::Second, _), S::TimestampSecond(Some(c), _)) => with!(TimestampSecondType, c),
        (DataType::Timestamp(TimeUnit::Millisecond, _), S::TimestampMillisecond(Some(c), _)) => {
            with!(TimestampMillisecondType, c)
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), S::TimestampMicrosecond(Some(c), _)) => {
            with!(TimestampMicrosecondType, c)
        }
        (DataType::Timestamp(TimeUnit::Nanosecond, _), S::TimestampNanosecond(Some(c), _)) => {
            with!(TimestampNanosecondType, c)
        }
        _ => return false,
    }
    if let Some(nulls) = array.nulls() {
        keep_bits(nulls.inner(), mask);
    }
    true
}

/// Keeps the rows whose dictionary value satisfies the expression, if it is over a dictionary.
fn keep_members(e: &Compiled, batch: &RecordBatch, mask: &mut [u64]) -> Result<bool> {
    let Some(over) = as_a::<OverDictionary>(e) else { return Ok(false) };
    let Some((keys, members)) = over.members(batch)? else { return Ok(false) };
    members.keep(keys.values(), mask);
    Ok(true)
}
