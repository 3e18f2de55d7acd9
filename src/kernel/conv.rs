//! The causal convolution of each channel along a text, as linear attention and state spaces have it before
//! their rule.

use super::blocks::in_blocks;
use super::for_every_instruction_set;
use super::gated::sigmoid;

/// Numbers that a thread takes at once, about.
const BLOCK: usize = 1 << 14;

/// `y[t, c] = bias[c] + sum over j of weight[j, c] x[t - (taps - 1) + j, c]` for rows `x` `[t, channels]`,
/// `weight` `[taps, channels]` and `bias` `[channels]` (or none), on all threads; then `y sigmoid(y)` where
/// `silu` is set. `tail` `[taps - 1, channels]` are the rows before the first.
pub(crate) fn causal_conv(x: &[f32], tail: &[f32], weight: &[f32], bias: &[f32], silu: bool) -> Vec<f32> {
    let channels = weight.len() - tail.len();
    let taps = weight.len() / channels;
    assert!(tail.len() == (taps - 1) * channels && x.len().is_multiple_of(channels), "whole rows");
    let rows = (BLOCK / channels).max(1);
    in_blocks(x.len(), rows * channels, |at, block| {
        for (row, y) in block.chunks_exact_mut(channels).enumerate() {
            if !bias.is_empty() {
                y.copy_from_slice(bias);
            }
            let first = at / channels + row;
            for (tap, weight) in weight.chunks_exact(channels).enumerate() {
                let place = (first + tap) * channels;
                let given = if place < tail.len() { &tail[place..] } else { &x[place - tail.len()..] };
                add_products(y, weight, &given[..channels]);
            }
        }
        if silu {
            apply_silu(block);
        }
    })
}

for_every_instruction_set! {
    /// `y += a b`, number by number.
    fn add_products = add_products_plain(y: &mut [f32], a: &[f32], b: &[f32])
}

#[inline(always)]
fn add_products_plain(y: &mut [f32], a: &[f32], b: &[f32]) {
    for (y, (a, b)) in y.iter_mut().zip(a.iter().zip(b)) {
        *y += a * b;
    }
}

for_every_instruction_set! {
    /// `x sigmoid(x)` in place.
    fn apply_silu = apply_silu_plain(x: &mut [f32])
}

#[inline(always)]
fn apply_silu_plain(x: &mut [f32]) {
    for x in x {
        *x *= sigmoid(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn a_convolution_is_right_and_the_same_in_parts() {
        let mut rng = Rng::new(3);
        for (t, channels, taps) in [(70, 600, 4), (5, 3, 7), (1, 40, 3), (9, 5, 1)] {
            let [x, tail] = [t, taps - 1].map(|rows| numbers(&mut rng, rows * channels, 1.0));
            let (weight, bias) = (numbers(&mut rng, taps * channels, 1.0), numbers(&mut rng, channels, 1.0));
            let whole = causal_conv(&x, &tail, &weight, &bias, true);
            let rows = [tail, x].concat();
            for (place, y) in whole.iter().enumerate() {
                let (row, channel) = (place / channels, place % channels);
                let exact = (0..taps).fold(f64::from(bias[channel]), |sum, tap| {
                    let x = rows[(row + tap) * channels + channel];
                    sum + f64::from(weight[tap * channels + channel]) * f64::from(x)
                });
                let exact = exact / (1.0 + (-exact).exp());
                assert!((f64::from(*y) - exact).abs() < 2e-6, "{t} {channels} {taps}: {y}, not {exact}");
            }
            let cut = t / 2;
            let (before, from) = (cut * channels, (cut + taps - 1) * channels);
            let second = causal_conv(&rows[from..], &rows[before..from], &weight, &bias, true);
            assert_eq!(second, whole[before..]);
        }
    }
}
