//! Tensors that are damaged, missing, misshapen or at odds with the configuration.
use std::fs;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::{DOWNLOAD, Place, USAGE};

#[test]
fn damaged_safetensors_are_refused() {
    let place = Place::new();
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let with_length = |length: u64| [&length.to_le_bytes()[..], &weights[8..]].concat();
    let noise: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let hostile = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let wide = r#"{"a": {"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 18446744073709551615]}}"#;
    for (content, words) in [
        (vec![], &["model.safetensors", "empty", DOWNLOAD][..]),
        (weights[..5].to_vec(), &["model.safetensors", "cut short", "5 bytes", DOWNLOAD]),
        (weights[..8 + header / 2].to_vec(), &["cut short", DOWNLOAD]),
        (weights[..8 + header].to_vec(), &["cut short", DOWNLOAD]),
        (weights[..weights.len() - 1].to_vec(), &["cut short", DOWNLOAD]),
        ([&weights[..], b"x"].concat(), &["model.safetensors", DOWNLOAD]),
        (noise, &["model.safetensors", DOWNLOAD]),
        (with_length(1 << 40), &["model.safetensors", DOWNLOAD]),
        (with_length(u64::MAX), &["model.safetensors", DOWNLOAD]),
        (with_length(90_000_000), &["model.safetensors", DOWNLOAD]),
        (hostile(wide), &["model.safetensors", DOWNLOAD]),
        (hostile("[]"), &["model.safetensors", DOWNLOAD]),
        (b"<!doctype html><title>404</title>".to_vec(), &["model.safetensors", DOWNLOAD]),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), &["git lfs pull"]),
    ] {
        place.write("model/model.safetensors", content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    fs::remove_file(place.path("model/model.safetensors")).unwrap();
    place.run("--dry-run").refuses(USAGE, &["holds neither model.safetensors nor", DOWNLOAD]);
    place.write("model/pytorch_model.bin", "x");
    place.run("--dry-run").refuses(USAGE, &["pickles", "safe_serialization=True"]);
}

#[test]
fn an_index_that_misleads_is_refused() {
    let place = Place::new();
    fs::rename(place.path("model/model.safetensors"), place.path("model/one.safetensors")).unwrap();
    let map = |map: Value| json!({"weight_map": map}).to_string();
    for (content, words) in [
        ("{".to_string(), &["model.safetensors.index.json", "broken JSON"][..]),
        ("{}".to_string(), &["weight_map", "found nothing"]),
        (map(json!({})), &["weight_map", "at least one file"]),
        (map(json!({"a": 3})), &["weight_map", "found 3", "names of files"]),
        (map(json!({"a": "../model/one.safetensors"})), &["weight_map", "../model", "names of files"]),
        (map(json!({"a": ".."})), &["weight_map", "names of files"]),
        (map(json!({"a": "/etc/passwd"})), &["weight_map", "names of files"]),
        (
            map(json!({"a": "one.safetensors", "b": "two.safetensors"})),
            &["two.safetensors", "missing", "download it"],
        ),
    ] {
        place.write("model/model.safetensors.index.json", content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    place.write("model/model.safetensors.index.json", map(json!({"a": "one.safetensors"})));
    place.run("--dry-run").works(&[]);
}

#[test]
fn wrong_tensors_are_refused_by_name_and_a_repaired_file_runs_with_the_same_command() {
    let place = Place::new();
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let name = "model.layers.2.mlp.up_proj.weight";
    let filled = |value: f32| {
        move |tensor: &Tensor| {
            let mut numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers[77] = value;
            Tensor::from_vec(numbers, tensor.dims(), &Device::Cpu).unwrap()
        }
    };
    let narrow = |tensor: &Tensor| tensor.narrow(0, 0, 63).unwrap().contiguous().unwrap();
    let whole = |tensor: &Tensor| tensor.to_dtype(DType::I64).unwrap();
    let file = "model/model.safetensors";
    let change = |edit: &dyn Fn(&Tensor) -> Tensor| {
        place.write(file, &weights);
        place.edit_weights(|tensors| {
            let changed = edit(&tensors[name]);
            tensors.insert(name.to_string(), changed);
        });
    };
    change(&narrow);
    place.run("--dry-run").refuses(USAGE, &[file, name, "shape [64, 32]", "shape [63, 32]", DOWNLOAD]);
    change(&whole);
    place.run("--dry-run").refuses(USAGE, &[file, name, "F32, F16 or BF16", "I64", "convert it"]);
    place.write(file, &weights);
    place.edit_weights(|tensors| drop(tensors.remove(name)));
    place.run("--dry-run").refuses(USAGE, &[file, name, "shape [64, 32]", "no such tensor", DOWNLOAD]);
    for value in [f32::NAN, f32::INFINITY] {
        change(&filled(value));
        place.run("").refuses(USAGE, &[file, name, "finite", "NaN", DOWNLOAD]);
    }
    place.write(file, &weights);
    place.run("").works(&["results: out"]);
    assert_eq!(place.rows(), 1);
}

#[test]
fn scales_that_do_not_fit_are_refused_and_none_is_invented() {
    let place = Place::new();
    place.edit_json("model/config.json", |config| config["attention_variant"] = json!({"kind": "ssmax"}));
    let weights = fs::read(place.path("model/model.safetensors")).unwrap();
    let with_scales = |layers: usize, numbers: &[f32]| {
        place.write("model/model.safetensors", &weights);
        place.edit_weights(|tensors| {
            for layer in 0..layers {
                let scale = Tensor::new(numbers, &Device::Cpu).unwrap();
                tensors.insert(format!("model.layers.{layer}.self_attn.ssmax_scale"), scale);
            }
        });
    };
    with_scales(4, &[0.4; 3]);
    place
        .run("--dry-run")
        .refuses(USAGE, &["layers.0.self_attn.ssmax_scale", "4 finite numbers", "shape [3]"]);
    with_scales(3, &[0.4; 4]);
    place.run("--dry-run").refuses(USAGE, &["layers.3.self_attn.ssmax_scale", "no such tensor"]);
    place.edit_weights(|tensors| {
        let square = Tensor::new(&[[0.4f32, 0.4], [0.4, 0.4]], &Device::Cpu).unwrap();
        tensors.insert("model.layers.3.self_attn.ssmax_scale".to_string(), square);
    });
    place.run("--dry-run").refuses(USAGE, &["layers.3.self_attn.ssmax_scale", "shape [2, 2]"]);
    with_scales(4, &[0.4, f32::NAN, 0.4, 0.4]);
    place.run("--dry-run").refuses(USAGE, &["ssmax_scale", "4 finite numbers", "NaN"]);
    with_scales(4, &[0.4; 4]);
    place.run("--dry-run").works(&[]);
    place
        .run("--dry-run --variant ssmax-bias")
        .refuses(USAGE, &["--variant", "ssmax_bias", "use --variant ssmax"]);
    place
        .edit_json("model/config.json", |config| config["attention_variant"] = json!({"kind": "ssmax-bias"}));
    place.run("--dry-run").refuses(USAGE, &["ssmax-bias", "self_attn.ssmax_bias"]);
}

#[test]
fn a_checkpoint_that_contradicts_itself_about_its_attention_rule_is_refused() {
    let place = Place::new();
    let (config, weights) = ("model/config.json", fs::read(place.path("model/model.safetensors")).unwrap());
    let original = fs::read(place.path(config)).unwrap();
    let scale = || Tensor::new(&[0.4f32; 4], &Device::Cpu).unwrap();
    let dry = |keys: Value, tensors: &[(&str, &[usize])], words: &[&str]| {
        place.write("model/model.safetensors", &weights);
        place.write(config, &original);
        place.edit_json(config, |config| {
            config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        });
        place.edit_weights(|stored| {
            for (name, layers) in tensors {
                let names = layers.iter().map(|layer| format!("model.layers.{layer}.self_attn.{name}"));
                stored.extend(names.map(|name| (name, scale())));
            }
        });
        place.run("--dry-run").refuses(USAGE, words);
    };
    let all = &[0, 1, 2, 3][..];
    for (keys, tensors, words) in [
        (
            json!({"scalable_softmax": false}),
            &[("ssmax_scale", all)][..],
            &["scalable_softmax", "found false"][..],
        ),
        (
            json!({"use_ssmax": false}),
            &[("ssmax_scale", all)],
            &["use_ssmax", "--variant softmax runs without"],
        ),
        (
            json!({"attention_variant": {"kind": "softmax"}}),
            &[("ssmax_scale", all)],
            &["attention_variant", "softmax, but learned scales in self_attn.ssmax_scale"],
        ),
        (
            json!({"use_logn_attn": true}),
            &[("seq_scale", all)],
            &["use_logn_attn", "logn, but learned scales"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax"}}),
            &[("ssmax_scale", all), ("ssmax_bias", all)],
            &["attention_variant", "ssmax, but biases in self_attn.ssmax_bias", "expected ssmax-bias"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax-bias"}}),
            &[("ssmax_scale", all)],
            &["attention_variant", "ssmax-bias, but no self_attn.ssmax_bias"],
        ),
        (json!({}), &[("ssmax_bias", all)], &["layers.0.self_attn.ssmax_scale", "no such tensor"]),
        (
            json!({}),
            &[("ssmax_scale", all), ("softmax_scaler", all)],
            &["scales under one name", "self_attn.softmax_scaler and self_attn.ssmax_scale"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax", "layers": [1, 3]}}),
            &[("ssmax_scale", &[1, 2, 3])],
            &["layers.2.self_attn.ssmax_scale", "does not follow the rule", "\"layers\": [...]"],
        ),
        (
            json!({"attention_variant": {"kind": "ssmax", "layers": [1, 3]}}),
            &[("ssmax_scale", &[1])],
            &["layers.3.self_attn.ssmax_scale", "no such tensor"],
        ),
        (json!({"scalable_softmax": true}), &[], &["scalable_softmax", "ssmax without them"]),
        (
            json!({"use_logn_attn": true, "attn_temperature_tuning": true}),
            &[],
            &["attn_temperature_tuning", "temperature beside logn", "take out the key"],
        ),
        (json!({"use_logn_attn": true, "seq_length": 1}), &[], &["seq_length", "found 1", "above 1"]),
        (
            json!({"attn_temperature_tuning": 4, "llama_4_scaling": {"beta": 0.1, "original_max_position_embeddings": 64}}),
            &[],
            &["attn_temperature_tuning", "Llama 4's rule beside Ministral 3's"],
        ),
        (
            json!({}),
            &[("ssmax_s", all)],
            &["layers.0.self_attn.ssmax_s", "not published", "rename the tensors"],
        ),
    ] {
        dry(keys, tensors, words);
    }
}

#[test]
fn a_scale_for_a_rule_without_one_is_refused() {
    let place = Place::new();
    for name in ["auto", "softmax", "ssmax-fixed", "logn"] {
        let ran = place.run(&format!("--dry-run --ssmax-scale 0.2 --variant {name}"));
        ran.refuses(USAGE, &["--ssmax-scale", "found 0.2", "--variant ssmax, ssmax-bias or softmax-scale"]);
    }
    place.run("--dry-run --variant temperature").refuses(USAGE, &["--variant", "without rotary positions"]);
}
