//! `niah`: needle-in-a-haystack evaluation.

pub mod attention;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod error;
pub mod export;
pub mod generate;
pub mod grid;
pub mod hash;
pub mod haystack;
pub mod model;
pub mod needle;
pub mod plan;
pub mod progress;
pub mod prompt;
pub mod registry;
pub mod report;
pub mod rng;
pub mod runner;
pub mod score;
pub mod stats;
pub mod task;
pub mod tokenizer;
pub mod trial;
