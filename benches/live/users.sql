-- A row for each user, changed by every visit: what point reads are measured on.

CREATE MATERIALIZED VIEW visits_by_user WITH (decision_key = 'user_id') AS
SELECT user_id, count(*) AS visits, max(at) AS last_at
FROM behavior
GROUP BY user_id;
