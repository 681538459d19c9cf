-- Sources: where what the pack reads comes from. Every view of the pack that reads visits, orders,
-- refunds, products or identities reads them here.
--
-- The tables of tables.sql are one source of each. A file in adapters/ that maps another schema is
-- one more: it has its own table, views with the columns below, and a line here. So a shop may have
-- its site's events from Segment and its tills' orders from a file, in one set of answers. To add
-- your own: docs/guide/mapping.md.
--
-- A product, or a visitor's identity, that the pack's own table knows is taken from there.
--
-- State: none of its own but for the anti joins, which keep a row for each product and identity.

CREATE VIEW all_behavior AS
SELECT user_id, anonymous_id, action, product_id, page_url, channel, live_session_id, at FROM behavior
UNION ALL
SELECT user_id, anonymous_id, action, product_id, page_url, channel, NULL, at FROM segment_behavior
UNION ALL
SELECT user_id, NULL, action, product_id, NULL, NULL, NULL, at FROM rees46_behavior
UNION ALL
SELECT user_id, NULL, action, product_id, NULL, NULL, NULL, at FROM retailrocket_behavior;
COMMENT ON VIEW all_behavior IS 'What visitors do, of all sources.';

CREATE VIEW all_orders AS
SELECT event_id, order_id, user_id, status, items, discount, currency, channel, location, live_session_id, at FROM orders
UNION ALL
SELECT event_id, order_id, user_id, status, items, discount, currency, channel, NULL, NULL, at FROM segment_orders
UNION ALL
SELECT NULL, order_id, user_id, 'created', items, NULL, NULL, NULL, NULL, NULL, at FROM rees46_orders
UNION ALL
SELECT NULL, order_id, user_id, 'created', items, NULL, NULL, NULL, NULL, NULL, at FROM retailrocket_orders;
COMMENT ON VIEW all_orders IS 'What happens to orders, of all sources.';

CREATE VIEW all_refunds AS
SELECT refund_id, order_id, product_id, quantity, amount, currency, at FROM refunds
UNION ALL
SELECT refund_id, order_id, product_id, quantity, amount, currency, at FROM segment_refunds;
COMMENT ON VIEW all_refunds IS 'Money given back, of all sources.';

CREATE VIEW all_products AS
SELECT product_id, name, category, price, currency FROM products
UNION ALL
SELECT a.product_id, a.name, a.category, a.price, NULL
FROM (
    SELECT product_id, name, category, price FROM rees46_products
    UNION ALL
    SELECT product_id, NULL, category, NULL FROM retailrocket_products
) a
WHERE NOT EXISTS (SELECT 1 FROM products p WHERE p.product_id = a.product_id);
COMMENT ON VIEW all_products IS 'The catalogue as it is now, of all sources.';

CREATE VIEW all_product_history AS
SELECT product_id, category, at FROM product_history
UNION ALL
SELECT product_id, category, at FROM retailrocket_product_history;
COMMENT ON VIEW all_product_history IS 'In which category products were when, of all sources that tell.';

CREATE VIEW all_identities AS
SELECT anonymous_id, user_id FROM identities
UNION ALL
SELECT s.anonymous_id, s.user_id
FROM segment_identities s
WHERE NOT EXISTS (SELECT 1 FROM identities i WHERE i.anonymous_id = s.anonymous_id);
COMMENT ON VIEW all_identities IS 'Which anonymous visitor is which user, of all sources.';
