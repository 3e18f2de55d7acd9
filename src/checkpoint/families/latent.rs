//! What decoders with latent attention have in common (DeepSeek 2 and its like).

use serde_json::Value;

use super::common::llama_like;
use super::rope_config::section;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, LatentSpec};

/// A decoder like Llama with latent attention on every layer: families change what they do otherwise.
pub(super) fn latent_like(config: &Config) -> Result<DecoderSpec> {
    let latent = LatentSpec {
        q_lora_rank: config.optional_size("q_lora_rank")?,
        kv_lora_rank: config.size("kv_lora_rank")?,
        qk_nope_head_dim: config.size("qk_nope_head_dim")?,
        qk_rope_head_dim: config.size("qk_rope_head_dim")?,
        v_head_dim: match config.optional_size("v_head_dim")? {
            Some(width) => width,
            None => config.size("hidden_size")? / config.size("num_attention_heads")?,
        },
        indexer: None,
    };
    // What other families take for the width of a head and the number of key heads says nothing here; rotary
    // positions are those of the coordinates that rotate.
    for silent in SILENT {
        let _ = config.get(silent);
    }
    let rotating = Value::from(latent.qk_rope_head_dim);
    let config = config.narrowed(|key| !SILENT.contains(&key)).with_defaults([("head_dim", &rotating)]);
    let mut spec = llama_like(&config)?;
    let scale = (latent.qk_head_dim() as f64).powf(-0.5) * temperature(&config)?;
    spec.head_dim = latent.qk_head_dim();
    spec.attention_scale = scale;
    for layer in &mut spec.layers {
        layer.latent = Some(latent);
        layer.heads = Some(latent.heads(scale));
    }
    Ok(spec)
}

/// Keys that are read and mean nothing.
const SILENT: &[&str] = &["head_dim", "num_key_value_heads"];

/// The factor on scores that comes with a scaling of rotary positions by `factor`:
/// `(0.1 mscale_all_dim ln(factor) + 1)²`.
fn temperature(config: &Config) -> Result<f64> {
    let Some(section) = section(config)? else { return Ok(1.0) };
    let all = section.optional_number("mscale_all_dim")?.unwrap_or(0.0);
    Ok(match section.optional_positive("factor")? {
        Some(factor) if all != 0.0 && factor > 1.0 => (0.1 * all * factor.ln() + 1.0).powi(2),
        _ => 1.0,
    })
}
