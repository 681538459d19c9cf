-- REES46: the events of a multi-category store, as published (CSV).
--
--   event_time, event_type (view | cart | remove_from_cart | purchase), product_id, category_id,
--   category_code, brand, price, user_id, user_session
--
-- All purchases of one user_session are one order, as the publisher says; a row is one unit, at the
-- price of the row. The catalogue is what the latest event of a product says: its category_code
-- (dots and all; many have none) and its price. Ids of categories have 19 digits and are text here.
--
-- State: the purchases of each session; the latest event of each product.

CREATE TABLE rees46 (
    event_time TIMESTAMP NOT NULL,
    event_type TEXT NOT NULL,
    product_id TEXT NOT NULL,
    category_id TEXT,
    category_code TEXT,
    brand TEXT,
    price DECIMAL(18, 4),
    user_id TEXT NOT NULL,
    user_session TEXT
) WITH (event_time = 'event_time');
COMMENT ON TABLE rees46 IS 'Events of the data set "eCommerce behavior data from multi category store", collected by REES46.';

CREATE VIEW rees46_behavior AS
SELECT user_id, event_type AS action, product_id, event_time AS at
FROM rees46;
COMMENT ON VIEW rees46_behavior IS 'Its events in the shape of the table behavior.';

CREATE VIEW rees46_orders AS
SELECT
    user_session AS order_id,
    min(user_id) AS user_id,
    array_agg(named_struct(
        'product_id', product_id, 'quantity', CAST(1 AS BIGINT), 'price', price,
        'discount', CAST(NULL AS DECIMAL(18, 4)), 'category', nullif(category_code, '')) ORDER BY event_time, product_id, price) AS items,
    min(event_time) AS at
FROM rees46
WHERE event_type = 'purchase' AND user_session IS NOT NULL
GROUP BY user_session;
COMMENT ON VIEW rees46_orders IS 'The purchases of each session as one order, in the shape of the table orders.';

CREATE VIEW rees46_products AS
SELECT product_id, brand AS name, nullif(category_code, '') AS category, price
FROM (
    SELECT product_id, brand, category_code, price, row_number() OVER (
        PARTITION BY product_id ORDER BY event_time DESC, price, category_code, brand) AS place
    FROM rees46
)
WHERE place <= 1;
COMMENT ON VIEW rees46_products IS 'What the latest event says of each product, in the shape of the table products; its name is the brand.';
