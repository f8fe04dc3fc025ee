//! The plan of the `file` source: which files, which columns, what is wrong with either.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_api::Stream;
use millstream_api::diagnostic::{Diagnostic, Diagnostics, Severity};
use millstream_api::error::Error;
use millstream_api::plan::{Inputs, Make, OutputPlan, Plan};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::types::{ColumnType, SqlName, TimestampForm, is_json};

use super::blocks::{Division, Ending, Names, TextFile, header_names};
use super::formats::{Format, TextFormat};
use super::headers::{check_declared, check_inferred, instead, no_columns, unreadable};
use super::options::{FileFormat, FileSourceOptions};
use super::parquet;
use super::paths::{InputFile, list, may_come};
use super::reader::{FileFactory, Manner};
use super::reading::FileShape;
use super::sample::{SAMPLE_BLOCK_BYTES, unseen_columns, why_no_rows};
use crate::decode::infer::{Inference, Inferred, Renamed};
use crate::decode::schema::{ColumnSpec, SCHEMA_HELP, arrow_schema, is_name, name_for, with_from};

/// More files are not read side by side: each is open, and has a block under way.
const MOST_TOGETHER: usize = 256;

impl NodeOptions for FileSourceOptions {
    const KIND: &'static str = "file";
    const ROLE: Role = Role::Source;
    const INPUTS: InputKeys = InputKeys::None;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
        let format = errors.ok(self.resolved_format());
        let manner = errors.ok(self.manner());
        let files = errors.ok(self.files(inputs, &mut warnings));
        let columns = match (&self.schema, &format, &files) {
            (Some(schema), _, _) => errors.ok(schema.columns_at("schema")),
            (None, Some(format), Some(files)) => errors.ok(infer(files, format, &mut warnings)),
            _ => None,
        };
        let (Some(format), Some(manner), Some(files), Some(columns)) = (format, manner, files, columns) else {
            return Err(errors);
        };
        if manner == Manner::Together && files.len() > MOST_TOGETHER {
            errors.push(too_many(files.len()));
        }
        errors.ok(check_columns(&files, &format, &columns));
        if self.schema.is_some() {
            warnings.0.extend(unseen_columns(&files, &format, &columns).0);
        }
        let stream = errors.ok(self.stream(manner, &columns));
        let Some(stream) = stream else { return Err(errors) };
        let reads = files.iter().map(|file| file.path.clone()).collect();
        let factory = FileFactory::new(inputs.folder.clone(), self.path, files, format, columns).reading(manner);
        let mut plan = Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory)));
        (plan.warnings, plan.reads) = (warnings, reads);
        errors.into_result(plan)
    }

    fn plan_replaced(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let Some(schema) = &self.schema else {
            return self.plan(inputs).map_err(|mut found| {
                found.0.iter_mut().filter(|one| one.code == "path-not-found").for_each(without_schema);
                found
            });
        };
        let mut errors = Diagnostics::default();
        let format = errors.ok(self.resolved_format());
        let manner = errors.ok(self.manner());
        let columns = errors.ok(schema.columns_at("schema"));
        let (Some(format), Some(manner), Some(columns)) = (format, manner, columns) else {
            return Err(errors);
        };
        let stream = self.stream(manner, &columns)?;
        let factory = FileFactory::new(inputs.folder.clone(), self.path, Vec::new(), format, columns);
        Ok(Plan::new(Vec::new(), vec![OutputPlan::main(stream)], Make::Source(Arc::new(factory))))
    }
}

impl FileSourceOptions {
    /// What is known of the rows before one is read.
    fn stream(&self, manner: Manner, columns: &[ColumnSpec]) -> Result<Stream, Diagnostics> {
        Ok(Stream {
            from_source: true,
            bounded: manner != Manner::Follow,
            updating: self.format == FileFormat::Debezium,
            unique_key: self.unique_key(columns)?,
            ..Stream::plain(arrow_schema(columns))
        })
    }

    /// The files that are there. Where they are followed and the columns are known, none need be there yet.
    fn files(&self, inputs: &Inputs<'_>, warnings: &mut Diagnostics) -> Result<Vec<InputFile>, Diagnostic> {
        match list(&inputs.folder, &self.path) {
            Err(mut none)
                if none.code == "path-not-found" && self.follow && self.schema.is_some() && may_come(&inputs.folder, &self.path) =>
            {
                none.severity = Severity::Warning;
                none.message.push_str(" yet");
                warnings.push(none.help("the source waits until it comes"));
                Ok(Vec::new())
            }
            found => found,
        }
    }
}

/// Says what a test needs, since the columns cannot be inferred.
fn without_schema(diagnostic: &mut Diagnostic) {
    diagnostic.message.push_str(", and there is no `schema`");
    diagnostic.help = Some("tests in the file look at no path; give the source a `schema`, so that its columns are known".to_owned());
}

fn too_many(files: usize) -> Diagnostic {
    let message = format!("`together` would read {files} files side by side, {MOST_TOGETHER} is the most");
    Diagnostic::error("bad-value", message)
        .key("together")
        .help("leave it out, or divide the files between sources and write a union of them")
}

/// Looks for the declared columns in the first file, so that a slip shows before the run.
fn check_columns(files: &[InputFile], format: &Format, columns: &[ColumnSpec]) -> Result<(), Diagnostics> {
    match (files.first(), format) {
        (Some(first), Format::Text(TextFormat::Csv(dialect), compression)) if dialect.header => {
            let header = header_names(first, dialect, *compression).map_err(cannot_read)?;
            check_declared(first, &header, columns, dialect)
        }
        (Some(first), Format::Parquet) => check_types(first, columns),
        _ => Ok(()),
    }
}

fn check_types(first: &InputFile, columns: &[ColumnSpec]) -> Result<(), Diagnostics> {
    let schema = parquet::schema_of(first).map_err(cannot_read)?;
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mistake = |column: &ColumnSpec| {
        let (code, reason) = parquet::mismatch(&schema, column)?;
        let diagnostic = Diagnostic::error(code, format!("`{}` {reason}", first.name)).key("schema").key(&column.name);
        Some(match code {
            "missing-column" => diagnostic.on_key().help(instead(&column.name, &names)),
            _ => diagnostic.help("declare a type that holds the file's values exactly, and cast the column in a `select`"),
        })
    };
    Diagnostics(columns.iter().filter_map(mistake).collect()).into_result(())
}

fn cannot_read(error: Error) -> Diagnostic {
    let diagnostic = Diagnostic::error("cannot-read", error.to_string()).key("path");
    match error.help_text() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// The columns that the first file has, or its first rows.
fn infer(files: &[InputFile], format: &Format, warnings: &mut Diagnostics) -> Result<Vec<ColumnSpec>, Diagnostics> {
    match format {
        Format::Parquet => columns_of_parquet(files, warnings),
        Format::Text(TextFormat::Csv(dialect), _) if !dialect.header => {
            let message = "the columns of a csv file without a header have no names";
            Err(Diagnostic::error("missing-schema", message).key("header").help(SCHEMA_HELP).into())
        }
        Format::Text(TextFormat::Debezium, _) => {
            let message = "the columns of change events are not inferred";
            Err(Diagnostic::error("missing-schema", message).key("format").help(SCHEMA_HELP).into())
        }
        Format::Text(TextFormat::Csv(_), _) => columns_of_text(files, format, "string", warnings),
        Format::Text(TextFormat::Json, _) => columns_of_text(files, format, "json", warnings),
    }
}

fn columns_of_text(files: &[InputFile], format: &Format, mixed: &str, warnings: &mut Diagnostics) -> Result<Vec<ColumnSpec>, Diagnostics> {
    let mut inference = Inference::default();
    let mut left_out_names = BTreeSet::new();
    for file in files {
        if !inference.wants_more() {
            break;
        }
        let header = match format {
            Format::Text(TextFormat::Csv(dialect), compression) => header_names(file, dialect, *compression).map_err(cannot_read)?,
            _ => Names::default(),
        };
        check_inferred(file, &header)?;
        left_out_names.extend(unreadable(&header).cloned());
        infer_from(file, format, &header.names, &mut inference).map_err(cannot_read)?;
    }
    let Inferred { schema, renamed } = inference.finish(mixed, &left_out_names);
    warnings.0.extend(left_out_names.iter().map(|name| left_out(name, "it cannot be a column name, and the header has it more than once")));
    let dialect = if let Format::Text(TextFormat::Csv(dialect), _) = format { Some(dialect) } else { None };
    if let Some(mistake) = no_columns(&schema, &renamed, dialect) {
        let why = if schema.0.is_empty() { why_no_rows(files, format) } else { None };
        return Err(why.unwrap_or(mistake).into());
    }
    warnings.0.extend(renamed.iter().map(renamed_column));
    schema.columns()
}

/// How the help of `renamed-column` begins; behind it is the column's line of a schema.
pub const IN_SCHEMA: &str = "in a `schema` it is ";

fn renamed_column(renamed: &Renamed) -> Diagnostic {
    let Renamed { from, name, text } = renamed;
    let message = format!("`{from}` of the input, which cannot be a column name, is the column `{name}`");
    // JSON's texts are TOML's.
    let line = format!("{IN_SCHEMA}{name} = {}", serde_json::Value::from(text.as_str()));
    Diagnostic::warning("renamed-column", message).key("path").help(line)
}

fn left_out(name: &str, why: &str) -> Diagnostic {
    Diagnostic::warning("left-out", format!("`{name}` of the input is left out, because {why}")).key("path")
}

fn infer_from(file: &InputFile, format: &Format, names: &[String], inference: &mut Inference) -> Result<(), Error> {
    let FileShape::Text(shape) = format.shape(&[], &[], SAMPLE_BLOCK_BYTES, Division::CountedWhenRead) else { return Ok(()) };
    let Some(mut open) = TextFile::open(file, &shape, Ending::Final)? else { return Ok(()) };
    while inference.wants_more()
        && let Ok(placed) = open.next(Vec::new(), &shape, Ending::Final)?
    {
        match format {
            Format::Text(TextFormat::Csv(dialect), _) => inference.add_csv(&placed.block, names, dialect),
            Format::Text(TextFormat::Json | TextFormat::Debezium, _) | Format::Parquet => inference.add_json(&placed.block),
        }
    }
    Ok(())
}

fn columns_of_parquet(files: &[InputFile], warnings: &mut Diagnostics) -> Result<Vec<ColumnSpec>, Diagnostics> {
    let Some(first) = files.first() else { return Ok(Vec::new()) };
    let mut columns: Vec<ColumnSpec> = Vec::new();
    let schema = parquet::schema_of(first).map_err(cannot_read)?;
    for field in schema.fields() {
        match parquet::sql_type(field.data_type()) {
            None => warnings.push(left_out(field.name(), &format!("there is no type for its {}", field.data_type()))),
            Some(data_type) => {
                let column_type = ColumnType { data_type, nullable: field.is_nullable(), timestamp: TimestampForm::Rfc3339 };
                let is_taken = |name: &str| schema.field_with_name(name).is_ok() || columns.iter().any(|column| column.name == name);
                let from = (!is_name(field.name())).then(|| field.name().clone());
                let name = from.as_ref().map_or_else(|| field.name().clone(), |from| name_for(from, is_taken));
                if let Some(from) = from.clone() {
                    let not_null = if column_type.nullable { "" } else { " not null" };
                    let text = with_from(&format!("{}{not_null}", SqlName(&column_type.data_type)), &from);
                    warnings.push(renamed_column(&Renamed { from, name: name.clone(), text }));
                }
                columns.push(ColumnSpec { name, from, column_type, json: is_json(field) });
            }
        }
    }
    if columns.is_empty() {
        let message = format!("`{}` has no column that can be read", first.name);
        return Err(Diagnostic::error("empty-schema", message).key("path").help("is it the right file?").into());
    }
    Ok(columns)
}
