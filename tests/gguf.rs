//! One model in two forms: the tiny checkpoint as a directory and as a GGUF file.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use candle_core::Device;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::Forward;
use niah::model::dtype::Dtype;
use niah::plan::load_tokenizer;
use niah::tokenizer::Tokenize;

#[test]
fn a_gguf_file_gives_the_tokens_and_logits_of_the_directory_it_was_made_from() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tiny.gguf");
    common::tiny_checkpoint(place.path());
    common::gguf::write(&file, &common::gguf::metadata());
    let text = "A needle, 3 haystacks; naïve 針.";
    let [directory, gguf] = [place.path(), &file].map(|path| {
        let checkpoint = Checkpoint::open(path.to_str().unwrap(), RopeOverride::default()).unwrap();
        let ids = load_tokenizer(&checkpoint).unwrap().encode(text).unwrap().ids;
        let softmax = niah::registry::find("variant", VARIANTS, checkpoint.own_variant).unwrap();
        let inputs =
            VariantInputs { layers: 4, heads: 4, learned: None, scale_override: None, training_length: None };
        let variant = (softmax.value)(&inputs).unwrap();
        let decoder = checkpoint.decoder(&Device::Cpu, Dtype::F32).unwrap();
        let forward = Forward { variant: variant.as_ref(), keep_logits: ids.len(), probe: None };
        let logits = decoder.forward(&ids, &mut decoder.new_cache(ids.len()), forward).unwrap();
        (ids, logits.to_vec2::<f32>().unwrap())
    });
    assert_eq!(directory.0, text.bytes().map(u32::from).collect::<Vec<_>>());
    assert_eq!(gguf.0, directory.0);
    let off = directory.1.iter().flatten().zip(gguf.1.iter().flatten()).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f32::max);
    assert!(off < 1e-5, "off by {off}");
}
