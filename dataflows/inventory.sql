-- Inventory: how much there is and where, what runs low, how long it lasts.
--
--   on hand        the latest count plus all changes since; without a count, all changes.
--   reserved       units set aside by `reserve` movements and not yet freed by `release`.
--   available      on hand - reserved.
--   days of cover  available / mean daily units on days in stock.
--
-- A change at the very time of a count comes on top of it: the count is what the shelf held when
-- it was counted. Of two counts at one time the one with the greater event_id stands, and without
-- ids the smaller count. Reserved units come from the stock system's own `reserve` and `release`
-- movements, never from orders: where a sale takes stock at once, counting its order as well would
-- subtract it twice. Levels may be below zero; that is oversold, and shown, not hidden.
--
-- State: every movement, by product and location (a count that arrives late changes which of them
-- count); a row for each product, location and day with movements; a row for each product,
-- location and day of the last `cover_days`. A new count costs a pass over the movements of its
-- product and location.

CREATE VIEW stock_moves AS
SELECT
    m.product_id,
    coalesce(m.location, 'unstated') AS location,
    m.event_id,
    m.quantity AS counted,
    CASE WHEN m.quantity IS NULL AND (m.kind IS NULL OR lower(m.kind) NOT IN ('reserve', 'release'))
        THEN coalesce(m.change, 0) ELSE 0 END AS change,
    CASE lower(m.kind)
        WHEN 'reserve' THEN abs(coalesce(m.change, 0))
        WHEN 'release' THEN -abs(coalesce(m.change, 0))
        ELSE 0 END AS reserved,
    m.at,
    d.day
FROM stock_movements m
JOIN shop_days d ON d.quarter = date_bin(INTERVAL '15 minutes', m.at);
COMMENT ON VIEW stock_moves IS 'Movements with what they do to stock and to reservations, and the shop''s day they fall on.';

CREATE VIEW latest_counts AS
SELECT product_id, location, counted, at
FROM (
    SELECT
        product_id, location, counted, at,
        row_number() OVER (
            PARTITION BY product_id, location ORDER BY at DESC, event_id DESC NULLS LAST, counted) AS place
    FROM stock_moves
    WHERE counted IS NOT NULL
)
WHERE place <= 1;
COMMENT ON VIEW latest_counts IS 'The latest count of each product at each location.';

CREATE MATERIALIZED VIEW inventory_by_location WITH (chart = 'table', title = 'Stock by product and location') AS
SELECT
    product_id, location, on_hand, reserved, on_hand - reserved AS available, counted_at, moved_at
FROM (
    SELECT
        m.product_id,
        m.location,
        coalesce(max(c.counted), 0)
            + coalesce(sum(m.change) FILTER (WHERE c.at IS NULL OR m.at >= c.at), 0) AS on_hand,
        sum(m.reserved) AS reserved,
        max(c.at) AS counted_at,
        max(m.at) AS moved_at
    FROM stock_moves m
    LEFT JOIN latest_counts c ON c.product_id = m.product_id AND c.location = m.location
    GROUP BY m.product_id, m.location
);
COMMENT ON VIEW inventory_by_location IS 'How many units of each product are at each location.';
COMMENT ON COLUMN inventory_by_location.counted_at IS 'When they were last counted; empty if never.';

CREATE MATERIALIZED VIEW inventory_by_product WITH (chart = 'bar', x = 'product_id', y = 'available', title = 'Stock by product') AS
SELECT
    l.product_id,
    p.name,
    count(*) AS locations,
    sum(l.on_hand) AS on_hand,
    sum(l.reserved) AS reserved,
    sum(l.available) AS available
FROM inventory_by_location l
LEFT JOIN all_products p ON p.product_id = l.product_id
GROUP BY l.product_id, p.name;
COMMENT ON VIEW inventory_by_product IS 'How many units of each product there are at all locations together.';

CREATE MATERIALIZED VIEW low_stock WITH (chart = 'table', title = 'Low stock', threshold = 'threshold') AS
SELECT product_id, location, available, threshold
FROM (
    SELECT
        l.product_id,
        l.location,
        l.available,
        coalesce(here.threshold, anywhere.threshold, s.low_stock_threshold) AS threshold
    FROM inventory_by_location l
    CROSS JOIN shop s
    LEFT JOIN low_stock_thresholds here ON here.product_id = l.product_id AND here.location = l.location
    LEFT JOIN low_stock_thresholds anywhere ON anywhere.product_id = l.product_id AND anywhere.location = '*'
)
WHERE available < threshold;
COMMENT ON VIEW low_stock IS 'Products of which fewer units are available than the threshold: that of the location, else that of the product, else the shop''s.';

CREATE MATERIALIZED VIEW oversold WITH (chart = 'table', title = 'Oversold') AS
SELECT product_id, location, on_hand, reserved, available
FROM inventory_by_location
WHERE available < 0;
COMMENT ON VIEW oversold IS 'Products of which more is promised than there is.';

CREATE MATERIALIZED VIEW channel_differences WITH (chart = 'table', title = 'Channels out of step') AS
SELECT
    c.channel,
    c.product_id,
    c.quantity AS offered,
    coalesce(p.available, 0) AS available,
    c.quantity - coalesce(p.available, 0) AS difference
FROM channel_stock c
LEFT JOIN inventory_by_product p ON p.product_id = c.product_id
WHERE c.quantity <> coalesce(p.available, 0);
COMMENT ON VIEW channel_differences IS 'Channels that offer another number of units than are available at all locations together.';

CREATE MATERIALIZED VIEW transfers WITH (chart = 'table', title = 'Transfers') AS
SELECT
    transfer_id, product_id, from_location, to_location, sent, received, sent - received AS on_the_way, sent_at, received_at,
    CASE
        WHEN sent = 0 THEN 'arrived, never sent'
        WHEN received = 0 THEN 'on the way'
        WHEN received < sent THEN 'arrived in part'
        WHEN received = sent THEN 'arrived'
        ELSE 'arrived with more than was sent'
    END AS state,
    received < sent AND CAST(t.day AS TIMESTAMP) > sent_at + arrow_cast(86400 * s.transfer_days, 'Duration(Second)') AS overdue
FROM (
    SELECT
        transfer_id,
        product_id,
        min(location) FILTER (WHERE change < 0) AS from_location,
        min(location) FILTER (WHERE change > 0) AS to_location,
        coalesce(-sum(change) FILTER (WHERE change < 0), 0) AS sent,
        coalesce(sum(change) FILTER (WHERE change > 0), 0) AS received,
        min(at) FILTER (WHERE change < 0) AS sent_at,
        max(at) FILTER (WHERE change > 0) AS received_at
    FROM stock_movements
    WHERE transfer_id IS NOT NULL
    GROUP BY transfer_id, product_id
)
CROSS JOIN shop s
CROSS JOIN today t;
COMMENT ON VIEW transfers IS 'Units sent from one location to another, and whether they have arrived.';

---------------------------------------------------------------------------------------------------
-- Stock by day, for days of cover and stock-outs
---------------------------------------------------------------------------------------------------

CREATE VIEW last_counts_of_days AS
SELECT product_id, location, day, counted, at
FROM (
    SELECT
        product_id, location, day, counted, at,
        row_number() OVER (
            PARTITION BY product_id, location, day ORDER BY at DESC, event_id DESC NULLS LAST, counted) AS place
    FROM stock_moves
    WHERE counted IS NOT NULL
)
WHERE place <= 1;
COMMENT ON VIEW last_counts_of_days IS 'The last count of each day.';

CREATE VIEW stock_days AS
SELECT
    m.product_id,
    m.location,
    m.day,
    max(c.counted) AS counted,
    coalesce(max(c.counted), 0)
        + coalesce(sum(m.change) FILTER (WHERE c.at IS NULL OR m.at >= c.at), 0) AS change
FROM stock_moves m
LEFT JOIN last_counts_of_days c
    ON c.product_id = m.product_id AND c.location = m.location AND c.day = m.day
GROUP BY m.product_id, m.location, m.day;
COMMENT ON VIEW stock_days IS 'By day: the change of the day or, on a day with a count, the level at its end.';

CREATE VIEW cover_days AS
SELECT CAST(midnight - arrow_cast(86400 * days_ago, 'Duration(Second)') AS DATE) AS day, days_ago
FROM (
    SELECT CAST(t.day AS TIMESTAMP) AS midnight, unnest(range(0, s.cover_days + 1)) AS days_ago
    FROM today t
    CROSS JOIN shop s
);
COMMENT ON VIEW cover_days IS 'The days that days of cover looks back on, and the day before them.';

CREATE VIEW last_count_days AS
SELECT s.product_id, s.location, d.day, max(s.day) FILTER (WHERE s.counted IS NOT NULL) AS count_day
FROM stock_days s
CROSS JOIN cover_days d
WHERE s.day <= d.day
GROUP BY s.product_id, s.location, d.day;
COMMENT ON VIEW last_count_days IS 'For each of those days, the latest day with a count, that day included.';

CREATE VIEW closing_levels AS
SELECT d.product_id, d.location, d.day, sum(s.change) AS on_hand
FROM last_count_days d
JOIN stock_days s ON s.product_id = d.product_id AND s.location = d.location
WHERE s.day <= d.day AND (d.count_day IS NULL OR s.day >= d.count_day)
GROUP BY d.product_id, d.location, d.day;
COMMENT ON VIEW closing_levels IS 'How many units there were at the end of each of those days.';

CREATE VIEW closing_stock AS
SELECT product_id, day, sum(CASE WHEN on_hand > 0 THEN on_hand ELSE 0 END) AS on_hand
FROM closing_levels
GROUP BY product_id, day;
COMMENT ON VIEW closing_stock IS 'The same over all locations; a location below zero does not hide what another one has.';

CREATE VIEW days_in_stock AS
SELECT t.product_id, t.day
FROM closing_stock t
JOIN cover_days d ON d.day = t.day
CROSS JOIN shop s
LEFT JOIN closing_stock y ON y.product_id = t.product_id AND y.day = CAST(CAST(t.day AS TIMESTAMP) - INTERVAL '1 day' AS DATE)
WHERE d.days_ago < s.cover_days AND (t.on_hand > 0 OR y.on_hand > 0);
COMMENT ON VIEW days_in_stock IS 'Days on which a product was in stock: at their beginning or at their end.';

CREATE VIEW units_by_day AS
SELECT q.product_id, d.day, sum(q.units) AS units
FROM (
    SELECT product_id, date_bin(INTERVAL '15 minutes', at) AS quarter, sum(units_net) AS units
    FROM sale_entries
    WHERE product_id IS NOT NULL
    GROUP BY product_id, date_bin(INTERVAL '15 minutes', at)
) q
JOIN shop_days d ON d.quarter = q.quarter
GROUP BY q.product_id, d.day;
COMMENT ON VIEW units_by_day IS 'Units sold by product and day, after cancellations and returns.';

CREATE MATERIALIZED VIEW days_of_cover WITH (chart = 'table', title = 'Days of cover') AS
SELECT
    product_id,
    available,
    days_in_stock,
    units_sold,
    CAST(CAST(units_sold AS DECIMAL(18, 4)) / days_in_stock AS DECIMAL(18, 2)) AS units_per_day,
    CAST(CAST(available * days_in_stock AS DECIMAL(18, 4)) / nullif(units_sold, 0) AS DECIMAL(18, 1)) AS days_of_cover
FROM (
    SELECT
        p.product_id,
        p.available,
        count(d.day) AS days_in_stock,
        coalesce(sum(u.units), 0) AS units_sold
    FROM inventory_by_product p
    JOIN days_in_stock d ON d.product_id = p.product_id
    LEFT JOIN units_by_day u ON u.product_id = p.product_id AND u.day = d.day
    GROUP BY p.product_id, p.available
);
COMMENT ON VIEW days_of_cover IS 'How many days the available units last at the rate at which they sold on days in stock, of the last `cover_days` days with today.';
COMMENT ON COLUMN days_of_cover.days_of_cover IS 'available / units_per_day; empty if nothing was sold.';

CREATE MATERIALIZED VIEW stock_outs WITH (chart = 'bar', x = 'product_id', y = 'stock_outs', title = 'Stock-outs') AS
SELECT
    t.product_id,
    t.location,
    count(*) FILTER (WHERE y.on_hand > 0) AS stock_outs,
    count(*) AS days_out
FROM closing_levels t
JOIN cover_days d ON d.day = t.day
CROSS JOIN shop s
LEFT JOIN closing_levels y
    ON y.product_id = t.product_id AND y.location = t.location
    AND y.day = CAST(CAST(t.day AS TIMESTAMP) - INTERVAL '1 day' AS DATE)
WHERE d.days_ago < s.cover_days AND t.on_hand <= 0
GROUP BY t.product_id, t.location;
COMMENT ON VIEW stock_outs IS 'How often a product ran out at a location in the last `cover_days` days, seen at the end of each day: out today, not out the day before.';
COMMENT ON COLUMN stock_outs.days_out IS 'On how many days it was out at the end of the day.';
