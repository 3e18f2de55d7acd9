//! GPT BigCode (StarCoder, SantaCoder): GPT-2 with one key head, and matrices stored as `[out, in]`.

use super::common::activation;
use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, NormKind};

/// Reads a GPT BigCode configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    if config.flag("add_cross_attention")? {
        return Err(config.wrong(
            "add_cross_attention",
            "false: a decoder looks at its own text alone",
            true,
        ));
    }
    let hidden_size = config.size("n_embd")?;
    let one_key = config.required_flag("multi_query")?;
    let positions = config.size("n_positions")?;
    let scaled = config.required_flag("scale_attn_weights")?;
    let spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: config.size("n_head")?,
            num_key_value_heads: one_key.then_some(1),
            num_hidden_layers: "n_layer",
            intermediate_size: config.optional_size("n_inner")?.unwrap_or(4 * hidden_size),
        },
    )?;
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        norm_eps: config.positive("layer_norm_epsilon")?,
        bias: Biases { qkv: true, output: true, mlp: true, head: false },
        hidden_act: activation(config)?,
        learned_positions: Some(positions),
        max_position_embeddings: Some(positions),
        attention_scale: if scaled { spec.attention_scale } else { 1.0 },
        ..spec
    })
}

/// GPT-2's names. Rows of the fused projection are all queries, keys and values with one key head, else those
/// of each head.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = match name {
        "model.embed_tokens.weight" => return Stored::whole("transformer.wte.weight"),
        "model.embed_positions.weight" => return Stored::whole("transformer.wpe.weight"),
        _ => name
            .replace("model.norm.", "transformer.ln_f.")
            .replace("model.layers.", "transformer.h.")
            .replace("input_layernorm", "ln_1")
            .replace("post_attention_layernorm", "ln_2")
            .replace("self_attn.", "attn.")
            .replace("o_proj", "c_proj")
            .replace("up_proj", "c_fc")
            .replace("down_proj", "c_proj"),
    };
    let (d, hidden) = (spec.head_dim, spec.hidden_size);
    for (which, (part, start, len)) in
        [("q_proj", 0, hidden), ("k_proj", hidden, d), ("v_proj", hidden + d, d)].into_iter().enumerate()
    {
        if renamed.contains(part) {
            let part_of = match spec.num_key_value_heads {
                1 => Part::Rows { start, len },
                _ => Part::Interleaved { which, of: 3, head_dim: d },
            };
            return Stored { part: part_of, ..Stored::whole(renamed.replace(part, "c_attn")) };
        }
    }
    Stored::whole(renamed)
}
