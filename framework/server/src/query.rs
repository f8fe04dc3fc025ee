//! What a client asks of a view: the parameters of `/views/NAME`, read and typed.

use actix_web::http::StatusCode;
use actix_web::web;
use arrow::datatypes::Schema;
use millstream_api::error::shortened;
use millstream_expr::{OrderItem, Scalar};

use crate::answer::Refusal;

/// A query may be this long. Expressions are far shorter, and what is planned is bounded by it.
const MAX_BYTES: usize = 8 << 10;

/// The parameters of a request, as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `key`, once for each column of the view's key.
    pub key: Vec<String>,
    /// `where`: a condition.
    pub filter: Option<String>,
    /// `order`, once for each item.
    pub order: Vec<String>,
    /// `limit`: rows of a page.
    pub limit: Option<usize>,
    /// `sample`: one of so many rows.
    pub sample: Option<usize>,
    /// `cursor`: where a page before has ended.
    pub cursor: Option<String>,
    /// `format`.
    pub format: Option<String>,
}

/// The expressions of a query, typed against the view's columns.
pub struct Wanted {
    /// Which rows; all without one.
    pub filter: Option<Scalar>,
    /// In which order; that of the view without one.
    pub order: Vec<OrderItem>,
}

impl Query {
    /// Reads a query string, of which only the parameters in `known` may be there.
    ///
    /// # Errors
    /// What is unknown, malformed, there twice or contradicts something else.
    pub fn read(text: &str, known: &[&str]) -> Result<Query, Refusal> {
        if text.len() > MAX_BYTES {
            let message = format!("the query has {} bytes, and {MAX_BYTES} is the most", text.len());
            return Err(Refusal::new(StatusCode::URI_TOO_LONG, "query-too-long", message));
        }
        let pairs = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|error| Refusal::bad_query(error.to_string()))?;
        let mut query = Query::default();
        for (name, value) in pairs.into_inner() {
            if !known.contains(&name.as_str()) {
                let refusal = Refusal::bad_query(format!("unknown parameter `{}`", shortened(&name)));
                return Err(refusal.help(format!("there are: {}", known.join(", "))));
            }
            query.take(&name, value)?;
        }
        query.contradictions()?;
        Ok(query)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let place = match name {
            "key" => {
                self.key.push(value);
                return Ok(());
            }
            "order" => {
                self.order.push(value);
                return Ok(());
            }
            "limit" => return number(name, &value, &mut self.limit),
            "sample" => return number(name, &value, &mut self.sample),
            "where" => &mut self.filter,
            "cursor" => &mut self.cursor,
            _ => &mut self.format,
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(twice_there(name)),
        }
    }

    fn contradictions(&self) -> Result<(), Refusal> {
        let asks_for_many = self.filter.is_some() || !self.order.is_empty();
        if self.cursor.is_some() && (asks_for_many || !self.key.is_empty()) {
            return Err(Refusal::bad_query("`cursor` goes on with rows that were chosen before")
                .help("leave `key`, `where` and `order` out: the cursor stands for them"));
        }
        if !self.key.is_empty() && (asks_for_many || self.limit.is_some()) {
            return Err(Refusal::bad_query("`key` gives one row at most").help("leave `where`, `order` and `limit` out"));
        }
        Ok(())
    }

    /// Types the expressions against the columns of a view.
    ///
    /// # Errors
    /// A mistake in one of them, with its place in the text.
    pub fn typed(&self, schema: &Schema) -> Result<Wanted, Refusal> {
        let filter = |text: &String| Scalar::predicate(text, schema).map_err(|error| Refusal::expression("where", text, error));
        let item = |text: &String| OrderItem::parse(text, schema).map_err(|error| Refusal::expression("order", text, error));
        Ok(Wanted { filter: self.filter.as_ref().map(filter).transpose()?, order: self.order.iter().map(item).collect::<Result<_, _>>()? })
    }
}

/// Reads a number of rows.
fn number(name: &str, value: &str, place: &mut Option<usize>) -> Result<(), Refusal> {
    let number = value.parse().ok().filter(|number| *number > 0);
    let bad = || Refusal::bad_query(format!("`{name}` is `{}`", shortened(value))).help("write a number of rows from 1 on");
    match place.replace(number.ok_or_else(bad)?) {
        Some(_) => Err(twice_there(name)),
        None => Ok(()),
    }
}

fn twice_there(name: &str) -> Refusal {
    let refusal = Refusal::bad_query(format!("`{name}` is there twice"));
    if name == "where" { refusal.help("join conditions by `and`") } else { refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &["key", "where", "order", "limit", "cursor", "format"];

    fn read(text: &str) -> Result<Query, String> {
        Query::read(text, ALL).map_err(|refusal| refusal.message)
    }

    #[test]
    fn parameters_are_read_in_their_order() {
        let query = read("where=a+%3E+1&order=b+desc&order=c&limit=7&format=csv").unwrap();
        assert_eq!((query.filter.as_deref(), query.limit, query.format.as_deref()), (Some("a > 1"), Some(7), Some("csv")));
        assert_eq!(query.order, ["b desc", "c"]);
        assert_eq!(read("key=UA&key=JFK").unwrap().key, ["UA", "JFK"]);
        assert_eq!(read("").unwrap(), Query::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(read("wher=1").unwrap_err(), "unknown parameter `wher`");
        assert_eq!(read("limit=0").unwrap_err(), "`limit` is `0`");
        assert_eq!(read("limit=-1").unwrap_err(), "`limit` is `-1`");
        assert_eq!(read("limit=1&limit=2").unwrap_err(), "`limit` is there twice");
        assert_eq!(read("where=a&where=b").unwrap_err(), "`where` is there twice");
        assert_eq!(read("cursor=x&order=a").unwrap_err(), "`cursor` goes on with rows that were chosen before");
        assert_eq!(read("key=x&limit=1").unwrap_err(), "`key` gives one row at most");
        assert!(read(&"x".repeat(MAX_BYTES + 1)).unwrap_err().contains("is the most"));
        assert_eq!(Query::read("limit=1", &["where"]).unwrap_err().help.unwrap(), "there are: where");
    }
}
