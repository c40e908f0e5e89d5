//! The aggregates, as far as planning needs them: names, argument coercion, result types. `kernels` computes them.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue, not_impl_err};
use datafusion_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility, WindowFunctionDefinition, lit,
};

use super::errors::carry;
use super::types;
use crate::error::Error;

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateKind {
    /// `COUNT`.
    Count,
    /// `SUM`.
    Sum,
    /// `AVG`.
    Avg,
    /// `MIN`.
    Min,
    /// `MAX`.
    Max,
    /// `VAR_SAMP`.
    VarSamp,
    /// `VAR_POP`.
    VarPop,
    /// `STDDEV_SAMP`.
    StddevSamp,
    /// `STDDEV_POP`.
    StddevPop,
    /// `BOOL_AND`.
    BoolAnd,
    /// `BOOL_OR`.
    BoolOr,
    /// `FIRST_VALUE`.
    FirstValue,
    /// `LAST_VALUE`.
    LastValue,
    /// `APPROX_DISTINCT`.
    ApproxDistinct,
    /// `APPROX_PERCENTILE`.
    ApproxPercentile,
}

use AggregateKind::*;

/// Every aggregate: its name, its other names.
const ALL: &[(AggregateKind, &str, &[&str])] = &[
    (Count, "count", &[]),
    (Sum, "sum", &[]),
    (Avg, "avg", &["mean"]),
    (Min, "min", &[]),
    (Max, "max", &[]),
    (VarSamp, "var_samp", &["variance", "var", "var_sample"]),
    (VarPop, "var_pop", &["var_population"]),
    (StddevSamp, "stddev_samp", &["stddev"]),
    (StddevPop, "stddev_pop", &[]),
    (BoolAnd, "bool_and", &["every"]),
    (BoolOr, "bool_or", &["some"]),
    (FirstValue, "first_value", &["first"]),
    (LastValue, "last_value", &["last"]),
    (ApproxDistinct, "approx_distinct", &["approx_count_distinct"]),
    (ApproxPercentile, "approx_percentile", &["approx_percentile_cont"]),
];

impl AggregateKind {
    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        ALL.iter().find(|(kind, ..)| *kind == self).expect("every kind is in the list").1
    }
}

/// The aggregate functions under each of their names.
pub fn functions() -> Vec<(&'static str, Arc<AggregateUDF>)> {
    ALL.iter()
        .flat_map(|(kind, name, others)| {
            let function = Arc::new(AggregateUDF::new_from_impl(PeltonAggregate::new(*kind)));
            std::iter::once(*name).chain(others.iter().copied()).map(move |n| (n, function.clone()))
        })
        .collect()
}

/// One of our aggregates in a plan: what `AggregateUDF::inner()` downcasts to.
///
/// Its arguments are already coerced:
///
/// | function | argument | result |
/// |---|---|---|
/// | `count` | anything; `COUNT(*)`, `COUNT()` and `COUNT(literal)` are `count(1)`, a BIGINT literal | BIGINT |
/// | `sum` | TINYINT … BIGINT as BIGINT, BIGINT UNSIGNED as it is | BIGINT |
/// | | FLOAT as DOUBLE, DOUBLE | DOUBLE |
/// | | DECIMAL(p, s) | DECIMAL(38, s) |
/// | `avg` | as for `sum` | DOUBLE; DECIMAL(38, max(s, 6)) |
/// | `var_*`, `stddev_*` | any number as DOUBLE | DOUBLE |
/// | `min`, `max`, `first_value`, `last_value` | anything with an order; dictionaries as their values | the argument's |
/// | `bool_and`, `bool_or` | BOOLEAN | BOOLEAN |
/// | `approx_distinct` | anything; dictionaries as their values | BIGINT |
/// | `approx_percentile` | any number as DOUBLE, then a DOUBLE literal from 0 to 1 | DOUBLE |
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PeltonAggregate {
    /// Which one.
    pub kind: AggregateKind,
    signature: Signature,
}

impl PeltonAggregate {
    /// The aggregate of a kind.
    pub fn new(kind: AggregateKind) -> Self {
        PeltonAggregate { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Our aggregate behind a plan's function.
    pub fn of(function: &AggregateUDF) -> Option<&PeltonAggregate> {
        (function.inner().as_ref() as &dyn Any).downcast_ref()
    }

    fn wrong(&self, wanted: &str, types: &[DataType]) -> datafusion_common::DataFusionError {
        let got: Vec<String> = types.iter().map(types::name).collect();
        carry(Error::user(format!("{}({}): wanted {wanted}", self.kind.name().to_uppercase(), got.join(", "))))
    }
}

impl AggregateUDFImpl for PeltonAggregate {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let plain: Vec<DataType> = given
            .iter()
            .map(|t| match t {
                DataType::Dictionary(_, value) => value.as_ref().clone(),
                t => t.clone(),
            })
            .collect();
        let number = |t: &DataType| t.is_numeric() || t.is_null();
        match (self.kind, plain.as_slice()) {
            (Count, [_, ..]) => Ok(given.to_vec()),
            (ApproxDistinct | FirstValue | LastValue, [t]) => Ok(vec![t.clone()]),
            (Min | Max, [t]) if !t.is_nested() => Ok(vec![t.clone()]),
            (Min | Max, [_]) => Err(self.wrong("a type with an order", given)),
            (Sum | Avg, [t]) => Ok(vec![match t {
                DataType::Null => DataType::Int64,
                DataType::UInt64 => DataType::UInt64,
                t if t.is_integer() => DataType::Int64,
                DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
                DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                    DataType::Decimal128(*p, *s)
                }
                _ => return Err(self.wrong("a number", given)),
            }]),
            (VarSamp | VarPop | StddevSamp | StddevPop, [t]) if number(t) => Ok(vec![DataType::Float64]),
            (VarSamp | VarPop | StddevSamp | StddevPop, [_]) => Err(self.wrong("a number", given)),
            (BoolAnd | BoolOr, [DataType::Boolean | DataType::Null]) => Ok(vec![DataType::Boolean]),
            (BoolAnd | BoolOr, [_]) => Err(self.wrong("a BOOLEAN", given)),
            (ApproxPercentile, [x, p]) if number(x) && number(p) => Ok(vec![DataType::Float64, DataType::Float64]),
            (ApproxPercentile, _) => Err(self.wrong("a number and a literal from 0 to 1", given)),
            (Count, []) => Err(self.wrong("`*` or an expression", given)),
            _ => Err(self.wrong("one argument", given)),
        }
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        let first = args.first().cloned().unwrap_or(DataType::Null);
        Ok(match (self.kind, first) {
            (Count | ApproxDistinct, _) => DataType::Int64,
            (Sum, DataType::Float64) => DataType::Float64,
            (Sum, DataType::Decimal128(_, s)) => DataType::Decimal128(38, s),
            (Sum, _) => DataType::Int64,
            (Avg, DataType::Decimal128(_, s)) => DataType::Decimal128(38, s.max(6)),
            (Avg | VarSamp | VarPop | StddevSamp | StddevPop | ApproxPercentile, _) => DataType::Float64,
            (Min | Max | FirstValue | LastValue, t) => t,
            (BoolAnd | BoolOr, _) => DataType::Boolean,
        })
    }

    fn is_nullable(&self) -> bool {
        !matches!(self.kind, Count | ApproxDistinct)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.kind {
            Count | ApproxDistinct => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    /// Like DataFusion's name, but with casts, which its own leaves out: `SUM(x)` and `SUM(CAST(x AS REAL))` are two.
    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        let args: Vec<String> = params.args.iter().map(ToString::to_string).collect();
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let filter = params.filter.as_ref().map_or(String::new(), |f| format!(" FILTER (WHERE {f})"));
        let nulls = params.null_treatment.map_or(String::new(), |n| format!(" {n}"));
        Ok(format!("{}({distinct}{}){nulls}{filter}", self.kind.name(), args.join(",")))
    }

    // FIRST_VALUE and LAST_VALUE skip NULLs unless RESPECT NULLS is said.
    fn supports_null_handling_clause(&self) -> bool {
        matches!(self.kind, FirstValue | LastValue)
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("{} is computed by the kernels", self.name())
    }

    fn state_fields(&self, _args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![])
    }
}

/// Plans calls of our aggregates: `COUNT(*)` becomes `count(1)`, `APPROX_PERCENTILE` has its literal checked.
#[derive(Debug)]
pub struct AggregatePlanner;

/// Makes the second argument of `APPROX_PERCENTILE` a DOUBLE from 0 to 1.
fn check_percentile(args: &mut [Expr]) -> Result<()> {
    let p = match args.get(1) {
        Some(Expr::Literal(value, _)) => value.cast_to(&DataType::Float64).ok(),
        _ => None,
    };
    match p {
        Some(ScalarValue::Float64(Some(p))) if (0.0..=1.0).contains(&p) && args.len() == 2 => {
            args[1] = lit(p);
            Ok(())
        }
        _ => Err(carry(
            Error::user("APPROX_PERCENTILE wants a number and a literal from 0 to 1")
                .hint("for example APPROX_PERCENTILE(latency, 0.99)"),
        )),
    }
}

/// True if `COUNT` of these counts rows.
fn is_star(args: &[Expr]) -> bool {
    #[expect(deprecated, reason = "the parser's `*` arrives as this")]
    match args {
        [] | [Expr::Wildcard { .. }] => true,
        [Expr::Literal(value, _)] => !value.is_null(),
        _ => false,
    }
}

impl ExprPlanner for AggregatePlanner {
    fn plan_window(&self, mut raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if let WindowFunctionDefinition::AggregateUDF(function) = &raw.func_def {
            match PeltonAggregate::of(function).map(|ours| ours.kind) {
                Some(ApproxPercentile) => check_percentile(&mut raw.args)?,
                Some(Count) if !raw.distinct && is_star(&raw.args) => raw.args = vec![lit(1i64)],
                _ => {}
            }
        }
        Ok(PlannerResult::Original(raw))
    }

    fn plan_aggregate(&self, mut raw: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        let Some(ours) = PeltonAggregate::of(&raw.func) else { return Ok(PlannerResult::Original(raw)) };
        match ours.kind {
            ApproxPercentile => check_percentile(&mut raw.args)?,
            Count if !raw.distinct && is_star(&raw.args) => {
                let RawAggregateExpr { func, filter, order_by, null_treatment, .. } = raw;
                let mut name = "count(*)".to_string();
                if let Some(filter) = &filter {
                    name = format!("{name} FILTER (WHERE {filter})");
                }
                let count = AggregateFunction::new_udf(func, vec![lit(1i64)], false, filter, order_by, null_treatment);
                return Ok(PlannerResult::Planned(Expr::AggregateFunction(count).alias(name)));
            }
            _ => {}
        }
        Ok(PlannerResult::Original(raw))
    }
}
