//! The scripts that a subcommand works on.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::Error;
use crate::plan::{self, Plan, Purpose};
use crate::script::{self, Script, near};

/// The folder that is read when no script is named.
pub const DEFAULT_SCRIPTS: &str = "dataflows";

/// The schema of the views that are always there.
const SYSTEM_PREFIX: &str = "tillrace.";

/// The scripts, as arguments.
#[derive(Debug, Args)]
pub struct Scripts {
    /// SQL files, or folders of them; all together are one program
    #[arg(value_name = "SCRIPTS", default_value = DEFAULT_SCRIPTS)]
    paths: Vec<PathBuf>,
}

impl Scripts {
    /// Reads and checks the scripts.
    ///
    /// # Errors
    /// If a file cannot be read, or with every fault of the program.
    pub fn load(&self) -> Result<Script, Error> {
        Ok(script::load(&self.paths)?)
    }
}

/// Makes the answers of exactly these views kept, plain views among them. With none named, the
/// script stays as it is; the views that are always there tell of all views, so with one of them
/// named the others stay kept.
///
/// # Errors
/// If there is no such view.
pub fn keep_only(script: &mut Script, views: &[String]) -> Result<(), Error> {
    if views.is_empty() {
        return Ok(());
    }
    let wanted = resolve(script, views)?;
    let tells_of_all = wanted.iter().any(|view| !is_own(view));
    for view in &mut script.views {
        let stays = tells_of_all && view.materialized;
        view.materialized = stays || wanted.contains(&view.name);
    }
    Ok(())
}

/// The views by their own names: as written, or in lower case as SQL folds them.
fn resolve(script: &Script, views: &[String]) -> Result<Vec<String>, Error> {
    let known = |name: &str| script.views.iter().any(|view| view.name == name);
    let resolve = |name: &String| {
        if known(name) || !is_own(name) {
            return Ok(name.clone());
        }
        let folded = name.to_lowercase();
        if known(&folded) {
            return Ok(folded);
        }
        let names = script.views.iter().map(|view| view.name.as_str());
        Err(Error::UnknownView {
            name: name.clone(),
            near: near(name, names),
        })
    };
    views.iter().map(resolve).collect()
}

/// Whether a view is the script's own rather than one that is always there.
pub fn is_own(view: &str) -> bool {
    !view.starts_with(SYSTEM_PREFIX)
}

/// Plans a script.
///
/// # Errors
/// With every fault that planning finds.
pub fn plan(script: Script) -> Result<Arc<Plan>, Error> {
    Ok(Arc::new(plan::plan(Arc::new(script))?))
}

/// Plans a script that is to run; with sessions, tables are held as they ask for.
///
/// # Errors
/// With every fault that planning finds.
pub fn plan_to_run(script: Script, with_sessions: bool) -> Result<Arc<Plan>, Error> {
    let purpose = match with_sessions {
        true => Purpose::of_sessions(&script),
        false => Purpose::default(),
    };
    Ok(Arc::new(plan::plan_for(Arc::new(script), &purpose)?))
}

/// The views to show, in the order in which they were asked for, else that of the script without
/// the system's own.
///
/// # Errors
/// If a view that was asked for is not among the plan's.
pub fn shown(plan: &Plan, views: &[String]) -> Result<Vec<String>, Error> {
    let names = || plan.outputs.iter().map(|output| output.view.name.as_str());
    if views.is_empty() {
        return Ok(names()
            .filter(|name| is_own(name))
            .map(str::to_owned)
            .collect());
    }
    let find = |name: &String| {
        let folded = name.to_lowercase();
        let found = names()
            .find(|view| view == name)
            .or_else(|| names().find(|v| *v == folded));
        let unknown = || Error::UnknownView {
            name: name.clone(),
            near: near(name, names()),
        };
        found.map(str::to_owned).ok_or_else(unknown)
    };
    views.iter().map(find).collect()
}
