//! GPT-2: LayerNorm, a plain MLP, biases, learned positions, and matrices stored as `[in, out]`.

use super::gpt_like::{Sizes, gpt2_like};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a GPT-2 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    // The names of other families are taken as well, and go before its own.
    let key = |other, own| if config.get(other).is_some() { other } else { own };
    let hidden_size = config.size(key("hidden_size", "n_embd"))?;
    let heads = config.size(key("num_attention_heads", "n_head"))?;
    if !hidden_size.is_multiple_of(heads) {
        return Err(config.wrong("n_head", format!("a divisor of n_embd = {hidden_size}"), heads));
    }
    for key in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        if config.flag(key)? {
            return Err(config.wrong(key, "false: niah does not know this attention rule", true));
        }
    }
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: heads,
        num_key_value_heads: None,
        num_hidden_layers: key("num_hidden_layers", "n_layer"),
        intermediate_size: config.optional_size("n_inner")?.unwrap_or(4 * hidden_size),
    };
    gpt2_like(config, sizes, config.size(key("max_position_embeddings", "n_positions"))?)
}

/// GPT-2's names and layouts.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let hidden = spec.hidden_size;
    let renamed = match name {
        "model.embed_tokens.weight" => return Stored::whole("transformer.wte.weight"),
        "model.embed_positions.weight" => return Stored::whole("transformer.wpe.weight"),
        _ => name
            .replace("model.norm.", "transformer.ln_f.")
            .replace("model.layers.", "transformer.h.")
            .replace("input_layernorm", "ln_1")
            .replace("post_attention_layernorm", "ln_2")
            .replace("self_attn.o_proj", "attn.c_proj")
            .replace("up_proj", "c_fc")
            .replace("down_proj", "c_proj"),
    };
    for (which, part) in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"].into_iter().enumerate()
    {
        if renamed.contains(part) {
            let part_of = Part::Rows { start: which * hidden, len: hidden };
            return Stored {
                transposed: true,
                part: part_of,
                ..Stored::whole(renamed.replace(part, "attn.c_attn"))
            };
        }
    }
    let matrix = renamed.contains("c_proj") || renamed.contains("c_fc");
    Stored { transposed: matrix, ..Stored::whole(renamed) }
}
