//! Damaged and hostile files, by the thousand: whatever their bytes are, reading them ends with a result or an error.
//!
//! What the inputs are and how to see one again is said in `tests/common/mutate.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mutate.rs"]
mod mutate;
mod results;
