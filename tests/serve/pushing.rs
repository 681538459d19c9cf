//! Events pushed over HTTP.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tillrace::serve::Limits;

use crate::support::{SHOP, Shop, local, raw};

const JSON_LINES: (&str, &str) = ("content-type", "application/x-ndjson");

#[test]
fn takes_values_arrays_and_lines() {
    let shop = Shop::stocked();
    let push = |kind: &str, body: &str| {
        let answer = shop.post("/ingest/sales", &[("content-type", kind)], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["rejected"], 0, "{answer}");
        answer["accepted"].as_u64()
    };
    let sale = r#"{"product_id":"p1","quantity":1}"#;
    let pretty = "{\r\n  \"product_id\": \"p1\",\n  \"quantity\": 1\n}\n";
    assert_eq!(push("application/json", sale), Some(1));
    assert_eq!(push("application/json; charset=utf-8", pretty), Some(1));
    assert_eq!(
        push("application/json", &format!("[{sale},\n{pretty} , {sale}]")),
        Some(3)
    );
    assert_eq!(push("application/json", "[]"), Some(0));
    assert_eq!(
        push("application/json", &format!("{sale}\n{sale}\n")),
        Some(2)
    );
    assert_eq!(
        push("application/x-ndjson", &format!("{sale}\n\n{sale}")),
        Some(2)
    );
    assert_eq!(
        push("application/x-www-form-urlencoded", &format!("[{sale}]")),
        Some(1)
    );
    assert_eq!(
        push("text/csv", "quantity,product_id\n1,p1\n\"1\",\"p1\"\n"),
        Some(2)
    );
    assert_eq!(push("text/plain", "quantity,product_id\n1,p1\n"), Some(1));
    assert_eq!(
        push("text/tab-separated-values", "quantity\tproduct_id\n1\tp1\n"),
        Some(1)
    );
    assert_eq!(push("application/json", ""), Some(0));
    assert_eq!(
        shop.json("/views/by_product?product_id=p1")["rows"][0]["units"],
        14
    );
}

#[test]
fn tells_which_records_are_rejected_and_why() {
    let shop = Shop::stocked();
    let body = "{\"product_id\":\"p1\",\"quantity\":1}\nnonsense\n{\"product_id\":\"p1\",\"quantity\":\"x\"}\n";
    let answer = shop
        .post("/ingest/sales", &[JSON_LINES], body.as_bytes())
        .json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(1), &json!(2))
    );
    let rejects = answer["rejects"].as_array().expect("rejects");
    assert_eq!(rejects[0]["position"], 33);
    assert_eq!(rejects[0]["text"], "nonsense");
    assert_eq!(rejects[1]["position"], 42);
    assert!(
        rejects[1]["reason"]
            .as_str()
            .expect("a reason")
            .contains("quantity")
    );
    // Positions are those of the body, also within an array.
    let body = "[ {\"product_id\":\"p1\",\"quantity\":1},\n 7 ]";
    let answer = shop.push("sales", body);
    assert_eq!(
        answer["rejects"][0]["position"],
        body.find('7').expect("there")
    );
    let rejects = shop.rows("/views/tillrace.rejects");
    assert_eq!(rejects.len(), 3);
    assert!(
        rejects
            .iter()
            .all(|reject| reject.contains("POST /ingest/sales")),
        "{rejects:?}"
    );
}

#[test]
fn unpacks_bodies() {
    let shop = Shop::stocked();
    let lines = "{\"product_id\":\"p1\",\"quantity\":1}\n".repeat(30_000);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(lines.as_bytes()).expect("memory");
    let packed = gzip.finish().expect("memory");
    let headers = [JSON_LINES, ("content-encoding", "gzip")];
    let answer = shop.post("/ingest/sales", &headers, &packed).json();
    assert_eq!(answer["accepted"], 30_000, "{answer}");
    let packed = zstd::encode_all(lines.as_bytes(), 1).expect("memory");
    let headers = [JSON_LINES, ("content-encoding", "zstd")];
    let answer = shop.post("/ingest/sales", &headers, &packed).json();
    assert_eq!(answer["accepted"], 30_000, "{answer}");
    assert_eq!(shop.json("/views/by_product")["rows"][0]["units"], 60_000);
    let broken = shop.post("/ingest/sales", &[("content-encoding", "gzip")], b"no gzip");
    assert_eq!(
        (broken.status, broken.code()),
        (400, "bad_encoding".to_owned())
    );
    let unknown = shop.post("/ingest/sales", &[("content-encoding", "br")], b"x");
    assert_eq!(
        (unknown.status, unknown.code()),
        (415, "unsupported_encoding".to_owned())
    );
}

#[test]
fn cuts_long_csv_between_records() {
    let shop = Shop::stocked();
    let mut csv = String::from("product_id,quantity\r\n");
    for number in 0..60_000 {
        let name = if number % 7 == 0 {
            "\"p1\n,\"\"x\""
        } else {
            "p1"
        };
        csv.push_str(&format!("{name},1\r\n"));
    }
    let answer = shop.post(
        "/ingest/sales",
        &[("content-type", "text/csv")],
        csv.as_bytes(),
    );
    let answer = answer.json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(60_000), &json!(0))
    );
    assert_eq!(shop.json("/views/all_sales?limit=0")["total"], 60_000);
    let odd = shop.json("/views/all_sales?product_id.ne=p1&limit=1");
    assert_eq!(odd["total"], 60_000_u32.div_ceil(7));
    assert_eq!(odd["rows"][0]["product_id"], "p1\n,\"x");
}

#[test]
fn keeps_the_later_record_of_a_key_over_many_pieces() {
    let shop = Shop::with(SHOP, 4, local());
    let mut lines = String::new();
    for number in 0..40_000 {
        let line =
            json!({"product_id": format!("p{}", number % 100), "category": format!("c{number}")});
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let answer = shop.post("/ingest/products", &[JSON_LINES], lines.as_bytes());
    assert_eq!(answer.json()["accepted"], 40_000);
    let kinds = shop.rows("/views/kinds?columns=product_id,tags&product_id=p99");
    assert_eq!(kinds, [r#"{"product_id":"p99","tags":["c39999",null]}"#]);
}

#[test]
fn refuses_what_it_cannot_take() {
    let mut config = local();
    config.limits.body_bytes = 100_000;
    let shop = Shop::with(SHOP, 1, config);
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = shop.post(path, headers, body);
        (answer.status, answer.code(), answer.message())
    };
    let (status, code, message) = post("/ingest/sale", &[], b"{}");
    assert_eq!((status, code.as_str()), (404, "unknown_table"));
    assert_eq!(
        message,
        "there is no table \"sale\"; did you mean \"sales\"?"
    );
    let (status, code, _) = post("/ingest/sales", &[("content-type", "image/png")], b"x");
    assert_eq!((status, code.as_str()), (415, "unsupported_media_type"));
    let (status, code, _) = post("/ingest/sales?wait=long", &[], b"");
    assert_eq!((status, code.as_str()), (400, "bad_wait"));
    let (status, code, _) = post(
        "/ingest/sales",
        &[("content-type", "application/json")],
        b"[1,",
    );
    assert_eq!((status, code.as_str()), (400, "bad_json"));
    let csv = [("content-type", "text/csv")];
    let (status, code, message) = post("/ingest/sales", &csv, b"1,2\n3,4\n");
    assert_eq!((status, code.as_str()), (400, "bad_header"));
    let expected = "the first line names none of the columns of table \"sales\": product_id, quantity, amount, at";
    assert_eq!(message, expected);
    let (status, code, _) = post("/ingest/sales", &[], &vec![b' '; 100_001]);
    assert_eq!((status, code.as_str()), (413, "too_long"));
    // A small body that unpacks to a long one.
    let packed = zstd::encode_all(&vec![b' '; 1 << 24][..], 1).expect("memory");
    let (status, code, _) = post("/ingest/sales", &[("content-encoding", "zstd")], &packed);
    assert_eq!((status, code.as_str()), (413, "too_long"));
}

#[test]
fn answers_before_publishing_if_asked() {
    let shop = Shop::stocked();
    let sale = br#"{"product_id":"p1","quantity":1}"#;
    let answer = shop
        .post("/ingest/sales?wait=taken", &[JSON_LINES], sale)
        .json();
    assert_eq!(answer["accepted"], 1);
    let epoch = answer["epoch"].as_u64().expect("an epoch");
    while shop.json("/views")["epoch"].as_u64() < Some(epoch) {
        std::thread::yield_now();
    }
    assert_eq!(shop.json("/views/all_sales")["total"], 1);
}

#[test]
fn does_not_wait_for_ever_for_a_body() {
    let mut config = local();
    config.limits = Limits {
        body_pause: Duration::from_millis(50),
        head: Duration::from_millis(100),
        ..config.limits
    };
    let shop = Shop::with(SHOP, 1, config);
    let head = format!(
        "POST /ingest/sales HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{",
        shop.address
    );
    let answer = raw(shop.address, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // A head that never ends is cut off, with or without a word.
    let answer = raw(shop.address, b"GET /views HTTP/1.1\r\nHost: ");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}
