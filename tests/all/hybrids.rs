//! A decoder whose layers keep a state in place of keys, or keys in every second layer alone: a run on it
//! through the binary, and its cache.

use crate::common;

use std::fs;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::variant::{OwnVariant, VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::generate::{Completion, DecoderModel, LanguageModel, Request};
use niah::model::decoder::{Decoder, Forward};
use niah::model::kv_cache::{KvCache, MARKS};
use niah::spec::Dtype;

/// The golden Qwen 3.5, whose layers 1 and 3 attend, with a tokenizer of single bytes.
fn hybrid() -> Bench {
    let bench = Bench::new();
    for file in ["config.json", "model.safetensors"] {
        let from = common::fixture("vectors/qwen3_5").join(file);
        fs::write(bench.path("tiny").join(file), fs::read(from).unwrap()).unwrap();
    }
    bench
}

fn decoder() -> Decoder {
    let folder = common::fixture("vectors/qwen3_5").display().to_string();
    let checkpoint = Checkpoint::open(&folder, RopeOverride::default()).unwrap();
    checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap()
}

fn variant(decoder: &Decoder) -> Box<dyn niah::attention::AttentionVariant> {
    let spec = decoder.spec();
    let own = OwnVariant::softmax(spec.num_hidden_layers);
    let inputs = VariantInputs {
        layers: &spec.layers,
        heads: spec.num_attention_heads,
        own: Some(&own),
        ..VariantInputs::default()
    };
    (niah::registry::find("variant", VARIANTS, "softmax").unwrap().value)(&inputs).unwrap()
}

/// Tokens that no rule repeats.
fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|i| (i * i * 7 + i * 13 + i / 5) % 256).collect()
}

#[test]
fn a_grid_on_a_hybrid_has_attention_where_layers_attend_and_goes_on_where_it_stopped() {
    let bench = hybrid();
    bench.grid(&["-o", "whole"]);
    bench.grid(&["-o", "stopped", "--limit", "5"]);
    assert_eq!(bench.outcomes("stopped").len(), 5);
    bench.grid(&["-o", "stopped"]);
    let [whole, stopped] = ["whole", "stopped"].map(|run| {
        let mut rows = bench.outcomes(run);
        rows.sort_by(|a, b| a.row_id.cmp(&b.row_id));
        rows
    });
    assert_eq!((whole.len(), stopped.len()), (common::grid::TRIALS, common::grid::TRIALS));
    for (whole, stopped) in whole.iter().zip(&stopped) {
        assert_eq!((&whole.row_id, &whole.model_response), (&stopped.row_id, &stopped.model_response));
        let off = (whole.answer_logprob.unwrap() - stopped.answer_logprob.unwrap()).abs();
        assert!(off < 1e-3, "{}: off by {off}", whole.row_id);
    }
    let rows = bench.attention("whole");
    assert_eq!(rows.len(), common::grid::TRIALS * 2 * 4);
    assert!(rows.iter().all(|row| [1, 3].contains(&row.layer) && row.needle_mass > 0.0));
    for row in &rows {
        let (gate, gated) = (row.output_gate.unwrap(), row.gated_needle_mass.unwrap());
        assert!(gate > 0.0 && gate < 1.0, "{gate}");
        assert!((gated - gate * row.needle_mass).abs() < 1e-12, "{gated}");
    }
    let gates =
        |head: usize| rows.iter().filter(move |row| row.head == head).map(|row| row.output_gate.unwrap());
    assert!(gates(0).zip(gates(1)).any(|(a, b)| a != b), "heads have gates of their own");
}

#[test]
fn a_decoder_without_output_gates_has_no_gated_mass() {
    let bench = Bench::new();
    bench.grid(&["-o", "plain", "--limit", "1"]);
    let rows = bench.attention("plain");
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row.output_gate.is_none() && row.gated_needle_mass.is_none()));
}

#[test]
fn a_rule_is_of_the_layers_that_attend_and_a_head_is_one_of_theirs() {
    let bench = hybrid();
    let said = bench.stdout(&["inspect", "tiny", "--width", "200"]);
    let swap = said.lines().find(|line| line.starts_with("swap")).unwrap();
    assert!(swap.contains("zero-shot swap") && !swap.contains("on layers"), "{swap}");
    fs::write(bench.path("text.txt"), "The pass key is 4321. Remember it.").unwrap();
    let attend = |head: &str| {
        let asked = ["--text", "text.txt", "--query", "Which one?", "--needle", "4321", "--head", head];
        bench.output(&[&["attend", "--model", "tiny"], &asked[..]].concat())
    };
    assert_eq!(attend("1.2").status.code(), Some(0));
    let refused = attend("2.1");
    let said = common::bench::stderr(&refused);
    assert!(refused.status.code() == Some(2) && said.contains("a layer that attends: 1, 3"), "{said}");
}

/// Scales that a checkpoint learned are of its layers that attend; the expected logits are those of the
/// reference with the same scales.
#[test]
fn scales_of_a_hybrid_run_as_its_own_rule() {
    let bench = hybrid();
    let expected = common::fixture("vectors/qwen3_5/expected.safetensors");
    let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
    let path = bench.path("tiny/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    for (row, layer) in [1, 3].into_iter().enumerate() {
        let scale = expected["ssmax_scale"].get(row).unwrap();
        tensors.insert(format!("model.layers.{layer}.self_attn.ssmax_scale"), scale);
    }
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let config = bench.text("tiny/config.json").replacen('{', "{\"scalable_softmax\": true,", 1);
    fs::write(bench.path("tiny/config.json"), config).unwrap();

    let name = bench.path("tiny").display().to_string();
    let checkpoint = Checkpoint::open(&name, RopeOverride::default()).unwrap();
    let own = checkpoint.own_variant.clone();
    let scaled: Vec<bool> = own.scales.as_ref().unwrap().iter().map(Option::is_some).collect();
    assert_eq!((own.name, scaled), ("ssmax", vec![false, true, false, true]));
    let decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let inputs = VariantInputs {
        layers: &decoder.spec().layers,
        heads: decoder.spec().num_attention_heads,
        own: Some(&own),
        ..VariantInputs::default()
    };
    let ssmax = (niah::registry::find("variant", VARIANTS, "ssmax").unwrap().value)(&inputs).unwrap();
    let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
    let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
    let forward = Forward { variant: ssmax.as_ref(), keep_logits: ids.len(), probe: None };
    let found = decoder.forward(&ids, &mut decoder.new_cache(ids.len()), forward).unwrap();
    let off = (found - expected["ssmax_logits"].squeeze(0).unwrap()).unwrap().abs().unwrap();
    let off = off.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(off < 5e-4, "off by {off}");
}

#[test]
fn keys_of_the_hubs_files_are_known_and_other_gates_refused() {
    let bench = hybrid();
    let config = bench.text("tiny/config.json");
    let with = |keys: &str| {
        let more = config.replacen('{', &format!("{{{keys},"), 1);
        fs::write(bench.path("tiny/config.json"), more).unwrap();
        bench.output(&["inspect", "tiny"])
    };
    let published = "\"attn_output_gate\": true, \"output_gate_type\": \"swish\", \"mamba_ssm_dtype\": \"float32\", \
                     \"mtp_num_hidden_layers\": 1, \"full_attention_interval\": 4";
    let page = String::from_utf8(with(published).stdout).unwrap();
    assert!(page.contains("Gated DeltaNet") && !page.contains("warning"), "{page}");
    for (keys, word) in [
        ("\"attn_output_gate\": false", "attn_output_gate: found false"),
        ("\"output_gate_type\": \"sigmoid\"", "output_gate_type: found sigmoid"),
    ] {
        let refused = with(keys);
        let said = common::bench::stderr(&refused);
        assert!(refused.status.code() == Some(2) && said.contains(word), "{said}");
    }
}

#[test]
fn inspect_names_the_kinds_of_layers_and_what_states_take() {
    let bench = hybrid();
    let page = bench.stdout(&["inspect", "tiny", "--width", "200", "--context-lengths", "1k,4k"]);
    for part in [
        "2 (0, 2): Gated DeltaNet, 4 heads on 2 of keys with states 8 x 12, convolution over 4, decay by head, \
         silu gate; no rows of attention",
        "2 (1, 3): full attention, rotary theta 100000",
        "output gate of attention by coordinate",
        // Two layers of 4 x 8 x 12 numbers and 3 rows of 80.
        "4.9 KiB in 2 of 4 layers, whatever the length",
        "working set",
        "states",
    ] {
        assert!(page.contains(part), "no {part:?} in\n{page}");
    }
}

#[test]
fn a_cache_with_states_goes_back_to_its_marks() {
    let decoder = decoder();
    let (variant, tokens) = (variant(&decoder), tokens(90));
    let run = |cache: &mut KvCache, tokens: &[u32]| {
        let forward = Forward { variant: variant.as_ref(), keep_logits: 1, probe: None };
        decoder.forward(tokens, cache, forward).unwrap().to_vec2::<f32>().unwrap().remove(0)
    };
    let fresh = |len: usize| run(&mut decoder.new_cache(90), &tokens[..len]);
    let same = |found: &[f32], expected: &[f32]| {
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 1e-4, "off by {off}");
    };
    let mut cache = decoder.new_cache(90);
    for part in [0..20, 20..40, 40..60] {
        run(&mut cache, &tokens[part]);
        cache.mark();
    }
    run(&mut cache, &tokens[60..70]);
    assert_eq!((cache.truncate(75), cache.truncate(70), cache.truncate(59)), (70, 70, 40));
    same(&run(&mut cache, &tokens[40..65]), &fresh(65));
    // The mark at 60 stood behind tokens that are no longer there.
    assert_eq!((cache.truncate(62), cache.truncate(40), cache.truncate(19)), (40, 40, 0));
    same(&run(&mut cache, &tokens[..30]), &fresh(30));

    for place in 31..=31 + MARKS {
        run(&mut cache, &tokens[place - 1..place]);
        cache.mark();
    }
    assert_eq!(cache.truncate(32), 32, "the latest marks are kept");
    assert_eq!(cache.truncate(31), 0, "and the first one is not");
}

#[test]
fn what_a_hybrid_shares_and_where_it_goes_back_changes_no_answer() {
    let prompts: [Vec<u32>; 3] = {
        let text = tokens(70);
        let with = |place: usize, end: &[u32]| [&text[..place], &[9, 8, 7], &text[place..], end].concat();
        [with(20, &[1, 2]), with(35, &[1, 2]), with(50, &[3, 2, 1])]
    };
    let ask = |model: &mut DecoderModel, prompt: &[u32], answer: &[u32], forks: &[usize]| -> Completion {
        let request = Request {
            tokens: prompt,
            thinking: None,
            answer,
            max_new_tokens: 5,
            end_tokens: &[],
            spans: &[vec![20..23]],
            items: &[],
            chosen_head: None,
            forks,
            ..Request::default()
        };
        model.complete(request, &mut |_| true).unwrap()
    };
    let model = |chunk| {
        let decoder = decoder();
        let variant = variant(&decoder);
        DecoderModel::new(decoder, variant, chunk)
    };
    let alone = |prompt: &[u32], answer: &[u32]| ask(&mut model(100), prompt, answer, &[]);
    let expected = alone(&prompts[0], &[]).tokens;
    let other = [&expected[..2], &[(expected[2] + 1) % 256, 3]].concat();
    for answer in [&expected[..], &expected[..1], &other, &[]] {
        let mut sharing = model(16).sharing_prefixes(100);
        for (number, prompt) in prompts.iter().chain(&prompts).enumerate() {
            let forks = [15 * (number % 3) + 12, prompt.len() - 6];
            let found = ask(&mut sharing, prompt, answer, &forks);
            let expected = alone(prompt, answer);
            assert_eq!(found.tokens, expected.tokens, "prompt {number}");
            for (a, b) in found.answer_logprobs.iter().zip(&expected.answer_logprobs) {
                assert!((a - b).abs() < 1e-3, "prompt {number}: {a}, not {b}");
            }
            for (a, b) in found.attention.heads.iter().zip(&expected.attention.heads) {
                assert!((a.first.span_mass[0] - b.first.span_mass[0]).abs() < 1e-4, "prompt {number}");
            }
        }
    }
    // The second prompt goes on where the first left the text, and not at its beginning.
    let mut sharing = model(16).sharing_prefixes(100);
    ask(&mut sharing, &prompts[0], &[], &[18]);
    let mut first_told = None;
    let request = Request {
        tokens: &prompts[1],
        thinking: None,
        answer: &[],
        max_new_tokens: 1,
        end_tokens: &[],
        spans: &[],
        items: &[],
        chosen_head: None,
        forks: &[33],
        ..Request::default()
    };
    sharing.complete(request, &mut |tokens| *first_told.get_or_insert(tokens) == 18).unwrap();
}
