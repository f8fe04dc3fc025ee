//! What is right in an expression and hardly meant.
//!
//! Found in the syntax tree, where places are known. It says nothing of an expression that is wrong: planning does that.

use std::ops::{ControlFlow, Range};

use datafusion_sql::sqlparser::ast::{BinaryOperator, Expr, Value, Visit, Visitor};
use millstream_api::Diagnostic;

use crate::sql::{self, Places};
use crate::stack::with_room;

/// Warnings about the expression at this key: comparisons with `null`, which give null for every row.
pub fn doubts(key: &str, text: &str) -> Vec<Diagnostic> {
    found_in(text).into_iter().map(|doubt| doubt.key(key)).collect()
}

/// Like [`doubts`], about each expression of a list.
pub fn doubts_of_items(key: &str, items: &[String]) -> Vec<Diagnostic> {
    let of_item = |(index, text): (usize, &String)| found_in(text).into_iter().map(move |doubt| doubt.key(key).index(index));
    items.iter().enumerate().flat_map(of_item).collect()
}

fn found_in(text: &str) -> Vec<Diagnostic> {
    let Ok(sql) = sql::parse(text) else { return Vec::new() };
    with_room(sql.depth, || {
        let mut found = Doubts { text, found: Vec::new() };
        // It never breaks off.
        let _ = sql.tree.visit(&mut found);
        found.found
    })
}

struct Doubts<'a> {
    text: &'a str,
    found: Vec<Diagnostic>,
}

impl Visitor for Doubts<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, node: &Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op, right } = node
            && let Some(other) = compared_with_null(left, op, right)
        {
            let warning = Diagnostic::warning("always-null", format!("`{}` is null for every row", self.written(node)));
            let warning = warning.help(match op {
                BinaryOperator::Eq => format!("write `{} is null`", self.written(other)),
                BinaryOperator::NotEq => format!("write `{} is not null`", self.written(other)),
                _ => "nothing is less or greater than null".to_owned(),
            });
            self.found.push(match Places(self.text).of(node) {
                Some(range) => warning.text(range),
                None => warning,
            });
        }
        ControlFlow::Continue(())
    }
}

impl Doubts<'_> {
    /// A node as it stands in the text. Places do not know the parentheses around a node: where one would be lost, as it is printed.
    fn written(&self, node: &Expr) -> String {
        let text = Places(self.text).of(node).and_then(|range: Range<usize>| self.text.get(range));
        match text {
            Some(text) if !matches!(node, Expr::Nested(_)) && text.matches('(').count() == text.matches(')').count() => text.to_owned(),
            _ => node.to_string(),
        }
    }
}

/// What is compared with a `null` that stands in the text.
fn compared_with_null<'a>(left: &'a Expr, op: &BinaryOperator, right: &'a Expr) -> Option<&'a Expr> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match (is_null(left), is_null(right)) {
        _ if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) => None,
        (_, true) => Some(left),
        (true, false) => Some(right),
        (false, false) => None,
    }
}

fn is_null(operand: &Expr) -> bool {
    match operand {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => matches!(value.value, Value::Null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::diagnostic::Part;

    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let shown = |doubt: Diagnostic| match doubt.part {
            Part::Text(range) => (text[range].to_owned(), doubt.help.unwrap()),
            other => panic!("{other:?}"),
        };
        found_in(text).into_iter().map(shown).collect()
    }

    #[test]
    fn comparisons_with_null_are_doubted_wherever_they_stand() {
        for (text, place, help) in [
            ("v = null", "v = null", "write `v is null`"),
            ("a > 1 or lower(t) <> NULL", "lower(t) <> NULL", "write `lower(t) is not null`"),
            ("not (null = (v + 1))", "null = (v + 1)", "write `(v + 1) is null`"),
            ("count(*) filter (where v = (null)) as n", "v = (null)", "write `v is null`"),
            ("(a or b) <> null", "a or b) <> null", "write `(a OR b) is not null`"),
            ("case when v >= null then 1 end as c", "v >= null", "nothing is less or greater than null"),
        ] {
            assert_eq!(found(text), [(place.to_owned(), help.to_owned())], "{text}");
        }
        assert_eq!(found("a = null and b = null").len(), 2);
    }

    #[test]
    fn what_is_meant_is_not_doubted() {
        for text in
            ["v is null", "v is distinct from null", "v = 1", "coalesce(v, null) = 2", "t = 'null'", "a in (1, null)", "v = = null", ""]
        {
            assert_eq!(found_in(text), [], "{text}");
        }
    }
}
