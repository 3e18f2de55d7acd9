//! Rows of several heads side by side, taken apart head by head and turned by their positions (arXiv
//! 2104.09864).

use super::blocks::in_blocks;
use super::for_every_instruction_set;

/// Cosines and sines `[t, rotary_dim / 2]` by which each row's first `rotary_dim` numbers are turned.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) cos: &'a [f32],
    pub(crate) sin: &'a [f32],
    pub(crate) rotary_dim: usize,
    /// Whether a pair is `(x[2 i], x[2 i + 1])` instead of `(x[i], x[i + rotary_dim / 2])`.
    pub(crate) interleaved: bool,
}

/// `x [t, heads, d]` as `[heads, t, d]`, turned where a turn is given, on all threads.
pub(crate) fn split_heads(x: &[f32], [t, heads, d]: [usize; 3], turn: Option<Turn<'_>>) -> Vec<f32> {
    assert_eq!(x.len(), t * heads * d, "t rows of every head");
    in_blocks(x.len(), t * d, |at, rows| {
        let head = at / (t * d);
        for (row, out) in rows.chunks_exact_mut(d).enumerate() {
            let given = &x[(row * heads + head) * d..][..d];
            match turn {
                None => out.copy_from_slice(given),
                Some(turn) => {
                    let pairs = turn.rotary_dim / 2;
                    let [cos, sin] = [turn.cos, turn.sin].map(|table| &table[row * pairs..][..pairs]);
                    turn_row(out, given, cos, sin, turn.interleaved);
                }
            }
        }
    })
}

for_every_instruction_set! {
    /// One row: each pair by its angle, `(a cos - b sin, a sin + b cos)`; what lies behind the pairs is kept.
    fn turn_row = turn_row_plain(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], interleaved: bool)
}

#[inline(always)]
fn turn_row_plain(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], interleaved: bool) {
    let rotary_dim = 2 * cos.len();
    let (turned, kept) = out.split_at_mut(rotary_dim);
    kept.copy_from_slice(&x[rotary_dim..]);
    let angles = cos.iter().zip(sin);
    if interleaved {
        let pairs = turned.as_chunks_mut::<2>().0.iter_mut().zip(x.as_chunks::<2>().0);
        for ((out, [a, b]), (cos, sin)) in pairs.zip(angles) {
            *out = [a * cos - b * sin, a * sin + b * cos];
        }
    } else {
        let (first, second) = turned.split_at_mut(cos.len());
        let given = x[..cos.len()].iter().zip(&x[cos.len()..]);
        for (((first, second), (a, b)), (cos, sin)) in first.iter_mut().zip(second).zip(given).zip(angles) {
            (*first, *second) = (a * cos - b * sin, a * sin + b * cos);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_turns_to_the_same_bits() {
        let mut rng = Rng::new(43);
        for (d, pairs) in [(64, 32), (40, 13), (7, 2)] {
            let [x, cos, sin] = [d, pairs, pairs].map(|count| numbers(&mut rng, count, 1.0));
            for interleaved in [false, true] {
                let [mut fast, mut plain] = [(); 2].map(|()| vec![0.0; d]);
                turn_row(&mut fast, &x, &cos, &sin, interleaved);
                turn_row_plain(&mut plain, &x, &cos, &sin, interleaved);
                assert_eq!(fast, plain);
                assert_eq!(fast[2 * pairs..], x[2 * pairs..]);
            }
        }
    }
}
