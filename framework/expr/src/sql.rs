//! Text to a syntax tree, with places: where a mistake is can be shown in the text only from here.
//!
//! Nothing here knows columns, functions or types. Text from a file must never bring the process down, so the nesting of
//! what is accepted is bounded: everything after this walks the tree recursively.

use std::ops::Range;

use datafusion_sql::sqlparser::ast::{Expr, Ident, Spanned};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::error::ExprError;
use crate::nesting::{
    NESTING_LIMIT, PATH_LIMIT, READ_TWICE_LIMIT, TREE_LIMIT, depth, depth_of, depth_with_chains, path_too_long, read_too_often,
};
use crate::stack::with_room;
use crate::{arrows, chains, shorthands};

/// How many bytes an expression may have.
const TEXT_LIMIT_BYTES: usize = 64 * 1024;

/// An expression as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    /// Its syntax tree.
    pub(crate) tree: Expr,
    /// The text without `as name`.
    pub(crate) text: String,
    /// The name that `as` gives it.
    pub(crate) alias: Option<String>,
    /// How deep it is nested: see [`with_room`].
    pub(crate) depth: usize,
}

/// Parses `expr` or `expr as name`.
pub(crate) fn parse(text: &str) -> Result<Sql, ExprError> {
    let places = Places(text);
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(syntax(format!("the expression has {} bytes", text.len()), None).help("64 KiB is the most there may be"));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|e| syntax(lowered(&e.message), places.byte(e.location).map(|at| at..text.len())))?;
    if tokens.iter().all(|t| matches!(t.token, Token::Whitespace(_) | Token::EOF)) {
        return Err(syntax("there is no expression", None).help("write an SQL expression such as `price * 2`"));
    }
    let depth = depth(&tokens).map_err(|token| too_deep(places.range(token.span)))?;
    if let Some(token) = read_too_often(&tokens) {
        let help = format!("{READ_TWICE_LIMIT} calls like cast, ceil or position within one another are the most there may be");
        return Err(syntax("the expression is nested too deeply", places.range(token.span)).help(help));
    }
    if let Some(token) = path_too_long(&tokens) {
        let message = format!("a path has more than {} names", PATH_LIMIT + 1);
        return Err(syntax(message, places.range(token.span)).help("take a part of it by a `select` before, under a name of its own"));
    }
    with_room(depth_with_chains(&tokens), || parse_tokens(text, tokens.clone(), depth))
}

fn too_deep(span: Option<Range<usize>>) -> ExprError {
    syntax("the expression is nested too deeply", span).help(format!(
        "{NESTING_LIMIT} operators and brackets within one another are the most there may be; lists, the arms of a `case` and conditions \
         between `and` or `or` are not counted"
    ))
}

fn parse_tokens(text: &str, tokens: Vec<TokenWithSpan>, depth: usize) -> Result<Sql, ExprError> {
    let places = Places(text);
    let mut parser = Parser::new(&GenericDialect {}).with_recursion_limit(2 * NESTING_LIMIT).with_tokens_with_locations(tokens);
    let mut tree = parser.parse_expr().map_err(|e| syntax_error(e, &places))?;
    let end = places.byte(parser.peek_token_ref().span.start).unwrap_or(text.len());
    let alias = if parser.parse_keyword(Keyword::AS) {
        let name = parser.parse_identifier().map_err(|e| syntax_error(e, &places))?;
        Some(checked_name(name, &places)?)
    } else {
        None
    };
    let rest = parser.peek_token();
    if let (Expr::BinaryOp { right, .. }, false) = (&tree, rest.token == Token::EOF)
        && let Expr::Identifier(name) = right.as_ref()
        && name.quote_style.is_none()
        && name.value.eq_ignore_ascii_case("as")
    {
        return Err(syntax("the expression ends where an expression was expected", places.range(name.span)));
    }
    if rest.token != Token::EOF {
        return Err(syntax(format!("`{}` is left over after the expression", rest.token), places.range(rest.span))
            .help("a name is given with `as`; a column name that is not a plain word is put in double quotes"));
    }
    chains::make_shallow(&mut tree);
    arrows::bind_tighter(&mut tree);
    let depth = depth + shorthands::write_out(&mut tree, text)?;
    let depth = depth.max(depth_of(&tree));
    if depth > TREE_LIMIT {
        return Err(too_deep(None));
    }
    Ok(Sql { tree, text: text[..end].trim().to_owned(), alias, depth })
}

/// Finds bytes of a text by line and column.
pub(crate) struct Places<'a>(pub(crate) &'a str);

impl Places<'_> {
    /// The bytes of a node of the syntax tree, with the parenthesis that closes a call.
    pub(crate) fn of(&self, node: &impl Spanned) -> Option<Range<usize>> {
        self.range(node.span()).map(|range| self.closed(range))
    }

    /// The bytes that a span covers.
    pub(crate) fn range(&self, span: Span) -> Option<Range<usize>> {
        let (start, end) = (self.byte(span.start)?, self.byte(span.end)?);
        (start < end).then_some(start..end)
    }

    /// The byte at a line and column, both counted from 1; columns count characters.
    fn byte(&self, location: Location) -> Option<usize> {
        let (line, column) = (usize::try_from(location.line).ok()?, usize::try_from(location.column).ok()?);
        let before = self.0.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
        let rest = self.0.get(before..)?;
        let within = rest.char_indices().nth(column.checked_sub(1)?).map_or(rest.len(), |(at, _)| at);
        Some(before + within)
    }

    /// Spans of calls and indexes end before the closing parenthesis or bracket; this takes it in.
    fn closed(&self, range: Range<usize>) -> Range<usize> {
        let inside = &self.0[range.clone()];
        let mut quote = None;
        let mut open = 0usize;
        for c in inside.chars() {
            match (quote, c) {
                (Some(q), c) if q == c => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '(' | '[') => open += 1,
                (None, ')' | ']') => open = open.saturating_sub(1),
                _ => {}
            }
        }
        let mut end = range.end;
        for (at, c) in self.0[range.end..].char_indices() {
            if open == 0 || !(c.is_whitespace() || matches!(c, ')' | ']')) {
                break;
            }
            if !c.is_whitespace() {
                open -= 1;
                end = range.end + at + 1;
            }
        }
        range.start..end
    }
}

/// A name given with `as` becomes a column, so it must be one that every sink can write.
fn checked_name(name: Ident, places: &Places) -> Result<String, ExprError> {
    let text = name.value;
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let others = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if first && others && !text.contains("__") {
        return Ok(text);
    }
    Err(ExprError::new("bad-name", format!("`{text}` cannot be a column's name"), places.range(name.span))
        .help("names have letters, digits, `_` and `-`, begin with a letter or `_`, and have no double underscore"))
}

fn syntax(message: impl Into<String>, span: Option<Range<usize>>) -> ExprError {
    ExprError::new("syntax", message, span)
}

/// The parser's own message, without the place at its end, in our wording.
fn syntax_error(error: ParserError, places: &Places) -> ExprError {
    let (ParserError::ParserError(message) | ParserError::TokenizerError(message)) = error else {
        return too_deep(None);
    };
    let (message, location) = split_location(&message);
    let start = location.and_then(|l| places.byte(l)).map(|at| at.min(places.0.len()));
    let span = start.map(|at| at..word_end(places.0, at));
    let message = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
        Some((wanted, "EOF")) => format!("the expression ends where {wanted} was expected"),
        Some((wanted, found)) => format!("expected {wanted}, found `{found}`"),
        None if message.starts_with("No infix parser for token") => match span.clone().and_then(|span| places.0.get(span)) {
            Some(found) => format!("`{found}` is not an operator"),
            None => "an operator was expected".to_owned(),
        },
        None => lowered(message),
    };
    match span {
        Some(span) if span.start < span.end => syntax(message, Some(span)),
        _ => syntax(message, places.0.char_indices().next_back().map(|(at, c)| at..at + c.len_utf8())),
    }
}

/// Splits `… at Line: 1, Column: 5` into the message and the location.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((before, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let location = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }));
    (before, location)
}

/// The end of the token that begins at byte `at`, good enough for a caret.
fn word_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    at + if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) }
}

fn lowered(message: &str) -> String {
    let mut chars = message.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The tree as text with parentheses around every operator.
#[cfg(test)]
pub(crate) fn parenthesized(mut tree: Expr) -> String {
    use datafusion_sql::sqlparser::ast::{VisitMut, VisitorMut};

    struct Parentheses;

    impl VisitorMut for Parentheses {
        type Break = ();

        fn post_visit_expr(&mut self, node: &mut Expr) -> std::ops::ControlFlow<()> {
            while let Expr::Nested(inner) = node {
                *node = (**inner).clone();
            }
            if !matches!(node, Expr::Value(_) | Expr::Identifier(_)) {
                *node = Expr::Nested(Box::new(node.clone()));
            }
            std::ops::ControlFlow::Continue(())
        }
    }

    let _ = VisitMut::visit(&mut tree, &mut Parentheses);
    tree.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let e = parse(text).unwrap_err();
        let place = e.span.map_or(String::from("-"), |s| format!("{s:?}"));
        format!("{} {place}: {}", e.code, e.message)
    }

    #[test]
    fn the_alias_is_split_off() {
        let sql = parse(" price * 2  as  \"twice-it\" ").unwrap();
        assert_eq!((sql.text.as_str(), sql.alias.as_deref()), ("price * 2", Some("twice-it")));
        assert_eq!(parse("a").unwrap().alias, None);
    }

    #[test]
    fn mistakes_say_what_was_expected_and_where() {
        for (text, wanted) in [
            ("", "syntax -: there is no expression"),
            ("1 +", "syntax 2..3: the expression ends where an expression was expected"),
            ("1 + as b", "syntax 4..6: the expression ends where an expression was expected"),
            ("a b", "syntax 2..3: `b` is left over after the expression"),
            ("a div b", "syntax 2..5: `div` is not an operator"),
            ("a # b", "syntax 2..3: `#` is not an operator"),
            ("a = 'x", "syntax 4..6: unterminated string literal"),
            ("(a", "syntax 1..2: the expression ends where ) was expected"),
            ("é = ) 1", "syntax 5..6: expected an expression, found `)`"),
            ("a as 1", "syntax 5..6: expected identifier, found `1`"),
            ("a as \"x y\"", "bad-name 5..10: `x y` cannot be a column's name"),
            ("a as b__c", "bad-name 5..9: `b__c` cannot be a column's name"),
        ] {
            assert_eq!(error(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_call_is_covered_to_its_closing_parenthesis() {
        let text = "x + lower(trim(')') )";
        let sql = parse(text).unwrap();
        assert_eq!(Places(text).of(&sql.tree), Some(0..text.len()));
    }
}
