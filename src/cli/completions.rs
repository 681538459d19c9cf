//! `tillrace completions`: what a shell needs to complete arguments.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::Error;

const EXAMPLES: &str = "\
Examples:
  tillrace completions bash > ~/.local/share/bash-completion/completions/tillrace
  tillrace completions zsh > ~/.zfunc/_tillrace
  tillrace completions fish > ~/.config/fish/completions/tillrace.fish";

/// Print a script that completes arguments in a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(arguments: &Arguments, mut command: clap::Command) -> Result<ExitCode, Error> {
    // Written in one go: clap_complete panics if its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "tillrace", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
