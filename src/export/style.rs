//! What the terminal can show: colours, characters, width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::palette::{Palette, RAG, Rgb, xterm_color};
use crate::printable;

/// The colours a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMode {
    /// None: no escape sequence is written.
    None,
    /// The 256 colours of xterm.
    Ansi256,
    /// 24 bits.
    Truecolor,
}

/// The characters a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// Any; drawings use single-width ones.
    Unicode,
    /// ASCII only.
    Ascii,
}

/// What the user asked for with `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// As the terminal and the environment say.
    #[default]
    Auto,
    /// Even into a file.
    Always,
    /// Not at all.
    Never,
}

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colours to use.
    pub color: ColorMode,
    /// Characters to use.
    pub charset: Charset,
    /// Colours of heatmaps.
    pub palette: Palette,
    /// Columns of the terminal. No line of a heatmap or of a shaded prompt is wider; widths below 20 count as
    /// 20, above 65535 as that.
    pub width: usize,
    /// Whether tables of text as CSV mark what a spreadsheet would take for a formula with a single quote.
    pub csv_safe: bool,
}

/// The narrowest width that is drawn for.
const MIN_WIDTH: usize = 20;
/// The widest: more fits on no screen.
const MAX_WIDTH: usize = u16::MAX as usize;

impl Style {
    /// ASCII without colours.
    #[must_use]
    pub fn plain(width: usize) -> Self {
        Self { color: ColorMode::None, charset: Charset::Ascii, palette: RAG, width, csv_safe: false }
    }

    /// Any character, without colours, for text that goes into a file.
    pub(super) fn unicode() -> Self {
        Self { charset: Charset::Unicode, ..Self::plain(MAX_WIDTH) }
    }

    /// The usable width.
    pub(super) fn columns(&self) -> usize {
        self.width.clamp(MIN_WIDTH, MAX_WIDTH)
    }

    /// `unicode`, or `ascii` where only that can be shown.
    pub(crate) fn pick<T>(&self, unicode: T, ascii: T) -> T {
        match self.charset {
            Charset::Unicode => unicode,
            Charset::Ascii => ascii,
        }
    }

    /// `text` on a background, in the text colour that can be read there; unchanged without colours.
    pub(crate) fn on(&self, background: Rgb, text: &str) -> String {
        match self.color {
            ColorMode::None => text.to_string(),
            _ => format!("\x1b[{}m{text}\x1b[0m", self.background(background)),
        }
    }

    /// The parameters of the escape sequence for a background and its text colour; empty without colours.
    pub(super) fn background(&self, color: Rgb) -> String {
        match self.color {
            ColorMode::None => String::new(),
            ColorMode::Ansi256 => {
                let index = color.xterm256();
                let dark = xterm_color(index).text_color() == Rgb(0, 0, 0);
                format!("48;5;{index};38;5;{}", if dark { 16 } else { 231 })
            }
            ColorMode::Truecolor => {
                let (Rgb(r, g, b), Rgb(level, ..)) = (color, color.text_color());
                format!("48;2;{r};{g};{b};38;2;{level};{level};{level}")
            }
        }
    }

    /// `text` without what the terminal cannot show or would obey: hidden characters become escapes
    /// ([`printable::line`]), and in ASCII anything else becomes `?`.
    pub(crate) fn clean(&self, text: &str) -> String {
        let text = printable::line(text);
        match self.charset {
            Charset::Unicode => text.into_owned(),
            Charset::Ascii => text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        }
    }

    /// A drawn page, to be printed: see [`printable::page`].
    #[must_use]
    pub fn page(&self, drawn: &str) -> String {
        printable::page(drawn, self.color != ColorMode::None).into_owned()
    }

    /// `text` cleaned and broken into lines that fit, at spaces where there are any.
    #[must_use]
    pub fn wrap(&self, text: &str) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in self.clean(text).split_inclusive(' ') {
            let used = lines.last().map_or(0, |line| line.width());
            if used > 0 && used + word.trim_end().width() > self.columns() {
                lines.push(String::new());
            }
            for c in word.chars() {
                if lines.last().map_or(0, |line| line.width()) + c.width().unwrap_or(0) > self.columns() {
                    if c == ' ' {
                        continue;
                    }
                    lines.push(String::new());
                }
                lines.last_mut().expect("there is always a line").push(c);
            }
        }
        lines.iter().map(|line| line.trim_end().to_string()).collect()
    }
}

/// What colours and characters to use, from `--color`, `--ascii`, the environment and whether output goes to
/// a terminal.
///
/// `Never` and `Always` win over the environment. Else a non-empty `NO_COLOR` forbids colours,
/// `CLICOLOR_FORCE` (not `0`) asks for them even into a file, and otherwise they need a terminal that is not
/// `TERM=dumb`. `COLORTERM` = `truecolor` or `24bit` gives 24 bits; any other terminal gets 256 colours.
/// Characters are ASCII unless the locale (the first of `LC_ALL`, `LC_CTYPE`, `LANG` that is set) is UTF-8.
#[must_use]
pub fn detect(
    choice: ColorChoice,
    ascii: bool,
    variable: impl Fn(&str) -> Option<String>,
    is_terminal: bool,
) -> (ColorMode, Charset) {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let term = variable("TERM").unwrap_or_default();
    let wanted = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if variable("NO_COLOR").is_some() => false,
        ColorChoice::Auto if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => is_terminal && !term.is_empty() && term != "dumb",
    };
    let color = match variable("COLORTERM").as_deref() {
        _ if !wanted => ColorMode::None,
        Some("truecolor" | "24bit") => ColorMode::Truecolor,
        _ => ColorMode::Ansi256,
    };
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default().to_lowercase();
    let utf8 = locale.contains("utf-8") || locale.contains("utf8");
    (color, if utf8 && !ascii { Charset::Unicode } else { Charset::Ascii })
}

/// `text` without escape sequences that set colours, as a terminal shows it.
pub(super) fn visible(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut shown = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        shown.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(choice: ColorChoice, variables: &[(&str, &str)], is_terminal: bool) -> (ColorMode, Charset) {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
        };
        detect(choice, false, variable, is_terminal)
    }

    #[test]
    fn colours_follow_the_terminal_and_the_environment() {
        use ColorChoice::{Always, Auto, Never};
        use ColorMode::{Ansi256, None, Truecolor};
        let xterm = ("TERM", "xterm-256color");
        let deep = ("COLORTERM", "truecolor");
        for (choice, variables, is_terminal, expected) in [
            (Auto, &[xterm][..], true, Ansi256),
            (Auto, &[xterm, deep], true, Truecolor),
            (Auto, &[xterm, ("COLORTERM", "24bit")], true, Truecolor),
            (Auto, &[xterm, deep], false, None),
            (Auto, &[("TERM", "dumb"), deep], true, None),
            (Auto, &[], true, None),
            (Auto, &[xterm, deep, ("NO_COLOR", "1")], true, None),
            (Auto, &[xterm, ("NO_COLOR", "")], true, Ansi256),
            (Auto, &[deep, ("CLICOLOR_FORCE", "1")], false, Truecolor),
            (Auto, &[("CLICOLOR_FORCE", "0")], false, None),
            (Auto, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, None),
            (Always, &[("NO_COLOR", "1")], false, Ansi256),
            (Never, &[xterm, deep, ("CLICOLOR_FORCE", "1")], true, None),
        ] {
            assert_eq!(
                detected(choice, variables, is_terminal).0,
                expected,
                "{choice:?} {variables:?} {is_terminal}"
            );
        }
    }

    #[test]
    fn characters_follow_the_first_locale_variable_that_is_set() {
        for (variables, expected) in [
            (&[("LANG", "en_GB.UTF-8")][..], Charset::Unicode),
            (&[("LANG", "de_DE.utf8")], Charset::Unicode),
            (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], Charset::Ascii),
            (&[("LANG", "C"), ("LC_CTYPE", "C.UTF-8"), ("LC_ALL", "")], Charset::Unicode),
            (&[], Charset::Ascii),
        ] {
            assert_eq!(detected(ColorChoice::Auto, variables, true).1, expected, "{variables:?}");
        }
        let utf8 = |_: &str| Some("C.UTF-8".to_string());
        assert_eq!(detect(ColorChoice::Auto, true, utf8, true).1, Charset::Ascii, "--ascii");
    }

    #[test]
    fn text_wraps_at_spaces_and_loses_what_a_terminal_would_obey() {
        let style = Style::plain(20);
        assert_eq!(style.wrap("one two three four five"), ["one two three four", "five"]);
        assert_eq!(style.wrap("twenty characters ab then more"), ["twenty characters ab", "then more"]);
        assert_eq!(style.wrap("a\x1b[2Jb é"), ["a\\u{1b}[2Jb ?"]);
        assert_eq!(style.wrap(&"x".repeat(25)), ["x".repeat(20), "x".repeat(5)]);
        assert_eq!(Style::plain(usize::MAX).columns(), 65_535);
    }
}
