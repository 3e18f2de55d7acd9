//! What of the tokens that a model wrote is its answer, and what a thought.

use crate::error::Result;
use crate::generate::{Completion, ReadThought, Stage};
use crate::prompt::Assistant;
use crate::tokenizer::{Marks, Tokenize};

/// Tells in the tokenizer's words where a thought begins and ends.
pub(super) struct Reader<'a> {
    pub(super) tokenizer: &'a dyn Tokenize,
    pub(super) marks: Marks,
    /// Whether the prompt ends within the thought.
    pub(super) opened: bool,
}

/// Tokens of a mark, at most: one for each of its bytes, with a few of white space beside it.
fn longest(mark: &str) -> usize {
    mark.len() + 8
}

impl Reader<'_> {
    /// Whether a thought has begun; `None` while that cannot be told.
    fn has_begun(&self, tokens: &[u32]) -> Result<Option<bool>> {
        if self.opened {
            return Ok(Some(true));
        }
        let (open, most) = (self.marks.open, longest(self.marks.open));
        let text = self.tokenizer.decode(&tokens[..tokens.len().min(most)])?;
        let text = text.trim_start();
        Ok(match text.starts_with(open) {
            true => Some(true),
            false if open.starts_with(text) && tokens.len() < most => None,
            false => Some(false),
        })
    }
}

impl ReadThought for Reader<'_> {
    /// Only the end is read: a mark before it would have ended the thought already.
    fn stage(&self, tokens: &[u32]) -> Result<Stage> {
        match self.has_begun(tokens)? {
            None => return Ok(Stage::Undecided),
            Some(false) => return Ok(Stage::None),
            Some(true) => {}
        }
        let tail = tokens.len().saturating_sub(longest(self.marks.close));
        let text = self.tokenizer.decode(&tokens[tail..])?;
        Ok(match text.split_once(self.marks.close) {
            Some((_, behind)) => Stage::Ended { spaced: behind.starts_with(char::is_whitespace) },
            None => Stage::Open,
        })
    }
}

/// An answer, and what was thought before it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Tokens of the thought; `None` where it is not known how one looks.
    pub(super) thinking_tokens: Option<usize>,
    /// Whether it has no end of its own.
    pub(super) thinking_cut: Option<bool>,
}

impl Answer {
    /// The answer in a completion. Where the model was to think the thought is known; where an answer may
    /// begin with one, or `prompt` ends within one, it is looked for.
    pub(super) fn of(
        completion: &Completion,
        assistant: &Assistant,
        prompt: &str,
        tokenizer: &dyn Tokenize,
    ) -> Result<Self> {
        let tokens = completion.tokens.as_slice();
        match (&completion.thought, assistant.marks) {
            (Some(thought), marks) => Ok(Self {
                text: plain(tokens, marks, tokenizer)?,
                thinking_tokens: Some(thought.tokens.len()),
                thinking_cut: Some(thought.cut),
            }),
            (None, None) => Ok(Self { text: tokenizer.decode_plain(tokens)?, ..Self::default() }),
            (None, Some(marks)) => {
                let opened = marks.opened_by(prompt);
                let (thought, cut) = thought_before(tokens, opened, marks, tokenizer)?;
                Ok(Self {
                    text: plain(&tokens[thought..], Some(marks), tokenizer)?,
                    thinking_tokens: Some(thought),
                    thinking_cut: Some(cut),
                })
            }
        }
    }
}

/// How many tokens an answer begins with that are a thought, and whether this has no end; `opened` where it
/// has begun before them.
fn thought_before(
    tokens: &[u32],
    opened: bool,
    marks: Marks,
    tokenizer: &dyn Tokenize,
) -> Result<(usize, bool)> {
    let text = tokenizer.decode(tokens)?;
    if !text.contains(marks.close) {
        let unended = opened || text.trim_start().starts_with(marks.open);
        return Ok(if unended { (tokens.len(), true) } else { (0, false) });
    }
    // The fewest tokens with the mark in them.
    let (mut without, mut with) = (0, tokens.len());
    while without + 1 < with {
        let middle = without.midpoint(with);
        match tokenizer.decode(&tokens[..middle])?.contains(marks.close) {
            true => with = middle,
            false => without = middle,
        }
    }
    Ok((with, false))
}

/// The text of an answer without special tokens and further thoughts.
fn plain(tokens: &[u32], marks: Option<Marks>, tokenizer: &dyn Tokenize) -> Result<String> {
    if let Some(marks) = marks {
        let text = tokenizer.decode(tokens)?;
        if text.contains(marks.open) || text.contains(marks.close) {
            return Ok(marks.without_thoughts(&text));
        }
    }
    tokenizer.decode_plain(tokens)
}
