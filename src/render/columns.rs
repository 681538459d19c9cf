//! Expressions become columns, so that stateful operators never evaluate what can fail.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::RenderError;
use crate::plan::Step;

/// A column as an expression.
pub(super) fn column(schema: &SchemaRef, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(schema.field(at).name(), at))
}

/// Collects expressions over an input, each once, as columns.
pub(super) struct Columns {
    input: SchemaRef,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Columns {
    /// No expressions over rows of the schema `input`.
    pub(super) fn new(input: SchemaRef) -> Self {
        Columns {
            input,
            exprs: Vec::new(),
        }
    }

    /// All columns of the input, as they are.
    pub(super) fn all_of(input: SchemaRef) -> Self {
        let exprs = (0..input.fields().len())
            .map(|at| column(&input, at))
            .collect();
        Columns { input, exprs }
    }

    /// The column that an expression becomes.
    pub(super) fn add(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<usize, RenderError> {
        if let Some(at) = self.exprs.iter().position(|other| other == expr) {
            return Ok(at);
        }
        expr.data_type(&self.input)?;
        self.exprs.push(Arc::clone(expr));
        Ok(self.exprs.len() - 1)
    }

    /// The projection onto the columns, and its schema; no step if it would change nothing.
    pub(super) fn finish(self) -> (Option<Step>, SchemaRef) {
        let identity = self.exprs.len() == self.input.fields().len()
            && self.exprs.iter().enumerate().all(|(at, expr)| {
                expr.downcast_ref::<Column>()
                    .is_some_and(|column| column.index() == at)
            });
        if identity {
            return (None, self.input);
        }
        let fields: Vec<Field> = self
            .exprs
            .iter()
            .enumerate()
            .map(|(at, expr)| {
                let data_type = expr.data_type(&self.input).unwrap_or(DataType::Null);
                let nullable = expr.nullable(&self.input).unwrap_or(true);
                Field::new(format!("{expr}#{at}"), data_type, nullable)
            })
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let step = Step::Project {
            exprs: self.exprs,
            schema: schema.clone(),
        };
        (Some(step), schema)
    }
}
