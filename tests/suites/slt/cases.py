"""Statements and queries, a file for each kind of node. Rows come, change and go between the queries."""

from collections import namedtuple

Case = namedtuple("Case", "name about steps queries")

SALES = "CREATE TABLE sales (id INT, item TEXT, shop TEXT, units INT, price DECIMAL(18,2))"
ITEMS = "CREATE TABLE items (item TEXT, kind TEXT, weight INT)"

FIRST_SALES = """INSERT INTO sales VALUES
(1, 'pen', 'north', 3, 1.50), (2, 'pen', 'south', 1, 1.40), (3, 'cup', 'north', 2, 7.00),
(4, 'cup', 'south', 5, 6.50), (5, 'bag', 'north', 1, 30.00), (6, NULL, 'north', 4, 2.00),
(7, 'pen', NULL, NULL, 1.50), (8, 'hat', 'south', 2, NULL)"""
FIRST_ITEMS = """INSERT INTO items VALUES
('pen', 'desk', 1), ('cup', 'kitchen', 20), ('bag', 'travel', 80), ('map', 'travel', 2), (NULL, 'lost', NULL)"""

STEPS = [
    [SALES, ITEMS],
    [FIRST_SALES, FIRST_ITEMS],
    ["INSERT INTO sales VALUES (9, 'map', 'south', 6, 4.00), (10, 'cup', 'north', 2, 7.00), (11, 'pen', 'north', 3, 1.50)",
     "INSERT INTO items VALUES ('hat', 'travel', 12), ('cup', 'desk', 20)"],
    ["UPDATE sales SET units = units + 10, shop = 'south' WHERE item = 'pen' AND shop = 'north'",
     "UPDATE items SET kind = 'kitchen' WHERE item = 'map'"],
    ["DELETE FROM sales WHERE shop = 'north' OR units > 12", "DELETE FROM items WHERE kind = 'desk'"],
    ["INSERT INTO sales VALUES (12, 'cup', 'north', 1, 0.00), (13, 'bag', 'west', 0, 29.99), (14, '', '', -1, -1.00)"],
    ["DELETE FROM sales", "DELETE FROM items"],
]

CASES = [
    Case("map", "Filters, projections and expressions: no state.", STEPS, [
        "SELECT id, item, units FROM sales WHERE units > 2",
        "SELECT id, units * 2 + 1 AS odd, -units AS negative FROM sales WHERE shop IS NOT NULL",
        "SELECT id, upper(item) AS big, length(item) AS long FROM sales",
        "SELECT id, item || '/' || shop AS path FROM sales",
        "SELECT id, coalesce(item, 'none') AS item, nullif(shop, 'north') AS shop FROM sales",
        "SELECT id, CASE WHEN units > 4 THEN 'many' WHEN units > 1 THEN 'some' ELSE 'few' END AS amount FROM sales",
        "SELECT id FROM sales WHERE item IN ('pen', 'bag') AND NOT shop = 'south'",
        "SELECT id FROM sales WHERE item LIKE '%p%' OR item IS NULL",
        "SELECT id, units BETWEEN 2 AND 4 AS middling FROM sales",
        "SELECT id, price * units AS amount FROM sales WHERE price > 1.45",
        "SELECT id, item IS NOT DISTINCT FROM NULL AS nameless FROM sales",
        "SELECT 1 AS one, id % 3 AS rest FROM sales WHERE id > 3",
    ]),
    Case("aggregate", "Sums, counts and averages by group.", STEPS, [
        "SELECT item, count(*) AS n, sum(units) AS units FROM sales GROUP BY item",
        "SELECT count(*) AS n, count(units) AS known, sum(units) AS units FROM sales",
        "SELECT shop, sum(price) AS total, avg(units) AS mean FROM sales GROUP BY shop",
        "SELECT item, shop, count(*) AS n FROM sales GROUP BY item, shop",
        "SELECT item, count(*) FILTER (WHERE shop = 'north') AS north, sum(units) FILTER (WHERE units > 2) AS large FROM sales GROUP BY item",
        "SELECT item, sum(units * 2) AS twice FROM sales GROUP BY item HAVING count(*) > 1",
        "SELECT length(item) AS long, count(*) AS n FROM sales GROUP BY length(item)",
        "SELECT sum(price * units) AS revenue FROM sales WHERE shop = 'south'",
        "SELECT shop, bool_and(units > 1) AS every, bool_or(units > 4) AS some FROM sales GROUP BY shop",
        "SELECT n, count(*) AS groups FROM (SELECT item, count(*) AS n FROM sales GROUP BY item) AS g GROUP BY n",
    ]),
    Case("extremum", "Least and greatest values, which come and go.", STEPS, [
        "SELECT item, min(units) AS least, max(units) AS most FROM sales GROUP BY item",
        "SELECT min(price) AS low, max(price) AS high FROM sales",
        "SELECT shop, max(item) AS last, min(item) AS first FROM sales GROUP BY shop",
        "SELECT max(most) AS most FROM (SELECT item, max(units) AS most FROM sales GROUP BY item) AS m",
        "SELECT item, max(price) AS high, count(*) AS n, sum(units) AS units FROM sales GROUP BY item",
    ]),
    Case("distinct", "What is different, and how much of it.", STEPS, [
        "SELECT DISTINCT item FROM sales",
        "SELECT DISTINCT shop, item FROM sales WHERE units IS NOT NULL",
        "SELECT count(DISTINCT item) AS items, count(DISTINCT shop) AS shops, count(*) AS n FROM sales",
        "SELECT shop, count(DISTINCT item) AS items, sum(DISTINCT units) AS units FROM sales GROUP BY shop",
        "SELECT count(*) AS n FROM (SELECT DISTINCT item, price FROM sales) AS d",
    ]),
    Case("join", "Joins of two sides that both change.", STEPS, [
        "SELECT s.id, s.item, i.kind FROM sales s JOIN items i ON s.item = i.item",
        "SELECT s.id, i.kind FROM sales s LEFT JOIN items i ON s.item = i.item",
        "SELECT s.id, i.item, i.kind FROM sales s RIGHT JOIN items i ON s.item = i.item",
        "SELECT s.id, s.item, i.item AS known FROM sales s FULL JOIN items i ON s.item = i.item",
        "SELECT s.id, i.kind FROM sales s JOIN items i ON s.item = i.item AND s.units > i.weight",
        "SELECT s.id, i.item FROM sales s JOIN items i ON s.units < i.weight AND i.weight < 15",
        "SELECT s.id, i.kind FROM sales s CROSS JOIN items i WHERE s.units = 2 AND i.kind = 'travel'",
        "SELECT a.id, b.id AS other FROM sales a JOIN sales b ON a.item = b.item AND a.shop = b.shop AND a.id < b.id",
        "SELECT i.kind, count(*) AS n, sum(s.units) AS units FROM sales s JOIN items i ON s.item = i.item GROUP BY i.kind",
        "SELECT s.id FROM sales s JOIN items i ON s.item IS NOT DISTINCT FROM i.item",
        "SELECT a.id, i.kind, b.id AS other FROM sales a JOIN items i ON a.item = i.item JOIN sales b ON b.item = i.item WHERE a.shop <> b.shop",
    ]),
    Case("subquery", "Sub-queries: IN, EXISTS, scalars, correlated ones.", STEPS, [
        "SELECT id FROM sales WHERE item IN (SELECT item FROM items WHERE kind = 'travel')",
        "SELECT id FROM sales s WHERE EXISTS (SELECT 1 FROM items i WHERE i.item = s.item AND i.weight > s.units)",
        "SELECT id FROM sales s WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.item = s.item)",
        "SELECT id, (SELECT max(weight) FROM items) AS heaviest FROM sales",
        "SELECT id FROM sales WHERE units > (SELECT avg(units) FROM sales)",
        "SELECT s.id, (SELECT sum(o.units) FROM sales o WHERE o.item = s.item) AS of_item FROM sales s",
        "WITH totals AS (SELECT item, sum(units) AS units FROM sales GROUP BY item) SELECT t.item, i.kind FROM totals t JOIN items i ON i.item = t.item WHERE t.units > 1",
    ]),
    Case("set", "Unions, differences and intersections.", STEPS, [
        "SELECT item FROM sales UNION SELECT item FROM items",
        "SELECT item FROM sales UNION ALL SELECT item FROM items",
        "SELECT item FROM sales EXCEPT SELECT item FROM items",
        "SELECT item FROM items INTERSECT SELECT item FROM sales",
        "SELECT item FROM sales EXCEPT ALL SELECT item FROM items",
        "SELECT item FROM sales INTERSECT ALL (SELECT item FROM items UNION ALL SELECT item FROM items)",
        "SELECT shop, item FROM sales EXCEPT ALL SELECT 'north', item FROM items",
        "SELECT item, count(*) AS n FROM (SELECT item FROM sales UNION ALL SELECT kind FROM items) AS u GROUP BY item",
    ]),
    Case("topk", "The first rows of groups, and of all.", STEPS, [
        "SELECT id, units FROM sales ORDER BY units DESC NULLS LAST, id LIMIT 3",
        "SELECT id FROM sales ORDER BY id LIMIT 2 OFFSET 1",
        "SELECT item, id FROM (SELECT item, id, row_number() OVER (PARTITION BY item ORDER BY price DESC NULLS LAST, id) AS place FROM sales) AS p WHERE place = 1",
        "SELECT item, id, place FROM (SELECT item, id, row_number() OVER (PARTITION BY item ORDER BY id) AS place FROM sales) AS p WHERE place <= 2",
        "SELECT DISTINCT ON (shop) shop, id FROM sales ORDER BY shop, units DESC NULLS LAST, id",
    ]),
    Case("general", "Aggregates that look at all rows of a group.", STEPS, [
        "SELECT item, array_agg(id ORDER BY id) AS ids FROM sales GROUP BY item",
        "SELECT shop, string_agg(item, ',' ORDER BY item, id) AS items FROM sales WHERE item IS NOT NULL GROUP BY shop",
        "SELECT shop, median(units) AS middle FROM sales WHERE units IS NOT NULL GROUP BY shop",
    ]),
    Case("window", "Window functions over partitions that change.", STEPS, [
        "SELECT id, row_number() OVER (PARTITION BY item ORDER BY id) AS place FROM sales",
        "SELECT id, rank() OVER (ORDER BY units) AS place, dense_rank() OVER (ORDER BY units) AS dense FROM sales WHERE units IS NOT NULL",
        "SELECT id, sum(units) OVER (PARTITION BY shop ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS last_two FROM sales",
        "SELECT id, lag(id) OVER (PARTITION BY item ORDER BY id) AS before, lead(units) OVER (PARTITION BY item ORDER BY id) AS after FROM sales",
        "SELECT id, sum(units) OVER (PARTITION BY item) AS of_item, count(*) OVER () AS of_all FROM sales",
        "SELECT id, first_value(id) OVER (PARTITION BY shop ORDER BY id) AS first FROM sales",
    ]),
    Case("grouping", "Several groupings at once.", STEPS, [
        "SELECT item, shop, count(*) AS n FROM sales GROUP BY GROUPING SETS ((item), (shop), ())",
        "SELECT item, shop, sum(units) AS units FROM sales GROUP BY ROLLUP (item, shop)",
        "SELECT shop, item, count(*) AS n FROM sales WHERE units > 1 GROUP BY CUBE (shop, item)",
    ]),
    Case("recursion", "What follows from what, over and over.", [
        ["CREATE TABLE part_of (part INT, whole INT)"],
        ["INSERT INTO part_of VALUES (2, 1), (3, 1), (4, 2), (5, 4), (7, 6)"],
        ["INSERT INTO part_of VALUES (6, 5), (8, 3)"],
        ["UPDATE part_of SET whole = 3 WHERE part = 4"],
        ["DELETE FROM part_of WHERE part = 5"],
        ["INSERT INTO part_of VALUES (5, 2)", "DELETE FROM part_of WHERE part = 8"],
        ["DELETE FROM part_of"],
    ], [
        "WITH RECURSIVE below AS (SELECT part, whole FROM part_of UNION SELECT p.part, b.whole FROM part_of p JOIN below b ON p.whole = b.part) SELECT part, whole FROM below",
        "WITH RECURSIVE below AS (SELECT part, 1 AS depth FROM part_of WHERE whole = 1 UNION SELECT p.part, b.depth + 1 FROM part_of p JOIN below b ON p.whole = b.part) SELECT part, depth FROM below",
        "SELECT whole, count(*) AS parts FROM part_of GROUP BY whole",
    ]),
]
