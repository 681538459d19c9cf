//! Lowered views against DataFusion's batch answers, over random small tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tillrace::plan::{batch_context, define_views};
use tillrace::script::{Script, Table};

use super::evaluate::{Rows, consolidate, evaluate, rows_of};
use super::planned;

/// Compares the answer of one query with the batch answer, for several random contents.
fn check(query: &str) {
    check_views(&format!("CREATE MATERIALIZED VIEW v AS {query};"));
}

fn check_views(views: &str) {
    let plan = planned(views);
    for seed in 0..30 {
        let tables = contents(&plan.script, seed);
        let nodes = evaluate(&plan, &tables);
        for output in &plan.outputs {
            let name = &output.view.name;
            if name.starts_with("tillrace.") {
                continue;
            }
            let expected = batch_answer(&plan.script, &tables, name);
            let found = nodes[output.node.0].clone();
            assert_eq!(
                shown(found),
                shown(expected),
                "seed {seed}, view {name} of {views}"
            );
        }
    }
}

fn batch_answer(script: &Script, tables: &BTreeMap<String, RecordBatch>, view: &str) -> Rows {
    let context = batch_context().unwrap();
    for (name, rows) in tables {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
        context
            .register_table(name.as_str(), Arc::new(table))
            .unwrap();
    }
    define_views(&context, script).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer =
        runtime.block_on(async { context.table(view).await.unwrap().collect().await.unwrap() });
    answer.iter().flat_map(rows_of).collect()
}

/// Rows as sorted text, which is what a failed test shows.
fn shown(rows: Rows) -> Vec<String> {
    let mut lines: Vec<String> = consolidate(rows)
        .into_iter()
        .map(|(row, diff)| {
            let values: Vec<_> = row.iter().map(|value| format!("{value}")).collect();
            format!("{} x{diff}", values.join(" | "))
        })
        .collect();
    lines.sort();
    lines
}

fn contents(script: &Script, seed: u64) -> BTreeMap<String, RecordBatch> {
    let mut random = StdRng::seed_from_u64(seed);
    let fill = |table: &Table| (table.name.clone(), rows(table, &mut random));
    script.tables.iter().map(fill).collect()
}

/// Up to twelve rows, sometimes none, of few values and many nulls; keys are unique.
fn rows(table: &Table, random: &mut StdRng) -> RecordBatch {
    let schema = table.schema();
    let count = if random.random_bool(0.15) {
        0
    } else {
        random.random_range(1..12)
    };
    let columns = schema.fields().iter().enumerate().map(|(position, field)| {
        let is_key = table.primary_key.contains(&position);
        let values: Vec<ScalarValue> = (0..count)
            .map(|row| match is_key {
                true => ScalarValue::from(
                    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"][row],
                ),
                false => value(field, random),
            })
            .collect();
        match values.is_empty() {
            true => arrow::array::new_empty_array(field.data_type()),
            false => ScalarValue::iter_to_array(values).unwrap(),
        }
    });
    let columns: Vec<ArrayRef> = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn value(field: &Field, random: &mut StdRng) -> ScalarValue {
    if field.is_nullable() && random.random_bool(0.2) {
        return ScalarValue::try_from(field.data_type()).unwrap();
    }
    let few = random.random_range(0..5_i64);
    match field.data_type() {
        DataType::Utf8 => ScalarValue::from(["a", "b", "c", "d", "e"][few as usize]),
        DataType::Int64 => ScalarValue::Int64(Some(few - 1)),
        DataType::Int32 => ScalarValue::Int32(Some(few as i32)),
        DataType::Float64 => ScalarValue::Float64(Some(few as f64 / 4.0)),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(few.into()), *p, *s),
        DataType::Timestamp(..) => {
            ScalarValue::TimestampNanosecond(Some(few * 1_800_000_000_000), None)
        }
        DataType::List(element) => {
            let length = random.random_range(0..3);
            let values: Vec<_> = (0..length).map(|_| value(element, random)).collect();
            ScalarValue::List(ScalarValue::new_list(&values, element.data_type(), true))
        }
        other => panic!("no values of type {other}"),
    }
}

#[test]
fn maps_constants_and_unions() {
    for query in [
        "SELECT * FROM sales",
        "SELECT product_id FROM sales INTERSECT SELECT page FROM visits",
        "SELECT product_id FROM sales EXCEPT SELECT page FROM visits",
        "SELECT product_id FROM sales UNION SELECT page FROM visits",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT 1 AS one",
        "SELECT category FROM sales INTERSECT ALL SELECT page FROM visits",
        "SELECT category FROM sales EXCEPT ALL SELECT page FROM visits",
        "SELECT category FROM sales INTERSECT SELECT page FROM visits",
        "SELECT category FROM sales EXCEPT SELECT page FROM visits",
        "SELECT category, quantity FROM sales UNION ALL SELECT page, seconds FROM visits",
        "SELECT category FROM sales WHERE category IN ('a', 'b') OR category IS NULL",
        "SELECT t.* FROM (VALUES (1, 'a'), (2, NULL)) AS t(x, y) WHERE x > 1",
    ] {
        check(query);
    }
}

#[test]
fn joins() {
    for query in [
        "SELECT p.category, sum(s.quantity) AS q, count(*) FROM sales s JOIN products p ON \
         s.product_id = p.product_id GROUP BY p.category",
        "SELECT s.sale_id, p.name FROM sales s LEFT JOIN products p ON s.product_id = \
         p.product_id",
        "SELECT s.sale_id, v.user_id FROM sales s LEFT JOIN visits v ON s.sale_id = v.user_id \
         AND v.seconds > s.quantity",
        "SELECT s.sale_id, v.user_id FROM sales s FULL JOIN visits v ON s.sale_id = v.user_id",
        "SELECT count(*) FROM sales, visits",
        "WITH a AS (SELECT category, count(*) AS n FROM sales GROUP BY category) SELECT \
         x.category, x.n, y.n AS m FROM a x JOIN a y ON x.n < y.n",
        "SELECT s.sale_id, v.user_id FROM sales s RIGHT JOIN visits v ON s.sale_id = v.user_id \
         AND v.seconds > s.quantity",
        "SELECT s.sale_id, v.user_id, v.page FROM sales s FULL JOIN visits v ON s.sale_id = \
         v.user_id AND v.seconds > s.quantity",
        "SELECT s.sale_id, p.name FROM sales s LEFT JOIN products p ON s.product_id = \
         p.product_id AND p.cost > s.price",
        "SELECT s.sale_id, p.name FROM sales s RIGHT JOIN products p ON s.product_id = \
         p.product_id AND p.cost > s.price",
        "SELECT p.category, count(s.sale_id) AS n, sum(s.price) AS total, avg(s.quantity) AS \
         mean FROM products p LEFT JOIN sales s ON s.product_id = p.product_id GROUP BY \
         p.category",
        "SELECT sale_id, page FROM sales, visits WHERE sales.sale_id = visits.user_id AND \
         sales.quantity + visits.seconds > 2",
        "SELECT a.sale_id, b.sale_id AS other FROM sales a JOIN sales b ON a.category = \
         b.category AND a.sale_id < b.sale_id",
        "SELECT x, s.sale_id FROM (VALUES (1, 'a'), (2, NULL)) AS t(x, y) LEFT JOIN sales s ON \
         s.category = t.y",
        "SELECT s.category, sum(s.quantity * p.cost) AS c FROM sales s JOIN products p USING \
         (product_id) WHERE p.category <> 'a' GROUP BY s.category",
    ] {
        check(query);
    }
}

#[test]
fn subqueries() {
    for query in [
        "SELECT sale_id FROM sales WHERE product_id NOT IN (SELECT page FROM visits)",
        "SELECT sale_id FROM sales WHERE product_id IN (SELECT page FROM visits) OR quantity = \
         3",
        "SELECT sale_id FROM sales s WHERE EXISTS (SELECT 1 FROM visits v WHERE v.user_id = \
         s.sale_id AND v.seconds < s.quantity)",
        "SELECT category, price FROM sales s WHERE price > (SELECT avg(price) FROM sales t \
         WHERE t.category = s.category)",
        "SELECT category, price, (SELECT count(*) FROM visits) AS n FROM sales",
        "SELECT s.sale_id FROM sales s WHERE category NOT IN (SELECT page FROM visits)",
        "SELECT s.sale_id FROM sales s WHERE category NOT IN (SELECT page FROM visits WHERE \
         page IS NOT NULL)",
        "SELECT s.sale_id FROM sales s WHERE category NOT IN (SELECT category FROM products)",
        "SELECT s.sale_id FROM sales s WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.page = \
         s.category)",
        "SELECT s.sale_id FROM sales s WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.page = \
         s.category AND v.seconds <> s.quantity)",
        "SELECT s.sale_id FROM sales s WHERE NOT EXISTS (SELECT 1 FROM visits v WHERE v.seconds \
         > 3)",
        "SELECT s.sale_id FROM sales s WHERE EXISTS (SELECT 1 FROM visits v WHERE v.seconds > \
         3)",
        "SELECT s.sale_id FROM sales s WHERE EXISTS (SELECT 1 FROM visits v WHERE v.seconds > \
         s.quantity)",
        "SELECT category, quantity FROM sales WHERE quantity = (SELECT max(quantity) FROM \
         sales)",
        "SELECT category, (SELECT max(seconds) FROM visits WHERE visits.page = sales.category) \
         AS m, (SELECT count(*) FROM visits WHERE visits.page = sales.category) AS n FROM sales",
        "SELECT category FROM sales GROUP BY category HAVING sum(quantity) > (SELECT \
         avg(quantity) FROM sales)",
        "SELECT sale_id FROM sales WHERE category NOT IN (SELECT page FROM visits) OR quantity \
         = 3",
        "SELECT s.sale_id FROM sales s WHERE s.quantity > ALL (SELECT seconds FROM visits)",
        "SELECT s.sale_id FROM sales s WHERE s.quantity = ANY (SELECT seconds FROM visits)",
    ] {
        check(query);
    }
}

#[test]
fn groups() {
    for query in [
        "SELECT category, sum(price * quantity) AS revenue FROM sales WHERE quantity > 0 GROUP \
         BY category ORDER BY revenue DESC",
        "SELECT count(*) FROM sales",
        "SELECT DISTINCT 1 AS x FROM sales",
        "SELECT date_trunc('hour', at) AS h, avg(weight), min(at), max(price) FROM sales GROUP \
         BY 1 HAVING count(*) > 1",
        "SELECT count(*) AS n, sum(quantity) AS q, min(category), max(price) FROM sales WHERE \
         quantity > 100",
        "SELECT category, count(*) FILTER (WHERE quantity > 1) AS many, count(DISTINCT \
         product_id) AS kinds, sum(DISTINCT quantity) AS s FROM sales GROUP BY category",
        "SELECT category, CASE WHEN price > 0.02 THEN 'dear' ELSE 'cheap' END AS kind, count(*) \
         AS n FROM sales GROUP BY 1, 2",
        "SELECT category, array_agg(quantity ORDER BY quantity, sale_id) AS list FROM sales \
         GROUP BY category",
        "SELECT category, first_value(quantity ORDER BY quantity) AS f, last_value(quantity \
         ORDER BY quantity) AS l FROM sales GROUP BY category",
        "SELECT DISTINCT category, price FROM sales",
        "SELECT count(*) AS n FROM (SELECT count(*) FROM sales)",
        "SELECT 1 AS x FROM (SELECT count(*) FROM sales)",
        "SELECT count(*) AS n FROM (SELECT DISTINCT category FROM sales)",
        "SELECT count(*) AS n FROM (SELECT 1 FROM sales UNION ALL SELECT 2 FROM visits)",
        "SELECT date_bin(INTERVAL '1 hour', at) AS h, count(*) AS n, min(at) AS first FROM \
         sales GROUP BY h",
        "SELECT string_agg(product_id, ',' ORDER BY product_id) AS s FROM sales WHERE quantity \
         > 2",
        "SELECT coalesce(s.category, 'none') AS c, max(s.at) AS m FROM sales s GROUP BY \
         coalesce(s.category, 'none')",
        "SELECT bool_and(quantity > 0) AS b, bool_or(quantity > 2) AS o FROM sales",
    ] {
        check(query);
    }
}

#[test]
fn top_rows() {
    for query in [
        "SELECT category, product_id, price, rn FROM (SELECT sale_id, category, product_id, \
         price, quantity, row_number() OVER (PARTITION BY category ORDER BY price, sale_id, \
         product_id, quantity) AS rn FROM (SELECT DISTINCT sale_id, category, product_id, \
         price, quantity FROM sales)) WHERE rn BETWEEN 2 AND 3",
        "SELECT category, price FROM (SELECT sale_id, category, product_id, price, quantity, \
         row_number() OVER (PARTITION BY category ORDER BY price, sale_id, product_id, \
         quantity) AS rn FROM (SELECT DISTINCT sale_id, category, product_id, price, quantity \
         FROM sales)) WHERE rn = 1",
        "SELECT category, price FROM (SELECT category, price, row_number() OVER (ORDER BY \
         price, category) AS rn FROM (SELECT DISTINCT category, price FROM sales)) WHERE rn < 4 \
         AND price > 1",
        "SELECT category, quantity FROM (SELECT category, quantity FROM sales ORDER BY \
         quantity, category LIMIT 3) ORDER BY category",
        "SELECT category, sum(quantity) FROM (SELECT category, quantity FROM sales ORDER BY \
         quantity DESC NULLS LAST, category LIMIT 4 OFFSET 1) GROUP BY category",
        "SELECT quantity + 1 AS q FROM sales ORDER BY quantity LIMIT 3",
        "SELECT DISTINCT ON (category) category, price FROM sales ORDER BY category, price DESC \
         NULLS LAST",
        "SELECT DISTINCT ON (category) category, price + 1 AS p, quantity FROM sales ORDER BY \
         category DESC, quantity, price, sale_id, product_id, weight, at",
    ] {
        check(query);
    }
}

#[test]
fn lists() {
    for query in [
        "SELECT sale_id, unnest(tags) AS tag FROM sales",
        "SELECT sale_id, unnest(tags) AS tag, quantity FROM sales WHERE quantity > 1",
        "SELECT tag, count(*) AS n FROM (SELECT unnest(tags) AS tag FROM sales) GROUP BY tag",
    ] {
        check(query);
    }
}

#[test]
fn groups_below_joins() {
    for query in [
        "SELECT p.category, sum(s.quantity) AS q, count(*) AS n, count(s.price) AS m, \
         sum(s.price) AS t, min(s.at) AS f, max(s.price) AS x FROM sales s JOIN products p ON \
         s.product_id = p.product_id GROUP BY p.category",
        "SELECT p.category, s.category AS c, date_trunc('hour', s.at) AS h, sum(s.price * \
         s.quantity) AS q FROM sales s JOIN products p USING (product_id) WHERE s.quantity > 0 \
         AND p.cost > 0.01 GROUP BY 1, 2, 3",
        "SELECT coalesce(p.category, 'none') AS c, sum(s.quantity) AS q, count(*) AS n FROM \
         sales s LEFT JOIN products p ON s.product_id = p.product_id GROUP BY 1",
        "SELECT coalesce(p.category, s.category) AS c, sum(s.quantity) FILTER (WHERE s.price > \
         0.01) AS q, count(*) AS n FROM sales s LEFT JOIN products p ON s.product_id = \
         p.product_id AND p.cost > s.price GROUP BY 1",
        "SELECT sum(s.quantity) AS q, count(*) AS n, count(*) AS n2 FROM sales s JOIN products \
         p ON s.product_id = p.product_id WHERE p.cost > s.price",
        "SELECT DISTINCT p.category, s.quantity FROM sales s JOIN products p ON s.product_id = \
         p.product_id",
        "SELECT p.category, avg(s.quantity) AS a, sum(s.weight) AS w FROM sales s JOIN products \
         p ON s.product_id = p.product_id GROUP BY 1",
        "SELECT p.category, s.product_id, count(*) AS n FROM products p LEFT JOIN sales s ON \
         s.product_id = p.product_id GROUP BY 1, 2",
        "SELECT p.name, q.name AS other, count(*) AS n FROM sales s JOIN products p ON \
         s.product_id = p.product_id JOIN products q ON s.category = q.product_id GROUP BY 1, 2",
        "SELECT 'x' AS k, p.category, sum(s.seconds) AS n FROM visits s JOIN products p ON \
         s.page = p.product_id GROUP BY 1, 2 HAVING count(*) > 1",
        "SELECT p.category, sum(DISTINCT s.quantity) AS q FROM sales s JOIN products p ON \
         s.product_id = p.product_id GROUP BY p.category",
        "SELECT p.category, sum(v.seconds) AS n FROM visits v JOIN (SELECT category, min(cost) \
         AS c FROM products GROUP BY category) p ON v.page = p.category GROUP BY 1",
        "SELECT p.category, CAST(s.quantity AS INT) AS qi, s.quantity + 0 AS q, count(*) AS n \
         FROM products p JOIN sales s ON s.product_id = p.product_id GROUP BY p.category, \
         CAST(s.quantity AS INT), s.quantity + 0",
    ] {
        check(query);
    }
}

#[test]
fn views_that_share() {
    check_views(
        "CREATE VIEW lines AS SELECT s.sale_id, s.category, s.quantity, s.price, v.page, v.seconds
           FROM sales s LEFT JOIN visits v ON s.sale_id = v.user_id AND v.seconds <> s.quantity;
         CREATE VIEW dear AS SELECT category, price AS cost, page FROM lines WHERE price > 0.01;
         CREATE MATERIALIZED VIEW a AS SELECT category, count(page) AS n FROM lines GROUP BY 1;
         CREATE MATERIALIZED VIEW b (p, most) AS SELECT page, max(cost) FROM dear GROUP BY 1;
         CREATE MATERIALIZED VIEW c AS SELECT a.category, dear.page FROM dear JOIN a USING (category);
         CREATE MATERIALIZED VIEW d AS WITH x AS (SELECT page, seconds FROM lines WHERE seconds > 0),
           y (k, n) AS (SELECT page, count(*) FROM x GROUP BY page)
           SELECT x.page, x.seconds, y.n, z.n AS m FROM x JOIN y ON x.page = y.k
           LEFT JOIN y AS z ON z.n = x.seconds;
         CREATE MATERIALIZED VIEW e AS SELECT count(*) AS n FROM lines;",
    );
}

#[test]
fn windows() {
    for query in [
        "SELECT sale_id, price, category, rank() OVER w AS r, sum(price) OVER w AS s, \
         lag(price) OVER w AS l, max(price) OVER () AS m FROM (SELECT DISTINCT sale_id, price, \
         category FROM sales) WINDOW w AS (PARTITION BY category ORDER BY price, sale_id)",
        "SELECT category, price FROM (SELECT category, price, rank() OVER (PARTITION BY \
         category ORDER BY price DESC) AS r, dense_rank() OVER (PARTITION BY category ORDER BY \
         price DESC) AS d FROM sales) WHERE r <= 3 AND d < 3",
    ] {
        check(query);
    }
}
