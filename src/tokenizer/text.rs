//! The tokenizer that commands use, wherever it was read from and in whichever process it runs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::apart::{Answer, Apart, Question};
use super::facts::{Facts, Parts, TemplateSource};
use super::local::Local;
use super::{ChatTemplate, Encoded, Tokenize};
use crate::error::{Error, Result};
use crate::isolation::{Failure, caught};

/// A tokenizer with what is known about its special tokens, and the model's chat template.
pub struct TextTokenizer {
    facts: Facts,
    engine: Engine,
    /// Rows of the embedding that its ids index.
    rows: usize,
}

enum Engine {
    Here(Box<Local>),
    Apart(Mutex<Apart>),
}

impl TextTokenizer {
    pub(super) fn new(parts: Parts) -> Self {
        let (local, facts) = Local::new(parts);
        Self { facts, engine: Engine::Here(Box::new(local)), rows: usize::MAX }
    }

    /// The tokenizer that another process has read.
    pub(super) fn apart(apart: Apart, facts: Facts) -> Self {
        Self { facts, engine: Engine::Apart(Mutex::new(apart)), rows: usize::MAX }
    }

    /// Taken apart into what answers questions and what is known already.
    pub(super) fn into_local(self) -> Option<(Local, Facts)> {
        match self.engine {
            Engine::Here(local) => Some((*local, self.facts)),
            Engine::Apart(_) => None,
        }
    }

    /// How it makes tokens.
    pub(super) fn kind(&self) -> &'static str {
        self.facts.kind.name()
    }

    /// One more than the largest id, added tokens included: the rows an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.facts.vocab_size
    }

    /// Refuses texts with tokens beyond the `rows` of an embedding from now on: the model has never seen
    /// them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when words of the vocabulary, and not only tokens added to it, have no row, or
    /// when the beginning of every text has none.
    pub fn limit_to(&mut self, rows: usize) -> Result<()> {
        self.rows = rows;
        let Facts { vocab_size, added_ids, special_ids, bos, notes, .. } = &mut self.facts;
        let words: Vec<String> = added_ids
            .range(u32::try_from(rows).unwrap_or(u32::MAX)..)
            .filter(|id| !special_ids.contains(id))
            .map(u32::to_string)
            .collect();
        if !words.is_empty() {
            notes.push(format!(
                "tokens added to the vocabulary have no row in the embedding, so a text that holds one is \
                 refused: {}",
                words[..words.len().min(10)].join(", ")
            ));
        }
        let added = |id: usize| u32::try_from(id).is_ok_and(|id| added_ids.contains(&id));
        if !(rows..*vocab_size).all(added) {
            return Err(Error::Tokenizer(format!(
                "the tokenizer knows {vocab_size} tokens, but the embedding has {rows} rows: they belong to \
                 different models; put the model's own tokenizer.json beside the weights"
            )));
        }
        match bos.filter(|bos| *bos as usize >= rows) {
            Some(bos) => Err(Error::Tokenizer(format!(
                "its beginning-of-sequence token has id {bos}, but the embedding has {rows} rows; put the \
                 model's own tokenizer.json beside the weights"
            ))),
            None => Ok(()),
        }
    }

    /// Ids after which a response has ended.
    pub fn eos_ids(&self) -> &BTreeSet<u32> {
        &self.facts.eos_ids
    }

    /// SHA-256, in hexadecimal, of what defines the token ids: the bytes of `tokenizer.json`, or the
    /// vocabulary of the GGUF file.
    pub fn hash(&self) -> &str {
        &self.facts.hash
    }

    /// Settings of the tokenizer's files that are left aside, and why: for a warning.
    pub fn notes(&self) -> &[String] {
        &self.facts.notes
    }

    /// The model's chat template, or `None` for a model without one: its prompts are plain text to complete.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template cannot be parsed, or it is not clear which one to use.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        let (place, source) = match &self.facts.chat_template {
            None => return Ok(None),
            Some(TemplateSource::Unclear(problem)) => return Err(Error::ChatTemplate(problem.clone())),
            Some(TemplateSource::Source { place, source }) => (place, source),
        };
        let apart = matches!(self.engine, Engine::Apart(_));
        ChatTemplate::of_file(place, source, self.facts.special_tokens.clone(), apart).map(Some)
    }

    /// The template's source, parsed or not.
    pub(super) fn chat_template_source(&self) -> Option<&str> {
        match &self.facts.chat_template {
            Some(TemplateSource::Source { source, .. }) => Some(source),
            _ => None,
        }
    }

    /// Lets `here` answer in this process, or the other process the same question.
    fn answer<T>(
        &self,
        question: impl FnOnce() -> Question<'static>,
        seconds: u64,
        here: impl FnOnce(&Local) -> Result<T>,
        there: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T> {
        let failed = |failure: Failure| {
            Error::Tokenizer(format!("{failure}; download it again, from a place that you trust"))
        };
        match &self.engine {
            Engine::Here(local) => caught(|| here(local)).map_err(failed)?,
            Engine::Apart(apart) => {
                let mut apart = apart.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = apart.ask(&question(), seconds).map_err(failed)??;
                there(answer).ok_or_else(|| failed(Failure::Fault))
            }
        }
    }

    fn decode_with(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        // Some decoders count down from the first token.
        if ids.is_empty() {
            return Ok(String::new());
        }
        self.answer(
            || Question::Decode { ids: ids.to_vec(), skip_special },
            seconds(4 * ids.len()),
            |local| local.decode(ids, skip_special),
            Answer::text,
        )
    }
}

/// Seconds of computing that so many bytes of text may take: tokenizers go through a megabyte in one.
fn seconds(bytes: usize) -> u64 {
    5 + (bytes >> 16) as u64
}

impl Tokenize for TextTokenizer {
    fn encode(&self, text: &str) -> Result<Encoded> {
        let encoded = self.answer(
            || Question::Encode(text.to_string()),
            seconds(text.len()),
            |local| local.encode(text),
            Answer::encoded,
        )?;
        match encoded.ids.iter().position(|id| *id as usize >= self.rows) {
            None => Ok(encoded),
            Some(at) => Err(Error::Tokenizer(format!(
                "the text holds {:?}, token {} of the tokenizer, and the model's embedding has only {} rows; \
                 take it out of the text",
                text.get(encoded.spans[at].clone()).unwrap_or_default(),
                encoded.ids[at],
                self.rows
            ))),
        }
    }

    fn decode(&self, ids: &[u32]) -> Result<String> {
        self.decode_with(ids, false)
    }

    fn decode_plain(&self, ids: &[u32]) -> Result<String> {
        self.decode_with(ids, true)
    }

    fn token_text(&self, id: u32) -> Result<String> {
        self.token_texts(&[id]).map(|mut texts| texts.pop().unwrap_or_default())
    }

    fn token_texts(&self, ids: &[u32]) -> Result<Vec<String>> {
        self.answer(
            || Question::TokenTexts(ids.to_vec()),
            seconds(4 * ids.len()),
            |local| ids.iter().map(|id| local.token_text(*id)).collect(),
            Answer::texts,
        )
    }

    fn bos(&self) -> Option<u32> {
        self.facts.bos
    }

    fn special_ids(&self) -> &BTreeSet<u32> {
        &self.facts.special_ids
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.facts.vocab_size)
            .field("bos", &self.facts.bos)
            .field("eos_ids", &self.facts.eos_ids)
            .field("hash", &self.facts.hash)
            .finish_non_exhaustive()
    }
}
