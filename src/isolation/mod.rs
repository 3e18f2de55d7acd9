//! Work on input that nobody vouches for, in a process of its own, where no fault of a library ends this one.
//!
//! Libraries that read tokenizers and templates panic, overflow the stack, ask for all memory or never end on
//! files made to do so, and a panic alone can be caught. So the same program is started again with
//! [`ARGUMENT`], under limits of memory and computing time that the operating system holds, and answers
//! questions over its standard input and output:
//!
//! ```text
//! question   seconds u64 | length u64 | bytes           little-endian
//! answer     0 or 1 u8   | length u64 | bytes           1: the library panicked
//! ```
//!
//! `main` says that the program can do so ([`set_program`]); where none is named, as in tests of the library,
//! callers do the work in their own process and catch what can be caught ([`caught`]).

mod limits;
mod worker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;

pub use worker::{Worker, serve};

/// The first argument of a program that is to [`serve`], followed by the memory that it may take, in bytes.
pub const ARGUMENT: &str = "isolated-worker";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names a program that serves when its first argument is [`ARGUMENT`]. The first call counts.
pub fn set_program(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// The program that runs, as long as it runs: it may be replaced on disk by a newer one meanwhile.
#[must_use]
pub fn this_program() -> Option<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// More memory than allowed, in bytes.
    Memory(u64),
    /// More time than allowed, in seconds of computing.
    Time(u64),
    /// The stack overflowed.
    Nesting,
    /// A panic, or an end that says no more.
    Fault,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "takes more than {} MiB of memory", bytes >> 20),
            Self::Time(seconds) => write!(f, "takes more than {seconds} s"),
            Self::Nesting => f.write_str("is nested too deeply"),
            Self::Fault => f.write_str("is damaged in a way that its reader cannot handle"),
        }
    }
}

/// What `work` gives, or [`Failure::Fault`] when it panics.
///
/// # Errors
/// [`Failure::Fault`].
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure::Fault)
}
