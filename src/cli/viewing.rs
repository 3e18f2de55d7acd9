//! The commands that look into results: `view` and `attend`.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};

use super::FormArgs;
use super::form::parse;
use super::help::first;
use super::model::MachineArgs;
use super::values::{choice, listing, named};
use super::verdict::RuleArgs;
use crate::attention::variant::VARIANTS;
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::error::{Error, Result};
use crate::grid::{ContextLength, Depth};
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::plan::ModelChoice;
use crate::spec::{DTYPES, Dtype, WEIGHT_FORMS, WINDOW_EXPANSIONS, WeightForm};
use crate::store::exchange::EXCHANGES;
use crate::trial::Finding;

const EXPORT: &str = "\
Also write it to a file, in the form of its extension, or as FORM=PATH for another tool

txt, csv, json, md, html, svg or png; may be given several times. - is stdout, in the form of \
--output-format. The rows of one run go as well to the files of other tools, by the names below, as in \
lm-eval=DIR.";

/// Flags of `niah view`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah view out/model
  niah view out/model --by trial --outcome missed
  niah view out/model --export report.html --export cells.csv",
    mut_args(first(&["by", "context_length", "export", "interactive"])),
    mut_arg("export", |arg| arg.value_parser(listing(parse, EXCHANGES)).long_help(EXPORT))
)]
pub struct ViewArgs {
    /// Directory of a run
    pub directory: PathBuf,
    /// What to draw
    #[arg(long, value_enum, default_value = "cell")]
    pub by: By,
    /// Of cells of this length
    ///
    /// For --by layer, head and trial. One cell is the longest that ran by default.
    #[arg(long, value_name = "LENGTH", aliases = ["length", "context-lengths"])]
    pub context_length: Option<ContextLength>,
    /// Of cells of this depth in per cent
    ///
    /// One cell is that nearest to the middle by default.
    #[arg(long, value_name = "PERCENT", alias = "depths", help_heading = "Cells")]
    pub depth: Option<Depth>,
    /// With --by trial, the answers with this outcome alone
    #[arg(long, value_enum, help_heading = "Answers")]
    pub outcome: Option<FindingChoice>,
    /// Look at it by keys, on a screen of its own
    ///
    /// Keys lead from cells to trials, prompts and heads; ? lists them, q leaves.
    #[arg(
        long,
        conflicts_with_all = ["by", "context_length", "depth", "outcome", "export", "figure"],
    )]
    pub interactive: bool,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
}

/// What became of a needle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingChoice {
    /// The answer is right
    Found,
    /// Wrong, although a head looked at the needle
    Looked,
    /// Wrong, and no head looked at it
    Missed,
    /// Wrong, and whether a head looked cannot be told
    Wrong,
}

impl From<FindingChoice> for Finding {
    fn from(choice: FindingChoice) -> Self {
        match choice {
            FindingChoice::Found => Self::Found,
            FindingChoice::Looked => Self::Looked,
            FindingChoice::Missed => Self::Missed,
            FindingChoice::Wrong => Self::Wrong,
        }
    }
}

/// Axes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Depth x length: accuracy and needle mass
    Cell,
    /// Layer x head: needle mass in one cell
    Layer,
    /// Heads ranked by needle mass over the whole grid
    Head,
    /// Answers: the rows of results.csv
    Trial,
    /// The rows of tokens.csv, as csv or json
    Token,
}

/// Flags of `niah attend`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah attend out/model --context-length 4k --depth 50
  niah attend out/model --head top --trial 1
  niah attend model.gguf --text notes.txt --query \"Who?\"",
    mut_args(first(&["context_length", "depth", "head", "text", "query"]))
)]
pub struct AttendArgs {
    /// Directory of a run, or a checkpoint for --text
    ///
    /// [default for --text: shipped:ssmax]
    #[arg(value_name = "RUN|MODEL", required_unless_present = "text")]
    place: Option<String>,
    /// Length of the cell [default: the longest that ran]
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "text",
        aliases = ["length", "context-lengths"],
        help_heading = "Cell"
    )]
    pub context_length: Option<ContextLength>,
    /// Depth of the cell in per cent [default: that nearest to the middle]
    #[arg(long, value_name = "PERCENT", conflicts_with = "text", alias = "depths", help_heading = "Cell")]
    pub depth: Option<Depth>,
    /// Trial of the cell [default: the first that ran]
    #[arg(long, conflicts_with = "text", help_heading = "Cell")]
    pub trial: Option<usize>,
    /// Whose attention: mean, top or LAYER.HEAD
    ///
    /// The mean over all heads, the head with the largest needle mass, or this one.
    #[arg(long, default_value = "mean", help_heading = "Heads")]
    pub head: String,
    /// How many heads to list [default: 10]
    #[arg(long, value_name = "N", help_heading = "Heads")]
    pub top: Option<usize>,
    /// The form of what goes to stdout.
    #[command(flatten)]
    pub form: FormArgs,
    /// A text of your own, read from a file (- for stdin), not a run
    #[arg(long, value_name = "FILE", requires = "query", help_heading = "Own text")]
    pub text: Option<PathBuf>,
    /// What is asked about --text; its last token looks back
    #[arg(long, value_name = "TEXT", requires = "text", help_heading = "Own text")]
    pub query: Option<String>,
    /// A passage of --text to measure and underline; may be given several times
    #[arg(
        long,
        value_name = "TEXT",
        requires = "text",
        action = ArgAction::Append,
        help_heading = "Own text"
    )]
    pub needle: Vec<String>,
    /// Checkpoint for --text, or that of the run: what a run names itself is never downloaded
    #[arg(long, short, value_name = "MODEL", alias = "model-name", help_heading = "Model")]
    model: Option<String>,
    /// Attention variant for --text
    #[arg(
        long,
        default_value = "auto",
        value_parser = named(VARIANTS).and("auto", "the checkpoint's own"),
        requires = "text",
        help_heading = "Model"
    )]
    pub variant: String,
    /// Precision of the weights for --text [default: as in niah run]
    #[arg(long, value_parser = choice("dtype", DTYPES), requires = "text", help_heading = "Model")]
    pub dtype: Option<Dtype>,
    /// Form that weights are held in for --text [default: as in niah run]
    #[arg(
        long,
        value_name = "FORM",
        value_parser = choice("form of the weights", WEIGHT_FORMS),
        requires = "text",
        help_heading = "Model"
    )]
    pub weights: Option<WeightForm>,
    /// Precision of cached keys and values for --text
    ///
    /// [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        requires = "text",
        help_heading = "Model"
    )]
    pub kv_dtype: Option<KvDtype>,
    /// Precision of cached keys for --text [default: --kv-dtype]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        alias = "cache-type-k",
        requires = "text",
        help_heading = "Model"
    )]
    pub k_dtype: Option<KvDtype>,
    /// Precision of cached values for --text [default: --kv-dtype]
    #[arg(
        long,
        value_name = "DTYPE",
        value_parser = choice("dtype of a cache", KV_DTYPES),
        alias = "cache-type-v",
        requires = "text",
        help_heading = "Model"
    )]
    pub v_dtype: Option<KvDtype>,
    /// What becomes of windows that Multiscreen has learned wider than its training length, beyond it, for
    /// --text [default: on]
    #[arg(
        long,
        value_name = "ON|OFF",
        value_parser = choice("window expansion", WINDOW_EXPANSIONS),
        requires = "text",
        help_heading = "Model"
    )]
    pub screening_window_expansion: Option<bool>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What `niah attend` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attended<'a> {
    /// A trial of the run in this directory.
    Run(&'a Path),
    /// A text of the user's own, in this file.
    Text(&'a Path),
}

impl AttendArgs {
    /// What is shown.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a checkpoint for a text is named twice.
    pub fn shown(&self) -> Result<Attended<'_>> {
        match (&self.text, &self.place, &self.model) {
            (Some(_), Some(place), Some(_)) => {
                Err(Error::invalid("--model", format!("{place:?} beside it"), "one checkpoint for --text"))
            }
            (Some(text), ..) => Ok(Attended::Text(text)),
            (None, Some(run), _) => Ok(Attended::Run(Path::new(run))),
            (None, None, _) => Err(Error::invalid("niah attend", "nothing", "a run's directory, or --text")),
        }
    }

    /// The checkpoint that was named for a run.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The checkpoint for a text.
    #[must_use]
    pub fn model_for_text(&self) -> &str {
        self.model.as_deref().or(self.place.as_deref()).unwrap_or(DEFAULT_CHECKPOINT)
    }

    /// The checkpoint that reads a text of the user's own.
    #[must_use]
    pub fn choice(&self) -> ModelChoice {
        ModelChoice {
            variant: self.variant.clone(),
            dtype: self.dtype,
            kv_dtype: self.kv_dtype,
            k_dtype: self.k_dtype,
            v_dtype: self.v_dtype,
            weights: self.weights,
            screening_window_expansion: self.screening_window_expansion,
            ..ModelChoice::of(self.model_for_text())
        }
    }
}
