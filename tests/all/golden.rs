//! The decoder against golden tensors of the reference PyTorch implementation: every logit within 1e-4
//! absolute plus 1e-4 relative, every attention weight within 1e-5, for softmax and ssmax, whole and in
//! chunks, cached and uncached. What runs is what `niah logits` runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};
use niah::attention::variant::{AttentionVariant, LayerScale, OwnVariant, QueryRow, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::generate::{DecoderModel, LanguageModel, Request};
use niah::logits::{Logits, LogitsRequest, logits};
use niah::model::decoder::{Decoder, Forward};
use niah::plan::{LogitsPlan, LogitsSettings, ModelChoice, TokenInput};
use niah::spec::Dtype;

/// Every family that has vectors.
const VECTORS: &[&str] = &[
    "llama",
    "llama3_rope",
    "llama_yarn",
    "llama_linear",
    "llama_dynamic",
    "llama4_text",
    "mainline_ladder",
    "olmo3moe",
    "kimi_linear",
    "bailing_hybrid",
    "llama4_text_tuned",
    "mistral",
    "mixtral",
    "ministral3",
    "qwen2",
    "qwen3",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_moe",
    "gemma2",
    "gemma3",
    "phi3",
    "phi3_longrope_short",
    "phi3_longrope_long",
    "phi",
    "smollm3",
    "cohere2",
    "olmo2",
    "olmo_hybrid",
    "olmo_hybrid_nope",
    "qwen3_5",
    "qwen3_5_nested",
    "qwen3_5_moe",
    "qwen3_5_moe_nested",
    "qwen3_next",
    "granite",
    "gpt_neox",
    "stablelm",
    "starcoder2",
    "gpt2",
    "qwen2_moe",
    "olmoe",
    "flex_olmo",
    "granitemoe",
    "glm4_moe",
    "minimax_m2",
    "phimoe",
    "ernie4_5_moe",
    "exaone_moe",
    "hy_v3",
    "lfm2",
    "granitemoeshared",
    "granitemoehybrid_attn",
    "granitemoehybrid_nope",
    "granitemoehybrid_h",
    "granitemoehybrid_moe",
    "falcon_mamba",
    "mamba2",
    "bamba",
    "falcon_h1",
    "falcon_h1_norm",
    "nemotron_h",
    "nemotron_h_latent",
    "mamba",
    "jamba",
    "recurrent_gemma",
    "lfm2_moe",
    "lfm3",
    "rwkv",
    "gemma",
    "olmo",
    "olmo3",
    "exaone4",
    "ernie4_5",
    "hunyuan_v1_dense",
    "seed_oss",
    "arcee",
    "glm",
    "glm4",
    "cohere",
    "nemotron",
    "internlm3",
    "helium",
    "smollm3_nope",
    "cwm",
    "nanochat",
    "ministral",
    "apertus",
    "minicpm3",
    "gemma4_e",
    "gemma4_dense",
    "gemma4_moe",
    "gemma3n",
    "gpt_oss",
    "deepseek_v2",
    "deepseek_v2_lite",
    "deepseek_v3",
    "deepseek_v32",
    "diffllama",
    "glm4_moe_lite",
    "mistral4",
    "mimo_v2_flash",
    "falcon_7b",
    "falcon_40b",
    "mpt",
    "bloom",
    "gptj",
    "opt",
    "opt_350m",
    "gpt_bigcode",
    "persimmon",
];

/// GGUF files that `fixtures/make_gguf.py` makes of them, with the vectors that they must reproduce.
const GGUF_FILES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("llama-fused", "llama"),
    ("llama-biased", "qwen2"),
    ("llama3_rope", "llama3_rope"),
    ("llama_yarn", "llama_yarn"),
    ("llama_linear", "llama_linear"),
    ("mistral", "mistral"),
    ("mixtral", "mixtral"),
    ("mixtral-fused", "mixtral"),
    ("llama-scaled", "llama"),
    ("mixtral-scaled", "mixtral"),
    ("granitemoe", "granitemoe"),
    ("olmoe", "olmoe"),
    ("glm4_moe", "glm4_moe"),
    ("minimax_m2", "minimax_m2"),
    ("ernie4_5_moe", "ernie4_5_moe"),
    ("exaone_moe", "exaone_moe"),
    ("cohere", "cohere"),
    ("olmo", "olmo"),
    ("olmo3", "olmo3"),
    ("exaone4", "exaone4"),
    ("ernie4_5", "ernie4_5"),
    ("qwen2vl", "qwen2"),
    ("qwen3vl", "qwen3"),
    ("glm", "glm"),
    ("glm4", "glm4"),
    ("seed_oss", "seed_oss"),
    ("hunyuan_v1_dense", "hunyuan_v1_dense"),
    ("arcee", "arcee"),
    ("apertus", "apertus"),
    ("nemotron", "nemotron"),
    ("gemma4_dense", "gemma4_dense"),
    ("gemma4_e", "gemma4_e"),
    ("gemma4_moe", "gemma4_moe"),
    ("deepseek_v2", "deepseek_v2"),
    ("deepseek_v2_lite", "deepseek_v2_lite"),
    ("deepseek_v3", "deepseek_v3"),
    ("glm4_moe_lite", "glm4_moe_lite"),
    ("mistral4", "mistral4"),
    ("mistral4-large", "mistral4"),
    ("ministral3", "ministral3"),
    ("mimo_v2_flash", "mimo_v2_flash"),
    ("kimi_linear", "kimi_linear"),
    ("granitemoeshared", "granitemoeshared"),
    ("lfm2_moe", "lfm2_moe"),
    ("granite-nope", "granitemoehybrid_nope"),
    ("granitemoehybrid_h", "granitemoehybrid_h"),
    ("granitemoehybrid_moe", "granitemoehybrid_moe"),
    ("lfm2", "lfm2"),
    ("falcon_h1", "falcon_h1"),
    ("nemotron_h", "nemotron_h"),
    ("jamba", "jamba"),
    ("mamba", "mamba"),
    ("mamba2", "mamba2"),
    ("qwen3_5", "qwen3_5"),
    ("qwen3_5_moe", "qwen3_5_moe"),
    ("qwen3_next", "qwen3_next"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3"),
    ("phi3", "phi3"),
    ("phi", "phi"),
    ("cohere2", "cohere2"),
    ("olmo2", "olmo2"),
    ("granite", "granite"),
    ("gpt_neox", "gpt_neox"),
    ("stablelm", "stablelm"),
    ("starcoder2", "starcoder2"),
    ("gpt2", "gpt2"),
];

/// Variants with the key of their tensors: the checkpoint's own, and ssmax, which GPT-2 lacks.
fn variants(golden: &Golden) -> impl Iterator<Item = (&'static str, &'static str)> {
    let ssmax = golden.expected.contains_key("ssmax_logits").then_some(("ssmax", "ssmax_"));
    [Some((golden.own.name, "")), ssmax].into_iter().flatten()
}

struct Golden {
    decoder: Decoder,
    own: OwnVariant,
    /// Whether ssmax stands beside that rule in the vectors.
    beside_own: bool,
    tokens: Vec<u32>,
    expected: HashMap<String, Tensor>,
}

/// Vectors of the collection whose reference scales queries by a rule of its own first, and by ssmax then.
const BESIDE_OWN: &[&str] = &["mistral4"];

/// The product of two rules' multipliers.
struct Both(Box<dyn AttentionVariant>, Box<dyn AttentionVariant>);

impl AttentionVariant for Both {
    fn name(&self) -> &str {
        self.1.name()
    }

    fn description(&self) -> String {
        format!("{} and {}", self.0.description(), self.1.description())
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let [one, other] = [&self.0, &self.1].map(|rule| rule.multipliers(layer, rows));
        let (Some(one), Some(other)) = (&one, &other) else { return one.or(other) };
        let head = |numbers: &[Vec<f32>], head: usize| numbers[head.min(numbers.len() - 1)].clone();
        let product = |at: usize| head(one, at).iter().zip(head(other, at)).map(|(a, b)| a * b).collect();
        Some((0..one.len().max(other.len())).map(product).collect())
    }
}

impl Golden {
    fn open(folder: &Path) -> Self {
        Self::of(folder, folder)
    }

    /// A checkpoint that must reproduce the vectors in `folder`.
    fn of(checkpoint: &Path, folder: &Path) -> Self {
        Self::with(checkpoint, folder, RopeOverride::default())
    }

    /// The same with other rotary positions.
    fn with(checkpoint: &Path, folder: &Path, rope: RopeOverride) -> Self {
        let checkpoint = Checkpoint::open(&checkpoint.display().to_string(), rope).unwrap();
        let expected =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        Self {
            decoder: checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap(),
            own: checkpoint.own_variant,
            beside_own: BESIDE_OWN.iter().any(|name| folder.ends_with(name)),
            tokens: ids.into_iter().map(|id| id as u32).collect(),
            expected,
        }
    }

    fn variant(&self, name: &str) -> Box<dyn AttentionVariant> {
        let spec = self.decoder.spec();
        let scaled = |scale: &Tensor| {
            let mut scales = vec![None; spec.num_hidden_layers];
            for (layer, scale) in spec.attention_layers().zip(scale.to_vec2::<f32>().unwrap()) {
                scales[layer] = Some(LayerScale { scale, bias: None });
            }
            OwnVariant { name: "ssmax", scales: Some(scales), ..self.own.clone() }
        };
        let given = self.expected.get("ssmax_scale").filter(|_| name == "ssmax");
        let own = given.map_or_else(|| self.own.clone(), scaled);
        let entry = niah::registry::find("variant", VARIANTS, name).unwrap();
        let variant = (entry.value)(&VariantInputs {
            layers: &spec.layers,
            heads: spec.num_attention_heads,
            own: Some(&own),
            training_length: spec.training_length(),
            ..VariantInputs::default()
        })
        .unwrap();
        match self.beside_own && name == "ssmax" {
            true => Box::new(Both(self.variant(self.own.name), variant)),
            false => variant,
        }
    }

    fn logits(&self, variant: &dyn AttentionVariant, chunk: usize, rows: Option<Range<usize>>) -> Logits {
        let request = LogitsRequest { tokens: &self.tokens, attention_rows: rows, chunk };
        let mut done = 0;
        let progress = &mut |tokens| {
            done += tokens;
            true
        };
        let found = logits(&self.decoder, variant, &request, progress).unwrap();
        assert_eq!(done, self.tokens.len());
        found
    }
}

/// Families whose logits move by more than a third of 1e-4 when float32 sums are taken in another order, with
/// how far their reference moved them.
const NOISE: &[(&str, f32)] = &[];

fn assert_logits(found: &Logits, expected: &Tensor, what: &str) {
    let absolute = NOISE
        .iter()
        .find(|(name, _)| what.contains(&format!("/{name} ")))
        .map_or(1e-4, |(_, moved)| 3.0 * moved);
    let expected = expected.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(found.logits.len(), expected.len() * expected[0].len(), "{what}");
    for (row, (found, expected)) in found.logits.chunks_exact(found.vocab_size).zip(&expected).enumerate() {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= absolute + 1e-4 * e.abs(), "{what}, row {row}: {f} instead of {e}");
        }
    }
}

#[test]
fn logits_equal_the_reference_whatever_the_chunk_size() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        for (variant, prefix) in variants(&golden) {
            let key = format!("{prefix}logits");
            for chunk in [1, 7, golden.tokens.len()] {
                let found = golden.logits(golden.variant(variant).as_ref(), chunk, None);
                let what = format!("{} under {variant}, chunk {chunk}", folder.display());
                assert_logits(&found, &golden.expected[&key], &what);
            }
        }
    }
}

#[test]
fn regression_scales_in_a_file_give_the_logits_of_the_reference_through_the_plan_of_the_command() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        let Some(expected) = golden.expected.get("ssmax_logits").filter(|_| !golden.beside_own) else {
            continue;
        };
        let settings = LogitsSettings {
            model: ModelChoice {
                variant: "ssmax".to_string(),
                dtype: Some(Dtype::F32),
                ..ModelChoice::of(folder.display().to_string())
            },
            ssmax_scales: Some(folder.join("expected.safetensors")),
            input: TokenInput::Ids { ids: golden.tokens.clone(), name: "ids" },
            attentions: None,
        };
        let plan = LogitsPlan::resolve(&settings, &Device::Cpu).unwrap();
        let variant = plan.model.variant.as_ref();
        let found = logits(&golden.decoder, variant, &plan.request(), &mut |_| true).unwrap();
        assert_logits(&found, expected, &format!("{} under {}", folder.display(), variant.description()));
    }
}

/// Without what its halved stream does to the epsilon of norms, logits are off by 2.5e-4.
#[test]
fn regression_rwkv_is_as_near_to_its_reference_as_other_families_are() {
    let Some(folder) = common::vector("rwkv") else { return };
    let golden = Golden::open(&folder);
    let found = golden.logits(golden.variant("softmax").as_ref(), 64, None).logits;
    let expected = golden.expected["logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "off by {off}");
}

/// `falcon_rw` of the vectors is of the reference's eager attention, which adds the bias by distance twice
/// (`fixtures/make_falcon_logits.py`).
#[test]
fn falcon_adds_its_bias_by_distance_once() {
    let Some(folder) = common::vector("falcon_rw") else { return };
    let golden = Golden::open(&folder);
    let once = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/falcon_rw.safetensors");
    let once = candle_core::safetensors::load(once, &Device::Cpu).unwrap();
    for chunk in [1, 7, golden.tokens.len()] {
        let found = golden.logits(golden.variant("softmax").as_ref(), chunk, None);
        assert_logits(&found, &once["logits"], &format!("falcon_rw, chunk {chunk}"));
    }
}

#[test]
fn a_gguf_file_has_the_logits_of_the_reference() {
    for (file, folder) in GGUF_FILES.iter().filter_map(|(file, name)| common::vector_as_gguf(file, name)) {
        let golden = Golden::of(&file, &folder);
        for (variant, prefix) in variants(&golden) {
            let found = golden.logits(golden.variant(variant).as_ref(), 16, None);
            let what = format!("{} under {variant}", file.display());
            assert_logits(&found, &golden.expected[&format!("{prefix}logits")], &what);
        }
    }
}

/// Checks that a GGUF file has the logits of its golden checkpoint, changed to what such a file says.
fn equals_the_changed_checkpoint(
    file: &str,
    vector: &str,
    change: impl FnOnce(&mut serde_json::Value, HashMap<String, Tensor>) -> HashMap<String, Tensor>,
) {
    let Some((file, folder)) = common::vector_as_gguf(file, vector) else { return };
    let place = tempfile::tempdir().unwrap();
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let tensors = change(&mut config, tensors);
    std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    candle_core::safetensors::save(&tensors, place.path().join("model.safetensors")).unwrap();
    let [directory, found] = [place.path(), &file].map(|path| {
        let golden = Golden::of(path, &folder);
        golden.logits(golden.variant("softmax").as_ref(), 64, None)
    });
    let shape = (1, directory.logits.len() / directory.vocab_size, directory.vocab_size);
    let expected = Tensor::from_vec(directory.logits, shape, &Device::Cpu).unwrap();
    assert_logits(&found, &expected, &file.display().to_string());
}

/// Its golden checkpoint leaves rotary positions out where no GGUF file can say so.
#[test]
fn a_gguf_file_of_smollm3_has_no_rotary_positions_in_every_fourth_layer() {
    equals_the_changed_checkpoint("smollm3", "smollm3", |config, tensors| {
        config["no_rope_layers"] = serde_json::json!([1, 1, 1, 0]);
        tensors
    });
}

/// In its golden checkpoint they do not, and the first layer has no experts.
#[test]
fn a_gguf_file_of_qwen3_makes_the_weights_of_the_chosen_experts_sum_to_1() {
    for file in ["qwen3_moe", "qwen3vlmoe"] {
        equals_the_changed_checkpoint(file, "qwen3_moe", |config, tensors| {
            config["norm_topk_prob"] = serde_json::json!(true);
            config["mlp_only_layers"] = serde_json::json!([]);
            only_layers(config, &tensors, &[1])
        });
    }
}

/// Those of its golden checkpoint are clamped at 1.5.
#[test]
fn a_gguf_file_of_gpt_oss_has_experts_that_are_clamped_at_7() {
    equals_the_changed_checkpoint("gpt_oss", "gpt_oss", |config, tensors| {
        config["swiglu_limit"] = serde_json::json!(7.0);
        tensors
    });
}

/// Those of its golden checkpoint differ.
#[test]
fn a_gguf_file_of_falcon_mamba_has_one_epsilon_for_all_norms() {
    equals_the_changed_checkpoint("falcon_mamba", "falcon_mamba", |config, tensors| {
        config["mixer_rms_eps"] = config["layer_norm_epsilon"].clone();
        tensors
    });
}

/// Its golden checkpoint has multipliers of its own, and positions for longer texts than it saw.
#[test]
fn a_gguf_file_of_minicpm3_has_the_multipliers_of_the_published_models() {
    equals_the_changed_checkpoint("minicpm3", "minicpm3", |config, tensors| {
        for (key, value) in [("scale_emb", 12.0), ("scale_depth", 1.4), ("dim_model_base", 256.0)] {
            config[key] = serde_json::json!(value);
        }
        config["rope_parameters"]["original_max_position_embeddings"] = serde_json::json!(512);
        tensors
    });
}

/// The other layers of its golden checkpoint have no experts.
#[test]
fn a_gguf_file_of_qwen2_has_a_gated_shared_expert_and_weights_of_a_softmax_over_all() {
    equals_the_changed_checkpoint("qwen2_moe", "qwen2_moe", |config, tensors| {
        config["mlp_only_layers"] = serde_json::json!([]);
        config.as_object_mut().unwrap().remove("layer_types");
        only_layers(config, &tensors, &[1, 3])
    });
}

/// The tensors of a checkpoint of these layers alone, some of them perhaps twice.
fn only_layers(
    config: &mut serde_json::Value,
    tensors: &HashMap<String, Tensor>,
    layers: &[usize],
) -> HashMap<String, Tensor> {
    config["num_hidden_layers"] = serde_json::json!(layers.len());
    let outside = tensors.iter().filter(|(name, _)| !name.contains(".layers."));
    let mut chosen: HashMap<_, _> = outside.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    for (new, old) in layers.iter().enumerate() {
        let old = format!(".layers.{old}.");
        for (name, tensor) in tensors.iter().filter(|(name, _)| name.contains(&old)) {
            chosen.insert(name.replace(&old, &format!(".layers.{new}.")), tensor.clone());
        }
    }
    chosen
}

/// Its golden checkpoint has two layers, small chunks and other layers without rotary positions.
#[test]
fn a_gguf_file_of_llama4_has_chunks_and_layers_without_positions_as_llama_cpp_has_them() {
    equals_the_changed_checkpoint("llama4_text", "llama4_text", |config, tensors| {
        let chunked = "chunked_attention";
        for (key, value) in [
            ("layer_types", serde_json::json!([chunked, chunked, chunked, "full_attention"])),
            ("no_rope_layers", serde_json::json!([1, 1, 1, 0])),
            ("moe_layers", serde_json::json!([1, 3])),
            ("attention_chunk_size", serde_json::json!(8192)),
            ("attn_temperature_tuning", serde_json::json!(true)),
        ] {
            config[key] = value;
        }
        only_layers(config, &tensors, &[0, 1, 0, 1])
    });
}

#[test]
fn rotary_positions_that_are_left_out_are_on_no_layer() {
    let Some(folder) = common::vector("smollm3") else { return };
    let place = tempfile::tempdir().unwrap();
    let config = std::fs::read(folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["no_rope_layers"] = serde_json::json!([0, 0, 0, 0]);
    std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(folder.join("model.safetensors"), place.path().join("model.safetensors")).unwrap();
    let none = RopeOverride { none: true, ..RopeOverride::default() };
    let logits = |path: &Path, rope| {
        let golden = Golden::with(path, &folder, rope);
        golden.logits(golden.variant("softmax").as_ref(), 64, None).logits
    };
    let without = logits(place.path(), RopeOverride::default());
    assert_eq!(logits(&folder, none), without);
    assert_ne!(logits(&folder, RopeOverride::default()), without);
}

#[test]
fn attention_equals_the_reference() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        for (variant, prefix) in variants(&golden) {
            let key = format!("{prefix}attentions");
            if !golden.expected.contains_key(&key) {
                assert_eq!(golden.decoder.spec().attention_layers().count(), 0, "{}", folder.display());
                continue;
            }
            let variant = golden.variant(variant);
            let (layers, heads, t, _) = golden.expected[&key].dims4().unwrap();
            let expected = golden.expected[&key].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for chunk in [7, t] {
                let found = golden.logits(variant.as_ref(), chunk, Some(0..t)).attentions.unwrap();
                assert_eq!(found.shape(), [layers, heads, t, t]);
                let attending =
                    golden.expected.get("attention_layers").map(|layers| layers.to_vec1().unwrap());
                let attending = attending.unwrap_or((0..layers as i64).collect());
                assert_eq!(found.layers().iter().map(|&layer| layer as i64).collect::<Vec<_>>(), attending);
                for (index, (f, e)) in found.weights().iter().zip(&expected).enumerate() {
                    let (head, row, key_position) = (index / (t * t), index / t % t, index % t);
                    assert!(
                        (f - e).abs() <= 1e-5,
                        "{} {key} head {}.{}, query {row}, key {key_position}, chunk {chunk}: {f} instead of \
                         {e}",
                        folder.display(),
                        head / heads,
                        head % heads
                    );
                }
            }
        }
    }
}

#[test]
fn rows_of_attention_are_those_of_the_whole_picture() {
    let Some(folder) = common::vector("llama") else { return };
    let golden = Golden::open(&folder);
    let variant = golden.variant("ssmax");
    let t = golden.tokens.len();
    let all = golden.logits(variant.as_ref(), 7, Some(0..t)).attentions.unwrap();
    let some = golden.logits(variant.as_ref(), 7, Some(5..20)).attentions.unwrap();
    let [layers, heads, rows, keys] = some.shape();
    assert_eq!([layers, heads, rows, keys], [4, 4, 15, t]);
    for (head, found) in some.weights().chunks_exact(rows * keys).enumerate() {
        assert_eq!(found, &all.weights()[(head * t + 5) * t..][..rows * keys], "head {head}");
    }
}

#[test]
fn a_stop_between_two_chunks_is_heard() {
    let Some(folder) = common::vector("llama") else { return };
    let golden = Golden::open(&folder);
    let request = LogitsRequest { tokens: &golden.tokens, attention_rows: None, chunk: 10 };
    let mut calls = 0;
    let stopped = logits(&golden.decoder, golden.variant("softmax").as_ref(), &request, &mut |_| {
        calls += 1;
        calls < 2
    });
    assert!(matches!(stopped, Err(niah::error::Error::Interrupted)) && calls == 2);
}

#[test]
fn a_truncated_cache_gives_what_a_fresh_one_gives() {
    let Some(folder) = common::vector("llama") else { return };
    let golden = Golden::open(&folder);
    let variant = golden.variant("ssmax");
    let run = |cache: &mut _, tokens: &[u32]| {
        let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
        golden.decoder.forward(tokens, cache, forward).unwrap().to_vec2::<f32>().unwrap()
    };
    let mut cache = golden.decoder.new_cache(4);
    run(&mut cache, &golden.tokens);
    cache.truncate(20);
    let reused = run(&mut cache, &golden.tokens[20..40]);
    let fresh = run(&mut golden.decoder.new_cache(64), &golden.tokens[..40]);
    let off = reused[0].iter().zip(&fresh[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-5, "off by {off}");
}

#[test]
fn what_follows_another_prefix_is_what_follows_it_in_a_fresh_cache_in_every_family() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let golden = Golden::open(&folder);
        let variant = golden.variant(golden.own.name);
        let run = |cache: &mut _, tokens: &[u32]| {
            let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
            golden.decoder.forward(tokens, cache, forward).unwrap().to_vec2::<f32>().unwrap()
        };
        let longest = golden.tokens.len();
        let (shared, end) = (longest / 3, longest * 3 / 4);
        let mut cache = golden.decoder.new_cache(longest);
        run(&mut cache, &golden.tokens[..shared]);
        cache.mark();
        run(&mut cache, &golden.tokens[longest / 2..]);
        assert_eq!(cache.truncate(shared), shared, "{}", folder.display());
        let forked = run(&mut cache, &golden.tokens[shared..end]);
        let fresh = run(&mut golden.decoder.new_cache(longest), &golden.tokens[..end]);
        for (found, expected) in forked[0].iter().zip(&fresh[0]) {
            let off = (found - expected).abs();
            assert!(off <= 1e-4 + 1e-4 * expected.abs(), "{}: off by {off}", folder.display());
        }
    }
}

#[test]
fn the_spec_counts_the_parameters_that_the_file_holds() {
    for folder in VECTORS.iter().filter_map(|name| common::vector(name)) {
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        // Scales belong to the attention rule.
        let of_decoder = |name: &str| !name.contains("visual.") && !name.ends_with("ssmax_scale");
        let text = tensors.iter().filter(|(name, _)| of_decoder(name));
        let stored: usize = text.map(|(_, tensor)| tensor.elem_count()).sum();
        assert_eq!(Golden::open(&folder).decoder.spec().parameter_count(), stored, "{}", folder.display());
    }
}

#[test]
fn what_is_decoded_does_not_depend_on_the_expected_answer() {
    let Some(folder) = common::vector("llama") else { return };
    let decode = |answer: &[u32], sharing: bool| {
        let golden = Golden::open(&folder);
        let variant = golden.variant("ssmax");
        let model = DecoderModel::new(golden.decoder, variant, 16);
        let mut model = if sharing { model.sharing_prefixes(64) } else { model };
        let request = Request {
            tokens: &golden.tokens[..40],
            thinking: None,
            answer,
            max_new_tokens: 6,
            end_tokens: &[],
            spans: &[],
            items: &[],
            chosen_head: None,
            forks: &[],
            ..Request::default()
        };
        // The second one meets the cache that the first has left.
        [(); 2].map(|()| model.complete(request, &mut |_| true).unwrap().tokens)
    };
    let [tokens, _] = decode(&[], false);
    assert_eq!(tokens.len(), 6);
    let other = (tokens[2] + 1) % 8;
    let wrong = [&tokens[..2], &[other], &tokens[3..]].concat();
    let longer = [&tokens[..], &[other, other]].concat();
    for answer in [&tokens[..1], &tokens[..3], &tokens, &longer, &wrong, &[other]] {
        for sharing in [false, true] {
            assert_eq!(decode(answer, sharing), [(); 2].map(|()| tokens.clone()), "{answer:?} of {tokens:?}");
        }
    }
}
