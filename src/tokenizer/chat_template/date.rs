//! The day that a template takes for today, at midnight.

use minijinja::{Error as TemplateError, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::tokenizer) struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    pub(super) fn new(year: u32, month: u32, day: u32) -> Result<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=days).contains(&day) {
            return Err(Error::invalid("date", format!("{year}-{month}-{day}"), "a day of the calendar"));
        }
        Ok(Self { year, month, day })
    }

    /// What Python's `strftime` gives, for the directives that templates use.
    pub(super) fn format(self, format: &str) -> Result<String, TemplateError> {
        let Self { year, month, day } = self;
        let month_name = MONTHS[month as usize - 1];
        let weekday = WEEKDAYS[self.weekday()];
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            let mut directive = characters.next();
            // glibc's flag: no zeros in front.
            let bare = directive == Some('-');
            if bare {
                directive = characters.next();
            }
            match directive {
                Some('d' | 'e') if bare => text += &day.to_string(),
                Some('m') if bare => text += &month.to_string(),
                Some('y') if bare => text += &(year % 100).to_string(),
                Some('H' | 'M' | 'S') if bare => text.push('0'),
                Some('e') => text += &format!("{day:2}"),
                Some('d') => text += &format!("{day:02}"),
                Some('m') => text += &format!("{month:02}"),
                Some('y') => text += &format!("{:02}", year % 100),
                Some('Y') => text += &format!("{year:04}"),
                Some('F') => text += &format!("{year:04}-{month:02}-{day:02}"),
                Some('b') => text += &month_name[..3],
                Some('B') => text += month_name,
                Some('a') => text += &weekday[..3],
                Some('A') => text += weekday,
                Some('H' | 'M' | 'S') => text += "00",
                Some('I') => text += "12",
                Some('p') => text += "AM",
                Some('%') => text.push('%'),
                other => {
                    let directive: String = other.into_iter().collect();
                    return Err(TemplateError::new(
                        ErrorKind::InvalidOperation,
                        format!("strftime_now does not know %{directive}"),
                    ));
                }
            }
        }
        Ok(text)
    }

    /// Days since a Sunday, modulo 7 (Sakamoto's rule: January and February count to the year before).
    fn weekday(self) -> usize {
        const SHIFTS: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = if self.month < 3 { self.year - 1 } else { self.year };
        let days = year + year / 4 - year / 100 + year / 400 + SHIFTS[self.month as usize - 1] + self.day;
        days as usize % 7
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
