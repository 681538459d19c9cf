-- Sessions of a bidder: bids with less than ten seconds between them.
CREATE MATERIALIZED VIEW q11 AS
SELECT bidder, count(*) AS bid_count, min(date_time) AS starttime, max(date_time) AS endtime
FROM (
    SELECT bidder, date_time, sum(begins) OVER (
        PARTITION BY bidder ORDER BY date_time RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS session
    FROM (
        SELECT bidder, date_time, CASE
            WHEN date_time - lag(date_time) OVER (PARTITION BY bidder ORDER BY date_time)
                 < INTERVAL '10 seconds' THEN 0 ELSE 1 END AS begins
        FROM bid
    )
)
GROUP BY bidder, session;
