-- Customer support: how content customers are, what got worse, and who still waits for an answer.
--
--   CSAT    ratings of 4 or 5 / ratings, of ratings from 1 to 5.
--   NPS     share of 9 and 10 less share of 0 to 6, of answers from 0 to 10 (kind `nps`).
--   edited  a rating replaces an older one of the same rating_id. Where no rating_id is given, a
--           user has one rating for each product, and the latest counts. A rating that names
--           neither its id nor a product always counts. What counts is in the day of its own time:
--           an edit on Tuesday takes Monday's rating away.
--   drop    the mean of the last seven days, today included, lies below that of the seven days
--           before by `rating_drop` or more, with at least `rating_drop_ratings` in each.
--   waiting a rating of `low_rating` or less without an answer since it was given or edited.
--
-- Removed users are in no figure. A late rating counts on its own day; if a later one for the same
-- key is already there, the late one never shows.
--
-- State: every rating with a key (an edit that is taken back shows the older one again), a row for
-- each product and day. It grows with ratings; nothing bounds it but how many are given.

CREATE TABLE rating_answers (
    event_id TEXT,
    rating_id TEXT NOT NULL,
    answered_by TEXT,
    at TIMESTAMP NOT NULL
) WITH (
    event_time = 'at',
    dedup = 'event_id',
    fields = 'rating_id = rating_id | ticket_id, at = timestamp | at'
);
COMMENT ON TABLE rating_answers IS 'Answers that support gave. rating_id is that of low_ratings_waiting.';

CREATE VIEW support_settings AS
SELECT
    CAST(coalesce(max(value) FILTER (WHERE name = 'low_rating'), '2') AS BIGINT) AS low_rating,
    CAST(coalesce(max(value) FILTER (WHERE name = 'rating_drop'), '0.5') AS DECIMAL(9, 2)) AS rating_drop,
    CAST(coalesce(max(value) FILTER (WHERE name = 'rating_drop_ratings'), '5') AS BIGINT) AS rating_drop_ratings
FROM settings;
COMMENT ON VIEW support_settings IS 'What counts as a low rating and as a drop, one row.';
COMMENT ON COLUMN support_settings.low_rating IS 'Ratings up to this one want an answer.';
COMMENT ON COLUMN support_settings.rating_drop IS 'By how much a week''s mean must fall to be listed.';
COMMENT ON COLUMN support_settings.rating_drop_ratings IS 'How many ratings each of the two weeks must have.';

CREATE VIEW rating_lines AS
SELECT
    coalesce(r.rating_id, r.user_id || '/' || r.product_id) AS key,
    r.event_id, r.user_id, r.product_id,
    coalesce(lower(r.kind) = 'nps', false) AS is_nps,
    r.rating, r.feedback, r.at
FROM ratings r
LEFT JOIN people p ON p.visitor_id = r.user_id
WHERE p.removed IS NOT TRUE;
COMMENT ON VIEW rating_lines IS 'Ratings, first ones and edits, with what tells that two of them are one.';

CREATE VIEW standing_ratings AS
SELECT key, user_id, product_id, is_nps, rating, feedback, at
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY key, is_nps ORDER BY at DESC, event_id DESC NULLS LAST, rating, feedback) AS place
    FROM rating_lines
    WHERE key IS NOT NULL
)
WHERE place <= 1
UNION ALL
SELECT coalesce(event_id, user_id, 'somebody') || '@' || CAST(at AS TEXT), user_id, product_id, is_nps, rating, feedback, at
FROM rating_lines
WHERE key IS NULL;
COMMENT ON VIEW standing_ratings IS 'Ratings as they are now: the latest of each key, and those without a key.';

CREATE VIEW product_rating_days AS
SELECT
    r.product_id,
    d.day,
    count(*) AS ratings,
    sum(r.rating) AS stars,
    count(*) FILTER (WHERE r.rating >= 4) AS content
FROM standing_ratings r
JOIN shop_days d ON d.quarter = date_bin(INTERVAL '15 minutes', r.at)
WHERE NOT r.is_nps AND r.rating BETWEEN 1 AND 5
GROUP BY r.product_id, d.day;
COMMENT ON VIEW product_rating_days IS 'Ratings by product and day, from which the answers are added up.';

CREATE MATERIALIZED VIEW csat WITH (chart = 'number', y = 'csat', title = 'Customer satisfaction') AS
SELECT
    CAST(coalesce(sum(ratings), 0) AS BIGINT) AS ratings,
    CAST(CAST(sum(stars) AS DECIMAL(18, 4)) / nullif(sum(ratings), 0) AS DECIMAL(9, 2)) AS mean,
    CAST(CAST(sum(content) AS DECIMAL(18, 6)) / nullif(sum(ratings), 0) AS DECIMAL(9, 4)) AS csat
FROM product_rating_days;
COMMENT ON VIEW csat IS 'All ratings so far: how many, their mean (1 to 5), and the share of 4 and 5.';

CREATE MATERIALIZED VIEW ratings_by_day WITH (chart = 'line', x = 'day', y = 'csat', title = 'Customer satisfaction by day') AS
SELECT
    day,
    CAST(sum(ratings) AS BIGINT) AS ratings,
    CAST(CAST(sum(stars) AS DECIMAL(18, 4)) / sum(ratings) AS DECIMAL(9, 2)) AS mean,
    CAST(CAST(sum(content) AS DECIMAL(18, 6)) / sum(ratings) AS DECIMAL(9, 4)) AS csat
FROM product_rating_days
GROUP BY day;
COMMENT ON VIEW ratings_by_day IS 'Ratings by the day (shop''s time zone) on which they were given or last edited.';

CREATE MATERIALIZED VIEW ratings_by_product WITH (chart = 'bar', x = 'product_id', y = 'mean', title = 'Ratings by product') AS
SELECT
    coalesce(product_id, 'no product') AS product_id,
    CAST(sum(ratings) AS BIGINT) AS ratings,
    CAST(CAST(sum(stars) AS DECIMAL(18, 4)) / sum(ratings) AS DECIMAL(9, 2)) AS mean,
    CAST(CAST(sum(content) AS DECIMAL(18, 6)) / sum(ratings) AS DECIMAL(9, 4)) AS csat
FROM product_rating_days
GROUP BY coalesce(product_id, 'no product');
COMMENT ON VIEW ratings_by_product IS 'Ratings of each product; those of the shop itself are under `no product`.';

CREATE VIEW rating_weeks AS
SELECT
    w.subject,
    sum(w.ratings) FILTER (WHERE a.days_ago < 7) AS ratings,
    sum(w.stars) FILTER (WHERE a.days_ago < 7) AS stars,
    sum(w.ratings) FILTER (WHERE a.days_ago >= 7) AS ratings_before,
    sum(w.stars) FILTER (WHERE a.days_ago >= 7) AS stars_before
FROM (
    SELECT coalesce(product_id, 'no product') AS subject, day, ratings, stars FROM product_rating_days
    UNION ALL
    SELECT 'all ratings', day, ratings, stars FROM product_rating_days
) w
JOIN (
    SELECT CAST(midnight - arrow_cast(86400 * days_ago, 'Duration(Second)') AS DATE) AS day, days_ago
    FROM (SELECT CAST(day AS TIMESTAMP) AS midnight, unnest(range(0, 14)) AS days_ago FROM today)
) a ON a.day = w.day
GROUP BY w.subject;
COMMENT ON VIEW rating_weeks IS 'The last seven days beside the seven before them, by product and over all.';

CREATE MATERIALIZED VIEW rating_drops WITH (chart = 'table', title = 'Ratings that fell', threshold = 'least_drop') AS
SELECT
    subject, ratings, mean, ratings_before, mean_before, mean_before - mean AS fall, least_drop
FROM (
    SELECT
        w.subject,
        CAST(w.ratings AS BIGINT) AS ratings,
        CAST(CAST(w.stars AS DECIMAL(18, 4)) / w.ratings AS DECIMAL(9, 2)) AS mean,
        CAST(w.ratings_before AS BIGINT) AS ratings_before,
        CAST(CAST(w.stars_before AS DECIMAL(18, 4)) / w.ratings_before AS DECIMAL(9, 2)) AS mean_before,
        s.rating_drop AS least_drop
    FROM rating_weeks w
    CROSS JOIN support_settings s
    WHERE w.ratings >= s.rating_drop_ratings AND w.ratings_before >= s.rating_drop_ratings
)
WHERE mean_before - mean >= least_drop;
COMMENT ON VIEW rating_drops IS 'Products, and all ratings together, whose mean of the last seven days fell against the seven days before. A late or edited rating moves the week that it belongs to.';

CREATE MATERIALIZED VIEW low_ratings_waiting WITH (chart = 'table', title = 'Low ratings without an answer') AS
SELECT r.key AS rating_id, r.user_id, r.product_id, r.rating, r.feedback, r.at
FROM standing_ratings r
CROSS JOIN support_settings s
LEFT JOIN (SELECT rating_id, max(at) AS at FROM rating_answers GROUP BY rating_id) a ON a.rating_id = r.key
WHERE NOT r.is_nps AND r.rating <= s.low_rating AND (a.at IS NULL OR a.at < r.at)
ORDER BY at;
COMMENT ON VIEW low_ratings_waiting IS 'Low ratings that nobody has answered since they were given or last edited, the oldest first. An edit to a better rating takes it off the list.';
COMMENT ON COLUMN low_ratings_waiting.rating_id IS 'Give this in rating_answers: the rating''s own id, else user/product, else who@when.';

CREATE MATERIALIZED VIEW nps WITH (chart = 'number', y = 'nps', title = 'Net promoter score') AS
SELECT
    count(*) AS answers,
    count(*) FILTER (WHERE rating >= 9) AS promoters,
    count(*) FILTER (WHERE rating <= 6) AS detractors,
    CAST(CAST(100 * (count(*) FILTER (WHERE rating >= 9) - count(*) FILTER (WHERE rating <= 6)) AS DECIMAL(18, 4))
        / nullif(count(*), 0) AS DECIMAL(9, 1)) AS nps
FROM standing_ratings
WHERE is_nps AND rating BETWEEN 0 AND 10;
COMMENT ON VIEW nps IS 'Net promoter score: percent of 9 and 10 less percent of 0 to 6; -100 to 100.';

CREATE MATERIALIZED VIEW ratings_off_the_scale WITH (chart = 'table', title = 'Ratings off the scale') AS
SELECT key AS rating_id, user_id, product_id, rating, at
FROM standing_ratings
WHERE rating NOT BETWEEN CASE WHEN is_nps THEN 0 ELSE 1 END AND CASE WHEN is_nps THEN 10 ELSE 5 END;
COMMENT ON VIEW ratings_off_the_scale IS 'Ratings that no figure counts: beyond 1 to 5, or 0 to 10 for NPS.';
