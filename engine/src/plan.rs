//! The physical planner: DataFusion's logical plan to our graph of steps.
//!
//! It follows each column's meaning upwards (event time, window bound), because that decides what may be grouped. The
//! columns of a window table function stay virtual as long as nothing but a `GROUP BY` looks at them: rows are then put
//! into panes instead of being repeated per window.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DFSchemaRef, JoinType, NullEquality, TableReference};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::{Aggregate, Expr, FetchType, Join, LogicalPlan, SkipType, TableScan};
use pelton_kernels::aggregate::{AggregateKind as Kernel, AggregateSpec};
use pelton_kernels::program::{AggregateCall, Cpu, Program};

use crate::connector::Registry;
use crate::error::{Error, Result, Span};
use crate::expr::{CODED, Compiled, Select, coded, compile, plan_error};
use crate::graph::{Graph, Input, Load, SinkNode, SourceNode};
use crate::operators::{
    Assign, Enrich, GroupColumn, JoinKind, SelectStep, SessionAggregate, Sort, WindowAggregate, WindowExpand,
};
use crate::panes::Panes;
use crate::predicate::Predicate;
use crate::sql::{
    AggregateKind, ColumnKind, FloatSum, Job, PeltonAggregate, PeltonTable, Script, TableDef, Target, WindowTvf,
};
use crate::window::WindowSpec;

/// What a column of a relation means for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Plain,
    /// The event time, with its tick in µs.
    Time {
        tick: i64,
    },
    /// Start of a window; `size` if all windows have the same.
    WindowStart {
        tick: i64,
        size: Option<i64>,
    },
    WindowEnd {
        tick: i64,
    },
    WindowTime {
        tick: i64,
    },
}

impl Meaning {
    /// How far the end of the row's window is beyond the column's value, in µs; `None` if the column tells no window.
    fn to_window_end(self) -> Option<i64> {
        match self {
            Meaning::WindowEnd { .. } => Some(0),
            Meaning::WindowTime { tick } => Some(tick),
            Meaning::WindowStart { size, .. } => size,
            Meaning::Time { .. } | Meaning::Plain => None,
        }
    }
}

/// Where a logical column is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In this column of the batch.
    Column(usize),
    /// Nowhere yet: a bound of the window that the row will be put into.
    Virtual(GroupColumn),
}

/// A window that rows have not been put into yet.
#[derive(Clone, Debug)]
struct Pending {
    spec: WindowSpec,
    /// Physical column of the event time.
    time: usize,
    tick: i64,
    bound_type: DataType,
    session_keys: Vec<Expr>,
    span: Span,
}

/// A planned relation: where its rows come from and what they look like.
#[derive(Clone)]
struct Relation {
    from: Vec<Input>,
    /// Logical columns.
    schema: DFSchemaRef,
    /// For each logical column.
    places: Vec<Place>,
    /// For each logical column.
    meanings: Vec<Meaning>,
    /// Columns of the batches; hidden ones have names of their own.
    physical: Vec<(Option<TableReference>, FieldRef)>,
    pending: Option<Pending>,
    bounded: bool,
    /// True if each row still is one row of a source partition.
    ordered: bool,
}

impl Relation {
    fn df(&self) -> Result<DFSchema> {
        DFSchema::new_with_metadata(self.physical.clone(), Default::default()).map_err(plan_error)
    }

    fn arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.physical.iter().map(|(_, f)| f.clone()).collect::<Vec<_>>()))
    }

    /// Index of the logical column that `expr` plainly is.
    fn column(&self, expr: &Expr) -> Option<usize> {
        match expr {
            Expr::Alias(alias) => self.column(&alias.expr),
            Expr::Column(column) => self.schema.maybe_index_of_column(column),
            _ => None,
        }
    }

    fn uses_virtual(&self, expr: &Expr) -> bool {
        expr.column_refs()
            .iter()
            .any(|c| self.schema.maybe_index_of_column(c).is_some_and(|i| matches!(self.places[i], Place::Virtual(_))))
    }
}

/// A stretch of event time, µs: results are kept whose window ends in `(from, to]`; rows of queries without windows whose
/// event time is in `[from, to)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Beginning, if any.
    pub from: Option<i64>,
    /// End, if any.
    pub to: Option<i64>,
}

/// Plans all jobs of a script into one graph. `slots` is how many threads may push at once.
pub fn plan(script: &Script, registry: &Registry, slots: usize, range: TimeRange) -> Result<Graph> {
    let jobs: Vec<&Job> = script.jobs.iter().filter(|j| !j.explain).collect();
    plan_jobs(&jobs, script, registry, slots, range)
}

/// Plans these jobs into one graph.
pub fn plan_jobs(jobs: &[&Job], script: &Script, registry: &Registry, slots: usize, range: TimeRange) -> Result<Graph> {
    let mut planner = Planner::new(script, registry, slots);
    planner.range = range;
    for job in jobs {
        planner.note_scans(&job.plan)?;
    }
    let mut printed = 0;
    for job in jobs {
        planner.joins = job.joins.clone();
        planner.group_by = job.group_by_span.unwrap_or(job.span);
        planner.order_by = job.order_by_span.unwrap_or(job.span);
        let relation = planner.relation(&job.plan).map_err(|e| e.at(job.span))?;
        let name = match &job.target {
            Target::Table(def) => def.table.name.clone(),
            Target::Print => {
                printed += 1;
                if printed == 1 { "result".to_string() } else { format!("result{printed}") }
            }
        };
        planner.sink(relation, Some(job.target.clone()), name)?;
    }
    Ok(planner.graph)
}

struct Planner<'a> {
    graph: Graph,
    script: &'a Script,
    registry: &'a Registry,
    slots: usize,
    props: ExecutionProps,
    joins: Vec<(Span, String)>,
    group_by: Span,
    order_by: Span,
    /// Rows to skip and to fetch, on the way from a `LIMIT` down to its `ORDER BY`.
    limit: Option<(usize, Option<usize>)>,
    range: TimeRange,
    /// STRINGs may be read as dictionaries.
    coded: bool,
}

impl<'a> Planner<'a> {
    fn new(script: &'a Script, registry: &'a Registry, slots: usize) -> Self {
        Planner {
            graph: Graph::default(),
            script,
            registry,
            slots,
            props: ExecutionProps::new(),
            joins: vec![],
            group_by: Span::default(),
            order_by: Span::default(),
            limit: None,
            range: TimeRange::default(),
            coded: true,
        }
    }

    /// Finds out which columns of which tables are read, over all queries, before the first is planned.
    fn note_scans(&mut self, plan: &LogicalPlan) -> Result<()> {
        let mut scans: Vec<TableScan> = vec![];
        self.collect_streams(plan, &mut scans);
        for scan in scans {
            let Some(table) = table_of(&scan) else { continue };
            let wanted: Vec<usize> =
                scan.projection.clone().unwrap_or_else(|| (0..table.schema.fields().len()).collect());
            let at = match self
                .graph
                .sources
                .iter()
                .position(|s| s.table.as_ref().is_some_and(|t| t.table.name == table.table.name))
            {
                Some(at) => at,
                None => {
                    let columns: BTreeSet<usize> = table.watermark.iter().map(|w| w.column).collect();
                    self.graph.sources.push(SourceNode {
                        table: Some(table.clone()),
                        constant: None,
                        columns,
                        schema: Arc::new(Schema::empty()),
                        outputs: vec![],
                    });
                    self.graph.sources.len() - 1
                }
            };
            let source = &mut self.graph.sources[at];
            source.columns.extend(wanted);
            let dictionaries = match self.coded {
                true => self.registry.of(&table.table.options)?.dictionaries(&table.table),
                false => vec![],
            };
            let field = |c: &usize| match &table.columns[*c].kind {
                ColumnKind::Physical(at) if dictionaries.contains(at) => Arc::new(coded(table.schema.field(*c))),
                _ => table.schema.fields()[*c].clone(),
            };
            source.schema = Arc::new(Schema::new(source.columns.iter().map(field).collect::<Vec<FieldRef>>()));
        }
        Ok(())
    }

    /// Scans of the plan, without the sides of joins that are loaded as tables.
    fn collect_streams(&self, plan: &LogicalPlan, scans: &mut Vec<TableScan>) {
        match plan {
            LogicalPlan::TableScan(scan) => scans.push(scan.clone()),
            LogicalPlan::Join(join) => match self.lookup_side(join) {
                Some(Side::Right) => self.collect_streams(&join.left, scans),
                Some(Side::Left) => self.collect_streams(&join.right, scans),
                None => {}
            },
            other => {
                for input in other.inputs() {
                    self.collect_streams(input, scans);
                }
            }
        }
    }

    fn relation(&mut self, plan: &LogicalPlan) -> Result<Relation> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(projection) => {
                let input = self.relation(&projection.input)?;
                self.project(input, None, &projection.expr, &projection.schema)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.relation(&filter.input)?;
                let input = if input.uses_virtual(&filter.predicate) { self.expand(input)? } else { input };
                self.filter(input, &filter.predicate)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let mut relation = self.relation(&alias.input)?;
                relation.schema = alias.schema.clone();
                for (i, place) in relation.places.iter().enumerate() {
                    if let Place::Column(c) = place {
                        let (qualifier, field) = alias.schema.qualified_field(i);
                        let field = as_coded(field.clone(), &relation.physical[*c].1);
                        relation.physical[*c] = (qualifier.cloned(), field);
                    }
                }
                Ok(relation)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|i| self.relation(i)).collect::<Result<Vec<_>>>()?;
                self.union(inputs, &union.schema)
            }
            LogicalPlan::Sort(sort) => {
                let (skip, fetch) = self.limit.take().unwrap_or((0, sort.fetch));
                let input = self.relation(&sort.input)?;
                self.sort(input, &sort.expr, skip, fetch)
            }
            LogicalPlan::Limit(limit) => {
                let unclear = || Error::user("LIMIT and OFFSET take a constant number").at(self.order_by);
                let SkipType::Literal(skip) = limit.get_skip_type().map_err(plan_error)? else { return Err(unclear()) };
                let FetchType::Literal(fetch) = limit.get_fetch_type().map_err(plan_error)? else {
                    return Err(unclear());
                };
                // A limit is the business of the sort below it, also below a projection that drops the sort's columns.
                if sorted_below(&limit.input) {
                    self.limit = Some((skip, fetch));
                    return self.relation(&limit.input);
                }
                let input = self.relation(&limit.input)?;
                self.sort(input, &[], skip, fetch)
            }
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<WindowTvf>() {
                Some(tvf) => self.window(tvf),
                None => Err(Error::user(format!("not supported yet: {}", extension.node.name()))),
            },
            LogicalPlan::EmptyRelation(empty) => {
                let rows = usize::from(empty.produce_one_row);
                let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
                let schema: SchemaRef = Arc::new(empty.schema.as_arrow().clone());
                let columns =
                    schema.fields().iter().map(|f| arrow::array::new_null_array(f.data_type(), rows)).collect();
                let batch = arrow::array::RecordBatch::try_new_with_options(schema, columns, &options)
                    .map_err(crate::batch::internal)?;
                self.constant(batch, &empty.schema)
            }
            LogicalPlan::Values(values) => {
                let schema: SchemaRef = Arc::new(values.schema.as_arrow().clone());
                let nothing = arrow::array::RecordBatch::try_new_with_options(
                    Arc::new(Schema::empty()),
                    vec![],
                    &arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
                )
                .map_err(crate::batch::internal)?;
                let mut columns = vec![];
                for (i, field) in schema.fields().iter().enumerate() {
                    let mut cells = vec![];
                    for row in &values.values {
                        let cell = compile(&row[i], &DFSchema::empty(), &self.props)?;
                        let value = cell.evaluate(&nothing).and_then(|v| v.into_array(1)).map_err(plan_error)?;
                        cells.push(arrow::compute::cast(&value, field.data_type()).map_err(crate::batch::internal)?);
                    }
                    let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(|c| c.as_ref()).collect();
                    columns.push(arrow::compute::concat(&cells).map_err(crate::batch::internal)?);
                }
                let batch = arrow::array::RecordBatch::try_new(schema, columns).map_err(crate::batch::internal)?;
                self.constant(batch, &values.schema)
            }
            LogicalPlan::Distinct(_) => Err(Error::user("DISTINCT ON is not supported").at(self.group_by)),
            LogicalPlan::Window(_) => Err(Error::user("OVER windows are not supported yet")),
            other => Err(Error::user(format!("not supported yet in a pipeline: {}", other.display()))),
        }
    }

    fn constant(&mut self, batch: arrow::array::RecordBatch, schema: &DFSchemaRef) -> Result<Relation> {
        self.graph.sources.push(SourceNode {
            table: None,
            schema: batch.schema(),
            constant: Some(batch),
            columns: BTreeSet::new(),
            outputs: vec![],
        });
        let n = schema.fields().len();
        Ok(Relation {
            from: vec![Input::Source(self.graph.sources.len() - 1)],
            schema: schema.clone(),
            places: (0..n).map(Place::Column).collect(),
            meanings: vec![Meaning::Plain; n],
            physical: schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect(),
            pending: None,
            bounded: true,
            ordered: true,
        })
    }

    fn scan(&mut self, scan: &TableScan) -> Result<Relation> {
        let table = table_of(scan).ok_or_else(|| Error::user(format!("unknown table {}", scan.table_name)))?;
        let source = self
            .graph
            .sources
            .iter()
            .position(|s| s.table.as_ref().is_some_and(|t| t.table.name == table.table.name))
            .expect("scans were noted before");
        let emitted: Vec<usize> = self.graph.sources[source].columns.iter().copied().collect();
        let wanted: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..table.schema.fields().len()).collect());
        let fields = scan.projected_schema.iter().map(|(q, f)| (q.cloned(), f.clone())).collect::<Vec<_>>();
        let mut physical: Vec<(Option<TableReference>, FieldRef)> = emitted
            .iter()
            .map(|c| {
                (
                    None,
                    Arc::new(
                        table.schema.fields()[*c].as_ref().clone().with_name(format!("__{}_{c}", scan.table_name)),
                    ),
                )
            })
            .collect();
        let places: Vec<usize> =
            wanted.iter().map(|w| emitted.binary_search(w).expect("scans were noted before")).collect();
        let emits = self.graph.sources[source].schema.clone();
        for (place, (qualifier, field)) in places.iter().zip(fields) {
            physical[*place] = (qualifier, as_coded(field, emits.field(*place)));
        }
        let meanings = wanted
            .iter()
            .map(|w| match &table.watermark {
                Some(mark) if mark.column == *w => Meaning::Time { tick: mark.tick_us },
                _ => Meaning::Plain,
            })
            .collect();
        Ok(Relation {
            from: vec![Input::Source(source)],
            schema: scan.projected_schema.clone(),
            places: places.into_iter().map(Place::Column).collect(),
            meanings,
            physical,
            pending: None,
            bounded: table.bounded,
            ordered: true,
        })
    }

    fn filter(&mut self, input: Relation, predicate: &Expr) -> Result<Relation> {
        let select = Select {
            predicate: Some(Predicate::new(compile(predicate, &input.df()?, &self.props)?)),
            columns: None,
            schema: input.arrow(),
            operator: "WHERE".to_string(),
        };
        let from = self.graph.add(Box::new(SelectStep(select)), input.from.clone());
        Ok(Relation { from: vec![from], ..input })
    }

    /// Projects to `exprs`, named as in `schema`. Virtual columns that are merely passed on stay virtual.
    fn project(
        &mut self,
        input: Relation,
        predicate: Option<&Expr>,
        exprs: &[Expr],
        schema: &DFSchemaRef,
    ) -> Result<Relation> {
        let computes = |r: &Relation, e: &Expr| r.uses_virtual(e) && r.column(e).is_none();
        let input = if exprs.iter().any(|e| computes(&input, e)) { self.expand(input)? } else { input };
        let df = input.df()?;
        let (mut places, mut meanings, mut columns, mut physical) = (vec![], vec![], vec![], vec![]);
        for (i, expr) in exprs.iter().enumerate() {
            let source = input.column(expr);
            meanings.push(source.map_or(Meaning::Plain, |s| input.meanings[s]));
            if let Some(Place::Virtual(bound)) = source.map(|s| input.places[s]) {
                places.push(Place::Virtual(bound));
                continue;
            }
            let (qualifier, field) = schema.qualified_field(i);
            let compiled = compile(expr, &df, &self.props)?;
            // The planner's idea of the type holds unless the function knows better.
            let data_type = compiled.data_type(df.as_arrow()).map_err(plan_error)?;
            places.push(Place::Column(columns.len()));
            columns.push(compiled);
            let nullable = true;
            let made = Arc::new(Field::new(field.name(), data_type, nullable));
            let made = match source.map(|s| input.places[s]) {
                Some(Place::Column(c)) => as_coded(made, &input.physical[c].1),
                _ => made,
            };
            physical.push((qualifier.cloned(), made));
        }
        let mut pending = input.pending.clone();
        if let Some(p) = &mut pending {
            // The event time goes along, even if the query does not name it.
            let field = &input.physical[p.time].1;
            columns
                .push(Arc::new(datafusion_physical_expr::expressions::Column::new(field.name(), p.time)) as Compiled);
            physical
                .push((None, Arc::new(field.as_ref().clone().with_name(format!("__time_{}", self.graph.nodes.len())))));
            p.time = columns.len() - 1;
        }
        let arrow: SchemaRef =
            Arc::new(Schema::new(physical.iter().map(|(_, f): &(_, FieldRef)| f.clone()).collect::<Vec<_>>()));
        let select = Select {
            predicate: predicate.map(|p| compile(p, &df, &self.props)).transpose()?.map(Predicate::new),
            columns: Some(columns),
            schema: arrow,
            operator: "SELECT".to_string(),
        };
        let from = self.graph.add(Box::new(SelectStep(select)), input.from.clone());
        Ok(Relation { from: vec![from], schema: schema.clone(), places, meanings, physical, pending, ..input })
    }

    /// Makes dictionaries the STRINGs that the query knows.
    fn decode(&mut self, input: Relation) -> Relation {
        if !input.physical.iter().any(|(_, f)| f.metadata().contains_key(CODED)) {
            return input;
        }
        let mut physical = input.physical.clone();
        let columns = physical.iter_mut().enumerate().map(|(i, (_, field))| {
            let column: Compiled = Arc::new(datafusion_physical_expr::expressions::Column::new(field.name(), i));
            if !field.metadata().contains_key(CODED) {
                return column;
            }
            *field = Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()));
            Arc::new(datafusion_physical_expr::expressions::CastExpr::new(column, DataType::Utf8, None))
        });
        let columns = Some(columns.collect());
        let mut relation = Relation { physical, ..input };
        let select = Select { predicate: None, columns, schema: relation.arrow(), operator: "SELECT".to_string() };
        relation.from = vec![self.graph.add(Box::new(SelectStep(select)), relation.from.clone())];
        relation
    }

    /// Makes virtual window columns real, by a row per window.
    fn expand(&mut self, input: Relation) -> Result<Relation> {
        let Some(pending) = input.pending.clone() else { return Ok(input) };
        let Some(panes) = Panes::of(&pending.spec) else {
            return Err(Error::user("a SESSION window must be grouped by its window and its PARTITION BY columns")
                .at(pending.span)
                .hint(
                    "GROUP BY window_start, window_end and the PARTITION BY columns directly over the table function",
                ));
        };
        let n = input.physical.len();
        let bounds = [GroupColumn::WindowStart, GroupColumn::WindowEnd, GroupColumn::WindowTime];
        let mut relation = Relation { pending: None, ..input };
        for (b, bound) in bounds.iter().enumerate() {
            let mut named =
                (None, Arc::new(Field::new(format!("__window_{n}_{b}"), pending.bound_type.clone(), false)));
            for (i, place) in relation.places.iter_mut().enumerate() {
                if *place == Place::Virtual(*bound) {
                    *place = Place::Column(n + b);
                    let (qualifier, field) = relation.schema.qualified_field(i);
                    named = (qualifier.cloned(), Arc::new(Field::new(field.name(), pending.bound_type.clone(), false)));
                }
            }
            relation.physical.push(named);
        }
        let step = WindowExpand {
            panes,
            time: pending.time,
            tick: pending.tick,
            bound_type: pending.bound_type.clone(),
            schema: relation.arrow(),
            text: pending.spec.to_string(),
        };
        let from = self.graph.add(Box::new(step), relation.from.clone());
        relation.from = vec![from];
        Ok(relation)
    }

    fn window(&mut self, tvf: &WindowTvf) -> Result<Relation> {
        let input = self.relation(&tvf.input)?;
        let input = self.expand(input)?;
        let time = input
            .column(&tvf.time)
            .ok_or_else(|| Error::user("the second argument of a window function is a column").at(tvf.span))?;
        let (Meaning::Time { tick } | Meaning::WindowTime { tick }) = input.meanings[time] else {
            let name = tvf.schema.field(time).name().clone();
            return Err(Error::user(format!("column {name} is not an event time: it has no watermark here"))
                .at(tvf.span)
                .hint(format!("declare WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND in CREATE TABLE and pass the column on unchanged")));
        };
        let Place::Column(physical) = input.places[time] else { unreachable!("expanded above") };
        let n = tvf.schema.fields().len();
        let bound_type = tvf.schema.field(n - 1).data_type().clone();
        let size = match tvf.window {
            WindowSpec::Tumble { size_us, .. } | WindowSpec::Hop { size_us, .. } => Some(size_us),
            _ => None,
        };
        let mut places = input.places.clone();
        let mut meanings = input.meanings.clone();
        for (bound, meaning) in [
            (GroupColumn::WindowStart, Meaning::WindowStart { tick, size }),
            (GroupColumn::WindowEnd, Meaning::WindowEnd { tick }),
            (GroupColumn::WindowTime, Meaning::WindowTime { tick }),
        ] {
            places.push(Place::Virtual(bound));
            meanings.push(meaning);
        }
        let pending = Pending {
            spec: tvf.window,
            time: physical,
            tick,
            bound_type,
            session_keys: tvf.session_keys.clone(),
            span: tvf.span,
        };
        Ok(Relation { schema: tvf.schema.clone(), places, meanings, pending: Some(pending), ..input })
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Relation> {
        let mut input = self.relation(&aggregate.input)?;
        // A key that is named twice is one column of the plan.
        let mut groups: Vec<Expr> = vec![];
        for expr in &aggregate.group_expr {
            if !groups.contains(expr) {
                groups.push(expr.clone());
            }
        }
        let groups = &groups;
        let found = aggregate.schema.fields().len();
        if found != groups.len() + aggregate.aggr_expr.len() {
            return Err(Error::user("two expressions of GROUP BY have one name")
                .at(self.group_by)
                .hint("name each once"));
        }
        let meaning = |r: &Relation, e: &Expr| r.column(e).map_or(Meaning::Plain, |c| r.meanings[c]);
        // Virtual columns that are looked at other than as a group, and groups that do not name the window, need rows per window.
        if let Some(pending) = &input.pending {
            let cumulates = matches!(pending.spec, WindowSpec::Cumulate { .. });
            let names_window = groups.iter().any(|e| match meaning(&input, e) {
                Meaning::WindowEnd { .. } | Meaning::WindowTime { .. } => true,
                Meaning::WindowStart { .. } => !cumulates,
                _ => false,
            });
            let looked_at = aggregate.aggr_expr.iter().any(|e| input.uses_virtual(e))
                || groups.iter().any(|e| input.uses_virtual(e) && input.column(e).is_none());
            if looked_at || !names_window {
                input = self.expand(input)?;
            }
        }
        let df = input.df()?;
        // Columns of the aggregate's input: time or window, keys, arguments, filters, each once.
        let mut columns: Vec<Compiled> = vec![];
        let mut fields: Vec<Field> = vec![];
        let mut seen: Vec<String> = vec![];
        let mut add = |expr: Compiled, text: String| -> Result<usize> {
            if let Some(at) = seen.iter().position(|s| *s == text) {
                return Ok(at);
            }
            let data_type = expr.data_type(df.as_arrow()).map_err(plan_error)?;
            fields.push(Field::new(format!("c{}", columns.len()), data_type, true));
            columns.push(expr);
            seen.push(text);
            Ok(columns.len() - 1)
        };
        let mut group = vec![];
        let mut keys = vec![];
        for expr in groups {
            if let Some(Place::Virtual(bound)) = input.column(expr).map(|c| input.places[c]) {
                group.push(bound);
                continue;
            }
            let compiled = compile(expr, &df, &self.props)?;
            let data_type = compiled.data_type(df.as_arrow()).map_err(plan_error)?;
            let at = add(compiled.clone(), compiled.to_string())?;
            let key = keys.iter().position(|(k, _)| *k == at).unwrap_or_else(|| {
                keys.push((at, data_type));
                keys.len() - 1
            });
            group.push(GroupColumn::Key(key));
        }
        let mut ordered = false;
        let mut calls = vec![];
        for expr in &aggregate.aggr_expr {
            let call = aggregate_call(expr)?;
            let kind = match call.kind {
                AggregateKind::FirstValue | AggregateKind::LastValue if !input.ordered => {
                    return Err(Error::user(
                        "FIRST_VALUE and LAST_VALUE need rows in a total order, which rows of an aggregate do not have",
                    )
                    .at(self.group_by)
                    .hint("take FIRST_VALUE in the inner query, or use MIN or MAX"));
                }
                AggregateKind::ApproxPercentile => Kernel::ApproxPercentile {
                    p: call.percentile.ok_or_else(|| {
                        Error::user("APPROX_PERCENTILE takes a constant between 0 and 1 as its second argument")
                            .at(self.group_by)
                    })?,
                },
                kind => kernel_kind(kind),
            };
            ordered |= matches!(kind, Kernel::FirstValue | Kernel::LastValue);
            let mut args = vec![];
            let mut arg_types = vec![];
            for arg in &call.args {
                let compiled = compile(arg, &df, &self.props)?;
                arg_types.push(compiled.data_type(df.as_arrow()).map_err(plan_error)?);
                args.push(add(compiled.clone(), compiled.to_string())?);
            }
            let filter = match (&kind, call.respect_nulls) {
                // As in Flink, NULLs are passed over unless the query says RESPECT NULLS.
                (Kernel::FirstValue | Kernel::LastValue, false) => {
                    let there = call.args[0].clone().is_not_null();
                    Some(call.filter.map_or(there.clone(), |f| f.clone().and(there)))
                }
                _ => call.filter.cloned(),
            };
            let filter = match filter {
                None => None,
                Some(filter) => {
                    let compiled = compile(&filter, &df, &self.props)?;
                    Some(add(compiled.clone(), compiled.to_string())?)
                }
            };
            let fast_float = self.script.settings.float_sum() == FloatSum::Fast;
            let spec = AggregateSpec { kind, distinct: call.distinct, arg_types, fast_float };
            calls.push(AggregateCall { spec, args, filter });
        }
        let tick_of = |m: Meaning| match m {
            Meaning::Time { tick }
            | Meaning::WindowStart { tick, .. }
            | Meaning::WindowEnd { tick }
            | Meaning::WindowTime { tick } => tick,
            Meaning::Plain => 1,
        };
        let column_of = |index: usize| -> Compiled {
            Arc::new(datafusion_physical_expr::expressions::Column::new(df.field(index).name(), index))
        };
        // How rows find their window.
        let (assign, tick, text) = match &input.pending {
            Some(pending) => {
                let time = add(column_of(pending.time), "\u{0}time".to_string())?;
                match Panes::of(&pending.spec) {
                    Some(panes) => (Some(Assign::Panes { panes, time }), pending.tick, pending.spec.to_string()),
                    None => {
                        self.check_session(&input, pending, groups)?;
                        (Some(Assign::Carried { column: time, add: 0 }), pending.tick, pending.spec.to_string())
                    }
                }
            }
            None => {
                let carried = groups.iter().find_map(|e| {
                    let m = meaning(&input, e);
                    match m {
                        Meaning::WindowEnd { .. } => Some((e, 0, m)),
                        _ => None,
                    }
                });
                let carried = carried.or_else(|| {
                    groups.iter().find_map(|e| match meaning(&input, e) {
                        m @ Meaning::WindowTime { tick } => Some((e, tick, m)),
                        m @ Meaning::WindowStart { size: Some(size), .. } => Some((e, size, m)),
                        _ => None,
                    })
                });
                match carried {
                    Some((e, plus, m)) => {
                        let compiled = compile(e, &df, &self.props)?;
                        let column = add(compiled.clone(), compiled.to_string())?;
                        (Some(Assign::Carried { column, add: plus }), tick_of(m), "GROUP BY window".to_string())
                    }
                    None if input.bounded => (Some(Assign::Whole), 1, "GROUP BY".to_string()),
                    None => (None, 1, String::new()),
                }
            }
        };
        let Some(assign) = assign else {
            return Err(Error::user("GROUP BY without a window over an unbounded source never ends: not supported yet")
                .at(self.group_by)
                .hint("group by window_start, window_end of a TUMBLE, HOP, CUMULATE or SESSION table function, or bound the source"));
        };
        let n = columns.len();
        for call in &mut calls {
            if matches!(call.spec.kind, Kernel::FirstValue | Kernel::LastValue) {
                call.args.extend([n, n + 1, n + 2]);
                call.spec.arg_types.extend([DataType::Int64, DataType::UInt32, DataType::Int64]);
            }
        }
        let program = Arc::new(Program { keys, aggregates: calls });
        let select = Select {
            predicate: None,
            columns: Some(columns),
            schema: Arc::new(Schema::new(fields)),
            operator: "GROUP BY".to_string(),
        };
        let before = self.graph.add(Box::new(SelectStep(select)), input.from.clone());
        let schema: SchemaRef = Arc::new(Schema::new(
            aggregate.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        for call in &program.aggregates {
            call.spec.build().map_err(|e| Error::user(e.to_string()).at(self.group_by))?;
        }
        let operator: Box<dyn crate::operators::Operator> = match (&assign, &input.pending) {
            (Assign::Carried { column, .. }, Some(pending)) => {
                let WindowSpec::Session { gap_us } = pending.spec else { unreachable!("only sessions have no panes") };
                Box::new(SessionAggregate::new(
                    program, *column, gap_us, tick, ordered, group, schema, text, self.slots,
                )?)
            }
            _ => Box::new(WindowAggregate::new(
                program,
                Arc::new(Cpu),
                assign,
                tick,
                ordered,
                group,
                schema,
                text,
                self.slots,
            )),
        };
        let from = self.graph.add(operator, vec![before]);
        let count = aggregate.schema.fields().len();
        let meanings = (0..count)
            .map(|i| {
                groups.get(i).map_or(Meaning::Plain, |e| match meaning(&input, e) {
                    // The event time of a row is no event time of its group.
                    Meaning::Time { .. } => Meaning::Plain,
                    m => m,
                })
            })
            .collect();
        Ok(Relation {
            from: vec![from],
            schema: aggregate.schema.clone(),
            places: (0..count).map(Place::Column).collect(),
            meanings,
            physical: aggregate
                .schema
                .iter()
                .map(|(q, f)| (q.cloned(), Arc::new(f.as_ref().clone().with_nullable(true))))
                .collect(),
            pending: None,
            bounded: input.bounded,
            ordered: false,
        })
    }

    /// Sessions are grouped by exactly what they are partitioned by.
    fn check_session(&self, input: &Relation, pending: &Pending, groups: &[Expr]) -> Result<()> {
        let names = |exprs: &mut dyn Iterator<Item = &Expr>| -> BTreeSet<String> {
            exprs
                .map(|e| match e {
                    Expr::Column(c) => c.name.to_lowercase(),
                    Expr::Alias(a) => a.expr.to_string().to_lowercase(),
                    e => e.to_string().to_lowercase(),
                })
                .collect()
        };
        let plain = |e: &&Expr| !input.column(e).is_some_and(|c| matches!(input.places[c], Place::Virtual(_)));
        let by = names(&mut groups.iter().filter(plain));
        let keys = names(&mut pending.session_keys.iter());
        if by != keys {
            return Err(Error::user(format!(
                "a SESSION window is grouped by its PARTITION BY columns ({}) and its window, not by ({})",
                keys.into_iter().collect::<Vec<_>>().join(", "),
                by.into_iter().collect::<Vec<_>>().join(", ")
            ))
            .at(pending.span)
            .hint("write SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), gap) with the same keys as in GROUP BY"));
        }
        Ok(())
    }

    /// Which side of a join can be loaded as a table.
    fn lookup_side(&self, join: &Join) -> Option<Side> {
        let (left, right) = (self.is_table(&join.left), self.is_table(&join.right));
        let has_watermark = |p: &LogicalPlan| {
            let mut found = false;
            let _ = p.apply(|n| {
                if let LogicalPlan::TableScan(scan) = n {
                    found |= table_of(scan).is_some_and(|t| t.watermark.is_some());
                }
                Ok(TreeNodeRecursion::Continue)
            });
            found
        };
        match join.join_type {
            JoinType::Left => right.then_some(Side::Right),
            JoinType::Right => left.then_some(Side::Left),
            JoinType::Inner if right && left && has_watermark(&join.right) && !has_watermark(&join.left) => {
                Some(Side::Left)
            }
            JoinType::Inner if right => Some(Side::Right),
            JoinType::Inner if left => Some(Side::Left),
            _ => None,
        }
    }

    /// A bounded table of files, possibly filtered and projected, or constant rows.
    fn is_table(&self, plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::TableScan(scan) => table_of(scan).is_some_and(|t| {
                t.bounded && self.registry.of(&t.table.options).is_ok_and(|c| c.name() == "filesystem")
            }),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => true,
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Aggregate(_) => plan.inputs().iter().all(|i| self.is_table(i)),
            _ => false,
        }
    }

    fn join(&mut self, join: &Join) -> Result<Relation> {
        let place = self.joins.first().map(|(s, _)| *s).unwrap_or_default();
        let Some(side) = self.lookup_side(join) else {
            return Err(Error::user("a join of two streams is not supported yet")
                .at(place)
                .hint("one side must be a bounded 'filesystem' table without windows; for LEFT JOIN the right one"));
        };
        if join.on.is_empty() {
            return Err(Error::user("a join needs at least one equality between the stream and the table").at(place));
        }
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            _ => JoinKind::Left,
        };
        let (stream_plan, table_plan) = match side {
            Side::Right => (&join.left, &join.right),
            Side::Left => (&join.right, &join.left),
        };
        let (stream_keys, table_keys): (Vec<Expr>, Vec<Expr>) = match side {
            Side::Right => join.on.iter().cloned().unzip(),
            Side::Left => join.on.iter().cloned().map(|(l, r)| (r, l)).unzip(),
        };
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(Error::user("IS NOT DISTINCT FROM in a join is not supported yet").at(place));
        }
        // The table, as a graph of its own.
        let mut planner = Planner::new(self.script, self.registry, self.slots);
        planner.coded = false;
        planner.note_scans(table_plan)?;
        let table = planner.relation(table_plan)?;
        let table = planner.expand(table)?;
        let table_df = table.df()?;
        let table_keys = table_keys.iter().map(|k| compile(k, &table_df, &self.props)).collect::<Result<Vec<_>>>()?;
        let table_arrow = table.arrow();
        planner.graph.add_sink(SinkNode {
            target: None,
            name: table_plan.display().to_string(),
            schema: table_arrow,
            inputs: table.from.clone(),
            window_end: None,
        });
        let slot = Arc::new(OnceLock::new());
        self.graph.loads.push(Load { graph: planner.graph, keys: table_keys, slot: slot.clone() });

        let stream = self.relation(stream_plan)?;
        let looks = stream_keys.iter().chain(&join.filter).any(|e| stream.uses_virtual(e));
        let stream = if looks { self.expand(stream)? } else { stream };
        let stream_df = stream.df()?;
        let keys = stream_keys.iter().map(|k| compile(k, &stream_df, &self.props)).collect::<Result<Vec<_>>>()?;
        let n = stream.physical.len();
        let mut physical = stream.physical.clone();
        // Columns that nobody names have names of their own, which must differ if a table is joined with itself.
        let hidden = |f: &FieldRef| f.as_ref().clone().with_name(format!("{}_{n}", f.name()));
        let of_table = table.physical.iter().map(|(q, f)| match q {
            None if f.name().starts_with("__") => (None, Arc::new(hidden(f))),
            q => (q.clone(), f.clone()),
        });
        let of_table: Vec<(Option<TableReference>, FieldRef)> = of_table.collect();
        physical.extend(of_table.iter().map(|(q, f)| (q.clone(), Arc::new(f.as_ref().clone().with_nullable(true)))));
        let shifted = table.places.iter().map(|p| match p {
            Place::Column(c) => Place::Column(n + c),
            other => *other,
        });
        let plain = vec![Meaning::Plain; table.places.len()];
        let (places, meanings) = match side {
            Side::Right => (
                stream.places.iter().copied().chain(shifted).collect::<Vec<_>>(),
                stream.meanings.iter().copied().chain(plain).collect::<Vec<_>>(),
            ),
            Side::Left => (
                shifted.chain(stream.places.iter().copied()).collect(),
                plain.into_iter().chain(stream.meanings.iter().copied()).collect(),
            ),
        };
        let mut relation = Relation { schema: join.schema.clone(), places, meanings, physical, ..stream };
        let filter = join.filter.as_ref().map(|f| compile(f, &relation.df()?, &self.props)).transpose()?;
        let step = Enrich {
            keys,
            kind,
            filter,
            table: slot,
            schema: relation.arrow(),
            text: table_plan.display().to_string(),
        };
        let from = self.graph.add(Box::new(step), relation.from.clone());
        relation.from = vec![from];
        Ok(relation)
    }

    fn union(&mut self, inputs: Vec<Relation>, schema: &DFSchemaRef) -> Result<Relation> {
        let mut from = vec![];
        let mut all: Option<Relation> = None;
        for input in inputs {
            let input = self.expand(input)?;
            let exprs: Vec<Expr> = (0..schema.fields().len())
                .map(|i| {
                    let column = Expr::Column(datafusion_common::Column::from(input.schema.qualified_field(i)));
                    let wanted = schema.field(i).data_type();
                    if input.schema.field(i).data_type() == wanted {
                        column
                    } else {
                        Expr::Cast(datafusion_expr::Cast::new(Box::new(column), wanted.clone()))
                    }
                })
                .collect();
            let relation = self.project(input, None, &exprs, schema)?;
            let relation = self.decode(relation);
            from.extend(relation.from.clone());
            all = Some(match all {
                None => relation,
                Some(mut all) => {
                    for (mine, theirs) in all.meanings.iter_mut().zip(&relation.meanings) {
                        if mine != theirs {
                            *mine = Meaning::Plain;
                        }
                    }
                    all.bounded &= relation.bounded;
                    all.ordered &= relation.ordered;
                    all
                }
            });
        }
        let mut all = all.ok_or_else(|| Error::user("UNION of nothing"))?;
        all.from = from;
        Ok(all)
    }

    fn sort(
        &mut self,
        input: Relation,
        by: &[datafusion_expr::SortExpr],
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<Relation> {
        let input = self.expand(input)?;
        let input = self.decode(input);
        let first = by.first().and_then(|s| input.column(&s.expr).map(|c| (input.meanings[c], s.asc)));
        // Windows come out by their end; where all have one size, by their start as well.
        let by_window = match first {
            Some((
                Meaning::WindowStart { size: Some(_), .. } | Meaning::WindowEnd { .. } | Meaning::WindowTime { .. },
                true,
            )) => true,
            _ if input.bounded => false,
            _ => {
                return Err(Error::user("ORDER BY and LIMIT over an unbounded source never end")
                    .at(self.order_by)
                    .hint("ORDER BY window_start or window_end first, ascending, or bound the source"));
            }
        };
        if by_window && !input.bounded && (fetch.is_some() || skip > 0) {
            return Err(Error::user("LIMIT over an unbounded source is not supported yet").at(self.order_by));
        }
        let by_window = by_window && fetch.is_none() && skip == 0;
        let df = input.df()?;
        let keys = by
            .iter()
            .map(|s| {
                Ok((
                    compile(&s.expr, &df, &self.props)?,
                    SortOptions { descending: !s.asc, nulls_first: s.nulls_first },
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let from = self.graph.add(Box::new(Sort::new(keys, skip, fetch, by_window, input.arrow())), input.from.clone());
        Ok(Relation { from: vec![from], ordered: false, ..input })
    }

    /// Ends a query in a sink: exactly the logical columns, with the sink's names and types.
    fn sink(&mut self, relation: Relation, target: Option<Target>, name: String) -> Result<()> {
        let relation = self.expand(relation)?;
        let df = relation.df()?;
        let fields: Vec<Field> = match &target {
            Some(Target::Table(def)) => {
                def.table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect()
            }
            _ => relation
                .schema
                .fields()
                .iter()
                .enumerate()
                .map(|(i, f)| match relation.places[i] {
                    Place::Column(c) => {
                        let physical = &relation.physical[c].1;
                        let coded = physical.metadata().contains_key(CODED);
                        let data_type = if coded { f.data_type() } else { physical.data_type() };
                        Field::new(f.name(), data_type.clone(), true)
                    }
                    Place::Virtual(_) => unreachable!("expanded above"),
                })
                .collect(),
        };
        if fields.len() != relation.places.len() {
            return Err(Error::user(format!(
                "{name} has {} columns, the query has {}",
                fields.len(),
                relation.places.len()
            )));
        }
        let mut columns = vec![];
        for (place, field) in relation.places.iter().zip(&fields) {
            let Place::Column(index) = place else { unreachable!("expanded above") };
            let column: Compiled =
                Arc::new(datafusion_physical_expr::expressions::Column::new(df.field(*index).name(), *index));
            columns.push(if df.field(*index).data_type() == field.data_type() {
                column
            } else {
                Arc::new(datafusion_physical_expr::expressions::CastExpr::new(column, field.data_type().clone(), None))
            });
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let predicate = self.in_range(&relation, &name)?.map(|p| compile(&p, &df, &self.props)).transpose()?;
        let predicate = predicate.map(Predicate::new);
        let select = Select {
            predicate,
            columns: Some(columns),
            schema: schema.clone(),
            operator: format!("INSERT INTO {name}"),
        };
        let window_end = relation
            .meanings
            .iter()
            .enumerate()
            .filter(|(at, _)| matches!(schema.field(*at).data_type(), DataType::Timestamp(..)))
            .find_map(|(at, meaning)| Some((at, meaning.to_window_end()?)));
        let inputs = vec![self.graph.add(Box::new(SelectStep(select)), relation.from)];
        self.graph.add_sink(SinkNode { target, name, schema, inputs, window_end });
        Ok(())
    }
}

impl Planner<'_> {
    /// The condition that keeps the results of the wanted stretch of time.
    fn in_range(&self, relation: &Relation, name: &str) -> Result<Option<Expr>> {
        if self.range == TimeRange::default() {
            return Ok(None);
        }
        let found = relation
            .meanings
            .iter()
            .position(|m| m.to_window_end().is_some())
            .or_else(|| relation.meanings.iter().position(|m| matches!(m, Meaning::Time { .. })));
        let Some(at) = found else {
            return Err(Error::user(format!(
                "{name} has neither a window bound nor an event time among its columns: --from and --to say nothing"
            ))
            .hint("select window_end (or the event time) as well"));
        };
        let column = Expr::Column(datafusion_common::Column::from(relation.schema.qualified_field(at)));
        let bound = |us: i64| -> Result<Expr> {
            let exact = datafusion_common::ScalarValue::TimestampMicrosecond(Some(us), None);
            let wanted = relation.schema.field(at).data_type();
            let value = match wanted {
                DataType::Timestamp(unit, zone) => exact
                    .cast_to(&DataType::Timestamp(*unit, None))
                    .and_then(|v| v.cast_to(&DataType::Timestamp(*unit, zone.clone()))),
                _ => exact.cast_to(wanted),
            };
            Ok(Expr::Literal(value.map_err(plan_error)?, None))
        };
        let mut conditions = vec![];
        match relation.meanings[at].to_window_end() {
            Some(plus) => {
                conditions.extend(self.range.from.map(|f| bound(f - plus).map(|b| column.clone().gt(b))));
                conditions.extend(self.range.to.map(|t| bound(t - plus).map(|b| column.clone().lt_eq(b))));
            }
            None => {
                conditions.extend(self.range.from.map(|f| bound(f).map(|b| column.clone().gt_eq(b))));
                conditions.extend(self.range.to.map(|t| bound(t).map(|b| column.clone().lt(b))));
            }
        }
        let conditions = conditions.into_iter().collect::<Result<Vec<Expr>>>()?;
        Ok(conditions.into_iter().reduce(Expr::and))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// True if nothing but projections stands between a limit and its sort.
fn sorted_below(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(p) => sorted_below(&p.input),
        LogicalPlan::SubqueryAlias(a) => sorted_below(&a.input),
        _ => false,
    }
}

/// The field as the dictionary that `physical` is, if it is one.
fn as_coded(field: FieldRef, physical: &Field) -> FieldRef {
    if physical.metadata().contains_key(CODED) { Arc::new(coded(&field)) } else { field }
}

/// The table behind a scan.
fn table_of(scan: &TableScan) -> Option<Arc<TableDef>> {
    PeltonTable::of(&scan.source).map(|t| t.def.clone())
}

/// An aggregate call of the logical plan, taken apart.
struct Call<'e> {
    kind: AggregateKind,
    args: Vec<&'e Expr>,
    distinct: bool,
    filter: Option<&'e Expr>,
    percentile: Option<f64>,
    respect_nulls: bool,
}

fn aggregate_call(expr: &Expr) -> Result<Call<'_>> {
    let function = match expr {
        Expr::Alias(alias) => return aggregate_call(&alias.expr),
        Expr::AggregateFunction(function) => function,
        other => return Err(Error::user(format!("not an aggregate: {other}"))),
    };
    let kind = PeltonAggregate::of(&function.func)
        .ok_or_else(|| Error::user(format!("aggregate {} is not supported", function.func.name())))?
        .kind;
    let params = &function.params;
    if !params.order_by.is_empty() {
        return Err(Error::user(format!("ORDER BY inside {} is not supported", function.func.name()))
            .hint("FIRST_VALUE and LAST_VALUE go by event time"));
    }
    let mut args: Vec<&Expr> = params.args.iter().collect();
    let mut percentile = None;
    match kind {
        // COUNT(*) arrives as COUNT() or COUNT(1).
        AggregateKind::Count
            if !params.distinct && matches!(args.as_slice(), [Expr::Literal(v, _)] if !v.is_null()) =>
        {
            args.clear()
        }
        AggregateKind::ApproxPercentile => {
            if let Some(Expr::Literal(value, _)) = args.get(1) {
                percentile = value.cast_to(&DataType::Float64).ok().and_then(|v| match v {
                    datafusion_common::ScalarValue::Float64(p) => p,
                    _ => None,
                });
            }
            args.truncate(1);
        }
        _ => {}
    }
    let respect_nulls = params.null_treatment == Some(datafusion_expr::expr::NullTreatment::RespectNulls);
    Ok(Call { kind, args, distinct: params.distinct, filter: params.filter.as_deref(), percentile, respect_nulls })
}

fn kernel_kind(kind: AggregateKind) -> Kernel {
    match kind {
        AggregateKind::Count => Kernel::Count,
        AggregateKind::Sum => Kernel::Sum,
        AggregateKind::Avg => Kernel::Avg,
        AggregateKind::Min => Kernel::Min,
        AggregateKind::Max => Kernel::Max,
        AggregateKind::VarSamp => Kernel::VarSamp,
        AggregateKind::VarPop => Kernel::VarPop,
        AggregateKind::StddevSamp => Kernel::StddevSamp,
        AggregateKind::StddevPop => Kernel::StddevPop,
        AggregateKind::BoolAnd => Kernel::BoolAnd,
        AggregateKind::BoolOr => Kernel::BoolOr,
        AggregateKind::FirstValue => Kernel::FirstValue,
        AggregateKind::LastValue => Kernel::LastValue,
        AggregateKind::ApproxDistinct => Kernel::ApproxDistinct,
        AggregateKind::ApproxPercentile => Kernel::ApproxPercentile { p: 0.5 },
    }
}
