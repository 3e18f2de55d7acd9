//! Files and directories that are something else than a checkpoint, named for what they are, with the way
//! out.
use std::fs;

use candle_core::quantized::gguf_file::Value as Gguf;
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::common;
use super::{Place, USAGE};

#[test]
fn a_directory_is_named_for_what_it_holds() {
    for (files, words) in [
        (
            &[
                ("adapter_config.json", r#"{"base_model_name_or_path": "org/base"}"#),
                ("adapter_model.safetensors", "x"),
            ][..],
            &["LoRA adapter", "\"org/base\"", "merge_and_unload"][..],
        ),
        (
            &[("adapter_config.json", "broken"), ("config.json", "{}"), ("model.safetensors", "x")],
            &["LoRA adapter", "take adapter_config.json out"],
        ),
        (
            &[("config.json", "{}"), ("pytorch_model.bin", "x")],
            &["no safetensors", "pickles", "safe_serialization"],
        ),
        (&[("pytorch_model.bin", "x")], &["no config.json", "pickles"]),
        (&[("optimizer.pt", "x"), ("scheduler.pt", "x")], &["no config.json", "pickles"]),
        (&[("tokenizer.json", "{}"), ("tokenizer_config.json", "{}")], &["a tokenizer without a model"]),
        (&[("model.safetensors", "x")], &["model.safetensors", "no config.json", "download config.json"]),
        (
            &[("config.json", "{}"), ("model-00001-of-00002.safetensors", "x")],
            &["shards", "model.safetensors.index.json"],
        ),
        (&[("config.json", "{}"), ("model.fp16.safetensors", "x")], &["model.fp16.safetensors", "rename"]),
        (
            &[
                ("config.json", "{}"),
                (
                    "model.safetensors.index.json",
                    r#"{"weight_map": {"a": "model-00001-of-00002.safetensors"}}"#,
                ),
            ],
            &["model-00001-of-00002.safetensors", "named by", "missing; download it"],
        ),
        (&[("params.json", "{}"), ("consolidated.00.pth", "x")], &["maker's own format"]),
        (&[("model_index.json", "{}")], &["diffusers"]),
        (&[("model.onnx", "x")], &["model.onnx", "another runtime"]),
        (&[("a.gguf", "x"), ("b.Q4_K.gguf", "x")], &["holds 2 GGUF files", "a.gguf, b.Q4_K.gguf"]),
        (
            &[("checkpoint-10/config.json", "{}"), ("checkpoint-20/config.json", "{}")],
            &["folders hold checkpoints", "checkpoint-10", "checkpoint-20"],
        ),
        (&[("snapshots/0123/config.json", "{}")], &["folders hold checkpoints", "snapshots/0123"]),
    ] {
        let place = Place::new();
        for (name, content) in files {
            let path = place.path("other").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        place.niah("inspect other").refuses(USAGE, words);
    }
}

#[test]
fn quantised_weights_are_named_by_their_tool() {
    let ones = |shape: &[usize], dtype| Tensor::ones(shape, dtype, &Device::Cpu).unwrap();
    for (section, replaced, tensor, words) in [
        (
            json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}),
            "qweight",
            ones(&[4, 32], DType::U32),
            "gptq, 4 bits",
        ),
        (
            json!({"quantization_config": {"quant_method": "awq", "bits": 4}}),
            "qweight",
            ones(&[32, 4], DType::U32),
            "awq, 4 bits",
        ),
        (
            json!({"quantization_config": {"load_in_4bit": true}}),
            "weight",
            ones(&[512, 1], DType::U8),
            "bitsandbytes, 4 bits",
        ),
        (
            json!({"quantization_config": {"quant_method": "compressed-tensors"}}),
            "weight_packed",
            ones(&[4], DType::U32),
            "compressed-tensors",
        ),
        (
            json!({"quantization": {"group_size": 32, "bits": 4}}),
            "scales",
            ones(&[32, 1], DType::F16),
            "MLX, 4 bits",
        ),
        (json!({}), "qweight", ones(&[4, 32], DType::U32), "GPTQ or AWQ"),
    ] {
        let place = Place::new();
        place.edit_json("model/config.json", |config| {
            config.as_object_mut().unwrap().extend(section.as_object().unwrap().clone());
        });
        place.edit_weights(|weights| {
            let module = "model.layers.0.self_attn.q_proj";
            weights.remove(&format!("{module}.weight"));
            weights.insert(format!("{module}.{replaced}"), tensor.clone());
        });
        place.niah("inspect model").refuses(USAGE, &["config.json", "quantised", words, "in 16 bits"]);
    }
    let place = Place::new();
    place.edit_json("model/config.json", |config| {
        config["quantization_config"] = json!({"load_in_4bit": true})
    });
    place.run("--dry-run").works(&["warning: ", "bitsandbytes, 4 bits", "plain numbers"]);
}

#[test]
fn a_gguf_file_that_is_no_model_is_named_for_what_it_is() {
    let text = |text: &str| Gguf::String(text.to_string());
    let place = Place::new();
    let refused = |kind: Option<&str>, architecture: &str, tensors: bool, words: &[&str]| {
        let mut metadata = common::gguf::metadata();
        metadata.retain(|(key, _)| *key != "general.architecture");
        metadata.push(("general.architecture", text(architecture)));
        metadata.extend(kind.map(|kind| ("general.type", text(kind))));
        let tensors = if tensors { common::gguf::tensors() } else { Vec::new() };
        common::gguf::write_tensors(&place.path("m.gguf"), &metadata, &tensors);
        place.niah("inspect m.gguf").refuses(USAGE, words);
    };
    refused(Some("adapter"), "llama", true, &["m.gguf", "LoRA adapter", "llama-export-lora"]);
    refused(Some("mmproj"), "clip", true, &["sees or hears", "language model"]);
    refused(None, "clip", true, &["sees or hears"]);
    refused(Some("imatrix"), "llama", true, &["importance matrix"]);
    refused(None, "controlvector", true, &["control vector"]);
    refused(Some("mystery\u{1b}"), "llama", true, &["general.type \"mystery\\u{1b}\"", "no model"]);
    refused(Some("model"), "llama", false, &["a vocabulary without a model", "no tensors"]);
    refused(None, "llama", false, &["a vocabulary without a model"]);
}

#[test]
fn a_gguf_file_is_read_whatever_its_name_and_found_in_its_directory() {
    let place = Place::new();
    common::gguf::write(&place.path("plain.gguf"), &common::gguf::metadata());
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("folder/config.json"), "{}").unwrap();
    for name in ["MODEL.GGUF", "sha256-0123abcd", "model.bin", "m.safetensors", "folder/m.gguf"] {
        fs::copy(place.path("plain.gguf"), place.path(name)).unwrap();
        place.niah(&format!("run -m {name} --dry-run --context-lengths 400 --depths 50")).works(&[]);
    }
    fs::write(place.path("folder/mmproj-model-f16.gguf"), "x").unwrap();
    place.niah("run -m folder --dry-run --context-lengths 400 --depths 50").works(&[]);
}

#[test]
fn other_files_are_named_by_how_they_begin() {
    let place = Place::new();
    let header = [&2u64.to_le_bytes()[..], b"{}"].concat();
    for (name, content, words) in [
        ("archive", &b"PK\x03\x04rest"[..], &["pickles"][..]),
        ("old", b"tjggrest", &["GGJT", "convert"]),
        ("tensors", &header, &["safetensors under another name"]),
        ("MODEL.BIN", b"x", &["pickles"]),
        ("net.onnx", b"x", &["ONNX"]),
    ] {
        place.write(name, content);
        place.niah(&format!("inspect {name}")).refuses(USAGE, words);
    }
    let layers = json!([
        {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:00"},
        {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:12ab"}
    ]);
    place.write("latest", json!({"schemaVersion": 2, "layers": layers}).to_string());
    place.niah("inspect latest").refuses(USAGE, &["latest", "manifest of Ollama", "sha256-12ab"]);
    place.niah("inspect model/config.json").refuses(USAGE, &["config.json", "name the directory"]);
    let mut big = b"GGUF".to_vec();
    big.extend(3u32.to_be_bytes());
    big.extend([0; 32]);
    place.write("big.gguf", &big);
    place.niah("inspect big.gguf").refuses(USAGE, &["big-endian"]);
}

#[test]
fn a_padding_token_that_does_not_exist_does_no_harm() {
    let place = Place::new();
    for padding in [Gguf::I32(-1), Gguf::U32(u32::MAX), Gguf::U32(70_000), Gguf::I64(-1), Gguf::U64(u64::MAX)]
    {
        let mut metadata = common::gguf::metadata();
        metadata.push(("tokenizer.ggml.padding_token_id", padding));
        common::gguf::write(&place.path("m.gguf"), &metadata);
        place.niah("prompts -m m.gguf --context-lengths 400 --depths 50 --limit 1").works(&[]);
    }
    for none in ["bos", "eos", "unknown", "eot"] {
        let mut metadata = common::gguf::metadata();
        let key: &'static str = Box::leak(format!("tokenizer.ggml.{none}_token_id").into_boxed_str());
        metadata.push((key, Gguf::I32(-1)));
        common::gguf::write(&place.path("m.gguf"), &metadata);
        place.niah("prompts -m m.gguf --context-lengths 400 --depths 50 --limit 1").works(&[]);
    }
}

#[test]
fn json_is_read_as_python_writes_it() {
    let place = Place::new();
    let original = fs::read_to_string(place.path("model/config.json")).unwrap();
    let extended = |more: &str| original.replacen('{', &format!("{{{more}, "), 1);
    for more in [
        r#""initializer_range": Infinity"#,
        r#""attention_dropout": NaN, "list": [-Infinity, 1e999]"#,
        r#""note": "NaN and \"Infinity\"""#,
    ] {
        for content in [extended(more), format!("\u{feff}{}", extended(more))] {
            place.write("model/config.json", content);
            place.write("model/generation_config.json", format!("\u{feff}{{{more}}}"));
            place.write("model/tokenizer_config.json", format!("\u{feff}{{{more}}}"));
            place.write("model/special_tokens_map.json", format!("{{{more}}}"));
            place.run("--dry-run").works(&[]);
        }
    }
    place.write(
        "model/config.json",
        extended(r#""rope_theta": NaN, "rope_parameters": null"#)
            .replace("rope_parameters\": {", "ignored\": {"),
    );
    place.run("--dry-run").refuses(USAGE, &["rope_theta", "NaN"]);
    let utf16: Vec<u8> = format!("\u{feff}{original}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("model/config.json", utf16);
    place.run("--dry-run").refuses(USAGE, &["config.json", "UTF-16"]);
    let many: Value = vec![0; 300_000].into();
    place.write("model/config.json", json!({"a": many, "b": many}).to_string());
    place.run("--dry-run").refuses(USAGE, &["config.json", "more than 500000 values"]);
    place.write("model/config.json", " ".repeat((16 << 20) + 1));
    place.run("--dry-run").refuses(USAGE, &["config.json", "too large", "16777216"]);
}
