//! Plans joins of a stream with a loaded table, and `UNION ALL`.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::FieldRef;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchemaRef, JoinType, NullEquality, TableReference};
use datafusion_expr::{Expr, Join, LogicalPlan};

use super::relation::{Meaning, Pending, Place, Relation};
use super::steps::Step;
use super::{Planner, table_of};
use crate::error::{Error, Result};
use crate::expr::compile;
use crate::graph::{Load, SinkNode};
use crate::operators::{Enrich, JoinKind, LookupTable};
use crate::sql::is_volatile;

impl Planner<'_> {
    /// Which side of a join can be loaded as a table.
    pub(super) fn lookup_side(&self, join: &Join) -> Option<Side> {
        let (left, right) = (self.is_table(&join.left), self.is_table(&join.right));
        let has_watermark = |p: &LogicalPlan| {
            let mut found = false;
            let _ = p.apply(|n| {
                if let LogicalPlan::TableScan(scan) = n {
                    found |= table_of(scan).is_some_and(|t| t.watermark.is_some());
                }
                Ok(TreeNodeRecursion::Continue)
            });
            found
        };
        match join.join_type {
            JoinType::Left => right.then_some(Side::Right),
            JoinType::Right => left.then_some(Side::Left),
            JoinType::Inner if right && left && has_watermark(&join.right) && !has_watermark(&join.left) => {
                Some(Side::Left)
            }
            JoinType::Inner if right => Some(Side::Right),
            JoinType::Inner if left => Some(Side::Left),
            _ => None,
        }
    }

    /// A bounded table of files, possibly filtered and projected, or constant rows.
    pub(super) fn is_table(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) => table_of(scan)
                .is_some_and(|t| t.bounded && self.registry.of(&t.table.options).is_ok_and(|c| c.stands_still())),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => true,
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Aggregate(_) => plan.inputs().iter().all(|i| self.is_table(i)),
            _ => false,
        }
    }

    pub(super) fn join(&mut self, join: &Join) -> Result<Relation> {
        let place = self.joins.first().map(|(s, _)| *s).unwrap_or_default();
        let Some(side) = self.lookup_side(join) else {
            return Err(Error::user("a join of two streams is not supported yet")
                .at(place)
                .hint("one side must be a bounded 'filesystem' table without windows; for LEFT JOIN the right one"));
        };
        if join.on.is_empty() {
            return Err(Error::user("a join needs at least one equality between the stream and the table").at(place));
        }
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            _ => JoinKind::Left,
        };
        let (stream_plan, table_plan) = match side {
            Side::Right => (&join.left, &join.right),
            Side::Left => (&join.right, &join.left),
        };
        let (stream_keys, table_keys): (Vec<Expr>, Vec<Expr>) = match side {
            Side::Right => join.on.iter().cloned().unzip(),
            Side::Left => join.on.iter().cloned().map(|(l, r)| (r, l)).unzip(),
        };
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(Error::user("IS NOT DISTINCT FROM in a join is not supported yet").at(place));
        }
        let LoadedTable { relation: table, slot, .. } = self.loaded(table_plan, table_keys)?;
        let stream = self.relation(stream_plan)?;
        let looks = stream_keys.iter().chain(&join.filter).any(|e| stream.uses_virtual(e));
        let stream = if looks { self.expand(stream)? } else { stream };
        // A row that finds no partner would be missing from its session.
        if kind == JoinKind::Inner && stream.pending.as_ref().is_some_and(Pending::is_session) {
            return Err(Error::user("an inner join between SESSION and its GROUP BY is not supported yet")
                .at(place)
                .hint("join below the window function, TABLE(SESSION((SELECT … JOIN …), …)), or use LEFT JOIN"));
        }
        let stream_df = stream.df()?;
        let keys = stream_keys.iter().map(|k| compile(k, &stream_df, &self.props)).collect::<Result<Vec<_>>>()?;
        let n = stream.physical.len();
        let mut physical = stream.physical.clone();
        // Columns that nobody names have names of their own, which must differ if a table is joined with itself.
        let hidden = |f: &FieldRef| f.as_ref().clone().with_name(format!("{}_{n}", f.name()));
        let of_table = table.physical.iter().map(|(q, f)| match q {
            None if f.name().starts_with("__") => (None, Arc::new(hidden(f))),
            q => (q.clone(), f.clone()),
        });
        let of_table: Vec<(Option<TableReference>, FieldRef)> = of_table.collect();
        physical.extend(of_table.iter().map(|(q, f)| (q.clone(), Arc::new(f.as_ref().clone().with_nullable(true)))));
        let shifted = table.places.iter().map(|p| match p {
            Place::Column(c) => Place::Column(n + c),
            other => *other,
        });
        let plain = vec![Meaning::Plain; table.places.len()];
        let (places, meanings) = match side {
            Side::Right => (
                stream.places.iter().copied().chain(shifted).collect::<Vec<_>>(),
                stream.meanings.iter().copied().chain(plain).collect::<Vec<_>>(),
            ),
            Side::Left => (
                shifted.chain(stream.places.iter().copied()).collect(),
                plain.into_iter().chain(stream.meanings.iter().copied()).collect(),
            ),
        };
        let mut relation = Relation { schema: join.schema.clone(), places, meanings, physical, ..stream };
        let filter = join.filter.as_ref().map(|f| compile(f, &relation.df()?, &self.props)).transpose()?;
        let step = Enrich {
            keys,
            kind,
            filter,
            table: slot,
            schema: relation.arrow(),
            text: table_plan.display().to_string(),
        };
        let from = self.add(Step::Join(step), relation.from.clone());
        relation.from = vec![from];
        Ok(relation)
    }

    /// A table of a join, as a graph of its own; the same for all joins that look up the same keys in it.
    fn loaded(&mut self, plan: &LogicalPlan, keys: Vec<Expr>) -> Result<LoadedTable> {
        if let Some(there) = self.tables.iter().find(|table| table.plan == *plan && table.keys == keys) {
            return Ok(there.clone());
        }
        let mut planner = Planner::new(self.script, self.registry, self.slots)?;
        planner.coded = false;
        planner.note_scans(plan)?;
        let relation = planner.relation(plan)?;
        let relation = planner.expand(relation)?;
        self.placement.and(&planner.placement);
        let df = relation.df()?;
        let compiled = keys.iter().map(|k| compile(k, &df, &self.props)).collect::<Result<Vec<_>>>()?;
        planner.sinks.push(SinkNode {
            target: None,
            name: plan.display().to_string(),
            schema: relation.arrow(),
            inputs: relation.from.clone(),
            window_end: None,
        });
        let slot = Arc::new(OnceLock::new());
        self.graph.loads.push(Load { graph: planner.finish()?, keys: compiled, slot: slot.clone() });
        let table = LoadedTable { plan: plan.clone(), keys, relation, slot };
        if !is_volatile(plan) {
            self.tables.push(table.clone());
        }
        Ok(table)
    }

    pub(super) fn union(&mut self, inputs: Vec<Relation>, schema: &DFSchemaRef) -> Result<Relation> {
        let mut from = vec![];
        let mut all: Option<Relation> = None;
        for input in inputs {
            let input = self.expand(input)?;
            let exprs: Vec<Expr> = (0..schema.fields().len())
                .map(|i| {
                    let column = Expr::Column(datafusion_common::Column::from(input.schema.qualified_field(i)));
                    let wanted = schema.field(i).data_type();
                    if input.schema.field(i).data_type() == wanted {
                        column
                    } else {
                        Expr::Cast(datafusion_expr::Cast::new(Box::new(column), wanted.clone()))
                    }
                })
                .collect();
            let relation = self.project(input, None, &exprs, schema)?;
            let relation = self.decode(relation);
            from.extend(relation.from.clone());
            all = Some(match all {
                None => relation,
                Some(mut all) => {
                    for (mine, theirs) in all.meanings.iter_mut().zip(&relation.meanings) {
                        if mine != theirs {
                            *mine = Meaning::Plain;
                        }
                    }
                    all.bounded &= relation.bounded;
                    all.ordered &= relation.ordered;
                    all
                }
            });
        }
        let mut all = all.ok_or_else(|| Error::user("UNION of nothing"))?;
        // One branch may be ahead of the others.
        all.closing &= from.len() == 1;
        all.from = from;
        Ok(all)
    }
}

/// A table that joins look rows up in.
#[derive(Clone)]
pub(super) struct LoadedTable {
    plan: LogicalPlan,
    keys: Vec<Expr>,
    /// What it looks like; its rows come from a graph of its own.
    relation: Relation,
    slot: Arc<OnceLock<LookupTable>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}
