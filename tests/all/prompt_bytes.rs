//! The prompts of the presets stay what they are, byte for byte: results of one version are compared with
//! those of another.

use crate::toys;

use std::fmt::Write as _;
use std::sync::Arc;

use niah::grid::{Cell, ContextLength, Depth};
use niah::hash::sha256_hex;
use niah::haystack::Haystack;
use niah::prompt::{Form, PromptPlan, Snap};
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

fn chat() -> Form {
    let render = |system: Option<&str>, user: &str| {
        Ok(format!("<s>{}\n<|user|>\n{}</s>\n<|assistant|>\n", system.unwrap_or_default(), user.trim()))
    };
    Form::Chat { system: Some("Be brief.".to_string()), render: Arc::new(render) }
}

fn recorded(task: &str, haystack: &str) -> String {
    let listing = task.starts_with("abcdigits");
    let mut all = String::new();
    for (form, snap) in [(Form::Completion, Snap::Sentence), (chat(), Snap::None)] {
        let plan = PromptPlan {
            task: (niah::registry::find("task", TASKS, task).unwrap().value)(),
            haystack: if listing { Haystack::none() } else { Haystack::resolve(haystack).unwrap() },
            form,
            snap,
            answer_budget: None,
        };
        for toy in toys::all() {
            for (length, depth, index, seed) in
                [(700, 0.0, 0, 42), (1500, 37.5, 1, 42), (6000, 100.0, 2, 7), (40_000, 50.0, 0, 42)]
            {
                let depth = Depth::from_percent(depth).unwrap();
                let cell = Cell { context_length: ContextLength(length), depth };
                let trial = Trial { cell, index, seed };
                let prompt = plan.build(&trial, &toy, &mut plan.haystack_tokens(&trial));
                let prompt = prompt.unwrap_or_else(|error| panic!("{}: {error}", toy.name));
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

#[test]
fn prompts_of_the_presets_are_the_same_bytes_in_every_version() {
    let made: Vec<_> = TASKS
        .iter()
        .flat_map(|task| {
            let haystacks: &[&str] = if task.name.starts_with("abcdigits") {
                &["none"]
            } else {
                &["essays", "noise", "synthetic"]
            };
            haystacks.iter().map(|haystack| (task.name, *haystack, recorded(task.name, haystack)))
        })
        .collect();
    let made: Vec<_> = made.iter().map(|(task, haystack, hash)| (*task, *haystack, hash.as_str())).collect();
    assert_eq!(made, BYTES);
}
