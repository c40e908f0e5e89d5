//! Casts between TIMESTAMP_LTZ and types without a zone read and print it in `pelton.time-zone`. Arrow's would take UTC.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion_optimizer::AnalyzerRule;

use super::coerce::rewrite_expressions;
use super::functions::Functions;
use super::functions::times::{INSTANT, LOCAL, READ_INSTANT};

/// The rule. Runs after type coercion, so that it sees the casts of mixed comparisons too.
#[derive(Debug)]
pub struct Zones;

impl AnalyzerRule for Zones {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        if zone(config) == Tz::UTC {
            return Ok(plan);
        }
        rewrite_expressions(plan, &|expr, schema| in_zone(expr, schema, config))
    }

    fn name(&self) -> &str {
        "zones"
    }
}

fn zone(config: &ConfigOptions) -> Tz {
    config.execution.time_zone.as_deref().and_then(|z| z.parse().ok()).unwrap_or(Tz::UTC)
}

/// The same for a lone expression.
pub fn in_zone(expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Expr> {
    let zone = zone(config);
    if zone == Tz::UTC {
        return Ok(expr);
    }
    let functions = Functions::new(zone);
    let call = |name: &str, arg: Expr| {
        let function: Arc<ScalarUDF> = functions.scalar(name).expect("it is one of ours");
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![arg]))
    };
    expr.transform_up(|expr| {
        let (inner, to, may_fail) = match &expr {
            Expr::Cast(cast) => (&cast.expr, cast.field.data_type(), false),
            Expr::TryCast(cast) => (&cast.expr, cast.field.data_type(), true),
            _ => return Ok(Transformed::no(expr)),
        };
        let from = inner.get_type(schema)?;
        let text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let new = match (&from, to) {
            (
                DataType::Timestamp(_, Some(_)),
                DataType::Timestamp(_, None)
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View,
            ) => call(LOCAL, inner.as_ref().clone()),
            (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => call(INSTANT, inner.as_ref().clone()),
            (DataType::Date32 | DataType::Date64, DataType::Timestamp(_, Some(_))) => {
                let midnight = DataType::Timestamp(TimeUnit::Microsecond, None);
                call(INSTANT, Expr::Cast(Cast::new(inner.clone(), midnight)))
            }
            (_, DataType::Timestamp(_, Some(_))) if text => {
                let text = inner.as_ref().clone();
                let text = if from == DataType::Utf8 { text } else { Expr::Cast(Cast::new(Box::new(text), DataType::Utf8)) };
                call(READ_INSTANT, text)
            }
            _ => return Ok(Transformed::no(expr)),
        };
        let to = to.clone();
        Ok(Transformed::yes(if may_fail {
            Expr::TryCast(TryCast::new(Box::new(new), to))
        } else {
            Expr::Cast(Cast::new(Box::new(new), to))
        }))
    })
    .map(|t| t.data)
}
