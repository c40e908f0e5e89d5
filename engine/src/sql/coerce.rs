//! Analyzer rules of ours around DataFusion's type coercion.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Between, BinaryExpr, Cast, InList};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{LogicalPlanBuilder, Union};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion_optimizer::AnalyzerRule;

use super::types::time_digits;

/// Where a float meets a DECIMAL, the DECIMAL becomes a DOUBLE, as in Flink; `amount > 0.5` compares doubles. DataFusion
/// would make the float a DECIMAL(30, 15), which fails from 1e15 on. Runs before type coercion.
#[derive(Debug)]
pub struct FloatsWin;

impl AnalyzerRule for FloatsWin {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| floats_win(expr, schema).map(|t| t.data))?
            .transform_up(|node| match node {
                LogicalPlan::Union(union) => floats_win_in_union(union),
                other => other.recompute_schema().map(Transformed::yes),
            })
            .map(|t| t.data)
    }

    fn name(&self) -> &str {
        "floats_win"
    }
}

/// The same for a lone expression.
pub fn floats_win(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if op.supports_propagation() || op.is_numerical_operators() =>
        {
            let (mut sides, mut changed) = (vec![*left, *right], false);
            if op.is_numerical_operators() {
                changed = small_literals(&mut sides, schema)?;
            }
            let sides = mixed(sides, schema)?;
            changed |= sides.transformed;
            let [left, right] = two(sides.data);
            let new = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
            Ok(Transformed::new_transformed(new, changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => mixed(vec![*expr, *low, *high], schema).map(|t| {
            t.update_data(|mut parts| {
                let [low, high] = two(parts.split_off(1));
                Expr::Between(Between::new(Box::new(parts.remove(0)), negated, Box::new(low), Box::new(high)))
            })
        }),
        Expr::InList(InList { expr, mut list, negated }) => {
            list.insert(0, *expr);
            mixed(list, schema).map(|t| {
                t.update_data(|mut list| {
                    let expr = list.remove(0);
                    Expr::InList(InList::new(Box::new(expr), list, negated))
                })
            })
        }
        Expr::Case(mut case) => {
            // The results, and with CASE x WHEN the values compared, each among themselves.
            let mut results: Vec<Expr> = case.when_then_expr.iter().map(|(_, then)| then.as_ref().clone()).collect();
            results.extend(case.else_expr.as_deref().cloned());
            let results = mixed(results, schema)?;
            let mut changed = results.transformed;
            let mut results = results.data.into_iter();
            for (pair, result) in case.when_then_expr.iter_mut().zip(results.by_ref()) {
                *pair.1 = result;
            }
            case.else_expr = results.next().map(Box::new);
            if let Some(compared) = case.expr.as_deref() {
                let all = std::iter::once(compared.clone())
                    .chain(case.when_then_expr.iter().map(|(when, _)| when.as_ref().clone()));
                let all = mixed(all.collect(), schema)?;
                changed |= all.transformed;
                let mut all = all.data.into_iter();
                case.expr = all.next().map(Box::new);
                for (pair, when) in case.when_then_expr.iter_mut().zip(all) {
                    *pair.0 = when;
                }
            }
            Ok(Transformed::new_transformed(Expr::Case(case), changed))
        }
        Expr::ScalarFunction(mut function) => {
            // ROUND's type depends on its second argument, which must not become a cast.
            if let ("round" | "trunc", [_, digits]) = (function.func.name(), function.args.as_mut_slice())
                && let Expr::Literal(ScalarValue::Int64(Some(n)), metadata) = digits
                && let Ok(n) = i32::try_from(*n)
            {
                *digits = Expr::Literal(ScalarValue::Int32(Some(n)), metadata.take());
            }
            let args = mixed(std::mem::take(&mut function.args), schema)?;
            function.args = args.data;
            Ok(Transformed::new_transformed(Expr::ScalarFunction(function), args.transformed))
        }
        other => Ok(Transformed::no(other)),
    })
}

fn two(parts: Vec<Expr>) -> [Expr; 2] {
    parts.try_into().expect("as many as went in")
}

/// An integer literal beside an INT or smaller is an INT, as in Flink, so that the result is one.
fn small_literals(sides: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    for (at, other) in [(0, 1), (1, 0)] {
        if let Expr::Literal(ScalarValue::Int64(Some(n)), metadata) = &sides[at]
            && let Ok(n) = i32::try_from(*n)
            && matches!(sides[other].get_type(schema)?, DataType::Int8 | DataType::Int16 | DataType::Int32)
        {
            sides[at] = Expr::Literal(ScalarValue::Int32(Some(n)), metadata.clone());
            return Ok(true);
        }
    }
    Ok(false)
}

/// Casts the decimals among these to DOUBLE if there is a float among them, and times to the finest among them.
fn mixed(exprs: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let types: Vec<DataType> = exprs.iter().map(|e| e.get_type(schema)).collect::<Result<_>>()?;
    let finest = types.iter().filter(|t| is_time(t)).max_by_key(|t| time_digits(t));
    if let Some(finest) = finest.cloned()
        && types.iter().any(|t| is_time(t) && *t != finest)
    {
        let exprs = exprs.into_iter().zip(types).map(|(expr, t)| {
            if is_time(&t) && t != finest { Expr::Cast(Cast::new(Box::new(expr), finest.clone())) } else { expr }
        });
        return Ok(Transformed::yes(exprs.collect()));
    }
    if !types.iter().any(DataType::is_floating) || !types.iter().any(is_decimal) {
        return Ok(Transformed::no(exprs));
    }
    let exprs = exprs.into_iter().zip(types).map(|(expr, t)| if is_decimal(&t) { as_double(expr) } else { Ok(expr) });
    Ok(Transformed::yes(exprs.collect::<Result<_>>()?))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

fn as_double(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::Literal(value, metadata) => Ok(Expr::Literal(value.cast_to(&DataType::Float64)?, metadata)),
        other => Ok(Expr::Cast(Cast::new(Box::new(other), DataType::Float64))),
    }
}

fn floats_win_in_union(union: Union) -> Result<Transformed<LogicalPlan>> {
    let columns = union.inputs.first().map_or(0, |i| i.schema().fields().len());
    let type_at = |input: &LogicalPlan, at: usize| input.schema().fields().get(at).map(|f| f.data_type().clone());
    let wide: Vec<bool> = (0..columns)
        .map(|at| {
            let types: Vec<DataType> = union.inputs.iter().filter_map(|i| type_at(i, at)).collect();
            types.iter().any(DataType::is_floating) && types.iter().any(is_decimal)
        })
        .collect();
    if !wide.contains(&true) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let inputs = union
        .inputs
        .into_iter()
        .map(|input| {
            let exprs = (0..columns).map(|at| {
                let (relation, field) = input.schema().qualified_field(at);
                let column = Expr::Column(Column::from((relation, field.as_ref())));
                if wide[at] && is_decimal(field.data_type()) {
                    as_double(column).map(|e| e.alias(field.name()))
                } else {
                    Ok(column)
                }
            });
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build().map(Arc::new)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?)))
}

/// Strings are `Utf8` (some of DataFusion's functions answer views), and names stand at the top of expressions only.
/// Runs after type coercion.
#[derive(Debug)]
pub struct Tidy;

impl AnalyzerRule for Tidy {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite_expressions(plan, &|expr, schema| inner_names(plain_strings(expr, schema)?))
    }

    fn name(&self) -> &str {
        "tidy"
    }
}

/// Rewrites the expressions of all nodes, from the leaves up, keeping the names of their results.
pub fn rewrite_expressions(
    plan: LogicalPlan,
    rewrite: &dyn Fn(Expr, &DFSchema) -> Result<Expr>,
) -> Result<LogicalPlan> {
    plan.transform_up(|node| {
        if matches!(node, LogicalPlan::TableScan(_)) {
            return Ok(Transformed::no(node));
        }
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let new = rewrite(expr.clone(), &schema)?;
            Ok(if new == expr { Transformed::no(expr) } else { Transformed::yes(name.restore(new)) })
        })?;
        // A node whose inputs have changed their types is as new, changed or not.
        node.map_data(LogicalPlan::recompute_schema)
    })
    .map(|t| t.data)
}

/// Casts string views that functions answer to plain strings.
pub fn plain_strings(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|expr| {
        if matches!(expr, Expr::ScalarFunction(_)) && expr.get_type(schema)? == DataType::Utf8View {
            return Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(expr), DataType::Utf8))));
        }
        Ok(Transformed::no(expr))
    })
    .map(|t| t.data)
}

/// Takes out the names inside of an expression, but for its own.
fn inner_names(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::Alias(mut alias) => {
            *alias.expr = without_names(*alias.expr)?;
            Ok(Expr::Alias(alias))
        }
        other => without_names(other),
    }
}

/// Takes out all names of an expression.
pub fn without_names(expr: Expr) -> Result<Expr> {
    expr.transform_up(|e| match e {
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        e => Ok(Transformed::no(e)),
    })
    .map(|t| t.data)
}
