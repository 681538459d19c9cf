//! `tillrace sql`: statements from the command line, files and pipes, asked of scripts and of a server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::shop::Shop;

const SCRIPT: [&str; 4] = ["sql", "shop.sql", "--input", "orders=orders.jsonl"];

/// The statement that most tests ask, and its answer as CSV.
const BY_CATEGORY: &str =
    "SELECT category, revenue FROM sales WHERE orders > 1 OR category IS NULL";

const BY_CATEGORY_CSV: &str = "category,revenue\ntoys,1.75\n,\n";

/// The arguments that ask the scripts, and more.
fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SCRIPT[..], more].concat()
}

#[test]
fn statements_are_asked_of_scripts() {
    let shop = Shop::new();
    let table = shop.run(&with(&["-c", BY_CATEGORY])).status(0);
    let table = table.prints(&["category", "revenue", "toys", "1.75"]);
    assert!(!table.out().contains("books"), "{}", table.out());
    let csv = shop.run(&with(&["--format", "csv", "-c", BY_CATEGORY]));
    assert_eq!(csv.status(0).out(), BY_CATEGORY_CSV);
    let lines = shop.run(&with(&["--format", "jsonl", "-c", BY_CATEGORY]));
    let lines = lines.status(0).out();
    let first = lines.lines().next().expect("a row");
    let first: serde_json::Value = serde_json::from_str(first).expect("it is JSON");
    assert_eq!(first["category"], "toys");
    // One after the other, and what one writes the next one reads.
    let commands = [
        "--format",
        "csv",
        "-c",
        "INSERT INTO orders VALUES (9, 'toys', 1, NULL)",
        "-c",
        "SELECT revenue FROM sales WHERE category = 'toys'",
    ];
    let written = shop.run(&with(&commands)).status(0);
    assert_eq!(written.out(), "revenue\n2.75\n");
}

#[test]
fn statements_come_from_files_and_pipes() {
    let shop = Shop::new();
    let report =
        format!("-- What is sold.\nCREATE VIEW few AS\n  {BY_CATEGORY};\nSELECT *\nFROM few;\n");
    shop.write("report.sql", &report);
    let file = shop.run(&with(&["--format", "csv", "-f", "report.sql"]));
    assert_eq!(file.status(0).out(), BY_CATEGORY_CSV);
    let pipe = shop.run_with_input(&with(&["--format", "csv"]), report.as_bytes());
    assert_eq!(pipe.status(0).out(), BY_CATEGORY_CSV);
    let dash = shop.run_with_input(&with(&["--format", "csv", "-f", "-"]), report.as_bytes());
    assert_eq!(dash.status(0).out(), BY_CATEGORY_CSV);
    // The last statement needs no semicolon; rows may follow a COPY.
    let copy = "CREATE TABLE notes (id INT, note TEXT);\n\
                COPY notes FROM STDIN;\n1\tone\n2\ttwo; or three\n\\.\n\
                SELECT note FROM notes ORDER BY id DESC";
    let copied = shop.run_with_input(&with(&["--format", "csv"]), copy.as_bytes());
    assert_eq!(copied.status(0).out(), "note\ntwo; or three\none\n");
    shop.run(&with(&["-f", "nowhere.sql"]))
        .status(1)
        .says(&["nowhere.sql"]);
}

#[test]
fn a_statement_that_fails_ends_all_with_its_place() {
    let shop = Shop::new();
    let commands = [
        "-c",
        "SELECT 1 AS one;\nSELECT categry FROM sales",
        "-c",
        "SELECT 2 AS two",
    ];
    let failed = shop.run(&with(&commands)).status(1);
    let failed = failed.says(&[
        "error: ",
        "(42703)",
        "  | SELECT categry FROM sales\n  |        ^",
    ]);
    assert!(!failed.out().contains("two"), "{}", failed.out());
    shop.write(
        "broken.sql",
        "SELECT 1 AS one;\nSELECT * FROM salles;\nSELECT 2 AS two;\n",
    );
    let failed = shop.run(&with(&["-f", "broken.sql"])).status(1);
    let failed = failed.says(&["(42P01)", "SELECT * FROM salles", "did you mean \"sales\"?"]);
    let failed = failed.prints(&["one"]);
    assert!(!failed.out().contains("two"), "{}", failed.out());
    shop.run_with_input(&SCRIPT, b"SELECT 1 +;\n")
        .status(1)
        .says(&["(42601)"]);
    let both = with(&["--url", "127.0.0.1:1", "-c", "SELECT 1"]);
    shop.run(&both).status(2).says(&["--url"]);
}

/// A run that serves, which ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts to serve the shop; where it can be asked.
fn serve(shop: &Shop) -> (Server, String) {
    let arguments = [
        "run",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = shop.command(&[&arguments[..], &["--pg", "127.0.0.1:0"]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut server = Server(command.spawn().expect("the binary starts"));
    let said = server.0.stderr.take().expect("it is piped");
    let mut address = None;
    let mut said = BufReader::new(said).lines();
    for line in said.by_ref() {
        let line = line.expect("it is text");
        if let Some(rest) = line.trim_start().strip_prefix("pg ") {
            address = Some(rest.trim().to_owned());
        }
        if line.starts_with("running; ") {
            break;
        }
    }
    // What it says later is read, so that it need not wait.
    std::thread::spawn(move || said.for_each(drop));
    (server, address.expect("it says where it listens"))
}

#[test]
fn statements_are_asked_of_a_server() {
    let shop = Shop::new();
    let (server, address) = serve(&shop);
    let ask = |url: &str, more: &[&str]| shop.run(&[&["sql", "--url", url][..], more].concat());
    let create = "CREATE TABLE notes (id INT, note TEXT); INSERT INTO notes VALUES (1, 'a, b')";
    ask(&address, &["-c", create]).status(0);
    let url = format!("postgres://ann:token@{address}");
    for url in [&address, &url] {
        let csv = ask(url, &["--format", "csv", "-c", "SELECT * FROM notes"]);
        assert_eq!(csv.status(0).out(), "id,note\n1,\"a, b\"\n");
    }
    let tables = ask(&address, &["-c", "SHOW TABLES"]);
    tables.status(0).prints(&["notes", "orders"]);
    let failed = ask(&address, &["-c", "SELECT note\nFROM note"]).status(1);
    failed.says(&[
        "(42P01)",
        "  | FROM note\n  |      ^",
        "did you mean \"notes\"?",
    ]);
    drop(server);
    ask(&address, &["-c", "SELECT 1"])
        .status(1)
        .says(&["could not connect", &address]);
}
