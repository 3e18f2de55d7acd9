//! A checkpoint's tokenizer, from its directory or from the metadata of its GGUF file.

use crate::checkpoint::{Checkpoint, Metadata, TokenizerSource};
use crate::error::{Error, Result};
use crate::tokenizer::{GgufVocabulary, TextTokenizer};

/// Loads the tokenizer that belongs to `checkpoint`.
///
/// # Errors
/// When it is missing, damaged or of an unknown kind.
pub fn load_tokenizer(checkpoint: &Checkpoint) -> Result<TextTokenizer> {
    match &checkpoint.tokenizer {
        TokenizerSource::Directory(directory) => TextTokenizer::from_directory(directory),
        TokenizerSource::Gguf(metadata) => TextTokenizer::from_gguf(&vocabulary(metadata)?),
    }
}

/// The vocabulary that `tokenizer.ggml.*` describes.
fn vocabulary(metadata: &Metadata) -> Result<GgufVocabulary> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let required = |name: &str| {
        Error::file(metadata.path(), format!("tokenizer.ggml.{name} is missing: the file holds no tokenizer"))
    };
    let id = |name: &str| Ok::<_, Error>(metadata.integer(&key(name))?.and_then(|id| u32::try_from(id).ok()));
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
