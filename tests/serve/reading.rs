//! Views: what there is, filters, order, pages, formats, epochs.

use std::io::Cursor;

use arrow::array::AsArray;
use arrow::ipc::reader::StreamReader;
use serde_json::json;

use crate::support::{SHOP, Shop, local};

const SALES: &str = r#"[
    {"product_id":"p1","quantity":2,"amount":"25.00","at":"2024-05-01T12:00:00Z"},
    {"product_id":"p1","quantity":1,"amount":"12.50","at":"2024-05-01T12:00:01.5Z"},
    {"product_id":"p2","quantity":3,"amount":"24.00","at":"2024-05-02T00:00:00Z"},
    {"product_id":"p2","quantity":4,"amount":null,"at":"2024-05-03T00:00:00.000000001Z"}]"#;

fn sold() -> Shop {
    let shop = Shop::stocked();
    shop.push("sales", SALES);
    shop
}

#[test]
fn lists_views_with_what_there_is_to_know() {
    let shop = sold();
    let list = shop.json("/views");
    let views = list["views"].as_array().expect("views");
    let names: Vec<&str> = views.iter().filter_map(|v| v["name"].as_str()).collect();
    assert!(names.contains(&"tillrace.rejects") && names.contains(&"tillrace.inputs"));
    let view = views
        .iter()
        .find(|v| v["name"] == "by_category")
        .expect("the view");
    assert_eq!(view["comment"], "Revenue by category.");
    assert_eq!(view["rows"], 2);
    assert_eq!(
        view["order"],
        json!([{"column": "revenue", "descending": true}])
    );
    assert_eq!(
        view["options"],
        json!({"chart": "bar", "x": "category", "y": "revenue"})
    );
    assert_eq!(view["tables"], json!(["products", "sales"]));
    assert_eq!(view["newest_event_time"], "2024-05-03T00:00:00.000000001Z");
    assert_eq!(view["system"], false);
    let revenue = &view["columns"][1];
    assert_eq!(revenue["name"], "revenue");
    assert_eq!(revenue["comment"], "Before tax.");
    assert!(
        revenue["type"]
            .as_str()
            .expect("a type")
            .starts_with("DECIMAL(")
    );
    assert!(list["epoch"].as_u64() >= view["changed_at"].as_u64());
    let schema = shop.json("/views/by_category/schema");
    assert!(
        schema["sql"]
            .as_str()
            .expect("SQL")
            .contains("GROUP BY category")
    );
    assert_eq!(schema["columns"], view["columns"]);
}

#[test]
fn reads_what_was_written_at_the_epoch_that_was_told() {
    let shop = Shop::stocked();
    for number in 1..50 {
        let sale = json!({"product_id": "p1", "quantity": 1, "amount": "1.25", "at": number});
        let told = shop.push("sales", &sale.to_string());
        let epoch = told["epoch"].as_u64().expect("an epoch");
        let now = shop.json("/views/by_product?product_id=p1");
        assert!(now["epoch"].as_u64() >= Some(epoch));
        assert_eq!(now["rows"][0]["units"], number);
        let then = shop.json(&format!("/views/by_product?product_id=p1&at={epoch}"));
        assert_eq!(then["epoch"], epoch);
        assert_eq!(then["rows"], now["rows"]);
    }
}

#[test]
fn writes_values_as_the_contract_says() {
    let shop = sold();
    let rows = shop.rows("/views/all_sales?order=at&columns=at,amount,quantity");
    assert_eq!(
        rows,
        [
            r#"{"at":"2024-05-01T12:00:00Z","amount":"25.00","quantity":2}"#,
            r#"{"at":"2024-05-01T12:00:01.5Z","amount":"12.50","quantity":1}"#,
            r#"{"at":"2024-05-02T00:00:00Z","amount":"24.00","quantity":3}"#,
            r#"{"at":"2024-05-03T00:00:00.000000001Z","amount":null,"quantity":4}"#,
        ]
    );
    assert_eq!(
        shop.rows("/views/kinds?product_id=p1"),
        [
            r#"{"product_id":"p1","dear":true,"about":12.5,"day":"2024-05-01","tags":["toys",null],"nothing":null}"#
        ]
    );
}

#[test]
fn filters_by_typed_values() {
    let shop = sold();
    let found = |query: &str| shop.json(&format!("/views/all_sales?{query}"))["total"].clone();
    for (query, total) in [
        ("", 4),
        ("product_id=p1", 2),
        ("product_id=", 0),
        ("product_id.ne=p1", 2),
        ("product_id.like=p%25", 4),
        ("quantity.ge=2&quantity.le=3", 2),
        ("quantity.gt=2", 2),
        ("quantity.lt=2", 1),
        ("amount=25", 1),
        ("amount=12.50", 1),
        ("amount=12.5000", 1),
        ("amount.ne=25.00", 2),
        ("amount.is=null", 1),
        ("amount.is=not_null", 3),
        ("at=2024-05-02T00:00:00Z", 0),
        ("at.eq=2024-05-02T00:00:00Z", 1),
        ("at.ge=2024-05-02", 2),
        ("product_id=p2&quantity=3", 1),
    ] {
        if query == "at=2024-05-02T00:00:00Z" {
            // The name is reserved.
            assert_eq!(shop.get(&format!("/views/all_sales?{query}")).status, 400);
            continue;
        }
        assert_eq!(found(query), total, "{query}");
    }
}

#[test]
fn answers_by_an_index_as_it_does_without() {
    let shop = Shop::stocked();
    let sale = |n: i32| json!({"product_id": format!("p{}", n % 700), "quantity": n, "at": n});
    let sales: Vec<_> = (0..2100).map(sale).collect();
    shop.push("sales", &serde_json::to_string(&sales).expect("JSON"));
    let ask = || shop.rows("/views/all_sales?product_id=p42&columns=quantity");
    let first = ask();
    assert_eq!(
        first,
        [
            r#"{"quantity":42}"#,
            r#"{"quantity":742}"#,
            r#"{"quantity":1442}"#
        ]
    );
    // The index is there from a later epoch on, and kept up.
    let sale = json!({"product_id": "p42", "quantity": 1, "at": 0});
    for number in 0..5 {
        shop.push("sales", &sale.to_string());
        assert_eq!(ask().len(), first.len() + number + 1);
    }
    let snapshot = shop.live.catalog().latest();
    let view = snapshot.view("all_sales").expect("a view");
    let value: arrow::array::ArrayRef =
        std::sync::Arc::new(arrow::array::StringArray::from(vec!["p42"]));
    assert!(
        view.find(&[0], &[value]).is_some(),
        "an index has been made"
    );
}

/// Many rows at once, new ones between those that change: the index must follow each of them.
#[test]
fn keeps_an_index_up_through_epochs_of_many_changes() {
    const PRODUCTS: usize = 700;
    let shop = Shop::open();
    let push = |table: &str, lines: Vec<String>| {
        let told = shop.push(table, &format!("[{}]", lines.join(",")));
        assert_eq!(told["accepted"], lines.len());
    };
    let filed = |p| format!(r#"{{"product_id":"p{p}","category":"toys","price":"1.00"}}"#);
    push("products", (0..PRODUCTS).map(filed).collect());
    let sale = |p, day| {
        format!(
            r#"{{"product_id":"p{p}","quantity":1,"amount":"1.00","at":"2024-05-{day:02}T00:00:00Z"}}"#
        )
    };
    push(
        "sales",
        (0..PRODUCTS).step_by(3).map(|p| sale(p, 1)).collect(),
    );
    shop.json("/views/by_product?product_id=p0");
    for round in 2..=4 {
        push("sales", (0..PRODUCTS).map(|p| sale(p, round)).collect());
        for p in 0..PRODUCTS {
            let found = shop.json(&format!("/views/by_product?product_id=p{p}"));
            let units = round - 1 + usize::from(p % 3 == 0);
            assert_eq!(found["total"], 1, "p{p} in round {round}: {found}");
            assert_eq!(found["rows"][0]["units"], units, "p{p} in round {round}");
        }
    }
}

#[test]
fn says_what_is_wrong_with_a_filter() {
    let shop = sold();
    let ask = |query: &str| shop.get(&format!("/views/all_sales?{query}"));
    for (query, status, code, message) in [
        (
            "quantity=many",
            400,
            "bad_value",
            "column \"quantity\" is a INT; \"many\" is none",
        ),
        (
            "quantty=1",
            400,
            "unknown_column",
            "there is no column \"quantty\"; did you mean \"quantity\"?",
        ),
        (
            "quantity.above=1",
            400,
            "bad_filter",
            "\"quantity.above\" is no condition",
        ),
        ("quantity.like=1", 400, "bad_filter", "needs TEXT"),
        (
            "amount=1.234",
            400,
            "bad_value",
            "more digits after the point",
        ),
        (
            "amount.is=perhaps",
            400,
            "bad_filter",
            "`null` or `not_null`",
        ),
        ("limit=-1", 400, "bad_limit", "limit is a whole number"),
        ("limit=100001", 400, "bad_limit", "at most 100000"),
        (
            "format=xml",
            400,
            "bad_format",
            "json, ndjson, csv or arrow",
        ),
        (
            "order=-nothing",
            400,
            "unknown_column",
            "there is no column \"nothing\"",
        ),
        (
            "columns=at,",
            400,
            "unknown_column",
            "there is no column \"\"",
        ),
    ] {
        let answer = ask(query);
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        assert_eq!(answer.code(), code, "{query}");
        assert!(
            answer.message().contains(message),
            "{query}: {}",
            answer.message()
        );
    }
    let tags = shop.get("/views/kinds?tags=x");
    assert_eq!((tags.status, tags.code()), (400, "bad_filter".to_owned()));
}

#[test]
fn suggests_views_of_like_names() {
    let shop = Shop::open();
    for path in [
        "/views/by_categry",
        "/views/by_categry/schema",
        "/views/by_categry/changes",
    ] {
        let answer = shop.get(path);
        assert_eq!(
            (answer.status, answer.code()),
            (404, "unknown_view".to_owned())
        );
        let expected = "there is no view \"by_categry\"; did you mean \"by_category\"?";
        assert_eq!(answer.message(), expected);
    }
    let table = shop.get("/views/sales");
    assert_eq!(
        (table.status, table.message().as_str()),
        (404, "\"sales\" is a table; views are read")
    );
    let answer = shop.get("/nothing");
    assert_eq!(
        (answer.status, answer.code()),
        (404, "unknown_path".to_owned())
    );
    let answer = shop.post("/views", &[], b"");
    assert_eq!(
        (answer.status, answer.code()),
        (405, "wrong_method".to_owned())
    );
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("GET"))
    );
}

#[test]
fn orders_and_pages() {
    let shop = sold();
    let ids = |query: &str| {
        shop.rows(&format!("/views/all_sales?columns=quantity&{query}"))
            .join(" ")
    };
    assert_eq!(
        ids("order=-quantity&limit=2"),
        r#"{"quantity":4} {"quantity":3}"#
    );
    assert_eq!(
        ids("order=-quantity&limit=2&skip=2"),
        r#"{"quantity":2} {"quantity":1}"#
    );
    assert_eq!(
        ids("order=product_id,-quantity&skip=1&limit=2"),
        r#"{"quantity":1} {"quantity":4}"#
    );
    assert_eq!(
        ids("order=-amount&limit=1"),
        r#"{"quantity":4}"#,
        "null counts as greatest"
    );
    assert_eq!(ids("skip=100"), "");
    let page = shop.json("/views/all_sales?skip=3&limit=0");
    assert_eq!((&page["total"], &page["skip"]), (&json!(4), &json!(3)));
    // The view's own order.
    assert_eq!(
        shop.rows("/views/by_category?columns=category"),
        [r#"{"category":"toys"}"#, r#"{"category":"books"}"#]
    );
}

#[test]
fn writes_every_format() {
    let shop = sold();
    let path = "/views/all_sales?order=at&columns=product_id,quantity,amount&limit=2&skip=2";
    let csv = shop.get_with(path, &[("accept", "text/csv")]);
    assert_eq!(
        csv.text(),
        "product_id,quantity,amount\r\np2,3,24.00\r\np2,4,\r\n"
    );
    assert_eq!(csv.header("content-type"), Some("text/csv"));
    assert_eq!(csv.header("tillrace-total"), Some("4"));
    assert_eq!(
        csv.header("tillrace-newest-event-time"),
        Some("2024-05-03T00:00:00.000000001Z")
    );
    assert!(csv.header("tillrace-epoch").is_some() && csv.header("tillrace-closed-at").is_some());
    let lines = shop.get(&format!("{path}&format=ndjson"));
    assert_eq!(
        lines.text(),
        "{\"product_id\":\"p2\",\"quantity\":3,\"amount\":\"24.00\"}\n\
         {\"product_id\":\"p2\",\"quantity\":4,\"amount\":null}\n"
    );
    let arrow = shop.get_with(path, &[("accept", "application/vnd.apache.arrow.stream")]);
    let reader = StreamReader::try_new(Cursor::new(arrow.body), None).expect("a stream");
    let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("batches");
    assert_eq!(batches[0].num_rows(), 2);
    assert_eq!(batches[0].column(0).as_string::<i32>().value(0), "p2");
    let json = shop.get_with(path, &[("accept", "text/html, */*;q=0.8")]);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(json.json()["view"], "all_sales");
}

#[test]
fn remembers_epochs_of_late_and_says_which() {
    let shop = sold();
    let newest = shop.json("/views/by_category")["epoch"]
        .as_u64()
        .expect("an epoch");
    let gone = shop.get("/views/by_category?at=0");
    assert_eq!((gone.status, gone.code()), (410, "epoch_gone".to_owned()));
    let error = &gone.json()["error"];
    assert!(error["oldest"].as_u64() > Some(0));
    assert!(error["newest"].as_u64() >= Some(newest));
    let to_come = shop.get("/views/by_category?at=99999999999999");
    assert_eq!(
        (to_come.status, to_come.code()),
        (404, "epoch_to_come".to_owned())
    );
}

#[test]
fn packs_long_answers_and_keeps_short_ones_plain() {
    let shop = Shop::with(SHOP, 1, local());
    let sales: Vec<_> = (0..500)
        .map(|n| json!({"product_id": "a \"quoted\", long name", "quantity": n, "at": n}))
        .collect();
    shop.push("sales", &serde_json::to_string(&sales).expect("JSON"));
    // The client unpacks by itself; without its asking there is no encoding.
    let packed = shop.get("/views/all_sales");
    assert_eq!(packed.json()["rows"].as_array().map(Vec::len), Some(500));
    let plain = shop.get_with("/views/all_sales", &[("accept-encoding", "identity")]);
    assert_eq!(plain.header("content-encoding"), None);
    let csv = shop.get("/views/all_sales?format=csv&limit=1&order=quantity&columns=product_id");
    assert_eq!(
        csv.text(),
        "product_id\r\n\"a \"\"quoted\"\", long name\"\r\n"
    );
}

#[test]
fn searches_all_columns_whatever_the_case() {
    let shop = sold();
    assert_eq!(
        shop.rows("/views/by_category?q=TOY&columns=category"),
        [r#"{"category":"toys"}"#]
    );
    assert_eq!(
        shop.rows("/views/all_sales?q=24.0&columns=product_id"),
        [r#"{"product_id":"p2"}"#]
    );
    let counted = shop.json("/views/all_sales?q=p1&limit=1");
    assert_eq!(counted["total"], 2);
    for nothing in ["%25", "_", "%5C", "sugar"] {
        let path = format!("/views/by_category?q={nothing}");
        assert_eq!(shop.json(&path)["total"], 0, "{nothing}");
    }
    assert_eq!(shop.json("/views/by_category?q=")["total"], 2);
    let both = shop.json("/views/all_sales?q=p2&quantity.gt=3");
    assert_eq!(both["total"], 1);
}

#[test]
fn tells_whole_numbers_that_javascript_would_round_as_text() {
    let shop = Shop::with(
        "CREATE TABLE ids (id BIGINT); CREATE MATERIALIZED VIEW all_ids AS SELECT id FROM ids ORDER BY id;",
        1,
        local(),
    );
    shop.push(
        "ids",
        r#"[{"id":9007199254740991},{"id":9007199254740993},{"id":-9007199254740993},{"id":7}]"#,
    );
    assert_eq!(
        shop.rows("/views/all_ids"),
        [
            r#"{"id":"-9007199254740993"}"#,
            r#"{"id":7}"#,
            r#"{"id":9007199254740991}"#,
            r#"{"id":"9007199254740993"}"#,
        ]
    );
    let csv = shop.get("/views/all_ids?format=csv").text();
    assert!(csv.contains("\r\n9007199254740993\r\n"), "{csv}");
    let one = shop.json("/views/all_ids?id=9007199254740993");
    assert_eq!(one["total"], 1);
}

#[test]
fn shows_the_statement_that_makes_a_view() {
    let shop = Shop::open();
    let schema = shop.json("/views/by_category/schema");
    let script = schema["script"].as_str().expect("text");
    let head = "CREATE MATERIALIZED VIEW by_category WITH (chart = 'bar', x = 'category', y = 'revenue') AS\n";
    assert!(script.starts_with(head), "{script}");
    assert!(script.ends_with("ORDER BY revenue DESC;"), "{script}");
}
