//! What the command line is like to live with: forms for programs, completions, the manual, and lines that
//! fit.

use crate::common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::bench::Bench;
use niah::attention::variant::VARIANTS;
use niah::haystack::HAYSTACKS;
use niah::task::TASKS;
use serde_json::Value;

fn commands() -> Vec<String> {
    niah::cli::command().get_subcommands().map(|command| command.get_name().to_string()).collect()
}

#[test]
fn a_dry_run_as_json_says_what_the_words_say() {
    let bench = Bench::new();
    let dry: Value =
        serde_json::from_str(&bench.grid(&["--dry-run", "--output-format", "json", "--limit=5"])).unwrap();
    for (key, value) in [
        ("model", "tiny".into()),
        ("family", "llama".into()),
        ("variant", "softmax".into()),
        ("variant_description", "m = 1".into()),
        ("task", "magic".into()),
        ("haystack", "essays".into()),
        ("context_lengths", serde_json::json!([200, 300])),
        ("depths_percent", serde_json::json!([0.0, 50.0, 100.0])),
        ("cells", 6.into()),
        ("trials", 2.into()),
        ("prompts", 12.into()),
        ("prompts_now", 5.into()),
    ] {
        assert_eq!(dry[key], value, "{key}");
    }
    let number = |key: &str| dry[key].as_f64().unwrap();
    assert!(number("seconds") > 0.0 && number("computed_tokens") < number("prompt_tokens"));
    assert!(dry["memory_bytes"]["weights"].as_u64().unwrap() > 0);
    let words = bench.grid(&["--dry-run"]);
    assert!(
        words.contains(&format!("{} to read ({} computed", dry["prompt_tokens"], dry["computed_tokens"]))
    );
    assert!(!bench.path("niah-runs").exists());
}

#[test]
fn the_list_as_json_names_what_the_list_names() {
    let bench = Bench::new();
    let all: Value = serde_json::from_str(&bench.stdout(&["list", "--output-format", "json"])).unwrap();
    let tasks: Vec<_> =
        all["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(tasks, TASKS.iter().map(|task| task.name).collect::<Vec<_>>());
    let page = bench.stdout(&["list"]);
    for (kind, names) in all.as_object().unwrap() {
        let one: Value =
            serde_json::from_str(&bench.stdout(&["list", kind, "--output-format=json"])).unwrap();
        assert_eq!(&one[kind], names);
        for name in names.as_array().unwrap() {
            let [name, about] = ["name", "about"].map(|key| name[key].as_str().unwrap());
            assert!(page.contains(&format!("  {name:<15} {about}\n")), "{name}");
        }
    }
}

#[test]
fn a_name_that_is_nearly_right_gets_the_right_one() {
    let bench = Bench::new();
    let asked =
        |flag: &str, name: &str| bench.refused(&["run", "tiny", "--dry-run", flag, name], &["known: "]);
    assert!(asked("--variant", "sofmax").contains("did you mean softmax?"));
    assert!(asked("--task", "paskey").contains("did you mean passkey?"));
    let haystack = bench.refused(&["run", "tiny", "--dry-run", "--haystack", "esays"], &["no such haystack"]);
    assert!(haystack.contains("did you mean essays?"), "{haystack}");
    fs::write(bench.path("run.toml"), "trails = 3").unwrap();
    bench.refused(&["run", "tiny", "--config", "run.toml"], &["key \"trails\"", "did you mean trials?"]);
    assert!(!asked("--variant", "hardmax-of-mine").contains("did you mean"));
    assert!(!asked("--task", "riddle").contains("did you mean"));
}

#[test]
fn every_shell_completes_commands_flags_and_names_of_tables() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = bench.stdout(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: no {command}");
        }
        let names = VARIANTS.iter().map(|entry| entry.name).chain(HAYSTACKS.iter().map(|entry| entry.name));
        // Those of PowerShell end with flags.
        for name in
            names.chain(["--context-lengths"]).filter(|name| shell != "powershell" || name.starts_with('-'))
        {
            let flag = if shell == "fish" { name.trim_start_matches('-') } else { name };
            assert!(script.contains(flag), "{shell}: no {name}");
        }
        assert!(!script.contains("document-depth-percents"), "{shell}: hidden names stay hidden");
    }
    bench.refused(&["completions", "csh"], &["csh", "bash"]);
    let script = bench.stdout(&["completions", "bash"]);
    // Where there is a bash, it has to take it.
    let checked = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn();
    if let Ok(mut bash) = checked {
        bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(bash.wait().unwrap().success());
    }
}

#[test]
fn the_manual_has_a_page_of_every_command_with_its_flags_and_examples() {
    let bench = Bench::new();
    bench.stdout(&["man", "--output", "pages"]);
    let mut pages: Vec<_> = fs::read_dir(bench.path("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    let mut expected: Vec<_> = commands().iter().map(|command| format!("niah-{command}.1")).collect();
    expected.push("niah.1".to_string());
    expected.sort();
    assert_eq!(pages, expected);
    assert_eq!(bench.stdout(&["man"]), bench.text("pages/niah.1"));
    let run = bench.stdout(&["man", "run"]);
    assert_eq!(run, bench.text("pages/niah-run.1"));
    // In roff a hyphen is written with a backslash.
    let plain = run.replace('\\', "");
    for word in [
        ".TH niah-run 1",
        "--context-lengths",
        "--kv-dtype",
        "ssmax-fixed",
        ".SH EXAMPLES",
        "held-out",
        "The checkpoint, as a flag",
    ] {
        assert!(plain.contains(word), "no {word} in {plain}");
    }
    let page = bench.text("pages/niah.1").replace('\\', "");
    assert!(commands().iter().all(|command| page.contains(&format!("niah-{command}(1)"))), "{page}");
    bench.refused(&["man", "rum"], &["unknown command", "did you mean run?"]);
}

#[test]
fn a_configuration_file_takes_every_name_of_a_flag_and_a_model_without_a_flag_wins() {
    let bench = Bench::new();
    let config =
        "model = 'none/such'\nn_runs = 3\ncontext-length = [200, 300]\ndocument_depth_percents = 50\n";
    fs::write(bench.path("run.toml"), config).unwrap();
    let dry = bench.stdout(&["run", "tiny", "--config", "run.toml", "--dry-run"]);
    assert!(dry.contains("model      tiny") && dry.contains("cells      2, 3 trials each"), "{dry}");
}

/// A terminal of 60 columns.
#[cfg(target_os = "linux")]
fn terminal() -> (fs::File, Stdio) {
    use std::os::fd::FromRawFd;

    let size = libc::winsize { ws_row: 24, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut ours, mut theirs) = (0, 0);
    // SAFETY: the two descriptors are written by the call and owned by the files that are made of them.
    unsafe {
        let opened = libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        );
        assert_eq!(opened, 0, "no pseudo-terminal");
        (fs::File::from_raw_fd(ours), fs::File::from_raw_fd(theirs).into())
    }
}

/// What the terminal shows once nobody writes to it any more.
#[cfg(target_os = "linux")]
fn shown(mut terminal: fs::File) -> String {
    use std::io::Read;

    let mut text = Vec::new();
    let mut piece = [0; 4096];
    // The end of a pseudo-terminal is an error.
    while let Ok(count @ 1..) = terminal.read(&mut piece) {
        text.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(text).unwrap().replace('\r', "")
}

#[cfg(target_os = "linux")]
#[test]
fn lines_on_a_terminal_are_broken_at_words() {
    let bench = Bench::new();
    for (arguments, words) in [
        (&["run", "tiny", "--variant", "hardmax"][..], "niah: unknown variant \"hardmax\""),
        (&["run", "tiny", "--snap", "word"], "error: invalid value 'word' for '--snap <WHERE>'"),
    ] {
        let (ours, theirs) = terminal();
        let mut command = bench.command(arguments);
        let status = command.stderr(theirs).status().unwrap();
        drop(command);
        let text = shown(ours);
        assert_eq!(status.code(), Some(2), "{text}");
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 60), "{text}");
        let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(words), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
        let whole = bench.output(arguments);
        let whole = common::bench::stderr(&whole);
        assert_eq!(whole.split_whitespace().collect::<Vec<_>>().join(" "), flowing, "nothing is lost");
    }
}

/// The tables of names that code outside of their module can see.
fn tables(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tables(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = fs::read_to_string(&path).unwrap();
            let rows = ["&[Entry<", "&[registry::Entry<"];
            let declared = code.lines().filter_map(|line| {
                line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) "))?.strip_prefix("const ")
            });
            let of_rows = declared
                .filter_map(|line| line.split_once(": "))
                .filter(|(_, of)| rows.iter().any(|row| of.starts_with(row)));
            found.extend(of_rows.map(|(name, _)| name.to_string()));
        }
    }
}

#[test]
fn no_table_is_forgotten_by_the_test_that_walks_them_against_help() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let walked = fs::read_to_string(source.join("cli/help.rs")).unwrap();
    let mut found = Vec::new();
    tables(&source, &mut found);
    assert!(found.len() >= 20, "{found:?}");
    for table in found {
        assert!(walked.contains(&format!("{table})")) || walked.contains(&format!("{table} as")), "{table}");
    }
}
