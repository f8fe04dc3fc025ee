//! The text of an expression without what means nothing: blanks, comments, and the case of the names of functions.

use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

/// The text of an expression, such that texts that differ in blanks alone are equal. Different texts that are equal then mean the same;
/// some that mean the same stay different.
pub fn normal_text(text: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return text.trim().to_owned() };
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF)).collect();
    let word = |(place, token): (usize, &Token)| match token {
        // Columns are told apart by the case of their letters, functions are not.
        Token::Word(word) if word.quote_style.is_none() && tokens.get(place + 1) == Some(&Token::LParen) => word.value.to_lowercase(),
        token => token.to_string(),
    };
    tokens.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_the_case_of_functions_do_not_matter() {
        for same in ["count(*)", "count( * )", " COUNT (*)", "count(/* all */ *)"] {
            assert_eq!(normal_text(same), "count ( * )", "{same}");
        }
    }

    #[test]
    fn everything_else_does() {
        for (one, other) in
            [("sum(a)", "sum(A)"), ("'a b'", "'a  b'"), ("a - b", "b - a"), ("\"a b\"", "\"ab\""), ("a b", "ab"), ("1", "'1'")]
        {
            assert_ne!(normal_text(one), normal_text(other), "{one}");
        }
    }
}
