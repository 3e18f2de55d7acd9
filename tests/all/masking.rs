//! Heads and spans that are masked: against PyTorch, against a decoder without them, and whatever the chunks,
//! the cache and the prompts before.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use candle_core::{Device, Tensor};
use niah::attention::{AttentionRows, AttentionVariant, Blocked};
use niah::generate::{Completion, DecoderModel, LanguageModel, Request};
use niah::model::decoder::{Decoder, Forward};
use niah::model::head_outputs::ReplacedHeads;
use niah::model::kv_cache::KvDtype;
use niah::plan::ModelChoice;
use niah::spec::Dtype;
use niah::store::csv;
use niah::trial::{AttentionRow, Outcome};
use serde_json::Value;

use crate::common;

/// A decoder with its own rule.
struct Opened {
    decoder: Decoder,
    variant: Box<dyn AttentionVariant>,
}

fn open(folder: &Path) -> Opened {
    let model = ModelChoice::of(folder.display().to_string()).open(&Device::Cpu).unwrap();
    let decoder = model.checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    Opened { decoder, variant: model.variant }
}

impl Opened {
    fn masked(self, replaced: ReplacedHeads) -> Self {
        Self { decoder: self.decoder.with_replaced_heads(replaced), ..self }
    }

    /// Logits of every row, `[t][vocab]`, of tokens that go through the decoder in chunks.
    fn logits(&self, tokens: &[u32], blocked: &Blocked, chunk: usize) -> Vec<Vec<f32>> {
        let mut cache = self.decoder.new_cache(tokens.len());
        cache.block(blocked.clone());
        let rows = tokens.chunks(chunk).flat_map(|chunk| {
            let forward = Forward { variant: self.variant.as_ref(), keep_logits: chunk.len(), probe: None };
            self.decoder.forward(chunk, &mut cache, forward).unwrap().to_vec2::<f32>().unwrap()
        });
        rows.collect()
    }
}

fn assert_close(found: &[Vec<f32>], expected: &[Vec<f32>], most: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() <= most + most * e.abs(), "{what}, row {row}: {f} instead of {e}");
        }
    }
}

fn furthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// What PyTorch has computed with parts of the golden llama taken away.
struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn read() -> Self {
        Self(candle_core::safetensors::load(common::fixture("masking.safetensors"), &Device::Cpu).unwrap())
    }

    fn numbers(&self, name: &str) -> Vec<usize> {
        let numbers = self.0[name].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        numbers.into_iter().map(|number| number as usize).collect()
    }

    fn tokens(&self) -> Vec<u32> {
        self.numbers("input_ids").into_iter().map(|id| id as u32).collect()
    }

    fn heads(&self) -> Vec<(usize, usize)> {
        self.numbers("heads").chunks_exact(2).map(|head| (head[0], head[1])).collect()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        self.0[name].to_vec2().unwrap()
    }
}

#[test]
fn masked_heads_and_blocked_spans_are_those_of_pytorch() {
    let (golden, folder) = (Golden::read(), common::fixture("vectors/llama"));
    let (tokens, heads) = (golden.tokens(), golden.heads());
    let none = Blocked::default();
    let model = open(&folder);
    let means =
        model.decoder.mean_outputs(std::slice::from_ref(&tokens), model.variant.as_ref(), 10).unwrap();
    let [span, layers] = ["span", "layers"].map(|name| golden.numbers(name));
    let spans = || vec![span[0]..span[1]];
    let everywhere = Blocked::new(spans(), None);
    let somewhere = Blocked::new(spans(), Some(vec![layers[0]..=layers[1]]));
    for (name, replaced, blocked) in [
        ("zero", ReplacedHeads::by_zero(&heads), &none),
        ("mean", ReplacedHeads::by_mean(&heads, 4, &means), &none),
        ("blocked", ReplacedHeads::default(), &everywhere),
        ("span_at_layers", ReplacedHeads::default(), &somewhere),
    ] {
        let model = open(&folder).masked(replaced);
        let expected = golden.rows(name);
        for chunk in [tokens.len(), 7, 1] {
            let found = model.logits(&tokens, blocked, chunk);
            assert_close(
                &found[tokens.len() - expected.len()..],
                &expected,
                1e-4,
                &format!("{name} by {chunk}"),
            );
        }
    }
}

#[test]
fn rows_of_attention_show_what_is_blocked() {
    let golden = Golden::read();
    let (tokens, span) = (golden.tokens(), golden.numbers("span"));
    let model = open(&common::fixture("vectors/llama"));
    let expected = golden.0["attentions"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let rows = expected.len() / (4 * 4 * tokens.len());
    let first = tokens.len() - rows;
    let mut kept = AttentionRows::new((0..4).collect(), 4, first..tokens.len(), tokens.len());
    let mut cache = model.decoder.new_cache(tokens.len());
    cache.block(Blocked::new(vec![span[0]..span[1]], None));
    let forward = Forward { variant: model.variant.as_ref(), keep_logits: 0, probe: Some(&mut kept) };
    model.decoder.forward(&tokens, &mut cache, forward).unwrap();
    for (at, (found, expected)) in kept.weights().iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-5, "weight {at}: {found} instead of {expected}");
    }
    let of_span = kept.weights().chunks_exact(tokens.len()).map(|row| &row[span[0]..span[1]]);
    assert!(of_span.flatten().all(|weight| *weight == 0.0));
}

/// The golden vectors that say something of their own: windows, sinks, states, latent and chosen keys, gates,
/// differences of maps, biases on scores, tiles.
const KINDS: &[&str] = &[
    "llama",
    "gemma3",
    "gpt2",
    "llama4_text",
    "ministral3",
    "qwen3_5",
    "lfm2_moe",
    "multiscreen",
    "olmo3moe",
    "phi3_longrope_short",
    "mainline_ladder",
    "bloom",
    "mpt",
    "deepseek_v3",
    "deepseek_v32",
    "gpt_oss",
    "diffllama",
    "falcon_h1",
    "gemma4_e",
];

fn kinds() -> impl Iterator<Item = (&'static str, Opened, Vec<u32>)> {
    KINDS.iter().filter_map(|name| {
        let folder = common::vector(name)?;
        let expected =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
        let ids = expected["input_ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        Some((*name, open(&folder), ids.into_iter().map(|id| id as u32).collect()))
    })
}

#[test]
fn chunks_of_any_size_see_the_same_without_a_blocked_span() {
    for (name, model, tokens) in kinds() {
        let blocked = Blocked::new(vec![3..6, 9..14], None);
        let whole = model.logits(&tokens, &blocked, tokens.len());
        for chunk in [5, 1] {
            assert_close(
                &model.logits(&tokens, &blocked, chunk),
                &whole,
                2e-4,
                &format!("{name} by {chunk}"),
            );
        }
        let open = model.logits(&tokens, &Blocked::default(), tokens.len());
        assert_close(&whole[..6], &open[..6], 1e-5, &format!("{name}, before the end of the first span"));
        assert!(furthest(&whole[6..], &open[6..]) > 1e-3, "{name} does not read the span");
    }
}

#[test]
fn what_stands_in_a_blocked_span_makes_no_difference_behind_it() {
    for (name, model, tokens) in kinds() {
        // A state takes everything in, whatever is attended to.
        if model.decoder.spec().layers.iter().any(|layer| layer.mixer.recurrent().is_some()) {
            continue;
        }
        // Bigrams of the ladder reach one token back: two stand between the span's words and what is
        // compared.
        let blocked = Blocked::new(vec![4..12], None);
        let others: Vec<u32> = tokens
            .iter()
            .enumerate()
            .map(|(at, id)| if (4..9).contains(&at) { id ^ 1 } else { *id })
            .collect();
        let [one, other] = [&tokens, &others].map(|tokens| model.logits(tokens, &blocked, tokens.len()));
        assert!(furthest(&one[4..12], &other[4..12]) > 1e-3, "{name}: the words of the span are the same");
        assert_close(&one[12..], &other[12..], 1e-5, name);
    }
}

#[test]
fn a_layer_whose_heads_are_all_masked_adds_nothing() {
    for name in ["llama", "gemma3", "qwen3_5", "multiscreen"] {
        let folder = common::fixture("vectors").join(name);
        let place = tempfile::tempdir().unwrap();
        fs::copy(folder.join("config.json"), place.path().join("config.json")).unwrap();
        let mut tensors =
            candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let model = open(&folder);
        let spec = model.decoder.spec();
        let layer = spec.attention_layers().last().unwrap();
        let heads: Vec<(usize, usize)> = (0..spec.num_attention_heads).map(|head| (layer, head)).collect();
        let of_layer = format!("layers.{layer}.");
        let mut zeroed = 0;
        for (key, tensor) in &mut tensors {
            let is_output = ["o_proj.weight", "W_O", "wo.weight"].iter().any(|end| key.ends_with(end));
            if key.contains(&of_layer) && is_output {
                *tensor = tensor.zeros_like().unwrap();
                zeroed += 1;
            }
        }
        assert_eq!(zeroed, 1, "{name}: {:?}", tensors.keys());
        candle_core::safetensors::save(&tensors, place.path().join("model.safetensors")).unwrap();
        let tokens: Vec<u32> = (1..30).collect();
        let none = Blocked::default();
        let without = open(place.path()).logits(&tokens, &none, 8);
        let whole = model.logits(&tokens, &none, 8);
        let masked = model.masked(ReplacedHeads::by_zero(&heads)).logits(&tokens, &none, 8);
        assert_close(&masked, &without, 1e-5, name);
        assert!(furthest(&masked, &whole) > 1e-3, "{name}");
    }
}

#[test]
fn a_mean_that_is_the_output_itself_changes_nothing() {
    // Of one token there is one output, which is its own mean.
    for (name, model, tokens) in kinds() {
        let heads: Vec<(usize, usize)> =
            model.decoder.spec().head_places().map(|place| (place.layer, place.head)).collect();
        let count = model.decoder.spec().num_attention_heads;
        let first = &tokens[..1];
        let none = Blocked::default();
        let whole = model.logits(first, &none, 1);
        let means = model.decoder.mean_outputs(&[first.to_vec()], model.variant.as_ref(), 4).unwrap();
        let masked = model.masked(ReplacedHeads::by_mean(&heads, count, &means)).logits(first, &none, 1);
        assert_close(&masked, &whole, 1e-5, name);
    }
}

#[test]
fn prompts_that_share_a_prefix_share_it_up_to_where_their_blocked_spans_part() {
    for (name, opened, tokens) in kinds() {
        let n = tokens.len();
        let request = |blocked: &Option<Blocked>, model: &mut DecoderModel| -> Completion {
            let request = Request {
                tokens: &tokens[..n - 4],
                thinking: None,
                answer: &tokens[n - 4..],
                max_new_tokens: 3,
                end_tokens: &[],
                spans: &[vec![5..9]],
                items: &[],
                chosen_head: None,
                forks: &[4, n / 2],
                blocked: blocked.as_ref(),
                ..Request::default()
            };
            model.complete(request, &mut |_| true).unwrap()
        };
        let sequence: Vec<Option<Blocked>> =
            [vec![5..9], vec![5..9, 12..15], vec![12..15], vec![], vec![5..9]]
                .map(|spans| (!spans.is_empty()).then(|| Blocked::new(spans, None)))
                .into();
        let Opened { decoder, variant } = opened;
        let mut shared = DecoderModel::new(decoder, variant, 6).sharing_prefixes(n + 8);
        for (number, blocked) in sequence.iter().enumerate() {
            let Opened { decoder, variant } = open(&common::vector(name).unwrap());
            let alone = request(blocked, &mut DecoderModel::new(decoder, variant, 6));
            let found = request(blocked, &mut shared);
            assert_eq!(found.tokens, alone.tokens, "{name}, prompt {number}");
            for (found, alone) in found.answer_logprobs.iter().zip(&alone.answer_logprobs) {
                assert!((found - alone).abs() < 1e-3, "{name}, prompt {number}: {found}, alone {alone}");
            }
            if blocked.as_ref().is_some_and(|blocked| blocked.at(0).contains(&(5..9))) {
                assert!(found.attention.heads.iter().all(|head| head.first.span_mass[0] == 0.0), "{name}");
            }
        }
    }
}

#[test]
fn pages_of_bf16_keep_what_is_blocked_from_rows_as_f32_does() {
    let folder = common::fixture("vectors/llama");
    let tokens = Golden::read().tokens();
    let blocked = Blocked::new(vec![3..6, 9..14], Some(vec![0..=1, 3..=3]));
    let exact = open(&folder).logits(&tokens, &blocked, 16);
    let Opened { decoder, variant } = open(&folder);
    let paged = Opened { decoder: decoder.with_kv_dtype(Some(KvDtype::Bf16)).unwrap(), variant };
    let open_to_all = paged.logits(&tokens, &Blocked::default(), 16);
    for chunk in [16, 1] {
        let found = paged.logits(&tokens, &blocked, chunk);
        let off = furthest(&found, &exact);
        assert!(off < 0.15, "off by {off}");
        assert!(furthest(&found, &open_to_all) > 10.0 * off, "as if nothing were blocked");
    }
}

fn niah(place: &Path, arguments: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_niah")).args(arguments).current_dir(place).output();
    command.unwrap()
}

const GRID: &[&str] = &[
    "run",
    "-m",
    ".",
    "--context-lengths=200,300",
    "--depths=0,60",
    "--trials=2",
    "--apply-chat-template=never",
    "--max-new-tokens=3",
];

fn run(place: &Path, flags: &[&str]) -> (String, String) {
    let output = niah(place, &[GRID, flags].concat());
    let [said, shown] =
        [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{flags:?}: {said}");
    (shown, said)
}

fn refused(place: &Path, flags: &[&str]) -> String {
    let output = niah(place, &[GRID, flags].concat());
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn record(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap()
}

fn outcomes(run: &Path) -> Vec<Outcome> {
    csv::read(run.join("results.csv")).unwrap()
}

#[test]
fn a_masked_run_has_the_prompts_of_the_run_and_answers_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    common::tiny_checkpoint(here);
    run(here, &["-o", "plain"]);
    let plain = record(&here.join("plain"));
    assert!(plain["settings"].get("masking").is_none() && !plain["identity"].to_string().contains("mask"));
    for (name, flags, words) in [
        ("zero", &["--mask-heads", "2.0,0.3"][..], "2 heads masked (2.0,0.3)"),
        ("mean", &["--mask-heads", "2.0,0.3", "--mask-heads-by", "mean"], "2 heads masked by their mean"),
        ("top", &["--mask-heads", "top:3", "--mask-ranking", "plain"], "3 heads masked (top:3)"),
        ("random", &["--mask-heads", "random:3", "--mask-ranking", "plain"], "3 heads masked (random:3)"),
        ("span", &["--mask-span", "target"], "attention to target blocked"),
        (
            "layers",
            &["--mask-span", "target", "--mask-layers", "1-2"],
            "attention to target blocked at layers 1-2",
        ),
    ] {
        let (shown, _) = run(here, &[flags, &["-o", name]].concat());
        let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{name}: {shown}");
        let pairs = outcomes(&here.join("plain")).into_iter().zip(outcomes(&here.join(name)));
        let mut moved = 0.0f64;
        for (plain, masked) in pairs {
            assert_eq!((&plain.row_id, plain.prompt_hash), (&masked.row_id, masked.prompt_hash));
            assert_ne!(plain.config_hash, masked.config_hash);
            moved = moved.max((plain.answer_logprob.unwrap() - masked.answer_logprob.unwrap()).abs());
        }
        assert!(moved > 1e-3, "{name} moves nothing: {moved}");
        let output = niah(here, &["compare", "plain", name]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        // The same command goes on with what is there.
        let (_, said) = run(here, &[flags, &["-o", name]].concat());
        assert!(!said.contains("another plan"), "{said}");
    }
    let [top, random] =
        ["top", "random"].map(|name| record(&here.join(name))["settings"]["masking"]["heads"].clone());
    let heads = |masked: &Value| -> Vec<String> { serde_json::from_value(masked["places"].clone()).unwrap() };
    assert!(heads(&top).iter().all(|head| !heads(&random).contains(head)), "{top} {random}");
    let masses =
        |name: &str| -> Vec<AttentionRow> { csv::read(here.join(name).join("attention.csv")).unwrap() };
    assert!(masses("span").iter().all(|row| row.needle_mass == 0.0));
    for row in masses("layers") {
        assert_eq!(row.needle_mass == 0.0, (1..=2).contains(&row.layer), "layer {}", row.layer);
    }
    run(here, &["--mask-span", "target", "--no-prefix-sharing", "--chunk-size", "100", "-o", "alone"]);
    for (shared, alone) in outcomes(&here.join("span")).iter().zip(outcomes(&here.join("alone"))) {
        let off = (shared.answer_logprob.unwrap() - alone.answer_logprob.unwrap()).abs();
        assert!(shared.row_id == alone.row_id && off < 1e-3, "{}: off by {off}", alone.row_id);
    }
    let attended =
        niah(here, &["attend", "span", "--context-length", "200", "--depth", "60", "--head", "2.1"]);
    assert!(attended.status.success(), "{}", String::from_utf8_lossy(&attended.stderr));
}

#[test]
fn draws_differ_and_each_of_them_is_the_same_every_time() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    let drawn = |heads: &str, name: &str| -> Vec<String> {
        run(place.path(), &["--mask-heads", heads, "--limit", "1", "-o", name]);
        let masked = &record(&place.path().join(name))["settings"]["masking"]["heads"];
        serde_json::from_value(masked["places"].clone()).unwrap()
    };
    let four = drawn("random:4", "a");
    assert_eq!(four, drawn("random:4:0", "b"));
    assert_ne!(four, drawn("random:4:1", "c"));
    let more = drawn("random:6", "d");
    assert!(
        four.len() == 4 && more.len() == 6 && four.iter().all(|head| more.contains(head)),
        "{four:?} {more:?}"
    );
}

#[test]
fn heads_and_spans_that_do_not_exist_are_refused_with_those_that_do() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    common::tiny_checkpoint(here);
    fs::write(here.join("heads.json"), r#"{"2-0": [0.5, 0.7], "9-1": [0.1]}"#).unwrap();
    fs::write(here.join("bad.json"), r#"{"2": [0.5]}"#).unwrap();
    fs::write(here.join("list.txt"), "2.0\n0.3\n").unwrap();
    for (flags, words) in [
        (&["--mask-heads", "4.0"][..], &["--mask-heads", "4.0", "0.0 to 3.3"][..]),
        (&["--mask-heads", "1.4"], &["1.4", "0.0 to 3.3"]),
        (&["--mask-heads", "nowhere.json"], &["--mask-heads", "nowhere.json", "top:K"]),
        (&["--mask-heads", "top:2"], &["top:2", "--mask-ranking"]),
        (&["--mask-heads", "top:0"], &["top:0", "top:K"]),
        (&["--mask-heads", "random:17"], &["random:17", "at most 16"]),
        (&["--mask-heads", "top:3", "--mask-ranking", "heads.json"], &["at most the 2 heads"]),
        (&["--mask-heads", "top:2", "--mask-ranking", "heads.json"], &["9.1", "0.0 to 3.3"]),
        (&["--mask-heads", "bad.json"], &["bad.json", "\"2\" is no head"]),
        (&["--mask-heads", "top:1", "--mask-ranking", "none"], &["none", "cannot read"]),
        (&["--mask-heads", "2.0", "--mask-heads-by", "noise"], &["noise", "zero, mean"]),
        (&["--mask-heads-by", "mean"], &["--mask-heads"]),
        (&["--mask-span", "stale"], &["--mask-span", "stale", "have: target"]),
        (&["--mask-span", "needle"], &["needle", "target, other"]),
        (&["--mask-span", "target", "--mask-layers", "2-4"], &["--mask-layers", "2-4", "0 to 3"]),
        (&["--mask-span", "target", "--mask-layers", "4-2"], &["4-2"]),
        (&["--mask-layers", "2"], &["--mask-span"]),
    ] {
        let said = refused(here, &[flags, &["-o", "out"]].concat());
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().all(|word| flat.contains(word)), "{flags:?}: {said}");
    }
    run(here, &["--mask-heads", "list.txt", "--limit", "1", "-o", "listed"]);
    let masked = &record(&here.join("listed"))["settings"]["masking"]["heads"];
    assert_eq!(masked["chosen"], "2.0,0.3");
    // Another choice of heads is another plan.
    let said = refused(here, &["--mask-heads", "2.1", "-o", "listed"]);
    assert!(said.contains("masked_heads"), "{said}");
}

#[test]
fn layers_with_a_state_are_named_as_they_cannot_be_kept_from_anything() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(place.path());
    for file in ["config.json", "model.safetensors"] {
        let from = common::fixture("vectors/qwen3_5").join(file);
        fs::write(place.path().join(file), fs::read(from).unwrap()).unwrap();
    }
    let (shown, said) = run(place.path(), &["--mask-span", "target", "--limit", "1", "-o", "out"]);
    let words = "which nothing can be kept from";
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat(&shown).contains(words) && flat(&said).contains(words), "{shown}\n{said}");
    let said = refused(place.path(), &["--mask-span", "target", "--mask-layers", "0", "-o", "none"]);
    assert!(said.contains("--mask-layers") && said.contains("layers that attend"), "{said}");
}

#[test]
fn a_shipped_checkpoint_finds_nothing_without_the_heads_that_copy_and_everything_without_some_others() {
    let place = tempfile::tempdir().unwrap();
    let here = place.path();
    let right = |seed: &str, flags: &[&str], name: &str| -> usize {
        let grid = ["run", "-m", "shipped:ssmax", "--context-lengths=256", "--depths=20,80", "--trials=3"];
        let text = ["--split", "held-out", "--haystack", "synthetic", "--seed", seed, "-o", name];
        let output = niah(here, &[&grid, &text[..], flags].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        outcomes(&here.join(name)).iter().filter(|row| row.correct == Some(true)).count()
    };
    // Heads are ranked on other prompts than those that are masked.
    assert_eq!(right("1", &[], "ranked"), 6);
    assert_eq!(right("2", &[], "plain"), 6);
    let masked = |heads: &str| {
        let name = heads.replace(':', "-");
        right("2", &["--mask-heads", heads, "--mask-ranking", "ranked"], &name)
    };
    // Its four heads that copy do so for each other.
    assert!(masked("top:4") <= 1);
    for draw in ["random:3", "random:3:1"] {
        assert!(masked(draw) >= 5, "{draw}");
    }
    assert_eq!(right("2", &["--mask-span", "target"], "span"), 0);
}

#[test]
fn the_whole_experiment_shows_that_the_best_heads_retrieve_and_goes_on_where_it_stopped() {
    let place = tempfile::tempdir().unwrap();
    let command = [
        "heads",
        "-m",
        "shipped:ssmax",
        "--task",
        "magic",
        "--split",
        "held-out",
        "--haystack",
        "synthetic",
        "--context-lengths=256",
        "--depths=20,80",
        "--trials=3",
        "--masking=4,1",
        "--draws=2",
        "--score",
        "needle-mass",
        "-o",
        "heads",
        "--output-format=json",
    ];
    let shown = || -> Value {
        let output = niah(place.path(), &command);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let report = shown();
    let rows = report["rows"].as_array().unwrap();
    let of = |masked: &str, heads: u64| {
        let row = rows.iter().find(|row| row["masked"] == masked && row["heads"] == heads);
        row.unwrap_or_else(|| panic!("{masked} {heads}: {rows:?}"))
    };
    assert_eq!(rows.len(), 5);
    assert_eq!(of("none", 0)["accuracy"], 1.0);
    assert!(of("top", 4)["accuracy"].as_f64().unwrap() < 0.4);
    let random = of("random", 4);
    assert_eq!((random["draws"].as_u64(), random["n"].as_u64()), (Some(2), Some(12)));
    assert!(of("random", 1)["accuracy"].as_f64().unwrap() > 0.5);
    assert!(of("top", 4)["answer_logprob_mean"].as_f64() < random["answer_logprob_mean"].as_f64());
    assert_eq!(of("none", 0)["false_answers"], 0.0);
    // Another seed than that of the ranking, and nothing is computed twice.
    let run = record(&place.path().join("heads/masking/top-4"));
    assert_eq!(run["settings"]["seed"], 43);
    assert_eq!(shown(), report);
    let said = niah(place.path(), &[&command[..], &["--masking=99"]].concat());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("--masking") && said.contains("1 to 8 heads"), "{said}");
    let said = niah(place.path(), &["heads", "heads", "--masking=1"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("a checkpoint beside --masking"), "{said}");
}
