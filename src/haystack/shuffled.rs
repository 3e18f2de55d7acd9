//! A haystack's sentences in another order: of the text only the words of a sentence hang together.

use super::{HaystackStream, Source};
use crate::rng::Rng;

/// Bytes whose sentences are shuffled among each other. It never depends on how much is asked for.
const BLOCK: usize = 1 << 16;

struct Shuffled {
    inner: HaystackStream,
    rng: Rng,
    /// Sentences of the inner text that are written, and where the next one begins.
    written: (usize, usize),
}

/// The sentences of `inner`, block by block in an order drawn from the seed and the trial.
pub(super) fn open(inner: HaystackStream, seed: u64, trial: usize) -> Box<dyn Source> {
    let rng = Rng::for_purpose(seed, &["shuffled", &trial.to_string()]);
    Box::new(Shuffled { inner, rng, written: (0, 0) })
}

impl Source for Shuffled {
    fn push_piece(&mut self, out: &mut String) {
        let (number, from) = self.written;
        self.inner.grow_to(from + BLOCK);
        // The text grows in pieces that end with a sentence, so that the block is the same however long it
        // is.
        let ends = &self.inner.sentence_ends()[number..];
        let count = ends.partition_point(|&end| end < from + BLOCK).max(1).min(ends.len());
        let starts = std::iter::once(from).chain(ends.iter().copied());
        let text = self.inner.text();
        let mut sentences: Vec<&str> =
            starts.zip(&ends[..count]).map(|(start, &end)| text[start..end].trim()).collect();
        self.rng.shuffle(&mut sentences);
        for sentence in sentences.into_iter().filter(|sentence| !sentence.is_empty()) {
            out.push_str(sentence);
            out.push(' ');
        }
        out.push('\n');
        self.written = (number + count, ends[count - 1]);
    }

    fn period(&self) -> Option<usize> {
        self.inner.period()
    }
}
