//! The grid and what is asked in it, and the commands that are one: `run` and `prompts`.

use std::path::PathBuf;

use clap::Args;

use super::model::{MachineArgs, ModelArgs};
use super::values::{depth_spacing, exporter, snap, split};
use crate::export::Exporter;
use crate::grid::{ContextLength, Depth, DepthSpacing};
use crate::prompt::Snap;
use crate::split::Split;

/// The grid and what is asked in it.
#[derive(Debug, Clone, Args)]
pub struct GridArgs {
    /// Prompt lengths in tokens, everything included: 4k,8k or 4096 or 2^12 [default: 1k,2k,4k]
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', help_heading = "Grid")]
    pub context_lengths: Vec<ContextLength>,
    /// Shortest of evenly spaced lengths
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "context_lengths",
        requires = "context_lengths_max",
        help_heading = "Grid"
    )]
    pub context_lengths_min: Option<ContextLength>,
    /// Longest of evenly spaced lengths
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "context_lengths",
        requires = "context_lengths_min",
        help_heading = "Grid"
    )]
    pub context_lengths_max: Option<ContextLength>,
    /// Number of evenly spaced lengths
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        requires = "context_lengths_min",
        conflicts_with = "context_lengths",
        help_heading = "Grid"
    )]
    pub context_lengths_num: usize,
    /// Needle depths in per cent of the haystack [default: 0,25,50,75,100]
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', help_heading = "Grid")]
    pub depths: Vec<Depth>,
    /// Number of depths spaced from 0 to 100
    #[arg(long, value_name = "N", conflicts_with = "depths", help_heading = "Grid")]
    pub depths_num: Option<usize>,
    /// How depths are spread that --depths does not name: linear, or sigmoid (denser at the ends)
    #[arg(long, value_name = "HOW", value_parser = depth_spacing, default_value = "linear", conflicts_with = "depths", help_heading = "Grid")]
    pub depth_spacing: DepthSpacing,
    /// Trials of each cell, each with needles of its own
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, help_heading = "Grid")]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42, help_heading = "Grid")]
    pub seed: u64,
    /// Task preset: magic, magic-multikey, gkamradt, passkey, abcdigits, abcdigits-5x6, abcdigits-5x2 (the last three have lines of their own and no haystack)
    #[arg(long, visible_alias = "preset", default_value = "magic", help_heading = "Task")]
    pub task: String,
    /// A needle of your own, in place of a task; needs --question and --answer. A TEXT that is also the name of a flag goes
    /// behind an equals sign
    #[arg(long, value_name = "TEXT", conflicts_with = "task", help_heading = "Task")]
    pub needle: Option<String>,
    /// The question for --needle
    #[arg(long, value_name = "TEXT", conflicts_with = "task", help_heading = "Task")]
    pub question: Option<String>,
    /// The part of --needle that answers --question: a word or number of its own there
    #[arg(long, value_name = "TEXT", conflicts_with = "task", help_heading = "Task")]
    pub answer: Option<String>,
    /// Haystack: essays, noise, synthetic, or a file or directory of text [default: the task's own]
    #[arg(long, value_name = "NAME|PATH", help_heading = "Task")]
    pub haystack: Option<String>,
    /// Part of the haystack's text and of the needles' values: all, training, held-out (what niah train never saw)
    #[arg(long, value_name = "PART", value_parser = split, default_value = "all", help_heading = "Task")]
    pub split: Split,
    /// Cut the haystack after a sentence, or (none) exact to the token
    #[arg(long, value_name = "WHERE", value_parser = snap, default_value = "sentence", help_heading = "Task")]
    pub snap: Snap,
    /// Scorer of the answers: match, contains
    #[arg(long, default_value = "match", help_heading = "Task")]
    pub scorer: String,
    /// Tokens generated at most [default: the task's own budget]
    #[arg(long, value_name = "N", help_heading = "Task")]
    pub max_new_tokens: Option<usize>,
}

/// Flags of `niah run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The checkpoint.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Directory of the results [default: niah-runs/MODEL-VARIANT-TASK]; the same command continues it
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// What goes to stdout: table (heatmaps), csv or json (the cell table), markdown, html or svg
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table", help_heading = "Output")]
    pub output_format: Exporter,
    /// Also keep the attention mass of every prompt token, in tokens.csv
    #[arg(long, help_heading = "Output")]
    pub tokens: bool,
    /// Run at most this many trials now; the same command without it does the rest
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub limit: Option<usize>,
    /// Compute every prompt from its first token, instead of keeping what it shares with the one before it
    #[arg(long, help_heading = "Machine")]
    pub no_prefix_sharing: bool,
    /// Print cells, tokens, time and memory of the whole plan, and stop
    #[arg(long, conflicts_with = "output_format", help_heading = "Output")]
    pub dry_run: bool,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah prompts`.
#[derive(Debug, Clone, Args)]
pub struct PromptsArgs {
    /// The checkpoint, for its tokenizer and template.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// File to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write at most this many prompts
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
