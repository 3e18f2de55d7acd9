//! `niah`: does a checkpoint really use its context, and what does its attention do about it?
//!
//! A needle is hidden at a depth of a haystack, a language model is asked for it, and both the answer and the
//! attention of the answering query are recorded on the same cell. This library is what the `niah` binary is
//! made of.
//!
//! # How a run works
//!
//! 1. [`plan`] resolves what was asked for against a [`checkpoint`]: everything that can fail does so before
//!    weights load.
//! 2. [`prompt`] builds each prompt from a [`task`] and a [`haystack`], exact to the token, as a pure
//!    function of its inputs.
//! 3. [`generate`] runs it through the [`model`] under an [`attention`] variant, and probes the rows that
//!    predict the answer. Where the model runs elsewhere, a [`server`] is asked, and attention is empty.
//! 4. [`runner`] scores the answer ([`score`]) and hands one flat row ([`trial::Outcome`]) to the run's
//!    directory ([`store`]).
//! 5. [`report`] sums rows up, with their uncertainty ([`stats`]), or compares two runs; [`export`] turns any
//!    report into bytes.
//!
//! [`train`] makes checkpoints that load like any other; what it draws from, a run can leave out ([`split`]).
//! [`loss`] measures how well any of them predicts text, by position. [`laboratory`] repeats a paper's
//! claims: its stages are commands, and [`laboratory::report`] says what they found.
//!
//! Many machines run parts of one plan ([`plan::Shard`], [`store::merged`]), many checkpoints one plan
//! ([`store::models`]), and files of neighbouring tools are read and written ([`store::exchange`]).
//!
//! # From another program
//!
//! [`evaluate()`] runs what [`Settings`] say on a [`Device`]; `examples/grid.rs` is a whole program of it.
//!
//! # Layers: imports point down only
//!
//! ```text
//!  7  main · cli · commands · laboratory   clap, stdout, exit codes
//!  6  interactive                      a run on a screen of its own in the terminal, by keys
//!  5  export · store · evaluate         reports to bytes; what lies on disk; a plan run to its end
//!  4  report · stats                    facts to a document and typed rows
//!  3  plan · prefix · runner · train    the only modules that see both columns below
//!  2  score                             (response, expected) to 0..1
//!  1  TEXT  grid needle haystack split  | TENSOR  spec weights attention model
//!           standing task prompt trial  |         checkpoint generate logits loss speed kernel
//!           tokenizer span server       |
//!  0  allocator · registry · error · escape · rng · hash · clock · files · json · isolation · process ·
//!     progress · printable · web
//! ```
//!
//! # Invariants, held by `tests/all/layers.rs`
//!
//! - Text, score, report and the drawing exports never import candle: results can be drawn again without a
//!   model.
//! - `attention` and `model` know token ids and token ranges, never needles or tasks.
//! - `checkpoint` and `model` meet in [`spec`], which is data, and in [`weights`], tensors by name; neither
//!   names the other.
//! - candle-transformers is named in `model/black_box/candle/` alone, where the feature `candle-engine` lets
//!   it in; what it computes and what [`model::decoder`] computes meet in [`model::causal_lm`].
//! - What is chosen about a model's attention and precision is told of in `cli` and in [`plan::ModelChoice`]
//!   alone.
//! - clap stands only in `main`, `cli` and `commands`, comfy-table only in `export/terminal/table.rs`, the
//!   csv crate only in the three `csv.rs`, ratatui only in `interactive`, ureq only in `checkpoint/hub/`,
//!   [`server`] and `web`, which both of them ask about addresses.
//! - One function, [`attention::attend`], turns scores into mixed values: masking, chunks, grouped heads and
//!   probing happen there once, for the reference and for the fused kernel. What screens instead of
//!   normalising has one such function as well, [`attention::screening::screen`].
//! - What a download's tokenizer and template do happens in another process, under limits ([`isolation`]).
//! - Sizes come from the configuration, never from code. Library code does not print.
//! - What comes from outside is shown through [`printable`]: no name, answer or message reaches a terminal
//!   raw. Tables of data hold it exactly.
//! - The same seed gives the same prompts and rows on any number of threads, apart from duration and
//!   timestamp.

pub mod allocator;
pub mod attention;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod error;
pub mod escape;
pub mod evaluate;
pub mod export;
mod files;
pub mod generate;
pub mod grid;
pub mod hash;
pub mod haystack;
pub mod interactive;
pub mod isolation;
mod json;
mod kernel;
pub mod laboratory;
pub mod logits;
pub mod loss;
pub mod model;
pub mod needle;
pub mod plan;
mod prefix;
pub mod printable;
pub mod process;
pub mod progress;
pub mod prompt;
pub mod registry;
pub mod report;
pub mod rng;
pub mod runner;
pub mod score;
pub mod server;
pub mod span;
pub mod spec;
mod speed;
pub mod split;
pub mod standing;
pub mod stats;
pub mod store;
pub mod task;
pub mod tokenizer;
pub mod train;
pub mod trial;
mod web;
pub mod weights;

pub use candle_core::Device;
pub use error::{Error, Result};
pub use evaluate::evaluate;
pub use plan::{ModelChoice, Settings};
