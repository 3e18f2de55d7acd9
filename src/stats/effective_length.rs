//! The effective length: how far a model can use its context, by a rule that has a name.
//!
//! A rule says of every length that was tested whether it passes. The effective length is the largest one up
//! to which all pass: a longer length that passes behind a shorter one that fails adds nothing, because
//! nobody can use the one without the other. RULER and NoLiMa name the largest length that passes; where
//! scores only fall with length that is the same.

use super::Interval;
use crate::grid::Depth;
use crate::registry::Entry;

/// How a length passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Its mean score is above a threshold.
    Ruler,
    /// Its mean score is at least a part of the best one of the short lengths.
    Nolima,
    /// The mean score of each of its depths is at or above a threshold.
    EveryDepth,
}

/// The rules, by name; the first is the default. RULER's threshold is the score of Llama 2 (7B) at 4k tokens
/// over its 13 tasks (arXiv 2404.06654), NoLiMa's part is that of arXiv 2502.05167.
pub const RULES: &[Entry<Rule>] = &[
    Entry {
        name: "ruler",
        about: "the mean score of the length is above the threshold, 85.6% (RULER)",
        value: Rule::Ruler,
    },
    Entry {
        name: "nolima",
        about: "the mean score is at least 85% of the best one of the lengths up to 1k, or else of the \
                shortest (NoLiMa)",
        value: Rule::Nolima,
    },
    Entry {
        name: "every-depth",
        about: "the mean score of each depth is at or above the threshold, 85%",
        value: Rule::EveryDepth,
    },
];

/// The longest of the short lengths that [`Rule::Nolima`] takes its base from, in tokens.
const SHORT: usize = 1024;

/// Scores that differ by less are the same: means of few numbers are right to many more digits.
const ROUNDING: f64 = 1e-12;

impl Rule {
    /// The name that it has in [`RULES`].
    #[must_use]
    pub fn name(self) -> &'static str {
        RULES.iter().find(|entry| entry.value == self).map_or("", |entry| entry.name)
    }

    /// The threshold that it has of its own.
    #[must_use]
    pub fn own_threshold(self) -> f64 {
        match self {
            Self::Ruler => 0.856,
            Self::Nolima | Self::EveryDepth => 0.85,
        }
    }
}

/// What of a score is held against a threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decides {
    /// The score itself.
    #[default]
    Score,
    /// The lower end of its 95 % interval. A score whose interval is withheld does not pass.
    LowerEnd,
    /// The upper end. A score whose interval is withheld passes: nothing speaks against it.
    UpperEnd,
}

/// A rule with its threshold, and what of a score it looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LengthRule {
    /// The rule.
    pub rule: Rule,
    /// A threshold in the place of the rule's own, 0 to 1.
    pub threshold: Option<f64>,
    /// What of a score has to pass.
    pub decides: Decides,
}

impl Default for LengthRule {
    fn default() -> Self {
        Self { rule: RULES[0].value, threshold: None, decides: Decides::Score }
    }
}

impl LengthRule {
    /// The threshold that holds.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(self.rule.own_threshold())
    }

    fn decisive(&self, score: &Score) -> f64 {
        match self.decides {
            Decides::Score => score.mean,
            Decides::LowerEnd => score.interval.ends().map_or(f64::NEG_INFINITY, |ends| ends.0),
            Decides::UpperEnd => score.interval.ends().map_or(f64::INFINITY, |ends| ends.1),
        }
    }
}

/// The mean score of some trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Trials.
    pub n: usize,
    /// Independent trials among these, behind the interval.
    pub n_trials: usize,
    /// Their mean score, 0 to 1.
    pub mean: f64,
    /// Its 95 % interval.
    pub interval: Interval,
}

/// The scores of one length, at least one depth of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LengthScores {
    /// The length in tokens.
    pub length: usize,
    /// Of all its trials.
    pub all: Score,
    /// Of those of each depth.
    pub depths: Vec<(Depth, Score)>,
}

/// What a rule says of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The length in tokens.
    pub length: usize,
    /// Whether it passes.
    pub passes: bool,
    /// The score that decides.
    pub score: Score,
    /// The depth that it is of, where a depth decides.
    pub depth: Option<Depth>,
    /// What the score is held against.
    pub need: f64,
}

/// What a rule says of every length.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveLength {
    /// The rule.
    pub rule: LengthRule,
    /// Every length, ascending.
    pub lengths: Vec<Judged>,
}

impl EffectiveLength {
    /// Judges `lengths`, which ascend.
    ///
    /// ```
    /// use niah::stats::{EffectiveLength, Interval, LengthRule, LengthScores, Score};
    /// let scored = |length, mean| {
    ///     let score = Score { n: 20, n_trials: 20, mean, interval: Interval::default() };
    ///     LengthScores { length, all: score, depths: Vec::new() }
    /// };
    /// let lengths = [scored(1024, 1.0), scored(2048, 0.9), scored(4096, 0.5), scored(8192, 0.9)];
    /// let found = EffectiveLength::of(&lengths, LengthRule::default());
    /// assert_eq!(found.tokens(), Some(2048));
    /// assert_eq!(found.passes_again(), Some(8192));
    /// ```
    #[must_use]
    pub fn of(lengths: &[LengthScores], rule: LengthRule) -> Self {
        let short = lengths.iter().filter(|scores| scores.length <= SHORT).map(|scores| scores.all.mean);
        let base = short.reduce(f64::max).or(lengths.first().map(|scores| scores.all.mean)).unwrap_or(0.0);
        let judged = |scores: &LengthScores| {
            let least = || {
                let order = |a: &Score, b: &Score| rule.decisive(a).total_cmp(&rule.decisive(b));
                scores.depths.iter().min_by(|(_, a), (_, b)| order(a, b))
            };
            let (depth, score) = match rule.rule {
                Rule::EveryDepth => {
                    least().map_or((None, scores.all), |(depth, score)| (Some(*depth), *score))
                }
                Rule::Ruler | Rule::Nolima => (None, scores.all),
            };
            let need = if rule.rule == Rule::Nolima { rule.threshold() * base } else { rule.threshold() };
            let value = rule.decisive(&score);
            let passes = match rule.rule {
                Rule::Ruler => value > need + ROUNDING,
                // A part of nothing is nothing, which is no proof of use.
                Rule::Nolima => base > 0.0 && value >= need - ROUNDING,
                Rule::EveryDepth => value >= need - ROUNDING,
            };
            Judged { length: scores.length, passes, score, depth, need }
        };
        Self { rule, lengths: lengths.iter().map(judged).collect() }
    }

    /// The largest length up to which all pass, in tokens; `None` where the shortest does not.
    #[must_use]
    pub fn tokens(&self) -> Option<usize> {
        self.lengths.iter().take_while(|judged| judged.passes).last().map(|judged| judged.length)
    }

    /// The first length that does not pass.
    #[must_use]
    pub fn fails(&self) -> Option<&Judged> {
        self.lengths.iter().find(|judged| !judged.passes)
    }

    /// The longest length that passes although a shorter one does not.
    #[must_use]
    pub fn passes_again(&self) -> Option<usize> {
        let behind = self.lengths.iter().skip_while(|judged| judged.passes);
        behind.filter(|judged| judged.passes).last().map(|judged| judged.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::share_interval;

    /// A length with `right` of ten answers right at each of its depths.
    fn length(length: usize, right: &[usize]) -> LengthScores {
        let score = |right: usize, n: usize| {
            let trials: Vec<(usize, usize)> = (0..n).map(|trial| (usize::from(trial < right), 1)).collect();
            Score { n, n_trials: n, mean: right as f64 / n as f64, interval: share_interval(&trials) }
        };
        let depth = |(place, right): (usize, &usize)| {
            (Depth::from_percent(10.0 * place as f64).unwrap(), score(*right, 10))
        };
        LengthScores {
            length,
            all: score(right.iter().sum(), 10 * right.len()),
            depths: right.iter().enumerate().map(depth).collect(),
        }
    }

    fn effective(lengths: &[LengthScores], rule: Rule, threshold: Option<f64>) -> Option<usize> {
        EffectiveLength::of(lengths, LengthRule { rule, threshold, decides: Decides::Score }).tokens()
    }

    #[test]
    fn ruler_wants_more_than_its_threshold_and_every_depth_as_much() {
        let lengths = [length(1024, &[10, 8]), length(2048, &[9, 8]), length(4096, &[8, 8])];
        assert_eq!(effective(&lengths, Rule::Ruler, None), Some(1024));
        assert_eq!(effective(&lengths, Rule::Ruler, Some(0.85)), Some(1024), "85% is not above 85%");
        assert_eq!(effective(&lengths, Rule::Ruler, Some(0.84)), Some(2048));
        assert_eq!(effective(&lengths, Rule::EveryDepth, None), None);
        assert_eq!(effective(&lengths, Rule::EveryDepth, Some(0.8)), Some(4096));
        let found =
            EffectiveLength::of(&lengths, LengthRule { rule: Rule::EveryDepth, ..LengthRule::default() });
        let fails = found.fails().unwrap();
        assert_eq!(
            (fails.length, fails.depth.map(Depth::percent), fails.score.mean),
            (1024, Some(10.0), 0.8)
        );
    }

    #[test]
    fn nolima_takes_a_part_of_the_best_short_length_and_of_the_shortest_where_none_is_short() {
        let lengths = [length(512, &[6]), length(1024, &[8]), length(2048, &[7]), length(4096, &[6])];
        // 85% of 0.8 is 0.68: the shortest length itself does not reach it.
        assert_eq!(effective(&lengths, Rule::Nolima, None), None);
        assert_eq!(effective(&lengths[1..], Rule::Nolima, None), Some(2048));
        let long = [length(2048, &[4]), length(4096, &[10]), length(8192, &[3])];
        assert_eq!(effective(&long, Rule::Nolima, None), Some(4096), "of 2048, the shortest");
        assert_eq!(effective(&[length(512, &[0])], Rule::Nolima, None), None, "a part of nothing");
    }

    #[test]
    fn a_length_that_passes_behind_one_that_fails_adds_nothing() {
        let lengths = [length(1024, &[10]), length(2048, &[5]), length(4096, &[10])];
        let found = EffectiveLength::of(&lengths, LengthRule::default());
        assert_eq!((found.tokens(), found.passes_again()), (Some(1024), Some(4096)));
        assert_eq!(found.fails().map(|judged| judged.length), Some(2048));
        let all = EffectiveLength::of(&lengths[..1], LengthRule::default());
        assert_eq!((all.tokens(), all.fails(), all.passes_again()), (Some(1024), None, None));
        assert_eq!(EffectiveLength::of(&[], LengthRule::default()).tokens(), None);
    }

    #[test]
    fn the_lower_end_decides_where_that_is_wanted_and_without_an_interval_nothing_passes() {
        let rule = LengthRule { decides: Decides::LowerEnd, ..LengthRule::default() };
        // Of 30 right answers of 30 the lower end is 0.886, of 10 it is 0.722.
        let lengths = [length(1024, &[10, 10, 10]), length(2048, &[10])];
        assert_eq!(EffectiveLength::of(&lengths, rule).tokens(), Some(1024));
        let mut unknown = length(1024, &[10]);
        unknown.all.interval = Interval::default();
        assert_eq!(EffectiveLength::of(&[unknown.clone()], rule).tokens(), None);
        let upper = LengthRule { decides: Decides::UpperEnd, ..rule };
        let lengths = [length(1024, &[7]), length(2048, &[3]), unknown];
        assert_eq!(EffectiveLength::of(&lengths, upper).tokens(), Some(1024), "up to 0.892, then to 0.603");
        assert_eq!(EffectiveLength::of(&lengths[2..], upper).tokens(), Some(1024));
    }

    #[test]
    fn rounding_decides_nothing() {
        let mean = [0.1, 0.2].iter().sum::<f64>();
        let score = Score { n: 2, n_trials: 2, mean, interval: Interval::default() };
        let lengths = [LengthScores { length: 1024, all: score, depths: Vec::new() }];
        assert!(mean > 0.3, "it is the example that it should be");
        assert_eq!(effective(&lengths, Rule::Ruler, Some(0.3)), None);
        assert_eq!(effective(&lengths, Rule::EveryDepth, Some(0.3)), Some(1024));
    }

    #[test]
    fn every_rule_is_found_under_its_name_and_says_its_threshold() {
        for entry in RULES {
            assert_eq!(entry.name, entry.value.name());
            let percent = format!("{}%", 100.0 * entry.value.own_threshold());
            assert!(entry.about.contains(&percent), "{percent} in {}", entry.about);
        }
    }
}
