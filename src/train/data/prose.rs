//! Prose of the haystacks.

use super::{Make, Sequence};
use crate::error::{Error, Result};
use crate::haystack::HaystackStream;
use crate::rng::Rng;

/// A haystack's text from one of its sentences on.
pub(super) struct Passage {
    stream: HaystackStream,
    start: usize,
}

impl Passage {
    /// A passage of a haystack that is chosen at random, from a sentence that is.
    pub(super) fn draw(make: &mut Make<'_>) -> Self {
        Self::of(&mut make.rng, make.sources)
    }

    pub(super) fn of(rng: &mut Rng, sources: &super::Sources) -> Self {
        let haystack = rng.choose(&sources.haystacks);
        let mut stream = haystack.open(rng.next_u64(), rng.below(1 << 32) as usize);
        stream.grow_to(1);
        // The last end is that of the whole piece, behind which the next one stands.
        let starts = stream.sentence_ends().len().max(1) as u64;
        let start = match rng.below(starts) as usize {
            0 => 0,
            number => stream.sentence_ends()[number - 1],
        };
        let white = stream.text()[start..].len() - stream.text()[start..].trim_start().len();
        Self { start: start + white, stream }
    }

    /// Its first `bytes`, or a few more where a character would be cut.
    pub(super) fn text(&mut self, bytes: usize) -> &str {
        let end = self.start + bytes;
        self.stream.grow_to(end + 4);
        let end = (end..end + 4).find(|&at| self.stream.text().is_char_boundary(at)).unwrap_or(end);
        &self.stream.text()[self.start..end]
    }

    /// Ends of sentences within its first `bytes`, ascending, the beginning included.
    pub(super) fn sentence_ends(&self, bytes: usize) -> Vec<usize> {
        let ends = self.stream.sentence_ends().iter().filter(|&&end| end > self.start);
        let ends = ends.map(|end| end - self.start).take_while(|&end| end <= bytes);
        std::iter::once(0).chain(ends).collect()
    }
}

/// Prose alone.
pub(super) fn make(make: &mut Make<'_>) -> Result<Sequence> {
    let mut passage = Passage::draw(make);
    // Few tokenizers make more than 4 tokens of a byte or fewer than one of 32.
    for bytes_per_token in [5, 8, 32] {
        let text = passage.text(bytes_per_token * make.rows);
        if let Some(sequence) = make.sequence(text, &[])? {
            return Ok(sequence);
        }
    }
    Err(Error::Tokenizer("makes fewer than one token of 32 bytes of haystack".to_string()))
}
