//! The command that trains: `train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::help::first;
use super::values::{choice, named, shares};
use crate::grid::ContextLength;
use crate::haystack::HAYSTACKS;
use crate::task::TASKS;
use crate::train::data::KINDS as SEQUENCES;
use crate::train::{LAYER_KINDS, LayerKind, QK_NORMS, SCHEDULES, Schedule, TRAINED};

/// Precisions that a trained checkpoint is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SaveDtype {
    /// As they were trained
    F32,
    /// Rounded: half the size
    Bf16,
}

/// Families that can be trained from scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrainedFamily {
    /// A decoder with the attention variant of --variant
    Niah,
    /// Screening tiles in place of attention and MLP
    Multiscreen,
}

/// Flags that say what a model from scratch is made of: a checkpoint to begin with has its own.
const OF_A_NEW_MODEL: [&str; 17] = [
    "family",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "layer_pattern",
    "sliding_window",
    "qk_norm",
    "differential",
    "rope_theta",
    "initializer_range",
    "key_dim",
    "value_dim",
    "mipe_threshold",
    "acceptance_init",
    "vocab_size",
];

/// Flags of `niah train`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah train -o out/ssmax --variant ssmax --curriculum-steps 800
  niah train -o out/ssmax --resume
  niah train out/softmax -o out/swapped --variant ssmax --steps 250",
    after_long_help = "\
Multiscreen, as it is shipped:
  niah train -o out/multiscreen --family multiscreen --num-attention-heads 8 \\
    --value-dim 32 --acceptance-init 3 --curriculum-steps 800 --lr 0.02",
    mut_args(first(&["output", "resume", "variant", "steps"]))
)]
pub struct TrainArgs {
    /// Directory of the checkpoint
    ///
    /// With training.csv and training.json.
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: PathBuf,
    /// Go on from the state that was saved last, bit for bit
    ///
    /// Everything else is what the directory says; a flag that says otherwise is refused.
    #[arg(long, help_heading = "Output")]
    pub resume: bool,
    /// Steps after which everything is saved, besides at the end and on Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 200, help_heading = "Output")]
    pub save_every: usize,
    /// Precision of the weights in model.safetensors; training is in f32 in any case
    #[arg(long, value_name = "DTYPE", value_enum, default_value = "f32", help_heading = "Output")]
    pub save_dtype: SaveDtype,
    /// Checkpoint to train further [default: a model from scratch]
    #[arg(value_name = "MODEL", conflicts_with_all = OF_A_NEW_MODEL, conflicts_with = "init")]
    begin: Option<String>,
    /// The checkpoint, as a flag
    #[arg(
        long,
        short = 'm',
        value_name = "MODEL",
        aliases = ["model", "model-name"],
        conflicts_with_all = OF_A_NEW_MODEL,
        help_heading = "Model"
    )]
    init: Option<String>,
    /// What a model from scratch is made of
    #[arg(long, value_name = "FAMILY", value_enum, default_value = "niah", help_heading = "Model")]
    pub family: TrainedFamily,
    /// Attention variant of the layers without a window
    ///
    /// [default: that of MODEL, or softmax]
    #[arg(long, value_name = "VARIANT", value_parser = named(TRAINED), help_heading = "Model")]
    pub variant: Option<String>,
    /// The scale s that training begins with
    ///
    /// [default: 1 / mean(ln n) over the context length]
    #[arg(long, value_name = "S", help_heading = "Model")]
    pub ssmax_init: Option<f64>,
    /// Train plain softmax up to this step and switch to --variant there
    #[arg(long, value_name = "STEP", help_heading = "Model")]
    pub swap_at_step: Option<usize>,
    /// Width of the residual stream
    #[arg(long, value_name = "N", default_value_t = 128, help_heading = "Model")]
    pub hidden_size: usize,
    /// Inner width of the MLP [default: 344]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub intermediate_size: Option<usize>,
    /// Number of layers
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Model")]
    pub num_hidden_layers: usize,
    /// Query heads of a layer; of multiscreen, tiles
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Model")]
    pub num_attention_heads: usize,
    /// Key and value heads of a layer [default: as many as query heads]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub num_key_value_heads: Option<usize>,
    /// Kinds of layers, repeated in this order [default: local,global]
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        value_parser = choice("kind of layer", LAYER_KINDS),
        help_heading = "Model"
    )]
    pub layer_pattern: Option<Vec<LayerKind>>,
    /// Keys that a row of a local layer sees [default: 32]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub sliding_window: Option<usize>,
    /// Norm on queries and keys [default: weightless]
    #[arg(
        long,
        value_name = "NORM",
        value_parser = choice("norm", QK_NORMS),
        help_heading = "Model"
    )]
    pub qk_norm: Option<&'static str>,
    /// Subtract the heads of layers without a window in pairs, as DiffLlama does
    ///
    /// Under any --variant.
    #[arg(long, help_heading = "Model")]
    pub differential: bool,
    /// Base of the rotary frequencies [default: 10000]
    #[arg(long, value_name = "THETA", help_heading = "Model")]
    pub rope_theta: Option<f64>,
    /// Standard deviation of the matrices that training begins with
    ///
    /// [default: 1 / sqrt(hidden size)]
    #[arg(long, value_name = "X", help_heading = "Model")]
    pub initializer_range: Option<f64>,
    /// Width of keys of multiscreen [default: 16]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub key_dim: Option<usize>,
    /// Width of values of multiscreen [default: 64]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub value_dim: Option<usize>,
    /// Windows of multiscreen begin between 2 and N + 1 tokens; tiles with windows below N have rotary
    /// positions [default: 256]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub mipe_threshold: Option<f64>,
    /// s_r that multiscreen begins with: tiles accept a width of sigmoid(s_r)
    ///
    /// [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Model")]
    pub acceptance_init: Option<f64>,
    /// A tokenizer.json or its directory
    ///
    /// [default: that of MODEL, or one learned from the texts]
    #[arg(long, value_name = "PATH", conflicts_with = "vocab_size", help_heading = "Model")]
    pub tokenizer: Option<String>,
    /// Entries of a tokenizer that is learned: byte-level BPE, every digit a token
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Model")]
    pub vocab_size: usize,
    /// Tokens of a sequence: the training length
    #[arg(
        long,
        value_name = "LENGTH",
        default_value = "256",
        aliases = ["context-lengths", "length"],
        help_heading = "Data"
    )]
    pub context_length: ContextLength,
    /// Kinds of sequences with their shares; every task is a kind by its name (see niah list tasks)
    #[arg(
        long,
        value_name = "KIND=SHARE",
        value_delimiter = ',',
        value_parser = shares(SEQUENCES),
        default_value = "needles=0.5,key-values=0.5",
        help_heading = "Data"
    )]
    pub mix: Vec<(String, f64)>,
    /// Steps over which key-value lines grow from 2 digits and 3 letters to 6 digits and 26 letters, and
    /// prompts of tasks from a quarter of a sequence to all of it
    ///
    /// [default: none]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = "Data")]
    pub curriculum_steps: usize,
    /// Haystacks, of which only the training part is used
    #[arg(
        long,
        value_name = "NAMES|PATHS",
        value_delimiter = ',',
        value_parser = named(HAYSTACKS),
        default_value = "essays,synthetic",
        help_heading = "Data"
    )]
    pub haystack: Vec<String>,
    /// Task of the needles
    #[arg(
        long,
        value_parser = named(TASKS),
        default_value = TASKS[0].name,
        help_heading = "Data"
    )]
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
    /// Largest learning rate [default: 0.003; of multiscreen 0.0625]
    #[arg(long, value_name = "X", help_heading = "Optimiser")]
    pub lr: Option<f64>,
    /// Schedule of the learning rate
    ///
    /// [default: cosine; of multiscreen constant]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = choice("schedule", SCHEDULES),
        help_heading = "Optimiser"
    )]
    pub schedule: Option<Schedule>,
    /// Steps of linear warm-up of the learning rate
    ///
    /// [default: a twentieth of all, at most 100]
    #[arg(long, value_name = "N", help_heading = "Optimiser")]
    pub warmup_steps: Option<usize>,
    /// Weight decay of matrices; norms and scales have none
    ///
    /// [default: 0.1; of multiscreen 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser")]
    pub weight_decay: Option<f64>,
    /// Decay of the first moments
    #[arg(long, value_name = "X", default_value_t = 0.9, help_heading = "Optimiser")]
    pub beta1: f64,
    /// Decay of the second moments
    #[arg(long, value_name = "X", default_value_t = 0.95, help_heading = "Optimiser")]
    pub beta2: f64,
    /// Largest norm of the gradient; 0 for no limit
    ///
    /// [default: 1; of multiscreen 0]
    #[arg(long, value_name = "X", help_heading = "Optimiser")]
    pub clip: Option<f64>,
    /// A TOML file whose keys are flags; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Threads [default: the processors this process may use]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    pub threads: Option<usize>,
}

impl TrainArgs {
    /// The checkpoint that training begins with; none for a model from scratch.
    #[must_use]
    pub fn init(&self) -> Option<&str> {
        self.init.as_deref().or(self.begin.as_deref())
    }
}
