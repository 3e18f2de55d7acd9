//! Mamba, Falcon Mamba and Mamba-2: state spaces alone, without attention and without MLPs.

use super::state_space::{Mamba2Keys, leave_aside, mamba2, mixers_alone, silu_alone, time_step_limit};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, LayerSpec, Mamba2Spec, MambaSpec, Mixer, RecurrentSpec, SelectionNorms};

const KEYS: Mamba2Keys = Mamba2Keys {
    heads: "num_heads",
    head_dim: "head_dim",
    groups: "n_groups",
    state: "state_size",
    conv: "conv_kernel",
    conv_bias: "use_conv_bias",
    in_bias: "use_bias",
    out_bias: "use_bias",
};

/// Reads a Mamba configuration.
pub(super) fn mamba(config: &Config) -> Result<DecoderSpec> {
    mixers_alone(config, &layer(RecurrentSpec::Mamba(selective(config, SelectionNorms::None)?)))
}

/// Reads a Falcon Mamba configuration: norms without weights on what the mixers select by.
pub(super) fn falcon_mamba(config: &Config) -> Result<DecoderSpec> {
    let norms = SelectionNorms::Weightless { eps: config.positive("mixer_rms_eps")? };
    mixers_alone(config, &layer(RecurrentSpec::Mamba(selective(config, norms)?)))
}

fn selective(config: &Config, norms: SelectionNorms) -> Result<MambaSpec> {
    silu_alone(config)?;
    // Of initial weights alone.
    leave_aside(config, &["expand", "time_step_min"]);
    let hidden_size = config.size("hidden_size")?;
    Ok(MambaSpec {
        intermediate_size: match config.optional_size("intermediate_size")? {
            Some(width) => width,
            None => width(config)?,
        },
        mamba_d_state: config.size("state_size")?,
        mamba_d_conv: config.size("conv_kernel")?,
        mamba_dt_rank: dt_rank(config, "time_step_rank", hidden_size)?,
        mamba_conv_bias: config.required_flag("use_conv_bias")?,
        mamba_proj_bias: config.required_flag("use_bias")?,
        norms,
    })
}

/// Reads a Mamba-2 configuration.
pub(super) fn mamba_2(config: &Config) -> Result<DecoderSpec> {
    // Of initial weights, and of the rank that Mamba alone has.
    leave_aside(config, &["time_step_min", "time_step_rank"]);
    let norm_eps = config.positive("layer_norm_epsilon")?;
    let mixer = Mamba2Spec {
        time_step_limit: time_step_limit(config)?,
        ..mamba2(config, &KEYS, width(config)?, norm_eps)?
    };
    mixers_alone(config, &layer(RecurrentSpec::Mamba2(mixer)))
}

/// Inner width of the projection to step sizes, which most often is left to the width of the decoder.
pub(super) fn dt_rank(config: &Config, key: &str, hidden_size: usize) -> Result<usize> {
    match config.get(key) {
        Some(rank) if rank == "auto" => Ok(hidden_size.div_ceil(16)),
        _ => config.size(key),
    }
}

/// Numbers of all channels.
fn width(config: &Config) -> Result<usize> {
    let width = config.positive("expand")? * config.size("hidden_size")? as f64;
    if !(1.0..=(1u64 << 31) as f64).contains(&width) {
        return Err(config.wrong(
            "expand",
            "a factor that leaves a width to the mixers",
            config.number("expand")?,
        ));
    }
    Ok(width as usize)
}

fn layer(mixer: RecurrentSpec) -> LayerSpec {
    LayerSpec { mixer: Mixer::Recurrent(mixer), ..LayerSpec::default() }
}

/// The names of both.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.embed_tokens.", "backbone.embeddings.")
            .replace("model.norm.", "backbone.norm_f.")
            .replace("model.layers.", "backbone.layers.")
            .replace(".input_layernorm.", ".norm.")
            .replace(".mamba.", ".mixer."),
    )
}
