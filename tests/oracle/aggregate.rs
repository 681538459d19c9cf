//! Random aggregates of every class that the engine keeps in its own way.

use crate::expression::{Expressions, Family, Field, KEYS};

/// An aggregate's SQL and what its result is.
pub fn aggregate(expressions: &mut Expressions) -> (String, Family, bool) {
    let class = expressions.choices.pick(8);
    let (call, family, inexact) = match class {
        0 => count(expressions),
        1 | 2 => sum(expressions),
        3 | 4 => extremum(expressions),
        5 => distinct(expressions),
        6 => moments(expressions),
        _ => general(expressions),
    };
    if expressions.choices.one_in(4) {
        let filter = expressions.of(Family::Bool, 1);
        return (format!("{call} FILTER (WHERE {filter})"), family, inexact);
    }
    (call, family, inexact)
}

fn count(expressions: &mut Expressions) -> (String, Family, bool) {
    let family = expressions.choices.of(&KEYS);
    match expressions.choices.pick(3) {
        0 => ("COUNT(*)".to_owned(), Family::Integer, false),
        _ => (
            format!("COUNT({})", expressions.of(family, 1)),
            Family::Integer,
            false,
        ),
    }
}

fn sum(expressions: &mut Expressions) -> (String, Family, bool) {
    let families = [Family::Integer, Family::Decimal, Family::Double];
    let family = expressions.choices.of(&families);
    let argument = expressions.of(family, 1);
    let inexact = family == Family::Double;
    match expressions.choices.pick(3) {
        0 | 1 => (format!("SUM({argument})"), family, inexact),
        // The mean of integers is a DOUBLE; of exact sums it is the same on both sides.
        _ if family == Family::Integer => (format!("AVG({argument})"), Family::Double, true),
        _ => (format!("AVG({argument})"), family, inexact),
    }
}

fn extremum(expressions: &mut Expressions) -> (String, Family, bool) {
    let family = expressions.choices.of(&KEYS);
    let mut argument = expressions.of(family, 1);
    if family == Family::Double {
        // What the batch engine makes of NaN here depends on the order of the rows.
        argument = format!("NULLIF({argument}, CAST('NaN' AS DOUBLE))");
    }
    match (expressions.choices.pick(3), family) {
        (2, Family::Bool) => {
            let function = expressions.choices.of(&["bool_and", "bool_or"]);
            (format!("{function}({argument})"), family, false)
        }
        (2, Family::Integer) => {
            let function = expressions.choices.of(&["bit_and", "bit_or", "bit_xor"]);
            (format!("{function}({argument})"), family, false)
        }
        (0, _) => (format!("MIN({argument})"), family, false),
        _ => (format!("MAX({argument})"), family, false),
    }
}

fn distinct(expressions: &mut Expressions) -> (String, Family, bool) {
    match expressions.choices.pick(3) {
        0 | 1 => {
            let family = expressions.choices.of(&KEYS);
            let argument = expressions.of(family, 1);
            (
                format!("COUNT(DISTINCT {argument})"),
                Family::Integer,
                false,
            )
        }
        _ => {
            let argument = expressions.of(Family::Integer, 1);
            (format!("SUM(DISTINCT {argument})"), Family::Integer, false)
        }
    }
}

fn moments(expressions: &mut Expressions) -> (String, Family, bool) {
    let functions = [
        "var_samp",
        "var_pop",
        "stddev",
        "stddev_pop",
        "corr",
        "covar_samp",
    ];
    let function = expressions.choices.of(&functions);
    // Of columns only: the differences of rounded values may be all that there is to a variance.
    let a = expressions.leaf(Family::Double);
    if matches!(function, "corr" | "covar_samp") {
        let b = expressions.leaf(Family::Double);
        return (format!("{function}({a}, {b})"), Family::Double, true);
    }
    (format!("{function}({a})"), Family::Double, true)
}

fn general(expressions: &mut Expressions) -> (String, Family, bool) {
    let keys: Vec<&Field> = expressions
        .fields
        .iter()
        .filter(|field| field.is_key())
        .collect();
    let total_order = match keys.is_empty() {
        true => "1".to_owned(),
        false => keys
            .iter()
            .map(|field| field.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    match expressions.choices.pick(5) {
        0 => {
            let argument = expressions.leaf(Family::Text);
            (
                format!("array_agg({argument} ORDER BY {argument})"),
                Family::Texts,
                false,
            )
        }
        1 => {
            let argument = expressions.leaf(Family::Text);
            (
                format!("string_agg({argument}, ',' ORDER BY {argument})"),
                Family::Text,
                false,
            )
        }
        2 => {
            let argument = expressions.leaf(Family::Double);
            (format!("median({argument})"), Family::Double, true)
        }
        form => {
            let function = if form == 3 {
                "first_value"
            } else {
                "last_value"
            };
            let family = expressions.choices.of(&KEYS);
            let argument = expressions.leaf(family);
            (
                format!("{function}({argument} ORDER BY {total_order})"),
                family,
                false,
            )
        }
    }
}
