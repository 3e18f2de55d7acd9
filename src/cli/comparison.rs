//! The commands that set two checkpoints side by side: `compare` and `demo`.

use std::path::PathBuf;

use clap::Args;

use super::grid::GridArgs;
use super::model::{AttentionArgs, ChatArgs, MachineArgs};
use super::values::exporter;
use crate::export::Exporter;

/// Flags of `niah compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stored runs are compared as they are, without flags of a grid. Models run first, on the grid and the task of the flags; a \
stored run can stand beside a model. Prompts must be identical, which takes one tokenizer: else nothing is compared.

Examples:
  niah compare shipped:softmax shipped:ssmax --context-lengths 256,1k,4k --split held-out
  niah compare out/softmax-run out/ssmax-run
  niah compare model.gguf model.gguf --variant-b ssmax --context-lengths 1k,4k --trials 10 -o out/swap
  niah compare out/softmax out/ssmax --split held-out --trials 20 --output-format csv")]
pub struct CompareArgs {
    /// Directory of a run (niah run -o), or a checkpoint as for --model
    #[arg(value_name = "A")]
    pub a: String,
    /// The same; differences are B - A
    #[arg(value_name = "B")]
    pub b: String,
    /// Attention variant of A [default: --variant]
    #[arg(long, value_name = "VARIANT", help_heading = "Model")]
    pub variant_a: Option<String>,
    /// Attention variant of B [default: --variant]
    #[arg(long, value_name = "VARIANT", help_heading = "Model")]
    pub variant_b: Option<String>,
    /// The attention of models.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// The form of their prompts.
    #[command(flatten)]
    pub chat: ChatArgs,
    /// The grid of models.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Directory to keep runs of models in, as DIR/a and DIR/b; the same command continues them [default: not kept]
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// What goes to stdout: table (heatmaps and tables), csv or json (rows of cells, lengths, all beyond the training length, all), markdown, html or svg
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table", help_heading = "Output")]
    pub output_format: Exporter,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Checkpoint trained with Softmax
    #[arg(long, value_name = "DIR", default_value = "shipped:softmax")]
    pub softmax: String,
    /// Checkpoint trained with Scalable-Softmax, of the same tokenizer and training length
    #[arg(long, value_name = "DIR", default_value = "shipped:ssmax")]
    pub ssmax: String,
    /// Multiscreen checkpoint, likewise [default: beside the shipped two shipped:multiscreen, else none]
    #[arg(long, value_name = "DIR")]
    pub multiscreen: Option<String>,
    /// Trials of each cell, each with a haystack and needles of its own
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4)]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// What goes to stdout: table (heatmaps and the results), csv or json (the cells of all), markdown, html or svg
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table")]
    pub output_format: Exporter,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}
