//! Canonical forms: the bytes of a row that the digest hashes, and the one NaN.
//!
//! # Bytes of a row
//!
//! The cells of a row follow each other by position; names take no part. A cell is a tag byte (the class of its column's
//! type), a byte that is 1 for a value and 0 for NULL, and for a value the payload. All numbers are little-endian. Types
//! of one class with equal values have equal bytes, so that a sink may widen an integer or unpack a dictionary.
//!
//! | tag | types | payload |
//! |----:|-------|---------|
//! | 0 | null | none, it is always NULL |
//! | 1 | bool | one byte, 0 or 1 |
//! | 2 | int8 … int64 | i64 |
//! | 3 | uint8 … uint64 | u64 |
//! | 4 | float16, float32, float64 | f64; every NaN is 0x7ff8000000000000, -0.0 is 0.0 (they are one key) |
//! | 5 | decimal32, decimal64, decimal128 | unscaled i128, then scale i8 |
//! | 6 | decimal256 | unscaled i256, then scale i8 |
//! | 7 | utf8, large utf8, utf8 view | u32 length in bytes, bytes |
//! | 8 | binary, large binary, binary view, fixed size binary | u32 length in bytes, bytes |
//! | 9 | date32, date64 | i64 µs since 1970-01-01 |
//! | 10 | time32, time64 | i64 µs since midnight |
//! | 11 | timestamp without zone | i64 µs |
//! | 12 | timestamp with zone (its name takes no part) | i64 µs since 1970-01-01T00:00Z |
//! | 13 | duration | i64 µs |
//! | 14 | interval | months i32, days i32, ns i64 |
//! | 15 | list, large list, list views, fixed size list | u32 length, a cell per element |
//! | 16 | struct | a cell per field |
//! | 17 | map | u32 length, a cell for key and for value of each entry, in stored order |
//!
//! Nanoseconds are divided by 1000, rounding down. Dictionaries and run-end encodings count as their values, a union as
//! the child that the row selects.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray, UnionArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::*;
use std::sync::Arc;

/// The one NaN.
const NAN: u64 = 0x7ff8_0000_0000_0000;

/// The canonical bytes of row `row` of `batch`. For tests and messages: [`RowEncoder`] is the fast way.
///
/// # Panics
/// If there is no such row.
pub fn row_bytes(batch: &RecordBatch, row: usize) -> Vec<u8> {
    assert!(row < batch.num_rows(), "row {row} of {}", batch.num_rows());
    let mut bytes = Vec::new();
    RowEncoder::new(&batch.slice(row, 1)).append(0, &mut bytes);
    bytes
}

/// Writes the canonical bytes of the rows of one batch.
///
/// Plain idea: look at every column's type once; then a row is a walk over typed columns. Numbers and times of every width
/// are widened to their eight payload bytes a column at a time, when the encoder is made.
pub struct RowEncoder {
    columns: Vec<Column>,
}

impl RowEncoder {
    /// Prepares the columns of `batch`. Takes eight bytes a row for most columns: cut large batches into slices.
    pub fn new(batch: &RecordBatch) -> Self {
        Self { columns: batch.columns().iter().map(Column::new).collect() }
    }

    /// Appends the bytes of row `row` to `out`.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn append(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.columns {
            column.append(row, out);
        }
    }
}

struct Column {
    tag: u8,
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Bool(BooleanArray),
    /// Eight payload bytes a row.
    Words(ScalarBuffer<u64>),
    Decimal(ScalarBuffer<i128>, i8),
    WideDecimal(ScalarBuffer<arrow::datatypes::i256>, i8),
    Utf8(StringArray),
    LargeUtf8(LargeStringArray),
    Utf8View(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    FixedBinary(FixedSizeBinaryArray),
    Interval(Vec<(i32, i32, i64)>),
    /// Start and length of each row in the children, whose cells take turns.
    List(Vec<(usize, usize)>, Vec<Column>),
    Struct(Vec<Column>),
    Dictionary(Vec<usize>, Box<Column>),
    Union(UnionArray, Vec<(i8, Column)>),
}

impl Column {
    fn new(array: &ArrayRef) -> Self {
        let (tag, values) = match array.data_type() {
            DataType::Null => (0, Values::Null),
            DataType::Boolean => (1, Values::Bool(array.as_boolean().clone())),
            DataType::Int8 => (2, words::<Int8Type>(array, |v| i64::from(v) as u64)),
            DataType::Int16 => (2, words::<Int16Type>(array, |v| i64::from(v) as u64)),
            DataType::Int32 => (2, words::<Int32Type>(array, |v| i64::from(v) as u64)),
            DataType::Int64 => (2, Values::Words(same_words(array.as_primitive::<Int64Type>().values().inner()))),
            DataType::UInt8 => (3, words::<UInt8Type>(array, u64::from)),
            DataType::UInt16 => (3, words::<UInt16Type>(array, u64::from)),
            DataType::UInt32 => (3, words::<UInt32Type>(array, u64::from)),
            DataType::UInt64 => (3, Values::Words(array.as_primitive::<UInt64Type>().values().clone())),
            DataType::Float16 => (4, words::<Float16Type>(array, |v| float(f64::from(v)))),
            DataType::Float32 => (4, words::<Float32Type>(array, |v| float(f64::from(v)))),
            DataType::Float64 => (4, words::<Float64Type>(array, float)),
            DataType::Decimal32(_, scale) => (5, decimal::<Decimal32Type>(array, *scale)),
            DataType::Decimal64(_, scale) => (5, decimal::<Decimal64Type>(array, *scale)),
            DataType::Decimal128(_, scale) => {
                (5, Values::Decimal(array.as_primitive::<Decimal128Type>().values().clone(), *scale))
            }
            DataType::Decimal256(_, scale) => {
                (6, Values::WideDecimal(array.as_primitive::<Decimal256Type>().values().clone(), *scale))
            }
            DataType::Utf8 => (7, Values::Utf8(array.as_string().clone())),
            DataType::LargeUtf8 => (7, Values::LargeUtf8(array.as_string().clone())),
            DataType::Utf8View => (7, Values::Utf8View(array.as_string_view().clone())),
            DataType::Binary => (8, Values::Binary(array.as_binary().clone())),
            DataType::LargeBinary => (8, Values::LargeBinary(array.as_binary().clone())),
            DataType::BinaryView => (8, Values::BinaryView(array.as_binary_view().clone())),
            DataType::FixedSizeBinary(_) => (8, Values::FixedBinary(array.as_fixed_size_binary().clone())),
            DataType::Date32 => (9, words::<Date32Type>(array, |days| (i64::from(days) * 86_400_000_000) as u64)),
            DataType::Date64 => (9, words::<Date64Type>(array, |ms| ms.wrapping_mul(1000) as u64)),
            DataType::Time32(TimeUnit::Second) => (10, micros::<Time32SecondType>(array)),
            DataType::Time32(_) => (10, micros::<Time32MillisecondType>(array)),
            DataType::Time64(TimeUnit::Nanosecond) => (10, micros::<Time64NanosecondType>(array)),
            DataType::Time64(_) => (10, micros::<Time64MicrosecondType>(array)),
            DataType::Timestamp(unit, zone) => {
                let values = match unit {
                    TimeUnit::Second => micros::<TimestampSecondType>(array),
                    TimeUnit::Millisecond => micros::<TimestampMillisecondType>(array),
                    TimeUnit::Microsecond => micros::<TimestampMicrosecondType>(array),
                    TimeUnit::Nanosecond => micros::<TimestampNanosecondType>(array),
                };
                (if zone.is_none() { 11 } else { 12 }, values)
            }
            DataType::Duration(unit) => {
                let values = match unit {
                    TimeUnit::Second => micros::<DurationSecondType>(array),
                    TimeUnit::Millisecond => micros::<DurationMillisecondType>(array),
                    TimeUnit::Microsecond => micros::<DurationMicrosecondType>(array),
                    TimeUnit::Nanosecond => micros::<DurationNanosecondType>(array),
                };
                (13, values)
            }
            DataType::Interval(unit) => {
                let values = match unit {
                    IntervalUnit::YearMonth => array
                        .as_primitive::<IntervalYearMonthType>()
                        .values()
                        .iter()
                        .map(|&months| (months, 0, 0))
                        .collect(),
                    IntervalUnit::DayTime => {
                        let values = array.as_primitive::<IntervalDayTimeType>().values();
                        values.iter().map(|v| (0, v.days, i64::from(v.milliseconds) * 1_000_000)).collect()
                    }
                    IntervalUnit::MonthDayNano => {
                        let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
                        values.iter().map(|v| (v.months, v.days, v.nanoseconds)).collect()
                    }
                };
                (14, Values::Interval(values))
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (15, lists(list.offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize)), &[list.values()]))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (15, lists(list.offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize)), &[list.values()]))
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                let spans = list
                    .offsets()
                    .iter()
                    .zip(list.sizes().iter())
                    .map(|(&from, &n)| (from as usize, (from + n) as usize));
                (15, lists(spans, &[list.values()]))
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                let spans = list
                    .offsets()
                    .iter()
                    .zip(list.sizes().iter())
                    .map(|(&from, &n)| (from as usize, (from + n) as usize));
                (15, lists(spans, &[list.values()]))
            }
            DataType::FixedSizeList(_, n) => {
                let (list, n) = (array.as_fixed_size_list(), *n as usize);
                (15, lists((0..list.len()).map(|row| (row * n, (row + 1) * n)), &[list.values()]))
            }
            DataType::Struct(_) => (16, Values::Struct(array.as_struct().columns().iter().map(Self::new).collect())),
            DataType::Map(..) => {
                let map = array.as_map();
                let spans = map.offsets().windows(2).map(|w| (w[0] as usize, w[1] as usize));
                (17, lists(spans, &[map.keys(), map.values()]))
            }
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let values = Self::new(dictionary.values());
                // Arrow refuses to read the keys of an empty dictionary; all its rows are NULL.
                let keys =
                    if dictionary.values().is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() };
                (values.tag, Values::Dictionary(keys, Box::new(values)))
            }
            DataType::RunEndEncoded(_, values) => {
                let plain = arrow::compute::cast(array, values.data_type());
                return Self::new(&plain.expect("run-end encoded values unpack to their own type"));
            }
            DataType::Union(fields, _) => {
                let union = array.as_union();
                let children = fields.iter().map(|(id, _)| (id, Self::new(union.child(id)))).collect();
                (0, Values::Union(union.clone(), children))
            }
        };
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Self { tag, nulls, values }
    }

    #[inline]
    fn append(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&[self.tag, 0]);
            return;
        }
        let tag = self.tag;
        match &self.values {
            Values::Words(words) => {
                let mut cell = [tag, 1, 0, 0, 0, 0, 0, 0, 0, 0];
                cell[2..].copy_from_slice(&words[row].to_le_bytes());
                out.extend_from_slice(&cell);
            }
            Values::Utf8(array) => append_bytes(tag, array.value(row).as_bytes(), out),
            Values::Dictionary(keys, values) => values.append(keys[row], out),
            Values::Decimal(values, scale) => {
                let mut cell = [0; 19];
                (cell[0], cell[1], cell[18]) = (tag, 1, *scale as u8);
                cell[2..18].copy_from_slice(&values[row].to_le_bytes());
                out.extend_from_slice(&cell);
            }
            Values::Bool(array) => out.extend_from_slice(&[tag, 1, u8::from(array.value(row))]),
            Values::LargeUtf8(array) => append_bytes(tag, array.value(row).as_bytes(), out),
            Values::Utf8View(array) => append_bytes(tag, array.value(row).as_bytes(), out),
            Values::Binary(array) => append_bytes(tag, array.value(row), out),
            Values::LargeBinary(array) => append_bytes(tag, array.value(row), out),
            Values::BinaryView(array) => append_bytes(tag, array.value(row), out),
            Values::FixedBinary(array) => append_bytes(tag, array.value(row), out),
            Values::Null => out.extend_from_slice(&[tag, 0]),
            Values::WideDecimal(values, scale) => {
                out.extend_from_slice(&[tag, 1]);
                out.extend_from_slice(&values[row].to_le_bytes());
                out.push(*scale as u8);
            }
            Values::Interval(values) => {
                let (months, days, ns) = values[row];
                out.extend_from_slice(&[tag, 1]);
                out.extend_from_slice(&months.to_le_bytes());
                out.extend_from_slice(&days.to_le_bytes());
                out.extend_from_slice(&ns.to_le_bytes());
            }
            Values::List(spans, children) => {
                let (from, to) = spans[row];
                out.extend_from_slice(&[tag, 1]);
                out.extend_from_slice(&((to - from) as u32).to_le_bytes());
                for element in from..to {
                    for child in children {
                        child.append(element, out);
                    }
                }
            }
            Values::Struct(fields) => {
                out.extend_from_slice(&[tag, 1]);
                for field in fields {
                    field.append(row, out);
                }
            }
            Values::Union(union, children) => {
                let id = union.type_id(row);
                let (_, child) = children.iter().find(|(child, _)| *child == id).expect("a type id of the union");
                child.append(union.value_offset(row), out);
            }
        }
    }
}

#[inline]
fn append_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    let mut head = [tag, 1, 0, 0, 0, 0];
    // Arrow has no value of 4 GiB in types with 32-bit lengths; in the large types the length is taken modulo 2³².
    head[2..].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.reserve(head.len() + bytes.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(bytes);
}

fn words<T: ArrowPrimitiveType>(array: &dyn Array, word: impl Fn(T::Native) -> u64) -> Values {
    Values::Words(array.as_primitive::<T>().values().iter().map(|&value| word(value)).collect())
}

/// Eight-byte values as they are, without a copy.
fn same_words(values: &Buffer) -> ScalarBuffer<u64> {
    ScalarBuffer::from(values.clone())
}

fn decimal<T: DecimalType>(array: &dyn Array, scale: i8) -> Values
where
    i128: From<T::Native>,
{
    Values::Decimal(array.as_primitive::<T>().values().iter().map(|&value| i128::from(value)).collect(), scale)
}

/// Times of any unit as µs. Seconds and milliseconds beyond ±292 000 years wrap.
fn micros<T: ArrowPrimitiveType>(array: &dyn Array) -> Values
where
    i64: From<T::Native>,
{
    let unit = match T::DATA_TYPE {
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) | DataType::Duration(unit) => {
            unit
        }
        other => unreachable!("{other} is no time"),
    };
    match unit {
        TimeUnit::Second => words::<T>(array, |s| i64::from(s).wrapping_mul(1_000_000) as u64),
        TimeUnit::Millisecond => words::<T>(array, |ms| i64::from(ms).wrapping_mul(1000) as u64),
        TimeUnit::Microsecond => Values::Words(same_words(array.as_primitive::<T>().values().inner())),
        TimeUnit::Nanosecond => words::<T>(array, |ns| i64::from(ns).div_euclid(1000) as u64),
    }
}

/// Lists with elements `from..to` of each row. Only the part of the children that some row uses is prepared.
fn lists(spans: impl Iterator<Item = (usize, usize)>, children: &[&ArrayRef]) -> Values {
    let mut spans: Vec<(usize, usize)> = spans.collect();
    let first = spans.iter().map(|span| span.0).min().unwrap_or(0);
    let last = spans.iter().map(|span| span.1).max().unwrap_or(0).max(first);
    for span in &mut spans {
        *span = (span.0 - first, span.1 - first);
    }
    let children = children.iter().map(|child| Column::new(&child.slice(first, last - first))).collect();
    Values::List(spans, children)
}

#[inline(always)]
fn float(value: f64) -> u64 {
    // Adding 0.0 turns -0.0 into 0.0 and no other value into another.
    if value.is_nan() { NAN } else { (value + 0.0).to_bits() }
}

/// `array` with every NaN, of any sign and payload, turned into the one positive quiet NaN; -0.0 stays.
///
/// Floats of 16, 32 and 64 bits, also inside lists, structs, maps and dictionaries. Returns the same array if there is
/// nothing to change. NULL lanes may change what they hold. Cost: one pass over the floats, nothing for other types.
pub fn canonical_floats(array: &ArrayRef) -> ArrayRef {
    map_floats(array, false)
}

/// As [`canonical_floats`], for keys: -0.0 becomes 0.0 too.
pub(crate) fn canonical_key_floats(array: &ArrayRef) -> ArrayRef {
    map_floats(array, true)
}

fn map_floats(array: &ArrayRef, zero: bool) -> ArrayRef {
    // The usual case, and the only one on the way of every row.
    if let Some(doubles) = array.as_primitive_opt::<Float64Type>()
        && !zero
        && !crate::numbers::has_nan(doubles.values())
    {
        return Arc::clone(array);
    }
    let changed = if may_hold_floats(array.data_type()) { map_data(&array.to_data(), zero) } else { None };
    changed.map_or_else(|| Arc::clone(array), make_array)
}

fn may_hold_floats(data_type: &DataType) -> bool {
    data_type.is_floating() || data_type.is_nested() || matches!(data_type, DataType::Dictionary(..))
}

/// `data` with canonical floats, at any depth, or `None` if there is nothing to change.
fn map_data(data: &ArrayData, zero: bool) -> Option<ArrayData> {
    match data.data_type() {
        DataType::Float64 => map_lanes(data, |bits: u64| {
            let value = f64::from_bits(bits);
            if value.is_nan() {
                NAN
            } else if zero {
                (value + 0.0).to_bits()
            } else {
                bits
            }
        }),
        DataType::Float32 => map_lanes(data, |bits: u32| {
            let value = f32::from_bits(bits);
            if value.is_nan() {
                0x7fc0_0000
            } else if zero {
                (value + 0.0).to_bits()
            } else {
                bits
            }
        }),
        DataType::Float16 => map_lanes(data, |bits: u16| match bits & 0x7fff {
            0x7c01.. => 0x7e00,
            0 if zero => 0,
            _ => bits,
        }),
        _ => {
            let changed: Vec<Option<ArrayData>> = data.child_data().iter().map(|child| map_data(child, zero)).collect();
            if changed.iter().all(Option::is_none) {
                return None;
            }
            let children =
                changed.into_iter().zip(data.child_data()).map(|(new, old)| new.unwrap_or_else(|| old.clone()));
            let data = data.clone().into_builder().child_data(children.collect());
            Some(data.build().expect("only floats changed"))
        }
    }
}

/// `fix` over all lanes. The scan has no exit inside a chunk, so that it is vectorised.
fn map_lanes<T: ArrowNativeType>(data: &ArrayData, fix: impl Fn(T) -> T) -> Option<ArrayData> {
    let lanes = &data.buffer::<T>(0)[..data.len()];
    let differs = |chunk: &[T]| chunk.iter().fold(false, |differs, &lane| differs | (fix(lane) != lane));
    if !lanes.chunks(1024).any(differs) {
        return None;
    }
    let fixed = Buffer::from_vec(lanes.iter().map(|&lane| fix(lane)).collect::<Vec<T>>());
    let data =
        ArrayData::builder(data.data_type().clone()).len(data.len()).add_buffer(fixed).nulls(data.nulls().cloned());
    Some(data.build().expect("lanes of the same type and number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array, ListArray, StructArray};

    #[test]
    fn rows_worked_out_by_hand() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("é"), None]));
        let number: ArrayRef = Arc::new(Int32Array::from(vec![-2, 3]));
        let batch = RecordBatch::try_from_iter_with_nullable([("a", text, true), ("b", number, true)]).unwrap();
        let row = [7, 1, 2, 0, 0, 0, 0xc3, 0xa9, 2, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(row_bytes(&batch, 0), row);
        assert_eq!(row_bytes(&batch, 1), [7, 0, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn nans_become_one_and_clean_arrays_stay() {
        let nan = f64::from_bits(0xfff8_0000_0000_1234);
        let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(nan), None, Some(-0.0)]).slice(1, 3));
        let fixed = canonical_floats(&array);
        let fixed = fixed.as_primitive::<Float64Type>();
        assert_eq!((fixed.value(0).to_bits(), fixed.is_null(1), fixed.value(2).to_bits()), (NAN, true, 1 << 63));
        assert_eq!(canonical_key_floats(&array).as_primitive::<Float64Type>().value(2).to_bits(), 0);

        for clean in [
            Arc::new(Float64Array::from(vec![1.0; 3000])) as ArrayRef,
            Arc::new(Float32Array::from(vec![f32::INFINITY, -0.0])),
            Arc::new(Int32Array::from(vec![1])),
        ] {
            assert!(Arc::ptr_eq(&clean, &canonical_floats(&clean)));
        }
        let small: ArrayRef = Arc::new(Float32Array::from(vec![1.0, -f32::NAN]));
        assert_eq!(canonical_floats(&small).as_primitive::<Float32Type>().value(1).to_bits(), 0x7fc0_0000);
    }

    #[test]
    fn nans_inside_lists_structs_and_dictionaries() {
        let nan = f64::from_bits(0xfff0_0000_0000_0001);
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([
            Some(vec![Some(1.0)]),
            None,
            Some(vec![Some(nan), None]),
        ]));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![nan, 2.0]));
        let dictionary: ArrayRef =
            Arc::new(DictionaryArray::new(Int8Array::from(vec![Some(1), None, Some(0)]), values));
        let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
        let all: ArrayRef =
            Arc::new(StructArray::from(vec![(field("l", &list), list.clone()), (field("d", &dictionary), dictionary)]));
        let fixed = canonical_floats(&all);
        let fixed = fixed.as_struct();
        assert_eq!(fixed.column(0).as_list::<i32>().value(2).as_primitive::<Float64Type>().value(0).to_bits(), NAN);
        let values = fixed.column(1).as_any_dictionary().values();
        assert_eq!(values.as_primitive::<Float64Type>().value(0).to_bits(), NAN);
        assert!(!Arc::ptr_eq(&all, &canonical_floats(&all)) && fixed.column(0).is_null(1));
    }
}
