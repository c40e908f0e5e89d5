//! Group tables: key tuples in, dense group ids out.
//!
//! One of three layouts is chosen from the key types:
//!
//! - **packed**: every column takes at most 128 bits and all together at most 256. Columns are packed one at a time into
//!   one, two or four words a row, and the words are looked up in a table of (key, id) buckets. Text and binary columns
//!   become 32-bit ids first; a dictionary is interned once per entry used, not once per row. Keys of one word of which
//!   few bits vary are found in an array before the buckets are asked.
//! - **text**: one text or binary column. Its ids are the group ids.
//! - **general**: anything else, in Arrow's row format, as one byte string a row.
//!
//! NULL is a key value of its own, all NaN are one key, and -0.0 is 0.0. Ids depend on the rows alone: group `g` is the
//! `g`-th distinct key in order of appearance, whatever the layout, the batches and the encoding of the arrays.

mod columns;
mod general;
pub(crate) mod hash;
mod interner;
mod packed;
#[cfg(test)]
mod tests;
mod text;

use crate::Rows;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use general::General;
use interner::BLOCK;
use packed::Packed;
use text::TextColumn;

/// What can go wrong in a [`GroupTable`]. After an error the table may hold groups of the rows before the one at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupTableError {
    /// A key column has a type the table was not made for.
    #[error("a group key column has type {got}, the table was made for {want}")]
    Type {
        /// The type given to [`GroupTable::new`], without dictionaries.
        want: DataType,
        /// The type that came.
        got: DataType,
    },
    /// Too few or too many key columns.
    #[error("{got} group key columns, the table was made for {want}")]
    Columns {
        /// Columns given to [`GroupTable::new`].
        want: usize,
        /// Columns that came.
        got: usize,
    },
    /// More groups than ids.
    #[error("more than 4 billion groups in one table: use shorter windows or fewer key columns")]
    TooManyGroups,
    /// The keys of all groups do not fit one array.
    #[error("the {data_type} group keys of one table exceed 2 GiB: CAST the key to a large or view type")]
    TooLong {
        /// The type of the key column.
        data_type: DataType,
    },
    /// Key types that no layout can hold.
    #[error("cannot group by columns of types {types:?}")]
    Unsupported {
        /// All key types of the table.
        types: Vec<DataType>,
    },
    /// [`GroupTable::absorb`] of a table with other key types.
    #[error("cannot merge group tables with different key types")]
    OtherTypes,
    /// Arrow could not encode or decode the keys.
    #[error("cannot encode group keys")]
    Arrow(#[from] ArrowError),
}

enum Layout {
    One(Packed<1>),
    Two(Packed<2>),
    Four(Packed<4>),
    Text(TextColumn),
    General(General),
}

/// Maps key tuples to dense group ids `0..len()`, in order of first appearance.
///
/// Memory per group: packed 24–48 bytes for up to 8 bytes of keys, about double for up to 16; text about its length and
/// 20–40 bytes; no group has an allocation of its own. An empty table allocates nothing to speak of.
pub struct GroupTable {
    types: Vec<DataType>,
    layout: Layout,
}

impl std::fmt::Debug for GroupTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupTable").field("types", &self.types).field("groups", &self.len()).finish()
    }
}

impl GroupTable {
    /// An empty table for keys of these types. No column at all is legal: then all rows are one group.
    pub fn new(key_types: &[DataType]) -> Self {
        let types: Vec<DataType> = key_types.iter().map(general::plain_type).collect();
        let layout = match (types.as_slice(), columns::lay_out(&types)) {
            ([one], Some(_)) if text::is_text(one) => Layout::Text(TextColumn::new(one.clone())),
            (_, Some((columns, bits @ ..=64))) => Layout::One(Packed::new(columns, bits)),
            (_, Some((columns, bits @ ..=128))) => Layout::Two(Packed::new(columns, bits)),
            (_, Some((columns, bits @ ..=256))) => Layout::Four(Packed::new(columns, bits)),
            _ => Layout::General(General::new(types.clone())),
        };
        Self { types, layout }
    }

    /// Once it has grown past some hundred groups, the table makes room for so many at once. (Only packed ones need it.)
    pub fn expecting(mut self, groups: usize) -> Self {
        match &mut self.layout {
            Layout::One(table) => table.expect(groups),
            Layout::Two(table) => table.expect(groups),
            Layout::Four(table) => table.expect(groups),
            Layout::Text(_) | Layout::General(_) => {}
        }
        self
    }

    /// Writes to `ids` (cleared first) one id per row of `rows`. New keys get the next ids in row order.
    ///
    /// - `keys`: one array per key column, of the type given to `new`. Dictionaries may stand for their values and the
    ///   other way round, and text arrays (`Utf8`, `LargeUtf8`, `Utf8View`) for each other, as may binary ones.
    /// - `rows`: `All(n)` with `n` not above the length of the arrays, or row numbers below it.
    /// - Cost: two to four nanoseconds a row while the table is in cache; one or two cache misses where it is not.
    ///
    /// # Errors
    /// If the number or a type of the columns is not that of the table, or the table is full.
    ///
    /// # Panics
    /// If `rows` is `All` of more rows than the arrays have. A listed row that they do not have panics or counts as any key.
    pub fn intern(&mut self, keys: &[ArrayRef], rows: Rows<'_>, ids: &mut Vec<u32>) -> Result<(), GroupTableError> {
        ids.clear();
        if keys.len() != self.types.len() {
            return Err(GroupTableError::Columns { want: self.types.len(), got: keys.len() });
        }
        if rows.is_empty() {
            return Ok(());
        }
        if let (Rows::All(n), Some(least)) = (rows, keys.iter().map(|key| key.len()).min()) {
            assert!(n <= least, "{n} rows selected, a key column has {least}");
        }
        match &mut self.layout {
            Layout::One(table) => table.intern(keys, rows, ids),
            Layout::Two(table) => table.intern(keys, rows, ids),
            Layout::Four(table) => table.intern(keys, rows, ids),
            Layout::General(table) => table.intern(keys, rows, ids),
            Layout::Text(column) => {
                let prepared = column.prepare(&keys[0], rows.len())?;
                ids.resize(rows.len(), 0);
                for (block, ids) in ids.chunks_mut(BLOCK).enumerate() {
                    column.intern_block(&prepared, rows, block * BLOCK, ids)?;
                }
                Ok(())
            }
        }
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        match &self.layout {
            Layout::One(table) => table.len(),
            Layout::Two(table) => table.len(),
            Layout::Four(table) => table.len(),
            Layout::General(table) => table.len(),
            Layout::Text(column) => column.interner().len(),
        }
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key columns of all groups in id order, of the types [`output_types`](Self::output_types) gives.
    ///
    /// # Errors
    /// If the values of a `Utf8` or `Binary` column exceed 2 GiB together.
    pub fn keys(&self) -> Result<Vec<ArrayRef>, GroupTableError> {
        match &self.layout {
            Layout::One(table) => table.keys(),
            Layout::Two(table) => table.keys(),
            Layout::Four(table) => table.keys(),
            Layout::General(table) => table.keys(),
            Layout::Text(column) => Ok(vec![column.unpack(0..column.interner().len() as u32)?]),
        }
    }

    /// The types of [`keys`](Self::keys): those given to `new`, with dictionaries replaced by their values.
    pub fn output_types(&self) -> Vec<DataType> {
        self.types.clone()
    }

    /// Interns all groups of `other`, in its id order; entry `g` of the answer is the id here of its group `g`.
    ///
    /// # Errors
    /// If the key types differ or the table is full.
    pub fn absorb(&mut self, other: &GroupTable) -> Result<Vec<u32>, GroupTableError> {
        match (&mut self.layout, &other.layout) {
            (Layout::One(ours), Layout::One(theirs)) => ours.absorb(theirs),
            (Layout::Two(ours), Layout::Two(theirs)) => ours.absorb(theirs),
            (Layout::Four(ours), Layout::Four(theirs)) => ours.absorb(theirs),
            (Layout::General(ours), Layout::General(theirs)) => ours.absorb(theirs),
            (Layout::Text(ours), Layout::Text(theirs)) if ours.data_type() == theirs.data_type() => ours.absorb(theirs),
            _ => Err(GroupTableError::OtherTypes),
        }
    }

    /// Bytes allocated by the table. The dictionary met last, which it keeps alive, is not counted.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.layout {
                Layout::One(table) => table.memory_bytes(),
                Layout::Two(table) => table.memory_bytes(),
                Layout::Four(table) => table.memory_bytes(),
                Layout::General(table) => table.memory_bytes(),
                Layout::Text(column) => column.memory_bytes(),
            }
    }
}

/// Slots of a table after `slots` are full. Small tables take big steps; big ones only double, so as to stay small.
pub(crate) fn grown(slots: usize) -> usize {
    match slots {
        0 => 16,
        1..65_536 => slots * 4,
        _ => slots * 2,
    }
}
