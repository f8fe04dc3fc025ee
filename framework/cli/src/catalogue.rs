//! `millstream operators --format markdown`: the catalogue of node types as a page, `docs/operators.md`.

use millstream_api::Registry;
use millstream_api::registry::NodeType;

use crate::keys::{KeyDoc, Need, doc, keys};
use crate::operators::input_keys;
use crate::prose::headline;
use crate::schema::{ROLES, RoleTable};

const HEAD: &str = "\
# Node types

Generated from the options of each type; `millstream operators TYPE` says the same. Do not edit: `UPDATE_EXPECT=1 cargo test
-p millstream-cli --test reference` writes it anew.
";

/// The whole page.
pub fn catalogue(registry: &Registry) -> String {
    let mut page = HEAD.to_owned();
    for role in &ROLES {
        let types: Vec<&NodeType> = registry.types().filter(|node_type| node_type.role == role.role).collect();
        page.push_str(&format!("\n## {}\n\n", capitalised(role.role.section())));
        page.push_str("| type | |\n|---|---|\n");
        for node_type in &types {
            let about = headline(doc(node_type.schema.as_value()));
            page.push_str(&format!("| [`{}`](#{}) | {} |\n", node_type.kind, anchor(role, node_type), cell(&about)));
        }
        page.push_str(&format!("\nEvery {} can have these keys beside its own:\n\n", role.role.name()));
        table(&mut page, &keys(&(role.common)(), &[]));
        for node_type in &types {
            section(&mut page, role, node_type);
        }
    }
    page
}

fn section(page: &mut String, role: &RoleTable, node_type: &NodeType) {
    let schema = node_type.schema.as_value();
    page.push_str(&format!("\n### {}\n\n{}\n", heading(role, node_type), doc(schema).trim()));
    let own: Vec<KeyDoc> = input_keys(node_type.inputs).into_iter().chain(keys(schema, &[])).collect();
    if !own.is_empty() {
        page.push('\n');
        table(page, &own);
    }
}

/// A type's name may be that of a source and of a sink.
fn heading(role: &RoleTable, node_type: &NodeType) -> String {
    format!("{} `{}`", capitalised(role.role.name()), node_type.kind)
}

/// What code hosts make of the heading.
fn anchor(role: &RoleTable, node_type: &NodeType) -> String {
    format!("{}-{}", role.role.name(), node_type.kind)
}

fn table(page: &mut String, keys: &[KeyDoc]) {
    page.push_str("| key | value | |\n|---|---|---|\n");
    for key in keys {
        let need = match &key.need {
            Need::Required => ", required".to_owned(),
            Need::Optional => String::new(),
            Need::Default(value) => format!(", default `{value}`"),
        };
        page.push_str(&format!("| `{}` | {}{} | {} |\n", key.name, cell(&key.kind), cell(&need), cell(&key.doc)));
    }
}

/// Text for a cell of a table: one line, in which paragraphs and items of lists begin anew.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for (index, line) in text.trim().lines().map(str::trim).enumerate() {
        let begins = line.is_empty() || line.starts_with("- ");
        match (index, begins) {
            (0, _) => {}
            (_, true) => out.push_str("<br>"),
            (_, false) if out.ends_with("<br>") => {}
            (_, false) => out.push(' '),
        }
        out.push_str(line.strip_prefix("- ").unwrap_or(line));
    }
    out.replace('|', "\\|")
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(cell("What\nto do.\n- fail: The run\n  fails.\n- skip: a | b"), "What to do.<br>fail: The run fails.<br>skip: a \\| b");
        assert_eq!(cell("One.\n\nTwo."), "One.<br>Two.");
    }
}
