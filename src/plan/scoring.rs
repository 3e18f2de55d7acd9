//! What a rule of scoring finds besides the answer in texts of the user's own.

use super::Settings;
use crate::error::Result;
use crate::rng::Rng;
use crate::score::Scorer;
use crate::standing::{is_contained, stands_free};
use crate::task::Task;

/// Warnings of answers that are no answers and yet score: `contains` finds a value within longer words, so
/// also where a model only repeats the question or another part of the needle.
///
/// # Errors
/// When the task cannot be drawn.
pub(super) fn warnings(settings: &Settings, task: &dyn Task, scorer: &dyn Scorer) -> Result<Vec<String>> {
    if settings.needle.is_none() || scorer.name() != "contains" {
        return Ok(Vec::new());
    }
    let question = task.draw(&mut Rng::new(0))?;
    let within = |text: &str, value: &str| is_contained(text, value) && !stands_free(text, value);
    let mut warnings = Vec::new();
    for needle in question.targets() {
        let (value, place) = (needle.value(), needle.value_range());
        let (before, after) = (&needle.text()[..place.start], &needle.text()[place.end..]);
        let said = [
            ("needle", within(before, value) || within(after, value)),
            ("question", within(&question.question, value)),
        ];
        warnings.extend(said.iter().filter(|(_, said)| *said).map(|(what, _)| {
            format!(
                "--scorer contains finds the answer {value:?} within a longer word of the {what} as well, so \
                 an answer that repeats this word counts as right; --scorer match does not count it"
            )
        }));
    }
    Ok(warnings)
}
