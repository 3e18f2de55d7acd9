//! What a run found, in one sentence: how many answers are right, how far that reaches by a named rule, and
//! where it ends.

use std::collections::BTreeMap;

use serde::Serialize;

use super::heatmap::Unit;
use super::{Tally, by_trial, latest};
use crate::grid::{ContextLength, Depth};
use crate::printable::listed;
use crate::stats::{self, Decides, EffectiveLength, Interval, Judged, LengthRule, LengthScores, Rule, Score};
use crate::trial::{Outcome, Status};

/// What a run found. Scores and intervals are shares, lengths are in tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// All of it in one sentence.
    pub sentence: String,
    /// Trials that ran.
    pub n: usize,
    /// Trials with a correct answer.
    pub n_correct: usize,
    /// Share of correct answers.
    pub accuracy: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub ci_high: Option<f64>,
    /// What gave the interval, or why there is none.
    pub ci_method: &'static str,
    /// Trial numbers that the answers are of: the independent haystacks behind the interval.
    pub n_trials: usize,
    /// The rule of the effective length, by name.
    pub rule: &'static str,
    /// Its threshold.
    pub threshold: f64,
    /// Whether the lower ends of intervals decided.
    pub conservative: bool,
    /// The largest length up to which all pass; missing where the shortest does not.
    pub effective_length: Option<usize>,
    /// The longest length that was tested.
    pub longest_length: usize,
    /// The first length that does not pass.
    pub fails_at_length: Option<usize>,
    /// The depth there that decided, where a depth does, and else the worst one.
    pub fails_at_depth_percent: Option<Depth>,
    /// The score that did not pass.
    pub fails_score: Option<f64>,
    /// Lower end of its 95 % interval.
    pub fails_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub fails_high: Option<f64>,
    /// The longest length that passes behind the one that does not.
    pub passes_again_at_length: Option<usize>,
}

impl Verdict {
    /// The verdict on a run; `None` where no answer was scored.
    #[must_use]
    pub fn of(outcomes: &[Outcome], rule: LengthRule) -> Option<Self> {
        let trials = latest(outcomes);
        let tally = Tally::of(&trials);
        let accuracy = tally.accuracy?;
        let lengths = length_scores(outcomes);
        let longest_length = lengths.last()?.length;
        let found = EffectiveLength::of(&lengths, rule);
        let fails = found.fails();
        let depths = fails.map(|judged| worst_depths(judged, &lengths)).unwrap_or_default();
        let right = format!(
            "{} of {} answers are right (accuracy {}, {})",
            tally.n_correct,
            tally.n,
            percent(accuracy),
            interval_words(tally.interval, tally.n_trials)
        );
        let failed = match tally.n_error {
            0 => String::new(),
            1 => "; one trial failed and is not counted".to_string(),
            n => format!("; {n} trials failed and are not counted"),
        };
        Some(Self {
            sentence: format!("{right}; {}{failed}.", reach(&found, &depths)),
            n: tally.n,
            n_correct: tally.n_correct,
            accuracy: tally.accuracy,
            ci_low: tally.interval.ends().map(|ends| ends.0),
            ci_high: tally.interval.ends().map(|ends| ends.1),
            ci_method: tally.interval.method_name(),
            n_trials: tally.n_trials,
            rule: rule.rule.name(),
            threshold: rule.threshold(),
            conservative: rule.decides == Decides::LowerEnd,
            effective_length: found.tokens(),
            longest_length,
            fails_at_length: fails.map(|judged| judged.length),
            fails_at_depth_percent: fails.and_then(|judged| judged.depth).or(depths.first().copied()),
            fails_score: fails.map(|judged| judged.score.mean),
            fails_low: fails.and_then(|judged| judged.score.interval.ends()).map(|ends| ends.0),
            fails_high: fails.and_then(|judged| judged.score.interval.ends()).map(|ends| ends.1),
            passes_again_at_length: found.passes_again(),
        })
    }
}

/// The scores of every length at which an answer was scored, ascending, and of its depths.
#[must_use]
pub fn length_scores(outcomes: &[Outcome]) -> Vec<LengthScores> {
    let mut lengths: BTreeMap<usize, BTreeMap<Depth, Vec<&Outcome>>> = BTreeMap::new();
    for outcome in latest(outcomes).into_iter().filter(|outcome| outcome.status == Status::Ok) {
        let depths = lengths.entry(outcome.context_length).or_default();
        depths.entry(outcome.depth_percent).or_default().push(outcome);
    }
    let scores = |(length, depths): (usize, BTreeMap<Depth, Vec<&Outcome>>)| {
        let all: Vec<&Outcome> = depths.values().flatten().copied().collect();
        let of_depth = |(depth, trials): (Depth, Vec<&Outcome>)| Some((depth, score(&trials)?));
        Some(LengthScores {
            length,
            all: score(&all)?,
            depths: depths.into_iter().filter_map(of_depth).collect(),
        })
    };
    lengths.into_iter().filter_map(scores).collect()
}

/// The mean score of trials that ran, with its interval; `None` of none that was scored.
pub(super) fn score(trials: &[&Outcome]) -> Option<Score> {
    let groups: Vec<Vec<f64>> = by_trial(trials, |outcome| {
        outcome.score.or(outcome.correct.map(|correct| f64::from(u8::from(correct))))
    });
    let scores: Vec<f64> = groups.iter().flatten().copied().collect();
    let whole = |score: &f64| *score == 0.0 || *score == 1.0;
    let interval = match scores.iter().all(whole) {
        true => {
            let counts = |scores: &Vec<f64>| (scores.iter().filter(|&&x| x == 1.0).count(), scores.len());
            stats::share_interval(&groups.iter().map(counts).collect::<Vec<_>>())
        }
        // An answer may be right in part.
        false => stats::mean_interval(&groups, Some((0.0, 1.0))),
    };
    Some(Score { n: scores.len(), n_trials: groups.len(), mean: stats::mean(&scores)?, interval })
}

/// The depths of the length with its lowest score; none where all depths have the same.
fn worst_depths(judged: &Judged, lengths: &[LengthScores]) -> Vec<Depth> {
    let Some(scores) = lengths.iter().find(|scores| scores.length == judged.length) else {
        return Vec::new();
    };
    let means = || scores.depths.iter().map(|(_, score)| score.mean);
    let (least, most) = (means().fold(f64::INFINITY, f64::min), means().fold(0.0, f64::max));
    let worst = scores.depths.iter().filter(|(_, score)| score.mean == least && least < most);
    worst.map(|(depth, _)| *depth).collect()
}

/// How far it reaches, and where it ends.
fn reach(found: &EffectiveLength, worst: &[Depth]) -> String {
    let rule = format!("by the rule {} ({})", found.rule.rule.name(), rule_words(found));
    let Some(fails) = found.fails() else {
        let longest = found.lengths.last().map_or(0, |judged| judged.length);
        return format!("{rule} the effective length is {}, the longest tested", ContextLength(longest));
    };
    let at = ContextLength(fails.length);
    let again = found.passes_again().map(|length| format!(", though {} passes again", ContextLength(length)));
    let again = again.unwrap_or_default();
    let why = shortfall(found, fails, worst);
    match found.tokens() {
        Some(length) => {
            format!("{rule} the effective length is {}, as {at} fails ({why}){again}", ContextLength(length))
        }
        None => format!("{rule} no length is effective, as {at}, the shortest tested, fails ({why}){again}"),
    }
}

/// The score that does not pass, and the depths that it is worst at.
fn shortfall(found: &EffectiveLength, fails: &Judged, worst: &[Depth]) -> String {
    let of = fails.depth.map_or(String::new(), |depth| format!(" at depth {depth}%"));
    let need = if found.rule.rule == Rule::Nolima {
        format!(", below {}", exact(fails.need))
    } else {
        String::new()
    };
    let score = format!(
        "mean score{of} {}{need}, {}",
        percent(fails.score.mean),
        interval_words(fails.score.interval, fails.score.n_trials)
    );
    const NAMED: usize = 3;
    match (fails.depth, worst.len()) {
        (Some(_), _) | (_, 0) => score,
        (_, 1) => format!("{score}, lowest at depth {}%", worst[0]),
        (_, 2..=NAMED) => format!("{score}, lowest at depths {}%", listed(worst)),
        (_, n) => format!("{score}, lowest at {n} of its depths"),
    }
}

fn rule_words(found: &EffectiveLength) -> String {
    let threshold = exact(found.rule.threshold());
    let rule = match found.rule.rule {
        Rule::Ruler => format!("mean score above {threshold}"),
        Rule::Nolima => format!("mean score at least {threshold} of the best short length's"),
        Rule::EveryDepth => format!("mean score of each depth at least {threshold}"),
    };
    let end = match found.rule.decides {
        Decides::Score => "",
        Decides::LowerEnd => " at the lower end of its interval",
        Decides::UpperEnd => " at the upper end of its interval",
    };
    format!("{rule}{end}")
}

fn percent(share: f64) -> String {
    Unit::Percent.text(share, false)
}

/// Per cent with one digit where it is not whole.
pub(super) fn exact(share: f64) -> String {
    format!("{}%", (1000.0 * share).round() / 10.0)
}

/// An interval with the number of trials behind it.
fn interval_words(interval: Interval, n_trials: usize) -> String {
    match interval {
        Interval::Given { low, high, .. } => {
            let trials = if n_trials == 1 { "trial" } else { "trials" };
            let low = Unit::Percent.text(low, true);
            format!("95% interval {low} to {} over {n_trials} {trials}", percent(high))
        }
        Interval::Withheld(why) => format!("no interval: {}", why.words("trial")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, outcome};
    use super::*;

    /// Trials of two depths; `right` says which trials of a length are right, at 0 and at 100 per cent.
    fn run(lengths: &[(usize, [usize; 2])], trials: usize) -> Vec<Outcome> {
        let cell = |length: usize, depth: f64, right: usize| {
            (0..trials).map(move |trial| outcome(length, depth, trial, trial < right, None))
        };
        let length = |&(length, [first, last]): &(usize, [usize; 2])| {
            cell(length, 0.0, first).chain(cell(length, 100.0, last)).collect::<Vec<_>>()
        };
        lengths.iter().flat_map(length).collect()
    }

    fn sentence(outcomes: &[Outcome], rule: LengthRule) -> String {
        Verdict::of(outcomes, rule).unwrap().sentence
    }

    #[test]
    fn a_run_that_fails_nowhere_reaches_its_longest_length() {
        let verdict =
            Verdict::of(&run(&[(1024, [10, 10]), (4096, [10, 10])], 10), LengthRule::default()).unwrap();
        assert_eq!(
            verdict.sentence,
            "40 of 40 answers are right (accuracy 100%, 95% interval 72 to 100% over 10 trials); by the rule ruler (mean score \
             above 85.6%) the effective length is 4k, the longest tested."
        );
        assert_eq!((verdict.effective_length, verdict.longest_length), (Some(4096), 4096));
        assert_eq!((verdict.fails_at_length, verdict.fails_at_depth_percent), (None, None));
    }

    #[test]
    fn the_first_length_that_fails_is_named_with_its_score_and_its_worst_depth() {
        let rows = run(&[(1024, [10, 10]), (2048, [2, 10]), (4096, [10, 10])], 10);
        let verdict = Verdict::of(&rows, LengthRule::default()).unwrap();
        let said = &verdict.sentence;
        for part in [
            "the effective length is 1k, as 2k fails (mean score 60%, 95% interval ",
            ", lowest at depth 0%), though 4k passes again.",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert_eq!((verdict.effective_length, verdict.fails_at_length), (Some(1024), Some(2048)));
        assert_eq!((verdict.fails_score, verdict.passes_again_at_length), (Some(0.6), Some(4096)));
        assert_eq!(verdict.fails_at_depth_percent.map(Depth::percent), Some(0.0));
        assert_eq!(said.matches(". ").count(), 0, "one sentence: {said}");
    }

    #[test]
    fn each_rule_says_what_it_asks_for_and_what_it_found() {
        let rows = run(&[(1024, [8, 8]), (2048, [4, 9])], 10);
        let of = |rule| sentence(&rows, LengthRule { rule, ..LengthRule::default() });
        assert!(
            of(Rule::Ruler)
                .contains("no length is effective, as 1k, the shortest tested, fails (mean score 80%")
        );
        let nolima = of(Rule::Nolima);
        assert!(nolima.contains("(mean score at least 85% of the best short length's)"), "{nolima}");
        assert!(
            nolima.contains("effective length is 1k, as 2k fails (mean score 65%, below 68%, "),
            "{nolima}"
        );
        let rule = LengthRule { rule: Rule::EveryDepth, threshold: Some(0.8), decides: Decides::Score };
        let depth = sentence(&rows, rule);
        assert!(depth.contains("(mean score of each depth at least 80%)"), "{depth}");
        assert!(
            depth.contains(
                "is 1k, as 2k fails (mean score at depth 0% 40%, 95% interval 17 to 69% over 10 trials)"
            ),
            "{depth}"
        );
        let conservative = sentence(&rows, LengthRule { decides: Decides::LowerEnd, ..rule });
        assert!(
            conservative.contains("at least 80% at the lower end of its interval) no length"),
            "{conservative}"
        );
    }

    #[test]
    fn one_trial_has_no_interval_and_failed_trials_are_said() {
        let mut rows = run(&[(1024, [1, 1])], 1);
        let said = sentence(&rows, LengthRule::default());
        assert!(said.contains("(accuracy 100%, no interval: that takes two trials)"), "{said}");
        rows.push(failed(2048, 0.0, 0));
        let said = sentence(&rows, LengthRule::default());
        assert!(said.contains("is 1k, the longest tested; one trial failed and is not counted."), "{said}");
        assert_eq!(Verdict::of(&[failed(1024, 0.0, 0)], LengthRule::default()), None);
        assert_eq!(Verdict::of(&[], LengthRule::default()), None);
    }

    #[test]
    fn answers_that_are_right_in_part_count_in_part() {
        let mut rows = run(&[(1024, [0, 0])], 10);
        rows.iter_mut().for_each(|row| row.score = Some(if row.trial < 5 { 0.5 } else { 0.75 }));
        let scores = length_scores(&rows);
        assert_eq!(scores[0].all.mean, 0.625);
        assert_eq!(scores[0].all.interval.method_name(), "studentised-bootstrap");
        let rule = LengthRule { threshold: Some(0.6), ..LengthRule::default() };
        let verdict = Verdict::of(&rows, rule).unwrap();
        assert_eq!((verdict.accuracy, verdict.effective_length), (Some(0.0), Some(1024)));
    }
}
