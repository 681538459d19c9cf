//! Random queries that look something up for each row: `LATERAL` with ORDER BY and LIMIT.

use crate::expression::{Family, Field};
use crate::query::{Queries, Query, Results};

/// What a row can be held at.
const TIMES: [Family; 3] = [Family::Timestamp, Family::Date, Family::Integer];

impl Queries<'_, '_> {
    /// For each row of a relation the first rows of another by an order.
    pub fn lateral(&mut self) -> Query {
        let outer = self.relation("a");
        let inner = self.relation("b");
        let exact = |fields: &[Field], family: Family| {
            let mut fields = fields.iter();
            fields
                .find(|field| field.family == family && !field.inexact)
                .cloned()
        };
        let family = self.choices.of(&TIMES);
        let times = (exact(&outer.fields, family), exact(&inner.fields, family));
        let (Some(at), Some(since)) = times else {
            return self.select();
        };
        let (comparison, direction) = self.choices.of(&[
            ("<=", "DESC"),
            ("<", "DESC NULLS LAST"),
            (">=", "ASC"),
            (">", "ASC NULLS FIRST"),
        ]);
        let mut condition = format!("{} {comparison} {}", since.name, at.name);
        let key = self
            .choices
            .of(&[Family::Text, Family::Integer, Family::Bool]);
        let keys = (exact(&outer.fields, key), exact(&inner.fields, key));
        if let (Some(left), Some(right)) = keys {
            condition = format!("{} = {} AND {condition}", left.name, right.name);
        }
        let told: Vec<&Field> = inner.fields.iter().filter(|field| !field.inexact).collect();
        let values: Vec<String> = told
            .iter()
            .enumerate()
            .map(|(at, field)| format!("{} AS v{at}", field.name))
            .collect();
        // Rows that the order leaves equal are equal in all that is told of them.
        let order: Vec<String> = told.iter().map(|field| field.name.clone()).collect();
        let limit = self.choices.of(&[1, 1, 1, 2]);
        let join = self.choices.of(&["JOIN", "LEFT JOIN"]);
        let mut results = Results::default();
        for _ in 0..=self.choices.pick(2) {
            let field = self.choices.of(&outer.fields);
            results.push(&field.name, field.family, field.inexact);
        }
        for _ in 0..=self.choices.pick(2) {
            let at = self.choices.pick(told.len());
            results.push(&format!("p.v{at}"), told[at].family, false);
        }
        let sql = format!(
            "SELECT {} FROM {} {join} LATERAL (SELECT {} FROM {} WHERE {condition} \
             ORDER BY {} {direction}, {} LIMIT {limit}) p ON true",
            results.list(),
            outer.name,
            values.join(", "),
            inner.name,
            since.name,
            order.join(", "),
        );
        Query {
            sql,
            fields: results.fields,
        }
    }
}
