//! GLM 4.5 and 4.6: partial rotary positions, and DeepSeek 3's experts behind the first layers.

use super::common::like_llama;
use super::experts::{self, PER_TOKEN};
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MoeSpec, QkNorm, RouterKind};

/// Reads a GLM 4 MoE configuration. Heads are 128 wide where it does not say so, as those of all published
/// ones: the sizes of the class itself leave a rest.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = like_llama(config, &PARTIAL_ROPE_KEYS)?;
    spec.bias.output = false;
    if config.required_flag("use_qk_norm")? {
        spec.qk_norm = QkNorm::PerHead;
    }
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    let router = RouterKind::Scores(experts::deepseek_v3_router(config, count)?);
    let moe = experts::read(config, [count, PER_TOKEN, "moe_intermediate_size"], router)?;
    let shared_expert = experts::shared(config, "n_shared_experts", moe.moe_intermediate_size)?;
    let dense = config.count("first_k_dense_replace")?;
    let sparse: Vec<bool> = (0..spec.num_hidden_layers).map(|layer| layer >= dense).collect();
    experts::set(&mut spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(spec)
}

/// DeepSeek's name of the shared experts.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace(".mlp.shared_expert.", ".mlp.shared_experts."))
}
