//! How deep an expression is nested, judged by its tokens.
//!
//! Planning walks syntax trees recursively, and a file must not be able to exhaust the stack. A parser's own limit does not
//! help: `a + a + a …` is parsed in a loop and gives a tree as deep as it is long. So depth is bounded before anything
//! recursive sees the tree. Every level of a tree takes at least one token that is counted here, in its own brackets or in
//! ones around it; siblings (list items, the arms of a `case`) do not add up, so width is free.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// How deep an expression may be nested, counting each operator of a chain: `a + b + c` is two deep.
pub(crate) const NESTING_LIMIT: usize = 100;

/// How deep the tokens are nested; the token with which they are nested too deeply, if they are.
pub(crate) fn depth(tokens: &[TokenWithSpan]) -> Result<usize, &TokenWithSpan> {
    let mut depth = Depth::default();
    let mut deepest = 0;
    let mut before = &Token::EOF;
    for token in tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))) {
        depth.add(&token.token, ends_operand(before));
        deepest = deepest.max(depth.total);
        if deepest > NESTING_LIMIT {
            return Err(token);
        }
        before = &token.token;
    }
    Ok(deepest)
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
    /// For each open bracket: whether it is a `case`, and what was counted around it.
    outer: Vec<(bool, usize)>,
    /// Counted in the innermost bracket since the last separator.
    here: usize,
    /// Counted in all open brackets.
    total: usize,
}

impl Depth {
    fn add(&mut self, token: &Token, after_operand: bool) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.open(false),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma => self.separate(),
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => {}
                Keyword::CASE => self.open(true),
                Keyword::END if self.in_case() && after_operand => self.close(),
                Keyword::WHEN if self.in_case() && (after_operand || self.here <= 1) => self.separate(),
                Keyword::THEN | Keyword::ELSE if self.in_case() && after_operand => self.separate(),
                _ => self.count(),
            },
            Token::EOF | Token::Number(..) | Token::SingleQuotedString(_) => {}
            _ => self.count(),
        }
    }

    fn count(&mut self) {
        self.here += 1;
        self.total += 1;
    }

    fn open(&mut self, case: bool) {
        self.outer.push((case, self.here));
        self.here = 0;
        self.count();
    }

    fn close(&mut self) {
        self.total -= self.here;
        match self.outer.pop() {
            Some((_, around)) => self.here = around,
            None => (self.here, self.total) = (0, 0),
        }
    }

    fn separate(&mut self) {
        self.total -= self.here;
        self.here = 0;
        self.count();
    }

    fn in_case(&self) -> bool {
        self.outer.last().is_some_and(|(case, _)| *case)
    }
}

/// Whether an operand may end with this token, so that `when`, `then`, `else` and `end` after it are no column names.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::NoKeyword | Keyword::NULL | Keyword::TRUE | Keyword::FALSE | Keyword::END)
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
    fn width_is_free() {
        assert!(!refused(&format!("a in ({})", vec!["-1 + 2"; 3_000].join(", "))));
        assert!(!refused(&format!("case {} else 3 end", "when a = 1 then 2 ".repeat(300))));
    }

    #[test]
    fn column_names_that_are_keywords_do_not_hide_depth() {
        for name in ["end", "when", "then", "else"] {
            assert!(refused(&vec![name; 300].join(" + ")), "{name}");
            assert!(refused(&format!("case when a then {}", vec![name; 300].join(" + "))), "{name}");
        }
    }
}
