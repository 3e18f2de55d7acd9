//! Weights that were quantised by tools whose formats are not read; of all, MXFP4 in pairs of blocks and
//! scales is ([`super::mxfp4`]).
//!
//! What a configuration says is not enough: adapters merged into plain weights keep the `quantization_config`
//! of the model that they were trained on. So the tensors decide, and the configuration gives the name.

use serde_json::Value;

use super::config::Config;
use super::mxfp4;
use crate::error::Error;

/// Endings of tensors that only quantised weights have, and what makes them.
const TENSORS: &[(&str, &str)] = &[
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".weight.absmax", "bitsandbytes, 4 bits"),
    (".SCB", "bitsandbytes, 8 bits"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale", "FP8 or compressed-tensors"),
    (".weight_scale_inv", "FP8"),
    (".codebooks", "AQLM"),
    ("_blocks", "MXFP4"),
    (".W_q", "HQQ"),
    (".scales", "MLX"),
    (".biases", "MLX"),
];

/// Kinds of number that are read.
const PLAIN: &[&str] = &["F64", "F32", "F16", "BF16", mxfp4::KIND];

/// What a checkpoint of quantised weights is, from its whole configuration and the names and kinds of its
/// tensors.
pub(super) enum Quantised {
    /// They are not, or in a format that is read.
    No,
    /// The configuration says so, and the tensors are plain: the name of what it says.
    OnlySaid(String),
    /// They are, and cannot be read.
    Yes(Error),
}

impl Quantised {
    pub(super) fn of<'a>(config: &Config, tensors: impl Iterator<Item = (&'a str, String)>) -> Self {
        let said = said(config);
        let (mut made_by, mut read) = (None, false);
        for (name, dtype) in tensors {
            if dtype == mxfp4::KIND {
                read = true;
                continue;
            }
            if let Some((_, by_name)) = TENSORS.iter().find(|(end, _)| name.ends_with(end)) {
                made_by = Some(*by_name);
                break;
            }
            // Masks and counters are whole numbers everywhere.
            if said.is_some() && name.ends_with("weight") && !PLAIN.contains(&dtype.as_str()) {
                made_by = Some("");
            }
        }
        match (said, made_by) {
            (None, None) => Self::No,
            (Some(said), None) if read && said.to_lowercase().contains("mxfp4") => Self::No,
            (Some(said), None) => Self::OnlySaid(said),
            (said, Some(made_by)) => {
                let said = said.unwrap_or_else(|| made_by.to_string());
                let back = match &said {
                    said if said.contains("MLX") => ", or write it back with: mlx_lm.convert --dequantize",
                    said if ["bitsandbytes", "fp8", "FP8", "mxfp4", "MXFP4"]
                        .iter()
                        .any(|kind| said.contains(kind)) =>
                    {
                        ", or write it back with transformers: \
                         from_pretrained(DIR).dequantize().save_pretrained(NEW_DIR)"
                    }
                    _ => "",
                };
                Self::Yes(Error::file(
                    config.path(),
                    format!(
                        "the weights are quantised ({said}), which niah does not read; name the checkpoint \
                         in 16 bits that they were made from, or a GGUF file{back}"
                    ),
                ))
            }
        }
    }
}

/// The quantisation that a configuration names.
fn said(config: &Config) -> Option<String> {
    let section = ["quantization_config", "compression_config"].iter().find_map(|key| {
        let text = || config.get("text_config").and_then(|text| text.get(key));
        config.get(key).or_else(text).filter(|value| value.is_object())
    });
    let mlx = config.get("quantization").filter(|value| value.is_object());
    let (section, made_by) = match (section, mlx) {
        (_, Some(mlx)) => (mlx, "MLX".to_string()),
        (Some(section), None) => (section, method(section)),
        (None, None) => return None,
    };
    let flag = |key: &str| section.get(key).and_then(Value::as_bool) == Some(true);
    let bits = ["bits", "w_bit", "nbits"].iter().find_map(|key| section.get(key)?.as_u64());
    let bits = bits.or(flag("load_in_4bit").then_some(4)).or(flag("load_in_8bit").then_some(8));
    Some(bits.map_or(made_by.clone(), |bits| format!("{made_by}, {bits} bits")))
}

fn method(section: &Value) -> String {
    let named = section.get("quant_method").or_else(|| section.get("quant_type")).and_then(Value::as_str);
    let named =
        named.or_else(|| section.get("load_in_4bit").or(section.get("load_in_8bit")).map(|_| "bitsandbytes"));
    let shown: String = named.unwrap_or("quantization_config").escape_debug().take(40).collect();
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn of(config: Value, tensors: &[(&'static str, &str)]) -> Quantised {
        let values = config.as_object().cloned().unwrap_or_default();
        let config = Config::new(Path::new("config.json"), values);
        Quantised::of(&config, tensors.iter().map(|(name, dtype)| (*name, (*dtype).to_string())))
    }

    fn message(config: Value, tensors: &[(&'static str, &str)]) -> String {
        match of(config, tensors) {
            Quantised::Yes(error) => error.to_string(),
            _ => panic!("{tensors:?} are quantised"),
        }
    }

    #[test]
    fn the_configuration_names_what_the_tensors_show() {
        for (config, tensor, words) in [
            (
                json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}),
                ("a.qweight", "I32"),
                "gptq, 4 bits",
            ),
            (
                json!({"quantization_config": {"quant_method": "awq", "w_bit": 4}}),
                ("a.qweight", "I32"),
                "awq, 4 bits",
            ),
            (
                json!({"quantization_config": {"load_in_4bit": true}}),
                ("a.weight", "U8"),
                "bitsandbytes, 4 bits",
            ),
            (json!({"quantization_config": {"quant_method": "fp8"}}), ("a.weight", "F8_E4M3"), "(fp8)"),
            (
                json!({"text_config": {"quantization_config": {"quant_method": "mxfp4"}}}),
                ("a.w_blocks", "U8"),
                "(mxfp4)",
            ),
            (json!({"quantization": {"group_size": 64, "bits": 4}}), ("a.scales", "F16"), "MLX, 4 bits"),
            (json!({}), ("a.qweight", "I32"), "GPTQ or AWQ"),
        ] {
            let message = message(config, &[("b.weight", "BF16"), tensor]);
            assert!(message.contains(words) && message.contains("in 16 bits"), "{message}");
        }
    }

    #[test]
    fn plain_weights_are_read_whatever_the_configuration_says() {
        let tensors = [("a.weight", "BF16"), ("h.0.attn.bias", "U8"), ("a.bias", "F32")];
        assert!(matches!(of(json!({}), &tensors), Quantised::No));
        // The tensor's own error says more.
        assert!(matches!(of(json!({}), &[("a.weight", "I8")]), Quantised::No));
        let mxfp4 = json!({"quantization_config": {"quant_method": "mxfp4"}});
        assert!(matches!(of(mxfp4, &[("a.weight", "BF16"), ("a.w_blocks", "MXFP4")]), Quantised::No));
        let said = json!({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}});
        assert!(matches!(of(said, &tensors), Quantised::OnlySaid(said) if said == "bitsandbytes, 4 bits"));
    }
}
