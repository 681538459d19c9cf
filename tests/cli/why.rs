//! Why a number is what it is, and what other thresholds would have done.

use crate::shop::{Shop, top};

const SQL: &str = "
CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT NOT NULL, at TIMESTAMP) WITH (event_time = 'at');
CREATE TABLE orders (order_id TEXT, product_id TEXT NOT NULL, amount DECIMAL(10, 2), at TIMESTAMP)
  WITH (event_time = 'at', dedup = 'order_id');
CREATE TABLE refunds (order_id TEXT NOT NULL, amount DECIMAL(10, 2), at TIMESTAMP) WITH (event_time = 'at');
CREATE VIEW refunded AS SELECT order_id, sum(amount) AS amount FROM refunds GROUP BY order_id;
CREATE MATERIALIZED VIEW net_sales AS
  SELECT p.category, count(*) AS orders, sum(o.amount - coalesce(r.amount, 0)) AS net
  FROM orders o JOIN products p ON o.product_id = p.product_id LEFT JOIN refunded r ON r.order_id = o.order_id
  GROUP BY p.category ORDER BY p.category;
";

const PRODUCTS: &str = r#"{"product_id":"p1","category":"toys","at":"2024-05-01T00:00:00Z"}
{"product_id":"p2","category":"books","at":"2024-05-01T00:00:00Z"}
{"product_id":"p2","category":"toys","at":"2024-05-03T00:00:00Z"}
"#;

const ORDERS: &str = r#"{"order_id":"o1","product_id":"p1","amount":10,"at":"2024-05-01T10:00:00Z"}
{"order_id":"o2","product_id":"p2","amount":7,"at":"2024-05-01T11:00:00Z"}
{"order_id":"o3","product_id":"p1","amount":5,"at":"2024-05-02T10:00:00Z"}
{"order_id":"o3","product_id":"p1","amount":5,"at":"2024-05-02T10:00:00Z"}
{"order_id":"o4","product_id":"p9","amount":99,"at":"2024-05-02T12:00:00Z"}
"#;

const REFUNDS: &str = r#"{"order_id":"o1","amount":4,"at":"2024-05-02T09:00:00Z"}
{"order_id":"o9","amount":1,"at":"2024-05-02T09:30:00Z"}
"#;

const INPUTS: [&str; 6] = [
    "-i",
    "products=products.jsonl",
    "-i",
    "orders=orders.jsonl",
    "-i",
    "refunds=refunds.jsonl",
];

fn shop() -> Shop {
    let shop = Shop::new();
    shop.write("shop.sql", SQL);
    shop.write("products.jsonl", PRODUCTS);
    shop.write("orders.jsonl", ORDERS);
    shop.write("refunds.jsonl", REFUNDS);
    shop
}

fn why(shop: &Shop, key: &str, more: &[&str]) -> crate::shop::Run {
    let named = ["why", "net_sales", key, "shop.sql"];
    shop.run(&[&named[..], &INPUTS, more].concat())
}

#[test]
fn lists_the_refund_the_order_and_the_product_that_moved() {
    let shop = shop();
    let since = ["--since", "2024-05-02", "--format", "jsonl"];
    let out = why(&shop, "toys", &since).status(0).out();
    let events: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let told: Vec<(&str, &str, &str)> = events
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().expect("text");
            (text("time"), text("table"), text("without_it"))
        })
        .collect();
    // The order o3 came twice, which counts once: without either the other stands. The order of a
    // product that nobody knows and the refund of an order that never was moved nothing.
    assert_eq!(
        told,
        [
            ("2024-05-02T09:00:00Z", "refunds", "net=22.00"),
            ("2024-05-03T00:00:00Z", "products", "orders=2, net=11.00"),
        ]
    );
    let record = events[0]["record"].as_str().expect("text");
    assert_eq!(record, "refunds.jsonl at 0");
}

#[test]
fn tells_the_row_at_both_times() {
    let shop = shop();
    let out = why(&shop, "category=books", &["--since", "2024-05-02"]);
    let out = out.status(0).out();
    assert!(
        out.contains("before: category=books, orders=1, net=7.00"),
        "{out}"
    );
    assert!(out.contains("now: no row"), "{out}");
    assert!(out.contains("1 of 6 events since then moved it"), "{out}");
    assert!(out.contains("products.jsonl at"), "{out}");
    let all = why(&shop, "toys", &[]).status(0).out();
    assert!(
        all.contains("now: category=toys, orders=3, net=18.00"),
        "{all}"
    );
    assert!(all.contains("orders.jsonl at 0"), "{all}");
}

#[test]
fn says_what_is_wrong_with_a_key() {
    let shop = shop();
    let parts = ["has no column \"catgory\"", "did you mean \"category\"?"];
    why(&shop, "catgory=toys", &[]).status(1).says(&parts);
    why(&shop, "orders=many", &[])
        .status(1)
        .says(&["column \"orders\" is a BIGINT; \"many\" is none"]);
    why(&shop, "toys", &["--most", "2"])
        .status(1)
        .says(&["more than 2", "ask about a shorter time"]);
}

/// Every event is listed without which a replay shows another row, and no other: each is left out of
/// its file in turn, and all is replayed.
fn check_exactness(shop: &Shop, script: &str, view: &str, key: (&str, &str), files: &[&str]) {
    let inputs: Vec<String> = files
        .iter()
        .flat_map(|table| ["-i".to_owned(), format!("{table}={table}.jsonl")])
        .collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let rows = || -> Vec<String> {
        let asked = [
            "replay", script, "--view", view, "--format", "jsonl", "--quiet",
        ];
        let out = shop.run(&[&asked[..], &inputs].concat()).status(0).out();
        let is_meant = |line: &&str| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            row[key.0] == key.1
        };
        out.lines().filter(is_meant).map(str::to_owned).collect()
    };
    let now = rows();
    let mut moved = Vec::new();
    for table in files {
        let name = format!("{table}.jsonl");
        let text = shop.read(&name);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let blank = " ".repeat(line.len() - 1);
            let rest = [&text[..start], &blank, &text[start + blank.len()..]].concat();
            shop.write(&name, rest);
            if rows() != now {
                moved.push(format!("{name} at {start}"));
            }
            start += line.len();
        }
        shop.write(&name, text);
    }
    let named = format!("{}={}", key.0, key.1);
    let asked = ["why", view, &named, script, "--format", "jsonl"];
    let out = shop.run(&[&asked[..], &inputs].concat()).status(0).out();
    let told = out.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["record"].as_str().expect("text").to_owned()
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    moved.sort();
    assert!(!told.is_empty());
    assert_eq!(told, moved, "{view}");
}

#[test]
fn exactly_the_events_that_moved_a_row_are_listed() {
    let shop = shop();
    let files = ["products", "orders", "refunds"];
    check_exactness(&shop, "shop.sql", "net_sales", ("category", "toys"), &files);
}

#[test]
fn the_events_that_moved_sales_are_listed() {
    if !top().join("dataflows").exists() {
        eprintln!("skipped: there are no dataflows here");
        return;
    }
    let shop = Shop::new();
    shop.write(
        "products.jsonl",
        r#"{"product_id":"lamp","category":"home","timestamp":"2026-03-01T00:00:00Z"}
{"product_id":"book","category":"books","timestamp":"2026-03-01T00:00:00Z"}
{"product_id":"book","category":"home","timestamp":"2026-03-04T00:00:00Z"}
"#,
    );
    shop.write(
        "orders.jsonl",
        r#"{"order_id":"o1","user_id":"u1","status":"created","timestamp":"2026-03-01T10:00:00Z","currency":"EUR","items":[{"product_id":"lamp","quantity":3,"price":20.00},{"product_id":"book","quantity":1,"price":10.00}]}
{"order_id":"o2","user_id":"u2","status":"created","timestamp":"2026-03-02T10:00:00Z","currency":"EUR","items":[{"product_id":"lamp","quantity":1,"price":20.00}]}
{"order_id":"o2","user_id":"u2","status":"cancelled","timestamp":"2026-03-05T10:00:00Z"}
{"order_id":"o3","user_id":"u3","status":"created","timestamp":"2026-03-03T10:00:00Z","currency":"EUR","items":[{"product_id":"rug","quantity":1,"price":99.00}]}
"#,
    );
    shop.write(
        "refunds.jsonl",
        r#"{"refund_id":"r1","order_id":"o1","product_id":"lamp","quantity":1,"amount":20.00,"currency":"EUR","timestamp":"2026-03-02T09:00:00Z"}
{"refund_id":"r2","order_id":"o9","product_id":"lamp","quantity":1,"amount":20.00,"currency":"EUR","timestamp":"2026-03-02T09:00:00Z"}
"#,
    );
    let dataflows = top().join("dataflows");
    let script = dataflows.to_str().expect("the path is UTF-8");
    let files = ["products", "orders", "refunds"];
    check_exactness(
        &shop,
        script,
        "sales_by_category",
        ("category", "home"),
        &files,
    );
}

const FRAUD: &str = "
CREATE TABLE rules (rule TEXT PRIMARY KEY, most BIGINT NOT NULL);
CREATE TABLE payments (payment_id TEXT, card TEXT, amount DECIMAL(10, 2));
CREATE TABLE chargebacks (payment_id TEXT PRIMARY KEY, fraud BOOLEAN);
CREATE VIEW limits AS SELECT max(CASE WHEN rule = 'amount' THEN most END) AS amount,
  max(CASE WHEN rule = 'cards' THEN most END) AS cards FROM rules;
CREATE MATERIALIZED VIEW alerts AS
  SELECT p.payment_id, p.amount FROM payments AS p CROSS JOIN limits WHERE p.amount > limits.amount;
";

#[test]
fn tries_thresholds_side_by_side() {
    let shop = Shop::new();
    shop.write("fraud.sql", FRAUD);
    shop.write(
        "rules.jsonl",
        "{\"rule\":\"amount\",\"most\":50}\n{\"rule\":\"cards\",\"most\":3}\n",
    );
    let payment = |n: u32| {
        format!(
            "{{\"payment_id\":\"t{n}\",\"card\":\"c\",\"amount\":{}}}\n",
            n * 10
        )
    };
    shop.write("payments.jsonl", (1..=10).map(payment).collect::<String>());
    shop.write(
        "chargebacks.csv",
        "payment_id,fraud\nt2,true\nt8,true\nt9,false\nt10,true\n",
    );
    let inputs = [
        "-i",
        "rules=rules.jsonl",
        "-i",
        "payments=payments.jsonl",
        "-i",
        "chargebacks=chargebacks.csv",
    ];
    let asked = [
        "--view",
        "alerts",
        "--key",
        "payment_id",
        "--of",
        "payments",
    ];
    let vary = [
        "backtest",
        "fraud.sql",
        "--vary",
        "rules[rule=amount].most=10,70,90",
    ];
    let label = ["--label", "chargebacks.fraud", "--format", "csv"];
    let run = shop.run(&[&vary[..], &asked, &label, &inputs].concat());
    assert_eq!(
        run.status(0).out(),
        "amount.most,blocked,total,labelled,hits,wanted,blocked_share,precision,recall\n\
         ,5,10,3,2,3,0.5,0.6667,0.6667\n\
         10,9,10,4,3,3,0.9,0.75,1.0\n\
         70,3,10,3,2,3,0.3,0.6667,0.6667\n\
         90,1,10,1,1,3,0.1,1.0,0.3333\n"
    );
    let both = [
        "backtest",
        "fraud.sql",
        "--vary",
        "limits.amount=20,80",
        "--vary",
        "rules.most=1,2",
    ];
    let run = shop.run(&[&both[..], &asked, &inputs, &["--format", "jsonl"]].concat());
    let out = run.status(0).out();
    assert_eq!(out.lines().count(), 5, "{out}");
    assert!(
        out.contains(
            r#"{"limits.amount":"80","rules.most":"2","blocked":2,"total":10,"blocked_share":0.2}"#
        ),
        "{out}"
    );
    let wrong = |vary: &str, parts: &[&str]| {
        let named = ["backtest", "fraud.sql", "--vary", vary];
        shop.run(&[&named[..], &asked, &inputs].concat())
            .status(1)
            .says(parts);
    };
    wrong(
        "ruls.most=1",
        &["no table or view \"ruls\"", "did you mean \"rules\"?"],
    );
    wrong("rules.least=1", &["\"rules\" has no column \"least\""]);
    wrong(
        "chargebacks.fraud=true",
        &["view \"alerts\" does not depend on \"chargebacks\""],
    );
}
