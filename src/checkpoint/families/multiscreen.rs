//! Multiscreen (arXiv 2604.01178): layers of screening tiles, without attention, MLP or norms.
//!
//! | key | |
//! |---|---|
//! | `num_attention_heads` | tiles of a layer |
//! | `key_dim`, `value_dim` | widths of keys and values |
//! | `max_position_embeddings` | length the weights were trained on |
//! | `mipe_threshold` | `w_th`: windows below it have positions |
//! | `mipe_position_mode` | `paper_absolute`; checkpoints without it wrap positions at each tile's window behind the training length |

use super::common::layer_count;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{
    Activation, Biases, BlockKind, DecoderSpec, Extras, LayerSpec, MlpKind, NormKind, QkNorm, RotaryLayout,
};
use crate::spec::{MipePositions, ScreeningSpec};

/// Reads a Multiscreen configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let num_hidden_layers = layer_count(config, "num_hidden_layers")?;
    let tiles = config.size("num_attention_heads")?;
    let key_dim = config.size("key_dim")?;
    if key_dim < 2 {
        return Err(config.wrong("key_dim", "at least 2: positions turn the first two coordinates", key_dim));
    }
    if !config.required_flag("tie_word_embeddings")? {
        let expected = "true: the head of Multiscreen is its embedding";
        return Err(config.wrong("tie_word_embeddings", expected, false));
    }
    let training_length = config.size("max_position_embeddings")?;
    let screening = ScreeningSpec {
        value_dim: config.size("value_dim")?,
        mipe_threshold: config.positive("mipe_threshold")?,
        mipe_positions: mipe_positions(config)?,
        training_length,
        window_expansion: true,
    };
    Ok(DecoderSpec {
        vocab_size: config.size("vocab_size")?,
        hidden_size: config.size("hidden_size")?,
        intermediate_size: tiles.saturating_mul(screening.value_dim),
        num_hidden_layers,
        num_attention_heads: tiles,
        num_key_value_heads: tiles,
        head_dim: key_dim,
        norm: NormKind::Rms,
        norm_eps: 0.0,
        block: BlockKind::PreNorm,
        qk_norm: QkNorm::None,
        bias: Biases::default(),
        mlp: MlpKind::Gated,
        hidden_act: Activation::Silu,
        tie_word_embeddings: true,
        layers: vec![LayerSpec::default(); num_hidden_layers],
        rotary_layout: RotaryLayout::Interleaved,
        rotary_dim: 0,
        learned_positions: None,
        attention_scale: 1.0,
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logits_multiplier: 1.0,
        max_position_embeddings: Some(training_length),
        screening: Some(screening),
        extras: Extras::default(),
    })
}

fn mipe_positions(config: &Config) -> Result<MipePositions> {
    const KEY: &str = "mipe_position_mode";
    match config.optional_string(KEY)?.as_deref() {
        None => Ok(MipePositions::Wrapped),
        Some("paper_absolute") => Ok(MipePositions::Absolute),
        Some(other) => Err(config.wrong(KEY, "paper_absolute, or no such key", format!("{other:?}"))),
    }
}

/// Multiscreen's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let name = name.replace("model.embed_tokens.", "multiscreen.embed.");
    match name.strip_prefix("model.") {
        Some(rest) => Stored::whole(format!("multiscreen.{rest}")),
        None => Stored::whole(name),
    }
}
