//! Prompts of any task with their answers, by the code that evaluation's prompts come from.

use super::{Make, Sequence};
use crate::error::{Error, Result};
use crate::grid::{Cell, ContextLength, Depth};
use crate::haystack::Haystack;
use crate::prompt::{Assistant, Built, Form, Prompt, PromptPlan, Snap};
use crate::rng::Rng;
use crate::split::Split;
use crate::task::{MakeTask, OfSplit};
use crate::tokenizer::Tokenize;

/// The part of a sequence that its shortest prompts take.
const SHORTEST: usize = 4;

/// Bytes that a text of more than one prompt has between them.
const BETWEEN: &str = "\n\n";

/// Prompts that a vocabulary is learned from, and how many tokens they have.
const EXAMPLES: usize = 300;
const EXAMPLE: usize = 2048;

/// A task whose prompts are trained on.
pub(super) struct Asked {
    /// One for each haystack, or one without.
    plans: Vec<PromptPlan>,
}

impl Asked {
    /// The task with values of the training part, in these haystacks where it takes one.
    pub(super) fn new(task: MakeTask, haystacks: &[Haystack]) -> Self {
        let haystacks = if task().listing().is_some() { &[Haystack::none()] } else { haystacks };
        let plan = |haystack: &Haystack| PromptPlan {
            built: Built::default(),
            task: Box::new(OfSplit::new(task(), Split::Training)),
            haystack: haystack.clone(),
            form: Form::Completion,
            assistant: Assistant::default(),
            snap: Snap::Sentence,
            // No more is kept free than the answer takes.
            answer_budget: Some(1),
        };
        Self { plans: haystacks.iter().map(plan).collect() }
    }

    /// Prompts with their answers, one behind the other up to the end. Each has between a quarter of a
    /// sequence and all of it; where sequences are easy they are short.
    pub(super) fn make(&self, make: &mut Make<'_>) -> Result<Sequence> {
        let whole = make.rows + 1;
        let least = (whole / SHORTEST).max(1);
        let most = least + ((whole - least) as f64 * make.difficulty) as usize;
        let between = make.tokenizer.encode(BETWEEN)?.ids;
        let (mut tokens, mut answers) = (Vec::with_capacity(2 * whole), Vec::new());
        while tokens.len() < whole {
            let length = make.rng.between(least as u64, most as u64) as usize;
            let prompt = self.prompt(&mut make.rng, make.tokenizer, length..=whole)?;
            let begun = usize::from(!tokens.is_empty() && make.tokenizer.bos().is_some());
            tokens.extend_from_slice(&prompt.tokens[begun..]);
            let start = tokens.len();
            tokens.extend_from_slice(&prompt.answer_tokens);
            if tokens.len() <= whole {
                answers.push(start..tokens.len());
            }
            tokens.extend_from_slice(&between);
        }
        tokens.truncate(whole);
        Ok(Sequence { tokens, answers })
    }

    /// A prompt as long as the range begins, or longer where that is too short for the task.
    fn prompt(
        &self,
        rng: &mut Rng,
        tokenizer: &dyn Tokenize,
        lengths: std::ops::RangeInclusive<usize>,
    ) -> Result<Prompt> {
        let plan = rng.choose(&self.plans);
        let depth = Depth::from_percent(100.0 * rng.unit())?;
        let (seed, index) = (rng.next_u64(), rng.below(1 << 16) as usize);
        let (mut length, longest) = lengths.into_inner();
        loop {
            let cell = Cell { context_length: ContextLength(length), depth };
            let trial = crate::trial::Trial { cell, index, seed };
            match plan.build(&trial, tokenizer, &mut plan.haystack_tokens(&trial)) {
                Err(Error::Prompt { .. }) if length < longest => length = longest.min(length * 3 / 2 + 1),
                built => return built,
            }
        }
    }

    /// Texts to learn a vocabulary from; `tokenizer` says how long they are.
    pub(super) fn texts(&self, tokenizer: &dyn Tokenize) -> Result<Vec<String>> {
        let mut rng = Rng::for_purpose(0, &["vocabulary", self.plans[0].task.name()]);
        let mut text = || {
            let length = rng.between(1, EXAMPLE as u64) as usize;
            let prompt = self.prompt(&mut rng, tokenizer, length..=EXAMPLE)?;
            Ok(format!("{}{}", prompt.text, tokenizer.decode(&prompt.answer_tokens)?))
        };
        (0..EXAMPLES).map(|_| text()).collect()
    }
}
