//! A small grid, run through the binary.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device};
use niah::store::csv;
use niah::trial::{AttentionRow, Outcome};
use serde_json::Value;

use super::bench::Bench;

/// Two lengths, three depths, two trials: twelve prompts.
pub(crate) const GRID: [&str; 7] = [
    "--context-lengths=200,300",
    "--depths=0,50,100",
    "--trials",
    "2",
    "--seed",
    "3",
    "--apply-chat-template=never",
];
pub(crate) const TRIALS: usize = 12;

impl Bench {
    /// `niah run` of the grid with `more`.
    pub(crate) fn grid(&self, more: &[&str]) -> String {
        self.stdout(&[&["run", "--model", "tiny"], &GRID[..], more].concat())
    }

    pub(crate) fn outcomes(&self, directory: &str) -> Vec<Outcome> {
        csv::read(self.path(directory).join("results.csv")).unwrap()
    }

    pub(crate) fn attention(&self, directory: &str) -> Vec<AttentionRow> {
        csv::read(self.path(directory).join("attention.csv")).unwrap()
    }

    pub(crate) fn run_json(&self, directory: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{directory}/run.json"))).unwrap()
    }
}

/// Sets every number of one tensor.
pub(crate) fn spoil(model: &Path, tensor: &str, value: f32) {
    let file = model.join("model.safetensors");
    let mut tensors: HashMap<_, _> = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    let old = &tensors[tensor];
    let new = (old.zeros_like().unwrap().to_dtype(DType::F32).unwrap() + f64::from(value)).unwrap();
    tensors.insert(tensor.to_string(), new);
    candle_core::safetensors::save(&tensors, &file).unwrap();
}
