//! Ministral 3: Mistral with YaRN and Llama 4's attention temperature on every layer.

use super::mistral;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::model::spec::DecoderSpec;

/// Reads a Ministral 3 configuration. The temperature is an attention variant, but here it must not be missing.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    match config.optional_section("rope_parameters")? {
        Some(section) => section.number("llama_4_scaling_beta").map(drop)?,
        None => {
            return Err(config.wrong(
                "rope_parameters",
                "Ministral 3's, with llama_4_scaling_beta",
                "nothing",
            ));
        }
    }
    mistral::spec(config)
}
