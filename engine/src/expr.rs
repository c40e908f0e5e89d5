//! Expressions of a stage: DataFusion's physical expressions, made to obey the law.
//!
//! What is changed: integer overflow is an error of its row, never a wrapped value; every float operation gives the one
//! positive quiet NaN; -0.0 equals 0.0 in comparisons. What is added: a row whose expression fails is found by halving
//! the batch, and leaves alone; its neighbours are evaluated as if it had not been there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::Cast;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{ColumnarValue, Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, CaseExpr, Column, InListExpr, Literal, NegativeExpr, in_list};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr, create_physical_expr};
use pelton_kernels::numbers::{Arithmetic, Side, arithmetic};

use crate::batch::{MicroBatch, internal};
use crate::connector::{DeadLetter, LetterKind, dictionary_type};
use crate::error::{Error, Result};
use crate::over_dictionary::over_dictionaries;
use crate::predicate::Predicate;

/// A compiled expression.
pub type Compiled = Arc<dyn PhysicalExpr>;

/// Key in the metadata of a field that is STRING to the query and a dictionary in the batches.
pub const CODED: &str = "pelton.coded";

/// A STRING field as the dictionary that the batches have.
pub fn coded(field: &Field) -> Field {
    let metadata = [(CODED.to_string(), String::new())].into();
    field.clone().with_data_type(dictionary_type()).with_metadata(metadata)
}

/// Compiles a logical expression over the columns of `schema`. What is STRING to it is STRING to a [`CODED`] column's
/// expression too, unless the expression is the column.
pub fn compile(expr: &Expr, schema: &DFSchema, props: &ExecutionProps) -> Result<Compiled> {
    let as_text = |e: Expr| {
        Ok(match &e {
            Expr::Column(c)
                if schema.maybe_index_of_column(c).is_some_and(|i| schema.field(i).metadata().contains_key(CODED)) =>
            {
                Transformed::yes(Expr::Cast(Cast::new(Box::new(e), DataType::Utf8)))
            }
            _ => Transformed::no(e),
        })
    };
    let expr = match expr {
        Expr::Column(_) => expr.clone(),
        Expr::Alias(alias) if matches!(*alias.expr, Expr::Column(_)) => expr.clone(),
        expr => expr.clone().transform_up(as_text).map_err(plan_error)?.data,
    };
    let expr = expr.transform_up(lists_of_columns).map_err(plan_error)?.data;
    let physical =
        create_physical_expr(&expr, schema, props, &PhysicalPlanningContext::default()).map_err(plan_error)?;
    let arrow: SchemaRef = Arc::new(schema.as_arrow().clone());
    let lawful = physical.transform_up(|node| obey_the_law(node, &arrow)).map(|t| t.data).map_err(plan_error)?;
    let lawful = over_dictionaries(lawful, &arrow).map_err(plan_error)?;
    let any: &dyn std::any::Any = lawful.as_ref();
    Ok(match any.downcast_ref::<Literal>() {
        Some(literal) => Arc::new(Constant { value: literal.value().clone() }),
        None => lawful,
    })
}

/// A DataFusion planning failure as the user's error.
pub fn plan_error(error: DataFusionError) -> Error {
    Error::user(crate::sql::without_plea(&error.strip_backtrace()))
}

/// `x IN (a, b)` with columns in the list is `x = a OR x = b`: DataFusion takes a list for a constant if its members say
/// one value for no rows at all, as `CASE` does.
fn lists_of_columns(expr: Expr) -> datafusion_common::Result<Transformed<Expr>> {
    let Expr::InList(list) = expr else { return Ok(Transformed::no(expr)) };
    if list.list.iter().all(|member| member.column_refs().is_empty()) {
        return Ok(Transformed::no(Expr::InList(list)));
    }
    let equal = list.list.into_iter().map(|member| list.expr.as_ref().clone().eq(member));
    let any = equal.reduce(Expr::or).unwrap_or(Expr::Literal(ScalarValue::Boolean(Some(false)), None));
    Ok(Transformed::yes(if list.negated { Expr::Not(Box::new(any)) } else { any }))
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom)
}

fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float32 | DataType::Float64 | DataType::Float16)
}

/// Rewrites one node so that its result does not depend on the processor or the batch.
fn obey_the_law(node: Compiled, schema: &Schema) -> datafusion_common::Result<Transformed<Compiled>> {
    let any: &dyn std::any::Any = node.as_ref();
    if let Some(binary) = any.downcast_ref::<BinaryExpr>() {
        if let Some(shift) = crate::shift::of(binary, schema)? {
            return Ok(Transformed::yes(shift));
        }
        if let Some(cheap) = crate::by_constant::of(binary, schema)? {
            return Ok(Transformed::yes(cheap));
        }
        let op = *binary.op();
        if is_comparison(op) {
            let [left, right] = one_encoding([binary.left(), binary.right()], schema)?;
            let (left, right) = (zero_is_zero(left, schema)?, zero_is_zero(right, schema)?);
            return Ok(Transformed::yes(Arc::new(BinaryExpr::new(left, op, right)) as Compiled));
        }
        if matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo) {
            let float = is_float(&binary.data_type(schema)?);
            // Of a sum of products only the sum need be canonical: arithmetic asks no NaN for its bits.
            let side = |e: &Compiled| if float { bare(e) } else { e.clone() };
            let checked: Compiled =
                Arc::new(BinaryExpr::new(side(binary.left()), op, side(binary.right())).with_fail_on_overflow(!float));
            return Ok(Transformed::yes(if float {
                Arc::new(Canonical { inner: checked, what: Canon::Nan })
            } else {
                checked
            }));
        }
    }
    if let Some(list) = any.downcast_ref::<InListExpr>()
        && list.expr().data_type(schema)?.is_string()
    {
        let sides: Vec<&Compiled> = std::iter::once(list.expr()).chain(list.list()).collect();
        let types = sides.iter().map(|s| s.data_type(schema)).collect::<datafusion_common::Result<Vec<_>>>()?;
        if types.iter().any(|t| *t != types[0]) {
            let mut sides = sides.into_iter().map(as_text).collect::<Vec<_>>();
            let expr = sides.remove(0);
            return in_list(expr, sides, &list.negated(), schema).map(Transformed::yes);
        }
    }
    if let Some(list) = any.downcast_ref::<InListExpr>()
        && is_float(&list.expr().data_type(schema)?)
    {
        let values =
            list.list().iter().map(|v| zero_is_zero(v.clone(), schema)).collect::<datafusion_common::Result<_>>()?;
        let expr = zero_is_zero(list.expr().clone(), schema)?;
        return in_list(expr, values, &list.negated(), schema).map(Transformed::yes);
    }
    if let Some(case) = any.downcast_ref::<CaseExpr>()
        && let Some(operand) = case.expr()
        && is_float(&operand.data_type(schema)?)
    {
        let branches =
            case.when_then_expr().iter().map(|(when, then)| Ok((zero_is_zero(when.clone(), schema)?, then.clone())));
        let branches = branches.collect::<datafusion_common::Result<_>>()?;
        let operand = zero_is_zero(operand.clone(), schema)?;
        let case = CaseExpr::try_new(Some(operand), branches, case.else_expr().cloned())?;
        return Ok(Transformed::yes(Arc::new(case) as Compiled));
    }
    if let Some(literal) = any.downcast_ref::<Literal>() {
        let nan = match literal.value() {
            ScalarValue::Float64(Some(v)) if v.is_nan() => ScalarValue::Float64(Some(f64::NAN.copysign(1.0))),
            ScalarValue::Float32(Some(v)) if v.is_nan() => ScalarValue::Float32(Some(f32::NAN.copysign(1.0))),
            _ => return Ok(Transformed::no(node)),
        };
        return Ok(Transformed::yes(Arc::new(Literal::new(nan)) as Compiled));
    }
    if let Some(negative) = any.downcast_ref::<NegativeExpr>() {
        let data_type = negative.data_type(schema)?;
        if data_type.is_signed_integer() {
            let zero: Compiled = Arc::new(Literal::new(ScalarValue::new_zero(&data_type)?));
            let checked = BinaryExpr::new(zero, Operator::Minus, negative.arg().clone()).with_fail_on_overflow(true);
            return Ok(Transformed::yes(Arc::new(checked) as Compiled));
        }
    }
    if let Some(function) = any.downcast_ref::<ScalarFunctionExpr>()
        && matches!(function.name(), "lpad" | "rpad")
        && let Some(length) = function.args().get(1)
        && length.data_type(schema)? == DataType::Int64
    {
        let mut args = function.args().to_vec();
        args[1] = Arc::new(Canonical { inner: length.clone(), what: Canon::Length });
        let padded = Arc::clone(&node).with_new_children(args)?;
        let data_type = padded.data_type(schema)?;
        return Ok(Transformed::yes(Arc::new(Canonical { inner: padded, what: Canon::Text(data_type) }) as Compiled));
    }
    if any.is::<ScalarFunctionExpr>() || any.is::<CaseExpr>() {
        let data_type = node.data_type(schema)?;
        if data_type.is_string() {
            return Ok(Transformed::yes(Arc::new(Canonical { inner: node, what: Canon::Text(data_type) }) as Compiled));
        }
    }
    let float_result = any.is::<ScalarFunctionExpr>() || any.is::<NegativeExpr>();
    if float_result && is_float(&node.data_type(schema)?) {
        return Ok(Transformed::yes(Arc::new(Canonical { inner: node, what: Canon::Nan }) as Compiled));
    }
    Ok(Transformed::no(node))
}

/// Float arithmetic without what makes its NaN canonical.
fn bare(e: &Compiled) -> Compiled {
    let any: &dyn std::any::Any = e.as_ref();
    match any.downcast_ref::<Canonical>() {
        Some(Canonical { inner, what: Canon::Nan }) if (inner.as_ref() as &dyn std::any::Any).is::<BinaryExpr>() => {
            inner.clone()
        }
        _ => e.clone(),
    }
}

/// Texts of one encoding: a function of a view may answer with another one than the planner thought.
fn one_encoding(sides: [&Compiled; 2], schema: &Schema) -> datafusion_common::Result<[Compiled; 2]> {
    let (left, right) = (sides[0].data_type(schema)?, sides[1].data_type(schema)?);
    Ok(if left.is_string() && right.is_string() && left != right {
        sides.map(as_text)
    } else {
        sides.map(Clone::clone)
    })
}

fn as_text(side: &Compiled) -> Compiled {
    Arc::new(Canonical { inner: side.clone(), what: Canon::Text(DataType::Utf8) })
}

fn zero_is_zero(side: Compiled, schema: &Schema) -> datafusion_common::Result<Compiled> {
    if !is_float(&side.data_type(schema)?) {
        return Ok(side);
    }
    let any: &dyn std::any::Any = side.as_ref();
    if let Some(literal) = any.downcast_ref::<Literal>() {
        let value = match literal.value() {
            ScalarValue::Float64(Some(v)) => ScalarValue::Float64(Some(v + 0.0)),
            ScalarValue::Float32(Some(v)) => ScalarValue::Float32(Some(v + 0.0)),
            other => other.clone(),
        };
        return Ok(Arc::new(Literal::new(value)));
    }
    Ok(Arc::new(Canonical { inner: side, what: Canon::Zero }))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Canon {
    /// Any NaN becomes the positive quiet one.
    Nan,
    /// -0.0 becomes 0.0.
    Zero,
    /// Texts have the encoding that was announced: some functions answer with another one.
    Text(DataType),
    /// A negative length is none: `LPAD` would ask for all memory there is.
    Length,
}

/// Wraps an expression and makes its bits canonical.
#[derive(Debug, Clone)]
struct Canonical {
    inner: Compiled,
    what: Canon,
}

impl PartialEq for Canonical {
    fn eq(&self, other: &Self) -> bool {
        self.what == other.what && self.inner.eq(&other.inner)
    }
}

impl Eq for Canonical {}

impl Hash for Canonical {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.what.hash(state);
        self.inner.hash(state);
    }
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Canonical {
    fn data_type(&self, schema: &Schema) -> datafusion_common::Result<DataType> {
        match &self.what {
            Canon::Nan | Canon::Zero => self.inner.data_type(schema),
            Canon::Text(wanted) => Ok(wanted.clone()),
            Canon::Length => Ok(DataType::Int64),
        }
    }

    fn nullable(&self, schema: &Schema) -> datafusion_common::Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        if self.what == Canon::Nan
            && let Some(array) = double_arithmetic(&self.inner, batch)?
        {
            return Ok(ColumnarValue::Array(array));
        }
        Ok(match self.inner.evaluate(batch)? {
            ColumnarValue::Array(array) => ColumnarValue::Array(match &self.what {
                Canon::Nan => pelton_kernels::canonical::canonical_floats(&array),
                Canon::Zero => positive_zeros(&array),
                Canon::Text(wanted) if array.data_type() == wanted => array,
                Canon::Text(wanted) => arrow::compute::cast(&array, wanted)?,
                Canon::Length => {
                    let lengths = arrow::compute::cast(&array, &DataType::Int64)?;
                    Arc::new(lengths.as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| n.max(0)))
                }
            }),
            ColumnarValue::Scalar(value) if matches!(self.what, Canon::Text(_) | Canon::Length) => {
                ColumnarValue::Scalar(match (&self.what, value) {
                    (Canon::Text(wanted), value) if value.data_type() != *wanted => value.cast_to(wanted)?,
                    (Canon::Length, ScalarValue::Int64(Some(n))) => ScalarValue::Int64(Some(n.max(0))),
                    (_, value) => value,
                })
            }
            ColumnarValue::Scalar(ScalarValue::Float64(Some(v))) if self.what == Canon::Nan && v.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float64(Some(f64::NAN.copysign(1.0))))
            }
            ColumnarValue::Scalar(ScalarValue::Float64(Some(v))) if self.what == Canon::Zero => {
                ColumnarValue::Scalar(ScalarValue::Float64(Some(v + 0.0)))
            }
            ColumnarValue::Scalar(ScalarValue::Float32(Some(v))) if self.what == Canon::Nan && v.is_nan() => {
                ColumnarValue::Scalar(ScalarValue::Float32(Some(f32::NAN.copysign(1.0))))
            }
            ColumnarValue::Scalar(ScalarValue::Float32(Some(v))) if self.what == Canon::Zero => {
                ColumnarValue::Scalar(ScalarValue::Float32(Some(v + 0.0)))
            }
            other => other,
        })
    }

    fn children(&self) -> Vec<&Compiled> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Compiled>) -> datafusion_common::Result<Compiled> {
        Ok(Arc::new(Canonical { inner: children.remove(0), what: self.what.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Arithmetic of doubles, canonical; `None` if it is none, or not over a column.
fn double_arithmetic(e: &Compiled, batch: &RecordBatch) -> datafusion_common::Result<Option<ArrayRef>> {
    let any: &dyn std::any::Any = e.as_ref();
    let Some(binary) = any.downcast_ref::<BinaryExpr>() else { return Ok(None) };
    let op = match binary.op() {
        Operator::Plus => Arithmetic::Add,
        Operator::Minus => Arithmetic::Subtract,
        Operator::Multiply => Arithmetic::Multiply,
        Operator::Divide => Arithmetic::Divide,
        _ => return Ok(None),
    };
    let value = |e: &Compiled| -> datafusion_common::Result<ColumnarValue> {
        // What is below may itself be such arithmetic, whose NaN nobody sees.
        match double_arithmetic(e, batch)? {
            Some(array) => Ok(ColumnarValue::Array(array)),
            None => e.evaluate(batch),
        }
    };
    if binary.data_type(batch.schema_ref())? != DataType::Float64 {
        return Ok(None);
    }
    let (left, right) = (value(binary.left())?, value(binary.right())?);
    fn side(value: &ColumnarValue) -> Option<(Side<'_>, Option<&NullBuffer>)> {
        Some(match value {
            ColumnarValue::Array(array) => {
                let array = array.as_primitive_opt::<Float64Type>()?;
                (Side::Column(array.values()), array.nulls())
            }
            ColumnarValue::Scalar(ScalarValue::Float64(Some(value))) => (Side::Constant(*value), None),
            ColumnarValue::Scalar(_) => return None,
        })
    }
    let (Some((a, a_nulls)), Some((b, b_nulls))) = (side(&left), side(&right)) else { return Ok(None) };
    if matches!((a, b), (Side::Constant(_), Side::Constant(_))) {
        return Ok(None);
    }
    let (values, has_nan) = arithmetic(op, a, b);
    let array: ArrayRef = Arc::new(Float64Array::new(values.into(), NullBuffer::union(a_nulls, b_nulls)));
    Ok(Some(if has_nan { pelton_kernels::canonical::canonical_floats(&array) } else { array }))
}

/// A literal that is a whole expression. Unlike DataFusion's it shows its type, as plans tell expressions by their text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Constant {
    value: ScalarValue,
}

impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            ScalarValue::Int64(Some(v)) => write!(f, "{v}"),
            ScalarValue::Boolean(Some(v)) => write!(f, "{v}"),
            ScalarValue::Utf8(Some(v)) => write!(f, "'{v}'"),
            v => write!(f, "{v}::{}", v.data_type()),
        }
    }
}

impl PhysicalExpr for Constant {
    fn data_type(&self, _: &Schema) -> datafusion_common::Result<DataType> {
        Ok(self.value.data_type())
    }

    fn nullable(&self, _: &Schema) -> datafusion_common::Result<bool> {
        Ok(self.value.is_null())
    }

    fn evaluate(&self, _: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }

    fn children(&self) -> Vec<&Compiled> {
        vec![]
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Compiled>) -> datafusion_common::Result<Compiled> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The expression in which another one makes -0.0 of 0.0, if it does only that.
pub(crate) fn made_canonical(e: &Compiled) -> Option<&Compiled> {
    (e.as_ref() as &dyn std::any::Any).downcast_ref::<Canonical>().filter(|c| c.what == Canon::Zero).map(|c| &c.inner)
}

/// -0.0 becomes 0.0; nothing else changes.
pub(crate) fn positive_zeros(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0)),
        DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0)),
        _ => array.clone(),
    }
}

/// A filter and a projection, evaluated together: the part of a stage that keeps no state.
#[derive(Debug, Clone)]
pub struct Select {
    /// What the rows must satisfy; NULL is no.
    pub predicate: Option<Predicate>,
    /// The output columns; `None` passes the input columns through.
    pub columns: Option<Vec<Compiled>>,
    /// Schema of the output.
    pub schema: SchemaRef,
    /// Where in the query this is, for dead letters: `SELECT`, `WHERE`, `computed columns of …`.
    pub operator: String,
}

impl Select {
    /// The rows that pass, with the output columns. Rows whose expression fails become letters.
    pub fn run(&self, batch: &MicroBatch, letters: &mut Vec<DeadLetter>) -> Result<MicroBatch> {
        let dense;
        let batch = match self.predicate.is_some() && batch.selection.is_some() {
            true => {
                dense = batch.dense()?;
                &dense
            }
            false => batch,
        };
        match self.run_or_error(batch) {
            Ok(out) => Ok(out),
            Err(error) if ends_run(&error) => Err(crate::sql::from_datafusion(error).during(&self.operator)),
            Err(error) if !is_of_the_row(&error) => {
                Err(Error::world(format!("{}: {}", self.operator, error.strip_backtrace())))
            }
            Err(error) if batch.rows() <= 1 => {
                let batch = &batch.dense()?;
                letters.push(letter(batch, 0, &self.operator, LetterKind::Expression, reason(&error)));
                let none = BooleanArray::from(vec![false; batch.rows()]);
                self.empty(&batch.filter(&none)?)
            }
            Err(_) => {
                let batch = batch.dense()?;
                let half = batch.rows() / 2;
                let left = self.run(&used_values(&batch.slice(0, half))?, letters)?;
                let right = self.run(&used_values(&batch.slice(half, batch.rows() - half))?, letters)?;
                join(left, right)
            }
        }
    }

    /// A function that panics has failed for a row.
    fn run_or_error(&self, batch: &MicroBatch) -> datafusion_common::Result<MicroBatch> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.try_run(batch)))
            .unwrap_or_else(|_| Err(DataFusionError::Execution("a function could not go on".to_string())))
    }

    fn try_run(&self, batch: &MicroBatch) -> datafusion_common::Result<MicroBatch> {
        let internal = |e: Error| DataFusionError::Internal(e.to_string());
        let filtered;
        let batch = match &self.predicate {
            None => batch,
            Some(predicate) => {
                filtered = MicroBatch { selection: predicate.rows(&batch.columns)?, ..batch.clone() };
                &filtered
            }
        };
        let Some(columns) = &self.columns else { return Ok(batch.clone()) };
        if batch.rows() == 0 {
            return self.empty(batch).map_err(internal);
        }
        // Columns that are merely passed on need not be looked at; others are computed of the selected rows alone.
        let dense;
        let batch = match columns.iter().all(|c| as_column(c).is_some()) {
            true => batch,
            false => {
                dense = batch.dense().map_err(internal)?;
                &dense
            }
        };
        let n = batch.columns.num_rows();
        let arrays = columns
            .iter()
            .zip(self.schema.fields())
            .map(|(c, field)| {
                let array = c.evaluate(&batch.columns)?.into_array(n)?;
                // A function may answer with another encoding of its type than it announced.
                if array.data_type() == field.data_type() {
                    Ok(array)
                } else {
                    Ok(arrow::compute::cast(&array, field.data_type())?)
                }
            })
            .collect::<datafusion_common::Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        Ok(batch.with_columns(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?))
    }

    fn empty(&self, batch: &MicroBatch) -> Result<MicroBatch> {
        Ok(match self.columns {
            None => batch.clone(),
            Some(_) => {
                MicroBatch { columns: RecordBatch::new_empty(self.schema.clone()), selection: None, ..batch.clone() }
            }
        })
    }
}

/// The index of the input column that an expression plainly is.
fn as_column(e: &Compiled) -> Option<usize> {
    (e.as_ref() as &dyn std::any::Any).downcast_ref::<Column>().map(Column::index)
}

/// A letter for row `row` of a batch's columns.
pub fn letter(batch: &MicroBatch, row: usize, operator: &str, kind: LetterKind, reason: String) -> DeadLetter {
    let offset = batch.offsets.get(row);
    let (source, partition, json) = match &batch.origin {
        Some(origin) => (origin.source.to_string(), origin.partition, origin.row_json(offset)),
        None => (String::new(), batch.partition, crate::batch::row_json(&batch.columns, row)),
    };
    DeadLetter { source, partition, offset, operator: operator.to_string(), kind, reason, bytes: None, row: json }
}

/// Puts two runs of rows of one partition together again.
fn join(left: MicroBatch, right: MicroBatch) -> Result<MicroBatch> {
    use crate::batch::{Marks, Offsets};
    let (left, right) = (left.dense()?, right.dense()?);
    if left.rows() == 0 {
        return Ok(right);
    }
    if right.rows() == 0 {
        return Ok(left);
    }
    let columns = concat_batches(&left.columns.schema(), [&left.columns, &right.columns]).map_err(internal)?;
    let halves = [&left, &right];
    let offsets = halves.iter().flat_map(|b| (0..b.rows()).map(|i| b.offsets.get(i))).collect();
    Ok(MicroBatch {
        columns,
        selection: None,
        partition: left.partition,
        offsets: Offsets::List(Arc::new(offsets)),
        marks: Marks::join((&left.marks, left.rows()), (&right.marks, right.rows())),
        origin: left.origin,
        turn: left.turn,
    })
}

/// The same rows, with dictionaries of the values that they have: an expression over a dictionary sees all of its values.
fn used_values(batch: &MicroBatch) -> Result<MicroBatch> {
    if !batch.columns.columns().iter().any(|c| matches!(c.data_type(), DataType::Dictionary(..))) {
        return Ok(batch.clone());
    }
    let columns = batch.columns.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(_, value) => {
            let plain = arrow::compute::cast(column, value)?;
            arrow::compute::cast(&plain, column.data_type())
        }
        _ => Ok(column.clone()),
    });
    let columns = columns.collect::<Result<_, _>>().map_err(internal)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.columns.num_rows()));
    let columns = RecordBatch::try_new_with_options(batch.columns.schema(), columns, &options).map_err(internal)?;
    Ok(batch.with_columns(columns))
}

/// True for an error of ours that says so.
fn ends_run(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::External(error) => error.downcast_ref::<Error>().is_some_and(Error::ends_run),
        _ => false,
    }
}

/// True for errors that one row's values cause; false for those of the query or the engine.
fn is_of_the_row(error: &DataFusionError) -> bool {
    use arrow::error::ArrowError as A;
    match error.find_root() {
        DataFusionError::ArrowError(e, _) => matches!(
            e.as_ref(),
            A::DivideByZero
                | A::ArithmeticOverflow(_)
                | A::CastError(_)
                | A::ComputeError(_)
                | A::ParseError(_)
                | A::InvalidArgumentError(_)
        ),
        DataFusionError::Execution(_) | DataFusionError::External(_) | DataFusionError::NotImplemented(_) => true,
        _ => false,
    }
}

fn reason(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(e, _) => match e.as_ref() {
            arrow::error::ArrowError::DivideByZero => "division by zero".to_string(),
            e => e.to_string(),
        },
        DataFusionError::Execution(text) => text.clone(),
        DataFusionError::External(e) => e.to_string(),
        e => e.strip_backtrace(),
    }
}
