//! Attention in f32 on the CPU of few queries, as decoding has them: bound by reading keys and values once.
//!
//! Keys are shared out to the threads in parts of [`PART`], however many threads there are. Each part has a
//! running maximum `m`, a sum `l` and a mix `o` of its own, and two of them are joined by `m' = max(m, m_2)`,
//! `l' = l exp(m - m') + l_2 exp(m_2 - m')` and `o' = o exp(m - m') + o_2 exp(m_2 - m')`, in the order of
//! their keys (Flash-Decoding).

use std::ops::Range;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::online::{cap, weigh};
use super::source::{Source, with_given};
use super::{View, with_f32};
use crate::kernel::{Running, add_weighted, few_products};

/// Queries that share their keys up to which this is faster than products of matrices, which copy keys and
/// values into an order of their own.
pub(super) const MOST: usize = 15;
/// Keys of a part: little to join, and enough parts for all threads.
const PART: usize = 512;

/// Whether this computes what `view` asks for, where `queries` share their keys.
pub(super) fn serves(view: View<'_>, queries: usize) -> bool {
    queries <= MOST && view.row_rule.is_none()
}

/// Keys of a head that a thread takes at a time.
pub(super) struct Part {
    pub(super) kv: usize,
    pub(super) keys: Range<usize>,
}

/// The keys that are `seen`, of every head: those of a head follow each other.
pub(super) fn parts(kv_heads: usize, seen: &Range<usize>) -> Vec<Part> {
    let part = |kv, from: usize| Part { kv, keys: from..seen.end.min(from + PART) };
    (0..kv_heads).flat_map(|kv| seen.clone().step_by(PART).map(move |from| part(kv, from))).collect()
}

/// What a thread keeps from part to part.
#[derive(Default)]
struct Room {
    keys: Vec<f32>,
    values: Vec<f32>,
    products: Vec<f32>, // [keys, queries]
    scores: Vec<f32>,   // [queries, keys]
}

/// What some queries have gathered of some keys.
struct Gathered {
    running: Vec<Running>, // [queries]
    mixed: Vec<f32>,       // [queries, width], not yet divided by the sums
    width: usize,
}

impl Gathered {
    /// Takes in what the same queries have gathered of the keys behind.
    fn join(&mut self, next: &Self) {
        let rows = self.mixed.chunks_exact_mut(self.width).zip(next.mixed.chunks_exact(self.width));
        for ((mine, others), (running, next)) in rows.zip(self.running.iter_mut().zip(&next.running)) {
            let [before, behind] = running.join(next);
            mine.iter_mut().zip(others).for_each(|(x, y)| *x = *x * before + y * behind);
        }
    }
}

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over `keys` and `values`
/// `[kv_heads, s, d]`. All in f32 on the CPU.
pub(super) fn mix(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Result<Tensor> {
    with_given(keys, values, |kv_heads, keys, values| mix_over(queries, kv_heads, keys, values, view))
}

/// Mixed values `[t, heads * d]` of scaled `queries` `[heads, t, d]` over the keys and values of `kv_heads`
/// heads. Keys that no query sees are passed over, so a window costs its width.
pub(super) fn mix_over(
    queries: &Tensor,
    kv_heads: usize,
    keys: &impl Source,
    values: &impl Source,
    view: View<'_>,
) -> Result<Tensor> {
    let (heads, t, d) = queries.dims3()?;
    let groups = heads / kv_heads;
    let seen = view.visible(0).start..view.visible(t - 1).end;
    let parts = parts(kv_heads, &seen);
    let mixed = with_f32(queries, |queries| {
        let gathered: Vec<Gathered> = parts
            .par_iter()
            .map_init(Room::default, |room, part| {
                let few = Few {
                    queries: &queries[part.kv * groups * t * d..][..groups * t * d],
                    kv: part.kv,
                    groups,
                    t,
                    d,
                    view,
                };
                few.gather(part.keys.clone(), keys, values, room)
            })
            .collect();
        let mut mixed = vec![0f32; t * heads * d]; // [t, heads * d]
        let mut gathered = gathered.into_iter();
        for kv in 0..kv_heads {
            let mut of_head = gathered.by_ref().take(parts.len() / kv_heads);
            let Some(mut all) = of_head.next() else { continue };
            of_head.for_each(|next| all.join(&next));
            for (row, (mix, running)) in all.mixed.chunks_exact(all.width).zip(&all.running).enumerate() {
                let (head, i) = (kv * groups + row / t, row % t);
                let sum = running.sum + view.sink(head, running.max);
                let place = &mut mixed[(i * heads + head) * d..][..d];
                place.iter_mut().zip(mix).for_each(|(place, x)| *place = x / sum);
            }
        }
        mixed
    })?;
    Tensor::from_vec(mixed, (t, heads * d), queries.device())
}

/// The queries of a chunk that share the keys of a head.
struct Few<'a> {
    queries: &'a [f32], // [groups, t, d]
    kv: usize,
    groups: usize,
    t: usize,
    d: usize,
    view: View<'a>,
}

impl Few<'_> {
    /// What they gather of the given keys `part`.
    fn gather(
        &self,
        part: Range<usize>,
        keys: &impl Source,
        values: &impl Source,
        room: &mut Room,
    ) -> Gathered {
        let (rows, count) = (self.groups * self.t, part.len());
        let (keys, width) = keys.rows(self.kv, part.clone(), &mut room.keys);
        room.products.resize(count * rows, 0.0);
        few_products(&widened(self.queries, self.d, width), keys, width, &mut room.products);
        room.scores.resize(rows * count, 0.0);
        for (row, scores) in room.scores.chunks_exact_mut(count).enumerate() {
            of_row(&room.products, row, rows, scores);
        }
        cap(self.view, &mut room.scores);
        let mut running = vec![Running::default(); rows];
        for (row, (scores, running)) in room.scores.chunks_exact_mut(count).zip(&mut running).enumerate() {
            let place = (self.kv * self.groups + row / self.t, row % self.t);
            // There is nothing before to be brought to the new maximum.
            weigh(self.view, place, part.clone(), scores, running);
        }
        let (values, width) = values.rows(self.kv, part, &mut room.values);
        let mut mixed = vec![0f32; rows * width];
        add_weighted(&room.scores, values, width, &mut mixed);
        Gathered { running, mixed, width }
    }
}

/// Rows of `d` numbers in rows of `width`, zeros behind their own.
pub(super) fn widened(rows: &[f32], d: usize, width: usize) -> Vec<f32> {
    let mut wide = vec![0f32; rows.len() / d * width];
    for (wide, row) in wide.chunks_exact_mut(width).zip(rows.chunks_exact(d)) {
        wide[..d].copy_from_slice(row);
    }
    wide
}

/// The scores of one of so many `rows` out of the products `[keys, rows]`.
fn of_row(products: &[f32], row: usize, rows: usize, scores: &mut [f32]) {
    let products = products.iter().skip(row).step_by(rows);
    scores.iter_mut().zip(products).for_each(|(score, product)| *score = *product);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{AlibiBias, Window, fused, plain_view, reference};
    use crate::kernel::random::numbers;
    use crate::rng::Rng;
    use crate::spec::Alibi;
    use candle_core::Device;

    fn random(rng: &mut Rng, shape: (usize, usize, usize), scale: f64) -> Tensor {
        let numbers = numbers(rng, shape.0 * shape.1 * shape.2, scale);
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    fn largest(difference: Tensor) -> f32 {
        difference.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// Mixed values `[t, heads * d]` in f64.
    fn exact(queries: &Tensor, keys: &Tensor, values: &Tensor, view: View<'_>) -> Tensor {
        let wide = |x: &Tensor| x.to_dtype(candle_core::DType::F64).unwrap().to_vec3::<f64>().unwrap();
        let (heads, t, d) = queries.dims3().unwrap();
        let groups = heads / keys.dim(0).unwrap();
        let (queries, keys, values) = (wide(queries), wide(keys), wide(values));
        let mut mixed = Vec::new();
        for (row, head) in (0..t).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let (keys, values) = (&keys[head / groups], &values[head / groups]);
            let visible = view.visible(row);
            let hidden: Vec<_> = view.hidden(row, 0..keys.len()).collect();
            let seen = visible.filter(|key| !hidden.iter().any(|range| range.contains(key)));
            let score = |key: usize| {
                let z: f64 = queries[head][row].iter().zip(&keys[key]).map(|(q, k)| q * k).sum();
                view.softcap.map_or(z, |cap| cap * (z / cap).tanh())
            };
            let scores: Vec<(usize, f64)> = seen.map(|key| (key, score(key))).collect();
            let max = scores.iter().map(|(_, z)| *z).fold(f64::NEG_INFINITY, f64::max);
            let sink = view.sinks.map_or(0.0, |sinks| (f64::from(sinks[head]) - max).exp());
            let sum = sink + scores.iter().map(|(_, z)| (z - max).exp()).sum::<f64>();
            let mix = |j: usize| scores.iter().map(|(key, z)| (z - max).exp() * values[*key][j]).sum::<f64>();
            mixed.extend((0..d).map(|j| (mix(j) / sum) as f32));
        }
        Tensor::from_vec(mixed, (t, heads * d), &Device::Cpu).unwrap()
    }

    #[test]
    fn few_queries_are_mixed_as_exactly_as_by_the_reference() {
        let mut rng = Rng::new(3);
        let (mut off, mut reference_off) = (0f32, 0f32);
        for ((heads, kv_heads, d, s, t, window, softcap), blocked) in [
            (4, 2, 8, 70, 1, Window::Full, None),
            (4, 2, 8, 70, 7, Window::Full, None),
            (9, 3, 64, 1300, 1, Window::Full, None),
            (9, 3, 64, 1300, 5, Window::Sliding(700), None),
            (4, 1, 256, 600, 1, Window::Full, Some(50.0)),
            (3, 1, 5, 515, 4, Window::Full, None),
            (4, 2, 80, 1024, 2, Window::Chunked(300), None),
            (4, 4, 8, 513, 15, Window::Sliding(24), Some(3.0)),
        ]
        .into_iter()
        .flat_map(|case| [(case, &[][..]), (case, &[2..5, 4..30, 300..560, 600..601][..])])
        {
            let sinks = (heads == 4).then_some(&[1.0, 30.0, 0.0, -2.0][..]);
            let first_position = s - t;
            let view = View { softcap, sinks, blocked, ..plain_view(first_position, window) };
            assert!(serves(view, heads / kv_heads * t));
            // Scores of some tens, whatever the width.
            let queries = random(&mut rng, (heads, t, d), 16.0 / f64::from(d as u32).sqrt());
            let (keys, values) =
                (random(&mut rng, (kv_heads, s, d), 4.0), random(&mut rng, (kv_heads, s, d), 1.0));
            let given = s - view.first_key;
            let [keys, values] = [keys, values].map(|x| x.narrow(1, view.first_key, given).unwrap());
            let exact = exact(&queries, &keys, &values, view);
            let found = mix(&queries, &keys, &values, view).unwrap();
            let plain = reference::mix(&queries, &keys, &values, view).unwrap();
            let plain = plain.transpose(0, 1).unwrap().reshape((t, heads * d)).unwrap();
            off = off.max(largest((found - &exact).unwrap()));
            reference_off = reference_off.max(largest((plain - &exact).unwrap()));
        }
        assert!(off < 1.5 * reference_off, "off by {off}, the reference by {reference_off}");
        assert!(off < 1e-5, "off by {off}");
    }

    #[test]
    fn a_bias_is_added_as_to_many_queries() {
        let mut rng = Rng::new(5);
        let (heads, kv_heads, d, s, t) = (4, 2, 8, 700, 2);
        let [queries, keys, values] = [(heads, t), (kv_heads, s), (kv_heads, s)]
            .map(|(heads, rows)| random(&mut rng, (heads, rows, d), 1.0));
        let alibi = AlibiBias::new(Alibi { scale: 0.5, rounded: false }, heads);
        let view = View { bias: Some(&alibi), ..plain_view(s - t, Window::Full) };
        let found = mix(&queries, &keys, &values, view).unwrap();
        let many = fused::mix(&queries, &keys, &values, view).unwrap();
        assert!(largest((found - many).unwrap()) < 1e-6);
    }

    #[test]
    fn the_answer_does_not_depend_on_the_number_of_threads() {
        let mut rng = Rng::new(7);
        let [queries, keys, values] =
            [(9, 1), (3, 2100), (3, 2100)].map(|(heads, rows)| random(&mut rng, (heads, rows, 64), 1.0));
        let view = plain_view(2099, Window::Full);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mixed = pool.install(|| mix(&queries, &keys, &values, view)).unwrap();
            mixed.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let alone = on(1);
        assert_eq!(alone, on(2));
        assert_eq!(alone, on(7));
    }
}
