//! Attention of rows that choose the keys they see (DeepSeek 3.2): an indexer gives every visible key a
//! score, and a row attends to those with the largest alone.
//!
//! `n` of a row is the number of keys that it has chosen. Keys that are blocked are not seen, whether they
//! are chosen or not.

use candle_core::{Result, Tensor};

use super::variant::QueryRow;
use super::{
    AttentionContext, AttentionRecorder, Cached, HeadRow, View, Window, asked_rows, scaled_rows, times,
};

/// The keys that each row of a chunk sees: positions in ascending order, or all up to its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection(Vec<Option<Vec<u32>>>);

impl Selection {
    /// All keys for each of these rows.
    pub(crate) fn all(rows: usize) -> Self {
        Self(vec![None; rows])
    }

    /// Of rows from `first_position` on, `topk` keys each: those with the largest of its `scores`, one a key,
    /// the first of equals. A row that sees no more than that keeps all.
    pub(crate) fn largest(first_position: usize, topk: usize, scores: &[Vec<f32>]) -> Self {
        let of_row = |(row, scores): (usize, &Vec<f32>)| {
            let visible = first_position + row + 1;
            if visible <= topk {
                return None;
            }
            let mut order: Vec<u32> = (0..visible as u32).collect();
            let by_score =
                |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
            order.select_nth_unstable_by(topk - 1, by_score);
            order.truncate(topk);
            order.sort_unstable();
            Some(order)
        };
        Self(scores.iter().enumerate().map(of_row).collect())
    }

    /// The first rows of the chunk that see all keys.
    fn whole(&self) -> usize {
        self.0.iter().take_while(|keys| keys.is_none()).count()
    }
}

/// Mixes values for a chunk of queries `[heads, t, d]` over the keys that each has chosen: `[t, heads * d]`.
pub(crate) fn attend(
    queries: &Tensor,
    cached: &Cached<'_>,
    context: AttentionContext<'_>,
    selection: &Selection,
) -> Result<Tensor> {
    let whole = selection.whole();
    let mut mixed = Vec::new();
    if whole > 0 {
        mixed.push(super::attend(&queries.narrow(1, 0, whole)?, cached, context)?);
    }
    for (row, keys) in selection.0.iter().enumerate().skip(whole) {
        let query = queries.narrow(1, row, 1)?.contiguous()?; // [heads, 1, d]
        let Some(keys) = keys else { continue };
        mixed.push(match chosen(&query, cached, context, row, keys)? {
            (_, Some(Chosen { query, cached, view })) => cached.mix(&query, view)?,
            (_, None) => query.zeros_like()?.flatten_all()?.unsqueeze(0)?,
        }); // [1, heads * d]
    }
    Tensor::cat(&mixed, 0)
}

/// Records the weights of those rows that `recorder` asks for, 0 for keys that a row has not chosen.
pub(crate) fn record(
    queries: &Tensor,
    cached: &Cached<'_>,
    context: AttentionContext<'_>,
    selection: &Selection,
    recorder: &mut (dyn AttentionRecorder + '_),
) -> Result<()> {
    let (_, t, _) = queries.dims3()?;
    for position in asked_rows(recorder, context.first_position, t) {
        let row = position - context.first_position;
        let query = queries.narrow(1, row, 1)?.contiguous()?; // [heads, 1, d]
        let Some(keys) = &selection.0[row] else {
            let context = AttentionContext { first_position: position, ..context };
            super::record(&query, cached, context, recorder)?;
            continue;
        };
        let (keys, chosen) = chosen(&query, cached, context, row, keys)?;
        let wanted = recorder.wants_scores();
        let none = || vec![Vec::new(); queries.dim(0).unwrap_or_default()];
        let (weights, scores) = match chosen {
            Some(Chosen { query: scaled, cached, view }) => {
                let query = times(&query, &[context.scale as f32])?;
                let scores = wanted.then(|| cached.scores(&query, view)).transpose()?;
                (cached.weights(&scaled, view)?, scores)
            }
            None => (none(), wanted.then(none)),
        }; // [heads][seen]
        let log_scales = context.variant.log_scales(context.layer);
        let spread = |of_chosen: &[f32], unseen: f32| {
            let mut row = vec![unseen; position + 1];
            keys.iter().zip(of_chosen).for_each(|(&key, value)| row[key as usize] = *value);
            row
        };
        for (head, of_chosen) in weights.iter().enumerate() {
            let scores = scores.as_ref().map(|scores| spread(&scores[head], f32::NEG_INFINITY));
            recorder.record(HeadRow {
                layer: context.layer,
                head,
                row: position,
                weights: &spread(of_chosen, 0.0),
                scores: scores.as_deref(),
                log_scale: log_scales.map(|scales| scales[head]),
                ..HeadRow::default()
            });
        }
    }
    Ok(())
}

/// A scaled query, the keys and values that its row has chosen, and the view of them as a sequence of their
/// own.
struct Chosen<'a> {
    query: Tensor, // [heads, 1, d]
    cached: Cached<'static>,
    view: View<'a>,
}

/// Those of the chosen `keys` that the row sees, and what it attends to; nothing where all are blocked.
fn chosen<'a>(
    query: &Tensor,
    cached: &Cached<'_>,
    context: AttentionContext<'a>,
    row: usize,
    keys: &[u32],
) -> Result<(Vec<u32>, Option<Chosen<'a>>)> {
    let Cached::Tensors { keys: all_keys, values: all_values, .. } = cached else {
        candle_core::bail!("rows that choose their keys need keys and values in f32");
    };
    let position = context.first_position + row;
    let is_hidden = |key: usize| context.hidden(position).any(|keys| keys.contains(&key));
    let seen: Vec<u32> = keys.iter().copied().filter(|&key| !is_hidden(key as usize)).collect();
    if seen.is_empty() {
        return Ok((seen, None));
    }
    let indices = Tensor::new(&seen[..], query.device())?;
    let of = |tensor: &Tensor| tensor.index_select(&indices, 1); // [kv_heads, n, d]
    let at = QueryRow { position, visible: keys.len() };
    let query = scaled_rows(query, context, &[at])?; // [heads, 1, d]
    let view = View::new(seen.len() - 1, AttentionContext { window: Window::Full, blocked: &[], ..context });
    let cached = Cached::Tensors { keys: of(all_keys)?, values: of(all_values)?, in_parts: false };
    Ok((seen, Some(Chosen { query, cached, view })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_chooses_the_largest_of_the_keys_it_sees_and_the_first_of_equals() {
        let scores =
            [[9.0f32, 0.0, 0.0, 0.0], [1.0, 9.0, 0.0, 0.0], [1.0, 3.0, 1.0, 0.0], [2.0, 5.0, 1.0, 2.0]];
        let scores = scores.map(Vec::from);
        let chosen = Selection::largest(0, 2, &scores);
        assert_eq!(chosen, Selection(vec![None, None, Some(vec![0, 1]), Some(vec![0, 1])]));
        // A chunk that begins later.
        let later = Selection::largest(2, 2, &scores[2..]);
        assert_eq!(later.0, chosen.0[2..]);
        assert_eq!((chosen.whole(), later.whole()), (2, 0));
    }
}
