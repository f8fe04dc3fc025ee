-- The newest bid of each bidder on each auction.
select * from bid
qualify row_number() over (partition by bidder, auction order by date_time desc, extra) = 1
