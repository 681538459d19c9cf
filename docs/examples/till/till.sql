-- Tills: the receipts of a shop's tills, as their maker exports them (CSV, German names).
--
--   Bon (receipt), Zeit (time), Filiale (store), Artikel (product), Warengruppe (category), Menge
--   (quantity), Preis (price of one), Storno (J: this line was given back later)
--
-- A receipt is an order; a line with Storno is money given back for units of it.
--
-- State: the lines of each receipt.

CREATE TABLE till (
    receipt TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    store TEXT,
    product_id TEXT NOT NULL,
    category TEXT,
    quantity BIGINT NOT NULL,
    price DECIMAL(18, 4) NOT NULL,
    given_back TEXT
) WITH (
    event_time = 'at',
    fields = 'receipt = Bon, at = Zeit, store = Filiale, product_id = Artikel, category = Warengruppe,
              quantity = Menge, price = Preis, given_back = Storno'
);
COMMENT ON TABLE till IS 'Lines of receipts.';

CREATE VIEW till_orders AS
SELECT
    'till-' || receipt AS order_id,
    min(store) AS location,
    array_agg(named_struct(
        'product_id', product_id, 'quantity', quantity, 'price', price,
        'discount', CAST(NULL AS DECIMAL(18, 4)), 'category', category) ORDER BY product_id, quantity) AS items,
    min(at) AS at
FROM till
WHERE coalesce(given_back, '') <> 'J'
GROUP BY receipt;
COMMENT ON VIEW till_orders IS 'Receipts in the shape of the table orders.';

CREATE VIEW till_refunds AS
SELECT
    'till-' || receipt || '-' || product_id || '-' || CAST(at AS TEXT) AS refund_id, 'till-' || receipt AS order_id,
    product_id, quantity, CAST(quantity * price AS DECIMAL(18, 4)) AS amount, at
FROM till
WHERE given_back = 'J';
COMMENT ON VIEW till_refunds IS 'What was given back, in the shape of the table refunds.';
