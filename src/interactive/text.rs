//! Pieces of a screen's text.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::export::style::Style;

/// `text` in bold letters.
pub(super) fn bold(text: &str) -> String {
    format!("\x1b[1m{text}\x1b[0m")
}

/// `text` in faint letters.
pub(super) fn faint(text: &str) -> String {
    format!("\x1b[2m{text}\x1b[0m")
}

/// `text` with its colour and that behind it exchanged.
pub(super) fn reversed(text: &str) -> String {
    format!("\x1b[7m{text}\x1b[0m")
}

/// `text` in bold letters with a line under them.
pub(super) fn marked(text: &str) -> String {
    format!("\x1b[1;4m{text}\x1b[0m")
}

/// `text` in a line of `width` columns: what is too long is cut off, which shows, and what is too short is
/// filled with spaces.
pub(super) fn fitted(text: &str, width: usize, style: &Style) -> String {
    let mut cut = text.to_string();
    if text.width() > width {
        let end = style.pick("\u{2026}", "~");
        cut = String::new();
        let mut used = end.width();
        for c in text.chars() {
            used += c.width().unwrap_or(0);
            if used > width {
                break;
            }
            cut.push(c);
        }
        cut.push_str(if width > 0 { end } else { "" });
    }
    let missing = width.saturating_sub(cut.width());
    cut + &" ".repeat(missing)
}

/// The lines of `text` in `width` columns: broken at its line ends, and at spaces where there are any.
pub(super) fn broken(text: &str, width: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let (mut start, mut used, mut space) = (0, 0, None);
    for (at, c) in text.char_indices() {
        if c == '\n' {
            lines.push(start..at);
            (start, used, space) = (at + 1, 0, None);
            continue;
        }
        let wide = c.width().unwrap_or(0);
        if used + wide > width && at > start {
            let end = if c == ' ' { at } else { space.filter(|&space| space > start).unwrap_or(at) };
            lines.push(start..end);
            start = if text[end..].starts_with(' ') { end + 1 } else { end };
            used = text.get(start..at).map_or(0, UnicodeWidthStr::width);
            space = None;
        }
        if c == ' ' {
            space = Some(at);
        }
        used += if at < start { 0 } else { wide };
    }
    lines.push(start..text.len());
    lines
}

/// A text from outside, with its line ends, as the terminal can show it.
pub(super) fn cleaned(text: &str, style: &Style) -> String {
    text.lines().map(|line| style.clean(line)).collect::<Vec<_>>().join("\n")
}

/// A `line` of `text` in which `mark`, a part of the text, stands out.
pub(super) fn with_mark(text: &str, line: Range<usize>, mark: Option<&Range<usize>>) -> String {
    let Some(mark) = mark else { return text[line].to_string() };
    let (from, to) = (mark.start.clamp(line.start, line.end), mark.end.clamp(line.start, line.end));
    if from == to {
        return text[line].to_string();
    }
    format!("{}{}{}", &text[line.start..from], marked(&text[from..to]), &text[to..line.end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, width: usize) -> Vec<&str> {
        broken(text, width).into_iter().map(|line| &text[line]).collect()
    }

    #[test]
    fn lines_break_at_line_ends_and_spaces_and_within_what_is_too_long() {
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("one two three", 6), ["one", "two", "three"]);
        assert_eq!(lines("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(lines("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(lines("", 9), [""]);
        assert_eq!(lines("日本語", 4), ["日本", "語"]);
        assert_eq!(lines("語", 1), ["語"], "what has no room at all stands alone");
    }

    #[test]
    fn what_is_too_long_for_a_line_shows_that_it_is_cut_off() {
        let style = Style::plain(80);
        assert_eq!(fitted("abc", 5, &style), "abc  ");
        assert_eq!(fitted("abcdef", 5, &style), "abcd~");
        assert_eq!(fitted("日本語", 5, &style), "日本~");
        assert_eq!(fitted("abc", 0, &style), "");
    }

    #[test]
    fn a_mark_is_on_every_line_that_it_reaches() {
        assert_eq!(with_mark("say 7 now", 0..9, Some(&(4..5))), "say \x1b[1;4m7\x1b[0m now");
        assert_eq!(with_mark("ab cd", 3..5, Some(&(1..4))), "\x1b[1;4mc\x1b[0md");
        assert_eq!(with_mark("ab cd", 0..2, Some(&(3..4))), "ab");
    }
}
