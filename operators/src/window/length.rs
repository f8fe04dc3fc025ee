//! Lengths of windows: durations that remember whether they were written in days.

use std::borrow::Cow;

use millstream_api::time::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

const DAY: i64 = 86_400_000_000;

/// A duration that says whether it is days of a calendar, where there is one: `"1d"` and `"2w"` are, `"24h"` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// As a duration, with days of 24 hours.
    pub(super) duration: DurationText,
    /// Whether every unit of it is `d` or `w`.
    in_days: bool,
}

impl Length {
    /// In microseconds, with days of 24 hours.
    pub(super) fn micros(self) -> i64 {
        self.duration.micros()
    }

    /// How many days, if it was written in days.
    pub(super) fn days(self) -> Option<i64> {
        self.in_days.then(|| self.micros() / DAY)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = text.parse().map_err(serde::de::Error::custom)?;
        let in_days = text.chars().filter(char::is_ascii_alphabetic).all(|unit| unit == 'd' || unit == 'w');
        Ok(Length { duration, in_days })
    }
}

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        DurationText::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        DurationText::json_schema(generator)
    }
}
