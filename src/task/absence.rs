//! `absence`: a list of numbered lines and a copy from which some are gone; which ones? The idea is that of
//! AbsenceBench (Fu et al. 2025, arXiv 2506.11440): attention cannot look at what is not there.

use super::{Item, Listed, Listing, ListingRequest, Mark, Question, Task, Wording};
use crate::error::Error;
use crate::haystack::HaystackStream;
use crate::haystack::synthetic;
use crate::span::SpanKind;

/// Lines that are gone.
const GONE: usize = 3;

pub(super) struct Absence;

const NAME: &str = "absence";

impl Task for Absence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn default_scorer(&self) -> &'static str {
        "set-f1"
    }

    fn answer_budget(&self) -> usize {
        32
    }

    fn hides(&self) -> bool {
        false
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("lines", GONE + 2, write))
    }
}

/// Sentences of a trial, each of them once.
pub(super) fn sentences(request: &ListingRequest, task: &str, count: usize) -> Vec<String> {
    let seed = request.common(task).next_u64();
    let mut stream = HaystackStream::new(synthetic::open(seed, 0, request.split));
    // One more ends behind the last, so that none is cut off.
    let mut bytes = 0;
    while stream.sentence_ends().len() <= count {
        bytes += 1 << 14;
        stream.grow_to(bytes);
    }
    let starts = std::iter::once(0).chain(stream.sentence_ends().iter().copied());
    let sentence = |(start, &end): (usize, &usize)| stream.text()[start..end].trim().to_string();
    starts.zip(stream.sentence_ends()).map(sentence).take(count).collect()
}

fn write(request: &ListingRequest) -> Result<Listed, Error> {
    let lines = sentences(request, NAME, request.items);
    let mut rng = request.own(NAME);
    // The first one that is gone stands at the depth, the others anywhere behind it; or before it, where
    // there is no room behind.
    let first = request.place(request.items - 1);
    let mut candidates: Vec<usize> = (first + 1..request.items).collect();
    rng.shuffle(&mut candidates);
    candidates.truncate(GONE - 1);
    let before = (0..first).rev().take(GONE - 1 - candidates.len());
    let mut gone: Vec<usize> = before.chain([first]).chain(candidates).collect();
    gone.sort_unstable();
    let mut items = vec![Item::plain("The list:")];
    for (number, line) in lines.iter().enumerate() {
        let label = (number + 1).to_string();
        let text = format!("{label}. {line}");
        let mark = gone.contains(&number).then_some(Mark {
            kind: SpanKind::Target,
            bytes: 0..text.len(),
            value: 0..label.len(),
        });
        items.push(Item { text, mark });
    }
    items.push(Item::plain("\nThe copy:"));
    let kept = lines.iter().enumerate().filter(|(number, _)| !gone.contains(number));
    items.extend(kept.map(|(_, line)| Item::plain(line.as_str())));
    Ok(Listed {
        items,
        between: "\n",
        question: Question {
            instruction:
                "Below is a list of numbered lines, and then a copy of it without the numbers. Some \
                          lines of the list are not in the copy.\n\n"
                    .to_string(),
            question: "Which lines of the list are not in the copy? Say nothing but their numbers, as in \
                       Missing: [2, 3]"
                .to_string(),
            completion: "Missing: ".to_string(),
            completion_in_chat: true,
            expected: gone.iter().map(|number| (number + 1).to_string()).collect(),
            wording: Wording { before: "[", after: "]", ..Wording::default() },
            said_elsewhere: true,
            ..Question::default()
        },
        ..Listed::default()
    })
}
