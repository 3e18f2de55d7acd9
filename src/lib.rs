//! `niah`: needle-in-a-haystack evaluation.

pub mod error;
pub mod grid;
pub mod needle;
pub mod prompt;
pub mod registry;
pub mod rng;
pub mod task;
pub mod tokenizer;
pub mod trial;
