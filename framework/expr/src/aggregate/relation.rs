//! `corr`, `covar_pop`, `covar_samp` and those of linear regression: what there is between two numbers of each row.
//!
//! Rows in which both numbers are there take part. A pair travels as one value, a struct, so that it is kept and withdrawn like any
//! other. Means and squares are those of [`super::spread`], the sum of products goes along in the same way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use millstream_api::Result;

use super::interner::normalised;
use super::rows::{each, grow, reset};
use super::spread::Moments;
use super::{Arguments, Groups, RowOrder};
use crate::scalar::{BadValue, Evaluated};

/// What is asked of the pairs (y, x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Correlation,
    Covariance { sample: bool },
    Slope,
    Intercept,
    Determination,
    Count,
    MeanY,
    MeanX,
    SquaresY,
    SquaresX,
    Products,
}

/// The functions by name.
const NAMED: [(&str, Relation); 13] = [
    ("corr", Relation::Correlation),
    ("covar_samp", Relation::Covariance { sample: true }),
    ("covar", Relation::Covariance { sample: true }),
    ("covar_pop", Relation::Covariance { sample: false }),
    ("regr_slope", Relation::Slope),
    ("regr_intercept", Relation::Intercept),
    ("regr_r2", Relation::Determination),
    ("regr_count", Relation::Count),
    ("regr_avgy", Relation::MeanY),
    ("regr_avgx", Relation::MeanX),
    ("regr_syy", Relation::SquaresY),
    ("regr_sxx", Relation::SquaresX),
    ("regr_sxy", Relation::Products),
];

impl Relation {
    /// The function of this name in lower case.
    pub(super) fn named(name: &str) -> Option<Relation> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(_, relation)| *relation)
    }

    pub(super) fn name(self) -> &'static str {
        NAMED.iter().find(|(_, known)| *known == self).map_or("corr", |(name, _)| name)
    }

    /// The type of its result.
    pub(super) fn result(self) -> DataType {
        if self == Relation::Count { DataType::Int64 } else { DataType::Float64 }
    }

    /// Of these pairs; `None` where there are too few, or all numbers by which would be divided are the same.
    fn of(self, pairs: &Pairs) -> Option<f64> {
        let Pairs { y, x, products } = pairs;
        if y.count == 0 {
            return None;
        }
        let slope = || (x.squares != 0.0).then(|| products / x.squares);
        match self {
            Relation::Correlation if x.squares == 0.0 || y.squares == 0.0 => None,
            Relation::Correlation => Some((products / x.squares.sqrt() / y.squares.sqrt()).clamp(-1.0, 1.0)),
            Relation::Covariance { sample } => {
                let divisor = y.count - i64::from(sample);
                (divisor > 0).then(|| products / divisor as f64)
            }
            Relation::Slope => slope(),
            Relation::Intercept => slope().map(|slope| y.mean - slope * x.mean),
            Relation::Determination if y.squares == 0.0 => slope().map(|_| 1.0),
            Relation::Determination => slope().map(|slope| (slope * (products / y.squares)).clamp(0.0, 1.0)),
            Relation::Count => Some(y.count as f64),
            Relation::MeanY => Some(y.mean),
            Relation::MeanX => Some(x.mean),
            Relation::SquaresY => Some(y.squares),
            Relation::SquaresX => Some(x.squares),
            Relation::Products => Some(*products),
        }
    }
}

/// The type of a pair.
pub(super) fn pair_type() -> DataType {
    DataType::Struct(fields())
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("y", DataType::Float64, true), Field::new("x", DataType::Float64, true)])
}

/// Two columns of doubles as one of pairs, null where one of them is.
pub(super) fn paired(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let nulls = columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.nulls()));
    Ok(Arc::new(StructArray::try_new(fields(), columns.iter().map(normalised).collect(), nulls)?))
}

/// The numbers of pairs.
fn numbers(pairs: &ArrayRef) -> [Float64Array; 2] {
    let pairs = pairs.as_struct();
    [0, 1].map(|side| pairs.column(side).as_primitive::<Float64Type>().clone())
}

/// Moments of the pairs of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    y: Moments,
    x: Moments,
    /// The sum of the products of the deviations from both means.
    products: f64,
}

impl Pairs {
    fn add(&mut self, y: f64, x: f64) {
        let deviation = y - self.y.mean;
        self.y.add(y);
        self.x.add(x);
        self.products += deviation * (x - self.x.mean);
    }

    fn merge(&mut self, other: Pairs) {
        if self.y.count == 0 || other.y.count == 0 {
            // Nothing is rounded: a state that is restored gives what it gave before.
            *self = if self.y.count == 0 { other } else { *self };
            return;
        }
        let deviations = (other.y.mean - self.y.mean) * (other.x.mean - self.x.mean);
        let share = other.y.count as f64 / (self.y.count + other.y.count) as f64;
        self.products += other.products + deviations * self.y.count as f64 * share;
        self.y.merge(other.y);
        self.x.merge(other.x);
    }
}

/// The results of groups with these pairs; one of finite numbers that does not fit is bad.
fn evaluated(pairs: impl Iterator<Item = Pairs>, relation: Relation) -> Evaluated {
    if relation == Relation::Count {
        return Evaluated { values: Arc::new(Int64Array::from_iter_values(pairs.map(|pairs| pairs.y.count))), bad: Vec::new() };
    }
    let mut bad = Vec::new();
    let values = pairs.enumerate().map(|(row, pairs)| {
        let value = relation.of(&pairs)?;
        if !value.is_finite() && pairs.y.mean.is_finite() && pairs.x.mean.is_finite() {
            bad.push(BadValue { row, reason: format!("overflow: `{}` does not fit double", relation.name()) });
            return None;
        }
        Some(value)
    });
    let values: Float64Array = values.collect();
    Evaluated { values: Arc::new(values), bad }
}

/// The results of groups of these pairs, one group after the other.
pub(super) fn related(pairs: &ArrayRef, lengths: &[usize], relation: Relation) -> Evaluated {
    let [y, x] = numbers(pairs);
    let mut pairs = y.values().iter().zip(x.values());
    let groups = lengths.iter().map(|&length| {
        let mut group = Pairs::default();
        pairs.by_ref().take(length).for_each(|(&y, &x)| group.add(y, x));
        group
    });
    evaluated(groups, relation)
}

/// The pairs of each group, summed up.
pub(super) struct Related {
    groups: Vec<Pairs>,
    relation: Relation,
}

impl Related {
    pub(super) fn new(relation: Relation) -> Self {
        Related { groups: Vec::new(), relation }
    }
}

impl Groups for Related {
    fn update(&mut self, arguments: &Arguments, groups: &[usize], total: usize, _: Option<&RowOrder>) -> Result<()> {
        grow(&mut self.groups, total);
        let [y, x] = numbers(&arguments.values[0]);
        each(groups, arguments.taking_part().as_ref(), |row, group| self.groups[group].add(y.value(row), x.value(row)));
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        grow(&mut self.groups, total);
        let counts = state[0].as_primitive::<Int64Type>();
        let sums: Vec<&Float64Array> = state[1..].iter().map(|column| column.as_primitive::<Float64Type>()).collect();
        for (row, &group) in groups.iter().enumerate() {
            let moments =
                |mean: usize| Moments { count: counts.value(row), mean: sums[mean].value(row), squares: sums[mean + 1].value(row) };
            self.groups[group].merge(Pairs { y: moments(0), x: moments(2), products: sums[4].value(row) });
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.groups.len()).collect();
        self.state_at(&all)
    }

    fn state_at(&mut self, groups: &[usize]) -> Result<Vec<ArrayRef>> {
        let of = |sum: fn(&Pairs) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(groups.iter().map(|&group| sum(&self.groups[group]))))
        };
        let counts = Int64Array::from_iter_values(groups.iter().map(|&group| self.groups[group].y.count));
        Ok(vec![Arc::new(counts), of(|p| p.y.mean), of(|p| p.y.squares), of(|p| p.x.mean), of(|p| p.x.squares), of(|p| p.products)])
    }

    fn evaluate_at(&mut self, groups: &[usize]) -> Result<Evaluated> {
        Ok(evaluated(groups.iter().map(|&group| self.groups[group]), self.relation))
    }

    fn clear(&mut self, groups: &[usize]) -> Result<()> {
        reset(&mut self.groups, groups);
        Ok(())
    }

    fn total(&self) -> usize {
        self.groups.len()
    }

    fn size_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Pairs>()
    }
}

/// The types of the state's columns.
pub(super) fn state_types() -> Vec<DataType> {
    let mut types = vec![DataType::Float64; 6];
    types[0] = DataType::Int64;
    types
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::tests::arguments;

    fn pairs(of: &[(f64, f64)]) -> ArrayRef {
        let side = |side: fn(&(f64, f64)) -> f64| Arc::new(Float64Array::from_iter_values(of.iter().map(side))) as ArrayRef;
        paired(&[side(|pair| pair.0), side(|pair| pair.1)]).unwrap()
    }

    /// As they come, and as values that are kept: `Err` where the result is an overflow.
    fn found(of: &[(f64, f64)], relation: Relation) -> Result<Option<f64>, String> {
        let mut sums = Related::new(relation);
        sums.update(&arguments(pairs(of)), &vec![0; of.len()], 1, None).unwrap();
        let (first, second) = (sums.evaluate().unwrap(), related(&pairs(of), &[of.len()], relation));
        assert_eq!(format!("{:?}", first.values), format!("{:?}", second.values));
        match first.bad.first() {
            Some(bad) => Err(bad.reason.clone()),
            None if relation == Relation::Count => Ok(Some(first.values.as_primitive::<Int64Type>().value(0) as f64)),
            None => Ok(first.values.is_valid(0).then(|| first.values.as_primitive::<Float64Type>().value(0))),
        }
    }

    #[test]
    fn five_pairs_by_hand() {
        // On the line y = 1 + 2x, but for the last one.
        let five = [(1.0, 0.0), (3.0, 1.0), (5.0, 2.0), (7.0, 3.0), (12.0, 4.0)];
        let (syy, sxx, sxy) = (71.2, 10.0, 26.0);
        for (name, wanted) in [
            ("regr_count", 5.0),
            ("regr_avgy", 5.6),
            ("regr_avgx", 2.0),
            ("regr_syy", syy),
            ("regr_sxx", sxx),
            ("regr_sxy", sxy),
            ("covar_pop", sxy / 5.0),
            ("covar_samp", sxy / 4.0),
            ("corr", sxy / f64::sqrt(syy * sxx)),
            ("regr_slope", 2.6),
            ("regr_intercept", 0.4),
            ("regr_r2", sxy * sxy / syy / sxx),
        ] {
            let value = found(&five, Relation::named(name).unwrap()).unwrap().unwrap();
            assert!((value - wanted).abs() < 1e-12, "{name}: {value}, not {wanted}");
            assert_eq!(Relation::named(name).map(Relation::name), Some(name));
        }
    }

    #[test]
    fn too_little_is_null_as_sql_has_it() {
        let same_x = [(1.0, 3.0), (2.0, 3.0)];
        let same_y = [(4.0, 1.0), (4.0, 2.0)];
        for (of, name, wanted) in [
            (&same_x[..0], "regr_sxx", None),
            (&same_x[..0], "regr_count", Some(0.0)),
            (&same_x[..1], "covar_pop", Some(0.0)),
            (&same_x[..1], "covar_samp", None),
            (&same_x, "regr_slope", None),
            (&same_x, "regr_r2", None),
            (&same_x, "corr", None),
            (&same_y, "corr", None),
            (&same_y, "regr_r2", Some(1.0)),
            (&same_y, "regr_intercept", Some(4.0)),
        ] {
            assert_eq!(found(of, Relation::named(name).unwrap()), Ok(wanted), "{name} of {of:?}");
        }
    }

    #[test]
    fn finite_numbers_that_overflow_are_an_error_and_others_are_not() {
        let far = [(1e200, 1e200), (-1e200, -1e200)];
        assert_eq!(found(&far, Relation::Products), Err("overflow: `regr_sxy` does not fit double".to_owned()));
        assert_eq!(found(&far, Relation::MeanX), Ok(Some(0.0)));
        let open = [(f64::INFINITY, 1.0), (2.0, 3.0)];
        assert!(found(&open, Relation::Products).unwrap().is_some_and(f64::is_nan));
    }
}
