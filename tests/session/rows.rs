//! Rows that sessions write, and what reads them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use tillrace::script::Functions;
use tillrace::session::Outcome;

use crate::support::Desk;

const SHOP: &str = "
    CREATE TABLE products (id TEXT PRIMARY KEY, category TEXT NOT NULL, price DECIMAL(10,2));
    CREATE TABLE sales (product TEXT, quantity BIGINT NOT NULL) WITH (held = true);
    CREATE TABLE visits (who TEXT, page TEXT);
    CREATE MATERIALIZED VIEW revenue AS
      SELECT category, sum(price * quantity) AS revenue, min(quantity) AS least, count(*) AS n
      FROM sales JOIN products ON id = product GROUP BY category;
    CREATE MATERIALIZED VIEW pages AS SELECT page, count(*) AS n FROM visits GROUP BY page;
";

#[test]
fn rows_are_inserted_changed_and_deleted() {
    for workers in [1, 4] {
        let desk = Desk::open(SHOP, workers);
        let mut client = desk.client();
        let insert =
            "INSERT INTO products VALUES ('a', 'toys', 2.50), ('b', 'books', 10), ('c', 'toys', 1)";
        assert_eq!(client.does(insert), "INSERT 0 3");
        let insert =
            "INSERT INTO sales (quantity, product) VALUES (2, 'a'), (1, 'b'), (7, 'c'), (2, 'a')";
        assert_eq!(client.does(insert), "INSERT 0 4");
        assert_eq!(
            client.rows("SELECT * FROM revenue ORDER BY category"),
            ["books|10.00|1|1", "toys|17.00|2|3"]
        );
        assert_eq!(
            client.does("DELETE FROM sales WHERE product = 'a'"),
            "DELETE 2"
        );
        assert_eq!(
            client.does("UPDATE sales SET quantity = quantity + 1"),
            "UPDATE 2"
        );
        assert_eq!(
            client.rows("SELECT * FROM revenue ORDER BY category"),
            ["books|20.00|2|1", "toys|8.00|8|1"]
        );
        // A row with the same key is replaced.
        assert_eq!(
            client.does("INSERT INTO products VALUES ('c', 'books', 3)"),
            "INSERT 0 1"
        );
        assert_eq!(client.rows("SELECT * FROM revenue"), ["books|44.00|2|2"]);
        assert_eq!(
            client.does("UPDATE products SET id = 'd' WHERE id = 'c'"),
            "UPDATE 1"
        );
        assert_eq!(client.rows("SELECT id FROM products"), ["a", "b", "d"]);
        assert_eq!(client.rows("SELECT * FROM revenue"), ["books|20.00|2|1"]);
        assert_eq!(
            client.does("DELETE FROM products WHERE category = 'books'"),
            "DELETE 2"
        );
        assert_eq!(client.rows("SELECT * FROM products"), ["a|toys|2.50"]);
        assert_eq!(client.rows("SELECT * FROM revenue"), Vec::<String>::new());
        assert_eq!(client.does("TRUNCATE sales, products"), "TRUNCATE TABLE");
        assert_eq!(client.rows("SELECT count(*) FROM sales"), ["0"]);
    }
}

#[test]
fn rows_come_from_queries_and_parameters() {
    let desk = Desk::open(SHOP, 2);
    let mut client = desk.client();
    let values = [ScalarValue::from("a"), ScalarValue::Int64(Some(3))];
    let insert = "INSERT INTO sales VALUES ($1, $2)";
    let described = desk
        .wait(client.session().describe(insert))
        .expect("it fits");
    assert_eq!(described.parameters.len(), 2);
    assert!(described.schema.is_none());
    for _ in 0..3 {
        let done = client.with(insert, &values).expect("it is inserted");
        assert!(matches!(done, Outcome::Tag(tag) if tag == "INSERT 0 1"));
    }
    let insert = "INSERT INTO sales SELECT product || 'x', quantity * 2 FROM sales";
    assert_eq!(client.does(insert), "INSERT 0 3");
    assert_eq!(
        client.rows("SELECT product, sum(quantity) FROM sales GROUP BY product ORDER BY 1"),
        ["a|9", "ax|18"]
    );
    // What is not held takes rows, but does not give them back.
    assert_eq!(
        client.does("INSERT INTO visits VALUES ('eve', '/')"),
        "INSERT 0 1"
    );
    assert_eq!(client.rows("SELECT * FROM pages"), ["/|1"]);
    for sql in [
        "SELECT * FROM visits",
        "DELETE FROM visits WHERE who = 'eve'",
    ] {
        let (state, message) = client.fails(sql);
        assert_eq!(
            (state.as_str(), message.contains("not held")),
            ("55000", true),
            "{sql}"
        );
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let desk = Desk::open(SHOP, 2);
    let mut client = desk.client();
    // Nothing to do is done at once.
    assert_eq!(client.does("DELETE FROM sales"), "DELETE 0");
    assert_eq!(client.does("UPDATE sales SET quantity = 1"), "UPDATE 0");
    let faults = [
        ("INSERT INTO sales VALUES ('a', NULL)", "23502"),
        ("INSERT INTO products (category) VALUES ('toys')", "23502"),
        ("INSERT INTO sales VALUES ('a', 'many')", "22P02"),
        ("INSERT INTO sales VALUES ('a')", "42000"),
        ("INSERT INTO nothing VALUES (1)", "42P01"),
        ("INSERT INTO revenue VALUES ('a', 1, 1, 1)", "42809"),
        ("UPDATE sales SET quantity = NULL", "00000"),
        ("DELETE FROM sales WHERE nothing = 1", "42703"),
        ("SELECT 1; SELECT 2", "42601"),
        ("VACUUM", "0A000"),
    ];
    for (sql, state) in faults {
        if state != "00000" {
            assert_eq!(client.fails(sql).0, state, "{sql}");
        }
    }
    assert_eq!(client.rows("SELECT count(*) FROM sales"), ["0"]);
    client.does("INSERT INTO sales VALUES ('a', 1)");
    assert_eq!(client.fails("UPDATE sales SET quantity = NULL").0, "23502");
    assert_eq!(client.rows("SELECT * FROM sales"), ["a|1"]);
    // A session that may only read.
    let mut reader = desk.sessions.open(false);
    let refused = desk.wait(reader.execute("DELETE FROM sales", &[]));
    assert_eq!(refused.expect_err("it may not").sqlstate(), "42501");
}

#[test]
fn rows_are_copied_in() {
    let desk = Desk::open(SHOP, 2);
    let mut client = desk.client();
    let mut copy = |sql: &str, text: &str| {
        let Ok(Outcome::CopyIn(mut copy)) = client.outcome(sql) else {
            panic!("{sql}");
        };
        desk.wait(async {
            for piece in text.as_bytes().chunks(5) {
                copy.push(piece).await?;
            }
            copy.finish().await
        })
    };
    let text = "a\t1\nb\\tc\t2\n\\N\t3\n\\.\n";
    let done = copy("COPY sales FROM STDIN", text).expect("it is copied");
    assert!(matches!(done, Outcome::Tag(tag) if tag == "COPY 3"));
    let text = "id,category,price\r\nx,\"to\"\"ys, all\",1.5\r\ny,books,\r\n";
    let sql = "COPY products (id, category, price) FROM STDIN WITH (FORMAT csv, HEADER true)";
    copy(sql, text).expect("it is copied");
    let broken = copy("COPY sales FROM STDIN CSV", "a,1\nb,two\n");
    assert_eq!(broken.expect_err("two is no number").sqlstate(), "22P02");
    let broken = copy("COPY sales FROM STDIN CSV", "a,1\nb\n");
    assert_eq!(broken.expect_err("a column is missing").sqlstate(), "22P04");
    let mut client = desk.client();
    assert_eq!(
        client.rows("SELECT * FROM sales ORDER BY quantity"),
        ["a|1", "b\tc|2", "null|3"]
    );
    assert_eq!(
        client.rows("SELECT * FROM products"),
        ["x|to\"ys, all|1.50", "y|books|null"]
    );
}

#[test]
fn a_flush_shows_what_others_have_written() {
    let desk = Desk::open(SHOP, 4);
    let (mut writer, mut reader) = (desk.client(), desk.client());
    for round in 1..=20 {
        writer.does("INSERT INTO sales VALUES ('a', 1), ('b', 2)");
        assert_eq!(reader.does("FLUSH"), "FLUSH");
        let rows = reader.rows("SELECT count(*) FROM sales");
        assert_eq!(rows, [(2 * round).to_string()]);
    }
}

/// A query that is asked knows what the program brings, as a view does, and counts occurrences.
#[test]
fn queries_know_functions_and_count_occurrences() {
    let text = DataType::Utf8;
    let same = |args: &[ColumnarValue]| Ok(args[0].clone());
    let same = create_udf(
        "same_text",
        vec![text.clone()],
        text,
        Volatility::Immutable,
        Arc::new(same),
    );
    let functions = Functions::default().with_scalar(same);
    let sql = "CREATE TABLE s (item TEXT) WITH (held = true);
        CREATE TABLE i (item TEXT) WITH (held = true);
        CREATE VIEW rest AS SELECT same_text(item) AS item FROM s EXCEPT ALL SELECT item FROM i;";
    let desk = Desk::with_functions(sql, functions);
    let mut client = desk.client();
    client.does("INSERT INTO s VALUES ('pen'), ('pen'), ('pen'), ('cup'), (NULL)");
    client.does("INSERT INTO i VALUES ('pen'), ('cup'), ('cup'), (NULL)");
    client.does("FLUSH");
    assert_eq!(client.rows("SELECT * FROM rest"), ["pen", "pen"]);
    let rest = "SELECT same_text(item) AS item FROM s EXCEPT ALL SELECT item FROM i";
    assert_eq!(client.rows(rest), ["pen", "pen"]);
    let mut common = client.rows("SELECT item FROM i INTERSECT ALL SELECT same_text(item) FROM s");
    common.sort();
    assert_eq!(common, ["cup", "null", "pen"]);
}
