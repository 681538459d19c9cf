//! Tillrace keeps commerce metrics exactly right while events pour in: SQL views over events,
//! planned by DataFusion, kept up to date by timely and differential dataflow.
#![warn(missing_docs)]

pub mod backtest;
pub mod calendar;
pub mod catalog;
pub mod cli;
pub mod decode;
pub mod delta;
pub mod engine;
pub mod model;
pub mod oracle;
pub mod plan;
pub mod present;
pub mod render;
pub mod row;
pub mod script;
pub mod serve;
pub mod session;
pub mod sink;
pub mod source;
pub mod tls;
pub mod why;
pub mod wiring;
