//! Puts columns into their declared types, value by value: what does not fit is told, not lost in NULL.
//!
//! Converting is what SQL's CAST does, with three differences. A number with a fraction is no integer; a finite number
//! does not become infinite; an integer written as `5.0` or `5e0` is one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, StringArray, UInt32Array, make_comparator, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, SortOptions, can_cast_types, cast_with_options, interleave, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Where values come from: decides what text may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file with types. Text becomes bytes as it is.
    Typed,
    /// JSON: scalars come as text. A whole number is a time counted since 1970 in the column's unit; bytes are hex.
    Json,
    /// CSV: everything comes as text. Bytes are hex.
    Csv,
}

const TRYING: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };
const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// True if values of `from` may convert to `to`.
pub fn possible(from: &DataType, to: &DataType) -> bool {
    // Arrow would make a list of one of any value.
    from == to || (can_cast_types(from, to) && (is_nested(from) || !is_nested(to)))
}

/// Converts `array` to `to`. Rows whose value does not fit are appended to `misfits`, ascending, and are NULL in the
/// answer. Fails only where the types never convert.
pub fn convert(
    array: &ArrayRef,
    to: &DataType,
    origin: Origin,
    misfits: &mut Vec<usize>,
) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    if let DataType::Dictionary(_, values) = to
        && !matches!(from, DataType::Dictionary(..))
    {
        let plain = convert(array, values, origin, misfits)?;
        return cast_with_options(&plain, to, &STRICT);
    }
    if is_nested(from) || is_nested(to) {
        return convert_nested(array, to, misfits);
    }
    if origin != Origin::Typed && is_text(from) {
        if matches!(to, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
        {
            return convert_hex(array, to, misfits);
        }
        if from == &DataType::Null {
            return Ok(new_null_array(to, array.len()));
        }
    }
    let mut out = cast_with_options(array, to, &TRYING)?;
    let mut missed = lost(array, &out);
    if is_text(from) && !is_text(to) && !missed.is_empty() {
        (out, missed) = reread(array, out, missed, to, origin)?;
    }
    match (from, to) {
        (f, t) if f.is_floating() && t.is_integer() => missed.extend(changed(array, &out)?),
        (DataType::Decimal128(_, s) | DataType::Decimal256(_, s), t) if *s > 0 && t.is_integer() => {
            missed.extend(changed(array, &out)?)
        }
        (_, DataType::Float32 | DataType::Float64) => missed.extend(overflown(array, &out)),
        _ => {}
    }
    if !missed.is_empty() {
        missed.sort_unstable();
        missed.dedup();
        out = with_nulls(&out, &missed)?;
        misfits.extend(missed);
    }
    Ok(out)
}

/// The value at `row` as text for messages, shortened; text is quoted.
pub fn show(array: &ArrayRef, row: usize) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let options = FormatOptions::default().with_null("NULL");
    let text = match ArrayFormatter::try_new(array, &options) {
        Ok(formatter) => formatter.value(row).try_to_string().unwrap_or_else(|_| "value".into()),
        Err(_) => "value".into(),
    };
    let short = if text.chars().count() > SHOWN_CHARS_MAX {
        text.chars().take(SHOWN_CHARS_MAX).chain("…".chars()).collect()
    } else {
        text
    };
    if is_text(array.data_type()) { format!("'{short}'") } else { short }
}

/// The SQL name of a type, for messages.
pub fn type_name(of: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match of {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::List(item) | DataType::LargeList(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn is_nested(t: &DataType) -> bool {
    t.is_nested() && !matches!(t, DataType::Dictionary(..))
}

/// True for strings of every kind.
pub fn is_text(t: &DataType) -> bool {
    match t {
        DataType::Dictionary(_, values) => is_text(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        _ => false,
    }
}

/// Rows that had a value and have none any more.
fn lost(before: &ArrayRef, after: &ArrayRef) -> Vec<usize> {
    let (was, is) = (before.logical_nulls(), after.logical_nulls());
    let Some(is) = is.filter(|n| n.null_count() > was.as_ref().map_or(0, NullBuffer::null_count)) else {
        return vec![];
    };
    (0..after.len()).filter(|&i| is.is_null(i) && was.as_ref().is_none_or(|w| w.is_valid(i))).collect()
}

/// Rows whose value comes back different: it had a fraction.
fn changed(before: &ArrayRef, after: &ArrayRef) -> Result<Vec<usize>, ArrowError> {
    let back = cast_with_options(after, before.data_type(), &TRYING)?;
    // By value, not by Arrow's total order, in which -0.0 is not 0.0.
    let same: Box<dyn Fn(usize) -> bool> = match before.data_type() {
        DataType::Float32 => {
            let (a, b) = (before.as_primitive::<Float32Type>().clone(), back.as_primitive::<Float32Type>().clone());
            Box::new(move |i| a.value(i) == b.value(i))
        }
        DataType::Float64 => {
            let (a, b) = (before.as_primitive::<Float64Type>().clone(), back.as_primitive::<Float64Type>().clone());
            Box::new(move |i| a.value(i) == b.value(i))
        }
        _ => {
            let compare = make_comparator(before, &back, SortOptions::default())?;
            Box::new(move |i| compare(i, i).is_eq())
        }
    };
    Ok((0..before.len()).filter(|&i| before.is_valid(i) && after.is_valid(i) && back.is_valid(i) && !same(i)).collect())
}

/// Rows that became infinite without having said so.
fn overflown(before: &ArrayRef, after: &ArrayRef) -> Vec<usize> {
    let infinite: Vec<usize> = match after.data_type() {
        DataType::Float32 => at(after.as_primitive::<Float32Type>().values(), |v| v.is_infinite()),
        _ => at(after.as_primitive::<Float64Type>().values(), |v| v.is_infinite()),
    };
    let said = |i: usize| match before.data_type() {
        DataType::Float32 => before.as_primitive::<Float32Type>().value(i).is_infinite(),
        DataType::Float64 => before.as_primitive::<Float64Type>().value(i).is_infinite(),
        t if is_text(t) => show(before, i).to_ascii_lowercase().contains("inf"),
        _ => false,
    };
    infinite.into_iter().filter(|&i| after.is_valid(i) && !said(i)).collect()
}

fn at<T: Copy>(values: &[T], is: impl Fn(T) -> bool) -> Vec<usize> {
    // Hardly ever any: one vectorised look before the list is made.
    if !values.iter().fold(false, |any, &v| any | is(v)) {
        return vec![];
    }
    values.iter().enumerate().filter(|(_, v)| is(**v)).map(|(i, _)| i).collect()
}

/// `array` with NULL in these rows.
fn with_nulls(array: &ArrayRef, rows: &[usize]) -> Result<ArrayRef, ArrowError> {
    let mut at: Vec<Option<u32>> = (0..array.len() as u32).map(Some).collect();
    for &row in rows {
        at[row] = None;
    }
    take(array, &UInt32Array::from(at), None)
}

/// Second look at texts that did not convert: spaces around them, `5.0` for 5, a number for a time.
fn reread(
    texts: &ArrayRef,
    out: ArrayRef,
    missed: Vec<usize>,
    to: &DataType,
    origin: Origin,
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let plain = cast_with_options(texts, &DataType::Utf8, &STRICT)?;
    let plain = plain.as_string::<i32>();
    let again: StringArray = missed.iter().map(|&i| plain_form(plain.value(i), to, origin)).collect();
    let found = cast_with_options(&again, to, &TRYING)?;
    let mut picks: Vec<(usize, usize)> = (0..out.len()).map(|i| (0, i)).collect();
    let mut still = vec![];
    for (j, &i) in missed.iter().enumerate() {
        match found.is_valid(j) {
            true => picks[i] = (1, j),
            false => still.push(i),
        }
    }
    if still.len() == missed.len() {
        return Ok((out, missed));
    }
    Ok((interleave(&[out.as_ref(), found.as_ref()], &picks)?, still))
}

/// The usual way to write what `text` means, if it means a value of `to` at all.
fn plain_form(text: &str, to: &DataType, origin: Origin) -> Option<String> {
    let text = text.trim();
    match to {
        t if t.is_integer() => {
            const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
            let value: f64 = text.parse().ok()?;
            (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then(|| (value as i64).to_string())
        }
        DataType::Timestamp(unit, zone) if origin == Origin::Json && text.parse::<i64>().is_ok() => {
            let count: i64 = text.parse().ok()?;
            let time = match unit {
                TimeUnit::Second => chrono::DateTime::from_timestamp(count, 0)?,
                TimeUnit::Millisecond => chrono::DateTime::from_timestamp_millis(count)?,
                TimeUnit::Microsecond => chrono::DateTime::from_timestamp_micros(count)?,
                TimeUnit::Nanosecond => chrono::DateTime::from_timestamp_nanos(count),
            };
            let zone = if zone.is_some() { "Z" } else { "" };
            Some(format!("{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.9f")))
        }
        _ => Some(text.to_string()),
    }
}

/// Text in hex to bytes.
fn convert_hex(array: &ArrayRef, to: &DataType, misfits: &mut Vec<usize>) -> Result<ArrayRef, ArrowError> {
    let texts = cast_with_options(array, &DataType::Utf8, &STRICT)?;
    let mut out = BinaryBuilder::new();
    for (row, text) in texts.as_string::<i32>().iter().enumerate() {
        match text.map(from_hex) {
            None => out.append_null(),
            Some(Some(bytes)) => out.append_value(bytes),
            Some(None) => {
                misfits.push(row);
                out.append_null();
            }
        }
    }
    let bytes: ArrayRef = Arc::new(out.finish());
    let sized = cast_with_options(&bytes, to, &TRYING)?;
    misfits.extend(lost(&bytes, &sized));
    misfits.sort_unstable();
    Ok(sized)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// Lists and structs: all at once if everything fits, else row by row to find the ones that do not.
fn convert_nested(array: &ArrayRef, to: &DataType, misfits: &mut Vec<usize>) -> Result<ArrayRef, ArrowError> {
    if let Ok(out) = cast_with_options(array, to, &STRICT) {
        return Ok(out);
    }
    let nothing = new_null_array(to, 1);
    let mut parts = vec![];
    for row in 0..array.len() {
        // Taken, not sliced: a cast looks at all values below a slice.
        let alone = take(array, &UInt32Array::from(vec![row as u32]), None)?;
        parts.push(cast_with_options(&alone, to, &STRICT).unwrap_or_else(|_| {
            misfits.push(row);
            nothing.clone()
        }));
    }
    arrow::compute::concat(&parts.iter().map(|p| p.as_ref()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;

    /// Converts texts; the answer as text, misfits as `!`.
    fn check(texts: &[&str], to: DataType, origin: Origin, want: &[&str]) {
        let array: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        check_array(array, to, origin, want);
    }

    fn check_array(array: ArrayRef, to: DataType, origin: Origin, want: &[&str]) {
        let mut misfits = vec![];
        let out = convert(&array, &to, origin, &mut misfits).unwrap();
        assert_eq!(out.data_type(), &to);
        let got: Vec<String> = (0..out.len())
            .map(|i| match misfits.contains(&i) {
                true => {
                    assert!(out.is_null(i), "a misfit is NULL");
                    "!".to_string()
                }
                false => arrow::util::display::array_value_to_string(&out, i).unwrap(),
            })
            .collect();
        assert_eq!(got, want, "to {to}");
    }

    #[test]
    fn texts_to_numbers() {
        use DataType::*;
        check(
            &["1", " 2 ", "3.0", "4e1", "5.5", "x", "", "99999999999"],
            Int32,
            Origin::Csv,
            &["1", "2", "3", "40", "!", "!", "!", "!"],
        );
        check(
            &["1.5", " 2", "1e400", "inf", "NaN", "x"],
            Float64,
            Origin::Csv,
            &["1.5", "2.0", "!", "inf", "NaN", "!"],
        );
        check(&["1e39"], Float32, Origin::Csv, &["!"]);
        check(&["true", "FALSE", "maybe"], Boolean, Origin::Csv, &["true", "false", "!"]);
        check(&["1.25", "1234567", "x"], Decimal128(5, 1), Origin::Csv, &["1.3", "!", "!"]);
        check(&["00ff", "0", "zz"], Binary, Origin::Json, &["00ff", "!", "!"]);
    }

    #[test]
    fn texts_to_times() {
        let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
        let texts =
            ["2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05.678Z", "2024-01-02T03:04:05+01:00", "noon", "7"];
        let want =
            ["2024-01-02T00:00:00", "2024-01-02T03:04:05", "2024-01-02T03:04:05.678", "2024-01-02T02:04:05", "!"];
        check(&texts, ms.clone(), Origin::Csv, &[&want[..], &["!"]].concat());
        check(&texts, ms, Origin::Json, &[&want[..], &["1970-01-01T00:00:00.007"]].concat());
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        check(
            &["1", "2024-01-02 03:04:05"],
            zoned,
            Origin::Json,
            &["1970-01-01T00:00:00.000001Z", "2024-01-02T03:04:05Z"],
        );
        check(&["2024-02-29", "2023-02-29"], DataType::Date32, Origin::Csv, &["2024-02-29", "!"]);
        check(&["01:02:03", "25:00:00"], DataType::Time32(TimeUnit::Second), Origin::Csv, &["01:02:03", "!"]);
    }

    #[test]
    fn numbers_to_narrower_ones() {
        let floats: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(1.0), Some(-0.0), Some(1.5), None, Some(1e300), Some(f64::NAN)]));
        check_array(floats.clone(), DataType::Int32, Origin::Typed, &["1", "0", "!", "", "!", "!"]);
        check_array(floats, DataType::Float32, Origin::Typed, &["1.0", "-0.0", "1.5", "", "!", "NaN"]);
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MAX)]));
        check_array(ints.clone(), DataType::Int16, Origin::Typed, &["1", "", "!"]);
        check_array(ints, DataType::Utf8, Origin::Typed, &["1", "", "9223372036854775807"]);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![100, 150]).with_precision_and_scale(10, 2).unwrap());
        check_array(decimals, DataType::Int64, Origin::Typed, &["1", "!"]);
    }

    #[test]
    fn dictionaries_views_and_lists() {
        let dictionary: ArrayRef =
            Arc::new(DictionaryArray::<arrow::datatypes::Int32Type>::from_iter([Some("1"), None, Some("x")]));
        check_array(dictionary.clone(), DataType::Int64, Origin::Typed, &["1", "", "!"]);
        check_array(dictionary, DataType::Utf8, Origin::Typed, &["1", "", "x"]);
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        check(&["a", "b", "a"], words, Origin::Csv, &["a", "b", "a"]);
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
            Some(vec![Some(1)]),
            Some(vec![Some(1 << 40)]),
        ]));
        let narrow = DataType::List(Arc::new(arrow::datatypes::Field::new_list_field(DataType::Int32, true)));
        check_array(lists, narrow, Origin::Typed, &["[1]", "!"]);
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"ok".as_ref(), b"\xff".as_ref()]));
        check_array(bytes, DataType::Utf8, Origin::Typed, &["ok", "!"]);
    }
}
