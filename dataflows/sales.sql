-- Sales: what was ordered, what of it was cancelled and given back, and what remains.
--
--   GMV         price x quantity of everything ordered, before discounts, cancellations, refunds.
--   net sales   GMV less discounts, cancellations and refunds.
--   AOV         net sales of orders that stand / their number. A cancelled order does not stand.
--   units       units ordered; units_net leaves out those cancelled or returned.
--
-- An order is the earliest line of `orders` for its order_id that has items; later lines change
-- its state, never its items. A line with status `cancelled` cancels the whole order, before or
-- after shipping, and takes away exactly what the order added, in the same hour and category. So do
-- refunds: they belong to the time of the order, not of the refund. A refund whose order has not
-- arrived waits in refunds_not_counted. Refunds of a cancelled order take nothing away a second
-- time. Prices are those of the order, not of the catalogue; a line without a price takes the
-- catalogue's, if the currency is the same. Amounts of two currencies are never added up.
--
-- Category is where the product is filed now: to re-file a product moves its history. The views
-- with `at_sale` in their name keep the category that it had when it was sold.
--
-- State: a few rows for each order line and refund (to take them back exactly), a row for each
-- group of each view. It grows with orders, not with visits. Nothing is dropped for its age.

---------------------------------------------------------------------------------------------------
-- From order events to signed entries
---------------------------------------------------------------------------------------------------

CREATE VIEW order_starts AS
SELECT order_id, user_id, items, discount, currency, channel, location, live_session_id, at
FROM (
    SELECT *, row_number() OVER (PARTITION BY order_id ORDER BY at, event_id, items) AS place
    FROM all_orders
    WHERE cardinality(items) > 0
)
WHERE place <= 1;
COMMENT ON VIEW order_starts IS 'The line that began each order: the earliest with items.';

CREATE VIEW cancelled_orders AS
SELECT DISTINCT order_id FROM all_orders WHERE lower(status) IN ('cancelled', 'canceled');
COMMENT ON VIEW cancelled_orders IS 'Orders that were cancelled at any time.';

CREATE VIEW placed_orders AS
SELECT
    o.order_id,
    coalesce(p.person_id, o.user_id) AS person_id,
    o.items,
    coalesce(o.discount, 0) AS discount,
    coalesce(o.currency, s.currency) AS currency,
    coalesce(o.channel, 'unstated') AS channel,
    coalesce(o.location, 'unstated') AS location,
    o.live_session_id,
    c.order_id IS NOT NULL AS cancelled,
    o.at
FROM order_starts o
CROSS JOIN shop s
LEFT JOIN cancelled_orders c ON c.order_id = o.order_id
LEFT JOIN people p ON p.visitor_id = o.user_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW placed_orders IS 'Every order once, with who placed it and whether it was cancelled.';

CREATE VIEW category_spells AS
SELECT
    h.product_id,
    h.category,
    CASE WHEN max(e.at) IS NOT NULL THEN h.at END AS from_at,
    min(l.at) AS until_at
FROM all_product_history h
LEFT JOIN all_product_history e ON e.product_id = h.product_id AND e.at < h.at
LEFT JOIN all_product_history l ON l.product_id = h.product_id AND l.at > h.at
GROUP BY h.product_id, h.category, h.at;
COMMENT ON VIEW category_spells IS 'From when until when a product was in a category. The first spell has no beginning and the last no end.';

CREATE VIEW order_items AS
SELECT
    order_id, person_id, currency, channel, location, live_session_id, cancelled, at,
    item['product_id'] AS product_id,
    coalesce(item['quantity'], 1) AS quantity,
    item['price'] AS stated_price,
    coalesce(item['discount'], 0) AS discount,
    item['category'] AS stated_category
FROM (
    SELECT order_id, person_id, currency, channel, location, live_session_id, cancelled, at, unnest(items) AS item
    FROM placed_orders
);
COMMENT ON VIEW order_items IS 'A row for each line of each order, as the order states it.';

CREATE VIEW order_lines AS
SELECT
    i.order_id, i.person_id, i.currency, i.channel, i.location, i.live_session_id, i.cancelled, i.at,
    i.product_id,
    i.quantity,
    coalesce(i.stated_price, CASE WHEN coalesce(p.currency, s.currency) = i.currency THEN p.price END) AS price,
    i.stated_price IS NULL AS price_from_catalogue,
    i.discount,
    coalesce(p.category, 'unknown') AS category_now,
    coalesce(i.stated_category, c.category, 'unknown') AS category_at_sale
FROM order_items i
CROSS JOIN shop s
LEFT JOIN all_products p ON p.product_id = i.product_id
LEFT JOIN category_spells c
    ON c.product_id = i.product_id
    AND i.at >= coalesce(c.from_at, i.at)
    AND (c.until_at IS NULL OR i.at < c.until_at);
COMMENT ON VIEW order_lines IS 'A row for each line of each order, with its price and its categories.';

CREATE VIEW sale_entries AS
SELECT
    order_id, person_id, at, currency, channel, location, live_session_id, cancelled, product_id, category_now, category_at_sale,
    quantity AS units,
    CASE WHEN cancelled THEN 0 ELSE quantity END AS units_net,
    CAST(coalesce(price * quantity, 0) AS DECIMAL(38, 4)) AS gmv,
    CAST(discount AS DECIMAL(38, 4)) AS discounts,
    CAST(CASE WHEN cancelled THEN coalesce(price * quantity, 0) - discount ELSE 0 END AS DECIMAL(38, 4)) AS cancellations,
    CAST(0 AS DECIMAL(38, 4)) AS refunds
FROM order_lines
UNION ALL
SELECT
    order_id, person_id, at, currency, channel, location, live_session_id, cancelled, NULL, 'whole order', 'whole order',
    0, 0, 0, discount, CASE WHEN cancelled THEN -discount ELSE 0 END, 0
FROM placed_orders
WHERE discount <> 0
UNION ALL
SELECT
    order_id, person_id, at, currency, channel, location, live_session_id, false, product_id, category_now, category_at_sale,
    0, -units_returned, 0, 0, 0, amount
FROM standing_refunds;
COMMENT ON VIEW sale_entries IS 'All that adds to sales or takes from them, as entries that can be summed by anything: order lines, discounts on whole orders, refunds.';

CREATE VIEW sold_categories AS
SELECT order_id, product_id, min(category_now) AS category_now, min(category_at_sale) AS category_at_sale
FROM order_lines
GROUP BY order_id, product_id;
COMMENT ON VIEW sold_categories IS 'The categories of a product within an order, for its refunds.';

CREATE VIEW standing_refunds AS
SELECT
    o.order_id, o.person_id, o.at, o.currency, o.channel, o.location, o.live_session_id,
    r.product_id,
    coalesce(l.category_now, 'whole order') AS category_now,
    coalesce(l.category_at_sale, 'whole order') AS category_at_sale,
    coalesce(r.quantity, 0) AS units_returned,
    r.amount,
    r.at AS refunded_at
FROM all_refunds r
JOIN placed_orders o ON o.order_id = r.order_id
LEFT JOIN sold_categories l ON l.order_id = r.order_id AND l.product_id = r.product_id
WHERE NOT o.cancelled AND coalesce(r.currency, o.currency) = o.currency;
COMMENT ON VIEW standing_refunds IS 'Refunds of orders that stand, at the time and in the place of the order.';

---------------------------------------------------------------------------------------------------
-- Answers
---------------------------------------------------------------------------------------------------

CREATE VIEW sales_by_quarter AS
SELECT
    date_bin(INTERVAL '15 minutes', at) AS quarter, currency, channel, location,
    count(DISTINCT order_id) AS orders,
    count(DISTINCT order_id) FILTER (WHERE NOT cancelled) AS orders_standing,
    sum(units) AS units,
    sum(units_net) AS units_net,
    sum(gmv) AS gmv,
    sum(discounts) AS discounts,
    sum(cancellations) AS cancellations,
    sum(refunds) AS refunds
FROM sale_entries
GROUP BY date_bin(INTERVAL '15 minutes', at), currency, channel, location;
COMMENT ON VIEW sales_by_quarter IS 'Sales in steps of a quarter of an hour, from which hours and days are added up. An order is in exactly one row.';

CREATE MATERIALIZED VIEW sales_totals WITH (chart = 'number', x = 'currency', y = 'net_sales', title = 'Sales so far') AS
SELECT
    currency,
    CAST(sum(orders) AS BIGINT) AS orders,
    CAST(sum(orders_standing) AS BIGINT) AS orders_standing,
    CAST(sum(units) AS BIGINT) AS units,
    CAST(sum(units_net) AS BIGINT) AS units_net,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(discounts) AS DECIMAL(18, 2)) AS discounts,
    CAST(sum(cancellations) AS DECIMAL(18, 2)) AS cancellations,
    CAST(sum(refunds) AS DECIMAL(18, 2)) AS refunds,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales,
    CAST(sum(gmv - discounts - cancellations - refunds) / nullif(sum(orders_standing), 0) AS DECIMAL(18, 2)) AS aov
FROM sales_by_quarter
GROUP BY currency;
COMMENT ON VIEW sales_totals IS 'Everything sold so far, by currency.';
COMMENT ON COLUMN sales_totals.aov IS 'Average order value: net sales of orders that stand / their number.';

CREATE MATERIALIZED VIEW sales_by_category WITH (chart = 'bar', x = 'category', y = 'net_sales', title = 'Sales by category') AS
SELECT
    category_now AS category,
    currency,
    count(DISTINCT order_id) AS orders,
    sum(units) AS units,
    sum(units_net) AS units_net,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(discounts) AS DECIMAL(18, 2)) AS discounts,
    CAST(sum(cancellations) AS DECIMAL(18, 2)) AS cancellations,
    CAST(sum(refunds) AS DECIMAL(18, 2)) AS refunds,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales
FROM sale_entries
GROUP BY category_now, currency;
COMMENT ON VIEW sales_by_category IS 'Sales by the category in which each product is filed now. Discounts and refunds that name no product are under `whole order`.';
COMMENT ON COLUMN sales_by_category.orders IS 'Orders with something of this category; an order may be in several rows.';

CREATE MATERIALIZED VIEW sales_by_category_at_sale WITH (chart = 'bar', x = 'category', y = 'net_sales', title = 'Sales by category at the time of sale') AS
SELECT
    category_at_sale AS category,
    currency,
    count(DISTINCT order_id) AS orders,
    sum(units) AS units,
    sum(units_net) AS units_net,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(discounts) AS DECIMAL(18, 2)) AS discounts,
    CAST(sum(cancellations) AS DECIMAL(18, 2)) AS cancellations,
    CAST(sum(refunds) AS DECIMAL(18, 2)) AS refunds,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales
FROM sale_entries
GROUP BY category_at_sale, currency;
COMMENT ON VIEW sales_by_category_at_sale IS 'Sales by the category in which each product was when it was sold: the order line''s own, else the one that product_history had then.';

CREATE MATERIALIZED VIEW sales_by_category_and_hour WITH (chart = 'stacked', x = 'hour_utc', y = 'net_sales', title = 'Sales by category and hour') AS
SELECT
    date_trunc('hour', at) AS hour_utc,
    category_now AS category,
    currency,
    count(DISTINCT order_id) AS orders,
    sum(units) AS units,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales
FROM sale_entries
GROUP BY date_trunc('hour', at), category_now, currency;
COMMENT ON VIEW sales_by_category_and_hour IS 'Live sales: by the hour in which orders were placed (UTC) and by category now.';

CREATE MATERIALIZED VIEW sales_by_hour WITH (chart = 'line', x = 'hour_utc', y = 'net_sales', title = 'Sales by hour') AS
SELECT
    date_trunc('hour', quarter) AS hour_utc,
    currency,
    CAST(sum(orders) AS BIGINT) AS orders,
    CAST(sum(units) AS BIGINT) AS units,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales,
    CAST(sum(gmv - discounts - cancellations - refunds) / nullif(sum(orders_standing), 0) AS DECIMAL(18, 2)) AS aov
FROM sales_by_quarter
GROUP BY date_trunc('hour', quarter), currency;
COMMENT ON VIEW sales_by_hour IS 'Sales by the hour in which orders were placed (UTC, so that no hour is counted twice when clocks change).';

CREATE MATERIALIZED VIEW sales_by_day WITH (chart = 'line', x = 'day', y = 'net_sales', title = 'Sales by day') AS
SELECT
    d.day,
    q.currency,
    CAST(sum(q.orders) AS BIGINT) AS orders,
    CAST(sum(q.orders_standing) AS BIGINT) AS orders_standing,
    CAST(sum(q.units) AS BIGINT) AS units,
    CAST(sum(q.gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(q.discounts) AS DECIMAL(18, 2)) AS discounts,
    CAST(sum(q.cancellations) AS DECIMAL(18, 2)) AS cancellations,
    CAST(sum(q.refunds) AS DECIMAL(18, 2)) AS refunds,
    CAST(sum(q.gmv - q.discounts - q.cancellations - q.refunds) AS DECIMAL(18, 2)) AS net_sales,
    CAST(sum(q.gmv - q.discounts - q.cancellations - q.refunds) / nullif(sum(q.orders_standing), 0) AS DECIMAL(18, 2)) AS aov
FROM sales_by_quarter q
JOIN shop_days d ON d.quarter = q.quarter
GROUP BY d.day, q.currency;
COMMENT ON VIEW sales_by_day IS 'Sales by the day on which orders were placed, in the shop''s time zone.';

CREATE MATERIALIZED VIEW sales_by_store_and_day WITH (chart = 'line', x = 'day', y = 'net_sales', title = 'Sales by store and day') AS
SELECT
    q.location AS store,
    d.day,
    q.currency,
    CAST(sum(q.orders) AS BIGINT) AS orders,
    CAST(sum(q.units) AS BIGINT) AS units,
    CAST(sum(q.gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(q.gmv - q.discounts - q.cancellations - q.refunds) AS DECIMAL(18, 2)) AS net_sales
FROM sales_by_quarter q
CROSS JOIN shop s
LEFT JOIN locations l ON l.location = q.location
JOIN local_days d ON d.quarter = q.quarter AND d.time_zone = coalesce(l.time_zone, s.time_zone)
GROUP BY q.location, d.day, q.currency;
COMMENT ON VIEW sales_by_store_and_day IS 'Sales by store and by the store''s own day; a store without a time zone lives by the shop''s.';

CREATE MATERIALIZED VIEW sales_by_channel WITH (chart = 'bar', x = 'channel', y = 'net_sales', title = 'Sales by channel') AS
SELECT
    channel,
    currency,
    CAST(sum(orders) AS BIGINT) AS orders,
    CAST(sum(units) AS BIGINT) AS units,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales,
    CAST(sum(gmv - discounts - cancellations - refunds) / nullif(sum(orders_standing), 0) AS DECIMAL(18, 2)) AS aov
FROM sales_by_quarter
GROUP BY channel, currency;
COMMENT ON VIEW sales_by_channel IS 'Sales by the channel that took the order; each order counts in exactly one.';

CREATE MATERIALIZED VIEW sales_by_product WITH (chart = 'bar', x = 'product_id', y = 'net_sales', title = 'Sales by product') AS
SELECT
    product_id,
    category_now AS category,
    currency,
    count(DISTINCT order_id) AS orders,
    sum(units) AS units,
    sum(units_net) AS units_net,
    CAST(sum(gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(gmv - discounts - cancellations - refunds) AS DECIMAL(18, 2)) AS net_sales
FROM sale_entries
WHERE product_id IS NOT NULL
GROUP BY product_id, category_now, currency;
COMMENT ON VIEW sales_by_product IS 'Sales by product; discounts and refunds that name no product are not in it.';

CREATE VIEW product_units AS
SELECT category_now AS category, product_id, sum(units_net) AS units_net
FROM sale_entries
WHERE product_id IS NOT NULL
GROUP BY category_now, product_id;
COMMENT ON VIEW product_units IS 'Units of each product that were sold and not cancelled or returned.';

CREATE MATERIALIZED VIEW top_sellers WITH (chart = 'table', title = 'Top sellers by category') AS
SELECT category, place, product_id, units_net
FROM (
    SELECT
        category, product_id, units_net,
        row_number() OVER (PARTITION BY category ORDER BY units_net DESC, product_id) AS place
    FROM product_units
    WHERE units_net > 0
)
WHERE place <= 5;
COMMENT ON VIEW top_sellers IS 'The five products of each category that sold most units, after cancellations and returns. Equal sellers are in the order of their ids.';

CREATE VIEW product_hours AS
SELECT product_id, date_trunc('hour', at) AS hour_utc, sum(units_net) AS units
FROM sale_entries
WHERE product_id IS NOT NULL
GROUP BY product_id, date_trunc('hour', at);
COMMENT ON VIEW product_hours IS 'Units sold by product and hour.';

CREATE MATERIALIZED VIEW trending_products WITH (chart = 'table', title = 'Trending now') AS
SELECT
    product_id,
    units_last_hour,
    CAST(units_before / 24.0 AS DECIMAL(18, 2)) AS units_per_hour_before,
    CAST(CAST(24 * units_last_hour AS DECIMAL(18, 2)) / nullif(units_before, 0) AS DECIMAL(18, 2)) AS ratio
FROM (
    SELECT
        h.product_id,
        coalesce(sum(h.units) FILTER (WHERE h.hour_utc = date_trunc('hour', c.minute) - INTERVAL '1 hour'), 0) AS units_last_hour,
        coalesce(sum(h.units) FILTER (WHERE h.hour_utc < date_trunc('hour', c.minute) - INTERVAL '1 hour'), 0) AS units_before
    FROM product_hours h
    CROSS JOIN clock c
    WHERE h.hour_utc < date_trunc('hour', c.minute)
        AND h.hour_utc >= date_trunc('hour', c.minute) - INTERVAL '25 hours'
    GROUP BY h.product_id
)
CROSS JOIN shop
WHERE units_last_hour >= trending_units AND 24 * units_last_hour >= trending_ratio * units_before;
COMMENT ON VIEW trending_products IS 'Products that sold in the last full hour at `trending_ratio` times the hourly rate of the 24 hours before it, or more.';
COMMENT ON COLUMN trending_products.ratio IS 'Rate of the last full hour over the rate before; empty if nothing was sold before.';

CREATE MATERIALIZED VIEW sales_in_shop_currency WITH (chart = 'line', x = 'day', y = 'net_sales', title = 'Sales in the shop''s currency') AS
SELECT
    d.day,
    CASE WHEN count(*) = count(r.rate) THEN CAST(sum(q.gmv * r.rate) AS DECIMAL(18, 2)) END AS gmv,
    CASE WHEN count(*) = count(r.rate)
        THEN CAST(sum((q.gmv - q.discounts - q.cancellations - q.refunds) * r.rate) AS DECIMAL(18, 2)) END AS net_sales,
    count(*) FILTER (WHERE r.rate IS NULL) > 0 AS rate_missing
FROM (
    SELECT
        quarter, currency, CAST(gmv AS DECIMAL(20, 4)) AS gmv, CAST(discounts AS DECIMAL(20, 4)) AS discounts,
        CAST(cancellations AS DECIMAL(20, 4)) AS cancellations, CAST(refunds AS DECIMAL(20, 4)) AS refunds
    FROM sales_by_quarter
) q
JOIN shop_days d ON d.quarter = q.quarter
LEFT JOIN dated_rates r ON r.day = d.day AND r.currency = q.currency
GROUP BY d.day;
COMMENT ON VIEW sales_in_shop_currency IS 'Sales of all currencies in the shop''s own, each at the rate of the day of the order. A day with an amount for which no rate is known stays empty.';

CREATE VIEW dated_rates AS
SELECT r.day, r.currency, r.rate
FROM exchange_rates r
CROSS JOIN shop s
WHERE r.currency <> s.currency
UNION ALL
SELECT d.day, s.currency, CAST(1 AS DECIMAL(18, 8))
FROM (SELECT DISTINCT day FROM shop_days) d
CROSS JOIN shop s;
COMMENT ON VIEW dated_rates IS 'Exchange rates by day; the shop''s own currency is worth one.';

CREATE MATERIALIZED VIEW refunds_not_counted WITH (chart = 'table', title = 'Refunds that change no sales') AS
SELECT
    r.refund_id, r.order_id, r.product_id, CAST(r.amount AS DECIMAL(18, 2)) AS amount, r.currency, r.at,
    CASE
        WHEN o.order_id IS NULL THEN 'order has not arrived'
        WHEN p.cancelled THEN 'order was cancelled'
        ELSE 'not in the currency of the order'
    END AS reason
FROM all_refunds r
LEFT JOIN order_starts o ON o.order_id = r.order_id
LEFT JOIN placed_orders p ON p.order_id = r.order_id
WHERE o.order_id IS NULL OR p.cancelled OR r.currency <> p.currency;
COMMENT ON VIEW refunds_not_counted IS 'Refunds that take nothing from sales, and why: a refund before its order waits here until the order arrives.';

CREATE MATERIALIZED VIEW lines_without_price WITH (chart = 'table', title = 'Order lines without a price') AS
SELECT order_id, product_id, quantity, currency, at
FROM order_lines
WHERE price IS NULL;
COMMENT ON VIEW lines_without_price IS 'Order lines whose price neither the order nor the catalogue states in the order''s currency; they add units but no money.';
