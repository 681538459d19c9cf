CREATE TABLE orders (id BIGINT PRIMARY KEY, category TEXT, price DECIMAL(10, 2));
CREATE MATERIALIZED VIEW sales AS SELECT categry, sum(price) FROM orders GROUP BY categry;
CREATE MATERIALIZED VIEW ranks AS SELECT id, rank() OVER (ORDER BY price) FROM orders;
