//! JSON as Python writes it, read within limits.
//!
//! Files of checkpoints come from Python, whose `json` writes and reads `NaN`, `Infinity` and `-Infinity`,
//! takes numbers beyond the range of f64 for infinite, and editors put a byte-order mark in front. None of
//! this is JSON. Numbers that are not finite come out as texts, so that a key that nobody needs does no harm
//! and one that must hold a number is refused with what it says.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::DeserializeOwned;

/// Values in a configuration file, at most. The largest that are known, which describe every matrix of a
/// mixture of experts, have some 150,000; one takes about 100 bytes of memory.
pub(crate) const MOST_VALUES: usize = 500_000;

/// Bytes of a configuration file, at most.
pub(crate) const MOST_BYTES: u64 = 16 << 20;

/// Reads a text of at most `most_values` values.
///
/// # Errors
/// What is wrong, on one line without a remedy.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], most_values: usize) -> Result<T, String> {
    serde_json::from_slice(&plain(bytes, most_values)?).map_err(|error| error.to_string())
}

/// The text as plain JSON, if it has at most `most_values` values. Memory of what is read from it is bounded
/// by these numbers.
///
/// # Errors
/// What is wrong, on one line without a remedy.
pub(crate) fn plain(bytes: &[u8], most_values: usize) -> Result<Cow<'_, [u8]>, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("UTF-16 text, where UTF-8 is needed".to_string());
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut replaced: Vec<(Range<usize>, &str)> = Vec::new();
    let (mut at, mut values) = (0, 1);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => at = end_of_text(bytes, at),
            b',' | b':' | b'[' | b'{' => {
                values += 1;
                if values > most_values {
                    return Err(format!("more than {most_values} values"));
                }
                at += 1;
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-+._".contains(byte);
                at += bytes[at..].iter().take_while(|byte| word(byte)).count();
                replaced.extend(not_finite(&bytes[start..at]).map(|text| (start..at, text)));
            }
            _ => at += 1,
        }
    }
    if replaced.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut text = Vec::with_capacity(bytes.len() + 8 * replaced.len());
    let mut kept = 0;
    for (range, name) in replaced {
        text.extend_from_slice(&bytes[kept..range.start]);
        text.extend_from_slice(name.as_bytes());
        kept = range.end;
    }
    text.extend_from_slice(&bytes[kept..]);
    Ok(Cow::Owned(text))
}

/// The byte after a text that begins at `start` with its quotation mark.
pub(crate) fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What stands for a word that is a number and not finite.
fn not_finite(word: &[u8]) -> Option<&'static str> {
    let number = || {
        let digits = word.iter().all(|byte| byte.is_ascii_digit() || b"-+.eE".contains(byte));
        std::str::from_utf8(word).ok().filter(|_| digits)?.parse::<f64>().ok()
    };
    match word {
        b"NaN" => Some("\"NaN\""),
        b"Infinity" => Some("\"Infinity\""),
        b"-Infinity" => Some("\"-Infinity\""),
        // Short numbers are finite: no need to look at each.
        _ if word.len() < 5 => None,
        _ => match number()? {
            f64::INFINITY => Some("\"Infinity\""),
            f64::NEG_INFINITY => Some("\"-Infinity\""),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        parse(text.as_bytes(), 100)
    }

    #[test]
    fn numbers_that_are_not_finite_are_texts_and_texts_are_left_alone() {
        let text = r#"{"a": NaN, "b": [Infinity,-Infinity], "c": "NaN \" Infinity, -Infinity", "d": 1e999, "e": -1E+400,
            "f": 1e-999, "NaN": 123456789012345678901234567890, "g": "\\", "h": NaN}"#;
        let expected = json!({
            "a": "NaN", "b": ["Infinity", "-Infinity"], "c": "NaN \" Infinity, -Infinity", "d": "Infinity",
            "e": "-Infinity", "f": 0.0, "NaN": 123456789012345678901234567890.0, "g": "\\", "h": "NaN"
        });
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn other_words_are_no_numbers() {
        for text in [
            "[nan]",
            "[-NaN]",
            "[Infinityx]",
            "[+Infinity]",
            "[infinity]",
            "[1NaN]",
            "[-inf]",
            "[-INFINITY]",
            "NaN NaN",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(read("\u{feff}{\"a\": \"\u{feff}\"}").unwrap(), json!({ "a": "\u{feff}" }));
        assert!(read("{\u{feff}}").is_err());
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(parse::<Value>(&utf16, 100).unwrap_err().contains("UTF-16"));
    }

    #[test]
    fn a_text_of_too_many_values_is_refused_before_it_takes_memory() {
        let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert!(read(&list(99)).is_ok());
        assert!(read(&list(101)).unwrap_err().contains("more than 100 values"));
        assert!(read(&"[".repeat(1000)).unwrap_err().contains("more than 100 values"));
        assert!(read(&format!("[\"{}\"]", ",".repeat(1000))).is_ok());
    }

    #[test]
    fn a_text_that_ends_anywhere_is_an_error() {
        let whole = r#"{"a\"": [NaN, -Infinity, 1e999, "b\\"]}"#;
        assert!(read(whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
    }
}
