//! As much of JSON Schema as the topology file's schema uses. A keyword that is not known here is a failure, so that nothing is
//! accepted for want of a look.

use serde_json::{Map, Value};
use toml_edit::{DocumentMut, Item, Value as Toml};

/// Why a value is not what the schema says; none when it is.
pub fn complaint(root: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
    let Value::Object(keywords) = schema else {
        return (*schema == Value::Bool(false)).then(|| format!("{path}: may not be there"));
    };
    let check = Check { root, schema: keywords, value, path };
    keywords.iter().find_map(|(keyword, rule)| check.keyword(keyword, rule))
}

struct Check<'a> {
    root: &'a Value,
    schema: &'a Map<String, Value>,
    value: &'a Value,
    path: &'a str,
}

impl Check<'_> {
    fn keyword(&self, keyword: &str, rule: &Value) -> Option<String> {
        let wrong = |is: bool| is.then(|| format!("{}: {} breaks {keyword} = {rule}", self.path, self.value));
        match keyword {
            "$ref" => self.also(self.root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap()),
            "type" => wrong(!types(rule).iter().any(|name| is_of(self.value, name))),
            "const" => wrong(rule != self.value),
            "enum" => wrong(!rule.as_array().unwrap().contains(self.value)),
            "pattern" => wrong(rule == r"\$\{" && self.value.as_str().is_some_and(|text| !text.contains("${"))),
            "minimum" => wrong(self.value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap())),
            "maximum" => wrong(self.value.as_f64().is_some_and(|number| number > rule.as_f64().unwrap())),
            "minItems" => wrong(self.value.as_array().is_some_and(|items| (items.len() as u64) < rule.as_u64().unwrap())),
            "required" => self.required(rule),
            "properties" => self.properties(rule.as_object().unwrap()),
            "additionalProperties" | "unevaluatedProperties" => self.others(rule),
            "items" => self.value.as_array().into_iter().flatten().find_map(|item| complaint(self.root, rule, item, self.path)),
            "oneOf" => self.members(rule, |fitting| fitting == 1),
            "anyOf" => self.members(rule, |fitting| fitting > 0),
            "allOf" => rule.as_array().unwrap().iter().find_map(|member| self.also(member)),
            "propertyNames" | "description" | "title" | "default" | "$schema" | "$defs" => None,
            other => Some(format!("{}: the keyword {other} is not known here", self.path)),
        }
    }

    fn also(&self, schema: &Value) -> Option<String> {
        complaint(self.root, schema, self.value, self.path)
    }

    fn required(&self, names: &Value) -> Option<String> {
        let table = self.value.as_object()?;
        let missing = types(names).into_iter().find(|name| !table.contains_key(*name))?;
        Some(format!("{}: lacks {missing}", self.path))
    }

    fn properties(&self, properties: &Map<String, Value>) -> Option<String> {
        let table = self.value.as_object()?;
        let known = table.iter().filter_map(|(key, value)| Some((key, value, properties.get(key)?)));
        known.into_iter().find_map(|(key, value, schema)| complaint(self.root, schema, value, &format!("{}.{key}", self.path)))
    }

    fn others(&self, schema: &Value) -> Option<String> {
        let named = |key: &String| self.schema.get("properties").is_some_and(|properties| properties.get(key).is_some());
        let others = self.value.as_object()?.iter().filter(|(key, _)| !named(key));
        others.into_iter().find_map(|(key, value)| complaint(self.root, schema, value, &format!("{}.{key}", self.path)))
    }

    fn members(&self, members: &Value, fits: impl Fn(usize) -> bool) -> Option<String> {
        let complaints: Vec<String> = members.as_array().unwrap().iter().filter_map(|member| self.also(member)).collect();
        let fitting = members.as_array().unwrap().len() - complaints.len();
        (!fits(fitting)).then(|| format!("{}: fits {fitting} of these:\n  {}", self.path, complaints.join("\n  ")))
    }
}

fn types(rule: &Value) -> Vec<&str> {
    match rule {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        _ => false,
    }
}

/// A TOML file as JSON.
pub fn json(text: &str) -> Value {
    let document: DocumentMut = text.parse().unwrap();
    table(document.iter())
}

fn table<'a>(fields: impl Iterator<Item = (&'a str, &'a Item)>) -> Value {
    fields.map(|(key, item)| (key.to_owned(), item_json(item))).collect::<Map<_, _>>().into()
}

fn item_json(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => value_json(value),
        Item::Table(fields) => table(fields.iter()),
        Item::ArrayOfTables(tables) => tables.iter().map(|fields| table(fields.iter())).collect(),
    }
}

fn value_json(value: &Toml) -> Value {
    match value {
        Toml::String(text) => text.value().clone().into(),
        Toml::Integer(number) => (*number.value()).into(),
        Toml::Float(number) => (*number.value()).into(),
        Toml::Boolean(flag) => (*flag.value()).into(),
        Toml::Datetime(time) => time.value().to_string().into(),
        Toml::Array(items) => items.iter().map(value_json).collect(),
        Toml::InlineTable(fields) => fields.iter().map(|(key, value)| (key.to_owned(), value_json(value))).collect::<Map<_, _>>().into(),
    }
}
