-- Highest bid of each ten seconds.
CREATE MATERIALIZED VIEW q7 AS
SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
FROM bid AS b
JOIN (
    SELECT max(price) AS max_price, date_bin(INTERVAL '10 seconds', date_time) AS window_start
    FROM bid
    GROUP BY date_bin(INTERVAL '10 seconds', date_time)
) AS m
ON b.price = m.max_price
WHERE b.date_time >= m.window_start AND b.date_time < m.window_start + INTERVAL '10 seconds';
