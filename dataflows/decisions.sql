-- Decisions: what to show to whom right now, why, and whether it worked.
--
--   rule       "whoever did `action` with `product_id` (or with a product of `category`) within the
--              last `within_minutes` is shown `show`". A rule is a row of decision_rules and can be
--              changed, switched off or deleted while running; so can the two that come along.
--   show       `accessories` of the product (table accessories), what goes with it (`together`),
--              or the id of a product.
--   decision   for each person the rule of the smallest priority that has something to show that
--              they have not bought; of equal ones that for the product looked at last.
--   fallback   without such a rule the person's recommendations, then the best-sellers; and for
--              whoever is not known, the row of user_id `*`.
--   attributed an order of a product by a person within `decision_minutes` after a rule showed it
--              to them (or was clicked) is bought by that rule.
--
-- `GET /decisions/{user}` answers from the view decisions, with the row of `*` for who is not known.
--
-- Time is the shop's clock, by the minute: a rule of five minutes holds from the action until the
-- clock shows more than five minutes after its minute. A late action counts if it is still recent;
-- a removed user has no decision and leaves no trace in the results.
--
-- State: a row for each person, rule and product within the rule's minutes; one decision a person;
-- the shown and clicked lines with the orders that they are held against.

CREATE TABLE decision_rules (
    rule_id TEXT PRIMARY KEY,
    action TEXT,
    product_id TEXT,
    category TEXT,
    within_minutes BIGINT,
    show TEXT,
    priority BIGINT,
    is_active BOOLEAN,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE decision_rules IS 'Rules, one a row. A row with the id of a rule that comes along replaces it.';
COMMENT ON COLUMN decision_rules.action IS '`view` or `cart`; view unless stated.';
COMMENT ON COLUMN decision_rules.product_id IS 'The product that it is about; any unless stated.';
COMMENT ON COLUMN decision_rules.category IS 'The category (now) that it is about; any unless stated.';
COMMENT ON COLUMN decision_rules.within_minutes IS 'For how long an action counts, up to a day; 5 unless stated.';
COMMENT ON COLUMN decision_rules.show IS '`accessories` (unless stated), `together`, or the id of a product.';
COMMENT ON COLUMN decision_rules.priority IS 'The smaller wins; 100 unless stated.';

CREATE TABLE accessories (
    product_id TEXT,
    accessory_id TEXT,
    place BIGINT,
    is_deleted BOOLEAN,
    PRIMARY KEY (product_id, accessory_id)
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE accessories IS 'What goes with a product by the shop''s own word, in the order of `place`.';

CREATE TABLE decision_feedback (
    event_id TEXT,
    user_id TEXT,
    rule_id TEXT NOT NULL,
    product_id TEXT,
    action TEXT NOT NULL,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    dedup_horizon = '7 days',
    fields = 'at = timestamp | at'
);
COMMENT ON TABLE decision_feedback IS 'What became of decisions: `shown` and `clicked`. What was bought is in the orders.';

CREATE VIEW decision_settings AS
SELECT CAST(coalesce(max(value) FILTER (WHERE name = 'decision_minutes'), '1440') AS BIGINT) AS decision_minutes
FROM settings;
COMMENT ON VIEW decision_settings IS 'For how many minutes after being shown a product an order of it is put down to the rule, one row.';

CREATE VIEW rules_in_force AS
SELECT
    rule_id, coalesce(action, 'view') AS action, product_id, category,
    coalesce(within_minutes, 5) AS within_minutes, coalesce(show, 'accessories') AS show, coalesce(priority, 100) AS priority
FROM decision_rules
WHERE is_active IS NOT FALSE
UNION ALL
SELECT d.rule_id, d.action, NULL, NULL, d.within_minutes, d.show, d.priority
FROM (VALUES
    ('accessories-of-viewed', 'view', 5, 'accessories', 100),
    ('with-what-is-in-the-cart', 'cart', 30, 'together', 200)
) d (rule_id, action, within_minutes, show, priority)
WHERE NOT EXISTS (SELECT 1 FROM decision_rules r WHERE r.rule_id = d.rule_id);
COMMENT ON VIEW rules_in_force IS 'The active rules, with their defaults filled in, and those that come along and were not replaced.';

---------------------------------------------------------------------------------------------------
-- From rules to decisions
---------------------------------------------------------------------------------------------------

CREATE VIEW rule_minutes AS
SELECT r.rule_id, r.action, r.product_id, r.category, r.show, r.priority, m.minute
FROM rules_in_force r
JOIN recent_minutes m ON m.minutes_ago <= r.within_minutes;
COMMENT ON VIEW rule_minutes IS 'The minutes in which an action counts for each rule.';

CREATE VIEW last_touches AS
SELECT person_id, product_id, action, date_trunc('minute', at) AS minute, at
FROM (
    SELECT person_id, product_id, 'view' AS action, last_view_at AS at FROM person_products
    UNION ALL
    SELECT person_id, product_id, 'cart', last_cart_at FROM person_products
)
WHERE at IS NOT NULL AND person_id IS NOT NULL;
COMMENT ON VIEW last_touches IS 'When each person last viewed each product and last put it into the cart.';

CREATE VIEW matches AS
SELECT t.person_id, r.rule_id, r.show, r.priority, t.product_id, r.action, t.at
FROM last_touches t
JOIN rule_minutes r ON r.minute = t.minute AND r.action = t.action
LEFT JOIN all_products c ON c.product_id = t.product_id
WHERE (r.product_id IS NULL OR r.product_id = t.product_id) AND (r.category IS NULL OR r.category = c.category);
COMMENT ON VIEW matches IS 'Who did something that a rule is about, recently enough.';

CREATE VIEW showable AS
SELECT 'accessories' AS show, product_id, accessory_id AS shown_id, coalesce(place, 1000) AS place FROM accessories
UNION ALL
SELECT 'together', product_id, other_id, place FROM bought_together;
COMMENT ON VIEW showable IS 'What the rules can show beside a product.';

CREATE VIEW offers AS
SELECT m.person_id, m.rule_id, m.priority, m.product_id, m.action, m.at, o.shown_id, o.place
FROM matches m
JOIN showable o ON o.show = m.show AND o.product_id = m.product_id
UNION ALL
SELECT person_id, rule_id, priority, product_id, action, at, show, 1
FROM matches
WHERE show NOT IN ('accessories', 'together') AND show <> product_id;
COMMENT ON VIEW offers IS 'What each match would show.';

CREATE VIEW best_offers AS
SELECT person_id, rule_id, product_id, action, at, shown_id, nth
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY person_id ORDER BY priority, at DESC, rule_id, product_id, place, shown_id) AS nth
    FROM (
        SELECT o.*
        FROM offers o
        LEFT JOIN bought_products b ON b.person_id = o.person_id AND b.product_id = o.shown_id
        WHERE b.person_id IS NULL
    )
)
WHERE nth <= 3;
COMMENT ON VIEW best_offers IS 'The three best offers for each person, without what they bought.';

CREATE VIEW rule_decisions AS
SELECT f.person_id, f.rule_id, f.action || ' of ' || f.product_id AS reason, f.at, array_agg(o.shown_id ORDER BY o.nth) AS products
FROM best_offers f
JOIN best_offers o ON o.person_id = f.person_id AND o.rule_id = f.rule_id AND o.product_id = f.product_id
WHERE f.nth = 1
GROUP BY f.person_id, f.rule_id, f.action, f.product_id, f.at;
COMMENT ON VIEW rule_decisions IS 'Decisions by a rule: all of the best offers that have the rule and the product of the first.';

CREATE MATERIALIZED VIEW decisions WITH (chart = 'table', title = 'Decisions', decision_key = 'user_id', fallback_key = '*') AS
SELECT person_id AS user_id, rule_id, products, reason, CAST(NULL AS TEXT) AS fallback, at AS because_of
FROM rule_decisions
UNION ALL
SELECT
    r.user_id, NULL, array_agg(r.product_id ORDER BY r.place), first_value(r.reason ORDER BY r.place),
    CASE WHEN first_value(r.reason ORDER BY r.place) = 'best-seller' THEN 'best-sellers' ELSE 'recommendations' END, NULL
FROM recommendations r
WHERE NOT EXISTS (SELECT 1 FROM rule_decisions d WHERE d.person_id = r.user_id)
GROUP BY r.user_id;
COMMENT ON VIEW decisions IS 'What to show to each person now. Whoever is not in it gets the decision of user_id `*`.';
COMMENT ON COLUMN decisions.rule_id IS 'The rule that decided; empty for a fallback.';
COMMENT ON COLUMN decisions.products IS 'What to show, best first.';
COMMENT ON COLUMN decisions.reason IS 'What the rule was met by, or why the fallback shows its first product.';
COMMENT ON COLUMN decisions.fallback IS '`recommendations` or `best-sellers` where no rule had anything to show.';
COMMENT ON COLUMN decisions.because_of IS 'When the person did what the rule is about (UTC).';

---------------------------------------------------------------------------------------------------
-- Whether it worked
---------------------------------------------------------------------------------------------------

CREATE VIEW feedback AS
SELECT coalesce(p.person_id, f.user_id) AS person_id, f.rule_id, f.product_id, lower(f.action) AS action, f.at
FROM decision_feedback f
LEFT JOIN people p ON p.visitor_id = f.user_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW feedback IS 'What became of decisions, with the person.';

CREATE VIEW attributed_lines AS
SELECT DISTINCT f.rule_id, o.order_id, o.product_id, o.currency, o.quantity, o.price
FROM feedback f
CROSS JOIN decision_settings s
JOIN order_lines o ON o.person_id = f.person_id AND o.product_id = f.product_id
WHERE NOT o.cancelled AND o.at >= f.at AND o.at <= f.at + arrow_cast(60 * s.decision_minutes, 'Duration(Second)');
COMMENT ON VIEW attributed_lines IS 'Order lines of orders that stand, each once for every rule that had shown the product to the person in time.';

CREATE MATERIALIZED VIEW decision_results WITH (chart = 'bar', x = 'rule_id', y = 'click_rate', title = 'Do the rules work?') AS
SELECT
    rule_id, shown, clicked, bought,
    CAST(CAST(clicked AS DECIMAL(18, 6)) / nullif(shown, 0) AS DECIMAL(9, 4)) AS click_rate,
    CAST(CAST(bought AS DECIMAL(18, 6)) / nullif(shown, 0) AS DECIMAL(9, 4)) AS buy_rate
FROM (
    SELECT rule_id, CAST(sum(shown) AS BIGINT) AS shown, CAST(sum(clicked) AS BIGINT) AS clicked, CAST(sum(bought) AS BIGINT) AS bought
    FROM (
        SELECT
            rule_id, count(*) FILTER (WHERE action = 'shown') AS shown,
            count(*) FILTER (WHERE action = 'clicked') AS clicked, 0 AS bought
        FROM feedback
        GROUP BY rule_id
        UNION ALL
        SELECT rule_id, 0, 0, count(*) FROM attributed_lines GROUP BY rule_id
    )
    GROUP BY rule_id
);
COMMENT ON VIEW decision_results IS 'By rule: how often it was shown, clicked, and followed by an order of what it showed. A cancelled order takes its share away.';
COMMENT ON COLUMN decision_results.bought IS 'Order lines of orders that stand, placed within decision_minutes after the rule showed the product.';

CREATE MATERIALIZED VIEW decision_sales WITH (chart = 'bar', x = 'rule_id', y = 'gmv', title = 'What the rules sold') AS
SELECT rule_id, currency, count(DISTINCT order_id) AS orders, CAST(sum(quantity * price) AS DECIMAL(18, 2)) AS gmv
FROM attributed_lines
GROUP BY rule_id, currency;
COMMENT ON VIEW decision_sales IS 'What was sold of the products that each rule showed, to whom it showed them, in time.';
