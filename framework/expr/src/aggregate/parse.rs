//! An item of `compute` to a typed aggregate: `function([distinct] arguments [order by …]) [filter (where condition)] as name`.
//!
//! Names are checked on the whole text, where places are known; arguments and filter then are scalar expressions of their
//! own. Expressions over calls (`sum(a) / count(*)`) are taken apart by [`super::item`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use datafusion_sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function as Call, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, NullTreatment,
    OrderByExpr,
};
use millstream_api::plan::Columns;
use millstream_api::types::{SqlName, is_json, json_field};

use super::Spec;
use super::function::{DistinctUse, Function, comparable};
use super::relation::Relation;
use crate::error::ExprError;
use crate::names::{self, Purpose, function_name};
use crate::order::OrderItem;
use crate::scalar::Scalar;
use crate::sql::{self, Places, Sql};

/// See [`super::Aggregate::parse`].
pub(super) fn parse(text: &str, schema: &Schema) -> Result<Spec, ExprError> {
    let sql = sql::parse(text)?;
    names::check(&sql, text, schema, Purpose::Aggregate)?;
    let Sql { tree, text: expression, alias, .. } = sql;
    let call = one_call(&tree).ok_or_else(|| {
        ExprError::new("not-an-aggregate", format!("`{expression}` is not a call of an aggregate function"), None)
            .help("write a call such as `sum(x) as total`")
    })?;
    let parser = Parser::new(text, schema);
    let Some(name) = alias else {
        return Err(ExprError::new("missing-name", format!("`{expression}` has no name"), None)
            .help(format!("give the column a name: `{expression} as …`")));
    };
    parser.spec(call, name, expression)
}

/// The call of an aggregate function that a tree is.
pub(super) fn one_call(tree: &Expr) -> Option<&Call> {
    match tree {
        Expr::Nested(inner) => one_call(inner),
        Expr::Function(call) => Function::named(&function_name(&call.name)).map(|_| call),
        _ => None,
    }
}

/// Parses the parts of calls in one text.
pub(super) struct Parser<'a> {
    places: Places<'a>,
    text: &'a str,
    schema: &'a Schema,
}

impl<'a> Parser<'a> {
    /// A parser of calls that stand in `text`, over rows of this schema.
    pub(super) fn new(text: &'a str, schema: &'a Schema) -> Self {
        Parser { places: Places(text), text, schema }
    }

    /// A call whose result has this name.
    pub(super) fn spec(&self, call: &Call, name: String, text: String) -> Result<Spec, ExprError> {
        let function = Function::named(&function_name(&call.name)).ok_or_else(|| self.error(call, "not an aggregate function"))?;
        let (distinct, written) = self.written_arguments(call, &function)?;
        let (function, arguments) = self.parameters(call, function, written)?;
        let mut scalars = Vec::new();
        let mut argument_types = Vec::new();
        for argument in arguments {
            let scalar = self.scalar(argument, |text| Scalar::parse(text, self.schema))?;
            argument_types.push(self.argument_type(argument, &scalar, &function, distinct)?);
            scalars.push(scalar);
        }
        let order_by = self.order_by(call, &function)?;
        let filter = match &call.filter {
            Some(condition) => Some(self.scalar(condition, |text| Scalar::predicate(text, self.schema))?),
            None => None,
        };
        Ok(assemble(function, distinct, Parts { arguments: scalars, argument_types, order_by, filter }, name, text))
    }

    /// Whether the call says `distinct` to effect, and its arguments (none for `*`).
    fn written_arguments<'t>(&self, call: &'t Call, function: &Function) -> Result<(bool, Vec<&'t Expr>), ExprError> {
        let FunctionArguments::List(list) = &call.args else {
            return Err(self.wrong_arguments(call, function));
        };
        let ordered = list.clauses.iter().all(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
        let plain = matches!(call.null_treatment, None | Some(NullTreatment::RespectNulls)) && call.parameters == FunctionArguments::None;
        if !ordered || !plain {
            return Err(self
                .error(call, "an aggregate function takes arguments, `distinct`, `order by` and `filter (where …)`, nothing else")
                .help("leave nulls out with `filter (where x is not null)`"));
        }
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        if distinct && function.distinct() == DistinctUse::Refused {
            return Err(self.error(call, &format!("`{}` has no `distinct`", function.name())).help("leave `distinct` out"));
        }
        let mut arguments = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => arguments.push(argument),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if *function == Function::Count && !distinct && list.args.len() == 1 => {}
                _ => return Err(self.wrong_arguments(call, function)),
            }
        }
        if arguments.is_empty() && list.args.is_empty() {
            return Err(self.wrong_arguments(call, function));
        }
        Ok((distinct && function.distinct() == DistinctUse::Wrapped, arguments))
    }

    /// What a call says of the order of rows, in its brackets or as `within group (order by …)`.
    fn order_by(&self, call: &Call, function: &Function) -> Result<Vec<OrderItem>, ExprError> {
        let within = match &call.args {
            FunctionArguments::List(list) => list.clauses.as_slice(),
            _ => &[],
        };
        let within = within.iter().filter_map(|clause| match clause {
            FunctionArgumentClause::OrderBy(items) => Some(items),
            _ => None,
        });
        let items: Vec<&OrderByExpr> = within.flatten().chain(&call.within_group).collect();
        if !items.is_empty() && !function.ordered() {
            return Err(self
                .error(call, &format!("the order of rows makes no difference to `{}`", function.name()))
                .help("leave `order by` out; `first_value`, `last_value`, `array_agg` and `string_agg` have it"));
        }
        items.into_iter().map(|item| self.order_item(item)).collect()
    }

    fn order_item(&self, item: &OrderByExpr) -> Result<OrderItem, ExprError> {
        let value = self.scalar(&item.expr, |text| Scalar::parse(text, self.schema))?;
        let (descending, nulls_first) = (item.options.asc == Some(false), item.options.nulls_first == Some(true));
        OrderItem::of(value, descending, nulls_first).map_err(|error| ExprError { span: self.places.of(&item.expr), ..error })
    }

    /// Sets the constant parameters of a function; what is left are the arguments that are evaluated for each row.
    fn parameters<'t>(&self, call: &Call, function: Function, written: Vec<&'t Expr>) -> Result<(Function, Vec<&'t Expr>), ExprError> {
        Ok(match (function, written.as_slice()) {
            (Function::ApproxPercentile(_), [value, fraction]) => {
                let constant = self.constant(fraction, &DataType::Float64)?;
                let share = constant.is_valid(0).then(|| constant.as_primitive::<Float64Type>().value(0));
                let share = share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                    ExprError::new("bad-value", format!("`{fraction}` is not a share between 0 and 1"), self.places.of(*fraction))
                        .help("0.5 is the median, 0.95 what 95 % of the values do not exceed")
                })?;
                (Function::ApproxPercentile(share), vec![*value])
            }
            (function @ Function::ApproxPercentile(_), [_]) if function_name(&call.name) == "approx_median" => (function, written),
            (Function::StringAgg(_), [value, separator]) => {
                let constant = self.constant(separator, &DataType::Utf8View)?;
                let text = if constant.is_valid(0) { constant.as_string_view().value(0) } else { "" };
                (Function::StringAgg(text.to_owned()), vec![*value])
            }
            (function @ (Function::ApproxPercentile(_) | Function::StringAgg(_)), _) => return Err(self.wrong_arguments(call, &function)),
            (Function::Count, []) => (Function::Count, written),
            (function @ Function::Relation(_), [_, _]) => (function, written),
            (function @ Function::Relation(_), _) => return Err(self.wrong_arguments(call, &function)),
            (function, [_]) => (function, written),
            (function, _) => return Err(self.wrong_arguments(call, &function)),
        })
    }

    /// The value of an argument that must not depend on the row.
    fn constant(&self, argument: &Expr, data_type: &DataType) -> Result<ArrayRef, ExprError> {
        let not_constant =
            || ExprError::new("bad-value", format!("`{argument}` must be a constant {}", SqlName(data_type)), self.places.of(argument));
        let scalar = self.scalar(argument, |text| Scalar::parse(text, self.schema))?;
        if !scalar.columns().is_empty() {
            return Err(not_constant().help("write the value itself"));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).map_err(|_| not_constant())?;
        let value = scalar.bind(&Schema::empty()).and_then(|bound| bound.evaluate(&one_row)).map_err(|_| not_constant())?;
        if !value.bad.is_empty() {
            return Err(not_constant());
        }
        cast(&value.values, data_type).map_err(|_| not_constant())
    }

    fn argument_type(&self, argument: &Expr, scalar: &Scalar, function: &Function, distinct: bool) -> Result<DataType, ExprError> {
        let found = scalar.field().data_type();
        let taken = function.argument(found).and_then(|taken| if distinct { comparable(taken) } else { Ok(taken) });
        taken.map_err(|wanted| {
            let message = format!("`{}` does not take a value of type {}", function.name(), SqlName(found));
            ExprError::new("type-mismatch", message, self.places.of(argument)).help(format!("it takes {wanted}"))
        })
    }

    /// A part of the text as a scalar expression; its mistakes are given their place in the whole text.
    fn scalar(&self, part: &Expr, parse: impl Fn(&str) -> Result<Scalar, ExprError>) -> Result<Scalar, ExprError> {
        let place = self.places.of(part).filter(|place| self.reads_as(place, part));
        match place {
            Some(place) => parse(&self.text[place.clone()]).map_err(|error| moved(error, &place)),
            // The parser's places leave out some parentheses; then the part is written anew, and meant as a whole.
            None => parse(&part.to_string()).map_err(|error| ExprError { span: self.places.of(part), ..error }),
        }
    }

    fn reads_as(&self, place: &Range<usize>, part: &Expr) -> bool {
        sql::parse(&self.text[place.clone()]).is_ok_and(|read| read.tree == *part && read.alias.is_none())
    }

    fn wrong_arguments(&self, call: &Call, function: &Function) -> ExprError {
        ExprError::new(
            "wrong-arguments",
            format!("`{call}` does not have the arguments of `{}`", function.name()),
            self.places.of(&call.name),
        )
        .help(format!("write {}", function.usage()))
    }

    fn error(&self, call: &Call, message: &str) -> ExprError {
        ExprError::new("wrong-arguments", message, self.places.of(&call.name))
    }
}

fn moved(error: ExprError, place: &Range<usize>) -> ExprError {
    let span = error.span.clone().map_or(place.clone(), |span| place.start + span.start..place.start + span.end);
    ExprError { span: Some(span), ..error }
}

/// The typed parts of a call.
struct Parts {
    arguments: Vec<Scalar>,
    argument_types: Vec<DataType>,
    order_by: Vec<OrderItem>,
    filter: Option<Scalar>,
}

fn assemble(function: Function, distinct: bool, parts: Parts, name: String, text: String) -> Spec {
    let Parts { arguments, argument_types, order_by, filter } = parts;
    let counts = matches!(function, Function::Count | Function::ApproxDistinct | Function::Relation(Relation::Count));
    let may_lack = filter.is_some() || arguments.iter().any(|argument| argument.field().is_nullable()) || !function.always_gives();
    let field = Field::new(name, function.result(&argument_types), !counts && may_lack);
    let picks = matches!(function, Function::Min | Function::Max | Function::FirstValue | Function::LastValue);
    let is_json = picks && arguments.first().is_some_and(|argument| is_json(argument.field()));
    let field = if is_json { json_field(field) } else { field };
    let read = arguments.iter().chain(order_by.iter().map(OrderItem::value)).chain(&filter);
    let columns: Columns = read.flat_map(|scalar| scalar.columns().iter().cloned()).collect();
    let state_fields = function.state(distinct, false, &function.accumulated(&argument_types));
    Spec { function, distinct, retracting: false, arguments, argument_types, order_by, filter, field, columns, state_fields, text }
}
