-- Orders by the value of what was ordered: one more view over the tables and views of dataflows/.

CREATE MATERIALIZED VIEW orders_by_size WITH (chart = 'bar', x = 'size', y = 'orders') AS
SELECT size, currency, count(*) AS orders, sum(value) AS gmv
FROM (
    SELECT
        currency,
        value,
        CASE WHEN value < 50 THEN '1 under 50' WHEN value < 250 THEN '2 under 250' ELSE '3 from 250' END AS size
    FROM (
        SELECT order_id, currency, sum(quantity * stated_price) AS value
        FROM order_items
        GROUP BY order_id, currency
    )
)
GROUP BY size, currency
ORDER BY size, currency;
COMMENT ON VIEW orders_by_size IS 'How many orders there are of which value.';
