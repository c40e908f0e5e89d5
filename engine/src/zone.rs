//! A time zone as a table of its changes, for windows that are cut by the clock on the wall.

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;

const SECOND: i64 = 1_000_000;

/// The offsets of a zone from UTC over time. Instants and wall times are µs; a wall time is what the zone's clocks show,
/// counted as if they showed UTC. Sorted, so that each question is a binary search; built in some milliseconds.
#[derive(Debug, PartialEq)]
pub struct Zone {
    name: Tz,
    /// The instants at which the offset changes.
    changes: Vec<i64>,
    /// What the clocks show when they are changed, and what they show then.
    leave: Vec<i64>,
    enter: Vec<i64>,
    /// The offsets: one before the first change, then one after each.
    offsets: Vec<i64>,
}

impl Zone {
    /// The table of a zone; `None` for UTC, where both times are one.
    pub fn of(name: Tz) -> Option<Self> {
        if name == Tz::UTC {
            return None;
        }
        // Changes lie more than six hours apart; there is none before 1800, and none known after 2100.
        const STEP: i64 = 6 * 3600;
        let (first, last) = (-170 * 31_557_600 / STEP * STEP, 131 * 31_557_600 / STEP * STEP);
        let offset_at = |s: i64| {
            let utc = chrono::DateTime::from_timestamp(s, 0).expect("a year that chrono knows").naive_utc();
            i64::from(name.offset_from_utc_datetime(&utc).fix().local_minus_utc())
        };
        let mut zone =
            Zone { name, changes: vec![], leave: vec![], enter: vec![], offsets: vec![offset_at(first) * SECOND] };
        let mut before = offset_at(first);
        for at in (first..last).step_by(STEP as usize) {
            let after = offset_at(at + STEP);
            if after == before {
                continue;
            }
            // The first second of the new offset.
            let (mut low, mut high) = (at, at + STEP);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if offset_at(middle) == before { low = middle } else { high = middle }
            }
            zone.changes.push(high * SECOND);
            zone.leave.push((high + before) * SECOND);
            zone.enter.push((high + after) * SECOND);
            zone.offsets.push(after * SECOND);
            before = after;
        }
        Some(zone)
    }

    /// The stretch of one offset that holds an instant, by number.
    #[inline]
    pub fn stretch(&self, instant: i64) -> usize {
        self.changes.partition_point(|change| *change <= instant)
    }

    /// What the clocks show at an instant.
    #[inline]
    pub fn wall(&self, instant: i64) -> i64 {
        instant.saturating_add(self.offsets[self.stretch(instant)])
    }

    /// The first instant at which the clocks show `wall` or later. Where they are put forward over it, it is that moment.
    pub fn first_at(&self, wall: i64) -> i64 {
        let stretch = self.leave.partition_point(|shown| *shown <= wall);
        let instant = wall.saturating_sub(self.offsets[stretch]);
        if stretch == 0 { instant } else { instant.max(self.changes[stretch - 1]) }
    }

    /// The first instant after every one at which the clocks show less than `wall`: where they are put back and show
    /// times twice, the end of the second.
    pub fn after_all_before(&self, wall: i64) -> i64 {
        let stretch = self.enter.partition_point(|shown| *shown < wall);
        let instant = wall.saturating_sub(self.offsets[stretch]);
        self.changes.get(stretch).map_or(instant, |change| instant.min(*change))
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> i64 {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp_micros()
    }

    #[test]
    fn clocks_put_forward_and_back() {
        let vienna = Zone::of(chrono_tz::Europe::Vienna).unwrap();
        assert_eq!(vienna.wall(utc("2024-01-01 00:00:00")), utc("2024-01-01 01:00:00"));
        assert_eq!(vienna.wall(utc("2024-07-01 00:00:00")), utc("2024-07-01 02:00:00"));
        // Forward on 31 March: 02:00 is 03:00, at 01:00 UTC.
        let jump = utc("2024-03-31 01:00:00");
        assert_eq!(vienna.wall(jump - 1), utc("2024-03-31 02:00:00") - 1);
        assert_eq!(vienna.wall(jump), utc("2024-03-31 03:00:00"));
        for shown in ["2024-03-31 02:00:00", "2024-03-31 02:30:00", "2024-03-31 03:00:00"] {
            assert_eq!((vienna.first_at(utc(shown)), vienna.after_all_before(utc(shown))), (jump, jump), "{shown}");
        }
        // Back on 27 October: from 02:00 to 03:00 twice, the second time from 01:00 UTC.
        let (two, half, three) = (utc("2024-10-27 02:00:00"), utc("2024-10-27 02:30:00"), utc("2024-10-27 03:00:00"));
        assert_eq!((vienna.first_at(two), vienna.after_all_before(two)), (two - 7200 * SECOND, two - 7200 * SECOND));
        assert_eq!(
            (vienna.first_at(half), vienna.after_all_before(half)),
            (half - 7200 * SECOND, half - 3600 * SECOND)
        );
        assert_eq!(
            (vienna.first_at(three), vienna.after_all_before(three)),
            (three - 3600 * SECOND, three - 3600 * SECOND)
        );
    }

    #[test]
    fn every_zone_agrees_with_chrono() {
        for name in chrono_tz::TZ_VARIANTS.iter().step_by(7) {
            let Some(zone) = Zone::of(*name) else { continue };
            for hour in (0..130 * 8766).step_by(37) {
                let at = chrono::DateTime::from_timestamp((hour - 60 * 8766) * 3600, 0).unwrap();
                let shown = at.with_timezone(name).naive_local().and_utc().timestamp_micros();
                assert_eq!(zone.wall(at.timestamp_micros()), shown, "{name} at {at}");
                let (first, after) = (zone.first_at(shown), zone.after_all_before(shown + 1));
                assert!(first <= at.timestamp_micros() && at.timestamp_micros() < after, "{name} at {at}");
            }
        }
    }

    #[test]
    fn utc_needs_no_table() {
        assert!(Zone::of(Tz::UTC).is_none());
    }
}
