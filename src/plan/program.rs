//! A whole script to one plan.
//!
//! The script is gone through twice. First every view is planned and lowered on trial by itself,
//! which finds all faults. Then it is known who reads whom: a plain view that keeps state and is
//! read more than once becomes nodes of its own that its readers share; one that is read once, or
//! keeps nothing, takes the place of its name, so that what its reader does not want is never
//! computed. Columns that nobody wants are left out of tables and shared views alike.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, ResolvedTableReference, TableReference};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::building::{Building, Needed, reference, resolve};
use super::graph::Graph;
use super::purpose::Purpose;
use super::refuse::{Trouble, fault};
use super::{Plan, check, cte, session, subquery, tidy};
use crate::script::{Fault, Faults, Origin, Script, View, near};

/// The views that are always there.
pub(super) const SYSTEM_VIEWS: [&str; 2] = ["tillrace.rejects", "tillrace.inputs"];

/// Their queries, over the relation of that name and over the counts of blocks.
const SYSTEM_QUERIES: [&str; 2] = [
    "SELECT * FROM tillrace.rejects",
    "SELECT input, \"table\", sum(rows) AS rows, sum(bytes) AS bytes, sum(rejects) AS rejects, \
     max(newest_event_time) AS newest_event_time FROM tillrace.blocks GROUP BY input, \"table\"",
];

/// Plans a script: its materialized views, and the system's own views, as one graph.
///
/// # Errors
/// All faults of all views: what DataFusion cannot plan and what cannot be kept up to date, each
/// with its place. A view that reads a faulty view is not reported as well.
pub fn plan(script: Arc<Script>) -> Result<Plan, Faults> {
    plan_for(script, &Purpose::default())
}

/// Plans a script for some purpose.
///
/// # Errors
/// As [`plan`].
pub fn plan_for(script: Arc<Script>, purpose: &Purpose) -> Result<Plan, Faults> {
    let faults = |faults| Faults::new(faults, Arc::clone(&script.sources));
    let views = read(&script, purpose).map_err(faults)?;
    arrange(&script, purpose, &views).map_err(|error| faults(vec![unplaced(&error)]))
}

/// The names of the relations that a view's text reads; those of the engine's own views begin with
/// `tillrace.`.
pub fn references(view: &View) -> Vec<String> {
    let query = Box::new(ast::Statement::Query(view.query.clone()));
    let Ok(context) = session::batch_context() else {
        return Vec::new();
    };
    let names = context
        .state()
        .resolve_table_references(&Statement::Statement(query));
    let name = |reference: TableReference| match reference.schema() {
        Some(session::SYSTEM) => format!("{}.{}", session::SYSTEM, reference.table()),
        _ => reference.table().to_owned(),
    };
    names.unwrap_or_default().into_iter().map(name).collect()
}

/// A fault of the planner itself rather than of a view.
fn unplaced(error: &DataFusionError) -> Fault {
    let origin = Origin {
        file: PathBuf::from("<text>"),
        line: 1,
        column: 1,
    };
    Fault {
        origin,
        length: 1,
        message: error.strip_backtrace(),
        help: None,
    }
}

/// A view that is known to be sound.
struct Sound {
    view: View,
    /// How often it names each relation.
    reads: HashMap<ResolvedTableReference, usize>,
    /// Whether its own query keeps state.
    keeps_state: bool,
}

/// What becomes of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its answer is kept.
    Kept,
    /// Its rows are made once for all who read it.
    Shared,
    /// Its query takes the place of its name.
    Inlined,
    /// No kept view reads it.
    Unused,
}

/// Plans and lowers every view by itself, and collects what is wrong with them.
fn read(script: &Script, purpose: &Purpose) -> Result<Vec<Sound>, Vec<Fault>> {
    let unplaced = |error: DataFusionError| vec![unplaced(&error)];
    let context = session::planning_context(script, purpose).map_err(unplaced)?;
    let props = context.state().execution_props().clone();
    let mut trial = Building::new(script, purpose, props, None);
    let mut sound = Vec::new();
    let system = SYSTEM_VIEWS.into_iter().zip(SYSTEM_QUERIES);
    for (name, sql) in system.filter(|_| !purpose.is_part) {
        let view = system_view(name, sql).map_err(unplaced)?;
        sound.push(read_view(&context, view, &mut trial)?);
    }
    let mut faults = Vec::new();
    let mut faulty = HashSet::new();
    for written in &script.views {
        let refused = check::check(&context.state(), written);
        if !refused.is_empty() {
            faulty.insert(resolve(reference(written)));
            faults.extend(refused);
            continue;
        }
        for view in cte::lift(written) {
            let name = resolve(reference(&view));
            if reads(&context, &view)
                .iter()
                .any(|read| faulty.contains(read))
            {
                faulty.insert(name);
                continue;
            }
            match read_view(&context, view, &mut trial) {
                Ok(view) => sound.push(view),
                Err(found) => {
                    faulty.insert(name);
                    faults.extend(found);
                }
            }
        }
    }
    if faults.is_empty() {
        Ok(sound)
    } else {
        Err(faults)
    }
}

fn read_view(
    context: &SessionContext,
    view: View,
    trial: &mut Building,
) -> Result<Sound, Vec<Fault>> {
    let of_view = |error: DataFusionError| Trouble::from(error).faults(&view);
    let written = session::query_plan(&context.state(), &view).map_err(of_view)?;
    check_names(&view, &written)?;
    if view.materialized {
        check::check_types(&view, &written)?;
    }
    check_decision_key(&view, &written)?;
    subquery::check(&view, &written, &trial.graph, &trial.sources)
        .map_err(|trouble| trouble.faults(&view))?;
    let query = optimize(context, written.clone()).map_err(of_view)?;
    trial
        .build(&view, &query, None)
        .map_err(|trouble| trouble.faults(&view))?;
    declare(context, &view, &query).map_err(of_view)?;
    let reads = scans(&written).map_err(of_view)?;
    let keeps_state = keeps_state(&query).map_err(of_view)?;
    Ok(Sound {
        view,
        reads,
        keeps_state,
    })
}

fn optimize(context: &SessionContext, query: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    context.state().optimize(&query)
}

/// Makes a view known by its schema.
fn declare(
    context: &SessionContext,
    view: &View,
    query: &LogicalPlan,
) -> Result<(), DataFusionError> {
    if view.name == SYSTEM_VIEWS[0] {
        // Known already, as the relation of the same name.
        return Ok(());
    }
    session::declare(context, reference(view), bare(query.schema().as_arrow()))
}

/// Decides what becomes of each view, from the readers to what they read.
fn roles(views: &[Sound]) -> Vec<Role> {
    let mut uses: HashMap<ResolvedTableReference, usize> = HashMap::new();
    let mut roles = vec![Role::Unused; views.len()];
    for (position, sound) in views.iter().enumerate().rev() {
        let used = uses
            .get(&resolve(reference(&sound.view)))
            .copied()
            .unwrap_or(0);
        let role = match used {
            _ if sound.view.materialized => Role::Kept,
            0 => Role::Unused,
            1 => Role::Inlined,
            _ if sound.keeps_state => Role::Shared,
            _ => Role::Inlined,
        };
        let weight = match role {
            Role::Kept | Role::Shared => 1,
            Role::Inlined => used,
            Role::Unused => 0,
        };
        for (read, times) in &sound.reads {
            *uses.entry(read.clone()).or_default() += weight * times;
        }
        roles[position] = role;
    }
    roles
}

/// Lowers all views into one graph, each over the columns that are wanted of what it reads.
fn arrange(
    script: &Arc<Script>,
    purpose: &Purpose,
    views: &[Sound],
) -> Result<Plan, DataFusionError> {
    let context = session::planning_context(script, purpose)?;
    let roles = roles(views);
    let mut written = Vec::with_capacity(views.len());
    for (Sound { view, .. }, role) in views.iter().zip(&roles) {
        let query = session::query_plan(&context.state(), view)?;
        match role {
            Role::Kept | Role::Shared => {
                declare(&context, view, &optimize(&context, query.clone())?)?;
            }
            Role::Inlined | Role::Unused => session::inline(&context, view, query.clone())?,
        }
        written.push(query);
    }
    let (queries, mut needed) = prune(&context, views, &roles, written)?;
    let props = context.state().execution_props().clone();
    purpose.need(script, &mut needed);
    let mut building = Building::new(script, purpose, props, Some(&needed));
    let mut outputs = Vec::new();
    for ((Sound { view, .. }, role), query) in views.iter().zip(&roles).zip(&queries) {
        let columns = match role {
            Role::Kept => None,
            Role::Shared => needed.get(&resolve(reference(view))),
            Role::Inlined | Role::Unused => continue,
        };
        let output = building
            .build(view, query, columns)
            .map_err(|trouble| match trouble {
                Trouble::DataFusion(error) => *error,
                Trouble::Refused(refusal) => DataFusionError::Plan(refusal.message),
            })?;
        if *role == Role::Kept {
            outputs.push(output);
        }
    }
    if !purpose.is_part {
        outputs.rotate_left(SYSTEM_VIEWS.len());
    }
    outputs.extend(purpose.outputs(script, &mut building)?);
    let Graph { inputs, nodes, .. } = building.graph;
    Ok(tidy::tidy(Plan {
        script: Arc::clone(script),
        inputs,
        nodes,
        outputs,
    }))
}

/// Optimises the queries, from the readers to what they read, so that each has only the columns
/// that are wanted of it; and says which columns are wanted of what.
fn prune(
    context: &SessionContext,
    views: &[Sound],
    roles: &[Role],
    mut queries: Vec<LogicalPlan>,
) -> Result<(Vec<LogicalPlan>, Needed), DataFusionError> {
    let mut needed = Needed::new();
    for (position, query) in queries.iter_mut().enumerate().rev() {
        let wanted = match roles[position] {
            Role::Inlined | Role::Unused => continue,
            Role::Kept => query.clone(),
            Role::Shared => {
                let columns = needed
                    .entry(resolve(reference(&views[position].view)))
                    .or_default();
                if columns.is_empty() {
                    columns.insert(0);
                }
                let all = query.schema().columns();
                let chosen = columns
                    .iter()
                    .map(|column| Expr::Column(all[*column].clone()));
                LogicalPlanBuilder::from(query.clone())
                    .project(chosen)?
                    .build()?
            }
        };
        *query = optimize(context, wanted)?;
        query.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part {
                let columns = needed.entry(resolve(scan.table_name.clone())).or_default();
                match &scan.projection {
                    Some(projection) => columns.extend(projection),
                    None => columns.extend(0..scan.source.schema().fields().len()),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok((queries, needed))
}

/// How often a query scans each relation.
fn scans(query: &LogicalPlan) -> Result<HashMap<ResolvedTableReference, usize>, DataFusionError> {
    let mut scans = HashMap::new();
    query.apply_with_subqueries(|part| {
        if let LogicalPlan::TableScan(scan) = part {
            *scans.entry(resolve(scan.table_name.clone())).or_default() += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(scans)
}

/// Whether a query does more than to look at its rows one by one.
fn keeps_state(query: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut found = false;
    query.apply_with_subqueries(|part| {
        found |= matches!(
            part,
            LogicalPlan::Join(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Distinct(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Unnest(_)
                | LogicalPlan::RecursiveQuery(_)
                | LogicalPlan::Extension(_)
        );
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The relations that a view's text names.
fn reads(context: &SessionContext, view: &View) -> Vec<ResolvedTableReference> {
    let query = Box::new(ast::Statement::Query(view.query.clone()));
    let names = context
        .state()
        .resolve_table_references(&Statement::Statement(query));
    names.unwrap_or_default().into_iter().map(resolve).collect()
}

/// Refuses an answer in which two columns have one name.
fn check_names(view: &View, query: &LogicalPlan) -> Result<(), Vec<Fault>> {
    let mut seen = HashSet::new();
    for field in query.schema().fields() {
        if !seen.insert(field.name()) {
            let message = format!("two columns of this query are named `{}`", field.name());
            let help = "give one of them another name with AS".to_owned();
            return Err(vec![fault(view, None, message, Some(help))]);
        }
    }
    Ok(())
}

/// Refuses to answer decisions by what is no column, or by values that are not equal or different.
fn check_decision_key(view: &View, query: &LogicalPlan) -> Result<(), Vec<Fault>> {
    let Some(key) = view.decision_key() else {
        return Ok(());
    };
    let fields = query.schema().fields();
    let refuse = |message: String, help: String| Err(vec![fault(view, None, message, Some(help))]);
    let Some(field) = fields.iter().find(|field| field.name() == key) else {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let help = match near(key, names.iter().copied()) {
            Some(near) => format!("write decision_key = '{near}'"),
            None => format!("its columns are {}", names.join(", ")),
        };
        let message = format!("decision_key names `{key}`, which is no column of this query");
        return refuse(message, help);
    };
    let data_type = field.data_type();
    if data_type.is_floating() || data_type.is_nested() {
        let message = format!("decision_key names `{key}`, by which rows cannot be looked up");
        let help = "name a column of text, whole numbers, decimals or times".to_owned();
        return refuse(message, help);
    }
    Ok(())
}

/// A schema with nothing but names, types and nullability.
fn bare(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A view of the system's own.
fn system_view(name: &str, sql: &str) -> Result<View, DataFusionError> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)?;
    let Some(ast::Statement::Query(query)) = statements.into_iter().next() else {
        return Err(DataFusionError::Plan(format!("\"{sql}\" is not a query")));
    };
    Ok(View {
        name: name.to_owned(),
        materialized: true,
        sql: sql.to_owned(),
        query,
        column_names: Vec::new(),
        options: BTreeMap::new(),
        comment: None,
        column_comments: BTreeMap::new(),
        origin: Origin::default(),
        query_origin: Origin::default(),
    })
}
