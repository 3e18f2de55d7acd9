//! Root-mean-square normalisation (arXiv 1910.07467).

use super::blocks::in_blocks;
use super::for_every_instruction_set;
use super::lanes::dot;

/// Numbers that a thread takes at once, about.
const BLOCK: usize = 1 << 14;

/// `x weight / sqrt(mean(x²) + eps)` of each row of `x`, as long as `weight`, on all threads.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let rows = (BLOCK / weight.len()).max(1);
    in_blocks(x.len(), weight.len() * rows, |at, y| {
        rms_norm_rows(&x[at..at + y.len()], weight, eps, y, &mut vec![0.0; rows]);
    })
}

/// The same with a mean of each of `groups` parts of a row, all of one width.
pub(crate) fn rms_norm_groups(x: &[f32], weight: &[f32], groups: usize, eps: f32) -> Vec<f32> {
    let (width, group) = (weight.len(), weight.len() / groups);
    let rows = (BLOCK / width).max(1);
    in_blocks(x.len(), width * rows, |at, y| {
        let given = x[at..].chunks_exact(group);
        for ((x, y), weight) in given.zip(y.chunks_exact_mut(group)).zip(weight.chunks_exact(group).cycle()) {
            rms_norm_rows(x, weight, eps, y, &mut [0.0]);
        }
    })
}

for_every_instruction_set! {
    /// The same for some rows on this thread: writes `y = weight x r` and the factor `r` of each row.
    fn rms_norm_rows = rms_norm_rows_plain(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], r: &mut [f32])
}

#[inline(always)]
pub(super) fn rms_norm_rows_plain(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32], r: &mut [f32]) {
    let width = weight.len();
    for ((x, y), r) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(r) {
        *r = 1.0 / (dot(x, x) / width as f32 + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = x * *r * w;
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
            rms_norm_rows_plain(&x, &weight, 1e-5, &mut plain, &mut vec![0.0; rows]);
            assert_eq!(found, plain);
            assert_eq!(rms_norm_groups(&x, &weight, 1, 1e-5), plain);
            for (found, x) in found.chunks(width).zip(x.chunks(width)) {
                let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / width as f64;
                for ((found, x), weight) in found.iter().zip(x).zip(&weight) {
                    let exact = f64::from(*x) * f64::from(*weight) / (square + 1e-5).sqrt();
                    assert!((f64::from(*found) - exact).abs() <= 2e-6 * exact.abs() + 1e-12);
                }
            }
        }
    }

    #[test]
    fn every_group_of_a_row_has_a_mean_of_its_own() {
        let found = rms_norm_groups(&[3.0, 3.0, 0.0, 4.0, 5.0, 5.0, 6.0, 0.0], &[1.0, 2.0, 1.0, 2.0], 2, 0.0);
        let root = std::f32::consts::SQRT_2;
        let expected = [1.0, 2.0, 0.0, 2.0 * root, 1.0, 2.0, root, 0.0];
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
    }
}
