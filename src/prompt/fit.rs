//! Cutting the haystack to length.
//!
//! The count of the haystack's own tokens says where to cut; the prompt is then encoded as a whole and the
//! cut corrected by what merged differently there.

use std::borrow::Cow;

use crate::error::Result;

use super::layout::lay_out;
use super::{Builder, Draft, Snap, asking_for, prompt_error};

/// Tokens that a needle moves back, at most, to stand after a sentence.
const NEEDLE_BOUND: usize = 64;

/// Merges at a cut change the count of a prompt by a few tokens; corrections leave that much room.
const JITTER: usize = 3;

/// Cuts that are tried around the best one when no token boundary gives the exact length.
const NEIGHBOURS: usize = 128;

/// The part of the stream that a prompt uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Where it ends.
    pub(super) end: usize,
    /// From here on only words are kept, a space between them; at the end where nothing is changed.
    flat_from: usize,
}

impl Cut {
    fn at(end: usize) -> Self {
        Self { end, flat_from: end }
    }

    /// The text that is used.
    pub(super) fn text(self, stream: &str) -> Cow<'_, str> {
        let (kept, tail) = stream[..self.end].split_at(self.flat_from);
        if tail.is_empty() { Cow::Borrowed(kept) } else { Cow::Owned(kept.to_string() + &flatten(tail)) }
    }

    /// Where byte `at` of the stream is in [`Self::text`].
    fn place(self, stream: &str, at: usize) -> usize {
        if at <= self.flat_from { at } else { self.flat_from + flatten(&stream[self.flat_from..at]).len() }
    }
}

/// The words of a text: every run of other characters becomes one space.
fn flatten(text: &str) -> String {
    let mut flat = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() {
            flat.push(c);
        } else if !flat.ends_with(' ') {
            flat.push(' ');
        }
    }
    flat
}

impl Builder<'_> {
    /// The longest prompt that fits.
    pub(super) fn fit(&mut self) -> Result<(Cut, Draft)> {
        self.frame.check(self.question)?;
        if self.question.about_haystack {
            self.end = self.haystack.read_once(self.tokenizer)?;
        }
        let target = self.trial.cell.context_length.0;
        let mut best = (Cut::at(0), self.draft(Cut::at(0))?);
        let minimum = self.length(&best.1);
        if minimum > target {
            let problem = format!(
                "template, needles, question{} and answer take {minimum} tokens without any haystack; {}",
                self.frame.thought(),
                asking_for(minimum)
            );
            return Err(prompt_error(self.trial, problem));
        }
        // Counts of haystack tokens: `fits` is known to fit and `too_many` not to, so every turn narrows the
        // gap.
        let (mut fits, mut too_many) = (0, usize::MAX);
        let mut aim = target - minimum;
        while self.length(&best.1) < target && !self.question.alone {
            let cut = self.cut(aim)?;
            let count = self.haystack.count(cut);
            if count <= fits || count >= too_many {
                break;
            }
            let draft = self.draft(Cut::at(cut))?;
            let length = self.length(&draft);
            if length > target {
                too_many = count;
                let over = match self.snap {
                    Snap::Sentence => (length - target).saturating_sub(JITTER),
                    Snap::None => length - target,
                };
                aim = count - over.clamp(1, count);
            } else {
                fits = count;
                aim = count + (target - length);
                best = (Cut::at(cut), draft);
            }
        }
        let whole = self.end == Some(best.0.end);
        if self.snap == Snap::None && !self.question.alone && !whole && self.length(&best.1) < target {
            best = self.exact_neighbour(best, target)?;
        }
        Ok(best)
    }

    /// Tokens of a whole trial: the prompt and what is reserved for the answer.
    fn length(&self, draft: &Draft) -> usize {
        draft.length(self.answer_budget)
    }

    /// The byte at which a haystack of about `tokens` tokens ends.
    fn cut(&mut self, tokens: usize) -> Result<usize> {
        if let Some(end) = self.end.filter(|&end| tokens >= self.haystack.count(end)) {
            return Ok(end);
        }
        // One token more shows whether the last one is only a part of a character.
        self.haystack.grow_to(self.tokenizer, tokens + 1)?;
        Ok(match self.snap {
            // A text whose first sentence is longer than what fits, or that has no sentences, would leave
            // nothing: of it a part is kept.
            Snap::Sentence => match self.haystack.sentence_boundary(tokens, Snap::SENTENCE_BOUND) {
                0 => self.haystack.boundary(tokens),
                end => end,
            },
            Snap::None => self.haystack.boundary(tokens),
        })
    }

    /// A cut near `best` that gives the target exactly, at a token boundary or within a token; else `best`.
    ///
    /// Where the count jumps over the target between two words, as at a paragraph break, the last few words
    /// are written without what stands between them.
    fn exact_neighbour(&mut self, best: (Cut, Draft), target: usize) -> Result<(Cut, Draft)> {
        let best_end = best.0.end;
        let count = self.haystack.count(best_end);
        let until = self.cut(count + 2 * JITTER)?;
        let from = self.cut(count.saturating_sub(8 * JITTER))?;
        let text = self.haystack.stream().text();
        let flat_from = text[..best_end].trim_end_matches(|c: char| !c.is_alphanumeric()).len();
        let mut cuts: Vec<_> = (from..=until).filter(|&at| text.is_char_boundary(at)).map(Cut::at).collect();
        cuts.sort_by_key(|cut| (cut.end.abs_diff(best_end), cut.end < best_end));
        cuts.truncate(NEIGHBOURS);
        let ends = (flat_from + 1..=until).filter(|&at| text.is_char_boundary(at));
        // A text that is read as it is has nothing left out.
        let ends = ends.filter(|_| self.end.is_none());
        cuts.extend(ends.map(|end| Cut { end, flat_from }).take(NEIGHBOURS));
        for cut in cuts {
            let draft = self.draft(cut)?;
            if self.length(&draft) == target {
                return Ok((cut, draft));
            }
        }
        Ok(best)
    }

    /// The prompt with the haystack cut here.
    fn draft(&self, cut: Cut) -> Result<Draft> {
        let stream = self.haystack.stream().text();
        let positions: Vec<_> = self.positions(cut.end).into_iter().map(|at| cut.place(stream, at)).collect();
        let layout = lay_out(self.frame, self.question, &cut.text(stream), &positions);
        Draft::new(layout, self.tokenizer)
    }

    /// Bytes at which the question's pieces go in.
    ///
    /// Every place is counted in the haystack alone, so that needles that are there already move none.
    fn positions(&self, cut: usize) -> Vec<usize> {
        let tokens = self.haystack.count(cut);
        let shares = self.question.shares(self.trial.cell.depth.fraction());
        shares
            .into_iter()
            .map(|share| match share {
                1.0.. => cut,
                share => {
                    self.haystack.sentence_boundary((share * tokens as f64) as usize, NEEDLE_BOUND).min(cut)
                }
            })
            .collect()
    }
}
