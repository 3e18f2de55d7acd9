//! The tokenizers of two real checkpoints: what toys show of prompts holds for these as well.

use std::sync::LazyLock;

use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::plan::load_tokenizer;
use niah::prompt::Form;
use niah::tokenizer::{TextTokenizer, Tokenize};

use super::parts::{check, listed_as_many_as_fit};
use super::{chat_of, entries, plan, trial};
use crate::common::model_file;

static LOADED: LazyLock<Vec<(&'static str, TextTokenizer)>> = LazyLock::new(|| {
    let files = [("SmolLM2", "SmolLM2-135M-Instruct.Q4_1.gguf"), ("Gemma 3", "gemma-3-270m-q4_k_m.gguf")];
    let load = |(name, file): (&'static str, &str)| {
        let file = model_file(file)?;
        let checkpoint = Checkpoint::open(&file.display().to_string(), RopeOverride::default()).unwrap();
        Some((name, load_tokenizer(&checkpoint).unwrap()))
    };
    files.into_iter().filter_map(load).collect()
});

/// Those whose files are there.
pub(super) fn tokenizers() -> impl Iterator<Item = (&'static str, &'static dyn Tokenize)> {
    LOADED.iter().map(|(name, tokenizer)| (*name, tokenizer as &dyn Tokenize))
}

#[test]
fn every_task_asks_at_1k_what_it_promises_in_real_tokenizers() {
    for (name, tokenizer) in LOADED.iter() {
        // SmolLM2 has a template of its own, Gemma's checkpoint is a base model.
        let own = tokenizer.chat_template().unwrap().map(chat_of);
        let forms = [Some(Form::Completion), own].into_iter().flatten();
        for (place, form) in forms.enumerate() {
            for (entry, depth) in entries().zip([0.0, 35.0, 100.0].into_iter().cycle()) {
                let (plan, trial) = (plan(entry.name, form.clone()), trial(1024, depth, place, 7));
                let prompt = plan.build(&trial, tokenizer, &mut plan.haystack_tokens(&trial));
                let prompt = prompt.unwrap_or_else(|error| panic!("{} {name}: {error}", entry.name));
                check(entry.name, 1024, (name, tokenizer), &prompt);
            }
        }
    }
}

#[test]
fn listed_texts_are_at_most_one_item_short_in_real_tokenizers() {
    for (name, tokenizer) in tokenizers() {
        for entry in entries().filter(|entry| (entry.value)().listing().is_some()) {
            // From a length at which the shortest text of any task fits.
            for length in [1100, 2048, 8192] {
                listed_as_many_as_fit(entry.name, &trial(length, 50.0, 0, 4), (name, tokenizer));
            }
        }
    }
}
