//! What a run asks, whoever answers: task, haystack, the form of prompts and their scorers, resolved from
//! settings.

use std::collections::BTreeMap;

use serde_json::json;

use super::form::{Formed, form};
use super::given::{self, Measured};
use super::model::{Facts, facts};
use super::settings::Settings;
use super::{about, copies, longest, own_scorers_of, scoring, with_the_rows_of};
use crate::error::{Error, Result};
use crate::haystack::{Haystack, Order};
use crate::prompt::{Built, PromptPlan, Snap};
use crate::registry;
use crate::score::Scorer;
use crate::task::{CONTROLS, Task};
use crate::tokenizer::{ChatTemplate, Tokenize};

/// What is asked, before anything is known of who answers.
pub(super) struct Asked {
    pub(super) settings: Settings,
    task: Box<dyn Task>,
    haystack: Haystack,
    scorer: Box<dyn Scorer>,
    one_row: Option<String>,
}

/// How prompts are read by who answers.
pub(super) struct Reading<'a> {
    pub(super) tokenizer: &'a dyn Tokenize,
    /// The chat template, where there is one.
    pub(super) template: &'a dyn Fn() -> Result<Option<ChatTemplate>>,
    /// What is to be said of the tokenizer.
    pub(super) notes: &'a [String],
    /// Refuses prompts of so many tokens, their answers included.
    pub(super) check_length: &'a dyn Fn(usize) -> Result<()>,
}

/// The same with everything that builds prompts and scores answers.
pub(super) struct Prepared {
    pub(super) settings: Settings,
    pub(super) prompts: PromptPlan,
    pub(super) scorer: Box<dyn Scorer>,
    /// The scorers of single prompts, by name.
    pub(super) own_scorers: BTreeMap<String, Box<dyn Scorer>>,
    /// What each prompt of a file takes.
    pub(super) given: Vec<Measured>,
    pub(super) chat_template_hash: Option<String>,
    /// What the user should know of the prompts and their scores.
    pub(super) notes: Vec<String>,
    /// Tokens of the longest sequence that is asked for.
    pub(super) longest: usize,
}

impl Asked {
    /// Finds the task, its haystack and its scorer, and checks that they fit together.
    pub(super) fn of(settings: Settings) -> Result<Self> {
        settings.check()?;
        let task = settings.make_task()?;
        let (settings, one_row) = with_the_rows_of(task.as_ref(), settings)?;
        let scorer = settings.scoring()?;
        let writes = task.listing().is_some() || task.given().is_some();
        let haystack = match (writes, settings.haystack.as_deref()) {
            (false, name) => {
                let name = name.unwrap_or(task.default_haystack());
                let haystack = Haystack::resolve(name)?;
                if settings.is_about_haystack() {
                    about::check(&settings, &haystack)?;
                }
                let haystack = haystack.part(settings.split)?;
                match settings.haystack_order {
                    Order::Text => haystack,
                    Order::Shuffled => haystack.shuffled(),
                }
            }
            (true, None) => Haystack::none(),
            (true, Some(name)) => {
                let expected = format!("no haystack: task {} writes its own text", task.name());
                return Err(Error::invalid("haystack", name, expected));
            }
        };
        if writes && settings.haystack_order == Order::Shuffled {
            let expected = format!("no such flag: task {} has no haystack", task.name());
            return Err(Error::invalid("haystack order", "shuffled", expected));
        }
        if writes && settings.snap == Snap::None {
            let expected = format!("no such flag: task {} writes whole lines, as many as fit", task.name());
            return Err(Error::invalid("snap", "none", expected));
        }
        Ok(Self { settings, task, haystack, scorer, one_row })
    }

    /// Puts prompts into the form of who reads them.
    pub(super) fn prepared(self, reading: &Reading<'_>) -> Result<Prepared> {
        let Self { settings, task, haystack, scorer, one_row } = self;
        let Reading { tokenizer, template, .. } = *reading;
        let settings = match task.given() {
            Some(given) => given::without_needless_template(settings, given),
            None => settings,
        };
        let Formed { form, chat_template_hash, assistant, warning } = form(&settings, template, tokenizer)?;
        let mut notes = haystack.notes().to_vec();
        notes.extend(warning);
        notes.extend(one_row);
        notes.extend(task.notes(settings.trials));
        if let Some(name) = &settings.control {
            let control = registry::find("control", CONTROLS, name)?.value;
            notes.extend(control.meaning().map(|meaning| format!("control {name}: {meaning}")));
        }
        notes.extend(copies::note(settings.trials, task.as_ref(), &haystack)?);
        notes.extend(scoring::warnings(&settings, task.as_ref(), scorer.as_ref())?);
        notes.extend_from_slice(reading.notes);
        let (settings, task, given) = match task.given() {
            None => (settings, task, Vec::new()),
            Some(given) => {
                let laid = given::lay_out(settings, given, (&form, assistant), reading)?;
                notes.extend(laid.notes);
                (laid.settings, Box::new(laid.prompts) as Box<dyn Task>, laid.measured)
            }
        };
        let own_scorers = given::scorers(task.as_ref(), &settings)?;
        let (snap, answer_budget) = (settings.snap, settings.max_new_tokens);
        let built = Built::default();
        let prompts = PromptPlan { task, haystack, form, assistant, snap, answer_budget, built };
        let (settings, lengths) = match settings.is_about_haystack() {
            true => about::with_the_lengths_of(settings, &prompts, tokenizer)?,
            false => (settings, None),
        };
        notes.extend(lengths);
        let longest = match given.iter().map(|row| row.sequence).max() {
            Some(sequence) => sequence,
            None => longest(&settings),
        };
        Ok(Prepared { settings, prompts, scorer, own_scorers, given, chat_template_hash, notes, longest })
    }
}

/// What results depend on besides who answers: the cells, the prompts in them, and how answers are scored.
pub(super) fn facts_of(
    settings: &Settings,
    prompts: &PromptPlan,
    scorer: &dyn Scorer,
    own_scorers: &BTreeMap<String, Box<dyn Scorer>>,
) -> Facts {
    let mut pairs = facts(json!({
        "context_lengths": settings.grid.context_lengths(),
        "depths": settings.grid.depths(),
        "trials": settings.trials,
        "seed": settings.seed,
        "task": prompts.task.name(),
        "needle": settings.needle,
        "question": settings.question,
        "answer": settings.answer,
        "haystack": prompts.haystack.name(),
        "haystack_sha256": prompts.haystack.hash(),
        "snap": settings.snap,
        "system_instruction": settings.system_instruction,
        "scorer": scorer.name(),
        "max_new_tokens": settings.max_new_tokens,
    }));
    // The hash of a haystack tells its parts apart; a text without one has values alone.
    if !settings.split.is_all() {
        pairs.insert("split".to_string(), json!(settings.split));
    }
    if settings.prompts.is_some() {
        pairs.insert("prompts_sha256".to_string(), json!(prompts.task.file_hash()));
        let names: Vec<&str> = own_scorers.keys().map(String::as_str).collect();
        pairs.extend(own_scorers_of(&names, settings));
    }
    if settings.needles.is_some() {
        pairs.insert("needles_sha256".to_string(), json!(prompts.task.file_hash()));
    }
    if !settings.haystack_order.is_text() {
        pairs.insert("haystack_order".to_string(), json!(settings.haystack_order));
    }
    if settings.distractors > 0 {
        pairs.insert("distractors".to_string(), json!(settings.distractors));
    }
    if let Some(control) = &settings.control {
        pairs.insert("control".to_string(), json!(control));
    }
    if let Some(thinking) = settings.thinking {
        pairs.insert("thinking".to_string(), json!(thinking));
    }
    if let Some(budget) = settings.thinking_budget() {
        pairs.insert("max_thinking_tokens".to_string(), json!(budget));
    }
    if !settings.answer_prefix.is_task() {
        pairs.insert("answer_prefix".to_string(), json!(settings.answer_prefix));
    }
    pairs
}
