//! A script to a plan: what each construct becomes, what is shared, what is refused and where.

use std::sync::Arc;

use tillrace::plan::{Op, Plan, Relation, explain, plan};
use tillrace::script::{Sources, parse};

mod evaluate;
mod oracle;
mod refusals;

const TABLES: &str = "
CREATE TABLE sales (sale_id BIGINT NOT NULL, product_id TEXT NOT NULL, category TEXT,
  price DECIMAL(18,2), quantity BIGINT, weight DOUBLE, at TIMESTAMP, tags TEXT[]);
CREATE TABLE products (product_id TEXT PRIMARY KEY, name TEXT, category TEXT NOT NULL,
  cost DECIMAL(18,2));
CREATE TABLE visits (user_id BIGINT, page TEXT, seconds INT);
CREATE TABLE clicks (event_id TEXT, page TEXT, at TIMESTAMP, note TEXT)
  WITH (dedup = 'event_id', dedup_horizon = '7 days', event_time = 'at');
";

/// The plan of a script over the tables above.
fn planned(views: &str) -> Plan {
    let script = parse(Sources::from(format!("{TABLES}{views}").as_str())).unwrap();
    plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{}", faults.render(false)))
}

/// What `explain` says of one query.
fn explained(query: &str) -> String {
    let plan = planned(&format!("CREATE MATERIALIZED VIEW v AS {query};"));
    explain::text(&plan, &["v".to_owned()])
}

/// The nodes of one query, a line each, without what they keep.
fn nodes(query: &str) -> String {
    let text = explained(query);
    let lines = text.lines().filter(|line| !line.starts_with(' '));
    lines
        .map(|line| line.replace("  [append-only]", ""))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_map_is_one_node_of_several_steps() {
    assert_eq!(
        nodes("SELECT upper(c) AS u FROM (SELECT category AS c, price FROM sales) WHERE price > 2"),
        "n0 input sales (category, price)\n\
         n1 map n0: where price > 2.00 | select upper(category) AS u\n\
         view v = n1 (u)"
    );
}

#[test]
fn groups_and_the_order_in_which_they_are_shown() {
    let query = "SELECT category, sum(quantity) AS units FROM sales WHERE quantity > 0
                 GROUP BY category ORDER BY units DESC, category";
    assert_eq!(
        nodes(query),
        "n0 input sales (category, quantity)\n\
         n1 map n0: where quantity > 0\n\
         n2 reduce n1 by category: sum(quantity)\n\
         view v = n2 (category, units), shown by units DESC, category"
    );
}

#[test]
fn only_the_columns_that_some_view_needs_are_read() {
    let plan = planned(
        "CREATE MATERIALIZED VIEW a AS SELECT category FROM sales;
         CREATE MATERIALIZED VIEW b AS SELECT sum(quantity) AS q FROM sales;
         CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n FROM clicks;
         CREATE MATERIALIZED VIEW d AS SELECT max(cost) AS m FROM products;
         CREATE VIEW unused AS SELECT * FROM visits;",
    );
    let columns = |table: &str| {
        let input = plan.inputs.iter().find(|input| match input.relation {
            Relation::Table(at) => plan.script.tables[at].name == table,
            Relation::Kept(_) | Relation::Rejects | Relation::Blocks | Relation::Clock => false,
        });
        input.map(|input| {
            let names = input
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone());
            names.collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(columns("sales").unwrap(), "category quantity");
    // What identifies a row and says when it happened is read whether or not it is asked for.
    assert_eq!(columns("clicks").unwrap(), "event_id at");
    assert_eq!(columns("products").unwrap(), "product_id cost");
    assert_eq!(columns("visits"), None);
}

#[test]
fn counting_rows_reads_a_column_that_is_always_there() {
    assert_eq!(
        nodes("SELECT count(*) AS n FROM sales"),
        "n0 input sales (sale_id)\nn1 reduce n0: count(1)\nview v = n1 (n)"
    );
}

#[test]
fn equal_parts_of_two_views_are_one_node() {
    let plan = planned(
        "CREATE MATERIALIZED VIEW a AS
           SELECT category AS c, sum(quantity) AS q FROM sales WHERE price > 1 GROUP BY category;
         CREATE MATERIALIZED VIEW b AS SELECT kind, total FROM (
           SELECT s.category AS kind, sum(s.quantity) AS total FROM sales s WHERE s.price > 1
           GROUP BY 1) WHERE total > 3;",
    );
    let reduces = plan.nodes.iter().filter(|node| {
        matches!(node.op, Op::Reduce { .. }) && node.views.iter().any(|view| view == "a")
    });
    let views: Vec<_> = reduces.map(|node| node.views.join(" ")).collect();
    assert_eq!(views, ["a b"]);
    assert!(explain::text(&plan, &[]).contains("shared by a, b"));
}

#[test]
fn a_plain_view_that_is_read_twice_is_made_once_with_the_columns_wanted_of_it() {
    let text = explain::text(
        &planned(
            "CREATE VIEW lines AS SELECT s.sale_id, s.product_id, s.price, s.at, v.user_id, v.page
               FROM sales s JOIN visits v ON s.sale_id = v.user_id;
             CREATE MATERIALIZED VIEW a AS SELECT product_id, count(*) AS n FROM lines GROUP BY 1;
             CREATE MATERIALIZED VIEW b AS SELECT page, max(price) AS p FROM lines GROUP BY 1;",
        ),
        &["a".to_owned(), "b".to_owned()],
    );
    assert_eq!(text.matches(" join ").count(), 1, "{text}");
    assert!(
        text.contains("input sales (sale_id, product_id, price)"),
        "{text}"
    );
}

#[test]
fn a_with_query_that_is_read_twice_is_made_once() {
    let text = explained(
        "WITH pairs AS (SELECT s.category, v.page, v.seconds FROM sales s
           JOIN visits v ON s.sale_id = v.user_id)
         SELECT a.category, b.page FROM pairs a JOIN (SELECT page, sum(seconds) AS t FROM pairs
           GROUP BY page) b ON a.page = b.page WHERE b.t > 10",
    );
    assert_eq!(text.matches(" on sale_id = user_id").count(), 1, "{text}");
}

#[test]
fn a_view_that_is_kept_is_read_and_not_repeated() {
    let text = explain::text(
        &planned(
            "CREATE MATERIALIZED VIEW a AS SELECT category, sum(quantity) AS q FROM sales GROUP BY 1;
             CREATE MATERIALIZED VIEW b (kind) AS SELECT category FROM a WHERE q > 3;",
        ),
        &["b".to_owned()],
    );
    let expected = "n2 map n1: where sum(quantity) > 3 | select category AS kind\n\
                    view b = n2 (kind)\n";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn an_outer_join_with_a_keyed_table_joins_once() {
    let query = "SELECT s.sale_id, p.name FROM sales s LEFT JOIN products p USING (product_id)";
    assert_eq!(
        nodes(query),
        "n0 input sales (sale_id, product_id)\n\
         n1 input products (product_id, name)\n\
         n2 join n0, n1 on product_id = product_id\n\
         n3 map n2: select sale_id, product_id\n\
         n4 negate n3\n\
         n5 union n0, n4\n\
         n6 map n5: select sale_id, product_id, NULL AS product_id, NULL AS name\n\
         n7 union n2, n6\n\
         n8 map n7: select sale_id, name\n\
         view v = n8 (sale_id, name)"
    );
}

#[test]
fn an_outer_join_shares_its_arrangements() {
    let text = explained(
        "SELECT s.sale_id, v.page FROM sales s LEFT JOIN visits v
                          ON s.sale_id = v.user_id",
    );
    assert!(
        text.contains("arranges n0 by sale_id, shared with n4"),
        "{text}"
    );
}

#[test]
fn numbers_that_are_bounded_and_not_shown_are_not_made() {
    let numbered = "SELECT category, price, row_number() OVER
        (PARTITION BY category ORDER BY price DESC, sale_id) AS place FROM sales";
    let top = "top 3 of n0 by category in order of price DESC, sale_id";
    for (query, expected) in [
        (
            format!("SELECT category, price FROM ({numbered}) WHERE place <= 3"),
            top.to_owned(),
        ),
        (
            format!("SELECT * FROM ({numbered}) WHERE 4 > place"),
            format!("{top}, numbered"),
        ),
        (
            format!("SELECT * FROM ({numbered}) WHERE place = 3"),
            format!("{top}, numbered"),
        ),
        (
            numbered.to_owned(),
            format!("{}, numbered", top.replace("top 3 of", "order")),
        ),
    ] {
        let nodes = nodes(&query);
        let found = nodes.lines().find(|line| line.starts_with("n1 ")).unwrap();
        assert_eq!(found, format!("n1 {expected}"), "{query}");
    }
}

#[test]
fn limits_become_top_rows_at_any_depth() {
    let query = "SELECT category, count(*) AS n FROM (SELECT category FROM sales
                 ORDER BY price DESC, sale_id LIMIT 10 OFFSET 2) GROUP BY category";
    let nodes = nodes(query);
    let top = "top 10 of n1 after 2 in order of price DESC, sale_id\n";
    assert!(nodes.contains(top), "{nodes}");
}

#[test]
fn lists_become_rows() {
    assert_eq!(
        nodes("SELECT sale_id, unnest(tags) AS tag FROM sales"),
        "n0 input sales (sale_id, tags)\nn1 unnest n0: tags\nview v = n1 (sale_id, tag)"
    );
}

#[test]
fn rows_are_only_added_where_inputs_are_only_added_to() {
    let of = |query: &str| {
        let plan = planned(&format!("CREATE MATERIALIZED VIEW v AS {query};"));
        plan.nodes[plan.outputs[0].node.0].append_only
    };
    assert!(of(
        "SELECT s.sale_id FROM sales s JOIN visits v ON s.sale_id = v.user_id"
    ));
    assert!(of("SELECT DISTINCT category FROM sales"));
    assert!(of(
        "SELECT unnest(tags) AS t FROM sales UNION ALL SELECT page FROM visits"
    ));
    assert!(!of(
        "SELECT category, count(*) AS n FROM sales GROUP BY category"
    ));
    assert!(!of("SELECT product_id FROM products"));
    assert!(!of(
        "SELECT sale_id FROM sales EXCEPT SELECT user_id FROM visits"
    ));
}

#[test]
fn sums_are_added_up_below_a_join_with_a_keyed_table() {
    let query = "SELECT p.category, date_trunc('hour', s.at) AS hour, sum(s.price) AS total,
                 count(*) AS n FROM sales s JOIN products p USING (product_id)
                 WHERE s.quantity > 0 GROUP BY 1, 2";
    let nodes = nodes(query);
    let first = "reduce n2 by product_id, date_trunc('hour', at): sum(price), count(1)";
    assert!(nodes.contains(first), "{nodes}");
    assert!(
        nodes.contains(": sum(sum(price)), sum(count(1))"),
        "{nodes}"
    );
}

#[test]
fn what_would_not_be_exact_is_not_added_up_below_a_join() {
    for aggregate in [
        "sum(s.weight)",
        "avg(s.price)",
        "sum(DISTINCT s.price)",
        "sum(s.price + p.cost)",
    ] {
        let nodes = nodes(&format!(
            "SELECT p.category, {aggregate} AS a FROM sales s JOIN products p USING (product_id)
             GROUP BY 1"
        ));
        assert_eq!(nodes.matches(" reduce ").count(), 1, "{nodes}");
    }
    // Without a key the other side may have many rows for one key.
    let nodes = nodes(
        "SELECT v.page, sum(s.price) AS a FROM sales s
                       JOIN visits v ON s.sale_id = v.user_id GROUP BY 1",
    );
    assert_eq!(nodes.matches(" reduce ").count(), 1, "{nodes}");
}

#[test]
fn what_state_grows_with_and_what_bounds_it_is_said() {
    let text = explained(
        "SELECT category, sum(quantity) AS q, count(DISTINCT product_id) AS d,
                          median(price) AS m FROM sales GROUP BY category",
    );
    for expected in [
        "state: grows with the different category and the different product_id in each group and \
         the rows in each group; nothing bounds it",
        "cost: a change computes median anew over all rows of its group",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let text = explained("SELECT count(*) AS n, max(at) AS newest FROM clicks");
    for expected in [
        "state: grows with the different event_id of clicks; bounded by those up to 7 days before \
         the newest event",
        "bounded by one row",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let cost = "cost: a changed row costs as much as the other side has rows";
    let text = explained("SELECT s.price FROM sales s JOIN visits v ON s.sale_id < v.user_id");
    assert!(text.contains(cost), "{text}");
    let text = explained("SELECT s.price FROM sales s JOIN visits v ON s.sale_id = v.user_id");
    assert!(!text.contains(cost), "{text}");
    let text = explained("SELECT p.category, count(*) AS n FROM products p GROUP BY p.category");
    assert!(
        text.contains("the different category; bounded by the rows of products"),
        "{text}"
    );
}

#[test]
fn the_systems_views_are_always_there_and_can_be_read() {
    let plan = planned(
        "CREATE MATERIALIZED VIEW late AS SELECT \"table\", newest_event_time FROM tillrace.inputs
           WHERE rows > 10;
         CREATE MATERIALIZED VIEW bad AS SELECT reason, count(*) AS n FROM tillrace.rejects
           GROUP BY reason;",
    );
    let names: Vec<_> = plan
        .outputs
        .iter()
        .map(|output| output.view.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["late", "bad", "tillrace.rejects", "tillrace.inputs"]
    );
    let columns = plan.outputs[3]
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str());
    let expected = [
        "input",
        "table",
        "rows",
        "bytes",
        "rejects",
        "newest_event_time",
    ];
    assert_eq!(columns.collect::<Vec<_>>(), expected);
    assert_eq!(planned("").outputs.len(), 2);
}

#[test]
fn every_node_reads_nodes_before_it() {
    let plan = planned(
        "CREATE MATERIALIZED VIEW a AS SELECT s.sale_id, v.page FROM sales s FULL JOIN visits v
           ON s.sale_id = v.user_id;
         CREATE MATERIALIZED VIEW b AS SELECT * FROM tillrace.inputs ORDER BY rows LIMIT 3;",
    );
    for (position, node) in plan.nodes.iter().enumerate() {
        assert!(node.op.inputs().iter().all(|read| read.0 < position));
        assert!(!node.views.is_empty());
    }
}

#[test]
fn graphs_name_every_node_and_view() {
    let plan = planned("CREATE MATERIALIZED VIEW v AS SELECT DISTINCT category FROM sales;");
    let chosen = ["v".to_owned()];
    assert_eq!(
        explain::dot(&plan, &chosen),
        "digraph plan {\n  rankdir = BT;\n  node [shape = box];\n  \
         n0 [label = \"n0 input sales (category)\"];\n  \
         n1 [label = \"n1 distinct n0: category\"];\n  n0 -> n1;\n  \
         v0 [label = \"v\", shape = ellipse];\n  n1 -> v0;\n}\n"
    );
    assert_eq!(
        explain::mermaid(&plan, &chosen),
        "flowchart BT\n  n0[\"n0 input sales (category)\"]\n  n1[\"n1 distinct n0: category\"]\n  \
         n0 --> n1\n  v0([\"v\"])\n  n1 --> v0\n"
    );
}

#[test]
fn the_scripts_that_ship_can_be_planned() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dataflows");
    if !folder.exists() {
        eprintln!("skipped: there is no folder {}", folder.display());
        return;
    }
    let script = tillrace::script::load(&[folder]).unwrap();
    let plan = plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let joins = plan
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Join { .. }))
        .count();
    println!(
        "{} nodes, {joins} joins\n{}",
        plan.nodes.len(),
        explain::text(&plan, &[])
    );
}
