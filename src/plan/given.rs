//! A plan whose prompts are out of a file: their cells, and what they take.

use std::collections::BTreeMap;

use super::asked::Reading;
use super::settings::ThinkingChoice;
use super::{ChatChoice, Settings};
use crate::error::{Error, Result};
use crate::generate::common_prefix;
use crate::grid::{Depth, Grid};
use crate::prompt::{Assistant, Form, prompt_hash, tokens_of};
use crate::score::{self, Scorer};
use crate::task::{GivenPrompt, Prompts, Task};

/// What a prompt of a file takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its name.
    pub id: String,
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Tokens of prompt and answer together.
    pub sequence: usize,
    /// Tokens with which it begins as the prompt before it in the file does.
    pub shared: usize,
    /// SHA-256 of its tokens, as of [`crate::prompt::Prompt::prompt_hash`].
    pub hash: String,
}

/// The settings, in which a file that holds no conversation asks for no chat template.
pub(super) fn without_needless_template(mut settings: Settings, given: &Prompts) -> Settings {
    if settings.apply_chat_template == ChatChoice::Auto && !given.has_messages() {
        settings.apply_chat_template = ChatChoice::Never;
    }
    settings
}

/// Prompts as the model reads them, what each takes, and the settings with their cells.
pub(super) struct LaidOut {
    pub(super) settings: Settings,
    pub(super) prompts: Prompts,
    pub(super) measured: Vec<Measured>,
    pub(super) notes: Vec<String>,
}

/// Puts the prompts of a file into the form of the run and encodes each. A prompt that is too long for the
/// model, or whose text cannot be had, fails when it is asked.
///
/// # Errors
/// When the chat template or the tokenizer cannot be used.
pub(super) fn lay_out(
    settings: Settings,
    given: &Prompts,
    (form, assistant): (&Form, Assistant),
    reading: &Reading<'_>,
) -> Result<LaidOut> {
    let given = match settings.apply_chat_template {
        ChatChoice::Always => given.clone().as_conversations(),
        ChatChoice::Auto | ChatChoice::Never => given.clone(),
    };
    let template = match form {
        Form::Chat { .. } => (reading.template)()?,
        Form::Completion => None,
    };
    let template = match (template, settings.thinking) {
        (Some(template), Some(choice)) => Some(template.thinking(choice == ThinkingChoice::On)?),
        (template, _) => template,
    };
    let mut prompts =
        given.laid_out(settings.system_instruction.as_deref(), template.as_ref(), &settings.scorer);
    let (mut measured, mut refused) = (Vec::with_capacity(prompts.rows().len()), Vec::new());
    let mut before: Vec<u32> = Vec::new();
    for (number, (given, laid)) in prompts.rows().enumerate() {
        let Ok(laid) = laid else {
            measured.push(Measured { id: given.id.clone(), ..Measured::default() });
            continue;
        };
        let named = |error: Error| match error {
            Error::Tokenizer(problem) => Error::Tokenizer(format!("{}: {problem}", given.name())),
            other => other,
        };
        let (tokens, sequence) =
            tokens_of(given, laid, reading.tokenizer, (settings.max_new_tokens, assistant)).map_err(named)?;
        if let Err(Error::InvalidValue { expected, .. }) = (reading.check_length)(sequence) {
            refused.push((number, format!("takes {sequence} tokens with its answer, expected {expected}")));
            measured.push(Measured { id: given.id.clone(), ..Measured::default() });
            continue;
        }
        let shared = common_prefix(&before, &tokens);
        let (id, hash) = (given.id.clone(), prompt_hash(&tokens));
        measured.push(Measured { id, tokens: tokens.len(), sequence, shared, hash });
        before = tokens;
    }
    let longer = refused.len();
    for (number, problem) in refused {
        prompts.refuse(number, problem);
    }
    prompts.group(&measured.iter().map(|row| row.sequence).collect::<Vec<_>>());
    let lengths = prompts.cells().map(|cell| cell.context_length).collect();
    let settings = Settings {
        grid: Grid::new(lengths, vec![Depth::default()])?,
        trials: prompts.rows().len(),
        ..settings
    };
    let notes = notes(&prompts, longer);
    Ok(LaidOut { settings, prompts, measured, notes })
}

/// What the user should know of these prompts.
fn notes(prompts: &Prompts, longer: usize) -> Vec<String> {
    let all = prompts.rows().len();
    let count = |what: &dyn Fn(&crate::task::GivenPrompt) -> bool| {
        prompts.rows().filter(|(given, _)| what(given)).count()
    };
    let mut notes = Vec::new();
    let failing = prompts.rows().filter(|(_, laid)| laid.is_err()).count();
    if failing > longer {
        let first =
            prompts.rows().find_map(|(given, laid)| Some(format!("{} {}", given.name(), laid.err()?)));
        notes.push(format!(
            "{} of {all} prompts cannot be put to the model and will fail: {}",
            failing - longer,
            first.unwrap_or_default()
        ));
    }
    if longer > 0 {
        notes.push(format!("{longer} of {all} prompts are longer than the model can read and will fail"));
    }
    let without = count(&|given| given.spans.is_empty());
    if without > 0 {
        notes.push(format!("{without} of {all} prompts say no spans, so that their needle mass is missing"));
    }
    let without = count(&|given| given.context_length.is_none());
    if without > 0 {
        notes.push(format!(
            "{without} of {all} prompts say no context_length: they are in the cell of their own tokens, with \
             the answer, rounded up to a power of two"
        ));
    }
    notes
}

/// The scorers that single prompts of a task ask for, by name.
///
/// # Errors
/// When one is unknown.
pub(super) fn scorers(task: &dyn Task, settings: &Settings) -> Result<BTreeMap<String, Box<dyn Scorer>>> {
    let given = task.given().into_iter().flat_map(|given| given.rows());
    own_scorers(given.map(|(given, _)| given), settings)
}

/// The scorers that these prompts ask for, by name, on texts and with a threshold as of `settings`.
///
/// # Errors
/// [`Error::InvalidValue`] when one is unknown.
pub fn own_scorers<'a>(
    prompts: impl Iterator<Item = &'a GivenPrompt>,
    settings: &Settings,
) -> Result<BTreeMap<String, Box<dyn Scorer>>> {
    let mut scorers = BTreeMap::new();
    for given in prompts {
        let Some(name) = &given.scorer else { continue };
        if !scorers.contains_key(name) {
            let scorer = score::scoring(name, settings.normalise, settings.correct_from);
            let named = |error: Error| {
                let expected = match error {
                    Error::InvalidValue { expected, .. } => expected,
                    Error::UnknownChoice { known, .. } => format!("one of {known}"),
                    other => other.to_string(),
                };
                Error::invalid(format!("scorer of {}", given.name()), format!("{name:?}"), expected)
            };
            scorers.insert(name.clone(), scorer.map_err(named)?);
        }
    }
    Ok(scorers)
}
