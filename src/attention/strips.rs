//! Attention in f32 on the CPU for rules that are a factor on the query: strips of 32 queries against blocks
//! of keys, nothing packed and no score matrix. [`super::fused`] is for rules that need more of a row, and
//! for few queries.

use candle_core::{Result, Tensor};

use super::View;
use super::blocks::{self, Block};
use super::storage::with_rows;
use crate::kernel::single::{Attention, KEYS};

/// Queries that share their keys below which a strip has too many empty places: one row of a decoded token
/// costs as much as 32.
const LEAST: usize = 16;

/// Whether this computes what `view` asks for, and fast, where `queries` share their keys.
pub(super) fn serves(view: View<'_>, queries: usize) -> bool {
    queries >= LEAST
        && view.row_rule.is_none()
        && view.bias.is_none()
        && view.distances.is_none()
        && view.blocked.is_empty()
}

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over `keys` and `values`
/// `[kv_heads, s, d]`. All in f32 on the CPU. Keys that no row of a block of queries sees are passed over, so
/// a window costs its width.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let kv_heads = keys.dim(0)?;
    let queries = queries.contiguous()?;
    let softcap = view.softcap.map(|cap| cap as f32);
    with_rows(&queries, |queries| {
        with_rows(keys, |keys| {
            with_rows(values, |values| {
                let meet = |kernels: &mut [Attention], blocks: &[Block<'_>]| {
                    let seen = blocks::seen_of(blocks);
                    // The same keys at a time whatever the block.
                    for first in (seen.start / KEYS * KEYS..seen.end).step_by(KEYS) {
                        for (attention, block) in kernels.iter_mut().zip(blocks) {
                            // What is given begins with the first key that the chunk sees.
                            let given = first.max(view.first_key)..first + KEYS;
                            let Some(at) = block.of_those(given) else { continue };
                            let part = (at.start - view.first_key) * d..(at.end - view.first_key) * d;
                            let [keys, values] = [keys, values].map(|of| &of.matrix(block.kv)[part.clone()]);
                            attention.meet(keys, values, softcap, &block.visible(at.start, at.len()));
                        }
                    }
                };
                blocks::mixed(|head| queries.matrix(head), [heads, kv_heads, t, d], view, meet)
            })
        })
    })
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
                assert!(serves(view, LEAST) && !serves(view, LEAST - 1));
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
