//! No text makes parsing or evaluating an expression panic or hang, and a row gives the same alone and in a batch.
//!
//! The first byte says what the text is: a value, a condition, an item of a list, what to order by, or an item of `compute`. An aggregate
//! gives the same in one go and by way of the states of two parts.
#![no_main]

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryViewArray, Int64Array, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema};
use libfuzzer_sys::{Corpus, fuzz_target};
use millstream_api::Batch;
use millstream_api::types::ColumnType;
use millstream_expr::{Aggregate, BoundScalar, ComputeItem, OrderItem, RowOrder, Scalar};

/// Columns with ordinary and extreme values; the last row is null where it may be.
const COLUMNS: [(&str, &str, [&str; 2]); 15] = [
    ("b", "boolean", ["true", "false"]),
    ("small", "smallint", ["3", "-32768"]),
    ("i", "int", ["4", "2147483647"]),
    ("n", "bigint", ["10", "9223372036854775807"]),
    ("m", "bigint", ["0", "-9223372036854775808"]),
    ("r", "real", ["1.5", "-0"]),
    ("d", "double", ["2.5", "1e308"]),
    ("e", "double", ["0", "NaN"]),
    ("dec", "decimal(10,2)", ["12.34", "-99999999.99"]),
    ("big", "decimal(38,0)", ["5", "99999999999999999999999999999999999999"]),
    ("s", "string", ["Hello", ""]),
    ("t", "string", ["12", "äö\u{0}"]),
    ("day", "date", ["1969-12-31", "0001-01-01"]),
    ("ts", "timestamp", ["1969-12-31T23:30:00.5Z", "9999-12-31T23:59:59.999999Z"]),
    ("key", "bigint not null", ["1", "2"]),
];

static ROWS: LazyLock<RecordBatch> = LazyLock::new(|| {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, text, [first, second]) in COLUMNS {
        let ColumnType { data_type, nullable, .. } = ColumnType::parse(text).expect("a type");
        let last = if nullable { None } else { Some("3") };
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some(first), Some(second), last]));
        arrays.push(cast(&texts, &data_type).expect("values of the type"));
        fields.push(Field::new(name, data_type, nullable));
    }
    for (name, text) in [("tags", "list<string>"), ("place", "struct<city: string, zip: int>")] {
        let data_type = ColumnType::parse(text).expect("a type").data_type;
        arrays.push(new_null_array(&data_type, 3));
        fields.push(Field::new(name, data_type, true));
    }
    arrays.push(Arc::new(BinaryViewArray::from(vec![Some(&b"\xff"[..]), Some(b""), None])));
    fields.push(Field::new("bin", ColumnType::parse("bytes").expect("a type").data_type, true));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, text)) = data.split_first() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    let schema = ROWS.schema();
    match kind % 5 {
        0 => drop(Scalar::parse(text, &schema).map(|scalar| evaluate(&scalar))),
        1 => drop(Scalar::predicate(text, &schema).map(|scalar| evaluate(&scalar))),
        2 => drop(Scalar::item(text, &schema).map(|scalar| evaluate(&scalar))),
        3 => drop(OrderItem::parse(text, &schema).map(|item| evaluate(item.value()))),
        _ => match ComputeItem::parse(text, &schema) {
            Ok(ComputeItem::Function(aggregate)) => aggregated(&aggregate),
            Ok(ComputeItem::Expression(item)) => {
                item.calls().iter().for_each(aggregated);
                let groups: Vec<Field> = item.calls().iter().map(|call| call.field().clone()).collect();
                drop(item.column(&Schema::new(groups)));
            }
            Err(_) => {}
        },
    }
    Corpus::Keep
});

fn evaluate(scalar: &Scalar) {
    let bound: BoundScalar = scalar.bind(&ROWS.schema()).expect("what was planned can be bound");
    let all = bound.evaluate(&ROWS).expect("a row is bad, never the batch");
    assert_eq!(all.values.data_type(), scalar.field().data_type(), "as it was planned");
    for row in 0..ROWS.num_rows() {
        let one = bound.evaluate(&ROWS.slice(row, 1)).expect("a row is bad, never the batch");
        let bad: Vec<&String> = all.bad.iter().filter(|bad| bad.row == row).map(|bad| &bad.reason).collect();
        assert_eq!(one.bad.iter().map(|bad| &bad.reason).collect::<Vec<_>>(), bad, "row {row}");
        assert_eq!(&one.values, &all.values.slice(row, 1), "row {row}");
    }
}

fn aggregated(aggregate: &Aggregate) {
    let bound = aggregate.bind(&ROWS.schema()).expect("what was planned can be bound");
    let add = |groups: &mut dyn millstream_expr::Groups, rows: &RecordBatch| {
        let arguments = bound.arguments(rows).expect("a row is bad, never the batch");
        let timed = millstream_api::batch::Hidden { times: Some(Int64Array::from(vec![7; rows.num_rows()])), ..Default::default() };
        let order = RowOrder::of(&Batch::new(rows.clone(), timed).expect("a batch")).expect("an order");
        // Rows that are bad are left out, as the operator does it.
        let good: Vec<u32> = (0..rows.num_rows() as u32).filter(|row| arguments.bad.iter().all(|bad| bad.row != *row as usize)).collect();
        let good = arrow::array::UInt32Array::from(good);
        let (arguments, order) = (arguments.take(&good).expect("rows"), order.take(&good).expect("rows"));
        groups.update(&arguments, &vec![0; good.len()], 1, Some(&order)).expect("a group is bad, never the update");
    };
    let mut whole = bound.groups().expect("groups");
    add(whole.as_mut(), &ROWS);
    let mut merged = bound.groups().expect("groups");
    for rows in [ROWS.slice(0, 1), ROWS.slice(1, 2)] {
        let mut part = bound.groups().expect("groups");
        add(part.as_mut(), &rows);
        merged.merge(&part.state().expect("a state"), &[0], 1).expect("states can be merged");
    }
    let (whole, merged) = (whole.evaluate().expect("values"), merged.evaluate().expect("values"));
    assert_eq!(whole.bad.len(), merged.bad.len());
    if whole.bad.is_empty() {
        assert_eq!(whole.values.data_type(), aggregate.field().data_type(), "as it was planned");
    }
}
