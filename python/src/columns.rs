//! Columns between Python and the engine: types as tables keep them, batches in and out without copying.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, RecordBatchReader};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_array::ffi_stream::ArrowArrayStreamReader;
use arrow_pyarrow::{FromPyArrow, IntoPyArrow, ToPyArrow};
use pelton_engine::sql::types;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// The type in which a table keeps a column of Python's: strings without views, times with a zone in UTC, floats of 32 bits at least.
/// `None` for what SQL has no type for.
pub fn declared(data_type: &DataType) -> Option<DataType> {
    let field = |field: &Field| Some(Arc::new(field.clone().with_data_type(declared(field.data_type())?)));
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, value) => declared(value)?,
        DataType::RunEndEncoded(_, values) => declared(values.data_type())?,
        DataType::Timestamp(unit, zone) => {
            let unit = if *unit == TimeUnit::Second { TimeUnit::Millisecond } else { *unit };
            DataType::Timestamp(unit, zone.as_ref().map(|_| types::UTC.into()))
        }
        DataType::Time32(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(field(item)?),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f)).collect::<Option<_>>()?),
        DataType::Duration(_) | DataType::Union(..) | DataType::Decimal256(..) => return None,
        other => other.clone(),
    })
}

/// The columns of a table over Python's; fails with the name of the column that has no type in SQL, or that another one has too.
pub fn declared_schema(schema: &Schema) -> Result<SchemaRef, String> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().to_lowercase()).collect();
    if let Some(twice) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        return Err(format!("two columns are called '{}', and SQL takes no heed of case", schema.field(twice).name()));
    }
    let fields = schema.fields().iter().map(|f| match declared(f.data_type()) {
        Some(data_type) => Ok(Field::new(f.name(), data_type, f.is_nullable())),
        None => Err(format!("column '{}' is {}, which SQL has no type for", f.name(), f.data_type())),
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?)))
}

/// The columns in other types, where they are others.
pub fn in_types(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        Ok(if column.data_type() == field.data_type() { column.clone() } else { cast(column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, arrow::error::ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// What a Python object has of columns and rows.
pub struct Imported {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
}

/// Takes the columns of a Python object over: of anything that gives an Arrow array or stream by a capsule, and of dicts and lists of dicts.
/// `like`: the columns that those are to have.
pub fn import(object: &Bound<'_, PyAny>, like: Option<&SchemaRef>) -> PyResult<Imported> {
    let py = object.py();
    if object.hasattr(intern!(py, "__arrow_c_array__"))? {
        let batch = RecordBatch::from_pyarrow_bound(object)?;
        return Ok(Imported { schema: batch.schema(), batches: vec![batch] });
    }
    if object.hasattr(intern!(py, "__arrow_c_stream__"))? {
        let reader = ArrowArrayStreamReader::from_pyarrow_bound(object)?;
        let schema = reader.schema();
        if schema.fields().is_empty() {
            return Err(PyTypeError::new_err("there are no columns in it"));
        }
        let batches = py.detach(|| reader.collect::<Result<Vec<_>, _>>());
        let batches = batches.map_err(|e| PyTypeError::new_err(format!("its rows cannot be read: {e}")))?;
        return Ok(Imported { schema, batches });
    }
    if object.is_instance_of::<PyDict>() || object.is_instance_of::<PyList>() {
        let like = like.map(|schema| schema.as_ref().to_pyarrow(py)).transpose()?;
        let batch = py.import(intern!(py, "pelton.rows"))?.call_method1(intern!(py, "batch"), (object, like))?;
        return import(&batch, None);
    }
    Err(PyTypeError::new_err(format!(
        "{} gives no Arrow columns; wanted: pyarrow, polars, pandas or duckdb, anything with __arrow_c_stream__ or \
         __arrow_c_array__, a dict of lists, or a list of dicts",
        object.get_type().fully_qualified_name()?
    )))
}

/// Columns of a `pyarrow.Schema`, of anything that gives a schema by a capsule, or of a dict of names to SQL types or types of pyarrow.
pub fn import_schema(object: &Bound<'_, PyAny>) -> PyResult<Schema> {
    let Ok(columns) = object.cast::<PyDict>() else { return Schema::from_pyarrow_bound(object) };
    let fields = columns
        .iter()
        .map(|(name, data_type)| Ok(Field::new(name.extract::<String>()?, import_type(&data_type)?, true)));
    Ok(Schema::new(fields.collect::<PyResult<Vec<_>>>()?))
}

/// A type, as SQL writes it or as pyarrow has it.
pub fn import_type(object: &Bound<'_, PyAny>) -> PyResult<DataType> {
    match object.extract::<String>() {
        Ok(text) => types::parse(&text).map_err(|e| crate::errors::to_python(object.py(), &e, Some(&text))),
        Err(_) => DataType::from_pyarrow_bound(object),
    }
}

/// Rows as a `pyarrow.Table`.
pub fn table<'py>(py: Python<'py>, schema: &SchemaRef, batches: Vec<RecordBatch>) -> PyResult<Bound<'py, PyAny>> {
    let table = arrow_pyarrow::Table::try_new(batches, schema.clone());
    table.map_err(|e| PyTypeError::new_err(e.to_string()))?.into_pyarrow(py)
}
