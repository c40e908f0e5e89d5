//! Dice that make texts which both ways of reading records are held against, the quick and the slow one.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use pelton_engine::connector::{BadRecord, Decoded, dictionary_type};

use super::InputFile;
use super::compression::Compression;

/// Dice that make the same text of the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    pub fn digits(&mut self, most: usize) -> String {
        (0..=self.below(most)).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    pub fn number(&mut self) -> String {
        let odd = [
            "-",
            "1.",
            ".5",
            "1e400",
            "-0",
            "-0.0",
            "1e5",
            "2E-3",
            "1-2",
            "--1",
            "+1",
            "00",
            "9007199254740993",
            "5.0",
        ];
        let sign = if self.below(4) == 0 { "-" } else { "" };
        match self.below(8) {
            0 => self.one(&odd).into(),
            1 => format!("{sign}{}", self.digits(22)),
            2 => format!("{sign}{}.{}", self.digits(20), self.digits(20)),
            3 => format!("{sign}{}.{}e{}", self.digits(3), self.digits(18), self.below(400) as i32 - 200),
            4 | 5 => format!("{sign}{}.{}", self.digits(4), self.digits(2)),
            _ => format!("{sign}{}", self.digits(5)),
        }
    }

    /// A time as text, good or not.
    pub fn time(&mut self) -> String {
        let times = [
            "2024-02-29",
            "2023-02-29",
            "0000-01-01",
            "9999-12-31",
            "2024-01-02T03:04:05",
            "2024-01-02 03:04:05.678Z",
            "2024-01-02T03:04:05.123456789",
            "2024-01-02T03:04:05.1234567891",
            "2024-01-02T23:59:60Z",
            "2024-01-02T24:00:00",
            "1969-12-31T23:59:59.999Z",
            "2024-01-02T03:04:05+02:00",
            "2024-01-02t03:04:05z",
            "2024-1-2",
            "1500-06-07T08:09:10",
            "2024-01-02T03:04",
            "03:04:05",
            "2024-13-01",
            "2024-00-10",
            "2024-04-31",
        ];
        self.one(&times).into()
    }

    /// A string that no format has to escape.
    pub fn word(&mut self) -> String {
        let words = [
            "",
            "a",
            "US",
            "DE",
            "café ☕",
            "a rather long string, longer than any vector of the machine is, by far",
            "00ff",
            "true",
        ];
        self.one(&words).into()
    }

    /// A type that scalars are declared as.
    pub fn scalar_type(&mut self) -> DataType {
        let timestamp = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
        let types = [
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float32,
            DataType::Float64,
            DataType::Float64,
            DataType::Boolean,
            DataType::Utf8,
            DataType::Utf8View,
            DataType::Binary,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            dictionary_type(),
            timestamp(TimeUnit::Second, None),
            timestamp(TimeUnit::Millisecond, Some("UTC")),
            timestamp(TimeUnit::Microsecond, Some("+02:00")),
            timestamp(TimeUnit::Nanosecond, None),
            DataType::Decimal128(5, 0),
            DataType::Decimal128(9, 2),
            DataType::Decimal128(38, 10),
            DataType::Decimal256(50, 3),
        ];
        self.one(&types)
    }
}

/// A file that is not there: its text comes from elsewhere.
pub fn no_file(path: &str) -> Arc<InputFile> {
    Arc::new(InputFile { path: path.into(), size_bytes: 0, modified: None, compression: Compression::None })
}

/// Everything that was decoded, in one batch: dictionaries as their values, with the record of each row.
pub fn all(decoded: &Decoded) -> (Option<RecordBatch>, Vec<u32>, Vec<BadRecord>, u64) {
    let (mut rows, mut batches, mut next) = (vec![], vec![], 0);
    for part in &decoded.batches {
        let records = part.records.clone().unwrap_or_else(|| (next..next + part.batch.num_rows() as u32).collect());
        next = records.last().unwrap() + 1;
        rows.extend(records);
        let values_of = |c: &ArrayRef| match c.data_type() {
            DataType::Dictionary(_, values) => cast(c, values).unwrap(),
            _ => c.clone(),
        };
        let plain: Vec<ArrayRef> = part.batch.columns().iter().map(values_of).collect();
        let fields: Vec<Field> = plain.iter().map(|c| Field::new("", c.data_type().clone(), true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(part.batch.num_rows()));
        let schema = Arc::new(Schema::new(fields));
        batches.push(RecordBatch::try_new_with_options(schema, plain, &options).unwrap());
    }
    let batch = batches.first().filter(|b| b.num_columns() > 0);
    let batch = batch.map(|first| concat_batches(&first.schema(), &batches).unwrap());
    (batch, rows, decoded.bad.clone(), decoded.records)
}
