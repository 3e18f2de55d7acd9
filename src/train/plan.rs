//! A training resolved: what was asked for, checked, and everything that it needs built.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::data::{Mixture, Sources, further_vocabulary_texts, grows, vocabulary_texts};
use super::decoder::{Multiplier, TrainableDecoder};
use super::multiscreen::TrainableMultiscreen;
use super::{Initial, ModelSizes, State, Trainable, TrainingSettings, from_checkpoint, initial};
use crate::attention::variant::{swap_scale, swapped_layers};
use crate::checkpoint::families::describe;
use crate::checkpoint::{Checkpoint, Config, RopeOverride};
use crate::error::{Error, Result};
use crate::haystack::Haystack;
use crate::registry;
use crate::spec::DecoderSpec;
use crate::task::TASKS;
use crate::tokenizer::{TextTokenizer, train_tokenizer};
use crate::{files, json};

/// The attention variants that can be trained, by name.
pub const TRAINED: &[registry::Entry<Multiplier>] = &[
    registry::Entry { name: "softmax", about: "m = 1", value: Multiplier::One },
    registry::Entry { name: "ssmax", about: "m = s ln n", value: Multiplier::Learned { bias: false } },
    registry::Entry { name: "ssmax-fixed", about: "m = ln n", value: Multiplier::Log },
    registry::Entry { name: "softmax-scale", about: "m = s", value: Multiplier::Constant },
    registry::Entry {
        name: "ssmax-bias",
        about: "m = s ln n + b",
        value: Multiplier::Learned { bias: true },
    },
    registry::Entry {
        name: "adaptive",
        about: "m = p_n + b, p shared by layers and heads",
        value: Multiplier::Adaptive,
    },
    registry::Entry {
        name: "sink",
        about: "m = 1, with a learned sink in the normaliser",
        value: Multiplier::Sink,
    },
    registry::Entry {
        name: "entmax15",
        about: "max(z / 2 - tau, 0)^2 in the place of softmax",
        value: Multiplier::Whole("entmax15"),
    },
    registry::Entry {
        name: "asentmax",
        about: "the same of m z, m = 1 + beta ln(n + 1)^gamma, beta and gamma read from each row",
        value: Multiplier::ScaledEntmax,
    },
    registry::Entry {
        name: "softpick",
        about: "relu(e^z - 1) / (sum |e^z - 1| + eps) in its place",
        value: Multiplier::Whole("softpick"),
    },
    registry::Entry {
        name: "stick-breaking",
        about: "sigmoid(z) of what the keys behind have left",
        value: Multiplier::Whole("stick-breaking"),
    },
    registry::Entry {
        name: "forgetting",
        about: "m = 1, keys fade by a gate that is read from each row behind them",
        value: Multiplier::Forgetting,
    },
];

/// Everything a user decides about a training that its result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingOptions {
    /// Directory of the checkpoint that training begins with; from scratch when absent.
    pub init: Option<String>,
    /// Attention variant of the global layers; when absent that of the checkpoint, or softmax.
    pub variant: Option<String>,
    /// `s` of every head at the beginning; when absent `1 / mean(ln n)` over the training length, the average
    /// temperature of Softmax.
    pub ssmax_init: Option<f64>,
    /// Step behind which the variant is swapped in; the steps up to it train plain Softmax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_at_step: Option<usize>,
    /// Sizes of a model from scratch.
    pub sizes: ModelSizes,
    /// Entries of its tokenizer, which is learned from the texts that it is trained on.
    pub vocab_size: usize,
    /// A `tokenizer.json`, or the directory that holds one, to be used instead.
    pub tokenizer: Option<String>,
    /// Tokens of a sequence.
    pub context_length: usize,
    /// Names or paths of the haystacks.
    pub haystacks: Vec<String>,
    /// Task of the needles.
    pub task: String,
    /// Kinds of sequences and their shares.
    pub mix: Vec<(String, f64)>,
    /// Steps over which key-value lines and prompts of tasks grow to their full size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub curriculum_steps: usize,
    /// Seed of parameters and sequences.
    pub seed: u64,
    /// How it is trained.
    pub training: TrainingSettings,
}

impl TrainingOptions {
    /// Refuses what no kind of sequence in the mix has a use for.
    fn check_mix(&self) -> Result<()> {
        let has = |kind: &str| self.mix.iter().any(|(name, _)| name == kind);
        if self.curriculum_steps > 0 && !self.mix.iter().any(|(name, _)| grows(name)) {
            let expected = "0, or key-values or a task in `mix`, which alone grow";
            return Err(Error::invalid("curriculum steps", self.curriculum_steps, expected));
        }
        if self.task != TASKS[0].name && !has("needles") {
            return Err(Error::invalid("task", &self.task, "no such flag, or needles in `mix`"));
        }
        Ok(())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A training, ready for its first step.
pub struct TrainingPlan {
    /// What was asked for.
    pub options: TrainingOptions,
    /// Its `config.json`.
    pub config: Value,
    /// Its `tokenizer.json`.
    pub tokenizer_json: String,
    tokenizer: TextTokenizer,
    sources: Sources,
    model: Box<dyn Trainable>,
    before_swap: Option<Box<dyn Trainable>>,
    checkpoint: Option<Checkpoint>,
}

impl TrainingPlan {
    /// Checks `options` and builds what they name.
    ///
    /// # Errors
    /// When something asked for is unknown, does not fit together or cannot be trained.
    pub fn resolve(options: TrainingOptions) -> Result<Self> {
        options.training.check()?;
        let rows = options.context_length;
        if !(2..=1 << 20).contains(&rows) {
            return Err(Error::invalid("context length", rows, "2 to 1048576 tokens"));
        }
        let haystacks = options.haystacks.iter().map(|name| Haystack::resolve(name));
        let task = (registry::find("task", TASKS, &options.task)?.value)();
        let sources = Sources::new(haystacks.collect::<Result<_>>()?, task)?;
        let checkpoint = options.init.as_ref().map(|init| Checkpoint::open(init, RopeOverride::default()));
        let checkpoint = checkpoint.transpose()?;
        if let Some(checkpoint) = &checkpoint {
            checkpoint.check_all_read()?;
        }
        let tokenizer_json = tokenizer_json(&options, &sources)?;
        let tokenizer = TextTokenizer::from_json(&tokenizer_json)?;
        let mut config = match &options.init {
            Some(init) => read_config(Path::new(init))?,
            None => options.sizes.config(tokenizer.vocab_size())?,
        };
        config["max_position_embeddings"] = json!(rows);
        config["dtype"] = json!("float32");
        let built = build(&options, &mut config, checkpoint.as_ref(), tokenizer.vocab_size())?;
        let Built { model, before_swap } = built;
        let plan =
            Self { options, config, tokenizer_json, tokenizer, sources, model, before_swap, checkpoint };
        plan.mixture()?;
        plan.options.check_mix()?;
        Ok(plan)
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &dyn Trainable {
        self.model.as_ref()
    }

    /// What the checkpoint that the training begins with warns of.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.checkpoint.as_ref().map_or(&[], |checkpoint| &checkpoint.warnings)
    }

    /// What is trained behind `step` steps, and the step that it is trained to.
    #[must_use]
    pub fn leg(&self, step: usize) -> (&dyn Trainable, usize) {
        match (&self.before_swap, self.options.swap_at_step) {
            (Some(before), Some(swap)) if step < swap => (before.as_ref(), swap),
            _ => (self.model(), self.options.training.steps),
        }
    }

    /// The sequences.
    ///
    /// # Errors
    /// Those of [`Mixture::new`].
    pub fn mixture(&self) -> Result<Mixture<'_>> {
        let TrainingOptions { mix, context_length, seed, curriculum_steps, .. } = &self.options;
        Mixture::new(&self.sources, &self.tokenizer, mix, *context_length, *seed, *curriculum_steps)
    }

    /// The state before the first step.
    ///
    /// # Errors
    /// When a tensor of the checkpoint is missing or has another shape.
    pub fn initial_state(&self) -> Result<State> {
        let (model, seed) = (self.model(), self.options.seed);
        Ok(State::new(match &self.checkpoint {
            Some(checkpoint) => from_checkpoint(model, checkpoint, seed)?,
            None => initial(model, seed),
        }))
    }

    /// The options with the hashes of everything that they name: what must be the same for a training to be
    /// the same.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub fn identity(&self) -> Result<Value> {
        let mut identity = serde_json::to_value(&self.options).unwrap_or_default();
        let haystacks = self.sources.haystacks().iter().map(|haystack| haystack.hash());
        identity["haystack_sha256"] = json!(haystacks.collect::<Vec<_>>());
        identity["tokenizer_sha256"] = json!(self.tokenizer.hash());
        identity["init_sha256"] = match &self.checkpoint {
            Some(checkpoint) => json!(checkpoint.sha256()?),
            None => Value::Null,
        };
        Ok(identity)
    }
}

/// What is trained, and what before a swap.
struct Built {
    model: Box<dyn Trainable>,
    before_swap: Option<Box<dyn Trainable>>,
}

/// The model of `config`, which is told its attention variant, for a tokenizer of `tokens` entries.
fn build(
    options: &TrainingOptions,
    config: &mut Value,
    checkpoint: Option<&Checkpoint>,
    tokens: usize,
) -> Result<Built> {
    if config["model_type"] == "multiscreen" {
        multiscreen(options, config, tokens)
    } else {
        decoder(options, config, checkpoint, tokens)
    }
}

fn multiscreen(options: &TrainingOptions, config: &Value, tokens: usize) -> Result<Built> {
    let given = [
        ("variant", options.variant.is_some()),
        ("ssmax init", options.ssmax_init.is_some()),
        ("swap at step", options.swap_at_step.is_some()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Error::invalid(
            *name,
            "a rule for softmax",
            "no such flag: the tiles of Multiscreen screen",
        ));
    }
    let spec = spec_of(config)?;
    check_vocabulary(tokens, &spec)?;
    let acceptance = match &options.sizes {
        ModelSizes::Multiscreen(sizes) => sizes.acceptance_init,
        ModelSizes::Decoder(_) => 0.0,
    };
    let model = TrainableMultiscreen::new(spec, options.context_length, acceptance)?;
    Ok(Built { model: Box::new(model), before_swap: None })
}

fn decoder(
    options: &TrainingOptions,
    config: &mut Value,
    checkpoint: Option<&Checkpoint>,
    tokens: usize,
) -> Result<Built> {
    let rows = options.context_length;
    let own = checkpoint.map(|checkpoint| &checkpoint.own_variant);
    let name = options.variant.as_deref().or(own.map(|own| own.name)).unwrap_or("softmax");
    let variant = registry::find("attention variant to train", TRAINED, name)?;
    config["attention_variant"] = json!({"kind": variant.name});
    if let Some(scale) = options.ssmax_init.filter(|_| !matches!(variant.value, Multiplier::Learned { .. })) {
        return Err(Error::invalid("ssmax init", scale, "a `variant` with a scale beside it, such as ssmax"));
    }
    if let Some(checkpoint) = checkpoint {
        // A head that the file holds counts, whatever its configuration says.
        config["tie_word_embeddings"] = json!(checkpoint.spec.tie_word_embeddings);
    }
    let spec = spec_of(config)?;
    check_vocabulary(tokens, &spec)?;
    // What a run under `--variant` takes: that of the checkpoint, or else of the rows to be trained on.
    let length = checkpoint.and_then(|checkpoint| checkpoint.spec.training_length()).unwrap_or(rows);
    let follows = match own.filter(|own| own.name == variant.name) {
        Some(own) => own.layers.clone(),
        None if variant.name == "softmax" => vec![false; spec.num_hidden_layers],
        None => swapped_layers(variant.name, &spec.layers, Some(length))?,
    };
    if variant.name != "softmax" {
        let layers: Vec<_> = (0..follows.len()).filter(|&layer| follows[layer]).collect();
        config["attention_variant"]["layers"] = json!(layers);
    }
    // Once more: sinks are of the layers that follow the rule.
    let spec = spec_of(config)?;
    let multipliers: Vec<_> =
        follows.iter().map(|&follows| if follows { variant.value } else { Multiplier::One }).collect();
    let from = Initial {
        range: options.sizes.initializer_range(),
        layers: spec.num_hidden_layers,
        ssmax_scale: options.ssmax_init.unwrap_or_else(|| swap_scale(length)),
    };
    let decoder = || TrainableDecoder::new(spec.clone(), rows, &multipliers, from);
    let before_swap = match options.swap_at_step {
        Some(step) if variant.name == "softmax" || step > options.training.steps => {
            let expected = "at most `steps`, and a `variant` to swap in";
            return Err(Error::invalid("swap at step", step, expected));
        }
        Some(_) => Some(Box::new(decoder()?.before_swap()) as Box<dyn Trainable>),
        None => None,
    };
    let model = Box::new(decoder()?);
    Ok(Built { model, before_swap })
}

/// Refuses a tokenizer with more entries than the model has.
fn check_vocabulary(tokens: usize, spec: &DecoderSpec) -> Result<()> {
    if tokens > spec.vocab_size {
        let expected = format!("a tokenizer of at most {} entries, as the model has", spec.vocab_size);
        return Err(Error::invalid("tokenizer", tokens, expected));
    }
    Ok(())
}

fn spec_of(config: &Value) -> Result<DecoderSpec> {
    let values = config.as_object().cloned().unwrap_or_default();
    Ok(describe(&Config::new(Path::new("config.json"), values))?.1)
}

/// Bytes of a configuration or a tokenizer, at most.
const MOST_BYTES: u64 = 256 << 20;

fn read_text(path: &Path) -> Result<String> {
    files::read_text(path, MOST_BYTES).map_err(|error| {
        Error::file(path, format!("cannot be read: {error}; name a directory that holds it"))
    })
}

fn read_config(directory: &Path) -> Result<Value> {
    let path = directory.join("config.json");
    let values: Map<String, Value> = json::parse(read_text(&path)?.as_bytes(), json::MOST_VALUES)
        .map_err(|error| Error::file(&path, format!("broken JSON ({error}); write it again")))?;
    Ok(Value::Object(values))
}

/// A tokenizer learned from the texts that are trained on.
fn new_tokenizer_json(options: &TrainingOptions, sources: &Sources) -> Result<String> {
    let mut texts = vocabulary_texts(sources)?;
    let first = train_tokenizer(&texts, options.vocab_size)?;
    let further = further_vocabulary_texts(sources, &options.mix, &TextTokenizer::from_json(&first)?)?;
    if further.is_empty() {
        return Ok(first);
    }
    texts.extend(further);
    train_tokenizer(&texts, options.vocab_size)
}

/// That of the checkpoint, the one that was named, or a new one.
fn tokenizer_json(options: &TrainingOptions, sources: &Sources) -> Result<String> {
    match options.tokenizer.as_ref().or(options.init.as_ref()) {
        Some(path) if Path::new(path).is_dir() => read_text(&Path::new(path).join("tokenizer.json")),
        Some(path) => read_text(Path::new(path)),
        None => new_tokenizer_json(options, sources),
    }
}
