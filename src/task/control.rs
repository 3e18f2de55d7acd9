//! Controls: the same question on a text that it must fail on, or on the needle alone.

use serde::{Deserialize, Serialize};

use super::{Change, Listing, Question, Task};
use crate::error::{Error, Result};
use crate::registry::{self, Entry};
use crate::rng::Rng;
use crate::split::Split;

/// What is changed about the prompts of a task to see what its answers are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Nothing that is asked for stands in the text: who gives the answer nevertheless has guessed it.
    NoNeedle,
    /// Nothing but what is planted stands in the text.
    NeedleOnly,
    /// The prompt allows the answer `none`.
    None,
    /// The same on a text without what is asked for: then `none` is right.
    NoneNoNeedle,
}

/// The controls, by name.
pub const CONTROLS: &[Entry<Control>] = &[
    Entry {
        name: "no-needle",
        about: "nothing that is asked for is in the text: accuracy is the rate of guessed answers",
        value: Control::NoNeedle,
    },
    Entry { name: "needle-only", about: "the needles without a haystack", value: Control::NeedleOnly },
    Entry { name: "none", about: "the prompt allows the answer none", value: Control::None },
    Entry {
        name: "none-no-needle",
        about: "the same without a needle, so that none is right",
        value: Control::NoneNoNeedle,
    },
];

/// The answer that says that the text has none.
pub const NONE: &str = "none";

const ALLOWS_NONE: &str = "If the text does not say it, answer none.";

impl Control {
    /// Whether what is asked for is left out of the text.
    #[must_use]
    pub fn leaves_out(self) -> bool {
        matches!(self, Self::NoNeedle | Self::NoneNoNeedle)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        CONTROLS.iter().find(|entry| entry.value == self).map_or("", |entry| entry.name)
    }

    /// What accuracy means under it, when that is not the share of right answers to the task.
    #[must_use]
    pub fn meaning(self) -> Option<&'static str> {
        match self {
            Self::NoNeedle => {
                Some("what is asked for is not in the text, so accuracy is the rate of guessed answers")
            }
            Self::NeedleOnly => Some("the needles stand alone, without a haystack"),
            Self::None => Some("the prompt allows the answer none, though the needles are there"),
            Self::NoneNoNeedle => Some(
                "what is asked for is not in the text and none is right, so 1 less accuracy is the rate of \
                 false answers",
            ),
        }
    }

    /// The question under this control.
    pub(crate) fn apply(self, question: &mut Question) {
        question.alone = self == Self::NeedleOnly;
        question.without_needles = self.leaves_out();
        if matches!(self, Self::None | Self::NoneNoNeedle) {
            // Where the completion alone asks, nothing stands between it and the text.
            match question.completion_asks {
                true => question.instruction.insert_str(0, &format!("{ALLOWS_NONE}\n")),
                false => {
                    question.question = format!("{} {ALLOWS_NONE}", question.question).trim().to_string()
                }
            }
        }
        if self == Self::NoneNoNeedle {
            question.expected = vec![NONE.to_string()];
            question.wording = super::Wording::default();
            question.said_elsewhere = true;
        }
    }
}

/// A task under a control.
pub struct Controlled {
    task: Box<dyn Task>,
    control: Control,
}

impl Controlled {
    /// Puts `task` under the control of this name.
    ///
    /// # Errors
    /// [`Error::UnknownChoice`] for a name that is none, and [`Error::InvalidValue`] when the answer is what
    /// the whole text says, so that nothing can be left out.
    pub fn new(task: Box<dyn Task>, control: &str) -> Result<Self> {
        let control = registry::find("control", CONTROLS, control)?.value;
        if let Some(why) = Change::Control(control).refused_by(task.as_ref()) {
            let expected = format!("a task that hides needles: task {} {why}", task.name());
            return Err(Error::invalid("control", control.name(), expected));
        }
        Ok(Self { task, control })
    }
}

impl Task for Controlled {
    fn name(&self) -> &'static str {
        self.task.name()
    }

    fn wrapped(&self) -> Option<&dyn Task> {
        Some(self.task.as_ref())
    }

    fn answer_budget(&self) -> usize {
        self.task.answer_budget()
    }

    /// `none` is a word: by `contains` it would be found in "nonetheless".
    fn default_scorer(&self) -> &'static str {
        match self.control {
            Control::NoneNoNeedle => "match",
            _ => self.task.default_scorer(),
        }
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question> {
        let mut question = self.task.draw(rng)?;
        self.control.apply(&mut question);
        Ok(question)
    }

    fn numbered(&self, number: usize, rng: &mut Rng) -> Result<Question> {
        let mut question = self.task.numbered(number, rng)?;
        self.control.apply(&mut question);
        Ok(question)
    }

    fn draw_of(&self, rng: &mut Rng, split: Split) -> Result<Question> {
        let mut question = self.task.draw_of(rng, split)?;
        self.control.apply(&mut question);
        Ok(question)
    }

    fn listing(&self) -> Option<Listing> {
        self.task.listing().map(|listing| Listing { control: Some(self.control), ..listing })
    }
}
