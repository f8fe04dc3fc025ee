-- Bids within a range of prices, with what can be said of them.
select auction, bidder, price * cast(0.908 as decimal(4, 3)) as price,
    case
        when hour(date_time) between 8 and 18 then 'dayTime'
        when hour(date_time) <= 6 or hour(date_time) >= 20 then 'nightTime'
        else 'otherTime'
    end as bid_time_type,
    date_time, length(extra) - length(replace(extra, 'c', '')) as c_counts
from bid
where 0.908 * price > 1000000 and 0.908 * price < 50000000
