-- Bids of a bidder in each ten seconds. The original takes the time of processing, which no two
-- runs share; here it is the time of the bid.
CREATE MATERIALIZED VIEW q12 AS
SELECT bidder, count(*) AS bid_count, date_bin(INTERVAL '10 seconds', date_time) AS starttime
FROM bid
GROUP BY bidder, date_bin(INTERVAL '10 seconds', date_time);
