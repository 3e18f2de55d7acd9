//! A checkpoint's tokenizer, from its directory, the metadata of its GGUF file, or the binary.

use std::path::Path;

use crate::checkpoint::{Checkpoint, Metadata, TokenizerSource};
use crate::error::{Error, Result};
use crate::files;
use crate::tokenizer::{GgufVocabulary, MOST_BYTES, ReadFile, TextTokenizer, TokenizerOutline};

/// Loads the tokenizer that belongs to `checkpoint`.
///
/// # Errors
/// When it is missing, damaged or of an unknown kind.
pub fn load_tokenizer(checkpoint: &Checkpoint) -> Result<TextTokenizer> {
    load(checkpoint, TextTokenizer::from_files, TextTokenizer::from_gguf)
}

/// Loads the outline of that tokenizer, in a fraction of the time.
pub(super) fn load_outline(checkpoint: &Checkpoint) -> Result<TokenizerOutline> {
    load(checkpoint, TokenizerOutline::from_files, TokenizerOutline::from_gguf)
}

fn load<T>(
    checkpoint: &Checkpoint,
    from_files: fn(&Path, &ReadFile) -> Result<T>,
    from_gguf: fn(&GgufVocabulary) -> Result<T>,
) -> Result<T> {
    let from_directory =
        |directory: &Path| from_files(directory, &|name| files::read(&directory.join(name), MOST_BYTES));
    match &checkpoint.tokenizer {
        TokenizerSource::Directory(directory) => {
            from_directory(directory).map_err(|error| located(directory, error))
        }
        TokenizerSource::Embedded(embedded) => {
            let directory = embedded.directory();
            from_files(&directory, &|name| embedded.read(name).map(<[u8]>::to_vec))
                .map_err(|error| located(&directory, error))
        }
        TokenizerSource::Gguf(metadata) => {
            let built = vocabulary(metadata).and_then(|vocabulary| from_gguf(&vocabulary));
            // The remedy for a vocabulary that cannot be read: the model's own tokenizer.json, put beside the file.
            match (built, metadata.path().parent()) {
                (Err(_), Some(beside)) if beside.join("tokenizer.json").is_file() => {
                    from_directory(beside).map_err(|error| located(beside, error))
                }
                (built, _) => built.map_err(|error| located(metadata.path(), error)),
            }
        }
    }
}

/// An error of a tokenizer with the place that the tokenizer is from.
fn located(path: &Path, error: Error) -> Error {
    match error {
        Error::Tokenizer(problem) => Error::file(path, format!("tokenizer: {problem}")),
        other => other,
    }
}

/// The vocabulary that `tokenizer.ggml.*` describes.
fn vocabulary(metadata: &Metadata) -> Result<GgufVocabulary> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let required = |name: &str| {
        Error::file(
            metadata.path(),
            format!(
                "tokenizer.ggml.{name} is missing: the file holds no tokenizer; put the model's own tokenizer.json beside it"
            ),
        )
    };
    let id = |name: &str| metadata.id(&key(name));
    let numbers = |name: &str| metadata.numbers(&key(name));
    Ok(GgufVocabulary {
        model: metadata.string(&key("model"))?.ok_or_else(|| required("model"))?,
        pre: metadata.string(&key("pre"))?,
        tokens: metadata.strings(&key("tokens"))?.ok_or_else(|| required("tokens"))?,
        scores: numbers("scores")?.map(|scores| scores.into_iter().map(|x| x as f32).collect()),
        token_types: numbers("token_type")?.map(|types| types.into_iter().map(|x| x as i32).collect()),
        merges: metadata.strings(&key("merges"))?.unwrap_or_default(),
        bos: id("bos_token_id")?,
        eos: id("eos_token_id")?,
        unk: id("unknown_token_id")?,
        pad: id("padding_token_id")?,
        eot: id("eot_token_id")?,
        add_bos: metadata.flag(&key("add_bos_token"))?,
        add_eos: metadata.flag(&key("add_eos_token"))?,
        add_space_prefix: metadata.flag(&key("add_space_prefix"))?,
        chat_template: metadata.string("tokenizer.chat_template")?,
    })
}
