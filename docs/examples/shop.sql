-- A shop in two tables and one metric; docs/guide.md walks through it.

CREATE TABLE products (
    product_id TEXT PRIMARY KEY,
    category TEXT NOT NULL
);

CREATE TABLE orders (
    order_id TEXT NOT NULL,
    product_id TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    price DECIMAL(12, 2) NOT NULL,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'order_id',
    fields = 'order_id = order_id | id, quantity = quantity | qty, at = timestamp | at'
);

CREATE MATERIALIZED VIEW sales_by_category AS
SELECT
    p.category,
    count(*) AS orders,
    sum(o.quantity) AS units,
    sum(o.quantity * o.price) AS revenue
FROM orders o
JOIN products p ON p.product_id = o.product_id
GROUP BY p.category
ORDER BY revenue DESC;
