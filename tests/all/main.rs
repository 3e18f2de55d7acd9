//! The integration tests, in one binary: a file a subject. Apart stand those that need a process of their own
//! and say why: `isolated.rs`, `mutations` and `shipped.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod bad_config;
mod bad_input;
mod bench;
#[cfg(feature = "candle-engine")]
mod black_boxes;
mod chat_templates;
mod cli;
mod common;
mod compare;
mod config_cases;
mod coverage;
mod dry_run;
mod dtype;
mod exports;
mod fade;
mod gate;
mod gemma3;
mod gguf;
mod golden;
mod gradients;
mod html_report;
mod hub;
mod hub_hostile;
mod hybrids;
mod inspect;
mod layers;
mod layouts;
mod logits;
mod looked;
mod loss;
mod manners;
mod multiscreen;
mod multiscreen_command;
mod multiscreen_gradients;
mod oracle;
mod outside;
mod pages;
mod prefix_sharing;
mod prompt_bytes;
mod prompts;
mod results;
mod rules;
mod run;
mod schema;
mod score;
mod shards;
mod smollm2;
mod standing;
mod state_spaces;
mod tasks;
mod tensors;
mod thinking;
mod tokenizer;
mod toys;
mod train_command;
mod training;
mod variants;
mod verdict;
mod version;
mod views;
mod warnings;
mod weights;
mod width;
