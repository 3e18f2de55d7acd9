//! The form of a run's prompts: plain text or a conversation, and how the assistant's turn begins.

use std::sync::Arc;

use super::settings::{ChatChoice, Settings, ThinkingChoice};
use super::without_template;
use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::prompt::{AnswerPrefix, Assistant, Form};
use crate::tokenizer::{ChatTemplate, MARKS, Tokenize};

/// What the settings and the checkpoint's template make of the form.
pub(super) struct Formed {
    pub(super) form: Form,
    /// Of what the template writes, when there is one.
    pub(super) chat_template_hash: Option<String>,
    pub(super) assistant: Assistant,
    pub(super) warning: Option<String>,
}

/// The form of the prompts.
///
/// # Errors
/// When a template is wanted and there is none, when it cannot be used, and when something is asked of it
/// that it has not: a system's turn, or a switch of thinking.
pub(super) fn form(
    settings: &Settings,
    template: &dyn Fn() -> Result<Option<ChatTemplate>>,
    tokenizer: &dyn Tokenize,
) -> Result<Formed> {
    let template = match settings.apply_chat_template {
        ChatChoice::Never => None,
        ChatChoice::Auto => template().map_err(without_template)?,
        ChatChoice::Always => Some(template().map_err(without_template)?.ok_or_else(|| {
            Error::invalid(
                "apply chat template",
                "always",
                "a checkpoint with a chat template; this one has none",
            )
        })?),
    };
    let system = settings.system_instruction.clone();
    let prefix = settings.answer_prefix;
    match template {
        None if system.is_some() => Err(Error::invalid(
            "system instruction",
            "an instruction",
            "a chat template to put it in: this run uses plain text",
        )),
        None if settings.thinking.is_some() => Err(Error::invalid(
            "thinking",
            "a choice",
            "a chat template to make it in: this run uses plain text",
        )),
        None => {
            let assistant = Assistant { prefix, ..Assistant::default() };
            Ok(Formed { form: Form::Completion, chat_template_hash: None, assistant, warning: None })
        }
        Some(template) => {
            let warning = warning(settings, &template)?;
            let (template, assistant) = thinking(settings, template, tokenizer)?;
            let hash = sha256_hex(template.render(system.as_deref(), "").map_err(without_template)?);
            let render = Arc::new(move |system: Option<&str>, user: &str| template.render(system, user));
            let form = Form::Chat { system, render };
            Ok(Formed { form, chat_template_hash: Some(hash), assistant, warning })
        }
    }
}

/// The template with its switch as it is to be, and how the assistant's turn begins.
fn thinking(
    settings: &Settings,
    template: ChatTemplate,
    tokenizer: &dyn Tokenize,
) -> Result<(ChatTemplate, Assistant)> {
    let (prefix, thinking_budget) = (settings.answer_prefix, settings.thinking_budget());
    let template = match settings.thinking {
        None => template,
        Some(choice) => template.thinking(choice == ThinkingChoice::On)?,
    };
    // Behind the task's words an answer has no thought.
    let may_think = thinking_budget.is_some() || prefix == AnswerPrefix::None;
    let marks = if may_think { template.marks(tokenizer)? } else { None };
    if thinking_budget.is_some() && marks.is_none() {
        let known: Vec<&str> = MARKS.iter().map(|marks| marks.close).collect();
        let known = known.join(", ");
        let problem = format!(
            "neither it nor the tokenizer has a mark that ends a thought (one of {known}); leave `thinking` out"
        );
        return Err(Error::ChatTemplate(problem));
    }
    Ok((template, Assistant { prefix, marks, thinking_budget }))
}

/// What to say of a template that begins a thought where nobody has decided whether the model is to think.
fn warning(settings: &Settings, template: &ChatTemplate) -> Result<Option<String>> {
    if settings.thinking.is_some() || !template.opens_thought().map_err(without_template)? {
        return Ok(None);
    }
    let within = match settings.answer_prefix {
        AnswerPrefix::Task => {
            "the words of the answer stand in it; with --thinking on the model thinks first"
        }
        AnswerPrefix::None => "it takes of the answer's own tokens; with --thinking on it has its own",
    };
    Ok(Some(format!("the chat template begins a thought, and {within}")))
}
