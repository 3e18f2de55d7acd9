//! Attention in f32 on the CPU for rules that are a factor on the query: strips of 32 queries against blocks
//! of keys, nothing packed and no score matrix. [`super::fused`] is for rules that need more of a row.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::View;
use super::storage::{Rows, with_rows};
use crate::kernel::bf16::Visible;
use crate::kernel::single::{Attention, KEYS};

/// Whether this computes what `view` asks for.
pub(super) fn serves(view: View<'_>) -> bool {
    view.row_rule.is_none() && view.bias.is_none() && view.distances.is_none() && view.blocked.is_empty()
}

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over `keys` and `values`
/// `[kv_heads, s, d]`. All in f32 on the CPU. Keys that no row of a block of queries sees are passed over, so
/// a window costs its width.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let kv_heads = keys.dim(0)?;
    let queries = queries.contiguous()?;
    let mut mixed = vec![0f32; t * heads * d]; // [t, heads * d]
    with_rows(&queries, |queries| {
        with_rows(keys, |keys| {
            with_rows(values, |values| {
                mix_rows([queries, keys, values], [heads, kv_heads, t, d], view, &mut mixed);
                Ok(())
            })
        })
    })?;
    Tensor::from_vec(mixed, (t, heads * d), queries.device())
}

fn mix_rows(
    [queries, keys, values]: [&Rows<'_>; 3],
    [heads, kv_heads, t, d]: [usize; 4],
    view: View<'_>,
    mixed: &mut [f32],
) {
    let groups = heads / kv_heads;
    let height = Attention::QUERIES.min(t);
    // A few queries of heads that share their keys fit into one strip.
    let together = groups * height <= Attention::QUERIES;
    let strips = if together { 1 } else { groups };
    let mut blocks: Vec<_> =
        (0..t.div_ceil(height) * kv_heads).map(|block| (block, Vec::with_capacity(height))).collect();
    for (index, rows) in mixed.chunks_exact_mut(groups * d).enumerate() {
        let (row, kv) = (index / kv_heads, index % kv_heads);
        blocks[row / height * kv_heads + kv].1.push(rows);
    }
    // The longest blocks come first, and each is handed out by itself, so that the threads end together.
    blocks.into_par_iter().rev().with_max_len(1).for_each_init(
        || Attention::new(strips, d),
        |attention, (block, out)| {
            let (start, kv, rows) = (block / kv_heads * height, block % kv_heads, out.len());
            let query = |group: usize| &queries.matrix(kv * groups + group)[start * d..(start + rows) * d];
            if together {
                // [groups * rows, d]
                let queries: Vec<f32> = (0..groups).flat_map(query).copied().collect();
                attention.begin([&queries[..]].into_iter());
            } else {
                attention.begin((0..groups).map(query));
            }
            let strip_rows = if together { groups * rows } else { rows };
            let seen = view.visible(start).start..view.visible(start + rows - 1).end;
            let softcap = view.softcap.map(|cap| cap as f32);
            for from in seen.clone().step_by(KEYS) {
                let part = from * d..seen.end.min(from + KEYS) * d;
                let visible = visible(view, start, rows, strip_rows, from);
                let [keys, values] = [keys, values].map(|of| &of.matrix(kv)[part.clone()]);
                attention.meet(keys, values, softcap, &visible);
            }
            for (row, out) in out.into_iter().enumerate() {
                for (group, out) in out.chunks_exact_mut(d).enumerate() {
                    let (strip, row) = if together { (0, group * rows + row) } else { (group, row) };
                    attention.finish(strip, row, |largest| view.sink(kv * groups + group, largest), out);
                }
            }
        },
    );
}

/// What the queries of a strip, the `rows` from `start` on of one head or of several, see of the keys from
/// `from` on. Places of a strip without a query see everything, which is the least work.
fn visible(view: View<'_>, start: usize, rows: usize, strip_rows: usize, from: usize) -> Visible {
    let mut visible = Visible { start: [0; Attention::QUERIES], end: [i32::MAX; Attention::QUERIES] };
    let place = |position: usize| position.saturating_sub(from).min(KEYS) as i32;
    for row in 0..strip_rows {
        let seen = view.visible(start + row % rows);
        (visible.start[row], visible.end[row]) = (place(seen.start), place(seen.end));
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Window, plain_view, reference};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use candle_core::Device;

    #[test]
    fn strips_and_reference_attention_agree_whatever_the_chunk() {
        let mut rng = Rng::new(3);
        let mut random = |shape: (usize, usize, usize), scale| {
            let numbers = numbers(&mut rng, shape.0 * shape.1 * shape.2, scale);
            Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
        };
        for (heads, kv_heads, d, s, chunk, window, softcap, sinks) in [
            (4, 2, 8, 70, 1, Window::Full, None, None),
            (4, 2, 8, 70, 7, Window::Full, None, Some([1.0, 30.0, 0.0, -2.0])),
            (9, 3, 64, 600, 64, Window::Full, None, None),
            (2, 2, 16, 600, 600, Window::Full, Some(5.0), None),
            (3, 1, 5, 259, 259, Window::Full, None, None),
            (4, 2, 8, 700, 700, Window::Sliding(24), None, Some([1.0, 30.0, 0.0, -2.0])),
            (4, 2, 8, 700, 64, Window::Sliding(300), None, None),
            (4, 2, 8, 700, 700, Window::Chunked(40), None, None),
            (4, 2, 8, 70, 1, Window::Sliding(24), Some(3.0), None),
        ] {
            let queries = random((heads, s, d), 4.0);
            // A longer buffer than is filled, as the cache has.
            let (keys, values) = (random((kv_heads, s + 9, d), 4.0), random((kv_heads, s + 9, d), 1.0));
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let sinks = sinks.as_ref().map(|sinks| &sinks[..]);
                let view = View { softcap, sinks, ..plain_view(first_position, window) };
                assert!(serves(view));
                let given = first_position + t - view.first_key;
                let chunk = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, view.first_key, given).unwrap();
                let values = values.narrow(1, view.first_key, given).unwrap();
                let found = mix(&chunk, &keys, &values, view).unwrap();
                let plain = reference::mix(&chunk, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = (found - plain).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f32>().unwrap();
                assert!(off < 2e-6, "{heads} heads, {d} wide, {window:?}, {first_position}: off by {off}");
            }
        }
    }
}
