//! Models that learn in the stream: `CREATE MODEL … WITH ('type' = 'logistic' | 'linear', 'learn.from' = 'table.column')`, and the step that
//! calls of them become.
//!
//! Such a model has no file: what `PREDICT` answers depends on the rows with labels that came before. So a call is no function of its
//! arguments. Once types are known, a [`LearnNode`] is put below whatever asks: over its rows and those of the table with the labels, and
//! the call becomes one of its columns.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DFSchemaRef, Result as DfResult, TableReference, internal_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Extension, LogicalPlanBuilder};
use datafusion_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    UserDefinedLogicalNodeCore, Volatility,
};
use pelton_models::{Learning, Loss};

use super::ddl::{CreateModel, ModelColumn};
use super::errors::{carry, from_datafusion};
use super::models::{Call, check_features, is_feature};
use super::text::span_of;
use super::types;
use crate::connector::Options;
use crate::error::{Error, Result, Span};
use crate::operators::About;

/// A declared model that learns.
pub struct LearningDef {
    /// As declared.
    pub name: String,
    /// Digest of what it learns from and how: tells plans of one declaration from those of another.
    pub version: String,
    /// How it learns.
    pub how: Learning,
    /// Names of the features.
    pub features: Vec<String>,
    /// The column that `ML_PREDICT` adds.
    pub output: String,
    /// The rows that it learns from: all columns of the table or view, analyzed.
    pub labels: LogicalPlan,
    /// Where its features are among these.
    pub columns: Vec<Column>,
    /// Where the label is.
    pub label: Column,
    /// Name of the table or view.
    pub table: String,
    /// The value of `'learn.from'` in the text.
    pub span: Span,
}

impl fmt::Debug for LearningDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// What `WITH (…)` says of a model that learns.
pub struct LearnOptions {
    how: Learning,
    /// Table or view, and its column.
    pub table: String,
    column: String,
    span: Span,
}

impl LearnOptions {
    /// True if the declaration is one of a model that learns.
    pub fn are_in(head: &CreateModel) -> bool {
        head.options.iter().any(|(key, ..)| key == "type" || key.starts_with("learn."))
    }

    /// Reads them.
    pub fn of(head: &CreateModel) -> Result<Self> {
        let options = Options::new(format!("model `{}`", head.name.value), head.options.clone());
        options.require("type")?;
        let loss = match options.one_of("type", &["logistic", "linear"])? {
            "linear" => Loss::Squared,
            _ => Loss::Logistic,
        };
        let from = options.require("learn.from")?;
        let Some((table, column)) =
            from.rsplit_once('.').filter(|(table, column)| !table.is_empty() && !column.is_empty())
        else {
            return Err(
                options.bad("learn.from", "a table or view and its column with the label, such as 'labelled.is_fraud'")
            );
        };
        let rate = options.parse("learn.rate", 0.01)?;
        if !(rate > 0.0 && f64::is_finite(rate)) {
            return Err(options.bad("learn.rate", "a number above 0, such as '0.01'"));
        }
        let l2 = options.parse("learn.l2", 0.0)?;
        if !(l2 >= 0.0 && f64::is_finite(l2)) {
            return Err(options.bad("learn.l2", "0 or a number above it, such as '0.001'"));
        }
        let standardize = options.flag("learn.standardize", true)?;
        let (table, column, span) = (table.to_string(), column.to_string(), options.span("learn.from"));
        options.reject_unknown()?;
        Ok(LearnOptions { how: Learning { loss, rate, l2, standardize }, table, column, span })
    }

    /// An error about the table with the labels.
    pub fn wrong(&self, error: Error) -> Error {
        error.at(self.span)
    }
}

impl LearningDef {
    /// The model, with `labels` as the plan of all columns of the table that the options name.
    pub fn new(head: CreateModel, options: LearnOptions, labels: LogicalPlan) -> Result<Self> {
        let CreateModel { name, inputs, outputs, .. } = head;
        let (name, place) = (name.value, span_of(name.span));
        let LearnOptions { how, table, column, span } = options;
        let Some(inputs) = inputs.filter(|inputs| !inputs.is_empty()) else {
            let hint = format!(
                "CREATE MODEL {name} INPUT (amount DOUBLE, …) WITH (…): columns of `{table}`, which are the features"
            );
            return Err(Error::user(format!("model `{name}` learns: it needs INPUT")).at(place).hint(hint));
        };
        let columns = inputs.iter().map(|input| feature(&name, input, &table, &labels)).collect::<Result<Vec<_>>>()?;
        let (label, data_type) = find(&column, &table, &labels).map_err(|e| e.at(span))?;
        if !is_feature(&data_type) {
            let error = format!("model `{name}`: the label `{column}` is {}", types::name(&data_type));
            return Err(Error::user(error).at(span).hint("labels are numbers or BOOLEAN"));
        }
        if let Some(at) = columns.iter().position(|column| *column == label) {
            let error = format!("model `{name}`: `{column}` is its label and its feature");
            return Err(Error::user(error).at(span_of(inputs[at].name.span)));
        }
        let features: Vec<String> = inputs.into_iter().map(|input| input.name.value).collect();
        let said = format!("{how:?} {features:?} {table}.{column}\n{}", labels.display_indent());
        let version = format!("{:032x}", pelton_kernels::digest::hash_text(&said));
        let output = output(&name, outputs.as_deref().unwrap_or_default())?;
        Ok(LearningDef { name, version, how, features, output, labels, columns, label, table, span })
    }

    /// The model that a function asks.
    pub fn of(function: &ScalarUDF) -> Option<&Arc<LearningDef>> {
        function.inner().downcast_ref::<Ask>().map(|ask| &ask.def)
    }

    /// Fails if the features of a call, as far as they are columns, are the model's in another order or number.
    pub fn check(&self, call: Call, names: &[Option<String>]) -> Result<()> {
        check_features((&self.name, self.features.len(), &self.features), call, names)
    }

    /// The functions that ask it.
    pub fn functions(self: &Arc<Self>) -> Vec<ScalarUDF> {
        Call::ALL.iter().map(|call| ScalarUDF::new_from_impl(Ask::new(*call, self.clone()))).collect()
    }
}

/// A feature's column in the table with the labels.
fn feature(model: &str, input: &ModelColumn, table: &str, labels: &LogicalPlan) -> Result<Column> {
    let (name, place) = (&input.name.value, span_of(input.name.span));
    let wanted = |data_type: &DataType| {
        format!("INPUT of model `{model}`: `{name}` is {}, wanted a number", types::name(data_type))
    };
    let declared = types::arrow_type(&input.sql).map_err(|e| e.at(input.place))?;
    if !is_feature(&declared) {
        return Err(Error::user(wanted(&declared)).at(input.place).hint("features are numbers or BOOLEAN"));
    }
    let (column, data_type) = find(name, table, labels).map_err(|e| e.at(place))?;
    match is_feature(&data_type) {
        true => Ok(column),
        false => Err(Error::user(format!("{} in `{table}`", wanted(&data_type))).at(place)),
    }
}

/// A column of the table with the labels, and its type.
fn find(name: &str, table: &str, labels: &LogicalPlan) -> Result<(Column, DataType)> {
    let found = labels.schema().iter().find(|(_, field)| field.name().eq_ignore_ascii_case(name));
    let Some((relation, field)) = found else {
        let names: Vec<&str> = labels.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let error = Error::user(format!("`{table}` has no column `{name}`"));
        return Err(match Error::suggest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("it has: {}", names.join(", "))),
        });
    };
    Ok((Column::from((relation, field.as_ref())), field.data_type().clone()))
}

/// What `OUTPUT (…)` calls the answer.
fn output(model: &str, outputs: &[ModelColumn]) -> Result<String> {
    match outputs {
        [] => Ok("prediction".to_string()),
        [output] => match types::arrow_type(&output.sql).map_err(|e| e.at(output.place))? {
            DataType::Float64 => Ok(output.name.value.clone()),
            other => {
                let error = format!(
                    "OUTPUT of model `{model}`: `{}` is {}, it answers DOUBLE",
                    output.name.value,
                    types::name(&other)
                );
                Err(Error::user(error).at(output.place).hint("declare it DOUBLE"))
            }
        },
        [_, second, ..] => {
            Err(Error::user(format!("model `{model}` gives one answer, OUTPUT declares {} columns", outputs.len()))
                .at(span_of(second.name.span)))
        }
    }
}

/// A call, as a function. It stands in plans only until [`place`] has put a step below.
#[derive(Debug)]
struct Ask {
    call: Call,
    def: Arc<LearningDef>,
    name: String,
    signature: Signature,
}

impl Ask {
    fn new(call: Call, def: Arc<LearningDef>) -> Self {
        let name = format!("{} {} {}", call.name().to_uppercase(), def.name, &def.version[..8]);
        // Not immutable: no rule may compute it of constants.
        Ask { call, def, name, signature: Signature::user_defined(Volatility::Stable) }
    }

    fn failed(&self, what: impl fmt::Display) -> datafusion_common::DataFusionError {
        carry(Error::user(format!("{}({}, …): {what}", self.call.name().to_uppercase(), self.def.name)))
    }

    fn about(&self) -> DfResult<About> {
        match self.call {
            Call::Predict => Ok(About::Answer),
            Call::Raw => Ok(About::Margin),
            Call::Explain => Ok(About::Contributions),
            Call::Version => Ok(About::Version),
            Call::Leaves => Err(self.failed("a linear model has no leaves")),
        }
    }
}

impl PartialEq for Ask {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.def.version == other.def.version
    }
}

impl Eq for Ask {}

impl Hash for Ask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.def.version).hash(state);
    }
}

impl ScalarUDFImpl for Ask {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> DfResult<Vec<DataType>> {
        let plain = |(at, data_type): (usize, &DataType)| match is_feature(data_type) {
            true => Ok(DataType::Float64),
            false => {
                let name = self.def.features.get(at).map_or("", String::as_str);
                Err(self.failed(format!("feature {} ({name}) is {}, wanted a number", at + 1, types::name(data_type))))
            }
        };
        given.iter().enumerate().map(plain).collect()
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        self.about().map(About::data_type)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        internal_err!("{} is answered by a step", self.name)
    }
}

/// The call that an expression is, if its features ask no model that learns themselves.
fn innermost(expr: &Expr) -> Option<&Ask> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let ask = function.func.inner().downcast_ref::<Ask>()?;
    (!function.args.iter().any(asks)).then_some(ask)
}

/// True if an expression asks a model that learns.
pub fn asks(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(function) if LearningDef::of(&function.func).is_some())))
        .unwrap_or(false)
}

/// A call of a [`LearnNode`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LearnCall {
    /// What is asked.
    pub about: About,
    /// The features: columns of the input, DOUBLE.
    pub features: Vec<Column>,
    /// The column of the answer.
    name: String,
}

/// Rows that are answered by a model that learns. Lives in `LogicalPlan::Extension`. Its columns are the input's, then the answers.
#[derive(Clone, Debug)]
pub struct LearnNode {
    /// The rows to be answered.
    pub input: LogicalPlan,
    /// The rows to learn from.
    pub labels: LogicalPlan,
    /// The model.
    pub def: Arc<LearningDef>,
    /// What is asked.
    pub calls: Vec<LearnCall>,
    /// Input columns, then the answers.
    pub schema: DFSchemaRef,
    /// The first call in the text.
    pub span: Span,
}

impl LearnNode {
    fn try_new(
        input: LogicalPlan,
        labels: LogicalPlan,
        def: Arc<LearningDef>,
        calls: Vec<LearnCall>,
        span: Span,
    ) -> DfResult<Self> {
        let answers = calls.iter().map(|call| (None, Arc::new(Field::new(&call.name, call.about.data_type(), true))));
        let fields = input.schema().iter().map(|(relation, field)| (relation.cloned(), field.clone()));
        let fields: Vec<(Option<TableReference>, FieldRef)> = fields.chain(answers).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(LearnNode { input, labels, def, calls, schema, span })
    }
}

impl PartialEq for LearnNode {
    fn eq(&self, other: &Self) -> bool {
        self.def.version == other.def.version
            && self.calls == other.calls
            && self.input == other.input
            && self.labels == other.labels
    }
}

impl Eq for LearnNode {}

impl Hash for LearnNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.def.version, &self.calls, &self.input, &self.labels).hash(state);
    }
}

impl PartialOrd for LearnNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.input.partial_cmp(&other.input) {
            Some(Ordering::Equal) => self.def.version.partial_cmp(&other.def.version),
            order => order,
        }
    }
}

/// The places of these columns in a plan, and of all that may be its event time.
fn places(plan: &LogicalPlan, columns: &[&Column], also: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let timestamps = plan.schema().fields().iter().enumerate();
    let timestamps =
        timestamps.filter(|(_, field)| matches!(field.data_type(), DataType::Timestamp(..))).map(|(at, _)| at);
    let named = columns.iter().filter_map(|column| plan.schema().maybe_index_of_column(column));
    timestamps.chain(named).chain(also).collect::<BTreeSet<_>>().into_iter().collect()
}

impl UserDefinedLogicalNodeCore for LearnNode {
    fn name(&self) -> &str {
        "Learn"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input, &self.labels]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// None: features are columns, known by name. Rules would look for them in both inputs.
    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<&str> = self.calls.iter().map(|call| call.name.as_str()).collect();
        write!(f, "Learn: from {} [{}]", self.def.table, calls.join(", "))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let [input, labels] = <[LogicalPlan; 2]>::try_from(inputs)
            .or_else(|inputs| internal_err!("a model that learns has two inputs, not {}", inputs.len()))?;
        LearnNode::try_new(input, labels, self.def.clone(), self.calls.clone(), self.span)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let features: Vec<&Column> = self.calls.iter().flat_map(|call| &call.features).collect();
        let lessons: Vec<&Column> = self.def.columns.iter().chain([&self.def.label]).collect();
        let passed = output_columns.iter().copied().filter(|at| *at < width);
        Some(vec![places(&self.input, &features, passed), places(&self.labels, &lessons, [])])
    }
}

/// Puts a step below each node that asks a model which learns. `span`: where the text asks first.
pub fn place(plan: LogicalPlan, span: Span) -> Result<LogicalPlan> {
    plan.transform_up(|node| placed(node, span)).map(|placed| placed.data).map_err(from_datafusion)
}

fn placed(node: LogicalPlan, span: Span) -> DfResult<Transformed<LogicalPlan>> {
    let mut exprs = node.expressions();
    if !exprs.iter().any(asks) {
        return Ok(Transformed::no(node));
    }
    let (LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) =
        &node
    else {
        let error = Error::user("a model that learns cannot be asked in ORDER BY or JOIN … ON").at(span);
        return Err(carry(
            error.hint("ask it in a list, SELECT …, PREDICT(…) AS score FROM …, and take score from there"),
        ));
    };
    let preserver = NamePreserver::new(&node);
    let names: Vec<_> = exprs.iter().map(|expr| preserver.save(expr)).collect();
    let mut input = node.inputs()[0].clone();
    // Features may ask another model: what is asked first is answered first.
    while exprs.iter().any(asks) {
        (input, exprs) = answered(input, exprs, span)?;
    }
    let exprs = exprs.into_iter().zip(names).map(|(expr, name)| name.restore(expr)).collect();
    let columns: Vec<Expr> = node.schema().columns().into_iter().map(Expr::Column).collect();
    let asked = node.with_new_exprs(exprs, vec![input])?;
    if asked.schema().fields().len() == columns.len() {
        return Ok(Transformed::yes(asked));
    }
    LogicalPlanBuilder::from(asked).project(columns)?.build().map(Transformed::yes)
}

/// Puts one step over an input, for all innermost calls of one model; these become columns of it.
fn answered(input: LogicalPlan, exprs: Vec<Expr>, span: Span) -> DfResult<(LogicalPlan, Vec<Expr>)> {
    let mut found: Vec<Expr> = vec![];
    for expr in &exprs {
        expr.apply(|e| {
            let other =
                |there: &Expr| innermost(there).map(|ask| &ask.def.version) != innermost(e).map(|ask| &ask.def.version);
            if innermost(e).is_some() && !found.contains(e) && !found.first().is_some_and(other) {
                found.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let Some(def) = found.first().and_then(innermost).map(|ask| ask.def.clone()) else {
        return internal_err!("no call that could be answered first");
    };
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let (width, mut calls) = (columns.len(), vec![]);
    for call in &found {
        let (Some(ask), Expr::ScalarFunction(function)) = (innermost(call), call) else { continue };
        let features = function.args.iter().map(|arg| match arg {
            Expr::Column(column) => column.clone(),
            computed => {
                let name = format!("$feature {}", computed.schema_name());
                if !columns.iter().any(|there| there.schema_name().to_string() == name) {
                    columns.push(computed.clone().alias(&name));
                }
                Column::new_unqualified(name)
            }
        });
        let features = features.collect();
        calls.push(LearnCall { about: ask.about()?, features, name: format!("$answer {}", call.schema_name()) });
    }
    let labels = def.labels.clone();
    let input = if columns.len() > width { LogicalPlanBuilder::from(input).project(columns)?.build()? } else { input };
    let answers: Vec<String> = calls.iter().map(|call| call.name.clone()).collect();
    let node = LearnNode::try_new(input, labels, def, calls, span)?;
    let replace = |expr: Expr| {
        let answer = |e: Expr| match found.iter().position(|call| *call == e) {
            Some(at) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(answers[at].clone())))),
            None => Ok(Transformed::no(e)),
        };
        expr.transform_down(answer).map(|replaced| replaced.data)
    };
    let exprs = exprs.into_iter().map(replace).collect::<DfResult<_>>()?;
    Ok((LogicalPlan::Extension(Extension { node: Arc::new(node) }), exprs))
}
