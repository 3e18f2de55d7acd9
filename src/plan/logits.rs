//! The plan of `niah logits`: tokens, variant and rows resolved against a checkpoint, before any weight is
//! loaded.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use candle_core::Device;
use serde_json::Value;

use super::{MemoryPlan, ModelChoice, OpenModel, load_tokenizer};
use crate::attention::AttentionRows;
use crate::attention::variant::GivenScales;
use crate::checkpoint::{Checkpoint, Named, read_scales};
use crate::error::{Error, Result};
use crate::logits::LogitsRequest;
use crate::tokenizer::Tokenize;
use crate::{files, json};

/// What `niah logits` is asked to do.
#[derive(Debug, Clone)]
pub struct LogitsSettings {
    /// The checkpoint and how it is run.
    pub model: ModelChoice,
    /// A safetensors file with a scale for each layer and head.
    pub ssmax_scales: Option<PathBuf>,
    /// Where the tokens come from.
    pub input: TokenInput,
    /// Query rows whose attention is kept.
    pub attentions: Option<RowChoice>,
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum TokenInput {
    /// Ids as they are.
    Ids {
        /// The ids.
        ids: Vec<u32>,
        /// What they are called: `ids` or `ids file`.
        name: &'static str,
    },
    /// A text for the checkpoint's tokenizer.
    Text(String),
}

/// Query rows, chosen before the number of tokens is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChoice {
    /// Every row.
    All,
    /// The last row.
    Last,
    /// From the first to before the second.
    Some(Range<usize>),
}

impl FromStr for RowChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid("attentions", text, "all, last, or rows A..B such as 0..64 (B left out)");
        match text.trim() {
            "all" => Ok(Self::All),
            "last" => Ok(Self::Last),
            range => {
                let (start, end) = range.split_once("..").ok_or_else(wrong)?;
                let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
                Ok(Self::Some(number(start)?..number(end)?))
            }
        }
    }
}

impl RowChoice {
    /// The rows of `tokens` tokens, at least one.
    fn of(&self, tokens: usize) -> Result<Range<usize>> {
        match self {
            Self::All => Ok(0..tokens),
            Self::Last => Ok(tokens - 1..tokens),
            Self::Some(rows) if rows.start < rows.end && rows.end <= tokens => Ok(rows.clone()),
            Self::Some(rows) => {
                let expected = format!("one row or more within 0..{tokens}, of {tokens} tokens");
                Err(Error::invalid("attentions", format!("{}..{}", rows.start, rows.end), expected))
            }
        }
    }
}

/// Ready to run: only the weights are missing.
pub struct LogitsPlan {
    /// The checkpoint as it runs, weights not loaded.
    pub model: OpenModel,
    /// The tokens, at least one.
    pub tokens: Vec<u32>,
    /// The token that the tokenizer has put in front of a text.
    pub bos: Option<u32>,
    /// Query rows whose attention is kept.
    pub attention_rows: Option<Range<usize>>,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
    chunk: usize,
}

impl LogitsPlan {
    /// Resolves settings: everything that can be wrong with them is found here.
    ///
    /// # Errors
    /// When anything named is unknown, missing, damaged or does not fit, or memory is too small.
    pub fn resolve(settings: &LogitsSettings, device: &Device) -> Result<Self> {
        let model = open(settings, device)?;
        let (bos, tokens) = match &settings.input {
            TokenInput::Ids { ids, .. } => (None, ids.clone()),
            TokenInput::Text(text) => encode(text, &model.checkpoint)?,
        };
        let name = settings.input.name();
        check_ids(name, &tokens, model.spec().vocab_size)?;
        model.check_length(name, tokens.len())?;
        if let (Some(why), Some(_)) = (model.spec().without_rows(), &settings.attentions) {
            return Err(Error::invalid("attentions", "rows", format!("no such flag: {why}")));
        }
        let attention_rows = settings.attentions.as_ref().map(|rows| rows.of(tokens.len())).transpose()?;
        let warnings = model.warnings(tokens.len());
        let chunk = settings.model.chunk_size.min(tokens.len());
        let plan = Self { model, tokens, bos, attention_rows, warnings, chunk };
        plan.check_memory()?;
        Ok(plan)
    }

    /// What the decoder is asked.
    #[must_use]
    pub fn request(&self) -> LogitsRequest<'_> {
        LogitsRequest { tokens: &self.tokens, attention_rows: self.attention_rows.clone(), chunk: self.chunk }
    }

    fn check_memory(&self) -> Result<()> {
        let (spec, tokens) = (self.model.spec(), self.tokens.len());
        let rows = self.attention_rows.as_ref().map_or(0, ExactSizeIterator::len);
        let layers = spec.attention_layers().count();
        let attention = AttentionRows::bytes(layers, spec.num_attention_heads, rows, tokens);
        let remedy = match rows {
            0 | 1 => "give fewer tokens".to_string(),
            _ => format!(
                "the attention of {rows} rows alone takes {attention} bytes: take fewer rows with \
                 `attentions`, or fewer tokens"
            ),
        };
        MemoryPlan::of_logits(spec, self.model.precision, tokens, self.chunk, attention)
            .check(self.model.precision, &remedy)
    }
}

impl TokenInput {
    /// Ids separated by commas.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for anything that is no id.
    pub fn list(text: &str) -> Result<Self> {
        Ok(Self::Ids { ids: parse_ids(text)?, name: "ids" })
    }

    /// The ids of a JSON file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, or holds anything but an array of ids.
    pub fn file(path: &Path) -> Result<Self> {
        Ok(Self::Ids { ids: read_ids(path)?, name: "ids file" })
    }

    /// What it is called.
    fn name(&self) -> &'static str {
        match self {
            Self::Ids { name, .. } => name,
            Self::Text(_) => "text",
        }
    }
}

/// A text as the model reads it: BOS in front where the tokenizer puts one and the text has none, as in the
/// plain prompts of a run. Special tokens written out in the text are recognised; the chat template is left
/// out.
fn encode(text: &str, checkpoint: &Checkpoint) -> Result<(Option<u32>, Vec<u32>)> {
    let tokenizer = load_tokenizer(checkpoint)?;
    let ids = tokenizer.encode(text)?.ids;
    let bos = tokenizer.bos().filter(|bos| ids.first() != Some(bos));
    Ok((bos, bos.into_iter().chain(ids).collect()))
}

const IDS: &str = "token ids, whole numbers from 0 on";

/// Ids in a file, at most: several times what any model reads at once.
const MOST_IDS: usize = 8_000_000;

/// Bytes of such a file, at most.
const MOST_IDS_BYTES: u64 = 128 << 20;

fn parse_ids(text: &str) -> Result<Vec<u32>> {
    let wrong = |found: &str| Error::invalid("ids", format!("{found:?}"), format!("{IDS}, such as 1,2,3"));
    let ids = text.split(',').map(|id| id.trim().parse().map_err(|_| wrong(id)));
    if text.trim().is_empty() { Err(wrong(text)) } else { ids.collect() }
}

fn read_ids(path: &Path) -> Result<Vec<u32>> {
    let remedy = "write an array of token ids such as [1, 2, 3]";
    let wrong = |problem: String| Error::file(path, format!("{problem}; {remedy}"));
    let bytes = files::read(path, MOST_IDS_BYTES).map_err(|error| wrong(format!("cannot read: {error}")))?;
    let json: Value =
        json::parse(&bytes, MOST_IDS).map_err(|error| wrong(format!("broken JSON ({error})")))?;
    let Value::Array(items) = json else { return Err(wrong("no JSON array".to_string())) };
    let id = |(index, item): (usize, &Value)| {
        let id = item.as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| wrong(format!("item {index}: found {item}, expected {IDS}")))
    };
    items.iter().enumerate().map(id).collect()
}

fn check_ids(name: &str, ids: &[u32], vocab_size: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::invalid(name, "no tokens", "at least one"));
    }
    match ids.iter().enumerate().find(|(_, id)| **id as usize >= vocab_size) {
        None => Ok(()),
        Some((index, id)) => {
            let expected = format!("ids below {vocab_size}, the size of the checkpoint's vocabulary");
            Err(Error::invalid(name, format!("{id} (item {index})"), expected))
        }
    }
}

/// The model, with the scales that were given for it.
fn open(settings: &LogitsSettings, device: &Device) -> Result<OpenModel> {
    let Some(path) = &settings.ssmax_scales else { return settings.model.open(device) };
    let mut checkpoint = settings.model.checkpoint(Named::ByUser)?;
    let spec = &checkpoint.spec;
    let attending: Vec<usize> = spec.attention_layers().collect();
    let mut layers = vec![None; spec.num_hidden_layers];
    for (layer, scales) in attending.iter().zip(read_scales(path, attending.len(), spec.num_attention_heads)?)
    {
        layers[*layer] = Some(scales);
    }
    checkpoint.given_scales = Some(GivenScales { file: path.clone(), layers });
    let model = OpenModel::new(&settings.model, checkpoint, device)?;
    // `auto` is the rule that the checkpoint was made with: scales alone choose no other.
    if !matches!(model.variant.name(), "ssmax" | "ssmax-bias") {
        let found = format!("variant {}", model.variant.name());
        let expected = "a variant that has scales: give `variant` ssmax as well";
        return Err(Error::invalid("ssmax scales", found, expected));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_all_the_last_or_a_range_within_the_tokens() {
        let rows = |text: &str| RowChoice::from_str(text)?.of(8);
        assert_eq!(rows("all").unwrap(), 0..8);
        assert_eq!(rows("last").unwrap(), 7..8);
        assert_eq!(rows(" 2 .. 8 ").unwrap(), 2..8);
        for wrong in ["", "some", "3", "..", "1..", "..4", "-1..4", "1.5..4", "4..4", "5..4", "0..9", "8..8"]
        {
            let message = rows(wrong).unwrap_err().to_string();
            assert!(message.starts_with("attentions: found"), "{wrong}: {message}");
        }
    }

    #[test]
    fn ids_are_whole_numbers_and_nothing_else() {
        assert_eq!(parse_ids("1, 2,3").unwrap(), [1, 2, 3]);
        for wrong in ["", " ", "1,,2", "1,", "-1", "1.0", "1;2", "4294967296", "one"] {
            let message = parse_ids(wrong).unwrap_err().to_string();
            assert!(message.starts_with("ids: found"), "{wrong}: {message}");
        }
    }
}
