//! The difference of two shares on different prompts.

use super::groups::{of_counts, total};
use super::interval::{Interval, Method, Withheld};
use super::share_interval;

/// The 95 % interval of the difference of two shares on different prompts, B - A, from the `(right, all)` of
/// every trial of each.
///
/// Newcombe's hybrid score interval (1998, method 10): with `[l, u]` the interval of each share p
/// ([`share_interval`]), `p_B - p_A - √((p_B - l_B)² + (u_A - p_A)²)` to
/// `p_B - p_A + √((u_B - p_B)² + (p_A - l_A)²)`. Each share's interval accounts for prompts that share a
/// haystack, and so does this one. It takes the two for independent: where both were asked after the same
/// text in another form it is too wide rather than too narrow. Withheld where that of a share is.
///
/// ```
/// use niah::stats::unpaired_interval;
/// let trials = |right: usize, n: usize| (0..n).map(|i| (usize::from(i < right), 1)).collect::<Vec<_>>();
/// // 56 of 70 less 48 of 80, the first example of the paper.
/// let (low, high) = unpaired_interval(&trials(48, 80), &trials(56, 70)).ends().unwrap();
/// assert!((low - 0.0524).abs() < 5e-5 && (high - 0.3339).abs() < 5e-5);
/// ```
#[must_use]
pub fn unpaired_interval(a: &[(usize, usize)], b: &[(usize, usize)]) -> Interval {
    let (of_a, of_b) = (share_interval(a), share_interval(b));
    let ((low_a, high_a), (low_b, high_b)) = match (of_a, of_b) {
        (Interval::Withheld(Withheld::NoValue), _) | (_, Interval::Withheld(Withheld::NoValue)) => {
            return Interval::Withheld(Withheld::NoValue);
        }
        (Interval::Given { low, high, .. }, Interval::Given { low: from, high: to, .. }) => {
            ((low, high), (from, to))
        }
        (Interval::Withheld(why), _) | (_, Interval::Withheld(why)) => return Interval::Withheld(why),
    };
    let (p, q) = (share(a), share(b));
    let low = q - p - (q - low_b).hypot(high_a - p);
    let high = q - p + (high_b - q).hypot(p - low_a);
    Interval::Given { low: low.max(-1.0), high: high.min(1.0), method: Method::Newcombe }
}

fn share(trials: &[(usize, usize)]) -> f64 {
    let (right, all) = total(&of_counts(trials));
    right / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::golden;

    fn trials(right: usize, n: usize) -> Vec<(usize, usize)> {
        (0..n).map(|trial| (usize::from(trial < right), 1)).collect()
    }

    #[test]
    fn intervals_are_those_of_the_paper() {
        // Newcombe 1998, table II, the row of method 10, p1 - p2.
        for (first, second, low, high) in [
            ((56, 70), (48, 80), 0.0524, 0.3339),
            ((9, 10), (3, 10), 0.1705, 0.8090),
            ((6, 7), (2, 7), 0.0582, 0.8062),
            ((5, 56), (0, 29), -0.0381, 0.1926),
            ((0, 10), (0, 20), -0.1611, 0.2775),
            ((0, 10), (0, 10), -0.2775, 0.2775),
            ((10, 10), (0, 20), 0.6791, 1.0),
            ((10, 10), (0, 10), 0.6075, 1.0),
        ] {
            let found = unpaired_interval(&trials(second.0, second.1), &trials(first.0, first.1));
            let ends = found.ends().unwrap();
            assert!(
                (ends.0 - low).abs() < 5.1e-5 && (ends.1 - high).abs() < 5.1e-5,
                "{first:?} {second:?}: {ends:?}"
            );
            assert_eq!(found.method_name(), "newcombe");
        }
    }

    #[test]
    fn intervals_are_those_of_wilson_limits_from_scipy() {
        let golden = golden();
        let cases = golden["unpaired"].as_array().unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let count = |key: &str| case[key].as_u64().unwrap() as usize;
            let (a, b) = (trials(count("right_a"), count("n_a")), trials(count("right_b"), count("n_b")));
            let (low, high) = unpaired_interval(&a, &b).ends().unwrap();
            let end = |key: &str| case[key].as_f64().unwrap();
            assert!(
                (low - end("low")).abs() < 1e-9 && (high - end("high")).abs() < 1e-9,
                "{low} {high} {case}"
            );
        }
    }

    #[test]
    fn prompts_of_one_haystack_are_worth_no_more_than_its_trials() {
        assert_eq!(
            unpaired_interval(&[(5, 5); 4], &[(0, 5); 4]),
            unpaired_interval(&trials(4, 4), &trials(0, 4))
        );
        assert_eq!(unpaired_interval(&[(3, 5)], &trials(4, 8)), Interval::Withheld(Withheld::OneGroup));
        assert_eq!(unpaired_interval(&trials(4, 8), &[]), Interval::Withheld(Withheld::NoValue));
        assert_eq!(unpaired_interval(&[(3, 5)], &[]), Interval::Withheld(Withheld::NoValue));
    }

    #[test]
    fn the_difference_is_that_of_b_and_a_and_turns_with_them() {
        let (a, b) = (trials(3, 10), trials(9, 12));
        let (low, high) = unpaired_interval(&a, &b).ends().unwrap();
        let (from, to) = unpaired_interval(&b, &a).ends().unwrap();
        assert!((low + to).abs() < 1e-12 && (high + from).abs() < 1e-12);
        assert!(low < 0.45 && 0.45 < high);
    }
}
