//! Granite 4: Granite's multipliers around Mamba-2 or attention, most often without positions, and an MLP, a
//! mixture of experts, or both side by side.

use super::experts::{self, PER_TOKEN};
use super::state_space::{MAMBA2_KEYS, attending, mamba2, time_step_limit, under_other_name};
use super::{granite, granitemoe};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Mamba2Spec, Mixer, MoeSpec, RecurrentSpec, RouterKind, SharedExpert};

/// Reads a configuration of Granite 4. `intermediate_size` is the width of an expert,
/// `shared_intermediate_size` that of the MLP that every token meets.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let config = &under_other_name(config, "layer_types", "layers_block_type");
    let mut spec = granite::spec(config)?;
    match config.optional_string("position_embedding_type")?.as_deref() {
        Some("rope") => {}
        None | Some("nope") => spec.layers.iter_mut().for_each(|layer| layer.rope = None),
        Some(kind) => return Err(config.wrong("position_embedding_type", "rope, nope or null", kind)),
    }
    let shared = config.size("shared_intermediate_size")?;
    if config.count("num_local_experts")? == 0 {
        spec.intermediate_size = shared;
    } else {
        let router = RouterKind::Softmax { norm_topk_prob: true };
        let experts = MoeSpec {
            shared_expert: Some(SharedExpert { intermediate_size: Some(shared), gated: false }),
            ..experts::read(config, ["num_local_experts", PER_TOKEN, "intermediate_size"], router)?
        };
        spec.layers.iter_mut().for_each(|layer| layer.moe = Some(experts));
    }
    let layers = spec.num_hidden_layers;
    let attends = attending(config, "layer_types", layers, &["linear_attention", "mamba"])?;
    let attends = attends.unwrap_or_else(|| vec![false; layers]);
    if attends.contains(&false) {
        let inner = config.size("mamba_expand")?.saturating_mul(spec.hidden_size);
        let mixer = mamba2(config, &MAMBA2_KEYS, inner, spec.norm_eps)?;
        let mixer = RecurrentSpec::Mamba2(Mamba2Spec { time_step_limit: time_step_limit(config)?, ..mixer });
        for (layer, _) in spec.layers.iter_mut().zip(&attends).filter(|(_, attends)| !**attends) {
            layer.rope = None;
            layer.mixer = Mixer::Recurrent(mixer.clone());
        }
    }
    Ok(spec)
}

/// Granite 4's names: what every token meets is `shared_mlp`, gate and up projection in one.
pub(super) fn stored(spec: &DecoderSpec, name: &str) -> Stored {
    if [".mlp.gate.", ".mlp.experts."].iter().any(|part| name.contains(part)) {
        return granitemoe::stored(spec, name);
    }
    let width = spec.layers.iter().find_map(|layer| layer.moe.as_ref()?.shared_width());
    let width = width.unwrap_or(spec.intermediate_size);
    let name = name.replace(".mlp.shared_expert.", ".mlp.").replace(".mlp.", ".shared_mlp.");
    for (projection, start) in [(".gate_proj.", 0), (".up_proj.", width)] {
        if name.contains(projection) {
            let part = Part::Rows { start, len: width };
            return Stored { part, ..Stored::whole(name.replace(projection, ".input_linear.")) };
        }
    }
    Stored::whole(name.replace(".shared_mlp.down_proj.", ".shared_mlp.output_linear."))
}
