//! A prompt of the user's own: a text and a query, without a grid.

use std::ops::Range;

use candle_core::Device;

use super::{ModelChoice, OpenModel, load_tokenizer};
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::tokenizer::{TextTokenizer, Tokenize};

/// A checkpoint, ready to read a text.
pub struct TextPlan {
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// The checkpoint as it runs, weights not loaded.
    pub model: OpenModel,
}

/// A text as the model reads it.
pub struct TextPrompt {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Tokens of the passages that were pointed out, ascending; those that meet are one.
    pub needles: Vec<Range<usize>>,
}

impl TextPlan {
    /// Opens a checkpoint, weights not loaded.
    ///
    /// # Errors
    /// When the checkpoint or the variant cannot be used.
    pub fn resolve(choice: &ModelChoice, device: &Device) -> Result<Self> {
        let mut model = choice.open(device)?;
        let tokenizer = load_tokenizer(&model.checkpoint)?;
        model.checkpoint.warnings.extend_from_slice(tokenizer.notes());
        Ok(Self { tokenizer, model })
    }

    /// The prompt `text`, empty line, `query`: one user's turn when the checkpoint has a chat template, plain
    /// text otherwise.
    ///
    /// # Errors
    /// When one of `needles` does not occur exactly once in the text, or the template fails.
    pub fn prompt(&self, text: &str, query: &str, needles: &[String]) -> Result<TextPrompt> {
        let content = format!("{}\n\n{query}", text.trim_end());
        let whole = match self.tokenizer.chat_template()? {
            Some(template) => template
                .render(None, &content)
                .and_then(|whole| shown(whole, &content))
                .map_err(|error| Error::ChatTemplate(format!("{}; {OTHER_TEMPLATE}", problem(error))))?,
            None => content,
        };
        let bytes = needles.iter().map(|needle| occurrence(&whole, needle)).collect::<Result<Vec<_>>>()?;
        let encoded = self.tokenizer.encode(&whole)?;
        let bos = self.tokenizer.bos().filter(|bos| encoded.ids.first() != Some(bos));
        let shift = usize::from(bos.is_some());
        let of_needle = |bytes: Range<usize>| {
            let overlaps = |span: &Range<usize>| span.start < bytes.end && span.end > bytes.start;
            let first = encoded.spans.iter().position(overlaps).unwrap_or(0);
            let last = encoded.spans.iter().rposition(overlaps).unwrap_or(first);
            first + shift..last + 1 + shift
        };
        let needles = union(bytes.into_iter().map(of_needle).collect());
        Ok(TextPrompt { tokens: bos.into_iter().chain(encoded.ids).collect(), needles })
    }

    /// What the checkpoint warns of.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.model.checkpoint.warnings
    }

    /// Refuses a prompt and answer of `tokens` that do not fit into memory; the warning when they are beyond
    /// the checkpoint's positions.
    ///
    /// # Errors
    /// When there is not enough memory, or no position left of those that the checkpoint has learned.
    pub fn check_length(&self, tokens: usize) -> Result<Option<String>> {
        let memory = self.model.memory(tokens);
        memory.check(self.model.precision, "take a shorter `text` or a smaller checkpoint")?;
        self.model.check_length("text", tokens)?;
        let positions = self.model.spec().max_position_embeddings.filter(|&positions| tokens > positions);
        Ok(positions.map(|positions| {
            format!(
                "{tokens} tokens are beyond the {positions} positions that the checkpoint declares; take a \
                 shorter --text"
            )
        }))
    }

    /// The decoder that reads it.
    #[must_use]
    pub fn spec(&self) -> &DecoderSpec {
        self.model.spec()
    }

    /// Ids that end an answer.
    #[must_use]
    pub fn end_tokens(&self) -> Vec<u32> {
        self.tokenizer.eos_ids().iter().copied().collect()
    }
}

/// What the ranges cover, as ranges of which none meet.
fn union(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut union: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match union.last_mut().filter(|last| range.start <= last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => union.push(range),
        }
    }
    union
}

/// What to do about a template that cannot be used.
const OTHER_TEMPLATE: &str = "put another one into chat_template.jinja of the model's directory";

/// The prompt, which must hold what the user's turn says; templates strip white space around it.
fn shown(whole: String, content: &str) -> Result<String> {
    match whole.contains(content.trim()) {
        true => Ok(whole),
        false => Err(Error::ChatTemplate("leaves out what the user says".to_string())),
    }
}

fn problem(error: Error) -> String {
    match error {
        Error::ChatTemplate(problem) => problem,
        other => other.to_string(),
    }
}

/// The bytes of `needle` in `text`, where it stands exactly once.
fn occurrence(text: &str, needle: &str) -> Result<Range<usize>> {
    let mut found = text.match_indices(needle);
    match (found.next(), found.next()) {
        (Some((start, _)), None) if !needle.is_empty() => Ok(start..start + needle.len()),
        (None, _) => {
            Err(Error::invalid("needle", format!("{needle:?}"), "a passage of the text, letter by letter"))
        }
        _ => Err(Error::invalid(
            "needle",
            format!("{needle:?}"),
            "a passage that occurs once in the text; take more of it",
        )),
    }
}
