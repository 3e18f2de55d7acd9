//! What is no checkpoint, or has a config.json or a tokenizer that cannot be.
use std::fs;

use serde_json::{Value, json};

use super::common;
use super::{DOWNLOAD, Place, USAGE};

#[test]
fn what_is_no_checkpoint_is_refused() {
    let place = Place::new();
    let run = |model: &str| place.niah(&format!("run -m {model} --dry-run"));
    fs::create_dir(place.path("empty")).unwrap();
    for (name, content) in [
        ("empty.gguf", ""),
        ("empty.bin", ""),
        ("notes.txt", "hello"),
        ("lfs.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("wrong.gguf", "GGML and more"),
        ("other.safetensors", "x"),
    ] {
        place.write(name, content);
    }
    fs::copy(place.path("other.safetensors"), place.path("model/other.safetensors")).unwrap();
    for (model, words) in [
        ("gone", &["gone", "no such file or directory", "hub id"][..]),
        ("/gone/model", &["/gone/model", "no such file or directory"]),
        ("gone/model", &["gone/model", "no such file or directory", "config.json", "HF_HUB_OFFLINE"]),
        ("a/b/../../c.gguf", &["no such file or directory"]),
        ("empty", &["config.json", "not found", "tokenizer.json and weights"]),
        ("empty.gguf", &["empty.gguf", "empty", DOWNLOAD]),
        ("lfs.gguf", &["lfs.gguf", "git lfs pull"]),
        ("wrong.gguf", &["wrong.gguf", "not a GGUF file"]),
        ("empty.bin", &["empty.bin", "pickles", "safe_serialization"]),
        ("notes.txt", &["notes.txt", "not a checkpoint", ".gguf", "config.json"]),
        ("model/other.safetensors", &["other.safetensors", "rename it to model.safetensors"]),
    ] {
        run(model).refuses(USAGE, words);
    }
    run("model/model.safetensors").works(&[]);
}

#[test]
fn a_broken_config_json_is_refused_with_key_and_expectation() {
    let place = Place::new();
    let dry = |words: &[&str]| place.run("--dry-run").refuses(USAGE, words);
    let original = fs::read(place.path("model/config.json")).unwrap();
    for (content, words) in [
        ("", &["config.json", "broken JSON", DOWNLOAD][..]),
        ("{\"model_type\": \"llama\"", &["config.json", "broken JSON", "line 1"]),
        ("[1, 2]", &["config.json", "expected a JSON object"]),
        ("{}", &["config.json", "model_type", "found nothing", "expected a string"]),
        ("\u{1b}[2J", &["config.json", "broken JSON"]),
    ] {
        place.write("model/config.json", content);
        dry(words);
    }
    let size = "a whole number from 1 to 2^31";
    for (key, value, words) in [
        (
            "model_type",
            json!("mystery\n\u{1b}[2J"),
            &["config.json: model_type", r#""mystery\n"#, "known families: llama"][..],
        ),
        ("model_type", json!(7), &["model_type", "found 7", "expected a string"]),
        ("hidden_size", Value::Null, &["hidden_size", "found nothing", size]),
        ("hidden_size", json!("32"), &["hidden_size", "found \"32\"", size]),
        ("hidden_size", json!(-32), &["hidden_size", "found -32", size]),
        ("hidden_size", json!(32.5), &["hidden_size", size]),
        ("hidden_size", json!(1e300), &["hidden_size", size]),
        ("hidden_size", json!(u64::MAX), &["hidden_size", size]),
        ("hidden_size", json!(1_000_000_000), &["embed_tokens.weight", "[256, 1000000000]", "[256, 32]"]),
        ("hidden_size", json!(16), &["embed_tokens.weight", "shape [256, 16]", "shape [256, 32]", DOWNLOAD]),
        ("vocab_size", json!(2_000_000_000), &["embed_tokens.weight", "[2000000000, 32]"]),
        ("num_hidden_layers", json!(1_000_000_000), &["num_hidden_layers", "at most 4096"]),
        ("num_hidden_layers", json!(5), &["model.layers.4.", "no such tensor", DOWNLOAD]),
        ("num_hidden_layers", json!(0), &["num_hidden_layers", "found 0", size]),
        ("intermediate_size", json!(2_147_483_648u64), &["mlp.gate_proj", "[2147483648, 32]"]),
        ("num_attention_heads", json!(0), &["num_attention_heads", "found 0", size]),
        (
            "num_attention_heads",
            json!(3),
            &["num_key_value_heads", "found 2", "a divisor of num_attention_heads = 3"],
        ),
        ("num_attention_heads", json!(2_000_000_000), &["self_attn.q_proj.weight", "16000000000"]),
        ("num_key_value_heads", json!(3), &["num_key_value_heads", "found 3", "a divisor"]),
        ("head_dim", json!(7), &["head_dim", "found 7", "even"]),
        ("head_dim", json!(2_147_483_648u64), &["self_attn.q_proj.weight", "8589934592"]),
        ("rms_norm_eps", json!(-1), &["rms_norm_eps", "found -1", "a number above 0"]),
        ("hidden_act", json!("swoosh"), &["hidden_act", "found swoosh", "one of silu, swish, gelu"]),
        ("attention_bias", json!("yes"), &["attention_bias", "true or false"]),
        ("attention_bias", json!(true), &["q_proj.bias", "no such tensor"]),
        ("rope_parameters", json!([]), &["rope_parameters", "an object"]),
        ("rope_parameters", json!({"rope_theta": 0}), &["rope_parameters.rope_theta", "found 0", "above 0"]),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "spiral"}),
            &["found spiral", "default, linear, dynamic, llama3, longrope, proportional or yarn"],
        ),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "linear", "factor": 0}),
            &["rope_parameters.factor", "found 0"],
        ),
        (
            "rope_parameters",
            json!({"rope_theta": 1e4, "rope_type": "llama3", "factor": 8}),
            &["low_freq_factor", "found nothing"],
        ),
        (
            "attention_variant",
            json!({"kind": "mystery"}),
            &["config.json", "attention_variant.kind", "mystery", "ssmax-bias"],
        ),
        ("attention_variant", json!("ssmax"), &["attention_variant", "an object"]),
        (
            "attention_variant",
            json!({"kind": "ssmax"}),
            &["attention_variant", "ssmax without them", "self_attn.ssmax_scale"],
        ),
        ("use_ssmax", json!(true), &["ssmax without them", "self_attn.ssmax_scale"]),
        (
            "attention_variant",
            json!({"kind": "logn", "layers": [0, 4]}),
            &["attention_variant.layers", "layer numbers from 0 to 3"],
        ),
        ("use_logn_attn", json!("yes"), &["use_logn_attn", "true or false"]),
        ("attn_temperature_tuning", json!("high"), &["attn_temperature_tuning", "true or false"]),
        ("llama_4_scaling_beta", json!(0.1), &["original_max_position_embeddings", "found nothing"]),
        ("llama_4_scaling", json!({"beta": "much"}), &["llama_4_scaling.beta", "a number"]),
        (
            "sparse_indexer_softmax_variant",
            json!("ssmax"),
            &[
                "sparse_indexer_softmax_variant",
                "not published",
                "rename the tensors to self_attn.ssmax_scale",
            ],
        ),
        (
            "sparse_config",
            json!({"sparse_indexer_softmax_variant": "ssmax"}),
            &["sparse_config.sparse_indexer_softmax_variant", "not published"],
        ),
    ] {
        place.write("model/config.json", &original);
        place.edit_json("model/config.json", |config| config[key] = value);
        dry(words);
    }
}

#[test]
fn both_generations_of_rotary_settings_are_read() {
    let place = Place::new();
    let theta = |place: &Place, edit: &dyn Fn(&mut Value)| {
        fs::copy(common::fixture("vectors/llama/config.json"), place.path("model/config.json")).unwrap();
        place.edit_json("model/config.json", |config| edit(config));
        let _ = fs::remove_dir_all(place.path("out"));
        place.run("--limit 0").works(&[]);
        let record: Value = serde_json::from_slice(&fs::read(place.path("out/run.json")).unwrap()).unwrap();
        record["model"]["spec"]["layers"][0]["rope"].clone()
    };
    let new = theta(&place, &|config| {
        config["rope_parameters"] = json!({"rope_theta": 500.0, "rope_type": "linear", "factor": 2});
    });
    let old = theta(&place, &|config| {
        config["rope_parameters"] = Value::Null;
        config["rope_theta"] = json!(500.0);
        config["rope_scaling"] = json!({"type": "linear", "factor": 2.0});
    });
    assert_eq!(new["theta"], 500.0);
    assert_eq!(new, old);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let place = Place::new();
    let file = "model/tokenizer.json";
    let original = fs::read(place.path(file)).unwrap();
    fs::remove_file(place.path(file)).unwrap();
    place.run("--dry-run").refuses(USAGE, &[file, "missing", "save_pretrained"]);
    for (content, words) in [
        ("", &[file, "broken JSON", DOWNLOAD][..]),
        ("{\"model\": ", &[file, "broken JSON", DOWNLOAD]),
        ("{}", &[file, "not a tokenizer"]),
        ("[]", &[file, "not a tokenizer"]),
    ] {
        place.write(file, content);
        place.run("--dry-run").refuses(USAGE, words);
    }
    place.write(file, &original);
    place.edit_json(file, |tokenizer| tokenizer["model"]["vocab"]["more"] = json!(256));
    place.run("--dry-run").refuses(USAGE, &["model", "257 tokens", "256 rows", "tokenizer.json"]);
    place.write("text", "Some text.");
    place.niah("attend --text text --query q -m model").refuses(USAGE, &["257 tokens", "256 rows"]);
}

#[test]
fn an_added_token_without_a_row_is_refused_where_a_text_holds_it_and_nowhere_else() {
    let place = Place::new();
    place.edit_json("model/tokenizer.json", |tokenizer| {
        tokenizer["added_tokens"] = json!([{
            "id": 256, "content": "<tool>", "special": false, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false
        }]);
    });
    place.run("--dry-run").works(&["no row in the embedding", "256"]);
    let needle = "--needle <tool>:4711. --question q --answer 4711";
    place.run(&format!("--dry-run {needle}")).refuses(USAGE, &["<tool>", "token 256", "256 rows"]);
}

#[test]
fn merges_are_not_dropped_at_random() {
    let place = Place::new();
    place.edit_json("model/tokenizer.json", |tokenizer| tokenizer["model"]["dropout"] = json!(0.5));
    place.run("--dry-run").works(&["drops merges at random", "they are all used here"]);
}

#[test]
fn a_template_that_shows_nothing_says_what_helps() {
    let place = Place::new();
    place.write("model/chat_template.jinja", "{{ 'nothing' }}");
    place.run("--dry-run").refuses(USAGE, &["0 times", "chat_template.jinja", "--apply-chat-template=never"]);
    place.run("--dry-run --apply-chat-template=never").works(&[]);
    place.write("text", "Some text.");
    place
        .niah("attend --text text --query q -m model")
        .refuses(USAGE, &["leaves out", "chat_template.jinja"]);
}
