//! Growing arrays of states, some of them large.
//!
//! Plain idea: `Vec` doubles, and the allocator keeps what was freed for the next who asks. Departure: nobody asks for an
//! array of half a table's size again, so a table would keep as much freed memory as it has groups. What a large array grew
//! out of goes back to the system at once.

/// Smaller arrays are left to the allocator.
const LARGE_BYTES: usize = 1 << 18;

/// Grows to `len` items, the new ones being `value`; or shortens.
pub fn resize<T: Copy>(items: &mut Vec<T>, len: usize, value: T) {
    let room = items.capacity();
    if len > room && size_of::<T>() * room >= LARGE_BYTES {
        let mut grown = Vec::with_capacity(len.max(2 * room));
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
        use libc::{_SC_PAGESIZE, MADV_DONTNEED, madvise, sysconf};
        let memory = items.spare_capacity_mut().as_mut_ptr_range();
        // SAFETY: it reads a number.
        let page = usize::try_from(unsafe { sysconf(_SC_PAGESIZE) }).unwrap_or(1 << 16);
        let first = memory.start.addr().next_multiple_of(page);
        let bytes = (memory.end.addr() / page * page).saturating_sub(first);
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
            let items: Vec<u64> = (0..400_000).collect();
            assert_eq!(items.iter().sum::<u64>(), 400_000 * 399_999 / 2);
            discard(items);
        }
    }
}
