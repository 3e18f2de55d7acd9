//! What a server does not know of a question.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::failure::{Failure, Kind};

/// Fields that not every server takes. Where `max_tokens` is refused, `max_completion_tokens` stands for it.
const OPTIONAL: &[&str] =
    &["logprobs", "seed", "stream_options", "temperature", "max_tokens", "chat_template_kwargs"];

/// Fields that are left out, as the server has refused them by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialect(BTreeSet<&'static str>);

impl Dialect {
    /// Whether a field is sent.
    pub(super) fn knows(&self, field: &str) -> bool {
        !self.0.contains(field)
    }

    /// Leaves out what a refusal names; whether there was anything new. `shown` is how a text reads in a
    /// failure, which holds no key: one that is a part of a field's name is struck out of it.
    pub(super) fn learn<'a>(&mut self, failure: &Failure, shown: impl Fn(&'a str) -> Cow<'a, str>) -> bool {
        if !matches!(failure.kind, Kind::Status(400 | 403 | 422 | 501)) || is_of_room(failure) {
            return false;
        }
        let named = |field: &&&'static str| self.knows(field) && failure.problem.contains(&*shown(field));
        let Some(field) = OPTIONAL.iter().find(named) else { return false };
        self.0.insert(field)
    }

    /// What is left out.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.0.iter().copied()
    }
}

/// Whether an answer is refused because it ended before it began: OpenAI's reasoning models think with the
/// tokens that they may answer with.
pub(super) fn is_of_room(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::Status(400)) && failure.problem.contains("output limit was reached")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, words: &str) -> Failure {
        Failure::new(Kind::Status(status), words)
    }

    #[test]
    fn a_key_that_is_a_part_of_a_fields_name_kept_the_field_from_being_left_out() {
        let mut dialect = Dialect::default();
        let shown = |text: &'static str| Cow::Owned(text.replace("token", "[key]"));
        assert!(dialect.learn(&refusal(400, "Unsupported parameter: 'max_[key]s'"), shown));
        assert_eq!(dialect.left_out().collect::<Vec<_>>(), ["max_tokens"]);
    }

    #[test]
    fn what_reasoning_models_of_openai_refuse_is_learned_and_a_lack_of_room_is_not() {
        let mut dialect = Dialect::default();
        let forbidden = refusal(403, "status 403: You are not allowed to request logprobs from this model.");
        assert!(dialect.learn(&forbidden, Cow::Borrowed));
        assert_eq!(dialect.left_out().collect::<Vec<_>>(), ["logprobs"]);
        let words = "Could not finish the message because max_tokens or model output limit was reached. \
                     Please try again with higher max_tokens.";
        assert!(is_of_room(&refusal(400, words)) && !dialect.learn(&refusal(400, words), Cow::Borrowed));
        assert!(!dialect.learn(&refusal(403, "no such key"), Cow::Borrowed));
    }

    #[test]
    fn a_field_that_is_refused_by_name_is_left_out_once() {
        let mut dialect = Dialect::default();
        let mut learn = |status, words: &str| dialect.learn(&refusal(status, words), Cow::Borrowed);
        assert!(learn(400, "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'"));
        assert!(!learn(400, "max_tokens is too large"));
        assert!(!learn(500, "seed") && !learn(400, "no such model"));
        assert!(learn(422, "extra fields not permitted: logprobs"));
        assert!(!dialect.knows("max_tokens") && dialect.knows("seed"));
        assert_eq!(dialect.left_out().collect::<Vec<_>>(), ["logprobs", "max_tokens"]);
    }
}
