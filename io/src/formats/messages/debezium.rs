//! `debezium-json`: changes of a database table, as Debezium's connectors say them in JSON.
//!
//! New rows (`c`, and `r` of a snapshot) are rows. Changed and removed ones are refused one by one, since a stream of rows
//! cannot take a row back. The row is the object in `after`, which the JSON format reads as it reads any message; around it
//! may be an envelope with a schema (`schemas.enable`), which is not looked at.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryBuilder, RecordBatch};
use pelton_engine::connector::{BadRecord, Decoded, DecodedBatch};
use pelton_engine::error::Result;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::grown::Wrong;
use super::rows::TOMBSTONE;
use super::{MessageDecoder, MessageEncoder};

/// Makes rows of changes; `rows` reads the object in `after`.
pub fn decoder(rows: Arc<dyn MessageDecoder>) -> Arc<dyn MessageDecoder> {
    Arc::new(Changes { rows })
}

/// Makes a change of each row, a new row; `rows` writes the object in `after`.
pub fn encoder(rows: Box<dyn MessageEncoder>) -> Box<dyn MessageEncoder> {
    Box::new(Creations { rows })
}

/// What is looked at of a message; the rest may be anything.
#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    /// The change, where there is an envelope around it.
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// The row that a message brings.
fn row_of(message: &[u8]) -> Result<&[u8], Wrong> {
    let text = std::str::from_utf8(message).map_err(|_| "no JSON: not UTF-8")?;
    let mut change = parsed(text)?;
    if let (None, Some(payload)) = (&change.op, change.payload) {
        change = parsed(payload.get())?;
    }
    match change.op.as_deref() {
        Some("c" | "r") => {}
        Some("u") => return Err("op 'u' changes a row: only new rows (c, r) can be read".into()),
        Some("d") => return Err("op 'd' removes a row: only new rows (c, r) can be read".into()),
        Some("t") => return Err("op 't' empties the table: only new rows (c, r) can be read".into()),
        Some(other) => return Err(format!("op '{other}' is none of c, r, u, d")),
        None => return Err("no change of Debezium: it has no 'op'".into()),
    }
    // serde_json takes null for nothing.
    let after = change.after.map(RawValue::get).ok_or("the change has no row in 'after'")?;
    match after.starts_with('{') {
        true => Ok(after.as_bytes()),
        false => Err(format!("'after' is no object: {}", after.chars().take(80).collect::<String>())),
    }
}

fn parsed(text: &str) -> Result<Change<'_>, Wrong> {
    match text.trim_ascii_start().starts_with('{') {
        true => serde_json::from_str(text).map_err(|e| format!("no JSON: {e}")),
        false => Err("no change of Debezium: no JSON object".into()),
    }
}

struct Changes {
    rows: Arc<dyn MessageDecoder>,
}

impl MessageDecoder for Changes {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let (mut rows, mut at, mut refused) = (BinaryBuilder::new(), vec![], vec![]);
        for (record, value) in values.iter().enumerate() {
            match value.ok_or_else(|| TOMBSTONE.to_string()).and_then(row_of) {
                Ok(row) => {
                    rows.append_value(row);
                    at.push(record as u32);
                }
                Err(reason) => refused.push(bad(values, record as u32, reason)),
            }
        }
        let mut decoded = self.rows.decode(&rows.finish());
        for found in &mut decoded.bad {
            *found = bad(values, at[found.record as usize], std::mem::take(&mut found.reason));
        }
        let mut next = 0;
        for DecodedBatch { batch, records } in &mut decoded.batches {
            let of = records.take().unwrap_or_else(|| (next..next + batch.num_rows() as u32).collect());
            next = of.last().map_or(next, |last| last + 1);
            *records = Some(of.into_iter().map(|row| at[row as usize]).collect());
        }
        decoded.bad.extend(refused);
        decoded.bad.sort_by_key(|bad| bad.record);
        decoded.records = values.len() as u64;
        decoded
    }
}

/// A message that is bad, whole.
fn bad(values: &BinaryArray, record: u32, reason: String) -> BadRecord {
    let at = record as usize;
    let bytes = if values.is_null(at) { vec![] } else { values.value(at).to_vec() };
    BadRecord { record, reason, bytes }
}

struct Creations {
    rows: Box<dyn MessageEncoder>,
}

impl MessageEncoder for Creations {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let (rows, mut out) = (self.rows.encode(rows)?, BinaryBuilder::new());
        for row in rows.iter() {
            let row = row.unwrap_or(b"null");
            out.append_value([br#"{"before":null,"after":"#, row, br#","op":"c"}"#].concat());
        }
        Ok(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringArray};

    /// Reads an object with `"bad"` as a bad one, and any other as its text.
    struct Texts;

    impl MessageDecoder for Texts {
        fn decode(&self, values: &BinaryArray) -> Decoded {
            let is_bad = |v: &[u8]| v.windows(3).any(|w| w == b"bad");
            let mut decoded = Decoded { records: values.len() as u64, ..Default::default() };
            let (mut texts, mut records) = (vec![], vec![]);
            for (at, value) in values.iter().flatten().enumerate() {
                match is_bad(value) {
                    true => decoded.bad.push(bad(values, at as u32, "the row is bad".into())),
                    false => {
                        texts.push(String::from_utf8(value.to_vec()).unwrap());
                        records.push(at as u32);
                    }
                }
            }
            let batch = RecordBatch::try_from_iter([("row", Arc::new(StringArray::from(texts)) as _)]).unwrap();
            let all = decoded.bad.is_empty();
            decoded.batches.push(DecodedBatch { batch, records: (!all).then_some(records) });
            decoded
        }
    }

    fn check(messages: &[Option<&str>], want: &[&str]) {
        let values = BinaryArray::from_iter(messages.iter().map(|m| m.map(str::as_bytes)));
        let decoded = decoder(Arc::new(Texts)).decode(&values);
        assert_eq!(decoded.records, messages.len() as u64);
        let mut got = vec![];
        for batch in &decoded.batches {
            let texts = batch.batch.column(0).as_string::<i32>();
            let records = batch.records.as_ref().unwrap();
            got.extend(records.iter().zip(texts.iter().flatten()).map(|(at, row)| (*at, format!("{at}: {row}"))));
        }
        for bad in &decoded.bad {
            assert_eq!(bad.bytes, messages[bad.record as usize].unwrap_or("").as_bytes(), "the whole message");
            got.push((bad.record, format!("{}! {}", bad.record, bad.reason)));
        }
        got.sort();
        assert_eq!(got.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), want);
    }

    #[test]
    fn new_rows_are_rows_with_and_without_an_envelope() {
        check(
            &[
                Some(r#"{"before":null,"after":{"id":1, "x": 1.10},"op":"c","source":{"db":"shop"},"ts_ms":1}"#),
                Some(r#"{"schema":{"type":"struct","op":"x"},"payload":{"op":"r","after":{"id":2},"before":null}}"#),
                Some("{ \"op\" : \"\\u0063\" ,\n \"after\" : {\"id\":3} }"),
            ],
            &[r#"0: {"id":1, "x": 1.10}"#, r#"1: {"id":2}"#, r#"2: {"id":3}"#],
        );
    }

    #[test]
    fn what_is_no_new_row_is_refused_beside_its_neighbours() {
        check(
            &[
                Some(r#"{"op":"u","before":{"id":1},"after":{"id":1}}"#),
                Some(r#"{"op":"c","after":{"id":1}}"#),
                Some(r#"{"op":"d","before":{"id":1},"after":null}"#),
                None,
                Some(r#"{"schema":null,"payload":null}"#),
                Some(r#"{"op":"c","after":{"bad":1}}"#),
                Some(r#"{"op":"c","after":null}"#),
                Some(r#"{"op":"r","after":[1]}"#),
                Some(r#"{"op":"m","after":{}}"#),
                Some(r#"{"id":1}"#),
                Some(r#"{"op":"c","after":{"id":1}"#),
                Some("[]"),
                Some(r#"{"op":"r","after":{"id":2}}"#),
            ],
            &[
                "0! op 'u' changes a row: only new rows (c, r) can be read",
                r#"1: {"id":1}"#,
                "2! op 'd' removes a row: only new rows (c, r) can be read",
                "3! a tombstone: the message has no value",
                "4! no change of Debezium: it has no 'op'",
                "5! the row is bad",
                "6! the change has no row in 'after'",
                "7! 'after' is no object: [1]",
                "8! op 'm' is none of c, r, u, d",
                "9! no change of Debezium: it has no 'op'",
                "10! no JSON: EOF while parsing an object at line 1 column 26",
                "11! no change of Debezium: no JSON object",
                r#"12: {"id":2}"#,
            ],
        );
    }

    #[test]
    fn rows_are_written_as_new_ones() {
        struct Plain;
        impl MessageEncoder for Plain {
            fn encode(&mut self, _: &RecordBatch) -> Result<BinaryArray> {
                Ok(BinaryArray::from_iter_values([br#"{"id":1}"#.as_ref()]))
            }
        }
        let rows = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        let written = encoder(Box::new(Plain)).encode(&rows).unwrap();
        assert_eq!(row_of(written.value(0)).unwrap(), br#"{"id":1}"#);
    }
}
