-- Fraud: payments that do not look like their owner's, with the rule that says so and the evidence.
--
-- Rules are rows of `fraud_rules`; there may be several of one kind with other thresholds, and those
-- that come along can be replaced by a row of their name. Kinds:
--
--   velocity       more than `transactions` payments of one user within `minutes`, looked back from
--                  each payment: the payment so many before it is no more than so long ago.
--   amount         more than `factor` times the mean of the user's earlier payments in the same
--                  currency, if there are at least `transactions` of them.
--   distance       two payments of one user that follow each other, so far apart that the way is
--                  faster than `km_per_hour` (and more than 100 km, the width of a big city).
--   shared card    more than `users` people have paid with one card; the same for
--   shared device  one device.
--
-- A rule in shadow finds what it finds, but raises no alert: it is tried on live traffic first.
-- fraud_rule_quality tells what each rule, in shadow or not, would have blocked, and how often it was
-- right where fraud_labels says what was fraud.
--
-- Payments of a user are taken by their times, those of one time by their ids. A payment that comes
-- late takes its own place, and the findings around it are corrected. Removed users leave nothing.
--
-- State: every payment by user, every user by card and device. It grows with payments. A payment
-- costs a pass over its user's payments.

CREATE TABLE fraud_rules (
    rule_id TEXT PRIMARY KEY,
    kind TEXT,
    transactions BIGINT,
    minutes BIGINT,
    factor DECIMAL(9, 2),
    km_per_hour BIGINT,
    users BIGINT,
    is_shadow BOOLEAN,
    is_active BOOLEAN,
    is_deleted BOOLEAN
) WITH (deleted = 'is_deleted');
COMMENT ON TABLE fraud_rules IS 'Rules, one a row, with the thresholds that their kind has. One with the id of a rule that comes along replaces it.';
COMMENT ON COLUMN fraud_rules.kind IS '`velocity`, `amount`, `distance`, `shared card` or `shared device`.';
COMMENT ON COLUMN fraud_rules.is_shadow IS 'Whether it only watches.';
COMMENT ON COLUMN fraud_rules.is_active IS 'false switches it off.';

CREATE TABLE fraud_labels (
    transaction_id TEXT PRIMARY KEY,
    is_fraud BOOLEAN NOT NULL
);
COMMENT ON TABLE fraud_labels IS 'What turned out to be fraud, and what did not.';

CREATE TABLE places (
    place TEXT PRIMARY KEY,
    latitude DOUBLE NOT NULL,
    longitude DOUBLE NOT NULL
);
COMMENT ON TABLE places IS 'Where places are: degrees north and east.';

CREATE VIEW fraud_rules_in_force AS
SELECT
    rule_id, kind, coalesce(transactions, 5) AS transactions, coalesce(minutes, 10) AS minutes, coalesce(factor, 5) AS factor,
    coalesce(km_per_hour, 900) AS km_per_hour, coalesce(users, 3) AS users, coalesce(is_shadow, false) AS is_shadow
FROM fraud_rules
WHERE is_active IS NOT FALSE
UNION ALL
SELECT d.rule_id, d.kind, d.transactions, 10, 5, 900, 3, false
FROM (VALUES
    ('many-payments', 'velocity', 5), ('unusual-amount', 'amount', 3), ('too-far-too-fast', 'distance', 0),
    ('shared-card', 'shared card', 0), ('shared-device', 'shared device', 0)
) d (rule_id, kind, transactions)
WHERE NOT EXISTS (SELECT 1 FROM fraud_rules r WHERE r.rule_id = d.rule_id);
COMMENT ON VIEW fraud_rules_in_force IS 'The active rules, those that come along among them, with all thresholds filled in.';

---------------------------------------------------------------------------------------------------
-- Payments in their order
---------------------------------------------------------------------------------------------------

CREATE VIEW payment_history AS
SELECT
    person_id, coalesce(transaction_id, 'unnamed') AS transaction_id, amount, currency, card_id, device_id, location,
    latitude, longitude, at,
    CAST(row_number() OVER (PARTITION BY person_id ORDER BY at, transaction_id, amount) AS BIGINT) AS n,
    CAST(row_number() OVER (PARTITION BY person_id, currency ORDER BY at, transaction_id, amount) AS BIGINT) AS n_in_currency,
    sum(amount) OVER (
        PARTITION BY person_id, currency ORDER BY at, transaction_id, amount
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS amount_before
FROM payments
WHERE person_id IS NOT NULL;
COMMENT ON VIEW payment_history IS 'Payments numbered by user, and by user and currency, with the sum of those before.';

CREATE VIEW velocity_findings AS
SELECT
    f.rule_id, f.person_id, f.transaction_id, f.at,
    array_agg(e.transaction_id ORDER BY e.n) AS evidence,
    count(*) || ' payments within ' || f.minutes || ' minutes' AS detail
FROM (
    SELECT
        p.person_id, p.transaction_id, p.at, p.n, r.rule_id, r.minutes,
        unnest(range(p.n - r.transactions, p.n + 1)) AS evidence_n
    FROM payment_history p
    CROSS JOIN fraud_rules_in_force r
    JOIN payment_history b ON b.person_id = p.person_id AND b.n = p.n - r.transactions
    WHERE r.kind = 'velocity' AND b.at >= p.at - arrow_cast(60 * r.minutes, 'Duration(Second)')
) f
JOIN payment_history e ON e.person_id = f.person_id AND e.n = f.evidence_n
GROUP BY f.rule_id, f.person_id, f.transaction_id, f.at, f.n, f.minutes;
COMMENT ON VIEW velocity_findings IS 'Payments with too many before them in too little time; the evidence is the shortest run that proves it.';

CREATE VIEW amount_findings AS
SELECT
    f.rule_id, f.person_id, f.transaction_id, f.at,
    array_agg(e.transaction_id ORDER BY e.n_in_currency) AS evidence,
    f.amount || ' ' || f.currency || ' against a mean of ' || f.mean || ' over ' || (f.n_in_currency - 1) AS detail
FROM (
    SELECT *, unnest(range(greatest(n_in_currency - 5, 1), n_in_currency + 1)) AS evidence_n
    FROM (
        SELECT
            r.rule_id, p.person_id, p.transaction_id, p.at, p.currency, p.n_in_currency,
            CAST(p.amount AS DECIMAL(18, 2)) AS amount,
            CAST(CAST(p.amount_before AS DECIMAL(28, 6)) / (p.n_in_currency - 1) AS DECIMAL(18, 2)) AS mean
        FROM payment_history p
        CROSS JOIN fraud_rules_in_force r
        WHERE r.kind = 'amount' AND p.n_in_currency > greatest(r.transactions, 1)
            AND p.amount * (p.n_in_currency - 1) > r.factor * p.amount_before
    )
) f
JOIN payment_history e ON e.person_id = f.person_id AND e.currency = f.currency AND e.n_in_currency = f.evidence_n
GROUP BY f.rule_id, f.person_id, f.transaction_id, f.at, f.n_in_currency, f.amount, f.currency, f.mean;
COMMENT ON VIEW amount_findings IS 'Payments far above what the user paid before; the evidence is up to five of those before, and it.';

CREATE VIEW located_payments AS
SELECT
    h.person_id, h.transaction_id, h.location, h.at,
    radians(coalesce(h.latitude, p.latitude)) AS latitude, radians(coalesce(h.longitude, p.longitude)) AS longitude,
    CAST(row_number() OVER (PARTITION BY h.person_id ORDER BY h.n) AS BIGINT) AS n
FROM payment_history h
LEFT JOIN places p ON p.place = h.location
WHERE coalesce(h.latitude, p.latitude) IS NOT NULL AND coalesce(h.longitude, p.longitude) IS NOT NULL;
COMMENT ON VIEW located_payments IS 'Payments of which it is known where on Earth they were made, in radians, numbered by user.';

CREATE VIEW ways AS
SELECT
    person_id, first_id, transaction_id, first_location, location, seconds, at,
    2 * 6371 * asin(sqrt(
        power(sin((to_latitude - from_latitude) / 2), 2)
        + cos(from_latitude) * cos(to_latitude) * power(sin((to_longitude - from_longitude) / 2), 2))) AS km
FROM (
    SELECT
        t.person_id, f.transaction_id AS first_id, t.transaction_id, f.location AS first_location, t.location, t.at,
        CAST(extract(EPOCH FROM t.at - f.at) AS BIGINT) AS seconds,
        f.latitude AS from_latitude, f.longitude AS from_longitude,
        t.latitude AS to_latitude, t.longitude AS to_longitude
    FROM located_payments t
    JOIN located_payments f ON f.person_id = t.person_id AND f.n = t.n - 1
    WHERE f.latitude <> t.latitude OR f.longitude <> t.longitude
);
COMMENT ON VIEW ways IS 'From where to where a user must have gone between two payments; the distance is that of a great circle (haversine formula, Earth''s mean radius 6371 km).';

CREATE VIEW distance_findings AS
SELECT
    r.rule_id, w.person_id, w.transaction_id, w.at,
    make_array(w.first_id, w.transaction_id) AS evidence,
    w.first_location || ' to ' || w.location || ': ' || CAST(round(w.km) AS BIGINT) || ' km in ' || (w.seconds / 60) || ' minutes' AS detail
FROM ways w
CROSS JOIN fraud_rules_in_force r
WHERE r.kind = 'distance' AND w.km > 100 AND w.km * 3600 > r.km_per_hour * w.seconds;
COMMENT ON VIEW distance_findings IS 'Payments in two places between which nobody is so fast.';

CREATE VIEW first_uses AS
SELECT kind, thing, person_id, transaction_id, at
FROM (
    SELECT kind, thing, person_id, transaction_id, at, row_number() OVER (PARTITION BY kind, thing, person_id ORDER BY at, transaction_id) AS place
    FROM (
        SELECT 'shared card' AS kind, card_id AS thing, person_id, transaction_id, at FROM payment_history WHERE card_id IS NOT NULL
        UNION ALL
        SELECT 'shared device', device_id, person_id, transaction_id, at FROM payment_history WHERE device_id IS NOT NULL
    )
)
WHERE place <= 1;
COMMENT ON VIEW first_uses IS 'The first payment of each user with each card and on each device.';

CREATE VIEW sharing_findings AS
SELECT
    r.rule_id, u.thing AS person_id, u.transaction_id, u.at, u.evidence, u.people || ' users' AS detail
FROM (
    SELECT
        kind, thing, count(*) AS people, max(at) AS at,
        array_agg(transaction_id ORDER BY at, transaction_id) AS evidence,
        last_value(transaction_id ORDER BY at, transaction_id) AS transaction_id
    FROM first_uses
    GROUP BY kind, thing
) u
JOIN fraud_rules_in_force r ON r.kind = u.kind
WHERE u.people > r.users;
COMMENT ON VIEW sharing_findings IS 'Cards and devices that too many people use; the evidence is the first payment of each.';

CREATE VIEW findings AS
SELECT rule_id, person_id AS subject, transaction_id, at, evidence, detail FROM velocity_findings
UNION ALL SELECT rule_id, person_id, transaction_id, at, evidence, detail FROM amount_findings
UNION ALL SELECT rule_id, person_id, transaction_id, at, evidence, detail FROM distance_findings
UNION ALL SELECT rule_id, person_id, transaction_id, at, evidence, detail FROM sharing_findings;
COMMENT ON VIEW findings IS 'What all rules find, in shadow or not.';

---------------------------------------------------------------------------------------------------
-- Answers
---------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW fraud_alerts WITH (chart = 'table', title = 'Fraud alerts') AS
SELECT f.rule_id, r.kind, f.subject, f.transaction_id, f.at, f.evidence, f.detail
FROM findings f
JOIN fraud_rules_in_force r ON r.rule_id = f.rule_id
WHERE NOT r.is_shadow;
COMMENT ON VIEW fraud_alerts IS 'Payments that a rule objects to, with the rule, the payments that prove it and what they prove.';
COMMENT ON COLUMN fraud_alerts.subject IS 'The user; for shared cards and devices, the card or device.';
COMMENT ON COLUMN fraud_alerts.transaction_id IS 'The payment that set it off: the latest of the evidence.';
COMMENT ON COLUMN fraud_alerts.evidence IS 'The ids of the payments that prove it, oldest first.';

CREATE MATERIALIZED VIEW fraud_shadow_alerts WITH (chart = 'table', title = 'What rules in shadow find') AS
SELECT f.rule_id, r.kind, f.subject, f.transaction_id, f.at, f.evidence, f.detail
FROM findings f
JOIN fraud_rules_in_force r ON r.rule_id = f.rule_id
WHERE r.is_shadow;
COMMENT ON VIEW fraud_shadow_alerts IS 'The same for rules that only watch; nobody is blocked by them.';

CREATE MATERIALIZED VIEW fraud_rule_quality WITH (chart = 'table', title = 'How good the rules are') AS
SELECT
    r.rule_id, r.kind, r.is_shadow,
    coalesce(q.found, 0) AS found,
    CAST(CAST(coalesce(q.found, 0) AS DECIMAL(18, 6)) / nullif(t.payments, 0) AS DECIMAL(9, 4)) AS blocked_share,
    coalesce(q.labelled, 0) AS labelled,
    CAST(CAST(q.fraud AS DECIMAL(18, 6)) / nullif(q.labelled, 0) AS DECIMAL(9, 4)) AS precision_of_labelled,
    CAST(CAST(coalesce(q.fraud, 0) AS DECIMAL(18, 6)) / nullif(t.fraud, 0) AS DECIMAL(9, 4)) AS recall
FROM fraud_rules_in_force r
LEFT JOIN (
    SELECT f.rule_id, count(*) AS found, count(l.is_fraud) AS labelled, count(*) FILTER (WHERE l.is_fraud) AS fraud
    FROM (SELECT DISTINCT rule_id, transaction_id FROM findings) f
    LEFT JOIN fraud_labels l ON l.transaction_id = f.transaction_id
    GROUP BY f.rule_id
) q ON q.rule_id = r.rule_id
CROSS JOIN (
    SELECT (SELECT count(*) FROM payments) AS payments, (SELECT count(*) FROM fraud_labels WHERE is_fraud) AS fraud
) t;
COMMENT ON VIEW fraud_rule_quality IS 'For each rule, in shadow or not: how many payments it objects to, which share of all, and how often it was right.';
COMMENT ON COLUMN fraud_rule_quality.precision_of_labelled IS 'Fraud / payments found of which it is known whether they were.';
COMMENT ON COLUMN fraud_rule_quality.recall IS 'Fraud found / all known fraud.';
