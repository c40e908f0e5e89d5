//! Interval literals in every spelling: `INTERVAL '10' SECOND`, `'1' MINUTES`, `'10 seconds'`, `'1:30' MINUTE TO SECOND`,
//! `'1-2' YEAR TO MONTH`, `'1 02:03:04.5' DAY TO SECOND`.

use datafusion_sql::sqlparser::ast::{DateTimeField, Expr, Interval, UnaryOperator, Value};

use crate::error::{Error, Result};

/// A length of time in SQL's three parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// Months (years are twelve).
    pub months: i64,
    /// Days.
    pub days: i64,
    /// Nanoseconds.
    pub nanos: i128,
}

const SECOND: i128 = 1_000_000_000;

impl Length {
    /// Microseconds of an interval of days and less, for windows.
    pub fn micros(self) -> Result<i64> {
        if self.months != 0 {
            return Err(Error::user("a window cannot be measured in months or years: their length varies")
                .hint("use days, for example INTERVAL '30' DAY"));
        }
        let nanos = self.nanos + i128::from(self.days) * 86_400 * SECOND;
        if nanos % 1000 != 0 {
            return Err(Error::user("a window cannot be measured in less than microseconds"));
        }
        i64::try_from(nanos / 1000).map_err(|_| Error::user("this interval is too long"))
    }

    /// In the spelling that DataFusion reads.
    pub fn spelt(self) -> String {
        format!("{} months {} days {} nanoseconds", self.months, self.days, self.nanos)
    }

    fn plus(self, other: Length) -> Length {
        Length { months: self.months + other.months, days: self.days + other.days, nanos: self.nanos + other.nanos }
    }

    fn times(self, factor: i64) -> Length {
        Length { months: self.months * factor, days: self.days * factor, nanos: self.nanos * i128::from(factor) }
    }
}

/// Reads an interval literal.
pub fn read(interval: &Interval) -> Result<Length> {
    let (text, sign) = value_text(&interval.value)?;
    let length = match (&interval.leading_field, &interval.last_field) {
        (None, _) => words(&text)?,
        (Some(unit), None) => match text.trim().parse::<f64>() {
            Ok(_) => one(&text, &unit.to_string())?,
            Err(_) => return Err(bad(&text).hint("write INTERVAL '10' SECOND or INTERVAL '10 seconds'")),
        },
        (Some(from), Some(to)) => range(&text, from, to)?,
    };
    Ok(length.times(sign))
}

/// Reads the text of an interval without a unit, as in `'10 seconds'`.
pub fn words(text: &str) -> Result<Length> {
    let spaced = text.trim();
    if let Some((sign, rest)) = spaced.strip_prefix('-').map(|r| (-1, r))
        && rest.contains(':')
    {
        return Ok(clock(rest, text)?.times(sign));
    }
    let mut length = Length::default();
    let mut pieces = Vec::new();
    // `10s` and `10 s` alike: cut between digit and letter.
    for word in spaced.split_whitespace() {
        match word.find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) if at > 0 && !word.contains(':') => {
                pieces.extend([word[..at].to_string(), word[at..].to_string()])
            }
            _ => pieces.push(word.to_string()),
        }
    }
    let mut rest = pieces.iter().peekable();
    while let Some(number) = rest.next() {
        if number.contains(':') {
            length = length.plus(clock(number, text)?);
        } else if let Some(unit) = rest.next() {
            length = length.plus(one(number, unit)?);
        } else if pieces.len() == 1 {
            return Err(bad(text).hint(format!("say the unit: INTERVAL '{text}' SECOND")));
        } else {
            return Err(bad(text));
        }
    }
    if pieces.is_empty() { Err(bad(text)) } else { Ok(length) }
}

fn bad(text: &str) -> Error {
    Error::user(format!("cannot read the interval '{text}'"))
}

fn value_text(value: &Expr) -> Result<(String, i64)> {
    match value {
        Expr::Value(v) => match &v.value {
            Value::SingleQuotedString(s) | Value::DoubleQuotedString(s) => Ok((s.clone(), 1)),
            Value::Number(n, _) => Ok((n.to_string(), 1)),
            other => Err(bad(&other.to_string())),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => value_text(expr).map(|(text, sign)| (text, -sign)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } | Expr::Nested(expr) => value_text(expr),
        other => Err(Error::user(format!("an interval needs a literal, found `{other}`"))
            .hint("multiply instead: n * INTERVAL '1' SECOND")),
    }
}

/// A number and a unit, exactly: the fraction has at most as many digits as the unit has.
fn one(number: &str, unit: &str) -> Result<Length> {
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('s').filter(|u| u.len() > 1 && *u != "m" && *u != "u" && *u != "n").unwrap_or(&unit);
    let nanos_per = match unit {
        "year" | "y" => return whole(number, 12),
        "quarter" => return whole(number, 3),
        "month" | "mon" => return whole(number, 1),
        "week" | "w" => 7 * 86_400 * SECOND,
        "day" | "d" => 86_400 * SECOND,
        "hour" | "h" | "hr" => 3600 * SECOND,
        "minute" | "min" | "m" => 60 * SECOND,
        "second" | "sec" | "s" => SECOND,
        "millisecond" | "ms" | "milli" => SECOND / 1000,
        "microsecond" | "us" | "micro" => SECOND / 1_000_000,
        "nanosecond" | "ns" | "nano" => 1,
        _ => {
            const UNITS: &[&str] = &[
                "year",
                "quarter",
                "month",
                "week",
                "day",
                "hour",
                "minute",
                "second",
                "millisecond",
                "microsecond",
                "nanosecond",
            ];
            let error = Error::user(format!("unknown unit of time `{unit}`"));
            return Err(match Error::suggest(unit, UNITS.iter().copied()) {
                Some(near) => error.hint(format!("did you mean {}?", near.to_uppercase())),
                None => error,
            });
        }
    };
    let nanos = decimal(number, nanos_per)?;
    if matches!(unit, "day" | "d" | "week" | "w") && nanos % (86_400 * SECOND) == 0 {
        return Ok(Length { days: (nanos / (86_400 * SECOND)) as i64, ..Length::default() });
    }
    Ok(Length { nanos, ..Length::default() })
}

fn whole(number: &str, months: i64) -> Result<Length> {
    let n: i64 = number.trim().parse().map_err(|_| bad(number))?;
    Ok(Length { months: n * months, ..Length::default() })
}

/// `number` times `scale` as a whole number of nanoseconds.
fn decimal(number: &str, scale: i128) -> Result<i128> {
    let number = number.trim();
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if digits.is_empty()
        || !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit())
        || fraction.len() > 18
        || whole.len() > 18
    {
        return Err(bad(number));
    }
    let parse = |s: &str| if s.is_empty() { Ok(0) } else { s.parse::<i128>().map_err(|_| bad(number)) };
    let tenth = 10i128.pow(fraction.len() as u32);
    let value = parse(whole)? * scale + parse(fraction)? * scale / tenth;
    Ok(if negative { -value } else { value })
}

/// `HH:MM:SS.f` or `HH:MM`.
fn clock(text: &str, all: &str) -> Result<Length> {
    let parts: Vec<&str> = text.split(':').collect();
    let units = [3600 * SECOND, 60 * SECOND, SECOND];
    if parts.len() > 3 {
        return Err(bad(all));
    }
    let mut nanos = 0;
    for (part, unit) in parts.iter().zip(units) {
        nanos += decimal(part, unit)?;
    }
    Ok(Length { nanos, ..Length::default() })
}

/// `'…' HOUR TO SECOND` and its like.
fn range(text: &str, from: &DateTimeField, to: &DateTimeField) -> Result<Length> {
    const ORDER: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let place = |f: &DateTimeField| {
        let name = f.to_string().to_ascii_uppercase();
        ORDER.iter().position(|o| name.starts_with(o))
    };
    let (Some(first), Some(last)) = (place(from), place(to)) else { return Err(bad(text)) };
    let trimmed = text.trim();
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, trimmed),
    };
    let parts: Vec<&str> = digits.split([' ', ':', '-']).filter(|p| !p.is_empty()).collect();
    if last < first || parts.len() != last - first + 1 {
        return Err(bad(text).hint(format!("{from} TO {to} needs {} numbers", last.saturating_sub(first) + 1)));
    }
    let mut length = Length::default();
    for (part, unit) in parts.iter().zip(&ORDER[first..=last]) {
        length = length.plus(one(part, unit)?);
    }
    Ok(length.times(sign))
}

/// Puts the intervals of a plan's text, which Arrow shows by its fields, into SQL.
pub fn readable(plan: &str) -> String {
    const NAME: &str = "IntervalMonthDayNano";
    let mut out = String::with_capacity(plan.len());
    let mut rest = plan;
    while let Some(at) = rest.find(NAME) {
        out += &rest[..at];
        let after = &rest[at + NAME.len()..];
        // A literal of the logical plan says its type first: `IntervalMonthDayNano("IntervalMonthDayNano { … }")`.
        let (inner, close) = match after.strip_prefix("(\"IntervalMonthDayNano") {
            Some(inner) => (inner, "}\")"),
            None => (after, "}"),
        };
        match inner.strip_prefix(" { ").and_then(|fields| fields.split_once(close)).and_then(|(fields, rest)| {
            let mut numbers = fields.split(',').map(|f| f.split_once(": ")?.1.trim().parse::<i64>().ok());
            Some((show(numbers.next()??, numbers.next()??, numbers.next()??), rest))
        }) {
            Some((text, left)) => {
                out += &text;
                rest = left;
            }
            None => {
                out += NAME;
                rest = after;
            }
        }
    }
    out + rest
}

/// An interval in SQL, in its largest whole units: `INTERVAL '10' SECOND`, `INTERVAL '1' MONTH + INTERVAL '2' DAY`.
fn show(months: i64, days: i64, nanos: i64) -> String {
    let mut parts = vec![];
    let mut part = |n: i64, unit: &str| {
        if n != 0 {
            parts.push(format!("INTERVAL '{n}' {unit}"));
        }
    };
    part(months, "MONTH");
    part(days, "DAY");
    const SECOND: i64 = 1_000_000_000;
    match nanos {
        n if n % (3600 * SECOND) == 0 => part(n / (3600 * SECOND), "HOUR"),
        n if n % (60 * SECOND) == 0 => part(n / (60 * SECOND), "MINUTE"),
        n if n % SECOND == 0 => part(n / SECOND, "SECOND"),
        n => parts.push(format!("INTERVAL '{}' SECOND", n as f64 / SECOND as f64)),
    }
    if parts.is_empty() { "INTERVAL '0' SECOND".to_string() } else { parts.join(" + ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_ninety_seconds() {
        for text in ["90 seconds", "90s", "1 minute 30 seconds", "1 min 30 sec", "00:01:30", "1.5 minutes"] {
            assert_eq!(words(text).unwrap().micros().unwrap(), 90_000_000, "{text}");
        }
        assert_eq!(
            range("1:30", &DateTimeField::Minute, &DateTimeField::Second).unwrap().micros().unwrap(),
            90_000_000
        );
        assert_eq!(
            range("1 02:03:04.5", &DateTimeField::Day, &DateTimeField::Second).unwrap().micros().unwrap(),
            93_784_500_000
        );
        assert_eq!(range("-1-2", &DateTimeField::Year, &DateTimeField::Month).unwrap().months, -14);
    }

    #[test]
    fn months_are_no_window() {
        let error = words("1 month").unwrap().micros().unwrap_err();
        assert!(error.message().contains("months or years"), "{error}");
        assert!(words("ten seconds").is_err());
        assert_eq!(words("10 secnds").unwrap_err().advice(), Some("did you mean SECOND?"));
    }

    #[test]
    fn plans_are_readable() {
        for (plan, want) in [
            (
                "at - IntervalMonthDayNano(\"IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 10000000000 }\")",
                "at - INTERVAL '10' SECOND",
            ),
            (
                "at@1 + IntervalMonthDayNano { months: 1, days: -2, nanoseconds: 0 } > x",
                "at@1 + INTERVAL '1' MONTH + INTERVAL '-2' DAY > x",
            ),
            (
                "IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 90000000000 }, IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 1500000 }",
                "INTERVAL '90' SECOND, INTERVAL '0.0015' SECOND",
            ),
            ("an IntervalMonthDayNano of another shape", "an IntervalMonthDayNano of another shape"),
        ] {
            assert_eq!(readable(plan), want);
        }
    }
}
