//! Thoughts: the switches with which templates let an answer begin with one, and the marks around it.

use super::{ChatTemplate, PROBE};
use crate::error::Result;
use crate::tokenizer::Tokenize;

/// Variables of templates that are true for an answer with a thought and false for one without:
/// `enable_thinking` of Qwen 3, SmolLM3, GLM 4.5, EXAONE 4, Hunyuan and Gemma 4, `thinking` of DeepSeek V3.1
/// and Granite 3.2, `reasoning` of Command A Reasoning.
const SWITCHES: &[&str] = &["enable_thinking", "thinking", "reasoning"];

/// What stands around a thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Before it.
    pub open: &'static str,
    /// Behind it.
    pub close: &'static str,
}

/// The marks that models write, as the reasoning parsers of vLLM name them.
pub const MARKS: &[Marks] = &[
    // DeepSeek R1 and V3.1, Qwen 3, QwQ, SmolLM3, GLM 4.5, Granite 3.2, Hunyuan, ERNIE 4.5, EXAONE 4.
    Marks { open: "<think>", close: "</think>" },
    // Magistral.
    Marks { open: "[THINK]", close: "[/THINK]" },
    // EXAONE Deep.
    Marks { open: "<thought>", close: "</thought>" },
    // Seed-OSS.
    Marks { open: "<seed:think>", close: "</seed:think>" },
    // Command A Reasoning.
    Marks { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
];

impl Marks {
    /// Whether a text ends within a thought that has just begun.
    #[must_use]
    pub fn opened_by(&self, text: &str) -> bool {
        text.trim_end().ends_with(self.open)
    }

    /// An answer without what is thought in it: whole thoughts, one that has no end, and marks that stand
    /// alone.
    ///
    /// ```
    /// use niah::tokenizer::MARKS;
    /// assert_eq!(MARKS[0].without_thoughts("It is <think>1 or 7?</think>7."), "It is 7.");
    /// assert_eq!(MARKS[0].without_thoughts("</think>It is 7.<think>Or"), "It is 7.");
    /// ```
    #[must_use]
    pub fn without_thoughts(&self, text: &str) -> String {
        let (mut rest, mut kept) = (text, String::new());
        while let Some((before, behind)) = rest.split_once(self.open) {
            kept.push_str(before);
            rest = behind.split_once(self.close).map_or("", |(_, behind)| behind);
        }
        (kept + rest).replace(self.close, "")
    }
}

/// What an answer says apart from the thought before it, and whether that thought was cut short; `None` where
/// there was none.
///
/// ```
/// use niah::tokenizer::apart_from_thought;
/// assert_eq!(apart_from_thought("1 or 7?</think>It is 7."), ("It is 7.".to_string(), Some(false)));
/// assert_eq!(apart_from_thought("<think>1 or"), (String::new(), Some(true)));
/// ```
#[must_use]
pub fn apart_from_thought(answer: &str) -> (String, Option<bool>) {
    for marks in MARKS {
        if let Some((before, behind)) = answer.split_once(marks.close) {
            // The template may have begun the thought.
            let begun = if before.contains(marks.open) { answer } else { behind };
            return (marks.without_thoughts(begun), Some(false));
        }
        if answer.trim_start().starts_with(marks.open) {
            return (String::new(), Some(true));
        }
    }
    (answer.to_string(), None)
}

impl ChatTemplate {
    /// The same template with its switch of thinking on or off.
    ///
    /// # Errors
    /// [`crate::error::Error::ChatTemplate`] when it has none that makes a difference. One that begins a
    /// thought in any case is on without.
    pub fn thinking(self, on: bool) -> Result<Self> {
        let known = SWITCHES.iter().filter(|name| self.source.contains(**name));
        for name in known {
            let [yes, no] = [true, false].map(|value| self.with(name, value));
            if yes.render(None, PROBE)? != no.render(None, PROBE)? {
                return Ok(if on { yes } else { no });
            }
        }
        if on && self.opens_thought()? {
            return Ok(self);
        }
        let names = SWITCHES.join(", ");
        Err(self.error(&format!(
            "no switch of thinking in it (none of {names} makes a difference); leave `thinking` out, or put a \
             template with one into chat_template.jinja of the model's directory"
        )))
    }

    /// Whether the assistant's turn begins within a thought.
    ///
    /// # Errors
    /// Those of [`Self::render`].
    pub fn opens_thought(&self) -> Result<bool> {
        let text = self.render(None, PROBE)?;
        Ok(MARKS.iter().any(|marks| marks.opened_by(&text)))
    }

    /// The marks of the model's thoughts: those that the template names, or else the first whose end is one
    /// token.
    ///
    /// # Errors
    /// When the tokenizer fails on a mark.
    pub fn marks(&self, tokenizer: &dyn Tokenize) -> Result<Option<Marks>> {
        let named = |marks: &&Marks| [marks.open, marks.close].iter().any(|mark| self.source.contains(mark));
        if let Some(marks) = MARKS.iter().find(named) {
            return Ok(Some(*marks));
        }
        for marks in MARKS {
            if tokenizer.encode(marks.close)?.ids.len() == 1 {
                return Ok(Some(*marks));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source, BTreeMap::new()).unwrap()
    }

    const SWITCHED: &str = "{{ messages[0].content }}|{% if enable_thinking is defined and not \
                            enable_thinking %}<think></think>{% endif %}";

    #[test]
    fn a_switch_is_set_where_it_makes_a_difference() {
        let on = template(SWITCHED).thinking(true).unwrap();
        assert_eq!(on.render(None, "hi").unwrap(), "hi|");
        let off = template(SWITCHED).thinking(false).unwrap();
        assert_eq!(off.render(None, "hi").unwrap(), "hi|<think></think>");
        let other = "{{ messages[0].content }}|{{ '<think>' if thinking else '</think>' }}";
        assert!(template(other).thinking(true).unwrap().opens_thought().unwrap());
        assert_eq!(template(other).thinking(false).unwrap().render(None, "hi").unwrap(), "hi|</think>");
    }

    #[test]
    fn a_template_without_a_switch_is_refused_with_a_remedy_unless_it_thinks_in_any_case() {
        let always = "{{ messages[0].content }}|<think>\n";
        assert!(template(always).thinking(true).is_ok());
        for (source, on) in [
            (always, false),
            ("{{ messages[0].content }}", true),
            ("{{ messages[0].content }}{# enable_thinking #}", true),
            ("{{ messages[0].content }} I am thinking.", false),
        ] {
            let message = template(source).thinking(on).unwrap_err().to_string();
            assert!(message.contains("no switch of thinking") && message.contains("`thinking`"), "{message}");
        }
    }

    #[test]
    fn what_is_thought_in_an_answer_is_no_part_of_it() {
        let marks = MARKS[0];
        for (text, answer) in [
            ("It is 7.", "It is 7."),
            ("<think>1</think>2<think>3</think>4", "24"),
            ("2</think>", "2"),
            ("</think></think>2", "2"),
            ("2 <think>3", "2 "),
            ("<think><think>1</think>2", "2"),
            ("", ""),
        ] {
            assert_eq!(marks.without_thoughts(text), answer, "{text}");
        }
    }
}
