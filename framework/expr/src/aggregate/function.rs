//! Which aggregate functions there are: what they take, what they give, what they keep.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Decimal128Type, Field, Float64Type};
use arrow::row::{RowConverter, SortField};
use millstream_api::types::SqlName;
use millstream_api::{Error, Result};

use super::bits::{Bits, Join};
use super::cardinality::Cardinality;
use super::collect::{Collect, Shape, list_type};
use super::count::{Count, Truth};
use super::distinct::Distinct;
use super::edge::Edge;
use super::exact::{ExactSum, Finish, STATE_SUM};
use super::first_seen::FirstSeen;
use super::float::FloatSum;
use super::median::{Median, decimal_median};
use super::quantile::Quantile;
use super::relation::{self, Related, Relation};
use super::spread::{Measure, Spread};
use super::standing::{By, Made, Standing};
use super::{Groups, Spec, extreme};

/// An aggregate function with its constant parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    FirstValue,
    LastValue,
    Spread(Measure),
    Median,
    ApproxDistinct,
    /// With the fraction.
    ApproxPercentile(f64),
    ArrayAgg,
    /// With the separator.
    StringAgg(String),
    BoolAnd,
    BoolOr,
    Bits(Join),
    /// Of two arguments.
    Relation(Relation),
}

impl Function {
    /// The function of this name in lower case; parameters are still to be set.
    pub(super) fn named(name: &str) -> Option<Function> {
        let spread = |sample, root| Function::Spread(Measure { sample, root });
        Some(match name {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "avg" | "mean" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "first_value" => Function::FirstValue,
            "last_value" => Function::LastValue,
            "stddev" | "stddev_samp" => spread(true, true),
            "stddev_pop" => spread(false, true),
            "variance" | "var" | "var_samp" => spread(true, false),
            "var_pop" => spread(false, false),
            "median" => Function::Median,
            "approx_distinct" | "approx_count_distinct" => Function::ApproxDistinct,
            "approx_percentile_cont" | "approx_median" => Function::ApproxPercentile(0.5),
            "array_agg" => Function::ArrayAgg,
            "string_agg" | "listagg" => Function::StringAgg(String::new()),
            "bool_and" | "every" => Function::BoolAnd,
            "bool_or" | "some" => Function::BoolOr,
            "bit_and" => Function::Bits(Join::And),
            "bit_or" => Function::Bits(Join::Or),
            "bit_xor" => Function::Bits(Join::Xor),
            _ => return Relation::named(name).map(Function::Relation),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Avg => "avg",
            Function::Min => "min",
            Function::Max => "max",
            Function::FirstValue => "first_value",
            Function::LastValue => "last_value",
            Function::Spread(Measure { root: true, sample: true }) => "stddev",
            Function::Spread(Measure { root: true, sample: false }) => "stddev_pop",
            Function::Spread(Measure { root: false, sample: true }) => "variance",
            Function::Spread(Measure { root: false, sample: false }) => "var_pop",
            Function::Median => "median",
            Function::ApproxDistinct => "approx_distinct",
            Function::ApproxPercentile(_) => "approx_percentile_cont",
            Function::ArrayAgg => "array_agg",
            Function::StringAgg(_) => "string_agg",
            Function::BoolAnd => "bool_and",
            Function::BoolOr => "bool_or",
            Function::Bits(Join::And) => "bit_and",
            Function::Bits(Join::Or) => "bit_or",
            Function::Bits(Join::Xor) => "bit_xor",
            Function::Relation(relation) => relation.name(),
        }
    }

    /// How it is called, for messages.
    pub(super) fn usage(&self) -> &'static str {
        match self {
            Function::Count => "count(*), count(x) or count(distinct x)",
            Function::ApproxPercentile(_) => "approx_percentile_cont(x, 0.95)",
            Function::StringAgg(_) => "string_agg(x, ', ')",
            Function::BoolAnd | Function::BoolOr => "bool_and(condition)",
            Function::Relation(_) => "two numbers, such as corr(y, x)",
            _ => "one argument, such as sum(x)",
        }
    }

    /// Whether `distinct` changes the result, makes no difference, or makes no sense.
    pub(super) fn distinct(&self) -> DistinctUse {
        match self {
            Function::Min | Function::Max | Function::BoolAnd | Function::BoolOr => DistinctUse::Same,
            Function::Bits(Join::And | Join::Or) => DistinctUse::Same,
            Function::FirstValue | Function::LastValue | Function::Relation(_) => DistinctUse::Refused,
            Function::ApproxDistinct | Function::ApproxPercentile(_) => DistinctUse::Refused,
            _ => DistinctUse::Wrapped,
        }
    }

    /// Whether the order of rows shows in the result.
    pub(super) fn ordered(&self) -> bool {
        matches!(self, Function::FirstValue | Function::LastValue | Function::ArrayAgg | Function::StringAgg(_))
    }

    /// Whether it keeps each value until the end.
    pub(super) fn keeps_values(&self) -> bool {
        matches!(self, Function::Median | Function::ArrayAgg | Function::StringAgg(_))
    }

    /// How it takes a row back.
    pub(super) fn retraction(&self) -> Retraction {
        match self {
            Function::Count | Function::Sum | Function::Avg | Function::BoolAnd | Function::BoolOr => Retraction::Plain,
            Function::Bits(Join::Xor) => Retraction::Plain,
            Function::ApproxDistinct | Function::ApproxPercentile(_) => Retraction::Refused,
            Function::Min | Function::Max | Function::FirstValue | Function::LastValue => Retraction::KeepsValues,
            Function::Spread(_) | Function::Median | Function::ArrayAgg | Function::StringAgg(_) => Retraction::KeepsValues,
            Function::Bits(Join::And | Join::Or) | Function::Relation(_) => Retraction::KeepsValues,
        }
    }

    /// What to use in its place where it cannot take a row back.
    pub(super) fn retractable_alternative(&self) -> Option<&'static str> {
        match self {
            Function::ApproxDistinct => Some("count(distinct x)"),
            Function::ApproxPercentile(_) => Some("median(x)"),
            _ => None,
        }
    }

    /// Whether a group of at least one row that takes part always has a result.
    pub(super) fn always_gives(&self) -> bool {
        !matches!(self, Function::Spread(Measure { sample: true, .. }) | Function::Relation(_))
    }

    /// What an argument of this type is cast to, or what would be right.
    pub(super) fn argument(&self, found: &DataType) -> Result<DataType, &'static str> {
        let numeric = numeric(found);
        match self {
            Function::Sum | Function::Avg if matches!(found, DataType::Interval(_)) => Err(SECONDS),
            Function::Sum | Function::Avg => numeric.ok_or("a number"),
            Function::Median => match numeric {
                Some(DataType::Decimal128(p, s)) => Ok(DataType::Decimal128(p, s)),
                Some(_) => Ok(DataType::Float64),
                None => Err("a number"),
            },
            Function::Spread(_) | Function::ApproxPercentile(_) | Function::Relation(_) => {
                numeric.map(|_| DataType::Float64).ok_or("a number")
            }
            Function::Bits(_) => numeric.filter(|found| *found == DataType::Int64).ok_or("an integer"),
            Function::Min | Function::Max if matches!(found, DataType::Interval(_)) => Err(LONGEST),
            Function::Min | Function::Max => {
                let plain = known(found);
                let ordered = extreme::groups(&plain, false).is_some();
                if ordered { Ok(plain) } else { Err("a value that has an order: boolean, number, string, bytes, date or timestamp") }
            }
            Function::BoolAnd | Function::BoolOr if matches!(found, DataType::Boolean | DataType::Null) => Ok(DataType::Boolean),
            Function::BoolAnd | Function::BoolOr => Err("a boolean"),
            Function::StringAgg(_) if matches!(found, DataType::Utf8View | DataType::Null) => Ok(DataType::Utf8View),
            Function::StringAgg(_) => Err("a string: write cast(… as string)"),
            Function::ApproxDistinct => comparable(known(found)),
            Function::Count | Function::FirstValue | Function::LastValue | Function::ArrayAgg => Ok(known(found)),
        }
    }

    /// The type of the result, from the types that arguments are cast to.
    pub(super) fn result(&self, arguments: &[DataType]) -> DataType {
        let first = || arguments.first().cloned().unwrap_or(DataType::Int64);
        match (self, arguments.first()) {
            (Function::Sum, Some(DataType::Decimal128(_, scale))) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale),
            (Function::Avg, Some(DataType::Decimal128(precision, scale))) => decimal_mean(*precision, *scale),
            (Function::Avg, _) | (Function::Spread(_) | Function::ApproxPercentile(_), _) => DataType::Float64,
            (Function::Median, Some(DataType::Decimal128(precision, scale))) => decimal_median(*precision, *scale),
            (Function::Count | Function::ApproxDistinct, _) => DataType::Int64,
            (Function::ArrayAgg, _) => list_type(&first()),
            (Function::BoolAnd | Function::BoolOr, _) => DataType::Boolean,
            (Function::Relation(relation), _) => relation.result(),
            _ => first(),
        }
    }

    /// The type of what is accumulated of a row, from the types that arguments are cast to.
    pub(super) fn accumulated(&self, arguments: &[DataType]) -> DataType {
        match self {
            Function::Relation(_) => relation::pair_type(),
            _ => arguments.first().cloned().unwrap_or(DataType::Int64),
        }
    }

    /// The columns of the state, from the type of what is accumulated.
    pub(super) fn state(&self, distinct: bool, retracting: bool, argument: &DataType) -> Vec<Field> {
        let list = |item: &DataType| list_type(item);
        let types = match self {
            _ if distinct && !self.ordered() => vec![list(argument), list(&DataType::Int64)],
            _ if retracting && self.retraction() == Retraction::KeepsValues => {
                vec![list(&DataType::BinaryView), list(&DataType::Int64), list(&DataType::Int64)]
            }
            Function::Count => vec![DataType::Int64],
            Function::BoolAnd | Function::BoolOr | Function::Bits(_) => vec![DataType::Int64; 2],
            Function::Relation(_) => relation::state_types(),
            Function::Sum | Function::Avg if *argument == DataType::Float64 => float_sum_state(),
            Function::Sum | Function::Avg => vec![STATE_SUM, DataType::Int64, DataType::Int64],
            Function::Min | Function::Max => vec![argument.clone()],
            Function::FirstValue | Function::LastValue => vec![argument.clone(), DataType::BinaryView],
            Function::Spread(_) => vec![DataType::Int64, DataType::Float64, DataType::Float64],
            Function::Median => vec![list(argument)],
            Function::ApproxDistinct => vec![list(&DataType::UInt64), DataType::BinaryView],
            Function::ApproxPercentile(_) => vec![list(&DataType::Float64), list(&DataType::Int64), list(&DataType::Int64)],
            Function::ArrayAgg | Function::StringAgg(_) => vec![list(argument), list(&DataType::BinaryView)],
        };
        types.into_iter().enumerate().map(|(i, data_type)| Field::new(format!("s{i}"), data_type, true)).collect()
    }
}

const SECONDS: &str = "a number: write `sum(extract(epoch from x))` for seconds";
const LONGEST: &str =
    "a value that has an order: write `last_value(x order by extract(epoch from x) nulls first)` for the longest interval";

/// What `distinct` means for a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DistinctUse {
    /// Each value counts once.
    Wrapped,
    /// The result is the same with and without.
    Same,
    /// There is no such thing.
    Refused,
}

/// How a function takes a row back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retraction {
    /// As it adds one.
    Plain,
    /// By keeping every value that stands.
    KeepsValues,
    /// Not at all.
    Refused,
}

/// Whether values of this type can be told apart by `distinct`.
pub(super) fn comparable(data_type: DataType) -> Result<DataType, &'static str> {
    if RowConverter::supports_fields(&[SortField::new(data_type.clone())]) { Ok(data_type) } else { Err("a value that can be compared") }
}

/// Fresh accumulators.
pub(super) fn groups(spec: &Spec) -> Result<Box<dyn Groups>> {
    let argument = spec.function.accumulated(&spec.argument_types);
    let (function, result) = (&spec.function, spec.field.data_type());
    let standing = spec.retracting && function.retraction() == Retraction::KeepsValues;
    // Where the order of rows shows in the result, it also says which of equal values is the one that counts.
    let once = spec.distinct && function.ordered();
    let groups = match (standing, once) {
        (true, _) => standing_groups(function, &argument, result, once)?,
        (false, true) => first_seen_groups(function, &argument)?,
        (false, false) => plain_groups(function, &argument, result)?,
    };
    if spec.distinct && !once { Ok(Box::new(Distinct::new(&argument, groups)?)) } else { Ok(groups) }
}

/// Those in which each value counts once, where its first row stands.
fn first_seen_groups(function: &Function, argument: &DataType) -> Result<Box<dyn Groups>> {
    let shape = match function {
        Function::ArrayAgg => Shape::List,
        Function::StringAgg(separator) => Shape::Text(separator.clone()),
        other => return Err(Error::internal(format!("`{}` does not take `distinct`", other.name()))),
    };
    Ok(Box::new(FirstSeen::new(argument.clone(), shape)?))
}

fn plain_groups(function: &Function, argument: &DataType, result: &DataType) -> Result<Box<dyn Groups>> {
    Ok(match (function, argument) {
        (Function::Count, _) => Box::new(Count::default()),
        (Function::Sum, DataType::Float64) => Box::new(FloatSum::new(false)),
        (Function::Avg, DataType::Float64) => Box::new(FloatSum::new(true)),
        (Function::Sum | Function::Avg, _) => Box::new(ExactSum::new(exact_finish(function, argument, result))),
        (Function::Min | Function::Max, _) => extreme::groups(argument, *function == Function::Max)
            .ok_or_else(|| Error::internal(format!("there is no order of {}", SqlName(argument))))?,
        (Function::FirstValue | Function::LastValue, _) => Box::new(Edge::new(argument.clone(), *function == Function::LastValue)),
        (Function::Spread(measure), _) => Box::new(Spread::new(*measure)),
        (Function::Median, DataType::Decimal128(_, _)) => Box::new(Median::<Decimal128Type>::new(argument.clone(), result.clone())),
        (Function::Median, _) => Box::new(Median::<Float64Type>::new(argument.clone(), result.clone())),
        (Function::ApproxDistinct, _) => Box::new(Cardinality::default()),
        (Function::ApproxPercentile(fraction), _) => Box::new(Quantile::new(*fraction)),
        (Function::ArrayAgg, _) => Box::new(Collect::new(argument.clone(), Shape::List)),
        (Function::StringAgg(separator), _) => Box::new(Collect::new(argument.clone(), Shape::Text(separator.clone()))),
        (Function::BoolAnd, _) => Box::new(Truth::new(true)),
        (Function::BoolOr, _) => Box::new(Truth::new(false)),
        (Function::Bits(join), _) => Box::new(Bits::new(*join)),
        (Function::Relation(relation), _) => Box::new(Related::new(*relation)),
    })
}

/// Those that keep every value, so that rows can be withdrawn; `once`: of equal values only the first is in the result.
fn standing_groups(function: &Function, argument: &DataType, result: &DataType, once: bool) -> Result<Box<dyn Groups>> {
    let listed = if once { By::FirstRow } else { By::Row };
    let (by, made) = match function {
        Function::Min => (By::Value, Made::First),
        Function::Max => (By::Value, Made::Last),
        Function::Median => (By::Value, Made::Median(result.clone())),
        Function::Spread(measure) => (By::Value, Made::Spread(*measure)),
        Function::Bits(join) => (By::Value, Made::Bits(*join)),
        Function::Relation(relation) => (By::Value, Made::Related(*relation)),
        Function::FirstValue => (By::Row, Made::First),
        Function::LastValue => (By::Row, Made::Last),
        Function::ArrayAgg => (listed, Made::List),
        Function::StringAgg(separator) => (listed, Made::Text(separator.clone())),
        other => return Err(Error::internal(format!("`{}` keeps no values", other.name()))),
    };
    Ok(Box::new(Standing::new(argument.clone(), by, made)?))
}

fn exact_finish(function: &Function, argument: &DataType, result: &DataType) -> Finish {
    match (function, argument, result) {
        (Function::Avg, DataType::Decimal128(_, from), DataType::Decimal128(precision, scale)) => {
            Finish::MeanDecimal { precision: *precision, scale: *scale, shift: scale.abs_diff(*from) }
        }
        (Function::Avg, _, _) => Finish::MeanDouble,
        (_, DataType::Decimal128(_, scale), _) => Finish::Decimal { scale: *scale },
        _ => Finish::Bigint,
    }
}

/// The type in which numbers of a type are added up; `None` for what is no number.
fn numeric(found: &DataType) -> Option<DataType> {
    match found {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Null => Some(DataType::Int64),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(DataType::Float64),
        DataType::Decimal128(_, _) => Some(found.clone()),
        _ => None,
    }
}

/// A literal null counts as a bigint.
fn known(found: &DataType) -> DataType {
    if *found == DataType::Null { DataType::Int64 } else { found.clone() }
}

/// Four digits finer, as DataFusion has it.
fn decimal_mean(precision: u8, scale: i8) -> DataType {
    DataType::Decimal128((precision + 4).min(DECIMAL128_MAX_PRECISION), (scale + 4).min(DECIMAL128_MAX_SCALE))
}

fn float_sum_state() -> Vec<DataType> {
    let (float, int) = (DataType::Float64, DataType::Int64);
    vec![float.clone(), float.clone(), int.clone(), int.clone(), int.clone(), int, float.clone(), float]
}
