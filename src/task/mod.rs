//! Tasks: what is hidden, what is asked, what counts as the answer.

mod abcdigits;
mod custom;
mod distracted;
mod gkamradt;
mod magic;
mod passkey;
mod split;

use crate::error::Error;
use crate::grid::Depth;
use crate::needle::Needle;
use crate::registry::Entry;
use crate::rng::Rng;
use crate::split::Split;

pub use custom::Custom;
pub use split::OfSplit;

/// Makes the task of a preset.
pub type MakeTask = fn() -> Box<dyn Task>;

/// The preset tasks; the first is the default. A task of the user's own is a [`Custom`].
pub const TASKS: &[Entry<MakeTask>] = &[
    Entry {
        name: "magic",
        about: "a city's special magic number of 7 digits among essays",
        value: || Box::new(magic::Magic),
    },
    Entry {
        name: "magic-multikey",
        about: "the same among the numbers of three other cities",
        value: || Box::new(distracted::Distracted::new("magic-multikey", Box::new(magic::Magic), 3)),
    },
    Entry {
        name: "gkamradt",
        about: "the best thing to do in San Francisco, as in the first needle tests",
        value: || Box::new(gkamradt::Gkamradt),
    },
    Entry {
        name: "passkey",
        about: "a pass key between 1 and 50000 in lines of noise",
        value: || Box::new(passkey::Passkey),
    },
    Entry {
        name: "abcdigits",
        about: "lines such as A=967892, of which one comes a single time; no haystack",
        value: || Box::new(abcdigits::FULL),
    },
    Entry {
        name: "abcdigits-5x6",
        about: "the same with 5 letters",
        value: || Box::new(abcdigits::FEW_LETTERS),
    },
    Entry {
        name: "abcdigits-5x2",
        about: "the same with 5 letters and values of 2 digits",
        value: || Box::new(abcdigits::EASY),
    },
];

/// Everything a prompt says besides the haystack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Text before the haystack; may be empty.
    pub instruction: String,
    /// The needles; the first goes in at the cell's depth.
    pub needles: Vec<Needle>,
    /// Needles of the same form that are not asked for, spread over the whole haystack.
    pub distractors: Vec<Needle>,
    /// What is asked after the haystack; empty when the completion alone asks.
    pub question: String,
    /// What the user's turn adds to the question in the chat form; may be empty.
    pub chat_suffix: String,
    /// How the answer begins in the completion form; the model continues it.
    pub completion: String,
    /// Whether the completion also begins the assistant's turn in the chat form.
    pub completion_in_chat: bool,
    /// The expected answers; the first is the one scored by teacher forcing.
    pub expected: Vec<String>,
}

/// What a task needs that writes its text itself, in lines, instead of hiding needles in a haystack.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// The fewest lines that it can write.
    pub fewest_lines: usize,
    /// The part that values are drawn from.
    pub split: Split,
    /// Writes a text.
    pub write: fn(&ListingRequest) -> Result<Listed, Error>,
}

/// Which text is to be written.
#[derive(Debug, Clone, Copy)]
pub struct ListingRequest {
    /// Its lines, the last and unfinished one included.
    pub lines: usize,
    /// Where the line that is asked for stands among the others.
    pub depth: Depth,
    /// Seed of the run.
    pub seed: u64,
    /// Number of the trial in its cell.
    pub trial: usize,
    /// The part that values are drawn from.
    pub split: Split,
}

/// A text in lines, each with its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The lines before the one that is asked for.
    pub before: String,
    /// The lines behind it.
    pub after: String,
    /// The one that is asked for, as the only needle, and how the last line begins, as the completion.
    pub question: Question,
}

/// A kind of question, drawn anew for every trial.
pub trait Task: Send + Sync {
    /// Name of the preset, as in `--task`.
    fn name(&self) -> &'static str;

    /// The haystack used when the user names none.
    fn default_haystack(&self) -> &'static str {
        "essays"
    }

    /// Tokens that the model may generate for an answer.
    fn answer_budget(&self) -> usize;

    /// Draws one question.
    ///
    /// # Errors
    /// When the task's own texts are inconsistent, such as an answer that is not in the needle, or when it
    /// has a [`Self::listing`] and nothing to hide.
    fn draw(&self, rng: &mut Rng) -> Result<Question, Error>;

    /// How its text is written, when it takes no haystack.
    fn listing(&self) -> Option<Listing> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_keep_their_names_and_hide_what_they_ask_for() {
        for entry in TASKS {
            let task = (entry.value)();
            assert_eq!(task.name(), entry.name);
            if task.listing().is_some() {
                assert!(task.draw(&mut Rng::new(0)).is_err(), "a listing hides nothing");
                continue;
            }
            for seed in 0..200 {
                let question = task.draw(&mut Rng::new(seed)).unwrap();
                assert_eq!(
                    question,
                    task.draw(&mut Rng::new(seed)).unwrap(),
                    "a draw is a function of its generator"
                );
                assert_eq!(question.needles.len(), 1);
                assert_eq!(question.expected, [question.needles[0].value()]);
                for asked in [&question.question, &question.completion] {
                    assert!(!asked.is_empty() && !asked.contains(question.needles[0].value()), "{asked}");
                }
            }
            assert!(
                crate::registry::find("haystack", crate::haystack::HAYSTACKS, task.default_haystack())
                    .is_ok()
            );
        }
    }

    #[test]
    fn preset_texts_are_the_published_ones() {
        let draw = |name| {
            let entry = crate::registry::find("task", TASKS, name).unwrap();
            let task = (entry.value)();
            (task.draw(&mut Rng::new(1)).unwrap(), task.answer_budget())
        };
        let (magic, budget) = draw("magic");
        let value = magic.needles[0].value().to_string();
        assert_eq!(value.len(), 7);
        assert_eq!(magic.needles[0].text(), format!("{}{value}.", magic.completion));
        assert!(
            magic.completion.starts_with("The special magic ") && magic.completion.ends_with(" number is: ")
        );
        assert!(
            magic.question.starts_with("What is the special magic ") && magic.question.ends_with(" number?")
        );
        assert_eq!(budget, 16);

        let (gkamradt, budget) = draw("gkamradt");
        assert_eq!(
            gkamradt.needles[0].text(),
            "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny \
             day.\n"
        );
        assert_eq!((gkamradt.expected[0].as_str(), budget), ("eat a sandwich and sit in Dolores Park", 64));

        let (passkey, budget) = draw("passkey");
        let n = &passkey.expected[0];
        assert_eq!(
            passkey.needles[0].text(),
            format!(" The pass key is {n}. Remember it. {n} is the pass key.")
        );
        assert_eq!((passkey.question.as_str(), budget), ("What is the pass key?", 16));
    }
}
