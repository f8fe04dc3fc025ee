-- The winning bid of each auction, kept up to date.
select a.id, a.item_name, a.seller, a.category, a.expires, b.bidder, b.price, b.date_time as bid_date_time
from auction a join bid b on a.id = b.auction and b.date_time between a.date_time and a.expires
qualify row_number() over (partition by a.id order by b.price desc, b.date_time, b.bidder) = 1
