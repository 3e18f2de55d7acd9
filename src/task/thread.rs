//! `thread`: from key to value to key, through a JSON object of UUIDs, as in needle threading (Roberts et al.
//! 2024, arXiv 2411.05000).

use super::kv::pair;
use super::values::Values;
use super::{Breaks, Item, Listed, Listing, ListingRequest, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;

/// Steps of the thread: this many entries lead from the first key to the value that is asked for.
const STEPS: usize = 4;

/// The order in which the steps stand in the text.
pub(super) struct Thread {
    name: &'static str,
    write: fn(&ListingRequest) -> Result<Listed, Error>,
}

impl Thread {
    pub(super) const FORWARD: Self = Self { name: FORWARD, write: write_forward };
    pub(super) const BACKWARD: Self = Self { name: BACKWARD, write: write_backward };
    pub(super) const RANDOM: Self = Self { name: RANDOM, write: write_random };
}

const FORWARD: &str = "thread";
const BACKWARD: &str = "thread-backward";
const RANDOM: &str = "thread-random";

impl Task for Thread {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer_budget(&self) -> usize {
        64
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("entries", STEPS, self.write))
    }
}

fn write_forward(request: &ListingRequest) -> Result<Listed, Error> {
    write(request, FORWARD, |_, _| ())
}

fn write_backward(request: &ListingRequest) -> Result<Listed, Error> {
    write(request, BACKWARD, |steps, _| steps.reverse())
}

fn write_random(request: &ListingRequest) -> Result<Listed, Error> {
    write(request, RANDOM, |steps, rng| rng.shuffle(steps))
}

fn write(
    request: &ListingRequest,
    task: &str,
    arrange: fn(&mut Vec<Item>, &mut Rng),
) -> Result<Listed, Error> {
    let mut values = Values::new(request.split);
    let mut rng = request.common(task);
    let mut items: Vec<Item> = Vec::with_capacity(request.items);
    for _ in STEPS..request.items {
        items.push(Item::plain(pair(&values.uuid(&mut rng), &values.uuid(&mut rng))));
    }
    let mut rng = request.own(task);
    let thread: Vec<String> = (0..=STEPS).map(|_| values.uuid(&mut rng)).collect();
    let step = |number: usize| -> Result<Item, Error> {
        let (key, value) = (&thread[number - 1], &thread[number]);
        let kind = if number == STEPS { SpanKind::Target } else { SpanKind::Hop(number) };
        Ok(Item::needle(&Needle::new(pair(key, value), value)?, kind))
    };
    let mut steps = (1..=STEPS).map(step).collect::<Result<Vec<_>, _>>()?;
    arrange(&mut steps, &mut rng);
    let (others, first) = (items.len(), request.place(items.len()));
    for (number, step) in steps.into_iter().enumerate() {
        items.insert(first + (others - first) * number / STEPS + number, step);
    }
    let (start, value) = (&thread[0], &thread[STEPS]);
    Ok(Listed {
        head: "{".to_string(),
        items,
        between: ",\n ",
        tail: "}".to_string(),
        question: Question {
            instruction: "In the JSON object below the value of a key may be a key again.\n\n".to_string(),
            question: format!(
                "Begin at the key \"{start}\". Look its value up; if that is a key as well, look up the value \
                 of that, and go on until you come to a value that is no key. Which value is that?"
            ),
            completion: "The last value is: \"".to_string(),
            completion_in_chat: true,
            breaks: Breaks { answer: "", ..Breaks::default() },
            expected: vec![value.clone()],
            ..Question::default()
        },
    })
}
