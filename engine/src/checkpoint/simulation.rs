//! Runs with checkpoints in a simulated world: one seed owns the storage, the sources, the sinks, the dice, and the moment of
//! the crash.
//!
//! Verified: whatever step a crash comes at, and whichever writes failed, were torn or found the disk full before it, the rows
//! that sinks of both kinds show in the end, the dead letters, the counts and the digests are those of a world where nothing
//! happened. The engine is the real one, from SQL to the manifest. `SIM_SEED=1234` repeats one world.
//!
//! Not verified here: threads (a world has one, so that a seed is the whole story), idle partitions (they go by the wall
//! clock), history, and real disks and brokers: `cli/tests` kill the real process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;

use crate::connector::*;
use crate::dice::Dice;
use crate::error::{Error, Result};
use crate::pipeline::{RunOptions, run_text};
use crate::run::poison::SIMULATED;

/// Queries of the worlds, one for each kind of state; `src` has columns id, k, v, at.
const QUERIES: &[&str] = &[
    "SELECT id, k, v FROM src WHERE v > 3",
    "SELECT k, window_end, COUNT(*) AS n, SUM(v) AS s FROM TUMBLE(src, at, INTERVAL '2' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, window_end, COUNT(*) AS n, MAX(v) AS s FROM HOP(src, at, INTERVAL '1' SECOND, INTERVAL '4' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, window_end, COUNT(*) AS n, SUM(v) AS s FROM HOP(src, at, INTERVAL '1' SECOND, INTERVAL '9' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, window_end, COUNT(*) AS n, SUM(v) AS s FROM CUMULATE(src, at, INTERVAL '1' SECOND, INTERVAL '4' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, window_end, COUNT(*) AS n, SUM(v) AS s FROM SESSION(TABLE src PARTITION BY k, DESCRIPTOR(at), INTERVAL '1' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, COUNT(DISTINCT v) AS n, MIN(v) AS s FROM src GROUP BY k",
    "SELECT id, v FROM src ORDER BY v DESC, id LIMIT 5",
    "SELECT id, k, COUNT(*) OVER w AS n, SUM(v) OVER w AS s FROM src WINDOW w AS (PARTITION BY k ORDER BY at RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND CURRENT ROW)",
    "SELECT id, k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY at) AS n, MAX(v) OVER (PARTITION BY k ORDER BY at) AS s FROM src",
    "SELECT id, PREDICT(line, k) AS n, MODEL_VERSION(line) AS s FROM src",
    "SELECT w AS k, COUNT(*) AS n, SUM(s) AS s FROM (SELECT window_time AS wt, k AS w, SUM(v) AS s FROM TUMBLE(src, at, INTERVAL '1' SECOND) GROUP BY k, window_start, window_end, window_time) GROUP BY w",
];

/// A record of a source: id, key, value, time in ms; or one that does not decode.
#[derive(Clone, Copy)]
enum Record {
    Row(i64, i64, i64, i64),
    Bad,
}

/// What lasts through a crash, and what decides.
struct Inner {
    dice: Dice,
    steps: u64,
    crash_at: Option<u64>,
    /// The process is gone: nothing that it still tries has an effect.
    dead: bool,
    /// Until this step every write finds the disk full.
    full_until: u64,
    /// Of a thousand steps, so many fail.
    faults: u64,
    /// A broken protocol: a write is said to be durable before it is.
    skip_sync: bool,
    trace: Vec<String>,
    objects: BTreeMap<String, Vec<u8>>,
    /// What was there before writes that are not durable.
    unsynced: BTreeMap<String, Option<Vec<u8>>>,
    locked: bool,
    /// Rows by sink and epoch: staged, and published.
    staged: BTreeMap<(String, u64), Vec<String>>,
    published: BTreeMap<(String, u64), Vec<String>>,
    /// The epoch that each transactional sink has last committed.
    markers: BTreeMap<String, u64>,
    records: Vec<Vec<Record>>,
}

#[derive(Clone)]
struct World(Arc<Mutex<Inner>>, Arc<String>);

/// What a world shows in the end.
#[derive(Debug, PartialEq)]
struct Shown {
    /// By sink.
    rows: BTreeMap<String, Vec<String>>,
    digests: BTreeMap<String, String>,
    rows_in: u64,
    letters: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        let query = QUERIES[dice.below(QUERIES.len() as u64) as usize];
        World::with_query(dice, query)
    }

    fn with_query(mut dice: Dice, query: &str) -> World {
        let records = (0..1 + dice.below(3)).map(|p| records(&mut dice, p)).collect();
        let inner = Inner {
            steps: 0,
            crash_at: None,
            dead: false,
            full_until: 0,
            faults: [0, 0, 5, 20][dice.below(4) as usize],
            skip_sync: false,
            trace: vec![],
            objects: BTreeMap::new(),
            unsynced: BTreeMap::new(),
            locked: false,
            staged: BTreeMap::new(),
            published: BTreeMap::new(),
            markers: BTreeMap::new(),
            records,
            dice,
        };
        let sql = format!(
            "SET 'pelton.checkpoint.dir' = 'ckpt'; SET 'dead-letters.path' = 'letters';
             CREATE TABLE src (id BIGINT, k BIGINT, v BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND)
             WITH ('connector' = 'sim');
             CREATE MODEL line INPUT (k BIGINT) WITH ('type' = 'linear', 'learn.from' = 'src.v');
             CREATE TABLE staged WITH ('connector' = 'sim') AS {query};
             CREATE TABLE direct WITH ('connector' = 'sim', 'transaction' = 'true') AS SELECT id, v FROM src WHERE k = 1;"
        );
        World(Arc::new(Mutex::new(inner)), Arc::new(sql))
    }

    fn crash_at(self, step: u64) -> World {
        self.lock().crash_at = Some(step);
        self
    }

    /// A world in which nothing goes wrong.
    fn calm(self) -> World {
        self.lock().faults = 0;
        self
    }

    fn without_sync(self) -> World {
        self.lock().skip_sync = true;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Runs until the input has ended, again and again after crashes and failures.
    fn run(&self) -> Result<Shown> {
        for life in 0..60 {
            let (batch_rows, batches) = {
                let mut inner = self.lock();
                (1 + inner.dice.below(6) as usize, 1 + inner.dice.below(5))
            };
            let options = RunOptions {
                threads: 1,
                batch_rows: Some(batch_rows),
                checkpoint_batches: Some(batches),
                restarts: Some(0),
                ..RunOptions::default()
            };
            match run_text(&self.1, &self.registry(), &options) {
                Ok(summary) if summary.broken.is_empty() => {
                    let inner = self.lock();
                    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
                    for ((sink, _), published) in &inner.published {
                        rows.entry(sink.clone()).or_default().extend(published.iter().cloned());
                    }
                    rows.values_mut().for_each(|rows| rows.sort());
                    let digests = summary.digests;
                    return Ok(Shown { rows, digests, rows_in: summary.rows_in, letters: summary.dead_letters });
                }
                Ok(_) => self.restart(life, "a partition broke"),
                Err(error) if error.to_string().contains("repeat rows") => return Err(error),
                Err(error) => self.restart(life, &error.to_string()),
            }
        }
        let trace = self.lock().trace.join("\n");
        panic!("the world does not come to an end:\n{}", &trace[trace.len().saturating_sub(2000)..]);
    }

    fn restart(&self, life: u32, why: &str) {
        let mut inner = self.lock();
        inner.trace.push(format!("life {life} ended: {why}"));
        inner.dead = false;
        inner.locked = false;
        for (name, before) in std::mem::take(&mut inner.unsynced) {
            if inner.dice.below(2) == 0 {
                match before {
                    Some(bytes) => drop(inner.objects.insert(name, bytes)),
                    None => drop(inner.objects.remove(&name)),
                }
            }
        }
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        registry.add(Arc::new(self.clone()));
        registry.set_places(Arc::new(self.clone()));
        registry
    }
}

/// Up to thirty records of a partition: times go up and down, some do not decode.
fn records(dice: &mut Dice, partition: u64) -> Vec<Record> {
    let mut time = dice.below(2000) as i64;
    let record = |i: u64| {
        time += dice.below(900) as i64 - 150;
        // Late for some of its windows, or for all.
        let time = if dice.below(6) == 0 { time - dice.below(6000) as i64 } else { time };
        match dice.below(15) {
            0 => Record::Bad,
            _ => Record::Row((partition * 1000 + i) as i64, dice.below(3) as i64, dice.below(10) as i64, time),
        }
    };
    (0..8 + partition * 5).map(record).collect()
}

impl Inner {
    /// One step: it may be the last of the process, or fail. `effect` says whether what was tried happens all the same.
    fn step(&mut self, what: &str) -> Step {
        if self.dead {
            return Step::Fails { effect: false };
        }
        self.steps += 1;
        let (step, effect) = (self.steps, self.dice.below(2) == 0);
        if self.crash_at == Some(step) {
            self.crash_at = None;
            self.dead = true;
            self.trace.push(format!("{step} {what}: the process is killed"));
            return Step::Fails { effect };
        }
        if self.dice.below(1000) < self.faults {
            self.trace.push(format!("{step} {what}: fails"));
            return Step::Fails { effect };
        }
        self.trace.push(format!("{step} {what}"));
        Step::Works
    }

    fn visible(&mut self, sink: &str, epoch: u64) {
        let key = (sink.to_string(), epoch);
        if let Some(rows) = self.staged.remove(&key) {
            self.published.insert(key, rows);
        }
    }
}

enum Step {
    Works,
    Fails { effect: bool },
}

impl Step {
    /// Does it, as far as it happens.
    fn then(self, effect: impl FnOnce()) -> Result<()> {
        match self {
            Step::Works => {
                effect();
                Ok(())
            }
            Step::Fails { effect: true } => {
                effect();
                Err(Error::world("simulated failure"))
            }
            Step::Fails { effect: false } => Err(Error::world("simulated failure")),
        }
    }
}

impl Storage for World {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        if !inner.dead && inner.dice.below(400) < inner.faults {
            inner.full_until = inner.steps + 6;
        }
        let is_full = inner.steps < inner.full_until;
        match inner.step(&format!("put {name}")) {
            Step::Works if is_full => return Err(Error::world("simulated full disk")),
            Step::Works => {}
            Step::Fails { effect: false } => return Err(Error::world("simulated failure")),
            Step::Fails { effect: true } => {
                // Torn: only the first part of it is there, or all.
                let len = inner.dice.below(bytes.len() as u64 + 1) as usize;
                inner.objects.insert(name.to_string(), bytes[..len].to_vec());
                return Err(Error::world("simulated torn write"));
            }
        }
        let before = inner.objects.insert(name.to_string(), bytes.to_vec());
        if inner.skip_sync {
            inner.unsynced.entry(name.to_string()).or_insert(before);
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().objects.get(name).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.lock().objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut inner = self.lock();
        let step = inner.step(&format!("remove {name}"));
        step.then(|| drop(inner.objects.remove(name)))
    }

    fn local_path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    fn lock(&self, _: &str) -> Result<Option<Box<dyn Send>>> {
        Ok(Some(Box::new(())))
    }
}

impl Places for World {
    fn dead_letters(&self, _: &str, _: Option<Duration>) -> Result<Box<dyn DeadLetterStore>> {
        Ok(Box::new(self.sink_of("letters", false)))
    }

    fn storage(&self, _: &str) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }

    fn directory(&self, path: &str) -> Result<Arc<dyn Storage>> {
        self.storage(path)
    }

    fn segment_writer(&self, _: &Path, _: &SchemaRef) -> Result<Box<dyn SegmentWriter>> {
        unreachable!("worlds keep no history")
    }

    fn read_segment(&self, _: &Path) -> Result<Vec<RecordBatch>> {
        unreachable!("worlds keep no history")
    }
}

impl Connector for World {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn bounded(&self, _: &Options) -> Result<bool> {
        Ok(true)
    }

    fn source(&self, table: &Table, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let schema = Arc::new(table.schema.project(&request.columns).unwrap());
        Ok(Box::new(SimSource { world: self.clone(), columns: request.columns.clone(), schema }))
    }

    fn sink(&self, table: &Table) -> Result<Box<dyn Sink>> {
        let transaction = table.options.flag("transaction", false)?;
        Ok(Box::new(self.sink_of(&table.name, transaction)))
    }
}

impl World {
    fn sink_of(&self, name: &str, transaction: bool) -> SimSink {
        SimSink { world: self.clone(), name: name.to_string(), transaction, rows: vec![] }
    }
}

struct SimSource {
    world: World,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Source for SimSource {
    fn partitions(&mut self) -> Result<Vec<Box<dyn PartitionReader>>> {
        let all = self.world.lock().records.clone();
        let reader = |(number, records): (usize, Vec<Record>)| -> Box<dyn PartitionReader> {
            let (columns, schema) = (self.columns.clone(), self.schema.clone());
            Box::new(SimReader { world: self.world.clone(), number, records, at: 0, columns, schema })
        };
        Ok(all.into_iter().enumerate().map(reader).collect())
    }
}

struct SimReader {
    world: World,
    number: usize,
    records: Vec<Record>,
    at: usize,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionReader for SimReader {
    fn next(&mut self) -> Result<Next> {
        let mut inner = self.world.lock();
        inner.step(&format!("read {} from {}", self.number, self.at)).then(|| ())?;
        if self.at == self.records.len() {
            return Ok(Next::End);
        }
        if inner.dice.below(8) == 0 {
            return Ok(Next::Pending(Duration::ZERO));
        }
        let end = (self.at + 1 + inner.dice.below(6) as usize).min(self.records.len());
        let records = self.records[self.at..end].to_vec();
        self.at = end;
        Ok(Next::Chunk(Box::new(SimChunk { records, columns: self.columns.clone(), schema: self.schema.clone() })))
    }

    fn seek(&mut self, offset: u64) -> Result<()> {
        self.at = offset as usize;
        Ok(())
    }

    fn name(&self) -> Option<String> {
        Some(format!("sim-{}", self.number))
    }
}

struct SimChunk {
    records: Vec<Record>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Chunk for SimChunk {
    fn decode(self: Box<Self>) -> Decoded {
        let mut decoded = Decoded { records: self.records.len() as u64, ..Decoded::default() };
        let mut rows = vec![];
        for (at, record) in self.records.iter().enumerate() {
            match record {
                Record::Row(id, k, v, time) => rows.push((at as u32, [*id, *k, *v, *time])),
                Record::Bad => {
                    decoded.bad.push(BadRecord { record: at as u32, reason: "bad".into(), bytes: vec![at as u8] });
                }
            }
        }
        let column = |at: &usize| -> ArrayRef {
            let values = rows.iter().map(|(_, row)| row[*at]);
            if *at == 3 {
                return Arc::new(TimestampMillisecondArray::from_iter_values(values));
            }
            Arc::new(Int64Array::from_iter_values(values))
        };
        let columns = self.columns.iter().map(column).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns).unwrap();
        if batch.num_rows() > 0 {
            let records = Some(rows.iter().map(|(at, _)| *at).collect());
            decoded.batches.push(DecodedBatch { batch, records });
        }
        decoded
    }
}

/// A sink that stages rows by epoch, or one whose rows are in a transaction until they are published.
struct SimSink {
    world: World,
    name: String,
    transaction: bool,
    rows: Vec<String>,
}

impl SimSink {
    fn sealed(&mut self, epoch: u64) -> Box<dyn Staged> {
        let (world, name, transaction) = (self.world.clone(), self.name.clone(), self.transaction);
        Box::new(SimStaged { world, name, transaction, epoch, rows: std::mem::take(&mut self.rows) })
    }

    fn put_back(&mut self, from: Option<(u64, &str)>) {
        let mut inner = self.world.lock();
        let last = from.map_or(0, |(epoch, token)| {
            assert_eq!(token, format!("{} {epoch}", self.name));
            epoch
        });
        if !self.transaction && last > 0 {
            inner.visible(&self.name, last);
        }
        let is_later = |(name, epoch): &(String, u64)| *name == self.name && *epoch > last;
        inner.staged.retain(|key, _| key.0 != self.name);
        if !self.transaction {
            inner.published.retain(|key, _| !is_later(key));
        }
    }
}

impl Sink for SimSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let text = |row| {
            let values: Vec<String> = batch.columns().iter().map(|c| array_value_to_string(c, row).unwrap()).collect();
            values.join("|")
        };
        self.rows.extend((0..batch.num_rows()).map(text));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        unreachable!("runs of a world have checkpoints")
    }

    fn abort(&mut self) {}

    fn committed(&mut self, _: &str) -> Result<Committed> {
        Ok(match self.transaction {
            true => Committed::Until(self.world.lock().markers.get(&self.name).copied().unwrap_or(0)),
            false => Committed::FromToken,
        })
    }

    fn restore(&mut self, from: Option<(u64, &str)>) -> Result<()> {
        self.put_back(from);
        Ok(())
    }

    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        Ok(self.sealed(epoch))
    }
}

impl DeadLetterStore for SimSink {
    fn write(&mut self, letters: &[DeadLetter]) -> Result<()> {
        self.rows.extend(letters.iter().map(|l| format!("{} {} {}", l.partition, l.offset, l.kind.as_str())));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        unreachable!("runs of a world have checkpoints")
    }

    fn restore(&mut self, _: &str, from: Option<(u64, &str)>) -> Result<()> {
        self.put_back(from);
        Ok(())
    }

    fn seal(&mut self, epoch: u64) -> Result<Box<dyn Staged>> {
        Ok(self.sealed(epoch))
    }
}

struct SimStaged {
    world: World,
    name: String,
    transaction: bool,
    epoch: u64,
    rows: Vec<String>,
}

impl Staged for SimStaged {
    fn stage(&mut self) -> Result<String> {
        let mut inner = self.world.lock();
        let step = inner.step(&format!("stage {} {}", self.name, self.epoch));
        let key = (self.name.clone(), self.epoch);
        step.then(|| {
            if !self.transaction {
                inner.staged.insert(key, self.rows.clone());
            }
        })?;
        Ok(format!("{} {}", self.name, self.epoch))
    }

    fn publish(&mut self) -> Result<()> {
        let mut inner = self.world.lock();
        let step = inner.step(&format!("publish {} {}", self.name, self.epoch));
        step.then(|| match self.transaction {
            true => {
                inner.published.insert((self.name.clone(), self.epoch), std::mem::take(&mut self.rows));
                inner.markers.insert(self.name.clone(), self.epoch);
            }
            false => inner.visible(&self.name, self.epoch),
        })
    }
}

fn seeds(default: u64) -> Vec<u64> {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse().ok());
    match number("SIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SIM_SEEDS").unwrap_or(default)).collect(),
    }
}

/// Every crash step of one world. In words, what went wrong.
fn check(seed: u64) -> std::result::Result<u64, String> {
    let calm = World::new(seed).calm();
    let want = calm.run().map_err(|e| format!("seed {seed}, without a crash: {e}"))?;
    let steps = calm.lock().steps;
    for step in 1..=steps + 3 {
        let stormy = World::new(seed).crash_at(step);
        let got = stormy.run().map_err(|e| format!("seed {seed}, crash at step {step}: {e}"))?;
        if got != want {
            let trace = stormy.lock().trace.join("\n");
            return Err(format!("seed {seed}, crash at step {step}:\n{got:#?}\ninstead of\n{want:#?}\n{trace}"));
        }
    }
    Ok(steps)
}

/// Checks all of these, on all cores.
fn check_all(seeds: &[u64]) {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let failures = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let (failures, own) = (&failures, seeds.iter().skip(core).step_by(cores));
            scope.spawn(move || {
                for seed in own {
                    if let Err(text) = check(*seed) {
                        failures.lock().unwrap().push(text);
                        return;
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_crash_at_any_step_neither_loses_nor_repeats_a_row() {
    check_all(&seeds(200));
}

#[test]
#[ignore = "some 25 minutes: ./x test --full"]
fn a_crash_at_any_step_of_many_worlds() {
    check_all(&seeds(10_000));
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in seeds(20) {
        let traces = [(); 2].map(|()| {
            let world = World::new(seed).crash_at(17);
            let shown = world.run().unwrap();
            let trace = world.lock().trace.clone();
            (format!("{shown:?}"), trace)
        });
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

/// A bug that one record brings about ends in a world where that record did not decode, but for the letter's kind.
#[test]
fn a_record_that_ends_every_run_becomes_a_letter() {
    for seed in seeds(40) {
        let mut dice = Dice(seed);
        let (partition, at) = (0, dice.below(8) as usize);
        let query = QUERIES[dice.below(QUERIES.len() as u64) as usize];
        let world = |record: Record| {
            let world = World::with_query(dice.clone(), query).calm();
            world.lock().records[partition][at] = record;
            world
        };
        let want = world(Record::Bad);
        want.run().unwrap();
        let poisoned = world(Record::Row(SIMULATED, 1, 5, 1_000_000));
        let options = RunOptions {
            threads: 1,
            batch_rows: Some(1 + dice.below(7) as usize),
            checkpoint_batches: Some(1 + dice.below(5)),
            sets: vec![("pelton.restart.delay".into(), "1ms".into()), ("pelton.restart.attempts".into(), "2".into())],
            ..RunOptions::default()
        };
        run_text(&poisoned.1, &poisoned.registry(), &options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let rows = |world: &World| -> BTreeMap<String, Vec<String>> {
            let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for ((sink, _), published) in &world.lock().published {
                rows.entry(sink.clone()).or_default().extend(published.iter().cloned());
            }
            rows.values_mut().for_each(|rows| rows.sort());
            rows
        };
        let letter = |kind: &str| format!("{partition} {at} {kind}");
        let mut got = rows(&poisoned);
        for text in got.get_mut("letters").unwrap().iter_mut().filter(|text| **text == letter("poison")) {
            *text = letter("undecodable");
        }
        assert_eq!(got, rows(&want), "seed {seed}: {query}");
    }
}

#[test]
fn a_protocol_that_skips_a_sync_is_caught() {
    let caught = |seed: u64| {
        let want = World::new(seed).calm().run().unwrap();
        (1..60).any(|step| {
            let world = World::new(seed).without_sync().crash_at(step);
            !matches!(world.run(), Ok(got) if got == want)
        })
    };
    let seeds: BTreeSet<u64> = (0..20).filter(|seed| caught(*seed)).collect();
    assert!(seeds.len() >= 5, "only {seeds:?}");
}

#[test]
fn worlds_are_of_every_kind() {
    let of = |seed: u64| QUERIES.iter().position(|query| World::new(seed).1.contains(query)).unwrap();
    let kinds: BTreeSet<usize> = (0..200).map(of).collect();
    assert_eq!(kinds.len(), QUERIES.len());
}
