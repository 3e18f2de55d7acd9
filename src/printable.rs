//! Text from outside, made fit to be shown: what a terminal would obey, reorder or hide is written as an
//! escape.
//!
//! Names of models and files, fields of stored results, prompts, answers and messages of servers are data of
//! somebody else. Shown raw they could move the cursor, set the title, hide a part of a line or turn its
//! order around. Tables that are data (CSV, JSON, JSONL) hold the exact text instead.

use std::borrow::Cow;
use std::ops::Range;

/// These bytes of `text` with some text around them.
pub(crate) fn excerpt(text: &str, bytes: Range<usize>) -> &str {
    const AROUND: usize = 40;
    let start = (0..=bytes.start.saturating_sub(AROUND)).rev().find(|&at| text.is_char_boundary(at));
    let end = (bytes.end + AROUND..text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or(0)..end.unwrap_or(text.len())]
}

/// Whether a character is never shown as it is: control characters (C0, DEL, C1), line and paragraph
/// separators, and what Unicode calls default ignorable: marks of direction, zero-width characters, fillers,
/// variation selectors and tags.
///
/// Source: `Default_Ignorable_Code_Point` of Unicode 16, `DerivedCoreProperties.txt`; interlinear annotations
/// stand beside them.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}'
                | '\u{34F}'
                | '\u{61C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{13430}'..='\u{13455}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// `text` on one line, each hidden character as an escape: `\n`, `\u{1b}`, `\u{202e}`.
///
/// ```
/// # use niah::printable::line;
/// assert_eq!(line("a model\u{1b}[2J\n\u{202e}lave"), r"a model\u{1b}[2J\n\u{202e}lave");
/// ```
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// `text` with its line ends; all other hidden characters are escapes.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

/// A page that was drawn here: line ends stay, and so do the escape sequences that set colours when it was
/// drawn in `colours`.
///
/// Texts within it went through [`line()`] before; this is for those that somebody forgets.
#[must_use]
pub fn page(text: &str, colours: bool) -> Cow<'_, str> {
    if !colours || !text.contains('\x1b') {
        return lines(text);
    }
    let mut pieces = text.split('\x1b');
    let mut page = lines(pieces.next().unwrap_or_default()).into_owned();
    for piece in pieces {
        let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
        let sets_colour = piece
            .strip_prefix('[')
            .is_some_and(|rest| rest.trim_start_matches(is_parameter).starts_with('m'));
        page.push_str(if sets_colour { "\x1b" } else { r"\u{1b}" });
        page.push_str(&lines(piece));
    }
    page.into()
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |c: char| is_hidden(c) && !stays(c);
    if !text.contains(is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown.into()
}

/// Characters of a part of a text that is too long to be shown whole, at both of its ends.
const ENDS: usize = 1000;

/// `text` without its middle when it is longer than a screen: a name of a megabyte hides what is said about
/// it.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    let count = text.chars().count();
    if count <= 4 * ENDS {
        return text.into();
    }
    let head: String = text.chars().take(ENDS).collect();
    let tail: String = text.chars().skip(count - ENDS).collect();
    format!("{head} [... {} characters ...] {tail}", count - 2 * ENDS).into()
}

/// Items of a list in a message, at most.
const LISTED: usize = 20;

/// Items joined with commas; of a long list the first ones and how many there are.
#[must_use]
pub fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut items = items.into_iter();
    let first: Vec<String> = items.by_ref().take(LISTED).map(|item| item.to_string()).collect();
    let more = items.count();
    let first = first.join(", ");
    if more == 0 { first } else { format!("{first}, ... ({} in all)", more + LISTED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_reorders_or_hides_becomes_an_escape() {
        let ranges = [
            ('\0', '\x1f'),
            ('\x7f', '\u{9f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2066}', '\u{2069}'),
            ('\u{fe00}', '\u{fe0f}'),
            ('\u{e0000}', '\u{e007f}'),
            ('\u{e0100}', '\u{e01ef}'),
        ];
        let single = ['\u{ad}', '\u{61c}', '\u{feff}', '\u{3164}', '\u{2060}', '\u{180e}', '\u{fff9}'];
        for c in ranges.iter().flat_map(|&(low, high)| low..=high).chain(single) {
            let shown = line(&format!("a{c}b")).into_owned();
            assert!(shown.starts_with("a\\") && !shown.contains(is_hidden), "{:04x}: {shown}", c as u32);
        }
    }

    #[test]
    fn words_of_any_script_stay_as_they_are() {
        for text in ["a b\u{a0}c", "naïve café", "漢字かな", "שלום", "नमस्ते", "🦀", "e\u{301}", "\\ \" '"]
        {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn a_page_keeps_its_line_ends_and_its_own_colours_alone() {
        let page = |text: &str| super::page(text, true).into_owned();
        assert_eq!(page("a\n\x1b[48;5;1;38;5;2mb\x1b[0m\n"), "a\n\x1b[48;5;1;38;5;2mb\x1b[0m\n");
        assert_eq!(page("\x1b]0;t\x07\x1b[2J\x1b[1"), r"\u{1b}]0;t\u{7}\u{1b}[2J\u{1b}[1");
        assert_eq!(super::page("a\n\x1b[1mb", false), "a\n\\u{1b}[1mb");
        assert_eq!(lines("a\tb\r\n"), "a\\tb\\r\n");
    }

    #[test]
    fn long_texts_and_lists_are_cut() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"é".repeat(1 << 20)).into_owned();
        assert!(long.chars().count() < 2100 && long.contains("1046576 characters"), "{long}");
        assert_eq!(listed([1, 2]), "1, 2");
        assert!(listed(0..3000).ends_with("19, ... (3000 in all)"));
    }
}
