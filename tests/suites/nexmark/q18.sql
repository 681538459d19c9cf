-- The last bid of a bidder on an auction.
CREATE MATERIALIZED VIEW q18 AS
SELECT auction, bidder, price, channel, url, date_time, extra
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY bidder, auction ORDER BY date_time DESC, price DESC, extra) AS rank_number
    FROM bid
)
WHERE rank_number <= 1;
