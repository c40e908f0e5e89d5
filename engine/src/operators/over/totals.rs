//! Totals: what was added up before each place of an arena, since the first row of the place's key. What the rows between two places
//! add up to is the difference of two totals.

use std::ops::Range;

use super::lanes::grow;

/// See the module. Totals are kept in 4 bytes each while all that was ever added up fits there, then in 8, then in 16, where they wrap
/// around: differences stay right.
#[derive(Debug)]
pub struct Totals {
    places: Places,
    /// No total can be further from 0.
    reach: u128,
}

#[derive(Debug)]
enum Places {
    Small(Vec<i32>),
    Medium(Vec<i64>),
    Large(Vec<i128>),
}

/// Says the same of the totals, whatever their width.
macro_rules! of {
    ($places:expr, $totals:ident => $what:expr) => {
        match $places {
            Places::Small($totals) => $what,
            Places::Medium($totals) => $what,
            Places::Large($totals) => $what,
        }
    };
}

impl Default for Totals {
    fn default() -> Self {
        Totals { places: Places::Small(vec![]), reach: 0 }
    }
}

impl Totals {
    /// Those of numbers that may be anything.
    pub fn large() -> Self {
        Totals { places: Places::Large(vec![]), reach: u128::MAX }
    }

    /// True if there is no place yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        of!(&self.places, totals => totals.is_empty())
    }

    /// Room for so many places; nothing was before the new ones.
    pub fn grow(&mut self, places: usize) {
        of!(&mut self.places, totals => grow(totals, places));
    }

    /// What was before `at`, since the first row of its key.
    #[inline]
    pub fn before(&self, at: usize) -> i128 {
        of!(&self.places, totals => wide(totals[at]))
    }

    /// What the rows from `head` to before `tail` add up to.
    #[inline]
    pub fn between(&self, head: usize, tail: usize) -> i128 {
        of!(&self.places, totals => wide(totals[tail].wrapping_sub(totals[head])))
    }

    /// Copies the totals of some places to others.
    pub fn copy_within(&mut self, from: Range<usize>, to: usize) {
        of!(&mut self.places, totals => totals.copy_within(from, to));
    }

    /// Nothing was before this place.
    pub fn begin(&mut self, at: usize) {
        of!(&mut self.places, totals => totals[at] = 0);
    }

    /// Appends rows: their places, each behind those of its key before it, and their numbers. `most`: none is further from 0.
    pub fn append(&mut self, rows: impl ExactSizeIterator<Item = (usize, i128)>, most: u128) {
        self.reserve(most.saturating_mul(rows.len() as u128));
        of!(&mut self.places, totals => for (at, number) in rows {
            totals[at + 1] = totals[at].wrapping_add(number as _);
        });
    }

    /// Adds what was before the first row of a key to the totals of its places.
    pub fn lift(&mut self, places: Range<usize>, by: i128) {
        self.reserve(by.unsigned_abs());
        of!(&mut self.places, totals => totals[places].iter_mut().for_each(|total| *total = total.wrapping_add(by as _)));
    }

    /// Multiplies the totals of the first places by a power of two.
    pub fn scale(&mut self, places: usize, power: u32) {
        self.reserve(u128::MAX);
        let Places::Large(totals) = &mut self.places else { unreachable!("they reach so far") };
        let places = places.min(totals.len());
        totals[..places].iter_mut().for_each(|total| *total = total.wrapping_shl(power));
    }

    /// Bytes of the first places.
    pub fn memory_bytes(&self, places: usize) -> usize {
        of!(&self.places, totals => totals.len().min(places) * size_of_val(&totals[..1.min(totals.len())]))
    }

    /// Makes totals wide enough for `more` of anything to come.
    fn reserve(&mut self, more: u128) {
        self.reach = self.reach.saturating_add(more);
        if let Places::Small(totals) = &self.places
            && self.reach > i32::MAX as u128
        {
            self.places = Places::Medium(widened(totals));
        }
        if let Places::Medium(totals) = &self.places
            && self.reach > i64::MAX as u128
        {
            self.places = Places::Large(widened(totals));
        }
    }
}

fn wide<N: Into<i128>>(total: N) -> i128 {
    total.into()
}

/// The same in wider words. Places that nobody has used stay without pages (see [`grow`]).
fn widened<N: Copy, W: Copy + Default + PartialEq + From<N>>(totals: &[N]) -> Vec<W> {
    let mut found = vec![W::default(); totals.len()];
    for (found, total) in found.iter_mut().zip(totals) {
        let total = W::from(*total);
        if total != W::default() {
            *found = total;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_any_size_are_differences() {
        let mut totals = Totals::default();
        totals.grow(8);
        let mut sums = vec![0i128];
        let numbers = [3, -4, i64::from(i32::MAX), i64::MAX, i64::MAX, -1].map(i128::from);
        let widths: Vec<usize> = numbers
            .iter()
            .enumerate()
            .map(|(at, number)| {
                totals.append(std::iter::once((at, *number)), number.unsigned_abs());
                sums.push(sums[at] + number);
                totals.memory_bytes(1)
            })
            .collect();
        assert_eq!(widths, [4, 4, 8, 16, 16, 16]);
        for tail in 0..sums.len() {
            assert_eq!(totals.before(tail), sums[tail]);
            (0..tail).for_each(|head| assert_eq!(totals.between(head, tail), sums[tail] - sums[head]));
        }
        totals.lift(0..sums.len(), i128::MAX);
        totals.scale(sums.len(), 1);
        assert_eq!(totals.between(0, 2), -2, "totals wrap around, differences do not");
    }
}
