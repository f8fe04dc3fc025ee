-- How many bids a bidder makes in each session: until ten seconds go by without one.
with gaps as (
    select bidder, date_time, date_time - lag(date_time) over (partition by bidder order by date_time) < interval 10 second as goes_on
    from bid
), sessions as (
    select bidder, date_time, sum(case when goes_on then 0 else 1 end) over (partition by bidder order by date_time) as session
    from gaps
)
select bidder, count(*) as bids, min(date_time) as window_start, max(date_time) + interval 10 second as window_end
from sessions
group by bidder, session
