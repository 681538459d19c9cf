-- (d) Aggregates by user, of whom there are 100,000.
CREATE MATERIALIZED VIEW users AS
SELECT user_id, COUNT(*) AS events,
  COUNT(*) FILTER (WHERE event = 'purchase') AS purchases,
  SUM(price * quantity) FILTER (WHERE event = 'purchase') AS spent
FROM events
GROUP BY user_id;
