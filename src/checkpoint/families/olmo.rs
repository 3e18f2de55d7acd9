//! OLMo: LayerNorms without weights, and queries, keys and values that are cut to a range.

use serde_json::Value;

use super::common::llama_like;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{DecoderSpec, Extras, NormKind};

/// The epsilon of OLMo's norms, which no configuration changes.
const EPSILON: f64 = 1e-5;

/// Reads an OLMo configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let spec = llama_like(&config.with_defaults([("rms_norm_eps", &Value::from(EPSILON))]))?;
    let clip_qkv = config.optional_positive("clip_qkv")?;
    Ok(DecoderSpec { norm: NormKind::LayerWithoutWeight, extras: Extras { clip_qkv, ..spec.extras }, ..spec })
}
