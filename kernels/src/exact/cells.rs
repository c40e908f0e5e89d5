//! The narrow form of a state: fixed point at a scale that the column keeps.

/// Where a narrow sum stops: sums stay below 2^[`LIMIT_BITS`] between rows, so no addition can leave 128 bits.
pub(super) const LIMIT_BITS: u32 = 126;
/// Sums at or above 2^[`LARGE_BITS`] are moved out when room is wanted.
pub(super) const LARGE_BITS: u32 = 122;

/// One group's narrow state: the row count and sums of `x^1 .. x^PARTS`, where row values are integers at the column's
/// scale: the part of `x^k` is an integer times 2^(k·low).
pub trait Cell: Copy + Default + Send + Sync + 'static {
    /// How many powers are summed.
    const PARTS: usize;
    /// Adds one row; `|x| < 2^112`.
    fn add(&mut self, x: i128);
    /// Rows so far.
    fn count(&self) -> u64;
    /// Adds rows without a value: zeros, or rows whose value is kept elsewhere.
    fn add_count(&mut self, rows: u64);
    /// The same without what is summed: its rows stay.
    fn emptied(&self) -> Self {
        Self::from_parts(self.count(), Default::default())
    }
    /// Sign and magnitude of the sum of `x^(part + 1)`.
    fn part(&self, part: usize) -> (bool, [u64; 4]);
    /// A cell of these signs and magnitudes, in the order of [`Cell::part`].
    fn from_parts(count: u64, parts: [(bool, [u64; 4]); 2]) -> Self;
    /// Adds another cell at the same scale.
    fn merge(&mut self, other: &Self);
    /// Takes out a cell at the same scale that was added; only of single sums.
    fn unmerge(&mut self, other: &Self);
    /// A measure that every part's room is counted in: stays below 2^126.
    fn magnitude(&self) -> u128;
    /// The same values at a scale finer by 2^by, or `None` where they would pass 2^122.
    fn finer(&self, by: u32) -> Option<Self>;
    /// The same values at a scale coarser by 2^by. They must be multiples of it.
    fn coarser(&self, by: u32) -> Self;
}

/// Count and sum: 24 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SumCell {
    // Two halves, so that a cell is 24 bytes long and not the 32 that the alignment of i128 asks for.
    sum: [u64; 2],
    count: u64,
}

/// Count, sum and sum of squares: 56 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MomentCell {
    sum: [u64; 2],
    squares: [u64; 4],
    count: u64,
}

#[inline(always)]
fn join(halves: [u64; 2]) -> i128 {
    (halves[0] as u128 | (halves[1] as u128) << 64) as i128
}

#[inline(always)]
fn split(value: i128) -> [u64; 2] {
    [value as u64, (value >> 64) as u64]
}

fn signed(sum: [u64; 2]) -> (bool, [u64; 4]) {
    let sum = join(sum);
    let magnitude = sum.unsigned_abs();
    (sum < 0, [magnitude as u64, (magnitude >> 64) as u64, 0, 0])
}

fn unsigned((negative, limbs): (bool, [u64; 4])) -> [u64; 2] {
    let magnitude = join([limbs[0], limbs[1]]);
    split(if negative { -magnitude } else { magnitude })
}

fn finer_sum(sum: i128, by: u32) -> Option<i128> {
    let bits = 128 - sum.unsigned_abs().leading_zeros();
    (bits == 0 || bits + by <= LARGE_BITS).then(|| if bits == 0 { 0 } else { sum << by })
}

#[inline(always)]
fn add_limbs(to: &mut [u64; 4], from: [u64; 4]) {
    let mut carry = false;
    for (to, from) in to.iter_mut().zip(from) {
        (*to, carry) = to.carrying_add(from, carry);
    }
}

impl Cell for SumCell {
    const PARTS: usize = 1;

    #[inline(always)]
    fn add(&mut self, x: i128) {
        self.sum = split(join(self.sum).wrapping_add(x));
        self.count += 1;
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn add_count(&mut self, rows: u64) {
        self.count += rows;
    }

    fn part(&self, _: usize) -> (bool, [u64; 4]) {
        signed(self.sum)
    }

    fn from_parts(count: u64, parts: [(bool, [u64; 4]); 2]) -> Self {
        SumCell { sum: unsigned(parts[0]), count }
    }

    #[inline(always)]
    fn merge(&mut self, other: &Self) {
        self.sum = split(join(self.sum).wrapping_add(join(other.sum)));
        self.count += other.count;
    }

    #[inline(always)]
    fn unmerge(&mut self, other: &Self) {
        self.sum = split(join(self.sum).wrapping_sub(join(other.sum)));
        self.count -= other.count;
    }

    #[inline(always)]
    fn magnitude(&self) -> u128 {
        join(self.sum).unsigned_abs()
    }

    fn finer(&self, by: u32) -> Option<Self> {
        Some(SumCell { sum: split(finer_sum(join(self.sum), by)?), count: self.count })
    }

    fn coarser(&self, by: u32) -> Self {
        SumCell { sum: split(join(self.sum) >> by.min(127)), count: self.count }
    }
}

impl Cell for MomentCell {
    const PARTS: usize = 2;

    #[inline(always)]
    fn add(&mut self, x: i128) {
        self.sum = split(join(self.sum).wrapping_add(x));
        let [low, high] = split(x.unsigned_abs() as i128);
        // Below 2^112, `low · high` doubled and the carry from below still fit 128 bits.
        let bottom = low as u128 * low as u128;
        let middle = (bottom >> 64) + ((low as u128 * high as u128) << 1);
        let top = (middle >> 64) + high as u128 * high as u128;
        add_limbs(&mut self.squares, [bottom as u64, middle as u64, top as u64, (top >> 64) as u64]);
        self.count += 1;
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn add_count(&mut self, rows: u64) {
        self.count += rows;
    }

    fn part(&self, part: usize) -> (bool, [u64; 4]) {
        if part == 0 { signed(self.sum) } else { (false, self.squares) }
    }

    fn from_parts(count: u64, parts: [(bool, [u64; 4]); 2]) -> Self {
        MomentCell { sum: unsigned(parts[0]), squares: parts[1].1, count }
    }

    #[inline(always)]
    fn merge(&mut self, other: &Self) {
        self.sum = split(join(self.sum).wrapping_add(join(other.sum)));
        add_limbs(&mut self.squares, other.squares);
        self.count += other.count;
    }

    fn unmerge(&mut self, _: &Self) {
        unreachable!("squares may lie in the wide form: `can_unmerge` says no");
    }

    #[inline(always)]
    fn magnitude(&self) -> u128 {
        // A row of r bits adds less than 2^(2r - 128) <= 2^r to the upper half, so the sum's room is enough for both.
        let upper = self.squares[2] as u128 | (self.squares[3] as u128) << 64;
        join(self.sum).unsigned_abs().max(upper + 1)
    }

    fn finer(&self, by: u32) -> Option<Self> {
        let bits = (0..4).rev().find(|&i| self.squares[i] != 0);
        let bits = bits.map_or(0, |top| top as u32 * 64 + 64 - self.squares[top].leading_zeros());
        if bits != 0 && bits + 2 * by > 128 + LARGE_BITS {
            return None;
        }
        let (skip, shift) = if bits == 0 { (0, 0) } else { ((2 * by / 64) as usize, 2 * by % 64) };
        let limb = |i: usize| if i >= skip { self.squares[i - skip] } else { 0 };
        let below = |i: usize| if i > skip { self.squares[i - skip - 1] } else { 0 };
        let squares = std::array::from_fn(|i| limb(i) << shift | below(i) >> 1 >> (63 - shift));
        Some(MomentCell { sum: split(finer_sum(join(self.sum), by)?), squares, count: self.count })
    }

    fn coarser(&self, by: u32) -> Self {
        let (skip, shift) = ((2 * by / 64) as usize, 2 * by % 64);
        let limb = |i: usize| self.squares.get(i + skip).copied().unwrap_or(0);
        let squares = std::array::from_fn(|i| limb(i) >> shift | limb(i + 1) << 1 << (63 - shift));
        MomentCell { sum: split(join(self.sum) >> by.min(127)), squares, count: self.count }
    }
}

/// Count and sum, and the least or greatest of some keys: 32 bytes, so that none lies in two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct ExtremeCell<const GREATEST: bool> {
    sum: SumCell,
    key: i64,
}

impl<const GREATEST: bool> Default for ExtremeCell<GREATEST> {
    fn default() -> Self {
        Self::of(SumCell::default(), Self::IDENTITY)
    }
}

impl<const GREATEST: bool> ExtremeCell<GREATEST> {
    /// The key of no row.
    const IDENTITY: i64 = if GREATEST { i64::MIN } else { i64::MAX };

    fn of(sum: SumCell, key: i64) -> Self {
        ExtremeCell { sum, key }
    }

    /// Takes up a key, if it is greater (or less).
    #[inline(always)]
    pub fn meet(&mut self, key: i64) {
        self.key = if GREATEST { self.key.max(key) } else { self.key.min(key) };
    }

    /// The greatest key, or the least.
    pub fn key(&self) -> i64 {
        self.key
    }

    /// Whether there is one.
    pub fn has_rows(&self) -> bool {
        self.sum.count > 0
    }
}

impl<const GREATEST: bool> Cell for ExtremeCell<GREATEST> {
    const PARTS: usize = 1;

    #[inline(always)]
    fn add(&mut self, x: i128) {
        self.sum.add(x);
    }

    fn count(&self) -> u64 {
        self.sum.count()
    }

    fn add_count(&mut self, rows: u64) {
        self.sum.add_count(rows);
    }

    fn emptied(&self) -> Self {
        Self::of(self.sum.emptied(), self.key)
    }

    fn part(&self, part: usize) -> (bool, [u64; 4]) {
        self.sum.part(part)
    }

    fn from_parts(count: u64, parts: [(bool, [u64; 4]); 2]) -> Self {
        Self::of(SumCell::from_parts(count, parts), Self::IDENTITY)
    }

    #[inline(always)]
    fn merge(&mut self, other: &Self) {
        self.sum.merge(&other.sum);
        self.meet(other.key);
    }

    fn unmerge(&mut self, _: &Self) {
        unreachable!("an extreme can not be taken out: `can_unmerge` says no");
    }

    #[inline(always)]
    fn magnitude(&self) -> u128 {
        self.sum.magnitude()
    }

    fn finer(&self, by: u32) -> Option<Self> {
        Some(Self::of(self.sum.finer(by)?, self.key))
    }

    fn coarser(&self, by: u32) -> Self {
        Self::of(self.sum.coarser(by), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::Number;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    fn big(cell: &impl Cell, part: usize) -> BigInt {
        let (negative, limbs) = cell.part(part);
        Number { negative, limbs: &limbs, exponent: 0 }.big()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn sums_powers(rows in proptest::collection::vec(-(1i128 << 111)..(1i128 << 111), 0..20), by in 0u32..40) {
            let mut cell = MomentCell::default();
            rows.iter().for_each(|&x| cell.add(x));
            let sum: BigInt = rows.iter().map(|&x| BigInt::from(x)).sum();
            let squares: BigInt = rows.iter().map(|&x| BigInt::from(x) * x).sum();
            prop_assert_eq!(big(&cell, 0), sum.clone());
            prop_assert_eq!(big(&cell, 1), squares.clone());
            if let Some(finer) = cell.finer(by) {
                prop_assert_eq!(big(&finer, 0), sum.clone() << by);
                prop_assert_eq!(big(&finer, 1), squares.clone() << (2 * by));
                let back = finer.coarser(by);
                prop_assert_eq!(big(&back, 0), sum);
                prop_assert_eq!(big(&back, 1), squares);
            }
        }
    }
}
