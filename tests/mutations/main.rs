//! Damaged and hostile files, by the thousand: whatever their bytes are, reading them ends with a result or
//! an error.
//!
//! A process of its own, as the memory that it takes is measured.
//!
//! What the inputs are and how to see one again is said in `tests/all/common/mutate.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod checkpoints;
#[path = "../all/common/mod.rs"]
mod common;
#[path = "../all/common/mutate.rs"]
mod mutate;
mod results;
