//! Keys and values of a layer in pages of bf16, and attention over them on the CPU.
//!
//! Pages are shared: a clone holds the same ones, and whoever writes into a page that others hold copies that page alone.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::View;
use crate::kernel::bf16::{PAGE, Page, Strip, Visible, attend, rounded};

/// The keys and values of one layer.
#[derive(Debug, Clone)]
pub struct Pages {
    heads: Vec<Vec<Arc<Page>>>, // [kv_heads][pages]
}

impl Pages {
    /// No keys yet, for `kv_heads` heads.
    #[must_use]
    pub fn new(kv_heads: usize) -> Self {
        Self { heads: vec![Vec::new(); kv_heads] }
    }

    /// Writes `keys` and `values` `[kv_heads, t, d]` at the positions from `first` on; what stood there is gone.
    ///
    /// # Errors
    /// When a tensor is not f32 on the CPU.
    pub fn write(&mut self, first: usize, keys: &Tensor, values: &Tensor) -> Result<()> {
        let (_, t, d) = keys.dims3()?;
        let (keys, values) = (numbers(keys)?, numbers(values)?);
        self.heads.par_iter_mut().enumerate().for_each(|(head, pages)| {
            let mut row = 0;
            while row < t {
                let (page, place) = ((first + row) / PAGE, (first + row) % PAGE);
                let count = (PAGE - place).min(t - row);
                let rows = (head * t + row) * d..(head * t + row + count) * d;
                if pages.len() == page {
                    pages.push(Arc::new(Page::new(d)));
                }
                Arc::make_mut(&mut pages[page]).fill(place, &keys[rows.clone()], &values[rows]);
                row += count;
            }
        });
        Ok(())
    }

    /// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]`. Pages that no row of a block of queries sees are
    /// passed over, so a window costs its width.
    pub(super) fn mix(&self, queries: &Tensor, view: View) -> Result<Tensor> {
        let (heads, t, d) = queries.dims3()?;
        let groups = heads / self.heads.len();
        let queries = numbers(queries)?;
        let starts: Vec<usize> = (0..t).step_by(Strip::QUERIES).rev().collect();
        let blocks: Vec<_> =
            starts.iter().flat_map(|&start| (0..self.heads.len()).map(move |kv| (start, kv))).collect();
        let done: Vec<_> = blocks
            .par_iter()
            .map(|&(start, kv)| {
                let rows = Strip::QUERIES.min(t - start);
                let query = |group: usize| {
                    let at = ((kv * groups + group) * t + start) * d;
                    Strip::new(&queries[at..at + rows * d], d)
                };
                let mut strips: Vec<Strip> = (0..groups).map(query).collect();
                let first_page = seen(view, start).start / PAGE;
                let end = seen(view, start + rows - 1).end;
                let pages = self.heads[kv][first_page..end.div_ceil(PAGE)].iter().map(AsRef::as_ref);
                attend(&mut strips, pages, view.softcap.map(|cap| cap as f32), |page| {
                    visible(view, start, rows, (first_page + page) * PAGE)
                });
                (start, kv, strips.iter().map(Strip::finish).collect::<Vec<_>>())
            })
            .collect();
        let mut mixed = vec![0f32; t * heads * d]; // [t, heads * d]
        for (start, kv, strips) in done {
            for (group, rows) in strips.iter().enumerate() {
                for (row, mix) in rows.chunks_exact(d).enumerate() {
                    let at = (start + row) * heads * d + (kv * groups + group) * d;
                    mixed[at..at + d].copy_from_slice(mix);
                }
            }
        }
        Tensor::from_vec(mixed, (t, heads * d), &Device::Cpu)
    }

    /// The weights of the one row of scaled `queries` `[heads, 1, d]` over all keys up to its own, for each head. Query and
    /// keys are rounded as they are in [`Self::mix`].
    pub(super) fn weights(&self, queries: &Tensor, view: View) -> Result<Vec<Vec<f32>>> {
        let (heads, _, d) = queries.dims3()?;
        let groups = heads / self.heads.len();
        let queries = numbers(queries)?;
        let seen = seen(view, 0);
        let weights = (0..heads).into_par_iter().map(|head| {
            let query: Vec<f32> = queries[head * d..(head + 1) * d].iter().map(|&x| rounded(x)).collect();
            let pages = &self.heads[head / groups];
            let score = |key: usize| {
                let z: f32 = pages[key / PAGE].key(key % PAGE).zip(&query).map(|(k, q)| k * q).sum();
                view.softcap.map_or(z, |cap| (cap * (f64::from(z) / cap).tanh()) as f32)
            };
            let scores: Vec<f32> = seen.clone().map(score).collect();
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = scores.iter().map(|z| (z - max).exp()).collect();
            let sum: f64 = powers.iter().copied().map(f64::from).sum();
            let mut row = vec![0f32; seen.end];
            for (weight, power) in row[seen.clone()].iter_mut().zip(powers) {
                *weight = (f64::from(power) / sum) as f32;
            }
            row
        });
        Ok(weights.collect())
    }
}

/// The absolute positions that `row` of the chunk sees.
fn seen(view: View, row: usize) -> Range<usize> {
    let seen = view.visible(row);
    view.first_key + seen.start..view.first_key + seen.end
}

/// What the `rows` queries from `start` on see of the page whose first key is at `page`.
fn visible(view: View, start: usize, rows: usize, page: usize) -> Visible {
    let mut visible = Visible { start: [0; Strip::QUERIES], end: [0; Strip::QUERIES] };
    let place = |position: usize| {
        if position < page { 0 } else { (position - page).min(PAGE) as i32 }
    };
    for row in 0..rows {
        let seen = seen(view, start + row);
        (visible.start[row], visible.end[row]) = (place(seen.start), place(seen.end));
    }
    visible
}

/// The numbers of a tensor in f32.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Window, reference};
    use crate::kernel::random;
    use crate::rng::Rng;
    use candle_core::DType;

    fn tensor(rng: &mut Rng, shape: (usize, usize, usize), scale: f64) -> Tensor {
        let numbers = random::numbers(rng, shape.0 * shape.1 * shape.2, scale);
        let numbers = numbers.into_iter().map(rounded).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn paged_and_reference_attention_agree_whatever_the_chunk() {
        let mut rng = Rng::new(31);
        for (heads, kv_heads, d, s, chunk, window, softcap) in [
            (4, 2, 8, 70, 7, Window::Full, None),
            (9, 3, 64, 600, 64, Window::Full, None),
            (2, 2, 48, 600, 600, Window::Full, Some(5.0)),
            (3, 1, 5, 259, 1, Window::Full, None),
            (4, 2, 8, 700, 700, Window::Sliding(24), None),
            (4, 2, 8, 700, 64, Window::Sliding(300), None),
            (4, 2, 8, 700, 64, Window::Chunked(300), Some(3.0)),
        ] {
            let queries = tensor(&mut rng, (heads, s, d), 2.0);
            let (keys, values) =
                (tensor(&mut rng, (kv_heads, s, d), 2.0), tensor(&mut rng, (kv_heads, s, d), 1.0));
            let mut pages = Pages::new(kv_heads);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let new = |tensor: &Tensor| tensor.narrow(1, first_position, t).unwrap();
                pages.write(first_position, &new(&keys), &new(&values)).unwrap();
                let first_key = window.first_visible(first_position);
                let view = View { first_position, first_key, window, softcap };
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
        let mut pages = Pages::new(1);
        pages.write(0, &ones, &ones).unwrap();
        let fork = pages.clone();
        let twos = (&ones * 2.0).unwrap().narrow(1, 0, 10).unwrap();
        pages.write(290, &twos, &twos).unwrap();
        let key = |pages: &Pages, at: usize| pages.heads[0][at / PAGE].key(at % PAGE).next().unwrap();
        assert_eq!((key(&pages, 289), key(&pages, 290), key(&fork, 290)), (1.0, 2.0, 1.0));
        assert!(Arc::ptr_eq(&pages.heads[0][0], &fork.heads[0][0]), "a page nobody wrote into is shared");
    }
}
