//! Functions of Python's over whole columns, for SQL.

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_pyarrow::{FromPyArrow, ToPyArrow};
use pelton_engine::error::{Error, Result};
use pelton_engine::sql::{Function, types};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::attach::attached;
use crate::errors;

/// A function of Python's.
pub struct PythonFunction {
    /// As in SQL.
    pub name: String,
    /// What it is called with: `pyarrow.Array`s of these types.
    pub arguments: Vec<DataType>,
    /// What it answers.
    pub returns: DataType,
    /// Itself.
    pub function: Py<PyAny>,
    /// What it raises, and an answer that does not fit, is the fault of a row, which becomes a dead letter; else it ends the run.
    pub blames_rows: bool,
}

impl Function for PythonFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn arguments(&self) -> &[DataType] {
        &self.arguments
    }

    fn returns(&self) -> &DataType {
        &self.returns
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let answer = attached(|py| self.call_python(py, arguments));
        let answer = answer.map_err(|error| errors::raised("UdfError", &self.who(), error));
        answer
            .and_then(|array| self.fit(array, rows))
            .map_err(|error| if self.blames_rows { error } else { error.of_the_run() })
    }
}

impl PythonFunction {
    fn who(&self) -> String {
        format!("the function {}", self.name)
    }

    fn call_python(&self, py: Python<'_>, arguments: &[ArrayRef]) -> PyResult<ArrayRef> {
        let arrays = arguments.iter().map(|array| array.to_data().to_pyarrow(py)).collect::<PyResult<Vec<_>>>()?;
        let answer = self.function.bind(py).call1(PyTuple::new(py, arrays)?)?;
        if answer.hasattr(intern!(py, "__arrow_c_array__"))? {
            return Ok(make_array(ArrayData::from_pyarrow_bound(&answer)?));
        }
        // A chunked array, or what pyarrow makes an array of: numpy's, pandas', polars', lists.
        let pyarrow = py.import(intern!(py, "pyarrow"))?;
        let array = if answer.hasattr(intern!(py, "__arrow_c_stream__"))? {
            let chunked = pyarrow.call_method1(intern!(py, "chunked_array"), (answer,))?;
            chunked.call_method0(intern!(py, "combine_chunks"))?
        } else {
            let options = PyDict::new(py);
            options.set_item("type", self.returns.to_pyarrow(py)?)?;
            pyarrow.call_method(intern!(py, "array"), (answer,), Some(&options))?
        };
        Ok(make_array(ArrayData::from_pyarrow_bound(&array)?))
    }

    /// The answer in the promised type.
    fn fit(&self, array: ArrayRef, rows: usize) -> Result<ArrayRef> {
        let wrong = |text: String| errors::answered("UdfError", &self.who(), text);
        if array.len() != rows {
            return Err(wrong(format!("returned {} values for {rows} rows", array.len())));
        }
        if array.data_type() == &self.returns {
            return Ok(array);
        }
        if !types::fits(array.data_type(), &self.returns, true) {
            let (given, wanted) = (types::name(array.data_type()), types::name(&self.returns));
            return Err(wrong(format!("returned {given}, but was registered with {wanted}")));
        }
        cast(&array, &self.returns).map_err(|e| Error::user(self.who()).because(e))
    }
}
