//! Needles, the checks of question and haystack, and the score `match` agree on where a value stands free.

use crate::toys;

use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::Haystack;
use niah::needle::Needle;
use niah::prompt::{Assistant, Form, PromptPlan, Snap};
use niah::score::{Contains, Match, Scorer};
use niah::standing::{is_contained, occurrences, stands_free};
use niah::task::Custom;
use niah::trial::Trial;
use proptest::prelude::*;

/// Pieces that meet in every way: parts of words, numbers and what belongs to them, marks, scripts without
/// spaces.
const PIECES: &[&str] = &[
    "12",
    "5",
    "345",
    "7,743,219",
    "7743219",
    "red",
    "RED",
    "Fred",
    "é",
    "e\u{301}",
    "\u{301}",
    "can",
    "'t",
    "’s",
    "'",
    " ",
    "\n",
    "\u{A0}",
    "  ",
    ".",
    ",",
    "，",
    "-",
    "–",
    "—",
    "是",
    "五",
    "ピア",
    "ノ",
    "서울",
    "남",
    "은",
    "แม",
    "ว",
    "า",
    "\u{AD}",
    "\u{200B}",
    "(",
    ")",
    "_",
    "%",
    "５",
    "²",
    "ß",
    "ﬁ",
    "İ",
    "+",
    "\"",
    "…",
];

fn text(longest: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 1..longest).prop_map(|pieces| pieces.concat())
}

/// Whether a prompt whose haystack holds `text` is refused for saying `answer`.
fn haystack_says(text: &str, answer: &str) -> bool {
    let task = Custom::new(&format!("Mind this: {answer} !"), Some("Which?"), Some(answer)).unwrap();
    let plan = PromptPlan {
        built: niah::prompt::Built::default(),
        task: Box::new(task),
        haystack: Haystack::from_text(&format!("Begin: {text} :end.")),
        form: Form::Completion,
        assistant: Assistant::default(),
        snap: Snap::Sentence,
        answer_budget: None,
    };
    let cell = Cell { context_length: ContextLength(2000), depth: Depth::from_percent(0.0).unwrap() };
    let trial = Trial { cell, index: 0, seed: 0 };
    let [toy, ..] = toys::all();
    match plan.build(&trial, &toy, &mut plan.haystack_tokens(&trial)) {
        Ok(_) => false,
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("besides the needle"), "{}: {message}", toy.name);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn needles_questions_haystacks_and_match_agree(text in text(8), value in text(3)) {
        let (text, value) = (text.trim(), value.trim());
        let free = stands_free(text, value);
        prop_assert_eq!(Match.score(text, &[value.to_string()]) == 1.0, free);
        let needle = Needle::new(text, value);
        prop_assert_eq!(needle.is_ok(), free, "{:?}", needle);
        let framed = format!("Mind this: {value} !");
        if stands_free(&framed, value) && occurrences(&framed, value).len() == 1 {
            let question = format!("Begin: {text} :end.");
            let asked = Custom::new(&framed, Some(&question), Some(value));
            prop_assert_eq!(asked.is_err(), stands_free(&question, value), "{:?} in {:?}", value, question);
            prop_assert_eq!(haystack_says(text, value), stands_free(&question, value), "{:?} in {:?}", value, question);
        }
    }

    #[test]
    fn what_stands_free_is_contained_and_what_ruler_finds_is_found(text in text(8), value in text(3)) {
        let value = value.trim();
        prop_assert!(!stands_free(&text, value) || is_contained(&text, value));
        let contains = Contains.score(&text, &[value.to_string()]) == 1.0;
        prop_assert!(contains || !is_contained(&text, value));
        let ruler = !value.is_empty() && text.to_lowercase().contains(&value.to_lowercase());
        prop_assert!(contains || !ruler);
    }

    #[test]
    fn places_hold_the_value_free_of_what_is_not_seen_and_of_its_case(text in text(8), value in text(3)) {
        for place in occurrences(&text, &value) {
            prop_assert!(is_contained(&text[place], &value));
        }
        let hidden: String = text.chars().flat_map(|c| [c, '\u{200B}']).collect();
        prop_assert_eq!(stands_free(&hidden, &value), stands_free(&text, &value));
        prop_assert_eq!(stands_free(&text, &value.to_lowercase()), stands_free(&text, &value));
    }
}
