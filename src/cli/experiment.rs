//! The command that repeats a paper: `experiment`.

use std::path::PathBuf;

use clap::Args;

use super::help::first;
use super::values::named;
use crate::grid::ContextLength;
use crate::laboratory::{EXPERIMENTS, PARTS};

/// Flags of `niah experiment`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah experiment ssmax -o out/experiment --parts norms,rotary
  niah experiment multiscreen -o out/experiment
  niah experiment ssmax -o out/quick --small --steps 100 --seeds 42",
    mut_args(first(&["output", "from_fixtures", "small", "steps", "seeds"]))
)]
pub struct ExperimentArgs {
    /// The paper
    #[arg(value_name = "NAME", value_parser = named(EXPERIMENTS))]
    pub name: String,
    /// Directory of the report and the stages; the same command goes on
    ///
    /// NAME/report.html, NAME/report.md, NAME/figures, and the stages, which experiments share.
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: PathBuf,
    /// Run nothing: report what is complete, and say what it lacks
    ///
    /// Of multiscreen, sizes, rates and times must be complete.
    #[arg(long, help_heading = "Output")]
    pub report_only: bool,
    /// Measure the checkpoints in fixtures/checkpoints instead of training them
    ///
    /// Of multiscreen, sizes, rates and the model without windows are trained all the same.
    #[arg(long, conflicts_with_all = ["small", "context_length"], help_heading = "Training")]
    pub from_fixtures: bool,
    /// Steps of each training
    ///
    /// Of multiscreen, model sizes have a quarter of them and learning rates a fixed 100.
    #[arg(long, value_name = "N", default_value_t = 2000, help_heading = "Training")]
    pub steps: usize,
    /// Seeds of the main configurations
    ///
    /// Those are softmax, ssmax and softmax-scale of ssmax, and of multiscreen itself and its sizes. The
    /// parts norms, several and twice the steps of longer have all of them too; all others are trained with
    /// the first seed.
    #[arg(
        long,
        value_name = "SEEDS",
        value_delimiter = ',',
        default_value = "42,43,44",
        help_heading = "Training"
    )]
    pub seeds: Vec<u64>,
    /// Tokens of a training sequence
    #[arg(
        long,
        value_name = "LENGTH",
        default_value = "256",
        aliases = ["context-lengths", "length"],
        help_heading = "Training"
    )]
    pub context_length: ContextLength,
    /// Train a smaller model on smaller batches: to see the experiment run
    #[arg(long, help_heading = "Training")]
    pub small: bool,
    /// Trials per cell [default: 20; of multiscreen, 100 with the first seed]
    #[arg(long, short = 'n', value_name = "N", help_heading = "Measuring")]
    pub trials: Option<usize>,
    /// The longest context, in training lengths; lengths double up to it
    #[arg(long, value_name = "FACTOR", default_value_t = 32, help_heading = "Measuring")]
    pub longest: usize,
    /// The farthest context of needles, in training lengths
    ///
    /// Of ssmax and its main configurations; lengths double from --longest to it.
    #[arg(long, value_name = "FACTOR", default_value_t = 512, help_heading = "Measuring")]
    pub farthest: usize,
    /// Parts of ssmax besides its main configurations [default: all]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = named(PARTS), help_heading = "Training")]
    pub parts: Vec<String>,
    /// Take learning rates and curricula from an earlier experiment's searches.json
    ///
    /// Every experiment of ssmax writes one beside its report. What the file lacks is searched for.
    #[arg(long, value_name = "FILE", conflicts_with = "from_fixtures", help_heading = "Training")]
    pub searches: Option<PathBuf>,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}
