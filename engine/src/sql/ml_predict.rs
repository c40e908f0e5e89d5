//! Flink's `ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(f, …))`: the rows of a table, and behind each what a model makes of it.
//!
//! It is a projection: the table's columns, then a call of `PREDICT`. So it costs what that costs, and goes wherever a query goes.

use arrow::datatypes::DataType;
use datafusion_common::Result as DfResult;
use datafusion_expr::expr::Cast;
use datafusion_expr::logical_plan::LogicalPlanBuilder;
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_sql::sqlparser::ast::{
    self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value, ValueWithSpan,
};
use datafusion_sql::sqlparser::tokenizer;

use super::dialect::{MODEL_ARGUMENT, call, call_args, call_name};
use super::errors::carry;
use super::learn::LearningDef;
use super::models::{Call, ModelDef};
use super::text::span_of;
use super::window::plan_data;
use crate::error::{Error, Result, Span};

/// The function.
pub const ML_PREDICT: &str = "ml_predict";

/// What it wants.
pub const USAGE: &str =
    "ML_PREDICT wants a table, a model and its features: ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(f1, f2))";

/// The arguments, by name.
const NAMES: [&str; 4] = ["input", "model", "args", "config"];

/// Plans a call in `FROM`. Its columns are the input's and the model's; of these one that the input has already gets a number.
pub fn plan(function: &Function, span: Span, context: &mut dyn RelationPlannerContext) -> DfResult<LogicalPlan> {
    let [data, model, args] = arguments(function).map_err(|e| carry(e.at(span)))?;
    let (input, keys) = plan_data(data, ML_PREDICT, span, context)?;
    if let Some(key) = keys.first() {
        return Err(carry(Error::user("PARTITION BY has no meaning in ML_PREDICT").at(span_of(key.span()))));
    }
    let (name, place) = model_name(&model).map_err(|e| carry(e.at(span)))?;
    let found = context.context_provider().get_function_meta(&Call::Predict.function(&name));
    let (def, learning) = (found.as_deref().and_then(ModelDef::of), found.as_deref().and_then(LearningDef::of));
    let features = features(&args).map_err(|e| carry(e.at(span)))?;
    let names: Vec<Option<String>> = features.iter().map(column_name).collect();
    let (checked, outputs) = match (def, learning) {
        (Some(def), _) => (def.check(Call::Predict, &names), def.outputs.clone()),
        (None, Some(def)) => (def.check(Call::Predict, &names), vec![(def.output.clone(), DataType::Float64)]),
        (None, None) => return Err(carry(unknown(&name, context).at(place))),
    };
    checked.map_err(|e| carry(e.at(span_of(args.span()))))?;
    for feature in &features {
        let Expr::Column(_) = context.sql_to_expr(feature.clone(), input.schema())? else {
            let error = Error::user(format!("ML_PREDICT: the feature `{feature}` must be a column"));
            return Err(carry(error.at(span_of(feature.span())).hint("compute it in a view or subquery first")));
        };
    }
    let predict = call(&Call::Predict.function(&name), features, function.name.span());
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut taken: Vec<String> = input.schema().fields().iter().map(|field| field.name().clone()).collect();
    for (at, (output, data_type)) in outputs.iter().enumerate() {
        let answer = match outputs.len() {
            1 => predict.clone(),
            _ => call("array_element", vec![predict.clone(), number(at + 1)], function.name.span()),
        };
        let answer = Expr::Cast(Cast::new(Box::new(context.sql_to_expr(answer, input.schema())?), data_type.clone()));
        let name = free_name(output, &taken);
        columns.push(answer.alias(&name));
        taken.push(name);
    }
    LogicalPlanBuilder::from(input).project(columns)?.build()
}

/// The table, the model and the features, by their place or name.
fn arguments(function: &Function) -> Result<[ast::Expr; 3]> {
    let FunctionArguments::List(list) = &function.args else { return Err(Error::user(USAGE)) };
    let mut found: [Option<ast::Expr>; 4] = Default::default();
    for (position, arg) in list.args.iter().enumerate() {
        let (at, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (position, expr),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                let at = NAMES.iter().position(|known| name.value.eq_ignore_ascii_case(known));
                (at.ok_or_else(|| no_argument(&name.value).at(span_of(name.span)))?, expr)
            }
            other => return Err(Error::user(format!("unexpected argument `{other}`: {USAGE}"))),
        };
        let place = span_of(expr.span());
        let Some(slot) = found.get_mut(at) else {
            return Err(Error::user(format!("too many arguments: {USAGE}")).at(place));
        };
        if slot.replace(expr.clone()).is_some() {
            return Err(
                Error::user(format!("ML_PREDICT has its argument {} twice", NAMES[at].to_uppercase())).at(place)
            );
        }
    }
    match found {
        [_, _, _, Some(config)] => Err(Error::user("ML_PREDICT: CONFIG is not supported")
            .at(span_of(config.span()))
            .hint("models are computed here, in the batch: there is nothing to configure")),
        [Some(data), Some(model), Some(args), None] => Ok([data, model, args]),
        _ => Err(Error::user(USAGE)),
    }
}

fn no_argument(name: &str) -> Error {
    let error = Error::user(format!("ML_PREDICT has no argument `{}`", name.to_uppercase()));
    match Error::suggest(&name.to_lowercase(), NAMES) {
        Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
        None => error.hint("it has: INPUT, MODEL, ARGS"),
    }
}

/// `m` of `MODEL m`.
fn model_name(model: &ast::Expr) -> Result<(String, Span)> {
    if let ast::Expr::Function(function) = model
        && call_name(function) == MODEL_ARGUMENT
        && let Some([ast::Expr::Identifier(name)]) = call_args(function).as_deref()
    {
        return Ok((name.value.clone(), span_of(name.span)));
    }
    Err(Error::user(format!("ML_PREDICT: expected MODEL and a name, found `{model}`"))
        .at(span_of(model.span()))
        .hint("ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(f1, f2))"))
}

fn unknown(name: &str, context: &dyn RelationPlannerContext) -> Error {
    let error = Error::user(format!("unknown model `{name}`"));
    let prefix = Call::Predict.function("");
    let functions = context.context_provider().udf_names();
    let names: Vec<&str> = functions.iter().filter_map(|function| function.strip_prefix(&prefix)).collect();
    match Error::suggest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("create it first: CREATE MODEL name WITH ('path' = '…')"),
    }
}

/// The columns of `DESCRIPTOR(f1, f2)`.
fn features(args: &ast::Expr) -> Result<Vec<ast::Expr>> {
    if let ast::Expr::Function(function) = args
        && call_name(function) == "descriptor"
        && let Some(columns) = call_args(function)
    {
        return Ok(columns.into_iter().cloned().collect());
    }
    Err(Error::user(format!("ML_PREDICT: expected DESCRIPTOR(…), found `{args}`"))
        .at(span_of(args.span()))
        .hint("DESCRIPTOR(f1, f2) has the columns of the features, in the model's order"))
}

fn column_name(feature: &ast::Expr) -> Option<String> {
    match feature {
        ast::Expr::Identifier(column) => Some(column.value.clone()),
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
        _ => None,
    }
}

fn number(value: usize) -> ast::Expr {
    ast::Expr::Value(ValueWithSpan { value: Value::Number(value.to_string(), false), span: tokenizer::Span::empty() })
}

/// A name that no column has: with a number behind it, as Flink does it.
fn free_name(wanted: &str, taken: &[String]) -> String {
    let numbered = (0..).map(|number| format!("{wanted}{number}"));
    let mut names = std::iter::once(wanted.to_string()).chain(numbered);
    names.find(|name| !taken.contains(name)).expect("there are more numbers than columns")
}
