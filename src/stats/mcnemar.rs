//! Whether two runs differ in how often they are right, on the same prompts.

/// The two-sided p of McNemar's exact test, from the discordant pairs: prompts that only A answers right, and only B.
///
/// Without a difference each of the n = a + b discordant pairs falls on either side like a fair coin. With X binomial in n
/// and 1/2, `p = min(1, 2 P(X <= min(a, b)))`: twice the smaller tail (McNemar 1947; the binomial is symmetric, so this is also the sum
/// of all outcomes that are at most as likely as the one found). 1 when no pair is discordant. Pairs are taken to be independent.
///
/// ```
/// // 1 against 5: 2 (1 + 6) / 2^6
/// assert_eq!(niah::stats::mcnemar_exact(1, 5), 0.21875);
/// ```
#[must_use]
pub fn mcnemar_exact(only_a: usize, only_b: usize) -> f64 {
    let (n, smaller) = (only_a + only_b, only_a.min(only_b));
    if only_a == only_b {
        return 1.0;
    }
    // The sum of C(n, k), exact while it has less than 53 bits. Of many pairs it outgrows an f64 that 2^-n would have made
    // small: some of that factor is taken early.
    const EARLY: usize = 512;
    let (mut term, mut sum, mut halvings) = (1.0, 1.0, n);
    for k in 1..=smaller {
        term = term * (n - k + 1) as f64 / k as f64;
        sum += term;
        if sum > 2f64.powi(EARLY as i32) {
            let scale = 2f64.powi(-(EARLY as i32));
            (term, sum, halvings) = (scale * term, scale * sum, halvings - EARLY);
        }
    }
    2.0 * sum * 0.5f64.powf(halvings as f64)
}

/// Holm's correction of p values that are looked at together, in their order (Holm 1979): the i-th smallest of m is multiplied by
/// m - i + 1, is at least as large as those before it and at most 1. The chance that any of the corrected values falls below a level by
/// chance is at most that level, however the tests depend on each other.
///
/// ```
/// assert_eq!(niah::stats::holm(&[0.5, 0.125, 0.25]), [0.5, 0.375, 0.5]);
/// ```
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&i, &j| p_values[i].total_cmp(&p_values[j]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut smallest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        smallest = smallest.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        corrected[index] = smallest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::golden;

    #[test]
    fn exact_p_values_are_those_of_the_binomial_in_rational_arithmetic() {
        let golden = golden();
        let cases = golden["mcnemar"].as_array().unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let count = |key: &str| case[key].as_u64().unwrap() as usize;
            let (a, b, expected) = (count("only_a"), count("only_b"), case["p"].as_f64().unwrap());
            for found in [mcnemar_exact(a, b), mcnemar_exact(b, a)] {
                assert!((found - expected).abs() <= 1e-11 * expected, "{a} against {b}: {found} {expected}");
            }
        }
    }

    #[test]
    fn p_values_are_corrected_as_statsmodels_does() {
        for case in golden()["holm"].as_array().unwrap() {
            let numbers = |key: &str| -> Vec<f64> {
                case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
            };
            let found = holm(&numbers("p"));
            let close = found.iter().zip(numbers("corrected")).all(|(x, y)| (x - y).abs() < 1e-15);
            assert!(close && found.len() == numbers("p").len(), "{found:?} {case}");
        }
        assert!(holm(&[]).is_empty());
    }
}
