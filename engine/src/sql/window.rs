//! Window table functions: the plan node, and its way from `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL …))`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result as DfResult};
use datafusion_expr::logical_plan::{Extension, LogicalPlanBuilder};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, SetExpr, Spanned, TableFactor,
};

use super::dialect::{TABLE_ARGUMENT, call_args, call_name};
use super::errors::carry;
use super::interval;
use super::ml_predict::{self, ML_PREDICT};
use super::text::span_of;
use super::types;
use crate::error::{Error, Result, Span};
use crate::window::WindowSpec;

/// The columns that a window function adds.
pub const WINDOW_COLUMNS: [&str; 3] = ["window_start", "window_end", "window_time"];

/// The functions that make windows.
pub const WINDOW_FUNCTIONS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];

/// Name of the function that stands for a legacy group window's `FROM` and `WHERE`; see `legacy`.
pub const GROUP_WINDOW: &str = "$group_window";

/// `TUMBLE`, `HOP`, `CUMULATE` or `SESSION` over an input: each row once per window it is in, with the window's bounds.
///
/// Lives in `LogicalPlan::Extension`. Its columns are the input's, then `window_start`, `window_end`, `window_time`
/// without a relation: timestamps like the event time (nanoseconds become microseconds), never NULL.
#[derive(Debug, Clone)]
pub struct WindowTvf {
    /// What is put into windows.
    pub input: LogicalPlan,
    /// The event time: a column of the input.
    pub time: Expr,
    /// How.
    pub window: WindowSpec,
    /// Keys of `SESSION (… PARTITION BY …)`, columns of the input: a session each. Empty for other windows.
    pub session_keys: Vec<Expr>,
    /// Input columns, then the three of the window.
    pub schema: DFSchemaRef,
    /// The function call in the text.
    pub span: Span,
}

impl WindowTvf {
    /// The node over an input; works out the schema.
    pub fn try_new(
        input: LogicalPlan,
        time: Expr,
        window: WindowSpec,
        session_keys: Vec<Expr>,
        span: Span,
    ) -> DfResult<Self> {
        let name = function_name(&window);
        let Expr::Column(column) = &time else {
            return Err(carry(Error::user(format!("{name}: the event time must be a column")).at(span)));
        };
        let (_, field) = input.schema().qualified_field_from_column(column)?;
        let unit = match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            t @ DataType::Timestamp(..) => t.clone(),
            other => {
                let error = Error::user(format!(
                    "{name}: the event time `{}` is {}, not a TIMESTAMP",
                    column.name,
                    types::name(other)
                ));
                return Err(carry(
                    error.at(span).hint("make a computed column of it, for example ts AS TO_TIMESTAMP_LTZ(millis, 3)"),
                ));
            }
        };
        let mut fields: Vec<(Option<datafusion_common::TableReference>, Arc<Field>)> =
            input.schema().iter().map(|(relation, field)| (relation.cloned(), field.clone())).collect();
        for added in WINDOW_COLUMNS {
            if fields.iter().any(|(_, f)| f.name() == added) {
                let error = Error::user(format!("{name}: its input already has a column `{added}`")).at(span);
                return Err(carry(error.hint(format!("rename it in a subquery: SELECT {added} AS inner_{added}, …"))));
            }
            fields.push((None, Arc::new(Field::new(added, unit.clone(), false))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(WindowTvf { input, time, window, session_keys, schema, span })
    }

    /// The node as a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The node in a plan, if the plan is one.
    pub fn of(plan: &LogicalPlan) -> Option<&WindowTvf> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

fn function_name(window: &WindowSpec) -> &'static str {
    match window {
        WindowSpec::Tumble { .. } => "TUMBLE",
        WindowSpec::Hop { .. } => "HOP",
        WindowSpec::Cumulate { .. } => "CUMULATE",
        WindowSpec::Session { .. } => "SESSION",
    }
}

impl PartialEq for WindowTvf {
    fn eq(&self, other: &Self) -> bool {
        self.input == other.input
            && self.time == other.time
            && self.window == other.window
            && self.session_keys == other.session_keys
            && self.schema == other.schema
    }
}

impl Eq for WindowTvf {}

impl Hash for WindowTvf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.time.hash(state);
        self.window.hash(state);
        self.session_keys.hash(state);
    }
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.input.partial_cmp(&other.input) {
            Some(Ordering::Equal) => self.window.partial_cmp(&other.window),
            order => order,
        }
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(self.time.clone()).chain(self.session_keys.iter().cloned()).collect()
    }

    /// A filter on the window's bounds stays above. So does any filter above a session, but on its keys: a row taken
    /// out below would tear the session apart.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let session = matches!(self.window, WindowSpec::Session { .. });
        let is_key = |name: &str| self.session_keys.iter().any(|k| matches!(k, Expr::Column(c) if c.name == name));
        self.schema
            .fields()
            .iter()
            .map(|f| f.name())
            .filter(|name| WINDOW_COLUMNS.contains(&name.as_str()) || (session && !is_key(name)))
            .cloned()
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Window: {} time={}", self.window, self.time)?;
        if !self.session_keys.is_empty() {
            let keys: Vec<String> = self.session_keys.iter().map(ToString::to_string).collect();
            write!(f, " keys=[{}]", keys.join(", "))?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let session_keys = exprs.split_off(1);
        WindowTvf::try_new(inputs.swap_remove(0), exprs.swap_remove(0), self.window, session_keys, self.span)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The planner adds the columns of `expressions()` itself.
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|i| *i < inputs).collect()])
    }
}

/// Plans window functions in `FROM`, and refuses what DataFusion would drop silently.
#[derive(Debug)]
pub struct WindowPlanner;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let place = span_of(relation.span());
        let (function, alias) = match relation {
            TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } => (function, alias),
            TableFactor::TableFunction { expr, .. } => {
                return Err(carry(
                    Error::user(format!("expected a window function in TABLE(…), found `{expr}`")).at(place),
                ));
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                let list = ast::FunctionArgumentList { duplicate_treatment: None, args: args.args, clauses: vec![] };
                (Function { name, args: FunctionArguments::List(list), ..bare_function() }, alias)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let span = span_of(function.span());
        let plan = self.plan_call(function, span, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn bare_function() -> Function {
    Function {
        name: ObjectName(vec![]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::None,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    }
}

/// The arguments of a window function, by name.
#[derive(Default)]
struct Args {
    data: Option<ast::Expr>,
    time: Option<ast::Expr>,
    lengths: Vec<(String, ast::Expr)>,
    keys: Vec<ast::Expr>,
}

impl WindowPlanner {
    fn plan_call(
        &self,
        function: Function,
        span: Span,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<LogicalPlan> {
        let name = call_name(&function);
        if name == GROUP_WINDOW {
            return self.plan_group_window(&function, context);
        }
        if name == ML_PREDICT {
            return ml_predict::plan(&function, span, context);
        }
        if !WINDOW_FUNCTIONS.contains(&name.as_str()) {
            let error = Error::user(format!("unknown table function `{}`", function.name)).at(span);
            return Err(carry(match Error::suggest(&name, WINDOW_FUNCTIONS.into_iter().chain([ML_PREDICT])) {
                Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
                None => error.hint("there are: TUMBLE, HOP, CUMULATE, SESSION, ML_PREDICT"),
            }));
        }
        let args = arguments(&name, &function).map_err(|e| carry(e.at(span)))?;
        let (Some(data), Some(time)) = (args.data, args.time) else {
            return Err(carry(Error::user(usage(&name)).at(span)));
        };
        let (input, mut keys) = plan_data(data, &name, span, context)?;
        keys.extend(args.keys);
        let time = context.sql_to_expr(descriptor(time), input.schema())?;
        let window = self.spec(&name, &args.lengths, &time, &input).map_err(|e| carry(e.at(span)))?;
        if !keys.is_empty() && !matches!(window, WindowSpec::Session { .. }) {
            return Err(carry(
                Error::user(format!("PARTITION BY has no meaning in {}", name.to_uppercase()))
                    .at(span)
                    .hint("only SESSION takes it; GROUP BY the key instead"),
            ));
        }
        let keys = keys.into_iter().map(|k| key_column(k, &input, span, context)).collect::<DfResult<Vec<_>>>()?;
        Ok(WindowTvf::try_new(input, time, window, keys, span)?.into_plan())
    }

    /// A legacy group window: `$group_window(call, query, keys…)`; the query's `FROM` and `WHERE` are the input. Unlike
    /// in a subquery, its columns keep their relations.
    fn plan_group_window(
        &self,
        function: &Function,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<LogicalPlan> {
        let args = call_args(function).unwrap_or_default();
        let (Some(ast::Expr::Function(window)), Some(ast::Expr::Subquery(query))) = (args.first(), args.get(1)) else {
            return Err(carry(Error::user("a group window without a query")));
        };
        let span = span_of(window.span());
        let SetExpr::Select(select) = query.body.as_ref() else { unreachable!("made by `legacy`") };
        let from = select.from[0].clone();
        let factor = match from.joins.is_empty() {
            true => from.relation,
            false => TableFactor::NestedJoin { table_with_joins: Box::new(from), alias: None },
        };
        let mut input = context.plan(factor)?;
        if let Some(condition) = &select.selection {
            let predicate = context.sql_to_expr(condition.clone(), input.schema())?;
            input = LogicalPlanBuilder::from(input).filter(predicate)?.build()?;
        }
        let name = call_name(window);
        let mut given = call_args(window).unwrap_or_default().into_iter();
        let Some(time) = given.next() else { return Err(carry(Error::user(usage(&name)).at(span))) };
        let lengths: Vec<(String, ast::Expr)> =
            positional(&name).iter().map(ToString::to_string).zip(given.cloned()).collect();
        let time = context.sql_to_expr(time.clone(), input.schema())?;
        let window = self.spec(&name, &lengths, &time, &input).map_err(|e| carry(e.at(span)))?;
        let mut keys = vec![];
        if matches!(window, WindowSpec::Session { .. }) {
            for (i, key) in args[2..].iter().enumerate() {
                let expr = match key {
                    ast::Expr::Tuple(either) if either.len() == 2 => {
                        match context.sql_to_expr(either[0].clone(), input.schema()) {
                            Ok(column) => column,
                            Err(_) => context.sql_to_expr(either[1].clone(), input.schema())?,
                        }
                    }
                    key => context.sql_to_expr((*key).clone(), input.schema())?,
                };
                if let Expr::Column(_) = expr {
                    keys.push(expr);
                    continue;
                }
                // A key that is computed becomes a column of the input, so that sessions are cut by it.
                let name = format!("$session_key_{i}");
                let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
                columns.push(expr.alias(&name));
                input = LogicalPlanBuilder::from(input).project(columns)?.build()?;
                keys.push(Expr::Column(Column::new_unqualified(name)));
            }
        }
        Ok(WindowTvf::try_new(input, time, window, keys, span)?.into_plan())
    }

    fn spec(
        &self,
        name: &str,
        lengths: &[(String, ast::Expr)],
        time: &Expr,
        input: &LogicalPlan,
    ) -> Result<WindowSpec> {
        let find = |key: &str| -> Result<Option<i64>> {
            let Some((_, expr)) = lengths.iter().find(|(k, _)| k == key) else { return Ok(None) };
            let place = span_of(expr.span());
            let ast::Expr::Interval(interval) = unnest(expr) else {
                return Err(Error::user(format!(
                    "{}: the {key} must be an INTERVAL, found `{expr}`",
                    name.to_uppercase()
                ))
                .at(place)
                .hint("for example INTERVAL '10' SECOND"));
            };
            interval::read(interval).and_then(|l| l.micros()).map(Some).map_err(|e| e.at(place))
        };
        let length = |key: &str| -> Result<i64> {
            match find(key)? {
                Some(us) if us > 0 => Ok(us),
                Some(_) => Err(Error::user(format!("{}: the {key} must be longer than nothing", name.to_uppercase()))),
                None => Err(Error::user(usage(name))),
            }
        };
        let offset_us = find("offset")?.unwrap_or(0);
        let spec = match name {
            "tumble" => WindowSpec::Tumble { size_us: length("size")?, offset_us },
            "hop" => WindowSpec::Hop { slide_us: length("slide")?, size_us: length("size")?, offset_us },
            "cumulate" => WindowSpec::Cumulate { step_us: length("step")?, size_us: length("size")?, offset_us },
            _ => WindowSpec::Session { gap_us: length("gap")? },
        };
        if let WindowSpec::Cumulate { step_us, size_us, .. } = spec
            && size_us % step_us != 0
        {
            return Err(Error::user("CUMULATE: the size must be a multiple of the step"));
        }
        if let WindowSpec::Hop { slide_us, size_us, .. } = spec
            && size_us / slide_us > WINDOWS_MAX
        {
            return Err(Error::user(format!(
                "HOP: each row would be in {} windows, more than {WINDOWS_MAX}",
                size_us / slide_us
            ))
            .hint("take a longer slide or a shorter size"));
        }
        let tick_us = match time.get_type_of(input) {
            Some(DataType::Timestamp(TimeUnit::Second, _)) => 1_000_000,
            Some(DataType::Timestamp(TimeUnit::Millisecond, _)) => 1_000,
            _ => 1,
        };
        let lengths = match spec {
            WindowSpec::Tumble { size_us, offset_us } => [size_us, offset_us, 0],
            WindowSpec::Hop { slide_us, size_us, offset_us } => [slide_us, size_us, offset_us],
            WindowSpec::Cumulate { step_us, size_us, offset_us } => [step_us, size_us, offset_us],
            WindowSpec::Session { gap_us } => [gap_us, 0, 0],
        };
        if lengths.iter().any(|l| l % tick_us != 0) {
            return Err(Error::user(format!("{}: {spec} is finer than the event time `{time}`", name.to_uppercase()))
                .hint("declare the event time with more digits, for example TIMESTAMP(6)"));
        }
        Ok(spec)
    }
}

/// A row is in no more windows than this: each costs memory and a result.
const WINDOWS_MAX: i64 = 100_000;

/// The type of a column of a plan.
trait TypeOf {
    fn get_type_of(&self, plan: &LogicalPlan) -> Option<DataType>;
}

impl TypeOf for Expr {
    fn get_type_of(&self, plan: &LogicalPlan) -> Option<DataType> {
        match self {
            Expr::Column(c) => plan.schema().qualified_field_from_column(c).ok().map(|(_, f)| f.data_type().clone()),
            _ => None,
        }
    }
}

fn usage(name: &str) -> String {
    match name {
        ML_PREDICT => ml_predict::USAGE.into(),
        "tumble" => "TUMBLE wants a table, its event time and a size: TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)".into(),
        "hop" => "HOP wants a table, its event time, a slide and a size: HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR)".into(),
        "cumulate" => "CUMULATE wants a table, its event time, a step and a size: CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY)".into(),
        _ => "SESSION wants a table, its event time and a gap: SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '30' MINUTE)".into(),
    }
}

fn positional(name: &str) -> &'static [&'static str] {
    match name {
        "tumble" => &["size", "offset"],
        "hop" => &["slide", "size", "offset"],
        "cumulate" => &["step", "size", "offset"],
        _ => &["gap"],
    }
}

fn arguments(name: &str, function: &Function) -> Result<Args> {
    let FunctionArguments::List(list) = &function.args else { return Err(Error::user(usage(name))) };
    let mut args = Args::default();
    let mut position = 0;
    for arg in &list.args {
        let (key, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                let key = match position {
                    0 => "data".to_string(),
                    1 => "timecol".to_string(),
                    n => match positional(name).get(n - 2) {
                        Some(key) => key.to_string(),
                        None => {
                            return Err(
                                Error::user(format!("too many arguments: {}", usage(name))).at(span_of(expr.span()))
                            );
                        }
                    },
                };
                position += 1;
                (key, expr)
            }
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                (name.value.to_ascii_lowercase(), expr)
            }
            other => return Err(Error::user(format!("unexpected argument `{other}`: {}", usage(name)))),
        };
        match key.as_str() {
            "data" => args.data = Some(expr.clone()),
            "timecol" => args.time = Some(expr.clone()),
            "partition_by" | "key" | "keys" => args.keys.push(expr.clone()),
            key if positional(name).contains(&key) => args.lengths.push((key.to_string(), expr.clone())),
            key => {
                let known: Vec<&str> = ["data", "timecol"].iter().chain(positional(name)).copied().collect();
                let error = Error::user(format!("{} has no argument `{}`", name.to_uppercase(), key.to_uppercase()))
                    .at(span_of(expr.span()));
                return Err(match Error::suggest(key, known.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
                    None => error.hint(format!("it has: {}", known.join(", ").to_uppercase())),
                });
            }
        }
    }
    Ok(args)
}

/// Plans the `DATA` argument: `TABLE t PARTITION BY k`, `t`, `(SELECT …)`. Also answers the keys.
pub fn plan_data(
    data: ast::Expr,
    name: &str,
    span: Span,
    context: &mut dyn RelationPlannerContext,
) -> DfResult<(LogicalPlan, Vec<ast::Expr>)> {
    let (data, keys) = match &data {
        ast::Expr::Function(f) if call_name(f) == TABLE_ARGUMENT => {
            let mut args: Vec<ast::Expr> = call_args(f).unwrap_or_default().into_iter().cloned().collect();
            let keys = args.split_off(1);
            (args.remove(0), keys)
        }
        _ => (data, vec![]),
    };
    let factor = match data {
        ast::Expr::Identifier(ident) => named_table(vec![ident]),
        ast::Expr::CompoundIdentifier(parts) => named_table(parts),
        ast::Expr::Subquery(subquery) => TableFactor::Derived { lateral: false, subquery, alias: None, sample: None },
        other => {
            let error = Error::user(format!("{}: expected a table, found `{other}`", name.to_uppercase()))
                .at(span_of(other.span()))
                .at(span);
            return Err(carry(error.hint(usage(name))));
        }
    };
    Ok((context.plan(factor)?, keys))
}

/// The table factor of a name.
pub fn named_table(parts: Vec<ast::Ident>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(parts),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// `ts` of `DESCRIPTOR(ts)`, or the expression itself.
fn descriptor(expr: ast::Expr) -> ast::Expr {
    match &expr {
        ast::Expr::Function(f) if call_name(f) == "descriptor" => match call_args(f).as_deref() {
            Some([inner]) => (*inner).clone(),
            _ => expr,
        },
        _ => expr,
    }
}

fn unnest(expr: &ast::Expr) -> &ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => unnest(inner),
        other => other,
    }
}

fn key_column(
    key: ast::Expr,
    input: &LogicalPlan,
    span: Span,
    context: &mut dyn RelationPlannerContext,
) -> DfResult<Expr> {
    let text = key.to_string();
    match context.sql_to_expr(descriptor(key), input.schema())? {
        column @ Expr::Column(_) => Ok(column),
        _ => Err(carry(
            Error::user(format!("SESSION: the key `{text}` must be a column"))
                .at(span)
                .hint("compute it in a view or subquery first"),
        )),
    }
}
