//! Expected rows against those that are there.
//!
//! Each expected row says something of some columns, so it may fit several rows, and which of them it is meant for can matter
//! to the others: rows are paired so that as many as possible find a partner (augmenting paths, after Kuhn).

use millstream_topology::cases::{Cell, Expect, Match};

/// A row that is there: its values in the order of [`Expect::columns`], then its weight where rows are changes. `None`: the
/// column does not flow.
pub type ActualRow = Vec<Option<Cell>>;

/// What came of comparing rows.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The rows that are there.
    pub actual: Vec<ActualRow>,
    /// For each expected row the one that it fits, as an index of `actual`.
    pub pairs: Vec<Option<usize>>,
    /// Whether what is there is what is expected.
    pub holds: bool,
}

impl Comparison {
    /// Compares what is there with what is expected.
    pub fn new(expect: &Expect, actual: Vec<ActualRow>) -> Comparison {
        let in_place = |(expected, actual): (&Vec<(usize, Cell)>, &ActualRow)| fits(expected, actual);
        let is_exact = expect.rows.len() == actual.len() && expect.rows.iter().zip(&actual).all(in_place);
        let pairs = if is_exact { (0..actual.len()).map(Some).collect() } else { pairs(&expect.rows, &actual) };
        let all_found = pairs.iter().all(Option::is_some);
        let holds = match expect.matching {
            Match::Exact => is_exact,
            Match::Unordered => all_found && pairs.len() == actual.len(),
            Match::Subset => all_found,
        };
        Comparison { actual, pairs, holds }
    }

    /// The expected rows that are not there.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.pairs.len()).filter(|expected| self.pairs[*expected].is_none())
    }

    /// The rows that are there and fit no expected one.
    pub fn unexpected(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.actual.len()).filter(|actual| !self.pairs.contains(&Some(*actual)))
    }
}

/// Whether a row has all that is said of it.
fn fits(expected: &[(usize, Cell)], actual: &ActualRow) -> bool {
    expected.iter().all(|(column, cell)| matches!(actual.get(*column), Some(Some(found)) if found.same(cell)))
}

/// For each expected row an actual one of its own that it fits, for as many as possible.
fn pairs(expected: &[Vec<(usize, Cell)>], actual: &[ActualRow]) -> Vec<Option<usize>> {
    let mut pairing = Pairing { expected, actual, owner: vec![None; actual.len()] };
    for row in 0..expected.len() {
        let mut seen = vec![false; actual.len()];
        pairing.find(row, &mut seen);
    }
    let mut pairs = vec![None; expected.len()];
    for (actual, owner) in pairing.owner.iter().enumerate() {
        if let Some(expected) = owner {
            pairs[*expected] = Some(actual);
        }
    }
    pairs
}

struct Pairing<'a> {
    expected: &'a [Vec<(usize, Cell)>],
    actual: &'a [ActualRow],
    /// The expected row that has each actual one.
    owner: Vec<Option<usize>>,
}

impl Pairing<'_> {
    /// Finds a partner for an expected row; others may have to change theirs. Whether there is one. No recursion: a test may
    /// have many rows.
    fn find(&mut self, row: usize, seen: &mut [bool]) -> bool {
        // Expected rows on the way, and for each the next actual row to try.
        let mut way: Vec<(usize, usize)> = vec![(row, 0)];
        let mut taken: Vec<usize> = Vec::new();
        while let Some((expected, from)) = way.last_mut() {
            let candidate = (*from..self.actual.len()).find(|&at| !seen[at] && fits(&self.expected[*expected], &self.actual[at]));
            let Some(candidate) = candidate else {
                way.pop();
                taken.pop();
                continue;
            };
            *from = candidate + 1;
            seen[candidate] = true;
            taken.push(candidate);
            match self.owner[candidate] {
                Some(owner) => way.push((owner, 0)),
                None => {
                    way.iter().zip(&taken).for_each(|((expected, _), actual)| self.owner[*actual] = Some(*expected));
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(rows: &[&[(usize, i64)]], matching: Match) -> Expect {
        let rows = rows.iter().map(|row| row.iter().map(|(column, number)| (*column, Cell::Integer(*number))).collect()).collect();
        Expect {
            text: String::new(),
            node: String::new(),
            is_view: false,
            as_changes: false,
            updating: false,
            columns: vec!["a".into(), "b".into()],
            rows,
            matching,
            written: None,
        }
    }

    fn compare(expected: &[&[(usize, i64)]], matching: Match, actual: &[[i64; 2]]) -> Comparison {
        let actual = actual.iter().map(|row| row.iter().map(|number| Some(Cell::Integer(*number))).collect()).collect();
        Comparison::new(&expect(expected, matching), actual)
    }

    #[test]
    fn a_vague_row_leaves_the_only_partner_to_a_strict_one() {
        let expected: &[&[(usize, i64)]] = &[&[(0, 1)], &[(1, 2)], &[(0, 1), (1, 2)]];
        let found = compare(expected, Match::Unordered, &[[1, 2], [1, 3], [9, 2]]);
        assert!(found.holds);
        assert_eq!(found.pairs, [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn rows_count_as_often_as_they_are_there() {
        let one: &[(usize, i64)] = &[(0, 1), (1, 2)];
        assert!(compare(&[one, one], Match::Unordered, &[[1, 2], [1, 2]]).holds);
        let found = compare(&[one, one], Match::Unordered, &[[1, 2], [1, 3]]);
        assert!(!found.holds);
        assert_eq!((found.missing().collect::<Vec<_>>(), found.unexpected().collect::<Vec<_>>()), (vec![1], vec![1]));
    }

    #[test]
    fn order_counts_only_where_it_is_asked_for() {
        let expected: &[&[(usize, i64)]] = &[&[(0, 1)], &[(0, 2)]];
        assert!(compare(expected, Match::Unordered, &[[2, 0], [1, 0]]).holds);
        assert!(!compare(expected, Match::Exact, &[[2, 0], [1, 0]]).holds);
        assert!(compare(expected, Match::Exact, &[[1, 0], [2, 0]]).holds);
        assert!(!compare(expected, Match::Exact, &[[1, 0], [2, 0], [3, 0]]).holds);
        assert!(compare(expected, Match::Subset, &[[3, 0], [2, 0], [1, 0]]).holds);
        assert!(!compare(&[], Match::Unordered, &[[1, 0]]).holds);
    }

    #[test]
    fn many_rows_in_the_worst_order_are_paired() {
        let expected: Vec<Vec<(usize, i64)>> = (0..300).map(|n| if n < 299 { vec![] } else { vec![(0, 0)] }).collect();
        let rows: Vec<&[(usize, i64)]> = expected.iter().map(Vec::as_slice).collect();
        let actual: Vec<[i64; 2]> = (0..300).map(|n| [n, 0]).collect();
        assert!(compare(&rows, Match::Unordered, &actual).holds);
    }
}
