//! gpt-oss: attention with sinks, in every other layer within a window, and clamped experts with biases.

use super::common::{llama_like, sliding_layers, windows_of_types};
use super::experts::{self, PER_TOKEN};
use crate::checkpoint::{Config, Part, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, ExpertKind, MoeSpec, RouterKind, RouterParts};

/// Reads a gpt-oss configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let mut spec = llama_like(config)?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| layer.is_multiple_of(2))?;
    windows_of_types(&mut spec, config, &sliding)?;
    let count = experts::or_alias(config, "num_local_experts", "num_experts");
    let router = RouterKind::Softmax { norm_topk_prob: true };
    let moe = MoeSpec {
        experts: ExpertKind::ClampedSwiglu {
            alpha: config.number("swiglu_alpha")?,
            limit: config.positive("swiglu_limit")?,
        },
        router_parts: RouterParts { bias: true, ..RouterParts::default() },
        ..experts::read(config, [count, PER_TOKEN, "intermediate_size"], router)?
    };
    for layer in &mut spec.layers {
        layer.moe = Some(moe);
        layer.sinks = true;
    }
    Ok(spec)
}

/// The stacks of experts are `[experts, in, out]` where they are plain numbers, and gates alternate with up
/// projections.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    let own = name.replace(".mlp.gate.", ".mlp.router.");
    let transposed = [".experts.gate_up_proj", ".experts.down_proj"].iter().any(|end| name.ends_with(end));
    let alternate = name.contains(".experts.gate_up_proj");
    let part = if alternate { Part::EvenRowsFirst } else { Part::All };
    Stored { transposed, part, ..Stored::whole(own) }
}
