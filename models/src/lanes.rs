//! Rows that go down a tree together: their values are bytes, and the tree is whole, so that a step down is arithmetic and no branch.
//!
//! The root is node 1, and below `n` are `2n` and `2n + 1`. Plain idea, which is what runs where there is nothing better: a row's
//! node tells a column and a threshold; double its number, and add one if the row's byte reaches the threshold. Departure: all rows
//! of a register take their step at once. Bytes cannot be fetched from many places, so the byte that a row is asked for is picked
//! from those of all nodes of the level by the ways that led there, a load and a blend a node; the threshold is looked up by the
//! node's number. Depth 6 is 63 loads for 64 rows: less than one a row (QuickScorer's observation, Lucchese et al. 2015, that asking
//! all nodes in order can be cheaper than asking the right ones).

use pelton_kernels::cpu::{self, Level};

use crate::tiles::TILE;

/// The deepest tree that is laid out whole: 255 nodes.
pub(crate) const DEPTH_MAX: u32 = 8;

/// How many nodes and leaves a tree of this depth has room for: a register of bytes is read at once.
pub(crate) fn room(depth: u32) -> usize {
    64.max(1 << depth)
}

/// A tree's nodes, by number.
#[derive(Clone, Copy)]
pub(crate) struct Nodes<'t> {
    pub depth: u32,
    /// What a byte must be below to go to the left; as many as there is [`room`] for.
    pub thresholds: &'t [u8],
    /// Which column of a tile has the bytes; likewise.
    pub columns: &'t [u32],
}

/// Writes where each row of a tile ends: the lowest byte of the number that a node in place of its leaf would have.
///
/// # Panics
/// If the processor does not have the level, or the tree's form is not what it should be.
///
/// # Safety
/// The tile must have every column. (To look costs two fifths of the time, since it is once a node and register.)
pub(crate) unsafe fn descend(level: Level, nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
    let room = room(nodes.depth);
    assert!(nodes.depth <= DEPTH_MAX && nodes.thresholds.len() == room && nodes.columns.len() == room);
    assert!(level <= cpu::level(), "the processor has no {}", level.name());
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions, and the tile the columns.
        Level::Avx512 if is_x86_feature_detected!("avx512vbmi") => unsafe { avx512::descend(nodes, tile, ends) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: likewise.
        Level::Avx512 | Level::Avx2 => unsafe { avx2::descend(nodes, tile, ends) },
        _ => row_by_row(nodes, tile, ends),
    }
}

fn row_by_row(nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
    let mut numbers = [1u16; TILE];
    for _ in 0..nodes.depth {
        for (row, number) in numbers.iter_mut().enumerate() {
            let at = usize::from(*number);
            let right = tile[nodes.columns[at] as usize][row] >= nodes.thresholds[at];
            *number = 2 * *number + u16::from(right);
        }
    }
    ends.iter_mut().zip(numbers).for_each(|(end, number)| *end = number as u8);
}

/// Bytes of several rows in a register.
///
/// # Safety
/// Whoever calls any of these has the instructions, and the bytes that are read or written are there.
#[cfg(target_arch = "x86_64")]
trait Lanes: Copy {
    /// Rows of a register.
    const ROWS: usize;
    /// For each row its way at a level: to the right or not.
    type Ways: Copy;

    unsafe fn load(from: *const u8) -> Self;
    unsafe fn store(self, into: *mut u8);
    /// The root's number in all rows.
    unsafe fn root() -> Self;
    /// No way yet.
    unsafe fn nowhere() -> Self::Ways;
    /// Of each row the byte for its way.
    unsafe fn either(ways: Self::Ways, left: Self, right: Self) -> Self;
    /// To the right where a value is not below the threshold.
    unsafe fn reaches(self, threshold: Self) -> Self::Ways;
    /// The number of the node to which the ways lead.
    unsafe fn below(self, ways: Self::Ways) -> Self;
    /// What a table has for the rows' nodes, which are of one level; `ways` have led there.
    unsafe fn look_up(level: usize, table: *const u8, nodes: Self, ways: &[Self::Ways]) -> Self;
}

/// A tile and a tree's columns, to pick the bytes that rows are asked for.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Picker<'t> {
    columns: &'t [u32],
    tile: &'t [[u8; TILE]],
    /// The first row of the register.
    first: usize,
}

/// How the bytes of a run of nodes are picked from those of its halves.
#[cfg(target_arch = "x86_64")]
macro_rules! picks {
    ($($all:ident = $half:ident, $count:literal;)*) => {$(
        #[inline(always)]
        unsafe fn $all<L: Lanes>(self, first: usize, ways: &[L::Ways]) -> L {
            // SAFETY: as the caller says.
            unsafe { L::either(ways[0], self.$half(first, &ways[1..]), self.$half(first + $count / 2, &ways[1..])) }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
impl Picker<'_> {
    #[inline(always)]
    unsafe fn one<L: Lanes>(self, node: usize, _: &[L::Ways]) -> L {
        let column = self.columns[node] as usize;
        debug_assert!(column < self.tile.len() && self.first + L::ROWS <= TILE);
        // SAFETY: the tile has the column, which has the register's rows; the caller has the instructions.
        unsafe { L::load(self.tile.get_unchecked(column).as_ptr().add(self.first)) }
    }

    picks! {
        two = one, 2;
        four = two, 4;
        eight = four, 8;
        sixteen = eight, 16;
        thirty_two = sixteen, 32;
        sixty_four = thirty_two, 64;
        hundred_twenty_eight = sixty_four, 128;
    }
}

/// # Safety
/// The caller has the instructions of `L`, and the tile every column.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn by_depth<L: Lanes>(nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
    // SAFETY: as the caller says.
    unsafe {
        match nodes.depth {
            0 => ends.fill(1),
            1 => levels::<L, 1>(nodes, tile, ends),
            2 => levels::<L, 2>(nodes, tile, ends),
            3 => levels::<L, 3>(nodes, tile, ends),
            4 => levels::<L, 4>(nodes, tile, ends),
            5 => levels::<L, 5>(nodes, tile, ends),
            6 => levels::<L, 6>(nodes, tile, ends),
            7 => levels::<L, 7>(nodes, tile, ends),
            _ => levels::<L, 8>(nodes, tile, ends),
        }
    }
}

/// # Safety
/// The caller has the instructions of `L`, and the tile every column.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn levels<L: Lanes, const DEPTH: usize>(nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
    assert!(nodes.thresholds.len() >= 1 << DEPTH && nodes.columns.len() >= 1 << DEPTH);
    for first in (0..TILE).step_by(L::ROWS) {
        let picker = Picker { columns: nodes.columns, tile, first };
        // SAFETY: the caller has the instructions; tables have room for whole registers, and rows are within the tile.
        unsafe {
            let mut ways = [L::nowhere(); DEPTH];
            let mut at = L::root();
            // Unrolled by hand: ways must stay in registers.
            macro_rules! level {
                ($level:literal, $pick:ident) => {
                    if DEPTH > $level {
                        let before = &ways[..$level];
                        let value: L = picker.$pick(1 << $level, before);
                        let threshold = L::look_up($level, nodes.thresholds.as_ptr(), at, before);
                        ways[$level] = value.reaches(threshold);
                        at = at.below(ways[$level]);
                    }
                };
            }
            level!(0, one);
            level!(1, two);
            level!(2, four);
            level!(3, eight);
            level!(4, sixteen);
            level!(5, thirty_two);
            level!(6, sixty_four);
            level!(7, hundred_twenty_eight);
            at.store(ends[first..][..L::ROWS].as_mut_ptr());
        }
    }
}

/// 32 rows a register; a way is a byte of ones.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Lanes, Nodes, TILE, by_depth};

    #[target_feature(enable = "avx2")]
    pub unsafe fn descend(nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
        // SAFETY: this function has the instructions, and the caller the columns.
        unsafe { by_depth::<Bytes>(nodes, tile, ends) }
    }

    #[derive(Clone, Copy)]
    struct Bytes(__m256i);

    #[derive(Clone, Copy)]
    struct Ways(__m256i);

    impl Bytes {
        /// From 16 bytes, by the lowest four bits.
        #[inline(always)]
        unsafe fn of_16(table: *const u8, nodes: Self) -> Self {
            // SAFETY: as of the trait.
            unsafe {
                let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.cast()));
                Bytes(_mm256_shuffle_epi8(table, _mm256_and_si256(nodes.0, _mm256_set1_epi8(15))))
            }
        }

        #[inline(always)]
        unsafe fn of_32(table: *const u8, nodes: Self, ways: &[Ways]) -> Self {
            // SAFETY: as of the trait.
            unsafe { Self::either(ways[0], Self::of_16(table, nodes), Self::of_16(table.add(16), nodes)) }
        }

        #[inline(always)]
        unsafe fn of_64(table: *const u8, nodes: Self, ways: &[Ways]) -> Self {
            let (way, ways) = (ways[0], &ways[1..]);
            // SAFETY: as of the trait.
            unsafe { Self::either(way, Self::of_32(table, nodes, ways), Self::of_32(table.add(32), nodes, ways)) }
        }

        #[inline(always)]
        unsafe fn of_128(table: *const u8, nodes: Self, ways: &[Ways]) -> Self {
            let (way, ways) = (ways[0], &ways[1..]);
            // SAFETY: as of the trait.
            unsafe { Self::either(way, Self::of_64(table, nodes, ways), Self::of_64(table.add(64), nodes, ways)) }
        }
    }

    #[expect(
        clippy::undocumented_unsafe_blocks,
        reason = "the trait says it once: the caller has the instructions and the bytes"
    )]
    impl Lanes for Bytes {
        const ROWS: usize = 32;
        type Ways = Ways;

        #[inline(always)]
        unsafe fn load(from: *const u8) -> Self {
            Bytes(unsafe { _mm256_loadu_si256(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, into: *mut u8) {
            unsafe { _mm256_storeu_si256(into.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn root() -> Self {
            Bytes(unsafe { _mm256_set1_epi8(1) })
        }

        #[inline(always)]
        unsafe fn nowhere() -> Ways {
            Ways(unsafe { _mm256_setzero_si256() })
        }

        #[inline(always)]
        unsafe fn either(ways: Ways, left: Self, right: Self) -> Self {
            Bytes(unsafe { _mm256_blendv_epi8(left.0, right.0, ways.0) })
        }

        #[inline(always)]
        unsafe fn reaches(self, threshold: Self) -> Ways {
            Ways(unsafe { _mm256_cmpeq_epi8(_mm256_max_epu8(self.0, threshold.0), self.0) })
        }

        #[inline(always)]
        unsafe fn below(self, ways: Ways) -> Self {
            // A way to the right is -1.
            Bytes(unsafe { _mm256_sub_epi8(_mm256_add_epi8(self.0, self.0), ways.0) })
        }

        #[inline(always)]
        unsafe fn look_up(level: usize, table: *const u8, nodes: Self, ways: &[Ways]) -> Self {
            unsafe {
                match level {
                    0..4 => Self::of_16(table, nodes),
                    4 => Self::of_16(table.add(16), nodes),
                    5 => Self::of_32(table.add(32), nodes, ways),
                    6 => Self::of_64(table.add(64), nodes, ways),
                    _ => Self::of_128(table.add(128), nodes, ways),
                }
            }
        }
    }
}

/// 64 rows a register; a way is a bit. A table of 64 bytes is one permutation (VBMI, from Ice Lake and Zen 4 on).
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Lanes, Nodes, TILE, by_depth};

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub unsafe fn descend(nodes: Nodes<'_>, tile: &[[u8; TILE]], ends: &mut [u8; TILE]) {
        // SAFETY: this function has the instructions, and the caller the columns.
        unsafe { by_depth::<Bytes>(nodes, tile, ends) }
    }

    #[derive(Clone, Copy)]
    struct Bytes(__m512i);

    impl Bytes {
        /// From 64 bytes, by the lowest six bits.
        #[inline(always)]
        unsafe fn of_64(table: *const u8, nodes: Self) -> Self {
            // SAFETY: as of the trait.
            unsafe { Bytes(_mm512_permutexvar_epi8(nodes.0, _mm512_loadu_si512(table.cast()))) }
        }
    }

    #[expect(
        clippy::undocumented_unsafe_blocks,
        reason = "the trait says it once: the caller has the instructions and the bytes"
    )]
    impl Lanes for Bytes {
        const ROWS: usize = 64;
        type Ways = __mmask64;

        #[inline(always)]
        unsafe fn load(from: *const u8) -> Self {
            Bytes(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, into: *mut u8) {
            unsafe { _mm512_storeu_si512(into.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn root() -> Self {
            Bytes(unsafe { _mm512_set1_epi8(1) })
        }

        #[inline(always)]
        unsafe fn nowhere() -> __mmask64 {
            0
        }

        #[inline(always)]
        unsafe fn either(ways: __mmask64, left: Self, right: Self) -> Self {
            Bytes(unsafe { _mm512_mask_blend_epi8(ways, left.0, right.0) })
        }

        #[inline(always)]
        unsafe fn reaches(self, threshold: Self) -> __mmask64 {
            unsafe { _mm512_cmpge_epu8_mask(self.0, threshold.0) }
        }

        #[inline(always)]
        unsafe fn below(self, ways: __mmask64) -> Self {
            unsafe {
                let left = _mm512_add_epi8(self.0, self.0);
                Bytes(_mm512_mask_add_epi8(left, ways, left, _mm512_set1_epi8(1)))
            }
        }

        #[inline(always)]
        unsafe fn look_up(level: usize, table: *const u8, nodes: Self, ways: &[__mmask64]) -> Self {
            unsafe {
                match level {
                    0..6 => Self::of_64(table, nodes),
                    6 => Self::of_64(table.add(64), nodes),
                    _ => Self::either(ways[0], Self::of_64(table.add(128), nodes), Self::of_64(table.add(192), nodes)),
                }
            }
        }
    }
}
