//! GGUF metadata in the words of `config.json`, so that a family is read by one function whatever the file format.

use candle_core::Device;
use serde_json::{Map, Value, json};

use super::config::Config;
use super::gguf::GgufFile;
use crate::error::{Error, Result};

/// GGUF architectures and the `model_type` each stands for.
const ARCHITECTURES: &[(&str, &str)] = &[("llama", "llama")];

/// The configuration that the metadata of `file` describes.
///
/// # Errors
/// [`Error::UnknownChoice`] for an architecture that is not in the table.
pub(super) fn to_config(file: &GgufFile) -> Result<Config> {
    let (architecture, metadata) = (file.architecture(), file.metadata());
    let Some((_, model_type)) = ARCHITECTURES.iter().find(|(name, _)| *name == architecture) else {
        let known = ARCHITECTURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(
            format!("{}: general.architecture", file.path().display()),
            format!("{architecture:?}"),
            format!("one of the known architectures: {known}"),
        ));
    };
    let mut config = Map::new();
    config.insert("model_type".into(), json!(model_type));
    for (stored, key) in [
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("block_count", "num_hidden_layers"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
        ("attention.key_length", "head_dim"),
        ("context_length", "max_position_embeddings"),
    ] {
        let full = format!("{architecture}.{stored}");
        if let Some(size) = metadata.integer(&full)? {
            config.insert(key.into(), json!(size));
        } else if !matches!(stored, "attention.head_count_kv" | "attention.key_length" | "context_length") {
            return Err(missing(file, &full));
        }
    }
    let rotary = format!("{architecture}.rope.dimension_count");
    let head_dim = config.get("head_dim").and_then(Value::as_u64).or_else(|| {
        let (hidden, heads) =
            (config.get("hidden_size")?.as_u64()?, config.get("num_attention_heads")?.as_u64()?);
        hidden.checked_div(heads)
    });
    if let Some(found) = metadata.integer(&rotary)?.filter(|found| Some(*found) != head_dim) {
        let expected = format!("the width of a head, {}", head_dim.unwrap_or(0));
        return Err(Error::invalid(format!("{}: {rotary}", file.path().display()), found, expected));
    }
    let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
    let epsilon = metadata.number(&epsilon)?.ok_or_else(|| missing(file, &epsilon))?;
    config.insert("rms_norm_eps".into(), json!(epsilon));
    let embedding =
        file.stored_shape("token_embd.weight").ok_or_else(|| missing(file, "token_embd.weight"))?;
    config.insert("vocab_size".into(), json!(embedding.first()));
    config.insert("attention_bias".into(), json!(file.stored_shape("blk.0.attn_q.bias").is_some()));
    config.insert("mlp_bias".into(), json!(file.stored_shape("blk.0.ffn_gate.bias").is_some()));
    config.insert("rope_parameters".into(), rope_parameters(file)?);
    Ok(Config::new(file.path(), config))
}

fn rope_parameters(file: &GgufFile) -> Result<Value> {
    let metadata = file.metadata();
    let key = |name: &str| format!("{}.rope.{name}", file.architecture());
    let mut rope = Map::new();
    rope.insert("rope_theta".into(), json!(metadata.number(&key("freq_base"))?.unwrap_or(10000.0)));
    if let Some(original) = metadata.integer(&key("scaling.original_context_length"))? {
        rope.insert("original_max_position_embeddings".into(), json!(original));
    }
    if file.stored_shape("rope_freqs.weight").is_some() {
        let divisors =
            file.read_stored("rope_freqs.weight", &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        rope.insert("rope_type".into(), json!("divisors"));
        rope.insert("divisors".into(), json!(divisors));
        return Ok(Value::Object(rope));
    }
    match metadata.string(&key("scaling.type"))?.as_deref() {
        None | Some("none") => {}
        Some(kind @ ("linear" | "yarn")) => {
            let factor = key("scaling.factor");
            let factor = metadata.number(&factor)?.ok_or_else(|| missing(file, &factor))?;
            rope.insert("rope_type".into(), json!(kind));
            rope.insert("factor".into(), json!(factor));
        }
        Some(other) => {
            let name = format!("{}: {}", file.path().display(), key("scaling.type"));
            return Err(Error::invalid(name, other, "none, linear or yarn"));
        }
    }
    Ok(Value::Object(rope))
}

fn missing(file: &GgufFile, key: &str) -> Error {
    Error::file(
        file.path(),
        format!("{key} is missing: the file is damaged or was made by an old tool; convert the model again"),
    )
}
