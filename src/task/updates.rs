//! `updates`: a stream in which each of several keys gets new values again and again; the last ones are asked
//! for, as in PI-LLM (Wang and Sun 2025, arXiv 2506.08184). Everything is stale but the last value of a key.

use super::values::{Values, joined};
use super::{Breaks, Item, Listed, Listing, ListingRequest, Question, Task, Wording};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;

/// Keys of a stream.
const KEYS: usize = 4;

pub(super) struct Updates {
    name: &'static str,
    write: fn(&ListingRequest) -> Result<Listed, Error>,
}

impl Updates {
    /// The keys take turns at random.
    pub(super) const SHUFFLED: Self = Self { name: SHUFFLED, write: write_shuffled };
    /// All updates of a key in a row.
    pub(super) const SEQUENTIAL: Self = Self { name: SEQUENTIAL, write: write_sequential };
}

const SHUFFLED: &str = "updates";
const SEQUENTIAL: &str = "updates-sequential";

impl Task for Updates {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer_budget(&self) -> usize {
        128
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("updates of each key", 2, self.write))
    }

    fn without_depth(&self) -> Option<&'static str> {
        Some("all keys are asked for, and the last value of each stands where its last update does")
    }
}

fn write_shuffled(request: &ListingRequest) -> Result<Listed, Error> {
    write(request, SHUFFLED, |order, rng| rng.shuffle(order))
}

fn write_sequential(request: &ListingRequest) -> Result<Listed, Error> {
    write(request, SEQUENTIAL, |_, _| ())
}

fn write(request: &ListingRequest, task: &str, mix: fn(&mut Vec<usize>, &mut Rng)) -> Result<Listed, Error> {
    let mut rng = request.own(task);
    let mut values = Values::new(request.split);
    let keys: Vec<String> = (0..KEYS).map(|_| values.key(&mut rng)).collect();
    // The key of each line.
    let mut order: Vec<usize> = (0..KEYS * request.items).map(|line| line / request.items).collect();
    mix(&mut order, &mut rng);
    let last: Vec<_> = (0..KEYS).map(|key| order.iter().rposition(|&of| of == key)).collect();
    let mut expected = vec![String::new(); KEYS];
    let mut items = Vec::with_capacity(order.len());
    for (line, &key) in order.iter().enumerate() {
        let value = values.number(&mut rng, 6);
        let needle = Needle::new(format!("{}: {value}", keys[key]), &value)?;
        let kind = if last[key] == Some(line) { SpanKind::Target } else { SpanKind::Stale };
        items.push(Item::needle(&needle, kind));
        expected[key] = value;
    }
    let listed = joined(&keys);
    // The answer says one key after the other, each in the same words.
    let completion = format!("The current values of {listed} are: ");
    Ok(Listed {
        items,
        between: "\n",
        question: Question {
            instruction: format!(
                "The text below is a stream of lines, each of which gives one of these keys a new value: \
                 {listed}. A new value takes the place of the one before. The text stream starts on the next \
                 line.\n"
            ),
            question: format!("What are the current values of {listed}, in this order?"),
            completion,
            completion_in_chat: true,
            breaks: Breaks { question: "\n\n", ..Breaks::default() },
            expected,
            wording: Wording::default(),
            ..Question::default()
        },
        ..Listed::default()
    })
}
