-- Order processing: where orders are, how long they stay there, and what goes wrong on the way.
--
--   state       what the latest line of an order says: created, validated, paid, stock_checked,
--               shipped, delivered; cancelled and refunded end an order; payment_failed and
--               stock_check_failed are failures. Other names are states as well, without a place.
--               A line with items and without a status creates the order.
--   step        the place of a state on the way, from `order_steps`. Cancelled, refunded and
--               failures have none and may come at any time.
--   skipped     a step that is required in the order's channel and lies between two states of it.
--               In a store nothing is validated, stock checked or shipped.
--   went back   to an earlier step, or on after being cancelled or refunded.
--   stuck       longer in a state than `stuck_after_minutes` of it, by the shop's clock.
--
-- Lines are taken in the order of their times, those of one time in the order of their steps. So
-- a line that comes late goes to its own place, and what follows from it is corrected: an order
-- that seemed to skip payment does not, once the payment arrives. Orders of removed users are in no
-- figure. `refunded` is what the lines of orders say; money given back is in Sales.
--
-- State: every line of an order, in its order; at most 100 an order count. It grows with orders.
-- Only orders that can still be stuck are looked at again with every minute of the clock.

CREATE TABLE order_steps (
    status TEXT,
    channel TEXT,
    step BIGINT,
    is_required BOOLEAN,
    stuck_after_minutes BIGINT,
    PRIMARY KEY (status, channel)
);
COMMENT ON TABLE order_steps IS 'The way of an order. Channel `*` stands for every channel without a line of its own; a line replaces the usual one for its status and channel.';
COMMENT ON COLUMN order_steps.step IS 'Place on the way, from 1; empty for a state that may come at any time.';
COMMENT ON COLUMN order_steps.is_required IS 'Whether passing it over is a skip.';
COMMENT ON COLUMN order_steps.stuck_after_minutes IS 'How long an order may stay in it; empty for as long as it likes.';

CREATE VIEW steps AS
SELECT status, channel, step, is_required, stuck_after_minutes FROM order_steps
UNION ALL
SELECT d.status, d.channel, d.step, d.is_required, d.stuck_after_minutes
FROM (VALUES
    ('created', '*', 1, true, 60), ('validated', '*', 2, true, 60), ('paid', '*', 3, true, 240),
    ('stock_checked', '*', 4, true, 1440), ('shipped', '*', 5, true, 10080), ('delivered', '*', 6, true, NULL),
    ('payment_failed', '*', NULL, false, 1440), ('stock_check_failed', '*', NULL, false, 1440),
    ('cancelled', '*', NULL, false, NULL), ('refunded', '*', NULL, false, NULL),
    ('validated', 'store', 2, false, 60), ('stock_checked', 'store', 4, false, 60), ('shipped', 'store', 5, false, 60)
) d (status, channel, step, is_required, stuck_after_minutes)
WHERE NOT EXISTS (SELECT 1 FROM order_steps o WHERE o.status = d.status AND o.channel = d.channel);
COMMENT ON VIEW steps IS 'The steps in force: order_steps, and the usual ones that it does not replace.';

---------------------------------------------------------------------------------------------------
-- The history of each order
---------------------------------------------------------------------------------------------------

CREATE VIEW removed_orders AS
SELECT DISTINCT o.order_id
FROM all_orders o
JOIN people p ON p.visitor_id = o.user_id
WHERE p.removed;
COMMENT ON VIEW removed_orders IS 'Orders of removed users.';

CREATE VIEW order_changes AS
SELECT
    l.order_id, l.event_id, l.status, l.at,
    coalesce(s.channel, 'unstated') AS channel
FROM (
    SELECT
        order_id, event_id, at,
        CASE translate(lower(coalesce(status, 'created')), ' -', '__')
            WHEN 'canceled' THEN 'cancelled'
            WHEN 'placed' THEN 'created'
            ELSE translate(lower(coalesce(status, 'created')), ' -', '__')
        END AS status
    FROM all_orders
    WHERE status IS NOT NULL OR cardinality(items) > 0
) l
LEFT JOIN order_starts s ON s.order_id = l.order_id
WHERE NOT EXISTS (SELECT 1 FROM removed_orders r WHERE r.order_id = l.order_id);
COMMENT ON VIEW order_changes IS 'What happened to orders, spellings brought together.';

CREATE VIEW order_history AS
SELECT order_id, n, status, channel, step, stuck_after_minutes, at
FROM (
    SELECT
        c.order_id, c.status, c.channel, c.at,
        coalesce(here.step, anywhere.step) AS step,
        CASE WHEN here.status IS NULL THEN anywhere.stuck_after_minutes ELSE here.stuck_after_minutes END AS stuck_after_minutes,
        row_number() OVER (
            PARTITION BY c.order_id
            ORDER BY c.at, coalesce(here.step, anywhere.step, 100), c.status, c.event_id) AS n
    FROM order_changes c
    LEFT JOIN steps here ON here.status = c.status AND here.channel = c.channel
    LEFT JOIN steps anywhere ON anywhere.status = c.status AND anywhere.channel = '*'
)
WHERE n <= 100;
COMMENT ON VIEW order_history IS 'The lines of each order in their order, numbered from 1.';

CREATE VIEW order_stays AS
SELECT h.order_id, h.n, h.status, h.channel, h.step, h.stuck_after_minutes, h.at AS since, l.at AS until
FROM order_history h
LEFT JOIN order_history l ON l.order_id = h.order_id AND l.n = h.n + 1;
COMMENT ON VIEW order_stays IS 'From when until when an order was in a state; without an end for the state it is in.';

CREATE MATERIALIZED VIEW order_states WITH (chart = 'table', title = 'Orders and their states') AS
SELECT order_id, status, channel, since, n AS changes
FROM order_stays
WHERE until IS NULL;
COMMENT ON VIEW order_states IS 'Every order with the state it is in.';
COMMENT ON COLUMN order_states.since IS 'When it came into the state (UTC).';
COMMENT ON COLUMN order_states.changes IS 'How many lines about it count.';

---------------------------------------------------------------------------------------------------
-- Answers
---------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW orders_by_state WITH (chart = 'bar', x = 'status', y = 'orders', title = 'Orders by state') AS
SELECT coalesce(s.status, o.status) AS status, s.step, coalesce(o.orders, 0) AS orders, o.oldest_since
FROM (SELECT status, step FROM steps WHERE channel = '*') s
FULL JOIN (SELECT status, count(*) AS orders, min(since) AS oldest_since FROM order_states GROUP BY status) o
    ON o.status = s.status
ORDER BY step, status;
COMMENT ON VIEW orders_by_state IS 'How many orders are in each state now; states of the way are listed when there are none.';
COMMENT ON COLUMN orders_by_state.oldest_since IS 'Since when the order that has been there longest is in it (UTC).';

CREATE MATERIALIZED VIEW time_in_state WITH (chart = 'bar', x = 'status', y = 'mean_minutes', title = 'Time in each state', unit = 'minutes') AS
SELECT
    status, count(*) AS stays,
    CAST(CAST(sum(seconds) AS DECIMAL(28, 4)) / (60 * count(*)) AS DECIMAL(18, 1)) AS mean_minutes,
    CAST(CAST(min(seconds) AS DECIMAL(18, 4)) / 60 AS DECIMAL(18, 1)) AS shortest_minutes,
    CAST(CAST(max(seconds) AS DECIMAL(18, 4)) / 60 AS DECIMAL(18, 1)) AS longest_minutes
FROM (
    SELECT status, CAST(extract(EPOCH FROM until - since) AS BIGINT) AS seconds FROM order_stays WHERE until IS NOT NULL
)
GROUP BY status;
COMMENT ON VIEW time_in_state IS 'How long orders stayed in each state that they have left. A late line splits the stay that it falls into.';

CREATE MATERIALIZED VIEW orders_stuck WITH (chart = 'table', title = 'Orders that are stuck', threshold = 'stuck_after_minutes') AS
SELECT order_id, status, channel, since, stuck_after_minutes
FROM (
    SELECT order_id, status, channel, since, stuck_after_minutes, since + arrow_cast(60 * stuck_after_minutes, 'Duration(Second)') AS due_at
    FROM order_stays
    WHERE until IS NULL AND stuck_after_minutes IS NOT NULL
)
CROSS JOIN clock c
WHERE c.minute > due_at
ORDER BY since, order_id;
COMMENT ON VIEW orders_stuck IS 'Orders that have been in their state for longer than it may last, the oldest first.';

CREATE VIEW order_path AS
SELECT
    order_id, status, channel, step, at,
    row_number() OVER (PARTITION BY order_id ORDER BY n) AS place
FROM order_history
WHERE step IS NOT NULL OR status IN ('cancelled', 'refunded')
QUALIFY place <= 100;
COMMENT ON VIEW order_path IS 'The states of each order that have a place on the way or end it.';

CREATE VIEW order_moves AS
SELECT
    t.order_id, f.status AS from_status, t.status AS to_status, t.channel, t.at,
    CASE WHEN f.status IS NULL THEN 0 ELSE f.step END AS from_step, t.step AS to_step
FROM order_path t
LEFT JOIN order_path f ON f.order_id = t.order_id AND f.place = t.place - 1
WHERE t.step IS NOT NULL AND (f.status IS NULL OR f.step IS NULL OR t.step <> f.step);
COMMENT ON VIEW order_moves IS 'Moves to a step, with where they come from; step 0 is nowhere.';

CREATE MATERIALIZED VIEW state_changes_out_of_order WITH (chart = 'table', title = 'Orders off the way') AS
SELECT order_id, from_status, to_status, at, 'skipped ' || string_agg(skipped, ', ' ORDER BY step) AS fault
FROM (
    SELECT m.order_id, m.from_status, m.to_status, m.at, s.status AS skipped, s.step
    FROM order_moves m
    CROSS JOIN steps s
    LEFT JOIN steps here ON here.status = s.status AND here.channel = m.channel
    WHERE m.to_step > m.from_step + 1 AND s.channel = '*' AND s.step > m.from_step AND s.step < m.to_step
        AND coalesce(here.is_required, s.is_required)
)
GROUP BY order_id, from_status, to_status, at
UNION ALL
SELECT
    order_id, from_status, to_status, at,
    CASE WHEN from_step IS NULL THEN 'went on after being ' || from_status ELSE 'went back' END
FROM order_moves
WHERE from_step IS NULL OR to_step < from_step;
COMMENT ON VIEW state_changes_out_of_order IS 'Changes of state that pass over a required step, go back, or go on after the end. A late line that fills the gap takes its row away.';

CREATE MATERIALIZED VIEW order_failures WITH (chart = 'table', title = 'Payments and stock checks that failed') AS
SELECT
    f.order_id, f.status AS failure, f.times, f.last_failed_at,
    CASE
        WHEN s.status = f.status THEN 'waiting'
        WHEN s.status IN ('cancelled', 'refunded') THEN s.status
        ELSE 'went on'
    END AS outcome
FROM (
    SELECT order_id, status, count(*) AS times, max(at) AS last_failed_at
    FROM order_history
    WHERE status LIKE '%\_failed'
    GROUP BY order_id, status
) f
JOIN order_states s ON s.order_id = f.order_id;
COMMENT ON VIEW order_failures IS 'Orders whose payment or stock check failed, how often, and what became of them: waiting, went on, cancelled or refunded.';

CREATE MATERIALIZED VIEW order_failures_by_kind WITH (chart = 'bar', x = 'failure', y = 'orders', title = 'Failures') AS
SELECT
    failure, count(*) AS orders,
    count(*) FILTER (WHERE outcome = 'waiting') AS waiting,
    count(*) FILTER (WHERE outcome = 'went on') AS went_on,
    count(*) FILTER (WHERE outcome IN ('cancelled', 'refunded')) AS ended
FROM order_failures
GROUP BY failure;
COMMENT ON VIEW order_failures_by_kind IS 'How many orders failed, and what became of them.';
