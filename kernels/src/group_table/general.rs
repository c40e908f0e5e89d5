//! Keys of any type: each row in Arrow's row format, interned as one byte string.

use super::GroupTableError;
use super::interner::{BLOCK, Interner};
use crate::{Rows, canonical};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

/// `data_type` with every dictionary and run-end encoding in it, at any depth, replaced by its values.
pub fn plain_type(data_type: &DataType) -> DataType {
    let plain_field = |field: &FieldRef| -> FieldRef {
        let plain = plain_type(field.data_type());
        if plain == *field.data_type() {
            Arc::clone(field)
        } else {
            Arc::new(Field::clone(field).with_data_type(plain))
        }
    };
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::ListView(field) => DataType::ListView(plain_field(field)),
        DataType::LargeListView(field) => DataType::LargeListView(plain_field(field)),
        DataType::FixedSizeList(field, n) => DataType::FixedSizeList(plain_field(field), *n),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(field, sorted) => DataType::Map(plain_field(field), *sorted),
        plain => plain.clone(),
    }
}

/// `array` without dictionaries and run-end encodings; itself if it has none.
pub fn plain(array: &ArrayRef) -> Result<ArrayRef, GroupTableError> {
    if !array.data_type().is_nested()
        && !matches!(array.data_type(), DataType::Dictionary(..) | DataType::RunEndEncoded(..))
    {
        return Ok(Arc::clone(array));
    }
    let plain = plain_type(array.data_type());
    Ok(if plain == *array.data_type() { Arc::clone(array) } else { cast(array, &plain)? })
}

/// A group table over the row format.
pub struct General {
    types: Vec<DataType>,
    /// `None` if Arrow can not encode one of the types: then `intern` says so.
    converter: Option<RowConverter>,
    interner: Interner,
}

impl General {
    pub fn new(types: Vec<DataType>) -> Self {
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect()).ok();
        Self { types, converter, interner: Interner::default() }
    }

    fn converter(&self) -> Result<&RowConverter, GroupTableError> {
        self.converter.as_ref().ok_or_else(|| GroupTableError::Unsupported { types: self.types.clone() })
    }

    pub fn len(&self) -> usize {
        self.interner.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.interner.memory_bytes()
    }

    pub fn intern(&mut self, arrays: &[ArrayRef], rows: Rows<'_>, ids: &mut Vec<u32>) -> Result<(), GroupTableError> {
        let list = match rows {
            Rows::All(_) => None,
            Rows::List(list) => Some(UInt32Array::from(list.to_vec())),
        };
        let mut columns = Vec::with_capacity(arrays.len());
        for (array, want) in arrays.iter().zip(&self.types) {
            let array = match &list {
                None => array.slice(0, rows.len()),
                Some(list) => take(array, list, None)?,
            };
            let array = plain(&array)?;
            if array.data_type() != want {
                return Err(GroupTableError::Type { want: want.clone(), got: array.data_type().clone() });
            }
            columns.push(canonical::canonical_key_floats(&array));
        }
        let encoded = self.converter()?.convert_columns(&columns)?;
        ids.resize(rows.len(), 0);
        let all = Rows::All(rows.len());
        for (block, ids) in ids.chunks_mut(BLOCK).enumerate() {
            self.interner.intern_block(all, block * BLOCK, None, |row| encoded.row(row).data(), ids)?;
        }
        Ok(())
    }

    pub fn keys(&self) -> Result<Vec<ArrayRef>, GroupTableError> {
        let converter = self.converter()?;
        let parser = converter.parser();
        let rows = (0..self.len() as u32).map(|id| parser.parse(self.interner.get(id).expect("row bytes")));
        Ok(converter.convert_rows(rows)?)
    }

    pub fn absorb(&mut self, other: &Self) -> Result<Vec<u32>, GroupTableError> {
        if self.types != other.types {
            return Err(GroupTableError::OtherTypes);
        }
        self.interner.absorb(&other.interner)
    }
}
