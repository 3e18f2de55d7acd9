//! Kimi Linear: Kimi Delta Attention beside latent attention without positions, and DeepSeek 3's experts.

use serde_json::Value;

use super::common::layers_of_type;
use super::experts::{self, PER_TOKEN};
use super::latent::latent_like;
use super::{delta_net, mixtral};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, MoeSpec, RouterKind};

/// The names of the hub's files, and those of the class in transformers.
const HUB_NAMES: [(&str, &str); 6] = [
    ("model_max_length", "max_position_embeddings"),
    ("moe_renormalize", "norm_topk_prob"),
    ("num_expert_group", "n_group"),
    ("num_experts", "num_local_experts"),
    ("num_experts_per_token", PER_TOKEN),
    ("num_shared_experts", "n_shared_experts"),
];

/// A configuration with the class's names for what it says under those of the hub.
pub(super) fn with_own_names(config: &Config) -> Config {
    let said: Vec<(&str, Value)> =
        { HUB_NAMES.iter() }.filter_map(|(hub, own)| Some((*own, config.get(hub)?.clone()))).collect();
    let others = config.narrowed(|key| said.iter().all(|(own, _)| *own != key));
    others.with_defaults(said.iter().map(|(own, value)| (*own, value)))
}

/// Reads a Kimi Linear configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &with_own_names(config);
    for (key, known) in [("mla_use_nope", Value::from(true)), ("moe_layer_freq", Value::from(1))] {
        if let Some(found) = config.get(key).filter(|found| **found != known) {
            return Err(config.wrong(key, format!("{known}: the other is not known"), found));
        }
    }
    const ROUTER: &str = "moe_router_activation_func";
    if let Some(other) = config.optional_string(ROUTER)?.filter(|name| name != "sigmoid") {
        return Err(config.wrong(ROUTER, "sigmoid", other));
    }
    // No position is read, so that no base counts.
    let mut spec = latent_like(&config.with_defaults([("rope_theta", &Value::from(1.0))]))?;
    spec.layers.iter_mut().for_each(|layer| layer.rope = None);
    let linear = linear_layers(config, spec.num_hidden_layers)?;
    let mixer = mixer(config, &spec)?;
    delta_net::set(&mut spec, &mixer, &linear);
    with_experts(&mut spec, config)?;
    Ok(spec)
}

const SECTION: &str = "linear_attn_config";

/// Which layers have no keys: by `layer_types`, else by the lists of the section, which count from 1, else
/// all but every fourth behind the first.
fn linear_layers(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let section = config.optional_section(SECTION)?.filter(|_| config.get("layer_types").is_none());
    let lists = match &section {
        Some(section) => [section.get("kda_layers"), section.get("full_attn_layers")],
        None => [None, None],
    };
    let (Some(section), [Some(linear), Some(full)]) = (&section, lists) else {
        return layers_of_type(config, "linear_attention", layers, |layer| layer == 0 || layer % 4 != 0);
    };
    let names = |list: &Value, layer: usize| {
        list.as_array().is_some_and(|list| list.iter().any(|item| item.as_u64() == Some(layer as u64 + 1)))
    };
    let kind = |layer: usize| match (names(linear, layer), names(full, layer)) {
        (linear, full) if linear != full => Ok(linear),
        (both, _) => {
            let expected = format!("layer {}, counted from 1, either here or in full_attn_layers", layer + 1);
            Err(section.wrong("kda_layers", expected, if both { "in both" } else { "in neither" }))
        }
    };
    (0..layers).map(kind).collect()
}

fn mixer(config: &Config, spec: &DecoderSpec) -> Result<DeltaNetSpec> {
    let section = config.optional_section(SECTION)?;
    let size = |inner: &str, own: &str| match &section {
        Some(section) if section.get(inner).is_some() => section.size(inner),
        _ => config.size(own),
    };
    let (heads, width) = (size("num_heads", "linear_num_heads")?, size("head_dim", "linear_head_dim")?);
    let kernel = size("short_conv_kernel_size", "linear_conv_kernel_dim")?;
    Ok(DeltaNetSpec {
        place: "self_attn",
        decay: DeltaDecay::LowRank { rank: width },
        output_gate: DeltaGate::LowRankSigmoid { rank: width, bias: false },
        ..delta_net::of_sizes(config, [heads, heads, width, width], kernel, spec.norm_eps)?
    })
}

/// DeepSeek 3's experts, behind the first layers.
pub(super) fn with_experts(spec: &mut DecoderSpec, config: &Config) -> Result<()> {
    const COUNT: &str = "num_local_experts";
    let router = RouterKind::Scores(experts::deepseek_v3_router(config, COUNT)?);
    let moe = experts::read(config, [COUNT, PER_TOKEN, "moe_intermediate_size"], router)?;
    let shared_expert = experts::shared(config, "n_shared_experts", moe.moe_intermediate_size)?;
    let dense = config.count("first_k_dense_replace")?;
    let sparse = experts::by_type(config, spec.num_hidden_layers, dense)?;
    experts::set(spec, MoeSpec { shared_expert, ..moe }, &sparse);
    Ok(())
}

/// The decays of heads in one vector, and Mixtral's names of experts.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if name.ends_with(".A_log") {
        return Stored { part: Part::Flat, ..Stored::whole(name) };
    }
    let of_experts = [".mlp.gate.", ".mlp.experts.", ".mlp.shared_expert."];
    match of_experts.iter().any(|part| name.contains(part)) {
        true if name.contains(".mlp.shared_expert.") => {
            Stored::whole(name.replace(".mlp.shared_expert.", ".block_sparse_moe.shared_experts."))
        }
        true => mixtral::stored(spec, name),
        false => Stored::whole(name),
    }
}
