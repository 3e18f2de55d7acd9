//! What a model is trained on: a mixture of kinds of sequences in given shares.
//!
//! Sequence `i` of step `n` is a pure function of the seed, `n` and `i`, whatever was drawn before and on
//! whichever thread, so a training goes on from any step. Texts and needle values are of [`Split::Training`]
//! alone, from generators that evaluation never uses.

mod asked;
mod key_values;
mod needles;
mod prose;

use std::ops::Range;

use crate::error::{Error, Result};
use crate::haystack::Haystack;
use crate::registry::{self, Entry};
use crate::rng::Rng;
use crate::split::Split;
use crate::task::{MakeTask, OfSplit, TASKS, Task};
use crate::tokenizer::Tokenize;
use asked::Asked;

pub use needles::vocabulary_texts;

/// Number of the recipe by which sequences are drawn. It is raised whenever the same seed gives other
/// sequences, so that what is kept of an earlier recipe is not taken for this one's.
pub const RECIPE: u32 = 2;

/// One sequence to train on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids, one more than the model reads: each predicts the next.
    pub tokens: Vec<u32>,
    /// Tokens that can be known from what stands before them: answers, and values of keys seen before.
    pub answers: Vec<Range<usize>>,
}

/// Texts that sequences are made of.
pub struct Sources {
    haystacks: Vec<Haystack>,
    task: Box<dyn Task>,
}

impl Sources {
    /// The training part of these haystacks and of the values of this task.
    ///
    /// # Errors
    /// When there is no haystack, or one cannot be divided into a part for training and one that is held out.
    pub fn new(haystacks: Vec<Haystack>, task: Box<dyn Task>) -> Result<Self> {
        if haystacks.is_empty() {
            return Err(Error::invalid("haystack", "nothing", "at least one haystack"));
        }
        let training = haystacks.into_iter().map(|haystack| haystack.part(Split::Training));
        Ok(Self {
            haystacks: training.collect::<Result<_>>()?,
            task: Box::new(OfSplit::new(task, Split::Training)),
        })
    }

    /// The haystacks' training parts.
    #[must_use]
    pub fn haystacks(&self) -> &[Haystack] {
        &self.haystacks
    }
}

/// Sequences of each kind that are made to see whether they can be.
const TRIED: u64 = 32;

/// What a kind of sequence is made from.
pub struct Make<'a> {
    sources: &'a Sources,
    tokenizer: &'a dyn Tokenize,
    rows: usize,
    rng: Rng,
    /// From 0, where sequences are easy, to 1, where they are what they are meant to be.
    difficulty: f64,
}

/// Makes one sequence.
pub type MakeSequence = fn(&mut Make<'_>) -> Result<Sequence>;

/// The kinds of sequences besides the prompts of tasks, each of which is a kind by its name.
pub const KINDS: &[Entry<MakeSequence>] = &[
    Entry { name: "text", about: "prose of the haystacks alone", value: prose::make },
    Entry {
        name: "needles",
        about: "prose with 1 to 4 needles of the task and 1 to 3 questions with their answers",
        value: needles::make,
    },
    Entry {
        name: "key-values",
        about: "lines such as A=967892 of which keys come again, as in ABCDigits",
        value: key_values::make,
    },
];

/// How the sequences of a kind are made.
enum Kind {
    Made(MakeSequence),
    Asked(Asked),
}

impl Kind {
    fn find(name: &str, sources: &Sources) -> Result<Self> {
        if let Some(task) = asked(name) {
            return Ok(Self::Asked(Asked::new(task, &sources.haystacks)));
        }
        let known = KINDS.iter().map(|kind| kind.name).chain(TASKS.iter().map(|task| task.name));
        let made = registry::find("kind of sequence", KINDS, name);
        let made =
            made.map_err(|_| registry::unknown("kind of sequence", name, &known.collect::<Vec<_>>()))?;
        Ok(Self::Made(made.value))
    }

    fn make(&self, make: &mut Make<'_>) -> Result<Sequence> {
        match self {
            Self::Made(made) => made(make),
            Self::Asked(asked) => asked.make(make),
        }
    }
}

/// The task whose prompts are the sequences of this kind.
fn asked(kind: &str) -> Option<MakeTask> {
    TASKS.iter().find(|entry| entry.name == kind).map(|entry| entry.value)
}

/// Whether sequences of this kind are easy at first, over the steps of a curriculum.
#[must_use]
pub fn grows(kind: &str) -> bool {
    kind == "key-values" || asked(kind).is_some()
}

/// Texts to learn a vocabulary from that the kinds of a mixture add to [`vocabulary_texts`], with prompts
/// measured by `tokenizer`.
///
/// # Errors
/// When a task fails.
pub fn further_vocabulary_texts(
    sources: &Sources,
    shares: &[(String, f64)],
    tokenizer: &dyn Tokenize,
) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for task in shares.iter().filter_map(|(name, _)| asked(name)) {
        texts.extend(Asked::new(task, &sources.haystacks).texts(tokenizer)?);
    }
    Ok(texts)
}

/// Kinds of sequences in given shares.
pub struct Mixture<'a> {
    sources: &'a Sources,
    tokenizer: &'a dyn Tokenize,
    /// Each kind with the sum of the shares up to it, out of 1.
    kinds: Vec<(Kind, f64)>,
    rows: usize,
    seed: u64,
    /// Steps over which sequences become harder.
    curriculum: usize,
}

impl<'a> Mixture<'a> {
    /// A mixture of sequences of `rows + 1` tokens; `shares` name kinds and their parts of the whole. Over
    /// the first `curriculum` steps, values of key-value lines grow from 2 digits and 3 letters at most to
    /// what they are without one, and prompts of tasks from a quarter of a sequence to all of it.
    ///
    /// # Errors
    /// When a kind is unknown, shares are not numbers above 0, or sequences are too short for a kind.
    pub fn new(
        sources: &'a Sources,
        tokenizer: &'a dyn Tokenize,
        shares: &[(String, f64)],
        rows: usize,
        seed: u64,
        curriculum: usize,
    ) -> Result<Self> {
        let total: f64 = shares.iter().map(|(_, share)| share).sum();
        if !(total.is_finite() && shares.iter().all(|(_, share)| *share > 0.0)) || shares.is_empty() {
            return Err(Error::invalid("mix", format!("{shares:?}"), "kinds with shares above 0"));
        }
        let mut sum = 0.0;
        let kinds = shares.iter().map(|(name, share)| {
            sum += share / total;
            Ok((Kind::find(name, sources)?, sum))
        });
        let kinds = kinds.collect::<Result<Vec<_>>>()?;
        let mixture = Self { sources, tokenizer, kinds, rows, seed, curriculum };
        // What is too short for a kind says so before the first step.
        for (kind, _) in &mixture.kinds {
            for draw in 0..TRIED {
                kind.make(&mut mixture.make(Rng::new(draw), 1.0))?;
            }
        }
        Ok(mixture)
    }

    /// Sequence `index` of `step`.
    ///
    /// # Errors
    /// When the tokenizer or the task fails.
    pub fn sequence(&self, step: usize, index: usize) -> Result<Sequence> {
        let path = ["training sequence", &step.to_string(), &index.to_string()];
        let mut rng = Rng::for_purpose(self.seed, &path);
        let place = rng.unit();
        let chosen = self.kinds.iter().find(|(_, end)| place < *end).or(self.kinds.last());
        let Some((kind, _)) = chosen else {
            return Err(Error::invalid("mix", "nothing", "kinds with shares above 0"));
        };
        let difficulty = match self.curriculum {
            0 => 1.0,
            steps => (step as f64 / steps as f64).min(1.0),
        };
        kind.make(&mut self.make(rng, difficulty))
    }

    fn make(&self, rng: Rng, difficulty: f64) -> Make<'_> {
        Make { sources: self.sources, tokenizer: self.tokenizer, rows: self.rows, rng, difficulty }
    }
}

impl Make<'_> {
    /// Tokens of text that a sequence holds: one more than the model reads, less the BOS.
    fn room(&self) -> usize {
        self.rows + 1 - usize::from(self.tokenizer.bos().is_some())
    }

    /// The sequence of a text that is long enough, or `None`; `answers` are bytes of the text.
    fn sequence(&self, text: &str, answers: &[Range<usize>]) -> Result<Option<Sequence>> {
        let encoded = self.tokenizer.encode(text)?;
        if encoded.ids.len() < self.room() {
            return Ok(None);
        }
        let bos = self.tokenizer.bos();
        let shift = usize::from(bos.is_some());
        let token = |bytes: &Range<usize>| {
            let start = encoded.spans.partition_point(|span| span.end <= bytes.start) + shift;
            let end = encoded.spans.partition_point(|span| span.start < bytes.end) + shift;
            start..end.min(self.rows + 1)
        };
        let answers = answers.iter().map(token).filter(|tokens| tokens.start < tokens.end).collect();
        let tokens = bos.into_iter().chain(encoded.ids.iter().copied()).take(self.rows + 1).collect();
        Ok(Some(Sequence { tokens, answers }))
    }
}
