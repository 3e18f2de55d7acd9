//! BLOOM: biases by distance in place of positions, a LayerNorm behind the embedding, q, k and v in one
//! matrix by head.

use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Activation, Alibi, Biases, DecoderSpec, Extras, NormKind};

/// Reads a BLOOM configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    if config.flag("apply_residual_connection_post_layernorm")? {
        let expected = "false: niah does not know this order of a block";
        return Err(config.wrong("apply_residual_connection_post_layernorm", expected, true));
    }
    let hidden_size = config.size("hidden_size")?;
    let spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: config.size("n_head")?,
            num_key_value_heads: None,
            num_hidden_layers: "n_layer",
            intermediate_size: 4 * hidden_size,
        },
    )?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        norm_eps: config.positive("layer_norm_epsilon")?,
        bias: Biases { qkv: true, output: true, mlp: true, head: false },
        hidden_act: Activation::GeluTanh,
        extras: Extras {
            alibi: Some(Alibi { scale: 1.0, rounded: false }),
            embedding_norm: true,
            ..Extras::default()
        },
        ..spec
    })
}

/// BLOOM's names; rows of the fused projection are `[heads, 3, head_dim]`.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = match name {
        "model.embed_tokens.weight" => "transformer.word_embeddings.weight".to_string(),
        _ => name
            .replace("model.embed_norm.", "transformer.word_embeddings_layernorm.")
            .replace("model.norm.", "transformer.ln_f.")
            .replace("model.layers.", "transformer.h.")
            .replace("self_attn.", "self_attention.")
            .replace("o_proj", "dense")
            .replace("up_proj", "dense_h_to_4h")
            .replace("down_proj", "dense_4h_to_h"),
    };
    Stored::fused_by_head(&renamed, "query_key_value", spec.head_dim)
        .unwrap_or_else(|| Stored::whole(renamed))
}
