//! Event times in JSON: RFC 3339 text, null before everything, `"end"` after everything.

use millstream_api::EventTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An event time that is text in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub EventTime);

const END: &str = "end";

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            EventTime::MIN => serializer.serialize_none(),
            EventTime::MAX => serializer.serialize_str(END),
            time => serializer.collect_str(&time),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(Moment(EventTime::MIN)) };
        if text == END {
            return Ok(Moment(EventTime::MAX));
        }
        let time = micros(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time")))?;
        Ok(Moment(EventTime(time)))
    }
}

/// What [`millstream_api::time::rfc3339`] has written.
fn micros(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.rsplitn(3, '-');
    let (day, month, year) = (number(date.next()?)?, number(date.next()?)?, number(date.next()?)?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':');
    let (hour, minute, second) = (number(clock.next()?)?, number(clock.next()?)?, number(clock.next()?)?);
    let fraction: i128 = number(&format!("0{fraction:0<6}"))?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    i64::try_from(seconds * 1_000_000 + fraction).ok()
}

fn number(text: &str) -> Option<i128> {
    text.parse::<i64>().ok().map(i128::from)
}

/// The day number since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(time: EventTime) -> EventTime {
        let text = serde_json::to_string(&Moment(time)).unwrap();
        serde_json::from_str::<Moment>(&text).unwrap().0
    }

    #[test]
    fn the_ends_of_time_have_names() {
        assert_eq!(serde_json::to_string(&[Moment(EventTime::MIN), Moment(EventTime::MAX)]).unwrap(), "[null,\"end\"]");
        assert_eq!(serde_json::to_string(&Moment(EventTime(0))).unwrap(), "\"1970-01-01T00:00:00Z\"");
    }

    #[test]
    fn every_time_comes_back() {
        // Steps of a prime number of microseconds through all of time, and its ends.
        let mut time = i64::MIN;
        while let Some(next) = time.checked_add(91_552_734_375_000_001) {
            assert_eq!(there_and_back(EventTime(time)), EventTime(time));
            time = next;
        }
        for time in [i64::MIN + 1, -1, 0, 1, 951_782_400_000_000, i64::MAX - 1, i64::MAX] {
            assert_eq!(there_and_back(EventTime(time)), EventTime(time));
        }
        for bad in ["\"noon\"", "\"2013-01-01\"", "\"2013-01-01T00:00Z\"", "\"T:Z\"", "7"] {
            assert!(serde_json::from_str::<Moment>(bad).is_err(), "{bad}");
        }
    }
}
