//! What a server does not know of a question.

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

    /// Leaves out what a refusal names; whether there was anything new.
    pub(super) fn learn(&mut self, failure: &Failure) -> bool {
        if !matches!(failure.kind, Kind::Status(400 | 422 | 501)) {
            return false;
        }
        let named = |field: &&&str| self.knows(field) && failure.problem.contains(**field);
        let Some(field) = OPTIONAL.iter().find(named) else { return false };
        self.0.insert(field)
    }

    /// What is left out.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_refused_by_name_is_left_out_once() {
        let mut dialect = Dialect::default();
        let refusal = |status, words: &str| Failure::new(Kind::Status(status), words);
        assert!(
            dialect.learn(&refusal(400, "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'"))
        );
        assert!(!dialect.knows("max_tokens") && dialect.knows("seed"));
        assert!(!dialect.learn(&refusal(400, "max_tokens is too large")));
        assert!(!dialect.learn(&refusal(500, "seed")) && !dialect.learn(&refusal(400, "no such model")));
        assert!(dialect.learn(&refusal(422, "extra fields not permitted: logprobs")));
        assert_eq!(dialect.left_out().collect::<Vec<_>>(), ["logprobs", "max_tokens"]);
    }
}
