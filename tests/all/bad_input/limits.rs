//! Limits that a shell or a batch system sets on this process.
#![cfg(target_os = "linux")]

use std::fs::File;

use super::{FAILED, Place, Ran, USAGE};

/// Runs `niah` with these arguments under a limit of `kibibytes` that `ulimit` sets.
fn limited(place: &Place, limit: &str, kibibytes: u32, arguments: &str) -> Ran {
    let mut command = place.command("sh");
    let script = format!("ulimit {limit} {kibibytes}; exec {} {arguments}", env!("CARGO_BIN_EXE_niah"));
    let output = command.args(["-c", &script]).output().unwrap();
    Ran::of(&format!("{arguments} under ulimit {limit} {kibibytes}"), output)
}

#[test]
fn a_run_beyond_a_limit_on_memory_is_refused_with_the_numbers() {
    let place = Place::new();
    // The keys and values of a million tokens take half a gibibyte.
    let arguments = "run -m model --context-lengths 1m --depths 50 --threads 1 -o out";
    for limit in ["-v", "-d"] {
        let words = ["the run needs", "cache 0.", "GiB is available under ulimit", limit];
        limited(&place, limit, 400_000, arguments).refuses(USAGE, &words);
    }
    limited(&place, "-v", 400_000, "run -m model --context-lengths 400 --depths 50 -o out")
        .works(&["results: out"]);
}

#[test]
fn what_no_plan_foresees_ends_with_a_message_as_well() {
    let place = Place::new();
    // A sparse file: it takes no space on disk.
    File::create(place.path("huge")).unwrap().set_len(800 << 20).unwrap();
    limited(&place, "-v", 400_000, "run -m model --haystack huge -o out").refuses(
        FAILED,
        &["out of memory", "bytes more are not available under ulimit -v 400000", "repeat the command"],
    );
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_is_cut_short_after_it_was_looked_at_is_an_error() {
    // Opened by its whole header, then cut: what a download that is begun anew does to a file in use.
    use niah::checkpoint::{Checkpoint, RopeOverride};
    use niah::model::decoder::Decoder;
    use niah::spec::Dtype;

    for file in ["model/model.safetensors", "m.gguf"] {
        let place = Place::new();
        super::common::gguf::write(&place.path("m.gguf"), &super::common::gguf::metadata());
        let path = place.path(if file == "m.gguf" { "m.gguf" } else { "model" });
        let checkpoint = Checkpoint::open(path.to_str().unwrap(), RopeOverride::default()).unwrap();
        let whole = File::options().write(true).open(place.path(file)).unwrap();
        whole.set_len(whole.metadata().unwrap().len() / 2).unwrap();
        let error =
            checkpoint.load(&candle_core::Device::Cpu, Dtype::F32, Decoder::load).unwrap_err().to_string();
        assert!(error.contains("cut short while it was being read"), "{error}");
    }
}
