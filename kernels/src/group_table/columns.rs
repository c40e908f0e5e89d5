//! Key columns of a packed key: where each lies in the words, and how it gets in and out.

use super::interner::BLOCK;
use super::text::{PreparedText, TextColumn, is_text};
use super::{GroupTableError, Rows};
use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// How the values of a column become bits. Floats give NaN and zero one form each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Plain,
    F16,
    F32,
    F64,
    Text,
}

/// One key column of a packed table.
pub struct Column {
    data_type: DataType,
    /// Position among the key columns.
    number: usize,
    kind: Kind,
    bits: u32,
    word: usize,
    shift: u32,
    text: Option<TextColumn>,
}

/// A batch's array, ready to be read block by block.
pub enum Prepared {
    Bool(BooleanArray),
    Plain(ArrayData),
    Text(PreparedText),
}

impl Prepared {
    /// The NULLs of the array, if it has any and they are not ids already.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        let nulls = match self {
            Self::Bool(array) => array.nulls(),
            Self::Plain(data) => data.nulls(),
            Self::Text(_) => None,
        };
        nulls.filter(|nulls| nulls.null_count() > 0)
    }
}

/// The columns for keys of these (plain) types, by their places in the key, and the bits they take; `None` if one can not
/// be packed.
pub fn lay_out(types: &[DataType]) -> Option<(Vec<Column>, u32)> {
    let mut columns = types.iter().enumerate().map(|(number, t)| Column::new(number, t)).collect::<Option<Vec<_>>>()?;
    if columns.len() > 64 {
        return None;
    }
    // Widest first: then every value is aligned to its width, and none but a decimal lies in two words.
    columns.sort_by_key(|column| std::cmp::Reverse(column.bits));
    let mut bits = 0;
    for column in &mut columns {
        (column.word, column.shift) = ((bits / 64) as usize, bits % 64);
        bits += column.bits;
    }
    Some((columns, bits))
}

/// Whether the two tables hold the same kinds of values in the same places.
pub fn same(ours: &[Column], theirs: &[Column]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| a.data_type == b.data_type && a.number == b.number)
}

impl Column {
    fn new(number: usize, data_type: &DataType) -> Option<Self> {
        let (kind, bits) = match data_type {
            DataType::Boolean => (Kind::Bool, 1),
            DataType::Float16 => (Kind::F16, 16),
            DataType::Float32 => (Kind::F32, 32),
            DataType::Float64 => (Kind::F64, 64),
            DataType::FixedSizeBinary(..1) | DataType::Interval(_) => return None,
            text if is_text(text) => (Kind::Text, 32),
            plain => (Kind::Plain, plain.primitive_width().filter(|&bytes| bytes <= 16)? as u32 * 8),
        };
        let text = (kind == Kind::Text).then(|| TextColumn::new(data_type.clone()));
        Some(Self { data_type: data_type.clone(), number, kind, bits, word: 0, shift: 0, text })
    }

    pub fn number(&self) -> usize {
        self.number
    }

    pub fn memory_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, TextColumn::memory_bytes)
    }

    /// Checks the type of `array`, of which `rows` rows will be read.
    pub fn prepare(&mut self, array: &ArrayRef, rows: usize) -> Result<Prepared, GroupTableError> {
        if let Some(text) = &mut self.text {
            return Ok(Prepared::Text(text.prepare(array, rows)?));
        }
        let array = super::general::plain(array)?;
        if *array.data_type() != self.data_type {
            return Err(GroupTableError::Type { want: self.data_type.clone(), got: array.data_type().clone() });
        }
        Ok(match self.kind {
            Kind::Bool => Prepared::Bool(array.as_boolean().clone()),
            _ => Prepared::Plain(array.to_data()),
        })
    }

    /// Writes this column's bits of the rows `first..first + keys.len()` of `rows` into `keys`; for NULLs, any bits.
    ///
    /// Columns must be packed by their places: the first in a word overwrites it, the others add to it.
    #[inline]
    pub fn pack<const W: usize>(
        &mut self,
        prepared: &Prepared,
        rows: Rows<'_>,
        first: usize,
        keys: &mut [[u64; W]],
    ) -> Result<(), GroupTableError> {
        let to = Place { word: self.word, shift: self.shift };
        match prepared {
            Prepared::Text(prepared) => {
                let mut ids = [0_u32; BLOCK];
                let ids = &mut ids[..keys.len()];
                self.text.as_mut().expect("a text column").intern_block(prepared, rows, first, ids)?;
                to.put(ids, Rows::All(ids.len()), 0, keys, u64::from);
            }
            Prepared::Bool(array) => {
                let values = array.values();
                let mut bits = [0_u8; BLOCK];
                let bits = &mut bits[..keys.len()];
                for (i, bit) in bits.iter_mut().enumerate() {
                    *bit = u8::from(values.value(rows.get(first + i)));
                }
                to.put(bits, Rows::All(bits.len()), 0, keys, u64::from);
            }
            Prepared::Plain(data) => match (self.kind, self.bits) {
                (Kind::F16, _) => to.put(data.buffer::<u16>(0), rows, first, keys, |bits| u64::from(float16(bits))),
                (Kind::F32, _) => to.put(data.buffer::<f32>(0), rows, first, keys, |value| u64::from(float32(value))),
                (Kind::F64, _) => to.put(data.buffer::<f64>(0), rows, first, keys, float64),
                (_, 8) => to.put(data.buffer::<u8>(0), rows, first, keys, u64::from),
                (_, 16) => to.put(data.buffer::<u16>(0), rows, first, keys, u64::from),
                (_, 32) => to.put(data.buffer::<u32>(0), rows, first, keys, u64::from),
                (_, 64) => to.put(data.buffer::<u64>(0), rows, first, keys, |value| value),
                _ => {
                    let values = data.buffer::<i128>(0);
                    to.put(values, rows, first, keys, |value| value as u64);
                    Place { word: to.word + 1, shift: 0 }.put(values, rows, first, keys, |value| (value >> 64) as u64);
                }
            },
        }
        Ok(())
    }

    /// Takes the bits of NULL rows out of `keys` again, and sets this column's bit of their masks.
    pub fn clear_nulls<const W: usize>(
        &self,
        prepared: &Prepared,
        rows: Rows<'_>,
        first: usize,
        keys: &mut [[u64; W]],
        masks: &mut [u64],
    ) {
        let Some(nulls) = prepared.nulls() else { return };
        let field = (u64::MAX >> (64 - self.bits.min(64))) << self.shift;
        for (i, (key, mask)) in keys.iter_mut().zip(masks).enumerate() {
            let null = u64::from(nulls.is_null(rows.get(first + i)));
            *mask |= null << self.number;
            key[self.word] &= !(field & null.wrapping_neg());
            if self.bits == 128 {
                key[self.word + 1] &= !null.wrapping_neg();
            }
        }
    }

    /// Turns the ids of `theirs` in `keys` into ids of this column; other kinds of values stay as they are.
    pub fn translate<const W: usize>(&mut self, theirs: &Self, keys: &mut [[u64; W]]) -> Result<(), GroupTableError> {
        let (Some(text), Some(theirs)) = (&mut self.text, &theirs.text) else { return Ok(()) };
        let ids = text.absorb(theirs)?;
        let field = u64::from(u32::MAX) << self.shift;
        for key in keys {
            let id = (key[self.word] >> self.shift) as u32;
            key[self.word] = key[self.word] & !field | u64::from(ids[id as usize]) << self.shift;
        }
        Ok(())
    }

    /// The column of `keys`; a row is NULL where this column's bit of its mask is set.
    pub fn unpack<const W: usize>(&self, keys: &[[u64; W]], masks: &[u64]) -> Result<ArrayRef, GroupTableError> {
        let from = Place { word: self.word, shift: self.shift };
        if let Some(text) = &self.text {
            return text.unpack(keys.iter().map(|key| (key[from.word] >> from.shift) as u32));
        }
        let nulls = NullBuffer::from_iter(masks.iter().map(|mask| mask >> self.number & 1 == 0));
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        if self.kind == Kind::Bool {
            let values = BooleanBuffer::collect_bool(keys.len(), |i| keys[i][from.word] >> from.shift & 1 == 1);
            return Ok(Arc::new(BooleanArray::new(values, nulls)));
        }
        let words = keys.iter().map(|key| key[from.word] >> from.shift);
        let values = match self.bits {
            8 => Buffer::from_vec(words.map(|word| word as u8).collect::<Vec<_>>()),
            16 => Buffer::from_vec(words.map(|word| word as u16).collect::<Vec<_>>()),
            32 => Buffer::from_vec(words.map(|word| word as u32).collect::<Vec<_>>()),
            64 => Buffer::from_vec(words.collect::<Vec<_>>()),
            _ => Buffer::from_vec(
                keys.iter()
                    .map(|key| i128::from(key[from.word + 1] as i64) << 64 | i128::from(key[from.word]))
                    .collect::<Vec<_>>(),
            ),
        };
        let data =
            ArrayData::builder(self.data_type.clone()).len(keys.len()).add_buffer(values).nulls(nulls).build()?;
        Ok(make_array(data))
    }
}

/// Where a value lies in a key.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    shift: u32,
}

impl Place {
    #[inline(always)]
    fn put<T: Copy, const W: usize>(
        self,
        values: &[T],
        rows: Rows<'_>,
        first: usize,
        keys: &mut [[u64; W]],
        bits: impl Fn(T) -> u64,
    ) {
        if self.shift == 0 {
            self.each(values, rows, first, keys, |word, value| *word = bits(value));
        } else {
            self.each(values, rows, first, keys, |word, value| *word |= bits(value) << self.shift);
        }
    }

    #[inline(always)]
    fn each<T: Copy, const W: usize>(
        self,
        values: &[T],
        rows: Rows<'_>,
        first: usize,
        keys: &mut [[u64; W]],
        write: impl Fn(&mut u64, T),
    ) {
        // Lets the compiler drop the check in the loops.
        assert!(self.word < W, "a column lies inside the key");
        match rows {
            Rows::All(_) => {
                for (key, &value) in keys.iter_mut().zip(&values[first..]) {
                    write(&mut key[self.word], value);
                }
            }
            Rows::List(list) => {
                for (key, &row) in keys.iter_mut().zip(&list[first..]) {
                    write(&mut key[self.word], values[row as usize]);
                }
            }
        }
    }
}

#[inline(always)]
fn float64(value: f64) -> u64 {
    // Adding 0.0 turns -0.0 into 0.0 and nothing else into something else.
    if value.is_nan() { 0x7ff8_0000_0000_0000 } else { (value + 0.0).to_bits() }
}

#[inline(always)]
fn float32(value: f32) -> u32 {
    if value.is_nan() { 0x7fc0_0000 } else { (value + 0.0).to_bits() }
}

#[inline(always)]
fn float16(bits: u16) -> u16 {
    match bits & 0x7fff {
        0 => 0,
        0x7c01.. => 0x7e00,
        _ => bits,
    }
}
