//! Command R: one LayerNorm without bias for attention and MLP side by side, interleaved rotary positions.

use super::common::llama_like;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, NormKind, QkNorm, RotaryLayout};

/// Reads a Cohere configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        norm: NormKind::Layer,
        block: BlockKind::ParallelOneNorm,
        qk_norm: if config.flag("use_qk_norm")? { QkNorm::LayerByHead } else { QkNorm::None },
        rotary_layout: RotaryLayout::Interleaved,
        logits_multiplier: config.number("logit_scale")?,
        ..llama_like(config)?
    })
}

/// Cohere's norms of queries and keys are `[heads, head_dim]`.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    for norm in ["q_norm.", "k_norm."] {
        if let Some((place, head)) = name.strip_suffix(".weight").and_then(|name| name.split_once(norm))
            && let Ok(head) = head.parse()
        {
            return Stored { part: Part::Row(head), ..Stored::whole(format!("{place}{norm}weight")) };
        }
    }
    Stored::whole(name)
}
