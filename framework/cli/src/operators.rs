//! `millstream operators`: which node types there are, and what their keys mean.

use millstream_api::Registry;
use millstream_api::diagnostic::nearest;
use millstream_api::registry::{InputKeys, NodeType};

use crate::args::{CatalogueFormat, Operators};
use crate::catalogue::catalogue;
use crate::console::{Console, Trouble};
use crate::keys::{KeyDoc, Need, doc, keys};
use crate::prose::{headline, wrapped};
use crate::schema::{ROLES, RoleTable};
use crate::status::Status;

/// Lists all node types, or shows those of one name.
pub fn operators(args: &Operators, registry: &Registry, console: &Console) -> Status {
    let Some(kind) = &args.kind else {
        return match args.format {
            CatalogueFormat::Text => console.print(&list(registry)),
            CatalogueFormat::Markdown => console.print(&catalogue(registry)),
        };
    };
    let pages: Vec<String> = registry.types().filter(|node_type| node_type.kind == kind).map(page).collect();
    if pages.is_empty() {
        console.trouble(&unknown(kind, registry));
        return Status::Wrong;
    }
    console.print(&pages.join("\n"))
}

/// All node types with the first paragraph of their docs.
fn list(registry: &Registry) -> String {
    let width = registry.types().map(|node_type| node_type.kind.len()).max().unwrap_or(0);
    let mut text = String::new();
    for role in &ROLES {
        text.push_str(&format!("{}\n", role.role.section()));
        for node_type in registry.types().filter(|node_type| node_type.role == role.role) {
            let line = headline(doc(node_type.schema.as_value()));
            text.push_str(format!("  {:width$}  {line}", node_type.kind).trim_end());
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str("millstream operators TYPE shows the keys of a type.\n");
    text
}

fn unknown(kind: &str, registry: &Registry) -> Trouble {
    let names = || registry.types().map(|node_type| node_type.kind);
    let begins = names().find(|name| kind.len() > 1 && name.starts_with(&kind.to_lowercase()));
    let help = match begins.or_else(|| nearest(kind, names())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let mut all: Vec<&str> = names().collect();
            all.sort_unstable();
            all.dedup();
            format!("there are {}", all.join(", "))
        }
    };
    Trouble::new(format!("there is no node type `{kind}`"), Some(&help))
}

/// All there is to know of one node type.
fn page(node_type: &NodeType) -> String {
    ROLES.iter().filter(|role| role.role == node_type.role).map(|role| page_of(role, node_type)).collect()
}

fn page_of(role: &RoleTable, node_type: &NodeType) -> String {
    let schema = node_type.schema.as_value();
    let mut text = format!("{} `{}`\n\n{}\n", role.role.name(), node_type.kind, wrapped(doc(schema), 0));
    text.push_str(&format!("keys of [{}.NAME] with type = \"{}\":\n", role.role.section(), node_type.kind));
    let own: Vec<KeyDoc> = keys(schema, &[]);
    for key in input_keys(node_type.inputs).iter().chain(&own) {
        text.push_str(&entry(key));
    }
    text.push_str(&format!("\nkeys of every {}:\n", role.role.name()));
    for key in keys(&(role.common)(), &own.iter().map(|key| key.name.as_str()).collect::<Vec<_>>()) {
        text.push_str(&entry(&key));
    }
    text
}

fn entry(key: &KeyDoc) -> String {
    let need = match &key.need {
        Need::Required => "required".to_owned(),
        Need::Optional => "optional".to_owned(),
        Need::Default(value) => format!("default {value}"),
    };
    format!("\n  {}  ({}, {need})\n{}", key.name, key.kind, wrapped(&key.doc, 6))
}

/// The keys that name the streams a node reads: they are in no options struct.
pub fn input_keys(inputs: InputKeys) -> Vec<KeyDoc> {
    let key = |name: &str, kind: &str, text: &str| KeyDoc {
        name: name.to_owned(),
        kind: kind.to_owned(),
        need: Need::Required,
        doc: text.to_owned(),
    };
    match inputs {
        InputKeys::None => Vec::new(),
        InputKeys::One => vec![key("input", "stream", "The stream that it reads.")],
        InputKeys::Many => vec![key("inputs", "list of streams", "The streams that it reads.")],
        InputKeys::Named(names) => names.iter().map(|name| key(name, "stream", "A stream that it reads.")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use millstream_api::Diagnostics;
    use millstream_api::plan::{Inputs, Plan};
    use millstream_api::registry::{NodeOptions, Role};
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    /// Lets rows through that meet a condition.
    ///
    /// Others are gone.
    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Sieve {
        /// The condition.
        r#where: String,
    }

    impl NodeOptions for Sieve {
        const KIND: &'static str = "sieve";
        const ROLE: Role = Role::Operator;
        const INPUTS: InputKeys = InputKeys::One;

        fn plan(self, _: &Inputs<'_>) -> Result<Plan, Diagnostics> {
            Err(Diagnostics::default())
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::new();
        registry.add::<Sieve>();
        registry
    }

    #[test]
    fn types_are_listed_by_role() {
        assert_eq!(
            list(&registry()),
            "sources\n\noperators\n  sieve  Lets rows through that meet a condition.\n\nsinks\n\n\
             millstream operators TYPE shows the keys of a type.\n"
        );
    }

    #[test]
    fn a_page_has_input_own_and_common_keys() {
        let registry = registry();
        let page = page(registry.get(Role::Operator, "sieve").unwrap());
        for part in [
            "operator `sieve`\n\nLets rows through that meet a condition.\n\nOthers are gone.\n",
            "keys of [operators.NAME] with type = \"sieve\":\n\n  input  (stream, required)\n      The stream that it reads.\n",
            "\n  where  (text, required)\n      The condition.\n",
            "keys of every operator:\n\n  on_bad_row  (fail | skip | reject, default \"fail\")\n",
            "\n  parallelism  (integer, optional)\n",
        ] {
            assert!(page.contains(part), "{part:?} is not in:\n{page}");
        }
    }

    #[test]
    fn a_near_name_is_suggested_and_else_all_are_named() {
        assert_eq!(unknown("seive", &registry()).help.unwrap(), "did you mean `sieve`?");
        assert_eq!(unknown("aggregate", &registry()).help.unwrap(), "there are sieve");
    }
}
