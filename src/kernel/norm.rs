//! Root-mean-square normalisation (arXiv 1910.07467).

use super::blocks::in_blocks;
use super::{LANES, for_every_instruction_set};

/// Numbers that a thread takes at once, about.
const BLOCK: usize = 1 << 14;

/// `x weight / sqrt(mean(x²) + eps)` of each row of `x`, as long as `weight`, on all threads.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    in_blocks(x.len(), weight.len() * (BLOCK / weight.len()).max(1), |at, rows| {
        rows.copy_from_slice(&x[at..at + rows.len()]);
        norm_rows(rows, weight, eps);
    })
}

for_every_instruction_set! {
    /// The same for some rows, in their place.
    fn norm_rows = norm_rows_plain(rows: &mut [f32], weight: &[f32], eps: f32)
}

#[inline(always)]
fn norm_rows_plain(rows: &mut [f32], weight: &[f32], eps: f32) {
    for row in rows.chunks_exact_mut(weight.len()) {
        let mut sums = [[0f32; LANES]; 2];
        let (chunks, rest) = row.as_chunks::<{ 2 * LANES }>();
        for x in chunks {
            for lane in 0..LANES {
                sums[0][lane] += x[lane] * x[lane];
                sums[1][lane] += x[LANES + lane] * x[LANES + lane];
            }
        }
        let sum = sums.iter().flatten().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
        let factor = 1.0 / (sum / weight.len() as f32 + eps).sqrt();
        for (x, weight) in row.iter_mut().zip(weight) {
            *x = *x * factor * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn norms_are_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(41);
        for (rows, width, scale) in [(3, 576, 1.0), (50, 7, 1e-3), (1, 33, 1e15), (200, 128, 3.0)] {
            let (x, weight) = (numbers(&mut rng, rows * width, scale), numbers(&mut rng, width, 2.0));
            let found = rms_norm(&x, &weight, 1e-5);
            let mut plain = x.clone();
            norm_rows_plain(&mut plain, &weight, 1e-5);
            assert_eq!(found, plain);
            for (found, x) in found.chunks(width).zip(x.chunks(width)) {
                let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                for ((found, x), weight) in found.iter().zip(x).zip(&weight) {
                    let exact = f64::from(*x) * f64::from(*weight) / (square + 1e-5).sqrt();
                    assert!((f64::from(*found) - exact).abs() <= 2e-6 * exact.abs() + 1e-12);
                }
            }
        }
    }
}
