//! Falcon-H1: Mamba-2 and attention side by side on one norm in every layer, with factors of muP everywhere.

use super::common::llama_like;
use super::state_space::{MAMBA2_KEYS, Mamba2Keys, mamba2, time_step_limit};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Mamba2Spec, Mixer, MupMultipliers, ReadNorm, RecurrentSpec};

const KEYS: Mamba2Keys = Mamba2Keys { out_bias: "projectors_bias", ..MAMBA2_KEYS };

/// Reads a Falcon-H1 configuration. Keys that are a factor longer have scores that are.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let factor = |key: &str| -> Result<f64> { Ok(config.optional_number(key)?.unwrap_or(1.0)) };
    let expand = config.size("mamba_expand")?;
    let inner = match config.optional_size("mamba_d_ssm")? {
        Some(inner) => inner,
        None => expand.saturating_mul(spec.hidden_size),
    };
    let norm_before_gate = config.required_flag("mamba_norm_before_gate")?;
    let mixer = Mamba2Spec {
        norm: match config.required_flag("mamba_rms_norm")? {
            false => ReadNorm::None,
            true if norm_before_gate => ReadNorm::BeforeGate,
            true => ReadNorm::AfterGate,
        },
        ssm_multipliers: factors(config, "ssm_multipliers")?,
        time_step_limit: time_step_limit(config)?,
        ..mamba2(config, &KEYS, inner, spec.norm_eps)?
    };
    for layer in &mut spec.layers {
        layer.mixer = Mixer::Both(RecurrentSpec::Mamba2(mixer.clone()));
    }
    let [mlp_gate, mlp_down] = factors(config, "mlp_multipliers")?.unwrap_or([1.0; 2]);
    spec.attention_scale *= factor("key_multiplier")?;
    spec.embedding_multiplier = factor("embedding_multiplier")?;
    spec.logits_multiplier = factor("lm_head_multiplier")?;
    spec.extras.mup = Some(MupMultipliers {
        attention_in: factor("attention_in_multiplier")?,
        attention_out: factor("attention_out_multiplier")?,
        ssm_in: factor("ssm_in_multiplier")?,
        ssm_out: factor("ssm_out_multiplier")?,
        mlp_gate,
        mlp_down,
    });
    Ok(spec)
}

/// Exactly as many factors, or nothing.
fn factors<const N: usize>(config: &Config, key: &str) -> Result<Option<[f64; N]>> {
    let Some(value) = config.get(key) else { return Ok(None) };
    let listed = value.as_array().into_iter().flatten().map(|factor| factor.as_f64());
    let factors = listed.collect::<Option<Vec<_>>>().and_then(|factors| factors.try_into().ok());
    factors.map(Some).ok_or_else(|| config.wrong(key, format!("{N} numbers"), value))
}

/// Falcon-H1's names. Factors on what goes into a linear map, or comes out of it, are in its weights.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    let renamed = name
        .replace("model.norm.", "model.final_layernorm.")
        .replace(".post_attention_layernorm.", ".pre_ff_layernorm.")
        .replace(".mlp.", ".feed_forward.");
    let Some(mup) = &spec.extras.mup else { return Stored::whole(renamed) };
    // What goes in meets the weight alone.
    let goes_in = |factor| if name.ends_with(".bias") { 1.0 } else { factor };
    let maps = [
        (".self_attn.q_proj.", goes_in(mup.attention_in)),
        (".self_attn.k_proj.", goes_in(mup.attention_in)),
        (".self_attn.v_proj.", goes_in(mup.attention_in)),
        (".self_attn.o_proj.", mup.attention_out),
        (".mamba.in_proj.", goes_in(mup.ssm_in)),
        (".mamba.out_proj.", mup.ssm_out),
        (".mlp.gate_proj.", mup.mlp_gate),
        (".mlp.down_proj.", mup.mlp_down),
    ];
    let factor = maps.iter().find(|(map, _)| name.contains(map)).map_or(1.0, |(_, factor)| *factor);
    Stored { factor, ..Stored::whole(renamed) }
}
