//! From a parsed `CREATE TABLE` to a table: types, computed and metadata columns, keys, watermark.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DFSchema, DFSchemaRef, TableReference};
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{self, Spanned};

use super::catalog::{Provider, config};
use super::ddl::{CreateTable, Kind};
use super::errors::from_datafusion;
use super::names::Spelling;
use super::session::{Session, volatile_error};
use super::settings::Volatile;
use super::text::span_of;
use super::{ColumnDef, ColumnKind, ENGINE_TABLE_OPTIONS, TableDef, WatermarkDef, calls, learn, plan, refuse, types};
use crate::connector::{Options, Table};
use crate::error::{Error, Result, Span};

impl Session {
    /// Makes a table of its declaration. `given` are the columns of `CREATE TABLE … AS`.
    pub(super) fn define(
        &self,
        ast: &CreateTable,
        spelling: &Spelling,
        given: Option<Arc<Schema>>,
        span: Span,
    ) -> Result<TableDef> {
        let name = ast.name.value.clone();
        let place = span_of(ast.name.span);
        let options = Options::new(format!("table `{name}`"), ast.options.clone());
        for key in ENGINE_TABLE_OPTIONS {
            options.get(key);
        }
        let connector = self.registry.of(&options).map_err(|e| e.at(place))?.clone();
        let bounded = connector.bounded(&options).map_err(|e| e.at(place))?;

        let mut columns: Vec<ColumnDef> = vec![];
        let mut physical: Vec<Field> = vec![];
        let declared = ast.columns.iter().any(|c| matches!(c.kind, Kind::Physical { .. }));
        if !declared {
            let schema = match given {
                Some(schema) => schema,
                None => connector.infer_schema(&options).map_err(|e| e.at(place))?,
            };
            for field in schema.fields() {
                columns.push(ColumnDef {
                    name: field.name().clone(),
                    data_type: field.data_type().clone(),
                    nullable: field.is_nullable(),
                    kind: ColumnKind::Physical(physical.len()),
                });
                physical.push(field.as_ref().clone());
            }
        }
        for column in &ast.columns {
            let name = &column.name.value;
            if columns.iter().any(|c| c.name.eq_ignore_ascii_case(name)) {
                return Err(Error::user(format!("two columns are called `{name}`")).at(span_of(column.name.span)));
            }
            match &column.kind {
                Kind::Physical { sql, place, not_null } => {
                    let data_type = types::kept(&types::arrow_type(sql).map_err(|e| e.at(*place))?);
                    let nullable = !not_null;
                    physical.push(Field::new(name, data_type.clone(), nullable));
                    columns.push(ColumnDef {
                        name: name.clone(),
                        data_type,
                        nullable,
                        kind: ColumnKind::Physical(physical.len() - 1),
                    });
                }
                Kind::Metadata { sql, place, key } => {
                    let data_type = types::arrow_type(sql).map_err(|e| e.at(*place))?;
                    let offered = connector.metadata();
                    let known: Vec<&str> =
                        ["partition", "offset"].into_iter().chain(offered.iter().map(|(k, _)| *k)).collect();
                    if !known.contains(&key.as_str()) {
                        let error =
                            Error::user(format!("connector '{}' has no metadata '{key}'", connector.name())).at(*place);
                        return Err(match Error::suggest(key, known.iter().copied()) {
                            Some(near) => error.hint(format!("did you mean '{near}'?")),
                            None => error.hint(format!("there are: {}", known.join(", "))),
                        });
                    }
                    columns.push(ColumnDef {
                        name: name.clone(),
                        data_type,
                        nullable: true,
                        kind: ColumnKind::Metadata { key: key.clone() },
                    });
                }
                // Typed below, when all other columns are known; a column may be used before its line.
                Kind::Computed(_) => columns.push(ColumnDef {
                    name: name.clone(),
                    data_type: DataType::Null,
                    nullable: true,
                    kind: ColumnKind::Computed(Expr::default()),
                }),
            }
        }
        let mut primary_key = vec![];
        for key in &ast.primary_key {
            let Some(column) = columns.iter_mut().find(|c| c.name.eq_ignore_ascii_case(&key.value)) else {
                return Err(unknown_column(&key.value, &columns).at(span_of(key.span)));
            };
            let ColumnKind::Physical(at) = column.kind else {
                return Err(
                    Error::user(format!("the key `{}` must be a physical column", column.name)).at(span_of(key.span))
                );
            };
            column.nullable = false;
            physical[at] = physical[at].clone().with_nullable(false);
            primary_key.push(column.name.clone());
        }
        self.compute(ast, spelling, &mut columns)?;
        let watermark = self.watermark(ast, spelling, &mut columns)?;
        let schema = Arc::new(Schema::new(
            columns.iter().map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable)).collect::<Vec<_>>(),
        ));
        let table = Table { name, schema: Arc::new(Schema::new(physical)), options, primary_key };
        Ok(TableDef { table, columns, schema, watermark, bounded, span })
    }

    /// Plans the computed columns, each over the columns that come from outside and the computed ones before it.
    fn compute(&self, ast: &CreateTable, spelling: &Spelling, columns: &mut [ColumnDef]) -> Result<()> {
        for column in &ast.columns {
            let Kind::Computed(sql) = &column.kind else { continue };
            let at = columns.iter().position(|c| c.name == column.name.value).expect("it was pushed");
            let schema = schema_of(columns)?;
            let expr = self.table_expr(sql.as_ref().clone(), spelling, &schema)?;
            let data_type = expr.get_type(schema.as_ref()).map_err(from_datafusion)?;
            let nullable = expr.nullable(schema.as_ref()).unwrap_or(true);
            columns[at].data_type = data_type;
            columns[at].nullable = nullable;
            columns[at].kind = ColumnKind::Computed(inline(expr, columns));
        }
        Ok(())
    }

    /// Plans an expression over a table's columns.
    fn table_expr(&self, mut sql: ast::Expr, spelling: &Spelling, schema: &DFSchemaRef) -> Result<Expr> {
        let place = span_of(sql.span());
        let found = refuse::check_expr(&sql, &self.functions)?;
        if let Some((name, place)) = found.volatile
            && self.settings.volatile() == Volatile::Refuse
        {
            return Err(volatile_error(&name).at(place));
        }
        calls::rewrite_expr(&mut sql)?;
        let provider = Provider::new(&self.catalog, &self.functions, spelling);
        let options = config(&self.functions);
        let planner = SqlToRel::new_with_options(&provider, ParserOptions::from(&options.sql_parser));
        let expr =
            planner.sql_to_expr(sql, schema, &mut PlannerContext::new()).map_err(|e| provider.error(e).at(place))?;
        if learn::asks(&expr) {
            let error = Error::user("a model that learns cannot be asked in CREATE TABLE").at(place);
            return Err(error.hint("ask it in a query or view: it is answered as of the row's event time"));
        }
        plan::finish_expr(expr.unalias(), schema, &options).map_err(|e| e.at(place))
    }

    fn watermark(
        &self,
        ast: &CreateTable,
        spelling: &Spelling,
        columns: &mut [ColumnDef],
    ) -> Result<Option<WatermarkDef>> {
        let Some((name, sql)) = &ast.watermark else { return Ok(None) };
        let place = span_of(name.span);
        let Some(at) = columns.iter().position(|c| c.name.eq_ignore_ascii_case(&name.value)) else {
            return Err(unknown_column(&name.value, columns).at(place));
        };
        let tick_us = match &columns[at].data_type {
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
            DataType::Timestamp(..) => 1,
            other => {
                let error = Error::user(format!(
                    "WATERMARK FOR: `{}` is {}, not a TIMESTAMP",
                    columns[at].name,
                    types::name(other)
                ))
                .at(place);
                return Err(error.hint(format!(
                    "make a computed column of it, for example ts AS TO_TIMESTAMP_LTZ({}, 3)",
                    columns[at].name
                )));
            }
        };
        let schema = schema_of(columns)?;
        let expr = self.table_expr(sql.clone(), spelling, &schema)?;
        let data_type = expr.get_type(schema.as_ref()).map_err(from_datafusion)?;
        if !matches!(data_type, DataType::Timestamp(..)) {
            let error = Error::user(format!(
                "the watermark of `{}` is {}, not a TIMESTAMP",
                columns[at].name,
                types::name(&data_type)
            ));
            return Err(error
                .at(span_of(sql.span()))
                .hint(format!("for example {} - INTERVAL '5' SECOND", columns[at].name)));
        }
        Ok(Some(WatermarkDef { column: at, expr, tick_us }))
    }
}

/// The columns known so far, without a relation; computed columns that are not planned yet are left out.
fn schema_of(columns: &[ColumnDef]) -> Result<DFSchemaRef> {
    let fields: Vec<(Option<TableReference>, Arc<Field>)> = columns
        .iter()
        .filter(|c| c.data_type != DataType::Null || !matches!(c.kind, ColumnKind::Computed(_)))
        .map(|c| (None, Arc::new(Field::new(&c.name, c.data_type.clone(), c.nullable))))
        .collect();
    DFSchema::new_with_metadata(fields, Default::default()).map(Arc::new).map_err(from_datafusion)
}

/// Puts the expressions of computed columns in the place of their names.
fn inline(expr: Expr, columns: &[ColumnDef]) -> Expr {
    expr.transform_up(|e| {
        let Expr::Column(column) = &e else { return Ok(Transformed::no(e)) };
        match columns.iter().find(|c| c.name == column.name).map(|c| &c.kind) {
            Some(ColumnKind::Computed(inner)) => Ok(Transformed::yes(inner.clone())),
            _ => Ok(Transformed::no(e)),
        }
    })
    .map(|t| t.data)
    .expect("the closure never fails")
}

/// The error for an unknown column of a table.
pub fn unknown_column(name: &str, columns: &[ColumnDef]) -> Error {
    let error = Error::user(format!("unknown column `{name}`"));
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    match Error::suggest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("there are: {}", names.join(", "))),
    }
}
