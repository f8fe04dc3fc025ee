//! The aggregate over sessions: one final row for each key and session, once no row can join it any more.

use std::collections::VecDeque;

use millstream_api::plan::OperatorContext;
use millstream_api::state::{StateReader, StateWriter};
use millstream_api::time::ClockTime;
use millstream_api::{Batch, EventTime, Operator, Output, Progress, Result};
use millstream_expr::{Groups, Interner};

use super::early_sessions::EarlySessions;
use super::open_sessions::{columns, columns_of, fresh, join, times, too_late};
use super::plan::Design;
use super::program::Program;
use super::sending::Sending;
use super::state::{Layout, Rows};
use super::timeline::{Closed, Timeline};
use super::{LATE, MAIN};
use crate::changed::ChangedKeys;
use crate::cold::Cold;
use crate::late::LateRows;
use crate::saved::{read_closed, write_closed};

/// The name of the state.
pub(super) const SESSIONS: &str = "sessions";

/// The column of it that says when the last row of a session was.
pub(super) const LAST: &str = "n1";

/// One subtask.
pub(super) struct Sessions {
    pub(super) program: Program,
    layout: Layout,
    pub(super) lateness: i64,
    pub(super) batch_rows: usize,
    late: LateRows,
    pub(super) main_read: bool,
    pub(super) interner: Interner,
    timeline: Timeline,
    /// Accumulators by the slots of the timeline.
    pub(super) groups: Vec<Box<dyn Groups>>,
    /// The watermark up to which sessions have closed or are about to.
    pub(super) watermark: EventTime,
    /// Where the session ends that ends first.
    next_end: Option<i64>,
    pub(super) sending: VecDeque<Sending>,
    /// Where rows are sent before their session closes.
    pub(super) early: Option<EarlySessions>,
    /// Which keys have other sessions than were last written.
    pub(super) changed: ChangedKeys,
    /// Keys that have left memory, with all of their sessions.
    cold: Cold,
    /// Whether what is being sent came back from there.
    came_back: bool,
    /// The number of each row's key, and its slot; kept for their memory.
    ids: Vec<usize>,
    slots: Vec<usize>,
}

impl Sessions {
    /// A subtask without state.
    pub(super) fn new(design: &Design, gap: i64, context: &OperatorContext, rejected_port: usize) -> Result<Self> {
        let program = Program::new(design, context, rejected_port)?;
        let every = design.every.filter(|_| context.outputs[MAIN].read);
        let early = every.map(|every| EarlySessions::new(every, &program, context.key_groups));
        Ok(Sessions {
            layout: Layout::new(&program, context.key_groups),
            lateness: design.allowed_lateness,
            batch_rows: context.batch_rows.max(1),
            late: LateRows::new(context, 0, LATE)?,
            main_read: context.outputs[MAIN].read,
            interner: Interner::new(program.key_types())?,
            timeline: Timeline::new(gap),
            groups: fresh(&program)?,
            watermark: EventTime::MIN,
            next_end: None,
            sending: VecDeque::new(),
            early,
            changed: ChangedKeys::default(),
            cold: Cold::default(),
            came_back: false,
            ids: Vec::new(),
            slots: Vec::new(),
            program,
        })
    }

    /// What follows rows that have been placed.
    fn settle(&mut self, out: &mut Output) -> Result<()> {
        self.changed.touch(&self.ids);
        self.next_end = self.timeline.next_end();
        let joined = self.timeline.joined();
        if let Some(early) = &mut self.early {
            early.note(&self.slots, &joined);
            early.ask(out);
        }
        join(&mut self.groups, joined, self.timeline.slots())
    }

    /// Lets go of the accumulators of sessions that are no more, once they are the greater part.
    pub(super) fn tidy(&mut self) -> Result<()> {
        let Some(slots) = self.timeline.renumber() else { return Ok(()) };
        let places: Vec<usize> = (0..slots.len()).collect();
        let mut groups = fresh(&self.program)?;
        for (from, to) in self.groups.iter_mut().zip(&mut groups) {
            to.merge(&from.state_at(&slots)?, &places, slots.len())?;
        }
        self.groups = groups;
        if let Some(early) = &mut self.early {
            early.renumber(&slots);
        }
        Ok(())
    }

    /// Sends rows of sessions that have closed or are to be said, then of those on disk, piece by piece.
    fn go_on(&mut self, out: &mut Output) -> Result<Progress> {
        if self.send(out)? == Progress::More {
            return Ok(Progress::More);
        }
        if std::mem::take(&mut self.came_back) {
            // Now keys may leave memory.
            return Ok(Progress::More);
        }
        let changed = self.early.as_mut().map(|early| early.cold.next(out)).transpose()?.flatten();
        if let Some(state) = changed {
            let sessions = self.take_back(&state)?;
            self.sending.push_back(Sending::changed(sessions));
        } else {
            let Some(state) = self.cold.fetch_due(self.watermark.minus(self.lateness), out)? else { return Ok(Progress::Done) };
            self.take_back_changed(&state)?;
            self.close();
        }
        self.came_back = true;
        Ok(Progress::More)
    }

    /// Takes out the sessions in memory that no row can join any more.
    fn close(&mut self) {
        let (sessions, idle) = self.timeline.close(self.lateness, self.watermark);
        self.next_end = self.timeline.next_end();
        if !sessions.is_empty() {
            self.changed.touch(&sessions.iter().map(|session| session.key).collect::<Vec<_>>());
            self.sending.push_back(Sending::closed(sessions, idle));
        }
    }

    /// Adds sessions as a snapshot has them, of all of which there may be something to say.
    fn take_back_changed(&mut self, state: &StateReader) -> Result<()> {
        let sessions = self.take_back(state)?;
        if let Some(early) = &mut self.early {
            early.note(&sessions.iter().map(|session| session.slot).collect::<Vec<_>>(), &[]);
        }
        Ok(())
    }

    /// Adds sessions as a snapshot has them, and what was sent of them. Which ones.
    fn take_back(&mut self, state: &StateReader) -> Result<Vec<Closed>> {
        let (before, mut back) = (self.timeline.rows(), Vec::new());
        for records in state.get(SESSIONS) {
            let rows = self.layout.read(records)?;
            self.interner.intern(&rows.keys, rows.len(), &mut self.ids)?;
            let [first, last, count] = &rows.numbers;
            let timeline = &mut self.timeline;
            let restored =
                |(row, &key): (usize, &usize)| timeline.restore(key, first.value(row), last.value(row), count.value(row).unsigned_abs());
            let slots: Vec<usize> = self.ids.iter().enumerate().map(restored).collect();
            let total = self.timeline.slots();
            for (groups, state) in self.groups.iter_mut().zip(&rows.states) {
                groups.merge(state, &slots, total)?;
            }
            let keys = self.ids.iter().zip(slots).zip(first.values().iter().zip(last.values()));
            back.extend(keys.map(|((&key, slot), (&start, &last))| Closed { end: self.timeline.end(last), start, key, slot }));
        }
        if let Some(early) = &mut self.early {
            early.restore(&self.program, &self.timeline, &mut self.interner, state)?;
        }
        self.cold.came_back(self.timeline.rows() - before);
        self.next_end = self.timeline.next_end();
        Ok(back)
    }

    /// Writes sessions, and what is none.
    fn save(&self, Rows { numbers, keys, states }: Rows, state: &mut StateWriter) -> Result<()> {
        self.layout.write(SESSIONS, numbers, keys, states, state)?;
        if let Some(early) = &self.early {
            early.snapshot(&self.program, &self.timeline, &self.interner, state)?;
        }
        write_closed(self.watermark, self.lateness, state)
    }
}

impl Operator for Sessions {
    fn on_batch(&mut self, _: usize, batch: Batch, out: &mut Output) -> Result<()> {
        let node = out.watermark().max(self.watermark);
        let batch = match too_late(&batch, node, self.lateness)? {
            Some(late) => self.late.put_aside_judged(&batch, &late, node, out)?,
            None => batch,
        };
        let (batch, rows) = self.program.evaluate(batch, out)?;
        if let Some(state) = out.fetch(&rows.keys, rows.rows)? {
            self.take_back_changed(&state)?;
        }
        out.fates().taken += rows.rows as u64;
        self.interner.intern(&rows.keys, rows.rows, &mut self.ids)?;
        let timeline = &mut self.timeline;
        self.slots.clear();
        self.slots.extend(self.ids.iter().zip(times(&batch)?).map(|(&key, &time)| timeline.place(key, time)));
        let total = self.timeline.slots();
        for (groups, arguments) in self.groups.iter_mut().zip(&rows.arguments) {
            groups.update(arguments, &self.slots, total, rows.order.as_ref())?;
        }
        self.settle(out)
    }

    fn on_partial(&mut self, _: usize, partial: Batch, out: &mut Output) -> Result<()> {
        let rows = self.layout.read(partial.records())?;
        if let Some(state) = out.fetch(&rows.keys, rows.len())? {
            self.take_back_changed(&state)?;
        }
        out.fates().taken += partial.represented_rows();
        self.interner.intern(&rows.keys, rows.len(), &mut self.ids)?;
        let [first, last, count] = &rows.numbers;
        let timeline = &mut self.timeline;
        let span = |row: usize| (first.value(row), last.value(row), count.value(row).unsigned_abs());
        self.slots.clear();
        self.slots.extend(self.ids.iter().enumerate().map(|(row, &key)| timeline.place_span(key, span(row))));
        let total = self.timeline.slots();
        for (groups, state) in self.groups.iter_mut().zip(&rows.states) {
            groups.merge(state, &self.slots, total)?;
        }
        self.settle(out)
    }

    fn on_timer(&mut self, _: ClockTime, _: &mut Output) -> Result<()> {
        let Some(early) = &mut self.early else { return Ok(()) };
        let changed = early.tick();
        let found = self.timeline.iter().filter(|(_, session)| changed.contains(&session.slot)).map(|(key, session)| {
            let end = self.timeline.end(session.last);
            Closed { end, start: session.first, key, slot: session.slot }
        });
        let sessions: Vec<Closed> = found.collect();
        self.sending.push_back(Sending::changed(sessions));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        self.close();
        self.go_on(out).map(|_| ())
    }

    fn outgoing_watermark(&self, watermark: EventTime) -> EventTime {
        watermark.minus(self.lateness)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Progress> {
        let progress = self.go_on(out)?;
        if let Some(early) = &mut self.early {
            early.ask(out);
        }
        Ok(progress)
    }

    fn snapshot(&mut self, state: &mut StateWriter) -> Result<()> {
        self.changed.all_written(self.interner.total());
        let all = columns(&self.timeline, &self.interner, &mut self.groups)?;
        self.save(all, state)
    }

    /// A key is written with all of its sessions. Without keys that would be all that there are.
    fn note_changes(&mut self) -> bool {
        let has_keys = !self.program.key_types().is_empty();
        if has_keys {
            self.changed.begin();
        }
        has_keys
    }

    fn snapshot_changes(&mut self, state: &mut StateWriter) -> Result<()> {
        let changed = self.changed.take(self.layout.key_groups(), |keys| self.interner.columns(keys), state)?;
        let sessions = columns_of(&changed, &self.timeline, &self.interner, &mut self.groups)?;
        self.save(sessions, state)
    }

    fn restore(&mut self, state: &StateReader) -> Result<()> {
        self.take_back_changed(state)?;
        self.cold = Cold::at_start(state);
        if let Some(early) = self.early.as_mut().filter(|_| self.cold.next().is_some()) {
            early.cold.note();
        }
        self.watermark = read_closed(state, self.lateness);
        Ok(())
    }

    fn forget_keys(&mut self) -> Result<()> {
        self.cold.left(self.timeline.rows(), self.next_end.map(EventTime));
        self.timeline = self.timeline.emptied();
        self.interner = Interner::new(self.program.key_types())?;
        self.groups = fresh(&self.program)?;
        self.changed = ChangedKeys::default();
        self.next_end = None;
        self.early.iter_mut().for_each(EarlySessions::forget);
        Ok(())
    }

    fn can_forget_keys(&self) -> bool {
        self.sending.is_empty() && !self.came_back
    }

    fn waits_for(&self) -> Option<EventTime> {
        let next_end = self.next_end.map(EventTime).into_iter().chain(self.cold.next()).min();
        next_end.map(|EventTime(end)| EventTime(end.saturating_add(self.lateness)))
    }

    fn rows_in_state(&self) -> u64 {
        self.timeline.rows() + self.cold.rows()
    }

    fn state_bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|groups| groups.size_bytes()).sum();
        let early = self.early.as_ref().map_or(0, EarlySessions::size_bytes);
        self.interner.size_bytes() + groups + self.timeline.size_bytes() + self.changed.size_bytes() + early
    }
}
