//! Which options suit which input.

use millstream_api::{Diagnostic, Diagnostics};

use super::plan::Planner;
use super::{AggregateOptions, Emit};

impl Planner<'_> {
    /// Notes what of the options does not suit the input.
    pub(super) fn check_input(&self, options: &AggregateOptions, found: &mut Diagnostics) {
        if options.by.is_empty() && options.compute.is_empty() {
            found.push(
                Diagnostic::error("missing-key", "an aggregate has neither `by` nor `compute`")
                    .key("compute")
                    .help("say what to compute, for example compute = [\"count(*) as n\"]"),
            );
        }
        if options.windowed == Some(true) && !self.windowed {
            found.push(
                Diagnostic::error("not-windowed", format!("`{}` is not windowed", self.name))
                    .key("windowed")
                    .help("put an operator of type `window` before the aggregate"),
            );
        }
        if let Some(lateness) = options.allowed_lateness.filter(|_| !self.windowed) {
            let message = format!("a running aggregate has no windows that could stay open {lateness} longer");
            found.push(Diagnostic::error("not-windowed", message).key("allowed_lateness").on_key().help("leave `allowed_lateness` out"));
        }
        if options.state_ttl.is_some() && self.windowed {
            let message = "a windowed aggregate forgets its groups when their window closes";
            let help = "leave `state_ttl` out, or write windowed = false for a running aggregate";
            found.push(Diagnostic::error("bad-value", message).key("state_ttl").on_key().help(help));
        }
        self.check_emit(options.emit, found);
        if self.windowed && self.input.updating {
            let message = format!("`{}` is updating: its rows can be withdrawn, so that no window could ever close", self.name);
            found.push(
                Diagnostic::error("updating-input", message)
                    .key("input")
                    .help("aggregate per window before the node that makes it updating, or write windowed = false"),
            );
        }
        if self.windowed && !self.input.event_time {
            found.push(
                Diagnostic::error("no-event-time", format!("`{}` is windowed but has no event time", self.name))
                    .key("input")
                    .help("give its source one, for example time = { by = \"created_at\" }"),
            );
        }
    }

    fn check_emit(&self, emit: Option<Emit>, found: &mut Diagnostics) {
        let bad = |message: String| Diagnostic::error("bad-value", message).key("emit");
        let (given, what, right) = match (emit, self.windowed) {
            (Some(Emit::Every(every)), _) if every.micros() == 0 => {
                found.push(bad("`every` cannot be 0".to_owned()).key("every").help("write it like emit = { every = \"5s\" }"));
                return;
            }
            (Some(Emit::Change), true) => ("change", "per window", "close"),
            (Some(Emit::Close), false) => ("close", "a running aggregate", "change"),
            _ => return,
        };
        let message = format!("emit = \"{given}\" is not possible: this aggregate is {what}");
        found.push(bad(message).help(format!("write emit = \"{right}\" or emit = {{ every = \"5s\" }}, or leave it out")));
    }
}
