//! A document as JSON and UBJSON have it, with numbers in rows kept as such, and a path for messages.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{ModelError, Result};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in a row.
    List(Vec<Document>),
    /// Numbers in a row, as UBJSON has them.
    Ints(Vec<i64>),
    /// Likewise.
    Floats(Vec<f32>),
    /// Values by name, in the order of the file.
    Map(Vec<(String, Document)>),
}

/// A place in a document.
#[derive(Clone)]
pub struct At<'d> {
    document: &'d Document,
    path: String,
}

impl Document {
    /// Reads JSON.
    pub fn of_json(bytes: &[u8]) -> Result<Document> {
        serde_json::from_slice(bytes).map_err(|e| ModelError::new(format!("no JSON: {e}")))
    }

    /// Its beginning.
    pub fn at(&self) -> At<'_> {
        At { document: self, path: String::new() }
    }
}

impl<'d> At<'d> {
    /// An error here.
    pub fn error(&self, what: impl fmt::Display) -> ModelError {
        match self.path.is_empty() {
            true => ModelError::new(what.to_string()),
            false => ModelError::new(format!("{}: {what}", self.path)),
        }
    }

    /// The value of a name, if it is there.
    pub fn find(&self, name: &str) -> Option<At<'d>> {
        let Document::Map(entries) = self.document else { return None };
        let (_, document) = entries.iter().find(|(key, _)| key == name)?;
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        Some(At { document, path })
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Result<At<'d>> {
        self.find(name).ok_or_else(|| self.error(format!("'{name}' is missing")))
    }

    /// The values of a list.
    pub fn list(&self) -> Result<Vec<At<'d>>> {
        match self.document {
            Document::List(values) => {
                let at = |(index, document)| At { document, path: format!("{}[{index}]", self.path) };
                Ok(values.iter().enumerate().map(at).collect())
            }
            Document::Ints(values) if values.is_empty() => Ok(vec![]),
            Document::Floats(values) if values.is_empty() => Ok(vec![]),
            _ => Err(self.error("no list")),
        }
    }

    /// Text.
    pub fn text(&self) -> Result<&'d str> {
        match self.document {
            Document::Text(text) => Ok(text),
            _ => Err(self.error("no text")),
        }
    }

    /// A number, also as text (XGBoost writes parameters so).
    pub fn int(&self) -> Result<i64> {
        match self.document {
            Document::Int(value) => Ok(*value),
            Document::Bool(value) => Ok(i64::from(*value)),
            Document::Text(text) => text.trim().parse().map_err(|_| self.error(format!("'{text}' is no whole number"))),
            _ => Err(self.error("no whole number")),
        }
    }

    /// Whole numbers.
    pub fn ints(&self) -> Result<Vec<i64>> {
        match self.document {
            Document::Ints(values) => Ok(values.clone()),
            _ => self.list()?.iter().map(At::int).collect(),
        }
    }

    /// A number as XGBoost keeps it.
    pub fn float(&self) -> Result<f32> {
        match self.document {
            Document::Int(value) => Ok(*value as f32),
            Document::Float(value) => Ok(*value as f32),
            Document::Text(text) => text.trim().parse().map_err(|_| self.error(format!("'{text}' is no number"))),
            _ => Err(self.error("no number")),
        }
    }

    /// Numbers as XGBoost keeps them.
    pub fn floats(&self) -> Result<Vec<f32>> {
        match self.document {
            Document::Floats(values) => Ok(values.clone()),
            Document::Ints(values) => Ok(values.iter().map(|value| *value as f32).collect()),
            _ => self.list()?.iter().map(At::float).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Document, E> {
        Ok(Document::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Document, E> {
        Ok(Document::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Document, E> {
        Ok(i64::try_from(value).map_or(Document::Float(value as f64), Document::Int))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Document, E> {
        Ok(Document::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Document, E> {
        Ok(Document::Text(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> std::result::Result<Document, A::Error> {
        let mut list = vec![];
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Document::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Document, A::Error> {
        let mut map = vec![];
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Document::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told() {
        let document = Document::of_json(br#"{"a": {"b": [1, {"c": "x"}]}, "n": "17", "f": [1, 2.5, "3e2"]}"#).unwrap();
        let at = document.at();
        let list = at.get("a").unwrap().get("b").unwrap().list().unwrap();
        assert_eq!(list[0].int(), Ok(1));
        assert_eq!(list[1].get("c").unwrap().int().unwrap_err().to_string(), "a.b[1].c: 'x' is no whole number");
        assert_eq!(list[1].get("d").err().unwrap().to_string(), "a.b[1]: 'd' is missing");
        assert_eq!(at.get("z").err().unwrap().to_string(), "'z' is missing");
        assert_eq!(at.get("n").unwrap().int(), Ok(17));
        assert_eq!(at.get("f").unwrap().floats(), Ok(vec![1.0, 2.5, 300.0]));
        assert!(Document::of_json(b"{\"a\": [").unwrap_err().to_string().contains("no JSON"));
        assert!(Document::of_json(&[b'['; 10_000]).is_err(), "deep nesting is refused, not followed");
    }
}
