//! The haystack of one trial: text that only grows, with the places where its sentences end.

use super::sentences::sentence_ends;

/// Endless text in pieces.
pub trait Source: Send + Sync {
    /// Appends the next piece. Pieces end with white space, at the end of a sentence.
    fn push_piece(&mut self, out: &mut String);

    /// Adds the sentence ends of the piece that was appended last, which begins at byte `from` of `text`.
    fn push_ends(&self, text: &str, from: usize, ends: &mut Vec<usize>) {
        ends.extend(sentence_ends(&text[from..]).into_iter().map(|end| from + end));
    }

    /// Bytes of the text when it is read once; `None` when it has no end, or is not read in its order.
    fn once(&self) -> Option<usize> {
        None
    }

    /// Bytes after which the text begins again; `None` when it never does, or when repetition is its nature.
    fn period(&self) -> Option<usize> {
        None
    }
}

/// The text of one trial. All cells of the trial share it, so a longer haystack has every shorter one as its
/// prefix.
pub struct HaystackStream {
    source: Box<dyn Source>,
    text: String,
    ends: Vec<usize>,
}

impl HaystackStream {
    /// An empty stream over this source.
    #[must_use]
    pub fn new(source: Box<dyn Source>) -> Self {
        Self { source, text: String::new(), ends: Vec::new() }
    }

    /// Makes [`Self::text`] at least `bytes` long; text that is there stays as it is.
    pub fn grow_to(&mut self, bytes: usize) {
        while self.text.len() < bytes {
            let from = self.text.len();
            self.source.push_piece(&mut self.text);
            self.source.push_ends(&self.text, from, &mut self.ends);
        }
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte offsets of the sentence ends in [`Self::text`], ascending.
    #[must_use]
    pub fn sentence_ends(&self) -> &[usize] {
        &self.ends
    }

    /// Bytes after which the text begins again.
    pub(super) fn period(&self) -> Option<usize> {
        self.source.period()
    }

    /// Bytes of the text when it is read once.
    pub(super) fn once(&self) -> Option<usize> {
        self.source.once()
    }

    /// How often the text begins again within its first `bytes`.
    #[must_use]
    pub fn loops_within(&self, bytes: usize) -> usize {
        self.source.period().map_or(0, |period| bytes.saturating_sub(1) / period)
    }
}

impl std::fmt::Debug for HaystackStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HaystackStream").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}
