//! How long rows take from the outside to the outside: from when a broker had them until a sink's rows of them can be seen.
//!
//! Of a micro-batch the record counts that came first, so what is said is an upper bound. Rows of windows come later by their nature,
//! and are not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Times up to this many µs have a bucket each; above, every power of two has so many.
const STEPS: u64 = 32;
const BUCKETS: usize = (STEPS * 60) as usize;

/// A histogram of times, to a thirty-second of each.
#[derive(Debug)]
pub struct Latency(Vec<AtomicU64>);

impl Default for Latency {
    fn default() -> Self {
        Latency((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

/// What a histogram says, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Rows that were measured.
    pub rows: u64,
    /// Half of them took at most this.
    pub p50_us: u64,
    /// 99 of a hundred.
    pub p99_us: u64,
    /// All.
    pub max_us: u64,
}

fn bucket(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let power = us.ilog2() - STEPS.ilog2();
    (u64::from(power + 1) * STEPS + (us >> power) - STEPS) as usize
}

/// The greatest time in a bucket.
fn top(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match power {
        0 => step,
        power => ((STEPS + step + 1) << (power - 1)) - 1,
    }
}

impl Latency {
    fn add(&self, us: u64, rows: u64) {
        self.0[bucket(us).min(BUCKETS - 1)].fetch_add(rows, Ordering::Relaxed);
    }

    /// What it says; `None` of nothing.
    pub fn said(&self) -> Option<Latencies> {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let rows: u64 = counts.iter().sum();
        let at = |share: f64| {
            let (mut left, wanted) = (0, (rows as f64 * share).ceil() as u64);
            let reaches = |count: &u64| {
                left += count;
                left >= wanted
            };
            counts.iter().position(reaches).map_or(0, top)
        };
        (rows > 0).then(|| Latencies { rows, p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) })
    }
}

/// Rows on their way out. When the last who holds it lets go, they can be seen.
#[derive(Debug)]
pub struct Arrival {
    /// When a broker had the first of their records, in µs since 1970.
    since_us: i64,
    /// Rows that sinks were given.
    rows: AtomicU64,
    latency: Arc<Latency>,
}

impl Arrival {
    pub(super) fn new(since_us: i64, latency: Arc<Latency>) -> Arc<Self> {
        Arc::new(Arrival { since_us, rows: AtomicU64::new(0), latency })
    }

    pub(super) fn add(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let rows = *self.rows.get_mut();
        if rows > 0 {
            let took = wall_clock_us() - self.since_us;
            self.latency.add(took.max(0) as u64, rows);
        }
    }
}

/// Microseconds since 1970.
pub(super) fn wall_clock_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_bucket_that_is_near() {
        let mut last = 0;
        for us in (0..5000).chain((13..40).map(|p| (1 << p) - 1)).chain([1 << 50]) {
            let bucket = bucket(us);
            assert!(bucket < BUCKETS && top(bucket) >= us && top(bucket) - us <= us / STEPS, "{us}: {bucket}");
            assert!(bucket >= last);
            last = bucket;
        }
    }

    #[test]
    fn quantiles() {
        let latency = Latency::default();
        assert_eq!(latency.said(), None);
        (1..=100).for_each(|us| latency.add(us, 10));
        let said = latency.said().unwrap();
        assert_eq!(said.rows, 1000);
        assert!((50..=51).contains(&said.p50_us) && (99..=101).contains(&said.p99_us), "{said:?}");
        assert!((100..=103).contains(&said.max_us), "{said:?}");
    }

    #[test]
    fn what_was_written_counts_when_the_last_lets_go() {
        let latency: Arc<Latency> = Arc::default();
        let arrival = Arrival::new(wall_clock_us() - 1000, latency.clone());
        let other = arrival.clone();
        drop(arrival);
        assert_eq!(latency.said(), None);
        other.add(3);
        drop(other);
        assert!(latency.said().is_some_and(|said| said.rows == 3 && said.p50_us >= 1000));
        drop(Arrival::new(0, latency.clone()));
        assert_eq!(latency.said().unwrap().rows, 3, "nothing was written");
    }
}
