//! The digest of a result: one number that is equal when the rows are equal, in whatever order and batches they came.
//!
//! It is the sum modulo 2¹²⁸ of XXH3-128 (seed 0) over the [canonical bytes](crate::canonical) of each row, and the number
//! of rows. `tests/digest.py` computes it from the files a sink wrote.

use crate::canonical::RowEncoder;
use arrow::array::RecordBatch;
use std::fmt;
use std::str::FromStr;
use xxhash_rust::xxh3::xxh3_128;

/// Rows encoded at a time: the widened columns of a slice stay in the second-level cache.
const SLICE_ROWS: usize = 2048;

/// An order-free digest of rows. `Display` and `FromStr` use 32 hex digits of the sum, a colon, and the rows in decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest {
    sum: u128,
    rows: u64,
}

impl Digest {
    /// Adds all rows of `batch`.
    pub fn update(&mut self, batch: &RecordBatch) {
        let mut bytes = Vec::with_capacity(256);
        for first in (0..batch.num_rows()).step_by(SLICE_ROWS) {
            let slice = batch.slice(first, SLICE_ROWS.min(batch.num_rows() - first));
            let encoder = RowEncoder::new(&slice);
            for row in 0..slice.num_rows() {
                bytes.clear();
                encoder.append(row, &mut bytes);
                self.sum = self.sum.wrapping_add(xxh3_128(&bytes));
            }
        }
        self.rows += batch.num_rows() as u64;
    }

    /// Adds all rows that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.rows += other.rows;
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}:{}", self.sum, self.rows)
    }
}

/// The text is not a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: want 32 hex digits, ':' and the number of rows")]
pub struct DigestParseError {
    text: String,
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (sum, rows) = text.split_once(':')?;
            let plain = sum.len() == 32
                && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
                && rows.bytes().all(|byte| byte.is_ascii_digit());
            plain.then_some(Self { sum: u128::from_str_radix(sum, 16).ok()?, rows: rows.parse().ok()? })
        };
        parsed().ok_or_else(|| DigestParseError { text: text.to_owned() })
    }
}

/// XXH3-128 of a text: fingerprints of queries.
pub fn hash_text(text: &str) -> u128 {
    hash_bytes(text.as_bytes())
}

/// XXH3-128 of bytes: fingerprints of files.
pub fn hash_bytes(bytes: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical;
    use arrow::array::*;
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::compute::{cast, concat_batches, take_record_batch};
    use arrow::datatypes::*;
    use std::sync::Arc;

    /// The same rows and the same digest stand in `tests/digest.py`; change both together.
    const EVERY_TYPE: &str = "13a55a542fdaced8fbbe31fe5720c1d4:3";

    /// One column per type, three rows: a value, NULL, another value.
    fn every_type() -> RecordBatch {
        let three = |a: i64, b: i64| Int64Array::from(vec![Some(a), None, Some(b)]);
        let int = |a: i64, b: i64, to: DataType| cast(&three(a, b), &to).unwrap();
        let short = |a: i64, b: i64, to: DataType| cast(&int(a, b, DataType::Int32), &to).unwrap();
        let float =
            |a: f64, b: f64, to: DataType| cast(&Float64Array::from(vec![Some(a), None, Some(b)]), &to).unwrap();
        let text = |to: DataType| cast(&StringArray::from(vec![Some("é"), None, Some("")]), &to).unwrap();
        let nulls = || Some(NullBuffer::from(vec![true, false, true]));
        let item = || Arc::new(Field::new_list_field(DataType::Int32, true));
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some("unseen"), None]));
        let entries = StructArray::from(vec![
            (
                Arc::new(Field::new("key", DataType::Utf8, false)),
                Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef,
            ),
            (Arc::new(Field::new("value", DataType::Int64, true)), Arc::new(Int64Array::from(vec![Some(7), None]))),
        ]);
        let map_field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        let columns: Vec<ArrayRef> = vec![
            new_null_array(&DataType::Null, 3),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            int(1, -128, DataType::Int8),
            int(2, -2, DataType::Int16),
            int(3, -3, DataType::Int32),
            int(i64::MAX, i64::MIN, DataType::Int64),
            int(1, 255, DataType::UInt8),
            int(2, 65_535, DataType::UInt16),
            int(3, 4_000_000_000, DataType::UInt32),
            Arc::new(UInt64Array::from(vec![Some(4), None, Some(u64::MAX)])),
            float(1.5, -f64::NAN, DataType::Float16),
            float(0.1, -0.0, DataType::Float32),
            float(0.1, -f64::NAN, DataType::Float64),
            float(-0.0, f64::NEG_INFINITY, DataType::Float64),
            Arc::new(Decimal32Array::from(vec![Some(1234), None, Some(-5)]).with_precision_and_scale(7, 2).unwrap()),
            Arc::new(Decimal64Array::from(vec![Some(1234), None, Some(-5)]).with_precision_and_scale(15, 3).unwrap()),
            Arc::new(
                Decimal128Array::from(vec![Some(10_i128.pow(29)), None, Some(-1)])
                    .with_precision_and_scale(30, 4)
                    .unwrap(),
            ),
            Arc::new(
                Decimal256Array::from(vec![Some(i256::from_i128(10_i128.pow(30))), None, Some(i256::MINUS_ONE)])
                    .with_precision_and_scale(60, 1)
                    .unwrap(),
            ),
            text(DataType::Utf8),
            text(DataType::LargeUtf8),
            text(DataType::Utf8View),
            text(DataType::Binary),
            text(DataType::LargeBinary),
            text(DataType::BinaryView),
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some(b"abc"), None, Some(b"\0\0\xff")].into_iter(),
                    3,
                )
                .unwrap(),
            ),
            short(20_000, -1, DataType::Date32),
            int(1_728_000_000_000, -86_400_000, DataType::Date64),
            short(3661, 0, DataType::Time32(TimeUnit::Second)),
            short(3_661_001, 0, DataType::Time32(TimeUnit::Millisecond)),
            int(3_661_000_001, 0, DataType::Time64(TimeUnit::Microsecond)),
            int(3_661_000_001_999, 0, DataType::Time64(TimeUnit::Nanosecond)),
            int(1_700_000_000, -1, DataType::Timestamp(TimeUnit::Second, None)),
            int(1_700_000_000_001, -1, DataType::Timestamp(TimeUnit::Millisecond, None)),
            int(1_700_000_000_000_001, -1, DataType::Timestamp(TimeUnit::Microsecond, None)),
            int(1_700_000_000_000_000_001, -1, DataType::Timestamp(TimeUnit::Nanosecond, None)),
            int(1_700_000_000_000_001, -1, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            int(5, -5, DataType::Duration(TimeUnit::Second)),
            int(1999, -1, DataType::Duration(TimeUnit::Nanosecond)),
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(1, -2, 3)),
                None,
                Some(IntervalMonthDayNano::new(0, 0, i64::MAX)),
            ])),
            Arc::new(ListArray::new(item(), OffsetBuffer::new(vec![0, 2, 2, 3].into()), ints.clone(), nulls())),
            Arc::new(LargeListArray::new(
                Arc::new(Field::new_list_field(DataType::Float64, true)),
                OffsetBuffer::new(vec![0, 0, 0, 3].into()),
                floats.clone(),
                nulls(),
            )),
            Arc::new(FixedSizeListArray::new(item(), 1, ints.clone(), nulls())),
            Arc::new(StructArray::new(
                vec![Field::new("n", DataType::Utf8, true), Field::new("f", DataType::Float64, true)].into(),
                vec![names.clone(), floats],
                nulls(),
            )),
            Arc::new(MapArray::new(map_field, OffsetBuffer::new(vec![0, 2, 2, 2].into()), entries, nulls(), false)),
            Arc::new(DictionaryArray::new(Int32Array::from(vec![Some(0), None, Some(2)]), names)),
            Arc::new(DictionaryArray::new(Int8Array::from(vec![Some(2), None, Some(1)]), ints)),
        ];
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().enumerate().map(|(i, c)| (format!("c{i}"), c, true)),
        )
        .unwrap()
    }

    fn digest(batch: &RecordBatch) -> Digest {
        let mut digest = Digest::default();
        digest.update(batch);
        digest
    }

    #[test]
    fn every_type_has_the_digest_of_the_script() {
        assert_eq!(digest(&every_type()).to_string(), EVERY_TYPE);
    }

    #[test]
    fn order_and_cut_do_not_matter() {
        let batch = every_type();
        let many = concat_batches(&batch.schema(), std::iter::repeat_n(&batch, 1500)).unwrap();
        let (mut whole, mut parts) = (digest(&many), Digest::default());
        for (from, to) in [(4000, 4500), (0, 1), (1, 1), (1, 4000)] {
            parts.merge(&digest(&many.slice(from, to - from)));
        }
        assert_eq!(parts, whole);
        let backwards = UInt32Array::from_iter_values((0..4500).rev());
        // Arrow can not take from every type here: numbers, text and lists will do.
        let plain = many.project(&[3, 5, 12, 16, 18, 35]).unwrap();
        assert_eq!(digest(&take_record_batch(&plain, &backwards).unwrap()), digest(&plain));
        whole.update(&many.slice(7, 1));
        assert_ne!(parts, whole);
        assert_eq!(whole.rows(), 4501);
    }

    #[test]
    fn a_row_alone_has_the_bytes_it_has_in_a_batch() {
        let batch = every_type();
        let encoder = canonical::RowEncoder::new(&batch);
        for row in 0..3 {
            let mut bytes = vec![];
            encoder.append(row, &mut bytes);
            assert_eq!(bytes, canonical::row_bytes(&batch, row));
        }
    }

    /// What a sink may change on the way to a file and back leaves the digest as it is.
    #[test]
    fn encodings_and_widths_do_not_matter() {
        let one = |array: ArrayRef| digest(&RecordBatch::try_from_iter_with_nullable([("a", array, true)]).unwrap());
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some("")]));
        let dictionary = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
        for to in [DataType::LargeUtf8, DataType::Utf8View, dictionary] {
            assert_eq!(one(cast(&words, &to).unwrap()), one(words.clone()), "{to}");
        }
        let numbers: ArrayRef = Arc::new(Int8Array::from(vec![Some(-1), None, Some(7)]));
        for to in [DataType::Int16, DataType::Int32, DataType::Int64] {
            assert_eq!(one(cast(&numbers, &to).unwrap()), one(numbers.clone()), "{to}");
        }
        assert_ne!(one(cast(&numbers, &DataType::Float64).unwrap()), one(numbers));
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![-1, 0, 1_700_000_000_000]));
        for unit in [TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            assert_eq!(one(cast(&times, &DataType::Timestamp(unit, None)).unwrap()), one(times.clone()));
        }
        let runs =
            RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1, 3]), &StringArray::from(vec!["x", "y"])).unwrap();
        assert_eq!(one(Arc::new(runs)), one(Arc::new(StringArray::from(vec!["x", "y", "y"]))));
        let all_null =
            DictionaryArray::new(Int32Array::from(vec![None, None]), Arc::new(StringArray::from(Vec::<&str>::new())));
        assert_eq!(one(Arc::new(all_null)), one(Arc::new(StringArray::from(vec![None::<&str>, None]))));
    }

    #[test]
    fn text_form_is_read_back() {
        let some = digest(&every_type());
        assert_eq!(some.to_string().parse(), Ok(some));
        assert_eq!(Digest::default().to_string(), "00000000000000000000000000000000:0");
        for wrong in [
            "",
            ":",
            "00:1",
            "0000000000000000000000000000000g:1",
            "00000000000000000000000000000000:",
            "+0000000000000000000000000000000:1",
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
        let error = "x".parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), "`x` is not a digest: want 32 hex digits, ':' and the number of rows");
    }

    /// Prints rows/s: `cargo test -p pelton-kernels --lib digest::tests::measure -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn measure() {
        let n = 1_000_000;
        let batch = RecordBatch::try_from_iter([
            ("at", Arc::new(TimestampMillisecondArray::from_iter_values(0..n)) as ArrayRef),
            ("id", Arc::new(Int64Array::from_iter_values(0..n))),
            ("name", Arc::new(StringArray::from_iter_values((0..n).map(|i| format!("merchant-{}", i % 1000))))),
            ("sum", Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64 * 0.01)))),
            ("price", Arc::new(Decimal128Array::from_iter_values((0..n).map(i128::from)))),
        ])
        .unwrap();
        for _ in 0..3 {
            let start = std::time::Instant::now();
            let digest = digest(&batch);
            println!("{digest}: {:.1} M rows/s", n as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
    }
}
