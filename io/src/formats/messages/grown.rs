//! Columns that grow by a value at a time, to any depth, and can be cut back: a message that turns out bad in its middle
//! leaves nothing behind.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use arrow::error::ArrowError;

/// Why a message is bad, in words.
pub type Wrong = String;

/// A growing column.
pub struct Grown {
    of: DataType,
    values: Values,
    valid: Vec<bool>,
}

enum Values {
    Null,
    Bool(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    UInt(Vec<u32>),
    ULong(Vec<u64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes {
        ends: Vec<usize>,
        bytes: Vec<u8>,
    },
    /// Lists, and maps as lists of pairs.
    List {
        ends: Vec<usize>,
        items: Box<Grown>,
    },
    Row(Vec<Grown>),
}

impl Grown {
    /// An empty column of this type: one of those that formats of messages have by themselves.
    pub fn new(of: &DataType) -> Self {
        let list = |item: &Field| Values::List { ends: vec![], items: Box::new(Grown::new(item.data_type())) };
        let values = match of {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(vec![]),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Values::Int(vec![]),
            DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) => Values::Long(vec![]),
            DataType::UInt32 => Values::UInt(vec![]),
            DataType::UInt64 => Values::ULong(vec![]),
            DataType::Float32 => Values::Float(vec![]),
            DataType::Float64 => Values::Double(vec![]),
            DataType::Decimal128(..) => Values::Decimal(vec![]),
            DataType::Utf8 | DataType::Binary => Values::Bytes { ends: vec![], bytes: vec![] },
            DataType::List(item) | DataType::Map(item, _) => list(item),
            DataType::Struct(fields) => Values::Row(fields.iter().map(|f| Grown::new(f.data_type())).collect()),
            other => unreachable!("no format of messages has {other}"),
        };
        Grown { of: of.clone(), values, valid: vec![] }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Null => {}
            Values::Bool(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::Long(values) => values.push(0),
            Values::UInt(values) => values.push(0),
            Values::ULong(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bytes { ends, bytes } => ends.push(bytes.len()),
            Values::List { ends, items } => ends.push(items.len()),
            Values::Row(fields) => fields.iter_mut().for_each(Grown::push_null),
        }
        self.valid.push(false);
    }

    /// Appends a truth value.
    pub fn push_bool(&mut self, value: bool) {
        match &mut self.values {
            Values::Bool(values) => values.push(value),
            _ => unreachable!("{} is not BOOLEAN", self.of),
        }
        self.valid.push(true);
    }

    /// Appends a whole number, which must be in the range of the column's type.
    pub fn push_whole(&mut self, value: i64) {
        match &mut self.values {
            Values::Int(values) => values.push(value as i32),
            Values::Long(values) => values.push(value),
            Values::UInt(values) => values.push(value as u32),
            Values::ULong(values) => values.push(value as u64),
            Values::Float(values) => values.push(value as f32),
            Values::Double(values) => values.push(value as f64),
            _ => unreachable!("{} holds no whole numbers", self.of),
        }
        self.valid.push(true);
    }

    /// Appends a floating point number; into a column of FLOAT only one that is one.
    pub fn push_real(&mut self, value: f64) {
        match &mut self.values {
            Values::Float(values) => values.push(value as f32),
            Values::Double(values) => values.push(value),
            _ => unreachable!("{} holds no floating point numbers", self.of),
        }
        self.valid.push(true);
    }

    /// Appends a decimal without its point, if it has no more digits than the type.
    pub fn push_decimal(&mut self, value: i128) -> Result<(), Wrong> {
        let (Values::Decimal(values), DataType::Decimal128(precision, scale)) = (&mut self.values, &self.of) else {
            unreachable!("{} is not DECIMAL", self.of)
        };
        if value.unsigned_abs() >= 10_u128.pow((*precision).into()) {
            return Err(format!("a number with more digits than DECIMAL({precision}, {scale}) has"));
        }
        values.push(value);
        self.valid.push(true);
        Ok(())
    }

    /// Appends bytes, or text, which must be UTF-8.
    pub fn push_bytes(&mut self, value: &[u8]) -> Result<(), Wrong> {
        if self.of == DataType::Utf8 && std::str::from_utf8(value).is_err() {
            return Err("text that is not UTF-8".into());
        }
        match &mut self.values {
            Values::Bytes { ends, bytes } => {
                bytes.extend_from_slice(value);
                ends.push(bytes.len());
            }
            _ => unreachable!("{} holds no bytes", self.of),
        }
        self.valid.push(true);
        Ok(())
    }

    /// The items of a list, or the pairs of a map: those appended belong to the list that is closed next.
    pub fn items(&mut self) -> &mut Grown {
        match &mut self.values {
            Values::List { items, .. } => items,
            _ => unreachable!("{} is no list", self.of),
        }
    }

    /// Appends the list of the items since the one before.
    pub fn close_list(&mut self) {
        match &mut self.values {
            Values::List { ends, items } => ends.push(items.len()),
            _ => unreachable!("{} is no list", self.of),
        }
        self.valid.push(true);
    }

    /// The fields of a row: each is to get one value, then the row is closed.
    pub fn fields(&mut self) -> &mut [Grown] {
        match &mut self.values {
            Values::Row(fields) => fields,
            _ => unreachable!("{} is no row", self.of),
        }
    }

    /// Appends the row of the last values of all fields.
    pub fn close_row(&mut self) {
        self.valid.push(true);
    }

    /// Forgets all but the first `rows` values, and what was begun behind them.
    pub fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        match &mut self.values {
            Values::Null => {}
            Values::Bool(values) => values.truncate(rows),
            Values::Int(values) => values.truncate(rows),
            Values::Long(values) => values.truncate(rows),
            Values::UInt(values) => values.truncate(rows),
            Values::ULong(values) => values.truncate(rows),
            Values::Float(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Decimal(values) => values.truncate(rows),
            Values::Bytes { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(ends.last().copied().unwrap_or(0));
            }
            Values::List { ends, items } => {
                ends.truncate(rows);
                items.truncate(ends.last().copied().unwrap_or(0));
            }
            Values::Row(fields) => fields.iter_mut().for_each(|field| field.truncate(rows)),
        }
    }

    /// The column as an array. Fails on more than 2 GiB of text.
    pub fn finish(self) -> Result<ArrayRef, ArrowError> {
        let rows = self.valid.len();
        let nulls = self.valid.contains(&false).then(|| NullBuffer::from(self.valid));
        fn plain<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>, of: DataType) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(of))
        }
        Ok(match (self.values, self.of) {
            (Values::Null, _) => Arc::new(NullArray::new(rows)),
            (Values::Bool(values), _) => Arc::new(BooleanArray::new(values.into(), nulls)),
            (Values::Int(values), of) => match of {
                DataType::Date32 => plain::<Date32Type>(values, nulls, of),
                DataType::Time32(_) => plain::<Time32MillisecondType>(values, nulls, of),
                of => plain::<Int32Type>(values, nulls, of),
            },
            (Values::Long(values), of) => match &of {
                DataType::Time64(_) => plain::<Time64MicrosecondType>(values, nulls, of),
                DataType::Timestamp(TimeUnit::Millisecond, _) => plain::<TimestampMillisecondType>(values, nulls, of),
                DataType::Timestamp(TimeUnit::Microsecond, _) => plain::<TimestampMicrosecondType>(values, nulls, of),
                DataType::Timestamp(TimeUnit::Nanosecond, _) => plain::<TimestampNanosecondType>(values, nulls, of),
                _ => plain::<Int64Type>(values, nulls, of),
            },
            (Values::UInt(values), of) => plain::<UInt32Type>(values, nulls, of),
            (Values::ULong(values), of) => plain::<UInt64Type>(values, nulls, of),
            (Values::Float(values), of) => plain::<Float32Type>(values, nulls, of),
            (Values::Double(values), of) => plain::<Float64Type>(values, nulls, of),
            (Values::Decimal(values), of) => plain::<Decimal128Type>(values, nulls, of),
            (Values::Bytes { ends, bytes }, DataType::Utf8) => {
                Arc::new(StringArray::try_new(offsets(&ends)?, bytes.into(), nulls)?)
            }
            (Values::Bytes { ends, bytes }, _) => Arc::new(BinaryArray::try_new(offsets(&ends)?, bytes.into(), nulls)?),
            (Values::List { ends, items }, DataType::Map(pair, sorted)) => {
                let pairs = items.finish()?;
                let pairs = pairs.as_any().downcast_ref::<StructArray>().expect("a map's items are pairs").clone();
                Arc::new(MapArray::try_new(pair, offsets(&ends)?, pairs, nulls, sorted)?)
            }
            (Values::List { ends, items }, DataType::List(item)) => {
                Arc::new(ListArray::try_new(item, offsets(&ends)?, items.finish()?, nulls)?)
            }
            (Values::Row(fields), DataType::Struct(of)) => {
                let fields = fields.into_iter().map(Grown::finish).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(of, fields, nulls, rows)?)
            }
            _ => unreachable!("lists and rows are of such types"),
        })
    }
}

/// Offsets of pieces that follow on each other.
fn offsets(ends: &[usize]) -> Result<OffsetBuffer<i32>, ArrowError> {
    let end = |&end: &usize| i32::try_from(end).map_err(|_| ArrowError::OffsetOverflowError(end));
    let all: Vec<i32> = std::iter::once(Ok(0)).chain(ends.iter().map(end)).collect::<Result<_, _>>()?;
    Ok(OffsetBuffer::new(ScalarBuffer::from(all)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::util::pretty::pretty_format_columns;

    #[test]
    fn what_was_begun_is_cut_back_to_any_depth() {
        let pair = DataType::Struct(Fields::from(vec![
            Field::new("name", DataType::Utf8, true),
            Field::new("ids", DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), true),
        ]));
        let mut column = Grown::new(&DataType::List(Arc::new(Field::new_list_field(pair, true))));
        let add = |column: &mut Grown, name: &str, ids: &[i64]| {
            let row = column.items();
            row.fields()[0].push_bytes(name.as_bytes()).unwrap();
            ids.iter().for_each(|&id| row.fields()[1].items().push_whole(id));
            row.fields()[1].close_list();
            row.close_row();
        };
        add(&mut column, "a", &[1, 2]);
        column.close_list();
        column.push_null();
        add(&mut column, "lost", &[3]);
        column.items().fields()[1].items().push_whole(4);
        column.items().fields()[0].push_bytes(b"lost too").unwrap();
        column.truncate(2);
        add(&mut column, "b", &[5]);
        add(&mut column, "c", &[]);
        column.close_list();
        let shown = pretty_format_columns("x", &[column.finish().unwrap()]).unwrap().to_string();
        let want = ["[{name: a, ids: [1, 2]}]", "[{name: b, ids: [5]}, {name: c, ids: []}]"];
        assert!(want.iter().all(|text| shown.contains(text)) && !shown.contains("lost"), "{shown}");
    }

    #[test]
    fn decimals_and_texts_are_judged() {
        let mut decimal = Grown::new(&DataType::Decimal128(3, 1));
        decimal.push_decimal(-999).unwrap();
        assert!(decimal.push_decimal(1000).unwrap_err().contains("DECIMAL(3, 1)"));
        let mut text = Grown::new(&DataType::Utf8);
        assert!(text.push_bytes(b"\xff").is_err());
        assert_eq!((decimal.len(), text.len()), (1, 0));
    }
}
