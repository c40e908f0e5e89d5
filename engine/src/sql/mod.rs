//! SQL text to optimized logical plans. The only module that has seen a query string.
//!
//! [`parse_script`] reads a file, [`Session`] one piece of text after the other (the shell). Both split the text into
//! statements, run each (`CREATE`, `SET`, …) or plan it (`INSERT`, `SELECT`, …) before they parse the next, and hand out
//! [`Job`]s: what to read and compute (a DataFusion `LogicalPlan`, analyzed and optimized) and where the rows go.
//!
//! Not in a plan, because refused here with the place in the text: `QUALIFY`, right and full joins, cross joins,
//! `INTERSECT`, `EXCEPT`, grouping sets, correlated subqueries, `FOR SYSTEM_TIME AS OF`, `MATCH_RECOGNIZE`.

mod aggregates;
mod calls;
mod catalog;
mod coerce;
mod ddl;
mod define;
mod dialect;
mod errors;
mod fold;
mod functions;
pub(crate) mod interval;
mod learn;
mod legacy;
mod like;
mod ml_predict;
mod model_time;
mod models;
mod names;
mod over;
mod plan;
mod refuse;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod text;
pub mod types;
mod window;
mod zones;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_expr::{Expr, LogicalPlan, TableSource};

use crate::connector::{Registry, Table};
use crate::error::{Error, Span};

pub use aggregates::{AggregateKind, PeltonAggregate};
pub(crate) use errors::{from_datafusion, without_plea};
pub use functions::outside::Function;
pub use learn::{LearnCall, LearnNode};
pub use models::{Call, ModelCall, ModelDef, Reload, with_scorer};
pub use over::{PeltonWindow, WindowKind};
pub(crate) use plan::is_volatile;
pub use session::Session;
pub use settings::{
    FloatSum, KNOWN as KNOWN_SETTINGS, Known as KnownSetting, Settings, Shape as SettingShape, Volatile,
};
pub use window::WindowTvf;

pub use crate::window::WindowSpec;

/// Options of a table that the engine reads itself; they are known on every table, whatever its connector.
pub const ENGINE_TABLE_OPTIONS: &[&str] = &[
    "connector",
    "rows-per-second",
    "history.path",
    "history.commit-interval",
    "history.retention",
    "scan.watermark.idle-timeout",
];

/// A whole text, read.
#[derive(Debug, Default)]
pub struct Script {
    /// What `SET` and `--set` said.
    pub settings: Settings,
    /// The tables that were created and not dropped, in order of creation.
    pub tables: Vec<Arc<TableDef>>,
    /// The queries, in the order of the text.
    pub jobs: Vec<Job>,
    /// True if a volatile function is in one of the jobs, by leave of `'pelton.volatile' = 'allow'`.
    pub volatile: bool,
}

impl Script {
    /// True if rows come without an end, and no query keeps anything of them: each can be answered as soon as it comes.
    pub fn is_endless_and_stateless(&self) -> bool {
        fn keeps_nothing(plan: &LogicalPlan) -> bool {
            use LogicalPlan::*;
            let alone = matches!(
                plan,
                Projection(_) | Filter(_) | SubqueryAlias(_) | TableScan(_) | Union(_) | Values(_) | EmptyRelation(_)
            );
            alone && plan.inputs().into_iter().all(keeps_nothing)
        }
        self.tables.iter().any(|table| !table.bounded) && self.jobs.iter().all(|job| keeps_nothing(&job.plan))
    }
}

/// One query and where its rows go. All jobs of a script share one pass of each source.
#[derive(Debug)]
pub struct Job {
    /// Where the rows go.
    pub target: Target,
    /// Analyzed and optimized. Its columns are those of the target's physical schema, for [`Target::Table`].
    pub plan: LogicalPlan,
    /// The statement in the text.
    pub span: Span,
    /// The statement, as written.
    pub text: String,
    /// True after `EXPLAIN`: show, do not run.
    pub explain: bool,
    /// True after `EXPLAIN PLACEMENT`: show where its steps run.
    pub placement: bool,
    /// True if a volatile function is in the plan.
    pub volatile: bool,
    /// Number of the statement set it came in, counting from 1; 0 outside of one.
    pub set: usize,
    /// The joins of the statement, in the order of the text: place, and text from `JOIN` to the end of its condition.
    pub joins: Vec<(Span, String)>,
    /// Place of the outermost first `GROUP BY`, or of the first aggregate without one.
    pub group_by_span: Option<Span>,
    /// Place of the outermost `ORDER BY`.
    pub order_by_span: Option<Span>,
    /// Place of the first `OVER`.
    pub over_span: Option<Span>,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub enum Target {
    /// `INSERT INTO` or `CREATE TABLE … AS`.
    Table(Arc<TableDef>),
    /// A bare `SELECT`.
    Print,
}

/// A declared table.
#[derive(Debug)]
pub struct TableDef {
    /// What the connector is told: physical columns, options, primary key.
    pub table: Table,
    /// All columns in declared order.
    pub columns: Vec<ColumnDef>,
    /// All columns as a query sees them, in declared order.
    pub schema: SchemaRef,
    /// The `WATERMARK FOR` clause.
    pub watermark: Option<WatermarkDef>,
    /// True if reading it ends by itself.
    pub bounded: bool,
    /// The `CREATE TABLE` statement.
    pub span: Span,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// As declared.
    pub name: String,
    /// Its Arrow type.
    pub data_type: DataType,
    /// False after `NOT NULL` and for keys.
    pub nullable: bool,
    /// Where its values come from.
    pub kind: ColumnKind,
}

/// Where the values of a column come from.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// The outside: index into the schema of [`TableDef::table`].
    Physical(usize),
    /// An expression over physical and metadata columns (columns without a relation), coerced. Earlier computed columns
    /// are already put in.
    Computed(Expr),
    /// `METADATA`: the connector's or the engine's value under this key.
    Metadata {
        /// `partition`, `offset`, or one of the connector's.
        key: String,
    },
}

/// `WATERMARK FOR column AS expr`.
#[derive(Debug, Clone)]
pub struct WatermarkDef {
    /// Index of the event time column in [`TableDef::columns`].
    pub column: usize,
    /// The watermark of a row: a timestamp expression over the table's columns (without a relation), coerced.
    pub expr: Expr,
    /// Precision of the event time column in microseconds: 1000 for `TIMESTAMP(3)`, 1 for `TIMESTAMP(6)` and finer.
    pub tick_us: i64,
}

/// A table in a plan: what `LogicalPlan::TableScan.source` downcasts to.
#[derive(Debug, Clone)]
pub struct PeltonTable {
    /// The table.
    pub def: Arc<TableDef>,
}

impl PeltonTable {
    /// The table behind a scan, if it is one of ours.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<&PeltonTable> {
        source.downcast_ref::<PeltonTable>()
    }
}

impl TableSource for PeltonTable {
    fn schema(&self) -> SchemaRef {
        self.def.schema.clone()
    }
}

/// What a statement did.
#[derive(Debug)]
pub enum Outcome {
    /// Queries to run: one, or those of a statement set.
    Jobs(Vec<Job>),
    /// A table or view was created; for `CREATE TABLE … AS` a job follows in [`Outcome::Jobs`].
    Created(String),
    /// A table or view was dropped.
    Dropped(String),
    /// A setting was set or reset.
    Set {
        /// Its key.
        key: String,
        /// Its new value; `None` after `RESET`.
        value: Option<String>,
    },
    /// Nothing to do, as after `CREATE TABLE IF NOT EXISTS`.
    Nothing,
}

/// Reads a script: settings, tables and jobs. `overrides` (`--set`) win over every `SET` of the text.
pub fn parse_script(text: &str, registry: &Registry, overrides: &[(String, String)]) -> Result<Script, Error> {
    let mut session = Session::with_overrides(registry.clone(), overrides)?;
    let mut jobs = vec![];
    for outcome in session.run(text)? {
        if let Outcome::Jobs(more) = outcome {
            jobs.extend(more);
        }
    }
    let volatile = jobs.iter().any(|job: &Job| job.volatile);
    Ok(Script { settings: session.settings().clone(), tables: session.tables(), jobs, volatile })
}

/// Place of the first word of a job's text that is one of `words`, whatever the case: for what is refused after planning.
/// The job's own place if there is none.
pub fn find_span(job: &Job, words: &[&str]) -> Span {
    text::find(&job.text, job.span, words)
}
