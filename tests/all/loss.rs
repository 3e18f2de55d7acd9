//! `niah loss`: the losses are those of the reference's logits, however the text was cut, and the command
//! writes what it says.

use crate::common;

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};
use common::bench::Bench;
use niah::attention::AttentionVariant;
use niah::attention::variant::{LayerScale, OwnVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::error::Error;
use niah::loss::losses;
use niah::model::decoder::Decoder;
use niah::spec::Dtype;
use serde_json::Value;

/// `niah loss` of the checkpoint with these.
fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["loss", "--model", "tiny"], more].concat()
}

/// The losses that a reference's logits `[1, t, vocab]` give, by log-softmax row by row in f64.
fn expected_losses(logits: &Tensor, ids: &[u32]) -> Vec<f64> {
    let rows = logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    let loss = |(row, &next): (&Vec<f32>, &u32)| {
        let sum: f64 = row.iter().map(|&z| f64::from(z).exp()).sum();
        sum.ln() - f64::from(row[next as usize])
    };
    rows.iter().zip(&ids[1..]).map(loss).collect()
}

fn variant(name: &str, checkpoint: &Checkpoint, own: &OwnVariant) -> Box<dyn AttentionVariant> {
    (niah::registry::find("variant", VARIANTS, name).unwrap().value)(&VariantInputs {
        layers: &checkpoint.spec.layers,
        heads: checkpoint.spec.num_attention_heads,
        own: Some(own),
        ..VariantInputs::default()
    })
    .unwrap()
}

#[test]
fn losses_are_those_of_the_reference_for_any_chunk_and_variant() {
    for name in ["llama", "gpt2", "gemma3", "qwen3", "smollm3"] {
        let Some(folder) = common::vector(name) else { continue };
        let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let golden: HashMap<String, Tensor> =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let ids = golden["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        let ids: Vec<u32> = ids.iter().map(|&id| u32::try_from(id).unwrap()).collect();
        for (variant_name, key) in [("softmax", "logits"), ("ssmax", "ssmax_logits")] {
            let Some(logits) = golden.get(key) else { continue };
            let scale = |scale: &Vec<f32>| Some(LayerScale { scale: scale.clone(), bias: None });
            let scales = golden.get("ssmax_scale").map(|scales| scales.to_vec2::<f32>().unwrap());
            let own = OwnVariant {
                name: variant_name,
                scales: scales.map(|scales| scales.iter().map(scale).collect()),
                ..OwnVariant::softmax(checkpoint.spec.num_hidden_layers)
            };
            let rule = variant(variant_name, &checkpoint, &own);
            let expected = expected_losses(logits, &ids);
            for chunk in [1, 7, 64] {
                let found = losses(&decoder, rule.as_ref(), &ids, chunk, &mut |_| true).unwrap();
                assert_eq!(found.len(), ids.len() - 1);
                for (position, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("{name}, {variant_name}, chunk {chunk}, row {position}");
                    assert!((found - expected).abs() < 1e-4, "{what}: {found} instead of {expected}");
                }
            }
        }
    }
}

#[test]
fn a_text_of_one_token_has_no_loss_and_a_stop_is_heard() {
    let folder = common::fixture("vectors/llama");
    let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
    let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let rule = variant("softmax", &checkpoint, &checkpoint.own_variant);
    assert!(losses(&decoder, rule.as_ref(), &[1], 8, &mut |_| true).unwrap().is_empty());
    let mut done = 0;
    let stopped = losses(&decoder, rule.as_ref(), &[1; 30], 8, &mut |tokens| {
        done += tokens;
        false
    });
    assert!(matches!(stopped, Err(Error::Interrupted)) && done == 8);
}

/// The fields of a table with a header.
fn fields(csv: &str) -> Vec<Vec<f64>> {
    let number = |field: &str| field.parse().unwrap_or(f64::NAN);
    csv.lines().skip(1).map(|line| line.split(',').map(number).collect()).collect()
}

#[test]
fn csv_has_a_row_a_bucket_and_the_chunk_changes_nothing() {
    let bench = Bench::new();
    let asked = ["--context-length", "100", "-n", "3", "--output-format", "csv"];
    let csv = bench.stdout(&arguments(&[&asked[..], &["--chunk-size", "13"]].concat()));
    let header = "position_start,position_end,n_tokens,n_texts,loss_mean,loss_ci_low,loss_ci_high";
    assert_eq!(csv.lines().next(), Some(header));
    let rows = fields(&csv);
    let ends: Vec<_> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(ends, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0]);
    assert_eq!(rows.iter().map(|row| row[2]).sum::<f64>(), 300.0);
    for row in &rows {
        assert!(row[3] == 3.0 && row[5] < row[4] && row[4] < row[6], "{csv}");
    }
    for (row, other) in rows.iter().zip(fields(&bench.stdout(&arguments(&asked)))) {
        assert!(row.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-4), "{row:?} {other:?}");
    }
    let even = bench.stdout(&arguments(&[&asked[..], &["--buckets", "4"]].concat()));
    assert_eq!(fields(&even).iter().map(|row| row[1]).collect::<Vec<_>>(), [25.0, 50.0, 75.0, 100.0]);
}

#[test]
fn the_directory_says_what_was_measured_and_texts_are_those_of_the_seed() {
    let bench = Bench::new();
    let run = |directory: &str, more: &[&str]| {
        let asked = ["--context-length", "64", "-n", "2", "-o", directory];
        let shown = bench.stdout(&arguments(&[&asked[..], more].concat()));
        let record = fs::read_to_string(bench.path(directory).join("loss.json")).unwrap();
        (
            shown,
            serde_json::from_str::<Value>(&record).unwrap(),
            fs::read_to_string(bench.path(directory).join("loss.csv")).unwrap(),
        )
    };
    let (shown, record, csv) = run("out", &[]);
    assert!(
        shown.starts_with("tiny, softmax (m = 1), 2 texts of 64 tokens from synthetic (held-out)"),
        "{shown}"
    );
    assert_eq!((&record["variant"], &record["model"]["training_length"]), (&"softmax".into(), &512.into()));
    assert_eq!(record["settings"]["split"], "held-out");
    assert!(["sha256", "kv_dtype"].iter().all(|key| record["model"][key].is_string()));
    let of_text =
        |text: usize, bucket: usize| record["texts"][text]["loss_mean_by_bucket"][bucket].as_f64().unwrap();
    let rows = fields(&csv);
    assert_eq!(rows.len(), 7);
    for (bucket, row) in rows.iter().enumerate() {
        assert!((row[4] - (of_text(0, bucket) + of_text(1, bucket)) / 2.0).abs() < 1e-12, "{csv}");
    }
    let (_, swapped, other) = run("swapped", &["--variant", "ssmax"]);
    let texts = |record: &Value| [0, 1].map(|text| record["texts"][text]["tokens_sha256"].clone());
    assert_eq!(texts(&record), texts(&swapped), "two variants read the same texts");
    assert_ne!(texts(&record)[0], texts(&record)[1]);
    assert_ne!(csv, other);
    assert!(swapped["variant_description"].as_str().unwrap().starts_with("zero-shot swap"));
    assert_ne!(texts(&record), texts(&run("seeded", &["--seed", "7"]).1));
}

#[test]
fn the_training_length_is_marked_where_it_ends() {
    let bench = Bench::new();
    let config = fs::read_to_string(bench.path("tiny/config.json")).unwrap();
    let shorter = config.replace("\"max_position_embeddings\": 512", "\"max_position_embeddings\": 32");
    fs::write(bench.path("tiny/config.json"), shorter).unwrap();
    let page = bench.stdout(&arguments(&["--context-length", "128", "-n", "1", "--ascii", "--width", "80"]));
    let first: Vec<&str> =
        page.lines().filter_map(|line| line.split_whitespace().next()).skip_while(|w| *w != "1").collect();
    assert_eq!(first[..9], ["1", "2", "3-4", "5-8", "9-16", "17-32", "trained", "33-64", "65-128"], "{page}");
    assert!(page.contains("trained to 32") && page.contains("###") && page.is_ascii(), "{page}");
    assert!(page.contains("One text has no interval"), "{page}");
}

#[test]
fn what_cannot_be_measured_is_said_before_the_weights_load() {
    let bench = Bench::new();
    fs::write(bench.path("short.txt"), "Not much is said here.").unwrap();
    fs::write(bench.path("three.txt"), "One is here.\n\nTwo is here.\n\nThree is here.").unwrap();
    for (more, said) in [
        (&["--trials", "0"][..], &["--trials: found 0"][..]),
        (&["--buckets", "0"], &["--buckets: found 0"]),
        (&["--chunk-size", "0"], &["--chunk-size: found 0"]),
        (&["--output-format", "xml"], &["table, csv, json"]),
        (&["--context-length", "1000000M"], &["the run needs", "--context-length"]),
        (
            &["--haystack", "short.txt", "--split", "all"],
            &[
                "--context-length: found 4096",
                "at most 23",
                "begins again",
                "--haystack synthetic never ends",
            ],
        ),
        (&["--haystack", "essays", "--context-length", "200k"], &["begins again", "synthetic"]),
        (&["--variant", "ssmax-bias"], &["ssmax_bias"]),
        (&["--haystack", "nowhere.txt"], &["nowhere.txt", "no such haystack"]),
    ] {
        bench.refused(&arguments(more), said);
    }
}
