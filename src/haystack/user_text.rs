//! Haystacks of the user: a text, begun anew when it ends, at another place for every trial.

use std::ops::Range;
use std::sync::Arc;

use super::Source;
use super::sentences::sentence_ends;

/// A text with the ends of its sentences, which all trials share.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
    ends: Vec<usize>,
}

impl Text {
    /// A text without outer white space.
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_string(), ends: sentence_ends(text) }
    }

    /// The whole text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The first sentence end from byte `from` on.
    fn end_from(&self, from: usize) -> Option<usize> {
        self.ends.get(self.ends.partition_point(|&end| end < from)).copied()
    }
}

/// Bytes of a piece, at least, where the text has as many: a trial copies about as much as its prompts need.
const PIECE: usize = 1 << 16;

struct UserText {
    text: Arc<Text>,
    /// Where the trial begins.
    start: usize,
    /// The bytes of the text that were appended last.
    piece: Range<usize>,
}

impl Source for UserText {
    fn push_piece(&mut self, out: &mut String) {
        let text = self.text.as_str();
        let from = if self.piece.end == text.len() { 0 } else { self.piece.end };
        // What stands before the start comes after the end, and then the start again.
        let until = if from < self.start { self.start } else { text.len() };
        let end = self.text.end_from(from + PIECE).map_or(until, |end| {
            let space = text[end..].len() - text[end..].trim_start().len();
            (end + space).min(until)
        });
        self.piece = from..end;
        out.push_str(&text[from..end]);
        if end == text.len() {
            out.push_str(BREAK);
        }
    }

    fn push_ends(&self, _text: &str, from: usize, ends: &mut Vec<usize>) {
        let Range { start, end } = self.piece;
        let all = &self.text.ends;
        let inside = all.partition_point(|&at| at <= start)..all.partition_point(|&at| at <= end);
        ends.extend(all[inside].iter().map(|at| from + at - start));
    }

    fn once(&self) -> Option<usize> {
        Some(self.text.as_str().len())
    }

    fn period(&self) -> Option<usize> {
        Some(self.text.as_str().len() + BREAK.len())
    }
}

/// What stands between the end of the text and its beginning.
const BREAK: &str = "\n\n";

/// The text, begun anew when it ends. Trial 0 starts at the top, every other trial at a paragraph of its own,
/// so that the trials of a cell are not one prompt measured again and again.
#[must_use]
pub(super) fn open(text: &Arc<Text>, trial: usize) -> Box<dyn Source> {
    let start = start_of_trial(text, trial);
    Box::new(UserText { text: Arc::clone(text), start, piece: start..start })
}

fn start_of_trial(whole: &Text, trial: usize) -> usize {
    let text = whole.as_str();
    // Multiples of the golden ratio spread any number of trials evenly over the text.
    let mut offset = ((trial as f64 * 0.618_033_988_749_894_9).fract() * text.len() as f64) as usize;
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    if offset == 0 {
        return 0;
    }
    let paragraph = text[offset..].find("\n\n").map(|found| offset + found);
    let end = paragraph.or_else(|| whole.end_from(offset + 1)).unwrap_or(text.len());
    let start = text.len() - text[end..].trim_start().len();
    if start == text.len() { 0 } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a trial as one text, and its sentence ends, of `bytes` bytes at least.
    fn stream(text: &Arc<Text>, trial: usize, bytes: usize) -> (String, Vec<usize>) {
        let (mut out, mut ends) = (String::new(), Vec::new());
        let mut source = open(text, trial);
        while out.len() < bytes {
            let from = out.len();
            source.push_piece(&mut out);
            source.push_ends(&out, from, &mut ends);
        }
        (out, ends)
    }

    #[test]
    fn trials_start_at_different_paragraphs_and_loops_wrap_around() {
        let text = Arc::new(Text::new("One a.\n\nTwo b.\n\nThree c.\n\nFour d."));
        let first = |trial| stream(&text, trial, text.as_str().len() + 2).0;
        assert!(first(0).starts_with("One a."));
        let later = first(1);
        assert!(!later.starts_with("One a."), "{later}");
        assert_eq!(later.matches("One a.").count(), 1, "{later}");
        assert!(later.contains("Four d.\n\nOne a."), "{later}");
    }

    #[test]
    fn pieces_of_a_trial_give_the_whole_text_and_the_sentence_ends_of_it() {
        let sentence = |n: usize| format!("Sentence {n} of Mr. Bell. ").repeat(1 + n % 7);
        let prose: Vec<String> = (0..3000).map(|n| sentence(n) + ["", "\n\n", "\n"][n % 3]).collect();
        for text in [prose.concat().as_str(), "One.", "no stop at all", "一。二！三", "A b.\n\n\n\nC d. E f."]
        {
            let text = Arc::new(Text::new(text.trim()));
            for trial in 0..12 {
                let start = start_of_trial(&text, trial);
                let (before, after) = text.as_str().split_at(start);
                let (made, ends) = stream(&text, trial, 2 * text.as_str().len());
                let parts = [after, BREAK, before].concat().repeat(3);
                assert!(parts.starts_with(&made), "trial {trial}");
                let expected = sentence_ends(after).into_iter();
                let turned = sentence_ends(before).into_iter().map(|end| end + after.len() + BREAK.len());
                let round = after.len() + BREAK.len() + before.len();
                let expected: Vec<usize> = expected.chain(turned).collect();
                let of_one: Vec<usize> = ends.into_iter().filter(|&end| end <= round).collect();
                assert_eq!(of_one, expected, "trial {trial}");
            }
        }
    }
}
