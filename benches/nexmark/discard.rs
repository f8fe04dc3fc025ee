//! The sink `discard` with its checksum, and how long results took, where the benchmark can read them.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_api::operator::Fates;
use millstream_api::plan::{Columns, InputPlan, Inputs, Make, Plan, SinkContext, SinkFactory, WindowUse};
use millstream_api::registry::{InputKeys, NodeOptions, Role};
use millstream_api::sink::Finish;
use millstream_api::{Batch, Diagnostics, Result, Sink};
use millstream_operators::sinks::discard::Checksum;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::live;

/// The sum over all subtasks of this process that have finished.
static TOTAL: Mutex<Checksum> = Mutex::new(Checksum { rows: 0, sum: 0 });

/// What was discarded.
pub fn total() -> Checksum {
    *TOTAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads every column and throws it away, as the `discard` that ships does.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DiscardOptions {}

impl NodeOptions for DiscardOptions {
    const KIND: &'static str = "discard";
    const ROLE: Role = Role::Sink;
    const INPUTS: InputKeys = InputKeys::One;

    fn plan(self, inputs: &Inputs<'_>) -> Result<Plan, Diagnostics> {
        let columns = inputs.schema(0).fields().iter().map(|f| f.name().clone()).collect();
        Ok(Plan::new(vec![InputPlan::any(WindowUse::Reads)], Vec::new(), Make::Sink(Arc::new(DiscardFactory(columns)))))
    }
}

struct DiscardFactory(Columns);

impl SinkFactory for DiscardFactory {
    fn required(&self) -> Columns {
        self.0.clone()
    }

    fn blocks(&self) -> bool {
        false
    }

    fn make(&self, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Discard { checksum: Checksum::default(), micros: Vec::new() }))
    }
}

struct Discard {
    checksum: Checksum,
    /// How long each result took.
    micros: Vec<u32>,
}

impl Sink for Discard {
    fn write(&mut self, batch: Batch, fates: &mut Fates) -> Result<()> {
        fates.taken += batch.rows() as u64;
        live::note(batch.times().unwrap_or_default(), &mut self.micros);
        self.checksum.add(&batch)
    }

    fn finish(&mut self, _: Finish) -> Result<()> {
        *TOTAL.lock().unwrap_or_else(PoisonError::into_inner) += self.checksum;
        live::add(&mut self.micros);
        Ok(())
    }
}
