//! Event time, clock time, and durations and sizes as text.
//!
//! Event time is what a row says of itself and drives windows and joins; clock time is the wall clock and drives only
//! `idle_after`, `linger`, `emit = { every }` and `state_ttl`. They are different types so that neither is taken for the other.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00Z, UTC; negative before. Also a watermark's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every event: the watermark of a stream that has not said anything yet.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every event: the watermark of a stream that has ended.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// This time moved back by `micros`, never past the ends: `MIN` and `MAX` stay what they are.
    #[must_use]
    pub fn minus(self, micros: i64) -> EventTime {
        match self {
            EventTime::MIN | EventTime::MAX => self,
            EventTime(t) => EventTime(t.saturating_sub(micros)),
        }
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EventTime::MIN => f.write_str("-∞"),
            EventTime::MAX => f.write_str("+∞"),
            EventTime(micros) => f.write_str(&rfc3339(micros)),
        }
    }
}

/// The times that RFC 3339 can write, in microseconds since the epoch: the years 0001 to 9999.
pub const RFC3339_MICROS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Why a time cannot be an event time; `None` when it can.
pub fn beyond_event_time(micros: i64) -> Option<String> {
    if RFC3339_MICROS.contains(&micros) {
        return None;
    }
    let (year, ..) = civil_from_days(micros.div_euclid(86_400_000_000));
    Some(format!("the event time is in the year {year}, and years go from 1 to 9999"))
}

/// `micros` since the epoch as RFC 3339 text in UTC with as many fractional digits (0, 3 or 6) as it needs.
///
/// Years outside 0..=9999 are written with a sign and as many digits as needed.
pub fn rfc3339(micros: i64) -> String {
    let days = micros.div_euclid(86_400_000_000);
    let in_day = micros.rem_euclid(86_400_000_000);
    let (year, month, day) = civil_from_days(days);
    let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let year = if (0..=9999).contains(&year) { format!("{year:04}") } else { format!("{year:+05}") };
    let fraction = match fraction {
        0 => String::new(),
        f if f % 1000 == 0 => format!(".{:03}", f / 1000),
        f => format!(".{f:06}"),
    };
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a day number since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Microseconds of the wall clock since 1970-01-01T00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClockTime(pub i64);

impl ClockTime {
    /// This time and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> ClockTime {
        ClockTime(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Where clock time comes from. Nothing but an implementation of this may ask the operating system for the time.
pub trait Clock: Send + Sync {
    /// The time now. Never falls.
    fn now(&self) -> ClockTime;
}

/// A duration as it is written in a topology file: `"250ms"`, `"10s"`, `"1h30m"`, `"7d"`.
///
/// Units: `us`, `ms`, `s`, `m`, `h`, `d` (24 hours), `w`. Never negative; a whole number of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(i64);

impl DurationText {
    /// No time.
    pub const ZERO: DurationText = DurationText(0);

    /// A duration of `micros` microseconds; `None` when it is negative.
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < 0 { None } else { Some(DurationText(micros)) }
    }

    /// In microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// As a [`Duration`].
    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }
}

const DURATION_UNITS: [(&str, i64); 7] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000), ("w", 604_800_000_000)];

impl FromStr for DurationText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| parse_units(text, &DURATION_UNITS);
        parse(text).map(DurationText).ok_or_else(|| match text.strip_prefix('-').is_some_and(|rest| parse(rest).is_some()) {
            true => format!("`{text}` is negative, and no duration is"),
            false => format!("`{text}` is not a duration; write it like \"250ms\", \"10s\" or \"1h30m\""),
        })
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_units(f, self.0, &DURATION_UNITS[..6])
    }
}

/// A size in bytes as it is written in a topology file: `"64MiB"`, `"2GiB"`, `"500kB"`.
///
/// Units: `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) and `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeText(i64);

impl SizeText {
    /// A size of `mib` mebibytes.
    pub const fn mebibytes(mib: u32) -> Self {
        SizeText((mib as i64) << 20)
    }

    /// In bytes.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, i64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

impl FromStr for SizeText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_units(text, &SIZE_UNITS).map(SizeText).ok_or_else(|| format!("`{text}` is not a size; write it like \"64MiB\" or \"2GiB\""))
    }
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = [SIZE_UNITS[0], SIZE_UNITS[2], SIZE_UNITS[4], SIZE_UNITS[6], SIZE_UNITS[8]];
        let (unit, factor) = binary.iter().rev().find(|(_, f)| self.0 >= *f && self.0 % f == 0).unwrap_or(&binary[0]);
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// The sum of `<digits><unit>` parts without anything between them; `None` when it is none or does not fit.
fn parse_units(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (_, factor) = units.iter().find(|(unit, _)| *unit == &after[..letters])?;
        sum = sum.checked_add(number.checked_mul(*factor)?)?;
        rest = &after[letters..];
    }
    Some(sum)
}

fn write_units(f: &mut fmt::Formatter<'_>, mut value: i64, units: &[(&str, i64)]) -> fmt::Result {
    if value == 0 {
        return f.write_str("0s");
    }
    for (unit, factor) in units.iter().rev() {
        if value >= *factor {
            write!(f, "{}{unit}", value / factor)?;
            value %= factor;
        }
    }
    Ok(())
}

macro_rules! text_in_files {
    ($type:ident, $description:literal, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

text_in_files!(DurationText, "A duration: \"250ms\", \"10s\", \"1h30m\", \"7d\".", "^([0-9]+(us|ms|s|m|h|d|w))+$");
text_in_files!(SizeText, "A size: \"64MiB\", \"2GiB\", \"500kB\".", "^([0-9]+(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB))+$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, micros, shown) in
            [("250ms", 250_000, "250ms"), ("1h30m", 5_400_000_000, "1h30m"), ("90m", 5_400_000_000, "1h30m"), ("0s", 0, "0s")]
        {
            let duration: DurationText = text.parse().unwrap();
            assert_eq!(duration.micros(), micros);
            assert_eq!(duration.to_string(), shown);
        }
        for bad in ["", "10", "s", "-1s", "1.5s", "1 s", "1y", "99999999999999w"] {
            assert!(bad.parse::<DurationText>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_and_print() {
        assert_eq!("64MiB".parse::<SizeText>().unwrap().bytes(), 64 << 20);
        assert_eq!("2GiB".parse::<SizeText>().unwrap().to_string(), "2GiB");
        assert_eq!("500kB".parse::<SizeText>().unwrap().bytes(), 500_000);
        assert!("64mb".parse::<SizeText>().is_err());
    }

    #[test]
    fn times_print_as_rfc3339_also_before_1970() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(*RFC3339_MICROS.start()), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(*RFC3339_MICROS.end()), "9999-12-31T23:59:59.999999Z");
        assert_eq!(beyond_event_time(*RFC3339_MICROS.end()), None);
        let reason = beyond_event_time(RFC3339_MICROS.end() + 1);
        assert_eq!(reason.as_deref(), Some("the event time is in the year 10000, and years go from 1 to 9999"));
        assert_eq!(rfc3339(1_357_035_420_500_000), "2013-01-01T10:17:00.500Z");
        assert_eq!(rfc3339(951_782_400_000_000), "2000-02-29T00:00:00Z");
    }

    #[test]
    fn the_ends_of_time_do_not_move() {
        assert_eq!(EventTime::MAX.minus(5), EventTime::MAX);
        assert_eq!(EventTime::MIN.minus(5), EventTime::MIN);
        assert_eq!(EventTime(3).minus(5), EventTime(-2));
    }
}
