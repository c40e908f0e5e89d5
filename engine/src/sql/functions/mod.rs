//! The functions: DataFusion's scalar functions, Flink's on top, and the aggregates.
//!
//! Where both have a function of one name, Flink's meaning wins (`CONCAT` with a NULL is NULL, `TO_TIMESTAMP` answers
//! `TIMESTAMP(3)`, `FROM_UNIXTIME` a string). Strings are `Utf8`, never views.
//!
//! Functions that DataFusion computes with the platform's math library are ours too (`math`), so that every machine gives
//! the same bits; `degrees`, `radians` and `sqrt` are exact as they are.

mod digests;
mod math;
pub mod outside;
pub mod pattern;
mod strings;
pub mod times;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, TimeUnit};
use chrono_tz::Tz;
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::{
    AggregateUDF, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use self::outside::{Function, Outside};
use super::aggregates;
use super::errors::carry;
use super::learn::LearningDef;
use super::models::{Call, ModelDef};
use super::types;
use crate::error::Error;

/// All functions by name, in lower case.
#[derive(Debug, Clone)]
pub struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<&'static str, Arc<AggregateUDF>>,
    /// Functions on which `pelton.time-zone` acts are made for this zone.
    pub zone: Tz,
    /// Models by name, in lower case.
    models: BTreeMap<String, Arc<ModelDef>>,
    /// Those that learn; no name is in both.
    learning: BTreeMap<String, Arc<LearningDef>>,
    /// Functions from outside by name, in lower case.
    outside: BTreeMap<String, Arc<ScalarUDF>>,
}

/// Names under which functions of DataFusion are known in Flink.
const ALIASES: &[(&str, &str)] = &[
    ("truncate", "trunc"),
    ("rand", "random"),
    ("regexp", "regexp_like"),
    ("char_length", "character_length"),
    ("ceiling", "ceil"),
    ("sign", "signum"),
];

/// Words that the parser and `calls` turn into something else, so that they are known here too.
const SYNTAX: &[&str] = &[
    "mod",
    "if",
    "ifnull",
    "row",
    "unnest",
    "floor",
    "ceil",
    "grouping",
    "predict",
    "predict_raw",
    "predict_leaves",
    "explain_predict",
    "model_version",
];

impl Functions {
    /// The functions for a time zone.
    pub fn new(zone: Tz) -> Self {
        let mut scalar: HashMap<String, Arc<ScalarUDF>> = HashMap::new();
        let nested = datafusion_functions_nested::all_default_nested_functions();
        for function in datafusion_functions::all_default_functions().into_iter().chain(nested) {
            for alias in function.aliases() {
                scalar.insert(alias.to_ascii_lowercase(), function.clone());
            }
            scalar.insert(function.name().to_ascii_lowercase(), function);
        }
        for (alias, name) in ALIASES {
            if let Some(function) = scalar.get(*name).cloned() {
                scalar.entry((*alias).to_string()).or_insert(function);
            }
        }
        for function in math::functions() {
            scalar.insert(function.name().to_string(), Arc::new(ScalarUDF::new_from_impl(function)));
        }
        let flink = strings::functions().into_iter().chain(digests::functions()).chain(times::functions(zone));
        for function in flink {
            scalar.insert(function.name.to_string(), Arc::new(ScalarUDF::new_from_impl(function)));
        }
        // These ask a file scan or a clock that we do not have.
        for name in ["file_row_index", "input_file_name", "version"] {
            scalar.remove(name);
        }
        Functions {
            scalar,
            aggregate: aggregates::functions().into_iter().collect(),
            zone,
            models: BTreeMap::new(),
            learning: BTreeMap::new(),
            outside: BTreeMap::new(),
        }
    }

    /// The same functions for another zone, with the models and functions from outside that there are.
    pub fn in_zone(&self, zone: Tz) -> Self {
        let mut functions = Functions::new(zone);
        self.models.values().for_each(|def| functions.add_model(def.clone()));
        self.learning.values().for_each(|def| functions.add_learning(def.clone()));
        self.outside.iter().for_each(|(name, function)| functions.add(name, function.clone()));
        functions
    }

    /// Adds a function from outside, in the place of an earlier one of its name.
    fn add(&mut self, name: &str, function: Arc<ScalarUDF>) {
        self.scalar.insert(name.to_string(), function.clone());
        self.outside.insert(name.to_string(), function);
    }

    /// Adds a function from outside, unless there is one of ours that has its name.
    pub fn register(&mut self, function: Arc<dyn Function>) -> Result<(), Error> {
        let name = function.name().to_lowercase();
        if self.knows(&name) && !self.outside.contains_key(&name) {
            return Err(Error::user(format!("there is a function {} already", name.to_uppercase()))
                .hint("give yours another name"));
        }
        self.add(&name, Arc::new(ScalarUDF::new_from_impl(Outside::new(function))));
        Ok(())
    }

    /// Adds a model, and the functions that compute with it.
    pub fn add_model(&mut self, def: Arc<ModelDef>) {
        for (call, function) in Call::ALL.into_iter().zip(def.functions()) {
            self.scalar.insert(call.function(&def.name), Arc::new(function));
        }
        self.learning.remove(&def.name.to_lowercase());
        self.models.insert(def.name.to_lowercase(), def);
    }

    /// Adds a model that learns, and the functions that ask it.
    pub fn add_learning(&mut self, def: Arc<LearningDef>) {
        for (call, function) in Call::ALL.into_iter().zip(def.functions()) {
            self.scalar.insert(call.function(&def.name), Arc::new(function));
        }
        self.learning.insert(def.name.to_lowercase(), def);
    }

    /// Takes a model out. False if there is none.
    pub fn remove_model(&mut self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let known = self.models.remove(&lower).is_some() || self.learning.remove(&lower).is_some();
        Call::ALL.into_iter().for_each(|call| drop(self.scalar.remove(&call.function(name))));
        known
    }

    /// A model.
    pub fn model(&self, name: &str) -> Option<&Arc<ModelDef>> {
        self.models.get(&name.to_lowercase())
    }

    /// A model that learns.
    pub fn learning(&self, name: &str) -> Option<&Arc<LearningDef>> {
        self.learning.get(&name.to_lowercase())
    }

    /// The error for a model that is not there.
    pub fn no_model(&self, name: &str) -> Error {
        let error = Error::user(format!("unknown model `{name}`"));
        let learning = self.learning.values().map(|def| def.name.as_str());
        let names: Vec<&str> = self.models.values().map(|def| def.name.as_str()).chain(learning).collect();
        match Error::suggest(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => error.hint("create it first: CREATE MODEL name WITH ('path' = '…')"),
            None => error.hint(format!("there are: {}", names.join(", "))),
        }
    }

    /// A scalar function.
    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(&name.to_ascii_lowercase()).cloned()
    }

    /// An aggregate.
    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name.to_ascii_lowercase().as_str()).cloned()
    }

    /// True if there is a function of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.scalar.contains_key(name) || self.aggregate.contains_key(name) || SYNTAX.contains(&name)
    }

    /// The known name closest to a misspelt one.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        Error::suggest(name, names)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scalar.keys().map(String::as_str).chain(self.aggregate.keys().copied()).chain(SYNTAX.iter().copied())
    }
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arg {
    /// A string.
    Text,
    /// A whole number: BIGINT.
    Int,
    /// A TIMESTAMP or TIMESTAMP_LTZ as it is; a DATE becomes a TIMESTAMP(0), a string a TIMESTAMP(6).
    Time,
    /// The same, or a TIME as it is.
    TimeOfDay,
    /// Anything that can be printed: becomes a string.
    Printed,
}

type Run = fn(&Flink, &ScalarFunctionArgs) -> DfResult<ColumnarValue>;
type Returns = fn(&[DataType], &[Option<&ScalarValue>]) -> DfResult<DataType>;

/// A function of Flink, said by its parts.
struct Flink {
    name: &'static str,
    /// The arguments; the last one repeats if `many`.
    args: &'static [Arg],
    /// How many must be there.
    least: usize,
    many: bool,
    returns: Returns,
    run: Run,
    zone: Tz,
    signature: Signature,
}

impl Flink {
    fn new(name: &'static str, args: &'static [Arg], least: usize, returns: Returns, run: Run) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Flink { name, args, least, many: false, returns, run, zone: Tz::UTC, signature }
    }

    fn many(self) -> Self {
        Flink { many: true, ..self }
    }

    fn zone(self, zone: Tz) -> Self {
        Flink { zone, ..self }
    }

    fn volatile(self) -> Self {
        Flink { signature: Signature::user_defined(Volatility::Volatile), ..self }
    }

    fn usage(&self) -> String {
        let words: Vec<String> = self
            .args
            .iter()
            .enumerate()
            .map(|(i, arg)| {
                let word = match arg {
                    Arg::Text => "STRING",
                    Arg::Int => "INT",
                    Arg::Time => "TIMESTAMP",
                    Arg::TimeOfDay => "TIMESTAMP or TIME",
                    Arg::Printed => "value",
                };
                if i >= self.least { format!("[{word}]") } else { word.to_string() }
            })
            .collect();
        format!("{}({}{})", self.name.to_uppercase(), words.join(", "), if self.many { ", …" } else { "" })
    }
}

impl fmt::Debug for Flink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Flink {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Flink {}

impl Hash for Flink {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.zone.name().hash(state);
    }
}

impl ScalarUDFImpl for Flink {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> DfResult<Vec<DataType>> {
        let wrong = || {
            let given: Vec<String> = given.iter().map(types::name).collect();
            carry(Error::user(format!("{}({}): wanted {}", self.name.to_uppercase(), given.join(", "), self.usage())))
        };
        if given.len() < self.least || (given.len() > self.args.len() && !self.many) {
            return Err(wrong());
        }
        given
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let plain = match t {
                    DataType::Dictionary(_, value) => value.as_ref(),
                    t => t,
                };
                let text = matches!(plain, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
                match self.args[i.min(self.args.len() - 1)] {
                    Arg::Text if text || plain.is_null() => Ok(DataType::Utf8),
                    Arg::Int if plain.is_numeric() || plain.is_null() => Ok(DataType::Int64),
                    Arg::TimeOfDay if matches!(plain, DataType::Time32(_) | DataType::Time64(_)) => Ok(plain.clone()),
                    Arg::Time | Arg::TimeOfDay => match plain {
                        DataType::Timestamp(..) => Ok(plain.clone()),
                        DataType::Date32 | DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Second, None)),
                        DataType::Null => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
                        _ if text => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
                        _ => Err(wrong()),
                    },
                    Arg::Printed if !plain.is_nested() => Ok(DataType::Utf8),
                    _ => Err(wrong()),
                }
            })
            .collect()
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        (self.returns)(args, &[])
    }

    fn return_field_from_args(&self, args: datafusion_expr::ReturnFieldArgs) -> DfResult<arrow::datatypes::FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let data_type = (self.returns)(&types, args.scalar_arguments)?;
        Ok(Arc::new(arrow::datatypes::Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        (self.run)(self, &args)
    }
}

/// A string argument: one for all rows, or a column. Nothing is copied.
enum Texts<'a> {
    One(Option<&'a str>),
    Column(&'a StringArray),
}

impl<'a> Texts<'a> {
    fn of(value: &'a ColumnarValue) -> Texts<'a> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Utf8(text)) => Texts::One(text.as_deref()),
            ColumnarValue::Scalar(_) => Texts::One(None),
            ColumnarValue::Array(array) => match array.as_string_opt::<i32>() {
                Some(strings) => Texts::Column(strings),
                None => Texts::One(None),
            },
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::One(text) => *text,
            Texts::Column(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// A whole-number argument.
enum Ints<'a> {
    One(Option<i64>),
    Column(&'a PrimitiveArray<arrow::datatypes::Int64Type>),
}

impl<'a> Ints<'a> {
    fn of(value: &'a ColumnarValue) -> Ints<'a> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Int64(n)) => Ints::One(*n),
            ColumnarValue::Scalar(_) => Ints::One(None),
            ColumnarValue::Array(array) => match array.as_primitive_opt() {
                Some(ints) => Ints::Column(ints),
                None => Ints::One(None),
            },
        }
    }

    fn get(&self, row: usize) -> Option<i64> {
        match self {
            Ints::One(n) => *n,
            Ints::Column(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// Number of rows to compute: 1 if every argument is one value for all.
fn rows(args: &ScalarFunctionArgs) -> usize {
    if args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) { 1 } else { args.number_rows }
}

/// The answer as one value if the arguments were.
fn answer(args: &ScalarFunctionArgs, array: ArrayRef) -> DfResult<ColumnarValue> {
    if args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_))) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

/// Answers a string a row.
fn texts<S: AsRef<str>>(args: &ScalarFunctionArgs, row: impl FnMut(usize) -> Option<S>) -> DfResult<ColumnarValue> {
    answer(args, Arc::new((0..rows(args)).map(row).collect::<StringArray>()))
}

/// Answers a number a row.
fn numbers<T: ArrowPrimitiveType>(
    args: &ScalarFunctionArgs,
    row: impl FnMut(usize) -> Option<T::Native>,
) -> DfResult<ColumnarValue> {
    answer(args, Arc::new((0..rows(args)).map(row).collect::<PrimitiveArray<T>>()))
}

/// Answers a truth a row.
fn truths(args: &ScalarFunctionArgs, row: impl FnMut(usize) -> Option<bool>) -> DfResult<ColumnarValue> {
    answer(args, Arc::new((0..rows(args)).map(row).collect::<arrow::array::BooleanArray>()))
}
