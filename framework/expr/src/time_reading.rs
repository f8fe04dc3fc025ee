//! `to_timestamp(text, format)` and `to_date(text, format)`: texts as times.
//!
//! DataFusion's go through nanoseconds, of which there are only 584 years, and take midnight where they do not understand the time
//! of day. Here what a format does not ask for is its least (`yyyy-MM` is the first of a month, `HH` the full hour), and what
//! cannot be told from it (`hh` without `a`) is refused with the expression.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{ArrayRef, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use chrono::format::{ParseErrorKind, ParseResult, Parsed, StrftimeItems, parse};
use chrono::{DateTime, TimeDelta};
use datafusion_common::{Result, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use millstream_api::types::{UTC, timestamp_type};

use crate::formats::Template;
use crate::physical::failure::RowFailure;
use crate::texts::{Texts, computed};

/// The function of this name that reads by formats, if there is one.
pub(crate) fn reading_by_format(name: &str) -> Option<ScalarUDF> {
    let (name, result) = match name {
        "to_timestamp" => ("to_timestamp", timestamp_type()),
        "to_date" => ("to_date", DataType::Date32),
        _ => return None,
    };
    Some(ScalarUDF::from(TimeReading { name, result, signature: Signature::user_defined(Volatility::Immutable) }))
}

/// What is wrong with a format, if it is.
pub(crate) fn wrong_format(format: &str) -> Option<String> {
    let strftime = match Template::Java.reading(format) {
        Ok(strftime) => strftime,
        Err(wrong) => return Some(wrong),
    };
    // An offset of any form can be read only, and is written in one of them.
    let written = strftime.replace("%#z", "%z");
    let mut sample = String::new();
    if write!(sample, "{}", DateTime::from_timestamp(1_357_095_845, 0)?.format(&written)).is_err() {
        return Some(format!("`{format}` is not a time format"));
    }
    let is_enough = !micros(&sample, &strftime).is_err_and(|error| error.kind() == ParseErrorKind::NotEnough);
    (!is_enough).then(|| format!("`{format}` does not say which time is meant"))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeReading {
    name: &'static str,
    result: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for TimeReading {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_text = |found: &DataType| found.is_string() || found.is_null();
        if given.len() < 2 || !given.iter().all(is_text) {
            return plan_err!("`{}` reads texts by formats", self.name);
        }
        Ok(vec![DataType::Utf8View; given.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some((texts, formats)) = args.args.split_first() else { return plan_err!("`{}` reads a text", self.name) };
        let texts = Texts::of(texts)?;
        let mut formats = formats.iter().map(Formats::new).collect::<Result<Vec<Formats>>>()?;
        let mut time = |row: usize| texts.at(row).map_or(Ok(None), |text| read(text, &mut formats, row));
        computed(&args, |rows| Ok(self.values((0..rows).map(&mut time).collect::<Result<_>>()?)))
    }
}

impl TimeReading {
    fn values(&self, times: Vec<Option<i64>>) -> ArrayRef {
        const DAY: i64 = 86_400_000_000;
        match self.result {
            DataType::Date32 => Arc::new(times.iter().map(|time| time.map(|time| time.div_euclid(DAY) as i32)).collect::<Date32Array>()),
            _ => Arc::new(TimestampMicrosecondArray::from(times).with_timezone(UTC)),
        }
    }
}

/// One argument that is a format: the same for all rows, or each row's own.
struct Formats {
    texts: Texts,
    /// The last one, and what it means to chrono.
    last: Option<(String, String)>,
}

impl Formats {
    fn new(argument: &ColumnarValue) -> Result<Formats> {
        Ok(Formats { texts: Texts::of(argument)?, last: None })
    }

    /// The format of a row as it is written, and as strftime's; `None`: it is null.
    fn of(&mut self, row: usize) -> Result<Option<&(String, String)>> {
        let Some(format) = self.texts.at(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(last, _)| last != format) {
            self.last = Some((format.to_owned(), Template::Java.reading(format).map_err(RowFailure)?));
        }
        Ok(self.last.as_ref())
    }
}

/// The microseconds of a text by the first format that fits; `None`: there is no format.
fn read(text: &str, formats: &mut [Formats], row: usize) -> Result<Option<i64>> {
    let mut unfit = None;
    for format in formats {
        let Some((format, strftime)) = format.of(row)? else { continue };
        if let Ok(time) = micros(text, strftime) {
            return Ok(Some(time));
        }
        unfit.get_or_insert_with(|| format.clone());
    }
    match unfit {
        Some(format) => Err(RowFailure(format!("cannot read {text:?} by the format `{format}`")).into()),
        None => Ok(None),
    }
}

fn micros(text: &str, strftime: &str) -> ParseResult<i64> {
    let (text, strftime, zone) = match zone_at_end(text, strftime) {
        Some((text, strftime, zone)) => (text, strftime, Some(zone)),
        None => (text, strftime, None),
    };
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, StrftimeItems::new(strftime))?;
    complete(&mut parsed)?;
    let moment = match zone {
        Some(zone) => parsed.to_datetime_with_timezone(&zone)?.timestamp_micros(),
        None => {
            let offset_seconds = parsed.offset().unwrap_or(0);
            let local = parsed.to_naive_datetime_with_offset(offset_seconds)?;
            (local - TimeDelta::seconds(i64::from(offset_seconds))).and_utc().timestamp_micros()
        }
    };
    Ok(moment)
}

/// The name of a zone at the end, which chrono does not read.
fn zone_at_end<'t>(text: &'t str, strftime: &'t str) -> Option<(&'t str, &'t str, Tz)> {
    let strftime = strftime.trim_end().strip_suffix(" %Z")?;
    let (text, zone) = text.trim_end().rsplit_once(' ')?;
    Some((text, strftime, zone.parse().ok()?))
}

/// What was not asked for is the least: the first month, day, minute.
fn complete(parsed: &mut Parsed) -> ParseResult<()> {
    if parsed.timestamp().is_some() {
        return Ok(());
    }
    let in_year = [parsed.month(), parsed.ordinal(), parsed.isoweek(), parsed.week_from_sun(), parsed.week_from_mon()];
    if in_year.iter().all(Option::is_none) && parsed.day().is_none() {
        parsed.set_month(1)?;
    }
    if parsed.month().is_some() && parsed.day().is_none() {
        parsed.set_day(1)?;
    }
    let no_time = parsed.hour_mod_12().is_none() && parsed.hour_div_12().is_none() && parsed.second().is_none();
    if no_time && parsed.minute().is_none() && parsed.nanosecond().is_none() {
        parsed.set_hour(0)?;
    }
    if parsed.minute().is_none() {
        parsed.set_minute(0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, format: &str) -> Option<String> {
        let time = micros(text, &Template::Java.reading(format).unwrap()).ok()?;
        Some(DateTime::from_timestamp_micros(time)?.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
    }

    #[test]
    fn what_a_format_does_not_ask_for_is_its_least() {
        for (text, format, wanted) in [
            ("2013-01-02", "yyyy-MM-dd", "2013-01-02T00:00:00"),
            ("2013-02", "yyyy-MM", "2013-02-01T00:00:00"),
            ("2013", "yyyy", "2013-01-01T00:00:00"),
            ("2013-01-02 03", "yyyy-MM-dd HH", "2013-01-02T03:00:00"),
            ("2013-01-02 03:04", "yyyy-MM-dd HH:mm", "2013-01-02T03:04:00"),
            ("02 Jan 2013 12 AM", "dd MMM yyyy hh a", "2013-01-02T00:00:00"),
            ("2013-033", "yyyy-DDD", "2013-02-02T00:00:00"),
            ("1357095845", "%s", "2013-01-02T03:04:05"),
        ] {
            assert_eq!(found(text, format).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn times_of_any_year_and_zone_are_read() {
        for (text, format, wanted) in [
            ("9999-12-31 23:59:59", "yyyy-MM-dd HH:mm:ss", "9999-12-31T23:59:59"),
            ("0001-01-01", "yyyy-MM-dd", "0001-01-01T00:00:00"),
            ("2013-01-02T03:04:05+02:00", "yyyy-MM-dd'T'HH:mm:ssXXX", "2013-01-02T01:04:05"),
            ("2013-01-02T03:04:05Z", "yyyy-MM-dd'T'HH:mm:ssXXX", "2013-01-02T03:04:05"),
            ("2013-01-02 03:04 -0130", "yyyy-MM-dd HH:mm Z", "2013-01-02T04:34:00"),
            ("2013-07-02 03:04 Europe/Berlin", "%Y-%m-%d %H:%M %Z", "2013-07-02T01:04:00"),
        ] {
            assert_eq!(found(text, format).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_read() {
        for (text, format) in [
            ("2013-01-02 3 o'clock", "yyyy-MM-dd HH"),
            ("2013-02-30", "yyyy-MM-dd"),
            ("2013-01-02 24:00", "yyyy-MM-dd HH:mm"),
            ("2013-01-02 03:04", "yyyy-MM-dd"),
            ("2013-03-31 02:30 Europe/Berlin", "%Y-%m-%d %H:%M %Z"),
        ] {
            assert_eq!(found(text, format), None, "{text}");
        }
    }

    #[test]
    fn a_format_that_leaves_the_time_open_is_wrong() {
        for format in ["yyyy-MM-dd hh:mm", "HH:mm", "yyyy-MM-dd mm", "dd.MM."] {
            assert_eq!(wrong_format(format), Some(format!("`{format}` does not say which time is meant")));
        }
        for format in ["yyyy-MM-dd HH:mmXXX", "%Y-%m-%d%#z", "yyyy Z", "yyyy-MM-Zd *H:mm:ss"] {
            assert_eq!(wrong_format(format), None, "{format}");
        }
        assert!(wrong_format("HH:mmXXX").is_some_and(|wrong| wrong.ends_with("does not say which time is meant")));
        for format in ["yyyy", "yyyy-MM-dd HH", "yyyy-DDD", "dd MMM yyyy hh:mm a", "%G-W%V-%u", "%s", "%+", "%Y-%m-%d %H:%M %Z"] {
            assert_eq!(wrong_format(format), None, "{format}");
        }
    }
}
