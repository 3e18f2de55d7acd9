//! With one seed, tasks draw apart from each other, and the cells of a trial share what `docs/statistics.md`
//! says they do.

use std::collections::{BTreeMap, BTreeSet};

use niah::haystack::Haystack;
use niah::prompt::{Form, Prompt};
use niah::rng::Rng;

use super::{build, enough, entries, plan, plan_of, task, trial};
use crate::toys;

/// The first tasks, whose prompts stay what they were: one generator for all of them.
const ONE_GENERATOR: &[&str] = &["magic", "magic-multikey", "gkamradt", "passkey"];

/// Draws at one place of a run, one a purpose.
fn streams(purposes: &[String]) -> Vec<Vec<u64>> {
    let drawn = |mut rng: Rng| (0..256).map(|_| rng.next_u64()).collect();
    let at = trial(4096, 50.0, 3, 42);
    purposes.iter().map(|purpose| drawn(at.rng(purpose))).collect()
}

#[test]
fn the_generators_of_two_tasks_with_one_seed_do_not_coincide() {
    let first: BTreeSet<String> = ONE_GENERATOR.iter().map(|name| task(name).purpose()).collect();
    assert_eq!(first.len(), 1);
    let others = entries().filter(|entry| !ONE_GENERATOR.contains(&entry.name));
    let mut purposes: Vec<String> = others.map(|entry| task(entry.name).purpose()).collect();
    purposes.extend(first);
    let distinct: BTreeSet<&String> = purposes.iter().collect();
    assert_eq!(distinct.len(), purposes.len(), "{purposes:?}");
    let mut seen = BTreeMap::new();
    for (purpose, stream) in purposes.iter().zip(streams(&purposes)) {
        let bits: u32 = stream.iter().map(|number| number.count_ones()).sum();
        assert!((7_800..8_600).contains(&bits), "{purpose}: {bits} of 16384 bits are set");
        for number in stream {
            let other = seen.insert(number, purpose);
            assert!(other.is_none(), "{purpose} and {other:?} both draw {number}");
        }
    }
}

/// What is drawn and long enough to be of one task alone: numbers of six digits and more, and UUIDs.
fn drawn(prompt: &Prompt) -> BTreeSet<&str> {
    let words = prompt.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let long = words.filter(|word| word.len() >= 6 && word.bytes().any(|byte| byte.is_ascii_digit()));
    long.collect()
}

#[test]
fn no_number_that_one_task_draws_stands_in_the_prompt_of_another_with_the_same_seed() {
    // What is published as it is, with the same numbers in each of its forms.
    const PUBLISHED: &[&str] = &["abcdigits", "abcdigits-5x6", "abcdigits-5x2"];
    let toy = &toys::words();
    let names: Vec<&str> = entries().map(|entry| entry.name).collect();
    let prompt = |name: &&str| build(&plan(name, Form::Completion), &trial(enough(toy), 50.0, 0, 7), toy);
    let prompts: Vec<Prompt> = names.iter().map(prompt).collect();
    let mut tasks_with_numbers = 0;
    for (place, (name, prompt)) in names.iter().zip(&prompts).enumerate() {
        let numbers = drawn(prompt);
        tasks_with_numbers += usize::from(!numbers.is_empty());
        for (other, text) in names.iter().zip(&prompts).skip(place + 1) {
            let together = |family: &[&str]| family.contains(name) && family.contains(other);
            if together(ONE_GENERATOR) || together(PUBLISHED) {
                continue;
            }
            let common: Vec<_> = numbers.intersection(&drawn(text)).copied().collect();
            assert!(common.is_empty(), "{name} and {other}: {common:?}");
        }
    }
    assert!(tasks_with_numbers > 15, "{tasks_with_numbers}");
}

#[test]
fn the_cells_of_a_trial_share_its_haystack_whatever_is_asked_and_other_trials_have_their_own() {
    let toy = &toys::words();
    let of = |name: &str, haystack: &str, length: usize, depth: f64, index: usize| {
        let mut plan = plan_of(task(name), Form::Completion);
        plan.haystack = Haystack::resolve(haystack).unwrap();
        let at = trial(length, depth, index, 42);
        let mut tokens = plan.haystack_tokens(&at);
        let prompt = plan.build(&at, toy, &mut tokens).unwrap();
        (prompt.haystack_hash, tokens.stream().text()[..4000].to_string())
    };
    for haystack in ["essays", "synthetic", "noise"] {
        let (hash, text) = of("gkamradt", haystack, 2000, 0.0, 0);
        assert_eq!(of("gkamradt", haystack, 2000, 100.0, 0).0, hash, "{haystack}: another depth");
        assert_eq!(of("gkamradt", haystack, 3000, 0.0, 0).1, text, "{haystack}: another length");
        assert_eq!(of("multi", haystack, 2000, 0.0, 0).1, text, "{haystack}: another task");
        assert_eq!(of("gkamradt", haystack, 2000, 0.0, 1).0 == hash, haystack == "noise", "another trial");
    }
}
