//! Groups of all panes of a stage that live on a device from batch to batch.
//!
//! A batch is packed into pinned memory, copied, and folded by one launch; some are on their way at a time. The
//! host hears what became of a batch when its turn comes again: how many groups there are by then, and which rows found no
//! room, because more groups came than tickets were left. For those the table grows and they are folded again, they alone.
//! What closes is squeezed out on the device; only that comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use pelton_kernels::Rows;
use pelton_kernels::program::{Cpu, Device, GroupState, ProgramError};
use pelton_kernels::stage::Taken;

use super::api::{Api, Block, Compiled, Fault, Launch, Module, Pinned};
use super::own::Own;
use super::plan::{KEY_AT, Plan};
use super::source::{self, Kernel, MOVERS, Wire};
use super::wire::{Packed, narrowest};
use super::{Limits, readback};
use crate::Unfit;
use crate::pack::Memory;
use crate::tally::Tally;

/// Batches on their way at a time beside those that are being packed, and one of which there is always room for.
const AHEAD: usize = 2;
const SLOTS: usize = 1 + AHEAD;
/// Batches on their way or being packed at most.
const SLOTS_MAX: usize = 32;
/// Buckets of a table at least.
const BUCKETS_MIN: u64 = 1 << 12;
/// Rows of a block, at least.
const RUN_MIN: u64 = 1024;
/// Groups of a block's own at least; there is room for twice as many as the table has, so that it is not made larger than need be.
const OWN_MIN: u64 = 256;
/// Batches for which blocks do without groups of their own once those took less than an eighth of the rows.
const REST: u32 = 32;

/// A kernel, and what its blocks want.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    module: Module,
    /// Threads of a block.
    threads: u32,
    /// Groups of a block's own, at most.
    own_groups: u32,
    /// Bytes of a block's own memory with groups of its own, and without.
    own_bytes: u32,
    bare_bytes: u32,
}

/// How a fold is launched.
#[derive(Clone, Copy)]
struct Shape {
    blocks: u32,
    threads: u32,
    /// Groups of a block's own.
    own: u32,
    /// Bytes of a block's own memory.
    shared: u32,
    /// Groups that blocks may have to merge into the table.
    merged: u64,
}

/// A slot's way of a batch.
struct Slot {
    /// Not there while a batch is being packed into it.
    host: Option<Pinned>,
    is_lent: bool,
    lent_bytes: usize,
    batch: Option<Block>,
    noted: Option<Block>,
    status: Block,
    /// The status of the batch, then the number of groups.
    heard: Pinned,
    busy: Option<Busy>,
}

/// A place for a batch that is being packed.
pub(super) struct Place {
    pub host: Pinned,
    slot: usize,
    ready: Ready,
}

/// A batch on its way.
struct Busy {
    /// How many went before.
    number: u64,
    mark: u64,
    ready: Ready,
    columns: Vec<ArrayRef>,
    /// The rows, if they are not all.
    rows: Option<Vec<u32>>,
    n: usize,
}

/// See the module.
pub(crate) struct Groups {
    api: Arc<dyn Api>,
    plan: Arc<Plan>,
    limits: Limits,
    tally: Arc<Tally>,
    memory: Memory,
    wire: Wire,
    ready: Option<(Wire, Ready)>,
    origin: Option<i64>,
    buckets: Option<Block>,
    capacity: u64,
    groups: Option<Block>,
    groups_known: u64,
    slots: Vec<Slot>,
    /// Batches sent, and where the last one was.
    batches: u64,
    last: usize,
    /// Rows folded since the table was empty: counts are words.
    rows: u64,
    /// At most the number of the first pane that has groups, from the origin.
    low: Option<i64>,
    /// For how many batches blocks keep no groups of their own.
    resting: u32,
    /// Bytes sent in all, and by the last batch; its rows.
    sent: u64,
    last_bytes: u64,
    last_rows: u64,
    /// What the device had no room for.
    beside: BTreeMap<i64, Box<dyn GroupState>>,
}

/// Why a fold did not happen.
pub(super) enum Stopped {
    Unfit(Unfit),
    Failed(ProgramError),
}

impl From<Unfit> for Stopped {
    fn from(unfit: Unfit) -> Self {
        Stopped::Unfit(unfit)
    }
}

impl From<ProgramError> for Stopped {
    fn from(error: ProgramError) -> Self {
        Stopped::Failed(error)
    }
}

impl Groups {
    pub(crate) fn new(api: Arc<dyn Api>, plan: Arc<Plan>, limits: Limits, tally: Arc<Tally>) -> Groups {
        Groups {
            memory: Memory::new(&plan.layout, &plan.key_types()),
            wire: narrowest(&plan),
            api,
            plan,
            limits,
            tally,
            ready: None,
            origin: None,
            buckets: None,
            capacity: 0,
            groups: None,
            groups_known: 0,
            slots: vec![],
            batches: 0,
            last: 0,
            rows: 0,
            low: None,
            resting: 0,
            sent: 0,
            last_bytes: 0,
            last_rows: 0,
            beside: BTreeMap::new(),
        }
    }

    fn failed(&self, fault: Fault) -> ProgramError {
        ProgramError::Device { device: self.api.name(), message: fault.0 }
    }

    fn bucket_bytes(&self) -> u64 {
        4 * u64::from(self.plan.bucket_words())
    }

    fn shape(&self, ready: Ready, rows: u64) -> Shape {
        let blocks = rows.div_ceil(RUN_MIN).clamp(1, u64::from(self.api.processors()));
        let own = if self.resting == 0 { u64::from(ready.own_groups) } else { 0 };
        // No more than a run has rows, or than a table may have room for.
        let own = own.min(OWN_MIN.max(2 * self.groups_known)).min(rows.div_ceil(blocks));
        let own = own.min(self.capacity_max() / 2 / blocks);
        let shared = if own > 0 { ready.own_bytes } else { ready.bare_bytes };
        Shape { blocks: blocks as u32, threads: ready.threads, own: own as u32, shared, merged: blocks * own }
    }

    /// The most buckets that the memory allowed has room for.
    fn capacity_max(&self) -> u64 {
        let most = (self.limits.device_bytes / 2 / self.bucket_bytes()).min(1 << 31);
        if most == 0 { 0 } else { 1 << most.ilog2() }
    }

    /// Makes the table so large that `groups` have tickets and the blocks of a launch have room to merge in what they hold. Where launches
    /// before it have filled it meanwhile, blocks see that, and do without groups of their own.
    fn make_room(&mut self, groups: u64, merged: u64, module: Module) -> Result<(), Stopped> {
        if self.capacity >= 2 * merged && self.capacity / 2 > groups {
            return Ok(());
        }
        let wanted = (4 * groups).max(2 * merged).max(BUCKETS_MIN).next_power_of_two();
        // Where there is no room for four times the groups, twice must do.
        let capacity = wanted.min(self.capacity_max());
        if capacity < 2 * merged || capacity / 2 <= groups {
            return Err(Unfit::Groups.into());
        }
        let fresh = Block::cleared(&self.api, capacity * self.bucket_bytes())?.map_err(|fault| self.failed(fault))?;
        if self.groups.is_none() {
            self.groups = Some(Block::cleared(&self.api, 16)?.map_err(|fault| self.failed(fault))?);
        }
        if let (Some(old), Some(count)) = (&self.buckets, &self.groups) {
            self.api.zero(count.at, 4).map_err(|fault| self.failed(fault))?;
            self.launch(
                module,
                Kernel::Enter,
                self.capacity,
                &[old.at, self.capacity, fresh.at, capacity - 1, count.at],
            )?;
        }
        self.buckets = Some(fresh);
        self.capacity = capacity;
        Ok(())
    }

    fn launch(&self, module: Module, kernel: Kernel, items: u64, args: &[u64]) -> Result<(), ProgramError> {
        let blocks = items.div_ceil(u64::from(MOVERS)).clamp(1, 32 * u64::from(self.api.processors())) as u32;
        let launch = Launch { kernel: module.kernel(kernel), blocks, threads: MOVERS, shared: 0, args };
        self.api.launch(launch).map_err(|fault| self.failed(fault))
    }

    fn ready(&mut self, wire: &Wire) -> Result<Ready, Stopped> {
        if let Some((known, ready)) = &self.ready
            && known == wire
        {
            return Ok(*ready);
        }
        let own = Own::of(&self.plan, wire, self.api.shared_max());
        match self.api.compile(&source::text(&self.plan, wire, &own), &source::KERNELS, self.limits.patient) {
            Compiled::Ready(module) => {
                let (own_bytes, bare_bytes) = (own.bytes(true), own.bytes(false));
                let ready = Ready { module, threads: own.threads, own_groups: own.groups, own_bytes, bare_bytes };
                self.ready = Some((wire.clone(), ready));
                Ok(ready)
            }
            Compiled::Pending => Err(Unfit::Compiling.into()),
            // Nobody has named the device: the processor does as well.
            Compiled::Failed(_) if !self.limits.patient => Err(Unfit::Kernel.into()),
            Compiled::Failed(message) => Err(self.failed(Fault(message)).into()),
        }
    }

    /// Whether words can count so many rows more.
    fn counts(&self, more: u64) -> Result<(), Unfit> {
        if self.rows + more > u64::from(u32::MAX) { Err(Unfit::Rows) } else { Ok(()) }
    }

    /// Fits a batch to what there is; the kernel that it wants.
    pub(super) fn fit(&mut self, packed: &mut Packed<'_>) -> Result<Ready, Stopped> {
        self.counts(packed.rows().len() as u64)?;
        packed.fit(&mut self.memory, &self.wire, self.origin)?;
        // A wire that only grows is compiled once for each width: what this batch needs is kept even if its kernel comes late.
        self.wire = packed.wire().clone();
        let ready = self.ready(packed.wire())?;
        // Those that come next are packed to the same scales, whether this one is sent before them or after.
        self.memory.scales = packed.scales()[..self.memory.scales.len()].to_vec();
        self.origin = Some(packed.origin());
        Ok(ready)
    }

    /// Pinned memory for a batch; `None` if all that may be had is lent.
    pub(super) fn place(&mut self, packed: &Packed<'_>, ready: Ready) -> Result<Option<Place>, Stopped> {
        let len = packed.len();
        if (SLOTS * len) as u64 > self.limits.pinned_bytes {
            return Err(Unfit::Memory.into());
        }
        let Some(slot) = self.free_slot(len)? else { return Ok(None) };
        self.settle(slot)?;
        let (pinned, roomy) = (self.pinned_bytes(), self.roomy(len));
        let there = self.slots[slot].host.take().filter(|host| host.len() >= len);
        let host = match there {
            Some(host) => host,
            None => {
                if (pinned + roomy) as u64 > self.limits.pinned_bytes {
                    // What others have is for smaller batches.
                    self.settle_all()?;
                    self.slots.iter_mut().for_each(|slot| slot.host = None);
                    if (self.pinned_bytes() + roomy) as u64 > self.limits.pinned_bytes {
                        return Ok(None);
                    }
                }
                Pinned::new(&self.api, roomy)?
            }
        };
        let of_slot = &mut self.slots[slot];
        (of_slot.is_lent, of_slot.lent_bytes) = (true, host.len());
        Ok(Some(Place { host, slot, ready }))
    }

    /// Bytes of pinned memory that batches have, those included that are being packed.
    fn pinned_bytes(&self) -> usize {
        let of_slot = |slot: &Slot| slot.host.as_ref().map_or(slot.lent_bytes, Pinned::len);
        self.slots.iter().map(of_slot).sum()
    }

    /// Room for batches that are somewhat larger, too.
    fn roomy(&self, bytes: usize) -> usize {
        let most = self.limits.pinned_bytes as usize / SLOTS;
        bytes.next_power_of_two().min(most.max(bytes))
    }

    /// A slot that nobody packs into: a new one while few are on their way, else the one that was sent first.
    fn free_slot(&mut self, len: usize) -> Result<Option<usize>, Stopped> {
        let lent = self.slots.iter().filter(|slot| slot.is_lent).count();
        let fits = (self.pinned_bytes() + self.roomy(len)) as u64 <= self.limits.pinned_bytes;
        if self.slots.len() <= (lent + AHEAD).min(SLOTS_MAX - 1) && (fits || self.slots.len() < SLOTS) {
            let (status, heard) = (Block::new(&self.api, 16)?, Pinned::new(&self.api, 64)?);
            let none =
                Slot { host: None, is_lent: false, lent_bytes: 0, batch: None, noted: None, status, heard, busy: None };
            self.slots.push(none);
            return Ok(Some(self.slots.len() - 1));
        }
        let sent = |slot: &Slot| slot.busy.as_ref().map(|busy| busy.number);
        let free = self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_lent);
        Ok(free.min_by_key(|(_, slot)| sent(slot)).map(|(at, _)| at))
    }

    /// Takes a place back of which nothing came.
    pub(super) fn give_back(&mut self, place: Place) {
        let slot = &mut self.slots[place.slot];
        (slot.is_lent, slot.lent_bytes, slot.host) = (false, 0, Some(place.host));
    }

    /// Sends a batch that is packed.
    pub(super) fn send(&mut self, place: Place, packed: &Packed<'_>, columns: &[ArrayRef]) -> Result<(), Stopped> {
        let (at, ready, rows) = (place.slot, place.ready, packed.rows());
        let (n, len) = (rows.len() as u64, packed.len());
        self.give_back(place);
        // Others may have been sent meanwhile.
        self.counts(n)?;
        let shape = self.shape(ready, n);
        self.make_room(self.groups_known, shape.merged, ready.module)?;
        let (api, roomy) = (self.api.clone(), |bytes: usize| self.roomy(bytes) as u64);
        let (for_batch, for_noted) = (roomy(len), roomy(4 * n as usize));
        let slot = &mut self.slots[at];
        if slot.batch.as_ref().is_none_or(|batch| batch.bytes < len as u64) {
            slot.batch = None;
            slot.batch = Some(Block::new(&api, for_batch)?);
        }
        if slot.noted.as_ref().is_none_or(|noted| noted.bytes < 4 * n) {
            slot.noted = None;
            slot.noted = Some(Block::new(&api, for_noted)?);
        }
        let host = slot.host.as_ref().expect("it was given back").as_ptr();
        let (batch, noted) = (slot.batch.as_ref().expect("just made").at, slot.noted.as_ref().expect("just made").at);
        let sent = api.zero(slot.status.at, 16).and_then(|()| api.copy_in(host, len as u64, batch));
        sent.map_err(|fault| self.failed(fault))?;
        let mark = self.order_and_mark(at, ready.module, (batch, noted), None, shape)?;
        self.batches += 1;
        self.slots[at].busy = Some(Busy {
            number: self.batches,
            mark,
            ready,
            columns: columns.to_vec(),
            rows: match rows {
                Rows::All(_) => None,
                Rows::List(list) => Some(list.to_vec()),
            },
            n: rows.len(),
        });
        let first = packed.first_pane();
        self.low = Some(self.low.map_or(first, |low| low.min(first)));
        self.rows += n;
        self.sent += len as u64;
        (self.last, self.last_bytes, self.last_rows) = (at, len as u64, n);
        self.resting = self.resting.saturating_sub(1);
        Ok(())
    }

    /// Orders the fold of a batch that is on the device, or of a list of its rows; the mark behind it.
    fn order_and_mark(
        &self,
        slot: usize,
        module: Module,
        (batch, noted): (u64, u64),
        list: Option<(u64, u64)>,
        shape: Shape,
    ) -> Result<u64, ProgramError> {
        let failed = |fault| self.failed(fault);
        self.order(slot, module, (batch, noted), list, shape)?;
        let (slot, groups) = (&self.slots[slot], self.groups.as_ref().expect("made"));
        self.api.copy_out(slot.status.at, 16, slot.heard.as_ptr()).map_err(failed)?;
        // `heard` is 64 bytes long.
        self.api.copy_out(groups.at, 4, slot.heard.as_ptr().wrapping_add(16)).map_err(failed)?;
        self.api.mark().map_err(failed)
    }

    /// Orders the fold alone.
    fn order(
        &self,
        slot: usize,
        module: Module,
        (batch, noted): (u64, u64),
        list: Option<(u64, u64)>,
        shape: Shape,
    ) -> Result<(), ProgramError> {
        let slot = &self.slots[slot];
        let (buckets, groups) = (self.buckets.as_ref().expect("made"), self.groups.as_ref().expect("made"));
        let (list, listed) = list.unwrap_or_default();
        let limit = self.capacity / 2 - 1;
        let Shape { blocks, threads, own, shared, .. } = shape;
        let status = slot.status.at;
        let args =
            [batch, buckets.at, self.capacity - 1, groups.at, limit, status, noted, list, listed, u64::from(own)];
        let launch = Launch { kernel: module.kernel(Kernel::Fold), blocks, threads, shared, args: &args };
        self.api.launch(launch).map_err(|fault| self.failed(fault))
    }

    /// Waits for the batch of a slot, and folds again what found no room.
    fn settle(&mut self, at: usize) -> Result<(), ProgramError> {
        let Some(busy) = self.slots[at].busy.take() else { return Ok(()) };
        self.api.wait(busy.mark).map_err(|fault| self.failed(fault))?;
        let words = self.slots[at].heard.words(5);
        let (noted, held, missed) = (words[0], words[1], words[2]);
        self.groups_known = self.groups_known.max(u64::from(words[4]));
        self.tally.folded(busy.n - noted as usize);
        if u64::from(held) * 8 < u64::from(missed) {
            self.resting = REST;
        }
        if noted == 0 {
            return Ok(());
        }
        match self.fold_noted(at, &busy, noted) {
            Ok(()) => Ok(()),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Unfit(unfit)) => {
                self.tally.refused(unfit, noted as usize);
                self.fold_beside(at, &busy, noted)
            }
        }
    }

    /// Folds again, after the table has grown, the rows that a batch has noted.
    fn fold_noted(&mut self, at: usize, busy: &Busy, noted: u32) -> Result<(), Stopped> {
        self.make_room(self.groups_known + u64::from(noted), 0, busy.ready.module)?;
        let again = Block::new(&self.api, 4 * u64::from(noted))?;
        let (batch, list) = {
            let slot = &self.slots[at];
            self.api.zero(slot.status.at, 16).map_err(|fault| self.failed(fault))?;
            (slot.batch.as_ref().expect("it was sent").at, slot.noted.as_ref().expect("it was sent").at)
        };
        // Without groups of its own a block merges none in.
        let shape = Shape { own: 0, shared: busy.ready.bare_bytes, ..self.shape(busy.ready, noted.into()) };
        let mark = self.order_and_mark(at, busy.ready.module, (batch, again.at), Some((list, noted.into())), shape)?;
        self.api.wait(mark).map_err(|fault| self.failed(fault))?;
        let words = self.slots[at].heard.words(5);
        assert_eq!(words[0], 0, "there was room for a group a row");
        self.groups_known = self.groups_known.max(u64::from(words[4]));
        self.tally.folded(noted as usize);
        Ok(())
    }

    /// Folds the rows that a batch has noted on the processor.
    fn fold_beside(&mut self, at: usize, busy: &Busy, noted: u32) -> Result<(), ProgramError> {
        let list = self.slots[at].noted.as_ref().expect("it was sent").at;
        let rows = self.read(list, 4 * u64::from(noted))?;
        let rows = rows.iter().map(|row| busy.rows.as_ref().map_or(*row, |list| list[*row as usize]));
        let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        match self.plan.stage.panes {
            None => drop(by_pane.insert(0, rows.collect())),
            Some(panes) => {
                let times = busy.columns[panes.column].to_data();
                let times = times.buffer::<i64>(0);
                for row in rows {
                    let pane = panes.start(panes.number(times[row as usize]) as i64);
                    by_pane.entry(pane).or_default().push(row);
                }
            }
        }
        for (pane, rows) in by_pane {
            let state = match self.beside.entry(pane) {
                std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(Cpu.state(&self.plan.stage.program, 0)?)
                }
            };
            state.update(&busy.columns, Rows::List(&rows))?;
        }
        Ok(())
    }

    /// Words of the device, once everything ordered is done.
    fn read(&self, at: u64, bytes: u64) -> Result<Vec<u32>, ProgramError> {
        const PIECE: u64 = 1 << 24;
        let failed = |fault| self.failed(fault);
        let pinned = Pinned::new(&self.api, bytes.min(PIECE) as usize);
        let pinned = pinned.map_err(|unfit| failed(Fault(format!("{bytes} bytes can not be read back: {unfit}"))))?;
        let mut words = Vec::with_capacity((bytes / 4) as usize);
        for start in (0..bytes).step_by(PIECE as usize) {
            let len = PIECE.min(bytes - start);
            self.api.copy_out(at + start, len, pinned.as_ptr()).map_err(failed)?;
            let mark = self.api.mark().map_err(failed)?;
            self.api.wait(mark).map_err(failed)?;
            words.extend(pinned.words((len / 4) as usize));
        }
        Ok(words)
    }

    /// The buckets of panes before `end` (a number from the origin), which leave the table; whether any stay.
    fn take_buckets(&mut self, end: i64) -> Result<(Vec<u32>, bool), ProgramError> {
        let (Some(buckets), Some(groups), Some((_, ready))) = (&self.buckets, &self.groups, &self.ready) else {
            return Ok((vec![], false));
        };
        let (module, counter) = (ready.module, groups.at);
        let room = || -> Result<Result<(Block, Block, Block), Fault>, Unfit> {
            let out = Block::new(&self.api, self.groups_known * self.bucket_bytes())?;
            let fresh = Block::cleared(&self.api, self.capacity * self.bucket_bytes())?;
            let taken = Block::cleared(&self.api, 16)?;
            Ok(fresh.and_then(|fresh| Ok((out, fresh, taken?))))
        };
        let (out, fresh, taken) = match room() {
            Ok(made) => made.map_err(|fault| self.failed(fault))?,
            Err(_) => {
                // No room to sort them on the device: all of them come back.
                let all = self.read(buckets.at, self.capacity * self.bucket_bytes())?;
                let words = self.plan.bucket_words() as usize;
                let there = all.chunks_exact(words).filter(|bucket| bucket[0] != 0).flatten().copied().collect();
                self.buckets = None;
                self.capacity = 0;
                self.groups = None;
                return Ok((there, false));
            }
        };
        self.api.zero(counter, 4).map_err(|fault| self.failed(fault))?;
        let args = [buckets.at, self.capacity, fresh.at, self.capacity - 1, counter, taken.at, out.at, end as u64];
        self.launch(module, Kernel::Take, self.capacity, &args)?;
        let (left, taken) = (self.read(counter, 4)?[0], self.read(taken.at, 4)?[0]);
        let bytes = u64::from(taken) * self.bucket_bytes();
        let words = if taken > 0 { self.read(out.at, bytes)? } else { vec![] };
        self.buckets = Some(fresh);
        self.groups_known = left.into();
        Ok((words, left > 0))
    }

    /// Waits for all batches on their way.
    pub(super) fn settle_all(&mut self) -> Result<(), ProgramError> {
        (0..self.slots.len()).try_for_each(|at| self.settle(at))
    }

    /// Bytes that were sent until now.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Folds the batch that was sent last so many times again, for measurements: seconds, bytes of the batch, groups.
    pub(super) fn repeat(&mut self, times: u32) -> Result<(f64, u64, u64), ProgramError> {
        self.settle_all()?;
        let (at, rows) = (self.last, self.last_rows);
        let ready = self.ready.as_ref().expect("it was sent").1;
        let shape = self.shape(ready, rows);
        if self.make_room(self.groups_known, shape.merged, ready.module).is_err() {
            return Err(self.failed(Fault("there is no room".into())));
        }
        let slot = &self.slots[at];
        let places = (slot.batch.as_ref().expect("it was sent").at, slot.noted.as_ref().expect("it was sent").at);
        let start = std::time::Instant::now();
        (0..times).try_for_each(|_| self.order(at, ready.module, places, None, shape))?;
        self.api.mark().and_then(|mark| self.api.wait(mark)).map_err(|fault| self.failed(fault))?;
        Ok((start.elapsed().as_secs_f64(), self.last_bytes, self.groups_known))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.low.is_none() && self.beside.is_empty()
    }

    /// As if nothing had ever come, but for how wide columns are.
    fn forget(&mut self) {
        self.memory = Memory::new(&self.plan.layout, &self.plan.key_types());
        self.origin = None;
        self.low = None;
        self.rows = 0;
        self.groups_known = 0;
    }
}

impl Groups {
    /// See [`pelton_kernels::stage::PaneTable::first`].
    pub(super) fn first(&self) -> Option<i64> {
        let on_device = match (self.plan.stage.panes, self.low, self.origin) {
            (Some(panes), Some(low), Some(origin)) => Some(panes.start(origin + low)),
            (None, Some(_), _) => Some(0),
            _ => None,
        };
        let beside = self.beside.first_key_value().map(|(pane, _)| *pane);
        on_device.into_iter().chain(beside).min()
    }

    /// Takes the groups of all panes that begin before `end`.
    pub(super) fn take(&mut self, end: i64) -> Result<Taken, ProgramError> {
        self.settle_all()?;
        let panes = self.plan.stage.panes;
        let mut states: BTreeMap<i64, Box<dyn GroupState>> = BTreeMap::new();
        if let (Some(low), Some(origin)) = (self.low, self.origin) {
            // The panes that begin before `end`, as numbers from the origin.
            let before = match panes {
                None => i64::from(end > 0),
                Some(panes) => {
                    let number = panes.number(end);
                    let partly = i128::from(i128::from(panes.start(number as i64)) < i128::from(end));
                    (number + partly - i128::from(origin)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
                }
            };
            if before > low {
                let (words, any_left) = self.take_buckets(before)?;
                let size = self.plan.bucket_words() as usize;
                let pane_word = (KEY_AT + self.plan.pane_word) as usize;
                let mut by_pane: BTreeMap<i32, Vec<&[u32]>> = BTreeMap::new();
                for bucket in words.chunks_exact(size) {
                    by_pane.entry(bucket[pane_word] as i32).or_default().push(bucket);
                }
                let values = self.memory.values()?;
                for (pane, buckets) in by_pane {
                    let start = panes.map_or(0, |panes| panes.start(origin + i64::from(pane)));
                    states.insert(start, readback::state(&self.plan, &self.memory, &values, &buckets)?);
                }
                if any_left {
                    self.low = Some(before);
                } else {
                    self.forget();
                }
            }
        }
        while let Some(entry) = self.beside.first_entry().filter(|entry| *entry.key() < end) {
            let (pane, state) = entry.remove_entry();
            match states.entry(pane) {
                std::collections::btree_map::Entry::Occupied(mut there) => there.get_mut().merge(state.as_ref())?,
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(state)),
            }
        }
        Ok(states.into_iter().collect())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let of_slot = |slot: &Slot| {
            let blocks = [&slot.batch, &slot.noted].into_iter().flatten().map(|block| block.bytes as usize);
            blocks.sum::<usize>() + slot.host.as_ref().map_or(0, Pinned::len)
        };
        let buckets = self.buckets.as_ref().map_or(0, |buckets| buckets.bytes as usize);
        let beside: usize = self.beside.values().map(|state| state.memory_bytes()).sum();
        self.memory.bytes() + buckets + beside + self.slots.iter().map(of_slot).sum::<usize>()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // Pinned memory goes back when nothing ordered uses it any more.
        for slot in &mut self.slots {
            if let Some(busy) = slot.busy.take() {
                let _ = self.api.wait(busy.mark);
            }
        }
    }
}
