//! Where statements end in a text: what the shell needs to know before it asks the engine.

/// Ends of the statements in a text: the byte after each `;` that is in no string, comment or statement set. Text after
/// the last one is unfinished.
fn ends(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let (mut ends, mut depth, mut at) = (vec![], 0i32, 0);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += 1;
                }
                at += 1;
            }
            b'-' if bytes[at..].starts_with(b"--") => at += text[at..].find('\n').unwrap_or(bytes.len() - at),
            b'/' if bytes[at..].starts_with(b"/*") => at += text[at..].find("*/").map_or(bytes.len() - at, |n| n + 2),
            b';' => {
                at += 1;
                if depth <= 0 {
                    ends.push(at);
                    depth = 0;
                }
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let start = at;
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_') {
                    at += 1;
                }
                match text[start..at].to_ascii_uppercase().as_str() {
                    "BEGIN" | "CASE" => depth += 1,
                    "END" => depth -= 1,
                    _ => {}
                }
            }
            _ => at += 1,
        }
    }
    ends
}

/// True if a text holds nothing but white space, comments and `;`.
fn is_empty(text: &str) -> bool {
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    loop {
        rest = match rest {
            "" => return true,
            r if r.starts_with("--") => r.split_once('\n').map_or("", |(_, after)| after),
            r if r.starts_with("/*") => r.split_once("*/").map_or("", |(_, after)| after),
            _ => return false,
        };
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
    }
}

/// True if a text ends where a statement does.
pub fn is_complete(text: &str) -> bool {
    is_empty(text) || ends(text).last().is_some_and(|&end| is_empty(&text[end..]))
}

/// Number of statements, the unfinished one at the end included. A statement set counts as one.
pub fn count(text: &str) -> usize {
    let ends = ends(text);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied().chain([text.len()])).filter(|&(from, to)| !is_empty(&text[from..to])).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_they_should() {
        for (text, whole, statements) in [
            ("", true, 0),
            (" -- nothing;\n;;", true, 0),
            ("SELECT 1", false, 1),
            ("SELECT 1;", true, 1),
            ("SELECT ';' -- ;", false, 1),
            ("SELECT ';', \"a;b\", `c;` /* ; */; -- done", true, 1),
            ("SELECT 1; SELECT 'it''s'", false, 2),
            ("SELECT CASE WHEN a THEN 1 END FROM t; SELECT 2;", true, 2),
            ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;", false, 1),
            ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT 2; END;", true, 1),
            ("SELECT 'open;", false, 1),
            ("SELECT é; SELECT ü", false, 2),
        ] {
            assert_eq!((is_complete(text), count(text)), (whole, statements), "{text}");
        }
    }
}
