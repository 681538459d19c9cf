-- The flat events of `tillrace generate --preset bench`.
CREATE TABLE events (
  event TEXT,
  user_id TEXT,
  product_id TEXT,
  category TEXT,
  price DECIMAL(18,2),
  quantity INT,
  at TIMESTAMP
) WITH (fields = 'at = timestamp');

-- Each product once, then again whenever it is re-filed under another category.
CREATE TABLE products (
  product_id TEXT PRIMARY KEY,
  category TEXT
);

CREATE TABLE stock_movements (
  product_id TEXT,
  change INT,
  location TEXT
);
