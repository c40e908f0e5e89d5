//! Scalar functions that the embedding program brings: Python's.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::error::{Error, Result};
use crate::sql::errors::carry;
use crate::sql::types;

/// A function from outside, called with whole columns.
///
/// Law: each value of the answer depends on the values of its own row alone, and is the same whenever it is asked for. The engine
/// calls it for any cut of the rows, on any thread, once or several times, so an answer that depends on anything else would differ
/// from run to run.
pub trait Function: Send + Sync {
    /// What it is called in SQL; compared case-insensitively.
    fn name(&self) -> &str;
    /// The types of its arguments. What is given is cast to them where SQL would do so by itself.
    fn arguments(&self) -> &[DataType];
    /// The type of its answer.
    fn returns(&self) -> &DataType;
    /// The answers for `rows` rows, of type [`Function::returns`]. An error is taken for that of a row, which is then looked for
    /// and becomes a dead letter, unless it is [of the run](Error::of_the_run).
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef>;
}

/// One of them, as DataFusion wants it.
pub struct Outside {
    function: Arc<dyn Function>,
    signature: Signature,
}

impl Outside {
    /// As DataFusion wants it.
    pub fn new(function: Arc<dyn Function>) -> Self {
        Outside { function, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn usage(&self) -> String {
        let arguments: Vec<String> = self.function.arguments().iter().map(types::name).collect();
        format!("{}({})", self.function.name().to_uppercase(), arguments.join(", "))
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name())
    }
}

impl PartialEq for Outside {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for Outside {}

impl Hash for Outside {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for Outside {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> DfResult<Vec<DataType>> {
        let wanted = self.function.arguments();
        let fits = |(from, to): (&DataType, &DataType)| {
            let plain = if let DataType::Dictionary(_, value) = from { value } else { from };
            plain.is_null() || types::fits(plain, to, true)
        };
        if given.len() != wanted.len() || !given.iter().zip(wanted).all(fits) {
            let given: Vec<String> = given.iter().map(types::name).collect();
            let name = self.function.name().to_uppercase();
            return Err(carry(Error::user(format!("{name}({}): wanted {}", given.join(", "), self.usage()))));
        }
        Ok(wanted.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(self.function.returns().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let is_one = !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { args.number_rows };
        let arrays = args.args.iter().zip(self.function.arguments()).map(|(arg, wanted)| {
            let array = arg.to_array(rows)?;
            Ok(if array.data_type() == wanted { array } else { arrow::compute::cast(&array, wanted)? })
        });
        let arrays = arrays.collect::<DfResult<Vec<ArrayRef>>>()?;
        let answer = self.function.call(&arrays, rows).map_err(carry)?;
        if answer.len() != rows || answer.data_type() != self.function.returns() {
            return Err(carry(
                Error::bug(format!("{} has not answered what was promised", self.function.name())).of_the_run(),
            ));
        }
        match is_one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::connector::Registry;
    use crate::sql::{Outcome, Session};

    /// Doubles its argument, or answers too little.
    struct Double(&'static str, usize);

    impl Function for Double {
        fn name(&self) -> &str {
            self.0
        }

        fn arguments(&self) -> &[DataType] {
            &[DataType::Int64]
        }

        fn returns(&self) -> &DataType {
            &DataType::Int64
        }

        fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
            let values = arguments[0].as_primitive::<Int64Type>();
            Ok(Arc::new((0..rows - self.1).map(|row| Some(values.value(row) * 2)).collect::<Int64Array>()))
        }
    }

    fn plan(session: &mut Session, text: &str) -> Result<String> {
        match session.run(text)?.pop() {
            Some(Outcome::Jobs(jobs)) => Ok(jobs[0].plan.display_indent().to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_function_is_called_and_keeps_its_place_in_another_zone() {
        let mut session = Session::new(Registry::default());
        session.register_function(Arc::new(Double("Twice", 0))).unwrap();
        session.run("SET 'pelton.time-zone' = 'Europe/Vienna'").unwrap();
        let shown = plan(&mut session, "SELECT twice(21) AS x, TWICE(CAST(4 AS SMALLINT)) AS y").unwrap();
        assert!(shown.contains("Int64(42)") && shown.contains("Int64(8)"), "{shown}");
    }

    #[test]
    fn wrong_arguments_and_names_are_refused() {
        let mut session = Session::new(Registry::default());
        session.register_function(Arc::new(Double("twice", 0))).unwrap();
        session.register_function(Arc::new(Double("twice", 0))).unwrap();
        let error = session.register_function(Arc::new(Double("upper", 0))).unwrap_err();
        assert_eq!(error.message(), "there is a function UPPER already");
        for text in ["SELECT twice('a') AS x", "SELECT twice(1, 2) AS x", "SELECT twice() AS x"] {
            let error = plan(&mut session, text).unwrap_err();
            assert!(error.message().ends_with("wanted TWICE(BIGINT)"), "{text}: {error}");
        }
    }
}
