//! `rounds`: a conversation of requests for short texts, some of them the same; one of the answers to these
//! is to be written again. The structure is that of MRCR (Vodrahalli et al. 2024, arXiv 2409.12640).

use super::absence::sentences;
use super::values::Values;
use super::words::NOUNS;
use super::{Item, Listed, Listing, ListingRequest, Question, Task, Wording};
use crate::error::Error;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;

/// How often the same is asked for, as words.
const SAME: [&str; 4] = ["first", "second", "third", "fourth"];

/// What can be asked for.
const FORMS: &[&str] = &[
    "riddle",
    "postcard",
    "diary entry",
    "news item",
    "bedtime story",
    "letter",
    "legend",
    "travel note",
    "speech",
    "review",
];

/// Sentences of a text.
const SENTENCES: usize = 2;

/// Characters that the answer begins with, so that it is no accident.
const PREFIX: usize = 12;

pub(super) struct Rounds;

const NAME: &str = "rounds";

impl Task for Rounds {
    fn name(&self) -> &'static str {
        NAME
    }

    fn default_scorer(&self) -> &'static str {
        "sequence-ratio"
    }

    fn answer_budget(&self) -> usize {
        160
    }

    fn hides(&self) -> bool {
        false
    }

    fn has_noise_floor(&self) -> bool {
        true
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("requests", SAME.len(), write))
    }
}

/// What a text is about, and what it is.
type Wish = (&'static str, &'static str);

fn draw_wish(rng: &mut Rng) -> Wish {
    (*rng.choose(FORMS), *rng.choose(NOUNS))
}

/// A request and the answer to it.
fn turns((form, topic): Wish, text: &str, kind: Option<SpanKind>) -> Item {
    let request = format!("User: Write a {form} on the theme of {topic}.\n\nAssistant: ");
    match kind {
        Some(kind) => Item::ending_in(&request, text, kind),
        None => Item::plain(request + text),
    }
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let sentences = sentences(request, NAME, SENTENCES * request.items);
    let text = |number: usize| sentences[SENTENCES * number..SENTENCES * (number + 1)].join(" ");
    let mut rng = request.common(NAME);
    let wish = draw_wish(&mut rng);
    let others = request.items - SAME.len();
    let mut items: Vec<Item> = Vec::with_capacity(request.items);
    while items.len() < others {
        let other = draw_wish(&mut rng);
        if other != wish {
            items.push(turns(other, &text(items.len()), None));
        }
    }
    // The deeper the one that is asked for, the more of the same stand before it.
    let last = SAME.len() - 1;
    let asked = (request.trial.cell.depth.fraction() * last as f64).round() as usize;
    let place = request.place(others);
    let at = |number: usize| match number {
        _ if number < asked => place * (2 * number + 1) / (2 * asked),
        _ if number == asked => place,
        _ => place + (others - place) * (2 * (number - asked) - 1) / (2 * (last - asked)),
    };
    let target = text(others + asked);
    for number in 0..SAME.len() {
        let kind = if number == asked { SpanKind::Target } else { SpanKind::Other };
        items.insert(at(number) + number, turns(wish, &text(others + number), Some(kind)));
    }
    let prefix = Values::new(Split::All).letters(&mut request.own(NAME), PREFIX, b'a');
    let (form, topic) = wish;
    Ok(Listed {
        items,
        between: "\n\n",
        question: Question {
            instruction: "Below is a conversation. Answer what is asked at its end.\n\n".to_string(),
            question: format!(
                "User: Write the {} {form} on the theme of {topic} again, word for word, with {prefix} in front of \
                 it and nothing else.",
                SAME[asked]
            ),
            completion: "\nAssistant: ".to_string(),
            expected: vec![prefix, target],
            wording: Wording { between: " ", ..Wording::default() },
            said_elsewhere: true,
            ..Question::default()
        },
        ..Listed::default()
    })
}
