//! `niah inspect` through the binary: what it says is what the files say, whatever their size.

use crate::common;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;

use candle_core::{Device, Tensor};
use common::bench::{Bench, stderr};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::tokenizer::Tokenize;
use serde_json::{Value, json};

impl Bench {
    fn page(&self, arguments: &[&str]) -> String {
        let arguments = [&["inspect"], arguments].concat();
        let output = self.output(&arguments);
        let said = stderr(&output);
        assert!(output.status.code() == Some(0) && said.is_empty(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.page(&[arguments, &["--output-format", "json"]].concat());
        serde_json::from_str::<Value>(&text).unwrap()["ran"].take()
    }

    fn edit_config(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.path("tiny/config.json");
        let mut config = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        edit(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    fn add_weights(&self, more: impl IntoIterator<Item = (String, Tensor)>) {
        let path = self.path("tiny/model.safetensors");
        let mut tensors: HashMap<String, Tensor> =
            candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        tensors.extend(more);
        candle_core::safetensors::save(&tensors, path).unwrap();
    }
}

fn assert_lines(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|found| found == *line), "no line {line:?} in\n{page}");
    }
}

#[test]
fn a_page_says_what_a_checkpoint_is() {
    let bench = Bench::new();
    let config =
        json!({"eos_token": "~", "chat_template": "{% for m in messages %}\n{{ m.content }}{% endfor %}"});
    fs::write(bench.path("tiny/tokenizer_config.json"), config.to_string()).unwrap();
    let page = bench.page(&["tiny", "--width", "100", "--context-lengths", "1k,1m"]);
    assert_lines(
        &page,
        &[
            "model       tiny",
            "files       tiny/model.safetensors, 181 KiB",
            "tensors     safetensors: F32 x 38",
            "family      llama",
            "parameters  45,344 (32.7 bits each in the files, 177 KiB as run)",
            "sizes       hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,",
            "            num_key_value_heads=2, head_dim=8, vocab_size=256",
            "block       pre-norm, norm rms (eps 1e-6), MLP gated (silu), head tied to the embedding",
            "layers      all 4: full attention, rotary theta 10000",
            "positions   rotary on 8 of 8 coordinates, half layout",
            "scores      scale 0.3536",
            "training    512 tokens",
            "variant     softmax (m = 1)",
            "swap        --variant ssmax would be a zero-shot swap, s = 0.1906 from train length 512",
            "tokenizer   byte-level BPE, 256 tokens (2 special), no BOS; answers end with \\u{2} (2), ~ \
             (126)",
            "training length 512: longer contexts were never seen",
        ],
    );
    assert!(
        page.contains("\ntemplate    chat template of 51 characters: {% for m in messages %} ...\n"),
        "{page}"
    );
    assert!(page.is_ascii() && page.lines().all(|line| line.len() <= 100), "{page}");
    let row = page.lines().find(|line| line.trim_start().starts_with("1M ")).unwrap();
    // Keys and values of 4 layers, 2 heads of width 8, in f32: 512 bytes a token.
    assert!(row.contains(" 512 MiB "), "{row}");
}

#[test]
fn scores_that_norms_without_a_gain_bound_are_named_with_what_follows() {
    let bench = Bench::new();
    // sqrt(32) = 5.657; e^5.657 / (e^5.657 + 1023) = 0.2186, and with 16383 0.01717.
    let page = bench.page(&["shipped:softmax-capped", "--width", "100"]);
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("bound scores are at most 5.657 before any multiplier"), "{page}");
    assert!(words.contains("at most 0.2186 of 1k keys, 0.01717 of 16k"), "{page}");
    let largest = bench.json(&["shipped:softmax-capped"])["attention"]["largest_score"].as_f64().unwrap();
    assert!((largest - 32f64.sqrt()).abs() < 1e-12, "{largest}");
    assert_eq!(bench.json(&["tiny"])["attention"]["largest_score"], Value::Null);
    assert!(!bench.page(&["tiny"]).contains("bound "));
}

#[test]
fn json_holds_everything() {
    let bench = Bench::new();
    let found = bench.json(&["tiny", "--context-lengths", "512,2k"]);
    let stored = candle_core::safetensors::load(bench.path("tiny/model.safetensors"), &Device::Cpu).unwrap();
    let parameters: usize = stored.values().map(Tensor::elem_count).sum();
    assert_eq!(
        (&found["model"], &found["family"], &found["parameters"]),
        (&"tiny".into(), &"llama".into(), &parameters.into())
    );
    assert_eq!(found["file_bytes"], bench.path("tiny/model.safetensors").metadata().unwrap().len());
    assert_eq!(found["tensors"], json!({"F32": stored.len()}));
    assert_eq!((&found["spec"]["head_dim"], &found["training_length"]), (&8.into(), &512.into()));
    assert_eq!(found["spec"]["layers"].as_array().unwrap().len(), 4);
    let attention = &found["attention"];
    assert_eq!((&attention["variant"], &attention["ssmax_scale"]), (&"softmax".into(), &Value::Null));
    let tokenizer = json!({
        "kind": "byte-level BPE", "vocab_size": 256, "special_tokens": 1, "bos": null,
        "end_tokens": [{"id": 2, "text": "\u{2}"}], "chat_template": null
    });
    assert_eq!((&found["tokenizer"], &found["problems"]), (&tokenizer, &json!([])));
    let memory = found["memory"].as_array().unwrap();
    assert_eq!(memory[0]["weights"], 4 * parameters);
    // Keys and values of 4 layers, 2 heads of width 8, in f32.
    assert_eq!((&memory[0]["cache"], &memory[1]["cache"]), (&(512 * 512).into(), &(2048 * 512).into()));
    let part = |row: &Value, key: &str| row[key].as_u64().unwrap();
    for row in memory {
        assert_eq!(part(row, "total"), part(row, "weights") + part(row, "cache") + part(row, "working"));
        assert_eq!(row["fits"], true);
    }
}

#[test]
fn learned_scales_are_drawn_with_their_numbers() {
    let bench = Bench::new();
    let s = |layer: usize| [0.25, 0.5, -0.125, layer as f32];
    bench.add_weights((0..4).map(|layer| {
        (format!("model.layers.{layer}.self_attn.ssmax_scale"), Tensor::new(&s(layer), &Device::Cpu).unwrap())
    }));
    let page = bench.page(&["tiny", "--width", "80"]);
    assert_lines(
        &page,
        &[
            "variant     ssmax (s learned per layer and head, mean 0.5312, range -0.1250 to",
            "Learned scale s by layer and head",
            "layer      0         1         2         3",
            "    0   0.25 ..   0.50 ::  -0.12      0.00",
            "    3   0.25 ..   0.50 ::  -0.12      3.00 @@",
            "-0.12 [  ..::---==+++**##@@] 3.00",
        ],
    );
    assert!(!page.contains("\nswap ") && !page.contains("per cell"), "{page}");
    let found = bench.json(&["tiny"]);
    assert_eq!(found["attention"]["ssmax_scale"][2], json!([0.25, 0.5, -0.125, 2.0]));
    let painted = bench.page(&["tiny", "--color", "always"]);
    assert!(painted.contains("\x1b[48;5;"), "colours on request");
}

#[test]
fn scales_that_are_all_the_same_are_drawn_as_well() {
    let bench = Bench::new();
    let one = |layer: usize| {
        (
            format!("model.layers.{layer}.self_attn.ssmax_scale"),
            Tensor::new(&[0.43f32; 4], &Device::Cpu).unwrap(),
        )
    };
    bench.add_weights((0..4).map(one));
    let page = bench.page(&["tiny"]);
    assert!(page.contains("mean 0.4300, range 0.4300 to 0.4300"), "{page}");
    assert_eq!(page.lines().filter(|line| line.matches("0.43 ==").count() == 4).count(), 4, "{page}");
}

#[test]
fn layers_of_one_kind_stand_on_one_line() {
    let Some(folder) = common::vector("cohere2") else { return };
    let bench = Bench::new();
    let page = bench.page(&[&folder.display().to_string(), "--width", "120"]);
    assert_lines(
        &page,
        &[
            "layers      3 (0-2): sliding window 16, rotary theta 10000",
            "            1 (3): full attention, no rotary positions",
            "positions   rotary on 8 of 8 coordinates, interleaved layout",
            "scores      scale 0.3536, logits times 0.0625",
            "tokenizer   none found",
        ],
    );
}

#[test]
fn experts_are_counted_with_what_a_token_meets_and_what_weighs_them() {
    let bench = Bench::new();
    let folder = common::fixture("vectors/mixtral").display().to_string();
    let page = bench.page(&[&folder, "--width", "120"]);
    assert!(page.contains(", 2 of 4 experts of width 16 (softmax over the chosen)\n"), "{page}");
    // Two of four experts of three maps of 16 x 32, in two layers.
    let (all, met) = ("20,896", 20_896 - 2 * 2 * 3 * 16 * 32);
    assert!(page.contains(&format!("parameters  {all}, 14,752 of them for each token (")), "{page}");
    assert_eq!(met, 14_752);
    let experts = &bench.json(&[&folder])["spec"]["layers"][1]["moe"];
    assert_eq!((&experts["num_experts"], &experts["num_experts_per_tok"]), (&4.into(), &2.into()));
}

#[test]
fn a_checkpoint_without_a_usable_tokenizer_is_shown_all_the_same() {
    let bench = Bench::new();
    let file = bench.path("tiny/tokenizer.json");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..100]).unwrap();
    let page = bench.page(&["tiny", "--width", "200"]);
    assert_lines(&page, &["tokenizer   cannot be used"]);
    assert!(page.contains("problem     tiny/tokenizer.json: broken JSON"), "{page}");
    let added = r#""added_tokens":[{"id":256,"content":"extra","special":false,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}]"#;
    fs::write(&file, whole.replace(r#""added_tokens":[]"#, added)).unwrap();
    let page = bench.page(&["tiny", "--width", "200"]);
    assert!(
        page.contains("have no row in the embedding, so a text that holds one is refused: 256"),
        "{page}"
    );
    fs::write(&file, whole.replace(r#""vocab":{"#, r#""vocab":{"extra":256,"#)).unwrap();
    let page = bench.page(&["tiny", "--width", "200"]);
    assert!(page.contains("the tokenizer knows 257 tokens, but the embedding has 256 rows"), "{page}");
    fs::remove_file(&file).unwrap();
    let page = bench.page(&["tiny"]);
    assert_lines(&page, &["tokenizer   none found"]);
    assert!(!page.contains("template") && !page.contains("problem"), "{page}");
    let found = bench.json(&["tiny"]);
    assert_eq!((&found["tokenizer"], &found["problems"]), (&Value::Null, &json!([])));
}

#[test]
fn a_chat_template_that_cannot_be_parsed_is_a_problem_and_no_failure() {
    let bench = Bench::new();
    let config = json!({"chat_template": "{% for %}"});
    fs::write(bench.path("tiny/tokenizer_config.json"), config.to_string()).unwrap();
    let found = bench.json(&["tiny"]);
    assert_eq!(found["tokenizer"]["chat_template"], "{% for %}");
    assert!(found["problems"][0].as_str().unwrap().starts_with("chat template: "), "{found}");
}

#[test]
fn learned_positions_end_the_lengths_that_fit() {
    let Some(folder) = common::vector("gpt2") else { return };
    let bench = Bench::new();
    let positions =
        bench.json(&[&folder.display().to_string()])["spec"]["learned_positions"].as_u64().unwrap();
    let lengths = format!("{positions},{}", positions + 1);
    let found = bench.json(&[&folder.display().to_string(), "--context-lengths", &lengths]);
    assert_eq!((&found["memory"][0]["fits"], &found["memory"][1]["fits"]), (&true.into(), &false.into()));
    let page = bench.page(&[&folder.display().to_string()]);
    assert!(page.contains(&format!("nothing runs past {positions} tokens\n")), "{page}");
}

#[test]
fn a_gguf_file_is_read_as_well() {
    let bench = Bench::new();
    common::gguf::write(&bench.path("m.gguf"), &common::gguf::metadata());
    let page = bench.page(&["m.gguf", "--width", "100"]);
    assert_lines(&page, &["tensors     GGUF: F32 x 38", "training    512 tokens"]);
    assert!(page.contains("tokenizer   byte-level BPE, 256 tokens (0 special), no BOS"), "{page}");
    let bare: common::gguf::Metadata =
        common::gguf::metadata().into_iter().filter(|(key, _)| !key.starts_with("tokenizer.")).collect();
    common::gguf::write(&bench.path("bare.gguf"), &bare);
    assert_lines(&bench.page(&["bare.gguf"]), &["tokenizer   none found"]);
}

#[test]
fn smollm2_is_what_its_file_says() {
    let Some(file) = common::model_file("SmolLM2-135M-Instruct.Q4_1.gguf") else { return };
    let bench = Bench::new();
    let found = bench.json(&[&file.display().to_string()]);
    assert_eq!(found["tensors"], json!({"F32": 61, "Q4_1": 210, "Q8_0": 1}));
    assert_eq!((&found["parameters"], &found["training_length"]), (&134_515_008.into(), &8192.into()));
    // What is told without the merges is what the whole tokenizer says.
    let checkpoint = Checkpoint::open(&file.display().to_string(), RopeOverride::default()).unwrap();
    let whole = niah::plan::load_tokenizer(&checkpoint).unwrap();
    let named = |id: &u32| json!({"id": id, "text": whole.token_text(*id).unwrap()});
    let ends: Vec<_> = whole.eos_ids().iter().map(named).collect();
    let tokenizer = &found["tokenizer"];
    assert_eq!(tokenizer["vocab_size"], whole.vocab_size());
    assert_eq!(tokenizer["special_tokens"], whole.special_ids().len());
    assert_eq!((&tokenizer["bos"], whole.bos()), (&Value::Null, None));
    assert!(ends.len() == 2 && tokenizer["end_tokens"] == json!(ends), "{tokenizer}");
    assert!(tokenizer["chat_template"].as_str().unwrap().contains("<|im_start|>"));
}

#[test]
fn twenty_gigabytes_of_weights_are_not_read() {
    let bench = Bench::new();
    let (hidden, inner, layers, vocab) = (4096, 16384, 42, 32000);
    bench.edit_config(|config| {
        for (key, value) in [
            ("hidden_size", hidden),
            ("intermediate_size", inner),
            ("num_hidden_layers", layers),
            ("num_attention_heads", 32),
            ("num_key_value_heads", 8),
            ("head_dim", 128),
            ("vocab_size", vocab),
        ] {
            config[key] = value.into();
        }
        config["tie_word_embeddings"] = false.into();
    });
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_string(), vec![vocab, hidden]),
        ("model.norm.weight".to_string(), vec![hidden]),
        ("lm_head.weight".to_string(), vec![vocab, hidden]),
    ];
    for layer in 0..layers {
        for (name, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![4096, hidden]),
            ("self_attn.k_proj", vec![1024, hidden]),
            ("self_attn.v_proj", vec![1024, hidden]),
            ("self_attn.o_proj", vec![hidden, 4096]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let (mut header, mut start) = (serde_json::Map::new(), 0u64);
    for (name, shape) in &shapes {
        let end = start + 2 * shape.iter().map(|&size| size as u64).product::<u64>();
        header.insert(name.clone(), json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}));
        start = end;
    }
    let header = Value::Object(header).to_string();
    let mut file = File::create(bench.path("tiny/model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    // A hole: it takes no room on the disk.
    file.set_len(8 + header.len() as u64 + start).unwrap();
    assert!(start > 20_000_000_000, "{start}");
    let found = bench.json(&["tiny"]);
    assert_eq!(found["parameters"], start / 2);
    assert_eq!(found["tensors"], json!({"BF16": shapes.len()}));
    assert!(bench.page(&["tiny"]).contains("GiB"));
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let bench = Bench::new();
    fs::write(bench.path("text.gguf"), "text").unwrap();
    for (arguments, word) in [
        (&["nowhere"][..], "nowhere"),
        (&["text.gguf"], "not a GGUF file"),
        (&["tiny", "--output-format", "xml"], "known: table, csv, json"),
        (&["tiny", "--context-lengths", "0"], "--context-lengths"),
        (&["tiny", "--context-lengths", "4x"], "4k (4096)"),
    ] {
        bench.refused(&[&["inspect"], arguments].concat(), &[word]);
    }
    bench.edit_config(|config| config["model_type"] = "mystery".into());
    bench.refused(&["inspect", "tiny"], &["one of the known families"]);
}
