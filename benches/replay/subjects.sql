-- (b) The three subjects together: sales, inventory by location, behaviour of users.
CREATE MATERIALIZED VIEW sales_by_category_and_hour AS
SELECT category, date_trunc('hour', at) AS hour,
  SUM(price * quantity) AS revenue, SUM(quantity) AS units, COUNT(*) AS sales
FROM events
WHERE event = 'purchase'
GROUP BY category, date_trunc('hour', at);

CREATE MATERIALIZED VIEW top_products AS
SELECT product_id, SUM(price * quantity) AS revenue, SUM(quantity) AS units
FROM events
WHERE event = 'purchase'
GROUP BY product_id
ORDER BY revenue DESC, product_id
LIMIT 10;

CREATE VIEW stock AS
SELECT location, product_id, SUM(change) AS units, COUNT(*) AS movements
FROM stock_movements
GROUP BY location, product_id;

CREATE MATERIALIZED VIEW inventory_by_location AS
SELECT location, SUM(units) AS units, SUM(movements) AS movements,
  COUNT(*) FILTER (WHERE units < 0) AS products_short
FROM stock
GROUP BY location;

CREATE MATERIALIZED VIEW behaviour_by_hour AS
SELECT date_trunc('hour', at) AS hour,
  COUNT(*) FILTER (WHERE event = 'view') AS views,
  COUNT(*) FILTER (WHERE event = 'add_to_cart') AS carts,
  COUNT(*) FILTER (WHERE event = 'purchase') AS purchases
FROM events
GROUP BY date_trunc('hour', at);

CREATE MATERIALIZED VIEW users_by_event AS
SELECT event, COUNT(DISTINCT user_id) AS users, COUNT(*) AS events
FROM events
GROUP BY event;
