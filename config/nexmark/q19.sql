-- The ten highest bids on each auction.
select *, row_number() over (partition by auction order by price desc, date_time, extra) as rank_number from bid
qualify rank_number <= 10
