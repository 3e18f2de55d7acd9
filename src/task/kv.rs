//! `kv` and `kv-phonebook`: one value of many, each under its key, as in "Lost in the middle" (Liu et al.
//! 2023, arXiv 2307.03172).

use super::values::Values;
use super::{Item, Listed, Listing, ListingRequest, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;

/// A text of entries, of which one is asked for.
pub(super) struct KeyValues {
    name: &'static str,
    write: fn(&ListingRequest) -> Result<Listed, Error>,
    budget: usize,
}

impl KeyValues {
    pub(super) const JSON: Self = Self { name: JSON, write: write_json, budget: 64 };
    pub(super) const PHONEBOOK: Self = Self { name: PHONEBOOK, write: write_phonebook, budget: 16 };
}

const JSON: &str = "kv";
const PHONEBOOK: &str = "kv-phonebook";

impl Task for KeyValues {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer_budget(&self) -> usize {
        self.budget
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new("entries", 2, self.write))
    }
}

type Draw = fn(&mut Values, &mut Rng) -> String;

/// The entries of a text, the one that is asked for at its place among them, and that one's key and value.
fn entries(
    request: &ListingRequest,
    task: &str,
    (key, value): (Draw, Draw),
    form: fn(&str, &str) -> String,
) -> Result<(Vec<Item>, String, String), Error> {
    let mut values = Values::new(request.split);
    let mut rng = request.common(task);
    let mut items: Vec<Item> = Vec::with_capacity(request.items);
    for _ in 1..request.items {
        let (key, value) = (key(&mut values, &mut rng), value(&mut values, &mut rng));
        items.push(Item::plain(form(&key, &value)));
    }
    let mut rng = request.own(task);
    let (key, value) = (key(&mut values, &mut rng), value(&mut values, &mut rng));
    let needle = Needle::new(form(&key, &value), &value)?;
    items.insert(request.place(items.len()), Item::needle(&needle, SpanKind::Target));
    Ok((items, key, value))
}

/// An entry of a JSON object.
pub(super) fn pair(key: &str, value: &str) -> String {
    format!("\"{key}\": \"{value}\"")
}

fn write_json(request: &ListingRequest) -> Result<Listed, Error> {
    let (items, key, value) = entries(request, JSON, (Values::uuid, Values::uuid), pair)?;
    Ok(Listed {
        head: "{".to_string(),
        items,
        between: ",\n ",
        tail: "}".to_string(),
        question: Question {
            instruction: "Extract the value corresponding to the specified key in the JSON object below.\n\n\
                          JSON data:\n"
                .to_string(),
            question: format!("Key: \"{key}\""),
            completion: "Corresponding value: \"".to_string(),
            completion_in_chat: true,
            breaks: super::Breaks { answer: "", ..Default::default() },
            expected: vec![value],
            ..Question::default()
        },
    })
}

fn write_phonebook(request: &ListingRequest) -> Result<Listed, Error> {
    let number: Draw = |values, rng| values.number(rng, 7);
    let form = |person: &str, number: &str| format!("{person}: {number}");
    let (items, person, value) = entries(request, PHONEBOOK, (Values::person, number), form)?;
    Ok(Listed {
        items,
        between: "\n",
        question: Question {
            instruction: "Here is a phone book, a person on each line.\n\n".to_string(),
            question: format!("What is the phone number of {person}?"),
            completion: format!("{person}: "),
            completion_in_chat: true,
            expected: vec![value],
            ..Question::default()
        },
        ..Listed::default()
    })
}
