//! Stages that read the same rows: one pass folds them all.
//!
//! Stages over the same rows, keys and windows become one with the calls of all; each query takes its own columns of it. Stages
//! that differ in their windows fold rows into panes that the windows of all can be merged from. What a
//! stage reads may pass through projections that only drop or rename columns (two queries of one view seldom need the same
//! ones); these are looked through. A row whose key or argument fails is a dead letter and counts for nobody, so
//! stages are only put together if what can fail is the same in all.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::is_volatile;
use pelton_kernels::aggregate::AggregateKind;
use pelton_kernels::program::{AggregateCall, Program};

use super::steps::{Planned, RowWindows, Stage, Step, are_same, is_same_call, reads_of};
use crate::error::Result;
use crate::expr::{Compiled, Select, plan_error};
use crate::graph::Input;
use crate::operators::{Assign, GroupColumn, View};
use crate::panes::Panes;
use crate::prune::is_infallible;

/// Stages that are made in one pass.
pub(super) struct Family {
    pub(super) inputs: Vec<Input>,
    /// Takes the columns that are read, where others would be copied along.
    pub(super) narrow: Option<Select>,
    /// Computes what is folded.
    pub(super) reads: Select,
    pub(super) program: Program,
    pub(super) tick: i64,
    pub(super) ordered: bool,
    /// The windows; if there are several, in panes that all are made of.
    pub(super) views: Vec<View>,
    /// The planned steps that it stands for.
    pub(super) members: Vec<Member>,
}

/// A query's part of a stage.
pub(super) struct Member {
    /// Index of the planned step.
    pub(super) step: usize,
    /// Index of its windows.
    pub(super) view: usize,
    /// Takes the query's columns from the stage's.
    pub(super) columns: Select,
}

impl Family {
    /// What stands for a planned step, if it is one of these.
    pub(super) fn member(&self, step: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.step == step)
    }
}

/// A stage with the rows that it reads before any projection that only drops or renames columns.
struct Seen<'s> {
    step: usize,
    stage: &'s Stage,
    inputs: &'s [Input],
    columns: Vec<Compiled>,
    /// The columns of the rows that are read.
    reads: Vec<(usize, Field)>,
}

/// All stages of these steps of which several are made in one pass.
pub(super) fn families(steps: &[Planned]) -> Result<Vec<Family>> {
    let mut alike: Vec<Vec<Seen>> = vec![];
    for (step, planned) in steps.iter().enumerate() {
        let Step::Aggregate(stage) = &planned.step else { continue };
        if stage.columns.iter().any(is_volatile) {
            continue;
        }
        let seen = Seen::of(step, stage, &planned.inputs, steps)?;
        match alike.iter_mut().find(|others| goes_with(others, &seen)) {
            Some(others) => others.push(seen),
            None => alike.push(vec![seen]),
        }
    }
    Ok(alike.into_iter().filter(|stages| stages.len() > 1).map(together).collect())
}

/// The index of the column that an expression plainly is.
pub(super) fn as_column(e: &Compiled) -> Option<usize> {
    (e.as_ref() as &dyn std::any::Any).downcast_ref::<Column>().map(Column::index)
}

/// The expression with other columns in the place of its own.
pub(super) fn over(expr: &Compiled, columns: &dyn Fn(usize) -> Compiled) -> Result<Compiled> {
    let replaced = expr.clone().transform_up(|e| {
        Ok(match as_column(&e) {
            Some(index) => Transformed::yes(columns(index)),
            None => Transformed::no(e),
        })
    });
    Ok(replaced.map_err(plan_error)?.data)
}

impl<'s> Seen<'s> {
    fn of(step: usize, stage: &'s Stage, inputs: &'s [Input], steps: &'s [Planned]) -> Result<Self> {
        let mut columns = stage.columns.clone();
        let mut used: Vec<usize> = columns.iter().flat_map(collect_columns).map(|c| c.index()).collect();
        used.sort_unstable();
        used.dedup();
        let mut reads: Vec<(usize, Field)> = used.into_iter().map(|at| (at, stage.input.field(at).clone())).collect();
        let mut inputs = inputs;
        // Dead letters show rows of a source whole, others as they are here.
        while stage.of_source
            && let [Input::Node(n)] = inputs
            && let Planned { step: Step::Select(Select { predicate: None, columns: Some(passed), .. }), inputs: before } =
                &steps[*n]
            && passed.iter().all(|e| as_column(e).is_some())
        {
            columns = columns.iter().map(|e| over(e, &|at| passed[at].clone())).collect::<Result<_>>()?;
            for (at, _) in &mut reads {
                *at = as_column(&passed[*at]).expect("asked above");
            }
            inputs = before;
        }
        Ok(Seen { step, stage, inputs, columns, reads })
    }

    /// True if both fold the same rows by the same keys, in windows of the same time.
    fn groups_as(&self, other: &Seen<'s>) -> bool {
        let (a, b) = (self.stage, other.stage);
        let keys = |seen: &Seen<'s>| -> Vec<Compiled> {
            seen.stage.program.keys.iter().map(|(at, _)| seen.columns[*at].clone()).collect()
        };
        let fail =
            |seen: &Seen| -> Vec<Compiled> { seen.columns.iter().filter(|e| !is_infallible(e)).cloned().collect() };
        let (a_fail, b_fail) = (fail(self), fail(other));
        let is_in = |e: &Compiled, all: &[Compiled]| all.iter().any(|other| are_same([e], [other]));
        self.inputs == other.inputs
            && a.tick == b.tick
            && self.has_time_of(other)
            && are_same(&keys(self), &keys(other))
            && a_fail.iter().all(|e| is_in(e, &b_fail))
            && b_fail.iter().all(|e| is_in(e, &a_fail))
    }

    /// Windows are told by the same column, or there is one of all rows.
    fn has_time_of(&self, other: &Seen) -> bool {
        let same = |a: usize, b: usize| are_same([&self.columns[a]], [&other.columns[b]]);
        match (self.assign(), other.assign()) {
            (Some(Assign::Panes { time: a, .. }), Some(Assign::Panes { time: b, .. })) => same(*a, *b),
            (Some(Assign::Carried { column: a, add: a_add }), Some(Assign::Carried { column: b, add: b_add })) => {
                a_add == b_add && same(*a, *b)
            }
            (Some(Assign::Whole), Some(Assign::Whole)) => true,
            _ => false,
        }
    }

    fn assign(&self) -> Option<&'s Assign> {
        match &self.stage.rows {
            RowWindows::Assigned(assign) => Some(assign),
            RowWindows::Sessions(_) => None,
        }
    }

    fn panes(&self) -> Option<&'s Panes> {
        self.assign().and_then(|assign| match assign {
            Assign::Panes { panes, .. } => Some(panes),
            Assign::Carried { .. } | Assign::Whole => None,
        })
    }

    /// True if a merge of two groups costs no more than folding a few rows: no sets of values, no sketches.
    fn merges_cheaply(&self) -> bool {
        let calls = &self.stage.program.aggregates;
        let is_large = |kind| matches!(kind, AggregateKind::ApproxDistinct | AggregateKind::ApproxPercentile { .. });
        calls.iter().all(|call| !call.spec.distinct && !is_large(call.spec.kind))
    }
}

/// The different windows of stages.
fn windows(stages: &[&Seen]) -> Vec<Panes> {
    let mut all: Vec<Panes> = vec![];
    for panes in stages.iter().filter_map(|seen| seen.panes()) {
        place(&mut all, panes.clone(), |a, b| a == b);
    }
    all
}

/// True if one pass can fold these stages and another one.
fn goes_with<'s>(stages: &[Seen<'s>], another: &Seen<'s>) -> bool {
    if !stages[0].groups_as(another) {
        return false;
    }
    let all: Vec<&Seen<'s>> = stages.iter().chain([another]).collect();
    let windows = windows(&all);
    windows.len() <= 1 || (all.iter().all(|seen| seen.merges_cheaply()) && Panes::in_common(&windows).is_some())
}

/// The place of a value in a list, to which it is added if it is not in it.
fn place<T>(list: &mut Vec<T>, value: T, is_same: impl Fn(&T, &T) -> bool) -> usize {
    list.iter().position(|there| is_same(there, &value)).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

/// One stage of several.
fn together(stages: Vec<Seen>) -> Family {
    let first = &stages[0];
    let (mut columns, mut fields) = (first.columns.clone(), first.stage.fields.clone());
    let mut places: Vec<Vec<usize>> = vec![];
    for seen in &stages {
        let mut of_stage = vec![];
        for (column, field) in seen.columns.iter().zip(&seen.stage.fields) {
            let at = place(&mut columns, column.clone(), |a, b| are_same([a], [b]));
            if at == fields.len() {
                fields.push(field.clone().with_name(format!("c{at}")));
            }
            of_stage.push(at);
        }
        places.push(of_stage);
    }
    let mut calls: Vec<AggregateCall> = vec![];
    let mut call_fields: Vec<Field> = vec![];
    let windows = windows(&stages.iter().collect::<Vec<_>>());
    // The leading columns of each kind of window.
    let mut groups: Vec<(Vec<GroupColumn>, Vec<Field>)> = vec![Default::default(); windows.len().max(1)];
    // Each stage's windows, and the places of its groups and calls.
    let mut picked: Vec<(usize, Vec<usize>, Vec<usize>)> = vec![];
    for (seen, places) in stages.iter().zip(&places) {
        let (bounds, results) = seen.stage.schema.fields().split_at(seen.stage.group.len());
        let view = windows.iter().position(|panes| seen.panes() == Some(panes)).unwrap_or(0);
        let (group, group_fields) = &mut groups[view];
        let (mut of_groups, mut of_calls) = (vec![], vec![]);
        for (column, field) in seen.stage.group.iter().zip(bounds) {
            let at = place(group, *column, |a, b| a == b);
            if at == group_fields.len() {
                group_fields.push(field.as_ref().clone());
            }
            of_groups.push(at);
        }
        for (call, field) in seen.stage.program.aggregates.iter().zip(results) {
            // Behind the columns are those of a total order.
            let moved = |at: usize| places.get(at).copied().unwrap_or(at + columns.len() - places.len());
            let call = AggregateCall {
                spec: call.spec.clone(),
                args: call.args.iter().map(|at| moved(*at)).collect(),
                filter: call.filter.map(moved),
            };
            let at = place(&mut calls, call, is_same_call);
            if at == call_fields.len() {
                call_fields.push(field.as_ref().clone());
            }
            of_calls.push(at);
        }
        picked.push((view, of_groups, of_calls));
    }
    let members = stages.iter().zip(picked).map(|(seen, (view, of_groups, of_calls))| {
        let first_call = groups[view].0.len();
        let at = of_groups.into_iter().chain(of_calls.into_iter().map(|call| first_call + call));
        Member { step: seen.step, view, columns: pick(at, &seen.stage.schema) }
    });
    let members: Vec<Member> = members.collect();
    let in_common = Panes::in_common(&windows).unwrap_or_default();
    let views = groups.into_iter().enumerate().map(|(view, (group, group_fields))| {
        let of_view = members.iter().position(|member| member.view == view).expect("a view is of a stage");
        let assign = match stages[of_view].assign().expect("sessions are shared whole or not at all") {
            Assign::Panes { time, .. } => {
                // Alone, windows have the panes that suit them.
                let panes = if windows.len() > 1 { &in_common[view] } else { &windows[view] };
                Assign::Panes { panes: panes.clone(), time: places[of_view][*time] }
            }
            Assign::Carried { column, add } => Assign::Carried { column: places[of_view][*column], add: *add },
            Assign::Whole => Assign::Whole,
        };
        let fields: Vec<Field> = group_fields.into_iter().chain(call_fields.clone()).collect();
        View { assign, group, schema: Arc::new(Schema::new(fields)), text: stages[of_view].stage.text.clone() }
    });
    let views = views.collect();
    let keys = first.stage.program.keys.iter().map(|(at, data_type)| (places[0][*at], data_type.clone())).collect();
    let mut reads: Vec<(usize, Field)> = stages.iter().flat_map(|seen| seen.reads.clone()).collect();
    reads.sort_by_key(|(at, _)| *at);
    reads.dedup_by_key(|(at, _)| *at);
    let of_source = first.stage.of_source;
    let computes = columns.iter().any(|e| as_column(e).is_none());
    let narrow = (of_source && computes).then(|| {
        let schema: SchemaRef = Arc::new(Schema::new(reads.iter().map(|(_, f)| f.clone()).collect::<Vec<_>>()));
        pick(reads.iter().map(|(at, _)| *at), &schema)
    });
    if narrow.is_some() {
        let name = |at: usize| {
            let at = reads.binary_search_by_key(&at, |(at, _)| *at).expect("all that is read");
            Arc::new(Column::new(reads[at].1.name(), at)) as Compiled
        };
        columns = columns.iter().map(|e| over(e, &name).expect("columns for columns")).collect();
    }
    Family {
        inputs: first.inputs.to_vec(),
        narrow,
        reads: reads_of(&columns, &fields),
        program: Program { keys, aggregates: calls },
        tick: first.stage.tick,
        ordered: stages.iter().any(|seen| seen.stage.ordered),
        views,
        members,
    }
}

/// Takes these columns, as `schema` calls them.
fn pick(columns: impl Iterator<Item = usize>, schema: &SchemaRef) -> Select {
    let columns = columns.zip(schema.fields()).map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Compiled);
    Select { predicate: None, columns: Some(columns.collect()), schema: schema.clone(), operator: "SELECT".to_string() }
}
