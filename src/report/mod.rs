//! From facts to a [`Report`]: a document for readers and typed rows for programs, whatever the format.
//!
//! Of outcomes first come tables: one row a cell, one a length, one overall, and what became of the needles.
//! Missing stays missing: a value that no trial gave is `None`, never 0. Trials that failed or were skipped
//! are counted and enter no mean. Two runs on identical prompts are compared pair by pair ([`comparison`]).

pub mod answer;
pub mod attention;
pub mod bound;
pub mod compared;
pub mod comparison;
pub mod confusion;
pub mod controls;
pub mod data;
pub mod document;
pub mod earlier;
mod experts;
pub mod fade;
pub mod gate;
mod gated;
pub mod heads;
pub mod heatmap;
mod independent;
pub mod inspection;
pub mod loss;
pub mod margins;
pub mod masked;
pub mod models;
pub mod needed;
pub mod page;
pub mod parts;
mod recurrent;
pub mod retrieval;
pub mod run;
pub mod served;
pub mod speed;
pub mod tasks;
mod unpaired;
pub mod verdict;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

pub use crate::score::classify;

use independent::by_unit;

use crate::grid::{Cell, Depth};
use crate::score;
use crate::stats::{self, Interval, Score};
use crate::trial::{AttentionRow, Finding, Outcome, Status};

/// What a command has to say, before any format.
pub struct Report {
    /// For readers.
    pub document: document::Document,
    /// For programs.
    pub data: data::Data,
}

/// The text of a value that may be missing.
fn or_missing(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_string())
}

/// Means over a set of trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Trials that ran.
    pub n: usize,
    /// Independent trials among these: each has one haystack for all of its cells, and those that were asked
    /// the same prompt are one.
    pub n_trials: usize,
    /// Trials with a correct answer.
    pub n_correct: usize,
    /// Trials that failed.
    pub n_error: usize,
    /// Trials that were left out on purpose.
    pub n_skipped: usize,
    /// Share of correct answers among the trials that were scored.
    pub accuracy: Option<f64>,
    /// Its 95 % interval: prompts of one trial number share a haystack, so these are the independent unit
    /// ([`stats::share_interval`]).
    pub interval: Interval,
    /// The mean of [`Outcome::score`], in which answers count that are right in part.
    pub score: Option<Score>,
    /// Whether some answer is right in part: then the mean score is another number than the accuracy.
    pub in_part: bool,
    /// Mean of [`Outcome::needle_mass_top`].
    pub needle_mass_top_mean: Option<f64>,
    /// Its 95 % interval over trial numbers ([`stats::mean_interval`]).
    pub needle_mass_interval: Interval,
    /// Sample standard deviation of [`Outcome::needle_mass_top`]; missing for fewer than two trials.
    pub needle_mass_top_sd: Option<f64>,
    /// Under screening, the mean of [`Outcome::total_mass_top`].
    pub total_mass_mean: Option<f64>,
    /// Under screening, the mean share of the needle in the total mass, over trials where that is not 0.
    pub needle_share_mean: Option<f64>,
    /// Mean of [`Outcome::answer_logprob`], in nats.
    pub answer_logprob_mean: Option<f64>,
}

impl Tally {
    /// Sums up these trials.
    #[must_use]
    pub fn of(outcomes: &[&Outcome]) -> Self {
        let ran: Vec<&Outcome> =
            outcomes.iter().copied().filter(|outcome| outcome.status == Status::Ok).collect();
        let trials = trial_counts(outcomes);
        let (n_correct, n_scored) =
            trials.iter().fold((0, 0), |(right, all), trial| (right + trial.0, all + trial.1));
        let count = |status| outcomes.iter().filter(|outcome| outcome.status == status).count();
        let masses: Vec<f64> = ran.iter().filter_map(|outcome| outcome.needle_mass_top).collect();
        let pairs: Vec<(f64, f64)> =
            ran.iter().filter_map(|outcome| outcome.needle_mass_top.zip(outcome.total_mass_top)).collect();
        let totals: Vec<f64> = pairs.iter().map(|(_, total)| *total).collect();
        let shares: Vec<f64> =
            pairs.iter().filter(|(_, total)| *total > 0.0).map(|(mass, total)| mass / total).collect();
        let logprobs: Vec<f64> = ran.iter().filter_map(|outcome| outcome.answer_logprob).collect();
        Self {
            n: ran.len(),
            n_trials: by_trial(&ran, Some).len(),
            n_correct,
            n_error: count(Status::Error),
            n_skipped: count(Status::Skipped),
            accuracy: (n_scored > 0).then(|| n_correct as f64 / n_scored as f64),
            interval: stats::share_interval(&trials),
            score: verdict::score(&ran),
            in_part: ran.iter().filter_map(|outcome| outcome.score).any(|score| score > 0.0 && score < 1.0),
            needle_mass_top_mean: stats::mean(&masses),
            needle_mass_interval: mass_interval(&ran),
            needle_mass_top_sd: stats::sample_sd(&masses),
            total_mass_mean: stats::mean(&totals),
            needle_share_mean: stats::mean(&shares),
            answer_logprob_mean: stats::mean(&logprobs),
        }
    }
}

/// The values of every independent trial that has any, from all of its cells.
fn by_trial<'a, T>(outcomes: &[&'a Outcome], value: impl Fn(&'a Outcome) -> Option<T>) -> Vec<Vec<T>> {
    by_unit(outcomes.iter().filter_map(|&outcome| Some((outcome, value(outcome)?))).map(of_trial))
}

/// A value with the trial and the prompt that it is of.
fn of_trial<T>((outcome, value): (&Outcome, T)) -> ((u64, usize), Option<&str>, T) {
    ((outcome.seed, outcome.trial), outcome.prompt_hash.as_deref(), value)
}

/// The right answers and all answers of every trial of which some ran.
fn trial_counts(outcomes: &[&Outcome]) -> Vec<(usize, usize)> {
    let answers = by_trial(outcomes, |outcome| outcome.correct.filter(|_| outcome.status == Status::Ok));
    let count = |answers: &Vec<bool>| (answers.iter().filter(|right| **right).count(), answers.len());
    answers.iter().map(count).collect()
}

/// The interval of the mean needle mass of prompts that ran. Under screening a mass is no share.
fn mass_interval(ran: &[&Outcome]) -> Interval {
    let shares = ran.iter().all(|outcome| outcome.total_mass_top.is_none());
    let masses = by_trial(ran, |outcome| outcome.needle_mass_top);
    stats::mean_interval(&masses, Some((0.0, 1.0)).filter(|_| shares))
}

/// One row of the cell table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CellSummary {
    /// Prompt length asked for, in tokens.
    pub context_length: usize,
    /// Depth asked for, in per cent.
    pub depth_percent: Depth,
    /// What its trials come to.
    #[serde(flatten)]
    pub means: Means,
}

/// [`Tally`], flat, in the order of the columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Means {
    /// Trials that ran.
    pub n: usize,
    /// Trials with a correct answer.
    pub n_correct: usize,
    /// Share of correct answers among the trials that were scored.
    pub accuracy: Option<f64>,
    /// Lower end of the accuracy's 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end of the accuracy's 95 % interval.
    pub ci_high: Option<f64>,
    /// What gave the interval, or why there is none.
    pub ci_method: &'static str,
    /// Trials that failed.
    pub n_error: usize,
    /// Trials that were left out on purpose.
    pub n_skipped: usize,
    /// Mean of [`Outcome::needle_mass_top`].
    pub needle_mass_top_mean: Option<f64>,
    /// Sample standard deviation of [`Outcome::needle_mass_top`].
    pub needle_mass_top_sd: Option<f64>,
    /// Mean of [`Outcome::answer_logprob`], in nats.
    pub answer_logprob_mean: Option<f64>,
    /// As in [`Tally::total_mass_mean`].
    pub total_mass_mean: Option<f64>,
    /// As in [`Tally::needle_share_mean`].
    pub needle_share_mean: Option<f64>,
    /// As in [`Tally::n_trials`].
    pub n_trials: usize,
    /// Lower end of the 95 % interval of the mean of [`Outcome::needle_mass_top`].
    pub needle_mass_ci_low: Option<f64>,
    /// Upper end of it.
    pub needle_mass_ci_high: Option<f64>,
    /// What gave it, or why there is none.
    pub needle_mass_ci_method: &'static str,
    /// Mean of [`Outcome::score`], in which answers count that are right in part.
    pub score_mean: Option<f64>,
    /// Lower end of its 95 % interval.
    pub score_ci_low: Option<f64>,
    /// Upper end of it.
    pub score_ci_high: Option<f64>,
    /// What gave it, or why there is none.
    pub score_ci_method: &'static str,
}

impl From<&Tally> for Means {
    fn from(tally: &Tally) -> Self {
        let of_score = tally.score.map_or(Interval::default(), |score| score.interval);
        Self {
            n: tally.n,
            n_correct: tally.n_correct,
            accuracy: tally.accuracy,
            ci_low: tally.interval.ends().map(|ends| ends.0),
            ci_high: tally.interval.ends().map(|ends| ends.1),
            ci_method: tally.interval.method_name(),
            n_error: tally.n_error,
            n_skipped: tally.n_skipped,
            needle_mass_top_mean: tally.needle_mass_top_mean,
            needle_mass_top_sd: tally.needle_mass_top_sd,
            answer_logprob_mean: tally.answer_logprob_mean,
            total_mass_mean: tally.total_mass_mean,
            needle_share_mean: tally.needle_share_mean,
            n_trials: tally.n_trials,
            needle_mass_ci_low: tally.needle_mass_interval.ends().map(|ends| ends.0),
            needle_mass_ci_high: tally.needle_mass_interval.ends().map(|ends| ends.1),
            needle_mass_ci_method: tally.needle_mass_interval.method_name(),
            score_mean: tally.score.map(|score| score.mean),
            score_ci_low: of_score.ends().map(|ends| ends.0),
            score_ci_high: of_score.ends().map(|ends| ends.1),
            score_ci_method: of_score.method_name(),
        }
    }
}

/// Sums up each cell, by length and then by depth. Cells that were `planned` but have no trial yet come with
/// `n` 0 and everything else missing.
#[must_use]
pub fn cells(outcomes: &[Outcome], planned: &[Cell]) -> Vec<CellSummary> {
    let mut groups: BTreeMap<Cell, Vec<&Outcome>> = planned.iter().map(|&cell| (cell, Vec::new())).collect();
    for outcome in latest(outcomes) {
        groups.entry(outcome.cell()).or_default().push(outcome);
    }
    groups
        .into_iter()
        .map(|(cell, trials)| CellSummary {
            context_length: cell.context_length.0,
            depth_percent: cell.depth,
            means: (&Tally::of(&trials)).into(),
        })
        .collect()
}

/// One head in one cell.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HeadSummary {
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// Trials behind the mean.
    pub n: usize,
    /// Mean of [`AttentionRow::needle_mass`]: at the query that predicts the first answer token.
    pub needle_mass: Option<f64>,
    /// Mean of [`AttentionRow::total_mass`], the sum of the whole row there.
    pub total_mass: Option<f64>,
}

/// The heads in one cell, by layer and then by head; none when no trial of the cell has run.
#[must_use]
pub fn heads(cell: Cell, attention: &[AttentionRow]) -> Vec<HeadSummary> {
    heads_of(&row_prefix(cell), attention)
}

/// What the keys of a cell's trials begin with.
#[must_use]
pub fn row_prefix(cell: Cell) -> String {
    format!("{}:{}:", cell.context_length.0, cell.depth)
}

/// The heads over all trials whose key begins with `prefix`.
fn heads_of(prefix: &str, attention: &[AttentionRow]) -> Vec<HeadSummary> {
    let mut heads: BTreeMap<(usize, usize), BTreeMap<&str, &AttentionRow>> = BTreeMap::new();
    for row in attention.iter().filter(|row| row.row_id.starts_with(prefix)) {
        // A trial that was tried again has two rows; the later one replaces the first.
        heads.entry((row.layer, row.head)).or_default().insert(&row.row_id, row);
    }
    let summary = |((layer, head), trials): (_, BTreeMap<&str, &AttentionRow>)| {
        let mean = |mass: fn(&AttentionRow) -> f64| {
            let masses = trials.values().map(|row| mass(row)).filter(|mass| !mass.is_nan());
            stats::mean(&masses.collect::<Vec<_>>())
        };
        HeadSummary {
            layer,
            head,
            n: trials.len(),
            needle_mass: mean(|row| row.needle_mass),
            total_mass: mean(|row| row.total_mass),
        }
    };
    heads.into_iter().map(summary).collect()
}

/// The sum of counts that stand in tables, which may say anything: at most the largest number.
pub(crate) fn total(counts: impl IntoIterator<Item = usize>) -> usize {
    counts.into_iter().fold(0, usize::saturating_add)
}

/// The last row of every trial, in order. A trial that failed is tried again by the next run, which appends a
/// second row for it; only the last one counts.
#[must_use]
pub fn latest(outcomes: &[Outcome]) -> Vec<&Outcome> {
    fn key(outcome: &Outcome) -> (&str, &str) {
        (&outcome.config_hash, &outcome.row_id)
    }
    let last: HashMap<_, usize> =
        outcomes.iter().enumerate().map(|(row, outcome)| (key(outcome), row)).collect();
    outcomes.iter().enumerate().filter(|(row, outcome)| last[&key(outcome)] == *row).map(|(_, o)| o).collect()
}

/// The run in a few lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Every length, ascending.
    pub by_length: Vec<(usize, Tally)>,
    /// All trials.
    pub overall: Tally,
    /// Trials that another one's prompt was asked in, word for word, less one of each: they are no trials of
    /// their own.
    pub copies: usize,
    /// Trials answered correctly.
    pub found: usize,
    /// Trials answered wrongly although a head looked at the needle; see [`classify`].
    pub looked: usize,
    /// Trials answered wrongly with no head on the needle.
    pub missed: usize,
    /// Trials answered wrongly of which that cannot be said.
    pub wrong: usize,
    /// Answers looked or missed of which that is said by masses alone; see [`score::is_by_mass`].
    pub by_mass: usize,
    /// The smallest and the largest number of spans that needles of wrong answers were held against.
    pub controls: Option<(usize, usize)>,
    /// What was answered, and where a head looked.
    pub confusions: Vec<confusion::Confused>,
}

impl Summary {
    /// The rule that splits the wrong answers, for print; nothing where there is none.
    #[must_use]
    pub fn rule(&self) -> Vec<String> {
        let spans = self.controls.map(|(least, most)| match least == most {
            true => format!("any of {most} other spans"),
            false => format!("any of {least} to {most} other spans"),
        });
        let split = spans.map(|spans| {
            format!(
                "looked = wrong answer, but a head singles the needle out, by more than any head does {spans} of \
                 its length in the same haystack (singled out: the head's mass there above its mean over the \
                 others; of N spans chance does that once in N + 1, for any number of heads); missed = wrong \
                 answer, and none does"
            )
        });
        let wrong = (self.wrong > 0).then(|| {
            "wrong = wrong answer, held against no such spans: its haystack has too little room for them, or \
             they were not measured"
                .to_string()
        });
        let by_mass = (self.by_mass > 0).then(|| {
            format!(
                "{} of these answers come from a version that kept the largest masses alone, which are compared in \
                 the place of how much a head singles out",
                self.by_mass
            )
        });
        split.into_iter().chain(by_mass).chain(wrong).collect()
    }

    /// Sums up a run.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let trials = latest(outcomes);
        let mut lengths: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &trials {
            lengths.entry(outcome.context_length).or_default().push(outcome);
        }
        // Classified anew rather than read from the rows, so that the counts obey the rule that is printed
        // with them.
        let scored = trials.iter().filter(|outcome| outcome.status == Status::Ok);
        let findings: Vec<(Finding, &Outcome)> =
            scored.filter_map(|&outcome| Some((score::finding(outcome)?, outcome))).collect();
        let count = |wanted| findings.iter().filter(|(finding, _)| *finding == wanted).count();
        let split =
            findings.iter().filter(|(finding, _)| matches!(finding, Finding::Looked | Finding::Missed));
        let by_mass = split.clone().filter(|(_, outcome)| score::is_by_mass(outcome)).count();
        let spans: Vec<usize> = split.filter_map(|(_, outcome)| outcome.control_spans).collect();
        let overall = Tally::of(&trials);
        let ran = trials.iter().filter(|outcome| outcome.status == Status::Ok);
        let numbers: HashSet<(u64, usize)> = ran.map(|outcome| (outcome.seed, outcome.trial)).collect();
        Self {
            by_length: lengths.iter().map(|(&length, trials)| (length, Tally::of(trials))).collect(),
            copies: numbers.len() - overall.n_trials,
            overall,
            found: count(Finding::Found),
            looked: count(Finding::Looked),
            missed: count(Finding::Missed),
            wrong: count(Finding::Wrong),
            by_mass,
            confusions: confusion::confusions(&trials),
            controls: spans.iter().min().copied().zip(spans.iter().max().copied()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::grid::ContextLength;

    /// A trial that ran: its cell, its number, its answer and its needle mass.
    pub(crate) fn outcome(
        length: usize,
        depth: f64,
        trial: usize,
        correct: bool,
        mass: Option<f64>,
    ) -> Outcome {
        Outcome {
            run_id: "run".into(),
            model: "model".into(),
            variant: "standard".into(),
            task: "magic".into(),
            context_length: length,
            depth_percent: Depth::from_percent(depth).unwrap(),
            trial,
            seed: 42,
            prompt_tokens: Some(length - 10),
            actual_depth_percent: Some(depth),
            needle_start: Some(1),
            needle_end: Some(9),
            needle: "The special magic Oslo number is: 1234567.".into(),
            question: "What is the special magic Oslo number?".into(),
            expected_answer: "1234567".into(),
            model_response: Some("1234567".into()),
            score: Some(f64::from(u8::from(correct))),
            correct: Some(correct),
            answer_logprob: Some(-0.5),
            answer_rank: Some(1),
            outcome: Some(classify(correct, mass, mass.map(|_| 0.1))),
            needle_mass_top: mass,
            needle_mass_mean: mass.map(|m| m / 2.0),
            duration_seconds: Some(0.25),
            timestamp_utc: "2026-01-02T03:04:05Z".into(),
            config_hash: "abc".into(),
            row_id: format!("{length}:{depth}:{trial}"),
            value_start: Some(7),
            value_end: Some(8),
            prompt_hash: Some(format!("{length}:{depth}:{trial}")),
            control_spans: mass.map(|_| 19),
            control_mass_top: mass.map(|_| 0.1),
            needle_excess_top: mass,
            control_excess_top: mass.map(|_| 0.1),
            ..Outcome::default()
        }
    }

    pub(crate) fn failed(length: usize, depth: f64, trial: usize) -> Outcome {
        Outcome {
            status: Status::Error,
            error: Some("out of memory".into()),
            correct: None,
            score: None,
            model_response: None,
            needle_mass_top: None,
            control_spans: None,
            control_mass_top: None,
            needle_excess_top: None,
            control_excess_top: None,
            answer_logprob: None,
            ..outcome(length, depth, trial, false, None)
        }
    }

    #[test]
    fn a_cell_counts_only_trials_that_ran() {
        let outcomes = [
            outcome(1024, 0.0, 0, true, Some(0.8)),
            outcome(1024, 0.0, 1, false, Some(0.2)),
            outcome(1024, 0.0, 2, true, None),
            failed(1024, 0.0, 3),
        ];
        let cell = &cells(&outcomes, &[])[0];
        assert_eq!((cell.means.n, cell.means.n_correct, cell.means.n_error), (3, 2, 1));
        assert_eq!(cell.means.accuracy, Some(2.0 / 3.0));
        assert_eq!(cell.means.needle_mass_top_mean, Some(0.5));
        assert!((cell.means.needle_mass_top_sd.unwrap() - 0.18f64.sqrt()).abs() < 1e-12);
        assert_eq!(cell.means.answer_logprob_mean, Some(-0.5));
    }

    #[test]
    fn a_cell_without_results_is_missing_and_not_zero() {
        let planned =
            [Cell { context_length: ContextLength(2048), depth: Depth::from_percent(50.0).unwrap() }];
        let summaries = cells(&[failed(1024, 0.0, 0)], &planned);
        assert_eq!(summaries.len(), 2);
        for cell in summaries {
            assert_eq!(cell.means.n, 0);
            assert_eq!((cell.means.accuracy, cell.means.ci_low, cell.means.ci_high), (None, None, None));
            assert_eq!(
                (
                    cell.means.needle_mass_top_mean,
                    cell.means.needle_mass_top_sd,
                    cell.means.answer_logprob_mean
                ),
                (None, None, None)
            );
        }
    }

    #[test]
    fn a_trial_that_failed_and_was_tried_again_counts_once() {
        let outcomes = [failed(1024, 0.0, 0), outcome(1024, 0.0, 0, true, None)];
        let cell = &cells(&outcomes, &[])[0];
        assert_eq!((cell.means.n, cell.means.n_error, cell.means.accuracy), (1, 0, Some(1.0)));
    }

    #[test]
    fn the_summary_goes_by_length_and_splits_the_wrong_answers() {
        let outcomes = [
            outcome(2048, 0.0, 0, false, Some(0.4)),
            outcome(1024, 0.0, 0, true, Some(0.0)),
            outcome(1024, 100.0, 0, false, Some(0.01)),
            outcome(1024, 100.0, 1, false, None),
            failed(2048, 100.0, 0),
        ];
        let summary = Summary::of(&outcomes);
        let lengths: Vec<_> = summary.by_length.iter().map(|(length, tally)| (*length, tally.n)).collect();
        assert_eq!(lengths, [(1024, 3), (2048, 1)]);
        assert_eq!((summary.overall.n, summary.overall.n_error), (4, 1));
        assert_eq!((summary.found, summary.looked, summary.missed, summary.wrong), (1, 1, 1, 1));
        assert_eq!(summary.controls, Some((19, 19)));
        let rule = summary.rule().join(" ");
        assert!(rule.contains("does any of 19 other spans") && rule.contains("too little room"), "{rule}");
    }

    #[test]
    fn skipped_trials_are_counted_beside_the_failed_ones() {
        let skipped = Outcome { status: Status::Skipped, ..failed(1024, 0.0, 1) };
        let outcomes = [failed(1024, 0.0, 0), skipped, outcome(1024, 0.0, 2, true, None)];
        let cell = &cells(&outcomes, &[])[0];
        assert_eq!((cell.means.n, cell.means.n_error, cell.means.n_skipped), (1, 1, 1));
        let tally = Summary::of(&outcomes).overall;
        assert_eq!((tally.n, tally.n_error, tally.n_skipped), (1, 1, 1));
    }

    #[test]
    fn prompts_of_one_haystack_are_not_taken_for_independent() {
        let of = |trials: usize, depths: usize| {
            let cells = (0..depths).flat_map(|depth| (0..trials).map(move |trial| (depth, trial)));
            let outcomes: Vec<_> =
                cells.map(|(depth, trial)| outcome(1024, depth as f64, trial, true, None)).collect();
            Summary::of(&outcomes).overall.interval
        };
        assert_eq!(of(2, 5), of(2, 1), "ten right answers in two haystacks are worth two");
        assert_eq!(of(1, 5).method_name(), "withheld: one trial");
        assert!(of(1, 1).ends().is_some());
    }
}
