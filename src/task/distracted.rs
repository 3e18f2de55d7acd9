//! A task among distractors: further needles of its own form, about something else, that are not asked for.

use super::split::draw_until;
use super::{Change, Piece, Question, Task};
use crate::error::Error;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::split::Split;

/// Draws, at most, until a question about something else comes.
const DRAWS: usize = 1000;

/// The questions of a task, each with `count` distractors.
pub struct Distracted {
    /// The name of a preset of its own.
    name: Option<&'static str>,
    task: Box<dyn Task>,
    count: usize,
}

impl Distracted {
    /// Adds `count` distractors to every question of `task`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when it writes its text itself, or always asks about the same thing.
    pub fn new(task: Box<dyn Task>, count: usize) -> Result<Self, Error> {
        if let Some(why) = Change::Distractors.refused_by(task.as_ref()) {
            let expected = format!("none: task {} {why}", task.name());
            return Err(Error::invalid("distractors", count, expected));
        }
        Ok(Self { name: None, task, count })
    }

    /// A preset of its own.
    pub(super) fn preset(name: &'static str, task: Box<dyn Task>, count: usize) -> Self {
        Self { name: Some(name), task, count }
    }

    /// A question with its distractors; `draw` gives a question without.
    fn distracted(
        &self,
        rng: &mut Rng,
        mut draw: impl FnMut(&mut Rng) -> Result<Question, Error>,
    ) -> Result<Question, Error> {
        let first = draw(rng)?;
        self.beside(first, rng, draw)
    }

    /// `first` with its distractors; `draw` gives questions without.
    fn beside(
        &self,
        first: Question,
        rng: &mut Rng,
        mut draw: impl FnMut(&mut Rng) -> Result<Question, Error>,
    ) -> Result<Question, Error> {
        let mut drawn = vec![first];
        for _ in 0..self.count {
            drawn.push(self.other(rng, &drawn, &mut draw)?);
        }
        let others = drawn[1..].iter().flat_map(|other| other.targets().next()).cloned();
        let distractors: Vec<_> = others.map(|needle| Piece::spread(needle, SpanKind::Distractor)).collect();
        let mut question = drawn.swap_remove(0);
        question.pieces.extend(distractors);
        Ok(question)
    }

    /// A question about something else with other values, whose needle says something else.
    fn other(
        &self,
        rng: &mut Rng,
        drawn: &[Question],
        draw: &mut impl FnMut(&mut Rng) -> Result<Question, Error>,
    ) -> Result<Question, Error> {
        let values = |question: &Question| {
            question.targets().map(|needle| needle.value().to_string()).collect::<Vec<_>>()
        };
        // What a needle says, whatever the value.
        let said = |needle: &Needle| {
            let place = needle.value_range();
            format!("{}{}", &needle.text()[..place.start], &needle.text()[place.end..])
        };
        for _ in 0..DRAWS {
            let other = draw(rng)?;
            let differs = |one: &Question| {
                let apart = values(&other).iter().all(|value| !values(one).contains(value));
                let first = other.targets().next().map(said);
                one.question != other.question && apart && one.targets().all(|own| Some(said(own)) != first)
            };
            if drawn.iter().all(differs) {
                return Ok(other);
            }
        }
        let most = drawn.len() - 1;
        let expected = format!("{most}, as task {} asks about no more things at once", self.task.name());
        Err(Error::invalid("distractors", self.count, expected))
    }
}

impl Task for Distracted {
    fn name(&self) -> &'static str {
        self.name.unwrap_or(self.task.name())
    }

    fn wrapped(&self) -> Option<&dyn Task> {
        Some(self.task.as_ref())
    }

    fn answer_budget(&self) -> usize {
        self.task.answer_budget()
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        self.distracted(rng, |rng| self.task.draw(rng))
    }

    fn numbered(&self, number: usize, rng: &mut Rng) -> Result<Question, Error> {
        let first = self.task.numbered(number, rng)?;
        self.beside(first, rng, |rng| self.task.draw(rng))
    }

    fn draw_of(&self, rng: &mut Rng, split: Split) -> Result<Question, Error> {
        match self.name {
            // As its prompts have been drawn from the first.
            Some(name) => draw_until(name, split, || self.draw(rng)),
            None => self.distracted(rng, |rng| self.task.draw_of(rng, split)),
        }
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
