//! p values that are looked at together.

/// Holm's correction of p values that are looked at together, in their order (Holm 1979): the i-th smallest
/// of m is multiplied by m - i + 1, is at least as large as those before it and at most 1. The chance that
/// any of the corrected values falls below a level by chance is at most that level, however the tests depend
/// on each other.
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
