//! A random case: tables, views over them, and what arrives, epoch by epoch.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use crate::choices::Choices;
use crate::expression::{Family, Field};
use crate::query::{Queries, Relation};
use crate::schema::{Identity, Row, Table, Type};

/// The random numbers that decide a case.
#[derive(Clone)]
pub struct Seeds {
    tables: Vec<u16>,
    views: Vec<Vec<u16>>,
    epochs: Vec<Vec<Vec<u16>>>,
    workers: usize,
}

/// Seeds of any case.
pub fn seeds() -> impl Strategy<Value = Seeds> {
    let tables = vec(any::<u16>(), 1..40);
    let views = vec(vec(any::<u16>(), 4..60), 1..5);
    let event = vec(any::<u16>(), 3..12);
    let epochs = vec(vec(event, 0..12), 1..6);
    (tables, views, epochs, 1..5_usize).prop_map(|(tables, views, epochs, workers)| Seeds {
        tables,
        views,
        epochs,
        workers,
    })
}

/// What arrives at a table.
#[derive(Debug, Clone)]
pub enum Event {
    /// A row, this many times.
    Add {
        table: usize,
        row: Row,
        copies: usize,
    },
    /// One of the rows that are there, found by its number among them, is taken back.
    TakeBack { table: usize, number: usize },
}

/// A view's statement.
#[derive(Debug, Clone)]
pub struct View {
    pub name: String,
    pub sql: String,
    pub materialized: bool,
}

/// What is tried.
#[derive(Clone)]
pub struct Case {
    pub tables: Vec<Table>,
    pub views: Vec<View>,
    pub epochs: Vec<Vec<Event>>,
    pub workers: usize,
}

impl Seeds {
    pub fn case(&self) -> Case {
        let mut choices = Choices::new(&self.tables);
        let count = 1 + choices.pick(3);
        let tables: Vec<Table> = (0..count)
            .map(|i| Table::random(format!("t{i}"), &mut choices))
            .collect();
        let mut relations: Vec<Relation> = tables.iter().map(relation).collect();
        let mut views = Vec::new();
        for (index, numbers) in self.views.iter().enumerate() {
            let mut choices = Choices::new(numbers);
            let materialized = !choices.one_in(5);
            let query = Queries {
                relations: &relations,
                choices: &mut choices,
                may_tie: materialized,
            }
            .query();
            let name = format!("v{index}");
            relations.push(Relation {
                name: name.clone(),
                fields: query.fields,
            });
            views.push(View {
                name,
                sql: query.sql,
                materialized,
            });
        }
        let event = |numbers: &Vec<u16>| event(&tables, numbers);
        let epochs = self
            .epochs
            .iter()
            .map(|epoch| epoch.iter().map(event).collect())
            .collect();
        Case {
            tables,
            views,
            epochs,
            workers: self.workers,
        }
    }
}

fn relation(table: &Table) -> Relation {
    let field = |column: &crate::schema::Column| Field {
        name: column.name.clone(),
        family: match column.kind {
            Type::Int | Type::BigInt => Family::Integer,
            Type::Decimal => Family::Decimal,
            Type::Double => Family::Double,
            Type::Text => Family::Text,
            Type::Bool => Family::Bool,
            Type::Date => Family::Date,
            Type::Timestamp => Family::Timestamp,
            Type::Texts => Family::Texts,
        },
        inexact: false,
    };
    Relation {
        name: table.name.clone(),
        fields: table.columns.iter().map(field).collect(),
    }
}

fn event(tables: &[Table], numbers: &[u16]) -> Event {
    let mut choices = Choices::new(numbers);
    let table = choices.pick(tables.len());
    let kind = choices.pick(8);
    if kind >= 6 && tables[table].identity == Identity::None {
        return Event::TakeBack {
            table,
            number: choices.pick(1 << 16),
        };
    }
    let copies = if kind == 5 { 2 } else { 1 };
    Event::Add {
        table,
        row: tables[table].random_row(&mut choices),
        copies,
    }
}

impl Case {
    /// The whole program.
    pub fn sql(&self) -> String {
        let tables = self.tables.iter().map(Table::sql);
        let views = self.views.iter().map(|view| {
            let kind = if view.materialized {
                "MATERIALIZED VIEW"
            } else {
                "VIEW"
            };
            format!("CREATE {kind} {} AS\n  {};", view.name, view.sql)
        });
        tables.chain(views).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::TakeBack { table, number } => {
                write!(f, "t{table} - row {number} of those there")
            }
            Event::Add { table, row, copies } => {
                let row: Vec<String> = row.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "t{table} + ({}){}",
                    row.join(", "),
                    if *copies > 1 { " twice" } else { "" }
                )
            }
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n-- {} workers", self.sql(), self.workers)?;
        for (number, epoch) in self.epochs.iter().enumerate() {
            writeln!(f, "-- epoch {}", number + 1)?;
            for event in epoch {
                writeln!(f, "{event}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.case().fmt(f)
    }
}
