//! `niah bench` through the binary, and what its numbers are made of.

use crate::common;

use std::time::Instant;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::model::Spent;
use niah::model::decoder::{Decoder, Forward};
use niah::report::speed::LengthSpeed;
use niah::spec::{Dtype, Window};
use niah::store::bench::read_speeds;
use niah::store::csv;
use niah::trial::Outcome;
use serde_json::Value;

/// `niah bench` of the checkpoint with these.
fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["bench", "--model", "tiny"], more].concat()
}

#[test]
fn csv_has_a_row_a_length_with_speeds_and_shares() {
    let bench = Bench::new();
    for dtype in ["f32", "bf16"] {
        let asked =
            ["--context-lengths", "300,100,300", "--repeats", "2", "--max-new-tokens", "3", "--dtype", dtype];
        let csv = bench.stdout(&arguments(&[&asked[..], &["--output-format", "csv"]].concat()));
        let mut lines = csv.lines();
        assert_eq!(
            lines.next(),
            Some(
                "context_length,prefill_tokens_per_second,decode_tokens_per_second,attention_share,gemm_peak_share,\
                 roof_share,bandwidth_share,peak_memory_mib"
            )
        );
        for length in ["100", "300"] {
            let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
            assert_eq!((fields.len(), fields[0]), (8, length), "{csv}");
            let number = |index: usize| fields[index].parse::<f64>().unwrap();
            assert!(number(1) > 0.0 && number(2) > 0.0, "{csv}");
            assert!(number(3) > 0.0 && number(3) < 1.0 && number(4) > 0.0, "{csv}");
            assert!(number(5) > 0.0 && number(6) > 0.0, "{csv}");
            assert!(fields[7].is_empty() || number(7) > 1.0, "{csv}");
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn what_was_measured_is_kept_and_can_be_read_again() {
    let bench = Bench::new();
    let asked = ["--context-lengths", "100,60", "--repeats", "2", "--max-new-tokens", "1", "-o", "kept"];
    let printed = bench.stdout(&arguments(&[&asked[..], &["--output-format", "json"]].concat()));
    let kept = read_speeds(&bench.path("kept")).unwrap();
    let mut printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(kept, serde_json::from_value::<Vec<LengthSpeed>>(printed["rows"].take()).unwrap());
    assert_eq!(kept.iter().map(|length| length.context_length).collect::<Vec<_>>(), [60, 100]);
    bench.refused(&arguments(&["--context-lengths", "60", "-o", "tiny/config.json"]), &["tiny/config.json"]);
}

#[test]
fn the_work_of_a_decoder_can_be_counted_by_hand() {
    let bench = Bench::new();
    let mut spec =
        Checkpoint::open(bench.path("tiny").to_str().unwrap(), RopeOverride::default()).unwrap().spec;
    let layers = spec.layers.len();
    let widths = spec.num_attention_heads * 2 * spec.head_dim;
    let (linear, head) = (spec.linear_weights_per_token(), spec.vocab_size * spec.hidden_size);
    // Rows of 4 tokens see 1 + 2 + 3 + 4 keys.
    let operations = |keys: usize| Some((2 * (4 * linear + head + layers * keys * widths)) as f64);
    assert_eq!(spec.prompt_operations(4), operations(10));
    let (parameters, key) = (spec.parameter_count(), spec.cache_bytes_per_token());
    let table = if spec.tie_word_embeddings { 0 } else { head };
    let bytes = spec.token_bytes(4, 2 * parameters, 5 * key);
    assert_eq!(bytes, Some((2 * (parameters - table) + 5 * key) as f64));
    for layer in &mut spec.layers {
        layer.window = Window::Sliding(2);
    }
    // 1 + 2 + 2 + 2 keys; a token more reads two.
    assert_eq!(spec.prompt_operations(4), operations(7));
    assert_eq!(spec.token_bytes(4, 0, 5 * key), Some((2 * key) as f64));
    spec.layers[0].differential = Some(0.5);
    assert_eq!((spec.prompt_operations(4), spec.token_bytes(4, 1, 1)), (None, None));
}

#[test]
fn peak_memory_can_be_left_out() {
    let bench = Bench::new();
    let asked = ["--context-lengths", "60,100", "--repeats", "1", "--max-new-tokens", "1"];
    let csv =
        |more: &[&str]| bench.stdout(&arguments(&[&asked[..], &["--output-format", "csv"], more].concat()));
    let without = |csv: &str| csv.lines().skip(1).map(|line| line.ends_with(',')).collect::<Vec<_>>();
    assert_eq!(without(&csv(&["--no-peak-memory"])), [true, true]);
}

#[test]
fn the_table_names_what_ran_and_lengths_end_with_the_positions() {
    let bench = Bench::new();
    let page =
        bench.stdout(&arguments(&["--repeats", "1", "--kv-dtype", "bf16", "--threads", "1", "--seed", "7"]));
    // The checkpoint has 512 positions, so of the lengths that are measured by default one is left.
    let (before, behind) = page.split_once(" (fma-").unwrap();
    assert_eq!(before, "tiny (llama), softmax, weights f32");
    assert!(behind.split_once("), cache bf16, cpu with 1 thread").is_some(), "{page}");
    assert!(page.contains("Weights are held expanded: the only form that there is."), "{page}");
    let rows: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("---")).skip(1).collect();
    assert!(rows[0].trim_start().starts_with("512 ") && rows[1].is_empty(), "{page}");
    assert!(page.contains("random tokens (seed 7)") && page.contains("Measured once"), "{page}");
}

#[test]
fn kernels_keep_to_the_instructions_that_are_asked_for_and_bench_names_them() {
    let bench = Bench::new();
    let forced = |set: &str, arguments: &[&str]| {
        let output = bench.command(arguments).env("NIAH_CPU", set).output().unwrap();
        let said = common::bench::stderr(&output);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
    };
    let run = ["run", "-m", "tiny", "--context-lengths=200", "--depths=50", "--dtype=bf16", "-o", "out"];
    let (code, _, said) = forced("scalar", &run);
    assert_eq!(code, Some(0), "{said}");
    let record: Value = serde_json::from_str(&bench.text("out/run.json")).unwrap();
    let machine = &record["machine"];
    assert_eq!((&machine["instructions"], &machine["instructions_forced"]), (&"scalar".into(), &true.into()));
    assert_eq!(record["model"]["matmul"], "plain");

    let asked = ["--context-lengths=60", "--repeats=1", "--max-new-tokens=1", "--no-peak-memory"];
    let (_, page, said) = forced("scalar", &arguments(&asked));
    assert!(page.contains("up to scalar, as NIAH_CPU says"), "{page}{said}");
    let free = bench.stdout(&arguments(&asked));
    assert!(free.contains("the processor's instructions up to ") && !free.contains("NIAH_CPU"), "{free}");
    let (code, _, said) = forced("sse9", &arguments(&asked));
    assert_eq!(code, Some(2));
    assert!(said.contains("NIAH_CPU: found sse9") && said.contains("scalar"), "{said}");
}

#[test]
fn regression_a_run_in_bf16_that_goes_on_with_other_instructions_names_both_machines() {
    let bench = Bench::new();
    let run = |directory: &str, more: &[&str], set: Option<&str>| {
        let asked = ["run", "-m=tiny", "--context-lengths=200", "--depths=50", "--max-new-tokens=2", "-o"];
        let mut command = bench.command(&[&asked[..], &[directory], more].concat());
        set.map(|set| command.env("NIAH_CPU", set));
        assert!(command.output().unwrap().status.success());
        let record: Value = serde_json::from_str(&bench.text(&format!("{directory}/run.json"))).unwrap();
        record["machine"].clone()
    };
    let bf16 = ["--dtype=bf16", "--trials=2"];
    let first = run("out", &[&bf16[..], &["--limit=1"]].concat(), None);
    if first["instructions"] == "scalar" {
        return;
    }
    // The same plan goes on, then nothing is left to run, then the plan grows.
    let then = run("out", &bf16, Some("scalar"));
    assert_eq!((&then["instructions"], &then["earlier"][0]), (&"scalar".into(), &first));
    assert_eq!(run("out", &bf16, None), then);
    let grown = run("out", &["--dtype=bf16", "--trials=3"], None);
    assert_eq!(grown["instructions"], first["instructions"]);
    assert_eq!(grown["earlier"].as_array().unwrap().len(), 2);
    // In f32 numbers are the same.
    run("f32", &["--trials=1"], None);
    let exact = run("f32", &["--trials=2"], Some("scalar"));
    assert!(exact.get("earlier").is_none() && exact["instructions"] == "scalar");
    run("cache", &["--kv-dtype=bf16", "--trials=1"], None);
    assert!(run("cache", &["--kv-dtype=bf16", "--trials=2"], Some("scalar")).get("earlier").is_some());
}

#[test]
fn answers_in_f32_are_the_same_numbers_whatever_the_instructions() {
    let bench = Bench::new();
    let asked = ["run", "-m", "tiny", "--context-lengths=200", "--depths=50", "--kv-dtype=q8_0", "-o"];
    let number = |directory: &str, set: Option<&str>| {
        let mut command = bench.command(&[&asked[..], &[directory]].concat());
        if let Some(set) = set {
            command.env("NIAH_CPU", set);
        }
        let output = command.output().unwrap();
        let said = common::bench::stderr(&output);
        let rows: Option<Vec<Outcome>> =
            output.status.success().then(|| csv::read(bench.path(directory).join("results.csv")).unwrap());
        // What the processor lacks is refused, and nothing else is.
        assert!(rows.is_some() || said.contains("that this processor has"), "{said}");
        rows.map(|rows| rows[0].answer_logprob.unwrap())
    };
    let free = number("free", None);
    assert!(free.is_some());
    for (set, always) in [("scalar", true), ("avx2", false), ("avx512", false), ("avx512-bf16", false)] {
        let forced = number(set, Some(set));
        assert!(forced == free || forced.is_none() && !always, "{set}: {forced:?}, not {free:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_said_before_the_weights_load() {
    let bench = Bench::new();
    for (more, said) in [
        (["--repeats", "0"], "--repeats: found 0"),
        (["--max-new-tokens", "0"], "--max-new-tokens: found 0"),
        (["--chunk-size", "0"], "--chunk-size: found 0"),
        (["--context-lengths", "0"], "--context-lengths: found 0"),
        (["--context-lengths", "1000000M"], "the run needs"),
        (["--output-format", "pdf"], "table, csv, json"),
        (["--kv-dtype", "int8"], "f32, bf16"),
    ] {
        bench.refused(&arguments(&more), &[said]);
    }
}

#[test]
fn the_time_spent_in_attention_and_linear_maps_is_part_of_a_forward_pass() {
    for name in ["llama", "mixtral"] {
        let folder = common::vector(name).unwrap();
        let checkpoint = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap();
        let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
        let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap();
        let variant = (softmax.value)(&VariantInputs::default()).unwrap();
        let tokens: Vec<u32> = (0..60).collect();
        let mut spent = Spent::default();
        let started = Instant::now();
        let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
        decoder.forward_timed(&tokens, &mut decoder.new_cache(60), forward, &mut spent).unwrap();
        let elapsed = started.elapsed();
        assert!(!spent.attention.is_zero() && !spent.linear.is_zero(), "{name}: {spent:?}");
        assert!(spent.attention + spent.linear <= elapsed, "{name}: {spent:?} of {elapsed:?}");
    }
}

/// Counted from the tensors that the files hold, by their names.
#[test]
fn operations_are_those_of_the_matrices_that_a_token_goes_through() {
    for (name, experts_met) in [("llama", None), ("gpt2", None), ("gemma3", None), ("mixtral", Some(2))] {
        let folder = common::vector(name).unwrap();
        let spec = Checkpoint::open(folder.to_str().unwrap(), RopeOverride::default()).unwrap().spec;
        let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let mut counted = 0;
        for (tensor, values) in &tensors {
            let of_a_block = tensor.contains("layers.") || tensor.contains("h.");
            if !of_a_block || values.rank() < 2 {
                continue;
            }
            let expert = tensor.split("experts.").nth(1);
            let number = expert.map(|rest| rest.split('.').next().unwrap().parse::<usize>());
            match (number, experts_met) {
                (Some(Ok(number)), Some(met)) if number >= met => {}
                (Some(Err(_)), Some(met)) => counted += values.elem_count() / values.dim(0).unwrap() * met,
                _ => counted += values.elem_count(),
            }
        }
        assert_eq!(spec.linear_weights_per_token(), counted, "{name}");
    }
}
