//! Times in a zone, as in Flink. Casts between TIMESTAMP_LTZ and types without a zone read and print it in
//! `pelton.time-zone`, where Arrow's would take UTC; text is `2024-02-29 13:04:05.678`, with all digits of the type. In the
//! zone are, too: intervals of months added to a TIMESTAMP_LTZ, `TO_CHAR`, and `DATE_BIN` by what does not divide an hour.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use chrono_tz::Tz;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF};
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

/// A constant interval.
fn interval(expr: &Expr) -> Option<IntervalMonthDayNano> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(value), _) => *value,
        Expr::Literal(ScalarValue::IntervalYearMonth(value), _) => value.map(|m| IntervalMonthDayNano::new(m, 0, 0)),
        Expr::Literal(ScalarValue::IntervalDayTime(value), _) => {
            value.map(|v| IntervalMonthDayNano::new(0, v.days, i64::from(v.milliseconds) * 1_000_000))
        }
        _ => None,
    }
}

fn has_months(expr: &Expr) -> bool {
    interval(expr).is_some_and(|i| i.months != 0)
}

/// Such stretches are the same in every zone, and where clocks are put back no hour counts twice.
fn divides_an_hour(expr: &Expr) -> bool {
    const HOUR: i64 = 3_600_000_000_000;
    interval(expr).is_none_or(|i| i.months == 0 && i.days == 0 && i.nanoseconds > 0 && HOUR % i.nanoseconds == 0)
}

/// The same for a lone expression.
pub fn in_zone(expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Expr> {
    let zone = zone(config);
    let functions = std::cell::OnceCell::new();
    let is_instant =
        |e: &Expr| Ok::<_, DataFusionError>(matches!(e.get_type(schema)?, DataType::Timestamp(_, Some(_))));
    let call = |name: &str, arg: Expr| {
        let functions = functions.get_or_init(|| Functions::new(zone));
        let function: Arc<ScalarUDF> = functions.scalar(name).expect("it is one of ours");
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![arg]))
    };
    expr.transform_up(|expr| {
        let (inner, to, may_fail) = match &expr {
            Expr::Cast(cast) => (&cast.expr, cast.field.data_type(), false),
            Expr::TryCast(cast) => (&cast.expr, cast.field.data_type(), true),
            Expr::BinaryExpr(sum) if zone != Tz::UTC => {
                let (time, interval) =
                    if is_instant(&sum.left)? { (&sum.left, &sum.right) } else { (&sum.right, &sum.left) };
                if !has_months(interval) || !is_instant(time)? {
                    return Ok(Transformed::no(expr));
                }
                let local = call(LOCAL, time.as_ref().clone());
                let sum = match sum.op {
                    Operator::Minus => local - interval.as_ref().clone(),
                    _ => local + interval.as_ref().clone(),
                };
                return Ok(Transformed::yes(call(INSTANT, sum)));
            }
            Expr::ScalarFunction(function) if zone != Tz::UTC => {
                let (name, args) = (function.func.name(), &function.args);
                let by_clock = match name {
                    "to_char" => true,
                    "date_bin" => !divides_an_hour(&args[0]) && is_instant(&args[1])?,
                    _ => false,
                };
                if !by_clock {
                    return Ok(Transformed::no(expr));
                }
                let local = |arg: &Expr| {
                    Ok::<_, DataFusionError>(if is_instant(arg)? { call(LOCAL, arg.clone()) } else { arg.clone() })
                };
                let args = args.iter().map(local).collect::<Result<Vec<_>>>()?;
                let new = Expr::ScalarFunction(ScalarFunction::new_udf(function.func.clone(), args));
                return Ok(Transformed::yes(if name == "date_bin" { call(INSTANT, new) } else { new }));
            }
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
