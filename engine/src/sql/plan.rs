//! From a planned query to the plan that runs: coercion, then the optimizer's rules that keep a stream's meaning.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result as DfResult, ScalarValue};
use datafusion_expr::expr::Cast;
use datafusion_expr::logical_plan::LogicalPlanBuilder;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::analyzer::Analyzer;
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::{ExprSimplifier, SimplifyExpressions};
use datafusion_optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerContext, OptimizerRule};

use super::coerce::{FloatsWin, Tidy, floats_win, plain_strings, without_names};
use super::errors::from_datafusion;
use super::fold::{Fold, fold};
use super::types;
use super::zones::{Zones, in_zone};
use crate::error::{Error, Result};

/// Coerces types. Afterwards the schema of the plan is final.
pub fn analyze(plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
    Analyzer::with_rules(vec![Arc::new(FloatsWin), Arc::new(TypeCoercion::new()), Arc::new(Zones), Arc::new(Tidy)])
        .execute_and_check(plan, options, |_, _| {})
        .map_err(from_datafusion)
}

/// Optimizes an analyzed plan.
///
/// Left out of DataFusion's rules, and why:
/// - `SingleDistinctToGroupBy`: our `COUNT(DISTINCT)` is one aggregate; two nested ones would need state without a window.
/// - `CommonSubexprEliminate`: programs share subexpressions themselves, and know which branch of a `CASE` fails.
/// - `EliminateFilter`, `PropagateEmptyRelation`, `EliminateLimit`, `EliminateJoin`: a source must be read even if no row
///   passes, for its watermark, its history and its dead letters.
/// - `PushDownLimit`: a source reads what it reads; the sink stops the run.
/// - `EliminateGroupByConstant`: a group by a constant has no row without input, a global aggregate has one.
/// - `FilterNullJoinKeys`: the join's probe sees NULL keys anyway.
/// - `ExtractLeafExpressions`, `PushDownLeafProjections`: fields of a ROW are read in place.
/// - The subquery rules: subqueries in expressions are refused.
pub fn optimize(plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        // UNION ALL of UNION ALL becomes one.
        Arc::new(OptimizeUnions::new()),
        // Constants are computed by our rules first: an integer that does not fit is an error.
        Arc::new(Fold),
        // The rest of them is folded; what would fail (1/0) stays and fails, row by row, only where it is evaluated.
        Arc::new(SimplifyExpressions::new()),
        // DISTINCT becomes GROUP BY all columns.
        Arc::new(ReplaceDistinctWithAggregate::new()),
        // a = b of ON becomes a key of the join.
        Arc::new(ExtractEquijoinPredicate::new()),
        // FROM a, b WHERE a.x = b.x becomes a join.
        Arc::new(EliminateCrossJoin::new()),
        // A LEFT JOIN whose right side must be there is an inner one.
        Arc::new(EliminateOuterJoin::new()),
        // WHERE TRUE goes.
        Arc::new(DropTrueFilter),
        // Filters go down to their table, though not below the window columns they look at.
        Arc::new(PushDownFilter::new()),
        // Columns that nobody reads are not read.
        Arc::new(OptimizeProjections::new()),
    ];
    // Without a start time NOW() and its like stay what they are.
    let context =
        OptimizerContext::new_with_config_options(Arc::new(options.clone())).without_query_execution_start_time();
    Optimizer::with_rules(rules)
        .optimize(plan, &context, |_, _| {})
        .and_then(|plan| {
            // The rows of VALUES go by position; folding has left names on them.
            plan.transform_up(|node| match node {
                LogicalPlan::Values(mut values) => {
                    for expr in values.values.iter_mut().flatten() {
                        *expr = without_names(std::mem::take(expr))?;
                    }
                    Ok(Transformed::yes(LogicalPlan::Values(values)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
        .map(|t| t.data)
        .map_err(from_datafusion)
}

/// Coerces and simplifies an expression over a table's columns.
pub fn finish_expr(expr: Expr, schema: &DFSchemaRef, options: &ConfigOptions) -> Result<Expr> {
    let context =
        SimplifyContext::builder().with_schema(schema.clone()).with_config_options(Arc::new(options.clone())).build();
    let simplifier = ExprSimplifier::new(context);
    floats_win(expr, schema)
        .and_then(|e| simplifier.coerce(e.data, schema))
        .and_then(|e| in_zone(e, schema, options))
        .and_then(|e| plain_strings(e, schema))
        .and_then(fold)
        .and_then(|e| simplifier.simplify(e))
        .map_err(from_datafusion)
}

/// An expression as another type, without a cast where it has it already.
pub fn as_type(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { Expr::Cast(Cast::new(Box::new(expr), to.clone())) }
}

/// Puts a projection over a plan: columns by position, each cast to a type and named.
pub fn project(plan: LogicalPlan, columns: Vec<(Expr, String)>) -> Result<LogicalPlan> {
    let unchanged = columns.len() == plan.schema().fields().len()
        && columns.iter().zip(plan.schema().iter()).all(|((expr, name), (relation, field))| {
            field.name() == name && *expr == Expr::Column(Column::from((relation, field.as_ref())))
        });
    if unchanged {
        return Ok(plan);
    }
    let exprs: Vec<Expr> = columns
        .into_iter()
        .map(|(expr, name)| match &expr {
            Expr::Column(c) if c.name == name => expr,
            _ => expr.alias(name),
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The column at a position of a plan, as an expression.
pub fn column(plan: &LogicalPlan, at: usize) -> Expr {
    Expr::Column(Column::from(plan.schema().qualified_field(at)))
}

/// True if a column of a plan is made of literals only, by `VALUES`, `CASE` and the like, and each keeps its value in
/// another type: `1` in an INT column, a TIMESTAMP without a fraction in a TIMESTAMP(3).
pub fn literals_fit(plan: &LogicalPlan, at: usize, to: &DataType, options: &ConfigOptions) -> bool {
    match plan {
        LogicalPlan::Values(values) => values.values.iter().all(|row| literal_fits(&row[at], to, options)),
        LogicalPlan::Projection(projection) => match projection.expr[at].clone().unalias() {
            Expr::Column(column) => match projection.input.schema().maybe_index_of_column(&column) {
                Some(inner) => literals_fit(&projection.input, inner, to, options),
                None => false,
            },
            expr => literal_fits(&expr, to, options),
        },
        LogicalPlan::SubqueryAlias(alias) => literals_fit(&alias.input, at, to, options),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| {
            let from = input.schema().field(at).data_type();
            types::fits(from, to, false) || literals_fit(input, at, to, options)
        }),
        _ => false,
    }
}

fn literal_fits(expr: &Expr, to: &DataType, options: &ConfigOptions) -> bool {
    match expr {
        Expr::Literal(value, _) => {
            value.is_null()
                || types::fits(&value.data_type(), to, false)
                || value
                    .cast_to(to)
                    .is_ok_and(|there| there.cast_to(&value.data_type()).is_ok_and(|back| back == *value))
        }
        Expr::Alias(alias) => literal_fits(&alias.expr, to, options),
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
            results.into_iter().all(|result| literal_fits(result, to, options))
        }
        expr if expr.column_refs().is_empty() && !expr.is_volatile() => {
            match finish_expr(expr.clone(), &Arc::new(DFSchema::empty()), options) {
                Ok(Expr::Literal(value, metadata)) => literal_fits(&Expr::Literal(value, metadata), to, options),
                _ => false,
            }
        }
        _ => false,
    }
}

/// True if a volatile function is anywhere in the plan.
pub fn is_volatile(plan: &LogicalPlan) -> bool {
    plan.exists(|node| Ok(node.expressions().iter().any(Expr::is_volatile))).unwrap_or(true)
}

/// Fails if the plan has a join without an equality.
pub fn check_joins(plan: &LogicalPlan) -> Result<()> {
    let cross = plan
        .exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if join.on.is_empty())))
        .map_err(from_datafusion)?;
    if cross {
        return Err(Error::user("a join without an equality between its sides is not supported yet")
            .hint("add one to ON, for example ON a.id = b.id"));
    }
    Ok(())
}

/// The types of a plan's columns in SQL's words, for `EXPLAIN` and messages.
pub fn describe(schema: &DFSchema) -> String {
    let columns: Vec<String> =
        schema.fields().iter().map(|f| format!("{} {}", f.name(), types::name(f.data_type()))).collect();
    columns.join(", ")
}

/// Takes out `WHERE TRUE`; unlike DataFusion's rule it leaves `WHERE FALSE`, so that the source is still read.
#[derive(Debug)]
struct DropTrueFilter;

impl OptimizerRule for DropTrueFilter {
    fn name(&self) -> &str {
        "drop_true_filter"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DfResult<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter)
                if filter.predicate == Expr::Literal(ScalarValue::Boolean(Some(true)), None) =>
            {
                Ok(Transformed::yes(Arc::unwrap_or_clone(filter.input)))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}
