//! Date patterns of Java (`yyyy-MM-dd HH:mm:ss`), to print and to read.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike};
use chrono_tz::Tz;

use crate::error::{Error, Result};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// A letter and how often it stands there.
    Field(char, usize),
    Text(String),
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Reads a pattern; fails on a letter that Java knows and we do not.
    pub fn parse(pattern: &str) -> Result<Pattern> {
        let mut pieces: Vec<Piece> = vec![];
        let text = |pieces: &mut Vec<Piece>, c: char| match pieces.last_mut() {
            Some(Piece::Text(t)) => t.push(c),
            _ => pieces.push(Piece::Text(c.to_string())),
        };
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                if chars.next_if_eq(&'\'').is_some() {
                    text(&mut pieces, '\'');
                    continue;
                }
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => text(&mut pieces, '\''),
                        Some('\'') => break,
                        Some(inner) => text(&mut pieces, inner),
                        None => {
                            return Err(Error::user(format!(
                                "the date pattern `{pattern}` has a quote that does not end"
                            )));
                        }
                    }
                }
            } else if c.is_ascii_alphabetic() {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if !"yuMLdDHhkKmsSnaEeQwYzVXxZ".contains(c) || "wY".contains(c) {
                    return Err(Error::user(format!(
                        "the letter `{c}` of the date pattern `{pattern}` is not supported"
                    ))
                    .hint("there are: y M d D H h m s S a E Q X z; put plain text in single quotes"));
                }
                pieces.push(Piece::Field(c, count));
            } else {
                text(&mut pieces, c);
            }
        }
        Ok(Pattern(pieces))
    }

    /// Prints a time of a zone.
    pub fn print(&self, time: &DateTime<Tz>, out: &mut String) {
        use std::fmt::Write;
        for piece in &self.0 {
            let _ = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    Ok(())
                }
                Piece::Field(letter, count) => {
                    let n = *count;
                    match letter {
                        'y' | 'u' if n == 2 => write!(out, "{:02}", time.year().rem_euclid(100)),
                        'y' | 'u' => write!(out, "{:0n$}", time.year()),
                        'M' | 'L' if n >= 4 => write!(out, "{}", MONTHS[time.month0() as usize]),
                        'M' | 'L' if n == 3 => write!(out, "{}", &MONTHS[time.month0() as usize][..3]),
                        'M' | 'L' => write!(out, "{:0n$}", time.month()),
                        'd' => write!(out, "{:0n$}", time.day()),
                        'D' => write!(out, "{:0n$}", time.ordinal()),
                        'Q' => write!(out, "{:0n$}", time.month0() / 3 + 1),
                        'H' => write!(out, "{:0n$}", time.hour()),
                        'k' => write!(out, "{:0n$}", if time.hour() == 0 { 24 } else { time.hour() }),
                        'h' => write!(out, "{:0n$}", time.hour12().1),
                        'K' => write!(out, "{:0n$}", time.hour() % 12),
                        'm' => write!(out, "{:0n$}", time.minute()),
                        's' => write!(out, "{:0n$}", time.second()),
                        'S' => {
                            let digits = format!("{:09}", time.nanosecond() % 1_000_000_000);
                            write!(out, "{}{}", &digits[..n.min(9)], "0".repeat(n.saturating_sub(9)))
                        }
                        'n' => write!(out, "{:0n$}", time.nanosecond()),
                        'a' => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
                        'E' | 'e' => {
                            let day = DAYS[time.weekday().num_days_from_monday() as usize];
                            write!(out, "{}", if n >= 4 { day } else { &day[..3] })
                        }
                        'z' => write!(out, "{}", time.format("%Z")),
                        'V' => write!(out, "{}", time.timezone().name()),
                        _ => {
                            let seconds = time.offset().fix().local_minus_utc();
                            let (sign, seconds) = if seconds < 0 { ('-', -seconds) } else { ('+', seconds) };
                            let (h, m) = (seconds / 3600, seconds / 60 % 60);
                            match (letter, n) {
                                ('X', _) if h == 0 && m == 0 => write!(out, "Z"),
                                ('X' | 'x', 1) if m == 0 => write!(out, "{sign}{h:02}"),
                                ('X' | 'x', 1 | 2 | 4) | ('Z', ..=3) => write!(out, "{sign}{h:02}{m:02}"),
                                _ => write!(out, "{sign}{h:02}:{m:02}"),
                            }
                        }
                    }
                }
            };
        }
    }

    /// Reads a time written in a zone; `None` if the text does not follow the pattern. Parts that the pattern leaves out
    /// are those of 1970-01-01 00:00.
    pub fn read(&self, text: &str, zone: Tz) -> Option<i64> {
        let (mut year, mut month, mut day, mut ordinal) = (1970i32, 1u32, 1u32, None);
        let (mut hour, mut minute, mut second, mut nanos) = (0u32, 0u32, 0u32, 0u32);
        let (mut half_day, mut afternoon, mut offset) = (false, None, None);
        let mut rest = text.trim();
        for (i, piece) in self.0.iter().enumerate() {
            let (letter, count) = match piece {
                Piece::Text(expected) => {
                    rest = rest.strip_prefix(expected.as_str())?;
                    continue;
                }
                Piece::Field(letter, count) => (*letter, *count),
            };
            let tight = matches!(self.0.get(i + 1), Some(Piece::Field(..)));
            let mut digits = |least: usize, most: usize| -> Option<u32> {
                let most = if tight { count.max(1) } else { most };
                let end = rest.char_indices().take(most).take_while(|(_, c)| c.is_ascii_digit()).count();
                if end < least.min(most) {
                    return None;
                }
                let number = rest[..end].parse().ok()?;
                rest = &rest[end..];
                Some(number)
            };
            match letter {
                'y' | 'u' if count == 2 => year = 2000 + digits(2, 2)? as i32,
                'y' | 'u' => year = digits(1, 4)? as i32,
                'M' | 'L' if count >= 3 => {
                    let at = MONTHS.iter().position(|m| {
                        let wanted = if count == 3 { &m[..3] } else { m };
                        rest.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted))
                    })?;
                    rest = &rest[if count == 3 { 3 } else { MONTHS[at].len() }..];
                    month = at as u32 + 1;
                }
                'M' | 'L' => month = digits(1, 2)?,
                'd' => day = digits(1, 2)?,
                'D' => ordinal = Some(digits(1, 3)?),
                'H' => hour = digits(1, 2)?,
                'k' => hour = digits(1, 2)? % 24,
                'h' | 'K' => {
                    hour = digits(1, 2)? % 12;
                    half_day = true;
                }
                'm' => minute = digits(1, 2)?,
                's' => second = digits(1, 2)?,
                'S' => {
                    let end = rest.char_indices().take(count.min(9)).take_while(|(_, c)| c.is_ascii_digit()).count();
                    let number: u32 = rest.get(..end).filter(|d| !d.is_empty())?.parse().ok()?;
                    nanos = number * 10u32.pow(9 - end as u32);
                    rest = &rest[end..];
                }
                'a' => {
                    let head = rest.get(..2)?;
                    afternoon = Some(if head.eq_ignore_ascii_case("pm") {
                        true
                    } else if head.eq_ignore_ascii_case("am") {
                        false
                    } else {
                        return None;
                    });
                    rest = &rest[2..];
                }
                'E' => {
                    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
                    DAYS.iter().find(|d| {
                        end >= 3 && d.get(..end).is_some_and(|head| head.eq_ignore_ascii_case(&rest[..end]))
                    })?;
                    rest = &rest[end..];
                }
                'X' | 'x' | 'Z' => {
                    let (seconds, used) = read_offset(rest)?;
                    offset = Some(seconds);
                    rest = &rest[used..];
                }
                _ => return None,
            }
        }
        if !rest.is_empty() {
            return None;
        }
        if half_day && afternoon == Some(true) {
            hour += 12;
        }
        let date = match ordinal {
            Some(n) => NaiveDate::from_yo_opt(year, n)?,
            None => NaiveDate::from_ymd_opt(year, month, day)?,
        };
        let local = NaiveDateTime::new(date, NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?);
        match offset {
            Some(seconds) => {
                Some(FixedOffset::east_opt(seconds)?.from_local_datetime(&local).single()?.timestamp_micros())
            }
            None => in_zone(&local, zone),
        }
    }
}

/// Microseconds of a local time; the earlier one where clocks are put back, `None` where they are put forward.
pub fn in_zone(local: &NaiveDateTime, zone: Tz) -> Option<i64> {
    zone.from_local_datetime(local).earliest().map(|t| t.timestamp_micros())
}

fn read_offset(text: &str) -> Option<(i32, usize)> {
    if text.starts_with('Z') {
        return Some((0, 1));
    }
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let end = 1 + text[1..].find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len() - 1);
    let digits: String = text[1..end].chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).map_or(Some(0), |m| m.parse().ok())?;
    Some((sign * (hours * 3600 + minutes * 60), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(pattern: &str, micros: i64) -> String {
        let mut out = String::new();
        Pattern::parse(pattern).unwrap().print(&chrono_tz::UTC.timestamp_micros(micros).unwrap(), &mut out);
        out
    }

    #[test]
    fn prints_and_reads_what_it_printed() {
        // 2024-02-29 13:04:05.678901
        let micros = 1_709_211_845_678_901;
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss", "2024-02-29 13:04:05"),
            ("yyyyMMddHHmmss", "20240229130405"),
            ("dd.MM.yy", "29.02.24"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSX", "2024-02-29T13:04:05.678901Z"),
            ("d MMM yyyy, hh:mm a", "29 Feb 2024, 01:04 PM"),
            ("EEEE, d MMMM yyyy", "Thursday, 29 February 2024"),
            ("''yyyy''", "'2024'"),
            ("HH:mm:ss.SSS", "13:04:05.678"),
        ] {
            assert_eq!(print(pattern, micros), text, "{pattern}");
            assert!(Pattern::parse(pattern).unwrap().read(text, chrono_tz::UTC).is_some(), "{pattern}");
        }
        let full = Pattern::parse("yyyy-MM-dd HH:mm:ss.SSSSSS").unwrap();
        assert_eq!(full.read("2024-02-29 13:04:05.678901", chrono_tz::UTC), Some(micros));
        assert_eq!(full.read("2024-02-30 13:04:05.678901", chrono_tz::UTC), None);
        assert_eq!(full.read("2024-02-29 13:04:05", chrono_tz::UTC), None);
    }

    #[test]
    fn unknown_letters_are_mistakes() {
        assert!(Pattern::parse("yyyy-MM-dd ww").is_err());
        assert!(Pattern::parse("yyyy 'open").is_err());
    }
}
