-- Every bid as it is: what passing rows on costs.
select auction, bidder, price, date_time from bid
