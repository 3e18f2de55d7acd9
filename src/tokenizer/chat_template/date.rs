//! The day that a template takes for today, at midnight.

use jiff::civil;
use jiff::fmt::strtime;
use minijinja::{Error as TemplateError, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Directives that mean the same here and in Python's `strftime`.
const DIRECTIVES: &str = "aAbBdeFHImMpSyY%";

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::tokenizer) struct Date {
    year: i16,
    month: i8,
    day: i8,
}

impl Date {
    pub(super) fn new(year: u32, month: u32, day: u32) -> Result<Self> {
        let wrong = || Error::invalid("date", format!("{year}-{month}-{day}"), "a day of the calendar");
        let day = || {
            let date = Self {
                year: year.try_into().ok().filter(|year| *year > 0)?,
                month: month.try_into().ok()?,
                day: day.try_into().ok()?,
            };
            civil::Date::new(date.year, date.month, date.day).ok().map(|_| date)
        };
        day().ok_or_else(wrong)
    }

    /// What Python's `strftime` gives, for the directives that templates use.
    pub(super) fn format(self, format: &str) -> Result<String, TemplateError> {
        let wrong = |problem: String| TemplateError::new(ErrorKind::InvalidOperation, problem);
        let mut characters = format.chars();
        while characters.by_ref().any(|character| character == '%') {
            let mut directive = characters.next();
            // glibc's flag: no zeros in front.
            if directive == Some('-') {
                directive = characters.next();
            }
            if !directive.is_some_and(|directive| DIRECTIVES.contains(directive)) {
                let directive: String = directive.into_iter().collect();
                return Err(wrong(format!("strftime_now does not know %{directive}")));
            }
        }
        let day = civil::Date::new(self.year, self.month, self.day);
        day.and_then(|day| strtime::format(format, day.at(0, 0, 0, 0)))
            .map_err(|error| wrong(format!("strftime_now: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        let date = Date::new(2024, 7, 6).unwrap();
        let all = "%-d.%-m.|%e|%d %b %Y|%d %B %Y|%Y-%m-%d|%F|%a %A|%y|%H:%M:%S|%I %p|100%%";
        let expected =
            "6.7.| 6|06 Jul 2024|06 July 2024|2024-07-06|2024-07-06|Sat Saturday|24|00:00:00|12 AM|100%";
        assert_eq!(date.format(all).unwrap(), expected);
        assert_eq!(Date::new(2000, 2, 29).unwrap().format("%A").unwrap(), "Tuesday");
        assert!(date.format("%Q").is_err() && date.format("%").is_err());
    }

    #[test]
    fn impossible_days_are_errors() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 13, 1), (2024, 0, 1), (2024, 4, 31), (0, 1, 1)]
        {
            assert!(Date::new(year, month, day).is_err(), "{year}-{month}-{day}");
        }
    }
}
