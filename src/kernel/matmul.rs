//! A few rows times a matrix, as decoding needs it: bound by reading the matrix once.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::Gate;
use super::blocks::Shared;
#[cfg(target_arch = "x86_64")]
use super::dots;
use super::lanes::dot;

/// Rows up to which this is faster than a blocked matrix multiply, which first copies the matrix into its own
/// order.
pub(crate) const MOST_ROWS: usize = 16;

/// Columns that a thread takes at once.
const BLOCK: usize = 32;

/// The rows of a matrix `[n, k]`, whatever they are kept in.
pub(crate) trait Stored: Sync {
    /// `n`, when a row has `k` numbers.
    fn rows(&self, k: usize) -> usize;

    /// Some rows of `k` numbers in f32: themselves, or put into `buffer`.
    fn widened<'a>(&'a self, rows: Range<usize>, k: usize, buffer: &'a mut Vec<f32>) -> &'a [f32];

    /// Rows that are widened at once.
    fn at_once(&self, _k: usize) -> usize {
        BLOCK
    }

    /// `products[j, i] = x[i] · w[j]` for some rows `w` of `k` numbers, to the bit those of
    /// [`widened`](Self::widened) rows, for which `buffer` is.
    fn products(&self, x: &[f32], rows: Range<usize>, k: usize, buffer: &mut Vec<f32>, products: &mut [f32]) {
        few_products(x, self.widened(rows, k, buffer), k, products);
    }
}

impl Stored for &[f32] {
    fn rows(&self, k: usize) -> usize {
        self.len() / k
    }

    fn widened<'a>(&'a self, rows: Range<usize>, k: usize, _buffer: &'a mut Vec<f32>) -> &'a [f32] {
        &self[rows.start * k..rows.end * k]
    }
}

impl Stored for &[f16] {
    fn rows(&self, k: usize) -> usize {
        self.len() / k
    }

    fn widened<'a>(&'a self, rows: Range<usize>, k: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let numbers = &self[rows.start * k..rows.end * k];
        buffer.resize(numbers.len(), 0.0);
        numbers.convert_to_f32_slice(buffer);
        buffer
    }
}

/// `x [m, k] · wᵀ` for `w [n, k]`: `[m, n]`, on all threads.
pub(crate) fn few_rows(x: &[f32], w: &(impl Stored + ?Sized), m: usize, k: usize) -> Vec<f32> {
    assert_eq!(x.len(), m * k, "m rows of k numbers");
    let [product] = by_columns(m, [(w.rows(k), w.at_once(k))], |_, columns, room| {
        w.products(x, columns, k, &mut room.widened, &mut room.products);
    });
    product
}

/// The same for several matrices whose rows are as long: their columns are shared out together, so that
/// threads wait for each other once.
pub(crate) fn few_rows_of<const N: usize>(
    x: &[f32],
    matrices: [&dyn Stored; N],
    [m, k]: [usize; 2],
) -> [Vec<f32>; N] {
    assert_eq!(x.len(), m * k, "m rows of k numbers");
    by_columns(m, matrices.map(|w| (w.rows(k), w.at_once(k))), |matrix, columns, room| {
        matrices[matrix].products(x, columns, k, &mut room.widened, &mut room.products);
    })
}

/// `act(x gᵀ) * (x uᵀ)`, `[m, n]`, for `x [m, k]` and the matrices `g` and `u` `[n, k]`, on all threads. To
/// the bit what [`few_rows`] of each and the gate of both give.
pub(crate) fn few_gated_rows(x: &[f32], [g, u]: [&dyn Stored; 2], [m, k]: [usize; 2], act: Gate) -> Vec<f32> {
    assert!(x.len() == m * k && g.rows(k) == u.rows(k), "m rows of k numbers, and a gate for each product");
    let at_once = g.at_once(k).min(u.at_once(k));
    let [inner] = by_columns(m, [(g.rows(k), at_once)], |_, columns, room| {
        g.products(x, columns.clone(), k, &mut room.widened, &mut room.products);
        room.gated.resize(room.products.len(), 0.0);
        u.products(x, columns, k, &mut room.widened, &mut room.gated);
        act(&mut room.products, &room.gated);
    });
    inner
}

/// What a thread keeps from block to block.
#[derive(Default)]
struct Room {
    widened: Vec<f32>,
    products: Vec<f32>, // [columns, m]
    gated: Vec<f32>,    // [columns, m]
}

/// Outputs `[m, n]`, given by `n` and the columns that are made at once, at most: `fill` puts those of an
/// output into the products of a room.
fn by_columns<const N: usize>(
    m: usize,
    outputs: [(usize, usize); N],
    fill: impl Fn(usize, Range<usize>, &mut Room) + Sync,
) -> [Vec<f32>; N] {
    let mut products = outputs.map(|(n, _)| Vec::<f32>::with_capacity(m * n)); // [m, n] each
    let out = products.each_mut().map(|product| Shared(product.as_mut_ptr()));
    let blocks =
        |(output, (n, _)): (usize, &(usize, usize))| (0..n.div_ceil(BLOCK)).map(move |block| (output, block));
    let blocks: Vec<_> = outputs.iter().enumerate().flat_map(blocks).collect();
    blocks.into_par_iter().for_each_init(Room::default, |room, (output, block)| {
        let (n, at_once) = outputs[output];
        let block = block * BLOCK..n.min((block + 1) * BLOCK);
        for first in block.clone().step_by(at_once) {
            let columns = first..block.end.min(first + at_once);
            room.products.resize(columns.len() * m, 0.0);
            fill(output, columns.clone(), room);
            for (column, of_rows) in columns.zip(room.products.chunks_exact(m)) {
                for (row, number) in of_rows.iter().enumerate() {
                    // SAFETY: row and column lie in the output, and the column belongs to this task.
                    unsafe { out[output].at(row * n + column).write(*number) };
                }
            }
        }
    });
    for (product, (n, _)) in products.iter_mut().zip(outputs) {
        // SAFETY: the blocks cover all columns, and each wrote them in all rows.
        unsafe { product.set_len(m * n) };
    }
    products
}

/// `products[j, i] = x[i] · w[j]`, for rows of `k` numbers, on the thread that asks for them.
pub(crate) fn few_products(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if dots::products(x, w, k, products) {
        return;
    }
    products_of_plain(x, w, k, products);
}

fn products_of_plain(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) {
    let m = x.len() / k;
    for (w, products) in w.chunks_exact(k).zip(products.chunks_exact_mut(m)) {
        for (x, product) in x.chunks_exact(k).zip(products) {
            *product = dot(x, w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::{gelu_tanh_gate, silu_gate};
    use crate::rng::Rng;

    #[test]
    fn few_gated_rows_have_the_bits_of_two_products_and_their_gate() {
        let mut rng = Rng::new(19);
        for (m, k, n) in [(1, 576, 100), (8, 33, 70), (3, 7, 1), (16, 64, 33)] {
            let x = numbers(&mut rng, m * k, 1.0);
            let (g, u) = (numbers(&mut rng, n * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let (g, u) = (&g[..], &u[..]);
            for act in [silu_gate, gelu_tanh_gate] as [Gate; 2] {
                let mut expected = few_rows(&x, &g, m, k);
                act(&mut expected, &few_rows(&x, &u, m, k));
                assert_eq!(few_gated_rows(&x, [&g, &u], [m, k], act), expected, "{m} {k} {n}");
            }
        }
    }

    #[test]
    fn several_matrices_at_once_give_the_bits_of_each_alone() {
        let mut rng = Rng::new(31);
        let (m, k) = (3, 65);
        let x = numbers(&mut rng, m * k, 1.0);
        let [a, b, c] = [40, 7, 64].map(|n| numbers(&mut rng, n * k, 1.0));
        let (a, b, c) = (&a[..], &b[..], &c[..]);
        let found = few_rows_of(&x, [&a, &b, &c], [m, k]);
        assert_eq!(found, [a, b, c].map(|w| few_rows(&x, &w, m, k)));
    }

    #[test]
    fn few_rows_times_a_matrix_is_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(13);
        for (m, k, n) in [(1, 576, 100), (8, 33, 70), (3, 7, 1), (16, 64, 33), (2, 1030, 20)] {
            let (x, w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let found = few_rows(&x, &&w[..], m, k);
            let mut plain = vec![0.0; n * m];
            products_of_plain(&x, &w, k, &mut plain);
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                assert_eq!(found[row * n + column], plain[column * m + row]);
                let terms = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
                let exact: f64 = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                assert!((f64::from(found[row * n + column]) - exact).abs() < 1e-5, "{m} {k} {n}");
            }
        }
    }
}
