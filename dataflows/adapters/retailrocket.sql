-- RetailRocket: visits of a web shop and the changing properties of its items, as published (CSV).
--
--   events.csv           timestamp (ms), visitorid, event (view | addtocart | transaction), itemid,
--                        transactionid
--   item_properties.csv  timestamp (ms), itemid, property, value
--
-- A transactionid is an order of one unit of each of its items; nobody says what they cost, so
-- orders add units and no money. Of the properties only `categoryid` is readable (the others are
-- hashed): it files the item from that time on.
--
-- State: the items of each transaction; every change of category.

CREATE TABLE retailrocket (
    at TIMESTAMP NOT NULL,
    visitorid TEXT NOT NULL,
    event TEXT NOT NULL,
    itemid TEXT NOT NULL,
    transactionid TEXT
) WITH (event_time = 'at', time_unit = 'ms', fields = 'at = timestamp');
COMMENT ON TABLE retailrocket IS 'Events of the Retailrocket recommender system dataset.';

CREATE TABLE retailrocket_properties (
    at TIMESTAMP NOT NULL,
    itemid TEXT NOT NULL,
    property TEXT NOT NULL,
    value TEXT
) WITH (event_time = 'at', time_unit = 'ms', fields = 'at = timestamp');
COMMENT ON TABLE retailrocket_properties IS 'Properties of items from a time on.';

CREATE VIEW retailrocket_behavior AS
SELECT visitorid AS user_id, event AS action, itemid AS product_id, at
FROM retailrocket;
COMMENT ON VIEW retailrocket_behavior IS 'Its events in the shape of the table behavior.';

CREATE VIEW retailrocket_orders AS
SELECT
    transactionid AS order_id,
    min(visitorid) AS user_id,
    array_agg(named_struct(
        'product_id', itemid, 'quantity', CAST(1 AS BIGINT), 'price', CAST(NULL AS DECIMAL(18, 4)),
        'discount', CAST(NULL AS DECIMAL(18, 4)), 'category', CAST(NULL AS TEXT)) ORDER BY at, itemid) AS items,
    min(at) AS at
FROM retailrocket
WHERE event = 'transaction' AND transactionid IS NOT NULL
GROUP BY transactionid;
COMMENT ON VIEW retailrocket_orders IS 'Its transactions in the shape of the table orders.';

CREATE VIEW retailrocket_product_history AS
SELECT DISTINCT itemid AS product_id, value AS category, at
FROM retailrocket_properties
WHERE property = 'categoryid';
COMMENT ON VIEW retailrocket_product_history IS 'In which category items were when, in the shape of the table product_history.';

CREATE VIEW retailrocket_products AS
SELECT product_id, category
FROM (
    SELECT product_id, category, row_number() OVER (PARTITION BY product_id ORDER BY at DESC, category) AS place
    FROM retailrocket_product_history
)
WHERE place <= 1;
COMMENT ON VIEW retailrocket_products IS 'In which category items are now, in the shape of the table products.';
