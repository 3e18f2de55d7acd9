//! The text of a prompt as one string, with the bytes of every part known as it is put together.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::needle::Needle;
use crate::task::{Listed, Question};

use super::Form;

/// Stands for the user's turn while the chat template is split around it.
const PLACEHOLDER: &str = "niah-user-turn-5d1f0c";

/// What stands around the user's turn.
pub(super) struct Frame {
    head: String,
    tail: String,
    chat: bool,
}

impl Frame {
    /// Nothing: the text is continued.
    pub(super) fn completion() -> Self {
        Self { head: String::new(), tail: String::new(), chat: false }
    }

    /// Renders the form around a placeholder and splits it there.
    ///
    /// # Errors
    /// When the template fails, or does not show the user's turn exactly once.
    pub(super) fn of(form: &Form) -> Result<Self> {
        let Form::Chat { system, render } = form else {
            return Ok(Self::completion());
        };
        let rendered = render(system.as_deref(), PLACEHOLDER)?;
        match rendered.split(PLACEHOLDER).collect::<Vec<_>>()[..] {
            [head, tail] => Ok(Self { head: head.to_string(), tail: tail.to_string(), chat: true }),
            ref parts => Err(Error::ChatTemplate(format!(
                "shows the user's turn {} times instead of once; put another one into chat_template.jinja of \
                 the model's directory, or give `apply chat template`=never for plain text",
                parts.len() - 1
            ))),
        }
    }
}

/// A prompt's text, the expected answer included, and the byte ranges of its parts.
pub(super) struct Layout {
    pub(super) text: String,
    /// The user's turn: instruction, haystack and question.
    pub(super) content: Range<usize>,
    /// The haystack with its needles, without outer white space.
    pub(super) haystack: Range<usize>,
    /// The haystack's own text before each needle or distractor and after the last.
    pub(super) pieces: Vec<Range<usize>>,
    /// Each needle, without outer white space.
    pub(super) needles: Vec<Range<usize>>,
    /// Each needle's value.
    pub(super) values: Vec<Range<usize>>,
    /// Where the completion begins.
    pub(super) completion: usize,
    /// Where the expected answer begins.
    pub(super) answer: usize,
}

/// Puts the parts together; `positions` are the bytes of `haystack` at which the needles and, behind them,
/// the distractors go in.
///
///
/// The user's turn has no outer white space, so that templates that trim it and those that do not give one
/// text.
pub(super) fn lay_out(frame: &Frame, question: &Question, haystack: &str, positions: &[usize]) -> Layout {
    let mut text = String::with_capacity(haystack.len() + frame.head.len() + frame.tail.len() + 1024);
    text.push_str(&frame.head);
    let content = text.len();
    text.push_str(question.instruction.trim_start());
    if !question.instruction.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push('\n');
    }
    let region = text.len();
    let (mut pieces, mut needles, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut from = 0;
    let inserted = question.needles.iter().map(|needle| (needle, true));
    let inserted = inserted.chain(question.distractors.iter().map(|distractor| (distractor, false)));
    let mut inserted: Vec<_> = inserted.zip(positions).collect();
    // A needle at the very beginning or end of the haystack stands there, whatever distractor falls on the
    // same place.
    inserted.sort_by_key(|((_, asked), at)| (**at, *asked == (**at > 0)));
    for ((needle, asked), &at) in inserted {
        pieces.push(push_apart(&mut text, region, &haystack[from..at]));
        from = at;
        let (bytes, value) = push_needle(&mut text, region, needle);
        if asked {
            needles.push(bytes);
            values.push(value);
        }
    }
    pieces.push(push_apart(&mut text, region, &haystack[from..]));
    let haystack = region..text.trim_end().len().max(region);
    if question.question.is_empty() {
        text.truncate(haystack.end);
    } else {
        text.push_str("\n\n");
        text.push_str(question.question.trim());
        if frame.chat && !question.chat_suffix.is_empty() {
            text.push(' ');
            text.push_str(question.chat_suffix.trim());
        }
    }
    let content = content..text.len();
    if frame.chat {
        text.push_str(&frame.tail);
    } else {
        text.push_str(if question.question.is_empty() { "\n\n" } else { "\n" });
    }
    let completion = text.len();
    let expected = question.expected.first().map_or("", String::as_str);
    if !frame.chat || question.completion_in_chat {
        text.push_str(&question.completion);
        if !question.completion.is_empty() && !expected.is_empty() {
            set_apart(&mut text, expected);
        }
    }
    let answer = text.len();
    text.push_str(expected);
    Layout { text, content, haystack, pieces, needles, values, completion, answer }
}

/// Puts a text in lines together. In the completion form its last line, which asks, follows the others as
/// they follow each other; in the chat form it begins the assistant's turn.
pub(super) fn lay_out_listing(frame: &Frame, listed: &Listed) -> Layout {
    let question = &listed.question;
    let mut text = frame.head.clone();
    let region = text.len();
    text.push_str(&listed.before);
    let before = region..text.len();
    let (mut needles, mut values) = (Vec::new(), Vec::new());
    for needle in &question.needles {
        let (start, value) = (text.len(), needle.value_range());
        text.push_str(needle.text());
        needles.push(start..text.len());
        values.push(start + value.start..start + value.end);
        text.push('\n');
    }
    let after = text.len();
    text.push_str(&listed.after);
    let after = after..text.len();
    let content = region..text.trim_end().len();
    if frame.chat {
        text.truncate(content.end);
        text.push_str(&frame.tail);
    }
    let completion = text.len();
    text.push_str(&question.completion);
    let answer = text.len();
    text.push_str(question.expected.first().map_or("", String::as_str));
    let pieces = vec![before, after.start.min(content.end)..after.end.min(content.end)];
    Layout { haystack: content.clone(), text, content, pieces, needles, values, completion, answer }
}

/// Adds a needle and returns the bytes of its text and of its value. White space of its own at the very
/// beginning of the haystack is left out.
fn push_needle(text: &mut String, region: usize, needle: &Needle) -> (Range<usize>, Range<usize>) {
    let whole = needle.text();
    let lead = whole.len() - whole.trim_start().len();
    let piece = if text.len() == region { &whole[lead..] } else { whole };
    push_apart(text, region, piece);
    // Where byte 0 of the needle's text is, or would be.
    let at = |byte: usize| (text.len() + byte).saturating_sub(whole.len());
    let value = needle.value_range();
    (at(lead)..at(whole.trim_end().len()), at(value.start)..at(value.end))
}

/// Adds a piece so that it never touches what stands before it in the haystack, and returns its bytes.
fn push_apart(text: &mut String, region: usize, piece: &str) -> Range<usize> {
    if text.len() > region && !piece.is_empty() {
        set_apart(text, piece);
    }
    text.push_str(piece);
    text.len() - piece.len()..text.len()
}

fn set_apart(text: &mut String, next: &str) {
    if !text.ends_with(char::is_whitespace) && !next.starts_with(char::is_whitespace) {
        text.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn question(needles: &[&str]) -> Question {
        Question {
            needles: needles.iter().map(|text| Needle::new(*text, "x1").unwrap()).collect(),
            question: "Which?".to_string(),
            completion: "It is".to_string(),
            completion_in_chat: true,
            expected: vec!["x1".to_string()],
            ..Question::default()
        }
    }

    fn chat(template: &'static str) -> Form {
        Form::Chat { system: None, render: Arc::new(|_, user| Ok(template.replace("{}", user))) }
    }

    #[test]
    fn parts_are_where_the_layout_says() {
        let question = question(&["Mid x1.", "\nOwn x1 lines.\n"]);
        let frame = Frame::of(&Form::Completion).unwrap();
        let layout = lay_out(&frame, &question, "One. Two.\n\nThree.", &[4, 9]);
        assert_eq!(layout.text, "One. Mid x1. Two.\nOwn x1 lines.\n\n\nThree.\n\nWhich?\nIt is x1");
        let slices = |ranges: &[Range<usize>]| {
            ranges.iter().map(|r| layout.text[r.clone()].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(slices(&layout.needles), ["Mid x1.", "Own x1 lines."]);
        assert_eq!(slices(&layout.values), ["x1", "x1"]);
        assert!(layout.text[layout.haystack.clone()].ends_with("Three."));
        assert_eq!(&layout.text[layout.completion..], "It is x1");
        assert_eq!(&layout.text[layout.answer..], "x1");
    }

    #[test]
    fn a_needle_is_never_glued_to_its_neighbour() {
        let frame = Frame::of(&Form::Completion).unwrap();
        for (at, text) in [(0, "A x1. B x1. abcd"), (2, "ab A x1. B x1. cd"), (4, "abcd A x1. B x1.")] {
            let layout = lay_out(&frame, &question(&["A x1.", "B x1."]), "abcd", &[at, at]);
            assert_eq!(&layout.text[layout.haystack], text);
        }
    }

    #[test]
    fn a_template_shows_the_user_turn_once_and_without_outer_white_space() {
        let frame = Frame::of(&chat("<u>{}</u>")).unwrap();
        let layout = lay_out(&frame, &question(&["\nA x1.\n"]), "abcd", &[0]);
        assert_eq!(layout.text, "<u>A x1.\nabcd\n\nWhich?</u>It is x1");
        assert_eq!(&layout.text[layout.needles[0].clone()], "A x1.");
        assert_eq!(&layout.text[layout.values[0].clone()], "x1");
        for template in ["<u></u>", "{}{}"] {
            assert!(Frame::of(&chat(template)).is_err(), "{template}");
        }
    }
}
