-- User behaviour: who looks, who puts into the cart, who buys; in which sessions and in which order.
--
--   action       `browse`, `view` and `page_view` are one action, view; so are `add_to_cart`, `cart`
--                and `addtocart` (cart), and `purchase` and `transaction` (purchase).
--   person       a user, or an anonymous visitor until `identities` says which user that is.
--   session      a person's actions and orders with no gap of more than 30 minutes between them.
--   conversion   by session: sessions with an order / sessions.
--                by user: people with an order / people. Two figures; each says which it is.
--   abandonment  carts without an order after the idle time / carts created. A cart is what one
--                person adds in one session; an order by that person at any later time takes the
--                abandonment back.
--
-- "An order" is a line in `orders` or a purchase among the actions, whichever the shop records.
-- Removed users are in no figure.
--
-- Sessions are found without looking back from every event: two actions with no more than 30
-- minutes between them lie in the same half-hour of the clock or in two that follow each other. So
-- it is enough to keep, for each person and half-hour, the first and the last time.
--
-- What one visitor does is added up before it is known who the visitor is: a merge or a removal moves
-- sums and not single actions.
--
-- State: a row for each visitor and active hour, half-hour and product, once by visitor and once by
-- person; every cart action and purchase; a row for each session. It grows with traffic; it is
-- bounded by nothing but the history that is read. A person active in n half-hours and m sessions
-- costs up to n x m comparisons, so a bot should be removed. Carts are looked at again with every
-- minute of the shop's clock.

CREATE VIEW actions AS
SELECT
    coalesce(user_id, anonymous_id) AS visitor_id,
    CASE lower(action)
        WHEN 'browse' THEN 'view'
        WHEN 'page_view' THEN 'view'
        WHEN 'product viewed' THEN 'view'
        WHEN 'add_to_cart' THEN 'cart'
        WHEN 'addtocart' THEN 'cart'
        WHEN 'product added' THEN 'cart'
        WHEN 'transaction' THEN 'purchase'
        WHEN 'order completed' THEN 'purchase'
        ELSE lower(action)
    END AS action,
    CASE
        WHEN product_id IS NOT NULL THEN product_id
        WHEN page_url LIKE '%/product/%' THEN regexp_match(page_url, '/product/([^/?#]+)')[1]
    END AS product_id,
    channel,
    live_session_id,
    at
FROM all_behavior;
COMMENT ON VIEW actions IS 'Actions under one name each, with the visitor and the product.';

CREATE VIEW events AS
SELECT coalesce(p.person_id, a.visitor_id) AS person_id, a.action, a.product_id, a.channel, a.at
FROM actions a
LEFT JOIN people p ON p.visitor_id = a.visitor_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW events IS 'Actions with the person. Whatever is built on it keeps every single action; the visitor_... views are smaller.';

CREATE VIEW visitor_hours AS
SELECT visitor_id, date_trunc('hour', at) AS hour_utc, action, count(*) AS actions
FROM actions
GROUP BY visitor_id, date_trunc('hour', at), action;
COMMENT ON VIEW visitor_hours IS 'How often each visitor did what in each hour.';

CREATE VIEW visitor_products AS
SELECT
    visitor_id,
    product_id,
    count(*) FILTER (WHERE action = 'view') AS views,
    count(*) FILTER (WHERE action = 'cart') AS carts,
    count(*) FILTER (WHERE action = 'purchase') AS purchases,
    max(at) FILTER (WHERE action = 'view') AS last_view_at,
    max(at) FILTER (WHERE action = 'cart') AS last_cart_at
FROM actions
WHERE product_id IS NOT NULL
GROUP BY visitor_id, product_id;
COMMENT ON VIEW visitor_products IS 'What each visitor did with each product.';

CREATE VIEW person_products AS
SELECT
    coalesce(p.person_id, v.visitor_id) AS person_id,
    v.product_id,
    sum(v.views) AS views,
    sum(v.carts) AS carts,
    sum(v.purchases) AS purchases,
    max(v.last_view_at) AS last_view_at,
    max(v.last_cart_at) AS last_cart_at
FROM visitor_products v
LEFT JOIN people p ON p.visitor_id = v.visitor_id
WHERE p.removed IS NOT TRUE
GROUP BY coalesce(p.person_id, v.visitor_id), v.product_id;
COMMENT ON VIEW person_products IS 'The same by person, removed ones left out.';

CREATE MATERIALIZED VIEW actions_by_hour WITH (chart = 'stacked', x = 'hour_utc', y = 'actions', title = 'Actions by hour') AS
SELECT
    v.hour_utc,
    v.action,
    CAST(sum(v.actions) AS BIGINT) AS actions,
    count(DISTINCT coalesce(p.person_id, v.visitor_id)) AS people
FROM visitor_hours v
LEFT JOIN people p ON p.visitor_id = v.visitor_id
WHERE p.removed IS NOT TRUE
GROUP BY v.hour_utc, v.action;
COMMENT ON VIEW actions_by_hour IS 'How often each action was taken in each hour (UTC), and by how many people.';

CREATE MATERIALIZED VIEW actions_by_product WITH (chart = 'table', title = 'Actions by product') AS
SELECT
    product_id,
    CAST(sum(views) AS BIGINT) AS views,
    CAST(sum(carts) AS BIGINT) AS carts,
    CAST(sum(purchases) AS BIGINT) AS purchases,
    count(person_id) AS people
FROM person_products
GROUP BY product_id;
COMMENT ON VIEW actions_by_product IS 'What people do with each product.';

CREATE VIEW visitor_totals AS
SELECT
    visitor_id,
    count(*) AS actions,
    count(*) FILTER (WHERE action = 'view') AS views,
    count(*) FILTER (WHERE action = 'cart') AS carts,
    count(*) FILTER (WHERE action = 'purchase') AS purchases,
    min(at) AS first_at,
    max(at) AS last_at
FROM actions
WHERE visitor_id IS NOT NULL
GROUP BY visitor_id;
COMMENT ON VIEW visitor_totals IS 'What each visitor did.';

CREATE MATERIALIZED VIEW actions_by_user WITH (chart = 'table', title = 'Actions by user') AS
SELECT t.user_id, t.actions, t.views, t.carts, t.purchases, coalesce(n.products, 0) AS products, t.first_at, t.last_at
FROM (
    SELECT
        coalesce(p.person_id, v.visitor_id) AS user_id,
        CAST(sum(v.actions) AS BIGINT) AS actions,
        CAST(sum(v.views) AS BIGINT) AS views,
        CAST(sum(v.carts) AS BIGINT) AS carts,
        CAST(sum(v.purchases) AS BIGINT) AS purchases,
        min(v.first_at) AS first_at,
        max(v.last_at) AS last_at
    FROM visitor_totals v
    LEFT JOIN people p ON p.visitor_id = v.visitor_id
    WHERE p.removed IS NOT TRUE
    GROUP BY coalesce(p.person_id, v.visitor_id)
) t
LEFT JOIN (SELECT person_id, count(*) AS products FROM person_products GROUP BY person_id) n ON n.person_id = t.user_id;
COMMENT ON VIEW actions_by_user IS 'What each person does.';

CREATE VIEW buying_actions AS
SELECT coalesce(p.person_id, a.visitor_id) AS person_id, a.action, a.product_id, a.at
FROM actions a
LEFT JOIN people p ON p.visitor_id = a.visitor_id
WHERE a.action IN ('cart', 'purchase') AND a.visitor_id IS NOT NULL AND p.removed IS NOT TRUE;
COMMENT ON VIEW buying_actions IS 'Cart actions and purchases, with the person.';

CREATE VIEW orderings AS
SELECT person_id, at FROM buying_actions WHERE action = 'purchase'
UNION ALL
SELECT person_id, at FROM placed_orders WHERE person_id IS NOT NULL;
COMMENT ON VIEW orderings IS 'When people ordered.';

CREATE MATERIALIZED VIEW active_users_by_day WITH (chart = 'line', x = 'day', y = 'users', title = 'Active users by day') AS
SELECT d.day, count(DISTINCT a.person_id) AS users
FROM (
    SELECT person_id, half_hour AS quarter FROM active_half_hours WHERE in_first_quarter
    UNION ALL
    SELECT person_id, half_hour + INTERVAL '15 minutes' FROM active_half_hours WHERE in_second_quarter
) a
JOIN shop_days d ON d.quarter = a.quarter
GROUP BY d.day;
COMMENT ON VIEW active_users_by_day IS 'How many people did anything on a day, in the shop''s time zone.';

---------------------------------------------------------------------------------------------------
-- Sessions
---------------------------------------------------------------------------------------------------

CREATE VIEW visitor_half_hours AS
SELECT
    visitor_id,
    date_bin(INTERVAL '30 minutes', at) AS half_hour,
    min(at) AS first_at,
    max(at) AS last_at,
    count(*) AS actions,
    min(at) FILTER (WHERE action = 'view') AS first_view_at,
    count(*) FILTER (WHERE action = 'purchase') AS orders,
    count(*) FILTER (WHERE at < date_bin(INTERVAL '30 minutes', at) + INTERVAL '15 minutes') AS in_first_quarter
FROM actions
WHERE visitor_id IS NOT NULL
GROUP BY visitor_id, date_bin(INTERVAL '30 minutes', at);
COMMENT ON VIEW visitor_half_hours IS 'The half-hours of the clock in which a visitor did anything.';

CREATE VIEW active_half_hours AS
SELECT
    person_id, half_hour,
    min(first_at) AS first_at,
    max(last_at) AS last_at,
    CAST(sum(actions) AS BIGINT) AS actions,
    min(first_view_at) AS first_view_at,
    bool_or(has_order) AS has_order,
    bool_or(in_first_quarter) AS in_first_quarter,
    bool_or(in_second_quarter) AS in_second_quarter
FROM (
    SELECT
        coalesce(p.person_id, v.visitor_id) AS person_id, v.half_hour, v.first_at, v.last_at, v.actions,
        v.first_view_at, v.orders > 0 AS has_order,
        v.in_first_quarter > 0 AS in_first_quarter, v.actions > v.in_first_quarter AS in_second_quarter
    FROM visitor_half_hours v
    LEFT JOIN people p ON p.visitor_id = v.visitor_id
    WHERE p.removed IS NOT TRUE
    UNION ALL
    SELECT
        person_id, date_bin(INTERVAL '30 minutes', at), at AS first_at, at AS last_at, 0, NULL, true,
        at < date_bin(INTERVAL '30 minutes', at) + INTERVAL '15 minutes',
        at >= date_bin(INTERVAL '30 minutes', at) + INTERVAL '15 minutes'
    FROM placed_orders
    WHERE person_id IS NOT NULL
)
GROUP BY person_id, half_hour;
COMMENT ON VIEW active_half_hours IS 'The half-hours of the clock in which a person did anything: acted or ordered.';

CREATE VIEW session_starts AS
SELECT h.person_id, h.half_hour, h.first_at AS started_at
FROM active_half_hours h
LEFT JOIN active_half_hours b
    ON b.person_id = h.person_id AND b.half_hour = h.half_hour - INTERVAL '30 minutes'
WHERE b.last_at IS NULL OR h.first_at > b.last_at + INTERVAL '30 minutes';
COMMENT ON VIEW session_starts IS 'Half-hours whose first action comes more than 30 minutes after the one before it.';

CREATE VIEW session_half_hours AS
SELECT
    h.person_id, h.half_hour, h.first_at, h.last_at, h.actions, h.first_view_at, h.has_order,
    max(s.started_at) AS started_at
FROM active_half_hours h
JOIN session_starts s ON s.person_id = h.person_id AND s.half_hour <= h.half_hour
GROUP BY h.person_id, h.half_hour, h.first_at, h.last_at, h.actions, h.first_view_at, h.has_order;
COMMENT ON VIEW session_half_hours IS 'Active half-hours with the session that they belong to: the latest that had started.';

CREATE MATERIALIZED VIEW sessions WITH (chart = 'table', title = 'Sessions') AS
SELECT
    person_id AS user_id,
    started_at,
    max(last_at) AS ended_at,
    CAST(sum(actions) AS BIGINT) AS actions,
    min(first_view_at) AS first_view_at,
    bool_or(has_order) AS has_order
FROM session_half_hours
GROUP BY person_id, started_at;
COMMENT ON VIEW sessions IS 'Visits: a person''s actions and orders with no gap of more than 30 minutes.';

CREATE VIEW session_actions AS
SELECT a.person_id, s.started_at, a.is_order, a.at
FROM (
    SELECT person_id, false AS is_order, at FROM buying_actions WHERE action = 'cart'
    UNION ALL
    SELECT person_id, true, at FROM orderings
) a
JOIN session_half_hours s
    ON s.person_id = a.person_id AND s.half_hour = date_bin(INTERVAL '30 minutes', a.at);
COMMENT ON VIEW session_actions IS 'Cart actions and orders with the session that they belong to.';

CREATE MATERIALIZED VIEW conversion WITH (chart = 'table', title = 'Conversion') AS
SELECT
    'by session' AS measured, count(*) AS of_these, count(*) FILTER (WHERE has_order) AS with_order,
    CAST(CAST(count(*) FILTER (WHERE has_order) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(9, 4)) AS conversion
FROM sessions
UNION ALL
SELECT
    'by user', count(*), count(*) FILTER (WHERE has_order),
    CAST(CAST(count(*) FILTER (WHERE has_order) AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(9, 4))
FROM (SELECT user_id, bool_or(has_order) AS has_order FROM sessions GROUP BY user_id);
COMMENT ON VIEW conversion IS 'The share of sessions with an order, and the share of users with an order.';

---------------------------------------------------------------------------------------------------
-- The funnel within a session: a view, then something into the cart, then an order
---------------------------------------------------------------------------------------------------

CREATE VIEW funnel_carts AS
SELECT s.user_id, s.started_at, min(a.at) AS cart_at
FROM sessions s
JOIN session_actions a ON a.person_id = s.user_id AND a.started_at = s.started_at
WHERE NOT a.is_order AND a.at >= s.first_view_at
GROUP BY s.user_id, s.started_at;
COMMENT ON VIEW funnel_carts IS 'Sessions in which something was put into the cart after the first view, and when first.';

CREATE VIEW funnel_orders AS
SELECT DISTINCT c.user_id, c.started_at
FROM funnel_carts c
JOIN session_actions a ON a.person_id = c.user_id AND a.started_at = c.started_at
WHERE a.is_order AND a.at >= c.cart_at;
COMMENT ON VIEW funnel_orders IS 'Sessions in which an order followed that.';

CREATE MATERIALIZED VIEW funnel WITH (chart = 'funnel', x = 'step', y = 'sessions', title = 'Funnel') AS
SELECT
    step, action, n.sessions,
    CAST(CAST(n.sessions AS DECIMAL(18, 6)) / nullif(v.sessions, 0) AS DECIMAL(9, 4)) AS share_of_views
FROM (
    SELECT 1 AS step, 'view' AS action, count(first_view_at) AS sessions FROM sessions
    UNION ALL SELECT 2, 'cart', count(*) FROM funnel_carts
    UNION ALL SELECT 3, 'order', count(*) FROM funnel_orders
) n
CROSS JOIN (SELECT count(first_view_at) AS sessions FROM sessions) v
ORDER BY step;
COMMENT ON VIEW funnel IS 'In how many sessions a view came first, then a cart action, then an order, in this order.';

---------------------------------------------------------------------------------------------------
-- Carts
---------------------------------------------------------------------------------------------------

CREATE VIEW session_carts AS
SELECT person_id, started_at, min(at) AS first_at, max(at) AS last_at, count(*) AS additions
FROM session_actions
WHERE NOT is_order
GROUP BY person_id, started_at;
COMMENT ON VIEW session_carts IS 'What was added to the cart in a session.';

CREATE MATERIALIZED VIEW carts WITH (chart = 'table', title = 'Carts') AS
SELECT
    c.person_id AS user_id,
    c.started_at AS session_started_at,
    c.additions,
    c.last_at AS last_addition_at,
    CASE
        WHEN o.last_order_at >= c.first_at THEN 'ordered'
        WHEN k.minute > c.last_at + arrow_cast(60 * s.cart_idle_minutes, 'Duration(Second)') THEN 'abandoned'
        ELSE 'open'
    END AS state
FROM session_carts c
CROSS JOIN clock k
CROSS JOIN shop s
LEFT JOIN (
    SELECT person_id, max(at) AS last_order_at FROM orderings GROUP BY person_id
) o ON o.person_id = c.person_id;
COMMENT ON VIEW carts IS 'Carts and what became of them.';
COMMENT ON COLUMN carts.state IS 'ordered: the person ordered after the first addition; abandoned: not, and the idle time is over; open: neither.';

CREATE MATERIALIZED VIEW abandonment WITH (chart = 'number', y = 'abandonment', title = 'Cart abandonment') AS
SELECT
    count(*) AS carts,
    count(*) FILTER (WHERE state = 'ordered') AS ordered,
    count(*) FILTER (WHERE state = 'open') AS open,
    count(*) FILTER (WHERE state = 'abandoned') AS abandoned,
    CAST(CAST(count(*) FILTER (WHERE state = 'abandoned') AS DECIMAL(18, 6)) / nullif(count(*), 0) AS DECIMAL(9, 4)) AS abandonment
FROM carts;
COMMENT ON VIEW abandonment IS 'Carts abandoned / carts created.';

---------------------------------------------------------------------------------------------------
-- Customers over time
---------------------------------------------------------------------------------------------------

CREATE VIEW customer_months AS
SELECT DISTINCT o.person_id, date_trunc('month', CAST(d.day AS TIMESTAMP)) AS month
FROM placed_orders o
JOIN shop_days d ON d.quarter = date_bin(INTERVAL '15 minutes', o.at)
WHERE o.person_id IS NOT NULL AND NOT o.cancelled;
COMMENT ON VIEW customer_months IS 'The months in which a customer placed an order that stands.';

CREATE MATERIALIZED VIEW cohort_retention WITH (chart = 'heatmap', x = 'months_later', y = 'cohort', title = 'Customers who come back') AS
SELECT
    CAST(f.cohort AS DATE) AS cohort,
    CAST(12 * (extract(YEAR FROM m.month) - extract(YEAR FROM f.cohort))
        + extract(MONTH FROM m.month) - extract(MONTH FROM f.cohort) AS BIGINT) AS months_later,
    count(*) AS customers
FROM customer_months m
JOIN (SELECT person_id, min(month) AS cohort FROM customer_months GROUP BY person_id) f ON f.person_id = m.person_id
GROUP BY f.cohort, m.month;
COMMENT ON VIEW cohort_retention IS 'Of the customers who first ordered in a month, how many ordered so many months later.';

CREATE VIEW customer_totals AS
SELECT
    person_id, currency,
    max(at) FILTER (WHERE NOT cancelled) AS last_order_at,
    count(DISTINCT order_id) FILTER (WHERE NOT cancelled) AS orders,
    sum(gmv - discounts - cancellations - refunds) AS net_sales
FROM sale_entries
WHERE person_id IS NOT NULL
GROUP BY person_id, currency;
COMMENT ON VIEW customer_totals IS 'What each customer bought, cancelled orders left out.';

CREATE MATERIALIZED VIEW customers WITH (chart = 'table', title = 'Recency, frequency, money') AS
SELECT
    c.person_id AS user_id,
    c.currency,
    c.last_order_at,
    CAST(t.day - d.day AS BIGINT) AS recency_days,
    c.orders AS frequency,
    CAST(c.net_sales AS DECIMAL(18, 2)) AS money
FROM customer_totals c
JOIN shop_days d ON d.quarter = date_bin(INTERVAL '15 minutes', c.last_order_at)
CROSS JOIN today t
WHERE c.orders > 0;
COMMENT ON VIEW customers IS 'RFM: how many days ago a customer last ordered, how often, and for how much net, in each currency. Cancelled orders do not count.';
