//! GGUF metadata in the words of `config.json`, so that a family is read by one function whatever the file
//! format.
//!
//! What the metadata leaves out is what llama.cpp, whose format this is, does in code. A window that
//! llama.cpp does not know (of the first Mistral and of StarCoder 2) is not in its files: such a model sees
//! everything here as it does there.

use candle_core::Device;
use serde_json::{Map, Value, json};

use super::config::{Config, Dialect};
use super::gguf::GgufFile;
use crate::error::{Error, Result};
use crate::registry::Entry;

/// How a GGUF architecture is read.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// The `model_type` of its family.
    model_type: &'static str,
    /// Whether rows of q and k are stored in the order of interleaved rotary positions, though the family
    /// turns halves.
    pub(super) interleaved: bool,
    /// Whether the attention's output has a bias exactly when there is one, whatever those of q, k and v.
    pub(super) own_biases: bool,
    /// What is its own in the metadata.
    own_keys: fn(&mut Translation<'_>) -> Result<()>,
}

const fn halves(model_type: &'static str, own_keys: fn(&mut Translation<'_>) -> Result<()>) -> Architecture {
    Architecture { model_type, interleaved: false, own_biases: false, own_keys }
}

const fn interleaved(
    model_type: &'static str,
    own_keys: fn(&mut Translation<'_>) -> Result<()>,
) -> Architecture {
    Architecture { model_type, interleaved: true, own_biases: false, own_keys }
}

/// Every architecture of GGUF files that can be read, by `general.architecture`.
#[rustfmt::skip]
pub const ARCHITECTURES: &[Entry<Architecture>] = &[
    Entry { name: "llama", about: "llama, mistral", value: Architecture { own_biases: true, ..interleaved("llama", llama) } },
    Entry { name: "qwen2", about: "qwen2", value: halves("qwen2", nothing) },
    Entry { name: "qwen3", about: "qwen3", value: halves("qwen3", nothing) },
    Entry { name: "gemma2", about: "gemma2", value: halves("gemma2", gemma2) },
    Entry { name: "gemma3", about: "gemma3_text", value: halves("gemma3_text", gemma3) },
    Entry { name: "phi3", about: "phi3", value: halves("phi3", nothing) },
    Entry { name: "phi2", about: "phi", value: halves("phi", nothing) },
    Entry { name: "smollm3", about: "smollm3", value: interleaved("smollm3", nothing) },
    Entry { name: "cohere2", about: "cohere2", value: halves("cohere2", cohere2) },
    Entry { name: "olmo2", about: "olmo2", value: halves("olmo2", olmo2) },
    Entry { name: "granite", about: "granite", value: interleaved("granite", granite) },
    Entry { name: "gptneox", about: "gpt_neox", value: halves("gpt_neox", nothing) },
    Entry { name: "stablelm", about: "stablelm", value: halves("stablelm", stablelm) },
    Entry { name: "starcoder2", about: "starcoder2", value: halves("starcoder2", nothing) },
    Entry { name: "gpt2", about: "gpt2", value: halves("gpt2", gpt2) },
];

/// Keys whose meaning is the same in every architecture, and Hugging Face's names for them.
const SIZES: &[(&str, &str)] = &[
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("block_count", "num_hidden_layers"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
];

/// Those that a file may leave out.
const OPTIONAL: &[&str] = &["num_key_value_heads", "head_dim", "max_position_embeddings"];

const NUMBERS: &[(&str, &str)] = &[
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
];

/// The configuration that the metadata of `file` describes, and how its architecture is read.
///
/// # Errors
/// [`Error::InvalidValue`] for an architecture that is not in the table, and for what its family does not
/// know; [`Error::File`] when a key is missing.
pub(super) fn to_config(file: &GgufFile) -> Result<(Config, &'static Architecture)> {
    let Some(entry) = ARCHITECTURES.iter().find(|entry| entry.name == file.architecture()) else {
        let known = ARCHITECTURES.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(
            format!("{}: general.architecture", file.path().display()),
            format!("{:?}", file.architecture()),
            format!("one of the known architectures: {known}"),
        ));
    };
    let architecture = &entry.value;
    let mut translation = Translation { file, config: Map::new() };
    translation.set("model_type", architecture.model_type);
    translation.sizes()?;
    translation.numbers()?;
    translation.tensors()?;
    translation.windows()?;
    translation.positions(architecture.interleaved)?;
    (architecture.own_keys)(&mut translation)?;
    translation.complete();
    Ok((Config::new(file.path(), translation.config).in_dialect(Dialect::LlamaCpp), architecture))
}

/// A configuration in the making.
struct Translation<'a> {
    file: &'a GgufFile,
    config: Map<String, Value>,
}

impl Translation<'_> {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.config.insert(key.to_string(), value.into());
    }

    /// The full name of a key of this architecture.
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.file.architecture())
    }

    fn integer(&self, name: &str) -> Result<Option<u64>> {
        self.file.metadata().integer(&self.key(name))
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.file.metadata().number(&self.key(name))
    }

    fn has(&self, tensor: &str) -> bool {
        self.file.contains(tensor)
    }

    fn missing(&self, what: &str) -> Error {
        Error::file(
            self.file.path(),
            format!(
                "{what} is missing: the file is damaged or was made by an old tool; convert the model again"
            ),
        )
    }

    /// An error about the value of a key of this architecture.
    fn wrong(&self, name: &str, expected: impl Into<String>, found: impl std::fmt::Display) -> Error {
        Error::invalid(format!("{}: {}", self.file.path().display(), self.key(name)), found, expected)
    }

    /// A whole number that has been translated already.
    fn size(&self, key: &str) -> Option<u64> {
        self.config.get(key)?.as_u64()
    }

    fn head_dim(&self) -> u64 {
        let divided = || self.size("hidden_size")?.checked_div(self.size("num_attention_heads")?);
        self.size("head_dim").or_else(divided).unwrap_or(0)
    }

    fn sizes(&mut self) -> Result<()> {
        for (name, key) in SIZES {
            match self.integer(name)? {
                Some(size) => self.set(key, size),
                None if OPTIONAL.contains(key) => {}
                None => return Err(self.missing(&self.key(name))),
            }
        }
        if let Some(experts) = self.integer("expert_count")?.filter(|experts| *experts > 0) {
            return Err(self.wrong("expert_count", "0: mixtures of experts are not known", experts));
        }
        let head_dim = self.head_dim();
        if let Some(width) = self.integer("attention.value_length")?.filter(|width| *width != head_dim) {
            let expected = format!("the width of a key, {head_dim}");
            return Err(self.wrong("attention.value_length", expected, width));
        }
        Ok(())
    }

    fn numbers(&mut self) -> Result<()> {
        for (name, key) in NUMBERS {
            if let Some(number) = self.number(name)? {
                self.set(key, number);
            }
        }
        let of_a_norm = ["rms_norm_eps", "layer_norm_eps"].map(|key| self.config.get(key).cloned());
        let ([Some(eps), _] | [None, Some(eps)]) = of_a_norm else {
            return Err(self.missing(&self.key("attention.layer_norm_rms_epsilon")));
        };
        for key in ["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"] {
            self.config.entry(key).or_insert(eps.clone());
        }
        if let Some(parallel) = self.file.metadata().flag(&self.key("use_parallel_residual"))? {
            self.set("use_parallel_residual", parallel);
        }
        Ok(())
    }

    /// What the tensors say: the vocabulary, the head and the biases that there are.
    fn tensors(&mut self) -> Result<()> {
        let embedding = self.file.shape("token_embd.weight");
        let embedding = embedding.ok_or_else(|| self.missing("token_embd.weight"))?;
        self.set("vocab_size", json!(embedding.first()));
        self.set("tie_word_embeddings", !self.has("output.weight"));
        let qkv = self.has("blk.0.attn_q.bias") || self.has("blk.0.attn_qkv.bias");
        for key in ["attention_bias", "use_qkv_bias", "use_bias"] {
            self.set(key, qkv);
        }
        self.set("mlp_bias", self.has("blk.0.ffn_up.bias"));
        Ok(())
    }

    /// The sliding window, 0 for none, and the layers that have it when the file says which.
    fn windows(&mut self) -> Result<()> {
        if let Some(window) = self.integer("attention.sliding_window")?.filter(|window| *window > 0) {
            self.set("sliding_window", window);
        }
        let (pattern, metadata) = (self.key("attention.sliding_window_pattern"), self.file.metadata());
        if metadata.list_len(&pattern).is_some() {
            let sliding = metadata.numbers(&pattern)?.unwrap_or_default();
            self.set_layer_types(sliding.into_iter().map(|flag| flag != 0.0));
        } else if let Some(period) = metadata.integer(&pattern)? {
            // The last layer of every period sees everything; a period of 0 has no such layer.
            let layers = self.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
            self.set_layer_types((1..=layers).map(|layer| period == 0 || !layer.is_multiple_of(period)));
        }
        Ok(())
    }

    fn set_layer_types(&mut self, sliding: impl Iterator<Item = bool>) {
        let name = |sliding| if sliding { "sliding_attention" } else { "full_attention" };
        self.set("layer_types", sliding.map(name).collect::<Vec<_>>());
    }

    /// What llama.cpp takes for keys that are not there: families have defaults of their own, which are not
    /// llama.cpp's.
    fn complete(&mut self) {
        let (head_dim, heads) = (self.head_dim(), self.size("num_attention_heads"));
        for (key, value) in [
            ("num_key_value_heads", json!(heads)),
            ("head_dim", json!(head_dim)),
            ("max_position_embeddings", Value::Null),
            ("sliding_window", Value::Null),
            ("original_max_position_embeddings", Value::Null),
        ] {
            self.config.entry(key).or_insert(value);
        }
    }

    /// Rotary positions: how many coordinates turn, and how fast.
    fn positions(&mut self, interleaved: bool) -> Result<()> {
        let head_dim = self.head_dim();
        let mut share = 1.0;
        if let Some(rotary) = self.integer("rope.dimension_count")?.filter(|rotary| *rotary != head_dim) {
            if interleaved || rotary > head_dim {
                let expected = format!("the width of a head, {head_dim}");
                return Err(self.wrong("rope.dimension_count", expected, rotary));
            }
            // Half a coordinate more than there are: the share is rounded down to whole coordinates.
            share = (rotary as f64 + 0.5) / head_dim as f64;
        }
        let mut rope = self.rope_parameters()?;
        rope.insert("partial_rotary_factor".to_string(), json!(share));
        self.set("rope_parameters", rope);
        Ok(())
    }

    fn rope_parameters(&self) -> Result<Map<String, Value>> {
        let mut rope = Map::new();
        let mut set = |key: &str, value: Value| rope.insert(key.to_string(), value);
        set("rope_theta", json!(self.number("rope.freq_base")?.unwrap_or(10000.0)));
        if let Some(original) = self.integer("rope.scaling.original_context_length")? {
            set("original_max_position_embeddings", json!(original));
        }
        if let Some(divisors) = self.list("rope_freqs.weight")? {
            set("rope_type", json!("divisors"));
            set("divisors", divisors);
            return Ok(rope);
        }
        let kind = self.file.metadata().string(&self.key("rope.scaling.type"))?;
        let long = self.list("rope_factors_long.weight")?;
        if long.is_some() || kind.as_deref() == Some("longrope") {
            let short = self.list("rope_factors_short.weight")?;
            set("rope_type", json!("longrope"));
            set("long_factor", long.ok_or_else(|| self.missing("rope_factors_long.weight"))?);
            set("short_factor", short.ok_or_else(|| self.missing("rope_factors_short.weight"))?);
            if let Some(factor) = self.number("rope.scaling.attn_factor")? {
                set("attention_factor", json!(factor));
            }
            return Ok(rope);
        }
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        let factor = factor.filter(|factor| *factor != 0.0);
        match (kind.as_deref(), factor) {
            (Some("none"), _) | (None, None) => {}
            (Some("linear") | None, Some(factor)) => {
                set("rope_type", json!("linear"));
                set("factor", json!(factor));
            }
            (Some("yarn"), Some(factor)) => {
                set("rope_type", json!("yarn"));
                set("factor", json!(factor));
                for (name, key) in [
                    ("rope.scaling.yarn_attn_factor", "attention_factor"),
                    ("rope.scaling.yarn_beta_fast", "beta_fast"),
                    ("rope.scaling.yarn_beta_slow", "beta_slow"),
                ] {
                    if let Some(number) = self.number(name)? {
                        set(key, json!(number));
                    }
                }
            }
            (Some("linear" | "yarn"), None) => return Err(self.missing(&self.key("rope.scaling.factor"))),
            (Some(other), _) => {
                return Err(self.wrong("rope.scaling.type", "none, linear, yarn or longrope", other));
            }
        }
        Ok(rope)
    }

    /// The numbers of a tensor, when it is there.
    fn list(&self, tensor: &str) -> Result<Option<Value>> {
        if !self.has(tensor) {
            return Ok(None);
        }
        Ok(Some(json!(self.file.read(tensor, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?)))
    }
}

/// Layers that are described one by one, at most: a file that claims more is refused when its family is read.
const MOST_LAYERS: u64 = 1 << 16;

fn nothing(_: &mut Translation<'_>) -> Result<()> {
    Ok(())
}

/// Mistral's files are of this architecture; only a window tells them apart.
fn llama(of: &mut Translation<'_>) -> Result<()> {
    if of.config.contains_key("sliding_window") {
        of.set("model_type", "mistral");
    }
    Ok(())
}

fn gemma2(of: &mut Translation<'_>) -> Result<()> {
    for (key, value) in [
        ("sliding_window", json!(4096)),
        ("attn_logit_softcapping", json!(50.0)),
        ("final_logit_softcapping", json!(30.0)),
    ] {
        of.config.entry(key).or_insert(value);
    }
    gemma_scale(of, 46);
    Ok(())
}

/// Layers with a window have a rotary base of their own, and no scaling.
fn gemma3(of: &mut Translation<'_>) -> Result<()> {
    let global = of.config.remove("rope_parameters");
    let local = of.number("rope.freq_base_swa")?.unwrap_or(10000.0);
    of.set(
        "rope_parameters",
        json!({ "full_attention": global, "sliding_attention": { "rope_theta": local } }),
    );
    if !of.config.contains_key("sliding_window") {
        let layers = of.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
        of.set_layer_types((0..layers).map(|_| false));
    }
    gemma_scale(of, 62);
    Ok(())
}

/// Scores are scaled by the width of a head, in the models of 27B, told by their number of layers, by
/// `hidden_size / heads`.
fn gemma_scale(of: &mut Translation<'_>, layers_of_27b: u64) {
    let scalar = if of.size("num_hidden_layers") == Some(layers_of_27b) {
        let heads = of.size("num_attention_heads").unwrap_or(0);
        of.size("hidden_size").and_then(|hidden| hidden.checked_div(heads))
    } else {
        Some(of.head_dim())
    };
    of.set("query_pre_attn_scalar", json!(scalar));
}

fn cohere2(of: &mut Translation<'_>) -> Result<()> {
    let scale = of.number("logit_scale")?.ok_or_else(|| of.missing(&of.key("logit_scale")))?;
    of.set("logit_scale", scale);
    Ok(())
}

/// OLMo 3 shares the architecture, and has windows.
fn olmo2(of: &mut Translation<'_>) -> Result<()> {
    match of.size("sliding_window") {
        Some(window) => Err(of.wrong("attention.sliding_window", "none: OLMo 3 is not known", window)),
        None => Ok(()),
    }
}

fn granite(of: &mut Translation<'_>) -> Result<()> {
    let finetuned = of.key("rope.scaling.finetuned");
    if of.file.metadata().flag(&finetuned)? == Some(false) {
        let expected = "true: Granite without rotary positions is not known";
        return Err(of.wrong("rope.scaling.finetuned", expected, false));
    }
    of.set("attention_multiplier", (of.head_dim() as f64).powf(-0.5));
    for (name, key) in [
        ("attention.scale", "attention_multiplier"),
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("logit_scale", "logits_scaling"),
    ] {
        if let Some(number) = of.number(name)? {
            of.set(key, number);
        }
    }
    Ok(())
}

/// What a block is like follows from the tensors that it has: files say `use_parallel_residual` where there
/// is none.
fn stablelm(of: &mut Translation<'_>) -> Result<()> {
    of.set("use_parallel_residual", !of.has("blk.0.ffn_norm.weight"));
    of.set("qk_layernorm", of.has("blk.0.attn_q_norm.weight"));
    Ok(())
}

fn gpt2(of: &mut Translation<'_>) -> Result<()> {
    for (key, own) in [
        ("hidden_size", "n_embd"),
        ("intermediate_size", "n_inner"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("max_position_embeddings", "n_positions"),
    ] {
        if let Some(value) = of.config.remove(key) {
            of.set(own, value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use candle_core::Tensor;
    use candle_core::quantized::gguf_file::{self, Value as Gguf};
    use candle_core::quantized::{GgmlDType, QTensor};

    use super::*;

    /// What a file of this architecture is translated to, with these keys besides the sizes and these tensors
    /// besides the embedding.
    fn translated(architecture: &str, keys: &[(&str, Gguf)], tensors: &[&str]) -> Result<Config> {
        let mut metadata = vec![("general.architecture".to_string(), Gguf::String(architecture.to_string()))];
        for (name, value) in [
            ("embedding_length", Gguf::U32(32)),
            ("feed_forward_length", Gguf::U32(64)),
            ("block_count", Gguf::U32(4)),
            ("attention.head_count", Gguf::U32(4)),
            ("attention.layer_norm_rms_epsilon", Gguf::F32(1e-6)),
            ("logit_scale", Gguf::F32(0.5)),
        ] {
            let value = keys.iter().find(|(key, _)| *key == name).map_or(value, |(_, value)| value.clone());
            metadata.push((format!("{architecture}.{name}"), value));
        }
        let more = keys.iter().filter(|(name, _)| !metadata.iter().any(|(key, _)| key.ends_with(name)));
        let more: Vec<_> =
            more.map(|(name, value)| (format!("{architecture}.{name}"), value.clone())).collect();
        metadata.extend(more);
        let ones = Tensor::ones((4, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        let ones = QTensor::quantize(&ones, GgmlDType::F32).unwrap();
        let tensors: Vec<_> =
            ["token_embd.weight"].iter().chain(tensors).map(|name| (*name, &ones)).collect();
        let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m.gguf");
        gguf_file::write(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
        Ok(to_config(&GgufFile::open(&path)?)?.0)
    }

    fn text(text: &str) -> Gguf {
        Gguf::String(text.to_string())
    }

    #[test]
    fn rotary_scaling_is_read_with_the_defaults_of_llama_cpp() {
        let rope = |architecture, keys: &[(&str, Gguf)], tensors: &[&str]| {
            let config = translated(architecture, keys, tensors).unwrap();
            let mut rope = config.get("rope_parameters").unwrap().clone();
            let share = rope.as_object_mut().unwrap().remove("partial_rotary_factor");
            assert!(share.is_none_or(|share| share == 1.0));
            rope
        };
        let plain = json!({ "rope_theta": 10000.0 });
        let linear = json!({ "rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0 });
        let (factor, legacy) =
            (("rope.scaling.factor", Gguf::F32(4.0)), ("rope.scale_linear", Gguf::F32(4.0)));
        let none = ("rope.scaling.type", text("none"));
        assert_eq!(rope("qwen2", &[], &[]), plain);
        assert_eq!(rope("qwen2", &[none, factor.clone()], &[]), plain);
        assert_eq!(rope("qwen2", from_ref(&factor), &[]), linear);
        assert_eq!(rope("qwen2", &[legacy], &[]), linear);
        let yarn = [
            factor.clone(),
            ("rope.scaling.type", text("yarn")),
            ("rope.scaling.original_context_length", Gguf::U32(64)),
            ("rope.scaling.yarn_attn_factor", Gguf::F32(1.5)),
            ("rope.scaling.yarn_beta_fast", Gguf::F32(16.0)),
            ("rope.scaling.yarn_beta_slow", Gguf::F32(2.0)),
        ];
        let expected = json!({
            "rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
            "attention_factor": 1.5, "beta_fast": 16.0, "beta_slow": 2.0
        });
        assert_eq!(rope("qwen2", &yarn, &[]), expected);
        // The tensors alone say that the positions of Phi 3 are scaled.
        let ones = json!(vec![1.0; 128]);
        let long = [
            ("rope.scaling.original_context_length", Gguf::U32(4096)),
            ("rope.scaling.attn_factor", Gguf::F32(1.25)),
        ];
        let expected = json!({
            "rope_theta": 10000.0, "original_max_position_embeddings": 4096, "rope_type": "longrope",
            "long_factor": ones, "short_factor": ones, "attention_factor": 1.25
        });
        assert_eq!(rope("phi3", &long, &["rope_factors_long.weight", "rope_factors_short.weight"]), expected);
        let own = [factor, ("rope.freq_base", Gguf::F32(1e6))];
        let expected = json!({
            "full_attention": {
                "rope_theta": 1e6, "rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 1.0
            },
            "sliding_attention": { "rope_theta": 10000.0 }
        });
        assert_eq!(rope("gemma3", &own, &[]), expected);
    }

    #[test]
    fn the_share_of_rotating_coordinates_is_no_coordinate_short() {
        for (rotary, head_dim) in [(15, 22), (32, 80), (96, 128), (1, 1023), (1022, 1023)] {
            let keys =
                [("attention.key_length", Gguf::U32(head_dim)), ("rope.dimension_count", Gguf::U32(rotary))];
            let config = translated("phi2", &keys, &[]).unwrap();
            let rope = config.optional_section("rope_parameters").unwrap().unwrap();
            let share = rope.number("partial_rotary_factor").unwrap();
            assert_eq!((f64::from(head_dim) * share) as u32, rotary, "{rotary} of {head_dim}");
        }
    }

    #[test]
    fn layers_with_a_window_are_those_that_the_file_names() {
        let types = |architecture, keys: &[(&str, Gguf)]| {
            let types = translated(architecture, keys, &[]).unwrap().optional_strings("layer_types").unwrap();
            types.map(|types| types.iter().map(|kind| kind == "sliding_attention").collect::<Vec<_>>())
        };
        let window = ("attention.sliding_window", Gguf::U32(8));
        let pattern = |value| ("attention.sliding_window_pattern", value);
        let flags = [true, false, false, true];
        let list = Gguf::Array(flags.iter().map(|flag| Gguf::Bool(*flag)).collect());
        assert_eq!(types("cohere2", from_ref(&window)), None);
        assert_eq!(types("cohere2", &[window.clone(), pattern(list)]), Some(flags.to_vec()));
        assert_eq!(
            types("cohere2", &[window.clone(), pattern(Gguf::U32(3))]),
            Some(vec![true, true, false, true])
        );
        assert_eq!(types("cohere2", &[window.clone(), pattern(Gguf::U32(0))]), Some(vec![true; 4]));
        assert_eq!(types("gemma3", &[window]), None);
        assert_eq!(types("gemma3", &[]), Some(vec![false; 4]));
    }

    #[test]
    fn the_largest_gemmas_scale_scores_by_their_own_number() {
        for (architecture, layers) in [("gemma2", 46), ("gemma3", 62)] {
            let scalar = |layers| {
                let keys = [
                    ("block_count", Gguf::U32(layers)),
                    ("embedding_length", Gguf::U32(5376)),
                    ("attention.key_length", Gguf::U32(128)),
                ];
                translated(architecture, &keys, &[])
                    .unwrap()
                    .optional_number("query_pre_attn_scalar")
                    .unwrap()
            };
            assert_eq!(scalar(layers), Some(1344.0));
            assert_eq!(scalar(layers - 1), Some(128.0));
        }
    }

    #[test]
    fn what_a_family_does_not_know_is_refused_by_key() {
        for (architecture, key, value, words) in [
            ("llama", "expert_count", Gguf::U32(8), "mixtures of experts"),
            ("qwen3", "attention.value_length", Gguf::U32(16), "the width of a key, 8"),
            ("llama", "rope.dimension_count", Gguf::U32(4), "the width of a head, 8"),
            ("phi2", "rope.dimension_count", Gguf::U32(16), "the width of a head, 8"),
            ("olmo2", "attention.sliding_window", Gguf::U32(4096), "OLMo 3"),
            ("granite", "rope.scaling.finetuned", Gguf::Bool(false), "without rotary positions"),
            ("qwen2", "rope.scaling.type", text("spiral"), "longrope"),
            ("qwen2", "rope.scaling.type", text("yarn"), "rope.scaling.factor is missing"),
            ("phi3", "rope.scaling.type", text("longrope"), "rope_factors_long.weight is missing"),
            ("bert", "a", Gguf::U32(0), "llama, qwen2, qwen3, gemma2"),
        ] {
            let message = translated(architecture, &[(key, value)], &[]).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains("m.gguf"), "{message}");
        }
    }
}
