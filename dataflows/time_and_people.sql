-- When and who: the shop's clock, the days of its time zone, and which visitors are one person.
--
-- A day is a day in the shop's time zone (`settings`, UTC unless stated) or, for stores, in the
-- zone of the store. Zones change their clocks only on quarters of an hour, so it is enough to know
-- the day of each quarter of an hour in which something happened.
--
-- State: one row for each quarter of an hour and time zone in use; one row for each merged or
-- removed visitor. Both are small beside the events themselves.

CREATE VIEW clock AS
SELECT date_trunc('minute', least(max(n.at), max(s.clock_not_after))) AS minute
FROM (
    SELECT max(at) AS at FROM behavior
    UNION ALL SELECT max(at) FROM orders
    UNION ALL SELECT max(at) FROM refunds
    UNION ALL SELECT max(at) FROM stock_movements
    UNION ALL SELECT max(at) FROM transactions
    UNION ALL SELECT max(at) FROM ratings
    UNION ALL SELECT max(at) FROM segment
    UNION ALL SELECT max(event_time) FROM rees46
    UNION ALL SELECT max(at) FROM retailrocket
) n
CROSS JOIN shop s;
COMMENT ON VIEW clock IS 'The minute that the shop has reached: the newest event time seen, one row. It moves once a minute, so that what depends on it is renewed no more often.';

CREATE VIEW recent_minutes AS
SELECT minute - arrow_cast(60 * minutes_ago, 'Duration(Second)') AS minute, minutes_ago
FROM (SELECT minute, unnest(range(0, 1441)) AS minutes_ago FROM clock)
WHERE minute IS NOT NULL;
COMMENT ON VIEW recent_minutes IS 'The minutes of the last day, the clock''s own first. What joins them by minute is touched when it becomes recent and when it ceases to be, and not in between.';

CREATE VIEW quarters AS
SELECT date_bin(INTERVAL '15 minutes', at) AS quarter FROM all_behavior
UNION SELECT date_bin(INTERVAL '15 minutes', at) FROM all_orders
UNION SELECT date_bin(INTERVAL '15 minutes', at) FROM stock_movements
UNION SELECT date_bin(INTERVAL '15 minutes', at) FROM ratings
UNION SELECT date_bin(INTERVAL '15 minutes', minute) FROM clock WHERE minute IS NOT NULL;
COMMENT ON VIEW quarters IS 'Quarters of an hour in which something happened.';

CREATE VIEW time_zones AS
SELECT time_zone FROM shop
UNION SELECT time_zone FROM locations WHERE time_zone IS NOT NULL;
COMMENT ON VIEW time_zones IS 'The time zones in use.';

CREATE VIEW local_days AS
SELECT
    q.quarter,
    z.time_zone,
    CAST(q.quarter + arrow_cast(
        60 * CASE WHEN z.time_zone = 'UTC' THEN 0 ELSE o.offset_minutes END,
        'Duration(Second)') AS DATE) AS day
FROM quarters q
CROSS JOIN time_zones z
LEFT JOIN utc_offsets o
    ON o.time_zone = z.time_zone AND o.from_at <= q.quarter AND q.quarter < o.until_at;
COMMENT ON VIEW local_days IS 'The calendar day of each quarter of an hour in each time zone; empty for a zone that utc_offsets does not know.';

CREATE VIEW shop_days AS
SELECT d.quarter, d.day
FROM local_days d
JOIN shop s ON s.time_zone = d.time_zone;
COMMENT ON VIEW shop_days IS 'The calendar day of each quarter of an hour in the shop''s time zone.';

CREATE VIEW today AS
SELECT d.day
FROM clock c
JOIN shop_days d ON d.quarter = date_bin(INTERVAL '15 minutes', c.minute);
COMMENT ON VIEW today IS 'The day that the shop''s clock shows, one row.';

CREATE VIEW people AS
SELECT
    i.anonymous_id AS visitor_id,
    i.user_id AS person_id,
    u.user_id IS NOT NULL OR a.user_id IS NOT NULL AS removed
FROM all_identities i
LEFT JOIN removed_users u ON u.user_id = i.user_id
LEFT JOIN removed_users a ON a.user_id = i.anonymous_id
UNION ALL
SELECT r.user_id AS visitor_id, r.user_id AS person_id, true AS removed
FROM removed_users r
WHERE NOT EXISTS (SELECT 1 FROM all_identities i WHERE i.anonymous_id = r.user_id);
COMMENT ON VIEW people IS 'Visitors who are not simply themselves: merged into a user, or removed.';

CREATE VIEW payments AS
SELECT
    t.transaction_id, t.order_id,
    coalesce(p.person_id, t.user_id) AS person_id,
    t.amount,
    coalesce(t.currency, s.currency) AS currency,
    t.payment_method, t.card_id, t.device_id,
    coalesce(t.location, 'unstated') AS location,
    t.latitude, t.longitude, t.at
FROM transactions t
CROSS JOIN shop s
LEFT JOIN people p ON p.visitor_id = t.user_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW payments IS 'Payments with the person who made them, removed users left out.';
