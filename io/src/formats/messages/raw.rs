//! The message is the value of the only column: bytes as they are, text as UTF-8, numbers in two's complement or IEEE 754.
//! A tombstone is NULL, and NULL a tombstone.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `raw.endianness` | `big-endian` | order of the bytes of numbers, or `little-endian` |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray, PrimitiveArray,
    RecordBatch, RecordBatchOptions, StringBuilder,
};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
    ToByteSlice,
};
use pelton_engine::connector::{Decoded, DecodedBatch, Options, ReadRequest, Table};
use pelton_engine::error::{Error, Result};

use super::super::convert::type_name;
use super::{MessageDecoder, MessageEncoder, bad, not_encoded};

/// The only column, if it has a form as bytes.
fn only_column(options: &Options, schema: &Schema) -> Result<Field> {
    let [field] = schema.fields().as_ref() else {
        return Err(Error::user(format!(
            "{}: format 'raw' wants one column, and there are {}",
            options.owner(),
            schema.fields().len()
        ))
        .at(options.span("format"))
        .hint("declare one column of type BYTES or STRING"));
    };
    let form = matches!(field.data_type(), DataType::Utf8 | DataType::Binary | DataType::Boolean)
        || field.data_type().is_signed_integer()
        || matches!(field.data_type(), DataType::Float32 | DataType::Float64);
    if !form {
        let name = type_name(field.data_type());
        return Err(Error::user(format!(
            "{}: column '{}' of type {name} has no raw form",
            options.owner(),
            field.name()
        ))
        .at(options.span("format"))
        .hint("raw are BYTES, STRING, BOOLEAN, integers, FLOAT and DOUBLE"));
    }
    Ok(field.as_ref().clone())
}

fn is_little(options: &Options) -> Result<bool> {
    Ok(options.one_of("raw.endianness", &["big-endian", "little-endian"])? == "little-endian")
}

/// Reads values as they are.
pub struct RawMessages {
    /// The column, if it is wanted.
    field: Option<Field>,
    little: bool,
    batch_rows: usize,
}

impl RawMessages {
    /// A reader of the only column of a table.
    pub fn new(options: &Options, table: &Table, request: &ReadRequest) -> Result<Self> {
        let field = only_column(options, &table.schema)?.with_nullable(true);
        let field = (!request.columns.is_empty()).then_some(field);
        Ok(RawMessages { field, little: is_little(options)?, batch_rows: request.batch_rows.max(1) })
    }
}

impl MessageDecoder for RawMessages {
    fn decode(&self, values: &BinaryArray) -> Decoded {
        let mut decoded = Decoded { records: values.len() as u64, ..Default::default() };
        let mut misfits = vec![];
        let columns = self.field.iter().map(|field| read(values, field.data_type(), self.little, &mut misfits));
        let columns: Vec<ArrayRef> = columns.collect();
        for &at in &misfits {
            let wanted = self.field.as_ref().map_or_else(String::new, |f| type_name(f.data_type()));
            decoded.bad.push(bad(values, at, format!("{} bytes are no {wanted}", values.value(at).len())));
        }
        let schema = Arc::new(Schema::new(self.field.iter().cloned().collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).expect("one column of its type");
        let good: Option<Vec<u32>> = (!misfits.is_empty())
            .then(|| (0..values.len()).filter(|at| misfits.binary_search(at).is_err()).map(|at| at as u32).collect());
        let batch = match &good {
            None => batch,
            Some(good) => super::super::filter_rows(
                &batch,
                &BooleanArray::from_iter((0..values.len() as u32).map(|at| Some(good.binary_search(&at).is_ok()))),
            )
            .expect("a row for each value"),
        };
        for start in (0..batch.num_rows()).step_by(self.batch_rows) {
            let rows = self.batch_rows.min(batch.num_rows() - start);
            let records = good.as_ref().map(|good| good[start..start + rows].to_vec());
            decoded.batches.push(DecodedBatch { batch: batch.slice(start, rows), records });
        }
        decoded
    }
}

/// Values as a column; those that do not fit are NULL, and noted.
fn read(values: &BinaryArray, to: &DataType, little: bool, misfits: &mut Vec<usize>) -> ArrayRef {
    match to {
        DataType::Binary => Arc::new(values.clone()),
        DataType::Utf8 => {
            let mut out = StringBuilder::with_capacity(values.len(), values.value_data().len());
            for (at, value) in values.iter().enumerate() {
                let text = value.map(std::str::from_utf8).transpose();
                if text.is_err() {
                    misfits.push(at);
                }
                out.append_option(text.unwrap_or(None));
            }
            Arc::new(out.finish())
        }
        DataType::Boolean => {
            let byte = numbers::<Int8Type>(values, little, misfits, |b: [u8; 1]| b[0] as i8);
            Arc::new(BooleanArray::from_unary(&byte, |b| b != 0))
        }
        DataType::Int8 => Arc::new(numbers::<Int8Type>(values, little, misfits, i8::from_be_bytes)),
        DataType::Int16 => Arc::new(numbers::<Int16Type>(values, little, misfits, i16::from_be_bytes)),
        DataType::Int32 => Arc::new(numbers::<Int32Type>(values, little, misfits, i32::from_be_bytes)),
        DataType::Int64 => Arc::new(numbers::<Int64Type>(values, little, misfits, i64::from_be_bytes)),
        DataType::Float32 => Arc::new(numbers::<Float32Type>(values, little, misfits, f32::from_be_bytes)),
        _ => Arc::new(numbers::<Float64Type>(values, little, misfits, f64::from_be_bytes)),
    }
}

fn numbers<T: ArrowPrimitiveType + FixedBytes>(
    values: &BinaryArray,
    little: bool,
    misfits: &mut Vec<usize>,
    from: impl Fn(T::NativeBytes) -> T::Native,
) -> PrimitiveArray<T> {
    let number = |(at, value): (usize, Option<&[u8]>)| {
        let value = value?;
        let Ok(mut bytes) = T::NativeBytes::try_from(value) else {
            misfits.push(at);
            return None;
        };
        if little {
            bytes.as_mut().reverse();
        }
        Some(from(bytes))
    };
    values.iter().enumerate().map(number).collect()
}

/// The bytes of a number.
trait FixedBytes {
    type NativeBytes: for<'a> TryFrom<&'a [u8]> + AsMut<[u8]>;
}

impl FixedBytes for Int8Type {
    type NativeBytes = [u8; 1];
}
impl FixedBytes for Int16Type {
    type NativeBytes = [u8; 2];
}
impl FixedBytes for Int32Type {
    type NativeBytes = [u8; 4];
}
impl FixedBytes for Int64Type {
    type NativeBytes = [u8; 8];
}
impl FixedBytes for Float32Type {
    type NativeBytes = [u8; 4];
}
impl FixedBytes for Float64Type {
    type NativeBytes = [u8; 8];
}

/// Writes values as they are.
pub struct RawEncoder {
    little: bool,
}

impl RawEncoder {
    /// A writer of the only column of `schema`.
    pub fn new(options: &Options, schema: &SchemaRef) -> Result<Self> {
        only_column(options, schema)?;
        Ok(RawEncoder { little: is_little(options)? })
    }
}

impl MessageEncoder for RawEncoder {
    fn encode(&mut self, rows: &RecordBatch) -> Result<BinaryArray> {
        let column = rows.column(0);
        match column.data_type() {
            DataType::Boolean => {
                let bytes = column.as_boolean().iter().map(|b| b.map(|b| [u8::from(b)]));
                Ok(BinaryArray::from_iter(bytes))
            }
            DataType::Int8 => Ok(self.bytes::<Int8Type>(column)),
            DataType::Int16 => Ok(self.bytes::<Int16Type>(column)),
            DataType::Int32 => Ok(self.bytes::<Int32Type>(column)),
            DataType::Int64 => Ok(self.bytes::<Int64Type>(column)),
            DataType::Float32 => Ok(self.bytes::<Float32Type>(column)),
            DataType::Float64 => Ok(self.bytes::<Float64Type>(column)),
            _ => {
                let bytes = arrow::compute::cast(column, &DataType::Binary).map_err(not_encoded)?;
                Ok(bytes.as_binary::<i32>().clone())
            }
        }
    }
}

impl RawEncoder {
    fn bytes<T: ArrowPrimitiveType>(&self, column: &ArrayRef) -> BinaryArray {
        let mut out = BinaryBuilder::new();
        for value in column.as_primitive::<T>() {
            let mut bytes = value.map(|value| value.to_byte_slice().to_vec());
            if let Some(bytes) = bytes.as_mut().filter(|_| self.little != cfg!(target_endian = "little")) {
                bytes.reverse();
            }
            out.append_option(bytes);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_of_messages::{check, open, options};
    use super::*;
    use arrow::array::Int32Array;

    fn column(of: DataType) -> Schema {
        Schema::new(vec![Field::new("value", of, true)])
    }

    #[test]
    fn text_bytes_and_numbers() {
        let values: [Option<&[u8]>; 4] = [Some(b"a\nb"), None, Some(b""), Some(b"\0\0\x01\xff")];
        let read =
            |of: DataType, pairs: &[(&str, &str)]| check(open(column(of), pairs, &[0]).unwrap().as_ref(), &values);
        let raw = [("format", "raw")];
        assert_eq!(read(DataType::Utf8, &raw), ["0: a\nb", "1: NULL", "2: ", "3! 4 bytes are no STRING"]);
        assert_eq!(read(DataType::Binary, &raw), ["0: 610a62", "1: NULL", "2: ", "3: 000001ff"]);
        assert_eq!(
            read(DataType::Int32, &raw),
            ["0! 3 bytes are no INT", "1: NULL", "2! 0 bytes are no INT", "3: 511"]
        );
        let little = [("format", "raw"), ("raw.endianness", "little-endian")];
        assert_eq!(read(DataType::Int32, &little)[3], "3: -16711680");
    }

    #[test]
    fn one_column_of_a_plain_type() {
        let two = Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Utf8, true)]);
        let error = open(two, &[("format", "raw")], &[0]).err().unwrap();
        assert_eq!(error.to_string(), "table `t`: format 'raw' wants one column, and there are 2");
        assert!(open(column(DataType::Date32), &[("format", "raw")], &[0]).is_err());
        let error = open(column(DataType::Utf8), &[("format", "row")], &[0]).err().unwrap();
        assert_eq!(error.advice(), Some("did you mean 'raw'?"));
    }

    #[test]
    fn numbers_come_back() {
        for order in ["big-endian", "little-endian"] {
            let pairs = [("format", "raw"), ("raw.endianness", order)];
            let schema = Arc::new(column(DataType::Int32));
            let numbers = Int32Array::from(vec![Some(1), None, Some(-2)]);
            let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap();
            let values = RawEncoder::new(&options(&pairs), &schema).unwrap().encode(&rows).unwrap();
            assert_eq!(values.value(0).first(), Some(&u8::from(order == "little-endian")));
            let values: Vec<_> = values.iter().collect();
            let decoder = open(column(DataType::Int32), &pairs, &[0]).unwrap();
            assert_eq!(check(decoder.as_ref(), &values), ["0: 1", "1: NULL", "2: -2"]);
        }
    }
}
