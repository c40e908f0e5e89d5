//! What the benchmark worker reads from and writes to: record batches in memory. The connectors `mem` and `collect`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::root_as_footer;
use pelton_engine::connector::{
    Chunk, Connector, Decoded, DecodedBatch, Next, Options, PartitionReader, ReadRequest, Sink, Source, Table,
    dictionary_type,
};
use pelton_engine::error::{Error, Result};
use pelton_engine::run::Collect;

use crate::sys;

/// The record batches of an Arrow IPC file, mapped: columns point into the file.
pub fn map_batches(path: &Path) -> Result<Vec<RecordBatch>> {
    let failed = || Error::world(format!("cannot read '{}'", path.display()));
    let file = sys::map(path).map_err(|e| failed().because(e))?;
    let trailer = file.len().checked_sub(10).ok_or_else(|| failed().hint("it is no Arrow IPC file"))?;
    let trailer_bytes: [u8; 10] = file[trailer..].try_into().expect("ten bytes are ten bytes");
    let length = read_footer_length(trailer_bytes).map_err(|e| failed().because(e))?;
    let start = trailer.checked_sub(length).ok_or_else(|| failed().hint("it was cut short"))?;
    let footer = root_as_footer(&file[start..trailer]).map_err(|e| failed().because(e.to_string()))?;
    let schema = footer.schema().ok_or_else(|| failed().hint("it has no schema"))?;
    let mut decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
    let slice = |block: &arrow::ipc::Block| {
        let length = block.bodyLength() as usize + block.metaDataLength() as usize;
        file.slice_with_length(block.offset() as usize, length)
    };
    for block in footer.dictionaries().iter().flatten() {
        decoder.read_dictionary(block, &slice(block)).map_err(|e| failed().because(e))?;
    }
    let mut batches = vec![];
    for block in footer.recordBatches().iter().flatten() {
        batches.extend(decoder.read_record_batch(block, &slice(block)).map_err(|e| failed().because(e))?);
    }
    Ok(batches)
}

/// Cuts batches into slices of at most `rows` rows that never span two batches; stops once `rows_max` rows are there.
pub fn slices(batches: &[RecordBatch], rows: usize, rows_max: usize) -> Vec<RecordBatch> {
    let mut out = vec![];
    let mut total = 0;
    for batch in batches {
        for start in (0..batch.num_rows()).step_by(rows) {
            if total >= rows_max {
                return out;
            }
            out.push(batch.slice(start, rows.min(batch.num_rows() - start)));
            total += out.last().map_or(0, RecordBatch::num_rows);
        }
    }
    out
}

/// Measures a query that is fed batch by batch.
///
/// Step by step, the engine asks for the next batch only when nothing else is left to do: the batch before is in the
/// state, and every window that its watermark closes has gone to the sink. The time between handing out one batch and being
/// asked for the next is then the batch's latency.
#[derive(Debug, Default)]
pub struct Probe {
    /// When the first batch was asked for, and the processor time then: planning is over.
    pub begun: Option<(Instant, f64)>,
    /// Latencies of the batches, in order.
    pub latencies: Vec<Duration>,
    /// Rows handed out.
    pub rows: usize,
    pushed: Option<Instant>,
}

impl Probe {
    fn asked(&mut self) {
        if let Some(pushed) = self.pushed.take() {
            self.latencies.push(pushed.elapsed());
        }
        if self.begun.is_none() {
            self.begun = Some((Instant::now(), sys::cpu_seconds()));
        }
    }

    fn handing_out(&mut self, rows: usize) {
        self.rows += rows;
        self.pushed = Some(Instant::now());
    }
}

/// A table in memory.
#[derive(Clone, Default)]
pub struct MemTable {
    /// Its rows, cut as they are to be handed out.
    pub slices: Vec<RecordBatch>,
    /// Who looks at the clock.
    pub probe: Option<Arc<Mutex<Probe>>>,
}

/// `'connector' = 'mem', 'name' = '…'`: one bounded partition over a table in memory.
#[derive(Clone, Default)]
pub struct Mem(pub Arc<Mutex<BTreeMap<String, MemTable>>>);

impl Connector for Mem {
    fn name(&self) -> &'static str {
        "mem"
    }

    fn bounded(&self, options: &Options) -> Result<bool> {
        options.get("name");
        Ok(true)
    }

    fn dictionaries(&self, table: &Table) -> Vec<usize> {
        let tables = self.0.lock().expect("no panic holds this lock");
        let found = table.options.get("name").and_then(|name| tables.get(name)?.slices.first());
        let is_dictionary = |name: &str| {
            let field = found?.schema_ref().fields().iter().find(|f| f.name().eq_ignore_ascii_case(name))?;
            Some(*field.data_type() == dictionary_type())
        };
        let fields = table.schema.fields().iter().enumerate();
        fields.filter(|(_, f)| is_dictionary(f.name()) == Some(true)).map(|(i, _)| i).collect()
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let name = table.options.require("name")?;
        let tables = self.0.lock().expect("no panic holds this lock");
        let found = tables.get(name).ok_or_else(|| Error::user(format!("there is no table '{name}' in memory")))?;
        let schema = found.slices.first().map_or_else(|| table.schema.clone(), RecordBatch::schema);
        let wanted = request.columns.iter().map(|&c| {
            let name = table.schema.field(c).name();
            let place = schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name));
            place.ok_or_else(|| Error::user(format!("the table in memory has no column '{name}'")))
        });
        let columns = wanted.collect::<Result<Vec<_>>>()?;
        let mut slices = found.slices.clone();
        slices.reverse();
        Ok(Box::new(MemSource(Some(MemReader { slices, columns, probe: found.probe.clone() }))))
    }
}

struct MemSource(Option<MemReader>);

impl Source for MemSource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        Ok(self.0.take().into_iter().map(|reader| Box::new(reader) as Box<dyn PartitionReader>).collect())
    }
}

struct MemReader {
    /// Still to be handed out; the next one last.
    slices: Vec<RecordBatch>,
    columns: Vec<usize>,
    probe: Option<Arc<Mutex<Probe>>>,
}

impl PartitionReader for MemReader {
    fn next(&mut self) -> Result<Next> {
        let probe = self.probe.as_ref().map(|p| p.lock().expect("no panic holds this lock"));
        let mut probe = probe;
        if let Some(probe) = &mut probe {
            probe.asked();
        }
        let Some(slice) = self.slices.pop() else { return Ok(Next::End) };
        if let Some(probe) = &mut probe {
            probe.handing_out(slice.num_rows());
        }
        let rows = slice.project(&self.columns).map_err(|e| Error::world("cannot take columns").because(e))?;
        Ok(Next::Chunk(Box::new(MemChunk(rows))))
    }
}

struct MemChunk(RecordBatch);

impl Chunk for MemChunk {
    fn decode(self: Box<Self>) -> Decoded {
        let records = self.0.num_rows() as u64;
        Decoded { batches: vec![DecodedBatch { batch: self.0, records: None }], records, ..Decoded::default() }
    }
}

/// `'connector' = 'collect'`: keeps what it is given.
#[derive(Clone, Default)]
pub struct Collector {
    /// The columns, once the sink is open.
    pub schema: Arc<Mutex<Option<SchemaRef>>>,
    /// The rows.
    pub rows: Collect,
}

impl Collector {
    /// Takes the rows out.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.rows.0.lock().expect("no panic holds this lock"))
    }
}

impl Connector for Collector {
    fn name(&self) -> &'static str {
        "collect"
    }

    fn bounded(&self, _options: &Options) -> Result<bool> {
        Ok(true)
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        *self.schema.lock().expect("no panic holds this lock") = Some(table.schema.clone());
        Ok(Box::new(self.rows.clone()))
    }
}
