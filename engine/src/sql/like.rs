//! `LIKE … ESCAPE` and `SIMILAR TO`: their patterns, rewritten to those that DataFusion knows. Its `LIKE` always escapes
//! with a backslash, and its `SIMILAR TO` is a regular expression that need not take the whole string.

use crate::error::{Error, Result};

/// The character of an `ESCAPE` clause.
pub fn escape_of(text: &str) -> Result<char> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(Error::user(format!("ESCAPE '{text}': wanted one character"))),
    }
}

fn escaped(escape: char, next: Option<char>, wanted: &str) -> Result<char> {
    next.filter(|c| *c == escape || wanted.contains(*c)).ok_or_else(|| {
        Error::user(match next {
            Some(c) => format!("`{escape}{c}` is no escape in this pattern"),
            None => format!("the pattern ends after its escape `{escape}`"),
        })
        .hint(format!("`{escape}` stands before one of {wanted} or itself"))
    })
}

/// A pattern of `LIKE` with the backslash as its escape.
pub fn like_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let next = escaped(c, chars.next(), "%_")?;
            if "%_\\".contains(next) {
                out.push('\\');
            }
            out.push(next);
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Ok(out)
}

/// A pattern of `SIMILAR TO` as a regular expression over the whole string.
pub fn similar_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?s:");
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            out.push('\\');
            out.push(escaped(c, chars.next(), "%_|*+?{}()[]^-.")?);
            continue;
        }
        match c {
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            // [[:ALPHA:]]
            '[' if in_class && chars.peek() == Some(&':') => {
                out.push(c);
                for c in chars.by_ref() {
                    out.push(c.to_ascii_lowercase());
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' | '\\' if in_class => out.extend(['\\', c]),
            c if in_class => out.push(c),
            '[' => {
                in_class = true;
                out.push(c);
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '.' | '^' | '$' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push_str(")$");
    match datafusion_functions::regex::compile_regex(&out, None) {
        Ok(_) => Ok(out),
        Err(_) => Err(Error::user(format!("cannot read the pattern '{pattern}'"))
            .hint("SIMILAR TO knows % _ | * + ? {m,n} (…) and […]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(like_pattern("%e!%", Some('!')).unwrap(), r"%e\%");
        assert_eq!(like_pattern(r"a\b!!", Some('!')).unwrap(), r"a\\b!");
        assert_eq!(like_pattern(r"\_", Some('\\')).unwrap(), r"\_");
        assert_eq!(like_pattern(r"a\%", None).unwrap(), r"a\\%");
        assert!(like_pattern("a!", Some('!')).is_err());
        assert!(escape_of("ab").is_err());
        assert_eq!(similar_pattern("(a|%r)_.", None).unwrap(), r"^(?s:(a|.*r).\.)$");
        assert_eq!(similar_pattern("[^a-c%]+", None).unwrap(), r"^(?s:[^a-c%]+)$");
        assert_eq!(similar_pattern("5!%[[:DIGIT:]]", Some('!')).unwrap(), r"^(?s:5\%[[:digit:]])$");
        assert!(similar_pattern("(", None).is_err());
    }
}
