//! `tillrace explain`: how views are computed.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::Error;
use super::program::{self, Scripts};
use crate::plan::explain;

const EXAMPLES: &str = "\
Examples:
  tillrace explain dataflows --view sales_by_category
  tillrace explain shop.sql --dot | dot -Tsvg > plan.svg
  tillrace explain shop.sql --mermaid";

/// Show how views are computed: the plan's nodes, what each keeps, and which views share them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    scripts: Scripts,

    /// Explains this view only (may be repeated)
    #[arg(long, value_name = "VIEW")]
    view: Vec<String>,

    /// As a graph for Graphviz
    #[arg(long, conflicts_with = "mermaid")]
    dot: bool,

    /// As a Mermaid flowchart
    #[arg(long)]
    mermaid: bool,
}

/// Explains.
///
/// # Errors
/// With every fault of the script, or if a view is not in it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let plan = program::plan(arguments.scripts.load()?)?;
    let views = program::shown(&plan, &arguments.view)?;
    let text = match (arguments.dot, arguments.mermaid) {
        (true, _) => explain::dot(&plan, &views),
        (_, true) => explain::mermaid(&plan, &views),
        _ => explain::text(&plan, &views),
    };
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(ExitCode::SUCCESS)
}
