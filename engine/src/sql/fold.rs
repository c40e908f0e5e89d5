//! Constants are computed by the engine's own rules: overflow is an error, -0.0 equals 0.0. DataFusion's folding, which
//! comes after, would wrap.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{ColumnarValue, Expr, ExprSchemable, LogicalPlan, Volatility};
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

use super::coerce::rewrite_expressions;
use super::errors::carry;
use super::types;
use crate::error::Error;

/// The rule; it comes before each run of DataFusion's simplification.
#[derive(Debug)]
pub struct Fold;

impl OptimizerRule for Fold {
    fn name(&self) -> &str {
        "fold"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_expressions(plan, &|expr, _| fold(expr)).map(Transformed::yes)
    }
}

/// Replaces the parts of an expression that are constant by their values. Fails where one is an integer that does not
/// fit; what fails otherwise (1/0) stays.
pub fn fold(expr: Expr) -> Result<Expr> {
    expr.transform_up(|expr| {
        let constant = match &expr {
            Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
            Expr::Between(_) | Expr::InList(_) | Expr::Case(_) => true,
            Expr::ScalarFunction(ScalarFunction { func, .. }) => func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        if !constant || !literals_only(&expr)? {
            return Ok(Transformed::no(expr));
        }
        match value(&expr) {
            Ok(Some(value)) => Ok(Transformed::yes(Expr::Literal(value, None))),
            Ok(None) => Ok(Transformed::no(expr)),
            Err(DataFusionError::ArrowError(error, _))
                if matches!(*error, arrow::error::ArrowError::ArithmeticOverflow(_))
                    && matches!(&expr, Expr::BinaryExpr(_) | Expr::Negative(_)) =>
            {
                let text = error.to_string();
                let what = text.rsplit_once("on: ").map_or("the result", |(_, what)| what);
                let name = types::name(&expr.get_type(&DFSchema::empty())?);
                let hint = "CAST an operand to a wider type, for example DECIMAL(38, 0)";
                Err(carry(Error::user(format!("{what} does not fit into {name}")).hint(hint)))
            }
            Err(_) => Ok(Transformed::no(expr)),
        }
    })
    .map(|t| t.data)
}

fn literals_only(expr: &Expr) -> Result<bool> {
    let mut all = true;
    expr.apply_children(|child| {
        all &= matches!(child, Expr::Literal(..));
        Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(all)
}

/// The value of an expression without columns; `None` if it has none of its announced type.
fn value(expr: &Expr) -> Result<Option<ScalarValue>> {
    let schema = DFSchema::empty();
    let data_type = expr.get_type(&schema)?;
    if data_type.is_nested() {
        return Ok(None);
    }
    let Ok(compiled) = crate::expr::compile(expr, &schema, &ExecutionProps::new()) else { return Ok(None) };
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let none =
        arrow::array::RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options)?;
    let value = match compiled.evaluate(&none)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    };
    if value.data_type() == data_type { Ok(Some(value)) } else { value.cast_to(&data_type).map(Some) }
}
