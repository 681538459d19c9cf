-- What REES46's answers ask, from the pack's own views where they answer it (sales_totals, sessions,
-- actions_by_product, actions_by_user, order_lines), else from its events.

CREATE MATERIALIZED VIEW r46_totals AS
SELECT e.events, e.views, e.carts, s.units AS purchases, s.gmv AS revenue, e.users, e.sessions, e.items, e.first_ts, e.last_ts
FROM (
    SELECT
        count(*) AS events,
        count(*) FILTER (WHERE event_type = 'view') AS views,
        count(*) FILTER (WHERE event_type = 'cart') AS carts,
        count(DISTINCT user_id) AS users,
        count(DISTINCT user_session) AS sessions,
        count(DISTINCT product_id) AS items,
        min(event_time) AS first_ts,
        max(event_time) AS last_ts
    FROM rees46
) e
CROSS JOIN sales_totals s;

CREATE MATERIALIZED VIEW r46_by_hour AS
SELECT
    date_trunc('hour', event_time) AS hour, count(*) AS events,
    count(*) FILTER (WHERE event_type = 'view') AS views,
    count(*) FILTER (WHERE event_type = 'cart') AS carts,
    count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
    coalesce(sum(price) FILTER (WHERE event_type = 'purchase'), 0) AS revenue,
    count(DISTINCT user_id) AS users, count(DISTINCT user_session) AS sessions
FROM rees46
GROUP BY date_trunc('hour', event_time);

CREATE MATERIALIZED VIEW r46_by_minute AS
SELECT
    date_trunc('minute', event_time) AS minute, count(*) AS events,
    count(*) FILTER (WHERE event_type = 'view') AS views,
    count(*) FILTER (WHERE event_type = 'cart') AS carts,
    count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
    coalesce(sum(price) FILTER (WHERE event_type = 'purchase'), 0) AS revenue,
    count(DISTINCT user_id) AS users
FROM rees46
GROUP BY date_trunc('minute', event_time);

CREATE MATERIALIZED VIEW r46_by_top_category AS
SELECT
    coalesce(split_part(nullif(category_code, ''), '.', 1), '(none)') AS category, count(*) AS events,
    count(*) FILTER (WHERE event_type = 'view') AS views,
    count(*) FILTER (WHERE event_type = 'cart') AS carts,
    count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
    coalesce(sum(price) FILTER (WHERE event_type = 'purchase'), 0) AS revenue,
    count(DISTINCT user_id) AS users, count(DISTINCT user_session) AS sessions
FROM rees46
GROUP BY coalesce(split_part(nullif(category_code, ''), '.', 1), '(none)');

CREATE MATERIALIZED VIEW r46_brand_top20 AS
SELECT
    coalesce(nullif(brand, ''), '(none)') AS brand, count(*) AS events,
    count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
    coalesce(sum(price) FILTER (WHERE event_type = 'purchase'), 0) AS revenue
FROM rees46
GROUP BY coalesce(nullif(brand, ''), '(none)')
ORDER BY revenue DESC, events DESC, brand
LIMIT 20;

CREATE VIEW r46_sessions AS
SELECT
    user_session,
    count(*) AS events,
    count(*) FILTER (WHERE event_type = 'view') > 0 AS has_view,
    count(*) FILTER (WHERE event_type = 'cart') > 0 AS has_cart,
    count(*) FILTER (WHERE event_type = 'purchase') > 0 AS has_purchase,
    CAST(extract(EPOCH FROM max(event_time) - min(event_time)) AS BIGINT) AS seconds
FROM rees46
WHERE user_session IS NOT NULL
GROUP BY user_session;

-- An order is a session with a purchase: the adapter says so.
CREATE MATERIALIZED VIEW r46_conversion AS
SELECT s.sessions, o.converted, CAST(CAST(o.converted AS DECIMAL(18, 6)) / s.sessions AS DECIMAL(10, 6)) AS rate
FROM (SELECT count(DISTINCT user_session) AS sessions FROM rees46) s
CROSS JOIN (SELECT orders AS converted FROM sales_totals) o;

CREATE MATERIALIZED VIEW r46_events_per_session_histogram AS
SELECT events, count(*) AS sessions FROM r46_sessions GROUP BY events;

CREATE MATERIALIZED VIEW r46_events_per_user_histogram AS
SELECT actions AS events, count(*) AS users FROM actions_by_user GROUP BY actions;

CREATE MATERIALIZED VIEW r46_funnel_sessions AS
SELECT
    count(*) AS sessions,
    count(*) FILTER (WHERE has_view) AS with_view,
    count(*) FILTER (WHERE has_cart) AS with_cart,
    count(*) FILTER (WHERE has_purchase) AS with_purchase,
    count(*) FILTER (WHERE has_view AND has_cart) AS view_and_cart,
    count(*) FILTER (WHERE has_view AND has_cart AND has_purchase) AS view_cart_purchase,
    count(*) FILTER (WHERE has_view AND has_purchase AND NOT has_cart) AS purchase_without_cart
FROM r46_sessions;

CREATE MATERIALIZED VIEW r46_funnel_ordered AS
SELECT
    count(first_view) AS viewed_pairs,
    count(*) FILTER (WHERE last_cart >= first_view) AS then_carted,
    count(*) FILTER (WHERE last_purchase >= first_view) AS then_purchased
FROM (
    SELECT
        min(event_time) FILTER (WHERE event_type = 'view') AS first_view,
        max(event_time) FILTER (WHERE event_type = 'cart') AS last_cart,
        max(event_time) FILTER (WHERE event_type = 'purchase') AS last_purchase
    FROM rees46
    GROUP BY user_session, product_id
);

CREATE MATERIALIZED VIEW r46_gap_sessions AS
SELECT CAST(sum(actions) AS BIGINT) AS events, count(*) AS sessions_by_30min_gap, count(DISTINCT user_id) AS users
FROM sessions;

CREATE MATERIALIZED VIEW r46_session_length_histogram AS
SELECT least(seconds / 60, 120) AS minutes, count(*) AS sessions
FROM r46_sessions
GROUP BY least(seconds / 60, 120);

CREATE MATERIALIZED VIEW r46_top20_items_viewed AS
SELECT product_id AS item, views, purchases
FROM actions_by_product
ORDER BY views DESC, item
LIMIT 20;

CREATE VIEW r46_viewed AS
SELECT DISTINCT user_session, product_id FROM rees46 WHERE event_type = 'view' AND user_session IS NOT NULL;

CREATE MATERIALIZED VIEW r46_top50_coviewed_pairs AS
SELECT CAST(a.product_id AS BIGINT) AS item_a, CAST(b.product_id AS BIGINT) AS item_b, count(*) AS sessions
FROM r46_viewed a
JOIN r46_viewed b ON b.user_session = a.user_session AND CAST(b.product_id AS BIGINT) > CAST(a.product_id AS BIGINT)
GROUP BY a.product_id, b.product_id
ORDER BY sessions DESC, item_a, item_b
LIMIT 50;

CREATE MATERIALIZED VIEW r46_top5_items_per_hour AS
SELECT hour, rank, item, views
FROM (
    SELECT hour, item, views, row_number() OVER (PARTITION BY hour ORDER BY views DESC, item) AS rank
    FROM (
        SELECT date_trunc('hour', at) AS hour, CAST(product_id AS BIGINT) AS item, count(*) AS views
        FROM events
        WHERE action = 'view'
        GROUP BY date_trunc('hour', at), CAST(product_id AS BIGINT)
    )
)
WHERE rank <= 5;

CREATE MATERIALIZED VIEW r46_sliding_hot_items AS
SELECT w_end, rank, item, views
FROM (
    SELECT w_end, item, views, row_number() OVER (PARTITION BY w_end ORDER BY views DESC, item) AS rank
    FROM (
        SELECT h.w_end, v.item, sum(v.views) AS views
        FROM (
            SELECT DISTINCT date_bin(INTERVAL '5 minutes', at) AS bin, date_trunc('hour', at) AS hour FROM events
        ) b
        JOIN (
            SELECT hour, hour + arrow_cast(300 * k, 'Duration(Second)') AS w_end
            FROM (SELECT hour, unnest(range(0, 12)) AS k FROM (SELECT DISTINCT date_trunc('hour', at) AS hour FROM events))
        ) h ON b.bin >= h.w_end - INTERVAL '1 hour' AND b.bin < h.w_end
        JOIN (
            SELECT date_bin(INTERVAL '5 minutes', at) AS bin, CAST(product_id AS BIGINT) AS item, count(*) AS views
            FROM events
            WHERE action = 'view'
            GROUP BY date_bin(INTERVAL '5 minutes', at), CAST(product_id AS BIGINT)
        ) v ON v.bin = b.bin
        GROUP BY h.w_end, v.item
    )
)
WHERE rank <= 3;
