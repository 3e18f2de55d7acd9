//! Apertus: Llama with norms on each query and key head, and an MLP of xIELU without a gate.

use serde_json::Value;

use super::common::llama_like;
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{DecoderSpec, MlpKind, QkNorm};

/// Reads an Apertus configuration. Its own activation is one of no other family, with numbers that layers
/// learn.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let learned = config.string("hidden_act")? == "xielu";
    let linear = Value::from("linear");
    let others =
        config.narrowed(|key| !learned || key != "hidden_act").with_defaults([("hidden_act", &linear)]);
    let mlp = if learned { MlpKind::Xielu } else { MlpKind::Plain };
    Ok(DecoderSpec { qk_norm: QkNorm::PerHead, mlp, ..llama_like(&others)? })
}

/// Apertus' names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("input_layernorm", "attention_layernorm")
            .replace("post_attention_layernorm", "feedforward_layernorm"),
    )
}
