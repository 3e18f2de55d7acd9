//! `niah logits` through the binary: what it writes is what the reference says, and bad input is refused
//! before it computes.

use crate::common;

use std::collections::HashMap;
use std::fs;

use candle_core::{DType, Device, Tensor};
use common::bench::{Bench, stderr};
use safetensors::SafeTensors;
use serde_json::json;

impl Bench {
    /// Runs `niah logits tiny` with these and `-o out`; what it says.
    fn logits(&self, arguments: &[&str]) -> String {
        let output = self.output(&[&["logits", "tiny", "-o", "out"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "stdout is for data");
        stderr(&output)
    }

    fn tensors(&self) -> HashMap<String, Tensor> {
        candle_core::safetensors::load(self.path("out"), &Device::Cpu).unwrap()
    }

    fn metadata(&self) -> HashMap<String, String> {
        let bytes = fs::read(self.path("out")).unwrap();
        SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap()
    }

    fn save(&self, name: &str, tensor: &str, numbers: Tensor) {
        let tensors = HashMap::from([(tensor.to_string(), numbers)]);
        candle_core::safetensors::save(&tensors, self.path(name)).unwrap();
    }
}

/// What the reference says about the tiny checkpoint.
fn reference() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(common::fixture("vectors/llama/expected.safetensors"), &Device::Cpu)
        .unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, expected: &Tensor, absolute: f32, relative: f32) {
    let (found, expected) = (numbers(found), numbers(expected));
    assert_eq!(found.len(), expected.len());
    for (index, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= absolute + relative * e.abs(), "number {index}: {f} instead of {e}");
    }
}

#[test]
fn the_file_holds_what_the_reference_says() {
    let (bench, expected) = (Bench::new(), reference());
    let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
    fs::write(bench.path("ids.json"), serde_json::to_string(&ids).unwrap()).unwrap();
    bench.save("s", "ssmax_scale", expected["ssmax_scale"].clone());
    let ssmax = ["--variant", "ssmax", "--ssmax-scales", "s"];
    for (prefix, variant, flags) in [("", "softmax", &[][..]), ("ssmax_", "ssmax", &ssmax[..])] {
        let said = bench.logits(
            &[&["--ids-file", "ids.json", "--attentions", "all", "--chunk-size", "7"], flags].concat(),
        );
        assert!(said.contains(&format!("tiny: 64 tokens, variant {variant} (")), "{said}");
        assert!(said.contains("out: logits [64, 256], attention of rows 0..64 in "), "{said}");
        let found = bench.tensors();
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found["input_ids"].dtype(), found["input_ids"].to_vec1::<i64>().unwrap()),
            (DType::I64, ids.clone())
        );
        assert_eq!(found["logits"].dims(), [64, 256]);
        assert_eq!(found["attentions"].dims(), [4, 4, 64, 64]);
        assert_close(&found["logits"], &expected[&format!("{prefix}logits")], 1e-4, 1e-4);
        assert_close(&found["attentions"], &expected[&format!("{prefix}attentions")], 1e-5, 0.0);
        let words = bench.metadata();
        assert_eq!((words["model"].as_str(), words["variant"].as_str()), ("tiny", variant));
        assert_eq!(words["niah"], env!("CARGO_PKG_VERSION"));
        assert_eq!(words["attention_rows"], "0..64");
        let weights = fs::read(bench.path("tiny/model.safetensors")).unwrap();
        assert_eq!(words["model_sha256"], niah::hash::sha256_hex(weights));
        assert_eq!(words["variant_description"].starts_with("s from s, mean "), variant == "ssmax");
    }
}

#[test]
fn a_text_has_the_tokens_of_the_checkpoint_and_its_bos() {
    let bench = Bench::new();
    let ids = |bench: &Bench| bench.tensors()["input_ids"].to_vec1::<i64>().unwrap();
    assert!(bench.logits(&["--text", "Hi -- 1"]).contains("tiny: 7 tokens, variant softmax (m = 1)"));
    assert_eq!(ids(&bench), b"Hi -- 1".map(i64::from));
    assert!(!bench.tensors().contains_key("attentions") && !bench.metadata().contains_key("attention_rows"));
    let config =
        json!({"add_bos_token": true, "bos_token": "!", "chat_template": "{{ messages[0].content }}?"});
    fs::write(bench.path("tiny/tokenizer_config.json"), config.to_string()).unwrap();
    assert!(bench.logits(&["--text", "Hi"]).contains("tiny: 3 tokens (BOS 33 in front)"));
    assert_eq!(ids(&bench), b"!Hi".map(i64::from));
    assert!(bench.logits(&["--text", "!Hi"]).contains("tiny: 3 tokens, variant"), "never two BOS");
    assert!(
        bench.logits(&["--ids", "72, 105"]).contains("tiny: 2 tokens, variant"),
        "ids are taken as they are"
    );
}

#[test]
fn rows_can_be_chosen_and_are_those_of_all() {
    let bench = Bench::new();
    let attention = |rows: &str| {
        bench.logits(&["--text", "The quick brown fox.", "--attentions", rows]);
        (bench.tensors()["attentions"].clone(), bench.metadata()["attention_rows"].clone())
    };
    let (all, _) = attention("all");
    assert_eq!(all.dims(), [4, 4, 20, 20]);
    for (rows, named, start, count) in
        [("last", "19..20", 19, 1), ("3..9", "3..9", 3, 6), ("0..20", "0..20", 0, 20)]
    {
        let (some, words) = attention(rows);
        assert_eq!((some.dims(), words.as_str()), (&[4, 4, count, 20][..], named));
        assert_eq!(numbers(&some), numbers(&all.narrow(2, start, count).unwrap().contiguous().unwrap()));
    }
    for (position, row) in all.get(2).unwrap().get(1).unwrap().to_vec2::<f32>().unwrap().iter().enumerate() {
        assert!(row[position + 1..].iter().all(|&weight| weight == 0.0), "the future of query {position}");
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn scales_are_read_in_every_dtype_and_one_scale_for_all_is_the_same() {
    let bench = Bench::new();
    let ask = ["--text", "abcdefgh", "--variant", "ssmax"];
    bench.logits(&[&ask[..], &["--ssmax-scale", "0.25"]].concat());
    let expected = numbers(&bench.tensors()["logits"]);
    let scales = (Tensor::ones((4, 4), DType::F32, &Device::Cpu).unwrap() * 0.25).unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        bench.save("s", "ssmax_scale", scales.to_dtype(dtype).unwrap());
        bench.logits(&[&ask[..], &["--ssmax-scales", "s"]].concat());
        assert_eq!(numbers(&bench.tensors()["logits"]), expected, "{dtype:?}");
    }
    bench.logits(&["--text", "abcdefgh", "--rope-theta-scale", "50"]);
    assert_eq!(bench.metadata()["rope_theta_scale"], "50");
    assert_ne!(numbers(&bench.tensors()["logits"]), expected);
}

#[test]
fn the_same_command_gives_the_same_bytes() {
    let bench = Bench::new();
    let bytes = |threads: &str| {
        bench.logits(&["--text", "Again and again.", "--attentions", "last", "--threads", threads]);
        fs::read(bench.path("out")).unwrap()
    };
    assert!(bytes("1") == bytes("1") && bytes("1") == bytes("2"));
    assert!(!bench.path("out.new").exists());
}

#[test]
fn bad_input_is_refused_with_a_reason_and_the_old_file_stays() {
    let bench = Bench::new();
    fs::write(bench.path("out"), "old").unwrap();
    for (name, content) in [
        ("cut.json", "[1, 2"),
        ("object.json", "{\"ids\": [1]}"),
        ("float.json", "[1, 2.0]"),
        ("negative.json", "[1, -2]"),
        ("words.json", "[1, \"2\"]"),
        ("nested.json", "[[1, 2]]"),
        ("huge.json", "[4294967296]"),
        ("empty.json", "[]"),
        ("outside.json", "[1, 256]"),
        ("text", "no safetensors"),
    ] {
        fs::write(bench.path(name), content).unwrap();
    }
    let ones = |shape: (usize, usize)| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    bench.save("other-name", "scales", ones((4, 4)));
    bench.save("other-shape", "ssmax_scale", ones((4, 3)));
    bench.save("whole-numbers", "ssmax_scale", ones((4, 4)).to_dtype(DType::U32).unwrap());
    bench.save("infinite", "ssmax_scale", (ones((4, 4)) / 0.0).unwrap());
    bench.save("s", "ssmax_scale", ones((4, 4)));
    let ids = ["--ids", "1,2,3"];
    let (text, file) = (["--text", "abc"], |name| ["--ids-file", name]);
    let scales = |name| ["--ids", "1", "--variant", "ssmax", "--ssmax-scales", name];
    for (arguments, words) in [
        (&[][..], &["--ids <IDS>|--ids-file <FILE>|--text <TEXT>"][..]),
        (&[&ids[..], &text].concat(), &["cannot be used with"]),
        (&["--ids", ""], &["--ids: found \"\"", "such as 1,2,3"]),
        (&["--ids", "1,-2"], &["--ids: found \"-2\"", "from 0 on"]),
        (&["--ids", "1,2.5"], &["--ids: found \"2.5\""]),
        (&["--ids", "1 2"], &["--ids: found \"1 2\""]),
        (&["--ids", "7,256"], &["--ids: found 256 (item 1)", "below 256"]),
        (&["--text", ""], &["--text: found no tokens"]),
        (&file("none.json"), &["none.json", "cannot read", "[1, 2, 3]"]),
        (&file("cut.json"), &["cut.json", "broken JSON", "[1, 2, 3]"]),
        (&file("object.json"), &["object.json", "no JSON array"]),
        (&file("float.json"), &["float.json", "item 1: found 2.0"]),
        (&file("negative.json"), &["item 1: found -2"]),
        (&file("words.json"), &["item 1: found \"2\""]),
        (&file("nested.json"), &["item 0: found [1,2]"]),
        (&file("huge.json"), &["item 0: found 4294967296"]),
        (&file("empty.json"), &["--ids-file: found no tokens", "at least one"]),
        (&file("outside.json"), &["--ids-file: found 256 (item 1)"]),
        (&[&ids[..], &["--attentions", "some"]].concat(), &["all, last, or rows A..B"]),
        (&[&ids[..], &["--attentions", "-1..2"]].concat(), &["all, last, or rows A..B"]),
        (&[&ids[..], &["--attentions", "1..4"]].concat(), &["--attentions: found 1..4", "within 0..3"]),
        (&[&ids[..], &["--attentions", "2..2"]].concat(), &["--attentions: found 2..2", "one row or more"]),
        (&[&ids[..], &["--chunk-size", "0"]].concat(), &["--chunk-size", "at least 1"]),
        (&[&ids[..], &["--variant", "sofmax"]].concat(), &["known: softmax, ssmax"]),
        (&[&ids[..], &["--rope-theta", "0"]].concat(), &["--rope-theta", "above 0"]),
        (&[&ids[..], &["--ssmax-scale", "0.2"]].concat(), &["--ssmax-scale: found 0.2", "--variant ssmax"]),
        (&[&ids[..], &["--ssmax-scales", "s"]].concat(), &["--ssmax-scales: found variant softmax"]),
        (&[&scales("s")[..], &["--ssmax-scale", "1"]].concat(), &["cannot be used with"]),
        (&scales("none"), &["none", "cannot read"]),
        (&scales("text"), &["text", "safetensors"]),
        (&scales("other-name"), &["ssmax_scale", "[4, 4]", "no such tensor among scales"]),
        (&scales("other-shape"), &["ssmax_scale", "[4, 4]", "[4, 3]"]),
        (&scales("whole-numbers"), &["ssmax_scale", "F32, F16 or BF16", "U32"]),
        (&scales("infinite"), &["ssmax_scale", "finite", "found inf"]),
        (&[&ids[..], &["-o", "nowhere/out"]].concat(), &["nowhere/out", "cannot write", "-o"]),
        (&[&ids[..], &["-o", "tiny"]].concat(), &["tiny", "cannot write", "-o"]),
    ] {
        bench.refused(&[&["logits", "tiny", "-o", "out"], arguments].concat(), words);
        assert_eq!(fs::read_to_string(bench.path("out")).unwrap(), "old", "{arguments:?}");
        assert!(!bench.path("out.new").exists(), "{arguments:?}");
    }
    bench.refused(&["logits", "nowhere", "--ids", "1", "-o", "out"], &["nowhere"]);
}

#[test]
fn what_cannot_fit_is_refused_before_anything_is_computed() {
    let bench = Bench::new();
    let ids = vec![1; 100_000];
    fs::write(bench.path("ids.json"), serde_json::to_string(&ids).unwrap()).unwrap();
    let bytes = 4usize * 4 * 4 * 100_000 * 100_000;
    bench.refused(
        &["logits", "tiny", "-o", "out", "--ids-file", "ids.json", "--attentions", "all"],
        &[&format!("100000 rows alone takes {bytes} bytes: take fewer rows")],
    );
    assert!(!bench.path("out").exists());
}
