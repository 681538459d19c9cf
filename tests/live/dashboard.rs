//! The page in a browser, against the real binary over the samples: runs `tests/dashboard/run`.

use std::process::Command;

use crate::process::{Process, Shop};
use crate::support::{top, wait_until};

/// Set, a missing browser is a failure.
const NEED: &str = "TILLRACE_NEED_BROWSER";

#[test]
fn the_page_shows_what_the_server_answers() {
    let shop = Shop::new();
    let (scripts, inputs) = (
        top().join("dataflows"),
        top().join("data/samples/tillrace.inputs"),
    );
    let mut command = shop.command(&["run", "--listen", "127.0.0.1:0"]);
    command.arg(scripts).arg("--inputs").arg(inputs);
    let run = Process::start(command).runs();
    wait_until("the samples have been read", || run.get("/readyz").0 == 200);
    let driven = Command::new("bash")
        .arg(top().join("tests/dashboard/run"))
        .env("TILLRACE_URL", run.url(""))
        .env_remove("TILLRACE_TOKEN")
        .output();
    let driven = driven.expect("bash starts");
    let told =
        [driven.stdout, driven.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let told = told.join("\n");
    match driven.status.code() {
        Some(0) => {}
        Some(3 | 4) if std::env::var(NEED).as_deref() != Ok("1") => {
            // Not captured as other output of tests is.
            use std::io::Write;
            let _is_said = writeln!(
                std::io::stderr(),
                "\n!!! SKIPPED: the dashboard was not driven in a browser: {}\n!!! {NEED}=1 makes this a failure",
                told.trim(),
            );
        }
        status => panic!(
            "tests/dashboard/run ended in {status:?}\n{told}\n{}",
            run.said()
        ),
    }
    run.stop("TERM");
}
