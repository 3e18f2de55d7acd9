//! Keys and values of a layer in pages of bf16, and attention over them on the CPU.
//!
//! Pages are shared: a clone holds the same ones, and whoever writes into a page that others hold copies that
//! page alone.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::blocks::{self, Block, seen};
use super::source::Rounded;
use super::{View, few, few_rounded, with_f32};
use crate::kernel::bf16::{Attention, AttentionInParts, PAGE, Page};

/// The keys and values of one layer.
#[derive(Debug, Clone)]
pub struct Pages {
    heads: Vec<Vec<Arc<Page>>>, // [kv_heads][pages]
}

impl Pages {
    /// No keys yet, for `kv_heads` heads of `d` numbers, and room for `tokens` of them. Where the room is
    /// there beforehand, pages lie beside each other, and not among what a chunk needs for a while: there
    /// they would keep apart what is free, and the process would grow.
    #[must_use]
    pub fn new([kv_heads, d, tokens]: [usize; 3]) -> Self {
        let mut pages = Self { heads: vec![Vec::new(); kv_heads] };
        pages.heads.iter_mut().for_each(|pages| make_room(pages, tokens, || Page::new(d)));
        pages
    }

    /// Bytes of `tokens` keys and values of `kv_heads` heads of `head_dim` numbers: whole pages.
    #[must_use]
    pub fn bytes(kv_heads: usize, head_dim: usize, tokens: usize) -> usize {
        tokens.div_ceil(PAGE).saturating_mul(kv_heads * Page::bytes(head_dim))
    }

    /// Writes keys and values at the positions from `first` on, those of each of `parts`
    /// (`[kv_heads, rows, d]`) behind those before; what stood there is gone.
    ///
    /// # Errors
    /// When a tensor is not f32 on the CPU.
    pub fn write(&mut self, first: usize, parts: &[(&Tensor, &Tensor)]) -> Result<()> {
        let mut places = Vec::with_capacity(parts.len());
        let mut end = first;
        for (keys, values) in parts {
            let (_, rows, d) = keys.dims3()?;
            places.push((end..end + rows, d, keys, values));
            end += rows;
        }
        let touched = first / PAGE..end.div_ceil(PAGE);
        let Some(&(_, d, ..)) = places.first() else { return Ok(()) };
        self.heads.iter_mut().for_each(|pages| make_room(pages, end, || Page::new(d)));
        let pages = self.heads.par_iter_mut().enumerate().flat_map(|(head, pages)| {
            let pages = pages[touched.clone()].par_iter_mut().zip(touched.clone());
            pages.map(move |(page, index)| (head, index * PAGE, page))
        });
        pages.try_for_each(|(head, start, page)| {
            let page = Arc::make_mut(page);
            for (place, d, keys, values) in &places {
                let (from, to) = (place.start.max(start), place.end.min(start + PAGE));
                if from < to {
                    let row = head * place.len() + from - place.start;
                    let rows = row * d..(row + to - from) * d;
                    with_f32(keys, |keys| {
                        with_f32(values, |values| {
                            page.fill(from - start, &keys[rows.clone()], &values[rows], *d)
                        })
                    })??;
                }
            }
            Ok(())
        })
    }

    /// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]`. Pages that no row of a block of
    /// queries sees are passed over, so a window costs its width.
    pub(super) fn mix(&self, queries: &Tensor, view: View<'_>) -> Result<Tensor> {
        let (heads, t, _) = queries.dims3()?;
        if few::serves(view, heads / self.heads.len() * t) {
            return few_rounded::mix(queries, self, view);
        }
        self.mix_many(queries, view)
    }

    /// The same of many queries.
    pub(super) fn mix_many(&self, queries: &Tensor, view: View<'_>) -> Result<Tensor> {
        mix_over(queries, self.heads.len(), view, |kv, index| [&*self.heads[kv][index]])
    }

    /// The pages of head `kv` that hold the positions `keys`, and their places in each.
    fn places(&self, kv: usize, keys: Range<usize>) -> impl Iterator<Item = (&Page, Range<usize>)> {
        (keys.start / PAGE..keys.end.div_ceil(PAGE)).map(move |index| {
            let start = index * PAGE;
            (&*self.heads[kv][index], keys.start.max(start) - start..keys.end.min(start + PAGE) - start)
        })
    }

    /// Pages of heads, `[kv_heads][pages]`.
    pub(super) fn of(heads: Vec<Vec<Arc<Page>>>) -> Self {
        Self { heads }
    }

    /// The weights of the one row of scaled `queries` `[heads, 1, d]` over all keys up to its own, for each
    /// head. Query and keys are rounded as they are in [`Self::mix`].
    pub(super) fn weights(&self, queries: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        let seen = seen(view, 0);
        let rows = self.scores(queries, view)?.into_par_iter().enumerate();
        Ok(rows.map(|(head, scores)| normalised(scores, view, head, &seen)).collect())
    }

    /// The products of the one row of scaled `queries` `[heads, 1, d]` with the keys that it sees, for each
    /// head. Query and keys are rounded as they are in [`Self::mix`].
    pub(super) fn scores(&self, queries: &Tensor, view: View<'_>) -> Result<Vec<Vec<f32>>> {
        let (heads, _, d) = queries.dims3()?;
        let groups = heads / self.heads.len();
        let seen = seen(view, 0);
        let of_strip = |pages: &[Arc<Page>], queries: &[f32]| {
            let mut scores = vec![Vec::with_capacity(seen.len()); queries.len() / d]; // [queries][seen keys]
            let mut attention = Attention::new(1, d);
            attention.begin([queries].into_iter());
            let step = Attention::QUERIES;
            for first in (seen.start / step * step..seen.end).step_by(step) {
                let block = attention.scores([&*pages[first / PAGE]], first % PAGE / step); // [keys, queries]
                let keys = seen.start.max(first) - first..seen.end.min(first + step) - first;
                for (query, scores) in scores.iter_mut().enumerate() {
                    scores.extend(block[keys.clone()].iter().map(|row| row[query]));
                }
            }
            scores
        };
        with_f32(queries, |queries| {
            let of_kv_head = |(pages, queries): (&Vec<Arc<Page>>, &[f32])| {
                let strips = queries.chunks(Attention::QUERIES * d);
                strips.flat_map(|queries| of_strip(pages, queries)).collect::<Vec<_>>()
            };
            let scores = self.heads.par_iter().zip(queries.par_chunks(groups * d)).map(of_kv_head);
            scores.collect::<Vec<_>>().concat()
        })
    }
}

impl Rounded for Pages {
    fn kv_heads(&self) -> usize {
        self.heads.len()
    }

    fn products(&self, kv: usize, keys: Range<usize>, queries: &[f32], count: usize) -> Vec<f32> {
        let mut products = vec![0f32; count * keys.len()];
        let mut before = 0;
        for (page, places) in self.places(kv, keys.clone()) {
            let held = places.len();
            page.key_products(places, queries, |query, at, of_keys| {
                products[query * keys.len() + before..][at].copy_from_slice(of_keys);
            });
            before += held;
        }
        products
    }

    fn weighted(&self, kv: usize, keys: Range<usize>, weights: &[&[f32]], d: usize) -> Vec<f32> {
        let mut mixed = vec![0f32; weights.len() * d];
        let mut at = 0;
        for (page, places) in self.places(kv, keys) {
            let of_page = at..at + places.len();
            at = of_page.end;
            page.add_values(places, weights.iter().map(|weights| &weights[of_page.clone()]), &mut mixed);
        }
        mixed
    }
}

/// Mixed values `[t, heads * d]` of many scaled `queries` `[heads, t, d]` over `page(kv, index)`: the parts
/// of each page of a head of keys that they see.
pub(super) fn mix_over<'p, const PARTS: usize>(
    queries: &Tensor,
    kv_heads: usize,
    view: View<'_>,
    page: impl Fn(usize, usize) -> [&'p Page; PARTS] + Sync,
) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let softcap = view.softcap.map(|cap| cap as f32);
    with_f32(queries, |queries| {
        let of_head = |head: usize| &queries[head * t * d..(head + 1) * t * d];
        let meet = |kernels: &mut [AttentionInParts<PARTS>], blocks: &[Block<'_>]| {
            let seen = blocks::seen_of(blocks);
            for index in seen.start / PAGE..seen.end.div_ceil(PAGE) {
                let keys = index * PAGE..(index + 1) * PAGE;
                for (attention, block) in kernels.iter_mut().zip(blocks) {
                    if block.of_those(keys.clone()).is_some() {
                        let (page, visible) = (page(block.kv, index), block.visible(keys.start, PAGE));
                        attention.meet(page, softcap, &visible, &block.hidden(keys.start, PAGE));
                    }
                }
            }
        };
        blocks::mixed(of_head, [heads, kv_heads, t, d], view, meet)
    })?
}

/// Sees to it that the pages of a head hold `tokens` keys.
pub(super) fn make_room<P>(pages: &mut Vec<Arc<P>>, tokens: usize, empty: impl Fn() -> P) {
    pages.resize_with(pages.len().max(tokens.div_ceil(PAGE)), || Arc::new(empty()));
}

/// The softmax of a row's `scores`, capped where a cap is given, over the keys up to its last and the sink of
/// its `head`; 0 before those it has `seen`.
pub(super) fn normalised(mut scores: Vec<f32>, view: View<'_>, head: usize, seen: &Range<usize>) -> Vec<f32> {
    if let Some(cap) = view.softcap {
        scores.iter_mut().for_each(|z| *z = (cap * (f64::from(*z) / cap).tanh()) as f32);
    }
    view.hidden(0, view.visible(0)).for_each(|keys| scores[keys].fill(f32::NEG_INFINITY));
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|z| (z - max).exp()).collect();
    let sum = powers.iter().copied().map(f64::from).sum::<f64>() + f64::from(view.sink(head, max));
    let mut row = vec![0f32; seen.end];
    for (weight, power) in row[seen.clone()].iter_mut().zip(powers) {
        *weight = (f64::from(power) / sum) as f32;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Window, plain_view, reference};
    use crate::kernel::random;
    use crate::rng::Rng;
    use candle_core::{DType, Device};

    fn tensor(rng: &mut Rng, shape: (usize, usize, usize), scale: f64) -> Tensor {
        let numbers = random::numbers(rng, shape.0 * shape.1 * shape.2, scale);
        let numbers = numbers.into_iter().map(|x| half::bf16::from_f32(x).to_f32()).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn paged_and_reference_attention_agree_whatever_the_chunk() {
        let mut rng = Rng::new(31);
        for (((heads, kv_heads, d, s, chunk, window, softcap), sinks), blocked) in [
            (4, 2, 8, 70, 7, Window::Full, None),
            (9, 3, 64, 600, 64, Window::Full, None),
            (2, 2, 48, 600, 600, Window::Full, Some(5.0)),
            (3, 1, 5, 259, 1, Window::Full, None),
            (4, 2, 8, 700, 700, Window::Sliding(24), None),
            (4, 2, 8, 700, 64, Window::Sliding(300), None),
            (4, 2, 8, 700, 64, Window::Chunked(300), Some(3.0)),
            (4, 2, 8, 300, 64, Window::Full, None),
            (4, 2, 8, 300, 1, Window::Sliding(24), None),
        ]
        .into_iter()
        .zip([None, Some([1.0, 9.0, 0.0, -2.0])].into_iter().cycle())
        .flat_map(|case| [(case, &[][..]), (case, &[2..5, 4..30, 120..400, 40..41][..])])
        {
            let sinks = sinks.filter(|_| heads == 4);
            let queries = tensor(&mut rng, (heads, s, d), 2.0);
            let (keys, values) =
                (tensor(&mut rng, (kv_heads, s, d), 2.0), tensor(&mut rng, (kv_heads, s, d), 1.0));
            let mut pages = Pages::new([kv_heads, d, s * (chunk % 2)]);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let new = |tensor: &Tensor| tensor.narrow(1, first_position, t).unwrap();
                pages.write(first_position, &[(&new(&keys), &new(&values))]).unwrap();
                let first_key = window.first_visible(first_position);
                let sinks = sinks.as_ref().map(|sinks| &sinks[..]);
                let view = View { softcap, sinks, blocked, ..plain_view(first_position, window) };
                let given = first_position + t - first_key;
                let queries = queries.narrow(1, first_position, t).unwrap();
                let keys = keys.narrow(1, first_key, given).unwrap().contiguous().unwrap();
                let values = values.narrow(1, first_key, given).unwrap().contiguous().unwrap();
                let plain = reference::mix(&queries, &keys, &values, view).unwrap();
                let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
                let off = (pages.mix(&queries, view).unwrap() - plain).unwrap().abs().unwrap();
                let off = off.max_all().unwrap().to_scalar::<f32>().unwrap();
                // Weights are rounded to bf16, to 2^-9 of themselves, and values are at most 1.
                assert!(
                    off < 1.0 / 256.0,
                    "{heads} heads, {d} wide, {window:?}, {first_position}: off by {off}"
                );

                let query = queries.narrow(1, 0, 1).unwrap();
                let visible = keys.narrow(1, 0, view.visible(0).len()).unwrap();
                let plain = reference::weights(&query, &visible, view).unwrap().squeeze(1).unwrap();
                let plain = plain.pad_with_zeros(1, first_key, 0).unwrap().to_vec2::<f32>().unwrap();
                let found = pages.weights(&query, view).unwrap();
                assert_eq!(found[0].len(), first_position + 1);
                let off = found.iter().flatten().zip(plain.iter().flatten()).map(|(a, b)| (a - b).abs());
                let off = off.fold(0.0, f32::max);
                assert!(off < 1e-5, "weights of {heads} heads, {window:?}, {first_position}: off by {off}");
            }
        }
    }

    #[test]
    fn a_clone_keeps_what_was_written_over_in_the_other() {
        let ones = Tensor::ones((1, 300, 4), DType::F32, &Device::Cpu).unwrap();
        let mut pages = Pages::new([1, 4, 0]);
        pages.write(0, &[(&ones, &ones)]).unwrap();
        let fork = pages.clone();
        let twos = (&ones * 2.0).unwrap().narrow(1, 0, 10).unwrap();
        pages.write(290, &[(&twos, &twos)]).unwrap();
        let key = |pages: &Pages, at: usize| pages.heads[0][at / PAGE].key(at % PAGE).next().unwrap();
        assert_eq!((key(&pages, 289), key(&pages, 290), key(&fork, 290)), (1.0, 2.0, 1.0));
        assert!(Arc::ptr_eq(&pages.heads[0][0], &fork.heads[0][0]), "a page nobody wrote into is shared");
    }
}
