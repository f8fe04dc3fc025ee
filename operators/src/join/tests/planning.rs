//! What is refused, what is warned of, and what the result is called.

use millstream_api::plan::{Columns, Make};
use millstream_api::stream::{Judge, WindowKind, Windowed};
use millstream_api::{Diagnostics, Stream};
use serde_json::{Value, json};

use super::harness::plan;
use crate::testing::schema;

fn orders() -> Stream {
    let columns = schema("id bigint not null, user bigint, price bigint, at timestamp");
    Stream { unique_key: Some(vec!["id".into()]), ..Stream::plain(columns) }
}

fn users() -> Stream {
    Stream { unique_key: Some(vec!["id".into()]), ..Stream::plain(schema("id bigint not null, name string not null")) }
}

fn windowed(stream: Stream, size: i64) -> Stream {
    let windows = WindowKind::hop(size, size, 0);
    Stream { event_time: true, windowed: Some(Windowed { windows, judge: Judge::Reader, explicit: false }), ..stream }
}

fn mistakes(options: Value, streams: [Stream; 2]) -> Vec<String> {
    let found: Diagnostics = match plan(options, streams) {
        Ok(plan) => plan.warnings,
        Err(found) => found,
    };
    found.0.into_iter().map(|mistake| format!("{}: {}", mistake.code, mistake.message)).collect()
}

fn columns(options: Value) -> Vec<String> {
    let plan = plan(options, [orders(), users()]).unwrap();
    let fields = plan.outputs[0].stream.schema.fields();
    fields.iter().map(|field| format!("{}{}", field.name(), if field.is_nullable() { "?" } else { "" })).collect()
}

#[test]
fn columns_are_the_left_sides_and_the_right_sides_without_the_key() {
    let on = "orders.user = users.id";
    assert_eq!(columns(json!({ "mode": "changes", "on": on })), ["id", "user?", "price?", "at?", "name"]);
    assert_eq!(columns(json!({ "mode": "changes", "on": on, "kind": "left" })), ["id", "user?", "price?", "at?", "name?"]);
    assert_eq!(columns(json!({ "mode": "changes", "on": on, "kind": "anti" })), ["id", "user?", "price?", "at?"]);
    let listed = json!(["name", "right.id as user_id", "price + 1 as more", "left.*"]);
    let all = ["name", "user_id", "more?", "id", "user?", "price?", "at?"];
    assert_eq!(columns(json!({ "mode": "changes", "on": on, "columns": listed })), all);
}

#[test]
fn a_name_that_both_sides_have_is_the_left_sides_where_only_that_has_columns() {
    let of = |kind: &str| {
        let options = json!({ "mode": "changes", "kind": kind, "on": "user = right.id", "columns": ["id", "id + price as more"] });
        mistakes(options, [orders(), users()])
    };
    assert!(of("semi").is_empty() && of("anti").is_empty());
    let ambiguous = "ambiguous-column: both sides of the join have a column `id`";
    assert_eq!(of("inner"), [ambiguous, ambiguous]);
}

#[test]
fn mistakes_name_the_column_and_the_side() {
    let of = |options: Value| mistakes(options, [orders(), users()]);
    let changes = |on: &str| of(json!({ "mode": "changes", "on": on }));
    assert_eq!(changes("user = id"), ["ambiguous-column: both sides of the join have a column `id`"]);
    assert_eq!(changes("left.uzer = right.id"), ["unknown-column: `orders`, the left side, has no column `uzer`"]);
    assert_eq!(changes("uzer = right.id"), ["unknown-column: neither side of the join has a column `uzer`"]);
    assert_eq!(changes("price + 1"), ["not-boolean: `price + 1` is bigint, and a condition must be boolean"]);
    assert_eq!(changes("price = length(name)"), ["duplicate-column: the result would have two columns `id`"]);
    assert_eq!(of(json!({ "mode": "changes" })), ["missing-key: a join in mode \"changes\" has no condition `on`"]);
    let semi = json!({ "mode": "changes", "kind": "semi", "on": "user = right.id", "columns": ["name"] });
    let message = "unknown-column: a semi join has rows of the left side only, and `name` is of `users`, the right side";
    assert_eq!(of(semi), [message]);
    let list = |columns: Value| of(json!({ "mode": "changes", "on": "user = right.id", "columns": columns }));
    assert_eq!(list(json!([])), ["empty-list: `columns` names no column"]);
    assert_eq!(list(json!(["price + 1"])), ["missing-name: `price + 1` has no name"]);
    let itself = [orders(), Stream::plain(schema("id bigint"))];
    assert_eq!(mistakes(json!({ "mode": "changes", "on": "orders.id = users.id" }), itself), Vec::<String>::new());
}

#[test]
fn windows_must_be_there_and_equal() {
    let of = |left: Stream, right: Stream| mistakes(json!({ "mode": "window", "on": "user = right.id" }), [left, right]);
    assert_eq!(of(windowed(orders(), 5), windowed(users(), 5)), Vec::<String>::new());
    let message = "not-windowed: `users` is not windowed, and mode = \"window\" pairs rows of the same window";
    assert_eq!(of(windowed(orders(), 5), users()), [message]);
    let other = of(windowed(orders(), 5), windowed(users(), 6));
    assert_eq!(other, ["window-mismatch: `orders` and `users` do not have the same windows"]);
    let updating = Stream { updating: true, ..windowed(orders(), 5) };
    let message = "updating-input: `orders` is updating: its rows can be withdrawn, so that no window could ever close";
    assert_eq!(of(updating, windowed(users(), 5)), [message]);
}

#[test]
fn a_stream_is_updating_only_if_a_row_can_be_withdrawn() {
    let updating = |kind: &str, left: Stream, right: Stream| {
        plan(json!({ "mode": "changes", "kind": kind, "on": "user = right.id" }), [left, right]).unwrap().outputs[0].stream.updating
    };
    assert!(!updating("inner", orders(), users()));
    assert!(!updating("semi", orders(), users()));
    assert!(updating("left", orders(), users()));
    assert!(updating("anti", orders(), users()));
    assert!(updating("semi", orders(), Stream { updating: true, ..users() }));
    assert!(updating("inner", Stream { updating: true, ..orders() }, users()));
}

#[test]
fn keys_of_the_sides_make_a_key_of_the_result() {
    let key = |kind: &str, on: &str| {
        let options = json!({ "mode": "changes", "kind": kind, "on": on, "columns": ["orders.id as order_id", "users.id as user_id"] });
        plan(options, [orders(), users()]).unwrap().outputs[0].stream.unique_key.clone().unwrap()
    };
    assert_eq!(key("inner", "user = users.id"), ["order_id"]);
    assert_eq!(key("left", "user = users.id"), ["order_id"]);
    assert_eq!(key("full", "user = users.id"), ["order_id", "user_id"]);
    assert_eq!(key("inner", "price = length(name)"), ["order_id", "user_id"]);
}

#[test]
fn only_what_is_needed_is_read_and_keys_route() {
    let options = json!({ "mode": "changes", "on": "user = users.id and price > length(name)", "columns": ["at", "price"] });
    let endless = Stream { bounded: false, ..orders() };
    let plan = plan(options, [endless, users()]).unwrap();
    let Make::Operator(factory) = &plan.make else { panic!("not an operator") };
    let needed: Columns = ["at".to_owned()].into();
    let columns = factory.required(&[needed, Columns::new()]);
    let names = |columns: &Columns| columns.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!((names(&columns[0]), names(&columns[1])), ("at price user".to_owned(), "id name".to_owned()));
    assert_eq!(plan.bound, None);
    assert_eq!(plan.warnings.0[0].code, "unbounded-state");
}
