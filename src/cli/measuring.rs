//! The commands that measure a checkpoint without a needle: `logits`, `loss` and `bench`.

use std::path::PathBuf;

use clap::Args;

use super::model::{AttentionArgs, MachineArgs};
use super::values::{exporter, split};
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::export::Exporter;
use crate::grid::ContextLength;
use crate::plan::RowChoice;
use crate::split::Split;

/// Flags of `niah logits`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The file holds input_ids [t] (I64), logits [t, vocab] (F32) and, with --attentions, attentions [layers, heads, rows, t] \
(F32); its metadata name the model, its hash, the variant and the rows.

Examples:
  niah logits model.gguf --text \"Hello\" -o out.safetensors
  niah logits DIR --ids 1,2,3 --attentions all -o out.safetensors
  niah logits DIR --ids-file ids.json --variant ssmax --ssmax-scales s.safetensors -o out.st")]
pub struct LogitsArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, a hub id, or shipped:NAME (niah list checkpoints)
    #[arg(value_name = "MODEL", default_value = DEFAULT_CHECKPOINT)]
    pub model: String,
    /// The tokens.
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Scales s of every layer and head: a safetensors file with ssmax_scale [layers, heads]
    #[arg(long, value_name = "FILE", conflicts_with = "ssmax_scale", help_heading = "Model")]
    pub ssmax_scales: Option<PathBuf>,
    /// File to write
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    pub output: PathBuf,
    /// Also write the attention of query rows: all, last, or A..B (from A to before B)
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true, help_heading = "Output")]
    pub attentions: Option<RowChoice>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Where tokens come from.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct TokenArgs {
    /// Token ids, separated by commas
    #[arg(long, value_name = "IDS", allow_hyphen_values = true, help_heading = "Tokens")]
    pub ids: Option<String>,
    /// A JSON file with an array of token ids
    #[arg(long, value_name = "FILE", help_heading = "Tokens")]
    pub ids_file: Option<PathBuf>,
    /// A text for the checkpoint's tokenizer, with its BOS in front and without a chat template
    #[arg(long, value_name = "TEXT", help_heading = "Tokens")]
    pub text: Option<String>,
}

/// Flags of `niah loss`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A prediction's position is the number of tokens that it is made from. Positions are grouped into buckets that double \
(1, 2, 3-4, 5-8, ...), as on a logarithmic axis, or with --buckets in that many of equal width. Texts all have one length; one \
whose haystack would have to begin again is refused. Intervals are Student's t over the means of the texts.

Examples:
  niah loss -m out/ssmax --context-length 4k -n 16 -o out/loss
  niah loss -m DIR --variant ssmax --haystack essays --split all --context-length 8k --buckets 16 --output-format csv")]
pub struct LossArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, a hub id, or shipped:NAME (niah list checkpoints)
    #[arg(long, short, value_name = "FILE|DIR|ID", default_value = DEFAULT_CHECKPOINT, help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Tokens of a text, from which the last prediction is made: 4k or 4096 or 2^12
    #[arg(long, value_name = "LENGTH", default_value = "4k", help_heading = "Text")]
    pub context_length: ContextLength,
    /// Number of texts
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8, help_heading = "Text")]
    pub trials: usize,
    /// Seed of the texts
    #[arg(long, default_value_t = 42, help_heading = "Text")]
    pub seed: u64,
    /// Source of the texts: essays, noise, synthetic (endless), or a file or directory of text
    #[arg(long, value_name = "NAME|PATH", default_value = "synthetic", help_heading = "Text")]
    pub haystack: String,
    /// Part of the haystack: all, training, held-out (what niah train never saw)
    #[arg(long, value_name = "PART", value_parser = split, default_value = "held-out", help_heading = "Text")]
    pub split: Split,
    /// Number of position buckets, of equal width [default: buckets that double]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub buckets: Option<usize>,
    /// Directory of loss.csv and loss.json, which says what was measured and the means of each text
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// What goes to stdout: table (with bars), csv or json (the table of buckets), markdown, html or svg (a curve)
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table", help_heading = "Output")]
    pub output_format: Exporter,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Each repetition reads a prompt of random tokens of every length and decodes after it. Between the chunks of a prompt the best \
matrix multiply of the same dtype runs alone: GEMM is the share of its speed that linear maps reach.

Examples:
  niah bench -m model.gguf --dtype bf16
  niah bench -m DIR --context-lengths 4k,32k --repeats 9 --output-format csv")]
pub struct BenchArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, a hub id, or shipped:NAME (niah list checkpoints)
    #[arg(long, short, value_name = "FILE|DIR|ID", default_value = DEFAULT_CHECKPOINT, help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Prompt lengths in tokens: 4k,8k or 4096 or 2^12 [default: of 512,2k,4k,8k those within the model's positions]
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', help_heading = "Measurement")]
    pub context_lengths: Vec<ContextLength>,
    /// Tokens decoded after each prompt, one by one
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Measurement")]
    pub max_new_tokens: usize,
    /// How often each length is measured; medians are shown
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Measurement")]
    pub repeats: usize,
    /// Leave peak memory out, which takes a pass of its own; of that pass only prompts of up to 8k tokens are left, to warm up
    #[arg(long, help_heading = "Measurement")]
    pub no_peak_memory: bool,
    /// Seed of the prompts' tokens
    #[arg(long, default_value_t = 42, help_heading = "Measurement")]
    pub seed: u64,
    /// Directory of bench.json: medians and ranges, and what was measured
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// What goes to stdout: table (medians and ranges), csv (medians), json (both), markdown, html or svg (curves)
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table", help_heading = "Output")]
    pub output_format: Exporter,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}
