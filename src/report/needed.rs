//! The trials that intervals of a wanted width take, and what these trials take.

use std::fmt;

use serde::Serialize;

use super::{by_trial, latest, trial_counts};
use crate::error::{Error, Result};
use crate::grid::Cell;
use crate::plan::{DryRun, duration};
use crate::stats::{Assumed, share_worth};
use crate::trial::{Outcome, Status};

/// What is taken of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Basis {
    /// Half of them are right, and the prompts of a trial all come out alike: the worst case.
    Alike,
    /// Half of them are right, and every prompt comes out by itself.
    Independent,
    /// They are as those of a run.
    Measured,
}

/// Trials that suffice, and what they take.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Needed {
    /// What the interval is of: `cell`, any single one, or `total`, all answers.
    of: &'static str,
    assuming: Basis,
    /// Share of right answers that is taken.
    share: f64,
    trials: usize,
    prompts: usize,
    prompt_tokens: usize,
    computed_tokens: usize,
    new_tokens_at_most: usize,
    seconds: f64,
}

/// What a run that is there says of the answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Measured {
    /// Where it lies.
    directory: String,
    n: usize,
    n_correct: usize,
    /// Different trial numbers among its trials.
    n_trials: usize,
    /// Independent prompts that its prompts are worth.
    worth: f64,
}

/// How many trials intervals of a wanted width take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeededTrials {
    /// How far they reach to either side, as a share.
    half_width: f64,
    measured: Option<Measured>,
    needed: Vec<Needed>,
}

impl NeededTrials {
    /// Of the plan that `dry` is of, for 95 % intervals of accuracies that reach no further than `half_width`
    /// to either side. `run` are the directory and the rows of a run of the plan, as far as it went: those of
    /// other cells are passed over.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a width that takes more trials than any run has.
    pub fn of(dry: &DryRun, half_width: f64, run: Option<(&str, &[Outcome])>) -> Result<Self> {
        let needed = |of: &'static str, assuming, assumed: Assumed, prompts: usize| -> Result<Needed> {
            let trials = assumed.trials_for(prompts, half_width).ok_or_else(|| {
                Error::invalid("precision", half_width, "a width that some run can have, such as 0.05")
            })?;
            Ok(Needed::new(dry, of, assuming, assumed.share(), trials))
        };
        let (alike, alone) = (Assumed::ALIKE, Assumed::INDEPENDENT);
        let mut rows = vec![needed("cell", Basis::Alike, alike, 1)?];
        if dry.cells > 1 {
            rows.push(needed("total", Basis::Alike, alike, dry.cells)?);
            rows.push(needed("total", Basis::Independent, alone, dry.cells)?);
        }
        let ran = run.map(|(directory, outcomes)| (directory, ran(outcomes, dry)));
        let measured = ran.as_ref().and_then(|(directory, ran)| Measured::of(directory, ran));
        if let Some((_, ran)) = ran.as_ref().filter(|_| measured.is_some()) {
            if let Some(worst) = worst_cell(ran) {
                rows.push(needed("cell", Basis::Measured, worst, 1)?);
            }
            let all = Assumed::measured(&trial_counts(ran)).filter(|_| dry.cells > 1);
            rows.extend(all.map(|all| needed("total", Basis::Measured, all, dry.cells)).transpose()?);
        }
        Ok(Self { half_width, measured, needed: rows })
    }
}

/// The rows of trials that ran in cells of the plan.
fn ran<'a>(outcomes: &'a [Outcome], dry: &DryRun) -> Vec<&'a Outcome> {
    let planned = |cell: Cell| {
        dry.context_lengths.contains(&cell.context_length) && dry.depths_percent.contains(&cell.depth)
    };
    let rows = latest(outcomes).into_iter();
    rows.filter(|row| row.status == Status::Ok && row.correct.is_some() && planned(row.cell())).collect()
}

/// The cell that takes most trials: the one whose share is nearest to a half.
fn worst_cell(ran: &[&Outcome]) -> Option<Assumed> {
    let mut cells: Vec<Cell> = ran.iter().map(|row| row.cell()).collect();
    cells.sort_unstable();
    cells.dedup();
    let of_cell = |cell: Cell| {
        let rows: Vec<&Outcome> = ran.iter().copied().filter(|row| row.cell() == cell).collect();
        Assumed::measured(&trial_counts(&rows))
    };
    let distance = |assumed: &Assumed| (assumed.share() - 0.5).abs();
    cells.into_iter().filter_map(of_cell).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

impl Measured {
    /// `None` where fewer than two trials ran.
    fn of(directory: &str, ran: &[&Outcome]) -> Option<Self> {
        let trials = trial_counts(ran);
        Some(Self {
            directory: directory.to_string(),
            n: ran.len(),
            n_correct: trials.iter().map(|(right, _)| right).sum(),
            n_trials: by_trial(ran, Some).len(),
            worth: share_worth(&trials).filter(|_| trials.len() > 1)?,
        })
    }
}

impl Needed {
    /// The plan takes as much for each of its trials.
    fn new(dry: &DryRun, of: &'static str, assuming: Basis, share: f64, trials: usize) -> Self {
        let scaled = |all: usize| (all / dry.trials.max(1)).saturating_mul(trials);
        Self {
            of,
            assuming,
            share,
            trials,
            prompts: dry.cells.saturating_mul(trials),
            prompt_tokens: scaled(dry.prompt_tokens),
            computed_tokens: scaled(dry.computed_tokens),
            new_tokens_at_most: scaled(dry.new_tokens_at_most),
            seconds: dry.seconds / dry.trials.max(1) as f64 * trials as f64,
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match (self.of, self.assuming) {
            ("cell", Basis::Measured) => format!("a cell, nearest to half {}% right", percent(self.share)),
            (_, Basis::Measured) => "the total".to_string(),
            ("cell", _) => "a cell".to_string(),
            (_, Basis::Alike) => "the total, prompts of a trial all alike".to_string(),
            (_, Basis::Independent) => "the total, each prompt by itself".to_string(),
        };
        write!(
            f,
            "{of}: {} trials ({} prompts, {} tokens to compute, at most {} to write, about {})",
            self.trials,
            self.prompts,
            self.computed_tokens,
            self.new_tokens_at_most,
            duration(self.seconds)
        )
    }
}

impl fmt::Display for NeededTrials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |measured: bool| {
            self.needed.iter().filter(move |needed| (needed.assuming == Basis::Measured) == measured)
        };
        let half = percent(self.half_width);
        writeln!(
            f,
            "precision  {half} points to either side (95 % interval), were half of the answers right:"
        )?;
        for needed in of(false) {
            writeln!(f, "           {needed}")?;
        }
        if let Some(Measured { directory, n, n_correct, n_trials, worth }) = &self.measured {
            writeln!(
                f,
                "measured   {n_correct} of {n} right over {n_trials} trials, worth {worth:.0} independent prompts \
                 ({directory}); as these:"
            )?;
            for needed in of(true) {
                writeln!(f, "           {needed}")?;
            }
        }
        Ok(())
    }
}

/// Per cent with as many digits as it takes, up to two.
fn percent(share: f64) -> String {
    format!("{}", (10_000.0 * share).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;
    use crate::grid::{ContextLength, Depth};
    use crate::plan::MemoryPlan;

    fn dry(depths: &[f64], trials: usize) -> DryRun {
        let depth = |&percent: &f64| Depth::from_percent(percent).unwrap();
        let prompts = depths.len() * trials;
        DryRun {
            model: String::new(),
            family: String::new(),
            variant: String::new(),
            variant_description: String::new(),
            task: String::new(),
            form: String::new(),
            haystack: String::new(),
            haystack_loops: 0,
            context_lengths: vec![ContextLength(1024)],
            depths_percent: depths.iter().map(depth).collect(),
            cells: depths.len(),
            trials,
            prompts,
            shard: None,
            prompts_now: prompts,
            prompt_tokens: 1000 * prompts,
            computed_tokens: 400 * prompts,
            shares_prefixes: true,
            new_tokens_at_most: 16 * prompts,
            memory: MemoryPlan {
                weights: 0,
                copies: 0,
                cache: 0,
                states: 0,
                working: 0,
                output: 0,
                loading: 0,
            },
            seconds: 0.5 * prompts as f64,
        }
    }

    fn trials(found: &NeededTrials) -> Vec<(&'static str, Basis, usize)> {
        found.needed.iter().map(|needed| (needed.of, needed.assuming, needed.trials)).collect()
    }

    #[test]
    fn a_cell_takes_its_own_trials_and_the_total_as_many_only_where_prompts_are_alike() {
        let found = NeededTrials::of(&dry(&[0.0, 50.0, 100.0], 4), 0.05, None).unwrap();
        let [cell, alike, alone] = trials(&found)[..] else { panic!("{found}") };
        assert_eq!((cell, alike), (("cell", Basis::Alike, 381), ("total", Basis::Alike, 381)));
        assert!((127..160).contains(&alone.2), "{alone:?}");
        let cell = &found.needed[0];
        assert_eq!((cell.prompts, cell.computed_tokens), (1143, 457_200));
        assert_eq!((cell.new_tokens_at_most, cell.seconds), (18_288, 571.5));
        assert!(found.to_string().contains("a cell: 381 trials (1143 prompts, 457200 tokens"), "{found}");
        let one = NeededTrials::of(&dry(&[50.0], 1), 0.05, None).unwrap();
        assert_eq!(trials(&one), [("cell", Basis::Alike, 381)], "one cell is all there is");
    }

    #[test]
    fn a_run_that_is_there_says_how_many_trials_as_it_is() {
        let cell = |depth: f64, right: usize| {
            (0..10).map(move |trial| outcome(1024, depth, trial, trial < right, None))
        };
        let rows: Vec<Outcome> = cell(0.0, 10).chain(cell(50.0, 8)).chain(cell(75.0, 0)).collect();
        let plan = dry(&[0.0, 50.0], 10);
        let found = NeededTrials::of(&plan, 0.05, Some(("out", &rows))).unwrap();
        let measured = found.measured.as_ref().unwrap();
        assert_eq!((measured.n, measured.n_correct, measured.n_trials), (20, 18, 10), "cells of the plan");
        let [.., cell, total] = trials(&found)[..] else { panic!("{found}") };
        assert_eq!((cell.0, total.0, cell.1), ("cell", "total", Basis::Measured));
        assert!(total.2 < cell.2 && cell.2 < 381, "{found}");
        assert!(found.to_string().contains("18 of 20 right over 10 trials"), "{found}");
        let few = NeededTrials::of(&plan, 0.05, Some(("out", &rows[..1]))).unwrap();
        assert_eq!((few.measured, few.needed.len()), (None, 3), "one trial says nothing");
    }

    #[test]
    fn a_width_that_no_run_reaches_is_refused() {
        assert!(NeededTrials::of(&dry(&[50.0], 1), 1e-9, None).is_err());
    }
}
