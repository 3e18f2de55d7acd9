//! One model in several forms: the tiny checkpoint as a directory, as a GGUF file, and as a GGUF file in
//! parts.

use crate::common;

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::Value;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::plan::load_tokenizer;
use niah::spec::Dtype;
use niah::tokenizer::Tokenize;

const TEXT: &str = "A needle, 3 haystacks; naïve 針.";

/// The ids of the text, and its logits.
fn run(path: &Path) -> (Vec<u32>, Vec<Vec<f32>>) {
    let checkpoint = Checkpoint::open(path.to_str().unwrap(), RopeOverride::default()).unwrap();
    let ids = load_tokenizer(&checkpoint).unwrap().encode(TEXT).unwrap().ids;
    let softmax = niah::registry::find("variant", VARIANTS, checkpoint.own_variant.name).unwrap();
    let variant = (softmax.value)(&VariantInputs::default()).unwrap();
    let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let forward = Forward { variant: variant.as_ref(), keep_logits: ids.len(), probe: None };
    let logits = decoder.forward(&ids, &mut decoder.new_cache(ids.len()), forward).unwrap();
    (ids, logits.to_vec2::<f32>().unwrap())
}

#[test]
fn a_gguf_file_gives_the_tokens_and_logits_of_the_directory_it_was_made_from() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tiny.gguf");
    common::tiny_checkpoint(place.path());
    common::gguf::write(&file, &common::gguf::metadata());
    let (directory, gguf) = (run(place.path()), run(&file));
    assert_eq!(directory.0, TEXT.bytes().map(u32::from).collect::<Vec<_>>());
    assert_eq!(gguf.0, directory.0);
    let off = directory.1.iter().flatten().zip(gguf.1.iter().flatten()).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f32::max);
    assert!(off < 1e-5, "off by {off}");
}

#[test]
fn a_split_gguf_file_is_read_with_all_its_parts() {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("tiny.gguf");
    common::gguf::write(&whole, &common::gguf::metadata());
    let tensors = common::gguf::tensors();
    let path = |number: usize| place.path().join(format!("tiny-0000{number}-of-00003.gguf"));
    for (number, tensors) in (1..).zip(tensors.chunks(tensors.len().div_ceil(3))) {
        // The first part holds the metadata of the model.
        let mut metadata = if number == 1 { common::gguf::metadata() } else { vec![] };
        metadata.push(("split.no", Value::U16(number as u16 - 1)));
        metadata.push(("split.count", Value::U16(3)));
        common::gguf::write_tensors(&path(number), &metadata, tensors);
    }
    assert_eq!(run(&path(1)), run(&whole));
    let open = |path: &Path| Checkpoint::open(path.to_str().unwrap(), RopeOverride::default());
    assert_eq!(open(&path(1)).unwrap().files(), [path(1), path(2), path(3)]);
    let message = open(&path(2)).err().unwrap().to_string();
    assert!(message.contains("name the first") && message.contains("-00001-of-00003.gguf"), "{message}");
    std::fs::remove_file(path(3)).unwrap();
    let message = open(&path(1)).err().unwrap().to_string();
    assert!(message.contains("tiny-00003-of-00003.gguf") && message.contains("download"), "{message}");
}
