//! A look at the beginning of files of text, for what `check` can say of them before a run.
//!
//! Why no row could be read of files that have some, and which declared columns seem to be called otherwise in JSON.

use std::collections::BTreeSet;

use millstream_api::Result;
use millstream_api::diagnostic::{Diagnostic, Diagnostics, nearest};

use super::blocks::{Division, Ending, TextFile};
use super::formats::{Format, TextFormat};
use super::paths::InputFile;
use super::reading::FileShape;
use crate::decode::Block;
use crate::decode::infer::Inference;
use crate::decode::schema::ColumnSpec;

/// How much is read at a time.
pub(super) const SAMPLE_BLOCK_BYTES: usize = 64 << 10;

/// The first block of a file that has any, whatever is in it.
fn beginning(file: &InputFile, format: &Format) -> Result<Option<Block>> {
    let Format::Text(_, compression) = format else { return Ok(None) };
    let lines = Format::Text(TextFormat::Json, *compression);
    let FileShape::Text(shape) = lines.shape(&[], &[], SAMPLE_BLOCK_BYTES, Division::CountedWhenRead) else { return Ok(None) };
    let Some(mut open) = TextFile::open(file, &shape, Ending::Final)? else { return Ok(None) };
    Ok(open.next(Vec::new(), &shape, Ending::Final)?.ok().map(|placed| placed.block))
}

/// Why there is no row in files that are not empty, and what to do.
pub(super) fn why_no_rows(files: &[InputFile], format: &Format) -> Option<Diagnostic> {
    files.iter().find_map(|file| {
        let block = beginning(file, format).ok().flatten()?;
        let (message, help) = misread(file, &block.bytes).or_else(|| bad_line(file, &block, format))?;
        Some(Diagnostic::error("empty-schema", format!("no schema can be inferred: {message}")).key("path").help(help))
    })
}

/// Bytes that are no lines of UTF-8 at all.
fn misread(file: &InputFile, bytes: &[u8]) -> Option<(String, String)> {
    let name = &file.name;
    // With a byte order mark it is told earlier, as no text at all.
    if bytes.iter().take(64).any(|byte| *byte == 0) {
        return Some((format!("`{name}` is not text in UTF-8; it seems to be in UTF-16"), "save it as UTF-8".to_owned()));
    }
    let lone = bytes.windows(2).filter(|pair| pair[0] == b'\r' && pair[1] != b'\n').count();
    (lone > 0 && !bytes.contains(&b'\n')).then(|| {
        let message = format!("the lines of `{name}` end with a carriage return alone, and must end with a line feed");
        (message, format!("write them anew: tr '\\r' '\\n' < {name}"))
    })
}

/// The first line of JSON that is no row.
fn bad_line(file: &InputFile, block: &Block, format: &Format) -> Option<(String, String)> {
    let Format::Text(TextFormat::Json, _) = format else { return None };
    let decoded = TextFormat::Json.decoder(&[], 1).ok()?.decode(block).ok()?;
    let bad = decoded.into_iter().flat_map(|decoded| decoded.bad).next()?.placed(&file.name, 1);
    let help = match block.bytes.trim_ascii_start().first() {
        Some(b'[') => format!("put each item of the list on a line of its own, without the list around them: jq -c '.[]' {}", file.name),
        _ => format!("put each object on a line of its own: jq -c . {}", file.name),
    };
    Some((format!("{}: {}", bad.place, bad.reason), help))
}

/// Warnings of declared columns that no line has, while another key that is nobody's looks much the same: all of their values would be null. A
/// column without such a key may well come later.
pub(super) fn unseen_columns(files: &[InputFile], format: &Format, columns: &[ColumnSpec]) -> Diagnostics {
    let (Some(first), Format::Text(TextFormat::Json, _)) = (files.first(), format) else { return Diagnostics::default() };
    let mut inference = Inference::default();
    // What cannot be read is an error of the run.
    let Ok(Some(block)) = beginning(first, format) else { return Diagnostics::default() };
    inference.add_json(&block);
    let seen: BTreeSet<&str> = inference.names().collect();
    if seen.is_empty() {
        return Diagnostics::default();
    }
    let unseen = columns.iter().filter(|column| !seen.contains(column.input_name()));
    let warning = |column: &ColumnSpec| {
        let name = column.input_name();
        let free = seen.iter().copied().filter(|name| !columns.iter().any(|column| column.input_name() == *name));
        let near = nearest(name, free)?;
        let message = format!("no line at the beginning of `{}` has the key `{name}`: it is null there", first.name);
        Some(
            Diagnostic::warning("missing-column", message).key("schema").key(&column.name).on_key().help(format!("did you mean `{near}`?")),
        )
    };
    Diagnostics(unseen.filter_map(warning).collect())
}
