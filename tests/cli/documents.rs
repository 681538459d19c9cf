//! The commands that the documents show.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::shop::{Run, top};

/// The commands in the documents: each `$ tillrace ...` line of a `console` or `sh` block.
#[test]
fn commands_in_the_documents_work() {
    let mut documents = vec![top().join("README.md"), top().join("dataflows/README.md")];
    if let Ok(entries) = fs::read_dir(top().join("docs")) {
        documents.extend(entries.map(|entry| entry.expect("it can be listed").path()));
    }
    documents.retain(|path| path.extension().is_some_and(|e| e == "md") && path.exists());
    documents.sort();
    for document in documents {
        let folder = copy_of_top();
        let text = fs::read_to_string(&document).expect("it can be read");
        for command in commands(&text) {
            run_in_shell(folder.path(), &command, &document);
        }
    }
}

fn commands(markdown: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut in_block, mut continued) = (false, false);
    for line in markdown.lines() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            in_block = !in_block && matches!(info.trim(), "console" | "sh");
            continued = false;
            continue;
        }
        let command = line
            .trim_start()
            .strip_prefix("$ ")
            .filter(|c| c.contains("tillrace "));
        match (command, commands.last_mut()) {
            _ if !in_block => continue,
            (None, Some(last)) if continued => last.extend(["\n", line]),
            (Some(command), _) => commands.push(command.to_owned()),
            (None, _) => continue,
        }
        continued = line.ends_with('\\');
    }
    commands
}

/// A folder that looks like the repository's top, but takes what the commands write.
fn copy_of_top() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for name in ["data", "dataflows", "docs", "tests"] {
        #[cfg(unix)]
        if top().join(name).exists() {
            std::os::unix::fs::symlink(top().join(name), folder.path().join(name))
                .expect("it can be linked");
        }
    }
    folder
}

fn run_in_shell(folder: &Path, command: &str, document: &Path) {
    let binary = Path::new(env!("CARGO_BIN_EXE_tillrace"))
        .parent()
        .expect("it lies in a folder");
    let path = format!(
        "{}:{}",
        binary.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null());
    let run = Run(shell.output().expect("a shell starts"));
    let told = format!(
        "{}: $ {command}\n{}\n{}",
        document.display(),
        run.out(),
        run.err()
    );
    assert_eq!(run.0.status.code(), Some(0), "{told}");
}
