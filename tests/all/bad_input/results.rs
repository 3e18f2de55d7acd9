//! Directories of results: what cannot be written, continued or shown.
use std::fs;

use serde_json::{Value, json};

use super::{FAILED, Place, Ran, USAGE};

#[test]
fn output_that_cannot_be_written_is_refused_before_the_weights_load() {
    let place = Place::new();
    place.write("file", "mine");
    for output in ["file", "file/below"] {
        let ran = place.niah(&format!("run -m model --context-lengths 400 --depths 50 -o {output}"));
        ran.refuses(USAGE, &[output, "cannot make this directory", "another with -o"]);
        let ran = place.niah(&format!("prompts -m model --context-lengths 400 --depths 50 -o {output}/x"));
        ran.refuses(USAGE, &[output, "cannot write", "-o"]);
    }
    let ran = place.niah("prompts -m model --context-lengths 10,400 --depths 50 -o file");
    ran.refuses(USAGE, &["ask for at least"]);
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), "mine");
    assert!(!place.path("file.new").exists());
    place.niah("prompts -m model --context-lengths 400 --depths 50 -o file").works(&[]);
    assert!(fs::read_to_string(place.path("file")).unwrap().starts_with('{'));
}

#[test]
fn results_of_another_kind_are_never_mixed_nor_touched() {
    let place = Place::new();
    place.run("").works(&[]);
    let [record, results] =
        ["out/run.json", "out/results.csv"].map(|name| fs::read_to_string(place.path(name)).unwrap());
    let intact = |name: &str, expected: &str| {
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), expected);
    };

    place.run("--seed 7").refuses(USAGE, &["out", "another plan", "seed: 42 -> 7", "-o"]);
    place.run("--depths 0,100").refuses(USAGE, &["depths: [50.0] -> [0.0,100.0]", "beside the old ones"]);
    intact("out/results.csv", &results);

    let other = results.replacen("run_id,", "run_name,", 1);
    place.write("out/results.csv", &other);
    for ran in [place.run(""), place.niah("view out")] {
        ran.refuses(USAGE, &["results.csv", "missing run_id", "unknown run_name", "-o"]);
    }
    intact("out/results.csv", &other);

    place.write("out/results.csv", results.replacen(",ok,", ",perhaps,", 1));
    for ran in [place.run(""), place.niah("view out"), place.niah("attend out")] {
        ran.refuses(USAGE, &["results.csv", "line 2", "perhaps", "delete the line"]);
    }
    place.write("out/results.csv", &results);

    for broken in ["", "{", "[]", "{}", &record[..record.len() / 2]] {
        place.write("out/run.json", broken);
        for ran in [place.run(""), place.niah("view out"), place.niah("attend out")] {
            ran.refuses(USAGE, &["run.json", "damaged, or of another version", "-o"]);
        }
        intact("out/run.json", broken);
        intact("out/results.csv", &results);
    }
    let mut lists: Value = serde_json::from_str(&record).unwrap();
    lists["settings"]["grid"]["context_lengths"] = json!([]);
    place.write("out/run.json", lists.to_string());
    for ran in [place.niah("view out --by layer"), place.niah("attend out")] {
        ran.refuses(USAGE, &["run.json", "at least one length"]);
    }

    fs::remove_file(place.path("out/run.json")).unwrap();
    place.run("").refuses(USAGE, &["out", "results.csv without run.json", "-o"]);
    intact("out/results.csv", &results);
    place.write("out/run.json", &record);
    place.run("").works(&["results: out"]);
    intact("out/results.csv", &results);
}

#[test]
fn a_torn_table_is_continued() {
    let place = Place::new();
    place.run("--trials 2").works(&[]);
    let results = fs::read_to_string(place.path("out/results.csv")).unwrap();
    place.write("out/results.csv", &results[..results.len() - 40]);
    let attention = fs::read_to_string(place.path("out/attention.csv")).unwrap();
    place.write("out/attention.csv", &attention[..attention.len() - 9]);
    place.run("--trials 2").works(&["1 trials (1 already done)"]);
    assert_eq!(place.rows(), 2);
    let rows = fs::read_to_string(place.path("out/attention.csv")).unwrap().lines().count();
    assert_eq!(rows, attention.lines().count());
}

/// A limit on the size of files stands for a full disk: it needs no privilege, and writes fail in the same
/// way.
#[test]
#[cfg(unix)]
fn a_full_disk_ends_the_run_and_keeps_what_was_finished() {
    let place = Place::new();
    let arguments = "run -m model --context-lengths 400 --depths 0,50,100 -n 4 -o out";
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"";
    let mut limited = place.command("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_niah")]).args(arguments.split_whitespace());
    let ran = Ran::of(arguments, limited.output().unwrap());
    ran.refuses(FAILED, &["cannot append", "everything before it is kept", "run the same command again"]);
    let kept = fs::read_to_string(place.path("out/results.csv")).unwrap();
    assert!(kept.ends_with('\n') && (1..12).contains(&place.rows()), "{} rows", place.rows());
    place.niah(arguments).works(&["already done"]);
    assert!(fs::read_to_string(place.path("out/results.csv")).unwrap().starts_with(&kept));
    assert_eq!(place.rows(), 12);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_behind_stdout_or_stderr_is_no_panic() {
    let place = Place::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = "run -m model --context-lengths 400 --depths 50 -o out";
    let command = || {
        let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
        command.args(arguments.split_whitespace());
        command
    };
    let silent = command().stderr(full()).output().unwrap();
    assert_eq!(silent.status.code(), Some(0));
    let ran = Ran::of(arguments, command().stdout(full()).output().unwrap());
    ran.refuses(FAILED, &["stdout", "cannot write", "No space left"]);
    assert_eq!(place.rows(), 1);
    for arguments in [&["list"][..], &["prompts", "-m", "model", "--context-lengths", "400"]] {
        let mut command = place.command(env!("CARGO_BIN_EXE_niah"));
        Ran::of("", command.args(arguments).stdout(full()).output().unwrap()).refuses(FAILED, &["stdout"]);
    }
}

#[test]
fn what_cannot_be_shown_is_said() {
    let place = Place::new();
    fs::create_dir(place.path("hollow")).unwrap();
    for command in ["view hollow", "view gone", "attend hollow", "attend gone"] {
        place.niah(command).refuses(USAGE, &["no run here", "run.json", "niah run -o"]);
    }
    place.niah("run -m model --context-lengths 400 --depths 0,100 --limit 1 -o out").works(&[]);
    for (command, words) in [
        ("attend out --depth 100", &["depth 100", "has not run", "same niah run command"][..]),
        ("attend out --depth 50", &["--depth", "found 50", "0, 100"]),
        ("attend out --length 1k", &["--length", "found 1k", "400"]),
        ("attend out --depth 0 --trial 3", &["--trial", "found 3", "0 to 0"]),
        ("attend out --depth 0 --head 4.0", &["--head", "found 4.0", "0.0 to 3.3"]),
        ("attend out --depth 0 --head 0.4", &["--head", "found 0.4", "0.0 to 3.3"]),
        ("attend out --depth 0 --head best", &["--head", "best", "LAYER.HEAD"]),
        ("attend out --depth 0 --head 1.x", &["--head", "1.x", "LAYER.HEAD"]),
        ("attend out --depth 0 --head 1.2.3", &["--head", "1.2.3", "LAYER.HEAD"]),
        ("attend out --depth 0 --head -1.0", &[]),
        ("view out --by layer --depth 100", &["depth 100", "has run"]),
        ("view out --by layer --length 7", &["--length", "found 7", "400"]),
    ] {
        place.niah(command).ends(USAGE, words);
    }
    place.niah("attend out --depth 0 --head 3.3").works(&["running the trial again"]);
    place.niah("attend out --depth 101").misuses(&["--depth", "101"]);
    place.niah("attend").misuses(&["<RUN|MODEL>"]);

    place.write("text", "The cat sleeps. The cat eats.");
    place.write("blank", " \n");
    place.write("latin", b"caf\xe9");
    for (flags, words) in [
        ("--text gone", &["gone", "cannot read", "--text"][..]),
        ("--text latin", &["latin", "cannot read", "UTF-8"]),
        ("--text blank", &["blank", "empty"]),
        ("--text text --needle dog", &["--needle", "dog", "letter by letter"]),
        ("--text text --needle cat", &["--needle", "cat", "once"]),
        ("--text text --head 9.9", &["--head", "0.0 to 3.3"]),
        ("--text text --variant hardmax", &["hardmax", "softmax"]),
    ] {
        place.niah(&format!("attend {flags} --query why -m model")).refuses(USAGE, words);
    }
    place.niah("attend --text text").misuses(&["--query"]);
    place.niah("attend --text text --query why -m model --needle sleeps").works(&[]);

    fs::remove_file(place.path("out/results.csv")).unwrap();
    for command in ["view out", "attend out"] {
        place.niah(command).refuses(USAGE, &["results.csv", "cannot read", "niah run"]);
    }
}

#[test]
fn numbers_that_are_no_numbers_in_the_results_are_drawn_as_missing() {
    let place = Place::new();
    place.run("").works(&[]);
    for number in ["NaN", "inf", "-1e300", "1e300"] {
        for name in ["out/results.csv", "out/attention.csv"] {
            let original = fs::read_to_string(place.path(name)).unwrap();
            let column = if name.contains("results") { "needle_mass_top" } else { "needle_mass" };
            let at = original.lines().next().unwrap().split(',').position(|c| c == column).unwrap();
            let changed: Vec<String> = original
                .lines()
                .enumerate()
                .map(|(i, line)| {
                    let mut fields: Vec<&str> = line.split(',').collect();
                    if i > 0 && fields.len() > at {
                        fields[at] = number;
                    }
                    fields.join(",")
                })
                .collect();
            place.write(name, changed.join("\n") + "\n");
            for command in ["view out", "view out --by layer", "view out --output-format json"] {
                let ran = place.niah(command);
                assert!(matches!(ran.code, Some(0 | USAGE)), "{number}: {:?} {}", ran.code, ran.stderr);
            }
            place.write(name, original);
        }
    }
}
