//! The settings that `SET 'key' = 'value'` and `--set key=value` change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::connector::parse_duration;
use crate::error::{Error, Result};

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any text.
    Text,
    /// A whole number, 1 or more.
    Number,
    /// A duration such as `10 s`.
    Duration,
    /// One of a few words, the first being the default.
    Choice(&'static [&'static str]),
    /// The name of a time zone.
    TimeZone,
}

/// A setting that Pelton knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its key.
    pub key: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// What holds without it.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// Every setting there is, for `SET` without a key, completion and the docs.
pub const KNOWN: &[Known] = &[
    Known {
        key: "pelton.time-zone",
        shape: Shape::TimeZone,
        default: "UTC",
        doc: "Zone in which date functions read and print TIMESTAMP_LTZ.",
    },
    Known {
        key: "pelton.float-sum",
        shape: Shape::Choice(&["exact", "fast"]),
        default: "exact",
        doc: "Exact sums of floats, or plain additions whose last digits depend on the order.",
    },
    Known {
        key: "pelton.volatile",
        shape: Shape::Choice(&["refuse", "allow"]),
        default: "refuse",
        doc: "Whether NOW(), RANDOM(), UUID() … may be used in streams.",
    },
    Known {
        key: "pelton.over.mode",
        shape: Shape::Choice(&["event-time", "arrival"]),
        default: "event-time",
        doc: "When OVER answers a row: when the watermark has passed it, or at once, from the rows that have arrived.",
    },
    Known {
        key: "pelton.device",
        shape: Shape::Choice(&["auto", "cpu", "cuda", "wgpu"]),
        default: "auto",
        doc: "Where GROUP BY runs and models score: cpu, cuda (an NVIDIA GPU), wgpu (a GPU by Vulkan, Metal or DX12), or auto: for each batch the CPU or an NVIDIA GPU.",
    },
    Known {
        key: "pelton.device.memory-max",
        shape: Shape::Number,
        default: "nine tenths of the device's",
        doc: "Bytes of a device's memory that the groups of one stage may take, on cuda. What does not fit, the CPU folds.",
    },
    Known {
        key: "pelton.pinned.memory-max",
        shape: Shape::Number,
        default: "1073741824",
        doc: "Bytes of the host's pinned memory that the batches of one stage may take on their way, on cuda.",
    },
    Known { key: "pelton.threads", shape: Shape::Number, default: "all cores", doc: "Worker threads." },
    Known {
        key: "pelton.batch.rows-max",
        shape: Shape::Number,
        default: "65536",
        doc: "Rows of a micro-batch at most.",
    },
    Known {
        key: "pelton.batch.delay-max",
        shape: Shape::Duration,
        default: "100 ms",
        doc: "How long a live source waits to fill a micro-batch.",
    },
    Known {
        key: "pelton.latency-target",
        shape: Shape::Duration,
        default: "20 ms",
        doc: "How long a record of a live source should take through the pipeline when there is no backlog: what waits for other records waits for far less.",
    },
    Known {
        key: "pelton.checkpoint.dir",
        shape: Shape::Text,
        default: "none",
        doc: "Path or URL that keeps the checkpoints; with it a run goes on where the one before has come to.",
    },
    Known {
        key: "pelton.checkpoint.interval",
        shape: Shape::Duration,
        default: "10 s",
        doc: "From one checkpoint to the next.",
    },
    Known {
        key: "pelton.checkpoint.min-pause",
        shape: Shape::Duration,
        default: "0 s",
        doc: "From the end of writing a checkpoint to the next one.",
    },
    Known {
        key: "pelton.checkpoint.retained",
        shape: Shape::Number,
        default: "3",
        doc: "Checkpoints that are kept; at least two are.",
    },
    Known {
        key: "pelton.restart.attempts",
        shape: Shape::Number,
        default: "3",
        doc: "How often a run with checkpoints goes on by itself after an error, unless it has made progress meanwhile.",
    },
    Known {
        key: "pelton.restart.delay",
        shape: Shape::Duration,
        default: "1 s",
        doc: "Pause before the first of these; it doubles from one to the next, up to a minute.",
    },
    Known {
        key: "pelton.max-future-skew",
        shape: Shape::Duration,
        default: "1 h",
        doc: "Live rows further ahead of the wall clock are dead letters.",
    },
    Known {
        key: "dead-letters.path",
        shape: Shape::Text,
        default: "none",
        doc: "Folder that keeps the dead letters; without it they are only counted.",
    },
    Known {
        key: "dead-letters.retention",
        shape: Shape::Duration,
        default: "for ever",
        doc: "Letters committed longer ago than this are removed when a run starts.",
    },
    Known {
        key: "pipeline.name",
        shape: Shape::Text,
        default: "the file's name",
        doc: "Name of the pipeline, for logs and metrics.",
    },
    Known {
        key: "parallelism.default",
        shape: Shape::Number,
        default: "all cores",
        doc: "Flink's name for 'pelton.threads'.",
    },
];

/// Settings that are refused: the key, or the start of it with a dot at its end; what is wrong; what to do.
const REFUSED: &[(&str, &str, &str)] = &[
    ("history.", "is an option of a table, not a setting", "write it into WITH (...) of the source"),
    (
        "pelton.allowed-lateness",
        "is not supported yet",
        "late rows are dead letters: SET 'dead-letters.path' keeps them",
    ),
];

/// Keys of Flink, of its SQL client and its formats that scripts often set: taken and without effect.
const FLINK: &[&str] = &[
    "table.",
    "execution.",
    "state.",
    "restart-strategy",
    "rest.",
    "sql-client.",
    "parallelism.",
    "pipeline.",
    "taskmanager.",
    "jobmanager.",
    "metrics.",
    "cluster.",
    "high-availability",
    "python.",
    "yarn.",
    "kubernetes.",
    "security.",
    "env.",
    "classloader.",
];

/// What was set, by key; the last one wins, `--set` above all.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    /// Keys given with `--set`: `SET` in the text does not change them.
    pinned: BTreeSet<String>,
}

/// How `SUM` over floats adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatSum {
    /// Correctly rounded exact sums (the default).
    Exact,
    /// Plain additions.
    Fast,
}

/// Whether volatile functions may be used in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatile {
    /// They may not (the default).
    Refuse,
    /// They may; the digest says so.
    Allow,
}

impl Settings {
    /// Settings that win over every `SET` of the text.
    pub fn with_overrides(overrides: &[(String, String)]) -> Result<Self> {
        let mut settings = Settings::default();
        for (key, value) in overrides {
            let key = settings.check(key, value).map_err(|e| e.during("--set"))?;
            settings.values.insert(key.clone(), value.clone());
            settings.pinned.insert(key);
        }
        Ok(settings)
    }

    /// Sets a key, unless `--set` did. Fails on an unknown key and on a value that cannot be read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let key = self.check(key, value)?;
        if !self.pinned.contains(&key) {
            self.values.insert(key, value.to_string());
        }
        Ok(())
    }

    /// Takes back one key, or all of them.
    pub fn reset(&mut self, key: Option<&str>) -> Result<()> {
        match key {
            None => self.values.retain(|k, _| self.pinned.contains(k)),
            Some(key) => {
                let key = known_key(key)?;
                if !self.pinned.contains(&key) {
                    self.values.remove(&key);
                }
            }
        }
        Ok(())
    }

    fn check(&self, key: &str, value: &str) -> Result<String> {
        let key = known_key(key)?;
        let bad = |wanted: String| Err(Error::user(format!("the setting '{key}' is '{value}', wanted {wanted}")));
        let Some(known) = KNOWN.iter().find(|k| k.key == key) else { return Ok(key) };
        match known.shape {
            Shape::Text => Ok(key),
            Shape::Number
                if matches!(key.as_str(), "pelton.threads" | "parallelism.default")
                    && value.trim().parse::<u64>().is_ok_and(|n| n > 1024) =>
            {
                bad("a whole number from 1 to 1024".into())
            }
            Shape::Number if value.trim().parse::<u64>().is_ok_and(|n| n > 0) => Ok(key),
            Shape::Number => bad("a whole number from 1".into()),
            Shape::Duration if parse_duration(value).is_some() => Ok(key),
            Shape::Duration => bad("a duration such as '300ms', '10s' or '1h'".into()),
            Shape::Choice(choices) if choices.iter().any(|c| c.eq_ignore_ascii_case(value)) => Ok(key),
            Shape::Choice(choices) => bad(format!("one of {}", choices.join(", "))),
            Shape::TimeZone if zone(value).is_some() => Ok(key),
            Shape::TimeZone => bad("a time zone such as 'UTC' or 'Europe/Vienna'".into()),
        }
    }

    /// The value of a key, if it was set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All keys and values, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// `pelton.time-zone`.
    pub fn time_zone(&self) -> chrono_tz::Tz {
        self.get("pelton.time-zone").and_then(zone).unwrap_or(chrono_tz::UTC)
    }

    /// `pelton.float-sum`.
    pub fn float_sum(&self) -> FloatSum {
        match self.get("pelton.float-sum") {
            Some(v) if v.eq_ignore_ascii_case("fast") => FloatSum::Fast,
            _ => FloatSum::Exact,
        }
    }

    /// True if `pelton.over.mode` is `arrival`.
    pub fn over_arrival(&self) -> bool {
        self.get("pelton.over.mode").is_some_and(|mode| mode.eq_ignore_ascii_case("arrival"))
    }

    /// `pelton.device`, in lower case.
    pub fn device(&self) -> &'static str {
        let set = self.get("pelton.device").unwrap_or_default().trim();
        ["cpu", "cuda", "wgpu"].into_iter().find(|known| known.eq_ignore_ascii_case(set)).unwrap_or("auto")
    }

    /// `pelton.volatile`.
    pub fn volatile(&self) -> Volatile {
        match self.get("pelton.volatile") {
            Some(v) if v.eq_ignore_ascii_case("allow") => Volatile::Allow,
            _ => Volatile::Refuse,
        }
    }

    /// A duration, if it was set.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.get(key).and_then(parse_duration)
    }

    /// A whole number, if it was set.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|v| v.trim().parse().ok())
    }
}

/// A key as it is kept: known ones and Flink's in lower case. Anything else is a mistake.
fn known_key(key: &str) -> Result<String> {
    let key = key.trim().to_ascii_lowercase();
    if KNOWN.iter().any(|k| k.key == key) || FLINK.iter().any(|prefix| key.starts_with(prefix)) {
        return Ok(key);
    }
    let starts = |start: &str| if start.ends_with('.') { key.starts_with(start) } else { key == start };
    if let Some((_, wrong, hint)) = REFUSED.iter().find(|(start, ..)| starts(start)) {
        return Err(Error::user(format!("'{key}' {wrong}")).hint(*hint));
    }
    let error = Error::user(format!("unknown setting '{key}'"));
    Err(match Error::suggest(&key, KNOWN.iter().map(|k| k.key)) {
        Some(near) => error.hint(format!("did you mean '{near}'?")),
        None => error.hint(format!("there are: {}", KNOWN.iter().map(|k| k.key).collect::<Vec<_>>().join(", "))),
    })
}

fn zone(name: &str) -> Option<chrono_tz::Tz> {
    name.trim().parse().ok()
}
