//! What people and programs are told: errors as rustc shows them, tables, numbers, and the JSON line at the end.

use std::error::Error as StdError;
use std::io::{self, IsTerminal, Write};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use pelton_engine::error::{Error, Span};
use serde_json::{Value, json};

use crate::text::Text;

/// Why a command failed: the error, and the SQL text that it points into.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong. Boxed: it is large, and seldom.
    pub error: Box<Error>,
    /// The text that its place is in.
    pub text: Option<Text>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error: Box::new(error), text: None }
    }
}

/// Answer of a command: its exit code (DESIGN 13), or why it failed.
pub type Answer = Result<u8, Failure>;

impl Failure {
    /// Shows it on stderr; with `json` also as the last line of stdout. Answers the exit code.
    pub fn show(&self, json: bool) -> u8 {
        note(&render(&self.error, self.text.as_ref(), styled_stderr()));
        let code = self.error.exit_code();
        if json {
            let span = self.error.span();
            say_json(&json!({ "error": {
                "message": chain(&self.error).join(": "),
                "line": span.map(|s| s.line),
                "column": span.map(|s| s.column),
                "hint": self.error.advice(),
                "exit_code": code,
            }}));
        }
        code
    }
}

/// True if stderr understands colours and they are wanted.
fn styled_stderr() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The message and those of its causes.
pub fn chain(error: &Error) -> Vec<String> {
    let mut all = vec![error.message().to_string()];
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        let own = match cause.downcast_ref::<Error>() {
            Some(ours) => ours.message().to_string(),
            None => cause.to_string(),
        };
        // Many errors repeat their cause in their own words.
        if !all.iter().any(|said| said.contains(&own)) {
            all.push(own);
        }
        next = cause.source();
    }
    all
}

/// True for options whose value nobody should see.
pub fn is_secret(key: &str) -> bool {
    ["password", "secret", "token", "credential", "access-key", "private-key", "key.pem", "sasl"]
        .iter()
        .any(|w| key.to_ascii_lowercase().contains(w))
}

/// SQL with stars for the values of secret options, every byte where it was.
fn masked(sql: &str) -> String {
    let (mut out, mut at, mut key) = (sql.as_bytes().to_vec(), 0, None);
    while at < out.len() {
        let rest = &sql.as_bytes()[at..];
        let length = match rest[0] {
            b'-' if rest.starts_with(b"--") => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            b'\'' => literal_bytes(rest),
            _ => 1,
        };
        if rest[0] == b'\'' {
            let inside = at + 1..(at + length).saturating_sub(1).max(at + 1);
            // Only `=` makes the text behind a key its value.
            match key.take() {
                Some((true, true)) => out[inside].fill(b'*'),
                _ => key = sql.get(inside).map(|text| (is_secret(text), false)),
            }
        } else if rest[0] == b'=' {
            key = key.map(|(secret, _)| (secret, true));
        } else if length == 1 && !rest[0].is_ascii_whitespace() {
            key = None;
        }
        at += length;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes of the quoted text that `sql` begins with; quotes inside are doubled.
fn literal_bytes(sql: &[u8]) -> usize {
    let mut at = 1;
    while at < sql.len() {
        match (sql[at], sql.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return at + 1,
            _ => at += 1,
        }
    }
    sql.len()
}

/// An error as rustc shows it: message, place, source line with carets, causes, help.
pub fn render(error: &Error, text: Option<&Text>, styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let shown = text.map(|text| masked(&text.content)).unwrap_or_default();
    let mut messages = chain(error).into_iter();
    let title = Level::ERROR.primary_title(messages.next().unwrap_or_default());
    let mut group = match (error.span(), text) {
        (Some(span), Some(text)) if span.is_known() => match byte_range(&text.content, span) {
            Some(range) => {
                title.element(Snippet::source(&shown).path(&text.name).annotation(AnnotationKind::Primary.span(range)))
            }
            // The place is not in this text (a value of `${VAR}`): its numbers are better than nothing.
            None => title.element(Origin::path(&text.name).line(span.line as usize).char_column(span.column as usize)),
        },
        _ => Group::with_title(title),
    };
    for cause in messages {
        group = group.element(Level::NOTE.with_name(Some("because")).message(cause));
    }
    let mut report = vec![group];
    if let Some(hint) = error.advice() {
        report.push(Group::with_title(Level::HELP.secondary_title(hint.to_string())));
    }
    renderer.render(&report)
}

/// Bytes of a place, at most to the end of its first line; `None` if the text has no such place.
fn byte_range(text: &str, span: Span) -> Option<std::ops::Range<usize>> {
    let start_of_line: usize = text.split_inclusive('\n').take(span.line as usize - 1).map(str::len).sum();
    if span.line as usize > text.split('\n').count() {
        return None;
    }
    let line = text[start_of_line..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let at = |column: u64| line.char_indices().map(|(i, _)| i).chain([line.len()]).nth((column.max(1) - 1) as usize);
    let first = at(span.column)?;
    let last = if span.end_line > span.line { line.len() } else { at(span.end_column).unwrap_or(line.len()) };
    // Something must be pointed at, at the end of a line too.
    let least = line[first..].chars().next().map_or(0, char::len_utf8);
    Some(start_of_line + first..start_of_line + last.max(first + least))
}

/// Writes to stdout. A reader that has gone away ends the command quietly: nobody is left to tell.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            note(&format!("error: cannot write to stdout: {error}"));
            std::process::exit(1);
        }
        std::process::exit(0);
    }
}

/// Writes one JSON object as a line to stdout.
pub fn say_json(value: &Value) {
    say(&value.to_string());
}

/// Writes to stderr, if it still listens.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows under headers, columns as wide as they need to be.
pub fn columns(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_string()
    };
    let mut lines = vec![line(headers.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2934567.0` as `2.9 M`.
pub fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.1} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Text {
        Text { name: "q.sql".into(), content: "CREATE TABLE t (a INT);\n\tSELECT 'é', amont\nFROM t;".into() }
    }

    fn span(line: u64, column: u64, end_line: u64, end_column: u64) -> Span {
        Span { line, column, end_line, end_column }
    }

    #[test]
    fn secrets_are_not_shown_with_their_line() {
        let sql = "-- don't\nWITH ('sasl.password' = 'it''s ö', 'a' = 'b', 'x.secret'='c', 'sasl' , 'd')";
        let want = "-- don't\nWITH ('sasl.password' = '**'s ö', 'a' = 'b', 'x.secret'='*', 'sasl' , 'd')";
        let got = masked(sql);
        assert_eq!(got.len(), sql.len());
        assert!(
            !got.contains("it") && !got.contains("'c'") && got.contains("'b'") && got.contains("'d'"),
            "{got} {want}"
        );
    }

    #[test]
    fn an_error_points_at_the_text() {
        let error = Error::user("unknown column `amont`").at(span(2, 14, 2, 19)).hint("did you mean `amount`?");
        assert_eq!(
            render(&error, Some(&text()), false),
            "error: unknown column `amont`\n \
             --> q.sql:2:14\n  \
             |\n\
             2 |     SELECT 'é', amont\n  \
             |                 ^^^^^\n  \
             |\n\
             help: did you mean `amount`?"
        );
    }

    #[test]
    fn places_off_the_text_keep_their_numbers() {
        let beyond = render(&Error::user("odd").at(span(9, 2, 9, 4)), Some(&text()), false);
        assert!(beyond.starts_with("error: odd\n") && beyond.contains("--> q.sql:9:2"), "{beyond}");
        assert_eq!(byte_range("ab\ncd", span(2, 3, 2, 4)), Some(5..5));
        assert_eq!(byte_range("ab\ncd", span(1, 2, 2, 2)), Some(1..2));
        assert_eq!(byte_range("ab\ncd", span(1, 7, 1, 8)), None);
    }

    #[test]
    fn causes_are_said_once() {
        let inner = Error::world("disk is full").because(io::Error::other("no space"));
        let error = Error::world("cannot write 'x'").because(inner).hint("make room");
        assert_eq!(chain(&error), ["cannot write 'x'", "disk is full", "no space"]);
        let shown = render(&error, None, false);
        assert!(shown.contains("because: disk is full") && shown.contains("help: make room"), "{shown}");
        let twice = Error::world("cannot: no space").because(io::Error::other("no space"));
        assert_eq!(chain(&twice), ["cannot: no space"]);
    }

    #[test]
    fn numbers_and_columns() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(short(2_934_567.0), "2.9 M");
        let rows = [vec!["1".into(), "x".into()], vec!["100".into(), "y".into()]];
        assert_eq!(columns(&["n", "what"], &rows), "n    what\n1    x\n100  y");
    }
}
