//! GPT-NeoX and Pythia: attention and MLP side by side with a LayerNorm each, q, k and v in one matrix by
//! head, partial rotary positions.

use super::common::{like_llama, refuse_other_heads};
use super::rope_config::RopeKeys;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, MlpKind, NormKind};

/// Reads a GPT-NeoX configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let parallel = config.required_flag("use_parallel_residual")?;
    let keys = RopeKeys { theta: "rotary_emb_base", share: Some("rotary_pct"), only_longrope: false };
    let spec = like_llama(config, &keys)?;
    refuse_other_heads(&spec, config)?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: if parallel { BlockKind::ParallelTwoNorms } else { BlockKind::PreNorm },
        bias: Biases { mlp: true, ..spec.bias },
        mlp: MlpKind::Plain,
        ..spec
    })
}

/// GPT-NeoX's names; rows of the fused projection are `[heads, 3, head_dim]`.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = match name {
        "lm_head.weight" => "embed_out.weight".to_string(),
        "model.embed_tokens.weight" => "gpt_neox.embed_in.weight".to_string(),
        _ => name
            .replace("model.norm.", "gpt_neox.final_layer_norm.")
            .replace("model.layers.", "gpt_neox.layers.")
            .replace("self_attn.o_proj", "attention.dense")
            .replace("up_proj", "dense_h_to_4h")
            .replace("down_proj", "dense_4h_to_h"),
    };
    let fused = renamed.replace("self_attn.", "attention.");
    Stored::fused_by_head(&fused, "query_key_value", spec.head_dim).unwrap_or_else(|| Stored::whole(renamed))
}
