//! Attention over keys and values in bf16 on the CPU of few queries, as decoding has them: bound by reading
//! keys and values once.
//!
//! Queries and weights are rounded to bf16 as those of strips are ([`crate::kernel::bf16`]), so that it makes
//! no difference how a prompt was cut. What a weight is rounded at depends on all keys before its own, and so
//! the scores of all keys come first: parts of keys are shared out to the threads for scores, rows for
//! weights, and parts again for what is mixed.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::few::{Part, parts, widened};
use super::source::Rounded;
use super::{View, with_f32};
use crate::kernel::bf16::{Page, cap, rounded, weigh_row};

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over the keys and values of `pages`.
/// Keys that no query sees are passed over, so a window costs its width.
pub(super) fn mix(queries: &Tensor, pages: &impl Rounded, view: View<'_>) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let kv_heads = pages.kv_heads();
    let rows = heads / kv_heads * t; // that share the keys of a head
    let seen = view.visible(0).start..view.visible(t - 1).end;
    let parts = parts(kv_heads, &seen);
    let queries = with_f32(queries, rounded)?;
    let width = Page::query_width(d);
    let queries = widened(&queries, d, width); // [heads * t, width]
    let positions = |part: &Part| view.first_key + part.keys.start..view.first_key + part.keys.end;
    let scores = |part: &Part| {
        let queries = &queries[part.kv * rows * width..][..rows * width];
        pages.products(part.kv, positions(part), queries, rows) // [rows, keys]
    };
    let products: Vec<_> = parts.par_iter().map(scores).collect();
    let mut weights = vec![0f32; heads * t * seen.len()]; // [heads, t, seen]
    let weigh = |(row, weights): (usize, &mut [f32])| {
        let of_head = parts.iter().zip(&products).filter(|(part, _)| part.kv == row / rows);
        for (part, products) in of_head {
            let place = part.keys.start - seen.start..part.keys.end - seen.start;
            weights[place.clone()].copy_from_slice(&products[row % rows * place.len()..][..place.len()]);
        }
        hide(view, row % t, &seen, weights);
        weigh_row(weights, view.first_key + seen.start)
    };
    let gathered: Vec<_> = weights.par_chunks_exact_mut(seen.len()).enumerate().map(weigh).collect();
    let mix = |part: &Part| {
        let place = part.keys.start - seen.start..part.keys.end - seen.start;
        let of_head = weights.chunks_exact(seen.len()).skip(part.kv * rows).take(rows);
        let weights: Vec<_> = of_head.map(|weights| &weights[place.clone()]).collect();
        pages.weighted(part.kv, positions(part), &weights, d) // [rows, d]
    };
    let of_parts: Vec<_> = parts.par_iter().map(mix).collect();
    let mut mixed = vec![0f32; t * heads * d]; // [t, heads * d]
    for (part, of_part) in parts.iter().zip(&of_parts) {
        for (row, numbers) in (part.kv * rows..).zip(of_part.chunks_exact(d)) {
            let place = &mut mixed[(row % t * heads + row / t) * d..][..d];
            place.iter_mut().zip(numbers).for_each(|(place, x)| *place += x);
        }
    }
    for (row, [level, sum]) in gathered.into_iter().enumerate() {
        let factor = 1.0 / (sum + view.sink(row / t, level));
        mixed[(row % t * heads + row / t) * d..][..d].iter_mut().for_each(|x| *x *= factor);
    }
    Tensor::from_vec(mixed, (t, heads * d), &Device::Cpu)
}

/// Caps the scores of row `row` of the chunk, and puts those of keys that it does not see to minus infinity.
fn hide(view: View<'_>, row: usize, seen: &Range<usize>, scores: &mut [f32]) {
    if let Some(softcap) = view.softcap {
        cap(scores, softcap as f32);
    }
    let visible = view.visible(row);
    scores[..visible.start - seen.start].fill(f32::NEG_INFINITY);
    scores[visible.end - seen.start..].fill(f32::NEG_INFINITY);
    view.hidden(row, seen.clone()).for_each(|keys| scores[keys].fill(f32::NEG_INFINITY));
}

#[cfg(test)]
mod tests {
    use super::super::{Pages, Window, few, plain_view};
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn few_queries_are_rounded_as_many_are() {
        let mut rng = Rng::new(37);
        let mut differences = Vec::new();
        for (heads, kv_heads, d, s, window, softcap) in [
            (9, 3, 64, 1300, Window::Full, None),
            (4, 1, 80, 700, Window::Sliding(300), None),
            (4, 2, 256, 600, Window::Full, Some(20.0)),
            (2, 2, 8, 900, Window::Chunked(500), None),
        ] {
            for blocked in [&[][..], &[2..5, 4..30, 300..560][..]] {
                let mut random = |heads: usize, scale: f64| {
                    Tensor::from_vec(numbers(&mut rng, heads * s * d, scale), (heads, s, d), &Device::Cpu)
                        .unwrap()
                };
                // Levels rise on the way: scores of some tens.
                let queries = random(heads, 16.0 / (d as f64).sqrt());
                let (keys, values) = (random(kv_heads, 3.0), random(kv_heads, 1.0));
                let mut pages = Pages::new([kv_heads, d, s]);
                pages.write(0, &[(&keys, &values)]).unwrap();
                let at = |first: usize, t: usize| {
                    let sinks = (heads == 4).then_some(&[1.0, 9.0, 0.0, -2.0][..]);
                    let view = View { softcap, sinks, blocked, ..plain_view(first, window) };
                    let queries = queries.narrow(1, first, t).unwrap();
                    assert_eq!(few::serves(view, heads / kv_heads * t), t <= 3);
                    pages.mix(&queries, view).unwrap().to_vec2::<f32>().unwrap()
                };
                let t = 40;
                let many = at(s - t, t);
                for first in (0..t).step_by(3) {
                    let rows = at(s - t + first, 3.min(t - first));
                    for (row, many) in rows.iter().flatten().zip(many[first..].iter().flatten()) {
                        differences.push((row - many).abs());
                    }
                }
            }
        }
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let largest = differences.iter().copied().fold(0.0, f32::max);
        // Weights as they are would be off by 1e-4 in the mean. A score near a border may be rounded to its
        // other side.
        assert!(mean(&differences) < 2e-6, "off by {} in the mean", mean(&differences));
        assert!(largest < 1.0 / 256.0, "off by {largest}");
    }
}
