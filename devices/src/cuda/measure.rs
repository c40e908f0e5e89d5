//! What a GPU reaches on stages of the benchmark, and with models (`measure_forest`): from its own memory, from that of the host, and beside the processor; each answer
//! is compared with the processor's before a time counts. `pelton bench --gpu` runs it, `benches/gpu/run.sh` on a bare machine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::*;
use arrow::datatypes::{DataType, Int32Type, TimestampMillisecondType};
use pelton_kernels::Rows;
use pelton_kernels::aggregate::{AggregateKind, AggregateSpec};
use pelton_kernels::costs::DeviceProfile;
use pelton_kernels::program::{AggregateCall, Cpu, Device, GroupState, Program, ProgramError};
use pelton_kernels::select::{Comparable, Comparison, Members};
use pelton_kernels::stage::{Among, Folded, PaneOf, PaneTable, Stage, Test};

use super::api::{Api, Block, Fault, Pinned};
use super::plan::Plan;
use super::table::Table;
use super::{Cuda, Limits};

/// A measurement.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was done.
    pub what: String,
    /// Rows a second; for copies 0.
    pub rows_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// What part that is of the floor named in `of`, if there is one.
    pub share: Option<f64>,
    /// The floor.
    pub of: String,
    /// Anything else.
    pub note: String,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, bytes) = (self.rows_per_second / 1e6, self.bytes_per_second / 1e9);
        write!(f, "{}: {rows:.1} Mrow/s, {bytes:.1} GB/s", self.what)?;
        if let Some(share) = self.share {
            write!(f, ", {share:.2} of {}", self.of)?;
        }
        if !self.note.is_empty() {
            write!(f, "; {}", self.note)?;
        }
        Ok(())
    }
}

impl Figure {
    fn copy(what: &str, bytes: u64, seconds: f64) -> Figure {
        Figure {
            what: what.into(),
            rows_per_second: 0.0,
            bytes_per_second: bytes as f64 / seconds,
            share: None,
            of: String::new(),
            note: String::new(),
        }
    }
}

/// SplitMix64: the same rows on every machine.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A rank below `n` by Zipf's law with exponent `s`, as the benchmark's generator draws it.
    fn zipf(&mut self, n: u64, s: f64) -> u64 {
        let u = self.unit();
        let rank = match s {
            0.0 => u * n as f64,
            1.0 => (n as f64).powf(u),
            s => (((n as f64).powf(1.0 - s) - 1.0) * u + 1.0).powf(1.0 / (1.0 - s)),
        };
        (rank as u64).min(n - 1)
    }

    /// An amount of money: cents of a log-normal distribution.
    fn amount(&mut self) -> f64 {
        let normal = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        ((3.2 + 1.1 * normal).exp() * 100.0).round() / 100.0
    }
}

#[derive(Debug)]
struct OneOf(&'static [&'static str]);

impl Among for OneOf {
    fn members(&self, column: &ArrayRef) -> Option<Members> {
        let values = column.as_any_dictionary_opt()?.values().clone();
        let values = values.as_string::<i32>();
        Some(Members::new((0..values.len()).map(|i| self.0.contains(&values.value(i)))))
    }
}

const COUNTRIES: [&str; 40] = [
    "US", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "SE", "NO", "DK", "FI", "IE", "PT", "GR", "CZ", "AT", "CH", "BE",
    "HU", "RO", "BG", "HR", "SI", "SK", "LT", "LV", "EE", "CA", "MX", "BR", "AR", "CL", "JP", "KR", "IN", "AU", "NZ",
    "ZA", "NG",
];
const CHOSEN: &[&str] = &["US", "GB", "DE", "FR", "BR", "IN", "JP", "CA"];
/// Pinned memory for batches.
const PINNED_BYTES: u64 = 1 << 32;
/// Payments of a second of event time: 50 million an hour.
const PER_SECOND: i64 = 50_000_000 / 3600;

/// A workload: a stage, and rows for it.
struct Workload {
    name: &'static str,
    stage: Arc<Stage>,
    passes: fn(&[ArrayRef], usize) -> bool,
    rows: Rowmaker,
}

/// Makes rows, from so many on.
type Rowmaker = Box<dyn Fn(&mut Dice, usize, usize) -> Vec<ArrayRef> + Sync>;

fn call(kind: AggregateKind, arg: Option<(usize, DataType)>) -> AggregateCall {
    let (args, arg_types) = arg.into_iter().unzip();
    AggregateCall { spec: AggregateSpec { kind, distinct: false, arg_types, fast_float: false }, args, filter: None }
}

fn text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// A row's text of a dictionary.
fn text_of(column: &ArrayRef, row: usize) -> &str {
    let column = column.as_dictionary::<Int32Type>();
    column.values().as_string::<i32>().value(column.keys().value(row) as usize)
}

fn times(first: usize, rows: usize, per_second: i64) -> ArrayRef {
    let at = |row: usize| 1_700_000_000_000 + (first + row) as i64 * 1000 / per_second;
    Arc::new(TimestampMillisecondArray::from_iter_values((0..rows).map(at)))
}

/// country, mcc, amount, time.
fn payments(dice: &mut Dice, first: usize, rows: usize) -> Vec<ArrayRef> {
    let country = Int32Array::from_iter_values((0..rows).map(|_| dice.zipf(40, 0.9) as i32));
    let countries = DictionaryArray::<Int32Type>::new(country, Arc::new(StringArray::from(COUNTRIES.to_vec())));
    vec![
        Arc::new(countries),
        Arc::new(Int32Array::from_iter_values((0..rows).map(|_| 3000 + 20 * dice.zipf(300, 0.3) as i32))),
        Arc::new(Float64Array::from_iter_values((0..rows).map(|_| dice.amount()))),
        times(first, rows, PER_SECOND),
    ]
}

fn f1() -> Workload {
    use AggregateKind::*;
    let amount = || Some((2, DataType::Float64));
    let kinds = [Sum, Avg, Min, Max, StddevSamp];
    let aggregates = std::iter::once(call(Count, None)).chain(kinds.map(|kind| call(kind, amount()))).collect();
    let program = Program { keys: vec![(0, text()), (1, DataType::Int32)], aggregates };
    let tests = vec![
        Test::Double { column: 2, op: Comparison::Gt, constant: 50.0 },
        Test::Among { column: 0, values: Arc::new(OneOf(CHOSEN)) },
    ];
    let panes = Some(PaneOf { column: 3, width: 60_000, offset: 0 });
    Workload {
        name: "f1",
        stage: Arc::new(Stage { program: Arc::new(program), tests, panes }),
        passes: |columns, row| {
            let amount = columns[2].as_primitive::<arrow::datatypes::Float64Type>().value(row);
            Comparable::compare(amount, Comparison::Gt, 50.0) && CHOSEN.contains(&text_of(&columns[0], row))
        },
        rows: Box::new(payments),
    }
}

/// The stage of ysb behind its join: campaign, kind of event, time.
fn ysb() -> Workload {
    let program = Program { keys: vec![(0, DataType::Int32)], aggregates: vec![call(AggregateKind::Count, None)] };
    Workload {
        name: "ysb, joined before",
        stage: Arc::new(Stage {
            program: Arc::new(program),
            tests: vec![Test::Among { column: 1, values: Arc::new(OneOf(&["view"])) }],
            panes: Some(PaneOf { column: 2, width: 10_000, offset: 0 }),
        }),
        passes: |columns, row| text_of(&columns[1], row) == "view",
        rows: Box::new(|dice, first, rows| {
            let kinds = Int32Array::from_iter_values((0..rows).map(|_| (dice.next() % 3) as i32));
            let names = Arc::new(StringArray::from(vec!["view", "click", "purchase"]));
            vec![
                Arc::new(Int32Array::from_iter_values((0..rows).map(|_| (dice.next() % 100) as i32))),
                Arc::new(DictionaryArray::<Int32Type>::new(kinds, names)),
                times(first, rows, 100_000),
            ]
        }),
    }
}

fn by_key(name: &'static str, rows: Rowmaker, width: i64) -> Workload {
    use AggregateKind::*;
    let amount = || Some((1, DataType::Float64));
    let aggregates = vec![call(Count, None), call(Sum, amount()), call(Max, amount())];
    let program = Program { keys: vec![(0, DataType::Int64)], aggregates };
    let panes = Some(PaneOf { column: 2, width, offset: 0 });
    Workload {
        name,
        stage: Arc::new(Stage { program: Arc::new(program), tests: vec![], panes }),
        passes: |_, _| true,
        rows,
    }
}

/// key, amount, time; keys by Zipf's law.
fn keyed(dice: &mut Dice, first: usize, rows: usize, groups: u64, s: f64) -> Vec<ArrayRef> {
    // Frequent keys are no neighbours.
    let key = |rank: u64| 4_000_000_000_000_000 + (rank.wrapping_mul(0x9e37_79b9) % (1 << 40)) as i64;
    vec![
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| key(dice.zipf(groups, s))))),
        Arc::new(Float64Array::from_iter_values((0..rows).map(|_| dice.amount()))),
        times(first, rows, PER_SECOND),
    ]
}

fn f2() -> Workload {
    by_key("f2", Box::new(|dice, first, rows| keyed(dice, first, rows, 1_000_000, 0.8)), 600_000)
}

/// The stages that are measured, with some rows for each.
#[cfg(test)]
pub(super) fn stages(rows: usize) -> Vec<(Arc<Stage>, Vec<ArrayRef>)> {
    [f1(), ysb(), f2()].iter().map(|workload| (workload.stage.clone(), rows_of(workload, 7, rows))).collect()
}

/// Rows of a workload, made by all cores: the same on every machine.
fn rows_of(workload: &Workload, seed: u64, rows: usize) -> Vec<ArrayRef> {
    let piece = rows.div_ceil(64).max(1 << 9);
    let pieces: Vec<usize> = (0..rows).step_by(piece).collect();
    let made = parallel(&pieces, |first| {
        (workload.rows)(&mut Dice(seed << 32 | *first as u64), *first, piece.min(rows - first))
    });
    let column = |at: usize| {
        let parts: Vec<&dyn Array> = made.iter().map(|columns| columns[at].as_ref()).collect();
        arrow::compute::concat(&parts).expect("parts of one type")
    };
    (0..made[0].len()).map(column).collect()
}

/// Cores of this machine.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Does something with each item, on all cores; the answers in order.
pub(super) fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    by_threads(cores(), items, work)
}

fn by_threads<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len());
            std::iter::from_fn(take).map(|at| (at, work(&items[at]))).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no work panics")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

type Panes = BTreeMap<i64, Box<dyn GroupState>>;

/// What the processor makes of the rows, in the plain way: a state a pane.
fn reference(workload: &Workload, columns: &[ArrayRef], panes: &mut Panes) -> Result<(), ProgramError> {
    let of = workload.stage.panes.expect("every workload has panes");
    let times = columns[of.column].as_primitive::<TimestampMillisecondType>();
    let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for row in (0..times.len()).filter(|row| (workload.passes)(columns, *row)) {
        by_pane.entry(of.start(of.number(times.value(row)) as i64)).or_default().push(row as u32);
    }
    for (pane, rows) in by_pane {
        let state = match panes.entry(pane) {
            std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => free.insert(Cpu.state(&workload.stage.program, 0)?),
        };
        state.update(columns, Rows::List(&rows))?;
    }
    Ok(())
}

/// The same by all cores.
fn reference_by_all(workload: &Workload, columns: &[ArrayRef]) -> Result<Panes, ProgramError> {
    let rows = columns[0].len();
    let piece = rows.div_ceil(16).max(1);
    let starts: Vec<usize> = (0..rows).step_by(piece).collect();
    let parts = parallel(&starts, |start| {
        let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(*start, piece.min(rows - start))).collect();
        let mut panes = Panes::new();
        reference(workload, &part, &mut panes).map(|()| panes)
    });
    let mut all = Panes::new();
    for part in parts {
        for (pane, state) in part? {
            match all.get_mut(&pane) {
                Some(there) => there.merge(state.as_ref())?,
                None => drop(all.insert(pane, state)),
            }
        }
    }
    Ok(all)
}

/// A sum over groups of hashes of their keys and answers: equal if these are, whatever the order of groups.
fn digest(panes: &Panes) -> Result<u128, ProgramError> {
    let mut sum = 0u128;
    for (pane, state) in panes {
        for part in state.parts()? {
            let columns: Vec<ArrayRef> = part.keys()?.into_iter().chain(part.finish()?).collect();
            let bits: Vec<ArrayRef> = columns
                .iter()
                .map(|column| arrow::compute::cast(column, &DataType::Utf8))
                .collect::<Result<_, _>>()
                .unwrap_or(columns.clone());
            for row in 0..part.groups() {
                let mut text = format!("{pane}");
                for (column, raw) in bits.iter().zip(&columns) {
                    match raw.as_primitive_opt::<arrow::datatypes::Float64Type>() {
                        Some(doubles) => {
                            text += &format!("|{:?}", doubles.is_valid(row).then(|| doubles.value(row).to_bits()))
                        }
                        None => text += &format!("|{}", column.as_string::<i32>().value(row)),
                    }
                }
                sum = sum.wrapping_add(xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
            }
        }
    }
    Ok(sum)
}

fn same(what: &str, want: &Panes, got: &Panes) -> Result<(), String> {
    let (want, got) = (digest(want).map_err(|e| e.to_string())?, digest(got).map_err(|e| e.to_string())?);
    if want == got { Ok(()) } else { Err(format!("{what}: the device's answer is another than the processor's")) }
}

/// What a batch costs beside its rows, and what the bus brings. Rows are charged for packing, which no copy tells: about what it
/// took on the machines that were looked at, to be corrected by the first batches.
pub(super) fn profile(api: &Arc<dyn Api>, now: &dyn Fn() -> Duration) -> Result<DeviceProfile, String> {
    const SMALL: u64 = 1 << 12;
    const LARGE: u64 = 1 << 24;
    const PACKING_NS: f64 = 5.0;
    const MERGING_NS: f64 = 400.0;
    let (failed, unfit) = (|fault: Fault| fault.0, |unfit: crate::Unfit| unfit.to_string());
    let block = Block::new(api, LARGE).map_err(unfit)?;
    let pinned = Pinned::new(api, LARGE as usize).map_err(unfit)?;
    let least_us = |work: &dyn Fn() -> Result<(), Fault>| -> Result<f64, Fault> {
        let mut least = f64::MAX;
        for _ in 0..4 {
            let start = now();
            work()?;
            api.wait(api.mark()?)?;
            least = least.min(now().saturating_sub(start).as_secs_f64() * 1e6);
        }
        Ok(least)
    };
    let cleared = least_us(&|| api.zero(block.at, 16)).map_err(failed)?;
    let copied = |bytes: u64| least_us(&|| api.copy_in(pinned.as_ptr(), bytes, block.at)).map_err(failed);
    let (few, many) = (copied(SMALL)?, copied(LARGE)?);
    let read = |bytes: u64| least_us(&|| api.copy_out(block.at, bytes, pinned.as_ptr())).map_err(failed);
    let (few_read, many_read) = (read(SMALL)?, read(LARGE)?);
    let gb_s = |few: f64, many: f64| (LARGE - SMALL) as f64 / (many - few).max(1.0) / 1e3;
    Ok(DeviceProfile {
        launch_us: cleared,
        copy_t0_us: few,
        copy_gb_s: gb_s(few, many),
        row_ns: PACKING_NS,
        read_t0_us: few_read,
        read_gb_s: gb_s(few_read, many_read),
        merge_ns: MERGING_NS,
    })
}

struct Run<'a> {
    device: &'a Cuda,
    full: bool,
    tell: &'a mut dyn FnMut(Figure),
    /// Bytes a second of a copy on the device, read and written; from the host to it.
    on_device: f64,
    to_device: f64,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As much as fills a GPU.
    Full,
    /// So little that a test can do it.
    Tiny,
}

/// Measures the device, and tells each figure as it comes. Fails if an answer is not the processor's.
pub fn measure(device: &Arc<Cuda>, size: Size, tell: &mut dyn FnMut(Figure)) -> Result<(), String> {
    let full = size == Size::Full;
    let mut run = Run { device, full, tell, on_device: 1.0, to_device: 1.0 };
    run.copies()?;
    super::measure_forest::measure(device, full, run.tell)?;
    for (workload, rows) in [(f1(), 1 << 25), (ysb(), 1 << 25), (f2(), 1 << 22)] {
        run.resident(&workload, if full { rows } else { 1 << 14 })?;
    }
    run.sweep()?;
    for (workload, rows) in [(f1(), 1 << 25), (ysb(), 1 << 25), (f2(), 1 << 23)] {
        run.host(&workload, if full { rows } else { 1 << 13 }, if full { 1 << 20 } else { 1 << 12 })?;
    }
    Ok(())
}

impl Run<'_> {
    fn table(&self, stage: &Arc<Stage>) -> Result<Table, String> {
        let plan = Plan::of(stage).map_err(|stops| format!("{stops:?}"))?;
        let Cuda { api, tally, limits, .. } = self.device;
        // Large batches are measured, too.
        let limits = Limits { pinned_bytes: limits.pinned_bytes.max(PINNED_BYTES), ..*limits };
        Ok(Table::new(api.clone(), Arc::new(plan), limits, tally.clone()))
    }

    fn copies(&mut self) -> Result<(), String> {
        let api: &Arc<dyn Api> = &self.device.api;
        let bytes: u64 = if self.full { 1 << 30 } else { 1 << 16 };
        let failed = |fault: Fault| fault.0;
        let unfit = |unfit: crate::Unfit| unfit.to_string();
        let (from, to) = (Block::new(api, bytes).map_err(unfit)?, Block::new(api, bytes).map_err(unfit)?);
        let host = Pinned::new(api, bytes as usize).map_err(unfit)?;
        let timed = |work: &dyn Fn() -> Result<(), Fault>| -> Result<f64, Fault> {
            let mut best = f64::MAX;
            for _ in 0..5 {
                let start = Instant::now();
                work()?;
                api.wait(api.mark()?)?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            Ok(best)
        };
        let seconds = timed(&|| (0..4).try_for_each(|_| api.copy(from.at, bytes, to.at))).map_err(failed)?;
        self.on_device = 8.0 * bytes as f64 / seconds;
        (self.tell)(Figure::copy("copy on the device, read and written", 8 * bytes, seconds));
        let seconds = timed(&|| api.copy_in(host.as_ptr(), bytes, from.at)).map_err(failed)?;
        self.to_device = bytes as f64 / seconds;
        (self.tell)(Figure::copy("copy from pinned memory of the host", bytes, seconds));
        let seconds = timed(&|| api.copy_out(from.at, bytes, host.as_ptr())).map_err(failed)?;
        (self.tell)(Figure::copy("copy to pinned memory of the host", bytes, seconds));
        Ok(())
    }

    /// One batch that stays on the device, folded again and again.
    fn resident(&mut self, workload: &Workload, rows: usize) -> Result<(), String> {
        let columns = rows_of(workload, 7, rows);
        let failed = |error: ProgramError| error.to_string();
        let table = self.table(&workload.stage)?;
        if table.fold(&columns, Rows::All(rows)).map_err(failed)? != Folded::Done {
            return Err(format!("{}: the device refuses the batch", workload.name));
        }
        let (want, mut got) = (reference_by_all(workload, &columns).map_err(failed)?, Panes::new());
        got.extend(table.take(i64::MAX).map_err(failed)?);
        same(workload.name, &want, &got)?;
        // A few batches tell how many groups there are.
        for _ in 0..2 {
            table.fold(&columns, Rows::All(rows)).map_err(failed)?;
        }
        let warm = table.with(|groups| groups.repeat(3)).map_err(failed)?;
        let many = if self.full { (0.5 / warm.0 * 3.0).clamp(5.0, 200.0) as u32 } else { 2 };
        let (seconds, bytes, groups) = table.with(|groups| groups.repeat(many)).map_err(failed)?;
        let (rows_s, bytes_s) = (rows as f64 * many as f64 / seconds, bytes as f64 * many as f64 / seconds);
        (self.tell)(Figure {
            what: format!("{} from the device's memory, {rows} rows", workload.name),
            rows_per_second: rows_s,
            bytes_per_second: bytes_s,
            share: Some(bytes_s / self.on_device),
            of: "the copy on the device".into(),
            note: format!("{:.1} bytes a row, {groups} groups, {} launches", bytes as f64 / rows as f64, many),
        });
        Ok(())
    }

    /// Batches from the host, packed by one thread and by all; beside it the processor's plain way, one thread, from the same columns.
    fn host(&mut self, workload: &Workload, rows: usize, large: usize) -> Result<(), String> {
        let failed = |error: ProgramError| error.to_string();
        let columns = rows_of(workload, 11, rows);
        let start = Instant::now();
        let some: Vec<ArrayRef> = columns.iter().map(|column| column.slice(0, rows / 16)).collect();
        reference(workload, &some, &mut Panes::new()).map_err(failed)?;
        let processor = rows as f64 / 16.0 / start.elapsed().as_secs_f64();
        let want = reference_by_all(workload, &columns).map_err(failed)?;
        for batch in [large / 16, large] {
            let batches: Vec<Vec<ArrayRef>> = (0..rows)
                .step_by(batch)
                .map(|start| columns.iter().map(|column| column.slice(start, batch)).collect())
                .collect();
            for threads in [1, cores()] {
                let table = self.table(&workload.stage)?;
                let fold = |columns: &Vec<ArrayRef>| match table.fold(columns, Rows::All(batch)).map_err(failed)? {
                    Folded::Done => Ok(()),
                    _ => Err(format!("{}: the device refuses a batch", workload.name)),
                };
                let (mut seconds, mut bytes) = (f64::MAX, 0);
                for round in 0..4 {
                    let before = table.with(|groups| groups.sent());
                    let start = Instant::now();
                    by_threads(threads, &batches, fold).into_iter().collect::<Result<Vec<()>, String>>()?;
                    bytes = table.with(|groups| groups.settle_all().map(|()| groups.sent())).map_err(failed)? - before;
                    seconds = seconds.min(start.elapsed().as_secs_f64());
                    let taken = table.take(i64::MAX).map_err(failed)?;
                    if round == 0 {
                        same(workload.name, &want, &taken.into_iter().collect())?;
                    }
                }
                let bytes_per_second = bytes as f64 / seconds;
                (self.tell)(Figure {
                    what: format!("{} from the host, batches of {batch}, {threads} threads pack", workload.name),
                    rows_per_second: rows as f64 / seconds,
                    bytes_per_second,
                    share: Some(bytes_per_second / self.to_device),
                    of: "the copy from pinned memory".into(),
                    note: format!(
                        "{:.1} bytes a row; the processor's plain way, one thread: {:.1} Mrow/s",
                        bytes as f64 / rows as f64,
                        processor / 1e6
                    ),
                });
            }
        }
        Ok(())
    }

    /// f2's stage from 1 to ten million groups, at three skews, from the device's memory.
    fn sweep(&mut self) -> Result<(), String> {
        let failed = |error: ProgramError| error.to_string();
        for s in [0.0, 1.0, 1.5] {
            let mut before: Option<f64> = None;
            for step in 0..=23 {
                let groups = if step == 23 { 10_000_000 } else { 1u64 << step };
                if !self.full && groups > 1 << 8 {
                    break;
                }
                let rows = if self.full { 1 << 22 } else { 1 << 10 };
                let mut workload = by_key("sweep", Box::new(move |d, first, n| keyed(d, first, n, groups, s)), 1 << 31);
                workload.stage = Arc::new(Stage { panes: None, ..workload.stage.as_ref().clone() });
                let columns = rows_of(&workload, step, rows);
                let table = self.table(&workload.stage)?;
                // The first batches tell how many groups there are.
                for _ in 0..2 {
                    table.fold(&columns, Rows::All(rows)).map_err(failed)?;
                }
                table.with(|groups| groups.repeat(2)).map_err(failed)?;
                let (seconds, bytes, there) = table.with(|groups| groups.repeat(8)).map_err(failed)?;
                let rate = 8.0 * rows as f64 / seconds;
                let slower = before.map_or(1.0, |before| before / rate);
                before = Some(rate);
                (self.tell)(Figure {
                    what: format!("sweep, Zipf {s}, {groups} groups"),
                    rows_per_second: rate,
                    bytes_per_second: 8.0 * bytes as f64 / seconds,
                    share: Some(slower),
                    of: "the step before (times slower)".into(),
                    note: format!("{there} groups met"),
                });
            }
        }
        Ok(())
    }
}
