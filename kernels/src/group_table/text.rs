//! Text and binary key columns: every value becomes a `u32` id of the column's own interner.

use super::interner::Interner;
use super::{GroupTableError, Rows};
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BinaryViewBuilder, FixedSizeBinaryArray,
    GenericByteArray, LargeBinaryArray, LargeStringArray, StringArray, StringViewArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ByteArrayType, DataType};
use std::sync::Arc;

/// What a text column holds; arrays of the same class but another type (a view, a dictionary) may take turns.
fn class(data_type: &DataType) -> Option<bool> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(false),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Some(true),
        _ => None,
    }
}

/// Whether arrays of type `got` may bring the values of a column of type `want`.
fn accepts(want: &DataType, got: &DataType) -> bool {
    let fixed = |data_type: &DataType| matches!(data_type, DataType::FixedSizeBinary(_));
    want == got || (class(want) == class(got) && !fixed(want) && !fixed(got))
}

/// Whether values of this type go through an interner.
pub fn is_text(data_type: &DataType) -> bool {
    class(data_type).is_some()
}

/// Typed access to the bytes of a text or binary array.
enum Bytes<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    Fixed(&'a FixedSizeBinaryArray),
}

/// Runs `$body` with `$get` as the accessor of the concrete array: one copy of the loop per array type.
macro_rules! with_bytes {
    ($bytes:expr, $get:ident => $body:expr) => {
        match $bytes {
            Bytes::Utf8(a) => {
                let $get = |row: usize| a.value(row).as_bytes();
                $body
            }
            Bytes::LargeUtf8(a) => {
                let $get = |row: usize| a.value(row).as_bytes();
                $body
            }
            Bytes::Utf8View(a) => {
                let $get = |row: usize| a.value(row).as_bytes();
                $body
            }
            Bytes::Binary(a) => {
                let $get = |row: usize| a.value(row);
                $body
            }
            Bytes::LargeBinary(a) => {
                let $get = |row: usize| a.value(row);
                $body
            }
            Bytes::BinaryView(a) => {
                let $get = |row: usize| a.value(row);
                $body
            }
            Bytes::Fixed(a) => {
                let $get = |row: usize| a.value(row);
                $body
            }
        }
    };
}

impl<'a> Bytes<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view()),
            DataType::Binary => Self::Binary(array.as_binary()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Self::Fixed(array.as_fixed_size_binary()),
            _ => return None,
        })
    }

    fn value(&self, row: usize) -> &'a [u8] {
        with_bytes!(self, get => get(row))
    }
}

/// Mark in the map of a dictionary: this entry was not met yet.
const UNSEEN: u32 = u32::MAX;
/// A dictionary this many times longer than the batch is not worth a map.
const MAP_PER_ROW_MAX: usize = 8;

/// The dictionary met last, and the id of each of its entries that was used.
#[derive(Default)]
struct DictionaryIds {
    /// Held so that its address stays its own.
    values: Option<ArrayRef>,
    ids: Vec<u32>,
}

impl DictionaryIds {
    fn is_for(&self, values: &ArrayRef) -> bool {
        self.values.as_ref().is_some_and(|held| Arc::ptr_eq(held, values))
    }
}

/// One text or binary key column.
pub struct TextColumn {
    data_type: DataType,
    interner: Interner,
    dictionary: DictionaryIds,
}

/// A batch's array, ready to be read block by block.
pub enum PreparedText {
    Plain(ArrayRef),
    /// Through the map in [`DictionaryIds`].
    Mapped {
        keys: ArrayData,
        values: ArrayRef,
    },
    /// By the bytes of each row: the dictionary is long and the batch short.
    Unmapped {
        keys: ArrayData,
        values: ArrayRef,
    },
}

impl TextColumn {
    pub fn new(data_type: DataType) -> Self {
        Self { data_type, interner: Interner::default(), dictionary: DictionaryIds::default() }
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    pub fn interner(&self) -> &Interner {
        &self.interner
    }

    pub fn memory_bytes(&self) -> usize {
        self.interner.memory_bytes() + self.dictionary.ids.capacity() * 4
    }

    /// Checks the type of `array`, of which `rows` rows will be read. A dictionary not met last time starts a new map.
    pub fn prepare(&mut self, array: &ArrayRef, rows: usize) -> Result<PreparedText, GroupTableError> {
        let wrong = || GroupTableError::Type { want: self.data_type.clone(), got: array.data_type().clone() };
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            let values = dictionary.values();
            if !accepts(&self.data_type, values.data_type()) {
                return Err(wrong());
            }
            let (keys, values) = (dictionary.keys().to_data(), Arc::clone(values));
            if !self.dictionary.is_for(&values) {
                if values.len() / MAP_PER_ROW_MAX > rows {
                    return Ok(PreparedText::Unmapped { keys, values });
                }
                self.dictionary.ids.clear();
                self.dictionary.ids.resize(values.len(), UNSEEN);
                self.dictionary.values = Some(Arc::clone(&values));
            }
            return Ok(PreparedText::Mapped { keys, values });
        }
        if !accepts(&self.data_type, array.data_type()) {
            return Err(wrong());
        }
        Ok(PreparedText::Plain(Arc::clone(array)))
    }

    /// Ids of the rows `first..first + ids.len()` of `rows`; NULL has an id too.
    pub fn intern_block(
        &mut self,
        prepared: &PreparedText,
        rows: Rows<'_>,
        first: usize,
        ids: &mut [u32],
    ) -> Result<(), GroupTableError> {
        match prepared {
            PreparedText::Plain(array) => {
                let bytes = Bytes::of(array).expect("checked by prepare");
                with_bytes!(bytes, get => self.interner.intern_block(rows, first, array.nulls(), get, ids))
            }
            PreparedText::Mapped { keys, values } => {
                let nulls = keys.nulls();
                match keys.data_type() {
                    DataType::Int8 | DataType::UInt8 => {
                        self.map_block(keys.buffer::<u8>(0), nulls, values, rows, first, ids)
                    }
                    DataType::Int16 | DataType::UInt16 => {
                        self.map_block(keys.buffer::<u16>(0), nulls, values, rows, first, ids)
                    }
                    DataType::Int32 | DataType::UInt32 => {
                        self.map_block(keys.buffer::<u32>(0), nulls, values, rows, first, ids)
                    }
                    _ => self.map_block(keys.buffer::<u64>(0), nulls, values, rows, first, ids),
                }
            }
            PreparedText::Unmapped { keys, values } => {
                let bytes = Bytes::of(values).expect("checked by prepare");
                for (i, id) in ids.iter_mut().enumerate() {
                    let row = rows.get(first + i);
                    let key = keys.nulls().is_none_or(|nulls| nulls.is_valid(row)).then(|| key_at(keys, row));
                    *id = match key.filter(|&key| values.is_valid(key)) {
                        Some(key) => self.interner.intern(bytes.value(key))?,
                        None => self.interner.intern_null()?,
                    };
                }
                Ok(())
            }
        }
    }

    #[inline(always)]
    fn map_block<K: Copy + TryInto<usize>>(
        &mut self,
        keys: &[K],
        nulls: Option<&NullBuffer>,
        values: &ArrayRef,
        rows: Rows<'_>,
        first: usize,
        ids: &mut [u32],
    ) -> Result<(), GroupTableError> {
        // An index that does not fit is past every dictionary; the indexing below then panics as Arrow itself would.
        let index = |key: K| key.try_into().unwrap_or(usize::MAX);
        // A copy of the loop for the common case, that the compiler keeps free of tests.
        match (rows, nulls) {
            (Rows::All(_), None) => {
                for (id, &key) in ids.iter_mut().zip(&keys[first..]) {
                    *id = self.dictionary.ids[index(key)];
                    if *id == UNSEEN {
                        *id = self.meet(values, index(key))?;
                    }
                }
            }
            _ => {
                for (i, id) in ids.iter_mut().enumerate() {
                    let row = rows.get(first + i);
                    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                        *id = self.interner.intern_null()?;
                        continue;
                    }
                    *id = self.dictionary.ids[index(keys[row])];
                    if *id == UNSEEN {
                        *id = self.meet(values, index(keys[row]))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Interns an entry of the dictionary that no row has used so far.
    #[cold]
    #[inline(never)]
    fn meet(&mut self, values: &ArrayRef, key: usize) -> Result<u32, GroupTableError> {
        let id = if values.is_null(key) {
            self.interner.intern_null()?
        } else {
            self.interner.intern(Bytes::of(values).expect("checked by prepare").value(key))?
        };
        self.dictionary.ids[key] = id;
        Ok(id)
    }

    /// Interns everything `other` holds; entry `i` is the id here of its id `i`.
    pub fn absorb(&mut self, other: &Self) -> Result<Vec<u32>, GroupTableError> {
        self.interner.absorb(&other.interner)
    }

    /// An array of the values behind `ids`.
    pub fn unpack(&self, ids: impl ExactSizeIterator<Item = u32> + Clone) -> Result<ArrayRef, GroupTableError> {
        let interner = &self.interner;
        let nulls = interner.null_id().map(|null| NullBuffer::from_iter(ids.clone().map(|id| id != null)));
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let values = ids.map(|id| interner.get(id));
        Ok(match &self.data_type {
            DataType::Utf8 => self.byte_array::<arrow::datatypes::Utf8Type>(values, nulls)?,
            DataType::LargeUtf8 => self.byte_array::<arrow::datatypes::LargeUtf8Type>(values, nulls)?,
            DataType::Binary => self.byte_array::<arrow::datatypes::BinaryType>(values, nulls)?,
            DataType::LargeBinary => self.byte_array::<arrow::datatypes::LargeBinaryType>(values, nulls)?,
            DataType::FixedSizeBinary(width) => {
                let mut bytes = Vec::with_capacity(values.len() * *width as usize);
                for value in values {
                    match value {
                        Some(value) => bytes.extend_from_slice(value),
                        None => bytes.resize(bytes.len() + *width as usize, 0),
                    }
                }
                Arc::new(FixedSizeBinaryArray::try_new(*width, Buffer::from_vec(bytes), nulls)?)
            }
            view => {
                let mut builder = BinaryViewBuilder::with_capacity(values.len());
                for value in values {
                    builder.append_option(value);
                }
                let array = builder.finish();
                if *view == DataType::Utf8View { Arc::new(array.to_string_view()?) } else { Arc::new(array) }
            }
        })
    }

    fn byte_array<'a, T: ByteArrayType>(
        &self,
        values: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, GroupTableError> {
        let too_long = || GroupTableError::TooLong { data_type: self.data_type.clone() };
        let mut bytes = Vec::with_capacity(self.interner.arena_bytes());
        let mut offsets = Vec::with_capacity(values.len() + 1);
        offsets.push(T::Offset::usize_as(0));
        for value in values {
            bytes.extend_from_slice(value.unwrap_or_default());
            offsets.push(T::Offset::from_usize(bytes.len()).ok_or_else(too_long)?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(bytes), nulls)?))
    }
}

fn key_at(keys: &ArrayData, row: usize) -> usize {
    match keys.data_type() {
        DataType::Int8 | DataType::UInt8 => usize::from(keys.buffer::<u8>(0)[row]),
        DataType::Int16 | DataType::UInt16 => usize::from(keys.buffer::<u16>(0)[row]),
        DataType::Int32 | DataType::UInt32 => keys.buffer::<u32>(0)[row] as usize,
        _ => keys.buffer::<u64>(0)[row] as usize,
    }
}
