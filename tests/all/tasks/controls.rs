//! Controls and distractors, on every task that can have them.

use std::collections::BTreeSet;

use niah::prompt::{Form, Prompt};
use niah::span::SpanKind;
use niah::standing::stands_free;
use niah::task::{CONTROLS, Change, Controlled, Distracted, NONE, Task};
use niah::tokenizer::Tokenize;
use proptest::prelude::*;

use super::{build, chat, enough, entries, plan, plan_of, task, trial};
use crate::common::bench::{Bench, stderr};
use crate::toys::{self, Toy};

/// The prompt of a task under a control, in both forms.
fn under(name: &str, control: &str, toy: &Toy, depth: f64) -> Vec<Prompt> {
    let forms = [Form::Completion, chat()];
    let of = |form| {
        let task = Controlled::new(task(name), control).unwrap();
        build(&plan_of(Box::new(task), form), &trial(enough(toy), depth, 0, 7), toy)
    };
    forms.map(of).to_vec()
}

fn hiding() -> impl Iterator<Item = &'static str> {
    entries().filter(|entry| (entry.value)().hides()).map(|entry| entry.name)
}

#[test]
fn a_prompt_without_its_needle_does_not_hold_the_answer_and_knows_where_it_would_have_stood() {
    for name in hiding() {
        for toy in [toys::words(), toys::merging()] {
            for depth in [0.0, 50.0, 100.0] {
                for prompt in under(name, "no-needle", &toy, depth) {
                    for expected in &prompt.expected {
                        assert!(!stands_free(&prompt.text, expected), "{name}: {expected}");
                    }
                    let (absent, there): (Vec<_>, Vec<_>) = prompt.spans.iter().partition(|span| span.absent);
                    assert!(!absent.is_empty() && there.iter().all(|span| !span.kind.tells()), "{name}");
                    assert_eq!(prompt.needles.len(), prompt.values.len());
                    for span in absent {
                        assert!(!prompt.text.contains(span.text.trim()), "{name}: {}", span.text);
                        let planted = toy.encode(&span.text).unwrap().ids.len();
                        assert!(span.tokens.len().abs_diff(planted) <= 1, "{name}: {:?}", span.tokens);
                        assert!(span.tokens.start >= prompt.haystack.start, "{name}");
                        assert!(span.tokens.end <= prompt.haystack.end && !span.value.is_empty(), "{name}");
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prompts_without_a_needle_never_hold_the_answer(
        more in 0_usize..700,
        depth in prop_oneof![Just(0.0), Just(100.0), 0.0..100.0],
        (index, seed) in (0_usize..3, 0_u64..1000),
        in_chat in any::<bool>(),
    ) {
        for (name, control) in hiding().zip(["no-needle", "none-no-needle"].into_iter().cycle()) {
            let toy = toys::merging();
            let form = || if in_chat { chat() } else { Form::Completion };
            let trial = trial(enough(&toy) + more, depth, index, seed);
            let with = build(&plan(name, form()), &trial, &toy);
            let control = Controlled::new(task(name), control).unwrap();
            let without = build(&plan_of(Box::new(control), form()), &trial, &toy);
            prop_assert!(without.spans.iter().any(|span| span.absent), "{}", name);
            let absent: BTreeSet<_> =
                without.spans.iter().filter(|span| span.absent).map(|span| span.text.trim()).collect();
            let is_absent = |value: &&String| absent.iter().any(|text| stands_free(text, value));
            let values = with.expected.iter().filter(is_absent);
            for value in values.chain(without.expected.iter().filter(|value| *value != NONE)) {
                prop_assert!(!stands_free(&without.text, value), "{name}: {value} in {}", without.text);
            }
        }
    }

    #[test]
    fn distractors_are_never_what_is_asked_for(
        count in 1_usize..7,
        more in 0_usize..700,
        depth in 0.0..100.0,
        (index, seed) in (0_usize..3, 0_u64..1000),
    ) {
        let toy = toys::words();
        let can = |name: &&str| Change::Distractors.refused_by(task(name).as_ref()).is_none();
        for name in entries().map(|entry| entry.name).filter(can) {
            let distracted = Distracted::new(task(name), count).unwrap();
            let plan = plan_of(Box::new(distracted), Form::Completion);
            let prompt = build(&plan, &trial(enough(&toy) + more, depth, index, seed), &toy);
            let of = |kind| prompt.spans.iter().filter(move |span| span.kind == kind);
            let own = if name == "magic-multikey" { 3 } else { 0 };
            prop_assert_eq!(of(SpanKind::Distractor).count(), count + own, "{}", name);
            let texts: BTreeSet<_> = prompt.spans.iter().map(|span| &span.text).collect();
            prop_assert_eq!(texts.len(), prompt.spans.len(), "{}", name);
            for distractor in of(SpanKind::Distractor) {
                let says = |value: &String| stands_free(&distractor.text, value);
                prop_assert!(!prompt.expected.iter().any(says), "{}: {}", name, distractor.text);
            }
        }
    }
}

#[test]
fn where_a_needle_would_have_stood_is_at_its_depth() {
    for name in ["magic", "kv-phonebook", "ruler-niah-single-1"] {
        let toy = toys::words();
        for depth in [0.0, 40.0, 100.0] {
            let task = Controlled::new(task(name), "no-needle").unwrap();
            let prompt = build(&plan_of(Box::new(task), Form::Completion), &trial(1500, depth, 0, 7), &toy);
            let (haystack, absent) = (&prompt.haystack, &prompt.needles[0]);
            let room = haystack.len() - absent.len();
            let place = haystack.start + (room as f64 * depth / 100.0) as usize;
            // A needle stands behind a sentence, or a line.
            assert!(absent.start.abs_diff(place) <= 64, "{name} {depth}: {absent:?} for {place}");
            let there = build(&plan(name, Form::Completion), &trial(1500, depth, 0, 7), &toy);
            assert_eq!(there.spans[0].text, prompt.spans[0].text);
            if depth == 0.0 || depth == 100.0 {
                assert_eq!(absent.start, place, "{name} {depth}");
            }
        }
    }
}

#[test]
fn a_needle_alone_has_no_haystack() {
    for name in hiding() {
        let toy = toys::words();
        for prompt in under(name, "needle-only", &toy, 50.0) {
            let mut rest = toy.decode(&prompt.tokens[prompt.haystack.clone()]).unwrap();
            for span in &prompt.spans {
                assert!(!span.absent && rest.contains(span.text.trim()), "{name}: {rest}");
                rest = rest.replacen(span.text.trim(), "", 1);
            }
            assert!(rest.chars().all(|c| c.is_whitespace() || "{},\n".contains(c)), "{name}: {rest:?}");
        }
    }
}

#[test]
fn a_prompt_may_allow_none_and_is_right_to_where_there_is_no_needle() {
    for name in hiding() {
        let toy = toys::words();
        for control in ["none", "none-no-needle"] {
            for prompt in under(name, control, &toy, 50.0) {
                assert!(
                    prompt.text.contains("If the text does not say it, answer none."),
                    "{name} {}",
                    prompt.text
                );
                assert_eq!(prompt.expected == [NONE], control == "none-no-needle", "{name}");
                assert_eq!(
                    prompt.spans.iter().any(|span| span.absent),
                    control == "none-no-needle",
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn nonetheless_was_taken_for_none() {
    for name in hiding() {
        let controlled = Controlled::new(task(name), "none-no-needle").unwrap();
        let scorer = niah::score::named(controlled.default_scorer()).unwrap();
        let score = |answer: &str| scorer.score(answer, &[NONE.to_string()]);
        assert_eq!((score("None."), score("The number is nonetheless 7.")), (1.0, 0.0), "{name}");
    }
}

#[test]
fn what_asks_for_its_whole_text_is_under_no_control() {
    let mut refused = 0;
    for entry in entries().filter(|entry| !(entry.value)().hides()) {
        for control in CONTROLS {
            let Err(error) = Controlled::new(task(entry.name), control.name) else {
                panic!("{}", entry.name)
            };
            let message = error.to_string();
            assert!(message.starts_with("control: ") && message.contains(entry.name), "{message}");
        }
        refused += 1;
    }
    assert!(refused >= 6 && hiding().count() > 15);
    assert!(Controlled::new(task("magic"), "no-needles").is_err());
}

#[test]
fn distractors_are_added_about_something_else() {
    for name in ["magic", "multi", "associative", "passkey", "ruler-niah-single-2", "ruler-niah-multivalue"] {
        let toy = toys::words();
        let with = |count| Distracted::new(task(name), count);
        if name == "passkey" {
            // It always asks the same, so nothing else of its form can be asked.
            let refused = with(1).err().unwrap().to_string();
            assert!(refused.contains("passkey always asks about the same thing"), "{refused}");
            continue;
        }
        let plan = plan_of(Box::new(with(5).unwrap()), Form::Completion);
        for seed in 0..20 {
            let prompt = build(&plan, &trial(2000, 50.0, 0, seed), &toy);
            let of = |kind| prompt.spans.iter().filter(move |span| span.kind == kind);
            assert_eq!(of(SpanKind::Distractor).count(), 5, "{name}");
            let texts: BTreeSet<_> = prompt.spans.iter().map(|span| &span.text).collect();
            assert_eq!(texts.len(), prompt.spans.len(), "{name}");
            for distractor in of(SpanKind::Distractor) {
                assert!(!prompt.expected.iter().any(|value| stands_free(&distractor.text, value)), "{name}");
            }
        }
    }
    assert!(Distracted::new(task("kv"), 2).is_err());
}

#[test]
fn a_run_with_its_controls_prints_one_table_and_keeps_each_in_its_directory() {
    let bench = Bench::new();
    let flags = ["--context-lengths=1200", "--depths=50", "--trials=2", "--controls", "-o", "c"];
    let table = bench.stdout(&[&["run", "--model", "tiny"], &flags[..]].concat());
    for name in ["task", "distractors", "shuffled", "no-needle", "needle-only", "none", "none-no-needle"] {
        assert!(table.lines().any(|line| line.contains(name)), "{name} in {table}");
        assert!(bench.path(&format!("c/{name}/results.csv")).exists(), "{name}");
    }
    assert!(table.contains("false answers") && table.contains("needle mass"), "{table}");
    let again = bench.stdout(&[&["run", "--model", "tiny"], &flags[..]].concat());
    assert_eq!(again, table);
    let csv = bench.stdout(&[&["run", "--model", "tiny"], &flags[..], &["--output-format=csv"]].concat());
    assert!(csv.starts_with("control,n,n_error,accuracy,ci_low,ci_high,false_answers,needle_mass_top_mean"));
    let listing = ["run", "--model", "tiny", "--task=kv-phonebook", "--context-lengths=1200", "--depths=50"];
    let table = bench.stdout(&[&listing[..], &["--controls", "-o", "kv"]].concat());
    assert!(table.contains("shuffled is left out") && table.contains("distractors is left out"), "{table}");
}

#[test]
fn controls_that_are_named_run_alone_beside_the_task_and_others_can_follow() {
    let bench = Bench::new();
    let run = |controls: &str| {
        let flags = ["run", "--model=tiny", "--context-lengths=1200", "--depths=50", "--trials=1", "-o=c"];
        bench.stdout(&[&flags[..], &[controls]].concat())
    };
    let of = |name: &str| bench.path(&format!("c/{name}/results.csv")).exists();
    run("--controls=no_needle");
    assert!(of("task") && of("no-needle") && !of("distractors") && !of("none"));
    let table = run("--controls=distractors,none");
    assert!(of("distractors") && of("none") && !of("shuffled"));
    assert!(table.contains("distractors") && !table.contains("needle-only"), "{table}");
    let failed = bench.output(&["run", "--model=tiny", "--controls=no-nedle"]);
    assert!(stderr(&failed).contains("did you mean no-needle?"), "{}", stderr(&failed));
}

#[test]
fn a_failed_trial_under_a_control_fails_where_that_is_wanted_and_quiet_says_nothing_else() {
    let bench = Bench::new();
    // The second prompt that allows `none` is two letters longer than the length has room for.
    let grid = ["--task=passkey", "--context-lengths=303", "--depths=0", "--trials=2", "--seed=4"];
    let run = [&["run", "--model=tiny", "--controls", "-q"], &grid[..]].concat();
    let said = "1 of 2 trials failed; the first (303:0:1)";
    let lenient = bench.output(&[&run[..], &["-o", "lenient"]].concat());
    let (told, table) = (stderr(&lenient), String::from_utf8_lossy(&lenient.stdout).into_owned());
    assert_eq!(lenient.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("warning: {said}")) && !told.contains("results: "), "{told}");
    assert!(table.contains("distractors is left out: task passkey always asks"), "{table}");
    let strict = bench.output(&[&run[..], &["-o", "strict", "--fail-on-error"]].concat());
    assert_eq!(strict.status.code(), Some(1), "{}", stderr(&strict));
    assert!(stderr(&strict).contains(&format!("niah: {said}")), "{}", stderr(&strict));
}
