//! From the keys of a window to its windows: which keys belong to which kind, and what lengths go together.

use millstream_api::calendar::Calendar;
use millstream_api::window::{Aligned, WindowKind};
use millstream_api::{Diagnostic, Diagnostics};

use super::length::Length;
use super::{Kind, WindowOptions};

/// A row in more windows than this would keep a pipeline busy for hours with its results alone.
const MOST_WINDOWS_OF_A_ROW: i64 = 1_000_000;

/// The windows that the keys say.
///
/// # Errors
/// Every mistake in them, and warnings.
pub(super) fn windows(options: &WindowOptions, found: &mut Diagnostics) -> Option<WindowKind> {
    let before = found.0.len();
    refuse_keys_of_other_kinds(options, found);
    if options.kind == Kind::Session {
        let gap = needed(options, "gap", "30m", options.gap, found)?;
        return (found.0.len() == before).then_some(WindowKind::Session { gap });
    }
    let size = needed(options, "size", "1h", options.size, found);
    let part = match options.kind {
        Kind::Hop => needed(options, "slide", "1m", options.slide, found),
        Kind::Cumulate => needed(options, "step", "1m", options.step, found),
        Kind::Tumble | Kind::Session => size,
    };
    if let (Some(size), Some(part)) = (size, part) {
        fit(options, size, part, found);
    }
    if found.0.len() > before {
        return None;
    }
    let (size, part) = (options.size?, options.slide.or(options.step).or(options.size)?);
    in_zone(options, size, part, found).map(WindowKind::Aligned)
}

fn refuse_keys_of_other_kinds(options: &WindowOptions, found: &mut Diagnostics) {
    let kind = options.kind;
    let keys = [
        ("size", options.size.is_some(), kind != Kind::Session),
        ("slide", options.slide.is_some(), kind == Kind::Hop),
        ("gap", options.gap.is_some(), kind == Kind::Session),
        ("step", options.step.is_some(), kind == Kind::Cumulate),
        ("offset", options.offset.is_some(), kind != Kind::Session),
        ("timezone", options.timezone.is_some(), kind != Kind::Session),
    ];
    for (key, _, _) in keys.iter().filter(|(_, given, fits)| *given && !fits) {
        let help = match (kind, *key) {
            (Kind::Session, _) => {
                "a session has no length and no place of its own: it lasts while rows follow each other within `gap`".into()
            }
            (_, "slide") => "for overlapping windows write kind = \"hop\"".to_owned(),
            (_, "step") => "for windows that grow write kind = \"cumulate\"".to_owned(),
            (_, _) => "for windows that last while rows follow each other write kind = \"session\"".to_owned(),
        };
        found.push(bad(key, format!("{} windows have no `{key}`", kind.name())).on_key().help(help));
    }
}

/// The length of a key that the kind must have, in microseconds.
fn needed(options: &WindowOptions, key: &'static str, example: &str, given: Option<Length>, found: &mut Diagnostics) -> Option<i64> {
    let kind = options.kind.name();
    match given {
        Some(length) if length.micros() > 0 => return Some(length.micros()),
        Some(_) if key == "size" => {
            found.push(bad(key, "a window cannot have the size 0".into()).help(format!("write it like {key} = \"{example}\"")));
        }
        Some(_) => found.push(bad(key, format!("`{key}` cannot be 0")).help(format!("write it like {key} = \"{example}\""))),
        None => {
            let help = match key {
                "slide" => format!("add for example {key} = \"{example}\", or use kind = \"tumble\""),
                _ => format!("add for example {key} = \"{example}\""),
            };
            found.push(bad("kind", format!("{kind} windows need a `{key}`")).help(help));
        }
    }
    None
}

/// Notes what does not go together; all lengths in microseconds. `part` is the slide or the step.
fn fit(options: &WindowOptions, size: i64, part: i64, found: &mut Diagnostics) {
    let (Some(size_text), Some(part_text)) = (options.size, options.slide.or(options.step).or(options.size)) else { return };
    let (size_text, part_text) = (size_text.duration, part_text.duration);
    let (key, repeats) = match options.kind {
        Kind::Hop => ("slide", "slide"),
        Kind::Cumulate => ("step", "size"),
        Kind::Tumble | Kind::Session => ("size", "size"),
    };
    if part > size {
        let message = match options.kind {
            Kind::Cumulate => format!("`step` ({part_text}) is greater than `size` ({size_text})"),
            _ => format!("`slide` ({part_text}) is greater than `size` ({size_text}): rows between two windows would be in none"),
        };
        let help = match options.kind {
            Kind::Cumulate => "make `step` a part of `size`: each window is one step longer than the one before",
            _ => "make `slide` at most `size`; filter the rows that are not wanted",
        };
        found.push(bad(key, message).help(help));
    } else if options.kind == Kind::Cumulate && size % part != 0 {
        let message = format!("`size` ({size_text}) is not a multiple of `step` ({part_text})");
        found.push(bad(key, message).help("windows grow step by step up to `size`: let `step` divide it"));
    } else if let Some(offset) = options.offset.filter(|offset| offset.micros() >= if repeats == "size" { size } else { part }) {
        let of = if repeats == "size" { size_text } else { part_text };
        let message = format!("`offset` ({offset}) must be less than `{repeats}` ({of})");
        found.push(bad("offset", message).help("windows repeat, so that a smaller offset gives the same windows"));
    } else if size / part > MOST_WINDOWS_OF_A_ROW {
        let message = format!("each row would be in {} windows: `size` is {size_text} and `{key}` {part_text}", size / part);
        found.push(bad(key, message).help(format!("a row can be in {MOST_WINDOWS_OF_A_ROW} windows at most: make `{key}` longer")));
    }
}

/// The windows, of the days of a zone if one is said.
fn in_zone(options: &WindowOptions, size: Length, part: Length, found: &mut Diagnostics) -> Option<Aligned> {
    let offset = options.offset.unwrap_or_default().micros();
    let fixed = || match options.kind {
        Kind::Cumulate => Aligned::cumulate(size.micros(), part.micros(), offset),
        _ => Aligned::hop(size.micros(), part.micros(), offset),
    };
    let Some(zone) = &options.timezone else { return Some(fixed()) };
    let calendar = match Calendar::new(zone, offset) {
        Ok(calendar) => calendar,
        Err(nearest) => {
            let help = match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "write the name of a zone of the IANA database, for example \"Europe/Berlin\" or \"UTC\"".to_owned(),
            };
            found.push(bad("timezone", format!("there is no time zone `{zone}`")).help(help));
            return None;
        }
    };
    match (options.kind, size.days(), part.days()) {
        (Kind::Cumulate, Some(days), Some(step)) => Some(Aligned::cumulate_days(days, step, calendar)),
        (Kind::Cumulate, Some(days), None) => Some(Aligned::cumulate_within_days(days, part.micros(), calendar)),
        (_, Some(days), Some(slide)) => Some(Aligned::hop_days(days, slide, calendar)),
        (Kind::Hop, Some(_), None) => {
            let message = format!("`size` is days of {zone} and `slide` ({}) is hours, which do not divide every day", part.duration);
            found.push(bad("slide", message).help("write both in days; or `size` in hours, which are the same in every zone"));
            None
        }
        _ => {
            let message = "`timezone` changes nothing: `size` is not written in days";
            let help = "a size in `d` or `w` is days of the zone, one in `h` never is: leave `timezone` out, or write `size` in days";
            found.push(Diagnostic::warning("unused-key", message).key("timezone").on_key().help(help));
            Some(fixed())
        }
    }
}

fn bad(key: &str, message: String) -> Diagnostic {
    Diagnostic::error("bad-window", message).key(key)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Tumble => "tumble",
            Kind::Hop => "hop",
            Kind::Session => "session",
            Kind::Cumulate => "cumulate",
        }
    }
}
