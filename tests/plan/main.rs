//! A script to a plan: what each construct becomes, what is shared, what is refused and where.

use std::sync::Arc;

use tillrace::plan::{Plan, explain, plan};
use tillrace::script::{Sources, parse};

mod evaluate;
mod oracle;

const TABLES: &str = "
CREATE TABLE sales (sale_id BIGINT NOT NULL, product_id TEXT NOT NULL, category TEXT, price DECIMAL(18,2),
  quantity BIGINT, weight DOUBLE, at TIMESTAMP, tags TEXT[]);
CREATE TABLE products (product_id TEXT PRIMARY KEY, name TEXT, category TEXT NOT NULL, cost DECIMAL(18,2));
CREATE TABLE visits (user_id BIGINT, page TEXT, seconds INT);
";

fn planned(views: &str) -> Plan {
    let script = parse(Sources::from(format!("{TABLES}{views}").as_str())).unwrap();
    plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{}", faults.render(false)))
}

fn explained(query: &str) -> String {
    let plan = planned(&format!("CREATE MATERIALIZED VIEW v AS {query};"));
    explain::text(&plan, &["v".to_owned()])
}

#[test]
fn look() {
    for query in std::fs::read_to_string(std::env::var("LOOK").unwrap())
        .unwrap()
        .split(';')
    {
        if query.trim().is_empty() {
            continue;
        }
        println!(
            "== {}\n{}",
            query.trim(),
            std::panic::catch_unwind(|| explained(query))
                .unwrap_or_else(|e| format!("{:?}", e.downcast_ref::<String>()))
        );
    }
}

#[test]
fn folder() {
    let Ok(path) = std::env::var("FOLDER") else {
        return;
    };
    let script = tillrace::script::load(&[path.into()])
        .map_err(|e| e.to_string())
        .unwrap();
    let started = std::time::Instant::now();
    match plan(Arc::new(script)) {
        Ok(plan) => println!("{}\n{:?}", explain::text(&plan, &[]), started.elapsed()),
        Err(faults) => println!("{}", faults.render(false)),
    }
}
