//! What a model thinks between a prompt and its answer, within a budget.
//!
//! A thought ends with its mark. One that has not ended when its budget is spent, or when the model falls
//! silent, is ended for it: its end mark is put behind it and the answer follows (budget forcing, Muennighoff
//! et al. 2025, arXiv 2501.19393).

use std::fmt;

use crate::error::Result;

/// A thought that is asked for before the answer.
#[derive(Clone, Copy)]
pub struct Thinking<'a> {
    /// Tokens of it, at most.
    pub budget: usize,
    /// What ends it where it does not end by itself.
    pub closing: &'a [u32],
    /// What stands between its end and the answer.
    pub lead: &'a [u32],
    /// The same where there is white space already, and where there is no thought.
    pub words: &'a [u32],
    /// Tells where it begins and ends.
    pub reader: &'a dyn ReadThought,
}

impl fmt::Debug for Thinking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thinking").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Tells where a thought begins and ends.
pub trait ReadThought {
    /// How far a thought is after these tokens, the last of which is new.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    fn stage(&self, tokens: &[u32]) -> Result<Stage>;
}

/// How far a thought is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What there is may yet become its mark.
    Undecided,
    /// There is none.
    None,
    /// It goes on.
    Open,
    /// The last token has ended it.
    Ended {
        /// Whether white space follows in the same token.
        spaced: bool,
    },
}

/// What a model thought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thought {
    /// What it wrote, with the marks that it wrote itself; nothing where it did not think.
    pub tokens: Vec<u32>,
    /// Whether the end mark was put behind it.
    pub cut: bool,
    /// What stands between these tokens and the answer.
    pub bridge: Vec<u32>,
}

impl Thinking<'_> {
    /// Tokens between prompt and answer, at most.
    #[must_use]
    pub fn room(&self) -> usize {
        self.budget + self.closing.len() + self.lead.len().max(self.words.len())
    }

    /// Lets a model think. `next` gives its next token, told the one before: `None` behind the prompt.
    ///
    /// # Errors
    /// Those of `next` and of the reader.
    pub fn think(
        &self,
        end_tokens: &[u32],
        mut next: impl FnMut(Option<u32>) -> Result<u32>,
    ) -> Result<Thought> {
        let none = || Thought { bridge: self.words.to_vec(), ..Thought::default() };
        let mut tokens = Vec::new();
        let mut stage = self.reader.stage(&tokens)?;
        while tokens.len() < self.budget {
            let token = next(tokens.last().copied())?;
            if end_tokens.contains(&token) {
                break;
            }
            tokens.push(token);
            stage = self.reader.stage(&tokens)?;
            match stage {
                Stage::None => return Ok(none()),
                Stage::Ended { spaced } => {
                    let bridge = if spaced { self.words } else { self.lead };
                    return Ok(Thought { tokens, cut: false, bridge: bridge.to_vec() });
                }
                Stage::Undecided | Stage::Open => {}
            }
        }
        Ok(match stage {
            Stage::Open => Thought { tokens, cut: true, bridge: [self.closing, self.lead].concat() },
            _ => none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 opens a thought, 2 ends it, 3 ends it with white space behind.
    struct Digits {
        opened: bool,
    }

    impl ReadThought for Digits {
        fn stage(&self, tokens: &[u32]) -> Result<Stage> {
            Ok(match tokens {
                _ if !self.opened && tokens.first().is_some_and(|first| *first != 1) => Stage::None,
                [] if !self.opened => Stage::Undecided,
                [.., 2] => Stage::Ended { spaced: false },
                [.., 3] => Stage::Ended { spaced: true },
                _ => Stage::Open,
            })
        }
    }

    /// What becomes of a script, with 9 as the end of all; and how many tokens were asked for.
    fn thought(opened: bool, budget: usize, script: &[u32]) -> (Thought, usize) {
        let reader = Digits { opened };
        let thinking = Thinking { budget, closing: &[2], lead: &[7, 8], words: &[8], reader: &reader };
        let mut asked = 0usize;
        let next = |last: Option<u32>| {
            assert_eq!(last, asked.checked_sub(1).map(|before| script[before]), "told what it said");
            asked += 1;
            Ok(script[asked - 1])
        };
        let thought = thinking.think(&[9], next).unwrap();
        (thought, asked)
    }

    fn told(tokens: &[u32], cut: bool, bridge: &[u32]) -> Thought {
        Thought { tokens: tokens.to_vec(), cut, bridge: bridge.to_vec() }
    }

    #[test]
    fn a_thought_ends_with_its_mark_and_the_answer_follows() {
        assert_eq!(thought(false, 10, &[1, 4, 5, 2, 2]), (told(&[1, 4, 5, 2], false, &[7, 8]), 4));
        assert_eq!(thought(true, 10, &[4, 3]), (told(&[4, 3], false, &[8]), 2));
        assert_eq!(thought(true, 10, &[2]), (told(&[2], false, &[7, 8]), 1), "an empty one");
        assert_eq!(thought(true, 2, &[4, 2]), (told(&[4, 2], false, &[7, 8]), 2), "just within its budget");
    }

    #[test]
    fn a_thought_that_does_not_end_is_ended_by_its_budget_or_by_silence() {
        assert_eq!(thought(true, 3, &[4, 4, 4]), (told(&[4, 4, 4], true, &[2, 7, 8]), 3));
        assert_eq!(thought(false, 3, &[1, 4, 4]), (told(&[1, 4, 4], true, &[2, 7, 8]), 3));
        assert_eq!(thought(true, 10, &[4, 9]), (told(&[4], true, &[2, 7, 8]), 2));
        assert_eq!(thought(true, 10, &[9]), (told(&[], true, &[2, 7, 8]), 1));
    }

    #[test]
    fn where_there_is_no_thought_the_answer_begins_behind_the_prompt() {
        assert_eq!(thought(false, 10, &[5]), (told(&[], false, &[8]), 1));
        assert_eq!(thought(false, 10, &[9]), (told(&[], false, &[8]), 1));
        assert_eq!(thought(false, 10, &[2]), (told(&[], false, &[8]), 1), "an end without a beginning");
    }
}
