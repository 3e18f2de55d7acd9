//! The command that passes or fails: `gate`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::FormArgs;
use super::help::first;
use super::values::fraction;
use super::verdict::RuleArgs;
use crate::error::Error;
use crate::grid::ContextLength;
use crate::report::gate::Criterion;

/// Flags of `niah gate`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah gate out/model --min-accuracy 0.9 --min-effective-length 8k
  niah gate out/model --min-accuracy-at 4k=95% --conservative
  niah gate out/new --baseline out/old --max-drop 5% --junit gate.xml",
    after_long_help = "\
Exit codes: 0 all criteria are met, 1 one is not, 2 it cannot be said: no run, other prompts than those of \
the baseline, or too few trials to decide a criterion whatever they had come to; the message says how many \
would.",
    mut_args(first(&["min_accuracy", "min_accuracy_at", "min_effective_length", "baseline", "max_drop"]))
)]
pub struct GateArgs {
    /// Directory of a run
    pub directory: PathBuf,
    /// The least share of right answers, such as 0.9 or 90%
    #[arg(long, value_name = "SHARE", value_parser = fraction)]
    min_accuracy: Option<f64>,
    /// The least share at one length; may be given several times
    #[arg(long, value_name = "LENGTH=SHARE", value_parser = at_length, action = ArgAction::Append)]
    min_accuracy_at: Vec<(ContextLength, f64)>,
    /// The least effective length, by --rule
    #[arg(long, value_name = "LENGTH")]
    min_effective_length: Option<ContextLength>,
    /// The least mean of the top needle mass
    #[arg(long, value_name = "MASS", help_heading = "Criteria")]
    min_needle_mass: Option<f64>,
    /// Directory of a run on the same prompts, for --max-drop
    #[arg(long, value_name = "DIR", requires = "max_drop")]
    pub baseline: Option<PathBuf>,
    /// The most that accuracy may be below that of --baseline
    #[arg(long, value_name = "SHARE", value_parser = fraction, requires = "baseline")]
    max_drop: Option<f64>,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
    /// The form of what goes to stdout.
    #[command(flatten)]
    pub form: FormArgs,
    /// Also write the criteria to this file as test cases of JUnit
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub junit: Option<PathBuf>,
    /// Also append the report to this file as Markdown, such as a job's summary
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub markdown: Option<PathBuf>,
}

impl GateArgs {
    /// What is asked of the run, in the order of the flags' help.
    #[must_use]
    pub fn criteria(&self) -> Vec<Criterion> {
        let accuracy = self.min_accuracy.map(Criterion::Accuracy);
        let lengths =
            self.min_accuracy_at.iter().map(|&(length, share)| Criterion::AccuracyAt(length, share));
        let others = [
            self.min_effective_length.map(Criterion::EffectiveLength),
            self.min_needle_mass.map(Criterion::NeedleMass),
            self.max_drop.map(Criterion::Drop),
        ];
        accuracy.into_iter().chain(lengths).chain(others.into_iter().flatten()).collect()
    }
}

/// `4k=0.9` as a length and a share.
fn at_length(text: &str) -> Result<(ContextLength, f64), Error> {
    let (length, share) = text.split_once('=').ok_or_else(|| {
        Error::invalid("accuracy at a length", format!("{text:?}"), "a length and a share, such as 4k=0.9")
    })?;
    Ok((length.parse()?, fraction(share)?))
}
