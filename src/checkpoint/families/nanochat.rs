//! nanochat: norms without weights, one of them behind the embedding, norms on rotated queries and keys,
//! rotary positions that turn the other way, an MLP of squared ReLU without a gate, a soft cap on logits.

use super::common::llama_like;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, Extras, MlpKind, NormKind, QkNorm, RotaryLayout};

/// Reads a nanochat configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    Ok(DecoderSpec {
        norm: NormKind::RmsWithoutWeight,
        qk_norm: QkNorm::WeightlessOnAllLayers,
        mlp: MlpKind::Plain,
        rotary_layout: RotaryLayout::HalfBackwards,
        final_logit_softcapping: config.optional_positive("final_logit_softcapping")?,
        extras: Extras { qk_norm_after_rope: true, embedding_norm: true, ..spec.extras },
        ..spec
    })
}

/// nanochat's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace("up_proj", "fc1").replace("down_proj", "fc2"))
}
