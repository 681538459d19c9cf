//! Decisions by a key: found, fallen back, missing, asked in vain, and quick.

use std::time::Instant;

use serde_json::json;

use crate::support::{Shop, local};

const RULES: &str = "
    CREATE TABLE viewed (user_id TEXT NOT NULL, product_id TEXT NOT NULL, weight INT NOT NULL);
    CREATE MATERIALIZED VIEW decisions WITH (decision_key = 'user_id') AS
        SELECT user_id, concat('accessories of ', product_id) AS decision, 'viewed' AS rule, weight
        FROM viewed
        UNION ALL SELECT CAST(NULL AS VARCHAR), 'best sellers', 'nothing known', 0
        ORDER BY user_id, weight DESC;
    ";

fn open(sql: &str) -> Shop {
    let shop = Shop::with(sql, 2, local());
    shop.push(
        "viewed",
        r#"[{"user_id":"u 1","product_id":"p1","weight":1},{"user_id":"u 1","product_id":"p2","weight":2},
            {"user_id":"u/2","product_id":"p3","weight":1}]"#,
    );
    shop
}

#[test]
fn decides_for_who_is_known_and_falls_back_for_who_is_not() {
    let shop = open(RULES);
    let known = shop.json("/decisions/u%201");
    assert_eq!(known["view"], "decisions");
    assert_eq!(known["fallback"], false);
    assert_eq!(known["decision"]["decision"], "accessories of p2");
    assert_eq!(known["rows"].as_array().map(Vec::len), Some(2));
    assert!(known["epoch"].as_u64() > Some(0));
    let other = shop.json("/decisions/u%2F2");
    assert_eq!(other["decision"]["decision"], "accessories of p3");
    let unknown = shop.json("/decisions/nobody");
    assert_eq!(unknown["fallback"], true);
    assert_eq!(unknown["key"], "nobody");
    assert_eq!(unknown["decision"]["rule"], "nothing known");
    assert_eq!(unknown["decision"]["user_id"], json!(null));
}

#[test]
fn falls_back_to_a_named_key() {
    let sql = RULES
        .replace("'user_id')", "'user_id', fallback_key = '*')")
        .replace("CAST(NULL AS VARCHAR)", "'*'");
    let shop = open(&sql);
    let unknown = shop.json("/decisions/nobody");
    assert_eq!(unknown["fallback"], true);
    assert_eq!(unknown["decision"]["user_id"], "*");
}

#[test]
fn answers_by_any_column_of_any_view() {
    let shop = Shop::stocked();
    let found = shop.json("/views/kinds/by/product_id/p1");
    assert_eq!(found["column"], "product_id");
    assert_eq!(found["decision"]["dear"], true);
    let missing = shop.get("/views/kinds/by/product_id/p9");
    assert_eq!((missing.status, missing.code().as_str()), (404, "no_row"));
    for path in ["/views/kinds/by/colour/red", "/views/kinds/by/day/someday"] {
        assert_eq!(shop.get(path).status, 400, "{path}");
    }
    assert_eq!(shop.get("/views/none/by/a/b").code(), "unknown_view");
    let nobody = shop.get("/decisions/u1");
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (404, "no_decisions")
    );
}

#[test]
fn asks_which_view_is_meant() {
    let second = "CREATE MATERIALIZED VIEW offers WITH (decision_key = 'product_id') AS
        SELECT product_id, count(*) AS views FROM viewed GROUP BY product_id;";
    let shop = open(&format!("{RULES}{second}"));
    assert_eq!(shop.get("/decisions/p1").code(), "which_view");
    let offer = shop.json("/decisions/p1?view=offers");
    assert_eq!(offer["decision"]["views"], 1);
    let none = shop.get("/decisions/p9?view=offers");
    assert_eq!((none.status, none.code().as_str()), (404, "no_decision"));
}

#[test]
fn decides_by_an_index_whatever_the_view_holds() {
    let shop = Shop::with(RULES, 2, local());
    let row = |n: usize| format!(r#"{{"user_id":"u{n}","product_id":"p","weight":1}}"#);
    let rows: Vec<String> = (0..50_000).map(row).collect();
    shop.push("viewed", &format!("[{}]", rows.join(",")));
    // The index is there from one of the next epochs on.
    shop.push("viewed", &format!("[{}]", row(50_000)));
    let start = Instant::now();
    for n in 0..200 {
        assert_eq!(shop.json(&format!("/decisions/u{n}"))["fallback"], false);
        assert_eq!(shop.json(&format!("/decisions/x{n}"))["fallback"], true);
    }
    // A look through 50,000 rows takes far longer than this for each of 400.
    assert!(start.elapsed().as_secs() < 4, "{:?}", start.elapsed());
}

#[test]
fn tells_which_events_moved_a_row() {
    let shop = Shop::keeping(RULES, 1 << 20);
    let viewed = |user: &str, weight: i64| {
        let row = json!({"user_id": user, "product_id": "p1", "weight": weight});
        shop.push("viewed", &row.to_string())["epoch"].as_u64()
    };
    viewed("u1", 1);
    let since = viewed("u2", 1).expect("an epoch");
    viewed("u2", 5);
    let moved = viewed("u1", 7).expect("an epoch");
    let path = format!("/views/decisions/why?key=u1&since={since}");
    let told = shop.json(&path);
    assert_eq!((&told["tried"], &told["moved"]), (&json!(2), &json!(1)));
    assert_eq!(told["before"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["now"].as_array().map(Vec::len), Some(2));
    let event = &told["events"][0];
    let epoch = event["epoch"].as_u64().expect("an epoch");
    assert!(since < epoch && epoch <= moved, "{since} {epoch} {moved}");
    assert_eq!(event["event"]["weight"], 7);
    assert_eq!(event["without"], told["before"]);
    let all = shop.json("/views/decisions/why?key=user_id=u2");
    assert_eq!(all["moved"], 2);
    for (path, code) in [
        ("/views/decisions/why", "no_key"),
        ("/views/decisions/why?key=colour=red", "bad_key"),
        ("/views/decisions/why?key=u1&since=yesterday", "bad_number"),
        ("/views/none/why?key=u1", "unknown_view"),
    ] {
        assert_eq!(shop.get(path).code(), code, "{path}");
    }
    let row = |n: usize| format!(r#"{{"user_id":"u{n}","product_id":"p","weight":1}}"#);
    let rows: Vec<String> = (0..50_000).map(row).collect();
    shop.push("viewed", &format!("[{}]", rows.join(",")));
    let gone = shop.get(&path);
    assert_eq!((gone.status, gone.code().as_str()), (410, "records_gone"));
    let none = open(RULES).get("/views/decisions/why?key=u1");
    assert_eq!((none.status, none.code().as_str()), (404, "no_records"));
}
