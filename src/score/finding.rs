use crate::trial::Finding;

/// Needle mass of the top head from which a wrong answer counts as [`Finding::Looked`]: a tenth of one head's attention.
pub const LOOKED_AT_LEAST: f64 = 0.1;

/// What became of the needle: *found* when the answer is right; when it is wrong, *looked* if some head put at least
/// [`LOOKED_AT_LEAST`] of its attention on the needle, else *missed*. `None` when the answer is wrong and attention was
/// not measured: then the last two cannot be told apart.
#[must_use]
pub fn classify(correct: bool, needle_mass_top: Option<f64>) -> Option<Finding> {
    if correct {
        return Some(Finding::Found);
    }
    needle_mass_top.map(|mass| if mass >= LOOKED_AT_LEAST { Finding::Looked } else { Finding::Missed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_looked_or_missed_by_the_top_heads_mass() {
        assert_eq!(classify(true, None), Some(Finding::Found));
        assert_eq!(classify(true, Some(0.0)), Some(Finding::Found));
        assert_eq!(classify(false, Some(0.1)), Some(Finding::Looked));
        assert_eq!(classify(false, Some(0.099)), Some(Finding::Missed));
        assert_eq!(classify(false, None), None);
    }
}
