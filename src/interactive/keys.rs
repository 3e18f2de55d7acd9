//! Keys, and what each does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::export::style::Style;

/// A key with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Next,
    Before,
    Enter,
    Back,
    Mark,
    Heads,
    Help,
    Quit,
    Break,
}

/// The key of an event; `None` where it has no meaning.
pub(super) fn of(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return (event.code == KeyCode::Char('c')).then_some(Key::Break);
    }
    Some(match event.code {
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Tab => Key::Next,
        KeyCode::BackTab => Key::Before,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc | KeyCode::Backspace => Key::Back,
        KeyCode::Char(' ') => Key::Mark,
        KeyCode::Char('h') => Key::Heads,
        KeyCode::Char('?') => Key::Help,
        KeyCode::Char('q') => Key::Quit,
        _ => return None,
    })
}

/// What all keys do, a line each.
pub(super) fn help(style: &Style) -> Vec<String> {
    let arrows = style.pick("\u{2190} \u{2191} \u{2192} \u{2193}", "arrows");
    let updown = style.pick("\u{2191} \u{2193}", "up, down");
    let lines = [
        ("The grid", ""),
        (arrows, "another cell; Home, End: the first and last length"),
        ("Tab", "accuracy, needle mass, outcome; Shift-Tab: back"),
        ("Space", "mark the cell, or take the mark away; Esc: take all marks away"),
        ("Enter", "the trials of the cell"),
        ("h", "the heads over the marked cells, or over this one"),
        ("", ""),
        ("Trials of a cell", ""),
        (updown, "another trial"),
        ("Page up, down", "read on in a long answer"),
        ("Enter", "its prompt, shaded by attention"),
        ("h", "the heads over the cell"),
        ("", ""),
        ("Prompt and heads", ""),
        (updown, "read on; Page up, Page down, Home, End as well"),
        ("Tab", "prompt: mean of all heads, or the top one; heads: of which cells"),
        ("", ""),
        ("Esc", "back; q: leave; ?: these lines"),
    ];
    let line = |(key, does): (&str, &str)| match does {
        "" => super::text::bold(key),
        _ => format!("  {}{does}", super::text::fitted(key, 16, style)),
    };
    lines.map(line).to_vec()
}
