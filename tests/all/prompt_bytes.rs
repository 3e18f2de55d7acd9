//! The prompts of the presets stay what they are, byte for byte: results of one version are compared with
//! those of another.

use crate::toys;

use std::fmt::Write as _;
use std::sync::Arc;

use niah::grid::{Cell, ContextLength, Depth};
use niah::hash::sha256_hex;
use niah::haystack::Haystack;
use niah::prompt::{Assistant, Form, Prompt, PromptPlan, Snap};
use niah::span::Span;
use niah::task::TASKS;
use niah::trial::Trial;

/// SHA-256, cut to 16 digits, of everything that is recorded of the prompts of a task in a haystack.
const BYTES: &[(&str, &str, &str)] = &[
    ("magic", "essays", "f6c0b74c5ba8f3b0"),
    ("magic", "noise", "9ab14b2d32d838ce"),
    ("magic", "synthetic", "f4feeb90f0db39ca"),
    ("magic-multikey", "essays", "1c1c12553fcc5201"),
    ("magic-multikey", "noise", "c69e13366be4be22"),
    ("magic-multikey", "synthetic", "0c7298497623f600"),
    ("gkamradt", "essays", "02f5c244fdf06339"),
    ("gkamradt", "noise", "eea2a4eac807d54e"),
    ("gkamradt", "synthetic", "f265a81a93909364"),
    ("passkey", "essays", "3627e25c54dfa6f6"),
    ("passkey", "noise", "2228854fd40d3b81"),
    ("passkey", "synthetic", "7fc92646780fe42f"),
    ("abcdigits", "none", "59121cb1a3459dcc"),
    ("abcdigits-5x6", "none", "4e44cb9e4a7d7431"),
    ("abcdigits-5x2", "none", "bf0be5007a6fdb82"),
];

/// The same of the other tasks, each in its own haystack or text.
const SPAN_BYTES: &[(&str, &str)] = &[
    ("multi", "c2380461187205f9"),
    ("multi-2", "278f0edadfbcd25c"),
    ("multi-8", "d0e5891516812c35"),
    ("kv", "864050eb90cd2a82"),
    ("kv-phonebook", "e1cafb7d6a8b1d78"),
    ("updates", "acaaf1671e62375f"),
    ("updates-sequential", "c5aa70fed02ab900"),
    ("associative", "a1929207cb9439dc"),
    ("rounds", "1b8b8b5d3c358acf"),
    ("graphwalks", "fb880a28d7bd7868"),
    ("graphwalks-parents", "c075923be549f45f"),
    ("thread", "2d07c43b0f849a0b"),
    ("thread-backward", "5344274ab1e6f809"),
    ("thread-random", "ddf2fc329e009e2f"),
    ("absence", "6b9009238abf33bb"),
    ("repeat", "89c7a5125125c5ed"),
    ("ruler-niah-single-1", "055eec415bd6f4a4"),
    ("ruler-niah-single-2", "5fc26475a6a88c4a"),
    ("ruler-niah-single-3", "95a310bbb9045d44"),
    ("ruler-niah-multikey-1", "6fe0d9f82f65f5dc"),
    ("ruler-niah-multikey-2", "04b02c9c3fa017ee"),
    ("ruler-niah-multikey-3", "5287f5668f02779b"),
    ("ruler-niah-multivalue", "4ecdf5ec38cb7bcc"),
    ("ruler-niah-multiquery", "4df4ee4fea4d5134"),
    ("ruler-vt", "6307a1e07607be84"),
    ("ruler-cwe", "1fc6a4b6bb4f4a54"),
    ("ruler-fwe", "ecfd976f02d5e37d"),
];

fn chat() -> Form {
    let render = |system: Option<&str>, user: &str| {
        Ok(format!("<s>{}\n<|user|>\n{}</s>\n<|assistant|>\n", system.unwrap_or_default(), user.trim()))
    };
    Form::Chat { system: Some("Be brief.".to_string()), render: Arc::new(render) }
}

fn recorded(task: &str, haystack: &str) -> String {
    let mut all = String::new();
    for (form, snap) in [(Form::Completion, Snap::Sentence), (chat(), Snap::None)] {
        let plan = plan(task, haystack, form, snap);
        for toy in toys::all() {
            for (length, depth, index, seed) in
                [(700, 0.0, 0, 42), (1500, 37.5, 1, 42), (6000, 100.0, 2, 7), (40_000, 50.0, 0, 42)]
            {
                let prompt = prompt(&plan, &toy, trial(length, depth, index, seed));
                writeln!(
                    all,
                    "{} {:?} {:?} {:?} {:?} {} {}",
                    prompt.prompt_hash,
                    prompt.needles,
                    prompt.values,
                    prompt.haystack,
                    prompt.expected,
                    prompt.haystack_loops,
                    prompt.text
                )
                .unwrap();
            }
        }
    }
    sha256_hex(all)[..16].to_string()
}

/// The same of a task with spans of several kinds, at lengths that have room for its text.
fn recorded_with_spans(task: &str) -> String {
    let mut all = String::new();
    let haystack = (niah::registry::find("task", TASKS, task).unwrap().value)().default_haystack();
    for form in [Form::Completion, chat()] {
        let plan = plan(task, haystack, form, Snap::Sentence);
        for toy in toys::all() {
            for (length, depth, index, seed) in [(10_000, 0.0, 0, 42), (16_000, 62.5, 1, 7)] {
                let prompt = prompt(&plan, &toy, trial(length, depth, index, seed));
                let Prompt { prompt_hash, spans, haystack, expected, answer_items, text, .. } = prompt;
                let spans: Vec<String> = spans.iter().map(shown).collect();
                let spans = spans.join(", ");
                writeln!(all, "{prompt_hash} [{spans}] {haystack:?} {expected:?} {answer_items:?} {text}")
                    .unwrap();
            }
        }
    }
    sha256_hex(all)[..16].to_string()
}

fn shown(span: &Span) -> String {
    let Span { kind, tokens, value, text, .. } = span;
    format!("Span {{ kind: {kind:?}, tokens: {tokens:?}, value: {value:?}, text: {text:?} }}")
}

fn plan(task: &str, haystack: &str, form: Form, snap: Snap) -> PromptPlan {
    let task = (niah::registry::find("task", TASKS, task).unwrap().value)();
    let haystack = match task.listing() {
        Some(_) => Haystack::none(),
        None => Haystack::resolve(haystack).unwrap(),
    };
    let built = niah::prompt::Built::default();
    PromptPlan { task, haystack, form, snap, assistant: Assistant::default(), answer_budget: None, built }
}

fn trial(length: usize, depth: f64, index: usize, seed: u64) -> Trial {
    let cell = Cell { context_length: ContextLength(length), depth: Depth::from_percent(depth).unwrap() };
    Trial { cell, index, seed }
}

fn prompt(plan: &PromptPlan, toy: &toys::Toy, trial: Trial) -> Prompt {
    let prompt = plan.build(&trial, toy, &mut plan.haystack_tokens(&trial));
    prompt.unwrap_or_else(|error| panic!("{}: {error}", toy.name))
}

#[test]
fn prompts_of_the_presets_are_the_same_bytes_in_every_version() {
    let made: Vec<_> =
        BYTES.iter().map(|(task, haystack, _)| (*task, *haystack, recorded(task, haystack))).collect();
    let made: Vec<_> = made.iter().map(|(task, haystack, hash)| (*task, *haystack, hash.as_str())).collect();
    assert_eq!(made, BYTES);
}

#[test]
fn prompts_of_all_other_tasks_are_the_same_bytes_in_every_version() {
    let others =
        TASKS.iter().map(|task| task.name).filter(|name| !BYTES.iter().any(|(task, ..)| task == name));
    let made: Vec<_> = others.map(|task| (task, recorded_with_spans(task))).collect();
    let made: Vec<_> = made.iter().map(|(task, hash)| (*task, hash.as_str())).collect();
    assert_eq!(made, SPAN_BYTES);
}
