//! Calls of models whose file is read again get the event time of their row as an argument behind the features: it tells the
//! version (see [`versions`](crate::versions)). Where projections below have dropped the event time, it is passed up beside them.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, Result as DfResult};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{LogicalPlanBuilder, Projection, SubqueryAlias, Union};
use datafusion_expr::{Expr, LogicalPlan};

use super::PeltonTable;
use super::errors::{carry, from_datafusion};
use super::models::ModelDef;
use super::window::{WINDOW_COLUMNS, WindowTvf};
use crate::error::{Error, Result};

/// The event time, where it is passed up beside the columns of a query.
const TIME: &str = "$time";

/// Gives all calls of such models in a plan their event time.
pub fn give(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up(give_node).map(|plan| plan.data).map_err(from_datafusion)
}

/// The model of a call that has no event time yet and wants one.
fn waits(expr: &Expr) -> Option<&Arc<ModelDef>> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let def = ModelDef::of(&call.func).filter(|def| def.reload.is_some())?;
    let has_time = call.args.len() > ModelDef::features_of(&call.func)?;
    (!has_time).then_some(def)
}

fn give_node(node: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let mut model = None;
    for expr in node.expressions() {
        expr.apply(|inner| {
            model = model.take().or_else(|| waits(inner).cloned());
            Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    let Some(model) = model else { return Ok(Transformed::no(node)) };
    let no_time = || {
        carry(
            Error::user(format!(
                "model `{}` is read again while the query runs, so it scores rows with an event time, and these have none",
                model.name
            ))
            .hint("give the table a WATERMARK, or leave 'reload.interval' out"),
        )
    };
    let [input] = node.inputs()[..] else { return Err(no_time()) };
    let (input, time) = expose(input)?.ok_or_else(no_time)?;
    let time = Expr::Column(time);
    let names = NamePreserver::new(&node);
    let exprs = node.expressions().into_iter().map(|expr| {
        let name = names.save(&expr);
        let given = expr.transform_up(|mut expr| {
            let waits = waits(&expr).is_some();
            if let (true, Expr::ScalarFunction(call)) = (waits, &mut expr) {
                call.args.push(time.clone());
            }
            Ok(if waits { Transformed::yes(expr) } else { Transformed::no(expr) })
        })?;
        Ok(name.restore(given.data))
    });
    let exprs = exprs.collect::<DfResult<Vec<Expr>>>()?;
    let columns = node.schema().columns();
    let new = node.with_new_exprs(exprs, vec![input])?;
    Ok(Transformed::yes(match new.schema().fields().len() == columns.len() {
        true => new,
        false => LogicalPlanBuilder::from(new).project(columns.into_iter().map(Expr::Column))?.build()?,
    }))
}

/// A plan whose rows have their event time in a column, its own or one more behind the others; `None` if they have none.
fn expose(plan: &LogicalPlan) -> DfResult<Option<(LogicalPlan, Column)>> {
    let inner = |input: &LogicalPlan| {
        let Some((input, time)) = expose(input)? else { return Ok(None) };
        Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, time)))
    };
    match plan {
        LogicalPlan::TableScan(scan) => {
            let def = PeltonTable::of(&scan.source).map(|table| &table.def);
            let name = def.and_then(|def| Some(def.schema.field(def.watermark.as_ref()?.column).name()));
            Ok(name.map(|name| (plan.clone(), Column::new(Some(scan.table_name.clone()), name))))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, time)) = expose(&alias.input)? else { return Ok(None) };
            let named = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some((LogicalPlan::SubqueryAlias(named), Column::new(Some(alias.alias.clone()), time.name))))
        }
        LogicalPlan::Projection(projection) => {
            let Some((input, time)) = expose(&projection.input)? else { return Ok(None) };
            let at = input.schema().index_of_column(&time)?;
            let is_time = |expr: &Expr| match expr.clone().unalias() {
                Expr::Column(column) => input.schema().maybe_index_of_column(&column) == Some(at),
                _ => false,
            };
            let mut exprs = projection.expr.clone();
            let place = exprs.iter().position(is_time).unwrap_or(exprs.len());
            if place == exprs.len() {
                exprs.push(Expr::Column(time).alias(TIME));
            }
            let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?);
            let time = Column::from(plan.schema().qualified_field(place));
            Ok(Some((plan, time)))
        }
        LogicalPlan::Filter(filter) => inner(&filter.input),
        LogicalPlan::Sort(sort) => inner(&sort.input),
        LogicalPlan::Limit(limit) => inner(&limit.input),
        LogicalPlan::Window(window) => inner(&window.input),
        LogicalPlan::Union(union) => {
            let mut inputs = vec![];
            for input in &union.inputs {
                let columns = input.schema().columns();
                let Some((input, time)) = expose(input)? else { return Ok(None) };
                let exprs = columns.into_iter().map(Expr::Column).chain([Expr::Column(time).alias(TIME)]);
                inputs.push(Arc::new(LogicalPlanBuilder::from(input).project(exprs)?.build()?));
            }
            let plan = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
            let time = Column::from(plan.schema().qualified_field(plan.schema().fields().len() - 1));
            Ok(Some((plan, time)))
        }
        LogicalPlan::Join(join) => {
            let sides = [(expose(&join.left)?, true), (expose(&join.right)?, false)];
            for (side, is_left) in sides {
                let Some((side, time)) = side else { continue };
                let inputs = match is_left {
                    true => vec![side, join.right.as_ref().clone()],
                    false => vec![join.left.as_ref().clone(), side],
                };
                return Ok(Some((plan.with_new_exprs(plan.expressions(), inputs)?, time)));
            }
            Ok(None)
        }
        LogicalPlan::Aggregate(aggregate) => {
            // Rows of a window have its time, or else its end.
            let named = |name: &str| {
                let at =
                    aggregate.group_expr.iter().position(|expr| matches!(expr, Expr::Column(c) if c.name == name))?;
                Some(Column::from(aggregate.schema.qualified_field(at)))
            };
            let [_, end, time] = WINDOW_COLUMNS;
            Ok(named(time).or_else(|| named(end)).map(|time| (plan.clone(), time)))
        }
        LogicalPlan::Extension(_) => Ok(WindowTvf::of(plan).and_then(|tvf| match &tvf.time {
            Expr::Column(time) => Some((plan.clone(), time.clone())),
            _ => None,
        })),
        _ => Ok(None),
    }
}
