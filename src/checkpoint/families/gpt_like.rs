//! What decoders without rotary positions have in common, whose configurations have names of their own.

use super::common::{activation, layer_count};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{
    Activation, Biases, BlockKind, DecoderSpec, Extras, LayerSpec, MlpKind, NormKind, QkNorm, RotaryLayout,
};

/// Sizes under a family's own names.
pub(super) struct Sizes {
    pub(super) hidden_size: usize,
    pub(super) num_attention_heads: usize,
    /// As many as query heads where it says nothing.
    pub(super) num_key_value_heads: Option<usize>,
    /// The key of the number of layers.
    pub(super) num_hidden_layers: &'static str,
    pub(super) intermediate_size: usize,
}

/// A decoder with LayerNorms without bias, a plain MLP of GELU, a tied head and no positions: families change
/// what they do otherwise.
pub(super) fn gpt_like(config: &Config, sizes: Sizes) -> Result<DecoderSpec> {
    let Sizes { hidden_size, num_attention_heads, intermediate_size, .. } = sizes;
    if !hidden_size.is_multiple_of(num_attention_heads) {
        let expected = format!("a multiple of the {num_attention_heads} attention heads");
        return Err(config.wrong("hidden_size", expected, hidden_size));
    }
    let num_key_value_heads = sizes.num_key_value_heads.unwrap_or(num_attention_heads);
    if !num_attention_heads.is_multiple_of(num_key_value_heads) {
        let expected = format!("a divisor of the {num_attention_heads} attention heads");
        return Err(config.wrong("num_kv_heads", expected, num_key_value_heads));
    }
    let num_hidden_layers = layer_count(config, sizes.num_hidden_layers)?;
    let head_dim = hidden_size / num_attention_heads;
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size")?,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads,
        head_dim,
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        block: BlockKind::PreNorm,
        qk_norm: QkNorm::None,
        bias: Biases::default(),
        mlp: MlpKind::Plain,
        hidden_act: Activation::Gelu,
        tie_word_embeddings: config.required_flag("tie_word_embeddings")?,
        layers: vec![LayerSpec::default(); num_hidden_layers],
        rotary_layout: RotaryLayout::Half,
        rotary_dim: 0,
        learned_positions: None,
        attention_scale: (head_dim as f64).powf(-0.5),
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logits_multiplier: 1.0,
        max_position_embeddings: None,
        screening: None,
        extras: Extras::default(),
    })
}

/// The same with what GPT-2 has besides: learned `positions`, biases, and LayerNorms with one.
pub(super) fn gpt2_like(config: &Config, sizes: Sizes, positions: usize) -> Result<DecoderSpec> {
    let scaled = config.required_flag("scale_attn_weights")?;
    let spec = gpt_like(config, sizes)?;
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
