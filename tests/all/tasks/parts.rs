//! What holds for the prompts of all tasks.

use std::collections::BTreeSet;

use niah::error::Error;
use niah::prompt::{Form, Prompt};
use niah::score::{Normalise, SCORERS, scoring, stem};
use niah::span::SpanKind;
use niah::split::Split;
use niah::standing::occurrences;
use niah::task::ListingRequest;
use niah::tokenizer::Tokenize;
use niah::trial::Trial;
use proptest::prelude::*;
use rayon::prelude::*;

use super::{SAID_ELSEWHERE, build, chat, enough, entries, held_out, plan, plan_of, task, trial};
use crate::toys::{self, Toy};

/// What the model would say if it said what is expected.
fn answer(toy: &Toy, prompt: &Prompt) -> String {
    toy.decode(&prompt.answer_tokens).unwrap()
}

/// A tokenizer with its name.
pub(super) type Named<'a> = (&'a str, &'a dyn Tokenize);

fn named(toy: &Toy) -> Named<'_> {
    (toy.name, toy)
}

/// Everything that holds for each prompt of a task on its own.
pub(super) fn check(name: &str, length: usize, (of, toy): Named<'_>, prompt: &Prompt) {
    assert!(prompt.tokens.len() + prompt.answer_budget <= length, "{name}");
    assert!(prompt.answer_tokens.len() <= prompt.answer_budget, "{name}");
    let mut end = prompt.haystack.start;
    for span in &prompt.spans {
        let shown = toy.decode(&prompt.tokens[span.tokens.clone()]).unwrap();
        assert!(shown.contains(span.text.trim()), "{name} {}: {shown:?} for {:?}", of, span.text);
        // Tokens at its ends may hold a few characters of what stands beside it.
        let beside = shown.trim().chars().count() - span.text.trim().chars().count();
        assert!(beside <= 4, "{name} {of}: {shown:?} for {:?}", span.text);
        assert!(
            span.tokens.start >= end.saturating_sub(1) && span.tokens.end <= prompt.haystack.end,
            "{name}"
        );
        assert!(span.value.start >= span.tokens.start && span.value.end <= span.tokens.end, "{name}");
        assert!(!span.value.is_empty(), "{name}");
        end = span.tokens.end;
    }
    let targets = prompt.spans.iter().filter(|span| span.kind == SpanKind::Target).count();
    let steps = prompt.spans.iter().filter(|span| matches!(span.kind, SpanKind::Hop(_))).count();
    assert_eq!(prompt.needles.len(), if targets > 0 { targets } else { steps }, "{name}");
    assert!(!prompt.needles.is_empty() && !prompt.expected.is_empty(), "{name}");
    assert_eq!(prompt.answer_items.len(), prompt.expected.len(), "{name}");
    for (&item, expected) in prompt.answer_items.iter().zip(&prompt.expected) {
        let rest = toy.decode(&prompt.answer_tokens[item..]).unwrap();
        let rest = rest.trim_start_matches([' ', '[', '"']);
        assert!(
            rest.starts_with(expected.trim_start_matches('"')),
            "{name} {}: {rest:?} for {expected:?}",
            of
        );
    }
    if !SAID_ELSEWHERE.contains(&name) {
        for expected in &prompt.expected {
            let inside: usize = prompt.spans.iter().map(|span| occurrences(&span.text, expected).len()).sum();
            assert!(inside > 0, "{name}: {expected}");
            assert_eq!(occurrences(&prompt.text, expected).len(), inside, "{name}: {expected}");
        }
    }
    let needed = |kind: SpanKind| matches!(kind, SpanKind::Target | SpanKind::Stale);
    let texts: BTreeSet<_> =
        prompt.spans.iter().filter(|span| needed(span.kind)).map(|span| &span.text).collect();
    for other in
        prompt.spans.iter().filter(|span| matches!(span.kind, SpanKind::Other | SpanKind::Distractor))
    {
        assert!(!texts.contains(&other.text), "{name}: {}", other.text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_prompt_knows_its_spans_its_answer_and_its_length(
        in_chat in any::<bool>(),
        more in 0_usize..900,
        depth in prop_oneof![Just(0.0), Just(100.0), 0.0..100.0],
        (index, seed) in (0_usize..3, 0_u64..1000),
    ) {
        for entry in entries() {
            let plan = plan(entry.name, if in_chat { chat() } else { Form::Completion });
            for toy in [toys::words(), toys::merging()] {
                let length = enough(&toy) + more;
                let trial = trial(length, depth, index, seed);
                let prompt = build(&plan, &trial, &toy);
                check(entry.name, length, named(&toy), &prompt);
                prop_assert_eq!(&build(&plan, &trial, &toy), &prompt, "{}", entry.name);
            }
        }
    }
}

#[test]
fn equal_seeds_give_equal_bytes_on_any_number_of_threads_and_in_any_order() {
    let names: Vec<&str> = entries().map(|entry| entry.name).collect();
    let toy = toys::merging();
    let prompts = |name: &str, reversed: bool| {
        let plan = plan(name, if name.len().is_multiple_of(2) { chat() } else { Form::Completion });
        let mut trials: Vec<Trial> =
            [0.0, 60.0, 100.0].iter().map(|&depth| trial(enough(&toy), depth, 1, 12)).collect();
        if reversed {
            trials.reverse();
        }
        let mut built: Vec<Prompt> = trials.iter().map(|trial| build(&plan, trial, &toy)).collect();
        if reversed {
            built.reverse();
        }
        built
    };
    let alone: Vec<_> = names.iter().map(|name| prompts(name, false)).collect();
    for threads in [2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together: Vec<_> = pool.install(|| names.par_iter().map(|name| prompts(name, true)).collect());
        assert_eq!(together, alone, "{threads} threads");
    }
}

#[test]
fn a_token_a_byte_changes_nothing() {
    for entry in entries() {
        let (plan, toy) = (plan(entry.name, chat()), toys::bytes());
        check(entry.name, enough(&toy), named(&toy), &build(&plan, &trial(enough(&toy), 40.0, 1, 9), &toy));
    }
}

#[test]
fn the_expected_answer_scores_one_and_an_empty_one_nothing() {
    for entry in entries() {
        let (plan, toy) = (plan(entry.name, Form::Completion), toys::words());
        for seed in 0..3 {
            let prompt = build(&plan, &trial(enough(&toy), 50.0, 0, seed), &toy);
            let said = answer(&toy, &prompt);
            let own = niah::score::named(plan.task.default_scorer()).unwrap();
            assert_eq!(own.score(&said, &prompt.expected), 1.0, "{}: {said}", entry.name);
            assert!(own.is_correct(1.0) && !own.is_correct(0.0));
            let normalised = scoring(plan.task.default_scorer(), Normalise::Numbers, None).unwrap();
            let scores = [said.as_str(), ""].map(|said| normalised.score(said, &prompt.expected));
            assert_eq!(scores, [1.0, 0.0], "{}: {said}", entry.name);
            for scorer in SCORERS {
                for response in [said.as_str(), "", "It is 42.", &prompt.question, "[a, b]"] {
                    let score = scorer.value.score(response, &prompt.expected);
                    assert!((0.0..=1.0).contains(&score), "{} {}", entry.name, scorer.name);
                    assert!(!response.is_empty() || score == 0.0, "{} {}", entry.name, scorer.name);
                }
            }
        }
    }
}

#[test]
fn tasks_of_one_seed_draw_apart_from_each_other_and_seeds_too() {
    let value = |name: &str, seed| {
        let toy = toys::words();
        build(&plan(name, Form::Completion), &trial(enough(&toy), 50.0, 0, seed), &toy).expected
    };
    let names = ["multi", "multi-2", "ruler-niah-single-2", "ruler-niah-multiquery", "magic"];
    let first: BTreeSet<_> = names.iter().map(|name| value(name, 5)[0].clone()).collect();
    assert_eq!(first.len(), names.len(), "{first:?}");
    for entry in entries().filter(|entry| !["gkamradt", "associative"].contains(&entry.name)) {
        assert_ne!(value(entry.name, 1), value(entry.name, 2), "{}", entry.name);
    }
}

#[test]
fn values_are_of_the_part_that_is_asked_for() {
    // Where values are drawn freely; words of a list and fixed texts are in no part.
    for name in [
        "multi",
        "multi-8",
        "kv",
        "kv-phonebook",
        "updates",
        "thread",
        "ruler-niah-multivalue",
        "ruler-niah-multikey-3",
    ] {
        let toy = toys::words();
        let plan = plan_of(held_out(name), Form::Completion);
        let prompt = build(&plan, &trial(2000, 30.0, 0, 3), &toy);
        assert!(
            prompt.expected.iter().all(|value| Split::HeldOut.holds(value)),
            "{name}: {:?}",
            prompt.expected
        );
    }
}

/// A text that a task writes itself is never longer than asked, and has no room for another item.
pub(super) fn listed_as_many_as_fit(name: &str, trial: &Trial, (of, tokenizer): Named<'_>) {
    let plan = plan(name, Form::Completion);
    let listing = plan.task.listing().unwrap();
    let prompt = plan.build(trial, tokenizer, &mut plan.haystack_tokens(trial));
    let prompt = prompt.unwrap_or_else(|error| panic!("{name} {of}: {error}"));
    let written = |items| {
        let listed = (listing.write)(&ListingRequest { items, trial: *trial, split: Split::All }).unwrap();
        let texts: Vec<_> = listed.items.iter().map(|item| item.text.as_str()).collect();
        let answer = listed.question.answer().0;
        (format!("{}{}{}", listed.head, texts.join(listed.between), listed.tail), answer)
    };
    let tokens = |text: &str| tokenizer.encode(text).unwrap().ids.len();
    // Texts of more items are longer: the largest that is no longer than the prompt is found by halving.
    let (mut items, mut beyond) = (listing.fewest, listing.fewest + prompt.text.len());
    while beyond - items > 1 {
        let middle = (items + beyond) / 2;
        let fits = written(middle).0.len() <= prompt.text.len();
        (items, beyond) = if fits { (middle, beyond) } else { (items, middle) };
    }
    let held = |items: &usize| prompt.text.contains(written(*items).0.trim_end());
    let items = (listing.fewest..=items).rev().find(held).unwrap_or_else(|| panic!("{name} {of}"));
    let ((now, answer_now), (next, answer_next)) = (written(items), written(items + 1));
    let more = tokens(&next) - tokens(&now);
    let budget = plan.task.answer_budget();
    let answers = tokens(&answer_next).max(budget).saturating_sub(tokens(&answer_now).max(budget));
    let (taken, length) = (prompt.tokens.len() + prompt.answer_budget, trial.cell.context_length.0);
    assert!(taken <= length, "{name} {of}: {taken} for {length}");
    // An answer merges with what stands before it by a token at most.
    assert!(taken + more + answers + 2 > length, "{name} {of}: {taken} + {more} for {length}");
}

#[test]
fn a_listed_text_has_as_many_items_as_fit() {
    for entry in entries().filter(|entry| (entry.value)().listing().is_some()) {
        let toy = toys::words();
        listed_as_many_as_fit(entry.name, &trial(enough(&toy) + 77, 50.0, 0, 4), named(&toy));
    }
}

#[test]
fn what_is_too_long_says_what_it_needs_at_least() {
    for entry in entries() {
        let (plan, toy) = (plan(entry.name, Form::Completion), toys::words());
        let at = |length| trial(length, 50.0, 0, 1);
        let short = plan.build(&at(8), &toy, &mut plan.haystack_tokens(&at(8)));
        let Err(Error::Prompt { problem, .. }) = short else { panic!("{}", entry.name) };
        let said = |before: &str| -> usize {
            let number = problem.split_once(before).unwrap().1;
            number.split([' ', ',']).next().unwrap().parse().unwrap()
        };
        let (minimum, room) = (said("at least "), said("and for "));
        assert!(plan.build(&at(minimum + 32), &toy, &mut plan.haystack_tokens(&at(minimum + 32))).is_ok());
        for trial in (0..8).flat_map(|index| [0.0, 100.0].map(|depth| trial(room, depth, index, 3))) {
            let built = plan.build(&trial, &toy, &mut plan.haystack_tokens(&trial));
            assert!(built.is_ok(), "{}: no room for another trial in {room}", entry.name);
        }
    }
}

#[test]
fn deeper_cells_have_deeper_targets_wherever_a_task_has_depth() {
    for entry in entries() {
        let (plan, toy) = (plan(entry.name, Form::Completion), toys::words());
        let depth =
            |percent| build(&plan, &trial(enough(&toy), percent, 0, 2), &toy).actual_depth.unwrap().percent();
        if plan.task.without_depth().is_some() {
            continue;
        }
        let depths = [depth(0.0), depth(50.0), depth(100.0)];
        assert!(depths[0] < depths[1] && depths[1] <= depths[2], "{}: {depths:?}", entry.name);
    }
}

#[test]
fn cells_of_a_trial_share_what_stands_before_their_targets() {
    for name in ["kv", "kv-phonebook", "thread", "ruler-niah-multikey-2", "ruler-niah-single-1", "absence"] {
        let (plan, toy) = (plan(name, Form::Completion), toys::words());
        let before = |length, depth| {
            let prompt = build(&plan, &trial(length, depth, 1, 6), &toy);
            toy.decode(&prompt.tokens[..prompt.spans[0].tokens.start]).unwrap()
        };
        let (short, long) = (before(1800, 30.0), before(2600, 80.0));
        assert!(long.len() > 2 * short.len(), "{name}");
        assert!(long.starts_with(short.trim_end()), "{name}");
    }
}

#[test]
fn an_associative_question_shares_no_content_word_with_its_needle() {
    const FUNCTION_WORDS: &[&str] = &[
        "a", "an", "and", "at", "behind", "can", "from", "has", "have", "in", "into", "is", "it", "never",
        "not", "of", "on", "or", "out", "over", "since", "so", "that", "the", "to", "which", "with",
        "without",
    ];
    let words = |text: &str| -> BTreeSet<String> {
        let lower = text.to_lowercase();
        let all = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        all.filter(|word| !FUNCTION_WORDS.contains(word)).map(stem).collect()
    };
    let task = task("associative");
    let mut questions = BTreeSet::new();
    for seed in 0..3000 {
        let question = task.draw(&mut niah::rng::Rng::new(seed)).unwrap();
        let needle = question.targets().next().unwrap();
        let both: Vec<_> = words(needle.text()).intersection(&words(&question.question)).cloned().collect();
        assert!(both.is_empty(), "{both:?} in {:?} and {:?}", needle.text(), question.question);
        assert!(!words(needle.text()).is_empty() && !words(&question.question).is_empty());
        questions.insert(question.question);
    }
    assert!(questions.len() > 50, "{}", questions.len());
}
