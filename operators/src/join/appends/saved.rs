//! The rows of a side to a snapshot and back. They do not change, so a snapshot has them as they lie there.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_api::Result;
use millstream_api::key_group::key_groups;
use millstream_api::state::picked::records_of;
use millstream_api::state::{StateReader, StateWriter};
use millstream_expr::Interner;

use super::Side;
use crate::columns::{Constant, records, sharing};
use crate::join::chains::END;
use crate::join::probe::numbers;
use crate::join::saved::one_by_one;
use crate::narrow::in_state;
use crate::saved::check_types;

/// How many columns of a snapshot are the join's own: weight, partners, and when the row came last, which is not known here.
const NUMBERS: usize = 3;

/// Where rows of a side go.
struct Saving<'a> {
    name: &'a str,
    schema: SchemaRef,
    key_groups: u16,
    ones: Constant,
    zeros: Constant,
}

impl Saving<'_> {
    /// Writes so many rows: their keys, their partners if these are counted, their columns.
    fn put(
        &mut self,
        count: usize,
        keys: Vec<ArrayRef>,
        partners: Option<Int64Array>,
        columns: Vec<ArrayRef>,
        state: &mut StateWriter,
    ) -> Result<()> {
        let partners = partners.map_or_else(|| self.zeros.of(count), |partners| Arc::new(partners));
        let own = [self.ones.of(count), partners, self.zeros.of(count)];
        let groups = key_groups(&keys, count, self.key_groups)?;
        state.put_keyed(self.name, &groups, &records_of(&self.schema, own.into_iter().chain(columns).chain(keys).collect())?)
    }
}

impl Side {
    /// Writes its rows from this number on.
    pub(super) fn save_from(&mut self, name: &str, from: u64, key_groups: u16, state: &mut StateWriter) -> Result<()> {
        let mut saving = self.saving(name, key_groups);
        let mut end = self.written;
        for (first, rows) in self.rows.since(from) {
            let (first, count) = (first as usize, rows.num_rows());
            let partners = self.partners.as_ref().and_then(|partners| partners.get(first..first + count));
            let partners = partners.map(|partners| Int64Array::from(partners.to_vec()));
            saving.put(count, self.keys.again(&rows)?, partners, rows.columns().to_vec(), state)?;
            end = end.max((first + count) as u64);
        }
        self.written = end;
        Ok(())
    }

    /// Writes the rows of these keys.
    pub(super) fn save_keys(&self, name: &str, keys: &[usize], key_groups: u16, state: &mut StateWriter) -> Result<()> {
        let mut saving = self.saving(name, key_groups);
        let of_key = |&key: &usize| {
            let newest = Some(self.chains.newest(key));
            std::iter::successors(newest, |&row| Some(self.chains.before(row))).take_while(|&row| row != END).map(u64::from)
        };
        let mut numbers: Vec<u64> = keys.iter().flat_map(of_key).collect();
        numbers.sort_unstable();
        for (range, rows, places) in self.rows.lying(&numbers) {
            let partners = self.partners.as_ref().map(|partners| numbers[range].iter().map(|&row| partners[row as usize]).collect());
            saving.put(places.len(), self.keys_at(rows, &places)?, partners, sharing(rows, &places)?, state)?;
        }
        Ok(())
    }

    /// Takes back what was written.
    pub(super) fn load(&mut self, name: &str, interner: &mut Interner, state: &StateReader) -> Result<()> {
        for saved in state.get(name) {
            check_types(&saved.schema(), &self.state_schema())?;
            let saved = one_by_one(saved)?;
            let first_key = saved.num_columns() - self.keys.types.len();
            let keys = numbers(interner, &self.keys, &saved.columns()[first_key..], saved.num_rows())?;
            let rows = records(self.rows.schema(), saved.columns()[NUMBERS..first_key].to_vec(), saved.num_rows())?;
            let partners: &[i64] = saved.column(1).as_primitive::<Int64Type>().values();
            self.keep(&rows, &keys, partners, interner.total())?;
        }
        Ok(())
    }

    fn keys_at(&self, rows: &RecordBatch, places: &UInt32Array) -> Result<Vec<ArrayRef>> {
        self.keys.again(rows)?.iter().map(|key| Ok(take(key, places, None)?)).collect()
    }

    fn saving<'a>(&self, name: &'a str, key_groups: u16) -> Saving<'a> {
        Saving { name, schema: self.state_schema(), key_groups, ones: Constant::new(1), zeros: Constant::new(0) }
    }

    /// The schema of its part of a snapshot: that of `changes`.
    fn state_schema(&self) -> SchemaRef {
        let own = ["weight", "partners", "touched"].map(|name| Field::new(name, DataType::Int64, false));
        let rows = self.rows.schema().fields().iter();
        let rows = rows.map(|field| field.as_ref().clone().with_name(in_state(field)));
        let keys = self.keys.types.iter().enumerate().map(|(i, data_type)| Field::new(format!("k{i}"), data_type.clone(), true));
        Arc::new(Schema::new(own.into_iter().chain(rows).chain(keys).collect::<Vec<_>>()))
    }
}
