//! A trial: one prompt of one cell, and the flat row that remains of it.

use serde::{Deserialize, Serialize};

use crate::grid::{Cell, ContextLength, Depth};
use crate::rng::Rng;

/// One prompt of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// The cell it belongs to.
    pub cell: Cell,
    /// Its number in the cell, from 0.
    pub index: usize,
    /// The seed of the run.
    pub seed: u64,
}

impl Trial {
    /// The generator of this trial's needles: it depends on the seed, the cell and the index, never on the
    /// grid around it.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> Rng {
        let (length, depth) = self.cell.numbers();
        Rng::for_purpose(
            self.seed,
            &[purpose, &length.to_string(), &depth.to_string(), &self.index.to_string()],
        )
    }

    /// The key that joins the tables of one run: `length:depth_percent:trial`.
    #[must_use]
    pub fn row_id(&self) -> String {
        format!("{}:{}:{}", self.cell.context_length.0, self.cell.depth, self.index)
    }
}

/// Whether a trial ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It ran and was scored.
    #[default]
    Ok,
    /// It failed; the `error` column says why, and the next run tries it again.
    Error,
    /// It was left out on purpose.
    Skipped,
}

/// What became of the needle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The answer is right.
    Found,
    /// The answer is wrong, but a head singled out the needle among spans of its length more than any singled
    /// out another one.
    Looked,
    /// The answer is wrong and no head looked at the needle.
    Missed,
    /// The answer is wrong, and whether a head looked cannot be told.
    Wrong,
}

impl Finding {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Looked => "looked",
            Self::Missed => "missed",
            Self::Wrong => "wrong",
        }
    }
}

/// One row of `results.csv`: everything that is kept of a trial. Missing values are `None` and stay empty in
/// files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Short hash that names the run.
    pub run_id: String,
    /// The checkpoint as the user named it.
    pub model: String,
    /// Attention variant that ran.
    pub variant: String,
    /// Task preset.
    pub task: String,
    /// Prompt length asked for, in tokens.
    pub context_length: usize,
    /// Depth asked for, in per cent.
    pub depth_percent: Depth,
    /// Number of the trial in its cell, from 0.
    pub trial: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Tokens of the prompt as built.
    pub prompt_tokens: Option<usize>,
    /// Depth of the first needle as built, in per cent of the haystack's tokens.
    pub actual_depth_percent: Option<f64>,
    /// First token of the first needle.
    pub needle_start: Option<usize>,
    /// One past the last token of the first needle.
    pub needle_end: Option<usize>,
    /// Text of the first needle.
    pub needle: String,
    /// The question.
    pub question: String,
    /// The expected answer; several are joined with `|`.
    pub expected_answer: String,
    /// What the model wrote.
    pub model_response: Option<String>,
    /// Score between 0 and 1.
    pub score: Option<f64>,
    /// Whether the score counts as correct.
    pub correct: Option<bool>,
    /// Teacher-forced log-probability of the expected answer: natural log, summed over its tokens.
    pub answer_logprob: Option<f64>,
    /// Worst rank (1 = arg-max) of an answer token under teacher forcing: 1 means greedy decoding gives the
    /// answer.
    pub answer_rank: Option<usize>,
    /// Found, looked, missed or, where the last two cannot be told apart, wrong.
    pub outcome: Option<Finding>,
    /// Largest needle mass over all layers and heads, at the query that predicts the first answer token.
    pub needle_mass_top: Option<f64>,
    /// Mean needle mass over all layers and heads, at the same query; the mean of [`Self::needle_mass_top`]
    /// over trials is `needle_mass_top_mean` of the table of cells.
    pub needle_mass_mean: Option<f64>,
    /// Whether the trial ran.
    pub status: Status,
    /// Why it did not.
    pub error: Option<String>,
    /// Wall time of the trial in seconds.
    pub duration_seconds: Option<f64>,
    /// When it ended, RFC 3339 in UTC.
    pub timestamp_utc: String,
    /// Hash of the resolved plan: rows of different plans never mix.
    pub config_hash: String,
    /// Key that joins this row with `attention.csv` and `tokens.csv`.
    pub row_id: String,
    /// First token of the first needle's value.
    pub value_start: Option<usize>,
    /// One past the last token of the first needle's value.
    pub value_end: Option<usize>,
    /// SHA-256 of the prompt's token ids as little-endian u32, in hex: equal only for identical prompts.
    pub prompt_hash: Option<String>,
    /// Under screening, the sum of the whole row of the head that [`Outcome::needle_mass_top`] is of; missing
    /// where rows sum to 1.
    pub total_mass_top: Option<f64>,
    /// Spans of the needles' length elsewhere in the haystack that [`Outcome::control_mass_top`] is of.
    pub control_spans: Option<usize>,
    /// Largest mass of any head on one of these spans, at the query of [`Outcome::needle_mass_top`]; missing
    /// where there is no room for them.
    pub control_mass_top: Option<f64>,
    /// How much more a head gives to the needles than, in the mean, to these spans, of the head for which
    /// that is most; missing where they are, and in rows of versions that did not know it.
    pub needle_excess_top: Option<f64>,
    /// The same for the one of these spans that a head gives most more than to the others and the needles.
    pub control_excess_top: Option<f64>,
    /// Tokens that the model thought before its answer, its own marks included; 0 where it did not, and
    /// missing where it is not known how a thought looks, and in rows of versions that did not know it.
    pub thinking_tokens: Option<usize>,
    /// Whether that thought had no end of its own: its budget was spent, or the model fell silent.
    pub thinking_cut: Option<bool>,
    /// Of a copy of one word again and again with another one: the number of the other word in the text, from
    /// 0; missing for all other tasks, and in rows of versions that did not know it.
    pub changed_word: Option<usize>,
    /// The same in the answer, where it stands first; missing where the answer lacks it.
    pub answered_word: Option<usize>,
    /// What the answer says, right or wrong: the kind of the span whose value it has, `elsewhere` for what
    /// stands in the text but in no span, `nothing` for what stands nowhere in it, `empty`. Missing in rows
    /// of versions that did not know it.
    pub answered: Option<String>,
    /// The kind of the span with the largest mass of any head, at the query of [`Self::needle_mass_top`];
    /// `elsewhere` where one has more on one of the spans of [`Self::control_mass_top`].
    pub looked_at: Option<String>,
    /// Of values that were updated: in the place of how many of them the answer says an earlier one; missing
    /// where the text has no earlier values, and in rows of versions that did not know it.
    pub earlier_values: Option<usize>,
    /// How many updates came after those earlier ones, in the mean; missing where there are none.
    pub earlier_age: Option<f64>,
    /// What the other texts that were written on the same request would score, in the mean; missing for tasks
    /// without such, and in rows of versions that did not know it.
    pub noise_floor: Option<f64>,
}

/// [`Outcome::answered`] of an answer that stands in the text, but in no span.
pub const ELSEWHERE: &str = "elsewhere";
/// Of an answer that stands nowhere in the text.
pub const NOTHING: &str = "nothing";
/// Of no answer.
pub const EMPTY: &str = "empty";

impl Outcome {
    /// The same as a row of `trial`: its cell, number, seed and key.
    #[must_use]
    pub fn of(self, trial: &Trial) -> Self {
        Self {
            context_length: trial.cell.context_length.0,
            depth_percent: trial.cell.depth,
            trial: trial.index,
            seed: trial.seed,
            row_id: trial.row_id(),
            ..self
        }
    }

    /// The cell that it is of.
    #[must_use]
    pub fn cell(&self) -> Cell {
        Cell { context_length: ContextLength(self.context_length), depth: self.depth_percent }
    }
}

/// One row of `attention.csv`: what one head did at the answering query (see [`Outcome::row_id`]).
///
/// The first group is taken at the query that predicts the first answer token; the `answer_` group is the
/// mean over the queries that predict each answer token under teacher forcing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AttentionRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// Sum of the row's weights over the tokens of the needles. This and the other masses of needles and
    /// values are missing, here no number, of a prompt without needles.
    #[serde(with = "missing")]
    pub needle_mass: f64,
    /// Sum over the tokens of the values.
    #[serde(with = "missing")]
    pub value_mass: f64,
    /// Sum of the whole row: 1 for normalised rules.
    pub total_mass: f64,
    /// Weight of key 0.
    pub sink_mass: f64,
    /// Needle mass over what uniform attention to the whole prompt would give:
    /// `needle_mass / total_mass / (needle tokens / n)` with n the tokens of the prompt, in layers with a
    /// window as well.
    pub lift: Option<f64>,
    /// Entropy of the normalised row in nats.
    pub entropy: Option<f64>,
    /// Position of the largest weight.
    pub argmax_position: usize,
    /// `needle_mass`, mean over the answer's queries.
    #[serde(with = "missing")]
    pub answer_needle_mass: f64,
    /// `value_mass`, mean over the answer's queries.
    #[serde(with = "missing")]
    pub answer_value_mass: f64,
    /// `total_mass`, mean over the answer's queries.
    pub answer_total_mass: f64,
    /// `sink_mass`, mean over the answer's queries.
    pub answer_sink_mass: f64,
    /// Under screening, the number of keys with a relevance above 0; this and what follows is missing for
    /// normalised rules.
    pub passed_keys: Option<usize>,
    /// `passed_keys` over `effective_window`.
    pub passed_share: Option<f64>,
    /// The share of all keys up to the query whose relevance is exactly 0.
    pub zero_share: Option<f64>,
    /// The number of keys inside the tile's window at the query.
    pub effective_window: Option<usize>,
    /// Where an output gate stands behind attention, the mean over the head's coordinates of what it lets
    /// through at the query, 0 to 1.
    pub output_gate: Option<f64>,
    /// `needle_mass` times `output_gate`.
    pub gated_needle_mass: Option<f64>,
    /// The largest score `scale q·k` on the needles' tokens, before the multiplier of the variant, a soft cap
    /// and biases; this and what follows is missing where a rule has no scores, where the head does not see
    /// the needles, and in rows of versions that did not know it.
    pub needle_score: Option<f32>,
    /// `needle_score` above the largest score of any other key that the head sees; missing where it sees no
    /// other.
    pub score_margin: Option<f32>,
    /// The mean score of the needles' tokens above that same score.
    pub score_margin_mean: Option<f32>,
    /// `1 / s` under a rule that multiplies scores by `s ln n`: what a margin has to exceed for the weight to
    /// go to 1 as `n` grows. Missing under other rules, and where `s` is not above 0.
    pub inverse_scale: Option<f32>,
    /// `needle_score`, mean over the answer's queries.
    pub answer_needle_score: Option<f32>,
    /// `score_margin`, mean over the answer's queries.
    pub answer_score_margin: Option<f32>,
    /// `score_margin_mean`, mean over the answer's queries.
    pub answer_score_margin_mean: Option<f32>,
}

/// A number that may be missing: no number in memory, nothing in a file.
mod missing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match number.is_nan() {
            true => None::<f64>.serialize(serializer),
            // As any other number, not as one that may be missing.
            false => number.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// One row of `spans.csv`: a part of a prompt that matters, and the attention that it received.
///
/// Masses are taken at the query that predicts the first answer token, where nothing else is said; they are
/// missing where attention was not measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Its number in the order of the text, from 0.
    pub span: usize,
    /// What it is to the question: target, other, distractor, stale, hop-1, ..., answer-source.
    pub kind: String,
    /// Its first token.
    pub token_start: usize,
    /// One past its last token.
    pub token_end: usize,
    /// First token of its value.
    pub value_start: usize,
    /// One past the last token of its value.
    pub value_end: usize,
    /// Whether it is not in the prompt, and these are the tokens in its place.
    pub absent: bool,
    /// Largest mass over all layers and heads.
    pub mass_top: Option<f64>,
    /// Mean mass over all layers and heads.
    pub mass_mean: Option<f64>,
    /// Mean mass over all layers and heads, and over the queries that predict each answer token.
    pub answer_mass_mean: Option<f64>,
    /// Of a needle whose item the answer has: the largest mass at the query that begins this item, under
    /// teacher forcing.
    pub item_mass_top: Option<f64>,
    /// The mean mass over all layers and heads at that query.
    pub item_mass_mean: Option<f64>,
    /// Its text.
    pub text: String,
}

/// One row of `kinds.csv`: what one head gave to all spans of a kind; of trials with more kinds than targets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KindRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// The kind.
    pub kind: String,
    /// Sum of the row's weights over the tokens of these spans, at the query that predicts the first answer
    /// token.
    pub mass: f64,
    /// The same, mean over the queries that predict each answer token.
    pub answer_mass: f64,
    /// As [`AttentionRow::needle_score`], on the tokens of these spans.
    pub score: Option<f32>,
    /// As [`AttentionRow::score_margin`].
    pub score_margin: Option<f32>,
    /// As [`AttentionRow::score_margin_mean`].
    pub score_margin_mean: Option<f32>,
}

/// One row of `retrieval.csv`: what one head copied while the answer was decoded, and how much more it looked
/// at the needles for the question than for one without content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Layer, from 0.
    pub layer: usize,
    /// Query head, from 0.
    pub head: usize,
    /// Tokens of the needles.
    pub needle_tokens: usize,
    /// Tokens decoded.
    pub steps: usize,
    /// Steps at which the key with the head's largest weight lies in a needle and holds the token decoded.
    pub copied_steps: usize,
    /// Different tokens of the needles that were that key.
    pub copied_tokens: usize,
    /// Needle mass, mean over the tokens of the question; this and what follows is missing where the question
    /// is not known or stands before the needles.
    pub question_mass: Option<f64>,
    /// The same with a question without content, `N/A`, in its place.
    pub null_mass: Option<f64>,
    /// The difference of the two, summed over those tokens of the needles for which it is above the mean less
    /// two standard deviations.
    pub question_score: Option<f64>,
}

/// One row of `tokens.csv`: the attention that one prompt token received at the query that predicts the first
/// answer token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Position in the prompt, from 0.
    pub position: usize,
    /// The token's text.
    pub token: String,
    /// Weight on this token, mean over all layers and heads.
    pub mass_mean: f64,
    /// Weight on this token of the head with the largest needle mass.
    pub mass_top_head: f64,
}

/// One row of `served.csv`: what a server said of a trial besides its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServedRow {
    /// Short hash that names the run, as in `results.csv`: with `row_id` the key over tables of several runs.
    pub run_id: String,
    /// Key of the trial.
    pub row_id: String,
    /// Attempts that its answer took.
    pub attempts: u32,
    /// From the first attempt to the answer's end, waits among it.
    pub seconds: f64,
    /// Tokens of the prompt as counted here.
    pub prompt_tokens_here: usize,
    /// Tokens of the prompt as the server counts them.
    pub prompt_tokens: Option<usize>,
    /// Of these, those that it had computed before.
    pub cached_tokens: Option<usize>,
    /// Tokens of the answer, a thought among them.
    pub completion_tokens: Option<usize>,
    /// Why the answer ended, in the server's word.
    pub finish_reason: String,
    /// The model that answered, by the server's name.
    pub served_model: String,
    /// What the server calls its state.
    pub system_fingerprint: String,
}
