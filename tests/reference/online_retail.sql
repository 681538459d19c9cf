-- Questions to the whole of UCI Online Retail whose answers were computed elsewhere; see README.md.
-- Reads the table and the lines of dataflows/adapters/online_retail.sql.

CREATE MATERIALIZED VIEW r_totals AS
SELECT
    count(*) AS lines,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    count(DISTINCT invoice_no) FILTER (WHERE is_cancellation) AS cancelled_orders,
    coalesce(sum(quantity) FILTER (WHERE NOT is_cancellation), 0) AS units,
    coalesce(-sum(quantity) FILTER (WHERE is_cancellation), 0) AS cancelled_units,
    coalesce(sum(amount) FILTER (WHERE NOT is_cancellation), 0) AS gross_revenue,
    coalesce(-sum(amount) FILTER (WHERE is_cancellation), 0) AS cancelled_revenue,
    sum(amount) AS net_revenue,
    count(DISTINCT customer_id) AS customers,
    count(DISTINCT invoice_no) AS invoices,
    count(DISTINCT stock_code) AS stock_codes,
    count(DISTINCT country) AS countries,
    count(*) FILTER (WHERE customer_id IS NULL) AS lines_without_customer,
    count(*) FILTER (WHERE description IS NULL) AS lines_without_description,
    count(*) FILTER (WHERE quantity < 0) AS negative_quantity_lines,
    count(*) FILTER (WHERE quantity < 0 AND NOT is_cancellation) AS negative_quantity_not_cancel,
    count(*) FILTER (WHERE unit_price = 0) AS zero_price_lines,
    count(*) FILTER (WHERE unit_price < 0) AS negative_price_lines,
    min(invoice_date) AS first_ts,
    max(invoice_date) AS last_ts
FROM online_retail_lines;

CREATE MATERIALIZED VIEW r_by_country AS
SELECT
    country,
    count(*) AS lines,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    count(DISTINCT invoice_no) FILTER (WHERE is_cancellation) AS cancelled_orders,
    coalesce(sum(quantity) FILTER (WHERE NOT is_cancellation), 0) AS units,
    coalesce(-sum(quantity) FILTER (WHERE is_cancellation), 0) AS cancelled_units,
    coalesce(sum(amount) FILTER (WHERE NOT is_cancellation), 0) AS gross_revenue,
    coalesce(-sum(amount) FILTER (WHERE is_cancellation), 0) AS cancelled_revenue,
    sum(amount) AS net_revenue,
    count(DISTINCT customer_id) AS customers
FROM online_retail_lines
GROUP BY country;

CREATE MATERIALIZED VIEW r_by_day AS
SELECT
    CAST(invoice_date AS DATE) AS day,
    count(*) AS lines,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    count(DISTINCT invoice_no) FILTER (WHERE is_cancellation) AS cancelled_orders,
    coalesce(sum(quantity) FILTER (WHERE NOT is_cancellation), 0) AS units,
    coalesce(-sum(quantity) FILTER (WHERE is_cancellation), 0) AS cancelled_units,
    coalesce(sum(amount) FILTER (WHERE NOT is_cancellation), 0) AS gross_revenue,
    coalesce(-sum(amount) FILTER (WHERE is_cancellation), 0) AS cancelled_revenue,
    sum(amount) AS net_revenue,
    count(DISTINCT customer_id) AS customers
FROM online_retail_lines
GROUP BY CAST(invoice_date AS DATE);

CREATE MATERIALIZED VIEW r_by_month AS
SELECT
    substr(CAST(CAST(invoice_date AS DATE) AS TEXT), 1, 7) AS month,
    count(*) AS lines,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    count(DISTINCT invoice_no) FILTER (WHERE is_cancellation) AS cancelled_orders,
    coalesce(sum(quantity) FILTER (WHERE NOT is_cancellation), 0) AS units,
    coalesce(-sum(quantity) FILTER (WHERE is_cancellation), 0) AS cancelled_units,
    coalesce(sum(amount) FILTER (WHERE NOT is_cancellation), 0) AS gross_revenue,
    coalesce(-sum(amount) FILTER (WHERE is_cancellation), 0) AS cancelled_revenue,
    sum(amount) AS net_revenue,
    count(DISTINCT customer_id) AS customers
FROM online_retail_lines
GROUP BY substr(CAST(CAST(invoice_date AS DATE) AS TEXT), 1, 7);

CREATE MATERIALIZED VIEW r_by_hour_window AS
SELECT date_trunc('hour', invoice_date) AS hour, count(*) AS lines, sum(quantity) AS units, sum(amount) AS net_revenue
FROM online_retail_lines
GROUP BY date_trunc('hour', invoice_date);

CREATE MATERIALIZED VIEW r_hour_of_day AS
SELECT
    extract(HOUR FROM invoice_date) AS hour,
    count(*) AS lines,
    count(DISTINCT invoice_no) AS invoices,
    sum(amount) AS net_revenue
FROM online_retail_lines
GROUP BY extract(HOUR FROM invoice_date);

CREATE MATERIALIZED VIEW r_cancellations_matched AS
SELECT
    sum(cancellation_lines) AS cancel_lines,
    sum(cancellation_lines) FILTER (WHERE match = 'earlier sale of as many units') AS with_earlier_sale_of_same_size,
    sum(cancellation_lines) FILTER (WHERE match = 'no such sale') AS without
FROM online_retail_cancellations_matched;

CREATE VIEW r_cohorts AS
SELECT customer_id, date_trunc('month', min(invoice_date)) AS cohort
FROM online_retail_lines
WHERE customer_id IS NOT NULL AND NOT is_cancellation
GROUP BY customer_id;

CREATE MATERIALIZED VIEW r_cohort_retention AS
SELECT
    substr(CAST(CAST(f.cohort AS DATE) AS TEXT), 1, 7) AS cohort,
    12 * (extract(YEAR FROM o.invoice_date) - extract(YEAR FROM f.cohort))
        + extract(MONTH FROM o.invoice_date) - extract(MONTH FROM f.cohort) AS month_offset,
    count(DISTINCT o.customer_id) AS customers,
    sum(o.amount) AS revenue
FROM online_retail_lines o
JOIN r_cohorts f ON f.customer_id = o.customer_id
WHERE NOT o.is_cancellation
GROUP BY 1, 2;

CREATE MATERIALIZED VIEW r_customers_per_month AS
SELECT
    substr(CAST(CAST(o.invoice_date AS DATE) AS TEXT), 1, 7) AS month,
    count(DISTINCT o.customer_id) AS customers,
    count(DISTINCT o.customer_id) FILTER (WHERE f.cohort = date_trunc('month', o.invoice_date)) AS new_customers
FROM online_retail_lines o
JOIN r_cohorts f ON f.customer_id = o.customer_id
WHERE NOT o.is_cancellation
GROUP BY 1;

CREATE MATERIALIZED VIEW r_distinct_rows AS
SELECT
    count(*) AS distinct_rows,
    sum(copies) - count(*) AS extra_copies,
    max(copies) AS max_copies,
    sum(amount) AS net_revenue_of_distinct_rows
FROM (
    SELECT min(amount) AS amount, count(*) AS copies
    FROM online_retail_lines
    GROUP BY invoice_no, stock_code, description, quantity, invoice_date, unit_price, customer_id, country
);

CREATE MATERIALIZED VIEW r_lines_per_invoice_histogram AS
SELECT lines, count(*) AS invoices
FROM (SELECT count(*) AS lines FROM online_retail_lines GROUP BY invoice_no)
GROUP BY lines;

CREATE VIEW r_net_by_day AS
SELECT CAST(invoice_date AS DATE) AS day, sum(amount) AS net_revenue
FROM online_retail_lines
GROUP BY CAST(invoice_date AS DATE);

CREATE MATERIALIZED VIEW r_running_daily_net AS
SELECT d.day, d.net_revenue, sum(e.net_revenue) AS running_total
FROM r_net_by_day d
JOIN r_net_by_day e ON e.day <= d.day
GROUP BY d.day, d.net_revenue;

CREATE MATERIALIZED VIEW r_stock_net_units AS
SELECT
    stock_code,
    sum(quantity) AS net_units,
    sum(amount) AS net_revenue,
    min(unit_price) AS min_price,
    max(unit_price) AS max_price,
    count(DISTINCT description) AS descriptions
FROM online_retail_lines
GROUP BY stock_code;

CREATE MATERIALIZED VIEW r_top20_stockcode_per_month AS
SELECT month, rank, stock_code, net_revenue
FROM (
    SELECT
        month, stock_code, net_revenue,
        row_number() OVER (PARTITION BY month ORDER BY net_revenue DESC, stock_code) AS rank
    FROM (
        SELECT
            substr(CAST(CAST(invoice_date AS DATE) AS TEXT), 1, 7) AS month,
            stock_code,
            sum(amount) AS net_revenue
        FROM online_retail_lines
        GROUP BY 1, 2
    )
)
WHERE rank <= 20;

CREATE MATERIALIZED VIEW r_top50_customers AS
SELECT
    customer_id,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    sum(amount) AS net_revenue,
    min(invoice_date) AS first_ts,
    max(invoice_date) AS last_ts
FROM online_retail_lines
WHERE customer_id IS NOT NULL
GROUP BY customer_id
ORDER BY net_revenue DESC, customer_id
LIMIT 50;
