//! What must hold for a prompt before it is run.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::printable::excerpt;
use crate::span::SpanKind;
use crate::standing::occurrences;
use crate::task::Question;
use crate::tokenizer::Tokenize;

use super::Draft;
use super::layout::Layout;

/// Every answer must stand free ([`crate::standing`]) as often as what was planted says it; says where it
/// does besides.
pub(super) fn collision(question: &Question, layout: &Layout) -> Option<String> {
    if question.said_elsewhere {
        return None;
    }
    let targets = layout.spans.iter().filter(|span| span.kind == SpanKind::Target);
    let answers: BTreeSet<&str> = targets
        .map(|span| &span.planted[span.planted_value.clone()])
        .chain(question.expected.iter().map(String::as_str))
        .filter(|answer| !answer.is_empty())
        .collect();
    let prompt = &layout.text[..layout.answer];
    answers.into_iter().find_map(|answer| {
        let inserted: usize = layout
            .spans
            .iter()
            .filter(|span| !span.absent)
            .map(|span| occurrences(&span.planted, answer).len())
            .sum();
        let places = occurrences(prompt, answer);
        let inside =
            |range: &Range<usize>, place: &Range<usize>| range.start <= place.start && place.end <= range.end;
        let besides = places.iter().find(|place| !layout.spans.iter().any(|span| inside(&span.bytes, place)));
        match besides {
            None if places.len() == inserted => None,
            None => Some(format!(
                "the answer {answer:?} does not stand free in the needle any more where it meets the \
                 haystack; begin and end the needle with words around it"
            )),
            Some(place) => {
                let near = excerpt(prompt, place.clone());
                Some(match inside(&layout.haystack, place) {
                    true => format!(
                        "the haystack says the answer {answer:?} besides the needle: {near:?}; use another \
                         `seed` or `haystack`"
                    ),
                    false => format!(
                        "the question or the template says the answer {answer:?}: {near:?}; ask without \
                         giving it away"
                    ),
                })
            }
        }
    })
}

/// No special token may stand in the user's turn or the completion, and where the model wants a BOS there is
/// exactly one.
pub(super) fn special_tokens(draft: &Draft, tokenizer: &dyn Tokenize) -> Result<(), String> {
    let layout = &draft.layout;
    let encoded = draft.encoded.ids.iter().zip(&draft.encoded.spans);
    for (id, span) in encoded.clone().filter(|(id, _)| tokenizer.special_ids().contains(id)) {
        let overlaps = |bytes: &Range<usize>| span.start < bytes.end && bytes.start < span.end;
        let turns = layout.turns.as_deref();
        let place = if let Some(turns) = turns {
            match turns.iter().any(overlaps) {
                true => "message",
                false => continue,
            }
        } else if layout.spans.iter().any(|planted| overlaps(&planted.bytes)) {
            "needle"
        } else if overlaps(&layout.haystack) {
            "haystack"
        } else if overlaps(&layout.content) {
            "question"
        } else if overlaps(&(layout.completion..layout.text.len())) {
            "completion"
        } else {
            continue;
        };
        let (token, near) = (&layout.text[span.clone()], excerpt(&layout.text, span.clone()));
        return Err(format!(
            "the {place} holds the special token {token:?} (id {id}): {near:?}; take it out of the text"
        ));
    }
    let Some(bos) = tokenizer.bos() else { return Ok(()) };
    let count = usize::from(draft.bos.is_some()) + encoded.filter(|(id, _)| **id == bos).count();
    if count == 1 {
        return Ok(());
    }
    Err(format!(
        "the prompt holds {count} beginning-of-sequence tokens instead of one; correct the chat template, \
         which writes it more than once"
    ))
}
