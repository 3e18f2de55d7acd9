//! OLMo 3 MoE, and its hybrids: Kimi Delta Attention beside gated attention with Scalable-Softmax, experts in
//! a narrower space. `scalable_softmax` is read with the other rules of attention.

use serde_json::Value;

use super::common::{like_llama, windows_of_types};
use super::delta_net;
use super::experts::{self, PER_TOKEN};
use super::rope_config::ROPE_KEYS;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{
    BlockKind, DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, Extras, MoeSpec, OutputGate, QkNorm,
    RouterKind, Score, ScoreRouter, SharedExpert,
};

/// Reads an OLMo 3 MoE configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let inner: Value = config.size("dense_mlp_intermediate_size")?.into();
    let mut spec = like_llama(&config.with_defaults([("intermediate_size", &inner)]), &ROPE_KEYS)?;
    spec.block =
        if config.required_flag("use_peri_ln")? { BlockKind::SandwichNorm } else { BlockKind::PostNorm };
    spec.qk_norm = match (config.required_flag("use_head_qk_norm")?, config.required_flag(GAINS)?) {
        (true, true) => QkNorm::RmsByHead,
        (true, false) => QkNorm::PerHead,
        (false, false) => QkNorm::Projection,
        (false, true) => {
            return Err(config.wrong(
                GAINS,
                "false, as use_head_qk_norm is: heads are normed together",
                true,
            ));
        }
    };
    spec.embedding_multiplier = config.positive("embed_scale")?;
    let output_gate = gate(config)?;
    if spec.bias.qkv && output_gate.is_some() {
        let expected = "false: a bias on a gate of attention is not known";
        return Err(config.wrong("attention_bias", expected, true));
    }
    let embedding_norm = config.required_flag("embed_norm")?;
    spec.extras = Extras { output_gate, embedding_norm, ..spec.extras };
    let (linear, sliding) = kinds(config, spec.num_hidden_layers)?;
    if linear.contains(&true) {
        delta_net::set(&mut spec, &mixer(config)?, &linear);
    }
    windows_of_types(&mut spec, config, &sliding)?;
    if !config.required_flag("use_rope")? {
        spec.layers.iter_mut().for_each(|layer| layer.rope = None);
    }
    with_experts(&mut spec, config)?;
    Ok(spec)
}

const GAINS: &str = "qk_norm_per_head_gains";

fn gate(config: &Config) -> Result<Option<OutputGate>> {
    const KEY: &str = "attention_gate_type";
    match config.optional_string(KEY)?.as_deref() {
        None => Ok(None),
        Some("elementwise") => Ok(Some(OutputGate::ByElement)),
        Some("headwise") => Ok(Some(OutputGate::ByHead)),
        Some(other) => Err(config.wrong(KEY, "elementwise or headwise", other)),
    }
}

/// Which layers have a state, and which a window; without a list every second one, the first among them.
fn kinds(config: &Config, layers: usize) -> Result<(Vec<bool>, Vec<bool>)> {
    const KEY: &str = "layer_types";
    let Some(types) = config.optional_strings(KEY)? else {
        return Ok((vec![false; layers], (0..layers).map(|layer| layer.is_multiple_of(2)).collect()));
    };
    if types.len() != layers {
        return Err(config.wrong(KEY, format!("{layers} entries, one a layer"), types.len()));
    }
    let known = ["linear_attention", "sliding_attention", "full_attention"];
    if let Some(other) = types.iter().find(|kind| !known.contains(&kind.as_str())) {
        return Err(config.wrong(KEY, known.join(", "), other));
    }
    let of = |kind: &str| types.iter().map(|found| found == kind).collect();
    Ok((of(known[0]), of(known[1])))
}

fn mixer(config: &Config) -> Result<DeltaNetSpec> {
    let keys = config.size(delta_net::SIZES[0])?;
    let values = config.optional_size(delta_net::SIZES[1])?.unwrap_or(keys);
    if values != keys {
        return Err(config.wrong(delta_net::SIZES[1], format!("{keys}, as many as of keys"), values));
    }
    let [key_dim, value_dim] = [2, 3].map(|index| config.size(delta_net::SIZES[index]));
    let (sizes, kernel) = ([keys, values, key_dim?, value_dim?], config.size("linear_conv_kernel_dim")?);
    Ok(DeltaNetSpec {
        place: "self_attn",
        linear_allow_neg_eigval: config.required_flag("linear_allow_neg_eigval")?,
        decay: DeltaDecay::LowRank { rank: sizes[3] },
        output_gate: DeltaGate::LowRankSigmoid { rank: sizes[3], bias: true },
        ..delta_net::of_sizes(config, sizes, kernel, config.positive("linear_norm_eps")?)?
    })
}

/// Experts in all but the dense layers. Weights are made to sum to 1, and then to the number of chosen
/// experts.
fn with_experts(spec: &mut DecoderSpec, config: &Config) -> Result<()> {
    let layers = spec.num_hidden_layers;
    let dense = match config.get("dense_layers_indices") {
        Some(_) => config.optional_indices("dense_layers_indices", layers)?.unwrap_or_default(),
        None => vec![0],
    };
    let sparse: Vec<bool> = (0..layers).map(|layer| !dense.contains(&layer)).collect();
    let known = [("latent_moe_bias", false), ("latent_moe_up_proj_input_norm", false)];
    for (key, expected) in known {
        if config.required_flag(key)? != expected {
            return Err(config.wrong(key, format!("{expected}: the other is not known"), !expected));
        }
    }
    let norm = config.optional_number("normalize_expert_weights")?;
    if norm.is_some_and(|norm| norm != 1.0) {
        return Err(config.wrong("normalize_expert_weights", "1, or nothing", norm.unwrap_or_default()));
    }
    let chosen = config.size(PER_TOKEN)?;
    let restored = if config.required_flag("restore_weight_scale")? { chosen as f64 } else { 1.0 };
    let original = config.optional_size("original_num_experts_per_tok")?.unwrap_or(chosen);
    const GATING: &str = "gating_function";
    let router = ScoreRouter {
        score: match config.string(GATING)?.as_str() {
            "softmax" => Score::Softmax,
            "sigmoid" => Score::Sigmoid,
            other => return Err(config.wrong(GATING, "softmax or sigmoid", other)),
        },
        choice_bias: false,
        groups: None,
        norm_floor: norm.map(|_| experts::NORM_FLOOR),
        routed_scaling_factor: restored * (original as f64 / chosen as f64).sqrt(),
    };
    let keys = ["n_routed_experts", PER_TOKEN, "moe_intermediate_size"];
    let shared = config.optional_size("shared_expert_intermediate_size")?;
    let moe = MoeSpec {
        shared_expert: shared.map(|width| SharedExpert { intermediate_size: Some(width), gated: false }),
        latent_size: config.optional_size("latent_moe_dim")?,
        ..experts::read(config, keys, RouterKind::Scores(router))?
    };
    experts::set(spec, moe, &sparse);
    Ok(())
}

/// Its names; queries and keys of each head have a row of gains.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if spec.qk_norm == QkNorm::RmsByHead {
        for norm in ["q_norm", "k_norm"] {
            if let Some((place, head)) = name.split_once(&format!("{norm}."))
                && let Some(Ok(head)) = head.strip_suffix(".weight").map(str::parse)
            {
                let part = Part::Row(head);
                return Stored { part, ..Stored::whole(format!("{place}{norm}.weight")) };
            }
        }
    }
    let mut own = name.replace("self_attn.gate_proj", "self_attn.g_proj");
    if spec.block == BlockKind::SandwichNorm {
        own = own.replace("input_layernorm", "pre_attention_layernorm");
    }
    for (here, there) in [
        ("self_attn.b_proj", "self_attn.beta_proj"),
        ("self_attn.f_a_proj", "self_attn.f_proj_1"),
        ("self_attn.f_b_proj", "self_attn.f_proj_2"),
        ("self_attn.g_a_proj", "self_attn.g_proj_1"),
        ("self_attn.g_b_proj", "self_attn.g_proj_2"),
        ("mlp.gate.weight", "mlp.router.gate.weight"),
        ("mlp.fc1_latent_proj", "mlp.latent_down_proj"),
        ("mlp.fc2_latent_proj", "mlp.latent_up_proj"),
    ] {
        own = own.replace(here, there);
    }
    Stored::whole(own)
}
