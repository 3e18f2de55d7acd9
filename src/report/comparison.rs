//! Two runs, A and B, on identical prompts: who was right where, and how much more attention B put on the
//! needles.
//!
//! Rows pair by length, depth and trial. A pair counts when both have run and the prompt and the expected
//! answer are the same; a trial that failed or is missing on one side is left out and counted, never taken as
//! wrong. Runs of one task whose prompts differ by tokenizer or template are compared by their shares alone
//! ([`Comparison::unpaired`]).
//!
//! All cells of a trial share one haystack, so trials are the independent unit of every interval: accuracies
//! have that of [`share_interval`], differences of accuracy (B - A) that of [`paired_interval`], differences
//! of needle mass that of [`mean_interval`]. [`ComparisonRow::mcnemar_p`] belongs to the interval beside it
//! and never contradicts it. It is not corrected for the other rows; `mcnemar_p_holm` is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::independent::by_unit;
use super::{latest, of_trial};
use crate::error::{Error, Result};
use crate::grid::{Cell, Depth};
use crate::stats::{Interval, PairedTrial, holm, mean, mean_interval, paired_interval, share_interval};
use crate::trial::{Outcome, Status};

/// What a row is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// One length and depth.
    #[default]
    Cell,
    /// All depths of one length.
    Length,
    /// All lengths beyond the training length.
    Beyond,
    /// Every pair.
    All,
}

/// Whether the two were asked the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every pair of prompts is identical.
    #[default]
    Paired,
    /// Prompts differ, and only shares are compared ([`Comparison::unpaired`]).
    Unpaired,
}

/// One row of the table of a comparison; `a` and `b` are the two runs, differences are B - A.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ComparisonRow {
    /// What the row is about.
    pub level: Level,
    /// The letter of the run that is held against A.
    pub run: String,
    /// Whether the two were asked the same.
    pub pairing: Pairing,
    /// Prompt length asked for, in tokens.
    pub context_length: Option<usize>,
    /// Depth asked for, in per cent.
    pub depth_percent: Option<Depth>,
    /// Pairs: prompts that both have run. Where they do not pair, those of A.
    pub n: usize,
    /// The same, where they do not pair those of B.
    pub n_b: usize,
    /// Prompts that are left out because a run lacks them or failed at them.
    pub n_left_out: usize,
    /// Trials that the pairs, or the prompts of A, are of: the independent unit of every interval.
    pub n_trials: usize,
    /// The same of B.
    pub n_trials_b: usize,
    /// Prompts that A answered right.
    pub n_correct_a: usize,
    /// Their share.
    pub accuracy_a: Option<f64>,
    /// Lower end of its 95 % interval ([`share_interval`]).
    pub ci_low_a: Option<f64>,
    /// Upper end of its 95 % interval.
    pub ci_high_a: Option<f64>,
    /// What gave the interval, or why there is none ([`Interval::method_name`]).
    pub ci_method_a: &'static str,
    /// Prompts that B answered right.
    pub n_correct_b: usize,
    /// Their share.
    pub accuracy_b: Option<f64>,
    /// Lower end of its 95 % interval ([`share_interval`]).
    pub ci_low_b: Option<f64>,
    /// Upper end of its 95 % interval.
    pub ci_high_b: Option<f64>,
    /// What gave the interval, or why there is none ([`Interval::method_name`]).
    pub ci_method_b: &'static str,
    /// Difference of the shares.
    pub accuracy_difference: Option<f64>,
    /// Lower end of its 95 % interval ([`paired_interval`], [`crate::stats::unpaired_interval`]).
    pub accuracy_difference_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub accuracy_difference_high: Option<f64>,
    /// What gave the interval, or why there is none.
    pub accuracy_difference_method: &'static str,
    /// The interval itself.
    #[serde(skip)]
    pub accuracy_interval: Interval,
    /// Prompts that A alone answered right; missing where prompts do not pair.
    pub only_a: Option<usize>,
    /// Prompts that B alone answered right.
    pub only_b: Option<usize>,
    /// The two-sided p of McNemar's test that belongs to the interval ([`paired_interval`]), not corrected;
    /// missing without an interval.
    pub mcnemar_p: Option<f64>,
    /// The same, corrected by [`holm`] over the rows of the same level.
    pub mcnemar_p_holm: Option<f64>,
    /// Pairs in which both have a needle mass; where prompts do not pair, the smaller number of prompts with
    /// one.
    pub n_mass: usize,
    /// Mean of A's [`Outcome::needle_mass_top`] over these.
    pub needle_mass_a: Option<f64>,
    /// Mean of B's.
    pub needle_mass_b: Option<f64>,
    /// Mean of their differences.
    pub needle_mass_difference: Option<f64>,
    /// Lower end of its 95 % interval ([`mean_interval`]).
    pub needle_mass_difference_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub needle_mass_difference_high: Option<f64>,
    /// What gave the interval, or why there is none.
    pub needle_mass_difference_method: &'static str,
    /// The interval itself.
    #[serde(skip)]
    pub needle_mass_interval: Interval,
}

/// Why prompts were left out. One prompt may be counted on both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Prompts that are left out.
    pub prompts: usize,
    /// A failed at them.
    pub failed_in_a: usize,
    /// A left them out on purpose.
    pub skipped_in_a: usize,
    /// A has not run them.
    pub missing_from_a: usize,
    /// B failed at them.
    pub failed_in_b: usize,
    /// B left them out on purpose.
    pub skipped_in_b: usize,
    /// B has not run them.
    pub missing_from_b: usize,
}

/// Two runs compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Whether the two were asked the same.
    pub pairing: Pairing,
    /// Every planned cell, by length and then by depth.
    pub cells: Vec<ComparisonRow>,
    /// Every length, ascending.
    pub lengths: Vec<ComparisonRow>,
    /// The lengths beyond the training length, when it is known and there are any.
    pub beyond: Option<ComparisonRow>,
    /// Every pair.
    pub all: ComparisonRow,
    /// What is not among the pairs, and why.
    pub left_out: LeftOut,
    /// Length that both checkpoints were trained on.
    pub training_length: Option<usize>,
}

/// Cell and trial.
type Key = (Cell, usize);

impl Comparison {
    /// Compares the trials of `a` with those of `b`. `planned` are the cells of both; `training_length` is
    /// the one that both checkpoints share.
    ///
    /// # Errors
    /// [`Error::PromptsDiffer`] when a trial that both have run was not the same prompt in both;
    /// [`Error::Message`] when there is no trial that both have run.
    pub fn of(
        a: &[Outcome],
        b: &[Outcome],
        planned: &[Cell],
        training_length: Option<usize>,
    ) -> Result<Self> {
        let prompts = paired(a, b);
        check_prompts(&prompts)?;
        if prompts.iter().all(|prompt| prompt.pair().is_none()) {
            return Err(nothing_in_common());
        }
        // Grouped once: a run may have as many cells as prompts.
        let mut cells: BTreeMap<Cell, Vec<&Prompt<'_>>> =
            planned.iter().map(|&cell| (cell, Vec::new())).collect();
        let mut lengths: BTreeMap<usize, Vec<&Prompt<'_>>> =
            planned.iter().map(|cell| (cell.context_length.0, Vec::new())).collect();
        for prompt in &prompts {
            cells.entry(prompt.key.0).or_default().push(prompt);
            lengths.entry(prompt.key.0.context_length.0).or_default().push(prompt);
        }
        let row = |level, holds: &dyn Fn(&Key) -> bool| {
            row(level, &prompts.iter().filter(|prompt| holds(&prompt.key)).collect::<Vec<_>>())
        };
        let cell = |(cell, prompts): (&Cell, &Vec<&Prompt<'_>>)| ComparisonRow {
            context_length: Some(cell.context_length.0),
            depth_percent: Some(cell.depth),
            ..self::row(Level::Cell, prompts)
        };
        let of_length = |(&length, prompts): (&usize, &Vec<&Prompt<'_>>)| ComparisonRow {
            context_length: Some(length),
            ..self::row(Level::Length, prompts)
        };
        let beyond =
            training_length.map(|trained| row(Level::Beyond, &|key| key.0.context_length.0 > trained));
        Ok(Self {
            pairing: Pairing::Paired,
            cells: corrected(cells.iter().map(cell).collect()),
            lengths: corrected(lengths.iter().map(of_length).collect()),
            beyond: beyond.map(alone).filter(|row| row.n > 0),
            all: alone(row(Level::All, &|_| true)),
            left_out: left_out(&prompts),
            training_length,
        })
    }

    /// Every row: cells, lengths, what is beyond the training length, all.
    #[must_use]
    pub fn rows(&self) -> Vec<ComparisonRow> {
        let pooled = self.beyond.iter().chain([&self.all]);
        self.cells.iter().chain(&self.lengths).chain(pooled).cloned().collect()
    }
}

/// The error of two runs that have nothing to compare.
pub(super) fn nothing_in_common() -> Error {
    Error::Message(
        "A and B share no trial that ran in both: nothing to compare; run both on the same lengths, depths \
         and trials"
            .to_string(),
    )
}

/// A prompt as both runs have it.
struct Prompt<'a> {
    key: Key,
    a: Option<&'a Outcome>,
    b: Option<&'a Outcome>,
}

impl<'a> Prompt<'a> {
    /// Both rows, when both have run.
    fn pair(&self) -> Option<(&'a Outcome, &'a Outcome)> {
        let ran = |row: Option<&'a Outcome>| row.filter(|row| row.status == Status::Ok);
        ran(self.a).zip(ran(self.b))
    }
}

/// Every prompt that one of the runs knows, by length, depth and trial.
fn paired<'a>(a: &'a [Outcome], b: &'a [Outcome]) -> Vec<Prompt<'a>> {
    let by_key = |outcomes: &'a [Outcome]| -> BTreeMap<Key, &'a Outcome> {
        let key = |row: &Outcome| (row.cell(), row.trial);
        latest(outcomes).into_iter().map(|row| (key(row), row)).collect()
    };
    let (a, b) = (by_key(a), by_key(b));
    let keys: BTreeSet<Key> = a.keys().chain(b.keys()).copied().collect();
    keys.into_iter().map(|key| Prompt { key, a: a.get(&key).copied(), b: b.get(&key).copied() }).collect()
}

/// Refuses pairs that were not asked the same.
fn check_prompts(prompts: &[Prompt<'_>]) -> Result<()> {
    let pairs: Vec<_> = prompts.iter().filter_map(Prompt::pair).collect();
    let same = |(a, b): &(&Outcome, &Outcome)| {
        a.prompt_hash.is_some() && a.prompt_hash == b.prompt_hash && a.expected_answer == b.expected_answer
    };
    let differing: Vec<_> = pairs.iter().filter(|pair| !same(pair)).map(|(a, _)| a.row_id.as_str()).collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::prompts_differ(&differing, pairs.len()))
}

fn left_out(prompts: &[Prompt<'_>]) -> LeftOut {
    let is = |row: &Option<&Outcome>, status| row.is_some_and(|row| row.status == status);
    let count = |is: &dyn Fn(&Prompt<'_>) -> bool| prompts.iter().filter(|prompt| is(prompt)).count();
    LeftOut {
        prompts: count(&|prompt| prompt.pair().is_none()),
        failed_in_a: count(&|prompt| is(&prompt.a, Status::Error)),
        skipped_in_a: count(&|prompt| is(&prompt.a, Status::Skipped)),
        missing_from_a: count(&|prompt| prompt.a.is_none()),
        failed_in_b: count(&|prompt| is(&prompt.b, Status::Error)),
        skipped_in_b: count(&|prompt| is(&prompt.b, Status::Skipped)),
        missing_from_b: count(&|prompt| prompt.b.is_none()),
    }
}

/// The row of these prompts, apart from length, depth and the corrected p.
fn row(level: Level, prompts: &[&Prompt<'_>]) -> ComparisonRow {
    let pairs: Vec<_> = prompts.iter().filter_map(|prompt| prompt.pair()).collect();
    let answers: Vec<(&Outcome, bool, bool)> =
        pairs.iter().filter_map(|(a, b)| Some((*a, a.correct?, b.correct?))).collect();
    let masses: Vec<(&Outcome, f64, f64)> =
        pairs.iter().filter_map(|(a, b)| Some((*a, a.needle_mass_top?, b.needle_mass_top?))).collect();
    let n = answers.len();
    let count = |is: fn(bool, bool) -> bool| answers.iter().filter(|&&(_, a, b)| is(a, b)).count();
    let (n_correct_a, n_correct_b) = (count(|a, _| a), count(|_, b| b));
    let (only_a, only_b) = (count(|a, b| a && !b), count(|a, b| b && !a));
    let trials = by_unit(answers.iter().map(|&(row, a, b)| of_trial((row, (a, b)))));
    let side = |right: fn(&(bool, bool)) -> bool| {
        let counts = |answers: &Vec<_>| (answers.iter().filter(|pair| right(pair)).count(), answers.len());
        share_interval(&trials.iter().map(counts).collect::<Vec<_>>())
    };
    let (of_a, of_b) = (side(|pair| pair.0), side(|pair| pair.1));
    let share = |count: usize| (n > 0).then(|| count as f64 / n as f64);
    let paired = paired_interval(&trials.iter().map(|answers| paired_trial(answers)).collect::<Vec<_>>());
    let differences = by_unit(masses.iter().map(|&(row, a, b)| of_trial((row, b - a))));
    let mass = mean_interval(&differences, Some((-1.0, 1.0)).filter(|_| normalised(&pairs)));
    let column =
        |value: fn(&(&Outcome, f64, f64)) -> f64| mean(&masses.iter().map(value).collect::<Vec<_>>());
    ComparisonRow {
        level,
        run: String::new(),
        pairing: Pairing::Paired,
        context_length: None,
        depth_percent: None,
        n,
        n_b: n,
        n_left_out: prompts.len() - pairs.len(),
        n_trials: trials.len(),
        n_trials_b: trials.len(),
        n_correct_a,
        accuracy_a: share(n_correct_a),
        ci_low_a: of_a.ends().map(|ends| ends.0),
        ci_high_a: of_a.ends().map(|ends| ends.1),
        ci_method_a: of_a.method_name(),
        n_correct_b,
        accuracy_b: share(n_correct_b),
        ci_low_b: of_b.ends().map(|ends| ends.0),
        ci_high_b: of_b.ends().map(|ends| ends.1),
        ci_method_b: of_b.method_name(),
        accuracy_difference: (n > 0).then(|| (only_b as f64 - only_a as f64) / n as f64),
        accuracy_difference_low: paired.interval.ends().map(|ends| ends.0),
        accuracy_difference_high: paired.interval.ends().map(|ends| ends.1),
        accuracy_difference_method: paired.interval.method_name(),
        accuracy_interval: paired.interval,
        only_a: Some(only_a),
        only_b: Some(only_b),
        mcnemar_p: paired.p,
        mcnemar_p_holm: None,
        n_mass: masses.len(),
        needle_mass_a: column(|mass| mass.1),
        needle_mass_b: column(|mass| mass.2),
        needle_mass_difference: column(|mass| mass.2 - mass.1),
        needle_mass_difference_low: mass.ends().map(|ends| ends.0),
        needle_mass_difference_high: mass.ends().map(|ends| ends.1),
        needle_mass_difference_method: mass.method_name(),
        needle_mass_interval: mass,
    }
}

fn paired_trial(answers: &[(bool, bool)]) -> PairedTrial {
    let count = |is: fn(&(bool, bool)) -> bool| answers.iter().filter(|pair| is(pair)).count();
    PairedTrial { n: answers.len(), only_a: count(|&(a, b)| a && !b), only_b: count(|&(a, b)| b && !a) }
}

/// Whether the rows of both sum to 1, so that masses are shares.
fn normalised(pairs: &[(&Outcome, &Outcome)]) -> bool {
    pairs.iter().all(|(a, b)| a.total_mass_top.is_none() && b.total_mass_top.is_none())
}

/// The rows of one level with their p values corrected for each other.
fn corrected(mut rows: Vec<ComparisonRow>) -> Vec<ComparisonRow> {
    let p_values: Vec<f64> = rows.iter().filter_map(|row| row.mcnemar_p).collect();
    let tested = rows.iter_mut().filter(|row| row.mcnemar_p.is_some());
    for (row, p) in tested.zip(holm(&p_values)) {
        row.mcnemar_p_holm = Some(p);
    }
    rows
}

/// The one row of its level.
fn alone(row: ComparisonRow) -> ComparisonRow {
    ComparisonRow { mcnemar_p_holm: row.mcnemar_p, ..row }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::super::tests::{failed, outcome};
    use super::*;
    use crate::grid::{ContextLength, Depth};

    /// Two lengths, two depths, three trials; A is right at 1024 alone, B everywhere but once.
    fn runs() -> (Vec<Outcome>, Vec<Outcome>) {
        let mut runs = (Vec::new(), Vec::new());
        for (length, depth, trial) in [1024, 4096]
            .into_iter()
            .flat_map(|l| [0.0, 50.0].into_iter().flat_map(move |d| (0..3).map(move |t| (l, d, t))))
        {
            runs.0.push(outcome(length, depth, trial, length == 1024, Some(0.25)));
            runs.1.push(outcome(
                length,
                depth,
                trial,
                (length, depth, trial) != (1024, 0.0, 2),
                Some(0.25 * (trial + 1) as f64),
            ));
        }
        runs
    }

    fn compare(a: &[Outcome], b: &[Outcome]) -> Comparison {
        Comparison::of(a, b, &[], Some(2048)).unwrap()
    }

    #[test]
    fn pairs_are_counted_by_cell_by_length_beyond_and_in_all() {
        let (a, b) = runs();
        let comparison = compare(&a, &b);
        assert_eq!((comparison.cells.len(), comparison.lengths.len()), (4, 2));
        let cell = &comparison.cells[0];
        assert_eq!(
            (cell.context_length, cell.depth_percent, cell.n),
            (Some(1024), Some(Depth::default()), 3)
        );
        assert_eq!((cell.n_correct_a, cell.n_correct_b, cell.only_a, cell.only_b), (3, 2, Some(1), Some(0)));
        assert_eq!(cell.accuracy_difference, Some(-1.0 / 3.0));
        let all = &comparison.all;
        assert_eq!((all.n, all.n_trials, all.only_a, all.only_b), (12, 3, Some(1), Some(6)));
        assert_eq!(all.accuracy_difference, Some(5.0 / 12.0));
        let beyond = comparison.beyond.as_ref().unwrap();
        assert_eq!((beyond.n, beyond.accuracy_difference), (6, Some(1.0)));
        // All cells of three trials alike: worth three prompts, too few to tell.
        assert_eq!(
            (beyond.accuracy_difference_method, beyond.accuracy_interval.side()),
            ("paired-score", Some(Ordering::Equal))
        );
        assert_eq!(all.needle_mass_difference, Some(0.25));
        // Of three trials with the differences 0, 0.25 and 0.5, all alike in every cell: 0.25 ± 4.303 * 0.25
        // / √3.
        let half = 4.302_652_7 * 0.25 / 3f64.sqrt();
        let (low, high) = all.needle_mass_interval.ends().unwrap();
        assert!((low - 0.25 + half).abs() < 1e-6 && (high - 0.25 - half).abs() < 1e-6, "{low} {high}");
        assert_eq!(
            (all.needle_mass_difference_low, all.needle_mass_difference_method),
            (Some(low), "student-t")
        );
        assert_eq!(comparison.rows().len(), 4 + 2 + 1 + 1);
        assert_eq!(comparison.left_out, LeftOut::default());
    }

    #[test]
    fn p_values_are_corrected_within_their_level() {
        let (a, b) = runs();
        let comparison = compare(&a, &b);
        let p = |rows: &[ComparisonRow]| -> Vec<_> {
            rows.iter().map(|row| (row.mcnemar_p.unwrap(), row.mcnemar_p_holm.unwrap())).collect()
        };
        let [first, second] = p(&comparison.lengths)[..] else { panic!("two lengths") };
        assert_eq!(first, (1.0, 1.0));
        assert!(second.0 < 1.0 && second.1 == 2.0 * second.0, "{second:?}");
        let (alone, holm) = p(&[comparison.all])[0];
        assert_eq!(alone, holm);
    }

    #[test]
    fn regression_a_difference_without_spread_is_no_finding_and_has_no_interval_without_width() {
        let trial = |trial, right, mass| outcome(1024, 0.0, trial, right, Some(mass));
        let run = |right, mass| (0..2).map(|number| trial(number, right, mass)).collect::<Vec<_>>();
        let row = compare(&run(false, 0.25), &run(true, 0.75)).all;
        let (low, high) = row.accuracy_interval.ends().unwrap();
        assert!(low < 0.0 && high == 1.0, "two prompts say little: {low} {high}");
        assert!(row.mcnemar_p.unwrap() > 0.4);
        assert_eq!(
            (row.needle_mass_interval.ends(), row.needle_mass_difference_method),
            (None, "withheld: all trials alike")
        );
    }

    #[test]
    fn prompts_of_one_trial_have_no_interval_and_no_p() {
        let (a, b) = runs();
        let of_trial =
            |rows: &[Outcome]| rows.iter().filter(|row| row.trial == 0).cloned().collect::<Vec<_>>();
        let row = compare(&of_trial(&a), &of_trial(&b)).all;
        assert_eq!((row.n, row.n_trials, row.mcnemar_p, row.accuracy_interval.ends()), (4, 1, None, None));
        assert_eq!((row.ci_low_a, row.ci_method_a), (None, "withheld: one trial"));
        assert_eq!(row.accuracy_difference_method, "withheld: one trial");
    }

    #[test]
    fn what_was_skipped_is_not_what_was_never_run() {
        let (mut a, b) = runs();
        a[0].status = Status::Skipped;
        let found = compare(&a, &b).left_out;
        assert_eq!(found, LeftOut { prompts: 1, skipped_in_a: 1, ..LeftOut::default() });
    }

    #[test]
    fn what_failed_or_is_missing_on_one_side_is_left_out_and_not_wrong() {
        let (mut a, mut b) = runs();
        a[0] = failed(1024, 0.0, 0);
        b[0] = failed(1024, 0.0, 0);
        b.remove(1);
        b.push(outcome(8192, 0.0, 0, true, None));
        let comparison = compare(&a, &b);
        let (failed_in_a, missing_from_a, failed_in_b, missing_from_b) = (1, 1, 1, 1);
        let expected = LeftOut {
            prompts: 3,
            failed_in_a,
            missing_from_a,
            failed_in_b,
            missing_from_b,
            ..LeftOut::default()
        };
        assert_eq!(comparison.left_out, expected);
        let cell = &comparison.cells[0];
        assert_eq!((cell.n, cell.n_left_out, cell.n_correct_a, cell.n_correct_b), (1, 2, 1, 0));
        let empty = &comparison.cells[4];
        assert_eq!((empty.context_length, empty.n, empty.n_left_out), (Some(8192), 0, 1));
        assert_eq!((empty.accuracy_a, empty.accuracy_difference, empty.mcnemar_p), (None, None, None));
        assert_eq!((empty.mcnemar_p_holm, empty.needle_mass_difference), (None, None));
    }

    #[test]
    fn a_trial_that_failed_and_was_tried_again_is_a_pair() {
        let (mut a, b) = runs();
        a.insert(0, failed(1024, 0.0, 0));
        assert_eq!(compare(&a, &b).left_out, LeftOut::default());
    }

    #[test]
    fn cells_that_neither_has_run_stay_missing() {
        let (a, b) = runs();
        let planned = [Cell { context_length: ContextLength(512), depth: Depth::from_percent(0.0).unwrap() }];
        let comparison = Comparison::of(&a, &b, &planned, None).unwrap();
        assert_eq!((comparison.cells[0].context_length, comparison.cells[0].n), (Some(512), 0));
        assert_eq!(comparison.beyond, None);
        let trained = Comparison::of(&a, &b, &planned, Some(4096)).unwrap();
        assert_eq!(trained.beyond, None, "nothing is beyond");
    }

    #[test]
    fn regression_two_models_given_different_prompts_are_not_compared() {
        let (a, b) = runs();
        let mut other_prompt = b.clone();
        other_prompt[1].prompt_hash = Some("another".into());
        other_prompt[5].prompt_hash = None;
        let mut other_answer = b.clone();
        other_answer[3].expected_answer = "7654321".into();
        for (b, first, differing) in
            [(other_prompt, "1024:0:1, 1024:50:2", 2), (other_answer, "1024:50:0", 1)]
        {
            match Comparison::of(&a, &b, &[], None).unwrap_err() {
                Error::PromptsDiffer { differing: found, compared: 12, first: named, .. } => {
                    assert_eq!((found, named.as_str()), (differing, first));
                }
                error => panic!("{error}"),
            }
        }
    }

    #[test]
    fn runs_without_a_common_trial_are_not_compared() {
        let (a, b) = runs();
        let error = Comparison::of(&a[..6], &b[6..], &[], None).unwrap_err();
        assert!(error.to_string().contains("share no trial"), "{error}");
        assert!(Comparison::of(&[], &[], &[], None).is_err());
    }
}
