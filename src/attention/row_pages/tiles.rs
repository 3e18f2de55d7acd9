//! What is read of rows, rounded to bf16: in tiles for as long as many queries meet them, and some rows at a
//! time for few.

use std::iter::repeat_n;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::{Kept, RowPages, RowsFrom};
use crate::attention::blocks::{self, heads_at_once, seen};
use crate::attention::source::{Rounded, Source};
use crate::attention::{Pages, View, few};
use crate::kernel::bf16::{PAGE, Page, round_here};
use crate::kernel::cached::padded;
use crate::kernel::{add_weighted, few_products};

/// Rows that are widened at a time: they stay in the first-level cache.
const ROWS: usize = 32;

impl RowPages {
    /// Bytes of the tiles of `tokens` keys and values that are there while `t` queries meet them, of
    /// `kv_heads` heads of `width` numbers.
    pub(crate) fn bytes_of_tiles(kv_heads: usize, width: usize, tokens: usize, t: usize) -> usize {
        Pages::bytes(heads_at_once(t).min(kv_heads), width, tokens)
    }

    /// Mixed values `[t, heads * width]` of many scaled `queries` `[heads, t, width]` over what is read, in
    /// bf16: tiles of all keys that are seen, of some heads at a time.
    pub(super) fn mix_in_tiles(&self, queries: &Tensor, view: View<'_>) -> Result<Tensor> {
        let seen = seen(view, 0).start..seen(view, queries.dim(1)? - 1).end;
        blocks::by_heads(queries, self.kv_heads(), view, |kvs, queries, view| {
            self.tiles(kvs, &seen, true).mix_many(queries, view)
        })
    }

    /// The pages of some heads that have the positions `seen`, `with_values` or with keys alone.
    pub(super) fn tiles(&self, kvs: Range<usize>, seen: &Range<usize>, with_values: bool) -> Pages {
        let pages = seen.start / PAGE..seen.end.div_ceil(PAGE);
        // Nobody looks at those before.
        let unseen = Arc::new(Page::new(0));
        let of_head = |kv: usize| {
            let before = repeat_n(Arc::clone(&unseen), pages.start);
            let seen: Vec<_> = pages
                .clone()
                .into_par_iter()
                .map(|index| Arc::new(self.page(kv, index, with_values)))
                .collect();
            before.chain(seen).collect()
        };
        Pages::of(kvs.into_par_iter().map(of_head).collect())
    }

    /// A page of head `kv`.
    fn page(&self, kv: usize, index: usize, with_values: bool) -> Page {
        let (width, stride) = (self.keys.width, padded(self.keys.width));
        let mut page = Page::new(width);
        let [keys, values] = [&self.keys, &self.values].map(|kept| RowsFrom { kept, first: index * PAGE });
        let mut room = [const { Vec::new() }; 2];
        let [key_room, value_room] = &mut room;
        for first in (0..PAGE).step_by(ROWS) {
            let (keys, _) = keys.rows(kv, first..first + ROWS, key_room);
            let values = if with_values { values.rows(kv, first..first + ROWS, value_room).0 } else { &[] };
            page.fill(first, keys, values, stride);
        }
        page
    }
}

impl Kept {
    /// Hands over the rows of a head at these positions, rounded, `[count, padded(width)]`: some at a time,
    /// with their places among all.
    fn rounded(&self, head: usize, positions: Range<usize>, mut then: impl FnMut(Range<usize>, &[f32])) {
        let (rows, mut room) = (RowsFrom { kept: self, first: positions.start }, Vec::new());
        for from in (0..positions.len()).step_by(ROWS) {
            let places = from..positions.len().min(from + ROWS);
            rows.rows(head, places.clone(), &mut room);
            round_here(&mut room);
            then(places, &room);
        }
    }
}

impl Rounded for RowPages {
    fn kv_heads(&self) -> usize {
        self.keys.heads.len()
    }

    fn products(&self, kv: usize, keys: Range<usize>, queries: &[f32], count: usize) -> Vec<f32> {
        let mut products = vec![0f32; count * keys.len()];
        let mut room = [0f32; ROWS * few::MOST]; // [some keys, count]
        self.keys.rounded(kv, keys.clone(), |places, rows| {
            let room = &mut room[..places.len() * count];
            few_products(queries, rows, padded(self.keys.width), room);
            for (query, products) in products.chunks_exact_mut(keys.len()).enumerate() {
                let of_query = room.iter().skip(query).step_by(count);
                products[places.clone()]
                    .iter_mut()
                    .zip(of_query)
                    .for_each(|(place, product)| *place = *product);
            }
        });
        products
    }

    fn weighted(&self, kv: usize, keys: Range<usize>, weights: &[&[f32]], d: usize) -> Vec<f32> {
        let width = padded(self.values.width);
        let mut mixed = vec![0f32; weights.len() * width];
        let mut room = Vec::with_capacity(ROWS * weights.len()); // [count, some keys]
        self.values.rounded(kv, keys, |places, rows| {
            room.clear();
            weights.iter().for_each(|weights| room.extend_from_slice(&weights[places.clone()]));
            add_weighted(&room, rows, width, &mut mixed);
        });
        mixed.chunks_exact(width).flat_map(|row| &row[..d]).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FORMS, as_read, tensor};
    use super::*;
    use crate::attention::{Window, plain_view};
    use crate::kernel::cached::Form;
    use crate::rng::Rng;

    #[test]
    fn rounded_rows_are_met_as_pages_of_bf16_that_hold_what_is_read() {
        let mut rng = Rng::new(103);
        let sizes = [
            (9, 3, 64, 700, 64, Window::Full, None),
            (2, 2, 48, 600, 600, Window::Full, Some(5.0)),
            (3, 1, 5, 270, 1, Window::Full, None),
            (40, 20, 8, 700, 350, Window::Sliding(24), None),
            (4, 2, 80, 700, 100, Window::Sliding(300), None),
            (4, 2, 8, 700, 64, Window::Chunked(300), Some(3.0)),
        ];
        let sinks = [1.0, 9.0, 0.0, -2.0];
        let forms = FORMS.into_iter().flat_map(|keys| FORMS.map(|values| [keys, values]));
        for ((heads, kv_heads, d, s, chunk, window, softcap), forms) in sizes.into_iter().cycle().zip(forms) {
            let sinks = (heads == 4).then_some(&sinks[..]);
            let queries = tensor(&mut rng, (heads, s, d), 2.0);
            let (keys, values) =
                (tensor(&mut rng, (kv_heads, s, d), 2.0), tensor(&mut rng, (kv_heads, s, d), 1.0));
            let read = [as_read(&keys, forms[0]), as_read(&values, forms[1])];
            let mut rows = RowPages::new([kv_heads, d, 0], forms, true);
            let mut pages = Pages::new([kv_heads, d, 0]);
            for first_position in (0..s).step_by(chunk) {
                let t = chunk.min(s - first_position);
                let new = |tensor: &Tensor| tensor.narrow(1, first_position, t).unwrap();
                rows.write(first_position, &[(&new(&keys), &new(&values))]).unwrap();
                pages.write(first_position, &[(&new(&read[0]), &new(&read[1]))]).unwrap();
                let view = View { softcap, sinks, ..plain_view(first_position, window) };
                let mixed =
                    |mixed: Result<Tensor>| mixed.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let found = mixed(rows.mix(&new(&queries), view));
                let expected = mixed(pages.mix(&new(&queries), view));
                let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Few queries are added up in another order: a weight may be rounded to its other side.
                let most = if chunk == 1 { 1.0 / 256.0 } else { 0.0 };
                assert!(off <= most, "{forms:?}, {d} wide, {window:?}, {first_position}: off by {off}");

                let query = queries.narrow(1, first_position, 1).unwrap();
                assert_eq!(rows.weights(&query, view).unwrap(), pages.weights(&query, view).unwrap());
            }
        }
    }

    #[test]
    fn few_queries_over_rows_are_rounded_as_many_are() {
        let mut rng = Rng::new(107);
        let (heads, kv_heads, d, s, t) = (9, 3, 64, 1300, 40);
        let queries = tensor(&mut rng, (heads, s, d), 2.0);
        let (keys, values) =
            (tensor(&mut rng, (kv_heads, s, d), 3.0), tensor(&mut rng, (kv_heads, s, d), 1.0));
        let mut rows = RowPages::new([kv_heads, d, 0], [Form::Q8_0, Form::Q4_0], true);
        rows.write(0, &[(&keys, &values)]).unwrap();
        let at = |first: usize, t: usize| {
            let queries = queries.narrow(1, first, t).unwrap();
            rows.mix(&queries, plain_view(first, Window::Full)).unwrap().to_vec2::<f32>().unwrap().concat()
        };
        let many = at(s - t, t);
        let few: Vec<f32> = (0..t).flat_map(|row| at(s - t + row, 1)).collect();
        let differences = few.iter().zip(&many).map(|(few, many)| (few - many).abs());
        let (sum, largest) = differences.fold((0.0, 0f32), |(sum, most), x| (sum + x, most.max(x)));
        // Weights as they are would be off by 1e-4 in the mean.
        assert!(sum / (few.len() as f32) < 2e-6 && largest < 1.0 / 256.0, "off by {sum} in all, {largest}");
    }
}
