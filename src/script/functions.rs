//! Functions that a program brings along.
//!
//! A program that embeds the engine puts its functions into a script before the script is planned;
//! views call them by name like any other. An aggregate of a program is computed over all rows of
//! a group whenever the group changes, so it need not know how to take a row back.

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// The functions of a program, each under a name that no function has yet.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    /// Functions of a row's values.
    pub scalars: Vec<Arc<ScalarUDF>>,
    /// Functions of the rows of a group.
    pub aggregates: Vec<Arc<AggregateUDF>>,
    /// Functions of the rows of a window.
    pub windows: Vec<Arc<WindowUDF>>,
}

impl Functions {
    /// The same functions and one of a row's values.
    pub fn with_scalar(mut self, function: ScalarUDF) -> Self {
        self.scalars.push(Arc::new(function));
        self
    }

    /// The same functions and an aggregate.
    pub fn with_aggregate(mut self, function: AggregateUDF) -> Self {
        self.aggregates.push(Arc::new(function));
        self
    }

    /// The same functions and a window function.
    pub fn with_window(mut self, function: WindowUDF) -> Self {
        self.windows.push(Arc::new(function));
        self
    }
}
