//! `Enrich`: a stream joined with a bounded table, on equality of expressions.
//!
//! The table is loaded before the first batch and never changes, so the step keeps no state of its own: each row is
//! looked up where it passes. Single integer keys that lie close together are looked up in a dense index, others by
//! the bytes of Arrow's row format. NULL keys match nothing, as SQL says.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, UInt32Array,
    UInt32Builder, downcast_primitive,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion_physical_expr::expressions::Column;
use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;
use pelton_kernels::Rows;
use std::hash::BuildHasher;

use super::{Emit, Operator};
use crate::batch::{MicroBatch, internal};
use crate::error::{Error, Result};
use crate::expr::{Compiled, plan_error};
use crate::lineage::Lineage;

/// Which rows without a partner are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Rows of the stream, with NULLs for the table's columns.
    Left,
}

/// The loaded table with its index.
pub struct LookupTable {
    rows: RecordBatch,
    index: Index,
    /// No key comes twice: a row of the stream has one partner at most.
    unique: bool,
}

/// Chains of table rows by key; `u32::MAX` ends a chain. Rows of one key are chained in table order.
enum Index {
    Dense {
        min: i64,
        first: Vec<u32>,
        next: Vec<u32>,
    },
    Hashed {
        converter: Box<RowConverter>,
        keys: arrow::row::Rows,
        heads: HashTable<u32>,
        next: Vec<u32>,
        hasher: DefaultHashBuilder,
    },
}

const END: u32 = u32::MAX;

fn is_small_integer(t: &DataType) -> bool {
    matches!(
        t,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
    )
}

impl LookupTable {
    /// Indexes `rows` by `keys` (one value a row each).
    pub fn build(rows: RecordBatch, keys: Vec<ArrayRef>) -> Result<Self> {
        let n = rows.num_rows();
        if u32::try_from(n).is_err() {
            return Err(Error::user(format!("a lookup table of {n} rows is too large to be held for a join")));
        }
        let keys: Vec<ArrayRef> = keys.iter().map(plain).collect::<Result<_>>()?;
        if keys.len() == 1 && is_small_integer(keys[0].data_type()) {
            let values = cast(&keys[0], &DataType::Int64).map_err(internal)?;
            let values = values.as_primitive::<Int64Type>();
            let min = arrow::compute::min(values).unwrap_or(0);
            let max = arrow::compute::max(values).unwrap_or(0);
            let range = max.abs_diff(min);
            if range < (4 * n as u64).max(65_536) {
                let mut first = vec![END; range as usize + 1];
                let mut next = vec![END; n];
                for row in (0..n).rev().filter(|&r| values.is_valid(r)) {
                    let slot = &mut first[(values.value(row) - min) as usize];
                    next[row] = *slot;
                    *slot = row as u32;
                }
                let unique = next.iter().all(|&next| next == END);
                return Ok(LookupTable { rows, index: Index::Dense { min, first, next }, unique });
            }
        }
        let fields = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(internal)?;
        let key_rows = converter.convert_columns(&keys).map_err(internal)?;
        let hasher = DefaultHashBuilder::default();
        let mut heads: HashTable<u32> = HashTable::with_capacity(n);
        let mut next = vec![END; n];
        for row in (0..n).rev().filter(|&r| keys.iter().all(|k| k.is_valid(r))) {
            let bytes = key_rows.row(row);
            let hash = hasher.hash_one(bytes.as_ref());
            match heads.find_mut(hash, |&head| key_rows.row(head as usize) == bytes) {
                Some(head) => {
                    next[row] = *head;
                    *head = row as u32;
                }
                None => {
                    heads
                        .insert_unique(hash, row as u32, |&head| hasher.hash_one(key_rows.row(head as usize).as_ref()));
                }
            }
        }
        let unique = next.iter().all(|&next| next == END);
        let index = Index::Hashed { converter: Box::new(converter), keys: key_rows, heads, next, hasher };
        Ok(LookupTable { rows, index, unique })
    }

    /// Of a dense index without repeated keys: the selected stream rows that have a partner, and the partners. `None` if the
    /// key is none of small integers, or may be NULL.
    fn find(&self, key: &ArrayRef, rows: Rows<'_>) -> Option<(Vec<u32>, Vec<u32>)> {
        let Index::Dense { min, first, .. } = &self.index else { return None };
        if key.null_count() > 0 {
            return None;
        }
        match key.data_type() {
            DataType::Int32 => Some(find(key.as_primitive::<Int32Type>().values(), rows, *min, first)),
            DataType::Int64 => Some(find(key.as_primitive::<Int64Type>().values(), rows, *min, first)),
            _ => None,
        }
    }

    /// Pairs of (stream row, table row) in stream order; for `Left`, a missing partner is NULL.
    fn probe(&self, keys: &[ArrayRef], kind: JoinKind) -> Result<(Vec<u32>, UInt32Array)> {
        let n = keys.first().map_or(0, |k| k.len());
        let (mut left, mut right) = (Vec::with_capacity(n), UInt32Builder::with_capacity(n));
        let mut follow = |row: usize, mut at: u32, next: &[u32]| {
            if at == END && kind == JoinKind::Left {
                left.push(row as u32);
                right.append_null();
            }
            while at != END {
                left.push(row as u32);
                right.append_value(at);
                at = next[at as usize];
            }
        };
        match &self.index {
            Index::Dense { min, first, next } => {
                let values = cast(&plain(&keys[0])?, &DataType::Int64).map_err(internal)?;
                let values: &Int64Array = values.as_primitive();
                for row in 0..n {
                    let at = if values.is_valid(row) {
                        usize::try_from(values.value(row).wrapping_sub(*min))
                            .ok()
                            .and_then(|i| first.get(i))
                            .copied()
                            .unwrap_or(END)
                    } else {
                        END
                    };
                    follow(row, at, next);
                }
            }
            Index::Hashed { converter, keys: table_keys, heads, next, hasher } => {
                let keys: Vec<ArrayRef> = keys.iter().map(plain).collect::<Result<_>>()?;
                let rows = converter.convert_columns(&keys).map_err(internal)?;
                for row in 0..n {
                    let mut at = END;
                    if keys.iter().all(|k| k.is_valid(row)) {
                        let bytes = rows.row(row);
                        let hash = hasher.hash_one(bytes.as_ref());
                        at = heads.find(hash, |&head| table_keys.row(head as usize) == bytes).copied().unwrap_or(END);
                    }
                    follow(row, at, next);
                }
            }
        }
        Ok((left, right.finish()))
    }
}

/// Keys without dictionary, view or float-sign variations, so that equal values have equal bytes.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let plain = match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value).map_err(internal)?,
        DataType::Utf8View | DataType::LargeUtf8 => cast(array, &DataType::Utf8).map_err(internal)?,
        DataType::Float64 => {
            let values = array.as_primitive::<arrow::datatypes::Float64Type>();
            Arc::new(values.unary::<_, arrow::datatypes::Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<arrow::datatypes::Float32Type>();
            Arc::new(values.unary::<_, arrow::datatypes::Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        _ => array.clone(),
    };
    Ok(plain)
}

/// The selected rows whose key `first` has, and what it has for them.
fn find<K: Copy + Into<i64>>(keys: &[K], rows: Rows<'_>, min: i64, first: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut found, mut partners) = (vec![0; rows.len()], vec![0; rows.len()]);
    let mut count = 0;
    let mut look = |row: usize| {
        let at = keys[row].into().wrapping_sub(min) as u64;
        let partner = if at < first.len() as u64 { first[at as usize] } else { END };
        // Written always and kept if there is a partner: no branch to guess wrong.
        (found[count], partners[count]) = (row as u32, partner);
        count += usize::from(partner != END);
    };
    match rows {
        Rows::All(n) => (0..n).for_each(look),
        Rows::List(list) => list.iter().for_each(|row| look(*row as usize)),
    }
    found.truncate(count);
    partners.truncate(count);
    (found, partners)
}

/// For a column of `n` rows: the values of the table's rows `partners` at its rows `found`, anything at the others. `None` if
/// that is not as simple as it sounds.
fn beside(column: &ArrayRef, n: usize, found: &[u32], partners: &[u32]) -> Option<ArrayRef> {
    fn scattered<T: ArrowPrimitiveType>(column: &ArrayRef, n: usize, found: &[u32], partners: &[u32]) -> ArrayRef {
        let (values, mut beside) = (column.as_primitive::<T>().values(), vec![T::Native::default(); n]);
        for (row, partner) in found.iter().zip(partners) {
            beside[*row as usize] = values[*partner as usize];
        }
        let beside = PrimitiveArray::<T>::new(beside.into(), None);
        Arc::new(beside.with_data_type(column.data_type().clone()))
    }
    if column.null_count() > 0 {
        return None;
    }
    macro_rules! scattered {
        ($t:ty) => {
            Some(scattered::<$t>(column, n, found, partners))
        };
    }
    downcast_primitive! {
        column.data_type() => (scattered),
        _ => None
    }
}

/// See the module.
pub struct Enrich {
    /// Keys over the stream's columns.
    pub keys: Vec<Compiled>,
    /// Which rows stay.
    pub kind: JoinKind,
    /// A further condition on pairs, over the output columns.
    pub filter: Option<Compiled>,
    /// The table, set once before the first batch.
    pub table: Arc<OnceLock<LookupTable>>,
    /// Stream columns, then table columns.
    pub schema: SchemaRef,
    /// How `EXPLAIN` calls the table.
    pub text: String,
}

impl Enrich {
    fn pairs(
        &self,
        batch: &MicroBatch,
        left: &UInt32Array,
        right: &UInt32Array,
        table: &LookupTable,
    ) -> Result<MicroBatch> {
        let taken = batch.take(left)?;
        let mut columns = taken.columns.columns().to_vec();
        for column in table.rows.columns() {
            columns.push(take(column, right, None).map_err(internal)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(left.len()));
        Ok(taken
            .with_columns(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(internal)?))
    }
}

impl Enrich {
    /// Where each row of the stream finds one row of the table or leaves: its columns stay as they are, the table's come
    /// beside them, and rows without a partner are selected no more. `None` where that is not enough.
    fn beside(&self, batch: &MicroBatch, table: &LookupTable) -> Result<Option<MicroBatch>> {
        let [key] = &self.keys[..] else { return Ok(None) };
        let key: &dyn std::any::Any = key.as_ref();
        let Some(key) = key.downcast_ref::<Column>() else { return Ok(None) };
        if self.kind != JoinKind::Inner || self.filter.is_some() || !table.unique || table.rows.num_rows() == 0 {
            return Ok(None);
        }
        let n = batch.columns.num_rows();
        let Some((found, partners)) = table.find(batch.columns.column(key.index()), batch.selected()) else {
            return Ok(None);
        };
        let besides = table.rows.columns().iter().map(|column| beside(column, n, &found, &partners));
        let Some(besides) = besides.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let columns = batch.columns.columns().iter().cloned().chain(besides).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n));
        let columns = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(internal)?;
        let selection = if found.len() == batch.rows() { batch.selection.clone() } else { Some(found.into()) };
        Ok(Some(MicroBatch { selection, ..batch.with_columns(columns) }))
    }
}

impl Operator for Enrich {
    fn push(&self, _slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let table = self.table.get().expect("tables are loaded before the first batch");
        if let Some(joined) = self.beside(&batch, table)? {
            if joined.rows() > 0 {
                out.batches.push(joined);
            }
            return Ok(());
        }
        let batch = batch.dense()?;
        let n = batch.rows();
        let keys = self
            .keys
            .iter()
            .map(|k| k.evaluate(&batch.columns).and_then(|v| v.into_array(n)).map_err(plan_error))
            .collect::<Result<Vec<_>>>()?;
        let joined = match &self.filter {
            None => {
                let (left, right) = table.probe(&keys, self.kind)?;
                self.pairs(&batch, &UInt32Array::from(left), &right, table)?
            }
            Some(filter) => {
                let (left, right) = table.probe(&keys, JoinKind::Inner)?;
                let all = self.pairs(&batch, &UInt32Array::from(left.clone()), &right, table)?;
                let keep = filter.evaluate(&all.columns).and_then(|v| v.into_array(all.rows())).map_err(plan_error)?;
                let keep: &BooleanArray = keep.as_boolean();
                let kept = crate::batch::selected(keep);
                let pair = |&i: &u32| (left[i as usize], right.value(i as usize));
                let mut kept = kept.values().iter().map(pair).peekable();
                let (mut rows, mut partners) = (vec![], UInt32Builder::new());
                for row in 0..n as u32 {
                    let before = rows.len();
                    while let Some((_, partner)) = kept.next_if(|(l, _)| *l == row) {
                        rows.push(row);
                        partners.append_value(partner);
                    }
                    if rows.len() == before && self.kind == JoinKind::Left {
                        rows.push(row);
                        partners.append_null();
                    }
                }
                self.pairs(&batch, &UInt32Array::from(rows), &partners.finish(), table)?
            }
        };
        if joined.rows() > 0 {
            out.batches.push(joined);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|k| k.to_string()).collect();
        format!("Enrich {:?} with {} on [{}]", self.kind, self.text, keys.join(", "))
    }

    fn lineage(&self, input: &Lineage) -> Lineage {
        let keys: Vec<String> = self.keys.iter().map(|key| input.expr(key)).collect();
        let more = self.schema.fields().len().saturating_sub(input.width());
        input.and(&format!("{} by {}", self.text, keys.join(", ")), more)
    }

    fn is_stateless(&self) -> bool {
        true
    }
}
