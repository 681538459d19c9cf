-- Recommendation: what goes with a product, and what to show to a person.
--
--   bought together   two products in one order that stands. An order of more than `basket_cap`
--                     different products makes no pairs: a wholesale order says little, and its
--                     pairs grow with the square of its size.
--   viewed together   two products that one person viewed. Of each person only the `history_cap`
--                     products viewed last count, so that a heavy user costs no more than that.
--   Jaccard           with both / with either: 1 if they always come together. For views, "with"
--                     counts those histories.
--   going with        of the 50 products that come most often with a product, the ten of the
--                     greatest Jaccard; pairs seen fewer than `least_pairs` times are left out.
--
-- What is recommended to a person goes with the three products that they viewed last, is not among
-- those they bought, and says why. Whoever has nothing of the kind gets the best-sellers, and that
-- is the stated reason; so does everybody who is not known at all, under the user_id `*`.
--
-- All of it is exact: a cancelled order, a removed user or a merge taken back takes its pairs away
-- as if they had never been.
--
-- State: a row for each order and product, for each person and product, for each pair of products
-- that came together; at most 50 neighbours a product and `history_cap` products a person. An
-- event of one person touches at most 2 x `history_cap` pairs.

CREATE VIEW recommendation_settings AS
SELECT
    CAST(coalesce(max(value) FILTER (WHERE name = 'basket_cap'), '50') AS BIGINT) AS basket_cap,
    CAST(coalesce(max(value) FILTER (WHERE name = 'history_cap'), '10') AS BIGINT) AS history_cap,
    CAST(coalesce(max(value) FILTER (WHERE name = 'least_pairs'), '2') AS BIGINT) AS least_pairs
FROM settings;
COMMENT ON VIEW recommendation_settings IS 'The bounds in force, one row.';
COMMENT ON COLUMN recommendation_settings.basket_cap IS 'Orders of more different products than this make no pairs.';
COMMENT ON COLUMN recommendation_settings.history_cap IS 'How many products of a person count, those viewed last; at most 100.';
COMMENT ON COLUMN recommendation_settings.least_pairs IS 'How often two products must have come together to be called a pair.';

---------------------------------------------------------------------------------------------------
-- Bought together
---------------------------------------------------------------------------------------------------

CREATE VIEW basket_products AS
SELECT DISTINCT order_id, product_id
FROM order_items
WHERE NOT cancelled AND product_id IS NOT NULL AND quantity > 0;
COMMENT ON VIEW basket_products IS 'The different products of each order that stands.';

CREATE VIEW pairing_products AS
SELECT b.order_id, b.product_id
FROM basket_products b
JOIN (SELECT order_id, count(*) AS products FROM basket_products GROUP BY order_id) n ON n.order_id = b.order_id
CROSS JOIN recommendation_settings s
WHERE n.products BETWEEN 2 AND s.basket_cap;
COMMENT ON VIEW pairing_products IS 'Products of orders that make pairs.';

CREATE VIEW orders_with_product AS
SELECT product_id, count(*) AS orders
FROM basket_products
GROUP BY product_id;
COMMENT ON VIEW orders_with_product IS 'In how many orders each product is.';

CREATE VIEW bought_pairs AS
SELECT a.product_id AS product_a, b.product_id AS product_b, count(*) AS together
FROM pairing_products a
JOIN pairing_products b ON b.order_id = a.order_id AND b.product_id > a.product_id
GROUP BY a.product_id, b.product_id;
COMMENT ON VIEW bought_pairs IS 'How many orders have both products.';

CREATE VIEW bought_neighbours AS
SELECT product_id, other_id, together
FROM (
    SELECT *, row_number() OVER (PARTITION BY product_id ORDER BY together DESC, other_id) AS place
    FROM (
        SELECT product_a AS product_id, product_b AS other_id, together FROM bought_pairs
        UNION ALL
        SELECT product_b, product_a, together FROM bought_pairs
    )
    CROSS JOIN recommendation_settings s
    WHERE together >= s.least_pairs
)
WHERE place <= 50;
COMMENT ON VIEW bought_neighbours IS 'The products most often bought with each product.';

CREATE MATERIALIZED VIEW bought_together WITH (chart = 'table', title = 'Bought together') AS
SELECT product_id, place, other_id, together, jaccard
FROM (
    SELECT *, row_number() OVER (PARTITION BY product_id ORDER BY jaccard DESC, together DESC, other_id) AS place
    FROM (
        SELECT
            n.product_id, n.other_id, n.together,
            CAST(CAST(n.together AS DECIMAL(18, 6)) / (a.orders + b.orders - n.together) AS DECIMAL(9, 6)) AS jaccard
        FROM bought_neighbours n
        JOIN orders_with_product a ON a.product_id = n.product_id
        JOIN orders_with_product b ON b.product_id = n.other_id
    )
)
WHERE place <= 10;
COMMENT ON VIEW bought_together IS 'For each product the ten that go with it best in orders. A cancelled order takes its pairs away.';
COMMENT ON COLUMN bought_together.together IS 'Orders with both.';
COMMENT ON COLUMN bought_together.jaccard IS 'Orders with both / orders with either.';

---------------------------------------------------------------------------------------------------
-- Viewed together
---------------------------------------------------------------------------------------------------

CREATE VIEW viewed_products AS
SELECT person_id, product_id, last_view_at, place
FROM (
    SELECT
        person_id, product_id, last_view_at,
        row_number() OVER (PARTITION BY person_id ORDER BY last_view_at DESC, product_id) AS place
    FROM person_products
    WHERE views > 0 AND person_id IS NOT NULL
)
WHERE place <= 100;
COMMENT ON VIEW viewed_products IS 'The products that each person viewed last, the last one first.';

CREATE VIEW histories AS
SELECT v.person_id, v.product_id
FROM viewed_products v
CROSS JOIN recommendation_settings s
WHERE v.place <= s.history_cap;
COMMENT ON VIEW histories IS 'Those of them that count.';

CREATE VIEW viewed_pairs AS
SELECT a.product_id AS product_a, b.product_id AS product_b, count(*) AS together
FROM histories a
JOIN histories b ON b.person_id = a.person_id AND b.product_id > a.product_id
GROUP BY a.product_id, b.product_id;
COMMENT ON VIEW viewed_pairs IS 'How many people have both products in their history.';

CREATE VIEW viewers_of_product AS
SELECT product_id, count(*) AS people
FROM histories
GROUP BY product_id;
COMMENT ON VIEW viewers_of_product IS 'How many people have each product in their history.';

CREATE VIEW viewed_neighbours AS
SELECT product_id, other_id, together
FROM (
    SELECT *, row_number() OVER (PARTITION BY product_id ORDER BY together DESC, other_id) AS place
    FROM (
        SELECT product_a AS product_id, product_b AS other_id, together FROM viewed_pairs
        UNION ALL
        SELECT product_b, product_a, together FROM viewed_pairs
    )
    CROSS JOIN recommendation_settings s
    WHERE together >= s.least_pairs
)
WHERE place <= 50;
COMMENT ON VIEW viewed_neighbours IS 'The products most often viewed by those who viewed each product.';

CREATE MATERIALIZED VIEW viewed_together WITH (chart = 'table', title = 'Viewed together') AS
SELECT product_id, place, other_id, together, jaccard
FROM (
    SELECT *, row_number() OVER (PARTITION BY product_id ORDER BY jaccard DESC, together DESC, other_id) AS place
    FROM (
        SELECT
            n.product_id, n.other_id, n.together,
            CAST(CAST(n.together AS DECIMAL(18, 6)) / (a.people + b.people - n.together) AS DECIMAL(9, 6)) AS jaccard
        FROM viewed_neighbours n
        JOIN viewers_of_product a ON a.product_id = n.product_id
        JOIN viewers_of_product b ON b.product_id = n.other_id
    )
)
WHERE place <= 10;
COMMENT ON VIEW viewed_together IS 'For each product the ten that go with it best in what people view.';
COMMENT ON COLUMN viewed_together.together IS 'People with both in their history.';
COMMENT ON COLUMN viewed_together.jaccard IS 'People with both / people with either.';

---------------------------------------------------------------------------------------------------
-- For a person
---------------------------------------------------------------------------------------------------

CREATE VIEW bought_products AS
SELECT person_id, product_id FROM person_products WHERE purchases > 0 AND person_id IS NOT NULL
UNION
SELECT person_id, product_id FROM order_items WHERE NOT cancelled AND person_id IS NOT NULL;
COMMENT ON VIEW bought_products IS 'What each person has bought and not cancelled.';

CREATE MATERIALIZED VIEW best_sellers WITH (chart = 'bar', x = 'product_id', y = 'units_net', title = 'Best-sellers') AS
SELECT place, product_id, units_net
FROM (
    SELECT product_id, units_net, row_number() OVER (ORDER BY units_net DESC, product_id) AS place
    FROM (SELECT product_id, sum(units_net) AS units_net FROM product_units GROUP BY product_id)
    WHERE units_net > 0
)
WHERE place <= 10;
COMMENT ON VIEW best_sellers IS 'The ten products that sold most units over all categories; shown to whoever is not known.';

CREATE VIEW going_with AS
SELECT product_id, other_id, place, 'bought with ' AS why FROM bought_together WHERE place <= 5
UNION ALL
SELECT product_id, other_id, place + 5, 'viewed with ' FROM viewed_together WHERE place <= 5;
COMMENT ON VIEW going_with IS 'What may be recommended to who viewed a product: first what is bought with it, then what is viewed with it.';

CREATE VIEW candidates AS
SELECT person_id, product_id, rank, reason
FROM (
    SELECT *, row_number() OVER (PARTITION BY person_id, product_id ORDER BY rank, reason) AS place
    FROM (
        SELECT v.person_id, g.other_id AS product_id, g.place + 10 * v.place AS rank, g.why || v.product_id AS reason
        FROM viewed_products v
        JOIN going_with g ON g.product_id = v.product_id
        LEFT JOIN bought_products b ON b.person_id = v.person_id AND b.product_id = g.other_id
        WHERE v.place <= 3 AND b.person_id IS NULL
    )
)
WHERE place <= 1;
COMMENT ON VIEW candidates IS 'What goes with the three products that a person viewed last, without what they bought. The smaller rank comes first.';

CREATE MATERIALIZED VIEW recommendations WITH (chart = 'table', title = 'Recommendations') AS
SELECT person_id AS user_id, place, product_id, reason
FROM (
    SELECT person_id, product_id, reason, row_number() OVER (PARTITION BY person_id ORDER BY rank, product_id) AS place
    FROM (
        SELECT person_id, product_id, rank, reason FROM candidates
        UNION ALL
        SELECT v.person_id, s.product_id, s.place, 'best-seller'
        FROM viewed_products v
        CROSS JOIN best_sellers s
        LEFT JOIN bought_products b ON b.person_id = v.person_id AND b.product_id = s.product_id
        WHERE v.place = 1 AND b.person_id IS NULL
            AND NOT EXISTS (SELECT 1 FROM candidates c WHERE c.person_id = v.person_id)
        UNION ALL
        SELECT '*', product_id, place, 'best-seller' FROM best_sellers
    )
)
WHERE place <= 5;
COMMENT ON VIEW recommendations IS 'Up to five products for each person, never one that they bought; `*` is who is not known.';
COMMENT ON COLUMN recommendations.reason IS 'bought with X, viewed with X, or best-seller if nothing else is known.';
