//! `ExactColumn`: one exact sum per group, all at one scale.
//!
//! Plain idea: keep every sum as a big integer times a power of two and add rows to it.
//! Departure: nearly always all values of a column lie within some 50 powers of two, so the column keeps a *window*: a
//! power of two `low` that all narrow sums are multiples of. A pass over each chunk finds its exponents and decides once
//! for all of its rows; what does not fit the window goes to a wide integer of its group, kept aside. A group's value is
//! always narrow + wide, so neither the window's place nor its moves can be seen in a result.

use super::cells::{Cell, LARGE_BITS, LIMIT_BITS};
use super::lanes::{fold_in_lanes, power_of_two, total};
use super::number::{Number, OwnedNumber, ratio};
use super::scan::{Exponents, scan, unit};
use super::wide::Wide;
use crate::ahead::for_each;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};
use crate::growth;
use arrow::array::{Array, BinaryArray, BinaryBuilder};
use hashbrown::HashMap;
use num_bigint::{BigInt, BigUint};

/// Rows that one decision is made for: values and ids stay in the first-level cache.
pub(crate) const CHUNK: usize = 4096;
/// The widest window: a 53-bit mantissa shifted by so much, 4,096 times, keeps below the limit for 30 chunks.
const SHIFT_MAX: i32 = 56;
/// Integer rows of more bits go to the wide form.
const ROW_BITS_MAX: u32 = 53 + SHIFT_MAX as u32;
/// How often a column may drop its window for one that more rows fit.
const MOVES_MAX: u32 = 8;

const ANY_ROW: u8 = 1;
const NAN: u8 = 2;
const PLUS_INF: u8 = 4;
const MINUS_INF: u8 = 8;

/// Which values that are not numbers a group has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Specials(u8);

impl Specials {
    /// The sum, if these decide it: NaN, or an infinity.
    pub fn sum(self) -> Option<f64> {
        match self.0 {
            0 => None,
            PLUS_INF => Some(f64::INFINITY),
            MINUS_INF => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    fn of(value: f64) -> u8 {
        if value.is_nan() {
            NAN
        } else if value > 0.0 {
            PLUS_INF
        } else {
            MINUS_INF
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Window {
    /// Narrow sums are integers times 2^low.
    low: i32,
    /// Every narrow value is a multiple of 2^finest; `low <= finest`.
    finest: i32,
    /// The coarsest last bit of a narrow row.
    coarsest: i32,
}

/// Count, exact sum and, with [`MomentCell`](super::MomentCell), exact sum of squares of each group's rows.
///
/// Law: what [`ExactColumn::number`] and [`ExactColumn::save`] give depends on the rows of a group alone, not on their
/// order, their cut into calls, or the order of merges. Cost: some 3 ns a row at few groups; 24 bytes a group (56 with
/// squares), and up to 300 (900) more for groups whose values span too many powers of two.
#[derive(Clone, Debug)]
pub struct ExactColumn<C> {
    cells: Vec<C>,
    /// At least every cell's `magnitude()`.
    bound: u128,
    window: Option<Window>,
    integers: bool,
    moves: u32,
    /// One byte a group, or empty while no special value came.
    specials: Vec<u8>,
    wide: HashMap<u32, [Wide; 2]>,
}

impl<C: Cell> ExactColumn<C> {
    /// A column of no groups that takes doubles.
    pub fn doubles() -> Self {
        Self {
            cells: vec![],
            bound: 1,
            window: None,
            integers: false,
            moves: 0,
            specials: vec![],
            wide: HashMap::new(),
        }
    }

    /// A column of no groups that takes integers.
    pub fn integers() -> Self {
        let window = Some(Window { low: 0, finest: 0, coarsest: 0 });
        Self { window, integers: true, ..Self::doubles() }
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.cells.len()
    }

    /// Grows to `groups`; new ones have no rows.
    pub fn resize(&mut self, groups: usize) {
        growth::resize(&mut self.cells, groups, C::default());
        if !self.specials.is_empty() {
            self.specials.resize(groups, 0);
        }
    }

    /// The cells of all groups.
    pub fn cells(&self) -> &[C] {
        &self.cells
    }

    /// Calls `each` with the cell of every id and what goes with it, in order. The sums must stay as they are.
    #[inline(always)]
    pub fn each_cell<V>(&mut self, ids: &[u32], values: &[V], mut each: impl FnMut(&mut C, &V)) {
        match &mut self.cells[..] {
            // One group: it stays in registers.
            [only] => {
                assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
                let mut cell = *only;
                values.iter().for_each(|value| each(&mut cell, value));
                *only = cell;
            }
            cells => for_each(cells, ids, values.iter(), |cell, _, value| each(cell, value)),
        }
    }

    /// Bytes held, the wide form by its usual size.
    pub fn memory_bytes(&self) -> usize {
        let wide = size_of::<(u32, [Wide; 2])>() * self.wide.capacity() + self.wide.len() * C::PARTS * 288;
        self.cells.capacity() * size_of::<C>() + self.specials.capacity() + wide
    }

    /// Rows of `group`, special ones included.
    pub fn count(&self, group: usize) -> u64 {
        self.cells[group].count()
    }

    /// The special values of `group`.
    pub fn specials(&self, group: usize) -> Specials {
        Specials(self.specials.get(group).copied().unwrap_or(0))
    }

    /// The exact sum over `group` of `x` (`part` 0) or of its square (`part` 1), special values left out.
    pub fn number<R>(&self, group: usize, part: usize, read: impl FnOnce(Number<'_>) -> R) -> R {
        let (negative, limbs) = self.cells[group].part(part);
        let narrow = Number { negative, limbs: &limbs, exponent: self.low() * (part as i32 + 1) };
        match self.wide.get(&(group as u32)) {
            None => read(narrow),
            Some(wide) => {
                let mut sum = wide[part].clone();
                sum.add(narrow);
                sum.with(read)
            }
        }
    }

    /// The sum over `group` as a double, where the processor's own rounding of an integer does it: the usual case, ten
    /// times as fast as [`ExactColumn::number`]. Special values are left out.
    pub fn quick_sum(&self, group: usize) -> Option<f64> {
        let low = self.low();
        // Scaling by a power of two is exact between normal doubles.
        if !(-1022..=890).contains(&low) || (!self.wide.is_empty() && self.wide.contains_key(&(group as u32))) {
            return None;
        }
        let (negative, limbs) = self.cells[group].part(0);
        let magnitude = (limbs[0] as u128 | (limbs[1] as u128) << 64) as f64 * power_of_two(low);
        Some(if negative { -magnitude } else { magnitude })
    }

    /// Adds `values[i]` to group `ids[i]`.
    ///
    /// # Panics
    /// If the slices differ in length or an id is not below `groups()`.
    pub fn add_doubles(&mut self, values: &[f64], ids: &[u32]) {
        assert_eq!(values.len(), ids.len(), "one group id per row");
        for (values, ids) in values.chunks(CHUNK).zip(ids.chunks(CHUNK)) {
            match scan(values) {
                Exponents::Zeros => ids.iter().for_each(|&id| self.cells[id as usize].add_count(1)),
                Exponents::Finite { finest, coarsest } if self.prepare(finest, coarsest) => {
                    let low = self.low();
                    self.reserve(ids.len(), 53 + (coarsest - low) as u32);
                    if !fold_in_lanes(&mut self.cells, low, finest, coarsest, values, ids) {
                        fold_doubles(&mut self.cells, low, values, ids);
                    }
                }
                _ => self.add_mixed(values, ids),
            }
        }
    }

    /// Adds the integers `values[i]` to group `ids[i]`; the column must be one of integers.
    ///
    /// # Panics
    /// If the slices differ in length or an id is not below `groups()`.
    pub fn add_integers<N: Copy + Into<i128>>(&mut self, values: &[N], ids: &[u32]) {
        assert_eq!(values.len(), ids.len(), "one group id per row");
        debug_assert!(self.integers, "the window of doubles moves");
        for (values, ids) in values.chunks(CHUNK).zip(ids.chunks(CHUNK)) {
            let bits = if size_of::<N>() <= 8 {
                64
            } else {
                let ones = values.iter().fold(0u128, |ones, &x| ones | x.into().unsigned_abs());
                128 - ones.leading_zeros()
            };
            self.reserve(ids.len(), bits.min(ROW_BITS_MAX));
            if bits <= ROW_BITS_MAX {
                fold_integers(&mut self.cells, values, ids);
            } else {
                for (&x, &id) in values.iter().zip(ids) {
                    let x = x.into();
                    if x.unsigned_abs() >> ROW_BITS_MAX == 0 {
                        self.cells[id as usize].add(x);
                    } else {
                        self.cells[id as usize].add_count(1);
                        add_wide::<C>(self.wide.entry(id).or_default(), x, 0);
                    }
                }
            }
        }
    }

    /// Adds group `g` of `other` to group `map[g]`; both columns must take the same kind of numbers.
    ///
    /// # Panics
    /// If `map` is not one id per group of `other`, or an id is not below `groups()`.
    pub fn merge(&mut self, other: &Self, map: &[u32]) {
        assert_eq!(map.len(), other.cells.len(), "one target per group");
        debug_assert_eq!(self.integers, other.integers);
        if !other.specials.is_empty() {
            self.specials.resize(self.cells.len(), 0);
            for (&special, &to) in other.specials.iter().zip(map) {
                self.specials[to as usize] |= special;
            }
        }
        match self.meet(other) {
            Some(0) => self.merge_cells(other, map, |cell| Some(*cell)),
            Some(by) if by > 0 => self.merge_cells(other, map, |cell| cell.finer(by as u32)),
            Some(by) => self.merge_cells(other, map, |cell| Some(cell.coarser(-by as u32))),
            None => self.merge_cells(other, map, |_| None),
        }
        for (&from, parts) in &other.wide {
            let into = self.wide.entry(map[from as usize]).or_default();
            into.iter_mut().zip(parts).for_each(|(into, part)| into.merge(part));
        }
    }

    /// Whether [`ExactColumn::unmerge`] can take `other`, which was merged in before, out again: single sums, all of them
    /// narrow, without special values, and not at a finer scale.
    pub fn can_unmerge(&self, other: &Self) -> bool {
        let plain = C::PARTS == 1 && self.specials.is_empty() && other.specials.is_empty() && other.wide.is_empty();
        plain
            && match (self.window, other.window) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(ours), Some(theirs)) => {
                    let by = theirs.low - ours.low;
                    by == 0 || (by > 0 && other.cells.iter().all(|cell| cell.finer(by as u32).is_some()))
                }
            }
    }

    /// Takes group `g` of `other` out of group `map[g]`.
    ///
    /// # Panics
    /// If `map` is not one id per group of `other`, or an id is not below `groups()`.
    pub fn unmerge(&mut self, other: &Self, map: &[u32]) {
        assert_eq!(map.len(), other.cells.len(), "one target per group");
        debug_assert!(self.can_unmerge(other));
        let low = self.low();
        let by = other.window.map_or(0, |window| window.low - low) as u32;
        let Self { cells, wide, bound, .. } = self;
        for_each(cells, map, other.cells.iter(), |into, to, cell| {
            let scaled = if by == 0 { Some(*cell) } else { cell.finer(by) };
            into.unmerge(&scaled.expect("`can_unmerge` was asked"));
            let magnitude = into.magnitude();
            if magnitude >= 1 << LIMIT_BITS {
                spill(into, low, wide, to as u32);
            } else {
                *bound = (*bound).max(magnitude);
            }
        });
    }

    /// The variance of `group`: n·Σx² − (Σx)² exactly, over n² or with `sample` n·(n − 1), rounded once. Rows are integers
    /// times 10^-`decimal_scale`. `None` of no rows, or of one with `sample`; NaN with special values among the rows.
    pub fn variance(&self, group: usize, sample: bool, decimal_scale: i8) -> Option<f64> {
        let n = self.count(group);
        let divisor = n.checked_sub(sample as u64).filter(|&divisor| divisor > 0)?;
        if self.specials(group) != Specials::default() {
            return Some(f64::NAN);
        }
        if n < 1 << 32 && decimal_scale == 0 && !self.wide.contains_key(&(group as u32)) {
            let (sum, squares) = (self.cells[group].part(0).1, self.cells[group].part(1).1);
            if squares[3] < 1 << 32 {
                let limbs = &spread(n, [sum[0], sum[1]], squares);
                let spread = Number { negative: false, limbs, exponent: 2 * self.low() };
                return Some(spread.divided_by(n * divisor));
            }
        }
        let big = |part| self.number(group, part, |number| (number.big(), number.exponent));
        let ((sum, sum_exponent), (squares, exponent)) = (big(0), big(1));
        let low = exponent.min(2 * sum_exponent);
        let mut spread = ((squares * n) << (exponent - low)) - ((&sum * &sum) << (2 * sum_exponent - low));
        let mut divisor = BigUint::from(n) * divisor;
        let ten = BigUint::from(10u8).pow(2 * decimal_scale.unsigned_abs() as u32);
        if decimal_scale > 0 {
            divisor *= ten
        } else {
            spread *= BigInt::from(ten)
        }
        Some(ratio(&spread, &divisor, low))
    }

    /// Canonical bytes of every group. One byte: 0 for no rows, else 1 and what special values came (2 NaN, 4 +inf,
    /// 8 −inf); with `counts` the row count as little-endian `u64`; then [`Number::encode`] of each part.
    pub fn save(&self, counts: bool) -> BinaryArray {
        let mut saved = BinaryBuilder::with_capacity(self.groups(), self.groups() * (8 + 16 * C::PARTS));
        let mut bytes = vec![];
        for group in 0..self.groups() {
            bytes.clear();
            match self.count(group) {
                0 => bytes.push(0),
                count => {
                    bytes.push(ANY_ROW | self.specials(group).0);
                    if counts {
                        bytes.extend_from_slice(&count.to_le_bytes());
                    }
                    (0..C::PARTS).for_each(|part| self.number(group, part, |number| number.encode(&mut bytes)));
                }
            }
            saved.append_value(&bytes);
        }
        saved.finish()
    }

    /// Replaces all states by what [`ExactColumn::save`] wrote; on bad bytes gives the group they belong to.
    /// Without `counts`, groups that had rows count one.
    pub fn load(&mut self, saved: &BinaryArray, counts: bool) -> Result<(), usize> {
        *self = if self.integers { Self::integers() } else { Self::doubles() };
        self.resize(saved.len());
        if !self.integers {
            self.window = fitting_window::<C>(saved, counts)?;
        }
        for group in 0..saved.len() {
            let (special, count, parts) = parse::<C>(saved.value(group), counts).ok_or(group)?;
            if special != 0 {
                self.specials.resize(saved.len(), 0);
                self.specials[group] = special;
            }
            let places: Option<Vec<_>> = (0..C::PARTS)
                .map(|part| place(parts[part].view(), self.low() * (part as i32 + 1), LARGE_BITS + 128 * part as u32))
                .collect();
            let cell = &mut self.cells[group];
            match places {
                Some(places) => {
                    *cell = C::from_parts(count, [places[0], places.get(1).copied().unwrap_or_default()]);
                    self.bound = self.bound.max(cell.magnitude());
                }
                None => {
                    cell.add_count(count);
                    let wide = self.wide.entry(group as u32).or_default();
                    wide.iter_mut().zip(&parts).for_each(|(wide, part)| wide.add(part.view()));
                }
            }
        }
        Ok(())
    }

    fn low(&self) -> i32 {
        self.window.map_or(0, |window| window.low)
    }

    /// Makes the window hold rows whose last bits lie between `finest` and `coarsest`, or says that it can not.
    fn prepare(&mut self, finest: i32, coarsest: i32) -> bool {
        let (finest, coarsest) = match self.window {
            None => (finest, coarsest),
            Some(window) => (finest.min(window.finest), coarsest.max(window.coarsest)),
        };
        match &mut self.window {
            Some(window) if window.low <= finest && coarsest - window.low <= SHIFT_MAX => {
                (window.finest, window.coarsest) = (finest, coarsest);
                true
            }
            _ if coarsest - finest > SHIFT_MAX => false,
            window => {
                let low = aligned_low(finest, coarsest);
                let old = window.replace(Window { low, finest, coarsest });
                if let Some(old) = old {
                    self.rescale(old.low, low);
                }
                true
            }
        }
    }

    /// Brings all cells from the scale `from` to the scale `to`.
    fn rescale(&mut self, from: i32, to: i32) {
        self.bound = 1;
        for (group, cell) in self.cells.iter_mut().enumerate() {
            let scaled =
                if to <= from { cell.finer((from - to) as u32) } else { Some(cell.coarser((to - from) as u32)) };
            match scaled {
                Some(scaled) => *cell = scaled,
                None => spill(cell, from, &mut self.wide, group as u32),
            }
            self.bound = self.bound.max(cell.magnitude());
        }
    }

    /// Makes sure that `rows` rows of up to `bits` bits can be added to any one cell.
    fn reserve(&mut self, rows: usize, bits: u32) {
        let more = (rows as u128) << bits;
        if self.bound + more > 1 << LIMIT_BITS {
            self.bound = 1;
            let low = self.low();
            for (group, cell) in self.cells.iter_mut().enumerate() {
                if cell.magnitude() >= 1 << LARGE_BITS {
                    spill(cell, low, &mut self.wide, group as u32);
                }
                self.bound = self.bound.max(cell.magnitude());
            }
        }
        self.bound += more;
    }

    /// Rows that no single window holds, or with special values among them: each row on its own.
    fn add_mixed(&mut self, values: &[f64], ids: &[u32]) {
        let units = || values.iter().filter(|x| x.is_finite() && **x != 0.0).map(|x| unit(x.to_bits()));
        if let (Some(finest), Some(coarsest)) = (units().min(), units().max())
            && !self.prepare(finest, coarsest)
        {
            let inside = |window: Window| units().filter(|unit| holds(window.low, *unit)).count();
            let rows = units().count();
            if self.window.is_none_or(|window| inside(window) * 2 < rows && self.moves < MOVES_MAX) {
                self.moves += self.window.is_some() as u32;
                self.drop_window();
                let finest = most_used(units());
                let low = aligned_low(finest, finest);
                let kept = || units().filter(|unit| holds(low, *unit));
                let (finest, coarsest) = (kept().min().unwrap_or(finest), kept().max().unwrap_or(finest));
                self.window = Some(Window { low, finest, coarsest });
            } else if let Some(window) = &mut self.window {
                for unit in units().filter(|unit| holds(window.low, *unit)) {
                    (window.finest, window.coarsest) = (window.finest.min(unit), window.coarsest.max(unit));
                }
            }
        }
        self.reserve(ids.len(), ROW_BITS_MAX);
        let low = self.low();
        for (&value, &id) in values.iter().zip(ids) {
            let cell = &mut self.cells[id as usize];
            if !value.is_finite() {
                cell.add_count(1);
                if self.specials.is_empty() {
                    self.specials.resize(self.cells.len(), 0);
                }
                self.specials[id as usize] |= Specials::of(value);
            } else if value == 0.0 {
                cell.add_count(1);
            } else if holds(low, unit(value.to_bits())) {
                cell.add(fixed(value.to_bits(), low));
            } else {
                cell.add_count(1);
                let unit = unit(value.to_bits());
                add_wide::<C>(self.wide.entry(id).or_default(), fixed(value.to_bits(), unit), unit);
            }
        }
    }

    /// Moves all narrow values to the wide form.
    fn drop_window(&mut self) {
        let low = self.low();
        for (group, cell) in self.cells.iter_mut().enumerate() {
            spill(cell, low, &mut self.wide, group as u32);
        }
        (self.bound, self.window) = (1, None);
    }

    /// Finds one scale for both columns: how far the other's cells are to be shifted left for it, if there is one.
    fn meet(&mut self, other: &Self) -> Option<i32> {
        let Some(theirs) = other.window else { return Some(0) };
        let Some(ours) = &mut self.window else {
            self.window = Some(theirs);
            return Some(0);
        };
        let (finest, coarsest) = (ours.finest.min(theirs.finest), ours.coarsest.max(theirs.coarsest));
        if ours.low == theirs.low || (ours.low <= finest && coarsest - ours.low <= SHIFT_MAX) {
            (ours.finest, ours.coarsest) = (finest, coarsest);
            return Some(theirs.low - ours.low);
        }
        if coarsest - finest > SHIFT_MAX {
            return None;
        }
        let fits = theirs.low <= finest && coarsest - theirs.low <= SHIFT_MAX;
        let (from, low) = (ours.low, if fits { theirs.low } else { aligned_low(finest, coarsest) });
        *ours = Window { low, finest, coarsest };
        self.rescale(from, low);
        Some(theirs.low - low)
    }

    /// Merges cells; those that `scaled` can not bring to this column's scale go to the wide form.
    fn merge_cells(&mut self, other: &Self, map: &[u32], scaled: impl Fn(&C) -> Option<C>) {
        let low = self.low();
        let Self { cells, wide, bound, .. } = self;
        for_each(cells, map, other.cells.iter(), |into, to, cell| match scaled(cell) {
            Some(cell) => {
                into.merge(&cell);
                let magnitude = into.magnitude();
                if magnitude >= 1 << LIMIT_BITS {
                    spill(into, low, wide, to as u32);
                } else {
                    *bound = (*bound).max(magnitude);
                }
            }
            None => {
                into.add_count(cell.count());
                let mut cell = *cell;
                spill(&mut cell, other.low(), wide, to as u32);
            }
        });
    }
}

/// Moves a cell's sums at scale `low` into the wide form of `group`; its count stays.
fn spill<C: Cell>(cell: &mut C, low: i32, wide: &mut HashMap<u32, [Wide; 2]>, group: u32) {
    if (0..C::PARTS).all(|part| cell.part(part).1 == [0; 4]) {
        return;
    }
    let wide = wide.entry(group).or_default();
    for (part, wide) in wide.iter_mut().enumerate().take(C::PARTS) {
        let (negative, limbs) = cell.part(part);
        wide.add(Number { negative, limbs: &limbs, exponent: low * (part as i32 + 1) });
    }
    *cell = cell.emptied();
}

/// Adds one row, `x · 2^exponent`, to the wide sums.
fn add_wide<C: Cell>(wide: &mut [Wide; 2], x: i128, exponent: i32) {
    let magnitude = x.unsigned_abs();
    let limbs = [magnitude as u64, (magnitude >> 64) as u64];
    wide[0].add(Number { negative: x < 0, limbs: &limbs, exponent });
    if C::PARTS == 2 {
        wide[1].add(Number { negative: false, limbs: &square(limbs), exponent: 2 * exponent });
    }
}

/// n·squares − sum², which is never below zero, where n and the highest limb of the squares have 32 bits.
fn spread(n: u64, sum: [u64; 2], squares: [u64; 4]) -> [u64; 4] {
    let (mut spread, mut carry) = ([0; 4], 0);
    for (limb, squares) in spread.iter_mut().zip(squares) {
        (*limb, carry) = squares.carrying_mul(n, carry);
    }
    let mut borrow = false;
    for (limb, square) in spread.iter_mut().zip(square(sum)) {
        (*limb, borrow) = limb.borrowing_sub(square, borrow);
    }
    debug_assert!(carry == 0 && !borrow, "the mean of squares is not below the square of the mean");
    spread
}

fn square(x: [u64; 2]) -> [u64; 4] {
    let (first, carry) = x[0].carrying_mul(x[0], 0);
    let (middle, high) = x[0].carrying_mul_add(x[1], carry, 0);
    let (second, carry) = x[0].carrying_mul_add(x[1], middle, 0);
    let (third, fourth) = x[1].carrying_mul_add(x[1], high, carry);
    [first, second, third, fourth]
}

/// Whether a window at `low` holds rows whose last bit is `unit`.
#[inline(always)]
fn holds(low: i32, unit: i32) -> bool {
    low <= unit && unit - low <= SHIFT_MAX
}

/// A place for the window: some slack below where there is room, and a multiple of 16, so that columns filled apart
/// mostly agree and merge by plain addition.
fn aligned_low(finest: i32, coarsest: i32) -> i32 {
    [(finest - 8).div_euclid(16) * 16, finest.div_euclid(16) * 16]
        .into_iter()
        .find(|low| coarsest - low <= SHIFT_MAX - 4)
        .unwrap_or(finest)
}

/// The lower end of the stretch of exponents, one window long, that most rows fall into.
fn most_used(units: impl Iterator<Item = i32>) -> i32 {
    const STRETCH: usize = SHIFT_MAX as usize - 24;
    let mut rows = vec![0u32; 2048 + STRETCH];
    units.for_each(|unit| rows[(unit + 1074) as usize] += 1);
    let mut inside: u32 = rows[..STRETCH].iter().sum();
    let (mut best, mut most) = (0, inside);
    for start in 1..2048 {
        inside = inside + rows[start + STRETCH - 1] - rows[start - 1];
        if inside > most {
            (best, most) = (start, inside);
        }
    }
    best as i32 - 1074
}

/// A double as an integer at scale 2^low; its last bit must lie 0 to 63 powers of two above `low`. Zero is 0 at any
/// scale.
#[inline(always)]
fn fixed(bits: u64, low: i32) -> i128 {
    let field = bits >> 52 & 0x7ff;
    let subnormal = (field == 0) as u64;
    let mantissa = bits & ((1 << 52) - 1) | (1 - subnormal) << 52;
    let shift = (field + subnormal).wrapping_sub((low + 1075) as u64) & 63;
    let magnitude = (mantissa << shift) as u128 | ((mantissa >> 1 >> (63 - shift)) as u128) << 64;
    let sign = (bits as i64 >> 63) as i128;
    (magnitude as i128 ^ sign) - sign
}

/// The number as an integer at scale 2^low of at most `bits` bits, if it is one.
fn place(number: Number<'_>, low: i32, bits: u32) -> Option<(bool, [u64; 4])> {
    let mut limbs = [0; 4];
    if number.is_zero() {
        return Some((false, limbs));
    }
    let zeros = number.trailing_zeros();
    let shift = number.exponent + zeros as i32 - low;
    let width = number.bits() - zeros;
    if shift < 0 || shift + width as i32 > bits as i32 {
        return None;
    }
    // Limb by limb, each from the two that hold its bits before the move by `up` bits.
    let up = number.exponent - low;
    let from = |place: i32| usize::try_from(place).ok().and_then(|place| number.limbs.get(place)).copied().unwrap_or(0);
    for (place, limb) in (0..).zip(&mut limbs) {
        let (source, up) = (place - up.div_euclid(64), up.rem_euclid(64));
        *limb = from(source) << up | from(source - 1) >> 1 >> (63 - up);
    }
    Some((number.negative, limbs))
}

type Parsed = (u8, u64, [OwnedNumber; 2]);

fn parse<C: Cell>(mut bytes: &[u8], counts: bool) -> Option<Parsed> {
    let mut parts = <[OwnedNumber; 2]>::default();
    if bytes == [0] {
        return Some((0, 0, parts));
    }
    let (&flags, rest) = bytes.split_first()?;
    bytes = rest;
    let mut count = 1;
    if counts {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        (count, bytes) = (u64::from_le_bytes(*number), rest);
    }
    for part in parts.iter_mut().take(C::PARTS) {
        *part = Number::decode(&mut bytes)?;
    }
    let good = flags & ANY_ROW != 0 && flags < 16 && count > 0 && bytes.is_empty();
    good.then_some((flags & !ANY_ROW, count, parts))
}

/// A window for saved states: all of them if one window holds them, else the middle ones.
fn fitting_window<C: Cell>(saved: &BinaryArray, counts: bool) -> Result<Option<Window>, usize> {
    let (mut finest, mut top) = (vec![], i32::MIN);
    for group in 0..saved.len() {
        let (_, _, parts) = parse::<C>(saved.value(group), counts).ok_or(group)?;
        let powers = (1..).zip(&parts).map(|(power, part)| (power, part.view()));
        let powers = powers.filter(|(_, part)| !part.is_zero());
        for (power, part) in powers {
            finest.push((part.exponent + part.trailing_zeros() as i32).div_euclid(power));
            top = top.max((part.exponent + part.bits() as i32) / power);
        }
    }
    let Some(&least) = finest.iter().min() else { return Ok(None) };
    let low = if top - least < 100 {
        least
    } else {
        let middle = finest.len() / 2;
        *finest.select_nth_unstable(middle).1
    };
    Ok(Some(Window { low, finest: low, coarsest: low }))
}

fn fold_doubles<C: Cell>(cells: &mut [C], low: i32, values: &[f64], ids: &[u32]) {
    if let ([only], 1) = (&mut cells[..], C::PARTS) {
        assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
        let total = total(values, low);
        let magnitude = total.unsigned_abs();
        let limbs = [magnitude as u64, (magnitude >> 64) as u64, 0, 0];
        only.merge(&C::from_parts(values.len() as u64, [(total < 0, limbs), Default::default()]));
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if level() >= Level::Avx2 {
        // SAFETY: the processor has the feature.
        return unsafe { fold_doubles_bmi2(cells, low, values, ids) };
    }
    fold(cells, values, ids, |value| fixed(value.to_bits(), low))
}

/// Shifts by a variable and long multiplications take half the steps.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn fold_doubles_bmi2<C: Cell>(cells: &mut [C], low: i32, values: &[f64], ids: &[u32]) {
    fold(cells, values, ids, |value| fixed(value.to_bits(), low))
}

fn fold_integers<C: Cell, N: Copy + Into<i128>>(cells: &mut [C], values: &[N], ids: &[u32]) {
    fold(cells, values, ids, |value| value.into())
}

#[inline(always)]
fn fold<C: Cell, T: Copy>(cells: &mut [C], values: &[T], ids: &[u32], fixed: impl Fn(T) -> i128) {
    if let [only] = cells {
        // One group: the sum stays in registers.
        assert!(ids.iter().all(|&id| id == 0), "a group id past the one group");
        let mut cell = *only;
        values.iter().for_each(|&value| cell.add(fixed(value)));
        *only = cell;
    } else {
        for_each(cells, ids, values.iter(), |cell, _, value| cell.add(fixed(*value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::{MomentCell, SumCell, reference};
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut column = ExactColumn::<SumCell>::doubles();
        column.resize(2);
        column.add_doubles(values, &vec![1; values.len()]);
        column.specials(1).sum().unwrap_or_else(|| column.number(1, 0, |sum| sum.to_f64()))
    }

    #[test]
    fn answers_worked_out_by_hand() {
        let max = f64::MAX;
        for (values, want) in [
            (&[][..], 0.0),
            (&[-0.0], 0.0),
            (&[-0.0, 0.0, -0.0], 0.0),
            (&[9007199254740992.0, 1.0], 9007199254740992.0),
            (&[9007199254740992.0, 1.0, 1.0], 9007199254740994.0),
            (&[9007199254740992.0, 1.0, 5e-324], 9007199254740994.0),
            (&[1e308, 1e308, -1e308], 1e308),
            (&[1e16, 1.0, -1e16], 1.0),
            (&[1e100, 1.0, -1e100], 1.0),
            (&[5e-324, 5e-324], 1e-323),
            (&[5e-324, 1.0, -1.0], 5e-324),
            (&[0.1; 10], 1.0),
            (&[max, max], f64::INFINITY),
            (&[-max, -max], f64::NEG_INFINITY),
            (&[max, max, -max], max),
            (&[1.0, -1.0], 0.0),
            (&[f64::INFINITY, 1.0], f64::INFINITY),
            (&[f64::NEG_INFINITY, max], f64::NEG_INFINITY),
        ] {
            assert_eq!(sum(values).to_bits(), want.to_bits(), "{values:?}");
        }
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn a_long_column_of_large_values_finds_room() {
        // 2^17 rows at the window's upper end fill 126 bits; this is 2^19 of them, over a value at the lower end.
        let mut values = vec![2f64.powi(56); 1 << 19];
        values[5] = 1.5;
        assert_eq!(sum(&values), 2f64.powi(75) - 2f64.powi(56));
        let mut column = ExactColumn::<MomentCell>::doubles();
        column.resize(1);
        column.add_doubles(&values, &vec![0; values.len()]);
        let squares = column.number(0, 1, |number| number.to_f64());
        assert_eq!(squares, reference::round(&(BigInt::from((1 << 19) - 1) << 112), &1u8.into()));
    }

    #[test]
    fn groups_that_leave_the_cache() {
        const GROUPS: usize = 100_000;
        let (mut sums, mut moments) = (ExactColumn::<SumCell>::doubles(), ExactColumn::<MomentCell>::doubles());
        sums.resize(GROUPS);
        moments.resize(GROUPS);
        let ids: Vec<u32> = (0..3 * GROUPS as u64).map(|row| (row * 7919 % GROUPS as u64) as u32).collect();
        let values: Vec<f64> = ids.iter().map(|&id| id as f64 + 0.5).collect();
        sums.add_doubles(&values, &ids);
        moments.add_doubles(&values, &ids);
        for group in 0..GROUPS {
            let value = group as f64 + 0.5;
            assert_eq!((sums.count(group), sums.number(group, 0, |sum| sum.to_f64())), (3, 3.0 * value));
            assert_eq!(moments.number(group, 1, |squares| squares.to_f64()), 3.0 * value * value);
        }
    }

    /// Doubles of any bits, near zero, near each other, and of money.
    fn double() -> impl Strategy<Value = f64> {
        let finite = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite());
        prop_oneof![
            finite,
            (-1_000_000i64..1_000_000).prop_map(|cents| cents as f64 / 100.0),
            (1.0f64..2.0).prop_map(|x| x * 1e-310),
            Just(-0.0),
            Just(1e308),
            Just(-1e308),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn sum_means_reference(values in proptest::collection::vec(double(), 0..60)) {
            prop_assert_eq!(sum(&values).to_bits(), reference::sum(&values).to_bits());
        }

        #[test]
        fn lanes_of_few_groups_lose_nothing(
            groups in 1usize..=10, rows in 0usize..9000, exponent in -900i32..900, spread in 0i32..40, seed in any::<u64>(),
        ) {
            let mut dice = seed;
            let mut next = || {
                dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                dice ^ dice >> 33
            };
            let values: Vec<f64> = (0..rows).map(|_| {
                let bits = next();
                let field = (exponent + (bits % (spread as u64 + 1)) as i32 + 1023).clamp(0, 2046) as u64;
                if bits % 17 == 0 { 0.0 } else { f64::from_bits(next() >> 12 | (field << 52) | (bits & 1) << 63) }
            }).collect();
            let ids: Vec<u32> = (0..rows).map(|_| (next() % groups as u64) as u32).collect();
            let mut column = ExactColumn::<SumCell>::doubles();
            column.resize(groups);
            column.add_doubles(&values, &ids);
            for group in 0..groups {
                // A column of one group has loops of its own.
                let mine: Vec<f64> =
                    values.iter().zip(&ids).filter(|(_, id)| **id as usize == group).map(|(x, _)| *x).collect();
                let mut alone = ExactColumn::<SumCell>::doubles();
                alone.resize(1);
                alone.add_doubles(&mine, &vec![0; mine.len()]);
                let (all, alone) = (column.save(true), alone.save(true));
                prop_assert_eq!(all.value(group), alone.value(0));
            }
        }

        #[test]
        fn windows_move_and_nothing_changes(
            runs in proptest::collection::vec((-1070i32..1000, 0i32..70, 1usize..40, any::<u64>()), 1..8),
        ) {
            // Runs of doubles around changing exponents: rescales, moves and the wide form, in one column and merged.
            let mut values = vec![];
            let (mut whole, mut merged) = (ExactColumn::<MomentCell>::doubles(), ExactColumn::<MomentCell>::doubles());
            whole.resize(1);
            merged.resize(1);
            for (exponent, spread, rows, seed) in runs {
                let run: Vec<f64> = (0..rows as u64).map(|i| {
                    let bits = (seed ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let field = (exponent + (bits % (spread as u64 + 1)) as i32 + 1074).clamp(0, 2046) as u64;
                    f64::from_bits(bits >> 12 | (field << 52) | (bits & 1) << 63)
                }).collect();
                whole.add_doubles(&run, &vec![0; rows]);
                let mut part = ExactColumn::<MomentCell>::doubles();
                part.resize(1);
                part.add_doubles(&run, &vec![0; rows]);
                merged.merge(&part, &[0]);
                values.extend(run);
            }
            prop_assert_eq!(whole.number(0, 0, |sum| sum.to_f64()).to_bits(), reference::sum(&values).to_bits());
            if let Some(quick) = whole.quick_sum(0) {
                prop_assert_eq!(quick.to_bits(), reference::sum(&values).to_bits());
            }
            prop_assert_eq!(whole.save(true), merged.save(true));
            let mut loaded = ExactColumn::<MomentCell>::doubles();
            loaded.load(&whole.save(true), true).unwrap();
            prop_assert_eq!(whole.save(true), loaded.save(true));
        }

        #[test]
        fn integers_of_any_size(values in proptest::collection::vec(prop_oneof![any::<i128>(), -100i128..100], 0..50)) {
            let mut column = ExactColumn::<MomentCell>::integers();
            column.resize(1);
            column.add_integers(&values, &vec![0; values.len()]);
            let big = |part| column.number(0, part, |n| n.big() << n.exponent);
            prop_assert_eq!(big(0), values.iter().map(|&x| num_bigint::BigInt::from(x)).sum());
            prop_assert_eq!(big(1), values.iter().map(|&x| num_bigint::BigInt::from(x).pow(2)).sum());
        }
    }
}
