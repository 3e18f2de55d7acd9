//! The gradients of training: against PyTorch's (`fixtures/torch_training.py`), against finite differences,
//! and the forward pass against the decoder that evaluation runs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use common::fixture;
use niah::attention::variant::{AttentionVariant, VARIANTS, VariantInputs};
use niah::checkpoint::families::describe;
use niah::checkpoint::{Checkpoint, Config, NamedTensor, Numbers, RopeOverride, write_safetensors};
use niah::logits::{LogitsRequest, logits};
use niah::model::decoder::Decoder;
use niah::rng::Rng;
use niah::spec::Dtype;
use niah::train::decoder::{DecoderWorker, Multiplier, TrainableDecoder};
use niah::train::{Initial, LayerKind, Sizes, Trainable, from_checkpoint, initial};
use serde_json::{Value, json};

const FROM: Initial = Initial { range: 0.3, layers: 2, ssmax_scale: 0.4 };

/// Every variant with the multiplier of its layers.
const TRAINED: &[(&str, Multiplier)] = &[
    ("softmax", Multiplier::One),
    ("ssmax-fixed", Multiplier::Log),
    ("softmax-scale", Multiplier::Constant),
    ("ssmax", Multiplier::Learned { bias: false }),
    ("ssmax-bias", Multiplier::Learned { bias: true }),
    ("adaptive", Multiplier::Adaptive),
    ("sink", Multiplier::Sink),
    ("entmax15", Multiplier::Whole("entmax15")),
    ("asentmax", Multiplier::ScaledEntmax),
    ("softpick", Multiplier::Whole("softpick")),
    ("stick-breaking", Multiplier::Whole("stick-breaking")),
    ("forgetting", Multiplier::Forgetting),
];

/// A tiny configuration; the variant is on the second of its three layers.
fn config(variant: &str, qk_norm: &str) -> Value {
    let sizes = Sizes {
        hidden_size: 16,
        intermediate_size: 12,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        layer_pattern: vec![LayerKind::Local, LayerKind::Global, LayerKind::Rotary],
        sliding_window: 5,
        qk_norm: qk_norm.to_string(),
        ..Sizes::default()
    };
    let mut config = sizes.config(20).unwrap();
    config["attention_variant"] = json!({"kind": variant, "layers": [1]});
    config
}

/// Every variant with the configuration of a checkpoint that has it, and two with heads that are subtracted
/// in pairs on two of the layers.
fn cases(qk_norm: &str) -> Vec<(String, Value, Multiplier)> {
    let alone = TRAINED.iter().map(|(name, of)| (name.to_string(), config(name, qk_norm), *of));
    let in_pairs = [TRAINED[0], TRAINED[3]].map(|(name, multiplier)| {
        let mut config = config(name, qk_norm);
        config["differential_layers"] = json!([1, 2]);
        (format!("{name} in pairs"), config, multiplier)
    });
    alone.chain(in_pairs).collect()
}

fn decoder(config: &Value, rows: usize, multiplier: Multiplier) -> TrainableDecoder {
    let config = Config::new(Path::new("config.json"), config.as_object().unwrap().clone());
    let (_, spec) = describe(&config).unwrap();
    let mut multipliers = vec![Multiplier::One; spec.num_hidden_layers];
    multipliers[1] = multiplier;
    TrainableDecoder::new(spec, rows, &multipliers, FROM).unwrap()
}

fn tokens(count: usize, vocab: u64) -> Vec<u32> {
    let mut rng = Rng::new(9);
    (0..count).map(|_| rng.below(vocab) as u32).collect()
}

/// Parameters that are off the values that training begins with, so that none is special.
fn parameters(model: &dyn Trainable) -> Vec<f32> {
    let mut rng = Rng::new(3);
    initial(model, 7).iter().map(|w| w + 0.2 * (rng.unit() as f32 - 0.5)).collect()
}

/// The loss `sum_i f_i loss_i` in f64, and its gradient.
fn loss_and_gradient(model: &TrainableDecoder, parameters: &[f32], tokens: &[u32]) -> (f64, Vec<f32>) {
    let factors: Vec<f32> = (1..tokens.len()).map(|i| 0.1 + 0.3 * (i % 3) as f32).collect();
    let mut gradients = vec![0.0; parameters.len()];
    let losses = model.worker().gradients(parameters, tokens, &factors, &mut gradients).unwrap();
    let loss = losses.iter().zip(&factors).map(|(loss, factor)| f64::from(*loss) * f64::from(*factor)).sum();
    (loss, gradients)
}

/// The vectors of PyTorch, each with the multiplier of its second layer.
const GOLDEN: &[(&str, Multiplier)] = &[
    ("niah", Multiplier::Learned { bias: true }),
    ("niah_asentmax", Multiplier::ScaledEntmax),
    ("niah_forgetting", Multiplier::Forgetting),
    ("niah_differential", Multiplier::Learned { bias: false }),
];

/// What one of them expects.
struct Golden {
    config: Value,
    checkpoint: Checkpoint,
    expected: HashMap<String, Tensor>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let directory = fixture(&format!("vectors/{name}"));
        let file = directory.join("expected.safetensors");
        Self {
            config: serde_json::from_slice(&std::fs::read(directory.join("config.json")).unwrap()).unwrap(),
            checkpoint: Checkpoint::open(directory.to_str().unwrap(), RopeOverride::default()).unwrap(),
            expected: candle_core::safetensors::load(file, &Device::Cpu).unwrap(),
        }
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        self.expected[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    fn tokens(&self) -> Vec<u32> {
        self.numbers("tokens").iter().map(|&id| id as u32).collect()
    }
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * largest, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    for (name, multiplier) in GOLDEN {
        let golden = Golden::read(name);
        let model = decoder(&golden.config, 80, *multiplier);
        let parameters = from_checkpoint(&model, &golden.checkpoint, 0).unwrap();
        let (tokens, numbers) = (golden.tokens(), |name: &str| golden.numbers(name));
        let mut worker = DecoderWorker::new(&model);
        let logits = worker.logits(&parameters, &tokens).unwrap();
        close(&format!("{name}: logits"), logits, &numbers("logits"), 1e-5);
        let (factors, mut gradients) = (numbers("factors"), vec![0.0; parameters.len()]);
        let losses = model.worker().gradients(&parameters, &tokens, &factors, &mut gradients).unwrap();
        close(&format!("{name}: losses"), &losses, &numbers("losses"), 1e-5);
        for tensor in model.layout().tensors() {
            let expected = numbers(&format!("gradient.{}", tensor.name));
            close(&format!("{name}: {}", tensor.name), &gradients[tensor.range.clone()], &expected, 1e-4);
        }
    }
}

#[test]
fn the_decoder_that_evaluation_runs_gives_pytorchs_logits_and_rows_whatever_the_chunk() {
    for (name, _) in GOLDEN {
        let golden = Golden::read(name);
        let checkpoint = &golden.checkpoint;
        let rule = own_rule(checkpoint);
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let tokens = &golden.tokens()[..80];
        for chunk in [1, 7, 80] {
            let request = LogitsRequest { tokens, attention_rows: Some(79..80), chunk };
            let found = logits(&decoder, rule.as_ref(), &request, &mut |_| true).unwrap();
            close(&format!("{name}, {chunk}: logits"), &found.logits, &golden.numbers("logits"), 1e-4);
            let rows = found.attentions.unwrap();
            let heads = rows.weights().chunks_exact(80);
            assert!(heads.clone().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{name}, {chunk}");
            if golden.expected.contains_key("attention") {
                let of_second: Vec<f32> = heads.skip(4).flatten().copied().collect();
                for (found, expected) in of_second.iter().zip(golden.numbers("attention")) {
                    assert!((found - expected).abs() < 1e-5, "{name}, {chunk}: {found} and not {expected}");
                }
            }
        }
    }
}

#[test]
fn a_diffllama_is_trained_further_as_what_it_is() {
    let Some(folder) = common::vector("diffllama") else { return };
    let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
    let file = folder.join("expected.safetensors");
    let expected: HashMap<String, Tensor> = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
    let tokens: Vec<u32> = ids.into_iter().map(|id| id as u32).chain([0]).collect();
    let multipliers = vec![Multiplier::One; checkpoint.spec.num_hidden_layers];
    let model = TrainableDecoder::new(checkpoint.spec.clone(), tokens.len() - 1, &multipliers, FROM).unwrap();
    let parameters = from_checkpoint(&model, &checkpoint, 0).unwrap();
    let mut worker = DecoderWorker::new(&model);
    let found = worker.logits(&parameters, &tokens).unwrap();
    let expected = expected["logits"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    close("logits", found, &expected, 1e-4);
}

/// The rule that a checkpoint was made with.
fn own_rule(checkpoint: &Checkpoint) -> Box<dyn AttentionVariant> {
    let inputs = VariantInputs {
        layers: &checkpoint.spec.layers,
        heads: checkpoint.spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        ..VariantInputs::default()
    };
    let entry = VARIANTS.iter().find(|entry| entry.name == checkpoint.own_variant.name).unwrap();
    (entry.value)(&inputs).unwrap()
}

#[test]
fn every_gradient_is_finite_not_zero_and_the_finite_difference() {
    let tokens = tokens(71, 20);
    // The weights of softpick have a kink at a score of 0, which steps of this size cross, and those of
    // asentmax, whose scores are multiplied, bend where they come to be 0; their gradients are held to
    // PyTorch's.
    let bent = ["softpick", "asentmax"];
    for qk_norm in ["none", "weightless", "per_head"] {
        for (variant, config, multiplier) in
            cases(qk_norm).iter().filter(|(name, ..)| !bent.contains(&name.as_str()))
        {
            let model = decoder(config, 70, *multiplier);
            let parameters = parameters(&model);
            let (_, gradient) = loss_and_gradient(&model, &parameters, &tokens);
            for tensor in model.layout().tensors() {
                let what = format!("{variant}, {qk_norm}: {}", tensor.name);
                let part = &gradient[tensor.range.clone()];
                let norm = part.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                assert!(norm.is_finite() && norm > 1e-6, "{what}: {norm}");
                // Along the gradient itself the loss changes most, so rounding matters least.
                let along = |distance: f64| {
                    let mut moved = parameters.clone();
                    for (w, g) in moved[tensor.range.clone()].iter_mut().zip(part) {
                        *w += (distance * f64::from(*g) / norm) as f32;
                    }
                    loss_and_gradient(&model, &moved, &tokens).0
                };
                let difference = |h: f64| (along(h) - along(-h)) / (2.0 * h);
                // Far enough for the loss to change by more than rounding; by Richardson the error of second
                // order cancels.
                // A stick of many pieces is far from straight over longer steps.
                let most = if variant == "stick-breaking" { 2e-3 } else { 1e-2 };
                let h = (0.1 / norm).clamp(1e-3, most);
                let slope = (4.0 * difference(h) - difference(2.0 * h)) / 3.0;
                assert!((slope - norm).abs() <= 2e-3 * norm + 2e-4, "{what}: {slope} instead of {norm}");
            }
        }
    }
}

#[test]
fn the_forward_pass_gives_the_logits_of_the_decoder_that_evaluation_runs() {
    for qk_norm in ["weightless", "per_head"] {
        for (variant, config, multiplier) in cases(qk_norm) {
            let model = decoder(&config, 70, multiplier);
            let parameters = parameters(&model);
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
            let file = std::fs::File::create(directory.path().join("model.safetensors")).unwrap();
            let tensors = model.layout().tensors().iter().map(|tensor| NamedTensor {
                name: &tensor.name,
                shape: tensor.shape.clone(),
                numbers: Numbers::F32(&parameters[tensor.range.clone()]),
            });
            write_safetensors(file, &tensors.collect::<Vec<_>>(), &[]).unwrap();

            let name = directory.path().to_str().unwrap();
            let checkpoint = Checkpoint::open(name, RopeOverride::default()).unwrap();
            assert_eq!(checkpoint.own_variant.name, variant.trim_end_matches(" in pairs"));
            let rule = own_rule(&checkpoint);
            let loaded = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
            let tokens = tokens(71, 20);
            let request = LogitsRequest { tokens: &tokens[..70], attention_rows: None, chunk: 70 };
            let expected = logits(&loaded, rule.as_ref(), &request, &mut |_| true).unwrap().logits;
            let mut worker = DecoderWorker::new(&model);
            let found = worker.logits(&parameters, &tokens).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{variant}, {qk_norm}: {found} instead of {expected}"
                );
            }
        }
    }
}

#[test]
fn sequences_of_another_length_or_vocabulary_are_refused() {
    let model = decoder(&config("softmax", "none"), 8, Multiplier::One);
    let parameters = parameters(&model);
    for tokens in [vec![1; 8], vec![20; 9]] {
        assert!(model.worker().losses(&parameters, &tokens).is_err(), "{tokens:?}");
    }
}

/// AdamW moves every parameter by the learning rate, whatever its gradient: s by it, and s ln n by ln n times
/// it.
#[test]
fn the_sharpness_of_softmax_scale_moves_as_fast_as_that_of_ssmax_in_the_mean() {
    const ROWS: usize = 7;
    let rates = |multiplier: Multiplier| {
        let trained = decoder(&config("softmax", "weightless"), ROWS, multiplier);
        let rate = |part: &str| {
            let tensors = trained.layout().tensors().iter().filter(|tensor| tensor.name.contains(part));
            tensors.map(|tensor| tensor.rate).collect::<Vec<_>>()
        };
        (rate("_scale"), rate("proj"))
    };
    let mean = (1..=ROWS).map(|n| (n as f32).ln()).sum::<f32>() / ROWS as f32;
    let (constant, matrices) = rates(Multiplier::Constant);
    assert!((constant[0] - mean).abs() < 1e-6 && constant.len() == 1, "{constant:?} is not {mean}");
    assert!(matrices.iter().all(|&rate| rate == 1.0));
    assert_eq!(rates(Multiplier::Learned { bias: false }).0, [1.0]);
}
