//! The text of a prompt as one string, with the bytes of every part known as it is put together.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::needle::Needle;
use crate::span::SpanKind;
use crate::task::{Listed, Place, Question};
use crate::tokenizer::Marks;

use super::{AnswerPrefix, Assistant, Form};

/// Stands for the user's turn while the chat template is split around it.
const PLACEHOLDER: &str = "niah-user-turn-5d1f0c";

/// What stands around the user's turn.
pub(super) struct Frame {
    head: String,
    tail: String,
    chat: bool,
    assistant: Assistant,
}

impl Frame {
    /// Nothing: the text is continued.
    pub(super) fn completion() -> Self {
        Self { head: String::new(), tail: String::new(), chat: false, assistant: Assistant::default() }
    }

    /// Renders the form around a placeholder and splits it there.
    ///
    /// # Errors
    /// When the template fails, or does not show the user's turn exactly once.
    pub(super) fn of(form: &Form, assistant: Assistant) -> Result<Self> {
        let Form::Chat { system, render } = form else {
            return Ok(Self { assistant, ..Self::completion() });
        };
        let rendered = render(system.as_deref(), PLACEHOLDER)?;
        match rendered.split(PLACEHOLDER).collect::<Vec<_>>()[..] {
            [head, tail] => {
                Ok(Self { head: head.to_string(), tail: tail.to_string(), chat: true, assistant })
            }
            ref parts => Err(Error::ChatTemplate(format!(
                "shows the user's turn {} times instead of once; put another one into chat_template.jinja of \
                 the model's directory, or give `apply chat template`=never for plain text",
                parts.len() - 1
            ))),
        }
    }
}

impl Frame {
    /// The thought in a list of what takes tokens.
    pub(super) fn thought(&self) -> &'static str {
        if self.assistant.thinks().is_some() && self.chat { ", thought" } else { "" }
    }

    /// Refuses a question that the answer's own words ask where there are none.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming the setting.
    pub(super) fn check(&self, question: &Question) -> Result<()> {
        if question.completion_asks && self.assistant.prefix == AnswerPrefix::None {
            let expected = "task, for a task that asks by nothing but the words of its answer";
            return Err(Error::invalid("answer prefix", "none", expected));
        }
        Ok(())
    }
}

/// A prompt's text, the expected answer included, and the byte ranges of its parts.
pub(super) struct Layout {
    pub(super) text: String,
    /// The user's turn: instruction, haystack and question.
    pub(super) content: Range<usize>,
    /// The haystack with all that is planted, without outer white space.
    pub(super) haystack: Range<usize>,
    /// The haystack's own text before each span and after the last.
    pub(super) pieces: Vec<Range<usize>>,
    /// What is planted, in the order of the text.
    pub(super) spans: Vec<LaidSpan>,
    /// What stands for the thought before the completion, where the model is to think.
    pub(super) thought: Option<LaidThought>,
    /// Where the completion begins.
    pub(super) completion: usize,
    /// Where the expected answer begins.
    pub(super) answer: usize,
    /// Where each item of the expected answer begins.
    pub(super) items: Vec<usize>,
    /// The question, or where nothing else asks the words of the answer; none where it is not known.
    pub(super) asked: Range<usize>,
    /// Whether it is a conversation.
    pub(super) chat: bool,
    /// What the turns of a given conversation say; of a text that is as it is none.
    pub(super) turns: Option<Vec<Range<usize>>>,
}

/// A thought without a word.
pub(super) struct LaidThought {
    /// Where it begins, behind what the template writes.
    pub(super) start: usize,
    /// The bytes of its end mark.
    pub(super) closing: Range<usize>,
    /// Whether the template has begun it.
    pub(super) opened: bool,
    /// Tokens that it may have.
    pub(super) budget: usize,
}

/// Something planted.
pub(super) struct LaidSpan {
    pub(super) kind: SpanKind,
    /// Its bytes, without outer white space.
    pub(super) bytes: Range<usize>,
    /// The bytes of its value.
    pub(super) value: Range<usize>,
    /// What was planted, outer white space included.
    pub(super) planted: String,
    /// The bytes of the value in it.
    pub(super) planted_value: Range<usize>,
    /// Whether it was left out; its bytes are then where it would have stood, and none.
    pub(super) absent: bool,
    /// The tokens that stand in its place, and those in the place of its value, where whoever left it out has
    /// said so.
    pub(super) counted: Option<[Range<usize>; 2]>,
}

impl LaidSpan {
    /// Its text and the bytes of its value there: of what stands in the prompt without outer white space, as
    /// [`Self::bytes`] leave that out; of what was left out as it would have been planted.
    pub(super) fn shown(&self) -> (String, Range<usize>) {
        if self.absent {
            return (self.planted.clone(), self.planted_value.clone());
        }
        let text = self.planted.trim();
        let lead = self.planted.len() - self.planted.trim_start().len();
        let within = |at: usize| at.saturating_sub(lead).min(text.len());
        (text.to_string(), within(self.planted_value.start)..within(self.planted_value.end))
    }
}

/// The part of a prompt that is read for the answer.
struct Body {
    pieces: Vec<Range<usize>>,
    spans: Vec<LaidSpan>,
}

/// Puts the parts together; `positions` are the bytes of `haystack` at which the question's pieces go in.
///
/// The user's turn has no outer white space, so that templates that trim it and those that do not give one
/// text.
pub(super) fn lay_out(frame: &Frame, question: &Question, haystack: &str, positions: &[usize]) -> Layout {
    lay_out_around(frame, question, haystack.len(), |text| hide(text, question, haystack, positions))
}

/// Puts a text that a task writes itself together.
pub(super) fn lay_out_listing(frame: &Frame, listed: &Listed) -> Layout {
    let bytes = listed.items.iter().map(|item| item.text.len() + listed.between.len()).sum();
    lay_out_around(frame, &listed.question, bytes, |text| list(text, listed))
}

fn lay_out_around(
    frame: &Frame,
    question: &Question,
    bytes: usize,
    push_body: impl FnOnce(&mut String) -> Body,
) -> Layout {
    let mut text = String::with_capacity(bytes + frame.head.len() + frame.tail.len() + 1024);
    text.push_str(&frame.head);
    let content = text.len();
    text.push_str(question.instruction.trim_start());
    if !question.instruction.is_empty() && !text.ends_with(char::is_whitespace) {
        text.push('\n');
    }
    let region = text.len();
    let Body { mut pieces, spans } = push_body(&mut text);
    let haystack = region..text.trim_end().len().max(region);
    let asked = !question.question.is_empty() && !question.completion_asks;
    let mut asking = 0..0;
    if !asked {
        text.truncate(haystack.end);
        for piece in &mut pieces {
            *piece = piece.start.min(haystack.end)..piece.end.min(haystack.end);
        }
    } else {
        text.push_str(question.breaks.question);
        asking = text.len()..text.len() + question.question.trim().len();
        text.push_str(question.question.trim());
        if frame.chat && !question.chat_suffix.is_empty() {
            text.push(' ');
            text.push_str(question.chat_suffix.trim());
        }
    }
    let content = content..text.len();
    let prefixed = frame.assistant.prefix == AnswerPrefix::Task;
    if frame.chat {
        text.push_str(&frame.tail);
    } else {
        text.push_str(if asked { question.breaks.completion } else { question.breaks.question });
        if !prefixed && !text.ends_with(char::is_whitespace) {
            text.push('\n');
        }
    }
    let thought = frame.assistant.thinks().filter(|_| frame.chat);
    let thought = thought.map(|(marks, budget)| push_thought(&mut text, &frame.tail, marks, budget));
    let completion = text.len();
    let (expected, items) = question.answer();
    if prefixed && (!frame.chat || question.completion_in_chat) {
        text.push_str(&question.completion);
        if !question.completion.is_empty() && !expected.is_empty() {
            set_apart(&mut text, &expected, question.breaks.answer);
        }
    }
    let answer = text.len();
    if !asked {
        asking = completion..text.trim_end().len().max(completion);
    }
    text.push_str(&expected);
    let items = items.into_iter().map(|at| answer + at).collect();
    Layout {
        text,
        content,
        haystack,
        pieces,
        spans,
        thought,
        completion,
        answer,
        items,
        asked: asking,
        chat: frame.chat,
        turns: None,
    }
}

/// Adds a thought without a word behind `tail`, in the way of templates whose switch leaves thoughts out.
pub(super) fn push_thought(text: &mut String, tail: &str, marks: Marks, budget: usize) -> LaidThought {
    let (start, opened) = (text.len(), marks.opened_by(tail));
    if !opened {
        text.push_str(marks.open);
        text.push('\n');
    }
    let closing = text.len()..text.len() + marks.close.len();
    text.push_str(marks.close);
    text.push_str("\n\n");
    LaidThought { start, closing, opened, budget }
}

/// Plants the pieces of a question in a haystack, at these bytes of it.
fn hide(text: &mut String, question: &Question, haystack: &str, positions: &[usize]) -> Body {
    let region = text.len();
    let (mut pieces, mut spans) = (Vec::new(), Vec::new());
    let mut from = 0;
    let mut planted: Vec<_> = question.pieces.iter().zip(positions).collect();
    // What the depth puts at the very beginning or end of the haystack stands there, whatever is spread over
    // it and falls on the same place.
    planted.sort_by_key(|(piece, at)| (**at, (piece.place == Place::FromDepth) == (**at > 0)));
    for (piece, &at) in planted {
        pieces.push(push_apart(text, region, &haystack[from..at]));
        from = at;
        let absent = question.without_needles && piece.kind.tells();
        let (bytes, value) = match absent {
            true => (text.len()..text.len(), text.len()..text.len()),
            false => push_needle(text, region, &piece.needle),
        };
        let (planted, planted_value) = (piece.needle.text().to_string(), piece.needle.value_range());
        spans.push(LaidSpan {
            kind: piece.kind,
            bytes,
            value,
            planted,
            planted_value,
            absent,
            counted: None,
        });
    }
    pieces.push(push_apart(text, region, &haystack[from..]));
    Body { pieces, spans }
}

/// Writes the items of a text that a task writes itself. What stands behind an item that is marked up to its
/// end belongs to no piece.
fn list(text: &mut String, listed: &Listed) -> Body {
    let (mut pieces, mut spans) = (Vec::new(), Vec::new());
    let mut from = text.len();
    text.push_str(&listed.head);
    let question = &listed.question;
    let mut items: Vec<_> = listed.items.iter().collect();
    if question.alone {
        items.retain(|item| item.mark.is_some());
    }
    let mut first = true;
    for (number, item) in items.iter().enumerate() {
        let absent = question.without_needles && item.mark.as_ref().is_some_and(|mark| mark.kind.tells());
        if !first && !absent {
            text.push_str(listed.between);
        }
        first &= absent;
        let start = text.len();
        if let Some(mark) = item.mark.as_ref().filter(|_| absent) {
            pieces.push(from.min(start)..start);
            from = start;
            let planted = item.text[mark.bytes.clone()].to_string();
            let planted_value = mark.value.start - mark.bytes.start..mark.value.end - mark.bytes.start;
            let nothing = start..start;
            spans.push(LaidSpan {
                kind: mark.kind,
                bytes: nothing.clone(),
                value: nothing,
                planted,
                planted_value,
                absent,
                counted: None,
            });
            continue;
        }
        text.push_str(&item.text);
        if let Some(mark) = &item.mark {
            let at = |bytes: &Range<usize>| start + bytes.start..start + bytes.end;
            let bytes = at(&mark.bytes);
            pieces.push(from..bytes.start);
            let ends = mark.bytes.end == item.text.len() && number + 1 < items.len();
            from = bytes.end + if ends { listed.between.len() } else { 0 };
            let planted = item.text[mark.bytes.clone()].to_string();
            let planted_value = mark.value.start - mark.bytes.start..mark.value.end - mark.bytes.start;
            spans.push(LaidSpan {
                kind: mark.kind,
                bytes,
                value: at(&mark.value),
                planted,
                planted_value,
                absent,
                counted: None,
            });
        }
    }
    text.push_str(&listed.tail);
    let piece = from..text.len();
    pieces.push(piece);
    Body { pieces, spans }
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
        set_apart(text, piece, " ");
    }
    text.push_str(piece);
    text.len() - piece.len()..text.len()
}

fn set_apart(text: &mut String, next: &str, between: &str) {
    if !text.ends_with(char::is_whitespace) && !next.starts_with(char::is_whitespace) {
        text.push_str(between);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::task::{Item, Piece};

    fn question(needles: &[&str]) -> Question {
        Question {
            pieces: needles.iter().map(|text| Piece::target(Needle::new(*text, "x1").unwrap())).collect(),
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
        let frame = Frame::of(&Form::Completion, Assistant::default()).unwrap();
        let layout = lay_out(&frame, &question, "One. Two.\n\nThree.", &[4, 9]);
        assert_eq!(layout.text, "One. Mid x1. Two.\nOwn x1 lines.\n\n\nThree.\n\nWhich?\nIt is x1");
        let slices = |of: fn(&LaidSpan) -> Range<usize>| {
            layout.spans.iter().map(|span| layout.text[of(span)].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(slices(|span| span.bytes.clone()), ["Mid x1.", "Own x1 lines."]);
        assert_eq!(slices(|span| span.value.clone()), ["x1", "x1"]);
        assert_eq!(layout.items, [layout.answer]);
        assert!(layout.text[layout.haystack.clone()].ends_with("Three."));
        assert_eq!(&layout.text[layout.completion..], "It is x1");
        assert_eq!(&layout.text[layout.asked.clone()], "Which?");
        let by_words = Question { completion_asks: true, ..question.clone() };
        let layout = lay_out(&frame, &by_words, "One. Two.\n\nThree.", &[4, 9]);
        assert_eq!(&layout.text[layout.asked.clone()], "It is");
        assert_eq!(&layout.text[layout.answer..], "x1");
    }

    #[test]
    fn a_needle_is_never_glued_to_its_neighbour() {
        let frame = Frame::of(&Form::Completion, Assistant::default()).unwrap();
        for (at, text) in [(0, "A x1. B x1. abcd"), (2, "ab A x1. B x1. cd"), (4, "abcd A x1. B x1.")] {
            let layout = lay_out(&frame, &question(&["A x1.", "B x1."]), "abcd", &[at, at]);
            assert_eq!(&layout.text[layout.haystack], text);
        }
    }

    #[test]
    fn a_template_shows_the_user_turn_once_and_without_outer_white_space() {
        let frame = Frame::of(&chat("<u>{}</u>"), Assistant::default()).unwrap();
        let layout = lay_out(&frame, &question(&["\nA x1.\n"]), "abcd", &[0]);
        assert_eq!(layout.text, "<u>A x1.\nabcd\n\nWhich?</u>It is x1");
        assert_eq!(&layout.text[layout.spans[0].bytes.clone()], "A x1.");
        assert_eq!(&layout.text[layout.spans[0].value.clone()], "x1");
        for template in ["<u></u>", "{}{}"] {
            assert!(Frame::of(&chat(template), Assistant::default()).is_err(), "{template}");
        }
    }

    #[test]
    fn items_stand_between_head_and_tail_and_marks_are_where_they_say() {
        let needle = Needle::new("\"b\": \"x1\"", "x1").unwrap();
        let listed = Listed {
            head: "{".to_string(),
            items: vec![
                Item::plain("\"a\": 0"),
                Item::needle(&needle, SpanKind::Target),
                Item::ending_in("\"c\": ", "2", SpanKind::Other),
            ],
            between: ", ",
            tail: "}".to_string(),
            question: Question { instruction: "Read:".to_string(), ..question(&[]) },
        };
        let layout = lay_out_listing(&Frame::of(&Form::Completion, Assistant::default()).unwrap(), &listed);
        assert_eq!(layout.text, "Read:\n{\"a\": 0, \"b\": \"x1\", \"c\": 2}\n\nWhich?\nIt is x1");
        let spans: Vec<_> =
            layout.spans.iter().map(|span| (span.kind, &layout.text[span.bytes.clone()])).collect();
        assert_eq!(spans, [(SpanKind::Target, "\"b\": \"x1\""), (SpanKind::Other, "2")]);
        let pieces: Vec<_> = layout.pieces.iter().map(|bytes| &layout.text[bytes.clone()]).collect();
        assert_eq!(pieces, ["{\"a\": 0, ", "\"c\": ", "}"]);
    }
}
