//! Hunyuan (dense): Llama with norms on queries and keys behind their rotation, and a base of rotary
//! positions that a fixed `alpha` stretches.

use super::common::{llama_like, ropes};
use super::rope_config::section;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Extras, QkNorm, RopeScaling, RopeSpec};

/// Reads a Hunyuan configuration. What its files call dynamic is none where there is an `alpha`: every
/// sequence turns by the base `theta alpha^(d / (d - 2))`, `d` the coordinates that rotate.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    spec.extras = Extras { qk_norm_after_rope: true, ..spec.extras };
    let alpha = section(config)?.map(|section| section.optional_positive("alpha")).transpose()?.flatten();
    if let Some(alpha) = alpha {
        let d = spec.rotary_dim as f64;
        ropes(&mut spec, |_, rope| match rope.scaling {
            RopeScaling::Dynamic { .. } => {
                let theta = rope.theta * alpha.powf(d / (d - 2.0));
                Some(RopeSpec { theta, scaling: RopeScaling::Default, ..rope })
            }
            _ => Some(rope),
        });
    }
    Ok(spec)
}

/// Hunyuan's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace("q_norm", "query_layernorm").replace("k_norm", "key_layernorm"))
}
