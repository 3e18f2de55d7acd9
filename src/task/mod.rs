//! Tasks: what is hidden, what is asked, what counts as the answer.

use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;

/// Everything a prompt says besides the haystack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Text before the haystack; may be empty.
    pub instruction: String,
    /// The needles; the first goes in at the cell's depth.
    pub needles: Vec<Needle>,
    /// What is asked after the haystack; empty when the completion alone asks.
    pub question: String,
    /// How the answer begins in the completion form; the model continues it.
    pub completion: String,
    /// Whether the completion also begins the assistant's turn in the chat form.
    pub completion_in_chat: bool,
    /// The expected answers; the first is the one scored by teacher forcing.
    pub expected: Vec<String>,
}

/// A kind of question, drawn anew for every trial.
pub trait Task: Send + Sync {
    /// Name of the preset, as in `--task`.
    fn name(&self) -> &'static str;

    /// The haystack used when the user names none.
    fn default_haystack(&self) -> &'static str {
        "essays"
    }

    /// Tokens that the model may generate for an answer.
    fn answer_budget(&self) -> usize;

    /// Draws one question.
    ///
    /// # Errors
    /// When the task's own texts are inconsistent, such as an answer that is not in the needle.
    fn draw(&self, rng: &mut Rng) -> Result<Question, Error>;
}
