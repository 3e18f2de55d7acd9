//! Chat templates: the Jinja sources that Hugging Face models carry, rendered as transformers renders them.
//!
//! Two things differ on purpose. `strftime_now` gives a fixed date, so that a prompt is the same tomorrow, and
//! `{% generation %}`, which only marks tokens for training, has no effect.

mod date;
mod json;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;

use self::date::Date;
use crate::error::{Error, Result};

/// The name that minijinja's messages give the template.
const NAME: &str = "chat_template";

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A turn of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A chat template, ready to render.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    special_tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// Parses `source`. The template sees `special_tokens` (`bos_token`, `eos_token` and so on) as variables,
    /// and 26 July 2024 as today's date.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the source is not a valid template.
    pub fn new(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(broken)?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_filter("tojson", json::tojson);
        environment.add_function("raise_exception", raise_exception);
        let source = without_generation_tags(&source.replace("\r\n", "\n"));
        environment.template_from_named_str(NAME, &source).map_err(broken)?;
        let template = Self { environment, source, special_tokens };
        template.with_date(2024, 7, 26)
    }

    /// The same template on another day.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no such day.
    pub fn with_date(mut self, year: u32, month: u32, day: u32) -> Result<Self> {
        let date = Date::new(year, month, day)?;
        self.environment.add_function("strftime_now", move |format: &str| date.format(format));
        Ok(self)
    }

    /// A question, after a system message if there is one, up to where the assistant's answer begins.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template refuses the conversation or leaves the system message out.
    pub fn render(&self, system: Option<&str>, user: &str) -> Result<String> {
        let user = Message::new("user", user);
        let Some(system) = system else { return self.render_messages(&[user]) };
        let with_system = self.render_text(&[Message::new("system", system), user.clone()]);
        let problem = match with_system {
            Ok(text) if text.contains(system.trim()) => return Ok(text),
            Ok(_) => "the system message is left out".to_string(),
            Err(problem) => problem,
        };
        // It is the system message's fault when the conversation renders without it.
        let remedy = match self.render_text(&[user]) {
            Ok(_) => "; drop --system-instruction, or say it in the task's own text",
            Err(_) => "",
        };
        Err(Error::ChatTemplate(format!("{problem}{remedy}")))
    }

    /// A conversation, up to where the assistant's next turn begins.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template refuses the conversation, with the template's own message.
    pub fn render_messages(&self, messages: &[Message]) -> Result<String> {
        self.render_text(messages).map_err(Error::ChatTemplate)
    }

    fn render_text(&self, messages: &[Message]) -> Result<String, String> {
        let mut variables: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", Value::from(Serde(messages))),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(true)),
        ]);
        variables.extend(
            self.special_tokens.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))),
        );
        self.environment.render_named_str(NAME, &self.source, Value::from(variables)).map_err(reason)
    }
}

/// What a template said when it called `raise_exception`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Raised {}

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raised by the template");
    Err(error.with_source(Raised(message)))
}

/// The template's own message if it raised one, else the engine's.
fn reason(error: minijinja::Error) -> String {
    let mut cause: Option<&dyn StdError> = Some(&error);
    while let Some(current) = cause {
        if let Some(Raised(message)) = current.downcast_ref() {
            return message.clone();
        }
        cause = current.source();
    }
    error.to_string()
}

fn broken(error: minijinja::Error) -> Error {
    Error::ChatTemplate(reason(error))
}

/// Replaces `{% generation %}` and its end by tags that do nothing and trim white space in the same way.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{%") {
        let Some((tag, behind)) = after.split_once("%}") else { break };
        let word = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let replacement = match word {
            "generation" => tag.replace(word, "if true"),
            "endgeneration" => tag.replace(word, "endif"),
            _ => tag.to_string(),
        };
        text.extend([before, "{%", &replacement, "%}"]);
        rest = behind;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        let tokens = BTreeMap::from([("bos_token".to_string(), "<s>".to_string())]);
        ChatTemplate::new(source, tokens).unwrap()
    }

    fn rendered(source: &str) -> String {
        template(source).render(None, "hi").unwrap()
    }

    const TURNS: &str = "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message['content'] }}\n{% endfor %}";

    #[test]
    fn a_system_message_comes_first() {
        assert_eq!(
            template(TURNS).render(Some("Be brief."), "hi").unwrap(),
            "<s>[system] Be brief.\n[user] hi\n"
        );
        assert_eq!(template(TURNS).render(None, "hi").unwrap(), "<s>[user] hi\n");
    }

    #[test]
    fn absent_variables_are_as_in_transformers() {
        let source =
            "{{ tools is none }} {{ documents is none }} {{ eos_token is defined }} {{ pad_token }}|";
        assert_eq!(rendered(source), "True True False |");
    }

    #[test]
    fn tojson_does_not_escape_for_html() {
        assert_eq!(rendered("{{ '<a> & \"é\"' | tojson }}"), r#""<a> & \"é\"""#);
        assert_eq!(rendered("{{ {'a': [1, 2.5], 'b': none} | tojson }}"), r#"{"a": [1, 2.5], "b": null}"#);
        assert_eq!(rendered("{{ [1, {}] | tojson(indent=2) }}"), "[\n  1,\n  {}\n]");
        assert_eq!(rendered("{{ 'é😀' | tojson(ensure_ascii=true) }}"), r#""\u00e9\ud83d\ude00""#);
    }

    #[test]
    fn the_date_is_fixed_and_can_be_moved() {
        let source = "{{ strftime_now('%d %b %Y') }}";
        assert_eq!(rendered(source), "26 Jul 2024");
        let moved = template(source).with_date(2025, 1, 5).unwrap();
        assert_eq!(moved.render(None, "hi").unwrap(), "05 Jan 2025");
        assert!(template(source).with_date(2025, 2, 29).is_err());
    }

    #[test]
    fn python_methods_loop_controls_and_namespaces_work() {
        let source = "{% set ns = namespace(n=0) %}{% for x in 'a,b,c'.split(',') %}{% if x == 'c' %}{% break %}{% endif %}{% set ns.n = ns.n + 1 %}{{ x.upper() }}{% endfor %}{{ ns.n }}{{ messages[::-1][0].get('role') }}";
        assert_eq!(rendered(source), "AB2user");
    }

    #[test]
    fn generation_tags_only_trim() {
        let source = "a {%- generation -%} b {% endgeneration %}c{% if true %}d{% endif %}";
        assert_eq!(rendered(source), "ab cd");
    }

    #[test]
    fn the_message_a_template_raises_is_the_error() {
        let source = "{% macro no() %}{{ raise_exception('roles must alternate') }}{% endmacro %}{{ no() }}";
        let error = template(source).render(None, "hi").unwrap_err();
        assert_eq!(error.to_string(), "chat template: roles must alternate");
    }

    #[test]
    fn a_refused_or_forgotten_system_message_names_the_remedy() {
        let refuses =
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}ok";
        let forgets = "{{ messages[-1].content }}";
        for (source, expected) in [(refuses, "no system role"), (forgets, "left out")] {
            let message = template(source).render(Some("Be brief."), "hi").unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("--system-instruction"), "{message}");
            assert!(template(source).render(None, "hi").is_ok());
        }
    }

    #[test]
    fn broken_templates_are_errors() {
        for source in ["{% for x in %}", "{% if true %}", "{{ 'a' "] {
            let error = ChatTemplate::new(source, BTreeMap::new()).unwrap_err();
            assert!(matches!(error, Error::ChatTemplate(_)), "{error}");
        }
        assert!(template("{{ nothing.at.all }}").render(None, "hi").is_err());
    }
}
