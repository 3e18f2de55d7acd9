//! Texts in a line: line ends are written as escapes, so that a row of a table is a line of its file.
//!
//! A line feed becomes `\n`, a carriage return `\r`, and a backslash `\\`. Read again, a backslash before
//! anything else stands for itself.

use std::borrow::Cow;

/// The text without a line end in it.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r', '\\']) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\\' => line.push_str("\\\\"),
            other => line.push(other),
        }
    }
    Cow::Owned(line)
}

/// The text that [`escaped`] made a line of.
#[must_use]
pub fn unescaped(line: &str) -> Cow<'_, str> {
    if !line.contains('\\') {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let (meant, behind) = match (c, rest.as_str().chars().next()) {
            ('\\', Some('n')) => ('\n', true),
            ('\\', Some('r')) => ('\r', true),
            ('\\', Some('\\')) => ('\\', true),
            (other, _) => (other, false),
        };
        text.push(meant);
        if behind {
            rest.next();
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_ends_and_backslashes_become_escapes() {
        assert_eq!(escaped("a\nb\r\n\\n"), "a\\nb\\r\\n\\\\n");
        assert_eq!(unescaped("a\\nb\\r\\n\\\\n"), "a\nb\r\n\\n");
        assert!(matches!(escaped("as it is, \"quoted\"\t"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_backslash_before_anything_else_stands_for_itself() {
        assert_eq!(unescaped("C:\\dir\\"), "C:\\dir\\");
        assert_eq!(unescaped("\\\\\\t"), "\\\\t");
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_its_line_is_one(text in "[\\\\nr\n\r\"a]{0,12}") {
            let line = escaped(&text);
            prop_assert!(!line.contains(['\n', '\r']));
            prop_assert_eq!(unescaped(&line), text.as_str());
        }
    }
}
