//! The commands that measure a checkpoint without a needle: `logits`, `loss` and `bench`.

use std::path::PathBuf;

use clap::Args;

use super::FormArgs;
use super::help::first;
use super::model::{AttentionArgs, CheckpointArgs, MachineArgs};
use super::values::{choice, named};
use crate::grid::ContextLength;
use crate::haystack::HAYSTACKS;
use crate::plan::RowChoice;
use crate::split::{SPLITS, Split};

/// Flags of `niah logits`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "niah logits [MODEL] -o FILE --text TEXT|--ids IDS|--ids-file FILE",
    before_help = "\
Examples:
  niah logits model.gguf --text Hello -o out.safetensors
  niah logits DIR --ids 1,2,3 --attentions all -o out.safetensors
  niah logits DIR --ids-file ids.json --variant ssmax -o out.st",
    after_long_help = "\
The file holds input_ids [t] (I64), logits [t, vocab] (F32) and, with --attentions, attentions [layers, \
heads, rows, t] (F32); its metadata name the model, its hash, the variant and the rows.",
    mut_args(first(&["output", "text", "ids", "ids_file", "attentions"]))
)]
pub struct LogitsArgs {
    /// Which.
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
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
#[command(
    before_help = "\
Examples:
  niah loss out/ssmax --context-length 4k -n 16 -o out/loss
  niah loss DIR --variant ssmax --haystack essays --split all
  niah loss DIR --context-length 8k --buckets 16 --output-format csv",
    after_long_help = "\
A prediction's position is the number of tokens that it is made from. Positions are grouped into buckets \
that double (1, 2, 3-4, 5-8, ...), as on a logarithmic axis, or with --buckets in that many of equal width. \
Texts all have one length; one whose haystack would have to begin again is refused. Intervals are Student's \
t over the means of the texts.",
    mut_args(first(&["context_length", "trials", "seed", "buckets", "output"]))
)]
pub struct LossArgs {
    /// Which.
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Tokens of a text
    ///
    /// 4k or 4096 or 2^12; the last prediction is made from all of them.
    #[arg(
        long,
        value_name = "LENGTH",
        default_value = "4k",
        aliases = ["context-lengths", "length"],
        help_heading = "Text"
    )]
    pub context_length: ContextLength,
    /// Number of texts
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8, alias = "n-runs", help_heading = "Text")]
    pub trials: usize,
    /// Seed of the texts
    #[arg(long, default_value_t = 42, help_heading = "Text")]
    pub seed: u64,
    /// Source of the texts: a name, or a file or directory
    #[arg(
        long,
        value_name = "NAME|PATH",
        value_parser = named(HAYSTACKS),
        default_value = "synthetic",
        alias = "haystack-dir",
        help_heading = "Text"
    )]
    pub haystack: String,
    /// Part of the haystack
    #[arg(
        long,
        value_name = "PART",
        value_parser = choice("part", SPLITS),
        default_value = "held-out",
        help_heading = "Text"
    )]
    pub split: Split,
    /// Position buckets [default: doubling]
    ///
    /// That many of equal width, in place of buckets that double.
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub buckets: Option<usize>,
    /// Directory of loss.csv and loss.json
    ///
    /// The latter says what was measured, and the means of each text.
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The form of what goes to stdout.
    #[command(flatten)]
    pub form: FormArgs,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah bench`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah bench model.gguf --dtype bf16
  niah bench DIR --context-lengths 4k,32k --repeats 9 --output-format csv",
    after_long_help = "\
Each repetition reads a prompt of random tokens of every length and decodes after it. Between the chunks of \
a prompt the best matrix multiply of the same dtype runs alone: GEMM is the share of its speed that linear \
maps reach.",
    mut_args(first(&["context_lengths", "max_new_tokens", "repeats", "no_peak_memory", "output"]))
)]
pub struct BenchArgs {
    /// Which.
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Prompt lengths in tokens
    ///
    /// 4k,8k or 4096 or 2^12
    ///
    /// [default: of 512,2k,4k,8k those within the model's positions]
    #[arg(
        long,
        value_name = "LENGTHS",
        value_delimiter = ',',
        aliases = ["context-length", "lengths", "length"],
        help_heading = "Measurement"
    )]
    pub context_lengths: Vec<ContextLength>,
    /// Tokens to decode
    ///
    /// One by one, after each prompt.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 32,
        aliases = ["max-tokens", "max-gen-toks"],
        help_heading = "Measurement"
    )]
    pub max_new_tokens: usize,
    /// Repetitions
    ///
    /// How often each length is measured; medians are shown.
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Measurement")]
    pub repeats: usize,
    /// Leave peak memory out
    ///
    /// It takes a pass of its own, of which only prompts of up to 8k tokens stay, to warm up.
    #[arg(long, help_heading = "Measurement")]
    pub no_peak_memory: bool,
    /// Seed of the prompts' tokens
    #[arg(long, default_value_t = 42, help_heading = "Measurement")]
    pub seed: u64,
    /// Directory of bench.json
    ///
    /// It holds medians and ranges, and what was measured.
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The form of what goes to stdout.
    #[command(flatten)]
    pub form: FormArgs,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}
