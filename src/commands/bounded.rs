//! A warning for runs whose scores are bounded: what one of them loses against another may be owed to that
//! alone.

use crate::attention::variant::swap_scale;
use crate::evaluate::Finished;
use crate::report::bound::{bounded, bounded_times};
use crate::report::compared::letter;
use crate::store::directory::RunRecord;

/// A warning for each run of a comparison whose scores are bounded.
pub(super) fn bounds(runs: &[Finished]) -> Vec<String> {
    let of = |(place, Finished { record, .. }): (usize, &Finished)| {
        let words = in_words(record)?;
        let side = letter(place);
        Some(format!("{side} ({}): {words}; whatever it loses may be owed to that alone", record.title()))
    };
    runs.iter().enumerate().filter_map(of).collect()
}

fn in_words(record: &RunRecord) -> Option<String> {
    let largest = record.largest_score()?;
    let given = record.settings.model.attention_scale;
    match factor(&record.variant, given, record.training_length)? {
        1.0 => Some(bounded(largest)),
        factor => Some(bounded_times(largest, factor)),
    }
}

/// The one factor on all scores of a rule, under which scores that are bounded stay so. Other rules multiply
/// some by more the more keys there are, by what was learned, or do more than to multiply.
fn factor(variant: &str, given: Option<f64>, training_length: Option<usize>) -> Option<f64> {
    match variant.split_once(':').unwrap_or((variant, "")) {
        ("softmax" | "softmax1" | "sink", _) => Some(1.0),
        ("constant", "") => {
            let swapped = |length: usize| swap_scale(length) * (length as f64).ln();
            given.or(training_length.filter(|&length| length > 1).map(swapped))
        }
        ("constant", number) => number.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_every_rule_that_leaves_scores_bounded_is_known_and_by_which_factor() {
        for (variant, given, length, expected) in [
            ("softmax", None, Some(256), Some(1.0)),
            ("softmax1", None, None, Some(1.0)),
            ("sink", None, None, Some(1.0)),
            ("constant:1.5", None, Some(256), Some(1.5)),
            ("constant", Some(2.0), Some(256), Some(2.0)),
            ("constant", None, None, None),
            ("ssmax", None, Some(256), None),
            ("softmax-scale", None, Some(256), None),
            ("topk:8", None, Some(256), None),
        ] {
            assert_eq!(factor(variant, given, length), expected, "{variant}");
        }
        let swapped = factor("constant", None, Some(256)).unwrap();
        assert!((swapped - 256f64.ln() * swap_scale(256)).abs() < 1e-12);
    }
}
