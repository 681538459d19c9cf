//! Tables and views that come and go while rows are written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Desk, lines};

const ORDERS: &str = "
    CREATE TABLE orders (id BIGINT PRIMARY KEY, customer BIGINT, amount BIGINT);
    CREATE TABLE events (customer BIGINT, kind TEXT) WITH (held = true);
    CREATE MATERIALIZED VIEW by_customer AS
      SELECT customer, count(*) AS n, sum(amount) AS total, max(amount) AS most
      FROM orders GROUP BY customer;
    CREATE MATERIALIZED VIEW active AS
      SELECT customer, count(*) AS n FROM events WHERE kind = 'visit' GROUP BY customer;
    CREATE MATERIALIZED VIEW both_sides AS
      SELECT o.customer, o.total, a.n FROM by_customer o LEFT JOIN active a ON o.customer = a.customer;
";

/// The same views over what there is, made later.
const LATER: [&str; 3] = [
    "CREATE MATERIALIZED VIEW by_customer_2 AS
      SELECT customer, count(*) AS n, sum(amount) AS total, max(amount) AS most
      FROM orders GROUP BY customer",
    "CREATE MATERIALIZED VIEW active_2 AS
      SELECT customer, count(*) AS n FROM events WHERE kind = 'visit' GROUP BY customer",
    "CREATE MATERIALIZED VIEW both_sides_2 AS
      SELECT o.customer, o.total, a.n FROM by_customer_2 o LEFT JOIN active_2 a ON o.customer = a.customer",
];

/// Ends the writers, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Writes for as long as it is told to.
fn write(desk: &Desk, seed: u64, goes_on: &AtomicBool) -> u64 {
    let mut client = desk.client();
    let mut number = seed;
    let mut next = |most: u64| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) % most
    };
    let mut statements = 0;
    while goes_on.load(Ordering::Relaxed) {
        let sql = match next(8) {
            0 => format!("DELETE FROM orders WHERE customer = {}", next(20)),
            1 => format!(
                "UPDATE orders SET amount = amount + {} WHERE id < {}",
                next(9),
                next(100)
            ),
            2 => format!("DELETE FROM events WHERE customer = {}", next(20)),
            3 | 4 => format!(
                "INSERT INTO events VALUES ({}, 'visit'), ({}, 'view')",
                next(20),
                next(20)
            ),
            _ => format!(
                "INSERT INTO orders VALUES ({}, {}, {}), ({}, {}, {})",
                next(200),
                next(20),
                next(50),
                next(200),
                next(20),
                next(50)
            ),
        };
        client.does(&sql);
        statements += 1;
    }
    statements
}

#[test]
fn a_view_made_later_equals_the_same_view_of_the_script_at_every_epoch() {
    for workers in [1, 4] {
        let desk = Desk::open(ORDERS, workers);
        let goes_on = AtomicBool::new(true);
        thread::scope(|scope| {
            let writers = [1, 2].map(|seed| {
                scope.spawn({
                    let (desk, goes_on) = (&desk, &goes_on);
                    move || write(desk, seed, goes_on)
                })
            });
            let ends = Ends(&goes_on);
            let mut client = desk.client();
            for sql in LATER {
                client.does(sql);
            }
            let mut published = desk.live.catalog().subscribe();
            let mut compared = 0;
            while compared < 60 {
                desk.wait(published.changed()).expect("the engine runs");
                let snapshot = desk.live.catalog().latest();
                for view in ["by_customer", "active", "both_sides"] {
                    let made = snapshot.rows(view).expect("it is in the script");
                    let later = snapshot.rows(&format!("{view}_2"));
                    let later = later.expect("it has been made");
                    let epoch = snapshot.epoch();
                    assert_eq!(lines(&later), lines(&made), "{view} at {epoch}");
                }
                compared += 1;
            }
            drop(ends);
            let statements: u64 = writers.map(|w| w.join().expect("it writes")).iter().sum();
            assert!(
                statements > 20,
                "only {statements} statements were executed"
            );
        });
    }
}

#[test]
fn views_come_and_go_while_rows_are_written() {
    let desk = Desk::open(ORDERS, 4);
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(&desk, 7, &goes_on));
        let ends = Ends(&goes_on);
        let mut client = desk.client();
        for round in 0..15 {
            for sql in LATER {
                client.does(sql);
            }
            let later = client.rows("SELECT * FROM both_sides_2 EXCEPT SELECT * FROM both_sides");
            assert_eq!(later, Vec::<String>::new(), "round {round}");
            let report = desk.live.part("by_customer_2").expect("it was added");
            client.does("DROP MATERIALIZED VIEW both_sides_2, active_2, by_customer_2");
            assert!(client.fails("SELECT * FROM by_customer_2").0 == "42P01");
            let held = || {
                report
                    .nodes()
                    .iter()
                    .map(|node| node.held_records)
                    .sum::<u64>()
            };
            let mut published = desk.live.catalog().subscribe();
            while held() > 0 {
                desk.wait(published.changed()).expect("the engine runs");
            }
        }
        drop(ends);
        writer.join().expect("it writes");
    });
    desk.live.stop().expect("it stops");
}

#[test]
fn tables_and_views_of_a_session_are_like_those_of_the_script() {
    let desk = Desk::open(ORDERS, 4);
    let mut client = desk.client();
    assert_eq!(
        client.does("CREATE TABLE stock (sku TEXT PRIMARY KEY, pieces INT NOT NULL)"),
        "CREATE TABLE"
    );
    client.does("CREATE TABLE IF NOT EXISTS stock (other TEXT)");
    client.does("CREATE TABLE moves (sku TEXT, pieces INT)");
    client.does("INSERT INTO stock VALUES ('a', 1), ('b', 2)");
    client.does("INSERT INTO moves VALUES ('a', 5), ('a', -1), ('c', 1)");
    assert_eq!(
        client
            .does("CREATE VIEW moved AS SELECT sku, sum(pieces) AS pieces FROM moves GROUP BY sku"),
        "CREATE VIEW"
    );
    assert_eq!(
        client.rows("SELECT * FROM moved ORDER BY sku"),
        ["a|4", "c|1"]
    );
    client.does(
        "CREATE MATERIALIZED VIEW level AS
         SELECT coalesce(s.sku, m.sku) AS sku, coalesce(s.pieces, 0) + coalesce(m.pieces, 0) AS pieces
         FROM stock s FULL JOIN moved m ON s.sku = m.sku",
    );
    assert_eq!(
        client.rows("SELECT * FROM level ORDER BY sku"),
        ["a|5", "b|2", "c|1"]
    );
    client.does("UPDATE stock SET pieces = 10 WHERE sku = 'b'");
    client.does("DELETE FROM moves WHERE pieces < 0");
    assert_eq!(
        client.rows("SELECT * FROM level ORDER BY sku"),
        ["a|6", "b|10", "c|1"]
    );
    client.does("CREATE MATERIALIZED VIEW one AS SELECT 1 AS one");
    assert_eq!(client.rows("SELECT * FROM one"), ["1"]);
    client.does("CREATE MATERIALIZED VIEW read_in AS SELECT * FROM tillrace.inputs");
    assert_eq!(client.rows("SELECT count(*) FROM read_in"), ["0"]);
    // What others read stays.
    let (state, message) = client.fails("DROP TABLE moves");
    assert_eq!(state, "2BP01");
    assert!(message.contains("moved"), "{message}");
    assert_eq!(client.fails("DROP VIEW moved").0, "2BP01");
    assert_eq!(client.fails("DROP VIEW stock").0, "42809");
    assert_eq!(client.fails("DROP TABLE orders").0, "0A000");
    client.does("DROP TABLE moves CASCADE");
    assert_eq!(client.fails("SELECT * FROM level").0, "42P01");
    client.does("DROP TABLE IF EXISTS moves");
    client.does("CREATE TABLE moves (sku TEXT)");
    assert_eq!(client.rows("SELECT * FROM moves"), Vec::<String>::new());
    client.does("DROP TABLE moves, stock");
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let desk = Desk::open(
        "CREATE TABLE loose (a BIGINT); CREATE TABLE kept (a BIGINT PRIMARY KEY);
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM loose;",
        2,
    );
    let mut client = desk.client();
    let faults = [
        ("CREATE MATERIALIZED VIEW v AS SELECT b FROM kept", "42000"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT random() AS r FROM kept",
            "",
        ),
        ("CREATE MATERIALIZED VIEW v AS SELECT a FROM loose", "55000"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT a FROM missing",
            "42P01",
        ),
        (
            "CREATE MATERIALIZED VIEW counted AS SELECT a FROM kept",
            "42P07",
        ),
        ("CREATE MATERIALIZED VIEW v AS SELEC a FROM kept", "42601"),
        ("CREATE TABLE kept (a TEXT)", "42P07"),
        ("CREATE TABLE t (a NOTHING)", ""),
        ("CREATE INDEX i ON kept (a)", ""),
    ];
    let before: Vec<String> = desk
        .sessions
        .relations()
        .into_iter()
        .map(|r| r.name)
        .collect();
    for (sql, state) in faults {
        let failed = client.fails(sql);
        assert!(state.is_empty() || failed.0 == state, "{sql}: {failed:?}");
    }
    let after: Vec<String> = desk
        .sessions
        .relations()
        .into_iter()
        .map(|r| r.name)
        .collect();
    assert_eq!(after, before);
    client.does("CREATE MATERIALIZED VIEW v AS SELECT a FROM kept");
    client.does("INSERT INTO kept VALUES (1)");
    assert_eq!(client.rows("SELECT * FROM v"), ["1"]);
}
