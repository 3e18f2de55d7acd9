//! DeepSeek 2, 3 and 3.2: latent attention, in the last of chosen keys, and experts behind the first layers.

use super::experts::{self, PER_TOKEN};
use super::latent::latent_like;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{
    DecoderSpec, GroupScore, IndexerSpec, MoeSpec, RotaryLayout, RouterKind, Score, ScoreRouter,
};

/// Reads a DeepSeek 2 configuration. The reference leaves the weights of the chosen experts as they are.
pub(super) fn v2(config: &Config) -> Result<DecoderSpec> {
    experts::refuse_bias(config, "mlp_bias")?;
    if config.flag("norm_topk_prob")? {
        let expected = "false: the implementations of this family do not agree on what it means";
        return Err(config.wrong("norm_topk_prob", expected, true));
    }
    let spec = DecoderSpec { rotary_layout: RotaryLayout::Interleaved, ..latent_like(config)? };
    let count = experts::or_alias(config, "n_routed_experts", "num_experts");
    let groups = match config.string("topk_method")?.as_str() {
        "greedy" => {
            // They count for nothing there.
            for key in ["n_group", "topk_group"] {
                config.optional_size(key)?;
            }
            None
        }
        "group_limited_greedy" => experts::groups(config, count, GroupScore::Best)?,
        other => return Err(config.wrong("topk_method", "greedy or group_limited_greedy", other)),
    };
    let router = ScoreRouter {
        score: Score::Softmax,
        choice_bias: false,
        groups,
        norm_floor: None,
        routed_scaling_factor: config.number("routed_scaling_factor")?,
    };
    let dense = config.count("first_k_dense_replace")?;
    with_experts(spec, config, count, router, |layer| layer >= dense)
}

/// Reads a DeepSeek 3 configuration.
pub(super) fn v3(config: &Config) -> Result<DecoderSpec> {
    let spec = DecoderSpec { rotary_layout: layout(config)?, ..latent_like(config)? };
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    let router = experts::deepseek_v3_router(config, count)?;
    let dense = config.count("first_k_dense_replace")?;
    with_experts(spec, config, count, router, |layer| layer >= dense)
}

/// Reads a DeepSeek 3.2 configuration: each row sees the keys that an indexer chooses for it.
pub(super) fn v32(config: &Config) -> Result<DecoderSpec> {
    experts::refuse_bias(config, "mlp_bias")?;
    let mut spec = DecoderSpec { rotary_layout: RotaryLayout::Interleaved, ..latent_like(config)? };
    config.size("q_lora_rank")?;
    let indexer = IndexerSpec {
        index_n_heads: config.size("index_n_heads")?,
        index_head_dim: config.size("index_head_dim")?,
        index_topk: config.size("index_topk")?,
    };
    if indexer.index_head_dim < config.size("qk_rope_head_dim")? {
        let expected = "at least qk_rope_head_dim, as so many of its coordinates rotate";
        return Err(config.wrong("index_head_dim", expected, indexer.index_head_dim));
    }
    let types = config.optional_strings("layer_types")?.unwrap_or_default();
    if let Some(other) = types.iter().find(|kind| *kind != "indexed_attention") {
        return Err(config.wrong("layer_types", "indexed_attention on every layer", other));
    }
    for layer in &mut spec.layers {
        if let Some(latent) = &mut layer.latent {
            latent.indexer = Some(indexer);
            layer.heads = Some(latent.heads(spec.attention_scale));
        }
    }
    let count = experts::or_alias(config, "n_routed_experts", "num_local_experts");
    let router = experts::deepseek_v3_router(config, count)?;
    let dense = config.count("first_k_dense_replace")?;
    let sparse = experts::by_type(config, spec.num_hidden_layers, dense)?;
    with_experts(spec, config, count, router, |layer| sparse[layer])
}

/// DeepSeek's name of the shared experts.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace(".mlp.shared_expert.", ".mlp.shared_experts."))
}

/// Which coordinates rotate together: neighbours under `rope_interleave`.
pub(super) fn layout(config: &Config) -> Result<RotaryLayout> {
    Ok(match config.required_flag("rope_interleave")? {
        true => RotaryLayout::Interleaved,
        false => RotaryLayout::Half,
    })
}

/// Experts of `router`, counted by the key `count`, with shared ones, in the layers that `sparse` names.
pub(super) fn with_experts(
    mut spec: DecoderSpec,
    config: &Config,
    count: &str,
    router: ScoreRouter,
    sparse: impl Fn(usize) -> bool,
) -> Result<DecoderSpec> {
    let keys = [count, PER_TOKEN, "moe_intermediate_size"];
    let moe = experts::read(config, keys, RouterKind::Scores(router))?;
    let shared_expert = experts::shared(config, "n_shared_experts", moe.moe_intermediate_size)?;
    let sparse: Vec<bool> = (0..spec.num_hidden_layers).map(sparse).collect();
    experts::set(&mut spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(spec)
}
