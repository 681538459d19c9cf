//! Suites that others wrote, run against this engine.
//!
//! - `tpch`: the 22 queries of TPC-H as materialised views, with refreshes.
//! - `slt`: sqllogictest files over the wire, one for each kind of node.
//! - `nexmark`: the queries of NEXMark as materialised views, with bids taken back.

mod events;
mod nexmark;
mod slt;
mod support;
mod tpch;
