//! Least squares of a line, and how a learned multiplier grows with the number of keys.

use serde::Serialize;

use super::mean;

/// `y = slope x + intercept`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LineFit {
    /// Change of y when x grows by 1.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// The share of the variance of y about its mean that the line explains, `1 - Σ(y - ŷ)² / Σ(y - ȳ)²`: 0
    /// for a line that is no better than a constant.
    pub r_squared: f64,
}

/// The line with the least sum of squares, every point weighing the same. `None` when there are fewer than
/// two different x, or y is constant and so has nothing to explain.
///
/// ```
/// let fit = niah::stats::line_fit(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).unwrap();
/// assert_eq!((fit.slope, fit.intercept, fit.r_squared), (2.0, 1.0, 1.0));
/// ```
#[must_use]
pub fn line_fit(points: &[(f64, f64)]) -> Option<LineFit> {
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (x_mean, y_mean) = (mean(&x)?, mean(&y)?);
    let sum = |of: &dyn Fn(f64, f64) -> f64| points.iter().map(|&(x, y)| of(x, y)).sum::<f64>();
    let xx = sum(&|x, _| (x - x_mean) * (x - x_mean));
    let yy = sum(&|_, y| (y - y_mean) * (y - y_mean));
    if xx <= 0.0 || yy <= 0.0 {
        return None;
    }
    let slope = sum(&|x, y| (x - x_mean) * (y - y_mean)) / xx;
    let intercept = y_mean - slope * x_mean;
    let residual = sum(&|x, y| (y - slope * x - intercept).powi(2));
    Some(LineFit { slope, intercept, r_squared: 1.0 - residual / yy })
}

/// How the learned multipliers `p_n` of the variant `adaptive` grow with n.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SizeFit {
    /// `p_n = a1 ln n + a2`, `a1` the slope and `a2` the intercept.
    pub logarithm: LineFit,
    /// `p_n = a1 √n + a2`.
    pub square_root: LineFit,
}

/// Fits `p_1, p_2, ..., p_N` by plain least squares over n = 2..=N: each n comes once in every training
/// sequence, so each weighs the same. `p_1` is left out: a row that sees one key gives it all of its weight
/// whatever the multiplier, so `p_1` is never learned.
///
/// The bias b of a head takes up any constant, so `a2` says nothing on its own; `a1` and R² do not depend on
/// it. `None` for fewer than three sizes, or sizes that are all alike.
#[must_use]
pub fn size_fit(sizes: &[f64]) -> Option<SizeFit> {
    let fit = |of: fn(f64) -> f64| {
        let points = sizes.iter().enumerate().skip(1).map(|(i, &p)| (of((i + 1) as f64), p));
        line_fit(&points.collect::<Vec<_>>())
    };
    Some(SizeFit { logarithm: fit(f64::ln)?, square_root: fit(f64::sqrt)? })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// `fixtures/size_fit.json`, made with NumPy by `fixtures/make_size_fit.py`.
    #[test]
    fn fits_are_those_of_numpy() {
        let golden: Value = serde_json::from_str(include_str!("../../fixtures/size_fit.json")).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let numbers = |value: &Value| -> Vec<f64> {
                value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
            };
            let found = size_fit(&numbers(&case["p"])).unwrap();
            for (name, fit) in [("logarithm", found.logarithm), ("square_root", found.square_root)] {
                let expected = numbers(&case[name]);
                for (found, expected) in [fit.slope, fit.intercept, fit.r_squared].iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-10, "{name}: {fit:?} instead of {expected}");
                }
            }
        }
    }

    #[test]
    fn the_first_size_counts_for_nothing_and_too_few_have_no_fit() {
        let sizes: Vec<f64> = (1..=40).map(|n| 0.3 * f64::from(n).ln() + 0.1).collect();
        let moved = [&[9.0], &sizes[1..]].concat();
        let fit = size_fit(&moved).unwrap();
        assert_eq!(Some(fit), size_fit(&sizes));
        assert!((fit.logarithm.slope - 0.3).abs() < 1e-12 && (fit.logarithm.intercept - 0.1).abs() < 1e-12);
        assert!(fit.logarithm.r_squared > fit.square_root.r_squared);
        assert_eq!(size_fit(&[1.0, 2.0]), None);
        assert_eq!(size_fit(&[1.0; 10]), None);
        assert_eq!(line_fit(&[]), None);
    }
}
