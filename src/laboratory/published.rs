//! What the papers say: every published number and sentence that a report holds its own against, with its
//! source.

use super::report::Paper;
use crate::report::document::{Block, Table};

/// A published number, or a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// What it is of.
    pub what: &'static str,
    /// Its lower end.
    pub low: f64,
    /// Its upper end; the lower one where there is one number.
    pub high: f64,
    /// Where it stands.
    pub source: &'static str,
}

const SSMAX_PAPER: &str = "arXiv 2501.19399";
const MULTISCREEN_PAPER: &str = "arXiv 2604.01178";

/// How far SSMax retrieves where Softmax fails.
pub const SSMAX_RETRIEVAL: Published =
    one("training lengths to which SSMax retrieves a needle", 10.0, SSMAX_PAPER);
/// How much lower its training loss is.
pub const SSMAX_LOSS: Published = one(
    "nats a token by which the training loss of SSMax is lower, 162 million parameters",
    0.008,
    SSMAX_PAPER,
);
/// How far its loss by position stays low.
pub const SSMAX_POSITIONS: Published =
    one("training lengths to which the loss by position of SSMax stays low", 20.0, SSMAX_PAPER);
/// What the base of rotary positions is multiplied by before a model goes past its training length.
pub const ROPE_THETA_SCALE: Published =
    one("factor on the base of rotary positions past the training length", 50.0, SSMAX_PAPER);
/// The share of parameters that Multiscreen saves at equal loss.
pub const MULTISCREEN_SAVING: Published = Published {
    what: "share of parameters that Multiscreen saves at equal loss",
    low: 0.30,
    high: 0.40,
    source: MULTISCREEN_PAPER,
};
/// How many times faster its pass over [`MULTISCREEN_SPEEDUP_LENGTH`] tokens is.
pub const MULTISCREEN_SPEEDUP: Published = Published {
    what: "times that a pass of Multiscreen over 100,000 tokens is faster than one of softmax attention",
    low: 2.3,
    high: 3.2,
    source: MULTISCREEN_PAPER,
};
/// The length of that pass.
pub const MULTISCREEN_SPEEDUP_LENGTH: usize = 100_000;

/// What the SSMax paper finds, in sentences.
pub const SSMAX: Paper = Paper {
    retrieval: "The paper finds retrieval to about ten times the training length with SSMax where Softmax \
                fails.",
    loss: "The paper finds about 0.008 nats less with SSMax for a model of 162 million parameters.",
    positions: "The paper sees the loss of Softmax rise past the training length and that of SSMax stay low \
                to about twenty times of it.",
};

/// What the Multiscreen paper finds, in sentences.
pub const MULTISCREEN: Paper = Paper {
    retrieval: "The Multiscreen paper finds key-value lines answered nearly always to far past the training \
                length.",
    loss: "The Multiscreen paper compares losses by the number of parameters, as a section below does.",
    positions: "The Multiscreen paper finds the loss of Multiscreen flat to far past the training length.",
};

const fn one(what: &'static str, value: f64, source: &'static str) -> Published {
    Published { what, low: value, high: value, source }
}

/// The numbers that a report holds its own against, as its last section.
pub(super) fn section(numbers: &[Published]) -> Vec<Block> {
    let row = |number: &Published| {
        let range = if number.low < number.high {
            format!("{} to {}", number.low, number.high)
        } else {
            number.low.to_string()
        };
        vec![number.what.to_string(), range, number.source.to_string()]
    };
    vec![
        Block::Heading("Published numbers".to_string()),
        Block::Table(
            Table::new(&["what", "published", "source"], numbers.iter().map(row).collect())
                .captioned("What the numbers here are held against."),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_say_the_numbers_of_the_table() {
        assert!(SSMAX.loss.contains(&SSMAX_LOSS.low.to_string()));
        assert!(SSMAX.retrieval.contains("ten times") && SSMAX_RETRIEVAL.low == 10.0);
        assert!(SSMAX.positions.contains("twenty") && SSMAX_POSITIONS.low == 20.0);
        assert!(MULTISCREEN_SPEEDUP.what.contains("100,000") && MULTISCREEN_SPEEDUP_LENGTH == 100_000);
    }
}
