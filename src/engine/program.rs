//! Which tables and views there are by now, and what each of them reads.
//!
//! Starts as the plan that the engine is started with; a new one takes its place whenever something
//! is created, dropped or commented on. Whoever holds one sees no change.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::plan::{Plan, references};
use crate::script::{Script, Table, View};

/// All tables and views.
#[derive(Clone)]
pub struct Program {
    /// The tables, and the views, each after what it reads; in the order in which they were made.
    pub script: Arc<Script>,
    entries: BTreeMap<String, Arc<Named>>,
}

/// What is known of a table or view beside its definition.
#[derive(Debug, Clone)]
pub struct Named {
    /// The plan that it is part of.
    pub plan: Arc<Plan>,
    /// Its place in the catalog; `None` if its rows are not kept.
    pub(crate) place: Option<usize>,
    /// The columns of its rows, if they are kept.
    pub schema: Option<SchemaRef>,
    /// Whether its rows are only ever added.
    pub(crate) append_only: bool,
    /// The tables and views that it names.
    pub reads: Vec<String>,
    /// Whether it was made while the engine ran.
    pub is_added: bool,
}

impl Named {
    /// Whether queries and other views can read its rows.
    pub fn is_kept(&self) -> bool {
        self.place.is_some()
    }
}

impl Program {
    /// What the engine is started with.
    pub(crate) fn of(plan: &Arc<Plan>) -> Program {
        let mut program = Program {
            script: Arc::clone(&plan.script),
            entries: BTreeMap::new(),
        };
        let none = |reads| Named {
            plan: Arc::clone(plan),
            place: None,
            schema: None,
            append_only: false,
            reads,
            is_added: false,
        };
        for table in &plan.script.tables {
            program.enter(&table.name, none(Vec::new()));
        }
        for view in &plan.script.views {
            program.enter(&view.name, none(references(view)));
        }
        for (place, output) in plan.outputs.iter().enumerate() {
            let known = program.entry(&output.view.name);
            let reads = known.map_or(Vec::new(), |entry| entry.reads.clone());
            let entry = Named {
                place: Some(place),
                schema: Some(Arc::clone(&output.schema)),
                append_only: plan.nodes[output.node.0].append_only,
                ..none(reads)
            };
            program.enter(&output.view.name, entry);
        }
        program
    }

    /// What is known of a table or view.
    pub fn entry(&self, name: &str) -> Option<&Arc<Named>> {
        self.entries.get(name)
    }

    /// All names, those of the engine's own views among them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The views that name a table or view, in order.
    pub fn readers(&self, name: &str) -> Vec<&str> {
        let entries = self.entries.iter();
        let reads = entries.filter(|(_, entry)| entry.reads.iter().any(|read| read == name));
        reads.map(|(name, _)| name.as_str()).collect()
    }

    /// The same with one table more.
    pub(crate) fn with_table(&self, table: Table, entry: Named) -> Program {
        let mut program = self.clone();
        program.enter(&table.name, entry);
        Arc::make_mut(&mut program.script).tables.push(table);
        program
    }

    /// The same with one view more.
    pub(crate) fn with_view(&self, view: View, entry: Named) -> Program {
        let mut program = self.clone();
        program.enter(&view.name, entry);
        Arc::make_mut(&mut program.script).views.push(view);
        program
    }

    /// The same without a table or view.
    pub(crate) fn without(&self, name: &str) -> Program {
        let mut program = self.clone();
        program.entries.remove(name);
        let script = Arc::make_mut(&mut program.script);
        script.tables.retain(|table| table.name != name);
        script.views.retain(|view| view.name != name);
        program
    }

    /// The same with another definition of what there is.
    pub(crate) fn edited(&self, edit: impl FnOnce(&mut Script)) -> Program {
        let mut program = self.clone();
        edit(Arc::make_mut(&mut program.script));
        program
    }

    fn enter(&mut self, name: &str, entry: Named) {
        self.entries.insert(name.to_owned(), Arc::new(entry));
    }
}
