//! Loops over states in the order of group ids, which jump about in memory.

/// States of more bytes are asked for ahead of time: with those of other aggregates and panes they fill the second-level cache.
const CACHED_BYTES: usize = 1 << 18;
/// How many steps ahead: the processor's own window reaches only some.
const AHEAD: usize = 24;

/// Calls `each` with the item of every id, the id, and the value that goes with it, in order. Where the items are too
/// many for the second-level cache, their cache lines are asked for some steps ahead.
///
/// # Panics
/// If an id is not that of an item.
#[inline(always)]
pub fn for_each<T, V>(
    items: &mut [T],
    ids: &[u32],
    values: impl Iterator<Item = V>,
    mut each: impl FnMut(&mut T, usize, V),
) {
    if size_of_val(items) <= CACHED_BYTES {
        for (value, &id) in values.zip(ids) {
            each(&mut items[id as usize], id as usize, value);
        }
        return;
    }
    let later = ids[AHEAD.min(ids.len())..].iter().chain(std::iter::repeat(&0));
    for ((value, &id), &later) in values.zip(ids).zip(later) {
        prefetch(items, later as usize);
        each(&mut items[id as usize], id as usize, value);
    }
}

/// Asks for the memory of an item that will be wanted.
#[inline(always)]
fn prefetch<T>(items: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = items.as_ptr().wrapping_add(index).cast::<i8>();
        // SAFETY: a prefetch reads nothing and can not fault, whatever the address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            if size_of::<T>() > 32 {
                _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(size_of::<T>() - 1));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, index);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_in_order_with_its_value() {
        for items in [10_usize, 300_000] {
            let mut sums = vec![0_u64; items];
            let ids: Vec<u32> = (0..1000_u32).map(|i| i.wrapping_mul(7919) % items as u32).collect();
            let mut order = vec![];
            for_each(&mut sums, &ids, 0..1000_u64, |sum, id, value| {
                *sum += value;
                order.push((id as u32, value));
            });
            assert_eq!(order, ids.iter().copied().zip(0..1000).collect::<Vec<_>>());
            assert_eq!(sums.iter().sum::<u64>(), 499_500);
        }
    }
}
