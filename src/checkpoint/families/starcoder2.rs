//! StarCoder 2: LayerNorm, a plain MLP, biases, and a sliding window on every layer when there is one.

use super::common::{llama_like, windows};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{Biases, DecoderSpec, MlpKind, NormKind};

/// Reads a StarCoder 2 configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(config)?;
    let bias = config.required_flag("use_bias")?;
    let mut spec = DecoderSpec {
        norm: NormKind::LayerWithBias,
        bias: Biases { qkv: bias, output: bias, mlp: bias, head: false },
        mlp: MlpKind::Plain,
        ..spec
    };
    let all = vec![true; spec.num_hidden_layers];
    windows(&mut spec, config, &all)?;
    Ok(spec)
}

/// StarCoder 2's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(name.replace("up_proj", "c_fc").replace("down_proj", "c_proj"))
}
