//! `tillrace check`: what is wrong with a script; if nothing is, what each view will keep.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;

use super::Error;
use super::program::{self, Scripts};
use crate::plan::{NodeId, Output, Plan, state};

const EXAMPLES: &str = "\
Examples:
  tillrace check shop.sql
  tillrace check dataflows metrics/my_metric.sql      several files and folders are one program";

/// Find every fault of a script, or say what its views will keep in memory
///
/// Reads no events. If the script is wrong, every fault is shown with its place and what to write
/// instead, and the exit status is 1. Otherwise each view is listed with what its state grows with
/// and what bounds it; n1, n2 and so on are the nodes that tillrace explain shows.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    scripts: Scripts,
}

/// Checks.
///
/// # Errors
/// With every fault of the script.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let plan = program::plan(arguments.scripts.load()?)?;
    let mut out = BufWriter::new(io::stdout());
    for output in &plan.outputs {
        if program::is_own(&output.view.name) {
            write_view(&mut out, &plan, output)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_view(to: &mut dyn Write, plan: &Plan, output: &Output) -> io::Result<()> {
    writeln!(to, "{}", output.view.name)?;
    let mut keeps_nothing = true;
    for (index, node) in plan.nodes.iter().enumerate() {
        let state = state(plan, NodeId(index));
        if state.is_none() || !node.views.contains(&output.view.name) {
            continue;
        }
        keeps_nothing = false;
        let bound = match state.bound {
            Some(bound) => format!("bounded by {bound}"),
            None => "nothing bounds that".to_owned(),
        };
        writeln!(to, "  n{index} grows with {}; {bound}", state.grows_with)?;
        if let Some(cost) = state.cost {
            writeln!(to, "    {cost}")?;
        }
    }
    if keeps_nothing {
        writeln!(to, "  keeps nothing but its answer")?;
    }
    Ok(())
}
