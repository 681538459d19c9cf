//! Accumulators against what they must equal: sums of doubles against long integer arithmetic,
//! answers against DataFusion's own accumulators.

mod answers;
mod exact;
mod keeping;
mod rates;
mod support;
