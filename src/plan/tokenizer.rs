//! A checkpoint's tokenizer, from its directory, the metadata of its GGUF file, or the binary.

use std::path::{Path, PathBuf};

use crate::checkpoint::{Checkpoint, Metadata, TokenizerSource};
use crate::error::{Error, Result};
use crate::tokenizer::{GgufVocabulary, ReadFile, TextTokenizer, TokenizerOutline};

/// Loads the tokenizer that belongs to `checkpoint`, and refuses one whose tokens have no rows in its
/// embedding.
///
/// # Errors
/// When it is missing, damaged, of an unknown kind or of another model.
pub fn load_tokenizer(checkpoint: &Checkpoint) -> Result<TextTokenizer> {
    let (mut tokenizer, place) = load_text(&checkpoint.tokenizer)?;
    tokenizer.limit_to(checkpoint.spec.vocab_size).map_err(|error| located(&place, error))?;
    Ok(tokenizer)
}

/// Loads the tokenizer of this name, whose model runs elsewhere ([`TokenizerSource::named`]).
///
/// # Errors
/// When it is missing, damaged or of an unknown kind.
pub fn named_tokenizer(name: &str) -> Result<TextTokenizer> {
    load_text(&TokenizerSource::named(name)?).map(|(tokenizer, _)| tokenizer)
}

fn load_text(source: &TokenizerSource) -> Result<(TextTokenizer, PathBuf)> {
    load(
        source,
        TextTokenizer::from_files,
        TextTokenizer::isolated_from_directory,
        TextTokenizer::isolated_from_gguf,
    )
}

/// Loads the outline of that tokenizer, in a fraction of the time, with what speaks against using it.
pub(super) fn load_outline(checkpoint: &Checkpoint) -> Result<(TokenizerOutline, Option<Error>)> {
    let (mut outline, place) = load(
        &checkpoint.tokenizer,
        TokenizerOutline::from_files,
        TokenizerOutline::isolated_from_directory,
        TokenizerOutline::isolated_from_gguf,
    )?;
    let problem = outline.limit_to(checkpoint.spec.vocab_size).err().map(|error| located(&place, error));
    Ok((outline, problem))
}

/// The tokenizer and where it was found. What is part of the binary needs no process of its own.
fn load<T>(
    source: &TokenizerSource,
    from_files: fn(&Path, &ReadFile) -> Result<T>,
    from_directory: fn(&Path) -> Result<T>,
    from_gguf: fn(&GgufVocabulary) -> Result<T>,
) -> Result<(T, PathBuf)> {
    let of_directory = |directory: &Path| match from_directory(directory) {
        Ok(tokenizer) => Ok((tokenizer, directory.to_path_buf())),
        Err(error) => Err(located(directory, error)),
    };
    match source {
        TokenizerSource::Directory(directory) => of_directory(directory),
        TokenizerSource::Embedded(embedded) => {
            let directory = embedded.directory();
            let tokenizer = from_files(&directory, &|name| embedded.read(name).map(<[u8]>::to_vec));
            Ok((tokenizer.map_err(|error| located(&directory, error))?, directory))
        }
        TokenizerSource::Gguf(metadata) => {
            let built = vocabulary(metadata).and_then(|vocabulary| from_gguf(&vocabulary));
            // The remedy for a vocabulary that cannot be read: the model's own tokenizer.json, put beside the
            // file.
            match (built, metadata.path().parent()) {
                (Err(_), Some(beside)) if beside.join("tokenizer.json").is_file() => of_directory(beside),
                (Ok(tokenizer), _) => Ok((tokenizer, metadata.path().to_path_buf())),
                (Err(error), _) => Err(located(metadata.path(), error)),
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
                "tokenizer.ggml.{name} is missing: the file holds no tokenizer; put the model's own \
                 tokenizer.json beside it"
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
