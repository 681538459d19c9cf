-- Live commerce: what a live session brings, now and beside earlier ones; online beside store; how
-- people pay.
--
--   view           somebody opens the stream: action `live_view`, `watch` or `join`, with the
--                  session's live_session_id.
--   viewer         a person who opened it at least once.
--   product click  looking at a product from within the session: `click`, `product_click`, or a
--                  view of a product.
--   GMV            price x quantity of what was ordered in the session, cancelled orders included;
--                  net sales take cancellations, discounts and refunds away, as in Sales.
--   GPM            GMV for 1,000 views. Carts are given for 1,000,000 views.
--   conversion     viewers with an order in the session / viewers.
--   past           earlier sessions of the same series. A minute is counted from a session's start,
--                  and its past mean is over all past sessions, also those in which nothing
--                  happened in that minute.
--   store          channels that `channel_sides` calls so, and orders that name no channel but a
--                  store; everything else is online.
--
-- A late event amends its own minute, of a past session as well; then the mean it is part of moves.
-- Removed users are in no figure.
--
-- State: a row for each session, visitor, product and minute with actions; a row for each session,
-- minute and measure. It grows with what happens in live sessions, not with other traffic.

CREATE TABLE live_sessions (
    live_session_id TEXT PRIMARY KEY,
    series TEXT,
    title TEXT,
    started_at TIMESTAMP NOT NULL,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted', fields = 'started_at = started_at | timestamp');
COMMENT ON TABLE live_sessions IS 'Live sessions. One that is not listed begins with its first event, in the series `other`.';
COMMENT ON COLUMN live_sessions.series IS 'Sessions that are compared with each other, such as a weekly show.';

CREATE TABLE channel_sides (
    channel TEXT PRIMARY KEY,
    side TEXT NOT NULL
);
COMMENT ON TABLE channel_sides IS 'Which channels are `store`, which `online`. Without a line, store, pos and retail are stores.';

CREATE TABLE payment_kinds (
    payment_method TEXT PRIMARY KEY,
    kind TEXT NOT NULL
);
COMMENT ON TABLE payment_kinds IS 'Of which kind a payment method is, in small letters; overrides the usual ones.';

CREATE VIEW live_settings AS
SELECT CAST(coalesce(max(value) FILTER (WHERE name = 'live_now_minutes'), '10') AS BIGINT) AS live_now_minutes
FROM settings;
COMMENT ON VIEW live_settings IS 'How many minutes "now" lasts for the top products of a session, one row.';

---------------------------------------------------------------------------------------------------
-- What happens in sessions
---------------------------------------------------------------------------------------------------

CREATE VIEW live_visits AS
SELECT
    live_session_id, visitor_id, product_id,
    date_trunc('minute', at) AS minute,
    count(*) FILTER (WHERE action IN ('live_view', 'watch', 'join')) AS views,
    count(*) FILTER (WHERE action IN ('click', 'product_click', 'view')) AS clicks,
    count(*) FILTER (WHERE action = 'cart') AS carts
FROM actions
WHERE live_session_id IS NOT NULL
GROUP BY live_session_id, visitor_id, product_id, date_trunc('minute', at);
COMMENT ON VIEW live_visits IS 'What visitors do in live sessions, by minute.';

CREATE VIEW live_actions AS
SELECT
    v.live_session_id, coalesce(p.person_id, v.visitor_id) AS person_id, v.product_id, v.minute,
    v.views, v.clicks, v.carts
FROM live_visits v
LEFT JOIN people p ON p.visitor_id = v.visitor_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW live_actions IS 'The same by person.';

CREATE VIEW live_entries AS
SELECT live_session_id, order_id, product_id, currency, date_trunc('minute', at) AS minute, units, gmv,
    gmv - discounts - cancellations - refunds AS net_sales
FROM sale_entries
WHERE live_session_id IS NOT NULL;
COMMENT ON VIEW live_entries IS 'What was sold in live sessions.';

CREATE VIEW live_session_list AS
SELECT
    coalesce(l.live_session_id, seen.live_session_id) AS live_session_id,
    coalesce(l.series, 'other') AS series,
    l.title,
    date_trunc('minute', coalesce(l.started_at, seen.minute)) AS started_at
FROM live_sessions l
FULL JOIN (
    SELECT live_session_id, min(minute) AS minute
    FROM (SELECT live_session_id, minute FROM live_actions UNION ALL SELECT live_session_id, minute FROM live_entries)
    GROUP BY live_session_id
) seen ON seen.live_session_id = l.live_session_id;
COMMENT ON VIEW live_session_list IS 'All sessions, listed or only seen, with the minute in which they began.';

CREATE VIEW live_people AS
SELECT
    live_session_id, person_id,
    sum(views) AS views, sum(clicks) AS clicks, sum(carts) AS carts, sum(orders) AS orders
FROM (
    SELECT live_session_id, person_id, views, clicks, carts, 0 AS orders FROM live_actions
    UNION ALL
    SELECT live_session_id, person_id, 0, 0, 0, 1 FROM placed_orders WHERE live_session_id IS NOT NULL
)
GROUP BY live_session_id, person_id;
COMMENT ON VIEW live_people IS 'What each person did in each session.';

CREATE MATERIALIZED VIEW live_session_audience WITH (chart = 'table', title = 'Live sessions: audience') AS
SELECT
    l.live_session_id, l.series, l.title, l.started_at,
    a.viewers, a.views, a.product_clicks, a.carts,
    CAST(CAST(1000000 * a.carts AS DECIMAL(28, 6)) / nullif(a.views, 0) AS DECIMAL(18, 0)) AS carts_per_million_views,
    a.orders,
    CAST(CAST(a.viewers_with_order AS DECIMAL(18, 6)) / nullif(a.viewers, 0) AS DECIMAL(9, 4)) AS conversion_by_viewer
FROM live_session_list l
JOIN (
    SELECT
        live_session_id,
        count(person_id) FILTER (WHERE views > 0) AS viewers,
        count(person_id) FILTER (WHERE views > 0 AND orders > 0) AS viewers_with_order,
        CAST(sum(views) AS BIGINT) AS views,
        CAST(sum(clicks) AS BIGINT) AS product_clicks,
        CAST(sum(carts) AS BIGINT) AS carts,
        CAST(sum(orders) AS BIGINT) AS orders
    FROM live_people
    GROUP BY live_session_id
) a ON a.live_session_id = l.live_session_id;
COMMENT ON VIEW live_session_audience IS 'Who watches each session and what they do there.';
COMMENT ON COLUMN live_session_audience.viewers IS 'People who opened the stream; a visitor without any id is a view but no viewer.';
COMMENT ON COLUMN live_session_audience.orders IS 'Orders placed in the session, later cancelled ones included.';

CREATE MATERIALIZED VIEW live_session_sales WITH (chart = 'bar', x = 'live_session_id', y = 'gmv', title = 'Live sessions: sales') AS
SELECT
    e.live_session_id, e.currency,
    count(DISTINCT e.order_id) AS orders,
    CAST(sum(e.units) AS BIGINT) AS units,
    CAST(sum(e.gmv) AS DECIMAL(18, 2)) AS gmv,
    CAST(sum(e.net_sales) AS DECIMAL(18, 2)) AS net_sales,
    CAST(CAST(1000 * sum(e.gmv) AS DECIMAL(30, 6)) / nullif(v.views, 0) AS DECIMAL(18, 2)) AS gpm
FROM live_entries e
LEFT JOIN (
    SELECT live_session_id, CAST(sum(views) AS BIGINT) AS views FROM live_people GROUP BY live_session_id
) v ON v.live_session_id = e.live_session_id
GROUP BY e.live_session_id, e.currency, v.views;
COMMENT ON VIEW live_session_sales IS 'What each session sold, in each currency.';
COMMENT ON COLUMN live_session_sales.gpm IS 'GMV for 1,000 views of the session; empty if nobody opened it.';

---------------------------------------------------------------------------------------------------
-- Now, and beside the past
---------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW live_top_products WITH (chart = 'table', title = 'Live sessions: top products now') AS
SELECT live_session_id, place, product_id, units, carts, clicks
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY live_session_id ORDER BY units DESC, carts DESC, clicks DESC, product_id) AS place
    FROM (
        SELECT
            a.live_session_id, a.product_id,
            CAST(sum(a.units) AS BIGINT) AS units, CAST(sum(a.carts) AS BIGINT) AS carts, CAST(sum(a.clicks) AS BIGINT) AS clicks
        FROM (
            SELECT live_session_id, product_id, minute, 0 AS units, carts, clicks FROM live_actions WHERE product_id IS NOT NULL
            UNION ALL
            SELECT live_session_id, product_id, minute, units, 0, 0 FROM live_entries WHERE units <> 0
        ) a
        JOIN recent_minutes r ON r.minute = a.minute
        CROSS JOIN live_settings s
        WHERE r.minutes_ago <= s.live_now_minutes
        GROUP BY a.live_session_id, a.product_id
    )
)
WHERE place <= 5;
COMMENT ON VIEW live_top_products IS 'The five products of each session that do best in the last `live_now_minutes`: by units ordered, then put into carts, then clicked.';

CREATE VIEW live_minutes AS
SELECT m.live_session_id, CAST(extract(EPOCH FROM m.minute - l.started_at) / 60 AS BIGINT) AS minute_no, m.measure, m.currency, m.value
FROM (
    SELECT live_session_id, minute, 'views' AS measure, '' AS currency, CAST(views AS DECIMAL(38, 4)) AS value FROM live_actions
    UNION ALL SELECT live_session_id, minute, 'product clicks', '', CAST(clicks AS DECIMAL(38, 4)) FROM live_actions
    UNION ALL SELECT live_session_id, minute, 'carts', '', CAST(carts AS DECIMAL(38, 4)) FROM live_actions
    UNION ALL SELECT live_session_id, minute, 'gmv', currency, gmv FROM live_entries
    UNION ALL SELECT live_session_id, date_trunc('minute', at), 'orders', '', CAST(1 AS DECIMAL(38, 4))
    FROM placed_orders WHERE live_session_id IS NOT NULL
) m
JOIN live_session_list l ON l.live_session_id = m.live_session_id
WHERE m.value <> 0;
COMMENT ON VIEW live_minutes IS 'What happened in each minute of each session, counted from its start.';

CREATE VIEW live_now AS
SELECT live_session_id, series, started_at, minute_now
FROM (
    SELECT l.*, CAST(extract(EPOCH FROM c.minute - l.started_at) / 60 AS BIGINT) AS minute_now,
        row_number() OVER (PARTITION BY l.series ORDER BY l.started_at DESC, l.live_session_id) AS place
    FROM live_session_list l
    CROSS JOIN clock c
    WHERE l.started_at <= c.minute
)
WHERE place <= 1;
COMMENT ON VIEW live_now IS 'The session of each series that began last, and which of its minutes the clock shows.';

CREATE VIEW live_past AS
SELECT n.live_session_id, p.live_session_id AS past_session_id
FROM live_now n
JOIN live_session_list p ON p.series = n.series
WHERE p.started_at < n.started_at;
COMMENT ON VIEW live_past IS 'The sessions that came before it in its series.';

CREATE MATERIALIZED VIEW live_against_past WITH (chart = 'line', x = 'minute_no', y = 'value', title = 'This session beside past ones') AS
SELECT
    n.series, n.live_session_id, m.minute_no, m.measure, m.currency,
    CAST(sum(m.value) AS DECIMAL(18, 2)) AS value,
    CAST(CAST(sum(m.past) AS DECIMAL(28, 6)) / nullif(c.past_sessions, 0) AS DECIMAL(18, 2)) AS past_mean,
    coalesce(c.past_sessions, 0) AS past_sessions
FROM (
    SELECT live_session_id, minute_no, measure, currency, value, CAST(0 AS DECIMAL(38, 4)) AS past FROM live_minutes
    UNION ALL
    SELECT p.live_session_id, m.minute_no, m.measure, m.currency, CAST(0 AS DECIMAL(38, 4)) AS value, m.value AS past
    FROM live_minutes m
    JOIN live_past p ON p.past_session_id = m.live_session_id
) m
JOIN live_now n ON n.live_session_id = m.live_session_id
LEFT JOIN (
    SELECT live_session_id, count(*) AS past_sessions FROM live_past GROUP BY live_session_id
) c ON c.live_session_id = n.live_session_id
WHERE m.minute_no <= n.minute_now
GROUP BY n.series, n.live_session_id, m.minute_no, m.measure, m.currency, c.past_sessions;
COMMENT ON VIEW live_against_past IS 'The last session of each series, minute by minute, beside the mean of the same minute of the sessions before it; up to the minute that the clock shows. past_mean is empty for the first session of a series.';

CREATE MATERIALIZED VIEW live_pace WITH (chart = 'bar', x = 'measure', y = 'ratio', title = 'This session''s pace') AS
SELECT
    series, live_session_id, measure, currency, so_far, past_mean,
    CAST(CAST(so_far AS DECIMAL(28, 6)) / nullif(past_mean, 0) AS DECIMAL(18, 2)) AS ratio
FROM (
    SELECT series, live_session_id, measure, currency, sum(value) AS so_far, sum(past_mean) AS past_mean
    FROM live_against_past
    GROUP BY series, live_session_id, measure, currency
);
COMMENT ON VIEW live_pace IS 'The same summed up to now: is this session ahead of the past ones at this minute, or behind?';
COMMENT ON COLUMN live_pace.ratio IS 'so_far / past_mean; above one is ahead.';

---------------------------------------------------------------------------------------------------
-- Online beside store, and how people pay
---------------------------------------------------------------------------------------------------

CREATE VIEW sides AS
SELECT channel, side FROM channel_sides
UNION ALL
SELECT d.channel, d.side
FROM (VALUES ('store', 'store'), ('pos', 'store'), ('retail', 'store')) d (channel, side)
WHERE NOT EXISTS (SELECT 1 FROM channel_sides c WHERE c.channel = d.channel);
COMMENT ON VIEW sides IS 'The channels that are known to be online or store; the others are online.';

CREATE MATERIALIZED VIEW online_and_store_by_day WITH (chart = 'stacked', x = 'day', y = 'gmv', title = 'Online and store') AS
SELECT
    d.day, q.currency,
    CAST(sum(q.orders) FILTER (WHERE NOT q.in_store) AS BIGINT) AS online_orders,
    CAST(sum(q.orders) FILTER (WHERE q.in_store) AS BIGINT) AS store_orders,
    CAST(sum(q.gmv) FILTER (WHERE NOT q.in_store) AS DECIMAL(18, 2)) AS online_gmv,
    CAST(sum(q.gmv) FILTER (WHERE q.in_store) AS DECIMAL(18, 2)) AS store_gmv,
    CAST(sum(q.net_sales) FILTER (WHERE NOT q.in_store) AS DECIMAL(18, 2)) AS online_net_sales,
    CAST(sum(q.net_sales) FILTER (WHERE q.in_store) AS DECIMAL(18, 2)) AS store_net_sales
FROM (
    SELECT
        s.quarter, s.currency, s.orders, s.gmv,
        s.gmv - s.discounts - s.cancellations - s.refunds AS net_sales,
        coalesce(x.side = 'store', s.channel = 'unstated' AND s.location <> 'unstated') AS in_store
    FROM sales_by_quarter s
    LEFT JOIN sides x ON x.channel = s.channel
) q
JOIN shop_days d ON d.quarter = q.quarter
GROUP BY d.day, q.currency;
COMMENT ON VIEW online_and_store_by_day IS 'Orders and sales of the online channels beside those of the stores, by the shop''s day. A side without an order is empty.';

CREATE VIEW usual_payment_kinds AS
SELECT payment_method, kind FROM payment_kinds
UNION ALL
SELECT d.payment_method, d.kind
FROM (VALUES
    ('klarna', 'buy now pay later'), ('afterpay', 'buy now pay later'), ('clearpay', 'buy now pay later'),
    ('affirm', 'buy now pay later'), ('bnpl', 'buy now pay later'), ('instalments', 'buy now pay later'),
    ('card', 'card'), ('visa', 'card'), ('mastercard', 'card'), ('amex', 'card'),
    ('paypal', 'wallet'), ('apple_pay', 'wallet'), ('google_pay', 'wallet'), ('alipay', 'wallet'), ('wechat_pay', 'wallet'),
    ('transfer', 'bank transfer'), ('invoice', 'invoice'), ('cash', 'cash')
) d (payment_method, kind)
WHERE NOT EXISTS (SELECT 1 FROM payment_kinds k WHERE k.payment_method = d.payment_method);
COMMENT ON VIEW usual_payment_kinds IS 'Payment methods with their kind: payment_kinds, and the usual ones that it does not name.';

CREATE VIEW payment_groups AS
SELECT payment_method, currency, live_session_id, count(*) AS payments, sum(amount) AS amount
FROM (
    SELECT lower(p.payment_method) AS payment_method, p.currency, o.live_session_id, p.amount
    FROM payments p
    LEFT JOIN placed_orders o ON o.order_id = p.order_id AND o.live_session_id IS NOT NULL
)
GROUP BY payment_method, currency, live_session_id;
COMMENT ON VIEW payment_groups IS 'Payments by method, currency and, if their order was placed in one, live session.';

CREATE MATERIALIZED VIEW payments_by_kind WITH (chart = 'bar', x = 'kind', y = 'amount', title = 'How people pay') AS
SELECT
    k.live_session_id, k.currency, k.kind,
    CAST(k.payments AS BIGINT) AS payments,
    CAST(k.amount AS DECIMAL(18, 2)) AS amount,
    CAST(CAST(k.payments AS DECIMAL(18, 6)) / t.payments AS DECIMAL(9, 4)) AS share
FROM (
    SELECT
        coalesce(g.live_session_id, 'outside live sessions') AS live_session_id, g.currency,
        CASE WHEN g.payment_method IS NULL THEN 'unstated' ELSE coalesce(u.kind, 'other') END AS kind,
        sum(g.payments) AS payments, sum(g.amount) AS amount
    FROM payment_groups g
    LEFT JOIN usual_payment_kinds u ON u.payment_method = g.payment_method
    GROUP BY coalesce(g.live_session_id, 'outside live sessions'), g.currency,
        CASE WHEN g.payment_method IS NULL THEN 'unstated' ELSE coalesce(u.kind, 'other') END
) k
JOIN (
    SELECT coalesce(live_session_id, 'outside live sessions') AS live_session_id, currency, sum(payments) AS payments
    FROM payment_groups
    GROUP BY coalesce(live_session_id, 'outside live sessions'), currency
) t ON t.live_session_id = k.live_session_id AND t.currency = k.currency;
COMMENT ON VIEW payments_by_kind IS 'Payments by kind (card, wallet, buy now pay later, ...), in each live session and outside of them.';
COMMENT ON COLUMN payments_by_kind.share IS 'Of the number of payments in this currency and session.';
