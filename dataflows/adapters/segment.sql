-- Segment: the e-commerce events of its specification (v2), as its libraries and webhooks send them,
-- one JSON object a line. https://segment.com/docs/connections/spec/ecommerce/v2/
--
--   Order Completed               the order is created, with properties.products as its items
--   Order Cancelled               it is cancelled
--   Order Refunded                money is given back: for each of properties.products price x
--                                 quantity; without products properties.total of the whole order,
--                                 and the order is refunded
--   identify                      the anonymousId is the userId from then on; of several the latest
--   Product Viewed, Product Added, Product Removed, Checkout Started, everything else of type
--   `track`                       an action, with properties.product_id, else properties.sku
--   Order Updated                 changes nothing: the items of an order are those that it was
--                                 completed with
--
-- A messageId that comes twice counts once. `page` and `screen` calls are views of their page.
--
-- State: the messageIds of the last 7 days, one identity a visitor.

CREATE TABLE segment (
    event_id TEXT,
    type TEXT,
    event TEXT,
    user_id TEXT,
    anonymous_id TEXT,
    order_id TEXT,
    product_id TEXT,
    products ARRAY<STRUCT<product_id TEXT, quantity BIGINT, price DECIMAL(18, 4), discount DECIMAL(18, 4), category TEXT>>,
    total DECIMAL(18, 4),
    discount DECIMAL(18, 4),
    currency TEXT,
    page_url TEXT,
    channel TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'event_id = messageId,
              user_id = userId,
              anonymous_id = anonymousId,
              order_id = properties.order_id,
              product_id = properties.product_id | properties.sku,
              products = properties.products,
              total = properties.total | properties.revenue | properties.value,
              discount = properties.discount,
              currency = properties.currency,
              page_url = properties.url | context.page.url,
              channel = properties.channel | channel,
              at = timestamp | originalTimestamp | sentAt | receivedAt'
);
COMMENT ON TABLE segment IS 'Calls of Segment''s tracking API.';
COMMENT ON COLUMN segment.total IS 'What was paid or is given back for the whole order.';

CREATE VIEW segment_behavior AS
SELECT user_id, anonymous_id, coalesce(event, type) AS action, product_id, page_url, channel, at
FROM segment
WHERE lower(type) IN ('track', 'page', 'screen') AND (event IS NULL OR event NOT LIKE 'Order %');
COMMENT ON VIEW segment_behavior IS 'Calls that are actions, in the shape of the table behavior. Orders are in segment_orders.';

CREATE VIEW segment_orders AS
SELECT
    event_id, order_id, coalesce(user_id, anonymous_id) AS user_id,
    CASE event WHEN 'Order Completed' THEN 'created' WHEN 'Order Cancelled' THEN 'cancelled' ELSE 'refunded' END AS status,
    CASE WHEN event = 'Order Completed' THEN products END AS items,
    discount, currency, channel, at
FROM segment
WHERE order_id IS NOT NULL
    AND (event IN ('Order Completed', 'Order Cancelled') OR (event = 'Order Refunded' AND coalesce(cardinality(products), 0) = 0));
COMMENT ON VIEW segment_orders IS 'Calls about orders, in the shape of the table orders.';

CREATE VIEW segment_refunds AS
SELECT event_id AS refund_id, order_id, NULL AS product_id, CAST(NULL AS BIGINT) AS quantity, total AS amount, currency, at
FROM segment
WHERE event = 'Order Refunded' AND order_id IS NOT NULL AND total IS NOT NULL AND coalesce(cardinality(products), 0) = 0
UNION ALL
SELECT
    event_id, order_id, product['product_id'], coalesce(product['quantity'], 1),
    CAST(product['price'] * coalesce(product['quantity'], 1) AS DECIMAL(18, 4)), currency, at
FROM (
    SELECT event_id, order_id, currency, at, unnest(products) AS product
    FROM segment
    WHERE event = 'Order Refunded' AND order_id IS NOT NULL AND cardinality(products) > 0
)
WHERE product['price'] IS NOT NULL;
COMMENT ON VIEW segment_refunds IS 'Refunds, in the shape of the table refunds; one of several products is a row for each.';

CREATE VIEW segment_identities AS
SELECT anonymous_id, user_id
FROM (
    SELECT anonymous_id, user_id, row_number() OVER (PARTITION BY anonymous_id ORDER BY at DESC, user_id) AS place
    FROM segment
    WHERE lower(type) = 'identify' AND anonymous_id IS NOT NULL AND user_id IS NOT NULL
)
WHERE place <= 1;
COMMENT ON VIEW segment_identities IS 'Which anonymous visitor was identified as which user, in the shape of the table identities.';
