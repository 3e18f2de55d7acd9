//! A training that goes on: what its directory says, and over it what was typed.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::cli::{SaveDtype, TrainArgs, TrainedFamily};
use crate::error::{Error, Result};
use crate::train::TrainingOptions;

/// The flags of the training that goes on in the directory: those that were typed, and else what is stored.
/// `settings` and `about` are those of its record.
pub(super) fn flags(
    args: &TrainArgs,
    given: &[(String, String)],
    settings: &Value,
    about: &Value,
) -> TrainArgs {
    let typed = |flag: &str| given.iter().any(|(name, _)| name == flag);
    let mut args = args.clone();
    if !typed("--family") && settings["sizes"].get("key_dim").is_some() {
        args.family = TrainedFamily::Multiscreen;
    }
    if !typed("--save-dtype") && is_rounded(&args.output) {
        args.save_dtype = SaveDtype::Bf16;
    }
    if let Some(steps) = about["save_every"].as_u64().filter(|_| !typed("--save-every")) {
        args.save_every = steps as usize;
    }
    args
}

/// What is stored, and in its place what was typed: where the two differ, the directory refuses to go on.
///
/// # Errors
/// [`Error::Message`] when what is stored are no options of a training.
pub(super) fn options(
    typed: &TrainingOptions,
    given: &[(String, String)],
    stored: &Value,
) -> Result<TrainingOptions> {
    let typed = serde_json::to_value(typed).unwrap_or_default();
    let mut merged = stored.clone();
    if !typed["init"].is_null() {
        // It may have been typed without a flag.
        put(&mut merged, &typed, "init");
    }
    for (flag, _) in given {
        match flag.as_str() {
            "--haystack" => put(&mut merged, &typed, "haystacks"),
            "--beta1" | "--beta2" => put(&mut merged, &typed, "betas"),
            "--family" if is_multiscreen(&typed) != is_multiscreen(stored) => {
                put(&mut merged, &typed, "sizes")
            }
            _ => put(&mut merged, &typed, &flag.trim_start_matches('-').replace('-', "_")),
        }
    }
    serde_json::from_value(merged).map_err(|error| {
        Error::Message(format!(
            "training.json: not the settings of a training ({error}); begin in another --output"
        ))
    })
}

fn is_multiscreen(settings: &Value) -> bool {
    settings["sizes"].get("key_dim").is_some()
}

/// Sets an option, at the top or in one of its groups, to what was typed. A flag that is no option changes
/// nothing.
fn put(merged: &mut Value, typed: &Value, key: &str) {
    for group in ["", "/sizes", "/training"] {
        let typed = typed.pointer(group).and_then(Value::as_object);
        let Some(merged) = merged.pointer_mut(group).and_then(Value::as_object_mut) else { continue };
        if merged.contains_key(key) || typed.is_some_and(|typed| typed.contains_key(key)) {
            return set(merged, key, typed.and_then(|typed| typed.get(key)));
        }
    }
}

fn set(options: &mut Map<String, Value>, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => options.insert(key.to_string(), value.clone()),
        None => options.remove(key),
    };
}

/// Whether the weights in the directory are written in bf16. What is wrong with it is said where it is read
/// to go on.
fn is_rounded(directory: &Path) -> bool {
    let text = fs::read(directory.join("config.json")).unwrap_or_default();
    serde_json::from_slice::<Value>(&text).is_ok_and(|config| config["dtype"] == "bfloat16")
}
