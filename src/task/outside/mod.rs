//! Tasks out of files of the user's own.

mod csv;
mod file;
mod given;
mod laid;
mod needles;
mod prompts;
mod rows;

pub use given::{GivenPrompt, GivenSpan, SpanPlace};
pub use laid::{Laid, LaidPart, Turn};
pub use needles::Needles;
pub use prompts::Prompts;
