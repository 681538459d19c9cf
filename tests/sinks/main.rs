//! Sinks from outside: what arrives adds up to the view, whatever happens on the way.

mod files;
mod server;
mod support;
mod webhooks;

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};

use tillrace::catalog::Cursor;
use tillrace::sink::{Destination, FileFormat, Mode, Sink, SinkError, SinkSpec};
use tillrace::source::Format;

use support::{SHOP, engine, json_changes, lines, rows, sell, sum, until, until_delivered};

/// Standard output that a test can read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _text: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn print(
    sink: &str,
    to: impl Write + Send + 'static,
    catalog: &Arc<tillrace::catalog::Catalog>,
) -> tillrace::sink::RunningSink {
    let spec = SinkSpec::parse(sink).unwrap();
    let snapshot = catalog.latest();
    let sink = Sink::open_onto(spec, snapshot.views(), to).unwrap();
    sink.start(Arc::clone(catalog)).unwrap()
}

#[test]
fn changes_are_printed_as_json_lines() {
    let engine = engine(SHOP);
    let page = Page::default();
    let sink = print("by_category,total=stdout:", page.clone(), engine.catalog());
    let mut snapshot = sell(&engine, "hats", 1.0);
    until_delivered(&sink, &snapshot);
    for _ in 0..5 {
        snapshot = sell(&engine, "shoes", 2.0);
    }
    sink.stop().unwrap();
    let text = page.text();
    for view in ["by_category", "total"] {
        let of_view = format!("{{\"_view\":\"{view}\",");
        let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&of_view)).collect();
        let changes = json_changes(&lines.join("\n"));
        assert_eq!(sum(&changes), rows(&snapshot, view), "{text}");
    }
}

#[test]
fn snapshots_are_printed_as_tables() {
    let engine = engine(SHOP);
    let page = Page::default();
    let sink = print(
        "by_category=stdout:?mode=snapshot",
        page.clone(),
        engine.catalog(),
    );
    let first = engine.advance().unwrap();
    until_delivered(&sink, &first);
    let last = sell(&engine, "hats", 1.5);
    sink.stop().unwrap();
    let expected = format!(
        "by_category at epoch {}\ncategory  revenue  sales\n────────  ───────  ─────\n(no rows)\n\n\
         by_category at epoch {}\ncategory  revenue  sales\n────────  ───────  ─────\n\
         hats         1.50      1\n\n",
        first.epoch(),
        last.epoch()
    );
    assert_eq!(page.text(), expected);
}

#[test]
fn a_reader_that_goes_ends_the_sink_and_nothing_else() {
    let engine = engine(SHOP);
    let sink = print("total=stdout:", Closed, engine.catalog());
    sell(&engine, "hats", 1.0);
    until("the fault is told", || sink.status().is_failing());
    let last = sell(&engine, "hats", 1.0);
    assert_eq!(rows(&last, "total"), ["2"]);
    let error = sink.stop().expect_err("it has not printed");
    assert!(matches!(error, SinkError::Undelivered { .. }));
}

#[test]
fn a_cursor_knows_the_way_on_when_the_catalog_has_forgotten() {
    let sql = "CREATE TABLE t (k INT PRIMARY KEY, v INT);
        CREATE MATERIALIZED VIEW copies AS SELECT k, v FROM t;";
    let engine = engine(sql);
    let catalog = Arc::clone(engine.catalog());
    let put = |range: std::ops::Range<i64>, v: i64| {
        let lines = range.map(|k| format!("{{\"k\":{k},\"v\":{v}}}\n"));
        let text: String = lines.collect();
        engine
            .ingest("t", "t", &Format::Json, text.into_bytes())
            .unwrap();
        engine.advance().unwrap()
    };
    let place = catalog.latest().view("copies").unwrap().place();
    let mut cursor = Cursor::at_start(&catalog, place);
    let begun = put(0..5, 0);
    cursor.advance(&begun);
    let before = cursor.clone();
    for round in 1..5 {
        put(3..30_000, round);
    }
    let now = put(3..4, 0);
    assert!(
        catalog.changes(place, before.epoch(), &now).is_none(),
        "it is forgotten"
    );
    let (changes, diffs) = before.changes(&now);
    let net: Vec<_> = diffs.into_iter().zip(lines(&changes)).collect();
    assert_eq!(
        net.len(),
        1 + 1 + 29_995,
        "rows that are as they were are not told"
    );
    assert_eq!(
        net[..3],
        [(-1, "4|0".into()), (1, "4|4".into()), (1, "5|4".into())]
    );

    // The same from what is remembered and from what is held.
    cursor.advance(&now);
    let later = put(0..2, 7);
    let (changes, diffs) = cursor.changes(&later);
    let net: Vec<_> = diffs.into_iter().zip(lines(&changes)).collect();
    let expected = [(-1, "0|0"), (1, "0|7"), (-1, "1|0"), (1, "1|7")];
    assert_eq!(net, expected.map(|(diff, row)| (diff, row.to_owned())));
    assert!(cursor.changes(&begun).1.is_empty(), "never back");
}

#[test]
fn a_sink_is_said_in_one_line() {
    let parse = |text: &str| SinkSpec::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let spec =
        parse("sales_by_category=out/sales.jsonl?mode=changes&roll_bytes=100MB&roll_seconds=3600");
    assert_eq!(spec.views, ["sales_by_category"]);
    assert_eq!(spec.name(), "sales_by_category=out/sales.jsonl");
    let Destination::File(file) = &spec.to else {
        panic!("{spec:?}");
    };
    assert_eq!((file.format, file.mode), (FileFormat::Jsonl, Mode::Changes));
    assert_eq!(file.roll_bytes, Some(100_000_000));
    assert_eq!(file.roll_after.unwrap().as_secs(), 3600);
    assert!(spec.every.is_zero());

    let spec = parse(
        "a, b=https://u:p@example.org/hook?token=1?header.Authorization=Bearer%20x&every_ms=50",
    );
    assert_eq!(spec.views, ["a", "b"]);
    assert_eq!(spec.every.as_millis(), 50);
    let Destination::Webhook(hook) = &spec.to else {
        panic!("{spec:?}");
    };
    assert_eq!(hook.url.0, "https://u:p@example.org/hook?token=1");
    assert_eq!(
        hook.headers.0,
        [("Authorization".to_owned(), "Bearer x".to_owned())]
    );
    let shown = format!("{} {spec:?}", spec.name());
    assert!(shown.contains("a,b=https://example.org/hook "), "{shown}");
    for secret in ["u:p", "token", "Bearer"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let spec = parse("a=http://example.org/hook?token=1?");
    let Destination::Webhook(hook) = &spec.to else {
        panic!("{spec:?}");
    };
    assert_eq!(hook.url.0, "http://example.org/hook?token=1");
}

#[test]
fn a_wrong_line_is_told_with_what_there_is() {
    let cases = [
        ("sales", "\"sales\" is not a sink: write view=location"),
        ("=out.csv", "is not a sink"),
        ("v=", "is not a sink"),
        (
            "v=kafka://host/topic",
            "goes to \"kafka\", which is none that there is: a path, http://",
        ),
        (
            "v=out.txt",
            "option \"format\" of sink \"v=out.txt\" is \"txt\": it must be jsonl, csv or parquet",
        ),
        (
            "v=out.csv?mode=all",
            "option \"mode\" of sink \"v=out.csv\" is \"all\": it must be changes or snapshot",
        ),
        (
            "v=out.csv?roll_bytes=big",
            "it must be a number of bytes, such as",
        ),
        (
            "v=out.csv?roll_seconds=-1",
            "it must be a number of seconds",
        ),
        (
            "v=out.csv?mode=snapshot&roll_bytes=1MB",
            "left out where mode is snapshot",
        ),
        (
            "v=out.csv?header.X=1",
            "has no option \"header.X\": it has every_ms, stop_seconds, format, mode",
        ),
        (
            "v=stdout:?format=csv",
            "has no option \"format\": it has every_ms, stop_seconds, mode",
        ),
        (
            "v=http://h/?retry_seconds=5",
            "with dead_letters, a file for what is not taken by then",
        ),
        ("v=http://h/?header.A%20B=1", "has no option"),
        ("v=http:///x?format=json", "an address with a host"),
        (
            "v=http://h/?header.X=a%0Ab",
            "is \"...\": it must be a header that HTTP allows",
        ),
    ];
    for (text, expected) in cases {
        let Err(error) = SinkSpec::parse(text) else {
            assert_eq!(expected, "has no option", "{text}");
            continue;
        };
        let error = error.to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
