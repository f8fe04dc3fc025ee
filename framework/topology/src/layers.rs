//! The layers of a topology, weakest first: the file, `MILLSTREAM__…` variables, `--set key=value`.
//!
//! The `config` crate merges them, and only that: it would lose lines and the order of tables, and coerce values. So what it
//! gets to see of a value is the value's number in a list that stays here; after merging the typed values are put back in the
//! order of the file. Defaults are not a layer: they live in the option structs.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Config, ConfigError, Map, Source, Value as ConfigValue, ValueKind};
use millstream_api::Diagnostic;

use crate::report::Problems;
use crate::tree::{Field, Item, Place, Table, Value};

/// What variables begin with.
const PREFIX: &str = "MILLSTREAM__";

/// The one key at the root of what `config` merges. Keys at its root it would read as paths; below they are taken as they are.
const ROOT: &str = "topology";

/// All layers in one tree.
pub(crate) fn merge(file: &Table, env: &BTreeMap<String, String>, sets: &[String], problems: &mut Problems) -> Table {
    let mut leaves = Leaves::default();
    let mut builder = Config::builder().add_source(Layer(leaves.hand_over_table(file)));
    for given in variables(file, env, problems).into_iter().chain(arguments(sets, problems)) {
        builder = builder.add_source(Layer(leaves.hand_over_given(&given)));
    }
    match builder.build().and_then(|merged| merged.get_table(ROOT)) {
        Ok(merged) => leaves.take_back(Some(file), merged),
        Err(error) => {
            problems.push(Diagnostic::error("internal", format!("the layers of the topology do not merge: {error}")));
            Table::default()
        }
    }
}

/// A value from outside the file.
struct Given {
    keys: Vec<String>,
    item: Item,
}

impl Given {
    fn new(keys: Vec<String>, label: &str, text: &str) -> Self {
        let place = Place::Layer(label.into());
        Given { keys, item: Item { value: Value::Text(text.to_owned()), place, untyped: true, broken: false } }
    }
}

/// The values of all variables that address the topology.
fn variables(file: &Table, env: &BTreeMap<String, String>, problems: &mut Problems) -> Vec<Given> {
    let addressed = env.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    let mut given = Vec::new();
    for (name, path, value) in addressed {
        match keys_of_variable(file, path) {
            Ok(keys) => given.push(Given::new(keys, name, value)),
            Err(diagnostic) => problems.push_at(diagnostic, Place::Layer(Arc::from(name.as_str()))),
        }
    }
    given
}

/// The keys that a variable addresses: keys of the file without regard to case, else names in lower case, as all keys that
/// Millstream knows are. Shells can't set names with a hyphen, so `_` stands for it as well.
fn keys_of_variable(file: &Table, path: &str) -> Result<Vec<String>, Diagnostic> {
    let mut table = Some(file);
    let mut keys = Vec::new();
    for part in path.split("__") {
        if part.is_empty() {
            return Err(Diagnostic::error("bad-variable", "the variable has an empty key")
                .help("keys are separated by two underscores: MILLSTREAM__RUNTIME__WORKERS"));
        }
        let field = match table {
            Some(table) => matching(table, part)?,
            None => None,
        };
        keys.push(field.map_or_else(|| part.to_lowercase(), |field| field.key.clone()));
        table = match field.map(|field| &field.item.value) {
            Some(Value::Table(inner)) => Some(inner),
            _ => None,
        };
    }
    Ok(keys)
}

fn matching<'a>(table: &'a Table, part: &str) -> Result<Option<&'a Field>, Diagnostic> {
    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    if let Some(exact) = table.field(part) {
        return Ok(Some(exact));
    }
    let wanted = fold(part);
    let found: Vec<&Field> = table.fields.iter().filter(|field| fold(&field.key) == wanted).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => {
            let names: Vec<String> = found.iter().map(|field| format!("`{}`", field.key)).collect();
            Err(Diagnostic::error("bad-variable", format!("`{part}` may mean {}", names.join(" or ")))
                .help("write the key in the variable's name exactly as in the file, or use --set"))
        }
    }
}

/// The values of all `--set key=value`.
fn arguments(sets: &[String], problems: &mut Problems) -> Vec<Given> {
    let mut given = Vec::new();
    for set in sets {
        let parsed = set.split_once('=').and_then(|(path, value)| Some((path, toml_edit::Key::parse(path).ok()?, value)));
        match parsed {
            Some((path, keys, value)) => {
                let keys = keys.iter().map(|key| key.get().to_owned()).collect();
                given.push(Given::new(keys, &format!("--set {}", path.trim()), value));
            }
            None => {
                let diagnostic = Diagnostic::error("bad-set", format!("`{set}` is not of the form key=value"))
                    .help("for example: --set runtime.workers=4");
                problems.push_at(diagnostic, Place::Layer("--set".into()));
            }
        }
    }
    given
}

/// One layer, as `config` sees it.
#[derive(Clone, Debug)]
struct Layer(Map<String, ConfigValue>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, ConfigValue>, ConfigError> {
        Ok([(ROOT.to_owned(), ConfigValue::new(None, ValueKind::Table(self.0.clone())))].into_iter().collect())
    }
}

/// The values of all layers. `config` handles their numbers.
#[derive(Default)]
struct Leaves(Vec<Item>);

impl Leaves {
    fn hand_over_table(&mut self, table: &Table) -> Map<String, ConfigValue> {
        table.fields.iter().map(|field| (field.key.clone(), self.hand_over(&field.item))).collect()
    }

    fn hand_over(&mut self, item: &Item) -> ConfigValue {
        let kind = match &item.value {
            Value::Table(table) => ValueKind::Table(self.hand_over_table(table)),
            _ => {
                self.0.push(item.clone());
                ValueKind::U64(self.0.len() as u64 - 1)
            }
        };
        ConfigValue::new(None, kind)
    }

    fn hand_over_given(&mut self, given: &Given) -> Map<String, ConfigValue> {
        let mut value = self.hand_over(&given.item);
        for key in given.keys.iter().skip(1).rev() {
            value = ConfigValue::new(None, ValueKind::Table([(key.clone(), value)].into_iter().collect()));
        }
        given.keys.first().map(|key| (key.clone(), value)).into_iter().collect()
    }

    /// The merged table in the order of the file, what is not in the file after it in the order of the layers.
    fn take_back(&self, file: Option<&Table>, mut merged: Map<String, ConfigValue>) -> Table {
        let mut fields: Vec<Field> = Vec::with_capacity(merged.len());
        for field in file.iter().flat_map(|table| &table.fields) {
            if let Some(item) = merged.remove(&field.key).and_then(|value| self.take_back_item(Some(&field.item), value)) {
                fields.push(Field { key: field.key.clone(), key_place: field.key_place.clone(), item });
            }
        }
        let mut others: Vec<(u64, String, ConfigValue)> = merged.into_iter().map(|(key, value)| (first_leaf(&value), key, value)).collect();
        others.sort_by_key(|(leaf, _, _)| *leaf);
        for (_, key, value) in others {
            if let Some(item) = self.take_back_item(None, value) {
                fields.push(Field { key, key_place: item.place.clone(), item });
            }
        }
        Table { fields }
    }

    fn take_back_item(&self, file: Option<&Item>, value: ConfigValue) -> Option<Item> {
        match value.kind {
            ValueKind::U64(number) => self.0.get(usize::try_from(number).ok()?).cloned(),
            ValueKind::Table(merged) => {
                let (table, place) = match file {
                    Some(Item { value: Value::Table(table), place, .. }) => (Some(table), Some(place.clone())),
                    _ => (None, None),
                };
                let table = self.take_back(table, merged);
                let place = place.or_else(|| table.fields.first().map(|field| field.key_place.clone()))?;
                Some(Item { value: Value::Table(table), place, untyped: false, broken: false })
            }
            _ => None,
        }
    }
}

/// The smallest number of a value's leaves.
fn first_leaf(value: &ConfigValue) -> u64 {
    match &value.kind {
        ValueKind::U64(number) => *number,
        ValueKind::Table(table) => table.values().map(first_leaf).min().unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    /// `a.b.c = value` for each leaf in order, with where it came from.
    fn flat(table: &Table, prefix: &str, out: &mut Vec<String>) {
        for field in &table.fields {
            let path = format!("{prefix}{}", field.key);
            match (&field.item.value, &field.item.place) {
                (Value::Table(inner), _) => flat(inner, &format!("{path}."), out),
                (value, Place::File(_)) => out.push(format!("{path} = {value:?}")),
                (value, Place::Layer(label)) => out.push(format!("{path} = {value:?} from {label}")),
            }
        }
    }

    fn merged(file: &str, env: &[(&str, &str)], sets: &[&str]) -> (Vec<String>, Vec<String>) {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let mut problems = Problems::default();
        let table = merge(&tree::parse(file, tree::Syntax::Toml).unwrap(), &env, &sets, &mut problems);
        let mut leaves = Vec::new();
        flat(&table, "", &mut leaves);
        let report = problems.into_report("f", file, &table);
        (leaves, report.entries().iter().map(|entry| format!("{entry}").lines().next().unwrap_or_default().to_owned()).collect())
    }

    #[test]
    fn names_keep_their_case_and_tables_their_order() {
        let file =
            "[sources.CamelCase.schema]\nZeta = \"int\"\n\"a.B[0]\" = \"int\"\nalpha = \"int\"\n[sources.camelOther]\nx = 1\n\"r.t\" = 2\n";
        let (leaves, problems) = merged(file, &[], &[]);
        assert_eq!(
            leaves,
            [
                "sources.CamelCase.schema.Zeta = Text(\"int\")",
                "sources.CamelCase.schema.a.B[0] = Text(\"int\")",
                "sources.CamelCase.schema.alpha = Text(\"int\")",
                "sources.camelOther.x = Integer(1)",
                "sources.camelOther.r.t = Integer(2)",
            ]
        );
        assert!(problems.is_empty());
    }

    #[test]
    fn later_layers_win_and_keep_the_order_of_the_file() {
        let (leaves, problems) = merged(
            "name = \"n\"\n[runtime]\nworkers = 1\nlinger = \"1s\"\n[operators.Hourly-x]\nsize = \"1h\"\n",
            &[
                ("MILLSTREAM__RUNTIME__WORKERS", "2"),
                ("MILLSTREAM__OPERATORS__HOURLY_X__SIZE", "2h"),
                ("MILLSTREAM_OTHER", "x"),
                ("PATH", "/"),
            ],
            &["runtime.workers=3", "server.listen=a=b", "runtime.mailbox = 4"],
        );
        assert_eq!(
            leaves,
            [
                "name = Text(\"n\")",
                "runtime.workers = Text(\"3\") from --set runtime.workers",
                "runtime.linger = Text(\"1s\")",
                "runtime.mailbox = Text(\" 4\") from --set runtime.mailbox",
                "operators.Hourly-x.size = Text(\"2h\") from MILLSTREAM__OPERATORS__HOURLY_X__SIZE",
                "server.listen = Text(\"a=b\") from --set server.listen",
            ]
        );
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn what_addresses_nothing_or_too_much_is_an_error() {
        let (_, problems) = merged(
            "[operators.a]\n[operators.A]\n",
            &[("MILLSTREAM__OPERATORS__a__x", "1"), ("MILLSTREAM__RUNTIME____X", "1"), ("MILLSTREAM__", "1")],
            &["workers", "a..b=1"],
        );
        assert_eq!(
            problems,
            [
                "MILLSTREAM__: error[bad-variable]: the variable has an empty key",
                "MILLSTREAM__RUNTIME____X: error[bad-variable]: the variable has an empty key",
                "--set: error[bad-set]: `workers` is not of the form key=value",
                "--set: error[bad-set]: `a..b=1` is not of the form key=value",
            ]
        );
        let (_, problems) = merged("[operators.aB]\n[operators.Ab]\n", &[("MILLSTREAM__OPERATORS__AB__x", "1")], &[]);
        assert_eq!(problems, ["MILLSTREAM__OPERATORS__AB__x: error[bad-variable]: `AB` may mean `aB` or `Ab`"]);
    }

    #[test]
    fn a_table_and_a_value_replace_each_other() {
        let (leaves, _) = merged("a = 1\n[b]\nx = 1\n", &[], &["a.y=2", "b=3"]);
        assert_eq!(leaves, ["a.y = Text(\"2\") from --set a.y", "b = Text(\"3\") from --set b"]);
    }
}
