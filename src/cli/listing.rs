//! The commands that say what there is: `inspect` a checkpoint, `list` the names.

use clap::Args;

use super::FormArgs;
use super::help::first;
use super::model::CheckpointArgs;
use super::values::{choice, named};
use crate::commands::list;
use crate::grid::ContextLength;
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::plan::ModelChoice;
use crate::spec::{DTYPES, Dtype, ENGINES, Engine, WEIGHT_FORMS, WeightForm};

/// Flags of `niah inspect`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah inspect model.gguf
  niah inspect DIR --context-lengths 8k,128k
  niah inspect -m DIR --output-format json",
    mut_args(first(&["context_lengths", "dtype", "output_format"]))
)]
pub struct InspectArgs {
    /// Which.
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
    /// Precision of the weights [default: as in niah run]
    ///
    /// It is that of the runs whose memory is shown.
    #[arg(long, value_parser = choice("dtype", DTYPES))]
    pub dtype: Option<Dtype>,
    /// Form that weights are held in by those runs [default: as in niah run]
    #[arg(
        long,
        value_name = "FORM",
        value_parser = choice("form of the weights", WEIGHT_FORMS),
        help_heading = "Memory"
    )]
    pub weights: Option<WeightForm>,
    /// Precision of cached keys and values of those runs
    ///
    /// [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = choice("dtype of a cache", KV_DTYPES), help_heading = "Memory")]
    pub kv_dtype: Option<KvDtype>,
    /// Precision of cached keys of those runs [default: --kv-dtype]
    #[arg(long, value_name = "DTYPE", value_parser = choice("dtype of a cache", KV_DTYPES), alias = "cache-type-k", help_heading = "Memory")]
    pub k_dtype: Option<KvDtype>,
    /// Precision of cached values of those runs [default: --kv-dtype]
    #[arg(long, value_name = "DTYPE", value_parser = choice("dtype of a cache", KV_DTYPES), alias = "cache-type-v", help_heading = "Memory")]
    pub v_dtype: Option<KvDtype>,
    /// Who computes those runs
    #[arg(long, default_value = ENGINES[0].name, value_parser = choice("engine", ENGINES), help_heading = "Memory")]
    pub engine: Engine,
    /// Lengths in tokens whose memory is shown: 4k,8k or 4096 or 2^12
    #[arg(
        long,
        value_name = "LENGTHS",
        value_delimiter = ',',
        default_value = "1k,4k,16k,64k",
        aliases = ["context-length", "lengths", "length"]
    )]
    pub context_lengths: Vec<ContextLength>,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
}

impl InspectArgs {
    /// The checkpoint, in the precision of the runs whose memory is shown.
    #[must_use]
    pub fn choice(&self) -> ModelChoice {
        ModelChoice {
            dtype: self.dtype,
            kv_dtype: self.kv_dtype,
            k_dtype: self.k_dtype,
            v_dtype: self.v_dtype,
            engine: self.engine,
            weights: self.weights,
            ..ModelChoice::of(self.checkpoint.name())
        }
    }
}

/// Flags of `niah list`.
#[derive(Debug, Clone, Args)]
#[command(before_help = "\
Examples:
  niah list
  niah list variants
  niah list tasks --output-format json")]
pub struct ListArgs {
    /// One kind alone
    #[arg(value_parser = named(list::KINDS))]
    pub kind: Option<String>,
    /// What goes to stdout
    #[arg(
        long,
        value_name = "FORM",
        value_parser = choice("form of output", list::FORMS),
        default_value = list::FORMS[0].name
    )]
    pub output_format: list::Form,
}
