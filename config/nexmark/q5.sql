-- Which auctions had the most bids in the last ten seconds, every two seconds.
with windows as (
    select auction, time_bucket(interval 2 second, date_time) - interval 2 second * step as window_start
    from bid, range(5) steps(step)
), counts as (
    select auction, window_start, count(*) as num from windows group by auction, window_start
)
select auction, num, window_start, window_start + interval 10 second as window_end
from counts
qualify num = max(num) over (partition by window_start)
