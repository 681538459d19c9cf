-- The ten highest bids of an auction.
CREATE MATERIALIZED VIEW q19 AS
SELECT * FROM (
    SELECT *, row_number() OVER (
        PARTITION BY auction ORDER BY price DESC, date_time, extra) AS rank_number
    FROM bid
)
WHERE rank_number <= 10;
