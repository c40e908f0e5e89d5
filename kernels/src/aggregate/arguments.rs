//! Argument columns on their way into states: logical types to the few layouts that states are written for, and
//! selections and NULLs squeezed out, so that every state's loop sees plain slices.

use super::AggregateError;
use crate::Rows;
use crate::exact::Cell;
use crate::exact::ExactColumn;
use arrow::array::*;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;

/// Rows squeezed at a time.
const CHUNK: usize = 4096;

/// A dictionary's value type; other types as they are.
pub(super) fn plain_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        other => other,
    }
}

/// The layout in which states see values of a type: a number, a decimal, a `UInt8` of 0 and 1 for booleans, or `Binary`
/// for anything made of bytes. `None` for types that no aggregate but `COUNT` takes.
pub(super) fn layout(data_type: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match plain_type(data_type) {
        kept @ (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float32 | Float64) => kept.clone(),
        kept @ Decimal128(..) => kept.clone(),
        Boolean => UInt8,
        Date32 | Time32(_) => Int32,
        Date64 | Time64(_) | Timestamp(..) | Duration(_) => Int64,
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => Binary,
        _ => return None,
    })
}

/// Whether `SUM` and its relatives take the layout: booleans, dates and times are no numbers.
pub(super) fn is_number(data_type: &DataType) -> bool {
    let plain = plain_type(data_type);
    plain.is_integer() || matches!(plain, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

/// Checks that `array` is of the type that the aggregate was made for, as it is or in a dictionary.
pub(super) fn check(array: &ArrayRef, want: &DataType) -> Result<(), AggregateError> {
    if plain_type(array.data_type()) == plain_type(want) {
        Ok(())
    } else {
        Err(AggregateError::WrongArgument { want: want.clone(), got: array.data_type().clone() })
    }
}

/// `array` as the number layout of `want`. No copy but for dictionaries and booleans.
pub(super) fn numbers(array: &ArrayRef, want: &DataType) -> Result<ArrayRef, AggregateError> {
    check(array, want)?;
    let plain = plain_type(want);
    let array = if array.data_type() == plain { array.clone() } else { cast(array, plain)? };
    let layout =
        layout(plain).ok_or_else(|| AggregateError::WrongArgument { want: want.clone(), got: plain.clone() })?;
    if layout == *plain {
        Ok(array)
    } else if *plain == DataType::Boolean {
        Ok(cast(&array, &layout)?)
    } else {
        Ok(retyped(&array, &layout))
    }
}

/// A number layout back to the logical type `to`.
pub(super) fn logical(array: ArrayRef, to: &DataType) -> Result<ArrayRef, AggregateError> {
    if array.data_type() == to {
        Ok(array)
    } else if *to == DataType::Boolean || !to.is_primitive() {
        Ok(cast(&array, to)?)
    } else {
        Ok(retyped(&array, to))
    }
}

fn retyped(array: &ArrayRef, to: &DataType) -> ArrayRef {
    let data = array.to_data().into_builder().data_type(to.clone()).build();
    make_array(data.expect("primitive types of one width share a layout"))
}

/// Evaluates `$body` with `$t` standing for the arrow type of a number layout.
macro_rules! by_layout {
    ($layout:expr, $t:ident => $body:expr) => {{
        use arrow::datatypes::*;
        match $layout {
            DataType::Int8 => {
                type $t = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $t = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $t = Int32Type;
                $body
            }
            DataType::Int64 => {
                type $t = Int64Type;
                $body
            }
            DataType::UInt8 => {
                type $t = UInt8Type;
                $body
            }
            DataType::UInt16 => {
                type $t = UInt16Type;
                $body
            }
            DataType::UInt32 => {
                type $t = UInt32Type;
                $body
            }
            DataType::UInt64 => {
                type $t = UInt64Type;
                $body
            }
            DataType::Float32 => {
                type $t = Float32Type;
                $body
            }
            DataType::Float64 => {
                type $t = Float64Type;
                $body
            }
            DataType::Decimal128(..) => {
                type $t = Decimal128Type;
                $body
            }
            other => unreachable!("{other} is not a number layout"),
        }
    }};
}
pub(super) use by_layout;

/// A native value in the forms that states keep it in.
pub(super) trait Native: Copy + Default + Send + Sync + PartialEq + 'static {
    /// Integers ordered as the values are: floats by total order.
    type Key: Copy + Ord + Send + Sync + 'static;
    /// The identity of MIN.
    const GREATEST: Self::Key;
    /// The identity of MAX.
    const LEAST: Self::Key;
    /// The value as its ordered key.
    fn key(self) -> Self::Key;
    /// The value of a key.
    fn of_key(key: Self::Key) -> Self;
    /// The canonical 128 bits of the value as a member of a set: −0.0 is 0.0 and there is one NaN.
    fn word(self) -> u128;
    /// The value of a word.
    fn of_word(word: u128) -> Self;
    /// The nearest double.
    fn double(self) -> f64;
    /// The value as bytes, little-endian.
    fn put(self, out: &mut Vec<u8>);
    /// The value that `put` wrote.
    fn take(bytes: &[u8]) -> Option<Self>;
}

macro_rules! native_integer {
    ($($t:ty),*) => {$(
        impl Native for $t {
            type Key = $t;
            const GREATEST: $t = <$t>::MAX;
            const LEAST: $t = <$t>::MIN;
            #[inline(always)]
            fn key(self) -> $t { self }
            #[inline(always)]
            fn of_key(key: $t) -> $t { key }
            #[inline(always)]
            fn word(self) -> u128 { self as i128 as u128 }
            #[inline(always)]
            fn of_word(word: u128) -> $t { word as $t }
            #[inline(always)]
            fn double(self) -> f64 { self as f64 }
            fn put(self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()) }
            fn take(bytes: &[u8]) -> Option<$t> { Some(<$t>::from_le_bytes(bytes.try_into().ok()?)) }
        }
    )*};
}
native_integer!(i8, i16, i32, i64, u8, u16, u32, u64, i128);

macro_rules! native_float {
    ($($t:ty, $bits:ty, $key:ty);*) => {$(
        impl Native for $t {
            type Key = $key;
            const GREATEST: $key = <$key>::MAX;
            const LEAST: $key = <$key>::MIN;
            #[inline(always)]
            fn key(self) -> $key {
                // As `total_cmp`: below zero, larger magnitudes come first.
                let bits = self.to_bits() as $key;
                bits ^ ((bits >> (<$key>::BITS - 1)) as $bits >> 1) as $key
            }
            #[inline(always)]
            fn of_key(key: $key) -> $t {
                <$t>::from_bits((key ^ ((key >> (<$key>::BITS - 1)) as $bits >> 1) as $key) as $bits)
            }
            #[inline(always)]
            fn word(self) -> u128 {
                let canonical = if self == 0.0 { 0.0 } else if self.is_nan() { <$t>::NAN } else { self };
                canonical.to_bits() as u128
            }
            #[inline(always)]
            fn of_word(word: u128) -> $t { <$t>::from_bits(word as $bits) }
            #[inline(always)]
            fn double(self) -> f64 { self as f64 }
            fn put(self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()) }
            fn take(bytes: &[u8]) -> Option<$t> { Some(<$t>::from_le_bytes(bytes.try_into().ok()?)) }
        }
    )*};
}
native_float!(f32, u32, i32; f64, u64, i64);

/// Calls `fold` with the selected values that are not NULL and their ids, in order, in plain slices.
pub(super) fn squeezed<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    rows: Rows<'_>,
    ids: &[u32],
    mut fold: impl FnMut(&[T::Native], &[u32]),
) {
    let values: &[T::Native] = array.values();
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let mut kept = Vec::new();
    match (rows, nulls) {
        (Rows::All(_), None) => fold(values, ids),
        (Rows::List(list), None) => {
            for (list, ids) in list.chunks(CHUNK).zip(ids.chunks(CHUNK)) {
                kept.clear();
                kept.extend(list.iter().map(|&row| values[row as usize]));
                fold(&kept, ids);
            }
        }
        (rows, Some(nulls)) => {
            let mut kept_ids = vec![0; CHUNK];
            kept.resize(CHUNK, T::Native::default());
            for (chunk, ids) in ids.chunks(CHUNK).enumerate() {
                let mut end = 0;
                for (i, &id) in ids.iter().enumerate() {
                    // Written always and kept if valid: no branch to guess wrong.
                    let row = rows.get(chunk * CHUNK + i);
                    (kept[end], kept_ids[end]) = (values[row], id);
                    end += nulls.is_valid(row) as usize;
                }
                fold(&kept[..end], &kept_ids[..end]);
            }
        }
    }
}

/// Calls `each` with the id and array index of every selected row whose index is valid in `nulls`.
#[inline(always)]
pub(super) fn valid_rows(nulls: Option<&NullBuffer>, rows: Rows<'_>, ids: &[u32], mut each: impl FnMut(usize, usize)) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => ids.iter().enumerate().for_each(|(i, &id)| each(id as usize, rows.get(i))),
        Some(nulls) => {
            for (i, &id) in ids.iter().enumerate() {
                let row = rows.get(i);
                if nulls.is_valid(row) {
                    each(id as usize, row);
                }
            }
        }
    }
}

/// Adds the selected rows of a number layout to exact sums.
pub(super) fn feed<C: Cell>(column: &mut ExactColumn<C>, array: &ArrayRef, rows: Rows<'_>, ids: &[u32]) {
    macro_rules! integers {
        ($t:ty) => {
            squeezed(array.as_primitive::<$t>(), rows, ids, |values, ids| column.add_integers(values, ids))
        };
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Decimal128(..) => integers!(Decimal128Type),
        _ => feed_doubles(array, rows, ids, |values, ids| column.add_doubles(values, ids)),
    }
}

/// Calls `fold` with the selected rows of a number layout as doubles: decimals by their value.
pub(super) fn feed_doubles(array: &ArrayRef, rows: Rows<'_>, ids: &[u32], mut fold: impl FnMut(&[f64], &[u32])) {
    if let Some(array) = array.as_primitive_opt::<Float64Type>() {
        return squeezed(array, rows, ids, fold);
    }
    let unit = match array.data_type() {
        DataType::Decimal128(_, scale) => power_of_ten(*scale),
        _ => 1.0,
    };
    let mut doubles = Vec::new();
    by_layout!(array.data_type(), T => squeezed(array.as_primitive::<T>(), rows, ids, |values, ids| {
        for (values, ids) in values.chunks(CHUNK).zip(ids.chunks(CHUNK)) {
            doubles.clear();
            doubles.extend(values.iter().map(|value| value.double() / unit));
            fold(&doubles, ids);
        }
    }))
}

/// The double nearest to 10^exponent: parsed, as the platform's `pow` need not be exact.
fn power_of_ten(exponent: i8) -> f64 {
    format!("1e{exponent}").parse().expect("a number")
}

/// A column of byte strings: any string or binary array, in a dictionary or not.
pub(super) struct Bytes {
    offsets: OffsetBuffer<i32>,
    data: Buffer,
    keys: Option<Vec<u32>>,
    nulls: Option<NullBuffer>,
}

impl Bytes {
    /// Views and large offsets are cast, others are not copied; of a dictionary only the keys are.
    pub fn new(array: &ArrayRef, want: &DataType) -> Result<Self, AggregateError> {
        check(array, want)?;
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let (array, keys) = match array.as_any_dictionary_opt() {
            Some(dictionary) if !dictionary.values().is_empty() => {
                let keys = dictionary.normalized_keys().into_iter().map(|key| key as u32).collect();
                (dictionary.values().clone(), Some(keys))
            }
            Some(dictionary) => (dictionary.values().clone(), Some(vec![0; dictionary.len()])),
            None => (array.clone(), None),
        };
        let array = match array.data_type() {
            DataType::Utf8 | DataType::Binary => array,
            DataType::LargeUtf8 | DataType::Utf8View => cast(&array, &DataType::Utf8)?,
            _ => cast(&array, &DataType::Binary)?,
        };
        let (offsets, data) = match array.as_string_opt::<i32>() {
            Some(strings) => (strings.offsets().clone(), strings.values().clone()),
            None => (array.as_binary::<i32>().offsets().clone(), array.as_binary::<i32>().values().clone()),
        };
        Ok(Self { offsets, data, keys, nulls })
    }

    /// The rows that are NULL.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// How many different values there are to be looked at: those of the dictionary, or one a row.
    pub fn values(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether rows refer to a dictionary.
    pub fn is_dictionary(&self) -> bool {
        self.keys.is_some()
    }

    /// Which value a row that is not NULL has.
    #[inline(always)]
    pub fn value_of(&self, row: usize) -> usize {
        self.keys.as_ref().map_or(row, |keys| keys[row] as usize)
    }

    /// The value's bytes.
    #[inline(always)]
    pub fn value(&self, value: usize) -> &[u8] {
        &self.data[self.offsets[value] as usize..self.offsets[value + 1] as usize]
    }

    /// The bytes of a row that is not NULL.
    #[inline(always)]
    pub fn row(&self, row: usize) -> &[u8] {
        self.value(self.value_of(row))
    }
}

/// An array of the string or binary type `to` of these values.
pub(super) fn bytes_array<'a>(
    values: impl Iterator<Item = Option<&'a [u8]>>,
    to: &DataType,
) -> Result<ArrayRef, AggregateError> {
    let bytes: BinaryArray = values.collect();
    if *to == DataType::Binary {
        return Ok(std::sync::Arc::new(bytes));
    }
    Ok(cast(&bytes, to)?)
}
