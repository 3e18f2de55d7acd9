//! Given prompts as the text that the model reads: as it is, or put into the chat template.

use std::ops::Range;

use super::given::{GivenPrompt, GivenSpan};
use crate::error::Error;
use crate::tokenizer::{ChatTemplate, Message};

/// A turn of a conversation in the text of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who says it.
    pub role: String,
    /// What is said, as bytes of the prompt's text.
    pub bytes: Range<usize>,
}

/// A prompt's text with its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// All that stands before the answer.
    pub text: String,
    /// The conversation, when it is one whose template shows it as it is.
    pub turns: Vec<Turn>,
    /// Whether no template is around it, so that what it says of control tokens is meant.
    pub as_it_is: bool,
    /// What is read for the answer: all of it, or from the first message to the last.
    pub content: Range<usize>,
    /// Where the answer's own beginning starts.
    pub completion: usize,
    /// The parts that matter, in the order of the row.
    pub spans: Vec<LaidPart>,
}

/// Where a part that matters stands in the text of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidPart {
    /// Its number among those of the row.
    pub number: usize,
    /// Its bytes.
    pub bytes: Range<usize>,
    /// The bytes of its value.
    pub value: Range<usize>,
}

impl LaidPart {
    fn of(number: usize, span: &GivenSpan, bytes: Range<usize>) -> Self {
        let value = value_of(&bytes, &span.planted, &span.value, span.absent);
        Self { number, bytes, value }
    }
}

/// The text of a prompt: the conversation in `template` where there are both, else the text as it is.
///
/// # Errors
/// What is wrong with the prompt, for print behind its name.
pub(super) fn lay_out(
    given: &GivenPrompt,
    system: Option<&str>,
    template: Option<&ChatTemplate>,
) -> Result<Laid, String> {
    match (template, &given.text) {
        (Some(template), _) if !given.messages.is_empty() => conversation(given, system, template),
        (_, Some(_)) if system.is_some() => {
            Err("has no messages, so that no system instruction can stand before them".to_string())
        }
        (_, Some(text)) => Ok(as_it_is(given, text)),
        (_, None) => Err("has messages and no prompt, and the checkpoint no chat template to put them in; \
                          take another checkpoint, or give the text as prompt"
            .to_string()),
    }
}

fn as_it_is(given: &GivenPrompt, text: &str) -> Laid {
    let spans = given.spans.iter().enumerate();
    let spans = spans.filter_map(|(number, span)| Some(LaidPart::of(number, span, span.in_text.clone()?)));
    // What a user would say of it: all but how the answer begins, where that is known.
    let said = match &given.messages[..] {
        _ if given.begins_answer => text.len() - given.answer_prefix.len(),
        [only] if text.starts_with(&only.content) => only.content.len(),
        _ => text.len(),
    };
    Laid {
        spans: spans.collect(),
        turns: vec![Turn { role: "user".to_string(), bytes: 0..said }],
        as_it_is: true,
        content: 0..text.len(),
        completion: if given.begins_answer { said } else { text.len() },
        text: text.to_string(),
    }
}

/// The bytes of a value in the prompt, of a part whose text may have white space around what stands there.
fn value_of(bytes: &Range<usize>, planted: &str, value: &Range<usize>, absent: bool) -> Range<usize> {
    if absent {
        return bytes.start..bytes.start;
    }
    // Where the text as it was planted would begin: what stands there may have lost its outer white space.
    let lead = planted.len() - planted.trim_start().len();
    let lost = if bytes.len() == planted.len() { 0 } else { lead };
    let at = |byte: usize| (bytes.start + byte.saturating_sub(lost)).clamp(bytes.start, bytes.end);
    at(value.start)..at(value.end)
}

fn conversation(given: &GivenPrompt, system: Option<&str>, template: &ChatTemplate) -> Result<Laid, String> {
    let mut messages = given.messages.clone();
    let mut before = 0;
    if let Some(system) = system {
        if messages[0].role == "system" {
            return Err("has a system message of its own beside the system instruction".to_string());
        }
        messages.insert(0, Message::new("system", system));
        before = 1;
    }
    let problem = |error: Error| error.to_string();
    let mut text = template.render_messages(&messages).map_err(problem)?;
    let shown = shown(&text, &messages, template);
    let completion = text.len();
    text.push_str(&given.answer_prefix);
    let mut spans = Vec::with_capacity(given.spans.len());
    for (own, span) in given.spans.iter().enumerate() {
        let Some(place) = &span.in_message else { continue };
        let Some((turns, trims)) = &shown else {
            return Err(
                "has spans in messages that the chat template changes, so that nobody knows where they \
                        stand then"
                    .to_string(),
            );
        };
        let number = place.message + before;
        let content = &messages[number].content;
        let lead = if *trims { content.len() - content.trim_start().len() } else { 0 };
        let whole = &turns[number];
        let at = |byte: usize| (whole.start + byte.saturating_sub(lead)).min(whole.end);
        spans.push(LaidPart::of(own, span, at(place.bytes.start)..at(place.bytes.end)));
    }
    let turns: Vec<Turn> = match &shown {
        Some((places, _)) => {
            let turn = |(message, bytes): (&Message, &Range<usize>)| Turn {
                role: message.role.clone(),
                bytes: bytes.clone(),
            };
            messages.iter().zip(places).map(turn).collect()
        }
        None => Vec::new(),
    };
    let content = match (turns.get(before), turns.last()) {
        (Some(first), Some(last)) => first.bytes.start..last.bytes.end,
        _ => 0..completion,
    };
    Ok(Laid { text, turns, as_it_is: false, content, completion, spans })
}

/// Where a rendered conversation says each of its messages, and whether without outer white space; `None`
/// where it says anything else.
///
/// Found by rendering other texts in their place: nothing is searched for, so no message is taken for a part
/// of the template that says the same.
fn shown(text: &str, messages: &[Message], template: &ChatTemplate) -> Option<(Vec<Range<usize>>, bool)> {
    let stand_in = |number: usize| format!("niah-turn-{number}-5d1f0c");
    let others: Vec<Message> = messages
        .iter()
        .enumerate()
        .map(|(number, message)| Message::new(message.role.clone(), stand_in(number)))
        .collect();
    let rendered = template.render_messages(&others).ok()?;
    let mut between = Vec::with_capacity(messages.len() + 1);
    let mut rest = rendered.as_str();
    for number in 0..messages.len() {
        let (before, behind) = rest.split_once(&stand_in(number))?;
        between.push(before);
        rest = behind;
    }
    let tail = rest;
    [false, true].into_iter().find_map(|trims| {
        let (mut at, mut places) = (0, Vec::with_capacity(messages.len()));
        for (before, message) in between.iter().zip(messages) {
            let said = if trims { message.content.trim() } else { &message.content };
            let start = at + before.len();
            let fits = text.get(at..start) == Some(*before) && text.get(start..)?.starts_with(said);
            if !fits {
                return None;
            }
            at = start + said.len();
            places.push(start..at);
        }
        (text.get(at..) == Some(tail)).then_some((places, trims))
    })
}
