//! What each node keeps: what its state grows with, what bounds it, and what a change costs.

use std::fmt;
use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;

use super::explain::relation;
use super::graph::column_of;
use super::temporal::only_come;
use super::text::{expression, expressions};
use super::{Aggregate, NodeId, Op, Plan, RankLimit, Relation, Step};

/// What a node keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What its size grows with.
    pub grows_with: String,
    /// What bounds its size, if something does.
    pub bound: Option<String>,
    /// What a change costs, where that is more than the change itself.
    pub cost: Option<String>,
}

/// How an aggregate is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A few numbers a group, to which a row adds and from which it is taken back.
    Accumulable,
    /// The first or last of the values: the values of the group where rows can be taken back.
    Extremum,
    /// Over the different values of the group.
    Distinct,
    /// Computed anew over the group's rows.
    General,
}

/// How an aggregate is kept up to date.
pub fn class(aggregate: &Aggregate) -> Class {
    let name = aggregate.function.name();
    let is_extremum = matches!(name, "min" | "max");
    // By their whole names: a program's own aggregate may begin like one of these.
    let accumulable = matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "bool_and"
            | "bool_or"
            | "corr"
            | "covar_samp"
            | "covar_pop"
            | "stddev"
            | "stddev_pop"
            | "var"
            | "var_pop"
            | "regr_slope"
            | "regr_intercept"
            | "regr_count"
            | "regr_r2"
            | "regr_avgx"
            | "regr_avgy"
            | "regr_sxx"
            | "regr_syy"
            | "regr_sxy"
    );
    match (is_extremum, accumulable, aggregate.distinct) {
        (true, _, _) => Class::Extremum,
        (_, true, true) => Class::Distinct,
        (_, true, false) => Class::Accumulable,
        _ => Class::General,
    }
}

impl State {
    /// Whether nothing is kept.
    pub fn is_none(&self) -> bool {
        self.bound.as_deref() == Some(NO_STATE)
    }

    fn none() -> State {
        State {
            grows_with: "nothing".to_owned(),
            bound: Some(NO_STATE.to_owned()),
            cost: None,
        }
    }

    fn of(grows_with: impl Into<String>, bound: Option<String>) -> State {
        State {
            grows_with: grows_with.into(),
            bound,
            cost: None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grows with {}; ", self.grows_with)?;
        match &self.bound {
            Some(bound) => write!(f, "bounded by {bound}"),
            None => write!(f, "nothing bounds it"),
        }
    }
}

const NO_STATE: &str = "having none";

/// What a node keeps.
pub fn state(plan: &Plan, node: NodeId) -> State {
    match &plan.nodes[node.0].op {
        Op::Input(input) => input_state(plan, *input),
        Op::Reduce {
            input,
            keys,
            aggregates,
        } => reduce_state(plan, *input, keys, aggregates),
        Op::Join {
            left,
            right,
            left_keys,
            ..
        } => join_state(plan, [*left, *right], left_keys.is_empty()),
        Op::TopK { input, .. } => State::of(
            format!("the rows of n{}", input.0),
            keyed_rows(plan, *input),
        ),
        Op::Window {
            input,
            partition,
            limit,
            ..
        } => State {
            cost: Some(window_cost(partition, *limit)),
            ..State::of(
                format!("the rows of n{}", input.0),
                keyed_rows(plan, *input),
            )
        },
        Op::Temporal { input, bounds, .. } => {
            let rows = format!("the rows of n{}", input.0);
            let bound = match only_come(bounds) {
                true => "those whose time has not come",
                false => "those that the clock has not passed",
            };
            State::of(rows, Some(bound.to_owned()))
        }
        Op::AsOf { left, right, .. } => State {
            cost: Some(
                "a change costs the rows of the stretch of time that it is about".to_owned(),
            ),
            ..State::of(format!("the rows of n{} and of n{}", left.0, right.0), None)
        },
        Op::Recursive { outer, .. } => {
            let read: Vec<_> = outer
                .iter()
                .map(|node| format!(" and the rows of n{}", node.0))
                .collect();
            State {
                grows_with: format!("the rows found{}", read.concat()),
                bound: None,
                cost: Some("a change costs what is found through it".to_owned()),
            }
        }
        Op::Constant(_)
        | Op::Work { .. }
        | Op::Map { .. }
        | Op::Unnest { .. }
        | Op::Union { .. }
        | Op::Negate { .. } => State::none(),
    }
}

/// What a join of two sides keeps; without keys each row of a side meets all of the other.
fn join_state(plan: &Plan, [left, right]: [NodeId; 2], every_pair: bool) -> State {
    let rows = match left == right {
        true => format!("the rows of n{}", left.0),
        false => format!("the rows of n{} and of n{}", left.0, right.0),
    };
    let bound = match [keyed_rows(plan, left), keyed_rows(plan, right)] {
        [Some(left), Some(right)] if left == right => Some(left),
        [Some(left), Some(right)] => Some(format!("{left} and {right}")),
        _ => None,
    };
    let cost = "a changed row costs as much as the other side has rows".to_owned();
    State {
        cost: every_pair.then_some(cost),
        ..State::of(rows, bound)
    }
}

/// What a change costs where functions look at whole partitions.
fn window_cost(partition: &[Arc<dyn PhysicalExpr>], limit: Option<RankLimit>) -> String {
    let rows = match partition {
        [] => "all rows".to_owned(),
        keys => format!("all rows of its {}", expressions(keys)),
    };
    match limit {
        None => format!("a change computes the functions anew over {rows}"),
        Some(_) => format!("a change computes the ranks anew up to the limit, over {rows} at most"),
    }
}

fn input_state(plan: &Plan, input: usize) -> State {
    let Relation::Table(table) = plan.inputs[input].relation else {
        return State::none();
    };
    let table = &plan.script.tables[table];
    let names = |columns: &[usize]| {
        let names: Vec<_> = columns
            .iter()
            .map(|column| table.columns[*column].name.as_str())
            .collect();
        names.join(", ")
    };
    if !table.primary_key.is_empty() {
        let key = names(&table.primary_key);
        return State::of(format!("the different {key} of {}", table.name), None);
    }
    let Some(dedup) = &table.options.dedup else {
        return State::none();
    };
    let bound = dedup
        .horizon_ms
        .map(|horizon| format!("those up to {} before the newest event", duration(horizon)));
    State::of(
        format!("the different {} of {}", names(&dedup.columns), table.name),
        bound,
    )
}

fn reduce_state(
    plan: &Plan,
    input: NodeId,
    keys: &[Arc<dyn PhysicalExpr>],
    aggregates: &[Aggregate],
) -> State {
    let append_only = plan.nodes[input.0].append_only;
    let mut parts = Vec::new();
    if !keys.is_empty() {
        parts.push(format!("the different {}", expressions(keys)));
    }
    let in_group = if keys.is_empty() {
        ""
    } else {
        " in each group"
    };
    let mut cost = None;
    for aggregate in aggregates {
        let values = expressions(&aggregate.args);
        let part = match class(aggregate) {
            Class::Accumulable => continue,
            Class::Extremum if append_only => continue,
            Class::Extremum | Class::Distinct => format!("the different {values}{in_group}"),
            Class::General => {
                cost = Some(format!(
                    "a change computes {} anew over all rows of its group",
                    aggregate.function.name()
                ));
                format!("the rows{in_group}")
            }
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let bound = match (keys, parts.as_slice()) {
        ([], []) => Some("one row".to_owned()),
        (_, [_]) if !keys.is_empty() => group_bound(plan, input, keys),
        _ => keyed_rows(plan, input),
    };
    let grows_with = if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(" and ")
    };
    State {
        grows_with,
        bound,
        cost,
    }
}

/// What bounds the number of groups: constants, truth values, or the rows of a keyed table.
fn group_bound(plan: &Plan, input: NodeId, keys: &[Arc<dyn PhysicalExpr>]) -> Option<String> {
    let mut bounds: Vec<String> = Vec::new();
    for key in keys {
        let schema = &plan.nodes[input.0].schema;
        if key
            .data_type(schema)
            .is_ok_and(|kind| kind == arrow::datatypes::DataType::Boolean)
        {
            bounds.push(format!("the values of {}", expression(key)));
            continue;
        }
        let origin = column_of(key).and_then(|column| origin(plan, input, column));
        let table = origin.and_then(|input| keyed_table(plan, input))?;
        bounds.push(format!("the rows of {table}"));
    }
    bounds.dedup();
    Some(bounds.join(" times "))
}

/// The input from which a column's values come unchanged.
fn origin(plan: &Plan, node: NodeId, column: usize) -> Option<usize> {
    match &plan.nodes[node.0].op {
        Op::Input(input) => Some(*input),
        Op::Map { input, steps } => {
            let mut column = column;
            for step in steps.iter().rev() {
                if let Step::Project { exprs, .. } = step {
                    column = column_of(&exprs[column])?;
                }
            }
            origin(plan, *input, column)
        }
        Op::Join { left, right, .. } => {
            let width = plan.nodes[left.0].schema.fields().len();
            match column.checked_sub(width) {
                None => origin(plan, *left, column),
                Some(column) => origin(plan, *right, column),
            }
        }
        Op::Reduce { input, keys, .. } => origin(plan, *input, column_of(keys.get(column)?)?),
        Op::TopK { input, .. } | Op::Window { input, .. }
            if column < plan.nodes[input.0].schema.fields().len() =>
        {
            origin(plan, *input, column)
        }
        Op::Negate { input } | Op::Temporal { input, .. } => origin(plan, *input, column),
        Op::AsOf { left, .. } if column < plan.nodes[left.0].schema.fields().len() => {
            origin(plan, *left, column)
        }
        Op::Constant(_)
        | Op::Unnest { .. }
        | Op::TopK { .. }
        | Op::Window { .. }
        | Op::AsOf { .. }
        | Op::Work { .. }
        | Op::Recursive { .. }
        | Op::Union { .. } => None,
    }
}

/// The name of the table that an input reads, if it has a primary key.
fn keyed_table(plan: &Plan, input: usize) -> Option<&str> {
    match plan.inputs[input].relation {
        Relation::Table(table) if !plan.script.tables[table].is_append_only() => {
            Some(relation(plan, plan.inputs[input].relation))
        }
        _ => None,
    }
}

/// What bounds the rows of a node: the keyed table that they are rows of.
fn keyed_rows(plan: &Plan, node: NodeId) -> Option<String> {
    match &plan.nodes[node.0].op {
        Op::Input(input) => keyed_table(plan, *input).map(|table| format!("the rows of {table}")),
        Op::Map { input, .. }
        | Op::TopK { input, .. }
        | Op::Window { input, .. }
        | Op::Temporal { input, .. }
        | Op::Negate { input } => keyed_rows(plan, *input),
        Op::Reduce { keys, .. } if keys.is_empty() => Some("one row".to_owned()),
        Op::Reduce { input, keys, .. } => {
            keyed_rows(plan, *input).or_else(|| group_bound(plan, *input, keys))
        }
        Op::Constant(_) => Some("constants".to_owned()),
        Op::Unnest { .. }
        | Op::Join { .. }
        | Op::AsOf { .. }
        | Op::Work { .. }
        | Op::Recursive { .. }
        | Op::Union { .. } => None,
    }
}

/// A length of time in its largest whole unit.
fn duration(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1000, "seconds"),
        (1, "ms"),
    ];
    let whole = UNITS
        .iter()
        .find(|(length, _)| milliseconds.is_multiple_of(*length));
    whole.map_or_else(String::new, |(length, name)| {
        format!("{} {name}", milliseconds / length)
    })
}
