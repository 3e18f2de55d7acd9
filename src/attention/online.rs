//! The scores of one row and some keys on their way into its running normaliser.

use std::ops::Range;

use super::View;
use crate::kernel::{Running, online_softmax};

/// Caps scores where a cap is given.
pub(super) fn cap(view: View<'_>, scores: &mut [f32]) {
    if let Some(cap) = view.softcap {
        let cap = cap as f32;
        scores.iter_mut().for_each(|z| *z = cap * (*z / cap).tanh());
    }
}

/// Turns the `scores` of query `(head, row of the chunk)` and the given keys `keys` into `exp(z - max)`, 0 of
/// what is not seen, and takes them into `running`; returns the factor that brings what was summed before to
/// the new maximum.
pub(super) fn weigh(
    view: View<'_>,
    (head, row): (usize, usize),
    keys: Range<usize>,
    scores: &mut [f32],
    running: &mut Running,
) -> f32 {
    view.finish(head, row, keys.clone(), scores);
    let visible = view.visible(row);
    let end = visible.end.clamp(keys.start, keys.end) - keys.start;
    let start = visible.start.clamp(keys.start, keys.end) - keys.start;
    let hidden = || view.hidden(row, keys.clone());
    hidden().for_each(|keys| scores[keys].fill(f32::NEG_INFINITY));
    scores[..start].fill(0.0);
    let factor = online_softmax(&mut scores[start..], end.saturating_sub(start), running);
    // A row that has seen no key so far has kept what they were.
    hidden().for_each(|keys| scores[keys].fill(0.0));
    factor
}
