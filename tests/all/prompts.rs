//! Prompts hold what they promise, whatever the tokenizer, haystack, task and cell; and none of the defects
//! that needle tests are known for comes back.

use crate::toys;

use std::sync::Arc;

use niah::error::{Error, Result};
use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::{Haystack, HaystackTokens};
use niah::needle::Needle;
use niah::prompt::{Assistant, Built, Form, Prompt, PromptPlan, Snap};
use niah::rng::Rng;
use niah::span::SpanKind;
use niah::task::{Custom, Piece, Question, TASKS, Task};
use niah::tokenizer::Tokenize;
use niah::trial::Trial;
use proptest::prelude::*;
use toys::Toy;

const CJK: &str = "今日は晴れです。明日は雨が降るでしょう！「傘を持って行く？」と母が言った。川は静かに流れている。\n\n町の人々は祭りの準備をしていた。";
const NO_SENTENCES: &str = "alpha beta, gamma; delta epsilon zeta - eta theta, iota kappa lambda";

/// Three needles with one question, for what a preset with one needle cannot show.
struct Three;

impl Task for Three {
    fn name(&self) -> &'static str {
        "three"
    }

    fn answer_budget(&self) -> usize {
        24
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question> {
        let values: Vec<String> = (0..3).map(|i| format!("{i}{}", rng.between(1000, 9999))).collect();
        Ok(Question {
            instruction: "Read this.".to_string(),
            pieces: values
                .iter()
                .map(|value| Ok(Piece::target(Needle::new(format!("One code is {value}."), value)?)))
                .collect::<Result<_>>()?,
            question: "Which codes are there?".to_string(),
            expected: values,
            ..Question::default()
        })
    }
}

fn preset(name: &str) -> Box<dyn Task> {
    (niah::registry::find("task", TASKS, name).unwrap().value)()
}

fn chat() -> Form {
    let render = |system: Option<&str>, user: &str| {
        Ok(format!("<s>{}\n<|user|>\n{}</s>\n<|assistant|>\n", system.unwrap_or_default(), user.trim()))
    };
    Form::Chat { system: Some("Be brief.".to_string()), render: Arc::new(render) }
}

fn plan(task: Box<dyn Task>, haystack: Haystack, form: Form, snap: Snap) -> PromptPlan {
    let built = Built::default();
    PromptPlan { task, haystack, form, snap, assistant: Assistant::default(), answer_budget: None, built }
}

fn magic(haystack: &str) -> PromptPlan {
    plan(preset("magic"), Haystack::resolve(haystack).unwrap(), Form::Completion, Snap::Sentence)
}

fn magic_in(text: &str) -> PromptPlan {
    plan(preset("magic"), Haystack::from_text(text), Form::Completion, Snap::Sentence)
}

fn trial(length: usize, depth: f64, index: usize, seed: u64) -> Trial {
    let cell = Cell { context_length: ContextLength(length), depth: Depth::from_percent(depth).unwrap() };
    Trial { cell, index, seed }
}

fn build(plan: &PromptPlan, trial: &Trial, toy: &Toy) -> Result<Prompt> {
    plan.build(trial, toy, &mut plan.haystack_tokens(trial))
}

/// The text before the first needle, from the first byte of the prompt.
fn before_needle(toy: &Toy, prompt: &Prompt) -> String {
    let text = toy.decode(&prompt.tokens[..prompt.needles[0].start]).unwrap();
    text.trim_end().to_string()
}

/// Everything that holds for each prompt on its own.
fn check(plan: &PromptPlan, trial: &Trial, toy: &Toy, prompt: &Prompt) {
    let (target, length) = (trial.cell.context_length.0, prompt.tokens.len() + prompt.answer_budget);
    assert!(length <= target, "{length} > {target}");
    let with_answer = [&prompt.tokens[..], &prompt.answer_tokens].concat();
    let whole = toy.decode(&with_answer).unwrap();
    assert!(prompt.answer_tokens.len() <= prompt.answer_budget);
    assert!(whole.ends_with(&prompt.expected.join(", ")) && !prompt.text.ends_with(&prompt.expected[0]));
    assert_eq!(prompt.answer_items.len(), prompt.expected.len());
    for (&item, expected) in prompt.answer_items.iter().zip(&prompt.expected) {
        let rest = toy.decode(&prompt.answer_tokens[item..]).unwrap();
        assert!(rest.trim_start().starts_with(expected), "{rest} for {expected}");
    }
    let bos = if toy.bos.is_some() && !prompt.text.starts_with("<s>") { "<s>" } else { "" };
    assert_eq!(toy.decode(&prompt.tokens).unwrap(), format!("{bos}{}", prompt.text));
    let special = prompt.tokens.iter().filter(|&id| toy.special_ids().contains(id)).count();
    assert_eq!(prompt.special_tokens, special);
    if let Some(bos) = toy.bos {
        assert_eq!(prompt.tokens.iter().filter(|&&id| id == bos).count(), 1);
        assert_eq!(prompt.tokens[0], bos);
    }
    let mut end = prompt.haystack.start;
    for ((needle, value), text) in prompt.needles.iter().zip(&prompt.values).zip(&prompt.needle_texts) {
        let shown = toy.decode(&prompt.tokens[needle.clone()]).unwrap();
        assert_eq!(shown.trim(), text.trim(), "{}", toy.name);
        let shown = toy.decode(&prompt.tokens[value.clone()]).unwrap();
        assert!(prompt.expected.iter().any(|expected| shown.contains(expected)), "{shown}");
        assert!(needle.start >= end && needle.end <= prompt.haystack.end);
        assert!(value.start >= needle.start && value.end <= needle.end);
        end = needle.end;
        for (at, _) in prompt.text.match_indices(text.trim()) {
            assert!(
                at == 0
                    || prompt.text[..at].ends_with(char::is_whitespace)
                    || prompt.text[..at].ends_with('>')
            );
            assert!(prompt.text[at + text.trim().len()..].starts_with(char::is_whitespace));
        }
        assert_eq!(prompt.text.matches(text.trim()).count(), 1);
    }
    let drawn = plan.task.draw(&mut trial.rng(&plan.task.purpose())).unwrap();
    assert_eq!(prompt.question, drawn.question);
    let distractors = drawn.of_kind(SpanKind::Distractor);
    let distractors = distractors.map(|needle| toy.encode(needle.text()).unwrap().ids.len()).sum::<usize>();
    let needles: usize = prompt.needles.iter().map(ExactSizeIterator::len).sum();
    let all = (prompt.haystack.len() - needles).saturating_sub(distractors);
    let depth = trial.cell.depth.percent();
    let Some(actual) = prompt.actual_depth.map(Depth::percent) else {
        // The task's sentences alone, with at most a space between any two, have no depths.
        assert!(all < drawn.pieces.len(), "{}: {all}", toy.name);
        return;
    };
    if depth == 0.0 {
        assert_eq!(prompt.needles[0].start, prompt.haystack.start);
        assert_eq!(actual, 0.0);
    }
    if depth == 100.0 && (distractors == 0 || all > 2 * distractors) {
        assert_eq!(prompt.needles.last().unwrap().end, prompt.haystack.end);
        assert_eq!(actual, 100.0);
    }
    if all > 0 {
        let off = (actual - depth) / 100.0 * all as f64;
        assert!((-70.0..=6.0).contains(&off), "{}: {off} tokens off", toy.name);
    }
}

fn haystack(number: usize) -> Haystack {
    match number {
        0 => Haystack::resolve("essays").unwrap(),
        1 => Haystack::resolve("noise").unwrap(),
        2 => Haystack::resolve("synthetic").unwrap(),
        3 => Haystack::from_text(CJK),
        _ => Haystack::from_text(NO_SENTENCES),
    }
}

fn task(number: usize) -> Box<dyn Task> {
    match number {
        0 => preset("magic"),
        1 => preset("gkamradt"),
        2 => preset("passkey"),
        3 => Box::new(Three),
        4 => preset("magic-multikey"),
        _ => Box::new(Custom::new("Das Kind heißt Zoë.", Some("Wie heißt es?"), Some("Zoë")).unwrap()),
    }
}

fn depths() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(100.0), 0.0..100.0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_prompt_fits_and_knows_its_parts(
        (task_number, haystack_number) in (0_usize..6, 0_usize..5),
        in_chat in any::<bool>(),
        snap in prop_oneof![Just(Snap::Sentence), Just(Snap::None)],
        length in 20_usize..2000,
        depth in depths(),
        (index, seed) in (0_usize..4, 0_u64..4),
    ) {
        let form = if in_chat { chat() } else { Form::Completion };
        let plan = plan(task(task_number), haystack(haystack_number), form, snap);
        let trial = trial(length, depth, index, seed);
        for toy in toys::all() {
            match build(&plan, &trial, &toy) {
                Ok(prompt) => {
                    check(&plan, &trial, &toy, &prompt);
                    let short = length - prompt.tokens.len() - prompt.answer_budget;
                    let missing = match (toy.name, haystack_number, task_number) {
                        ("bytes", ..) | (_, 3, _) => 6, // characters of several tokens, spaces beside needles
                        // a needle whose line breaks merge with its neighbour's
                        (_, _, 1) => 1,
                        _ => 0,
                    };
                    // With hardly any haystack there are too few cuts to choose from.
                    let some = prompt.text.len() > 300 + prompt.needle_texts.concat().len();
                    prop_assert!(snap == Snap::Sentence || !some || short <= missing, "{}: {short}", toy.name);
                    prop_assert!(short <= 2 * Snap::SENTENCE_BOUND);
                    let mut grown = plan.haystack_tokens(&trial);
                    grown.grow_to(&toy, 20_000).unwrap();
                    prop_assert_eq!(&plan.build(&trial, &toy, &mut grown).unwrap(), &prompt);
                }
                Err(Error::Prompt { problem, .. }) => {
                    let (_, minimum) = problem.split_once("ask for at least ").unwrap();
                    let minimum = minimum.split(',').next().unwrap().parse().unwrap();
                    prop_assert!(length < minimum, "{problem}");
                    let cell = |length| Cell { context_length: ContextLength(length), ..trial.cell };
                    let at = |length| Trial { cell: cell(length), ..trial };
                    // Another length draws other needles, so the minimum may move by a few tokens.
                    prop_assert!(build(&plan, &at(minimum + 32), &toy).is_ok());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn cells_of_a_trial_share_the_text_before_the_needle(
        (short, long) in (400_usize..1500, 1500_usize..4000),
        (shallow, deep) in (0.0..50.0, 50.0..100.0),
        seed in 0_u64..4,
    ) {
        let plan = magic("essays");
        for toy in toys::all() {
            let mut shared: Option<HaystackTokens> = None;
            let mut text = |length, depth| {
                let trial = trial(length, depth, 2, seed);
                let haystack = shared.get_or_insert_with(|| plan.haystack_tokens(&trial));
                before_needle(&toy, &plan.build(&trial, &toy, haystack).unwrap())
            };
            let texts = [text(short, shallow), text(short, deep), text(long, shallow), text(long, deep)];
            let longest = texts.iter().max_by_key(|text| text.len()).unwrap();
            prop_assert!(texts.iter().all(|text| longest.starts_with(text)), "{}", toy.name);
        }
    }
}

#[test]
fn deeper_cells_have_deeper_needles() {
    for toy in toys::all() {
        let plan = magic("essays");
        let depths: Vec<f64> = (0..=20)
            .map(|i| {
                build(&plan, &trial(3000, f64::from(i) * 5.0, 0, 0), &toy)
                    .unwrap()
                    .actual_depth
                    .unwrap()
                    .percent()
            })
            .collect();
        assert!(depths.windows(2).all(|pair| pair[0] <= pair[1]), "{}: {depths:?}", toy.name);
        assert_eq!((depths[0], depths[20]), (0.0, 100.0));
    }
}

#[test]
fn needles_stand_after_a_sentence() {
    let plan = magic("essays");
    for toy in [toys::words(), toys::merging()] {
        for depth in [10.0, 33.3, 50.0, 77.7] {
            let text = before_needle(&toy, &build(&plan, &trial(2000, depth, 1, 1), &toy).unwrap());
            assert!(
                text.ends_with(['.', '!', '?', '"', '”']) || text.ends_with(char::is_alphabetic),
                "{text}"
            );
        }
    }
}

#[test]
fn a_space_that_merges_with_the_answer_goes_to_the_answer() {
    let trial = trial(500, 50.0, 0, 0);
    let merged = build(&magic("essays"), &trial, &toys::words()).unwrap();
    assert!(merged.text.ends_with("number is:"), "{}", merged.text);
    let lone = build(&magic("essays"), &trial, &toys::merging()).unwrap();
    assert!(lone.text.ends_with("number is: "), "{}", lone.text);
}

#[test]
fn the_chat_form_puts_suffix_and_completion_where_the_task_says() {
    let text = |task: &str, form| {
        let plan = plan(preset(task), Haystack::resolve("noise").unwrap(), form, Snap::Sentence);
        build(&plan, &trial(400, 50.0, 0, 0), &toys::words()).unwrap().text
    };
    let gkamradt = text("gkamradt", chat());
    assert!(gkamradt.starts_with("<s>Be brief.\n<|user|>\n"), "{gkamradt}");
    assert!(
        gkamradt.ends_with(
            "What is the best thing to do in San Francisco? Don't give information outside the document or \
             repeat your findings</s>\n<|assistant|>\n"
        ),
        "{gkamradt}"
    );
    assert!(
        text("gkamradt", Form::Completion)
            .ends_with("San Francisco?\nThe best thing to do in San Francisco is")
    );
    assert!(text("passkey", chat()).ends_with("What is the pass key?</s>\n<|assistant|>\nThe pass key is"));
    let passkey = text("passkey", Form::Completion);
    assert!(
        passkey.starts_with("There is an important info hidden inside a lot of irrelevant text. Find it")
    );
    assert!(
        passkey.ends_with("There and back again.\n\nWhat is the pass key?\nThe pass key is"),
        "{passkey}"
    );
}

#[test]
fn a_short_text_is_repeated_and_the_repeats_are_counted() {
    let prompt =
        build(&magic_in("One line. Another line."), &trial(400, 50.0, 0, 0), &toys::words()).unwrap();
    assert_eq!(prompt.haystack_loops + 1, prompt.text.matches("Another line").count());
    assert_eq!(build(&magic("noise"), &trial(400, 50.0, 0, 0), &toys::words()).unwrap().haystack_loops, 0);
}

#[test]
fn trials_and_seeds_give_different_prompts() {
    let plan = magic("essays");
    let hash =
        |index, seed| build(&plan, &trial(400, 50.0, index, seed), &toys::words()).unwrap().prompt_hash;
    let hashes: std::collections::BTreeSet<_> =
        [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, s)| hash(i, s)).into();
    assert_eq!(hashes.len(), 4);
}

// One test for each defect that other needle tests had, named by what broke.

#[test]
fn defect_haystack_silently_shorter_than_asked() {
    for toy in toys::all() {
        for text in [CJK, NO_SENTENCES, "Short."] {
            let prompt = build(&magic_in(text), &trial(3000, 50.0, 0, 0), &toy).unwrap();
            assert!(
                prompt.tokens.len() + prompt.answer_budget > 2700,
                "{}: {}",
                toy.name,
                prompt.tokens.len()
            );
        }
    }
}

#[test]
fn a_text_without_sentences_is_cut_at_a_token_and_not_left_out() {
    let line = |i: usize| format!("2024-05-{:02} 12:{:02} INFO worker {i} done\n", i % 28 + 1, i % 60);
    let plan = magic_in(&(0..800).map(line).collect::<String>());
    for toy in toys::all() {
        let least = build(&plan, &trial(3000, 50.0, 0, 0), &toy).unwrap();
        let around = least.tokens.len() - least.haystack.len() + least.needles[0].len() + least.answer_budget;
        for room in [40, 100, 200] {
            let prompt = build(&plan, &trial(around + room, 50.0, 0, 0), &toy).unwrap();
            let haystack = prompt.haystack.len() - prompt.needles[0].len();
            assert!(haystack + 16 > room, "{}: {haystack} of {room}", toy.name);
        }
    }
}

#[test]
fn defect_question_and_needle_added_on_top_of_the_length() {
    for toy in toys::all() {
        for length in 600..620 {
            let plan = PromptPlan { snap: Snap::None, ..magic("essays") };
            let prompt = build(&plan, &trial(length, 40.0, 0, 0), &toy).unwrap();
            assert_eq!(prompt.tokens.len() + prompt.answer_budget, length, "{}", toy.name);
        }
    }
}

#[test]
fn defect_lengths_counted_with_one_tokenizer_for_every_model() {
    let lengths = toys::all().map(|toy| build(&magic("essays"), &trial(2000, 50.0, 0, 0), &toy).unwrap());
    assert!(lengths.iter().all(|prompt| prompt.tokens.len() > 1500));
    assert!(lengths[0].text.len() * 2 < lengths[1].text.len());
}

#[test]
fn defect_endless_loop_when_the_smallest_haystack_does_not_fit() {
    for toy in toys::all() {
        let message = build(&magic("essays"), &trial(10, 50.0, 0, 0), &toy).unwrap_err().to_string();
        assert!(message.contains("ask for at least"), "{message}");
    }
    let sentence = format!("{}.", "word ".repeat(100_000).trim());
    let prompt = build(&magic_in(&sentence), &trial(2000, 50.0, 0, 0), &toys::words()).unwrap();
    assert!(prompt.tokens.len() + prompt.answer_budget >= 1999);
}

#[test]
fn defect_needle_glued_to_its_neighbour() {
    for toy in toys::all() {
        for depth in [0.0, 13.0, 50.0, 100.0] {
            let plan = magic_in("wordswithoutanyspacesorstops");
            let trial = trial(700, depth, 0, 0);
            check(&plan, &trial, &toy, &build(&plan, &trial, &toy).unwrap());
        }
    }
}

#[test]
fn defect_depths_of_several_needles_drift() {
    let plan = plan(Box::new(Three), Haystack::resolve("noise").unwrap(), Form::Completion, Snap::Sentence);
    let prompt = build(&plan, &trial(4000, 40.0, 0, 0), &toys::words()).unwrap();
    let needles: usize = prompt.needles.iter().map(ExactSizeIterator::len).sum();
    let all = (prompt.haystack.len() - needles) as f64;
    let mut inserted = 0;
    for (needle, depth) in prompt.needles.iter().zip([0.4, 0.6, 0.8]) {
        let before = (needle.start - prompt.haystack.start - inserted) as f64;
        assert!((before / all - depth).abs() < 0.02, "{} instead of {depth}", before / all);
        inserted += needle.len();
    }
}

#[test]
fn distractors_are_spread_over_the_haystack_and_are_no_part_of_the_needle() {
    let plan = plan(
        preset("magic-multikey"),
        Haystack::resolve("synthetic").unwrap(),
        Form::Completion,
        Snap::Sentence,
    );
    let toy = toys::words();
    for depth in [0.0, 30.0, 100.0] {
        let trial = trial(6000, depth, 0, 7);
        let prompt = build(&plan, &trial, &toy).unwrap();
        check(&plan, &trial, &toy, &prompt);
        assert_eq!(prompt.needles.len(), 1);
        assert!(
            (prompt.actual_depth.unwrap().percent() - depth).abs() < 3.0,
            "{} for {depth}",
            prompt.actual_depth.unwrap()
        );
        let sentences =
            prompt.text.match_indices("The special magic ").map(|(at, _)| 100 * at / prompt.text.len());
        let mut places: Vec<_> = sentences.collect();
        // The last one is the completion.
        places.pop();
        let asked = 100 * prompt.text.find(&prompt.needle_texts[0]).unwrap() / prompt.text.len();
        places.remove(places.iter().position(|&place| place == asked).unwrap());
        for (place, expected) in places.iter().zip([16, 50, 83]) {
            assert!(place.abs_diff(expected) <= 4, "{places:?} at {depth}");
        }
    }
}

#[test]
fn defect_needle_span_found_by_fuzzy_search() {
    let near = "The special magic London number is: unknown. The special magic Paris number is: secret.";
    for toy in toys::all() {
        let (plan, trial) = (magic_in(near), trial(900, 50.0, 0, 0));
        check(&plan, &trial, &toy, &build(&plan, &trial, &toy).unwrap());
    }
}

#[test]
fn defect_sentence_ends_found_by_hard_coded_token_ids() {
    for toy in toys::all() {
        let text = before_needle(&toy, &build(&magic_in(CJK), &trial(1200, 50.0, 0, 0), &toy).unwrap());
        assert!(text.ends_with(['。', '！', '」']), "{}: {text}", toy.name);
    }
}

#[test]
fn defect_two_models_given_different_needles() {
    let trial = trial(1000, 50.0, 0, 0);
    let needles = toys::all().map(|toy| build(&magic("essays"), &trial, &toy).unwrap().needle_texts);
    assert!(needles.iter().all(|needle| *needle == needles[0]));
    let twice = || build(&magic("synthetic"), &trial, &toys::words()).unwrap();
    assert_eq!(twice(), twice());
}

#[test]
fn defect_two_bos_tokens() {
    let toy = toys::bytes();
    let form = |head: &'static str| Form::Chat {
        system: None,
        render: Arc::new(move |_, user| Ok(format!("{head}<|user|>{user}</s>"))),
    };
    for (head, fine) in [("", true), ("<s>", true), ("<s><s>", false), ("x<s>", false)] {
        let plan = PromptPlan { form: form(head), ..magic("noise") };
        let prompt = build(&plan, &trial(900, 50.0, 0, 0), &toy);
        assert_eq!(prompt.is_ok(), fine, "{head:?}");
        if let Err(error) = prompt {
            assert!(error.to_string().contains("2 beginning-of-sequence tokens"), "{error}");
        }
    }
}

#[test]
fn defect_special_token_in_the_middle_of_the_context() {
    for token in ["<s>", "</s>", "<|assistant|>"] {
        for form in [Form::Completion, chat()] {
            let plan =
                PromptPlan { form, ..magic_in(&format!("A page says {token} here. Another does not.")) };
            let message = build(&plan, &trial(900, 50.0, 0, 0), &toys::merging()).unwrap_err().to_string();
            assert!(
                message.contains("the haystack holds the special token") && message.contains(token),
                "{message}"
            );
        }
    }
    let plan = magic_in("<s> begins this page. It goes on.");
    assert!(build(&plan, &trial(900, 50.0, 0, 0), &toys::merging()).is_err());
    let custom = Custom::new("The end is </s> they say.", Some("What is the end?"), Some("they")).unwrap();
    let plan = PromptPlan { task: Box::new(custom), ..magic("noise") };
    let message = build(&plan, &trial(900, 50.0, 0, 0), &toys::bytes()).unwrap_err().to_string();
    assert!(message.contains("the needle holds"), "{message}");
}

#[test]
fn defect_answer_stands_in_the_haystack_already() {
    let custom =
        || Box::new(Custom::new("The sky is blue today.", Some("Which colour?"), Some("blue")).unwrap());
    let plan = PromptPlan { task: custom(), ..magic("noise") };
    let message = build(&plan, &trial(600, 50.0, 0, 0), &toys::words()).unwrap_err().to_string();
    assert!(message.contains("\"blue\"") && message.contains("`haystack`"), "{message}");
    let plan = PromptPlan { task: custom(), ..magic_in("A bluebird sang. Nobody heard it.") };
    assert!(build(&plan, &trial(600, 50.0, 0, 0), &toys::words()).is_ok());
}

#[test]
fn a_haystack_says_an_answer_in_any_form_but_not_within_a_word() {
    for (needle, answer, said, not_said) in [
        ("The sky is blue today.", "blue", "A BLUE bird sang.", "A bluebird sang."),
        (
            "It is Dolores Park today.",
            "Dolores Park",
            "In Dolores\nPark it rained.",
            "In Dolores Parks it rained.",
        ),
        (
            "It is Dolores Park today.",
            "Dolores Park",
            "In Dolores\u{A0}Park it rained.",
            "In Dolores it rained.",
        ),
        ("The Café is open.", "Café", "The Cafe\u{301} sang.", "The Cafe sang."),
        ("Say it's fine to him.", "it's fine", "And it’s fine.", "And it is fine."),
        ("The code is 7743219.", "7743219", "He had 7,743,219 of them.", "He had 17,743,219 of them."),
        ("数字是7743219。", "7743219", "他说是7743219。", "他说是77432190。"),
    ] {
        let built = |haystack: &str| {
            let custom = Box::new(Custom::new(needle, Some("Which?"), Some(answer)).unwrap());
            let plan = PromptPlan { task: custom, ..magic_in(&format!("{haystack} Nobody heard that.")) };
            build(&plan, &trial(700, 50.0, 0, 0), &toys::bytes())
        };
        let message = built(said).unwrap_err().to_string();
        assert!(message.contains("besides the needle") && message.contains(answer), "{message}");
        let prompt = built(not_said).unwrap_or_else(|error| panic!("{not_said}: {error}"));
        let value = toys::bytes().decode(&prompt.tokens[prompt.values[0].clone()]).unwrap();
        assert_eq!(value, answer);
    }
}

#[test]
fn an_answer_that_its_neighbours_would_make_a_part_of_another_number_is_no_needle() {
    let custom = Custom::new("743 219 is the number.", Some("Which?"), Some("743 219")).unwrap();
    let plan = PromptPlan { task: Box::new(custom), ..magic_in("There are 5") };
    let message = build(&plan, &trial(400, 50.0, 0, 0), &toys::bytes()).unwrap_err().to_string();
    assert!(message.contains("where it meets the haystack"), "{message}");
}

#[test]
fn the_value_of_a_needle_is_where_it_stands_free() {
    for (needle, answer, before) in [
        ("In 1234 the code was 12.", "12", "In 1234 the code was "),
        ("Fred says the secret is red.", "red", "Fred says the secret is "),
    ] {
        let custom = Box::new(Custom::new(needle, Some("Which?"), Some(answer)).unwrap());
        let plan = PromptPlan { task: custom, ..magic("noise") };
        let prompt = build(&plan, &trial(500, 50.0, 0, 0), &toys::bytes()).unwrap();
        let (needle, value) = (prompt.needles[0].clone(), prompt.values[0].clone());
        assert_eq!(value, needle.start + before.len()..needle.start + before.len() + answer.len());
    }
}

#[test]
fn a_drawn_answer_that_the_haystack_holds_is_drawn_again() {
    // Half of the numbers that the pass key is drawn from stand in this text.
    let text = (1..=50_000).step_by(2).map(|n| format!("Take {n}.")).collect::<Vec<_>>().join(" ");
    let plan = PromptPlan { task: preset("passkey"), ..magic_in(&text) };
    let toy = toys::words();
    let mut redrawn = 0;
    let trial = |index| trial(80_000, 50.0, index, 1);
    for index in 0..6 {
        let prompt = build(&plan, &trial(index), &toy).unwrap();
        assert_eq!(prompt.text.matches(&format!(" {}.", prompt.expected[0])).count(), 1);
        redrawn += usize::from(
            prompt.expected != preset("passkey").draw(&mut trial(index).rng("question")).unwrap().expected,
        );
    }
    assert!(redrawn > 0);
}

/// Tokens of a line at most: its characters and its line end.
const LINE: usize = 9;

#[test]
fn abcdigits_has_as_many_lines_as_fit_and_none_too_many() {
    let plan = plan(preset("abcdigits"), Haystack::none(), Form::Completion, Snap::Sentence);
    for toy in [toys::bytes(), toys::words(), toys::merging()] {
        for length in [80, 100, 128, 254, 256, 600, 2000] {
            for (percent, index) in [(0.0, 0), (30.0, 1), (100.0, 2)] {
                let what = format!("{} {length} {percent}", toy.name);
                let prompt = build(&plan, &trial(length, percent, index, 123), &toy).unwrap();
                let taken = prompt.tokens.len() + prompt.answer_budget;
                assert!(taken <= length && taken + LINE > length, "{what}: {taken}");
                let (lines, last) = prompt.text.rsplit_once('\n').unwrap();
                let all: Vec<&str> = lines.lines().collect();
                let needle = format!("{last}{}", prompt.expected[0]);
                let place = ((all.len() - 1) as f64 * percent / 100.0) as usize;
                assert_eq!(all[place], needle, "{what}");
                assert_eq!(all.iter().filter(|line| line.starts_with(last)).count(), 1, "{what}");
                assert!(
                    toy.decode(&prompt.tokens[prompt.needles[0].clone()]).unwrap().contains(&needle),
                    "{what}"
                );
                assert!(
                    toy.decode(&prompt.tokens[prompt.values[0].clone()])
                        .unwrap()
                        .contains(&prompt.expected[0]),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn abcdigits_asks_in_the_assistants_turn_of_a_conversation() {
    let plan = plan(preset("abcdigits"), Haystack::none(), chat(), Snap::Sentence);
    let prompt = build(&plan, &trial(400, 100.0, 0, 123), &toys::bytes()).unwrap();
    let last = prompt.needle_texts[0].as_str();
    assert!(prompt.text.starts_with("<s>Be brief.\n<|user|>\n"), "{}", prompt.text);
    let end = format!("\n{last}</s>\n<|assistant|>\n{}", &last[..2]);
    assert!(prompt.text.ends_with(&end), "{}", prompt.text);
    assert_eq!(prompt.actual_depth.unwrap().percent(), 100.0);
}

#[test]
fn abcdigits_that_is_too_long_says_what_it_needs_at_least() {
    let plan = plan(preset("abcdigits"), Haystack::none(), Form::Completion, Snap::Sentence);
    let error = build(&plan, &trial(20, 50.0, 0, 123), &toys::bytes()).unwrap_err().to_string();
    let (_, least) = error.split_once("ask for at least ").unwrap();
    let least: usize = least.split(',').next().unwrap().parse().unwrap();
    assert!(build(&plan, &trial(least, 50.0, 0, 123), &toys::bytes()).is_ok(), "{error}");
    assert!(build(&plan, &trial(least - 1, 50.0, 0, 123), &toys::bytes()).is_err(), "{error}");
}
