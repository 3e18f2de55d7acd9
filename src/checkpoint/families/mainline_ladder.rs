//! Mainline Ladder, the ladder of small OLMo hybrids: Gated DeltaNet beside gated attention without
//! positions, norms before and behind both halves of a layer and behind the embedding. `scalable_softmax` is
//! read with the other rules of attention.

use super::common::{layers_of_type, llama_like};
use super::{delta_net, olmo_hybrid};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, Extras, OutputGate, QkNorm};

/// Reads a Mainline Ladder configuration. Without a list of layers, every fifth attends.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let layers = spec.num_hidden_layers;
    let gate = config.required_flag("use_attention_gate")?.then_some(OutputGate::ByElement);
    if spec.bias.qkv && gate.is_some() {
        let expected = "false: a bias beside a gate of attention is not known";
        return Err(config.wrong("attention_bias", expected, true));
    }
    let embedding_eps = config.positive("embedding_norm_eps")?;
    if embedding_eps != spec.norm_eps {
        let expected = format!("{}, as rms_norm_eps: another epsilon is not known", spec.norm_eps);
        return Err(config.wrong("embedding_norm_eps", expected, embedding_eps));
    }
    spec.block = BlockKind::SandwichNorm;
    spec.qk_norm =
        if config.required_flag("use_head_qk_norm")? { QkNorm::PerHead } else { QkNorm::Projection };
    spec.embedding_multiplier =
        config.optional_positive("embed_scale")?.unwrap_or((spec.hidden_size as f64).sqrt());
    spec.extras = Extras { output_gate: gate, embedding_norm: true, ..spec.extras };
    let last_of_few = |layer: usize| layers < 5 && layer + 1 == layers;
    let linear =
        layers_of_type(config, "linear_attention", layers, |layer| layer % 5 != 4 && !last_of_few(layer))?;
    olmo_hybrid::check_kinds(config, &linear)?;
    let mixer = olmo_hybrid::mixer(config, &spec, spec.head_dim)?;
    delta_net::set(&mut spec, &mixer, &linear);
    spec.layers.iter_mut().for_each(|layer| layer.rope = None);
    Ok(spec)
}

/// Its names of a gate and of the norm before an MLP.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("self_attn.gate_proj", "self_attn.attn_gate")
            .replace("pre_feedforward_layernorm", "ffn_layernorm"),
    )
}
