//! What is taken from a model to see what it is good for.

use std::path::PathBuf;

use clap::Args;

use super::values::choice;
use crate::plan::{MASKS_BY, MaskBy};
use crate::span::SpanKind;
use crate::spec::LayerRanges;

/// Heads and spans that are masked.
#[derive(Debug, Clone, Default, Args)]
pub struct MaskArgs {
    /// Take away the output of heads: top:K, random:K, LAYER.HEAD,..., or a file
    ///
    /// top:K are the best of --mask-ranking; random:K are K of all heads but its best K (of all, without it),
    /// as --seed has it, and random:K:1, random:K:2, ... are other draws. Layers and heads count from 0. A
    /// file names heads as LAYER.HEAD, or as JSON whose keys are LAYER-HEAD. Prompts stay the same.
    #[arg(long, value_name = "HEADS", help_heading = "Masking")]
    pub mask_heads: Option<String>,
    /// What stands in the place of the output of masked heads
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = choice("mask", MASKS_BY),
        default_value = MASKS_BY[0].name,
        requires = "mask_heads",
        help_heading = "Masking"
    )]
    pub mask_heads_by: MaskBy,
    /// Ranking of heads for top:K and random:K: a file, or the directory of a run
    ///
    /// A file of JSON holds the scores of each head under LAYER-HEAD, as Retrieval_Head writes it and niah
    /// heads does; the mean counts. Of a run, it is the mean needle mass.
    #[arg(long, value_name = "FILE|DIR", requires = "mask_heads", help_heading = "Masking")]
    pub mask_ranking: Option<PathBuf>,
    /// Block attention to spans of these kinds, for all that stands behind them
    ///
    /// target, other, distractor, stale, answer-source, hop-1, ...; niah prompts shows those of a task.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', help_heading = "Masking")]
    pub mask_span: Vec<SpanKind>,
    /// Layers that do not attend to --mask-span, such as 3-7,9 [default: all]
    #[arg(long, value_name = "LAYERS", requires = "mask_span", help_heading = "Masking")]
    pub mask_layers: Option<LayerRanges>,
}
