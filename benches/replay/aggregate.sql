-- (a) One aggregate: revenue and count by category.
CREATE MATERIALIZED VIEW revenue_by_category AS
SELECT category, SUM(price * quantity) AS revenue, COUNT(*) AS sales
FROM events
WHERE event = 'purchase'
GROUP BY category;
