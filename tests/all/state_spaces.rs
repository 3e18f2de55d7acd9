//! Families with state spaces, short convolutions and other recurrences: what their states are when a cache
//! goes back, a run on a decoder that never attends, and what is told of their layers.

use crate::common;

use std::fs;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::variant::{OwnVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::decoder::{Decoder, Forward};
use niah::model::kv_cache::KvCache;
use niah::spec::Dtype;

const FAMILIES: &[&str] = &[
    "lfm2",
    "lfm3",
    "granitemoehybrid_moe",
    "mamba",
    "mamba2",
    "bamba",
    "falcon_h1",
    "nemotron_h",
    "jamba",
    "recurrent_gemma",
    "rwkv",
];

/// A golden checkpoint in a place of its own, with a tokenizer of single bytes.
fn bench_of(vector: &str) -> Option<Bench> {
    let folder = common::vector(vector)?;
    let bench = Bench::new();
    for file in ["config.json", "model.safetensors"] {
        fs::write(bench.path("tiny").join(file), fs::read(folder.join(file)).unwrap()).unwrap();
    }
    Some(bench)
}

fn softmax(decoder: &Decoder) -> Box<dyn niah::attention::AttentionVariant> {
    let own = OwnVariant::softmax(decoder.spec().num_hidden_layers);
    let variant = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
    (variant.value)(&VariantInputs {
        layers: &decoder.spec().layers,
        heads: decoder.spec().num_attention_heads,
        own: Some(&own),
        ..VariantInputs::default()
    })
    .unwrap()
}

#[test]
fn every_family_goes_on_from_a_mark_as_if_nothing_had_come_between() {
    for folder in FAMILIES.iter().filter_map(|name| common::vector(name)) {
        let checkpoint = Checkpoint::open(&folder.display().to_string(), RopeOverride::default()).unwrap();
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let variant = softmax(&decoder);
        let run = |cache: &mut KvCache, tokens: &[u32]| {
            let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
            decoder.forward(tokens, cache, forward).unwrap().to_vec2::<f32>().unwrap().remove(0)
        };
        // More than two chunks of a scan, and numbers that no rule repeats.
        let tokens: Vec<u32> = (0..150).map(|i| (i * i * 7 + i * 13 + i / 5) % 256).collect();
        let fresh = run(&mut decoder.new_cache(150), &tokens[..140]);
        let mut cache = decoder.new_cache(150);
        for part in [0..1, 1..33, 33..100] {
            run(&mut cache, &tokens[part]);
            cache.mark();
        }
        run(&mut cache, &[1, 2, 3]);
        assert_eq!(cache.truncate(100), 100);
        let again = run(&mut cache, &tokens[100..140]);
        assert_eq!(cache.truncate(60), 33);
        for found in [again, run(&mut cache, &tokens[33..140])] {
            let off = found.iter().zip(&fresh).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 5e-4, "{}: off by {off}", folder.display());
        }
    }
}

/// In bf16 a chunk goes through a layer in blocks of 128 rows, which a state must meet in their order.
#[test]
fn rounded_weights_give_nearly_the_same_in_chunks_of_any_size() {
    for folder in ["mamba2", "falcon_h1", "rwkv"].iter().filter_map(|name| common::vector(name)) {
        let checkpoint = Checkpoint::open(&folder.display().to_string(), RopeOverride::default()).unwrap();
        let tokens: Vec<u32> = (0..300).map(|i| (i * i * 7 + i * 13 + i / 5) % 256).collect();
        let run = |dtype: Dtype, chunk: usize| {
            let decoder = checkpoint.load(&Device::Cpu, dtype, Decoder::load).unwrap();
            let variant = softmax(&decoder);
            let mut cache = decoder.new_cache(300);
            let mut last = Vec::new();
            for part in tokens.chunks(chunk) {
                let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
                last =
                    decoder.forward(part, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap().remove(0);
            }
            last
        };
        let exact = run(Dtype::F32, 300);
        for chunk in [300, 100] {
            let rounded = run(Dtype::Bf16, chunk);
            let off = rounded.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 0.15, "{} in chunks of {chunk}: off by {off}", folder.display());
        }
    }
}

#[test]
fn a_grid_on_a_decoder_that_never_attends_has_answers_and_no_rows_of_attention() {
    let Some(bench) = bench_of("mamba") else { return };
    let page = bench.grid(&["-o", "run"]);
    assert_eq!(bench.outcomes("run").len(), common::grid::TRIALS);
    assert!(bench.attention("run").is_empty(), "{page:?}");
}

#[test]
fn regression_the_attention_of_a_decoder_that_never_attends_is_refused_before_anything_is_computed() {
    let none = &["there is no attention to show: no layer of this checkpoint attends"];
    for bench in ["mamba", "mamba2", "rwkv"].iter().filter_map(|vector| bench_of(vector)) {
        fs::write(bench.path("note.txt"), "A short note.").unwrap();
        bench.refused(&["attend", "tiny", "--text=note.txt", "--query=Who?"], none);
        let rows = ["logits", "tiny", "--ids=1,2", "--attentions=all", "-o=logits"];
        bench.refused(&rows, &["--attentions: found rows", "no layer of this checkpoint attends"]);
        let grid = ["--context-lengths=200", "--depths=50", "--trials=1"];
        for variants in [&[][..], &["--variants=softmax"], &["--variants=ssmax,softmax"]] {
            bench.refused(&[&["fade", "tiny"], &grid[..], variants].concat(), none);
        }
        for tasks in [&[][..], &["--task=magic"], &["--task=magic", "--masking=1"]] {
            bench.refused(&[&["heads", "tiny", "-o=heads"], &grid[..], tasks].concat(), none);
        }
        bench.refused(&[&["run", "-m=tiny", "-o=heads", "--retrieval"], &grid[..]].concat(), none);
        assert!(!bench.path("heads").exists());
        bench.stdout(&[&["run", "-m=tiny", "-o=run", "--tokens"], &grid[..]].concat());
        bench.refused(&["attend", "run"], none);
    }
}

#[test]
fn regression_a_cache_of_keys_that_no_layer_keeps_is_refused() {
    let Some(bench) = bench_of("falcon_mamba") else { return };
    let run = ["run", "-m=tiny", "-o=run", "--context-lengths=200", "--depths=50"];
    for flag in ["--kv-dtype", "--k-dtype", "--v-dtype"] {
        let said = [format!("{flag}: found q4_0"), "no layer of this checkpoint attends".to_string()];
        bench.refused(&[&run[..], &[flag, "q4_0"]].concat(), &said.each_ref().map(String::as_str));
    }
    assert!(!bench.path("run").exists());
}

#[test]
fn inspect_names_the_kinds_of_layers() {
    for (vector, parts) in [
        (
            "nemotron_h",
            &[
                "2 (0, 4): Mamba-2, 4 heads in 2 groups with states 16 x 8, convolution over 4, norm behind \
                 the gate; no rows of attention",
                "2 (1, 5): no mixer",
                "2 (2, 6): full attention, no rotary positions",
            ][..],
        ),
        ("falcon_h1", &["all 2: full attention, rotary theta 1000000, beside Mamba-2, 4 heads in 2 groups"]),
        ("lfm2", &["2 (0, 2): short convolution, over 3 tokens; no rows of attention"]),
        ("jamba", &["Mamba, 64 channels with states of 8, convolution over 4"]),
        ("recurrent_gemma", &["RG-LRU, 32 channels, convolution over 4"]),
        ("rwkv", &["4 (0, 2, 4, 6): RWKV time mixing, 32 channels", "RWKV channel mixing, inner width 64"]),
    ] {
        let Some(bench) = bench_of(vector) else { return };
        let page = bench.stdout(&["inspect", "tiny", "--width", "250"]);
        for part in parts {
            assert!(page.contains(part), "no {part:?} in\n{page}");
        }
    }
}
