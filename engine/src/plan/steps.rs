//! Steps as they are planned, and the graph that they become.
//!
//! Two steps that do the same to the same rows are one: a step is looked up before it is added. Whether they are the same is
//! told from what they do, never from where in the text they stand; names of columns count where a dead letter shows them.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::is_volatile;
use pelton_kernels::program::{AggregateCall, Cpu, Device, Program};

use super::Planner;
use super::placement::Placement;
use super::share::{Family, Member, as_column, families, over};
use crate::connector::Registry;
use crate::error::Result;
use crate::expr::{Compiled, Select};
use crate::graph::{Graph, Input, SinkNode};
use crate::operators::{
    Assign, Before, Enrich, FoldPanes, GroupColumn, LearnRows, LearnStage, MergeWindows, Operator, OverStage,
    OverWindows, Runs, SelectStep, SessionAggregate, Sessions, Sort, View, WindowAggregate, WindowExpand,
};
use crate::predicate::Predicate;

/// What a step does.
pub(super) enum Step {
    Select(Select),
    Expand(WindowExpand),
    Join(Enrich),
    Sort { keys: Vec<(Compiled, SortOptions)>, skip: usize, fetch: Option<usize>, by_window: bool, schema: SchemaRef },
    Aggregate(Stage),
    Over(OverPlan),
    Learn(LearnStage),
}

/// A step, and where its rows come from.
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) inputs: Vec<Input>,
}

/// An `OVER`.
#[derive(Clone)]
pub(super) struct OverPlan {
    /// The columns that it reads, of those of its input; the first go on as they are.
    pub(super) columns: Vec<Compiled>,
    pub(super) fields: Vec<Field>,
    pub(super) stage: OverStage,
    /// The rows that anybody wants answers of, by the columns that go on.
    pub(super) asked: Option<Predicate>,
}

/// A `GROUP BY`.
pub(super) struct Stage {
    /// The columns that it reads (keys, time or window, arguments, filters), of those of its input.
    pub(super) columns: Vec<Compiled>,
    pub(super) fields: Vec<Field>,
    /// Over these columns, and behind them those of a total order.
    pub(super) program: Program,
    pub(super) rows: RowWindows,
    pub(super) tick: i64,
    pub(super) ordered: bool,
    pub(super) group: Vec<GroupColumn>,
    pub(super) schema: SchemaRef,
    pub(super) text: String,
    /// The columns of its input.
    pub(super) input: SchemaRef,
    /// Its rows are rows of a source.
    pub(super) of_source: bool,
}

/// How rows find their windows.
#[derive(Clone, PartialEq)]
pub(super) enum RowWindows {
    Sessions(Sessions),
    Assigned(Assign),
}

impl Step {
    fn is_same(&self, other: &Step) -> bool {
        match (self, other) {
            (Step::Select(a), Step::Select(b)) => {
                let predicates = (a.predicate.as_ref().map(|p| p.whole()), b.predicate.as_ref().map(|p| p.whole()));
                let columns = match (&a.columns, &b.columns) {
                    (None, None) => true,
                    (Some(x), Some(y)) => a.schema == b.schema && are_same(x, y),
                    _ => false,
                };
                columns && a.operator == b.operator && are_same(predicates.0, predicates.1)
            }
            (Step::Expand(a), Step::Expand(b)) => {
                (&a.panes, a.time, a.tick, &a.schema) == (&b.panes, b.time, b.tick, &b.schema)
            }
            (Step::Join(a), Step::Join(b)) => {
                Arc::ptr_eq(&a.table, &b.table)
                    && a.kind == b.kind
                    && a.schema == b.schema
                    && are_same(&a.keys, &b.keys)
                    && are_same(&a.filter, &b.filter)
            }
            (
                Step::Sort { keys: a, skip, fetch, by_window, schema },
                Step::Sort { keys: b, skip: skip_b, fetch: fetch_b, by_window: by_window_b, schema: schema_b },
            ) => {
                (skip, fetch, by_window, schema) == (skip_b, fetch_b, by_window_b, schema_b)
                    && a.iter().map(|(_, options)| options).eq(b.iter().map(|(_, options)| options))
                    && are_same(a.iter().map(|(key, _)| key), b.iter().map(|(key, _)| key))
            }
            (Step::Aggregate(a), Step::Aggregate(b)) => a.is_same(b),
            (Step::Learn(a), Step::Learn(b)) => a == b,
            (Step::Over(a), Step::Over(b)) => a.stage == b.stage && are_same(&a.columns, &b.columns),
            _ => false,
        }
    }

    /// True if it may say something else each time.
    fn is_volatile(&self) -> bool {
        match self {
            Step::Select(select) => {
                let predicate = select.predicate.iter().map(|p| p.whole());
                predicate.chain(select.columns.iter().flatten()).any(is_volatile)
            }
            Step::Join(join) => join.keys.iter().chain(&join.filter).any(is_volatile),
            Step::Sort { keys, .. } => keys.iter().any(|(key, _)| is_volatile(key)),
            Step::Aggregate(stage) => stage.columns.iter().any(is_volatile),
            Step::Over(over) => over.columns.iter().any(is_volatile),
            Step::Expand(_) | Step::Learn(_) => false,
        }
    }
}

impl Stage {
    fn is_same(&self, other: &Stage) -> bool {
        self.rows == other.rows
            && self.tick == other.tick
            && self.group == other.group
            && self.schema == other.schema
            && self.program.keys == other.program.keys
            && self.program.aggregates.len() == other.program.aggregates.len()
            && self.program.aggregates.iter().zip(&other.program.aggregates).all(|(a, b)| is_same_call(a, b))
            && are_same(&self.columns, &other.columns)
    }
}

pub(super) fn is_same_call(a: &AggregateCall, b: &AggregateCall) -> bool {
    (&a.spec, &a.args, a.filter) == (&b.spec, &b.args, b.filter)
}

/// True if expressions over the same rows are the same. How their columns are called does not count.
pub(super) fn are_same<'e>(
    a: impl IntoIterator<Item = &'e Compiled>,
    b: impl IntoIterator<Item = &'e Compiled>,
) -> bool {
    a.into_iter().map(nameless).eq(b.into_iter().map(nameless))
}

fn nameless(expr: &Compiled) -> Compiled {
    let renamed = expr.clone().transform_up(|e| {
        let column = (e.as_ref() as &dyn std::any::Any).downcast_ref::<Column>().map(Column::index);
        Ok(match column {
            Some(index) => Transformed::yes(Arc::new(Column::new("", index)) as Compiled),
            None => Transformed::no(e),
        })
    });
    renamed.map_or_else(|_| expr.clone(), |renamed| renamed.data)
}

impl Planner<'_> {
    /// The step behind `inputs` that does this: one that is there, or a new one.
    pub(super) fn add(&mut self, step: Step, inputs: Vec<Input>) -> Input {
        let step = self.placement.with_models(step, self.registry);
        let is_same = |there: &Planned| there.inputs == inputs && there.step.is_same(&step);
        if !step.is_volatile()
            && let Some(there) = self.steps.iter().position(is_same)
        {
            return Input::Node(there);
        }
        self.steps.push(Planned { step, inputs });
        Input::Node(self.steps.len() - 1)
    }

    /// The graph of all that was planned.
    pub(super) fn finish(self) -> Result<Graph> {
        let Planner { graph, mut steps, sinks, slots, placement, registry, script, .. } = self;
        let checkpoints = script.settings.get("pelton.checkpoint.dir").is_some();
        let families = families(&steps)?;
        let mut used = used(&steps, &sinks, &families);
        ask_only_for_what_is_wanted(&mut steps, &sinks, &used, &families)?;
        let device = placement.device();
        let on_device = device.name() != Cpu.name();
        let mut before = filtered_there(&steps, &sinks, &used, device.as_ref());
        before.iter().flatten().flat_map(|(there, _)| there).for_each(|step| used[*step] = false);
        let (made, stages) = (vec![], vec![vec![]; families.len()]);
        let mut wiring = Wiring { graph, slots, checkpoints, placement, registry, made, stages };
        for (at, (Planned { step, inputs }, used)) in steps.into_iter().zip(used).enumerate() {
            let shared = families.iter().enumerate().find_map(|(f, family)| Some((f, family, family.member(at)?)));
            let made = match (shared, used) {
                (Some((f, family, member)), _) => wiring.member(f, family, member),
                (None, true) => wiring.step(step, &inputs, before[at].take().map(|(_, before)| before))?,
                // Looked through by all that read it, or done by the one that does: that one is wired to what is before it.
                (None, false) => wired(&inputs, &wiring.made)[0],
            };
            wiring.made.push(made);
        }
        let Wiring { mut graph, made, .. } = wiring;
        graph.on_device = on_device;
        for sink in sinks {
            let inputs = wired(&sink.inputs, &made);
            graph.add_sink(SinkNode { inputs, ..sink });
        }
        Ok(graph)
    }
}

/// Which steps' rows go to a sink.
fn used(steps: &[Planned], sinks: &[SinkNode], families: &[Family]) -> Vec<bool> {
    let mut used = vec![false; steps.len()];
    let mut next: Vec<Input> = sinks.iter().flat_map(|sink| sink.inputs.clone()).collect();
    while let Some(input) = next.pop() {
        if let Input::Node(n) = input
            && !used[n]
        {
            used[n] = true;
            let family = families.iter().find(|family| family.member(n).is_some());
            next.extend(family.map_or(&steps[n].inputs, |family| &family.inputs));
        }
    }
    used
}

/// For each stage on a device with tables whose filter it does itself: the steps of the filter and of what only renames and
/// drops columns behind it, which nobody else reads.
fn filtered_there(
    steps: &[Planned],
    sinks: &[SinkNode],
    used: &[bool],
    device: &dyn Device,
) -> Vec<Option<(Vec<usize>, Before)>> {
    let readers = |input: Input| {
        let of_steps = steps.iter().zip(used).filter(|(_, used)| **used).flat_map(|(step, _)| &step.inputs);
        of_steps.chain(sinks.iter().flat_map(|sink| &sink.inputs)).filter(|there| **there == input).count()
    };
    let before = |(planned, used): (&Planned, &bool)| {
        let (Step::Aggregate(stage), true) = (&planned.step, used) else { return None };
        if !device.keeps_panes(&stage.program) || stage.ordered {
            return None;
        }
        // From the stage back to the filter.
        let (mut there, mut passed) = (vec![], vec![reads_of(&stage.columns, &stage.fields)]);
        let mut inputs = &planned.inputs;
        let tests = loop {
            let [Input::Node(n)] = inputs.as_slice() else { return None };
            let Step::Select(select) = &steps[*n].step else { return None };
            if readers(Input::Node(*n)) > 1 {
                return None;
            }
            there.push(*n);
            passed.push(select.clone());
            inputs = &steps[*n].inputs;
            if let Some(predicate) = &select.predicate {
                break predicate.tests().filter(|_| inputs.len() == 1)?;
            }
        };
        let place = |read: usize| {
            passed.iter().try_fold(read, |at, select| match &select.columns {
                None => Some(at),
                Some(columns) => as_column(&columns[at]),
            })
        };
        let places = (0..stage.columns.len()).map(place).collect::<Option<Vec<usize>>>()?;
        passed.reverse();
        Some((there, Before { selects: passed, tests, places }))
    };
    steps.iter().zip(used).map(before).collect()
}

/// A filter behind an `OVER`, over columns that this only hands on, becomes its own: rows that do not pass are kept for others to
/// look at, and not answered. A filter that can fail stays where it is, since its dead letters show the answers.
fn ask_only_for_what_is_wanted(
    steps: &mut [Planned],
    sinks: &[SinkNode],
    used: &[bool],
    families: &[Family],
) -> Result<()> {
    for at in 0..steps.len() {
        let Step::Over(plan) = &steps[at].step else { continue };
        let (passed, mut there) = (plan.stage.passed, Input::Node(at));
        // Which columns of the OVER those of the step at hand are.
        let mut columns: Option<Vec<usize>> = None;
        let found = loop {
            let elsewhere = sinks.iter().flat_map(|sink| &sink.inputs).chain(families.iter().flat_map(|f| &f.inputs));
            let readers = (0..steps.len()).filter(|reader| used[*reader] && steps[*reader].inputs.contains(&there));
            let readers: Vec<usize> = readers.collect();
            let ([reader], false) = (readers.as_slice(), elsewhere.into_iter().any(|input| *input == there)) else {
                break None;
            };
            let Planned { step: Step::Select(select), inputs } = &steps[*reader] else { break None };
            if inputs.len() != 1 {
                break None;
            }
            let of_over = |column: usize| columns.as_ref().map_or(column, |columns| columns[column]);
            if let Some(predicate) = &select.predicate {
                let read = collect_columns(predicate.whole());
                let fits = predicate.is_infallible() && read.iter().all(|column| of_over(column.index()) < passed);
                break fits.then(|| (*reader, predicate.whole().clone(), columns.clone()));
            }
            if let Some(selected) = &select.columns {
                let Some(through) = selected.iter().map(as_column).collect::<Option<Vec<usize>>>() else { break None };
                columns = Some(through.into_iter().map(of_over).collect());
            }
            there = Input::Node(*reader);
        };
        let Some((reader, predicate, columns)) = found else { continue };
        let Step::Over(plan) = &mut steps[at].step else { unreachable!("looked at above") };
        let of_over = |column: usize| {
            let column = columns.as_ref().map_or(column, |columns| columns[column]);
            Arc::new(Column::new(plan.stage.schema.field(column).name(), column)) as Compiled
        };
        plan.asked = Some(Predicate::new(over(&predicate, &of_over)?));
        let Step::Select(select) = &mut steps[reader].step else { unreachable!("looked at above") };
        select.predicate = None;
    }
    Ok(())
}

fn wired(inputs: &[Input], made: &[Input]) -> Vec<Input> {
    let wire = |input: &Input| match input {
        Input::Node(n) => made[*n],
        source => *source,
    };
    inputs.iter().map(wire).collect()
}

/// A graph in the making.
struct Wiring<'a> {
    graph: Graph,
    slots: usize,
    /// Checkpoints are taken.
    checkpoints: bool,
    placement: Placement,
    registry: &'a Registry,
    /// Where the rows of each planned step come from.
    made: Vec<Input>,
    /// Where the rows of the families' windows come from, once they are there.
    stages: Vec<Vec<Input>>,
}

impl Wiring<'_> {
    /// Where and how a stage runs.
    fn runs(&self, program: &Program, text: &str, before: Option<Before>) -> Runs {
        let chooser = self.placement.chooser(self.registry, text, program);
        Runs { device: self.placement.device(), chooser, before }
    }

    fn step(&mut self, step: Step, inputs: &[Input], before: Option<Before>) -> Result<Input> {
        let inputs = wired(inputs, &self.made);
        let operator: Box<dyn Operator> = match step {
            Step::Select(select) => Box::new(SelectStep(select)),
            Step::Expand(expand) => Box::new(expand),
            Step::Join(join) => Box::new(join),
            Step::Sort { keys, skip, fetch, by_window, schema } => {
                Box::new(Sort::new(keys, skip, fetch, by_window, schema))
            }
            Step::Aggregate(stage) => return self.stage(&stage, inputs, before),
            Step::Learn(stage) => Box::new(LearnRows::new(stage, self.slots)?),
            Step::Over(OverPlan { columns, fields, stage, asked }) => {
                let reads = Select { operator: "OVER".to_string(), ..reads_of(&columns, &fields) };
                let inputs = vec![self.graph.add(Box::new(SelectStep(reads)), inputs)];
                let over = OverWindows::new(stage, asked, self.slots, self.checkpoints)?;
                return Ok(self.graph.add(Box::new(over), inputs));
            }
        };
        Ok(self.graph.add(operator, inputs))
    }

    fn stage(&mut self, stage: &Stage, mut inputs: Vec<Input>, before: Option<Before>) -> Result<Input> {
        if before.is_none() {
            let reads = reads_of(&stage.columns, &stage.fields);
            inputs = vec![self.graph.add(Box::new(SelectStep(reads)), inputs)];
        }
        let runs = self.runs(&stage.program, &stage.text, before);
        Ok(self.graph.add(stage.operator(runs, self.slots)?, inputs))
    }

    /// A query's columns of a stage that several share.
    fn member(&mut self, index: usize, family: &Family, member: &Member) -> Input {
        if self.stages[index].is_empty() {
            self.stages[index] = self.family(family);
        }
        let rows = vec![self.stages[index][member.view]];
        self.graph.add(Box::new(SelectStep(member.columns.clone())), rows)
    }

    /// Where the rows of each kind of window come from.
    fn family(&mut self, family: &Family) -> Vec<Input> {
        let mut inputs = wired(&family.inputs, &self.made);
        for select in family.narrow.iter().chain([&family.reads]) {
            inputs = vec![self.graph.add(Box::new(SelectStep(select.clone())), inputs)];
        }
        let Family { program, tick, ordered, views, .. } = family;
        let program = Arc::new(program.clone());
        if let [view] = views.as_slice() {
            let runs = self.runs(&program, &view.text, None);
            let stage = WindowAggregate::new(program, runs, *tick, *ordered, view.clone(), self.slots);
            return vec![self.graph.add(Box::new(stage), inputs)];
        }
        let runs = self.runs(&program, "windows of several kinds", None);
        let fold = FoldPanes::new(program, runs, *tick, *ordered, views.clone(), self.slots);
        let windows: Vec<MergeWindows> = (0..views.len()).map(|view| fold.windows(view)).collect();
        let fold = self.graph.add(Box::new(fold), inputs);
        windows.into_iter().map(|windows| self.graph.add(Box::new(windows), vec![fold])).collect()
    }
}

impl Stage {
    fn operator(&self, runs: Runs, slots: usize) -> Result<Box<dyn Operator>> {
        let program = Arc::new(self.program.clone());
        let (group, schema, text) = (self.group.clone(), self.schema.clone(), self.text.clone());
        Ok(match &self.rows {
            RowWindows::Sessions(sessions) => Box::new(SessionAggregate::new(
                program,
                *sessions,
                self.tick,
                self.ordered,
                group,
                schema,
                text,
                slots,
            )?),
            RowWindows::Assigned(assign) => {
                let view = View { assign: assign.clone(), group, schema, text };
                Box::new(WindowAggregate::new(program, runs, self.tick, self.ordered, view, slots))
            }
        })
    }
}

/// The step that computes what a stage reads.
pub(super) fn reads_of(columns: &[Compiled], fields: &[Field]) -> Select {
    Select {
        predicate: None,
        columns: Some(columns.to_vec()),
        schema: Arc::new(Schema::new(fields.to_vec())),
        operator: "GROUP BY".to_string(),
    }
}
