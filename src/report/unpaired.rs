//! Two runs that were asked in other words: the same task under another tokenizer or another template. Their
//! prompts do not pair, so that only their shares are held against each other.

use std::collections::{BTreeMap, BTreeSet};

use super::comparison::{Comparison, ComparisonRow, LeftOut, Level, Pairing, nothing_in_common};
use super::{Tally, latest, trial_counts};
use crate::error::Result;
use crate::grid::Cell;
use crate::stats::{Interval, Withheld, mean, unpaired_interval};
use crate::trial::{Outcome, Status};

/// The trials of one cell that ran in A and in B.
type Ran<'a> = (Vec<&'a Outcome>, Vec<&'a Outcome>);

impl Comparison {
    /// Compares the trials of `a` with those of `b`, whose prompts differ. `planned` are the cells of both;
    /// `training_length` is the one that both checkpoints share. Rows of several cells are of those that both
    /// have run.
    ///
    /// # Errors
    /// [`crate::Error::Message`] when there is no cell that both have run.
    pub fn unpaired(
        a: &[Outcome],
        b: &[Outcome],
        planned: &[Cell],
        training_length: Option<usize>,
    ) -> Result<Self> {
        let mut cells: BTreeMap<Cell, Ran<'_>> = planned.iter().map(|&cell| (cell, Ran::default())).collect();
        let ran = |rows| latest(rows).into_iter().filter(|row: &&Outcome| row.status == Status::Ok);
        ran(a).for_each(|row| cells.entry(row.cell()).or_default().0.push(row));
        ran(b).for_each(|row| cells.entry(row.cell()).or_default().1.push(row));
        if cells.values().all(|(a, b)| a.is_empty() || b.is_empty()) {
            return Err(nothing_in_common());
        }
        let row = |level, holds: &dyn Fn(&Cell) -> bool| {
            let of = cells.iter().filter(|(cell, (a, b))| holds(cell) && !a.is_empty() && !b.is_empty());
            let (of_a, of_b): (Vec<_>, Vec<_>) = of.map(|(_, (a, b))| (a.clone(), b.clone())).unzip();
            self::row(level, &of_a.concat(), &of_b.concat())
        };
        let of_cell = |(cell, (a, b)): (&Cell, &Ran<'_>)| ComparisonRow {
            context_length: Some(cell.context_length.0),
            depth_percent: Some(cell.depth),
            ..self::row(Level::Cell, a, b)
        };
        let lengths: BTreeSet<usize> = cells.keys().map(|cell| cell.context_length.0).collect();
        let of_length = |&length: &usize| ComparisonRow {
            context_length: Some(length),
            ..row(Level::Length, &|cell| cell.context_length.0 == length)
        };
        let beyond =
            training_length.map(|trained| row(Level::Beyond, &|cell| cell.context_length.0 > trained));
        Ok(Self {
            pairing: Pairing::Unpaired,
            cells: cells.iter().map(of_cell).collect(),
            lengths: lengths.iter().map(of_length).collect(),
            beyond: beyond.filter(|row| row.n > 0),
            all: row(Level::All, &|_| true),
            left_out: left_out(a, b, &cells),
            training_length,
        })
    }
}

/// The row of these trials, apart from length and depth.
fn row(level: Level, a: &[&Outcome], b: &[&Outcome]) -> ComparisonRow {
    let (of_a, of_b) = (Tally::of(a), Tally::of(b));
    let (trials_a, trials_b) = (trial_counts(a), trial_counts(b));
    let interval = unpaired_interval(&trials_a, &trials_b);
    let masses = |rows: &[&Outcome]| rows.iter().filter_map(|row| row.needle_mass_top).collect::<Vec<_>>();
    let (mass_a, mass_b) = (masses(a), masses(b));
    let (needle_mass_a, needle_mass_b) = (mean(&mass_a), mean(&mass_b));
    let difference = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| b - a);
    ComparisonRow {
        level,
        pairing: Pairing::Unpaired,
        n: of_a.n,
        n_b: of_b.n,
        n_trials: trials_a.len(),
        n_trials_b: trials_b.len(),
        n_correct_a: of_a.n_correct,
        accuracy_a: of_a.accuracy,
        ci_low_a: of_a.interval.ends().map(|ends| ends.0),
        ci_high_a: of_a.interval.ends().map(|ends| ends.1),
        ci_method_a: of_a.interval.method_name(),
        n_correct_b: of_b.n_correct,
        accuracy_b: of_b.accuracy,
        ci_low_b: of_b.interval.ends().map(|ends| ends.0),
        ci_high_b: of_b.interval.ends().map(|ends| ends.1),
        ci_method_b: of_b.interval.method_name(),
        accuracy_difference: difference(of_a.accuracy, of_b.accuracy),
        accuracy_difference_low: interval.ends().map(|ends| ends.0),
        accuracy_difference_high: interval.ends().map(|ends| ends.1),
        accuracy_difference_method: interval.method_name(),
        accuracy_interval: interval,
        n_mass: mass_a.len().min(mass_b.len()),
        needle_mass_a,
        needle_mass_b,
        needle_mass_difference: difference(needle_mass_a, needle_mass_b),
        needle_mass_interval: Interval::Withheld(Withheld::Unpaired),
        needle_mass_difference_method: Withheld::Unpaired.name(),
        ..ComparisonRow::default()
    }
}

/// What is not in the rows: trials that did not run, and those of cells that one side has not run.
fn left_out(a: &[Outcome], b: &[Outcome], cells: &BTreeMap<Cell, Ran<'_>>) -> LeftOut {
    let is = |rows: &[Outcome], status| latest(rows).iter().filter(|row| row.status == status).count();
    let alone = |one: fn(&Ran<'_>) -> usize, other: fn(&Ran<'_>) -> usize| {
        cells.values().filter(|ran| other(ran) == 0).map(one).sum::<usize>()
    };
    let of_a = |ran: &Ran<'_>| ran.0.len();
    let of_b = |ran: &Ran<'_>| ran.1.len();
    let found = LeftOut {
        prompts: 0,
        failed_in_a: is(a, Status::Error),
        skipped_in_a: is(a, Status::Skipped),
        missing_from_a: alone(of_b, of_a),
        failed_in_b: is(b, Status::Error),
        skipped_in_b: is(b, Status::Skipped),
        missing_from_b: alone(of_a, of_b),
    };
    let LeftOut {
        failed_in_a, skipped_in_a, missing_from_a, failed_in_b, skipped_in_b, missing_from_b, ..
    } = found;
    let prompts = failed_in_a + skipped_in_a + missing_from_a + failed_in_b + skipped_in_b + missing_from_b;
    LeftOut { prompts, ..found }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{failed, outcome};
    use super::*;
    use crate::error::Error;

    /// Ten trials at each length, of which so many are right.
    fn run(lengths: &[(usize, usize)]) -> Vec<Outcome> {
        let trials = |&(length, right): &(usize, usize)| {
            (0..10).map(move |trial| outcome(length, 0.0, trial, trial < right, Some(0.25)))
        };
        lengths.iter().flat_map(trials).collect()
    }

    #[test]
    fn shares_on_other_prompts_differ_by_newcombes_interval_and_have_no_test_of_pairs() {
        let (a, b) = (run(&[(1024, 3), (4096, 3)]), run(&[(1024, 9), (4096, 3)]));
        let comparison = Comparison::unpaired(&a, &b, &[], Some(2048)).unwrap();
        let row = &comparison.lengths[0];
        assert_eq!((row.pairing, row.n, row.n_b, row.n_trials_b), (Pairing::Unpaired, 10, 10, 10));
        let (low, high) = row.accuracy_interval.ends().unwrap();
        assert!((low - 0.1705).abs() < 5e-5 && (high - 0.8090).abs() < 5e-5, "{low} {high}");
        assert_eq!(row.accuracy_difference_method, "newcombe");
        assert_eq!((row.only_a, row.only_b, row.mcnemar_p, row.mcnemar_p_holm), (None, None, None, None));
        assert_eq!((row.needle_mass_difference, row.needle_mass_difference_low), (Some(0.0), None));
        assert_eq!(row.needle_mass_difference_method, "withheld: unpaired");
        assert_eq!(
            comparison.beyond.as_ref().map(|row| (row.n, row.accuracy_difference)),
            Some((10, Some(0.0)))
        );
        assert_eq!((comparison.all.n, comparison.all.n_b, comparison.left_out), (20, 20, LeftOut::default()));
    }

    #[test]
    fn cells_that_one_side_has_not_run_are_in_no_sum() {
        let (mut a, b) = (run(&[(1024, 3), (2048, 10)]), run(&[(1024, 9), (4096, 0)]));
        a.push(failed(1024, 0.0, 10));
        let comparison = Comparison::unpaired(&a, &b, &[], None).unwrap();
        assert_eq!((comparison.all.n, comparison.all.n_correct_a, comparison.all.n_correct_b), (10, 3, 9));
        assert_eq!(comparison.lengths.iter().map(|row| row.n).collect::<Vec<_>>(), [10, 0, 0]);
        let left_out = comparison.left_out;
        assert_eq!((left_out.failed_in_a, left_out.missing_from_a, left_out.missing_from_b), (1, 10, 10));
        assert_eq!(left_out.prompts, 21);
        let nothing = Comparison::unpaired(&run(&[(1024, 3)]), &run(&[(2048, 3)]), &[], None).unwrap_err();
        assert!(matches!(nothing, Error::Message(_)), "{nothing}");
    }
}
