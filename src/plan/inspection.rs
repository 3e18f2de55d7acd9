//! What a checkpoint is, from its headers alone: no weight is read but learned scales, which are a few
//! numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::memory::is_zero;
use super::tokenizer::load_outline;
use super::{MemoryPlan, ModelChoice, Precision};
use crate::attention::screening::Screen;
use crate::attention::variant::{LayerScale, OwnVariant};
use crate::checkpoint::{Checkpoint, Named, RopeOverride, TokenizerSource};
use crate::error::Result;
use crate::generate::DEFAULT_CHUNK;
use crate::grid::ContextLength;
use crate::process::available_memory;
use crate::spec::{DecoderSpec, Dtype, WeightForm};

/// Everything that `niah inspect` shows.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The checkpoint as the user named it.
    pub model: String,
    /// Its family.
    pub family: &'static str,
    /// The files that hold its weights.
    pub files: Vec<PathBuf>,
    /// Their size together, in bytes.
    pub file_bytes: u64,
    /// Number of tensors of each dtype or quantisation in them.
    pub tensors: BTreeMap<String, usize>,
    /// Number of weights.
    pub parameters: usize,
    /// What the decoder is made of.
    pub spec: DecoderSpec,
    /// Length the weights were trained on, in tokens.
    pub training_length: Option<usize>,
    /// The attention that it was made with.
    pub attention: AttentionFacts,
    /// Its tokenizer; `None` when it has none that can be used.
    pub tokenizer: Option<TokenizerFacts>,
    /// What its files hold that nothing reads.
    pub warnings: Vec<String>,
    /// What stands in the way of a run, beside missing memory.
    pub problems: Vec<String>,
    /// The precision that a run has the weights in.
    pub dtype: Dtype,
    /// The form that it holds them in.
    pub weights: WeightForm,
    /// Memory of a run, by length.
    pub memory: Vec<LengthMemory>,
    /// Memory that this machine has free, in bytes, where it says so.
    pub available_bytes: Option<usize>,
}

/// An attention variant as a checkpoint has it.
#[derive(Debug, Clone, Serialize)]
pub struct AttentionFacts {
    /// Name of the variant.
    pub variant: String,
    /// Which scale, and where it comes from.
    pub description: String,
    /// Learned `s`, `[layers][heads]`; a layer that does not follow the rule has none.
    pub ssmax_scale: Option<Vec<Vec<f32>>>,
    /// Learned `b`, `[layers][heads]`.
    pub ssmax_bias: Option<Vec<Vec<f32>>>,
    /// The largest size of a score before the variant's multiplier, where norms without a gain bound it
    /// ([`DecoderSpec::largest_score`]).
    pub largest_score: Option<f64>,
    /// What `--variant ssmax` is where no scale is learned; absent where it is no swap, or none is possible.
    pub swap: Option<String>,
    /// Windows and acceptance widths of screening tiles, `[layers][tiles]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screens: Option<Vec<Vec<LearnedScreen>>>,
}

/// What a screening tile has learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LearnedScreen {
    /// Window and acceptance width.
    #[serde(flatten)]
    pub screen: Screen,
    /// Whether the window is wider than the training length.
    pub wide: bool,
}

/// A tokenizer in a few words.
#[derive(Debug, Clone, Serialize)]
pub struct TokenizerFacts {
    /// Kind of model.
    pub kind: &'static str,
    /// One more than the largest id.
    pub vocab_size: usize,
    /// How many ids are special.
    pub special_tokens: usize,
    /// What is put in front of every text.
    pub bos: Option<NamedToken>,
    /// What ends an answer.
    pub end_tokens: Vec<NamedToken>,
    /// Source of the chat template.
    pub chat_template: Option<String>,
}

/// A token and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub text: String,
}

/// Memory of prompts of one length, in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct LengthMemory {
    /// Tokens.
    pub context_length: usize,
    /// Weights as they are computed with.
    pub weights: usize,
    /// Weights that are kept a second time, packed.
    pub copies: usize,
    /// Keys and values.
    pub cache: usize,
    /// States of layers that keep no keys, with their copies.
    #[serde(skip_serializing_if = "is_zero")]
    pub states: usize,
    /// Activations, logits and attention rows.
    pub working: usize,
    /// The most that is held while the weights load.
    pub loading: usize,
    /// The most that is held at once.
    pub total: usize,
    /// Whether a run of this length can begin on this machine, as far as it is known.
    pub fits: bool,
}

impl Inspection {
    /// Looks at a checkpoint, and at the memory of runs of these lengths in the precision that is chosen; of
    /// the rest of the choice, nothing counts.
    ///
    /// # Errors
    /// When the checkpoint cannot be found, is damaged or of an unknown family. Trouble with its tokenizer is
    /// none: it goes into [`Self::problems`].
    pub fn of(model: &ModelChoice, lengths: &[ContextLength]) -> Result<Self> {
        let checkpoint =
            Checkpoint::open_as(&model.name, Named::ByUser, model.engine, RopeOverride::default())?;
        model.check_weights(&checkpoint)?;
        let precision = model.precision(&checkpoint);
        let mut problems = Vec::new();
        problems.extend(checkpoint.check_all_read().err().map(|error| error.one_line()));
        let tokenizer = tokenizer_facts(&checkpoint, &mut problems);
        let own = ModelChoice::default().build_variant(&checkpoint)?;
        let training_length = checkpoint.spec.training_length();
        let rule = &checkpoint.own_variant;
        let scale = |layer: &LayerScale| layer.scale.clone();
        let bias = |layer: &LayerScale| layer.bias.clone().unwrap_or_default();
        Ok(Self {
            model: model.name.clone(),
            family: checkpoint.family,
            files: checkpoint.files().to_vec(),
            file_bytes: checkpoint.file_bytes(),
            tensors: checkpoint.dtypes(),
            parameters: checkpoint.spec.parameter_count(),
            attention: AttentionFacts {
                variant: own.name().to_string(),
                description: own.description(),
                ssmax_scale: by_layer(rule, scale),
                ssmax_bias: by_layer(rule, bias).filter(|_| rule.has_bias()),
                largest_score: checkpoint.spec.largest_score(),
                swap: zero_shot_swap(&checkpoint),
                screens: learned_screens(&checkpoint),
            },
            tokenizer,
            warnings: checkpoint.warnings,
            dtype: precision.dtype,
            weights: precision.weights(),
            problems,
            memory: lengths
                .iter()
                .map(|length| length_memory(&checkpoint.spec, precision, length.0))
                .collect(),
            available_bytes: available_memory(),
            training_length,
            spec: checkpoint.spec,
        })
    }
}

/// What a swap of a checkpoint without learned scales to Scalable-Softmax is.
fn zero_shot_swap(checkpoint: &Checkpoint) -> Option<String> {
    let learned = checkpoint.own_variant.scales.is_some();
    let ssmax = ModelChoice { variant: "ssmax".to_string(), ..ModelChoice::default() };
    let swap = (!learned).then(|| ssmax.build_variant(checkpoint))?;
    Some(swap.ok()?.description())
}

/// The screens of a checkpoint that has any.
fn learned_screens(checkpoint: &Checkpoint) -> Option<Vec<Vec<LearnedScreen>>> {
    let spec = checkpoint.spec.screening.as_ref()?;
    let learned = |screen: &Screen| LearnedScreen { screen: *screen, wide: spec.is_wide(screen.window) };
    let layers = checkpoint.own_variant.screens.as_ref()?.iter();
    Some(layers.map(|tiles| tiles.iter().map(learned).collect()).collect())
}

/// Learned numbers of each layer, none of a layer that does not follow the rule.
fn by_layer(rule: &OwnVariant, numbers: impl Fn(&LayerScale) -> Vec<f32>) -> Option<Vec<Vec<f32>>> {
    let layers = rule.scales.as_ref()?.iter();
    Some(layers.map(|layer| layer.as_ref().map(&numbers).unwrap_or_default()).collect())
}

fn length_memory(spec: &DecoderSpec, precision: Precision, tokens: usize) -> LengthMemory {
    let plan = MemoryPlan::new(spec, precision, tokens, DEFAULT_CHUNK);
    let positions = spec.learned_positions.unwrap_or(usize::MAX);
    LengthMemory {
        context_length: tokens,
        weights: plan.weights,
        copies: plan.copies,
        cache: plan.cache,
        states: plan.states,
        working: plan.working,
        loading: plan.loading,
        total: plan.total(),
        fits: plan.total() <= available_memory().unwrap_or(usize::MAX) && tokens <= positions,
    }
}

/// The tokenizer; what is wrong with it goes into `problems`. A checkpoint without one is no problem.
fn tokenizer_facts(checkpoint: &Checkpoint, problems: &mut Vec<String>) -> Option<TokenizerFacts> {
    if !has_tokenizer(&checkpoint.tokenizer) {
        return None;
    }
    let (tokenizer, misfit) =
        load_outline(checkpoint).map_err(|error| problems.push(error.one_line())).ok()?;
    let template = tokenizer.chat_template().err();
    problems.extend([misfit, template].into_iter().flatten().map(|error| error.one_line()));
    problems.extend(tokenizer.notes().iter().cloned());
    let named = |id: u32| NamedToken { id, text: tokenizer.token_text(id).unwrap_or_default() };
    Some(TokenizerFacts {
        kind: tokenizer.kind(),
        vocab_size: tokenizer.vocab_size(),
        special_tokens: tokenizer.special_ids().len(),
        bos: tokenizer.bos().map(named),
        end_tokens: tokenizer.eos_ids().iter().copied().map(named).collect(),
        chat_template: tokenizer.chat_template_source().map(str::to_string),
    })
}

fn has_tokenizer(source: &TokenizerSource) -> bool {
    let beside = |directory: &std::path::Path| directory.join("tokenizer.json").is_file();
    match source {
        TokenizerSource::Directory(directory) => beside(directory),
        TokenizerSource::Embedded(_) => true,
        TokenizerSource::Gguf(metadata) => {
            metadata.list_len("tokenizer.ggml.tokens").is_some()
                || metadata.path().parent().is_some_and(beside)
        }
    }
}
