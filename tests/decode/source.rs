//! Files to blocks: splitting, packing, and inputs that are broken.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use arrow::datatypes::DataType;
use proptest::prelude::*;
use tillrace::script::Table;
use tillrace::source::{Format, InputSpec, Next};

use crate::support::*;

fn texts() -> Table {
    table(vec![column("v", DataType::Utf8)])
}

fn write(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, content).expect("written");
    path
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Numbered lines of many lengths, with blank and bad ones between.
fn some_lines(count: usize) -> String {
    let line = |i: usize| match i % 7 {
        5 => "\n".to_owned(),
        6 => format!("bad {i}\r\n"),
        _ => format!("{{\"v\":\"{i}{}\"}}\n", "x".repeat(i * i % 97)),
    };
    (0..count).map(line).collect()
}

fn errors(inputs: &[&str]) -> Vec<String> {
    let errors = open(inputs, 64).err().expect("the inputs are faulty");
    errors.0.iter().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Neither the size of blocks nor the packing changes rows, places or rejects.
    #[test]
    fn blocks_and_packing_do_not_matter(
        count in 0..200_usize,
        cut in 0..12_usize,
        block_bytes in 1..5000_usize,
    ) {
        let folder = folder();
        let mut text = some_lines(count).into_bytes();
        text.truncate(text.len().saturating_sub(cut));
        let expected = decode(&texts(), &Format::Json, text.clone());
        let (first, second) = text.split_at(text.len() / 3);
        let members = [gzip(first), gzip(second)].concat();
        let frames = [zstd(first), zstd(second)].concat();
        for (name, content) in [
            ("plain", &text), ("a.gz", &members), ("b.zst", &frames), ("c", &gzip(&text)),
        ] {
            let path = write(&folder, name, content);
            let all = read(&texts(), &[&input(&path, "?format=jsonl")], block_bytes);
            prop_assert_eq!(&all.rows, &rows(&expected.batch));
            prop_assert_eq!(&all.positions, &expected.positions);
            prop_assert_eq!(&all.rejects, &expected.rejects);
        }
    }
}

#[test]
fn many_workers_get_the_same_blocks() {
    let folder = folder();
    let plain = input(&write(&folder, "a.jsonl", some_lines(2000)), "");
    let packed = input(
        &write(&folder, "b.jsonl.gz", gzip(some_lines(500).as_bytes())),
        "",
    );
    let gather = |workers: usize| {
        let blocks = open(&[&plain, &packed, &plain], 1000).expect("opens");
        let gathered = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Next::Block(block) = blocks.next() {
                        let text = format!("{:?}", block.payload);
                        gathered
                            .lock()
                            .expect("whole")
                            .push((block.number, block.offset, text));
                    }
                });
            }
        });
        let mut gathered = gathered.into_inner().expect("whole");
        gathered.sort();
        gathered
    };
    let alone = gather(1);
    assert!(
        alone
            .iter()
            .enumerate()
            .all(|(i, block)| block.0 == i as u64)
    );
    assert_eq!(gather(4), alone);
}

#[test]
fn directories_globs_and_several_inputs() {
    let folder = folder();
    write(&folder, "logs/b.jsonl", "{\"v\":2}\n");
    write(&folder, "logs/a.jsonl", "{\"v\":1}");
    write(&folder, "logs/.hidden.jsonl", "{\"v\":0}\n");
    write(&folder, "logs/deep/c.json.zst", zstd(b"{\"v\":3}\n"));
    write(&folder, "other.jsonl", "{\"v\":4}\n");
    let directory = input(&folder.path().join("logs"), "");
    let glob = input(&folder.path().join("logs/?.jsonl"), "");
    let other = input(&folder.path().join("other.jsonl"), "");
    assert_eq!(read(&texts(), &[&directory], 64).rows, ["1", "2", "3"]);
    assert_eq!(read(&texts(), &[&other, &glob], 64).rows, ["4", "1", "2"]);
}

#[test]
fn formats_are_guessed_by_content_where_names_do_not_tell() {
    let folder = folder();
    let format = |name: &str, content: &[u8]| {
        let blocks = open(&[&input(&write(&folder, name, content), "")], 64).expect("opens");
        match &blocks.inputs()[0].format {
            Format::Csv(options) => format!("csv {:?}", char::from(options.delimiter)),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(format("a", b"\xEF\xBB\xBF\n {\"v\":1}"), "Json");
    assert_eq!(format("b", b"v,w\n1,2\n"), "csv ','");
    assert_eq!(format("c", b"v\tw\n"), "csv '\\t'");
    assert_eq!(format("d", &gzip(b"{\"v\":1}\n")), "Json");
    assert_eq!(format("e.log", &zstd(b"v,w\n1,2\n")), "csv ','");
    assert_eq!(format("f.CSV.gz", b""), "csv ','");
}

#[test]
fn empty_files_have_no_records() {
    let folder = folder();
    for name in ["a.jsonl", "b.csv", "c.jsonl.gz", "d"] {
        let all = read(&texts(), &[&input(&write(&folder, name, ""), "")], 64);
        assert_eq!(all, Everything::default(), "{name}");
    }
    for (name, content) in [
        ("a.jsonl", gzip(b"")),
        ("b.csv", zstd(b"")),
        ("c.csv", b"v\n".to_vec()),
    ] {
        let all = read(&texts(), &[&input(&write(&folder, name, content), "")], 64);
        assert_eq!(all, Everything::default(), "{name}");
    }
}

#[test]
fn a_long_line_grows_its_block() {
    let folder = folder();
    let long = "x".repeat(10 << 20);
    let text = format!("{{\"v\":1}}\n{{\"v\":\"{long}\"}}\n{{\"v\":2}}\n");
    for (name, content) in [
        ("a.jsonl", text.clone().into_bytes()),
        ("b.gz", gzip(text.as_bytes())),
    ] {
        let all = read(
            &texts(),
            &[&input(&write(&folder, name, content), "")],
            1 << 20,
        );
        assert_eq!(all.rows, ["1", &long, "2"], "{name}");
    }
}

#[test]
fn a_record_that_is_too_long_is_rejected_alone() {
    let folder = folder();
    let long = "x".repeat(65 << 20);
    let json = format!("{{\"v\":1}}\n{{\"v\":\"{long}\"}}\n{{\"v\":2}}\n");
    let csv = format!("v\n1\n{long}\n2\n");
    let open = format!(
        "v\n1\n\"a\n{}2\n",
        format!("{}\n", "b".repeat(1 << 20)).repeat(66)
    );
    for (name, text, rejects) in [
        ("a.jsonl", &json, 1),
        ("b.jsonl.zst", &json, 1),
        ("c.csv", &csv, 1),
    ] {
        let content = if name.ends_with("zst") {
            zstd(text.as_bytes())
        } else {
            text.clone().into()
        };
        let all = read(
            &texts(),
            &[&input(&write(&folder, name, content), "")],
            1 << 20,
        );
        assert_eq!(all.rows, ["1", "2"], "{name}");
        assert_eq!(all.rejects.len(), rejects, "{name}");
        assert_eq!(
            all.rejects[0].reason, "a record of more than 64 MiB",
            "{name}"
        );
        let position = if name == "c.csv" { 4 } else { 8 };
        assert_eq!(all.rejects[0].position, position, "{name}");
        assert!(
            text[position as usize..].starts_with(&all.rejects[0].text),
            "{name}"
        );
    }
    let all = read(
        &texts(),
        &[&input(&write(&folder, "d.csv", open), "")],
        1 << 20,
    );
    assert_eq!((all.rows.len(), all.rejects.len()), (68, 1));
    assert_eq!(all.rejects[0].reason, "a quote is never closed");
}

#[test]
fn a_truncated_file_yields_what_came_before() {
    let folder = folder();
    let text = some_lines(20_000);
    let whole = decode(&texts(), &Format::Json, text.clone());
    for (name, packed) in [
        ("a.gz", gzip(text.as_bytes())),
        ("b.zst", zstd(text.as_bytes())),
    ] {
        let path = write(&folder, name, &packed[..packed.len() * 2 / 3]);
        let all = read(&texts(), &[&input(&path, "?format=json")], 10_000);
        assert!(all.rows.len() > 1000, "{name}: {}", all.rows.len());
        assert_eq!(all.rows, rows(&whole.batch)[..all.rows.len()], "{name}");
        let [(offset, reason)] = &all.broken[..] else {
            panic!("{:?}", all.broken)
        };
        assert!(*offset > *all.positions.last().expect("rows"), "{name}");
        assert!(reason.starts_with("the packed data breaks off"), "{reason}");
    }
}

/// Runs itself as a process whose standard input is a pipe.
#[test]
fn standard_input() {
    const OPTIONS: &str = "TILLRACE_TEST_STDIN_OPTIONS";
    if let Ok(options) = std::env::var(OPTIONS) {
        let all = read(&texts(), &[&format!("events=-{options}")], 1000);
        println!(
            "rows={} last={}.",
            all.rows.len(),
            all.rows[all.rows.len() - 1]
        );
        return;
    }
    let text = some_lines(3000);
    let whole = decode(&texts(), &Format::Json, text.clone());
    let last = &rows(&whole.batch)[whole.batch.num_rows() - 1];
    let expected = format!("rows={} last={last}.", whole.batch.num_rows());
    for (options, content) in [
        ("", text.clone().into_bytes()),
        ("?format=jsonl", text.clone().into_bytes()),
        ("", gzip(text.as_bytes())),
        ("?format=json&compression=zstd", zstd(text.as_bytes())),
    ] {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "source::standard_input", "--nocapture"])
            .env(OPTIONS, options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut stdin = child.stdin.take().expect("piped");
        for piece in content.chunks(1 << 14) {
            stdin.write_all(piece).expect("written");
        }
        drop(stdin);
        let output = child.wait_with_output().expect("ended");
        let output = String::from_utf8_lossy(&output.stdout);
        assert!(output.contains(&expected), "{options}: {output}");
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_in_sequence() {
    let folder = folder();
    let path = folder.path().join("pipe.jsonl");
    let made = Command::new("mkfifo").arg(&path).status().expect("started");
    assert!(made.success());
    let text = some_lines(1000);
    let whole = decode(&texts(), &Format::Json, text.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(&path, gzip(text.as_bytes())).expect("written"));
        let all = read(&texts(), &[&input(&path, "")], 1000);
        assert_eq!(all.rows, rows(&whole.batch));
    });
}

#[test]
fn every_faulty_input_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).expect("made");
    write(&folder, "mixed/a.jsonl", "{}");
    write(&folder, "mixed/b.csv", "a\n");
    let fake = write(&folder, "fake.parquet", "PAR1 not at all");
    let at = |name: &str| input(&folder.path().join(name), "");
    let inputs = ["no.jsonl", "empty", "*.none", "mixed", "fake.parquet"].map(at);
    let errors = errors(&inputs.each_ref().map(String::as_str));
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(errors.len(), 5);
    assert_eq!(
        errors[0],
        format!("input \"events\" finds no file at {}", path("no.jsonl"))
    );
    assert_eq!(
        errors[1],
        format!(
            "input \"events\" finds no file in directory {}",
            path("empty")
        )
    );
    assert_eq!(
        errors[2],
        format!(
            "input \"events\" finds no file that matches {}",
            path("*.none")
        )
    );
    assert!(
        errors[3].starts_with("input \"events\" has files of several formats"),
        "{}",
        errors[3]
    );
    let expected = format!(
        "input \"events\" at {} is not a whole Parquet file",
        fake.display()
    );
    assert_eq!(errors[4], expected);
}

#[test]
fn inputs_are_parsed_with_their_options() {
    let parse = |text: &str| InputSpec::parse(text).map_err(|error| error.to_string());
    let spec = parse("orders=logs/a?.csv").expect("parses");
    assert_eq!(
        (spec.table.as_str(), spec.location.as_str()),
        ("orders", "logs/a?.csv")
    );
    assert_eq!(spec.format, None);
    let spec = parse("orders=a=b.tsv?header=false&compression=gz").expect("parses");
    assert_eq!(spec.location, "a=b.tsv");
    assert!(matches!(spec.format, Some(Format::Csv(o)) if o.delimiter == b'\t' && !o.header));
    for (text, reason) in [
        (
            "orders.csv",
            "input \"orders.csv\" is not of the form table=location",
        ),
        (
            "orders=",
            "input \"orders=\" is not of the form table=location",
        ),
        (
            "o=a?colour=red",
            "input \"o=a?colour=red\" has an unknown option \"colour\"; there are format, delimiter, \
             quote, header and compression",
        ),
        (
            "o=a?header=maybe",
            "input \"o=a?header=maybe\" has header=maybe, but header is true or false",
        ),
        (
            "o=a?format=xml",
            "input \"o=a?format=xml\" has format=xml, but format is json, csv, tsv or parquet",
        ),
    ] {
        assert_eq!(parse(text).err().as_deref(), Some(reason));
    }
}

#[test]
fn the_whole_of_online_retail() {
    let data = std::env::var("TILLRACE_REFERENCE_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let path = data.join("online_retail/online_retail_2010_2011.csv.zst");
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return;
    }
    let table = table(vec![
        required(from(column("invoice", DataType::Utf8), &["InvoiceNo"])),
        required(from(column("quantity", DataType::Int32), &["Quantity"])),
        required(from(column("at", TIMESTAMP), &["InvoiceDate"])),
        required(from(
            column("price", DataType::Decimal128(18, 3)),
            &["UnitPrice"],
        )),
        from(column("customer", DataType::Int64), &["CustomerID"]),
    ]);
    let all = read(&table, &[&input(&path, "")], 1 << 20);
    assert!(all.rejects.is_empty(), "{:?}", all.rejects[0]);
    assert_eq!(all.rows.len(), 541_909);
    assert_eq!(all.rows[0], "536365|6|2010-12-01T08:26:00|2.550|17850");
    assert_eq!(
        all.rows.iter().filter(|row| row.ends_with("|∅")).count(),
        135_080
    );
}
