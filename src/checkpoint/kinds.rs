//! What a path is that is no checkpoint to be read, and the way out.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::Config;
use super::gguf::{self, Metadata};
use crate::error::{Error, Result};

const PICKLES: &str = "PyTorch pickles can run code when they are read, so niah does not; convert the model \
                       with transformers: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR, \
                       safe_serialization=True)";

/// How files of another kind begin, and what they are.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", PICKLES),
    (b"\x80\x02", PICKLES),
    (b"\x80\x04", PICKLES),
    (
        b"lmgg",
        "a model in the old format GGML; convert the original checkpoint to GGUF with a current llama.cpp",
    ),
    (
        b"fmgg",
        "a model in the old format GGMF; convert the original checkpoint to GGUF with a current llama.cpp",
    ),
    (
        b"tjgg",
        "a model in the old format GGJT; convert the original checkpoint to GGUF with a current llama.cpp",
    ),
    (
        b"\x89HDF",
        "a TensorFlow file; convert the model with transformers: from_pretrained(DIR, \
         from_tf=True).save_pretrained(NEW_DIR)",
    ),
];

/// The error about a file that is neither GGUF nor safetensors by its name, and begins with these bytes.
pub(super) fn other_file(path: &Path, begins: &[u8]) -> Error {
    let extension = extension(path);
    if is_pickle(&extension) {
        return Error::file(path, PICKLES);
    }
    if let Some((_, problem)) = BEGINNINGS.iter().find(|(beginning, _)| begins.starts_with(beginning)) {
        return Error::file(path, problem);
    }
    if begins.get(8) == Some(&b'{') {
        let problem = "safetensors under another name; call it model.safetensors, put its config.json and \
                       tokenizer.json beside it, and name the directory";
        return Error::file(path, problem);
    }
    if ["config.json", "model.safetensors.index.json"].iter().any(|name| path.ends_with(name)) {
        return Error::file(path, "a part of a checkpoint; name the directory that it is in");
    }
    if let Some(weights) = ollama_weights(path, begins) {
        let problem =
            format!("a manifest of Ollama; name the file of its weights, {weights} in the folder blobs");
        return Error::file(path, problem);
    }
    if extension == "onnx" {
        return Error::file(path, "an ONNX graph; name the checkpoint that it was exported from");
    }
    Error::file(path, "not a checkpoint; give a .gguf file, or a directory with config.json and safetensors")
}

/// The file of weights that a manifest of Ollama names.
fn ollama_weights(path: &Path, begins: &[u8]) -> Option<String> {
    let manifest = || Config::read(path).ok();
    let manifest = begins.starts_with(b"{").then(manifest)??;
    let kind = |layer: &&Value| layer["mediaType"] == "application/vnd.ollama.image.model";
    let layer = manifest.get("layers")?.as_array()?.iter().find(kind)?;
    Some(layer["digest"].as_str()?.replace(':', "-"))
}

/// Refuses a directory that holds a LoRA adapter: it changes another model, whose weights are elsewhere.
/// transformers loads that other model even where weights lie beside the adapter.
pub(super) fn refuse_adapter(directory: &Path) -> Result<()> {
    let file = directory.join("adapter_config.json");
    if !file.is_file() {
        return Ok(());
    }
    let base = Config::read(&file).ok().and_then(|config| config.get("base_model_name_or_path").cloned());
    let of = match base.as_ref().and_then(Value::as_str) {
        Some(base) => format!(" of the base model {base:?}"),
        None => String::new(),
    };
    Err(Error::file(
        directory,
        format!(
            "a LoRA adapter (adapter_config.json){of}, not a whole model; merge it first, with peft: \
             AutoPeftModelForCausalLM.from_pretrained(DIR).merge_and_unload().save_pretrained(NEW_DIR); \
             where the weights are merged already, take adapter_config.json out"
        ),
    ))
}

/// The GGUF file of a directory that has no safetensors, when it holds one, or the parts of one.
///
/// # Errors
/// [`Error::File`] with the names when it holds several.
pub(super) fn only_gguf(directory: &Path) -> Result<Option<PathBuf>> {
    // Beside a model that sees or hears stands the part that does.
    let found = names(directory, |name| extension(Path::new(name)) == "gguf" && !name.starts_with("mmproj"));
    let first = found.iter().find(|name| !gguf::other_parts(name).is_empty());
    let parts = |first: &String| gguf::other_parts(first).len() + 1 == found.len();
    match (&found[..], first) {
        ([], _) => Ok(None),
        ([one], _) => Ok(Some(directory.join(one))),
        (_, Some(first)) if parts(first) => Ok(Some(directory.join(first))),
        (several, _) => {
            let problem = format!("holds {} GGUF files; name one of them: {}", several.len(), shown(several));
            Err(Error::file(directory, problem))
        }
    }
}

/// The error about a directory without config.json.
pub(super) fn without_config(directory: &Path) -> Error {
    let wrong = |problem: String| Error::file(directory, problem);
    let holds = |name: &str| directory.join(name).is_file();
    if let Some(inner) = inner_checkpoints(directory) {
        return wrong(format!(
            "no config.json there; its folders hold checkpoints, name one of them: {inner}"
        ));
    }
    if holds("params.json") {
        return wrong(
            "a checkpoint in its maker's own format (params.json); download the one in the format of \
             transformers, with config.json"
                .to_string(),
        );
    }
    if holds("model_index.json") {
        return wrong("a pipeline of diffusers, which makes images; name a language model".to_string());
    }
    let weights = names(directory, |name| extension(Path::new(name)) == "safetensors");
    if !weights.is_empty() {
        return wrong(format!(
            "holds weights ({}) and no config.json; download config.json and the tokenizer of the model \
             beside them",
            shown(&weights)
        ));
    }
    if !names(directory, is_pickle_name).is_empty() {
        return wrong(format!("no config.json and no safetensors there. {PICKLES}"));
    }
    let others = names(directory, |name| {
        ["onnx", "h5", "msgpack", "tflite"].contains(&extension(Path::new(name)).as_str())
    });
    if !others.is_empty() {
        return wrong(format!(
            "holds a model for another runtime ({}); name a directory with config.json and safetensors",
            shown(&others)
        ));
    }
    if holds("tokenizer.json") || holds("tokenizer_config.json") {
        return wrong(
            "a tokenizer without a model; name a directory that holds config.json and weights as well"
                .to_string(),
        );
    }
    Error::file(
        directory.join("config.json"),
        "not found; a checkpoint directory holds config.json, tokenizer.json and weights",
    )
}

/// The error about a directory with config.json and without weights that can be read.
pub(super) fn without_weights(directory: &Path) -> Error {
    let weights = names(directory, |name| extension(Path::new(name)) == "safetensors");
    let problem = if weights.iter().any(|name| name.contains("-of-")) {
        "holds shards and no model.safetensors.index.json, which says what is in them; download it as well"
            .to_string()
    } else if !weights.is_empty() {
        format!("holds no model.safetensors; if the weights are {}, rename the file", shown(&weights))
    } else if !names(directory, is_pickle_name).is_empty() {
        format!("holds no safetensors. {PICKLES}")
    } else {
        "holds neither model.safetensors nor model.safetensors.index.json; download the weights into it"
            .to_string()
    };
    Error::file(directory, problem)
}

/// Refuses a GGUF file that says it is something else than a model, or has no tensors.
pub(super) fn refuse_other_gguf(path: &Path, metadata: &Metadata, tensors: usize) -> Result<()> {
    let kind = metadata.string("general.type")?;
    let architecture = metadata.string("general.architecture")?;
    let problem = match (kind.as_deref(), architecture.as_deref()) {
        (Some("adapter"), _) => {
            "a LoRA adapter (general.type), not a whole model; merge it into its base model with: \
             llama-export-lora"
                .to_string()
        }
        (Some("mmproj"), _) | (_, Some("clip")) => {
            "the part of a model that sees or hears (mmproj); name the file of its language model".to_string()
        }
        (Some("imatrix"), _) => "an importance matrix, which quantisation uses; name the file of the \
                                 model"
            .to_string(),
        (_, Some("controlvector")) => "a control vector; name the file of the model".to_string(),
        (Some("vocab"), _) => VOCABULARY.to_string(),
        (Some(other), _) if other != "model" => {
            format!("of general.type {other:?}, which is no model; name the file of a model")
        }
        _ if tensors == 0 && metadata.list_len("tokenizer.ggml.tokens").is_some() => VOCABULARY.to_string(),
        _ if tensors == 0 => "metadata without tensors; name the file that holds the weights".to_string(),
        _ => return Ok(()),
    };
    Err(Error::file(path, problem))
}

const VOCABULARY: &str =
    "a vocabulary without a model: the file has no tensors; name the file that holds the weights";

/// Names of the files of a directory that `wanted` takes, sorted.
fn names(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name());
    let mut names: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(|name| wanted(name)).collect();
    names.sort_unstable();
    names
}

/// Folders of a directory that hold checkpoints: of a training run, or of the hub's cache.
fn inner_checkpoints(directory: &Path) -> Option<String> {
    let folders = |directory: &Path| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.join("config.json").is_file())
            .collect::<Vec<_>>()
    };
    let mut found = folders(directory);
    found.extend(folders(&directory.join("snapshots")));
    found.sort_unstable();
    let names: Vec<_> = found.iter().map(|path| path.display().to_string()).collect();
    if names.is_empty() { None } else { Some(shown(&names)) }
}

/// Whether files of this extension are PyTorch's.
pub(super) fn is_pickle(extension: &str) -> bool {
    ["bin", "pt", "pth", "ckpt"].contains(&extension.to_lowercase().as_str())
}

fn is_pickle_name(name: &str) -> bool {
    is_pickle(&extension(Path::new(name)))
}

fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase()
}

/// The first names of a list.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
