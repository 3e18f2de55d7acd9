//! A question with everything that a prompt says besides the haystack.

use crate::grid::Depth;
use crate::needle::Needle;
use crate::span::SpanKind;

/// Everything a prompt says besides the haystack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Text before the haystack; may be empty.
    pub instruction: String,
    /// What is planted in the haystack, that is asked for and that is not.
    pub pieces: Vec<Piece>,
    /// What is asked after the haystack; empty when the completion alone asks.
    pub question: String,
    /// Whether the completion alone asks nevertheless: then [`Self::question`] only names what is asked for.
    pub completion_asks: bool,
    /// What the user's turn adds to the question in the chat form; may be empty.
    pub chat_suffix: String,
    /// How the answer begins in the completion form; the model continues it.
    pub completion: String,
    /// Whether the completion also begins the assistant's turn in the chat form.
    pub completion_in_chat: bool,
    /// What stands between the parts.
    pub breaks: Breaks,
    /// The expected answers: one text, or the items of one answer.
    pub expected: Vec<String>,
    /// How one answer says all of them.
    pub wording: Wording,
    /// Whether the prompt may say them elsewhere than in its spans, as where words are counted or copied.
    pub said_elsewhere: bool,
    /// Whether what is planted stands alone, without a haystack.
    pub alone: bool,
    /// Whether what the answer needs is left out; its spans are then where it would have stood.
    pub without_needles: bool,
    /// Whether it asks about what the haystack says itself: that is then read once, from its beginning, and
    /// what is asked for is where the answer stands in it.
    pub about_haystack: bool,
}

impl Question {
    /// What is asked for, in the order of planting.
    pub fn targets(&self) -> impl Iterator<Item = &Needle> {
        self.of_kind(SpanKind::Target)
    }

    /// What is planted of this kind, in the order of planting.
    pub fn of_kind(&self, kind: SpanKind) -> impl Iterator<Item = &Needle> {
        self.pieces.iter().filter(move |piece| piece.kind == kind).map(|piece| &piece.needle)
    }

    /// The share of the haystack that stands before each piece, for a cell at `depth` (0 to 1).
    #[must_use]
    pub fn shares(&self, depth: f64) -> Vec<f64> {
        let count = |place: Place| self.pieces.iter().filter(|piece| piece.place == place).count() as f64;
        let (from_depth, spread) = (count(Place::FromDepth), count(Place::Spread));
        let (mut deep, mut wide) = (0.0, 0.0);
        let share = |piece: &Piece| match piece.place {
            Place::FromDepth => {
                deep += 1.0;
                depth + (1.0 - depth) * (deep - 1.0) / from_depth
            }
            Place::Spread => {
                wide += 1.0;
                (wide - 0.5) / spread
            }
            Place::At(depth) => depth.fraction(),
        };
        self.pieces.iter().map(share).collect()
    }

    /// The answer as teacher forcing says it, and the byte at which each of the expected answers begins.
    #[must_use]
    pub fn answer(&self) -> (String, Vec<usize>) {
        let mut text = self.wording.before.to_string();
        let mut items = Vec::with_capacity(self.expected.len());
        for (number, item) in self.expected.iter().enumerate() {
            text += if number > 0 { self.wording.between } else { "" };
            if self.wording.numbered {
                text += &format!("{}. ", number + 1);
            }
            items.push(text.len());
            text += item;
        }
        text += self.wording.after;
        (text, items)
    }
}

/// A needle with its part in the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What is planted.
    pub needle: Needle,
    /// What it is to the question.
    pub kind: SpanKind,
    /// Where it goes.
    pub place: Place,
}

impl Piece {
    /// A needle that is asked for.
    #[must_use]
    pub fn target(needle: Needle) -> Self {
        Self { needle, kind: SpanKind::Target, place: Place::FromDepth }
    }

    /// A needle that is spread over the whole haystack with the others of its kind.
    #[must_use]
    pub fn spread(needle: Needle, kind: SpanKind) -> Self {
        Self { needle, kind, place: Place::Spread }
    }
}

/// Where a piece goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first of these at the cell's depth, the others evenly between it and the end.
    FromDepth,
    /// Evenly over the whole haystack, each in the middle of its part.
    Spread,
    /// At this depth in every cell.
    At(Depth),
}

/// What stands between the parts of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaks {
    /// Between the haystack and the question, or the completion where that alone asks.
    pub question: &'static str,
    /// Between the question and the completion, in the completion form.
    pub completion: &'static str,
    /// Between the completion and the answer, where neither has white space there.
    pub answer: &'static str,
}

impl Default for Breaks {
    fn default() -> Self {
        Self { question: "\n\n", completion: "\n", answer: " " }
    }
}

/// How an answer says its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording {
    /// Before the first.
    pub before: &'static str,
    /// Between two.
    pub between: &'static str,
    /// After the last.
    pub after: &'static str,
    /// Whether each has its number before it, as in `1. `.
    pub numbered: bool,
}

impl Default for Wording {
    fn default() -> Self {
        Self { before: "", between: ", ", after: "", numbered: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_from_the_depth_and_over_the_whole_are_counted_apart() {
        let needle = |text: &str| Needle::new(text, "x").unwrap();
        let pieces = vec![
            Piece::target(needle("a x")),
            Piece::spread(needle("b x"), SpanKind::Distractor),
            Piece::target(needle("c x")),
            Piece::spread(needle("d x"), SpanKind::Other),
        ];
        let question = Question { pieces, ..Question::default() };
        assert_eq!(question.shares(0.5), [0.5, 0.25, 0.75, 0.75]);
        assert_eq!(question.shares(1.0), [1.0, 0.25, 1.0, 0.75]);
        assert_eq!(question.targets().count(), 2);
    }

    #[test]
    fn an_answer_says_its_items_and_where_each_begins() {
        let expected = vec!["ab".to_string(), "c".to_string()];
        let plain = Question { expected: expected.clone(), ..Question::default() };
        assert_eq!(plain.answer(), ("ab, c".to_string(), vec![0, 4]));
        let wording = Wording { before: "Answer: [", between: "; ", after: "]", numbered: false };
        let numbered = Wording { between: " ", numbered: true, ..Wording::default() };
        let numbered = Question { expected: expected.clone(), wording: numbered, ..Question::default() };
        assert_eq!(numbered.answer(), ("1. ab 2. c".to_string(), vec![3, 9]));
        let listed = Question { expected, wording, ..Question::default() };
        let (text, items) = listed.answer();
        assert_eq!(text, "Answer: [ab; c]");
        assert_eq!(items.iter().map(|&at| &text[at..=at]).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(Question::default().answer(), (String::new(), Vec::new()));
    }
}
