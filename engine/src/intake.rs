//! The intake of a source: decoded columns to declared rows with watermarks.
//!
//! Runs on whatever thread decoded the chunk, before the rows have their final offsets: offsets here count from the
//! start of the chunk. What is refused (NULL event times, failing computed columns, rows from the far future) becomes a
//! dead letter; everything else goes on, and advances the watermark.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use pelton_kernels::canonical::canonical_floats;

use crate::batch::{MARK_MIN, MicroBatch, Offsets, Watermarks, internal};
use crate::connector::{DeadLetter, Decoded, LetterKind, ReadRequest, SkipRule};
use crate::error::{Error, Result};
use crate::expr::{CODED, Compiled, Select, coded, compile, letter};
use crate::graph::SourceNode;
use crate::operators::{show_time, times_us};
use crate::sql::{ColumnKind, TableDef};

/// Metadata keys that the engine itself answers.
pub const ENGINE_METADATA: [&str; 2] = ["partition", "offset"];

/// See the module.
pub struct Intake {
    /// Name of the table.
    pub name: Arc<str>,
    /// What the connector is asked for.
    pub request: ReadRequest,
    /// Columns as they come in: physical, then metadata.
    raw: SchemaRef,
    /// Makes the emitted columns (and behind them the raw ones, for history and letters) of the raw ones.
    select: Select,
    /// The same without the watermark, where that is so many ticks off the event time: then no row's is written down.
    select_by_time: Option<(Select, i64)>,
    /// How many of the selected columns are emitted.
    emitted: usize,
    schema: SchemaRef,
    /// Columns that may not be NULL, among the emitted ones.
    required: Vec<usize>,
    watermark: Option<Compiled>,
    /// Column of the event time among the emitted ones.
    pub time: Option<usize>,
    /// Positions of `partition` and `offset` among the raw columns.
    engine_columns: Vec<(usize, &'static str)>,
    /// Rows further ahead of the wall clock than this are refused, in µs.
    future_max: Option<i64>,
    keep_raw: bool,
}

/// Rows that passed the intake; offsets count from the start of the chunk.
pub struct Prepared {
    /// The emitted columns.
    pub columns: RecordBatch,
    /// The raw columns, if history or letters want them.
    pub raw: Option<RecordBatch>,
    /// What letters show of the rows, if it is not the emitted columns: the raw ones, and a computed event time.
    pub shown: Option<RecordBatch>,
    /// Offsets within the chunk.
    pub offsets: Offsets,
    /// The watermark of each row alone; `None` without a watermark.
    pub watermarks: Option<Watermarks>,
}

/// A chunk that passed the intake.
#[derive(Default)]
pub struct PreparedChunk {
    /// How far the partition's offset moves on.
    pub records: u64,
    /// The rows.
    pub batches: Vec<Prepared>,
    /// What was refused; offsets count from the start of the chunk.
    pub letters: Vec<DeadLetter>,
    /// Records that were passed over: how many, and the watermark that they bring.
    pub skipped: Option<(u64, i64)>,
    /// Part of the input could not be read.
    pub broken: Option<Error>,
    /// When the outside world had the first of the records, in ms since 1970.
    pub since_ms: Option<i64>,
    /// As in [`Decoded::turns`].
    pub turns: Vec<(u64, u64)>,
}

impl Intake {
    /// The intake of a table. `keep_raw`: history or letters want every physical and metadata column. Where rows are held
    /// against the clock, `skip` is not used.
    pub fn new(
        source: &SourceNode,
        def: &TableDef,
        batch_rows: usize,
        keep_raw: bool,
        future_max: Option<i64>,
        skip: Option<SkipRule>,
    ) -> Result<Self> {
        let mut physical: Vec<usize> = vec![];
        let mut metadata: Vec<(String, DataType)> = vec![];
        let mut need = |column: &crate::sql::ColumnDef| match &column.kind {
            ColumnKind::Physical(index) => physical.push(*index),
            ColumnKind::Metadata { key } => {
                if !metadata.iter().any(|(k, _)| k == key) {
                    metadata.push((key.clone(), column.data_type.clone()));
                }
            }
            ColumnKind::Computed(_) => {}
        };
        // Computed columns and the watermark name others: find them.
        let mut named: Vec<String> = vec![];
        for &c in &source.columns {
            if let ColumnKind::Computed(expr) = &def.columns[c].kind {
                named.extend(expr.column_refs().iter().map(|c| c.name.clone()));
            }
        }
        let mut wanted = source.columns.clone();
        if let Some(mark) = &def.watermark {
            named.extend(mark.expr.column_refs().iter().map(|c| c.name.clone()));
        }
        for name in &named {
            if let Some(at) = def.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)) {
                wanted.insert(at);
                if let ColumnKind::Computed(expr) = &def.columns[at].kind {
                    for inner in expr.column_refs() {
                        wanted.extend(def.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&inner.name)));
                    }
                }
            }
        }
        if keep_raw {
            def.columns.iter().for_each(&mut need);
        } else {
            wanted.iter().for_each(|&c| need(&def.columns[c]));
        }
        physical.sort_unstable();
        physical.dedup();
        let read =
            |p: &usize| wanted.iter().any(|c| matches!(def.columns[*c].kind, ColumnKind::Physical(at) if at == *p));
        let kept_only = physical.iter().copied().filter(|p| !read(p)).collect();
        let is_coded = |at: &usize| {
            source.columns.iter().zip(source.schema.fields()).any(|(c, field)| {
                field.metadata().contains_key(CODED)
                    && matches!(def.columns[*c].kind, ColumnKind::Physical(p) if p == *at)
            })
        };
        let dictionaries: Vec<usize> = physical.iter().copied().filter(is_coded).collect();
        let mut fields: Vec<Field> = physical
            .iter()
            .map(|p| {
                let field = def.table.schema.field(*p).clone().with_nullable(true);
                if dictionaries.contains(p) { coded(&field) } else { field }
            })
            .collect();
        let mut engine_columns = vec![];
        for (key, data_type) in &metadata {
            if let Some(known) = ENGINE_METADATA.into_iter().find(|k| k == key) {
                engine_columns.push((fields.len(), known));
            }
            fields.push(Field::new(format!("metadata {key}"), data_type.clone(), true));
        }
        let raw = Arc::new(Schema::new(fields));
        // Expressions name declared columns; physical ones have the same name in `raw`, metadata ones do not.
        let raw_names: Vec<String> = raw
            .fields()
            .iter()
            .map(|f| match f.name().strip_prefix("metadata ") {
                Some(key) => def
                    .columns
                    .iter()
                    .find(|c| matches!(&c.kind, ColumnKind::Metadata { key: k } if k == key))
                    .map_or_else(|| f.name().clone(), |c| c.name.clone()),
                None => f.name().clone(),
            })
            .collect();
        let raw_df = DFSchema::try_from(Schema::new(
            raw.fields().iter().zip(&raw_names).map(|(f, n)| f.as_ref().clone().with_name(n)).collect::<Vec<_>>(),
        ))
        .map_err(crate::expr::plan_error)?;
        let props = ExecutionProps::new();
        let plain = |name: &str| Expr::Column(datafusion_common::Column::from_name(name));
        let mut columns = vec![];
        let mut out_fields = vec![];
        for &c in &source.columns {
            let column = &def.columns[c];
            let expr = match &column.kind {
                ColumnKind::Computed(expr) => expr.clone(),
                _ => plain(&column.name),
            };
            let compiled = compile(&expr, &raw_df, &props)?;
            let wanted = source.schema.field(columns.len()).data_type().clone();
            let compiled: Compiled =
                if compiled.data_type(raw_df.as_arrow()).map_err(crate::expr::plan_error)? == wanted {
                    compiled
                } else {
                    Arc::new(datafusion_physical_expr::expressions::CastExpr::new(compiled, wanted.clone(), None))
                };
            columns.push(compiled);
            out_fields.push(Field::new(&column.name, wanted, true));
        }
        let emitted = columns.len();
        let schema = Arc::new(Schema::new(
            source.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
        ));
        let watermark = match &def.watermark {
            None => None,
            Some(mark) => {
                // The watermark may use computed columns: put their expressions in.
                use datafusion_common::tree_node::{Transformed, TreeNode};
                let expr = mark
                    .expr
                    .clone()
                    .transform(|e| {
                        if let Expr::Column(c) = &e
                            && let Some(def) = def.columns.iter().find(|d| d.name.eq_ignore_ascii_case(&c.name))
                            && let ColumnKind::Computed(inner) = &def.kind
                        {
                            return Ok(Transformed::yes(inner.clone()));
                        }
                        Ok(Transformed::no(e))
                    })
                    .map_err(crate::expr::plan_error)?
                    .data;
                columns.push(compile(&expr, &raw_df, &props)?);
                let data_type = columns[emitted].data_type(raw_df.as_arrow()).map_err(crate::expr::plan_error)?;
                if !matches!(data_type, DataType::Timestamp(..)) {
                    return Err(Error::user(format!(
                        "the watermark of {} is no timestamp but {data_type}",
                        def.table.name
                    ))
                    .at(def.span));
                }
                out_fields.push(Field::new("watermark", data_type, true));
                Some(())
            }
        };
        let watermark: Option<Compiled> = watermark.map(|()| columns[emitted].clone());
        let time = def.watermark.as_ref().and_then(|m| source.columns.iter().position(|c| *c == m.column));
        let ticks = watermark.as_ref().zip(time).and_then(|(mark, time)| crate::shift::between(&columns[time], mark));
        if keep_raw {
            for (i, field) in raw.fields().iter().enumerate() {
                columns.push(Arc::new(datafusion_physical_expr::expressions::Column::new(field.name(), i)));
                out_fields.push(field.as_ref().clone());
            }
        }
        let select = |columns: Vec<Compiled>, fields: Vec<Field>| Select {
            predicate: None,
            columns: Some(columns),
            schema: Arc::new(Schema::new(
                fields.into_iter().enumerate().map(|(i, f)| f.with_name(format!("{i}"))).collect::<Vec<_>>(),
            )),
            operator: format!("computed columns of {}", def.table.name),
        };
        let select_by_time = ticks.map(|ticks| {
            let (mut columns, mut fields) = (columns.clone(), out_fields.clone());
            columns.remove(emitted);
            fields.remove(emitted);
            (select(columns, fields), ticks)
        });
        let select = select(columns, out_fields);
        let required = source
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| !def.columns[**c].nullable || def.watermark.as_ref().is_some_and(|m| m.column == **c));
        let required = required.map(|(at, _)| at).collect();
        Ok(Intake {
            name: def.table.name.as_str().into(),
            request: ReadRequest {
                columns: physical,
                metadata: metadata
                    .into_iter()
                    .map(|(k, _)| k)
                    .filter(|k| !ENGINE_METADATA.contains(&k.as_str()))
                    .collect(),
                dictionaries,
                kept_only,
                batch_rows,
                latency_target: Duration::ZERO,
                skip: skip.filter(|_| future_max.is_none()),
            },
            raw,
            select,
            select_by_time,
            emitted,
            schema,
            required,
            watermark,
            time,
            engine_columns,
            future_max,
            keep_raw,
        })
    }

    /// Schema of what goes to history: physical columns, then metadata ones.
    pub fn raw_schema(&self) -> SchemaRef {
        self.raw.clone()
    }

    /// True if rows need their final offsets to be prepared.
    pub fn needs_offsets(&self) -> bool {
        !self.engine_columns.is_empty()
    }

    /// Prepares a decoded chunk. `partition` and `base` fill the metadata columns of those names.
    pub fn prepare(&self, decoded: Decoded, partition: u32, base: u64, now_us: i64) -> Result<PreparedChunk> {
        let (records, broken, since_ms) = (decoded.records, decoded.broken, decoded.since_ms);
        let mut out = PreparedChunk { records, broken, since_ms, turns: decoded.turns, ..Default::default() };
        if let Some(skipped) = decoded.skipped {
            out.skipped = Some((decoded.records, self.watermark_at(skipped.time_max)?));
        }
        for bad in decoded.bad {
            out.letters.push(DeadLetter {
                source: self.name.to_string(),
                partition,
                offset: u64::from(bad.record),
                operator: "decode".to_string(),
                kind: LetterKind::Undecodable,
                reason: bad.reason,
                bytes: Some(bad.bytes),
                row: None,
            });
        }
        let mut next = 0u64;
        for batch in decoded.batches {
            let n = batch.batch.num_rows();
            let offsets = match batch.records {
                None => Offsets::Run(next),
                Some(list) => Offsets::List(Arc::new(list.into_iter().map(u64::from).collect())),
            };
            if n == 0 {
                continue;
            }
            next = offsets.get(n - 1) + 1;
            let raw =
                self.raw_columns(&batch.batch, &decoded.metadata, &decoded.metadata_rows, partition, base, &offsets)?;
            let rows = MicroBatch { partition, offsets, ..MicroBatch::derived(raw) };
            let letters = out.letters.len();
            let by_time = self.select_by_time.as_ref();
            if !self.prepare_batch(&rows, partition, now_us, by_time, &mut out)? {
                out.letters.truncate(letters);
                self.prepare_batch(&rows, partition, now_us, None, &mut out)?;
            }
        }
        for letter in &mut out.letters {
            letter.source = self.name.to_string();
            letter.partition = partition;
        }
        Ok(out)
    }

    /// The watermark of a row with this event time.
    fn watermark_at(&self, time: Option<ScalarValue>) -> Result<i64> {
        let (Some(watermark), Some(time), Some(at)) = (&self.watermark, time, self.request_time()) else {
            return Ok(MARK_MIN);
        };
        let columns = self.raw.fields().iter().enumerate().map(|(i, field)| {
            if i == at {
                time.to_array_of_size(1).map_err(crate::expr::plan_error)
            } else {
                Ok(arrow::array::new_null_array(field.data_type(), 1))
            }
        });
        let row = RecordBatch::try_new(self.raw.clone(), columns.collect::<Result<_>>()?).map_err(internal)?;
        let mark = watermark.evaluate(&row).and_then(|v| v.into_array(1)).map_err(crate::expr::plan_error)?;
        Ok(times_us(&mark)[0])
    }

    /// Column of the event time among the raw ones, if skipping needs it.
    fn request_time(&self) -> Option<usize> {
        let time = self.request.skip.as_ref()?.time?;
        self.request.columns.iter().position(|c| *c == time)
    }

    fn raw_columns(
        &self,
        batch: &RecordBatch,
        metadata: &[(String, ScalarValue)],
        metadata_rows: &[(String, ArrayRef)],
        partition: u32,
        base: u64,
        offsets: &Offsets,
    ) -> Result<RecordBatch> {
        let n = batch.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.raw.fields().len());
        let physical = self.request.columns.len();
        if batch.num_columns() != physical {
            return Err(Error::world(format!(
                "{}: the connector gave {} columns, {physical} were asked for",
                self.name,
                batch.num_columns()
            )));
        }
        for (i, field) in self.raw.fields().iter().enumerate() {
            let array = if i < physical {
                canonical_floats(batch.column(i))
            } else if let Some((_, key)) = self.engine_columns.iter().find(|(at, _)| *at == i) {
                if *key == "partition" {
                    Arc::new(Int64Array::from(vec![i64::from(partition); n])) as ArrayRef
                } else {
                    Arc::new(Int64Array::from_iter_values((0..n).map(|r| (base + offsets.get(r)) as i64)))
                }
            } else {
                let key = field.name().trim_start_matches("metadata ");
                if let Some((_, values)) = metadata_rows.iter().find(|(k, _)| k == key) {
                    columns.push(cast(values, field.data_type()).map_err(internal)?);
                    continue;
                }
                match metadata.iter().find(|(k, _)| k == key) {
                    Some((_, value)) => value.to_array_of_size(n).map_err(crate::expr::plan_error)?,
                    None => arrow::array::new_null_array(field.data_type(), n),
                }
            };
            columns.push(if array.data_type() == field.data_type() {
                array
            } else {
                cast(&array, field.data_type()).map_err(internal)?
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        RecordBatch::try_new_with_options(self.raw.clone(), columns, &options).map_err(internal)
    }

    /// False if the watermarks `by_time` do not exist for all rows.
    fn prepare_batch(
        &self,
        rows: &MicroBatch,
        partition: u32,
        now_us: i64,
        by_time: Option<&(Select, i64)>,
        out: &mut PreparedChunk,
    ) -> Result<bool> {
        let raw_rows = rows.columns.clone();
        let raw_offsets = rows.offsets.clone();
        let select = by_time.map_or(&self.select, |(select, _)| select);
        let mut selected = select.run(rows, &mut out.letters)?;
        let refuse = |selected: MicroBatch,
                      keep: BooleanArray,
                      kind: LetterKind,
                      reason: &dyn Fn(usize) -> String,
                      letters: &mut Vec<DeadLetter>| {
            let origin = crate::batch::Origin {
                source: self.name.clone(),
                partition,
                columns: raw_rows.clone(),
                offsets: raw_offsets.clone(),
                time: None,
            };
            let shown = MicroBatch { origin: Some(Arc::new(origin)), ..selected.clone() };
            for row in (0..keep.len()).filter(|&r| !keep.value(r)) {
                letters.push(letter(&shown, row, "schema", kind, reason(row)));
            }
            selected.filter(&keep)
        };
        for &column in &self.required {
            let values = selected.columns.column(column).clone();
            if values.logical_null_count() > 0 {
                let keep = arrow::compute::is_not_null(&values).map_err(internal)?;
                let name = self.schema.field(column).name().clone();
                let what = if Some(column) == self.time { "the event time" } else { "column" };
                selected = refuse(
                    selected,
                    keep,
                    LetterKind::Schema,
                    &|_| format!("{what} {name} is NULL"),
                    &mut out.letters,
                )?;
            }
        }
        if let (Some(max), Some(time)) = (self.future_max, self.time) {
            let times = times_us(selected.columns.column(time));
            let limit = now_us.saturating_add(max);
            if times.iter().any(|t| *t > limit) {
                let keep = BooleanArray::from_iter(times.iter().map(|t| Some(*t <= limit)));
                let reason = |row: usize| {
                    format!(
                        "the event time {} is too far ahead of the clock ({})",
                        show_time(times[row]),
                        show_time(now_us)
                    )
                };
                selected = refuse(selected, keep, LetterKind::FarFuture, &reason, &mut out.letters)?;
            }
        }
        if selected.rows() == 0 {
            return Ok(true);
        }
        let all = selected.columns.columns();
        let n = selected.rows();
        let (watermarks, first_raw) = match (by_time, self.time) {
            (Some((_, ticks)), Some(time)) => match Watermarks::off(all[time].clone(), *ticks) {
                None => return Ok(false),
                watermarks => (watermarks, self.emitted),
            },
            _ if self.watermark.is_some() => (Some(Watermarks::of(all[self.emitted].clone())), self.emitted + 1),
            _ => (None, self.emitted),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        let raw = if self.keep_raw {
            Some(
                RecordBatch::try_new_with_options(self.raw.clone(), all[first_raw..].to_vec(), &options)
                    .map_err(internal)?,
            )
        } else {
            None
        };
        let columns = RecordBatch::try_new_with_options(self.schema.clone(), all[..self.emitted].to_vec(), &options)
            .map_err(internal)?;
        let shown = match (&raw, self.time.map(|t| (self.schema.field(t), columns.column(t)))) {
            (Some(raw), Some((field, time))) if raw.schema().index_of(field.name()).is_err() => {
                let fields: Vec<Field> =
                    raw.schema().fields().iter().map(|f| f.as_ref().clone()).chain([field.clone()]).collect();
                let columns = raw.columns().iter().chain([time]).cloned().collect();
                Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(internal)?)
            }
            (raw, _) => (*raw).clone(),
        };
        out.batches.push(Prepared { columns, raw, shown, offsets: selected.offsets, watermarks });
        Ok(true)
    }
}
