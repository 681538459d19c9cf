//! One answer, one epoch: what holds between views holds in every answer while events pour in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{SHOP, Shop, local};

const QUESTION: &str = "SELECT (SELECT sum(revenue) FROM by_category) AS categories,
    (SELECT sum(revenue) FROM by_product) AS products";

#[test]
fn sums_by_category_and_by_product_agree_at_every_epoch() {
    let shop = Shop::with(SHOP, 4, local());
    let products: Vec<Value> = (0..40)
        .map(|n| json!({"product_id": format!("p{n}"), "category": format!("c{}", n % 7)}))
        .collect();
    shop.push("products", &json!(products).to_string());
    let is_over = AtomicBool::new(false);
    let pushed = AtomicU64::new(0);
    thread::scope(|scope| {
        for pusher in 0..3_u64 {
            let (shop, is_over, pushed) = (&shop, &is_over, &pushed);
            scope.spawn(move || {
                let mut round = pusher;
                while !is_over.load(Ordering::Relaxed) {
                    let sales: Vec<Value> = (0..20)
                        .map(|n| {
                            let product = format!("p{}", (round * 31 + n * 7) % 40);
                            json!({"product_id": product, "quantity": 1, "amount": (round % 97) + n, "at": n})
                        })
                        .collect();
                    let told = shop.push("sales", &json!(sales).to_string());
                    pushed.fetch_add(told["accepted"].as_u64().unwrap_or(0), Ordering::Relaxed);
                    round += 3;
                    // Products move between categories too.
                    if round.is_multiple_of(11) {
                        let product = format!("p{}", round % 40);
                        let moved = json!({"product_id": product, "category": format!("c{}", round % 5)});
                        shop.push("products", &moved.to_string());
                    }
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ask(&shop);
            read(&shop);
        }));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let all = shop.json("/views/all_sales?limit=0");
    assert_eq!(
        all["total"].as_u64(),
        Some(pushed.load(Ordering::Relaxed)),
        "nothing is lost"
    );
}

/// In one answer of ad hoc SQL.
fn ask(shop: &Shop) {
    let mut epochs = 0;
    let mut last = 0;
    for _ in 0..1500 {
        let answer = shop.post(
            "/sql",
            &[("content-type", "text/plain")],
            QUESTION.as_bytes(),
        );
        let answer = answer.json();
        let row = &answer["rows"][0];
        assert_eq!(row["categories"], row["products"], "{answer}");
        let epoch = answer["epoch"].as_u64().expect("an epoch");
        assert!(epoch >= last, "epochs go on");
        epochs += u64::from(epoch > last);
        last = epoch;
    }
    assert!(epochs > 10, "the engine went on meanwhile: {epochs} epochs");
}

/// In answers about several views at one epoch.
fn read(shop: &Shop) {
    for _ in 0..2000 {
        let categories = shop.json("/views/by_category");
        let epoch = categories["epoch"].as_u64().expect("an epoch");
        let products = shop.json(&format!("/views/by_product?at={epoch}"));
        assert_eq!(products["epoch"], epoch);
        assert_eq!(cents(&categories), cents(&products), "at epoch {epoch}");
    }
}

fn cents(answer: &Value) -> i64 {
    let rows = answer["rows"].as_array().expect("rows").iter();
    rows.filter_map(|row| row["revenue"].as_str())
        .map(|revenue| revenue.replace('.', "").parse::<i64>().expect("a decimal"))
        .sum()
}
