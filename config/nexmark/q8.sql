-- New persons that open an auction in the same ten seconds.
select p.id, p.name, time_bucket(interval 10 second, p.date_time) as window_start
from person p
where exists (
    select * from auction a
    where a.seller = p.id and time_bucket(interval 10 second, a.date_time) = time_bucket(interval 10 second, p.date_time)
)
