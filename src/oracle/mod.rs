//! The oracle: whether maintained answers are the ones that a batch engine gives.
//!
//! A plan and its inputs flow in; a verdict flows out. The inputs are read whole, through the same
//! sources and decoders as in a replay; what each table then holds is worked out in plain code;
//! DataFusion answers every view over that; and the engine's answers to the same rows, in many
//! orders and epochs and on several numbers of workers, must be the same rows. Everything is held
//! in memory: this is a proof on a sample, not a way to run.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::decode::DecodeError;
use crate::engine::EngineError;
use crate::source::SourceErrors;

mod batch;
mod compare;
mod contents;
mod needed;
mod read;
mod verify;
mod window;

pub use batch::{Answer, answers, answers_at};
pub use compare::{Difference, compare, floats_close, show_row};
pub(crate) use contents::event_times;
pub use contents::{contents, newest_event_time};
pub(crate) use read::{complete, each_block};
pub use verify::{Found, Options, Verdict, verify};

/// Why answers could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// Inputs could not be opened.
    #[error(transparent)]
    Source(#[from] SourceErrors),
    /// An input could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The batch engine could not be set up.
    #[error("could not compute the batch answers")]
    Batch(#[from] DataFusionError),
    /// Rows could not be compared.
    #[error("could not compare rows")]
    Rows(#[from] ArrowError),
}
