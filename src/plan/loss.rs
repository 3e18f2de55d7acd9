//! The plan of `niah loss`: texts of one length in tokens and the variant, resolved against a checkpoint before any weight is
//! loaded.

use serde::Serialize;

use super::{
    MemoryPlan, Precision, PrecisionChoice, check_numbers, check_positions, check_sizes, load_tokenizer,
    open, variant, warnings,
};
use crate::attention::AttentionVariant;
use crate::checkpoint::{Checkpoint, RopeOverride};
use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::haystack::Haystack;
use crate::loss::rows_at_once;
use crate::model::dtype::Dtype;
use crate::model::kv_cache::KvDtype;
use crate::split::Split;
use crate::tokenizer::{TextTokenizer, Tokenize};

/// What `niah loss` is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LossSettings {
    /// Checkpoint: a GGUF file, a directory, a hub id or `shipped:NAME`.
    pub model: String,
    /// Attention variant, or `auto` for the checkpoint's own.
    pub variant: String,
    /// Precision of the weights; that of the checkpoint when absent, and settled in a plan.
    pub dtype: Option<Dtype>,
    /// Precision of the cached keys and values; that which follows from the weights when absent.
    pub kv_dtype: Option<KvDtype>,
    /// One scale for all heads.
    pub ssmax_scale: Option<f64>,
    /// Tokens that go through the decoder at once.
    pub chunk_size: usize,
    /// The base of the rotary frequencies.
    pub rope_theta: Option<f64>,
    /// A factor on the base.
    pub rope_theta_scale: Option<f64>,
    /// Whether screening windows above the training length are unlimited beyond it; they are when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screening_window_expansion: Option<bool>,
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
    /// Precision of weights and cache.
    #[must_use]
    pub fn precision(&self) -> PrecisionChoice {
        PrecisionChoice { dtype: self.dtype, kv_dtype: self.kv_dtype }
    }

    fn check(&self, rope: RopeOverride) -> Result<()> {
        check_numbers(self.ssmax_scale, rope)?;
        let counts = [
            ("--chunk-size", self.chunk_size),
            ("--trials", self.trials),
            ("--buckets", self.buckets.unwrap_or(1)),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((flag, _)) => Err(Error::invalid(flag, 0, "at least 1")),
            None => Ok(()),
        }
    }
}

/// Ready to run: only the weights are missing.
pub struct LossPlan {
    /// What was asked for.
    pub settings: LossSettings,
    /// The checkpoint, weights not loaded.
    pub checkpoint: Checkpoint,
    /// The precision that runs.
    pub precision: Precision,
    /// The attention variant.
    pub variant: Box<dyn AttentionVariant>,
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
    /// When anything named is unknown, missing, damaged or does not fit, memory is too small, or the haystack has fewer tokens
    /// than asked for.
    pub fn resolve(settings: LossSettings) -> Result<Self> {
        let rope = RopeOverride { theta: settings.rope_theta, theta_scale: settings.rope_theta_scale };
        settings.check(rope)?;
        let haystack = Haystack::resolve(&settings.haystack)?.part(settings.split)?;
        let expansion = settings.screening_window_expansion;
        let (checkpoint, precision) = open(&settings.model, rope, settings.precision(), expansion)?;
        let (spec, length) = (&checkpoint.spec, settings.context_length);
        check_positions(spec, "--context-length", length)?;
        let variant = variant(&checkpoint, &settings.variant, settings.ssmax_scale)?;
        check_sizes(variant.as_ref(), "--context-length", length)?;
        let rows = rows_at_once(settings.chunk_size, spec.vocab_size).min(length);
        let memory = MemoryPlan::of_logits(spec, precision, length, rows, 0);
        MemoryPlan { output: 0, ..memory }
            .check(precision, "use a shorter --context-length or a smaller checkpoint")?;
        let tokenizer = load_tokenizer(&checkpoint)?;
        let text = |trial| text(&haystack, settings.seed, trial, &tokenizer, length);
        Ok(Self {
            texts: (0..settings.trials).map(text).collect::<Result<_>>()?,
            warnings: [warnings(&checkpoint, length), tokenizer.notes().to_vec()].concat(),
            tokenizer_hash: tokenizer.hash().to_string(),
            settings: LossSettings { dtype: Some(precision.dtype), ..settings },
            precision,
            variant,
            haystack,
            checkpoint,
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
                "at most {most}: the text of --haystack {} begins again there, and what was read before can be copied; \
                 --haystack synthetic never ends",
                haystack.name()
            );
            return Err(Error::invalid("--context-length", length, expected));
        }
        if encoded.ids.len() < wanted + MARGIN {
            bytes *= 2;
            continue;
        }
        let ids = &encoded.ids[..wanted];
        if let Some(id) = ids.iter().find(|id| tokenizer.special_ids().contains(id)) {
            let found = format!("the special token {:?}", tokenizer.token_text(*id)?);
            return Err(Error::invalid("--haystack", found, "text without special tokens; take it out"));
        }
        return Ok(bos.into_iter().chain(ids.iter().copied()).collect());
    }
}
