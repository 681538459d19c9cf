//! Statements to a program: names, comments, and the order of views.
//!
//! The statements of all files flow in; the tables and the ordered views flow out, with every fault
//! that lies between statements.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Span;

use super::fault::{Fault, Problem, listed, near};
use super::order::order;
use super::query::{self, Findings, Ignored, Reference};
use super::reader::Name;
use super::statement::{CommentStatement, CommentTarget, ModelStatement, Statement, ViewStatement};
use super::table::TableStatement;
use super::text::SourceFile;
use super::{Origin, SYSTEM_SCHEMA, SYSTEM_VIEWS, Table, View};
use crate::model::Model;

/// What a name stands for, as a position among the tables or the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Table(usize),
    View(usize),
}

/// A view that reads another one, and where it says so.
#[derive(Debug, Clone)]
struct Dependency {
    view: usize,
    reference: Reference,
}

/// A view on its way into the script. Its query is missing if it could not be read.
struct Draft<'a> {
    statement: ViewStatement,
    file: &'a SourceFile<'a>,
    comment: Option<String>,
    column_comments: BTreeMap<String, String>,
}

/// The program as far as it has been put together.
#[derive(Default)]
pub(super) struct Program<'a> {
    tables: Vec<TableStatement>,
    views: Vec<Draft<'a>>,
    names: BTreeMap<String, (Relation, Origin)>,
    /// What there is already.
    known: BTreeSet<String>,
    comments: Vec<(&'a SourceFile<'a>, CommentStatement)>,
    pub(super) models: Vec<Arc<Model>>,
    /// Whether something was to be created of which not even the name is known.
    incomplete: bool,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Program<'a> {
    /// A program that may read what there is already.
    pub(super) fn knowing(known: BTreeSet<String>) -> Program<'a> {
        Program {
            known,
            ..Program::default()
        }
    }

    /// Adds a statement of a file.
    pub(super) fn add(&mut self, file: &'a SourceFile<'a>, statement: Statement) {
        match statement {
            Statement::Table(table) => {
                let relation = Relation::Table(self.tables.len());
                if self.declare(file, &table.name, relation) {
                    self.tables.push(table);
                }
            }
            Statement::View(statement) => {
                let relation = Relation::View(self.views.len());
                if self.declare(file, &statement.name, relation) {
                    self.views.push(Draft {
                        statement,
                        file,
                        comment: None,
                        column_comments: BTreeMap::new(),
                    });
                }
            }
            Statement::Comment(comment) => self.comments.push((file, comment)),
            Statement::Model(model) => self.add_model(file, &model),
            Statement::Unknown => self.incomplete = true,
        }
    }

    /// Loads a model, unless there is one of its name.
    fn add_model(&mut self, file: &SourceFile, statement: &ModelStatement) {
        let ModelStatement { name, path, span } = statement;
        if self.models.iter().any(|model| model.name() == name.text) {
            let message = format!("model `{}` is created twice", name.text);
            let help = Some("rename one of them or leave it out".to_string());
            self.faults.push(file.fault(name.span, message, help));
            return;
        }
        let folder = file.path.parent().unwrap_or(Path::new(""));
        match Model::load(&name.text, &folder.join(path)) {
            Ok(model) => self.models.push(Arc::new(model)),
            Err(error) => {
                let help = "a model is an ONNX file that takes rows of 32-bit floats and gives a \
                            score each";
                let help = Some(help.to_string());
                self.faults.push(file.fault(*span, error.to_string(), help));
            }
        }
    }

    /// Says that some statements could not be seen at all.
    pub(super) fn set_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Enters a name, unless it is taken.
    fn declare(&mut self, file: &SourceFile, name: &Name, relation: Relation) -> bool {
        if let Some((_, first)) = self.names.get(&name.text) {
            let help = format!(
                "it is created first at {}:{}:{}; rename one of them or leave it out",
                first.file.display(),
                first.line,
                first.column
            );
            let message = format!("`{}` is created twice", name.text);
            self.faults.push(file.fault(name.span, message, Some(help)));
            return false;
        }
        if self.known.contains(&name.text) {
            let message = format!("`{}` exists already", name.text);
            let help = "give it another name, or drop the other one first".to_owned();
            self.faults.push(file.fault(name.span, message, Some(help)));
            return false;
        }
        let origin = file.origin(name.span.start);
        self.names.insert(name.text.clone(), (relation, origin));
        true
    }

    /// The tables and the views, each view after those that it reads.
    pub(super) fn finish(mut self) -> (Vec<Table>, Vec<View>, Vec<Fault>) {
        self.attach_comments();
        let dependencies = self.resolve();
        let reads = dependencies
            .iter()
            .map(|reads| reads.iter().map(|dependency| dependency.view).collect())
            .collect::<Vec<_>>();
        let (order, cycles) = order(&reads);
        for cycle in cycles {
            self.refuse_cycle(&cycle, &dependencies);
        }
        let tables = self
            .tables
            .into_iter()
            .map(|statement| statement.table)
            .collect();
        let mut drafts = self.views.into_iter().map(Some).collect::<Vec<_>>();
        let views = order
            .into_iter()
            .filter_map(|at| drafts[at].take().and_then(Draft::into_view));
        let views = views.collect();
        (tables, views, self.faults)
    }

    /// For each view the views that it reads; relations that do not exist are noted.
    fn resolve(&mut self) -> Vec<Vec<Dependency>> {
        let mut all = Vec::with_capacity(self.views.len());
        let mut faults = Vec::new();
        for draft in &self.views {
            let mut dependencies = Vec::new();
            let findings = match &draft.statement.query {
                Some((query, _)) => query::inspect(query),
                None => Findings::default(),
            };
            for Ignored { span, clause, help } in findings.ignored {
                let message = format!("{clause} is not supported in a view");
                faults.push(
                    draft
                        .file
                        .fault(draft.place(span), message, Some(help.to_string())),
                );
            }
            for reference in findings.references {
                match self.look_up(&reference, &draft.statement.name.text) {
                    Ok(Some(Relation::View(view))) => {
                        dependencies.push(Dependency { view, reference });
                    }
                    Ok(_) => {}
                    Err(Problem {
                        span,
                        message,
                        help,
                    }) => {
                        let span = draft.place(span);
                        faults.push(draft.file.fault(span, message, Some(help)));
                    }
                }
            }
            all.push(dependencies);
        }
        self.faults.append(&mut faults);
        all
    }

    /// What a reference of the view `reader` stands for; nothing for a system view, or if that cannot
    /// be told.
    fn look_up(&self, reference: &Reference, reader: &str) -> Result<Option<Relation>, Problem> {
        let problem = |message: String, help: String| Problem::new(reference.span, message, help);
        if reference.file {
            let help = "write CREATE TABLE for it, and on the command line --input table=path";
            return Err(problem(
                "a query does not read files".to_string(),
                help.to_string(),
            ));
        }
        let written = reference
            .parts
            .iter()
            .map(|part| part.text.as_str())
            .collect::<Vec<_>>();
        match written.as_slice() {
            [name] => match self.names.get(*name) {
                Some((relation, _)) => Ok(Some(*relation)),
                None if self.incomplete || self.known.contains(*name) => Ok(None),
                None => Err(problem(
                    format!("there is no table or view `{name}`"),
                    self.instead_of(name, Some(reader)),
                )),
            },
            [SYSTEM_SCHEMA, name] if SYSTEM_VIEWS.contains(name) => Ok(None),
            [SYSTEM_SCHEMA, name] => {
                let help = match near(name, SYSTEM_VIEWS) {
                    Some(near) => format!("write `{SYSTEM_SCHEMA}.{near}`"),
                    None => format!(
                        "the views in `{SYSTEM_SCHEMA}` are {}",
                        listed(SYSTEM_VIEWS)
                    ),
                };
                Err(problem(
                    format!("there is no view `{SYSTEM_SCHEMA}.{name}`"),
                    help,
                ))
            }
            [schema @ .., name] => Err(problem(
                format!("there is no schema `{}`", schema.join(".")),
                format!("write `{name}`: tables and views have no schema here"),
            )),
            [] => Ok(None),
        }
    }

    /// What to write instead of a relation that does not exist, which `reader` reads.
    fn instead_of(&self, name: &str, reader: Option<&str>) -> String {
        const SHOWN: usize = 12;
        if SYSTEM_VIEWS.contains(&name) {
            return format!("write `{SYSTEM_SCHEMA}.{name}`");
        }
        let others = self.names.keys().chain(&self.known);
        let others = others.map(String::as_str);
        let others = others
            .filter(|other| Some(*other) != reader)
            .collect::<Vec<_>>();
        if let Some(near) = near(name, others.iter().copied()) {
            return format!("write `{near}`");
        }
        match others.len() {
            0 => format!("create it: CREATE TABLE {name} (...)"),
            1..=SHOWN => {
                format!(
                    "create it, or read one of those that there are: {}",
                    listed(others)
                )
            }
            _ => format!("create it: CREATE TABLE {name} (...) or CREATE VIEW {name} AS ..."),
        }
    }

    /// Notes that views read each other in a circle, at the first-written one's reference.
    fn refuse_cycle(&mut self, cycle: &[usize], dependencies: &[Vec<Dependency>]) {
        let name = |view: usize| self.views[view].statement.name.text.as_str();
        let (Some(&first), Some(&next)) = (cycle.first(), cycle.get(1).or(cycle.first())) else {
            return;
        };
        let draft = &self.views[first];
        let reference = dependencies[first]
            .iter()
            .find(|dependency| dependency.view == next);
        let span = reference.map_or(draft.statement.name.span, |found| {
            draft.place(found.reference.span)
        });
        let (message, help) = if cycle.len() == 1 {
            let message = format!("view `{}` reads itself", name(first));
            (
                message,
                "write WITH RECURSIVE inside the query, or read a table".to_string(),
            )
        } else {
            let path = cycle
                .iter()
                .chain([&first])
                .map(|view| name(*view))
                .collect::<Vec<_>>();
            let message = format!("views read each other in a circle: {}", path.join(" -> "));
            (
                message,
                format!(
                    "let `{}` or another of them read something else",
                    name(first)
                ),
            )
        };
        let fault = draft.file.fault(span, message, Some(help));
        self.faults.push(fault);
    }

    /// Gives each comment to what it is about.
    fn attach_comments(&mut self) {
        for (file, comment) in std::mem::take(&mut self.comments) {
            if let Err(Problem {
                span,
                message,
                help,
            }) = self.attach(&comment)
            {
                self.faults.push(file.fault(span, message, Some(help)));
            }
        }
    }

    fn attach(&mut self, comment: &CommentStatement) -> Result<(), Problem> {
        let name = &comment.name;
        let Some((relation, _)) = self.names.get(&name.text) else {
            if self.incomplete {
                return Ok(());
            }
            let message = format!("there is no table or view `{}`", name.text);
            return Err(Problem::new(
                name.span,
                message,
                self.instead_of(&name.text, None),
            ));
        };
        let slot = match (relation, &comment.column) {
            (Relation::Table(at), None) => {
                check_target(comment, CommentTarget::Table)?;
                &mut self.tables[*at].table.comment
            }
            (Relation::View(at), None) => {
                let draft = &mut self.views[*at];
                if comment.target != CommentTarget::View {
                    check_target(comment, draft.target())?;
                }
                &mut draft.comment
            }
            (Relation::Table(at), Some(column)) => match self.tables[*at].column_comment(column)? {
                Some(slot) => slot,
                None => return Ok(()),
            },
            (Relation::View(at), Some(column)) => {
                return self.views[*at].comment_on(comment, column);
            }
        };
        if slot.is_some() {
            return Err(second_comment(comment));
        }
        slot.clone_from(&comment.text);
        Ok(())
    }
}

/// Refuses a comment whose words say another kind of thing than the name stands for.
fn check_target(comment: &CommentStatement, actual: CommentTarget) -> Result<(), Problem> {
    if comment.target == actual {
        return Ok(());
    }
    let (kind, words) = match actual {
        CommentTarget::Table => ("a table", "TABLE"),
        CommentTarget::View => ("a view", "VIEW"),
        CommentTarget::MaterializedView => ("a materialized view", "MATERIALIZED VIEW"),
        CommentTarget::Column => ("a column", "COLUMN"),
    };
    let name = &comment.name;
    let message = format!("`{}` is {kind}", name.text);
    let help = format!("write COMMENT ON {words} {}", name.text);
    Err(Problem::new(name.span, message, help))
}

fn second_comment(comment: &CommentStatement) -> Problem {
    let named = comment.column.as_ref().unwrap_or(&comment.name);
    let message = format!("`{}` has a comment already", named.text);
    Problem::new(named.span, message, "leave one of the comments out")
}

impl TableStatement {
    /// Where a column's comment is kept; nothing if the column may be one that could not be read.
    fn column_comment(&mut self, name: &Name) -> Result<Option<&mut Option<String>>, Problem> {
        let position = self
            .table
            .columns
            .iter()
            .position(|column| column.name == name.text);
        match position {
            Some(position) => Ok(Some(&mut self.table.columns[position].comment)),
            None if !self.complete => Ok(None),
            None => {
                let message = format!("table `{}` has no column `{}`", self.table.name, name.text);
                Err(Problem::new(
                    name.span,
                    message,
                    self.instead_of_column(&name.text),
                ))
            }
        }
    }
}

impl Draft<'_> {
    fn target(&self) -> CommentTarget {
        if self.statement.materialized {
            CommentTarget::MaterializedView
        } else {
            CommentTarget::View
        }
    }

    /// A span of the query; the view's name if `sqlparser` does not know where something stands.
    fn place(&self, span: Span) -> Span {
        if span.start.line == 0 {
            self.statement.name.span
        } else {
            span
        }
    }

    /// Keeps a comment on a column, which must exist as far as the query's text tells.
    fn comment_on(&mut self, comment: &CommentStatement, column: &Name) -> Result<(), Problem> {
        let given = &self.statement.column_names;
        let names = if given.is_empty() {
            self.statement
                .query
                .as_ref()
                .and_then(|(query, _)| query::column_names(query))
        } else {
            Some(given.iter().map(|name| name.text.clone()).collect())
        };
        if let Some(names) = names
            && !names.contains(&column.text)
        {
            let names = || names.iter().map(String::as_str);
            let help = match near(&column.text, names()) {
                Some(near) => format!("write `{near}`"),
                None => format!("its columns are {}", listed(names())),
            };
            let view = &self.statement.name.text;
            let message = format!("view `{view}` has no column `{}`", column.text);
            return Err(Problem::new(column.span, message, help));
        }
        let Some(text) = &comment.text else {
            return Ok(());
        };
        match self
            .column_comments
            .insert(column.text.clone(), text.clone())
        {
            None => Ok(()),
            Some(_) => Err(second_comment(comment)),
        }
    }

    fn into_view(self) -> Option<View> {
        let ViewStatement {
            name,
            materialized,
            column_names,
            options,
            query,
        } = self.statement;
        let (query, span) = query?;
        Some(View {
            name: name.text,
            materialized,
            sql: self.file.text.slice(span).to_string(),
            query,
            column_names: column_names.into_iter().map(|name| name.text).collect(),
            options: options
                .into_iter()
                .map(|setting| (setting.name.text, setting.value.text))
                .collect(),
            comment: self.comment,
            column_comments: self.column_comments,
            origin: self.file.origin(name.span.start),
            query_origin: self.file.origin(span.start),
        })
    }
}
