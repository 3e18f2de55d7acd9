//! Whether a run meets what is asked of it: each criterion with its value, interval and need.
//!
//! A criterion that the trials there are cannot decide, whatever they had come to, is refused and not guessed
//! ([`crate::stats::share_decides`]): [`Gate::of`] says how many trials would.

use super::comparison::ComparisonRow;
use super::verdict::{exact, length_scores};
use super::{Tally, by_trial, latest};
use crate::error::{Error, Result};
use crate::grid::{ContextLength, Depth};
use crate::printable::listed;
use crate::stats::{
    Decides, EffectiveLength, Interval, LARGE, LengthRule, Rule, drop_decides, share_decides,
    trials_for_drop, trials_for_share,
};
use crate::trial::{Outcome, Status};

/// What is asked of a run. Shares are 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Criterion {
    /// The share of right answers is at least this.
    Accuracy(f64),
    /// That of one length is at least this.
    AccuracyAt(ContextLength, f64),
    /// The effective length is at least this.
    EffectiveLength(ContextLength),
    /// The mean of [`Outcome::needle_mass_top`] is at least this.
    NeedleMass(f64),
    /// The share of right answers is below that of the baseline, on the same prompts, by at most this.
    Drop(f64),
}

/// How the values of a criterion are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Shares of answers.
    Share,
    /// Masses.
    Mass,
    /// Tokens.
    Length,
    /// Trials.
    Count,
}

/// What became of a criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What was asked for, in words.
    pub name: String,
    /// How its numbers are meant.
    pub kind: Kind,
    /// What was measured; missing where there is no such length.
    pub value: Option<f64>,
    /// Its 95 % interval. That of an effective length is from where the lower ends of all scores lead to
    /// where the upper ones do.
    pub interval: Option<(f64, f64)>,
    /// What gave the interval, or why there is none.
    pub method: &'static str,
    /// What the value is held against.
    pub need: f64,
    /// Whether `need` is the most that the value may be, and not the least.
    pub at_most: bool,
    /// Prompts behind the value.
    pub n: usize,
    /// Trials that these are of.
    pub n_trials: usize,
    /// Whether it is met.
    pub passed: bool,
}

impl Checked {
    /// Whether the interval holds values that pass and values that do not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.interval.is_some_and(|(low, high)| low < self.need && self.need < high)
    }
}

/// What became of every criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// That all trials ran, and then what was asked for.
    pub criteria: Vec<Checked>,
    /// Whether ends of intervals decided, and not the values themselves.
    pub conservative: bool,
}

/// A run to be judged.
pub struct Judged<'a> {
    /// Its rows.
    pub outcomes: &'a [Outcome],
    /// Trials of its plan.
    pub planned: usize,
    /// All pairs with the baseline, which is A.
    pub baseline: Option<&'a ComparisonRow>,
    /// The rule of its effective length, which also says whether ends of intervals decide.
    pub rule: LengthRule,
}

impl Gate {
    /// Judges a run.
    ///
    /// # Errors
    /// [`Error::Message`] naming every criterion that the trials there are cannot decide, and how many could.
    pub fn of(run: &Judged<'_>, criteria: &[Criterion]) -> Result<Self> {
        let judged: Vec<Result<Checked, String>> =
            criteria.iter().map(|criterion| run.check(criterion)).collect();
        let undecided: Vec<String> = judged.iter().filter_map(|judged| judged.clone().err()).collect();
        if !undecided.is_empty() {
            return Err(Error::Message(format!("cannot be decided: {}", undecided.join("; "))));
        }
        let criteria = std::iter::once(run.complete()).chain(judged.into_iter().flatten()).collect();
        Ok(Self { criteria, conservative: run.conservative() })
    }

    /// Whether all is met.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.criteria.iter().all(|checked| checked.passed)
    }
}

impl Judged<'_> {
    fn conservative(&self) -> bool {
        self.rule.decides == Decides::LowerEnd
    }

    /// That no trial failed or is missing: what is left out is no evidence.
    fn complete(&self) -> Checked {
        let ran = latest(self.outcomes).into_iter().filter(|row| row.status != Status::Error).count();
        Checked {
            name: "trials that ran".to_string(),
            kind: Kind::Count,
            value: Some(ran as f64),
            interval: None,
            method: "",
            need: self.planned as f64,
            at_most: false,
            n: ran,
            n_trials: trials(&self.ran(|_| true)).len(),
            passed: ran >= self.planned,
        }
    }

    /// The trials that ran and are of what `wanted` says.
    fn ran(&self, wanted: impl Fn(&Outcome) -> bool) -> Vec<&Outcome> {
        let ran = latest(self.outcomes).into_iter().filter(|row| row.status == Status::Ok);
        ran.filter(|row| wanted(row)).collect()
    }

    /// The criterion, or why it cannot be decided.
    fn check(&self, criterion: &Criterion) -> Result<Checked, String> {
        match *criterion {
            Criterion::Accuracy(least) => self.accuracy("accuracy".to_string(), least, &self.ran(|_| true)),
            Criterion::AccuracyAt(length, least) => {
                let rows = self.ran(|row| row.context_length == length.0);
                if rows.is_empty() {
                    let tested = listed(length_scores(self.outcomes).iter().map(|s| ContextLength(s.length)));
                    return Err(format!(
                        "accuracy at {length}, as no trial of that length ran (there are {tested})"
                    ));
                }
                self.accuracy(format!("accuracy at {length}"), least, &rows)
            }
            Criterion::EffectiveLength(least) => self.effective_length(least),
            Criterion::NeedleMass(least) => self.needle_mass(least),
            Criterion::Drop(most) => self.drop(most),
        }
    }

    fn accuracy(&self, name: String, least: f64, rows: &[&Outcome]) -> Result<Checked, String> {
        let sizes = trials(rows);
        decides(&format!("{name} of at least {}", exact(least)), &sizes, least)?;
        let tally = Tally::of(rows);
        Ok(self.checked(name, Kind::Share, tally.accuracy, tally.interval, (least, false), &sizes))
    }

    fn needle_mass(&self, least: f64) -> Result<Checked, String> {
        let rows = self.ran(|row| row.needle_mass_top.is_some());
        let sizes = trials(&rows);
        if sizes.len() < LARGE {
            return Err(format!(
                "a needle mass takes {LARGE} trials, and the run has {} with attention: the interval of a mean of \
                 fewer holds only of masses that are normally distributed",
                sizes.len()
            ));
        }
        let Tally { needle_mass_top_mean: mean, needle_mass_interval: interval, .. } = Tally::of(&rows);
        Ok(self.checked("needle mass".to_string(), Kind::Mass, mean, interval, (least, false), &sizes))
    }

    fn drop(&self, most: f64) -> Result<Checked, String> {
        let Some(row) = self.baseline else { return Err("a drop, as there is no baseline".to_string()) };
        if !drop_decides(row.n_trials, most) {
            let takes = trials_for_drop(most).map_or_else(
                || format!("a drop of at most {}, which no number of trials decides", points(most)),
                |takes| {
                    format!(
                        "a drop of at most {} takes {takes} trials that both have run, and there are {}: if all \
                         answers were the same, the interval would still hold a larger drop",
                        points(most),
                        row.n_trials
                    )
                },
            );
            return Err(takes);
        }
        let value = row.accuracy_difference.map(|difference| -difference + 0.0);
        let interval = match row.accuracy_interval {
            Interval::Given { low, high, method } => Interval::Given { low: -high, high: -low, method },
            withheld => withheld,
        };
        let checked = self.checked(
            "drop against the baseline".to_string(),
            Kind::Share,
            value,
            interval,
            (most, true),
            &[],
        );
        Ok(Checked { n: row.n, n_trials: row.n_trials, ..checked })
    }

    fn effective_length(&self, least: ContextLength) -> Result<Checked, String> {
        let name = format!("effective length ({})", self.rule.rule.name());
        let lengths = length_scores(self.outcomes);
        let longest = lengths.last().map_or(0, |scores| scores.length);
        if longest < least.0 {
            return Err(format!(
                "an effective length of at least {least}, as {} was tested",
                match longest {
                    0 => "no length".to_string(),
                    longest => format!("no longer one than {}", ContextLength(longest)),
                }
            ));
        }
        // Lengths beyond the first that reaches so far change nothing.
        let upto = lengths.iter().position(|scores| scores.length >= least.0).unwrap_or(0);
        for scores in &lengths[..=upto] {
            let at = |depth: Option<Depth>| {
                let rows = self.ran(|row| {
                    row.context_length == scores.length
                        && depth.is_none_or(|depth| row.depth_percent == depth)
                });
                let place = depth.map_or(String::new(), |depth| format!(" and depth {depth}%"));
                let what = format!(
                    "{name}: {} at {}{place}",
                    exact(self.rule.threshold()),
                    ContextLength(scores.length)
                );
                decides(&what, &trials(&rows), self.rule.threshold())
            };
            match self.rule.rule {
                Rule::EveryDepth => scores.depths.iter().try_for_each(|(depth, _)| at(Some(*depth)))?,
                Rule::Ruler | Rule::Nolima => at(None)?,
            }
        }
        let tokens = |decides| {
            EffectiveLength::of(&lengths, LengthRule { decides, ..self.rule }).tokens().unwrap_or(0) as f64
        };
        let (low, value, high) =
            (tokens(Decides::LowerEnd), tokens(Decides::Score), tokens(Decides::UpperEnd));
        let sizes = trials(&self.ran(|_| true));
        let need = least.0 as f64;
        Ok(Checked {
            name,
            kind: Kind::Length,
            value: Some(value),
            interval: Some((low, high)),
            method: "ends of the scores' intervals",
            need,
            at_most: false,
            n: sizes.iter().sum(),
            n_trials: sizes.len(),
            passed: if self.conservative() { low >= need } else { value >= need },
        })
    }

    /// A value that may be at least, or at most, `need`.
    fn checked(
        &self,
        name: String,
        kind: Kind,
        value: Option<f64>,
        interval: Interval,
        (need, at_most): (f64, bool),
        sizes: &[usize],
    ) -> Checked {
        let end = |(low, high): (f64, f64)| if at_most { high } else { low };
        let decisive = if self.conservative() { interval.ends().map(end) } else { value };
        let keeps = |value: f64| if at_most { value <= need + ROUNDING } else { value >= need - ROUNDING };
        Checked {
            name,
            kind,
            value,
            interval: interval.ends(),
            method: interval.method_name(),
            need,
            at_most,
            n: sizes.iter().sum(),
            n_trials: sizes.len(),
            passed: decisive.is_some_and(keeps),
        }
    }
}

/// Values that differ by less are the same.
const ROUNDING: f64 = 1e-12;

/// The numbers of prompts of the trials that these rows are of.
fn trials(rows: &[&Outcome]) -> Vec<usize> {
    by_trial(rows, Some).iter().map(Vec::len).collect()
}

/// Refuses a share that trials of these sizes cannot decide.
fn decides(what: &str, sizes: &[usize], least: f64) -> Result<(), String> {
    if share_decides(sizes, least) {
        return Ok(());
    }
    let Some(takes) = trials_for_share(least) else {
        let why = if least > 0.0 { "no number of trials shows" } else { "every result keeps to" };
        return Err(format!("{what}, which {why}"));
    };
    let n = sizes.len();
    Err(format!(
        "{what} takes {takes} trials, and there {} {n}: {} would still be within the interval of {}",
        if n == 1 { "is" } else { "are" },
        exact(least),
        if least >= 0.5 { "right answers alone" } else { "wrong answers alone" },
    ))
}

fn points(share: f64) -> String {
    format!("{} points", (1000.0 * share).round() / 10.0)
}
