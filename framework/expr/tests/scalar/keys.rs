//! Expressions as the key of a route.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use millstream_api::plan::KeyExpressions;
use millstream_expr::{Scalar, ScalarKey};

use super::support::{rows, schema};

#[test]
fn a_key_gives_one_array_per_expression_and_null_for_bad_rows() {
    let parse = |text: &str| Scalar::parse(text, &schema()).unwrap();
    let key = ScalarKey(vec![parse("lower(s)"), parse("10 / n")]);
    assert_eq!(key.text(), "lower(s), 10 / n");
    assert_eq!(key.columns().into_iter().collect::<Vec<_>>(), ["n", "s"]);
    let batch = rows(&[r#"{"s":"A","n":2}"#, r#"{"s":"B","n":0}"#]);
    let values = key.bind(&batch.schema()).unwrap()(&batch).unwrap();
    assert_eq!(values[0].as_string_view().iter().collect::<Vec<_>>(), [Some("a"), Some("b")]);
    assert_eq!(values[1].as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(5), None]);
    assert_eq!(values[1].null_count(), 1);
}
