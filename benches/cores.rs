//! `./x bench cores [FILE]`: what a second core is worth on this machine, apart from Pelton.
//!
//! Each pattern is run by one thread, and then by two at once that share nothing but the machine, each with as much work and
//! memory of its own. "times" is what two get done in the time of one: 2.00 where cores share nothing. No program of two
//! threads that does much of a pattern gains more from its second thread than this, unless it does less of it.
//!
//! - *arithmetic*: a chain of multiplications, no memory;
//! - *second-level cache*: sums over 512 KiB;
//! - *stream*: sums over 256 MiB, 8 bytes after the other;
//! - *write and read*: 16 MiB written, then read, as decoded row groups are; the same in pieces of 512 KiB;
//! - *file*: a file read in blocks of 1 MiB, from the system's cache (FILE, or one of 128 MiB made for this);
//! - *groups*: rows by random keys into buckets, sums and maxima of so many groups, asked for ahead, as group tables are.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Barrier;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const AHEAD: usize = 24;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[inline(always)]
fn prefetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

/// Some work over memory that was made before.
type Work = Box<dyn FnMut() -> u64 + Send>;

fn arithmetic() -> Work {
    Box::new(|| (0..100_000_000_u64).fold(1, |x, i| (x ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn sums(bytes: usize, times: usize) -> Work {
    let numbers: Vec<u64> = (0..bytes as u64 / 8).collect();
    Box::new(move || {
        (0..times as u64)
            .fold(0, |all, time| std::hint::black_box(&numbers).iter().fold(all, |sum, x| sum.wrapping_add(x ^ time)))
    })
}

fn written_and_read(bytes: usize, times: usize) -> Work {
    let mut numbers = vec![0_u64; bytes / 8];
    Box::new(move || {
        (0..times as u64).fold(0_u64, |all, time| {
            std::hint::black_box(&mut numbers).iter_mut().enumerate().for_each(|(i, x)| *x = i as u64 ^ time);
            std::hint::black_box(&numbers).iter().fold(all, |sum, x| sum.wrapping_add(*x))
        })
    })
}

fn file(path: &str) -> Work {
    let path = path.to_string();
    let mut block = vec![0; 1 << 20];
    Box::new(move || {
        let (mut file, mut all) = (File::open(&path).expect("the file is there"), 0);
        loop {
            match file.read(&mut block).expect("the file can be read") {
                0 => return all,
                count => all += count as u64,
            }
        }
    })
}

#[derive(Clone, Copy, Default)]
struct Sum {
    value: i128,
    rows: u64,
}

fn groups(bits: u32, rows: usize) -> Work {
    let mut state = 88_172_645_463_325_252_u64;
    let keys: Vec<u32> = (0..rows).map(|_| (random(&mut state) >> 40) as u32 & ((1 << bits) - 1)).collect();
    let mut buckets: Vec<(u64, u32)> = vec![(0, 0); 2 << bits];
    let mut sums = vec![Sum::default(); 1 << bits];
    let mut greatest = vec![0_u64; 1 << bits];
    Box::new(move || {
        for keys in keys.chunks(1 << 16) {
            // Ids are found first, then each column of states is gone through.
            let home = |key: u32| (key.wrapping_mul(0x9e37_79b1) >> (31 - bits)) as usize;
            for (row, key) in keys.iter().enumerate() {
                prefetch(&buckets[home(keys[(row + AHEAD).min(keys.len() - 1)])]);
                buckets[home(*key)].0 |= u64::from(*key);
            }
            for (row, key) in keys.iter().enumerate() {
                prefetch(&sums[keys[(row + AHEAD).min(keys.len() - 1)] as usize]);
                let sum = &mut sums[*key as usize];
                (sum.value, sum.rows) = (sum.value + i128::from(*key), sum.rows + 1);
            }
            for (row, key) in keys.iter().enumerate() {
                prefetch(&greatest[keys[(row + AHEAD).min(keys.len() - 1)] as usize]);
                let greatest = &mut greatest[*key as usize];
                *greatest = (*greatest).max(row as u64);
            }
        }
        sums[1].rows
    })
}

/// The least time in which `threads` threads are all done, of some rounds.
fn measure(threads: usize, make: &(dyn Fn() -> Work + Sync)) -> Duration {
    let barrier = Barrier::new(threads);
    let run = |_| {
        let mut work = make();
        // Once before the clock: memory is there.
        std::hint::black_box(work());
        let mut round = |_| {
            barrier.wait();
            let start = Instant::now();
            std::hint::black_box(work());
            barrier.wait();
            start.elapsed()
        };
        (0..ROUNDS).map(&mut round).min().expect("there are rounds")
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).max().expect("there is a thread")
    })
}

fn main() {
    let given = std::env::args().nth(1);
    let path = given.clone().unwrap_or_else(|| std::env::temp_dir().join("pelton-cores").display().to_string());
    if given.is_none() {
        let block: Vec<u8> = (0..1_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut made = File::create(&path).expect("the temporary folder can be written to");
        (0..128).for_each(|_| made.write_all(&block).expect("there is room"));
    }
    let bytes = std::fs::metadata(&path).expect("the file is there").len() as f64;
    let kib = 1 << 10;
    let (of_file, path_of) = (bytes, path.clone());
    type Pattern<'a> = (&'a str, f64, &'a str, Box<dyn Fn() -> Work + Sync>);
    let patterns: Vec<Pattern> = vec![
        ("arithmetic", 1e8, "steps", Box::new(arithmetic)),
        ("second-level cache, 512 KiB", 512.0 * 1024.0 * 512.0, "bytes", Box::new(move || sums(512 * kib, 512))),
        ("stream, 256 MiB", 256.0 * 1024.0 * 1024.0, "bytes", Box::new(move || sums(256 * kib * kib, 1))),
        (
            "write and read, 16 MiB",
            256.0 * 1024.0 * 1024.0,
            "bytes",
            Box::new(move || written_and_read(16 * kib * kib, 16)),
        ),
        (
            "write and read, 512 KiB",
            256.0 * 1024.0 * 1024.0,
            "bytes",
            Box::new(move || written_and_read(512 * kib, 512)),
        ),
        ("file, 1 MiB at a time", of_file, "bytes", Box::new(move || file(&path_of))),
        ("groups, 65,536", 4e6, "rows", Box::new(|| groups(16, 4_000_000))),
        ("groups, 524,288", 4e6, "rows", Box::new(|| groups(19, 4_000_000))),
        ("groups, 1,048,576", 4e6, "rows", Box::new(|| groups(20, 4_000_000))),
    ];
    println!("{:28} {:>12} {:>12} {:>6}", "pattern", "one", "two, each", "times");
    for (name, amount, unit, make) in &patterns {
        let (one, two) = (measure(1, make.as_ref()).as_secs_f64(), measure(2, make.as_ref()).as_secs_f64());
        let rate = |seconds: f64| match *unit {
            "rows" => format!("{:.1} ns", seconds * 1e9 / amount),
            "steps" => format!("{:.2} G/s", amount / seconds / 1e9),
            _ => format!("{:.1} GB/s", amount / seconds / 1e9),
        };
        println!("{name:28} {:>12} {:>12} {:>6.2}", rate(one), rate(two), 2.0 * one / two);
    }
    if given.is_none() {
        std::fs::remove_file(&path).expect("it was made above");
    }
}
