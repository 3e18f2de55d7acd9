//! Spans that a needle is held against: as long as it, elsewhere in the same haystack.

use std::ops::Range;

use super::Prompt;

/// Spans at most: the needle's mass is then the largest of twenty by chance once in twenty times.
pub const MOST_CONTROLS: usize = 19;

/// Spans at least. Of fewer, one would be the largest by chance too often to say anything.
pub const LEAST_CONTROLS: usize = 9;

/// Tokens at the beginning of a prompt that attention falls on whatever they say (attention sinks, Xiao et
/// al. 2024).
const SINKS: usize = 4;

impl Prompt {
    /// Token ranges as long as all needles together, spread evenly over the haystack: [`LEAST_CONTROLS`] to
    /// [`MOST_CONTROLS`] of them, or none where there is no room for so many. They touch neither each other
    /// nor a needle nor the first tokens, and what stands outside of the haystack, as the question and the
    /// template, is none of them.
    #[must_use]
    pub fn controls(&self) -> Vec<Range<usize>> {
        controls(&self.haystack, &self.needles)
    }
}

fn controls(haystack: &Range<usize>, needles: &[Range<usize>]) -> Vec<Range<usize>> {
    let length: usize = needles.iter().map(ExactSizeIterator::len).sum();
    if length == 0 {
        return Vec::new();
    }
    let mut sorted: Vec<&Range<usize>> = needles.iter().collect();
    sorted.sort_by_key(|needle| needle.start);
    let mut places = Vec::new();
    let mut from = haystack.start.max(SINKS);
    for (end, next) in
        sorted.iter().map(|needle| (needle.start, needle.end)).chain([(haystack.end, haystack.end)])
    {
        places.extend(within(from..end.max(from), length));
        from = from.max(next);
    }
    let count = places.len().min(MOST_CONTROLS);
    if count < LEAST_CONTROLS {
        return Vec::new();
    }
    // In the middle of each of `count` equal parts of the places.
    (0..count).map(|part| places[(2 * part + 1) * places.len() / (2 * count)].clone()).collect()
}

/// As many ranges of this length as fit into a room, with equal gaps between them.
fn within(room: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let count = room.len() / length;
    let spare = room.len() - count * length;
    (0..count).map(move |place| {
        let start = room.start + place * length + (place + 1) * spare / (count + 1);
        start..start + length
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_haystack_has_all_of_them_and_a_short_one_none() {
        assert_eq!(controls(&(10..4000), &[2000..2020]).len(), MOST_CONTROLS);
        assert_eq!(controls(&(10..30 + 20 * LEAST_CONTROLS), &[10..30]).len(), LEAST_CONTROLS);
        assert!(controls(&(10..29 + 20 * LEAST_CONTROLS), &[10..30]).is_empty());
        assert!(controls(&(0..4000), &[]).is_empty());
    }

    #[test]
    fn they_are_spread_over_the_whole_haystack() {
        let found = controls(&(0..10_000), &[5000..5010]);
        for part in 0..10 {
            let part = 1000 * part..1000 * (part + 1);
            assert!(found.iter().any(|span| part.contains(&span.start)), "{part:?} in {found:?}");
        }
    }

    proptest! {
        #[test]
        fn they_touch_neither_each_other_nor_a_needle_nor_the_first_tokens(
            start in 0usize..40,
            length in 0usize..3000,
            needles in proptest::collection::vec((0usize..3000, 1usize..60), 0..4),
        ) {
            let haystack = start..start + length;
            let mut free = haystack.start;
            let mut places = Vec::new();
            let mut sorted = needles;
            sorted.sort_unstable();
            for (at, size) in sorted {
                let from = (haystack.start + at).max(free);
                if from + size <= haystack.end {
                    places.push(from..from + size);
                    free = from + size;
                }
            }
            let total: usize = places.iter().map(ExactSizeIterator::len).sum();
            places.reverse();
            let found = controls(&haystack, &places);
            prop_assert!(found.is_empty() || (LEAST_CONTROLS..=MOST_CONTROLS).contains(&found.len()));
            for (i, span) in found.iter().enumerate() {
                prop_assert_eq!(span.len(), total);
                prop_assert!(span.start >= haystack.start.max(SINKS) && span.end <= haystack.end);
                let apart = |other: &Range<usize>| span.end <= other.start || other.end <= span.start;
                prop_assert!(places.iter().all(apart));
                prop_assert!(found[i + 1..].iter().all(apart));
            }
        }
    }
}
