//! Where the haystack says what is asked for, when nothing was hidden in it.

use super::layout::LaidSpan;
use super::{Builder, Draft, prompt_error};
use crate::error::Result;
use crate::span::SpanKind;
use crate::standing::occurrences;

/// Marks the place of the answer as the target when it is the only one in the haystack as it was put in the
/// prompt; else the prompt has no span, and the note says why.
///
/// # Errors
/// [`crate::error::Error::Prompt`] when the haystack was cut before the answer.
pub(super) fn mark(builder: &Builder<'_>, draft: &mut Draft) -> Result<Option<String>> {
    let answer = builder.question.expected.first().map_or("", String::as_str);
    let layout = &mut draft.layout;
    let haystack = layout.haystack.clone();
    let places = occurrences(&layout.text[haystack.clone()], answer);
    match places[..] {
        [ref place] => {
            let bytes = haystack.start + place.start..haystack.start + place.end;
            let planted = layout.text[bytes.clone()].to_string();
            layout.pieces = vec![haystack.start..bytes.start, bytes.end..haystack.end];
            layout.spans.push(LaidSpan {
                kind: SpanKind::Target,
                value: bytes.clone(),
                bytes,
                planted_value: 0..planted.len(),
                planted,
                absent: false,
                counted: None,
            });
            Ok(None)
        }
        [] => cut_away(builder, answer).map(Some),
        _ => Ok(Some(format!(
            "the text says the answer {answer:?} {} times, so that none of these places is the one that is \
             asked for: there is no needle mass",
            places.len()
        ))),
    }
}

/// What is said of a text without the answer in it; an error where only the part that was left out has it.
fn cut_away(builder: &Builder<'_>, answer: &str) -> Result<String> {
    let stream = builder.haystack.stream().text();
    let whole = &stream[..builder.end.unwrap_or(stream.len())];
    let Some(place) = occurrences(whole, answer).into_iter().next() else {
        return Ok(format!(
            "the text nowhere says the answer {answer:?} as a word or number of its own: there is no needle \
             mass"
        ));
    };
    let before = builder.haystack.count(place.end);
    let problem = format!(
        "the text says the answer {answer:?} only behind its first {before} tokens, of which this length \
         holds a part; take a longer `context length`, or none for the whole text"
    );
    Err(prompt_error(builder.trial, problem))
}
