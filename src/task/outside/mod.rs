//! Tasks out of files of the user's own.

mod answers;
mod csv;
mod file;
mod given;
mod laid;
mod made;
mod needles;
mod prompts;
mod rows;

pub use answers::{Answers, GivenAnswer};
pub use given::{GivenPrompt, GivenSpan, SpanPlace};
pub use laid::{Laid, LaidPart, Turn};
pub use made::Made;
pub use needles::Needles;
pub use prompts::Prompts;
