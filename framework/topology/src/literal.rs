//! String literals of the three syntaxes, piece by piece: which bytes of the file stand for which character.
//!
//! Used to point into a text only, so a literal that is too unusual is not read (`None`) and its place is the whole literal.
//! What a text *is* was decided by the parsers.

use std::ops::Range;

/// Bytes of a literal, and the character that they stand for, if any.
pub(crate) struct Piece {
    pub bytes: Range<usize>,
    pub character: Option<char>,
}

/// What the pieces stand for.
pub(crate) fn text(pieces: &[Piece]) -> String {
    pieces.iter().filter_map(|piece| piece.character).collect()
}

/// A string of TOML.
pub(crate) fn toml_pieces(literal: &str) -> Option<Vec<Piece>> {
    let (quote, escapes) = match literal.chars().next()? {
        '"' => ("\"", true),
        '\'' => ("'", false),
        _ => return None,
    };
    let long = quote.repeat(3);
    let is_long = literal.len() >= 6 && literal.starts_with(&long) && literal.ends_with(&long);
    let width = if is_long { 3 } else { 1 };
    let inside = literal.get(width..literal.len().checked_sub(width)?)?;
    let first_newline = if !is_long {
        0
    } else if inside.starts_with("\r\n") {
        2
    } else {
        usize::from(inside.starts_with('\n'))
    };
    let mut pieces = Vec::new();
    let mut at = first_newline;
    while let Some(character) = inside.get(at..)?.chars().next() {
        let (length, character) =
            if escapes && character == '\\' { escape(&inside[at..])? } else { (character.len_utf8(), Some(character)) };
        pieces.push(Piece { bytes: width + at..width + at + length, character });
        at += length;
    }
    Some(pieces)
}

/// The length of the escape that `rest` begins with, and what it stands for: nothing, for a line that goes on.
fn escape(rest: &str) -> Option<(usize, Option<char>)> {
    let plain = |character| Some((2, Some(character)));
    let code = |digits: usize| {
        let number = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((2 + digits, Some(char::from_u32(number)?)))
    };
    match rest.chars().nth(1)? {
        'b' => plain('\u{8}'),
        't' => plain('\t'),
        'n' => plain('\n'),
        'f' => plain('\u{c}'),
        'r' => plain('\r'),
        'e' => plain('\u{1b}'),
        '"' => plain('"'),
        '\\' => plain('\\'),
        'x' => code(2),
        'u' => code(4),
        'U' => code(8),
        space if space.is_ascii_whitespace() => {
            let end = rest[1..].find(|c: char| !c.is_ascii_whitespace()).map_or(rest.len(), |n| 1 + n);
            Some((end, None))
        }
        _ => None,
    }
}

/// A string of JSON.
pub(crate) fn json_pieces(literal: &str) -> Option<Vec<Piece>> {
    let inside = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(character) = inside.get(at..)?.chars().next() {
        let (length, character) = match character {
            '\\' => json_escape(&inside[at..])?,
            other => (other.len_utf8(), other),
        };
        pieces.push(Piece { bytes: 1 + at..1 + at + length, character: Some(character) });
        at += length;
    }
    Some(pieces)
}

fn json_escape(rest: &str) -> Option<(usize, char)> {
    if rest.starts_with("\\/") {
        return Some((2, '/'));
    }
    let unit = |at: usize| u16::from_str_radix(rest.get(at..at + 6)?.strip_prefix("\\u")?, 16).ok();
    match unit(0) {
        // Two halves of one character.
        Some(high @ 0xd800..=0xdbff) => {
            let character = char::decode_utf16([high, unit(6)?]).next()?.ok()?;
            Some((12, character))
        }
        _ => escape(rest).and_then(|(length, character)| Some((length, character?))),
    }
}

/// A scalar of YAML.
pub(crate) fn yaml_pieces(literal: &str) -> Option<Vec<Piece>> {
    match literal.chars().next()? {
        '\'' => {
            let pieces = flow_pieces(literal.get(1..literal.len().checked_sub(1)?)?, 1);
            Some(without_doubled_quotes(pieces))
        }
        '|' | '>' => block_pieces(literal),
        '"' => None,
        _ => Some(flow_pieces(literal, 0)),
    }
}

/// Text whose lines are joined by a blank. `before` bytes of the literal come first.
fn flow_pieces(text: &str, before: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for (index, line) in text.split('\n').enumerate() {
        let shown = if index == 0 { line.trim_end() } else { line.trim() };
        let start = at + line.len() - if index == 0 { line.len() } else { line.trim_start().len() };
        if index > 0 {
            pieces.push(Piece { bytes: before + at - 1..before + at, character: Some(' ') });
        }
        pieces.extend(characters(shown, before + start));
        at += line.len() + 1;
    }
    pieces
}

fn characters(text: &str, before: usize) -> impl Iterator<Item = Piece> + '_ {
    text.char_indices().map(move |(at, c)| Piece { bytes: before + at..before + at + c.len_utf8(), character: Some(c) })
}

/// Within single quotes two of them stand for one.
fn without_doubled_quotes(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut kept: Vec<Piece> = Vec::with_capacity(pieces.len());
    let mut halved = false;
    for piece in pieces {
        let doubles = !halved && piece.character == Some('\'') && kept.last().is_some_and(|last| last.character == Some('\''));
        match (doubles, kept.last_mut()) {
            (true, Some(last)) => last.bytes.end = piece.bytes.end,
            _ => kept.push(piece),
        }
        halved = doubles;
    }
    kept
}

/// `|` and `>`: lines behind the header, without their common indentation.
fn block_pieces(literal: &str) -> Option<Vec<Piece>> {
    let (header, body) = literal.split_once('\n')?;
    let folds = header.starts_with('>');
    let indent = body.lines().find(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len())?;
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = header.len() + 1;
    for line in body.split_inclusive('\n') {
        let shown = line.trim_end_matches(['\r', '\n']);
        let skipped = indent.min(shown.len() - shown.trim_start().len());
        pieces.extend(characters(&shown[skipped..], at + skipped));
        let newline = at + shown.len()..at + line.len();
        pieces.push(Piece { bytes: newline, character: Some(if folds { ' ' } else { '\n' }) });
        at += line.len();
    }
    // How many newlines stay at the end is said in the header.
    while pieces.last().is_some_and(|piece| matches!(piece.character, Some(' ' | '\n'))) {
        pieces.pop();
    }
    if !header.contains('-') {
        pieces.push(Piece { bytes: literal.len()..literal.len(), character: Some('\n') });
    }
    Some(pieces)
}
