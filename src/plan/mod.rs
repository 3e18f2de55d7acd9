//! The plan of a run: settings resolved and checked against the checkpoint, before any weight is loaded.

mod about;
mod asked;
mod bench;
mod copies;
mod dry_run;
mod estimate;
mod form;
mod given;
mod inspection;
mod logits;
mod loss;
mod masking;
mod memory;
mod model;
mod probed;
mod scoring;
mod served;
mod settings;
mod shard;
mod text;
mod tokenizer;

use std::collections::BTreeMap;

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, Named};
use crate::error::{Error, Result};
use crate::generate::DecoderModel;
use crate::grid::{Cell, Depth, Grid};
use crate::hash::sha256_hex;
use crate::model::head_outputs::ReplacedHeads;
use crate::prefix;
use crate::prompt::{Built, Form, Prompt, PromptPlan, PromptSequence};
use crate::runner::{Labels, RunContext};
use crate::score::Scorer;
use crate::task::Task;
use crate::tokenizer::TextTokenizer;
use crate::trial::Trial;

use asked::{Asked, Prepared, Reading, facts_of};
use model::{Facts, facts};

pub use bench::{BenchPlan, BenchSettings, BenchTokens, DEFAULT_LENGTHS};
pub(crate) use dry_run::duration;
pub use dry_run::{DryRun, OfShard};
pub use estimate::Estimate;
pub use given::{Measured, own_scorers};
pub use inspection::{AttentionFacts, Inspection, LearnedScreen, LengthMemory, NamedToken, TokenizerFacts};
pub use logits::{LogitsPlan, LogitsSettings, RowChoice, TokenInput};
pub use loss::{LossPlan, LossSettings};
pub use masking::{MASKS_BY, MaskBy, MaskedHeads, MaskedSpans, Masking};
pub use memory::MemoryPlan;
pub use model::{Because, ModelChoice, OpenModel, Precision, ROPES, RopeChoice, forget_speeds};
pub use served::{Served, ServedPlan, UNSEEN};
pub(crate) use settings::MOST_PROMPTS;
pub use settings::{
    CHAT_CHOICES, ChatChoice, DEFAULT_THINKING_TOKENS, Settings, THINKING_CHOICES, ThinkingChoice,
};
pub use shard::{Cost, Shard};
pub use text::{TextPlan, TextPrompt};
pub use tokenizer::{load_tokenizer, named_tokenizer};

/// Settings resolved against a checkpoint: knows how to build everything a run needs.
pub struct RunPlan {
    /// What was asked for.
    pub settings: Settings,
    /// The checkpoint as it runs, weights not loaded.
    pub model: OpenModel,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    /// How prompts are built.
    pub prompts: PromptPlan,
    /// What the user should know of the checkpoint before the run.
    pub warnings: Vec<String>,
    /// What the user should know of the prompts and their scores: the same for every checkpoint.
    pub prompt_warnings: Vec<String>,
    scorer: Box<dyn Scorer>,
    /// The scorers of single prompts, by name.
    own_scorers: BTreeMap<String, Box<dyn Scorer>>,
    /// What each prompt of a file takes.
    given: Vec<Measured>,
    /// Tokens of the longest sequence that is asked for.
    longest: usize,
    end_tokens: Vec<u32>,
    chat_template_hash: Option<String>,
}

/// What the results of a run depend on, one key a decision; rows of two identities never mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Facts);

/// The prompts of plans that differ by their checkpoints alone, kept for those that ask the same.
#[derive(Default)]
pub struct SharedPrompts(Vec<(Identity, &'static str, Built)>);

/// Keys of the decisions that say which trials there are. A trial depends on none of them.
const GROWING: &[&str] = &["context_lengths", "depths", "trials"];

/// Keys of the decisions that make the prompt of a trial what it is, and say when its answer is right.
const PROMPT_KEYS: &[&str] = &[
    "tokenizer_sha256",
    "chat_template_sha256",
    "seed",
    "task",
    "needle",
    "question",
    "answer",
    "needles_sha256",
    "prompts_sha256",
    "haystack",
    "haystack_sha256",
    "haystack_order",
    "distractors",
    "control",
    "snap",
    "system_instruction",
    "thinking",
    "max_thinking_tokens",
    "answer_prefix",
    "scorer",
    "normalise",
    "correct_from",
    "max_new_tokens",
];

/// Those that say in which words it is asked, each with what is said where it differs.
const FORM_KEYS: &[(&str, &str)] = &[
    ("tokenizer_sha256", "another tokenizer"),
    ("chat_template_sha256", "another chat template"),
    ("thinking", "another choice of thinking"),
    ("max_thinking_tokens", "another budget of thoughts"),
    ("answer_prefix", "another answer prefix"),
];

/// The decision that single prompts have scorers of their own, where not all of them are that of the run.
fn own_scorers_of(names: &[&str], settings: &Settings) -> Option<(String, Value)> {
    let own = names.iter().any(|name| *name != settings.scorer);
    own.then(|| ("own_scorers".to_string(), json!(names.join(", "))))
}

fn has_changed(difference: &str) -> Error {
    Error::Failed(format!("what the run was made with has changed since: {difference}"))
}

impl Identity {
    /// SHA-256 of the decisions in hex, cut to 16 digits: the `config_hash` of every row. How many trials
    /// there are and in which cells does not enter: no row depends on others.
    #[must_use]
    pub fn hash(&self) -> String {
        let of_a_row: Facts = self
            .0
            .iter()
            .filter(|(key, _)| !GROWING.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        sha256_hex(Value::Object(of_a_row).to_string())[..16].to_string()
    }

    /// Whether `new` has all of this plan's trials and more, each of them as it is in this one.
    #[must_use]
    pub fn grows_to(&self, new: &Self) -> bool {
        let contains = |key: &&str| match (self.0.get(*key), new.0.get(*key)) {
            (Some(Value::Array(old)), Some(Value::Array(new))) => old.iter().all(|one| new.contains(one)),
            (Some(old), Some(new)) => old.as_u64().zip(new.as_u64()).is_some_and(|(old, new)| old <= new),
            (old, new) => old == new,
        };
        self.difference_in(new, |key| !GROWING.contains(&key)).is_none() && GROWING.iter().all(contains)
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

    /// What makes the prompts of both differ where the same is asked in other words: where of all that makes
    /// prompts only the tokenizer, the template or how the answer begins differs. `None` where more does, or
    /// nothing.
    #[must_use]
    pub fn difference_of_form(&self, other: &Self) -> Option<String> {
        let form = |key: &str| FORM_KEYS.iter().any(|(known, _)| *known == key);
        let asked = |key: &str| key == "split" || PROMPT_KEYS.contains(&key) && !form(key);
        if self.difference_in(other, asked).is_some() {
            return None;
        }
        let differs = |(key, _): &&(&str, &str)| self.0.get(*key) != other.0.get(*key);
        let words: Vec<&str> = FORM_KEYS.iter().filter(differs).map(|(_, words)| *words).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// That of answers which others have given to prompts of a file: which, to what.
    #[must_use]
    pub fn of_answers(
        settings: &Settings,
        prompts_hash: &str,
        answers_hash: &str,
        own_scorers: &[&str],
    ) -> Self {
        let mut pairs = facts(json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "model": settings.model.name,
            "context_lengths": settings.grid.context_lengths(),
            "depths": settings.grid.depths(),
            "trials": settings.trials,
            "seed": settings.seed,
            "task": settings.task_name(),
            "prompts_sha256": prompts_hash,
            "answers_sha256": answers_hash,
        }));
        if let Some(control) = &settings.control {
            pairs.insert("control".to_string(), json!(control));
        }
        pairs.extend(own_scorers_of(own_scorers, settings));
        Self(pairs)
    }

    /// That of results which a neighbouring tool has written: which tool, in what files.
    #[must_use]
    pub fn of_import(settings: &Settings, from: &str, files_hash: &str) -> Self {
        Self(facts(json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "model": settings.model.name,
            "context_lengths": settings.grid.context_lengths(),
            "depths": settings.grid.depths(),
            "trials": settings.trials,
            "task": settings.task_name(),
            "imported": from,
            "imported_sha256": files_hash,
        })))
    }

    /// The scorers that single prompts have, where not all have that of the run.
    #[must_use]
    pub fn own_scorers(&self) -> Option<String> {
        Some(self.0.get("own_scorers")?.as_str()?.to_string())
    }

    /// The same with the scoring of these settings.
    #[must_use]
    pub fn scored_by(mut self, settings: &Settings) -> Self {
        let (normalise, from) = (settings.normalise, settings.correct_from);
        let decisions = [
            ("scorer", Some(json!(settings.scorer))),
            ("normalise", (!normalise.is_nothing()).then(|| json!(normalise))),
            ("correct_from", from.map(|from| json!(from))),
        ];
        for (key, decision) in decisions {
            match decision {
                Some(decision) => drop(self.0.insert(key.to_string(), decision)),
                None => drop(self.0.shift_remove(key)),
            }
        }
        self
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
    /// Resolves settings: finds the checkpoint, its tokenizer, template and variant, and checks that they fit
    /// together.
    ///
    /// # Errors
    /// When anything named is unknown, missing, damaged or does not fit.
    pub fn resolve(settings: Settings, device: &Device) -> Result<Self> {
        Self::resolve_as(settings, Named::ByUser, None, device)
    }

    /// Resolves the settings of a stored run again, which are data: nothing that they name is downloaded, and
    /// no more is read of a checkpoint than its weights when these are not the run's. A `model` that the user
    /// names takes the place of theirs.
    ///
    /// # Errors
    /// As [`Self::resolve`], and [`Error::Failed`] when the run was made with something else.
    pub fn resolve_again(
        settings: &Settings,
        identity: &Identity,
        model: Option<&str>,
        device: &Device,
    ) -> Result<Self> {
        let named = if model.is_some() { Named::ByUser } else { Named::ByFile };
        let name = model.unwrap_or(&settings.model.name).to_string();
        let model = ModelChoice { name, ..settings.model.clone() };
        let plan = Self::resolve_as(Settings { model, ..settings.clone() }, named, Some(identity), device)?;
        match identity.difference(&plan.identity()?) {
            Some(difference) => Err(has_changed(&difference)),
            None => Ok(plan),
        }
    }

    /// With an `identity` the weights must be those that it names.
    fn resolve_as(
        settings: Settings,
        named: Named,
        identity: Option<&Identity>,
        device: &Device,
    ) -> Result<Self> {
        if let Some(served) = &settings.served {
            let expected = "a run of a checkpoint: a server answered in this one, and shows no attention";
            return Err(Error::invalid("run", format!("answers of {}", served.endpoint), expected));
        }
        let asked = Asked::of(settings)?;
        let checkpoint = asked.settings.model.checkpoint(named)?;
        if let Some(identity) = identity {
            identity.check_weights(&checkpoint)?;
        }
        let model = OpenModel::new(&asked.settings.model, checkpoint, device)?;
        let tokenizer = load_tokenizer(&model.checkpoint)?;
        let reading = Reading {
            tokenizer: &tokenizer,
            template: &|| tokenizer.chat_template(),
            notes: tokenizer.notes(),
            check_length: &|tokens| model.check_length("prompt", tokens),
        };
        let prepared = asked.prepared(&reading)?;
        let Prepared { settings, prompts, scorer, own_scorers, given, chat_template_hash, longest, .. } =
            prepared;
        let masking = settings.masking.clone().settled(model.spec(), settings.seed)?;
        let notes: Vec<String> = prepared.notes.into_iter().chain(masking.note()).collect();
        let settings = Settings { masking, ..settings };
        model.check_length("context length", longest)?;
        Ok(Self {
            warnings: model.warnings(longest),
            prompt_warnings: notes,
            end_tokens: tokenizer.eos_ids().iter().copied().collect(),
            settings: Settings { model: model.choice.clone(), ..settings },
            model,
            tokenizer,
            prompts,
            scorer,
            own_scorers,
            given,
            longest,
            chat_template_hash,
        })
    }

    /// What the results depend on. The first call reads all of the weights, for their hash.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn identity(&self) -> Result<Identity> {
        let settings = &self.settings;
        let (of_model, of_some_models) = self.model.decisions();
        let mut pairs = facts(json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "model_sha256": self.model.checkpoint.sha256()?,
            "tokenizer_sha256": self.tokenizer.hash(),
            "chat_template_sha256": self.chat_template_hash,
        }));
        pairs.extend(of_model);
        pairs.extend(facts_of(settings, &self.prompts, self.scorer.as_ref(), &self.own_scorers));
        pairs.extend(of_some_models);
        pairs.extend(settings.masking.decisions(|| self.calibration_words()));
        Ok(Identity(pairs).scored_by(settings))
    }

    /// Takes the prompts that a plan before has built, where this one asks the same in the same tokens, and
    /// keeps its own for those behind.
    ///
    /// # Errors
    /// When the weights cannot be read, which are a part of the identity.
    pub fn share_prompts(&mut self, shared: &mut SharedPrompts) -> Result<()> {
        let (identity, form) = (self.identity()?, self.form_name());
        let same = |(known, known_form, _): &&(Identity, &'static str, Built)| {
            *known_form == form && known.prompt_difference(&identity).is_none()
        };
        if let Some((.., built)) = shared.0.iter().find(same) {
            self.prompts.built = built.clone();
            return Ok(());
        }
        self.prompts.built = Built::keeping();
        shared.0.push((identity, form, self.prompts.built.clone()));
        Ok(())
    }

    /// Every trial of the plan: the first trial of all cells, then the second, so that a run stopped early
    /// covers the grid; of these in the order in which prompts share most.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let seed = self.settings.seed;
        if let Some(given) = self.prompts.task.given() {
            // In the order of the file, which stands as it was made.
            return given.cells().enumerate().map(|(index, cell)| Trial { cell, index, seed }).collect();
        }
        let trials = (0..self.settings.trials)
            .flat_map(|index| self.settings.grid.cells().map(move |cell| Trial { cell, index, seed }));
        let (spec, longest) = (self.model.spec(), self.longest);
        prefix::order(trials.collect(), |length| spec.planned_length(length, longest))
    }

    /// Loads the model as it runs: with the heads masked that are to be.
    ///
    /// # Errors
    /// As of [`OpenModel::load`], and when a calibration prompt cannot be built or computed.
    pub fn load(&self) -> Result<DecoderModel> {
        let Some(heads) = &self.settings.masking.heads else { return self.model.load() };
        let decoder = self.model.own_decoder()?;
        let places: Vec<(usize, usize)> =
            heads.places.iter().map(|place| (place.layer, place.head)).collect();
        let replaced = match heads.by {
            MaskBy::Zero => ReplacedHeads::by_zero(&places),
            MaskBy::Mean => {
                let mut prompts = PromptSequence::new(&self.prompts, &self.tokenizer);
                let prompt = |trial: &Trial| Ok(prompts.build(trial)?.tokens);
                let texts = self.calibration().iter().map(prompt).collect::<Result<Vec<_>>>()?;
                let (variant, chunk) = (self.model.variant.as_ref(), self.model.choice.chunk_size);
                let means = decoder.mean_outputs(&texts, variant, chunk)?;
                ReplacedHeads::by_mean(&places, self.model.spec().num_attention_heads, &means)
            }
        };
        self.model.answering(Box::new(decoder.with_replaced_heads(replaced)))
    }

    /// The trials whose prompts the mean outputs of heads are taken of: the first ones at the shortest length
    /// and half the depth, or of a file of prompts.
    fn calibration(&self) -> Vec<Trial> {
        let count = self.settings.trials.min(masking::CALIBRATION_TRIALS);
        if self.prompts.task.given().is_some() {
            return self.trials().into_iter().take(count).collect();
        }
        let shortest = self.settings.grid.context_lengths().first().copied();
        let depth = Depth::from_percent(50.0).unwrap_or_default();
        let cell = shortest.map(|context_length| Cell { context_length, depth });
        let seed = self.settings.seed;
        cell.iter().flat_map(|&cell| (0..count).map(move |index| Trial { cell, index, seed })).collect()
    }

    fn calibration_words(&self) -> String {
        let rows: Vec<String> = self.calibration().iter().map(Trial::row_id).collect();
        rows.join(" ")
    }

    /// What the runner needs.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn context(&self, keep_tokens: bool) -> Result<RunContext<'_>> {
        let config_hash = self.identity()?.hash();
        Ok(RunContext {
            prompts: &self.prompts,
            tokenizer: &self.tokenizer,
            scorer: self.scorer.as_ref(),
            own_scorers: &self.own_scorers,
            end_tokens: &self.end_tokens,
            keep_tokens,
            keep_retrieval: false,
            blocking: self.settings.masking.spans.as_ref(),
            labels: Labels {
                run_id: config_hash[..8].to_string(),
                model: self.settings.model.name.clone(),
                variant: self.model.variant.name().to_string(),
                config_hash,
            },
        })
    }

    /// Builds the first trial of every cell, so that what cannot be built fails before the weights load. Of
    /// a grid of very many cells it builds those of some, spread over the lengths and depths; what cannot be
    /// built of the others fails as its trial runs.
    ///
    /// # Errors
    /// [`Error::Prompt`] for the first cell that does not fit.
    pub fn probe_prompts(&self) -> Result<Vec<(Trial, Prompt)>> {
        let mut prompts = PromptSequence::new(&self.prompts, &self.tokenizer);
        let cells = probed::cells(&self.settings.grid);
        let is_wanted = |cell: &Cell| cells.as_ref().is_none_or(|cells| cells.contains(cell));
        let trials = self.trials().into_iter().filter(|trial| trial.index == 0 && is_wanted(&trial.cell));
        trials.map(|trial| Ok((trial, prompts.build(&trial)?))).collect()
    }

    /// Refuses lengths that do not fit into memory. Needs no prompt, so that none is built in vain.
    ///
    /// # Errors
    /// [`Error::Message`] saying what is needed and what there is.
    pub fn check_memory(&self) -> Result<()> {
        let longest = self.given.iter().max_by_key(|row| row.sequence);
        let remedy = match longest {
            Some(row) => format!(
                "leave out the longest prompts (the longest, {:?}, takes {} tokens with its answer), or use a \
                 smaller checkpoint",
                row.id, row.sequence
            ),
            None => "use shorter `context lengths` or a smaller checkpoint".to_string(),
        };
        self.model.memory(self.longest).check(self.model.precision, &remedy)
    }

    /// What each prompt of a file takes, in the order of the file; none of other tasks.
    #[must_use]
    pub fn given(&self) -> &[Measured] {
        &self.given
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

/// The settings with one row alone where depth makes no difference to the task, and why that is.
fn with_the_rows_of(task: &dyn Task, mut settings: Settings) -> Result<(Settings, Option<String>)> {
    let Some(why) = task.without_depth() else { return Ok((settings, None)) };
    let lengths = settings.grid.context_lengths().to_vec();
    settings.grid = Grid::new(lengths, vec![Depth::default()])?;
    Ok((settings, Some(format!("task {} has no depth, so its grid has one row: {why}", task.name()))))
}

/// What is wrong with a template, with what helps: another one, or none.
fn without_template(error: Error) -> Error {
    match error {
        Error::ChatTemplate(problem) if !problem.contains('`') => Error::ChatTemplate(format!(
            "{problem}; put another one into chat_template.jinja of the model's directory, or give \
             `apply chat template`=never for plain text"
        )),
        other => other,
    }
}

fn longest(settings: &Settings) -> usize {
    settings.grid.context_lengths().last().map_or(0, |length| length.0)
}
