-- The highest bids of each ten seconds: a window that is joined back to its rows.
with highest as (
    select time_bucket(interval 10 second, date_time) as window_start, max(price) as price from bid group by all
)
select b.auction, b.price, b.bidder, b.date_time
from bid b join highest h on b.price = h.price and b.date_time between h.window_start and h.window_start + interval 10 second
