//! Random window functions over key columns, with any frame.
//!
//! Orders may leave rows equal: both sides order those by all columns. Frames that move on are only
//! given to aggregates that the batch engine can move.

use crate::expression::{Expressions, Family, Field, KEYS};

/// The part of `OVER (...)` that functions have in common.
pub struct Over {
    partition: String,
    order: Vec<String>,
    /// Whether the order is by one column of integers.
    is_by_integer: bool,
}

/// A partition and an order over some columns.
pub fn over(expressions: &mut Expressions, may_tie: bool) -> Over {
    let keys: Vec<Field> = expressions
        .fields
        .iter()
        .filter(|field| field.is_key())
        .cloned()
        .collect();
    let partition = match expressions.choices.pick(3) {
        _ if keys.is_empty() => String::new(),
        2 => String::new(),
        _ => format!("PARTITION BY {}", expressions.choices.of(&keys).name),
    };
    let mut order = Vec::new();
    let mut is_by_integer = false;
    if !keys.is_empty() {
        for _ in 0..expressions.choices.of(&[1, 1, 2, 0]) {
            let key = expressions.choices.of(&keys);
            let directions = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"];
            let direction = expressions.choices.of(&directions);
            is_by_integer = order.is_empty() && key.family == Family::Integer;
            order.push(format!("{}{direction}", key.name));
        }
    }
    if !may_tie {
        order.extend(keys.iter().map(|key| key.name.clone()));
    }
    is_by_integer &= order.len() == 1;
    Over {
        partition,
        order,
        is_by_integer,
    }
}

/// A window function's SQL and what its result is.
pub fn function(expressions: &mut Expressions, over: &Over) -> (String, Family, bool) {
    let (call, family, inexact, takes_frame) = match expressions.choices.pick(6) {
        0 | 1 => ranking(expressions, over),
        2 => neighbour(expressions),
        3 => value(expressions),
        _ => aggregate(expressions),
    };
    let frame = match takes_frame {
        true => frame(expressions, over),
        false => String::new(),
    };
    let order = match over.order.as_slice() {
        [] => String::new(),
        keys => format!("ORDER BY {}", keys.join(", ")),
    };
    let parts = [over.partition.as_str(), order.as_str(), frame.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let sql = format!("{call} OVER ({})", parts.join(" "));
    match family {
        // Numbers of rows are unsigned.
        Family::Integer => (format!("CAST({sql} AS BIGINT)"), family, inexact),
        _ => (sql, family, inexact),
    }
}

type Call = (String, Family, bool, bool);

fn ranking(expressions: &mut Expressions, over: &Over) -> Call {
    let mut functions = vec!["row_number()", "ntile(3)"];
    if !over.order.is_empty() {
        functions.extend(["rank()", "dense_rank()", "percent_rank()", "cume_dist()"]);
    }
    let function = expressions.choices.of(&functions);
    let family = match function {
        "percent_rank()" | "cume_dist()" => Family::Double,
        _ => Family::Integer,
    };
    (function.to_owned(), family, family == Family::Double, false)
}

fn neighbour(expressions: &mut Expressions) -> Call {
    let family = expressions.choices.of(&KEYS);
    let argument = expressions.leaf(family);
    let function = expressions.choices.of(&["lag", "lead"]);
    let offset = expressions.choices.of(&["", ", 1", ", 2", ", 0"]);
    let nulls = expressions.choices.of(&["", "", " IGNORE NULLS"]);
    (
        format!("{function}({argument}{offset}){nulls}"),
        family,
        false,
        false,
    )
}

fn value(expressions: &mut Expressions) -> Call {
    let family = expressions.choices.of(&KEYS);
    let argument = expressions.leaf(family);
    let call = match expressions.choices.pick(3) {
        0 => format!("first_value({argument})"),
        1 => format!("last_value({argument})"),
        _ => format!("nth_value({argument}, 2)"),
    };
    (call, family, false, true)
}

fn aggregate(expressions: &mut Expressions) -> Call {
    let numbers = [Family::Integer, Family::Decimal];
    match expressions.choices.pick(5) {
        0 => {
            let family = expressions.choices.of(&numbers);
            let argument = expressions.leaf(family);
            (format!("sum({argument})"), family, false, true)
        }
        1 => {
            let family = expressions.choices.of(&KEYS);
            let argument = expressions.leaf(family);
            let call = format!("count({argument})");
            (call, Family::Integer, false, true)
        }
        2 => {
            let argument = expressions.leaf(Family::Decimal);
            (format!("avg({argument})"), Family::Decimal, false, true)
        }
        form => {
            let family = expressions.choices.of(&[Family::Integer, Family::Text]);
            let argument = expressions.leaf(family);
            let function = if form == 3 { "min" } else { "max" };
            (format!("{function}({argument})"), family, false, true)
        }
    }
}

fn frame(expressions: &mut Expressions, over: &Over) -> String {
    let rows = [
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        "ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
        "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    ];
    let groups = [
        "GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
        "GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING",
        "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        "RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    ];
    let ranges = [
        "RANGE BETWEEN 1 PRECEDING AND CURRENT ROW",
        "RANGE BETWEEN 2 PRECEDING AND 2 FOLLOWING",
    ];
    let frame = match expressions.choices.pick(5) {
        0 | 1 => "",
        2 => expressions.choices.of(&rows),
        _ if over.order.is_empty() => expressions.choices.of(&rows),
        3 if over.is_by_integer => expressions.choices.of(&ranges),
        _ => expressions.choices.of(&groups),
    };
    frame.to_owned()
}
