//! Attention on the CPU without a score matrix: query blocks against key blocks, with an online normaliser.
//!
//! For each row the running maximum `m`, the running sum `l` and the running mix `o` are updated a block of
//! keys at a time (arXiv 1805.02867, arXiv 2205.14135): `m' = max(m, max z)`, `p = exp(z - m')`,
//! `l' = l exp(m - m') + sum p`, `o' = o exp(m - m') + p v`; at the end `o / l`, with the sink of a head that
//! has one in `l`. Memory is a block of scores a thread, whatever the length. [`super::reference`] says the
//! same in plain operations; tests hold the two together.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::blocked::of_seen;
use super::online::{cap, weigh};
use super::source::{Source, with_given};
use super::storage::with_rows;
use super::{RowRule, View};
use crate::kernel::Running;
use crate::kernel::gemm::{Into, Matrix, multiply};

/// Rows in a block, queries of all heads that share keys: an eighth of the keys that a query sees, so that
/// few are looked at in vain, within these bounds, but of every head the least. Many rows use a key well
/// while it is in the cache.
const ROWS: (usize, usize) = (32, 256);
/// Keys in a block: its scores and keys stay in the second-level cache.
const KEY_BLOCK: usize = 512;
/// Scores that a block of whole rows holds at most, but never less than those of a row of each head: a
/// megabyte.
const WHOLE_ROWS: usize = 1 << 18;

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over `keys` and `values`
/// `[kv_heads, s, d]`. All in f32 on the CPU.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    with_given(keys, values, |kv_heads, keys, values| mix_over(queries, kv_heads, keys, values, view))
}

/// The same over the keys and values of `kv_heads` heads, wherever they come from. Key blocks that no row of
/// a query block sees are passed over, so a window costs its width.
pub(super) fn mix_over(
    queries: &Tensor,
    kv_heads: usize,
    keys: &impl Source,
    values: &impl Source,
    view: View<'_>,
) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let groups = heads / kv_heads;
    let seen = view.visible(t - 1).len();
    let height = match view.row_rule {
        None => query_block(seen, groups),
        Some(_) => (WHOLE_ROWS / (groups * seen)).clamp(1, ROWS.0),
    };
    let queries = queries.contiguous()?;
    let mut mixed = vec![0f32; t * heads * d]; // [t, heads * d]
    with_rows(&queries, |query_rows| {
        // The longest blocks come first, and each is handed out by itself, so that the threads end together.
        let starts: Vec<usize> = (0..t).step_by(height).rev().collect();
        let blocks: Vec<_> =
            starts.iter().flat_map(|&start| (0..kv_heads).map(move |kv| (start, kv))).collect();
        let done: Vec<_> = blocks
            .par_iter()
            .with_max_len(1)
            .map(|&(start, kv)| {
                let rows = height.min(t - start);
                let block = Block { start, rows, kv, groups, d, view };
                let query = |g: usize| &query_rows.matrix(kv * groups + g)[start * d..(start + rows) * d];
                // [groups * rows, d]
                let query: Vec<f32> = (0..groups).flat_map(query).copied().collect();
                (start, kv, block.mix(&query, keys, values))
            })
            .collect();
        for (start, kv, block) in done {
            for (row, mix) in block.chunks_exact(d).enumerate() {
                let (group, i) = (row / (block.len() / d / groups), row % (block.len() / d / groups));
                let at = (start + i) * heads * d + (kv * groups + group) * d;
                mixed[at..at + d].copy_from_slice(mix);
            }
        }
        Ok(())
    })?;
    Tensor::from_vec(mixed, (t, heads * d), queries.device())
}

/// Queries of one head in a block, where each sees so many keys and so many heads share them.
fn query_block(keys: usize, groups: usize) -> usize {
    let (least, most) = ROWS;
    ((keys / 8).clamp(least, most) / groups).max(least)
}

/// A block of queries: `rows` positions of `groups` heads that share their keys.
struct Block<'a> {
    start: usize,
    rows: usize,
    kv: usize,
    groups: usize,
    d: usize,
    view: View<'a>,
}

impl Block<'_> {
    /// `[groups * rows, d]` mixed values of `query` `[groups * rows, d]`.
    fn mix(&self, query: &[f32], keys: &impl Source, values: &impl Source) -> Vec<f32> {
        match self.view.row_rule {
            None => self.mix_online(query, keys, values),
            Some(rule) => self.mix_whole(rule, query, keys, values),
        }
    }

    /// The same under a rule that needs the scores of a row all at once: memory of the block's rows times
    /// their keys.
    fn mix_whole(
        &self,
        rule: &dyn RowRule,
        query: &[f32],
        keys: &impl Source,
        values: &impl Source,
    ) -> Vec<f32> {
        let (d, height) = (self.d, self.groups * self.rows);
        let visible = |row: usize| self.view.visible(self.start + row % self.rows);
        let seen = visible(0).start..visible(self.rows - 1).end;
        let width = seen.len();
        let (mut key_room, mut value_room) = (Vec::new(), Vec::new());
        let (keys, stride) = keys.rows(self.kv, seen.clone(), &mut key_room);
        let keys = Matrix::strided(keys, width, d, stride);
        let (values, stride) = values.rows(self.kv, seen.clone(), &mut value_room);
        let values = Matrix::strided(values, width, d, stride);
        let mut scores = vec![0f32; height * width]; // [height, width]
        multiply(Matrix::new(query, height, d), keys.t(), Into::Write, &mut scores, width);
        cap(self.view, &mut scores);
        for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
            let head = self.kv * self.groups + row / self.rows;
            self.view.finish(head, self.start + row % self.rows, seen.clone(), scores);
            let visible = visible(row);
            let (start, end) = (visible.start - seen.start, visible.end - seen.start);
            let sink = self.view.sinks.map_or(f32::NEG_INFINITY, |sinks| sinks[head]);
            let hidden = self.view.hidden(self.start + row % self.rows, visible);
            of_seen(&mut scores[start..end], hidden, |scores| rule.weigh(scores, sink));
            scores[..start].fill(0.0);
            scores[end..].fill(0.0);
        }
        let mut mixed = vec![0f32; height * d]; // [height, d]
        multiply(Matrix::new(&scores, height, width), values, Into::Write, &mut mixed, d);
        mixed
    }

    /// The same a block of keys at a time.
    fn mix_online(&self, query: &[f32], keys: &impl Source, values: &impl Source) -> Vec<f32> {
        let (d, height) = (self.d, self.groups * self.rows);
        let first_head = self.kv * self.groups;
        let (mut key_room, mut value_room) = (Vec::new(), Vec::new());
        let mut mixed = vec![0f32; height * d];
        let mut scores = vec![0f32; height * KEY_BLOCK];
        let mut running = vec![Running::default(); height];
        let visible = |row: usize| self.view.visible(self.start + row);
        let seen = visible(0).start..visible(self.rows - 1).end;
        for from in seen.clone().step_by(KEY_BLOCK) {
            let width = KEY_BLOCK.min(seen.end - from);
            let scores = &mut scores[..height * width];
            let (rows, stride) = keys.rows(self.kv, from..from + width, &mut key_room);
            let keys = Matrix::strided(rows, width, d, stride);
            multiply(Matrix::new(query, height, d), keys.t(), Into::Write, scores, width); // [height, width]
            cap(self.view, scores);
            for (row, scores) in scores.chunks_exact_mut(width).enumerate() {
                let place = (first_head + row / self.rows, self.start + row % self.rows);
                let factor = weigh(self.view, place, from..from + width, scores, &mut running[row]);
                mixed[row * d..(row + 1) * d].iter_mut().for_each(|x| *x *= factor);
            }
            let (rows, stride) = values.rows(self.kv, from..from + width, &mut value_room);
            let values = Matrix::strided(rows, width, d, stride);
            multiply(Matrix::new(scores, height, width), values, Into::Add, &mut mixed, d); // [height, d]
        }
        for (row, (mix, running)) in mixed.chunks_exact_mut(d).zip(&running).enumerate() {
            let sum = running.sum + self.view.sink(first_head + row / self.rows, running.max);
            mix.iter_mut().for_each(|x| *x /= sum);
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::variant::{self, VariantInputs};
    use crate::attention::{AlibiBias, Forgetting, ScoreBias, Window, plain_view, reference};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use crate::spec::{Alibi, LayerSpec};
    use candle_core::{DType, Device};

    fn random(rng: &mut Rng, shape: (usize, usize, usize), scale: f64) -> Tensor {
        let numbers = numbers(rng, shape.0 * shape.1 * shape.2, scale);
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn rules_of_whole_rows_and_of_distances_agree_with_the_reference_whatever_the_chunk() {
        let mut rng = Rng::new(9);
        let layers = vec![LayerSpec::default()];
        for (name, chunk, window, softcap, sinks, blocked) in
            ["topk:7", "entmax15", "adaptive-temperature", "scale-invariant", "softpick", "stick-breaking"]
                .into_iter()
                .flat_map(|name| {
                    [
                        (name, 1, Window::Full, None),
                        (name, 7, Window::Full, Some(5.0)),
                        (name, 64, Window::Sliding(24), None),
                        (name, 700, Window::Full, None),
                        (name, 700, Window::Sliding(300), Some(3.0)),
                        (name, 64, Window::Chunked(300), None),
                    ]
                })
                .flat_map(|(name, chunk, window, softcap)| {
                    let kept = matches!(name, "topk:7" | "scale-invariant");
                    [None, kept.then_some(&[1.0, 3.0, 0.0, -2.0][..])]
                        .into_iter()
                        .map(move |sinks| (name, chunk, window, softcap, sinks))
                })
                .flat_map(|(name, chunk, window, softcap, sinks)| {
                    let blocked = [&[][..], &[2..5, 4..30, 120..400][..]];
                    blocked.map(|blocked| (name, chunk, window, softcap, sinks, blocked))
                })
        {
            let (heads, kv_heads, d) = (4, 2, 8);
            let s = if chunk == 1 { 70 } else { 700 };
            let inputs = VariantInputs { layers: &layers, heads, ..VariantInputs::default() };
            let variant = variant::build(name, &inputs).unwrap();
            let distances = variant.distances(0, s);
            let queries = random(&mut rng, (heads, s, d), 4.0);
            let keys = random(&mut rng, (kv_heads, s + 9, d), 2.0);
            let values = random(&mut rng, (kv_heads, s + 9, d), 1.0);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let (distances, row_rule) = (distances.as_ref(), variant.row_rule(0));
                let view = View {
                    softcap,
                    sinks,
                    distances,
                    row_rule,
                    blocked,
                    ..plain_view(first_position, window)
                };
                let given = first_position + t - view.first_key;
                let chunk = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, view.first_key, given).unwrap();
                let values = values.narrow(1, view.first_key, given).unwrap();
                let fused = mix(&chunk, &keys, &values, view).unwrap();
                let plain = reference::mix(&chunk, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = (fused - plain).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f32>().unwrap();
                assert!(
                    off < 5e-6,
                    "{name}, {window:?}, {softcap:?}, {sinks:?}, {first_position}: off by {off}"
                );
            }
        }
    }

    #[test]
    fn fused_and_reference_attention_agree_whatever_the_chunk() {
        let mut rng = Rng::new(3);
        for (((heads, kv_heads, d, s, chunk, window, softcap), sinks), blocked) in [
            (4, 2, 8, 70, 1, Window::Full, None),
            (4, 2, 8, 70, 7, Window::Full, None),
            (9, 3, 64, 600, 64, Window::Full, None),
            (2, 2, 16, 600, 600, Window::Full, Some(5.0)),
            (3, 1, 5, 259, 259, Window::Full, None),
            (4, 2, 8, 700, 700, Window::Sliding(24), None),
            (4, 2, 8, 700, 64, Window::Sliding(300), None),
            (4, 2, 8, 700, 700, Window::Chunked(40), None),
            (4, 2, 8, 700, 64, Window::Chunked(300), None),
            (4, 2, 8, 70, 7, Window::Chunked(10), None),
            (4, 2, 8, 70, 1, Window::Sliding(24), Some(3.0)),
        ]
        .into_iter()
        .zip([None, Some([1.0, 30.0, 0.0, -2.0])].into_iter().cycle())
        .flat_map(|case| [(case, &[][..]), (case, &[2..5, 4..30, 300..560, 40..41][..])])
        {
            let sinks = sinks.filter(|_| heads == 4);
            let queries = random(&mut rng, (heads, s, d), 4.0);
            // A longer buffer than is filled, as the cache has.
            let keys = random(&mut rng, (kv_heads, s + 9, d), 4.0);
            let values = random(&mut rng, (kv_heads, s + 9, d), 1.0);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let sinks = sinks.as_ref().map(|sinks| &sinks[..]);
                let view = View { softcap, sinks, blocked, ..plain_view(first_position, window) };
                let given = first_position + t - view.first_key;
                let chunk = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, view.first_key, given).unwrap();
                let values = values.narrow(1, view.first_key, given).unwrap();
                let fused = mix(&chunk, &keys, &values, view).unwrap();
                let plain = reference::mix(&chunk, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = (fused - plain).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f32>().unwrap();
                assert!(off < 2e-6, "{heads} heads, {d} wide, {window:?}, {first_position}: off by {off}");
            }
        }
    }

    #[test]
    fn a_bias_is_added_as_the_reference_adds_it() {
        let mut rng = Rng::new(5);
        let (heads, kv_heads, d, s) = (4, 2, 8, 700);
        let [queries, keys, values] = [(heads, 4.0), (kv_heads, 4.0), (kv_heads, 1.0)]
            .map(|(heads, scale)| random(&mut rng, (heads, s, d), scale));
        let alibi = AlibiBias::new(Alibi { scale: 0.5, rounded: false }, heads);
        let mut forgetting = Forgetting::default();
        let gates = |_| (0..s).map(|_| -0.1 * rng.unit()).collect();
        forgetting.put(0, &(0..heads).map(gates).collect::<Vec<_>>());
        let biases: [&dyn ScoreBias; 2] = [&alibi, &forgetting];
        let windows = [(Window::Full, 0), (Window::Sliding(300), 600)];
        for (bias, (window, first_position)) in
            biases.into_iter().flat_map(|bias| windows.map(|of| (bias, of)))
        {
            let view = View { bias: Some(bias), ..plain_view(first_position, window) };
            let t = s - first_position;
            let chunk = queries.narrow(1, first_position, t).unwrap();
            let keys = keys.narrow(1, view.first_key, s - view.first_key).unwrap();
            let values = values.narrow(1, view.first_key, s - view.first_key).unwrap();
            let fused = mix(&chunk, &keys, &values, view).unwrap();
            let plain = reference::mix(&chunk, &keys, &values, view).unwrap();
            let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
            let off = (fused - plain).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 2e-6, "{window:?}: off by {off}");
        }
    }

    #[test]
    fn blocks_grow_with_what_is_seen_and_shrink_with_heads_that_share_keys() {
        let rows = [(16, 1), (800, 1), (100_000, 1), (100_000, 3), (100_000, 64)];
        assert_eq!(rows.map(|(keys, groups)| query_block(keys, groups)), [32, 100, 256, 85, 32]);
    }

    #[test]
    fn only_f32_on_the_cpu_is_read() {
        let tensor = Tensor::zeros((1, 1, 2), DType::F64, &Device::Cpu).unwrap();
        assert!(mix(&tensor, &tensor, &tensor, plain_view(0, Window::Full)).is_err());
    }
}
