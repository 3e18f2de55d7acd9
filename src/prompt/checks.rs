//! What must hold for a prompt before it is run.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::task::Question;
use crate::tokenizer::Tokenize;

use super::Draft;
use super::layout::Layout;

/// Every answer must occur as often as needles with it were inserted; says where one occurs besides.
pub(super) fn collision(question: &Question, layout: &Layout) -> Option<String> {
    let answers: BTreeSet<&str> = question
        .needles
        .iter()
        .map(|needle| needle.value())
        .chain(question.expected.iter().map(String::as_str))
        .filter(|answer| !answer.is_empty())
        .collect();
    let prompt = &layout.text[..layout.answer];
    answers.into_iter().find_map(|answer| {
        let inserted: usize =
            question.needles.iter().map(|needle| occurrences(needle.text(), answer).count()).sum();
        if occurrences(prompt, answer).count() == inserted {
            return None;
        }
        let inside = |range: &Range<usize>, at: usize| range.start <= at && at + answer.len() <= range.end;
        let place = occurrences(prompt, answer).find(|&at| !layout.needles.iter().any(|needle| inside(needle, at)));
        let near = place.map_or("", |at| excerpt(prompt, at..at + answer.len()));
        Some(match place {
            Some(at) if inside(&layout.haystack, at) => format!(
                "the haystack says the answer {answer:?} besides the needle: {near:?}; use another --seed or --haystack"
            ),
            _ => format!(
                "the question or the template says the answer {answer:?}: {near:?}; ask without giving it away"
            ),
        })
    })
}

/// Where `answer` stands in `text` with no letter or digit touching it, as the `match` score sees it.
fn occurrences<'a>(text: &'a str, answer: &'a str) -> impl Iterator<Item = usize> + 'a {
    // Scripts without spaces have no word borders, so their letters touch nothing.
    let is_word = |c: char| c.is_alphanumeric() && c < '\u{2E80}';
    let touched = move |before: &str, after: &str| {
        let left = answer.starts_with(is_word) && before.ends_with(is_word);
        let right = answer.ends_with(is_word) && after.starts_with(is_word);
        left || right
    };
    let places = text.match_indices(answer).map(|(at, _)| at);
    places.filter(move |&at| !touched(&text[..at], &text[at + answer.len()..]))
}

/// No special token may stand in the user's turn or the completion, and where the model wants a BOS there is exactly one.
pub(super) fn special_tokens(draft: &Draft, tokenizer: &dyn Tokenize) -> Result<(), String> {
    let layout = &draft.layout;
    let encoded = draft.encoded.ids.iter().zip(&draft.encoded.spans);
    for (id, span) in encoded.clone().filter(|(id, _)| tokenizer.special_ids().contains(id)) {
        let overlaps = |bytes: &Range<usize>| span.start < bytes.end && bytes.start < span.end;
        let place = if layout.needles.iter().any(overlaps) {
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

/// These bytes of `text` with some text around them.
fn excerpt(text: &str, bytes: Range<usize>) -> &str {
    const AROUND: usize = 40;
    let start = (0..=bytes.start.saturating_sub(AROUND)).rev().find(|&at| text.is_char_boundary(at));
    let end = (bytes.end + AROUND..text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or(0)..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_inside_a_longer_word_or_number_is_no_occurrence() {
        let count = |text, answer| occurrences(text, answer).count();
        assert_eq!(count("12 123 312 (12) 12.", "12"), 3);
        assert_eq!(count("cat, concat, cats. cat", "cat"), 2);
        assert_eq!(count("答えはピアノです。ピアノ", "ピアノ"), 2);
    }
}
