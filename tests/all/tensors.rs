//! What a spec says its tensors are, against what a decoder reads.

use crate::common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candle_core::{DType, Device, Tensor};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::error::Result;
use niah::model::decoder::Decoder;
use niah::spec::{Biases, BlockKind, DecoderSpec, Dtype, MlpKind, NormKind, QkNorm};
use niah::weights::{TensorSource, Weights};

/// Tensors of zeros, which remembers what was read.
struct Zeros {
    shapes: BTreeMap<String, Vec<usize>>,
    read: Mutex<Vec<String>>,
}

impl TensorSource for Zeros {
    fn contains(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.shapes.get(name).cloned()
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        self.read.lock().unwrap().push(name.to_string());
        Ok(Tensor::zeros(self.shapes[name].as_slice(), DType::F32, device)?)
    }

    fn check_dtype(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    fn file_of(&self, _name: &str) -> PathBuf {
        PathBuf::from("zeros")
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        Some(name.to_string())
    }

    fn stored_names(&self) -> Vec<String> {
        self.shapes.keys().cloned().collect()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.read(stored, &Device::Cpu)
    }
}

/// A decoder whose experts, if it has any, are stored one by one or stacked reads what its spec names, in
/// that order.
fn check(spec: &DecoderSpec, stacked: bool, what: &str) {
    let (read, names) = read_and_named(spec, stacked, what);
    assert_eq!(read, names, "{what}");
}

/// What a decoder reads, and what its spec names.
fn read_and_named(spec: &DecoderSpec, stacked: bool, what: &str) -> (Vec<String>, Vec<String>) {
    let (mut names, mut shapes) = (Vec::new(), BTreeMap::new());
    let contains = |name: &str| stacked && name.ends_with(".gate_up_proj");
    let listed = spec.each_tensor(contains, |name, shape| {
        names.push(name.to_string());
        shapes.insert(name.to_string(), shape.to_vec());
        Ok::<_, ()>(())
    });
    assert_eq!(listed, Ok(()));
    let zeros = Zeros { shapes, read: Mutex::default() };
    Decoder::load(spec.clone(), &Weights::new(&zeros, &Device::Cpu, Dtype::F32)).unwrap();
    let numbers = zeros.shapes.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>();
    // Windows and acceptance widths of tiles are the attention rule's.
    let of_the_rule =
        if spec.screening.is_some() { 2 * spec.num_attention_heads * spec.num_hidden_layers } else { 0 };
    assert_eq!(numbers + of_the_rule, spec.parameter_count(), "{what}");
    (zeros.read.into_inner().unwrap(), names)
}

fn spec_of(name: &str) -> DecoderSpec {
    let folder = common::fixture("vectors").join(name);
    Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap().spec
}

#[test]
fn a_decoder_of_every_family_reads_exactly_the_tensors_that_its_spec_names() {
    let folders = common::fixture("vectors").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|folder| folder.join("model.safetensors").exists());
    let names: Vec<_> =
        folders.map(|folder| folder.file_name().unwrap().to_str().unwrap().to_string()).collect();
    assert!(names.len() > 9, "{names:?}");
    for name in names {
        for stacked in [false, true] {
            check(&spec_of(&name), stacked, &name);
        }
    }
}

/// Those of the larger collection whose layers have a state, of every kind.
#[test]
fn a_decoder_with_states_reads_exactly_the_tensors_that_its_spec_names() {
    for name in [
        "qwen3_next",
        "kimi_linear",
        "bailing_hybrid",
        "lfm2",
        "lfm3",
        "granitemoehybrid_moe",
        "mamba",
        "mamba2",
        "falcon_h1",
        "falcon_h1_norm",
        "nemotron_h_latent",
        "jamba",
        "recurrent_gemma",
        "rwkv",
    ] {
        let Some(folder) = common::vector(name) else { continue };
        let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
        check(&checkpoint.spec, false, name);
    }
}

/// Those of the larger collection, where it is there; in any order.
#[test]
fn a_decoder_of_the_collection_reads_each_tensor_that_its_spec_names_once() {
    let collection = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    let Ok(folders) = collection.read_dir() else { return };
    for folder in folders.map(|folder| folder.unwrap().path()) {
        let Ok(checkpoint) = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()) else {
            continue;
        };
        let what = folder.display().to_string();
        let (mut read, mut names) = read_and_named(&checkpoint.spec, false, &what);
        // Sinks are the attention rule's.
        names.retain(|name| !name.ends_with(".sinks"));
        read.sort();
        names.sort();
        assert_eq!(read, names, "{what}");
    }
}

#[test]
fn every_choice_of_a_spec_reads_exactly_the_tensors_that_it_names() {
    use BlockKind::{ParallelOneNorm, ParallelTwoNorms, PostNorm, PreNorm, SandwichNorm};
    use QkNorm::{LayerByHead, LayerPerHead, PerHead, Projection, WeightlessOnAllLayers, WeightlessPerHead};

    let llama = spec_of("llama");
    let norms = [
        QkNorm::None,
        PerHead,
        Projection,
        WeightlessPerHead,
        WeightlessOnAllLayers,
        LayerPerHead,
        LayerByHead,
    ];
    for block in [PreNorm, PostNorm, SandwichNorm, ParallelOneNorm, ParallelTwoNorms] {
        for (mlp, biased) in [(MlpKind::Gated, false), (MlpKind::Gated, true), (MlpKind::Plain, true)] {
            for qk_norm in norms {
                let spec = DecoderSpec {
                    block,
                    qk_norm,
                    mlp,
                    norm: if biased { NormKind::LayerWithBias } else { NormKind::Rms },
                    bias: Biases { qkv: biased, output: biased, mlp: biased, head: biased },
                    tie_word_embeddings: biased,
                    learned_positions: biased.then_some(9),
                    ..llama.clone()
                };
                check(&spec, false, &format!("{block:?} {qk_norm:?} {mlp:?} {biased}"));
            }
        }
    }
}

#[test]
fn a_claim_of_more_experts_than_memory_could_list_ends_at_the_first_tensor_that_is_refused() {
    let mut spec = spec_of("mixtral");
    spec.layers[0].moe.as_mut().unwrap().num_experts = usize::MAX / 4;
    let mut left = 20;
    let listed = spec.each_tensor(
        |_| false,
        |_, _| {
            left -= 1;
            if left == 0 { Err("enough") } else { Ok(()) }
        },
    );
    assert_eq!(listed, Err("enough"));
}
