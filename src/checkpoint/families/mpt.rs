//! MPT: biases by distance in place of positions, LayerNorms without bias, q, k and v in one matrix.

use super::gpt_like::{Sizes, gpt_like};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{Alibi, DecoderSpec, Extras};

/// Keys of its configuration that its class has and its layers do not read.
const SILENT: &[&str] =
    &["expansion_ratio", "learned_pos_emb", "logit_scale", "no_bias", "embedding_fraction", "norm_type"];

/// Reads an MPT configuration. Slopes are those of `alibi_bias_max` 8, whatever it says, as in transformers.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    for silent in SILENT {
        let _ = config.get(silent);
    }
    let hidden_size = config.size("d_model")?;
    let spec = gpt_like(
        config,
        Sizes {
            hidden_size,
            num_attention_heads: config.size("n_heads")?,
            num_key_value_heads: None,
            num_hidden_layers: "n_layers",
            intermediate_size: 4 * hidden_size,
        },
    )?;
    let section = config.optional_section("attn_config")?;
    let (clip_qkv, scale) = match &section {
        Some(section) => {
            if section.optional_flag("alibi")? == Some(false) || section.optional_flag("qk_ln")? == Some(true)
            {
                let expected = "alibi true and qk_ln false: niah knows no other MPT";
                return Err(config.wrong("attn_config", expected, "another attention"));
            }
            (section.optional_positive("clip_qkv")?, section.optional_positive("softmax_scale")?)
        }
        None => (None, None),
    };
    Ok(DecoderSpec {
        norm_eps: config.positive("layer_norm_epsilon")?,
        attention_scale: scale.unwrap_or(spec.attention_scale),
        max_position_embeddings: config.optional_size("max_seq_len")?,
        extras: Extras { alibi: Some(Alibi { scale: 1.0, rounded: false }), clip_qkv, ..Extras::default() },
        ..spec
    })
}

/// MPT's names; q, k and v are thirds of one matrix.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = match name {
        "model.embed_tokens.weight" => "transformer.wte.weight".to_string(),
        _ => name
            .replace("model.norm.", "transformer.norm_f.")
            .replace("model.layers.", "transformer.blocks.")
            .replace("input_layernorm", "norm_1")
            .replace("post_attention_layernorm", "norm_2")
            .replace("self_attn.", "attn.")
            .replace("o_proj", "out_proj")
            .replace("mlp.", "ffn."),
    };
    let len = spec.hidden_size;
    for (which, part) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        if renamed.contains(&format!("attn.{part}")) {
            let rows = Part::Rows { start: which * len, len };
            return Stored { part: rows, ..Stored::whole(renamed.replace(part, "Wqkv")) };
        }
    }
    Stored::whole(renamed)
}
