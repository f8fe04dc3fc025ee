//! Joins by event time: rows near each other, and the version that was valid.

use expect_test::expect;

use crate::crashed_in_mid_stream;

/// Joins of bids with the items of about their time.
fn near(kind: &str) -> String {
    format!(
        "
[operators.near]
type = 'join'
left = 'bids'
right = 'items'
mode = 'interval'
before = '5s'
after = '8s'
kind = '{kind}'
on = 'item = name'
columns = ['item', 'price', 'bids.at as at', 'seller', 'items.at as offered']
[sinks.out]
type = 'collect'
input = 'near'
[sinks.late]
type = 'collect'
input = 'near.late_left'
"
    )
}

#[test]
fn full_join_of_rows_near_each_other() {
    crashed_in_mid_stream(
        &near("full"),
        "out",
        &expect![[r#"
        {"item":"coat","price":9,"at":"1970-01-01T00:00:03Z","seller":null,"offered":null}
        {"item":"hat","price":1,"at":"1970-01-01T00:00:23Z","seller":null,"offered":null}
        {"item":"hat","price":5,"at":"1970-01-01T00:00:01Z","seller":"ann","offered":"1970-01-01T00:00:02Z"}
        {"item":"hat","price":7,"at":"1970-01-01T00:00:08Z","seller":"cid","offered":"1970-01-01T00:00:12Z"}
        {"item":"shoe","price":6,"at":"1970-01-01T00:00:27Z","seller":null,"offered":null}
        {"item":null,"price":2,"at":"1970-01-01T00:00:04Z","seller":null,"offered":null}
        {"item":null,"price":null,"at":null,"seller":"ann","offered":"1970-01-01T00:00:31Z"}
        {"item":null,"price":null,"at":null,"seller":"bob","offered":"1970-01-01T00:00:09Z"}
        {"item":null,"price":null,"at":null,"seller":"eve","offered":"1970-01-01T00:00:05Z"}
    "#]],
    );
}

#[test]
fn bids_behind_their_own_watermark_take_no_part() {
    crashed_in_mid_stream(
        &near("inner"),
        "late",
        &expect![[r#"
        {"item":"coat","price":4,"at":"1970-01-01T00:00:02Z"}
    "#]],
    );
}

#[test]
fn rows_without_a_partner_do_not_come_late_for_the_next_window() {
    let operators = format!(
        "{}
[operators.windows]
type = 'window'
input = 'near'
kind = 'tumble'
size = '10s'
[operators.counted]
type = 'aggregate'
input = 'windows'
compute = ['count(*) as rows', 'count(seller) as pairs']
[sinks.counts]
type = 'collect'
input = 'counted'
[sinks.too_late]
type = 'collect'
input = 'counted.late'
",
        near("full")
    );
    crashed_in_mid_stream(
        &operators,
        "counts",
        &expect![[r#"
        {"rows":1,"pairs":1,"window_start":"1970-01-01T00:00:10Z","window_end":"1970-01-01T00:00:20Z"}
        {"rows":1,"pairs":1,"window_start":"1970-01-01T00:00:30Z","window_end":"1970-01-01T00:00:40Z"}
        {"rows":2,"pairs":0,"window_start":"1970-01-01T00:00:20Z","window_end":"1970-01-01T00:00:30Z"}
        {"rows":5,"pairs":3,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z"}
    "#]],
    );
    crashed_in_mid_stream(&operators, "too_late", &expect![[""]]);
}

const VERSIONS: &str = "
[operators.sold]
type = 'join'
left = 'bids'
right = 'items'
mode = 'as_of'
kind = 'left'
on = 'item = name'
columns = ['item', 'price', 'bids.at as at', 'seller']
[sinks.out]
type = 'collect'
input = 'sold'
";

#[test]
fn bids_with_the_offer_of_their_time() {
    crashed_in_mid_stream(
        VERSIONS,
        "out",
        &expect![[r#"
        {"item":"coat","price":9,"at":"1970-01-01T00:00:03Z","seller":null}
        {"item":"hat","price":1,"at":"1970-01-01T00:00:23Z","seller":"cid"}
        {"item":"hat","price":5,"at":"1970-01-01T00:00:01Z","seller":null}
        {"item":"hat","price":7,"at":"1970-01-01T00:00:08Z","seller":"ann"}
        {"item":"shoe","price":6,"at":"1970-01-01T00:00:27Z","seller":"bob"}
        {"item":null,"price":2,"at":"1970-01-01T00:00:04Z","seller":null}
    "#]],
    );
}
