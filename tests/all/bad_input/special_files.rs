//! Pipes, sockets, devices and folders in the place of files: refused before anything is read, which could
//! wait for ever.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::{Place, USAGE};

/// Puts a special file of each kind at `name` and runs `refused` with what it is.
fn each_kind(place: &Place, name: &str, refused: impl Fn(&str)) {
    let path = place.path(name);
    let clear = || drop(fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)));
    clear();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused("a pipe");
    clear();
    let listener = UnixListener::bind(&path).unwrap();
    refused("a socket");
    drop(listener);
    clear();
    symlink("/dev/zero", &path).unwrap();
    refused("a device");
    clear();
    fs::create_dir(&path).unwrap();
    refused("a folder");
    clear();
}

#[test]
fn special_files_of_a_checkpoint_are_refused_by_name() {
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        let place = Place::new();
        let file = Path::new("model").join(name);
        each_kind(&place, file.to_str().unwrap(), |kind| {
            place.run("--dry-run").refuses(USAGE, &[name, kind, "regular file"]);
        });
    }
}

#[test]
fn special_files_that_a_flag_names_are_refused() {
    let place = Place::new();
    each_kind(&place, "m.gguf", |kind| {
        if kind != "a folder" {
            place.niah("inspect m.gguf").refuses(USAGE, &["m.gguf", kind]);
        }
    });
    each_kind(&place, "special", |kind| {
        if kind != "a folder" {
            place.run("--haystack special --dry-run").refuses(USAGE, &["special", kind]);
            place.niah("inspect special").refuses(USAGE, &["special", kind]);
        }
        place.niah("run --config special").refuses(USAGE, &["special", kind]);
        place.niah("logits model --ids-file special -o out").refuses(USAGE, &["special", kind]);
        place.niah("attend -m model --text special --query q").refuses(USAGE, &["special", kind]);
    });
}
