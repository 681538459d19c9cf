//! `score('model', feature, ...)` in SQL.
//!
//! The models of a script flow in; a function for DataFusion's sessions flows out. The first argument
//! is a model's name, written out; the others are its features, any numbers, in the order in which it
//! was trained on them. The answer is a DOUBLE, null where a feature is null. Which model it is and how
//! many features that takes is checked when a query is planned.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, Float32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::Model;
use crate::script::near;

/// The function's name.
const NAME: &str = "score";

/// Scores rows by a model.
#[derive(Debug)]
pub struct ScoreFunction {
    models: Arc<BTreeMap<String, Arc<Model>>>,
    signature: Signature,
}

/// The function that scores by these models.
pub fn function(models: &[Arc<Model>]) -> ScalarUDF {
    let named = models.iter();
    let named = named.map(|model| (model.name().to_owned(), Arc::clone(model)));
    ScalarUDF::from(ScoreFunction {
        models: Arc::new(named.collect()),
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

// Functions of one script know the same models, by name.
impl PartialEq for ScoreFunction {
    fn eq(&self, other: &Self) -> bool {
        self.models.keys().eq(other.models.keys())
    }
}

impl Eq for ScoreFunction {}

impl Hash for ScoreFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.models.keys().for_each(|name| name.hash(state));
    }
}

impl ScoreFunction {
    fn model(&self, name: Option<&ScalarValue>) -> Result<&Arc<Model>> {
        let Some(Some(Some(name))) = name.map(ScalarValue::try_as_str) else {
            return plan_err!("score() takes a model's name in single quotes first");
        };
        if let Some(model) = self.models.get(name) {
            return Ok(model);
        }
        let known = || self.models.keys().map(String::as_str);
        match near(name, known()) {
            Some(near) => plan_err!("there is no model '{name}'; did you mean '{near}'?"),
            None if self.models.is_empty() => {
                plan_err!("there is no model '{name}'; write CREATE MODEL {name} FROM 'file.onnx'")
            }
            None => {
                let known = known().collect::<Vec<_>>().join(", ");
                plan_err!("there is no model '{name}'; there are {known}")
            }
        }
    }
}

impl ScalarUDFImpl for ScoreFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let name = arguments.scalar_arguments.first().copied().flatten();
        let model = self.model(name)?;
        let given = arguments.arg_fields.len().saturating_sub(1);
        if given != model.features() {
            let name = model.name();
            let takes = model.features();
            return plan_err!("model '{name}' takes {takes} features, not {given}");
        }
        Ok(Arc::new(Field::new(NAME, DataType::Float64, true)))
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let Some((name, features)) = arguments.split_first() else {
            return plan_err!("score() takes a model's name and its features");
        };
        if !matches!(
            name,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ) {
            return plan_err!("score() takes a model's name in single quotes first");
        }
        let mut types = vec![DataType::Utf8];
        for feature in features {
            let is_number = feature.is_numeric() || feature.is_null();
            match is_number || *feature == DataType::Boolean {
                true => types.push(DataType::Float32),
                false => return plan_err!("a feature of score() is a number, not {feature}"),
            }
        }
        Ok(types)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((ColumnarValue::Scalar(name), features)) = arguments.args.split_first() else {
            return plan_err!("score() takes a model's name in single quotes first");
        };
        let model = self.model(Some(name))?;
        let column = |feature: &ColumnarValue| -> Result<Float32Array> {
            let values = feature.to_array(arguments.number_rows)?;
            let values = cast(&values, &DataType::Float32)?;
            Ok(values.as_primitive::<Float32Type>().clone())
        };
        let columns = features.iter().map(column).collect::<Result<Vec<_>>>()?;
        let scores = model.score(&columns);
        let scores = scores.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        Ok(ColumnarValue::Array(Arc::new(scores)))
    }
}
