//! What is said of live inputs, and what is refused.

use std::path::Path;

use tillrace::source::live::{LiveOptions, is_live};
use tillrace::source::{CsvOptions, Format, InputSpec};

use super::support::{refusal, try_open};

fn parse(text: &str) -> Result<InputSpec, String> {
    InputSpec::parse(text).map_err(|error| error.to_string())
}

#[test]
fn a_scheme_makes_an_input_live() {
    for location in [
        "tail:logs/*.jsonl",
        "tcp://127.0.0.1:7070",
        "unix:/run/orders.sock",
        "udp://127.0.0.1:7070",
        "-",
        "ws://localhost/feed",
        "wss://localhost/feed",
        "sse+http://localhost/feed",
        "sse+https://localhost/feed",
        "generate:orders",
    ] {
        assert!(is_live(location), "{location}");
    }
    for location in [
        "orders.jsonl",
        "logs",
        "tail/orders.jsonl",
        "C:\\orders.csv",
        "--",
    ] {
        assert!(!is_live(location), "{location}");
    }
}

#[test]
fn options_follow_the_location() {
    let spec = parse("o=tcp://127.0.0.1:7070?format=csv&delimiter=;&max_line=64K&idle=5");
    let spec = spec.expect("it parses");
    assert_eq!(spec.location, "tcp://127.0.0.1:7070");
    let semicolons = CsvOptions {
        delimiter: b';',
        ..CsvOptions::default()
    };
    assert_eq!(spec.format, Some(Format::Csv(semicolons)));
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        spec.options,
        [option("max_line", "64K"), option("idle", "5")]
    );
    let spec = parse("o=tail:logs/o?.jsonl?from=end").expect("it parses");
    assert_eq!(spec.location, "tail:logs/o?.jsonl");
    assert_eq!(spec.options, [option("from", "end")]);
}

#[test]
fn a_servers_address_may_have_a_query_of_its_own() {
    for (text, location, options) in [
        ("o=wss://h/f?shop=1&token=a", "wss://h/f?shop=1&token=a", 0),
        ("o=wss://h/f?shop=1?idle=5", "wss://h/f?shop=1", 1),
        ("o=wss://h/f?idle=5", "wss://h/f", 1),
        ("o=sse+http://h/f?header.A=b", "sse+http://h/f", 1),
        ("o=sse+http://h/f?idle=5?", "sse+http://h/f?idle=5?", 0),
    ] {
        let spec = parse(text).expect("it parses");
        assert_eq!(
            (spec.location.as_str(), spec.options.len()),
            (location, options)
        );
    }
    let error = parse("o=wss://h/f?idle=5&shop=1").err();
    let expected = "input \"o=wss://h/f?idle=5&shop=1\" has an unknown option \"shop\"; there are \
                    format, delimiter, quote, header, max_line, idle, send and header.NAME";
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn wrong_options_are_refused_with_what_there_is() {
    for (text, reason) in [
        (
            "o=tail:a?form=end",
            "input \"o=tail:a?form=end\" has an unknown option \"form\"; there are format, \
             delimiter, quote, header, from and max_line",
        ),
        (
            "o=udp://127.0.0.1:0?max_line=5",
            "input \"o=udp://127.0.0.1:0?max_line=5\" has an unknown option \"max_line\"; there are \
             format, delimiter, quote, header and open",
        ),
        (
            "o=-?idle=5",
            "input \"o=-?idle=5\" has an unknown option \"idle\"; there are format, delimiter, \
             quote, header, max_line and compression",
        ),
        (
            "o=tail:Cargo.toml?from=middle",
            "input \"o=tail:Cargo.toml\" has from=middle, but from is start or end",
        ),
        (
            "o=tcp://127.0.0.1:0?max_line=none",
            "input \"o=tcp://127.0.0.1:0\" has max_line=none, but max_line is between 16 and 1G \
             bytes, such as 64K or 16M",
        ),
        (
            "o=tcp://127.0.0.1:0?idle=-1",
            "input \"o=tcp://127.0.0.1:0\" has idle=-1, but idle is a number of seconds",
        ),
        (
            "o=tcp://127.0.0.1",
            "input \"o\" is at tcp://127.0.0.1, but it should be like tcp://127.0.0.1:7070",
        ),
        (
            "o=ws://",
            "input \"o\" is at ws://, but it should be like wss://feed.example.com/orders",
        ),
        (
            "o=ws://me:secret@h/",
            "input \"o\" is at ws://me:secret@h/, but it should be like \
             wss://feed.example.com/orders",
        ),
        (
            "o=orders.jsonl",
            "input \"o\" is at orders.jsonl, but it should be like tail:logs/*.jsonl, \
             tcp://127.0.0.1:7070 or generate:orders",
        ),
        (
            "o=tail:logs/orders.parquet",
            "input \"o\" at tail:logs/orders.parquet cannot be Parquet: a Parquet file is not \
             readable before its end",
        ),
        (
            "o=tail:logs/orders.jsonl.gz",
            "input \"o\" at tail:logs/orders.jsonl.gz cannot be packed: a packed file does not \
             grow; read it as history, without tail:",
        ),
        (
            "o=tcp://127.0.0.1:0?compression=gzip",
            "input \"o\" at tcp://127.0.0.1:0 cannot be packed: what is packed does not grow line \
             by line",
        ),
        (
            "o=ws://localhost/?format=csv",
            "input \"o\" at ws://localhost/ cannot be CSV: it carries JSON",
        ),
        (
            "o=ws://localhost/?header.A b=c",
            "input \"o=ws://localhost/\" has header.A b=..., but header.A b is a header that HTTP \
             allows",
        ),
    ] {
        assert_eq!(refusal(text), reason);
    }
    let error = refusal("o=tail:a/***");
    assert!(
        error.starts_with("input \"o\" has a wrong pattern a/***"),
        "{error}"
    );
}

#[test]
fn standard_input_is_read_once() {
    let options = LiveOptions::default();
    assert!(try_open("a=-", &options).is_ok());
    let error = try_open("b=-", &options).err();
    let expected = "input \"b\" is standard input, which another input reads already";
    assert_eq!(error.as_deref(), Some(expected));
}

#[test]
fn the_format_is_said_or_named_or_json() {
    let format = |text: &str| {
        let live = try_open(text, &LiveOptions::default()).expect("it is opened");
        live.input.format
    };
    assert_eq!(
        format("o=tail:tests/*.csv"),
        Format::Csv(CsvOptions::default())
    );
    assert_eq!(format("o=tail:tests/*.log"), Format::Json);
    assert_eq!(format("o=tcp://127.0.0.1:0"), Format::Json);
    let csv = Format::Csv(CsvOptions::default());
    assert_eq!(format("o=tcp://127.0.0.1:0?format=csv"), csv);
}

#[test]
fn what_may_be_secret_is_not_kept_with_the_input() {
    let text = "o=wss://feed.example.com/orders?token=secret?header.Authorization=secret";
    let live = try_open(text, &LiveOptions::default()).expect("it is opened");
    assert_eq!(live.input.spec.location, "wss://feed.example.com/orders");
    assert!(!format!("{:?}", live.input).contains("secret"));
}

#[test]
fn paths_are_relative_to_a_list_and_addresses_are_not() {
    for (location, expected) in [
        ("orders.jsonl", "lists/orders.jsonl"),
        ("tail:logs/*.jsonl", "tail:lists/logs/*.jsonl"),
        ("unix:orders.sock", "unix:lists/orders.sock"),
        ("tail:/var/log/o.jsonl", "tail:/var/log/o.jsonl"),
        ("tcp://127.0.0.1:7070", "tcp://127.0.0.1:7070"),
        ("generate:orders", "generate:orders"),
        ("-", "-"),
    ] {
        let mut spec = parse(&format!("o={location}")).expect("it parses");
        spec.relative_to(Path::new("lists"));
        assert_eq!(spec.location, expected);
    }
}
