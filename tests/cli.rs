//! Drives the real binary: what it prints, what it writes, and in which status it ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Decimal128Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

const SUBCOMMANDS: [&str; 6] = [
    "replay",
    "check",
    "explain",
    "verify",
    "generate",
    "completions",
];

const SHOP: &str = "\
CREATE TABLE orders (id BIGINT NOT NULL, category TEXT, price DECIMAL(10, 2), at TIMESTAMP)
  WITH (event_time = 'at');
CREATE MATERIALIZED VIEW sales AS
  SELECT category, count(*) AS orders, sum(price) AS revenue, max(at) AS newest
  FROM orders GROUP BY category ORDER BY category;
CREATE MATERIALIZED VIEW all_orders AS SELECT id, category, price FROM orders;
";

const ORDERS: &str = r#"{"id": 1, "category": "toys", "price": 1.50, "at": "2023-10-01T12:00:00Z"}
{"id": 2, "category": "books, used", "price": 20, "at": "2023-10-01T12:34:56.5Z"}
{"id": 3, "category": "toys", "price": 0.25, "at": "2023-10-01T12:34:56Z"}
{"id": 4, "price": null, "at": "2023-10-02T00:00:00Z"}
"#;

const SALES_CSV: &str = "\
category,orders,revenue,newest
\"books, used\",1,20.00,2023-10-01 12:34:56.500
toys,2,1.75,2023-10-01 12:34:56
,1,,2023-10-02 00:00:00
";

/// A folder with a script and its events, in which the binary is started.
struct Shop(TempDir);

impl Shop {
    fn new() -> Self {
        let shop = Self(tempfile::tempdir().expect("there is room for a folder"));
        shop.write("shop.sql", SHOP);
        shop.write("orders.jsonl", ORDERS);
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder can be written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run(self.command(arguments).output().expect("the binary starts"))
    }

    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it is read");
        drop(stdin);
        Run(child.wait_with_output().expect("it ends"))
    }
}

struct Run(Output);

impl Run {
    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("output is UTF-8")
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).expect("messages are UTF-8")
    }

    #[track_caller]
    fn status(self, status: i32) -> Self {
        let found = self.0.status.code();
        assert_eq!(
            found,
            Some(status),
            "stdout:\n{}\nstderr:\n{}",
            self.out(),
            self.err()
        );
        assert!(!self.err().contains("panicked"), "{}", self.err());
        self
    }

    #[track_caller]
    fn says(self, parts: &[&str]) -> Self {
        let err = self.err();
        for part in parts {
            assert!(err.contains(part), "no {part:?} in:\n{err}");
        }
        self
    }

    #[track_caller]
    fn prints(self, parts: &[&str]) -> Self {
        let out = self.out();
        for part in parts {
            assert!(out.contains(part), "no {part:?} in:\n{out}");
        }
        self
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn help_teaches_with_examples() {
    let shop = Shop::new();
    shop.run(&["--help"])
        .status(0)
        .prints(&["Examples:", "tillrace replay", "--version"]);
    for subcommand in SUBCOMMANDS {
        let example = format!("tillrace {subcommand} ");
        shop.run(&[subcommand, "--help"])
            .status(0)
            .prints(&["Examples:", &example]);
        shop.run(&[subcommand, "-h"])
            .status(0)
            .prints(&["Examples:"]);
    }
    shop.run(&["--version"])
        .status(0)
        .prints(&[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn without_arguments_the_samples_are_replayed() {
    if !top().join("dataflows").exists() {
        eprintln!("skipped: there are no samples here");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
    let run = Run(command
        .current_dir(top())
        .output()
        .expect("the binary starts"));
    run.status(0)
        .prints(&["sales_by_category\n", "tillrace replay dataflows"])
        .says(&["events/s", " 0 rejects"]);
}

#[test]
fn without_arguments_and_samples_it_says_where_to_start() {
    let shop = Shop::new();
    shop.run(&[])
        .status(1)
        .says(&["\"dataflows\"", "top of its source tree", "tillrace --help"]);
}

#[test]
fn wrong_usage_ends_in_status_2() {
    let shop = Shop::new();
    let input = "orders=orders.jsonl";
    shop.run(&["rewind"]).status(2).says(&["rewind"]);
    shop.run(&["replay", "--input", "orders"])
        .status(2)
        .says(&["table=location"]);
    shop.run(&["replay", "--input", "orders=o.txt?format=xml"])
        .status(2)
        .says(&["xml"]);
    shop.run(&["replay", "shop.sql"])
        .status(2)
        .says(&["no inputs", "--input table=path"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--workers", "0"])
        .status(2);
    shop.run(&["replay", "shop.sql", "-i", input, "--as-of", "noon"])
        .status(2)
        .says(&["not a time"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--format", "csv"])
        .status(2)
        .says(&["--view"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--format", "parquet"])
        .status(2)
        .says(&["--out"]);
    shop.run(&["verify", "shop.sql", "-i", "orders=-"])
        .status(2)
        .says(&["several times"]);
    shop.run(&["explain", "shop.sql", "--dot", "--mermaid"])
        .status(2);
    shop.run(&["completions", "cobol"]).status(2);
}

#[test]
fn a_table_is_aligned_and_sums_are_exact() {
    let shop = Shop::new();
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "sales",
    ];
    let run = shop
        .run(&arguments)
        .status(0)
        .says(&["4 events in ", "events/s", "0 rejects"]);
    let expected = "\
sales
category     orders  revenue  newest
───────────  ──────  ───────  ───────────────────────
books, used       1    20.00  2023-10-01 12:34:56.500
toys              2     1.75  2023-10-01 12:34:56
                  1           2023-10-02 00:00:00
";
    assert_eq!(run.out(), expected);
}

#[test]
fn a_long_table_is_cut_and_says_so() {
    let shop = Shop::new();
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "all_orders",
    ];
    let cut = shop
        .run(&[&arguments[..], &["--limit", "1"]].concat())
        .status(0);
    cut.prints(&["(1 of 4 rows)"]);
    let whole = shop
        .run(&[&arguments[..], &["--limit", "0"]].concat())
        .status(0);
    assert_eq!(whole.out().lines().count(), 3 + 4, "{}", whole.out());
}

#[test]
fn views_are_answered_on_any_number_of_workers_alike() {
    let shop = Shop::new();
    for workers in ["1", "2", "4", "7"] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--view",
            "sales",
            "--format",
            "csv",
            "--workers",
            workers,
        ];
        assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV);
    }
}

#[test]
fn standard_input_and_packed_files_are_read() {
    let shop = Shop::new();
    let arguments = [
        "replay", "shop.sql", "-i", "orders=-", "--view", "sales", "--format", "csv",
    ];
    assert_eq!(
        shop.run_with_input(&arguments, ORDERS.as_bytes())
            .status(0)
            .out(),
        SALES_CSV
    );
    shop.write("packed.gz", gzip(ORDERS));
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=packed.gz",
        "--view",
        "sales",
        "--format",
        "csv",
    ];
    assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(text.as_bytes())
        .expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[test]
fn a_list_of_inputs_is_relative_to_itself() {
    let shop = Shop::new();
    fs::create_dir(shop.path("lists")).expect("the folder can be made");
    shop.write(
        "lists/all.inputs",
        "# what there is\n\norders=../orders.jsonl\n",
    );
    let arguments = ["replay", "shop.sql", "--inputs", "lists/all.inputs"];
    shop.run(&arguments).status(0).says(&["4 events"]);
    shop.write("lists/all.inputs", "# what there is\norders\n");
    shop.run(&arguments)
        .status(1)
        .says(&["lists/all.inputs:2", "table=location"]);
    shop.run(&["replay", "shop.sql", "--inputs", "none"])
        .status(1)
        .says(&["list of inputs", "none"]);
}

#[test]
fn what_is_missing_is_named() {
    let shop = Shop::new();
    let missing = shop
        .run(&["replay", "shop.sql", "-i", "orders=gone.jsonl"])
        .status(1);
    assert_eq!(
        missing.err().matches("gone.jsonl").count(),
        1,
        "{}",
        missing.err()
    );
    shop.run(&["replay", "gone.sql", "-i", "orders=orders.jsonl"])
        .status(1)
        .says(&["gone.sql"]);
    shop.run(&["replay", "shop.sql", "-i", "order=orders.jsonl"])
        .status(1)
        .says(&["no table \"order\"", "did you mean \"orders\"?"]);
    shop.run(&[
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "sale",
    ])
    .status(1)
    .says(&["no view \"sale\"", "did you mean \"sales\"?"]);
    fs::create_dir(shop.path("empty")).expect("the folder can be made");
    shop.run(&["replay", "shop.sql", "-i", "orders=empty"])
        .status(1)
        .says(&["empty"]);
    shop.run(&["check", "empty"]).status(1).says(&["empty"]);
}

#[test]
fn an_empty_file_has_no_rows() {
    let shop = Shop::new();
    shop.write("empty.jsonl", "");
    shop.run(&["replay", "shop.sql", "-i", "orders=empty.jsonl", "--strict"])
        .status(0)
        .prints(&["(no rows)"])
        .says(&["0 events", "0 rejects"]);
}

#[test]
fn every_fault_of_a_script_is_shown_with_its_place() {
    let shop = Shop::new();
    let broken = format!(
        "{SHOP}CREATE MATERIALIZED VIEW a AS SELECT categry FROM orders;\n\
         CREATE MATERIALIZED VIEW b AS SELECT idd FROM orders;\n"
    );
    shop.write("broken.sql", broken);
    let line = SHOP.lines().count() + 1;
    for subcommand in ["check", "explain"] {
        shop.run(&[subcommand, "broken.sql"]).status(1).says(&[
            &format!("broken.sql:{line}:"),
            "categry",
            "category",
            &format!("broken.sql:{}:", line + 1),
        ]);
    }
    let arguments = ["replay", "broken.sql", "-i", "orders=orders.jsonl"];
    let run = shop.run(&arguments).status(1).says(&["categry"]);
    assert_eq!(run.out(), "", "nothing runs");
}

#[test]
fn check_says_what_views_keep() {
    let shop = Shop::new();
    shop.run(&["check", "shop.sql"])
        .status(0)
        .prints(&["sales\n", "grows with", "all_orders\n"]);
}

#[test]
fn explain_has_three_forms() {
    let shop = Shop::new();
    shop.run(&["explain", "shop.sql"])
        .status(0)
        .prints(&["sales", "all_orders"]);
    shop.run(&["explain", "shop.sql", "--dot"])
        .status(0)
        .prints(&["digraph"]);
    shop.run(&["explain", "shop.sql", "--mermaid"])
        .status(0)
        .prints(&["flowchart"]);
    let one = shop
        .run(&["explain", "shop.sql", "--view", "sales"])
        .status(0);
    assert!(!one.out().contains("view all_orders"), "{}", one.out());
    shop.run(&["explain", "shop.sql", "--view", "sail"])
        .status(1)
        .says(&["no view \"sail\""]);
}

#[test]
fn rejects_are_counted_placed_and_fatal_if_strict() {
    let shop = Shop::new();
    let first = ORDERS.lines().next().expect("there are orders");
    shop.write(
        "bad.jsonl",
        format!("{first}\n{{\"price\": \"x\"}}\nnot json\n{first}\n"),
    );
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=bad.jsonl",
        "--view",
        "sales",
    ];
    let place = format!("bad.jsonl at byte {} (line 2): ", first.len() + 1);
    shop.run(&arguments)
        .status(0)
        .prints(&["toys"])
        .says(&["2 rejects", &place, "(line 3): "]);
    shop.run(&[&arguments[..], &["--strict"]].concat())
        .status(1)
        .says(&["2 rejects"]);
    let quiet = shop
        .run(&[&arguments[..], &["--strict", "--quiet"]].concat())
        .status(1);
    assert_eq!(quiet.err(), "");
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=bad.jsonl",
        "--view",
        "tillrace.rejects",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["not json", "bad.jsonl"]);
}

#[test]
fn a_packed_file_that_breaks_off_is_told_of() {
    let shop = Shop::new();
    let line = ORDERS.lines().next().expect("there are orders");
    let packed = gzip(&format!("{line}\n").repeat(20_000));
    shop.write("cut.jsonl.gz", &packed[..packed.len() / 2]);
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=cut.jsonl.gz",
        "--view",
        "sales",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["toys"])
        .says(&["1 reject", "cut.jsonl.gz"]);
    shop.run(&[&arguments[..], &["--strict"]].concat())
        .status(1);
}

#[test]
fn answers_are_written_whole_in_every_format() {
    let shop = Shop::new();
    let replay = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--out",
        "answers",
    ];
    let write = |format: &str| {
        shop.run(&[&replay[..], &["--format", format]].concat())
            .status(0)
    };
    for format in ["csv", "jsonl", "parquet", "table"] {
        assert_eq!(write(format).out(), "");
    }
    assert_eq!(shop.read("answers/sales.csv"), SALES_CSV);
    assert!(
        shop.read("answers/sales.txt")
            .contains("books, used       1    20.00")
    );

    let lines: Vec<serde_json::Value> = shop
        .read("answers/sales.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["category"], "books, used");
    assert_eq!(lines[0]["newest"], "2023-10-01 12:34:56.500");
    assert_eq!(lines[2]["category"], serde_json::Value::Null);
    assert!(
        shop.read("answers/sales.jsonl")
            .contains("\"revenue\":1.75,"),
        "money keeps its text"
    );

    let file = File::open(shop.path("answers/sales.parquet")).expect("it was written");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build());
    let batches: Vec<RecordBatch> = reader
        .expect("it is Parquet")
        .map(|batch| batch.expect("it is whole"))
        .collect();
    let revenue = batches[0]
        .column_by_name("revenue")
        .expect("there is revenue")
        .clone();
    assert_eq!(revenue.as_primitive::<Decimal128Type>().value(1), 175);

    let files = fs::read_dir(shop.path("answers")).expect("it can be listed");
    assert_eq!(files.count(), 2 * 4, "only whole files are left");
}

#[test]
fn answers_can_be_read_again_as_inputs() {
    let shop = Shop::new();
    shop.write(
        "again.sql",
        "CREATE TABLE sales (category TEXT, orders BIGINT, revenue DECIMAL(20, 2), newest TIMESTAMP);
         CREATE MATERIALIZED VIEW sales_again AS SELECT * FROM sales ORDER BY category;",
    );
    for format in ["csv", "jsonl", "parquet"] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--out",
            format,
            "--format",
            format,
        ];
        shop.run(&arguments).status(0);
        let input = format!("sales={format}/sales.{format}");
        let arguments = [
            "replay",
            "again.sql",
            "-i",
            &input,
            "--view",
            "sales_again",
            "--format",
            "csv",
        ];
        assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV, "{format}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_before_the_run() {
    let shop = Shop::new();
    shop.write("file", "");
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--out",
        "file/answers",
    ];
    shop.run(&arguments)
        .status(1)
        .says(&["could not write", "file/answers"]);
}

#[test]
fn the_clock_can_be_stopped() {
    let shop = Shop::new();
    for time in [
        "2023-10-01",
        "2023-10-01 12:30:00",
        "2023-10-01T12:30:00+02:00",
    ] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--as-of",
            time,
        ];
        shop.run(&arguments).status(0);
    }
}

#[test]
fn in_a_pipe_only_the_summary_is_told() {
    let shop = Shop::new();
    let arguments = ["replay", "shop.sql", "-i", "orders=orders.jsonl"];
    let run = shop.run(&arguments).status(0);
    assert_eq!(run.err().lines().count(), 1, "{}", run.err());
    assert!(!run.err().contains('\u{1b}') && !run.out().contains('\u{1b}'));
    let run = shop.run(&[&arguments[..], &["--quiet"]].concat()).status(0);
    assert_eq!(run.err(), "");
}

#[test]
fn verify_agrees_with_the_batch_answers() {
    let shop = Shop::new();
    let arguments = [
        "verify",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--seed",
        "7",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["2 views equal their batch answers over 4 rows"]);
}

#[test]
fn completions_are_printed() {
    let shop = Shop::new();
    for shell in ["bash", "zsh", "fish"] {
        shop.run(&["completions", shell])
            .status(0)
            .prints(&["tillrace", "replay"]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shop = Shop::new();
    let line = ORDERS.lines().next().expect("there are orders");
    shop.write("many.jsonl", format!("{line}\n").repeat(50_000));
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=many.jsonl",
        "--view",
        "all_orders",
        "--format",
    ];
    for format in ["csv", "jsonl", "table"] {
        let mut command = shop.command(&[&arguments[..], &[format, "--limit", "0"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = child.stdout.take().expect("it is piped");
        stdout.read_exact(&mut [0; 10]).expect("it begins to print");
        drop(stdout);
        Run(child.wait_with_output().expect("it ends")).status(0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_run_that_waits_for_more() {
    const SIGINT: u64 = 2;
    let shop = Shop::new();
    let mut command = shop.command(&["replay", "shop.sql", "-i", "orders=-?format=jsonl"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(ORDERS.as_bytes()).expect("it is read");
    let id = child.id().to_string();
    // A signal before the handler is there would end the process at once.
    let catches = |id: &str| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .expect("it is told");
        u64::from_str_radix(mask.trim(), 16).expect("it is a number") & (1 << (SIGINT - 1)) != 0
    };
    while !catches(&id) {
        std::thread::yield_now();
    }
    let kill = Command::new("kill")
        .args(["-INT", &id])
        .status()
        .expect("kill starts");
    assert!(kill.success());
    let run = Run(child.wait_with_output().expect("it ends"))
        .status(130)
        .says(&["stopped"]);
    assert_eq!(run.out(), "");
    drop(stdin);
}

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
