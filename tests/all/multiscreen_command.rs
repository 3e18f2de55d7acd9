//! A Multiscreen checkpoint through the binary: what runs, what it records, and which flags are for it alone.

use crate::common;

use std::collections::BTreeMap;
use std::fs;

use candle_core::{Device, Tensor};
use common::bench::Bench;
use niah::trial::{AttentionRow, Outcome, Status};
use serde_json::Value;

/// Beyond it the window of one tile is widened.
const TRAINING_LENGTH: usize = 256;
/// `ln` of that window, less 1.
const WIDE: f32 = 5.8;

/// A Multiscreen checkpoint in `tiles/` beside the Llama in `tiny/`.
fn place() -> Bench {
    let place = Bench::new();
    let (tiles, source) = (place.path("tiles"), common::fixture("vectors/multiscreen"));
    fs::create_dir(&tiles).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(source.join("config.json")).unwrap()).unwrap();
    config["max_position_embeddings"] = TRAINING_LENGTH.into();
    fs::write(tiles.join("config.json"), config.to_string()).unwrap();
    let mut weights = candle_core::safetensors::load(source.join("model.safetensors"), &Device::Cpu).unwrap();
    let windows = Tensor::new(&[0f32, 2.0, 3.0, WIDE], &Device::Cpu).unwrap();
    weights.insert("multiscreen.layers.1.block.sw".to_string(), windows);
    candle_core::safetensors::save(&weights, tiles.join("model.safetensors")).unwrap();
    fs::write(tiles.join("tokenizer.json"), common::byte_tokenizer().to_string()).unwrap();
    place
}

/// `niah run` of a grid on both sides of the training length.
const RUN: [&str; 6] =
    ["run", "-m", "tiles", "--context-lengths=200,300,450", "--depths=0,40,100", "--trials=2"];

fn run(place: &Bench, more: &[&str]) -> String {
    place.stdout(&[&RUN[..], more].concat())
}

/// The outcomes of a run by their names.
fn outcomes(place: &Bench, directory: &str) -> BTreeMap<String, Outcome> {
    place.outcomes(directory).into_iter().map(|row| (row.row_id.clone(), row)).collect()
}

/// Its attention by trial, layer and head.
fn heads(place: &Bench, directory: &str) -> BTreeMap<(String, usize, usize), AttentionRow> {
    let rows = place.attention(directory).into_iter();
    rows.map(|row| ((row.row_id.clone(), row.layer, row.head), row)).collect()
}

#[test]
fn a_run_records_what_passed_and_says_what_became_of_wide_windows() {
    let place = place();
    let page = run(&place, &["-o", "out"]);
    for word in ["tiles, screening (12 learned windows, 1 wider", "of total mass", "share"] {
        assert!(page.contains(word), "no {word:?} in\n{page}");
    }
    let record = place.run_json("out");
    assert_eq!(record["model"]["family"], "multiscreen");
    assert_eq!(record["model"]["own_variant"], "screening");
    assert_eq!(record["identity"]["screening_window_expansion"], true);
    assert_eq!(record["training_length"], TRAINING_LENGTH);
    let (outcomes, heads) = (outcomes(&place, "out"), heads(&place, "out"));
    assert_eq!((outcomes.len(), heads.len()), (18, 18 * 12));
    for ((id, layer, head), row) in &heads {
        let outcome = &outcomes[id];
        assert_eq!(outcome.status, Status::Ok);
        let n = outcome.prompt_tokens.unwrap();
        let (passed, window) = (row.passed_keys.unwrap(), row.effective_window.unwrap());
        // The last window of layer 1 is e^5.8 + 1 = 331.3 keys, and unlimited in prompts beyond the training
        // length.
        if (*layer, *head) == (1, 3) {
            assert_eq!(window, n, "{id}");
        }
        if (*layer, *head) == (1, 0) {
            assert_eq!(window, 2, "{id}");
        }
        assert!(passed <= window && window <= n);
        assert_eq!(row.passed_share, Some(passed as f64 / window as f64));
        assert_eq!(row.zero_share, Some((n - passed) as f64 / n as f64));
        assert_eq!(
            (row.total_mass > 0.0, row.total_mass > 0.0),
            (row.lift.is_some(), row.entropy.is_some()),
            "{row:?}"
        );
        assert_eq!(passed > 0, row.total_mass > 0.0, "{row:?}");
    }
    assert!(heads.values().any(|row| row.total_mass == 0.0), "nothing was said of rows without mass");
    for (id, outcome) in &outcomes {
        let own = heads.iter().filter(|((of, _, _), _)| of == id).map(|(_, row)| row);
        let top = own.reduce(|top, row| if row.needle_mass > top.needle_mass { row } else { top }).unwrap();
        assert_eq!(
            (outcome.needle_mass_top, outcome.total_mass_top),
            (Some(top.needle_mass), Some(top.total_mass))
        );
    }

    let page = place.stdout(&["attend", "out", "--length", "300", "--depth", "40"]);
    for word in ["share", "passed", "window", "zeros"] {
        assert!(page.contains(word), "no {word:?} in\n{page}");
    }
    let page = place.stdout(&["view", "out", "--by", "layer", "--width", "300"]);
    assert!(page.contains("masses are absolute"), "{page}");
}

#[test]
fn prefixes_are_shared_on_either_side_of_the_training_length_and_not_across_it() {
    let place = place();
    run(&place, &["-o", "shared"]);
    run(&place, &["-o", "alone", "--no-prefix-sharing", "--chunk-size", "100"]);
    let [(shared, shared_heads), (alone, alone_heads)] =
        ["shared", "alone"].map(|name| (outcomes(&place, name), heads(&place, name)));
    for (id, expected) in &alone {
        let found = &shared[id];
        assert_eq!(found.model_response, expected.model_response, "{id}");
        let off = (found.answer_logprob.unwrap() - expected.answer_logprob.unwrap()).abs();
        assert!(off < 1e-3, "{id}: log-probability off by {off}");
    }
    for (key, expected) in &alone_heads {
        let off = (shared_heads[key].total_mass - expected.total_mass).abs();
        assert!(off < 1e-4, "{key:?}: total mass off by {off}");
    }
}

#[test]
fn the_widening_can_be_turned_off_and_is_another_plan() {
    let place = place();
    run(&place, &["-o", "on"]);
    run(&place, &["-o", "off", "--screening-window-expansion", "off"]);
    let [on, off] = ["on", "off"].map(|name| place.run_json(name));
    assert_eq!(off["identity"]["screening_window_expansion"], false);
    assert_ne!(on["config_hash"], off["config_hash"]);
    assert!(off["variant_description"].as_str().unwrap().contains("taken as learned"));
    let [on, off] = ["on", "off"].map(|name| heads(&place, name));
    let window = |heads: &BTreeMap<_, AttentionRow>, id: &str| {
        heads[&(id.to_string(), 1, 3)].effective_window.unwrap()
    };
    assert_eq!(window(&on, "200:0:0"), window(&off, "200:0:0"));
    assert_eq!(window(&off, "450:0:0"), 332);
    assert!(window(&on, "450:0:0") > 332);
    // Within the training length nothing is widened, so nothing differs.
    for ((id, layer, head), row) in on.iter().filter(|((id, _, _), _)| id.starts_with("200:")) {
        let off = (row.total_mass - off[&(id.clone(), *layer, *head)].total_mass).abs();
        assert!(off < 1e-5, "{id} {layer}.{head}: total mass off by {off}");
    }
    place.refused(
        &[&RUN[..], &["-o", "on", "--screening-window-expansion=off"]].concat(),
        &["screening_window_expansion: true -> false"],
    );
}

#[test]
fn choices_for_another_family_are_refused_with_a_hint_before_weights_load() {
    let place = place();
    let run = ["run", "--context-lengths=200", "--dry-run"];
    for (arguments, words) in [
        (&["-m", "tiles", "--variant", "softmax"][..], &["--variant", "softmax", "screening, or auto"][..]),
        (&["-m", "tiles", "--variant", "ssmax"], &["--variant", "ssmax", "screening, or auto"]),
        (&["-m", "tiles", "--ssmax-scale", "0.2"], &["--ssmax-scale", "screening has no scale"]),
        (&["-m", "tiles", "--kv-dtype", "bf16"], &["--kv-dtype", "bf16", "f32"]),
        (&["-m", "tiles", "--kv-dtype", "q8_0"], &["--kv-dtype", "q8_0", "f32"]),
        (&["-m", "tiles", "--v-dtype", "q4_0"], &["--v-dtype", "q4_0", "f32"]),
        (&["-m", "tiny", "--variant", "screening"], &["--variant", "screening", "Multiscreen", "auto"]),
        (
            &["-m", "tiny", "--screening-window-expansion", "on"],
            &["--screening-window-expansion", "llama", "Multiscreen"],
        ),
        (
            &["-m", "tiny", "--screening-window-expansion", "off"],
            &["--screening-window-expansion", "llama", "Multiscreen"],
        ),
        (&["-m", "tiles", "--screening-window-expansion", "maybe"], &["maybe", "on, off"]),
    ] {
        place.refused(&[&run[..], arguments].concat(), words);
    }
    for command in [
        &["logits", "--ids=1,2", "-o", "l.safetensors", "tiny"][..],
        &["loss", "-m", "tiny", "--context-length=64"],
        &["bench", "-m", "tiny", "--context-lengths=64"],
    ] {
        place.refused(&[command, &["--screening-window-expansion=off"]].concat(), &["Multiscreen"]);
    }
}

#[test]
fn every_command_that_runs_a_checkpoint_runs_this_one() {
    let place = place();
    let dry = place.stdout(&["run", "-m", "tiles", "--context-lengths=300", "--dry-run", "--dtype", "bf16"]);
    assert!(dry.contains("screening (12 learned windows"), "{dry}");
    let text = "The quick brown fox. ".repeat(20);
    fs::write(place.path("text.txt"), text).unwrap();
    let flags = ["--screening-window-expansion=off"];
    for command in [
        &["logits", "tiles", "--ids=1,2,3", "--attentions=all", "-o", "l.safetensors"][..],
        &["loss", "-m", "tiles", "--context-length=300", "-n=1"],
        &["bench", "-m", "tiles", "--context-lengths=64,300", "--repeats=1", "--max-new-tokens=2"],
        &["attend", "-m", "tiles", "--text", "text.txt", "--query", "And then?"],
    ] {
        place.stdout(&[command, &flags].concat());
    }
    let logits = fs::read(place.path("l.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&logits[8..2000]).to_string();
    assert!(header.contains("\"screening_window_expansion\":\"false\""), "{header}");
}

#[test]
fn inspect_shows_windows_and_acceptance_widths_by_layer_and_tile() {
    let place = place();
    let page = place.stdout(&["inspect", "tiles", "--width", "100"]);
    for word in [
        "screening tiles in place of attention",
        "key_dim=8, value_dim=12",
        "variant     screening (12 learned windows, 1 wider than the training length 256",
        "Windows w in tokens by layer and tile (* wider than the training length)",
        "    1       2   8.389   21.09   331.3*",
        "Acceptance widths r by layer and tile",
    ] {
        assert!(page.contains(word), "no {word:?} in\n{page}");
    }
    assert!(!page.contains("swap") && !page.contains("MLP none"), "{page}");
    let json: Value =
        serde_json::from_str(&place.stdout(&["inspect", "tiles", "--output-format=json"])).unwrap();
    let screens = &json["ran"]["attention"]["screens"];
    assert_eq!((screens.as_array().unwrap().len(), screens[1].as_array().unwrap().len()), (3, 4));
    assert_eq!((&screens[1][3]["wide"], &screens[1][2]["wide"]), (&true.into(), &false.into()));
    assert_eq!(screens[1][0]["window"], 2.0);
    let acceptance = screens[0][0]["acceptance"].as_f64().unwrap();
    assert!(acceptance > 0.0 && acceptance < 1.0);
    let list = place.stdout(&["list"]);
    assert!(list.contains("multiscreen") && list.contains("screening"), "{list}");
}

#[test]
fn tables_that_lack_the_columns_of_screening_are_refused_and_left_as_they_are() {
    let place = place();
    run(&place, &["-o", "out", "--limit", "1"]);
    let path = place.path("out/attention.csv");
    let whole = fs::read_to_string(&path).unwrap();
    let kept = whole.lines().next().unwrap().split(',').take_while(|name| *name != "passed_keys").count();
    let cut = |line: &str| line.split(',').take(kept).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = whole.lines().map(cut).collect();
    let shortened = lines.join("\n") + "\n";
    fs::write(&path, &shortened).unwrap();
    let missing = ["attention.csv", "missing passed_keys, passed_share, zero_share, effective_window"];
    place.refused(&["view", "out", "--by", "layer"], &missing);
    place.refused(&[&RUN[..], &["-o", "out"]].concat(), &missing);
    assert_eq!(fs::read_to_string(&path).unwrap(), shortened);
}
