//! Sums and products of numbers in a row, on all threads.

use super::blocks::in_blocks;

/// Numbers that a thread takes at once.
const BLOCK: usize = 1 << 14;

/// `x + y`, number by number.
pub(crate) fn sum(x: &[f32], y: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), y.len(), "both have as many numbers");
    in_blocks(x.len(), BLOCK, |at, sums| {
        let given = x[at..].iter().zip(&y[at..]);
        sums.iter_mut().zip(given).for_each(|(sum, (x, y))| *sum = x + y);
    })
}

/// Each row of `x`, of `width` numbers, times its factor; the factors begin anew when they are used up.
pub(crate) fn scale_rows(x: &[f32], width: usize, factors: &[f32]) -> Vec<f32> {
    let rows = (BLOCK / width.max(1)).max(1);
    in_blocks(x.len(), rows * width, |at, block| {
        let given = x[at..].chunks_exact(width).zip(factors.iter().cycle().skip(at / width % factors.len()));
        for (row, (given, factor)) in block.chunks_exact_mut(width).zip(given) {
            row.iter_mut().zip(given).for_each(|(scaled, x)| *scaled = x * factor);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_meet_their_factors_whatever_the_block() {
        let x: Vec<f32> = (0..3 * 5000 * 7).map(|i| i as f32).collect();
        let factors: Vec<f32> = (0..5000).map(|i| 0.5 + i as f32).collect();
        let scaled = scale_rows(&x, 7, &factors);
        let expected = x.iter().enumerate().map(|(i, x)| x * factors[i / 7 % 5000]);
        assert!(scaled.iter().zip(expected).all(|(found, expected)| *found == expected));
        let sums = sum(&x, &scaled);
        assert!(sums.iter().zip(x.iter().zip(&scaled)).all(|(sum, (x, y))| *sum == x + y));
    }
}
