//! `niah`: needle-in-a-haystack evaluation.

pub mod attention;
pub mod checkpoint;
pub mod error;
pub mod generate;
pub mod grid;
pub mod model;
pub mod needle;
pub mod prompt;
pub mod registry;
pub mod rng;
pub mod task;
pub mod tokenizer;
pub mod trial;
