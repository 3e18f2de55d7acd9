//! Ministral 3: Mistral with YaRN and Llama 4's attention temperature on every layer.

use super::mistral;
use super::rope_config::section;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads a Ministral 3 configuration. The temperature is an attention variant, but here it must not be
/// missing.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    match section(config)? {
        Some(section) => section.number("llama_4_scaling_beta").map(drop)?,
        None => {
            let expected = "Ministral 3's, with llama_4_scaling_beta";
            return Err(config.wrong("rope_parameters", expected, "nothing"));
        }
    }
    mistral::spec(config)
}
