//! Qwen 3.5 and 3.6: three Gated DeltaNet layers to one of gated attention, with an MLP or a mixture of
//! experts.

use super::common::like_llama;
use super::delta_net;
use super::experts::{self, PER_TOKEN};
use super::rope_config::PARTIAL_ROPE_KEYS;
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{
    Biases, DecoderSpec, Extras, MoeSpec, NormKind, OutputGate, QkNorm, RouterKind, SharedExpert,
};

/// Reads a Qwen 3.5 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = like_llama(config, &PARTIAL_ROPE_KEYS)?;
    if spec.bias.qkv {
        let expected = "false: a bias on a gate of attention is not known";
        return Err(config.wrong("attention_bias", expected, true));
    }
    check_gates(config)?;
    spec.norm = NormKind::RmsPlusOne;
    spec.qk_norm = QkNorm::PerHead;
    spec.bias = Biases::default();
    spec.extras = Extras { output_gate: Some(OutputGate::ByElement), ..spec.extras };
    let [keys, values, key_dim, value_dim] = delta_net::SIZES.map(|key| config.size(key));
    let mixer = delta_net::read(config, [keys?, values?, key_dim?, value_dim?], spec.norm_eps)?;
    let linear = delta_net::linear_layers(config, spec.num_hidden_layers)?;
    delta_net::set(&mut spec, &mixer, &linear);
    Ok(spec)
}

/// Refuses gates that are not those of its class.
fn check_gates(config: &Config) -> Result<()> {
    const ATTENTION: &str = "attn_output_gate";
    if !config.required_flag(ATTENTION)? {
        return Err(config.wrong(ATTENTION, "true: without its gate, such attention is not known", false));
    }
    const DELTA_NET: &str = "output_gate_type";
    match config.string(DELTA_NET)?.as_str() {
        "swish" | "silu" => Ok(()),
        other => Err(config.wrong(DELTA_NET, "swish, as a delta net is gated by", other)),
    }
}

/// Reads a Qwen 3.5 configuration with experts: in every layer, with one more behind a gate.
pub(super) fn moe(config: &Config) -> Result<DecoderSpec> {
    // No layer has an MLP of another width.
    let inner = config.size("moe_intermediate_size")?.into();
    let mut spec = spec(&config.with_defaults([("intermediate_size", &inner)]))?;
    let all = vec![true; spec.num_hidden_layers];
    with_experts(&mut spec, config, true, &all)?;
    Ok(spec)
}

/// Puts the experts of `config` into the layers that `sparse` names.
pub(super) fn with_experts(
    spec: &mut DecoderSpec,
    config: &Config,
    norm_topk_prob: bool,
    sparse: &[bool],
) -> Result<()> {
    let router = RouterKind::Softmax { norm_topk_prob };
    let width = config.size("shared_expert_intermediate_size")?;
    let shared = SharedExpert { intermediate_size: Some(width), gated: true };
    let count = experts::or_alias(config, "num_experts", "num_local_experts");
    let read = experts::read(config, [count, PER_TOKEN, "moe_intermediate_size"], router)?;
    experts::set(spec, MoeSpec { shared_expert: Some(shared), ..read }, sparse);
    Ok(())
}

/// Qwen's names: queries, keys and values of a delta net in one matrix, as their convolutions are.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if let Some(stored) = delta_net::gated_queries(spec, name) {
        return stored;
    }
    let Some(mixer) = delta_net::of(spec) else { return Stored::whole(name) };
    let (keys, values) = (mixer.key_width(), mixer.value_width());
    for (part, start, len) in [("q", 0, keys), ("k", keys, keys), ("v", 2 * keys, values)] {
        for (map, fused) in [("proj", "in_proj_qkv"), ("conv1d", "conv1d")] {
            let own = format!("linear_attn.{part}_{map}");
            if name.contains(&own) {
                let part = Part::Rows { start, len };
                return Stored { part, ..Stored::whole(name.replace(&own, &format!("linear_attn.{fused}"))) };
            }
        }
    }
    Stored::whole(others(name))
}

/// What the rest of a delta net is called by Qwen.
pub(super) fn others(name: &str) -> String {
    name.replace("linear_attn.a_proj", "linear_attn.in_proj_a")
        .replace("linear_attn.b_proj", "linear_attn.in_proj_b")
        .replace("linear_attn.g_proj", "linear_attn.in_proj_z")
        .replace("linear_attn.o_norm", "linear_attn.norm")
        .replace("linear_attn.o_proj", "linear_attn.out_proj")
}
