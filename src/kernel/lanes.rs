//! Sums over lanes that are written out, so that every instruction set adds in the same order.

use super::LANES;

/// `x · y` for vectors of one length.
#[inline(always)]
pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
    // Two sets of lanes: one waits for its additions while the other works.
    let mut sums = [[0f32; LANES]; 2];
    let (x_chunks, x_rest) = x.as_chunks::<{ 2 * LANES }>();
    let (y_chunks, y_rest) = y.as_chunks::<{ 2 * LANES }>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            sums[0][lane] += x[lane] * y[lane];
            sums[1][lane] += x[LANES + lane] * y[LANES + lane];
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums[0].iter().zip(&sums[1]).map(|(a, b)| a + b).sum::<f32>() + rest
}

/// The largest number; `-inf` of none.
#[inline(always)]
pub(super) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max })
}

/// Turns every `x` into `f(x)` and returns the sum of what comes out.
#[inline(always)]
pub(super) fn map_sum(x: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = f(*x);
            *sum += *x;
        }
    }
    let mut total = 0.0;
    for x in rest {
        *x = f(*x);
        total += *x;
    }
    sums.iter().sum::<f32>() + total
}
