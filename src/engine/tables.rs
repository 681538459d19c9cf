//! Which tables there are, and where their rows go in.
//!
//! Known to all workers and to whoever opens an input. Tables come and go while the engine runs.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::plan::{Plan, Relation};
use crate::script::Table;

/// A table, and where its rows go in.
pub(super) struct TableAt {
    /// The table.
    pub(super) table: Table,
    /// The columns that are wanted, as ascending positions.
    pub(super) columns: Vec<usize>,
    /// The number of its input; `None` if nothing reads it.
    pub(super) input: Option<usize>,
}

/// All tables, by name.
#[derive(Default)]
pub(super) struct Tables(RwLock<HashMap<String, Arc<TableAt>>>);

impl Tables {
    /// The tables of the plan that the engine is started with.
    pub(super) fn of(plan: &Plan) -> Tables {
        let tables = plan.script.tables.iter().enumerate();
        let tables = tables.map(|(position, table)| {
            let mut inputs = plan.inputs.iter();
            let input = inputs.position(|input| input.relation == Relation::Table(position));
            let columns = input.map_or(Vec::new(), |input| plan.inputs[input].columns.clone());
            let at = TableAt {
                table: table.clone(),
                columns,
                input,
            };
            (table.name.clone(), Arc::new(at))
        });
        Tables(RwLock::new(tables.collect()))
    }

    /// A table.
    pub(super) fn get(&self, name: &str) -> Option<Arc<TableAt>> {
        self.read().get(name).cloned()
    }

    /// The names of all tables.
    pub(super) fn names(&self) -> Vec<String> {
        self.read().keys().cloned().collect()
    }

    /// Adds a table.
    pub(super) fn add(&self, at: TableAt) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.insert(at.table.name.clone(), Arc::new(at));
    }

    /// Takes a table out.
    pub(super) fn remove(&self, name: &str) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.remove(name);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<TableAt>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
