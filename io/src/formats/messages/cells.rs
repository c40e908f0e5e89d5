//! Columns to be written value by value: arrays of the types that formats of messages have by themselves, found once.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

/// A column to read from.
pub struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    /// Its values.
    pub cells: Cells<'a>,
}

/// The values of a column. Those of NULLs may be anything.
pub enum Cells<'a> {
    /// Nothing but NULLs.
    Null,
    /// BOOLEAN.
    Bool(&'a BooleanArray),
    /// INT, DATE, TIME(3).
    Int(&'a [i32]),
    /// BIGINT, TIME(6), TIMESTAMP.
    Long(&'a [i64]),
    /// INT UNSIGNED.
    UInt(&'a [u32]),
    /// BIGINT UNSIGNED.
    ULong(&'a [u64]),
    /// FLOAT.
    Float(&'a [f32]),
    /// DOUBLE.
    Double(&'a [f64]),
    /// DECIMAL.
    Decimal(&'a [i128]),
    /// STRING.
    Text(&'a StringArray),
    /// BYTES.
    Bytes(&'a BinaryArray),
    /// Where each list ends and begins, and the items; of maps rows of two fields.
    List(&'a [i32], Box<Column<'a>>),
    /// ROW.
    Row(Vec<Column<'a>>),
}

impl<'a> Column<'a> {
    /// Looks at an array, which is of a type that [`Grown`](super::grown::Grown) makes.
    pub fn of(array: &'a ArrayRef) -> Self {
        let all = |arrays: &'a [ArrayRef]| Cells::Row(arrays.iter().map(Column::of).collect());
        let cells = match array.data_type() {
            DataType::Null => Cells::Null,
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Int32 => Cells::Int(array.as_primitive::<Int32Type>().values()),
            DataType::Date32 => Cells::Int(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(_) => Cells::Int(array.as_primitive::<Time32MillisecondType>().values()),
            DataType::Int64 => Cells::Long(array.as_primitive::<Int64Type>().values()),
            DataType::Time64(_) => Cells::Long(array.as_primitive::<Time64MicrosecondType>().values()),
            DataType::Timestamp(unit, _) => Cells::Long(match unit {
                TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
            }),
            DataType::UInt32 => Cells::UInt(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Cells::ULong(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Cells::Float(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Cells::Double(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(..) => Cells::Decimal(array.as_primitive::<Decimal128Type>().values()),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::Binary => Cells::Bytes(array.as_binary()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Cells::List(list.value_offsets(), Box::new(Column::of(list.values())))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let pairs = Column { nulls: None, cells: all(map.entries().columns()) };
                Cells::List(map.value_offsets(), Box::new(pairs))
            }
            DataType::Struct(_) => all(array.as_struct().columns()),
            other => unreachable!("no format of messages has {other}"),
        };
        Column { nulls: array.nulls(), cells }
    }

    /// Whether there is no value.
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.cells, Cells::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}
