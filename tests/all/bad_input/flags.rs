//! Names, numbers, texts and configuration files that a command is given.
use std::ffi::OsStr;
use std::fs;

use serde_json::{Value, json};

use super::common;
use super::{Place, Ran, USAGE};

#[test]
fn names_that_are_in_no_table_get_the_table() {
    let place = Place::new();
    for (flags, words) in [
        ("--variant hardmax", &["unknown variant", "hardmax", "softmax, ssmax"][..]),
        ("--task riddle", &["unknown task", "riddle", "magic, magic-multikey, gkamradt, passkey, abcdigits"]),
        ("--scorer vibes", &["unknown scorer", "vibes", "match, contains"]),
        ("--haystack barn", &["barn", "no such haystack", "essays, noise, synthetic"]),
        ("--palette plaid", &["unknown palette", "plaid", "viridis, rag"]),
        ("--device tpu", &["--device", "tpu", "cpu, cuda, cuda:N or metal"]),
        ("--device cuda:x", &["--device", "cuda:x", "a device number"]),
        ("--apply-chat-template=always", &["--apply-chat-template", "this one has none"]),
        ("--system-instruction hello", &["--system-instruction", "plain text"]),
        ("--needle x", &["--question", "found nothing"]),
        ("--needle cats --question why --answer dogs", &["dogs"]),
        ("--needle concatenate --question why --answer cat", &["--answer", "longer word", "put a space"]),
        ("--needle --question why --answer dog", &["--needle", "--needle='--question'"]),
        ("--task abcdigits --snap none", &["--snap", "abcdigits"]),
    ] {
        place.run(&format!("--dry-run {flags}")).refuses(USAGE, words);
    }
    place.niah("list barns").refuses(USAGE, &["unknown kind", "barns", "variants, families"]);
    place
        .run("--needle cat --needle dog --question why --answer dog")
        .misuses(&["--needle", "multiple times"]);
    place.run("--output-format pdf").misuses(&["--output-format", "pdf", "table, csv, json"]);
    place.run("--apply-chat-template=maybe").misuses(&["maybe", "always, auto, never"]);
    place.run("--snap word").misuses(&["--snap", "word", "sentence, none"]);
    place.run("--no-such-flag").misuses(&["--no-such-flag"]);
    place.niah("rum").misuses(&["rum", "run"]);
    place.niah("train").misuses(&["--output"]);
    if cfg!(not(feature = "cuda")) {
        place.run("--device cuda --dry-run").refuses(USAGE, &["--device", "cuda", "use --device cpu"]);
    }
}

#[test]
fn regression_a_message_names_the_flag_that_was_typed() {
    let place = Place::new();
    for (flags, said) in [
        ("loss --context-length abc", "': --context-length: found abc, expected a number of tokens"),
        ("run --context-lengths 1k,abc", "': --context-lengths: found abc, expected a number of tokens"),
        ("view x --depth 400", "': --depth: found 400, expected per cent between 0"),
        ("run --depths 400", "': --depths: found 400, expected per cent between 0"),
        ("logits model --ids 1 -o x --attentions some", "': --attentions: found some, expected all, last"),
    ] {
        place.niah(flags).misuses(&[said]);
    }
    for (flags, said) in [
        ("loss -m model --trials 0", "niah: --trials: found 0, expected at least 1"),
        (
            "run -m model --kv-dtype f32 --rope-theta 0",
            "niah: --rope-theta: found 0, expected a number above 0",
        ),
        ("run -m model --context-lengths 2^38", "use shorter --context-lengths or a smaller checkpoint"),
        ("loss -m model --context-length 2^38", "use a shorter --context-length or a smaller checkpoint"),
        ("run -m model --variant softmax --ssmax-scale 1", "expected --variant ssmax, ssmax-bias or"),
    ] {
        place.niah(flags).refuses(USAGE, &[said]);
    }
}

/// Pairs of flags of which one would do nothing.
#[test]
fn a_flag_that_another_leaves_without_a_use_is_refused() {
    let place = Place::new();
    for (flags, words) in [
        ("run --task magic --needle x", &["--task", "--needle"][..]),
        ("prompts --question x --preset magic", &["--task", "--question"]),
        ("compare a b --answer x --task magic", &["--task", "--answer"]),
        (
            "run --context-lengths 400 --context-lengths-num 3",
            &["--context-lengths-num", "--context-lengths"],
        ),
        ("run --context-lengths-num 3", &["--context-lengths-min"]),
        ("run --depths 50 --depth-spacing sigmoid", &["--depth-spacing", "--depths"]),
        ("attend out --query x", &["required", "--text"]),
        ("attend out --needle x", &["required", "--text"]),
        ("attend out --variant softmax", &["required", "--text"]),
        ("attend out --dtype f32", &["required", "--text"]),
        ("attend out --kv-dtype f32", &["required", "--text"]),
        ("attend out --screening-window-expansion on", &["required", "--text"]),
        ("attend --text t --query q --length 400", &["--context-length", "--text"]),
        ("run model -m model", &["[MODEL]", "--model"]),
        ("train -o out a -m b", &["[MODEL]", "--init"]),
        ("train -o out a --hidden-size 32", &["[MODEL]", "--hidden-size"]),
        ("attend --text t --query q --depth 50", &["--depth", "--text"]),
        ("attend --text t --query q --trial 1", &["--trial", "--text"]),
        ("train -o out --init a --hidden-size 32", &["--init", "--hidden-size"]),
        ("train -o out --init a --family multiscreen", &["--init", "--family"]),
        ("train -o out --init a --vocab-size 300", &["--init", "--vocab-size"]),
        ("train -o out --tokenizer a --vocab-size 300", &["--tokenizer", "--vocab-size"]),
    ] {
        place.niah(flags).misuses(words);
    }
    for (flags, words) in [
        ("attend model --text t --query q -m model", &["--model", "one checkpoint"][..]),
        ("compare a b -m model", &["--model", "A and B are named"]),
        ("run -m model --dry-run --output-format csv", &["--output-format", "csv", "table or json"]),
        ("attend --text t --query q -m model --top 3", &["--top", "--needle"]),
        ("run -m model --config a.toml --config=b.toml", &["--config", "twice"]),
        ("train -o out --steps 1 --mix text --curriculum-steps 5", &["--curriculum-steps", "key-values"]),
        ("train -o out --steps 1 --mix text --task passkey", &["--task", "needles"]),
        ("train -o out --steps 1 --ssmax-init 0.2", &["--ssmax-init", "--variant"]),
        ("run -m shipped:multiscreen --rope-theta-scale 50", &["--rope-theta-scale", "no rotary positions"]),
        ("attend --text t --query q -m model --head top", &["--head", "--needle"]),
        (
            "compare a b --variant ssmax --variant-a softmax --variant-b softmax",
            &["--variant", "--variant-a"],
        ),
    ] {
        place.niah(flags).refuses(USAGE, words);
    }
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_is_allocated() {
    let place = Place::new();
    let most = u64::MAX;
    for (flags, words) in [
        ("--trials 0".to_string(), &["--trials", "found 0", "at least 1"][..]),
        (format!("--trials {most}"), &["--trials", "at most"]),
        ("--max-new-tokens 0".to_string(), &["--max-new-tokens", "at least 1"]),
        (format!("--max-new-tokens {most}"), &["length 400", "ask for at least"]),
        ("--threads 0".to_string(), &["--threads", "found 0", "1 to"]),
        ("--threads 1000000".to_string(), &["--threads", "found 1000000", "1 to"]),
        (
            format!("--context-lengths-min 1 --context-lengths-max 9 --context-lengths-num {most}"),
            &["--context-lengths-num"],
        ),
        ("--rope-theta 0".to_string(), &["--rope-theta", "above 0"]),
        ("--rope-theta-scale nan".to_string(), &["--rope-theta-scale", "above 0"]),
        ("--ssmax-scale inf".to_string(), &["--ssmax-scale", "0.17"]),
    ] {
        place.niah(&format!("run -m model --dry-run {}", with_lengths(&flags))).refuses(USAGE, words);
    }
    for count in [0, most] {
        let flags = format!("run -m model --dry-run --context-lengths 400 --depths-num {count}");
        place.niah(&flags).refuses(USAGE, &["--depths-num", "1 to"]);
    }
    for (flags, words) in [
        ("--depths 101", &["--depths", "101", "between 0"][..]),
        ("--depths=-5", &["--depths", "-5", "between 0"]),
        ("--depths half", &["--depths", "half", "between 0"]),
        ("--context-lengths 0", &["--context-lengths", "4096"]),
        ("--context-lengths 2^63", &["--context-lengths", "4096"]),
        ("--context-lengths 1e30", &["--context-lengths", "4096"]),
        ("--seed -1", &["-1", "--seed"]),
        ("--trials -1", &["-1", "--trials"]),
        ("--threads -1", &["-1", "--threads"]),
        ("--limit -1", &["-1", "--limit"]),
        ("--trials 1.5", &["1.5", "--trials"]),
    ] {
        place.run(flags).misuses(words);
    }
    for width in ["0", "1", "4294967296", "18446744073709551615"] {
        place.run(&format!("--width {width}")).works(&[]);
    }
}

fn with_lengths(flags: &str) -> String {
    if flags.contains("--context-lengths") {
        flags.to_string()
    } else {
        format!("--context-lengths 400 {flags}")
    }
}

#[test]
fn lengths_that_are_too_short_too_long_or_too_much_are_said_before_the_run() {
    let place = Place::new();
    place.run("--context-lengths 10").refuses(USAGE, &["length 10 ", "depth 50", "ask for at least"]);
    for command in ["--dry-run", ""] {
        let ran = place.run(&format!("--context-lengths 1000m {command}"));
        ran.refuses(USAGE, &["the run needs", "GiB", "is available", "--context-lengths", "--dtype bf16"]);
    }
    assert!(!place.path("out").exists());
    place.run("--context-lengths 600").works(&["warning", "600", "512 positions", "--rope-theta-scale"]);
    let record: Value = serde_json::from_slice(&fs::read(place.path("out/run.json")).unwrap()).unwrap();
    assert!(record["warnings"][0].as_str().unwrap().contains("512 positions"), "{record}");
    if let Some(gpt2) = common::vector("gpt2") {
        for file in ["config.json", "model.safetensors"] {
            fs::copy(gpt2.join(file), place.path("model").join(file)).unwrap();
        }
        let ran = place.run("--context-lengths 600");
        ran.refuses(USAGE, &["--context-lengths", "found 600", "512 positions", "has learned"]);
        place.write("text", "word ".repeat(200));
        let ran = place.niah("attend --text text --query q -m model");
        ran.refuses(USAGE, &["--text", "512 positions", "has learned"]);
        common::tiny_checkpoint(&place.path("model"));
    }
    place.write("text", "word ".repeat(200));
    place.niah("attend --text text --query q -m model").works(&[
        "warning",
        "512 positions",
        "shorter --text",
    ]);
}

#[test]
fn haystacks_that_are_no_text_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("hollow")).unwrap();
    place.write("empty", " \n");
    place.write("binary", b"text\0more");
    place.write("latin", b"caf\xe9 au lait");
    for (haystack, words) in [
        ("empty", &["empty", "no text", "sentences"][..]),
        ("hollow", &["hollow", "no text", ".txt or .md"]),
        ("binary", &["binary", "zero byte at offset 4", "UTF-8"]),
        ("latin", &["latin", "not UTF-8 at offset 3", "convert"]),
        ("model/config.json/x", &["model/config.json/x", "cannot be read"]),
        ("model", &["model", "zero byte"]),
        ("/dev/zero", &["/dev/zero", "a device", "readable file"]),
    ] {
        place.run(&format!("--haystack {haystack}")).refuses(USAGE, words);
    }
    place.edit_json("model/tokenizer.json", |tokenizer| {
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        vocab.remove("ÿ");
        vocab.insert("<|end|>".to_string(), json!(255));
        tokenizer["added_tokens"] = json!([{
            "id": 255, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }]);
    });
    place.write("special", "A sentence. ".repeat(9) + "It ends <|end|> here. ");
    place.run("--haystack special").refuses(USAGE, &["haystack", "special token", "<|end|>", "take it out"]);
    place.write("said", "The best thing is to eat a sandwich and sit in Dolores Park. ");
    let flags = "--task gkamradt --context-lengths 500 --haystack said";
    place.run(flags).refuses(USAGE, &["says the answer", "--haystack"]);
    assert!(!place.path("out").exists());
}

#[test]
#[cfg(unix)]
fn a_command_line_that_is_no_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
    command.args(["run", "-m"]).arg(OsStr::from_bytes(b"caf\xe9"));
    Ran::of("run -m (latin)", command.output().unwrap()).refuses(USAGE, &["caf", "UTF-8"]);
}

#[test]
fn a_configuration_file_that_cannot_be_used_is_refused() {
    let place = Place::new();
    let run = |content: &[u8]| {
        place.write("niah.toml", content);
        place.niah("run -m model --config niah.toml")
    };
    place.niah("run -m model --config gone.toml").refuses(USAGE, &["gone.toml", "cannot read", "--config"]);
    place.niah("run -m model --config model").refuses(USAGE, &["model", "cannot read"]);
    place.niah("run -m model --config").misuses(&["--config"]);
    for (content, words) in [
        (&b"trials = 2\ndepths = "[..], &["niah.toml", "broken TOML in line 2"][..]),
        (b"= 3", &["niah.toml", "broken TOML in line 1"]),
        (b"trials = 2\ntrials = 3", &["niah.toml", "broken TOML in line 2", "duplicate"]),
        (b"\xff", &["niah.toml", "cannot read"]),
        (b"trails = 2", &["niah.toml", "key \"trails\"", "trials", "context-lengths"]),
        (b"config = 'other.toml'", &["niah.toml", "key \"config\""]),
        (b"dry-run = 'yes'", &["niah.toml: dry-run", "\"yes\"", "true or false"]),
        (b"needle = ['a', 'b']", &["niah.toml: needle", "one value"]),
        (b"trials = true", &["niah.toml: trials", "found true", "a number"]),
        (b"[trials]\nn = 3", &["niah.toml: trials", "a number"]),
    ] {
        run(content).refuses(USAGE, words);
    }
    let wins = "run -m model --config niah.toml --dry-run --depths 50";
    place.write("niah.toml", "context-lengths = 400\ndepths = [0, 100]");
    let ran = place.niah(wins).works(&[]);
    assert!(ran.stdout.contains("depths     50\n"), "{}", ran.stdout);
    run(b"trials = 'many'").misuses(&["--trials", "many"]);
    run(b"depths = [50, 200]").misuses(&["--depths", "200"]);
    let dashes = run(b"context_lengths = [400, '0.5k']\ndepths = 50\ndry_run = true").works(&[]);
    assert!(dashes.stdout.contains("lengths    400, 512"), "{}", dashes.stdout);
}
