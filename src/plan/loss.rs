//! The plan of `niah loss`: texts of one length in tokens and the variant, resolved against a checkpoint
//! before any weight is loaded.

use candle_core::Device;
use serde::Serialize;

use super::{MemoryPlan, ModelChoice, OpenModel, load_tokenizer};
use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::haystack::Haystack;
use crate::loss::rows_at_once;
use crate::split::Split;
use crate::tokenizer::{TextTokenizer, Tokenize};

/// What `niah loss` is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LossSettings {
    /// The checkpoint and how it is run.
    #[serde(flatten)]
    pub model: ModelChoice,
    /// Tokens that the last prediction is made from; a text has one more.
    pub context_length: usize,
    /// Number of texts.
    pub trials: usize,
    /// Seed of the texts.
    pub seed: u64,
    /// Name or path of the haystack that they are from.
    pub haystack: String,
    /// The part of it.
    pub split: Split,
    /// Number of position buckets, of equal width; they double when absent.
    pub buckets: Option<usize>,
}

impl LossSettings {
    fn check(&self) -> Result<()> {
        let counts = [("trials", self.trials), ("buckets", self.buckets.unwrap_or(1))];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(Error::invalid(name, 0, "at least 1")),
            None => Ok(()),
        }
    }
}

/// Ready to run: only the weights are missing.
pub struct LossPlan {
    /// What was asked for.
    pub settings: LossSettings,
    /// The checkpoint as it runs, weights not loaded.
    pub model: OpenModel,
    /// The texts in tokens, one more each than the context length.
    pub texts: Vec<Vec<u32>>,
    /// The haystack.
    pub haystack: Haystack,
    /// SHA-256 of what the tokenizer was made from.
    pub tokenizer_hash: String,
    /// What the user should know before the run.
    pub warnings: Vec<String>,
}

impl LossPlan {
    /// Resolves settings: everything that can be wrong with them is found here.
    ///
    /// # Errors
    /// When anything named is unknown, missing, damaged or does not fit, memory is too small, or the haystack
    /// has fewer tokens than asked for.
    pub fn resolve(settings: LossSettings, device: &Device) -> Result<Self> {
        settings.check()?;
        let haystack = Haystack::resolve(&settings.haystack)?.part(settings.split)?;
        let model = settings.model.open(device)?;
        let length = settings.context_length;
        model.check_length("context length", length)?;
        let rows = rows_at_once(settings.model.chunk_size, model.spec().vocab_size).min(length);
        let memory = MemoryPlan::of_logits(model.spec(), model.precision, length, rows, 0);
        MemoryPlan { output: 0, ..memory }
            .check(model.precision, "use a shorter `context length` or a smaller checkpoint")?;
        let tokenizer = load_tokenizer(&model.checkpoint)?;
        let text = |trial| text(&haystack, settings.seed, trial, &tokenizer, length);
        Ok(Self {
            texts: (0..settings.trials).map(text).collect::<Result<_>>()?,
            warnings: [model.warnings(length), tokenizer.notes().to_vec()].concat(),
            tokenizer_hash: tokenizer.hash().to_string(),
            settings: LossSettings { model: model.choice.clone(), ..settings },
            model,
            haystack,
        })
    }

    /// SHA-256 of each text's tokens as little-endian u32, in hex.
    #[must_use]
    pub fn text_hashes(&self) -> Vec<String> {
        let bytes = |text: &Vec<u32>| text.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>();
        self.texts.iter().map(|text| sha256_hex(bytes(text))).collect()
    }
}

/// Bytes of a token in ordinary text, about; a text grows until it has enough tokens.
const BYTES_PER_TOKEN: usize = 5;

/// Tokens behind a text that are encoded with it, so that its last one is not cut.
const MARGIN: usize = 16;

/// The text of one trial, `length + 1` tokens with the BOS that the tokenizer puts in front.
///
/// A text must not begin again: what was read before is copied, which is another thing than prediction.
fn text(
    haystack: &Haystack,
    seed: u64,
    trial: usize,
    tokenizer: &TextTokenizer,
    length: usize,
) -> Result<Vec<u32>> {
    let bos = tokenizer.bos();
    let wanted = length + 1 - usize::from(bos.is_some());
    let mut stream = haystack.open(seed, trial);
    let mut bytes = (wanted + MARGIN) * BYTES_PER_TOKEN;
    loop {
        stream.grow_to(bytes + 4);
        let text = stream.text();
        let end = (bytes..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        let encoded = tokenizer.encode(&text[..end])?;
        let new = encoded.spans.iter().take_while(|span| stream.loops_within(span.end) == 0).count();
        if new < wanted && new < encoded.ids.len() {
            let most = (new + usize::from(bos.is_some())).saturating_sub(1);
            let expected = format!(
                "at most {most}: the text of `haystack` {} begins again there, and what was read before can \
                 be copied; `haystack` synthetic never ends",
                haystack.name()
            );
            return Err(Error::invalid("context length", length, expected));
        }
        if encoded.ids.len() < wanted + MARGIN {
            bytes *= 2;
            continue;
        }
        let ids = &encoded.ids[..wanted];
        if let Some(id) = ids.iter().find(|id| tokenizer.special_ids().contains(id)) {
            let found = format!("the special token {:?}", tokenizer.token_text(*id)?);
            return Err(Error::invalid("haystack", found, "text without special tokens; take it out"));
        }
        return Ok(bos.into_iter().chain(ids.iter().copied()).collect());
    }
}
