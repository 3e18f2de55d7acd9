//! The points of Student's t.

use std::f64::consts::PI;

/// The point that Student's t exceeds in absolute value with probability 5 %, for `freedom` degrees of
/// freedom, at least 1.
pub(super) fn t95(freedom: usize) -> f64 {
    // The share within ±t rises with t, so halving the interval finds it; 12.7 for one degree is the largest.
    let (mut low, mut high) = (0.0, 16.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The probability that |t| is at most `t` (Abramowitz and Stegun 26.7.3 and 26.7.4): with θ = atan(t / √ν),
/// for odd ν `2/π (θ + sin θ (cos θ + 2/3 cos³ θ + ... ))` and for even ν
/// `sin θ (1 + 1/2 cos² θ + 1·3/(2·4) cos⁴ θ + ...)`, up to the power ν - 2.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = if odd { (cos, 0.0) } else { (1.0, 0.0) };
    let first = if odd { 1 } else { 0 };
    for power in (first..freedom.saturating_sub(1)).step_by(2) {
        sum += term;
        term *= (power + 1) as f64 / (power + 2) as f64 * cos * cos;
    }
    if odd { 2.0 / PI * (angle + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_are_those_of_the_tables() {
        let tables = [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (9, 2.262_157),
            (10, 2.228_139),
            (30, 2.042_272),
            (99, 1.984_217),
            (1000, 1.962_339),
        ];
        for (freedom, t) in tables {
            assert!((t95(freedom) - t).abs() < 1e-6, "{freedom}: {}", t95(freedom));
        }
    }
}
