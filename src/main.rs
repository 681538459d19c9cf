//! The binary: parses the command line, calls one function, prints one error.

use std::error::Error;
use std::process::{self, ExitCode};

use clap::Parser;
use mimalloc::MiMalloc;
use tillrace::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit status after a broken invariant, as Rust has it for a panic in the main thread.
const PANIC_STATUS: i32 = 101;

fn main() -> ExitCode {
    exit_on_panic();
    match cli::run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            print(&error);
            ExitCode::from(error.status())
        }
    }
}

/// The threads that answer clients, by their names. A panic there ends one client's connection.
const OF_CLIENTS: [&str; 2] = ["pg", "serve"];

/// Ends the process when a thread panics: the other workers would wait for the lost one for ever.
fn exit_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if !thread.name().is_some_and(|name| OF_CLIENTS.contains(&name)) {
            process::exit(PANIC_STATUS);
        }
    }));
}

/// Prints an error and what caused it, each once.
fn print(error: &dyn Error) {
    let mut message = error.to_string().trim_end().to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    // The faults of a script say themselves that they are errors.
    let prefix = if message.starts_with("error: ") {
        ""
    } else {
        "error: "
    };
    eprintln!("{prefix}{message}");
}
