//! One model in several forms: the tiny checkpoint as a directory, as a GGUF file, and as a GGUF file in
//! parts.

use crate::common;

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, GgufFile, RopeOverride};
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

/// A file of one stack of matrices, written by candle in each type that it can write.
fn quantised(path: &Path, shape: (usize, usize, usize)) -> Vec<(String, Tensor)> {
    let count = shape.0 * shape.1 * shape.2;
    // Irrational steps, so that no two numbers are alike.
    let numbers: Vec<f32> = (0..count).map(|i| (i as f32 * 0.618).sin() * 0.1).collect();
    let row = Tensor::new(&numbers[..1024], &Device::Cpu).unwrap();
    let whole = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
    let types = [
        ("F32", GgmlDType::F32),
        ("F16", GgmlDType::F16),
        ("BF16", GgmlDType::BF16),
        ("Q4_0", GgmlDType::Q4_0),
        ("Q4_1", GgmlDType::Q4_1),
        ("Q5_0", GgmlDType::Q5_0),
        ("Q5_1", GgmlDType::Q5_1),
        ("Q8_0", GgmlDType::Q8_0),
        ("Q2_K", GgmlDType::Q2K),
        ("Q3_K", GgmlDType::Q3K),
        ("Q4_K", GgmlDType::Q4K),
        ("Q5_K", GgmlDType::Q5K),
        ("Q6_K", GgmlDType::Q6K),
    ];
    let quantised = |tensor: &Tensor, kind| QTensor::quantize(tensor, kind).unwrap();
    let tensors: Vec<_> = types.iter().map(|(name, kind)| (*name, quantised(&whole, *kind))).collect();
    let vectors = types.map(|(name, kind)| (format!("{name} of one dimension"), quantised(&row, kind)));
    let vectors = vectors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let listed: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).chain(vectors).collect();
    let architecture = ("general.architecture", &Value::String("llama".to_string()));
    gguf_file::write(&mut std::fs::File::create(path).unwrap(), &[architecture], &listed).unwrap();
    let expanded = |tensor: &QTensor| tensor.dequantize(&Device::Cpu).unwrap();
    tensors.iter().map(|(name, tensor)| (name.to_string(), expanded(tensor))).collect()
}

#[test]
fn what_candle_quantises_is_expanded_to_the_bits_that_candle_gives() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("types.gguf");
    // More than is read at once, in the largest of the types.
    let expected = quantised(&path, (3, 3000, 256));
    let file = GgufFile::open(&path).unwrap();
    let bits = |tensor: &Tensor| {
        let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for (name, expected) in expected {
        let found = file.read(&name, &Device::Cpu).unwrap();
        assert_eq!(found.dims(), expected.dims(), "{name}");
        assert!(bits(&found) == bits(&expected), "{name}");
        let last = file.read_rows(&name, 2..3, &Device::Cpu).unwrap();
        assert_eq!(last.dims(), [1, 3000, 256]);
        assert!(bits(&last) == bits(&expected.narrow(0, 2, 1).unwrap()), "{name}, the last matrix");
        assert!(file.read_rows(&name, 2..4, &Device::Cpu).is_err(), "{name}");
        let vector = format!("{name} of one dimension");
        let some = file.read_rows(&vector, 250..700, &Device::Cpu).unwrap();
        assert_eq!(some.dims(), [450]);
        let expected = expected.flatten_all().unwrap().narrow(0, 250, 450).unwrap();
        assert!(bits(&some) == bits(&expected), "{vector}");
    }
    assert!(file.read("missing", &Device::Cpu).unwrap_err().to_string().contains("no such tensor"));
}
