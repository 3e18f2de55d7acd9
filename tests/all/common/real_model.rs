//! A real GGUF file against what an independent implementation says about it (`fixtures/make_oracles.py`).

use candle_core::{D, Device};
use niah::attention::probe::ProbeRequest;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::attention::{AttentionProbe, AttentionVariant};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::spec::Dtype;
use serde::Deserialize;

/// A model with what is expected of it.
pub(crate) struct RealModel {
    decoder: Decoder,
    golden: Golden,
}

#[derive(Deserialize)]
struct Golden {
    ids: Vec<u32>,
    argmax: Vec<u32>,
    logprob: Vec<f32>,
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

impl RealModel {
    /// A file of `fixtures/models/` and its expected values, a file of `fixtures/`.
    pub(crate) fn open(file: &str, golden: &str) -> Option<Self> {
        let file = super::model_file(file)?;
        let checkpoint = Checkpoint::open(&file.display().to_string(), RopeOverride::default()).unwrap();
        let golden = std::fs::read(super::fixture(golden)).unwrap();
        let golden = serde_json::from_slice(&golden).unwrap();
        Some(Self { decoder: checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap(), golden })
    }

    fn softmax(&self) -> Box<dyn AttentionVariant> {
        (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&VariantInputs::default())
            .unwrap()
    }

    /// The likeliest token agrees at 99 % of the positions; every observed token's log-probability and every
    /// large logit is within 2e-3.
    pub(crate) fn assert_predictions(&self) {
        let (golden, variant) = (&self.golden, self.softmax());
        let mut cache = self.decoder.new_cache(golden.ids.len());
        let mut agreeing = 0;
        for (number, chunk) in golden.ids.chunks(CHUNK).enumerate() {
            let forward = Forward { variant: variant.as_ref(), keep_logits: chunk.len(), probe: None };
            let logits = self.decoder.forward(chunk, &mut cache, forward).unwrap(); // [t, vocab]
            let likeliest = logits.argmax(D::Minus1).unwrap().to_vec1::<u32>().unwrap();
            let normaliser = logits.log_sum_exp(D::Minus1).unwrap().to_vec1::<f32>().unwrap();
            let logit = |row: usize, id: u32| {
                logits.get(row).unwrap().get(id as usize).unwrap().to_scalar::<f32>().unwrap()
            };
            for (row, position) in (0..chunk.len()).zip(number * CHUNK..) {
                agreeing += usize::from(likeliest[row] == golden.argmax[position]);
                if let Some(expected) = golden.logprob.get(position) {
                    let found = logit(row, golden.ids[position + 1]) - normaliser[row];
                    let what = format!("position {position}: {found} instead of {expected}");
                    assert!((found - expected).abs() < 2e-3, "{what}");
                }
                for top in golden.top10.iter().filter(|top| top.position == position) {
                    for (id, expected) in &top.top {
                        let found = logit(row, *id);
                        let what = format!("position {position} id {id}: {found}, not {expected}");
                        assert!((found - expected).abs() < 2e-3, "{what}");
                    }
                }
            }
        }
        assert!(
            agreeing * 100 >= golden.ids.len() * 99,
            "top-1 agrees at {agreeing} of {}",
            golden.ids.len()
        );
    }

    /// In every head, the last row of a prefix has its mass where the reference has it.
    pub(crate) fn assert_attention(&self) {
        let (variant, expected) = (self.softmax(), &self.golden.attention);
        let mut probe = AttentionProbe::new(ProbeRequest {
            rows: expected.prefix - 1..expected.prefix,
            spans: vec![std::iter::once(expected.span.0..expected.span.1).collect()],
            ..ProbeRequest::default()
        });
        let prefix = &self.golden.ids[..expected.prefix];
        let forward = Forward { variant: variant.as_ref(), keep_logits: 0, probe: Some(&mut probe) };
        self.decoder.forward(prefix, &mut self.decoder.new_cache(prefix.len()), forward).unwrap();
        let heads = probe.finish().heads;
        assert_eq!(heads.len(), expected.mass.iter().map(Vec::len).sum::<usize>());
        for head in heads {
            let (layer, index, row) = (head.layer, head.head, head.first);
            let off = (row.span_mass[0] - expected.mass[layer][index]).abs();
            assert!(off < 1e-4, "{layer}.{index}: {row:?}");
            let off = (row.sink_mass - expected.first[layer][index]).abs();
            assert!(off < 1e-4, "{layer}.{index}: {row:?}");
            assert_eq!(row.argmax_position, expected.argmax[layer][index], "{layer}.{index}");
        }
    }
}

/// Tokens at a time: the logits of a large vocabulary take a megabyte a token.
const CHUNK: usize = 128;
