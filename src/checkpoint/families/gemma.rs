//! Gemma: norms of `1 + w` and scaled embeddings; Gemma 2 and 3 with norms before and after attention and
//! MLP, and alternating windows.

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use super::rope_config;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{Activation, BlockKind, DecoderSpec, NormKind, QkNorm};

/// Reads a Gemma configuration. What old files call `gelu` is its tanh approximation.
pub(super) fn gemma1(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    Ok(DecoderSpec {
        norm: NormKind::RmsPlusOne,
        hidden_act: if spec.hidden_act == Activation::Gelu { Activation::GeluTanh } else { spec.hidden_act },
        embedding_multiplier: (spec.hidden_size as f64).sqrt(),
        ..spec
    })
}

/// Reads a Gemma 2 configuration: soft caps, windows on every other layer.
pub(super) fn gemma2(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let mut spec = DecoderSpec {
        attn_logit_softcapping: config.optional_positive("attn_logit_softcapping")?,
        ..gemma(spec, config)?
    };
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer % 2 == 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    Ok(spec)
}

/// Reads a Gemma 3 configuration: query and key norms, five layers with windows and a rotary base of their
/// own for each one without. Its attention has no soft cap, whatever the configuration says.
pub(super) fn gemma3(config: &Config) -> Result<DecoderSpec> {
    // Both kinds of layers turn whole heads; what they turn by is read below.
    let whole = config.narrowed(|key| !["rope_parameters", "rope_scaling"].contains(&key));
    let spec = llama_like(&whole)?;
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..gemma(spec, config)? };
    let pattern = config.size("sliding_window_pattern")?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| (layer + 1) % pattern != 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    let [global, local] = rope_config::by_window(config, spec.rotary_dim, "rope_local_base_freq")?;
    ropes(&mut spec, |layer, _| Some(if sliding[layer] { local.clone() } else { global.clone() }));
    Ok(spec)
}

fn gemma(spec: DecoderSpec, config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        norm: NormKind::RmsPlusOne,
        block: BlockKind::SandwichNorm,
        attention_scale: config.positive("query_pre_attn_scalar")?.powf(-0.5),
        final_logit_softcapping: config.optional_positive("final_logit_softcapping")?,
        embedding_multiplier: (spec.hidden_size as f64).sqrt(),
        ..spec
    })
}
