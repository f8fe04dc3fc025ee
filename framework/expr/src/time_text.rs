//! `to_char` and `date_format`: times as text.
//!
//! Formatting a time takes some 300 nanoseconds, and in a stream most times are of the same day, minute or second as the one
//! before: the text is made anew only when the part that the format shows has changed.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::DateTime;
use chrono::format::{Fixed, Item, Numeric, StrftimeItems};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TIMEZONE_WILDCARD, TypeSignature,
};
use millstream_api::types::timestamp_type;

use crate::formats::Template;
use crate::physical::failure::RowFailure;

/// The function of this name.
pub(crate) fn time_format(name: &'static str, template: Template) -> Arc<ScalarUDF> {
    let plain = datafusion_functions::datetime::to_char();
    // Microseconds first, of whatever zone: else they would be made nanoseconds, of which there are only 584 years.
    let ours = TypeSignature::Exact(vec![DataType::Timestamp(TimeUnit::Microsecond, Some(TIMEZONE_WILDCARD.into())), DataType::Utf8]);
    let signature = Signature::one_of(vec![ours, plain.signature().type_signature.clone()], plain.signature().volatility);
    let call = match template {
        Template::Postgres => "to_char(time, 'YYYY-MM-DD HH24:MI:SS')",
        Template::Java => "date_format(time, 'yyyy-MM-dd HH:mm:ss')",
    };
    let documentation = Documentation::builder(DocSection::default(), "A time as text.", call).build();
    Arc::new(ScalarUDF::from(TimeFormat { name, template, plain, signature, documentation }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeFormat {
    name: &'static str,
    template: Template,
    /// DataFusion's function, which takes strftime formats.
    plain: Arc<ScalarUDF>,
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for TimeFormat {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let [time, ColumnarValue::Scalar(ScalarValue::Utf8(Some(format)))] = args.args.as_mut_slice() {
            *format = self.template.strftime(format).map_err(DataFusionError::Execution)?;
            if let ColumnarValue::Array(times) = time
                && times.data_type() == &timestamp_type()
                && let Some(unit) = unit_shown(format)
            {
                return Ok(ColumnarValue::Array(texts(times.as_primitive::<TimestampMicrosecondType>(), format, unit)?));
            }
        }
        self.plain.inner().invoke_with_args(args)?.cast_to(&DataType::Utf8View, None)
    }
}

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The longest unit, in microseconds, within which the text stays the same; `None` when the format shows less than a second.
fn unit_shown(format: &str) -> Option<i64> {
    use Numeric::{
        Day, Hour, Hour12, IsoWeek, IsoYear, Minute, Month, NumDaysFromSun, Ordinal, Quarter, Second, WeekFromMon, WeekFromSun,
        WeekdayFromMon, Year, YearMod100,
    };
    let mut units = StrftimeItems::new(format).map(|item| match item {
        Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => Some(DAY),
        Item::Numeric(Year | YearMod100 | IsoYear | Quarter | Month | Day | Ordinal, _) => Some(DAY),
        Item::Numeric(WeekFromSun | WeekFromMon | IsoWeek | NumDaysFromSun | WeekdayFromMon, _) => Some(DAY),
        Item::Fixed(Fixed::ShortMonthName | Fixed::LongMonthName | Fixed::ShortWeekdayName | Fixed::LongWeekdayName) => Some(DAY),
        Item::Numeric(Hour | Hour12 | Minute, _) | Item::Fixed(Fixed::LowerAmPm | Fixed::UpperAmPm) => Some(MINUTE),
        Item::Numeric(Second, _) => Some(SECOND),
        _ => None,
    });
    units.try_fold(DAY, |shortest, unit| Some(shortest.min(unit?)))
}

fn texts(times: &TimestampMicrosecondArray, format: &str, unit: i64) -> Result<ArrayRef> {
    let items: Vec<Item> = StrftimeItems::new(format).collect();
    let mut builder = StringViewBuilder::with_capacity(times.len());
    let mut shown: Option<i64> = None;
    let mut text = String::new();
    for time in times {
        let Some(time) = time else {
            builder.append_null();
            continue;
        };
        let since_1970 = time.div_euclid(unit);
        if shown != Some(since_1970) {
            let moment = DateTime::from_timestamp_micros(time).ok_or_else(|| RowFailure("overflow".to_owned()))?;
            text.clear();
            write!(text, "{}", moment.format_with_items(items.iter())).map_err(|_| RowFailure("overflow".to_owned()))?;
            shown = Some(since_1970);
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_long_as_it_is_right() {
        for (format, unit) in [
            ("%Y-%m-%d", Some(DAY)),
            ("week %V, %A", Some(DAY)),
            ("%H:%M", Some(MINUTE)),
            ("%I:%M %p", Some(MINUTE)),
            ("%Y-%m-%dT%H:%M:%S", Some(SECOND)),
            ("%S.%3f", None),
            ("%s", None),
            ("%Y %Z", None),
        ] {
            assert_eq!(unit_shown(format), unit, "{format}");
        }
    }

    #[test]
    fn times_of_any_year_are_shown() {
        let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![253_402_300_799_000_000]).with_timezone("+00:00"));
        let records = arrow::array::RecordBatch::try_from_iter([("t", column)]).unwrap();
        for text in ["to_char(t, 'YYYY')", "date_format(t, 'yyyy')"] {
            let shown = crate::Scalar::parse(text, &records.schema()).unwrap().bind(&records.schema()).unwrap().evaluate(&records).unwrap();
            assert_eq!((shown.values.as_string_view().value(0), shown.bad.len()), ("9999", 0), "{text}");
        }
    }

    #[test]
    fn texts_change_with_the_time_also_before_1970() {
        let times = TimestampMicrosecondArray::from(vec![Some(-1), Some(0), None, Some(59_999_999), Some(60_000_000), Some(-60_000_001)]);
        let texts = texts(&times, "%d %H:%M", MINUTE).unwrap();
        let shown: Vec<Option<&str>> = texts.as_string_view().iter().collect();
        assert_eq!(shown, [Some("31 23:59"), Some("01 00:00"), None, Some("01 00:00"), Some("01 00:01"), Some("31 23:58")]);
    }
}
