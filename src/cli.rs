//! What a user may type, and its help. Names that are choices are checked against the tables of [`crate::registry`].

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::export::Exporter;
use crate::export::inspection::{INSPECTION_EXPORTERS, InspectionExporter};
use crate::export::loss::{LOSS_EXPORTERS, LossExporter};
use crate::export::speed::{SPEED_EXPORTERS, SpeedExporter};
use crate::export::style::ColorChoice;
use crate::grid::{ContextLength, Depth, DepthSpacing};
use crate::model::dtype::Dtype;
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::plan::{ChatChoice, Precision, RowChoice};
use crate::prompt::Snap;
use crate::split::Split;
use crate::train::{LayerKind, Schedule};

/// Needle-in-a-haystack evaluation: retrieval and attention on the same cells.
#[derive(Debug, Parser)]
#[command(name = "niah", version, about, max_term_width = 110, args_override_self = true)]
#[command(after_help = "Exit codes: 0 ok, 1 run failed, 2 usage or configuration.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to draw.
    #[command(flatten)]
    pub drawing: Drawing,
}

/// What `niah` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a depth x length grid on a checkpoint; draw accuracy and the attention mass on the needle
    Run(Box<RunArgs>),
    /// Draw the stored results of a run again
    View(ViewArgs),
    /// Compare two runs, or run two models, on identical prompts: where they differ, and whether by chance
    Compare(Box<CompareArgs>),
    /// See Scalable-Softmax against Softmax: two small checkpoints on the same prompts, to 16 times their training length
    Demo(DemoArgs),
    /// Show a prompt with every token shaded by the attention it received
    Attend(Box<AttendArgs>),
    /// Write the prompts of a plan as JSONL, without running a model
    Prompts(Box<PromptsArgs>),
    /// Write the logits of every position, and attention, as safetensors: to check a port against
    Logits(Box<LogitsArgs>),
    /// Measure the mean loss of text by position, to far past the training length
    Loss(Box<LossArgs>),
    /// Measure how fast a checkpoint reads and writes on this machine, and where the time goes
    Bench(Box<BenchArgs>),
    /// Train a small decoder from scratch, or a checkpoint further, on needles and key-value lines
    Train(Box<TrainArgs>),
    /// Repeat a paper's claims in miniature: train, measure and write a report, or measure the checkpoints that are shipped
    Experiment(ExperimentArgs),
    /// Print what a checkpoint is and the memory it needs; reads headers only
    Inspect(InspectArgs),
    /// List what can be named: variants, families, tasks, haystacks, sequences, scorers, exporters
    List(ListArgs),
}

/// How output is drawn.
#[derive(Debug, Clone, Args)]
pub struct Drawing {
    /// Colours: auto (a terminal, NO_COLOR unset), always, never
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Drawing")]
    pub color: Color,
    /// Use ASCII characters alone
    #[arg(long, global = true, help_heading = "Drawing")]
    pub ascii: bool,
    /// Palette of heatmaps: rag (red, yellow, green) or viridis (colour-blind safe)
    #[arg(long, global = true, default_value = "rag", help_heading = "Drawing")]
    pub palette: String,
    /// Width of drawings in columns [default: the terminal's, or 100]
    #[arg(long, global = true, help_heading = "Drawing")]
    pub width: Option<usize>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Even into a file or pipe
    Always,
    /// Not at all
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// The attention that a checkpoint runs with.
#[derive(Debug, Clone, Args)]
pub struct AttentionArgs {
    /// Attention variant: auto (the checkpoint's own), softmax, ssmax, ssmax-fixed, ssmax-bias, logn, temperature, adaptive
    #[arg(long, default_value = "auto", help_heading = "Model")]
    pub variant: String,
    /// Precision of the weights: f32 (exact), bf16 (weights and inputs rounded), f16 (weights rounded); sums are f32
    #[arg(long, value_name = "DTYPE", value_parser = dtype, default_value = "f32", help_heading = "Model")]
    pub dtype: Dtype,
    /// Precision of cached keys and values: f32, bf16 [default: bf16 with --dtype bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype, help_heading = "Model")]
    pub kv_dtype: Option<KvDtype>,
    /// One scale s for all heads, with ssmax or ssmax-bias: instead of the learned one or 1 / mean(ln n) of the training length
    #[arg(long, value_name = "S", allow_hyphen_values = true, help_heading = "Model")]
    pub ssmax_scale: Option<f64>,
    /// Base of the rotary frequencies
    #[arg(long, value_name = "THETA", help_heading = "Model")]
    pub rope_theta: Option<f64>,
    /// Factor on the base of the rotary frequencies; the SSMax paper uses 50 past the training length
    #[arg(long, value_name = "FACTOR", help_heading = "Model")]
    pub rope_theta_scale: Option<f64>,
    /// Tokens that go through the decoder at once
    #[arg(long, value_name = "N", default_value_t = crate::generate::DEFAULT_CHUNK, help_heading = "Model")]
    pub chunk_size: usize,
}

impl AttentionArgs {
    /// The precision of weights and cache.
    #[must_use]
    pub fn precision(&self) -> Precision {
        Precision { dtype: self.dtype, kv_dtype: self.kv_dtype }
    }
}

/// A checkpoint and how it is asked.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, or a hub id
    #[arg(long, short, value_name = "FILE|DIR|ID", help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// The form of its prompts.
    #[command(flatten)]
    pub chat: ChatArgs,
}

/// Whether prompts are conversations.
#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// Put prompts into the checkpoint's chat template: always, auto (when it has one), never
    #[arg(long, value_name = "WHEN", value_parser = chat_choice, num_args = 0..=1, default_value = "auto",
          default_missing_value = "always", require_equals = true, help_heading = "Model")]
    pub apply_chat_template: ChatChoice,
    /// The system's turn of the conversation
    #[arg(long, value_name = "TEXT", help_heading = "Model")]
    pub system_instruction: Option<String>,
}

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
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Grid")]
    pub context_lengths_num: usize,
    /// Needle depths in per cent of the haystack [default: 0,25,50,75,100]
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', help_heading = "Grid")]
    pub depths: Vec<Depth>,
    /// Number of depths spaced from 0 to 100
    #[arg(long, value_name = "N", conflicts_with = "depths", help_heading = "Grid")]
    pub depths_num: Option<usize>,
    /// How --depths-num spreads depths: linear, or sigmoid (denser at the ends)
    #[arg(long, value_name = "HOW", value_parser = depth_spacing, default_value = "linear", help_heading = "Grid")]
    pub depth_spacing: DepthSpacing,
    /// Trials of each cell, each with needles of its own
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, help_heading = "Grid")]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42, help_heading = "Grid")]
    pub seed: u64,
    /// Task preset: magic, gkamradt, passkey, abcdigits (which has lines of its own and no haystack)
    #[arg(long, visible_alias = "preset", default_value = "magic", help_heading = "Task")]
    pub task: String,
    /// A needle of your own; needs --question and --answer
    #[arg(long, value_name = "TEXT", help_heading = "Task")]
    pub needle: Option<String>,
    /// The question for --needle
    #[arg(long, value_name = "TEXT", help_heading = "Task")]
    pub question: Option<String>,
    /// The part of --needle that answers --question
    #[arg(long, value_name = "TEXT", help_heading = "Task")]
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
    /// What goes to stdout: table (heatmaps), csv or json (the cell table)
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
    /// Print cells, tokens, time and memory, and stop
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah compare`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stored runs are compared as they are. Models run first, on the grid and the task of the flags; a stored run can stand \
beside a model. Prompts must be identical, which takes one tokenizer: else nothing is compared.

Examples:
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
    /// What goes to stdout: table (heatmaps and tables), csv or json (rows of cells, lengths, all beyond the training length, all)
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
    /// Checkpoint trained with Softmax [default: the one that is shipped]
    #[arg(long, value_name = "DIR")]
    pub softmax: Option<PathBuf>,
    /// Checkpoint trained with Scalable-Softmax, of the same tokenizer and training length [default: the one that is shipped]
    #[arg(long, value_name = "DIR")]
    pub ssmax: Option<PathBuf>,
    /// Trials of each cell, each with a haystack and needles of its own
    #[arg(long, short = 'n', value_name = "N", default_value_t = 4)]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Where to compute.
#[derive(Debug, Clone, Args)]
pub struct MachineArgs {
    /// Device: cpu, cuda, cuda:N, metal (as the binary was built)
    #[arg(long, default_value = "cpu", help_heading = "Machine")]
    pub device: String,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

/// Flags of `niah view`.
#[derive(Debug, Clone, Args)]
pub struct ViewArgs {
    /// Directory of a run
    pub directory: PathBuf,
    /// What to draw: cell (depth x length) or layer (layer x head of one cell)
    #[arg(long, value_enum, default_value = "cell")]
    pub by: By,
    /// Cell of --by layer: its length [default: the longest]
    #[arg(long)]
    pub length: Option<ContextLength>,
    /// Cell of --by layer: its depth in per cent [default: the middle one]
    #[arg(long)]
    pub depth: Option<Depth>,
    /// What goes to stdout: table (heatmaps), csv or json (the table of cells, or of the heads of one)
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
}

/// Flags of `niah attend`.
#[derive(Debug, Clone, Args)]
pub struct AttendArgs {
    /// Directory of a run
    #[arg(required_unless_present = "text", conflicts_with = "text")]
    pub directory: Option<PathBuf>,
    /// Length of the cell [default: the longest]
    #[arg(long)]
    pub length: Option<ContextLength>,
    /// Depth of the cell in per cent [default: the middle one]
    #[arg(long)]
    pub depth: Option<Depth>,
    /// Trial of the cell
    #[arg(long, default_value_t = 0)]
    pub trial: usize,
    /// Whose attention: mean (over all heads), top (the head with the largest needle mass), or LAYER.HEAD
    #[arg(long, default_value = "mean")]
    pub head: String,
    /// How many heads to list
    #[arg(long, default_value_t = 10)]
    pub top: usize,
    /// A text of your own, read from a file (- for stdin), instead of a run
    #[arg(long, value_name = "FILE", requires = "model", requires = "query", help_heading = "Own text")]
    pub text: Option<PathBuf>,
    /// What is asked about --text; its last token looks back
    #[arg(long, value_name = "TEXT", help_heading = "Own text")]
    pub query: Option<String>,
    /// A passage of --text to measure and underline
    #[arg(long, value_name = "TEXT", requires = "text", help_heading = "Own text")]
    pub needle: Option<String>,
    /// Checkpoint for --text
    #[arg(long, short, value_name = "FILE|DIR|ID", requires = "text", help_heading = "Own text")]
    pub model: Option<String>,
    /// Attention variant for --text; see niah list variants
    #[arg(long, default_value = "auto", help_heading = "Own text")]
    pub variant: String,
    /// Precision of the weights for --text: f32, bf16, f16
    #[arg(long, value_name = "DTYPE", value_parser = dtype, default_value = "f32", help_heading = "Own text")]
    pub dtype: Dtype,
    /// Precision of cached keys and values for --text: f32, bf16 [default: bf16 with --dtype bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype, help_heading = "Own text")]
    pub kv_dtype: Option<KvDtype>,
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
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, or a hub id
    #[arg(value_name = "MODEL")]
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
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Tokens")]
    pub text: Option<String>,
}

/// Precisions that a trained checkpoint is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SaveDtype {
    /// As they were trained
    F32,
    /// Rounded: half the size
    Bf16,
}

/// Flags of `niah train`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  niah train -o out/ssmax --variant ssmax
  niah train -o out/ssmax --variant ssmax --resume
  niah train -o out/swapped --init out/softmax --variant ssmax --steps 250 --lr 3e-4
  niah run --model out/ssmax --split held-out --context-lengths 256,1k,4k")]
pub struct TrainArgs {
    /// Directory of the checkpoint, with training.csv and training.json
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: PathBuf,
    /// Go on from the state that was saved last, bit for bit
    #[arg(long, help_heading = "Output")]
    pub resume: bool,
    /// Steps after which everything is saved, besides at the end and on Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Output")]
    pub save_every: usize,
    /// Precision of the weights in model.safetensors; training is in f32 in any case
    #[arg(long, value_name = "DTYPE", value_enum, default_value = "f32", help_heading = "Output")]
    pub save_dtype: SaveDtype,
    /// Checkpoint directory to begin with, instead of a model from scratch
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub init: Option<String>,
    /// Attention variant of the layers without a window: softmax, ssmax, ssmax-fixed, ssmax-bias, adaptive [default: that of --init, or softmax]
    #[arg(long, value_name = "VARIANT", help_heading = "Model")]
    pub variant: Option<String>,
    /// The scale s that training begins with [default: 1 / mean(ln n) over the context length]
    #[arg(long, value_name = "S", help_heading = "Model")]
    pub ssmax_init: Option<f64>,
    /// Train plain softmax up to this step and swap --variant in behind it
    #[arg(long, value_name = "STEP", help_heading = "Model")]
    pub swap_at_step: Option<usize>,
    /// Width of the residual stream
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "Model")]
    pub hidden_size: usize,
    /// Inner width of the MLP
    #[arg(long, value_name = "N", default_value_t = 344, help_heading = "Model")]
    pub intermediate_size: usize,
    /// Number of layers
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Model")]
    pub num_hidden_layers: usize,
    /// Query heads of a layer
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Model")]
    pub num_attention_heads: usize,
    /// Key and value heads of a layer [default: as many as query heads]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub num_key_value_heads: Option<usize>,
    /// Kinds of layers, again and again: local (a window, rotary positions), global (no positions), rotary (no window)
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = layer_kind, default_value = "local,global",
          help_heading = "Model")]
    pub layer_pattern: Vec<LayerKind>,
    /// Keys that a row of a local layer sees
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Model")]
    pub sliding_window: usize,
    /// Norm on queries and keys: none, weightless, per_head
    #[arg(long, value_name = "NORM", default_value = "weightless", help_heading = "Model")]
    pub qk_norm: String,
    /// Base of the rotary frequencies
    #[arg(long, value_name = "THETA", default_value_t = 10000.0, help_heading = "Model")]
    pub rope_theta: f64,
    /// Standard deviation of the matrices that training begins with [default: 1 / sqrt(hidden size)]
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub initializer_range: Option<f64>,
    /// A tokenizer.json or its directory [default: that of --init, or one learned from the texts]
    #[arg(long, value_name = "PATH", help_heading = "Model")]
    pub tokenizer: Option<String>,
    /// Entries of a tokenizer that is learned: byte-level BPE, every digit a token
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Model")]
    pub vocab_size: usize,
    /// Tokens of a sequence: the training length
    #[arg(long, value_name = "LENGTH", default_value = "256", help_heading = "Data")]
    pub context_length: ContextLength,
    /// Kinds of sequences with their shares: text, needles, key-values
    #[arg(long, value_name = "KIND=SHARE", value_delimiter = ',', value_parser = share,
          default_value = "needles=0.5,key-values=0.5", help_heading = "Data")]
    pub mix: Vec<(String, f64)>,
    /// Haystacks, of which only the training part is used
    #[arg(
        long,
        value_name = "NAMES|PATHS",
        value_delimiter = ',',
        default_value = "essays,synthetic",
        help_heading = "Data"
    )]
    pub haystack: Vec<String>,
    /// Task of the needles
    #[arg(long, default_value = "magic", help_heading = "Data")]
    pub task: String,
    /// Weight of the loss of an answer's token; that of others is 1
    #[arg(long, value_name = "X", default_value_t = 5.0, help_heading = "Data")]
    pub answer_weight: f64,
    /// Seed of parameters and sequences
    #[arg(long, default_value_t = 42, help_heading = "Data")]
    pub seed: u64,
    /// Steps of the optimiser, AdamW
    #[arg(long, value_name = "N", default_value_t = 2000, help_heading = "Optimiser")]
    pub steps: usize,
    /// Sequences of a batch
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Optimiser")]
    pub batch_size: usize,
    /// Batches of a step, whose gradients are added up
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Optimiser")]
    pub accumulation: usize,
    /// Largest learning rate
    #[arg(long, value_name = "X", default_value_t = 3e-3, help_heading = "Optimiser")]
    pub lr: f64,
    /// What becomes of it: cosine (down to 0), constant
    #[arg(long, value_name = "NAME", value_parser = schedule, default_value = "cosine", help_heading = "Optimiser")]
    pub schedule: Schedule,
    /// Steps over which it rises [default: a twentieth of all, at most 100]
    #[arg(long, value_name = "N", help_heading = "Optimiser")]
    pub warmup_steps: Option<usize>,
    /// Weight decay of matrices; norms and scales have none
    #[arg(long, value_name = "X", default_value_t = 0.1, help_heading = "Optimiser")]
    pub weight_decay: f64,
    /// Decay of the first moments
    #[arg(long, value_name = "X", default_value_t = 0.9, help_heading = "Optimiser")]
    pub beta1: f64,
    /// Decay of the second moments
    #[arg(long, value_name = "X", default_value_t = 0.95, help_heading = "Optimiser")]
    pub beta2: f64,
    /// Largest norm of the gradient; 0 for no limit
    #[arg(long, value_name = "X", default_value_t = 1.0, help_heading = "Optimiser")]
    pub clip: f64,
    /// A TOML file whose keys are flags; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

fn layer_kind(text: &str) -> Result<LayerKind, crate::error::Error> {
    Ok(crate::registry::find("kind of layer", crate::train::LAYER_KINDS, text)?.value)
}

fn schedule(text: &str) -> Result<Schedule, crate::error::Error> {
    Ok(crate::registry::find("schedule", crate::train::SCHEDULES, text)?.value)
}

fn share(text: &str) -> Result<(String, f64), crate::error::Error> {
    let (name, share) = text.split_once('=').unwrap_or((text, "1"));
    let number = share.parse().map_err(|_| {
        crate::error::Error::invalid(
            "--mix",
            format!("{text:?}"),
            "a kind and its share, such as needles=0.5",
        )
    })?;
    Ok((name.to_string(), number))
}

/// Flags of `niah experiment`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  niah experiment ssmax -o out/ssmax --from-fixtures
  niah experiment ssmax -o out/ssmax
  niah experiment ssmax -o out/quick --small --steps 100 --seeds 42 --trials 1 --longest 4")]
pub struct ExperimentArgs {
    /// Which: ssmax
    pub name: String,
    /// Directory of report.html, report.md, figures and the stages; the same command goes on where it stopped
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: PathBuf,
    /// Measure the checkpoints that are shipped instead of training them
    #[arg(long, help_heading = "Training")]
    pub from_fixtures: bool,
    /// Steps of every training
    #[arg(long, value_name = "N", default_value_t = 2000, help_heading = "Training")]
    pub steps: usize,
    /// Seeds of the first two configurations; the others are trained with the first one
    #[arg(
        long,
        value_name = "SEEDS",
        value_delimiter = ',',
        default_value = "42,43,44",
        help_heading = "Training"
    )]
    pub seeds: Vec<u64>,
    /// Tokens of a training sequence
    #[arg(long, value_name = "LENGTH", default_value = "256", help_heading = "Training")]
    pub context_length: ContextLength,
    /// Train a smaller model on smaller batches: to see the experiment run, not to learn from it
    #[arg(long, help_heading = "Training")]
    pub small: bool,
    /// Trials of a cell
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, help_heading = "Measuring")]
    pub trials: usize,
    /// The longest context, in training lengths; lengths double up to it
    #[arg(long, value_name = "FACTOR", default_value_t = 32, help_heading = "Measuring")]
    pub longest: usize,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

/// Flags of `niah inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  niah inspect model.gguf
  niah inspect DIR --context-lengths 8k,128k
  niah inspect DIR --output-format json | jq .spec")]
pub struct InspectArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, or a hub id (fetched as for a run)
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Precision of the weights of the runs whose memory is shown: f32, bf16, f16
    #[arg(long, value_name = "DTYPE", value_parser = dtype, default_value = "f32")]
    pub dtype: Dtype,
    /// Precision of cached keys and values of those runs: f32, bf16 [default: bf16 with --dtype bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype)]
    pub kv_dtype: Option<KvDtype>,
    /// Lengths in tokens whose memory is shown: 4k,8k or 4096 or 2^12
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', default_value = "1k,4k,16k,64k")]
    pub context_lengths: Vec<ContextLength>,
    /// What goes to stdout: table (a page), or json (everything)
    #[arg(long, value_name = "FORM", value_parser = inspection_exporter, default_value = "table")]
    pub output_format: InspectionExporter,
}

/// Flags of `niah bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Each repetition reads a prompt of random tokens of every length and decodes behind it. Between the chunks of a prompt the best \
matrix multiply of the same dtype runs alone: GEMM is the share of its speed that linear maps reach.

Examples:
  niah bench -m model.gguf --dtype bf16
  niah bench -m DIR --context-lengths 4k,32k --repeats 9 --output-format csv")]
pub struct BenchArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, or a hub id
    #[arg(long, short, value_name = "FILE|DIR|ID", help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Prompt lengths in tokens: 4k,8k or 4096 or 2^12 [default: of 512,2k,4k,8k those within the model's positions]
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', help_heading = "Measurement")]
    pub context_lengths: Vec<ContextLength>,
    /// Tokens decoded behind each prompt, one by one
    #[arg(long, value_name = "N", default_value_t = 32, help_heading = "Measurement")]
    pub max_new_tokens: usize,
    /// How often each length is measured; medians are shown
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Measurement")]
    pub repeats: usize,
    /// Seed of the prompts' tokens
    #[arg(long, default_value_t = 42, help_heading = "Measurement")]
    pub seed: u64,
    /// What goes to stdout: table (medians and ranges), csv (medians), or json (both)
    #[arg(long, value_name = "FORM", value_parser = speed_exporter, default_value = "table", help_heading = "Output")]
    pub output_format: SpeedExporter,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah loss`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A prediction's position is the number of tokens that it is made from. Positions are summed up in buckets that double \
(1, 2, 3-4, 5-8, ...), as on a logarithmic axis, or with --buckets in that many of equal width. Texts all have one length; one \
whose haystack would have to begin again is refused. Intervals are Student's t over the means of the texts.

Examples:
  niah loss -m out/ssmax --context-length 4k -n 16 -o out/loss
  niah loss -m DIR --variant ssmax --haystack essays --split all --context-length 8k --buckets 16 --output-format csv")]
pub struct LossArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, or a hub id
    #[arg(long, short, value_name = "FILE|DIR|ID", help_heading = "Model")]
    pub model: String,
    /// Its attention.
    #[command(flatten)]
    pub attention: AttentionArgs,
    /// Tokens of a text, from which the last prediction is made: 4k or 4096 or 2^12
    #[arg(long, value_name = "LENGTH", default_value = "4k", help_heading = "Text")]
    pub context_length: ContextLength,
    /// Texts
    #[arg(long, short = 'n', value_name = "N", default_value_t = 8, help_heading = "Text")]
    pub trials: usize,
    /// Seed of the texts
    #[arg(long, default_value_t = 42, help_heading = "Text")]
    pub seed: u64,
    /// What they are from: essays, noise, synthetic (endless), or a file or directory of text
    #[arg(long, value_name = "NAME|PATH", default_value = "synthetic", help_heading = "Text")]
    pub haystack: String,
    /// Part of it: all, training, held-out (what niah train never saw)
    #[arg(long, value_name = "PART", value_parser = split, default_value = "held-out", help_heading = "Text")]
    pub split: Split,
    /// Number of position buckets, of equal width [default: buckets that double]
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub buckets: Option<usize>,
    /// Directory of loss.csv and loss.json, which says what was measured and the means of each text
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// What goes to stdout: table (with bars), csv or json (the table of buckets)
    #[arg(long, value_name = "FORM", value_parser = loss_exporter, default_value = "table", help_heading = "Output")]
    pub output_format: LossExporter,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// One kind alone: variants, families, tasks, haystacks, sequences, scorers, exporters
    pub kind: Option<String>,
}

fn dtype(text: &str) -> Result<Dtype, crate::error::Error> {
    Ok(crate::registry::find("dtype", crate::model::dtype::DTYPES, text)?.value)
}

fn kv_dtype(text: &str) -> Result<KvDtype, crate::error::Error> {
    Ok(crate::registry::find("dtype of a cache", KV_DTYPES, text)?.value)
}

fn chat_choice(text: &str) -> Result<ChatChoice, crate::error::Error> {
    Ok(crate::registry::find("choice", crate::plan::CHAT_CHOICES, text)?.value)
}

fn exporter(text: &str) -> Result<Exporter, crate::error::Error> {
    Ok(crate::registry::find("form of output", crate::export::EXPORTERS, text)?.value)
}

fn inspection_exporter(text: &str) -> Result<InspectionExporter, crate::error::Error> {
    Ok(crate::registry::find("form of output", INSPECTION_EXPORTERS, text)?.value)
}

fn speed_exporter(text: &str) -> Result<SpeedExporter, crate::error::Error> {
    Ok(crate::registry::find("form of output", SPEED_EXPORTERS, text)?.value)
}

fn loss_exporter(text: &str) -> Result<LossExporter, crate::error::Error> {
    Ok(crate::registry::find("form of output", LOSS_EXPORTERS, text)?.value)
}

fn split(text: &str) -> Result<Split, crate::error::Error> {
    Ok(crate::registry::find("part", crate::split::SPLITS, text)?.value)
}

fn snap(text: &str) -> Result<Snap, crate::error::Error> {
    Ok(crate::registry::find("cut", crate::prompt::SNAPS, text)?.value)
}

fn depth_spacing(text: &str) -> Result<DepthSpacing, crate::error::Error> {
    Ok(crate::registry::find("spacing", crate::grid::DEPTH_SPACINGS, text)?.value)
}

/// The command line as it is parsed: `-1` behind a flag is its value, so that the message names the flag.
#[must_use]
pub fn command() -> clap::Command {
    let numbers = |arg: clap::Arg| {
        let takes_value = arg.get_long().is_some() && arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    };
    Cli::command().mut_subcommands(|command| command.mut_args(numbers))
}

/// `_` is accepted for `-` in the names of flags.
#[must_use]
pub fn with_dashes(argument: &str) -> String {
    match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => format!("{}={value}", name.replace('_', "-")),
        None if argument.starts_with("--") => argument.replace('_', "-"),
        _ => argument.to_string(),
    }
}

/// Whether a flag takes a value, by its long name; `None` when `niah COMMAND` has no such flag.
#[must_use]
pub fn takes_value(command: &clap::Command, flag: &str) -> Option<bool> {
    let arg = command.get_arguments().find(|arg| {
        arg.get_long() == Some(flag)
            || arg.get_visible_aliases().is_some_and(|aliases| aliases.contains(&flag))
    })?;
    Some(!matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse))
}
