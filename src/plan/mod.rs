//! The plan of a run: settings resolved and checked against the checkpoint, before any weight is loaded.

mod bench;
mod estimate;
mod inspection;
mod logits;
mod loss;
mod memory;
mod precision;
mod scoring;
mod settings;
mod text;
mod tokenizer;

use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::attention::AttentionVariant;
use crate::attention::variant::{OwnVariant, VARIANTS, VariantInputs};
use crate::checkpoint::{Checkpoint, Named, RopeOverride};
use crate::error::{Error, Result};
use crate::generate::DecoderModel;
use crate::hash::sha256_hex;
use crate::haystack::Haystack;
use crate::model::spec::{DecoderSpec, LayerSpec};
use crate::prefix;
use crate::prompt::{Form, Prompt, PromptPlan, PromptSequence, Snap};
use crate::registry;
use crate::runner::{Labels, RunContext};
use crate::score::{SCORERS, Scorer};
use crate::tokenizer::TextTokenizer;
use crate::trial::Trial;

pub use bench::{BenchPlan, BenchSettings, BenchTokens, DEFAULT_LENGTHS};
pub use estimate::Estimate;
pub use inspection::{AttentionFacts, Inspection, LearnedScreen, LengthMemory, NamedToken, TokenizerFacts};
pub use logits::{LogitsPlan, LogitsSettings, RowChoice, TokenInput};
pub use loss::{LossPlan, LossSettings};
pub use memory::MemoryPlan;
pub use precision::{Precision, PrecisionChoice};
pub use settings::{CHAT_CHOICES, ChatChoice, Settings};
pub use text::{TextPlan, TextPrompt};
pub use tokenizer::load_tokenizer;

/// Settings resolved against a checkpoint: knows how to build everything a run needs.
pub struct RunPlan {
    /// What was asked for.
    pub settings: Settings,
    /// The checkpoint, weights not loaded.
    pub checkpoint: Checkpoint,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// How prompts are built.
    pub prompts: PromptPlan,
    /// What the user should know of the checkpoint before the run.
    pub warnings: Vec<String>,
    /// What the user should know of the prompts and their scores: the same for every checkpoint.
    pub prompt_warnings: Vec<String>,
    scorer: &'static dyn Scorer,
    end_tokens: Vec<u32>,
    chat_template_hash: Option<String>,
    /// The precision that runs.
    pub precision: Precision,
}

/// What the results of a run depend on, one key a decision; rows of two identities never mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Map<String, Value>);

/// Keys of the decisions that make the prompt of a trial what it is, and say when its answer is right.
const PROMPT_KEYS: &[&str] = &[
    "tokenizer_sha256",
    "chat_template_sha256",
    "seed",
    "task",
    "needle",
    "question",
    "answer",
    "haystack",
    "haystack_sha256",
    "snap",
    "system_instruction",
    "scorer",
    "max_new_tokens",
];

fn has_changed(difference: &str) -> Error {
    Error::Failed(format!("what the run was made with has changed since: {difference}"))
}

impl Identity {
    /// SHA-256 of the decisions in hex, cut to 16 digits: the `config_hash` of every row.
    #[must_use]
    pub fn hash(&self) -> String {
        sha256_hex(Value::Object(self.0.clone()).to_string())[..16].to_string()
    }

    /// The decisions that differ, as `key: old -> new`; `None` when there are none.
    #[must_use]
    pub fn difference(&self, new: &Self) -> Option<String> {
        self.difference_in(new, |_| true)
    }

    /// Those of the decisions that differ which prompts, or the scores of answers to them, depend on.
    #[must_use]
    pub fn prompt_difference(&self, other: &Self) -> Option<String> {
        self.difference_in(other, |key| PROMPT_KEYS.contains(&key))
    }

    /// Refuses other weights than those of the run.
    fn check_weights(&self, checkpoint: &Checkpoint) -> Result<()> {
        const KEY: &str = "model_sha256";
        let found = Value::String(checkpoint.sha256()?.to_string());
        match self.0.get(KEY) {
            Some(stored) if *stored != found => Err(has_changed(&format!("{KEY}: {stored} -> {found}"))),
            _ => Ok(()),
        }
    }

    fn difference_in(&self, new: &Self, among: impl Fn(&str) -> bool) -> Option<String> {
        let keys = self.0.keys().chain(new.0.keys().filter(|key| !self.0.contains_key(*key)));
        let show = |value: Option<&Value>| value.map_or("nothing".to_string(), Value::to_string);
        let changed: Vec<_> = keys
            .filter(|key| among(key) && self.0.get(*key) != new.0.get(*key))
            .map(|key| format!("{key}: {} -> {}", show(self.0.get(key)), show(new.0.get(key))))
            .collect();
        (!changed.is_empty()).then(|| changed.join("; "))
    }
}

impl RunPlan {
    /// Resolves settings: finds the checkpoint, its tokenizer, template and variant, and checks that they fit together.
    ///
    /// # Errors
    /// When anything named is unknown, missing, damaged or does not fit.
    pub fn resolve(settings: Settings) -> Result<Self> {
        Self::resolve_as(settings, Named::ByUser, None)
    }

    /// Resolves the settings of a stored run again, which are data: nothing that they name is downloaded, and no more is read of a
    /// checkpoint than its weights when these are not the run's. A `model` that the user names takes the place of theirs.
    ///
    /// # Errors
    /// As [`Self::resolve`], and [`Error::Failed`] when the run was made with something else.
    pub fn resolve_again(settings: &Settings, identity: &Identity, model: Option<&str>) -> Result<Self> {
        let named = if model.is_some() { Named::ByUser } else { Named::ByFile };
        let model = model.unwrap_or(&settings.model).to_string();
        let plan = Self::resolve_as(Settings { model, ..settings.clone() }, named, Some(identity))?;
        match identity.difference(&plan.identity()?) {
            Some(difference) => Err(has_changed(&difference)),
            None => Ok(plan),
        }
    }

    /// With an `identity` the weights must be those that it names.
    fn resolve_as(settings: Settings, named: Named, identity: Option<&Identity>) -> Result<Self> {
        settings.check()?;
        let task = settings.make_task()?;
        let scorer = registry::find("scorer", SCORERS, &settings.scorer)?.value;
        let haystack = match (task.listing(), settings.haystack.as_deref()) {
            (None, name) => {
                Haystack::resolve(name.unwrap_or(task.default_haystack()))?.part(settings.split)?
            }
            (Some(_), None) => Haystack::none(),
            (Some(_), Some(name)) => {
                let expected = format!("no haystack: task {} writes its own text", task.name());
                return Err(Error::invalid("--haystack", name, expected));
            }
        };
        if task.listing().is_some() && settings.snap == Snap::None {
            let expected = format!("no such flag: task {} writes whole lines, as many as fit", task.name());
            return Err(Error::invalid("--snap", "none", expected));
        }
        let (checkpoint, precision) = open_as(
            &settings.model,
            named,
            settings.rope(),
            settings.precision(),
            settings.screening_window_expansion,
        )?;
        if let Some(identity) = identity {
            identity.check_weights(&checkpoint)?;
        }
        check_positions(&checkpoint.spec, "--context-lengths", longest(&settings))?;
        let tokenizer = load_tokenizer(&checkpoint)?;
        let (form, chat_template_hash) = form(&settings, &tokenizer)?;
        let mut prompt_warnings = haystack.notes().to_vec();
        prompt_warnings.extend(scoring::warnings(&settings, task.as_ref(), scorer)?);
        prompt_warnings.extend_from_slice(tokenizer.notes());
        let prompts =
            PromptPlan { task, haystack, form, snap: settings.snap, answer_budget: settings.max_new_tokens };
        let plan = Self {
            warnings: warnings(&checkpoint, longest(&settings)),
            prompt_warnings,
            end_tokens: tokenizer.eos_ids().iter().copied().collect(),
            settings: Settings { dtype: Some(precision.dtype), ..settings },
            checkpoint,
            tokenizer,
            prompts,
            scorer,
            chat_template_hash,
            precision,
        };
        check_sizes(plan.variant()?.as_ref(), "--context-lengths", longest(&plan.settings))?;
        Ok(plan)
    }

    /// The attention variant that runs.
    ///
    /// # Errors
    /// When it is unknown, or needs scales that are nowhere to be had.
    pub fn variant(&self) -> Result<Box<dyn AttentionVariant>> {
        variant(&self.checkpoint, &self.settings.variant, self.settings.ssmax_scale)
    }

    /// Loads the weights.
    ///
    /// # Errors
    /// When they are damaged or do not fit the configuration.
    pub fn load_model(&self, device: &Device) -> Result<DecoderModel> {
        let decoder = self.precision.decoder(&self.checkpoint, device)?;
        Ok(DecoderModel::new(decoder, self.variant()?, self.settings.chunk_size))
    }

    /// What the results depend on. The first call reads all of the weights, for their hash.
    ///
    /// # Errors
    /// When the variant cannot be built, or the weights cannot be read.
    pub fn identity(&self) -> Result<Identity> {
        let (settings, variant) = (&self.settings, self.variant()?);
        let spec = &self.checkpoint.spec;
        let pairs = json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "model_sha256": self.checkpoint.sha256()?,
            "tokenizer_sha256": self.tokenizer.hash(),
            "chat_template_sha256": self.chat_template_hash,
            "dtype": self.precision.dtype,
            "kv_dtype": self.precision.cache(spec, &Device::Cpu),
            "variant": variant.name(),
            "variant_description": variant.description(),
            "ssmax_scale": settings.ssmax_scale,
            "rope": spec.ropes(),
            "context_lengths": settings.grid.context_lengths(),
            "depths": settings.grid.depths(),
            "trials": settings.trials,
            "seed": settings.seed,
            "task": self.prompts.task.name(),
            "needle": settings.needle,
            "question": settings.question,
            "answer": settings.answer,
            "haystack": self.prompts.haystack.name(),
            "haystack_sha256": self.prompts.haystack.hash(),
            "snap": settings.snap,
            "system_instruction": settings.system_instruction,
            "scorer": self.scorer.name(),
            "max_new_tokens": settings.max_new_tokens,
        });
        match pairs {
            Value::Object(mut pairs) => {
                // The hash of a haystack tells its parts apart; a text without one has values alone.
                if !settings.split.is_all() {
                    pairs.insert("split".to_string(), json!(settings.split));
                }
                if let Some(screening) = &spec.screening {
                    let expansion = json!(screening.window_expansion);
                    pairs.insert("screening_window_expansion".to_string(), expansion);
                }
                Ok(Identity(pairs))
            }
            _ => Err(Error::Message("the identity of a run is an object".to_string())),
        }
    }

    /// Every trial of the plan: the first trial of all cells, then the second, so that a run stopped early covers the grid; of
    /// these in the order in which prompts share most.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let seed = self.settings.seed;
        let trials = (0..self.settings.trials)
            .flat_map(|index| self.settings.grid.cells().map(move |cell| Trial { cell, index, seed }));
        let (spec, longest) = (&self.checkpoint.spec, longest(&self.settings));
        prefix::order(trials.collect(), |length| spec.planned_length(length, longest))
    }

    /// What the runner needs.
    ///
    /// # Errors
    /// When the variant cannot be built, or the weights cannot be read.
    pub fn context(&self, keep_tokens: bool) -> Result<RunContext<'_>> {
        let config_hash = self.identity()?.hash();
        Ok(RunContext {
            prompts: &self.prompts,
            tokenizer: &self.tokenizer,
            scorer: self.scorer,
            end_tokens: &self.end_tokens,
            keep_tokens,
            labels: Labels {
                run_id: config_hash[..8].to_string(),
                model: self.settings.model.clone(),
                variant: self.variant()?.name().to_string(),
                config_hash,
            },
        })
    }

    /// Builds the first trial of every cell, so that what cannot be built fails before the weights load.
    ///
    /// # Errors
    /// [`Error::Prompt`] for the first cell that does not fit.
    pub fn probe_prompts(&self) -> Result<Vec<(Trial, Prompt)>> {
        let mut prompts = PromptSequence::new(&self.prompts, &self.tokenizer);
        let trials = self.trials().into_iter().filter(|trial| trial.index == 0);
        trials.map(|trial| Ok((trial, prompts.build(&trial)?))).collect()
    }

    /// Memory the run will take, for prompts of at most `longest` tokens.
    #[must_use]
    pub fn memory(&self, longest: usize) -> MemoryPlan {
        MemoryPlan::new(&self.checkpoint.spec, self.precision, longest, self.settings.chunk_size)
    }

    /// Refuses lengths that do not fit into memory. Needs no prompt, so that none is built in vain.
    ///
    /// # Errors
    /// [`Error::Message`] saying what is needed and what there is.
    pub fn check_memory(&self) -> Result<()> {
        self.memory(longest(&self.settings))
            .check(self.precision, "use shorter --context-lengths or a smaller checkpoint")
    }

    /// Name of the prompts' form: `chat` or `completion`.
    #[must_use]
    pub fn form_name(&self) -> &'static str {
        match self.prompts.form {
            Form::Completion => "completion",
            Form::Chat { .. } => "chat",
        }
    }
}

/// Opens a checkpoint, its weights not loaded, and refuses choices that are not for its family. Also returns the precision that it
/// runs in.
fn open(
    model: &str,
    rope: RopeOverride,
    precision: PrecisionChoice,
    window_expansion: Option<bool>,
) -> Result<(Checkpoint, Precision)> {
    open_as(model, Named::ByUser, rope, precision, window_expansion)
}

fn open_as(
    model: &str,
    named: Named,
    rope: RopeOverride,
    precision: PrecisionChoice,
    window_expansion: Option<bool>,
) -> Result<(Checkpoint, Precision)> {
    let mut checkpoint = Checkpoint::open_as(model, named, rope)?;
    checkpoint.check_all_read()?;
    let given = [("--rope-theta", rope.theta), ("--rope-theta-scale", rope.theta_scale)];
    for (flag, value) in given.into_iter().filter_map(|(flag, value)| Some((flag, value?))) {
        if checkpoint.spec.ropes().is_empty() {
            let expected = format!(
                "no such flag: family {} has no rotary positions in this checkpoint",
                checkpoint.family
            );
            return Err(Error::invalid(flag, value, expected));
        }
    }
    checkpoint.spec.check_kv_dtype(precision.kv_dtype)?;
    match (&mut checkpoint.spec.screening, window_expansion) {
        (Some(screening), Some(expansion)) => screening.window_expansion = expansion,
        (None, Some(expansion)) => {
            let found = if expansion { "on" } else { "off" };
            let expected = format!(
                "a Multiscreen checkpoint, or no such flag: family {} has no screening windows; --rope-theta-scale \
                 stretches rotary positions",
                checkpoint.family
            );
            return Err(Error::invalid("--screening-window-expansion", found, expected));
        }
        (_, None) => {}
    }
    let precision = precision.of(&checkpoint);
    Ok((checkpoint, precision))
}

/// The variant of this name for a checkpoint; `auto` is the checkpoint's own.
fn variant(
    checkpoint: &Checkpoint,
    name: &str,
    scale_override: Option<f64>,
) -> Result<Box<dyn AttentionVariant>> {
    variant_of(checkpoint, name, scale_override, &checkpoint.own_variant)
}

/// The same for a checkpoint whose own rule is this one; `auto` is the rule.
fn variant_of(
    checkpoint: &Checkpoint,
    name: &str,
    scale_override: Option<f64>,
    own: &OwnVariant,
) -> Result<Box<dyn AttentionVariant>> {
    let spec = &checkpoint.spec;
    let name = if name == "auto" { own.name } else { name };
    let build = registry::find("variant", VARIANTS, name)?.value;
    if spec.screening.is_some() && name != own.name {
        let expected = format!(
            "{}, or auto: the tiles of a Multiscreen checkpoint have no scores to normalise",
            own.name
        );
        return Err(Error::invalid("--variant", name, expected));
    }
    build(&VariantInputs {
        layers: &spec.layers,
        heads: spec.num_attention_heads,
        own: Some(own),
        scale_override,
        training_length: spec.training_length(),
        screening: spec.screening.as_ref(),
    })
}

/// The form of the prompts, and the hash of the template when there is one.
fn form(settings: &Settings, tokenizer: &TextTokenizer) -> Result<(Form, Option<String>)> {
    let template = match settings.apply_chat_template {
        ChatChoice::Never => None,
        ChatChoice::Auto => tokenizer.chat_template().map_err(without_template)?,
        ChatChoice::Always => {
            Some(tokenizer.chat_template().map_err(without_template)?.ok_or_else(|| {
                Error::invalid(
                    "--apply-chat-template",
                    "always",
                    "a checkpoint with a chat template; this one has none",
                )
            })?)
        }
    };
    let system = settings.system_instruction.clone();
    match (template, system) {
        (None, Some(_)) => Err(Error::invalid(
            "--system-instruction",
            "an instruction",
            "a chat template to put it in: this run uses plain text",
        )),
        (None, None) => Ok((Form::Completion, None)),
        (Some(template), system) => {
            let hash = sha256_hex(template.render(system.as_deref(), "").map_err(without_template)?);
            let render = Arc::new(move |system: Option<&str>, user: &str| template.render(system, user));
            Ok((Form::Chat { system, render }, Some(hash)))
        }
    }
}

/// What is wrong with a template, with what helps: another one, or none.
fn without_template(error: Error) -> Error {
    match error {
        Error::ChatTemplate(problem) if !problem.contains("--") => Error::ChatTemplate(format!(
            "{problem}; put another one into chat_template.jinja of the model's directory, or give \
             --apply-chat-template=never for plain text"
        )),
        other => other,
    }
}

/// Learned positions end where their table ends: nothing stretches them. `flag` gives the number of tokens.
fn check_positions(spec: &DecoderSpec, flag: &str, tokens: usize) -> Result<()> {
    match spec.learned_positions {
        Some(positions) if tokens > positions => {
            let expected = format!("at most the {positions} positions that this checkpoint has learned");
            Err(Error::invalid(flag, format!("{tokens} tokens"), expected))
        }
        _ => Ok(()),
    }
}

/// A rule that is learned for each number of keys knows none beyond. `flag` gives the number of tokens.
fn check_sizes(variant: &dyn AttentionVariant, flag: &str, tokens: usize) -> Result<()> {
    match variant.longest() {
        Some(longest) if tokens > longest => {
            let name = variant.name();
            let expected = format!(
                "at most {longest}, the training length: variant {name} has learned a multiplier for each number of keys up to \
                 there and none beyond; --variant ssmax or softmax runs without it"
            );
            Err(Error::invalid(flag, format!("{tokens} tokens"), expected))
        }
        _ => Ok(()),
    }
}

/// What is told before anything runs: what the checkpoint warns of, and that this many tokens are more than it declares.
fn warnings(checkpoint: &Checkpoint, tokens: usize) -> Vec<String> {
    checkpoint.warnings.iter().cloned().chain(positions_warning(&checkpoint.spec, tokens)).collect()
}

/// The warning that this many tokens are more than the checkpoint declares.
fn positions_warning(spec: &DecoderSpec, tokens: usize) -> Option<String> {
    let positions = spec.max_position_embeddings.filter(|&positions| tokens > positions)?;
    if let Some(screening) = &spec.screening {
        let windows = match screening.window_expansion {
            true => {
                "windows wider than that are unlimited there; --screening-window-expansion off takes them as learned"
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

/// Checks the numbers that change attention and have no type of their own.
fn check_numbers(ssmax_scale: Option<f64>, rope: RopeOverride) -> Result<()> {
    let positive = |flag: &str, value: Option<f64>| match value {
        Some(x) if !(x.is_finite() && x > 0.0) => Err(Error::invalid(flag, x, "a number above 0")),
        _ => Ok(()),
    };
    positive("--rope-theta", rope.theta)?;
    positive("--rope-theta-scale", rope.theta_scale)?;
    match ssmax_scale {
        Some(s) if !s.is_finite() => Err(Error::invalid("--ssmax-scale", s, "a number such as 0.17")),
        _ => Ok(()),
    }
}

fn longest(settings: &Settings) -> usize {
    settings.grid.context_lengths().last().map_or(0, |length| length.0)
}
