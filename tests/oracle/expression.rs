//! Random expressions of a wanted type over the columns at hand.
//!
//! Options come simplest first. Divisors are never zero and casts never fail: what such rows become
//! is not for a batch answer to say, which fails as a whole.

use crate::choices::Choices;

/// The types between which expressions need not tell: an INT stands for a BIGINT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Integer,
    Decimal,
    Double,
    Text,
    Bool,
    Date,
    Timestamp,
    Texts,
}

/// The families that have an order and may be keys; the simplest first.
pub const KEYS: [Family; 7] = [
    Family::Integer,
    Family::Text,
    Family::Decimal,
    Family::Double,
    Family::Bool,
    Family::Date,
    Family::Timestamp,
];

/// A column that an expression may use.
#[derive(Debug, Clone)]
pub struct Field {
    /// As SQL refers to it.
    pub name: String,
    pub family: Family,
    /// Whether two right answers may differ in it by rounding, so that nothing may depend on how
    /// it compares.
    pub inexact: bool,
}

impl Field {
    pub fn is_key(&self) -> bool {
        !self.inexact && self.family != Family::Texts
    }
}

/// Makes expressions over some columns.
pub struct Expressions<'a, 'b> {
    pub fields: &'a [Field],
    pub choices: &'a mut Choices<'b>,
}

impl Expressions<'_, '_> {
    /// An expression of a family, at most `depth` levels deep.
    pub fn of(&mut self, family: Family, depth: usize) -> String {
        if depth == 0 || family == Family::Texts || self.choices.pick(3) == 0 {
            return self.leaf(family);
        }
        let depth = depth - 1;
        if self.choices.one_in(4) {
            return self.conditional(family, depth);
        }
        match family {
            Family::Integer => self.integer(depth),
            Family::Decimal => self.decimal(depth),
            Family::Double => self.double(depth),
            Family::Text => self.text(depth),
            Family::Bool => self.bool(depth),
            Family::Date => self.date(depth),
            Family::Timestamp => self.timestamp(depth),
            Family::Texts => self.leaf(family),
        }
    }

    /// A column if there is one, else a literal.
    pub fn leaf(&mut self, family: Family) -> String {
        let fits = |field: &&Field| field.family == family && !field.inexact;
        let columns: Vec<&str> = self
            .fields
            .iter()
            .filter(fits)
            .map(|field| field.name.as_str())
            .collect();
        let key = self.fields.iter().find(|field| field.is_key());
        if let (Family::Bool, true, Some(key)) = (family, columns.is_empty(), key) {
            return format!("({} IS NOT NULL)", key.name);
        }
        if columns.is_empty() || self.choices.one_in(5) {
            return self.literal(family);
        }
        self.choices.of(&columns).to_owned()
    }

    pub fn literal(&mut self, family: Family) -> String {
        let literals: &[&str] = match family {
            Family::Integer => &["1", "0", "2", "3", "-1", "7"],
            Family::Decimal => &[
                "CAST(1 AS DECIMAL(10, 2))",
                "CAST(2.50 AS DECIMAL(10, 2))",
                "CAST(0 AS DECIMAL(6, 3))",
            ],
            Family::Double => &[
                "CAST(1 AS DOUBLE)",
                "CAST(0.5 AS DOUBLE)",
                "CAST(-2 AS DOUBLE)",
            ],
            Family::Text => &["'a'", "'b'", "''", "'ab'"],
            Family::Bool => &["TRUE", "FALSE"],
            Family::Date => &["DATE '2024-01-31'", "DATE '2024-03-01'"],
            Family::Timestamp => &[
                "TIMESTAMP '2024-01-31 00:00:00'",
                "TIMESTAMP '2024-02-01 01:00:00'",
            ],
            Family::Texts => &["make_array('a', 'b')"],
        };
        self.choices.of(literals).to_owned()
    }

    fn conditional(&mut self, family: Family, depth: usize) -> String {
        let (a, b) = (self.of(family, depth), self.of(family, depth));
        match self.choices.pick(5) {
            0 => format!("COALESCE({a}, {b})"),
            1 => format!(
                "CASE WHEN {} THEN {a} ELSE {b} END",
                self.of(Family::Bool, depth)
            ),
            2 => format!("CASE WHEN {} THEN {a} END", self.of(Family::Bool, depth)),
            3 => format!("NULLIF({a}, {b})"),
            _ => {
                let case = self.of(Family::Integer, depth);
                format!("CASE {case} WHEN 1 THEN {a} WHEN 2 THEN {b} END")
            }
        }
    }

    fn integer(&mut self, depth: usize) -> String {
        let a = self.of(Family::Integer, depth);
        match self.choices.pick(12) {
            0 => format!("({a} + {})", self.of(Family::Integer, depth)),
            1 => format!("({a} - {})", self.of(Family::Integer, depth)),
            2 => format!("({a} * 3)"),
            3 => format!("({a} / NULLIF({}, 0))", self.of(Family::Integer, depth)),
            4 => format!("({a} % NULLIF({}, 0))", self.of(Family::Integer, depth)),
            5 => format!("abs({a})"),
            6 => format!("(- {a})"),
            7 => format!("character_length({})", self.of(Family::Text, depth)),
            8 => format!("CAST({} AS INT)", self.of(Family::Bool, depth)),
            9 => format!(
                "CAST(date_part('day', {}) AS BIGINT)",
                self.of(Family::Date, depth)
            ),
            10 => format!(
                "CAST(date_part('hour', {}) AS INT)",
                self.of(Family::Timestamp, depth)
            ),
            _ => format!("greatest({a}, {})", self.of(Family::Integer, depth)),
        }
    }

    fn decimal(&mut self, depth: usize) -> String {
        let a = self.of(Family::Decimal, depth);
        match self.choices.pick(6) {
            0 => format!("({a} + {})", self.of(Family::Decimal, depth)),
            1 => format!("({a} - {})", self.of(Family::Decimal, depth)),
            2 => format!("({a} * {})", self.of(Family::Integer, 0)),
            3 => format!(
                "CAST({} AS DECIMAL(20, 2))",
                self.of(Family::Integer, depth)
            ),
            4 => format!("abs({a})"),
            _ => format!("({a} / CAST(4 AS DECIMAL(4, 1)))"),
        }
    }

    fn double(&mut self, depth: usize) -> String {
        let a = self.of(Family::Double, depth);
        match self.choices.pick(9) {
            0 => format!("({a} + {})", self.of(Family::Double, depth)),
            1 => format!("({a} - {})", self.of(Family::Double, depth)),
            2 => format!("({a} * 0.5)"),
            3 => format!(
                "({a} / NULLIF({}, CAST(0 AS DOUBLE)))",
                self.of(Family::Double, depth)
            ),
            4 => format!("CAST({} AS DOUBLE)", self.of(Family::Integer, depth)),
            5 => format!("CAST({} AS DOUBLE)", self.of(Family::Decimal, depth)),
            6 => format!("abs({a})"),
            7 => format!("sqrt(abs({a}))"),
            _ => format!("floor({a})"),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        let a = self.of(Family::Text, depth);
        match self.choices.pick(9) {
            0 => format!("upper({a})"),
            1 => format!("({a} || {})", self.of(Family::Text, depth)),
            2 => format!("concat({a}, {})", self.of(Family::Text, depth)),
            3 => format!("substr({a}, 1, 1)"),
            4 => format!("replace({a}, 'a', 'b')"),
            5 => format!("CAST({} AS VARCHAR)", self.of(Family::Integer, depth)),
            6 => format!("trim({a})"),
            7 => format!("CAST({} AS VARCHAR)", self.of(Family::Decimal, depth)),
            _ => format!("CAST({} AS VARCHAR)", self.of(Family::Date, depth)),
        }
    }

    fn bool(&mut self, depth: usize) -> String {
        match self.choices.pick(9) {
            0 | 1 => self.comparison(depth),
            2 => {
                let family = self.choices.of(&KEYS);
                let not = self.choices.of(&["", " NOT"]);
                format!("({} IS{not} NULL)", self.of(family, depth))
            }
            3 => format!(
                "({} AND {})",
                self.of(Family::Bool, depth),
                self.of(Family::Bool, depth)
            ),
            4 => format!(
                "({} OR {})",
                self.of(Family::Bool, depth),
                self.of(Family::Bool, depth)
            ),
            5 => format!("(NOT {})", self.of(Family::Bool, depth)),
            6 => {
                let family = self.choices.of(&KEYS[..4]);
                let not = self.choices.of(&["", " NOT"]);
                let (a, b, c) = (
                    self.of(family, depth),
                    self.of(family, 0),
                    self.literal(family),
                );
                format!("({a}{not} IN ({b}, {c}))")
            }
            7 => {
                let family = self.choices.of(&KEYS[..4]);
                let (a, b, c) = (
                    self.of(family, depth),
                    self.of(family, 0),
                    self.of(family, 0),
                );
                format!("({a} BETWEEN {b} AND {c})")
            }
            _ => {
                let pattern = self.choices.of(&["'%a%'", "'_'", "'b%'"]);
                format!("({} LIKE {pattern})", self.of(Family::Text, depth))
            }
        }
    }

    fn comparison(&mut self, depth: usize) -> String {
        let family = self.choices.of(&KEYS);
        let comparisons = [
            "=",
            "<",
            ">",
            "<>",
            "<=",
            ">=",
            "IS DISTINCT FROM",
            "IS NOT DISTINCT FROM",
        ];
        let comparison = self.choices.of(&comparisons);
        format!(
            "({} {comparison} {})",
            self.of(family, depth),
            self.of(family, depth)
        )
    }

    fn date(&mut self, depth: usize) -> String {
        match self.choices.pick(3) {
            0 => format!("CAST({} AS DATE)", self.of(Family::Timestamp, depth)),
            1 => format!(
                "CAST(date_trunc('month', {}) AS DATE)",
                self.of(Family::Timestamp, depth)
            ),
            _ => format!(
                "CAST(({} + INTERVAL '1 month') AS DATE)",
                self.of(Family::Date, depth)
            ),
        }
    }

    fn timestamp(&mut self, depth: usize) -> String {
        let a = self.of(Family::Timestamp, depth);
        match self.choices.pick(4) {
            0 => format!("date_trunc('hour', {a})"),
            1 => format!("date_bin(INTERVAL '15 minutes', {a})"),
            2 => format!("({a} + INTERVAL '90 minutes')"),
            _ => format!("CAST({} AS TIMESTAMP)", self.of(Family::Date, depth)),
        }
    }
}
