-- (c) A join with products that are re-filed while it runs: the current category counts.
CREATE MATERIALIZED VIEW revenue_by_current_category AS
SELECT p.category, SUM(e.price * e.quantity) AS value, COUNT(*) AS events
FROM events e JOIN products p ON p.product_id = e.product_id
GROUP BY p.category;
