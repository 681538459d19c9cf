//! Random queries over tables and the views before them.

use crate::aggregate::aggregate;
use crate::choices::Choices;
use crate::expression::{Expressions, Family, Field, KEYS};
use crate::window;

/// Something that a query may read: a table or a view.
#[derive(Debug, Clone)]
pub struct Relation {
    pub name: String,
    pub fields: Vec<Field>,
}

/// A query and its columns.
pub struct Query {
    pub sql: String,
    pub fields: Vec<Field>,
}

/// Makes queries over some relations.
pub struct Queries<'a, 'b> {
    pub relations: &'a [Relation],
    pub choices: &'a mut Choices<'b>,
    /// Whether windows may leave rows in an order that depends on which columns are read: of a view
    /// that is not kept, others may read fewer.
    pub may_tie: bool,
}

/// Lengths of time by which conditions on the clock differ.
const LENGTHS: [&str; 4] = [
    "INTERVAL '5 minutes'",
    "INTERVAL '1 day'",
    "INTERVAL '36 hours'",
    "INTERVAL '400 days'",
];

/// How deep expressions are.
const DEPTH: usize = 2;

/// A list of results: their SQL, each with a name of its own.
#[derive(Default)]
pub struct Results {
    sql: Vec<String>,
    pub fields: Vec<Field>,
}

impl Results {
    pub fn push(&mut self, sql: &str, family: Family, inexact: bool) {
        let name = format!("x{}", self.fields.len());
        self.sql.push(format!("{sql} AS {name}"));
        self.fields.push(Field {
            name,
            family,
            inexact,
        });
    }

    pub fn list(&self) -> String {
        self.sql.join(", ")
    }
}

impl<'b> Queries<'_, 'b> {
    /// Any query.
    pub fn query(&mut self) -> Query {
        match self.choices.pick(22) {
            0 | 1 => self.select(),
            2..=4 => self.group(),
            5 | 6 => self.select_from_join(),
            7 => self.group_join(),
            8 => self.exists(),
            9 => self.in_query(),
            10 | 11 => self.set_operation(),
            12 => self.top_by_number(),
            13 => self.limit(),
            14 => self.unnest(),
            15 | 16 => self.windows(),
            17 => self.lateral(),
            18 | 19 => self.grouping_sets(),
            20 => self.distinct_on(),
            _ => self.compared_with_scalar(),
        }
    }

    pub fn relation(&mut self, alias: &str) -> Relation {
        let relation = self.choices.of(self.relations);
        let qualified = |field: &Field| Field {
            name: format!("{alias}.{}", field.name),
            ..field.clone()
        };
        let fields = relation.fields.iter().map(qualified).collect();
        Relation {
            name: format!("{} {alias}", relation.name),
            fields,
        }
    }

    fn over<'c>(&'c mut self, fields: &'c [Field]) -> Expressions<'c, 'b> {
        Expressions {
            fields,
            choices: self.choices,
        }
    }

    fn filter(&mut self, fields: &[Field]) -> String {
        match self.choices.pick(5) {
            0 | 1 => String::new(),
            4 => format!(" WHERE {}", self.temporal(fields)),
            _ => format!(" WHERE {}", self.over(fields).of(Family::Bool, DEPTH)),
        }
    }

    /// A condition that the clock meets and fails as it goes on.
    fn temporal(&mut self, fields: &[Field]) -> String {
        let time = self.over(fields).of(Family::Timestamp, 1);
        let length = self.choices.of(&LENGTHS);
        match self.choices.pick(9) {
            0 => format!("{time} > now() - {length}"),
            1 => format!("now() < {time} + {length}"),
            2 => format!("{time} <= now()"),
            3 => format!("{time} BETWEEN now() - {length} AND now()"),
            4 => {
                let number = self.over(fields).of(Family::Integer, 0);
                let ttl = format!("({number} % 1000) * INTERVAL '1 hour'");
                format!("now() < {time} + {ttl} AND now() >= {time}")
            }
            5 => format!("date_trunc('day', {time}) = date_trunc('day', now())"),
            6 => format!("{time} < date_trunc('month', now()) + {length}"),
            7 => {
                let date = self.over(fields).of(Family::Date, 0);
                format!("{date} >= current_date()")
            }
            _ => {
                let other = self.over(fields).of(Family::Bool, 1);
                format!("now() - INTERVAL '1 month' >= {time} AND {other}")
            }
        }
    }

    /// Some results over columns, and columns as they are, inexact ones too.
    fn results(&mut self, fields: &[Field]) -> Results {
        let mut results = Results::default();
        for _ in 0..=self.choices.pick(3) {
            if self.choices.one_in(2) {
                let field = self.choices.of(fields);
                results.push(&field.name, field.family, field.inexact);
            } else {
                let family = self.choices.of(&KEYS);
                results.push(&self.over(fields).of(family, DEPTH), family, false);
            }
        }
        results
    }

    pub fn select(&mut self) -> Query {
        let relation = self.relation("a");
        let results = self.results(&relation.fields);
        let filter = self.filter(&relation.fields);
        let distinct = self.distinct(&results);
        let sql = format!(
            "SELECT {distinct}{} FROM {}{filter}",
            results.list(),
            relation.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn distinct(&mut self, results: &Results) -> &'static str {
        let may = results.fields.iter().all(|field| !field.inexact);
        if may && self.choices.one_in(5) {
            "DISTINCT "
        } else {
            ""
        }
    }

    fn group(&mut self) -> Query {
        let relation = self.relation("a");
        let filter = self.filter(&relation.fields);
        self.grouped(&format!("{}{filter}", relation.name), &relation.fields)
    }

    fn grouped(&mut self, from: &str, fields: &[Field]) -> Query {
        let mut results = Results::default();
        let mut keys = Vec::new();
        for _ in 0..self.choices.of(&[1, 0, 2]) {
            let family = self.choices.of(&KEYS);
            let key = self.over(fields).of(family, 1);
            results.push(&key, family, false);
            // By position: a literal as a key is not one to name.
            keys.push(results.fields.len().to_string());
        }
        for _ in 0..=self.choices.pick(3) {
            let (call, family, inexact) = aggregate(&mut self.over(fields));
            results.push(&call, family, inexact);
        }
        let by = if keys.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", keys.join(", "))
        };
        let having = match self.choices.pick(4) {
            3 => " HAVING COUNT(*) > 1",
            _ => "",
        };
        Query {
            sql: format!("SELECT {} FROM {from}{by}{having}", results.list()),
            fields: results.fields,
        }
    }

    /// Two relations joined, and their columns.
    fn join(&mut self) -> (String, Vec<Field>) {
        let (left, right) = (self.relation("a"), self.relation("b"));
        let fields = [left.fields.clone(), right.fields.clone()].concat();
        let kinds = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
        let kind = self.choices.of(&kinds);
        let mut conditions = vec![self.equality(&left, &right)];
        if self.choices.one_in(3) {
            conditions.push(self.equality(&left, &right));
        }
        if self.choices.one_in(3) {
            conditions.push(self.over(&fields).of(Family::Bool, 1));
        }
        let condition = conditions.join(" AND ");
        (
            format!("{} {kind} {} ON {condition}", left.name, right.name),
            fields,
        )
    }

    /// That an expression of one side equals one of the other: columns wherever both have them.
    fn equality(&mut self, left: &Relation, right: &Relation) -> String {
        let shared: Vec<Family> = KEYS
            .into_iter()
            .filter(|family| {
                let has = |fields: &[Field]| {
                    fields
                        .iter()
                        .any(|field| field.is_key() && field.family == *family)
                };
                has(&left.fields) && has(&right.fields)
            })
            .collect();
        let family = if shared.is_empty() {
            Family::Integer
        } else {
            self.choices.of(&shared)
        };
        let columns = |fields: &[Field]| -> Vec<String> {
            let fits = fields
                .iter()
                .filter(|field| field.is_key() && field.family == family);
            fits.map(|field| field.name.clone()).collect()
        };
        let mut side = |fields: &[Field]| match columns(fields) {
            columns if columns.is_empty() => self.over(fields).literal(family),
            columns => self.choices.of(&columns),
        };
        format!("{} = {}", side(&left.fields), side(&right.fields))
    }

    fn select_from_join(&mut self) -> Query {
        let (from, fields) = self.join();
        let results = self.results(&fields);
        let filter = self.filter(&fields);
        Query {
            sql: format!("SELECT {} FROM {from}{filter}", results.list()),
            fields: results.fields,
        }
    }

    fn group_join(&mut self) -> Query {
        let (from, fields) = self.join();
        let filter = self.filter(&fields);
        self.grouped(&format!("{from}{filter}"), &fields)
    }

    fn exists(&mut self) -> Query {
        let (outer, inner) = (self.relation("a"), self.relation("b"));
        let results = self.results(&outer.fields);
        let not = self.choices.of(&["", "NOT "]);
        let mut condition = self.equality(&outer, &inner);
        if self.choices.one_in(2) {
            condition.push_str(" AND ");
            condition.push_str(&self.over(&inner.fields).of(Family::Bool, 1));
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {not}EXISTS (SELECT 1 FROM {} WHERE {condition})",
            results.list(),
            outer.name,
            inner.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn in_query(&mut self) -> Query {
        let (outer, inner) = (self.relation("a"), self.relation("b"));
        let results = self.results(&outer.fields);
        let family = self.choices.of(&KEYS);
        let not = self.choices.of(&["", "NOT "]);
        let mut needle = self.over(&outer.fields).of(family, 1);
        let mut straw = self.over(&inner.fields).of(family, 1);
        if !not.is_empty() {
            // A NOT IN over nulls is refused: it is rarely what anyone means.
            needle = format!("COALESCE({needle}, {})", self.over(&[]).literal(family));
            straw = format!("COALESCE({straw}, {})", self.over(&[]).literal(family));
        }
        let filter = self.filter(&inner.fields);
        let sql = format!(
            "SELECT {} FROM {} WHERE {needle} {not}IN (SELECT {straw} FROM {}{filter})",
            results.list(),
            outer.name,
            inner.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn set_operation(&mut self) -> Query {
        let families: Vec<Family> = (0..=self.choices.pick(2))
            .map(|_| self.choices.of(&KEYS))
            .collect();
        let operations = [
            "UNION ALL",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "EXCEPT ALL",
            "INTERSECT ALL",
        ];
        let operation = self.choices.of(&operations);
        let mut side = || {
            let relation = self.relation("a");
            let mut results = Results::default();
            for family in &families {
                results.push(&self.over(&relation.fields).of(*family, 1), *family, false);
            }
            let filter = self.filter(&relation.fields);
            (
                format!("SELECT {} FROM {}{filter}", results.list(), relation.name),
                results.fields,
            )
        };
        let ((left, fields), (right, _)) = (side(), side());
        Query {
            sql: format!("{left} {operation} {right}"),
            fields,
        }
    }

    /// The columns of a relation that compare, and an order by all of them.
    fn ordered(&mut self, relation: &Relation) -> (Results, String) {
        let mut results = Results::default();
        let mut order = Vec::new();
        let keys: Vec<Field> = relation
            .fields
            .iter()
            .filter(|f| f.is_key())
            .cloned()
            .collect();
        for field in &keys {
            results.push(&field.name, field.family, false);
            let direction = self
                .choices
                .of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            order.push(format!("{}{direction}", field.name));
        }
        if keys.is_empty() {
            results.push("1", Family::Integer, false);
            order.push("1".to_owned());
        }
        let first = self.choices.pick(order.len());
        order.rotate_left(first);
        (results, order.join(", "))
    }

    fn top_by_number(&mut self) -> Query {
        let relation = self.relation("a");
        let (results, order) = self.ordered(&relation);
        let family = self.choices.of(&KEYS);
        let partition = match self.choices.pick(3) {
            2 => String::new(),
            _ => format!("PARTITION BY {} ", self.over(&relation.fields).leaf(family)),
        };
        let filter = self.filter(&relation.fields);
        let limit = 1 + self.choices.pick(3);
        let number = format!("row_number() OVER ({partition}ORDER BY {order}) AS n");
        let inner = format!(
            "SELECT {}, {number} FROM {}{filter}",
            results.list(),
            relation.name
        );
        let mut fields = results.fields;
        let mut names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
        if self.choices.one_in(2) {
            names.push(format!("CAST(n AS BIGINT) AS x{}", fields.len()));
            let name = format!("x{}", fields.len());
            fields.push(Field {
                name,
                family: Family::Integer,
                inexact: false,
            });
        }
        let sql = format!(
            "SELECT {} FROM ({inner}) r WHERE n <= {limit}",
            names.join(", ")
        );
        Query { sql, fields }
    }

    /// Functions over one or two windows, sometimes with a bound on one of their answers.
    fn windows(&mut self) -> Query {
        let relation = self.relation("a");
        let (mut results, _) = self.ordered(&relation);
        let filter = self.filter(&relation.fields);
        let inner = format!("SELECT {} FROM {}{filter}", results.list(), relation.name);
        let columns = std::mem::take(&mut results.sql);
        for at in 0..columns.len() {
            results.sql.push(format!("x{at}"));
        }
        let fields = results.fields.clone();
        let may_tie = self.may_tie;
        let mut over = window::over(&mut self.over(&fields), may_tie);
        for number in 0..=self.choices.pick(3) {
            if number == 2 {
                over = window::over(&mut self.over(&fields), may_tie);
            }
            let (call, family, inexact) = window::function(&mut self.over(&fields), &over);
            results.push(&call, family, inexact);
        }
        let mut sql = format!("SELECT {} FROM ({inner}) w", results.list());
        let mut answers = results.fields[fields.len()..].iter();
        let bounded = answers.rfind(|field| field.family == Family::Integer);
        if let Some(field) = bounded
            && self.choices.one_in(2)
        {
            sql = format!("SELECT * FROM ({sql}) q WHERE {} <= 2", field.name);
        }
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn limit(&mut self) -> Query {
        let relation = self.relation("a");
        let (results, order) = self.ordered(&relation);
        let filter = self.filter(&relation.fields);
        let limit = self.choices.pick(5);
        let offset = match self.choices.pick(3) {
            2 => " OFFSET 1",
            _ => "",
        };
        // What an order leaves equal, and all rows where there is none, is ordered by all columns.
        let order = match self.choices.pick(3) {
            0 => format!(" ORDER BY {order}"),
            1 => format!(" ORDER BY {}", order.split(',').next().unwrap_or(&order)),
            _ => String::new(),
        };
        let sql = format!(
            "SELECT {} FROM {}{filter}{order} LIMIT {limit}{offset}",
            results.list(),
            relation.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn distinct_on(&mut self) -> Query {
        let relation = self.relation("a");
        let (mut results, order) = self.ordered(&relation);
        let filter = self.filter(&relation.fields);
        let first = order.split([',', ' ']).next().unwrap_or_default();
        let order = match self.choices.pick(3) {
            0 => format!(" ORDER BY {order}"),
            1 => format!(" ORDER BY {}", order.split(',').next().unwrap_or(&order)),
            _ => String::new(),
        };
        if results.fields.len() > 1 && self.choices.one_in(2) {
            results.sql.pop();
            results.fields.pop();
        }
        let sql = format!(
            "SELECT DISTINCT ON ({first}) {} FROM {}{filter}{order}",
            results.list(),
            relation.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn grouping_sets(&mut self) -> Query {
        let relation = self.relation("a");
        let (first, second) = (self.choices.of(&KEYS), self.choices.of(&KEYS));
        let (k0, k1) = (
            self.over(&relation.fields).of(first, 1),
            self.over(&relation.fields).of(second, 1),
        );
        let n = self.over(&relation.fields).leaf(Family::Integer);
        let filter = self.filter(&relation.fields);
        let sets = self.choices.of(&[
            "ROLLUP (k0, k1)",
            "CUBE (k0, k1)",
            "GROUPING SETS ((k0), (k1))",
            "GROUPING SETS ((k0, k1), (k0), (k0), ())",
            "k0, ROLLUP (k1)",
        ]);
        let mut results = Results::default();
        results.push("k0", first, false);
        results.push("k1", second, false);
        for _ in 0..=self.choices.pick(2) {
            let (call, family) = self.choices.of(&[
                ("count(*)", Family::Integer),
                ("sum(n)", Family::Integer),
                ("max(n)", Family::Integer),
                ("count(DISTINCT n)", Family::Integer),
                ("CAST(grouping(k0) AS BIGINT)", Family::Integer),
                ("CAST(grouping(k1, k0) AS BIGINT)", Family::Integer),
                ("array_agg(CAST(n AS VARCHAR) ORDER BY n)", Family::Texts),
            ]);
            results.push(call, family, false);
        }
        let sql = format!(
            "SELECT {} FROM (SELECT {k0} AS k0, {k1} AS k1, {n} AS n FROM {}{filter}) g GROUP BY {sets}",
            results.list(),
            relation.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }

    fn unnest(&mut self) -> Query {
        let relation = self.relation("a");
        let mut results = self.results(&relation.fields);
        let filter = self.filter(&relation.fields);
        let lists: Vec<String> = relation
            .fields
            .iter()
            .filter(|field| field.family == Family::Texts)
            .map(|field| field.name.clone())
            .collect();
        let list = match lists.is_empty() {
            true => format!(
                "make_array('a', {})",
                self.over(&relation.fields).leaf(Family::Text)
            ),
            false => self.choices.of(&lists),
        };
        results.push(&format!("unnest({list})"), Family::Text, false);
        Query {
            sql: format!("SELECT {} FROM {}{filter}", results.list(), relation.name),
            fields: results.fields,
        }
    }

    fn compared_with_scalar(&mut self) -> Query {
        let (outer, inner) = (self.relation("a"), self.relation("b"));
        let results = self.results(&outer.fields);
        let family = self.choices.of(&KEYS);
        let left = self.over(&outer.fields).leaf(family);
        let function = self.choices.of(&["MAX", "MIN"]);
        let right = self.over(&inner.fields).leaf(family);
        let sql = format!(
            "SELECT {} FROM {} WHERE {left} >= (SELECT {function}({right}) FROM {})",
            results.list(),
            outer.name,
            inner.name
        );
        Query {
            sql,
            fields: results.fields,
        }
    }
}
