use crate::trial::{Finding, Outcome};

/// How much more than elsewhere heads give to the needles and to other spans of their length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excess {
    /// Of the head that gives the needles most more.
    pub needle: f64,
    /// Of the head that gives one of the other spans most more.
    pub control: f64,
}

impl Excess {
    /// Of heads that each give `(needle, controls)`, the mass on the needles and on every control span
    /// ([`crate::prompt::Prompt::controls`]); `None` without a head or a control span.
    ///
    /// A head's excess on a span is its mass there less the mean of its masses on all the other spans, the
    /// needles among them. What a head gives to every span alike, as a broad head or one of large masses
    /// does, is no part of it. Of every span the largest excess over all heads is taken, so that the needles
    /// and each control span have had the same number of heads to be singled out by: if heads take the
    /// needles for a span like any other, each of the N + 1 spans is first once in N + 1 times, for 4 heads
    /// as for 4,000 and however heads depend on each other (the maximum over heads as the statistic of a
    /// permutation test over spans, Westfall and Young 1993).
    ///
    /// ```
    /// use niah::score::Excess;
    /// // A broad head of large masses, and one that retrieves.
    /// let heads = [(0.5, &[0.5, 0.5][..]), (0.25, &[0.0, 0.05])];
    /// let excess = Excess::of(heads).unwrap();
    /// assert!((excess.needle - (0.25 - 0.05 / 2.0)).abs() < 1e-12);
    /// assert_eq!(excess.control, 0.0);
    /// ```
    #[must_use]
    pub fn of<'h>(heads: impl IntoIterator<Item = (f64, &'h [f64])>) -> Option<Self> {
        let of_head = |(needle, controls): (f64, &[f64])| {
            let all = needle + controls.iter().sum::<f64>();
            let excess = |mass: f64| mass - (all - mass) / controls.len() as f64;
            let control = controls.iter().copied().map(excess).reduce(f64::max)?;
            Some(Self { needle: excess(needle), control })
        };
        let larger =
            |a: Self, b: Self| Self { needle: a.needle.max(b.needle), control: a.control.max(b.control) };
        heads.into_iter().filter_map(of_head).reduce(larger)
    }
}

/// What became of the needle: *found* when the answer is right. When it is wrong, *looked* if `needle`, what
/// heads give to the needles, exceeds `control`, the same for every one of several spans of their length
/// elsewhere in the same haystack, and *missed* if it does not. Both are those of [`Excess`]. Of hundreds of
/// heads some give much to any span by chance, so that a mass on its own says little. *Wrong* when attention
/// was not measured or there was no room for such spans: then the two cannot be told apart.
#[must_use]
pub fn classify(correct: bool, needle: Option<f64>, control: Option<f64>) -> Finding {
    match needle.zip(control) {
        _ if correct => Finding::Found,
        Some((needle, control)) if needle > control => Finding::Looked,
        Some(_) => Finding::Missed,
        None => Finding::Wrong,
    }
}

/// What became of the needle of a row that ran, by what it holds; `None` of one that was not scored. Rows of
/// earlier versions hold no excess: of them it is the largest masses themselves that are compared
/// ([`is_by_mass`]).
#[must_use]
pub fn finding(row: &Outcome) -> Option<Finding> {
    let (needle, control) = match is_by_mass(row) {
        true => (row.needle_mass_top, row.control_mass_top),
        false => (row.needle_excess_top, row.control_excess_top),
    };
    Some(classify(row.correct?, needle, control))
}

/// Whether a row has masses of control spans and no excess.
#[must_use]
pub fn is_by_mass(row: &Outcome) -> bool {
    row.needle_excess_top.is_none() && row.control_mass_top.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

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
        let same = Excess::of([(0.1, &[0.1; 19][..]), (0.7, &[0.7; 19])]).unwrap();
        assert_eq!(classify(false, Some(same.needle), Some(same.control)), Finding::Missed);
    }

    #[test]
    fn a_head_is_held_against_what_itself_gives_to_other_spans() {
        // The first head gives more to anything than the second one to the needle.
        let broad = (0.6, &[0.6, 0.7, 0.6][..]);
        let found = Excess::of([broad, (0.5, &[0.1, 0.0, 0.1])]).unwrap();
        assert!(found.needle > 0.4 && found.control < 0.11, "{found:?}");
        // A head that singles out another span more than any singles out the needle.
        let elsewhere = Excess::of([(0.5, &[0.1, 0.0, 0.1][..]), (0.0, &[0.0, 0.9, 0.0])]).unwrap();
        assert!(elsewhere.needle < elsewhere.control, "{elsewhere:?}");
        assert_eq!(Excess::of([]), None);
        assert_eq!(Excess::of([(0.5, &[][..])]), None);
    }

    #[test]
    fn a_needle_like_any_span_looks_once_in_as_many_times_as_there_are_spans_whatever_the_number_of_heads() {
        const CONTROLS: usize = 19;
        for (heads, draws) in [(4, 4000), (64, 2000), (1500, 400)] {
            let mut rng = Rng::for_purpose(heads as u64, &["excess"]);
            let mut looked = 0;
            for _ in 0..draws {
                // Masses as they are: most of nearly nothing, now and then a large one.
                let mut head = || (0..=CONTROLS).map(|_| rng.unit().powi(8)).collect::<Vec<f64>>();
                let masses: Vec<Vec<f64>> = (0..heads).map(|_| head()).collect();
                let found = Excess::of(masses.iter().map(|head| (head[0], &head[1..]))).unwrap();
                looked += usize::from(found.needle > found.control);
            }
            let share = f64::from(looked as u32) / f64::from(draws);
            let error = (0.05 * 0.95 / f64::from(draws)).sqrt();
            assert!((share - 0.05).abs() < 4.0 * error, "{heads} heads: {share}");
        }
    }

    #[test]
    fn a_row_without_an_excess_is_classified_by_its_masses() {
        let row = Outcome {
            correct: Some(false),
            needle_mass_top: Some(0.3),
            control_mass_top: Some(0.4),
            ..Outcome::default()
        };
        assert_eq!(finding(&row), Some(Finding::Missed));
        let with = Outcome { needle_excess_top: Some(0.2), control_excess_top: Some(0.1), ..row.clone() };
        assert_eq!((finding(&with), is_by_mass(&with)), (Some(Finding::Looked), false));
        assert_eq!(finding(&Outcome { correct: None, ..row }), None);
    }
}
