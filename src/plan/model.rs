//! One noun for "this checkpoint, under this variant, in this precision, on this device": [`ModelChoice`] as
//! it is asked for and stored, [`OpenModel`] once it is found and fits together.
//!
//! Every plan holds it, so that what changes a model's attention or precision is told of here and in the
//! command line, and nowhere else.

mod black_box;
mod chosen;
mod known;
mod precision;
mod record;

use candle_core::Device;
use serde::{Deserialize, Serialize};

pub use chosen::Because;
pub use known::forget_speeds;
pub use precision::Precision;
pub(super) use record::{Facts, facts};

use super::MemoryPlan;
use crate::attention::AttentionVariant;
use crate::attention::variant::{self, VariantInputs};
use crate::checkpoint::{Checkpoint, DEFAULT_CHECKPOINT, Named, RopeOverride};
use crate::error::{Error, Result};
use crate::generate::{DEFAULT_CHUNK, DecoderModel};
use crate::model::causal_lm::CausalLm;
use crate::model::decoder::Decoder;
use crate::model::kv_cache::KvDtype;
use crate::registry::Entry;
use crate::spec::{DecoderSpec, Dtype, Engine, LayerSpec, WeightForm};

/// A checkpoint and how it is run, in plain values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelChoice {
    /// Checkpoint: a GGUF file, a directory, a hub id or `shipped:NAME`.
    #[serde(rename = "model")]
    pub name: String,
    /// Attention variant, or `auto` for the checkpoint's own.
    pub variant: String,
    /// Precision of the weights; that of the checkpoint ([`Self::precision`]) when absent, and settled in a
    /// plan.
    #[serde(default = "exact")]
    pub dtype: Option<Dtype>,
    /// Precision of the cached keys and values; that which follows from the weights when absent.
    #[serde(default)]
    pub kv_dtype: Option<KvDtype>,
    /// That of keys alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k_dtype: Option<KvDtype>,
    /// That of values alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_dtype: Option<KvDtype>,
    /// The form that weights are held in, which changes no number; when absent, that of the file where it has
    /// numbers of 16 bits or nothing else fits into memory, and else expanded ([`Self::precision`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightForm>,
    /// One scale for all heads, instead of the learned or derived ones.
    pub ssmax_scale: Option<f64>,
    /// The factor of the variant `constant`; that which follows from the training length when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_scale: Option<f64>,
    /// Tokens that go through the decoder at once. Results agree to rounding whatever it is.
    #[serde(default = "default_chunk_size")]
    pub chunk_size: usize,
    /// The base of the rotary frequencies.
    pub rope_theta: Option<f64>,
    /// A factor on the base.
    pub rope_theta_scale: Option<f64>,
    /// Rotary positions in place of the checkpoint's; the checkpoint's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope: Option<RopeChoice>,
    /// Whether screening windows above the training length are unlimited beyond it; they are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screening_window_expansion: Option<bool>,
    /// Who computes it.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    pub engine: Engine,
}

/// Rotary positions in place of those of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RopeChoice {
    /// No layer has any, as in a checkpoint that was trained on without them (DroPE).
    None,
}

/// Every choice that can be named with `--rope`.
pub const ROPES: &[Entry<RopeChoice>] = &[Entry {
    name: "none",
    about: "no rotary positions on any layer, as in a checkpoint that was trained on without them (DroPE)",
    value: RopeChoice::None,
}];

/// The precision of runs from before there was a choice.
#[allow(clippy::unnecessary_wraps, reason = "serde asks for the type of the field")]
fn exact() -> Option<Dtype> {
    Some(Dtype::F32)
}

fn default_chunk_size() -> usize {
    DEFAULT_CHUNK
}

impl Default for ModelChoice {
    /// The checkpoint that comes with `niah`, as it was made.
    fn default() -> Self {
        Self {
            name: DEFAULT_CHECKPOINT.to_string(),
            variant: "auto".to_string(),
            dtype: None,
            kv_dtype: None,
            k_dtype: None,
            v_dtype: None,
            weights: None,
            ssmax_scale: None,
            attention_scale: None,
            chunk_size: DEFAULT_CHUNK,
            rope_theta: None,
            rope_theta_scale: None,
            rope: None,
            screening_window_expansion: None,
            engine: Engine::default(),
        }
    }
}

impl ModelChoice {
    /// This checkpoint as it was made.
    #[must_use]
    pub fn of(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Opens the checkpoint, its weights not loaded, to be run on `device`.
    ///
    /// # Errors
    /// When the checkpoint cannot be found or is damaged, and when a choice is not for it.
    pub fn open(&self, device: &Device) -> Result<OpenModel> {
        OpenModel::new(self, self.checkpoint(Named::ByUser)?, device)
    }

    /// Refuses a checkpoint that has no rows of attention to look at.
    ///
    /// # Errors
    /// [`Error::Message`] that says why, and those of a checkpoint that cannot be opened.
    pub fn check_attends(&self) -> Result<()> {
        self.checkpoint(Named::ByUser)?.spec.check_attends()
    }

    /// The checkpoint with what is chosen about its positions and windows; refuses choices that are not for
    /// its family.
    pub(super) fn checkpoint(&self, named: Named) -> Result<Checkpoint> {
        self.check()?;
        let mut checkpoint = Checkpoint::open_as(&self.name, named, self.engine, self.rope())?;
        checkpoint.check_all_read()?;
        if let Some(unseen) = checkpoint.spec.extras.black_box {
            self.check_for_black_box(unseen)?;
        }
        let given = [("rope theta", self.rope_theta), ("rope theta scale", self.rope_theta_scale)];
        if self.rope.is_some()
            && let Some((name, value)) = given.into_iter().find_map(|(name, value)| Some((name, value?)))
        {
            return Err(Error::invalid(
                name,
                value,
                "no such flag beside `rope` none: there is no base to change",
            ));
        }
        for (name, value) in given.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            if checkpoint.spec.ropes().is_empty() {
                let expected = format!(
                    "no such flag: family {} has no rotary positions in this checkpoint",
                    checkpoint.family
                );
                return Err(Error::invalid(name, value, expected));
            }
        }
        let caches = [("kv dtype", self.kv_dtype), ("k dtype", self.k_dtype), ("v dtype", self.v_dtype)];
        for (name, choice) in caches {
            checkpoint.spec.check_kv_dtype_named(name, choice)?;
        }
        self.check_weights(&checkpoint)?;
        match (&mut checkpoint.spec.screening, self.screening_window_expansion) {
            (Some(screening), Some(expansion)) => screening.window_expansion = expansion,
            (None, Some(expansion)) => {
                let found = if expansion { "on" } else { "off" };
                let expected = format!(
                    "a Multiscreen checkpoint, or no such flag: family {} has no screening windows; `rope \
                     theta scale` stretches rotary positions",
                    checkpoint.family
                );
                return Err(Error::invalid("screening window expansion", found, expected));
            }
            (_, None) => {}
        }
        Ok(checkpoint)
    }

    /// Checks the numbers that have no type of their own.
    pub(super) fn check(&self) -> Result<()> {
        for (name, value) in [("rope theta", self.rope_theta), ("rope theta scale", self.rope_theta_scale)] {
            if let Some(x) = value.filter(|x| !(x.is_finite() && *x > 0.0)) {
                return Err(Error::invalid(name, x, "a number above 0"));
            }
        }
        match self.ssmax_scale {
            Some(s) if !s.is_finite() => Err(Error::invalid("ssmax scale", s, "a number such as 0.17")),
            _ if self.chunk_size == 0 => Err(Error::invalid("chunk size", 0, "at least 1")),
            _ => Ok(()),
        }
    }

    fn rope(&self) -> RopeOverride {
        RopeOverride {
            theta: self.rope_theta,
            theta_scale: self.rope_theta_scale,
            none: self.rope == Some(RopeChoice::None),
        }
    }

    /// The variant for a checkpoint; `auto` is the checkpoint's own.
    pub(super) fn build_variant(&self, checkpoint: &Checkpoint) -> Result<Box<dyn AttentionVariant>> {
        let own = &checkpoint.own_variant;
        let spec = &checkpoint.spec;
        let name = if self.variant == "auto" { own.name } else { &self.variant };
        if spec.screening.is_some() && name != own.name {
            let expected = format!(
                "{}, or auto: the tiles of a Multiscreen checkpoint have no scores to normalise",
                own.name
            );
            return Err(Error::invalid("variant", name, expected));
        }
        let inputs = VariantInputs {
            layers: &spec.layers,
            heads: spec.num_attention_heads,
            own: Some(own),
            given_scales: checkpoint.given_scales.as_ref(),
            scale_override: self.ssmax_scale,
            attention_scale: self.attention_scale,
            parameter: None,
            training_length: spec.training_length(),
            screening: spec.screening.as_ref(),
        };
        variant::build(name, &inputs)
    }
}

/// A checkpoint that can be run as it was asked for; its weights are not loaded.
pub struct OpenModel {
    /// What was asked for, with the dtype of the weights settled.
    pub choice: ModelChoice,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The precision that runs.
    pub precision: Precision,
    /// Why its weights have their form.
    pub because: Because,
    /// The attention variant that runs.
    pub variant: Box<dyn AttentionVariant>,
    device: Device,
}

impl OpenModel {
    /// A model of a checkpoint that [`ModelChoice::checkpoint`] has opened.
    pub(super) fn new(choice: &ModelChoice, checkpoint: Checkpoint, device: &Device) -> Result<Self> {
        let variant = choice.build_variant(&checkpoint)?;
        let (precision, because) = match device.is_cpu() {
            true => choice.chosen(&checkpoint, |kept| chosen::speeds(&checkpoint, kept)),
            false => match choice.weights.filter(|form| *form != WeightForm::Expanded) {
                Some(kept) => {
                    let expected = "expanded, or `device` cpu: weights are widened by kernels of the CPU";
                    return Err(Error::invalid("weights", kept.name(), expected));
                }
                None => (Precision { kept: None, ..choice.precision(&checkpoint) }, Because::Only),
            },
        };
        let precision = precision.under(variant.as_ref(), &checkpoint.spec)?;
        Ok(Self {
            variant,
            choice: ModelChoice { dtype: Some(precision.dtype), ..choice.clone() },
            checkpoint,
            precision,
            because,
            device: device.clone(),
        })
    }

    /// What the decoder is made of.
    #[must_use]
    pub fn spec(&self) -> &DecoderSpec {
        &self.checkpoint.spec
    }

    /// What it is computed on.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Loads the weights.
    ///
    /// # Errors
    /// When they are damaged or do not fit the configuration, or the device keeps no such cache.
    pub fn decoder(&self) -> Result<Box<dyn CausalLm>> {
        self.precision.decoder(&self.checkpoint, &self.device)
    }

    /// The same of a model that no other engine computes.
    pub(super) fn own_decoder(&self) -> Result<Decoder> {
        self.precision.own_decoder(&self.checkpoint, &self.device)
    }

    /// Loads the weights of a model that answers.
    ///
    /// # Errors
    /// As of [`Self::decoder`].
    pub fn load(&self) -> Result<DecoderModel> {
        self.answering(self.decoder()?)
    }

    /// The model that answers with this decoder.
    pub(super) fn answering(&self, decoder: Box<dyn CausalLm>) -> Result<DecoderModel> {
        let variant = self.choice.build_variant(&self.checkpoint)?;
        Ok(DecoderModel::of(decoder, variant, self.choice.chunk_size))
    }

    /// Memory of prompts of at most `longest` tokens.
    #[must_use]
    pub fn memory(&self, longest: usize) -> MemoryPlan {
        MemoryPlan::new(self.spec(), self.precision, longest, self.choice.chunk_size)
    }

    /// The variant alone: what the checkpoint holds in memory is given back.
    #[must_use]
    pub(crate) fn into_variant(self) -> Box<dyn AttentionVariant> {
        self.variant
    }

    /// The variant's name, and which scales it uses.
    #[must_use]
    pub fn describe_variant(&self) -> String {
        format!("{} ({})", self.variant.name(), self.variant.description())
    }

    /// Refuses sequences that the model has no positions for, or no rule. `what` is their number.
    ///
    /// Learned positions end where their table ends: nothing stretches them. A rule that is learned for each
    /// number of keys knows none beyond.
    pub(super) fn check_length(&self, what: &str, tokens: usize) -> Result<()> {
        let wrong = |expected| Err(Error::invalid(what, format!("{tokens} tokens"), expected));
        let unseen = self.spec().extras.black_box;
        if let Some(positions) = unseen.and_then(|unseen| unseen.positions()).filter(|most| tokens > *most) {
            return wrong(format!("at most {positions}: candle's table of positions ends there"));
        }
        match (self.spec().learned_positions, self.variant.longest()) {
            (Some(positions), _) if tokens > positions => {
                wrong(format!("at most the {positions} positions that this checkpoint has learned"))
            }
            (_, Some(longest)) if tokens > longest => {
                let name = self.variant.name();
                wrong(format!(
                    "at most {longest}, the training length: variant {name} has learned a multiplier for \
                     each number of keys up to there and none beyond; `variant` ssmax or softmax runs \
                     without it"
                ))
            }
            _ => Ok(()),
        }
    }

    /// What is told before anything runs: what the checkpoint warns of, and that this many tokens are more
    /// than it declares.
    pub(super) fn warnings(&self, tokens: usize) -> Vec<String> {
        self.checkpoint.warnings.iter().cloned().chain(positions_warning(self.spec(), tokens)).collect()
    }
}

/// The warning that this many tokens are more than the checkpoint declares.
fn positions_warning(spec: &DecoderSpec, tokens: usize) -> Option<String> {
    let positions = spec.max_position_embeddings.filter(|&positions| tokens > positions)?;
    if let Some(screening) = &spec.screening {
        let windows = match screening.window_expansion {
            true => {
                "windows wider than that are unlimited there; --screening-window-expansion off takes them as \
                 learned"
            }
            false => "windows are taken as learned; --screening-window-expansion on widens those above it",
        };
        return Some(format!("context length {tokens} is beyond the training length {positions}: {windows}"));
    }
    let beyond =
        format!("context length {tokens} is beyond the {positions} positions that the checkpoint declares");
    // Rotary positions of layers whose window is shorter never meet more than those.
    let met = |layer: &LayerSpec| layer.rope.is_some() && layer.window.first_visible(positions) == 0;
    Some(match spec.layers.iter().any(met) {
        true => format!("{beyond}; --rope-theta-scale or --rope-theta stretch its rotary positions"),
        false => beyond,
    })
}
