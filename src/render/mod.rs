//! How the plan runs: its nodes as timely and differential operators.

pub mod accumulate;
