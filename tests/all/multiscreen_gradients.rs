//! The gradients of Multiscreen: against PyTorch's (`fixtures/torch_multiscreen.py`), against finite
//! differences, and where norms and trims are 0.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use common::{fixture, vector};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::families::describe;
use niah::checkpoint::{Checkpoint, Config, NamedTensor, Numbers, RopeOverride, write_safetensors};
use niah::logits::{LogitsRequest, logits};
use niah::model::decoder::Decoder;
use niah::rng::Rng;
use niah::spec::Dtype;
use niah::train::multiscreen::{MultiscreenWorker, TrainableMultiscreen};
use niah::train::{Trainable, from_checkpoint, initial};
use serde_json::{Value, json};

/// Numbers of tensors by name.
type ByName = HashMap<String, Vec<f32>>;

fn tensors(file: &Path) -> ByName {
    let tensors: HashMap<String, Tensor> = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let numbers = |tensor: Tensor| {
        tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    tensors.into_iter().map(|(name, tensor)| (name, numbers(tensor))).collect()
}

/// The model of a vector's configuration for sequences of `rows` tokens, its parameters, and what is expected
/// of it.
fn golden(name: &str, rows: usize) -> Option<(TrainableMultiscreen, Vec<f32>, ByName)> {
    let folder = vector(name)?;
    let weights = tensors(&folder.join("model.safetensors"));
    let config = Config::read(&folder.join("config.json")).unwrap();
    let model = TrainableMultiscreen::new(describe(&config).unwrap().1, rows, 0.0).unwrap();
    let parameters = model.layout().tensors().iter().flat_map(|tensor| weights[&tensor.name].clone());
    let parameters = parameters.collect();
    Some((model, parameters, tensors(&folder.join("expected.safetensors"))))
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * largest, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn the_forward_pass_of_training_gives_the_golden_logits() {
    for name in ["multiscreen", "multiscreen_wide"] {
        let Some((model, parameters, expected)) = golden(name, 80) else { return };
        let mut tokens: Vec<u32> = expected["input_ids"].iter().map(|&id| id as u32).collect();
        tokens.push(0);
        let mut worker = MultiscreenWorker::new(&model);
        let found = worker.logits(&parameters, &tokens).unwrap();
        let off = found.iter().zip(&expected["logits"]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected["logits"].len() && off < 1e-4, "{name}: off by {off}");
    }
}

#[test]
fn gradients_of_tiles_are_those_of_pytorch() {
    let Some((model, parameters, _)) = golden("multiscreen", 70) else { return };
    let expected = tensors(&fixture("vectors/multiscreen_training").join("expected.safetensors"));
    let tokens: Vec<u32> = expected["tokens"].iter().map(|&id| id as u32).collect();
    let mut gradients = vec![0.0; parameters.len()];
    let losses =
        model.worker().gradients(&parameters, &tokens, &expected["factors"], &mut gradients).unwrap();
    close("losses", &losses, &expected["losses"], 1e-5);
    for tensor in model.layout().tensors() {
        let expected = &expected[&format!("gradient.{}", tensor.name)];
        close(&tensor.name, &gradients[tensor.range.clone()], expected, 1e-4);
    }
}

/// Two layers of three tiles, windows from 2 to 12 tokens, of which MiPE turns the first ones.
fn small(rows: usize) -> TrainableMultiscreen {
    let config = Config::new(Path::new("config.json"), config(rows).as_object().unwrap().clone());
    TrainableMultiscreen::new(describe(&config).unwrap().1, rows, 1.0).unwrap()
}

fn config(rows: usize) -> Value {
    json!({
        "model_type": "multiscreen", "vocab_size": 20, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
        "key_dim": 4, "value_dim": 5, "max_position_embeddings": rows, "mipe_threshold": 11.0,
        "mipe_position_mode": "paper_absolute",
    })
}

/// The loss `sum_i f_i loss_i` in f64, and its gradient.
fn loss_and_gradient(model: &TrainableMultiscreen, parameters: &[f32]) -> (f64, Vec<f32>) {
    let mut rng = Rng::new(9);
    let tokens: Vec<u32> = (0..71).map(|_| rng.below(20) as u32).collect();
    let factors: Vec<f32> = (1..tokens.len()).map(|i| 0.1 + 0.3 * (i % 3) as f32).collect();
    let mut gradients = vec![0.0; parameters.len()];
    let losses = model.worker().gradients(parameters, &tokens, &factors, &mut gradients).unwrap();
    let loss = losses.iter().zip(&factors).map(|(loss, factor)| f64::from(*loss) * f64::from(*factor)).sum();
    (loss, gradients)
}

#[test]
fn every_gradient_of_a_tile_is_finite_not_zero_and_the_finite_difference() {
    let model = small(70);
    let mut rng = Rng::new(3);
    let parameters: Vec<f32> =
        initial(&model, 7).iter().map(|w| w + 0.3 * (rng.unit() as f32 - 0.5)).collect();
    let (_, gradient) = loss_and_gradient(&model, &parameters);
    for tensor in model.layout().tensors() {
        let part = &gradient[tensor.range.clone()];
        let norm = part.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(norm.is_finite() && norm > 1e-5, "{}: {norm}", tensor.name);
        let along = |distance: f64| {
            let mut moved = parameters.clone();
            for (w, g) in moved[tensor.range.clone()].iter_mut().zip(part) {
                *w += (distance * f64::from(*g) / norm) as f32;
            }
            loss_and_gradient(&model, &moved).0
        };
        let difference = |h: f64| (along(h) - along(-h)) / (2.0 * h);
        // Trims and softmasks have second derivatives that jump at their thresholds, so steps stay small.
        let slope = (4.0 * difference(2e-3) - difference(4e-3)) / 3.0;
        assert!((slope - norm).abs() <= 3e-3 * norm + 2e-3, "{}: {slope} instead of {norm}", tensor.name);
    }
}

#[test]
fn parameters_begin_as_the_paper_has_them() {
    let config = json!({
        "model_type": "multiscreen", "vocab_size": 512, "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 5,
        "key_dim": 16, "value_dim": 32, "max_position_embeddings": 64, "mipe_threshold": 256.0,
        "mipe_position_mode": "paper_absolute",
    });
    let config = Config::new(Path::new("config.json"), config.as_object().unwrap().clone());
    let model = TrainableMultiscreen::new(describe(&config).unwrap().1, 64, 0.0).unwrap();
    let parameters = initial(&model, 5);
    let hidden = 96f64.sqrt();
    let mut seen = 0;
    for tensor in model.layout().tensors() {
        let values: Vec<f64> = parameters[tensor.range.clone()].iter().map(|&w| f64::from(w)).collect();
        let (kind, expected) = match tensor.name.rsplit_once("block.").map_or(&*tensor.name, |(_, kind)| kind)
        {
            kind @ ("q_proj.weight" | "k_proj.weight") => (kind, 0.1 / 4.0),
            kind @ "v_proj.weight" => (kind, 0.1 / 32f64.sqrt()),
            kind @ "g_proj.weight" => (kind, 0.1),
            kind @ ("o_proj.weight" | "multiscreen.embed.weight") => (kind, 0.1 / hidden),
            kind => {
                let tiles = |value: f64| vec![value; 5];
                let constants = match kind {
                    "multiscreen.s_E" => vec![0.0],
                    "multiscreen.s_F" => vec![hidden.ln()],
                    "sr" => tiles(0.0),
                    "sO" => tiles((1.0 / 15f64.sqrt()).ln()),
                    // From a window of 2 to one of 257.
                    "sw" => (0..5).map(|tile| 256f64.ln() * f64::from(tile) / 4.0).collect(),
                    _ => panic!("{kind} is not in the paper"),
                };
                assert!(
                    values.iter().zip(&constants).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{kind}: {values:?}"
                );
                assert_eq!(values.len(), constants.len(), "{kind}");
                seen += 1;
                continue;
            }
        };
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|w| w * w).sum::<f64>() / n).sqrt();
        // Four standard errors of either.
        assert!(mean.abs() < 4.0 * expected / n.sqrt(), "{kind}: mean {mean}");
        let off = (deviation / expected - 1.0).abs();
        assert!(off < 4.0 / (2.0 * n).sqrt(), "{kind}: {deviation} instead of {expected}");
        seen += 1;
    }
    assert_eq!(seen, 3 + 3 * 8);
}

#[test]
fn gradients_are_finite_at_zero_norms_and_where_nothing_passes_the_screen() {
    let model = small(70);
    let fill = |parameters: &mut [f32], end: &str, value: f32| {
        for tensor in model.layout().tensors().iter().filter(|tensor| tensor.name.ends_with(end)) {
            parameters[tensor.range.clone()].fill(value);
        }
    };
    for (what, end, value) in [
        ("tokens without embedding", "embed.weight", 0.0),
        ("queries and keys of zeros", "q_proj.weight", 0.0),
        ("values of zeros", "v_proj.weight", 0.0),
        ("a screen that nothing passes", ".sr", 12.0),
        ("windows of one token", ".sw", -40.0),
        ("windows without limit", ".sw", 40.0),
    ] {
        let mut parameters = initial(&model, 1);
        fill(&mut parameters, end, value);
        let (loss, gradient) = loss_and_gradient(&model, &parameters);
        assert!(loss.is_finite() && gradient.iter().all(|g| g.is_finite()), "{what}");
    }
}

#[test]
fn the_forward_pass_of_tiles_gives_the_logits_of_the_decoder_that_evaluation_runs() {
    let model = small(70);
    let mut rng = Rng::new(3);
    let parameters: Vec<f32> =
        initial(&model, 7).iter().map(|w| w + 0.3 * (rng.unit() as f32 - 0.5)).collect();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), config(70).to_string()).unwrap();
    let file = std::fs::File::create(directory.path().join("model.safetensors")).unwrap();
    let tensors = model.layout().tensors().iter().map(|tensor| NamedTensor {
        name: &tensor.name,
        shape: tensor.shape.clone(),
        numbers: Numbers::F32(&parameters[tensor.range.clone()]),
    });
    write_safetensors(file, &tensors.collect::<Vec<_>>(), &[]).unwrap();
    let checkpoint = Checkpoint::open(directory.path().to_str().unwrap(), RopeOverride::default()).unwrap();
    assert_eq!(from_checkpoint(&model, &checkpoint, 0).unwrap(), parameters);
    let inputs = VariantInputs {
        layers: &checkpoint.spec.layers,
        heads: checkpoint.spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        training_length: checkpoint.spec.training_length(),
        screening: checkpoint.spec.screening.as_ref(),
        ..VariantInputs::default()
    };
    let entry = VARIANTS.iter().find(|entry| entry.name == "screening").unwrap();
    let rule = (entry.value)(&inputs).unwrap();
    let loaded = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let tokens: Vec<u32> = (0..71).map(|_| rng.below(20) as u32).collect();
    let request = LogitsRequest { tokens: &tokens[..70], attention_rows: None, chunk: 70 };
    let expected = logits(&loaded, rule.as_ref(), &request, &mut |_| true).unwrap().logits;
    let mut worker = MultiscreenWorker::new(&model);
    close("logits", worker.logits(&parameters, &tokens).unwrap(), &expected, 1e-5);
}

#[test]
fn a_batch_can_be_learned_by_heart() {
    let model = small(70);
    let mut parameters = initial(&model, 2);
    let (before, _) = loss_and_gradient(&model, &parameters);
    for _ in 0..150 {
        let (_, gradient) = loss_and_gradient(&model, &parameters);
        for (w, g) in parameters.iter_mut().zip(&gradient) {
            *w -= 0.02 * g;
        }
    }
    let (after, _) = loss_and_gradient(&model, &parameters);
    assert!(after < 0.75 * before, "{after} after {before}");
}
