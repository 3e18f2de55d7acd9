//! The plan of a run whose answers a server gives: the same prompts and scores, and no attention.

mod both_ends;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::asked::{Asked, Prepared, Reading, facts_of};
use super::model::facts;
use super::settings::{ChatChoice, Settings, ThinkingChoice};
use super::{Cost, Identity, Measured, Shard, named_tokenizer, probed};
use crate::error::{Error, Result};
use crate::prefix;
use crate::prompt::{AnswerPrefix, Form, PromptPlan, PromptSequence};
use crate::runner::{Labels, RunContext};
use crate::score::Scorer;
use crate::server::{Api, Calibration, Counting, Logprobs};
use crate::tokenizer::{ApproximateTokenizer, ChatTemplate, TextTokenizer, Tokenize};
use crate::trial::Trial;

/// What stands for the attention of a model that runs elsewhere.
pub const UNSEEN: &str = "unseen";

/// Bytes of a text that tells how many bytes a token has.
const SAMPLE: usize = 16 << 10;

/// What a text is taken to have before anything is known: a guess that a sample is cut with.
const GUESS: Counting = Counting { bytes_per_token: 4.0, around: 0 };

/// The server that answers in the place of a checkpoint, in plain values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Its address. Results do not depend on it.
    pub endpoint: String,
    /// Completions or chat completions.
    pub api: Api,
    /// Name of the model's tokenizer, which prompts are built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// What stands for it where it is not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting: Option<Counting>,
    /// Of which tokens log-probabilities are asked for.
    #[serde(default, skip_serializing_if = "Logprobs::is_written")]
    pub logprobs: Logprobs,
}

/// Settings resolved for a server: knows how to build prompts and to score answers.
pub struct ServedPlan {
    /// What was asked for.
    pub settings: Settings,
    /// How prompts are built.
    pub prompts: PromptPlan,
    /// What the user should know of the prompts and their scores.
    pub warnings: Vec<String>,
    counter: Counter,
    counting_error: Option<f64>,
    scorer: Box<dyn Scorer>,
    own_scorers: BTreeMap<String, Box<dyn Scorer>>,
    given: Vec<Measured>,
    chat_template_hash: Option<String>,
    /// Set once prompts have been built to see that they can be.
    checked: OnceLock<()>,
}

/// What counts tokens.
#[derive(Clone)]
enum Counter {
    Exact(Arc<TextTokenizer>),
    Approximate(Counting, ApproximateTokenizer),
}

impl Counter {
    fn of(counting: Counting) -> Self {
        Self::Approximate(counting, ApproximateTokenizer::new(counting.bytes_per_token))
    }

    fn tokenizer(&self) -> &dyn Tokenize {
        match self {
            Self::Exact(tokenizer) => tokenizer.as_ref(),
            Self::Approximate(_, tokenizer) => tokenizer,
        }
    }

    fn notes(&self) -> &[String] {
        match self {
            Self::Exact(tokenizer) => tokenizer.notes(),
            Self::Approximate(..) => &[],
        }
    }

    /// The template that prompts are counted in, and put into where the server completes texts.
    fn template(&self, api: Api) -> Result<Option<ChatTemplate>> {
        let own = match self {
            Self::Exact(tokenizer) => tokenizer.chat_template()?,
            Self::Approximate(..) => None,
        };
        let around = match self {
            Self::Exact(_) => 0,
            Self::Approximate(counting, _) => {
                (counting.around as f64 * counting.bytes_per_token).round() as usize
            }
        };
        match (own, api) {
            (Some(own), _) => Ok(Some(own)),
            (None, Api::Completions) => Ok(None),
            (None, Api::Chat) => plain_template(around).map(Some),
        }
    }
}

/// A conversation whose turns follow each other, behind so many bytes that stand for what the server puts
/// around them. It ends with a letter that is no part of a turn, so that white space at a turn's end stays.
fn plain_template(around: usize) -> Result<ChatTemplate> {
    let source = format!(
        "{}{{% for message in messages %}}{{{{ message.content }}}}\n{{% endfor %}}.",
        ".".repeat(around)
    );
    ChatTemplate::new(&source, BTreeMap::new())
}

impl ServedPlan {
    /// Resolves settings that name a server. Where no tokenizer is named, `count` is asked how many tokens
    /// the model makes of a sample of the run's own text, unless the settings say so already.
    ///
    /// # Errors
    /// When anything named is unknown, missing or does not fit, and those of `count`.
    pub fn resolve(settings: Settings, count: &mut dyn FnMut(&str) -> Result<Calibration>) -> Result<Self> {
        let Some(served) = settings.served.clone() else {
            return Err(Error::invalid("endpoint", "nothing", "the address of a server"));
        };
        check(&settings, &served)?;
        match (&served.tokenizer, served.counting) {
            (Some(name), _) => {
                Self::prepared(&settings, &served, Counter::Exact(Arc::new(named_tokenizer(name)?)))
            }
            (None, Some(counting)) => Self::prepared(&settings, &served, Counter::of(counting)),
            (None, None) => {
                let guessed = Self::prepared(&settings, &served, Counter::of(GUESS))?;
                Self::calibrated(&settings, &served, count(&guessed.sample()?)?)
            }
        }
    }

    /// The plan whose tokens are counted as the server was seen to count them.
    fn calibrated(settings: &Settings, served: &Served, calibration: Calibration) -> Result<Self> {
        let Calibration { counting, off } = calibration;
        let served = Served { counting: Some(counting), ..served.clone() };
        let plan = Self::prepared(settings, &served, Counter::of(counting))?;
        Ok(Self { counting_error: Some(off), ..plan })
    }

    fn prepared(settings: &Settings, served: &Served, counter: Counter) -> Result<Self> {
        let mut asked_for = Settings { served: Some(served.clone()), ..settings.clone() };
        if served.api == Api::Chat {
            // The server opens the assistant's turn, and says whether the model thinks in it.
            asked_for.apply_chat_template = ChatChoice::Always;
            asked_for.answer_prefix = AnswerPrefix::None;
            (asked_for.thinking, asked_for.max_thinking_tokens) = (None, None);
        }
        let reading = Reading {
            tokenizer: counter.tokenizer(),
            template: &|| counter.template(served.api),
            notes: counter.notes(),
            check_length: &|_| Ok(()),
        };
        let Prepared {
            settings: laid, prompts, scorer, own_scorers, given, chat_template_hash, notes, ..
        } = Asked::of(asked_for)?.prepared(&reading)?;
        let chat_template_hash = chat_template_hash.filter(|_| matches!(counter, Counter::Exact(_)));
        let (thinking, max_thinking_tokens) = (settings.thinking, settings.max_thinking_tokens);
        let counting_error = matches!(counter, Counter::Exact(_)).then_some(0.0);
        Ok(Self {
            settings: Settings { thinking, max_thinking_tokens, ..laid },
            prompts,
            warnings: notes,
            counter,
            counting_error,
            scorer,
            own_scorers,
            given,
            chat_template_hash,
            checked: OnceLock::new(),
        })
    }

    /// A piece of the text that is asked about.
    fn sample(&self) -> Result<String> {
        let mut trials = self.trials();
        trials.sort_by_key(|trial| std::cmp::Reverse(trial.cell.context_length));
        let mut prompts = PromptSequence::new(&self.prompts, self.counter.tokenizer());
        let mut last = Error::invalid("prompts", "nothing", "at least one that can be built");
        // Where one cannot be built, another one may.
        for trial in trials.iter().take(16) {
            match prompts.build(trial) {
                Ok(prompt) => {
                    let end = (0..=SAMPLE.min(prompt.text.len())).rev();
                    let end = { end }.find(|&at| prompt.text.is_char_boundary(at)).unwrap_or(0);
                    return Ok(prompt.text[..end].to_string());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The server that answers.
    #[must_use]
    pub fn served(&self) -> &Served {
        static NONE: Served = Served {
            endpoint: String::new(),
            api: Api::Chat,
            tokenizer: None,
            counting: None,
            logprobs: Logprobs::Written,
        };
        self.settings.served.as_ref().unwrap_or(&NONE)
    }

    /// Whether lengths are counted with the model's own tokenizer.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.counter, Counter::Exact(_))
    }

    /// The share by which counts of tokens are off on the text that they were measured on, none with the
    /// model's own tokenizer; missing where it is not known.
    #[must_use]
    pub fn counting_error(&self) -> Option<f64> {
        self.counting_error
    }

    /// What counts tokens.
    #[must_use]
    pub fn tokenizer(&self) -> &dyn Tokenize {
        self.counter.tokenizer()
    }

    /// Tokens of a thought that are asked for besides those of the answer.
    #[must_use]
    pub fn thought_budget(&self) -> usize {
        self.settings.thinking_budget().unwrap_or(0)
    }

    /// Every trial of the plan, those whose prompts begin alike one after the other: the first trial of all
    /// cells by the place of the needle, then the second. Prompts of a file stand in its order.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let seed = self.settings.seed;
        if let Some(given) = self.prompts.task.given() {
            return given.cells().enumerate().map(|(index, cell)| Trial { cell, index, seed }).collect();
        }
        let trials = (0..self.settings.trials)
            .flat_map(|index| self.settings.grid.cells().map(move |cell| Trial { cell, index, seed }));
        prefix::order(trials.collect(), |_| 0)
    }

    /// The trials of a part of the plan, in their order; of all of it without one.
    #[must_use]
    pub fn part(&self, shard: Option<Shard>) -> Vec<Trial> {
        let all = self.trials();
        match shard {
            None => all,
            Some(shard) => all[shard.of(&self.costs(&all))].to_vec(),
        }
    }

    /// What each trial costs in tokens: those that its prompt does not share with the one before it.
    fn costs(&self, trials: &[Trial]) -> Vec<Cost> {
        let cost = |tokens: usize, shared: usize| Cost {
            alone: tokens as f64,
            behind: tokens.saturating_sub(shared) as f64,
        };
        if !self.given.is_empty() {
            return self.given.iter().map(|row| cost(row.sequence, row.shared)).collect();
        }
        let place = |trial: &Trial| trial.cell.depth.fraction() * trial.cell.context_length.0 as f64;
        let mut before: Option<&Trial> = None;
        let costs = trials.iter().map(|trial| {
            let last = before.replace(trial).filter(|last| last.index == trial.index);
            let shared = last.map_or(0.0, |last| place(last).min(place(trial)));
            cost(trial.cell.context_length.0, shared as usize)
        });
        costs.collect()
    }

    /// Tokens of these trials at most, their answers among them.
    #[must_use]
    pub fn tokens_of(&self, trials: &[Trial]) -> usize {
        let of_file = |trial: &Trial| self.given.get(trial.index).map(|row| row.sequence);
        trials.iter().map(|trial| of_file(trial).unwrap_or(trial.cell.context_length.0)).sum()
    }

    /// Builds the first prompt of every cell, or of many cells of some, so that what cannot be built fails
    /// before anything is asked; those of a file have been looked at already, and of no plan it is done
    /// twice.
    ///
    /// # Errors
    /// [`Error::Prompt`] for the first cell that does not fit.
    pub fn check_prompts(&self) -> Result<()> {
        if self.prompts.task.given().is_some() || self.checked.get().is_some() {
            return Ok(());
        }
        let cells = probed::cells(&self.settings.grid);
        let mut prompts = PromptSequence::new(&self.prompts, self.counter.tokenizer());
        for trial in self.trials().iter().filter(|trial| trial.index == 0) {
            if cells.as_ref().is_none_or(|cells| cells.contains(&trial.cell)) {
                prompts.build(trial)?;
            }
        }
        self.checked.get_or_init(|| ());
        Ok(())
    }

    /// What the results depend on. The server's address is none of it, so that a run goes on where the same
    /// model is served at another one.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let served = self.served();
        let mut pairs = facts(json!({
            "niah": env!("CARGO_PKG_VERSION"),
            "served_model": self.settings.model.name,
            "api": served.api,
        }));
        match &self.counter {
            Counter::Exact(tokenizer) => {
                pairs.insert("tokenizer_sha256".to_string(), json!(tokenizer.hash()))
            }
            Counter::Approximate(counting, _) => pairs.insert("counting".to_string(), json!(counting)),
        };
        if !served.logprobs.is_written() {
            pairs.insert("logprobs".to_string(), json!(served.logprobs));
        }
        if let Some(hash) = &self.chat_template_hash {
            pairs.insert("chat_template_sha256".to_string(), json!(hash));
        }
        pairs.extend(facts_of(&self.settings, &self.prompts, self.scorer.as_ref(), &self.own_scorers));
        Identity(pairs).scored_by(&self.settings)
    }

    /// What the runner needs.
    #[must_use]
    pub fn context(&self) -> RunContext<'_> {
        let config_hash = self.identity().hash();
        RunContext {
            prompts: &self.prompts,
            tokenizer: self.counter.tokenizer(),
            scorer: self.scorer.as_ref(),
            own_scorers: &self.own_scorers,
            end_tokens: &[],
            keep_tokens: false,
            keep_retrieval: false,
            blocking: None,
            labels: Labels {
                run_id: config_hash[..8].to_string(),
                model: self.settings.model.name.clone(),
                variant: UNSEEN.to_string(),
                config_hash,
            },
        }
    }

    /// Name of the prompts' form: `chat` or `completion`.
    #[must_use]
    pub fn form_name(&self) -> &'static str {
        match self.prompts.form {
            Form::Completion => "completion",
            Form::Chat { .. } => "chat",
        }
    }

    /// A name for a directory: the model and that it was served.
    #[must_use]
    pub fn file_name(&self) -> String {
        let name = Path::new(&self.settings.model.name).file_name();
        let name = name.map_or("model".into(), |name| name.to_string_lossy());
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' };
        format!("{}-served", name.chars().map(plain).collect::<String>())
    }
}

/// Refuses what a server cannot be asked.
fn check(settings: &Settings, served: &Served) -> Result<()> {
    if settings.model.name.trim().is_empty() {
        return Err(Error::invalid("model", "nothing", "the name of a model that the server has"));
    }
    if !settings.masking.is_nothing() {
        let setting = if settings.masking.heads.is_some() { "mask heads" } else { "mask span" };
        let expected = "no such flag beside `endpoint`: the attention of a server is out of reach";
        return Err(Error::invalid(setting, settings.masking.found(), expected));
    }
    if served.api == Api::Completions && settings.thinking == Some(ThinkingChoice::On) {
        let expected = "chat, or no such choice: a thought within a text to complete has no end of its own";
        return Err(Error::invalid("api", "completions", expected));
    }
    if served.api == Api::Chat && served.logprobs == Logprobs::Expected {
        let expected = "written, or `api` completions: a conversation is answered and not continued";
        return Err(Error::invalid("logprobs", "expected", expected));
    }
    Ok(())
}
