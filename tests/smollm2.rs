//! SmolLM2-135M-Instruct Q4_1 against an independent implementation run on the same file (`fixtures/make_oracles.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use candle_core::Device;
use niah::attention::AttentionProbe;
use niah::attention::probe::ProbeRequest;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::model::dtype::Dtype;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    argmax: Vec<u32>,
    logprob: Vec<f64>,
    top10: Vec<Top>,
    attention: Attention,
}

#[derive(Deserialize)]
struct Top {
    position: usize,
    top: Vec<(u32, f32)>,
}

#[derive(Deserialize)]
struct Attention {
    prefix: usize,
    span: (usize, usize),
    mass: Vec<Vec<f64>>,
    first: Vec<Vec<f64>>,
    argmax: Vec<Vec<usize>>,
}

fn open() -> Option<(Decoder, Golden)> {
    let file = common::model_file("SmolLM2-135M-Instruct.Q4_1.gguf")?;
    let checkpoint = Checkpoint::open(&file.display().to_string(), RopeOverride::default()).unwrap();
    let golden = std::fs::read(common::fixture("smollm2_logits.json")).unwrap();
    Some((checkpoint.decoder(&Device::Cpu, Dtype::F32).unwrap(), serde_json::from_slice(&golden).unwrap()))
}

fn softmax() -> Box<dyn niah::attention::AttentionVariant> {
    let inputs =
        VariantInputs { layers: 30, heads: 9, learned: None, scale_override: None, training_length: None };
    (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&inputs).unwrap()
}

#[test]
fn smollm2_predicts_what_the_reference_predicts() {
    let Some((decoder, golden)) = open() else { return };
    let variant = softmax();
    let mut cache = decoder.new_cache(golden.ids.len());
    let mut logits = Vec::new();
    for chunk in golden.ids.chunks(256) {
        let forward = Forward { variant: variant.as_ref(), keep_logits: chunk.len(), probe: None };
        logits.extend(decoder.forward(chunk, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap());
    }
    let argmax = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
    let agreeing =
        logits.iter().zip(&golden.argmax).filter(|(row, expected)| argmax(row) == **expected).count();
    assert!(agreeing * 100 >= golden.ids.len() * 99, "top-1 agrees at {agreeing} of {}", golden.ids.len());
    for (position, expected) in golden.logprob.iter().enumerate() {
        let row = &logits[position];
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - largest).exp()).sum();
        let found = f64::from(row[golden.ids[position + 1] as usize] - largest) - sum.ln();
        assert!((found - expected).abs() < 2e-3, "position {position}: {found} instead of {expected}");
    }
    for top in &golden.top10 {
        for (id, expected) in &top.top {
            let found = logits[top.position][*id as usize];
            assert!(
                (found - expected).abs() < 2e-3,
                "position {} id {id}: {found}, not {expected}",
                top.position
            );
        }
    }
}

#[test]
fn smollm2_attends_where_the_reference_attends() {
    let Some((decoder, golden)) = open() else { return };
    let (variant, expected) = (softmax(), golden.attention);
    let mut probe = AttentionProbe::new(ProbeRequest {
        rows: expected.prefix - 1..expected.prefix,
        spans: vec![std::iter::once(expected.span.0..expected.span.1).collect()],
        chosen_head: None,
    });
    let forward = Forward { variant: variant.as_ref(), keep_logits: 0, probe: Some(&mut probe) };
    decoder
        .forward(&golden.ids[..expected.prefix], &mut decoder.new_cache(expected.prefix), forward)
        .unwrap();
    let heads = probe.finish().heads;
    assert_eq!(heads.len(), 270);
    for head in heads {
        let (layer, index, row) = (head.layer, head.head, head.first);
        assert!((row.span_mass[0] - expected.mass[layer][index]).abs() < 1e-4, "{layer}.{index}: {row:?}");
        assert!((row.sink_mass - expected.first[layer][index]).abs() < 1e-4, "{layer}.{index}: {row:?}");
        assert_eq!(row.argmax_position, expected.argmax[layer][index], "{layer}.{index}");
    }
}
