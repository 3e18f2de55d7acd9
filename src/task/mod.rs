//! Tasks: what is hidden, what is asked, what counts as the answer.

mod abcdigits;
mod about;
mod absence;
mod associative;
mod changed;
mod control;
mod custom;
mod distracted;
mod gkamradt;
mod graphwalks;
pub mod groups;
mod kv;
mod listing;
mod magic;
mod multi;
mod outside;
mod passkey;
mod question;
mod repeat;
mod rounds;
mod ruler;
mod split;
mod thread;
mod updates;
mod values;
mod words;

use crate::error::Error;
use crate::registry::Entry;
use crate::rng::Rng;
use crate::split::Split;

pub use about::About;
pub use changed::Change;
pub use control::{CONTROLS, Control, Controlled, NONE};
pub use custom::Custom;
pub use distracted::Distracted;
pub use listing::{Item, Listed, Listing, ListingRequest, Mark};
pub use outside::{
    Answers, GivenAnswer, GivenPrompt, GivenSpan, Laid, LaidPart, Made, Needles, Prompts, SpanPlace, Turn,
};
pub use question::{Breaks, Piece, Place, Question, Wording};
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
        value: || Box::new(Distracted::preset("magic-multikey", Box::new(magic::Magic), 3)),
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
    Entry { name: "multi", about: "the numbers of 4 cities at once", value: || Box::new(multi::Multi::FOUR) },
    Entry { name: "multi-2", about: "the same with 2 cities", value: || Box::new(multi::Multi::TWO) },
    Entry { name: "multi-8", about: "the same with 8 cities", value: || Box::new(multi::Multi::EIGHT) },
    Entry {
        name: "kv",
        about: "a value of a JSON object of UUIDs; no haystack",
        value: || Box::new(kv::KeyValues::JSON),
    },
    Entry {
        name: "kv-phonebook",
        about: "a number of a phone book; no haystack",
        value: || Box::new(kv::KeyValues::PHONEBOOK),
    },
    Entry {
        name: "updates",
        about: "the last values of 4 keys that are updated again and again; no haystack",
        value: || Box::new(updates::Updates::SHUFFLED),
    },
    Entry {
        name: "updates-sequential",
        about: "the same with all updates of a key in a row",
        value: || Box::new(updates::Updates::SEQUENTIAL),
    },
    Entry {
        name: "associative",
        about: "a person, by a fact that shares no word with what is said of them",
        value: || Box::new(associative::Associative),
    },
    Entry {
        name: "rounds",
        about: "one of several answers to the same request, to be written again; no haystack",
        value: || Box::new(rounds::Rounds),
    },
    Entry {
        name: "graphwalks",
        about: "the nodes of a graph that are two steps away; no haystack",
        value: || Box::new(graphwalks::GraphWalks::TWO_STEPS),
    },
    Entry {
        name: "graphwalks-parents",
        about: "the nodes of a graph with an edge to one; no haystack",
        value: || Box::new(graphwalks::GraphWalks::PARENTS),
    },
    Entry {
        name: "thread",
        about: "the end of a thread of keys and values through a JSON object; no haystack",
        value: || Box::new(thread::Thread::FORWARD),
    },
    Entry {
        name: "thread-backward",
        about: "the same with the steps in reverse order",
        value: || Box::new(thread::Thread::BACKWARD),
    },
    Entry {
        name: "thread-random",
        about: "the same with the steps in any order",
        value: || Box::new(thread::Thread::RANDOM),
    },
    Entry {
        name: "absence",
        about: "the lines of a list that its copy lacks; no haystack",
        value: || Box::new(absence::Absence),
    },
    Entry {
        name: "repeat",
        about: "a word again and again with one other, to be written again; no haystack",
        value: || Box::new(repeat::Repeat),
    },
    Entry {
        name: "ruler-niah-single-1",
        about: "RULER: a number in lines of noise",
        value: || Box::new(ruler::Lines::SINGLE_1),
    },
    Entry {
        name: "ruler-niah-single-2",
        about: "RULER: a number among essays",
        value: || Box::new(ruler::Hidden::SINGLE_2),
    },
    Entry {
        name: "ruler-niah-single-3",
        about: "RULER: a UUID among essays",
        value: || Box::new(ruler::Hidden::SINGLE_3),
    },
    Entry {
        name: "ruler-niah-multikey-1",
        about: "RULER: one of 4 keys' numbers among essays",
        value: || Box::new(ruler::Hidden::MULTIKEY_1),
    },
    Entry {
        name: "ruler-niah-multikey-2",
        about: "RULER: a number among lines that all are needles",
        value: || Box::new(ruler::Lines::MULTIKEY_2),
    },
    Entry {
        name: "ruler-niah-multikey-3",
        about: "RULER: the same with UUIDs as keys and values",
        value: || Box::new(ruler::Lines::MULTIKEY_3),
    },
    Entry {
        name: "ruler-niah-multivalue",
        about: "RULER: the 4 numbers of one key among essays",
        value: || Box::new(ruler::Hidden::MULTIVALUE),
    },
    Entry {
        name: "ruler-niah-multiquery",
        about: "RULER: the numbers of 4 keys among essays",
        value: || Box::new(ruler::Hidden::MULTIQUERY),
    },
    Entry {
        name: "ruler-vt",
        about: "RULER: the variables of a chain of assignments in lines of noise",
        value: || Box::new(ruler::Tracking),
    },
    Entry {
        name: "ruler-cwe",
        about: "RULER: the 10 most common words of a list",
        value: || Box::new(ruler::CommonWords),
    },
    Entry {
        name: "ruler-fwe",
        about: "RULER: the 3 most frequent words of a coded text",
        value: || Box::new(ruler::FrequentWords),
    },
];

/// Tokens of the answer to one of the first tasks: a number.
const FIRST_BUDGET: usize = 16;

/// What the generator of the first tasks is called, so that their prompts stay what they were.
const FIRST_PURPOSE: &str = "question";

/// A kind of question, drawn anew for every trial.
pub trait Task: Send + Sync {
    /// Name of the preset, as in `--task`.
    fn name(&self) -> &'static str;

    /// The task that this one changes, where it does: what this one does not say is what that one says.
    fn wrapped(&self) -> Option<&dyn Task> {
        None
    }

    /// The haystack used when the user names none.
    fn default_haystack(&self) -> &'static str {
        self.wrapped().map_or("essays", |task| task.default_haystack())
    }

    /// The scorer of its answers when the user names none.
    fn default_scorer(&self) -> &'static str {
        self.wrapped().map_or("match", |task| task.default_scorer())
    }

    /// Tokens that the model may generate for an answer.
    fn answer_budget(&self) -> usize;

    /// Draws one question.
    ///
    /// # Errors
    /// When the task's own texts are inconsistent, such as an answer that is not in the needle, or when it
    /// has a [`Self::listing`] and nothing to hide.
    fn draw(&self, _rng: &mut Rng) -> Result<Question, Error> {
        let expected = "a task with needles to hide in a text: this one writes its text itself";
        Err(Error::invalid("task", self.name(), expected))
    }

    /// Draws one question all of whose values are of `split`.
    ///
    /// # Errors
    /// As [`Self::draw`], and when its values are never of that part.
    fn draw_of(&self, rng: &mut Rng, split: Split) -> Result<Question, Error> {
        split::draw_until(self.name(), split, || self.draw(rng))
    }

    /// The question of trial `number` of a cell.
    ///
    /// # Errors
    /// As of [`Self::draw`].
    fn numbered(&self, _number: usize, rng: &mut Rng) -> Result<Question, Error> {
        self.draw(rng)
    }

    /// The prompts that it puts to the model as they are, when they come whole.
    fn given(&self) -> Option<&Prompts> {
        None
    }

    /// SHA-256 in hex of the file that its questions are out of, where they are.
    fn file_hash(&self) -> Option<&str> {
        self.wrapped()?.file_hash()
    }

    /// What the user should know of it before so many trials of each cell are asked.
    fn notes(&self, trials: usize) -> Vec<String> {
        self.wrapped().map_or_else(Vec::new, |task| task.notes(trials))
    }

    /// What the generator of its questions is called: tasks of other names draw apart from each other.
    fn purpose(&self) -> String {
        self.wrapped().map_or_else(|| format!("question {}", self.name()), |task| task.purpose())
    }

    /// Whether what is asked for stands in places of its own, without which there is no answer: controls
    /// leave it out.
    fn hides(&self) -> bool {
        self.wrapped().map_or_else(|| self.without_depth().is_none(), |task| task.hides())
    }

    /// Whether its questions are about many things, so that a needle of its form can be about another one.
    fn asks_of_many(&self) -> bool {
        self.wrapped().is_none_or(|task| task.asks_of_many())
    }

    /// Whether the answer is a copy of one word again and again with another one among them.
    fn copies_one_word(&self) -> bool {
        self.wrapped().is_some_and(|task| task.copies_one_word())
    }

    /// Whether the text has others of the kind that is asked for, whose score is that of an answer which
    /// copies one of them: the floor of noise.
    fn has_noise_floor(&self) -> bool {
        self.wrapped().is_some_and(|task| task.has_noise_floor())
    }

    /// Why the depth of a cell makes no difference to it, when it makes none.
    fn without_depth(&self) -> Option<&'static str> {
        self.wrapped()?.without_depth()
    }

    /// How its text is written, when it takes no haystack.
    fn listing(&self) -> Option<Listing> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(question: &Question) -> &crate::needle::Needle {
        question.targets().next().unwrap()
    }

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
                let values: Vec<&str> = question.targets().map(|needle| needle.value()).collect();
                let several =
                    ["multi", "multi-2", "multi-8", "ruler-niah-multivalue", "ruler-niah-multiquery"];
                assert_eq!(values.len() > 1, several.contains(&entry.name));
                assert_eq!(question.expected, values);
                for asked in [&question.question, &question.completion] {
                    assert!(
                        !asked.is_empty() && !values.iter().any(|value| asked.contains(value)),
                        "{asked}"
                    );
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
        let value = target(&magic).value().to_string();
        assert_eq!(value.len(), 7);
        assert_eq!(target(&magic).text(), format!("{}{value}.", magic.completion));
        assert!(
            magic.completion.starts_with("The special magic ") && magic.completion.ends_with(" number is: ")
        );
        assert!(
            magic.question.starts_with("What is the special magic ") && magic.question.ends_with(" number?")
        );
        assert_eq!(budget, 16);

        let (gkamradt, budget) = draw("gkamradt");
        assert_eq!(
            target(&gkamradt).text(),
            "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny \
             day.\n"
        );
        assert_eq!((gkamradt.expected[0].as_str(), budget), ("eat a sandwich and sit in Dolores Park", 64));

        let (passkey, budget) = draw("passkey");
        let n = &passkey.expected[0];
        assert_eq!(
            target(&passkey).text(),
            format!(" The pass key is {n}. Remember it. {n} is the pass key.")
        );
        assert_eq!((passkey.question.as_str(), budget), ("What is the pass key?", 16));
    }
}
