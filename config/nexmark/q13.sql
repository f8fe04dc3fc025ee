-- Bids with what a file says of their auction's number.
select b.auction, b.bidder, b.price, b.date_time, s.value
from bid b join read_csv('{folder}/side_input.csv', header = true, columns = {key: 'BIGINT', value: 'VARCHAR'}) s on b.auction % 1000 = s.key
