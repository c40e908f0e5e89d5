//! Plans `OVER`: all calls of a query are one step, whatever their windows, so that its rows wait and are sorted once.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{NullTreatment, WindowFunction, WindowFunctionParams};
use datafusion_expr::{
    Expr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, lit, when,
};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use pelton_kernels::aggregate::{AggregateKind as Kernel, AggregateSpec};

use super::Planner;
use super::aggregate::{Columns, kernel_kind};
use super::relation::{Meaning, Place, Relation};
use super::share::{as_column, over};
use super::steps::{OverPlan, Planned, Step};
use crate::error::{Error, Result};
use crate::expr::{Compiled, Select, compile, plan_error};
use crate::graph::Input;
use crate::operators::over::{Call, Frame, Function, Keys, OverStage, is_kept};
use crate::sql::{AggregateKind, FloatSum, PeltonAggregate, PeltonWindow, WindowKind};

/// What is there already of the step that calls become.
struct Below {
    plan: OverPlan,
    /// Where its rows come from.
    from: Vec<Input>,
    /// The columns of the relation that calls are planned over: which of the step's output they are.
    columns: Vec<usize>,
    /// That relation is a projection of the step.
    projected: bool,
}

/// The columns that a step of calls reads, as they are planned.
struct Reads {
    columns: Columns,
    /// The relation that the calls are planned over, and what its columns are to the step.
    input: DFSchema,
    meant: Vec<Compiled>,
}

impl Reads {
    fn add(&mut self, expr: &Expr, props: &ExecutionProps) -> Result<(usize, DataType)> {
        let compiled = compile(expr, &self.input, props)?;
        let data_type = compiled.data_type(self.input.as_arrow()).map_err(plan_error)?;
        let compiled = over(&compiled, &|at| self.meant[at].clone())?;
        Ok((self.columns.add_typed(compiled, &data_type), data_type))
    }
}

impl Planner<'_> {
    /// A node of window calls with one `PARTITION BY` and frame kind; several of them lie on each other.
    pub(super) fn over(&mut self, window: &Window) -> Result<Relation> {
        let input = self.relation(&window.input)?;
        let input = self.expand(input)?;
        let calls = window.window_expr.iter().map(call_of).collect::<Result<Vec<_>>>()?;
        let (time, tick) = self.time_of(&input, &calls)?;
        let below = match self.below(&input, &calls, time)? {
            Some(below) => below,
            None => Below {
                plan: self.over_plan(&input, time, tick)?,
                from: input.from.clone(),
                columns: (0..input.physical.len()).collect(),
                projected: false,
            },
        };
        let Below { mut plan, from, columns, projected } = below;
        let made = plan.stage.schema.fields().len();
        // Answers of the step are no columns that calls may read here; what stands for them is never looked at.
        let meant = columns.iter().map(|at| plan.columns[(*at).min(plan.stage.passed - 1)].clone()).collect();
        let own = Columns::of(input.df()?, plan.columns, plan.fields);
        let mut reads = Reads { columns: own, input: input.df()?, meant };
        let mut physical = input.physical.clone();
        let mut fields: Vec<FieldRef> = plan.stage.schema.fields().iter().cloned().collect();
        let first = window.schema.fields().len() - calls.len();
        for (i, call) in calls.iter().enumerate() {
            let (function, arg) = self.function(call, &mut reads)?;
            let keys = call.params().partition_by.iter().map(|key| {
                let (at, data_type) = reads.add(key, &self.props)?;
                match data_type.is_nested() {
                    true => Err(Error::user(format!("PARTITION BY {key}: {data_type} is no key")).at(self.over)),
                    false => Ok(at),
                }
            });
            let keys = keys.collect::<Result<Vec<usize>>>()?;
            let data_type = match &function {
                Function::Aggregate { spec, .. } => {
                    spec.output_type().map_err(|e| Error::user(e.to_string()).at(self.over))?
                }
                Function::RowNumber => DataType::Int64,
                Function::Lag { default, .. } => default.data_type().clone(),
            };
            let frame = self.frame(&call.params().window_frame)?;
            put(&mut plan.stage.keys, keys, frame, arg, function, made - plan.stage.passed + i);
            let (qualifier, field) = window.schema.qualified_field(first + i);
            let field: FieldRef = Arc::new(Field::new(field.name(), data_type, true));
            fields.push(field.clone());
            physical.push((qualifier.cloned(), field));
        }
        (plan.columns, plan.fields) = reads.columns.taken();
        plan.stage.input = Arc::new(Schema::new(plan.fields.clone()));
        plan.stage.schema = Arc::new(Schema::new(fields.clone()));
        self.placement.only_cpu("OVER", self.over);
        let mut places = input.places.clone();
        places.extend((0..calls.len()).map(|i| Place::Column(input.physical.len() + i)));
        let mut meanings = input.meanings.clone();
        meanings.extend(calls.iter().map(|_| Meaning::Plain));
        let mut from = vec![self.add(Step::Over(plan), from)];
        if projected {
            let columns = columns.into_iter().chain(made..fields.len());
            let columns = columns.map(|at| Arc::new(Column::new(fields[at].name(), at)) as Compiled).collect();
            let schema = Arc::new(Schema::new(physical.iter().map(|(_, field)| field.clone()).collect::<Vec<_>>()));
            let select = Select { predicate: None, columns: Some(columns), schema, operator: "SELECT".to_string() };
            from = vec![self.add(Step::Select(select), from)];
        }
        Ok(Relation {
            from,
            schema: window.schema.clone(),
            places,
            meanings,
            physical,
            pending: None,
            bounded: input.bounded,
            ordered: false,
            closing: false,
        })
    }

    /// The event time by which all calls are ordered: its physical column and its tick.
    fn time_of(&self, input: &Relation, calls: &[CallOf<'_>]) -> Result<(usize, i64)> {
        let mut found = None;
        for call in calls {
            let wrong = |what: String| {
                Err(Error::user(what).at(self.over).hint(
                    "OVER (… ORDER BY ts …), where ts has a WATERMARK in CREATE TABLE and is passed on unchanged; ascending, and nothing else",
                ))
            };
            let [by] = call.params().order_by.as_slice() else {
                return wrong("OVER is ordered by one column, the event time".into());
            };
            let meaning = input.column(&by.expr).map(|c| (input.places[c], input.meanings[c]));
            let Some((Place::Column(column), meaning)) = meaning else {
                return wrong(format!("OVER is ordered by the event time, and {} is none", by.expr));
            };
            let (Meaning::Time { tick } | Meaning::WindowTime { tick } | Meaning::WindowEnd { tick }) = meaning else {
                return wrong(format!("OVER is ordered by the event time, and {} is none", by.expr));
            };
            if !by.asc {
                return wrong("OVER … ORDER BY … DESC would begin with rows that have not come yet".into());
            }
            if found.is_some_and(|(other, _)| other != column) {
                return wrong("all calls of a query are ordered by the same event time".into());
            }
            found = Some((column, tick));
        }
        found.ok_or_else(|| Error::bug("a window without calls"))
    }

    /// The step of calls below these, if they can be one: nothing but projections that drop and rename is between.
    fn below(&self, input: &Relation, calls: &[CallOf<'_>], time: usize) -> Result<Option<Below>> {
        let mut inputs = &input.from;
        let mut columns: Vec<usize> = (0..input.physical.len()).collect();
        let mut projected = false;
        let plan = loop {
            let [Input::Node(n)] = inputs.as_slice() else { return Ok(None) };
            inputs = &self.steps[*n].inputs;
            match &self.steps[*n].step {
                Step::Over(plan) => break plan,
                Step::Select(Select { predicate: None, columns: Some(passed), .. }) => {
                    let through: Option<Vec<usize>> = columns.iter().map(|at| as_column(&passed[*at])).collect();
                    let Some(through) = through else { return Ok(None) };
                    (columns, projected) = (through, true);
                }
                _ => return Ok(None),
            }
        };
        let df = input.df()?;
        let mut read = BTreeSet::new();
        for call in calls {
            let params = call.params();
            for expr in params.args.iter().chain(&params.partition_by).chain(params.filter.as_deref()) {
                read.extend(collect_columns(&compile(expr, &df, &self.props)?).iter().map(|c| columns[c.index()]));
            }
        }
        let fits = columns[time] == plan.stage.time && read.iter().all(|column| *column < plan.stage.passed);
        Ok(fits.then(|| Below { plan: plan.clone(), from: inputs.clone(), columns, projected }))
    }

    /// A step that passes all columns on and computes nothing yet.
    fn over_plan(&self, input: &Relation, time: usize, tick: i64) -> Result<OverPlan> {
        let mut columns = Columns::new(input.df()?);
        for column in 0..input.physical.len() {
            columns.add_column(column)?;
        }
        let (columns, fields) = columns.taken();
        let stage = OverStage {
            input: Arc::new(Schema::new(fields.clone())),
            passed: fields.len(),
            time,
            tick,
            keys: vec![],
            schema: input.arrow(),
            ordered: input.ordered,
            arrival: self.script.settings.over_arrival(),
        };
        if stage.arrival && !self.come_as_they_arrive(&input.from) {
            return Err(Error::user("these rows come when the watermark lets them: there is no order of arrival among them")
                .at(self.over)
                .hint("'pelton.over.mode' = 'arrival' wants OVER before GROUP BY and before models that learn; or leave it at 'event-time'"));
        }
        Ok(OverPlan { columns, fields, stage, asked: None })
    }

    /// Whether rows are handed on as they come from their sources.
    fn come_as_they_arrive(&self, inputs: &[Input]) -> bool {
        inputs.iter().all(|input| match input {
            Input::Source(_) => true,
            Input::Node(n) => {
                let Planned { step, inputs } = &self.steps[*n];
                let passes = match step {
                    Step::Select(_) | Step::Expand(_) | Step::Join(_) => true,
                    Step::Over(plan) => plan.stage.arrival,
                    Step::Sort { .. } | Step::Aggregate(_) | Step::Learn(_) => false,
                };
                passes && self.come_as_they_arrive(inputs)
            }
        })
    }

    /// What a call computes, and the column of its argument.
    fn function(&self, call: &CallOf<'_>, reads: &mut Reads) -> Result<(Function, Option<usize>)> {
        let params = call.params();
        let mut kept = |expr: &Expr| -> Result<(usize, DataType)> {
            // As in GROUP BY, rows that do not pass the filter are as if their argument were NULL.
            let expr = match &params.filter {
                Some(filter) => when(filter.as_ref().clone(), expr.clone()).end().map_err(plan_error)?,
                None => expr.clone(),
            };
            let (at, data_type) = reads.add(&expr, &self.props)?;
            match is_kept(&data_type) {
                true => Ok((at, data_type)),
                false => Err(Error::user(format!("{} cannot take {data_type} with OVER", call.name())).at(self.over)),
            }
        };
        match call {
            CallOf::Aggregate(kind, _) => {
                let respect_nulls = params.null_treatment == Some(NullTreatment::RespectNulls);
                let counts_rows = *kind == AggregateKind::Count
                    && !params.distinct
                    && matches!(params.args.as_slice(), [] | [Expr::Literal(..)]);
                let arg = match (counts_rows, &params.filter) {
                    (true, None) => None,
                    (true, Some(_)) => Some(kept(&lit(1i64))?),
                    (false, _) => {
                        let arg = params
                            .args
                            .first()
                            .ok_or_else(|| Error::user(format!("{} takes one argument", call.name())).at(self.over))?;
                        Some(kept(arg)?)
                    }
                };
                let kind = match kind {
                    AggregateKind::ApproxPercentile => Kernel::ApproxPercentile { p: self.percentile(params)? },
                    kind => kernel_kind(*kind),
                };
                let fast_float = self.script.settings.float_sum() == FloatSum::Fast;
                let plain = |data_type: DataType| match data_type {
                    DataType::Dictionary(_, values) => values.as_ref().clone(),
                    other => other,
                };
                let mut arg_types: Vec<DataType> = arg.iter().map(|(_, data_type)| plain(data_type.clone())).collect();
                if matches!(kind, Kernel::FirstValue | Kernel::LastValue) {
                    // The order of rows is known here; only the planner asks for its columns.
                    arg_types.extend([DataType::Int64, DataType::UInt32, DataType::Int64]);
                }
                let spec = AggregateSpec { kind, distinct: params.distinct, arg_types, fast_float };
                spec.output_type().map_err(|e| Error::user(e.to_string()).at(self.over))?;
                Ok((Function::Aggregate { spec, respect_nulls }, arg.map(|(at, _)| at)))
            }
            CallOf::Window(WindowKind::RowNumber, _) => Ok((Function::RowNumber, None)),
            CallOf::Window(..) => {
                let [arg, rest @ ..] = params.args.as_slice() else {
                    return Err(Error::user("LAG takes a value").at(self.over));
                };
                let (at, data_type) = kept(arg)?;
                let data_type = match data_type {
                    DataType::Dictionary(_, values) => values.as_ref().clone(),
                    other => other,
                };
                let wrong =
                    || Error::user("LAG takes a value, a constant number of rows and a constant default").at(self.over);
                let back = match rest.first() {
                    None => 1,
                    Some(Expr::Literal(value, _)) => match value.cast_to(&DataType::UInt32) {
                        Ok(ScalarValue::UInt32(Some(back))) => back,
                        _ => return Err(wrong()),
                    },
                    Some(_) => return Err(wrong()),
                };
                let default: ArrayRef = match rest.get(1) {
                    None => new_null_array(&data_type, 1),
                    Some(Expr::Literal(value, _)) if rest.len() == 2 => {
                        let value = value.cast_to(&data_type).map_err(|e| wrong().because(e))?;
                        value.to_array().map_err(plan_error)?
                    }
                    Some(_) => return Err(wrong()),
                };
                Ok((Function::Lag { back, default }, Some(at)))
            }
        }
    }

    fn percentile(&self, params: &WindowFunctionParams) -> Result<f64> {
        let found = params.args.get(1).and_then(|arg| match arg {
            Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
                Ok(ScalarValue::Float64(p)) => p,
                _ => None,
            },
            _ => None,
        });
        found.ok_or_else(|| {
            Error::user("APPROX_PERCENTILE takes a constant between 0 and 1 as its second argument").at(self.over)
        })
    }

    fn frame(&self, frame: &WindowFrame) -> Result<Frame> {
        let wrong = |what: &str| Error::user(format!("this frame is not supported: {what}")).at(self.over);
        match frame.units {
            WindowFrameUnits::Range => {
                let bound = |bound: &WindowFrameBound| match bound {
                    WindowFrameBound::CurrentRow => Ok(Some(0)),
                    WindowFrameBound::Preceding(value) if value.is_null() => Ok(None),
                    WindowFrameBound::Preceding(value) => micros(value).map(Some).ok_or_else(|| {
                        wrong("RANGE wants an interval of days and less, such as INTERVAL '1' HOUR PRECEDING")
                    }),
                    WindowFrameBound::Following(_) => Err(wrong("FOLLOWING looks at rows that have not come yet")),
                };
                let (from, to) = (bound(&frame.start_bound)?, bound(&frame.end_bound)?);
                let to = to.ok_or_else(|| wrong("it ends before it begins"))?;
                if from.is_some_and(|from| from < to) || to < 0 {
                    return Err(wrong("it ends before it begins"));
                }
                Ok(Frame::Range { from, to })
            }
            WindowFrameUnits::Rows => {
                let bound = |bound: &WindowFrameBound| match bound {
                    WindowFrameBound::CurrentRow => Ok(Some(0)),
                    WindowFrameBound::Preceding(value) if value.is_null() => Ok(None),
                    WindowFrameBound::Preceding(value) => match value.cast_to(&DataType::UInt32) {
                        Ok(ScalarValue::UInt32(Some(rows))) => Ok(Some(rows)),
                        _ => Err(wrong("ROWS wants a number of rows")),
                    },
                    WindowFrameBound::Following(_) => Err(wrong("FOLLOWING looks at rows that have not come yet")),
                };
                let (from, to) = (bound(&frame.start_bound)?, bound(&frame.end_bound)?);
                let to = to.ok_or_else(|| wrong("it ends before it begins"))?;
                if from.is_some_and(|from| from < to) {
                    return Err(wrong("it ends before it begins"));
                }
                Ok(Frame::Rows { from, to })
            }
            WindowFrameUnits::Groups => Err(wrong("GROUPS")),
        }
    }
}

/// A call, taken apart.
enum CallOf<'e> {
    Aggregate(AggregateKind, &'e WindowFunctionParams),
    Window(WindowKind, &'e WindowFunctionParams),
}

impl CallOf<'_> {
    fn params(&self) -> &WindowFunctionParams {
        match self {
            CallOf::Aggregate(_, params) | CallOf::Window(_, params) => params,
        }
    }

    fn name(&self) -> String {
        match self {
            CallOf::Aggregate(kind, _) => kind.name().to_uppercase(),
            CallOf::Window(kind, _) => kind.name().to_uppercase(),
        }
    }
}

fn call_of(expr: &Expr) -> Result<CallOf<'_>> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::WindowFunction(function) => {
            let WindowFunction { fun, params } = function.as_ref();
            let found = match fun {
                WindowFunctionDefinition::AggregateUDF(aggregate) => {
                    PeltonAggregate::of(aggregate).map(|aggregate| CallOf::Aggregate(aggregate.kind, params))
                }
                WindowFunctionDefinition::WindowUDF(window) => {
                    window.inner().downcast_ref::<PeltonWindow>().map(|window| match window.kind {
                        WindowKind::FirstValue => CallOf::Aggregate(AggregateKind::FirstValue, params),
                        WindowKind::LastValue => CallOf::Aggregate(AggregateKind::LastValue, params),
                        kind => CallOf::Window(kind, params),
                    })
                }
            };
            found.ok_or_else(|| Error::user(format!("{fun} is not supported with OVER")))
        }
        other => Err(Error::bug(format!("not a window call: {other}"))),
    }
}

/// Puts a call where others of its keys are.
fn put(all: &mut Vec<Keys>, keys: Vec<usize>, frame: Frame, arg: Option<usize>, function: Function, out: usize) {
    let at = all.iter().position(|there| there.keys == keys).unwrap_or_else(|| {
        all.push(Keys { keys, ..Keys::default() });
        all.len() - 1
    });
    let there = &mut all[at];
    let frame = place(&mut there.frames, frame);
    let arg = arg.map(|arg| place(&mut there.args, arg));
    there.calls.push(Call { function, frame, arg, out });
}

fn place<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|there| *there == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}

/// An interval in µs, if its length does not vary.
fn micros(value: &ScalarValue) -> Option<i64> {
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => (v.months, v.days, v.nanoseconds),
        ScalarValue::IntervalDayTime(Some(v)) => (0, v.days, i64::from(v.milliseconds) * 1_000_000),
        _ => return None,
    };
    let whole = months == 0 && nanos % 1000 == 0;
    whole.then(|| i64::from(days).checked_mul(86_400_000_000)?.checked_add(nanos / 1000)).flatten()
}
