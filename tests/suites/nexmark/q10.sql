-- Bids as a partitioned log takes them, with the texts of their day and minute.
CREATE MATERIALIZED VIEW q10 AS
SELECT auction, bidder, price, date_time, extra,
       to_char(date_time, '%Y-%m-%d') AS dt, to_char(date_time, '%H:%M') AS hm
FROM bid;
