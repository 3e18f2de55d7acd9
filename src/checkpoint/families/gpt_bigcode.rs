//! GPT BigCode (StarCoder, SantaCoder): GPT-2 with one key head, and matrices stored as `[out, in]`.

use super::gpt_like::{Sizes, gpt2_like};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::DecoderSpec;

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
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: config.size("n_head")?,
        num_key_value_heads: one_key.then_some(1),
        num_hidden_layers: "n_layer",
        intermediate_size: config.optional_size("n_inner")?.unwrap_or(4 * hidden_size),
    };
    gpt2_like(config, sizes, config.size("n_positions")?)
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
    if spec.num_key_value_heads > 1 {
        return Stored::fused_by_head(&renamed, "c_attn", d).unwrap_or_else(|| Stored::whole(renamed));
    }
    for (part, start, len) in [("q_proj", 0, hidden), ("k_proj", hidden, d), ("v_proj", hidden + d, d)] {
        if renamed.contains(part) {
            let rows = Part::Rows { start, len };
            return Stored { part: rows, ..Stored::whole(renamed.replace(part, "c_attn")) };
        }
    }
    Stored::whole(renamed)
}
