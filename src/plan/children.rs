//! What a node reads.

use super::{NodeId, Op};

impl Op {
    /// The nodes that it reads, in order.
    pub fn children(&self) -> Vec<NodeId> {
        match self {
            Op::Input(_) | Op::Constant(_) => Vec::new(),
            Op::Map { input, .. }
            | Op::Unnest { input, .. }
            | Op::Reduce { input, .. }
            | Op::TopK { input, .. }
            | Op::Negate { input } => vec![*input],
            Op::Join { left, right, .. } => vec![*left, *right],
            Op::Union { inputs } => inputs.clone(),
        }
    }
}
