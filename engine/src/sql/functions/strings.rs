//! Flink's functions over strings.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, ScalarValue};

use super::Arg::{Int, Printed, Text};
use super::{Flink, Ints, Texts, numbers, texts, truths};
use crate::error::Error;
use crate::sql::errors::carry;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn bigint(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Boolean)
}

/// The functions of this file.
pub fn functions() -> Vec<Flink> {
    vec![
        // CONCAT(a, b, …): NULL if one of them is.
        Flink::new("concat", &[Printed], 1, text, |_, args| {
            let parts: Vec<Texts> = args.args.iter().map(Texts::of).collect();
            texts(args, |row| {
                let mut out = String::new();
                for part in &parts {
                    out.push_str(part.get(row)?);
                }
                Some(out)
            })
        })
        .many(),
        // SPLIT_INDEX(text, delimiter, n): the n-th part, counting from 0; NULL beyond the last. The delimiter may be
        // the code of a character, as in Flink.
        Flink::new("split_index", &[Text, Printed, Int], 3, text, |_, args| {
            let (values, delimiters, places) =
                (Texts::of(&args.args[0]), Texts::of(&args.args[1]), Ints::of(&args.args[2]));
            texts(args, |row| {
                let (value, delimiter, place) = (values.get(row)?, delimiters.get(row)?, places.get(row)?);
                let place = usize::try_from(place).ok()?;
                if delimiter.is_empty() { (place == 0).then_some(value) } else { value.split(delimiter).nth(place) }
            })
        }),
        // REGEXP_EXTRACT(text, pattern[, group]): NULL without a match; group 0, the default, is the whole match.
        Flink::new("regexp_extract", &[Text, Text, Int], 2, text, |_, args| {
            let (values, patterns) = (Texts::of(&args.args[0]), Texts::of(&args.args[1]));
            let groups = args.args.get(2).map_or(Ints::One(Some(0)), Ints::of);
            let mut compiled = HashMap::new();
            let mut failure = None;
            let out = texts(args, |row| {
                let (value, pattern, group) = (values.get(row)?, patterns.get(row)?, groups.get(row)?);
                if !compiled.contains_key(pattern) {
                    match datafusion_functions::regex::compile_regex(pattern, None) {
                        Ok(regex) => drop(compiled.insert(pattern, regex)),
                        Err(e) => {
                            failure.get_or_insert(e);
                            return None;
                        }
                    }
                }
                let found = compiled[pattern].captures(value)?;
                found.get(usize::try_from(group).ok()?).map(|m| m.as_str())
            });
            match failure {
                Some(e) => Err(carry(Error::user(format!("REGEXP_EXTRACT cannot read its pattern: {e}")))),
                None => out,
            }
        }),
        // LOCATE(part, text[, from]): place of the part counting from 1, 0 if it is not there.
        Flink::new("locate", &[Text, Text, Int], 2, bigint, |_, args| {
            let (parts, values) = (Texts::of(&args.args[0]), Texts::of(&args.args[1]));
            let starts = args.args.get(2).map_or(Ints::One(Some(1)), Ints::of);
            numbers::<Int64Type>(args, |row| {
                let (part, value) = (parts.get(row)?, values.get(row)?);
                let skip = usize::try_from(starts.get(row)? - 1).unwrap_or(0);
                let Some(from) = value.char_indices().map(|(at, _)| at).chain([value.len()]).nth(skip) else {
                    return Some(0);
                };
                Some(value[from..].find(part).map_or(0, |at| value[..from + at].chars().count() as i64 + 1))
            })
        }),
        // COUNT_CHAR(text, char): how often a character stands in a text (the function that Nexmark brings along).
        Flink::new("count_char", &[Text, Text], 2, bigint, |_, args| {
            let (values, wanted) = (Texts::of(&args.args[0]), Texts::of(&args.args[1]));
            numbers::<Int64Type>(args, |row| {
                let (value, wanted) = (values.get(row)?, wanted.get(row)?.chars().next()?);
                Some(value.chars().filter(|c| *c == wanted).count() as i64)
            })
        }),
        // IS_ALPHA, IS_DIGIT, IS_DECIMAL: whether all of a text is letters, digits, or one number; false for NULL.
        Flink::new("is_alpha", &[Printed], 1, boolean, |_, args| {
            let values = Texts::of(&args.args[0]);
            truths(args, |row| {
                Some(values.get(row).is_some_and(|v| !v.is_empty() && v.chars().all(char::is_alphabetic)))
            })
        }),
        Flink::new("is_digit", &[Printed], 1, boolean, |_, args| {
            let values = Texts::of(&args.args[0]);
            truths(args, |row| {
                Some(values.get(row).is_some_and(|v| !v.is_empty() && v.chars().all(|c| c.is_ascii_digit())))
            })
        }),
        Flink::new("is_decimal", &[Printed], 1, boolean, |_, args| {
            let values = Texts::of(&args.args[0]);
            truths(args, |row| {
                Some(values.get(row).is_some_and(|v| {
                    v.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) && v.parse::<f64>().is_ok()
                }))
            })
        }),
        // JSON_VALUE(text, path): the scalar at `$.a.b[0]` as text; NULL if there is none, or an object or array.
        Flink::new("json_value", &[Text, Text], 2, text, |_, args| {
            let (values, paths) = (Texts::of(&args.args[0]), Texts::of(&args.args[1]));
            texts(args, |row| {
                let document: serde_json::Value = serde_json::from_str(values.get(row)?).ok()?;
                match document.pointer(&json_pointer(paths.get(row)?)?)? {
                    serde_json::Value::String(text) => Some(text.clone()),
                    serde_json::Value::Number(number) => Some(number.to_string()),
                    serde_json::Value::Bool(truth) => Some(truth.to_string()),
                    _ => None,
                }
            })
        }),
    ]
}

/// `$.a['b'][0]` as the pointer `/a/b/0`; `None` for anything beyond names and places.
fn json_pointer(path: &str) -> Option<String> {
    let path = path.trim();
    let mut rest =
        path.strip_prefix("lax ").or_else(|| path.strip_prefix("strict ")).unwrap_or(path).trim().strip_prefix('$')?;
    let mut pointer = String::new();
    while !rest.is_empty() {
        let (name, tail) = if let Some(inner) = rest.strip_prefix('[') {
            let (inner, tail) = inner.split_once(']')?;
            (inner.trim().trim_matches(['\'', '"']), tail)
        } else {
            let inner = rest.strip_prefix('.')?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            (&inner[..end], &inner[end..])
        };
        if name.is_empty() || name == "*" {
            return None;
        }
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        rest = tail;
    }
    Some(pointer)
}
