//! `repeat`: one word again and again with another one among them, to be written down exactly as it stands.

use super::words::NOUNS;
use super::{Item, Listed, Listing, ListingRequest, Question, Task};
use crate::error::Error;
use crate::span::SpanKind;

pub(super) struct Repeat;

const NAME: &str = "repeat";

impl Task for Repeat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn default_scorer(&self) -> &'static str {
        "edit"
    }

    /// The answer is as long as the text; what it takes is reserved in any case.
    fn answer_budget(&self) -> usize {
        1
    }

    fn hides(&self) -> bool {
        false
    }

    fn copies_one_word(&self) -> bool {
        true
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("words", 5, write))
    }
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let (mut common, mut own) = (request.common(NAME), request.own(NAME));
    let word = *common.choose(NOUNS);
    let other = loop {
        let other = *own.choose(NOUNS);
        if other != word {
            break other;
        }
    };
    let mut items = vec![Item::plain(word); request.items - 1];
    items.insert(request.place(items.len()), Item::ending_in("", other, SpanKind::Target));
    let text: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
    let expected = vec![text.join(" ")];
    Ok(Listed {
        items,
        between: " ",
        question: Question {
            instruction: format!(
                "The text below says the word \"{word}\" again and again, and once another word.\n\n"
            ),
            question: "Write this text again, word for word, with every word in its place.".to_string(),
            expected,
            said_elsewhere: true,
            ..Question::default()
        },
        ..Listed::default()
    })
}
