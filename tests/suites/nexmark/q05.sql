-- Hot items: the auctions with the most bids in each ten seconds, every two seconds.
CREATE MATERIALIZED VIEW q5 AS
WITH counted AS (
    SELECT auction, count(*) AS num, starttime
    FROM (
        SELECT auction,
               date_bin(INTERVAL '2 seconds', date_time) - before AS starttime
        FROM bid CROSS JOIN (
            VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                   (INTERVAL '6 seconds'), (INTERVAL '8 seconds')
        ) AS steps (before)
    )
    GROUP BY auction, starttime
)
SELECT c.auction, c.num
FROM counted AS c
JOIN (SELECT max(num) AS maxn, starttime FROM counted GROUP BY starttime) AS m
ON c.starttime = m.starttime AND c.num >= m.maxn;
