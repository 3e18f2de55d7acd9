//! Tensors that a checkpoint holds and no layer reads.
//!
//! | tensor | |
//! |---|---|
//! | of a layer that runs, of what stands beside the layers, of the last norm or the head | the weights do not load: the answers would be another model's |
//! | a bias of zeros among them | nothing is said: it adds nothing |
//! | causal masks, frequencies of rotary positions | nothing is said: they follow from the configuration |
//! | of a part that sees or hears, of a layer beyond the last, of heads that predict further tokens, caches and counters, and all others | a line of warning for each of these kinds |
//!
//! transformers leaves all of them out with a warning. llama.cpp refuses a file with any.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::spec::DecoderSpec;
use crate::weights::TensorSource;

/// A source that remembers which tensors have been asked for.
pub(super) struct Recorded<'a> {
    source: &'a dyn TensorSource,
    /// Names in the files.
    read: Mutex<BTreeSet<String>>,
}

/// What follows from the tensors that nobody read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    /// Why the weights must not run.
    pub(super) refusal: Option<String>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(source: &'a dyn TensorSource) -> Self {
        Self { source, read: Mutex::default() }
    }

    fn note(&self, name: &str) {
        if let Some(stored) = self.source.stored_name(name) {
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(stored);
        }
    }

    /// What follows from the tensors that have not been asked for, when a decoder of this spec has been.
    pub(super) fn unread(self, spec: &DecoderSpec) -> Unread {
        let read = self.read.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Reading it would give the embedding again: whether the two are one has been decided by now.
        let tied_head = self.source.stored_name("lm_head.weight").filter(|_| spec.tie_word_embeddings);
        let decoder = DecoderNames::of(&read, spec.num_hidden_layers);
        let mut kinds: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        for name in self.source.stored_names() {
            if !read.contains(&name) && Some(&name) != tied_head.as_ref() {
                let shape = self.source.stored_shape(&name).unwrap_or_default();
                let kind = decoder.kind(&name, &shape);
                if kind != Kind::Parameter || !is_zero_bias(self.source, &name, &shape) {
                    kinds.entry(kind).or_default().push(name);
                }
            }
        }
        kinds.remove(&Kind::Derived);
        let refusal = kinds.remove(&Kind::Parameter).map(|names| {
            format!(
                "{}: the answers would be another model's. If the model has them, its config.json does not \
                 say so (biases are announced by attention_bias and mlp_bias) or it is of another family; if \
                 it does not, take them out of the file",
                listed(&names, "of layers that run, but not used")
            )
        });
        let warning = |(kind, names): (Kind, Vec<String>)| match kind {
            Kind::Tower => format!(
                "{}: niah reads the language model alone",
                listed(&names, "of parts that see or hear, not used")
            ),
            Kind::Beyond => listed(
                &names,
                &format!("of layers beyond the {} of the configuration, not used", spec.num_hidden_layers),
            ),
            _ => listed(&names, "that no layer reads, not used"),
        };
        Unread { warnings: kinds.into_iter().map(warning).collect(), refusal }
    }
}

/// What a tensor that nobody read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Changes what the model computes.
    Parameter,
    /// Follows from the configuration.
    Derived,
    /// Of a part that sees images or hears.
    Tower,
    /// Of a layer that the configuration does not count.
    Beyond,
    /// Anything else.
    Other,
}

/// What the parts of checkpoints that see or hear are called.
const TOWERS: &[&str] = &[
    "audio",
    "audio_encoder",
    "audio_model",
    "audio_tower",
    "connector",
    "embed_audio",
    "embed_vision",
    "image_newline",
    "img_processor",
    "mm_projector",
    "multi_modal_projector",
    "patch_merger",
    "resampler",
    "vision",
    "vision_embed_tokens",
    "vision_encoder",
    "vision_language_adapter",
    "vision_model",
    "vision_tower",
    "visual",
];

/// How heads that predict further tokens are called.
const FURTHER: &[&str] = &["mtp", "nextn"];

/// Modules of heads, which may not be read where a head is tied.
const HEADS: [&str; 3] = ["lm_head", "embed_out", "output"];

/// Endings of tensors that follow from the configuration.
const DERIVED: &[&str] = &[
    "rotary_emb.inv_freq",
    "rotary_pos_emb.inv_freq",
    "rotary_emb.cos_cached",
    "rotary_emb.sin_cached",
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
    "attn_rot_embd.weight",
];

/// Endings of the masks that GPT-2 and GPT-NeoX store beside their weights.
const MASKS: &[&str] = &[".attn.bias", ".attention.bias", ".attn.masked_bias", ".attention.masked_bias"];

/// What numbers are called that a program keeps beside parameters.
const KEPT: &[&str] = &["cache", "counter", "mask", "num_batches", "position_ids", "tokens_per_expert"];

/// What parameters are called, besides weight and bias, where nothing else tells that they are.
const PARAMETERS: &[&str] = &["bias", "gate", "lora", "norm", "proj", "scale", "sink"];

/// Where the names of a decoder's tensors are.
struct DecoderNames<'a> {
    layers: usize,
    /// What stands before the number of a layer: `model.layers.`
    stacks: BTreeSet<&'a str>,
    /// What the names of its layers, and those of what stands beside them, begin with: `model.`
    roots: BTreeSet<&'a str>,
    /// Modules outside of layers that are read, and heads.
    modules: BTreeSet<&'a str>,
}

impl<'a> DecoderNames<'a> {
    /// From the names that were read.
    fn of(read: &'a BTreeSet<String>, layers: usize) -> Self {
        let stacks: BTreeSet<&str> = read.iter().filter_map(|name| Some(numbered(name)?.0)).collect();
        let root = |stack: &&'a str| {
            let name = stack.trim_end_matches('.');
            let start = name.rfind('.').map_or(0, |dot| dot + 1);
            // A GGUF file holds one decoder and nothing else.
            (start > 0 || name == "blk").then_some(&stack[..start])
        };
        let roots = stacks.iter().filter_map(root).collect();
        let outside = read.iter().filter(|name| layer(name).is_none()).map(|name| module(name));
        Self { layers, stacks, roots, modules: outside.chain(HEADS).collect() }
    }

    fn kind(&self, name: &str, shape: &[usize]) -> Kind {
        // A mask is a square for all heads, or the one number behind it.
        let mask = matches!(shape, [1, 1, _, _] | [] | [1]);
        let last = name.rsplit('.').next().unwrap_or(name);
        let of_stack =
            numbered(name).filter(|(stack, _)| self.stacks.contains(stack)).map(|(_, layer)| layer);
        let beyond = [layer(name), of_stack].into_iter().flatten().any(|layer| layer >= self.layers);
        let further = |part: &str| FURTHER.iter().any(|word| part.starts_with(word));
        let named = matches!(last, "weight" | "bias") || PARAMETERS.iter().any(|part| last.contains(part));
        if DERIVED.iter().any(|end| name.ends_with(end))
            || (mask && MASKS.iter().any(|end| name.ends_with(end)))
        {
            Kind::Derived
        } else if name.split('.').any(|part| TOWERS.contains(&part)) {
            Kind::Tower
        } else if beyond || name.split('.').any(further) {
            Kind::Beyond
        } else if named && (layer(name).is_some() || self.modules.contains(module(name))) {
            Kind::Parameter
        } else if KEPT.iter().any(|word| last.contains(word)) {
            Kind::Other
        } else if of_stack.is_some() || self.roots.iter().any(|root| name.starts_with(root)) {
            Kind::Parameter
        } else {
            Kind::Other
        }
    }
}

/// What stands before the first number in a name, and the number.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let mut start = 0;
    for part in name.split('.') {
        if let Ok(number) = part.parse() {
            return Some((&name[..start], number));
        }
        start += part.len() + 1;
    }
    None
}

/// The number of the layer that a tensor belongs to.
fn layer(name: &str) -> Option<usize> {
    let mut parts = name.split('.').skip_while(|part| !["layers", "h", "blk"].contains(part));
    parts.nth(1)?.parse().ok()
}

/// A name without its last part.
fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// Numbers of the widest bias that is looked at.
const WIDEST: usize = 1 << 20;

/// Whether this is a bias that adds nothing.
fn is_zero_bias(source: &dyn TensorSource, name: &str, shape: &[usize]) -> bool {
    let zeros = || -> Result<bool> {
        let numbers = source.read_stored(name)?.to_vec1::<f32>()?;
        Ok(numbers.iter().all(|x| *x == 0.0))
    };
    // Longer than any row of a layer, it would only take memory.
    name.ends_with(".bias") && matches!(shape, [1..=WIDEST]) && zeros().unwrap_or(false)
}

/// How many tensors these are, and the first kinds of them, with `*` for the number of a layer.
fn listed(names: &[String], what: &str) -> String {
    const SHOWN: usize = 3;
    let pattern = |name: &String| {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<_> = name.split('.').map(|part| if number(part) { "*" } else { part }).collect();
        let pattern: String = parts.join(".").escape_debug().take(100).collect();
        pattern
    };
    let patterns: BTreeSet<String> = names.iter().map(pattern).collect();
    let more = if patterns.len() > SHOWN { " and others" } else { "" };
    let shown: Vec<_> = patterns.into_iter().take(SHOWN).collect();
    let count = if names.len() == 1 { "1 tensor".to_string() } else { format!("{} tensors", names.len()) };
    format!("{count} {what} ({}{more})", shown.join(", "))
}

impl TensorSource for Recorded<'_> {
    fn contains(&self, name: &str) -> bool {
        self.source.contains(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.note(name);
        self.source.shape(name)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        self.note(name);
        self.source.read(name, device)
    }

    fn check_dtype(&self, name: &str) -> Result<()> {
        self.source.check_dtype(name)
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        self.source.dtypes()
    }

    fn file_of(&self, name: &str) -> PathBuf {
        self.source.file_of(name)
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.source.stored_name(name)
    }

    fn stored_names(&self) -> Vec<String> {
        self.source.stored_names()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.source.stored_shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.source.read_stored(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(name: &str, shape: &[usize]) -> Kind {
        let read =
            ["model.norm.weight", "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.a.weight"];
        DecoderNames::of(&read.map(str::to_string).into(), 2).kind(name, shape)
    }

    #[test]
    fn what_a_layer_that_runs_computes_with_is_a_parameter() {
        for name in [
            "model.layers.0.mlp.down_proj.bias",
            "model.layers.1.self_attn.q_norm.weight",
            "model.layers.1.self_attn.sinks",
            "model.layers.0.self_attn.some_scale",
            "transformer.h.1.attn.c_proj.bias",
            "blk.0.attn_output.bias",
            "lm_head.bias",
            "model.norm.bias",
        ] {
            assert_eq!(kind_of(name, &[8]), Kind::Parameter, "{name}");
        }
    }

    #[test]
    fn a_learned_component_of_any_name_inside_the_decoder_is_a_parameter() {
        for name in [
            "model.layers.0.mlp.gate.e_score_correction_bias",
            "model.layers.0.mlp.experts.gate_up_proj_blocks",
            "model.layers.1.mlp.experts.7.w1.weight",
            "model.layers.0.linear_attn.A_log",
            "model.layers.0.linear_attn.dt_bias",
            "model.layers.0.linear_attn.conv1d.weight",
            "model.layers.0.mixer.D",
            "model.layers.1.self_attn.attention_sink_bias",
            "model.layers.1.mlp.act_fn.alpha_p",
            "model.layers.1.layer_scalar",
            "model.embed_tokens_per_layer.weight",
            "model.altup_projections.0.weight",
            "model.embedding_norm.weight",
        ] {
            assert_eq!(kind_of(name, &[8]), Kind::Parameter, "{name}");
        }
    }

    #[test]
    fn of_a_gguf_file_all_is_the_decoders() {
        let read = ["blk.0.attn_q.weight", "token_embd.weight"].map(str::to_string).into();
        let names = DecoderNames::of(&read, 1);
        for (name, kind) in [
            ("token_embd_norm.weight", Kind::Parameter),
            ("blk.0.ssm_a", Kind::Parameter),
            ("blk.1.nextn.eh_proj.weight", Kind::Beyond),
            ("rope_freqs.weight", Kind::Derived),
        ] {
            assert_eq!(names.kind(name, &[8]), kind, "{name}");
        }
    }

    #[test]
    fn masks_and_frequencies_follow_from_the_configuration() {
        for (name, shape) in [
            ("model.layers.0.self_attn.rotary_emb.inv_freq", &[4][..]),
            ("gpt_neox.layers.0.attention.bias", &[1, 1, 64, 64]),
            ("gpt_neox.layers.0.attention.masked_bias", &[]),
            ("h.1.attn.bias", &[1, 1, 64, 64]),
            ("rope_freqs.weight", &[4]),
        ] {
            assert_eq!(kind_of(name, shape), Kind::Derived, "{name}");
        }
        assert_eq!(kind_of("gpt_neox.layers.0.attention.bias", &[64]), Kind::Parameter);
    }

    #[test]
    fn other_parts_are_told_apart() {
        for (name, kind) in [
            ("model.layers.2.mlp.down_proj.weight", Kind::Beyond),
            ("mtp.fc.weight", Kind::Beyond),
            ("model.mtp_layers.0.mlp.up_proj.weight", Kind::Beyond),
            ("model.layers.0.mlp.local_tokens_per_expert", Kind::Other),
            ("model.visual.blocks.0.norm1.weight", Kind::Tower),
            ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias", Kind::Tower),
            ("v_head.summary.weight", Kind::Other),
            ("model.layers.0.self_attn.cache", Kind::Other),
        ] {
            assert_eq!(kind_of(name, &[8]), kind, "{name}");
        }
    }

    #[test]
    fn many_tensors_take_one_line() {
        let names: Vec<_> = (0..40)
            .flat_map(|layer| ["a", "b", "c", "d\n"].map(|part| format!("layers.{layer}.{part}")))
            .collect();
        assert_eq!(
            listed(&names, "not used"),
            "160 tensors not used (layers.*.a, layers.*.b, layers.*.c and others)"
        );
        assert_eq!(listed(&["x\u{1b}".to_string()], "not used"), "1 tensor not used (x\\u{1b})");
    }
}
