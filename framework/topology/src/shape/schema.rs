//! What a JSON Schema, as schemars writes it, says of a value.

use serde_json::Value as Json;

/// A schema inside its document, in which references are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    root: &'a Json,
    node: &'a Json,
}

/// The schema that allows everything.
static ANY: Json = Json::Bool(true);

/// The kind of value that a schema allows.
pub(crate) enum Kind<'a> {
    Any,
    Boolean,
    Integer,
    Number,
    Text(Text<'a>),
    List,
    Table,
    /// Any one of these.
    Choice(Vec<Schema<'a>>),
}

/// What a text may be.
pub(crate) enum Text<'a> {
    Free,
    Duration,
    Size,
    Words(Vec<&'a str>),
}

impl<'a> Schema<'a> {
    /// The schema of a whole document.
    pub fn root(document: &'a schemars::Schema) -> Self {
        Schema { root: document.as_value(), node: document.as_value() }
    }

    /// The schema that allows everything.
    pub fn any() -> Self {
        Schema { root: &ANY, node: &ANY }
    }

    fn at(self, node: &'a Json) -> Self {
        Schema { root: self.root, node }
    }

    /// The schema that a reference or the only alternative leads to, and the name it was referred to by last.
    fn target(self) -> (Self, &'a str) {
        let (mut schema, mut name) = (self, "");
        // A struct may hold itself, but a reference that leads to itself would be no schema; the bound is for those.
        for _ in 0..16 {
            let reference = schema.node.get("$ref").and_then(Json::as_str);
            let target = reference.and_then(|text| Some((text, schema.root.pointer(text.strip_prefix('#')?)?)));
            match (target, &schema.members()[..]) {
                (Some((text, node)), _) => {
                    name = text.rsplit('/').next().unwrap_or_default();
                    schema = schema.at(node);
                }
                (None, [one]) if schema.node.get("properties").is_none() => schema = *one,
                _ => break,
            }
        }
        (schema, name)
    }

    /// The kind of value it allows. That a key may be absent (null) is no matter of the value: there is no null in a file.
    pub fn kind(self) -> Kind<'a> {
        let (schema, name) = self.target();
        match name {
            "DurationText" => return Kind::Text(Text::Duration),
            "SizeText" => return Kind::Text(Text::Size),
            _ => {}
        }
        if let Some(words) = schema.words() {
            return Kind::Text(Text::Words(words));
        }
        let alternatives = schema.alternatives();
        if !alternatives.is_empty() && schema.node.get("properties").is_none() {
            return join(alternatives);
        }
        let mut types = schema.types();
        match (types.next(), types.next()) {
            (Some(_), Some(_)) => Kind::Choice(schema.types().map(simple).collect()),
            (Some("boolean"), _) => Kind::Boolean,
            (Some("integer"), _) => Kind::Integer,
            (Some("number"), _) => Kind::Number,
            (Some("string"), _) => Kind::Text(Text::Free),
            (Some("array"), _) => Kind::List,
            (Some("object"), _) => Kind::Table,
            _ if schema.node.get("properties").is_some() => Kind::Table,
            _ => Kind::Any,
        }
    }

    /// The words of an enumeration of texts.
    fn words(self) -> Option<Vec<&'a str>> {
        match (self.node.get("const"), self.node.get("enum").and_then(Json::as_array)) {
            (Some(Json::String(word)), _) => Some(vec![word]),
            (_, Some(all)) => all.iter().filter(|value| !value.is_null()).map(Json::as_str).collect(),
            _ => None,
        }
    }

    /// The members of `anyOf`, `oneOf` and `allOf` but null.
    pub fn alternatives(self) -> Vec<Schema<'a>> {
        self.target().0.members()
    }

    fn members(self) -> Vec<Schema<'a>> {
        let all = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| self.node.get(key)?.as_array()).flatten();
        all.map(|node| self.at(node)).filter(|member| !member.node.get("type").is_some_and(|t| t == "null")).collect()
    }

    fn types(self) -> impl Iterator<Item = &'a str> {
        let types = match self.node.get("type") {
            Some(Json::Array(types)) => types.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        types.iter().filter_map(Json::as_str).filter(|name| *name != "null")
    }

    /// The keys that it describes, with their schemas.
    pub fn properties(self) -> impl Iterator<Item = (&'a str, Schema<'a>)> {
        let (schema, _) = self.target();
        let properties = schema.node.get("properties").and_then(Json::as_object);
        properties.into_iter().flatten().map(move |(name, node)| (name.as_str(), schema.at(node)))
    }

    /// The keys that must be there.
    pub fn required(self) -> impl Iterator<Item = &'a str> {
        let (schema, _) = self.target();
        schema.node.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
    }

    /// The schema of keys that it does not describe; none when there may be no others.
    pub fn others(self) -> Option<Schema<'a>> {
        let (schema, _) = self.target();
        schema.node.get("additionalProperties").filter(|of_others| **of_others != Json::Bool(false)).map(|of_others| schema.at(of_others))
    }

    /// The schema of a list's items.
    pub fn items(self) -> Option<Schema<'a>> {
        let (schema, _) = self.target();
        schema.node.get("items").map(|node| schema.at(node))
    }

    /// How many items a list has at least.
    pub fn least_items(self) -> Option<u64> {
        self.target().0.node.get("minItems")?.as_u64()
    }

    /// The least and the greatest number.
    pub fn bounds(self) -> (Option<f64>, Option<f64>) {
        let (schema, _) = self.target();
        let bound = |key| schema.node.get(key).and_then(Json::as_f64);
        (bound("minimum"), bound("maximum"))
    }

    /// The words that a text may be, where it may not be any.
    pub fn one_of(self) -> Option<Vec<&'a str>> {
        match self.kind() {
            Kind::Text(Text::Words(words)) => Some(words),
            _ => None,
        }
    }

    /// Some value that it allows, where that is easily found.
    pub fn example(self) -> Option<Json> {
        Some(match self.kind() {
            Kind::Text(Text::Free) => Json::from("x"),
            Kind::Text(Text::Duration) => Json::from("1h"),
            Kind::Text(Text::Size) => Json::from("1MiB"),
            Kind::Text(Text::Words(words)) => Json::from(*words.first()?),
            Kind::Integer => Json::from(1),
            Kind::Boolean => Json::from(false),
            _ => return None,
        })
    }

    /// The first sentences of its documentation: those that begin in its first line.
    pub fn about(self) -> Option<String> {
        let text = |schema: Schema<'a>| Some(beginning(schema.node.get("description")?.as_str()?));
        text(self).or_else(|| text(self.target().0)).filter(|text| !text.is_empty())
    }
}

/// The sentences that end in the first line of a text, or the first one, where that is longer.
fn beginning(text: &str) -> String {
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let first = paragraph.first().copied().unwrap_or_default();
    let whole = paragraph.join(" ");
    let ends = whole.match_indices(". ").map(|(at, _)| at + 1).chain([whole.len()]);
    let (within, beyond): (Vec<usize>, Vec<usize>) = ends.partition(|end| *end <= first.len());
    let end = within.last().or(beyond.first()).copied().unwrap_or_default();
    whole.get(..end).unwrap_or_default().to_owned()
}

/// Alternatives that are all words are one list of words.
fn join(alternatives: Vec<Schema<'_>>) -> Kind<'_> {
    let words: Option<Vec<Vec<&str>>> = alternatives.iter().map(|schema| schema.target().0.words()).collect();
    match words {
        Some(words) => Kind::Text(Text::Words(words.concat())),
        None => Kind::Choice(alternatives),
    }
}

/// A schema that says nothing but a type.
fn simple(name: &str) -> Schema<'static> {
    use std::sync::LazyLock;
    static SIMPLE: LazyLock<Json> = LazyLock::new(|| {
        let names = ["boolean", "integer", "number", "string", "array", "object"];
        names.iter().map(|name| ((*name).to_owned(), serde_json::json!({ "type": name }))).collect::<serde_json::Map<_, _>>().into()
    });
    let node = SIMPLE.get(name).unwrap_or(&ANY);
    Schema { root: node, node }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_not_cut_within_a_sentence() {
        for (text, wanted) in [
            ("One line", "One line"),
            ("One. And\nanother one.\n\nMore.", "One."),
            ("A sentence that\ngoes on. And another.", "A sentence that goes on."),
            ("One. Two.\nThree.", "One. Two."),
            ("", ""),
        ] {
            assert_eq!(beginning(text), wanted);
        }
    }
}
