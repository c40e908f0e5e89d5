//! `pelton bench --worker`: Pelton's side of the benchmark's line protocol (`benches/README.md`).

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef, TimeUnit};
use pelton_devices::{Cuda, Figure, Size, measure};
use pelton_engine::connector::Registry;
use pelton_engine::error::{Error, Result};
use pelton_engine::pipeline::{RunOptions, read_script, run_text};
use pelton_models::{Format, Model, Scores};
use serde_json::{Map, Value, json};

use crate::mem::{Collector, Mem, MemTable, Probe, map_batches, slices};
use crate::report::{Answer, chain, say};
use crate::sys;

/// Rows of a micro-batch in a `run`.
const RUN_ROWS: usize = 65_536;

/// Arguments of `pelton bench`.
#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    /// Speak the worker protocol on stdin and stdout.
    #[arg(long, requires = "queries")]
    worker: bool,
    /// Folder with the text of each workload, NAME.sql.
    #[arg(long, value_name = "DIR")]
    queries: Option<PathBuf>,
    /// Measure the first NVIDIA GPU: copies, stages of the benchmark, a sweep of groups; every answer is compared.
    #[arg(long, conflicts_with = "worker")]
    gpu: bool,
    /// Read the Kafka topic of the first table of a text with librdkafka and the decoder alone: the floor of `./x bench kafka`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["worker", "gpu"])]
    kafka_alone: Option<PathBuf>,
    /// Score made-up rows with a model alone, 4,096 at a time: what `./x bench scoring` holds beside ONNX Runtime.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["worker", "gpu", "kafka_alone"])]
    model_alone: Option<PathBuf>,
}

/// Works, or says how it is done.
pub fn bench(args: &BenchArgs, json: bool) -> Answer {
    if args.gpu {
        return measure_gpu(json).map_err(Into::into);
    }
    if let Some(file) = &args.kafka_alone {
        return kafka_alone(file).map_err(Into::into);
    }
    if let Some(file) = &args.model_alone {
        return model_alone(file).map_err(Into::into);
    }
    match &args.queries {
        Some(queries) if args.worker => work(queries).map_err(Into::into),
        _ => {
            say("the benchmarks run from the repository: ./x bench");
            if json {
                crate::report::say_json(&json!({ "command": "./x bench" }));
            }
            Ok(0)
        }
    }
}

/// Reads a topic without Pelton, as far as that goes.
fn kafka_alone(file: &Path) -> Result<u8> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::user(format!("'{}' cannot be read", file.display())).because(e))?;
    let script = read_script(&text, &pelton_io::registry(), &RunOptions::default())?;
    let table = script.tables.first().ok_or_else(|| Error::user("the text declares no table"))?;
    let begun = Instant::now();
    let rows = pelton_io::kafka::measure::read_alone(&table.table)?;
    crate::report::say_json(&json!({ "rows_in": rows, "seconds": begun.elapsed().as_secs_f64() }));
    Ok(0)
}

/// Scores the same rows for a second: the rate, and what the rows' answers are.
fn model_alone(file: &Path) -> Result<u8> {
    const ROWS: usize = 4096;
    let wrong = |what: String| Error::user(format!("'{}' {what}", file.display()));
    let bytes = std::fs::read(file).map_err(|e| wrong("cannot be read".into()).because(e))?;
    let format = Format::of_bytes(&bytes).ok_or_else(|| wrong("is no model".into()))?;
    let model = Model::read(&bytes, format).map_err(|e| wrong(format!("cannot be used: {e}")))?;
    let value = |row: usize, feature: usize| ((row * 31 + feature * 17) % 101) as f64 / 50.0 - 1.0;
    let columns: Vec<Vec<f64>> =
        (0..model.features).map(|feature| (0..ROWS).map(|row| value(row, feature)).collect()).collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let answers = match model.predict(&columns) {
        Scores::Single(scores) => json!(scores),
        Scores::Double(scores) => json!(scores),
    };
    let (begun, cpu, mut rows) = (Instant::now(), sys::cpu_seconds(), 0);
    while begun.elapsed().as_secs_f64() < 1.0 {
        std::hint::black_box(model.predict(&columns));
        rows += ROWS;
    }
    let rate = rows as f64 / (sys::cpu_seconds() - cpu);
    crate::report::say_json(&json!({ "rows_per_cpu_second": rate, "answers": answers }));
    Ok(0)
}

/// Tells what the first NVIDIA GPU reaches, line by line; as JSON all at once.
fn measure_gpu(json: bool) -> Result<u8> {
    let device = Cuda::open().map_err(Error::world)?;
    let mut figures = vec![];
    let mut tell = |figure: Figure| {
        // As JSON they come all at once, at the end; meanwhile people can watch.
        if json {
            crate::report::note(&figure.to_string());
        } else {
            say(&figure.to_string());
        }
        figures.push(json!({ "what": figure.what, "rows_per_second": figure.rows_per_second,
            "bytes_per_second": figure.bytes_per_second, "share": figure.share, "of": figure.of, "note": figure.note }));
    };
    measure(&device, Size::Full, &mut tell).map_err(Error::world)?;
    if json {
        crate::report::say_json(&json!({ "device": device.model(), "figures": figures }));
    }
    Ok(0)
}

/// Answers messages until the end of stdin.
fn work(queries: &Path) -> Result<u8> {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<usize>().ok());
    let threads = number("PEERS_THREADS").unwrap_or_else(|| RunOptions::default().threads);
    let core = number("PEERS_CORE").unwrap_or(1);
    if threads == 1
        && let Err(error) = sys::pin(core)
    {
        crate::report::note(&format!("cannot stay on core {core}: {error}"));
    }
    let mut worker = Worker { queries: queries.to_path_buf(), threads, mapped: BTreeMap::new() };
    answer(&json!({ "ok": true, "peer": "pelton", "version": env!("CARGO_PKG_VERSION") }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::world("cannot read stdin").because(e))?;
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let reply = match message["op"].as_str() {
            Some("quit") => break,
            Some("run") => worker.run(&message),
            Some("micro") => worker.micro(&message),
            _ => Err(Error::user("unsupported")),
        };
        let reply = reply.unwrap_or_else(|error| {
            let text = chain(&error).join(": ").replace('\n', " ");
            let place = error.span().map(|s| format!("{}:{}: ", s.line, s.column)).unwrap_or_default();
            if text == "unsupported" {
                json!({ "ok": false, "err": text })
            } else {
                json!({ "ok": false, "err": place + &text })
            }
        });
        answer(&reply)?;
        sys::trim_memory();
    }
    Ok(0)
}

fn answer(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").and_then(|()| out.flush()).map_err(|e| Error::world("cannot write to stdout").because(e))
}

struct Worker {
    queries: PathBuf,
    threads: usize,
    /// Files stay mapped: their pages belong to the system.
    mapped: BTreeMap<PathBuf, Vec<RecordBatch>>,
}

/// A query, ready to run.
struct Prepared {
    text: String,
    registry: Registry,
    options: RunOptions,
    collector: Collector,
}

impl Worker {
    /// Reads the text, maps the tables, and fills in what the placeholders stand for.
    fn prepare(
        &mut self,
        message: &Value,
        rows: usize,
        rows_max: usize,
        probe: Option<&Arc<Mutex<Probe>>>,
    ) -> Result<Prepared> {
        let query = message["q"].as_str().unwrap_or_default();
        let file = self.queries.join(format!("{query}.sql"));
        if query.is_empty() || !file.is_file() {
            return Err(Error::user("unsupported"));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|e| Error::world(format!("cannot read '{}'", file.display())).because(e))?;
        let (mem, collector) = (Mem::default(), Collector::default());
        let mut variables = BTreeMap::from([("SINK".to_string(), "'connector' = 'collect'".to_string())]);
        for (name, place) in message["tables"].as_object().into_iter().flatten() {
            let source = match (place["path"].as_str(), place["mem"].as_str()) {
                (Some(path), _) => {
                    let (path, format) = (path.replace('\'', "''"), place["format"].as_str().unwrap_or("parquet"));
                    format!("'connector' = 'filesystem', 'path' = '{path}', 'format' = '{format}'")
                }
                (None, Some(path)) => {
                    let path = PathBuf::from(path);
                    if !self.mapped.contains_key(&path) {
                        self.mapped.insert(path.clone(), map_batches(&path)?);
                    }
                    let all = &self.mapped[&path];
                    let batches = place["batches"].as_u64().map_or(all.len(), |n| (n as usize).min(all.len()));
                    let table = MemTable { slices: slices(&all[..batches], rows, rows_max), probe: probe.cloned() };
                    mem.0.lock().expect("no panic holds this lock").insert(name.clone(), table);
                    format!("'connector' = 'mem', 'name' = '{name}'")
                }
                (None, None) => return Err(Error::user(format!("table {name} has neither 'path' nor 'mem'"))),
            };
            variables.insert(format!("SOURCE_{name}"), source);
        }
        let mut registry = pelton_io::registry();
        registry.add(Arc::new(mem));
        registry.add(Arc::new(collector.clone()));
        let options = RunOptions { threads: self.threads, variables, digests: false, ..RunOptions::default() };
        Ok(Prepared { text, registry, options, collector })
    }

    /// The whole table at once.
    fn run(&mut self, message: &Value) -> Result<Value> {
        let query = self.prepare(message, RUN_ROWS, usize::MAX, None)?;
        let (cpu, start) = (sys::cpu_seconds(), Instant::now());
        let summary = run_text(&query.text, &query.registry, &query.options);
        let (wall, cpu) = (start.elapsed().as_secs_f64(), sys::cpu_seconds() - cpu);
        let rows = finished(summary, &query.collector)?;
        let rows_out: usize = rows.iter().map(RecordBatch::num_rows).sum();
        Ok(
            json!({ "ok": true, "wall": wall, "cpu": cpu, "rows_out": rows_out, "digest": digest_if(message, &query.collector, &rows)? }),
        )
    }

    /// One batch after the other, each only when the one before is done.
    fn micro(&mut self, message: &Value) -> Result<Value> {
        let batch = message["batch"]
            .as_u64()
            .filter(|n| *n > 0)
            .ok_or_else(|| Error::user("'batch' must be a number of rows"))? as usize;
        let rows_max = message["max_rows"].as_u64().filter(|n| *n > 0).map_or(usize::MAX, |n| n as usize);
        let probe = Arc::new(Mutex::new(Probe::default()));
        let mut query = self.prepare(message, batch, rows_max, Some(&probe))?;
        query.options.step_by_step = true;
        query.options.batch_rows = Some(batch);
        let summary = run_text(&query.text, &query.registry, &query.options);
        let (end, cpu_end) = (Instant::now(), sys::cpu_seconds());
        let rows = finished(summary, &query.collector)?;
        let mut probe = std::mem::take(&mut *probe.lock().expect("no panic holds this lock"));
        let (begun, cpu_begun) = probe.begun.ok_or_else(|| Error::user("no table of this query is in memory"))?;
        probe.latencies.sort_unstable();
        let all: Vec<f64> = probe.latencies.iter().map(|l: &Duration| l.as_secs_f64() * 1e3).collect();
        let k = all.len();
        if k == 0 {
            return Err(Error::user("there are no rows"));
        }
        Ok(json!({
            "ok": true,
            "wall": end.duration_since(begun).as_secs_f64(),
            "cpu": cpu_end - cpu_begun,
            "rows": probe.rows,
            "batches": k,
            "p50": all[k / 2],
            "p99": all[(k - 1).min((k as f64 * 0.99) as usize)],
            "max": all[k - 1],
            "digest": digest_if(message, &query.collector, &rows)?,
        }))
    }
}

/// The rows of a run that went well.
fn finished(summary: Result<pelton_engine::pipeline::Summary>, collector: &Collector) -> Result<Vec<RecordBatch>> {
    let rows = collector.take();
    let summary = summary?;
    if let Some(error) = summary.broken.into_iter().next() {
        return Err(error);
    }
    // The peers' answers know no lateness, so there must be none.
    if summary.dead_letters > 0 {
        return Err(Error::world(format!("{} dead letters, {} late rows", summary.dead_letters, summary.late)));
    }
    Ok(rows)
}

fn digest_if(message: &Value, collector: &Collector, rows: &[RecordBatch]) -> Result<Option<Value>> {
    if message["verify"] != Value::Bool(true) {
        return Ok(None);
    }
    let schema = collector.schema.lock().expect("no panic holds this lock").clone();
    let schema = schema.ok_or_else(|| Error::user("the query has no sink"))?;
    digest(&schema, rows).map(Some)
}

/// Row count, and the sum of each numeric column as a double; timestamps as milliseconds.
fn digest(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Value> {
    let failed = |e| Error::world("cannot sum a column").because(e);
    let mut out = Map::new();
    out.insert("rows".into(), rows.iter().map(RecordBatch::num_rows).sum::<usize>().into());
    for (i, field) in schema.fields().iter().enumerate() {
        let numeric = field.data_type().is_numeric() || matches!(field.data_type(), DataType::Timestamp(..));
        if !numeric {
            continue;
        }
        let mut sum = 0.0;
        for batch in rows {
            sum += sum_of(batch.column(i)).map_err(failed)?;
        }
        out.insert(field.name().clone(), json!(sum));
    }
    Ok(Value::Object(out))
}

fn sum_of(column: &ArrayRef) -> Result<f64, arrow::error::ArrowError> {
    if matches!(column.data_type(), DataType::Timestamp(..)) {
        let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        let millis = cast(&millis, &DataType::Int64)?;
        return Ok(millis.as_primitive::<Int64Type>().iter().flatten().map(|v| v as f64).sum());
    }
    let doubles = cast(column, &DataType::Float64)?;
    Ok(doubles.as_primitive::<Float64Type>().iter().flatten().sum())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int32Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn a_digest_sums_what_is_numeric() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int32, true),
            Field::new("s", DataType::Utf8, true),
            Field::new("w", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("d", DataType::Decimal128(10, 2), true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(StringArray::from(vec!["a", "b", "c"])),
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 2_000_000, 0]).with_timezone("UTC")),
            Arc::new(Decimal128Array::from(vec![150, 25, 0]).with_precision_and_scale(10, 2).unwrap()),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        assert_eq!(digest(&schema, &[batch]).unwrap(), json!({ "rows": 3, "n": 4.0, "w": 3500.0, "d": 1.75 }));
    }

    #[test]
    fn slices_never_span_batches() {
        let batch = |n: i32| {
            let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..n));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let sizes = |rows: usize, rows_max: usize| -> Vec<usize> {
            slices(&[batch(5), batch(3)], rows, rows_max).iter().map(RecordBatch::num_rows).collect()
        };
        assert_eq!(sizes(2, usize::MAX), [2, 2, 1, 2, 1]);
        assert_eq!(sizes(100, usize::MAX), [5, 3]);
        assert_eq!(sizes(2, 3), [2, 2]);
    }
}
