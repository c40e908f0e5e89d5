//! Stages that read the same rows: one pass folds them all.
//!
//! Stages over the same rows, keys and windows become one with the calls of all; each query takes its own columns of it. What a
//! stage reads may pass through projections that only drop or rename columns (two queries of one view seldom need the same
//! ones); these are looked through. A row whose key or argument fails is a dead letter and counts for nobody, so
//! stages are only put together if what can fail is the same in all.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::is_volatile;
use pelton_kernels::program::{AggregateCall, Program};

use super::steps::{Planned, RowWindows, Stage, Step, are_same, is_same_call};
use crate::error::Result;
use crate::expr::{Compiled, Select, plan_error};
use crate::graph::Input;
use crate::operators::{Assign, GroupColumn};
use crate::prune::is_infallible;

/// Stages that are made in one pass.
pub(super) struct Family {
    pub(super) inputs: Vec<Input>,
    /// Takes the columns that are read, where others would be copied along.
    pub(super) narrow: Option<Select>,
    /// The stage of them all.
    pub(super) stage: Stage,
    /// The planned steps that it stands for.
    pub(super) members: Vec<Member>,
}

/// A query's part of a stage.
pub(super) struct Member {
    /// Index of the planned step.
    pub(super) step: usize,
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
        match alike.iter_mut().find(|others| others[0].goes_with(&seen)) {
            Some(others) => others.push(seen),
            None => alike.push(vec![seen]),
        }
    }
    Ok(alike.into_iter().filter(|stages| stages.len() > 1).map(together).collect())
}

/// The index of the column that an expression plainly is.
fn as_column(e: &Compiled) -> Option<usize> {
    (e.as_ref() as &dyn std::any::Any).downcast_ref::<Column>().map(Column::index)
}

/// The expression with other columns in the place of its own.
fn over(expr: &Compiled, columns: &dyn Fn(usize) -> Compiled) -> Result<Compiled> {
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

    /// True if one pass can fold both.
    fn goes_with(&self, other: &Seen) -> bool {
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
            && a.text == b.text
            && self.has_windows_of(other)
            && are_same(&keys(self), &keys(other))
            && a_fail.iter().all(|e| is_in(e, &b_fail))
            && b_fail.iter().all(|e| is_in(e, &a_fail))
    }

    fn has_windows_of(&self, other: &Seen) -> bool {
        let same = |a: usize, b: usize| are_same([&self.columns[a]], [&other.columns[b]]);
        match (&self.stage.rows, &other.stage.rows) {
            (
                RowWindows::Assigned(Assign::Panes { panes: a, time: a_time }),
                RowWindows::Assigned(Assign::Panes { panes: b, time: b_time }),
            ) => a == b && same(*a_time, *b_time),
            (
                RowWindows::Assigned(Assign::Carried { column: a, add: a_add }),
                RowWindows::Assigned(Assign::Carried { column: b, add: b_add }),
            ) => a_add == b_add && same(*a, *b),
            (RowWindows::Assigned(Assign::Whole), RowWindows::Assigned(Assign::Whole)) => true,
            _ => false,
        }
    }
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
    let mut group: Vec<GroupColumn> = vec![];
    let mut group_fields: Vec<Field> = vec![];
    let mut calls: Vec<AggregateCall> = vec![];
    let mut call_fields: Vec<Field> = vec![];
    // The places of each stage's groups and calls.
    let mut picked: Vec<(Vec<usize>, Vec<usize>)> = vec![];
    for (seen, places) in stages.iter().zip(&places) {
        let (groups, results) = seen.stage.schema.fields().split_at(seen.stage.group.len());
        let (mut of_groups, mut of_calls) = (vec![], vec![]);
        for (column, field) in seen.stage.group.iter().zip(groups) {
            let at = place(&mut group, *column, |a, b| a == b);
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
        picked.push((of_groups, of_calls));
    }
    let members = stages.iter().zip(picked).map(|(seen, (groups, calls))| {
        let at = groups.into_iter().chain(calls.into_iter().map(|call| group.len() + call));
        Member { step: seen.step, columns: pick(at, &seen.stage.schema) }
    });
    let members = members.collect();
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
    let stage = Stage {
        columns,
        fields,
        program: Program { keys: first.stage.program.keys.clone(), aggregates: calls },
        rows: first.stage.rows.clone(),
        tick: first.stage.tick,
        ordered: stages.iter().any(|seen| seen.stage.ordered),
        group,
        schema: Arc::new(Schema::new(group_fields.into_iter().chain(call_fields).collect::<Vec<_>>())),
        text: first.stage.text.clone(),
        input: first.stage.input.clone(),
        of_source,
    };
    Family { inputs: first.inputs.to_vec(), narrow, stage, members }
}

/// Takes these columns, as `schema` calls them.
fn pick(columns: impl Iterator<Item = usize>, schema: &SchemaRef) -> Select {
    let columns = columns.zip(schema.fields()).map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Compiled);
    Select { predicate: None, columns: Some(columns.collect()), schema: schema.clone(), operator: "SELECT".to_string() }
}
