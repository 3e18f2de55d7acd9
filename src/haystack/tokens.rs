//! The haystack of one trial, counted in a tokenizer's tokens.

use crate::error::{Error, Result};
use crate::tokenizer::Tokenize;

use super::{Haystack, HaystackStream};

/// Bytes that are tokenised at a time. The pieces never depend on how much was asked for, so neither do the
/// counts.
const PIECE: usize = 16 * 1024;

/// A trial's stream with the byte at which each of its tokens ends; it is built once a trial and grows with
/// the cells.
///
/// The counts choose where a prompt is cut and where its needles go. Within a prompt the text is tokenised
/// again as a whole, where pieces may merge differently by a token or two.
#[derive(Debug)]
pub struct HaystackTokens {
    stream: HaystackStream,
    trial: (u64, usize),
    ends: Vec<u32>,
    tokenised: usize,
}

impl HaystackTokens {
    /// The stream of trial number `trial` of the run with this seed, nothing counted yet.
    #[must_use]
    pub fn new(haystack: &Haystack, seed: u64, trial: usize) -> Self {
        Self { stream: haystack.open(seed, trial), trial: (seed, trial), ends: Vec::new(), tokenised: 0 }
    }

    /// The seed and trial number it was opened for.
    #[must_use]
    pub fn trial(&self) -> (u64, usize) {
        self.trial
    }

    /// The text so far.
    #[must_use]
    pub fn stream(&self) -> &HaystackStream {
        &self.stream
    }

    /// Counts at least `tokens` tokens.
    ///
    /// # Errors
    /// When the tokenizer fails, or gives no tokens for a text.
    pub fn grow_to(&mut self, tokenizer: &dyn Tokenize, tokens: usize) -> Result<()> {
        while self.ends.len() < tokens {
            let from = self.tokenised;
            self.stream.grow_to(from + 2 * PIECE);
            let end = self.end_of_piece(from);
            let encoded = tokenizer.encode(&self.stream.text()[from..end])?;
            if encoded.ids.is_empty() {
                return Err(Error::Tokenizer(format!("no tokens for {} bytes of haystack", end - from)));
            }
            // As much as there is and no more: a server's workers keep a haystack each.
            self.ends.reserve_exact(encoded.spans.len());
            for span in &encoded.spans {
                let end = u32::try_from(from + span.end);
                self.ends.push(end.map_err(|_| Error::Tokenizer("a haystack of 4 GiB or more".to_string()))?);
            }
            self.tokenised = end;
        }
        Ok(())
    }

    /// Counts all tokens of a text that is read once; the byte at which it ends, `None` for a text that never
    /// does.
    ///
    /// # Errors
    /// As of [`Self::grow_to`].
    pub fn read_once(&mut self, tokenizer: &dyn Tokenize) -> Result<Option<usize>> {
        let Some(end) = self.stream.once() else { return Ok(None) };
        while self.tokenised < end {
            self.grow_to(tokenizer, self.ends.len() + 1)?;
        }
        Ok(Some(end))
    }

    /// Pieces end with a sentence, so that hardly any token would cross their border.
    fn end_of_piece(&self, from: usize) -> usize {
        let ends = self.stream.sentence_ends();
        let next = ends[ends.partition_point(|&end| end < from + PIECE)..].first().copied();
        next.filter(|&end| end <= from + 2 * PIECE).unwrap_or_else(|| {
            (from + PIECE..).find(|&at| self.stream.text().is_char_boundary(at)).unwrap_or(from + PIECE)
        })
    }

    /// How many tokens end within the first `bytes`.
    #[must_use]
    pub fn count(&self, bytes: usize) -> usize {
        self.ends.partition_point(|&end| end as usize <= bytes)
    }

    /// The byte at which the first `tokens` tokens end, or fewer where the last of them would be part of a
    /// character.
    #[must_use]
    pub fn boundary(&self, tokens: usize) -> usize {
        let mut tokens = tokens.min(self.ends.len());
        while tokens > 0 && self.splits_character(tokens) {
            tokens -= 1;
        }
        if tokens == 0 { 0 } else { self.ends[tokens - 1] as usize }
    }

    fn splits_character(&self, tokens: usize) -> bool {
        let end = self.ends[tokens - 1];
        self.ends.get(tokens) == Some(&end) || !self.stream.text().is_char_boundary(end as usize)
    }

    /// The last sentence end among the first `tokens` tokens if it is at most `bound` tokens back, else their
    /// [`Self::boundary`]. The beginning counts as a sentence end.
    #[must_use]
    pub fn sentence_boundary(&self, tokens: usize, bound: usize) -> usize {
        let boundary = self.boundary(tokens);
        let ends = self.stream.sentence_ends();
        let before = ends.partition_point(|&end| end <= boundary);
        let sentence = if before == 0 { 0 } else { ends[before - 1] };
        if tokens - self.count(sentence).min(tokens) <= bound { sentence } else { boundary }
    }
}
