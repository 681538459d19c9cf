-- Answers whose state does not grow with events: groups by product, action, category and hour.
--
-- Read with tables.sql, and sent lines without ids, of which nothing is remembered.

CREATE MATERIALIZED VIEW actions_by_hour AS
SELECT date_trunc('hour', at) AS hour_utc, action, count(*) AS events
FROM behavior
GROUP BY date_trunc('hour', at), action;

CREATE MATERIALIZED VIEW actions_by_product AS
SELECT page_url, count(*) AS events, count(*) FILTER (WHERE action = 'add_to_cart') AS added
FROM behavior
GROUP BY page_url;

CREATE VIEW sold_by_product AS
SELECT item['product_id'] AS product_id, count(*) AS lines, sum(item['quantity']) AS units
FROM (SELECT unnest(items) AS item FROM orders)
GROUP BY item['product_id'];

CREATE MATERIALIZED VIEW sold_by_category AS
SELECT p.category, CAST(sum(s.lines) AS BIGINT) AS orders, CAST(sum(s.units) AS BIGINT) AS units
FROM sold_by_product s
JOIN products p ON p.product_id = s.product_id
GROUP BY p.category;
