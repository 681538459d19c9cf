-- Questions to FoodMart (sales of 1997, stock movements by warehouse of 1997 and 1998) whose answers
-- were computed elsewhere or published with the data; see README.md.

CREATE TABLE sales_fact_1997 (
    product_id INT NOT NULL, time_id INT NOT NULL, customer_id INT NOT NULL, promotion_id INT NOT NULL,
    store_id INT NOT NULL, store_sales DECIMAL(10, 4), store_cost DECIMAL(10, 4), unit_sales DECIMAL(10, 4)
);

CREATE TABLE inventory (
    product_id INT NOT NULL, time_id INT NOT NULL, warehouse_id INT NOT NULL, store_id INT NOT NULL,
    units_ordered INT, units_shipped INT, warehouse_sales DECIMAL(10, 4), warehouse_cost DECIMAL(10, 4),
    supply_time INT, store_invoice DECIMAL(10, 4)
);

CREATE TABLE product (product_id INT PRIMARY KEY, product_class_id INT);
CREATE TABLE product_class (
    product_class_id INT PRIMARY KEY, product_category TEXT, product_department TEXT, product_family TEXT
);
CREATE TABLE customer (
    customer_id INT PRIMARY KEY, city TEXT, state_province TEXT, country TEXT, gender TEXT, marital_status TEXT
);
CREATE TABLE warehouse (warehouse_id INT PRIMARY KEY, warehouse_name TEXT, warehouse_country TEXT);
CREATE TABLE promotion (promotion_id INT PRIMARY KEY, media_type TEXT);
CREATE TABLE time_by_day (
    time_id INT PRIMARY KEY, the_date DATE, the_year INT, month_of_year INT, quarter TEXT
);

CREATE VIEW prod AS
SELECT p.product_id, c.product_family, c.product_department, c.product_category
FROM product p
JOIN product_class c ON c.product_class_id = p.product_class_id;

CREATE VIEW inventory_1997 AS
SELECT i.store_id, i.product_id, i.units_shipped
FROM inventory i
JOIN time_by_day t ON t.time_id = i.time_id
WHERE t.the_year = 1997;

CREATE MATERIALIZED VIEW r_inventory_by_department_store AS
SELECT i.store_id, p.product_department, sum(i.units_ordered) AS units_ordered, sum(i.units_shipped) AS units_shipped
FROM inventory i
JOIN prod p ON p.product_id = i.product_id
GROUP BY i.store_id, p.product_department;

CREATE MATERIALIZED VIEW r_inventory_by_warehouse AS
SELECT
    w.warehouse_id, w.warehouse_name, w.warehouse_country,
    count(*) AS movements,
    sum(i.units_ordered) AS units_ordered,
    sum(i.units_shipped) AS units_shipped,
    sum(i.units_ordered - i.units_shipped) AS units_short,
    sum(i.warehouse_sales) AS warehouse_sales,
    sum(i.warehouse_cost) AS warehouse_cost,
    sum(i.store_invoice) AS store_invoice
FROM inventory i
JOIN warehouse w ON w.warehouse_id = i.warehouse_id
GROUP BY w.warehouse_id, w.warehouse_name, w.warehouse_country;

CREATE MATERIALIZED VIEW r_inventory_by_warehouse_month AS
SELECT
    i.warehouse_id, t.the_year AS year, t.month_of_year AS month,
    count(*) AS movements,
    sum(i.units_ordered) AS units_ordered,
    sum(i.units_shipped) AS units_shipped,
    sum(i.warehouse_sales) AS warehouse_sales,
    max(i.supply_time) AS max_supply_time
FROM inventory i
JOIN time_by_day t ON t.time_id = i.time_id
GROUP BY i.warehouse_id, t.the_year, t.month_of_year;

CREATE VIEW shipped_by_day AS
SELECT i.warehouse_id, t.the_date AS day, sum(i.units_shipped) AS shipped
FROM inventory i
JOIN time_by_day t ON t.time_id = i.time_id
GROUP BY i.warehouse_id, t.the_date;

CREATE MATERIALIZED VIEW r_inventory_running_shipped AS
SELECT d.warehouse_id, d.day, d.shipped, sum(e.shipped) AS running_shipped
FROM shipped_by_day d
JOIN shipped_by_day e ON e.warehouse_id = d.warehouse_id AND e.day <= d.day
GROUP BY d.warehouse_id, d.day, d.shipped;

CREATE MATERIALIZED VIEW r_promotion_sales_1997 AS
SELECT p.media_type, count(*) AS lines, sum(s.store_sales) AS store_sales
FROM sales_fact_1997 s
JOIN promotion p ON p.promotion_id = s.promotion_id
GROUP BY p.media_type;

CREATE MATERIALIZED VIEW r_sales_by_day_1997 AS
SELECT
    t.the_date AS day,
    count(*) AS lines,
    count(DISTINCT s.customer_id) AS customers,
    sum(s.store_sales) AS store_sales,
    sum(s.store_cost) AS store_cost,
    sum(s.unit_sales) AS unit_sales
FROM sales_fact_1997 s
JOIN time_by_day t ON t.time_id = s.time_id
GROUP BY t.the_date;

CREATE MATERIALIZED VIEW r_sales_by_store_family_1997 AS
SELECT
    s.store_id, p.product_family,
    count(*) AS lines,
    sum(s.store_sales) AS store_sales,
    sum(s.unit_sales) AS unit_sales
FROM sales_fact_1997 s
JOIN prod p ON p.product_id = s.product_id
GROUP BY s.store_id, p.product_family;

CREATE MATERIALIZED VIEW r_sales_minus_shipments_1997 AS
SELECT s.store_id, s.product_id, s.sold, i.shipped, i.shipped - s.sold AS net
FROM (
    SELECT store_id, product_id, CAST(sum(unit_sales) AS BIGINT) AS sold
    FROM sales_fact_1997
    GROUP BY store_id, product_id
) s
JOIN (
    SELECT store_id, product_id, sum(units_shipped) AS shipped
    FROM inventory_1997
    GROUP BY store_id, product_id
) i ON i.store_id = s.store_id AND i.product_id = s.product_id;

-- The aggregates that the publishers of the data made themselves.

CREATE MATERIALIZED VIEW r_agg_c_10 AS
SELECT
    t.month_of_year, t.quarter, t.the_year,
    sum(s.store_sales) AS store_sales, sum(s.store_cost) AS store_cost, sum(s.unit_sales) AS unit_sales,
    count(DISTINCT s.customer_id) AS customer_count, count(*) AS fact_count
FROM sales_fact_1997 s
JOIN time_by_day t ON t.time_id = s.time_id
GROUP BY t.month_of_year, t.quarter, t.the_year;

CREATE MATERIALIZED VIEW r_agg_l_03 AS
SELECT
    time_id, customer_id,
    sum(store_sales) AS store_sales, sum(store_cost) AS store_cost, sum(unit_sales) AS unit_sales,
    count(*) AS fact_count
FROM sales_fact_1997
GROUP BY time_id, customer_id;

CREATE MATERIALIZED VIEW r_agg_l_04 AS
SELECT
    time_id,
    sum(store_sales) AS store_sales, sum(store_cost) AS store_cost, sum(unit_sales) AS unit_sales,
    count(DISTINCT customer_id) AS customer_count, count(*) AS fact_count
FROM sales_fact_1997
GROUP BY time_id;

CREATE MATERIALIZED VIEW r_agg_lc_06 AS
SELECT
    s.time_id, c.city, c.state_province, c.country,
    sum(s.store_sales) AS store_sales, sum(s.store_cost) AS store_cost, sum(s.unit_sales) AS unit_sales,
    count(*) AS fact_count
FROM sales_fact_1997 s
JOIN customer c ON c.customer_id = s.customer_id
GROUP BY s.time_id, c.city, c.state_province, c.country;

CREATE MATERIALIZED VIEW r_agg_g_ms_pcat AS
SELECT
    c.gender, c.marital_status, p.product_family, p.product_department, p.product_category,
    t.month_of_year, t.quarter, t.the_year,
    sum(s.store_sales) AS store_sales, sum(s.store_cost) AS store_cost, sum(s.unit_sales) AS unit_sales,
    count(DISTINCT s.customer_id) AS customer_count, count(*) AS fact_count
FROM sales_fact_1997 s
JOIN customer c ON c.customer_id = s.customer_id
JOIN prod p ON p.product_id = s.product_id
JOIN time_by_day t ON t.time_id = s.time_id
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
