//! Columns of numbers, and texts as dictionaries, from their pages straight into Arrow's layout.
//!
//! The Parquet crate reads and decompresses pages; its Arrow reader then writes each value twice and clears memory before.
//! Here an id is unpacked and looked up once, into the place where it stays. What is not as plain as that (nested columns,
//! other encodings, types that are converted) is the crate's reader's, and so is everything this one finds broken:
//! [`super`] then reads all again with it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, BooleanBufferBuilder, DictionaryArray, Int32Array, NullBufferBuilder, StringArray,
    make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int32Type, TimeUnit};
use bytes::Bytes;
use parquet::basic::{ConvertedType, Encoding, LogicalType, TimeUnit as ParquetUnit, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::blocks::Blocks;
use super::hybrid::Hybrid;

/// Ids unpacked at a time.
const BLOCK: usize = 1024;

/// A column of one row group, read from its start on.
pub trait FlatColumn {
    /// Passes over rows.
    fn skip(&mut self, rows: usize) -> Result<(), String>;
    /// The next rows; fails if there are not so many.
    fn read(&mut self, rows: usize) -> Result<ArrayRef, String>;
}

/// Opens column `leaf` of a row group as an array of `data_type`; `None` if that is not for here.
pub fn open(
    blocks: &Blocks,
    group: &RowGroupMetaData,
    leaf: usize,
    data_type: &DataType,
) -> Option<Box<dyn FlatColumn>> {
    let chunk = group.column(leaf);
    let column = chunk.column_descr();
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return None;
    }
    let layout = layout(column, data_type)?;
    let pages = SerializedPageReader::new(Arc::new(blocks.clone()), chunk, group.num_rows() as usize, None).ok()?;
    let nullable = column.max_def_level() == 1;
    let data_type = data_type.clone();
    Some(match layout {
        Layout::Narrow => Box::new(Flat::<u32>::new(pages, nullable, data_type)),
        Layout::Wide => Box::new(Flat::<u64>::new(pages, nullable, data_type)),
    })
}

/// Four or eight bytes a value; texts are ids of four.
enum Layout {
    Narrow,
    Wide,
}

/// How values of `column` lie in an array of `data_type`, if they lie there as they do in the file.
fn layout(column: &ColumnDescriptor, data_type: &DataType) -> Option<Layout> {
    use ConvertedType as C;
    let (logical, converted) = (column.logical_type_ref(), column.converted_type());
    let is_integer = |bits: i8, old: C| match logical {
        Some(LogicalType::Integer(t)) => t.bit_width == bits && t.is_signed,
        Some(_) => false,
        None => converted == C::NONE || converted == old,
    };
    let is_time = |wanted: &TimeUnit| match (logical, wanted) {
        (Some(LogicalType::Timestamp(t)), TimeUnit::Millisecond) => matches!(t.unit, ParquetUnit::MILLIS),
        (Some(LogicalType::Timestamp(t)), TimeUnit::Microsecond) => matches!(t.unit, ParquetUnit::MICROS),
        (Some(LogicalType::Timestamp(t)), TimeUnit::Nanosecond) => matches!(t.unit, ParquetUnit::NANOS),
        (None, TimeUnit::Millisecond) => converted == C::TIMESTAMP_MILLIS,
        (None, TimeUnit::Microsecond) => converted == C::TIMESTAMP_MICROS,
        _ => false,
    };
    let is_text = matches!(logical, Some(LogicalType::String)) || (logical.is_none() && converted == C::UTF8);
    match (column.physical_type(), data_type) {
        (Type::INT32, DataType::Int32) if is_integer(32, C::INT_32) => Some(Layout::Narrow),
        (Type::INT32, DataType::Date32) if converted == C::DATE => Some(Layout::Narrow),
        (Type::INT64, DataType::Int64) if is_integer(64, C::INT_64) => Some(Layout::Wide),
        (Type::INT64, DataType::Timestamp(unit, _)) if is_time(unit) => Some(Layout::Wide),
        (Type::FLOAT, DataType::Float32) => Some(Layout::Narrow),
        (Type::DOUBLE, DataType::Float64) => Some(Layout::Wide),
        (Type::BYTE_ARRAY, DataType::Dictionary(key, value)) => {
            (**key == DataType::Int32 && **value == DataType::Utf8 && is_text).then_some(Layout::Narrow)
        }
        _ => None,
    }
}

/// The bits of a value.
trait Word: Copy + Default + arrow::datatypes::ArrowNativeType {
    fn of_bytes(bytes: &[u8]) -> Self;
    fn of_id(id: u32) -> Self;
}

impl Word for u32 {
    fn of_bytes(bytes: &[u8]) -> Self {
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    fn of_id(id: u32) -> Self {
        id
    }
}

impl Word for u64 {
    fn of_bytes(bytes: &[u8]) -> Self {
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    fn of_id(id: u32) -> Self {
        u64::from(id)
    }
}

/// Values at the front of `bytes`.
fn words<W: Word>(bytes: &[u8]) -> impl Iterator<Item = W> {
    bytes.chunks_exact(size_of::<W>()).map(W::of_bytes)
}

struct Flat<W> {
    pages: SerializedPageReader<Blocks>,
    nullable: bool,
    data_type: DataType,
    dictionary: Vec<W>,
    /// The dictionary of a column of texts.
    texts: Option<ArrayRef>,
    page: DataPage,
}

/// What is left of a page.
struct DataPage {
    rows: usize,
    /// Which of the rows have a value, if not all have.
    valid: Option<BooleanBuffer>,
    values: Values,
}

enum Values {
    Plain(Bytes),
    Ids(Hybrid),
}

impl<W: Word> Flat<W> {
    fn new(pages: SerializedPageReader<Blocks>, nullable: bool, data_type: DataType) -> Self {
        let page = DataPage { rows: 0, valid: None, values: Values::Plain(Bytes::new()) };
        Flat { pages, nullable, data_type, dictionary: vec![], texts: None, page }
    }

    fn is_text(&self) -> bool {
        matches!(self.data_type, DataType::Dictionary(..))
    }

    fn next_page(&mut self) -> Result<(), String> {
        let page = self.pages.get_next_page().map_err(|e| e.to_string())?.ok_or("a column ends too early")?;
        let (rows, mut bytes, encoding) = (page.num_values() as usize, page.buffer().clone(), page.encoding());
        let levels = match page {
            Page::DictionaryPage { .. } => {
                if !matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY) {
                    return Err(format!("a dictionary as {encoding}"));
                }
                // Ids that were read are held against the dictionary that there was.
                if self.texts.is_some() || !self.dictionary.is_empty() {
                    return Err("a second dictionary".into());
                }
                match self.is_text() {
                    true => self.texts = Some(texts(&bytes, rows)?),
                    false => self.dictionary = words(&bytes).take(rows).collect(),
                }
                return Ok(());
            }
            Page::DataPage { .. } if !self.nullable => None,
            Page::DataPage { def_level_encoding: Encoding::RLE, .. } => {
                let length = bytes.get(..4).map(u32::of_bytes).ok_or("a page without levels")? as usize;
                let _ = bytes.split_to(4);
                Some(length)
            }
            Page::DataPage { def_level_encoding, .. } => return Err(format!("levels as {def_level_encoding}")),
            Page::DataPageV2 { rep_levels_byte_len: 1.., .. } => return Err("a nested column".into()),
            Page::DataPageV2 { def_levels_byte_len, .. } => Some(def_levels_byte_len as usize),
        };
        let valid = match levels {
            Some(length) if length > bytes.len() => return Err("a page is shorter than its levels".into()),
            Some(length) => {
                let levels = bytes.split_to(length);
                if self.nullable { valid(levels, rows)? } else { None }
            }
            None => None,
        };
        let values = match encoding {
            Encoding::PLAIN if !self.is_text() => Values::Plain(bytes),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => match bytes.is_empty() {
                true => Values::Ids(Hybrid::new(bytes, 0)?),
                false => {
                    let width = bytes.split_to(1)[0];
                    Values::Ids(Hybrid::new(bytes, width.into())?)
                }
            },
            other => return Err(format!("values as {other}")),
        };
        self.page = DataPage { rows, valid, values };
        Ok(())
    }

    /// Appends the next values of the page.
    fn append(&mut self, count: usize, into: &mut Vec<W>) -> Result<(), String> {
        let ids = match &mut self.page.values {
            Values::Plain(bytes) => {
                let size = count * size_of::<W>();
                if bytes.len() < size {
                    return Err("the values of a page end too early".into());
                }
                into.extend(words::<W>(&bytes.split_to(size)));
                return Ok(());
            }
            Values::Ids(ids) => ids,
        };
        let entries = self.texts.as_ref().map_or(self.dictionary.len(), |texts| texts.len());
        let mut block = [0; BLOCK];
        for start in (0..count).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(count - start)];
            ids.read(block)?;
            // The top bit of `last - id` is set where the id is too large, in a form that every processor has vectors for.
            let last = (entries as u32).wrapping_sub(1);
            let signs = block.iter().fold(0, |signs, id| signs | id | last.wrapping_sub(*id));
            if signs >> 31 != 0 {
                return Err("an id that its dictionary does not have".into());
            }
            match self.texts {
                Some(_) => into.extend(block.iter().map(|id| W::of_id(*id))),
                // SAFETY: no id is past the last.
                None => into.extend(block.iter().map(|id| unsafe { *self.dictionary.get_unchecked(*id as usize) })),
            }
        }
        Ok(())
    }
}

impl<W: Word> FlatColumn for Flat<W> {
    fn skip(&mut self, mut rows: usize) -> Result<(), String> {
        while rows > 0 {
            if self.page.rows == 0 {
                let next = self.pages.peek_next_page().map_err(|e| e.to_string())?.ok_or("a column ends too early")?;
                match next.num_levels {
                    Some(levels) if levels <= rows && !next.is_dict => {
                        self.pages.skip_next_page().map_err(|e| e.to_string())?;
                        rows -= levels;
                    }
                    _ => self.next_page()?,
                }
                continue;
            }
            let count = rows.min(self.page.rows).min(8 * BLOCK);
            self.read(count)?;
            rows -= count;
        }
        Ok(())
    }

    fn read(&mut self, rows: usize) -> Result<ArrayRef, String> {
        let mut values: Vec<W> = Vec::with_capacity(rows);
        let mut nulls = NullBufferBuilder::new(rows);
        while values.len() < rows {
            if self.page.rows == 0 {
                self.next_page()?;
                continue;
            }
            let count = self.page.rows.min(rows - values.len());
            match self.page.valid.take() {
                None => {
                    self.append(count, &mut values)?;
                    nulls.append_n_non_nulls(count);
                }
                Some(valid) => {
                    let (here, first) = (valid.slice(0, count), values.len());
                    self.page.valid = Some(valid.slice(count, valid.len() - count));
                    self.append(here.count_set_bits(), &mut values)?;
                    spread(&mut values, first, &here);
                    nulls.append_buffer(&NullBuffer::new(here));
                }
            }
            self.page.rows -= count;
        }
        let nulls = nulls.finish();
        let buffer = Buffer::from_vec(values);
        if !self.is_text() {
            let array = ArrayData::builder(self.data_type.clone()).len(rows).add_buffer(buffer).nulls(nulls).build();
            return Ok(make_array(array.map_err(|e| e.to_string())?));
        }
        let keys = Int32Array::new(ScalarBuffer::new(buffer, 0, rows), nulls);
        let texts = self.texts.get_or_insert_with(|| Arc::new(StringArray::from(Vec::<&str>::new()))).clone();
        // SAFETY: `append` has held every id against the dictionary's length. (A dictionary of more than 2^31 texts would
        // not fit a page.) Where there is no value, the key is 0 and NULL.
        let array = unsafe { DictionaryArray::<Int32Type>::new_unchecked(keys, texts) };
        Ok(Arc::new(array))
    }
}

/// Which of `rows` have a value; `None` if all have.
fn valid(levels: Bytes, rows: usize) -> Result<Option<BooleanBuffer>, String> {
    let mut levels = Hybrid::new(levels, 1)?;
    if levels.begins_with(1, rows) {
        return Ok(None);
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    let mut block = [0; BLOCK];
    for start in (0..rows).step_by(BLOCK) {
        let block = &mut block[..BLOCK.min(rows - start)];
        levels.read(block)?;
        block.iter().for_each(|level| bits.append(*level == 1));
    }
    let bits = bits.finish();
    Ok((bits.count_set_bits() < rows).then_some(bits))
}

/// Moves the values from `first` on to the rows that have one.
fn spread<W: Word>(values: &mut Vec<W>, first: usize, valid: &BooleanBuffer) {
    let mut from = values.len();
    values.resize(first + valid.len(), W::default());
    for row in (0..valid.len()).rev() {
        values[first + row] = match valid.value(row) {
            true => {
                from -= 1;
                values[from]
            }
            false => W::default(),
        };
    }
}

/// The texts of a dictionary page: each with its length before it.
fn texts(mut bytes: &[u8], count: usize) -> Result<ArrayRef, String> {
    let (mut offsets, mut data) = (vec![0i32], Vec::with_capacity(bytes.len()));
    for _ in 0..count {
        let (length, rest) = bytes.split_at_checked(4).ok_or("a dictionary ends too early")?;
        let (text, rest) =
            rest.split_at_checked(u32::of_bytes(length) as usize).ok_or("a dictionary ends too early")?;
        data.extend_from_slice(text);
        offsets.push(i32::try_from(data.len()).map_err(|_| "a dictionary of 2 GiB")?);
        bytes = rest;
    }
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(Arc::new(StringArray::try_new(offsets, data.into(), None).map_err(|e| e.to_string())?))
}
