//! The noise haystack of RULER: one line, repeated.

use super::Source;
use crate::split::Split;

/// The line, without its line break.
pub const LINE: &str =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

struct Noise;

impl Source for Noise {
    fn push_piece(&mut self, out: &mut String) {
        for _ in 0..16 {
            out.push_str(LINE);
            out.push('\n');
        }
    }
}

/// The noise lines, the same for every seed, trial and part.
#[must_use]
pub fn open(_seed: u64, _trial: usize, _split: Split) -> Box<dyn Source> {
    Box::new(Noise)
}
