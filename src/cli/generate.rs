//! stub
use super::Error;
use clap::Args;
use std::process::ExitCode;
/// Generate
#[derive(Debug, Args)]
pub struct Arguments {}
/// stub
pub fn run(_arguments: &Arguments) -> Result<ExitCode, Error> {
    Ok(ExitCode::SUCCESS)
}
