//! Tables and views by name, as DataFusion's planner asks for them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Column, DFSchema, DataFusionError, Result as DfResult, TableReference};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::logical_plan::LogicalPlanBuilder;
use datafusion_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, RawDictionaryExpr, RawFieldAccessExpr, RelationPlanner,
    TypePlanner,
};
use datafusion_expr::{
    AggregateUDF, Expr, ExprSchemable, GetFieldAccess, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
    cast, lit,
};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions_nested::planner::{FieldAccessPlanner, NestedFunctionPlanner};

use super::aggregates::AggregatePlanner;
use super::errors::{carry, from_datafusion};
use super::functions::Functions;
use super::names::Spelling;
use super::over::WindowKind;
use super::types::{Types, time_digits};
use super::window::{WINDOW_COLUMNS, WindowPlanner};
use super::{PeltonTable, TableDef};
use crate::error::Error;

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A table.
    Table(Arc<TableDef>),
    /// A view: its query, and how its columns are called.
    View(Arc<View>),
}

/// A view.
#[derive(Debug)]
pub struct View {
    /// As declared.
    pub name: String,
    /// Its query, planned but not analyzed; the columns have their final names.
    pub plan: LogicalPlan,
    /// A volatile function in it, with its place.
    pub volatile: Option<(String, crate::error::Span)>,
}

/// Tables and views; names compare case-insensitively.
#[derive(Debug, Default, Clone)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
    /// Lower-case names in order of creation.
    order: Vec<String>,
}

impl Catalog {
    /// What a name stands for.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&name.to_lowercase())
    }

    /// Adds a table or view under a name.
    pub fn add(&mut self, name: &str, entry: Entry) {
        let key = name.to_lowercase();
        self.order.retain(|k| *k != key);
        self.order.push(key.clone());
        self.entries.insert(key, entry);
    }

    /// Takes a table or view out.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let key = name.to_lowercase();
        self.order.retain(|k| *k != key);
        self.entries.remove(&key)
    }

    /// The entries in order of creation.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|key| self.entries.get(key))
    }

    /// Names of all tables and views, as declared.
    pub fn names(&self) -> Vec<&str> {
        self.iter().map(Entry::name).collect()
    }

    /// Every name that a statement of these (lower-case) words may refer to, the most important first.
    pub fn names_for(&self, words: &HashSet<String>) -> Vec<String> {
        let mut out = vec![];
        for (key, entry) in &self.entries {
            if words.contains(key) {
                out.push(entry.name().to_string());
                for field in entry.fields() {
                    push_names(&field, &mut out);
                }
            }
        }
        out.extend(WINDOW_COLUMNS.iter().map(ToString::to_string));
        out
    }

    /// The error for an unknown table.
    pub fn unknown(&self, name: &str) -> Error {
        let error = Error::user(format!("unknown table `{name}`"));
        let names = self.names();
        match Error::suggest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => error.hint("create it first with CREATE TABLE"),
            None => error.hint(format!("there are: {}", names.join(", "))),
        }
    }
}

fn push_names(field: &Field, out: &mut Vec<String>) {
    out.push(field.name().clone());
    if let DataType::Struct(fields) = field.data_type() {
        for field in fields {
            push_names(field, out);
        }
    }
}

impl Entry {
    /// As declared.
    pub fn name(&self) -> &str {
        match self {
            Entry::Table(def) => &def.table.name,
            Entry::View(view) => &view.name,
        }
    }

    /// Its columns.
    pub fn fields(&self) -> Vec<Arc<Field>> {
        match self {
            Entry::Table(def) => def.schema.fields().iter().cloned().collect(),
            Entry::View(view) => view.plan.schema().fields().iter().cloned().collect(),
        }
    }
}

/// A plan that stands for a table: a view, or a table whose columns are spelt otherwise in this statement.
#[derive(Debug)]
struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// The planner's view of the session while one statement is planned.
pub struct Provider<'a> {
    catalog: &'a Catalog,
    functions: &'a Functions,
    spelling: &'a Spelling,
    options: ConfigOptions,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    error: Arc<Mutex<Option<Error>>>,
}

impl<'a> Provider<'a> {
    /// A view of the session for one statement.
    pub fn new(catalog: &'a Catalog, functions: &'a Functions, spelling: &'a Spelling) -> Self {
        let error: Arc<Mutex<Option<Error>>> = Arc::default();
        Provider {
            catalog,
            functions,
            spelling,
            options: config(functions),
            expr_planners: vec![
                Arc::new(Fields { functions: functions.clone(), error: error.clone() }),
                Arc::new(AggregatePlanner),
                Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
                Arc::new(NestedFunctionPlanner),
            ],
            relation_planners: vec![Arc::new(WindowPlanner)],
            error,
        }
    }

    /// Our error of a failed planning: DataFusion forgets the one about a field.
    pub fn error(&self, error: DataFusionError) -> Error {
        self.error.lock().expect("no panic holds this lock").take().unwrap_or_else(|| from_datafusion(error))
    }
}

/// DataFusion's options.
pub fn config(functions: &Functions) -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.execution.time_zone = Some(functions.zone.name().to_string());
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // NULL is the lowest value, as in Flink: first in ascending order, last in descending.
    options.sql_parser.default_null_ordering = "nulls_min".into();
    options.sql_parser.collect_spans = true;
    options.optimizer.skip_failed_rules = false;
    options
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let Some(entry) = self.catalog.get(&name.to_string()) else {
            return Err(carry(self.catalog.unknown(&name.to_string())));
        };
        let renamed = entry.fields().iter().any(|f| self.spelling.of(f.name()) != f.name());
        let plan = match entry {
            Entry::Table(def) if !renamed => return Ok(Arc::new(PeltonTable { def: def.clone() })),
            Entry::Table(def) => {
                LogicalPlanBuilder::scan(def.table.name.as_str(), Arc::new(PeltonTable { def: def.clone() }), None)?
                    .build()?
            }
            Entry::View(view) => view.plan.clone(),
        };
        let plan = if renamed {
            let columns: Vec<Expr> = plan
                .schema()
                .iter()
                .map(|(relation, field)| {
                    Expr::Column(Column::from((relation, field.as_ref()))).alias(self.spelling.of(field.name()))
                })
                .collect();
            LogicalPlanBuilder::from(plan).project(columns)?.build()?
        } else {
            plan
        };
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Ok(Arc::new(Inlined { plan, schema }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        WindowKind::of(name).map(WindowKind::function)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().map(str::to_string).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        vec![]
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![]
    }
}

/// Fields of a ROW by name, whatever the case, elements of an ARRAY from 1, values of a MAP, and `EXTRACT` in the session's zone. The rest of DataFusion's own planner of
/// these is passed on; its way to a field is not, as it knows no unknown fields.
#[derive(Debug)]
struct Fields {
    functions: Functions,
    /// The first unknown field.
    error: Arc<Mutex<Option<Error>>>,
}

impl Fields {
    fn get(&self, base: Expr, data_type: &DataType, name: &str) -> DfResult<(Expr, DataType)> {
        self.find(base, data_type, name).map_err(|error| {
            self.error.lock().expect("no panic holds this lock").get_or_insert(error);
            carry(Error::user(format!("there is no field `{name}`")))
        })
    }

    fn find(&self, base: Expr, data_type: &DataType, name: &str) -> Result<(Expr, DataType), Error> {
        let field_of =
            |base, name: &str| ScalarFunction::new_udf(datafusion_functions::core::get_field(), vec![base, lit(name)]);
        if let DataType::Map(entries, _) = data_type
            && let DataType::Struct(pair) = entries.data_type()
        {
            return Ok((Expr::ScalarFunction(field_of(base, name)), pair[1].data_type().clone()));
        }
        let DataType::Struct(fields) = data_type else {
            return Err(Error::user(format!(
                "`{base}` is {}, it has no field `{name}`",
                super::types::name(data_type)
            )));
        };
        let Some(field) = fields
            .iter()
            .find(|f| f.name() == name)
            .or_else(|| fields.iter().find(|f| f.name().eq_ignore_ascii_case(name)))
        else {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            let error = Error::user(format!("`{base}` has no field `{name}`"));
            return Err(match Error::suggest(name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("it has: {}", names.join(", "))),
            });
        };
        Ok((Expr::ScalarFunction(field_of(base, field.name())), field.data_type().clone()))
    }
}

impl ExprPlanner for Fields {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested: &[String],
    ) -> DfResult<PlannerResult<Vec<Expr>>> {
        let mut at = (Expr::Column(Column::from((qualifier, field))), field.data_type().clone());
        for name in nested {
            at = self.get(at.0, &at.1, name)?;
        }
        // Named like the field, as in Flink.
        let name = nested.last().cloned().unwrap_or_default();
        Ok(PlannerResult::Planned(at.0.alias(name)))
    }

    /// TIMEs of different precision are compared as the finer one.
    fn plan_binary_op(&self, mut raw: RawBinaryExpr, schema: &DFSchema) -> DfResult<PlannerResult<RawBinaryExpr>> {
        // What is unknown is told later, with its place.
        let (Ok(left), Ok(right)) = (raw.left.get_type(schema), raw.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(raw));
        };
        let is_time = |t: &DataType| matches!(t, DataType::Time32(_) | DataType::Time64(_));
        if is_time(&left) && is_time(&right) && left != right {
            if time_digits(&left) < time_digits(&right) {
                raw.left = cast(raw.left, right);
            } else {
                raw.right = cast(raw.right, left);
            }
        }
        Ok(PlannerResult::Original(raw))
    }

    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawFieldAccessExpr>> {
        match &raw.field_access {
            GetFieldAccess::NamedStructField { name } => {
                let data_type = raw.expr.get_type(schema)?;
                let name = name.try_as_str().flatten().unwrap_or_default().to_string();
                Ok(PlannerResult::Planned(self.get(raw.expr, &data_type, &name)?.0))
            }
            _ => FieldAccessPlanner.plan_field_access(raw, schema),
        }
    }

    fn plan_dictionary_literal(
        &self,
        raw: RawDictionaryExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawDictionaryExpr>> {
        CoreFunctionPlanner {}.plan_dictionary_literal(raw, schema)
    }

    fn plan_struct_literal(&self, args: Vec<Expr>, named: bool) -> DfResult<PlannerResult<Vec<Expr>>> {
        CoreFunctionPlanner {}.plan_struct_literal(args, named)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        CoreFunctionPlanner {}.plan_overlay(args)
    }

    fn plan_extract(&self, args: Vec<Expr>) -> DfResult<PlannerResult<Vec<Expr>>> {
        let extract = self.functions.scalar("extract").expect("it is one of ours");
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(extract, args))))
    }
}
