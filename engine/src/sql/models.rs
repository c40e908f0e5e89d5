//! `CREATE MODEL` and the functions that compute with models: `PREDICT`, `PREDICT_RAW`, `PREDICT_LEAVES`, `EXPLAIN_PREDICT`, `MODEL_VERSION`.
//!
//! A model's name stands first among the arguments, where no column can: a call becomes one of a function of that model before
//! DataFusion sees it. The name of that function has the file's digest in it, so that plans, states and histories of another model differ.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, ListArray, MapArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use pelton_models::{Format, Model, Scores};

use super::errors::carry;
use super::types;
use crate::connector::{Options, Registry};
use crate::error::{Error, Result, Span};

/// A declared model.
pub struct ModelDef {
    /// As declared.
    pub name: String,
    /// XXH3-128 of its file.
    pub version: String,
    pub model: Model,
}

impl fmt::Debug for ModelDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl ModelDef {
    /// Reads the file that the options name.
    pub fn open(name: &str, given: Vec<(String, String, Span)>, registry: &Registry) -> Result<Self> {
        let options = Options::new(format!("model `{name}`"), given);
        let path = options.require("path")?.to_string();
        let format = match options.get("format") {
            None => None,
            Some(_) => Some(match options.one_of("format", &["xgboost", "lightgbm"])? {
                "lightgbm" => "LightGBM",
                _ => "XGBoost",
            }),
        };
        options.reject_unknown()?;
        let at = options.span("path");
        let bytes = registry.places()?.file(&path).map_err(|e| e.at(at))?;
        let what = Format::of_bytes(&bytes);
        let found = what.map(|what| if what == Format::Lightgbm { "LightGBM" } else { "XGBoost" });
        let Some(what) = what.filter(|_| format.is_none_or(|format| Some(format) == found)) else {
            let wanted = format.unwrap_or("XGBoost or LightGBM");
            return Err(Error::user(format!("model `{name}`: '{path}' is no file of {wanted}"))
                .at(at)
                .hint("models are read as save_model of XGBoost (.json, .ubj) and of LightGBM (.txt) write them"));
        };
        Self::read(name, &format!("'{path}'"), &bytes, what).map_err(|e| e.at(at))
    }

    /// Reads the bytes of a file; `from` is what it is called in errors.
    pub fn read(name: &str, from: &str, bytes: &[u8], what: Format) -> Result<Self> {
        let model = Model::read(bytes, what).map_err(|e| {
            let error = Error::user(format!("model `{name}`: {from} cannot be used: {e}"));
            match e.advice() {
                Some(advice) => error.hint(advice),
                None => error,
            }
        })?;
        let version = format!("{:032x}", pelton_kernels::digest::hash_bytes(bytes));
        Ok(ModelDef { name: name.to_string(), version, model })
    }

    /// Fails if the features of a call, as far as they are columns, are the model's in another order or number.
    pub fn check(&self, call: Call, names: &[Option<String>]) -> Result<()> {
        let Model { features, feature_names, .. } = &self.model;
        let wanted = if call == Call::Version { 0 } else { *features };
        if names.len() != wanted {
            let of = if feature_names.is_empty() { String::new() } else { format!(": {}", feature_names.join(", ")) };
            return Err(Error::user(format!(
                "{}: model `{}` has {features} features, given {}",
                call.name().to_uppercase(),
                self.name,
                names.len()
            ))
            .hint(format!("{}({}, …) wants each in its order{of}", call.name().to_uppercase(), self.name)));
        }
        for (at, (given, wanted)) in names.iter().zip(feature_names).enumerate() {
            let Some(given) = given.as_ref().filter(|given| !given.eq_ignore_ascii_case(wanted)) else { continue };
            if feature_names.iter().any(|name| name.eq_ignore_ascii_case(given)) {
                return Err(Error::user(format!(
                    "feature {} of model `{}` is {wanted}, given {given}",
                    at + 1,
                    self.name
                ))
                .hint(format!("its features are, in this order: {}", feature_names.join(", "))));
            }
        }
        Ok(())
    }

    /// The functions that compute with it.
    pub fn functions(self: &Arc<Self>) -> Vec<ScalarUDF> {
        Call::ALL.iter().map(|call| ScalarUDF::new_from_impl(Predict::new(*call, self.clone()))).collect()
    }
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// What its library's `predict` answers.
    Predict,
    /// The sum of leaves.
    Raw,
    /// The leaf in each tree.
    Leaves,
    /// What each feature did.
    Explain,
    /// The digest of its file.
    Version,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 5] = [Call::Predict, Call::Raw, Call::Leaves, Call::Explain, Call::Version];

    /// As written, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Call::Predict => "predict",
            Call::Raw => "predict_raw",
            Call::Leaves => "predict_leaves",
            Call::Explain => "explain_predict",
            Call::Version => "model_version",
        }
    }

    /// The call of this name.
    pub fn of(name: &str) -> Option<Call> {
        Call::ALL.into_iter().find(|call| call.name() == name)
    }

    /// What the function of a model is called before it is looked up.
    pub fn function(self, model: &str) -> String {
        format!("${} {}", self.name(), model.to_lowercase())
    }
}

/// A call of a model, as a function.
#[derive(Debug)]
struct Predict {
    call: Call,
    def: Arc<ModelDef>,
    name: String,
    signature: Signature,
}

impl Predict {
    fn new(call: Call, def: Arc<ModelDef>) -> Self {
        let name = format!("{} {} {}", call.name().to_uppercase(), def.name, &def.version[..8]);
        Predict { call, def, name, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn failed(&self, what: impl fmt::Display) -> datafusion_common::DataFusionError {
        carry(Error::user(format!("{}({}, …): {what}", self.call.name().to_uppercase(), self.def.name)))
    }
}

impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.def.version == other.def.version
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.def.version).hash(state);
    }
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type, true))
}

fn contributions() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Float64, true)])
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> DfResult<Vec<DataType>> {
        let plain = |at: usize, data_type: &DataType| {
            let fits = data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null);
            let name = self.def.model.feature_names.get(at).map_or(String::new(), |name| format!(" ({name})"));
            match fits {
                true => Ok(DataType::Float64),
                false => {
                    Err(self.failed(format!("feature {}{name} is {}, wanted a number", at + 1, types::name(data_type))))
                }
            }
        };
        given.iter().enumerate().map(|(at, data_type)| plain(at, data_type)).collect()
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        let model = &self.def.model;
        let number = if model.is_single() { DataType::Float32 } else { DataType::Float64 };
        let row = |width: usize| if width == 1 { number.clone() } else { DataType::List(item(number.clone())) };
        Ok(match self.call {
            Call::Predict => row(model.outputs()),
            Call::Raw => row(model.sums()),
            Call::Leaves => DataType::List(item(DataType::Int32)),
            Call::Explain if model.sums() > 1 => {
                return Err(self.failed("a model of several classes has no contributions to one score"));
            }
            Call::Explain => {
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(contributions()), false)), false)
            }
            Call::Version => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        if self.call == Call::Version {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(self.def.version.clone()))));
        }
        let is_one = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| column(arg, rows)).collect::<DfResult<Vec<Vec<f64>>>>()?;
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let answer = self.answer(&columns, rows);
        match is_one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

impl Predict {
    fn answer(&self, columns: &[&[f64]], rows: usize) -> ArrayRef {
        let model = &self.def.model;
        let lists = |values: ArrayRef, width: usize| -> ArrayRef {
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
            Arc::new(ListArray::new(item(values.data_type().clone()), offsets, values, None))
        };
        let scores = |scores: Scores, width: usize| {
            let values: ArrayRef = match scores {
                Scores::Single(values) => Arc::new(Float32Array::from(values)),
                Scores::Double(values) => Arc::new(Float64Array::from(values)),
            };
            if width == 1 { values } else { lists(values, width) }
        };
        match self.call {
            Call::Predict => scores(model.predict(columns), model.outputs()),
            Call::Raw => scores(model.raw(columns), model.sums()),
            Call::Leaves => {
                let leaves = model.leaves(columns).into_iter().map(|leaf| leaf as i32);
                lists(Arc::new(Int32Array::from_iter_values(leaves)), model.trees())
            }
            Call::Explain => {
                let named = |at: usize| model.feature_names.get(at).cloned().unwrap_or_else(|| format!("f{at}"));
                let names: Vec<String> = (0..model.features).map(named).chain(["bias".to_string()]).collect();
                let keys = StringArray::from_iter_values(names.iter().cycle().take(rows * names.len()));
                let values = Float64Array::from(model.contributions(columns));
                let entries = StructArray::new(contributions(), vec![Arc::new(keys), Arc::new(values)], None);
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(names.len(), rows));
                let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
                Arc::new(MapArray::new(field, offsets, entries, None, false))
            }
            Call::Version => unreachable!("answered before"),
        }
    }
}

/// The values of a feature; NULL is missing.
fn column(value: &ColumnarValue, rows: usize) -> DfResult<Vec<f64>> {
    let array = cast(&value.to_array(rows)?, &DataType::Float64)?;
    let values = array.as_primitive::<Float64Type>();
    Ok(match values.null_count() {
        0 => values.values().to_vec(),
        _ => values.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
    })
}
