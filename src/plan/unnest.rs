//! UNNEST: lists to rows, structs to columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DataFusionError, NullHandling, internal_datafusion_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::logical_plan::Unnest;

use super::Op;
use super::graph::Rel;
use super::lower::Lowering;
use super::refuse::Trouble;

/// The nodes of an UNNEST.
pub(super) fn lower(lowering: &mut Lowering<'_>, unnest: &Unnest) -> Result<Rel, Trouble> {
    let input = lowering.lower(&unnest.input)?;
    let mut rel = lowering.graph.narrow(input)?;
    let keep_empty = match unnest.options.null_handling {
        NullHandling::Drop => false,
        NullHandling::PreserveAndExpandEmpty => true,
        NullHandling::Preserve => {
            return Err(Trouble::refused(
                "UNNEST that keeps nulls but no empty lists is not kept up to date",
                "write UNNEST in FROM",
            ));
        }
    };
    let lists = &unnest.list_type_columns;
    if !lists.is_empty() {
        let columns: Vec<usize> = lists.iter().map(|(position, _)| *position).collect();
        let depth = lists.iter().map(|(_, list)| list.depth).max().unwrap_or(1);
        if depth > 1 && lists.len() > 1 {
            return Err(Trouble::refused(
                "UNNEST of several lists, one of them a list of lists, is not kept up to date yet",
                "unnest the inner list in an outer SELECT",
            ));
        }
        for _ in 0..depth {
            let op = Op::Unnest {
                input: rel.node,
                columns: columns.clone(),
                keep_empty,
            };
            rel.node = lowering.graph.add(op)?;
        }
        rel.order = Vec::new();
    }
    if unnest.struct_type_columns.is_empty() {
        return Ok(Rel {
            schema: Arc::clone(&unnest.schema),
            ..rel
        });
    }
    expand_structs(lowering, unnest, rel)
}

/// Replaces each struct column by its fields.
fn expand_structs(lowering: &mut Lowering<'_>, unnest: &Unnest, rel: Rel) -> Result<Rel, Trouble> {
    let mut exprs = Vec::new();
    for (position, (qualifier, field)) in rel.schema.iter().enumerate() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match field.data_type() {
            DataType::Struct(fields) if unnest.struct_type_columns.contains(&position) => {
                for field in fields {
                    let value = get_field(column.clone(), field.name().as_str());
                    exprs.push(lowering.graph.bind(&value, &rel)?);
                }
            }
            _ => exprs.push(lowering.graph.column(rel.node, position)),
        }
    }
    let names = unnest
        .schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let node = lowering.graph.project(rel.node, exprs, Some(names))?;
    Ok(Rel::whole(node, Arc::clone(&unnest.schema)))
}

/// The columns after some of them have been unnested.
pub(super) fn schema(
    input: &Schema,
    columns: &[usize],
) -> std::result::Result<SchemaRef, DataFusionError> {
    let mut fields = input.fields().to_vec();
    for column in columns {
        let field = &fields[*column];
        let element = match field.data_type() {
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::FixedSizeList(element, _) => element.data_type().clone(),
            other => {
                return Err(internal_datafusion_err!(
                    "UNNEST of a column of type {other}"
                ));
            }
        };
        fields[*column] = Arc::new(Field::new(field.name(), element, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}
