//! Names as users write them, with or without a side, made names of the scope of a join.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Schema};
use datafusion_sql::sqlparser::ast::{AccessExpr, Expr as Tree, FunctionArguments, Ident, VisitorMut};
use datafusion_sql::sqlparser::tokenizer::Span;
use millstream_api::diagnostic::nearest;

use super::{JoinScope, Side};
use crate::error::ExprError;
use crate::sql::Places;

/// Puts the names of the scope in the place of those that were written.
pub(super) struct Resolver<'a> {
    scope: &'a JoinScope,
    places: Places<'a>,
    /// The side that a name without one means where both sides have it; none: it is ambiguous.
    preferred: Option<Side>,
    /// Which sides have what both share also as their own.
    optional: [bool; 2],
    /// Names after a dot, which are fields and not columns.
    fields: Vec<Span>,
}

impl<'a> Resolver<'a> {
    /// For an expression of this text.
    pub(super) fn new(scope: &'a JoinScope, text: &'a str, preferred: Option<Side>, optional: [bool; 2]) -> Self {
        Resolver { scope, places: Places(text), preferred, optional, fields: Vec::new() }
    }
}

impl VisitorMut for Resolver<'_> {
    type Break = Box<ExprError>;

    fn pre_visit_expr(&mut self, node: &mut Tree) -> ControlFlow<Box<ExprError>> {
        match self.node(node) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Resolver<'_> {
    fn node(&mut self, node: &mut Tree) -> Result<(), ExprError> {
        match node {
            Tree::Identifier(name) if self.fields.contains(&name.span) => {}
            Tree::Identifier(name) => *name = self.unqualified(name)?,
            Tree::CompoundIdentifier(names) => {
                self.compound(names)?;
                if let [name] = names.as_slice() {
                    // Not to be looked at again as a name without a side.
                    self.fields.push(name.span);
                    *node = Tree::Identifier(name.clone());
                }
            }
            Tree::CompoundFieldAccess { root, access_chain } => self.accesses(root, access_chain)?,
            // `user` and `left.user` are read as functions that take no parentheses.
            Tree::Function(function) if matches!(function.args, FunctionArguments::None) => {
                let mut names: Vec<Ident> = function.name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                if names.last().is_some_and(|name| self.is_column(name)) {
                    self.compound(&mut names)?;
                    self.fields.extend(names.iter().map(|name| name.span));
                    *node = if let [name] = names.as_slice() { Tree::Identifier(name.clone()) } else { Tree::CompoundIdentifier(names) };
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `left.price`, `bids.price`, or a field of a struct: `origin.city`. What remains begins with a column.
    fn compound(&self, names: &mut Vec<Ident>) -> Result<(), ExprError> {
        let Some(first) = names.first() else { return Ok(()) };
        match self.side(names)? {
            Some((side, words)) if names.len() > words => {
                let column = self.qualified(side, &names[0], &names[words])?;
                names.splice(0..=words, [column]);
            }
            _ => names[0] = self.unqualified(first)?,
        }
        Ok(())
    }

    fn accesses(&mut self, root: &mut Tree, chain: &mut Vec<AccessExpr>) -> Result<(), ExprError> {
        let dotted = |access: &AccessExpr| match access {
            AccessExpr::Dot(Tree::Identifier(name)) => Some(name.clone()),
            _ => None,
        };
        if let Tree::Identifier(first) = root {
            let names: Vec<Ident> = std::iter::once(first.clone()).chain(chain.iter().map_while(dotted)).collect();
            if let Some((side, words)) = self.side(&names)?
                && let Some(name) = names.get(words)
            {
                let column = self.qualified(side, first, name)?;
                chain.drain(..words);
                self.fields.push(column.span);
                *root = Tree::Identifier(column);
            }
        }
        self.fields.extend(chain.iter().filter_map(dotted).map(|name| name.span));
        Ok(())
    }

    fn is_column(&self, name: &Ident) -> bool {
        self.scope.schemas.iter().any(|schema| schema.column_with_name(&name.value).is_some())
    }

    /// The side that the first of these words mean, and how many words do; none when they begin with a column.
    fn side(&self, names: &[Ident]) -> Result<Option<(Side, usize)>, ExprError> {
        let Some(qualifier) = names.first() else { return Ok(None) };
        let word = qualifier.value.as_str();
        let plain = qualifier.quote_style.is_none();
        if plain && word.eq_ignore_ascii_case("left") {
            return Ok(Some((Side::Left, 1)));
        }
        if plain && word.eq_ignore_ascii_case("right") {
            return Ok(Some((Side::Right, 1)));
        }
        let streams = self.scope.names.each_ref();
        if let Some(side) = self.one_of(streams.map(|stream| stream == word), word, qualifier)? {
            return Ok(Some((side, 1)));
        }
        // A stream like `x.bid` is named in full, or by its own part where no column means the same.
        if let [_, second, ..] = names {
            let both = format!("{word}.{}", second.value);
            if let Some(side) = self.one_of(streams.map(|stream| *stream == both), &both, qualifier)? {
                return Ok(Some((side, 2)));
            }
        }
        let part = streams.map(|stream| stream.rsplit_once('.').is_some_and(|(_, part)| part == word) && !self.is_struct(word));
        Ok(self.one_of(part, word, qualifier)?.map(|side| (side, 1)))
    }

    /// The side for which something holds; both are one too many.
    fn one_of(&self, holds: [bool; 2], word: &str, qualifier: &Ident) -> Result<Option<Side>, ExprError> {
        match holds {
            [true, true] => {
                let message = format!("both sides of the join are `{word}`");
                Err(self.error("ambiguous-column", message, qualifier.span).help("write `left.` and `right.` before the columns"))
            }
            [true, false] => Ok(Some(Side::Left)),
            [false, true] => Ok(Some(Side::Right)),
            [false, false] => Ok(None),
        }
    }

    /// Whether a side has a column of this name that itself has fields.
    fn is_struct(&self, name: &str) -> bool {
        let is_struct = |schema: &Schema| schema.field_with_name(name).is_ok_and(|field| matches!(field.data_type(), DataType::Struct(_)));
        self.scope.schemas.iter().any(|schema| is_struct(schema))
    }

    fn qualified(&self, side: Side, qualifier: &Ident, name: &Ident) -> Result<Ident, ExprError> {
        let span = qualifier.span.union(&name.span);
        let index = usize::from(side == Side::Right);
        if self.scope.shared.contains(&name.value) {
            let own = self.optional[index];
            return Ok(scoped(if own { side.column(&name.value) } else { name.value.clone() }, span));
        }
        if self.scope.schemas[index].column_with_name(&name.value).is_some() {
            return Ok(scoped(side.column(&name.value), span));
        }
        let stream = &self.scope.names[index];
        let message = format!("`{stream}`, the {} side, has no column `{}`", side.word(), name.value);
        Err(self.error("unknown-column", message, name.span).help(self.known(&name.value, index..index + 1)))
    }

    fn unqualified(&self, name: &Ident) -> Result<Ident, ExprError> {
        if self.scope.shared.contains(&name.value) {
            return Ok(scoped(name.value.clone(), name.span));
        }
        let has = self.scope.schemas.each_ref().map(|schema| schema.column_with_name(&name.value).is_some());
        match (has, self.preferred) {
            ([true, false], _) => Ok(scoped(Side::Left.column(&name.value), name.span)),
            ([false, true], _) => Ok(scoped(Side::Right.column(&name.value), name.span)),
            ([true, true], Some(side)) => Ok(scoped(side.column(&name.value), name.span)),
            ([true, true], None) => {
                let message = format!("both sides of the join have a column `{}`", name.value);
                let help = format!("write `left.{0}` or `right.{0}`", name.value);
                Err(self.error("ambiguous-column", message, name.span).help(help))
            }
            ([false, false], _) => {
                let message = format!("neither side of the join has a column `{}`", name.value);
                Err(self.error("unknown-column", message, name.span).help(self.known(&name.value, 0..2)))
            }
        }
    }

    fn known(&self, wanted: &str, sides: std::ops::Range<usize>) -> String {
        let names = |index: usize| self.scope.schemas[index].fields().iter().map(|field| field.name().as_str());
        let listed = |index: usize| format!("`{}` has: {}", self.scope.names[index], names(index).collect::<Vec<_>>().join(", "));
        let all = sides.clone().map(listed).collect::<Vec<_>>().join("; ");
        match nearest(wanted, sides.flat_map(names)) {
            Some(near) => format!("did you mean `{near}`? {all}"),
            None => all,
        }
    }

    fn error(&self, code: &'static str, message: String, span: Span) -> ExprError {
        ExprError::new(code, message, self.places.range(span))
    }
}

/// A column of the scope, at the place of what was written.
fn scoped(name: String, span: Span) -> Ident {
    Ident { value: name, quote_style: Some('"'), span }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, SchemaRef};

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
    }

    /// The two sides of the only equality of a condition over `x.auction(id, bid)` and `x.bid(auction, at)`.
    fn equality(text: &str, bid: DataType) -> Result<(String, String), String> {
        let (left, right) = (schema(&[("id", DataType::Int64), ("bid", bid)]), schema(&[("auction", DataType::Int64)]));
        let scope = JoinScope::new(("x.auction", &left), ("x.bid", &right), &[], [false; 2]).unwrap();
        let condition = scope.condition(text).map_err(|error| error.message)?;
        let found = &condition.equalities[0];
        Ok((found.left.text().to_owned(), found.right.text().to_owned()))
    }

    #[test]
    fn a_stream_of_several_is_named_in_full_or_by_its_own_part() {
        let sides = Ok(("id".to_owned(), "auction".to_owned()));
        for text in ["x.auction.id = x.bid.auction", "auction.id = bid.auction", "id = right.auction", "\"auction\".id = \"bid\".auction"] {
            assert_eq!(equality(text, DataType::Int64), sides, "{text}");
        }
        // A column with fields of its own goes before the part of a name.
        let fields = DataType::Struct(vec![Field::new("auction", DataType::Int64, true)].into());
        assert_eq!(equality("x.bid.auction = id", fields.clone()), sides);
        let (left, _) = equality("x.bid.auction = bid.auction", fields).unwrap();
        assert!(left.contains("bid") && left.contains("auction"), "{left}");
    }
}
