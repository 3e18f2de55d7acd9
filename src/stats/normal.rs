//! Tails of the normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The probability that a standard normal value is at least `z` away from 0: `erfc(z / √2)`.
///
/// Near 0 by the series `erf x = 2/√π e^(-x²) Σ 2^k x^(2k+1) / (1·3·5 ... (2k+1))`, far out by the continued
/// fraction of erfc (Abramowitz and Stegun 7.1.6 and 7.1.14).
pub(super) fn two_sided(z: f64) -> f64 {
    let x = z.abs() * FRAC_1_SQRT_2;
    if x < 2.5 {
        let (mut term, mut sum) = (x, x);
        for k in 1..100 {
            term *= 2.0 * x * x / f64::from(2 * k + 1);
            sum += term;
        }
        return 1.0 - 2.0 / PI.sqrt() * (-x * x).exp() * sum;
    }
    let fraction = (1..100).rev().fold(x, |below, k| x + 0.5 * f64::from(k) / below);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, p) in [
            (0.0, 1.0),
            (0.5, 0.617_075_077_451_973_8),
            (1.0, 0.317_310_507_862_914_15),
            (1.959_963_984_540_054, 0.05),
            (3.5, 4.652_581_580_710_5e-4),
            (3.6, 3.182_171_803_150_67e-4),
            (8.0, 1.244_192_114_854_35e-15),
        ] {
            assert!((two_sided(z) - p).abs() <= 1e-10 * p, "{z}: {} {p}", two_sided(z));
        }
        assert_eq!(two_sided(60.0), 0.0);
    }
}
