//! How answers are scored, and the command that scores them again: `score`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::FormArgs;
use super::help::first;
use super::values::{choice, fraction, named};
use super::verdict::RuleArgs;
use crate::score::{NORMALISATIONS, Normalise, SCORERS};

/// How answers are scored besides by a scorer.
#[derive(Debug, Clone, Args)]
pub struct ScoringArgs {
    /// What else is the same to the scorer [default: nothing]
    #[arg(long, value_name = "WHAT", value_parser = choice("normalisation", NORMALISATIONS), help_heading = "Task")]
    pub normalise: Option<Normalise>,
    /// Least score of a correct answer [default: the scorer's own]
    #[arg(long, value_name = "SHARE", value_parser = fraction, help_heading = "Task")]
    pub correct_from: Option<f64>,
}

/// Flags of `niah score`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah score out/model --scorer edit --correct-from 0.9 -o out/edit
  niah score out/model --normalise numbers --export report.html
  niah score --answers answers.jsonl --prompts prompts.jsonl -o out/server",
    mut_args(first(&["scorer", "normalise", "correct_from", "output", "export"]))
)]
pub struct ScoreArgs {
    /// Directory of a run
    #[arg(required_unless_present = "answers")]
    pub directory: Option<PathBuf>,
    /// Answers of a server, in place of a run: a JSON object a line, with the id of a prompt and its answer
    ///
    /// They become a run of their own in --output, with accuracy and no attention, each scored by --scorer or
    /// else by the scorer of its prompt.
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["prompts", "output"],
        conflicts_with = "directory",
        help_heading = "Answers of a server"
    )]
    pub answers: Option<PathBuf>,
    /// The prompts that were answered, as niah prompts writes them and --prompts of niah run reads them
    #[arg(long, value_name = "FILE", requires = "answers", help_heading = "Answers of a server")]
    pub prompts: Option<PathBuf>,
    /// Name of the model that answered [default: the model of the answers]
    #[arg(long, value_name = "NAME", requires = "answers", help_heading = "Answers of a server")]
    pub model: Option<String>,
    /// Scorer of the answers [default: the run's own]
    #[arg(long, value_parser = named(SCORERS))]
    pub scorer: Option<String>,
    /// How answers are scored besides.
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// New directory for the run with these scores
    ///
    /// Without it the report is all.
    #[arg(long, short, value_name = "DIR", alias = "output-path")]
    pub output: Option<PathBuf>,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
}

impl ScoreArgs {
    /// The directory of a run; none beside answers.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.as_deref().unwrap_or(Path::new(""))
    }
}
