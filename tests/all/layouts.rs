//! Checkpoints that say the same in another form compute the same: stacked experts, a language model inside
//! one that sees images, and older keys of `config.json`.

use crate::common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use niah::attention::variant::{AttentionVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::generate::{DecoderModel, LanguageModel, Request};
use niah::model::decoder::{Decoder, Forward};
use niah::spec::Dtype;
use serde_json::{Value, json};
use tempfile::TempDir;

type Tensors = HashMap<String, Tensor>;

/// The parts of a golden checkpoint, to be written in another form.
struct Parts {
    config: Value,
    tensors: Tensors,
    expected: Tensors,
}

impl Parts {
    fn of(name: &str) -> Self {
        Self::of_folder(&common::fixture("vectors").join(name))
    }

    fn of_folder(folder: &Path) -> Self {
        let load = |file| candle_core::safetensors::load(folder.join(file), &Device::Cpu).unwrap();
        Self {
            config: serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap(),
            tensors: load("model.safetensors"),
            expected: load("expected.safetensors"),
        }
    }

    fn tokens(&self) -> Vec<u32> {
        let ids = self.expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        ids.into_iter().map(|id| id as u32).collect()
    }

    /// The golden logits of every row.
    fn logits(&self) -> Vec<Vec<f32>> {
        self.expected["logits"].squeeze(0).unwrap().to_vec2().unwrap()
    }

    fn write(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), self.config.to_string()).unwrap();
        candle_core::safetensors::save(&self.tensors, directory.path().join("model.safetensors")).unwrap();
        directory
    }

    fn rename(&mut self, rename: impl Fn(&str) -> String) {
        self.tensors = self.tensors.drain().map(|(name, tensor)| (rename(&name), tensor)).collect();
    }

    /// Stacks the experts' matrices of these names, in this order, into one tensor a layer.
    fn stack(&mut self, prefix: &str, parts: &[&str], stacked: &str) {
        for layer in 0..self.config["num_hidden_layers"].as_u64().unwrap() {
            let place = format!("model.layers.{layer}.{prefix}.");
            let mut experts = Vec::new();
            let mut take =
                |expert, part| self.tensors.remove(&format!("{place}experts.{expert}.{part}.weight"));
            while let Some(first) = take(experts.len(), parts[0]) {
                let rest = parts[1..].iter().map(|part| take(experts.len(), part).unwrap());
                let matrices: Vec<_> = [first].into_iter().chain(rest).collect();
                experts.push(Tensor::cat(&matrices, 0).unwrap());
            }
            if !experts.is_empty() {
                let experts = Tensor::stack(&experts, 0).unwrap();
                self.tensors.insert(format!("model.layers.{layer}.mlp.experts.{stacked}"), experts);
            }
        }
    }
}

fn open(directory: &Path) -> Checkpoint {
    Checkpoint::open(&directory.display().to_string(), RopeOverride::default()).unwrap()
}

fn softmax() -> Box<dyn AttentionVariant> {
    (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&VariantInputs::default()).unwrap()
}

/// The logits of every row, and the checkpoint's idea of its size.
fn run(directory: &Path, tokens: &[u32]) -> (Vec<Vec<f32>>, usize) {
    let checkpoint = open(directory);
    let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let variant = softmax();
    let forward = Forward { variant: variant.as_ref(), keep_logits: tokens.len(), probe: None };
    let logits = decoder.forward(tokens, &mut decoder.new_cache(tokens.len()), forward).unwrap();
    (logits.to_vec2().unwrap(), checkpoint.spec.parameter_count())
}

#[track_caller]
fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((f - e).abs() <= 1e-4 + 1e-4 * e.abs(), "{f} instead of {e}");
    }
}

/// Written in this form, the checkpoint gives the golden logits and knows its size.
#[track_caller]
fn assert_same(parts: &Parts) {
    let (found, parameters) = run(parts.write().path(), &parts.tokens());
    assert_close(&found, &parts.logits());
    let stored: usize = parts.tensors.values().map(Tensor::elem_count).sum();
    assert_eq!(parameters, stored);
}

#[test]
fn stacked_experts_are_those_that_stand_apart() {
    let mut mixtral = Parts::of("mixtral");
    mixtral.stack("block_sparse_moe", &["w1", "w3"], "gate_up_proj");
    mixtral.stack("block_sparse_moe", &["w2"], "down_proj");
    mixtral.rename(|name| name.replace("block_sparse_moe", "mlp"));
    assert!(mixtral.tensors.contains_key("model.layers.1.mlp.experts.down_proj"));
    assert_same(&mixtral);

    let mut qwen3 = Parts::of("qwen3_moe");
    qwen3.stack("mlp", &["gate_proj", "up_proj"], "gate_up_proj");
    qwen3.stack("mlp", &["down_proj"], "down_proj");
    qwen3.config["num_experts"] = qwen3.config["num_local_experts"].take();
    assert!(!qwen3.tensors.keys().any(|name| name.contains("experts.0")));
    assert_same(&qwen3);
}

/// The form of gpt-oss's own files: rows are outputs there, and inputs in plain numbers.
#[test]
fn experts_in_mxfp4_are_those_of_their_numbers() {
    let Some(folder) = common::vector("gpt_oss") else { return };
    let [mut packed, mut plain] = [(); 2].map(|()| Parts::of_folder(&folder));
    let (experts, rows, block) = (4, 32, 16);
    let values = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let number = |half: u8| if half > 7 { -values[usize::from(half - 8)] } else { values[usize::from(half)] };
    for layer in 0..4u8 {
        let name = format!("model.layers.{layer}.mlp.experts.gate_up_proj");
        let bytes: Vec<u8> =
            (0..experts * rows * block).map(|place| (place * 37 + place / 16 * 5) as u8 ^ layer).collect();
        let scales: Vec<u8> = (0..experts * rows).map(|place| 122 + (place % 5) as u8).collect();
        let numbers = bytes.iter().enumerate().flat_map(|(place, byte)| {
            let scale = 2f32.powi(i32::from(scales[place / block]) - 127);
            [number(byte & 15) * scale, number(byte >> 4) * scale]
        });
        let numbers = numbers.collect::<Vec<_>>();
        let by_row = Tensor::from_vec(numbers, (experts, rows, 2 * block), &Device::Cpu).unwrap();
        plain.tensors.insert(name.clone(), by_row.transpose(1, 2).unwrap().contiguous().unwrap());
        packed.tensors.remove(&name).unwrap();
        let blocks = Tensor::from_vec(bytes, (experts, rows, 1, block), &Device::Cpu).unwrap();
        packed.tensors.insert(format!("{name}_blocks"), blocks);
        let scales = Tensor::from_vec(scales, (experts, rows, 1), &Device::Cpu).unwrap();
        packed.tensors.insert(format!("{name}_scales"), scales);
    }
    packed.config["quantization_config"] = json!({"quant_method": "mxfp4"});
    let tokens = packed.tokens();
    let directory = packed.write();
    assert_eq!(run(directory.path(), &tokens), run(plain.write().path(), &tokens));
    let checkpoint = open(directory.path());
    assert_eq!(checkpoint.warnings, [""; 0]);
    assert!(checkpoint.is_quantised() && checkpoint.dtypes()["MXFP4"] == 4);
}

#[test]
fn a_token_reads_the_experts_it_meets_and_the_shared_one() {
    for (name, others) in [("mixtral", 2 * 2), ("qwen3_moe", 3), ("llama4_text", 3)] {
        let spec = open(&common::fixture("vectors").join(name)).spec;
        let expert = 3 * spec.hidden_size * spec.layers[1].moe.unwrap().moe_intermediate_size;
        let idle = spec.parameter_count() - spec.active_parameter_count();
        assert_eq!(idle, others * expert, "{name}");
    }
}

#[test]
fn the_language_model_of_a_checkpoint_that_sees_images_is_read() {
    for name in ["gemma3", "llama4_text"] {
        for (outer, head) in [
            // As transformers wrote them before version 5, as it writes them now, and SmolVLM's.
            ("language_model.model.", "language_model.lm_head.weight"),
            ("model.language_model.", "lm_head.weight"),
            ("model.text_model.", "lm_head.weight"),
        ] {
            let mut parts = Parts::of(name);
            let doubled = (&parts.tensors["model.embed_tokens.weight"] * 2.0).unwrap();
            parts.rename(|name| name.replacen("model.", outer, 1));
            parts.config["tie_word_embeddings"] = json!(false);
            let vision = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
            parts.tensors.insert("model.vision_tower.embeddings.weight".to_string(), vision);
            parts.tensors.insert(head.to_string(), doubled);
            let text = parts.config.take();
            parts.config = json!({
                "model_type": "multimodal",
                "tie_word_embeddings": true,
                "text_config": text,
                "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 8},
            });
            let (found, _) = run(parts.write().path(), &parts.tokens());
            // The head is twice the embedding that the golden checkpoint is tied to.
            let expected: Vec<Vec<f32>> =
                parts.logits().iter().map(|row| row.iter().map(|x| 2.0 * x).collect()).collect();
            assert_close(&found, &expected);
        }
    }
}

#[test]
fn the_flat_configuration_of_a_model_that_sees_images_is_read() {
    let mut parts = Parts::of("qwen2_5_vl");
    let mut flat = parts.config["text_config"].take();
    let scaling = flat["rope_parameters"].take();
    flat["model_type"] = json!("qwen2_5_vl");
    flat["rope_theta"] = scaling["rope_theta"].clone();
    flat["rope_scaling"] = json!({"type": "mrope", "mrope_section": scaling["mrope_section"]});
    flat["vision_config"] = parts.config["vision_config"].take();
    parts.config = flat;
    assert!(parts.tensors.keys().any(|name| name.starts_with("visual.")));
    parts.tensors.retain(|name, _| !name.starts_with("visual.blocks"));
    let (found, _) = run(parts.write().path(), &parts.tokens());
    assert_close(&found, &parts.logits());
}

#[test]
fn what_gemma_3_leaves_out_is_what_transformers_takes() {
    let directory = tempfile::tempdir().unwrap();
    // The text part of a checkpoint of 4 billion weights, as it is published.
    let config = json!({
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
    });
    fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let config = niah::checkpoint::Config::read(&directory.path().join("config.json")).unwrap();
    let (_, spec) = niah::checkpoint::families::describe(&config.text_part().unwrap()).unwrap();
    // What Gemma3ForCausalLM of transformers 5.23.0 counts for this configuration.
    assert_eq!(spec.parameter_count(), 3_880_263_168);
    let rope = |layer: usize| spec.layers[layer].rope.clone().unwrap();
    assert_eq!((rope(0).theta, rope(5).theta), (10_000.0, 1_000_000.0));
    assert_eq!(spec.attention_scale, 1.0 / 16.0);
}

#[test]
fn scalings_that_depend_on_the_length_are_read_from_older_keys() {
    for (name, kind) in
        [("llama_dynamic", "dynamic"), ("phi3_longrope_long", "su"), ("phi3_longrope_long", "longrope")]
    {
        let mut parts = Parts::of(name);
        let mut scaling = parts.config["rope_parameters"].take();
        parts.config["rope_theta"] = scaling["rope_theta"].take();
        if kind != "dynamic" {
            parts.config["partial_rotary_factor"] = scaling["partial_rotary_factor"].take();
            scaling["original_max_position_embeddings"] = Value::Null;
        }
        scaling["rope_type"] = Value::Null;
        scaling["type"] = json!(kind);
        parts.config["rope_scaling"] = scaling;
        assert_same(&parts);
    }
}

#[test]
fn prompt_and_answer_are_one_sequence_to_rotary_positions() {
    for name in ["llama_dynamic", "phi3_longrope_long"] {
        let parts = Parts::of(name);
        let decoder = open(&common::fixture("vectors").join(name))
            .load(&Device::Cpu, Dtype::F32, Decoder::load)
            .unwrap();
        let tokens = parts.tokens();
        let (prompt, answer) = tokens.split_at(20);
        let request = Request {
            tokens: prompt,
            thinking: None,
            answer,
            max_new_tokens: 1,
            end_tokens: &[],
            spans: &[],
            items: &[],
            chosen_head: None,
            forks: &[],
            ..Request::default()
        };
        let completion = DecoderModel::new(decoder, softmax(), 7).complete(request, &mut |_| true).unwrap();
        let logits = parts.logits();
        for (index, (&token, found)) in answer.iter().zip(&completion.answer_logprobs).enumerate() {
            let row = &logits[prompt.len() - 1 + index];
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            let expected = f64::from(row[token as usize]) - sum.ln();
            assert!((found - expected).abs() < 1e-4, "{name}, answer token {index}: {found} not {expected}");
        }
    }
}
