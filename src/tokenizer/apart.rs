//! A tokenizer or a chat template in a process of its own: what is asked of it, and what it answers.
//!
//! Both ends are this program, so the questions are plain JSON and no version is negotiated. So are the
//! answers, but for the thousands of numbers of an encoding, which would take longer to write and to read
//! than to copy. What a file does to the process that answers is a [`Failure`] here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::chat_template::Job;
use super::facts::Facts;
use super::huggingface::MOST_BYTES;
use super::local::Local;
use super::{Encoded, GgufVocabulary, TextTokenizer, TokenizerOutline};
use crate::error::{Error, Result};
use crate::isolation::{self, Failure, Worker};
use crate::process;

/// Memory for a tokenizer beside what follows from the size of its files, in bytes.
const TOKENIZER_MEMORY: u64 = 1 << 30;
/// Bytes of memory for each byte of a tokenizer's files: words and merges stand in several tables.
const MEMORY_PER_BYTE: u64 = 48;
/// Memory for a template, in bytes.
const TEMPLATE_MEMORY: u64 = 512 << 20;
/// Seconds of computing for a template.
const TEMPLATE_SECONDS: u64 = 3;

/// With what the bytes of an encoding begin, and no JSON does.
const ENCODING: u8 = 0;
/// Bytes of a token there: its id, and the start and the end of its span.
const TOKEN_BYTES: usize = 12;

/// What is asked.
#[derive(Serialize, Deserialize)]
pub(super) enum Question<'a> {
    /// Read the tokenizer of a directory, or its outline.
    Directory { directory: PathBuf, outline: bool },
    /// Build that of a GGUF file, or its outline.
    Gguf { vocabulary: Box<Cow<'a, GgufVocabulary>>, outline: bool },
    /// Encode a text.
    Encode(String),
    /// Decode ids.
    Decode { ids: Vec<u32>, skip_special: bool },
    /// What each of these tokens stands for.
    TokenTexts(Vec<u32>),
    /// Render a template, or only parse it when there are no messages.
    Template(Job),
}

/// What is answered.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    Facts(Box<Facts>),
    /// Not JSON but [`ENCODING`], followed by three little-endian u32 for each token.
    #[serde(skip)]
    Encoded(Encoded),
    Text(String),
    Texts(Vec<String>),
    Refused(Refusal),
}

impl Answer {
    pub(super) fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn texts(self) -> Option<Vec<String>> {
        if let Self::Texts(texts) = self { Some(texts) } else { None }
    }

    pub(super) fn encoded(self) -> Option<Encoded> {
        if let Self::Encoded(encoded) = self { Some(encoded) } else { None }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self::Encoded(Encoded { ids, spans }) = self else {
            return serde_json::to_vec(self).unwrap_or_default();
        };
        // A text of 4 GiB takes more memory than this process may have.
        let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(1 + TOKEN_BYTES * ids.len());
        bytes.push(ENCODING);
        for (&id, span) in ids.iter().zip(spans) {
            bytes.extend([id, place(span.start), place(span.end)].map(u32::to_le_bytes).as_flattened());
        }
        bytes
    }

    /// What [`Self::to_bytes`] has written; `None` of other bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Some((&ENCODING, tokens)) = bytes.split_first() else {
            return serde_json::from_slice(bytes).ok();
        };
        let (tokens, []) = tokens.as_chunks::<TOKEN_BYTES>() else { return None };
        let number = |token: &[u8; TOKEN_BYTES], at: usize| {
            u32::from_le_bytes([token[at], token[at + 1], token[at + 2], token[at + 3]])
        };
        let span = |token| number(token, 4) as usize..number(token, 8) as usize;
        Some(Self::Encoded(Encoded {
            ids: tokens.iter().map(|token| number(token, 0)).collect(),
            spans: tokens.iter().map(span).collect(),
        }))
    }

    fn of(result: Result<Self>) -> Self {
        result.unwrap_or_else(|error| Self::Refused(error.into()))
    }
}

/// An [`Error`] on its way from one process to the other.
#[derive(Serialize, Deserialize)]
pub(super) enum Refusal {
    File { path: PathBuf, problem: String },
    Tokenizer(String),
    ChatTemplate(String),
    Other(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::File { path, problem } => Self::File { path, problem },
            Error::Tokenizer(problem) => Self::Tokenizer(problem),
            Error::ChatTemplate(problem) => Self::ChatTemplate(problem),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::File { path, problem } => Self::File { path, problem },
            Refusal::Tokenizer(problem) => Self::Tokenizer(problem),
            Refusal::ChatTemplate(problem) => Self::ChatTemplate(problem),
            Refusal::Other(problem) => Self::Message(problem),
        }
    }
}

/// The process that answers.
pub(super) struct Apart(Worker);

impl Apart {
    /// The answer, or the error that it is.
    ///
    /// # Errors
    /// The outer one when there is no answer, the inner one when the answer is an error.
    pub(super) fn ask(&mut self, question: &Question<'_>, seconds: u64) -> Result<Result<Answer>, Failure> {
        let bytes = serde_json::to_vec(question).map_err(|_| Failure::Fault)?;
        self.ask_bytes(&bytes, seconds)
    }

    fn ask_bytes(&mut self, question: &[u8], seconds: u64) -> Result<Result<Answer>, Failure> {
        let answer = self.0.ask(question, seconds)?;
        match Answer::from_bytes(&answer).ok_or(Failure::Fault)? {
            Answer::Refused(refusal) => Ok(Err(refusal.into())),
            answer => Ok(Ok(answer)),
        }
    }
}

impl TextTokenizer {
    /// [`Self::from_directory`], with everything that the files do happening in a process of its own where
    /// one can be had.
    ///
    /// # Errors
    /// Those of [`Self::from_directory`], and [`Error::File`] when the files end that process.
    pub fn isolated_from_directory(directory: &Path) -> Result<Self> {
        of_directory(directory, false, Self::from_directory)
    }

    /// [`Self::from_gguf`] in the same way.
    ///
    /// # Errors
    /// Those of [`Self::from_gguf`], and [`Error::Tokenizer`] when the vocabulary ends that process.
    pub fn isolated_from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        of_gguf(vocabulary, false, Self::from_gguf)
    }
}

impl TokenizerOutline {
    /// [`Self::from_directory`], in a process of its own where one can be had.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::isolated_from_directory`].
    pub fn isolated_from_directory(directory: &Path) -> Result<Self> {
        of_directory(directory, true, |directory| Self::from_directory(directory).map(Self::into_inner))
            .map(Self::new)
    }

    /// [`Self::from_gguf`] in the same way.
    ///
    /// # Errors
    /// Those of [`TextTokenizer::isolated_from_gguf`].
    pub fn isolated_from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        of_gguf(vocabulary, true, |vocabulary| Self::from_gguf(vocabulary).map(Self::into_inner))
            .map(Self::new)
    }
}

fn of_directory(
    directory: &Path,
    outline: bool,
    here: impl FnOnce(&Path) -> Result<TextTokenizer>,
) -> Result<TextTokenizer> {
    let path = directory.join("tokenizer.json");
    let failed = |failure| {
        Error::file(&path, format!("{failure}; download the file again, from a place that you trust"))
    };
    let bytes = path.metadata().map_or(0, |metadata| metadata.len().min(MOST_BYTES));
    let question = Question::Directory { directory: directory.to_path_buf(), outline };
    let question = serde_json::to_vec(&question).map_err(|error| Error::file(&path, error))?;
    match read(&question, bytes) {
        Some(read) => read.map_err(failed)?,
        None => isolation::caught(|| here(directory)).map_err(failed)?,
    }
}

fn of_gguf(
    vocabulary: &GgufVocabulary,
    outline: bool,
    here: impl FnOnce(&GgufVocabulary) -> Result<TextTokenizer>,
) -> Result<TextTokenizer> {
    let failed = |failure| {
        Error::Tokenizer(format!(
            "the vocabulary of the GGUF file {failure}; put the model's own tokenizer.json beside the file"
        ))
    };
    let question = Question::Gguf { vocabulary: Box::new(Cow::Borrowed(vocabulary)), outline };
    let question = serde_json::to_vec(&question).map_err(|error| Error::Tokenizer(error.to_string()))?;
    match read(&question, question.len() as u64) {
        Some(read) => read.map_err(failed)?,
        None => isolation::caught(|| here(vocabulary)).map_err(failed)?,
    }
}

/// Asks a new process to read a tokenizer out of so many bytes; `None` where there is none.
fn read(question: &[u8], bytes: u64) -> Option<Result<Result<TextTokenizer>, Failure>> {
    let mut apart = Apart(Worker::start(TOKENIZER_MEMORY + MEMORY_PER_BYTE * bytes)?);
    let read = apart.ask_bytes(question, 10 + (bytes >> 20));
    Some(read.and_then(|answer| match answer {
        Ok(Answer::Facts(facts)) => Ok(Ok(TextTokenizer::apart(apart, *facts))),
        Ok(_) => Err(Failure::Fault),
        Err(error) => Ok(Err(error)),
    }))
}

/// A process for one template, started when there is something to run.
#[derive(Default)]
pub(super) struct TemplateWorker(Mutex<Option<Apart>>);

impl TemplateWorker {
    /// Runs a job of the template there, or where no process can be had in this one.
    ///
    /// # Errors
    /// The outer one when the template ends the process, the inner one when it refuses.
    pub(super) fn run(&self, job: &Job) -> Result<Result<String, String>, Failure> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut apart) = held.take().or_else(|| Worker::start(TEMPLATE_MEMORY).map(Apart)) else {
            return isolation::caught(|| job.run());
        };
        let answer = apart.ask(&Question::Template(job.clone()), TEMPLATE_SECONDS)?;
        *held = Some(apart);
        match answer {
            Ok(Answer::Text(text)) => Ok(Ok(text)),
            Ok(_) => Err(Failure::Fault),
            Err(Error::ChatTemplate(problem)) => Ok(Err(problem)),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// Answers the questions of this module until there are no more: the other process of a tokenizer.
///
/// `memory` is what the process may take, in bytes, as [`isolation::ARGUMENT`] is followed by it.
pub fn serve_isolated(memory: &str) {
    // What it takes to encode a long text is not needed until the next one.
    process::give_back_large_blocks();
    let mut local: Option<Local> = None;
    isolation::serve(memory, move |question| {
        let (answer, has_read) = match serde_json::from_slice(question) {
            Ok(question) => {
                let reads = matches!(question, Question::Directory { .. } | Question::Gguf { .. });
                (Answer::of(answer(question, &mut local)), reads)
            }
            Err(error) => (Answer::of(Err(Error::Message(error.to_string()))), false),
        };
        // To read a file takes more than what comes of it.
        if has_read {
            process::give_back_memory();
        }
        answer.to_bytes()
    });
}

fn answer(question: Question<'_>, held: &mut Option<Local>) -> Result<Answer> {
    let local = || Error::Tokenizer("none has been read".to_string());
    Ok(match question {
        Question::Directory { directory, outline: false } => {
            hold(TextTokenizer::from_directory(&directory)?, held)?
        }
        Question::Directory { directory, outline: true } => {
            hold(TokenizerOutline::from_directory(&directory)?.into_inner(), held)?
        }
        Question::Gguf { vocabulary, outline: false } => hold(TextTokenizer::from_gguf(&vocabulary)?, held)?,
        Question::Gguf { vocabulary, outline: true } => {
            hold(TokenizerOutline::from_gguf(&vocabulary)?.into_inner(), held)?
        }
        Question::Encode(text) => Answer::Encoded(held.as_ref().ok_or_else(local)?.encode(&text)?),
        Question::Decode { ids, skip_special } => {
            Answer::Text(held.as_ref().ok_or_else(local)?.decode(&ids, skip_special)?)
        }
        Question::TokenTexts(ids) => {
            let local = held.as_ref().ok_or_else(local)?;
            Answer::Texts(ids.into_iter().map(|id| local.token_text(id)).collect::<Result<_>>()?)
        }
        Question::Template(job) => Answer::Text(job.run().map_err(Error::ChatTemplate)?),
    })
}

fn hold(tokenizer: TextTokenizer, held: &mut Option<Local>) -> Result<Answer> {
    let (local, facts) =
        tokenizer.into_local().ok_or_else(|| Error::Tokenizer("it is elsewhere".to_string()))?;
    *held = Some(local);
    Ok(Answer::Facts(Box::new(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_and_other_bytes_are_none() {
        let back = |answer: &Answer| Answer::from_bytes(&answer.to_bytes());
        let encoded = Encoded { ids: vec![7, u32::MAX], spans: vec![0..3, 3..70_000] };
        let bytes = Answer::Encoded(encoded.clone()).to_bytes();
        assert_eq!(Answer::from_bytes(&bytes).and_then(Answer::encoded), Some(encoded));
        assert_eq!(
            back(&Answer::Encoded(Encoded::default())).and_then(Answer::encoded),
            Some(Encoded::default())
        );
        assert_eq!(back(&Answer::Text("é".into())).and_then(Answer::text), Some("é".to_string()));
        for cut in [0, 2, bytes.len() - 1] {
            assert!(Answer::from_bytes(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
