//! Prompts that are kept once they are built, for checkpoints that are asked the same in the same tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Prompt;
use crate::trial::Trial;

/// Bytes of prompts that are kept, at most, about: what comes behind them is built for every checkpoint.
const MOST_BYTES: usize = 1 << 30;

/// Bytes of a prompt beside its tokens and text, about.
const BYTES_BESIDE: usize = 4 << 10;

/// Prompts by trial. As it is made it keeps none; clones keep the same ones.
#[derive(Debug, Clone, Default)]
pub struct Built(Option<Arc<Mutex<Kept>>>);

#[derive(Debug, Default)]
struct Kept {
    prompts: HashMap<Key, Arc<Prompt>>,
    bytes: usize,
    built: usize,
}

/// Seed, length, depth in thousandths, number.
type Key = (u64, usize, u64, usize);

fn key(trial: &Trial) -> Key {
    let (length, depth) = trial.cell.numbers();
    (trial.seed, length, depth, trial.index)
}

impl Built {
    /// One that keeps prompts.
    #[must_use]
    pub fn keeping() -> Self {
        Self(Some(Arc::default()))
    }

    /// How many prompts were built while it kept them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.with(|kept| kept.built).unwrap_or_default()
    }

    fn with<T>(&self, of: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let kept = self.0.as_ref()?;
        // Nothing is left half done where another thread panicked.
        Some(of(&mut kept.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The prompt of a trial, where it is kept.
    pub(super) fn get(&self, trial: &Trial) -> Option<Prompt> {
        let prompt = self.with(|kept| kept.prompts.get(&key(trial)).map(Arc::clone)).flatten()?;
        Some(prompt.as_ref().clone())
    }

    /// Keeps the prompt of a trial, where there is room.
    pub(super) fn keep(&self, trial: &Trial, prompt: &Prompt) {
        self.with(|kept| {
            kept.built += 1;
            let bytes = size_of_val(prompt.tokens.as_slice()) + 2 * prompt.text.len() + BYTES_BESIDE;
            if kept.bytes + bytes <= MOST_BYTES {
                kept.bytes += bytes;
                kept.prompts.insert(key(trial), Arc::new(prompt.clone()));
            }
        });
    }
}
