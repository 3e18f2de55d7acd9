//! A task among distractors: further needles of its own form, about something else, that are not asked for.

use super::{Listing, Piece, Question, Task};
use crate::error::Error;
use crate::rng::Rng;
use crate::span::SpanKind;

/// Draws, at most, until a question about something else comes.
const DRAWS: usize = 1000;

/// The questions of a task, each with `count` distractors.
pub(super) struct Distracted {
    name: &'static str,
    task: Box<dyn Task>,
    count: usize,
}

impl Distracted {
    pub(super) fn new(name: &'static str, task: Box<dyn Task>, count: usize) -> Self {
        Self { name, task, count }
    }

    /// A question about something else with other values.
    fn other(&self, rng: &mut Rng, drawn: &[Question]) -> Result<Question, Error> {
        let values = |question: &Question| {
            question.targets().map(|needle| needle.value().to_string()).collect::<Vec<_>>()
        };
        for _ in 0..DRAWS {
            let other = self.task.draw(rng)?;
            if drawn.iter().all(|one| one.question != other.question && values(one) != values(&other)) {
                return Ok(other);
            }
        }
        Err(Error::invalid("task", self.name, "a task that asks about many things"))
    }
}

impl Task for Distracted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default_haystack(&self) -> &'static str {
        self.task.default_haystack()
    }

    fn answer_budget(&self) -> usize {
        self.task.answer_budget()
    }

    fn listing(&self) -> Option<Listing> {
        None
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        let mut drawn = vec![self.task.draw(rng)?];
        for _ in 0..self.count {
            drawn.push(self.other(rng, &drawn)?);
        }
        let others = drawn[1..].iter().flat_map(Question::targets).cloned();
        let distractors: Vec<_> = others.map(|needle| Piece::spread(needle, SpanKind::Distractor)).collect();
        let mut question = drawn.swap_remove(0);
        question.pieces.extend(distractors);
        Ok(question)
    }

    fn purpose(&self) -> String {
        self.task.purpose()
    }
}

#[cfg(test)]
mod tests {
    use super::super::TASKS;
    use super::*;

    #[test]
    fn distractors_are_about_something_else_and_have_other_values() {
        let task = (crate::registry::find("task", TASKS, "magic-multikey").unwrap().value)();
        for seed in 0..300 {
            let question = task.draw(&mut Rng::new(seed)).unwrap();
            let distractors = question.of_kind(SpanKind::Distractor).count();
            assert_eq!((question.targets().count(), distractors), (1, 3));
            let all = || question.pieces.iter().map(|piece| &piece.needle);
            let values: std::collections::BTreeSet<_> = all().map(|needle| needle.value()).collect();
            let asked = all().filter(|needle| needle.text().starts_with(&question.completion)).count();
            assert_eq!((values.len(), asked), (4, 1));
            assert_eq!(question.expected, [question.pieces[0].needle.value()]);
        }
    }
}
