//! Which streams and options go together in which mode, and what to do where they don't.

use std::sync::Arc;

use arrow::datatypes::Field;
use arrow::row::{RowConverter, SortField};
use millstream_api::types::SqlName;
use millstream_api::{Diagnostic, Diagnostics, Stream};

use super::plan::{Planner, ROWS};
use super::{Kind, Mode};

impl Planner<'_> {
    /// Everything that can be said before expressions are read.
    pub(super) fn check(&self, found: &mut Diagnostics) {
        let mode = self.options.mode;
        if self.options.on.is_none() && mode != Mode::Window {
            let missing = Diagnostic::error("missing-key", format!("a join in mode \"{}\" has no condition `on`", mode.word())).key("on");
            found.push(missing.help("say what a pair is, for example on = \"left.id = right.id\""));
        }
        self.check_interval(found);
        if self.options.state_ttl.is_some() && mode != Mode::Changes {
            let message = format!("`state_ttl` is for joins in mode \"changes\", and this one is in mode \"{}\"", mode.word());
            found.push(Diagnostic::error("bad-join", message).key("state_ttl").on_key().help("leave it out"));
        }
        self.check_kind(found);
        match mode {
            Mode::Window => self.check_windows(found),
            Mode::Interval => self.check_timed("no row could ever be let go", found),
            Mode::AsOf => {
                self.check_timed("no version would ever be final", found);
                if !self.streams[1].from_source {
                    self.check_storable(1, found);
                }
            }
            Mode::Lookup => self.check_table(found),
            Mode::Changes => [0, 1].into_iter().for_each(|side| self.check_storable(side, found)),
        }
    }

    fn check_interval(&self, found: &mut Diagnostics) {
        let given = [("before", self.options.before), ("after", self.options.after)];
        if self.options.mode == Mode::Interval {
            if given.iter().all(|(_, span)| span.is_none()) {
                let missing = Diagnostic::error("missing-key", "a join in mode \"interval\" does not say which interval").key("before");
                found.push(
                    missing.help(
                        "add `before`, `after` or both: the right row's time is between the left row's minus `before` and plus `after`",
                    ),
                );
            }
            return;
        }
        for (key, _) in given.into_iter().filter(|(_, span)| span.is_some()) {
            let message = format!("`{key}` is for joins in mode \"interval\", and this one is in mode \"{}\"", self.options.mode.word());
            found.push(Diagnostic::error("bad-join", message).key(key).on_key().help("leave it out, or use mode = \"interval\""));
        }
    }

    fn check_kind(&self, found: &mut Diagnostics) {
        let one_sided = matches!(self.options.mode, Mode::AsOf | Mode::Lookup);
        if one_sided && matches!(self.options.kind, Kind::Right | Kind::Full) {
            let word = if self.options.kind == Kind::Right { "right" } else { "full" };
            let message = format!(
                "a join in mode \"{}\" cannot be of kind \"{word}\": it asks for rows of the right side, which are \
                 never sent by themselves",
                self.options.mode.word()
            );
            let help = "use kind = \"inner\", \"left\", \"semi\" or \"anti\"; or mode = \"interval\" or \"changes\", which have all kinds";
            found.push(Diagnostic::error("bad-join", message).key("kind").help(help));
        }
    }

    /// Interval and as-of joins: rows that stay, with event time.
    fn check_timed(&self, because: &str, found: &mut Diagnostics) {
        let mode = self.options.mode.word();
        for (side, stream) in self.streams.iter().enumerate() {
            let name = self.names[side];
            if stream.updating {
                let message = format!("`{name}` is updating, and a join in mode \"{mode}\" takes rows that are never withdrawn");
                let help = "join before the node that makes it updating, or use mode = \"changes\"";
                found.push(Diagnostic::error("updating-input", message).key(ROWS[side]).help(help));
            }
            if !stream.event_time {
                let message = format!("`{name}` has no event time: in mode \"{mode}\" {because} without it");
                let help = match (self.options.mode, side) {
                    (Mode::AsOf, 1) => {
                        "give its source one, for example time = { by = \"valid_from\" }; or use mode = \"lookup\" for a table without versions"
                    }
                    _ => "give its source one, for example time = { by = \"created_at\" }",
                };
                found.push(Diagnostic::error("no-event-time", message).key(ROWS[side]).help(help));
            }
        }
    }

    /// The right side of a lookup: a table that is there as a whole before anything is looked up.
    fn check_table(&self, found: &mut Diagnostics) {
        let (name, table) = (self.names[1], self.streams[1]);
        let mut refuse = |code: &'static str, message: String, help: &str| {
            found.push(Diagnostic::error(code, message).key(ROWS[1]).help(help));
        };
        if table.updating {
            refuse(
                "updating-input",
                format!("`{name}` is updating, and a lookup takes a table whose rows are never withdrawn"),
                "use mode = \"changes\", whose result follows both sides",
            );
        }
        if !table.bounded {
            refuse(
                "bad-join",
                format!("`{name}` never ends, and a lookup reads its right side to the end first"),
                "look things up in a file; or use mode = \"as_of\" for versions that keep coming, or mode = \"changes\"",
            );
        }
        if table.event_time {
            refuse(
                "bad-join",
                format!("`{name}` has event time, and a lookup takes a table without: it does not look at when rows were valid"),
                "leave `time` out of its source; or use mode = \"as_of\" to find the row that was valid at the left row's time",
            );
        }
    }

    fn check_windows(&self, found: &mut Diagnostics) {
        for (side, stream) in self.streams.iter().enumerate() {
            let name = self.names[side];
            found.0.extend(crate::sessions::refused(name, stream, ROWS[side]));
            if stream.windowed.is_none() {
                let message = format!("`{name}` is not windowed, and mode = \"window\" pairs rows of the same window");
                let help = "put an operator of type `window` before the join, or use mode = \"changes\"";
                found.push(Diagnostic::error("not-windowed", message).key(ROWS[side]).help(help));
            } else if stream.updating {
                let message = format!("`{name}` is updating: its rows can be withdrawn, so that no window could ever close");
                let help = "join before the node that makes it updating, or use mode = \"changes\"";
                found.push(Diagnostic::error("updating-input", message).key(ROWS[side]).help(help));
            } else if !stream.event_time {
                let message = format!("`{name}` is windowed but has no event time");
                let help = "give its source one, for example time = { by = \"created_at\" }";
                found.push(Diagnostic::error("no-event-time", message).key(ROWS[side]).help(help));
            }
        }
        if let [Some(left), Some(right)] = self.streams.map(|stream| stream.windowed.as_ref())
            && left.windows != right.windows
        {
            let message = format!("`{}` and `{}` do not have the same windows", self.names[0], self.names[1]);
            let help = "give both sides a `window` with the same keys";
            found.push(Diagnostic::error("window-mismatch", message).key(ROWS[1]).help(help));
        }
    }

    /// Rows that can be withdrawn, and versions of the same time, are compared as a whole.
    fn check_storable(&self, side: usize, found: &mut Diagnostics) {
        let stream: &Stream = self.streams[side];
        let odd = |field: &&Arc<Field>| !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]);
        if let Some(field) = stream.schema.fields().iter().find(odd) {
            let message =
                format!("`{}` of `{}` is {}, which a join cannot keep", field.name(), self.names[side], SqlName(field.data_type()));
            let help = format!("leave it out with a `select` before the join: columns = [\"* except ({})\"]", field.name());
            found.push(Diagnostic::error("type-mismatch", message).key(ROWS[side]).help(help));
        }
    }
}
