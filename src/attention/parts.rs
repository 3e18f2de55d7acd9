//! Attention of many queries over keys and values in f32 by the kernels of the CPU for bf16, of numbers in
//! parts: pages of the parts of a head are there for as long as a chunk meets them.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::View;
use super::blocks::{self, seen};
use super::pages::mix_over;
use super::storage::with_rows;
use crate::kernel::bf16::{PAGE, PARTS, Page, rest};

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over `keys` and `values`
/// `[kv_heads, s, d]`, which begin with the first key that the chunk sees; what
/// [`strips::mix`](super::strips::mix) computes in f32.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    blocks::by_heads(queries, keys.dim(0)?, view, |kvs, queries, view| {
        let of = |tensor: &Tensor| tensor.narrow(0, kvs.start, kvs.len());
        mix_some(queries, &of(keys)?, &of(values)?, view)
    })
}

/// Bytes of the pages of `tokens` keys and values that are there while `t` queries meet them, of `kv_heads`
/// heads of `d` numbers.
pub(crate) fn bytes(kv_heads: usize, d: usize, tokens: usize, t: usize) -> usize {
    PARTS * super::Pages::bytes(blocks::heads_at_once(t).min(kv_heads), d, tokens)
}

fn mix_some(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    let (_, t, d) = queries.dims3()?;
    let kv_heads = keys.dim(0)?;
    let first = view.first_key / PAGE;
    let seen = first..seen(view, t - 1).end.div_ceil(PAGE);
    let pages = with_rows(keys, |keys| {
        with_rows(values, |values| {
            let of_head = |kv: usize| {
                let page = |index: usize| page([keys, values].map(|of| of.matrix(kv)), d, index, view);
                seen.clone().into_par_iter().map(page).collect::<Vec<_>>()
            };
            Ok((0..kv_heads).into_par_iter().map(of_head).collect::<Vec<_>>()) // [kv_heads][pages]
        })
    })?;
    mix_over(queries, kv_heads, view, |kv, index| pages[kv][index - first].each_ref())
}

/// The parts of a page of a head whose keys and values from `view.first_key` on are given.
fn page([keys, values]: [&[f32]; 2], d: usize, index: usize, view: View<'_>) -> [Page; PARTS] {
    let given = view.first_key..view.first_key + keys.len() / d;
    let places = given.start.max(index * PAGE)..given.end.min((index + 1) * PAGE);
    let rows = (places.start - given.start) * d..(places.end - given.start) * d;
    let (keys, values) = (&keys[rows.clone()], &values[rows]);
    let filled = |keys: &[f32], values: &[f32]| {
        let mut page = Page::new(d);
        page.fill(places.start - index * PAGE, keys, values, d);
        page
    };
    [filled(keys, values), filled(&rest(keys), &rest(values))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Window, plain_view, reference, strips};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use candle_core::Device;

    #[test]
    fn attention_in_parts_is_that_of_f32_but_for_2_to_the_minus_15() {
        let mut rng = Rng::new(67);
        let mut random = |shape: (usize, usize, usize), scale| {
            let numbers = numbers(&mut rng, shape.0 * shape.1 * shape.2, scale);
            Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
        };
        for (heads, kv_heads, d, s, chunk, window, softcap, sinks) in [
            (4, 2, 8, 70, 40, Window::Full, None, Some([1.0, 30.0, 0.0, -2.0])),
            (9, 3, 64, 600, 64, Window::Full, None, None),
            (2, 2, 16, 600, 600, Window::Full, Some(5.0), None),
            (4, 2, 8, 700, 64, Window::Sliding(300), None, None),
            (4, 4, 20, 700, 700, Window::Chunked(40), None, None),
        ] {
            let queries = random((heads, s, d), 1.0);
            // A longer buffer than is filled, as the cache has.
            let (keys, values) = (random((kv_heads, s + 9, d), 1.0), random((kv_heads, s + 9, d), 1.0));
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let sinks = sinks.as_ref().map(|sinks| &sinks[..]);
                let view = View { softcap, sinks, ..plain_view(first_position, window) };
                assert!(strips::serves(view, heads / kv_heads * t));
                let given = first_position + t - view.first_key;
                let chunk = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, view.first_key, given).unwrap();
                let values = values.narrow(1, view.first_key, given).unwrap();
                let found = mix(&chunk, &keys, &values, view).unwrap();
                let plain = reference::mix(&chunk, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = (found - plain).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f32>().unwrap();
                assert!(off < 1.0 / 32768.0, "{heads} heads, {d} wide, {window:?}, {first_position}: {off}");
            }
        }
    }
}
