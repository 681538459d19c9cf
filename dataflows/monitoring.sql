-- Monitoring: what happens this minute beside the same minute a week ago, the figures that other
-- systems report, and how fresh the data is.
--
-- A minute is a minute of event time (UTC); a late event amends its own minute. Orders and sales
-- are counted at the time of the order before cancellations and refunds (GMV), refunds at the time
-- of the refund. Errors are metrics named `error` or `errors`, and order states that end in
-- `_failed`.
--
-- State: a row for each minute with traffic, measure and currency; a row for each metric and
-- category. It grows with time, not with traffic.

CREATE VIEW measures_by_minute AS
SELECT date_trunc('minute', at) AS minute, 'orders' AS measure, '' AS currency, CAST(count(*) AS DECIMAL(38, 4)) AS value
FROM placed_orders
GROUP BY date_trunc('minute', at)
UNION ALL
SELECT date_trunc('minute', at), 'sales', currency, sum(gmv)
FROM sale_entries
WHERE gmv <> 0
GROUP BY date_trunc('minute', at), currency
UNION ALL
SELECT date_trunc('minute', refunded_at), 'refunds', currency, CAST(sum(amount) AS DECIMAL(38, 4))
FROM standing_refunds
GROUP BY date_trunc('minute', refunded_at), currency
UNION ALL
SELECT minute, 'errors', '', CAST(sum(errors) AS DECIMAL(38, 4))
FROM (
    SELECT date_trunc('minute', at) AS minute, value AS errors FROM metrics WHERE lower(metric) IN ('error', 'errors')
    UNION ALL
    SELECT date_trunc('minute', at), 1 FROM all_orders WHERE lower(status) LIKE '%\_failed'
)
GROUP BY minute;
COMMENT ON VIEW measures_by_minute IS 'Orders, sales, refunds and errors of each minute in which there were any.';

CREATE MATERIALIZED VIEW minutes_against_last_week WITH (chart = 'line', x = 'minute', y = 'value', title = 'This minute and the same a week ago') AS
SELECT minute, measure, currency, CAST(value AS DECIMAL(18, 2)) AS value, CAST(week_ago AS DECIMAL(18, 2)) AS week_ago
FROM (
    SELECT m.minute, m.measure, m.currency, sum(m.now) AS value, sum(m.then) AS week_ago
    FROM (
        SELECT minute, measure, currency, value AS now, CAST(0 AS DECIMAL(38, 4)) AS then FROM measures_by_minute
        UNION ALL
        SELECT b.minute + INTERVAL '7 days', b.measure, b.currency, 0, b.value
        FROM measures_by_minute b
        CROSS JOIN clock c
        WHERE b.minute + INTERVAL '7 days' <= c.minute
    ) m
    GROUP BY m.minute, m.measure, m.currency
);
COMMENT ON VIEW minutes_against_last_week IS 'Orders, sales, refunds and errors by minute beside the same minute a week ago. A minute with nothing now and something then is listed as well: silence is news.';

CREATE MATERIALIZED VIEW metrics_by_category WITH (chart = 'bar', x = 'category', y = 'total', title = 'Reported metrics') AS
SELECT
    metric,
    coalesce(category, 'unstated') AS category,
    count(*) AS reports,
    CAST(sum(value) AS DECIMAL(18, 2)) AS total,
    max(at) AS last_at
FROM metrics
GROUP BY metric, coalesce(category, 'unstated');
COMMENT ON VIEW metrics_by_category IS 'Metric events summed by category.';

CREATE MATERIALIZED VIEW reported_sales_by_day WITH (chart = 'line', x = 'day', y = 'difference', title = 'Books and orders') AS
SELECT
    r.day,
    coalesce(r.currency, s.currency) AS currency,
    CAST(r.sales AS DECIMAL(18, 2)) AS reported,
    d.net_sales AS computed,
    CAST(r.sales AS DECIMAL(18, 2)) - coalesce(d.net_sales, 0) AS difference
FROM daily_sales r
CROSS JOIN shop s
LEFT JOIN sales_by_day d ON d.day = r.day AND d.currency = coalesce(r.currency, s.currency);
COMMENT ON VIEW reported_sales_by_day IS 'The sales that the books report for a day, beside net sales as computed from orders.';

CREATE MATERIALIZED VIEW payments_by_hour WITH (chart = 'line', x = 'hour_utc', y = 'amount', title = 'Payments by hour') AS
SELECT
    date_trunc('hour', at) AS hour_utc,
    location,
    currency,
    count(*) AS payments,
    CAST(sum(amount) AS DECIMAL(18, 2)) AS amount
FROM payments
GROUP BY date_trunc('hour', at), location, currency;
COMMENT ON VIEW payments_by_hour IS 'Payments by hour (UTC), location and currency.';

CREATE MATERIALIZED VIEW data_freshness WITH (chart = 'table', title = 'Data freshness') AS
SELECT
    i.input, i."table", i.rows, i.rejects, i.newest_event_time,
    CAST(extract(EPOCH FROM n.newest - i.newest_event_time) AS BIGINT) AS behind_seconds
FROM tillrace.inputs i
CROSS JOIN (SELECT max(newest_event_time) AS newest FROM tillrace.inputs) n;
COMMENT ON VIEW data_freshness IS 'How far each input has come: its newest event, and how many seconds that is behind the newest of all.';
