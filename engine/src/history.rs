//! History: what a source brought, kept as Parquet segments with a manifest, and read again.
//!
//! A history directory holds one folder a run (`run-000001`, …): the segments, each one run of offsets of one partition
//! in arrival order, and `manifest.json`, replaced atomically whenever a segment is sealed. Segments store the raw
//! columns (physical and metadata ones, before any `WHERE`) and each row's offset.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use pelton_kernels::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::batch::internal;
use crate::by_window::WindowDigests;
use crate::checkpoint::manifest::{SinkState, SourceState};
use crate::connector::{
    Chunk, Decoded, DecodedBatch, Next, PartitionReader, Places, ReadRequest, SegmentWriter, Source, Staged, Storage,
};
use crate::error::{Error, Result};
use crate::run::{HistoryRows, HistorySink};
use crate::versions::{KeptModels, ModelState};

/// Column of the offsets in a segment.
const OFFSET: &str = "__offset";
/// Column of the turns of their micro-batches, where the order of arrival counts.
const TURN: &str = "__turn";
/// Rows after which a segment is sealed whatever the clock says: it is read back in one piece.
const SEGMENT_ROWS_MAX: u64 = 1 << 20;

/// What the manifest says of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this file.
    pub version: u32,
    /// Name of the source table.
    pub table: String,
    /// `running`, `end-of-input`, `stopped`.
    pub ended: String,
    /// Fingerprint of the statements and settings that shape the answer.
    pub pipeline: String,
    /// The segments, in the order they were sealed.
    pub segments: Vec<Segment>,
    /// Per partition, how far the run came.
    pub partitions: Vec<PartitionState>,
    /// The watermark that the run came to, µs; absent if there was none, or if it is still running.
    #[serde(default)]
    pub watermark: Option<i64>,
    /// Per sink, the digest of all rows it was given.
    pub sinks: BTreeMap<String, String>,
    /// The same by window, for sinks that tell their rows' windows.
    #[serde(default)]
    pub windows: BTreeMap<String, WindowDigests>,
    /// Bounded tables that were read beside, with fingerprints.
    pub tables: BTreeMap<String, String>,
    /// The versions of models whose files are read again, by name.
    #[serde(default)]
    pub models: BTreeMap<String, ModelState>,
}

impl Manifest {
    /// Where the first segments of a partition are expired: the offset of the first row that is left and the watermark
    /// before it.
    pub(crate) fn mark_after_expired(&self, partition: u32) -> Option<(u64, i64)> {
        let mut segments: Vec<&Segment> = self.segments.iter().filter(|s| s.partition == partition).collect();
        segments.sort_by_key(|s| s.first_offset);
        let first = segments.iter().position(|s| !s.expired).filter(|at| *at > 0)?;
        Some((segments[first].first_offset, segments[first].watermark?))
    }
}

/// A run of offsets of one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// File name within the run's folder.
    pub file: String,
    /// Partition of the source.
    pub partition: u32,
    /// Offset of the first row.
    pub first_offset: u64,
    /// Offset after the last row.
    pub end_offset: u64,
    /// Rows in it.
    pub rows: u64,
    /// Watermark before the first row, µs; absent if there was none yet.
    pub watermark: Option<i64>,
    /// Digest of its rows with their offsets.
    pub digest: String,
    /// When it was sealed, in milliseconds since 1970.
    #[serde(default)]
    pub sealed_ms: u64,
    /// Its file was removed, as `history.retention` asked.
    #[serde(default)]
    pub expired: bool,
    /// The epoch that it was sealed in, in a run with checkpoints.
    #[serde(default)]
    pub epoch: u64,
}

/// How far a partition came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Partition of the source.
    pub partition: u32,
    /// Offset after the last record.
    pub offset: u64,
    /// Watermark after the last row, µs.
    pub watermark: Option<i64>,
    /// Watermarks lent to it when it came back from being idle: (offset, floor).
    pub floors: Vec<(u64, i64)>,
}

/// The folder of a run.
pub fn run_name(number: u32) -> String {
    format!("run-{number:06}")
}

/// Numbers of the runs in a history, ascending.
pub fn runs(storage: &dyn Storage) -> Result<Vec<u32>> {
    let mut numbers: Vec<u32> = storage
        .list("")?
        .iter()
        .filter_map(|name| name.strip_suffix("/manifest.json")?.strip_prefix("run-")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// Reads the manifest of a run.
pub fn manifest(storage: &dyn Storage, run: u32) -> Result<Manifest> {
    let name = format!("{}/manifest.json", run_name(run));
    let bytes = storage.get(&name)?.ok_or_else(|| Error::world(format!("the history has no {name}")))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::world(format!("cannot read {name}")).because(e))
}

/// Writes the manifest of a run, all or nothing.
pub fn put_manifest(storage: &dyn Storage, run: u32, manifest: &Manifest) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(manifest).map_err(|e| Error::world("cannot write a manifest").because(e))?;
    storage.put(&format!("{}/manifest.json", run_name(run)), &bytes)
}

pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// Removes the files of segments that were sealed longer ago than `retention`, and says so in the manifest.
fn expire(storage: &dyn Storage, run: u32, manifest: &mut Manifest, retention: Duration) -> Result<()> {
    let limit = now_ms().saturating_sub(retention.as_millis() as u64);
    let mut gone = vec![];
    for segment in manifest.segments.iter_mut().filter(|s| !s.expired && s.sealed_ms < limit) {
        segment.expired = true;
        gone.push(format!("{}/{}", run_name(run), segment.file));
    }
    if gone.is_empty() {
        return Ok(());
    }
    // First the manifest: a reader finds every file that it names.
    put_manifest(storage, run, manifest)?;
    gone.iter().try_for_each(|name| storage.remove(name))
}

/// Raw columns without what the engine itself can say again, plus the offset and, if wanted, the turn.
fn segment_schema(raw: &SchemaRef, turns: bool) -> (SchemaRef, Vec<usize>) {
    let kept: Vec<usize> = (0..raw.fields().len())
        .filter(|&i| !crate::intake::ENGINE_METADATA.iter().any(|k| *raw.field(i).name() == format!("metadata {k}")))
        .collect();
    let mut fields: Vec<Field> = kept.iter().map(|&i| raw.field(i).clone()).collect();
    fields.push(Field::new(OFFSET, DataType::Int64, false));
    fields.extend(turns.then(|| Field::new(TURN, DataType::Int64, false)));
    (Arc::new(Schema::new(fields)), kept)
}

/// Keeps the history of one source during a run.
pub struct HistoryKeeper {
    places: Arc<dyn Places>,
    storage: Arc<dyn Storage>,
    run: u32,
    manifest: Manifest,
    schema: SchemaRef,
    kept: Vec<usize>,
    interval: Duration,
    retention: Option<Duration>,
    open: BTreeMap<u32, OpenSegment>,
    sealed_at: Instant,
    /// In a run with checkpoints, segments that are finished and wait for the next one.
    waiting: Option<Vec<Segment>>,
    /// What stands before the sinks' digests: `fast:`, `volatile:`.
    prefix: String,
}

/// What a checkpoint knows of a history.
#[derive(Serialize, Deserialize)]
struct Token {
    run: u32,
    /// The segments that its epoch has added.
    segments: Vec<Segment>,
}

struct OpenSegment {
    writer: Box<dyn SegmentWriter>,
    segment: Segment,
    digest: Digest,
}

impl HistoryKeeper {
    /// Starts the history of a run of `table` under `path`. `turns`: the order of arrival is kept, too. Segments of earlier runs that are older than `retention` go.
    pub fn start(
        places: Arc<dyn Places>,
        path: &str,
        table: &str,
        pipeline: &str,
        (raw, turns): (&SchemaRef, bool),
        interval: Duration,
        retention: Option<Duration>,
    ) -> Result<Self> {
        let storage = places.directory(path)?;
        let earlier = runs(storage.as_ref())?;
        if let Some(retention) = retention {
            for &run in &earlier {
                let mut manifest = manifest(storage.as_ref(), run)?;
                expire(storage.as_ref(), run, &mut manifest, retention)?;
            }
        }
        let run = earlier.last().map_or(1, |last| last + 1);
        let manifest = Manifest {
            version: 1,
            table: table.into(),
            ended: "running".into(),
            pipeline: pipeline.into(),
            ..Default::default()
        };
        put_manifest(storage.as_ref(), run, &manifest)?;
        let (schema, kept) = segment_schema(raw, turns);
        Ok(HistoryKeeper {
            places,
            storage,
            run,
            manifest,
            schema,
            kept,
            interval,
            retention,
            open: BTreeMap::new(),
            sealed_at: Instant::now(),
            waiting: None,
            prefix: String::new(),
        })
    }

    /// From here on segments are added at checkpoints. `prefix` stands before the sinks' digests.
    pub fn with_checkpoints(mut self, prefix: &str) -> Self {
        self.waiting = Some(vec![]);
        self.prefix = prefix.to_string();
        self
    }

    /// Goes on with a history as it was at the end of an epoch: segments of later ones go.
    pub fn resume(
        places: Arc<dyn Places>,
        path: &str,
        (raw, turns): (&SchemaRef, bool),
        retention: Option<Duration>,
        (epoch, token): (u64, &str),
        so_far: &SoFar,
    ) -> Result<Self> {
        let token: Token = serde_json::from_str(token)
            .map_err(|e| Error::world(format!("the checkpoint says nothing of the history '{path}'")).because(e))?;
        let storage = places.directory(path)?;
        let mut manifest = manifest(storage.as_ref(), token.run)?;
        manifest.segments.retain(|segment| segment.epoch < epoch);
        manifest.segments.extend(token.segments);
        so_far.tell(&mut manifest);
        put_manifest(storage.as_ref(), token.run, &manifest)?;
        let folder = run_name(token.run);
        for name in storage.list(&format!("{folder}/"))? {
            let file = &name[folder.len() + 1..];
            if file.ends_with(".parquet") && !manifest.segments.iter().any(|segment| segment.file == file) {
                storage.remove(&name)?;
            }
        }
        let (schema, kept) = segment_schema(raw, turns);
        Ok(HistoryKeeper {
            places,
            storage,
            run: token.run,
            manifest,
            schema,
            kept,
            interval: Duration::MAX,
            retention,
            open: BTreeMap::new(),
            sealed_at: Instant::now(),
            waiting: Some(vec![]),
            prefix: String::new(),
        })
    }

    /// Storage and number of the run, to finish its manifest after the sinks were committed.
    pub fn location(&self) -> (Arc<dyn Storage>, u32) {
        (self.storage.clone(), self.run)
    }

    fn close(&mut self, partition: u32) -> Result<()> {
        let Some(open) = self.open.remove(&partition) else { return Ok(()) };
        let segment = open.finish()?;
        if let Some(waiting) = &mut self.waiting {
            waiting.push(segment);
            return Ok(());
        }
        self.manifest.segments.push(segment);
        put_manifest(self.storage.as_ref(), self.run, &self.manifest)
    }
}

impl OpenSegment {
    fn finish(self) -> Result<Segment> {
        self.writer.finish()?;
        Ok(Segment { digest: self.digest.to_string(), sealed_ms: now_ms(), ..self.segment })
    }
}

/// How far a run has come.
pub struct SoFar {
    partitions: Vec<PartitionState>,
    watermark: Option<i64>,
    sinks: BTreeMap<String, String>,
    windows: BTreeMap<String, WindowDigests>,
    models: BTreeMap<String, ModelState>,
    ended: bool,
}

impl SoFar {
    /// At a cut: how far a source was read, and what the sinks were given; `prefix` stands before their digests.
    pub fn new(
        source: &SourceState,
        sinks: &BTreeMap<String, SinkState>,
        prefix: &str,
        ended: bool,
        models: &BTreeMap<String, ModelState>,
    ) -> Self {
        let partitions = source.partitions.iter().enumerate().map(|(number, at)| PartitionState {
            partition: number as u32,
            offset: at.offset,
            watermark: (at.mark != crate::batch::MARK_MIN).then_some(at.mark),
            floors: at.floors.clone(),
        });
        SoFar {
            partitions: partitions.collect(),
            watermark: Some(source.mark).filter(|mark| *mark != crate::batch::MARK_MIN),
            sinks: sinks.iter().map(|(name, sink)| (name.clone(), format!("{prefix}{}", sink.digest))).collect(),
            windows: sinks.iter().map(|(name, sink)| (name.clone(), sink.windows.clone())).collect(),
            models: models.clone(),
            ended,
        }
    }

    fn tell(&self, manifest: &mut Manifest) {
        manifest.ended = if self.ended { "end-of-input" } else { "stopped" }.to_string();
        manifest.partitions = self.partitions.clone();
        manifest.watermark = self.watermark;
        manifest.sinks = self.sinks.clone();
        manifest.windows = self.windows.clone();
        manifest.models = self.models.clone();
    }
}

/// What a history gets at a checkpoint.
struct StagedHistory {
    open: Vec<OpenSegment>,
    token: Token,
    epoch: u64,
    so_far: SoFar,
    models: KeptModels,
    storage: Arc<dyn Storage>,
    retention: Option<Duration>,
}

impl Staged for StagedHistory {
    fn stage(&mut self) -> Result<String> {
        for open in self.open.drain(..) {
            self.token.segments.push(open.finish()?);
        }
        self.token.segments.iter_mut().for_each(|segment| segment.epoch = self.epoch);
        self.models.put_files(self.storage.as_ref())?;
        serde_json::to_string(&self.token).map_err(|e| Error::world("cannot write what a history holds").because(e))
    }

    fn publish(&mut self) -> Result<()> {
        let mut manifest = manifest(self.storage.as_ref(), self.token.run)?;
        manifest.segments.retain(|segment| segment.epoch < self.epoch);
        manifest.segments.extend(self.token.segments.iter().cloned());
        self.so_far.tell(&mut manifest);
        put_manifest(self.storage.as_ref(), self.token.run, &manifest)?;
        match self.retention {
            Some(retention) => expire(self.storage.as_ref(), self.token.run, &mut manifest, retention),
            None => Ok(()),
        }
    }
}

impl HistorySink for HistoryKeeper {
    fn append(&mut self, rows: &HistoryRows) -> Result<()> {
        let HistoryRows { partition, columns, offsets, mark, turn } = rows;
        let (partition, mark) = (*partition, *mark);
        let n = columns.num_rows();
        if n == 0 {
            return Ok(());
        }
        let mut kept: Vec<ArrayRef> = self.kept.iter().map(|&i| columns.column(i).clone()).collect();
        kept.push(Arc::new(Int64Array::from_iter_values((0..n).map(|i| offsets.get(i) as i64))));
        if self.schema.fields().len() > kept.len() {
            kept.push(Arc::new(Int64Array::from(vec![*turn as i64; n])));
        }
        let rows = RecordBatch::try_new(self.schema.clone(), kept).map_err(internal)?;
        if !self.open.contains_key(&partition) {
            let first = offsets.get(0);
            let file = format!("p{partition:04}-{first:012}.parquet");
            let path: PathBuf = self.storage.local_path(&format!("{}/{file}", run_name(self.run)));
            let segment = Segment {
                file,
                partition,
                first_offset: first,
                watermark: (mark != crate::batch::MARK_MIN).then_some(mark),
                ..Default::default()
            };
            let writer = self.places.segment_writer(&path, &self.schema)?;
            self.open.insert(partition, OpenSegment { writer, segment, digest: Digest::default() });
        }
        let open = self.open.get_mut(&partition).expect("made above");
        open.writer.write(&rows)?;
        open.digest.update(&rows);
        open.segment.rows += n as u64;
        open.segment.end_offset = offsets.get(n - 1) + 1;
        if open.segment.rows >= SEGMENT_ROWS_MAX {
            self.close(partition)?;
        }
        Ok(())
    }

    fn tick(&mut self, end: bool) -> Result<()> {
        if end || self.sealed_at.elapsed() >= self.interval {
            let partitions: Vec<u32> = self.open.keys().copied().collect();
            partitions.into_iter().try_for_each(|p| self.close(p))?;
            if let Some(retention) = self.retention {
                expire(self.storage.as_ref(), self.run, &mut self.manifest, retention)?;
            }
            self.sealed_at = Instant::now();
        }
        Ok(())
    }

    fn seal(
        &mut self,
        epoch: u64,
        source: &SourceState,
        sinks: &BTreeMap<String, SinkState>,
        ended: bool,
        models: &KeptModels,
    ) -> Result<Box<dyn Staged>> {
        Ok(Box::new(StagedHistory {
            open: std::mem::take(&mut self.open).into_values().collect(),
            token: Token { run: self.run, segments: self.waiting.replace(vec![]).unwrap_or_default() },
            epoch,
            so_far: SoFar::new(source, sinks, &self.prefix, ended, &models.states),
            models: models.clone(),
            storage: self.storage.clone(),
            retention: self.retention,
        }))
    }
}

/// A run of a history, read like a source.
pub struct HistorySource {
    /// Who reads segments.
    pub places: Arc<dyn Places>,
    /// Where they are.
    pub storage: Arc<dyn Storage>,
    /// Which run.
    pub run: u32,
    /// What it holds.
    pub manifest: Manifest,
    /// Names and types of the physical columns that are wanted.
    pub columns: SchemaRef,
    /// What the engine wants.
    pub request: ReadRequest,
    /// The order of arrival is wanted, too.
    pub turns: bool,
}

impl Source for HistorySource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let count = self.manifest.partitions.iter().map(|p| p.partition + 1).max().unwrap_or(0);
        let count = count.max(self.manifest.segments.iter().map(|s| s.partition + 1).max().unwrap_or(1));
        let mut readers: Vec<Box<dyn PartitionReader>> = vec![];
        for partition in 0..count {
            let mut segments: Vec<Segment> =
                self.manifest.segments.iter().filter(|s| s.partition == partition && !s.expired).cloned().collect();
            segments.sort_by_key(|s| std::cmp::Reverse(s.first_offset));
            readers.push(Box::new(HistoryReader {
                places: self.places.clone(),
                storage: self.storage.clone(),
                run: self.run,
                segments,
                columns: self.columns.clone(),
                metadata: self.request.metadata.clone(),
                turns: self.turns,
                offset: 0,
            }));
        }
        Ok(readers)
    }
}

struct HistoryReader {
    places: Arc<dyn Places>,
    storage: Arc<dyn Storage>,
    run: u32,
    /// Still to be read; the next one last.
    segments: Vec<Segment>,
    columns: SchemaRef,
    metadata: Vec<String>,
    turns: bool,
    offset: u64,
}

impl PartitionReader for HistoryReader {
    fn next(&mut self) -> Result<Next> {
        let Some(segment) = self.segments.pop() else { return Ok(Next::End) };
        let base = std::mem::replace(&mut self.offset, segment.end_offset);
        Ok(Next::Chunk(Box::new(SegmentChunk {
            places: self.places.clone(),
            path: self.storage.local_path(&format!("{}/{}", run_name(self.run), segment.file)),
            base,
            end: segment.end_offset,
            columns: self.columns.clone(),
            metadata: self.metadata.clone(),
            turns: self.turns,
        })))
    }
}

struct SegmentChunk {
    places: Arc<dyn Places>,
    path: PathBuf,
    base: u64,
    end: u64,
    columns: SchemaRef,
    metadata: Vec<String>,
    turns: bool,
}

impl Chunk for SegmentChunk {
    fn decode(self: Box<Self>) -> Decoded {
        let records = self.end - self.base;
        match self.rows() {
            Ok(SegmentRows { batch, offsets, metadata, turns }) => Decoded {
                batches: vec![DecodedBatch { batch, records: Some(offsets) }],
                records,
                metadata_rows: metadata,
                turns,
                ..Default::default()
            },
            Err(error) => Decoded { records, broken: Some(error), ..Default::default() },
        }
    }
}

impl SegmentChunk {
    fn rows(&self) -> Result<SegmentRows> {
        let batches = self.places.read_segment(&self.path)?;
        let schema = batches
            .first()
            .map(|b| b.schema())
            .ok_or_else(|| Error::world(format!("{} is empty", self.path.display())))?;
        let all = arrow::compute::concat_batches(&schema, &batches).map_err(internal)?;
        let column = |name: &str| {
            all.column_by_name(name).cloned().ok_or_else(|| {
                Error::world(format!("the history segment {} has no column {name}", self.path.display()))
                    .hint("the table's columns have changed since the history was written")
            })
        };
        let offsets = column(OFFSET)?;
        let offsets: Vec<u32> =
            offsets.as_primitive::<Int64Type>().values().iter().map(|o| (*o as u64 - self.base) as u32).collect();
        let turns = match (self.turns, all.column_by_name(TURN)) {
            (false, _) => vec![],
            (true, Some(turns)) => begun(&offsets, turns.as_primitive::<Int64Type>().values()),
            (true, None) => {
                return Err(Error::user(format!(
                    "the history segment {} does not say in which order rows arrived",
                    self.path.display()
                ))
                .hint("it was written without 'pelton.over.mode' = 'arrival'"));
            }
        };
        let columns = self.columns.fields().iter().map(|f| {
            let array = column(f.name())?;
            if array.data_type() == f.data_type() {
                Ok(array)
            } else {
                arrow::compute::cast(&array, f.data_type()).map_err(internal)
            }
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.columns.clone(), columns, &options).map_err(internal)?;
        let metadata = self.metadata.iter().map(|key| Ok((key.clone(), column(&format!("metadata {key}"))?)));
        Ok(SegmentRows { batch, offsets, metadata: metadata.collect::<Result<Vec<_>>>()?, turns })
    }
}

/// What a segment holds.
struct SegmentRows {
    batch: RecordBatch,
    offsets: Vec<u32>,
    metadata: Vec<(String, ArrayRef)>,
    turns: Vec<(u64, u64)>,
}

/// The offsets with which turns begin, and the turns.
fn begun(offsets: &[u32], turns: &[i64]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = offsets.iter().zip(turns).map(|(o, t)| (u64::from(*o), *t as u64)).collect();
    all.dedup_by_key(|(_, turn)| *turn);
    all
}

/// Recomputes the digest of every segment; answers the segments that differ, with what was found.
pub fn check_segments(
    places: &Arc<dyn Places>,
    storage: &Arc<dyn Storage>,
    run: u32,
    manifest: &Manifest,
) -> Vec<(Segment, String)> {
    let mut wrong = vec![];
    for segment in manifest.segments.iter().filter(|s| !s.expired) {
        let path = storage.local_path(&format!("{}/{}", run_name(run), segment.file));
        match places.read_segment(&path) {
            Err(error) => wrong.push((segment.clone(), error.to_string())),
            Ok(batches) => {
                let mut digest = Digest::default();
                batches.iter().for_each(|b| digest.update(b));
                if digest.to_string() != segment.digest {
                    wrong.push((
                        segment.clone(),
                        format!("input digest {digest}, the manifest says {}", segment.digest),
                    ));
                }
            }
        }
    }
    wrong
}
