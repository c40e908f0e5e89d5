//! Guesses the columns of text from its first records: deterministic, columns in order of appearance.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;

/// How many records are looked at.
pub const RECORDS_MAX: usize = 1000;

/// What a column's values have in common so far.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Nothing but NULLs.
    Unknown,
    /// `true` and `false`.
    Bool,
    /// Whole numbers that fit 64 bits.
    Int,
    /// Numbers.
    Float,
    /// Days.
    Date,
    /// Times without a zone.
    Local,
    /// Times with a zone or offset.
    Zoned,
    /// Any text, or mixed.
    Text,
    /// JSON arrays.
    List(Box<Shape>),
    /// JSON objects.
    Object(Vec<(String, Shape)>),
    /// Objects or arrays beside other values: no type holds them all.
    Mixed,
}

impl Shape {
    /// The shape of a text field.
    pub fn of_text(text: &str) -> Self {
        let text = text.trim();
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Shape::Bool;
        }
        let plain = text.strip_prefix('-').unwrap_or(text);
        if !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit()) {
            // A leading zero belongs to a code (a ZIP code, a phone number), which a number would lose.
            return if plain.len() > 1 && plain.starts_with('0') || text.parse::<i64>().is_err() {
                Shape::Text
            } else {
                Shape::Int
            };
        }
        if plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok() {
            return Shape::Float;
        }
        if matches!(text, "NaN" | "nan" | "inf" | "-inf") {
            return Shape::Float;
        }
        Shape::of_time(text).unwrap_or(Shape::Text)
    }

    /// The shape of a text that is a day or a time.
    fn of_time(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let utc: Tz = "+00:00".parse().ok()?;
        string_to_datetime(&utc, text).ok()?;
        let clock = &text[10..];
        Some(match clock {
            "" => Shape::Date,
            _ if clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']) || clock.contains("UTC") => Shape::Zoned,
            _ => Shape::Local,
        })
    }

    /// The shape of a JSON value. Times inside lists and objects stay text.
    pub fn of_json(value: &Value, outermost: bool) -> Self {
        match value {
            Value::Null => Shape::Unknown,
            Value::Bool(_) => Shape::Bool,
            Value::Number(n) if n.is_i64() => Shape::Int,
            // Too large for 64 signed bits: as text it stays exact.
            Value::Number(n) if n.is_u64() => Shape::Text,
            Value::Number(_) => Shape::Float,
            Value::String(text) if outermost => Shape::of_time(text).unwrap_or(Shape::Text),
            Value::String(_) => Shape::Text,
            Value::Array(items) => {
                let mut item = Shape::Unknown;
                items.iter().for_each(|i| item.merge(Shape::of_json(i, false)));
                Shape::List(Box::new(item))
            }
            Value::Object(fields) => {
                Shape::Object(fields.iter().map(|(k, v)| (k.clone(), Shape::of_json(v, false))).collect())
            }
        }
    }

    /// Widens this shape to hold `other` too.
    pub fn merge(&mut self, other: Shape) {
        let me = std::mem::replace(self, Shape::Unknown);
        *self = match (me, other) {
            (a, b) if a == b => a,
            (Shape::Unknown, x) | (x, Shape::Unknown) => x,
            (Shape::Int, Shape::Float) | (Shape::Float, Shape::Int) => Shape::Float,
            (Shape::Date, Shape::Local) | (Shape::Local, Shape::Date) => Shape::Local,
            (Shape::List(mut a), Shape::List(b)) => {
                a.merge(*b);
                Shape::List(a)
            }
            (Shape::Object(mut a), Shape::Object(b)) => {
                merge_fields(&mut a, b);
                Shape::Object(a)
            }
            (Shape::List(_) | Shape::Object(_) | Shape::Mixed, _)
            | (_, Shape::List(_) | Shape::Object(_) | Shape::Mixed) => Shape::Mixed,
            _ => Shape::Text,
        };
    }

    fn is_mixed(&self) -> bool {
        match self {
            Shape::Mixed => true,
            Shape::List(item) => item.is_mixed(),
            Shape::Object(fields) => fields.iter().any(|(_, shape)| shape.is_mixed()),
            _ => false,
        }
    }

    /// The type of such a column.
    pub fn data_type(&self) -> DataType {
        match self {
            Shape::Bool => DataType::Boolean,
            Shape::Int => DataType::Int64,
            Shape::Float => DataType::Float64,
            Shape::Date => DataType::Date32,
            Shape::Local => DataType::Timestamp(TimeUnit::Microsecond, None),
            Shape::Zoned => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Shape::Unknown | Shape::Text | Shape::Mixed => DataType::Utf8,
            Shape::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
            Shape::Object(fields) => {
                DataType::Struct(fields.iter().map(|(k, s)| Field::new(k, s.data_type(), true)).collect())
            }
        }
    }
}

/// Merges named shapes, new names at the end.
pub fn merge_fields(into: &mut Vec<(String, Shape)>, from: Vec<(String, Shape)>) {
    for (name, shape) in from {
        match into.iter_mut().find(|(n, _)| *n == name) {
            Some((_, known)) => known.merge(shape),
            None => into.push((name, shape)),
        }
    }
}

/// The first column whose values no type holds.
pub fn mixed(columns: &[(String, Shape)]) -> Option<&str> {
    columns.iter().find(|(_, shape)| shape.is_mixed()).map(|(name, _)| name.as_str())
}

/// A schema of such columns.
pub fn schema(columns: &[(String, Shape)]) -> Schema {
    Schema::new(columns.iter().map(|(name, shape)| Field::new(name, shape.data_type(), true)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, want) in [
            ("true", Shape::Bool),
            ("12", Shape::Int),
            ("-12", Shape::Int),
            ("0", Shape::Int),
            ("007", Shape::Text),
            ("99999999999999999999", Shape::Text),
            ("1.5", Shape::Float),
            (".5", Shape::Float),
            ("1e9", Shape::Float),
            ("2024-01-02", Shape::Date),
            ("2024-01-02 03:04:05", Shape::Local),
            ("2024-01-02T03:04:05.123456", Shape::Local),
            ("2024-01-02T03:04:05Z", Shape::Zoned),
            ("2024-01-02T03:04:05+01:00", Shape::Zoned),
            ("2024-13-02", Shape::Text),
            ("infinite", Shape::Text),
            ("", Shape::Text),
        ] {
            assert_eq!(Shape::of_text(text), want, "{text}");
        }
    }

    #[test]
    fn merging_widens() {
        let mut shape = Shape::Unknown;
        shape.merge(Shape::Int);
        shape.merge(Shape::Unknown);
        shape.merge(Shape::Float);
        assert_eq!(shape, Shape::Float);
        shape.merge(Shape::Date);
        assert_eq!(shape, Shape::Text);
        shape.merge(Shape::Unknown);
        assert_eq!(mixed(&[("x".into(), shape.clone())]), None);
        shape.merge(Shape::List(Box::new(Shape::Int)));
        assert_eq!(mixed(&[("x".into(), shape)]), Some("x"));
        let inner = Shape::of_json(&serde_json::json!([1, {"a": 2}]), true);
        assert_eq!(mixed(&[("a".into(), Shape::Int), ("y".into(), inner)]), Some("y"));
    }

    #[test]
    fn objects_keep_the_order_of_appearance() {
        let mut fields = vec![];
        for line in [r#"{"z":1,"a":{"y":1}}"#, r#"{"b":[1,2.5],"a":{"x":"2024-01-02"}}"#] {
            let Shape::Object(found) = Shape::of_json(&serde_json::from_str(line).unwrap(), true) else { panic!() };
            merge_fields(&mut fields, found);
        }
        let schema = schema(&fields);
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["z", "a", "b"]);
        assert_eq!(type_of(&schema, "a"), "ROW<y BIGINT, x STRING>");
        assert_eq!(type_of(&schema, "b"), "ARRAY<DOUBLE>");
    }

    fn type_of(schema: &Schema, name: &str) -> String {
        super::super::convert::type_name(schema.field_with_name(name).unwrap().data_type())
    }
}
