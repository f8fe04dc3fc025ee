//! The rows of rankings for a snapshot.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use millstream_api::Result;

use super::{Entry, Keep, Rankings};
use crate::columns::sharing;

/// Rows, for a snapshot.
pub(crate) struct Saved {
    /// The number of each row's key.
    pub(crate) groups: Vec<usize>,
    /// How many equal rows there are of each; `None`: one of each.
    pub(crate) counts: Option<Int64Array>,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) kept: Vec<ArrayRef>,
}

/// Which rows of all segments are in a ranking, one segment behind the other.
struct Found {
    /// Of each row one more than the number of its key; 0: it is in none.
    keys: Vec<u32>,
    /// Only where rows are counted.
    counts: Vec<i64>,
    /// How many of each segment.
    of_segment: Vec<usize>,
}

impl Rankings {
    /// All rows of these keys, key by key: so keys that are taken back in this order have their numbers in it.
    pub(crate) fn save(&self, of: impl Iterator<Item = usize> + Clone) -> Result<Saved> {
        let rows = || of.clone().flat_map(|group| self.groups[group].iter().map(move |entry| (group, entry)));
        let groups: Vec<usize> = rows().map(|(group, _)| group).collect();
        let places: Vec<_> = rows().map(|(_, entry)| entry.place).collect();
        Ok(Saved {
            counts: Some(rows().map(|(_, entry)| Some(entry.count)).collect()),
            keys: self.interner.columns(&groups)?,
            groups,
            kept: (0..self.schema.fields().len()).map(|column| self.column(column, &places)).collect::<Result<_>>()?,
        })
    }

    /// All rows of these keys as they lie there, segment by segment: nobody copies those of a segment of which most are wanted. Rows of one
    /// key that are equal in order stay in theirs.
    pub(crate) fn share(&self, of: impl Iterator<Item = usize>) -> impl Iterator<Item = Result<Saved>> + '_ {
        let found = self.find(of);
        let mut first = 0;
        let wanted = found.of_segment.clone().into_iter().zip(&self.segments);
        let saved = wanted.map(move |(count, segment)| {
            let rows = first..first + segment.num_rows();
            first = rows.end;
            (count > 0).then(|| self.shared(segment, count, &found.keys[rows.clone()], found.counts.get(rows)))
        });
        saved.flatten()
    }

    fn find(&self, of: impl Iterator<Item = usize>) -> Found {
        let mut starts = Vec::with_capacity(self.segments.len());
        let mut total = 0;
        for segment in &self.segments {
            starts.push(total);
            total += segment.num_rows();
        }
        let counts = if self.keep == Keep::All { vec![0; total] } else { Vec::new() };
        let mut found = Found { keys: vec![0; total], counts, of_segment: vec![0; self.segments.len()] };
        for group in of {
            for Entry { place, count } in &self.groups[group] {
                let (segment, row) = self.kept_parts().row(*place);
                let row = starts[segment] + row;
                found.keys[row] = group as u32 + 1;
                found.of_segment[segment] += 1;
                if let Some(found) = found.counts.get_mut(row) {
                    *found = *count;
                }
            }
        }
        found
    }

    /// The rows of a segment that have a key.
    fn shared(&self, segment: &RecordBatch, count: usize, keys: &[u32], counts: Option<&[i64]>) -> Result<Saved> {
        let mut rows = Vec::with_capacity(count);
        rows.extend((0..keys.len() as u32).filter(|&row| keys[row as usize] > 0));
        let groups: Vec<usize> = rows.iter().map(|&row| keys[row as usize] as usize - 1).collect();
        Ok(Saved {
            counts: counts.map(|counts| rows.iter().map(|&row| Some(counts[row as usize])).collect()),
            keys: self.interner.columns(&groups)?,
            groups,
            kept: sharing(segment, &UInt32Array::from(rows))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, BinaryArray, StringViewArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_api::state::picked::records_of;
    use millstream_api::state::{StateReader, StateWriter};
    use proptest::prelude::*;
    use std::sync::Arc;

    use super::*;

    /// Rows of (key, order, text) as they come.
    type Batches = Vec<Vec<(i64, u8, bool)>>;

    fn ranked(keep: Keep, n: usize, batches: &Batches) -> Rankings {
        let fields = [Field::new("c0", DataType::Utf8View, true), Field::new("order", DataType::Binary, false)];
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let mut rankings = Rankings::new(keep, n, &[DataType::Int64], schema.clone()).unwrap();
        for rows in batches {
            let keys: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>());
            let ids = rankings.number(&[keys], rows.len()).unwrap();
            let touched = rankings.touched(&ids);
            let text: StringViewArray = rows.iter().map(|row| Some(format!("a text that is not in its view: {}", row.1))).collect();
            let order = BinaryArray::from_iter_values(rows.iter().map(|row| [row.1]));
            let kept = RecordBatch::try_new(schema.clone(), vec![Arc::new(text), Arc::new(order)]).unwrap();
            let weight = |row: usize| if keep == Keep::All && rows[row].2 { -1 } else { 1 };
            rankings.change(&ids, &touched, kept, weight).unwrap();
            rankings.tidy(&touched).unwrap();
        }
        rankings
    }

    /// What was saved as (key, order, text, count), as a reader gets it, sorted but for rows of one key that are equal in order.
    fn rows(saved: impl Iterator<Item = Result<Saved>>) -> Vec<(i64, Vec<u8>, String, i64)> {
        let mut rows = Vec::new();
        let types = [DataType::Int64, DataType::Utf8View, DataType::Binary, DataType::Int64];
        let schema = Schema::new(types.into_iter().map(|data_type| Field::new("c", data_type, true)).collect::<Vec<_>>());
        for saved in saved {
            let Saved { groups, counts, keys, kept } = saved.unwrap();
            let counts = counts.unwrap_or_else(|| Int64Array::from_value(1, groups.len()));
            let columns = keys.into_iter().chain(kept).chain([Arc::new(counts) as ArrayRef]).collect();
            let mut state = StateWriter::new();
            state.put_keyed("rows", &vec![0; groups.len()], &records_of(&schema, columns).unwrap()).unwrap();
            for records in StateReader::new(state.into_entries(), &(0..1)).unwrap().get("rows") {
                let (keys, counts) = (records.column(0).as_primitive::<Int64Type>(), records.column(3).as_primitive::<Int64Type>());
                let (texts, orders) = (records.column(1).as_string_view(), records.column(2).as_binary::<i32>());
                let row = |row: usize| (keys.value(row), orders.value(row).to_vec(), texts.value(row).to_owned(), counts.value(row));
                rows.extend((0..records.num_rows()).map(row));
            }
        }
        rows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        rows
    }

    proptest! {
        #[test]
        fn what_is_shared_is_what_would_be_copied(
            batches in prop::collection::vec(prop::collection::vec((0..12i64, 0..6u8, any::<bool>()), 0..40), 1..12),
            keep in prop::sample::select(vec![(Keep::First, 3), (Keep::Last, 1), (Keep::All, 2)]),
            some in prop::collection::vec(any::<bool>(), 12),
        ) {
            let rankings = ranked(keep.0, keep.1, &batches);
            let chosen = || (0..rankings.total()).filter(|&group| some[group]);
            prop_assert_eq!(rows(rankings.share(0..rankings.total())), rows([rankings.save(0..rankings.total())].into_iter()));
            prop_assert_eq!(rows(rankings.share(chosen())), rows([rankings.save(chosen())].into_iter()));
        }
    }

    #[test]
    fn most_of_a_segment_is_shared_and_little_of_it_is_copied() {
        let rankings = ranked(Keep::First, 1, &vec![(0..100).map(|key| (key, 0, false)).collect()]);
        let kept = |keys: std::ops::Range<usize>| rankings.share(keys).next().unwrap().unwrap().kept[0].clone();
        assert!(kept(0..100).to_data().ptr_eq(&rankings.segments[0].column(0).to_data()));
        assert_eq!(kept(0..60).data_type(), &DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8View)));
        assert_eq!((kept(0..40).data_type(), kept(0..40).len()), (&DataType::Utf8View, 40));
    }
}
