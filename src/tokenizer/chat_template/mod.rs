//! Chat templates: the Jinja sources that Hugging Face models carry, rendered as transformers renders them.
//!
//! Three things differ. `strftime_now` gives a fixed date, so that a prompt is the same tomorrow,
//! `{% generation %}`, which only marks tokens for training, has no effect, and a loop over `none` is empty,
//! where Jinja2 refuses it.

mod compat;
mod date;
mod engine;
mod json;
mod thinking;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use self::date::Date;
use self::engine::Content;
pub(super) use self::engine::Job;
pub use self::thinking::{MARKS, Marks, apart_from_thought};
use super::apart::TemplateWorker;
use crate::error::{Error, Result};
use crate::isolation::{Failure, caught};

/// Stands for what somebody says while it is found out how a template wants to be told.
const PROBE: &str = "niah-probe-8c1e77";

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
pub struct ChatTemplate {
    /// Where it stands, for messages.
    place: Option<String>,
    source: String,
    special_tokens: BTreeMap<String, String>,
    date: Date,
    /// Variables that it sees besides.
    options: BTreeMap<String, bool>,
    /// The process that runs it; `None` for this one.
    worker: Option<TemplateWorker>,
    /// How it reads a conversation with a system message, and one without.
    content: [OnceLock<Content>; 2],
    /// What was rendered before: prompts of a run differ in the text that is put in later.
    rendered: Mutex<BTreeMap<Vec<Message>, Result<String, String>>>,
}

/// Conversations that are remembered, at most.
const REMEMBERED: usize = 16;

impl ChatTemplate {
    /// Parses `source`. The template sees `special_tokens` (`bos_token`, `eos_token` and so on) as variables,
    /// and 26 July 2024 as today's date.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the source is not a valid template.
    pub fn new(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self> {
        Self::run_by(None, source, special_tokens, None)
    }

    /// The same, parsed and rendered in a process of its own where one can be had ([`crate::isolation`]).
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the source is not a valid template, or ends that process.
    pub fn isolated(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self> {
        Self::run_by(None, source, special_tokens, Some(TemplateWorker::default()))
    }

    /// The template of this place, isolated or not.
    pub(super) fn of_file(
        place: &str,
        source: &str,
        special_tokens: BTreeMap<String, String>,
        isolated: bool,
    ) -> Result<Self> {
        let worker = isolated.then(TemplateWorker::default);
        Self::run_by(Some(place.to_string()), source, special_tokens, worker)
    }

    fn run_by(
        place: Option<String>,
        source: &str,
        special_tokens: BTreeMap<String, String>,
        worker: Option<TemplateWorker>,
    ) -> Result<Self> {
        let template = Self {
            place,
            source: source.to_string(),
            special_tokens,
            date: Date::new(2024, 7, 26)?,
            options: BTreeMap::new(),
            worker,
            content: [OnceLock::new(), OnceLock::new()],
            rendered: Mutex::default(),
        };
        template.run(&template.job(Content::Text, None)).map_err(|problem| template.error(&problem))?;
        Ok(template)
    }

    /// The same template on another day.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no such day.
    pub fn with_date(self, year: u32, month: u32, day: u32) -> Result<Self> {
        Ok(Self { date: Date::new(year, month, day)?, rendered: Mutex::default(), ..self })
    }

    /// The same template, which sees one variable more.
    fn with(&self, name: &str, value: bool) -> Self {
        let mut options = self.options.clone();
        options.insert(name.to_string(), value);
        Self {
            place: self.place.clone(),
            source: self.source.clone(),
            special_tokens: self.special_tokens.clone(),
            date: self.date,
            options,
            worker: self.worker.as_ref().map(|_| TemplateWorker::default()),
            content: [OnceLock::new(), OnceLock::new()],
            rendered: Mutex::default(),
        }
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
            Ok(_) => "; drop `system instruction`, or say it in the task's own text",
            Err(_) => "",
        };
        Err(self.error(&format!("{problem}{remedy}")))
    }

    /// A conversation, up to where the assistant's next turn begins.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template refuses the conversation, with the template's own message.
    pub fn render_messages(&self, messages: &[Message]) -> Result<String> {
        self.render_text(messages).map_err(|problem| self.error(&problem))
    }

    fn error(&self, problem: &str) -> Error {
        Error::ChatTemplate(match &self.place {
            Some(place) => format!("{place}: {problem}"),
            None => problem.to_string(),
        })
    }

    fn render_text(&self, messages: &[Message]) -> Result<String, String> {
        let known = |rendered: &BTreeMap<_, _>| rendered.get(messages).cloned();
        if let Some(known) = known(&self.rendered.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let text = self.run(&self.job(self.content(messages), Some(messages.to_vec())));
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        if rendered.len() >= REMEMBERED {
            rendered.clear();
        }
        rendered.insert(messages.to_vec(), text.clone());
        text
    }

    /// How the template reads these messages: as texts, unless it then leaves out what the user says and
    /// shows it when it is a part of a list.
    fn content(&self, messages: &[Message]) -> Content {
        let system = messages.first().is_some_and(|message| message.role == "system");
        *self.content[usize::from(system)].get_or_init(|| {
            let mut probe = vec![Message::new("user", PROBE)];
            if system {
                probe.insert(0, Message::new("system", "niah"));
            }
            for content in [Content::Text, Content::Parts, Content::PartsAfterSystem] {
                match self.attempt(&self.job(content, Some(probe.clone()))) {
                    Ok(Ok(text)) if text.contains(PROBE) => return content,
                    Ok(_) => {}
                    // It would fail in the same way on anything.
                    Err(_) => break,
                }
            }
            Content::Text
        })
    }

    fn run(&self, job: &Job) -> Result<String, String> {
        self.attempt(job).unwrap_or_else(|failure| Err(failure.to_string()))
    }

    /// What the template gives or refuses, or what it does to the process.
    fn attempt(&self, job: &Job) -> Result<Result<String, String>, Failure> {
        self.worker.as_ref().map_or_else(|| caught(|| job.run()), |worker| worker.run(job))
    }

    fn job(&self, content: Content, messages: Option<Vec<Message>>) -> Job {
        Job {
            source: self.source.clone(),
            special_tokens: self.special_tokens.clone(),
            date: self.date,
            options: self.options.clone(),
            content,
            messages,
        }
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
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

    const TURNS: &str = "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ \
                         message['content'] }}\n{% endfor %}";

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
        let source = "{% set ns = namespace(n=0) %}{% for x in 'a,b,c'.split(',') %}{% if x == 'c' %}{% \
                      break %}{% endif %}{% set ns.n = ns.n + 1 %}{{ x.upper() }}{% endfor %}{{ ns.n }}{{ \
                      messages[::-1][0].get('role') }}";
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
            assert!(message.contains(expected) && message.contains("`system instruction`"), "{message}");
            assert!(template(source).render(None, "hi").is_ok());
        }
    }

    #[test]
    fn a_template_that_reads_parts_is_given_parts() {
        let parts = "{% for m in messages %}{{ m.role }}:{% for part in m.content %}{% if part.type == \
                     'text' %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}";
        assert_eq!(rendered(parts), "user:hi ");
        assert_eq!(template(parts).render(Some("Be brief."), "hi").unwrap(), "system:Be brief. user:hi ");
        let mixed = "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '|' }}{% else %}{{ \
                     m.content[0].text }}{% endif %}{% endfor %}";
        assert_eq!(template(mixed).render(Some("Be brief."), "hi").unwrap(), "Be brief.|hi");
        let either = "{% for m in messages %}{{ m.content if m.content is string else 'parts' }}{% endfor %}";
        assert_eq!(rendered(either), "hi");
    }

    #[test]
    fn a_template_without_end_or_measure_is_an_error() {
        for (source, expected) in [
            ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps"),
            ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "writes more than 16 MiB"),
            ("{{ '%9999999999d' | format(1) }}", "width"),
            ("{{ 'x' | indent(9999999999) }}", "indent"),
            ("{{ [1] | tojson(indent=9999999999) }}", "indent"),
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
            ("{{ 9 ** 999999999 }}", "unable to calculate"),
        ] {
            let error = template(source).render(None, "hi").unwrap_err().to_string();
            assert!(error.contains(expected), "{source}: {error}");
        }
        let error = ChatTemplate::new(&" ".repeat((1 << 20) + 1), BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("longer than 1024 KiB"), "{error}");
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
