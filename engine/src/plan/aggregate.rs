//! Plans `GROUP BY`: what is grouped, how rows find their window, and which calls are folded.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::{Aggregate, Expr};
use datafusion_physical_expr::expressions::Column;
use pelton_kernels::aggregate::{AggregateKind as Kernel, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Program};

use super::Planner;
use super::relation::{Meaning, Pending, Place, Relation};
use super::steps::{RowWindows, Stage, Step};
use crate::error::{Error, Result};
use crate::expr::{Compiled, compile, plan_error};
use crate::operators::{Assign, GroupColumn, Sessions};
use crate::panes::Panes;
use crate::sql::{AggregateKind, FloatSum, PeltonAggregate};
use crate::window::WindowSpec;

/// The columns that a step reads (time or window, keys, arguments, filters), each once.
pub(super) struct Columns {
    input: DFSchema,
    exprs: Vec<Compiled>,
    fields: Vec<Field>,
    seen: Vec<String>,
}

impl Columns {
    pub(super) fn new(input: DFSchema) -> Self {
        Columns { input, exprs: vec![], fields: vec![], seen: vec![] }
    }

    /// Those that are there already.
    pub(super) fn of(input: DFSchema, exprs: Vec<Compiled>, fields: Vec<Field>) -> Self {
        let seen = exprs.iter().map(ToString::to_string).collect();
        Columns { input, exprs, fields, seen }
    }

    /// The expressions, and their names and types.
    pub(super) fn taken(self) -> (Vec<Compiled>, Vec<Field>) {
        (self.exprs, self.fields)
    }

    /// The place of an expression, and its type.
    pub(super) fn add(&mut self, expr: Compiled) -> Result<(usize, DataType)> {
        let data_type = expr.data_type(self.input.as_arrow()).map_err(plan_error)?;
        Ok((self.add_typed(expr, &data_type), data_type))
    }

    /// The place of an expression of this type.
    pub(super) fn add_typed(&mut self, expr: Compiled, data_type: &DataType) -> usize {
        let text = expr.to_string();
        self.seen.iter().position(|s| *s == text).unwrap_or_else(|| {
            self.fields.push(Field::new(format!("c{}", self.exprs.len()), data_type.clone(), true));
            self.exprs.push(expr);
            self.seen.push(text);
            self.exprs.len() - 1
        })
    }

    /// The place of a physical column of the input, and its type.
    pub(super) fn add_column(&mut self, index: usize) -> Result<(usize, DataType)> {
        self.add(Arc::new(Column::new(self.input.field(index).name(), index)))
    }
}

/// The keys of a program, each once: place and type.
#[derive(Default)]
struct Keys(Vec<(usize, DataType)>);

impl Keys {
    fn add(&mut self, (at, data_type): (usize, DataType)) -> usize {
        self.0.iter().position(|(key, _)| *key == at).unwrap_or_else(|| {
            self.0.push((at, data_type));
            self.0.len() - 1
        })
    }
}

fn meaning(relation: &Relation, expr: &Expr) -> Meaning {
    relation.column(expr).map_or(Meaning::Plain, |c| relation.meanings[c])
}

impl Planner<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Relation> {
        // A key that is named twice is one column of the plan.
        let mut groups: Vec<Expr> = vec![];
        for expr in &aggregate.group_expr {
            if !groups.contains(expr) {
                groups.push(expr.clone());
            }
        }
        let count = aggregate.schema.fields().len();
        if count != groups.len() + aggregate.aggr_expr.len() {
            return Err(Error::user("two expressions of GROUP BY have one name")
                .at(self.group_by)
                .hint("name each once"));
        }
        let input = self.relation(&aggregate.input)?;
        let input = self.expand_for(input, &groups, &aggregate.aggr_expr)?;
        let mut columns = Columns::new(input.df()?);
        let mut keys = Keys::default();
        let pending = input.pending.as_ref();
        for key in pending.iter().flat_map(|p| &p.session_keys) {
            keys.add(columns.add_column(*key)?);
        }
        let session_keys = keys.0.len();
        let mut group = vec![];
        for expr in &groups {
            group.push(match input.column(expr).map(|c| input.places[c]) {
                Some(Place::Virtual(bound)) => bound,
                _ => GroupColumn::Key(keys.add(columns.add(compile(expr, &columns.input, &self.props)?)?)),
            });
        }
        let mut calls = aggregate
            .aggr_expr
            .iter()
            .map(|expr| self.call(expr, input.ordered, &mut columns))
            .collect::<Result<Vec<_>>>()?;
        let schema: SchemaRef = Arc::new(Schema::new(
            aggregate.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        // How rows find their window. Columns are complete after it.
        let mut sessions = None;
        let (assign, tick, text) = match pending {
            Some(pending) => {
                let (time, _) = columns.add_column(pending.time)?;
                if let WindowSpec::Session { gap_us } = pending.spec {
                    self.check_session(&group, session_keys, pending)?;
                    let filter = pending.session_filter.map(|c| columns.add_column(c)).transpose()?;
                    let filter = filter.map(|(at, _)| at);
                    sessions = Some(Sessions { time, gap: gap_us, keys: session_keys, filter });
                }
                let assign = Panes::of(&pending.spec, pending.zone.clone()).map(|panes| Assign::Panes { panes, time });
                (assign, pending.tick, pending.text())
            }
            None => self.window_of(&input, &groups, &mut columns)?,
        };
        let ordered = calls.iter().any(|c| is_ordered(&c.spec.kind));
        let n = columns.exprs.len();
        for call in calls.iter_mut().filter(|c| is_ordered(&c.spec.kind)) {
            call.args.extend([n, n + 1, n + 2]);
            call.spec.arg_types.extend([DataType::Int64, DataType::UInt32, DataType::Int64]);
        }
        for call in &calls {
            call.spec.build().map_err(|e| Error::user(e.to_string()).at(self.group_by))?;
        }
        let program = Program { keys: keys.0, aggregates: calls };
        let closing = sessions.is_some() || !matches!(assign, Some(Assign::Whole));
        let rows = match (sessions, assign) {
            (Some(sessions), _) => {
                self.placement.only_cpu("GROUP BY of SESSION", self.group_by);
                RowWindows::Sessions(sessions)
            }
            (None, Some(assign)) => {
                let names: Vec<String> =
                    aggregate.aggr_expr.iter().map(|call| call.clone().unalias().to_string()).collect();
                self.placement.note(&program, &names, self.group_by);
                RowWindows::Assigned(assign)
            }
            (None, None) => {
                return Err(Error::user(
                    "GROUP BY without a window over an unbounded source never ends: not supported yet",
                )
                .at(self.group_by)
                .hint("group by window_start, window_end of a TUMBLE, HOP, CUMULATE or SESSION table function, or bound the source"));
            }
        };
        let stage = Stage {
            columns: columns.exprs,
            fields: columns.fields,
            program,
            rows,
            tick,
            ordered,
            group,
            schema,
            text,
            input: input.arrow(),
            of_source: input.ordered,
        };
        let from = self.add(Step::Aggregate(stage), input.from.clone());
        let meanings = (0..count)
            .map(|i| {
                groups.get(i).map_or(Meaning::Plain, |e| match meaning(&input, e) {
                    // The event time of a row is no event time of its group.
                    Meaning::Time { .. } => Meaning::Plain,
                    m => m,
                })
            })
            .collect();
        Ok(Relation {
            from: vec![from],
            schema: aggregate.schema.clone(),
            places: (0..count).map(Place::Column).collect(),
            meanings,
            physical: aggregate
                .schema
                .iter()
                .map(|(q, f)| (q.cloned(), Arc::new(f.as_ref().clone().with_nullable(true))))
                .collect(),
            pending: None,
            bounded: input.bounded,
            ordered: false,
            closing,
        })
    }

    /// Virtual columns that are looked at other than as a group, and groups that do not name the window, need rows per
    /// window.
    fn expand_for(&mut self, input: Relation, groups: &[Expr], calls: &[Expr]) -> Result<Relation> {
        let Some(pending) = &input.pending else { return Ok(input) };
        // A start alone names a window where all have one size; a session's key has one session that starts there.
        let names_window = groups.iter().any(|e| match meaning(&input, e) {
            Meaning::WindowEnd { .. } | Meaning::WindowTime { .. } => true,
            Meaning::WindowStart { size, .. } => size.is_some() || pending.is_session(),
            _ => false,
        });
        let looked_at = calls.iter().any(|e| input.uses_virtual(e))
            || groups.iter().any(|e| input.uses_virtual(e) && input.column(e).is_none());
        if looked_at || !names_window { self.expand(input) } else { Ok(input) }
    }

    /// A call of an aggregate. Those that need a total order of rows get its columns later.
    fn call(&self, expr: &Expr, ordered: bool, columns: &mut Columns) -> Result<AggregateCall> {
        let call = taken_apart(expr)?;
        let kind = match call.kind {
            AggregateKind::FirstValue | AggregateKind::LastValue if !ordered => {
                return Err(Error::user(
                    "FIRST_VALUE and LAST_VALUE need rows in a total order, which rows of an aggregate do not have",
                )
                .at(self.group_by)
                .hint("take FIRST_VALUE in the inner query, or use MIN or MAX"));
            }
            AggregateKind::ApproxPercentile => Kernel::ApproxPercentile {
                p: call.percentile.ok_or_else(|| {
                    Error::user("APPROX_PERCENTILE takes a constant between 0 and 1 as its second argument")
                        .at(self.group_by)
                })?,
            },
            kind => kernel_kind(kind),
        };
        let (mut args, mut arg_types) = (vec![], vec![]);
        for arg in &call.args {
            let (at, data_type) = columns.add(compile(arg, &columns.input, &self.props)?)?;
            args.push(at);
            arg_types.push(data_type);
        }
        let filter = match (is_ordered(&kind), call.respect_nulls) {
            // As in Flink, NULLs are passed over unless the query says RESPECT NULLS.
            (true, false) => {
                let there = call.args[0].clone().is_not_null();
                Some(call.filter.map_or(there.clone(), |f| f.clone().and(there)))
            }
            _ => call.filter.cloned(),
        };
        let filter = filter.map(|filter| columns.add(compile(&filter, &columns.input, &self.props)?)).transpose()?;
        let fast_float = self.script.settings.float_sum() == FloatSum::Fast;
        let spec = AggregateSpec { kind, distinct: call.distinct, arg_types, fast_float };
        Ok(AggregateCall { spec, args, filter: filter.map(|(at, _)| at) })
    }

    /// How rows that carry their window, or have none, are grouped: by the column that tells it, else as one window over
    /// all of a bounded input. `None`: not at all.
    fn window_of(
        &self,
        input: &Relation,
        groups: &[Expr],
        columns: &mut Columns,
    ) -> Result<(Option<Assign>, i64, String)> {
        let end = groups.iter().find(|e| matches!(meaning(input, e), Meaning::WindowEnd { .. }));
        let carried = end.or_else(|| groups.iter().find(|e| meaning(input, e).to_window_end().is_some()));
        let Some(expr) = carried else {
            return Ok(if input.bounded {
                (Some(Assign::Whole), 1, "GROUP BY".into())
            } else {
                (None, 1, String::new())
            });
        };
        let meaning = meaning(input, expr);
        let tick = match meaning {
            Meaning::Time { tick }
            | Meaning::WindowStart { tick, .. }
            | Meaning::WindowEnd { tick }
            | Meaning::WindowTime { tick } => tick,
            Meaning::Plain => 1,
        };
        let (column, _) = columns.add(compile(expr, &columns.input, &self.props)?)?;
        let add = meaning.to_window_end().unwrap_or(0);
        Ok((Some(Assign::Carried { column, add }), tick, "GROUP BY window".into()))
    }

    /// Sessions that a group brings together must close together.
    fn check_session(&self, group: &[GroupColumn], session_keys: usize, pending: &Pending) -> Result<()> {
        let all_keys = (0..session_keys).all(|key| group.contains(&GroupColumn::Key(key)));
        if all_keys || group.iter().any(|c| matches!(c, GroupColumn::WindowEnd | GroupColumn::WindowTime)) {
            return Ok(());
        }
        Err(Error::user("sessions of different keys that start together do not end together")
            .at(pending.span)
            .hint("GROUP BY window_end too, or by all columns of PARTITION BY"))
    }
}

/// True for aggregates that need a total order of rows.
fn is_ordered(kind: &Kernel) -> bool {
    matches!(kind, Kernel::FirstValue | Kernel::LastValue)
}

/// An aggregate call of the logical plan, taken apart.
struct Call<'e> {
    kind: AggregateKind,
    args: Vec<&'e Expr>,
    distinct: bool,
    filter: Option<&'e Expr>,
    percentile: Option<f64>,
    respect_nulls: bool,
}

fn taken_apart(expr: &Expr) -> Result<Call<'_>> {
    let function = match expr {
        Expr::Alias(alias) => return taken_apart(&alias.expr),
        Expr::AggregateFunction(function) => function,
        other => return Err(Error::user(format!("not an aggregate: {other}"))),
    };
    let kind = PeltonAggregate::of(&function.func)
        .ok_or_else(|| Error::user(format!("aggregate {} is not supported", function.func.name())))?
        .kind;
    let params = &function.params;
    if !params.order_by.is_empty() {
        return Err(Error::user(format!("ORDER BY inside {} is not supported", function.func.name()))
            .hint("FIRST_VALUE and LAST_VALUE go by event time"));
    }
    let mut args: Vec<&Expr> = params.args.iter().collect();
    let mut percentile = None;
    match kind {
        // COUNT(*) arrives as COUNT() or COUNT(1).
        AggregateKind::Count
            if !params.distinct && matches!(args.as_slice(), [Expr::Literal(v, _)] if !v.is_null()) =>
        {
            args.clear()
        }
        AggregateKind::ApproxPercentile => {
            if let Some(Expr::Literal(value, _)) = args.get(1) {
                percentile = value.cast_to(&DataType::Float64).ok().and_then(|v| match v {
                    datafusion_common::ScalarValue::Float64(p) => p,
                    _ => None,
                });
            }
            args.truncate(1);
        }
        _ => {}
    }
    let respect_nulls = params.null_treatment == Some(datafusion_expr::expr::NullTreatment::RespectNulls);
    Ok(Call { kind, args, distinct: params.distinct, filter: params.filter.as_deref(), percentile, respect_nulls })
}

pub(super) fn kernel_kind(kind: AggregateKind) -> Kernel {
    match kind {
        AggregateKind::Count => Kernel::Count,
        AggregateKind::Sum => Kernel::Sum,
        AggregateKind::Avg => Kernel::Avg,
        AggregateKind::Min => Kernel::Min,
        AggregateKind::Max => Kernel::Max,
        AggregateKind::VarSamp => Kernel::VarSamp,
        AggregateKind::VarPop => Kernel::VarPop,
        AggregateKind::StddevSamp => Kernel::StddevSamp,
        AggregateKind::StddevPop => Kernel::StddevPop,
        AggregateKind::BoolAnd => Kernel::BoolAnd,
        AggregateKind::BoolOr => Kernel::BoolOr,
        AggregateKind::FirstValue => Kernel::FirstValue,
        AggregateKind::LastValue => Kernel::LastValue,
        AggregateKind::ApproxDistinct => Kernel::ApproxDistinct,
        AggregateKind::ApproxPercentile => Kernel::ApproxPercentile { p: 0.5 },
    }
}
