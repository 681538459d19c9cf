//! Files that grow, are rotated, cut short and deleted.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::support::{Running, at, lines_of, start, try_open, wait_until};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder is made")
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let mut file = file.expect("the file opens");
    file.write_all(text.as_bytes())
        .expect("the file is written");
}

fn follow(folder: &TempDir, rest: &str) -> Running {
    start(&format!("orders=tail:{}", at(folder.path(), rest)))
}

#[test]
fn a_file_is_read_and_then_followed_line_by_line() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    append(&path, "{\"n\":1}\n{\"n\":2}\n{\"n\"");
    let tail = follow(&folder, "orders.jsonl");
    let piece = tail.next();
    assert_eq!(lines_of(&piece), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!((piece.start, &*piece.name), (0, &path));
    append(&path, ":3}\n");
    let piece = tail.next();
    assert_eq!(lines_of(&piece), ["{\"n\":3}"]);
    assert_eq!(piece.start, 16);
    tail.wait_for_connections(1);
    tail.stop();
}

#[test]
fn a_file_may_come_later_but_its_folder_must_be_there() {
    let folder = folder();
    let tail = follow(&folder, "orders.jsonl");
    append(&folder.path().join("orders.jsonl"), "1\n");
    assert_eq!(tail.lines(1), ["1"]);
    tail.stop();
    let missing = format!("orders=tail:{}", at(folder.path(), "nowhere/*.jsonl"));
    let error = try_open(&missing, &Default::default()).err();
    let expected = format!(
        "could not open input \"orders\" at {}: entity not found",
        at(folder.path(), "nowhere")
    );
    assert_eq!(error, Some(expected));
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_its_successor_from_the_beginning() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    let mut old = File::create(&path).expect("the file is made");
    old.write_all(b"1\n2\n").expect("it is written");
    let tail = follow(&folder, "orders.jsonl");
    assert_eq!(tail.lines(2), ["1", "2"]);
    fs::rename(&path, folder.path().join("orders.jsonl.1")).expect("it is renamed");
    // Whoever writes it does not know yet.
    old.write_all(b"3\n4").expect("it is written");
    append(&path, "5\n");
    let mut lines = BTreeSet::new();
    while lines.len() < 3 {
        lines.extend(lines_of(&tail.next()));
    }
    // The line without an end is handed over once nothing more comes.
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), ["3", "4", "5"]);
    append(&path, "6\n");
    assert_eq!(tail.lines(1), ["6"]);
    tail.stop();
}

#[test]
fn a_file_renamed_within_the_pattern_is_not_read_again() {
    let folder = folder();
    let path = folder.path().join("a.jsonl");
    append(&path, "1\n");
    let tail = follow(&folder, "*.jsonl");
    assert_eq!(tail.lines(1), ["1"]);
    let renamed = folder.path().join("b.jsonl");
    fs::rename(&path, &renamed).expect("it is renamed");
    append(&path, "2\n");
    let piece = tail.next();
    assert_eq!((lines_of(&piece), &*piece.name), (vec!["2".into()], &path));
    append(&renamed, "3\n");
    let piece = tail.next();
    assert_eq!(
        (lines_of(&piece), &*piece.name),
        (vec!["3".into()], &renamed)
    );
    tail.wait_for_connections(2);
    tail.stop();
}

#[test]
fn a_file_cut_short_is_read_anew() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    append(&path, "one\ntwo\nthree");
    let tail = follow(&folder, "orders.jsonl");
    assert_eq!(tail.lines(2), ["one", "two"]);
    let file = OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.set_len(0)).expect("it is cut");
    append(&path, "1\n");
    // The line that had no end never gets one.
    assert_eq!(tail.lines(2), ["three", "1"]);
    tail.wait_for_fault("begun anew");
    append(&path, "2\n");
    assert_eq!(tail.lines(1), ["2"]);
    tail.stop();
}

#[test]
fn a_file_rewritten_in_place_is_read_anew() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    append(&path, "first 1\nfirst 2\n");
    let tail = follow(&folder, "orders.jsonl");
    assert_eq!(tail.lines(2), ["first 1", "first 2"]);
    fs::write(&path, "second 1\nsecond 2\nsecond 3\n").expect("it is written");
    assert_eq!(tail.lines(3), ["second 1", "second 2", "second 3"]);
    // As long as before.
    fs::write(&path, "second 4\nsecond 5\nsecond 6\n").expect("it is written");
    assert_eq!(tail.lines(3), ["second 4", "second 5", "second 6"]);
    tail.stop();
}

#[test]
fn a_deleted_file_is_let_go_of_and_a_new_one_is_read() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    append(&path, "1\nend");
    let tail = follow(&folder, "*.jsonl");
    assert_eq!(tail.lines(1), ["1"]);
    fs::remove_file(&path).expect("it is removed");
    tail.wait_for_fault("went away");
    assert_eq!(tail.lines(1), ["end"]);
    append(&path, "2\n");
    assert_eq!(tail.lines(1), ["2"]);
    tail.stop();
}

#[test]
fn a_folder_is_followed_with_all_below_it_but_for_what_is_hidden_or_packed() {
    let folder = folder();
    append(&folder.path().join("a.jsonl"), "1\n");
    append(&folder.path().join(".hidden.jsonl"), "no\n");
    fs::write(
        folder.path().join("old.jsonl.gz"),
        b"\x1F\x8B\x08\0\0\0\0\0\n",
    )
    .expect("written");
    let tail = follow(&folder, "");
    assert_eq!(tail.lines(1), ["1"]);
    tail.wait_for_fault("is packed and is not followed");
    fs::create_dir(folder.path().join("below")).expect("a folder is made");
    append(&folder.path().join("below/b.jsonl"), "2\n");
    assert_eq!(tail.lines(1), ["2"]);
    tail.stop();
}

#[test]
fn from_the_end_means_from_the_last_line_that_has_begun() {
    let folder = folder();
    let path = folder.path().join("orders.csv");
    append(&path, "id,price\n1,10\n2,");
    let tail = follow(&folder, "*.csv?from=end");
    tail.wait_for_connections(1);
    append(&path, "20\n3,30\n");
    let piece = tail.next();
    assert_eq!(lines_of(&piece), ["2,20", "3,30"]);
    assert_eq!(piece.start, 14);
    assert_eq!(header(&piece), ["id", "price"]);
    // What comes later is read whole.
    append(&folder.path().join("more.csv"), "price,id\n40,4\n");
    let piece = tail.next();
    assert_eq!(lines_of(&piece), ["40,4"]);
    assert_eq!(header(&piece), ["price", "id"]);
    tail.stop();
}

fn header(piece: &tillrace::source::live::Piece) -> Vec<String> {
    let header = piece.header.as_ref().expect("there is a header");
    header.to_vec()
}

#[test]
fn csv_is_cut_at_records_and_each_file_has_its_header() {
    let folder = folder();
    let path = folder.path().join("notes.csv");
    append(&path, "id,no");
    let tail = follow(&folder, "notes.csv");
    tail.wait_for_connections(1);
    append(&path, "te\n1,\"two\nlines\"\n2,\"still ");
    let piece = tail.next();
    assert_eq!(piece.text, b"1,\"two\nlines\"\n");
    assert_eq!(
        (piece.start, header(&piece)),
        (8, vec!["id".into(), "note".into()])
    );
    append(&path, "open\n");
    append(&path, "\"\n");
    assert_eq!(tail.next().text, b"2,\"still open\n\"\n");
    fs::rename(&path, folder.path().join("notes.1")).expect("it is renamed");
    append(&path, "note,id\nx,3\n");
    let piece = tail.next();
    assert_eq!(piece.text, b"x,3\n");
    assert_eq!(header(&piece), ["note", "id"]);
    tail.stop();
}

#[test]
fn a_header_is_known_when_the_input_is_opened() {
    let folder = folder();
    append(&folder.path().join("a.csv"), "");
    append(&folder.path().join("b.csv"), "id,price\n");
    let text = format!("orders=tail:{}", at(folder.path(), "*.csv"));
    let live = try_open(&text, &Default::default()).expect("it is opened");
    assert_eq!(
        live.input.csv_header,
        Some(vec!["id".into(), "price".into()])
    );
    assert_eq!(live.input.files.len(), 2);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    append(&path, &format!("1\n{}", "x".repeat(300)));
    let tail = follow(&folder, "orders.jsonl?max_line=100");
    assert_eq!(tail.lines(1), ["1"]);
    let long = tail.next().too_long.expect("it is told of");
    assert_eq!((long.offset, long.start.len()), (2, 198));
    assert_eq!(long.reason(), "a record of more than 100 bytes");
    append(
        &path,
        &format!("{}\n2\n{}\n3\n", "x".repeat(50), "y".repeat(101)),
    );
    let piece = tail.next();
    assert_eq!((lines_of(&piece), piece.start), (vec!["2".into()], 353));
    assert_eq!(tail.next().too_long.map(|long| long.offset), Some(355));
    let piece = tail.next();
    assert_eq!((lines_of(&piece), piece.start), (vec!["3".into()], 457));
    tail.stop();
}

#[test]
fn more_files_than_are_held_open() {
    let folder = folder();
    let names: Vec<String> = (0..300).map(|n| format!("{n:03}.jsonl")).collect();
    for name in &names {
        append(&folder.path().join(name), &format!("{name} 1\n"));
    }
    let tail = follow(&folder, "*.jsonl");
    let firsts: BTreeSet<String> = tail.lines(300).into_iter().collect();
    assert_eq!(firsts.len(), 300);
    for name in &names {
        append(&folder.path().join(name), &format!("{name} 2\n"));
    }
    let seconds: BTreeSet<String> = tail.lines(300).into_iter().collect();
    assert!(seconds.iter().all(|line| line.ends_with(" 2")) && seconds.len() == 300);
    tail.stop();
}

#[test]
fn what_is_not_read_yet_is_known_and_a_full_queue_loses_nothing() {
    const LINES: usize = 600_000;
    let folder = folder();
    let path = folder.path().join("orders.jsonl");
    let text: String = (0..LINES)
        .map(|n| format!("{{\"a line\":{n:030}}}\n"))
        .collect();
    fs::write(&path, &text).expect("it is written");
    let tail = follow(&folder, "orders.jsonl");
    wait_until("the queue is full", || tail.inlet.waiting() == 64);
    let mut next = 0;
    let mut lines = 0;
    while lines < LINES {
        let piece = tail.next();
        assert_eq!(piece.start, next);
        next += piece.text.len() as u64;
        lines += lines_of(&piece).len();
    }
    assert_eq!(next, text.len() as u64);
    let behind = &tail.status().behind_bytes;
    wait_until("nothing is ahead", || behind.load(Ordering::Relaxed) == 0);
    assert!(tail.status().waited_ns.load(Ordering::Relaxed) > 0);
    tail.stop();
}
