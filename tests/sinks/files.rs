//! Views in files.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tillrace::sink::{self, SinkError, SinkSpec};

use crate::support::{
    SHOP, changes_of, engine, files, rows, sell, start, sum, until, until_delivered,
};

#[test]
fn files_of_changes_add_up_to_the_view_in_every_format() {
    for extension in ["jsonl", "csv", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("deep/sales.{extension}"));
        let engine = engine(SHOP);
        let sink = format!("by_category={}?roll_bytes=300", path.display());
        let sink = start(&engine, &sink);
        let mut snapshot = engine.advance().unwrap();
        for epoch in 0..40 {
            let category = ["hats", "shoes", "say \\\"no\\\""][epoch % 3];
            snapshot = sell(&engine, category, epoch as f64 + 0.25);
            if epoch % 4 == 0 && extension != "parquet" {
                until_delivered(&sink, &snapshot);
            }
        }
        let status = Arc::clone(sink.status());
        sink.stop().unwrap();
        let files = files(path.parent().unwrap());
        assert!(files.len() > 1 || extension == "parquet", "{files:?}");
        let changes: Vec<_> = files.iter().flat_map(|file| changes_of(file)).collect();
        let unquote = |row: String| row.replace("\"\"", "\"").replacen("\"say", "say", 1);
        let unquote = |row: String| match extension {
            "csv" => unquote(row).replacen("\"|", "|", 1),
            _ => row,
        };
        let unquoted = |(epoch, diff, row)| (epoch, diff, unquote(row));
        let changes: Vec<_> = changes.into_iter().map(unquoted).collect();
        assert!(changes.is_sorted_by_key(|(epoch, ..)| *epoch));
        assert_eq!(sum(&changes), rows(&snapshot, "by_category"), "{extension}");
        assert_eq!(status.delivered_epoch(), snapshot.epoch());
        assert_eq!(status.rows(), changes.len() as u64);
        let bytes = files.iter().map(|file| fs::metadata(file).unwrap().len());
        assert_eq!(status.bytes(), bytes.sum::<u64>());
        engine.stop().unwrap();
    }
}

#[test]
fn a_file_holds_whole_epochs_and_is_over_when_it_is_big() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(SHOP);
    let path = folder.path().join("{view}.jsonl");
    let sink = format!("by_category={}?roll_bytes=1", path.display());
    let sink = start(&engine, &sink);
    let mut epochs = Vec::new();
    for amount in 1..=5 {
        let snapshot = sell(&engine, "hats", f64::from(amount));
        until_delivered(&sink, &snapshot);
        epochs.push(snapshot.epoch());
    }
    sink.stop().unwrap();
    let files = files(folder.path());
    assert_eq!(files.len(), 5, "a file an epoch: {files:?}");
    for (at, (file, epoch)) in files.iter().zip(epochs).enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("by_category-2"), "{name}");
        assert!(name.ends_with(&format!("Z-{:06}.jsonl", at + 1)), "{name}");
        let changes = changes_of(file);
        assert_eq!(changes.len(), if at == 0 { 1 } else { 2 });
        assert!(changes.iter().all(|(of, ..)| *of == epoch));
    }
}

#[test]
fn a_parquet_file_appears_when_it_is_old_enough_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(SHOP);
    let path = folder.path().join("sales.parquet");
    let sink = format!("by_category={}?roll_seconds=0.3", path.display());
    let sink = start(&engine, &sink);
    let snapshot = sell(&engine, "hats", 1.0);
    let is_whole = |file: &std::path::PathBuf| file.extension().is_some_and(|e| e == "parquet");
    until("there is a whole file", || {
        files(folder.path()).iter().any(is_whole)
    });
    until_delivered(&sink, &snapshot);
    let seen = files(folder.path());
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(sum(&changes_of(&seen[0])), rows(&snapshot, "by_category"));
    drop(sink);
    engine.stop().unwrap();
}

#[test]
fn text_files_can_be_read_while_they_grow() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(SHOP);
    let path = folder.path().join("sales.csv");
    let sink = start(&engine, &format!("by_category={}", path.display()));
    for amount in 1..=3 {
        let snapshot = sell(&engine, "hats", f64::from(amount));
        until_delivered(&sink, &snapshot);
        let seen = files(folder.path());
        assert_eq!(seen.len(), 1);
        assert_eq!(sum(&changes_of(&seen[0])), rows(&snapshot, "by_category"));
    }
    sink.stop().unwrap();
}

#[test]
fn several_views_go_to_a_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(SHOP);
    let sink = format!("*={}/?format=jsonl&mode=snapshot", folder.path().display());
    let sink = start(&engine, &sink);
    sell(&engine, "hats", 2.5);
    sink.stop().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(files(folder.path()).len(), 2, "none of the system's views");
    let line = "{\"category\":\"hats\",\"revenue\":\"2.50\",\"sales\":1}\n";
    assert_eq!(read("by_category.jsonl"), line);
    assert_eq!(read("total.jsonl"), "{\"sales\":1}\n");
}

#[test]
fn a_snapshot_is_never_seen_by_halves() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "CREATE TABLE marks (k INT PRIMARY KEY, mark INT);
        CREATE MATERIALIZED VIEW all_marks AS SELECT k, mark FROM marks;";
    let engine = engine(sql);
    let path = folder.path().join("marks.csv");
    let spec = format!("all_marks={}?mode=snapshot&every_ms=0", path.display());
    let sink = start(&engine, &spec);
    engine.advance().unwrap();
    until("an empty view has a file", || path.exists());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !is_over.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&path).unwrap();
                let marks: Vec<&str> = text.lines().skip(1).collect();
                let mark = |line: &str| line.rsplit(',').next().unwrap().to_owned();
                let first = marks.first().map(|line| mark(line));
                assert!(marks.is_empty() || marks.len() == 500, "{}", marks.len());
                let all_alike = marks.iter().all(|line| Some(mark(line)) == first);
                assert!(all_alike, "of one epoch");
                seen += 1;
            }
            seen
        });
        for mark in 0..60 {
            let lines = (0..500).map(|k| format!("{{\"k\":{k},\"mark\":{mark}}}\n"));
            let text: String = lines.collect();
            let json = tillrace::source::Format::Json;
            engine
                .ingest("test", "marks", &json, text.into_bytes())
                .unwrap();
            let snapshot = engine.advance().unwrap();
            if mark % 3 == 0 {
                until_delivered(&sink, &snapshot);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    let status = Arc::clone(sink.status());
    sink.stop().unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with(",59\n"));
    assert!(status.deliveries() >= 21, "{status:?}");
    assert_eq!(files(folder.path()), [path], "nothing unfinished is left");
}

#[test]
fn a_snapshot_is_not_written_more_often_than_asked() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(SHOP);
    let path = folder.path().join("sales.jsonl");
    let spec = format!(
        "by_category={}?mode=snapshot&every_ms=3600000",
        path.display()
    );
    let sink = start(&engine, &spec);
    let first = sell(&engine, "hats", 1.0);
    until_delivered(&sink, &first);
    for _ in 0..20 {
        sell(&engine, "hats", 1.0);
    }
    let status = Arc::clone(sink.status());
    assert_eq!(status.deliveries(), 1);
    sink.stop().unwrap();
    assert_eq!(status.deliveries(), 2, "the last one when it stops");
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(
        text,
        "{\"category\":\"hats\",\"revenue\":\"21.00\",\"sales\":21}\n"
    );
}

#[test]
fn nothing_is_lost_while_a_folder_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    for extension in ["jsonl", "parquet"] {
        let folder = parent.path().join(extension);
        let away = parent.path().join("away");
        let engine = engine(SHOP);
        let path = folder.join(format!("sales.{extension}"));
        let spec = format!("by_category={}?roll_bytes=1", path.display());
        let sink = start(&engine, &spec);
        let snapshot = sell(&engine, "hats", 1.0);
        until_delivered(&sink, &snapshot);
        fs::rename(&folder, &away).unwrap();
        for _ in 0..10 {
            sell(&engine, "hats", 1.0);
            sell(&engine, "shoes", 1.0);
        }
        until("the fault is told", || sink.status().is_failing());
        let fault = sink.status().last_fault().unwrap();
        assert!(
            fault.contains("could not write") && fault.contains("sales"),
            "{fault}"
        );
        let last = sell(&engine, "hats", 1.0);
        assert_eq!(sink.status().delivered_epoch(), snapshot.epoch());
        fs::rename(&away, &folder).unwrap();
        until_delivered(&sink, &last);
        assert!(!sink.status().is_failing());
        assert!(sink.status().retries() > 0);
        sink.stop().unwrap();
        let all = files(&folder);
        let changes: Vec<_> = all.iter().flat_map(|file| changes_of(file)).collect();
        assert_eq!(sum(&changes), rows(&last, "by_category"));
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn what_cannot_be_written_is_found_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let engine = engine(
        "CREATE TABLE t (a INT, _diff INT);
         CREATE MATERIALIZED VIEW v AS SELECT a FROM t;
         CREATE MATERIALIZED VIEW w AS SELECT _diff FROM t;",
    );
    let open = |text: &str| {
        let spec = SinkSpec::parse(text).unwrap();
        let error = sink::start(spec, Arc::clone(engine.catalog())).err();
        error.expect("a fault")
    };
    let error = open(&format!("v={}/deep/v.csv", file.display()));
    assert!(matches!(error, SinkError::Open { .. }), "{error}");
    let error = open("x=stdout:").to_string();
    assert_eq!(
        error,
        "there is no view \"x\" for sink \"x=stdout:\": there are v, w, tillrace.rejects, \
         tillrace.inputs"
    );
    let error = open(&format!("v,w={}/v.csv", folder.path().display()));
    assert!(matches!(error, SinkError::OneFile { .. }), "{error}");
    let error = open(&format!("w={}/w.csv", folder.path().display())).to_string();
    assert!(error.contains("has a column \"_diff\""), "{error}");
    assert_eq!(files(folder.path()), [file], "and nothing is left behind");
}
