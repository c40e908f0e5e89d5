//! Columns of few values: those that dictionaries are good for, guessed from the first records of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Schema};
use pelton_engine::connector::dictionary_type;

use super::columns::Part;
use super::{CsvSyntax, Format, Wanted};

/// How much of the first file is looked at, and how often a value must come on average there.
pub const SAMPLE_BYTES: usize = 256 << 10;
const ROWS_PER_VALUE_MIN: usize = 8;

/// The STRING columns of `schema`, as dictionaries.
pub fn wanted(schema: &Schema, format: Format, csv: CsvSyntax) -> Arc<Wanted> {
    let is_string = |at: &usize| *schema.field(*at).data_type() == DataType::Utf8;
    let strings: Vec<usize> = (0..schema.fields().len()).filter(is_string).collect();
    let coded: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), dictionary_type(), true)).collect();
    Arc::new(Wanted::new(&Schema::new(coded), &strings, usize::MAX, format, csv))
}

/// Those of the wanted columns that have few values in some records.
pub fn columns(wanted: &Wanted, part: &Part) -> Vec<usize> {
    let few = |column: &ArrayRef| column.as_any_dictionary().values().len() * ROWS_PER_VALUE_MIN <= column.len();
    let columns = wanted.columns.iter().zip(&part.columns);
    columns.filter(|(_, column)| column.as_ref().is_some_and(few)).map(|(at, _)| *at).collect()
}
