//! Falcon: attention and MLP side by side on one LayerNorm or on two, or one behind the other; rotary
//! positions or biases by distance; q, k and v in one matrix, whose rows three generations have put in three
//! orders.

use super::gpt_like::{Sizes, gpt_like};
use super::rope_config::{self, ROPE_KEYS};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{Alibi, Biases, BlockKind, DecoderSpec, Extras, NormKind};

/// Reads a Falcon configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let hidden_size = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let new = config.required_flag("new_decoder_architecture")?;
    let (one_key, parallel) = (config.required_flag("multi_query")?, config.required_flag("parallel_attn")?);
    let key_heads = match (new, one_key) {
        (true, _) => config.optional_size("num_kv_heads")?.unwrap_or(heads),
        (false, true) => 1,
        (false, false) => heads,
    };
    let mut spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: heads,
            num_key_value_heads: Some(key_heads),
            num_hidden_layers: "num_hidden_layers",
            intermediate_size: config.optional_size("ffn_hidden_size")?.unwrap_or(4 * hidden_size),
        },
    )?;
    let two_norms = new && config.optional_size("num_ln_in_parallel_attn")?.unwrap_or(2) == 2;
    let bias = config.required_flag("bias")?;
    spec = DecoderSpec {
        norm: NormKind::LayerWithBias,
        norm_eps: config.positive("layer_norm_epsilon")?,
        bias: Biases { qkv: bias, output: bias, mlp: bias, head: false },
        hidden_act: super::common::activation_of(config, "activation")?,
        block: match (two_norms, new || parallel) {
            (true, _) => BlockKind::ParallelTwoNorms,
            (false, true) => BlockKind::ParallelOneNorm,
            (false, false) => BlockKind::PreNorm,
        },
        max_position_embeddings: config.optional_size("max_position_embeddings")?,
        ..spec
    };
    if config.required_flag("alibi")? {
        let alibi = Alibi { scale: spec.attention_scale, rounded: true };
        spec.extras = Extras { alibi: Some(alibi), ..Extras::default() };
        return Ok(spec);
    }
    spec.rotary_dim = spec.head_dim;
    let rope = rope_config::read(config, &ROPE_KEYS, spec.head_dim)?;
    spec.layers.iter_mut().for_each(|layer| layer.rope = Some(rope.clone()));
    Ok(spec)
}

/// Falcon's names. Rows of the fused projection are, for each key head, its query heads, its key and its
/// value: one such group where there is one key head, one a head where there are as many keys as queries.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let two_norms = spec.block == BlockKind::ParallelTwoNorms;
    let renamed = match name {
        "model.embed_tokens.weight" => "transformer.word_embeddings.weight".to_string(),
        _ if two_norms => {
            name.replace("input_layernorm", "ln_attn").replace("post_attention_layernorm", "ln_mlp")
        }
        _ => name.to_string(),
    };
    let renamed = renamed
        .replace("model.norm.", "transformer.ln_f.")
        .replace("model.layers.", "transformer.h.")
        .replace("self_attn.", "self_attention.")
        .replace("o_proj", "dense")
        .replace("up_proj", "dense_h_to_4h")
        .replace("down_proj", "dense_4h_to_h");
    let queries = spec.num_attention_heads / spec.num_key_value_heads;
    let (d, group) = (spec.head_dim, (queries + 2) * spec.head_dim);
    for (part, start, len) in
        [("q_proj", 0, queries * d), ("k_proj", queries * d, d), ("v_proj", (queries + 1) * d, d)]
    {
        if renamed.contains(part) {
            let part_of = Part::Grouped { group, start, len };
            return Stored { part: part_of, ..Stored::whole(renamed.replace(part, "query_key_value")) };
        }
    }
    Stored::whole(renamed)
}
