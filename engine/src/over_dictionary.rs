//! Expressions over one dictionary column: computed once per value of the dictionary and looked up per row.
//!
//! `country IN ('US', 'GB')` over a dictionary of 30 countries is 31 comparisons (NULL is one more value), whatever the
//! number of rows; batches that share a dictionary share them. Where a value fails, perhaps one that no row has, the
//! expression goes over the rows as it is.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, UInt32Type};
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr_common::physical_expr::is_volatile;

use pelton_kernels::select::Members;
use pelton_kernels::stage::Among;

use crate::expr::Compiled;

/// Puts every largest part of `expr` that reads one column, a dictionary, over the dictionary's values.
pub fn over_dictionaries(expr: Compiled, schema: &SchemaRef) -> Result<Compiled> {
    expr.transform_down(|node| {
        let any: &dyn Any = node.as_ref();
        if any.is::<Column>() || any.is::<Literal>() || node.children().is_empty() {
            return Ok(Transformed::no(node));
        }
        let Some(column) = only_column(&node)? else { return Ok(Transformed::no(node)) };
        if !matches!(schema.field(column).data_type(), DataType::Dictionary(..)) || is_volatile(&node) {
            return Ok(Transformed::no(node));
        }
        let over = OverDictionary::new(node, column, schema.field(column))?;
        Ok(Transformed::new(Arc::new(over) as Compiled, true, TreeNodeRecursion::Jump))
    })
    .map(|t| t.data)
}

impl Among for OverDictionary {
    fn members(&self, column: &ArrayRef) -> Option<Members> {
        let values = column.as_any_dictionary_opt()?.values();
        let results = self.results(values, column.len())?;
        let truths = results.as_boolean_opt()?;
        Some(Members::new((0..truths.len()).map(|i| truths.is_valid(i) && truths.value(i))))
    }
}

/// The one column that an expression reads.
fn only_column(expr: &Compiled) -> Result<Option<usize>> {
    let mut found: Option<usize> = None;
    let mut several = false;
    expr.apply(|node| {
        if let Some(column) = (node.as_ref() as &dyn Any).downcast_ref::<Column>() {
            several |= found.is_some_and(|f| f != column.index());
            found = Some(column.index());
        }
        Ok(if several { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found.filter(|_| !several))
}

/// See the module.
#[derive(Clone, Debug)]
pub struct OverDictionary {
    /// The expression over the batch.
    inner: Compiled,
    column: usize,
    /// The same over a batch of that column alone.
    alone: Compiled,
    schema: SchemaRef,
    /// The values met last, with their results; the result of NULL is behind them.
    last: Arc<Mutex<Option<(ArrayRef, ArrayRef)>>>,
}

impl OverDictionary {
    fn new(inner: Compiled, column: usize, field: &Field) -> Result<Self> {
        let alone = inner.clone().transform_up(|node| {
            Ok(match (node.as_ref() as &dyn Any).downcast_ref::<Column>() {
                Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0)) as Compiled),
                None => Transformed::no(node),
            })
        })?;
        let schema = Arc::new(Schema::new(vec![field.clone().with_nullable(true)]));
        Ok(OverDictionary { inner, column, alone: alone.data, schema, last: Arc::default() })
    }

    /// The column, by its index.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The expression as it goes over rows.
    pub fn inner(&self) -> &Compiled {
        &self.inner
    }

    /// True if the values are texts.
    pub fn is_over_texts(&self) -> bool {
        matches!(self.schema.field(0).data_type(), DataType::Dictionary(_, value) if **value == DataType::Utf8)
    }

    /// For a predicate: the rows' keys and the values that satisfy it; `None` if that is not how it is to be computed.
    pub fn members(&self, batch: &RecordBatch) -> Result<Option<(UInt32Array, Members)>> {
        let Some(dictionary) = batch.columns().get(self.column).and_then(|c| c.as_any_dictionary_opt()) else {
            return Ok(None);
        };
        if dictionary.keys().null_count() > 0 {
            return Ok(None);
        }
        let Some(results) = self.results(dictionary.values(), batch.num_rows()) else { return Ok(None) };
        let Some(truths) = results.as_boolean_opt() else { return Ok(None) };
        let members = Members::new((0..truths.len()).map(|i| truths.is_valid(i) && truths.value(i)));
        Ok(Some((unsigned(dictionary.keys())?, members)))
    }

    /// Results for all values and, behind them, NULL; `None` if it is not worth it or a value fails.
    fn results(&self, values: &ArrayRef, rows: usize) -> Option<ArrayRef> {
        let mut last = self.last.lock().expect("no panic holds this lock");
        if let Some((known, results)) = last.as_ref()
            && (Arc::ptr_eq(known, values) || known.to_data().ptr_eq(&values.to_data()))
        {
            return Some(results.clone());
        }
        if values.len() > rows.max(64) {
            return None;
        }
        let all = concat(&[values.as_ref(), new_null_array(values.data_type(), 1).as_ref()]).ok()?;
        let column = cast(&all, self.schema.field(0).data_type()).ok()?;
        let n = column.len();
        let batch = RecordBatch::try_new(self.schema.clone(), vec![column]).ok()?;
        let results = self.alone.evaluate(&batch).and_then(|v| v.into_array(n)).ok()?;
        *last = Some((values.clone(), results.clone()));
        Some(results)
    }
}

/// Keys of a dictionary. They are never negative, and of Int32 the bits are those of UInt32.
fn unsigned(keys: &dyn Array) -> Result<UInt32Array> {
    if let Some(keys) = keys.as_primitive_opt::<Int32Type>() {
        let buffer = ScalarBuffer::new(keys.values().inner().clone(), 0, keys.len());
        return Ok(UInt32Array::new(buffer, keys.nulls().cloned()));
    }
    Ok(cast(keys, &DataType::UInt32)?.as_primitive::<UInt32Type>().clone())
}

/// The result of each row's key.
fn gather(results: &ArrayRef, keys: &UInt32Array) -> Result<ArrayRef> {
    let null_slot = (results.len() - 1) as u32;
    if let Some(truths) = results.as_boolean_opt()
        && truths.null_count() == 0
        && keys.null_count() == 0
    {
        let table: Vec<bool> = truths.values().iter().collect();
        let keys = keys.values();
        let rows = BooleanBuffer::collect_bool(keys.len(), |i| table[keys[i] as usize]);
        return Ok(Arc::new(BooleanArray::new(rows, None)));
    }
    if keys.null_count() == 0 {
        return Ok(take(results, keys, None)?);
    }
    let keys: UInt32Array = keys.iter().map(|key| Some(key.unwrap_or(null_slot))).collect();
    Ok(take(results, &keys, None)?)
}

impl PartialEq for OverDictionary {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for OverDictionary {}

impl Hash for OverDictionary {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for OverDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for OverDictionary {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some(dictionary) = batch.columns().get(self.column).and_then(|c| c.as_any_dictionary_opt()) else {
            return self.inner.evaluate(batch);
        };
        let Some(results) = self.results(dictionary.values(), batch.num_rows()) else {
            return self.inner.evaluate(batch);
        };
        Ok(ColumnarValue::Array(gather(&results, &unsigned(dictionary.keys())?)?))
    }

    fn children(&self) -> Vec<&Compiled> {
        vec![&self.inner]
    }

    // The column may have moved: CASE computes its branches over fewer columns.
    fn with_new_children(self: Arc<Self>, mut children: Vec<Compiled>) -> Result<Compiled> {
        let inner = children.remove(0);
        Ok(match only_column(&inner)? {
            Some(column) => Arc::new(OverDictionary::new(inner, column, self.schema.field(0))?),
            None => inner,
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array};
    use datafusion_common::ScalarValue;
    use datafusion_expr::Operator;
    use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, IsNullExpr, lit};

    use super::*;

    fn batch(words: &[Option<&str>]) -> RecordBatch {
        let words: DictionaryArray<Int32Type> = words.iter().copied().collect();
        let numbers: Int64Array = (0..words.len() as i64).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(numbers) as ArrayRef, true),
            ("w", Arc::new(words) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn word() -> Compiled {
        Arc::new(Column::new("w", 1))
    }

    fn text() -> Compiled {
        Arc::new(CastExpr::new(word(), DataType::Utf8, None))
    }

    fn equal(left: Compiled, right: Compiled) -> Compiled {
        Arc::new(BinaryExpr::new(left, Operator::Eq, right))
    }

    #[test]
    fn says_what_the_rows_say() {
        let rows = batch(&[Some("a"), None, Some("b"), Some("a"), Some("c"), None]);
        let schema = rows.schema();
        let is_a = equal(text(), lit("a"));
        let null: Compiled = Arc::new(IsNullExpr::new(word()));
        let either: Compiled = Arc::new(BinaryExpr::new(is_a.clone(), Operator::Or, null.clone()));
        for plain in [is_a.clone(), null, either, text()] {
            let over = over_dictionaries(plain.clone(), &schema).unwrap();
            assert!((over.as_ref() as &dyn Any).is::<OverDictionary>(), "{plain}");
            for rows in [rows.clone(), rows.slice(2, 3), batch(&[None, None]), batch(&[Some("z")])] {
                let value = |e: &Compiled| e.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap();
                assert_eq!(&value(&over), &value(&plain), "{plain}");
            }
        }
        // Only the part over the dictionary.
        let both: Compiled =
            Arc::new(BinaryExpr::new(is_a, Operator::And, equal(Arc::new(Column::new("n", 0)), lit(0_i64))));
        let over = over_dictionaries(both.clone(), &schema).unwrap();
        assert!((over.as_ref() as &dyn Any).is::<BinaryExpr>());
        assert!((over.children()[0].as_ref() as &dyn Any).is::<OverDictionary>());
        let value = |e: &Compiled| e.evaluate(&rows).unwrap().into_array(rows.num_rows()).unwrap();
        assert_eq!(&value(&over), &value(&both));
    }

    #[test]
    fn a_value_that_fails_fails_only_for_its_rows() {
        let rows = batch(&[Some("1"), Some("x"), Some("2")]);
        let number: Compiled = Arc::new(CastExpr::new(text(), DataType::Int64, None));
        let plain = equal(number, lit(ScalarValue::from(2_i64)));
        let over = over_dictionaries(plain, &rows.schema()).unwrap();
        assert!(over.evaluate(&rows).is_err());
        let good = arrow::compute::filter_record_batch(&rows, &BooleanArray::from(vec![true, false, true])).unwrap();
        let got = over.evaluate(&good).unwrap().into_array(2).unwrap();
        assert_eq!(got.as_boolean(), &BooleanArray::from(vec![false, true]));
    }
}
