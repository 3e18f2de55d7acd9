//! Building a prompt: haystack, needles, question and template, exact to the token.
//!
//! A prompt is a pure function of (task, cell, seed, tokenizer, haystack). Its text is put together as one
//! string and encoded once, so the ids are those that any tool gets for that text. The bytes of every needle,
//! value and answer are known as the text is put together, and the spans of the encoding turn them into token
//! ranges; nothing is searched for.
//!
//! ```text
//! completion form   [BOS] instruction \n haystack with needles \n\n question \n completion
//! chat form         [BOS] template( system, instruction \n haystack with needles \n\n question suffix ) completion
//! ```
//!
//! The completion is the words that the answer continues; there are none where the answer is to say them
//! itself ([`AnswerPrefix::None`]). Where the model thinks first, a prompt ends before the thought, and the
//! completion stands behind it ([`ThoughtPlan`]).
//!
//! The expected answer stands after the prompt when the text is encoded. The first token that overlaps its
//! bytes begins [`Prompt::answer_tokens`]; the tokens before it are [`Prompt::tokens`]. So a space that
//! merges with the answer's first token belongs to the answer, and a space that is a token of its own stays
//! in the prompt.

mod assistant;
mod built;
mod checks;
mod controls;
mod document;
mod fit;
mod found;
mod given;
mod layout;
mod listing;
mod sequence;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grid::Depth;
use crate::hash::sha256_hex;
use crate::haystack::{Haystack, HaystackTokens};
use crate::registry::Entry;
use crate::span::{Span, needle_kinds};
use crate::task::{Question, Task, Turn};
use crate::tokenizer::{Encoded, Tokenize};
use crate::trial::Trial;
pub use assistant::{ANSWER_PREFIXES, AnswerPrefix, Assistant, ThoughtPlan};
pub use built::Built;
pub use controls::{LEAST_CONTROLS, MOST_CONTROLS};
pub use document::Document;
use fit::Cut;
pub use given::tokens_of;
use layout::{Frame, LaidSpan, LaidThought, Layout};
pub use sequence::PromptSequence;

/// How often a question is drawn again because the haystack happens to hold its answer.
const DRAWS: usize = 100;

/// A prompt ready to run, with everything that is recorded about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Token ids, up to and including the query that predicts the first answer token.
    pub tokens: Vec<u32>,
    /// Ids of the expected answer as they continue `tokens` (teacher forcing): all of its items, in the
    /// task's words.
    pub answer_tokens: Vec<u32>,
    /// The token of `answer_tokens` with which each item of the answer begins.
    pub answer_items: Vec<usize>,
    /// The text behind `tokens` (BOS apart).
    pub text: String,
    /// What matters of the text, in its order.
    pub spans: Vec<Span>,
    /// Token range of each needle, in the order of the text: the spans of kind `target`, or the steps of the
    /// chain where all of it is asked for.
    pub needles: Vec<Range<usize>>,
    /// Token range of each needle's value, in the same order.
    pub values: Vec<Range<usize>>,
    /// Token range from the first to the last token of the haystack, needles included.
    pub haystack: Range<usize>,
    /// Text of each needle.
    pub needle_texts: Vec<String>,
    /// The question.
    pub question: String,
    /// Token range of the question, or where only the words of the answer ask, of these; none where it is not
    /// known.
    pub asked: Range<usize>,
    /// The expected answers.
    pub expected: Vec<String>,
    /// How many of `tokens` are special.
    pub special_tokens: usize,
    /// The thought that comes before the answer, where the model is to think.
    pub thought: Option<ThoughtPlan>,
    /// Tokens reserved for the answer: the task's budget, or the expected answer's tokens when they are more.
    pub answer_budget: usize,
    /// Depth of the first needle as built: haystack tokens before it over all haystack tokens; nothing where
    /// there is no needle or no haystack.
    pub actual_depth: Option<Depth>,
    /// How often the haystack's text began again within the prompt.
    pub haystack_loops: usize,
    /// SHA-256 of the haystack text that was used, in hex.
    pub haystack_hash: String,
    /// SHA-256 of `tokens` as little-endian u32, in hex.
    pub prompt_hash: String,
    /// What the user should know of it.
    pub note: Option<String>,
    /// Its name, when it is out of a file.
    pub id: Option<String>,
    /// What the system's turn says, when the conversation begins with one that is no turn below.
    pub system: Option<String>,
    /// The conversation that it is or, as plain text, would be.
    pub turns: Vec<Turn>,
    /// How the answer begins behind the conversation.
    pub answer_prefix: String,
    /// The text of `answer_tokens`.
    pub answer_text: String,
    /// The scorer of its answer, when it has one of its own.
    pub scorer: Option<String>,
}

impl Prompt {
    /// Where the next prompt may part from this one: at its first span, or where its haystack ends. A little
    /// earlier, as a tokenizer may join what stands at a border.
    #[must_use]
    pub fn forks(&self) -> Vec<usize> {
        const MARGIN: usize = 8;
        let first = self.spans.iter().map(|span| span.tokens.start).min();
        let places = first.into_iter().chain([self.haystack.end]);
        let mut forks: Vec<usize> = places.map(|place| place.saturating_sub(MARGIN)).collect();
        forks.sort_unstable();
        forks
    }

    /// Tokens of everything at most: the prompt, a thought and the answer.
    #[must_use]
    pub fn longest(&self) -> usize {
        let thought = self.thought.as_ref().map_or(0, ThoughtPlan::room);
        self.tokens.len() + thought + self.answer_tokens.len().max(self.answer_budget)
    }
}

/// Where the haystack is cut to length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Snap {
    /// After a sentence: the prompt is at most one haystack sentence shorter than asked. A sentence longer
    /// than [`Self::SENTENCE_BOUND`] tokens is cut at a token instead.
    #[default]
    Sentence,
    /// At any character: the prompt is exactly as long as asked, unless the tokenizer has no cut that gives
    /// that length, as when every character is several tokens. Where a paragraph break makes the count jump,
    /// a space stands for it.
    None,
}

impl Snap {
    /// Tokens of a sentence that are given up, at most, to cut after the sentence before it.
    pub const SENTENCE_BOUND: usize = 256;
}

/// The ways to cut, by name.
pub const SNAPS: &[Entry<Snap>] = &[
    Entry { name: "sentence", about: "cut the haystack after a sentence", value: Snap::Sentence },
    Entry {
        name: "none",
        about: "cut the haystack so that the prompt is exact to the token",
        value: Snap::None,
    },
];

/// Renders a chat template for (system, user) with the generation prompt.
pub type RenderChat = dyn Fn(Option<&str>, &str) -> Result<String> + Send + Sync;

/// What the model is given: plain text to complete, or a conversation.
#[derive(Clone)]
pub enum Form {
    /// Plain text that the model continues.
    Completion,
    /// One user's turn in a chat template, the assistant's turn opened.
    Chat {
        /// What the system's turn says.
        system: Option<String>,
        /// Renders the template.
        render: Arc<RenderChat>,
    },
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completion => f.write_str("Completion"),
            Self::Chat { system, .. } => {
                f.debug_struct("Chat").field("system", system).finish_non_exhaustive()
            }
        }
    }
}

/// Everything that the prompts of a run have in common.
pub struct PromptPlan {
    /// What is hidden and asked.
    pub task: Box<dyn Task>,
    /// Where it is hidden.
    pub haystack: Haystack,
    /// Completion or chat.
    pub form: Form,
    /// How the assistant's turn begins.
    pub assistant: Assistant,
    /// Where the haystack is cut.
    pub snap: Snap,
    /// Tokens that may be generated, instead of the task's own budget.
    pub answer_budget: Option<usize>,
    /// Prompts that are kept once they are built.
    pub built: Built,
}

impl PromptPlan {
    /// The haystack of a trial, to be shared by all its cells: it is tokenised once and grows with them.
    #[must_use]
    pub fn haystack_tokens(&self, trial: &Trial) -> HaystackTokens {
        HaystackTokens::new(&self.haystack, trial.seed, trial.index)
    }

    /// Builds the prompt of one trial, a pure function of the arguments: how far `haystack` has grown makes
    /// no difference.
    ///
    /// # Errors
    /// [`Error::Prompt`] when the length is too small for everything but the haystack, when the haystack
    /// holds the answer or a special token, or when the template gives more than one BOS; errors of the
    /// template and the tokenizer.
    ///
    /// # Panics
    /// If `haystack` was opened for another trial.
    pub fn build(
        &self,
        trial: &Trial,
        tokenizer: &dyn Tokenize,
        haystack: &mut HaystackTokens,
    ) -> Result<Prompt> {
        assert_eq!(haystack.trial(), (trial.seed, trial.index), "the haystack of another trial");
        if let Some(given) = self.task.given() {
            return given::build(given, trial, tokenizer, self);
        }
        let system = match &self.form {
            Form::Chat { system, .. } => system.clone(),
            Form::Completion => None,
        };
        Ok(Prompt { system, ..self.build_text(trial, tokenizer, haystack)? })
    }

    fn build_text(
        &self,
        trial: &Trial,
        tokenizer: &dyn Tokenize,
        haystack: &mut HaystackTokens,
    ) -> Result<Prompt> {
        let frame = Frame::of(&self.form, self.assistant)?;
        let own_budget = || self.assistant.prefix.budget(self.task.answer_budget());
        let answer_budget = self.answer_budget.unwrap_or_else(own_budget);
        if let Some(listing) = self.task.listing() {
            return listing::build(listing, trial, &frame, tokenizer, answer_budget);
        }
        let mut rng = trial.rng(&self.task.purpose());
        let mut question = self.task.numbered(trial.index, &mut rng)?;
        for _ in 0..DRAWS {
            let mut builder = Builder {
                trial,
                tokenizer,
                question: &question,
                frame: &frame,
                answer_budget,
                snap: self.snap,
                haystack,
                end: None,
            };
            let (cut, mut draft) = builder.fit()?;
            if question.about_haystack {
                let note = found::mark(&builder, &mut draft)?;
                return Ok(Prompt { note, ..builder.finish(cut, draft)? });
            }
            let Some(collision) = checks::collision(&question, &draft.layout) else {
                return builder.finish(cut, draft);
            };
            let next = self.task.numbered(trial.index, &mut rng)?;
            if next == question {
                return Err(prompt_error(trial, collision));
            }
            question = next;
        }
        Err(prompt_error(trial, format!("each of {DRAWS} drawn answers stands in the haystack already")))
    }
}

/// Builds one prompt for one drawn question.
struct Builder<'a> {
    trial: &'a Trial,
    tokenizer: &'a dyn Tokenize,
    question: &'a Question,
    frame: &'a Frame,
    answer_budget: usize,
    snap: Snap,
    haystack: &'a mut HaystackTokens,
    /// Where a haystack ends that is read once.
    end: Option<usize>,
}

/// The text of a prompt, encoded and measured.
struct Draft {
    layout: Layout,
    encoded: Encoded,
    /// BOS to put in front.
    bos: Option<u32>,
    /// Index in `encoded` of the first token behind the prompt: that of a thought, or else of the answer.
    end: usize,
    /// Index in `encoded` of the answer's first token.
    answer: usize,
}

impl Draft {
    fn prompt_tokens(&self) -> usize {
        usize::from(self.bos.is_some()) + self.end
    }

    fn answer_tokens(&self) -> usize {
        self.encoded.ids.len() - self.answer
    }

    /// The tokens of the prompt.
    fn tokens(&self) -> Vec<u32> {
        self.bos.into_iter().chain(self.encoded.ids[..self.end].iter().copied()).collect()
    }

    /// The tokens of the prompt that overlap these bytes.
    fn token_range(&self, bytes: &Range<usize>) -> Range<usize> {
        let spans = &self.encoded.spans;
        let start = spans.partition_point(|span| span.end <= bytes.start);
        let end = spans.partition_point(|span| span.start < bytes.end).max(start);
        let shift = usize::from(self.bos.is_some());
        shift + start..shift + end
    }
}

impl Builder<'_> {
    /// Turns a draft into a prompt.
    fn finish(&self, cut: Cut, draft: Draft) -> Result<Prompt> {
        let stream = self.haystack.stream();
        let used = HaystackUse { loops: stream.loops_within(cut.end), text: &cut.text(stream.text()) };
        draft.finish(self.trial, self.tokenizer, self.question, self.answer_budget, used)
    }
}

/// What a prompt has of its haystack.
struct HaystackUse<'a> {
    loops: usize,
    text: &'a str,
}

impl Draft {
    /// A prompt's text with its tokens.
    fn new(layout: Layout, tokenizer: &dyn Tokenize) -> Result<Self> {
        let encoded = tokenizer.encode(&layout.text)?;
        Ok(Self::of(layout, encoded, tokenizer))
    }

    /// A prompt's text as it was encoded.
    fn of(layout: Layout, encoded: Encoded, tokenizer: &dyn Tokenize) -> Self {
        let bos = tokenizer.bos().filter(|bos| encoded.ids.first() != Some(bos));
        let answer = encoded.spans.partition_point(|span| span.end <= layout.answer);
        let thought = layout.thought.as_ref();
        let end =
            thought.map_or(answer, |thought| encoded.spans.partition_point(|span| span.end <= thought.start));
        Self { layout, encoded, bos, end, answer }
    }

    /// Tokens of a whole trial: the prompt and what is reserved for a thought and for the answer.
    fn length(&self, answer_budget: usize) -> usize {
        let thought = self.layout.thought.as_ref();
        let between = thought.map_or(0, |thought| {
            thought.budget.saturating_add(self.answer.saturating_sub(self.closing(thought)))
        });
        self.prompt_tokens().saturating_add(between).saturating_add(answer_budget.max(self.answer_tokens()))
    }

    /// Index in `encoded` of the first token that ends a thought.
    fn closing(&self, thought: &LaidThought) -> usize {
        self.encoded.spans.partition_point(|span| span.end <= thought.closing.start)
    }

    /// The thought between prompt and answer, in tokens.
    fn thought(&self) -> Option<ThoughtPlan> {
        let thought = self.layout.thought.as_ref()?;
        let spans = &self.encoded.spans;
        let closing = self.closing(thought);
        // A token that goes on behind the mark belongs to it.
        let lead = spans.partition_point(|span| span.start < thought.closing.end).min(self.answer);
        let words = spans.partition_point(|span| span.end <= self.layout.completion).clamp(lead, self.answer);
        let ids = |range: Range<usize>| self.encoded.ids[range].to_vec();
        Some(ThoughtPlan {
            opened: thought.opened,
            budget: thought.budget,
            closing: ids(closing.min(lead)..lead),
            lead: ids(lead..self.answer),
            words: ids(words..self.answer),
        })
    }

    /// The token of the answer that the item at this byte begins with.
    fn answer_item(&self, byte: usize) -> usize {
        self.encoded.spans[self.answer..].partition_point(|span| span.end <= byte)
    }

    /// The tokens of the haystack where a span that was left out would stand, and its value: as many as it
    /// has, from its place on or, near the end, up to it; or those that were counted already.
    fn in_place_of(
        &self,
        laid: &LaidSpan,
        haystack: &Range<usize>,
        tokenizer: &dyn Tokenize,
    ) -> Result<(Range<usize>, Range<usize>)> {
        let within_prompt =
            |range: &Range<usize>| range.start <= range.end && range.end <= self.prompt_tokens();
        if let Some([tokens, value]) =
            laid.counted.as_ref().filter(|counted| counted.iter().all(within_prompt))
        {
            return Ok((tokens.clone(), value.clone()));
        }
        let planted = tokenizer.encode(&laid.planted)?.spans;
        let length = planted.len().min(haystack.len());
        let place = self.token_range(&(laid.bytes.start..laid.bytes.start + 1)).start;
        let start = place.clamp(haystack.start, haystack.end - length);
        let value = planted.partition_point(|span| span.end <= laid.planted_value.start)
            ..planted.partition_point(|span| span.start < laid.planted_value.end);
        let within = |at: usize| start + at.min(length);
        Ok((start..start + length, within(value.start)..within(value.end)))
    }

    /// Turns it into a prompt, once every check has passed.
    fn finish(
        self,
        trial: &Trial,
        tokenizer: &dyn Tokenize,
        question: &Question,
        answer_budget: usize,
        used: HaystackUse<'_>,
    ) -> Result<Prompt> {
        checks::special_tokens(&self, tokenizer).map_err(|problem| prompt_error(trial, problem))?;
        let layout = &self.layout;
        let haystack = self.token_range(&layout.haystack);
        let span = |laid: &LaidSpan| {
            let (tokens, value) = match laid.absent {
                true => self.in_place_of(laid, &haystack, tokenizer)?,
                false => (self.token_range(&laid.bytes), self.token_range(&laid.value)),
            };
            let (text, value_bytes) = laid.shown();
            let (kind, absent, bytes) = (laid.kind, laid.absent, laid.bytes.clone());
            Ok(Span { kind, tokens, value, text, absent, bytes, value_bytes })
        };
        let spans: Vec<Span> = layout.spans.iter().map(span).collect::<Result<_>>()?;
        let needle_kind = needle_kinds(&spans);
        let needles: Vec<&Span> = spans.iter().filter(|span| needle_kind(span.kind)).collect();
        let answer_tokens = &self.encoded.ids[self.answer..];
        let tokens = self.tokens();
        let special = |id: &&u32| tokenizer.special_ids().contains(id) || tokenizer.bos() == Some(**id);
        let (answer_start, text_end) = match tokenizer.is_exact() {
            true => {
                let begins =
                    |token: usize| self.encoded.spans.get(token).map_or(layout.answer, |span| span.start);
                (begins(self.answer), begins(self.end))
            }
            false => {
                let end = layout.text[..layout.answer].trim_end().len();
                (end, end)
            }
        };
        Ok(Prompt {
            thought: self.thought(),
            answer_tokens: answer_tokens.to_vec(),
            answer_items: layout.items.iter().map(|&byte| self.answer_item(byte)).collect(),
            text: layout.text[..text_end].to_string(),
            values: needles.iter().map(|needle| needle.value.clone()).collect(),
            needle_texts: needles.iter().map(|needle| needle.text.clone()).collect(),
            needles: needles.iter().map(|needle| needle.tokens.clone()).collect(),
            actual_depth: self.actual_depth()?,
            haystack,
            spans,
            asked: match layout.asked.is_empty() {
                true => 0..0,
                false => {
                    let range = self.token_range(&layout.asked);
                    let end = self.prompt_tokens();
                    range.start.min(end)..range.end.min(end)
                }
            },
            question: question.question.clone(),
            expected: question.expected.clone(),
            special_tokens: tokens.iter().filter(special).count(),
            answer_budget: answer_budget.max(answer_tokens.len()),
            haystack_loops: used.loops,
            haystack_hash: sha256_hex(used.text),
            prompt_hash: prompt_hash(&tokens),
            tokens,
            note: None,
            id: None,
            system: None,
            turns: vec![Turn { role: "user".to_string(), bytes: layout.content.clone() }],
            answer_prefix: match layout.chat || question.completion_in_chat {
                true => layout.text[layout.completion.min(answer_start)..answer_start].to_string(),
                false => String::new(),
            },
            answer_text: layout.text[answer_start..].to_string(),
            scorer: None,
        })
    }

    /// Haystack tokens before the first span that is needed over all haystack tokens; nothing when there are
    /// none of either.
    fn actual_depth(&self) -> Result<Option<Depth>> {
        let tokens = |bytes: &Range<usize>| if bytes.is_empty() { 0 } else { self.token_range(bytes).len() };
        let needed = self.layout.spans.iter().find(|span| span.kind.is_needed());
        let Some(first) = needed.map(|span| span.bytes.start) else { return Ok(None) };
        let (mut before, mut all) = (0, 0);
        for piece in &self.layout.pieces {
            all += tokens(piece);
            before += if piece.end <= first { tokens(piece) } else { 0 };
        }
        match all {
            0 => Ok(None),
            all => Depth::from_percent(100.0 * before as f64 / all as f64).map(Some),
        }
    }
}

/// [`Prompt::prompt_hash`] of these tokens.
#[must_use]
pub fn prompt_hash(tokens: &[u32]) -> String {
    sha256_hex(tokens.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>())
}

/// What helps where a prompt takes so many tokens without a haystack. What is drawn for other trials may be
/// some tokens longer.
fn asking_for(minimum: usize) -> String {
    let more = minimum.checked_add(minimum / 8 + 8).and_then(|room| room.checked_next_multiple_of(32));
    let room = more.unwrap_or(usize::MAX);
    format!("ask for at least {minimum}, and for {room} to have room for other trials")
}

fn prompt_error(trial: &Trial, problem: impl Into<String>) -> Error {
    Error::Prompt {
        context_length: trial.cell.context_length.to_string(),
        depth: trial.cell.depth.to_string(),
        problem: problem.into(),
    }
}
