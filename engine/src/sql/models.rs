//! `CREATE MODEL` and the functions that compute with models: `PREDICT`, `PREDICT_RAW`, `PREDICT_LEAVES`, `EXPLAIN_PREDICT`,
//! `MODEL_VERSION`; `ML_PREDICT` is in [`ml_predict`](super::ml_predict).
//!
//! A model's name stands first among the arguments, where no column can: a call becomes one of a function of that model before
//! DataFusion sees it. The name of that function has the file's digest in it, so that plans, states and histories of another model differ.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, ListArray, MapArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion_common::{Result as DfResult, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use pelton_models::{Format, Model, Scores};

use super::ddl::{CreateModel, ModelColumn};
use super::errors::carry;
use super::ml_predict::ML_PREDICT;
use super::text::span_of;
use super::types;
use crate::batch::MARK_MIN;
use crate::connector::{Options, Registry};
use crate::error::{Error, Result};
use crate::operators::times_us;
use crate::scoring::Scorer;
use crate::versions::{Version, Versions};

/// The functions that ask a model.
pub const ASKS: [&str; 6] =
    ["predict", "predict_raw", "predict_leaves", "explain_predict", "model_version", ML_PREDICT];

/// A declared model.
pub struct ModelDef {
    /// As declared.
    pub name: String,
    /// XXH3-128 of its file.
    pub version: String,
    /// What the file holds.
    pub model: Model,
    /// Its file is read again while queries run.
    pub reload: Option<Reload>,
    /// The columns that `ML_PREDICT` adds: one for each answer, or one for all.
    pub outputs: Vec<(String, DataType)>,
}

/// How a model's file is read again.
#[derive(Debug)]
pub struct Reload {
    /// The file.
    pub path: String,
    /// How often it is looked at.
    pub interval: Duration,
    /// What there was of it so far.
    pub versions: Arc<Versions>,
}

impl fmt::Debug for ModelDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl ModelDef {
    /// Reads the file that the options name, and holds what is declared against it.
    pub fn open(head: CreateModel, registry: &Registry) -> Result<Self> {
        let CreateModel { name, inputs, outputs, options, .. } = head;
        let name = name.value;
        let options = Options::new(format!("model `{name}`"), options);
        let path = options.require("path")?.to_string();
        let wanted = match options.get("format") {
            None => None,
            Some(_) => Some(options.one_of("format", &["xgboost", "lightgbm", "onnx"])?.to_string()),
        };
        let reload = options.get("reload.interval").is_some();
        let interval = options.duration("reload.interval", Duration::from_secs(10))?;
        if reload && interval.is_zero() {
            return Err(options.bad("reload.interval", "a duration above 0"));
        }
        options.reject_unknown()?;
        let at = options.span("path");
        let bytes = registry.places()?.file(&path).map_err(|e| e.at(at))?;
        let found = Format::of_bytes(&bytes);
        let format =
            found.filter(|found| wanted.as_ref().is_none_or(|wanted| library(*found).to_lowercase() == *wanted));
        let Some(format) = format else {
            let all = [Format::XgboostJson, Format::Lightgbm, Format::Onnx].map(library);
            let of = all.into_iter().find(|library| Some(library.to_lowercase()) == wanted);
            let of = of.unwrap_or("XGBoost, LightGBM or ONNX");
            return Err(Error::user(format!("model `{name}`: '{path}' is no file of {of}")).at(at).hint(
                "models are read as save_model of XGBoost (.json, .ubj) and of LightGBM (.txt) write them, and as ONNX",
            ));
        };
        let mut def = Self::read(&name, &format!("'{path}'"), &bytes, format, inputs.as_deref(), outputs.as_deref())
            .map_err(|e| e.at(at))?;
        if reload {
            let versions = Arc::new(Versions::new(def.version_of(bytes)?));
            def.reload = Some(Reload { path, interval, versions });
        }
        Ok(def)
    }

    /// Another file in the place of its own, which must take the same features and answer the same numbers.
    pub fn version_of(&self, bytes: Vec<u8>) -> Result<Version> {
        let wrong = |what: String| Error::user(format!("model `{}`: {what}", self.name));
        let format = Format::of_bytes(&bytes)
            .ok_or_else(|| wrong("the file is none of XGBoost, LightGBM or ONNX any more".to_string()))?;
        let mut model = Model::read(&bytes, format).map_err(|e| wrong(format!("the file cannot be used: {e}")))?;
        if model.features != self.model.features {
            return Err(wrong(format!("the file has {} features now, not {}", model.features, self.model.features)));
        }
        let differs = |(own, now): (&String, &String)| !own.eq_ignore_ascii_case(now);
        let named = self.model.feature_names.iter().zip(&model.feature_names);
        if let Some(at) = named.clone().position(differs) {
            let (own, now) = (&self.model.feature_names[at], &model.feature_names[at]);
            return Err(wrong(format!("feature {} is {now} in the file now, not {own}", at + 1)));
        }
        let answers =
            |model: &Model| (model.outputs(), model.sums(), model.is_single(), model.explains, model.has_trees());
        if answers(&model) != answers(&self.model) {
            return Err(wrong(
                "the file answers other numbers than the one that the query was planned with".to_string(),
            ));
        }
        model.feature_names.clone_from(&self.model.feature_names);
        let digest = digest_of(&bytes);
        Ok(Version { digest, bytes: bytes.into(), model })
    }

    /// Reads the bytes of a file; `from` is what it is called in errors. What is declared of it is held against it.
    pub fn read(
        name: &str,
        from: &str,
        bytes: &[u8],
        format: Format,
        inputs: Option<&[ModelColumn]>,
        outputs: Option<&[ModelColumn]>,
    ) -> Result<Self> {
        let mut model = Model::read(bytes, format).map_err(|e| {
            let error = Error::user(format!("model `{name}`: {from} cannot be used: {e}"));
            match e.advice() {
                Some(advice) => error.hint(advice),
                None => error,
            }
        })?;
        if let Some(inputs) = inputs {
            model.feature_names = declared_inputs(name, &model, inputs)?;
        }
        let outputs = declared_outputs(name, &model, outputs.unwrap_or_default())?;
        Ok(ModelDef { name: name.to_string(), version: digest_of(bytes), model, reload: None, outputs })
    }

    /// The model that a function computes with.
    pub fn of(function: &ScalarUDF) -> Option<&Arc<ModelDef>> {
        function.inner().downcast_ref::<Predict>().map(|predict| &predict.def)
    }

    /// How many features a function of a model takes, if it is one.
    pub fn features_of(function: &ScalarUDF) -> Option<usize> {
        function.inner().downcast_ref::<Predict>().map(Predict::features)
    }

    /// Fails if the features of a call, as far as they are columns, are the model's in another order or number.
    pub fn check(&self, call: Call, names: &[Option<String>]) -> Result<()> {
        check_features((&self.name, self.model.features, &self.model.feature_names), call, names)
    }

    /// The functions that compute with it.
    pub fn functions(self: &Arc<Self>) -> Vec<ScalarUDF> {
        Call::ALL.iter().map(|call| ScalarUDF::new_from_impl(Predict::new(*call, self.clone()))).collect()
    }
}

/// XXH3-128 of a file.
fn digest_of(bytes: &[u8]) -> String {
    format!("{:032x}", pelton_kernels::digest::hash_bytes(bytes))
}

/// Fails if the features of a call, as far as they are columns, are in another order or number than the model has them.
pub fn check_features(
    (model, features, feature_names): (&str, usize, &[String]),
    call: Call,
    names: &[Option<String>],
) -> Result<()> {
    let function = call.name().to_uppercase();
    if names.len() != if call == Call::Version { 0 } else { features } {
        let of = if feature_names.is_empty() { String::new() } else { format!(": {}", feature_names.join(", ")) };
        let given = names.len();
        return Err(Error::user(format!("{function}: model `{model}` has {features} features, given {given}"))
            .hint(format!("{function}({model}, …) wants each in its order{of}")));
    }
    for (at, (given, wanted)) in names.iter().zip(feature_names).enumerate() {
        let Some(given) = given.as_ref().filter(|given| !given.eq_ignore_ascii_case(wanted)) else { continue };
        if feature_names.iter().any(|name| name.eq_ignore_ascii_case(given)) {
            let at = at + 1;
            return Err(Error::user(format!("feature {at} of model `{model}` is {wanted}, given {given}"))
                .hint(format!("its features are, in this order: {}", feature_names.join(", "))));
        }
    }
    Ok(())
}

/// Who writes such files.
fn library(format: Format) -> &'static str {
    match format {
        Format::XgboostJson | Format::XgboostUbj => "XGBoost",
        Format::Lightgbm => "LightGBM",
        Format::Onnx => "ONNX",
    }
}

/// The type of one of a model's answers.
fn number(model: &Model) -> DataType {
    if model.is_single() { DataType::Float32 } else { DataType::Float64 }
}

/// So many answers of a row: a number, or a list of them.
fn answers(model: &Model, count: usize) -> DataType {
    if count == 1 { number(model) } else { DataType::List(item(number(model))) }
}

/// The features' names by `INPUT (…)`, which must be those of the file, if it has any.
fn declared_inputs(model_name: &str, model: &Model, inputs: &[ModelColumn]) -> Result<Vec<String>> {
    let features = model.features;
    if inputs.len() != features {
        let place = inputs.last().map(|input| span_of(input.name.span));
        let error =
            Error::user(format!("model `{model_name}` has {features} features, INPUT declares {}", inputs.len()));
        return Err(place.into_iter().fold(error, Error::at));
    }
    for (at, input) in inputs.iter().enumerate() {
        let (name, place) = (&input.name.value, span_of(input.name.span));
        let data_type = types::arrow_type(&input.sql).map_err(|e| e.at(input.place))?;
        if !is_feature(&data_type) {
            let error =
                format!("INPUT of model `{model_name}`: `{name}` is {}, wanted a number", types::name(&data_type));
            return Err(Error::user(error).at(input.place).hint("features are numbers or BOOLEAN"));
        }
        if let Some(wanted) = model.feature_names.get(at).filter(|wanted| !wanted.eq_ignore_ascii_case(name)) {
            let error = format!("feature {} of model `{model_name}` is {wanted}, INPUT declares {name}", at + 1);
            return Err(Error::user(error)
                .at(place)
                .hint(format!("its features are, in this order: {}", model.feature_names.join(", "))));
        }
    }
    Ok(inputs.iter().map(|input| input.name.value.clone()).collect())
}

/// The columns of `OUTPUT (…)`: a number for each answer, or all in one.
fn declared_outputs(model_name: &str, model: &Model, outputs: &[ModelColumn]) -> Result<Vec<(String, DataType)>> {
    let count = model.outputs();
    if outputs.is_empty() {
        return Ok(vec![("prediction".to_string(), answers(model, count))]);
    }
    if outputs.len() != 1 && outputs.len() != count {
        let error = format!("model `{model_name}` gives {count} answers, OUTPUT declares {} columns", outputs.len());
        return Err(Error::user(error)
            .at(span_of(outputs[0].name.span))
            .hint("declare a number for each answer, or one ARRAY<DOUBLE> for all"));
    }
    let given = answers(model, if outputs.len() == 1 { count } else { 1 });
    let column = |output: &ModelColumn| {
        let declared = types::arrow_type(&output.sql).map_err(|e| e.at(output.place))?;
        let wide = match &given {
            DataType::List(_) => DataType::List(item(DataType::Float64)),
            _ => DataType::Float64,
        };
        let declared = match declared {
            DataType::List(of) => DataType::List(item(of.data_type().clone())),
            other => other,
        };
        if declared != given && declared != wide {
            let (name, declared) = (&output.name.value, types::name(&declared));
            let error =
                format!("OUTPUT of model `{model_name}`: `{name}` is {declared}, it answers {}", types::name(&given));
            return Err(Error::user(error).at(output.place).hint(format!("declare it {}", types::name(&wide))));
        }
        Ok((output.name.value.clone(), declared))
    };
    outputs.iter().map(column).collect()
}

/// Values that can be a feature.
pub fn is_feature(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null)
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

/// A call of a model that a device may answer, as far as it computes anything.
pub struct ModelCall {
    /// The function's name: call, model, and the first digits of its file's digest.
    pub name: String,
    /// What is asked.
    pub call: Call,
    /// Of which model.
    pub def: Arc<ModelDef>,
}

impl ModelCall {
    /// The call that a function is; `None` for other functions, and for `MODEL_VERSION`, which is a constant.
    pub fn of(function: &ScalarUDF) -> Option<ModelCall> {
        let Predict { call, def, name, .. } = function.inner().downcast_ref::<Predict>()?;
        (*call != Call::Version).then(|| ModelCall { name: name.clone(), call: *call, def: def.clone() })
    }
}

/// The function of a call with a device at hand; `None` for other functions.
pub fn with_scorer(function: &ScalarUDF, scorer: Arc<Scorer>) -> Option<ScalarUDF> {
    let Predict { call, def, .. } = function.inner().downcast_ref::<Predict>()?;
    Some(ScalarUDF::new_from_impl(Predict { scorer: Some(scorer), ..Predict::new(*call, def.clone()) }))
}

/// A call of a model, as a function.
#[derive(Debug)]
struct Predict {
    call: Call,
    def: Arc<ModelDef>,
    name: String,
    signature: Signature,
    /// Asked for scores and leaves; without, the processor answers.
    scorer: Option<Arc<Scorer>>,
}

impl Predict {
    fn new(call: Call, def: Arc<ModelDef>) -> Self {
        // One that changes while the query runs has its versions in checkpoints and histories.
        let version = if def.reload.is_some() { "reloaded" } else { &def.version[..8] };
        let name = format!("{} {} {version}", call.name().to_uppercase(), def.name);
        Predict { call, def, name, signature: Signature::user_defined(Volatility::Immutable), scorer: None }
    }

    /// What tells it from another of its name.
    fn identity(&self) -> &str {
        self.def.reload.as_ref().map_or(&self.def.version, |reload| &reload.path)
    }

    fn failed(&self, what: impl fmt::Display) -> datafusion_common::DataFusionError {
        carry(Error::user(format!("{}({}, …): {what}", self.call.name().to_uppercase(), self.def.name)))
    }
}

impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.identity() == other.identity()
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.identity()).hash(state);
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
            let name = self.def.model.feature_names.get(at).map_or(String::new(), |name| format!(" ({name})"));
            match is_feature(data_type) {
                true => Ok(DataType::Float64),
                false => {
                    Err(self.failed(format!("feature {}{name} is {}, wanted a number", at + 1, types::name(data_type))))
                }
            }
        };
        // Behind the features may be the event time, which tells the version.
        let (features, time) = given.split_at(given.len().min(self.features()));
        let features = features.iter().enumerate().map(|(at, data_type)| plain(at, data_type));
        features.chain(time.iter().map(|time| Ok(time.clone()))).collect()
    }

    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        let model = &self.def.model;
        Ok(match self.call {
            Call::Predict => answers(model, model.outputs()),
            Call::Raw => answers(model, model.sums()),
            Call::Leaves | Call::Explain if !model.has_trees() => {
                return Err(self.failed("the model is a graph of operators, and no ensemble of trees"));
            }
            Call::Leaves => DataType::List(item(DataType::Int32)),
            Call::Explain if !model.explains => {
                return Err(self.failed("an ONNX file has no contributions: it does not say what it was trained with"));
            }
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
        let is_one = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { args.number_rows };
        let (features, time) = args.args.split_at(self.features());
        let columns = features.iter().map(|arg| column(arg, rows)).collect::<DfResult<Vec<Float64Array>>>()?;
        let columns: Vec<&[f64]> = columns.iter().map(|column| &column.values()[..]).collect();
        let answer = match (&self.def.reload, time) {
            (Some(reload), [time]) => {
                let times = time.to_array(rows)?;
                let no_time = times.logical_nulls();
                let mut times = times_us(&times).to_vec();
                for row in (0..rows).filter(|row| no_time.as_ref().is_some_and(|nulls| nulls.is_null(*row))) {
                    times[row] = MARK_MIN;
                }
                let parts = reload.versions.score(&times, |part, version| {
                    let columns: Vec<&[f64]> = columns.iter().map(|column| &column[part.clone()]).collect();
                    self.answer(&version.model, &version.digest, &columns, part.len())
                });
                match parts.as_slice() {
                    [] => self.answer(&self.def.model, &self.def.version, &columns, 0),
                    [one] => one.clone(),
                    parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?,
                }
            }
            _ => self.answer(&self.def.model, &self.def.version, &columns, rows),
        };
        match is_one {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?)),
            false => Ok(ColumnarValue::Array(answer)),
        }
    }
}

impl Predict {
    /// How many of its arguments are features.
    fn features(&self) -> usize {
        if self.call == Call::Version { 0 } else { self.def.model.features }
    }

    fn answer(&self, model: &Model, version: &str, columns: &[&[f64]], rows: usize) -> ArrayRef {
        let scorer = self.scorer.as_deref();
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
            Call::Predict => scores(Scorer::predict(scorer, version, model, columns), model.outputs()),
            Call::Raw => scores(Scorer::raw(scorer, version, model, columns), model.sums()),
            Call::Leaves => {
                let leaves = Scorer::leaves(scorer, version, model, columns).into_iter().map(|leaf| leaf as i32);
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
            Call::Version => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(version, rows))),
        }
    }
}

/// The values of a feature; NULL is missing, which is NaN. Doubles are taken as they lie.
fn column(value: &ColumnarValue, rows: usize) -> DfResult<Float64Array> {
    let array = cast(&value.to_array(rows)?, &DataType::Float64)?;
    let values = array.as_primitive::<Float64Type>();
    Ok(match values.null_count() {
        0 => values.clone(),
        _ => values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<f64>>().into(),
    })
}
