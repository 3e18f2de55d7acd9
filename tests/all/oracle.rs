//! candle-transformers' Llama as an oracle: on random weights its last logits and ours agree, however the
//! tokens are cut.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};
use niah::attention::variant::{AttentionVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::rng::Rng;
use niah::spec::Dtype;
use serde_json::json;

const HIDDEN: usize = 48;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 12;
const LAYERS: usize = 3;
const INTERMEDIATE: usize = 80;
const VOCAB: usize = 100;
const TOKENS: usize = 40;
const TOLERANCE: f32 = 1e-4;

/// Writes a Llama of random weights, its head not tied.
fn write_checkpoint(directory: &Path) {
    let config = json!({
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCAB,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 256,
        "tie_word_embeddings": false,
        "hidden_act": "silu",
    });
    std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_string(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_string(), vec![HIDDEN]),
        ("lm_head.weight".to_string(), vec![VOCAB, HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.k_proj", vec![KV_HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.v_proj", vec![KV_HEADS * HEAD_DIM, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HEADS * HEAD_DIM]),
            ("mlp.gate_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.up_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INTERMEDIATE]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let mut rng = Rng::new(5);
    let tensors: HashMap<String, Tensor> = shapes
        .into_iter()
        .map(|(name, shape)| {
            // Norms near 1; matrices wide enough that attention is far from uniform.
            let (centre, spread) = if shape.len() == 1 { (1.0, 0.5) } else { (0.0, 0.8) };
            let numbers: Vec<f32> =
                (0..shape.iter().product()).map(|_| centre + spread * (rng.unit() as f32 - 0.5)).collect();
            (name, Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap())
        })
        .collect();
    candle_core::safetensors::save(&tensors, directory.join("model.safetensors")).unwrap();
}

fn tokens() -> Vec<u32> {
    let mut rng = Rng::new(6);
    (0..TOKENS).map(|_| rng.below(VOCAB as u64) as u32).collect()
}

/// The oracle's logits of the last token.
fn oracle(directory: &Path) -> Vec<f32> {
    let config = std::fs::read(directory.join("config.json")).unwrap();
    let config = serde_json::from_slice::<LlamaConfig>(&config).unwrap().into_config(false);
    let tensors = candle_core::safetensors::load(directory.join("model.safetensors"), &Device::Cpu).unwrap();
    let llama = Llama::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config).unwrap();
    let mut cache = Cache::new(true, DType::F32, &config, &Device::Cpu).unwrap();
    let ids = Tensor::new(tokens(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    llama.forward(&ids, 0, &mut cache).unwrap().squeeze(0).unwrap().to_vec1().unwrap()
}

fn decoder(directory: &Path) -> Decoder {
    let checkpoint = Checkpoint::open(&directory.display().to_string(), RopeOverride::default()).unwrap();
    checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap()
}

fn softmax() -> Box<dyn AttentionVariant> {
    (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&VariantInputs::default()).unwrap()
}

/// Our logits of every token, `chunk` tokens at a time.
fn logits(decoder: &Decoder, tokens: &[u32], chunk: usize) -> Vec<Vec<f32>> {
    let (variant, mut cache) = (softmax(), decoder.new_cache(tokens.len()));
    let rows = tokens.chunks(chunk).flat_map(|chunk| {
        let forward = Forward { variant: variant.as_ref(), keep_logits: chunk.len(), probe: None };
        decoder.forward(chunk, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap()
    });
    rows.collect()
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "{what}: logits differ by {worst}");
}

#[test]
fn the_last_logits_are_those_of_candle_transformers_however_the_prompt_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    write_checkpoint(directory.path());
    let (decoder, oracle) = (decoder(directory.path()), oracle(directory.path()));
    let spread =
        oracle.iter().copied().fold(f32::MIN, f32::max) - oracle.iter().copied().fold(f32::MAX, f32::min);
    assert!(spread > 1.0, "logits this flat would agree by chance: {spread}");
    for chunk in [1, 7, TOKENS] {
        let rows = logits(&decoder, &tokens(), chunk);
        assert_eq!(rows.len(), TOKENS);
        assert_close(&rows[TOKENS - 1], &oracle, &format!("chunks of {chunk}"));
    }
}

#[test]
fn a_cached_token_has_the_logits_it_has_without_a_cache() {
    let directory = tempfile::tempdir().unwrap();
    write_checkpoint(directory.path());
    let (decoder, tokens) = (decoder(directory.path()), tokens());
    let cached = logits(&decoder, &tokens, 1);
    for n in [1, 2, 17, TOKENS] {
        let uncached = logits(&decoder, &tokens[..n], n);
        assert_close(&cached[n - 1], &uncached[n - 1], &format!("{n} tokens"));
    }
}
