//! What can be changed about the prompts of a task, and which tasks it cannot be changed about.

use super::{Control, Task};

/// A change of the prompts of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Needles of its form about something else are added.
    Distractors,
    /// The haystack's sentences stand in another order.
    Shuffled,
    /// A control.
    Control(Control),
}

impl Change {
    /// Why it cannot be made to a task, for print behind the task's name; `None` where it can.
    #[must_use]
    pub fn refused_by(self, task: &dyn Task) -> Option<&'static str> {
        let listing = task.listing().is_some();
        match self {
            Self::Distractors if listing || !task.hides() => Some("hides nothing in a haystack"),
            Self::Distractors if !task.asks_of_many() => Some("always asks about the same thing"),
            Self::Shuffled if listing => Some("has no haystack"),
            Self::Shuffled if !task.hides() => Some("is about its text as it is"),
            Self::Control(_) if !task.hides() => Some("asks for its whole text"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CONTROLS, Controlled, Distracted, TASKS};
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_change_is_refused_before_a_question_is_drawn_exactly_where_none_could_be() {
        for entry in TASKS {
            let task = || (entry.value)();
            let refused = |change: Change| change.refused_by(task().as_ref()).is_some();
            let distracted = Distracted::new(task(), 4);
            let drawn = distracted.is_ok_and(|task| task.draw(&mut Rng::new(1)).is_ok());
            assert_eq!(refused(Change::Distractors), !drawn, "{}", entry.name);
            for control in CONTROLS {
                let made = Controlled::new(task(), control.name).is_ok();
                assert_eq!(refused(Change::Control(control.value)), !made, "{}", entry.name);
            }
            assert_eq!(refused(Change::Shuffled), task().listing().is_some(), "{}", entry.name);
        }
    }
}
