//! The command that makes a run of a neighbouring tool's results: `import`.

use std::path::PathBuf;

use clap::Args;

use super::FormArgs;
use super::help::first;
use super::values::{choice, fraction};
use super::verdict::RuleArgs;
use crate::store::exchange::{SCALES, Scale};

/// Flags of `niah import`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah import results/org__model -o out/lm-eval
  niah import log.json -o out/inspect --correct-from 0.6
  niah import pred/niah_single_1.jsonl --model NAME -o out/ruler",
    after_long_help = "\
Read are results_*.json and samples_*.jsonl of lm-eval, logs of inspect as JSON, predictions of RULER, and \
results of needlehaystack 1 and 2, told apart by what they hold. Scores stay those of the tool, put on 0 to \
1, and the report says so; there is no attention. Such a run is drawn, scored again and, unpaired, compared \
as any.",
    mut_args(first(&["model", "task", "output", "scale", "correct_from"]))
)]
pub struct ImportArgs {
    /// Files of results, or directories of them
    #[arg(value_name = "FILE|DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// Name of the model; of several in the files, the one that is wanted
    #[arg(long, short, value_name = "NAME", alias = "model-name")]
    pub model: Option<String>,
    /// Name of the task; of several in the files, the one that is wanted
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Scale of the scores that are numbers [default: that of the files]
    #[arg(long, value_name = "SCALE", value_parser = choice("scale", SCALES))]
    pub scale: Option<Scale>,
    /// Least score of a correct answer, of 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = fraction)]
    pub correct_from: Option<f64>,
    /// New directory for the run
    #[arg(long, short, value_name = "DIR", required = true, alias = "output-path")]
    pub output: PathBuf,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
}
