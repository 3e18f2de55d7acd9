//! Jamba: Mamba with norms on what it selects by, attention without positions in some layers, and experts in
//! some.

use super::experts::{self, PER_TOKEN};
use super::mamba::dt_rank;
use super::state_space::{silu_alone, without_positions};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MambaSpec, Mixer, RecurrentSpec, RouterKind, SelectionNorms};

/// Reads a Jamba configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    silu_alone(config)?;
    let mut spec = without_positions(config)?;
    let mixer = RecurrentSpec::Mamba(MambaSpec {
        intermediate_size: config.size("mamba_expand")?.saturating_mul(spec.hidden_size),
        mamba_d_state: config.size("mamba_d_state")?,
        mamba_d_conv: config.size("mamba_d_conv")?,
        mamba_dt_rank: dt_rank(config, "mamba_dt_rank", spec.hidden_size)?,
        mamba_conv_bias: config.required_flag("mamba_conv_bias")?,
        mamba_proj_bias: config.required_flag("mamba_proj_bias")?,
        norms: SelectionNorms::Learned { eps: spec.norm_eps },
    });
    let attends = every(config, "attn_layer_period", "attn_layer_offset")?;
    let mixed = every(config, "expert_layer_period", "expert_layer_offset")?;
    let router = RouterKind::Softmax { norm_topk_prob: false };
    // A single expert is the MLP itself.
    let mixture = match config.size("num_experts")? {
        1 => None,
        _ => Some(experts::read(config, ["num_experts", PER_TOKEN, "intermediate_size"], router)?),
    };
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        if !attends(index) {
            layer.mixer = Mixer::Recurrent(mixer.clone());
        }
        layer.moe = mixture.filter(|_| mixed(index));
    }
    Ok(spec)
}

/// Whether a layer is one of those that come back every so many layers.
fn every(config: &Config, period: &str, offset: &str) -> Result<impl Fn(usize) -> bool> {
    let (period, start) = (config.size(period)?, config.count(offset)?);
    if start >= period {
        return Err(config.wrong(offset, format!("less than the period of {period} layers"), start));
    }
    Ok(move |layer| layer % period == start)
}

/// Jamba's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.norm.", "model.final_layernorm.")
            .replace(".post_attention_layernorm.", ".pre_ff_layernorm.")
            .replace(".mlp.gate.", ".mlp.router.")
            .replace(".mlp.", ".feed_forward."),
    )
}
