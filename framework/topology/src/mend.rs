//! What a node with a mistake would be without it, so that what reads the node is checked in the same go.
//!
//! Such a topology never runs: only the streams of a mended node count, and nothing is said about it beyond the mistake. What is left out of a
//! list or a schema takes its columns along, and nobody is told that these are not there.

use std::collections::{BTreeMap, BTreeSet};

use millstream_api::Diagnostics;
use millstream_api::diagnostic::{Diagnostic, Key, Part, Severity};
use millstream_api::plan::{Inputs, Plan};
use millstream_api::registry::{NodeType, Role};
use serde_json::{Map, Value as Json};

/// Conditions: which rows there are does not matter here.
const CONDITIONS: [&str; 3] = ["where", "having", "on"];

/// Lists of which the other items can be looked at without one.
const LISTS: [&str; 4] = ["by", "columns", "compute", "order"];

/// Other keys of operators on whose value neither the columns of a stream nor its kind depend.
const PLAIN: [&str; 12] =
    ["after", "allowed_lateness", "before", "gap", "max_delay", "n", "offset", "size", "slide", "state_ttl", "step", "timezone"];

/// How often what is left may turn out to be wrong again.
const ROUNDS: usize = 3;

/// A node as it would be.
pub(crate) struct Mended {
    pub plan: Plan,
    /// Columns that it would have as well.
    pub unknown: BTreeSet<String>,
}

/// Whether a node can do without the value of a key, or with another one. Of a source the columns count, and these are in its schema.
pub(crate) fn can_miss(role: Role, key: &str) -> bool {
    match role {
        Role::Source => key != "schema",
        Role::Operator => PLAIN.contains(&key),
        Role::Sink => false,
    }
}

/// The node without its mistakes; none when they are of another kind, or too many.
pub(crate) fn mended(node_type: &NodeType, options: &Json, mistakes: Diagnostics, inputs: &Inputs<'_>) -> Option<Mended> {
    let plan = |options: &Json| match node_type.role {
        Role::Source => node_type.plan_replaced(options.clone(), inputs),
        _ => node_type.plan(options.clone(), inputs),
    };
    let mut options = options.as_object()?.clone();
    let (mut unknown, mut mistakes) = (BTreeSet::new(), mistakes);
    if node_type.role == Role::Source {
        // Without a look at what is outside.
        match plan(&Json::Object(options.clone())) {
            Ok(plan) => return Some(Mended { plan, unknown }),
            Err(found) => mistakes = found,
        }
    }
    for _ in 0..ROUNDS {
        leave_out(&mut options, &mistakes, &mut unknown)?;
        match plan(&Json::Object(options.clone())) {
            Ok(plan) => return Some(Mended { plan, unknown }),
            Err(found) => mistakes = found,
        }
    }
    None
}

/// Leaves out what is wrong; none when that is not possible.
fn leave_out(options: &mut Map<String, Json>, mistakes: &Diagnostics, unknown: &mut BTreeSet<String>) -> Option<()> {
    let mut items: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for mistake in mistakes.0.iter().filter(|mistake| mistake.severity == Severity::Error) {
        match &mistake.path[..] {
            [Key::Name(list), Key::Index(index)] if LISTS.contains(&list.as_str()) => drop(items.entry(list).or_default().insert(*index)),
            [Key::Name(key)] if CONDITIONS.contains(&key.as_str()) => drop(options.insert(key.clone(), Json::from("true"))),
            [Key::Name(key), Key::Name(column), ..] if key == "schema" => {
                options.get_mut(key)?.as_object_mut()?.remove(column)?;
                unknown.insert(column.clone());
            }
            [Key::Name(key), ..] if PLAIN.contains(&key.as_str()) => stand_in(options, key),
            _ => return None,
        }
    }
    for (list, indices) in items {
        let list = options.get_mut(list)?.as_array_mut()?;
        for index in indices.into_iter().rev() {
            if index < list.len() {
                unknown.extend(list.remove(index).as_str().map(name_of_item));
            }
        }
    }
    Some(())
}

/// Gives a key another value: most are lengths. Where that is wrong as well, none.
fn stand_in(options: &mut Map<String, Json>, key: &str) {
    const LENGTH: &str = "1h";
    match options.get(key).and_then(Json::as_str) {
        Some(LENGTH) => drop(options.remove(key)),
        _ => drop(options.insert(key.to_owned(), Json::from(LENGTH))),
    }
}

/// The name of the column that an item of a list gives: what follows the last `as`, else the item itself.
fn name_of_item(item: &str) -> String {
    let lower = item.to_ascii_lowercase();
    let name = lower.rfind(" as ").and_then(|at| item.get(at + " as ".len()..)).unwrap_or(item);
    name.trim().trim_matches('"').to_owned()
}

/// Whether a mistake is worth telling of a node that reads columns of which some are not known.
pub(crate) fn counts(mistake: &Diagnostic, unknown: &BTreeSet<String>) -> bool {
    match mistake.code {
        "unknown-column" => !unknown.iter().any(|name| mistake.message.ends_with(&format!("`{name}`"))),
        _ => matches!(mistake.part, Part::Text(_)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_missing_because_of_another_mistake_does_not_count() {
        let unknown = BTreeSet::from(["total".to_owned()]);
        let of = |code, message: &str| Diagnostic::error(code, message);
        assert!(!counts(&of("unknown-column", "`total` has no column `total`"), &unknown));
        assert!(counts(&of("unknown-column", "`total` has no column `n`"), &unknown));
        assert!(counts(&of("type-mismatch", "of `total`").text(0..1), &unknown));
        assert!(!counts(&of("union-mismatch", "`a` lacks `total`"), &unknown));
    }

    #[test]
    fn the_name_of_an_item_follows_its_last_as() {
        for (item, name) in
            [("summ(a) as total", "total"), ("cast(a as int) AS \"x-y\"", "x-y"), ("nme", "nme"), ("cast(a as int)", "int)"), ("", "")]
        {
            assert_eq!(name_of_item(item), name);
        }
    }
}
