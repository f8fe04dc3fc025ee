//! How deep an expression is nested, judged by its tokens.
//!
//! Planning walks syntax trees recursively, and a file must not be able to exhaust the stack. A parser's own limit does not
//! help: `a + a + a …` is parsed in a loop and gives a tree as deep as it is long. So depth is bounded before anything
//! recursive sees the tree. Every level of a tree takes at least one token that is counted here, in its own brackets or in
//! ones around it; siblings (list items, the arms of a `case`) do not add up, so width is free. The operands of `and` and `or` are siblings
//! as well: their chains are made shallow before anything goes down along them ([`crate::chains`]). By how much they are deeper than this
//! says is seen in the tree that comes of it ([`depth_of`]).

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, Visit, Visitor};
use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// How deep an expression may be nested, counting each operator of a chain other than of `and` and `or`: `a + b + c` is two deep.
pub(crate) const NESTING_LIMIT: usize = 100;

/// How deep a tree may be in which chains and shorthands are written out.
pub(crate) const TREE_LIMIT: usize = 2 * NESTING_LIMIT;

/// How deep the tokens are nested; the token with which they are nested too deeply, if they are.
pub(crate) fn depth(tokens: &[TokenWithSpan]) -> Result<usize, &TokenWithSpan> {
    let mut deepest = 0;
    for (token, depth) in depths(tokens, Depth::default()) {
        deepest = deepest.max(depth);
        if deepest > NESTING_LIMIT {
            return Err(token);
        }
    }
    Ok(deepest)
}

/// How deep the tree of the parser may be, in which chains of `and` and `or` are as deep as they are long.
pub(crate) fn depth_with_chains(tokens: &[TokenWithSpan]) -> usize {
    depths(tokens, Depth { chains: true, ..Depth::default() }).map(|(_, depth)| depth).max().unwrap_or(0)
}

/// How deep it is at each token.
fn depths(tokens: &[TokenWithSpan], mut depth: Depth) -> impl Iterator<Item = (&TokenWithSpan, usize)> {
    let mut before = &Token::EOF;
    tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).map(move |token| {
        depth.add(&token.token, ends_operand(before));
        before = &token.token;
        (token, depth.total)
    })
}

/// How deep a tree is.
pub(crate) fn depth_of(tree: &Expr) -> usize {
    let mut levels = Levels::default();
    let _ = tree.visit(&mut levels);
    levels.deepest
}

/// The nodes around the one at hand, and the most that there were.
#[derive(Default)]
struct Levels {
    open: usize,
    deepest: usize,
}

impl Visitor for Levels {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<Infallible> {
        self.open += 1;
        self.deepest = self.deepest.max(self.open);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Infallible> {
        self.open -= 1;
        ControlFlow::Continue(())
    }
}

/// How many brackets of [`read_twice`] words may stand within one another.
pub(crate) const READ_TWICE_LIMIT: usize = 10;

/// The bracket with which too many words that the parser may read twice stand within one another.
///
/// What begins with such a word, and is wrong somewhere inside, the parser reads a second time as a call of a function of that name:
/// so each of them around another one doubles the time until a mistake is found.
pub(crate) fn read_too_often(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let (mut open, mut twice) = (Vec::new(), 0);
    let mut before = &Token::EOF;
    for token in tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))) {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(read_twice(before));
                twice += usize::from(read_twice(before));
            }
            Token::RParen | Token::RBracket | Token::RBrace => twice -= usize::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        if twice > READ_TWICE_LIMIT {
            return Some(token);
        }
        before = &token.token;
    }
    None
}

/// How many dots may stand between the names of a path, as in `place.city.name`.
pub(crate) const PATH_LIMIT: usize = 10;

/// The dot with which a path is too long. Where what follows it is no name, the parser has read the rest twice behind each dot.
pub(crate) fn path_too_long(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let mut dots = 0;
    tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).find(|token| {
        match token.token {
            Token::Period => dots += 1,
            Token::Word(_) | Token::SingleQuotedString(_) => {}
            _ => dots = 0,
        }
        dots > PATH_LIMIT
    })
}

/// Words with a syntax of their own, which may be names of functions as well.
const READ_TWICE: [Keyword; 28] = [
    Keyword::ARRAY,
    Keyword::CAST,
    Keyword::CEIL,
    Keyword::CONVERT,
    Keyword::CURRENT_CATALOG,
    Keyword::CURRENT_DATE,
    Keyword::CURRENT_TIME,
    Keyword::CURRENT_TIMESTAMP,
    Keyword::CURRENT_USER,
    Keyword::EXISTS,
    Keyword::EXTRACT,
    Keyword::FLOOR,
    Keyword::INTERVAL,
    Keyword::LOCALTIME,
    Keyword::LOCALTIMESTAMP,
    Keyword::MAP,
    Keyword::MATCH,
    Keyword::OVERLAY,
    Keyword::POSITION,
    Keyword::SAFE_CAST,
    Keyword::SESSION_USER,
    Keyword::STRUCT,
    Keyword::SUBSTR,
    Keyword::SUBSTRING,
    Keyword::TRIM,
    Keyword::TRY_CAST,
    Keyword::TRY_CONVERT,
    Keyword::USER,
];

/// Whether what follows this word may be read twice.
fn read_twice(token: &Token) -> bool {
    matches!(token, Token::Word(word) if READ_TWICE.contains(&word.keyword))
}

/// What is open at one token: the levels counted in each bracket.
#[derive(Default)]
struct Depth {
    /// Whether chains of `and` and `or` are as deep as they are long.
    chains: bool,
    /// The brackets around the innermost one.
    outer: Vec<Bracket>,
    /// The innermost bracket.
    inner: Bracket,
    /// Counted in all open brackets.
    total: usize,
}

/// What was counted in a bracket since the last separator.
#[derive(Default)]
struct Bracket {
    is_case: bool,
    here: usize,
    /// What stays when an operand of a chain begins: the parser takes the rest of the chain for an operand of `is distinct from`.
    kept: usize,
    /// How many `between` wait for their `and`.
    betweens: usize,
}

impl Depth {
    fn add(&mut self, token: &Token, after_operand: bool) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.open(false),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma => self.separate(),
            Token::Word(word) => self.add_word(word.keyword, after_operand),
            Token::EOF | Token::Number(..) | Token::SingleQuotedString(_) => {}
            _ => self.count(),
        }
    }

    fn add_word(&mut self, word: Keyword, after_operand: bool) {
        match word {
            Keyword::NoKeyword => {}
            Keyword::CASE => self.open(true),
            Keyword::END if self.inner.is_case && after_operand => self.close(),
            Keyword::WHEN if self.inner.is_case && (after_operand || self.inner.here <= 1) => self.separate(),
            Keyword::THEN | Keyword::ELSE if self.inner.is_case && after_operand => self.separate(),
            Keyword::AND if self.inner.betweens > 0 => {
                self.inner.betweens -= 1;
                self.count();
            }
            Keyword::AND | Keyword::OR if after_operand && !self.chains => self.next_operand(),
            Keyword::BETWEEN => {
                self.inner.betweens += 1;
                self.count();
            }
            Keyword::DISTINCT => {
                self.inner.kept += 2;
                self.count();
            }
            _ => self.count(),
        }
    }

    fn count(&mut self) {
        self.inner.here += 1;
        self.total += 1;
    }

    fn open(&mut self, is_case: bool) {
        self.outer.push(std::mem::replace(&mut self.inner, Bracket { is_case, ..Bracket::default() }));
        self.count();
    }

    fn close(&mut self) {
        self.total -= self.inner.here;
        self.inner = self.outer.pop().unwrap_or_default();
    }

    /// What follows stands beside what was before.
    fn separate(&mut self) {
        self.inner.kept = 0;
        self.inner.betweens = 0;
        self.next_operand();
    }

    fn next_operand(&mut self) {
        self.total = self.total - self.inner.here + self.inner.kept;
        self.inner.here = self.inner.kept;
        self.count();
    }
}

/// Whether an operand may end with this token, so that `when`, `then`, `else` and `end` after it are no column names.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::NoKeyword | Keyword::NULL | Keyword::TRUE | Keyword::FALSE | Keyword::UNKNOWN | Keyword::END)
        }
        Token::Number(..) | Token::SingleQuotedString(_) | Token::RParen | Token::RBracket => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion_sql::sqlparser::dialect::GenericDialect;
    use datafusion_sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn refused(text: &str) -> bool {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap();
        depth(&tokens).is_err()
    }

    #[test]
    fn depth_is_bounded() {
        assert!(!refused(&vec!["a"; 101].join("+")));
        assert!(refused(&vec!["a"; 102].join("+")));
        assert!(refused(&"(".repeat(500)));
        assert!(refused(&"not ".repeat(500)));
        assert!(refused(&format!("a{}", "::bigint".repeat(300))));
        assert!(refused(&"case when a then 1 else ".repeat(300)));
    }

    #[test]
    fn words_that_are_read_twice_stand_within_few_others() {
        let too_often = |text: &str| read_too_often(&Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap()).is_some();
        assert!(!too_often(&format!("{}n", "cast(".repeat(READ_TWICE_LIMIT))));
        assert!(too_often(&format!("{}n", "cast(".repeat(READ_TWICE_LIMIT + 1))));
        assert!(too_often(&format!("{}n", "position(f(ceil(array[".repeat(4))));
        assert!(!too_often(&format!("{}n", "f((case when n in (".repeat(30))), "others are read once");
        assert!(!too_often(&vec!["cast(n as bigint)"; 100].join(" + ")), "and beside one another they do no harm");
    }

    #[test]
    fn paths_are_of_few_names() {
        let too_long = |text: &str| path_too_long(&Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap()).is_some();
        assert!(!too_long(&format!("{}a", "a.".repeat(PATH_LIMIT))));
        assert!(too_long(&format!("{}.a", "a. \"b\" .".repeat(PATH_LIMIT))));
        assert!(!too_long(&vec!["a.b.c"; 100].join(" + ")), "and beside one another they do no harm");
    }

    #[test]
    fn width_is_free() {
        assert!(!refused(&format!("a in ({})", vec!["-1 + 2"; 3_000].join(", "))));
        assert!(!refused(&format!("case {} else 3 end", "when a = 1 then 2 ".repeat(300))));
    }

    #[test]
    fn the_length_of_a_chain_of_conditions_is_free() {
        assert!(!refused(&vec!["a > 1 and b like 'x'"; 3_000].join(" or ")));
        assert!(!refused(&vec!["n between 1 and 2 and not b is null"; 3_000].join(" and ")));
        assert!(!refused(&format!("a is distinct from 1 or {}", vec!["b"; 3_000].join(" or "))));
        assert!(!refused(&format!("f(a, case when {} then 1 end)", vec!["(b is unknown or c)"; 3_000].join(" and "))));
    }

    #[test]
    fn chains_do_not_hide_what_is_deep_in_them() {
        assert!(refused(&format!("a or b and c{}", " + 1".repeat(200))));
        assert!(refused(&format!("a or b{}", " between 1 and c".repeat(200))));
        assert!(refused(&vec!["a is distinct from b"; 200].join(" and ")));
        assert!(refused(&format!("{}a", "a or (b and ".repeat(200))));
        for name in ["and", "or"] {
            assert!(refused(&vec![name; 300].join(" + ")), "{name}");
        }
    }

    #[test]
    fn column_names_that_are_keywords_do_not_hide_depth() {
        for name in ["end", "when", "then", "else"] {
            assert!(refused(&vec![name; 300].join(" + ")), "{name}");
            assert!(refused(&format!("case when a then {}", vec![name; 300].join(" + "))), "{name}");
        }
    }
}
