//! Growing arrays of states, some of them large.
//!
//! Plain idea: `Vec` doubles, and the allocator keeps what was freed for the next who asks. Departure: nobody asks for an
//! array of half a table's size again, so a table would keep as much freed memory as it has groups. What a large array grew
//! out of goes back to the system at once. And items are reached in no order, so that with small pages each would miss the
//! caches twice, once for its page: large arrays ask the system for huge ones.

/// Smaller arrays are left to the allocator.
const LARGE_BYTES: usize = 1 << 18;

/// Larger arrays ask for huge pages.
const HUGE_BYTES: usize = 1 << 22;

/// An array of `len` items, all of them `value`.
pub fn filled<T: Copy>(value: T, len: usize) -> Vec<T> {
    let mut items = with_capacity(len);
    items.resize(len, value);
    items
}

fn with_capacity<T: Copy>(capacity: usize) -> Vec<T> {
    let mut items: Vec<T> = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    if size_of::<T>() * items.capacity() >= HUGE_BYTES {
        use libc::{MADV_HUGEPAGE, madvise};
        let memory = items.spare_capacity_mut().as_mut_ptr_range();
        let (first, bytes) = whole_pages(memory.start.addr(), memory.end.addr());
        // SAFETY: whole pages of one allocation of ours. What is in them stays; it may fail, and then nothing has changed.
        unsafe { madvise(memory.start.with_addr(first).cast(), bytes, MADV_HUGEPAGE) };
    }
    items
}

/// The first whole page between two addresses, and how many bytes whole pages have.
#[cfg(target_os = "linux")]
fn whole_pages(start: usize, end: usize) -> (usize, usize) {
    // SAFETY: it reads a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    let first = start.next_multiple_of(page);
    (first, (end / page * page).saturating_sub(first))
}

/// Grows to `len` items, the new ones being `value`; or shortens.
pub fn resize<T: Copy>(items: &mut Vec<T>, len: usize, value: T) {
    let room = items.capacity();
    if len > room && size_of::<T>() * room >= LARGE_BYTES {
        let mut grown = with_capacity(len.max(2 * room));
        grown.extend_from_slice(items);
        discard(std::mem::replace(items, grown));
    }
    items.resize(len, value);
}

/// Frees an array that was grown out of, and its pages with it.
pub fn discard<T: Copy>(mut items: Vec<T>) {
    items.clear();
    #[cfg(target_os = "linux")]
    {
        use libc::{MADV_DONTNEED, madvise};
        let memory = items.spare_capacity_mut().as_mut_ptr_range();
        let (first, bytes) = whole_pages(memory.start.addr(), memory.end.addr());
        if bytes >= LARGE_BYTES / 2 {
            // SAFETY: whole pages of one allocation of ours, in which no item is left; they read as zeros afterwards.
            // It may fail, and then nothing has changed.
            unsafe { madvise(memory.start.with_addr(first).cast(), bytes, MADV_DONTNEED) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_stay_as_they_were() {
        let mut grown: Vec<u64> = vec![];
        for len in [10, 200_000, 200_001, 1_000_000, 999_999, 5_000_000] {
            let (before, kept) = (grown.clone(), grown.len().min(len));
            resize(&mut grown, len, 7);
            assert_eq!(grown[..kept], before[..kept]);
            assert!(grown[kept..].iter().all(|item| *item == 7));
            assert_eq!(grown.len(), len);
            if let Some(last) = grown.last_mut() {
                *last = len as u64;
            }
        }
    }

    #[test]
    fn discarded_memory_is_usable_again() {
        for _ in 0..20 {
            let mut items = filled(7_u64, 600_000);
            assert!(items.iter().all(|item| *item == 7));
            items.iter_mut().zip(0..).for_each(|(item, i)| *item = i);
            assert_eq!(items.iter().sum::<u64>(), 600_000 * 599_999 / 2);
            discard(items);
        }
    }
}
