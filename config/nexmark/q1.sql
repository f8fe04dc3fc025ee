-- Prices of bids in euro.
select auction, bidder, price * cast(0.908 as decimal(4, 3)) as price, date_time from bid
