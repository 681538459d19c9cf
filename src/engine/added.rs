//! A view that is added: planned over what there is.
//!
//! The program and a view flow in; a plan flows out whose inputs are what others keep. Plain views
//! that it reads are part of the plan, as they are nothing but names for queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::ChangeError;
use super::program::Program;
use crate::plan::{Kept, Plan, Purpose, Relation, plan_for, references};
use crate::script::{Column, Origin, Script, Table, TableOptions, View};

/// What an input of a part reads: its name and place; `None` if that is the clock.
pub(super) type Read = Option<(String, usize)>;

/// A view planned over what there is; and what each of the plan's inputs reads.
pub(super) fn plan_part(
    program: &Program,
    addition: &Script,
    view: &View,
) -> Result<(Arc<Plan>, Vec<Read>), ChangeError> {
    let mut wanted = references(view);
    let mut plain: BTreeSet<String> = BTreeSet::new();
    let mut rows: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let written = program.script.view(&name).map(|(_, view)| view);
        match written.filter(|written| !written.materialized) {
            Some(written) if plain.insert(name.clone()) => wanted.extend(references(written)),
            Some(_) => {}
            None => drop(rows.insert(name)),
        }
    }
    let mut script = Script {
        sources: Arc::clone(&addition.sources),
        models: program.script.models.clone(),
        functions: program.script.functions.clone(),
        ..Script::default()
    };
    let mut purpose = Purpose {
        is_part: true,
        ..Purpose::default()
    };
    for name in &rows {
        // What nothing is known of is a function, or found to be missing by the planner.
        let Some(table) = as_table(program, name) else {
            continue;
        };
        let append_only = program.entry(name).is_some_and(|entry| entry.append_only);
        let kept = Kept { append_only };
        purpose.kept.insert(script.tables.len(), kept);
        script.tables.push(table);
    }
    let others = program.script.views.iter();
    let others = others.filter(|other| plain.contains(&other.name));
    script.views.extend(others.cloned());
    script.views.push(View {
        materialized: true,
        ..view.clone()
    });
    let plan = plan_for(Arc::new(script), &purpose)?;
    let kept = plan.inputs.iter().map(|input| {
        let (Relation::Kept(table) | Relation::Table(table)) = input.relation else {
            return Ok(None);
        };
        let name = plan.script.tables[table].name.clone();
        let place = program.entry(&name).and_then(|entry| entry.place);
        let place = place.ok_or_else(|| ChangeError::NotHeld(name.clone()))?;
        Ok(Some((name, place)))
    });
    let kept = kept.collect::<Result<Vec<Read>, ChangeError>>()?;
    Ok((Arc::new(plan), kept))
}

/// What there is as a table without an identity of its own.
fn as_table(program: &Program, name: &str) -> Option<Table> {
    let kept = program.entry(name)?.schema.clone();
    let table = program.script.table(name).map(|(_, table)| table.schema());
    let schema = kept.or(table)?;
    let column = |field: &Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        // What is declared is what was planned, not what rows hold.
        nullable: true,
        paths: Vec::new(),
        comment: None,
    };
    Some(Table {
        name: name.to_owned(),
        columns: schema.fields().iter().map(column).collect(),
        primary_key: Vec::new(),
        options: TableOptions::default(),
        comment: None,
        origin: Origin::default(),
    })
}
