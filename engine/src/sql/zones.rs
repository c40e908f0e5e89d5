//! Casts of times as in Flink. Those between TIMESTAMP_LTZ and types without a zone read and print it in
//! `pelton.time-zone`, where Arrow's would take UTC; text is `2024-02-29 13:04:05.678`, with all digits of the type.

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
use super::functions::times::{INSTANT, LOCAL, PRINT, READ_INSTANT, TRY_READ_INSTANT};

/// The rule. Runs after type coercion, so that it sees the casts of mixed comparisons too.
#[derive(Debug)]
pub struct Zones;

impl AnalyzerRule for Zones {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
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
    let functions = std::cell::OnceCell::new();
    let call = |name: &str, arg: Expr| {
        let functions = functions.get_or_init(|| Functions::new(zone));
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
        let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let text = is_text(&from);
        let new = match (&from, to) {
            (DataType::Timestamp(_, of), to) if is_text(to) => {
                let time = inner.as_ref().clone();
                call(PRINT, if of.is_some() && zone != Tz::UTC { call(LOCAL, time) } else { time })
            }
            _ if zone == Tz::UTC => return Ok(Transformed::no(expr)),
            (
                DataType::Timestamp(_, Some(_)),
                DataType::Timestamp(_, None)
                | DataType::Date32
                | DataType::Date64
                | DataType::Time32(_)
                | DataType::Time64(_),
            ) => call(LOCAL, inner.as_ref().clone()),
            (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => call(INSTANT, inner.as_ref().clone()),
            (DataType::Date32 | DataType::Date64, DataType::Timestamp(_, Some(_))) => {
                let midnight = DataType::Timestamp(TimeUnit::Microsecond, None);
                call(INSTANT, Expr::Cast(Cast::new(inner.clone(), midnight)))
            }
            (_, DataType::Timestamp(_, Some(_))) if text => {
                let text = inner.as_ref().clone();
                let text =
                    if from == DataType::Utf8 { text } else { Expr::Cast(Cast::new(Box::new(text), DataType::Utf8)) };
                call(if may_fail { TRY_READ_INSTANT } else { READ_INSTANT }, text)
            }
            _ => return Ok(Transformed::no(expr)),
        };
        let to = to.clone();
        Ok(Transformed::yes(if to == DataType::Utf8 {
            new
        } else if may_fail {
            Expr::TryCast(TryCast::new(Box::new(new), to))
        } else {
            Expr::Cast(Cast::new(Box::new(new), to))
        }))
    })
    .map(|t| t.data)
}
