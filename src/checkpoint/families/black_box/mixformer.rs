//! Phi 1, 1.5 and 2 as their first files have them: layers in a row, the embedding the first and the head the
//! last.

use super::super::gpt_like::Sizes;
use super::super::state_space::leave_aside;
use super::unseen;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlackBoxSpec, DecoderSpec, MixFormerSpec};

/// Reads a configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    leave_aside(config, &["architecture", "blocks", "embd_layer", "input_emb_layer", "phyagi_version"]);
    let act = config.optional_string("activation_function")?.unwrap_or_else(|| "gelu_new".to_string());
    if act != "gelu_new" {
        return Err(config.wrong("activation_function", "gelu_new", act));
    }
    let (hidden_size, heads) = (config.size("n_embd")?, config.size("n_head")?);
    let head_dim = hidden_size / heads;
    let rotary_dim = config.optional_size("rotary_dim")?.unwrap_or(32).min(head_dim);
    if !rotary_dim.is_multiple_of(2) {
        return Err(config.wrong("rotary_dim", "an even number", rotary_dim));
    }
    // Rows of the embedding are filled up to a multiple.
    let multiple = config.optional_size("pad_vocab_size_multiple")?.unwrap_or(64);
    let vocab = config.size("vocab_size")?.div_ceil(multiple).saturating_mul(multiple);
    let inner = config.optional_size("n_inner")?;
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: heads,
        num_key_value_heads: None,
        num_hidden_layers: "n_layer",
        intermediate_size: inner.unwrap_or(hidden_size.saturating_mul(4)),
    };
    let black_box = BlackBoxSpec::MixFormer(MixFormerSpec { rotary_dim });
    let mut spec = unseen(&config.narrowed(|key| key != "vocab_size"), sizes, vocab, black_box)?;
    spec.norm_eps = config.optional_positive("layer_norm_epsilon")?.unwrap_or(1e-5);
    spec.max_position_embeddings = config.optional_size("n_positions")?;
    Ok(spec)
}
