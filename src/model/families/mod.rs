//! Families: each is a function from a configuration to a [`DecoderSpec`], one file and one line of the table.

mod llama;
mod rope_config;

use super::spec::DecoderSpec;
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::registry::Entry;

type Describe = fn(&Config) -> Result<DecoderSpec>;

/// Every family, by the `model_type` of `config.json`.
pub const FAMILIES: &[Entry<Describe>] = &[Entry {
    name: "llama",
    about: "Llama 1 to 3, SmolLM, SmolLM2, TinyLlama and their like",
    value: llama::spec,
}];

/// The family and the spec that a configuration describes.
///
/// # Errors
/// [`Error::UnknownChoice`] for a `model_type` that is not in the table, before any weight is read.
pub fn describe(config: &Config) -> Result<(&'static str, DecoderSpec)> {
    let model_type = config.string("model_type")?;
    let family =
        FAMILIES.iter().find(|family| family.name == model_type).ok_or_else(|| Error::UnknownChoice {
            kind: "model_type",
            found: format!("{model_type} ({})", config.path().display()),
            known: FAMILIES.iter().map(|family| family.name).collect::<Vec<_>>().join(", "),
        })?;
    Ok((family.name, (family.value)(config)?))
}
