//! OPT: learned positions, an MLP of ReLU, biases everywhere; OPT 350M with norms behind each sum and an
//! embedding narrower than its layers.

use super::common::activation;
use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, Extras, NormKind};

/// Rows of the table of positions before that of position 0.
const OFFSET: usize = 2;

/// Reads an OPT configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let before = config.required_flag("do_layer_norm_before")?;
    for (key, known) in [("layer_norm_elementwise_affine", true), ("_remove_final_layer_norm", false)] {
        if config.required_flag(key)? != known {
            return Err(config.wrong(key, format!("{known}: niah knows no other OPT"), !known));
        }
    }
    let hidden_size = config.size("hidden_size")?;
    let spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: config.size("num_attention_heads")?,
            num_key_value_heads: None,
            num_hidden_layers: "num_hidden_layers",
            intermediate_size: config.size("ffn_dim")?,
        },
    )?;
    let positions = config.size("max_position_embeddings")?;
    let bias = config.required_flag("enable_bias")?;
    let embedding = config.optional_size("word_embed_proj_dim")?.filter(|size| *size != hidden_size);
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        block: if before { BlockKind::PreNorm } else { BlockKind::NormAfterSum },
        bias: Biases { qkv: bias, output: bias, mlp: bias, head: false },
        hidden_act: activation(config)?,
        learned_positions: Some(OFFSET + positions),
        max_position_embeddings: Some(positions),
        extras: Extras { embedding_size: embedding, position_offset: OFFSET, ..Extras::default() },
        ..spec
    })
}

/// OPT's names.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let last = if spec.block == BlockKind::NormAfterSum {
        "post_feedforward_layernorm"
    } else {
        "post_attention_layernorm"
    };
    let first =
        if spec.block == BlockKind::NormAfterSum { "post_attention_layernorm" } else { "input_layernorm" };
    let Some(within) = name.strip_prefix("model.") else { return Stored::whole(name) };
    let within = within
        .replace(last, "final_layer_norm")
        .replace(first, "self_attn_layer_norm")
        .replace("o_proj", "out_proj")
        .replace("mlp.up_proj", "fc1")
        .replace("mlp.down_proj", "fc2");
    let within = match within.strip_prefix("norm.") {
        Some(rest) => format!("final_layer_norm.{rest}"),
        None => within,
    };
    Stored::whole(format!("model.decoder.{within}"))
}
