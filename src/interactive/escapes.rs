//! Lines of text with the escape sequences that are written here, as a screen takes them.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// A line in its colours. Sequences that are none of ours change nothing.
pub(super) fn line(text: &str) -> Line<'static> {
    let mut pieces = text.split("\x1b[");
    let mut spans = vec![Span::raw(pieces.next().unwrap_or_default().to_string())];
    let mut style = Style::default();
    for piece in pieces {
        let (codes, shown) = piece.split_once('m').unwrap_or(("", piece));
        style = changed(style, codes);
        if !shown.is_empty() {
            spans.push(Span::styled(shown.to_string(), style));
        }
    }
    Line::from(spans)
}

fn changed(mut style: Style, codes: &str) -> Style {
    let mut codes = codes.split(';').map_while(|code| code.parse::<u8>().ok());
    while let Some(code) = codes.next() {
        style =
            match code {
                0 => Style::default(),
                1 => style.add_modifier(Modifier::BOLD),
                2 => style.add_modifier(Modifier::DIM),
                4 => style.add_modifier(Modifier::UNDERLINED),
                7 => style.add_modifier(Modifier::REVERSED),
                38 => style
                    .patch(color(&mut codes).map_or_else(Style::default, |color| Style::default().fg(color))),
                48 => style
                    .patch(color(&mut codes).map_or_else(Style::default, |color| Style::default().bg(color))),
                _ => style,
            };
    }
    style
}

fn color(codes: &mut impl Iterator<Item = u8>) -> Option<Color> {
    match codes.next()? {
        5 => codes.next().map(Color::Indexed),
        2 => Some(Color::Rgb(codes.next()?, codes.next()?, codes.next()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_letters_are_taken_from_the_sequences_that_set_them() {
        let found = line("a\x1b[48;2;1;2;3;38;5;231;4mb\x1b[0mc\x1b[1;7md\x1b[0m");
        let style = |index: usize| (found.spans[index].content.as_ref(), found.spans[index].style);
        let cell = Style::default().bg(Color::Rgb(1, 2, 3)).fg(Color::Indexed(231));
        assert_eq!(style(0), ("a", Style::default()));
        assert_eq!(style(1), ("b", cell.add_modifier(Modifier::UNDERLINED)));
        assert_eq!(style(2), ("c", Style::default()));
        assert_eq!(style(3), ("d", Style::default().add_modifier(Modifier::BOLD | Modifier::REVERSED)));
        assert_eq!(line("\x1b[99;xm!").spans[1].style, Style::default());
    }
}
