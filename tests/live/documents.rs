//! The commands of `docs/running.md` and `docs/postgres.md`, and the wiring file of the examples, as they
//! are shown.
//!
//! In blocks marked `console live` the first command runs until it is told to end; those that
//! follow talk to it. Ports are free ones instead of those that the document names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Process, folder_holds};
use crate::support::{top, wait_until};

const PAGE: &str = "127.0.0.1:7717";
const SOCKET: &str = "127.0.0.1:7070";
const PG: &str = "127.0.0.1:5433";

/// The commands of each block; lines that end in `\` go on.
fn blocks(markdown: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let (mut in_block, mut continued) = (false, false);
    for line in markdown.lines() {
        if let Some(info) = line.strip_prefix("```") {
            in_block = !in_block && info == "console live";
            if in_block {
                blocks.push(Vec::new());
            }
            continue;
        }
        let Some(block) = blocks.last_mut().filter(|_| in_block) else {
            continue;
        };
        match (line.strip_prefix("$ "), block.last_mut()) {
            (Some(command), _) => block.push(command.to_owned()),
            (None, Some(last)) if continued => last.extend(["\n", line]),
            (None, _) => {}
        }
        continued = line.ends_with('\\');
    }
    blocks
}

/// A folder that looks like the repository's top, with examples of its own.
fn copy_of_top() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for name in ["data", "dataflows"] {
        symlink(top().join(name), folder.path().join(name)).expect("it can be linked");
    }
    let examples = folder.path().join("docs/examples");
    fs::create_dir_all(&examples).expect("there is room");
    for entry in fs::read_dir(top().join("docs/examples")).expect("it is there") {
        let from = entry.expect("it can be listed").path();
        let to = examples.join(from.file_name().expect("it has a name"));
        if from.is_dir() {
            symlink(&from, &to).expect("it can be linked");
            continue;
        }
        let text = fs::read_to_string(&from).expect("examples are text");
        fs::write(to, on_free_ports(&text)).expect("there is room");
    }
    folder
}

fn on_free_ports(text: &str) -> String {
    text.replace(PAGE, "127.0.0.1:0")
        .replace(SOCKET, "127.0.0.1:0")
        .replace(PG, "127.0.0.1:0")
}

fn shell(folder: &Path, command: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_tillrace"));
    let binary = binary.parent().expect("it lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", binary.display()));
    shell
}

fn start(folder: &Path, command: &str) -> Process {
    let mut command = on_free_ports(command);
    if !command.contains(".toml") {
        command.push_str(" --listen 127.0.0.1:0");
    }
    Process::start(shell(folder, &format!("exec {command}"))).runs()
}

#[test]
fn commands_do_what_the_documents_say() {
    for (document, at_least) in [("docs/running.md", 3), ("docs/postgres.md", 1)] {
        let document = fs::read_to_string(top().join(document)).expect("it can be read");
        let blocks = blocks(&document);
        assert!(blocks.len() >= at_least, "{blocks:?}");
        do_as_said(blocks);
    }
}

fn do_as_said(blocks: Vec<Vec<String>>) {
    for block in blocks {
        let folder = copy_of_top();
        let (first, others) = block.split_first().expect("a block has a command");
        let run = start(folder.path(), first);
        wait_until("history has been read", || run.get("/readyz").0 == 200);
        for command in others {
            let program = command
                .split_once("| ")
                .map_or(command.as_str(), |(_, last)| last);
            let program = program.split(' ').next().unwrap_or_default();
            if Command::new(program).arg("--help").output().is_err() {
                eprintln!("SKIPPED: {program} is not installed: {command}");
                continue;
            }
            let page = run.url("").replace("http://", "");
            let mut command = command.replace(PAGE, &page);
            if command.contains(SOCKET) {
                command = command.replace(SOCKET, &run.listens("orders"));
            }
            if command.contains(PG) {
                command = command.replace(PG, &run.told("pg       "));
            }
            let output = shell(folder.path(), &command)
                .output()
                .expect("a shell starts");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "$ {command}\n{told}");
        }
        run.stop("INT");
    }
}

#[test]
fn the_example_of_a_wiring_file_works() {
    let folder = copy_of_top();
    let run = start(folder.path(), "tillrace run docs/examples/tillrace.toml");
    let examples = folder.path().join("docs/examples");
    wait_until("history has been read", || run.get("/readyz").0 == 200);
    let order = |id: &str| {
        format!(
            "{{\"id\":\"{id}\",\"product_id\":\"102\",\"qty\":1,\"price\":1,\"at\":\"2024-05-03\"}}\n"
        )
    };
    crate::process::send(&run.listens("orders"), &order("by-tcp"));
    fs::write(examples.join("incoming-1.jsonl"), order("by-file")).expect("there is room");
    let chairs = || {
        let rows = run.json("/views/sales_by_category?category=chairs")["rows"].clone();
        rows[0]["orders"].as_u64()
    };
    wait_until("both have arrived", || chairs() == Some(3));
    folder_holds(&examples.join("out"), "chairs,3,3,251.00");
    folder_holds(
        &examples.join("out"),
        "\"category\":\"chairs\",\"orders\":3",
    );
    run.stop("TERM");
}
