//! GGUF metadata in the words of `config.json`, so that a family is read by one function whatever the file
//! format.
//!
//! What the metadata leaves out is what llama.cpp, whose format this is, does in code. A window that
//! llama.cpp does not know (of the first Mistral and of StarCoder 2) is not in its files: such a model sees
//! everything here as it does there.

use std::ops::Range;

use candle_core::Device;
use serde_json::{Map, Value, json};

use super::config::{Config, Dialect};
use super::gguf::GgufFile;
use super::gguf_architectures::{ARCHITECTURES, Architecture};
use crate::error::{Error, Result};

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

/// Sizes of mixtures of experts, and the names that families have for them.
const EXPERTS: &[(&str, &[&str])] = &[
    ("expert_feed_forward_length", &["moe_intermediate_size"]),
    ("expert_shared_feed_forward_length", &["shared_expert_intermediate_size"]),
    ("expert_shared_count", &["n_shared_experts", "num_shared_experts", "moe_num_shared_experts"]),
    ("leading_dense_block_count", &["first_k_dense_replace"]),
    ("expert_group_count", &["n_group"]),
    ("expert_group_used_count", &["topk_group"]),
];

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
    translation.sizes(architecture)?;
    translation.numbers()?;
    translation.tensors()?;
    translation.windows()?;
    translation.positions(architecture.interleaved)?;
    translation.experts(architecture.experts)?;
    (architecture.own_keys)(&mut translation)?;
    translation.complete();
    Ok((Config::new(file.path(), translation.config).in_dialect(Dialect::LlamaCpp), architecture))
}

/// A configuration in the making.
pub(super) struct Translation<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) config: Map<String, Value>,
}

impl Translation<'_> {
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.config.insert(key.to_string(), value.into());
    }

    /// The full name of a key of this architecture.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.file.architecture())
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<u64>> {
        self.file.metadata().integer(&self.key(name))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>> {
        self.file.metadata().number(&self.key(name))
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.file.contains(tensor)
    }

    pub(super) fn missing(&self, what: &str) -> Error {
        Error::file(
            self.file.path(),
            format!(
                "{what} is missing: the file is damaged or was made by an old tool; convert the model again"
            ),
        )
    }

    /// An error about the value of a key of this architecture.
    pub(super) fn wrong(
        &self,
        name: &str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::invalid(format!("{}: {}", self.file.path().display(), self.key(name)), found, expected)
    }

    /// A whole number that must be there.
    pub(super) fn required(&self, name: &str) -> Result<u64> {
        self.integer(name)?.ok_or_else(|| self.missing(&self.key(name)))
    }

    /// One whole number for each layer, where there is a list.
    pub(super) fn by_layer(&self, name: &str) -> Result<Option<Vec<u64>>> {
        if self.file.metadata().list_len(&self.key(name)).is_none() {
            return Ok(None);
        }
        let sizes = self.file.metadata().numbers(&self.key(name))?.unwrap_or_default();
        let whole = |size: &f64| size.fract() == 0.0 && (0.0..9e15).contains(size);
        match sizes.iter().find(|size| !whole(size)) {
            Some(wrong) => Err(self.wrong(name, "whole numbers, one a layer", wrong)),
            None => Ok(Some(sizes.into_iter().map(|size| size as u64).collect())),
        }
    }

    /// The numbers of all layers.
    pub(super) fn layers(&self) -> Range<u64> {
        0..self.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS)
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.file.metadata().flag(&self.key(name))
    }

    /// Sets `layer_types`: `full_attention` where a layer has `tensor`, `otherwise` where not.
    pub(super) fn set_layer_kinds(&mut self, tensor: &str, otherwise: &str) {
        let attends = |layer| self.has(&format!("blk.{layer}.{tensor}"));
        let kinds = self.layers().map(|layer| if attends(layer) { "full_attention" } else { otherwise });
        self.set("layer_types", kinds.collect::<Vec<_>>());
    }

    /// A whole number that has been translated already.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.config.get(key)?.as_u64()
    }

    pub(super) fn head_dim(&self) -> u64 {
        let divided = || self.size("hidden_size")?.checked_div(self.size("num_attention_heads")?);
        self.size("head_dim").or_else(divided).unwrap_or(0)
    }

    fn sizes(&mut self, architecture: &Architecture) -> Result<()> {
        for (name, key) in SIZES {
            let largest = |sizes: Vec<u64>| sizes.into_iter().max();
            let size = if architecture.by_layer { self.by_layer(name)?.and_then(largest) } else { None };
            let size = if size.is_some() { size } else { self.integer(name)? };
            match size {
                Some(size) => self.set(key, size),
                None if OPTIONAL.contains(key) => {}
                None => return Err(self.missing(&self.key(name))),
            }
        }
        // Layers that predict further tokens stand behind those that run.
        if let Some(beyond) = self.integer("nextn_predict_layers")? {
            let layers = self.size("num_hidden_layers").unwrap_or(0);
            let Some(layers) = layers.checked_sub(beyond) else {
                return Err(self.wrong("nextn_predict_layers", format!("at most {layers}"), beyond));
            };
            self.set("num_hidden_layers", layers);
        }
        let head_dim = self.head_dim();
        let width = if architecture.unlike_heads { None } else { self.integer("attention.value_length")? };
        if let Some(width) = width.filter(|width| *width != head_dim) {
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
        for key in ["rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"] {
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

    /// Sizes of a mixture of experts, under the names that most families have for them.
    fn experts(&mut self, known: bool) -> Result<()> {
        let Some(count) = self.integer("expert_count")?.filter(|count| *count > 0) else { return Ok(()) };
        if !known {
            let expected = "0: mixtures of experts are not known in this architecture";
            return Err(self.wrong("expert_count", expected, count));
        }
        let Some(used) = self.integer("expert_used_count")?.filter(|used| *used > 0) else {
            return Err(self.missing(&self.key("expert_used_count")));
        };
        for key in ["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"] {
            self.set(key, count);
        }
        self.set("num_experts_per_tok", used);
        for (name, keys) in EXPERTS {
            if let Some(size) = self.integer(name)?.filter(|size| *size > 0) {
                keys.iter().for_each(|key| self.set(key, size));
            }
        }
        // A factor of 0 is none.
        let scale = self.number("expert_weights_scale")?.filter(|scale| *scale != 0.0).unwrap_or(1.0);
        for key in ["routed_scaling_factor", "router_scaling_factor"] {
            self.set(key, scale);
        }
        if let Some(norm) = self.file.metadata().flag(&self.key("expert_weights_norm"))? {
            self.set("norm_topk_prob", norm);
        }
        for (key, otherwise) in
            [("n_group", 1), ("topk_group", 1), ("first_k_dense_replace", 0), ("moe_intermediate_size", 0)]
        {
            self.config.entry(key).or_insert(json!(otherwise));
        }
        if self.size("moe_intermediate_size") == Some(0) {
            let width = self.size("intermediate_size").and_then(|width| width.checked_div(used));
            self.set("moe_intermediate_size", json!(width));
        }
        self.set("decoder_sparse_step", 1);
        let mixed: Vec<u64> = self.layers_with_experts().collect();
        let layers = self.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
        let dense: Vec<u64> = (0..layers).filter(|layer| !mixed.contains(layer)).collect();
        let kind = |layer| if mixed.contains(&layer) { "sparse" } else { "dense" };
        self.set("mlp_layer_types", (0..layers).map(kind).collect::<Vec<_>>());
        self.set("mlp_only_layers", dense);
        Ok(())
    }

    /// Refuses a file whose router makes other scores than `expected`: 1 is a softmax, 2 a sigmoid.
    pub(super) fn gating(&self, expected: u64) -> Result<()> {
        match self.integer("expert_gating_func")? {
            Some(found) if found != 0 && found != expected => {
                let expected = format!("{expected}, which the models of this architecture have");
                Err(self.wrong("expert_gating_func", expected, found))
            }
            _ => Ok(()),
        }
    }

    /// The layers that have experts, by their routers.
    pub(super) fn layers_with_experts(&self) -> impl Iterator<Item = u64> {
        let layers = self.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
        (0..layers).filter(|layer| self.has(&format!("blk.{layer}.ffn_gate_inp.weight")))
    }

    /// The sliding window, 0 for none, and the layers that have it when the file says which.
    fn windows(&mut self) -> Result<()> {
        if let Some(window) = self.integer("attention.sliding_window")?.filter(|window| *window > 0) {
            self.set("sliding_window", window);
        }
        let (pattern, metadata) = (self.key("attention.sliding_window_pattern"), self.file.metadata());
        if metadata.list_len(&pattern).is_some() {
            let mut sliding = metadata.numbers(&pattern)?.unwrap_or_default();
            // One for each block; those that predict further tokens do not run.
            if self.integer("block_count")? == Some(sliding.len() as u64) {
                sliding.truncate(self.layers().count());
            }
            self.set_layer_types(sliding.into_iter().map(|flag| flag != 0.0));
        } else if let Some(period) = metadata.integer(&pattern)? {
            // The last layer of every period sees everything; a period of 0 has no such layer.
            let layers = self.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
            self.set_layer_types((1..=layers).map(|layer| period == 0 || !layer.is_multiple_of(period)));
        }
        Ok(())
    }

    pub(super) fn set_layer_types(&mut self, sliding: impl Iterator<Item = bool>) {
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
                if let Some(all) = self.number("rope.scaling.yarn_log_multiplier")?.filter(|all| *all != 0.0)
                {
                    set("mscale", json!(1.0));
                    set("mscale_all_dim", json!(all));
                }
                // A factor on YaRN's own.
                if let Some(more) = self.number("rope.scaling.attn_factor")? {
                    set("attention_factor", json!(more * (1.0 + 0.1 * factor.max(1.0).ln())));
                }
            }
            (Some("linear" | "yarn"), None) => return Err(self.missing(&self.key("rope.scaling.factor"))),
            (Some(other), _) => {
                return Err(self.wrong("rope.scaling.type", "none, linear, yarn or longrope", other));
            }
        }
        Ok(rope)
    }

    /// Gives layers with a window a base of their own and no scaling; the others keep what there is.
    pub(super) fn set_ropes_by_window(&mut self, local: f64) {
        let global = self.config.remove("rope_parameters");
        let ropes = json!({ "full_attention": global, "sliding_attention": { "rope_theta": local } });
        self.set("rope_parameters", ropes);
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
pub(super) const MOST_LAYERS: u64 = 1 << 16;

#[cfg(test)]
mod tests;
