-- What the answers of Retentioneering's click stream ask. The pack's table `behavior` reads the file
-- as it stands; its other columns are read by a table of their own.

CREATE TABLE ecom (
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event TEXT NOT NULL,
    acquisition_channel TEXT,
    user_cohort TEXT,
    at TIMESTAMP NOT NULL
) WITH (event_time = 'at', fields = 'at = timestamp');

CREATE MATERIALIZED VIEW ecom_totals AS
SELECT count(*) AS events, count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions, min(at) AS first_ts, max(at) AS last_ts
FROM ecom;

CREATE MATERIALIZED VIEW ecom_gap_sessions AS
SELECT CAST(sum(actions) AS BIGINT) AS events, count(*) AS sessions_by_30min_gap, count(DISTINCT user_id) AS users
FROM sessions;

CREATE MATERIALIZED VIEW ecom_by_day AS
SELECT e.day, e.events, e.sessions, u.users, e.purchase_events
FROM (
    SELECT
        CAST(at AS DATE) AS day, count(*) AS events, count(DISTINCT session_id) AS sessions,
        count(*) FILTER (WHERE event = 'purchase') AS purchase_events
    FROM ecom
    GROUP BY CAST(at AS DATE)
) e
JOIN active_users_by_day u ON u.day = e.day;

CREATE MATERIALIZED VIEW ecom_by_event AS
SELECT event, count(*) AS events, count(DISTINCT session_id) AS sessions, count(DISTINCT user_id) AS users
FROM ecom
GROUP BY event;

CREATE MATERIALIZED VIEW ecom_cohort_by_month AS
SELECT user_cohort, to_char(month, '%Y-%m') AS month, users, events
FROM (
    SELECT user_cohort, date_trunc('month', at) AS month, count(DISTINCT user_id) AS users, count(*) AS events
    FROM ecom
    GROUP BY user_cohort, date_trunc('month', at)
);

CREATE MATERIALIZED VIEW ecom_funnel_by_channel AS
SELECT
    channel, count(*) AS sessions,
    count(*) FILTER (WHERE viewed) AS viewed,
    count(*) FILTER (WHERE added) AS added,
    count(*) FILTER (WHERE cart) AS cart,
    count(*) FILTER (WHERE payment) AS payment,
    count(*) FILTER (WHERE bought) AS bought
FROM (
    SELECT
        min(acquisition_channel) AS channel,
        bool_or(event = 'product_view') AS viewed,
        bool_or(event = 'add_to_cart') AS added,
        bool_or(event = 'cart') AS cart,
        bool_or(event = 'payment_details') AS payment,
        bool_or(event IN ('payment_done', 'purchase')) AS bought
    FROM ecom
    GROUP BY session_id
)
GROUP BY channel;
