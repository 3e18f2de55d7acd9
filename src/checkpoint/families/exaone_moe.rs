//! EXAONE with a mixture of experts: norms on each query and key head, rotary positions on sliding layers
//! alone, and DeepSeek 3's router.

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use super::experts::{self, PER_TOKEN};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MoeSpec, QkNorm, RouterKind};

/// Reads an EXAONE MoE configuration. Without a window all layers have rotary positions.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = DecoderSpec { qk_norm: QkNorm::PerHead, ..llama_like(config)? };
    let layers = spec.num_hidden_layers;
    let pattern = match config.get("layer_types") {
        Some(_) => 1,
        None => config.size("sliding_window_pattern")?,
    };
    let sliding = sliding_layers(config, layers, |layer| !(layer + 1).is_multiple_of(pattern))?;
    windows_of_types(&mut spec, config, &sliding)?;
    if config.get("sliding_window").is_some() {
        ropes(&mut spec, |layer, rope| sliding[layer].then_some(rope));
    }
    let router = RouterKind::Scores(experts::deepseek_v3_router(config, "num_experts")?);
    let moe = experts::read(config, ["num_experts", PER_TOKEN, "moe_intermediate_size"], router)?;
    let shared_expert = experts::shared(config, "num_shared_experts", moe.moe_intermediate_size)?;
    let sparse = experts::by_type(config, layers, config.count("first_k_dense_replace")?)?;
    experts::set(&mut spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(spec)
}

/// The bias of the choice stands beside the router.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let beside = name.replace(".gate.e_score_correction_bias", ".e_score_correction_bias");
    Stored::whole(beside.replace(".mlp.shared_expert.", ".mlp.shared_experts."))
}
