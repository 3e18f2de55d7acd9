use crate::trial::Finding;

/// What became of the needle: *found* when the answer is right. When it is wrong, *looked* if the largest
/// mass that any head puts on the needle exceeds `control_mass_top`, the largest that any head puts on one of
/// several spans of the same length elsewhere in the same haystack ([`crate::prompt::Prompt::controls`]), and
/// *missed* if it does not. Of hundreds of heads some put much on any span by chance, so that a mass on its
/// own says little. *Wrong* when attention was not measured or there was no room for such spans: then the two
/// cannot be told apart.
#[must_use]
pub fn classify(correct: bool, needle_mass_top: Option<f64>, control_mass_top: Option<f64>) -> Finding {
    match needle_mass_top.zip(control_mass_top) {
        _ if correct => Finding::Found,
        Some((needle, control)) if needle > control => Finding::Looked,
        Some(_) => Finding::Missed,
        None => Finding::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_looked_or_missed_by_what_the_heads_give_to_other_spans() {
        assert_eq!(classify(true, None, None), Finding::Found);
        assert_eq!(classify(true, Some(0.0), Some(0.5)), Finding::Found);
        assert_eq!(classify(false, Some(0.3), Some(0.2)), Finding::Looked);
        assert_eq!(classify(false, Some(0.3), Some(0.4)), Finding::Missed);
        assert_eq!(classify(false, Some(0.3), None), Finding::Wrong);
        assert_eq!(classify(false, None, None), Finding::Wrong);
    }

    #[test]
    fn regression_attention_that_is_the_same_everywhere_does_not_look() {
        assert_eq!(classify(false, Some(0.1), Some(0.1)), Finding::Missed);
        assert_eq!(classify(false, Some(0.0), Some(0.0)), Finding::Missed);
    }
}
