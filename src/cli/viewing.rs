//! The commands that look into results: `view` and `attend`.

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{ArgAction, Args, ValueEnum};

use super::model::MachineArgs;
use super::values::{dtype, exporter, kv_dtype, window_expansion};
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::export::Exporter;
use crate::grid::{ContextLength, Depth};
use crate::model::kv_cache::KvDtype;
use crate::plan::ModelChoice;
use crate::spec::Dtype;

/// Flags of `niah view`.
#[derive(Debug, Clone, Args)]
pub struct ViewArgs {
    /// Directory of a run
    pub directory: PathBuf,
    /// What to draw: cell (depth x length) or layer (layer x head of one cell); trial or token (rows of results.csv or tokens.csv, as csv or
    /// json)
    #[arg(long, value_enum, default_value = "cell")]
    pub by: By,
    /// Cell of --by layer: its length [default: the longest]
    #[arg(long)]
    pub length: Option<ContextLength>,
    /// Cell of --by layer: its depth in per cent [default: the middle one]
    #[arg(long)]
    pub depth: Option<Depth>,
    /// What goes to stdout: table (heatmaps), csv or json (the table of cells, or of the heads of one), markdown, html or svg
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table")]
    pub output_format: Exporter,
}

/// Axes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Depth x length: accuracy and needle mass
    Cell,
    /// Layer x head: needle mass in one cell
    Layer,
    /// The rows of results.csv, as csv or json
    Trial,
    /// The rows of tokens.csv, as csv or json
    Token,
}

/// Flags of `niah attend`.
#[derive(Debug, Clone, Args)]
pub struct AttendArgs {
    /// Directory of a run
    #[arg(required_unless_present = "text", conflicts_with = "text")]
    pub directory: Option<PathBuf>,
    /// Length of the cell [default: the longest]
    #[arg(long, conflicts_with = "text")]
    pub length: Option<ContextLength>,
    /// Depth of the cell in per cent [default: the middle one]
    #[arg(long, conflicts_with = "text")]
    pub depth: Option<Depth>,
    /// Trial of the cell
    #[arg(long, default_value_t = 0, conflicts_with = "text")]
    pub trial: usize,
    /// Whose attention: mean (over all heads), top (the head with the largest needle mass), or LAYER.HEAD
    #[arg(long, default_value = "mean")]
    pub head: String,
    /// How many heads to list [default: 10]
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// What goes to stdout: table (the shaded prompt), csv or json (its tokens), markdown, html or svg (a curve)
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table")]
    pub output_format: Exporter,
    /// A text of your own, read from a file (- for stdin), instead of a run
    #[arg(long, value_name = "FILE", requires = "query", help_heading = "Own text")]
    pub text: Option<PathBuf>,
    /// What is asked about --text; its last token looks back
    #[arg(
        long,
        value_name = "TEXT",
        requires = "text",
        conflicts_with = "directory",
        help_heading = "Own text"
    )]
    pub query: Option<String>,
    /// A passage of --text to measure and underline; may be given several times
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with = "directory", action = ArgAction::Append, help_heading = "Own text")]
    pub needle: Vec<String>,
    /// Checkpoint for --text [default: shipped:ssmax], or that of the run: what a run names itself is never downloaded
    #[arg(
        long,
        short,
        value_name = "FILE|DIR|ID",
        default_value_if("text", ArgPredicate::IsPresent, DEFAULT_CHECKPOINT),
        help_heading = "Own text"
    )]
    pub model: Option<String>,
    /// Attention variant for --text; see niah list variants
    #[arg(
        long,
        default_value = "auto",
        requires = "text",
        conflicts_with = "directory",
        help_heading = "Own text"
    )]
    pub variant: String,
    /// Precision of the weights for --text: f32, bf16, f16 [default: as in niah run]
    #[arg(long, value_name = "DTYPE", value_parser = dtype, requires = "text", conflicts_with = "directory", help_heading = "Own text")]
    pub dtype: Option<Dtype>,
    /// Precision of cached keys and values for --text: f32, bf16 [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype, requires = "text", conflicts_with = "directory", help_heading = "Own text")]
    pub kv_dtype: Option<KvDtype>,
    /// Whether Multiscreen's windows above the training length are unlimited beyond it, for --text: on, off [default: on]
    #[arg(long, value_name = "ON|OFF", value_parser = window_expansion, requires = "text", conflicts_with = "directory", help_heading = "Own text")]
    pub screening_window_expansion: Option<bool>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

impl AttendArgs {
    /// The checkpoint that reads a text of the user's own.
    #[must_use]
    pub fn choice(&self) -> ModelChoice {
        ModelChoice {
            variant: self.variant.clone(),
            dtype: self.dtype,
            kv_dtype: self.kv_dtype,
            screening_window_expansion: self.screening_window_expansion,
            ..ModelChoice::of(self.model.as_deref().unwrap_or_default())
        }
    }
}
