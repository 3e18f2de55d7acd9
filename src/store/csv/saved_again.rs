//! Tables that another program has read and saved again.
//!
//! What such a program does without loss is undone: a byte order mark, other line ends and quotes, columns in
//! another order, a column of row numbers, `12.0` for 12, `True` for true, `NaN` for a missing value, empty
//! rows at the end. What it may have lost is refused with a message that says what has changed. Digits that a
//! program cut off without another trace are not seen.

use std::borrow::Cow;

use crate::printable::listed;

/// Where the columns of a table stand in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout(Vec<Option<usize>>);

impl Layout {
    /// The place of every one of `columns` in a file with this header, which may lack those of `added`.
    pub(super) fn of(columns: &[&str], added: &[&str], header: &[&str]) -> Result<Self, String> {
        let header: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
        if let Some(separator) = other_separator(&header) {
            return Err(format!(
                "fields are separated by {separator} instead of commas; save the table with commas"
            ));
        }
        let place = |name: &str| header.iter().position(|found| *found == name);
        let count = |name: &str| header.iter().filter(|found| **found == name).count();
        let missing = columns.iter().filter(|name| place(name).is_none() && !added.contains(name));
        let unknown = header.iter().filter(|name| !columns.contains(name) && !is_row_number(name));
        let twice = columns.iter().filter(|name| count(name) > 1);
        let named =
            |what: &str, names: Vec<&str>| (!names.is_empty()).then(|| format!("{what} {}", listed(names)));
        let wrong = [
            named("missing", missing.copied().collect()),
            named("unknown", unknown.copied().collect()),
            named("twice", twice.copied().collect()),
        ];
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        if wrong.is_empty() {
            Ok(Self(columns.iter().map(|name| place(name)).collect()))
        } else {
            Err(wrong.join("; "))
        }
    }

    /// The place of every one of `columns` in a file of any version, which has those that are `needed`,
    /// whatever else it lacks or has.
    pub(super) fn of_any(columns: &[&str], needed: &[&str], header: &[&str]) -> Result<Self, String> {
        let plain = |name: &str| name.trim_start_matches('\u{feff}').to_string();
        let known: Vec<String> = header.iter().map(|name| plain(name)).collect();
        let known: Vec<&str> = known
            .iter()
            .map(|name| if columns.contains(&name.as_str()) { name.as_str() } else { "" })
            .collect();
        let added: Vec<&str> = columns.iter().filter(|name| !needed.contains(name)).copied().collect();
        match other_separator(header) {
            Some(_) => Self::of(columns, &added, header),
            None => Self::of(columns, &added, &known),
        }
    }

    /// The fields of a record in the order of the columns.
    pub(super) fn fields<'a>(&self, record: &[&'a str]) -> Vec<&'a str> {
        let field = |place: &Option<usize>| record.get((*place)?).copied();
        self.0.iter().map(|place| field(place).unwrap_or_default()).collect()
    }
}

/// The separator of a header that is one field for commas.
fn other_separator(header: &[&str]) -> Option<&'static str> {
    let [whole] = header else { return None };
    [(';', "semicolons"), ('\t', "tabs")]
        .into_iter()
        .find(|(character, _)| whole.contains(*character))
        .map(|(_, name)| name)
}

/// Whether a column holds the numbers of the rows, as pandas writes them.
fn is_row_number(name: &str) -> bool {
    name.is_empty()
        || name
            .strip_prefix("Unnamed: ")
            .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A field that is no text, as this program writes it: words for a missing value are empty, truth values are
/// lower case.
pub(super) fn plain(field: &str) -> Cow<'_, str> {
    match field.trim() {
        "NaN" | "nan" | "NA" | "N/A" | "#N/A" | "<NA>" | "NULL" | "null" | "None" => Cow::Borrowed(""),
        truth if truth.eq_ignore_ascii_case("true") || truth.eq_ignore_ascii_case("false") => {
            Cow::Owned(truth.to_ascii_lowercase())
        }
        trimmed => Cow::Borrowed(trimmed),
    }
}

/// `12` of `12.0`: what programs without missing whole numbers make of a whole number. `None` where that is
/// not all that has changed.
pub(super) fn whole(field: &str) -> Option<&str> {
    /// Digits that a double holds exactly.
    const DIGITS: usize = 15;
    let (digits, rest) = field.split_once('.')?;
    let number =
        !digits.is_empty() && digits.len() <= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    (number && rest == "0").then_some(digits)
}

/// What is wrong with a key `length:depth:trial`, which spreadsheets take for a time of day.
pub(super) fn key_problem(row_id: &str) -> Option<String> {
    let parts: Vec<&str> = row_id.split(':').collect();
    let whole = |text: &str| text.parse::<usize>().is_ok_and(|number| number.to_string() == text);
    let depth = |text: &str| text.parse::<f64>().is_ok_and(|number| number.to_string() == text);
    match parts.as_slice() {
        [length, percent, trial] if whole(length) && depth(percent) && whole(trial) => None,
        _ => Some(format!(
            "row_id is {row_id:?}, no length:depth:trial; a spreadsheet takes it for a time: restore the \
             table, or import it as text"
        )),
    }
}

/// What is wrong with a number that was text, as an answer with many digits is: the text that holds it has
/// about the same number in other digits.
pub(super) fn digits_problem(column: &str, found: &str, expected_in: &str) -> Option<String> {
    /// Spreadsheets keep at least so many digits.
    const CLOSE: f64 = 1e-4;
    let digits = expected_in.split(|c: char| !c.is_ascii_digit());
    let there: Vec<f64> = digits.filter_map(|digits| digits.parse().ok()).collect();
    let number = |part: &str| part.parse::<f64>().ok().filter(|_| !expected_in.contains(part));
    let numbers: Option<Vec<f64>> = found.split('|').map(number).collect();
    let is_there = |number: &f64| there.iter().any(|own| (own - number).abs() <= CLOSE * own.abs());
    let lost = numbers.is_some_and(|numbers| numbers.iter().any(is_there));
    lost.then(|| {
        format!(
            "{column} is {found:?}, which is not in {expected_in:?}: its digits were changed; restore \
                 the table, or import it as text"
        )
    })
}

/// Whether a number was rounded to a fixed number of digits, as `0.500` and `1.2E-05` were: this program
/// writes as many digits as it takes.
pub(super) fn is_rounded(field: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fixed = |number: &str| {
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        is_digits(whole) && is_digits(decimals) && decimals.len() > 1 && decimals.ends_with('0')
    };
    let number = field.strip_prefix('-').unwrap_or(field);
    fixed(number) || number.split_once('E').is_some_and(|(digits, _)| digits.parse::<f64>().is_ok())
}

/// What is wrong with how a file is encoded, from its first bytes.
pub(super) fn encoding_problem(start: &[u8]) -> Option<&'static str> {
    let line_end = start.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let returns = || {
        line_end.is_some_and(|end| start[end] == b'\r' && !matches!(start.get(end + 1), Some(b'\n') | None))
    };
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16; save it as UTF-8"),
        _ if returns() => Some("ends its lines with carriage returns alone; save it with line feeds"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["run_id", "n", "text"];

    #[test]
    fn columns_are_found_in_any_order_and_row_numbers_are_passed_over() {
        let layout = |header: &[&str]| Layout::of(COLUMNS, &[], header);
        assert_eq!(layout(&["run_id", "n", "text"]), Ok(Layout(vec![Some(0), Some(1), Some(2)])));
        let shuffled = layout(&["\u{feff}", "text", "Unnamed: 0", "n", "run_id"]).unwrap();
        assert_eq!(shuffled.fields(&["7", "words", "8", "1", "a"]), ["a", "1", "words"]);
        for (header, problem) in [
            (&["run_id", "text"][..], "missing n"),
            (&["n", "text"], "missing run_id"),
            (&["run_id", "n", "text", "note"], "unknown note"),
            (&["run_id", "n", "text", "n"], "twice n"),
            (&["run_id;n;text"], "separated by semicolons instead of commas"),
            (&["run_id\tn\ttext"], "separated by tabs instead of commas"),
        ] {
            let error = layout(header).unwrap_err();
            assert!(error.contains(problem), "{problem} in {error}");
        }
    }

    #[test]
    fn columns_that_were_added_later_may_be_missing_and_no_others() {
        let layout = |header: &[&str]| Layout::of(COLUMNS, &["n"], header);
        assert_eq!(layout(&["text", "run_id"]).unwrap().fields(&["words", "a"]), ["a", "", "words"]);
        assert_eq!(
            layout(&["n", "run_id", "text"]).unwrap().fields(&["1", "a", "words"]),
            ["a", "1", "words"]
        );
        assert_eq!(layout(&["n", "run_id"]).unwrap_err(), "missing text");
    }

    #[test]
    fn whole_numbers_truth_values_and_missing_ones_are_read_as_others_write_them() {
        assert_eq!((whole("12.0"), whole("0.0")), (Some("12"), Some("0")));
        for changed in ["12", "12.5", "12.00", "-1.0", "1e3", "1,024", "1234567890123456.0", ".0"] {
            assert_eq!(whole(changed), None, "{changed}");
        }
        assert_eq!(
            (plain("TRUE"), plain("False"), plain(" 0.5 ")),
            ("true".into(), "false".into(), "0.5".into())
        );
        assert_eq!((plain("NaN"), plain("#N/A"), plain("")), ("".into(), "".into(), "".into()));
    }

    #[test]
    fn other_encodings_are_told() {
        assert_eq!(encoding_problem(b"run_id,n\r\n1,2\r\n"), None);
        assert_eq!(encoding_problem(b"run_"), None, "torn by a crash");
        assert!(encoding_problem(b"\xff\xfer\0").unwrap().contains("UTF-16"));
        assert!(encoding_problem(b"run_id,n\r1,\"a\nb\"\r").unwrap().contains("carriage returns"));
    }

    #[test]
    fn numbers_that_were_rounded_show_it() {
        for rounded in ["0.500", "-12.50", "1.00", "1.2E-05", "-1E+10"] {
            assert!(is_rounded(rounded), "{rounded}");
        }
        for whole in ["0.5", "1.0", "10", "-0.0", "1e-300", "0.05", "100.0", "", "E", "12.25"] {
            assert!(!is_rounded(whole), "{whole}");
        }
    }

    #[test]
    fn keys_that_became_times_and_answers_that_became_numbers_are_told() {
        for key in ["1024:0:0", "200:12.5:11", "1048576:100:3"] {
            assert_eq!(key_problem(key), None, "{key}");
        }
        for key in ["1024:50:00", "01:40:01", "200:100", "0.7", "", "200:50.0:1"] {
            assert!(key_problem(key).unwrap().contains("takes it for a time"), "{key}");
        }
        let needle = "The number is 0123456.";
        assert_eq!(digits_problem("expected_answer", "0123456", needle), None);
        assert_eq!(digits_problem("expected_answer", "seven", needle), None);
        assert_eq!(digits_problem("expected_answer", "4711", needle), None, "of another part of the text");
        for changed in ["1.23456E+05", "123457", "0123457|9"] {
            assert!(digits_problem("expected_answer", changed, needle).is_some(), "{changed}");
        }
    }
}
