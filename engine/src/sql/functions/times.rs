//! Flink's functions over times. A `TIMESTAMP` is taken as it stands; a `TIMESTAMP_LTZ` is an instant, read and printed
//! in `pelton.time-zone`.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs};

use pelton_kernels::numbers::range;

use super::Arg::{Int, Text, Time, TimeOfDay};
use super::pattern::{Pattern, in_zone};
use super::{Flink, Ints, Texts, answer, numbers, rows, texts};
use crate::error::Error;
use crate::sql::errors::carry;
use crate::sql::types::UTC;

/// The reading of a TIMESTAMP_LTZ in the session's zone, as a TIMESTAMP.
pub const LOCAL: &str = "$local";
/// The instant of a TIMESTAMP in the session's zone.
pub const INSTANT: &str = "$instant";
/// A TIMESTAMP as text, with all digits of its type.
pub const PRINT: &str = "$print_time";
/// The instant that a text says, in the session's zone if it does not say one.
pub const READ_INSTANT: &str = "$read_instant";
/// The same, but NULL where the text cannot be read.
pub const TRY_READ_INSTANT: &str = "$try_read_instant";

/// A TIME in microseconds.
const CLOCK: DataType = DataType::Time64(TimeUnit::Microsecond);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn bigint(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn date(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Date32)
}

fn time(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Time32(TimeUnit::Second))
}

fn timestamp(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, None))
}

fn timestamp_ltz(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())))
}

/// The type of the first time among the arguments.
fn same_time(args: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(args
        .iter()
        .find(|t| matches!(t, DataType::Timestamp(..)))
        .cloned()
        .unwrap_or(DataType::Timestamp(TimeUnit::Microsecond, None)))
}

/// `TO_TIMESTAMP_LTZ(n, digits)`: as precise as it says.
fn ltz_of_digits(_: &[DataType], values: &[Option<&ScalarValue>]) -> Result<DataType> {
    let unit = match values.get(1).copied().flatten().and_then(|v| v.cast_to(&DataType::Int64).ok()) {
        Some(ScalarValue::Int64(Some(4..=6))) => TimeUnit::Microsecond,
        Some(ScalarValue::Int64(Some(7..=9))) => TimeUnit::Nanosecond,
        _ => TimeUnit::Millisecond,
    };
    Ok(DataType::Timestamp(unit, Some(UTC.into())))
}

/// A time argument in microseconds, and whether it is an instant (TIMESTAMP_LTZ). A TIME is one of the first day of 1970.
struct Times {
    micros: PrimitiveArray<TimestampMicrosecondType>,
    one: bool,
    instant: bool,
}

impl Times {
    fn of(value: &ColumnarValue) -> Result<Times> {
        let (array, one) = match value {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let (array, zone) = match array.data_type() {
            DataType::Timestamp(_, zone) => (array.clone(), zone.clone()),
            DataType::Time32(_) | DataType::Time64(_) => (cast(&cast(&array, &CLOCK)?, &DataType::Int64)?, None),
            _ => (array.clone(), None),
        };
        // Coarser units may overflow microseconds only beyond the year 290000.
        let micros = cast(&array, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
        Ok(Times { micros: micros.as_primitive::<TimestampMicrosecondType>().clone(), one, instant: zone.is_some() })
    }

    fn get(&self, row: usize) -> Option<i64> {
        let row = if self.one { 0 } else { row };
        self.micros.is_valid(row).then(|| self.micros.value(row))
    }

    /// The zone in which these times are looked at.
    fn zone(&self, session: Tz) -> Tz {
        if self.instant { session } else { Tz::UTC }
    }
}

/// Whether [`at`] has an answer in UTC.
fn is_in_calendar(micros: i64) -> bool {
    DateTime::<chrono::Utc>::MIN_UTC.timestamp_micros() <= micros
        && micros <= DateTime::<chrono::Utc>::MAX_UTC.timestamp_micros()
}

fn at(micros: i64, zone: Tz) -> Option<DateTime<Tz>> {
    zone.timestamp_micros(micros).single()
}

/// A local time in a zone as [`in_zone`], but where clocks are put forward later by that much, as in Flink.
fn in_zone_or_later(local: &NaiveDateTime, zone: Tz) -> Option<i64> {
    in_zone(local, zone).or_else(|| {
        let before = local.checked_sub_signed(chrono::TimeDelta::days(1))?;
        in_zone(&before, zone).map(|us| us + DAY)
    })
}

/// Moves the times of the argument, keeping what is finer than microseconds, into the type that the function returns.
fn shift(f: &Flink, args: &ScalarFunctionArgs, by: fn(i64, Tz) -> Option<i64>) -> Result<ColumnarValue> {
    let times = Times::of(&args.args[0])?;
    let given = cast(&args.args[0].to_array(rows(args))?, &DataType::Int64)?;
    let given = given.as_primitive::<Int64Type>();
    let fine = matches!(args.return_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
    let data_type = args.return_type().clone();
    let plain: PrimitiveArray<Int64Type> = (0..rows(args))
        .map(|row| {
            let moved = in_unit(by(times.get(row)?, f.zone)?, &data_type)?;
            Some(if fine { moved + given.value(row).rem_euclid(1000) } else { moved })
        })
        .collect();
    answer(args, cast(&plain, &data_type)?)
}

fn without_zone(args: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(match args {
        [DataType::Timestamp(unit, _)] => DataType::Timestamp(*unit, None),
        _ => DataType::Timestamp(TimeUnit::Microsecond, None),
    })
}

fn with_zone(args: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(match args {
        [DataType::Timestamp(unit, _)] => DataType::Timestamp(*unit, Some(UTC.into())),
        _ => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    })
}

fn micros_ltz(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())))
}

fn print(_: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let given = args.args[0].to_array(rows(args))?;
    let (per_second, digits) = match given.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => (1, 0),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (1000, 3),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (1_000_000_000, 9),
        _ => (SECOND, 6),
    };
    let given = cast(&given, &DataType::Int64)?;
    let given = given.as_primitive::<Int64Type>();
    texts(args, |row| {
        let ticks = given.is_valid(row).then(|| given.value(row))?;
        let time = DateTime::from_timestamp(ticks.div_euclid(per_second), 0)?;
        let mut out = time.format("%Y-%m-%d %H:%M:%S").to_string();
        if digits > 0 {
            out.push_str(&format!(".{:0digits$}", ticks.rem_euclid(per_second)));
        }
        Some(out)
    })
}

/// NULL for what cannot be read if the function is [`TRY_READ_INSTANT`].
fn read_instant(f: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let values = Texts::of(&args.args[0]);
    let mut bad = None;
    let out = numbers::<TimestampMicrosecondType>(args, |row| {
        let value = values.get(row)?;
        let time = read_time(value, f.zone);
        if time.is_none() && f.name == READ_INSTANT {
            bad.get_or_insert_with(|| value.to_string());
        }
        time
    })?;
    match bad {
        Some(value) => Err(DataFusionError::Execution(format!("cannot read '{value}' as a TIMESTAMP_LTZ"))),
        None => out.cast_to(args.return_type(), None),
    }
}

fn extract(f: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let names = Texts::of(&args.args[0]);
    let times = Times::of(&args.args[1])?;
    let zone = times.zone(f.zone);
    let of_a_day = matches!(args.args[1].data_type(), DataType::Time32(_) | DataType::Time64(_));
    if let (ColumnarValue::Scalar(_), Some(name), true) = (&args.args[0], names.get(0), zone == Tz::UTC && !of_a_day)
        && let Some(get) = plain_part(name)
    {
        return numbers::<Int64Type>(args, |row| times.get(row).filter(|us| is_in_calendar(*us)).map(get));
    }
    let mut failure = None;
    let out = numbers::<Int64Type>(args, |row| {
        let name = names.get(row)?;
        if of_a_day && !OF_A_DAY.contains(&name.to_ascii_lowercase().trim_end_matches('s')) {
            failure.get_or_insert_with(|| {
                carry(Error::user(format!("a TIME has no {}", name.to_uppercase())).hint("it has HOUR, MINUTE, SECOND"))
            });
            return None;
        }
        let Some(get) = part(name) else {
            failure.get_or_insert_with(|| unknown_unit(name));
            return None;
        };
        Some(get(&at(times.get(row)?, zone)?))
    });
    failure.map_or(out, Err)
}

/// Microseconds in the unit of a timestamp type, rounded down.
fn in_unit(micros: i64, data_type: &DataType) -> Option<i64> {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => Some(micros.div_euclid(SECOND)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(micros.div_euclid(1000)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => micros.checked_mul(1000),
        _ => Some(micros),
    }
}

/// Answers timestamps of the type that the function returns, from microseconds.
fn timestamps(args: &ScalarFunctionArgs, mut row: impl FnMut(usize) -> Option<i64>) -> Result<ColumnarValue> {
    let data_type = args.return_type().clone();
    let plain: PrimitiveArray<Int64Type> =
        (0..rows(args)).map(|i| row(i).and_then(|us| in_unit(us, &data_type))).collect();
    answer(args, cast(&plain, &data_type)?)
}

/// The parts that a TIME has.
const OF_A_DAY: [&str; 5] = ["hour", "minute", "second", "millisecond", "microsecond"];

/// A part of a time as EXTRACT knows it; `None` for an unknown name.
fn part(name: &str) -> Option<fn(&DateTime<Tz>) -> i64> {
    Some(match name.to_ascii_lowercase().trim_end_matches('s') {
        "year" => |t| i64::from(t.year()),
        "quarter" => |t| i64::from(t.month0() / 3 + 1),
        "month" => |t| i64::from(t.month()),
        "week" | "isoweek" => |t| i64::from(t.iso_week().week()),
        "isoyear" => |t| i64::from(t.iso_week().year()),
        "day" | "dayofmonth" => |t| i64::from(t.day()),
        "dow" | "dayofweek" => |t| i64::from(t.weekday().number_from_sunday()),
        "isodow" => |t| i64::from(t.weekday().number_from_monday()),
        "doy" | "dayofyear" => |t| i64::from(t.ordinal()),
        "hour" => |t| i64::from(t.hour()),
        "minute" => |t| i64::from(t.minute()),
        "second" => |t| i64::from(t.second()),
        "millisecond" => |t| i64::from(t.second()) * 1000 + i64::from(t.nanosecond()) / 1_000_000,
        "microsecond" => |t| i64::from(t.second()) * 1_000_000 + i64::from(t.nanosecond()) / 1000,
        "epoch" => |t| t.timestamp(),
        "decade" => |t| i64::from(t.year().div_euclid(10)),
        "century" => |t| i64::from((t.year() - 1).div_euclid(100) + 1),
        "millennium" | "millenium" => |t| i64::from((t.year() - 1).div_euclid(1000) + 1),
        _ => return None,
    })
}

/// The same of the reading of a clock in µs since 1970, for the parts that need no calendar.
fn plain_part(name: &str) -> Option<fn(i64) -> i64> {
    Some(match name.to_ascii_lowercase().trim_end_matches('s') {
        // The first day of 1970 was a Thursday.
        "dow" | "dayofweek" => |us| (us.div_euclid(DAY) + 4).rem_euclid(7) + 1,
        "isodow" => |us| (us.div_euclid(DAY) + 3).rem_euclid(7) + 1,
        "hour" => |us| us.rem_euclid(DAY) / (3600 * SECOND),
        "minute" => |us| us.rem_euclid(3600 * SECOND) / (60 * SECOND),
        "second" => |us| us.rem_euclid(60 * SECOND) / SECOND,
        "epoch" => |us| us.div_euclid(SECOND),
        _ => return None,
    })
}

fn unknown_unit(unit: &str) -> datafusion_common::DataFusionError {
    const UNITS: &[&str] =
        &["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"];
    let error = Error::user(format!("unknown unit of time `{unit}`"));
    carry(match Error::suggest(unit, UNITS.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("there are: {}", UNITS.join(", "))),
    })
}

/// `HOUR(ts)` and its like: the part that the function is named after.
fn named_part(f: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let get = part(f.name).expect("each function is named after a part");
    let times = Times::of(&args.args[0])?;
    let zone = times.zone(f.zone);
    numbers::<Int64Type>(args, |row| Some(get(&at(times.get(row)?, zone)?)))
}

/// Rounds down (`up` false) or up to a unit; weeks start on Monday.
fn round(f: &Flink, args: &ScalarFunctionArgs, up: bool) -> Result<ColumnarValue> {
    round_by(f, args, &args.args[0], &args.args[1], up)
}

fn round_by(
    f: &Flink,
    args: &ScalarFunctionArgs,
    times: &ColumnarValue,
    units: &ColumnarValue,
    up: bool,
) -> Result<ColumnarValue> {
    let times = Times::of(times)?;
    let zone = times.zone(f.zone);
    let units = Texts::of(units);
    let mut failure = None;
    let out = timestamps(args, |row| {
        let unit = units.get(row)?.to_ascii_lowercase();
        let local = at(times.get(row)?, zone)?.naive_local();
        let Some(floor) = floor_to(local, unit.trim_end_matches('s')) else {
            failure.get_or_insert_with(|| unknown_unit(&unit));
            return None;
        };
        let rounded = if up && floor != local { next(floor, unit.trim_end_matches('s'))? } else { floor };
        in_zone(&rounded, zone)
    });
    failure.map_or(out, Err)
}

fn floor_to(t: NaiveDateTime, unit: &str) -> Option<NaiveDateTime> {
    let date = t.date();
    let day = |d: Option<NaiveDate>| d.map(|d| d.and_time(NaiveTime::MIN));
    let nanos = |n: u32| t.with_nanosecond(n);
    match unit {
        "year" => day(NaiveDate::from_ymd_opt(date.year(), 1, 1)),
        "quarter" => day(NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1)),
        "month" => day(date.with_day(1)),
        "week" => day(date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))),
        "day" => day(Some(date)),
        "hour" => Some(date.and_hms_opt(t.hour(), 0, 0)?),
        "minute" => Some(date.and_hms_opt(t.hour(), t.minute(), 0)?),
        "second" => nanos(0),
        "millisecond" => nanos(t.nanosecond() / 1_000_000 * 1_000_000),
        "microsecond" => nanos(t.nanosecond() / 1000 * 1000),
        _ => None,
    }
}

fn next(t: NaiveDateTime, unit: &str) -> Option<NaiveDateTime> {
    add(t, unit, 1)
}

/// The microseconds of a unit that always has as many.
fn length(unit: &str) -> Option<i64> {
    Some(match unit {
        "week" => 7 * DAY,
        "day" => DAY,
        "hour" => 3600 * SECOND,
        "minute" => 60 * SECOND,
        "second" => SECOND,
        "millisecond" => 1000,
        "microsecond" => 1,
        _ => return None,
    })
}

/// A time `n` units later.
fn add(t: NaiveDateTime, unit: &str, n: i64) -> Option<NaiveDateTime> {
    let months = |per: i64| {
        let n = n.checked_mul(per)?;
        let by = Months::new(u32::try_from(n.unsigned_abs()).ok()?);
        if n < 0 { t.checked_sub_months(by) } else { t.checked_add_months(by) }
    };
    let micros = |per: i64| t.checked_add_signed(chrono::TimeDelta::microseconds(n.checked_mul(per)?));
    match unit {
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        _ => micros(length(unit)?),
    }
}

/// Whole units from `a` to `b`, towards zero.
fn between(a: NaiveDateTime, b: NaiveDateTime, unit: &str) -> Option<i64> {
    if a > b {
        return between(b, a, unit).map(|n| -n);
    }
    let micros = |per: i64| (b - a).num_microseconds().map(|us| us / per);
    let months = |per: i64| {
        let whole = i64::from(b.year() - a.year()) * 12 + i64::from(b.month()) - i64::from(a.month());
        let not_full = (b.day(), b.time()) < (a.day(), a.time());
        Some((whole - i64::from(not_full)) / per)
    };
    match unit {
        "year" => months(12),
        "quarter" => months(3),
        "month" => months(1),
        _ => micros(length(unit)?),
    }
}

fn known_unit(unit: &str) -> bool {
    add(NaiveDateTime::default(), unit, 0).is_some()
}

/// Patterns by text, each parsed once a batch.
#[derive(Default)]
struct Patterns(std::collections::HashMap<String, Pattern>);

impl Patterns {
    fn get(&mut self, text: &str) -> Result<&Pattern> {
        if !self.0.contains_key(text) {
            self.0.insert(text.to_string(), Pattern::parse(text).map_err(carry)?);
        }
        Ok(&self.0[text])
    }
}

/// Reads times row by row by the pattern in argument `place`, or as `yyyy-MM-dd HH:mm:ss` with an optional fraction.
fn read_times(args: &ScalarFunctionArgs, place: usize, zone: Tz) -> Result<Vec<Option<i64>>> {
    let values = Texts::of(&args.args[0]);
    let Some(given) = args.args.get(place) else {
        return Ok((0..rows(args)).map(|row| read_time(values.get(row)?, zone)).collect());
    };
    let given = Texts::of(given);
    let mut patterns = Patterns::default();
    (0..rows(args))
        .map(|row| match (values.get(row), given.get(row)) {
            (Some(value), Some(pattern)) => Ok(patterns.get(pattern)?.read(value, zone)),
            _ => Ok(None),
        })
        .collect()
}

/// Reads `2024-02-29`, `2024-02-29 13:04:05.678`, `2024-02-29T13:04:05Z`.
fn read_time(value: &str, zone: Tz) -> Option<i64> {
    let value = value.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(value) {
        return Some(instant.timestamp_micros());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(local) = NaiveDateTime::parse_from_str(value, format) {
            return in_zone(&local, zone);
        }
    }
    in_zone(&NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN), zone)
}

/// The functions of this file, for a session's zone.
pub(super) fn functions(zone: Tz) -> Vec<Flink> {
    let mut all = vec![
        // DATE_FORMAT(time, pattern).
        Flink::new("date_format", &[Time, Text], 2, text, |f, args| {
            let times = Times::of(&args.args[0])?;
            let (zone, given) = (times.zone(f.zone), Texts::of(&args.args[1]));
            let mut patterns = Patterns::default();
            let mut failure = None;
            let mut out = String::new();
            let answer = texts(args, |row| {
                let (time, pattern) = (at(times.get(row)?, zone)?, given.get(row)?);
                out.clear();
                match patterns.get(pattern) {
                    Ok(pattern) => pattern.print(&time, &mut out),
                    Err(e) => {
                        failure.get_or_insert(e);
                        return None;
                    }
                }
                Some(out.clone())
            });
            failure.map_or(answer, Err)
        }),
        // TO_TIMESTAMP(text[, pattern]): a TIMESTAMP(3); NULL if the text cannot be read.
        Flink::new("to_timestamp", &[Text, Text], 1, timestamp, |_, args| {
            let read = read_times(args, 1, Tz::UTC)?;
            numbers::<TimestampMillisecondType>(args, |row| read[row].map(|us| us.div_euclid(1000)))
        }),
        // TO_DATE(text[, pattern]): NULL if the text cannot be read.
        Flink::new("to_date", &[Text, Text], 1, date, |_, args| {
            let read = read_times(args, 1, Tz::UTC)?;
            numbers::<Date32Type>(args, |row| read[row].map(|us| us.div_euclid(DAY) as i32))
        }),
        // TO_TIMESTAMP_LTZ(n[, digits]): n seconds (0), milliseconds (3), microseconds (6) or nanoseconds (9).
        Flink::new("to_timestamp_ltz", &[Int, Int], 1, ltz_of_digits, |_, args| {
            let values = Ints::of(&args.args[0]);
            let digits = args.args.get(1).map_or(Ints::One(Some(3)), Ints::of);
            let mut failure = None;
            let unit = args.return_type().clone();
            if let (Ints::Column(column), Ints::One(Some(digits))) = (&values, &digits)
                && counts_ticks(column.values(), *digits, &unit)
            {
                let column: ArrayRef = std::sync::Arc::new((*column).clone());
                return answer(args, cast(&column, &unit)?);
            }
            let plain: PrimitiveArray<Int64Type> = (0..rows(args))
                .map(|row| {
                    let (n, digits) = (values.get(row)?, digits.get(row)?);
                    let micros = match digits {
                        0 => n.checked_mul(SECOND),
                        3 => n.checked_mul(1000),
                        6 => Some(n),
                        // Nanoseconds keep all their digits: the type is TIMESTAMP_LTZ(9).
                        9 if matches!(unit, DataType::Timestamp(TimeUnit::Nanosecond, _)) => return Some(n),
                        9 => Some(n.div_euclid(1000)),
                        _ => {
                            failure.get_or_insert_with(|| {
                                carry(Error::user(format!(
                                    "TO_TIMESTAMP_LTZ: {digits} digits, wanted 0 (seconds), 3, 6 or 9"
                                )))
                            });
                            None
                        }
                    };
                    in_unit(micros?, &unit)
                })
                .collect();
            match failure {
                Some(error) => Err(error),
                None => answer(args, cast(&plain, &unit)?),
            }
        }),
        // UNIX_TIMESTAMP(text[, pattern]): seconds since 1970; NULL if the text cannot be read.
        Flink::new("unix_timestamp", &[Text, Text], 1, bigint, |f, args| {
            let read = read_times(args, 1, f.zone)?;
            numbers::<Int64Type>(args, |row| read[row].map(|us| us.div_euclid(SECOND)))
        }),
        // FROM_UNIXTIME(seconds[, pattern]): a text.
        Flink::new("from_unixtime", &[Int, Text], 1, text, |f, args| {
            let seconds = Ints::of(&args.args[0]);
            let given = args.args.get(1).map_or(Texts::One(Some("yyyy-MM-dd HH:mm:ss")), Texts::of);
            let mut patterns = Patterns::default();
            let mut failure = None;
            let answer = texts(args, |row| {
                let time = at(seconds.get(row)?.checked_mul(SECOND)?, f.zone)?;
                let mut out = String::new();
                match patterns.get(given.get(row)?) {
                    Ok(pattern) => pattern.print(&time, &mut out),
                    Err(e) => {
                        failure.get_or_insert(e);
                        return None;
                    }
                }
                Some(out)
            });
            failure.map_or(answer, Err)
        }),
        // EXTRACT(part FROM time), as the planner calls it.
        Flink::new("extract", &[Text, TimeOfDay], 2, bigint, extract),
        // Casts between TIMESTAMP_LTZ and what has no zone: `casts` puts these into plans.
        Flink::new(LOCAL, &[Time], 1, without_zone, |f, args| {
            shift(f, args, |us, zone| Some(at(us, zone)?.naive_local().and_utc().timestamp_micros()))
        }),
        Flink::new(INSTANT, &[Time], 1, with_zone, |f, args| {
            shift(f, args, |us, zone| in_zone_or_later(&at(us, Tz::UTC)?.naive_utc(), zone))
        }),
        Flink::new(PRINT, &[Time], 1, text, print),
        Flink::new(READ_INSTANT, &[Text], 1, micros_ltz, read_instant),
        Flink::new(TRY_READ_INSTANT, &[Text], 1, micros_ltz, read_instant),
        // FLOOR(time TO unit) and CEIL(time TO unit).
        Flink::new("floor_time", &[Time, Text], 2, same_time, |f, args| round(f, args, false)),
        Flink::new("ceil_time", &[Time, Text], 2, same_time, |f, args| round(f, args, true)),
        // TIMESTAMPADD(unit, n, time).
        Flink::new("timestampadd", &[Text, Int, Time], 3, same_time, |f, args| {
            let (units, counts, times) = (Texts::of(&args.args[0]), Ints::of(&args.args[1]), Times::of(&args.args[2])?);
            let zone = times.zone(f.zone);
            let mut failure = None;
            let out = timestamps(args, |row| {
                let unit = unit_name(units.get(row)?);
                if !known_unit(&unit) {
                    failure.get_or_insert_with(|| unknown_unit(&unit));
                    return None;
                }
                in_zone(&add(at(times.get(row)?, zone)?.naive_local(), &unit, counts.get(row)?)?, zone)
            });
            failure.map_or(out, Err)
        }),
        // TIMESTAMPDIFF(unit, from, to): whole units, towards zero. BIGINT, so that it cannot overflow (INT in Flink).
        Flink::new("timestampdiff", &[Text, Time, Time], 3, bigint, |f, args| {
            let (units, from, to) = (Texts::of(&args.args[0]), Times::of(&args.args[1])?, Times::of(&args.args[2])?);
            let (from_zone, to_zone) = (from.zone(f.zone), to.zone(f.zone));
            let per = units.get(0).filter(|_| matches!(args.args[0], ColumnarValue::Scalar(_)));
            if let (Some(per), true) =
                (per.and_then(|unit| length(&unit_name(unit))), from_zone == Tz::UTC && to_zone == Tz::UTC)
            {
                let there = |us: Option<i64>| us.filter(|us| is_in_calendar(*us));
                return numbers::<Int64Type>(args, |row| {
                    there(to.get(row))?.checked_sub(there(from.get(row))?).map(|us| us / per)
                });
            }
            let mut failure = None;
            let out = numbers::<Int64Type>(args, |row| {
                let unit = unit_name(units.get(row)?);
                if !known_unit(&unit) {
                    failure.get_or_insert_with(|| unknown_unit(&unit));
                    return None;
                }
                let (a, b) = (at(from.get(row)?, from_zone)?, at(to.get(row)?, to_zone)?);
                between(a.naive_local(), b.naive_local(), &unit)
            });
            failure.map_or(out, Err)
        }),
        // The wall clock. Volatile: refused in streams unless allowed.
        Flink::new("now", &[Int], 0, timestamp_ltz, |_, args| clock(args)).volatile(),
        Flink::new("current_timestamp", &[Int], 0, timestamp_ltz, |_, args| clock(args)).volatile(),
        Flink::new("current_row_timestamp", &[Int], 0, timestamp_ltz, |_, args| clock(args)).volatile(),
        Flink::new("localtimestamp", &[Int], 0, timestamp, |f, args| {
            let local = chrono::Utc::now().with_timezone(&f.zone).naive_local().and_utc().timestamp_millis();
            constant(args, ScalarValue::TimestampMillisecond(Some(local), None))
        })
        .volatile(),
        Flink::new("current_date", &[Int], 0, date, today).volatile(),
        Flink::new("today", &[Int], 0, date, today).volatile(),
        Flink::new("current_time", &[Int], 0, time, time_of_day).volatile(),
        Flink::new("localtime", &[Int], 0, time, time_of_day).volatile(),
    ];
    for name in ["year", "quarter", "month", "week", "dayofyear", "dayofmonth", "dayofweek"] {
        all.push(Flink::new(name, &[Time], 1, bigint, named_part));
    }
    for name in ["hour", "minute", "second"] {
        all.push(Flink::new(name, &[TimeOfDay], 1, bigint, named_part));
    }
    if zone != Tz::UTC {
        // DataFusion's know UTC only.
        all.push(Flink::new("date_trunc", &[Text, Time], 2, same_time, |f, args| {
            round_by(f, args, &args.args[1], &args.args[0], false)
        }));
        all.push(Flink::new("date_part", &[Text, Time], 2, bigint, extract));
    }
    all.into_iter().map(|f| f.zone(zone)).collect()
}

/// True if numbers of so many digits after the second are the ticks of a timestamp type as they are: nothing is computed.
/// Milliseconds that are no microseconds are NULL, and computed.
fn counts_ticks(values: &[i64], digits: i64, data_type: &DataType) -> bool {
    match (digits, data_type) {
        (3, DataType::Timestamp(TimeUnit::Millisecond, _)) => {
            let most = i64::MAX / 1000;
            range(values).is_none_or(|(low, high)| low >= -most && high <= most)
        }
        (6, DataType::Timestamp(TimeUnit::Microsecond, _)) | (9, DataType::Timestamp(TimeUnit::Nanosecond, _)) => true,
        _ => false,
    }
}

fn unit_name(unit: &str) -> String {
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_prefix("sql_tsi_").unwrap_or(&unit);
    unit.trim_end_matches('s').to_string()
}

fn clock(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    constant(args, ScalarValue::TimestampMillisecond(Some(chrono::Utc::now().timestamp_millis()), Some(UTC.into())))
}

fn today(f: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let today = chrono::Utc::now().with_timezone(&f.zone).date_naive();
    let days = today.signed_duration_since(NaiveDate::default()).num_days() as i32;
    constant(args, ScalarValue::Date32(Some(days)))
}

fn time_of_day(f: &Flink, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let seconds = chrono::Utc::now().with_timezone(&f.zone).num_seconds_from_midnight() as i32;
    constant(args, ScalarValue::Time32Second(Some(seconds)))
}

fn constant(_: &ScalarFunctionArgs, value: ScalarValue) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Scalar(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_without_a_calendar_are_those_with_one() {
        let odd = (0..20_000i64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
        let near = (-5000..5000).map(|i| i * 1_234_567_891);
        for us in odd.chain(near).chain([0, -1, DAY, -DAY, DAY - 1, i64::MAX, i64::MIN]) {
            let by_calendar = at(us, Tz::UTC);
            assert_eq!(by_calendar.is_some(), is_in_calendar(us), "{us}");
            for name in ["dow", "dayofweek", "isodow", "hour", "hours", "minute", "second", "epoch"] {
                if let Some(time) = by_calendar {
                    assert_eq!(plain_part(name).unwrap()(us), part(name).unwrap()(&time), "{name} of {us}");
                }
            }
        }
    }
}
