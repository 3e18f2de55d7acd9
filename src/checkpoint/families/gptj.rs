//! GPT-J: attention and MLP side by side on one LayerNorm, interleaved rotary positions, a head with a bias.

use super::common::activation;
use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, BlockKind, DecoderSpec, NormKind, RopeScaling, RopeSpec, RotaryLayout};

/// The base of GPT-J's rotary positions, which no configuration changes.
const THETA: f64 = 10_000.0;

/// Reads a GPT-J configuration. Without `rotary_dim`, whole heads turn.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let hidden_size = config.size("n_embd")?;
    let mut spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: config.size("n_head")?,
            num_key_value_heads: None,
            num_hidden_layers: "n_layer",
            intermediate_size: config.optional_size("n_inner")?.unwrap_or(4 * hidden_size),
        },
    )?;
    let rotary_dim = config.optional_size("rotary_dim")?.unwrap_or(spec.head_dim);
    if rotary_dim > spec.head_dim || !rotary_dim.is_multiple_of(2) {
        let expected = format!("an even number up to the {} of a head", spec.head_dim);
        return Err(config.wrong("rotary_dim", expected, rotary_dim));
    }
    let rope =
        RopeSpec { theta: THETA, scaling: RopeScaling::Default, original_max_position_embeddings: None };
    spec.layers.iter_mut().for_each(|layer| layer.rope = Some(rope.clone()));
    Ok(DecoderSpec {
        norm: NormKind::LayerWithBias,
        norm_eps: config.positive("layer_norm_epsilon")?,
        block: BlockKind::ParallelOneNorm,
        bias: Biases { qkv: false, output: false, mlp: true, head: true },
        hidden_act: activation(config)?,
        rotary_layout: RotaryLayout::Interleaved,
        rotary_dim,
        max_position_embeddings: config.optional_size("n_positions")?,
        ..spec
    })
}

/// GPT-J's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(match name {
        "model.embed_tokens.weight" => "transformer.wte.weight".to_string(),
        _ => name
            .replace("model.norm.", "transformer.ln_f.")
            .replace("model.layers.", "transformer.h.")
            .replace("input_layernorm", "ln_1")
            .replace("self_attn.", "attn.")
            .replace("o_proj", "out_proj")
            .replace("up_proj", "fc_in")
            .replace("down_proj", "fc_out"),
    })
}
