//! A task that asks for values of one part alone, so that training and evaluation share none.

use super::{Listing, Question, Task};
use crate::error::Error;
use crate::rng::Rng;
use crate::split::Split;

/// Draws, at most, until every value is of the part: of four values of which a quarter is held out, one draw
/// of 256 is.
const DRAWS: usize = 10_000;

/// The questions of `task` whose needles hold values of `split`.
pub struct OfSplit {
    task: Box<dyn Task>,
    split: Split,
}

impl OfSplit {
    /// Restricts `task`.
    #[must_use]
    pub fn new(task: Box<dyn Task>, split: Split) -> Self {
        Self { task, split }
    }
}

impl Task for OfSplit {
    fn name(&self) -> &'static str {
        self.task.name()
    }

    fn wrapped(&self) -> Option<&dyn Task> {
        Some(self.task.as_ref())
    }

    fn answer_budget(&self) -> usize {
        self.task.answer_budget()
    }

    fn listing(&self) -> Option<Listing> {
        self.task.listing().map(|listing| Listing { split: self.split, ..listing })
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question, Error> {
        self.task.draw_of(rng, self.split)
    }
}

/// Draws until every value is of `split`.
///
/// # Errors
/// When they never are.
pub(super) fn draw_until(
    task: &str,
    split: Split,
    mut draw: impl FnMut() -> Result<Question, Error>,
) -> Result<Question, Error> {
    for _ in 0..DRAWS {
        let question = draw()?;
        if question.pieces.iter().all(|piece| split.holds(piece.needle.value())) {
            return Ok(question);
        }
    }
    let expected = "one that draws its values: those of this task are never of the part that is asked for";
    Err(Error::invalid("task", task, expected))
}

#[cfg(test)]
mod tests {
    use super::super::TASKS;
    use super::*;

    #[test]
    fn a_task_of_several_values_is_drawn_for_every_trial_or_for_none() {
        for entry in TASKS {
            for split in [Split::Training, Split::HeldOut] {
                let task = OfSplit::new((entry.value)(), split);
                let drawn = |seed| task.draw(&mut Rng::new(seed)).is_ok();
                let count = (0..300).filter(|seed| drawn(*seed)).count();
                assert!(count % 300 == 0, "{}: {count} of 300 of {split:?}", entry.name);
            }
        }
    }

    #[test]
    fn values_are_of_the_part_and_fixed_values_are_refused() {
        let task =
            |name, split| OfSplit::new((crate::registry::find("task", TASKS, name).unwrap().value)(), split);
        for split in [Split::Training, Split::HeldOut] {
            let mut rng = Rng::new(3);
            for _ in 0..100 {
                let question = task("magic", split).draw(&mut rng).unwrap();
                assert!(question.targets().all(|needle| split.holds(needle.value())));
            }
        }
        let fixed =
            [Split::Training, Split::HeldOut].map(|split| task("gkamradt", split).draw(&mut Rng::new(1)));
        assert_eq!(fixed.iter().filter(|drawn| drawn.is_err()).count(), 1);
    }
}
