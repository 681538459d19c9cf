-- UCI Online Retail: the invoices of a British online gift shop, as published.
--
--   InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country
--
-- An invoice whose number begins with C is a cancellation; its quantities are negative. It does not
-- say which invoice it cancels, so the match below is by customer, product and number of units.
-- Equal lines are real and all of them count. Amounts are pounds, times are local to the shop.
-- Beside cancellations there are write-offs of stock (negative, at no price, without a customer) and
-- three adjustments of bad debts (invoices that begin with A); they are no sales of goods but they
-- are in the published totals, so they are here too.
--
-- State: a row for each group of each view; for the match, every line of a known customer.

CREATE TABLE online_retail (
    invoice_no TEXT NOT NULL,
    stock_code TEXT NOT NULL,
    description TEXT,
    quantity BIGINT NOT NULL,
    invoice_date TIMESTAMP NOT NULL,
    unit_price DECIMAL(12, 3) NOT NULL,
    customer_id TEXT,
    country TEXT NOT NULL
) WITH (
    event_time = 'invoice_date',
    fields = 'invoice_no = InvoiceNo,
              stock_code = StockCode,
              description = Description,
              quantity = Quantity,
              invoice_date = InvoiceDate,
              unit_price = UnitPrice,
              customer_id = CustomerID,
              country = Country'
);
COMMENT ON TABLE online_retail IS 'Invoice lines of UCI Online Retail (Chen, D. 2015, doi 10.24432/C5BW33).';

CREATE VIEW online_retail_lines AS
SELECT
    invoice_no, stock_code, description, quantity, invoice_date, unit_price, country,
    split_part(customer_id, '.', 1) AS customer_id,
    CAST(quantity * unit_price AS DECIMAL(38, 3)) AS amount,
    invoice_no LIKE 'C%' AS is_cancellation
FROM online_retail;
COMMENT ON VIEW online_retail_lines IS 'Invoice lines with their amount; customers without the `.0` that the file writes after them.';

CREATE MATERIALIZED VIEW online_retail_by_country_and_day WITH (chart = 'line', x = 'day', y = 'net_revenue', title = 'Online Retail by country and day', unit = 'GBP') AS
SELECT
    country,
    CAST(invoice_date AS DATE) AS day,
    count(*) AS lines,
    count(DISTINCT invoice_no) FILTER (WHERE NOT is_cancellation) AS orders,
    count(DISTINCT invoice_no) FILTER (WHERE is_cancellation) AS cancelled_orders,
    coalesce(sum(quantity) FILTER (WHERE NOT is_cancellation), 0) AS units,
    coalesce(-sum(quantity) FILTER (WHERE is_cancellation), 0) AS cancelled_units,
    CAST(coalesce(sum(amount) FILTER (WHERE NOT is_cancellation), 0) AS DECIMAL(18, 3)) AS gross_revenue,
    CAST(coalesce(-sum(amount) FILTER (WHERE is_cancellation), 0) AS DECIMAL(18, 3)) AS cancelled_revenue,
    CAST(sum(amount) AS DECIMAL(18, 3)) AS net_revenue,
    count(DISTINCT customer_id) AS customers
FROM online_retail_lines
GROUP BY country, CAST(invoice_date AS DATE);
COMMENT ON VIEW online_retail_by_country_and_day IS 'Sales and cancellations of each country on each day.';

CREATE MATERIALIZED VIEW online_retail_cancellations_matched WITH (chart = 'table', title = 'Cancellations with a sale to match') AS
SELECT match, count(*) AS cancellation_lines
FROM (
    SELECT 'earlier sale of as many units' AS match
    FROM online_retail_lines c
    WHERE c.is_cancellation AND c.customer_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM online_retail_lines s
        WHERE NOT s.is_cancellation AND s.quantity > 0 AND s.customer_id = c.customer_id
            AND s.stock_code = c.stock_code AND s.quantity = -c.quantity AND s.invoice_date <= c.invoice_date)
    UNION ALL
    SELECT 'no such sale'
    FROM online_retail_lines c
    WHERE c.is_cancellation AND c.customer_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM online_retail_lines s
        WHERE NOT s.is_cancellation AND s.quantity > 0 AND s.customer_id = c.customer_id
            AND s.stock_code = c.stock_code AND s.quantity = -c.quantity AND s.invoice_date <= c.invoice_date)
)
GROUP BY match;
COMMENT ON VIEW online_retail_cancellations_matched IS 'Cancellation lines of known customers: with a sale of the same product and number of units to the same customer before them, and without.';

CREATE MATERIALIZED VIEW online_retail_top_products WITH (chart = 'bar', x = 'stock_code', y = 'net_revenue', title = 'Online Retail: top products', unit = 'GBP') AS
SELECT
    stock_code,
    CAST(sum(amount) AS DECIMAL(18, 3)) AS net_revenue,
    sum(quantity) AS net_units,
    count(*) AS lines
FROM online_retail_lines
GROUP BY stock_code
ORDER BY net_revenue DESC, stock_code
LIMIT 20;
COMMENT ON VIEW online_retail_top_products IS 'The twenty stock codes with the greatest net revenue.';
