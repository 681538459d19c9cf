//! A trained model as a function of features: an ONNX file that SQL can ask.
//!
//! A file flows in; a [`Model`] flows out that gives each row of features one score. What
//! `score('name', ...)` answers must be the same bits whenever it is asked, in whatever company: a row
//! is taken back by computing it again. So rows are always scored in blocks of one size, filled up
//! where there are too few, and no answer depends on how many rows came together.
//!
//! [rten](https://docs.rs/rten) runs the model: it is written in Rust, reads ONNX as it is, and needs no
//! library of the system.

mod function;

use std::fmt;
use std::path::{Path, PathBuf};

use arrow::array::{Array, Float32Array, Float64Array};
use rten::{DataType, Dimension, NodeId, RunError, Value, ValueType};

pub use function::{ScoreFunction, function};

/// How many rows are scored at once.
const BLOCK_ROWS: usize = 32;

/// Why a file is no model that can score.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be read, is no ONNX, or has an operator that is not known.
    #[error("could not load {path:?}: {reason}")]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It takes or gives something else than rows of features and a score each.
    #[error("{path:?} cannot score: {reason}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it would have to be.
        reason: String,
    },
    /// It failed on some rows.
    #[error("model \"{model}\" failed: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// Why.
        reason: String,
    },
}

/// A model that scores rows of features.
pub struct Model {
    name: String,
    features: usize,
    /// How many rows are scored at once.
    block: usize,
    input: NodeId,
    output: NodeId,
    graph: rten::Model,
}

impl Model {
    /// Loads an ONNX file: one input of 32-bit floats, `[rows, features]`; its last output is
    /// `[rows]` or `[rows, 1]`, a score a row, or `[rows, 2]`, of which the second is the score, as
    /// classifiers with two classes give it.
    ///
    /// # Errors
    /// If it cannot be read, or takes or gives something else.
    pub fn load(name: &str, path: &Path) -> Result<Model, ModelError> {
        let load = |reason: String| ModelError::Load {
            path: path.to_owned(),
            reason,
        };
        let shape = |reason: String| ModelError::Shape {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|error| load(error.to_string()))?;
        let graph = rten::Model::load(bytes).map_err(|error| load(error.to_string()))?;
        let [input] = graph.input_ids() else {
            let inputs = graph.input_ids().len();
            return Err(shape(format!("it has {inputs} inputs, not one")));
        };
        let Some(&output) = graph.output_ids().last() else {
            return Err(shape("it has no output".to_owned()));
        };
        let input = *input;
        let info = graph.node_info(input);
        let dtype = info.as_ref().and_then(|info| info.dtype());
        if dtype.is_some_and(|dtype| dtype != ValueType::Tensor(DataType::Float)) {
            return Err(shape("its input is not of 32-bit floats".to_owned()));
        }
        let dimensions = info.and_then(|info| info.shape()).unwrap_or_default();
        let (block, features) = match dimensions.as_slice() {
            [Dimension::Fixed(rows), Dimension::Fixed(features)] if *rows > 0 => (*rows, *features),
            [Dimension::Symbolic(_), Dimension::Fixed(features)] => (BLOCK_ROWS, *features),
            _ => {
                let reason = "its input is not of shape [rows, features], with a fixed number of \
                              features";
                return Err(shape(reason.to_owned()));
            }
        };
        let model = Model {
            name: name.to_owned(),
            features,
            block,
            input,
            output,
            graph,
        };
        // A score of nothing shows what a score looks like, before any event depends on it.
        let nothing = vec![0.0; block * features];
        model.score_block(nothing).map_err(shape)?;
        Ok(model)
    }

    /// The name by which scripts ask it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many features it takes.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The scores of some rows, whose features are columns of one length; null where a feature is.
    ///
    /// # Errors
    /// If the model fails.
    ///
    /// # Panics
    /// If there are more or fewer columns than the model has features.
    pub fn score(&self, features: &[Float32Array]) -> Result<Float64Array, ModelError> {
        assert_eq!(features.len(), self.features, "a column a feature");
        let rows = features.first().map_or(0, Array::len);
        let mut scores: Vec<Option<f64>> = Vec::with_capacity(rows);
        for start in (0..rows).step_by(self.block) {
            let count = self.block.min(rows - start);
            let mut block = vec![0.0; self.block * self.features];
            for (at, column) in features.iter().enumerate() {
                for row in 0..count {
                    if column.is_valid(start + row) {
                        block[row * self.features + at] = column.value(start + row);
                    }
                }
            }
            let found = self.score_block(block).map_err(|reason| ModelError::Run {
                model: self.name.clone(),
                reason,
            })?;
            let is_known = |row: usize| features.iter().all(|column| column.is_valid(row));
            let found = found.into_iter().take(count).enumerate();
            scores.extend(
                found.map(|(row, score)| is_known(start + row).then_some(f64::from(score))),
            );
        }
        Ok(Float64Array::from(scores))
    }

    /// The scores of a whole block, row after row.
    fn score_block(&self, block: Vec<f32>) -> Result<Vec<f32>, String> {
        let shape = [self.block, self.features];
        let value = Value::from_shape(shape, block).map_err(|error| error.to_string())?;
        let inputs = vec![(self.input, value.into())];
        let answers = self.graph.run(inputs, &[self.output], None);
        let answers = answers.map_err(|error: RunError| error.to_string())?;
        let Some(answer) = answers.into_iter().next() else {
            return Err("it has no output".to_owned());
        };
        if answer.dtype() != ValueType::Tensor(DataType::Float) {
            return Err("its last output is not of 32-bit floats".to_owned());
        }
        let bad = || {
            format!(
                "its last output is not a score for each of {} rows",
                self.block
            )
        };
        let (width, values) = match answer.as_view().to_owned().into_shape_vec::<f32, 2>() {
            Ok(([_, width], values)) => (width, values),
            Err(_) => {
                let (_, values) = answer.into_shape_vec::<f32, 1>().map_err(|_| bad())?;
                (1, values)
            }
        };
        if !(1..=2).contains(&width) || values.len() != self.block * width {
            return Err(bad());
        }
        Ok(values.chunks(width).map(|row| row[width - 1]).collect())
    }
}

/// Shows what it is called and takes.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}
