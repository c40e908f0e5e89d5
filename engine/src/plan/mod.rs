//! The physical planner: DataFusion's logical plan to our graph of steps.
//!
//! It follows each column's meaning upwards (event time, window bound), because that decides what may be grouped. The
//! columns of a window table function stay virtual as long as nothing but a `GROUP BY` looks at them: rows are then put
//! into panes instead of being repeated per window.

mod aggregate;
mod join;
mod learn;
mod models;
mod over;
mod placement;
mod places;
mod relation;
mod share;
mod sink;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, DFSchemaRef, TableReference};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::{Expr, FetchType, LogicalPlan, Operator, SkipType, TableScan};
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Column};

use self::join::{LoadedTable, Side};
use self::placement::Placement;
use self::relation::{Meaning, Pending, Place, Relation};
use self::sink::sorted_below;
use self::steps::{Planned, Step};
use crate::connector::Registry;
use crate::error::{Error, Result, Span};
use crate::expr::{CODED, Compiled, Select, coded, compile, plan_error};
use crate::graph::{Graph, Input, SinkNode, SourceNode};
use crate::operators::{GroupColumn, WindowExpand};
use crate::panes::Panes;
use crate::predicate::Predicate;
use crate::sql::{ColumnKind, Job, LearnNode, PeltonTable, Script, TableDef, Target, WindowTvf};
use crate::window::WindowSpec;
use crate::zone::Zone;

pub use self::models::ModelPlace;
pub use self::places::{Place as StepPlace, places};

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
    let planner = planned(jobs, script, registry, slots, range)?;
    planner.placement.check()?;
    planner.finish()
}

/// The steps of these jobs, not wired yet.
fn planned<'a>(
    jobs: &[&Job],
    script: &'a Script,
    registry: &'a Registry,
    slots: usize,
    range: TimeRange,
) -> Result<Planner<'a>> {
    let mut planner = Planner::new(script, registry, slots)?;
    planner.range = range;
    for job in jobs {
        planner.note_scans(&job.plan)?;
    }
    let mut printed = 0;
    for job in jobs {
        planner.joins = job.joins.clone();
        planner.group_by = job.group_by_span.unwrap_or(job.span);
        planner.order_by = job.order_by_span.unwrap_or(job.span);
        planner.over = job.over_span.unwrap_or(job.span);
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
    Ok(planner)
}

struct Planner<'a> {
    /// Sources and loaded tables; steps and sinks are wired at the end.
    graph: Graph,
    steps: Vec<Planned>,
    sinks: Vec<SinkNode>,
    tables: Vec<LoadedTable>,
    script: &'a Script,
    registry: &'a Registry,
    slots: usize,
    placement: Placement,
    props: ExecutionProps,
    joins: Vec<(Span, String)>,
    group_by: Span,
    order_by: Span,
    over: Span,
    /// Rows to skip and to fetch, on the way from a `LIMIT` down to its `ORDER BY`.
    limit: Option<(usize, Option<usize>)>,
    range: TimeRange,
    /// STRINGs may be read as dictionaries.
    coded: bool,
}

impl<'a> Planner<'a> {
    fn new(script: &'a Script, registry: &'a Registry, slots: usize) -> Result<Self> {
        Ok(Planner {
            graph: Graph::default(),
            steps: vec![],
            sinks: vec![],
            tables: vec![],
            script,
            registry,
            slots,
            placement: Placement::of(&script.settings)?,
            props: ExecutionProps::new(),
            joins: vec![],
            group_by: Span::default(),
            order_by: Span::default(),
            over: Span::default(),
            limit: None,
            range: TimeRange::default(),
            coded: true,
        })
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
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                match (node.downcast_ref::<WindowTvf>(), node.downcast_ref::<LearnNode>()) {
                    (Some(tvf), _) => self.window(tvf),
                    (None, Some(learn)) => self.learn(learn),
                    (None, None) => Err(Error::user(format!("not supported yet: {}", extension.node.name()))),
                }
            }
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
            LogicalPlan::Window(window) => self.over(window),
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
            closing: false,
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
            closing: false,
        })
    }

    fn filter(&mut self, input: Relation, predicate: &Expr) -> Result<Relation> {
        if input.pending.as_ref().is_some_and(Pending::is_session) {
            return self.filter_session(input, predicate);
        }
        let select = Select {
            predicate: Some(Predicate::new(compile(predicate, &input.df()?, &self.props)?)),
            columns: None,
            schema: input.arrow(),
            operator: "WHERE".to_string(),
        };
        let from = self.add(Step::Select(select), input.from.clone());
        Ok(Relation { from: vec![from], ..input })
    }

    /// A `WHERE` above sessions: it becomes a column, since rows that do not pass still hold a session together.
    fn filter_session(&mut self, input: Relation, predicate: &Expr) -> Result<Relation> {
        let mut relation = input;
        let Some(pending) = &mut relation.pending else { unreachable!("asked by the caller") };
        let mut columns: Vec<Compiled> = relation
            .physical
            .iter()
            .enumerate()
            .map(|(i, (_, field))| Arc::new(Column::new(field.name(), i)) as Compiled)
            .collect();
        let df = DFSchema::new_with_metadata(relation.physical.clone(), Default::default()).map_err(plan_error)?;
        let mut condition = compile(predicate, &df, &self.props)?;
        if let Some(before) = pending.session_filter {
            condition = Arc::new(BinaryExpr::new(columns[before].clone(), Operator::And, condition));
        }
        pending.session_filter = Some(columns.len());
        columns.push(condition);
        let name = format!("__where_{}", relation.physical.len());
        relation.physical.push((None, Arc::new(Field::new(name, DataType::Boolean, true))));
        let select =
            Select { predicate: None, columns: Some(columns), schema: relation.arrow(), operator: "WHERE".to_string() };
        relation.from = vec![self.add(Step::Select(select), relation.from.clone())];
        Ok(relation)
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
        // Physical columns that are passed on as they are: where from, where to.
        let mut passed: Vec<(usize, usize)> = vec![];
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
                Some(Place::Column(c)) => {
                    passed.push((c, columns.len() - 1));
                    as_coded(made, &input.physical[c].1)
                }
                _ => made,
            };
            physical.push((qualifier.cloned(), made));
        }
        let mut pending = input.pending.clone();
        for at in pending.iter_mut().flat_map(Pending::carried) {
            if let Some((_, place)) = passed.iter().find(|(column, _)| column == at) {
                *at = *place;
                continue;
            }
            let (i, field) = (*at, &input.physical[*at].1);
            *at = columns.len();
            columns.push(Arc::new(Column::new(field.name(), i)) as Compiled);
            let name = format!("__carried_{at}");
            physical.push((None, Arc::new(field.as_ref().clone().with_name(name))));
        }
        let arrow: SchemaRef =
            Arc::new(Schema::new(physical.iter().map(|(_, f): &(_, FieldRef)| f.clone()).collect::<Vec<_>>()));
        let select = Select {
            predicate: predicate.map(|p| compile(p, &df, &self.props)).transpose()?.map(Predicate::new),
            columns: Some(columns),
            schema: arrow,
            operator: "SELECT".to_string(),
        };
        let from = self.add(Step::Select(select), input.from.clone());
        Ok(Relation { from: vec![from], schema: schema.clone(), places, meanings, physical, pending, ..input })
    }

    /// Makes dictionaries the STRINGs that the query knows.
    fn decode(&mut self, input: Relation) -> Relation {
        if !input.physical.iter().any(|(_, f)| f.metadata().contains_key(CODED)) {
            return input;
        }
        let mut physical = input.physical.clone();
        let columns = physical.iter_mut().enumerate().map(|(i, (_, field))| {
            let column: Compiled = Arc::new(Column::new(field.name(), i));
            if !field.metadata().contains_key(CODED) {
                return column;
            }
            *field = Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()));
            Arc::new(CastExpr::new(column, DataType::Utf8, None))
        });
        let columns = Some(columns.collect());
        let mut relation = Relation { physical, ..input };
        let select = Select { predicate: None, columns, schema: relation.arrow(), operator: "SELECT".to_string() };
        relation.from = vec![self.add(Step::Select(select), relation.from.clone())];
        relation
    }

    /// Makes virtual window columns real, by a row per window.
    fn expand(&mut self, input: Relation) -> Result<Relation> {
        let Some(pending) = input.pending.clone() else { return Ok(input) };
        let Some(panes) = Panes::of(&pending.spec, pending.zone.clone()) else {
            return Err(Error::user("the bounds of a SESSION window are known only where it is grouped")
                .at(pending.span)
                .hint("GROUP BY window_start, window_end (and keys) right above the table function"));
        };
        let n = input.physical.len();
        let bounds = [GroupColumn::WindowStart, GroupColumn::WindowEnd, GroupColumn::WindowTime];
        let mut relation = Relation { pending: None, closing: false, ..input };
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
            text: pending.text(),
        };
        let from = self.add(Step::Expand(step), relation.from.clone());
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
        let zone = match (&bound_type, tvf.window.is_cut_by_clock()) {
            (DataType::Timestamp(_, Some(_)), true) => Zone::of(self.script.settings.time_zone()).map(Arc::new),
            _ => None,
        };
        let size = match tvf.window {
            WindowSpec::Tumble { size_us, .. } | WindowSpec::Hop { size_us, .. } if zone.is_none() => Some(size_us),
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
        let mut session_keys = vec![];
        for key in &tvf.session_keys {
            match input.column(key).map(|c| input.places[c]) {
                Some(Place::Column(c)) => session_keys.push(c),
                _ => return Err(Error::user(format!("SESSION: the key {key} must be a column")).at(tvf.span)),
            }
        }
        let pending = Pending {
            spec: tvf.window,
            zone,
            time: physical,
            tick,
            bound_type,
            session_keys,
            session_filter: None,
            span: tvf.span,
        };
        Ok(Relation { schema: tvf.schema.clone(), places, meanings, pending: Some(pending), closing: false, ..input })
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
