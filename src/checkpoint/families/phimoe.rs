//! Phi 3.5 MoE: LayerNorms with biases, LongRoPE with a temperature by length, and a sparse mixer of two
//! experts.

use super::common::{llama_like, windows};
use super::experts::{self, PER_TOKEN};
use super::rope_config;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, NormKind, RopeScaling, RopeSpec, RouterKind};

/// Reads a Phi MoE configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { norm: NormKind::LayerWithBias, ..llama_like(config)? };
    spec.bias.head = config.required_flag("lm_head_bias")?;
    for rope in spec.layers.iter_mut().filter_map(|layer| layer.rope.as_mut()) {
        set_temperatures(rope, config)?;
    }
    let all = vec![true; spec.num_hidden_layers];
    windows(&mut spec, config, &all)?;
    let router = RouterKind::SparseMixer { jitter_eps: config.number("router_jitter_noise")? };
    let moe = experts::read(config, ["num_local_experts", PER_TOKEN, "intermediate_size"], router)?;
    if moe.num_experts_per_tok != 2 {
        return Err(config.wrong(PER_TOKEN, "2, as this router chooses", moe.num_experts_per_tok));
    }
    experts::set(&mut spec, moe, &all);
    Ok(spec)
}

/// The factors on cos and sin within and beyond the original context. The reference keeps the divisors of
/// short sequences beyond it, which is none of the model's.
fn set_temperatures(rope: &mut RopeSpec, config: &Config) -> Result<()> {
    let section = rope_config::section(config)?.filter(|_| rope.scaling != RopeScaling::Default);
    let Some(section) = section else { return Ok(()) };
    let RopeScaling::LongRope { attention_factor, long_attention_factor, .. } = &mut rope.scaling else {
        return Err(section.wrong("rope_type", "default or longrope: the family has no other", "another"));
    };
    *attention_factor = section.positive("short_mscale")?;
    *long_attention_factor = Some(section.positive("long_mscale")?);
    Ok(())
}
