//! Plans the end of a query: `ORDER BY`, `LIMIT`, the sink, and `--from` and `--to`.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_physical_expr::expressions::{CastExpr, Column};

use super::relation::{Meaning, Place, Relation};
use super::steps::Step;
use super::{Planner, TimeRange};
use crate::error::{Error, Result};
use crate::expr::{CODED, Compiled, Select, compile, plan_error};
use crate::graph::SinkNode;
use crate::predicate::Predicate;
use crate::sql::Target;

impl Planner<'_> {
    pub(super) fn sort(
        &mut self,
        input: Relation,
        by: &[datafusion_expr::SortExpr],
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<Relation> {
        let input = self.expand(input)?;
        let input = self.decode(input);
        let first = by.first().and_then(|s| input.column(&s.expr).map(|c| (input.meanings[c], s.asc)));
        // Windows come out by their end; where all have one size, by their start as well.
        let by_window = match first {
            Some((
                Meaning::WindowStart { size: Some(_), .. } | Meaning::WindowEnd { .. } | Meaning::WindowTime { .. },
                true,
            )) if input.closing => true,
            _ if input.bounded => false,
            _ => {
                return Err(Error::user("ORDER BY and LIMIT over an unbounded source never end")
                    .at(self.order_by)
                    .hint("ORDER BY window_start or window_end first, ascending (LIMIT then counts from the first window), or bound the source; rows must come from one GROUP BY of windows"));
            }
        };
        let df = input.df()?;
        let keys = by
            .iter()
            .map(|s| {
                Ok((
                    compile(&s.expr, &df, &self.props)?,
                    SortOptions { descending: !s.asc, nulls_first: s.nulls_first },
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let from = self.add(Step::Sort { keys, skip, fetch, by_window, schema: input.arrow() }, input.from.clone());
        Ok(Relation { from: vec![from], ordered: false, ..input })
    }

    /// Ends a query in a sink: exactly the logical columns, with the sink's names and types.
    pub(super) fn sink(&mut self, relation: Relation, target: Option<Target>, name: String) -> Result<()> {
        let relation = self.expand(relation)?;
        let df = relation.df()?;
        let fields: Vec<Field> = match &target {
            Some(Target::Table(def)) => {
                def.table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect()
            }
            _ => relation
                .schema
                .fields()
                .iter()
                .enumerate()
                .map(|(i, f)| match relation.places[i] {
                    Place::Column(c) => {
                        let physical = &relation.physical[c].1;
                        let coded = physical.metadata().contains_key(CODED);
                        let data_type = if coded { f.data_type() } else { physical.data_type() };
                        Field::new(f.name(), data_type.clone(), true)
                    }
                    Place::Virtual(_) => unreachable!("expanded above"),
                })
                .collect(),
        };
        if fields.len() != relation.places.len() {
            return Err(Error::user(format!(
                "{name} has {} columns, the query has {}",
                fields.len(),
                relation.places.len()
            )));
        }
        let mut columns = vec![];
        for (place, field) in relation.places.iter().zip(&fields) {
            let Place::Column(index) = place else { unreachable!("expanded above") };
            let column: Compiled = Arc::new(Column::new(df.field(*index).name(), *index));
            columns.push(if df.field(*index).data_type() == field.data_type() {
                column
            } else {
                Arc::new(CastExpr::new(column, field.data_type().clone(), None))
            });
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let predicate = self.in_range(&relation, &name)?.map(|p| compile(&p, &df, &self.props)).transpose()?;
        let predicate = predicate.map(Predicate::new);
        let select = Select {
            predicate,
            columns: Some(columns),
            schema: schema.clone(),
            operator: format!("INSERT INTO {name}"),
        };
        let window_end = relation
            .meanings
            .iter()
            .enumerate()
            .filter(|(at, _)| matches!(schema.field(*at).data_type(), DataType::Timestamp(..)))
            .find_map(|(at, meaning)| Some((at, meaning.to_window_end()?)));
        let inputs = vec![self.add(Step::Select(select), relation.from)];
        self.sinks.push(SinkNode { target, name, schema, inputs, window_end });
        Ok(())
    }

    /// The condition that keeps the results of the wanted stretch of time.
    pub(super) fn in_range(&self, relation: &Relation, name: &str) -> Result<Option<Expr>> {
        if self.range == TimeRange::default() {
            return Ok(None);
        }
        let found = relation
            .meanings
            .iter()
            .position(|m| m.to_window_end().is_some())
            .or_else(|| relation.meanings.iter().position(|m| matches!(m, Meaning::Time { .. })));
        let Some(at) = found else {
            return Err(Error::user(format!(
                "{name} has neither a window bound nor an event time among its columns: --from and --to say nothing"
            ))
            .hint("select window_end (or the event time) as well"));
        };
        let column = Expr::Column(datafusion_common::Column::from(relation.schema.qualified_field(at)));
        let bound = |us: i64| -> Result<Expr> {
            let exact = datafusion_common::ScalarValue::TimestampMicrosecond(Some(us), None);
            let wanted = relation.schema.field(at).data_type();
            let value = match wanted {
                DataType::Timestamp(unit, zone) => exact
                    .cast_to(&DataType::Timestamp(*unit, None))
                    .and_then(|v| v.cast_to(&DataType::Timestamp(*unit, zone.clone()))),
                _ => exact.cast_to(wanted),
            };
            Ok(Expr::Literal(value.map_err(plan_error)?, None))
        };
        let mut conditions = vec![];
        match relation.meanings[at].to_window_end() {
            Some(plus) => {
                conditions.extend(self.range.from.map(|f| bound(f - plus).map(|b| column.clone().gt(b))));
                conditions.extend(self.range.to.map(|t| bound(t - plus).map(|b| column.clone().lt_eq(b))));
            }
            None => {
                conditions.extend(self.range.from.map(|f| bound(f).map(|b| column.clone().gt_eq(b))));
                conditions.extend(self.range.to.map(|t| bound(t).map(|b| column.clone().lt(b))));
            }
        }
        let conditions = conditions.into_iter().collect::<Result<Vec<Expr>>>()?;
        Ok(conditions.into_iter().reduce(Expr::and))
    }
}

/// True if nothing but projections stands between a limit and its sort.
pub(super) fn sorted_below(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(p) => sorted_below(&p.input),
        LogicalPlan::SubqueryAlias(a) => sorted_below(&a.input),
        _ => false,
    }
}
