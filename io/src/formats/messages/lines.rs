//! Values as lines of text, for the decoders of text files: so many lines, so many records.

use arrow::array::BinaryArray;
use pelton_engine::connector::{BadRecord, Decoded, DecodedBatch};
use pelton_engine::error::Error;

use super::super::text::Records;
use super::bad;

/// What files are called whose lines are messages; it stays inside.
pub const NO_FILE: &str = "message";

/// Values that are lines, and those that are not.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Which values the lines are.
    at: Vec<u32>,
    bad: Vec<BadRecord>,
}

impl Lines {
    /// Takes a value that is one record of text; `value` may not be blank.
    pub fn push(&mut self, at: usize, value: &[u8]) {
        self.text.extend_from_slice(value);
        self.text.push(b'\n');
        self.at.push(at as u32);
    }

    /// The same, with its line breaks as blanks.
    pub fn push_in_one_line(&mut self, at: usize, value: &[u8]) {
        let start = self.text.len();
        self.push(at, value);
        let end = self.text.len() - 1;
        if memchr::memchr(b'\n', value).is_some() {
            self.text[start..end].iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b' ');
        }
    }

    /// Notes a value that is no record.
    pub fn refuse(&mut self, values: &BinaryArray, at: usize, reason: impl Into<String>) {
        self.bad.push(bad(values, at, reason));
    }

    /// Decodes the lines.
    pub fn decode(mut self, values: &BinaryArray, records: &dyn Records) -> Decoded {
        let mut decoded = records.decode(&self.text, 1);
        if decoded.records != self.at.len() as u64 && decoded.broken.is_none() {
            let (lines, records) = (self.at.len(), decoded.records);
            decoded.broken = Some(Error::world(format!("{lines} messages were read as {records} records")));
        }
        let at = |line: u32| self.at[line as usize];
        for found in &decoded.bad {
            self.bad.push(bad(values, at(found.record) as usize, without_line(&found.reason)));
        }
        if self.at.len() < values_len(values) {
            let mut next = 0;
            for DecodedBatch { batch, records } in &mut decoded.batches {
                let rows = batch.num_rows() as u32;
                let lines = records.take().unwrap_or_else(|| (next..next + rows).collect());
                next = lines.last().map_or(next, |last| last + 1);
                *records = Some(lines.into_iter().map(at).collect());
            }
        }
        self.bad.sort_by_key(|b| b.record);
        Decoded { records: values_len(values) as u64, bad: self.bad, ..decoded }
    }
}

fn values_len(values: &BinaryArray) -> usize {
    arrow::array::Array::len(values)
}

/// A reason without the line that decoders of files name: a message has an offset instead.
pub fn without_line(reason: &str) -> &str {
    match reason.rfind(" (line ") {
        Some(at) if reason.ends_with(&format!(" of '{NO_FILE}')")) => &reason[..at],
        _ => reason,
    }
}
