//! From queries, keys and values to mixed values: the one place where scores become weights. Rules that
//! normalise are here, the one that does not in [`screening`].
//!
//! Masking, chunks, grouped heads, variants and probing happen here. Row `i` (absolute position) sees the `n`
//! keys from the first of its [`Window`] to itself: `n = i + 1` without one, `n = min(i + 1, w)` for a
//! sliding one of width `w`. A chunk of queries begins at any position; nothing depends on how a prompt was
//! cut.

mod bias;
mod blocked;
mod blocks;
mod distances;
mod few;
mod few_rounded;
mod fused;
mod gated;
pub mod keys;
mod online;
mod pages;
pub(crate) mod parts;
pub mod probe;
mod reference;
mod row_multipliers;
mod row_pages;
mod row_rule;
mod rows;
mod scores;
pub mod screening;
pub(crate) mod selected;
mod sharpness;
mod source;
mod storage;
mod strips;
pub mod variant;

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

pub use crate::spec::Window;
pub use bias::{AlibiBias, Forgetting, ScoreBias};
pub use blocked::Blocked;
pub use distances::Distances;
pub use gated::Gated;
pub use pages::Pages;
pub use probe::AttentionProbe;
pub use row_multipliers::RowMultipliers;
pub use row_pages::RowPages;
pub use row_rule::{RowRule, TrainedRule};
pub use rows::AttentionRows;
pub use scores::SpanScores;
pub use sharpness::{Sharpness, SharpnessProbe, largest_of_check};
pub use variant::AttentionVariant;
use variant::QueryRow;

use crate::kernel::scale_rows;
pub(crate) use storage::{contiguous, with_f32};

/// What one layer's attention needs besides its tensors.
#[derive(Clone, Copy)]
pub struct AttentionContext<'a> {
    /// Index of the layer.
    pub layer: usize,
    /// Absolute position of the first query row.
    pub first_position: usize,
    /// Factor on `q · k`.
    pub scale: f64,
    /// The keys that a row sees.
    pub window: Window,
    /// Soft cap `c tanh(z / c)` on scores.
    pub softcap: Option<f64>,
    /// What is added to scores, behind the cap and whatever the rule.
    pub bias: Option<&'a dyn ScoreBias>,
    /// Keys that rows behind them do not see, as of [`Blocked::at`].
    pub blocked: &'a [Range<usize>],
    /// The rule that turns scores into weights.
    pub variant: &'a dyn AttentionVariant,
    /// What the rule has read from the rows, where it [does](AttentionVariant::reads_rows).
    pub multipliers: Option<&'a RowMultipliers>,
}

impl<'a> AttentionContext<'a> {
    /// The keys that are kept from the row at this absolute position.
    pub(crate) fn hidden(self, position: usize) -> impl Iterator<Item = Range<usize>> + 'a {
        blocked::hidden(self.blocked, position, 0..position + 1)
    }
}

/// Takes in attention weights of some query rows while a decoder runs.
pub trait AttentionRecorder: Send {
    /// Absolute positions of the query rows it asks for.
    fn rows(&self) -> Range<usize>;

    /// Whether rows come with their raw scores, which are computed for it alone.
    fn wants_scores(&self) -> bool {
        false
    }

    /// Takes in the weights of one head at one query row.
    fn record(&mut self, row: HeadRow<'_>);
}

/// The weights of one head at one query row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HeadRow<'a> {
    /// Index of the layer.
    pub layer: usize,
    /// Query head, or tile.
    pub head: usize,
    /// Absolute position of the query.
    pub row: usize,
    /// Weights over keys `0..=row`.
    pub weights: &'a [f32],
    /// Under screening, the number of keys inside the tile's window.
    pub window: Option<usize>,
    /// Where an output gate stands behind, the mean of what it lets through of this head at this row, 0 to 1.
    pub gate: Option<f32>,
    /// Where the recorder [wants](AttentionRecorder::wants_scores) them and the rule has scores: the scaled
    /// score `scale q·k` of each of these keys, before the multiplier of the variant, the soft cap and
    /// biases; minus infinity for a key that the row does not see.
    pub scores: Option<&'a [f32]>,
    /// The `s` of a rule that multiplies scores by `s ln n`.
    pub log_scale: Option<f32>,
}

/// The rows of a chunk of `t` queries from `first_position` on that `recorder` asks for.
fn asked_rows(recorder: &(dyn AttentionRecorder + '_), first_position: usize, t: usize) -> Range<usize> {
    let asked = recorder.rows();
    asked.start.max(first_position)..asked.end.min(first_position + t)
}

/// Which keys the rows of a chunk see, how their scores are capped, and what is in the normaliser besides.
#[derive(Clone, Copy)]
struct View<'a> {
    /// Absolute position of the first query.
    first_position: usize,
    /// Absolute position of the first key that is given.
    first_key: usize,
    window: Window,
    softcap: Option<f64>,
    /// `[heads]`, as [`AttentionVariant::sinks`] gives them.
    sinks: Option<&'a [f32]>,
    /// What is added to scores.
    bias: Option<&'a dyn ScoreBias>,
    /// What becomes of scores by the distance of their keys.
    distances: Option<&'a Distances>,
    /// What makes weights of a row's scores, in the place of Softmax.
    row_rule: Option<&'a dyn RowRule>,
    /// Keys, by their absolute positions, that rows behind them do not see.
    blocked: &'a [Range<usize>],
}

impl<'a> View<'a> {
    /// Of a chunk whose first query is at `first_position`.
    fn new(first_position: usize, context: AttentionContext<'a>) -> Self {
        let first_key = context.window.first_visible(first_position);
        let sinks = context.variant.sinks(context.layer);
        let row_rule = context.variant.row_rule(context.layer);
        let AttentionContext { window, softcap, bias, blocked, .. } = context;
        Self { first_position, first_key, window, softcap, sinks, bias, distances: None, row_rule, blocked }
    }

    /// Changes `scores` of keys by their distance, and adds the bias: both of head `head` at `row` of the
    /// chunk and of the given keys `keys`.
    fn finish(&self, head: usize, row: usize, keys: Range<usize>, scores: &mut [f32]) {
        if let Some(distances) = self.distances {
            let keys = keys.start + self.first_key..keys.end + self.first_key;
            distances.change(self.first_position + row, keys, scores);
        }
        self.add_bias(head, row, keys, scores);
    }

    /// Refuses what kernels of keys in another precision than f32 do not know.
    fn refuse_rules(&self) -> Result<()> {
        if self.distances.is_some() || self.row_rule.is_some() || self.bias.is_some() {
            candle_core::bail!("this attention variant needs keys and values in f32");
        }
        Ok(())
    }

    /// Adds the bias to `scores`, those of head `head` at `row` of the chunk and of the given keys `keys`.
    fn add_bias(&self, head: usize, row: usize, keys: Range<usize>, scores: &mut [f32]) {
        if let Some(bias) = self.bias {
            let keys = keys.start + self.first_key..keys.end + self.first_key;
            bias.add(head, self.first_position + row, keys, scores);
        }
    }

    /// What the sink of query head `head` adds to the sum of `exp(z - level)`.
    fn sink(&self, head: usize, level: f32) -> f32 {
        self.sinks.map_or(0.0, |sinks| (sinks[head] - level).exp())
    }

    /// The given keys, counted from the first of them, that query `row` of the chunk sees.
    fn visible(&self, row: usize) -> Range<usize> {
        let row = self.first_position + row;
        self.window.first_visible(row) - self.first_key..row + 1 - self.first_key
    }

    /// The parts of the given keys `keys` that are kept from query `row` of the chunk, counted from the first
    /// of `keys`.
    fn hidden(&self, row: usize, keys: Range<usize>) -> impl Iterator<Item = Range<usize>> + 'a {
        let keys = keys.start + self.first_key..keys.end + self.first_key;
        blocked::hidden(self.blocked, self.first_position + row, keys)
    }
}

/// The keys and values of every position up to the last query, `s = first_position + t`.
#[derive(Debug, Clone)]
pub enum Cached<'a> {
    /// In tensors.
    Tensors {
        /// `[kv_heads, s, d]`.
        keys: Tensor,
        /// `[kv_heads, s, d]`.
        values: Tensor,
        /// Whether many queries multiply numbers in parts of bf16, on the CPU.
        in_parts: bool,
    },
    /// In pages of bf16, for the kernels of that precision.
    Pages(&'a Pages),
    /// In pages of rows that are widened to f32.
    Rows(&'a RowPages),
}

impl Cached<'_> {
    /// The weights of the one row of scaled `query` `[heads, 1, d]` over all keys up to its own, for each
    /// head.
    fn weights(&self, query: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Tensors { keys, .. } => {
                let visible = view.visible(0).len();
                let keys = keys.narrow(1, view.first_key, visible)?; // [kv_heads, n, d]
                let weights = reference::weights(query, &keys, view)?; // [heads, 1, n]
                weights.squeeze(1)?.pad_with_zeros(1, view.first_key, 0)?.to_vec2() // [heads, row + 1]
            }
            Self::Pages(pages) => {
                view.refuse_rules()?;
                pages.weights(query, view)
            }
            Self::Rows(pages) => {
                view.refuse_rules()?;
                pages.weights(query, view)
            }
        }
    }

    /// The products of the one row of scaled `query` `[heads, 1, d]` with all keys up to its own, for each
    /// head; minus infinity for keys that the row does not see.
    fn scores(&self, query: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        let seen = match self {
            Self::Tensors { keys, .. } => {
                let keys = keys.narrow(1, view.first_key, view.visible(0).len())?; // [kv_heads, n, d]
                let scores = reference::scores(query, &keys)?; // [heads, 1, n]
                scores.squeeze(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()? // [heads, n]
            }
            Self::Pages(pages) => pages.scores(query, view)?, // [heads, n]
            Self::Rows(pages) => pages.scores(query, view)?,  // [heads, n]
        };
        let unseen = vec![f32::NEG_INFINITY; view.first_key];
        let row = |mut seen: Vec<f32>| {
            view.hidden(0, view.visible(0)).for_each(|keys| seen[keys].fill(f32::NEG_INFINITY));
            [&unseen[..], &seen].concat()
        };
        Ok(seen.into_iter().map(row).collect()) // [heads, row + 1]
    }

    /// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]`.
    fn mix(&self, queries: &Tensor, view: View<'_>) -> Result<Tensor> {
        let (heads, t, d) = queries.dims3()?;
        let (keys, values, in_parts) = match self {
            Self::Tensors { keys, values, in_parts } => (keys, values, *in_parts),
            Self::Pages(pages) => {
                view.refuse_rules()?;
                return pages.mix(queries, view);
            }
            Self::Rows(pages) => {
                view.refuse_rules()?;
                return pages.mix(queries, view);
            }
        };
        let given = view.visible(t - 1).end;
        let (keys, values) =
            (keys.narrow(1, view.first_key, given)?, values.narrow(1, view.first_key, given)?);
        if queries.device().is_cpu() && queries.dtype() == DType::F32 {
            let sharing = heads / keys.dim(0)? * t;
            return if few::serves(view, sharing) {
                few::mix(queries, &keys, &values, view)
            } else if strips::serves(view, sharing) && in_parts {
                parts::mix(queries, &keys, &values, view)
            } else if strips::serves(view, sharing) {
                strips::mix(queries, &keys, &values, view)
            } else {
                fused::mix(queries, &keys, &values, view)
            };
        }
        let mixed = reference::mix(queries, &keys, &values, view)?; // [heads, t, d]
        mixed.transpose(0, 1)?.reshape((t, heads * d)) // [t, heads * d]
    }
}

/// Mixes values for a chunk of queries.
///
/// `queries` `[heads, t, d]` begin at `context.first_position`. Returns `[t, heads * d]`.
///
/// # Errors
/// When shapes do not fit together or memory is out.
pub fn attend(queries: &Tensor, cached: &Cached<'_>, context: AttentionContext<'_>) -> Result<Tensor> {
    let queries = scaled_queries(queries, context)?; // [heads, t, d]
    let distances = context.variant.distances(context.layer, context.first_position + queries.dim(1)?);
    let view = View { distances: distances.as_ref(), ..View::new(context.first_position, context) };
    cached.mix(&queries, view) // [t, heads * d]
}

/// Records the weights of those rows of a chunk that `recorder` asks for; `queries` as [`attend`] takes them.
///
/// # Errors
/// As of [`attend`].
pub fn record(
    queries: &Tensor,
    cached: &Cached<'_>,
    context: AttentionContext<'_>,
    recorder: &mut (dyn AttentionRecorder + '_),
) -> Result<()> {
    let (_, t, _) = queries.dims3()?;
    let asked = asked_rows(recorder, context.first_position, t);
    let distances = context.variant.distances(context.layer, asked.end);
    for row in asked {
        let query = queries.narrow(1, row - context.first_position, 1)?; // [heads, 1, d]
        let context = AttentionContext { first_position: row, ..context };
        let view = View { distances: distances.as_ref(), ..View::new(row, context) };
        let scaled = scaled_queries(&query, context)?; // [heads, 1, d]
        let weights = cached.weights(&scaled, view)?; // [heads][row + 1]
        let scores = match recorder.wants_scores() {
            true => Some(cached.scores(&times(&query, &[context.scale as f32])?, view)?), // [heads][row + 1]
            false => None,
        };
        let log_scales = context.variant.log_scales(context.layer);
        for (head, weights) in weights.iter().enumerate() {
            recorder.record(HeadRow {
                layer: context.layer,
                head,
                row,
                weights,
                scores: scores.as_ref().map(|scores| &scores[head][..]),
                log_scale: log_scales.map(|scales| scales[head]),
                ..HeadRow::default()
            });
        }
    }
    Ok(())
}

/// Queries times `scale * m(i)`: a variant of the Softmax family is a factor on each query row.
fn scaled_queries(queries: &Tensor, context: AttentionContext<'_>) -> Result<Tensor> {
    let t = queries.dim(1)?;
    let view = View::new(context.first_position, context);
    let row = |row| QueryRow { position: context.first_position + row, visible: view.visible(row).len() };
    let rows: Vec<QueryRow> = (0..t).map(row).collect();
    scaled_rows(queries, context, &rows)
}

/// The same for `rows` that see other keys than those of a window.
fn scaled_rows(queries: &Tensor, context: AttentionContext<'_>, rows: &[QueryRow]) -> Result<Tensor> {
    let (variant, layer) = (context.variant, context.layer);
    let lacks_multipliers = context.multipliers.is_none() && variant.reads_rows(layer);
    if lacks_multipliers || (context.bias.is_none() && variant.forgets(layer)) {
        candle_core::bail!("this attention variant needs the rows that queries are made of");
    }
    let multipliers = match context.multipliers {
        Some(read) => Some(read.of(rows)),
        None => variant.multipliers(layer, rows),
    };
    let factors = match multipliers {
        None => vec![context.scale as f32],
        Some(rows) => rows.iter().flatten().map(|m| (context.scale * f64::from(*m)) as f32).collect(),
    };
    times(queries, &factors)
}

/// Queries `[heads, t, d]` times factors `[heads, t]`, `[t]` or `[1]`.
fn times(queries: &Tensor, factors: &[f32]) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    if queries.device().is_cpu() && queries.dtype() == DType::F32 {
        let scaled = with_f32(queries, |queries| scale_rows(queries, d, factors))?;
        return Tensor::from_vec(scaled, (heads, t, d), queries.device());
    }
    let rows = if factors.len() < t { 1 } else { t };
    // [heads or 1, t or 1, 1]
    let factors = Tensor::from_slice(factors, (factors.len() / rows, rows, 1), queries.device())?;
    queries.broadcast_mul(&factors)
}

/// The view of a plain Softmax over the keys from the first that a chunk sees.
#[cfg(test)]
fn plain_view(first_position: usize, window: Window) -> View<'static> {
    View {
        first_position,
        first_key: window.first_visible(first_position),
        window,
        softcap: None,
        sinks: None,
        bias: None,
        distances: None,
        row_rule: None,
        blocked: &[],
    }
}
