-- What the shop tells Tillrace: one table for each kind of event, and the small tables by which a
-- shop says how it wants to be measured.
--
-- A table is filled with `--input table=path`. Field names differ from shop to shop; `fields` lists
-- the names under which each column is looked for, best first. Ids may be written as numbers or as
-- text. An event without a time takes the time at which it was read. Where an id for the event is
-- given, an event that arrives twice counts once: the first is kept, whatever the second says.
-- An event without such an id is always kept.
--
-- State: tables hold nothing themselves; what a view needs of them, the view keeps. The ids of
-- events are remembered for the stated horizon.

---------------------------------------------------------------------------------------------------
-- What happens
---------------------------------------------------------------------------------------------------

CREATE TABLE behavior (
    event_id TEXT,
    user_id TEXT,
    anonymous_id TEXT,
    session_id TEXT,
    action TEXT NOT NULL,
    product_id TEXT,
    page_url TEXT,
    channel TEXT,
    live_session_id TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'event_id = event_id | messageId,
              user_id = user_id | userId | visitorid,
              anonymous_id = anonymous_id | anonymousId,
              session_id = session_id | user_session,
              action = action | event | event_type,
              product_id = product_id | itemid | properties.product_id,
              page_url = page_url | properties.url | context.page.url,
              channel = channel | properties.channel,
              live_session_id = live_session_id | properties.live_session_id,
              at = timestamp | event_time | at'
);
COMMENT ON TABLE behavior IS 'What visitors do: looking, putting into the cart, buying.';
COMMENT ON COLUMN behavior.user_id IS 'Who, if signed in.';
COMMENT ON COLUMN behavior.anonymous_id IS 'The visitor''s cookie or device, if not signed in.';
COMMENT ON COLUMN behavior.action IS 'What was done; spellings are brought together in the view events.';
COMMENT ON COLUMN behavior.product_id IS 'With what; if missing it is taken from page_url.';
COMMENT ON COLUMN behavior.live_session_id IS 'In which live session, if in one.';

CREATE TABLE orders (
    event_id TEXT,
    order_id TEXT NOT NULL,
    user_id TEXT,
    status TEXT,
    items ARRAY<STRUCT<product_id TEXT, quantity BIGINT, price DECIMAL(18, 4), discount DECIMAL(18, 4), category TEXT>>,
    discount DECIMAL(18, 4),
    currency TEXT,
    channel TEXT,
    location TEXT,
    live_session_id TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'event_id = event_id | messageId,
              order_id = order_id | properties.order_id,
              user_id = user_id | userId,
              items = items | properties.products,
              discount = discount | properties.discount,
              currency = currency | properties.currency,
              channel = channel | properties.channel,
              location = location | store_id,
              live_session_id = live_session_id | properties.live_session_id,
              at = timestamp | event_time | at'
);
COMMENT ON TABLE orders IS 'What happens to orders, an event a line: created with its items, then paid, shipped, cancelled, ...';
COMMENT ON COLUMN orders.items IS 'What was ordered. price is for one unit, discount is for the whole line.';
COMMENT ON COLUMN orders.discount IS 'A discount on the whole order, beside those of its lines.';
COMMENT ON COLUMN orders.location IS 'The store, if it was bought in one.';
COMMENT ON COLUMN orders.live_session_id IS 'The live session in which it was bought, if in one.';

CREATE TABLE refunds (
    refund_id TEXT,
    order_id TEXT NOT NULL,
    product_id TEXT,
    quantity BIGINT,
    amount DECIMAL(18, 4) NOT NULL,
    currency TEXT,
    reason TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'refund_id',
    fields = 'refund_id = refund_id | event_id, at = timestamp | at'
);
COMMENT ON TABLE refunds IS 'Money given back for an order or for some units of one of its products.';
COMMENT ON COLUMN refunds.quantity IS 'How many units came back, if any did.';
COMMENT ON COLUMN refunds.amount IS 'How much was given back, in the currency of the order.';

CREATE TABLE stock_movements (
    event_id TEXT,
    product_id TEXT NOT NULL,
    location TEXT,
    change BIGINT,
    quantity BIGINT,
    kind TEXT,
    transfer_id TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'at = timestamp | at'
);
COMMENT ON TABLE stock_movements IS 'What happens to stock: changes by so many units, and counts that state how many there are.';
COMMENT ON COLUMN stock_movements.change IS 'How many units more, or fewer if negative.';
COMMENT ON COLUMN stock_movements.quantity IS 'How many units were counted; replaces all that was known before.';
COMMENT ON COLUMN stock_movements.kind IS '`reserve` and `release` move units between free and reserved; any other kind moves stock.';
COMMENT ON COLUMN stock_movements.transfer_id IS 'Joins the departure from one location to the arrival at another.';

CREATE TABLE metrics (
    event_id TEXT,
    metric TEXT NOT NULL,
    value DECIMAL(18, 4) NOT NULL,
    category TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'at = timestamp | at'
);
COMMENT ON TABLE metrics IS 'Figures that other systems report: sales, errors, ...';

CREATE TABLE transactions (
    transaction_id TEXT,
    order_id TEXT,
    user_id TEXT,
    amount DECIMAL(18, 4) NOT NULL,
    currency TEXT,
    payment_method TEXT,
    card_id TEXT,
    device_id TEXT,
    location TEXT,
    latitude DOUBLE,
    longitude DOUBLE,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'transaction_id',
    fields = 'at = timestamp | at'
);
COMMENT ON TABLE transactions IS 'Payments as they are made.';
COMMENT ON COLUMN transactions.payment_method IS 'How it was paid: card, klarna, cash, ...';
COMMENT ON COLUMN transactions.card_id IS 'A token that stands for the card or account, never its number.';
COMMENT ON COLUMN transactions.location IS 'Where: a store, or the name of a place in `places`.';
COMMENT ON COLUMN transactions.latitude IS 'Degrees north, if known; else `places` is asked for the location.';
COMMENT ON COLUMN transactions.longitude IS 'Degrees east.';

CREATE TABLE ratings (
    event_id TEXT,
    rating_id TEXT,
    user_id TEXT,
    product_id TEXT,
    kind TEXT,
    rating BIGINT NOT NULL,
    feedback TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    fields = 'rating_id = rating_id | ticket_id, at = timestamp | at'
);
COMMENT ON TABLE ratings IS 'What customers say: a figure, and words.';
COMMENT ON COLUMN ratings.rating_id IS 'The same for a rating and for its later edits.';
COMMENT ON COLUMN ratings.kind IS '`nps` for how likely one is to recommend the shop, 0 to 10; anything else is satisfaction, 1 to 5.';

---------------------------------------------------------------------------------------------------
-- What is so now: the later line for a key replaces the earlier
---------------------------------------------------------------------------------------------------

CREATE TABLE products (
    product_id TEXT PRIMARY KEY,
    name TEXT,
    category TEXT,
    price DECIMAL(18, 4),
    currency TEXT,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE products IS 'The catalogue. To re-file a product or change its price, send its line again.';

CREATE TABLE product_history (
    product_id TEXT,
    category TEXT,
    at TIMESTAMP,
    PRIMARY KEY (product_id, at)
) WITH (event_time = 'at', fields = 'at = timestamp | at');
COMMENT ON TABLE product_history IS 'The same lines as `products`, with their times: in which category a product was when. Give both tables the same file.';

CREATE TABLE daily_sales (
    day DATE PRIMARY KEY,
    sales DECIMAL(18, 4) NOT NULL,
    currency TEXT
) WITH (fields = 'day = date | day');
COMMENT ON TABLE daily_sales IS 'What the books say was sold on a day, to be held against what the orders say.';

CREATE TABLE channel_stock (
    channel TEXT,
    product_id TEXT,
    quantity BIGINT NOT NULL,
    PRIMARY KEY (channel, product_id)
);
COMMENT ON TABLE channel_stock IS 'How many units a sales channel believes it can sell.';

CREATE TABLE exchange_rates (
    day DATE,
    currency TEXT,
    rate DECIMAL(18, 8) NOT NULL,
    PRIMARY KEY (day, currency)
);
COMMENT ON TABLE exchange_rates IS 'What one unit of a currency is worth on a day, in the shop''s own currency.';

CREATE TABLE locations (
    location TEXT PRIMARY KEY,
    time_zone TEXT
);
COMMENT ON TABLE locations IS 'Stores and warehouses, and the time zone whose days they live by.';

CREATE TABLE identities (
    anonymous_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE identities IS 'Which anonymous visitor turned out to be which user. Delete the line to take the merge back.';

CREATE TABLE removed_users (
    user_id TEXT PRIMARY KEY,
    reason TEXT,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE removed_users IS 'Bots, and users who asked to be erased: every answer is as if they had never been.';

---------------------------------------------------------------------------------------------------
-- How the shop wants to be measured
---------------------------------------------------------------------------------------------------

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT
);
COMMENT ON TABLE settings IS 'Choices with defaults; the view shop lists them all. A line here overrides the default.';

CREATE TABLE low_stock_thresholds (
    product_id TEXT,
    location TEXT,
    threshold BIGINT NOT NULL,
    PRIMARY KEY (product_id, location)
);
COMMENT ON TABLE low_stock_thresholds IS 'Below how many available units a product is low. Location `*` stands for every location without a line of its own.';

CREATE TABLE utc_offsets (
    time_zone TEXT,
    from_at TIMESTAMP,
    until_at TIMESTAMP NOT NULL,
    offset_minutes BIGINT NOT NULL,
    PRIMARY KEY (time_zone, from_at)
);
COMMENT ON TABLE utc_offsets IS 'By how many minutes a time zone is ahead of UTC, and from when until when.';

CREATE VIEW shop AS
SELECT
    coalesce(max(value) FILTER (WHERE name = 'time_zone'), 'UTC') AS time_zone,
    coalesce(max(value) FILTER (WHERE name = 'currency'), 'unstated') AS currency,
    CAST(coalesce(max(value) FILTER (WHERE name = 'low_stock_threshold'), '10') AS BIGINT) AS low_stock_threshold,
    CAST(coalesce(max(value) FILTER (WHERE name = 'cover_days'), '28') AS BIGINT) AS cover_days,
    CAST(coalesce(max(value) FILTER (WHERE name = 'cart_idle_minutes'), '60') AS BIGINT) AS cart_idle_minutes,
    CAST(coalesce(max(value) FILTER (WHERE name = 'transfer_days'), '7') AS BIGINT) AS transfer_days,
    CAST(coalesce(max(value) FILTER (WHERE name = 'trending_units'), '3') AS BIGINT) AS trending_units,
    CAST(coalesce(max(value) FILTER (WHERE name = 'trending_ratio'), '2') AS DECIMAL(9, 2)) AS trending_ratio,
    CAST(max(value) FILTER (WHERE name = 'clock_not_after') AS TIMESTAMP) AS clock_not_after
FROM settings;
COMMENT ON VIEW shop IS 'The settings in force, one row.';
COMMENT ON COLUMN shop.time_zone IS 'Whose days are meant by "day"; a name from utc_offsets, or UTC.';
COMMENT ON COLUMN shop.currency IS 'The currency of amounts that do not name one.';
COMMENT ON COLUMN shop.low_stock_threshold IS 'Below how many available units a product is low, unless low_stock_thresholds says otherwise.';
COMMENT ON COLUMN shop.cover_days IS 'How many days, today included, are looked back on for days of cover and stock-outs.';
COMMENT ON COLUMN shop.cart_idle_minutes IS 'After how long without a touch a cart without an order counts as abandoned.';
COMMENT ON COLUMN shop.transfer_days IS 'After how many days a transfer that has not arrived whole is overdue.';
COMMENT ON COLUMN shop.trending_units IS 'How many units an hour a product must sell to be called trending.';
COMMENT ON COLUMN shop.trending_ratio IS 'How many times the rate of the 24 hours before it must sell at to be called trending.';
COMMENT ON COLUMN shop.clock_not_after IS 'The shop''s clock never goes beyond this; without it, it follows the newest event.';
