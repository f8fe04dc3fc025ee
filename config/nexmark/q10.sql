-- Bids with their day and time as text, as for a partitioned table of files.
select auction, bidder, price, date_time, strftime(date_time, '%Y-%m-%d') as day, strftime(date_time, '%H:%M') as minute from bid
