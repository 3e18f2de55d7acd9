//! The commands that say what there is: `inspect` a checkpoint, `list` the names.

use clap::Args;

use super::values::{dtype, exporter, kv_dtype};
use crate::checkpoint::DEFAULT_CHECKPOINT;
use crate::export::Exporter;
use crate::grid::ContextLength;
use crate::model::kv_cache::KvDtype;
use crate::plan::ModelChoice;
use crate::spec::Dtype;

/// Flags of `niah inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  niah inspect model.gguf
  niah inspect DIR --context-lengths 8k,128k
  niah inspect DIR --output-format json | jq .spec")]
pub struct InspectArgs {
    /// Checkpoint: a GGUF file, a directory with config.json and safetensors, a hub id (fetched as for a run), or shipped:NAME (niah list checkpoints)
    #[arg(value_name = "MODEL", default_value = DEFAULT_CHECKPOINT)]
    pub model: String,
    /// Precision of the weights of the runs whose memory is shown: f32, bf16, f16 [default: as in niah run]
    #[arg(long, value_name = "DTYPE", value_parser = dtype)]
    pub dtype: Option<Dtype>,
    /// Precision of cached keys and values of those runs: f32, bf16 [default: bf16 beside weights in bf16 on the CPU, else f32]
    #[arg(long, value_name = "DTYPE", value_parser = kv_dtype)]
    pub kv_dtype: Option<KvDtype>,
    /// Lengths in tokens whose memory is shown: 4k,8k or 4096 or 2^12
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', default_value = "1k,4k,16k,64k")]
    pub context_lengths: Vec<ContextLength>,
    /// What goes to stdout: table (a page), json (everything), csv (the facts), markdown, html or svg
    #[arg(long, value_name = "FORM", value_parser = exporter, default_value = "table")]
    pub output_format: Exporter,
}

impl InspectArgs {
    /// The checkpoint, in the precision of the runs whose memory is shown.
    #[must_use]
    pub fn choice(&self) -> ModelChoice {
        ModelChoice { dtype: self.dtype, kv_dtype: self.kv_dtype, ..ModelChoice::of(&self.model) }
    }
}

/// Flags of `niah list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// One kind alone: variants, families, architectures, checkpoints, tasks, haystacks, sequences, scorers, experiments, exporters
    pub kind: Option<String>,
}
