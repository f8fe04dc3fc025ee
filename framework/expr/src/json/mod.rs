//! `json_value`, `json_query`, `json_exists`, `->` and `->>`: parts of JSON texts.
//!
//! A column of type `json` is text, and no tree is built of it: a path (`path`) is followed through the text (`walk`), and what it leads to
//! is a part of that text. In a text that is not JSON a path leads nowhere, which gives null, as does a key that is missing.

mod path;
mod walk;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, plan_err};
use datafusion_expr::{ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

pub(crate) use self::path::{Path, Step};
use crate::physical::failure::RowFailure;
use crate::texts::computed;

/// The function for `->`.
pub(crate) const PART: &str = "json_part";
/// The function for `->>`.
pub(crate) const PART_AS_TEXT: &str = "json_part_as_text";

/// What a function gives of what the path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Given {
    /// Text, number and boolean as text without quotes; anything else is null.
    Value,
    /// Objects and lists as JSON; anything else is null.
    Query,
    /// Whether there is something.
    Exists,
    /// Anything as JSON.
    Part,
    /// Text without quotes, null as null, anything else as JSON.
    PartAsText,
}

const FUNCTIONS: [(&str, Given, &str); 5] = [
    ("json_value", Given::Value, "json_value(json, '$.a.b[0]')"),
    ("json_query", Given::Query, "json_query(json, '$.a')"),
    ("json_exists", Given::Exists, "json_exists(json, '$.a')"),
    (PART, Given::Part, "json -> 'key'"),
    (PART_AS_TEXT, Given::PartAsText, "json ->> 'key'"),
];

/// Whether what the function of this name gives is JSON.
pub(crate) fn gives_json(function: &str) -> bool {
    FUNCTIONS.iter().any(|(name, given, _)| *name == function && matches!(given, Given::Query | Given::Part))
}

/// All functions of JSON.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let udf = |(name, given, call): (&'static str, Given, &str)| {
        let signature = Signature::user_defined(Volatility::Immutable);
        let documentation = Documentation::builder(DocSection::default(), "A part of a JSON text.", call).build();
        Arc::new(ScalarUDF::from(JsonFunction { name, given, signature, documentation }))
    };
    FUNCTIONS.into_iter().map(udf).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: &'static str,
    given: Given,
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// A text and a path; only `->` and `->>` take a place in a list.
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |found: &DataType| found.is_string() || found.is_null();
        let takes_place = matches!(self.given, Given::Part | Given::PartAsText);
        match given {
            [json, path] if is_text(json) && is_text(path) => Ok(vec![DataType::Utf8View, DataType::Utf8View]),
            [json, place] if is_text(json) && place.is_integer() && takes_place => Ok(vec![DataType::Utf8View, DataType::Int64]),
            _ => plan_err!("`{}` has other arguments", self.name),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.given == Given::Exists { DataType::Boolean } else { DataType::Utf8View })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [documents, paths] = args.args.as_slice() else {
            return Err(RowFailure(format!("`{}` has other arguments", self.name)).into());
        };
        computed(&args, |rows| {
            let documents = cast(&documents.to_array(rows)?, &DataType::Utf8View)?;
            match paths {
                ColumnarValue::Scalar(path) => {
                    let path = self.path(&path.to_array_of_size(1)?, 0)?;
                    self.each(&documents, |_| Ok(path.clone()))
                }
                ColumnarValue::Array(paths) => self.each(&documents, |row| self.path(paths, row)),
            }
        })
    }
}

impl JsonFunction {
    /// The path that stands in a row; `None` for null.
    fn path(&self, paths: &ArrayRef, row: usize) -> Result<Option<Path>> {
        if paths.is_null(row) {
            return Ok(None);
        }
        if paths.data_type() == &DataType::Int64 {
            return Ok(Some(Path::of(Step::Place(paths.as_primitive::<Int64Type>().value(row)))));
        }
        let texts = cast(paths, &DataType::Utf8View)?;
        let text = texts.as_string_view().value(row);
        if matches!(self.given, Given::Part | Given::PartAsText) {
            return Ok(Some(Path::of(Step::Key(text.to_owned()))));
        }
        Ok(Some(Path::parse(text).map_err(RowFailure)?))
    }

    /// What is given of each document, of which `path` says for its row where to look.
    fn each(&self, documents: &ArrayRef, path: impl Fn(usize) -> Result<Option<Path>>) -> Result<ArrayRef> {
        let documents = documents.as_string_view();
        let found = |row: usize| -> Result<Option<&str>> {
            let Some(path) = path(row)? else { return Ok(None) };
            Ok(documents.is_valid(row).then(|| walk::follow(documents.value(row), &path)).flatten())
        };
        if self.given == Given::Exists {
            let mut answers = BooleanBuilder::with_capacity(documents.len());
            for row in 0..documents.len() {
                let asked = documents.is_valid(row) && path(row)?.is_some();
                answers.append_option(if asked { Some(found(row)?.is_some()) } else { None });
            }
            return Ok(Arc::new(answers.finish()));
        }
        let mut texts = StringViewBuilder::with_capacity(documents.len());
        for row in 0..documents.len() {
            texts.append_option(found(row)?.and_then(|part| self.given.text(part)));
        }
        Ok(Arc::new(texts.finish()))
    }
}

impl Given {
    /// What is given of this part of a JSON text.
    fn text(self, part: &str) -> Option<std::borrow::Cow<'_, str>> {
        let nested = part.starts_with(['{', '[']);
        match self {
            Given::Value if nested => None,
            Given::Query if !nested => None,
            Given::Value | Given::PartAsText if part == "null" => None,
            Given::Value | Given::PartAsText if part.starts_with('"') => walk::unquoted(part),
            _ => Some(part.into()),
        }
    }
}
